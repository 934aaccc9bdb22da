//! The commands that use a service: the real program against a real service, and against servers
//! that misbehave.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ocf_scheduler::base::clock::{Clock, SystemClock};
use ocf_scheduler::cli::command::Command as Row;
use ocf_scheduler::cli::table::COMMANDS;
use ocf_scheduler::model::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::cf::fake_cf::{ALWAYS, CLIENT_ID, CLIENT_SECRET, FakeCf, Fault};
use super::standalone::Standalone;
use super::world::{APP, FOREIGN_APP, FOREIGN_SPACE, OTHER_APP, SPACE, World};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ocf-scheduler");
const NO_GUID: &str = "8d3a51c0-4f0e-4a53-9c52-0d8a3f1f6b11";

/// What the program printed, and its exit status.
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|err| panic!("{err}: {}", self.out))
    }

    #[track_caller]
    pub(crate) fn expect(self, status: i32, words: &[&str]) -> Self {
        let all = format!("{}{}", self.out, self.err);
        assert_eq!(self.status, status, "{all}");
        for word in words {
            assert!(all.contains(word), "no {word:?} in: {all}");
        }
        self
    }
}

/// The program with only these variables in its environment.
pub(crate) fn program(variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().envs(variables.iter().copied()).args(arguments).stdin(Stdio::null());
    command
}

fn run(url: &str, token: &str, arguments: &[&str]) -> Said {
    Said::of(&mut program(&[("SCHEDULER_URL", url), ("SCHEDULER_TOKEN", token)], arguments))
}

impl World {
    pub(crate) fn cli(&self, arguments: &[&str]) -> Said {
        run(&self.url(), &self.token, arguments)
    }

    pub(crate) fn tasks_end(&self, state: &str, reason: Option<&str>) {
        self.cf.complete_tasks_after(Some((Duration::ZERO, state, reason)));
    }
}

/// A home directory in which cf is logged in.
pub(crate) fn cf_home(target: &str, token: &str, refresh_token: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".cf")).unwrap();
    let config = json!({
        "ConfigVersion": 4, "Target": target, "AccessToken": format!("bearer {token}"),
        "RefreshToken": refresh_token, "UaaEndpoint": target, "UAAOAuthClient": "cf",
        "UAAOAuthClientSecret": "",
        "SpaceFields": {"GUID": SPACE, "Name": "dev"}, "SSLDisabled": false, "PluginRepos": null,
    });
    fs::write(home.path().join(".cf/config.json"), config.to_string()).unwrap();
    home
}

/// A server that sends these answers, one for each connection, and records the requests.
struct Scripted {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    fn start(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && 0 < reader.read_line(&mut head).unwrap() {}
                let length = head.lines().find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
                });
                let mut body = vec![0; length.unwrap_or(0)];
                reader.read_exact(&mut body).unwrap();
                seen.lock().unwrap().push(head);
                reader.get_mut().write_all(&answer).unwrap();
            }
        });
        Self { url, requests }
    }

    fn run(&self, arguments: &[&str]) -> Said {
        run(&self.url, "t", arguments)
    }

    /// The first lines of all requests.
    fn asked(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|head| head.lines().next().unwrap().replace(" HTTP/1.1", "")).collect()
    }
}

fn answer(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn list(resources: &Value) -> Vec<u8> {
    answer(200, "", json!({ "resources": resources }).to_string())
}

fn one_job() -> Vec<u8> {
    list(&json!([{"guid": "g", "name": "n", "app_guid": "a"}]))
}

/// What `standalone` prints in `directory`, which is its home, up to the commands to paste.
fn greeted(directory: &Path, arguments: &[&str]) -> (Child, Vec<String>) {
    let mut child = Command::new(PROGRAM)
        .args(["standalone", "--port", "0"])
        .args(arguments)
        .current_dir(directory)
        .env_remove("XDG_STATE_HOME")
        .env("HOME", directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let banner = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.contains("create-call"))
        .collect();
    (child, banner)
}

/// Pastes the lines of `banner` that `is_pasted` wants into a shell, and `more` after them.
fn pasted(directory: &Path, banner: &[String], is_pasted: impl Fn(&str) -> bool, more: &str) -> Said {
    let lines: Vec<&str> =
        banner.iter().filter_map(|line| line.strip_prefix("  ")).filter(|line| is_pasted(line)).collect();
    let file = directory.join("script");
    fs::write(&file, format!("set -e\n{}\n{more}\n", lines.join("\n"))).unwrap();
    let mut shell = Command::new("sh");
    Said::of(shell.arg(&file).env_remove("CF_HOME").env_remove("XDG_STATE_HOME").env("HOME", directory))
}

/// Not every machine has curl.
fn has_curl() -> bool {
    Command::new("curl").arg("--version").output().is_ok()
}

#[test]
fn what_standalone_prints_can_be_pasted() {
    let directory = tempfile::tempdir().unwrap();
    let (mut child, banner) = greeted(directory.path(), &[]);
    let has_curl = has_curl();
    let is_pasted = |line: &str| has_curl || !line.contains("curl ");
    let more = "ocf-scheduler schedules disk\nocf-scheduler jobs";
    let said = pasted(directory.path(), &banner, is_pasted, more);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut parts = vec!["job disk SUCCEEDED", "Filesystem", "* * * * *"];
    if has_curl {
        parts.extend(["\"state\":\"PENDING\"", "https://example.com/hook", "hello"]);
    }
    said.expect(0, &parts);
    assert!(directory.path().join("disk.txt").exists());
}

#[test]
fn what_standalone_prints_about_several_apps_and_tokens_can_be_pasted() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("apps.toml");
    let apps = "[[app]]\nname = 'lab'\nspace = 'l'\n[[app]]\nname = 'the shop'\nguid = 'shop'\nspace = 's'\n";
    let digest = format!("[[token]]\nsha256 = '{}'\nuser = 'o'\nspaces = ['l']\n", "0".repeat(64));
    let known = "[[token]]\n  token= 'hidden-one' # mine\nuser = 'a'\nspaces = ['s']\n";
    let write = |text: &str| fs::write(&file, text).unwrap();
    let paste = |is_with_exports: bool, job: &str| {
        let (mut child, banner) = greeted(directory.path(), &["--config", "apps.toml"]);
        let text = banner.join("\n");
        assert!(!text.contains("hidden-one"), "{text}");
        let has_curl = has_curl() && is_with_exports;
        let is_pasted = |line: &str| match () {
            () if line.contains("curl ") => has_curl,
            () if line.starts_with("export") => is_with_exports,
            () => true,
        };
        let renamed: Vec<String> = banner.iter().map(|line| line.replace(" disk", job)).collect();
        let said = pasted(directory.path(), &renamed, is_pasted, "ocf-scheduler jobs");
        child.kill().unwrap();
        child.wait().unwrap();
        (text, said, has_curl)
    };
    write(&format!("{apps}{digest}{known}"));
    let (text, said, has_curl) = paste(true, " one");
    assert!(text.contains("/dashboard/#code="), "{text}");
    let said = said.expect(0, &["job one SUCCEEDED", "the shop"]);
    if has_curl {
        said.expect(0, &["\"state\":\"PENDING\"", "https://example.com/hook", "hello"]);
    }
    let (_, said, _) = paste(false, " two");
    said.expect(0, &["job two SUCCEEDED", "the shop"]);

    // The shell cannot read this token, and the command line can.
    write(&format!("{apps}{}", known.replace("'hidden-one'", "\"hidden\\u002done\"")));
    let (text, said, _) = paste(false, " three");
    assert!(text.contains("in place of A_TOKEN_OF_YOUR_FILE") && !text.contains("SCHEDULER_TOKEN"), "{text}");
    said.expect(0, &["job three SUCCEEDED"]);

    write(&format!("{apps}{digest}{}", digest.replace('0', "1")));
    let (text, ..) = paste(false, " four");
    assert!(text.contains("in place of A_TOKEN_OF_YOUR_FILE") && text.contains("SCHEDULER_TOKEN"), "{text}");
    assert!(text.contains("it needs a token") && !text.contains("#code="), "{text}");
}

