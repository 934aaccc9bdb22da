//! Backups of files: what they may replace, what they contain, and restoring them elsewhere.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::standalone::Standalone;

fn run(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .output()
        .unwrap()
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn refused(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn start(directory: &Path) -> Standalone {
    Standalone::with(directory, &[("DATABASE_URL", "scheduler.db")])
}

/// A machine whose standalone service has a job; returns the guid of the job too.
fn machine_with_a_job() -> (TempDir, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let service = start(directory.path());
    let body = r#"{"name":"hello","command":"echo hello"}"#;
    let job = service.ask("POST", &format!("/jobs?app_guid={}", service.app), body);
    let (job, token) = (job["guid"].as_str().unwrap().to_owned(), service.token.clone());
    service.stop();
    (directory, job, token)
}

/// Runs the job at the service that accepts `token`.
fn runs(directory: &Path, token: &str, job: &str) -> Value {
    let mut service = start(directory);
    token.clone_into(&mut service.token);
    service.ask("POST", &format!("/jobs/{job}/execute"), "");
    let ended = service.ended(job);
    service.stop();
    ended
}

#[test]
fn a_backup_goes_only_onto_a_regular_file_or_nothing() {
    let (machine, ..) = machine_with_a_job();
    let at = |name: &str| machine.path().join(name);
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    symlink("/dev/null", at("device")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    symlink(at("fifo"), at("to-fifo")).unwrap();
    fs::create_dir(at("directory")).unwrap();
    for name in ["fifo", "device", "to-fifo", "directory", "dangling"] {
        let before = at(name).symlink_metadata().unwrap();
        let told = refused(&run(machine.path(), &["backup", name]));
        assert!(
            told.contains(name) && (told.contains("not a regular file") || told.contains("link to nothing"))
        );
        assert_eq!(
            at(name).symlink_metadata().unwrap().file_type(),
            before.file_type(),
            "{name} is as it was"
        );
    }
    // Standard output is a pipe here.
    let told = refused(&run(machine.path(), &["backup", "/dev/stdout"]));
    assert!(told.contains("backup -"), "{told}");
    assert!(Path::new("/dev/stdout").exists());

    succeeded(&run(machine.path(), &["backup", "real"]));
    symlink(at("real"), at("link")).unwrap();
    let before = fs::metadata(at("real")).unwrap();
    succeeded(&run(machine.path(), &["backup", "link"]));
    assert!(at("link").symlink_metadata().unwrap().is_symlink(), "a link to a file stays one");
    use std::os::unix::fs::MetadataExt;
    assert_ne!(before.ino(), fs::metadata(at("real")).unwrap().ino(), "and the file is replaced");
    let left: Vec<_> = fs::read_dir(machine.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("partial")), "{left:?}");
}

#[test]
fn a_backup_contains_everything_that_another_machine_needs() {
    let (machine, job, token) = machine_with_a_job();
    // Waiting deliveries are outdated after a restore.
    let database = super::database::Database::at(machine.path().join("scheduler.db").to_str().unwrap());
    database.execute(
        "INSERT INTO notifications (guid, space_guid, name, url, format, events, job_guids, call_guids, \
         label_selector,
                                    after_failures, enabled, created_at, updated_at)
         VALUES ('n', 's', 'ops', 'http://x/', 'standard', '[]', '[]', '[]', '', 1, 1, 1, 1);
         INSERT INTO deliveries (guid, notification_id, event, data, state, created_at, due_at)
         SELECT 'd', id, 'test', '{}', 'WAITING', 1, 9000000000000000000 FROM notifications;
         INSERT INTO notifications (guid, space_guid, name, url, format, events, job_guids, call_guids, label_selector,
                                    after_failures, enabled, created_at, updated_at)
         VALUES ('m', 's', 'alerts', 'http://x/', 'alertmanager', '[]', '[]', '[]', '', 1, 0, 1, 1);
         INSERT INTO alerts (notification_id, executable_id, event, since, data)
         SELECT n.id, x.id, 'failed', 1, '{}' FROM notifications AS n CROSS JOIN executables AS x;
         INSERT INTO alerts (notification_id, executable_id, event, since, data, is_told)
         SELECT n.id, x.id, 'overdue', 1, '{}', 1 FROM notifications AS n CROSS JOIN executables AS x",
    );
    succeeded(&run(machine.path(), &["backup", "saved.db"]));
    let other = tempfile::tempdir().unwrap();
    fs::copy(machine.path().join("saved.db"), other.path().join("saved.db")).unwrap();
    let told = succeeded(&run(other.path(), &["restore", "saved.db"]));
    assert!(told.contains("scheduler.db is restored from saved.db"), "{told}");
    let restored = super::database::Database::at(other.path().join("scheduler.db").to_str().unwrap());
    let count = |table: &str| restored.number(&format!("SELECT COUNT(*) FROM {table}"));
    assert_eq!((count("notifications"), count("deliveries")), (2, 0));
    // What nobody was told is told when it fails again; an Alertmanager gets all that lasts.
    let lasting = restored.rows(
        "SELECT n.guid, event FROM alerts JOIN notifications AS n ON n.id = notification_id ORDER BY 1, 2",
    );
    assert_eq!(lasting, [["m", "failed"], ["m", "overdue"], ["n", "overdue"]]);
    assert!(told.contains("scheduler.db.tasks/standalone.toml") && !told.contains(&token), "{told}");
    assert_eq!(runs(other.path(), &token, &job)["state"], "SUCCEEDED");
    // A backup can also be read in a directory without write access.
    let names: Vec<_> = fs::read_dir(other.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with("saved.db-")), "{names:?}");

    for taken in ["scheduler.db", "scheduler.db-wal", "scheduler.db.tasks/standalone.toml"] {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("scheduler.db.tasks")).unwrap();
        fs::write(place.path().join(taken), "mine").unwrap();
        let saved = machine.path().join("saved.db");
        let told = refused(&run(place.path(), &["restore", saved.to_str().unwrap()]));
        assert!(told.contains(taken) && told.contains("exists already"), "{told}");
        assert_eq!(fs::read_to_string(place.path().join(taken)).unwrap(), "mine");
        let left = fs::read_dir(place.path()).unwrap().count();
        assert_eq!(left, if taken.contains('/') { 1 } else { 2 }, "nothing else is left at {taken}");
    }
    let place = tempfile::tempdir().unwrap();
    for wrong in ["nosuch.db", "/etc/passwd"] {
        refused(&run(place.path(), &["restore", wrong]));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "{wrong}");
    }
}

