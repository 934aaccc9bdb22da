//! Another database to import from, of either kind.
//!
//! Invariant: it is read as it was at one instant, and never changed. Reading goes in batches, to bound
//! memory.

#[cfg(feature = "postgres")]
mod go;
mod own;

#[cfg(feature = "postgres")]
use super::postgres;
use super::session::Session;
use super::{
    Attempt, Engine, MovedAlert, MovedControl, MovedInstance, MovedPause, MovedStreak, ServiceBinding, Store,
    StoreError, StoreSettings, Stray, sqlite,
};
use crate::model::{
    Call, Controls, Definition, Dialect, Guid, Kind, Location, Notification, Secret, Timestamp,
};

/// Whose tables to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A Go service's, in PostgreSQL.
    Go,
    /// This program's.
    Own,
}

/// Why another database cannot be read. A message for the operator.
#[derive(Debug)]
pub enum SourceError {
    /// The command line is wrong.
    Usage(String),
    /// It cannot be reached, or is not a database of a scheduler.
    Failed(String),
}

/// A job or call of another database. Missing values are `None`.
#[derive(Debug)]
#[expect(missing_docs, reason = "they are those of the tables")]
pub struct FoundExecutable {
    pub guid: String,
    pub kind: Kind,
    pub name: Option<String>,
    pub app: Option<String>,
    pub space: Option<String>,
    pub command: Option<String>,
    pub disk_in_mb: Option<i64>,
    pub memory_in_mb: Option<i64>,
    pub log_rate_in_bps: Option<i64>,
    pub state: Option<String>,
    pub url: Option<String>,
    pub auth_header: Option<Secret>,
    /// The request of one of our own calls.
    pub call: Option<Call>,
    /// For a job.
    pub timeout_seconds: Option<u32>,
    pub controls: Controls,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
}

/// A schedule of another database.
#[derive(Debug)]
#[expect(missing_docs, reason = "they are those of the tables")]
pub struct FoundSchedule {
    pub guid: String,
    /// The guid of its job or call, and which of the two it is; `None`: neither.
    pub executable: String,
    pub kind: Option<Kind>,
    /// Its dialect is valid only if `dialect` is set too.
    pub definition: Definition,
    /// `None`: the dialect is not recorded.
    pub dialect: Option<Dialect>,
    pub completed_at: Option<Timestamp>,
    pub next_fire_time: Option<Timestamp>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
}

/// An execution of another database.
#[derive(Debug)]
#[expect(missing_docs, reason = "they are those of the tables")]
pub struct FoundExecution {
    pub guid: String,
    /// The guid of its job or call, and which of the two it is; `None`: neither.
    pub executable: String,
    pub kind: Option<Kind>,
    pub schedule: Option<String>,
    pub scheduled_time: Option<Timestamp>,
    pub state: String,
    pub note: String,
    pub message: String,
    pub task: Option<String>,
    pub created_at: Option<Timestamp>,
    pub start_time: Option<Timestamp>,
    pub end_time: Option<Timestamp>,
    pub request_id: String,
    pub control: MovedControl,
}

/// A finished attempt of an execution of another database.
#[derive(Debug)]
#[expect(missing_docs, reason = "they are those of the tables")]
pub struct FoundAttempt {
    pub execution: String,
    pub attempt: Attempt,
}

/// Another database, opened.
pub struct Source {
    engine: SourceEngine,
    origin: Origin,
    dialect: Dialect,
}

#[cfg_attr(feature = "postgres", expect(clippy::large_enum_variant, reason = "there is one of it"))]
enum SourceEngine {
    Sqlite(rusqlite::Connection),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Source),
}

