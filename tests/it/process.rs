//! The service as a process: signals, terminals, inherited children, and a reader that stops reading.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::standalone::Standalone;
use super::world::{request, wait_for};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ocf-scheduler");

/// A terminal: the person's side and the program's side.
fn terminal() -> (File, File) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let name = ptsname(&person, Vec::new()).unwrap();
    let program = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    (File::from(person), program)
}

#[test]
fn a_token_is_shown_on_a_terminal_and_nowhere_else() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::with(directory.path(), &[("DATABASE_URL", "scheduler.db")]);
    let token = service.token.clone();
    service.stop();
    let (person, program) = terminal();
    let mut child = Command::new(PROGRAM)
        .args(["standalone", "--port", "0"])
        .current_dir(directory.path())
        .stdout(program)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(person).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(&format!("export TOKEN={token} "))));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_terminal_that_closes_stops_the_service_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let (person, program) = terminal();
    // `setsid --ctty` makes the terminal that of the service. Tests under `nohup` inherit an ignored SIGHUP,
    // with which the service would outlive its terminal.
    let mut child = Command::new("env")
        .args(["--default-signal=HUP", "setsid", "--ctty", "--wait", PROGRAM, "standalone", "--port", "0"])
        .current_dir(directory.path())
        .stdin(program)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut banner = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(banner.any(|line| line.unwrap().contains("listens on")));
    drop(person);
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{log}");
    assert!(log.contains("service stopped"), "{log}");
}

#[test]
fn a_hangup_has_the_file_read_again_and_a_wrong_one_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("apps.toml");
    let app = "[[app]]\nname = 'a'\nspace = 's'\n";
    let token = |token: &str| format!("{app}[[token]]\ntoken = '{token}'\nuser = 'u'\nspaces = ['s']\n");
    fs::write(&file, token("first")).unwrap();
    let service = Standalone::with(directory.path(), &[("STANDALONE_CONFIG", "apps.toml")]);
    let status = |token: &str| request(&service.url, "GET", "/jobs", Some(token), &[], "").status;
    assert_eq!((status("first"), status("second")), (200, 401));
    let hang_up = || kill_process(service.pid(), Signal::HUP).unwrap();
    fs::write(&file, token("second")).unwrap();
    hang_up();
    wait_for(|| (status("second") == 200).then_some(()));
    assert_eq!(status("first"), 401, "a token that is gone from the file is refused at once");
    fs::write(&file, "nonsense").unwrap();
    hang_up();
    hang_up();
    assert_eq!(status("second"), 200);
    fs::write(&file, token("third")).unwrap();
    hang_up();
    wait_for(|| (status("third") == 200).then_some(()));
    service.stop();
}

#[test]
fn a_reader_who_stops_reading_the_log_stops_nobody_and_learns_what_was_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Standalone::command(directory.path());
    let mut service = Standalone::spawn(command.stderr(Stdio::piped()).env("LOG_LEVEL", "debug"));
    let mut log = service.log();
    // A line for each: more than a pipe and our own queue hold.
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
    let agent = ureq::Agent::new_with_config(config);
    let url = format!("{}/jobs/{}", service.url, "x".repeat(200));
    for _ in 0..9000 {
        let mut answer = agent.get(&url).header("Authorization", "bearer none").call().unwrap();
        assert!(answer.body_mut().read_to_string().is_ok());
    }
    let mut lines = BufReader::new(&mut log).lines();
    let asks = || request(&service.url, "GET", "/jobs", Some("none"), &[], "").status;
    assert_eq!(asks(), 401);
    assert!(lines.any(|line| line.unwrap().contains("log lines dropped")));
    drop(lines);
    drop(log);
    service.stop();
}

#[test]
fn the_first_process_of_a_container_reaps_what_it_inherits() {
    let contained = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).args(arguments);
        command
    };
    if !contained(&["true"]).output().is_ok_and(|output| output.status.success()) {
        return; // Needs rights that not every machine gives.
    }
    let directory = tempfile::tempdir().unwrap();
    let mut command = contained(&[PROGRAM, "standalone", "--port", "0"]);
    command.current_dir(directory.path()).env("DATABASE_URL", "scheduler.db").stderr(Stdio::null());
    let service = Standalone::spawn(&mut command);
    // Each leaves processes that have left its group, so that the end of the task does not end them.
    let leaves = "for i in 1 2 3 4 5; do setsid sh -c 'sleep 0.2' & done; true";
    let body = serde_json::json!({"name": "leaves", "command": leaves}).to_string();
    let job = service.ask("POST", &format!("/jobs?app_guid={}", service.app), &body);
    let job = job["guid"].as_str().unwrap().to_owned();
    service.ask("POST", &format!("/jobs/{job}/execute"), "");
    assert_eq!(service.ended(&job)["state"], "SUCCEEDED");
    let looks = r"grep -c '^State:.Z' /proc/[0-9]*/status 2>/dev/null | grep -c ':1$'; true";
    let body = serde_json::json!({"name": "looks", "command": looks}).to_string();
    let looks = service.ask("POST", &format!("/jobs?app_guid={}", service.app), &body);
    let looks = looks["guid"].as_str().unwrap().to_owned();
    wait_for(|| {
        let execution = service.ask("POST", &format!("/jobs/{looks}/execute"), "");
        let guid = execution["guid"].as_str().unwrap().to_owned();
        wait_for(|| (service.ended(&looks)["guid"] == guid.as_str()).then_some(()));
        let output = directory.path().join(format!("scheduler.db.tasks/tasks/{guid}/output.log"));
        (fs::read_to_string(output).unwrap().trim() == "0").then_some(())
    });
    assert_eq!(service.ended(&job)["state"], "SUCCEEDED", "its own runner was not reaped by mistake");
}

#[test]
fn a_runner_that_cannot_record_its_outcome_ends_on_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    let body = r#"{"name":"long","command":"touch begun; until [ -e go ]; do sleep 0.05; done"}"#;
    let job = service.ask("POST", &format!("/jobs?app_guid={}", service.app), body);
    let execution = service.ask("POST", &format!("/jobs/{}/execute", job["guid"].as_str().unwrap()), "");
    wait_for(|| directory.path().join("begun").exists().then_some(()));
    let task = directory.path().join("scheduler.db.tasks/tasks").join(execution["guid"].as_str().unwrap());
    let started = fs::read_to_string(task.join("started.json")).unwrap();
    let started: serde_json::Value = serde_json::from_str(&started).unwrap();
    let runner = i32::try_from(started["runner_pid"].as_i64().unwrap()).unwrap();
    // Nothing can replace it.
    fs::create_dir(task.join("ended.json.new")).unwrap();
    fs::write(directory.path().join("go"), "").unwrap();
    let children = format!("/proc/{runner}/task/{runner}/children");
    wait_for(|| fs::read_to_string(&children).is_ok_and(|children| children.is_empty()).then_some(()));
    // A signal before the command's end is meant for the command, so send several.
    wait_for(|| {
        let _ = kill_process(Pid::from_raw(runner).unwrap(), Signal::TERM);
        (!Path::new(&format!("/proc/{runner}")).exists()).then_some(())
    });
    service.stop();
}
