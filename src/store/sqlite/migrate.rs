//! Migrates a database. The files in `sql/migrations/sqlite` are append-only and applied in order, each in
//! its own transaction; `user_version` counts them.

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::statements;
use crate::base::crash;
use crate::model::{Dialect, Weekdays};
use crate::store::StoreError;
use crate::store::statement::{sql, values};

macro_rules! migration {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/sqlite/", $name, ".sql"))
    };
}

const MIGRATIONS: &[&str] = &[
    migration!("0001_initial"),
    migration!("0002_lanes_and_clocks"),
    migration!("0003_history_sizes"),
    migration!("0004_space_sizes"),
    migration!("0005_request_ids"),
    migration!("0006_broker"),
    migration!("0007_run_fields"),
    migration!("0008_shares_and_marks"),
    migration!("0009_log_rate"),
    migration!("0010_task_names"),
    migration!("0011_dialects"),
    migration!("0012_schedule_fields"),
    migration!("0013_pauses"),
    migration!("0014_space_pauses"),
    migration!("0015_runs"),
    migration!("0016_notifications"),
    migration!("0017_audit_events"),
    migration!("0018_dashboard"),
    migration!("0019_schedule_keys"),
    migration!("0020_overdue"),
    migration!("0021_filters"),
    migration!("0022_completed_ahead"),
    migration!("0023_sendable"),
];

/// Marks a file as a database of this program ("OCFs" in ASCII), so that other files are not touched.
const APPLICATION_ID: i64 = 0x4f43_4673;

/// Applies missing migrations and returns their number.
///
/// The error continues the sentence "the file …". A file that is not ours, or is from a newer version, is
/// left unchanged.
pub(super) fn migrate(connection: &mut Connection) -> Result<usize, String> {
    let version = number(connection, "PRAGMA user_version")?;
    let application = number(connection, "PRAGMA application_id")?;
    let tables = number(connection, "SELECT COUNT(*) FROM sqlite_schema")?;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err("is a database of another program; it was left as it is".to_owned());
    }
    let applied = usize::try_from(version).unwrap_or(usize::MAX);
    if applied > MIGRATIONS.len() {
        return Err(format!(
            "is from a newer version of this program (it has {version} migrations, this version knows {}); \
             it was left as it is",
            MIGRATIONS.len()
        ));
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(applied) {
        apply(connection, migration, index + 1)
            .map_err(|err| format!("could not be brought up to date (migration {}): {err}", index + 1))?;
    }
    Ok(MIGRATIONS.len() - applied)
}

/// Records the dialect of schedules that have none.
pub(super) fn record_dialect(connection: &Connection, weekdays: Weekdays) -> Result<(), StoreError> {
    let values = values! { "dialect": Dialect::Classic(weekdays).recorded() };
    statements::execute(connection, sql!("schedules/record_dialect"), values)?;
    Ok(())
}

/// Checks that it is a database of this program and version. The error continues "the file …".
pub(super) fn check_is_current(connection: &Connection) -> Result<(), String> {
    check_is_ours(connection)?;
    match usize::try_from(number(connection, "PRAGMA user_version")?) {
        Ok(version) if version == MIGRATIONS.len() => Ok(()),
        Ok(version) if version < MIGRATIONS.len() => Err(
            "is from an older version of this program; start this version on it once, or on a backup of it"
                .to_owned(),
        ),
        _ => Err("is from a newer version of this program".to_owned()),
    }
}

/// Checks that it is a database of this program, of any version. The error continues "the file …".
pub(super) fn check_is_ours(connection: &Connection) -> Result<(), String> {
    if number(connection, "PRAGMA application_id")? == APPLICATION_ID {
        return Ok(());
    }
    Err("is not a database of this program".to_owned())
}

fn number(connection: &Connection, query: &str) -> Result<i64, String> {
    connection.query_row(query, [], |row| row.get(0)).map_err(|err| describe(&err))
}

fn apply(connection: &mut Connection, migration: &str, version: usize) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    transaction.execute_batch(migration)?;
    crash::point("migration.applied");
    transaction.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID};"))?;
    write_version(&transaction, version)?;
    transaction.commit()
}

