//! The log of the real program: its lines about requests and executions, and that nobody can forge a line.
//! it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::cf::fake_cf::{ALWAYS, FakeCf, Fault};
use super::program::Program;
use super::world::{APP, wait_for};

/// A Cloud Foundry, and a directory for programs whose logs are read.
struct Logged {
    cf: FakeCf,
    token: String,
    directory: TempDir,
}

impl Logged {
    fn new() -> Self {
        let cf = FakeCf::start();
        cf.add_app(APP, "space-1");
        cf.add_role("dev", "space-1");
        cf.complete_tasks_after(Some((Duration::ZERO, "SUCCEEDED", None)));
        let token = cf.issue_cf_token("dev");
        Self { cf, token, directory: tempfile::tempdir().unwrap() }
    }

    fn start(&self, variables: &[(&str, &str)]) -> Program {
        let log = File::options().create(true).append(true).open(self.directory.path().join("log")).unwrap();
        Program::start_with(self.directory.path(), &self.cf, variables, Stdio::from(log)).unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// The lines as JSON; each must be an object with these three texts.
    #[track_caller]
    fn lines(&self) -> Vec<Value> {
        let log = self.log();
        assert!(log.ends_with('\n') && !log.replace('\n', "").contains(char::is_control));
        log.lines()
            .map(|line| {
                let value: Value = serde_json::from_str(line).unwrap_or_else(|err| panic!("{err}: {line}"));
                for field in ["time", "level", "message"] {
                    assert!(value[field].is_string(), "{line}");
                }
                value
            })
            .collect()
    }

    fn ask(&self, program: &Program, method: &str, path: &str, id: &str, body: &str) -> (u16, Value) {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", program.url))
            .header("Authorization", format!("bearer {}", self.token))
            .header("X-Request-Id", id);
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
        let agent: ureq::Agent = config.into();
        let mut answer = match method {
            "GET" | "DELETE" => agent.run(request.body(()).unwrap()),
            _ => agent.run(request.body(body.to_owned()).unwrap()),
        }
        .unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
    }

    #[track_caller]
    fn made(&self, program: &Program, kind: &str, body: &Value) -> String {
        let path = format!("/{kind}?app_guid={APP}");
        let (status, made) = self.ask(program, "POST", &path, "making", &body.to_string());
        assert_eq!(status, 201);
        format!("/{kind}/{}", made["guid"].as_str().unwrap())
    }

    #[track_caller]
    fn execute(&self, program: &Program, of: &str, id: &str) -> String {
        let (status, execution) = self.ask(program, "POST", &format!("{of}/execute"), id, "");
        assert_eq!(status, 201);
        execution["guid"].as_str().unwrap().to_owned()
    }

    fn wait_for_state(&self, program: &Program, of: &str, execution: &str, states: &[&str]) {
        wait_for(|| {
            let history = self.ask(program, "GET", &format!("{of}/history"), "looking", "").1;
            let all = history["resources"].as_array()?.clone();
            let one = all.into_iter().find(|it| it["guid"] == execution)?;
            states.contains(&one["state"].as_str()?).then_some(())
        });
    }
}

const ENDED: &[&str] = &["SUCCEEDED", "FAILED"];

#[test]
fn a_panic_and_a_start_that_fails_are_lines_of_json_too() {
    let world = Logged::new();
    let mut program = world.start(&[("LOG_FORMAT", "json"), ("OCF_CRASH_POINT", "task.attempting:1:panic")]);
    let job = world.made(&program, "jobs", &json!({"name": "n", "command": "c"}));
    let execution = world.execute(&program, &job, "asked-for-it");
    world.wait_for_state(&program, &job, &execution, ENDED);
    let log = File::options().append(true).open(world.directory.path().join("log")).unwrap();
    let port = program.url.rsplit_once(':').unwrap().1.to_owned();
    let other = tempfile::tempdir().unwrap();
    let variables = [("LOG_FORMAT", "json"), ("SCHEDULER_PORT", &port)];
    assert!(Program::start_with(other.path(), &world.cf, &variables, Stdio::from(log)).is_none());
    program.terminate();
    let lines = world.lines();
    let line = |message: &str| {
        let found = lines.iter().find(|line| line["message"] == message);
        found.unwrap_or_else(|| panic!("no {message:?} in {lines:?}")).clone()
    };
    let panicked = line("panicked");
    assert_eq!((&panicked["level"], &panicked["request_id"]), (&json!("error"), &json!("asked-for-it")));
    assert!(panicked["place"].as_str().unwrap().contains("src/base/crash.rs:"), "{panicked}");
    assert!(panicked["cause"].as_str().unwrap().contains("task.attempting"), "{panicked}");
    let failed = line("the service cannot start");
    assert!(failed["cause"].as_str().unwrap().contains("cannot listen on"), "{failed}");
}

#[test]
fn whatever_clients_write_each_line_of_json_is_one_object() {
    let world = Logged::new();
    let mut program = world.start(&[("LOG_LEVEL", "trace"), ("LOG_FORMAT", "json")]);
    let hostile =
        ["a\nb", "\u{1b}[31m", "\"}\n{\"level\":\"ERROR\"", "\u{85}\u{7f}", "\u{202e}", "level=ERROR x=\"y"];
    for text in hostile {
        let job = json!({"name": text, "command": text});
        let job = world.made(&program, "jobs", &job);
        let header = text.replace(|c: char| c.is_ascii_control(), "x");
        let call = json!({"name": text, "url": format!("http://127.0.0.1:9/{text}"), "auth_header": header});
        let call = world.made(&program, "calls", &call);
        for of in [&job, &call] {
            let execution = world.execute(&program, of, "r");
            world.wait_for_state(&program, of, &execution, ENDED);
        }
        let schedule = json!({"expression": text}).to_string();
        assert_eq!(world.ask(&program, "POST", &format!("{job}/schedules"), "r", &schedule).0, 422);
    }
    // Texts from outside: Cloud Foundry's, and those of targets.
    let job = world.made(&program, "jobs", &json!({"name": "refused", "command": "c"}));
    world.cf.fault(
        "POST /v3/apps/:guid/tasks",
        Fault::cf_error(422, 10008, "CF-Unprocessable", "a\\nb \\u001b[31m \\u0085 \\\"}"),
        1,
    );
    let execution = world.execute(&program, &job, "r");
    world.wait_for_state(&program, &job, &execution, ENDED);
    for head in [
        "GET /%0a%22x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /\"level\":\"ERROR HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\"b\r\nConnection: close\r\n\r\n",
        "B\"R / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: \u{1}\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(program.url.trim_start_matches("http://")).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let _ = stream.read_to_string(&mut String::new());
    }
    assert_eq!(program.terminate(), Some(0));
    let lines = world.lines();
    assert!(lines.iter().all(|line| line["level"] != "error"));
    let of = |message: &str| lines.iter().find(|line| line["message"] == message).unwrap().clone();
    let request = of("request");
    assert!(
        request["status"].is_u64() && request["ms"].is_number() && request["user"].is_string(),
        "{request}"
    );
    let ended =
        lines.iter().find(|line| line["execution"] == execution && line["state"] == "FAILED").unwrap();
    assert!(ended["reason"].as_str().unwrap().starts_with("CF-Unprocessable: a"), "{ended}");
    assert_eq!(ended["kind"], "job");
}

#[test]
fn each_request_is_a_line_and_so_is_each_state_of_an_execution() {
    let world = Logged::new();
    let mut program = world.start(&[("LOG_LEVEL", "debug"), ("LOG_FORMAT", "json")]);
    let job = world.made(&program, "jobs", &json!({"name": "j", "command": "c"}));
    let call = world.made(&program, "calls", &json!({"name": "c", "url": "test.url", "auth_header": "x"}));
    let mut scheduled = Vec::new();
    for of in [&job, &call] {
        let body = r#"{"enabled":true,"expression":"@every 1s"}"#;
        assert_eq!(world.ask(&program, "POST", &format!("{of}/schedules"), "planning", body).0, 201);
        scheduled.push(wait_for(|| {
            let history = world.ask(&program, "GET", &format!("{of}/history"), "looking", "").1;
            let first = history["resources"].as_array()?.iter().find(|it| it["state"] != "PENDING")?.clone();
            ENDED.contains(&first["state"].as_str()?).then(|| first["guid"].as_str().unwrap().to_owned())
        }));
    }
    assert_eq!(world.ask(&program, "GET", "/jobs?secret=query", "the-request", "").0, 200);
    assert_eq!(program.terminate(), Some(0));
    let lines = world.lines();
    let request: Vec<&Value> = lines
        .iter()
        .filter(|line| line["message"] == "request" && line["request_id"] == "the-request")
        .collect();
    let [request] = request[..] else { panic!("{request:?}") };
    assert_eq!(
        (&request["method"], &request["path"], &request["status"], &request["user"]),
        (&json!("GET"), &json!("/jobs"), &json!(200), &json!("dev"))
    );
    for (execution, end) in scheduled.iter().zip(["SUCCEEDED", "FAILED"]) {
        let states: Vec<&str> = lines
            .iter()
            .filter(|line| line["execution"] == *execution)
            .filter_map(|line| line["state"].as_str())
            .collect();
        assert_eq!(states, ["PENDING", "RUNNING", end]);
        let ended =
            lines.iter().find(|line| line["execution"] == *execution && line["state"] == end).unwrap();
        assert!(ended["late_ms"].is_number() && ended["ms"].is_number(), "{ended}");
        assert_eq!(ended["level"], if end == "FAILED" { "warn" } else { "info" });
        assert_eq!(ended.get("request_id"), None, "nobody has asked for it");
    }
}

#[test]
fn the_request_that_asked_for_an_execution_is_on_all_of_its_lines_after_a_restart_too() {
    let world = Logged::new();
    world.cf.complete_tasks_after(None);
    let variables = [("LOG_LEVEL", "debug"), ("LOG_FORMAT", "json")];
    let mut program = world.start(&variables);
    let job = world.made(&program, "jobs", &json!({"name": "j", "command": "c"}));
    let call = world.made(&program, "calls", &json!({"name": "c", "url": "test.url", "auth_header": "x"}));
    world.cf.fault("POST /v3/apps/:guid/tasks", Fault::status(429, None), 1);
    let ran = world.execute(&program, &job, "asked-1");
    world.wait_for_state(&program, &job, &ran, &["RUNNING"]);
    let called = world.execute(&program, &call, "asked-2");
    world.wait_for_state(&program, &call, &called, ENDED);
    program.kill();
    let first = world.lines().len();
    world.cf.complete_tasks_after(Some((Duration::ZERO, "SUCCEEDED", None)));
    for task in world.cf.tasks() {
        world.cf.set_task_state(&task.guid, "SUCCEEDED", None);
    }
    let mut program = world.start(&variables);
    world.wait_for_state(&program, &job, &ran, ENDED);
    assert_eq!(program.terminate(), Some(0));
    let lines = world.lines();
    let of = |execution: &str| -> Vec<Value> {
        lines.iter().filter(|line| line["execution"] == execution).cloned().collect()
    };
    for (execution, id) in [(&ran, "asked-1"), (&called, "asked-2")] {
        let of = of(execution);
        assert!(3 <= of.len() && of.iter().all(|line| line["request_id"] == id), "{of:#?}");
    }
    let later = |message: &str| {
        lines[first..].iter().any(|line| line["execution"] == *ran && line["message"] == message)
    };
    assert!(later("execution ended"), "the restarted program knows it");
    let messages: BTreeSet<String> =
        of(&ran).iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect();
    assert!(messages.contains("another attempt later"), "{messages:?}");
    // Cloud Foundry got the same request id.
    assert!(lines.iter().any(|line| {
        line["request_id"] == "asked-1" && line["message"] == "asked Cloud Foundry" && line["status"] == 429
    }));
}

#[test]
fn at_info_an_execution_is_the_line_of_its_end_a_warning_when_it_failed_with_the_name_of_its_call() {
    let world = Logged::new();
    let mut program = world.start(&[("LOG_LEVEL", "info")]);
    let call = world.made(&program, "calls", &json!({"name": "c", "url": "test.url", "auth_header": "x"}));
    let execution = world.execute(&program, &call, "asked");
    world.wait_for_state(&program, &call, &execution, ENDED);
    assert_eq!(program.terminate(), Some(0));
    let log = world.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(&execution)).collect();
    let [line] = lines[..] else { panic!("{lines:?}") };
    assert!(
        line.contains(&format!(" [WARN] execution ended execution={execution} kind=call name=c executable="))
    );
    assert!(line.contains(" state=FAILED ms=") && line.contains(" reason=\"the URL is not valid"), "{line}");
    assert!(line.ends_with(" request_id=asked"), "{line}");
}

