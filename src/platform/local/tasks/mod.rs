//! The service's side of tasks: claims a directory for each, starts its runner, and reads the outcome.
//!
//! Invariant: one run for one name. The directory `tasks/NAME` is claimed by a rename, which succeeds for one
//! caller. Its lock passes from the service to the runner without being free in between. So a free lock means
//! that nobody runs the task: with an outcome on disk it has ended; started without an outcome, its runner
//! has died ("outcome unknown"); never started, its command has certainly not run. [`Tasks::find`] ignores
//! the latter, and [`Tasks::create`] takes it up again.
//!
//! [`kept`] removes directories: when their execution has gone from the history, or a while after their
//! outcome was returned.

mod kept;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use log::{error, info, warn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use super::INHERITED_VARIABLES;
use super::config::{App, TaskUser};
use super::records::{Ended, Order, Outcome, TaskDirectory};
use super::runner::TASK_ENDED;
use crate::base::clock::Clock;
use crate::base::mutex::lock;
use crate::base::orphans;
use crate::model::{Guid, Timestamp};
use crate::platform::{Delivery, NewTask, PlatformError, Task, TaskIdentity, TaskState};

/// The most running tasks. One more is refused with "try again later".
const RUNNING_MAX: usize = 2000;

pub(super) struct Tasks {
    directory: PathBuf,
    runner: PathBuf,
    inherited: Vec<(OsString, OsString)>,
    clock: Arc<dyn Clock>,
    /// Runners started by this service and not waited for yet.
    runners: Mutex<Vec<Child>>,
    /// Held while the lock of a task is tried. Otherwise two threads that try at once would take each other
    /// for its runner.
    trying: Mutex<()>,
    /// Held while old directories are looked for and removed.
    removing: Mutex<()>,
    /// Wakes the [`Follower`]; it is the standard output of each runner.
    wake: PipeWriter,
    created: AtomicUsize,
    closing: AtomicBool,
    /// Locked while this lives, so that no second service uses the same directory.
    _lock: File,
}

/// The state of a task's directory.
enum RunState {
    /// Claimed, but nobody runs it and the command has not run.
    NeverStarted,
    Active,
    Ended(Ended),
}

/// The environment variables that describe an execution to its command.
fn environment_of(identity: &TaskIdentity) -> BTreeMap<String, String> {
    let TaskIdentity { execution, job, job_name, scheduled_time, attempt } = identity;
    let variables = [
        ("SCHEDULER_EXECUTION_GUID", execution.to_string()),
        ("SCHEDULER_JOB_GUID", job.to_string()),
        // No environment variable can contain a NUL.
        ("SCHEDULER_JOB_NAME", job_name.replace('\0', "")),
        ("SCHEDULER_ATTEMPT", attempt.to_string()),
    ];
    let scheduled = scheduled_time.map(|time| ("SCHEDULER_SCHEDULED_TIME", time.to_string()));
    variables.into_iter().chain(scheduled).map(|(name, value)| (name.to_owned(), value)).collect()
}

impl Tasks {
    /// Creates or opens the directory. The reader is for the [`Follower`].
    pub(super) fn open(
        state_dir: PathBuf,
        runner: PathBuf,
        environment: Vec<(OsString, OsString)>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, PipeReader), String> {
        let in_state_dir = |err: io::Error| format!("{}: {err}", state_dir.display());
        if !runner.is_file() {
            return Err(format!("{}: no such program to run tasks with", runner.display()));
        }
        let tasks = state_dir.join("tasks");
        DirBuilder::new().recursive(true).mode(0o700).create(&tasks).map_err(in_state_dir)?;
        // Absolute, because a runner has another working directory.
        let directory = tasks.canonicalize().map_err(in_state_dir)?;
        let lock = File::create(state_dir.join("lock")).map_err(in_state_dir)?;
        crate::base::lock::take(&lock).map_err(|err| match err {
            fs::TryLockError::WouldBlock => {
                format!("{}: another service runs its tasks here", state_dir.display())
            }
            fs::TryLockError::Error(err) => in_state_dir(err),
        })?;
        let (wakes, wake) = io::pipe().map_err(in_state_dir)?;
        let inherited =
            environment.into_iter().filter(|(name, _)| INHERITED_VARIABLES.iter().any(|kept| name == kept));
        let tasks = Self {
            directory,
            runner,
            inherited: inherited.collect(),
            clock,
            runners: Mutex::default(),
            trying: Mutex::default(),
            removing: Mutex::default(),
            wake,
            created: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            _lock: lock,
        };
        tasks.remove_leftovers().map_err(in_state_dir)?;
        tasks.clean();
        Ok((tasks, wakes))
    }

