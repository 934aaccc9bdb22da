//! The threads that carry executions out: they perform calls and start tasks.
//!
//! Invariant: each dispatch ends in a recorded state (an end, RUNNING, or another attempt at a due time), panics included,
//! and is released to the scheduler afterwards. No worker waits for a task, nor for another attempt.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, select};
use log::{debug, error, info, warn};

use crate::clock::Clock;
use crate::model::{Dispatch, EndState, Id, Outcome, Work};
use crate::platform::Platform;
use crate::stop::{Stop, is_stopped};
use crate::store::{Store, StoreError};

mod call;
mod task;

pub use call::Caller;
pub use task::Patience;

/// The pause before a state is recorded again that the database did not take.
const RECORD_RETRY_DELAY: Duration = Duration::from_secs(1);

/// What every worker works with.
pub struct Workshop {
    /// Where states are recorded.
    pub store: Arc<Store>,
    /// Where tasks run.
    pub platform: Arc<dyn Platform>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Makes the requests of calls.
    pub caller: Caller,
    /// With a platform in trouble.
    pub patience: Patience,
    /// Wakes the watcher: a task was started.
    pub task_started: Sender<()>,
}

impl Workshop {
    /// A worker: carries out what comes from `dispatches`, one after the other, until `stop` closes.
    pub fn run(&self, dispatches: &Receiver<Dispatch>, released: &Sender<Id>, stop: &Stop) {
        loop {
            let dispatch = select! {
                recv(stop) -> _ => return,
                recv(dispatches) -> dispatch => match dispatch {
                    Ok(dispatch) => dispatch,
                    Err(_) => return,
                },
            };
            // `select!` takes any of two that are ready; what has not begun at a stop stays PENDING.
            if is_stopped(stop) {
                return;
            }
            self.carry_out(&dispatch, stop);
            if released.send(dispatch.id).is_err() {
                return;
            }
        }
    }

    fn carry_out(&self, dispatch: &Dispatch, stop: &Stop) {
        let done = catch_unwind(AssertUnwindSafe(|| match &dispatch.work {
            Work::Call { url, auth_header } => self.perform_call(dispatch, url, auth_header, stop),
            Work::Job { command, disk_in_mb, memory_in_mb, .. } => {
                self.start_task(dispatch, command, *disk_in_mb, *memory_in_mb, stop);
            }
        }));
        if done.is_err() {
            error!("a worker panicked execution={}", dispatch.guid);
            self.end(
                dispatch,
                EndState::Failed,
                "a fault of the scheduler: the worker panicked".to_owned(),
                stop,
            );
        }
    }

    /// Records the end of an execution.
    fn end(&self, dispatch: &Dispatch, state: EndState, message: String, stop: &Stop) {
        let outcome = Outcome { state, message, end_time: self.clock.now() };
        self.record_end(dispatch, &outcome, stop, || self.store.finish(dispatch.id, &outcome));
    }

    fn record_end(
        &self,
        dispatch: &Dispatch,
        outcome: &Outcome,
        stop: &Stop,
        step: impl Fn() -> Result<bool, StoreError>,
    ) {
        if self.record(dispatch, stop, step) {
            info!(
                "execution ended execution={} {}={} state={} message={:?}",
                dispatch.guid,
                dispatch.work.kind().as_str(),
                dispatch.executable,
                outcome.state.as_str(),
                outcome.message
            );
        } else {
            debug!("the execution had ended before, or is gone execution={}", dispatch.guid);
        }
    }

    /// Records a state that is a fact already, again and again until the database takes it or the service stops. Whether
    /// it changed anything.
    fn record(&self, dispatch: &Dispatch, stop: &Stop, step: impl Fn() -> Result<bool, StoreError>) -> bool {
        loop {
            match step() {
                Ok(changed) => return changed,
                Err(StoreError::Bug(cause)) => {
                    error!("a state could not be recorded execution={} cause={cause}", dispatch.guid);
                    return false;
                }
                Err(err) => {
                    warn!(
                        "a state is not recorded yet, trying again execution={} cause={err}",
                        dispatch.guid
                    );
                    select! {
                        recv(stop) -> _ => return false,
                        recv(after(RECORD_RETRY_DELAY)) -> _ => (),
                    }
                }
            }
        }
    }

    /// Asks the database whether to go on. `false` also when it does not answer: the execution stays PENDING then, and
    /// comes again.
    fn may_go_on(&self, dispatch: &Dispatch, stop: &Stop, asked: Result<bool, StoreError>) -> bool {
        match asked {
            Ok(true) => true,
            Ok(false) => {
                debug!("the execution is no longer pending execution={}", dispatch.guid);
                false
            }
            Err(err) => {
                warn!(
                    "the execution waits, the database does not take it execution={} cause={err}",
                    dispatch.guid
                );
                // Not at once again: the scheduler would hand it out in the next instant.
                select! {
                    recv(stop) -> _ => (),
                    recv(after(RECORD_RETRY_DELAY)) -> _ => (),
                }
                false
            }
        }
    }
}