impl Source {
    /// Opens the database of `settings`, to import it into `target`. `origin`: whose tables to read, if there
    /// are both.
    ///
    /// # Errors
    /// It cannot be reached, is not a scheduler's, or is `target` itself; or it has both kinds of tables, and
    /// `origin` is not given.
    pub fn open(
        settings: &StoreSettings,
        origin: Option<Origin>,
        target: &Store,
    ) -> Result<Self, SourceError> {
        match &settings.database {
            Location::Sqlite(path) => {
                if origin == Some(Origin::Go) {
                    return Err(SourceError::Usage(
                        "the database of a Go service is in PostgreSQL, not in a file".to_owned(),
                    ));
                }
                if let Engine::Sqlite(database) = &target.engine
                    && path
                        .canonicalize()
                        .is_ok_and(|from| database.path().canonicalize().is_ok_and(|to| from == to))
                {
                    return Err(SourceError::Usage(format!("{} is the database itself", path.display())));
                }
                let connection = sqlite::open_source(path).map_err(SourceError::Failed)?;
                Ok(Self {
                    engine: SourceEngine::Sqlite(connection),
                    origin: Origin::Own,
                    dialect: Dialect::default(),
                })
            }
            #[cfg(feature = "postgres")]
            Location::Postgres(url) => {
                let source = postgres::Source::open(url, settings).map_err(SourceError::Failed)?;
                let origin = decide(&source, origin, target)?;
                let is_go_2 = origin == Origin::Go
                    && source.is_go_2().map_err(|err| SourceError::Failed(err.to_string()))?;
                let dialect = if is_go_2 { Dialect::Ocf2 } else { Dialect::default() };
                Ok(Self { engine: SourceEngine::Postgres(source), origin, dialect })
            }
            #[cfg(not(feature = "postgres"))]
            Location::Postgres(_) => {
                let _ = target;
                Err(SourceError::Failed(
                    "this program was built without PostgreSQL (feature `postgres`)".to_owned(),
                ))
            }
        }
    }

