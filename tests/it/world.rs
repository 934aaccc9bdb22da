//! A service with a fake Cloud Foundry, over real sockets and a real database file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ocf_scheduler::base::clock::{self, Clock, SystemClock};
use ocf_scheduler::config::{Config, Mode};
use ocf_scheduler::model::Timestamp;
use ocf_scheduler::service::Service;
use serde_json::Value;
use tempfile::TempDir;

use super::cf::fake_cf::{CLIENT_ID, CLIENT_SECRET, FakeCf};
use super::database::Database;

pub(crate) const APP: &str = "app-1";
pub(crate) const OTHER_APP: &str = "app-2";
pub(crate) const SPACE: &str = "space-1";
pub(crate) const FOREIGN_SPACE: &str = "space-9";
pub(crate) const FOREIGN_APP: &str = "app-9";

pub(crate) struct World {
    pub(crate) cf: FakeCf,
    pub(crate) directory: TempDir,
    /// The token of a developer in SPACE.
    pub(crate) token: String,
    pub(crate) clock: Arc<WallClock>,
    service: Option<Service>,
    settings: Vec<(&'static str, &'static str)>,
}

/// The machine's clock, whose wall time can be set forward. With PostgreSQL the database's clock counts.
#[derive(Default)]
pub(crate) struct WallClock {
    machine: SystemClock,
    ahead_seconds: AtomicU64,
}

impl WallClock {
    pub(crate) fn advance(&self, seconds: u64) {
        self.ahead_seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let ahead = Duration::from_secs(self.ahead_seconds.load(Ordering::SeqCst));
        self.machine.now().saturating_add(ahead)
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }
}

/// An answer: its status, its headers, its body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|err| panic!("{err}: {} {:?}", self.status, self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(crate) fn guid(&self) -> String {
        self.json()["guid"].as_str().unwrap().to_owned()
    }
}

impl World {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With settings beyond those that every service needs.
    pub(crate) fn with(settings: &[(&'static str, &'static str)]) -> Self {
        let cf = FakeCf::start();
        cf.add_app(APP, SPACE);
        cf.add_app(OTHER_APP, SPACE);
        cf.add_app(FOREIGN_APP, FOREIGN_SPACE);
        cf.add_role("dev", SPACE);
        cf.add_role("stranger", FOREIGN_SPACE);
        let token = cf.issue_cf_token("dev");
        let directory = tempfile::tempdir().unwrap();
        let (clock, settings) = (Arc::default(), settings.to_vec());
        let mut world = Self { cf, directory, token, clock, service: None, settings };
        world.service = Some(world.start_service().unwrap());
        world
    }

    pub(crate) fn start_service(&self) -> Result<Service, String> {
        let url = self.cf.url();
        let database = self.database().url;
        let config = Config::read(Mode::Serve, &Vec::new(), |name| {
            let given = self.settings.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
            let value = given.or(match name {
                "CF_ENDPOINT" => Some(url.as_str()),
                "CLIENT_ID" => Some(CLIENT_ID),
                "CLIENT_SECRET" => Some(CLIENT_SECRET),
                "DATABASE_URL" => Some(database.as_str()),
                "SCHEDULER_PORT" => Some("0"),
                "SCHEDULER_HOST" => Some("127.0.0.1"),
                // The targets of calls are in this process.
                "CALL_ALLOW_LOOPBACK" => Some("true"),
                "TASK_POLL_SECONDS" | "STOP_SECONDS" => Some("1"),
                "WORKER_NUM" => Some("4"),
                _ => None,
            })?;
            Some(value.to_owned())
        })
        .unwrap();
        Service::start(&config, Arc::clone(&self.clock) as Arc<dyn Clock>)
    }

    pub(crate) fn database(&self) -> Database {
        Database::of(self.directory.path(), "data/s.db")
    }

    /// Restarts the service on the same database.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.begin();
    }

    /// Starts the service after a stop.
    pub(crate) fn begin(&mut self) {
        self.service = Some(self.start_service().unwrap());
    }

    /// Uses these settings from the next start on.
    pub(crate) fn set(&mut self, settings: &[(&'static str, &'static str)]) {
        self.settings = settings.to_vec();
    }

    pub(crate) fn stop(&mut self) {
        self.service.take().unwrap().stop();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.service.as_ref().unwrap().local_addr())
    }

    /// The URL of `/metrics`.
    pub(crate) fn metrics_url(&self) -> String {
        format!("http://{}", self.service.as_ref().unwrap().metrics_addr())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, Some(&self.token), &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.request("POST", path, Some(&self.token), &[], body)
    }

    pub(crate) fn patch(&self, path: &str, body: &str) -> Answer {
        self.request("PATCH", path, Some(&self.token), &[], body)
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path, Some(&self.token), &[], "")
    }

    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        request(&self.url(), method, path, token, headers, body)
    }

    /// A job's guid.
    #[track_caller]
    pub(crate) fn job(&self, name: &str) -> String {
        let body = format!(r#"{{"name":"{name}","command":"true"}}"#);
        let answer = self.post(&format!("/jobs?app_guid={APP}"), &body);
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.guid()
    }

    /// A call's guid.
    #[track_caller]
    pub(crate) fn call(&self, name: &str, url: &str) -> String {
        let body = format!(r#"{{"name":"{name}","url":"{url}","auth_header":"Bearer abc"}}"#);
        let answer = self.post(&format!("/calls?app_guid={APP}"), &body);
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.guid()
    }

    /// Waits until the newest execution has ended, and returns it.
    #[track_caller]
    pub(crate) fn ended(&self, path: &str) -> Value {
        wait_for(|| {
            let newest = self.get(&format!("{path}/history")).json()["resources"][0].clone();
            matches!(newest["state"].as_str(), Some("SUCCEEDED" | "FAILED")).then_some(newest)
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(service) = self.service.take() {
            service.stop();
        }
    }
}

/// Sends one request to the service at `url`.
#[track_caller]
pub(crate) fn request(
    url: &str,
    method: &str,
    path: &str,
    token: Option<&str>,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = ureq::http::Request::builder().method(method).uri(format!("{url}{path}"));
    if let Some(token) = token {
        request = request.header("Authorization", format!("bearer {token}"));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(60)))
        .build();
    let agent: ureq::Agent = config.into();
    let sent = if matches!(method, "GET" | "HEAD" | "DELETE") && body.is_empty() {
        agent.run(request.body(()).unwrap())
    } else {
        agent.run(request.body(body.to_owned()).unwrap())
    };
    let mut response = sent.unwrap();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    let body = response.body_mut().with_config().limit(u64::MAX).read_to_string().unwrap();
    Answer { status: response.status().as_u16(), headers, body }
}

/// Retries until there is a result.
#[track_caller]
pub(crate) fn wait_for<T>(look: impl Fn() -> Option<T>) -> T {
    let deadline = clock::instant() + Duration::from_secs(30);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(clock::instant() < deadline, "waited in vain");
        let _ = crossbeam_channel::after(Duration::from_millis(10)).recv();
    }
}
