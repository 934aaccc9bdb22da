//! The table of settings: the only place for their names, kinds, defaults, ranges and help texts.
//!
//! The reader takes defaults and ranges from here. The help, the completions, the manual page and
//! `docs/configuration.md` are generated from it.

use super::broker;

/// A setting of the service.
#[derive(Debug)]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// The flag, without its dashes.
    pub flag: &'static str,
    /// The kind of values that it accepts.
    pub kind: SettingKind,
    /// The default, as the help shows it; empty if there is none.
    pub default: &'static str,
    /// One line for the help, with the range or the choices.
    pub help: &'static str,
}

impl Setting {
    /// The values, if they are words.
    pub const fn words(&self) -> &'static [&'static str] {
        match self.kind {
            SettingKind::Choice { words, .. } => words,
            SettingKind::Bool { .. } => &["true", "false"],
            SettingKind::Number { .. } | SettingKind::Text => &[],
        }
    }
}

/// The values that a setting accepts.
#[derive(Debug)]
#[expect(missing_docs, reason = "the variants describe their fields")]
pub enum SettingKind {
    /// Text, a path or a URL. The reader checks its form.
    Text,
    /// A whole number from `least` to `most`. Without a `default`, the setting is off, or its default depends
    /// on another one.
    Number { default: Option<u32>, least: u32, most: u32 },
    /// One of these words, in upper or lower case.
    Choice { default: &'static str, words: &'static [&'static str] },
    /// `true` or `false`, or 1 or 0. The default may differ between `serve` and `standalone`.
    Bool { serve: bool, standalone: bool },
}

/// The words for `true` and `false`.
pub(super) const BOOL_WORDS: [&str; 4] = ["true", "false", "1", "0"];

macro_rules! number {
    ($variable:literal, $flag:literal, $default:literal, $least:literal..=$most:literal, $help:literal) => {
        Setting {
            variable: $variable,
            flag: $flag,
            kind: SettingKind::Number { default: Some($default), least: $least, most: $most },
            default: concat!($default),
            help: concat!($help, " (", $least, " to ", $most, ")"),
        }
    };
}

/// A number whose default is not a number; `$default` describes it.
macro_rules! optional_number {
    ($variable:literal, $flag:literal, $default:literal, $least:literal..=$most:literal, $help:literal) => {
        Setting {
            variable: $variable,
            flag: $flag,
            kind: SettingKind::Number { default: None, least: $least, most: $most },
            default: $default,
            help: concat!($help, " (", $least, " to ", $most, ")"),
        }
    };
}

macro_rules! choice {
    (
        $variable:literal, $flag:literal, $default:literal, [$first:literal $(, $word:literal)*], $help:literal
    ) => {
        Setting {
            variable: $variable,
            flag: $flag,
            kind: SettingKind::Choice { default: $default, words: &[$first $(, $word)*] },
            default: $default,
            help: concat!($help, ": ", $first $(, ", ", $word)*),
        }
    };
}

macro_rules! boolean {
    ($variable:literal, $flag:literal, $default:literal, $help:literal) => {
        Setting {
            variable: $variable,
            flag: $flag,
            kind: SettingKind::Bool { serve: $default, standalone: $default },
            default: concat!($default),
            help: concat!("true: ", $help),
        }
    };
    ($variable:literal, $flag:literal, $serve:literal, standalone $standalone:literal, $help:literal) => {
        Setting {
            variable: $variable,
            flag: $flag,
            kind: SettingKind::Bool { serve: $serve, standalone: $standalone },
            default: concat!($serve, "; standalone: ", $standalone),
            help: concat!("true: ", $help),
        }
    };
}

const fn text(
    variable: &'static str,
    flag: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { variable, flag, kind: SettingKind::Text, default, help }
}

/// A setting that names a file with a secret, such as a systemd credential or a mounted secret.
const fn file(variable: &'static str, flag: &'static str, help: &'static str) -> Setting {
    text(variable, flag, "", help)
}

/// The secret settings. For each, the setting with the suffix `_FILE` may name a file to read it from.
pub(super) const SECRETS: [&str; 8] = [
    "CLIENT_SECRET",
    "DATABASE_URL",
    "METRICS_TOKEN",
    "HEARTBEAT_URL",
    "HTTPS_PROXY",
    "BROKER_PASSWORD",
    "DASHBOARD_CLIENT_SECRET",
    "SESSION_SECRET",
];

/// All settings, in the order of the help.
pub const SETTINGS: &[Setting] = &[
    text(
        "CF_ENDPOINT",
        "cf-endpoint",
        "cf_api of VCAP_APPLICATION",
        "base URL of the Cloud Foundry API (required by serve)",
    ),
    text("UAA_ENDPOINT", "uaa-endpoint", "found through CF_ENDPOINT", "base URL of the UAA"),
    text("CLIENT_ID", "client-id", "", "UAA client of the service (required by serve)"),
    text("CLIENT_SECRET", "client-secret", "", "secret of the UAA client (required by serve)"),
    file("CLIENT_SECRET_FILE", "client-secret-file", "file that contains CLIENT_SECRET"),
    text(
        "DATABASE_URL",
        "database-url",
        "a bound service, else sqlite://scheduler.db",
        "sqlite://PATH or a bare path; postgres://USER:PASSWORD@HOST:PORT/NAME",
    ),
    file("DATABASE_URL_FILE", "database-url-file", "file that contains DATABASE_URL"),
    number!(
        "DATABASE_CONNECTIONS",
        "database-connections",
        8,
        2..=100,
        "maximum number of connections to \
     PostgreSQL"
    ),
    number!("SCHEDULER_PORT", "port", 8000, 0..=65535, "port to listen on; 0: any free port; unset: PORT"),
    text(
        "SCHEDULER_HOST",
        "host",
        "0.0.0.0; standalone: 127.0.0.1",
        "address to listen on: an IP address or localhost",
    ),
    number!(
        "WORKER_NUM",
        "worker-num",
        20,
        1..=1000,
        "worker threads: the maximum number of calls in flight; unset: SCHEDULER_WORKERS"
    ),
    optional_number!(
        "HTTP_THREADS",
        "http-threads",
        "16; with PostgreSQL: 64",
        1..=1000,
        "threads that answer requests"
    ),
    choice!(
        "LOG_LEVEL",
        "log-level",
        "info",
        ["error", "warn", "info", "debug", "trace", "warning", "fatal", "panic"],
        "lowest level to log; warning means warn, fatal and panic mean error"
    ),
    choice!(
        "LOG_FORMAT",
        "log-format",
        "text",
        ["text", "json"],
        "one line of text or one JSON object for each event"
    ),
    text("METRICS_TOKEN", "metrics-token", "", "bearer token that /metrics requires; unset: no token"),
    file("METRICS_TOKEN_FILE", "metrics-token-file", "file that contains METRICS_TOKEN"),
    optional_number!(
        "METRICS_PORT",
        "metrics-port",
        "",
        0..=65535,
        "separate port for /metrics; 0: any free port; unset: SCHEDULER_PORT"
    ),
    number!(
        "AUTH_CACHE_SECONDS",
        "auth-cache-seconds",
        60,
        0..=86400,
        "how long responses of UAA and CF about a caller are cached; 0: not at all"
    ),
    number!(
        "CALL_TIMEOUT_SECONDS",
        "call-timeout-seconds",
        60,
        1..=86400,
        "time limit of a call, redirects included"
    ),
    boolean!(
        "CALL_DENY_PRIVATE",
        "call-deny-private",
        false,
        "calls reach only public addresses, even after redirects"
    ),
    boolean!(
        "CALL_ALLOW_LOOPBACK",
        "call-allow-loopback",
        false,
        standalone true,
        "calls may reach loopback addresses, unless CALL_DENY_PRIVATE is true"
    ),
    number!(
        "TASK_POLL_SECONDS",
        "task-poll-seconds",
        2,
        1..=3600,
        "interval at which running tasks are polled"
    ),
    number!("HISTORY_DAYS", "history-days", 150, 1..=36500, "days for which ended executions are kept"),
    optional_number!(
        "HISTORY_MAX_PER_EXECUTABLE",
        "history-max-per-executable",
        "no limit",
        1..=4294967295,
        "maximum number of ended executions kept for each job or call"
    ),
    choice!(
        "CRON_WEEKDAYS",
        "cron-weekdays",
        "unix",
        ["unix", "quartz"],
        "day 1 is Monday (unix) or Sunday (quartz)"
    ),
    choice!(
        "CRON_DIALECT",
        "cron-dialect",
        "classic",
        ["classic", "ocf2"],
        "dialect of new schedules: that of PCF and OCF 1.x (classic) or of OCF 2.x (ocf2)"
    ),
    text("DEFAULT_TIMEZONE", "default-timezone", "UTC", "time zone of new schedules that name none"),
    optional_number!(
        "SCHEDULE_MIN_SECONDS",
        "schedule-min-seconds",
        "no limit",
        1..=31536000,
        "shortest interval of a new expression, in seconds"
    ),
    number!(
        "AUDIT_DAYS",
        "audit-days",
        31,
        0..=36500,
        "days for which audit events are kept; 0: no audit events"
    ),
    text(
        "READ_ROLES",
        "read-roles",
        "",
        "comma-separated roles and scopes that may read, for example space_auditor",
    ),
    optional_number!(
        "QUOTA_JOBS",
        "quota-jobs",
        "no limit",
        0..=1000000,
        "maximum number of jobs in a \
     space"
    ),
    optional_number!(
        "QUOTA_CALLS",
        "quota-calls",
        "no limit",
        0..=1000000,
        "maximum number of calls in a \
     space"
    ),
    optional_number!(
        "QUOTA_SCHEDULES",
        "quota-schedules",
        "no limit",
        0..=1000000,
        "maximum number of schedules in a space"
    ),
    text(
        "HEARTBEAT_URL",
        "heartbeat-url",
        "",
        "URL that gets a POST each minute while the scheduler works; {instance} becomes the instance's index \
         or number",
    ),
    file("HEARTBEAT_URL_FILE", "heartbeat-url-file", "file that contains HEARTBEAT_URL"),
    number!(
        "CLIENT_TIMEOUT_SECONDS",
        "client-timeout-seconds",
        30,
        1..=3600,
        "time limit for a request to arrive"
    ),
    number!(
        "IDLE_TIMEOUT_SECONDS",
        "idle-timeout-seconds",
        100,
        1..=3600,
        "idle time after which a connection is closed; gorouter reuses connections for up to 90 s"
    ),
    number!(
        "MAX_CONNECTIONS",
        "max-connections",
        1024,
        1..=65536,
        "maximum number of client connections; fewer if they would take over a third of the memory, 44 KiB \
         each"
    ),
    optional_number!(
        "RATE_LIMIT_PER_SECOND",
        "rate-limit-per-second",
        "no limit",
        0..=1000000,
        "requests per second of one caller; further ones get 429; 0: no limit"
    ),
    optional_number!(
        "RATE_LIMIT_BURST",
        "rate-limit-burst",
        "RATE_LIMIT_PER_SECOND",
        1..=1000000,
        "requests that a caller may send at once after a pause"
    ),
    choice!(
        "MISFIRE_POLICY",
        "misfire-policy",
        "once",
        ["skip", "once", "all"],
        "which missed fire times run"
    ),
    number!(
        "MISFIRE_GRACE_SECONDS",
        "misfire-grace-seconds",
        60,
        1..=86400,
        "a fire time not served within this time counts as missed"
    ),
    number!(
        "RETRY_SECONDS",
        "retry-seconds",
        600,
        1..=86400,
        "how long to retry the creation of a task while Cloud Foundry is unavailable"
    ),
    number!(
        "LATE_TASK_SECONDS",
        "late-task-seconds",
        60,
        1..=3600,
        "how long a task may take to appear if its creation got no response; only then is it created again"
    ),
    text(
        "TASK_NAME",
        "task-name",
        "{execution}",
        "serve: name of tasks; {execution} and {job} are replaced by the execution's guid and the job's name",
    ),
    text(
        "INSTANCE_ID",
        "instance-id",
        "",
        "PostgreSQL: name of this instance; after a restart it takes over its own work at once",
    ),
    number!(
        "STOP_SECONDS",
        "stop-seconds",
        8,
        0..=3600,
        "time that calls in flight get when the service stops"
    ),
    text("HTTPS_PROXY", "https-proxy", "", "proxy for CF, UAA and call targets"),
    file("HTTPS_PROXY_FILE", "https-proxy-file", "file that contains HTTPS_PROXY"),
    text("NO_PROXY", "no-proxy", "", "comma-separated hosts that are reached without the proxy"),
    boolean!(
        "SKIP_SSL_VALIDATION",
        "skip-ssl-validation",
        false,
        "do not verify TLS certificates of CF, UAA and call targets"
    ),
    text("CA_CERT_FILE", "ca-cert-file", "system roots", "PEM file of additional trusted certificates"),
    text("BROKER_USER", "broker-user", "no broker", "user name for the service broker at /v2"),
    text("BROKER_PASSWORD", "broker-password", "no broker", "password for the service broker"),
    file("BROKER_PASSWORD_FILE", "broker-password-file", "file that contains BROKER_PASSWORD"),
    text(
        "API_ENDPOINT",
        "api-endpoint",
        "the host of the broker's requests",
        "base URL of the service, for credentials of bindings and links in notifications",
    ),
    boolean!(
        "REQUIRE_SERVICE_INSTANCE",
        "require-service-instance",
        false,
        "jobs and calls can be created only in spaces with a service instance"
    ),
    text(
        "BROKER_SERVICE_NAME",
        "broker-service-name",
        broker::SERVICE_NAME,
        "service name in the marketplace",
    ),
    text("BROKER_SERVICE_ID", "broker-service-id", broker::SERVICE_ID, "service id, unique among brokers"),
    text("BROKER_DESCRIPTION", "broker-description", broker::DESCRIPTION, "description of the service"),
    text("BROKER_PLAN_NAME", "broker-plan-name", broker::PLAN_NAME, "name of the only plan"),
    text("BROKER_PLAN_ID", "broker-plan-id", broker::PLAN_ID, "plan id, unique among brokers"),
    text(
        "BROKER_PLAN_DESCRIPTION",
        "broker-plan-description",
        broker::PLAN_DESCRIPTION,
        "description of the plan",
    ),
    text("BROKER_DOCUMENTATION_URL", "broker-documentation-url", "", "documentation of the service"),
    text(
        "BROKER_DASHBOARD_URL",
        "broker-dashboard-url",
        "the page of its space at /dashboard",
        "dashboard of an instance; {instance_id} and {space_guid} are replaced",
    ),
    text("BROKER_ICON_URL", "broker-icon-url", "a clock", "icon of the service: http(s) or data: URL"),
    boolean!("DASHBOARD", "dashboard", true, "serve the dashboard at /dashboard"),
    text("DASHBOARD_CLIENT_ID", "dashboard-client-id", "", "serve: UAA client for signing in"),
    text("DASHBOARD_CLIENT_SECRET", "dashboard-client-secret", "", "secret of that UAA client"),
    file(
        "DASHBOARD_CLIENT_SECRET_FILE",
        "dashboard-client-secret-file",
        "file that contains DASHBOARD_CLIENT_SECRET",
    ),
    text(
        "SESSION_SECRET",
        "session-secret",
        "derived from CLIENT_SECRET; standalone: random, in the database",
        "secret that signs the sessions of the dashboard",
    ),
    file("SESSION_SECRET_FILE", "session-secret-file", "file that contains SESSION_SECRET"),
    text("STANDALONE_CONFIG", "config", "created on first start", "standalone: TOML file of apps and tokens"),
];

/// The setting of a variable, which must be in the table.
pub(super) fn setting(variable: &str) -> &'static Setting {
    let found = SETTINGS.iter().find(|setting| setting.variable == variable);
    found.unwrap_or_else(|| unreachable!("{variable} is not in SETTINGS"))
}
