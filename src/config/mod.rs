//! The settings, read from flags and the environment, and checked as a whole.
//!
//! Invariant: only this module reads the environment. No secret appears in `Debug` output or in an error.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use crate::base::logging::LogFormat;
use crate::cron::{Dialect, Weekdays};
use crate::model::{Location, MisfirePolicy, ReadRoles, Secret, TaskNames};
use crate::outbound::{Outbound, Reach};

mod broker;
mod location;
mod memory;
mod reader;
mod settings;
mod vcap;

pub use broker::{BrokerConfig, CatalogConfig};
pub use settings::{SETTINGS, Setting, SettingKind};

use reader::Reader;

/// Where tasks run, and who checks tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Cloud Foundry and its UAA.
    Serve,
    /// Local processes, and tokens from a file.
    Standalone,
}

/// The settings for outgoing connections.
pub const OUTBOUND_SETTINGS: [&str; 4] = ["HTTPS_PROXY", "NO_PROXY", "SKIP_SSL_VALIDATION", "CA_CERT_FILE"];

/// How many requests one caller may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests per second, in the long run; at least 1.
    pub per_second: u32,
    /// Requests at once, after a pause; at least 1.
    pub burst: u32,
}

/// All settings. Values are within the ranges in [`SETTINGS`].
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is described in SETTINGS under its variable")]
pub struct Config {
    pub mode: Mode,
    pub cloud_foundry: Option<CloudFoundryConfig>,
    pub standalone_config: Option<PathBuf>,
    pub database: Location,
    pub database_connections: usize,
    pub port: u16,
    pub host: IpAddr,
    pub worker_num: usize,
    pub http_threads: usize,
    pub log_level: LevelFilter,
    pub log_format: LogFormat,
    pub metrics_token: Option<Secret>,
    pub metrics_port: Option<u16>,
    pub auth_cache: Duration,
    pub call_timeout: Duration,
    pub call_reach: Reach,
    pub task_poll: Duration,
    pub history: Duration,
    pub history_max_per_executable: Option<u32>,
    pub dialect: Dialect,
    pub weekdays: Weekdays,
    /// The zone of new schedules without one; `None`: UTC.
    pub default_timezone: Option<String>,
    /// The shortest interval of a new expression.
    pub schedule_min_seconds: Option<u32>,
    /// How long audit events are kept; zero: none are written.
    pub audit: Duration,
    pub quota_jobs: Option<u32>,
    pub quota_calls: Option<u32>,
    pub quota_schedules: Option<u32>,
    pub client_timeout: Duration,
    pub idle_timeout: Duration,
    /// The bytes that requests and responses may hold together: a quarter of the process's memory.
    pub request_memory_max: usize,
    pub max_connections: usize,
    pub rate_limit: Option<RateLimit>,
    pub misfire_policy: MisfirePolicy,
    pub misfire_grace: Duration,
    pub retry: Duration,
    pub late_task: Duration,
    pub task_names: TaskNames,
    pub read_roles: ReadRoles,
    pub instance_id: Option<String>,
    pub stop: Duration,
    pub https_proxy: Option<Secret>,
    pub no_proxy: Option<String>,
    pub skip_ssl_validation: bool,
    pub ca_cert_file: Option<PathBuf>,
    /// The URL of the heartbeat; its path may be a secret.
    pub heartbeat_url: Option<Secret>,
    /// The index of this instance of the app on Cloud Foundry.
    pub instance_index: Option<String>,
    pub broker: Option<BrokerConfig>,
    pub require_service_instance: bool,
    /// The public base URL of the service, without a trailing slash.
    pub api_endpoint: Option<String>,
    /// `None`: no dashboard.
    pub dashboard: Option<DashboardConfig>,
    /// All settings for display, without secrets, in the order of [`SETTINGS`].
    pub in_force: Vec<SettingInForce>,
}

/// A setting as shown to users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingInForce {
    /// The environment variable.
    pub variable: &'static str,
    /// The value that the service uses, or the default in the words of the help; for a secret only whether it
    /// is set. May be empty.
    pub value: String,
    /// Whether it was set by a flag, a variable or a file.
    pub is_set: bool,
}

/// Settings of the dashboard.
#[derive(Debug, Clone)]
pub struct DashboardConfig {
    /// The key of the sessions is derived from it; `None`: from a random one in the database.
    pub session_secret: Option<Secret>,
    /// Id and secret of the UAA client for signing in.
    pub client: Option<(String, Secret)>,
}

