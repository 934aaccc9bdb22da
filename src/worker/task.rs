//! Starts the task of a job's execution, and finds out what became of an attempt whose answer was lost.

use std::time::Duration;

use log::{info, warn};

use super::Workshop;
use crate::model::{Dispatch, EndState, Timestamp};
use crate::platform::{Delivery, NewTask, PlatformError, Task};
use crate::stop::Stop;
use crate::store::Retry;

/// How long attempts are made, from the first on.
const RETRY_FOR: Duration = Duration::from_secs(600);
/// The wait after the first failed attempt; it doubles with each.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest wait between attempts, unless the platform asks for a longer one.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// "No such task" counts only this long after the attempt began: Cloud Foundry may still be at it, though its client is
/// gone.
const LATE_ACCEPTANCE: Duration = Duration::from_secs(60);

impl Workshop {
    pub(super) fn start_task(
        &self,
        dispatch: &Dispatch,
        command: &str,
        disk_in_mb: u32,
        memory_in_mb: u32,
        stop: &Stop,
    ) {
        if let Some(unknown_since) = dispatch.attempts.unknown_since
            && !self.may_attempt_again(dispatch, unknown_since, stop)
        {
            return;
        }
        let began_at = self.clock.now();
        if !self.may_go_on(dispatch, stop, self.store.begin_attempt(dispatch.id, began_at)) {
            return;
        }
        let created = self.platform.create_task(&NewTask {
            app: dispatch.app.clone(),
            name: dispatch.guid.to_string(),
            command: command.to_owned(),
            memory_in_mb,
            disk_in_mb,
        });
        match created {
            Ok(task) => self.accept(dispatch, &task, stop),
            Err(PlatformError::Refused { detail }) => self.end(dispatch, EndState::Failed, detail, stop),
            Err(PlatformError::Unavailable { cause, retry_after, delivery }) => {
                let unknown_since = (delivery == Delivery::Unknown).then_some(began_at);
                self.try_later(dispatch, &cause, retry_after, unknown_since, stop);
            }
        }
    }

    /// Asks the platform whether an attempt made a task after all. Whether it is certain that it did not.
    fn may_attempt_again(&self, dispatch: &Dispatch, unknown_since: Timestamp, stop: &Stop) -> bool {
        // From before the question: an answer says how things were then.
        let asked_at = self.clock.now();
        let found = match self.platform.find_tasks(&[dispatch.guid.to_string()]) {
            Ok(found) => found,
            Err(PlatformError::Unavailable { cause, retry_after, .. }) => {
                self.try_later(dispatch, &cause, retry_after, Some(unknown_since), stop);
                return false;
            }
            Err(PlatformError::Refused { detail }) => {
                self.try_later(dispatch, &detail, None, Some(unknown_since), stop);
                return false;
            }
        };
        let mut tasks = found;
        tasks.sort_by(|one, other| (one.created_at, &one.guid).cmp(&(other.created_at, &other.guid)));
        let mut tasks = tasks.into_iter();
        if let Some(task) = tasks.next() {
            for surplus in tasks {
                warn!(
                    "two tasks of one execution, the younger is cancelled execution={} task={} cancelled={}",
                    dispatch.guid, task.guid, surplus.guid
                );
                if let Err(err) = self.platform.cancel_task(&surplus.guid) {
                    warn!("a surplus task could not be cancelled task={} cause={err}", surplus.guid);
                }
            }
            info!("the task of a lost answer was found execution={} task={}", dispatch.guid, task.guid);
            self.accept(dispatch, &task, stop);
            return false;
        }
        let certain_at = unknown_since.saturating_add(LATE_ACCEPTANCE);
        if asked_at < certain_at {
            let retry = Retry {
                dispatch_time: certain_at,
                message: "waiting to be certain that an attempt made no task".to_owned(),
                unknown_since: Some(unknown_since),
            };
            self.record(dispatch, stop, || self.store.postpone(dispatch.id, &retry));
            return false;
        }
        true
    }

    fn accept(&self, dispatch: &Dispatch, task: &Task, stop: &Stop) {
        if self.record(dispatch, stop, || self.store.accept_task(dispatch.id, &task.guid)) {
            info!(
                "task started execution={} job={} task={} attempt={}",
                dispatch.guid,
                dispatch.executable,
                task.guid,
                dispatch.attempts.count + 1
            );
            // Full means that the watcher is about to look anyway.
            let _ = self.task_started.try_send(());
        } else {
            info!(
                "the execution is gone, its task is left to end execution={} task={}",
                dispatch.guid, task.guid
            );
        }
    }

    fn try_later(
        &self,
        dispatch: &Dispatch,
        cause: &str,
        retry_after: Option<Duration>,
        unknown_since: Option<Timestamp>,
        stop: &Stop,
    ) {
        let now = self.clock.now();
        let first = dispatch.attempts.first.unwrap_or(now);
        if RETRY_FOR <= now.since(first) {
            let unknown =
                if unknown_since.is_some() { "; whether a task was created is unknown" } else { "" };
            let message = format!("given up after {} s: {cause}{unknown}", RETRY_FOR.as_secs());
            return self.end(dispatch, EndState::Failed, message, stop);
        }
        let wait = backoff(dispatch.attempts.count).max(retry_after.unwrap_or_default());
        warn!("another attempt later execution={} wait={wait:?} cause={cause}", dispatch.guid);
        let retry = Retry {
            dispatch_time: now.saturating_add(wait),
            message: format!("waiting for another attempt: {cause}"),
            unknown_since,
        };
        self.record(dispatch, stop, || self.store.postpone(dispatch.id, &retry));
    }
}

/// The wait after so many attempts before this one: doubled each time, up to a bound, then up to a fifth more at random,
/// so that those who failed together do not come again together.
fn backoff(attempts: u32) -> Duration {
    let doubled = BACKOFF_FIRST.saturating_mul(2_u32.saturating_pow(attempts.min(16))).min(BACKOFF_MAX);
    let jitter = (uuid::Uuid::new_v4().as_u128() % 200) as u32;
    doubled + doubled * jitter / 1000
}