fn write_version(connection: &Connection, version: usize) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("PRAGMA user_version = {version};"))
}

/// Writes the version again, which changes nothing but proves that writing works.
pub(super) fn rewrite_version(connection: &Connection) -> rusqlite::Result<()> {
    write_version(connection, MIGRATIONS.len())
}

fn describe(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => "is not an SQLite database; it was left as it is".to_owned(),
        Some(ErrorCode::DatabaseCorrupt) => format!("is damaged: {error}; restore a backup of it"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "is locked by another process; stop that process, or wait for it".to_owned()
        }
        _ => format!("cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    /// The statements that SQLite runs, by name and text.
    fn statements() -> Vec<(String, String)> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/sql");
        let directories = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
        let files = directories
            .filter(|directory| !directory.ends_with("migrations"))
            .flat_map(|directory| std::fs::read_dir(directory).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|file| !file.to_str().unwrap().ends_with(".postgres.sql"));
        files
            .map(|file| {
                let name = file.strip_prefix(root).unwrap().to_str().unwrap();
                let name = name.split('.').next().unwrap().to_owned();
                (name, std::fs::read_to_string(&file).unwrap())
            })
            .collect()
    }

    #[test]
    fn every_statement_prepares_against_a_migrated_database() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        super::super::prepare_connection(&connection).unwrap();
        let statements = statements();
        assert!(statements.len() > 80);
        for (name, text) in statements {
            connection.prepare(&text).unwrap_or_else(|err| panic!("{name}: {err}"));
        }
    }

    /// Preparing a statement costs more than running it.
    #[test]
    fn another_value_does_not_make_sqlite_prepare_a_statement_again() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        super::super::prepare_connection(&connection).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        for (name, text) in statements() {
            let mut statement = connection.prepare(&text).unwrap();
            for value in [1, 2] {
                for parameter in 1..=statement.parameter_count() {
                    statement.raw_bind_parameter(parameter, value).unwrap();
                }
                // Some statements reject these values, which does not matter here.
                let _ = statement.raw_query().next();
            }
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{name}");
        }
    }

    #[test]
    fn hot_statements_search_an_index_and_sort_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        super::super::prepare_connection(&connection).unwrap();
        for (statement, index) in [
            ("executables/get", "sqlite_autoindex_executables_1"),
            ("executables/list_in_space", "executables_by_space"),
            ("executables/count_in_space", "executables_by_space"),
            ("executables/list_all", "executables_by_kind"),
            ("schedules/get", "sqlite_autoindex_schedules_1"),
            ("schedules/list", "schedules_by_executable"),
            ("schedules/by_key", "schedules_by_key"),
            ("executables/by_name", "executables_by_name"),
            ("schedules/due", "schedules_due"),
            ("schedules/next_fire_time", "schedules_due"),
            ("executions/list_of_executable", "executions_by_executable"),
            ("executions/list_of_schedule", "executions_by_schedule"),
            ("executions/find_of_executable", "executions_by_executable"),
            ("executions/find", "INTEGER PRIMARY KEY"),
            ("executions/count_unfinished", "executions_pending"),
            ("executions/count_unfinished", "executions_running"),
            ("executions/count_created", "executions_by_creation"),
            ("executions/count_ended", "executions_ended"),
            ("executables/ids_in_spaces", "executables_by_space"),
            ("executions/by_guid", "sqlite_autoindex_executions_1"),
            ("executions/unblock", "executions_to_dispatch"),
            ("executions/unblock", "executions_under_way"),
            ("executions/request_cancel_of_executable", "executions_under_way"),
            ("executions/skipped_behind", "executions_skipped"),
            ("schedules/upcoming", "schedules_due"),
            ("executions/pending", "executions_to_dispatch"),
            ("executions/pending_asked_after", "executions_by_asked_at"),
            ("executions/shares", "executions_by_share"),
            ("executions/pending_of_shares", "executions_by_share"),
            ("schedules/planned_ahead", "schedules_by_planned_at"),
            ("executions/next_dispatch_time", "executions_to_dispatch"),
            ("executions/running_tasks", "executions_running"),
            ("executions/calls_in_flight", "executions_running"),
            ("executions/pending_of_schedule", "executions_pending"),
            ("executions/pending_of_executable", "executions_pending"),
            ("executions/purge_ended", "executions_ended"),
            ("executables/first_deleted", "executables_deleted"),
            ("service_instances/any_in_space", "service_instances_by_space"),
            ("service_spaces/silence_schedules", "schedules_by_executable"),
            ("service_spaces/pending_executions", "executions_pending"),
            ("service_spaces/silent_schedules", "executables_by_space"),
            ("notifications/is_work_due", "deliveries_due"),
            ("notifications/is_work_due", "notifications_repeating"),
            ("notifications/is_work_due", "alerts_to_remind_of"),
            ("notifications/is_work_due", "streaks_due"),
            ("streaks/overdue", "streaks_due"),
            ("streaks/list_overdue", "streaks_due"),
            ("streaks/list_overdue", "streaks_overdue"),
            ("alerts/to_remind_of", "alerts_to_remind_of"),
            ("deliveries/supersede", "deliveries_waiting"),
            ("deliveries/supersede_untried", "deliveries_waiting"),
            ("deliveries/list", "deliveries_by_notification"),
            ("deliveries/purge_ended", "deliveries_ended"),
        ] {
            let plan = plan_of(&connection, statement);
            assert!(plan.iter().any(|step| step.contains(index)), "{statement}\n{plan:?}");
            assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{statement}\n{plan:?}");
        }
    }

    #[test]
    fn schedules_of_paused_spaces_are_found_from_the_pauses() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        super::super::prepare_connection(&connection).unwrap();
        let plan = plan_of(&connection, "schedules/resuming");
        assert_eq!(plan[0], "SCAN p");
        for index in ["executables_by_space", "schedules_by_executable"] {
            assert!(plan.iter().any(|step| step.contains(index)), "{plan:?}");
        }
    }

    fn plan_of(connection: &Connection, statement: &str) -> Vec<String> {
        let statements = statements();
        let (_, text) = statements.iter().find(|(name, _)| name == statement).unwrap();
        connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap().raw_query_plan()
    }

    /// These sort a set whose size is bounded beforehand.
    #[test]
    fn searches_read_only_what_an_index_has() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        super::super::prepare_connection(&connection).unwrap();
        for (statement, indexes) in [
            ("find_among", &["INTEGER PRIMARY KEY"][..]),
            ("ids_unsuccessful", &["executions_pending", "executions_running", "executions_unsuccessful"]),
            ("ids_of_executables", &["executions_by_executable", "INTEGER PRIMARY KEY"]),
            ("ids_of_schedules", &["executions_by_schedule", "INTEGER PRIMARY KEY"]),
            ("ids_created", &["executions_by_creation"]),
            ("ids_ended", &["executions_ended", "executions_pending"]),
        ] {
            let plan = plan_of(&connection, &format!("executions/{statement}"));
            let reads = plan.iter().filter(|step| step.contains("executions") || step.contains(" e "));
            for step in reads {
                assert!(indexes.iter().any(|index| step.contains(index)), "{statement}\n{plan:?}");
            }
        }
    }

    trait QueryPlan {
        fn raw_query_plan(&mut self) -> Vec<String>;
    }

    impl QueryPlan for rusqlite::Statement<'_> {
        fn raw_query_plan(&mut self) -> Vec<String> {
            // Unbound parameters are NULL, which is fine for EXPLAIN.
            let mut rows = self.raw_query();
            let mut plan = Vec::new();
            while let Some(row) = rows.next().unwrap() {
                plan.push(row.get(3).unwrap());
            }
            plan
        }
    }

    #[test]
    fn a_database_of_a_newer_version_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection.execute_batch("PRAGMA user_version = 999").unwrap();
        assert!(migrate(&mut connection).unwrap_err().contains("newer version"));
    }

    #[test]
    fn a_database_of_another_program_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE customers (id INTEGER)").unwrap();
        assert!(migrate(&mut connection).unwrap_err().contains("another program"));
    }
}
