//! Importing a database: that of a Go service, or one of our own.
//!
//! The tests create the tables of a Go service as such a service writes them. They are in PostgreSQL, so
//! these tests need a server.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ocf_scheduler::base::clock::{Clock, SystemClock};
use serde_json::Value;

use super::cf::fake_cf::FakeCf;
use super::database::{Database, is_postgres};
use super::program::{Program, ask};

const JOB: &str = "11111111-1111-4111-8111-111111111111";
const OTHER_JOB: &str = "11111111-1111-4111-8111-222222222222";
const CALL: &str = "22222222-2222-4222-8222-222222222222";
const SCHEDULE: &str = "33333333-3333-4333-8333-333333333333";
const APP: &str = "app-1";
const SPACE: &str = "space-1";

/// Runs `import`. Returns its exit status, output and errors.
fn import(from: &str, to: &str, arguments: &[&str]) -> (i32, String, String) {
    import_at(from, to, arguments, &[])
}

fn import_at(from: &str, to: &str, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"))
        .args(["import", "--from", from])
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", to)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap_or(-1), text(done.stdout), text(done.stderr))
}

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..200 {
        if is_so() {
            return;
        }
        let _ = crossbeam_channel::after(Duration::from_millis(50)).recv();
    }
    panic!("in vain: {what}");
}

#[track_caller]
fn imported(from: &str, to: &str, arguments: &[&str]) -> String {
    let (status, report, complaint) = import(from, to, arguments);
    assert_eq!((status, complaint.as_str()), (0, ""), "{report}");
    report
}

