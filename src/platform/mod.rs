//! What the engine and the authorization need of the platform: who holds a token, which spaces somebody works
//! in, the space of an app, and tasks.
//!
//! Two implementations: [`cf`] (Cloud Foundry v3 and UAA) and [`local`] (standalone: a file and processes).
//! Every method may block, for a bounded time only, and is called from many threads.

use std::fmt;
use std::time::Duration;

use crate::base::outage;
use crate::model::{Guid, Timestamp};

pub mod cf;
pub mod local;

/// The seam between the service and where it runs.
pub trait Platform: Send + Sync + 'static {
    /// Who holds `token` (without its scheme). `None`: the platform does not accept it.
    fn identify(&self, token: &str) -> Result<Option<Identity>, PlatformError>;

    /// Who holds the token of this SHA-256, where rights belong to tokens and the platform knows them all;
    /// `None`: they belong to users.
    fn identify_digest(&self, _digest: &[u8; 32]) -> Result<Option<Option<Identity>>, PlatformError> {
        Ok(None)
    }

    /// Where a browser goes to sign in, as OAuth 2's authorization code with PKCE has it; `None`: nowhere.
    fn sign_in_url(
        &self,
        _client: &str,
        _redirect: &str,
        _state: &str,
        _challenge: &str,
    ) -> Result<Option<String>, PlatformError> {
        Ok(None)
    }

    /// The token that such a sign-in ends with; `None`: the code is not accepted.
    fn token_of_code(&self, _grant: &CodeGrant<'_>) -> Result<Option<String>, PlatformError> {
        Ok(None)
    }

    /// The apps that the platform can name without being asked over a network, in its own order.
    fn known_apps(&self) -> Vec<KnownApp> {
        Vec::new()
    }

    /// The SHA-256 of each token that may sign in through a one-time link.
    fn token_digests(&self) -> Vec<[u8; 32]> {
        Vec::new()
    }

    /// The spaces in which `user` is a developer or a manager, in no order; for an [`Identity`] that names
    /// none.
    fn spaces_of(&self, user: &str) -> Result<Vec<Guid>, PlatformError>;

    /// The space of an app; `None`: no such app.
    fn space_of_app(&self, app: &Guid) -> Result<Option<Guid>, PlatformError>;

    /// Starts a task. When the error's [`Delivery`] is not `Failed`, the task may exist: look with
    /// [`Platform::find_tasks`].
    fn create_task(&self, task: &NewTask) -> Result<Task, PlatformError>;

    /// All tasks of these names (at most [`TASK_BATCH`]), each in its own app alone, in no order.
    fn find_tasks(&self, names: &[TaskName]) -> Result<Found, PlatformError>;

    /// The tasks of these guids (at most [`TASK_BATCH`]), in no order; unknown ones are missing from the
    /// answer.
    fn list_tasks(&self, guids: &[Guid]) -> Result<Found, PlatformError>;

    /// Asks for the end of a task. That it has ended already, or is unknown, is no error.
    fn cancel_task(&self, guid: &Guid) -> Result<(), PlatformError>;

    /// Whether it keeps the output of tasks for [`Platform::read_output`]. Cloud Foundry does not: it is in
    /// the logs of the app.
    fn keeps_output(&self) -> bool {
        false
    }

    /// A part of what the task of that name (the guid of an execution) has printed: at most `limit` bytes
    /// from byte `offset` on. `None`: nothing is kept of it.
    fn read_output(
        &self,
        _task: &str,
        _offset: u64,
        _limit: usize,
    ) -> Result<Option<OutputPart>, PlatformError> {
        Ok(None)
    }

    /// Forgets what is kept of ended tasks of which `is_gone` says that nobody can ask for them any more, by
    /// name. How many those were.
    fn forget_ended(&self, _is_gone: &dyn Fn(&str) -> bool) -> Result<usize, PlatformError> {
        Ok(0)
    }

    /// Whether the platform answers at all, for `/readyz`. `Err` says what is wrong.
    fn check(&self) -> Result<(), PlatformError>;
}

/// What a browser brings back from signing in. It holds secrets, so there is no `Debug`.
#[expect(missing_docs, reason = "the names are those of OAuth 2")]
pub struct CodeGrant<'a> {
    pub client: &'a str,
    pub secret: &'a str,
    pub code: &'a str,
    pub redirect: &'a str,
    pub verifier: &'a str,
}

