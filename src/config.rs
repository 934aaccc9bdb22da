//! Settings: the environment and the flags, read once, checked as a whole.
//!
//! Invariant: the only module that reads the environment. A secret given here is never shown again.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use log::LevelFilter;

use crate::cron::Weekdays;
use crate::model::Secret;
use crate::outbound::{Outbound, Reach};
use crate::store::{self, Location};

mod location;
mod vcap;

mod broker;

pub use broker::{BrokerConfig, CatalogConfig};

/// Where tasks run and tokens are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In front of a Cloud Foundry.
    Serve,
    /// With no Cloud Foundry: local processes, tokens from a file.
    Standalone,
}

/// A setting: its variable, its flag, what holds without it, and what it means.
#[derive(Debug)]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// The flag, without its dashes.
    pub flag: &'static str,
    /// The default, as text for people; empty when there is none.
    pub default: &'static str,
    /// What it means, in a line.
    pub help: &'static str,
}

const fn setting(
    variable: &'static str,
    flag: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { variable, flag, default, help }
}

/// All settings, in the order in which people meet them.
pub const SETTINGS: &[Setting] = &[
    setting(
        "CF_ENDPOINT",
        "cf-endpoint",
        "cf_api of VCAP_APPLICATION",
        "base URL of the Cloud Foundry API (serve needs it)",
    ),
    setting("UAA_ENDPOINT", "uaa-endpoint", "found through CF_ENDPOINT", "base URL of the UAA"),
    setting("CLIENT_ID", "client-id", "", "UAA client that the service itself uses (serve needs it)"),
    setting("CLIENT_SECRET", "client-secret", "", "its secret (serve needs it)"),
    setting(
        "DATABASE_URL",
        "database-url",
        "a bound service, else sqlite://scheduler.db",
        "sqlite://PATH or a bare path; postgres://USER:PASSWORD@HOST:PORT/NAME",
    ),
    setting(
        "DATABASE_CONNECTIONS",
        "database-connections",
        "8",
        "PostgreSQL: connections at one time (2 to 100)",
    ),
    setting(
        "SCHEDULER_PORT",
        "port",
        "8000",
        "port to listen on; 0 takes a free one. PORT counts when unset",
    ),
    setting(
        "SCHEDULER_HOST",
        "host",
        "0.0.0.0; standalone: 127.0.0.1",
        "address to listen on: an IP address or localhost",
    ),
    setting("WORKER_NUM", "worker-num", "20", "worker threads: calls in flight at most (1 to 1000)"),
    setting("HTTP_THREADS", "http-threads", "16", "threads that answer requests (1 to 1000)"),
    setting("LOG_LEVEL", "log-level", "info", "error, warn, info, debug, trace"),
    setting("LOG_FORMAT", "log-format", "text", "text, or json: one object a line"),
    setting("METRICS_TOKEN", "metrics-token", "", "bearer token that /metrics asks for; unset: none"),
    setting(
        "METRICS_PORT",
        "metrics-port",
        "",
        "port for /metrics, which the other port does not answer then; 0 takes a free one",
    ),
    setting(
        "AUTH_CACHE_SECONDS",
        "auth-cache-seconds",
        "60",
        "how long a verdict of UAA and CF is believed; 0 asks each time",
    ),
    setting("CALL_TIMEOUT_SECONDS", "call-timeout-seconds", "60", "time for a call, redirects included"),
    setting(
        "CALL_DENY_PRIVATE",
        "call-deny-private",
        "false",
        "true: calls go to public addresses only, redirects included",
    ),
    setting("TASK_POLL_SECONDS", "task-poll-seconds", "2", "pace of looking at running tasks"),
    setting("HISTORY_DAYS", "history-days", "150", "days that ended executions are kept"),
    setting(
        "HISTORY_MAX_PER_EXECUTABLE",
        "history-max-per-executable",
        "no limit",
        "ended executions kept of each job or call",
    ),
    setting("CRON_WEEKDAYS", "cron-weekdays", "unix", "unix: 0 or 7 is Sunday; quartz: 1 is Sunday"),
    setting(
        "CLIENT_TIMEOUT_SECONDS",
        "client-timeout-seconds",
        "30",
        "a request must have arrived by then; an idle connection ends after twice that",
    ),
    setting("MAX_CONNECTIONS", "max-connections", "1024", "client connections at one time (1 to 65536)"),
    setting(
        "RATE_LIMIT_PER_SECOND",
        "rate-limit-per-second",
        "no limit",
        "requests a second of one caller; more are answered 429",
    ),
    setting(
        "RATE_LIMIT_BURST",
        "rate-limit-burst",
        "RATE_LIMIT_PER_SECOND",
        "requests of one caller at once, after a pause",
    ),
    setting("MISFIRE_POLICY", "misfire-policy", "once", "missed fire times: skip, once or all"),
    setting(
        "MISFIRE_GRACE_SECONDS",
        "misfire-grace-seconds",
        "60",
        "a fire time that is later than this is a missed one",
    ),
    setting(
        "RETRY_SECONDS",
        "retry-seconds",
        "600",
        "how long a task is tried for while Cloud Foundry is in trouble",
    ),
    setting(
        "LATE_TASK_SECONDS",
        "late-task-seconds",
        "60",
        "a task whose creation was not answered may turn up for so long; only then is it created again",
    ),
    setting("STOP_SECONDS", "stop-seconds", "8", "time for calls in flight when the service stops"),
    setting("HTTPS_PROXY", "https-proxy", "", "proxy towards CF, UAA and call targets"),
    setting("NO_PROXY", "no-proxy", "", "hosts to reach without the proxy, separated by commas"),
    setting(
        "SKIP_SSL_VALIDATION",
        "skip-ssl-validation",
        "false",
        "true: do not verify TLS certificates of CF, UAA and call targets",
    ),
    setting("CA_CERT_FILE", "ca-cert-file", "system roots", "PEM file of certificates to trust as well"),
    setting("BROKER_USER", "broker-user", "no broker", "user of the service broker at /v2"),
    setting("BROKER_PASSWORD", "broker-password", "no broker", "password of the service broker"),
    setting(
        "API_ENDPOINT",
        "api-endpoint",
        "as the broker is asked",
        "base URL of the service, for those who bind it (the broker's credentials)",
    ),
    setting(
        "REQUIRE_SERVICE_INSTANCE",
        "require-service-instance",
        "false",
        "true: a space needs an instance of the service to create jobs and calls",
    ),
    setting("BROKER_SERVICE_NAME", "broker-service-name", broker::SERVICE_NAME, "service in the marketplace"),
    setting("BROKER_SERVICE_ID", "broker-service-id", broker::SERVICE_ID, "its id; other brokers' differ"),
    setting("BROKER_DESCRIPTION", "broker-description", broker::DESCRIPTION, "its description"),
    setting("BROKER_PLAN_NAME", "broker-plan-name", broker::PLAN_NAME, "its only plan"),
    setting("BROKER_PLAN_ID", "broker-plan-id", broker::PLAN_ID, "the plan's id; other brokers' differ"),
    setting(
        "BROKER_PLAN_DESCRIPTION",
        "broker-plan-description",
        broker::PLAN_DESCRIPTION,
        "the plan's description",
    ),
    setting("BROKER_DOCUMENTATION_URL", "broker-documentation-url", "", "its documentation"),
    setting(
        "BROKER_DASHBOARD_URL",
        "broker-dashboard-url",
        "",
        "dashboard of an instance; {instance_id} and {space_guid} stand for those",
    ),
    setting("BROKER_ICON_URL", "broker-icon-url", "a clock", "its icon: http(s), or data:"),
    setting("STANDALONE_CONFIG", "config", "made on first start", "standalone: TOML file of apps and tokens"),
];

