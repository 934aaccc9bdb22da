//! The settings that there are: what each is called, and what people are told of it.

use super::broker;

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
    setting(
        "WORKER_NUM",
        "worker-num",
        "20",
        "worker threads: calls in flight at most (1 to 1000). SCHEDULER_WORKERS counts when unset",
    ),
    setting("HTTP_THREADS", "http-threads", "16", "threads that answer requests (1 to 1000)"),
    setting(
        "LOG_LEVEL",
        "log-level",
        "info",
        "error, warn, info, debug, trace; warning is warn, fatal and panic are error",
    ),
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
    setting(
        "CALL_ALLOW_LOOPBACK",
        "call-allow-loopback",
        "false; standalone: true",
        "true: calls may go to loopback addresses, unless CALL_DENY_PRIVATE is true",
    ),
    setting("TASK_POLL_SECONDS", "task-poll-seconds", "2", "pace of looking at running tasks"),
    setting("HISTORY_DAYS", "history-days", "150", "days that ended executions are kept"),
    setting(
        "HISTORY_MAX_PER_EXECUTABLE",
        "history-max-per-executable",
        "no limit",
        "ended executions kept of each job or call",
    ),
    setting(
        "CRON_DIALECT",
        "cron-dialect",
        "classic",
        "how new schedules are read: classic, as by PCF and OCF 1.x; ocf2, as by OCF 2.x",
    ),
    setting("CRON_WEEKDAYS", "cron-weekdays", "unix", "unix: 0 or 7 is Sunday; quartz: 1 is Sunday"),
    setting("CLIENT_TIMEOUT_SECONDS", "client-timeout-seconds", "30", "a request must have arrived by then"),
    setting(
        "IDLE_TIMEOUT_SECONDS",
        "idle-timeout-seconds",
        "100",
        "an idle connection is closed then; gorouter uses one again for up to 90 s",
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
    setting(
        "TASK_NAME",
        "task-name",
        "{execution}",
        "serve: name of tasks; {execution} and {job} stand for the execution's guid and the job's name",
    ),
    setting(
        "INSTANCE_ID",
        "instance-id",
        "",
        "PostgreSQL: name of this instance, kept over restarts; it takes over at once what it had itself",
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
