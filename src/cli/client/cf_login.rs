//! The login of cf: foundation, tokens and targeted space.
//!
//! Invariant: the token is sent only to hosts of that foundation. cf's file is written only when UAA has
//! replaced the refresh token. The write is atomic, and keeps the file's owner and mode.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::config;
use crate::model::Secret;
use crate::outbound::read_uri;

/// The most bytes that are read of the file.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// The first label of the scheduler's host name; that of the API is usually `api`.
const SERVICE_LABEL: &str = "scheduler";

/// The content of `~/.cf/config.json`. A blank field counts as missing.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct CfLogin {
    /// Base URL of the Cloud Foundry API.
    pub(super) target: String,
    access_token: String,
    refresh_token: String,
    uaa_endpoint: String,
    #[serde(rename = "UAAOAuthClient")]
    uaa_client: String,
    #[serde(rename = "UAAOAuthClientSecret")]
    uaa_client_secret: String,
    space_fields: Space,
    /// Set by `cf login --skip-ssl-validation`.
    #[serde(rename = "SSLDisabled")]
    pub(super) ssl_disabled: bool,
    #[serde(skip)]
    file: PathBuf,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Space {
    #[serde(rename = "GUID")]
    guid: String,
}

/// How an expired token is renewed.
#[derive(Debug)]
pub(super) struct Renewal {
    /// Base URL of the UAA.
    pub(super) uaa: String,
    /// The client that the token was issued to.
    pub(super) client: String,
    /// Empty for the client `cf`, which has no secret.
    pub(super) client_secret: Secret,
    pub(super) refresh_token: Secret,
    /// The file of cf.
    file: PathBuf,
}

impl Renewal {
    /// Writes new tokens to cf's file. Otherwise cf would be logged out, because its refresh token has been
    /// used. Does not change the file if it has another refresh token by now. The error names the file.
    pub(super) fn keep(&self, access_token: &str, refresh_token: &str) -> Result<(), String> {
        self.replace(access_token, refresh_token)
            .map_err(|err| format!("cannot save the new tokens of cf to {}: {err}", self.file.display()))
    }

    fn replace(&self, access_token: &str, refresh_token: &str) -> io::Result<()> {
        // Follows a symbolic link, so that the link is kept.
        let file = fs::canonicalize(&self.file)?;
        let mut text = String::new();
        File::open(&file)?.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
        let mut config: Value = serde_json::from_str(&text).map_err(|_| ErrorKind::InvalidData)?;
        if config["RefreshToken"].as_str() != Some(self.refresh_token.reveal()) {
            return Ok(());
        }
        config["AccessToken"] = format!("bearer {access_token}").into();
        config["RefreshToken"] = refresh_token.into();
        let new = file.with_file_name(format!(".config.json.{}", uuid::Uuid::new_v4()));
        let written =
            write_like(&file, &new, format!("{config:#}").as_bytes()).and_then(|()| fs::rename(&new, &file));
        if written.is_err() {
            // The first error is reported.
            let _ = fs::remove_file(&new);
        }
        written
    }
}

/// Writes a new file with the owner and mode of `model`.
fn write_like(model: &Path, new: &Path, bytes: &[u8]) -> io::Result<()> {
    let model = fs::metadata(model)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    let created = file.metadata()?;
    if (created.uid(), created.gid()) != (model.uid(), model.gid()) {
        chown(new, Some(model.uid()), Some(model.gid()))?;
    }
    file.set_permissions(model.permissions())?;
    file.write_all(bytes)?;
    file.sync_all()
}

impl fmt::Debug for CfLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CfLogin").field("target", &self.target).finish_non_exhaustive()
    }
}

