//! The database: SQLite or PostgreSQL. All SQL is here, under `sql/`, one statement a file.
//!
//! Invariant: once a method returns, its result is on the disk, and nothing is ever half-written. No
//! transaction waits for the network, except for the database itself. The methods are the interface: they
//! promise the same for both engines.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::clock::Clock;
use crate::base::mutex::lock;
use crate::base::outage;
use crate::model::{Fence, Id, Location, Weekdays};

mod audit;
mod broker;
mod ends;
mod executables;
mod executions;
mod import;
mod instances;
mod notifications;
mod outbox;
mod output;
mod overview;
mod portion;
#[cfg(feature = "postgres")]
mod postgres;
mod readings;
mod runs;
mod schedules;
mod search;
mod session;
mod sign_ins;
mod source;
mod space_pauses;
mod sqlite;
mod statement;
mod terms;

pub use audit::{Actor, AuditEvent, AuditFilter, FoundEvents, NewEvent, Target};
pub use broker::{
    Changed, LastInstance, Made, Planner, SERVICE_INSTANCE_DELETED, ServiceBinding, ServiceInstance, Stopped,
};
pub use ends::{CutOff, End};
pub use executables::{
    Deleted, LabelSelector, LastExecution, Needles, NewExecutable, Scope, Selection, Summary, Written,
};
pub use executions::{Assignment, Claimed, HistoryOf, Retry, RunningTask, Share, Stray, Surplus, Waiting};
pub use import::{
    Importer, MovedAlert, MovedControl, MovedExecutable, MovedExecution, MovedInstance, MovedSchedule,
    MovedStreak,
};
pub use instances::{DatabaseTime, Instance, Outlook, Renewal, TakenOver};
pub use notifications::{Delivery, NOTIFICATIONS_MAX, NotificationChanged, NotificationMade};
pub use outbox::{ActiveAlert, DeliveryLane, Digest, ENDED_EVENTS, Sending, Tried};
pub use overview::{Attempt, Listed, ListedExecution, Overdue, Run, StateCount, UpcomingSchedule};
pub use runs::{Cancelled, Created, Effects, Ended, ManualStart, Start};
pub use schedules::{ClaimPass, CompletedAhead, DueSchedule, Fire, Plan, Recorded, Skip};
pub use search::{ExecutionFilter, FoundExecutions};
pub use source::{FoundAttempt, FoundExecutable, FoundExecution, FoundSchedule, Origin, Source, SourceError};
pub use space_pauses::{MovedPause, Space, SpacePause};
pub(crate) use sqlite::{attach, attached, check_is_ours, copy, detach, remove};
pub use terms::Terms;

use session::Session;

/// Roughly how many bytes of a list are read at a time, so that slow clients hold little memory. A single row
/// may be longer.
const PART_BYTES: usize = 32 * 1024;
/// The size of a row in memory and as JSON, without its long texts.
const ROW_BYTES: usize = 400;

/// Why the database failed, by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// Full, locked, read-only, damaged or unreachable. Nothing was changed, unless the answer to a COMMIT
    /// was lost: then the outcome is unknown. A retry may succeed.
    Unavailable(String),
    /// A unique index refused it. Methods that expect this return it as a value instead.
    Conflict,
    /// A bug in this program.
    Bug(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(cause) => write!(f, "the database is not available: {cause}"),
            Self::Conflict => write!(f, "the database already contains such a row"),
            Self::Bug(cause) => write!(f, "the database refused a statement: {cause}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl StoreError {
    /// Records the outage that this error belongs to, and returns the level to log it at.
    pub fn noted(&self) -> log::Level {
        let is_outage = matches!(self, Self::Unavailable(_));
        if is_outage {
            outage::DATABASE.failed(self);
        }
        outage::level(is_outage)
    }
}

/// A part of a list in order of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows beyond this id in the list's direction. Oldest first: greater ids; newest first: smaller ids.
    pub beyond: Id,
    /// For lists with the oldest first: no greater ids, so that new rows do not lengthen the list.
    pub last: Id,
    /// How many of these rows to skip.
    pub offset: u64,
    /// The most rows.
    pub limit: u32,
}

