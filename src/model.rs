//! The domain: jobs, calls, schedules, executions, their states, and instants of time.
//!
//! Pure: no I/O, no serialization, no reading of clocks.

use std::fmt;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

mod access;
mod controls;
mod dialect;
mod location;
mod notifications;
mod runs;
mod task_names;
mod timing;

pub use access::{AUDITOR, Access, HIDDEN, ReadRoles, SUPPORTER, hidden_url};
pub use controls::{Call, ConcurrencyPolicy, Controls, Headers, Metadata, Method, RetryPolicy, Statuses};
pub use dialect::{Dialect, Weekdays};
pub use location::Location;
pub use notifications::{Event, Format, LabelRequirement, Notification, NotificationDefinition, Selector};
pub use runs::{Cancelling, Course, NextAttempt, Reason, attempt_key, attempt_of_task};
pub use task_names::{
    TASK_NAME_CHARS_MAX, TaskNames, is_unfindable, task_name_of_attempt, task_names_so_far,
};
pub use timing::{Definition, MisfirePolicy, Timing};

/// The longest guid accepted from outside, in bytes. The bound protects caches and index keys.
pub const GUID_MAX: usize = 255;

/// An opaque identifier. Ours are random UUIDs (version 4, lower case); the platform chooses those of apps,
/// spaces and tasks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guid(String);

impl Guid {
    /// A new random guid.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().to_string())
    }

    /// A guid from a client or the platform: 1 to 255 bytes of visible ASCII; `None` for any other text.
    pub fn from_outside(text: &str) -> Option<Self> {
        let is_guid =
            (1..=GUID_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_guid.then(|| Self::from(text))
    }

    /// The text of the guid.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has the form of a guid made by this program: a random UUID in lower case.
    pub fn is_ours(&self) -> bool {
        let uuid = uuid::Uuid::try_parse(&self.0);
        uuid.is_ok_and(|uuid| uuid.get_version_num() == 4 && uuid.hyphenated().to_string() == self.0)
    }
}

impl From<String> for Guid {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Guid {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that must not reach a log: `Debug` prints only its length.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret text. Call it only where the text is used.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(secret, {} bytes)", self.0.len())
    }
}

/// Whether something is a job or a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A command, run as a task in an app's context.
    Job,
    /// An HTTP request to a URL.
    Call,
}

impl Kind {
    /// Its name in the database and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Call => "call",
        }
    }
}

/// A row's number, in order of creation. Numbers are never reused.
pub type Id = i64;

/// A job or a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executable {
    /// Its place in the order of creation.
    pub id: Id,
    /// Its public identifier.
    pub guid: Guid,
    /// Its name, unique among its kind in its app.
    pub name: String,
    /// The app in whose context it runs.
    pub app: Guid,
    /// That app's space.
    pub space: Guid,
    /// When it was created.
    pub created_at: Timestamp,
    /// When a client last changed it.
    pub updated_at: Timestamp,
    /// What it does.
    pub work: Work,
    /// How its runs are controlled.
    pub controls: Controls,
}

impl Executable {
    /// Whether it is a job or a call.
    pub const fn kind(&self) -> Kind {
        self.work.kind()
    }
}

/// What a job or a call does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Runs a command.
    Job {
        /// The command line.
        command: String,
        /// Disk limit in MiB, from 1 to 2,147,483,647.
        disk_in_mb: u32,
        /// Memory limit in MiB, from 1 to 2,147,483,647.
        memory_in_mb: u32,
        /// Bytes of log a second, up to 2,147,483,647; -1: unlimited; 0: not given, so Cloud Foundry decides.
        log_rate_in_bps: i64,
        /// The outcome of the execution created last among those that have ended.
        state: JobState,
        /// How long an attempt may run, from 1 to 604,800; `None`: as long as it likes.
        timeout_seconds: Option<u32>,
    },
    /// Requests a URL.
    Call(Call),
}

