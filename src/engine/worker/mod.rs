//! The worker threads: they perform calls and start tasks.
//!
//! Invariant: each dispatch ends in a recorded state (an end state, RUNNING, or PENDING until the next
//! attempt), even if the worker panics, and is then released to the scheduler. No worker waits for a task to
//! end, or for the next attempt.
//!
//! A separate thread records the ends of calls in batches, so that the workers can continue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, select};
use log::{debug, error, log};

use crate::base::clock::{self, Clock};
use crate::base::logging::on_behalf_of;
use crate::base::metrics::metrics;
use crate::base::outage;
use crate::base::stop::{Stop, is_stopped};
use crate::engine::journal::{self, About};
use crate::model::{
    ConcurrencyPolicy, Dispatch, EndState, NextAttempt, Outcome, Release, TaskNames, Timestamp, Work,
};
use crate::outbound::CallsInFlight;
use crate::platform::{NewTask, Platform, TaskIdentity};
use crate::store::{Effects, End, Start, Store, StoreError};

mod call;
mod task;

pub use call::Caller;
pub use task::RetryLimits;

/// The wait before a failed write of a state is repeated.
const RECORD_RETRY_DELAY: Duration = Duration::from_secs(1);

/// The most ends of calls that one transaction records.
const ENDS_BATCH: usize = 256;
/// With a shared database, where each batch costs a round trip and a flush to the disk: how long a batch
/// gathers ends while several arrive. After a crash, a call whose end was not recorded counts as interrupted.
const ENDS_GATHER: Duration = Duration::from_millis(5);

/// The end of a call, not recorded yet.
#[derive(Debug)]
pub struct CallEnd {
    end: End,
    /// When the call was sent; `None` if it was not.
    began_at: Option<Timestamp>,
    /// The next attempt, unless the execution was cancelled in the meantime.
    next: Option<NextAttempt>,
}

/// The state in which a worker leaves an execution.
enum Handled {
    /// Its call has ended; the end is not recorded yet.
    Ended(CallEnd),
    /// It is running, or its end is recorded.
    Done,
    /// It may be PENDING again, and due at any time.
    MayBeDue,
}

/// What all workers share.
pub struct WorkerContext {
    /// The database.
    pub store: Arc<Store>,
    /// Runs the tasks.
    pub platform: Arc<dyn Platform>,
    /// Both clocks.
    pub clock: Arc<dyn Clock>,
    /// Makes the requests of calls.
    pub caller: Caller,
    /// The calls in flight.
    pub calls: Arc<CallsInFlight>,
    /// How to name tasks.
    pub task_names: TaskNames,
    /// How long to retry while the platform is unavailable.
    pub retry_limits: RetryLimits,
    /// Wakes the watcher, because a task was started or has to be cancelled.
    pub task_started: Sender<()>,
    /// Wakes the scheduler, because another execution may have waited for the one that ended.
    pub wake_scheduler: Sender<()>,
    /// Closes when the service stops.
    pub stop: Stop,
}

impl WorkerContext {
    /// Runs a worker: handles `dispatches` one after the other until the service stops. Ends of calls go to
    /// `ends`, for [`WorkerContext::record_ends`]; everything else is released here.
    pub fn run(
        &self,
        dispatches: &Receiver<Dispatch>,
        ends: &Sender<(Dispatch, CallEnd)>,
        released: &Sender<Release>,
    ) {
        loop {
            let dispatch = select! {
                recv(self.stop) -> _ => return,
                recv(dispatches) -> dispatch => match dispatch {
                    Ok(dispatch) => dispatch,
                    Err(_) => return,
                },
            };
            // `select!` picks any ready channel. After a stop, work that has not begun must stay PENDING.
            if is_stopped(&self.stop) {
                return;
            }
            let busy = metrics().busy(dispatch.work.kind());
            let handled = self.perform(&dispatch);
            drop(busy);
            let sent = match handled {
                // It is RUNNING, so it is not dispatched again. That frees the worker before the end is
                // recorded.
                Handled::Ended(end) => {
                    let id = dispatch.of.id;
                    ends.send((dispatch, end)).is_ok() && released.send(Release::Done(id)).is_ok()
                }
                Handled::Done => released.send(Release::Done(dispatch.of.id)).is_ok(),
                Handled::MayBeDue => released.send(Release::MayBeDue(dispatch.of.id)).is_ok(),
            };
            if !sent {
                return;
            }
        }
    }

