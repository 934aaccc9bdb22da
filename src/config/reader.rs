//! Reads the settings, and collects everything that is wrong with them.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use log::LevelFilter;

use super::settings::{BOOL_WORDS, SECRETS, SETTINGS, Setting, SettingKind, setting};
use super::{
    CloudFoundryConfig, Config, DashboardConfig, Flags, Mode, RateLimit, SettingInForce, location, memory,
    setting_and_value, vcap,
};
use crate::base::logging::LogFormat;
use crate::cron::{Dialect, Weekdays, Zone};
use crate::model::{Location, MisfirePolicy, ReadRoles, Secret, TaskNames};
use crate::outbound::Target;
use crate::outbound::{Outbound, Reach, read_uri};

const INSTANCE_ID_CHARS_MAX: usize = 255;
/// Threads that answer requests, unless HTTP_THREADS says otherwise.
const HTTP_THREADS: usize = 16;
const HTTP_THREADS_WITH_POSTGRES: usize = 64;
/// The largest secret file.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

pub(super) struct Reader<'a> {
    pub(super) flags: &'a Flags,
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    pub(super) faults: Vec<String>,
}

/// Settings that do nothing in `standalone`.
const OF_SERVE: [&str; 8] = [
    "CF_ENDPOINT",
    "UAA_ENDPOINT",
    "CLIENT_ID",
    "CLIENT_SECRET",
    "CLIENT_SECRET_FILE",
    "DASHBOARD_CLIENT_ID",
    "DASHBOARD_CLIENT_SECRET",
    "DASHBOARD_CLIENT_SECRET_FILE",
];
/// Settings that do nothing in `serve`.
const OF_STANDALONE: [&str; 1] = ["STANDALONE_CONFIG"];

/// The value of a setting that does not come from its variable alone.
fn value_in_force(variable: &str, config: &Config) -> Option<String> {
    match variable {
        "SCHEDULER_PORT" => Some(config.port.to_string()),
        "SCHEDULER_HOST" => Some(config.host.to_string()),
        "WORKER_NUM" => Some(config.worker_num.to_string()),
        "HTTP_THREADS" => Some(config.http_threads.to_string()),
        "RATE_LIMIT_BURST" => config.rate_limit.as_ref().map(|limit| limit.burst.to_string()),
        "CF_ENDPOINT" => config.cloud_foundry.as_ref().map(|cf| cf.cf_endpoint.clone()),
        "HTTPS_PROXY" => config.https_proxy.as_ref().map(|proxy| proxy.reveal().to_owned()),
        "NO_PROXY" => config.no_proxy.clone(),
        _ => None,
    }
}