/// The counts of the report: imported, existing, not imported.
#[track_caller]
fn counts(report: &str, of: &str) -> [u64; 3] {
    let line = report.lines().find(|line| line.starts_with(of)).unwrap_or_else(|| panic!("{report}"));
    let numbers: Vec<u64> = line.split_whitespace().skip(1).map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

/// All lasting contents of a database, in order of ids, without planned times.
fn contents(database: &Database) -> Vec<Vec<String>> {
    let mut rows = database.rows(
        "SELECT guid, kind, name, app_guid, space_guid, command, disk_in_mb, memory_in_mb, state, url, \
         auth_header,
                created_at, updated_at, timeout_seconds, concurrency_policy, max_retries, backoff_seconds,
                max_backoff_seconds, max_age_seconds, CASE WHEN paused THEN 'paused' END, labels, annotations,
                expect_success_within_seconds, method, headers, body, success_statuses, signing_secret
           FROM executables WHERE deleted_at IS NULL ORDER BY id",
    );
    rows.extend(database.rows(
        "SELECT s.guid, x.guid, CASE WHEN s.enabled THEN 'enabled' ELSE 'disabled' END, s.expression, \
         s.dialect,
                s.timezone, s.starts_at, s.ends_at, s.jitter_seconds, s.misfire_policy, s.description, s.key,
                s.created_at, s.updated_at
           FROM schedules AS s JOIN executables AS x ON x.id = s.executable_id WHERE s.deleted_at IS NULL ORDER BY s.id",
    ));
    rows.extend(database.rows(
        "SELECT e.guid, x.guid, s.guid, e.scheduled_time, e.state, e.note, e.message, e.task_guid, \
         e.created_at,
                e.start_time, e.end_time, e.request_id, e.reason, e.requested_by, e.app_guid, e.attempt,
                e.attempt_start_time, e.cancel_requested_at, e.cancel_reason, e.cancel_message, e.more_skipped
           FROM executions AS e JOIN executables AS x ON x.id = e.executable_id
           LEFT JOIN schedules AS s ON s.id = e.schedule_id ORDER BY e.id",
    ));
    rows.extend(database.rows(
        "SELECT e.guid, a.number, a.start_time, a.end_time, a.task_guid, a.message
           FROM attempts AS a JOIN executions AS e ON e.id = a.execution_id ORDER BY e.id, a.number",
    ));
    rows.extend(database.rows(
        "SELECT owner, SUM(size) FROM history_sizes AS h GROUP BY owner, owner_id ORDER BY owner, owner_id",
    ));
    rows.extend(
        database.rows(
            "SELECT kind, space_guid, SUM(size) FROM space_sizes GROUP BY kind, space_guid ORDER BY 1, 2",
        ),
    );
    rows.extend(database.rows("SELECT space_guid, paused_note, resumed_at FROM space_pauses ORDER BY 1"));
    rows.extend(database.rows(
        "SELECT guid, name, url, secret, headers, events, job_guids, label_selector FROM notifications",
    ));
    rows.extend(database.rows(
        "SELECT x.guid, k.failures, k.failing_since, e.guid, k.expected_since, k.success_due_at
           FROM streaks AS k JOIN executables AS x ON x.id = k.executable_id
           LEFT JOIN executions AS e ON e.id = k.last_execution_id
          WHERE x.deleted_at IS NULL AND k.failures > 0 ORDER BY x.guid",
    ));
    rows.extend(database.rows(
        "SELECT n.guid, x.guid, a.event, a.since, a.data, CASE WHEN a.is_told THEN 'told' END, a.remind_at
           FROM alerts AS a JOIN notifications AS n ON n.id = a.notification_id
           JOIN executables AS x ON x.id = a.executable_id WHERE x.deleted_at IS NULL ORDER BY n.guid, x.guid",
    ));
    rows.extend(database.rows("SELECT * FROM service_instances ORDER BY id"));
    rows.extend(database.rows("SELECT * FROM service_bindings ORDER BY id"));
    if database.url.starts_with("postgres") {
        // In the program's encoding of what PostgreSQL texts cannot hold.
        for text in rows.iter_mut().flatten() {
            *text = text.replace("\u{1a}0", "\0").replace("\u{1a}\u{1a}", "\u{1a}");
        }
    }
    rows
}

/// Also the planned times.
fn everything(database: &Database) -> Vec<Vec<String>> {
    let mut rows = contents(database);
    rows.extend(
        database.rows("SELECT guid, next_fire_time, planned_at, deleted_at FROM schedules ORDER BY id"),
    );
    rows.extend(database.rows("SELECT guid, state, state_execution_id FROM executables ORDER BY id"));
    rows
}

/// The tables of a Go service, in their own schema.
struct GoDatabase {
    url: String,
    database: Database,
}

impl GoDatabase {
    fn new(directory: &Path) -> Self {
        let database = Database::of(directory, "go");
        let schema = database.url.split_once("schema=").unwrap().1.to_owned();
        database.execute(&format!("CREATE SCHEMA {schema}"));
        database.execute(
            "CREATE TABLE jobs (guid CHAR(36) PRIMARY KEY, name TEXT NOT NULL, command TEXT NOT NULL,
                 disk_in_mb INT NOT NULL, memory_in_mb INT NOT NULL, state TEXT NOT NULL, app_guid CHAR(36) NOT NULL,
                 space_guid CHAR(36) NOT NULL, created_at TIMESTAMPTZ NOT NULL, updated_at TIMESTAMPTZ NOT NULL);
             CREATE TABLE calls (guid CHAR(36) PRIMARY KEY, name TEXT NOT NULL, url TEXT NOT NULL,
                 auth_header TEXT NOT NULL, app_guid CHAR(36) NOT NULL, space_guid CHAR(36) NOT NULL,
                 created_at TIMESTAMPTZ NOT NULL, updated_at TIMESTAMPTZ NOT NULL);
             CREATE TABLE schedules (guid CHAR(36) PRIMARY KEY, enabled BOOL, expression TEXT NOT NULL,
                 expression_type TEXT NOT NULL, ref_guid CHAR(36) NOT NULL, ref_type TEXT NOT NULL,
                 created_at TIMESTAMPTZ NOT NULL, updated_at TIMESTAMPTZ NOT NULL);
             CREATE TABLE executions (guid CHAR(36) PRIMARY KEY, ref_guid CHAR(36) NOT NULL, ref_type TEXT NOT NULL,
                 task_guid CHAR(36), schedule_guid CHAR(36), scheduled_time TIMESTAMPTZ, message TEXT, state TEXT,
                 execution_start_time TIMESTAMPTZ, execution_end_time TIMESTAMPTZ);",
        );
        Self { url: database.url.clone(), database }
    }

    /// A job, a call, three schedules and a history.
    fn filled(directory: &Path) -> Self {
        let go = Self::new(directory);
        go.job(OTHER_JOB, "later", "2026-02-02 00:00:00.5+00");
        go.job(JOB, "archive", "2026-02-01 10:00:00.123456+00");
        go.database.execute(&format!(
            "INSERT INTO calls VALUES ('{CALL}', 'ping', 'https://example.com/hook', 'Bearer hunter2', \
             '{APP}', '{SPACE}',
                '2026-02-03 00:00:00+00', '2026-02-04 00:00:00+00')"
        ));
        go.schedule(SCHEDULE, "true", "*/5 * * * *", JOB, "job");
        go.schedule("s-disabled", "NULL", "0 9 * * 1-5", JOB, "job");
        go.schedule("s-call", "true", "0 3 * * *", CALL, "call");
        go.execution(
            "e3",
            JOB,
            "job",
            "'task-3', 'SCHEDULE', '2026-02-05 00:10:00+00', '', 'SUCCEEDED',
            '2026-02-05 00:10:00.01+00', '2026-02-05 00:10:07+00'",
        );
        go.execution(
            "e1",
            JOB,
            "job",
            "'task-1', '', '0001-01-01 00:00:00+00', '', 'SUCCEEDED',
            '2026-02-05 00:00:01+00', '2026-02-05 00:00:09+00'",
        );
        go.execution(
            "e2",
            CALL,
            "call",
            "'', 's-call', '2026-02-05 00:05:00+00', 'response status: 404', 'FAILED',
            '2026-02-05 00:05:00.5+00', '2026-02-05 00:05:01+00'",
        );
        go
    }

    fn job(&self, guid: &str, name: &str, created_at: &str) {
        self.database.execute(&format!(
            "INSERT INTO jobs VALUES ('{guid}', '{name}', 'true', 64, 0, 'PENDING', '{APP}', '{SPACE}', \
             '{created_at}',
                '{created_at}')"
        ));
    }

    fn schedule(&self, guid: &str, enabled: &str, expression: &str, of: &str, kind: &str) {
        self.database.execute(&format!(
            "INSERT INTO schedules VALUES ('{guid}', {enabled}, '{expression}', 'cron_expression', '{of}', \
             '{kind}',
                '2026-02-04 00:00:00+00', '2026-02-04 00:00:00+00')"
        ));
    }

    fn execution(&self, guid: &str, of: &str, kind: &str, rest: &str) {
        let rest = rest.replace("SCHEDULE", SCHEDULE);
        self.database.execute(&format!("INSERT INTO executions VALUES ('{guid}', '{of}', '{kind}', {rest})"));
    }

    fn rows(&self) -> Vec<Vec<String>> {
        ["jobs", "calls", "schedules", "executions"]
            .iter()
            .flat_map(|table| self.database.rows(&format!("SELECT * FROM {table} ORDER BY guid")))
            .collect()
    }
}

/// A file, and an empty database on the server.
fn targets(directory: &Path) -> [String; 2] {
    [directory.join("target.db").to_str().unwrap().to_owned(), Database::of(directory, "target").url]
}