    /// Starts a task, or finds an existing one with this name.
    pub(super) fn create(&self, task: &NewTask, app: &App) -> Result<Task, PlatformError> {
        let refused = |detail: String| Err(PlatformError::Refused { detail });
        if !is_plain_name(&task.name) {
            return refused(format!("a task cannot be named {:?}", task.name));
        }
        if task.command.contains('\0') {
            return refused("the command contains a NUL character".to_owned());
        }
        if lock(&self.runners).len() >= RUNNING_MAX {
            return Err(PlatformError::Unavailable {
                cause: format!("{RUNNING_MAX} tasks are running, which is the maximum"),
                retry_after: None,
                delivery: Delivery::Failed,
            });
        }
        let order = Order {
            command: task.command.clone(),
            directory: app.directory.clone(),
            memory_in_mb: task.memory_in_mb,
            user: app.user.as_ref().map(|user| user.name.clone()),
            environment: environment_of(&task.identity),
            created_at_ns: self.clock.now().nanos(),
        };
        // If anything fails before the runner has started, the command has not run.
        let (directory, lock) = match self.claim(&task.name, &order).map_err(unavailable)? {
            Claim::Ours(directory, lock) => (directory, lock),
            Claim::Taken(directory) => {
                return self.read(&task.name, &directory).map_err(unavailable)?.ok_or_else(|| {
                    unavailable(io::Error::other("the directory of the task went away meanwhile"))
                });
            }
        };
        self.start_runner(&directory, lock, app).map_err(|err| {
            let runner = self.runner.display();
            unavailable(io::Error::other(format!(
                "the runner of a task did not start: {err} runner={runner}"
            )))
        })?;
        let created_at = Timestamp::from_nanos(order.created_at_ns);
        Ok(Task {
            guid: Guid::from(task.name.as_str()),
            name: task.name.clone(),
            state: TaskState::Active,
            created_at: Some(created_at),
            updated_at: Some(created_at),
        })
    }

    /// The tasks with these names, without claims whose command has not run and will not run by itself.
    pub(super) fn find<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<Vec<Task>, PlatformError> {
        self.read_all(names, |run_state| !matches!(run_state, RunState::NeverStarted))
    }

    /// The tasks with these guids. A task's guid is its name.
    pub(super) fn list(&self, guids: &[Guid]) -> Result<Vec<Task>, PlatformError> {
        self.read_all(guids.iter().map(Guid::as_str), |_| true)
    }

    pub(super) fn cancel(&self, guid: &Guid) -> Result<(), PlatformError> {
        let Some(directory) = self.directory_of(guid.as_str()) else { return Ok(()) };
        if directory.order().map_err(unavailable)?.is_none()
            || directory.ended().map_err(unavailable)?.is_some()
        {
            return Ok(());
        }
        // Mark first: a runner that is starting looks for the mark after recording its process id.
        directory.mark_cancelled().map_err(unavailable)?;
        let Some(started) = directory.started().map_err(unavailable)? else { return Ok(()) };
        // A locked lock means that the runner lives, so the process id is its own.
        if self.is_locked(&directory).map_err(unavailable)?
            && let Some(runner) = Pid::from_raw(started.runner_pid)
        {
            // It is no error if it has just ended.
            let _ = kill_process(runner, Signal::TERM);
        }
        Ok(())
    }

    /// Claims the directory of a task, or finds that it is claimed already.
    fn claim(&self, name: &str, order: &Order) -> io::Result<Claim> {
        let unfinished = self.directory.join(format!("{UNFINISHED}{}", Guid::random()));
        let (mut directory, lock) = TaskDirectory::prepare(unfinished, order)?;
        if directory.rename(self.directory.join(name))? {
            return Ok(Claim::Ours(directory, lock));
        }
        fs::remove_dir_all(directory.path())?;
        let taken = TaskDirectory::at(self.directory.join(name));
        let _trying = self::lock(&self.trying);
        match taken.try_lock()? {
            Some(lock) if taken.started()?.is_none() && taken.ended()?.is_none() => {
                info!(execution = name; "starting a task that was claimed but never started");
                Ok(Claim::Ours(taken, lock))
            }
            _ => Ok(Claim::Taken(taken)),
        }
    }

