//! Upgrades: a database with rows, of any older version, becomes one of this version.
//!
//! Each older version is built from the first migrations and filled by SQL. Whoever adds a table in a
//! migration must add rows here; the test fails until then.

use std::collections::BTreeMap;
use std::fs;

use ocf_scheduler::base::clock::{Clock, ManualClock};
use ocf_scheduler::model::{EndState, ExecutionState, Guid, Kind, Outcome, Timestamp};
use ocf_scheduler::store::{End, Extent, HistoryOf, Scope, Store, Window};
use tempfile::TempDir;

use super::database::{Database, is_postgres};

/// The time of all rows, in nanoseconds since 1970.
const NOW: i64 = 1_700_000_000_000_000_000;
/// Migration 2 of SQLite replaced the start of an attempt with an unknown outcome by the instant after which
/// "not found" is conclusive, this much later.
const DOUBT_TIME: i64 = 60_000_000_000;

/// A migration: its name without the number, and its text.
type Migration = (String, String);

fn migrations() -> Vec<Migration> {
    let engine = if is_postgres() { "postgres" } else { "sqlite" };
    let directory = format!("{}/sql/migrations/{engine}", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: std::path::PathBuf| {
        let name = file.file_stem().unwrap().to_str().unwrap();
        (name.split_once('_').unwrap().1.to_owned(), fs::read_to_string(&file).unwrap())
    };
    files.into_iter().map(read).collect()
}

/// A database of an older version.
struct Old {
    database: Database,
    applied: Vec<String>,
    _directory: TempDir,
}

impl Old {
    fn build(migrations: &[Migration]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::of(directory.path(), "s.db");
        if is_postgres() {
            let schema = database.url.split_once("schema=").unwrap().1;
            database.execute(&format!("CREATE SCHEMA {schema}"));
        }
        for (_, text) in migrations {
            database.execute(text);
        }
        let version = migrations.len();
        if is_postgres() {
            database.execute("CREATE TABLE schema_version (version BIGINT NOT NULL)");
            database.execute(&format!("INSERT INTO schema_version VALUES ({version})"));
        } else {
            let marks = format!("PRAGMA application_id = {}; PRAGMA user_version = {version};", 0x4f43_4673);
            database.execute(&marks);
        }
        let applied = migrations.iter().map(|(name, _)| name.clone()).collect();
        let old = Self { database, applied, _directory: directory };
        old.insert_rows();
        old
    }

    /// PostgreSQL's first migration combines the first four of SQLite.
    fn has(&self, migration: &str) -> bool {
        let is_in_first = ["lanes_and_clocks", "history_sizes", "space_sizes"].contains(&migration);
        (is_postgres() && is_in_first) || self.applied.iter().any(|name| name == migration)
    }

    fn insert(&self, table: &str, cells: &[(&str, &str)]) {
        let columns: Vec<&str> = cells.iter().map(|(column, _)| *column).collect();
        let values: Vec<&str> = cells.iter().map(|(_, value)| *value).collect();
        let (columns, values) = (columns.join(", "), values.join(", "));
        self.database.execute(&format!("INSERT INTO {table} ({columns}) VALUES ({values})"));
    }

    fn insert_rows(&self) {
        self.insert_executables();
        self.insert_schedules();
        self.insert_executions();
        if self.has("lanes_and_clocks") {
            self.insert("strays", &[("name", "'e-gone'"), ("doubt_until", "9")]);
        }
        if self.has("shares_and_marks") {
            let surplus = [("name", "'task-2'"), ("doubt_until", "9"), ("surplus_of", "'e-running'")];
            self.insert("strays", &surplus);
        }
        if self.has("runs") {
            let attempt =
                [("execution_id", "1"), ("number", "1"), ("end_time", "9"), ("message", "'answered 503'")];
            self.insert("attempts", &attempt);
        }
        if is_postgres() {
            // An instance that is gone, and that owns the RUNNING executions.
            self.insert("instances", &[("lease_until", "0")]);
            self.database.execute("UPDATE executions SET owner = 1 WHERE state = 'RUNNING'");
        }
        if self.has("broker") {
            self.insert_service();
        }
        if self.has("audit_events") {
            let event = [
                ("guid", "'event'"),
                ("created_at", "1"),
                ("type", "'audit.scheduler.job.create'"),
                ("actor_guid", "'me'"),
                ("actor_type", "'user'"),
                ("actor_name", "'me'"),
                ("target_guid", "'job'"),
                ("target_type", "'job'"),
                ("target_name", "'nightly'"),
                ("data", "'{}'"),
                ("space_guid", "'space-1'"),
                ("request_id", "'request'"),
            ];
            self.insert("audit_events", &event);
        }
        if self.has("notifications") {
            self.insert_notification();
        }
        if self.has("dashboard") {
            self.insert("sign_outs", &[("user_id", "'me'"), ("valid_from", "8"), ("ends_at", "9")]);
            self.insert("used_codes", &[("code", "'a'"), ("ends_at", "9")]);
            self.insert("dashboard_keys", &[("id", "1"), ("value", "'k'")]);
        }
        if self.has("space_pauses") {
            let truth = if is_postgres() { "TRUE" } else { "1" };
            let cells = [
                ("space_guid", "'space-1'"),
                ("is_paused", truth),
                ("paused_by", "'me'"),
                ("updated_at", "9"),
            ];
            self.insert("space_pauses", &cells);
        }
    }

    fn insert_executables(&self) {
        let now = NOW.to_string();
        let add = |guid: &str, own: &[(&str, &str)]| {
            let quoted = format!("'{guid}'");
            let mut cells = vec![
                ("guid", quoted.as_str()),
                ("name", &quoted),
                ("app_guid", "'app-1'"),
                ("space_guid", "'space-1'"),
                ("created_at", &now),
                ("updated_at", &now),
            ];
            cells.extend(own);
            self.insert("executables", &cells);
        };
        let job = [("kind", "'job'"), ("command", "'true'"), ("disk_in_mb", "1"), ("memory_in_mb", "1024")];
        let call = [("kind", "'call'"), ("url", "'https://Host:8080/a?b'"), ("auth_header", "'secret'")];
        add("job", &[&job[..], &[("state", "'PENDING'")]].concat());
        add("job-succeeded", &[&job[..], &[("state", "'SUCCEEDED'"), ("state_execution_id", "5")]].concat());
        add("job-failed", &[&job[..], &[("state", "'FAILED'"), ("state_execution_id", "6")]].concat());
        add("job-deleted", &[&job[..], &[("state", "'PENDING'"), ("deleted_at", &now)]].concat());
        add("call", &call);
        add("call-deleted", &[&call[..], &[("deleted_at", &now)]].concat());
        if self.has("run_fields") {
            let controls = [
                ("timeout_seconds", "60"),
                ("concurrency_policy", "'Queue'"),
                ("max_retries", "3"),
                ("backoff_seconds", "1"),
                ("max_backoff_seconds", "60"),
                ("max_age_seconds", "600"),
                ("paused", "'1'"),
                ("labels", r#"'{"a":"b"}'"#),
                ("annotations", r#"'{"c":"d"}'"#),
                ("expect_success_within_seconds", "3600"),
            ];
            add("job-controlled", &[&job[..], &[("state", "'PENDING'")], &controls].concat());
            let request = [
                ("method", "'PUT'"),
                ("headers", r#"'{"x":"y"}'"#),
                ("body", "'text'"),
                ("success_statuses", "'200-299'"),
                ("signing_secret", "'signed'"),
            ];
            add("call-controlled", &[&call[..], &controls, &request].concat());
        }
    }

    fn insert_schedules(&self) {
        let now = NOW.to_string();
        let add = |guid: &str, executable: &str, own: &[(&str, &str)]| {
            let (guid, executable) =
                (format!("'{guid}'"), format!("(SELECT id FROM executables WHERE guid = '{executable}')"));
            let mut cells = vec![
                ("guid", guid.as_str()),
                ("executable_id", &executable),
                ("expression", "'* * * * *'"),
                ("created_at", &now),
                ("updated_at", &now),
            ];
            if self.has("lanes_and_clocks") {
                cells.push(("planned_at", &now));
            }
            if self.has("dialects") {
                cells.push(("dialect", "'ocf2'"));
            }
            cells.extend(own);
            self.insert("schedules", &cells);
        };
        add("enabled", "job", &[("enabled", "'1'"), ("next_fire_time", &now)]);
        add("of-call", "call", &[("enabled", "'1'"), ("next_fire_time", &now)]);
        add("over", "job", &[("enabled", "'1'")]);
        add("disabled", "job", &[("enabled", "'0'")]);
        add("deleted", "job", &[("enabled", "'1'"), ("deleted_at", &now)]);
        add("deleted-with-job", "job-deleted", &[("enabled", "'1'"), ("deleted_at", &now)]);
        if self.has("shares_and_marks") {
            let mark = [
                ("enabled", "'1'"),
                ("last_fire_time", now.as_str()),
                ("cancelled_up_to", "1"),
                ("cancelled_at", &now),
                ("cancel_reason", "'paused'"),
            ];
            add("marked", "job", &mark);
        }
    }

    fn insert_executions(&self) {
        let now = NOW.to_string();
        let add = |guid: &str, executable: &str, state: &str, own: &[(&str, &str)]| {
            let id = format!("(SELECT id FROM executables WHERE guid = '{executable}')");
            let share = format!("(SELECT share FROM executables WHERE guid = '{executable}')");
            let (guid, state) = (format!("'{guid}'"), format!("'{state}'"));
            let mut cells = vec![
                ("guid", guid.as_str()),
                ("executable_id", &id),
                ("state", &state),
                ("created_at", &now),
            ];
            if self.has("lanes_and_clocks") {
                let kind = if executable.starts_with("job") { "'job'" } else { "'call'" };
                cells.extend([("kind", kind), ("asked_at", now.as_str())]);
            }
            if self.has("request_ids") {
                cells.push(("request_id", "'request-1'"));
            }
            if self.has("shares_and_marks") {
                cells.push(("share", &share));
            }
            cells.extend(own);
            self.insert("executions", &cells);
        };
        let doubt = if self.has("lanes_and_clocks") { "doubt_until" } else { "unknown_since" };
        let of = |schedule: &str| format!("(SELECT id FROM schedules WHERE guid = '{schedule}')");
        let (enabled, gone, of_call) = (of("enabled"), of("deleted"), of("of-call"));
        add("e-pending", "job", "PENDING", &[("dispatch_time", &now)]);
        let fired = [("schedule_id", enabled.as_str()), ("scheduled_time", &now), ("dispatch_time", &now)];
        add("e-fired", "job", "PENDING", &fired);
        add("e-doubted", "job", "PENDING", &[("dispatch_time", &now), ("attempts", "1"), (doubt, &now)]);
        add(
            "e-running",
            "job",
            "RUNNING",
            &[("start_time", &now), ("attempts", "1"), ("task_guid", "'task-1'")],
        );
        let ended = [("end_time", now.as_str()), ("start_time", &now), ("message", "'it ended'")];
        add("e-succeeded", "job-succeeded", "SUCCEEDED", &ended);
        add("e-failed", "job-failed", "FAILED", &ended);
        let of_gone = [("schedule_id", gone.as_str()), ("scheduled_time", &now), ("note", "'missed 2'")];
        add("e-of-deleted", "job", "FAILED", &[&ended[..], &of_gone].concat());
        add("e-of-deleted-job", "job-deleted", "SUCCEEDED", &ended);
        let fired = [("schedule_id", of_call.as_str()), ("scheduled_time", &now), ("dispatch_time", &now)];
        add("c-fired", "call", "PENDING", &fired);
        add("c-running", "call", "RUNNING", &[("start_time", &now), ("attempts", "1")]);
        add("c-succeeded", "call", "SUCCEEDED", &ended);
        add("c-of-deleted", "call-deleted", "FAILED", &ended);
        if self.has("lanes_and_clocks") {
            let troubled = [("dispatch_time", now.as_str()), ("failures", "2"), ("give_up_at", "9")];
            add("e-troubled", "job", "PENDING", &troubled);
        }
        if self.has("shares_and_marks") {
            add("e-many", "job", "PENDING", &[("dispatch_time", &now), ("more_fire_times", "7")]);
        }
        if self.has("runs") {
            let skipped = [("end_time", now.as_str()), ("reason", "'overlap'"), ("skipped_behind", "4")];
            add("e-skipped", "job", "SKIPPED", &skipped);
        }
    }

    fn insert_notification(&self) {
        let notification = [
            ("guid", "'notification'"),
            ("space_guid", "'space-1'"),
            ("name", "'ops'"),
            ("url", "'https://hooks'"),
            ("format", "'standard'"),
            ("events", "'[\"failed\"]'"),
            ("job_guids", "'[]'"),
            ("call_guids", "'[]'"),
            ("label_selector", "''"),
            ("after_failures", "1"),
            ("enabled", "'1'"),
            ("created_at", "1"),
            ("updated_at", "2"),
        ];
        self.insert("notifications", &notification);
        let (job, of) = ("(SELECT id FROM executables WHERE guid = 'job')", "(SELECT id FROM notifications)");
        self.insert("streaks", &[("executable_id", job), ("failures", "3"), ("failing_since", "1")]);
        let told = [("notification_id", of), ("executable_id", job), ("data", "'{}'")];
        self.insert("alerts", &[&told[..], &[("event", "'failed'"), ("since", "1")]].concat());
        let delivery = [
            ("guid", "'delivery'"),
            ("event", "'failed'"),
            ("state", "'WAITING'"),
            ("created_at", "1"),
            ("due_at", "2"),
        ];
        self.insert("deliveries", &[&told[..], &delivery].concat());
    }

    fn insert_service(&self) {
        let of_service =
            [("service_id", "'service'"), ("plan_id", "'plan'"), ("parameters", "'{}'"), ("created_at", "1")];
        let instance = [
            ("id", "'instance'"),
            ("organization_guid", "'org'"),
            ("space_guid", "'space-1'"),
            ("context", "'{}'"),
            ("updated_at", "2"),
        ];
        self.insert("service_instances", &[&instance[..], &of_service].concat());
        for (id, app) in [("'binding'", "'app-1'"), ("'key'", "''")] {
            let binding = [
                ("id", id),
                ("instance_id", "'instance'"),
                ("app_guid", app),
                ("api_endpoint", "'https://s'"),
            ];
            self.insert("service_bindings", &[&binding[..], &of_service].concat());
        }
        for (space, is_suspended) in [("'space-1'", "'0'"), ("'space-2'", "'1'")] {
            self.insert("service_spaces", &[("space_guid", space), ("is_suspended", is_suspended)]);
        }
    }

    /// Each table's columns, in alphabetical order.
    fn tables(&self) -> BTreeMap<String, Vec<String>> {
        let query = if is_postgres() {
            "SELECT table_name, column_name FROM information_schema.columns
              WHERE table_schema = current_schema() AND table_name <> 'schema_version' ORDER BY 1, 2"
        } else {
            "SELECT m.name, c.name FROM sqlite_schema AS m JOIN pragma_table_xinfo(m.name) AS c
              WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' ORDER BY 1, 2"
        };
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in self.database.rows(query) {
            tables.entry(row[0].clone()).or_default().push(row[1].clone());
        }
        tables
    }

    fn rows_of(&self, table: &str, columns: &[String]) -> Vec<Vec<String>> {
        let columns = columns.join(", ");
        let mut rows = self.database.rows(&format!("SELECT {columns} FROM {table}"));
        rows.sort();
        rows
    }
}

#[test]
fn a_database_with_rows_is_brought_up_to_date_from_every_version() {
    let migrations = migrations();
    for version in 1..=migrations.len() {
        let old = Old::build(&migrations[..version]);
        let before: Vec<_> = old
            .tables()
            .into_iter()
            .map(|(table, columns)| (old.rows_of(&table, &columns), table, columns))
            .collect();
        for (rows, table, _) in &before {
            assert!(!rows.is_empty(), "version {version}: this test puts no rows into {table}");
        }

        let store = old.database.open().unwrap();
        for (rows, table, mut columns) in before {
            let mut rows = rows;
            if table == "executions" && !old.has("lanes_and_clocks") {
                settle_doubts(&mut rows, &mut columns);
                rows.sort();
            }
            assert_eq!(old.rows_of(&table, &columns), rows, "version {version}: {table} {columns:?}");
        }
        check_what_is_derived(&old.database, version);
        check_what_the_store_reads(&store, &old.database);
        check_that_work_goes_on(&store, &old.database);
    }
}

/// Applies what migration 2 of SQLite does to this column.
fn settle_doubts(rows: &mut [Vec<String>], columns: &mut [String]) {
    let index = columns.iter().position(|column| column == "unknown_since").unwrap();
    "doubt_until".clone_into(&mut columns[index]);
    for row in rows {
        if !row[index].is_empty() {
            row[index] = (row[index].parse::<i64>().unwrap() + DOUBT_TIME).to_string();
        }
    }
}

#[track_caller]
fn check_what_is_derived(database: &Database, version: usize) {
    for wrong in [
        "SELECT e.guid FROM executions AS e JOIN executables AS x ON x.id = e.executable_id
          WHERE e.kind <> x.kind",
        "SELECT e.guid FROM executions AS e JOIN executables AS x ON x.id = e.executable_id
          WHERE e.dispatch_time IS NOT NULL AND e.share <> x.share",
        "SELECT guid FROM executions WHERE state = 'PENDING' AND asked_at <> created_at",
        "SELECT guid FROM schedules WHERE planned_at <> updated_at",
        "SELECT guid FROM executables WHERE kind = 'call' AND share <> 'space-1 host:8080'",
        "SELECT guid FROM executables WHERE kind = 'job' AND share <> 'app-1 '",
        "SELECT x.guid FROM executables AS x
          WHERE COALESCE((SELECT SUM(size) FROM history_sizes
                           WHERE owner = 'executable' AND owner_id = x.id), 0)
                <> (SELECT COUNT(*) FROM executions WHERE executable_id = x.id)",
        "SELECT s.guid FROM schedules AS s
          WHERE COALESCE((SELECT SUM(size) FROM history_sizes
                           WHERE owner = 'schedule' AND owner_id = s.id), 0)
                <> (SELECT COUNT(*) FROM executions WHERE schedule_id = s.id)",
        "SELECT z.kind FROM (SELECT kind, space_guid, SUM(size) AS size FROM space_sizes GROUP BY 1, 2) AS z
          WHERE z.size <> (SELECT COUNT(*) FROM executables AS x
                            WHERE x.kind = z.kind AND x.space_guid = z.space_guid AND x.deleted_at IS NULL)",
    ] {
        assert_eq!(database.rows(wrong), Vec::<Vec<String>>::new(), "version {version}: {wrong}");
    }
    assert_eq!(database.number("SELECT COUNT(DISTINCT kind) FROM space_sizes"), 2, "version {version}");
}

#[track_caller]
fn check_what_the_store_reads(store: &Store, database: &Database) {
    let scope = Scope::Space(Guid::from("space-1"));
    for (kind, guid) in [(Kind::Job, "job"), (Kind::Call, "call")] {
        let counted = store.count_executables(kind, &scope.clone().into()).unwrap();
        let live = format!("SELECT COUNT(*) FROM executables WHERE deleted_at IS NULL AND kind = '{guid}'");
        assert_eq!(i64::try_from(counted.total).unwrap(), database.number(&live));
        let executable = store.executable(kind, guid).unwrap().unwrap();
        let Extent { total, .. } = store.count_executions(HistoryOf::Executable(executable.id)).unwrap();
        let window = Window { beyond: i64::MAX, last: i64::MAX, offset: 0, limit: 100 };
        let listed = store.list_executions(HistoryOf::Executable(executable.id), window).unwrap();
        assert_eq!(listed.rows.len() as u64, total);
        assert!(listed.rows.iter().any(|execution| execution.state == ExecutionState::Running));
        assert!(store.count_schedules(executable.id).unwrap().total > 0);
        assert!(store.executable(kind, &format!("{guid}-deleted")).unwrap().is_none());
    }
}

/// PENDING executions can be claimed and ended, schedules are due, and deleted objects can be purged.
#[track_caller]
fn check_that_work_goes_on(store: &Store, database: &Database) {
    let clock = ManualClock::new(Timestamp::from_nanos(NOW + 2 * DOUBT_TIME));
    let now = clock.now();
    store.renew_lease().unwrap();
    store.take_over("interrupted", now).unwrap();
    for kind in [Kind::Job, Kind::Call] {
        let pending = store.pending_executions(kind, now, 100, &[], None).unwrap().0;
        let wanted: Vec<_> = pending.iter().map(|it| (it.of.id, it.due_since, it.attempts.count)).collect();
        assert!(!wanted.is_empty());
        let mut claimed = store.claim_executions(&wanted).unwrap().ids;
        claimed.sort_unstable();
        let mut ids: Vec<_> = wanted.iter().map(|(id, ..)| *id).collect();
        ids.sort_unstable();
        assert_eq!(claimed, ids);
        assert_eq!(store.work_of(&ids).unwrap().len(), ids.len());
        for it in pending {
            let outcome =
                Outcome { state: EndState::Failed, message: "ended".to_owned(), reason: None, end_time: now };
            assert!(store.finish(&End { of: it.of, outcome }).unwrap(), "{}", it.guid);
        }
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM executions WHERE state = 'PENDING'"), 0);
    assert_eq!(store.next_fire_time().unwrap(), Some(Timestamp::from_nanos(NOW)));
    while store.purge_deleted(100).unwrap() > 0 {}
    assert_eq!(database.number("SELECT COUNT(*) FROM executables WHERE deleted_at IS NOT NULL"), 0);
}
