//! The process that runs one task: `ocf-scheduler run-task DIR`.
//!
//! Invariant: the command runs at most once, and only after `started.json` is on disk. While this process
//! lives it holds the lock of DIR, which the kernel releases at its death, however it dies.
//!
//! The service starts it with DIR's locked lock file as standard input, and a pipe as standard output, into
//! which it writes one byte at its end. It has its own session, so that it outlives the service and its
//! terminal. It has one thread, which waits for descriptors only, in [`supervise`].

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::unistd::{Uid, User, initgroups, setresgid, setresuid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process_group, setsid, waitid,
};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use super::memory::Group;
use super::records::{Ended, Order, Outcome, Started, TaskDirectory};
use crate::base::clock::{self, Clock, SystemClock};

/// How much of a task's output is kept. The rest is read and discarded, so that no task has to wait. With the
/// line that says so, it fits into the MiB that one answer shows.
const OUTPUT_MAX_BYTES: usize = 1024 * 1024 - 76;

/// How long a cancelled task may take to end by itself.
const CANCEL_GRACE: Duration = Duration::from_secs(10);

/// How often a runner checks whether its directory still exists.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// A disk that is full when the task ends (perhaps because of the task) must not lose the outcome at once.
const RECORD_TRIES: u32 = 150;
const RECORD_RETRY_DELAY: Duration = Duration::from_secs(2);

/// Runs the hidden subcommand `run-task` with its arguments. An error is for a person who starts it by hand;
/// the service learns everything through the directory.
pub fn run_task(mut arguments: impl Iterator<Item = OsString>) -> Result<(), String> {
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        return Err("run-task takes one argument, the directory of a task".to_owned());
    };
    hide_memory();
    // Fails only for the leader of a process group, which a child of the service is not.
    let _ = setsid();
    let directory = TaskDirectory::at(path);
    check_lock(&directory)?;
    if directory.started().map_err(describe)?.is_some() {
        return Err("the task of this directory was started before".to_owned());
    }
    let signals = Signals::listen().map_err(describe)?;
    // From here on the service can find us, so a cancellation comes as a signal. An earlier one is a mark on
    // the disk.
    let started = Started { runner_pid: getpid().as_raw_nonzero().get(), started_at_ns: now_ns() };
    directory.record_started(&started).map_err(describe)?;

    let outcome = if directory.is_cancelled() { cancelled() } else { run_order(&directory, &signals) };
    // The command has ended; later signals are meant for us.
    signals.end.store(false, Ordering::SeqCst);
    record(&directory, &Ended { outcome, ended_at_ns: now_ns() }, &signals)?;
    // The service may be gone, or another one may run that does not have the other end: then nobody needs
    // waking.
    let mut wake = io::stdout();
    let _ = wake.write_all(&[TASK_ENDED]).and_then(|()| wake.flush());
    Ok(())
}

/// Runs the hidden subcommand `run-as USER PROGRAM ARGUMENTS…`: takes on the user's uid, gid and
/// supplementary groups, and becomes the program. It returns only with an error, for the task to print.
pub fn run_as(mut arguments: impl Iterator<Item = OsString>) -> String {
    let (Some(user), Some(program)) = (arguments.next(), arguments.next()) else {
        return "run-as takes a user and a program".to_owned();
    };
    match become_user(&user.to_string_lossy()) {
        Ok(()) => Command::new(program).args(arguments).exec().to_string(),
        Err(err) => format!("the task cannot run as the user {}: {err}", user.to_string_lossy()),
    }
}

fn become_user(name: &str) -> Result<(), String> {
    let user = User::from_name(name).map_err(|err| err.to_string())?.ok_or("there is no such user")?;
    if !Uid::effective().is_root() {
        // A file may name the service's own user.
        return if user.uid == Uid::effective() { Ok(()) } else { Err("the service is not root".to_owned()) };
    }
    let name = CString::new(user.name).map_err(|err| err.to_string())?;
    // Set the uid last: afterwards nothing else may be changed.
    initgroups(&name, user.gid)
        .and_then(|()| setresgid(user.gid, user.gid, user.gid))
        .and_then(|()| setresuid(user.uid, user.uid, user.uid))
        .map_err(|err| err.to_string())
}

/// The byte that a runner writes to its standard output at its end.
pub(super) const TASK_ENDED: u8 = b'e';

/// Checks that the service locked the lock file and handed it over.
fn check_lock(directory: &TaskDirectory) -> Result<(), String> {
    let stdin = rustix::fs::fstat(io::stdin().as_fd()).map_err(|err| err.to_string())?;
    if directory.is_lock(stdin.st_dev, stdin.st_ino) {
        Ok(())
    } else {
        Err("only the service may start run-task".to_owned())
    }
}

