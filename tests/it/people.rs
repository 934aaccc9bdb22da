//! What makes the command line pleasant: controls of runs as flags, `show`, `edit`, `enable`, Ctrl-C.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::client::{Said, program};
use super::standalone::Standalone;
use super::world::{APP, World};

#[test]
fn controls_of_runs_are_flags_when_a_job_is_made_and_changed() {
    let world = World::start();
    let made = [
        &["create-job", "nightly", "true", "--app", APP, "-o", "json"][..],
        &["--timeout", "90s", "--concurrency-policy", "Forbid", "--retries", "3", "--backoff", "5"],
        &[
            "--max-backoff",
            "1m",
            "--max-age",
            "2h",
            "--labels",
            "team=billing,env=prod",
            "--expect-success",
            "1d",
        ],
    ];
    let job = world.cli(&made.concat()).json();
    assert_eq!(job["timeout_seconds"], 90);
    assert_eq!(job["concurrency_policy"], "Forbid");
    let retry =
        json!({"max_retries": 3, "backoff_seconds": 5, "max_backoff_seconds": 60, "max_age_seconds": 7200});
    assert_eq!(job["retry"], retry);
    assert_eq!(job["metadata"]["labels"], json!({"team": "billing", "env": "prod"}));
    assert_eq!(job["expect_success_within_seconds"], 86_400);

    // One flag about retries leaves the others as they are.
    let changes = ["--backoff", "7", "--timeout", "", "--labels", "env-", "--labels", "x="];
    let job = world.cli(&[&["update-job", "nightly", "-o", "json"], &changes[..]].concat()).json();
    assert_eq!((&job["retry"]["backoff_seconds"], &job["retry"]["max_retries"]), (&json!(7), &json!(3)));
    assert_eq!(job["timeout_seconds"], json!(null));
    assert_eq!(job["metadata"]["labels"], json!({"team": "billing", "x": ""}));
    let job = world.cli(&["update-job", "nightly", "--retries", "0", "-o", "json"]).json();
    assert_eq!(job["retry"], json!(null));

    let wrong = |flags: &[&str]| world.cli(&[&["update-job", "nightly"], flags].concat());
    wrong(&["--backoff", "7"]).expect(2, &["--backoff needs --retries"]);
    wrong(&["--timeout", "soon"]).expect(2, &["--timeout is \"soon\"", "90s or 30m"]);
    wrong(&["--labels", "team"]).expect(2, &["--labels has \"team\"", "team=billing"]);
    wrong(&["--concurrency-policy", "Never"]).expect(2, &["Always, Forbid, Replace, Queue"]);
    // The flag, not the field of the API.
    let said = world.cli(&["update-job", "nightly", "--retries", "21"]);
    assert!(said.err.contains("--retries ") && !said.err.contains("max_retries"), "{}", said.err);
}

#[test]
fn what_a_call_sends_is_said_by_flags_and_needs_no_authorization() {
    let world = World::start();
    let made = [
        &["create-call", "ping", "http://test.url/", "--app", APP, "-o", "json"][..],
        &["--method", "PUT", "--headers", "Content-Type: text/plain", "--headers", "X-Team:billing"],
        &["--body", "hello", "--success", "200-299,304"],
    ];
    let call = world.cli(&made.concat()).json();
    let stored = world.get(&format!("/calls/{}", call["guid"].as_str().unwrap())).json();
    assert_eq!(stored["auth_header"], "");
    assert_eq!((&stored["method"], &stored["body"]), (&json!("PUT"), &json!("hello")));
    assert_eq!(stored["headers"], json!({"Content-Type": "text/plain", "X-Team": "billing"}));
    assert_eq!(stored["success_statuses"], "200-299,304");
    world.cli(&["update-call", "ping", "--headers", "", "--body", "", "--success", ""]).expect(0, &[]);
    let stored = world.get(&format!("/calls/{}", call["guid"].as_str().unwrap())).json();
    assert_eq!((&stored["headers"], &stored["body"]), (&json!({}), &json!(null)));
    assert_eq!(stored["success_statuses"], "200-299");
    let both = ["update-call", "ping", "--auth-header", "-", "--body", "-"];
    world.cli(&both).expect(2, &["--body and --auth-header cannot both"]);
    world.cli(&["update-call", "ping", "--headers", "s3cret"]).expect(2, &["--headers must be like"]);
}

#[test]
fn show_tells_everything_about_one_job_or_call() {
    let world = World::start();
    let job = world.job("nightly");
    world.cli(&["show", "nightly"]).expect(0, &["No schedules", "schedule-job nightly", "has not run yet"]);
    world.cli(&["update-job", "nightly", "--retries", "2", "--labels", "team=billing"]).expect(0, &[]);
    world.cli(&["schedule-job", "nightly", "0 2 * * *"]).expect(0, &[]);
    world.tasks_end("FAILED", Some("out of memory"));
    world.cli(&["run", "nightly", "--wait"]).expect(1, &[]);
    let words = [
        "job nightly",
        &job,
        "1024 MB",
        "2, after 10 s up to 1 h",
        "team=billing",
        "0 2 * * *",
        "out of memory",
    ];
    world.cli(&["show", "nightly"]).expect(0, &words);
    let shown = world.cli(&["show", "nightly", "-o", "json"]).json();
    assert_eq!(shown["schedules"][0]["expression"], "0 2 * * *");
    assert_eq!(shown["executions"][0]["state"], "FAILED");
    world.call("ping", "http://test.url/");
    let said = world.cli(&["show", "ping"]).expect(0, &["POST http://test.url/", "auth header         set"]);
    assert!(!said.out.contains("Bearer"), "{}", said.out);
}