/// The variables of the settings that say how other servers are reached.
pub const OUTBOUND_SETTINGS: [&str; 4] = ["HTTPS_PROXY", "NO_PROXY", "SKIP_SSL_VALIDATION", "CA_CERT_FILE"];

/// How lines are written to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What becomes of fire times that nobody served in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MisfirePolicy {
    /// None of them runs.
    Skip,
    /// The latest runs and stands for all.
    Once,
    /// Each runs, oldest first, up to a bound.
    All,
}

/// How often one caller may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests a second, in the long run; at least 1.
    pub per_second: u32,
    /// Requests at once, after a pause; at least 1.
    pub burst: u32,
}

const PORT_ALLOWED: &str = "a whole number from 0 to 65535";

/// Everything that can be set. Values are within the ranges that [`SETTINGS`] names.
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
    pub weekdays: Weekdays,
    pub client_timeout: Duration,
    pub max_connections: usize,
    pub rate_limit: Option<RateLimit>,
    pub misfire_policy: MisfirePolicy,
    pub misfire_grace: Duration,
    pub retry: Duration,
    pub late_task: Duration,
    pub stop: Duration,
    pub https_proxy: Option<Secret>,
    pub no_proxy: Option<String>,
    pub skip_ssl_validation: bool,
    pub ca_cert_file: Option<PathBuf>,
    pub broker: Option<BrokerConfig>,
    pub require_service_instance: bool,
}