/// An app with names for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct KnownApp {
    pub guid: Guid,
    pub name: String,
    pub space: Guid,
}

/// The most guids or names in one request: proxies stop at 8 KB of URL.
pub const TASK_BATCH: usize = 150;

/// Who holds a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's id; for a token of a client without a user, the client's id.
    pub user: String,
    /// Holds `cloud_controller.admin`, by a token that the platform vouched for.
    pub admin: bool,
    /// The token is good for reading; an admin's always is.
    pub may_read: bool,
    /// The token is good for changing things; an admin's always is.
    pub may_write: bool,
    /// The spaces in which the token is good for a developer's work, where that is the token's own; `None`:
    /// those of its user.
    pub spaces: Option<Vec<Guid>>,
    /// When the token ends, as far as it says so. No remembered verdict outlives it.
    pub expires_at: Option<Timestamp>,
}

/// A task to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// The app in whose context it runs.
    pub app: Guid,
    /// Its name, which holds the guid of its execution, so that it can be found again.
    pub name: String,
    /// The command line.
    pub command: String,
    /// Memory limit in MiB.
    pub memory_in_mb: u32,
    /// Disk limit in MiB.
    pub disk_in_mb: u32,
    /// Bytes of log a second; -1: unlimited; 0: not given.
    pub log_rate_in_bps: i64,
}

/// Which task is looked for: that of another app is another task, whatever its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskName {
    /// The app in whose context it runs.
    pub app: Guid,
    /// The name it was created with.
    pub name: String,
}

/// What is known of the tasks that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Those that there are.
    pub tasks: Vec<Task>,
    /// The names or guids of which the platform cannot say now whether there is such a task, or where it
    /// stands.
    pub unclear: Vec<String>,
}

/// A task as the platform knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The platform's identifier of it.
    pub guid: Guid,
    /// The name it was created with.
    pub name: String,
    /// Where it stands.
    pub state: TaskState,
    /// When it was created, as far as the platform says so.
    pub created_at: Option<Timestamp>,
    /// When the platform last changed it: for an ended task, its end.
    pub updated_at: Option<Timestamp>,
}

/// A part of the output of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPart {
    /// The bytes from the offset on; none when the output does not reach so far.
    pub bytes: Vec<u8>,
    /// Bytes of the whole output so far.
    pub length: u64,
    /// The task has ended, so that `length` stays.
    pub is_ended: bool,
}

/// Where a task stands. Only `Succeeded` is success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// Not ended, as far as is known.
    Active,
    /// The platform has stored it, could not start it, and never will: its command has not run.
    NeverRan(String),
    /// Ended well.
    Succeeded,
    /// Ended otherwise, with the platform's reason (never empty).
    Failed(String),
}

/// Why the platform did not do what it was asked, by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlatformError {
    /// Not reachable, too slow, or answering 429 or 5xx or no sense: try again later.
    Unavailable {
        /// What happened, for logs and messages. Holds no secret.
        cause: String,
        /// What the platform asked to wait (`Retry-After`).
        retry_after: Option<Duration>,
        /// Whether the request may have had its effect.
        delivery: Delivery,
    },
    /// A setting of the service, or an authority of its client, is wrong: an operator must act. Nothing had
    /// an effect, and trying again helps once that is mended.
    Misconfigured {
        /// What is wrong and which setting to look at. Holds no secret.
        cause: String,
    },
    /// A definite no (other 4xx), in the platform's own words. Trying again is of no use.
    Refused {
        /// The platform's words. Holds no secret.
        detail: String,
    },
}

/// Whether a failed request may have had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It had none: it never got there (refused, no connection, no token), or was answered 429.
    Failed,
    /// Nobody knows, but it has been dealt with: it was answered 5xx by those who deal with it. To look is to
    /// know.
    Answered,
    /// Nobody knows, and it may still have its effect later: the answer was lost, is a gateway's, or made no
    /// sense.
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
    /// Notes the outage of which this is a part, and gives the level of a line about it.
    pub fn noted(&self) -> log::Level {
        let is_outage = matches!(self, Self::Unavailable { .. });
        if is_outage {
            outage::PLATFORM.failed(self);
        }
        outage::level(is_outage)
    }
}