fn lines_about(log: &str, what: &str) -> Vec<String> {
    log.lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
}

#[test]
fn while_cloud_foundry_is_away_the_log_says_so_once_and_once_that_it_is_back() {
    let world = Logged::new();
    let mut program = world.start(&[("LOG_LEVEL", "info")]);
    let job = world.made(&program, "jobs", &json!({"name": "j", "command": "c"}));
    world.cf.fault("POST /v3/apps/:guid/tasks", Fault::html(503), ALWAYS);
    let executions: Vec<String> = (0..20).map(|_| world.execute(&program, &job, "asked")).collect();
    wait_for(|| (world.cf.count("POST /v3/apps/:guid/tasks") > 60).then_some(()));
    world.cf.clear_faults();
    for execution in &executions {
        world.wait_for_state(&program, &job, execution, &["SUCCEEDED"]);
    }
    // The outage ends when nothing has failed for five seconds.
    wait_for(|| {
        let last = world.execute(&program, &job, "asked");
        world.wait_for_state(&program, &job, &last, &["SUCCEEDED"]);
        world.log().contains("the platform is available again").then_some(())
    });
    program.terminate();
    let log = world.log();
    let warnings: Vec<&str> =
        log.lines().filter(|line| line.contains("[WARN]") || line.contains("[ERROR]")).collect();
    let [warning] = warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.contains("the platform is not available, retrying"), "{warning}");
    assert!(warning.contains("failures=1 cause="), "{warning}");
    assert_eq!(lines_about(&log, "the platform is available again").len(), 1);
}

