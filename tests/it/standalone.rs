//! The real program, standalone: what a newcomer does in the first minutes.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::database::Database;
use super::world::wait_for;

pub(crate) struct Standalone {
    child: Child,
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) app: String,
}

impl Standalone {
    pub(crate) fn start(directory: &Path) -> Self {
        Self::with(directory, &[])
    }

    /// With settings of its own.
    pub(crate) fn with(directory: &Path, settings: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"))
            .args(["standalone", "--port", "0"])
            .current_dir(directory)
            .env("CLIENT_SECRET", "not-for-tasks")
            .env("DATABASE_URL", Database::of(directory, "scheduler.db").url)
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let export =
            lines.find_map(|line| line.unwrap().trim().strip_prefix("export ").map(str::to_owned)).unwrap();
        let value = |name: &str| {
            let pair = export.split(' ').find_map(|pair| pair.strip_prefix(name)).unwrap();
            pair.trim_start_matches('=').to_owned()
        };
        Self { url: value("URL"), token: value("TOKEN"), app: value("APP"), child }
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("Authorization", format!("Bearer {}", self.token));
        let agent = ureq::Agent::new_with_defaults();
        let sent = if method == "GET" {
            agent.run(request.body(()).unwrap())
        } else {
            agent.run(request.body(body.to_owned()).unwrap())
        };
        serde_json::from_str(&sent.unwrap().body_mut().read_to_string().unwrap()).unwrap()
    }

    fn run(&self, name: &str, command: &str) -> Value {
        let body = serde_json::json!({"name": name, "command": command}).to_string();
        let job = self.ask("POST", &format!("/jobs?app_guid={}", self.app), &body);
        let job = job["guid"].as_str().unwrap();
        self.ask("POST", &format!("/jobs/{job}/execute"), "");
        self.ended(job)
    }

    pub(crate) fn ended(&self, job: &str) -> Value {
        wait_for(|| {
            let newest = self.ask("GET", &format!("/jobs/{job}/history"), "")["resources"][0].clone();
            matches!(newest["state"].as_str(), Some("SUCCEEDED" | "FAILED")).then_some(newest)
        })
    }

    pub(crate) fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_job_leaves_its_file_behind_and_a_failed_one_its_exit_status() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    let ended = service.run("archive", "echo hello > made.txt");
    assert_eq!((ended["state"].as_str(), ended["message"].as_str()), (Some("SUCCEEDED"), Some("")));
    assert_eq!(std::fs::read_to_string(directory.path().join("made.txt")).unwrap(), "hello\n");
    let ended = service.run("fail", "exit 3");
    assert_eq!((ended["state"].as_str(), ended["message"].as_str()), (Some("FAILED"), Some("exit status 3")));
    let ended = service.run("environment", "test -z \"$CLIENT_SECRET\"");
    assert_eq!(ended["state"], "SUCCEEDED", "nothing of the service's own environment reaches a task");
    service.stop();
}

#[test]
fn the_token_and_the_jobs_are_there_after_a_restart_and_a_task_runs_on_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    let token = service.token.clone();
    let body = r#"{"name":"long","command":"until [ -e go ]; do sleep 0.05; done; exit 4"}"#;
    let job = service.ask("POST", &format!("/jobs?app_guid={}", service.app), body);
    let job = job["guid"].as_str().unwrap().to_owned();
    service.ask("POST", &format!("/jobs/{job}/execute"), "");
    wait_for(|| {
        let newest = service.ask("GET", &format!("/jobs/{job}/history"), "")["resources"][0].clone();
        (newest["state"] == "RUNNING").then_some(())
    });
    drop(service); // kill -9
    std::fs::write(directory.path().join("go"), "").unwrap();
    let service = Standalone::start(directory.path());
    assert_eq!(service.token, token);
    assert_eq!(service.ended(&job)["message"], "exit status 4");
    service.stop();
}

#[test]
fn wrong_settings_are_told_all_at_once_with_exit_status_2() {
    let output = Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"))
        .env_clear()
        .envs([
            ("WORKER_NUM", "0"),
            ("DATABASE_URL", "mysql://u:hunter2@h/d"),
            ("CA_CERT_FILE", "none.pem"),
            ("HTTPS_PROXY", "ftp://proxy"),
            ("STANDALONE_CONFIG", "none.toml"),
            ("API_ENDPOINT", "scheduler"),
        ])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    for part in [
        "CF_ENDPOINT is missing",
        "CLIENT_SECRET is missing",
        "WORKER_NUM is \"0\"",
        "begins with \"mysql\"",
        "sqlite://",
        "CA_CERT_FILE none.pem cannot be read",
        "HTTPS_PROXY is \"ftp://proxy\"; it must be the URL of an HTTP proxy",
        "none.toml cannot be read",
        "API_ENDPOINT is \"scheduler\"; it must begin with https://",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!told.contains("hunter2"));
}

#[test]
fn a_bad_file_is_told_before_anything_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("bad.toml"), "[[app]]\nname = 'a'\nspaec = 's'\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"))
        .args(["standalone", "--port", "0", "--config", "bad.toml", "--ca-cert-file", "none.pem"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(told.contains("line 3") && told.contains("spaec") && told.contains("none.pem"), "{told}");
    assert!(!directory.path().join("scheduler.db").exists());
}

#[test]
fn next_prints_fire_times_or_where_an_expression_is_wrong() {
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_ocf-scheduler")).arg("next").args(arguments).output().unwrap()
    };
    let output = run(&["0 9 * * 1-5", "--after", "2026-03-27T10:00:00Z", "--count", "2"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "2026-03-30T09:00:00Z\n2026-03-31T09:00:00Z\n");
    let refused = run(&["0 0 32\t* *"]);
    assert_eq!(refused.status.code(), Some(2));
    let told = String::from_utf8(refused.stderr).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].ends_with("in field 3 (day of month), at character 5: 32 is beyond 31"), "{told}");
    assert_eq!(lines[1..3], ["  0 0 32 * *", "      ^^"]);
    assert!(lines[3].contains("from 1 to 31") && lines[3].contains("15W"), "{told}");
}

#[test]
fn a_port_that_is_taken_is_told_with_the_setting_that_chooses_another() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (port, metrics_port, setting) in [(&*port, "0", "SCHEDULER_PORT"), ("0", &*port, "METRICS_PORT")] {
        let directory = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"))
            .args(["standalone", "--port", port, "--metrics-port", metrics_port])
            .current_dir(directory.path())
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("cannot listen on") && told.contains(setting), "{told}");
    }
}

#[test]
fn a_service_whose_banner_cannot_be_written_is_there_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"))
        .args(["standalone", "--port", "0"])
        .current_dir(directory.path())
        .stdout(File::create("/dev/full").unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("service started")));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