#[test]
fn a_crontab_becomes_jobs_with_schedules_and_a_second_import_changes_nothing() {
    let world = World::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("crontab");
    let text = "# The report.\n0 9 * * 1-5 bin/report --all\nCRON_TZ=Europe/Berlin\n@daily bin/clean\n\
                @reboot bin/warm\n61 * * * * bin/never\n0 0 */2 * 1 bin/odd\nCRON_TZ=Mars/Base\n\
                @daily bin/mars\n";
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let dry = world.cli(&["import-crontab", file, "--app", APP, "--dry-run"]);
    let zone = "lines without CRON_TZ: their times are in UTC";
    let both = "line 7: cron would run it only on days that match both";
    let words = [
        "report",
        "clean",
        "line 5: @reboot is not supported",
        "line 6: ",
        both,
        zone,
        "2 lines were refused",
    ];
    dry.expect(6, &words).expect(6, &["CRON_TZ is no time zone"]);
    assert_eq!(world.get("/jobs").json()["resources"], json!([]));

    let taken = world.cli(&["import-crontab", file, "--app", APP]);
    taken.expect(6, &words).expect(6, &["CRON_TZ \"Mars/Base\""]);
    let jobs = world.get("/jobs?detailed=true").json();
    let jobs = jobs["resources"].as_array().unwrap();
    let seen: Vec<[&Value; 5]> = jobs
        .iter()
        .map(|job| {
            let schedule = &job["schedules"][0];
            let fields = ["expression", "timezone", "description"].map(|name| &schedule[name]);
            [&job["name"], &job["command"], fields[0], fields[1], fields[2]]
        })
        .collect();
    assert_eq!(
        json!(seen),
        json!([
            ["report", "bin/report --all", "0 9 * * 1-5", null, "The report."],
            ["clean", "bin/clean", "@daily", "Europe/Berlin", null],
            ["odd", "bin/odd", "0 0 */2 * 1", "Europe/Berlin", null],
        ])
    );
    let again = world.cli(&["import-crontab", file, "--app", APP]);
    again.expect(6, &["nothing to import", "line 2: the job \"report\" already exists"]);
    assert_eq!(world.get("/jobs").json()["resources"].as_array().unwrap().len(), 3);
    let right =
        text.replace("61 * * * * bin/never\n", "").replace("CRON_TZ=Mars/Base\n@daily bin/mars\n", "");
    fs::write(file, right).unwrap();
    world.cli(&["import-crontab", file, "--app", APP]).expect(0, &["nothing to import"]);
    world.cli(&["import-crontab", "/nonexistent", "--app", APP]).expect(2, &["cannot be read"]);
}

#[test]
fn jobs_and_calls_are_created_listed_changed_and_deleted_by_name() {
    let world = World::start();
    let created = world.cli(&[
        "create-job",
        "nightly",
        "bin/report",
        "--app",
        APP,
        "--memory",
        "64",
        "--log-rate",
        "-1",
        "--output",
        "json",
    ]);
    let created = created.json();
    assert_eq!(created["log_rate_in_bps"].as_i64(), Some(-1));
    assert_eq!((created["memory_in_mb"].as_u64(), created["disk_in_mb"].as_u64()), (Some(64), Some(1024)));
    let guid = created["guid"].as_str().unwrap();
    world.cli(&["jobs"]).expect(0, &["NAME", "nightly", "never ran", &guid[..8], "64M", "bin/report"]);
    let changed = world.cli(&[
        "update-job",
        "nightly",
        "--name",
        "daily",
        "--command",
        "bin/x",
        "--disk",
        "7",
        "--to-app",
        OTHER_APP,
        "--output",
        "json",
    ]);
    let changed = changed.json();
    assert_eq!((changed["guid"].as_str(), changed["app_guid"].as_str()), (Some(guid), Some(OTHER_APP)));
    assert_eq!((changed["command"].as_str(), changed["disk_in_mb"].as_u64()), (Some("bin/x"), Some(7)));
    world.cli(&["delete-job", "daily"]).expect(0, &["deleted job daily"]);
    assert_eq!(world.get(&format!("/jobs/{guid}")).status, 404);

    world
        .cli(&["create-call", "ping", "https://test.url", "--app", APP, "--auth-header", "Bearer abc"])
        .expect(0, &["ping"]);
    let updated =
        world.cli(&["update-call", "ping", "--to-url", "http://other.url", "--output", "json"]).json();
    assert_eq!(updated["url"], "http://other.url");
    let path = format!("/calls/{}", updated["guid"].as_str().unwrap());
    assert_eq!(world.get(&path).json()["auth_header"], "Bearer abc");
    world.cli(&["delete-call", updated["guid"].as_str().unwrap()]).expect(0, &["deleted call ping"]);
    assert_eq!(world.get(&path).status, 404);
}

#[test]
fn schedules_are_created_listed_stopped_and_deleted() {
    let world = World::start();
    let (job, call) = (world.job("nightly"), world.call("ping", "test.url"));
    let of_job = world.cli(&["schedule-job", "nightly", "0 2 * * *", "--output", "json"]).json();
    assert_eq!((of_job["job_guid"].as_str(), of_job["enabled"].as_bool()), (Some(job.as_str()), Some(true)));
    let of_call = world.cli(&["schedule-call", "ping", "@daily", "--disabled", "--output", "json"]).json();
    assert_eq!(
        (of_call["call_guid"].as_str(), of_call["enabled"].as_bool()),
        (Some(call.as_str()), Some(false))
    );
    let all = world.cli(&["schedules", "--output", "json"]).json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    let one = world.cli(&["schedules", "ping"]).expect(0, &["call ping", "no ", "@daily"]);
    assert!(!one.out.contains("nightly"));

    let guid = of_call["guid"].as_str().unwrap();
    world.cli(&["history", "ping", "--schedule", guid]).expect(0, &["call ping has not run yet"]);
    world.cli(&["history", "nightly", "--schedule", guid]).expect(3, &[]);
    let changed = ["update-schedule", guid, "--enabled", "true", "--expression", "@hourly"];
    world.cli(&changed).expect(0, &["call ping", "yes", "@hourly"]);
    world.cli(&["delete-schedule", guid]).expect(0, &["deleted the schedule @hourly of call ping"]);
    let left = world.cli(&["schedules", "--output", "json"]).json();
    assert_eq!(left[0]["guid"], of_job["guid"]);
    world.cli(&["delete-schedule", guid]).expect(3, &["no schedule"]);
}

