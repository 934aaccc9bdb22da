//! The real program, standalone: a new user's first minutes.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::database::Database;
use super::world::{request, wait_for};

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

    /// With these settings.
    pub(crate) fn with(directory: &Path, settings: &[(&str, &str)]) -> Self {
        Self::spawn(Self::command(directory).envs(settings.iter().copied()))
    }

    pub(crate) fn command(directory: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"));
        command
            .args(["standalone", "--port", "0"])
            .current_dir(directory)
            .env("CLIENT_SECRET", "not-for-tasks")
            .env("DATABASE_URL", Database::of(directory, "scheduler.db").url)
            // Where the command line looks for it.
            .env("XDG_STATE_HOME", directory.join("state"))
            .stderr(Stdio::null());
        command
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Its log, if it is piped.
    pub(crate) fn log(&mut self) -> std::process::ChildStderr {
        self.child.stderr.take().unwrap()
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let export =
            lines.find_map(|line| line.unwrap().trim().strip_prefix("export ").map(str::to_owned)).unwrap();
        let value = |name: &str| {
            let pair = export.split(' ').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
            pair.unwrap().to_owned()
        };
        // If the output is not a terminal, it shows where the token is, not the token.
        let token =
            Command::new("sh").args(["-c", &format!("export {export}; printf %s \"$TOKEN\"")]).output();
        let token = String::from_utf8(token.unwrap().stdout).unwrap();
        assert!(token == "A_TOKEN_OF_YOUR_FILE" || !export.contains(&token), "{export}");
        Self { url: value("URL"), token, app: value("APP"), child }
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
fn the_token_and_the_jobs_survive_a_restart_and_a_task_keeps_running_meanwhile() {
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
fn wrong_settings_are_reported_all_at_once_with_exit_status_2() {
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
fn a_bad_file_is_reported_before_anything_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("bad.toml"), "[[app]]\nname = 'a'\nspaec = 's'\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"))
        .args(["standalone", "--port", "0", "--config", "bad.toml", "--ca-cert-file", "none.pem"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(told.contains("line 3: [[app]] has no such key") && told.contains("none.pem"), "{told}");
    assert!(!directory.path().join("scheduler.db").exists());
}

#[test]
fn next_prints_fire_times_or_where_an_expression_is_wrong() {
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_ocf-scheduler")).arg("next").args(arguments).output().unwrap()
    };
    let output = run(&["0 9 * * 1-5", "--after", "2026-03-27T10:00:00Z", "--count", "2"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "2026-03-30T09:00:00Z\n2026-03-31T09:00:00Z\n");
    let program = || Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"));
    let berlin = "2026-03-30T07:00:00Z  2026-03-30T09:00:00+02:00\n";
    let after = ["--after", "2026-03-29T10:00:00Z", "--count", "1"];
    for (expression, zone) in
        [("0 9 * * 1-5", &["--timezone", "Europe/Berlin"][..]), ("TZ=Europe/Berlin 0 9 * * 1-5", &[])]
    {
        let output = program().args(["next", expression]).args(zone).args(after).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), berlin);
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            "at 09:00 on Monday to Friday, Europe/Berlin\n"
        );
    }
    // The setting is that of a service; an expression that names a zone keeps it.
    for (expression, setting) in
        [("0 9 * * *", "Europe/Berlin"), ("TZ=Europe/Berlin 0 9 * * *", "Asia/Tokyo")]
    {
        let mut next = program();
        let output =
            next.env("DEFAULT_TIMEZONE", setting).args(["next", expression]).args(after).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), berlin);
    }
    let refused = run(&["0 0 32\t* *"]);
    assert_eq!(refused.status.code(), Some(2));
    let told = String::from_utf8(refused.stderr).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].ends_with("in field 3 (day-of-month), at character 5: 32 is beyond 31"), "{told}");
    assert_eq!(lines[1..3], ["  0 0 32 * *", "      ^^"]);
    assert!(lines[3].contains("from 1 to 31") && lines[3].contains("15W"), "{told}");
}

