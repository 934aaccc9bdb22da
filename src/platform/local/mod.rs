//! Standalone: apps, spaces, users and tokens from a TOML file, tasks as supervised local processes.
//!
//! Invariant: no task is lost unnoticed. A task's directory is claimed before its command runs, its runner
//! outlives the service, and a later look finds an outcome, if only "outcome unknown".
//!
//! In the order of a task's life: [`config`] knows its app, [`tasks`] claims a directory for it and starts a
//! runner, [`runner`] (another process of the same binary) runs the command under the limit of [`memory`].
//! Both sides communicate through the files of [`records`].

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use crate::base::clock::Clock;
use crate::model::Guid;
use crate::platform::{
    Found, Identity, KnownApp, Named, NewTask, OutputPart, Platform, PlatformError, Task, TaskName,
};

mod config;
mod memory;
mod records;
mod runner;
mod tasks;
mod trust;

pub use config::{
    App, Grant, Joined, TaskUser, World, default_file, file_in_use, file_text, join, note_file,
};
pub use memory::MemoryLimit;
pub(crate) use runner::hide_memory;
pub use runner::{run_as, run_task};
pub use trust::faults as trust_faults;

use tasks::{Follower, Tasks};

/// What [`Local`] is built from.
#[derive(Debug)]
pub struct LocalSettings {
    /// Apps, spaces and tokens.
    pub world: World,
    /// The directory of the tasks' directories; created if missing.
    pub state_dir: PathBuf,
    /// Our own binary, which runs a task as `RUNNER run-task DIR`.
    pub runner: PathBuf,
    /// The environment of the service. Tasks get only what every program needs ([`INHERITED_VARIABLES`]).
    pub environment: Vec<(OsString, OsString)>,
}

/// The variables that tasks inherit from the service. The rest (`CLIENT_SECRET`, `DATABASE_URL` …) does not
/// concern them.
pub const INHERITED_VARIABLES: [&str; 11] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];

/// The platform of `standalone`.
pub struct Local {
    world: RwLock<Arc<World>>,
    tasks: Arc<Tasks>,
    /// Dropped with us: its thread ends, the tasks keep running.
    _follower: Follower,
}

impl Local {
    /// Opens the directory of tasks and follows them. `task_changed` is called soon after a task of this
    /// process ended; the end of a task from before a restart is found when its state is requested.
    ///
    /// Only one service can use a directory: a second one is refused.
    pub fn new(
        settings: LocalSettings,
        clock: Arc<dyn Clock>,
        task_changed: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let LocalSettings { world, state_dir, runner, environment } = settings;
        let (tasks, wakes) = Tasks::open(state_dir, runner, environment, clock)?;
        let tasks = Arc::new(tasks);
        let follower = Follower::start(Arc::clone(&tasks), wakes, task_changed)?;
        Ok(Self { world: RwLock::new(Arc::new(world)), tasks, _follower: follower })
    }

    /// Uses `world` for tokens and tasks from now on.
    pub fn replace_world(&self, world: World) {
        *self.world.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(world);
    }

    fn world(&self) -> Arc<World> {
        Arc::clone(&self.world.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Platform for Local {
    fn identify(&self, token: &str) -> Result<Option<Identity>, PlatformError> {
        Ok(self.world().grant_of(token).map(identity))
    }

    fn identify_digest(&self, digest: &[u8; 32]) -> Result<Option<Option<Identity>>, PlatformError> {
        Ok(Some(self.world().grant_of_digest(digest).map(identity)))
    }

    fn needed_to_enter(&self) -> &'static str {
        "Authorization: bearer TOKEN, with a token of the service's file that has the role admin, or the role \
         developer or manager and one of the spaces"
    }

    fn known_apps(&self) -> Vec<KnownApp> {
        let known =
            |app: &App| KnownApp { guid: app.guid.clone(), name: app.name.clone(), space: app.space.clone() };
        self.world().apps().iter().map(known).collect()
    }

    fn names_of(&self, what: Named, guids: &[Guid]) -> Result<Vec<(Guid, String)>, PlatformError> {
        let world = self.world();
        let name_of = |guid: &Guid| match what {
            Named::App => world.app(guid).map(|app| app.name.clone()),
            Named::Space => world.space_name(guid.as_str()).map(str::to_owned),
        };
        Ok(guids.iter().filter_map(|guid| Some((guid.clone(), name_of(guid)?))).collect())
    }

    fn token_digests(&self) -> Vec<[u8; 32]> {
        self.world().token_digests()
    }

    fn spaces_of(&self, _user: &str) -> Result<Vec<Guid>, PlatformError> {
        // Rights belong to tokens here; a user has none.
        Ok(Vec::new())
    }

    fn space_of_app(&self, app: &Guid) -> Result<Option<Guid>, PlatformError> {
        Ok(self.world().app(app).map(|app| app.space.clone()))
    }

    fn create_task(&self, task: &NewTask) -> Result<Task, PlatformError> {
        let world = self.world();
        let app = world
            .app(&task.app)
            .ok_or_else(|| PlatformError::Refused { detail: format!("there is no app {}", task.app) })?;
        self.tasks.create(task, app)
    }

    fn find_tasks(&self, names: &[TaskName]) -> Result<Found, PlatformError> {
        // The directory contains only tasks of this service, each named after its execution.
        let tasks = self.tasks.find(names.iter().map(|wanted| wanted.name.as_str()))?;
        Ok(Found { tasks, unclear: Vec::new() })
    }

    fn list_tasks(&self, guids: &[Guid]) -> Result<Found, PlatformError> {
        Ok(Found { tasks: self.tasks.list(guids)?, unclear: Vec::new() })
    }

    fn cancel_task(&self, guid: &Guid) -> Result<(), PlatformError> {
        self.tasks.cancel(guid)
    }

    fn keeps_output(&self) -> bool {
        true
    }

    fn read_output(
        &self,
        task: &str,
        offset: u64,
        limit: usize,
    ) -> Result<Option<OutputPart>, PlatformError> {
        self.tasks.read_output(task, offset, limit)
    }

    fn forget_ended(&self, is_gone: &dyn Fn(&str) -> bool) -> Result<usize, PlatformError> {
        self.tasks.forget_ended(is_gone)
    }

    fn check(&self) -> Result<(), PlatformError> {
        Ok(())
    }
}

fn identity(grant: &Grant) -> Identity {
    Identity {
        user: grant.user.clone(),
        name: Some(grant.user.clone()),
        admin: grant.admin,
        spaces: Some(grant.spaces.clone()),
        may_read: true,
        may_write: true,
        readable: grant.readable.clone(),
        scopes: Vec::new(),
        expires_at: None,
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("world", &self.world()).finish_non_exhaustive()
    }
}
