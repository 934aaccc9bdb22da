//! Follows running tasks to their end.
//!
//! Invariant: a long task holds no thread and survives a restart, because the watcher follows whatever the
//! database says is RUNNING. A task that the platform does not know is looked up twice before it is given up.
//! A task that the platform stored but never ran does not count: its execution becomes PENDING again.
//!
//! A task that exceeds its time limit, or whose execution is being cancelled, is cancelled on the platform
//! until the platform accepts it. Then the platform's outcome counts.
//!
//! It also looks for strays: tasks that may exist although their execution was cancelled or given up while
//! its outcome was unknown, and surplus tasks of an execution that has another one. It cancels them, so that
//! the history stays true. A failed cancellation is retried at the next look.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, select};
use log::{error, info, log, warn};

use crate::base::clock::Clock;
use crate::base::logging::on_behalf_of;
use crate::base::stop::{Stop, is_stopped};
use crate::base::{crash, outage};
use crate::engine::backoff::backoff;
use crate::engine::journal::{self, About};
use crate::model::{
    Cancelling, ConcurrencyPolicy, EndState, ExecutionState, Guid, Id, Kind, NextAttempt, Outcome, Reason,
    Timestamp, attempt_key, task_names_so_far,
};
use crate::platform::{Found, Platform, PlatformError, TASK_BATCH, Task, TaskName, TaskState};
use crate::store::{End, Outlook, Retry, RunningTask, Store, StoreError, Stray, Surplus};

/// The longest interval between looks, as a multiple of the configured one.
const SLOWEST: u32 = 4;
/// How long a task may keep running after the platform accepted its cancellation.
const CANCEL_PATIENCE: Duration = Duration::from_secs(60);
/// The shortest pause before a deadline. Keeps a missed deadline from making the loop spin.
const PACE_MIN: Duration = Duration::from_millis(100);
/// The message of a task that vanished.
const VANISHED: &str = "Cloud Foundry no longer knows the task; outcome unknown";

/// The loop that follows running tasks.
pub struct Watcher {
    store: Arc<Store>,
    platform: Arc<dyn Platform>,
    clock: Arc<dyn Clock>,
    /// The interval between looks while tasks end.
    poll: Duration,
    /// How long to gather further wake-ups after the first.
    gather: Duration,
    /// How long to retry tasks that the platform cannot run.
    retry_for: Duration,
    /// Wakes the scheduler, because an execution is due again, or has ended and another one may wait for it.
    wake_scheduler: Sender<()>,
    /// Running executions whose task the platform did not know at the last look.
    missing: HashSet<Id>,
    /// The next time limit of an attempt, or the next end of a cancelled task's grace; `None`: there is none.
    next_deadline: Option<Timestamp>,
}

/// The result of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Executions still running.
    pub running: usize,
    /// Executions that have ended.
    pub ended: usize,
    /// Whether the platform or the database failed to answer.
    pub failed: bool,
}

impl Watcher {
    /// Looks every `poll` while tasks end, less often while none does, and `gather` after a wake-up. A task
    /// that never ran is retried for `retry_for`.
    pub fn new(
        store: Arc<Store>,
        platform: Arc<dyn Platform>,
        clock: Arc<dyn Clock>,
        poll: Duration,
        gather: Duration,
        retry_for: Duration,
        wake_scheduler: Sender<()>,
    ) -> Self {
        let missing = HashSet::new();
        Self { store, platform, clock, poll, gather, retry_for, wake_scheduler, missing, next_deadline: None }
    }