/// How `serve` reaches Cloud Foundry.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is described in SETTINGS under its variable")]
pub struct CloudFoundryConfig {
    pub cf_endpoint: String,
    pub uaa_endpoint: Option<String>,
    pub client_id: String,
    pub client_secret: Secret,
}

/// Everything that is wrong with the settings, one message each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings are wrong:")?;
        for fault in &self.0 {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}

/// Flags as (name without dashes, value).
pub type Flags = Vec<(String, String)>;

impl Config {
    /// Reads the settings from `flags` and the environment of the process.
    pub fn from_environment(mode: Mode, flags: &Flags) -> Result<Self, ConfigError> {
        Self::read(mode, flags, variable)
    }

    /// The settings for outgoing requests.
    pub fn outbound(&self) -> Outbound {
        Outbound {
            skip_ssl_validation: self.skip_ssl_validation,
            ca_cert_file: self.ca_cert_file.clone(),
            https_proxy: self.https_proxy.as_ref().map(|proxy| proxy.reveal().to_owned()),
            no_proxy: self.no_proxy.clone(),
            ..Outbound::default()
        }
    }

    /// Where `standalone` keeps its file and its tasks: beside the SQLite file, else in the working
    /// directory.
    pub fn state_dir(&self) -> PathBuf {
        state_dir(&self.database)
    }

    /// Reads and checks all settings. A flag wins over its variable, and a blank value counts as unset.
    pub fn read(
        mode: Mode,
        flags: &Flags,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut reader = Reader { flags, environment: &environment, faults: Vec::new() };
        let config = reader.config(mode);
        match (config, reader.faults.is_empty()) {
            (Some(config), true) => Ok(config),
            _ => Err(ConfigError(reader.faults)),
        }
    }
}

/// The settings for outgoing requests, for a command that needs only [`OUTBOUND_SETTINGS`].
pub fn outbound(flags: &Flags) -> Result<Outbound, ConfigError> {
    let mut reader = Reader { flags, environment: &variable, faults: Vec::new() };
    reader.check_secret_files(&["HTTPS_PROXY"]);
    let outbound = reader.outbound();
    if reader.faults.is_empty() { Ok(outbound) } else { Err(ConfigError(reader.faults)) }
}

/// See [`Config::state_dir`].
pub fn state_dir(database: &Location) -> PathBuf {
    let mut state_dir = match database {
        Location::Sqlite(path) => path.clone().into_os_string(),
        Location::Postgres(_) => "scheduler.db".into(),
    };
    state_dir.push(".tasks");
    state_dir.into()
}

/// The settings that name files.
#[derive(Debug)]
pub struct Files {
    /// The apps and tokens of `standalone`.
    pub standalone_config: Option<PathBuf>,
    /// `None` if the setting is wrong.
    pub database: Option<Location>,
    /// With the certificates.
    pub outbound: Outbound,
}

/// The settings that name files. Ignores faults in other settings.
pub fn files(flags: &Flags) -> Files {
    let mut reader = Reader { flags, environment: &variable, faults: Vec::new() };
    Files {
        standalone_config: reader.text("STANDALONE_CONFIG").map(PathBuf::from),
        database: reader.database(),
        outbound: reader.outbound(),
    }
}

/// Whether the settings name a Cloud Foundry.
pub fn names_cloud_foundry(flags: &Flags) -> bool {
    let reader = Reader { flags, environment: &variable, faults: Vec::new() };
    reader.text("CF_ENDPOINT").is_some() || variable("VCAP_APPLICATION").is_some()
}

/// The beginning of an error, up to `must`: the setting and its value, unless it may hold a password.
fn setting_and_value(name: &str, value: &str) -> String {
    if value.contains('@') { name.to_owned() } else { format!("{name} is {value:?}; it") }
}

/// Reads an environment variable.
pub fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The crash point of a test; see [`crate::base::crash`].
pub fn crash_point() -> Option<String> {
    if !cfg!(debug_assertions) {
        return None;
    }
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    std::env::var("OCF_CRASH_POINT").ok()
}

/// Parses the URL of a database in `flag`.
///
/// # Errors
/// A message for the user. It does not show the value, which may hold a password.
pub fn location(flag: &str, text: &str) -> Result<Location, String> {
    location::location(flag, text)
}