    /// Records the ends of calls until no worker is left.
    pub fn record_ends(&self, ends: &Receiver<(Dispatch, CallEnd)>) {
        // While several end at a time, a batch gathers more of them. A single end is recorded at once.
        let mut gather = Duration::ZERO;
        while let Ok(first) = ends.recv() {
            let mut batch = vec![first];
            let until = clock::instant() + gather;
            while batch.len() < ENDS_BATCH
                && let Ok(end) = ends.recv_deadline(until)
            {
                batch.push(end);
            }
            let is_busy = self.store.is_shared() && batch.len() > 1;
            gather = if is_busy { ENDS_GATHER } else { Duration::ZERO };
            let batch: Vec<(Dispatch, CallEnd)> =
                batch.into_iter().filter(|(dispatch, call)| !self.record_retry(dispatch, call)).collect();
            if batch.is_empty() {
                continue;
            }
            let changed = self.record_batch(&batch);
            let mut is_awaited = false;
            for ((dispatch, call), changed) in batch.into_iter().zip(changed) {
                if changed {
                    is_awaited |= dispatch.course.concurrency_policy != ConcurrencyPolicy::Always;
                    journal::ended(&About::of(&dispatch, call.began_at), &call.end.outcome, None);
                }
            }
            if is_awaited {
                self.wake_scheduler();
            }
        }
    }

    /// Schedules the next attempt of a failed call, if there is to be one. Returns whether there is.
    fn record_retry(&self, dispatch: &Dispatch, call: &CallEnd) -> bool {
        let Some(next) = &call.next else { return false };
        let attempt = dispatch.course.attempt;
        let is_recorded =
            self.record(dispatch.guid.as_str(), || self.store.retry(dispatch.of, attempt, next));
        if is_recorded {
            let wait = next.due_at.since(self.clock.now());
            journal::retried(&About::of(dispatch, call.began_at), attempt, wait, &next.cause);
            self.wake_scheduler();
        }
        is_recorded
    }

    /// If the channel is full, the scheduler is about to look anyway.
    fn wake_scheduler(&self) {
        let _ = self.wake_scheduler.try_send(());
    }

    /// Records the ends in one transaction. If the database rejects it, records them one by one, so that one
    /// bad end leaves no other execution RUNNING. Returns for each end whether it changed a row.
    fn record_batch(&self, batch: &[(Dispatch, CallEnd)]) -> Vec<bool> {
        let ends: Vec<&End> = batch.iter().map(|(_, call)| &call.end).collect();
        let mut together = None;
        self.record(&format!("{} calls", ends.len()), || {
            match self.store.finish_many(&ends) {
                Ok(changed) => together = Some(changed),
                Err(StoreError::Bug(_) | StoreError::Conflict) if ends.len() > 1 => {}
                Err(err) => return Err(err),
            }
            Ok(true)
        });
        let one_by_one = || {
            let alone = |(dispatch, call): &(Dispatch, CallEnd)| {
                self.record(dispatch.guid.as_str(), || self.store.finish(&call.end))
            };
            batch.iter().map(alone).collect()
        };
        together.unwrap_or_else(one_by_one)
    }

    fn perform(&self, dispatch: &Dispatch) -> Handled {
        let _for = on_behalf_of(&dispatch.request_id);
        let done = catch_unwind(AssertUnwindSafe(|| match &dispatch.work {
            Work::Call(call) => self.perform_call(dispatch, call),
            Work::Job { command, disk_in_mb, memory_in_mb, log_rate_in_bps, .. } => {
                self.start_task(dispatch, |name| NewTask {
                    identity: TaskIdentity::of(dispatch),
                    app: dispatch.app.clone(),
                    name,
                    command: command.clone(),
                    memory_in_mb: *memory_in_mb,
                    disk_in_mb: *disk_in_mb,
                    log_rate_in_bps: *log_rate_in_bps,
                })
            }
        }));
        done.unwrap_or_else(|_| {
            error!(execution:% = dispatch.guid; "a worker panicked");
            // It may have panicked before the execution began, when nobody owned it yet.
            let (due_since, attempts) = dispatch.as_read();
            self.recorded(dispatch.guid.as_str(), || {
                self.store.claim_executions(&[(dispatch.of.id, due_since, attempts)])
            });
            let message = "a fault of the scheduler: the worker panicked".to_owned();
            let state = EndState::Failed;
            self.end(dispatch, Outcome { state, message, reason: None, end_time: self.clock.now() });
            Handled::Done
        })
    }