/// Keeps other processes of the same user from reading the memory and environment of this one, and from
/// tracing it.
pub(crate) fn hide_memory() {
    // Fails only on kernels without this feature.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Whether our standard input, the lock file, was unlinked: the directory is gone, or about to be.
fn is_directory_gone() -> bool {
    rustix::fs::fstat(io::stdin().as_fd()).is_ok_and(|lock| lock.st_nlink == 0)
}

fn record(directory: &TaskDirectory, ended: &Ended, signals: &Signals) -> Result<(), String> {
    let mut last_error = String::new();
    for _ in 0..RECORD_TRIES {
        match directory.record_ended(ended) {
            Ok(()) => return Ok(()),
            Err(err) => last_error = describe(err),
        }
        // Nobody could read the record, or the machine is shutting down.
        if is_directory_gone() || signals.end_requested() {
            break;
        }
        wait(signals, None, Some(RECORD_RETRY_DELAY));
    }
    Err(format!("the outcome could not be recorded: {last_error}"))
}

fn run_order(directory: &TaskDirectory, signals: &Signals) -> Outcome {
    let order = match directory.order() {
        Ok(Some(order)) => order,
        Ok(None) => return Outcome::Failed("the record of the task is gone".to_owned()),
        Err(err) => return Outcome::Failed(describe(err)),
    };
    if !order.directory.is_dir() {
        let gone = order.directory.display();
        return Outcome::Failed(format!("the command could not be started: no directory {gone}"));
    }
    let log = match directory.create_output() {
        Ok(file) => OutputLog { file, kept: 0, is_cut: false },
        Err(err) => {
            return Outcome::Failed(format!("its output log could not be created: {}", describe(err)));
        }
    };
    let group_name = directory.path().file_name().unwrap_or_default().to_string_lossy();
    let group = Group::create(&group_name, order.memory_in_mb);
    let outcome = match start(&order, group.as_ref()) {
        Ok((child, output)) => supervise(child, output, log, directory, signals),
        Err(err) => Outcome::Failed(format!("the command could not be started: {err}")),
    };
    match (outcome, group) {
        (Outcome::Failed(reason), Some(group)) if group.was_out_of_memory() => {
            Outcome::Failed(format!("{reason}: over its memory limit of {} MB", order.memory_in_mb))
        }
        (outcome, _) => outcome,
    }
}

/// Starts the command in its own process group, under its memory limit.
fn start(order: &Order, group: Option<&Group>) -> io::Result<(Child, PipeReader)> {
    let (output, input) = io::pipe()?;
    let mut command = match &order.user {
        None => Command::new("/bin/sh"),
        // A separate process becomes that user, because this one must keep its user to write the records.
        Some(user) => {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("run-as").arg(user).arg("/bin/sh");
            command
        }
    };
    command.arg("-c");
    if group.is_some() {
        command.arg(&order.command);
    } else {
        command.arg(super::memory::LIMIT_EACH_PROCESS).arg("sh");
        command.arg(super::memory::limit_in_kib(order.memory_in_mb)).arg(&order.command);
    }
    command.current_dir(&order.directory).process_group(0).envs(&order.environment);
    command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input);
    // A child starts in the group of its parent, so it is limited from its first instant.
    if let Some(group) = group {
        group.enter()?;
    }
    let child = command.spawn();
    if let Some(group) = group {
        group.leave()?;
    }
    Ok((child?, output))
    // Dropping `command` closes our copies of the pipe's writing end.
}

