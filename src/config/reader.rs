//! Reads the settings one by one, and notes in passing everything that is wrong with them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use log::LevelFilter;

use super::{
    CloudFoundryConfig, Config, Flags, MisfirePolicy, Mode, RateLimit, SETTINGS, blamed, location, memory,
    vcap,
};
use crate::base::logging::LogFormat;
use crate::cron::{Dialect, Weekdays};
use crate::model::{Location, Secret, TaskNames};
use crate::outbound::{Outbound, Reach, read_uri};

const PORT_ALLOWED: &str = "a whole number from 0 to 65535";
const INSTANCE_ID_CHARS_MAX: usize = 255;

/// Collects values and, in passing, everything that is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) flags: &'a Flags,
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    pub(super) faults: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn config(&mut self, mode: Mode) -> Option<Config> {
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
                // The other names of the Go service. Here nothing is graver than an error.
                ("warning", LevelFilter::Warn),
                ("fatal", LevelFilter::Error),
                ("panic", LevelFilter::Error),
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
        let dialect = self.choice("CRON_DIALECT", "classic", &[("classic", "classic"), ("ocf2", "ocf2")]);
        let misfire_policy = self.choice(
            "MISFIRE_POLICY",
            MisfirePolicy::Once,
            &[("skip", MisfirePolicy::Skip), ("once", MisfirePolicy::Once), ("all", MisfirePolicy::All)],
        );
        let skip_ssl_validation = self.skip_ssl_validation();
        let call_reach = self.call_reach(mode);
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
            worker_num: self.worker_num() as usize,
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
            idle_timeout: self.seconds("IDLE_TIMEOUT_SECONDS", 100, 1, 3600),
            request_memory_max: self.request_memory_max(),
            rate_limit: self.rate_limit(),
            max_connections: self.number("MAX_CONNECTIONS", 1024, 1, 65_536) as usize,
            misfire_grace: self.seconds("MISFIRE_GRACE_SECONDS", 60, 1, 86_400),
            retry: self.seconds("RETRY_SECONDS", 600, 1, 86_400),
            late_task: self.seconds("LATE_TASK_SECONDS", 60, 1, 3600),
            task_names: self.task_names(),
            instance_id: self.instance_id(),
            stop: self.seconds("STOP_SECONDS", 8, 0, 3600),
            ca_cert_file: self.text("CA_CERT_FILE").map(PathBuf::from),
            https_proxy: https_proxy.map(Secret::from),
            no_proxy,
            log_level: log_level?,
            log_format: log_format?,
            dialect: Dialect::named(dialect?, weekdays?)?,
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

    fn call_reach(&mut self, mode: Mode) -> Option<Reach> {
        let choices = [("true", true), ("false", false), ("1", true), ("0", false)];
        // Whoever uses `standalone` calls services of that machine, and may run commands on it anyhow.
        let is_standalone = mode == Mode::Standalone;
        let allows_loopback = self.choice("CALL_ALLOW_LOOPBACK", is_standalone, &choices);
        let denies_private = self.choice("CALL_DENY_PRIVATE", false, &choices);
        Some(match (denies_private?, allows_loopback?, mode) {
            (true, ..) => Reach::PublicOnly,
            (false, false, _) => Reach::BeyondMachine,
            (false, true, Mode::Serve) => Reach::BeyondLink,
            (false, true, Mode::Standalone) => Reach::Anywhere,
        })
    }

    /// The Go service 2.x calls it `SCHEDULER_WORKERS`. A flag wins over both names.
    fn worker_num(&mut self) -> u32 {
        let read = |this: &mut Self, variable: &str| this.number(variable, 20, 1, 1000);
        let other = self.text("SCHEDULER_WORKERS");
        match (self.text("WORKER_NUM"), other) {
            (None, Some(_)) => read(self, "SCHEDULER_WORKERS"),
            (Some(_), Some(_)) if self.given("WORKER_NUM").is_none() => {
                let (number, other) = (read(self, "WORKER_NUM"), read(self, "SCHEDULER_WORKERS"));
                if number != other {
                    self.faults.push(format!(
                        "WORKER_NUM is {number} and SCHEDULER_WORKERS is {other}; they name one setting, so set \
                         only one of them"
                    ));
                }
                number
            }
            _ => read(self, "WORKER_NUM"),
        }
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

    /// Cloud Foundry says in `MEMORY_LIMIT` how much memory the app has, also where no cgroup can be read.
    fn request_memory_max(&mut self) -> usize {
        let text = (self.environment)("MEMORY_LIMIT").filter(is_not_blank);
        let limit = text.as_deref().map(|text| memory::parse_size(text.trim()));
        if limit == Some(None) {
            self.faults.push(format!(
                "MEMORY_LIMIT is {:?}; it must be a whole number and a unit, like 64M or 1G",
                text.unwrap_or_default()
            ));
        }
        memory::request_memory_max(limit.flatten())
    }

    fn task_names(&mut self) -> TaskNames {
        let Some(text) = self.text("TASK_NAME") else { return TaskNames::default() };
        TaskNames::parse(&text).unwrap_or_else(|rule| {
            self.faults.push(format!("{} is {text:?}; it {rule}", self.named("TASK_NAME")));
            TaskNames::default()
        })
    }

    fn instance_id(&mut self) -> Option<String> {
        let text = self.text("INSTANCE_ID")?;
        if text.contains(char::is_control) || INSTANCE_ID_CHARS_MAX < text.chars().count() {
            self.faults.push(format!(
                "{} is {text:?}; it must have at most {INSTANCE_ID_CHARS_MAX} characters, and no control characters",
                self.named("INSTANCE_ID")
            ));
        }
        Some(text)
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
            let Some(url) = url else { continue };
            let rule = match url.starts_with("https://") || url.starts_with("http://") {
                false => "must begin with https:// or http://",
                true if read_uri(url).is_none() => "must be a URL, with a port up to 65535 if there is one",
                true => continue,
            };
            let blamed = blamed(&self.named(variable), url);
            self.faults.push(format!("{blamed} {rule}"));
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
    pub(super) fn given(&self, variable: &str) -> Option<&(String, String)> {
        let setting = SETTINGS.iter().find(|setting| setting.variable == variable)?;
        self.flags.iter().rev().find(|(name, _)| name == setting.flag)
    }

    /// The setting's name, with its flag when it was given as one.
    pub(super) fn named(&self, variable: &str) -> String {
        match self.given(variable) {
            Some((flag, _)) => format!("{variable} (--{flag})"),
            None => variable.to_owned(),
        }
    }

    /// The setting's text: its flag, else its variable, else nothing.
    pub(super) fn text(&self, variable: &str) -> Option<String> {
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
        let choices = [("true", true), ("false", false), ("1", true), ("0", false)];
        self.choice("SKIP_SSL_VALIDATION", false, &choices)
    }

    pub(super) fn required(&mut self, variable: &str) -> Option<String> {
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

    pub(super) fn parse<T: FromStr>(&mut self, variable: &str, text: &str, allowed: &str) -> Option<T> {
        let value = text.trim().parse().ok();
        if value.is_none() {
            self.faults.push(format!("{} is {text:?}; it must be {allowed}", self.named(variable)));
        }
        value
    }

    pub(super) fn number(&mut self, variable: &str, default: u32, least: u32, most: u32) -> u32 {
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

    pub(super) fn seconds(&mut self, variable: &str, default: u32, least: u32, most: u32) -> Duration {
        Duration::from_secs(self.number(variable, default, least, most).into())
    }

    pub(super) fn choice<T: Copy>(&mut self, variable: &str, default: T, choices: &[(&str, T)]) -> Option<T> {
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
pub(super) fn is_not_blank(text: &String) -> bool {
    !text.trim().is_empty()
}