#[needs::postgres]
#[test]
fn schedules_of_version_2_are_read_as_version_2_reads_them() {
    let versions = [
        ("ALTER TABLE jobs ADD COLUMN log_rate_in_bps INT NOT NULL DEFAULT 0", "ocf2"),
        (
            "CREATE TABLE gorp_migrations (id TEXT PRIMARY KEY, applied_at TIMESTAMPTZ);
             INSERT INTO gorp_migrations VALUES ('1648243100', now()), ('1771720878', now())",
            "ocf2",
        ),
        (
            "CREATE TABLE gorp_migrations (id TEXT PRIMARY KEY); INSERT INTO gorp_migrations VALUES \
             ('1648243100')",
            "classic",
        ),
    ];
    for (version, dialect) in versions {
        let directory = tempfile::tempdir().unwrap();
        let go = GoDatabase::new(directory.path());
        go.job(JOB, "archive", "2026-02-01 10:00:00+00");
        go.database.execute(version);
        go.schedule("s-1", "true", "0 0 13 * FRI", JOB, "job");
        go.schedule("s-2", "NULL", "*/5 * * * *", JOB, "job");
        let to = &targets(directory.path())[0];
        let report = imported(&go.url, to, &[]);
        assert!(report.contains("read in UTC: 2"), "{report}");
        assert!(!report.contains("fires at"), "nothing fires otherwise than there: {report}");
        let here = Database::at(to);
        let rows = here.rows(
            "SELECT guid, dialect, CASE WHEN enabled THEN 'on' ELSE 'off' END FROM schedules ORDER BY 1",
        );
        assert_eq!(rows, [["s-1", dialect, "on"], ["s-2", dialect, "off"]], "{version}");
    }
}

#[needs::postgres]
#[test]
fn the_zone_of_the_server_is_added_to_expressions_without_one() {
    let directory = tempfile::tempdir().unwrap();
    let go = GoDatabase::new(directory.path());
    go.job(JOB, "archive", "2026-02-01 10:00:00+00");
    go.schedule("s-1", "true", "0 9 * * *", JOB, "job");
    go.schedule("s-2", "true", "CRON_TZ=Asia/Tokyo 0 9 * * *", JOB, "job");
    go.schedule("s-3", "true", "@every 5m", JOB, "job");
    let to = &targets(directory.path())[0];
    let (status, _, complaint) = import(&go.url, to, &["--timezone", "Europe/Nowhere"]);
    assert_eq!(status, 2, "{complaint}");
    let report = imported(&go.url, to, &["--timezone", "Europe/Berlin"]);
    assert!(report.contains("named no zone, and name that of --timezone here: 1"), "{report}");
    assert!(!report.contains("read in UTC"), "{report}");
    let rows = Database::at(to).rows("SELECT expression FROM schedules ORDER BY guid");
    assert_eq!(rows, [["CRON_TZ=Europe/Berlin 0 9 * * *"], ["CRON_TZ=Asia/Tokyo 0 9 * * *"], ["@every 5m"]]);
}

#[needs::postgres]
#[test]
fn with_another_dialect_each_schedule_that_fires_differently_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let go = GoDatabase::new(directory.path());
    go.job(JOB, "archive", "2026-02-01 10:00:00+00");
    go.schedule("s-same", "true", "*/5 * * * *", JOB, "job");
    go.schedule("s-either", "true", "0 0 13 * FRI", JOB, "job");
    go.schedule("s-year", "true", "0 0 1 * * *", JOB, "job");
    let to = &targets(directory.path())[0];
    let report = imported(&go.url, to, &["--dialect", "ocf2"]);
    let differing: Vec<&str> = report.lines().filter(|line| line.contains(" fires at ")).collect();
    assert_eq!(differing.len(), 2, "{report}");
    assert!(differing[0].contains("s-either") && differing[1].contains("s-year"), "{report}");
    let rows = Database::at(to).rows("SELECT DISTINCT dialect FROM schedules");
    assert_eq!(rows, [["ocf2"]]);

    // Our own databases record both.
    let second = directory.path().join("second.db");
    let (status, _, complaint) = import(to, second.to_str().unwrap(), &["--dialect", "ocf2"]);
    assert_eq!(status, 2, "{complaint}");
    assert!(complaint.contains("are for databases of OCF Scheduler"), "{complaint}");
}