#[test]
fn run_wait_exits_with_the_outcome_of_the_execution() {
    let world = World::start();
    world.job("nightly");
    world.tasks_end("SUCCEEDED", None);
    let said = world.cli(&["run", "nightly", "--wait"]).expect(0, &["job nightly SUCCEEDED in "]);
    assert!(said.err.contains("job nightly: PENDING\n"), "progress is beside the output: {}", said.err);
    world.tasks_end("FAILED", Some("out of memory"));
    world.cli(&["run", "nightly", "--wait"]).expect(1, &["job nightly FAILED in ", "out of memory"]);
    let said = world.cli(&["run", "nightly", "--wait", "--output", "json"]);
    assert_eq!(said.status, 1);
    assert_eq!(serde_json::from_str::<Value>(&said.out).unwrap()["state"], "FAILED");

    let started = world.cli(&["run", "nightly", "--output", "json"]).json();
    assert_eq!(started["state"], "PENDING");
    let history = world.cli(&["history", "nightly", "--limit", "2", "--output", "json"]).json();
    assert_eq!((history.as_array().unwrap().len(), &history[0]["guid"]), (2, &started["guid"]));
    world.cli(&["history", "nightly"]).expect(0, &["by hand", "out of memory", "SUCCEEDED"]);
    let failed = world.cli(&["executions", "--state", "FAILED", "--since", "1h", "--kind", "job"]);
    let failed = failed.expect(0, &["nightly", "out of memory", "manual"]);
    assert!(!failed.out.contains("PENDING"), "{}", failed.out);
    let two = world.cli(&["executions", "--limit", "2", "--output", "json"]).json();
    assert_eq!((two.as_array().unwrap().len(), &two[0]["guid"]), (2, &started["guid"]));
    world.cli(&["executions", "--since", "soon"]).expect(2, &["for example 12h"]);
    world.cli(&["executions", "--state", "ended"]).expect(6, &["ENDED"]);
    world.call("ping", "test.url");
    world.cli(&["schedule-call", "ping", "*/5 * * * *"]).expect(0, &[]);
    world.cli(&["upcoming", "--limit", "3"]).expect(0, &["call", "ping"]);
    world.cli(&["upcoming", "--until", "2020-01-01T00:00:00Z"]).expect(0, &["no schedule fires"]);
    world.cli(&["run", "ping", "--wait"]).expect(1, &["call ping FAILED"]);
    let retried =
        ["update-call", "ping", "--url", "http://127.0.0.1:1/", "--retries", "1", "--backoff", "1s"];
    world.cli(&retried).expect(0, &[]);
    let said = world.cli(&["run", "ping", "--wait"]).expect(1, &["call ping FAILED"]);
    assert!(said.err.contains("call ping: PENDING, attempt 1 of 2 failed: "), "{}", said.err);
}

#[test]
fn fire_times_are_shown_in_utc_and_in_the_zone_of_the_schedule() {
    let world = World::start();
    world.job("nightly");
    let plain = world.job("plain");
    let (utc, local) = ("2099-07-01T07:00:00Z", "2099-07-01T09:00:00+02:00");
    let beside = format!("{utc}  {local}");
    // Its second fire time is the last.
    let options = ["--timezone", "Europe/Berlin", "--from", "2099-07-01T00:00:00Z"];
    let add = [&["schedule-job", "nightly", "0 9 * * *"], &options[..], &["--until", "2099-07-02T08:00:00Z"]];
    let next = format!("Next: {utc} ({local})\n      2099-07-02T07:00:00Z (2099-07-02T09:00:00+02:00)\n");
    world.cli(&add.concat()).expect(0, &["NEXT", "LOCAL", &beside, &next]);
    world
        .cli(&["schedule-job", "plain", "@at 2099-01-01T00:00:00Z", "--disabled"])
        .expect(0, &["is disabled"]);
    world.cli(&["schedules", "nightly"]).expect(0, &[&beside]);
    world.cli(&["jobs"]).expect(0, &["LOCAL", &beside]);
    world.cli(&["show", "nightly"]).expect(0, &[&beside]);
    world.cli(&["upcoming", "--until", "2100-01-01T00:00:00Z"]).expect(0, &["LOCAL", &beside]);
    world
        .cli(&["next", "0 9 * * *", "--timezone", "Europe/Berlin", "--after", "2099-07-01T00:00:00Z"])
        .expect(0, &[&beside]);
    world
        .cli(&["validate", "TZ=Europe/Berlin 0 9 * * *", "--from", "2099-07-01T00:00:00Z"])
        .expect(0, &[&beside]);
    world.call("ping", "test.url");
    world.cli(&["schedule-call", "ping", "TZ=Europe/Berlin 0 9 1 7 * 2099"]).expect(0, &[&beside]);
    world.cli(&["calls"]).expect(0, &["LOCAL", &beside]);
    let utc_only = world.cli(&["schedules", "plain"]).expect(0, &[]);
    assert!(!utc_only.out.contains("LOCAL"), "{}", utc_only.out);
    let json = world.cli(&["jobs", "--output", "json"]);
    assert!(!json.out.contains(local), "JSON is what the API answers: {}", json.out);

    world.tasks_end("SUCCEEDED", None);
    world
        .cli(&["schedule-job", "plain", "--in", "1s", "--timezone", "Asia/Tokyo"])
        .expect(0, &["LOCAL", "+09:00"]);
    world.ended(&format!("/jobs/{plain}"));
    world.cli(&["history", "plain"]).expect(0, &["PLANNED FOR", "LOCAL", "+09:00"]);
    world.cli(&["show", "plain"]).expect(0, &["PLANNED FOR", "+09:00"]);
}