impl CfLogin {
    /// Reads the file in `CF_HOME`, else in `HOME`. `None` if there is no file, or no target in it. The error
    /// names the file.
    pub(super) fn read() -> Result<Option<Self>, String> {
        let Some(home) = config::variable("CF_HOME").or_else(|| config::variable("HOME")) else {
            return Ok(None);
        };
        let path = PathBuf::from(home).join(".cf/config.json");
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text));
        match read {
            Ok(_) => (),
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(format!("{} cannot be read: {err}", path.display())),
        }
        // The parser's message might contain a token.
        let mut login: Self = serde_json::from_str(&text).map_err(|err| {
            format!(
                "{} is not a configuration of cf (line {}, column {})",
                path.display(),
                err.line(),
                err.column()
            )
        })?;
        login.file = path;
        Ok(Some(login).filter(|login| !login.target.trim().is_empty()))
    }

    /// The URL at which the cf plugin expects the scheduler: the API's host name with another first label.
    /// `None` if the host name has a single label.
    pub(super) fn scheduler_url(&self) -> Option<String> {
        let uri = read_uri(self.target.trim())?;
        let (_, domain) = labels(uri.host()?)?;
        let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{}://{SERVICE_LABEL}.{domain}{port}", uri.scheme_str()?))
    }

    /// The token, if the server at `base` belongs to the same foundation; empty if cf is not logged in.
    pub(super) fn token_for(&self, base: &str) -> Option<&str> {
        let (target, base) = (read_uri(self.target.trim())?, read_uri(base)?);
        let is_as_safe = base.scheme_str() == Some("https") || target.scheme_str() == Some("http");
        let (target, base) = (target.host()?.to_ascii_lowercase(), base.host()?.to_ascii_lowercase());
        let is_sibling = match (labels(&target), labels(&base)) {
            (Some((_, targets)), Some((_, bases))) => targets == bases && targets.contains('.'),
            _ => false,
        };
        (is_as_safe && (target == base || is_sibling)).then(|| self.access_token.trim())
    }

    /// The guid of the targeted space.
    pub(super) fn space(&self) -> Option<String> {
        Some(self.space_fields.guid.trim().to_owned()).filter(|guid| !guid.is_empty())
    }

    /// `None` if the file has no refresh token.
    pub(super) fn renewal(&self) -> Option<Renewal> {
        let is_there = !self.uaa_endpoint.is_empty() && !self.refresh_token.is_empty();
        is_there.then(|| Renewal {
            uaa: self.uaa_endpoint.trim_end_matches('/').to_owned(),
            client: if self.uaa_client.is_empty() { "cf".to_owned() } else { self.uaa_client.clone() },
            client_secret: Secret::from(self.uaa_client_secret.clone()),
            refresh_token: Secret::from(self.refresh_token.clone()),
            file: self.file.clone(),
        })
    }
}

/// The first label of a host name and the rest; `None` for an IP address or a single label.
fn labels(host: &str) -> Option<(&str, &str)> {
    if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return None;
    }
    host.split_once('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(target: &str) -> CfLogin {
        CfLogin { target: target.to_owned(), access_token: "bearer t".to_owned(), ..CfLogin::default() }
    }

    #[test]
    fn the_scheduler_is_beside_the_api() {
        let url = |target| login(target).scheduler_url();
        assert_eq!(url("https://api.sys.example.com").as_deref(), Some("https://scheduler.sys.example.com"));
        assert_eq!(url("http://cf.test:8080/").as_deref(), Some("http://scheduler.test:8080"));
        assert_eq!(url("https://localhost"), None);
        assert_eq!(url("https://10.0.0.1"), None);
        assert_eq!(url(""), None);
    }

    #[test]
    fn the_file_is_replaced_with_its_mode_and_only_while_it_holds_the_token_that_was_used() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let (file, link) = (home.path().join("config.json"), home.path().join("link.json"));
        fs::write(&file, r#"{"Target":"t","RefreshToken":"old","Other":[1,{"a":null}]}"#).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let renewal = |refresh_token: &str| Renewal {
            uaa: String::new(),
            client: String::new(),
            client_secret: Secret::from(String::new()),
            refresh_token: Secret::from(refresh_token.to_owned()),
            file: link.clone(),
        };
        renewal("another").keep("a", "r").unwrap();
        assert!(fs::read_to_string(&file).unwrap().contains("old"));
        renewal("old").keep("a", "r").unwrap();
        let kept: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let expected = serde_json::json!({
            "Target": "t", "AccessToken": "bearer a", "RefreshToken": "r", "Other": [1, {"a": null}],
        });
        assert_eq!(kept, expected);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn its_token_stays_within_the_foundation() {
        #[track_caller]
        fn check(target: &str, base: &str, is_given: bool) {
            assert_eq!(login(target).token_for(base).is_some(), is_given, "{target} {base}");
        }
        check("https://api.sys.example.com", "https://scheduler.sys.example.com", true);
        check("https://api.sys.example.com", "https://SCHEDULER.sys.example.com:8443/x", true);
        check("https://api.sys.example.com", "http://scheduler.sys.example.com", false);
        check("https://api.sys.example.com", "https://scheduler.example.com", false);
        check("https://api.sys.example.com", "https://sys.example.com.evil.test", false);
        check("https://api.com", "https://evil.com", false);
        check("https://10.0.0.1", "https://11.0.0.1", false);
        check("http://127.0.0.1:1", "http://127.0.0.1:2", true);
    }
}
