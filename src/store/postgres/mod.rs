//! The PostgreSQL engine: a server that several processes share.
//!
//! Invariant: every answered write is committed; a write that failed before its COMMIT was sent has changed
//! nothing. Every wait has a time-out: for a connection, a statement, a place in the pool. A server that is
//! down is retried with back-off; until then every request fails at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::debug;

use super::portion::Portion;
use super::statement::{Named, Statement, postgres_sql, values};
use super::{ImportMode, Outlook, StoreError, StoreSettings, lock};
use crate::base::clock::Clock;
use crate::base::{crash, outage};
use crate::model::{Fence, Secret, Timestamp, Weekdays};

mod connection;
mod group;
mod migrate;
mod queue;
mod source;
mod tls;
mod wire;

pub(super) use connection::{Connection, SESSION};
use connection::{Connector, Purpose, Refused};
pub(super) use group::{Access, Answer};
use group::{Groups, Outcome, Ticket};
use queue::QueueStart;
pub(super) use source::Source;
pub(super) use wire::{cell_of, encoded, numbered};

/// How long a thread waits for a free connection.
const SEAT_WAIT_MAX: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is tested before use.
const IDLE_TRUSTED: Duration = Duration::from_secs(1);
/// The first delay before a server that is down is tried again; it doubles each time.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How often work is attempted if the server aborts it or its connection is lost.
const TRIES: u32 = 4;
/// The start of a long write. Its statements are planned while the tables are small, and the tables grow
/// meanwhile; plans by index stay fast.
const LONG_WRITE: &str = "
    BEGIN;
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off";
/// How long a lease holds after it was renewed.
pub(super) const LEASE: Duration = Duration::from_secs(15);

/// What the last renewal of the lease saw is not gone by for longer; by then there were two others.
const OUTLOOK_AGE_MAX: Duration = Duration::from_secs(10);

/// A database on a server, and the pool of connections to it.
pub(super) struct DatabaseServer {
    connector: Connector,
    clock: Arc<dyn Clock>,
    connections_max: usize,
    weekdays: Weekdays,
    pool: Mutex<Pool>,
    /// What the threads of each [`Use`] wait on: a free seat wakes one of each, not all of them.
    freed: [Condvar; 3],
    groups: Groups,
    /// Whether the tables exist in the version of this program.
    is_migrated: Mutex<bool>,
    /// Set while the server is down.
    outage: Mutex<Option<Outage>>,
    lease: Mutex<Option<Lease>>,
    outlook: Mutex<Option<Outlook>>,
    queue: Mutex<QueueStart>,
    /// The portion of this instance, as the last look saw it.
    portion: Mutex<Portion>,
    /// Ends of executions were told.
    has_told: AtomicBool,
    /// Something was written, by others than the keeper of the lease.
    has_written: AtomicBool,
    /// `INSTANCE_ID`.
    instance_id: Option<String>,
}

#[derive(Default)]
struct Pool {
    /// Each with the monotonic time of its return.
    idle: Vec<(Connection, Duration)>,
    at_work: usize,
    /// How many of the connections in use read for clients.
    reading: usize,
}

struct Outage {
    cause: String,
    delay: Duration,
    /// In monotonic time.
    try_again_at: Duration,
}

struct Lease {
    fence: Fence,
    /// In this process's monotonic time, counted from before the request was sent.
    holds_until: Duration,
}

/// The user of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Reads for clients.
    Client,
    /// Writes and the engine.
    Engine,
    /// Renewal of the lease, which must not end because all other connections are busy.
    Lease,
}

impl DatabaseServer {
    /// Migrates the database if the server is up; otherwise the first successful connection does.
    pub(super) fn open(
        url: &Secret,
        settings: &StoreSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let database = Self {
            connector: Connector::new(url, settings, Purpose::Work)?,
            clock,
            connections_max: settings.connections.max(2),
            weekdays: settings.weekdays,
            pool: Mutex::default(),
            freed: Default::default(),
            groups: Groups::default(),
            is_migrated: Mutex::new(false),
            outage: Mutex::new(None),
            lease: Mutex::new(None),
            outlook: Mutex::new(None),
            queue: Mutex::default(),
            portion: Mutex::new(Portion::NONE),
            has_told: AtomicBool::new(false),
            has_written: AtomicBool::new(false),
            instance_id: settings.instance_id.clone(),
        };
        match database.connect() {
            Ok(connection) => {
                lock(&database.pool).idle.push((connection, database.clock.monotonic()));
            }
            Err(Refused::ForGood(cause)) => return Err(cause),
            Err(Refused::ForNow(cause)) => {
                outage::DATABASE.failed(&cause);
                database.note_outage(cause);
            }
        }
        Ok(database)
    }