/// One batch of a list.
#[derive(Debug, Clone)]
pub struct Part<T> {
    /// In the list's order.
    pub rows: Vec<T>,
    /// The id of the last row.
    pub last: Option<Id>,
    /// `true`: the window has no more rows. Otherwise it may have more; continue after `last`.
    pub is_end: bool,
}

impl<T> Part<T> {
    /// Applies `change` to each row.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Part<U> {
        Part { rows: self.rows.into_iter().map(change).collect(), last: self.last, is_end: self.is_end }
    }
}

/// The length of a list, and its greatest id (0 if empty).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The number of rows.
    pub total: u64,
    /// The greatest id.
    pub last: Id,
}

/// Which database, and how to reach it.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// Where it is.
    pub database: Location,
    /// PostgreSQL: the most connections at a time, at least 2.
    pub connections: usize,
    /// PostgreSQL: a PEM file of additional certificates to trust.
    pub ca_cert_file: Option<PathBuf>,
    /// PostgreSQL: accept any certificate.
    pub skip_ssl_validation: bool,
    /// PostgreSQL: the name of this instance, which at once takes over the work of an earlier process of that
    /// name.
    pub instance_id: Option<String>,
    /// How weekdays are numbered in schedules from before dialects were recorded.
    pub weekdays: Weekdays,
}

/// Checks that the database can be reached and used, without changing it.
///
/// # Errors
/// A message for the operator.
pub fn probe(settings: &StoreSettings) -> Result<(), String> {
    match &settings.database {
        Location::Sqlite(path) => sqlite::probe(path),
        #[cfg(feature = "postgres")]
        Location::Postgres(url) => postgres::Source::open(url, settings).map(|_| ()),
        #[cfg(not(feature = "postgres"))]
        Location::Postgres(_) => {
            Err("this program was built without PostgreSQL (feature `postgres`)".to_owned())
        }
    }
}

/// The session settings that each connection to PostgreSQL sends first. For tests of query plans.
#[cfg(feature = "postgres")]
pub const POSTGRES_SESSION: &str = postgres::SESSION;

/// A statement's text for PostgreSQL, with numbered parameters, and the names of its parameters. For tests of
/// the files.
#[cfg(feature = "postgres")]
pub fn numbered_for_postgres(text: &str) -> (String, Vec<&str>) {
    postgres::numbered(text)
}

/// Whether an import keeps what it wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportMode {
    /// Keep everything; on failure nothing.
    Commit,
    /// Write everything and roll back, so that the report is that of a real import.
    DryRun,
}

/// The open database. Dropping it closes it.
pub struct Store {
    engine: Engine,
}

#[cfg_attr(
    feature = "postgres",
    expect(clippy::large_enum_variant, reason = "there is one of it, and each use would pay for a pointer")
)]
enum Engine {
    Sqlite(sqlite::DatabaseFile),
    #[cfg(feature = "postgres")]
    Postgres(postgres::DatabaseServer),
}

impl Store {
    /// Opens the database and migrates it: a file, created with its directory if missing, or a database on a
    /// server. A server that is down is not an error: every method returns `Unavailable` until it is up.
    /// Leases and retries follow the monotonic time of `clock`.
    ///
    /// # Errors
    /// A message for the operator: the file cannot be opened, is not a database of this program, is from a
    /// newer version (it is left unchanged), or is open in another process; or the server refuses user or
    /// password, or its certificate is not trusted.
    pub fn open(settings: &StoreSettings, clock: Arc<dyn Clock>) -> Result<Self, String> {
        // SQLite has no leases, and no outages to wait for.
        #[cfg(not(feature = "postgres"))]
        let _ = clock;
        let engine = match &settings.database {
            Location::Sqlite(path) => Engine::Sqlite(sqlite::DatabaseFile::open(path, settings.weekdays)?),
            #[cfg(feature = "postgres")]
            Location::Postgres(url) => {
                Engine::Postgres(postgres::DatabaseServer::open(url, settings, clock)?)
            }
            #[cfg(not(feature = "postgres"))]
            Location::Postgres(_) => {
                return Err("this program was built without PostgreSQL (feature `postgres`)".to_owned());
            }
        };
        Ok(Self { engine })
    }