/// What `serve` needs to talk to a Cloud Foundry.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each field is described in SETTINGS under its variable")]
pub struct CloudFoundryConfig {
    pub cf_endpoint: String,
    pub uaa_endpoint: Option<String>,
    pub client_id: String,
    pub client_secret: Secret,
}

/// All that is wrong with the settings, a line each.
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

/// The flags of a command line: (name without dashes, value).
pub type Flags = Vec<(String, String)>;

impl Config {
    /// Reads the settings of the process's environment, over which `flags` win.
    pub fn from_environment(mode: Mode, flags: &Flags) -> Result<Self, ConfigError> {
        Self::read(mode, flags, variable)
    }

    /// How outgoing requests are made.
    pub fn outbound(&self) -> Outbound {
        Outbound {
            skip_ssl_validation: self.skip_ssl_validation,
            ca_cert_file: self.ca_cert_file.clone(),
            https_proxy: self.https_proxy.as_ref().map(|proxy| proxy.reveal().to_owned()),
            no_proxy: self.no_proxy.clone(),
            ..Outbound::default()
        }
    }

    /// How the database is reached.
    pub fn store(&self) -> store::Settings {
        store::Settings {
            database: self.database.clone(),
            connections: self.database_connections,
            ca_cert_file: self.ca_cert_file.clone(),
            skip_ssl_validation: self.skip_ssl_validation,
        }
    }

    /// Reads the settings from `flags` and `environment`, and checks them all before it answers.
    /// A blank variable counts as unset.
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

/// How outgoing requests are made, for a process that needs no other setting than those of [`OUTBOUND_SETTINGS`].
pub fn outbound(flags: &Flags) -> Result<Outbound, ConfigError> {
    let mut reader = Reader { flags, environment: &variable, faults: Vec::new() };
    let outbound = reader.outbound();
    if reader.faults.is_empty() { Ok(outbound) } else { Err(ConfigError(reader.faults)) }
}

/// The settings that are looked into before a start, whatever else is wrong: the file of apps and tokens, and how outgoing
/// requests are made.
pub fn looked_into(flags: &Flags) -> (Option<PathBuf>, Outbound) {
    let mut reader = Reader { flags, environment: &variable, faults: Vec::new() };
    (reader.text("STANDALONE_CONFIG").map(PathBuf::from), reader.outbound())
}

/// The beginning of a fault, up to its `must`: the setting with its value, unless that may hold a password.
fn blamed(name: &str, value: &str) -> String {
    if value.contains('@') { name.to_owned() } else { format!("{name} is {value:?}; it") }
}

/// A variable of the environment.
pub fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The place at which a test ends this process; see [`crate::crash`].
pub fn crash_point() -> Option<String> {
    if !cfg!(debug_assertions) {
        return None;
    }
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    std::env::var("OCF_CRASH_POINT").ok()
}

/// Where the database is that a flag names.
///
/// # Errors
/// A text for people that does not show the value, for a URL may hold a password.
pub fn location(flag: &str, text: &str) -> Result<Location, String> {
    location::location(flag, text)
}

/// All variables, for those who hand some of them on.
pub fn whole_environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

/// Collects values and, in passing, everything that is wrong with them.
struct Reader<'a> {
    flags: &'a Flags,
    environment: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<String>,
}

