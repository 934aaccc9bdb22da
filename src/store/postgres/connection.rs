//! One connection to the server, and the meaning of its errors.
//!
//! Invariant: every exchange with the server has a deadline. A connection that missed one, or was lost, is
//! not used again.

use std::cell::{Cell as Flag, RefCell};
use std::collections::HashMap;
use std::error::Error as _;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use log::debug;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Error, Statement as Planned};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::group::{Access, Answer, Outcome, Ticket};
use super::tls;
use super::wire::{cell_of, numbered, rows_json};
use crate::base::postgres_url::{Target, Trust, one_for_each_host};
use crate::model::{Guid, Secret};
use crate::store::statement::{Column, Named, Statement, Value, postgres_sql, value_of, values};
use crate::store::{StoreError, StoreSettings};

/// The limit for connecting, including TLS and login.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The same for each of several hosts, so that a dead host leaves time for the one that has taken over.
const CONNECT_TIMEOUT_OF_SEVERAL: Duration = Duration::from_secs(2);
/// The limit for an answer. The server's own statement time-out, below, comes first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The statement time-out and session settings of an import, whose statements may sort all rows.
const LONG_STATEMENT_TIMEOUT: Duration = Duration::from_secs(600);
const PATIENT_SESSION: &str = "
    SET statement_timeout = '590s';
    SET idle_in_transaction_session_timeout = '600s'";
/// A peer that acknowledges nothing for this long is gone.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);
/// The settings of each session, in one statement. A session that stalls in a transaction does not block
/// others for long; commits are on the disk, and each statement sees what was committed before it, whatever
/// the server's configuration. Plans are made once and kept. They prefer indexes: a plan made while the
/// tables were empty would otherwise scan them after they have grown.
pub(in crate::store) const SESSION: &str = "
    SELECT set_config(name, value, false)
      FROM (VALUES ('enable_seqscan', 'off'),
                   ('enable_bitmapscan', 'off'),
                   ('enable_hashjoin', 'off'),
                   ('enable_mergejoin', 'off'),
                   ('plan_cache_mode', 'force_generic_plan'),
                   ('jit', 'off'),
                   ('default_transaction_isolation', 'read committed'),
                   ('statement_timeout', '8s'),
                   ('lock_timeout', '5s'),
                   ('idle_in_transaction_session_timeout', '10s'),
                   ('synchronous_commit', 'on')) AS settings (name, value)
     WHERE name <> 'synchronous_commit' OR current_setting(name) = 'off'";

/// Why there is no connection, or there are no tables.
pub(super) enum Refused {
    /// A retry may succeed.
    ForNow(String),
    /// Something must be corrected first. A message for the operator.
    ForGood(String),
}

/// The purpose of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Reading and writing.
    Work,
    /// Reading only, perhaps from a replica.
    Source,
}

/// Opens connections.
pub(super) struct Connector {
    target: Target,
    /// One configuration for each host of the URL.
    hosts: Vec<Config>,
    /// The host of the last successful connection, which is tried first.
    last_good: AtomicUsize,
    tls: MakeRustlsConnect,
    purpose: Purpose,
}

impl Connector {
    /// The error says which setting is wrong.
    pub(super) fn new(url: &Secret, settings: &StoreSettings, purpose: Purpose) -> Result<Self, String> {
        let mut target = Target::of(url.reveal()).map_err(|fault| format!("DATABASE_URL {fault}"))?;
        let trust = if settings.skip_ssl_validation { Trust::Any } else { target.trust };
        let root = target.root_certificate.as_deref();
        let tls = tls::connector(trust, settings.ca_cert_file.as_deref(), root)?;
        target
            .config
            .application_name("ocf-scheduler")
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(TCP_TIMEOUT)
            .keepalives_idle(TCP_TIMEOUT)
            .target_session_attrs(match purpose {
                // After a failover the old server may still be up, and accept no writes.
                Purpose::Work => TargetSessionAttrs::ReadWrite,
                Purpose::Source => TargetSessionAttrs::Any,
            });
        let hosts = one_for_each_host(&target.config);
        Ok(Self { target, hosts, last_good: AtomicUsize::new(0), tls, purpose })
    }