    pub(super) fn check_writable(&self) -> Result<(), StoreError> {
        self.write_one(|tx| tx.execute(postgres_sql!("schema_version/rewrite"), values! {}).map(|_| ()))
    }

    /// The number of the current lease.
    pub(super) fn fence(&self) -> Result<Fence, StoreError> {
        match &*lock(&self.lease) {
            Some(lease) if self.clock.monotonic() < lease.holds_until => Ok(lease.fence),
            _ => Err(StoreError::Unavailable("this process has no lease now".to_owned())),
        }
    }

    /// The monotonic time, in which leases are counted.
    pub(super) fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Records that the lease `fence` was renewed or begun by a request sent at the monotonic time
    /// `asked_at`.
    pub(super) fn note_lease(&self, fence: Fence, asked_at: Duration) {
        *lock(&self.lease) = Some(Lease { fence, holds_until: asked_at + LEASE });
    }

    /// The number of the last lease, even if it has ended.
    pub(super) fn last_fence(&self) -> Option<Fence> {
        lock(&self.lease).as_ref().map(|lease| lease.fence)
    }

    pub(super) fn instance_id(&self) -> Option<&str> {
        self.instance_id.as_deref()
    }

    pub(super) fn forget_lease(&self) {
        *lock(&self.lease) = None;
    }

    pub(super) fn note_outlook(&self, outlook: Outlook) {
        *lock(&self.outlook) = Some(outlook);
    }

    pub(super) fn outlook(&self) -> Option<Outlook> {
        let is_recent = |it: &Outlook| self.clock.monotonic() < it.asked_at + OUTLOOK_AGE_MAX;
        lock(&self.outlook).filter(is_recent).filter(|_| self.fence().is_ok())
    }

    /// The wall clock, which follows the server's.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Nothing is due before this time, so nobody needs to look before it.
    pub(super) fn queue_since(&self, now: Timestamp) -> Timestamp {
        lock(&self.queue).since(now, self.clock.monotonic())
    }

    /// Records what a look at `now`, from `since` on, found to be due first. It was sent at the monotonic
    /// time `asked_at`.
    pub(super) fn note_queue(
        &self,
        since: Timestamp,
        earliest: Option<Timestamp>,
        now: Timestamp,
        asked_at: Duration,
    ) {
        lock(&self.queue).note(since, earliest, now, (asked_at, self.clock.monotonic()));
    }

    /// Records the portion of this instance, as the last look saw it.
    pub(super) fn note_portion(&self, portion: Portion) {
        *lock(&self.portion) = portion;
    }

    pub(super) fn portion(&self) -> Portion {
        *lock(&self.portion)
    }

