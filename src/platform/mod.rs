//! The platform, as the engine and the authorization need it: identities, roles, apps and tasks.
//!
//! Two implementations: [`cf`] (Cloud Foundry v3 and UAA) and [`local`] (standalone: a file and processes).
//! Every method may block for a bounded time, and is called from many threads.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use crate::base::outage;
use crate::model::{Access, Dispatch, Guid, ReadRoles, Timestamp};

pub mod cf;
pub mod local;

/// The place where tasks run and users are known: Cloud Foundry, or this machine.
pub trait Platform: Send + Sync + 'static {
    /// The holder of `token` (without its scheme). `None`: the platform does not accept the token.
    fn identify(&self, token: &str) -> Result<Option<Identity>, PlatformError>;

    /// The holder of the token with this SHA-256, if rights belong to tokens and the platform knows them all;
    /// `None`: rights belong to users.
    fn identify_digest(&self, _digest: &[u8; 32]) -> Result<Option<Option<Identity>>, PlatformError> {
        Ok(None)
    }

    /// What a request needs in order to be let in, in the words of those who give out tokens.
    fn needed_to_enter(&self) -> &'static str {
        "Authorization: bearer TOKEN, where UAA accepts the token and its user is developer or manager of a \
         space or holds cloud_controller.admin"
    }

    /// The URL at which a browser signs in, for OAuth 2's authorization code grant with PKCE; `None`: not
    /// supported.
    fn sign_in_url(
        &self,
        _client: &str,
        _scopes: &str,
        _redirect: &str,
        _state: &str,
        _challenge: &str,
    ) -> Result<Option<String>, PlatformError> {
        Ok(None)
    }

    /// Exchanges the code of a sign-in for a token; `None`: the code is not accepted.
    fn token_of_code(&self, _grant: &CodeGrant<'_>) -> Result<Option<String>, PlatformError> {
        Ok(None)
    }

    /// The apps that the platform knows without a request over the network, in its own order.
    fn known_apps(&self) -> Vec<KnownApp> {
        Vec::new()
    }

    /// The names of apps or spaces, for people to read, in no order. Unknown guids are left out. A space's
    /// name begins with that of its organization.
    fn names_of(&self, _what: Named, _guids: &[Guid]) -> Result<Vec<(Guid, String)>, PlatformError> {
        Ok(Vec::new())
    }

    /// The SHA-256 of each token that may sign in through a one-time link.
    fn token_digests(&self) -> Vec<[u8; 32]> {
        Vec::new()
    }

    /// The spaces in which `user` is a developer or a manager, in no order. Used if [`Identity::spaces`] is
    /// `None`.
    fn spaces_of(&self, user: &str) -> Result<Vec<Guid>, PlatformError>;

    /// The spaces in which `user` has one of these roles, and what they may do there. Used if
    /// [`Identity::spaces`] is `None`.
    fn readable_spaces_of(
        &self,
        _user: &str,
        _roles: &ReadRoles,
    ) -> Result<HashMap<Guid, Access>, PlatformError> {
        Ok(HashMap::new())
    }

    /// The space of an app; `None`: no such app.
    fn space_of_app(&self, app: &Guid) -> Result<Option<Guid>, PlatformError>;

    /// Starts a task. If the error's [`Delivery`] is not `Failed`, the task may exist: look it up with
    /// [`Platform::find_tasks`].
    fn create_task(&self, task: &NewTask) -> Result<Task, PlatformError>;

    /// All tasks with these names (at most [`TASK_BATCH`]), each only in its own app, in no order.
    fn find_tasks(&self, names: &[TaskName]) -> Result<Found, PlatformError>;

    /// The tasks with these guids (at most [`TASK_BATCH`]), in no order. Unknown ones are left out.
    fn list_tasks(&self, guids: &[Guid]) -> Result<Found, PlatformError>;

    /// Cancels a task. It is no error if the task has ended or is unknown.
    fn cancel_task(&self, guid: &Guid) -> Result<(), PlatformError>;

    /// Whether [`Platform::read_output`] works. Cloud Foundry keeps no output; it is in the logs of the app.
    fn keeps_output(&self) -> bool {
        false
    }

    /// A part of the output of the task named `name` (the guid of an execution): at most `limit` bytes from
    /// byte `offset` on. `None`: no output is kept.
    fn read_output(
        &self,
        _task: &str,
        _offset: u64,
        _limit: usize,
    ) -> Result<Option<OutputPart>, PlatformError> {
        Ok(None)
    }

    /// A part of the output of a task, if it is kept elsewhere and shown to the holder of `token` (without
    /// its scheme). `None`: it is not.
    fn read_logs(&self, _token: &str, _wanted: &LogQuery<'_>) -> Result<Option<LogPart>, PlatformError> {
        Ok(None)
    }

    /// Deletes the output of ended tasks whose names `is_gone` selects, because their executions are deleted.
    /// Returns the number of tasks.
    fn forget_ended(&self, _is_gone: &dyn Fn(&str) -> bool) -> Result<usize, PlatformError> {
        Ok(0)
    }

    /// Whether the platform responds, for `/readyz`.
    fn check(&self) -> Result<(), PlatformError>;
}