    /// Records the end of an execution.
    fn end(&self, dispatch: &Dispatch, outcome: Outcome) {
        let end = End { of: dispatch.of, outcome };
        self.record_end(dispatch, &end, || self.store.finish(&end));
    }

    fn record_end(&self, dispatch: &Dispatch, end: &End, step: impl Fn() -> Result<bool, StoreError>) {
        if self.record(dispatch.guid.as_str(), step) {
            journal::ended(&About::of(dispatch, None), &end.outcome, None);
            self.wake_scheduler();
        } else {
            debug!(execution:% = dispatch.guid; "execution had ended before, or is gone");
        }
    }

    /// Records a state that is already a fact: repeats the write until the database accepts it or the service
    /// stops. Returns whether it changed a row.
    fn record(&self, what: &str, step: impl FnMut() -> Result<bool, StoreError>) -> bool {
        self.recorded(what, step).unwrap_or(false)
    }

    /// Like [`Self::record`], for a step with another result. `None`: the database rejected it, or the
    /// service stops.
    fn recorded<T>(&self, what: &str, mut step: impl FnMut() -> Result<T, StoreError>) -> Option<T> {
        loop {
            match step() {
                Ok(answer) => {
                    outage::DATABASE.worked();
                    return Some(answer);
                }
                Err(err @ (StoreError::Bug(_) | StoreError::Conflict)) => {
                    error!(execution = what, cause:% = err; "state could not be recorded");
                    return None;
                }
                Err(err) => {
                    log!(
                        err.noted(), execution = what, cause:% = err;
                        "state could not be recorded, retrying"
                    );
                    select! {
                        recv(self.stop) -> _ => return None,
                        recv(after(RECORD_RETRY_DELAY)) -> _ => (),
                    }
                }
            }
        }
    }

    /// Asks the database for permission to begin, until it answers or the service stops. `begin` must be
    /// idempotent, because the answer to a successful one may be lost. `Some`: do not begin; leave the
    /// execution in this state.
    fn refused_start(
        &self,
        dispatch: &Dispatch,
        begin: impl Fn() -> Result<(Start, Effects), StoreError>,
    ) -> Option<Handled> {
        let Some((start, effects)) = self.recorded(dispatch.guid.as_str(), begin) else {
            return Some(Handled::MayBeDue);
        };
        self.apply_effects(&effects);
        match start {
            Start::Begun => None,
            Start::Waits => {
                debug!(execution:% = dispatch.guid; "execution waits for another one to end");
                // The execution that it waits for may already have ended.
                self.wake_scheduler();
                Some(Handled::Done)
            }
            Start::Skipped => Some(Handled::Done),
            Start::Gone => {
                debug!(execution:% = dispatch.guid; "execution is no longer PENDING, or not ours");
                Some(Handled::MayBeDue)
            }
        }
    }

    /// Logs the executions that the decision ended, and carries out the cancellations that it requested.
    fn apply_effects(&self, effects: &Effects) {
        for ended in &effects.ended {
            journal::ended_by_another(ended);
        }
        if !effects.cancelled.is_empty() {
            self.calls.abort(&effects.cancelled);
            // If the channel is full, the watcher is about to look anyway.
            let _ = self.task_started.try_send(());
        }
    }

    /// Whether this instance still holds the lease under which it claimed the execution. If not, another
    /// instance may send the same request.
    fn lease_holds(&self, dispatch: &Dispatch) -> bool {
        self.store.fence() == Ok(dispatch.of.fence)
    }
}