#[needs::sqlite]
#[test]
fn while_the_disk_is_full_the_log_says_so_once_and_once_that_it_is_not() {
    let world = Logged::new();
    let mut program = world.start(&[("LOG_LEVEL", "info")]);
    let job = world.made(&program, "jobs", &json!({"name": "j", "command": "c"}));
    let every_second = json!({"enabled": true, "expression": "@every 1s"}).to_string();
    let schedules = format!("{job}/schedules");
    for _ in 0..3 {
        assert_eq!(world.ask(&program, "POST", &schedules, "asked", &every_second).0, 201);
    }
    let limit = |bytes| {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(program.pid()), Resource::Fsize, limit).unwrap();
    };
    // The log is a file too, and may grow.
    let log_bytes = std::fs::metadata(world.directory.path().join("log")).unwrap().len();
    limit(Some(log_bytes + 4096));
    let is_told = || lines_about(&world.log(), "the database is not available").len() == 1;
    wait_for(|| is_told().then_some(()));
    // Several passes of the scheduler fail meanwhile.
    let _ = crossbeam_channel::after(Duration::from_secs(6)).recv();
    assert!(is_told(), "{}", world.log());
    limit(None);
    wait_for(|| world.log().contains("the database is available again").then_some(()));
    program.terminate();
    let log = world.log();
    let told = |line: &&str| line.contains("[WARN]") && !line.contains("execution ended");
    assert_eq!(log.lines().filter(told).count(), 1, "{log}");
    assert_eq!(lines_about(&log, "[ERROR]"), [""; 0]);
    assert_eq!(lines_about(&log, "the database is available again").len(), 1);
}