/// What a browser returns from signing in. No `Debug`, because it holds secrets.
#[expect(missing_docs, reason = "the names are those of OAuth 2")]
pub struct CodeGrant<'a> {
    pub client: &'a str,
    pub secret: &'a str,
    pub code: &'a str,
    pub redirect: &'a str,
    pub verifier: &'a str,
}

/// A kind of object that has a name for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Named {
    /// An app.
    App,
    /// A space, with its organization: "organization / space".
    Space,
}

/// An app with its name and space.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct KnownApp {
    pub guid: Guid,
    pub name: String,
    pub space: Guid,
}

/// The most guids or names in one request, because proxies reject URLs of more than 8 KB.
pub const TASK_BATCH: usize = 150;

/// The holder of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's id; for a token of a client without a user, the client's id.
    pub user: String,
    /// The name to show; `None`: the platform gives none.
    pub name: Option<String>,
    /// The token has the scope `cloud_controller.admin`, and the platform has accepted it.
    pub admin: bool,
    /// The token may read; an admin's always may.
    pub may_read: bool,
    /// The token may write; an admin's always may.
    pub may_write: bool,
    /// The spaces in which the token has the rights of a developer, if rights belong to tokens; `None` if
    /// they belong to users.
    pub spaces: Option<Vec<Guid>>,
    /// The spaces that the token may read without the rights of a developer, if rights belong to tokens.
    pub readable: Vec<Guid>,
    /// The scopes of the token that may let it read everywhere.
    pub scopes: Vec<String>,
    /// When the token expires, if it says so. No cached identity outlives it.
    pub expires_at: Option<Timestamp>,
}

/// A task to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// The app in which it runs.
    pub app: Guid,
    /// Its name, which contains the guid of its execution, so that the task can be found again.
    pub name: String,
    /// The command line.
    pub command: String,
    /// Memory limit in MiB.
    pub memory_in_mb: u32,
    /// Disk limit in MiB.
    pub disk_in_mb: u32,
    /// Bytes of log per second; -1: unlimited; 0: not given.
    pub log_rate_in_bps: i64,
    /// The identity that the task gets in its environment or labels.
    pub identity: TaskIdentity,
}

/// What a task runs for: passed to the task, and shown to people who find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskIdentity {
    /// The execution.
    pub execution: Guid,
    /// The job.
    pub job: Guid,
    /// The job's name.
    pub job_name: String,
    /// The fire time; `None`: started by hand.
    pub scheduled_time: Option<Timestamp>,
    /// The attempt, from 1 on.
    pub attempt: u32,
}

impl TaskIdentity {
    /// From an execution that is about to request its task.
    pub fn of(dispatch: &Dispatch) -> Self {
        Self {
            execution: dispatch.guid.clone(),
            job: dispatch.executable.clone(),
            job_name: dispatch.name.clone(),
            scheduled_time: dispatch.scheduled_time,
            attempt: dispatch.course.attempt,
        }
    }
}

