//! A server's database, read-only, as it was at one instant.

use super::connection::{Connection, Connector, Purpose, Refused};
use super::migrate;
use crate::model::Secret;
use crate::store::statement::{postgres_sql, values};
use crate::store::{StoreError, StoreSettings};

/// Reads a database in one transaction, which sees it as it was at its start.
pub(in crate::store) struct Source {
    connection: Connection,
    schema: String,
    names_schema: bool,
}

/// Which tables are on the search path.
struct Tables {
    some_of_go: bool,
    all_of_go: bool,
    /// The column that OCF Scheduler 2.x added to its jobs exists.
    log_rate_of_go: bool,
    migrations_of_go: bool,
    own: bool,
}

impl Source {
    /// # Errors
    /// A message for the operator: the server refuses or does not answer.
    pub(in crate::store) fn open(url: &Secret, settings: &StoreSettings) -> Result<Self, String> {
        let connector = Connector::new(url, settings, Purpose::Source)?;
        let connection =
            connector.connect().map_err(|(Refused::ForNow(cause) | Refused::ForGood(cause))| cause)?;
        let begun = connection
            .allow_long_statements()
            .and_then(|()| connection.batch("SET TimeZone = 'UTC'"))
            .and_then(|()| connection.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
        begun.map_err(|err| err.to_string())?;
        let (schema, names_schema) = (connector.schema().to_owned(), connector.names_schema());
        Ok(Self { connection, schema, names_schema })
    }

    pub(in crate::store) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// An identifier of the database, unique and independent of the host name, and the schema of our own
    /// tables.
    pub(in crate::store) fn identity(&self) -> Result<(String, &str), StoreError> {
        let statement = postgres_sql!("schema_version/server");
        Ok((self.connection.value(statement, values! {})?, &self.schema))
    }

    /// Whether our own tables exist. Puts them on the search path.
    pub(in crate::store) fn has_own(&self) -> Result<bool, StoreError> {
        self.connection.batch(&format!("SET search_path = {}", self.schema))?;
        Ok(self.tables()?.own)
    }

    /// Whether the Go service's tables exist: in the schema that the URL names, otherwise on the server's
    /// search path. Puts them on the search path.
    ///
    /// # Errors
    /// Also if some of the tables are missing.
    pub(in crate::store) fn has_go(&self) -> Result<bool, StoreError> {
        self.connection.batch(&format!("SET search_path = {}", self.schema))?;
        let mut tables = self.tables()?;
        if !self.names_schema || !tables.some_of_go {
            self.connection.batch("RESET search_path")?;
            tables = self.tables()?;
        }
        if tables.some_of_go && !tables.all_of_go {
            return Err(StoreError::Unavailable(
                "some tables of a Go service are missing (of jobs, calls, schedules, executions)".to_owned(),
            ));
        }
        Ok(tables.all_of_go)
    }

    /// Whether our own tables have this version's schema.
    pub(in crate::store) fn is_current(&self) -> Result<bool, StoreError> {
        let version: i64 = self.connection.value(postgres_sql!("schema_version/get"), values! {})?;
        Ok(usize::try_from(version) == Ok(migrate::VERSION))
    }

    /// Whether version 2 of the Go service wrote its tables, which are on the search path.
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