impl Reader<'_> {
    pub(super) fn config(&mut self, mode: Mode) -> Option<Config> {
        self.check_secret_files(&SECRETS);
        let standalone = mode == Mode::Standalone;
        let cloud_foundry = if standalone { None } else { self.cloud_foundry() };
        let database = self.database();
        let port = match (self.text("SCHEDULER_PORT"), (self.environment)("PORT").filter(is_not_blank)) {
            (None, Some(text)) => self.parse("PORT", &text, "a whole number from 0 to 65535"),
            _ => self.port("SCHEDULER_PORT"),
        };
        let metrics_port = self.metrics_port(port);
        let host = self.host(standalone);
        let log_level = self.choice("LOG_LEVEL", |word| match word {
            // The level names of the Go service. Nothing is more severe than an error here.
            "warning" => Some(LevelFilter::Warn),
            "fatal" | "panic" => Some(LevelFilter::Error),
            word => word.parse().ok(),
        });
        let log_format = self.choice("LOG_FORMAT", |word| match word {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        });
        let weekdays = self.choice("CRON_WEEKDAYS", |word| match word {
            "unix" => Some(Weekdays::Unix),
            "quartz" => Some(Weekdays::Quartz),
            _ => None,
        });
        let is_ocf2 = self.choice("CRON_DIALECT", |word| Some(word == "ocf2"));
        let misfire_policy = self.choice("MISFIRE_POLICY", MisfirePolicy::named);
        let skip_ssl_validation = self.skip_ssl_validation();
        let call_reach = self.call_reach(mode);
        // The lower-case names are older, and curl reads them.
        let https_proxy = self.text_or("HTTPS_PROXY", "https_proxy");
        let no_proxy = self.text_or("NO_PROXY", "no_proxy");
        let api_endpoint = self
            .url("API_ENDPOINT", &["https://", "http://"])
            .map(|endpoint| endpoint.trim_end_matches('/').to_owned());
        let broker = self.broker(api_endpoint.clone());
        let require_service_instance = self.require_service_instance(broker.is_some());
        let dashboard = self.dashboard(mode, cloud_foundry.as_ref());
        let mut config = Config {
            mode,
            broker,
            api_endpoint,
            in_force: Vec::new(),
            standalone_config: self.text("STANDALONE_CONFIG").map(PathBuf::from),
            worker_num: self.worker_num() as usize,
            http_threads: self.http_threads(database.as_ref()),
            metrics_token: self.metrics_token(),
            metrics_port,
            auth_cache: self.seconds("AUTH_CACHE_SECONDS"),
            call_timeout: self.seconds("CALL_TIMEOUT_SECONDS"),
            task_poll: self.seconds("TASK_POLL_SECONDS"),
            history: Duration::from_secs(86_400 * u64::from(self.number("HISTORY_DAYS"))),
            history_max_per_executable: self.optional_number("HISTORY_MAX_PER_EXECUTABLE"),
            client_timeout: self.seconds("CLIENT_TIMEOUT_SECONDS"),
            idle_timeout: self.seconds("IDLE_TIMEOUT_SECONDS"),
            request_memory_max: self.request_memory_max(),
            rate_limit: self.rate_limit(),
            max_connections: self.number("MAX_CONNECTIONS") as usize,
            misfire_grace: self.seconds("MISFIRE_GRACE_SECONDS"),
            retry: self.seconds("RETRY_SECONDS"),
            late_task: self.seconds("LATE_TASK_SECONDS"),
            stop: self.seconds("STOP_SECONDS"),
            ca_cert_file: self.text("CA_CERT_FILE").map(PathBuf::from),
            https_proxy: https_proxy.map(Secret::from),
            no_proxy,
            default_timezone: self.default_timezone(),
            schedule_min_seconds: self.optional_number("SCHEDULE_MIN_SECONDS"),
            audit: Duration::from_secs(86_400 * u64::from(self.number("AUDIT_DAYS"))),
            quota_jobs: self.optional_number("QUOTA_JOBS"),
            quota_calls: self.optional_number("QUOTA_CALLS"),
            quota_schedules: self.optional_number("QUOTA_SCHEDULES"),
            heartbeat_url: self.heartbeat_url(),
            instance_index: (self.environment)("CF_INSTANCE_INDEX").filter(is_not_blank),
            task_names: self.task_names(),
            read_roles: self.read_roles(),
            instance_id: self.instance_id(),
            database_connections: self.number("DATABASE_CONNECTIONS") as usize,
            // Everything has been read by here, so no fault hides another.
            require_service_instance: require_service_instance?,
            dashboard: dashboard?,
            log_level: log_level?,
            log_format: log_format?,
            dialect: if is_ocf2? { Dialect::Ocf2 } else { Dialect::Classic(weekdays?) },
            weekdays: weekdays?,
            misfire_policy: misfire_policy?,
            skip_ssl_validation: skip_ssl_validation?,
            call_reach: call_reach?,
            database: database?,
            port: port?,
            host: host?,
            cloud_foundry: if standalone { None } else { Some(cloud_foundry?) },
        };
        let without = if standalone { &OF_SERVE[..] } else { &OF_STANDALONE[..] };
        let settings = SETTINGS.iter().filter(|setting| !without.contains(&setting.variable));
        config.in_force = settings.map(|setting| self.in_force(setting, &config)).collect();
        Some(config)
    }

    fn dashboard(&mut self, mode: Mode, cf: Option<&CloudFoundryConfig>) -> Option<Option<DashboardConfig>> {
        let client_secret = cf.map(|cf| cf.client_secret.clone());
        let session_secret = self.text("SESSION_SECRET").map(Secret::from).or(client_secret);
        let client = match (self.text("DASHBOARD_CLIENT_ID"), self.text("DASHBOARD_CLIENT_SECRET")) {
            (Some(id), Some(secret)) => Some((id, Secret::from(secret))),
            (None, None) => None,
            _ => {
                let fault = "DASHBOARD_CLIENT_ID and DASHBOARD_CLIENT_SECRET need each other";
                self.faults.push(fault.to_owned());
                None
            }
        };
        Some(self.boolean("DASHBOARD", mode)?.then_some(DashboardConfig { session_secret, client }))
    }

    /// With PostgreSQL, threads wait for the server, and those that wait together share a statement and a
    /// commit.
    fn http_threads(&mut self, database: Option<&Location>) -> usize {
        let of_engine = match database {
            Some(Location::Postgres(_)) => HTTP_THREADS_WITH_POSTGRES,
            _ => HTTP_THREADS,
        };
        self.optional_number("HTTP_THREADS").map_or(of_engine, |threads| threads as usize)
    }

    /// Errors do not show it, because its path may be a secret.
    fn heartbeat_url(&mut self) -> Option<Secret> {
        let url = self.text("HEARTBEAT_URL")?;
        if let Err(cause) = Target::parse(&url.replace("{instance}", "0")) {
            self.faults.push(format!("{} is not valid: {cause}", self.named("HEARTBEAT_URL")));
        }
        Some(Secret::from(url))
    }

    fn call_reach(&mut self, mode: Mode) -> Option<Reach> {
        // Users of `standalone` call services on that machine, and can run commands on it anyway.
        let allows_loopback = self.boolean("CALL_ALLOW_LOOPBACK", mode);
        let denies_private = self.boolean("CALL_DENY_PRIVATE", mode);
        Some(match (denies_private?, allows_loopback?, mode) {
            (true, ..) => Reach::PublicOnly,
            (false, false, _) => Reach::BeyondMachine,
            (false, true, Mode::Serve) => Reach::BeyondLink,
            (false, true, Mode::Standalone) => Reach::Anywhere,
        })
    }

    /// The Go service 2.x calls it `SCHEDULER_WORKERS`. A flag wins over both names.
    fn worker_num(&mut self) -> u32 {
        let SettingKind::Number { default, least, most } = setting("WORKER_NUM").kind else { return 0 };
        let number = self.optional_number("WORKER_NUM");
        let other = (self.environment)("SCHEDULER_WORKERS").filter(is_not_blank);
        let other = other.and_then(|text| {
            let number = text.trim().parse().ok().filter(|number| (least..=most).contains(number));
            if number.is_none() {
                self.refuse(
                    "SCHEDULER_WORKERS",
                    text.trim(),
                    &format!("a whole number from {least} to {most}"),
                );
            }
            number
        });
        match (number, other) {
            (Some(number), Some(other)) if number != other && self.given("WORKER_NUM").is_none() => {
                self.faults.push(format!(
                    "WORKER_NUM is {number} and SCHEDULER_WORKERS is {other}; they name one setting, so set \
                     only one of them"
                ));
                number
            }
            (Some(number), _) => number,
            (None, Some(other)) => other,
            (None, None) => default.unwrap_or_default(),
        }
    }

    fn task_names(&mut self) -> TaskNames {
        let Some(text) = self.text("TASK_NAME") else { return TaskNames::default() };
        TaskNames::parse(&text).unwrap_or_else(|rule| {
            self.faults.push(format!("{} is {text:?}; it {rule}", self.named("TASK_NAME")));
            TaskNames::default()
        })
    }

    fn read_roles(&mut self) -> ReadRoles {
        let Some(text) = self.text("READ_ROLES") else { return ReadRoles::default() };
        ReadRoles::parse(&text).unwrap_or_else(|rule| {
            self.faults.push(format!("{} is {text:?}; it {rule}", self.named("READ_ROLES")));
            ReadRoles::default()
        })
    }

    fn instance_id(&mut self) -> Option<String> {
        let text = self.text("INSTANCE_ID")?;
        if text.contains(char::is_control) || INSTANCE_ID_CHARS_MAX < text.chars().count() {
            self.faults.push(format!(
                "{} is {text:?}; it must have at most {INSTANCE_ID_CHARS_MAX} characters, and no control \
                 characters",
                self.named("INSTANCE_ID")
            ));
        }
        Some(text)
    }

    fn metrics_token(&mut self) -> Option<Secret> {
        let token = self.text("METRICS_TOKEN")?;
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.faults.push(format!(
                "{} has a character that a bearer token cannot have; it must consist of ASCII letters, \
                 digits and \
                 punctuation, without spaces",
                self.named("METRICS_TOKEN")
            ));
        }
        Some(Secret::from(token))
    }

    /// Cloud Foundry sets `MEMORY_LIMIT`, which helps where no cgroup can be read.
    fn request_memory_max(&mut self) -> usize {
        let text = (self.environment)("MEMORY_LIMIT").filter(is_not_blank);
        let limit = text.as_deref().map(|text| memory::parse_size(text.trim()));
        if limit == Some(None) {
            self.faults.push(format!(
                "MEMORY_LIMIT is {:?}; it must be a whole number and a unit, for example 64M or 1G",
                text.unwrap_or_default()
            ));
        }
        memory::request_memory_max(limit.flatten())
    }

    fn metrics_port(&mut self, port: Option<u16>) -> Option<u16> {
        let text = self.text("METRICS_PORT")?;
        let metrics_port = self.port("METRICS_PORT")?;
        if metrics_port != 0 && port == Some(metrics_port) {
            self.faults.push(format!(
                "{} is {text:?}, the port of the API; it must be another port",
                self.named("METRICS_PORT")
            ));
        }
        Some(metrics_port)
    }

    fn rate_limit(&mut self) -> Option<RateLimit> {
        let is_set = self.text("RATE_LIMIT_PER_SECOND").is_some();
        let per_second = self.optional_number("RATE_LIMIT_PER_SECOND").unwrap_or_default();
        let burst = self.optional_number("RATE_LIMIT_BURST").unwrap_or(per_second.max(1));
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
            let Some(url) = url else { continue };
            let rule = match url.starts_with("https://") || url.starts_with("http://") {
                false => "must begin with https:// or http://",
                true if read_uri(url).is_none() => "must be a URL, with a port up to 65535 if there is one",
                true => continue,
            };
            let setting_and_value = setting_and_value(&self.named(variable), url);
            self.faults.push(format!("{setting_and_value} {rule}"));
        }
        Some(CloudFoundryConfig {
            cf_endpoint: cf_endpoint?,
            uaa_endpoint,
            client_id: client_id?,
            client_secret: Secret::from(client_secret?),
        })
    }

    pub(super) fn database(&mut self) -> Option<Location> {
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

    /// The flag and its value, if the setting was given as a flag.
    pub(super) fn given(&self, variable: &str) -> Option<&(String, String)> {
        let flag = SETTINGS.iter().find(|setting| setting.variable == variable)?.flag;
        self.flags.iter().rev().find(|(name, _)| name == flag)
    }

    /// The variable, with the flag if the setting was given as a flag.
    pub(super) fn named(&self, variable: &str) -> String {
        match self.given(variable) {
            Some((flag, _)) => format!("{variable} (--{flag})"),
            None => variable.to_owned(),
        }
    }

    /// The value of the flag, the variable, or the file of a secret, in this order. A blank value counts as
    /// unset.
    pub(super) fn text(&self, variable: &str) -> Option<String> {
        // Errors of the file are reported separately.
        self.plain_text(variable).or_else(|| self.secret_of_file(variable)?.ok())
    }

    fn in_force(&self, setting: &Setting, config: &Config) -> SettingInForce {
        let variable = setting.variable;
        let given = self.text(variable);
        let is_set = given.is_some() || self.is_set_elsewhere(variable, config);
        let in_force = value_in_force(variable, config);
        // Any URL may carry a password or a token.
        let is_secret = |text: &str| SECRETS.contains(&variable) || text.contains('@') || text.contains('?');
        let value = match (in_force.or(given), &setting.kind) {
            _ if variable == "DATABASE_URL" => config.database.shown(),
            (Some(text), _) if is_secret(&text) => "hidden".to_owned(),
            (Some(text), _) => text,
            (None, SettingKind::Bool { serve, standalone }) => match config.mode {
                Mode::Serve => serve.to_string(),
                Mode::Standalone => standalone.to_string(),
            },
            (None, _) => setting.default.to_owned(),
        };
        SettingInForce { variable, value, is_set }
    }

    /// Whether a setting comes from a variable of another name, or from Cloud Foundry.
    fn is_set_elsewhere(&self, variable: &str, config: &Config) -> bool {
        let has = |other: &str| (self.environment)(other).is_some_and(|text| is_not_blank(&text));
        match variable {
            "SCHEDULER_PORT" => has("PORT"),
            "WORKER_NUM" => has("SCHEDULER_WORKERS"),
            "HTTPS_PROXY" => has("https_proxy"),
            "NO_PROXY" => has("no_proxy"),
            "CF_ENDPOINT" => config.cloud_foundry.is_some(),
            "DATABASE_URL" => (self.environment)("VCAP_SERVICES")
                .is_some_and(|text| matches!(vcap::database_url(&text), Ok(Some(_)))),
            _ => false,
        }
    }

    fn plain_text(&self, variable: &str) -> Option<String> {
        match self.given(variable) {
            Some((_, value)) => Some(value.clone()),
            None => (self.environment)(variable),
        }
        .map(|text| text.trim().to_owned())
        .filter(is_not_blank)
    }

    /// The contents of a secret's file, trimmed; `None` if no file is named. Errors do not show the contents.
    fn secret_of_file(&self, variable: &str) -> Option<Result<String, String>> {
        let variable = SECRETS.iter().find(|secret| **secret == variable)?;
        let setting = format!("{variable}_FILE");
        let path = self.plain_text(&setting)?;
        let mut text = String::new();
        let read =
            File::open(&path).and_then(|file| file.take(SECRET_FILE_BYTES_MAX + 1).read_to_string(&mut text));
        let fault = match read {
            Err(err) => format!("cannot be read: {err}"),
            Ok(length) if SECRET_FILE_BYTES_MAX < length as u64 => {
                format!("has more than {SECRET_FILE_BYTES_MAX} bytes")
            }
            Ok(_) if text.trim().is_empty() => "is empty".to_owned(),
            Ok(_) => return Some(Ok(text.trim().to_owned())),
        };
        Some(Err(format!("{} is {path:?}; this file {fault}", self.named(&setting))))
    }

    pub(super) fn check_secret_files(&mut self, secrets: &[&str]) {
        for variable in secrets {
            let file = self.secret_of_file(variable);
            if file.is_some() && self.plain_text(variable).is_some() {
                self.faults
                    .push(format!("{variable} and {variable}_FILE are both set; set only one of them"));
            }
            if let Some(Err(fault)) = file {
                self.faults.push(fault);
            }
        }
    }

    /// Like [`Self::text`], with another variable as fallback.
    fn text_or(&self, variable: &str, other: &str) -> Option<String> {
        self.text(variable).or_else(|| (self.environment)(other).filter(is_not_blank))
    }

    pub(super) fn outbound(&mut self) -> Outbound {
        Outbound {
            skip_ssl_validation: self.skip_ssl_validation().unwrap_or_default(),
            ca_cert_file: self.text("CA_CERT_FILE").map(PathBuf::from),
            https_proxy: self.text_or("HTTPS_PROXY", "https_proxy"),
            no_proxy: self.text_or("NO_PROXY", "no_proxy"),
            ..Outbound::default()
        }
    }

    fn skip_ssl_validation(&mut self) -> Option<bool> {
        self.boolean("SKIP_SSL_VALIDATION", Mode::Serve)
    }

    pub(super) fn required(&mut self, variable: &str) -> Option<String> {
        let text = self.text(variable);
        if text.is_none() && self.secret_of_file(variable).is_none() {
            self.faults.push(format!("{variable} is missing: {}", setting(variable).help));
        }
        text
    }

    pub(super) fn parse<T: FromStr>(&mut self, variable: &str, text: &str, allowed: &str) -> Option<T> {
        let value = text.trim().parse().ok();
        if value.is_none() {
            self.refuse(variable, text, allowed);
        }
        value
    }

    /// A number within its range in the table, or its default.
    fn number(&mut self, variable: &str) -> u32 {
        let SettingKind::Number { default, .. } = setting(variable).kind else { return 0 };
        self.optional_number(variable).or(default).unwrap_or_default()
    }

    /// `None`: UTC, or it is wrong.
    fn default_timezone(&mut self) -> Option<String> {
        let name = self.text("DEFAULT_TIMEZONE")?;
        if Zone::named(&name).is_none() {
            self.refuse("DEFAULT_TIMEZONE", &name, "an IANA time zone, such as Europe/Berlin");
        }
        Some(name).filter(|name| name != "UTC")
    }

    fn optional_number(&mut self, variable: &str) -> Option<u32> {
        let SettingKind::Number { least, most, .. } = setting(variable).kind else { return None };
        let text = self.text(variable)?;
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.refuse(variable, &text, &format!("a whole number from {least} to {most}"));
        }
        number
    }

    /// `None` if it is wrong, or unset without a default.
    fn port(&mut self, variable: &str) -> Option<u16> {
        let SettingKind::Number { default, .. } = setting(variable).kind else { return None };
        let faults = self.faults.len();
        let number = self.optional_number(variable);
        let number = if self.faults.len() == faults { number.or(default) } else { None };
        number.and_then(|number| u16::try_from(number).ok())
    }

    fn seconds(&mut self, variable: &str) -> Duration {
        Duration::from_secs(self.number(variable).into())
    }

    /// One of the words in the table, or its default; `None` if it is another word.
    fn choice<T>(&mut self, variable: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let SettingKind::Choice { default, words } = setting(variable).kind else { return None };
        let word = match self.text(variable) {
            None => default,
            Some(text) => self.word(variable, &text, words)?,
        };
        read(word)
    }

    pub(super) fn boolean(&mut self, variable: &str, mode: Mode) -> Option<bool> {
        let SettingKind::Bool { serve, standalone } = setting(variable).kind else { return None };
        match self.text(variable) {
            None if mode == Mode::Standalone => Some(standalone),
            None => Some(serve),
            Some(text) => Some(matches!(self.word(variable, &text, &BOOL_WORDS)?, "true" | "1")),
        }
    }

    fn word(&mut self, variable: &str, text: &str, words: &[&'static str]) -> Option<&'static str> {
        let word = words.iter().find(|word| word.eq_ignore_ascii_case(text)).copied();
        if word.is_none() {
            self.refuse(variable, text, &format!("one of {}", words.join(", ")));
        }
        word
    }

    fn refuse(&mut self, variable: &str, text: &str, allowed: &str) {
        self.faults.push(format!("{} is {text:?}; it must be {allowed}", self.named(variable)));
    }
}

#[expect(clippy::ptr_arg, reason = "Option<String>::filter hands a &String")]
pub(super) fn is_not_blank(text: &String) -> bool {
    !text.trim().is_empty()
}
