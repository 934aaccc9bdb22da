//! Parses `postgres://…`: the options that the library knows, and those that it does not (all values of
//! `sslmode`, `sslrootcert`, and `schema`, which is ours). The settings check a URL with it; the store
//! connects with it.

use std::path::PathBuf;
use std::str::FromStr;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// How the server's certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Not verified: the connection may fall back to plain text, so verifying would add nothing.
    Any,
    /// A trusted authority must have issued it.
    Authority,
    /// A trusted authority must have issued it for this host.
    Host,
}

/// A parsed URL.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) config: Config,
    pub(crate) trust: Trust,
    pub(crate) root_certificate: Option<PathBuf>,
    /// The schema of our tables: lower-case letters, digits and `_`.
    pub(crate) schema: String,
    /// Whether the URL names the schema.
    pub(crate) names_schema: bool,
}

/// Our own schema. The tables of OCF Scheduler, some of which have the same names, may be in the same
/// database.
const SCHEMA: &str = "ocf_scheduler";
/// The expected form, for errors.
const FORM: &str = "it must be postgres://USER:PASSWORD@HOST:PORT/NAME";
/// PostgreSQL truncates longer names.
const SCHEMA_LENGTH_MAX: usize = 63;

impl Target {
    /// The error names what is wrong, never the URL, which may hold a password.
    pub(crate) fn of(url: &str) -> Result<Self, String> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        if query.contains('@') {
            // The library takes everything before an @ as user and password. A ? in it would hide the options
            // and show in logs.
            return Err("has an @ behind a ?: in a user, password or option ? must be %3F and @ must be %40"
                .to_owned());
        }
        let (mut mode, mut root_certificate, mut schema, mut rest) = (None, None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value.to_owned()),
                Some(("sslrootcert", value)) => {
                    root_certificate = Some(value).filter(|value| *value != "system").map(PathBuf::from);
                }
                Some(("schema", value)) => schema = Some(value),
                _ => rest.push(pair),
            }
        }
        let (ssl_mode, trust) = match mode.as_deref() {
            None | Some("prefer" | "allow") => (SslMode::Prefer, Trust::Any),
            Some("disable") => (SslMode::Disable, Trust::Any),
            // Stricter than libpq, where `require` accepts any certificate unless there is a file of roots.
            Some("require" | "verify-full") => (SslMode::Require, Trust::Host),
            Some("verify-ca") => (SslMode::Require, Trust::Authority),
            Some(other) => {
                return Err(format!(
                    "has sslmode={}; that must be one of disable, allow, prefer, require, verify-ca, \
                     verify-full",
                    other.escape_debug()
                ));
            }
        };
        let rest = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let mut config = Config::from_str(&rest).map_err(|err| {
            // The library's message names the parameter or the missing part, never a value.
            let cause =
                std::error::Error::source(&err).map_or_else(String::new, |cause| format!(": {cause}"));
            format!("is not a valid URL of PostgreSQL{cause}; {FORM}")
        })?;
        config.ssl_mode(ssl_mode);
        if config.get_hosts().is_empty() {
            return Err(format!("names no host; {FORM}"));
        }
        if config.get_dbname().is_none() {
            return Err(format!("names no database; {FORM}"));
        }
        let is_name = |text: &str| {
            !text.is_empty()
                && text.len() <= SCHEMA_LENGTH_MAX
                && !text.starts_with(|first: char| first.is_ascii_digit())
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        let names_schema = schema.is_some();
        let schema = schema.unwrap_or(SCHEMA);
        if !is_name(schema) {
            return Err("schema must consist of lower-case letters, digits and _".to_owned());
        }
        if config.get_ports().len() > 1 && config.get_ports().len() != config.get_hosts().len() {
            return Err("names several ports, but not as many as hosts".to_owned());
        }
        Ok(Self { config, trust, root_certificate, schema: schema.to_owned(), names_schema })
    }
}

