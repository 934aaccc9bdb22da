//! The real program as a process, and requests to it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::cf::fake_cf::{CLIENT_ID, CLIENT_SECRET, FakeCf};
use super::database::Database;

/// The program as a process, with a database in `directory`.
pub(crate) struct Program {
    child: Child,
    pub(crate) url: String,
}

impl Program {
    /// `None`: it ended before it listened.
    pub(crate) fn start(directory: &Path, cf: &FakeCf, variables: &[(&str, &str)]) -> Option<Self> {
        Self::start_with(directory, cf, variables, Stdio::null())
    }

    pub(crate) fn start_with(
        directory: &Path,
        cf: &FakeCf,
        variables: &[(&str, &str)],
        log: Stdio,
    ) -> Option<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"))
            .env_clear()
            .env("CF_ENDPOINT", cf.url())
            .env("CALL_ALLOW_LOOPBACK", "true") // The targets of calls are in the tests' process.
            .env("CLIENT_ID", CLIENT_ID)
            .env("CLIENT_SECRET", CLIENT_SECRET)
            .env("DATABASE_URL", Database::of(directory, "s.db").url)
            .env("SCHEDULER_PORT", "0")
            .env("SCHEDULER_HOST", "127.0.0.1")
            .env("TASK_POLL_SECONDS", "1")
            .env("LATE_TASK_SECONDS", "3")
            .env("LOG_LEVEL", "warn")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("ocf-scheduler listens on ").map(str::to_owned));
        match url {
            Some(url) => Some(Self { child, url }),
            None => {
                child.wait().unwrap();
                None
            }
        }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Like `kill -9`; does nothing if it has ended.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and returns its exit status.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        kill_process(self.pid(), Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends one request; `None`: no answer.
pub(crate) fn ask(url: &str, token: &str, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{url}{path}"))
        .header("Authorization", format!("bearer {token}"));
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(20)))
        .build();
    let agent: ureq::Agent = config.into();
    let sent = if matches!(method, "GET" | "DELETE") {
        agent.run(request.body(()).ok()?)
    } else {
        agent.run(request.body(body.to_owned()).ok()?)
    };
    let mut response = sent.ok()?;
    let text = response.body_mut().with_config().limit(u64::MAX).read_to_string().ok()?;
    Some((response.status().as_u16(), serde_json::from_str(&text).unwrap_or_default()))
}