#[test]
fn a_port_in_use_is_reported_with_the_setting_that_chooses_another() {
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
fn what_fails_on_this_machine_exits_with_1_as_the_help_says() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    std::fs::write(directory.path().join("text"), "no database").unwrap();
    std::fs::write(directory.path().join("taken.db"), "").unwrap();
    let status_of = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"));
        let output = command.env_clear().args(arguments).current_dir(directory.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    for arguments in [
        &["standalone", "--port", &port][..],
        &["standalone", "--port", "0", "--database-url", "text"],
        &["backup", "nowhere/backup.db", "--database-url", "text"],
        &["restore", "text", "--database-url", "taken.db"],
        &["import", "--from", "sqlite://none.db", "--database-url", "new.db"],
        &["check-config", "standalone", "--connect", "--database-url", "text"],
        &["health", "--url", "http://127.0.0.1:1"],
    ] {
        assert_eq!(status_of(arguments).0, Some(1), "{arguments:?}");
    }
    let (_, help) = status_of(&["help", "exit"]);
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let row = help.split(" 2 ").next().unwrap();
    for command in
        ["run --wait", "serve", "standalone", "backup", "restore", "import", "check-config", "health"]
    {
        assert!(row.contains(command), "{command}: {help}");
    }
}

#[test]
fn a_service_whose_banner_cannot_be_written_runs_all_the_same() {
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

fn standalone(directory: &Path, arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"))
        .args(["standalone", "--port", "0"])
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap()
}

#[test]
fn a_token_has_no_rights_of_another_token_of_its_user() {
    let directory = tempfile::tempdir().unwrap();
    let text = "\
        [[app]]\nname = 'in-lab'\nspace = 'lab'\n[[app]]\nname = 'in-factory'\nspace = 'factory'\n\
        [[token]]\ntoken = 'look'\nuser = 'anna'\nrole = 'auditor'\nspaces = ['lab', 'factory']\n\
        [[token]]\ntoken = 'lab'\nuser = 'anna'\nspaces = ['lab']\n\
        [[token]]\ntoken = 'factory'\nuser = 'anna'\nrole = 'manager'\nspaces = ['factory']\n";
    std::fs::write(directory.path().join("apps.toml"), text).unwrap();
    let service = Standalone::with(directory.path(), &[("STANDALONE_CONFIG", "apps.toml")]);
    let create = |token: &str, app: &str| {
        let path = format!("/jobs?app_guid={app}");
        let body = format!(r#"{{"name":"{token}-{app}","command":"true"}}"#);
        request(&service.url, "POST", &path, Some(token), &[], &body).status
    };
    for (token, lab, factory) in [("look", 401, 401), ("lab", 201, 401), ("factory", 401, 201)] {
        let statuses = (create(token, "in-lab"), create(token, "in-factory"));
        let allowed = [(201, lab), (201, factory)].map(|(yes, wanted)| yes == wanted);
        assert_eq!((statuses.0 == 201, statuses.1 == 201), (allowed[0], allowed[1]), "{token}: {statuses:?}");
    }
    let seen = |token: &str| request(&service.url, "GET", "/jobs", Some(token), &[], "");
    assert_eq!(seen("look").status, 401);
    // In the words of the file.
    for (token, told) in [("look", "the token has no space"), ("none", "does not accept the token")] {
        let accept = [("Accept", "application/problem+json")];
        let refused = request(&service.url, "GET", "/jobs", Some(token), &accept, "").body;
        for part in [told, "a token of the service's file", "role admin", "developer or manager"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        assert!(!refused.contains("UAA") && !refused.contains("cloud_controller"), "{refused}");
    }
    let accept = [("Accept", "application/problem+json")];
    let without = request(&service.url, "GET", "/jobs", None, &accept, "").body;
    assert!(without.contains("a token of the service's file") && !without.contains("UAA"), "{without}");
    assert!(seen("lab").body.contains("lab-in-lab") && !seen("lab").body.contains("factory"));
    service.stop();
}

#[test]
fn files_that_others_may_have_planted_are_refused_with_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let set = |name: &str, mode: u32| {
        let path = directory.path().join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    Standalone::with(directory.path(), &[("DATABASE_URL", "scheduler.db")]).stop();
    for name in ["scheduler.db", "scheduler.db.tasks", "scheduler.db.tasks/standalone.toml"] {
        let mode = directory.path().join(name).metadata().unwrap().permissions().mode();
        set(name, mode | 0o020);
        let output = standalone(directory.path(), &[]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("can be written by its group; to mend it: chmod go-w"), "{told}");
        assert!(told.contains(name), "{told}");
        set(name, mode);
    }
    std::fs::copy(
        directory.path().join("scheduler.db.tasks/standalone.toml"),
        directory.path().join("a.toml"),
    )
    .unwrap();
    set("a.toml", 0o666);
    let output = standalone(directory.path(), &["--config", "a.toml"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("chmod go-w a.toml"));
    set("", 0o777);
    let output = standalone(directory.path(), &[]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("could replace what is in the directory"));
    set("", 0o700);
    Standalone::with(directory.path(), &[("DATABASE_URL", "scheduler.db")]).stop();
}

#[test]
fn no_process_of_ours_lets_a_task_of_the_same_user_read_its_environment() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Standalone::command(directory.path());
    if rustix::process::geteuid().is_root() {
        // Root can read everything, so the service runs as another user.
        std::os::unix::fs::chown(directory.path(), Some(65_534), Some(65_534)).unwrap();
        command.uid(65_534).gid(65_534);
    }
    let service = Standalone::spawn(&mut command);
    let pids = format!("$PPID {}", service.child.id());
    let ended =
        service.run("nosy", &format!("for pid in {pids}; do cat /proc/$pid/environ >> seen; done; true"));
    assert_eq!(ended["state"], "SUCCEEDED", "{ended}");
    assert_eq!(std::fs::read_to_string(directory.path().join("seen")).unwrap(), "");
    let ended = service.run("own", "cat /proc/self/environ > own");
    assert_eq!(ended["state"], "SUCCEEDED", "a task's own environment is its own");
    service.stop();
}

/// A user without rights, and the user's groups according to the system.
fn nobody() -> Option<String> {
    let output = Command::new("id").args(["-G", "nobody"]).output().ok()?;
    (rustix::process::geteuid().is_root() && output.status.success())
        .then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn the_tasks_of_an_app_with_a_user_run_as_that_user_and_cannot_read_the_services_file() {
    let Some(groups) = nobody() else { return };
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let text = "[[app]]\nname = 'a'\nspace = 's'\nuser = 'nobody'\nenv = { SHELL = '/bin/own' }\n\
                [[token]]\ntoken = 'test'\nuser = 'u'\nspaces = ['s']\n";
    std::fs::write(directory.path().join("apps.toml"), text).unwrap();
    std::fs::set_permissions(directory.path().join("apps.toml"), std::fs::Permissions::from_mode(0o600))
        .unwrap();
    let mut service = Standalone::with(directory.path(), &[("STANDALONE_CONFIG", "apps.toml")]);
    (service.token, service.app) = ("test".to_owned(), "a".to_owned());
    let prints = "id -un; id -G; echo $USER $LOGNAME $SHELL; cat apps.toml; \
                  cat /proc/$PPID/environ; cat /proc/self/status | grep NoNewPrivs; exit 0";
    let ended = service.run("who", prints);
    assert_eq!(ended["state"], "SUCCEEDED", "{ended}");
    let path = format!("scheduler.db.tasks/tasks/{}/output.log", ended["guid"].as_str().unwrap());
    let printed = std::fs::read_to_string(directory.path().join(path)).unwrap();
    assert!(printed.starts_with(&format!("nobody\n{groups}\nnobody nobody /bin/own\n")), "{printed}");
    assert!(printed.contains("apps.toml: Permission denied") && !printed.contains("test"), "{printed}");
    assert!(printed.contains("environ: Permission denied"), "{printed}");
    let ended = service.run("fail", "exit 3");
    assert_eq!(ended["message"], "exit status 3");
    service.stop();
}
