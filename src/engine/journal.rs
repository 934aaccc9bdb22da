//! Logs and counts each change of an execution.
//!
//! Invariant: each change that the database accepts is logged and counted once, here and nowhere else.
//! Executions that are cancelled together make one line with their number.
//!
//! The end of an execution is logged as `info`, or as a warning if it failed. Earlier changes are `debug`.

use std::time::Duration;

use log::{Level, debug, info, log, warn};

use crate::base::logging::{beginning, milliseconds, on_behalf_of};
use crate::base::metrics::metrics;
use crate::model::{Dispatch, EndState, ExecutionState, Guid, Kind, Outcome, Timestamp};
use crate::store::{CutOff, Ended};

/// The longest reason in a log line, in characters.
const REASON_CHARS: usize = 500;

/// The execution that a line is about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The guid of the execution.
    pub guid: &'a Guid,
    /// Whether it runs a job or a call.
    pub kind: Kind,
    /// The guid of the job or call.
    pub executable: &'a Guid,
    /// The name of the job or call; `None` if the line does not need it.
    pub name: Option<&'a str>,
    /// The fire time; `None`: started by hand.
    pub scheduled_time: Option<Timestamp>,
    /// When it was due: the fire time plus its jitter. Lateness counts from here.
    pub due_time: Option<Timestamp>,
    /// When the first attempt began; `None`: not yet.
    pub start_time: Option<Timestamp>,
    /// The id of the request that started it; empty if a schedule did.
    pub request_id: &'a str,
}

impl<'a> About<'a> {
    /// From a dispatched execution. `start_time`: when its first attempt began, as far as the worker knows.
    pub fn of(dispatch: &'a Dispatch, start_time: Option<Timestamp>) -> Self {
        Self {
            guid: &dispatch.guid,
            kind: dispatch.work.kind(),
            executable: &dispatch.executable,
            name: Some(&dispatch.name),
            scheduled_time: dispatch.scheduled_time,
            // For later attempts, `due_since` is not the time at which the execution was due.
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

/// It was recorded as PENDING.
pub fn created(about: &About<'_>) {
    let _for = on_behalf_of(about.request_id);
    metrics().execution(about.kind, ExecutionState::Pending);
    debug!(
        execution:% = about.guid, kind = about.kind.as_str(), executable:% = about.executable,
        state = "PENDING",
        scheduled_time = about.scheduled_time.map(|time| time.to_string());
        "execution created"
    );
}

/// Its first attempt begins, so its lateness is known.
pub fn first_attempt(about: &About<'_>) {
    if let Some(lateness) = about.lateness() {
        metrics().late_by(about.kind, lateness);
    }
}

/// It is RUNNING: its call is about to be sent, or its task exists.
pub fn running(about: &About<'_>, task: Option<&Guid>, attempt: u32) {
    let _for = on_behalf_of(about.request_id);
    metrics().execution(about.kind, ExecutionState::Running);
    debug!(
        execution:% = about.guid, kind = about.kind.as_str(), executable:% = about.executable,
        state = "RUNNING",
        attempt, task = task.map(Guid::as_str), late_ms = about.lateness().map(milliseconds);
        "execution running"
    );
}

/// It stays PENDING, and the next attempt follows after `wait`. [`crate::base::outage`] logs the outage of
/// the platform.
pub fn postponed(about: &About<'_>, wait: Duration, cause: &str) {
    let _for = on_behalf_of(about.request_id);
    debug!(
        execution:% = about.guid, kind = about.kind.as_str(), name = about.name,
        executable:% = about.executable,
        state = "PENDING", wait_ms = milliseconds(wait), cause = beginning(cause, REASON_CHARS);
        "another attempt later"
    );
}

/// An attempt has failed, and the next one follows after `wait`.
pub fn retried(about: &About<'_>, attempt: u32, wait: Duration, cause: &str) {
    let _for = on_behalf_of(about.request_id);
    warn!(
        execution:% = about.guid, kind = about.kind.as_str(), name = about.name,
        executable:% = about.executable,
        state = "PENDING", attempt, wait_ms = milliseconds(wait), cause = beginning(cause, REASON_CHARS);
        "attempt failed, retrying later"
    );
}

/// Its fire time was not served.
pub fn skipped(kind: Kind, execution: &Guid, executable: &Guid, reason: &str) {
    let state = ExecutionState::Skipped;
    metrics().execution(kind, state);
    info!(
        execution:% = execution, kind = kind.as_str(), executable:% = executable, state = state.as_str(),
        reason;
        "execution skipped"
    );
}

/// It ended because of a decision about another execution.
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
        execution:% = about.guid, kind = about.kind.as_str(), name = about.name,
        executable:% = about.executable,
        state = outcome.state.as_str(), late_ms = about.lateness().map(milliseconds), ms = took,
        task = task.map(Guid::as_str), reason = reason(outcome);
        "execution ended"
    );
}

/// It was ended as FAILED from outside: interrupted, replaced, or taken over from a dead instance.
pub fn cut_off(it: &CutOff, reason: &str) {
    let _for = on_behalf_of(&it.request_id);
    metrics().execution(it.kind, ExecutionState::Failed);
    warn!(
        execution:% = it.guid, kind = it.kind.as_str(), name = it.name.as_str(), executable:% = it.executable,
        state = "FAILED", reason;
        "execution ended"
    );
}

/// PENDING executions were cancelled together.
pub fn cancelled(kind: Kind, count: u64, reason: &str) {
    if count > 0 {
        metrics().cancelled(kind, count);
        info!(executions = count, kind = kind.as_str(), state = "FAILED", reason; "executions cancelled");
    }
}

/// The reason to log, if there is one.
fn reason(outcome: &Outcome) -> Option<&str> {
    (!outcome.message.is_empty()).then(|| beginning(&outcome.message, REASON_CHARS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_does_not_count_as_lateness() {
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