#[needs::postgres]
#[test]
fn a_go_services_database_moves_with_guids_names_states_times_and_history() {
    for place in 0..2 {
        let directory = tempfile::tempdir().unwrap();
        let go = GoDatabase::filled(directory.path());
        let before = go.rows();
        let to = &targets(directory.path())[place];
        let report = imported(&go.url, to, &[]);
        assert_eq!(counts(&report, "jobs"), [2, 0, 0]);
        assert_eq!(counts(&report, "calls"), [1, 0, 0]);
        assert_eq!(counts(&report, "schedules"), [3, 0, 0]);
        assert_eq!(counts(&report, "executions"), [3, 0, 0]);
        assert!(!report.contains("hunter2") && !report.contains("Not taken"), "{report}");
        assert_eq!(go.rows(), before);

        let cf = FakeCf::start();
        cf.add_app(APP, SPACE);
        cf.add_role("dev", SPACE);
        let token = cf.issue_cf_token("dev");
        let program =
            Program::start(directory.path(), &cf, &[("DATABASE_URL", to), ("HISTORY_DAYS", "3650")]).unwrap();
        let get = |path: &str| ask(&program.url, &token, "GET", path, "").unwrap().1;
        let jobs = get(&format!("/jobs?space_guid={SPACE}"));
        let names: Vec<&Value> =
            jobs["resources"].as_array().unwrap().iter().map(|job| &job["name"]).collect();
        assert_eq!(names, ["archive", "later"]);
        let job = get(&format!("/jobs/{JOB}"));
        assert_eq!(job["guid"], JOB);
        assert_eq!((&job["app_guid"], &job["space_guid"]), (&Value::from(APP), &Value::from(SPACE)));
        assert_eq!((&job["disk_in_mb"], &job["memory_in_mb"]), (&Value::from(64), &Value::from(1024)));
        assert_eq!((&job["state"], &job["command"]), (&Value::from("PENDING"), &Value::from("true")));
        assert_eq!(job["created_at"], "2026-02-01T10:00:00.123456Z");
        let call = get(&format!("/calls/{CALL}"));
        assert_eq!(
            (&call["url"], &call["auth_header"]),
            (&Value::from("https://example.com/hook"), &Value::from("Bearer hunter2"))
        );
        assert_eq!(call["updated_at"], "2026-02-04T00:00:00Z");
        let schedules = get(&format!("/jobs/{JOB}/schedules"));
        let enabled: Vec<(&Value, &Value)> = schedules["resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|schedule| (&schedule["guid"], &schedule["enabled"]))
            .collect();
        assert_eq!(
            enabled,
            [(&Value::from(SCHEDULE), &Value::from(true)), (&Value::from("s-disabled"), &Value::from(false))]
        );
        let history = get(&format!("/jobs/{JOB}/history"));
        assert_eq!(history["pagination"]["total_results"], 2);
        let newest = &history["resources"][0];
        assert_eq!((&newest["guid"], &newest["schedule_guid"]), (&Value::from("e3"), &Value::from(SCHEDULE)));
        assert_eq!(
            (&newest["state"], &newest["task_guid"]),
            (&Value::from("SUCCEEDED"), &Value::from("task-3"))
        );
        assert_eq!(newest["scheduled_time"], "2026-02-05T00:10:00Z");
        assert_eq!(newest["execution_start_time"], "2026-02-05T00:10:00.01Z");
        assert_eq!(newest["execution_end_time"], "2026-02-05T00:10:07Z");
        assert_eq!(history["resources"][1]["guid"], "e1");
        let of_call = get(&format!("/calls/{CALL}/history"));
        assert_eq!(of_call["resources"][0]["message"], "response status: 404");
    }
}

#[needs::postgres]
#[test]
fn no_past_fire_time_runs_and_nothing_that_was_waiting() {
    for place in 0..2 {
        let directory = tempfile::tempdir().unwrap();
        let go = GoDatabase::filled(directory.path());
        go.execution(
            "dead",
            CALL,
            "call",
            "'', '', '0001-01-01 00:00:00+00', '', 'PENDING',
            '0001-01-01 00:00:00+00', '0001-01-01 00:00:00+00'",
        );
        go.execution(
            "task",
            JOB,
            "job",
            "'task-9', 'SCHEDULE', '2026-02-06 00:00:00+00', 'said', 'RUNNING',
            '2026-02-06 00:00:01+00', NULL",
        );
        let to = &targets(directory.path())[place];
        let before = SystemClock::default().now();
        let report = imported(&go.url, to, &[]);
        assert!(report.contains("\"interrupted: …\": 2"), "{report}");
        let target = Database::at(to);
        let planned =
            target.rows("SELECT next_fire_time, planned_at FROM schedules WHERE next_fire_time IS NOT NULL");
        assert_eq!(planned.len(), 2);
        for times in planned {
            let [next, planned_at] = [&times[0], &times[1]].map(|time| time.parse::<i64>().unwrap());
            assert!(before.nanos() < next && planned_at < next);
        }
        assert_eq!(
            target.rows("SELECT guid FROM executions WHERE state IN ('PENDING', 'RUNNING')"),
            Vec::<Vec<String>>::new()
        );
        let cf = FakeCf::start();
        cf.add_app(APP, SPACE);
        cf.add_role("dev", SPACE);
        let token = cf.issue_cf_token("dev");
        let variables = [("DATABASE_URL", to.as_str()), ("HISTORY_DAYS", "3650")];
        let mut program = Program::start(directory.path(), &cf, &variables).unwrap();
        // A new request gets its turn, so anything due earlier would have had its own.
        let made = ask(&program.url, &token, "POST", &format!("/jobs/{JOB}/execute"), "").unwrap();
        assert_eq!(made.0, 201);
        let guid = made.1["guid"].as_str().unwrap();
        wait_until("it is under way", || {
            target.rows(&format!("SELECT state FROM executions WHERE guid = '{guid}'")) != [["PENDING"]]
        });
        assert_eq!(program.terminate(), Some(0));
        let ended = target.rows("SELECT guid, state, message FROM executions ORDER BY guid");
        assert_eq!(ended.len(), 6, "{ended:?}");
        let message = |guid: &str| {
            ended.iter().find(|row| row[0] == guid).map(|row| (row[1].clone(), row[2].clone())).unwrap()
        };
        assert_eq!(
            message("dead"),
            ("FAILED".to_owned(), "interrupted: it was PENDING when it was moved here".to_owned())
        );
        let task =
            "interrupted: it was RUNNING when it was moved here; what became of its task is not known: said";
        assert_eq!(message("task"), ("FAILED".to_owned(), task.to_owned()));
    }
}

#[needs::postgres]
#[test]
fn importing_twice_changes_nothing_nor_does_a_dry_run() {
    for place in 0..2 {
        let directory = tempfile::tempdir().unwrap();
        let go = GoDatabase::filled(directory.path());
        let to = &targets(directory.path())[place];
        let target = Database::at(to);
        // A dry run does not create a missing database.
        drop(target.open().unwrap());
        let report = imported(&go.url, to, &["--dry-run"]);
        assert!(report.starts_with("Would import") && report.contains("nothing was imported"), "{report}");
        assert_eq!(counts(&report, "executions"), [3, 0, 0]);
        assert_eq!(target.rows("SELECT guid FROM executables"), Vec::<Vec<String>>::new());
        assert_eq!(target.rows("SELECT * FROM history_sizes"), Vec::<Vec<String>>::new());

        imported(&go.url, to, &[]);
        // Objects changed or deleted here since then stay so.
        target.execute(&format!(
            "UPDATE executables SET name = 'renamed', command = 'false' WHERE guid = '{JOB}'"
        ));
        target.execute("UPDATE schedules SET next_fire_time = NULL, deleted_at = 1 WHERE guid = 's-call'");
        let before = everything(&target);
        let report = imported(&go.url, to, &[]);
        assert_eq!(everything(&target), before);
        assert_eq!(counts(&report, "jobs"), [0, 2, 0]);
        assert_eq!(counts(&report, "calls"), [0, 1, 0]);
        assert_eq!(counts(&report, "schedules"), [0, 3, 0]);
        assert_eq!(counts(&report, "executions"), [0, 3, 0]);
    }
}

#[needs::postgres]
#[test]
fn what_cannot_be_imported_is_reported_with_its_cause_and_the_rest_is_imported() {
    let directory = tempfile::tempdir().unwrap();
    let go = GoDatabase::filled(directory.path());
    go.schedule("s-refused", "true", "61 * * * *", CALL, "call");
    go.schedule("s-orphan", "true", "0 0 * * *", "gone", "job");
    go.schedule("s-neither", "true", "0 0 * * *", JOB, "tune");
    let ended = "'FAILED', '2026-02-07 00:00:00+00', '2026-02-07 00:00:01+00'";
    let at = "'2026-02-07 00:00:00+00', ''";
    go.execution("o1", "gone", "job", &format!("NULL, NULL, NULL, NULL, {ended}"));
    go.execution("o2", "gone", "job", &format!("NULL, 's-orphan', {at}, {ended}"));
    // The call with this guid is not a job.
    go.execution("o3", CALL, "job", &format!("NULL, NULL, NULL, NULL, {ended}"));
    go.execution("o4", CALL, "tune", &format!("NULL, NULL, NULL, NULL, {ended}"));
    // The history of missing or refused objects is not imported.
    go.execution("h1", CALL, "call", &format!("'', 's-refused', {at}, {ended}"));
    go.execution("h2", CALL, "call", &format!("'', 's-deleted', {at}, {ended}"));
    // The service stored only minutes.
    go.execution(
        "h3",
        CALL,
        "call",
        "'', 's-deleted', '2026-02-07 00:00:00+00', '', 'FAILED',
        '2026-02-07 00:00:20.5+00', '2026-02-07 00:00:21+00'",
    );
    for to in targets(directory.path()) {
        let report = imported(&go.url, &to, &[]);
        assert_eq!(counts(&report, "schedules"), [3, 0, 3], "{report}");
        assert_eq!(counts(&report, "executions"), [6, 0, 4], "{report}");
        for line in [
            format!(
                "schedule s-refused of call {CALL}: \"61 * * * *\" is not valid: in field 1 (minute), at \
                 character 1: 61 is beyond 59"
            ),
            "schedule s-orphan of job gone, which does not exist".to_owned(),
            "schedule s-neither: what it runs is neither a job nor a call".to_owned(),
            "executions of job gone, which does not exist: 2".to_owned(),
            format!("executions of job {CALL}, which does not exist: 1"),
            "executions of neither a job nor a call: 1".to_owned(),
            "had the fire time of another of their schedule, and have that of their start here: 1".to_owned(),
        ] {
            assert!(report.lines().any(|said| said.trim().ends_with(&line)), "{line}\n{report}");
        }
        let rows = Database::at(&to).rows(
            "SELECT e.guid, s.guid, e.scheduled_time
               FROM executions AS e LEFT JOIN schedules AS s ON s.id = e.schedule_id
              WHERE e.guid LIKE 'h%' ORDER BY e.id",
        );
        let minute = "1770422400000000000";
        assert_eq!(rows[0], ["h1", "s-refused", minute]);
        assert_eq!(rows[1], ["h2", "s-deleted", minute]);
        assert_eq!(rows[2], ["h3", "s-deleted", "1770422420500000000"]);
    }
}

#[needs::postgres]
#[test]
fn a_go_services_tables_may_differ_and_lack_things() {
    let directory = tempfile::tempdir().unwrap();
    let go = GoDatabase::filled(directory.path());
    go.database.execute(
        "ALTER TABLE jobs ALTER guid TYPE VARCHAR(80), ALTER memory_in_mb TYPE TEXT, ADD COLUMN tune TEXT \
         DEFAULT 'x';
         ALTER TABLE jobs ALTER created_at TYPE TIMESTAMP, DROP COLUMN updated_at, DROP COLUMN disk_in_mb;
         ALTER TABLE schedules ALTER enabled TYPE INT USING CASE WHEN enabled THEN 1 ELSE 0 END, DROP COLUMN expression_type;
         ALTER TABLE executions DROP COLUMN message, ALTER guid TYPE TEXT, ALTER ref_guid TYPE TEXT;
         UPDATE calls SET url = ' ', created_at = '0001-01-01 00:00:00+00';
         UPDATE jobs SET state = 'CONFUSED'",
    );
    let to = targets(directory.path())[0].clone();
    let before = SystemClock::default().now();
    let report = imported(&go.url, &to, &[]);
    assert_eq!(counts(&report, "executions"), [3, 0, 0], "{report}");
    assert!(report.contains(&format!("call {CALL} has no url")), "{report}");
    let target = Database::at(&to);
    let jobs = target.rows(
        "SELECT created_at, updated_at, disk_in_mb, state FROM executables WHERE kind = 'job' ORDER BY id",
    );
    // An unknown state is taken from the history.
    assert_eq!(jobs[0], ["1769940000123456000", "1769940000123456000", "1024", "SUCCEEDED"]);
    assert_eq!(jobs[1][3], "PENDING");
    let updated: i64 =
        target.rows("SELECT created_at FROM executables WHERE kind = 'call'")[0][0].parse().unwrap();
    assert!(updated < before.nanos());
    let enabled = target.rows("SELECT guid FROM schedules WHERE enabled ORDER BY guid");
    assert_eq!(enabled, [["33333333-3333-4333-8333-333333333333"], ["s-call"]]);
}

#[needs::postgres]
#[test]
fn a_taken_name_gets_a_number() {
    let directory = tempfile::tempdir().unwrap();
    let go = GoDatabase::filled(directory.path());
    for to in targets(directory.path()) {
        let target = Database::at(&to);
        drop(target.open().unwrap());
        target.execute(&format!(
            "INSERT INTO executables (guid, kind, name, app_guid, space_guid, command, disk_in_mb, \
             memory_in_mb, state,
                 created_at, updated_at)
             VALUES ('mine', 'job', 'archive', '{APP}', '{SPACE}', 'true', 1, 1, 'PENDING', 1, 1)"
        ));
        let report = imported(&go.url, &to, &[]);
        assert_eq!(counts(&report, "jobs"), [2, 0, 0]);
        assert!(report.contains(&format!("job {JOB} is named \"archive (2)\" here")), "{report}");
        let names = target.rows("SELECT name FROM executables WHERE kind = 'job' ORDER BY id");
        assert_eq!(names, [["archive"], ["archive (2)"], ["later"]]);
        let again = imported(&go.url, &to, &[]);
        assert_eq!(counts(&again, "jobs"), [0, 2, 0]);
    }
}

