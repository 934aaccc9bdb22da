//! A server's database that is only read, as it was at one instant.

use super::connection::{Connection, Connector, Purpose, Refused};
use super::migrate;
use crate::model::Secret;
use crate::store::statement::{postgres_sql, values};
use crate::store::{StoreError, StoreSettings};

/// A database that is read in one transaction, which sees it as it was when that began.
pub(in crate::store) struct Source {
    connection: Connection,
    schema: String,
    names_schema: bool,
}

/// Which tables are in reach.
struct Tables {
    some_of_go: bool,
    all_of_go: bool,
    /// The column that OCF Scheduler 2.x added to its jobs.
    log_rate_of_go: bool,
    migrations_of_go: bool,
    own: bool,
}

impl Source {
    /// # Errors
    /// A text for people, when the server refuses or does not answer.
    pub(in crate::store) fn open(url: &Secret, settings: &StoreSettings) -> Result<Self, String> {
        let connector = Connector::new(url, settings, Purpose::Source)?;
        let connection =
            connector.connect().map_err(|(Refused::ForNow(cause) | Refused::ForGood(cause))| cause)?;
        let begun = connection
            .becomes_patient()
            .and_then(|()| connection.batch("SET TimeZone = 'UTC'"))
            .and_then(|()| connection.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
        begun.map_err(|err| err.to_string())?;
        let (schema, names_schema) = (connector.schema().to_owned(), connector.names_schema());
        Ok(Self { connection, schema, names_schema })
    }

    pub(in crate::store) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The same text for the same database and no other, and the schema of our own tables.
    pub(in crate::store) fn identity(&self) -> Result<(String, &str), StoreError> {
        let statement = postgres_sql!("schema_version/server");
        Ok((self.connection.value(statement, values! {})?, &self.schema))
    }

    /// Whether our own tables are there. From here on they are in reach.
    pub(in crate::store) fn has_own(&self) -> Result<bool, StoreError> {
        self.connection.batch(&format!("SET search_path = {}", self.schema))?;
        Ok(self.tables()?.own)
    }

    /// Whether the Go service's tables are there: in the schema that the URL names, else where the server
    /// looks by itself. From here on they are in reach.
    ///
    /// # Errors
    /// Also when some of them are missing.
    pub(in crate::store) fn has_go(&self) -> Result<bool, StoreError> {
        self.connection.batch(&format!("SET search_path = {}", self.schema))?;
        let mut tables = self.tables()?;
        if !self.names_schema || !tables.some_of_go {
            self.connection.batch("RESET search_path")?;
            tables = self.tables()?;
        }
        if tables.some_of_go && !tables.all_of_go {
            return Err(StoreError::Unavailable(
                "not all tables of a Go service are there (jobs, calls, schedules, executions)".to_owned(),
            ));
        }
        Ok(tables.all_of_go)
    }

    /// Whether our own tables are of this version.
    pub(in crate::store) fn is_current(&self) -> Result<bool, StoreError> {
        let version: i64 = self.connection.value(postgres_sql!("schema_version/get"), values! {})?;
        Ok(usize::try_from(version) == Ok(migrate::VERSION))
    }

    /// Whether the Go service's tables, which are in reach, were written by its version 2.
    pub(in crate::store) fn is_go_2(&self) -> Result<bool, StoreError> {
        let tables = self.tables()?;
        if tables.log_rate_of_go || !tables.migrations_of_go {
            return Ok(tables.log_rate_of_go);
        }
        let applied: i64 = self.connection.value(postgres_sql!("go/migration_of_2"), values! {})?;
        Ok(0 < applied)
    }

    fn tables(&self) -> Result<Tables, StoreError> {
        let there: Vec<String> = self.connection.column(postgres_sql!("go/tables"), values! {})?;
        let has = |table: &str| there.iter().any(|name| name == table);
        Ok(Tables {
            some_of_go: has("jobs") || has("calls"),
            all_of_go: has("jobs") && has("calls") && has("schedules") && has("executions"),
            log_rate_of_go: has("jobs.log_rate_in_bps"),
            migrations_of_go: has("gorp_migrations"),
            own: has("executables") && has("schema_version"),
        })
    }
}