impl Work {
    /// Whether it is a job's or a call's.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Job { .. } => Kind::Job,
            Self::Call(_) => Kind::Call,
        }
    }

    /// A copy that has the job state of `other`. Calls have no state.
    pub fn with_state_of(mut self, other: &Self) -> Self {
        if let (Self::Job { state, .. }, Self::Job { state: of_other, .. }) = (&mut self, other) {
            *state = *of_other;
        }
        self
    }
}

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// No execution has ended yet.
    Pending,
    /// The most recent execution went well.
    Succeeded,
    /// The most recent execution did not.
    Failed,
}

impl JobState {
    /// Its name for clients and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
        }
    }

    /// The state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Pending, Self::Succeeded, Self::Failed].into_iter().find(|state| state.as_str() == name)
    }
}

/// When an executable runs by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Its place in the order of creation.
    pub id: Id,
    /// Its public identifier.
    pub guid: Guid,
    /// The job or call that it runs.
    pub executable: Id,
    /// What clients set.
    pub definition: Definition,
    /// When it was created.
    pub created_at: Timestamp,
    /// When a client last changed it.
    pub updated_at: Timestamp,
    /// The next fire time; `None` if there is none, or the schedule is disabled.
    pub next_fire_time: Option<Timestamp>,
    /// When it became known that the schedule never fires again; `None` while it may.
    pub completed_at: Option<Timestamp>,
}

/// One run of an executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Its place in the order of creation.
    pub id: Id,
    /// Its public identifier; also in the name of its task, and the `Idempotency-Key` of its call.
    pub guid: Guid,
    /// The schedule that fired; `None`: started by hand.
    pub schedule: Option<Guid>,
    /// The fire time; `None` if it was started by hand.
    pub scheduled_time: Option<Timestamp>,
    /// The current state.
    pub state: ExecutionState,
    /// An explanation for people; may be empty.
    pub message: String,
    /// Why it was skipped or failed; `None` if it was not, or the reason is unknown.
    pub reason: Option<Reason>,
    /// The user or client that started it by hand; empty if a schedule did.
    pub requested_by: String,
    /// The number of the current attempt, from 1.
    pub attempt: u32,
    /// The platform's task, once known: that of the last attempt.
    pub task: Option<Guid>,
    /// When the first attempt began.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Timestamp>,
}

/// The state of an execution: `Pending` → `Running` → `Succeeded` or `Failed`; also `Pending` → `Failed` or
/// `Skipped`, and `Running` → `Pending` before another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionState {
    /// Recorded; the platform has not accepted its task yet, or its call is not under way yet.
    Pending,
    /// The task runs, or the call is in flight.
    Running,
    /// The task or call succeeded.
    Succeeded,
    /// It failed or was cancelled.
    Failed,
    /// A policy kept it from starting.
    Skipped,
}

impl ExecutionState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Skipped];

    /// Whether the state never changes again.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped)
    }

    /// Its name for clients and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Skipped => "SKIPPED",
        }
    }
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Success or failure.
    pub state: EndState,
    /// An explanation for people.
    pub message: String,
    /// Why it failed, if known.
    pub reason: Option<Reason>,
    /// When.
    pub end_time: Timestamp,
}

impl Outcome {
    /// A failure for this reason.
    pub fn failed(reason: Reason, message: impl Into<String>, end_time: Timestamp) -> Self {
        Self { state: EndState::Failed, message: message.into(), reason: Some(reason), end_time }
    }
}

/// The end states of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndState {
    /// Well.
    Succeeded,
    /// Otherwise.
    Failed,
}

impl EndState {
    /// Its name for clients and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => ExecutionState::Succeeded.as_str(),
            Self::Failed => ExecutionState::Failed.as_str(),
        }
    }
}

/// The number of a lease. It grows with each lease, so the greater of two is the valid one. 0: a single
/// process, which needs no lease.
pub type Fence = i64;

/// An execution that a process owns under a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// The execution.
    pub id: Id,
    /// The lease that owns it. Updates change no row once another lease owns the execution.
    pub fence: Fence,
}

