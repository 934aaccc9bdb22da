//! What is said, and counted, of each change of an execution.
//!
//! Invariant: a change of state that the database has taken is one line of the log and one count, here and
//! nowhere else; what is cancelled together is one line with a count.
//!
//! An end is worth a look each time: it is `info`, or a warning when it failed, with what matters in its
//! line. What comes before it is `debug`.

use std::time::Duration;

use log::{Level, debug, info, log, warn};

use crate::base::logging::{beginning, milliseconds, on_behalf_of};
use crate::base::metrics::metrics;
use crate::model::{Dispatch, EndState, ExecutionState, Guid, Kind, Outcome, Timestamp};
use crate::store::{CutOff, Ended};

/// The most of a reason that a line shows.
const REASON_CHARS: usize = 500;

/// The execution that a line is about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// Its guid.
    pub guid: &'a Guid,
    /// Whether it is a job's or a call's.
    pub kind: Kind,
    /// The job or call.
    pub executable: &'a Guid,
    /// The name of the job or call; `None` where the line needs none.
    pub name: Option<&'a str>,
    /// The instant planned; `None`: started by hand.
    pub scheduled_time: Option<Timestamp>,
    /// When it was due: at that instant, or later by its jitter. Lateness counts from here.
    pub due_time: Option<Timestamp>,
    /// When its first attempt began, if it has.
    pub start_time: Option<Timestamp>,
    /// The request that asked for it; empty: none did.
    pub request_id: &'a str,
}

impl<'a> About<'a> {
    /// Of one that a worker has. `start_time`: when its first attempt began, as far as the worker knows.
    pub fn of(dispatch: &'a Dispatch, start_time: Option<Timestamp>) -> Self {
        Self {
            guid: &dispatch.guid,
            kind: dispatch.work.kind(),
            executable: &dispatch.executable,
            name: Some(&dispatch.name),
            scheduled_time: dispatch.scheduled_time,
            // A later attempt is due at another time.
            due_time: match dispatch.attempts.count {
                0 => dispatch.scheduled_time.map(|_| dispatch.due_since),
                _ => dispatch.scheduled_time,
            },
            start_time,
            request_id: &dispatch.request_id,
        }
    }

    fn lateness(&self) -> Option<Duration> {
        Some(self.start_time?.since(self.due_time?))
    }
}

/// It was recorded, and is PENDING.
pub fn created(about: &About<'_>) {
    let _for = on_behalf_of(about.request_id);
    metrics().execution(about.kind, ExecutionState::Pending);
    debug!(
        execution:% = about.guid, kind = about.kind.as_str(), executable:% = about.executable, state = "PENDING",
        scheduled_time = about.scheduled_time.map(|time| time.to_string());
        "execution created"
    );
}

/// Its first attempt begins: only now is it known how late it is.
pub fn first_attempt(about: &About<'_>) {
    if let Some(lateness) = about.lateness() {
        metrics().late_by(about.kind, lateness);
    }
}

/// It is RUNNING: its call is about to be sent, or its task is there.
pub fn running(about: &About<'_>, task: Option<&Guid>, attempt: u32) {
    let _for = on_behalf_of(about.request_id);
    metrics().execution(about.kind, ExecutionState::Running);
    debug!(
        execution:% = about.guid, kind = about.kind.as_str(), executable:% = about.executable, state = "RUNNING",
        attempt, task = task.map(Guid::as_str), late_ms = about.lateness().map(milliseconds);
        "execution running"
    );
}

/// It stays PENDING, and another attempt comes after `wait`. That the platform is away is said by
/// [`crate::base::outage`].
pub fn postponed(about: &About<'_>, wait: Duration, cause: &str) {
    let _for = on_behalf_of(about.request_id);
    debug!(
        execution:% = about.guid, kind = about.kind.as_str(), name = about.name, executable:% = about.executable,
        state = "PENDING", wait_ms = milliseconds(wait), cause = beginning(cause, REASON_CHARS);
        "another attempt later"
    );
}

/// An attempt has failed, and another one comes after `wait`.
pub fn retried(about: &About<'_>, attempt: u32, wait: Duration, cause: &str) {
    let _for = on_behalf_of(about.request_id);
    warn!(
        execution:% = about.guid, kind = about.kind.as_str(), name = about.name, executable:% = about.executable,
        state = "PENDING", attempt, wait_ms = milliseconds(wait), cause = beginning(cause, REASON_CHARS);
        "attempt failed, another one later"
    );
}

/// Its fire time was not served.
pub fn skipped(kind: Kind, execution: &Guid, executable: &Guid, reason: &str) {
    let state = ExecutionState::Skipped;
    metrics().execution(kind, state);
    info!(
        execution:% = execution, kind = kind.as_str(), executable:% = executable, state = state.as_str(), reason;
        "execution skipped"
    );
}

/// A decision about another execution has ended it.
pub fn ended_by_another(ended: &Ended) {
    if ended.state == ExecutionState::Failed {
        return cut_off(&ended.of, &ended.message);
    }
    let it = &ended.of;
    let _for = on_behalf_of(&it.request_id);
    metrics().execution(it.kind, ended.state);
    info!(
        execution:% = it.guid, kind = it.kind.as_str(), name = it.name.as_str(), executable:% = it.executable,
        state = ended.state.as_str(), reason = ended.message.as_str();
        "execution skipped"
    );
}

/// It has ended.
pub fn ended(about: &About<'_>, outcome: &Outcome, task: Option<&Guid>) {
    let _for = on_behalf_of(about.request_id);
    metrics().execution(about.kind, outcome.state.into());
    let took = about.start_time.map(|start| milliseconds(outcome.end_time.since(start)));
    let level = match outcome.state {
        EndState::Succeeded => Level::Info,
        EndState::Failed => Level::Warn,
    };
    log!(
        level,
        execution:% = about.guid, kind = about.kind.as_str(), name = about.name, executable:% = about.executable,
        state = outcome.state.as_str(), late_ms = about.lateness().map(milliseconds), ms = took,
        task = task.map(Guid::as_str), reason = reason(outcome);
        "execution ended"
    );
}

/// It was ended as FAILED by something else than its work.
pub fn cut_off(it: &CutOff, reason: &str) {
    let _for = on_behalf_of(&it.request_id);
    metrics().execution(it.kind, ExecutionState::Failed);
    warn!(
        execution:% = it.guid, kind = it.kind.as_str(), name = it.name.as_str(), executable:% = it.executable,
        state = "FAILED", reason;
        "execution ended"
    );
}

/// What was PENDING was cancelled together.
pub fn cancelled(kind: Kind, count: u64, reason: &str) {
    if count > 0 {
        metrics().cancelled(kind, count);
        info!(executions = count, kind = kind.as_str(), state = "FAILED", reason; "executions cancelled");
    }
}

/// What there is to say of an end, if there is.
fn reason(outcome: &Outcome) -> Option<&str> {
    (!outcome.message.is_empty()).then(|| beginning(&outcome.message, REASON_CHARS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_no_lateness() {
        let at = |seconds| Timestamp::from_seconds(seconds).unwrap();
        let guid = Guid::from("guid");
        let about = About {
            guid: &guid,
            kind: Kind::Call,
            executable: &guid,
            name: None,
            scheduled_time: Some(at(60)),
            due_time: Some(at(90)),
            start_time: Some(at(91)),
            request_id: "",
        };
        assert_eq!(about.lateness(), Some(Duration::from_secs(1)));
        assert_eq!(About { due_time: None, ..about }.lateness(), None);
    }
}