impl Reader<'_> {
    fn config(&mut self, mode: Mode) -> Option<Config> {
        let standalone = mode == Mode::Standalone;
        let cloud_foundry = if standalone { None } else { self.cloud_foundry() };
        let database = self.database();
        let port = match (self.text("SCHEDULER_PORT"), (self.environment)("PORT").filter(is_not_blank)) {
            (Some(text), _) => self.parse("SCHEDULER_PORT", &text, PORT_ALLOWED),
            (None, Some(text)) => self.parse("PORT", &text, PORT_ALLOWED),
            (None, None) => Some(8000),
        };
        let metrics_port = self.metrics_port(port);
        let host = self.host(standalone);
        let log_level = self.choice(
            "LOG_LEVEL",
            LevelFilter::Info,
            &[
                ("error", LevelFilter::Error),
                ("warn", LevelFilter::Warn),
                ("info", LevelFilter::Info),
                ("debug", LevelFilter::Debug),
                ("trace", LevelFilter::Trace),
            ],
        );
        let log_format = self.choice(
            "LOG_FORMAT",
            LogFormat::Text,
            &[("text", LogFormat::Text), ("json", LogFormat::Json)],
        );
        let weekdays = self.choice(
            "CRON_WEEKDAYS",
            Weekdays::Unix,
            &[("unix", Weekdays::Unix), ("quartz", Weekdays::Quartz)],
        );
        let misfire_policy = self.choice(
            "MISFIRE_POLICY",
            MisfirePolicy::Once,
            &[("skip", MisfirePolicy::Skip), ("once", MisfirePolicy::Once), ("all", MisfirePolicy::All)],
        );
        let skip_ssl_validation = self.skip_ssl_validation();
        let call_reach = self.choice(
            "CALL_DENY_PRIVATE",
            Reach::Anywhere,
            &[
                ("true", Reach::PublicOnly),
                ("false", Reach::Anywhere),
                ("1", Reach::PublicOnly),
                ("0", Reach::Anywhere),
            ],
        );
        // The lower-case names are the older custom, and curl's.
        let https_proxy = self.text_or("HTTPS_PROXY", "https_proxy");
        let no_proxy = self.text_or("NO_PROXY", "no_proxy");
        let broker = self.broker();
        let require_service_instance = self.require_service_instance(broker.is_some());
        Some(Config {
            mode,
            broker,
            require_service_instance: require_service_instance?,
            standalone_config: self.text("STANDALONE_CONFIG").map(PathBuf::from),
            worker_num: self.number("WORKER_NUM", 20, 1, 1000) as usize,
            http_threads: self.number("HTTP_THREADS", 16, 1, 1000) as usize,
            metrics_token: self.metrics_token(),
            metrics_port,
            auth_cache: self.seconds("AUTH_CACHE_SECONDS", 60, 0, 86_400),
            call_timeout: self.seconds("CALL_TIMEOUT_SECONDS", 60, 1, 86_400),
            task_poll: self.seconds("TASK_POLL_SECONDS", 2, 1, 3600),
            history: Duration::from_secs(86_400 * u64::from(self.number("HISTORY_DAYS", 150, 1, 36_500))),
            history_max_per_executable: self
                .text("HISTORY_MAX_PER_EXECUTABLE")
                .map(|_| self.number("HISTORY_MAX_PER_EXECUTABLE", 1, 1, u32::MAX)),
            client_timeout: self.seconds("CLIENT_TIMEOUT_SECONDS", 30, 1, 3600),
            rate_limit: self.rate_limit(),
            max_connections: self.number("MAX_CONNECTIONS", 1024, 1, 65_536) as usize,
            misfire_grace: self.seconds("MISFIRE_GRACE_SECONDS", 60, 1, 86_400),
            retry: self.seconds("RETRY_SECONDS", 600, 1, 86_400),
            late_task: self.seconds("LATE_TASK_SECONDS", 60, 1, 3600),
            stop: self.seconds("STOP_SECONDS", 8, 0, 3600),
            ca_cert_file: self.text("CA_CERT_FILE").map(PathBuf::from),
            https_proxy: https_proxy.map(Secret::from),
            no_proxy,
            log_level: log_level?,
            log_format: log_format?,
            weekdays: weekdays?,
            misfire_policy: misfire_policy?,
            skip_ssl_validation: skip_ssl_validation?,
            call_reach: call_reach?,
            database: database?,
            database_connections: self.number("DATABASE_CONNECTIONS", 8, 2, 100) as usize,
            port: port?,
            host: host?,
            cloud_foundry: if standalone { None } else { Some(cloud_foundry?) },
        })
    }

    fn metrics_token(&mut self) -> Option<Secret> {
        let token = self.text("METRICS_TOKEN")?;
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            // Nobody could ever send it.
            self.faults.push(format!(
                "{} has a character that no bearer token can have; it must be of ASCII letters, digits and signs, \
                 without blanks",
                self.named("METRICS_TOKEN")
            ));
        }
        Some(Secret::from(token))
    }

    fn metrics_port(&mut self, port: Option<u16>) -> Option<u16> {
        let text = self.text("METRICS_PORT")?;
        let metrics_port = self.parse("METRICS_PORT", &text, PORT_ALLOWED)?;
        if metrics_port != 0 && port == Some(metrics_port) {
            self.faults.push(format!(
                "{} is {text:?}, the port of everything else; it must be another",
                self.named("METRICS_PORT")
            ));
        }
        Some(metrics_port)
    }

    fn rate_limit(&mut self) -> Option<RateLimit> {
        let is_set = self.text("RATE_LIMIT_PER_SECOND").is_some();
        let per_second = self.number("RATE_LIMIT_PER_SECOND", 0, 0, 1_000_000);
        let burst = self.number("RATE_LIMIT_BURST", per_second.max(1), 1, 1_000_000);
        if !is_set && self.text("RATE_LIMIT_BURST").is_some() {
            self.faults.push("RATE_LIMIT_BURST needs RATE_LIMIT_PER_SECOND".to_owned());
        }
        (per_second > 0).then_some(RateLimit { per_second, burst })
    }

    fn cloud_foundry(&mut self) -> Option<CloudFoundryConfig> {
        let cf_endpoint = match (self.environment)("VCAP_APPLICATION").and_then(|text| vcap::cf_api(&text)) {
            Some(cf_api) => Some(self.text("CF_ENDPOINT").unwrap_or(cf_api)),
            None => self.required("CF_ENDPOINT"),
        };
        let client_id = self.required("CLIENT_ID");
        let client_secret = self.required("CLIENT_SECRET");
        let uaa_endpoint = self.text("UAA_ENDPOINT");
        for (variable, url) in [("CF_ENDPOINT", &cf_endpoint), ("UAA_ENDPOINT", &uaa_endpoint)] {
            if let Some(url) = url
                && !(url.starts_with("https://") || url.starts_with("http://"))
            {
                let blamed = blamed(&self.named(variable), url);
                self.faults.push(format!("{blamed} must begin with https:// or http://"));
            }
        }
        Some(CloudFoundryConfig {
            cf_endpoint: cf_endpoint?,
            uaa_endpoint,
            client_id: client_id?,
            client_secret: Secret::from(client_secret?),
        })
    }

    fn database(&mut self) -> Option<Location> {
        let url = match self.text("DATABASE_URL") {
            Some(url) => url,
            None => match (self.environment)("VCAP_SERVICES").map(|text| vcap::database_url(&text)) {
                Some(Ok(Some(url))) => url,
                None | Some(Ok(None)) => "sqlite://scheduler.db".to_owned(),
                Some(Err(fault)) => {
                    self.faults.push(fault);
                    return None;
                }
            },
        };
        location::location("DATABASE_URL", &url).map_err(|fault| self.faults.push(fault)).ok()
    }

    fn host(&mut self, standalone: bool) -> Option<IpAddr> {
        match self.text("SCHEDULER_HOST").as_deref() {
            None if standalone => Some(Ipv4Addr::LOCALHOST.into()),
            None => Some(Ipv4Addr::UNSPECIFIED.into()),
            Some("localhost") => Some(Ipv4Addr::LOCALHOST.into()),
            Some(text) => self.parse("SCHEDULER_HOST", text, "an IP address or localhost"),
        }
    }

    /// The setting's flag and its value, when it was given as one.
    fn given(&self, variable: &str) -> Option<&(String, String)> {
        let setting = SETTINGS.iter().find(|setting| setting.variable == variable)?;
        self.flags.iter().rev().find(|(name, _)| name == setting.flag)
    }

    /// The setting's name, with its flag when it was given as one.
    fn named(&self, variable: &str) -> String {
        match self.given(variable) {
            Some((flag, _)) => format!("{variable} (--{flag})"),
            None => variable.to_owned(),
        }
    }

    /// The setting's text: its flag, else its variable, else nothing.
    fn text(&self, variable: &str) -> Option<String> {
        match self.given(variable) {
            Some((_, value)) => Some(value.clone()),
            None => (self.environment)(variable),
        }
        .map(|text| text.trim().to_owned())
        .filter(is_not_blank)
    }

    /// The same with a variable that counts when neither is there.
    fn text_or(&self, variable: &str, other: &str) -> Option<String> {
        self.text(variable).or_else(|| (self.environment)(other).filter(is_not_blank))
    }

    fn outbound(&mut self) -> Outbound {
        Outbound {
            skip_ssl_validation: self.skip_ssl_validation().unwrap_or_default(),
            ca_cert_file: self.text("CA_CERT_FILE").map(PathBuf::from),
            https_proxy: self.text_or("HTTPS_PROXY", "https_proxy"),
            no_proxy: self.text_or("NO_PROXY", "no_proxy"),
            ..Outbound::default()
        }
    }

    fn skip_ssl_validation(&mut self) -> Option<bool> {
        let choices = [("true", true), ("false", false), ("1", true), ("0", false)];
        self.choice("SKIP_SSL_VALIDATION", false, &choices)
    }

    fn required(&mut self, variable: &str) -> Option<String> {
        let text = self.text(variable);
        if text.is_none() {
            let help = SETTINGS
                .iter()
                .find(|setting| setting.variable == variable)
                .map_or("", |setting| setting.help);
            self.faults.push(format!("{variable} is missing: {help}"));
        }
        text
    }

    fn parse<T: FromStr>(&mut self, variable: &str, text: &str, allowed: &str) -> Option<T> {
        let value = text.trim().parse().ok();
        if value.is_none() {
            self.faults.push(format!("{} is {text:?}; it must be {allowed}", self.named(variable)));
        }
        value
    }

    fn number(&mut self, variable: &str, default: u32, least: u32, most: u32) -> u32 {
        let Some(text) = self.text(variable) else { return default };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => number,
            _ => {
                self.faults.push(format!(
                    "{} is {text:?}; it must be a whole number from {least} to {most}",
                    self.named(variable)
                ));
                default
            }
        }
    }

    fn seconds(&mut self, variable: &str, default: u32, least: u32, most: u32) -> Duration {
        Duration::from_secs(self.number(variable, default, least, most).into())
    }

    fn choice<T: Copy>(&mut self, variable: &str, default: T, choices: &[(&str, T)]) -> Option<T> {
        let Some(text) = self.text(variable) else { return Some(default) };
        let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text));
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.faults.push(format!(
                "{} is {text:?}; it must be one of {}",
                self.named(variable),
                names.join(", ")
            ));
        }
        found.map(|(_, value)| *value)
    }
}

