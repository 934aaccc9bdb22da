//! The services that somebody has logged in to, in `~/.config/ocf-scheduler/config.toml`.
//!
//! Invariant: the file holds tokens, so only its user can read it. It is replaced as a whole.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config;
use crate::model::Secret;

/// The context that stands for the login of cf.
pub(super) const CF: &str = "cf";
/// The context that stands for the `standalone` service that runs on this machine.
pub(super) const STANDALONE: &str = "standalone";
/// The most of the file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What the file says.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Contexts {
    /// The name of the one that is used; empty if none is.
    pub(super) current: String,
    #[serde(rename = "context")]
    pub(super) all: Vec<Context>,
}

/// A service, and the token for it.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Context {
    pub(super) name: String,
    /// Empty: the scheduler of the foundation that cf is logged in to.
    pub(super) url: String,
    token: String,
    /// The token is that of cf, which renews it.
    pub(super) from_cf: bool,
    /// Empty: that of cf, or all.
    pub(super) space: String,
}

impl Context {
    pub(super) fn new(name: &str, url: &str, token: Option<&str>, space: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            token: token.unwrap_or_default().to_owned(),
            from_cf: token.is_none(),
            space: space.to_owned(),
        }
    }

    /// `None`: that of cf.
    pub(super) fn token(&self) -> Option<Secret> {
        (!self.from_cf && !self.token.is_empty()).then(|| Secret::from(self.token.clone()))
    }
}

impl Contexts {
    /// Reads the file; without one there are none. The error names the file, and shows no token.
    pub(super) fn read() -> Result<Self, String> {
        let Some(path) = path() else { return Ok(Self::default()) };
        let failed = |err: io::Error| format!("{} cannot be read: {err}", path.display());
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(err) => return Err(failed(err)),
        };
        if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
            let shown = path.display();
            return Err(format!("{shown} contains tokens, and others can read it; run: chmod 600 {shown}"));
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        // The parser's own message shows the line, which may hold a token.
        toml::from_str(&text).map_err(|err| {
            let before = err.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            format!(
                "{} is not valid (line {}): {}",
                path.display(),
                before.lines().count().max(1),
                err.message()
            )
        })
    }

    /// Replaces the file. The error names it.
    pub(super) fn write(&self) -> Result<PathBuf, String> {
        let path = path().ok_or("the configuration has no directory: set HOME or XDG_CONFIG_HOME")?;
        self.replace(&path).map_err(|err| format!("{} cannot be written: {err}", path.display()))?;
        Ok(path)
    }

    fn replace(&self, path: &Path) -> io::Result<()> {
        let directory = path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        // Follows a symbolic link, so that the link stays.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let new = path.with_file_name(format!(".config.toml.{}", uuid::Uuid::new_v4()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let written = file
            .write_all(self.text().as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&new, &path));
        if written.is_err() {
            // The first error is reported.
            let _ = fs::remove_file(&new);
        }
        written
    }

    fn text(&self) -> String {
        // A JSON string is a TOML string too.
        let quoted = |text: &str| serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f");
        let mut text = String::from("# Written by ocf-scheduler login, use and logout.\n");
        if !self.current.is_empty() {
            let _ = writeln!(text, "current = {}", quoted(&self.current));
        }
        for context in &self.all {
            let _ = write!(text, "\n[[context]]\nname = {}\n", quoted(&context.name));
            for (name, value) in [("url", &context.url), ("token", &context.token), ("space", &context.space)]
            {
                if !value.is_empty() {
                    let _ = writeln!(text, "{name} = {}", quoted(value));
                }
            }
            if context.from_cf {
                text.push_str("from_cf = true\n");
            }
        }
        text
    }

    pub(super) fn find(&self, name: &str) -> Option<&Context> {
        self.all.iter().find(|context| context.name == name)
    }

    /// The context with this URL.
    pub(super) fn at(&self, url: &str) -> Option<&Context> {
        self.all.iter().find(|context| context.url == url)
    }

    /// Adds a context, or replaces the one of that name.
    pub(super) fn put(&mut self, context: Context) {
        match self.all.iter_mut().find(|other| other.name == context.name) {
            Some(other) => *other = context,
            None => self.all.push(context),
        }
    }

    /// Returns whether it existed. If it was in use, the next command chooses as if there had been no login.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let before = self.all.len();
        self.all.retain(|context| context.name != name);
        let is_removed = self.all.len() < before;
        if is_removed && self.current == name {
            self.current.clear();
        }
        is_removed
    }
}

/// Where the file is; `None` without a home.
fn path() -> Option<PathBuf> {
    let folder = |name: &str| config::variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let below = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")))?;
    Some(below.join("ocf-scheduler/config.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut contexts = Contexts { current: "a \"b\"".to_owned(), all: Vec::new() };
        contexts.put(Context::new("a \"b\"", "https://x", Some("t\\\n\u{7f}"), "s"));
        contexts.put(Context::new("of cf", "", None, ""));
        contexts.put(Context::new("of cf", "https://y", None, ""));
        let mut read: Contexts = toml::from_str(&contexts.text()).unwrap();
        assert_eq!((read.current.as_str(), read.all.len()), ("a \"b\"", 2));
        assert_eq!(read.find("a \"b\"").unwrap().token().unwrap().reveal(), "t\\\n\u{7f}");
        let of_cf = read.at("https://y").unwrap();
        assert!(of_cf.from_cf && of_cf.token().is_none());
        assert!(read.remove("a \"b\"") && !read.remove("a \"b\"") && read.current.is_empty());
    }
}
