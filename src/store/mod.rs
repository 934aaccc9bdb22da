//! The database: SQLite, or PostgreSQL. All SQL is here, under `sql/`, one statement a file.
//!
//! Invariant: what a method has answered is on the disk, and nothing is ever half-written. No network in a
//! transaction, but that to the database itself. The methods are the seam: what they promise holds for both
//! engines.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::clock::Clock;
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
#[cfg(feature = "postgres")]
mod postgres;
mod readings;
mod runs;
mod schedules;
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
pub use instances::{DatabaseTime, Instance, Renewal, TakenOver};
pub use notifications::{Delivery, NOTIFICATIONS_MAX, NotificationChanged, NotificationMade};
pub use outbox::{ActiveAlert, Digest, ENDED_EVENTS, Sending, Tried};
pub use overview::{
    Attempt, ExecutionFilter, FoundExecutions, Listed, ListedExecution, Overdue, UpcomingSchedule,
};
pub use runs::{Asked, Cancelled, Created, Effects, Ended, Start};
pub use schedules::{ClaimPass, DueSchedule, Fire, Plan, Recorded, Skip};
pub use source::{FoundAttempt, FoundExecutable, FoundExecution, FoundSchedule, Origin, Source, Unread};
pub use space_pauses::{MovedPause, Space, SpacePause};
pub(crate) use sqlite::{attach, attached, check_is_ours, copy, detach, remove};
pub use terms::Terms;

use session::Session;

/// Roughly how much of a list is read at a time, so that slow clients hold little memory. A single row may be
/// longer.
const PART_BYTES: usize = 32 * 1024;
/// The size of a row in memory and as JSON, without its long texts.
const ROW_BYTES: usize = 400;

/// Why the database failed, by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// Full, locked, read-only, damaged or out of reach. Nothing was changed; if the answer to a COMMIT was
    /// lost, the outcome is unknown. A retry may work.
    Unavailable(String),
    /// A unique index refused it. Methods for which that is an expected result return it as a value instead.
    Conflict,
    /// A fault of this program.
    Bug(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(cause) => write!(f, "the database is not available: {cause}"),
            Self::Conflict => write!(f, "the database has something like that already"),
            Self::Bug(cause) => write!(f, "the database refused a statement: {cause}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl StoreError {
    /// Records the outage that this is part of, and returns the level to log it at.
    pub fn noted(&self) -> log::Level {
        let is_outage = matches!(self, Self::Unavailable(_));
        if is_outage {
            outage::DATABASE.failed(self);
        }
        outage::level(is_outage)
    }
}

/// A part of a list that is in the order of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Only what lies beyond this id, in the list's direction. Oldest first: greater; newest first: less.
    pub beyond: Id,
    /// For lists that are oldest first: no greater ids, so that new rows do not lengthen the list.
    pub last: Id,
    /// How many of those to skip.
    pub offset: u64,
    /// At most so many.
    pub limit: u32,
}

/// One batch of a list.
#[derive(Debug, Clone)]
pub struct Part<T> {
    /// In the list's order.
    pub rows: Vec<T>,
    /// The id of the last of them.
    pub last: Option<Id>,
    /// `true`: the window has no more rows. Otherwise it may have, and reading continues after `last`.
    pub is_end: bool,
}

impl<T> Part<T> {
    /// The same part of something else.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Part<U> {
        Part { rows: self.rows.into_iter().map(change).collect(), last: self.last, is_end: self.is_end }
    }
}

/// How long a list is, and its greatest id (0 when it is empty).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// How many there are.
    pub total: u64,
    /// The greatest id among them.
    pub last: Id,
}

/// Which database, and how to reach it.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// Which.
    pub database: Location,
    /// PostgreSQL: the most connections at a time, at least 2.
    pub connections: usize,
    /// PostgreSQL: a PEM file of certificates to trust as well.
    pub ca_cert_file: Option<PathBuf>,
    /// PostgreSQL: accept any certificate.
    pub skip_ssl_validation: bool,
    /// PostgreSQL: the name of this instance, which takes over at once what an earlier process of that name
    /// owned.
    pub instance_id: Option<String>,
    /// How weekdays count in schedules that were made before dialects were recorded.
    pub weekdays: Weekdays,
}

/// Whether the database can be reached and used, without changing anything in it.
///
/// # Errors
/// A text for people.
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

/// What each connection to PostgreSQL asks of the server first. For tests of plans.
#[cfg(feature = "postgres")]
pub const POSTGRES_SESSION: &str = postgres::SESSION;

/// A statement's text as PostgreSQL gets it, with numbers for the names of its parameters, and these names.
/// For tests of the files.
#[cfg(feature = "postgres")]
pub fn numbered_for_postgres(text: &str) -> (String, Vec<&str>) {
    postgres::numbered(text)
}

/// Whether an import keeps what it wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportMode {
    /// Kept, all of it or nothing.
    Commit,
    /// Everything is written and rolled back, so that the report is that of a real import.
    DryRun,
}

/// The database, opened. Closing is dropping it.
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
    /// Opens the database and brings it up to date: a file (made, with its directory, when there is none), or
    /// that of a server. A server that is down is no error: until it is up, every method returns
    /// `Unavailable`. Leases and retries count in the monotonic time of `clock`.
    ///
    /// # Errors
    /// A text for people, when the file cannot be had, is no database of this program, is from a newer
    /// version (then it is left as it was), or is open in another process; when the server refuses for good
    /// (name or password), or its certificate is not trusted.
    pub fn open(settings: &StoreSettings, clock: Arc<dyn Clock>) -> Result<Self, String> {
        // SQLite has no leases, and no outages to wait out.
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

    /// Whether writes go through now, by writing: the number of the version, again.
    pub fn check_writable(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(database) => database.check_writable(),
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.check_writable(),
        }
    }

    /// SQLite: moves what was written into the file itself, so that the file alone is up to date.
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

    /// SQLite: makes the file a little smaller if much of it is free. Whether there may be more to do.
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
    /// `Unavailable`, when there is no lease now.
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
    /// kept. `work` may run more than once, when the database asks for a retry.
    ///
    /// SQLite: writes that arrive during another share the next transaction, and so its flush.
    fn write<T>(&self, work: impl Fn(&Session<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &self.engine {
            Engine::Sqlite(database) => database.write(|connection| work(&Session::Sqlite(connection))),
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.write(|connection| work(&Session::Postgres(connection))),
        }
    }

    /// The same for work of one statement, which is a transaction by itself.
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

    /// One batched statement that reads for a client. PostgreSQL runs it once for many threads.
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
    /// must not read again inside.
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The guarded values are consistent at every point that can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