    /// Connects to the first usable host, starting with the last good one. The error is that of the first
    /// host.
    pub(super) fn connect(&self) -> Result<Connection, Refused> {
        let first = self.last_good.load(Ordering::Relaxed);
        let mut refused = None;
        for offset in 0..self.hosts.len() {
            let index = (first + offset) % self.hosts.len();
            match self.connect_to(&self.hosts[index]) {
                Ok(connection) => {
                    self.last_good.store(index, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(err) => refused = refused.or(Some(err)),
            }
        }
        Err(refused.unwrap_or_else(|| Refused::ForGood("DATABASE_URL names no host".to_owned())))
    }

    fn connect_to(&self, host: &Config) -> Result<Connection, Refused> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build().map_err(|err| {
            Refused::ForNow(format!("the runtime of a connection cannot be created: {err}"))
        })?;
        let connecting = host.connect(self.tls.clone());
        let patience = if self.hosts.len() > 1 { CONNECT_TIMEOUT_OF_SEVERAL } else { CONNECT_TIMEOUT };
        // Inside the runtime, because a time-out needs it from its creation.
        let connected = runtime.block_on(async { timeout(patience, connecting).await });
        let (client, connection) = match connected {
            Ok(Ok(connected)) => connected,
            Ok(Err(err)) => return Err(refused(&err)),
            Err(_) => return Err(Refused::ForNow("PostgreSQL does not answer in time".to_owned())),
        };
        if self.purpose == Purpose::Work
            && let Some(encoding) = connection.parameter("server_encoding")
            && encoding != "UTF8"
        {
            return Err(Refused::ForGood(format!(
                "the encoding of the database is {encoding}, which cannot store every name; create one with \
                 CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            )));
        }
        // The runtime drives the connection whenever this thread waits. If the connection ends, the answers
        // fail to arrive.
        runtime.spawn(async move { drop(connection.await) });
        let connection = Connection {
            runtime,
            client,
            prepared: RefCell::default(),
            is_broken: Flag::new(false),
            is_committing: Flag::new(false),
            is_retry_safe: Flag::new(false),
            answer_timeout: Flag::new(ANSWER_TIMEOUT),
        };
        connection.batch_for_setup(&format!("{SESSION}; SET search_path = {}", self.target.schema))?;
        Ok(connection)
    }

    /// Refuses a pooler that gives each transaction another server session, such as PgBouncer with `pool_mode
    /// = transaction`: settings such as the schema, and prepared statements, belong to a session. Without a
    /// second connection this cannot be checked.
    pub(super) fn check_sessions(&self, connection: &Connection) -> Result<(), Refused> {
        let mark = Guid::random();
        connection.batch_for_setup(&format!("SET ocf_scheduler.session = '{mark}'"))?;
        let Ok(other) = self.connect() else { return Ok(()) };
        // Keeps its session, whatever the pooler does.
        let _ = other.batch("BEGIN");
        let seen: Vec<bool> = [&other, connection, connection, connection]
            .into_iter()
            .filter_map(|session| {
                let values = values! { "mark": &mark };
                session.value(postgres_sql!("database/has_mark"), values).ok()
            })
            .collect();
        let _ = other.batch("ROLLBACK");
        if seen == [false, true, true, true] {
            return Ok(());
        }
        Err(Refused::ForGood(
            "DATABASE_URL leads to a connection pooler that changes the server's session between \
             transactions, such as PgBouncer with pool_mode = transaction; name the server itself, or a pool \
             with \
             pool_mode = session"
                .to_owned(),
        ))
    }

    /// The schema of the tables.
    pub(super) fn schema(&self) -> &str {
        &self.target.schema
    }

    /// Whether the URL names the schema.
    pub(super) fn names_schema(&self) -> bool {
        self.target.names_schema
    }
}

/// The meaning of an error during the setup of a connection or its tables.
fn refused(error: &Error) -> Refused {
    let cause = described(error);
    let Some(code) = error.code() else {
        return if cause.contains("server does not support TLS") {
            Refused::ForGood(
                "PostgreSQL has no TLS; with sslmode=disable in DATABASE_URL the connection is not \
                 encrypted"
                    .to_owned(),
            )
        } else if cause.contains("certificate") {
            Refused::ForGood(format!(
                "the certificate of PostgreSQL cannot be verified ({cause}); name its authority's \
                 certificate in \
                 CA_CERT_FILE or sslrootcert, or set SKIP_SSL_VALIDATION=true to accept any"
            ))
        } else {
            Refused::ForNow(format!("PostgreSQL cannot be reached: {cause}"))
        };
    };
    let for_good = [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        SqlState::INVALID_CATALOG_NAME,
        SqlState::INSUFFICIENT_PRIVILEGE,
    ];
    if for_good.contains(code) {
        Refused::ForGood(format!("PostgreSQL refuses the connection: {cause}"))
    } else {
        Refused::ForNow(format!("PostgreSQL refuses for now: {cause}"))
    }
}

/// The message of an error and of its cause.
fn described(error: &Error) -> String {
    if let Some(refusal) = error.as_db_error() {
        // Without detail and hint, which may quote stored data.
        return format!("{} ({})", refusal.message(), refusal.code().code());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// A connection to the server.
pub(in crate::store) struct Connection {
    runtime: Runtime,
    client: Client,
    /// By the address of the statement's text, which is the program's own.
    prepared: RefCell<HashMap<usize, Arc<Prepared>>>,
    is_broken: Flag<bool>,
    /// A COMMIT is under way. If its answer is lost, the outcome is unknown.
    is_committing: Flag<bool>,
    /// The work was aborted and has changed nothing.
    is_retry_safe: Flag<bool>,
    /// The limit for an answer.
    answer_timeout: Flag<Duration>,
}

struct Prepared {
    statement: Planned,
    /// The names of the parameters, in order.
    names: Vec<&'static str>,
}

impl Connection {
    /// Called before a piece of work.
    pub(super) fn begin_work(&self) {
        self.is_committing.set(false);
        self.is_retry_safe.set(false);
    }

    /// Allows slow statements from here on.
    pub(super) fn allow_long_statements(&self) -> Result<(), StoreError> {
        self.answer_timeout.set(LONG_STATEMENT_TIMEOUT);
        self.batch(PATIENT_SESSION)
    }

    /// From here on a request whose answer is lost may have been committed.
    pub(super) fn begin_autocommit(&self) {
        self.is_committing.set(true);
    }

    /// Whether the work was aborted and certainly changed nothing.
    pub(super) fn is_retry_safe(&self) -> bool {
        self.is_retry_safe.get()
    }

    /// Whether the connection can be used again.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_broken.get() && !self.client.is_closed()
    }

    /// Asks the server whether it still answers.
    pub(super) fn answers(&self) -> bool {
        self.wait(self.client.check_connection()).is_ok()
    }

    pub(super) fn commit(&self) -> Result<(), StoreError> {
        self.is_committing.set(true);
        self.batch("COMMIT")
    }

    pub(super) fn batch(&self, text: &str) -> Result<(), StoreError> {
        self.wait(self.client.batch_execute(text))
    }

    /// The same during the setup of tables.
    pub(super) fn batch_for_setup(&self, text: &str) -> Result<(), Refused> {
        let exchange = async { timeout(ANSWER_TIMEOUT, self.client.batch_execute(text)).await };
        match self.runtime.block_on(exchange) {
            Ok(done) => done.map_err(|err| refused(&err)),
            Err(_) => Err(Refused::ForNow("PostgreSQL does not answer in time".to_owned())),
        }
    }

    pub(in crate::store) fn execute(
        &self,
        statement: &'static Statement,
        values: &[Named<'_>],
    ) -> Result<usize, StoreError> {
        if statement.is_batched() {
            return self.answer(statement, values).map(|answer| answer.changed);
        }
        let prepared = self.prepared(statement.postgres)?;
        let values = prepared.in_order(values)?;
        let rows = self.wait(self.client.execute(&prepared.statement, &as_parameters(&values)))?;
        Ok(usize::try_from(rows).unwrap_or(usize::MAX))
    }

    pub(in crate::store) fn execute_each(
        &self,
        statement: &'static Statement,
        sets: &[Vec<Named<'_>>],
    ) -> Result<Vec<usize>, StoreError> {
        if sets.is_empty() {
            return Ok(Vec::new());
        }
        if statement.is_batched() {
            let mut changed = vec![0; sets.len()];
            for row in self.rows_of_batch(statement, sets.iter().map(Vec::as_slice))? {
                *changed.get_mut(number_of(&row)?).ok_or_else(unexpected_number)? += 1;
            }
            return Ok(changed);
        }
        let prepared = self.prepared(statement.postgres)?;
        let sets: Vec<Vec<Value<'_>>> =
            sets.iter().map(|values| prepared.in_order(values)).collect::<Result<_, _>>()?;
        let parameters: Vec<Vec<&(dyn ToSql + Sync)>> =
            sets.iter().map(|values| as_parameters(values)).collect();
        // Send all before waiting for the first answer; the server handles them in order.
        let executions =
            parameters.iter().map(|parameters| self.client.execute(&prepared.statement, parameters));
        self.wait(async {
            let mut changed = Vec::with_capacity(sets.len());
            for rows in join_all(executions).await {
                changed.push(usize::try_from(rows?).unwrap_or(usize::MAX));
            }
            Ok(changed)
        })
    }

    /// Runs one statement and returns the whole answer.
    pub(super) fn answer(
        &self,
        statement: &'static Statement,
        values: &[Named<'_>],
    ) -> Result<Answer, StoreError> {
        if statement.is_batched() {
            return self.rows_of_batch(statement, std::iter::once(values)).map(Answer::of);
        }
        let mut rows = Vec::new();
        let changed = self.stream(statement, values, &mut |row| {
            rows.push(row);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Answer { rows, changed })
    }

    /// Runs the statement of a group once. If it fails and certainly changed nothing, each ticket runs alone.
    pub(super) fn run_group(
        &self,
        access: Access,
        group: &[Arc<Ticket>],
    ) -> Result<Vec<Outcome>, StoreError> {
        let Some(first) = group.first() else { return Ok(Vec::new()) };
        let alone = || group.iter().map(|_| Outcome::Alone).collect();
        match self.prepared(first.statement.postgres) {
            Err(_) if self.is_retry_safe() => return Ok(alone()),
            prepared => drop(prepared?),
        }
        if access == Access::Write {
            self.begin_autocommit();
        }
        let sets: Vec<Vec<Named<'_>>> = group.iter().map(|ticket| ticket.values()).collect();
        let rows = match self.rows_of_batch(first.statement, sets.iter().map(Vec::as_slice)) {
            Ok(rows) => rows,
            Err(err) if self.is_usable() || self.is_retry_safe() => {
                debug!(cause:% = err; "running the statement of a group separately for each thread");
                return Ok(alone());
            }
            Err(err) => return Err(err),
        };
        let mut answers: Vec<Answer> = group.iter().map(|_| Answer::default()).collect();
        for row in rows {
            let answer = answers.get_mut(number_of(&row)?).ok_or_else(unexpected_number)?;
            answer.changed += 1;
            answer.rows.push(row);
        }
        Ok(answers.into_iter().map(Outcome::Done).collect())
    }

    /// Runs a batched statement once for all of these sets of values.
    fn rows_of_batch<'a>(
        &self,
        statement: &'static Statement,
        sets: impl Iterator<Item = &'a [Named<'a>]>,
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let rows_json = rows_json(sets);
        let mut rows = Vec::new();
        self.stream(statement, values! { "rows": &rows_json }, &mut |row| {
            rows.push(row);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    pub(in crate::store) fn visit(
        &self,
        statement: &'static Statement,
        values: &[Named<'_>],
        visit: &mut dyn FnMut(&tokio_postgres::Row) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        if statement.is_batched() {
            for row in self.answer(statement, values)?.rows {
                if visit(&row)?.is_break() {
                    break;
                }
            }
            return Ok(());
        }
        self.stream(statement, values, &mut |row| visit(&row)).map(|_| ())
    }

    /// Runs a statement and passes on each row as it arrives. Returns the number of changed rows.
    fn stream(
        &self,
        statement: &'static Statement,
        values: &[Named<'_>],
        visit: &mut dyn FnMut(tokio_postgres::Row) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<usize, StoreError> {
        let prepared = self.prepared(statement.postgres)?;
        let values = prepared.in_order(values)?;
        self.wait(async {
            let rows = self.client.query_raw(&prepared.statement, as_parameters(&values)).await?;
            let mut rows = pin!(rows);
            let mut is_enough = false;
            while let Some(row) = rows.try_next().await? {
                if is_enough {
                    continue;
                }
                match visit(row) {
                    Ok(ControlFlow::Continue(())) => {}
                    // Read to the end anyway: only after the last row does the server say whether the
                    // statement succeeded and committed.
                    Ok(ControlFlow::Break(())) => is_enough = true,
                    Err(err) => return Ok(Err(err)),
                }
            }
            let changed = rows.rows_affected().unwrap_or_default();
            Ok(Ok(usize::try_from(changed).unwrap_or(usize::MAX)))
        })?
    }

    /// The values of a statement with one column.
    pub(in crate::store) fn column<T: Column>(
        &self,
        statement: &'static Statement,
        values: &[Named<'_>],
    ) -> Result<Vec<T>, StoreError> {
        let mut column = Vec::new();
        self.visit(statement, values, &mut |row| {
            let value = T::of(cell_of(row, 0)?);
            column.push(value.ok_or_else(|| StoreError::Bug("a column has an unexpected type".to_owned()))?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(column)
    }

    /// The value of a statement with one column and one row.
    pub(in crate::store) fn value<T: Column>(
        &self,
        statement: &'static Statement,
        values: &[Named<'_>],
    ) -> Result<T, StoreError> {
        let row = self.column(statement, values)?.pop();
        row.ok_or_else(|| StoreError::Bug("a statement returned no row".to_owned()))
    }

    fn prepared(&self, text: &'static str) -> Result<Arc<Prepared>, StoreError> {
        let key = text.as_ptr().addr();
        if let Some(prepared) = self.prepared.borrow().get(&key) {
            return Ok(Arc::clone(prepared));
        }
        let (numbered, names) = numbered(text);
        let statement = self.wait(self.client.prepare(&numbered))?;
        let prepared = Arc::new(Prepared { statement, names });
        self.prepared.borrow_mut().insert(key, Arc::clone(&prepared));
        Ok(prepared)
    }

    /// Waits for the server, and records what an error means for the connection.
    fn wait<T>(&self, exchange: impl Future<Output = Result<T, Error>>) -> Result<T, StoreError> {
        let answer_timeout = self.answer_timeout.get();
        match self.runtime.block_on(async { timeout(answer_timeout, exchange).await }) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(err)) => Err(self.fault(&err)),
            Err(_) => {
                self.is_broken.set(true);
                Err(StoreError::Unavailable("PostgreSQL does not answer in time".to_owned()))
            }
        }
    }

    fn fault(&self, error: &Error) -> StoreError {
        let cause = described(error);
        let Some(code) = error.code() else {
            let is_ours = error.to_string().contains("serializing parameter");
            if is_ours {
                return StoreError::Bug(cause);
            }
            // The connection is lost. If no COMMIT was sent, nothing was done.
            self.is_broken.set(true);
            self.is_retry_safe.set(!self.is_committing.get());
            return StoreError::Unavailable(cause);
        };
        let refused_whole = [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];
        let is_lost = [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::DATABASE_DROPPED,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            // The server was demoted.
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ];
        let class = code.code().get(..2).unwrap_or_default();
        if refused_whole.contains(code) {
            self.is_retry_safe.set(true);
            StoreError::Unavailable(cause)
        } else if is_lost.contains(code) || class == "08" {
            self.is_broken.set(true);
            self.is_retry_safe.set(!self.is_committing.get());
            StoreError::Unavailable(cause)
        } else if *code == SqlState::UNIQUE_VIOLATION {
            StoreError::Conflict
        } else if matches!(class, "53" | "55" | "57" | "58" | "XX") {
            // Full, locked, cancelled by a time-out, or a system error.
            StoreError::Unavailable(cause)
        } else {
            StoreError::Bug(cause)
        }
    }
}

impl Prepared {
    fn in_order<'a>(&self, values: &[Named<'a>]) -> Result<Vec<Value<'a>>, StoreError> {
        self.names.iter().map(|name| value_of(values, name)).collect()
    }
}

/// The number of the set of values to which a row of a batched statement belongs.
fn number_of(row: &tokio_postgres::Row) -> Result<usize, StoreError> {
    let number: i64 = row.try_get("n").map_err(|err| StoreError::Bug(format!("no number: {err}")))?;
    usize::try_from(number).map_err(|_| unexpected_number())
}

fn unexpected_number() -> StoreError {
    StoreError::Bug("a row belongs to no set of values".to_owned())
}

fn as_parameters<'a>(values: &'a [Value<'_>]) -> Vec<&'a (dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}