#[needs::postgres]
#[test]
fn an_import_that_is_killed_or_fails_has_changed_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let go = GoDatabase::filled(directory.path());
    for to in targets(directory.path()) {
        let (status, report, _) = import_at(&go.url, &to, &[], &[("OCF_CRASH_POINT", "import.ending")]);
        assert_eq!((status, report.as_str()), (-1, ""));
        let target = Database::at(&to);
        assert_eq!(target.rows("SELECT guid FROM executables"), Vec::<Vec<String>>::new());
        assert_eq!(target.rows("SELECT guid FROM executions"), Vec::<Vec<String>>::new());
        assert_eq!(counts(&imported(&go.url, &to, &[]), "executions"), [3, 0, 0]);
    }
}

#[needs::postgres]
#[test]
fn two_kinds_of_tables_in_one_database_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let go = GoDatabase::filled(directory.path());
    // One database bound to both services: our schema beside theirs, named by the search path here.
    let (server, schema) = go.url.split_once("schema=").unwrap();
    let own = format!("{schema}_own");
    let joint = format!("{server}options=-c%20search_path%3D{schema}&schema={own}");
    let report = imported(&joint, &joint, &[]);
    assert!(report.contains("from OCF Scheduler's tables in"), "{report}");
    assert_eq!(counts(&report, "executions"), [3, 0, 0]);
    // Also without naming the source.
    let done = Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"))
        .arg("import")
        .env_clear()
        .env("DATABASE_URL", &joint)
        .output()
        .unwrap();
    assert_eq!(counts(&String::from_utf8(done.stdout).unwrap(), "executions"), [0, 3, 0]);

    let file = directory.path().join("file.db").to_str().unwrap().to_owned();
    let (status, _, complaint) = import(&joint, &file, &[]);
    assert!(status == 2 && complaint.contains("--kind go or --kind own"), "{status} {complaint}");
    let from_own = imported(&joint, &file, &["--kind", "own"]);
    assert!(!from_own.contains("Go service"), "{from_own}");
    let from_go = imported(&joint, &file, &["--kind", "go"]);
    assert_eq!(counts(&from_go, "executions"), [0, 3, 0]);
    let (status, _, complaint) = import(&joint, &joint, &["--kind", "own"]);
    assert!(status == 2 && complaint.contains("the database to import into"), "{status} {complaint}");
}