    /// Runs until `stop` closes. `wake`: a task was started or has ended. While nothing runs it sleeps until
    /// then.
    pub fn run(&mut self, wake: &Receiver<()>, stop: &Stop) {
        let mut pace = self.poll;
        let (mut looked_at, mut may_rest) = (Duration::ZERO, false);
        loop {
            let mut look = Look { running: 0, ended: 0, failed: false };
            // If nothing is under way, the last renewal of the lease has found what other instances left
            // behind.
            let has_seen_none = |it: Outlook| looked_at < it.asked_at && !it.has_tasks;
            if !may_rest || !self.store.outlook().is_some_and(has_seen_none) {
                looked_at = self.clock.monotonic();
                look = self.look(stop);
                look.running += self.look_for_strays(stop);
            }
            pace = if look.ended > 0 { self.poll } else { (pace * 2).min(self.poll * SLOWEST) };
            // Tasks may also come from a dead instance.
            let has_more = look.running > 0 || look.failed || self.store.is_shared();
            let deadline = self.next_deadline.map(|deadline| deadline.since(self.clock.now()).max(PACE_MIN));
            let pause = deadline.map_or(pace, |deadline| deadline.min(pace));
            may_rest = look.running == 0 && !look.failed;
            let next = if has_more { after(pause) } else { crossbeam_channel::never() };
            select! {
                recv(stop) -> _ => return,
                recv(wake) -> woken => {
                    if woken.is_err() {
                        return;
                    }
                    (pace, may_rest) = (self.poll / 2, false);
                    // Gather wake-ups that arrive together, so that one look serves them all.
                    select! {
                        recv(stop) -> _ => return,
                        recv(next) -> _ => (),
                        recv(after(self.gather)) -> _ => (),
                    }
                }
                recv(next) -> _ => (),
            }
        }
    }

    /// Looks up all running tasks once, in batches.
    pub fn look(&mut self, stop: &Stop) -> Look {
        let mut look = Look { running: 0, ended: 0, failed: false };
        let mut last = 0;
        self.next_deadline = None;
        loop {
            let batch = match self.store.running_tasks(last, TASK_BATCH as u32) {
                Ok(batch) => batch,
                Err(err) => {
                    log!(err.noted(), cause:% = err; "running tasks could not be read");
                    look.failed = true;
                    return look;
                }
            };
            let Some(end) = batch.last() else { break };
            last = end.of.id;
            match self.follow(&batch) {
                Ok(Some(ended)) => {
                    look.ended += ended;
                    look.running += batch.len() - ended.min(batch.len());
                }
                Ok(None) => {
                    look.failed = true;
                    look.running += batch.len();
                }
                Err(err) => {
                    log!(
                        err.noted(), cause:% = err;
                        "outcomes of tasks could not be recorded, retrying later"
                    );
                    look.failed = true;
                    look.running += batch.len();
                }
            }
            if batch.len() < TASK_BATCH || is_stopped(stop) {
                break;
            }
        }
        look
    }

    /// Looks up one batch, and records the tasks that have ended. `None`: the platform did not answer.
    fn follow(&mut self, batch: &[RunningTask]) -> Result<Option<usize>, StoreError> {
        let guids: Vec<Guid> = batch.iter().map(|running| running.task.clone()).collect();
        let found = match self.platform.list_tasks(&guids) {
            Ok(found) => {
                outage::PLATFORM.worked();
                found
            }
            Err(err) => {
                log!(
                    err.noted(), tasks = batch.len(), cause:% = err;
                    "tasks could not be looked up, retrying later"
                );
                return Ok(None);
            }
        };
        let (mut ends, mut retried) = (Vec::new(), 0);
        for running in batch {
            // The platform could not say; assume it is still running.
            if found.unclear.iter().any(|guid| guid == running.task.as_str()) {
                continue;
            }
            let task = found.tasks.iter().find(|task| task.guid == running.task);
            if let Some(Task { state: TaskState::NeverRan(cause), .. }) = task
                && let Some(retry) = self.retry_of(running, cause)
            {
                self.missing.remove(&running.of.id);
                retried += 1;
                if self.store.retry_task(running.of, &running.task, &retry)? {
                    let wait = retry.dispatch_time.since(self.clock.now());
                    journal::postponed(&about(running), wait, cause);
                }
                continue;
            }
            match self.outcome_or_fault(running, task) {
                None => retried += usize::from(self.enforce_limits(running)?),
                Some(outcome) if self.record_retry(running, &outcome)? => {
                    self.missing.remove(&running.of.id);
                    retried += 1;
                }
                Some(outcome) => ends.push(End { of: running.of, outcome }),
            }
        }
        if ends.is_empty() {
            return Ok(Some(retried));
        }
        let changed = self.record(&ends)?;
        for (end, changed) in ends.iter().zip(changed) {
            self.missing.remove(&end.of.id);
            if let Some(running) = batch.iter().find(|running| changed && running.of == end.of) {
                self.has_ended(running, &end.outcome);
            }
        }
        Ok(Some(retried + ends.len()))
    }

