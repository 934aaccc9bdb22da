//! The database of a test: a file in its directory, or with `TEST_DATABASE_URL=postgres://…` its own schema
//! on that server.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use ocf_scheduler::base::clock::SystemClock;
use ocf_scheduler::model::{Location, Secret, Weekdays};
use ocf_scheduler::store::{Store, StoreSettings};
use postgres::error::SqlState;
use postgres::{NoTls, SimpleQueryMessage};

/// The database of a directory, which need not exist yet.
pub(crate) struct Database {
    /// As in `DATABASE_URL`.
    pub(crate) url: String,
}

/// The server that the tests were compiled for, by which `#[needs::postgres]` decided. `option_env!` makes
/// cargo recompile the tests when it changes.
const SERVER_AT_COMPILE_TIME: Option<&str> = option_env!("TEST_DATABASE_URL");

/// The server that the tests use; `None` for files.
fn server() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "it says what is tested")]
    let server = std::env::var("TEST_DATABASE_URL").ok().filter(|url| !url.is_empty());
    let compiled_for = SERVER_AT_COMPILE_TIME.filter(|url| !url.is_empty());
    assert_eq!(
        server.is_some(),
        compiled_for.is_some(),
        "TEST_DATABASE_URL has changed; run the tests through cargo"
    );
    server
}

/// Whether the tests run on PostgreSQL. A test that needs one of the two says so with `#[needs::postgres]` or
/// `#[needs::sqlite]`.
pub(crate) fn is_postgres() -> bool {
    server().is_some()
}

impl Database {
    /// The database of the file `name` in `directory`, or its equivalent on the server.
    pub(crate) fn of(directory: &Path, name: &str) -> Self {
        let path = directory.join(name);
        let Some(server) = server() else { return Self { url: path.to_str().unwrap().to_owned() } };
        let escaped: String = path.to_str().unwrap().bytes().map(|byte| format!("{byte:02x}")).collect();
        // The end of a path distinguishes tests.
        let schema = format!("test_{}", &escaped[escaped.len().saturating_sub(50)..]);
        let joint = if server.contains('?') { '&' } else { '?' };
        Self { url: format!("{server}{joint}schema={schema}") }
    }

    /// The database of a URL or path.
    pub(crate) fn at(url: &str) -> Self {
        Self { url: url.to_owned() }
    }

    fn is_on_server(&self) -> bool {
        self.url.starts_with("postgres")
    }

    pub(crate) fn settings(&self) -> StoreSettings {
        let database = if self.is_on_server() {
            Location::Postgres(Secret::from(self.url.clone()))
        } else {
            Location::Sqlite(self.url.clone().into())
        };
        StoreSettings {
            database,
            connections: 8,
            ca_cert_file: None,
            skip_ssl_validation: false,
            instance_id: None,
            weekdays: Weekdays::default(),
        }
    }

    /// Opens it in this process, with the system clock.
    pub(crate) fn open(&self) -> Result<Store, String> {
        Store::open(&self.settings(), Arc::new(SystemClock::default()))
    }

    /// All rows of a query, each column as text; `NULL` is empty.
    pub(crate) fn rows(&self, query: &str) -> Vec<Vec<String>> {
        if self.is_on_server() {
            let messages = self.client().simple_query(query).unwrap();
            let rows = messages.iter().filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(
                    (0..row.len()).map(|column| row.get(column).unwrap_or_default().to_owned()).collect(),
                ),
                _ => None,
            });
            return rows.collect();
        }
        let database = self.file();
        let mut statement = database.prepare(query).unwrap();
        let columns = statement.column_count();
        let rows = statement
            .query_map([], |row| {
                (0..columns)
                    .map(|column| {
                        Ok(match row.get(column)? {
                            rusqlite::types::Value::Null => String::new(),
                            rusqlite::types::Value::Integer(number) => number.to_string(),
                            rusqlite::types::Value::Text(text) => text,
                            other => panic!("{other:?}"),
                        })
                    })
                    .collect()
            })
            .unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// The number that a query returns.
    pub(crate) fn number(&self, query: &str) -> i64 {
        self.rows(query)[0][0].parse().unwrap()
    }

    /// Changes something without the service's knowledge. Statements that deadlock with the service's are
    /// repeated.
    pub(crate) fn execute(&self, statement: &str) {
        if self.is_on_server() {
            let mut client = self.client();
            while let Err(err) = client.batch_execute(statement) {
                assert_eq!(err.code(), Some(&SqlState::T_R_DEADLOCK_DETECTED), "{err:?}");
            }
        } else {
            self.file().execute_batch(statement).unwrap();
        }
    }

    /// Keeps others from changing executions until it is dropped.
    pub(crate) fn lock_executions(&self) -> Box<dyn Any> {
        if self.is_on_server() {
            let mut client = self.client();
            client.batch_execute("BEGIN; LOCK TABLE executions IN EXCLUSIVE MODE").unwrap();
            return Box::new(client);
        }
        let file = self.file();
        file.execute_batch("BEGIN IMMEDIATE").unwrap();
        Box::new(file)
    }

    fn file(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(&self.url).unwrap()
    }

    /// A separate connection.
    pub(crate) fn client(&self) -> postgres::Client {
        let (server, schema) = self.url.split_once("schema=").unwrap();
        let mut client = postgres::Client::connect(server.trim_end_matches(['?', '&']), NoTls).unwrap();
        client.batch_execute(&format!("SET search_path = {schema}")).unwrap();
        client
    }
}