    /// Passes `lock` to the runner. If there is no runner, the lock is free.
    fn start_runner(&self, directory: &TaskDirectory, lock: File, app: &App) -> io::Result<()> {
        let mut command = Command::new(&self.runner);
        command.arg("run-task").arg(directory.path()).current_dir("/");
        command.env_clear().envs(self.inherited.iter().map(|(name, value)| (name, value)));
        if let Some(TaskUser { name, home, shell }) = &app.user {
            command.env("USER", name).env("LOGNAME", name).env("HOME", home).env("SHELL", shell);
        }
        command.envs(&app.environment);
        command.stdin(lock).stdout(self.wake.try_clone()?).stderr(Stdio::null());
        let mut runners = self::lock(&self.runners);
        runners.push(command.spawn()?);
        drop(runners);
        self.created.fetch_add(1, Ordering::Relaxed);
        // From now on there is something to wait for.
        (&self.wake).write_all(&[RUNNER_STARTED])
    }

    fn read_all<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
        counts: impl Fn(&RunState) -> bool,
    ) -> Result<Vec<Task>, PlatformError> {
        let mut tasks = Vec::new();
        for name in names {
            let Some(directory) = self.directory_of(name) else { continue };
            match self.read_state(&directory) {
                Ok(Some((created_at, run_state))) if counts(&run_state) => {
                    tasks.push(task_of(name, created_at, run_state));
                }
                Ok(_) => (),
                // One damaged record must not hide the other tasks, nor be retried for ever.
                Err(err) if err.kind() == io::ErrorKind::InvalidData => {
                    error!(execution:% = name, cause:% = err; "record of a task cannot be read");
                    let run_state = RunState::Ended(Ended {
                        outcome: Outcome::Failed(format!(
                            "its record cannot be read: {err}; outcome unknown"
                        )),
                        ended_at_ns: self.clock.now().nanos(),
                    });
                    tasks.push(task_of(name, self.clock.now(), run_state));
                }
                Err(err) => return Err(unavailable(err)),
            }
        }
        Ok(tasks)
    }

    fn read(&self, name: &str, directory: &TaskDirectory) -> io::Result<Option<Task>> {
        let found = self.read_state(directory)?;
        Ok(found.map(|(created_at, run_state)| task_of(name, created_at, run_state)))
    }

    /// When a task was created, and its state. `None`: no such task.
    fn read_state(&self, directory: &TaskDirectory) -> io::Result<Option<(Timestamp, RunState)>> {
        let Some(order) = directory.order()? else { return Ok(None) };
        let run_state = match directory.ended()? {
            Some(ended) => RunState::Ended(ended),
            None => self.state_without_outcome(directory)?,
        };
        if matches!(run_state, RunState::Ended(_))
            && let Err(err) = directory.mark_seen(self.clock.now())
        {
            // The only effect is that the directory is kept longer.
            warn!(
                directory:% = directory.path().display(), cause:% = err;
                "task could not be marked as seen"
            );
        }
        Ok(Some((Timestamp::from_nanos(order.created_at_ns), run_state)))
    }

    fn state_without_outcome(&self, directory: &TaskDirectory) -> io::Result<RunState> {
        let _trying = lock(&self.trying);
        let Some(_held) = directory.try_lock()? else { return Ok(RunState::Active) };
        // The runner is dead. It may have recorded the end since we looked.
        if let Some(ended) = directory.ended()? {
            return Ok(RunState::Ended(ended));
        }
        if directory.started()?.is_none() {
            return Ok(RunState::NeverStarted);
        }
        let outcome = Outcome::Failed("the runner died; outcome unknown".to_owned());
        let ended = Ended { outcome, ended_at_ns: self.clock.now().nanos() };
        warn!(
            directory:% = directory.path().display();
            "the runner of a task died, its command may still be running"
        );
        // Recorded, so that the end does not move with each look.
        directory.record_ended(&ended)?;
        Ok(RunState::Ended(ended))
    }

    fn is_locked(&self, directory: &TaskDirectory) -> io::Result<bool> {
        let _trying = lock(&self.trying);
        Ok(directory.try_lock()?.is_none())
    }