#[expect(clippy::ptr_arg, reason = "Option<String>::filter hands a &String")]
fn is_not_blank(text: &String) -> bool {
    !text.trim().is_empty()
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
    fn serve_needs_a_cloud_foundry_and_says_all_that_is_missing_at_once() {
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
        assert_eq!(faults.len(), 5);
    }

    #[test]
    fn a_flag_wins_over_its_variable_and_scheduler_port_over_port() {
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
    fn standalone_listens_on_this_machine_only_unless_told_otherwise() {
        assert!(read(Mode::Standalone, &[], &[]).unwrap().host.is_loopback());
        assert!(read(Mode::Serve, &[], NEEDED).unwrap().host.is_unspecified());
        assert!(read(Mode::Standalone, &[("host", "0.0.0.0")], &[]).unwrap().host.is_unspecified());
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
    fn on_cloud_foundry_the_bound_service_and_the_application_say_where_things_are() {
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
    fn a_rate_is_off_unless_it_is_set_and_its_burst_is_as_much() {
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
    fn metrics_have_a_port_of_their_own_or_none() {
        let port = |metrics_port: &str| {
            read(Mode::Standalone, &[], &[("METRICS_PORT", metrics_port)]).map(|config| config.metrics_port)
        };
        assert_eq!((port(" "), port("0"), port("9100")), (Ok(None), Ok(Some(0)), Ok(Some(9100))));
        for wrong in ["8000", "x", "65536"] {
            assert!(port(wrong).unwrap_err().to_string().contains("METRICS_PORT is"), "{wrong}");
        }
    }

    #[test]
    fn a_token_that_nobody_could_send_is_a_fault() {
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