    /// Logs and counts the end, and wakes the scheduler if another execution may wait for it.
    fn has_ended(&self, running: &RunningTask, outcome: &Outcome) {
        let outcome = match &running.cancelling {
            Some(Cancelling { message, reason, .. }) if outcome.state == EndState::Failed => {
                &Outcome::failed(*reason, message.as_str(), outcome.end_time)
            }
            _ => outcome,
        };
        journal::ended(&about(running), outcome, Some(&running.task));
        if running.course.concurrency_policy != ConcurrencyPolicy::Always {
            self.wake_scheduler();
        }
    }

    /// If the channel is full, the scheduler is about to look anyway.
    fn wake_scheduler(&self) {
        let _ = self.wake_scheduler.try_send(());
    }

    /// Schedules the next attempt after a failed task, if there is to be one. Returns whether there is.
    fn record_retry(&self, running: &RunningTask, outcome: &Outcome) -> Result<bool, StoreError> {
        let cause = match &running.cancelling {
            Some(Cancelling { reason: Reason::Timeout, message, .. }) => message,
            Some(_) => return Ok(false),
            None => &outcome.message,
        };
        let is_failed = outcome.state == EndState::Failed && outcome.reason == Some(Reason::TaskFailed);
        let next = running.course.next_attempt(self.clock.now(), None, cause).filter(|_| is_failed);
        let Some(next) = next else { return Ok(false) };
        let next = NextAttempt { ended_at: outcome.end_time, ..next };
        let attempt = running.course.attempt;
        let is_recorded = self.store.retry(running.of, attempt, &next)?;
        if is_recorded {
            let wait = next.due_at.since(self.clock.now());
            journal::retried(&about(running), attempt, wait, &next.cause);
            self.wake_scheduler();
        }
        Ok(is_recorded)
    }

