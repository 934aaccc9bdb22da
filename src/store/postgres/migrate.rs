//! Migrates a database. The files in `sql/migrations/postgres` are append-only and applied in order, each in
//! its own transaction; `schema_version` counts them. Processes that start together take turns.

use log::info;

use super::connection::{Connection, Refused};
use crate::base::crash;
use crate::model::{Dialect, Weekdays};
use crate::store::statement::{postgres_sql, sql, values};

macro_rules! migration {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations/postgres/", $name, ".sql"))
    };
}

const MIGRATIONS: &[&str] = &[
    migration!("0001_initial"),
    migration!("0002_request_ids"),
    migration!("0003_broker"),
    migration!("0004_run_fields"),
    migration!("0005_collation"),
    migration!("0006_shares_and_marks"),
    migration!("0007_log_rate"),
    migration!("0008_task_names"),
    migration!("0009_dialects"),
    migration!("0010_index_of_asked_at"),
    migration!("0011_schedule_fields"),
    migration!("0012_pauses"),
    migration!("0013_space_pauses"),
    migration!("0014_runs"),
    migration!("0015_notifications"),
    migration!("0016_audit_events"),
    migration!("0017_dashboard"),
    migration!("0018_schedule_keys"),
    migration!("0019_overdue"),
    migration!("0020_filters"),
    migration!("0021_completed_ahead"),
    migration!("0022_executions_to_cancel"),
    migration!("0023_sendable"),
];

/// The schema version of this program.
pub(super) const VERSION: usize = MIGRATIONS.len();

/// Applies missing migrations, and records the dialect of schedules that have none.
pub(super) fn migrate(connection: &Connection, schema: &str, weekdays: Weekdays) -> Result<(), Refused> {
    // An administrator may have created it already. If two processes create it at once, one of them fails and
    // retries.
    connection
        .batch_for_setup(&format!(
            "DO $$ BEGIN
                IF to_regnamespace('{schema}') IS NULL THEN CREATE SCHEMA {schema}; END IF;
                IF NOT has_schema_privilege('{schema}', 'USAGE') THEN
                    RAISE EXCEPTION 'permission denied for schema {schema}' USING ERRCODE = '42501';
                END IF;
             END $$"
        ))
        .map_err(|err| match err {
            Refused::ForGood(cause) => Refused::ForGood(format!(
                "{cause}; the tables are in their own schema, which somebody with that right can create \
                 beforehand: CREATE SCHEMA \
                 {schema} AUTHORIZATION the role of DATABASE_URL"
            )),
            other => other,
        })?;
    for _ in 0..=MIGRATIONS.len() {
        // The lock ("OCFs" in ASCII) lasts until the end of this transaction.
        connection.batch_for_setup(
            "BEGIN;
             SELECT pg_advisory_xact_lock(1329808499);
             CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL);
             INSERT INTO schema_version SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM schema_version);",
        )?;
        let version: u64 = connection
            .value(postgres_sql!("schema_version/get"), values! {})
            .map_err(|err| Refused::ForNow(err.to_string()))?;
        let applied = usize::try_from(version).unwrap_or(usize::MAX);
        if applied > MIGRATIONS.len() {
            return Err(Refused::ForGood(format!(
                "the database is from a newer version of this program (it has {version} migrations, this \
                 version \
                 knows {}); it was left as it is",
                MIGRATIONS.len()
            )));
        }
        let Some(migration) = MIGRATIONS.get(applied) else {
            let values = values! { "dialect": Dialect::Classic(weekdays).recorded() };
            connection
                .execute(sql!("schedules/record_dialect"), values)
                .map_err(|err| Refused::ForNow(err.to_string()))?;
            return connection.batch_for_setup("COMMIT");
        };
        connection.batch_for_setup(migration)?;
        crash::point("migration.applied");
        connection
            .batch_for_setup(&format!("UPDATE schema_version SET version = {}; COMMIT", applied + 1))?;
        info!(migration = applied + 1; "database brought up to date");
    }
    Ok(())
}