#[test]
fn our_own_databases_move_between_files_and_servers_and_back() {
    let directory = tempfile::tempdir().unwrap();
    let source = filled_by_a_service(directory.path());
    source.execute(
        "UPDATE executables
            SET timeout_seconds = 7, concurrency_policy = 'Queue', max_retries = 3, backoff_seconds = 1,
                max_backoff_seconds = 60, max_age_seconds = 600, paused = TRUE, labels = '{\"a\":\"1\"}',
                annotations = '{\"b\":\"2\"}', expect_success_within_seconds = 60;
         UPDATE executables
            SET method = 'PUT', headers = '{\"X\":\"y\"}', body = 'text', success_statuses = '200,304',
                signing_secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
          WHERE kind = 'call';
         UPDATE schedules
            SET dialect = CASE WHEN enabled THEN 'ocf2' ELSE 'classic-quartz' END, timezone = 'Europe/Berlin',
                starts_at = 7, ends_at = 4000000000000000000, jitter_seconds = 5, misfire_policy = 'all',
                description = 'for people', key = 'k' || id;
         UPDATE executions
            SET reason = 'cancelled', requested_by = 'me', app_guid = 'app-1', attempt = 3, attempt_start_time = 7,
                cancel_requested_at = 8, cancel_reason = 'cancelled', cancel_message = 'cancelled by me'
          WHERE guid = 'e2';
         UPDATE executions SET state = 'SKIPPED', reason = 'overlap', more_skipped = 9 WHERE guid = 'by-hand';
         INSERT INTO attempts (execution_id, number, start_time, end_time, task_guid, message)
         SELECT id, 1, 2, 3, 'task', 'no' FROM executions WHERE guid = 'e2'
          UNION ALL
         SELECT id, 2, 4, 5, NULL, 'no' FROM executions WHERE guid = 'e2';
         INSERT INTO space_pauses (space_guid, is_paused, paused_by, paused_note, resumed_at, updated_at)
         VALUES ('space-1', TRUE, 'me', 'why', 3, 4);
         INSERT INTO notifications (guid, space_guid, name, url, format, secret, headers, events, job_guids,
                                    call_guids, label_selector, after_failures, enabled, created_at, updated_at)
         VALUES ('notification-1', 'space-1', 'ops', 'https://hooks', 'standard', 'whsec_x', '{\"X\":\"y\"}',
                 '[\"failed\"]', '[\"j1\"]', '[]', 'env=prod', 3, TRUE, 5, 6);
         INSERT INTO deliveries (guid, notification_id, event, data, state, created_at, due_at)
         SELECT 'delivery-1', id, 'test', '{}', 'WAITING', 1, 1 FROM notifications;
         INSERT INTO notifications (guid, space_guid, name, url, format, events, job_guids, call_guids,
                                    label_selector, after_failures, enabled, created_at, updated_at, repeat_at)
         VALUES ('notification-2', 'space-1', 'alerts', 'https://alerts', 'alertmanager', '[\"failed\"]', '[]',
                 '[]', '', 1, TRUE, 5, 6, 9000000000000000000);
         INSERT INTO streaks (executable_id, failures, failing_since, last_execution_id, expected_since)
         SELECT x.id, 4, 5, COALESCE((SELECT MAX(e.id) FROM executions AS e WHERE e.executable_id = x.id), 0), 3
           FROM executables AS x WHERE x.space_guid = 'space-1'
             ON CONFLICT (executable_id) DO UPDATE
            SET failures = 4, failing_since = 5, last_execution_id = excluded.last_execution_id,
                expected_since = 3, success_due_at = NULL;
         INSERT INTO alerts (notification_id, executable_id, event, since, data, is_told, remind_at)
         SELECT n.id, x.id, 'failed', 5, '{\"failures\":4}', TRUE, 7
           FROM notifications AS n CROSS JOIN executables AS x WHERE x.space_guid = 'space-1'",
    );
    let alerts = "SELECT COUNT(*) FROM alerts";
    let (told, spaces) = (source.number(alerts), source.rows("SELECT DISTINCT space_guid FROM executables"));
    assert!(2 <= told, "{spaces:?}");
    let before = everything(&source);
    let mut places = vec![directory.path().join("one.db").to_str().unwrap().to_owned()];
    if is_postgres() {
        places.push(Database::of(directory.path(), "two").url);
        places.push(Database::of(directory.path(), "three").url);
    }
    places.push(directory.path().join("four.db").to_str().unwrap().to_owned());
    // Nobody was told of these yet: the one was not tried, the other failed. An Alertmanager gets it again
    // anyway.
    let waits = directory.path().join("waits.db").to_str().unwrap().to_owned();
    imported(&source.url, &waits, &[]);
    let waiting = Database::at(&waits);
    waiting.execute(
        "UPDATE alerts SET is_told = FALSE WHERE executable_id = (SELECT MIN(executable_id) FROM alerts);
         INSERT INTO deliveries (guid, notification_id, executable_id, event, data, state, created_at, due_at, attempts)
         SELECT 'again-' || notification_id || executable_id, notification_id, executable_id, 'failed', '{}', 'WAITING', 1, 9, 1
           FROM alerts WHERE is_told",
    );
    let untold = directory.path().join("untold.db").to_str().unwrap().to_owned();
    imported(&waits, &untold, &[]);
    let there = Database::at(&untold).rows(
        "SELECT DISTINCT n.guid, a.is_told, n.repeat_at < 9000000000000000000
           FROM alerts AS a JOIN notifications AS n ON n.id = a.notification_id",
    );
    assert_eq!(there, [["notification-2", "1", "1"]]);
    let mut from = source.url.clone();
    for to in places {
        let report = imported(&from, &to, &[]);
        assert_eq!(counts(&report, "jobs"), [2, 0, 0], "{report}");
        assert_eq!(counts(&report, "calls"), [1, 0, 0]);
        assert_eq!(counts(&report, "schedules"), [2, 0, 0]);
        assert_eq!(counts(&report, "executions"), [4, 0, 0]);
        assert!(report.contains("service instances") && report.contains("service bindings"), "{report}");
        assert_eq!(counts(&report, "notifications"), [2, 0, 0]);
        let target = Database::at(&to);
        assert_eq!(contents(&target), contents(&source), "{from} {to}");
        assert_eq!(target.number("SELECT COUNT(*) FROM deliveries"), 0, "what waits stays");
        assert_eq!(target.number(alerts), told);
        let event = "SELECT COUNT(*) FROM audit_events WHERE type = 'audit.scheduler.import'";
        assert_eq!(target.number(event), 1);
        let there = everything(&target);
        let again = imported(&from, &to, &[]);
        assert_eq!(counts(&again, "executions"), [0, 4, 0]);
        assert_eq!(everything(&target), there);
        from = to;
    }
    assert_eq!(everything(&source), before);
}