    /// Checks that writes succeed, by writing the version again.
    pub fn check_writable(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(database) => database.check_writable(),
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.check_writable(),
        }
    }

    /// SQLite: checkpoints the write-ahead log, so that the file alone is up to date.
    ///
    /// # Errors
    /// `Unavailable` while there are readers; try again later.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(database) => database.checkpoint(),
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => Ok(()),
        }
    }

    /// SQLite: shrinks the file a little if much of it is free. Returns whether there may be more to do.
    pub fn release_free_pages(&self) -> Result<bool, StoreError> {
        match &self.engine {
            Engine::Sqlite(database) => database.release_free_pages(),
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => Ok(false),
        }
    }

    /// The number of the lease under which this process owns executions. Every update carries it, so a
    /// process that lost its lease changes nothing. 0 for SQLite, which only one process can open.
    ///
    /// # Errors
    /// `Unavailable` if there is no lease now.
    pub fn fence(&self) -> Result<Fence, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(0),
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.fence(),
        }
    }

    /// Whether several processes may have the database open.
    pub fn is_shared(&self) -> bool {
        !matches!(self.engine, Engine::Sqlite(_))
    }

    /// How many rows of `limit` to select at a time. A server sends every selected row, even those beyond the
    /// batch.
    fn part_limit(&self, limit: u32) -> u32 {
        let enough = u32::try_from(PART_BYTES / ROW_BYTES + 1).unwrap_or(limit);
        if self.is_shared() { limit.min(enough) } else { limit }
    }

    /// Runs `work` in a transaction and returns once it is on the disk. If `work` fails or panics, nothing is
    /// kept. `work` may run more than once, if the database asks for a retry.
    ///
    /// SQLite: writes that arrive during another one share the next transaction, and so its flush.
    fn write<T>(&self, work: impl Fn(&Session<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &self.engine {
            Engine::Sqlite(database) => database.write(|connection| work(&Session::Sqlite(connection))),
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.write(|connection| work(&Session::Postgres(connection))),
        }
    }

    /// The same for a single statement, which is a transaction by itself.
    fn write_one<T>(&self, work: impl Fn(&Session<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &self.engine {
            Engine::Sqlite(database) => database.write(|connection| work(&Session::Sqlite(connection))),
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => {
                database.write_one(|connection| work(&Session::Postgres(connection)))
            }
        }
    }

    /// The same for a batched statement that many threads run at the same time: PostgreSQL runs it once for
    /// all of them.
    fn write_in_group<T>(
        &self,
        work: impl Fn(&Session<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => work(&Session::Group(database, postgres::Access::Write)),
            Engine::Sqlite(_) => self.write_one(work),
        }
    }

    /// Runs a batched statement that reads for clients. PostgreSQL runs it once for many threads.
    fn read_in_group<T>(
        &self,
        work: impl Fn(&Session<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => work(&Session::Group(database, postgres::Access::Read)),
            Engine::Sqlite(_) => self.read(work),
        }
    }

    /// Runs `work` on a reading connection, and waits while all are busy. For requests of clients. `work`
    /// must not call `read` again.
    fn read<T>(&self, work: impl Fn(&Session<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &self.engine {
            Engine::Sqlite(database) => database.read(|connection| work(&Session::Sqlite(connection))),
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.read(|connection| work(&Session::Postgres(connection))),
        }
    }

    /// The same for the few threads of the engine, which never wait for clients.
    fn read_at_once<T>(&self, work: impl Fn(&Session<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &self.engine {
            Engine::Sqlite(database) => {
                database.read_at_once(|connection| work(&Session::Sqlite(connection)))
            }
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => {
                database.read_at_once(|connection| work(&Session::Postgres(connection)))
            }
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
