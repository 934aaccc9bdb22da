//! The command line for people: flags that control runs, `show`, `edit`, `enable`, Ctrl-C.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::{Value, json};

use super::client::{Said, cf_home, program};
use super::standalone::Standalone;
use super::world::{APP, OTHER_APP, SPACE, World};

#[test]
fn flags_control_runs_when_a_job_is_created_and_changed() {
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

    // One retry flag leaves the others as they are.
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
fn flags_set_the_request_of_a_call_and_authorization_is_optional() {
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
    world
        .cli(&["history", "nightly", "--reason", "overlap"])
        .expect(0, &["no executions of job nightly match"]);
}

#[test]
fn edit_changes_only_the_edited_fields() {
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
    edit("exit 1").expect(2, &["failed, so nothing was changed"]);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left");
    edit("echo '{' > \"$1\"").expect(2, &["not a JSON object", "Your text is in"]);
    edit("sed -i 's/1024/\"x\"/' \"$1\"").expect(6, &["memory_in_mb", "Your text is in"]);
}

#[test]
fn a_failed_job_shows_its_last_lines_and_ctrl_c_says_how_to_continue() {
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

#[test]
fn no_variables_are_needed_after_login() {
    let world = World::start();
    world.job("nightly");
    let home = tempfile::tempdir().unwrap();
    let home_path = home.path().to_str().unwrap();
    let cli = |arguments: &[&str]| Said::of(&mut program(&[("HOME", home_path)], arguments));
    let pipe = |token: &str, arguments: &[&str]| {
        let mut child = program(&[("HOME", home_path)], arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    };
    let url = world.url();
    cli(&["jobs"]).expect(2, &["ocf-scheduler login URL"]);
    pipe("wrong", &["login", &url]).expect(4, &["not allowed"]);
    let file = home.path().join(".config/ocf-scheduler/config.toml");
    assert!(!file.exists(), "a wrong token is not stored");
    let said = pipe(&format!("{}\n", world.token), &["login", &url, "--name", "dev"]);
    let said = said.expect(0, &["logged in to", &url, "config.toml"]);
    assert!(!said.out.contains(&world.token) && !said.err.contains(&world.token));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    cli(&["jobs"]).expect(0, &["nightly"]);
    // The token of a context is for its URL only.
    cli(&["jobs", "--url", &url]).expect(0, &["nightly"]);
    cli(&["jobs", "--url", "http://127.0.0.1:1"]).expect(4, &["no token is given"]);

    let second = ["login", "http://127.0.0.1:1", "--name", "far"];
    pipe("t", &second).expect(5, &["cannot be reached"]);
    let other = ["login", &url, "--space", SPACE];
    pipe(&world.token, &other).expect(0, &[]);
    let all = cli(&["contexts", "-o", "json"]).json();
    let all: Vec<_> = all.as_array().unwrap().iter().map(|it| (&it["name"], &it["current"])).collect();
    let host = json!(url.trim_start_matches("http://"));
    assert_eq!(all, [(&json!("dev"), &json!(false)), (&host, &json!(true))]);
    let said = cli(&["contexts"]).expect(0, &["dev", "*", &url, SPACE]);
    assert!(!said.out.contains(&world.token));
    cli(&["use", "dev"]).expect(0, &["dev"]);
    cli(&["use", "nowhere"]).expect(3, &["no context", "ocf-scheduler contexts"]);
    cli(&["jobs", "--context", "nowhere"]).expect(3, &["no context"]);
    cli(&["logout"]).expect(0, &["removed the context dev"]);
    assert!(!cli(&["contexts"]).out.contains("dev"));
    cli(&["jobs"]).expect(2, &["ocf-scheduler login URL"]);
    cli(&["logout"]).expect(3, &["not logged in"]);

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    cli(&["jobs"]).expect(2, &["others can read it", "chmod 600"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "[[context]]\ntoken = s3cret\n").unwrap();
    let said = cli(&["jobs"]).expect(2, &["config.toml", "line 2"]);
    assert!(!said.err.contains("s3cret"));
}

#[test]
fn a_context_can_use_the_login_of_cf() {
    let world = World::start();
    world.job("nightly");
    let home = cf_home(&world.cf.url(), &world.token, "");
    let config = home.path().join("config");
    let variables = [("HOME", home.path().to_str().unwrap()), ("XDG_CONFIG_HOME", config.to_str().unwrap())];
    let cli = |arguments: &[&str]| Said::of(&mut program(&variables, arguments));
    cli(&["login", &world.url(), "--from-cf", "--name", "prod"]).expect(0, &["prod"]);
    let text = fs::read_to_string(config.join("ocf-scheduler/config.toml")).unwrap();
    assert!(text.contains("from_cf = true") && !text.contains(&world.token), "{text}");
    cli(&["jobs"]).expect(0, &["nightly", "app-app-1"]);
    cli(&["contexts"]).expect(0, &["prod", "that of cf"]);
    cli(&["login", &world.url(), "--from-cf", "--name", "cf"]).expect(2, &["built-in context"]);
    cli(&["login", &world.url(), "--from-cf", "--name", "dev", "--space", "space-space-1"])
        .expect(0, &["dev"]);
    cli(&["jobs"]).expect(0, &["nightly"]);
}

#[test]
fn a_standalone_service_of_this_machine_is_found_without_variables() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let service = Standalone::start(directory.path());
    let variables = [("XDG_STATE_HOME", state.to_str().unwrap())];
    let cli = |arguments: &[&str]| Said::of(&mut program(&variables, arguments));
    cli(&["create-job", "disk", "df"]).expect(0, &["disk"]);
    cli(&["jobs", "--state", "never"]).expect(0, &["disk"]);
    cli(&["jobs", "--space", "my-space"]).expect(0, &["disk", "my-app"]);
    cli(&["create-job", "other", "df", "--app", "my-app"]).expect(0, &["other"]);
    cli(&["contexts"]).expect(0, &["* ", "standalone", &service.url]);
    let record = fs::read_to_string(state.join("ocf-scheduler/running.json")).unwrap();
    assert!(!record.contains(&service.token), "{record}");
    // A second one does not take its place.
    let elsewhere = tempfile::tempdir().unwrap();
    let second = Standalone::with(elsewhere.path(), &[("XDG_STATE_HOME", state.to_str().unwrap())]);
    cli(&["jobs"]).expect(0, &["disk"]);
    second.stop();
    // The file that a killed service left behind names no service.
    kill_process(service.pid(), Signal::KILL).unwrap();
    drop(service);
    cli(&["jobs"]).expect(2, &["no service is given"]);
}

#[test]
fn apps_with_one_name_are_told_apart_by_space_or_guid() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let file = directory.path().join("apps.toml");
    let text = "[[app]]\nname = \"my-app\"\nguid = \"one\"\nspace = \"my-space\"\n\
                [[app]]\nname = \"my-app\"\nguid = \"two\"\nspace = \"your-space\"\n\
                [[token]]\ntoken = \"boss-token\"\nuser = \"boss\"\nrole = \"admin\"\n\
                [[token]]\ntoken = \"your-token\"\nuser = \"you\"\nspaces = [\"your-space\"]\n";
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let service = Standalone::with(directory.path(), &[("STANDALONE_CONFIG", file.to_str().unwrap())]);
    let with = |variables: &[(&str, &str)], arguments: &[&str]| {
        let of_state = ("XDG_STATE_HOME", state.to_str().unwrap());
        Said::of(&mut program(&[&[of_state][..], variables].concat(), arguments))
    };
    let cli = |arguments: &[&str]| with(&[], arguments);
    let both = [
        "the app \"my-app\" is ambiguous; add --space SPACE, or use a guid:",
        "  one  app my-app of space my-space",
        "  two  app my-app of space your-space",
    ];
    for app in ["one", "two"] {
        cli(&["create-job", "lj", "true", "--app", app]).expect(0, &["lj"]);
    }
    for refused in [
        &["create-job", "new", "true"][..],
        &["create-call", "new", "https://test.url"],
        &["run", "lj"],
        &["show", "lj"],
        &["history", "lj"],
        &["update-job", "lj", "--command", "false"],
        &["delete-job", "lj"],
        &["disable", "lj"],
        &["schedule-job", "lj", "* * * * *"],
        &["pause", "lj"],
        &["jobs"],
        &["calls"],
        &["schedules"],
        &["executions"],
    ] {
        cli(&[refused, &["--app", "my-app"]].concat()).expect(3, &both);
    }
    with(&[("SCHEDULER_APP", "my-app")], &["create-job", "new", "true"]).expect(3, &both);
    cli(&["update-job", "lj", "--app", "one", "--to-app", "my-app"]).expect(3, &both);
    let definitions = directory.path().join("definitions.toml");
    fs::write(&definitions, "name = \"x\"\napp = \"my-app\"\n[[job]]\nname = \"lj\"\ncommand = \"false\"\n")
        .unwrap();
    let definitions = definitions.to_str().unwrap();
    cli(&["plan", definitions]).expect(3, &both);
    cli(&["apply", definitions]).expect(3, &both);
    cli(&["plan", definitions, "--space", "my-space"]).expect(2, &["command"]);
    cli(&["delete-job", "lj"]).expect(
        3,
        &["add --space SPACE, or use a guid", "job of app my-app in space my-space", "in space your-space"],
    );
    let names = |arguments: &[&str]| -> Vec<String> {
        let jobs = cli(&[&["jobs", "-o", "json"], arguments].concat()).json();
        jobs.as_array().unwrap().iter().map(|job| job["app_guid"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&[]), ["one", "two"]);
    assert_eq!(names(&["--app", "two"]), ["two"]);
    assert_eq!(names(&["--app", "my-app", "--space", "my-space"]), ["one"]);
    cli(&["delete-job", "lj", "--app", "my-app", "--space", "my-space"]).expect(0, &["deleted job lj"]);
    assert_eq!(names(&[]), ["two"]);
    cli(&["jobs", "--app", "my-ap"]).expect(3, &["there is no app \"my-ap\"; did you mean my-app?"]);
    cli(&["jobs", "--app", "two", "--space", "my-space"])
        .expect(3, &["there is no app \"two\" in the space my-space"]);
    // A token that sees one of them means that one.
    let yours = |arguments: &[&str]| with(&[("SCHEDULER_TOKEN", "your-token")], arguments);
    yours(&["create-job", "mine", "true"]).expect(0, &["mine"]);
    yours(&["delete-job", "lj", "--app", "my-app"]).expect(0, &["deleted job lj"]);
    drop(service);
}

#[test]
fn a_broken_file_of_apps_and_tokens_is_told_and_a_token_works_without_it() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let service = Standalone::start(directory.path());
    let variables = [("XDG_STATE_HOME", state.to_str().unwrap())];
    let cli = |arguments: &[&str]| Said::of(&mut program(&variables, arguments));
    cli(&["create-job", "disk", "df"]).expect(0, &["disk"]);
    let file = directory.path().join("scheduler.db.tasks/standalone.toml");
    let good = fs::read_to_string(&file).unwrap();
    let check = |fault: &str| {
        let told = ["is not valid", fault, "runs on with what it read before", "SCHEDULER_TOKEN"];
        for command in [&["jobs"][..], &["run", "disk"], &["jobs", "--service", &service.url]] {
            let said = cli(command).expect(4, &told);
            assert!(!said.err.contains("ocf-scheduler help"), "{}", said.err);
        }
        cli(&["jobs", "--token", &service.token]).expect(0, &["disk"]);
        let variables = [variables[0], ("SCHEDULER_TOKEN", service.token.as_str())];
        Said::of(&mut program(&variables, &["jobs"])).expect(0, &["disk"]);
    };
    fs::write(&file, format!("broken = 1\n{good}")).unwrap();
    check("line 1: there is no such key");
    fs::write(&file, good).unwrap();
    cli(&["jobs"]).expect(0, &["disk"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o660)).unwrap();
    check("chmod go-w");
}

#[test]
fn a_token_that_is_typed_is_not_shown() {
    let world = World::start();
    let home = tempfile::tempdir().unwrap();
    let (controller, user) = terminal(200);
    let mut child = program(&[("HOME", home.path().to_str().unwrap())], &["login", &world.url()])
        .stdin(user.try_clone().unwrap())
        .stdout(user.try_clone().unwrap())
        .stderr(user)
        .spawn()
        .unwrap();
    let mut shown = read_until(&controller, "while you type): ");
    (&controller).write_all(format!("{}\n", world.token).as_bytes()).unwrap();
    shown += &read_until(&controller, "config.toml");
    assert!(child.wait().unwrap().success(), "{shown}");
    assert!(!shown.contains(&world.token), "{shown}");
}

#[test]
fn short_guids_stand_for_whole_ones_and_wide_tables_show_these() {
    let world = World::start();
    let job = world.job("nightly");
    let schedule = world.cli(&["schedule-job", &job[..8], "0 2 * * *", "-o", "json"]).json();
    let schedule = schedule["guid"].as_str().unwrap();
    let said = world.cli(&["schedules"]).expect(0, &[&schedule[..8]]);
    assert!(!said.out.contains(schedule), "{}", said.out);
    for wide in [&["--wide"][..], &["-o", "wide"], &["-o", "csv"]] {
        world.cli(&[&["schedules"], wide].concat()).expect(0, &[schedule]);
    }
    world.cli(&["disable", &schedule[..8]]).expect(0, &["no "]);
    world.cli(&["delete-schedule", &schedule[..10]]).expect(0, &["deleted"]);
    world.cli(&["delete-schedule", &schedule[..8]]).expect(3, &["there is no"]);
    let run = world.cli(&["run", &job[..8], "-o", "json"]).json();
    let execution = run["guid"].as_str().unwrap();
    world.cli(&["cancel", &execution[..8]]).expect(0, &[&execution[..8]]);
    world.cli(&["cancel", "00000000"]).expect(3, &["none of the newest", "--wide"]);
    // A name wins over the beginning of a guid.
    let named = world.job(&job[..8]);
    assert_eq!(world.cli(&["show", &job[..8], "-o", "json"]).json()["guid"], named.as_str());
}

#[test]
fn lists_are_filtered_and_sorted_and_have_formats_for_programs() {
    let world = World::start();
    for name in ["b", "c", "a"] {
        world.job(name);
    }
    world.post(&format!("/jobs?app_guid={OTHER_APP}"), r#"{"name":"d,e","command":"true"}"#);
    world.tasks_end("FAILED", Some("no"));
    world.cli(&["run", "c", "--wait"]).expect(1, &[]);
    world.cli(&["schedule-job", "a", "0 2 1 1 *"]).expect(0, &[]);
    world.cli(&["schedule-job", "b", "* * * * *", "--disabled"]).expect(0, &[]);
    let names = |flags: &[&str]| {
        let said = world.cli(&[&["jobs", "-o", "jsonl"], flags].concat()).expect(0, &[]);
        let name =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["name"].as_str().unwrap().to_owned();
        said.out.lines().map(name).collect::<Vec<String>>()
    };
    assert_eq!(names(&[]), ["b", "c", "a", "d,e"]);
    assert_eq!(names(&["--sort", "name"]), ["a", "b", "c", "d,e"]);
    assert_eq!(names(&["--sort", "next"])[0], "a");
    assert_eq!(names(&["--sort", "last"])[0], "c");
    assert_eq!(names(&["--state", "failed"]), ["c"]);
    assert_eq!(names(&["--since", "1h"]), ["c"]);
    assert_eq!(names(&["--app", OTHER_APP]), ["d,e"]);
    world.cli(&["jobs", "--state", "RUNNING"]).expect(0, &["no jobs match"]);
    world.cli(&["jobs"]).expect(0, &["failed ", " s ago", "never ran", "-01-01T02:00:00Z", "1G"]);
    let csv = world.cli(&["jobs", "--sort", "name", "-o", "csv"]).expect(0, &[]);
    let lines: Vec<&str> = csv.out.lines().collect();
    assert!(lines[0].starts_with("name,app,last_run,next,mem,disk,guid,command,"), "{}", lines[0]);
    assert!(lines[4].starts_with("\"d,e\",app-2,never ran,-,1G,1G,"), "{}", lines[4]);
    let schedules = world.cli(&["schedules", "--state", "disabled", "-o", "json"]).json();
    assert_eq!((schedules.as_array().unwrap().len(), &schedules[0]["of"]), (1, &json!("job b")));
    assert_eq!(world.cli(&["schedules", "--app", OTHER_APP, "-o", "json"]).json(), json!([]));
    world.cli(&["executions", "--app", OTHER_APP]).expect(0, &["no executions match"]);
    world.cli(&["executions", "--app", APP, "--sort", "name"]).expect(0, &["FAILED", " c "]);
}

#[test]
fn a_format_that_a_command_cannot_print_is_refused_before_anything_is_done() {
    let world = World::start();
    world.tasks_end("SUCCEEDED", None);
    world.job("nightly");
    let objects = "--output is \"csv\"; it must be one of table, json, jsonl, wide";
    for command in [
        &["show", "nightly"][..],
        &["edit", "nightly"],
        &["pause", "nightly"],
        &["resume", "nightly"],
        &["validate", "* * * * *"],
        &["delete-job", "nightly"],
        &["delete-call", "nightly"],
        &["delete-schedule", "nightly"],
        &["delete-notification", "nightly"],
        &["login", "http://127.0.0.1:1"],
        &["use", "cf"],
        &["logout"],
    ] {
        let name = command[0];
        world.cli(&[command, &["-o", "csv"]].concat()).expect(2, &[objects, &format!("help {name}")]);
    }
    for command in [&["logs", "nightly"][..], &["dashboard"], &["open"]] {
        let text = "--output is \"json\"; it must be one of table, wide";
        world.cli(&[command, &["-o", "json"]].concat()).expect(2, &[text]);
    }
    assert_eq!(world.get("/jobs").json()["resources"][0]["paused"], false);
    assert_eq!(world.cli(&["show", "nightly", "-o", "jsonl"]).json()["name"], "nightly");
    let ended = world.cli(&["run", "nightly", "--wait", "-o", "csv"]).expect(0, &[]);
    let lines: Vec<&str> = ended.out.lines().collect();
    assert!(lines[0].starts_with("state,planned_for,") && lines[1].starts_with("SUCCEEDED,"), "{lines:?}");
}

#[test]
fn a_table_is_no_wider_than_the_terminal() {
    let world = World::start();
    let body = json!({"name": "nightly", "command": "x".repeat(200)}).to_string();
    assert_eq!(world.post(&format!("/jobs?app_guid={APP}"), &body).status, 201);
    let url = world.url();
    let shown = |columns: u16, arguments: &[&str]| {
        let (controller, user) = terminal(columns);
        let variables = [("SCHEDULER_URL", url.as_str()), ("SCHEDULER_TOKEN", &world.token)];
        let mut child = program(&variables, arguments).stdout(user).spawn().unwrap();
        let mut bytes = Vec::new();
        // A terminal ends with an error, when the last program has closed it.
        let _ = (&controller).read_to_end(&mut bytes);
        assert!(child.wait().unwrap().success());
        String::from_utf8(bytes).unwrap()
    };
    let table = shown(80, &["jobs"]);
    assert!(table.contains('…') && table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(!shown(80, &["jobs", "--wide"]).contains('…'));
    let schedule = ["schedule-job", "nightly", "0 9 * * *", "--timezone", "Asia/Tokyo"];
    world.cli(&schedule).expect(0, &["0 9 * * *"]);
    for (list, whole) in [("jobs", "  never ran  "), ("schedules", " 00:00  ")] {
        let table = shown(60, &[list]);
        assert!(table.contains(whole) && table.lines().all(|line| line.chars().count() <= 60), "{table}");
    }
}

#[test]
fn shells_complete_names_that_the_service_knows_and_nothing_that_they_would_run() {
    let world = World::start();
    for name in ["nightly", "nightshift", "n $(touch ran)", "night$(touch ran)", "other"] {
        world.job(name);
    }
    world.call("nightcall", "test.url");
    let schedule = world.cli(&["schedule-job", "other", "@daily", "-o", "json"]).json();
    let directory = tempfile::tempdir().unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_ocf-scheduler")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let script = Said::of(&mut program(&[], &["completions", "bash"])).out;
    fs::write(directory.path().join("bash"), script).unwrap();
    let completed = |words: &str| {
        let script = format!(
            "source ./bash; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _ocf_scheduler; \
             echo \"${{COMPREPLY[*]}}\""
        );
        let url = world.url();
        let variables = [("PATH", path.as_str()), ("SCHEDULER_URL", &url), ("SCHEDULER_TOKEN", &world.token)];
        let mut bash = std::process::Command::new("bash");
        bash.env_clear().envs(variables).args(["-c", &script]).current_dir(directory.path());
        Said::of(&mut bash).expect(0, &[]).out.trim().to_owned()
    };
    assert_eq!(completed("ocf-scheduler run night"), "nightcall nightly nightshift");
    assert_eq!(completed("ocf-scheduler update-job night"), "nightly nightshift");
    assert_eq!(completed("ocf-scheduler delete-call n"), "nightcall");
    let guid = &schedule["guid"].as_str().unwrap()[..8];
    assert_eq!(completed(&format!("ocf-scheduler delete-schedule {}", &guid[..6])), guid);
    assert_eq!(completed("ocf-scheduler validate --for ot"), "other");
    assert_eq!(completed("ocf-scheduler run --ap"), "--app");
    assert_eq!(completed("ocf-scheduler create-notification a b --calls x,night"), "x,nightcall");
    for command in ["jobs --app", "run nightly --app", "create-job a b --app", "update-job a --to-app"] {
        assert_eq!(completed(&format!("ocf-scheduler {command} {}", &APP[..2])), APP, "{command}");
    }
    assert_eq!(completed(&format!("ocf-scheduler jobs --space {}", &SPACE[..2])), SPACE);
    for command in ["schedule-job a b --timezone", "next x --timezone", "serve --default-timezone"] {
        assert_eq!(completed(&format!("ocf-scheduler {command} Europe/Berl")), "Europe/Berlin", "{command}");
    }
    assert!(!directory.path().join("ran").exists());
    // Without a service there is nothing to complete, and no message.
    let said = Said::of(&mut program(&[], &["complete-names", "jobs", ""]));
    assert_eq!((said.status, said.out.as_str()), (0, ""));
    let said = Said::of(&mut program(&[], &["complete-names", "time-zones", "Pacific/N"]));
    said.expect(0, &["Pacific/Nauru"]);
}

#[test]
fn shells_complete_names_of_apps_and_spaces_of_cloud_foundry_and_of_the_file() {
    let world = World::start();
    let home = cf_home(&world.cf.url(), &world.token, "");
    let (home, url) = (home.path().to_str().unwrap(), world.url());
    let of_cf = |what: &str, begun: &str| {
        let variables = [("CF_HOME", home), ("SCHEDULER_URL", &url)];
        Said::of(&mut program(&variables, &["complete-names", what, begun])).expect(0, &[]).out
    };
    assert_eq!(of_cf("apps", "app-app-1"), "app-app-1\n");
    assert_eq!(of_cf("spaces", "space-space-1"), "space-space-1\n");

    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let service = Standalone::start(directory.path());
    let names = |what: &str| {
        let variables = [("XDG_STATE_HOME", state.to_str().unwrap())];
        Said::of(&mut program(&variables, &["complete-names", what, "my"])).expect(0, &[]).out
    };
    assert_eq!((names("apps").as_str(), names("spaces").as_str()), ("my-app\n", "my-space\n"));
    drop(service);
}

#[test]
fn mistakes_are_reported_in_the_words_of_the_command_line() {
    let world = World::start();
    let nightly = world.job("nightly");
    let other = world.cli(&["create-job", "both", "x", "--app", OTHER_APP, "-o", "json"]).json();
    let other = other["guid"].as_str().unwrap().to_owned();
    world.job("both");
    world.call("ping", "http://test.url/");
    let says = |arguments: &[&str], status: i32, words: &[&str]| {
        let said = world.cli(arguments).expect(status, words);
        for of_api in ["app_guid", "auth_header", "max_retries", "%2B", "null", "audit.scheduler"] {
            assert!(!said.err.contains(of_api), "{of_api}: {}", said.err);
        }
    };
    says(&["show", "nigthly"], 3, &["no job or call \"nigthly\"; did you mean \"nightly\"?"]);
    says(&["show", "both"], 3, &["ambiguous; add --app APP, or use a guid", &other[..8]]);
    says(&["show", "both", "--app", OTHER_APP], 0, &["job both"]);
    says(&["logs", "ping"], 3, &["ping is a call, which has no output; see: ocf-scheduler history ping"]);
    says(&["jobs", "--state", "faild"], 2, &["--state has \"faild\"; did you mean FAILED?", "never"]);
    says(&["schedules", "--state", "on"], 2, &["enabled, disabled, completed"]);
    says(&["create-job", "x", "y", "--app", "nope"], 6, &["--app names no app of yours", "SCHEDULER_APP"]);
    says(&["create-call", "x", "example.com/hook", "--app", APP], 2, &["must begin with https://"]);
    says(&["update-call", "ping", "--url", "htp://x"], 2, &["must begin with https://"]);
    says(&["update-call", "ping", "--retries", "21"], 6, &["--retries", "from 0 to 20"]);
    says(&["update-call", "ping", "--headers", "Authorization: x"], 6, &["in --auth-header instead"]);
    says(&["upcoming", "--until", "tomorrow"], 6, &["--until", "RFC 3339"]);
    says(&["audit-events", "--types", "job.updat"], 6, &["has \"job.updat\"", "job.update, "]);
    says(&["update-job", "nightly"], 2, &["needs a flag that says what to change\nTry: "]);

    let wrong_token = [("SCHEDULER_URL", world.url()), ("SCHEDULER_TOKEN", "wrong".to_owned())];
    let wrong_token = wrong_token.each_ref().map(|(name, value)| (*name, value.as_str()));
    let said = Said::of(&mut program(&wrong_token, &["jobs"]));
    said.expect(4, &["does not accept the token; to store another one, run: ocf-scheduler login URL"]);
    let said = Said::of(&mut program(&[], &["login", "127.0.0.1:8000"]));
    said.expect(2, &["the URL is \"127.0.0.1:8000\"; it must be a URL like http://127.0.0.1:8000"]);

    // The answer to a change shows the same as a list.
    world.cli(&["schedule-job", "nightly", "@hourly"]).expect(0, &[]);
    world.cli(&["run", &nightly]).expect(0, &[]);
    let policy = world.cli(&["update-job", "nightly", "--concurrency-policy", "forbid", "-o", "wide"]);
    let policy = policy.expect(0, &["Forbid", ":00:00Z"]);
    assert!(!policy.out.contains("never ran"), "{}", policy.out);
    world.cli(&["upcoming"]).expect(0, &["APP", APP]);
    let csv = world.cli(&["schedules", "-o", "csv"]).expect(0, &[]);
    assert!(csv.out.starts_with("of,enabled,next,expression,guid,app,description,"), "{}", csv.out);
    let csv = world.cli(&["executions", "-o", "csv"]).expect(0, &[]);
    let columns = "state,kind,name,created,took,trigger,guid,message,reason,attempts,requested_by,app,";
    assert!(csv.out.starts_with(columns), "{}", csv.out);

    let draft = |editor: &str| {
        let (url, token) = (world.url(), world.token.clone());
        let variables = [("SCHEDULER_URL", url.as_str()), ("SCHEDULER_TOKEN", &token), ("EDITOR", editor)];
        let path = ("PATH", "/usr/bin:/bin");
        Said::of(&mut program(&[&variables[..], &[path]].concat(), &["edit", "nightly"]))
    };
    let wrong = draft("sed -i s/command/comand/").expect(
        6,
        &["\"comand\" is not a field that can be changed; did you mean command?", "Nothing was changed"],
    );
    let text = wrong.err.split_whitespace().last().unwrap();
    std::fs::remove_file(text).unwrap();
}

#[test]
fn flags_say_the_same_thing_the_same_way_and_older_spellings_work() {
    let world = World::start();
    world.job("nightly");
    world.cli(&["update-job", "nightly", "--rename", "daily"]).expect(0, &["daily"]);
    world.cli(&["update-job", "daily", "--name", "nightly"]).expect(0, &["nightly"]);
    let made = ["create-call", "ping", "--url", "http://one.url", "--app", APP, "-o", "json"];
    assert_eq!(world.cli(&made).json()["url"], "http://one.url");
    let url = |flags: &[&str]| {
        let said = world.cli(&[&["update-call", "ping", "-o", "json"], flags].concat()).json();
        said["url"].as_str().unwrap().to_owned()
    };
    assert_eq!(url(&["--url", "http://two.url"]), "http://two.url");
    assert_eq!(url(&["--to-url", "http://three.url"]), "http://three.url");
    // In older versions --url named the service.
    let service = world.url();
    assert_eq!(url(&["--to-url", "http://four.url", "--url", &service]), "http://four.url");
    let elsewhere = [("SCHEDULER_TOKEN", world.token.as_str())];
    for name in ["--url", "--service"] {
        Said::of(&mut program(&elsewhere, &["jobs", name, &service])).expect(0, &["nightly"]);
    }
    let old = ["create-call", "pong", "http://test.url", "--app", APP, "--url", &service];
    Said::of(&mut program(&elsewhere, &old)).expect(0, &["pong"]);
    world.cli(&["create-call", "none", "--app", APP]).expect(2, &["create-call needs a URL", "Try: "]);
    let made = world.cli(&["schedule-job", "nightly", "@daily", "--disabled", "-o", "json"]).json();
    assert_eq!(made["enabled"], false);
    let enabled = |flags: &[&str]| {
        let said = world.cli(&[&["update-schedule", "nightly", "-o", "json"], flags].concat()).json();
        said["enabled"].as_bool().unwrap()
    };
    assert!(enabled(&["--enabled"]) && !enabled(&["--disabled"]));
    assert!(enabled(&["--enabled", "true"]) && !enabled(&["--enabled", "false"]));
    let both = world.cli(&["update-schedule", "nightly", "--enabled", "--disabled"]);
    both.expect(2, &["exclude each other", "Try: ocf-scheduler help update-schedule"]);
}

/// A terminal with this many columns: its controller, and the end that programs get.
fn terminal(columns: u16) -> (File, File) {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&controller, size).unwrap();
    let user = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    (File::from(controller), user)
}

fn read_until(mut controller: &File, words: &str) -> String {
    let mut seen = Vec::new();
    let mut piece = [0; 1024];
    while !String::from_utf8_lossy(&seen).contains(words) {
        let length = controller.read(&mut piece).unwrap();
        assert!(0 < length, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..length]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}
