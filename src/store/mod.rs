//! The database: SQLite, or PostgreSQL. All SQL is here, under `sql/`, one statement a file.
//!
//! Invariant: what a method has answered is on the disk, and nothing is ever half-written. No network in a transaction, but
//! that to the database itself. The methods are the seam: what they promise holds for both engines.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::clock::Clock;
use crate::base::outage;
use crate::model::{Fence, Id, Location};

mod broker;
mod ends;
mod executables;
mod executions;
mod import;
mod instances;
mod output;
#[cfg(feature = "postgres")]
mod postgres;
mod readings;
mod schedules;
mod session;
mod source;
mod sqlite;
mod statement;

pub use broker::{
    Changed, LastInstance, Made, Planner, SERVICE_INSTANCE_DELETED, ServiceBinding, ServiceInstance, Stopped,
};
pub use ends::{CutOff, End};
pub use executables::{NewExecutable, Scope, Written};
pub use executions::{Claimed, HistoryOf, Retry, RunningTask, Share, Stray, Surplus, Waiting};
pub use import::{Importer, MovedExecutable, MovedExecution, MovedInstance, MovedSchedule};
pub use instances::{Renewal, TakenOver};
pub use schedules::{ClaimPass, DueSchedule, Fire, Plan, Recorded};
pub use source::{FoundExecutable, FoundExecution, FoundSchedule, Origin, Source, Unread};
pub(crate) use sqlite::{attach, attached, check_is_ours, copy, detach, remove};

use session::Session;

/// What is read of a list at a time, roughly, so that those who read it slowly hold little memory. One row may be longer.
const PART_BYTES: usize = 32 * 1024;
/// What a row is in memory, and as JSON, beside its long texts.
const ROW_BYTES: usize = 400;

/// Why the database did not do what it was asked, by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// Full, locked, read-only, damaged or out of reach: nothing was changed (or, when the answer to a COMMIT was lost, nobody
    /// knows), and later it may work.
    Unavailable(String),
    /// A unique index refused it. The methods of the store turn it into an answer where it is one.
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
    /// Notes the outage of which this is a part, and gives the level of a line about it.
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
    /// For lists that are oldest first: nothing greater than this, so that what comes meanwhile does not lengthen them.
    pub last: Id,
    /// So many of those are passed over.
    pub offset: u64,
    /// At most so many.
    pub limit: u32,
}

/// What was read of a list at a time.
#[derive(Debug, Clone)]
pub struct Part<T> {
    /// In the list's order.
    pub rows: Vec<T>,
    /// The id of the last of them.
    pub last: Option<Id>,
    /// Beyond them the window has nothing more. Otherwise it may have, and reading goes on beyond `last`.
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

/// Which database, and how it is reached.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// Which.
    pub database: Location,
    /// PostgreSQL: the most connections at a time, at least 2.
    pub connections: usize,
    /// PostgreSQL: a PEM file of certificates to trust as well.
    pub ca_cert_file: Option<PathBuf>,
    /// PostgreSQL: believe any certificate.
    pub skip_ssl_validation: bool,
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

/// A statement's text as PostgreSQL gets it, with numbers for the names of its parameters, and these names. For tests of the
/// files.
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
    /// Opens the database and brings it up to date: a file (made, with its directory, when there is none), or that of a
    /// server. A server that is away is awaited by whoever asks: until it comes, each is answered `Unavailable`.
    ///
    /// # Errors
    /// A text for people, when the file cannot be had, is no database of this program, is from a newer version (then it is
    /// left as it was), or is open in another process; when the server refuses for good (name or password), or its
    /// certificate is not trusted.
    pub fn open(settings: &StoreSettings, clock: Arc<dyn Clock>) -> Result<Self, String> {
        // SQLite has no leases, and no outages to wait out.
        #[cfg(not(feature = "postgres"))]
        let _ = clock;
        let engine = match &settings.database {
            Location::Sqlite(path) => Engine::Sqlite(sqlite::DatabaseFile::open(path)?),
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
    /// `Unavailable` while somebody reads; then it is to be tried again.
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

    /// The number of the lease under which this process has executions in hand: each update of one carries it, so that
    /// whoever has lost it changes nothing any more. 0 where only one process can have the database open.
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

    /// How many rows of a list are asked for at a time, of `limit`: a server sends all that it was asked for, however few of them
    /// make a part.
    fn part_limit(&self, limit: u32) -> u32 {
        let enough = u32::try_from(PART_BYTES / ROW_BYTES + 1).unwrap_or(limit);
        if self.is_shared() { limit.min(enough) } else { limit }
    }

    /// Runs `work` in a transaction and answers when that is on the disk. When `work` fails, or panics, nothing of it stays.
    /// It may be run again when the database asks for that.
    ///
    /// SQLite: writes that come while another is under way share the next transaction, so that all wait for the same flush.
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

    /// Runs `work` on a reading connection; waits for one while all are at work. For those who read for clients, who may be
    /// many. `work` does not read in its turn.
    fn read<T>(&self, work: impl Fn(&Session<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &self.engine {
            Engine::Sqlite(database) => database.read(|connection| work(&Session::Sqlite(connection))),
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.read(|connection| work(&Session::Postgres(connection))),
        }
    }

    /// The same for the threads of the engine, which are few and do not wait for those of clients.
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
    // What these mutexes guard is whole at every point where a panic can come.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