impl From<EndState> for ExecutionState {
    fn from(state: EndState) -> Self {
        match state {
            EndState::Succeeded => Self::Succeeded,
            EndState::Failed => Self::Failed,
        }
    }
}

/// An execution handed to a worker, with everything the worker needs.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// The execution.
    pub of: Owned,
    /// Its guid.
    pub guid: Guid,
    /// The job or call that it runs.
    pub executable: Guid,
    /// The name of that job or call.
    pub name: String,
    /// The fire time; `None` if it was started by hand.
    pub scheduled_time: Option<Timestamp>,
    /// Since when it has waited for a worker: its fire time, or the due time of this attempt.
    pub due_since: Timestamp,
    /// The attempts so far.
    pub attempts: Attempts,
    /// The task name of the first attempt; `None` if it is the guid, or there was no attempt.
    pub task_name: Option<String>,
    /// The app in whose context it runs.
    pub app: Guid,
    /// The command or the request.
    pub work: Work,
    /// What decides whether it may begin, and whether another attempt follows.
    pub course: Course,
    /// The id of the request that started it; empty if a schedule did.
    pub request_id: String,
}

impl Dispatch {
    /// Identifies this attempt among the attempts of all executions.
    pub fn attempt_key(&self) -> Guid {
        attempt_key(&self.guid, self.course.attempt)
    }

    /// When it was due, and its number of attempts, as they were read. If they have changed, another instance
    /// has made an attempt since.
    pub const fn as_read(&self) -> (Timestamp, u32) {
        (self.due_since, self.attempts.count)
    }
}

/// A worker tells the scheduler that it is done with an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The task or call is running, or has ended.
    Done(Id),
    /// It may still be PENDING, and become due again at any time.
    MayBeDue(Id),
}

/// The attempts at starting an execution's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    /// How many have begun.
    pub count: u32,
    /// Consecutive requests to the platform that failed, look-ups included.
    pub failures: u32,
    /// The outcome of an attempt is unknown: it may have created a task. From this instant on, "not found" is
    /// conclusive. `None`: no outcome is unknown.
    pub doubt_until: Option<Timestamp>,
    /// When to give up; `None` if no request has failed.
    pub give_up_at: Option<Timestamp>,
}

/// An instant in UTC: nanoseconds since 1970, from 1677 to 2262. An integer in the database, RFC 3339 in
/// JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

const NANOS_PER_SECOND: i64 = 1_000_000_000;

impl Timestamp {
    /// From nanoseconds since 1970.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From whole seconds since 1970; `None` beyond the range.
    pub const fn from_seconds(seconds: i64) -> Option<Self> {
        match seconds.checked_mul(NANOS_PER_SECOND) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// Nanoseconds since 1970.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SECOND)
    }

    /// Truncated to the second, for people.
    pub const fn to_the_second(self) -> Self {
        Self(self.0 - self.0.rem_euclid(NANOS_PER_SECOND))
    }

    /// Moved by `by_nanos`, which may be negative; saturates at the ends of the range.
    pub const fn shifted(self, by_nanos: i64) -> Self {
        Self(self.0.saturating_add(by_nanos))
    }

    /// Later by `duration`; saturates at the end of the range.
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// Earlier by `duration`; saturates at the start of the range.
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// The time from `earlier` to this; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The modification time for a change made now to a row last changed at `seen`. Always later than `seen`,
    /// even if the clock went back, so two versions never share a time.
    pub fn next_version(self, seen: Self) -> Self {
        Self(self.0.max(seen.0.saturating_add(1)))
    }

    /// Reads RFC 3339 with any offset. `None` if it is malformed or beyond the range.
    pub fn parse(text: &str) -> Option<Self> {
        let instant = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(instant.unix_timestamp_nanos()).ok().map(Self)
    }
}

/// RFC 3339 with `Z`, and only as many fractional digits as needed.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant =
            OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0)).map_err(|_| fmt::Error)?;
        f.write_str(&instant.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}