    fn directory_of(&self, name: &str) -> Option<TaskDirectory> {
        is_plain_name(name).then(|| TaskDirectory::at(self.directory.join(name)))
    }

    /// Waits for runners that have ended. `true`: there were some.
    fn reap(&self) -> bool {
        let mut runners = lock(&self.runners);
        let before = runners.len();
        // An error means that somebody else has waited for it.
        runners.retain_mut(|runner| matches!(runner.try_wait(), Ok(None)));
        if orphans::are_ours() {
            // Runners are started under this lock too, so all of them are known.
            orphans::reap(|pid| runners.iter().any(|runner| runner.id() == pid));
        }
        runners.len() < before
    }

    /// Removes the directories of a service that died while creating or removing them.
    fn remove_leftovers(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

/// The prefix of a directory before and after its life. No task's name starts with a dot.
const UNFINISHED: &str = ".unfinished-";

/// The byte that the service writes to its own pipe.
const RUNNER_STARTED: u8 = b's';

/// How soon the death of a runner that was killed is noticed.
const REAP_INTERVAL: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

enum Claim {
    Ours(TaskDirectory, File),
    Taken(TaskDirectory),
}

/// The thread that waits for runners to end. One for all tasks; it needs no descriptor for each.
///
/// A runner reports its end by a byte in a pipe. A killed one cannot, so while there are runners the thread
/// also checks for dead ones once a second.
pub(super) struct Follower {
    tasks: Arc<Tasks>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    pub(super) fn start(
        tasks: Arc<Tasks>,
        wakes: PipeReader,
        task_changed: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let followed = Arc::clone(&tasks);
        let thread = thread::Builder::new()
            .name("task-follower".to_owned())
            .spawn(move || follow(&followed, wakes, &task_changed))
            .map_err(|err| format!("no thread for following tasks could be started: {err}"))?;
        Ok(Self { tasks, thread: Some(thread) })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.tasks.closing.store(true, Ordering::SeqCst);
        let woken = (&self.tasks.wake).write_all(&[RUNNER_STARTED]);
        if woken.is_ok()
            && let Some(thread) = self.thread.take()
        {
            // Its panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

fn follow(tasks: &Tasks, mut wakes: PipeReader, task_changed: &dyn Fn()) {
    while !tasks.closing.load(Ordering::SeqCst) {
        let has_children = orphans::are_ours() || !lock(&tasks.runners).is_empty();
        let timeout = has_children.then_some(REAP_INTERVAL);
        let ended = wait_for_end(&mut wakes, timeout);
        let reaped = tasks.reap();
        if ended || reaped {
            task_changed();
            tasks.clean_now_and_then();
        }
    }
}

/// Waits for the pipe or the time-out. Returns whether a runner reports an end.
fn wait_for_end(wakes: &mut PipeReader, timeout: Option<Timespec>) -> bool {
    let mut descriptors = [PollFd::new(&*wakes, PollFlags::IN)];
    // If it was interrupted or timed out, there may be nothing to read.
    if !poll(&mut descriptors, timeout.as_ref()).is_ok_and(|ready| ready > 0) {
        return false;
    }
    let mut buffer = [0; 4096];
    wakes.read(&mut buffer).is_ok_and(|count| buffer[..count].contains(&TASK_ENDED))
}

fn task_of(name: &str, created_at: Timestamp, run_state: RunState) -> Task {
    let (state, updated_at) = match run_state {
        RunState::Active => (TaskState::Active, created_at),
        RunState::NeverStarted => {
            (TaskState::Failed("the task never started: its runner died first".to_owned()), created_at)
        }
        RunState::Ended(ended) => {
            let ended_at = Timestamp::from_nanos(ended.ended_at_ns);
            match ended.outcome {
                Outcome::Succeeded => (TaskState::Succeeded, ended_at),
                Outcome::Failed(reason) => (TaskState::Failed(reason), ended_at),
            }
        }
    };
    Task {
        guid: Guid::from(name),
        name: name.to_owned(),
        state,
        created_at: Some(created_at),
        updated_at: Some(updated_at),
    }
}

/// Whether the name can be a directory of ours: it stays inside ours and is not hidden.
fn is_plain_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=128).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(is_plain)
}

fn unavailable(err: io::Error) -> PlatformError {
    PlatformError::Unavailable {
        cause: format!("tasks cannot be kept: {err}"),
        retry_after: None,
        delivery: Delivery::Failed,
    }
}