/// A task to look up. A task of another app is a different one, even with the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskName {
    /// The app in which it runs.
    pub app: Guid,
    /// The name it was created with.
    pub name: String,
}

/// The result of looking up tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The tasks that exist.
    pub tasks: Vec<Task>,
    /// The names or guids whose existence or state the platform cannot tell at the moment.
    pub unclear: Vec<String>,
}

/// A task as the platform knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The identifier that the platform gave it.
    pub guid: Guid,
    /// The name it was created with.
    pub name: String,
    /// Whether and how it ended.
    pub state: TaskState,
    /// When it was created, if the platform says so.
    pub created_at: Option<Timestamp>,
    /// When the platform last changed it: for an ended task, its end.
    pub updated_at: Option<Timestamp>,
}

/// A part of the output of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPart {
    /// The bytes from the offset on; empty if the output is shorter.
    pub bytes: Vec<u8>,
    /// The length of the whole output so far, in bytes.
    pub length: u64,
    /// The task has ended, so `length` is final.
    pub is_ended: bool,
}

/// The requested output of a task.
#[derive(Debug, Clone, Copy)]
pub struct LogQuery<'a> {
    /// The app in which it ran.
    pub app: &'a Guid,
    /// Its execution.
    pub execution: &'a Guid,
    /// The number of the attempt, from 1 on.
    pub attempt: u32,
    /// Only output from this time on.
    pub from: Timestamp,
    /// Only output up to this time.
    pub until: Timestamp,
    /// Whether `from` is the start of the task.
    pub is_from_start: bool,
    /// The most bytes, approximately.
    pub bytes_max: usize,
}

/// A part of the output of a task that is kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPart {
    /// Whole lines.
    pub bytes: Vec<u8>,
    /// The time from which to continue.
    pub next: Timestamp,
    /// Whether there was no more output at this time.
    pub is_drained: bool,
    /// Whether some of the output since the start was dropped.
    pub is_truncated: bool,
}

/// The state of a task. Only `Succeeded` is success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// Not known to have ended.
    Active,
    /// The platform has stored the task but will never start it: its command has not run.
    NeverRan(String),
    /// Ended with success.
    Succeeded,
    /// Ended without success, with the platform's reason (never empty).
    Failed(String),
}

/// Why a request to the platform failed, by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlatformError {
    /// Unreachable or too slow, or the response is a 429, a 5xx or invalid: retry later.
    Unavailable {
        /// What happened, for logs and messages, without secrets.
        cause: String,
        /// How long the platform asked to wait (`Retry-After`).
        retry_after: Option<Duration>,
        /// Whether the request may have had an effect.
        delivery: Delivery,
    },
    /// A setting of the service is wrong, or its client lacks an authority: an operator must act. The request
    /// had no effect, and a retry succeeds once that is fixed.
    Misconfigured {
        /// What is wrong, and which setting to check, without secrets.
        cause: String,
    },
    /// Refused (another 4xx). A retry would fail too.
    Refused {
        /// The platform's message, without secrets.
        detail: String,
    },
}

/// Whether a failed request may have had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It had none: it was not delivered (refused, no connection, no token), or the response was a 429.
    Failed,
    /// Unknown, but the request is over: the platform itself answered 5xx. A look-up is conclusive.
    Answered,
    /// Unknown, and it may still take effect: the response was lost, came from a gateway, or was invalid.
    Unknown,
}

impl fmt::Display for PlatformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable { cause, .. } | Self::Misconfigured { cause } => f.write_str(cause),
            Self::Refused { detail } => f.write_str(detail),
        }
    }
}

impl std::error::Error for PlatformError {}

impl PlatformError {
    /// Reports the outage that this error is part of, and returns the level of a log line about the error.
    pub fn noted(&self) -> log::Level {
        let is_outage = matches!(self, Self::Unavailable { .. });
        if is_outage {
            outage::PLATFORM.failed(self);
        }
        outage::level(is_outage)
    }
}