    pub(super) fn note_told(&self) {
        self.has_told.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_told(&self) -> bool {
        self.has_told.swap(false, Ordering::SeqCst)
    }

    pub(super) fn has_written(&self) -> bool {
        self.has_written.swap(false, Ordering::SeqCst)
    }

    /// Analyzes tables that have grown much. The server does this by itself, but at most once a minute; until
    /// then it uses plans made while the tables were empty.
    pub(super) fn refresh_statistics(&self) -> Result<(), StoreError> {
        self.attempt(Use::Engine, |connection| {
            let grown: Vec<String> = connection.column(postgres_sql!("database/grown"), values! {})?;
            grown.iter().try_for_each(|table| connection.batch(&format!("ANALYZE {table}")))
        })
    }

    pub(super) fn write<T>(
        &self,
        work: impl Fn(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.has_written.store(true, Ordering::Relaxed);
        self.attempt(Use::Engine, |connection| {
            connection.batch("BEGIN")?;
            match work(connection) {
                Ok(value) => {
                    crash::point("write.committing");
                    connection.commit()?;
                    crash::point("write.committed");
                    Ok(value)
                }
                Err(err) => {
                    // If its ROLLBACK fails, the connection is not used again.
                    let _ = connection.batch("ROLLBACK");
                    Err(err)
                }
            }
        })
    }

    /// Runs `work` once, in a transaction of any length, on a separate connection.
    pub(super) fn write_long<T>(
        &self,
        mode: ImportMode,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = self
            .connect()
            .map_err(|(Refused::ForNow(cause) | Refused::ForGood(cause))| StoreError::Unavailable(cause))?;
        connection.allow_long_statements()?;
        connection.batch(LONG_WRITE)?;
        // If anything fails, the connection is dropped, which rolls back.
        let value = work(&connection)?;
        crash::point("import.ending");
        match mode {
            ImportMode::Commit => connection.commit()?,
            ImportMode::DryRun => connection.batch("ROLLBACK")?,
        }
        Ok(value)
    }

    /// The server's unique name for the database.
    pub(super) fn identity(&self) -> Result<String, StoreError> {
        self.read_at_once(|connection| connection.value(postgres_sql!("schema_version/server"), values! {}))
    }

    /// The schema of the tables.
    pub(super) fn schema(&self) -> &str {
        self.connector.schema()
    }

    /// Runs one statement, which the server commits by itself.
    pub(super) fn write_one<T>(
        &self,
        work: impl Fn(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.has_written.store(true, Ordering::Relaxed);
        self.write_one_for(Use::Engine, work)
    }

    /// The same for the lease, for which one connection is reserved.
    pub(super) fn write_lease<T>(
        &self,
        work: impl Fn(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.write_one_for(Use::Lease, work)
    }

    fn write_one_for<T>(
        &self,
        purpose: Use,
        work: impl Fn(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.attempt(purpose, |connection| {
            crash::point("write.committing");
            // If the answer is lost, the outcome is unknown.
            connection.begin_autocommit();
            let value = work(connection)?;
            crash::point("write.committed");
            Ok(value)
        })
    }

    /// Runs a batched statement, which is a transaction by itself, together with those of other threads.
    pub(super) fn run_in_group(
        &self,
        access: Access,
        statement: &'static Statement,
        values: &[Named<'_>],
    ) -> Result<Answer, StoreError> {
        if !statement.is_batched() {
            return self.run_alone(access, statement, values);
        }
        match self.groups.run(statement, values, |group| self.run_group(access, group)) {
            Outcome::Done(answer) => Ok(answer),
            Outcome::Failed(err) => Err(err),
            Outcome::Alone => self.run_alone(access, statement, values),
        }
    }

    fn run_alone(
        &self,
        access: Access,
        statement: &'static Statement,
        values: &[Named<'_>],
    ) -> Result<Answer, StoreError> {
        match access {
            Access::Write => self.write_one(|connection| connection.answer(statement, values)),
            Access::Read => self.read(|connection| connection.answer(statement, values)),
        }
    }

    fn run_group(&self, access: Access, group: &[Arc<Ticket>]) -> Vec<Outcome> {
        self.has_written.fetch_or(access == Access::Write, Ordering::Relaxed);
        if let [only] = group {
            return match self.run_alone(access, only.statement, &only.values()) {
                Ok(answer) => vec![Outcome::Done(answer)],
                Err(err) => vec![Outcome::Failed(err)],
            };
        }
        let done = match access {
            Access::Write => self.attempt_once(Use::Engine, |connection| {
                crash::point("write.committing");
                let outcomes = connection.run_group(access, group);
                crash::point("write.committed");
                outcomes
            }),
            Access::Read => self.attempt_once(Use::Client, |connection| connection.run_group(access, group)),
        };
        match done {
            Ok(outcomes) => outcomes,
            Err(err) => group.iter().map(|_| Outcome::Failed(err.clone())).collect(),
        }
    }

    pub(super) fn read<T>(
        &self,
        work: impl Fn(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.attempt(Use::Client, work)
    }

    pub(super) fn read_at_once<T>(
        &self,
        work: impl Fn(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.attempt(Use::Engine, work)
    }

    /// Runs `work` on a connection, and retries if that cannot do anything twice.
    fn attempt<T>(
        &self,
        purpose: Use,
        work: impl Fn(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut is_retry_safe = false;
            let done = self.attempt_once(purpose, |connection| {
                let done = work(connection);
                is_retry_safe = connection.is_retry_safe();
                done
            });
            match done {
                Err(err @ StoreError::Unavailable(_)) if is_retry_safe && tries < TRIES => {
                    debug!(cause:% = err; "retrying work on the database");
                }
                done => return done,
            }
        }
    }

    fn attempt_once<T>(
        &self,
        purpose: Use,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let seat = self.take_seat(purpose)?;
        let connection = self.idle_or_new()?;
        connection.begin_work();
        let done = work(&connection);
        let mut pool = lock(&self.pool);
        if connection.is_usable() {
            pool.idle.push((connection, self.clock.monotonic()));
        } else {
            // The cause usually ended the other connections too.
            pool.idle.clear();
        }
        drop(pool);
        drop(seat);
        done
    }

    fn take_seat(&self, purpose: Use) -> Result<Seat<'_>, StoreError> {
        // Some connections are reserved for the engine, however many clients read, and one for the lease.
        let most = self.connections_max - usize::from(purpose != Use::Lease);
        let readers_max = (most - most / 4).max(1);
        let is_full =
            |pool: &mut Pool| most <= pool.at_work || (purpose == Use::Client && readers_max <= pool.reading);
        let waited = self.freed[purpose as usize]
            .wait_timeout_while(lock(&self.pool), SEAT_WAIT_MAX, is_full)
            .unwrap_or_else(PoisonError::into_inner);
        let (mut pool, timeout): (MutexGuard<'_, Pool>, _) = waited;
        if timeout.timed_out() {
            let cause = format!("all {} connections were busy for too long", self.connections_max);
            return Err(StoreError::Unavailable(cause));
        }
        pool.at_work += 1;
        pool.reading += usize::from(purpose == Use::Client);
        Ok(Seat { database: self, purpose })
    }

    /// An idle connection that still works, or a new one.
    fn idle_or_new(&self) -> Result<Connection, StoreError> {
        loop {
            let idle = lock(&self.pool).idle.pop();
            match idle {
                Some((connection, since))
                    if self.clock.monotonic() < since + IDLE_TRUSTED || connection.answers() =>
                {
                    return Ok(connection);
                }
                Some(_) => {}
                None => break,
            }
        }
        if let Some(outage) = &*lock(&self.outage)
            && self.clock.monotonic() < outage.try_again_at
        {
            return Err(StoreError::Unavailable(outage.cause.clone()));
        }
        match self.connect() {
            Ok(connection) => {
                if lock(&self.outage).take().is_some() {
                    debug!("PostgreSQL answers again");
                }
                Ok(connection)
            }
            Err(Refused::ForNow(cause) | Refused::ForGood(cause)) => {
                self.note_outage(cause.clone());
                Err(StoreError::Unavailable(cause))
            }
        }
    }

    fn connect(&self) -> Result<Connection, Refused> {
        let connection = self.connector.connect()?;
        let mut is_migrated = lock(&self.is_migrated);
        if !*is_migrated {
            self.connector.check_sessions(&connection)?;
            migrate::migrate(&connection, self.connector.schema(), self.weekdays)?;
            *is_migrated = true;
        }
        Ok(connection)
    }

    fn note_outage(&self, cause: String) {
        let mut outage = lock(&self.outage);
        let delay = outage.as_ref().map_or(RETRY_FIRST, |outage| (outage.delay * 2).min(RETRY_MAX));
        *outage = Some(Outage { cause, delay, try_again_at: self.clock.monotonic() + delay });
    }
}

/// A place in the pool.
struct Seat<'a> {
    database: &'a DatabaseServer,
    purpose: Use,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut pool = lock(&self.database.pool);
        pool.at_work -= 1;
        pool.reading -= usize::from(self.purpose == Use::Client);
        drop(pool);
        // A reader may have to leave the free seat to the engine, so wake one thread of each use.
        for freed in &self.database.freed {
            freed.notify_one();
        }
    }
}