#[test]
fn from_our_own_database_waiting_executions_end_and_tasks_are_followed() {
    let directory = tempfile::tempdir().unwrap();
    let source = filled_by_a_service(directory.path());
    let run = |guid: &str, kind: &str, state: &str, task: &str, dispatch_time: &str| {
        source.execute(&format!(
            "INSERT INTO executions (guid, executable_id, kind, state, task_guid, asked_at, created_at, \
             dispatch_time, attempts)
             SELECT '{guid}', MIN(id), '{kind}', '{state}', {task}, 5, 5, {dispatch_time}, 1
               FROM executables WHERE kind = '{kind}'"
        ));
    };
    run("waits", "job", "PENDING", "NULL", "7");
    run("in-flight", "call", "RUNNING", "NULL", "NULL");
    run("task", "job", "RUNNING", "'task-of-it'", "NULL");
    source
        .execute("INSERT INTO strays (name, doubt_until) VALUES ('0b2d3e6c-5f5a-4c57-8f39-0a4f1f4a9f10', 8)");
    source.execute("UPDATE executables SET deleted_at = 1 WHERE name = 'second'");
    source.execute(
        "DELETE FROM service_bindings; DELETE FROM service_instances; UPDATE service_spaces SET \
     is_suspended = TRUE",
    );
    let to = directory.path().join("target.db").to_str().unwrap().to_owned();
    let report = imported(&source.url, &to, &[]);
    assert!(report.contains("\"interrupted: …\": 2"), "{report}");
    assert!(report.contains("followed from here: 1"), "{report}");
    // The deleted job stays deleted, with its history.
    assert_eq!(counts(&report, "jobs"), [1, 0, 0]);
    let target = Database::at(&to);
    let rows = target.rows(
        "SELECT guid, state, message FROM executions WHERE guid IN ('waits', 'in-flight', \
     'task') ORDER BY id",
    );
    assert_eq!(rows[0], ["waits", "FAILED", "interrupted: it was PENDING when it was moved here"]);
    assert_eq!(rows[1], ["in-flight", "FAILED", "interrupted: it was RUNNING when it was moved here"]);
    assert_eq!(rows[2], ["task", "RUNNING", ""]);
    assert_eq!(
        target.rows("SELECT name, doubt_until FROM strays"),
        [["0b2d3e6c-5f5a-4c57-8f39-0a4f1f4a9f10", "8"]]
    );
    // Nothing fires in a suspended space.
    assert_eq!(target.rows("SELECT is_suspended FROM service_spaces"), [["1"]]);
    assert_eq!(target.rows("SELECT next_fire_time FROM schedules WHERE enabled"), [[""]]);
    // The outcome of the latest-created ended execution.
    assert_eq!(target.rows("SELECT state FROM executables WHERE kind = 'job'"), [["FAILED"]]);
    // The service continues with it: Cloud Foundry does not know the task.
    let cf = FakeCf::start();
    let program = Program::start(directory.path(), &cf, &[("DATABASE_URL", &to)]).unwrap();
    wait_until("the task's end is known", || {
        target.rows("SELECT state FROM executions WHERE guid = 'task'") == [["FAILED"]]
    });
    drop(program);
}