#[test]
fn a_schedule_is_named_by_its_job_when_it_is_the_only_one() {
    let world = World::start();
    world.job("nightly");
    world.cli(&["disable", "nightly"]).expect(3, &["has no schedule", "help schedule-job"]);
    let first = world.cli(&["schedule-job", "nightly", "0 2 * * *", "-o", "json"]).json();
    world.cli(&["disable", "nightly"]).expect(0, &["no ", "0 2 * * *"]);
    world.cli(&["enable", "nightly"]).expect(0, &["yes", "0 2 * * *"]);
    world.cli(&["update-schedule", "nightly", "--expression", "0 3 * * *"]).expect(0, &["0 3 * * *"]);
    world.cli(&["schedule-job", "nightly", "@hourly"]).expect(0, &[]);
    let guid = first["guid"].as_str().unwrap();
    for command in ["disable", "delete-schedule"] {
        world.cli(&[command, "nightly"]).expect(3, &["several schedules", guid, "@hourly"]);
    }
    world.cli(&["disable", "nightly", "--all"]).expect(0, &["0 3 * * *", "@hourly"]);
    world.cli(&["enable", guid]).expect(0, &["yes", "0 3 * * *"]);
    let schedules = world.cli(&["schedules", "nightly", "-o", "json"]).json();
    let enabled = |expression: &str| {
        let all = schedules.as_array().unwrap();
        all.iter().find(|it| it["expression"] == expression).unwrap()["enabled"].clone()
    };
    assert_eq!((enabled("0 3 * * *"), enabled("@hourly")), (json!(true), json!(false)));
    world.cli(&["delete-schedule", guid]).expect(0, &[]);
    world.cli(&["delete-schedule", "nightly"]).expect(0, &["deleted the schedule @hourly"]);
}

#[test]
fn histories_are_filtered() {
    let world = World::start();
    world.job("nightly");
    world.tasks_end("FAILED", Some("no"));
    world.cli(&["run", "nightly", "--wait"]).expect(1, &[]);
    world.tasks_end("SUCCEEDED", None);
    world.cli(&["run", "nightly", "--wait"]).expect(0, &[]);
    let states = |flags: &[&str]| {
        let said = world.cli(&[&["history", "nightly", "-o", "json"], flags].concat()).json();
        said.as_array().unwrap().iter().map(|it| it["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(states(&["--state", "failed"]), ["FAILED"]);
    assert_eq!(states(&["--reason", "task_failed"]), ["FAILED"]);
    assert_eq!(states(&["--since", "1h"]).len(), 2);
    assert_eq!(states(&["--since", "2099-01-01T00:00:00Z"]).len(), 0);
    world.cli(&["history", "nightly", "--reason", "overlap"]).expect(0, &["no such executions"]);
}

#[test]
fn an_editor_changes_what_was_changed_in_it() {
    let world = World::start();
    let job = world.job("nightly");
    let directory = tempfile::tempdir().unwrap();
    let edit = |script: &str| {
        let editor = directory.path().join("editor");
        fs::write(&editor, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
        let variables = [
            ("SCHEDULER_URL", world.url()),
            ("SCHEDULER_TOKEN", world.token.clone()),
            ("EDITOR", editor.to_str().unwrap().to_owned()),
            ("PATH", "/usr/bin:/bin".to_owned()),
            ("TMPDIR", directory.path().to_str().unwrap().to_owned()),
        ];
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, &**value)).collect();
        Said::of(&mut program(&variables, &["edit", "nightly"]))
    };
    edit("true").expect(0, &["nothing was changed"]);
    edit("stat -c %a \"$1\"; sed -i 's/\"command\": \"true\"/\"command\": \"bin\\/x\"/' \"$1\"")
        .expect(0, &["600", "changed command of job nightly"]);
    assert_eq!(world.get(&format!("/jobs/{job}")).json()["command"], "bin/x");
    edit("exit 1").expect(2, &["did not end well"]);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left");
    edit("echo '{' > \"$1\"").expect(2, &["not a JSON object", "Your text is in"]);
    edit("sed -i 's/1024/\"x\"/' \"$1\"").expect(1, &["memory_in_mb", "Your text is in"]);
}

#[test]
fn a_failed_job_shows_its_last_lines_and_ctrl_c_says_how_to_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    let variables = [
        ("SCHEDULER_URL", service.url.as_str()),
        ("SCHEDULER_TOKEN", &service.token),
        ("SCHEDULER_APP", &service.app),
    ];
    let cli = |arguments: &[&str]| Said::of(&mut program(&variables, arguments));
    cli(&["create-job", "many", "seq 1 30; printf '\\033[31mred'; exit 3"]).expect(0, &[]);
    let said = cli(&["run", "many", "--wait"]);
    let said = said.expect(1, &["FAILED", "exit status 3", "Its last 10 lines", "  30\n  \\u{1b}[31mred\n"]);
    assert!(said.err.contains("  22\n") && !said.err.contains("  21\n"), "{}", said.err);

    cli(&["create-job", "slow", "until [ -e go ]; do sleep 0.05; done"]).expect(0, &[]);
    let mut child = program(&variables, &["run", "slow", "--wait"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("RUNNING")));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let cancel = rest.iter().find_map(|line| line.split("ocf-scheduler cancel ").nth(1)).unwrap();
    assert!(rest.iter().any(|line| line.contains("history slow")), "{rest:?}");
    cli(&["cancel", cancel.trim()]).expect(0, &["RUNNING"]);
    service.stop();
}