/// Splits a configuration of several hosts into one for each host, in order.
pub(crate) fn one_for_each_host(config: &Config) -> Vec<Config> {
    let (hosts, ports) = (config.get_hosts(), config.get_ports());
    let of_host = |(index, host): (usize, &Host)| {
        let mut one = Config::new();
        match host {
            Host::Tcp(name) => one.host(name),
            #[cfg(unix)]
            Host::Unix(directory) => one.host_path(directory),
        };
        if let Some(port) = ports.get(index).or_else(|| ports.first()) {
            one.port(*port);
        }
        if let Some(address) = config.get_hostaddrs().get(index) {
            one.hostaddr(*address);
        }
        if let Some(user) = config.get_user() {
            one.user(user);
        }
        if let Some(password) = config.get_password() {
            one.password(password);
        }
        if let Some(name) = config.get_dbname() {
            one.dbname(name);
        }
        if let Some(options) = config.get_options() {
            one.options(options);
        }
        if let Some(timeout) = config.get_connect_timeout() {
            one.connect_timeout(*timeout);
        }
        if let Some(timeout) = config.get_tcp_user_timeout() {
            one.tcp_user_timeout(*timeout);
        }
        if let Some(name) = config.get_application_name() {
            one.application_name(name);
        }
        one.ssl_mode(config.get_ssl_mode())
            .ssl_negotiation(config.get_ssl_negotiation())
            .channel_binding(config.get_channel_binding())
            .target_session_attrs(config.get_target_session_attrs())
            .keepalives(config.get_keepalives())
            .keepalives_idle(config.get_keepalives_idle());
        one
    };
    hosts.iter().enumerate().map(of_host).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_several_hosts_gets_all_that_the_url_says() {
        let target = Target::of("postgres://u:pw@h1:1,h2:2/d?target_session_attrs=read-write").ok().unwrap();
        let each = one_for_each_host(&target.config);
        let of = |index: usize| {
            let one = &each[index];
            (one.get_hosts().to_vec(), one.get_ports().to_vec(), one.get_user(), one.get_dbname())
        };
        assert_eq!(of(0), (vec![Host::Tcp("h1".to_owned())], vec![1], Some("u"), Some("d")));
        assert_eq!(of(1), (vec![Host::Tcp("h2".to_owned())], vec![2], Some("u"), Some("d")));
        assert_eq!(each[1].get_password(), Some(&b"pw"[..]));
        let one_port = Target::of("postgres://u@h1,h2:7/d").map(|target| target.config.get_ports().to_vec());
        assert_eq!(one_port.ok(), Some(vec![5432, 7]));
    }

    #[test]
    fn sslmode_says_whether_there_is_tls_and_what_is_checked() {
        let of = |mode: &str| {
            Target::of(&format!("postgres://u:hunter2@h/d?sslmode={mode}&connect_timeout=3"))
                .map(|target| (target.config.get_ssl_mode(), target.trust))
        };
        assert_eq!(of("disable"), Ok((SslMode::Disable, Trust::Any)));
        assert_eq!(of("prefer"), Ok((SslMode::Prefer, Trust::Any)));
        assert_eq!(of("require"), Ok((SslMode::Require, Trust::Host)));
        assert_eq!(of("verify-ca"), Ok((SslMode::Require, Trust::Authority)));
        assert_eq!(of("verify-full"), Ok((SslMode::Require, Trust::Host)));
        assert!(of("maybe").unwrap_err().contains("verify-ca"));
        let plain = Target::of("postgresql://u@h:1/d?sslrootcert=/a/b.pem").ok().unwrap();
        assert_eq!(plain.root_certificate, Some(PathBuf::from("/a/b.pem")));
        assert_eq!(plain.schema, "ocf_scheduler");
        for wrong in [
            "postgres://u:hunter2@h",
            "postgres://u@h/d?schema=a;hunter2",
            "postgres://",
            "postgres://u:hunter2@h/d?no=hunter2",
            "postgres://u:hunter2?3@h/d?sslmode=require",
        ] {
            let fault = Target::of(wrong).err().unwrap();
            assert!(fault.contains("must ") && !fault.contains("hunter2"), "{fault}");
        }
    }
}