#[test]
fn an_outage_does_not_end_run_wait() {
    let never = "0001-01-01T00:00:00Z";
    let execution =
        |state: &str| json!([{"guid": "e", "state": state, "message": "", "execution_end_time": never}]);
    let server = Scripted::start(vec![
        one_job(),
        list(&json!([])),
        answer(201, "", r#"{"guid":"e","state":"PENDING"}"#),
        list(&execution("RUNNING")),
        answer(503, "", ""),
        answer(502, "", ""),
        list(&execution("SUCCEEDED")),
    ]);
    server.run(&["run", "n", "--wait"]).expect(0, &["job n: RUNNING", "job n SUCCEEDED"]);
}

#[test]
fn output_that_cannot_be_written_is_no_success() {
    let world = World::start();
    world.job("nightly");
    world.cli(&["run", "nightly"]).expect(0, &[]);
    for arguments in [
        &["jobs"][..],
        &["jobs", "-o", "json"],
        &["executions", "-o", "csv"],
        &["show", "nightly"],
        &["export"],
        &["create-job", "another", "true", "--app", APP],
        &["history", "nightly"],
        &["dashboard"],
        &["contexts", "-o", "json"],
    ] {
        let url = world.url();
        let variables =
            [("SCHEDULER_URL", &*url), ("SCHEDULER_TOKEN", &world.token), ("HOME", "/nonexistent")];
        let full = fs::File::create("/dev/full").unwrap();
        let said = Said::of(program(&variables, arguments).stdout(full));
        assert_eq!(said.status, 1, "{arguments:?}: {}", said.err);
        assert!(said.err.contains("ocf-scheduler: cannot write the output: No space left"), "{}", said.err);
    }
    world.cli(&["jobs"]).expect(0, &["another"]);
}

#[test]
fn exit_statuses_tell_scripts_what_went_wrong() {
    let world = World::start();
    world.job("nightly");
    let refused = world.cli(&["create-job", "nightly", "true", "--app", APP]);
    refused.expect(6, &["name is taken by another of this app", "expected: a name that no other"]);
    let refused = world.cli(&["schedule-job", "nightly", "61 * * * *"]);
    refused.expect(6, &["expression is not valid", "expected: numbers from 0 to 59"]);
    let refused = world.cli(&["create-job", " ", " ", "--app", APP]);
    refused.expect(6, &["refused:\n  name is blank\n    expected", "command is blank", "at most 4096"]);
    world.cli(&["create-job", "x", "true", "--app", "nowhere"]).expect(6, &["there is no such app"]);

    world.cli(&["run"]).expect(2, &["run needs NAME"]);
    world.cli(&["run", "nightly", "--output", "xml"]).expect(2, &["table, json"]);
    world.cli(&["create-job", "x", "true"]).expect(2, &["SCHEDULER_APP"]);
    world.cli(&["history", "nightly", "--limit", "501"]).expect(2, &["from 1 to 500"]);
    world.cli(&["jobs", "--ca-cert-file", "/none.pem"]).expect(2, &["CA_CERT_FILE", "/none.pem"]);
    Said::of(&mut program(&[], &["jobs"])).expect(2, &["SCHEDULER_URL", "ocf-scheduler standalone"]);
    run("localhost:8000", "t", &["jobs"]).expect(2, &["SCHEDULER_URL", "localhost:8000"]);

    world.cli(&["run", "nothing"]).expect(3, &["there is no job or call \"nothing\""]);
    world.cli(&["history", NO_GUID]).expect(3, &[]);

    run(&world.url(), "of-nobody", &["jobs"]).expect(4, &["not allowed"]);
    world.cli(&["jobs", "--space", FOREIGN_SPACE]).expect(4, &["no role in that space"]);
    Said::of(&mut program(&[("SCHEDULER_URL", &world.url())], &["jobs"])).expect(4, &["SCHEDULER_TOKEN"]);

    run("http://127.0.0.1:1", "t", &["jobs"]).expect(5, &["http://127.0.0.1:1 cannot be reached"]);
    world.cf.fault("GET /userinfo", Fault::status(503, Some(("Retry-After", "77"))), ALWAYS);
    let token = world.cf.issue_cf_token("dev");
    run(&world.url(), &token, &["jobs"]).expect(5, &["retry in 77 s"]);
}

#[test]
fn an_ambiguous_name_changes_nothing() {
    let world = World::start();
    let job = |app: &str| {
        let body = r#"{"name":"same","command":"true"}"#;
        world.post(&format!("/jobs?app_guid={app}"), body).guid()
    };
    let (first, second) = (job(APP), job(OTHER_APP));
    world.cli(&["run", "same"]).expect(3, &[&first, &second, OTHER_APP, "use a guid"]);
    world.cli(&["delete-job", "same"]).expect(3, &[&first, &second]);
    let started = world.cli(&["run", "same", "--app", OTHER_APP, "--output", "json"]).json();
    assert_eq!(started["job_guid"], second.as_str());
    assert_eq!(world.cli(&["run", &first, "--output", "json"]).json()["job_guid"], first.as_str());
    assert_eq!(world.get("/jobs").json()["resources"].as_array().unwrap().len(), 2);
}

#[test]
fn an_ambiguous_name_of_cloud_foundry_changes_nothing() {
    let world = World::start();
    world.cf.add_role("dev", FOREIGN_SPACE);
    for app in [APP, FOREIGN_APP] {
        world.cf.rename(app, "web");
        world.post(&format!("/jobs?app_guid={app}"), r#"{"name":"same","command":"true"}"#);
    }
    let home = cf_home(&world.cf.url(), &world.token, "");
    let file = home.path().join(".cf/config.json");
    let targeted = fs::read_to_string(&file).unwrap();
    let nowhere = targeted.replace(&format!("\"GUID\":\"{SPACE}\""), "\"GUID\":\"\"");
    assert_ne!(targeted, nowhere);
    fs::write(&file, nowhere).unwrap();
    let url = world.url();
    let cli = |arguments: &[&str]| {
        let home = home.path().to_str().unwrap();
        Said::of(&mut program(&[("HOME", home), ("SCHEDULER_URL", &url)], arguments))
    };
    let both = [
        "the app \"web\" is ambiguous; add --space SPACE, or use a guid:",
        "  app-1  app web of space space-space-1",
        "  app-9  app web of space ",
    ];
    cli(&["create-job", "new", "true", "--app", "web"]).expect(3, &both);
    cli(&["delete-job", "same", "--app", "web"]).expect(3, &both);
    cli(&["jobs", "--app", "web"]).expect(3, &both);
    cli(&["delete-job", "same", "-o", "json"]).expect(
        3,
        &[
            "\"same\" is ambiguous; add --space SPACE, or use a guid:",
            "  job of app web in space space-space-1\n",
        ],
    );
    let one = cli(&["jobs", "--app", "web", "--space", "space-space-1", "-o", "json"]).json();
    assert_eq!((one.as_array().unwrap().len(), one[0]["app_guid"].as_str()), (1, Some(APP)));
    for space in [SPACE, FOREIGN_SPACE] {
        let space = format!("space-{space}");
        cli(&["create-notification", "ops", "https://test.url", "--space", &space]).expect(0, &["ops"]);
    }
    let both = [
        "\"ops\" is ambiguous; add --space SPACE, or use a guid:",
        "notification ops in space space-space-1",
    ];
    cli(&["delete-notification", "ops"]).expect(3, &both);
    let deleted = cli(&["delete-notification", "ops", "--space", "space-space-1", "-o", "json"]).json();
    assert_eq!((deleted["name"].as_str(), deleted["space_guid"].as_str()), (Some("ops"), Some(SPACE)));
    for space in [SPACE, FOREIGN_SPACE] {
        world.cf.rename(space, "dev");
    }
    world.cf.add_space_of("org-2", FOREIGN_SPACE);
    cli(&["jobs", "--space", "dev"]).expect(
        3,
        &[
            "the space \"dev\" is ambiguous; use a guid:",
            "space dev of organization name-of-org\n",
            "space dev of organization name-of-org-2",
        ],
    );
    assert_eq!(world.get("/jobs").json()["resources"].as_array().unwrap().len(), 2);
}

#[test]
fn text_from_a_server_cannot_control_a_terminal() {
    let world = World::start();
    let name = "a\u{1b}[2J\u{9b}31m\r\u{7f}\u{202e}b";
    let body = json!({"name": name, "command": "true"}).to_string();
    assert_eq!(world.post(&format!("/jobs?app_guid={APP}"), &body).status, 201);
    world.tasks_end("FAILED", Some("\u{1b}]0;title\u{7}"));
    let is_text = |text: &str| text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}');
    for arguments in [
        &["jobs"][..],
        &["jobs", "--output", "json"],
        &["run", name, "--wait"],
        &["run", name, "--wait", "--output", "json"],
        &["history", name],
        &["run", name, "--output", "json"],
        &["delete-job", name],
        &["run", name],
    ] {
        let said = world.cli(arguments);
        assert!(is_text(&said.out) && is_text(&said.err), "{arguments:?}: {:?} {:?}", said.out, said.err);
        if arguments == ["jobs", "--output", "json"] {
            assert_eq!(said.json()[0]["name"], name);
        }
    }
    let evil = r#"{"detail":"\u001b[31mno\u009b"}"#;
    let said = Scripted::start(vec![answer(422, "", evil)]).run(&["create-job", "x", "y", "--app", "a"]);
    assert!(is_text(&said.err) && said.err.contains(r"\u{1b}[31mno"), "{:?}", said.err);
}

#[test]
fn no_secret_is_printed() {
    let world = World::start();
    world.call("ping", "test.url");
    for arguments in [
        &["calls"][..],
        &["calls", "--output", "json"],
        &["update-call", "ping", "--name", "pong", "--output", "json"],
        &["run", "nothing"],
        &["delete-call", "pong", "--output", "json"],
    ] {
        let said = world.cli(arguments);
        let all = format!("{}{}", said.out, said.err);
        assert!(!all.contains("Bearer abc") && !all.contains(&world.token), "{arguments:?}: {all}");
    }
    let said = run(&world.url(), "s3cret\u{1}", &["jobs"]).expect(4, &["characters"]);
    assert!(!said.err.contains("s3cret"));
    let said = run("http://u:s3cret@127.0.0.1:1", "t", &["jobs"]).expect(2, &["SCHEDULER_URL"]);
    assert!(!said.err.contains("s3cret"));
}

#[test]
fn the_header_of_a_call_can_come_from_the_standard_input() {
    let world = World::start();
    let (url, app) = (world.url(), ("SCHEDULER_APP", APP));
    let variables = [("SCHEDULER_URL", url.as_str()), ("SCHEDULER_TOKEN", &world.token), app];
    let mut child = program(&variables, &["create-call", "ping", "https://test.url", "--auth-header", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"Bearer of-a-file\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(world.get("/calls").json()["resources"][0]["auth_header"], "Bearer of-a-file");
}

#[test]
fn users_logged_in_to_cf_need_no_token_and_can_name_apps() {
    let world = World::start();
    let home = cf_home(&world.cf.url(), &world.token, "");
    let home = home.path().to_str().unwrap();
    let url = world.url();
    for variable in ["CF_HOME", "HOME"] {
        let cli = |arguments: &[&str]| {
            Said::of(&mut program(&[(variable, home), ("SCHEDULER_URL", &url)], arguments))
        };
        let created = cli(&["create-job", variable, "true", "--app", "app-app-2", "--output", "json"]).json();
        assert_eq!(
            (created["app_guid"].as_str(), created["space_guid"].as_str()),
            (Some(OTHER_APP), Some(SPACE))
        );
        cli(&["create-job", "x", "true", "--app", "app-app-9"]).expect(3, &["no app \"app-app-9\""]);
        cli(&["jobs", "--space", "space-space-1"]).expect(0, &[variable]);
        cli(&["jobs", "--space", "space-9"])
            .expect(3, &["no space \"space-9\"; to list them, run: cf spaces"]);
        cli(&["jobs"]).expect(0, &[variable]);
    }
}

#[test]
fn an_expired_token_of_cf_is_renewed_or_the_user_is_sent_to_cf_login() {
    let world = World::with(&[("AUTH_CACHE_SECONDS", "0")]);
    world.job("nightly");
    world.cf.revoke(&world.token);
    let refresh_token = world.cf.issue_refresh_token("dev");
    let cli = |home: &Path, arguments: &[&str]| {
        let home = home.to_str().unwrap();
        Said::of(&mut program(&[("CF_HOME", home), ("SCHEDULER_URL", &world.url())], arguments))
    };
    let home = cf_home(&world.cf.url(), &world.token, &refresh_token);
    let file = home.path().join(".cf/config.json");
    let before = fs::read(&file).unwrap();
    cli(home.path(), &["jobs"]).expect(0, &["nightly"]);
    assert_eq!(cli(home.path(), &["create-job", "x", "true", "--app", "app-app-1"]).status, 0);
    assert_eq!(fs::read(&file).unwrap(), before, "it is cf's file");
    world.cf.rotate_refresh_tokens();
    for _ in 0..3 {
        cli(home.path(), &["jobs"]).expect(0, &["nightly"]);
    }
    let after: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert!(after["RefreshToken"] != refresh_token && after["ConfigVersion"] == 4, "{after}");
    let home = cf_home(&world.cf.url(), &world.token, "too-old");
    let said = cli(home.path(), &["jobs"]).expect(4, &["run: cf login"]);
    assert!(!said.err.contains("too-old") && !said.err.contains(&world.token));
}

#[test]
fn check_config_connects_to_the_servers_only_on_request() {
    let cf = FakeCf::start();
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("new/s.db");
    let check = |secret: &str, database: &Path| {
        let url = cf.url();
        let variables = [
            ("CF_ENDPOINT", url.as_str()),
            ("CLIENT_ID", CLIENT_ID),
            ("CLIENT_SECRET", secret),
            ("DATABASE_URL", database.to_str().unwrap()),
        ];
        Said::of(&mut program(&variables, &["check-config", "--connect"]))
    };
    check(CLIENT_SECRET, &database).expect(0, &[]);
    assert!(!database.parent().unwrap().exists(), "nothing is made");
    let said = check("wrong-one", &database).expect(1, &["CLIENT_SECRET"]);
    assert!(!said.err.contains("wrong-one"));
    cf.set_authorities("cloud_controller.read");
    cf.allow_introspection(false);
    let text = directory.path().join("text");
    fs::write(&text, "no database").unwrap();
    check(CLIENT_SECRET, &text).expect(1, &["database: ", "cloud_controller.admin", "uaa.resource"]);
    cf.fault("GET /", Fault::html(404), ALWAYS);
    check(CLIENT_SECRET, &database).expect(1, &["CF_ENDPOINT"]);
}

#[test]
fn the_service_is_found_next_to_the_api_and_no_other_host_gets_the_token_of_cf() {
    let home = cf_home("http://api.nowhere.invalid", "s3cret", "");
    let home = home.path().to_str().unwrap();
    let said = Said::of(&mut program(&[("CF_HOME", home)], &["jobs"]));
    said.expect(5, &["http://scheduler.nowhere.invalid cannot be reached"]);
    let server = Scripted::start(vec![list(&json!([]))]);
    let elsewhere =
        program(&[("CF_HOME", home), ("SCHEDULER_URL", &server.url)], &["jobs"]).output().unwrap();
    assert_eq!(elsewhere.status.code(), Some(4));
    assert!(server.asked().is_empty());
    let broken = tempfile::tempdir().unwrap();
    fs::create_dir(broken.path().join(".cf")).unwrap();
    fs::write(broken.path().join(".cf/config.json"), r#"{"AccessToken": s3cret"#).unwrap();
    let said = Said::of(&mut program(&[("CF_HOME", broken.path().to_str().unwrap())], &["jobs"]));
    let said = said.expect(2, &[".cf/config.json", "line 1"]);
    assert!(!said.err.contains("s3cret"));
}

#[test]
fn reads_are_retried_after_retry_after_and_changes_are_not() {
    let busy = || answer(503, "Retry-After: 0\r\n", r#"{"detail":"busy"}"#);
    let server = Scripted::start(vec![busy(), answer(429, "Retry-After: 0\r\n", ""), list(&json!([]))]);
    server.run(&["jobs"]).expect(0, &[]);
    assert_eq!(server.asked().len(), 3);
    let server = Scripted::start(vec![busy(), busy(), busy(), busy(), list(&json!([]))]);
    server.run(&["jobs"]).expect(5, &["busy"]);
    assert_eq!(server.asked().len(), 4);
    let server = Scripted::start(vec![busy(), list(&json!([]))]);
    server.run(&["create-job", "x", "y", "--app", "a"]).expect(5, &["busy"]);
    assert_eq!(server.asked(), ["POST /jobs?app_guid=a"]);
    assert!(
        server.requests.lock().unwrap()[0].to_ascii_lowercase().contains("accept: application/problem+json")
    );
}

#[test]
fn lists_are_read_in_pages_and_answers_over_16_mib_are_refused() {
    let page = |number: usize, next: &Value| {
        let resources =
            json!([{"guid": number.to_string(), "name": format!("job-{number}"), "app_guid": "a"}]);
        answer(200, "", json!({"pagination": {"next": next}, "resources": resources}).to_string())
    };
    let (more, end) = (json!({"href": "http://elsewhere.invalid/"}), Value::Null);
    let server = Scripted::start(vec![page(1, &more), page(2, &more), page(3, &end)]);
    server.run(&["jobs"]).expect(0, &["job-1", "job-2", "job-3"]);
    let asked = ["1", "2", "3"].map(|page| format!("GET /jobs?detailed=true&page={page}&per_page=20"));
    assert_eq!(server.asked(), asked);
    let huge = answer(200, "", format!("{{\"resources\":[\"{}\"]}}", "x".repeat(16 * 1024 * 1024)));
    Scripted::start(vec![huge]).run(&["jobs"]).expect(5, &["the response is longer than"]);
}

#[test]
fn a_server_that_is_not_a_scheduler_is_recognized() {
    let html = || answer(200, "", "<html>");
    Scripted::start(vec![html()]).run(&["jobs"]).expect(5, &["not JSON"]);
    Scripted::start(vec![answer(200, "", "{}")]).run(&["jobs"]).expect(5, &["not a list"]);
    Scripted::start(vec![answer(302, "Location: /x\r\n", "")]).run(&["jobs"]).expect(5, &["base URL"]);
    let unrouted = answer(404, "X-Cf-RouterError: unknown_route\r\n", "404 Not Found");
    Scripted::start(vec![unrouted]).run(&["jobs"]).expect(5, &["there is no service at"]);
    Scripted::start(vec![b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_vec()])
        .run(&["jobs"])
        .expect(5, &[]);
}

#[test]
fn certificates_are_checked_unless_a_setting_or_cf_says_otherwise() {
    // It is not a scheduler. The command line says so only after it has verified the certificate.
    let server = FakeCf::start_tls();
    let no_route = Fault::status(404, Some(("X-Cf-RouterError", "unknown_route")));
    server.fault("GET /jobs", no_route, ALWAYS);
    let url = server.url();
    let cli = |variables: &[(&str, &str)]| {
        let named = [("SCHEDULER_URL", url.as_str()), ("SCHEDULER_TOKEN", "t")];
        Said::of(&mut program(&[&named, variables].concat(), &["jobs"]))
    };
    let home = cf_home(&url, "t", "");
    let certificate = home.path().join("ca.pem");
    fs::write(&certificate, server.certificate_pem()).unwrap();
    cli(&[]).expect(5, &["cannot be verified", "CA_CERT_FILE", "SKIP_SSL_VALIDATION"]);
    cli(&[("CA_CERT_FILE", certificate.to_str().unwrap())]).expect(5, &["there is no service at"]);
    cli(&[("SKIP_SSL_VALIDATION", "true")]).expect(5, &["there is no service at"]);
    let of_cf = |home: &TempDir| {
        let variables = [("SCHEDULER_URL", url.as_str()), ("CF_HOME", home.path().to_str().unwrap())];
        Said::of(&mut program(&variables, &["jobs"]))
    };
    of_cf(&home).expect(5, &["cannot be verified"]);
    let file = home.path().join(".cf/config.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace(r#""SSLDisabled":false"#, r#""SSLDisabled":true"#)).unwrap();
    of_cf(&home).expect(5, &["there is no service at"]);
}

#[test]
fn an_https_service_is_reached_through_the_proxy_that_is_set() {
    let proxy = Scripted::start(vec![answer(502, "", "")]);
    let variables = [
        ("SCHEDULER_URL", "https://127.0.0.1:1"),
        ("SCHEDULER_TOKEN", "t"),
        ("HTTPS_PROXY", proxy.url.as_str()),
    ];
    Said::of(&mut program(&variables, &["jobs"])).expect(5, &["https://127.0.0.1:1 cannot be reached"]);
    assert_eq!(proxy.asked(), ["CONNECT 127.0.0.1:1"]);
    Said::of(&mut program(&variables, &["jobs", "--no-proxy", "127.0.0.1"])).expect(5, &["refused"]);
}

#[test]
fn the_output_of_a_task_is_followed_to_its_end_byte_for_byte() {
    let part = |body: &[u8], next: u64, complete: bool| {
        answer(200, &format!("X-Output-Complete: {complete}\r\nX-Output-Next-Offset: {next}\r\n"), body)
    };
    let newest = || list(&json!([{"guid": "e", "state": "RUNNING"}]));
    let server = Scripted::start(vec![
        one_job(),
        newest(),
        part(b"\x1b[1mone\xff\n", 9, false),
        answer(503, "", ""),
        part(b"", 9, false),
        // The connection is lost in the middle of the output: what has arrived is not requested again.
        b"HTTP/1.1 200 OK\r\nX-Output-Complete: true\r\nX-Output-Next-Offset: 13\r\nContent-Length: \
         4\r\n\r\ntw"
            .to_vec(),
        part(b"o\n", 13, true),
    ]);
    let output =
        program(&[("SCHEDULER_URL", &server.url), ("SCHEDULER_TOKEN", "t")], &["logs", "n", "--follow"])
            .output()
            .unwrap();
    assert_eq!(output.stdout, b"\x1b[1mone\xff\ntwo\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
    let offsets = [0, 9, 9, 9, 11].map(|offset| format!("GET /jobs/g/history/e/output?offset={offset}"));
    assert_eq!(server.asked()[2..], offsets);

    let server = Scripted::start(vec![one_job(), newest(), part(b"so far", 6, false)]);
    assert_eq!(server.run(&["logs", "n"]).out, "so far");
    let server = Scripted::start(vec![one_job(), newest(), answer(404, "", "")]);
    server.run(&["logs", "n", "--follow"]).expect(3, &["cf logs"]);
    // By the guid of the execution alone.
    let execution = || list(&json!([{"guid": NO_GUID}]));
    let nothing = || answer(404, "", "");
    let answers = vec![nothing(), one_job(), one_job(), execution(), part(b"x", 1, true)];
    assert_eq!(Scripted::start(answers).run(&["logs", NO_GUID]).out, "x");
    Scripted::start(vec![one_job(), list(&json!([]))]).run(&["logs", "n"]).expect(3, &["has not run yet"]);
}

#[test]
fn the_output_of_a_real_task_is_followed_while_it_runs_and_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    let variables = [
        ("SCHEDULER_URL", service.url.as_str()),
        ("SCHEDULER_TOKEN", &service.token),
        ("SCHEDULER_APP", &service.app),
    ];
    let command = "echo one; until [ -e go ]; do sleep 0.05; done; echo two; exit 3";
    Said::of(&mut program(&variables, &["create-job", "slow", command])).expect(0, &["never ran"]);
    Said::of(&mut program(&variables, &["run", "slow"])).expect(0, &["PENDING"]);
    let mut child =
        program(&variables, &["logs", "slow", "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    // The task continues only now, so the first line was read while it ran.
    fs::write(directory.path().join("go"), "").unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(rest, ["two"]);
    assert!(child.wait().unwrap().success(), "the output was printed, whatever became of the task");
    Said::of(&mut program(&variables, &["logs", "slow"])).expect(0, &["one\ntwo\n"]);
    Said::of(&mut program(&variables, &["history", "slow"])).expect(0, &["FAILED", "exit status 3"]);
    service.stop();
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let answers = || {
        vec![one_job(), list(&json!([])), list(&json!([{"guid": "e", "state": "FAILED", "message": "m"}]))]
    };
    let red = "\x1b[31mFAILED\x1b[0m";
    let said = Scripted::start(answers()).run(&["history", "n"]).expect(0, &["FAILED"]);
    assert!(!said.out.contains('\x1b') && !said.err.contains('\x1b'));
    // Only script(1) provides a terminal.
    let has_script =
        Command::new("script").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if has_script.is_err() {
        return;
    }
    let on_terminal = |variables: &[(&str, &str)]| {
        let server = Scripted::start(answers());
        Said::of(
            Command::new("script")
                .args(["-qec", &format!("{PROGRAM} history n"), "/dev/null"])
                .env("SCHEDULER_URL", &server.url)
                .env("SCHEDULER_TOKEN", "t")
                .env("TERM", "xterm")
                .env_remove("NO_COLOR")
                .envs(variables.iter().copied())
                .stdin(Stdio::null()),
        )
    };
    on_terminal(&[]).expect(0, &[red]);
    for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let said = on_terminal(&[plain]).expect(0, &["FAILED"]);
        assert!(!said.out.contains('\x1b'), "{plain:?}: {:?}", said.out);
    }
}

#[test]
fn every_command_explains_itself_and_the_help_lists_all() {
    let overview = Said::of(&mut program(&[], &["--help"]))
        .expect(0, &["standalone", "help commands, flags, settings or exit"]);
    let (lines, widest) = (overview.out.lines(), overview.out.lines().map(str::len).max());
    assert!(lines.count() <= 24 && widest <= Some(80), "{}", overview.out);
    let words: Vec<&str> = overview.out.split_whitespace().collect();
    let commands = Said::of(&mut program(&[], &["help", "commands"])).expect(0, &["create-job NAME COMMAND"]);
    let all: Vec<&Row> = COMMANDS.iter().collect();
    for row in all {
        assert!(words.contains(&row.name), "{}", row.name);
        assert!(commands.out.contains(&format!("\n  {}", row.name)), "{}", row.name);
        let said = Said::of(&mut program(&[], &[row.name, "--help"])).expect(0, &[]);
        let joined = said.out.replace(" \\\n ", "").replace('\n', " ");
        assert!(joined.contains(row.example) && joined.contains(&row.about[1..]), "{}", said.out);
        for flag in row.flags {
            assert!(said.out.contains(&format!("  --{}", flag.name)), "{} --{}", row.name, flag.name);
        }
        assert!(!said.out.contains("--misfire-grace"), "{}: settings are in help settings", row.name);
        assert_eq!(Said::of(&mut program(&[], &["help", row.name])).out, said.out);
    }
    Said::of(&mut program(&[], &["help", "exit"])).expect(0, &["130", "rejected"]);
    let shared = ["  --service URL", "  --token TOKEN", "  --context NAME", "--ca-cert-file"];
    Said::of(&mut program(&[], &["help", "flags"])).expect(0, &shared);
    Said::of(&mut program(&[], &["--jobs"])).expect(2, &["--jobs is no flag; did you mean jobs?"]);
    Said::of(&mut program(&[], &["shedules"])).expect(2, &["did you mean schedules?"]);
    Said::of(&mut program(&[], &["help", "jbos"])).expect(2, &["did you mean jobs?"]);
    Said::of(&mut program(&[], &["jobs", "--ouput", "json"])).expect(2, &["did you mean --output?"]);
    Said::of(&mut program(&[], &["help", "settings"])).expect(0, &["--misfire-policy", "MISFIRE_POLICY"]);
    Said::of(&mut program(&[], &["frobnicate"])).expect(2, &["no command \"frobnicate\"", "--help"]);
    Said::of(&mut program(&[], &[])).expect(2, &["CF_ENDPOINT is missing", "ocf-scheduler standalone"]);
    Said::of(&mut program(&[("PORT", "x")], &["standalone"])).expect(2, &["\n  PORT is \"x\"", "0 to 65535"]);
}

#[test]
fn shells_complete_commands_flags_and_values() {
    let directory = tempfile::tempdir().unwrap();
    let file = |shell: &str| {
        let said = Said::of(&mut program(&[], &["completions", shell])).expect(0, &["ocf-scheduler"]);
        let path = directory.path().join(shell);
        fs::write(&path, said.out).unwrap();
        path
    };
    let bash = file("bash");
    let completed = |words: &str| {
        let script = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _ocf_scheduler; echo \
             \"${{COMPREPLY[*]}}\"",
            bash.display()
        );
        Said::of(Command::new("bash").args(["-c", &script])).expect(0, &[]).out.trim().to_owned()
    };
    assert_eq!(completed("ocf-scheduler schedule"), "schedules schedule-job schedule-call");
    assert_eq!(completed("ocf-scheduler run nightly --wa"), "--wait");
    assert_eq!(completed("ocf-scheduler jobs --output j"), "json jsonl");
    assert_eq!(completed("ocf-scheduler jobs -o c"), "csv");
    assert_eq!(completed("ocf-scheduler completions f"), "fish");
    assert_eq!(completed("ocf-scheduler help se"), "serve settings");
    assert_eq!(completed("ocf-scheduler serve --misfire-p"), "--misfire-policy");
    for (words, values) in [
        ("jobs --state ''", "PENDING RUNNING SUCCEEDED FAILED SKIPPED never"),
        ("calls --state FAILED,R", "FAILED,RUNNING"),
        ("history x --state S", "SUCCEEDED SKIPPED"),
        ("executions --state pending,FAILED,SK", "pending,FAILED,SKIPPED"),
        ("executions --reason t", "timeout task_failed"),
        ("history x --reason no", "no_answer not_sent"),
        ("schedules --state ''", "enabled disabled completed"),
        ("create-notification a b --events ''", "failed recovered succeeded overdue"),
        ("update-notification a --events failed,re", "failed,recovered"),
        ("audit-events --types job.c", "job.create"),
        ("standalone --log-format ''", "text json"),
        ("serve --misfire-policy ''", "skip once all"),
        ("schedule-job a b --misfire-policy o", "once"),
        ("check-config --log-level d", "debug"),
        ("serve --dashboard ''", "true false"),
    ] {
        assert_eq!(completed(&format!("ocf-scheduler {words}")), values, "{words}");
    }
    for (shell, check) in [("zsh", "-n"), ("fish", "--no-execute")] {
        let path = file(shell);
        let script = fs::read_to_string(&path).unwrap();
        assert!(script.contains("gave_up") && script.contains("recovered"), "{shell}");
        // Not every machine has these shells.
        if let Ok(output) = Command::new(shell).arg(check).arg(&path).output() {
            assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn expressions_are_checked_and_explained_before_and_when_a_schedule_is_created() {
    let world = World::start();
    world.job("nightly");
    let from = ["--from", "2026-03-01T00:00:00Z", "--count", "1"];
    let valid = [&["validate", "0 9 * * MON-FRI", "--timezone", "Europe/Berlin"][..], &from].concat();
    world.cli(&valid).expect(0, &["at 09:00 on Monday to Friday (Europe/Berlin)", "2026-03-02T08:00:00Z"]);
    let hashed = [&["validate", "H 9 31 * *", "--for", "nightly"][..], &from].concat();
    world.cli(&hashed).expect(0, &["Warning: There is no such day in "]);
    world.cli(&["validate", "61 * * * *"]).expect(6, &["not valid", "  61 * * * *\n  ^^\n"]);
    world.cli(&["validate", "@daily", "--count", "x"]).expect(2, &["--count"]);
    world.cli(&["time-zones"]).expect(0, &["Europe/Berlin", "CET (UTC +01:00)", "CEST (UTC +02:00)"]);
    let made = world.cli(&["schedule-job", "nightly", "0 0 31 * *"]);
    made.expect(0, &["0 0 31 * *", "Warning: There is no such day in ", "Next: "]);
    let changed = world.cli(&["update-schedule", "nightly", "--expression", "*/10 * * * * *"]);
    changed.expect(0, &["Warning: Six fields are read as minute, hour", "Next: "]);
    let disabled = world.cli(&["update-schedule", "nightly", "--disabled"]);
    assert!(!disabled.err.contains("Warning"), "{}", disabled.err);
}

#[test]
fn a_one_time_schedule_is_created_from_a_time_or_a_delay() {
    let world = World::start();
    world.job("nightly");
    let at = |arguments: &[&str]| {
        let made = world.cli(&[&["schedule-job", "nightly", "--output", "json"], arguments].concat()).json();
        made["next_fire_time"].as_str().unwrap().to_owned()
    };
    assert_eq!(at(&["--at", "2099-07-01 12:00", "--timezone", "Europe/Berlin"]), "2099-07-01T10:00:00Z");
    assert_eq!(at(&["--at", "2099-07-01T12:00:00Z"]), "2099-07-01T12:00:00Z");
    let now = SystemClock::default().now();
    let wait = Timestamp::parse(&at(&["--in", "1h30m"])).unwrap().since(now);
    assert!((5390..5410).contains(&wait.as_secs()), "{wait:?}");
    let wait = Timestamp::parse(&at(&["--in", "2d"])).unwrap().since(now);
    assert!((172_790..172_900).contains(&wait.as_secs()), "{wait:?}");
    for wrong in [
        &["--in", "soon"][..],
        &["--in=-5s"],
        &["--in", "1h", "--at", "2099-07-01 12:00"],
        &["@daily", "--in", "1h"],
        &[],
    ] {
        assert_eq!(world.cli(&[&["schedule-job", "nightly"], wrong].concat()).status, 2, "{wrong:?}");
    }
}

/// What OCF Scheduler answers. It has no pages: each answer is everything, with links to pages that do not
/// exist.
fn of_ocf_scheduler(path: &str) -> String {
    let guid = "5d9a1f3e-2c6b-4d85-9a57-6b2f2a3c4d01";
    let resource = match path {
        path if path.contains("/history?") => Some(json!({"guid": guid, "job_guid": guid, "task_guid": "",
            "scheduled_time": "0001-01-01T00:00:00Z", "message": "", "state": "SUCCEEDED",
            "execution_start_time": "2026-01-01T00:00:00Z", "execution_end_time": "2026-01-01T00:00:03Z"})),
        path if path.ends_with("/schedules") => Some(json!({"guid": guid, "job_guid": guid, "enabled": true,
            "expression": "0 3 * * *", "expression_type": "cron_expression"})),
        path if path.starts_with("/jobs?") => {
            Some(json!({"guid": guid, "name": "nightly", "command": "true",
            "disk_in_mb": 64, "memory_in_mb": 64, "state": "PENDING", "app_guid": "a", "space_guid": "s"}))
        }
        path if path.starts_with("/calls?") => None,
        _ => return String::new(),
    };
    let resources: Vec<Value> = resource.into_iter().collect();
    let [first, last, next, previous] =
        ["first", "last", "next", "previous"].map(|href| json!({"href": href}));
    json!({"resources": resources, "pagination": {"first": first, "last": last, "next": next,
        "previous": previous, "total_pages": 1, "total_results": 1}})
    .to_string()
}

#[test]
fn lists_of_ocf_scheduler_are_one_page_though_they_link_to_a_next_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&requests);
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut head = String::new();
            let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
            while let Some(Ok(line)) = lines.next() {
                if line.is_empty() {
                    break;
                }
                head.push_str(&line);
                head.push('\n');
            }
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let body = of_ocf_scheduler(&path);
            let status = if body.is_empty() { "404 Not Found" } else { "200 OK" };
            let answer = format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            record.lock().unwrap().push(path);
            let _ = client.write_all(answer.as_bytes());
        }
    });
    for (arguments, words, count) in [
        (&["jobs"][..], &["nightly"][..], 1),
        (&["history", "nightly"], &["SUCCEEDED"], 3),
        (&["show", "nightly"], &["0 3 * * *", "SUCCEEDED"], 4),
        (&["schedules"], &["job nightly", "0 3 * * *"], 3),
        (&["executions"], &["404 Not Found; it may be another scheduler"], 1),
    ] {
        requests.lock().unwrap().clear();
        let said = run(&url, "x", arguments);
        let all = format!("{}{}", said.out, said.err);
        assert!(words.iter().all(|word| all.contains(word)), "{arguments:?}: {all}");
        let requests = requests.lock().unwrap();
        assert!(requests.len() <= count, "{arguments:?}: {requests:?}");
    }
}