#[test]
fn a_backup_goes_through_a_pipe_and_comes_back_from_one() {
    let (machine, job, token) = machine_with_a_job();
    let piped = run(machine.path(), &["backup", "-"]);
    assert!(piped.status.success() && piped.stdout.starts_with(b"SQLite format 3"));
    let other = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"))
        .args(["restore", "-"])
        .current_dir(other.path())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &piped.stdout).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(runs(other.path(), &token, &job)["state"], "SUCCEEDED");
}

#[test]
fn a_backup_and_an_import_find_the_file_that_the_service_was_started_with() {
    let machine = tempfile::tempdir().unwrap();
    let at = |name: &str| machine.path().join(name);
    let text = "[[app]]\nname = \"a\"\nspace = \"s\"\ndir = \"/\"\n\
                [[token]]\ntoken = \"of-my-file\"\nuser = \"me\"\nspaces = [\"s\"]\n";
    let with_file = || {
        let settings = [("DATABASE_URL", "scheduler.db"), ("STANDALONE_CONFIG", "../my.toml")];
        fs::create_dir_all(at("below")).unwrap();
        Standalone::with(&at("below"), &settings)
    };
    fs::write(at("my.toml"), text).unwrap();
    fs::set_permissions(at("my.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut service = with_file();
    "of-my-file".clone_into(&mut service.token);
    let job = service.ask("POST", "/jobs?app_guid=a", r#"{"name":"hello","command":"echo hello"}"#);
    let job = job["guid"].as_str().unwrap().to_owned();
    let (below, database) = (at("below"), at("below/scheduler.db"));
    let database = database.to_str().unwrap();
    // While it runs, from anywhere, and after it has stopped.
    let told = succeeded(&run(machine.path(), &["backup", "running.db", "--database-url", database]));
    assert!(told.contains("Apps and tokens are those of ") && told.contains("my.toml"), "{told}");
    service.stop();
    succeeded(&run(&below, &["backup", "../stopped.db"]));
    let works = |directory: &Path| {
        let listed = runs(directory, "of-my-file", &job);
        assert_eq!(listed["state"], "SUCCEEDED");
    };
    for saved in ["running.db", "stopped.db"] {
        let other = tempfile::tempdir().unwrap();
        succeeded(&run(other.path(), &["restore", at(saved).to_str().unwrap()]));
        works(other.path());
    }
    let other = tempfile::tempdir().unwrap();
    let told = succeeded(&run(other.path(), &["import", "--from", database]));
    assert!(!told.contains("Without apps"), "{told}");
    works(other.path());
    // An import into it goes to its file too.
    let (second, second_job, second_token) = machine_with_a_job();
    let second = second.path().join("scheduler.db");
    let told = succeeded(&run(&below, &["import", "--from", second.to_str().unwrap()]));
    assert!(told.contains("my.toml"), "{told}");
    let mut service = with_file();
    second_token.clone_into(&mut service.token);
    assert_eq!(service.ask("GET", &format!("/jobs/{second_job}"), "")["name"], "hello");
    service.stop();

    // The loss of apps and tokens is reported.
    assert!(
        refused(&run(&below, &["backup", "x.db", "--config", "nosuch.toml"])).contains("nosuch.toml does")
    );
    fs::remove_file(at("my.toml")).unwrap();
    for to in ["../without.db", "-"] {
        let output = run(&below, &["backup", to]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("without apps and tokens: "), "{said}");
        assert!(said.contains("my.toml does not exist") && said.contains("--config FILE"), "{said}");
    }
    let other = tempfile::tempdir().unwrap();
    let told = succeeded(&run(other.path(), &["restore", at("without.db").to_str().unwrap()]));
    assert!(told.contains("It has no apps and tokens"), "{told}");
    for from in [at("without.db").to_str().unwrap(), database] {
        let other = tempfile::tempdir().unwrap();
        let told = succeeded(&run(other.path(), &["import", "--from", from]));
        assert!(told.contains(&format!("Without apps and tokens: {from} has none")), "{told}");
    }
    // The default file counts again as soon as the service uses it.
    let service = start(&below);
    service.stop();
    let told = succeeded(&run(&below, &["backup", "default.db"]));
    assert!(told.contains("scheduler.db.tasks/standalone.toml"), "{told}");
    let cloud_foundry = ["backup", "../cf.db", "--cf-endpoint", "https://api.example.com"];
    assert!(run(&below, &cloud_foundry).stderr.is_empty());
}

#[test]
fn an_import_includes_apps_and_tokens_and_a_failed_one_leaves_nothing() {
    let (machine, job, token) = machine_with_a_job();
    let other = tempfile::tempdir().unwrap();
    let told = refused(&run(other.path(), &["import", "--from", "nosuch.db"]));
    assert!(told.contains("nosuch.db"), "{told}");
    fs::write(other.path().join("text.db"), "no database").unwrap();
    refused(&run(other.path(), &["import", "--from", "text.db"]));
    fs::remove_file(other.path().join("text.db")).unwrap();
    let from = machine.path().join("scheduler.db");
    let from = from.to_str().unwrap();
    succeeded(&run(other.path(), &["import", "--from", from, "--dry-run"]));
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0, "a failed one and a dry run leave nothing");

    // The target has its own app and token, with the same names.
    let own = start(other.path());
    let own_token = own.token.clone();
    own.stop();
    let told = succeeded(&run(other.path(), &["import", "--from", from]));
    assert!(told.contains("1 app, 1 space, 1 token (already there: 0, 0, 0)"), "{told}");
    let hint = "The first token of that file, which the command line uses, does not see the imported space \
                \"my-space (2)\": use a token of \"me\" (--token), or add what is missing to its spaces; a \
                running service reads the file after SIGHUP\n";
    assert!(told.contains(hint), "{told}");
    assert_eq!(runs(other.path(), &token, &job)["state"], "SUCCEEDED");
    let mut service = start(other.path());
    service.token = own_token;
    assert_eq!(service.ask("GET", "/jobs", "")["resources"].as_array().unwrap().len(), 0);
    service.stop();
    let told = succeeded(&run(other.path(), &["import", "--from", from]));
    assert!(told.contains("0 apps, 0 spaces, 0 tokens (already there: 1, 1, 1)"), "{told}");
    // A database that moves to Cloud Foundry needs no file of apps.
    let cf = tempfile::tempdir().unwrap();
    succeeded(&run(cf.path(), &["import", "--from", from, "--cf-endpoint", "https://api.example.com"]));
    assert!(!cf.path().join("scheduler.db.tasks").exists());
}

#[test]
fn an_import_accepts_only_strays_with_names_of_this_program() {
    let (machine, ..) = machine_with_a_job();
    let source = rusqlite::Connection::open(machine.path().join("scheduler.db")).unwrap();
    let ours = "0b2d3e6c-5f5a-4c57-8f39-0a4f1f4a9f10";
    for name in [ours, "nightly-deploy", "0B2D3E6C-5F5A-4C57-8F39-0A4F1F4A9F10", "%"] {
        source
            .execute("INSERT INTO strays (name, doubt_until) VALUES (?1, 9000000000000000000)", [name])
            .unwrap();
    }
    drop(source);
    let other = tempfile::tempdir().unwrap();
    let from = machine.path().join("scheduler.db");
    let told = succeeded(&run(other.path(), &["import", "--from", from.to_str().unwrap()]));
    assert!(told.contains("names that this program never gives: 3"), "{told}");
    let target = rusqlite::Connection::open(other.path().join("scheduler.db")).unwrap();
    let names: Vec<String> = target
        .prepare("SELECT name FROM strays")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(names, [ours]);
}

#[test]
fn check_config_shows_what_a_service_would_use() {
    let directory = tempfile::tempdir().unwrap();
    let told = succeeded(&run(directory.path(), &["check-config", "standalone", "--port", "8123"]));
    let place = directory.path().canonicalize().unwrap();
    for part in [
        "http://127.0.0.1:8123".to_owned(),
        format!("{} (created at the first start)", place.join("scheduler.db").display()),
        format!("{} (created", place.join("scheduler.db.tasks/standalone.toml").display()),
        "UTC".to_owned(),
    ] {
        assert!(told.contains(&part), "{part} is not in {told}");
    }
    let url = "postgres://u:hunter2@db.example.com/s";
    let told = succeeded(&run(directory.path(), &["check-config", "standalone", "--database-url", url]));
    assert!(told.contains("postgres://db.example.com/s") && !told.contains("hunter2"), "{told}");
}

#[test]
fn check_config_reports_wrong_values_and_untrusted_files_in_one_message() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("scheduler.db.tasks");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    let wrong = ["--dashboard", "yes", "--worker-num", "abc", "--history-days", "0"];
    let said = refused(&run(directory.path(), &[&["check-config", "standalone"], &wrong[..]].concat()));
    for part in ["DASHBOARD (--dashboard)", "WORKER_NUM", "HISTORY_DAYS", "every user of this machine"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[test]
fn the_version_flag_works_after_any_command() {
    let directory = tempfile::tempdir().unwrap();
    let version = succeeded(&run(directory.path(), &["version"]));
    for arguments in [
        &["--version"][..],
        &["-V"],
        &["--port", "8000", "--version"],
        &["standalone", "--version"],
        &["serve", "--port", "8000", "-V"],
        &["run", "a", "--version"],
        &["jobs", "--version"],
        &["backup", "--version"],
        &["next", "--count", "3", "--version"],
        &["help", "--version"],
        &["version", "--version"],
    ] {
        assert_eq!(succeeded(&run(directory.path(), arguments)), version, "{arguments:?}");
    }
}