/// Follows the command to its end: keeps its output, and ends it on request.
fn supervise(
    mut child: Child,
    mut output: PipeReader,
    mut log: OutputLog,
    directory: &TaskDirectory,
    signals: &Signals,
) -> Outcome {
    let Some(pid) = Pid::from_raw(child.id().cast_signed()) else {
        return Outcome::Failed("the command has no process id".to_owned());
    };
    let mut open = true;
    let mut kill_at: Option<Instant> = None;
    let mut ending = false;
    while !has_exited(pid) {
        // Without its directory nobody can learn of the task or cancel it.
        if (signals.end_requested() || is_directory_gone()) && !ending {
            ending = true;
            kill_at = Some(clock::instant() + CANCEL_GRACE);
            let _ = kill_process_group(pid, Signal::TERM);
        }
        if kill_at.is_some_and(|at| at <= clock::instant()) {
            kill_at = None;
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let patience = kill_at.map(|at| at.saturating_duration_since(clock::instant()));
        if wait(signals, open.then_some(&output), Some(patience.unwrap_or(LOOK_INTERVAL))) {
            open = log.take_from(&mut output);
        }
    }
    // The command has ended, so end what it left behind in its group. Until it is waited for, its process id,
    // which is also the group's, cannot be reused.
    let _ = kill_process_group(pid, Signal::KILL);
    let status = child.wait();
    // A process that left the group may write for ever; the command's own output is in the pipe by now.
    let mut rest = OUTPUT_MAX_BYTES;
    while open && rest > 0 && is_readable(&output) {
        open = log.take_from(&mut output);
        rest = rest.saturating_sub(READ_BYTES);
    }
    match status {
        _ if ending && directory.is_cancelled() => cancelled(),
        Ok(status) => outcome_of(status),
        Err(err) => Outcome::Failed(format!("its exit status could not be read: {err}; outcome unknown")),
    }
}

fn outcome_of(status: ExitStatus) -> Outcome {
    match (status.code(), status.signal()) {
        (Some(0), _) => Outcome::Succeeded,
        (Some(code), _) => Outcome::Failed(format!("exit status {code}")),
        (None, Some(signal)) => Outcome::Failed(match signal_hook::low_level::signal_name(signal) {
            Some(name) => format!("killed by signal {signal} ({name})"),
            None => format!("killed by signal {signal}"),
        }),
        (None, None) => Outcome::Failed(format!("ended strangely: {status}")),
    }
}

fn cancelled() -> Outcome {
    Outcome::Failed("cancelled".to_owned())
}

/// Whether the process has ended. Does not reap it.
fn has_exited(pid: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // An error means that there is no such child; waiting for it will report that.
    !matches!(waitid(WaitId::Pid(pid), look), Ok(None))
}

/// Waits for a signal, output, or the time-out. Returns whether there is output (or its end).
fn wait(signals: &Signals, output: Option<&PipeReader>, patience: Option<Duration>) -> bool {
    let timeout = patience.and_then(|patience| Timespec::try_from(patience).ok());
    let mut descriptors = vec![PollFd::new(&signals.wakes, PollFlags::IN)];
    descriptors.extend(output.map(|output| PollFd::new(output, PollFlags::IN)));
    // An interruption is a signal, and the next round checks everything.
    let polled = poll(&mut descriptors, timeout.as_ref());
    let readable = polled.is_ok() && descriptors.get(1).is_some_and(|output| !output.revents().is_empty());
    signals.empty();
    readable
}

fn is_readable(output: &PipeReader) -> bool {
    let mut descriptors = [PollFd::new(output, PollFlags::IN)];
    poll(&mut descriptors, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

const READ_BYTES: usize = 64 * 1024;

/// The first [`OUTPUT_MAX_BYTES`] of a command's output.
struct OutputLog {
    file: File,
    kept: usize,
    /// Whether the line about further output was written.
    is_cut: bool,
}

impl OutputLog {
    /// Reads once, and keeps what fits. `false`: end of the output.
    fn take_from(&mut self, output: &mut PipeReader) -> bool {
        let mut buffer = [0; READ_BYTES];
        match output.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.keep(&buffer[..count]);
                true
            }
            Err(err) => err.kind() == io::ErrorKind::Interrupted,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(OUTPUT_MAX_BYTES - self.kept);
        // A full disk loses output, not the task.
        let _ = self.file.write_all(&bytes[..kept]);
        self.kept += kept;
        if kept < bytes.len() && !self.is_cut {
            self.is_cut = true;
            let _ = writeln!(self.file, "\n[output beyond {OUTPUT_MAX_BYTES} bytes was not kept]");
        }
    }
}

/// The signals that matter, and a descriptor to wait for them.
struct Signals {
    wakes: UnixStream,
    end: Arc<AtomicBool>,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let (wakes, waker) = UnixStream::pair()?;
        wakes.set_nonblocking(true)?;
        let end = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            // The flag first, then the wake-up: actions run in the order of their registration.
            signal_hook::flag::register(signal, Arc::clone(&end))?;
            signal_hook::low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        signal_hook::low_level::pipe::register(SIGCHLD, waker)?;
        Ok(Self { wakes, end })
    }

    /// Whether the task is to end: it was cancelled, or the machine is shutting down.
    fn end_requested(&self) -> bool {
        self.end.load(Ordering::SeqCst)
    }

    fn empty(&self) {
        let mut buffer = [0; 64];
        while matches!((&self.wakes).read(&mut buffer), Ok(count) if count > 0) {}
    }
}

fn now_ns() -> i64 {
    SystemClock::default().now().nanos()
}

fn describe(err: io::Error) -> String {
    err.to_string()
}