/// All environment variables, for processes that inherit some of them.
pub fn whole_environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mode: Mode, flags: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let flags = flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::read(mode, &flags, |name| {
            variables.iter().find(|(variable, _)| variable == name).map(|(_, value)| value.clone())
        })
    }

    const NEEDED: &[(&str, &str)] = &[
        ("CF_ENDPOINT", "https://api.example.com"),
        ("CLIENT_ID", "scheduler"),
        ("CLIENT_SECRET", "s3cret"),
    ];

    #[test]
    fn serve_needs_a_cloud_foundry_and_reports_everything_missing_at_once() {
        let faults = read(Mode::Serve, &[], &[("WORKER_NUM", "many"), ("LOG_LEVEL", "loud")]).unwrap_err().0;
        let text = faults.join("\n");
        for part in ["CF_ENDPOINT is missing", "CLIENT_ID is missing", "CLIENT_SECRET is missing"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(text.contains(r#"WORKER_NUM is "many"; it must be a whole number from 1 to 1000"#), "{text}");
        assert!(text.contains(r#"LOG_LEVEL is "loud"; it must be one of error, warn, info"#), "{text}");
        let fault =
            read(Mode::Standalone, &[("port", "x")], &[("SCHEDULER_PORT", "1")]).unwrap_err().to_string();
        assert!(
            fault.contains(r#"SCHEDULER_PORT (--port) is "x"; it must be a whole number from 0"#),
            "{fault}"
        );
        let fault =
            read(Mode::Serve, &[], &[&[("CF_ENDPOINT", "api.x")], &NEEDED[1..]].concat()).unwrap_err();
        assert!(
            fault.to_string().contains(r#"CF_ENDPOINT is "api.x"; it must begin with https://"#),
            "{fault}"
        );
        assert_eq!(faults.len(), 5, "{text}");
        let wrong_port = [("CF_ENDPOINT", "https://api.example.com:99999")];
        let fault = read(Mode::Serve, &[], &[&wrong_port[..], &NEEDED[1..]].concat()).unwrap_err();
        assert!(
            fault.to_string().contains("CF_ENDPOINT is") && fault.to_string().contains("65535"),
            "{fault}"
        );
    }

    #[test]
    fn settings_in_force_show_no_secret_and_no_password_of_a_url() {
        let flags = [("worker-num", "7")];
        let proxy = [
            ("HTTPS_PROXY", "http://me:hidden@proxy:1"),
            ("HEARTBEAT_URL", "https://hc.example.com/hidden"),
            ("BROKER_DOCUMENTATION_URL", "https://me:hidden@docs.example.com"),
            ("BROKER_ICON_URL", "https://cdn.example.com/icon?token=hidden"),
        ];
        let config = read(Mode::Serve, &flags, &[NEEDED, &proxy].concat()).unwrap();
        let of = |name: &str| config.in_force.iter().find(|it| it.variable == name).unwrap();
        assert_eq!((of("WORKER_NUM").value.as_str(), of("WORKER_NUM").is_set), ("7", true));
        assert_eq!(
            (of("CLIENT_ID").value.as_str(), of("CLIENT_SECRET").value.as_str()),
            ("scheduler", "hidden")
        );
        assert!(!of("HISTORY_DAYS").is_set && of("HISTORY_DAYS").value == "150");
        assert_eq!(of("BROKER_PASSWORD").value, "no broker", "the default, in words");
        let values: String = config.in_force.iter().map(|it| format!("{}\n", it.value)).collect();
        for secret in ["s3cret", "me:", "hc.example.com", "token="] {
            assert!(!values.contains(secret), "{secret}: {values}");
        }
    }

    #[test]
    fn settings_in_force_are_those_that_the_service_uses() {
        let shown = |mode: Mode, variables: &[(&str, &str)]| {
            let needed = if mode == Mode::Serve { NEEDED } else { &[] };
            read(mode, &[], &[needed, variables].concat()).unwrap().in_force
        };
        let elsewhere = [
            ("PORT", "8080"),
            ("SCHEDULER_WORKERS", "7"),
            ("https_proxy", "http://me:hidden@proxy:1"),
            ("no_proxy", "internal"),
            ("RATE_LIMIT_PER_SECOND", "5"),
            ("DATABASE_URL", "postgres://me:hidden@db:5432/scheduler"),
        ];
        let settings = shown(Mode::Serve, &elsewhere);
        let of = |name: &str| {
            let found = settings.iter().find(|it| it.variable == name).unwrap();
            (found.value.as_str(), found.is_set)
        };
        assert_eq!(of("SCHEDULER_PORT"), ("8080", true));
        assert_eq!(of("WORKER_NUM"), ("7", true));
        assert_eq!(of("HTTPS_PROXY"), ("hidden", true));
        assert_eq!(of("NO_PROXY"), ("internal", true));
        assert_eq!(of("RATE_LIMIT_BURST"), ("5", false));
        assert_eq!(of("SCHEDULER_HOST"), ("0.0.0.0", false));
        assert_eq!(of("DATABASE_URL"), ("postgres://db:5432/scheduler", true));
        #[cfg(feature = "postgres")]
        assert_eq!(of("HTTP_THREADS"), ("64", false));
        assert!(settings.iter().all(|it| it.variable != "STANDALONE_CONFIG"));
        let settings = shown(Mode::Standalone, &[]);
        let of = |name: &str| settings.iter().find(|it| it.variable == name).map(|it| it.value.as_str());
        assert_eq!(of("SCHEDULER_HOST"), Some("127.0.0.1"));
        assert_eq!((of("HTTP_THREADS"), of("DATABASE_URL")), (Some("16"), Some("scheduler.db")));
        assert_eq!((of("CF_ENDPOINT"), of("CLIENT_SECRET")), (None, None), "they do nothing there");
    }

    #[test]
    fn every_word_and_range_that_the_help_names_is_accepted_and_nothing_beyond() {
        // Two of the settings need these.
        let others = [("RATE_LIMIT_PER_SECOND", "5"), ("BROKER_USER", "u"), ("BROKER_PASSWORD", "p")];
        let check = |variable: &'static str, value: &str, is_good: bool| {
            let variables: Vec<(&str, &str)> =
                [NEEDED, &others, &[("PORT", "9"), (variable, value)]].concat().into_iter().rev().collect();
            let read = read(Mode::Serve, &[], &variables);
            assert_eq!(read.is_ok(), is_good, "{variable} {value}: {read:?}");
        };
        for Setting { variable, kind, default, help, .. } in SETTINGS {
            match kind {
                SettingKind::Text => (),
                SettingKind::Number { default: number, least, most } => {
                    check(variable, &least.to_string(), true);
                    check(variable, &most.to_string(), true);
                    check(variable, &(i64::from(*least) - 1).to_string(), false);
                    check(variable, &(i64::from(*most) + 1).to_string(), false);
                    assert!(help.ends_with(&format!(" ({least} to {most})")), "{help}");
                    assert!(number.is_none_or(|number| number.to_string() == *default), "{variable}");
                }
                SettingKind::Choice { words, .. } => {
                    words.iter().for_each(|word| check(variable, &word.to_uppercase(), true));
                    check(variable, "another", false);
                    assert!(words.contains(default) && help.ends_with(&words.join(", ")), "{help}");
                }
                SettingKind::Bool { .. } => {
                    settings::BOOL_WORDS.iter().for_each(|word| check(variable, word, true));
                    check(variable, "yes", false);
                }
            }
        }
    }

    #[test]
    fn no_wrong_setting_hides_another_one() {
        let wrong = |Setting { variable, kind, .. }: &Setting| match (kind, *variable) {
            (SettingKind::Text, "API_ENDPOINT" | "CF_ENDPOINT" | "UAA_ENDPOINT" | "HEARTBEAT_URL") => true,
            (SettingKind::Text, "BROKER_USER" | "BROKER_SERVICE_NAME" | "BROKER_ICON_URL") => true,
            (SettingKind::Text, "DATABASE_URL" | "SCHEDULER_HOST" | "DEFAULT_TIMEZONE") => true,
            (SettingKind::Text, "TASK_NAME" | "READ_ROLES" | "METRICS_TOKEN") => true,
            (SettingKind::Text, _) => false,
            _ => true,
        };
        let wrong: Vec<&str> = SETTINGS.iter().filter(|it| wrong(it)).map(|it| it.variable).collect();
        let all: Vec<(&str, &str)> = wrong.iter().map(|variable| (*variable, "mysql://no: :no")).collect();
        let faults = read(Mode::Serve, &[], &all).unwrap_err();
        for variable in &wrong {
            let named = |fault: &String| fault.starts_with(&format!("{variable} "));
            assert!(faults.0.iter().any(named), "{variable} is hidden: {faults}");
        }
        // Each one with another that is read before or after it.
        for variable in wrong {
            for other in ["WORKER_NUM", "HISTORY_DAYS", "DATABASE_CONNECTIONS", "QUOTA_JOBS"] {
                let both = [&NEEDED[1..], &[(other, "no"), (variable, "mysql://no: :no")]].concat();
                let faults = read(Mode::Serve, &[], &both).unwrap_err();
                for expected in [variable, other] {
                    let named = |fault: &String| fault.starts_with(&format!("{expected} "));
                    assert!(faults.0.iter().any(named), "{variable} hides {expected}: {faults}");
                }
            }
        }
    }

    #[test]
    fn a_flag_overrides_its_variable_and_scheduler_port_overrides_port() {
        let port = |flags: &[(&str, &str)], variables: &[(&str, &str)]| {
            read(Mode::Standalone, flags, variables).unwrap().port
        };
        assert_eq!(port(&[], &[]), 8000);
        assert_eq!(port(&[], &[("PORT", "1")]), 1);
        assert_eq!(port(&[], &[("PORT", "1"), ("SCHEDULER_PORT", "2")]), 2);
        assert_eq!(port(&[("port", "3")], &[("PORT", "1"), ("SCHEDULER_PORT", "2")]), 3);
        assert_eq!(port(&[], &[("SCHEDULER_PORT", " ")]), 8000);
    }

    #[test]
    fn the_names_of_the_go_service_2_are_understood_and_two_numbers_of_workers_are_refused() {
        let workers = |flags: &[(&str, &str)], variables: &[(&str, &str)]| {
            read(Mode::Standalone, flags, variables).map(|config| config.worker_num)
        };
        let (three, four) = (("WORKER_NUM", "3"), ("SCHEDULER_WORKERS", "4"));
        assert_eq!(workers(&[], &[]).unwrap(), 20);
        assert_eq!(workers(&[], &[four]).unwrap(), 4);
        assert_eq!(workers(&[], &[("WORKER_NUM", "4"), four]).unwrap(), 4);
        assert_eq!(workers(&[], &[("WORKER_NUM", ""), four]).unwrap(), 4);
        assert_eq!(workers(&[("worker-num", "5")], &[three, four]).unwrap(), 5);
        let fault = workers(&[], &[three, four]).unwrap_err().to_string();
        assert!(fault.contains("WORKER_NUM is 3 and SCHEDULER_WORKERS is 4"), "{fault}");
        let fault = workers(&[], &[("SCHEDULER_WORKERS", "many")]).unwrap_err().to_string();
        assert!(fault.contains(r#"SCHEDULER_WORKERS is "many"; it must be a whole number"#), "{fault}");

        for (name, level) in
            [("warning", LevelFilter::Warn), ("fatal", LevelFilter::Error), ("Panic", LevelFilter::Error)]
        {
            let config = read(Mode::Standalone, &[], &[("LOG_LEVEL", name)]).unwrap();
            assert_eq!(config.log_level, level, "{name}");
        }
    }

    #[test]
    fn every_secret_may_come_from_a_file_and_no_fault_shows_what_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (good, empty) = (file("good", " s3cret\n"), file("empty", "\n"));
        let large = file("large", &"s3cret".repeat(11_000));
        let read_client =
            |name: &str, path: &str| read(Mode::Serve, &[], &[&NEEDED[..2], &[(name, path)]].concat());
        let config = read_client("CLIENT_SECRET_FILE", &good).unwrap();
        assert_eq!(config.cloud_foundry.unwrap().client_secret.reveal(), "s3cret");
        let flag = [("client-secret-file", good.as_str())];
        assert!(read(Mode::Serve, &flag, &NEEDED[..2]).is_ok());
        for (path, said) in
            [(empty, "is empty"), (large, "more than 65536 bytes"), ("/".to_owned(), "cannot be read")]
        {
            let faults = read_client("CLIENT_SECRET_FILE", &path).unwrap_err();
            assert_eq!(faults.0.len(), 1, "{faults}");
            assert!(faults.0[0].contains("CLIENT_SECRET_FILE is") && faults.0[0].contains(said), "{faults}");
            assert!(!faults.to_string().contains("s3cret"), "{faults}");
        }
        let both = [NEEDED, &[("CLIENT_SECRET_FILE", good.as_str())]].concat();
        let fault = read(Mode::Serve, &[], &both).unwrap_err().to_string();
        assert!(fault.contains("CLIENT_SECRET and CLIENT_SECRET_FILE are both set"), "{fault}");
        for secret in settings::SECRETS {
            let named = format!("{secret}_FILE");
            let row = SETTINGS.iter().find(|setting| setting.variable == named).unwrap();
            assert_eq!(row.flag, format!("{}-file", settings::setting(secret).flag));
            let missing =
                read(Mode::Standalone, &[], &[(&named, "/nowhere/at/all")]).unwrap_err().to_string();
            assert!(missing.contains(&named) && missing.contains("cannot be read"), "{missing}");
        }
    }

    #[test]
    fn standalone_listens_only_on_this_machine_by_default() {
        assert!(read(Mode::Standalone, &[], &[]).unwrap().host.is_loopback());
        assert!(read(Mode::Serve, &[], NEEDED).unwrap().host.is_unspecified());
        assert!(read(Mode::Standalone, &[("host", "0.0.0.0")], &[]).unwrap().host.is_unspecified());
    }

    #[test]
    fn calls_reach_loopback_addresses_in_standalone_or_where_it_is_allowed() {
        let reach = |mode: Mode, variables: &[(&'static str, &'static str)]| {
            read(mode, &[], &[NEEDED, variables].concat()).unwrap().call_reach
        };
        let (allowed, denied) = (("CALL_ALLOW_LOOPBACK", "true"), ("CALL_DENY_PRIVATE", "true"));
        assert_eq!(reach(Mode::Serve, &[]), Reach::BeyondMachine);
        assert_eq!(reach(Mode::Serve, &[allowed]), Reach::BeyondLink);
        assert_eq!(reach(Mode::Serve, &[allowed, denied]), Reach::PublicOnly);
        assert_eq!(reach(Mode::Standalone, &[]), Reach::Anywhere);
        assert_eq!(reach(Mode::Standalone, &[("CALL_ALLOW_LOOPBACK", "false")]), Reach::BeyondMachine);
        assert_eq!(reach(Mode::Standalone, &[denied]), Reach::PublicOnly);
    }

    #[test]
    fn database_urls_are_paths_and_refusals_never_show_the_value() {
        let database =
            |url: &str| read(Mode::Standalone, &[], &[("DATABASE_URL", url)]).map(|config| config.database);
        let file = |path: &str| Location::Sqlite(PathBuf::from(path));
        assert_eq!(database("sqlite:///var/lib/s.db").unwrap(), file("/var/lib/s.db"));
        assert_eq!(database("sqlite://s.db").unwrap(), file("s.db"));
        assert_eq!(database("data/s.db").unwrap(), file("data/s.db"));
        let url = "postgres://u:hunter2@h:1/d?sslmode=require";
        let location = database(url).unwrap();
        assert_eq!(location, Location::Postgres(Secret::from(url.to_owned())));
        assert_eq!(location.shown(), "postgres://h:1/d");
        assert!(!format!("{location:?}").contains("hunter2"));
        for url in ["mysql://u:hunter2@h/d", "sqlite://", "sqlite::memory:", "x.db?hunter2"] {
            let fault = database(url).unwrap_err().to_string();
            assert!(fault.contains("sqlite://"), "{fault}");
            assert!(!fault.contains("hunter2"), "{fault}");
        }
    }

    #[test]
    fn on_cloud_foundry_the_bound_service_and_the_application_name_the_servers() {
        let services = r#"{"z-mail":[{"credentials":{"uri":"smtp://h"}}],
            "a-sql":[{"credentials":{"host":"h"}},{"credentials":{"uri":"postgresql://u:hunter2@first/d"}}],
            "b-sql":[{"credentials":{"uri":"postgres://u:hunter2@second/d"}}]}"#;
        let variables = [
            ("VCAP_SERVICES", services),
            ("VCAP_APPLICATION", r#"{"cf_api":"https://api.sys.test","name":"scheduler"}"#),
        ];
        let config = read(Mode::Serve, &[], &[&variables[..], &NEEDED[1..]].concat()).unwrap();
        assert_eq!(config.database.shown(), "postgresql://first/d");
        assert_eq!(config.cloud_foundry.unwrap().cf_endpoint, "https://api.sys.test");
        let config =
            read(Mode::Serve, &[("database-url", "x.db")], &[&variables[..], NEEDED].concat()).unwrap();
        assert_eq!(config.database.shown(), "x.db");
        assert_eq!(config.cloud_foundry.unwrap().cf_endpoint, "https://api.example.com");
        let broken = read(Mode::Standalone, &[], &[("VCAP_SERVICES", "{hunter2")]).unwrap_err().to_string();
        assert!(broken.contains("VCAP_SERVICES") && !broken.contains("hunter2"), "{broken}");
    }

    #[test]
    fn without_a_rate_there_is_no_limit_and_the_burst_defaults_to_the_rate() {
        let rate = |flags: &[(&str, &str)], variables: &[(&str, &str)]| {
            read(Mode::Standalone, flags, variables).map(|config| config.rate_limit)
        };
        let limit = |per_second, burst| Ok(Some(RateLimit { per_second, burst }));
        assert_eq!(rate(&[], &[]), Ok(None));
        assert_eq!(rate(&[("rate-limit-per-second", "0")], &[("RATE_LIMIT_BURST", "7")]), Ok(None));
        assert_eq!(rate(&[("rate-limit-per-second", "5")], &[]), limit(5, 5));
        assert_eq!(rate(&[("rate-limit-burst", "9")], &[("RATE_LIMIT_PER_SECOND", "5")]), limit(5, 9));
        assert!(rate(&[], &[("RATE_LIMIT_BURST", "9")]).unwrap_err().to_string().contains("needs"));
    }

    #[test]
    fn metrics_may_have_their_own_port() {
        let port = |metrics_port: &str| {
            read(Mode::Standalone, &[], &[("METRICS_PORT", metrics_port)]).map(|config| config.metrics_port)
        };
        assert_eq!((port(" "), port("0"), port("9100")), (Ok(None), Ok(Some(0)), Ok(Some(9100))));
        for wrong in ["8000", "x", "65536"] {
            assert!(port(wrong).unwrap_err().to_string().contains("METRICS_PORT is"), "{wrong}");
        }
    }

    #[test]
    fn names_of_tasks_and_instances_follow_the_settings_and_impossible_ones_are_faults() {
        let read = |variables: &[(&str, &str)]| read(Mode::Standalone, &[], variables);
        let config = read(&[("TASK_NAME", "{job}-|-{execution}"), ("INSTANCE_ID", " blue ")]).unwrap();
        assert_eq!(config.task_names, TaskNames::parse("{job}-|-{execution}").unwrap());
        assert_eq!(config.instance_id.as_deref(), Some("blue"));
        let config = read(&[]).unwrap();
        assert_eq!((config.task_names, config.instance_id), (TaskNames::default(), None));
        let fault = read(&[("TASK_NAME", "{job}")]).unwrap_err().to_string();
        assert!(fault.contains(r#"TASK_NAME is "{job}"; it must contain {execution}"#), "{fault}");
        for wrong in ["a\u{7}b", &"x".repeat(256)] {
            let fault = read(&[("INSTANCE_ID", wrong)]).unwrap_err().to_string();
            assert!(fault.contains("INSTANCE_ID is"), "{fault}");
        }
    }

    #[test]
    fn a_token_that_no_client_could_send_is_refused() {
        let read = |token: &str| read(Mode::Standalone, &[], &[("METRICS_TOKEN", token)]);
        assert!(read(" a-Z_0.~+/= ").is_ok());
        for wrong in ["s3cret s3cret", "s3crét", "s3cret\u{7f}"] {
            let fault = read(wrong).unwrap_err().to_string();
            assert!(fault.contains("METRICS_TOKEN has") && !fault.contains("s3cr"), "{fault}");
        }
    }

    #[test]
    fn no_secret_is_shown_by_debug_nor_by_a_fault() {
        let secrets = [("HTTPS_PROXY", "http://u:s3cret@proxy"), ("METRICS_TOKEN", "s3cret")];
        let config = read(Mode::Serve, &[], &[NEEDED, &secrets].concat()).unwrap();
        assert!(!format!("{config:?} {:?}", config.outbound()).contains("s3cret"));
        let wrong = [("CF_ENDPOINT", "u:s3cret@api.example.com"), ("UAA_ENDPOINT", "ldap://u:s3cret@uaa")];
        let faults = read(Mode::Serve, &[], &[&wrong[..], &NEEDED[1..]].concat()).unwrap_err();
        assert_eq!(faults.0.len(), 2);
        assert!(!faults.to_string().contains("s3cret"), "{faults}");
    }
}