    /// Whose tables it reads.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The dialect of its schedules that record none: that of OCF Scheduler 2.x if it wrote the tables,
    /// otherwise that of 1.x.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Passes all jobs and calls to `take`, each kind oldest first, in batches.
    pub fn each_executable(
        &self,
        take: &mut dyn FnMut(Vec<FoundExecutable>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let session = self.session();
        match self.origin {
            Origin::Own => own::each_executable(&session, take),
            #[cfg(feature = "postgres")]
            Origin::Go => go::each_executable(&session, take),
            #[cfg(not(feature = "postgres"))]
            Origin::Go => Ok(()),
        }
    }

    /// Passes all schedules to `take`, oldest first, in batches.
    pub fn each_schedule(
        &self,
        take: &mut dyn FnMut(Vec<FoundSchedule>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let session = self.session();
        match self.origin {
            Origin::Own => own::each_schedule(&session, take),
            #[cfg(feature = "postgres")]
            Origin::Go => go::each_schedule(&session, take),
            #[cfg(not(feature = "postgres"))]
            Origin::Go => Ok(()),
        }
    }

    /// Passes all executions to `take`, in order of creation, in batches.
    pub fn each_execution(
        &self,
        take: &mut dyn FnMut(Vec<FoundExecution>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let session = self.session();
        match self.origin {
            Origin::Own => own::each_execution(&session, take),
            #[cfg(feature = "postgres")]
            Origin::Go => go::each_execution(&session, take),
            #[cfg(not(feature = "postgres"))]
            Origin::Go => Ok(()),
        }
    }

    /// Passes all finished attempts to `take`. A Go service has none.
    pub fn each_attempt(
        &self,
        take: &mut dyn FnMut(FoundAttempt) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.each_of_ours(take, own::each_attempt)
    }

    /// Passes the names of all tasks to look for to `take`. A Go service has none.
    pub fn each_stray(
        &self,
        take: &mut dyn FnMut(Stray) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.each_of_ours(take, own::each_stray)
    }

    /// Passes all service instances to `take`. A Go service has none.
    pub fn each_instance(
        &self,
        take: &mut dyn FnMut(MovedInstance) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.each_of_ours(take, own::each_instance)
    }

    /// Passes all bindings to `take`, each with the time of its creation. A Go service has none.
    pub fn each_binding(
        &self,
        take: &mut dyn FnMut((ServiceBinding, Timestamp)) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.each_of_ours(take, own::each_binding)
    }

    /// Passes all suspended spaces to `take`. A Go service has none.
    pub fn each_suspended_space(
        &self,
        take: &mut dyn FnMut(Guid) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.each_of_ours(take, own::each_suspended_space)
    }

    /// Passes the pauses of all spaces to `take`. A Go service has none.
    pub fn each_space_pause(
        &self,
        take: &mut dyn FnMut(MovedPause) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.each_of_ours(take, own::each_space_pause)
    }

    /// Passes all notifications to `take`, without their waiting deliveries. A Go service has none.
    pub fn each_notification(
        &self,
        take: &mut dyn FnMut(Notification) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.each_of_ours(take, own::each_notification)
    }

    /// Hands the streaks of all jobs and calls to `take`. A Go service knows none.
    pub fn each_streak(
        &self,
        take: &mut dyn FnMut(MovedStreak) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.each_of_ours(take, own::each_streak)
    }

    /// Passes all reported, active alerts to `take`. A Go service has none.
    pub fn each_alert(
        &self,
        take: &mut dyn FnMut(MovedAlert) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.each_of_ours(take, own::each_alert)
    }

    fn each_of_ours<T>(
        &self,
        take: &mut dyn FnMut(T) -> Result<(), StoreError>,
        read: impl Fn(&Session<'_>, &mut dyn FnMut(T) -> Result<(), StoreError>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match self.origin {
            Origin::Own => read(&self.session(), take),
            Origin::Go => Ok(()),
        }
    }

    fn session(&self) -> Session<'_> {
        match &self.engine {
            SourceEngine::Sqlite(connection) => Session::Sqlite(connection),
            #[cfg(feature = "postgres")]
            SourceEngine::Postgres(source) => Session::Postgres(source.connection()),
        }
    }
}

/// Decides which tables to read, and puts them on the search path.
#[cfg(feature = "postgres")]
fn decide(source: &postgres::Source, wanted: Option<Origin>, target: &Store) -> Result<Origin, SourceError> {
    let failed = |err: StoreError| SourceError::Failed(err.to_string());
    let is_target = match &target.engine {
        Engine::Postgres(database) => {
            let (identity, schema) = source.identity().map_err(failed)?;
            schema == database.schema() && identity == database.identity().map_err(failed)?
        }
        Engine::Sqlite(_) => false,
    };
    let has_own = !is_target && source.has_own().map_err(failed)?;
    let has_go = source.has_go().map_err(failed)?;
    let origin = match wanted {
        Some(Origin::Own) if is_target => {
            return Err(SourceError::Usage("--from names the database to import into".to_owned()));
        }
        Some(wanted) => wanted,
        None if has_go && has_own => {
            return Err(SourceError::Usage(
                "the database of --from has the tables of a Go service and those of this program; say which \
                 to import: --kind go or --kind own"
                    .to_owned(),
            ));
        }
        None if has_own => Origin::Own,
        None => Origin::Go,
    };
    let is_there = if origin == Origin::Own { has_own } else { has_go };
    if !is_there {
        let what = match wanted {
            Some(Origin::Own) => "tables of this program (schema ocf_scheduler, or that of ?schema=)",
            Some(Origin::Go) => "tables of a Go service (jobs, calls, schedules, executions)",
            None => {
                "tables to move: neither those of a Go service (jobs, calls, schedules, executions) nor \
                 those of this \
                 program (schema ocf_scheduler, or that of ?schema=)"
            }
        };
        return Err(SourceError::Failed(format!("the database of --from has no {what}")));
    }
    if origin == Origin::Own {
        source.has_own().map_err(failed)?;
        if !source.is_current().map_err(failed)? {
            return Err(SourceError::Failed(
                "the database of --from is from another version of this program; start this version on it \
                 once"
                    .to_owned(),
            ));
        }
    }
    Ok(origin)
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("origin", &self.origin).finish_non_exhaustive()
    }
}