#[test]
fn nonsensical_arguments_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let source = directory.path().join("diary.txt");
    fs::write(&source, "dear diary").unwrap();
    let (status, _, complaint) = import(&path("diary.txt"), &path("to.db"), &[]);
    assert!(status == 1 && complaint.contains("not an SQLite database"), "{complaint}");
    let (status, _, complaint) = import(&path("none.db"), &path("to.db"), &[]);
    assert!(status == 1 && complaint.contains("cannot be read"), "{complaint}");
    let (status, _, complaint) = import(&path("to.db"), &path("to.db"), &[]);
    assert!(status == 2 && complaint.contains("is the database itself"), "{complaint}");
    let (status, _, complaint) = import(&path("none.db"), &path("to.db"), &["--kind", "go"]);
    assert!(status == 2 && complaint.contains("in PostgreSQL"), "{complaint}");
    let (status, _, complaint) = import("mysql://u:hunter2@h/d", &path("to.db"), &[]);
    assert!(status == 2 && complaint.contains("--from begins with"), "{complaint}");
    assert!(!complaint.contains("hunter2"), "{complaint}");
    let (status, _, complaint) = import("postgres://u:hunter2@127.0.0.1:1/d", &path("to.db"), &[]);
    assert!(status == 1 && complaint.contains("127.0.0.1:1/d cannot be read"), "{complaint}");
    assert!(!complaint.contains("hunter2"), "{complaint}");
    let (status, _, complaint) = import(&path("to.db"), &path("other.db"), &["--kind", "tune"]);
    assert!(status == 2 && complaint.contains("must be one of go, own"), "{complaint}");
    let done = Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"))
        .arg("import")
        .env_clear()
        .env("DATABASE_URL", path("to.db"))
        .output()
        .unwrap();
    assert_eq!(done.status.code(), Some(2));
    assert_eq!(fs::read(&source).unwrap(), b"dear diary");
}

/// A database written by a service: two jobs, a call, two schedules and four ended executions.
fn filled_by_a_service(directory: &Path) -> Database {
    let cf = FakeCf::start();
    cf.add_app(APP, SPACE);
    cf.add_role("dev", SPACE);
    let token = cf.issue_cf_token("dev");
    let mut program = Program::start(directory, &cf, &[]).unwrap();
    let make = |path: &str, body: &str| {
        let (status, made) = ask(&program.url, &token, "POST", path, body).unwrap();
        assert_eq!(status, 201);
        made["guid"].as_str().unwrap_or_default().to_owned()
    };
    let job = make(&format!("/jobs?app_guid={APP}"), r#"{"name":"first","command":"tr\u0000ue"}"#);
    make(&format!("/jobs?app_guid={APP}"), r#"{"name":"second","command":"true","memory_in_mb":7}"#);
    let call = make(
        &format!("/calls?app_guid={APP}"),
        r#"{"name":"ping","url":"http://127.0.0.1:1/\u001a","auth_header":"Bearer hunter2"}"#,
    );
    let schedule = make(&format!("/jobs/{job}/schedules"), r#"{"enabled":true,"expression":"0 3 1 1 *"}"#);
    make(&format!("/calls/{call}/schedules"), r#"{"enabled":false,"expression":"0 4 * * *"}"#);
    program.terminate();
    let database = Database::of(directory, "s.db");
    let nul = if is_postgres() { "chr(26) || '0'" } else { "char(0)" };
    for (number, state) in [(1, "SUCCEEDED"), (2, "FAILED"), (3, "SUCCEEDED")] {
        database.execute(&format!(
            "INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, note, \
             message, task_guid,
                 asked_at, created_at, attempts, start_time, end_time)
             SELECT 'e{number}', s.executable_id, s.id, {number}000, 'job', '{state}', 'late', 'it \"ended\" \u{e9}' || {nul}, 'task-{number}',
                    1, {number}001, 1, {number}002, {number}003
               FROM schedules AS s WHERE s.guid = '{schedule}'"
        ));
    }
    database.execute(&format!(
        "INSERT INTO executions (guid, executable_id, kind, state, asked_at, created_at, attempts, \
         start_time, end_time, request_id)
         SELECT 'by-hand', id, 'call', 'FAILED', 1, 4000, 1, 4001, 4002, 'asked-by-me' FROM executables WHERE guid = '{call}'"
    ));
    database.execute(&format!(
        "INSERT INTO service_instances VALUES ('i1', 'service', 'plan', 'org', '{SPACE}', '{{}}', '{{}}', 1, \
         2);
         INSERT INTO service_bindings VALUES ('b1', 'i1', 'service', 'plan', '{APP}', '{{}}', 'https://example.com', 3);
         INSERT INTO service_spaces VALUES ('{SPACE}', FALSE)"
    ));
    database.execute(&format!(
        "UPDATE executables SET state = 'SUCCEEDED', state_execution_id = (SELECT id FROM executions WHERE \
         guid = 'e3')
          WHERE guid = '{job}'"
    ));
    database
}