    /// Enforces the time limit and the cancellation of a running task. Returns whether its execution has
    /// ended although the platform has not reported an end of the task.
    fn enforce_limits(&mut self, running: &RunningTask) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let limit =
            running.timeout_seconds.zip(running.attempt_start).filter(|_| running.cancelling.is_none());
        let timed_out = match limit {
            None => None,
            Some((seconds, began_at)) => {
                let deadline = began_at.saturating_add(Duration::from_secs(seconds.into()));
                if now < deadline {
                    self.wake_by(deadline);
                    return Ok(false);
                }
                let message = format!("the task was cancelled after {seconds} s, its time limit");
                let (of, reason) = (running.of, Reason::Timeout);
                if !self.store.request_cancel(of, &running.task, reason, &message, now)? {
                    return Ok(false);
                }
                crash::point("cancel.requested");
                Some(Cancelling { reason, message, accepted_at: None })
            }
        };
        let Some(cancelling) = timed_out.as_ref().or(running.cancelling.as_ref()) else { return Ok(false) };
        let Some(accepted_at) = cancelling.accepted_at else {
            self.cancel(running, now)?;
            self.wake_by(now.saturating_add(self.poll));
            return Ok(false);
        };
        let patience_ends = accepted_at.saturating_add(CANCEL_PATIENCE);
        if now < patience_ends {
            self.wake_by(patience_ends.min(now.saturating_add(self.poll)));
            return Ok(false);
        }
        let message = format!(
            "{}; the platform accepted that, but the task had not ended {} s later",
            cancelling.message,
            CANCEL_PATIENCE.as_secs()
        );
        let outcome = Outcome::failed(cancelling.reason, message, now);
        let end = End { of: running.of, outcome };
        let changed = self.store.finish_without_task(&end, &running.task)?;
        if changed {
            self.has_ended(running, &end.outcome);
        }
        Ok(changed)
    }

    /// Asks the platform to cancel a task. The next look repeats it until the platform accepts.
    fn cancel(&self, running: &RunningTask, now: Timestamp) -> Result<(), StoreError> {
        let _for = on_behalf_of(&running.request_id);
        match self.platform.cancel_task(&running.task) {
            Ok(()) => {
                crash::point("cancel.accepted");
                info!(execution:% = running.guid, task:% = running.task; "the task was cancelled");
                self.store.cancel_accepted(running.of, now).map(|_| ())
            }
            Err(err) => {
                log!(
                    err.noted(), execution:% = running.guid, task:% = running.task, cause:% = err;
                    "task could not be cancelled, retrying"
                );
                Ok(())
            }
        }
    }

    fn wake_by(&mut self, deadline: Timestamp) {
        self.next_deadline = Some(self.next_deadline.map_or(deadline, |next| next.min(deadline)));
    }

    /// The next attempt after a task that never ran; `None`: the time for attempts is over.
    fn retry_of(&self, running: &RunningTask, cause: &str) -> Option<Retry> {
        let now = self.clock.now();
        let give_up_at = running.give_up_at.unwrap_or_else(|| now.saturating_add(self.retry_for));
        let failures = running.failures.saturating_add(1);
        (now < give_up_at).then(|| Retry {
            dispatch_time: now.saturating_add(backoff(failures)),
            message: format!("waiting for another attempt: {cause}"),
            // The lookup finds the task that never ran, and chooses another name for the next one.
            doubt_until: Some(now),
            failures,
            give_up_at: Some(give_up_at),
        })
    }

    /// Records ends in one transaction. If the database rejects it, records them one by one, so that one bad
    /// end leaves no other execution RUNNING. Returns for each end whether it changed a row.
    fn record(&self, ends: &[End]) -> Result<Vec<bool>, StoreError> {
        match self.store.finish_many(&ends.iter().collect::<Vec<_>>()) {
            Err(StoreError::Bug(_) | StoreError::Conflict) if ends.len() > 1 => {
                let alone = |end: &End| {
                    self.store.finish(end).unwrap_or_else(|err| {
                        error!(
                            execution = end.of.id, cause:% = err;
                            "the end of a task could not be recorded"
                        );
                        false
                    })
                };
                Ok(ends.iter().map(alone).collect())
            }
            recorded => recorded,
        }
    }

    /// Looks for stray tasks. Returns how many remain.
    pub fn look_for_strays(&self, stop: &Stop) -> usize {
        let (mut left, mut last) = (0, String::new());
        loop {
            let batch = match self.store.strays(&last, TASK_BATCH as u32) {
                Ok(batch) => batch,
                Err(err) => {
                    log!(err.noted(), cause:% = err; "stray tasks could not be read");
                    return left + 1;
                }
            };
            let Some(end) = batch.last() else { return left };
            last.clone_from(&end.name);
            let settled = self.cancel_strays(&batch).unwrap_or_else(|err| {
                log!(err.noted(), cause:% = err; "stray tasks could not be looked up, retrying later");
                Vec::new()
            });
            left += batch.len() - settled.len();
            if !settled.is_empty()
                && let Err(err) = self.store.forget_strays(&settled)
            {
                log!(err.noted(), cause:% = err; "settled stray tasks could not be deleted");
            }
            if batch.len() < TASK_BATCH || is_stopped(stop) {
                return left;
            }
        }
    }

    /// Cancels the strays that exist, each only in the app of its execution. Returns the names that are
    /// settled.
    fn cancel_strays(&self, batch: &[Stray]) -> Result<Vec<String>, PlatformError> {
        let mut settled = Vec::new();
        let mut by_name: Vec<(&Stray, Vec<TaskName>)> = Vec::new();
        settled.extend(self.cancel_again(batch)?);
        for stray in batch.iter().filter(|stray| !stray.is_to_end) {
            match (&stray.surplus, &stray.app) {
                (Some(surplus), _) if self.is_surplus_settled(stray, surplus) => {
                    settled.push(stray.name.clone())
                }
                (Some(_), _) => {}
                (None, Some(app)) => by_name.push((stray, names_of(stray, app))),
                (None, None) => {
                    info!(execution:% = stray.name; "execution is gone, its task is left running");
                    settled.push(stray.name.clone());
                }
            }
        }
        if by_name.is_empty() {
            return Ok(settled);
        }
        let asked_at = self.clock.now();
        let all_names: Vec<TaskName> = by_name.iter().flat_map(|(_, names)| names.clone()).collect();
        let Found { tasks, unclear } = match self.find_all(&all_names) {
            Ok(found) => found,
            Err(err) if settled.is_empty() => return Err(err),
            // Strays known by name are looked up again at the next look.
            Err(_) => return Ok(settled),
        };
        for (stray, names) in by_name {
            if names.iter().any(|it| unclear.contains(&it.name)) {
                continue;
            }
            let _for = on_behalf_of(&stray.request_id);
            let found: Vec<&Task> =
                tasks.iter().filter(|task| names.iter().any(|it| it.name == task.name)).collect();
            // A task that never ran usually belongs to an earlier attempt; the task of the latest attempt may
            // still appear.
            let is_there = found.iter().any(|task| !matches!(task.state, TaskState::NeverRan(_)));
            let active = found.into_iter().filter(|task| task.state == TaskState::Active);
            let cancelled: Result<Vec<()>, PlatformError> = active
                .map(|task| {
                    warn!(
                        execution:% = stray.name, task:% = task.guid;
                        "cancelling a task whose execution has ended"
                    );
                    self.platform.cancel_task(&task.guid)
                })
                .collect();
            match cancelled {
                Ok(_) if is_there || stray.doubt_until <= asked_at => settled.push(stray.name.clone()),
                Ok(_) => {}
                Err(err) => {
                    log!(
                        err.noted(), execution:% = stray.name, cause:% = err;
                        "task could not be cancelled, retrying"
                    );
                }
            }
        }
        Ok(settled)
    }

    /// Cancels tasks until they have ended. Returns the names that are settled.
    fn cancel_again(&self, batch: &[Stray]) -> Result<Vec<String>, PlatformError> {
        let tasks: Vec<Guid> = batch
            .iter()
            .filter(|stray| stray.is_to_end)
            .map(|stray| Guid::from(stray.name.as_str()))
            .collect();
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.platform.list_tasks(&tasks)?;
        let mut settled = Vec::new();
        for task in tasks {
            let state = found.tasks.iter().find(|it| it.guid == task).map(|it| &it.state);
            if state == Some(&TaskState::Active) {
                warn!(task:% = task; "cancelling a task whose execution has ended");
                if let Err(err) = self.platform.cancel_task(&task) {
                    log!(err.noted(), task:% = task, cause:% = err; "task could not be cancelled, retrying");
                }
            } else if !found.unclear.iter().any(|unclear| unclear == task.as_str()) {
                settled.push(task.to_string());
            }
        }
        Ok(settled)
    }

    /// Looks up as many names at a time as the platform accepts.
    fn find_all(&self, names: &[TaskName]) -> Result<Found, PlatformError> {
        let mut all = Found::default();
        for batch in names.chunks(TASK_BATCH) {
            let Found { tasks, unclear } = self.platform.find_tasks(batch)?;
            all.tasks.extend(tasks);
            all.unclear.extend(unclear);
        }
        Ok(all)
    }

    /// Cancels a surplus task once it is known which task belongs to its execution. Returns whether it is
    /// settled.
    fn is_surplus_settled(&self, stray: &Stray, surplus: &Surplus) -> bool {
        let _for = on_behalf_of(&stray.request_id);
        let task = Guid::from(stray.name.as_str());
        match (surplus.state, &surplus.own_task) {
            // The task in its row belongs to the previous attempt, if any.
            (Some(ExecutionState::Pending), _) => false,
            // This is the execution's own task.
            (_, Some(own)) if *own == task => true,
            (_, Some(own)) => match self.platform.cancel_task(&task) {
                Ok(()) => {
                    warn!(
                        execution:% = surplus.execution, task:% = own, cancelled:% = task;
                        "surplus task cancelled"
                    );
                    true
                }
                Err(PlatformError::Refused { detail }) => {
                    info!(
                        execution:% = surplus.execution, task:% = task, cause = detail;
                        "surplus task had ended"
                    );
                    true
                }
                Err(err) => {
                    log!(
                        err.noted(), execution:% = surplus.execution, task:% = task, cause:% = err;
                        "surplus task could not be cancelled, retrying"
                    );
                    false
                }
            },
            // The execution has ended without a task, or is gone: leave the task running.
            (_, None) => true,
        }
    }

    /// The outcome of a running task, if it has ended. A panic ends only its own execution.
    fn outcome_or_fault(&mut self, running: &RunningTask, task: Option<&Task>) -> Option<Outcome> {
        catch_unwind(AssertUnwindSafe(|| {
            crash::point("task.following");
            self.outcome(running, task)
        }))
        .unwrap_or_else(|_| {
            let _for = on_behalf_of(&running.request_id);
            error!(execution:% = running.guid; "the watcher panicked");
            Some(Outcome {
                state: EndState::Failed,
                message: "a fault of the scheduler: the watcher panicked".to_owned(),
                reason: None,
                end_time: self.clock.now(),
            })
        })
    }

    fn outcome(&mut self, running: &RunningTask, task: Option<&Task>) -> Option<Outcome> {
        let Some(task) = task else {
            if self.missing.insert(running.of.id) {
                return None;
            }
            return Some(Outcome::failed(Reason::Vanished, VANISHED, self.clock.now()));
        };
        self.missing.remove(&running.of.id);
        let end_time = task.updated_at.unwrap_or_else(|| self.clock.now());
        let end_time = end_time.max(running.start_time.unwrap_or(end_time));
        Some(match &task.state {
            TaskState::Active => return None,
            TaskState::Succeeded => {
                Outcome { state: EndState::Succeeded, message: String::new(), reason: None, end_time }
            }
            TaskState::Failed(cause) => Outcome::failed(Reason::TaskFailed, cause, end_time),
            TaskState::NeverRan(cause) => Outcome::failed(Reason::GaveUp, cause, end_time),
        })
    }
}

/// The names that the tasks of a stray's execution may have.
fn names_of(stray: &Stray, app: &Guid) -> Vec<TaskName> {
    let execution = attempt_key(&Guid::from(stray.name.as_str()), stray.attempt);
    let first = stray.task_name.as_deref().unwrap_or(execution.as_str());
    let names = task_names_so_far(first, &execution, stray.attempts);
    names.into_iter().map(|name| TaskName { app: app.clone(), name }).collect()
}

fn about(running: &RunningTask) -> About<'_> {
    About {
        guid: &running.guid,
        kind: Kind::Job,
        executable: &running.executable,
        name: Some(&running.name),
        scheduled_time: running.scheduled_time,
        due_time: running.due_time,
        start_time: running.start_time,
        request_id: &running.request_id,
    }
}
