//! Starts the task of a job's execution, and resolves attempts whose outcome is unknown.

use std::cell::Cell;
use std::time::Duration;

use log::{info, warn};

use super::{Handled, WorkerContext};
use crate::base::{crash, outage};
use crate::engine::backoff::backoff;
use crate::engine::journal::{self, About};
use crate::model::{Dispatch, Outcome, Reason, Timestamp, task_name_of_attempt, task_names_so_far};
use crate::platform::{Delivery, Found, NewTask, PlatformError, Task, TaskName, TaskState};
use crate::store::{End, Retry};

/// How long to retry while the platform is unavailable, and when an attempt without an answer counts as
/// failed.
#[derive(Debug, Clone, Copy)]
pub struct RetryLimits {
    /// The time from the first failure until the worker gives up.
    pub retry_for: Duration,
    /// The time after the start of an attempt from which on "no such task" is conclusive. Before that, Cloud
    /// Foundry may still be creating the task, although the request has ended.
    pub late_task: Duration,
}

impl WorkerContext {
    pub(super) fn start_task(
        &self,
        dispatch: &Dispatch,
        task_named: impl FnOnce(String) -> NewTask,
    ) -> Handled {
        let first_name = self.first_name(dispatch);
        let name = match dispatch.attempts.doubt_until {
            None => first_name.clone(),
            Some(doubt_until) => match self.next_name(dispatch, &first_name, doubt_until) {
                Some(name) => name,
                None => return Handled::MayBeDue,
            },
        };
        let began_at = Cell::new(self.clock.now());
        let doubt_until = || began_at.get().saturating_add(self.retry_limits.late_task);
        let key = dispatch.attempt_key();
        let is_admitted = dispatch.attempts.count > 0 || dispatch.course.began_at.is_some();
        let handled = self.refused_start(dispatch, || {
            // Read the clock at each retry: while the database is unavailable, the attempt has not begun, and
            // its outcome must count as unknown for the full time.
            began_at.set(self.clock.now());
            let recorded = Some(first_name.as_str()).filter(|name| *name != key.as_str());
            let task = (&dispatch.app, recorded);
            self.store.begin_attempt(
                dispatch.of,
                dispatch.as_read(),
                is_admitted,
                task,
                began_at.get(),
                doubt_until(),
            )
        });
        if let Some(handled) = handled {
            return handled;
        }
        let (began_at, doubt_until) = (began_at.get(), doubt_until());
        if !self.lease_holds(dispatch) {
            self.try_later(dispatch, "the lease on the database ended", None, None);
            return Handled::MayBeDue;
        }
        if !is_admitted {
            journal::first_attempt(&About::of(dispatch, Some(began_at)));
        }
        crash::point("task.attempting");
        let created = self.platform.create_task(&task_named(name));
        crash::point("task.created");
        match created {
            Ok(task) => {
                outage::PLATFORM.worked();
                self.accept(dispatch, &task);
                Handled::Done
            }
            Err(PlatformError::Refused { detail }) => {
                self.end(dispatch, Outcome::failed(Reason::Refused, detail, self.clock.now()));
                Handled::Done
            }
            Err(PlatformError::Unavailable { cause, retry_after, delivery }) => {
                outage::PLATFORM.failed(&cause);
                let doubt_until = match delivery {
                    Delivery::Failed => None,
                    Delivery::Answered => Some(self.clock.now()),
                    Delivery::Unknown => Some(doubt_until),
                };
                self.try_later(dispatch, &cause, retry_after, doubt_until);
                Handled::MayBeDue
            }
            Err(PlatformError::Misconfigured { cause }) => {
                self.try_later(dispatch, &cause, None, None);
                Handled::MayBeDue
            }
        }
    }

    /// The name of the first attempt's task. Once recorded it does not change, even if `TASK_NAME` or the
    /// job's name does.
    fn first_name(&self, dispatch: &Dispatch) -> String {
        match (&dispatch.task_name, dispatch.attempts.count) {
            (Some(name), _) => name.clone(),
            (None, 0) => self.task_names.first(&dispatch.attempt_key(), &dispatch.name),
            (None, _) => dispatch.attempt_key().to_string(),
        }
    }

    /// Asks the platform whether an earlier attempt created a task after all. If it is certain that none ran,
    /// returns the name for the next attempt's task. That name is new if a task was stored but never ran.
    fn next_name(&self, dispatch: &Dispatch, first_name: &str, doubt_until: Timestamp) -> Option<String> {
        // Read before the request, because the answer may describe the state at that time.
        let asked_at = self.clock.now();
        let key = dispatch.attempt_key();
        let names = task_names_so_far(first_name, &key, dispatch.attempts.count);
        let names: Vec<TaskName> =
            names.into_iter().map(|name| TaskName { app: dispatch.app.clone(), name }).collect();
        let mut tasks = match self.platform.find_tasks(&names) {
            Ok(Found { tasks, unclear }) => {
                outage::PLATFORM.worked();
                if !unclear.is_empty() {
                    self.try_later(dispatch, "Cloud Foundry cannot show a task", None, Some(doubt_until));
                    return None;
                }
                tasks
            }
            Err(PlatformError::Unavailable { cause, retry_after, .. }) => {
                outage::PLATFORM.failed(&cause);
                self.try_later(dispatch, &cause, retry_after, Some(doubt_until));
                return None;
            }
            Err(PlatformError::Refused { detail: cause } | PlatformError::Misconfigured { cause }) => {
                self.try_later(dispatch, &cause, None, Some(doubt_until));
                return None;
            }
        };
        // A task of an earlier attempt says nothing about the latest one, whose task may appear late.
        let latest_name = match dispatch.attempts.count {
            ..=1 => first_name.to_owned(),
            count => task_name_of_attempt(first_name, &key, count),
        };
        let never_ran = |task: &Task| matches!(task.state, TaskState::NeverRan(_));
        let some_never_ran = tasks.iter().any(never_ran);
        let latest_never_ran = tasks.iter().any(|task| never_ran(task) && task.name == latest_name);
        tasks.retain(|task| !never_ran(task));
        // A task without a time sorts last.
        tasks.sort_by(|one, other| {
            let key = |task: &Task| (task.created_at.is_none(), task.created_at);
            (key(one), &one.guid).cmp(&(key(other), &other.guid))
        });
        let mut tasks = tasks.into_iter();
        if let Some(task) = tasks.next() {
            for surplus in tasks {
                warn!(
                    execution:% = dispatch.guid, task:% = task.guid, cancelled:% = surplus.guid;
                    "execution has two tasks, cancelling the younger one"
                );
                self.note_surplus(dispatch, &surplus);
            }
            info!(execution:% = dispatch.guid, task:% = task.guid; "found the task whose answer was lost");
            self.accept(dispatch, &task);
            return None;
        }
        if asked_at < doubt_until && !latest_never_ran {
            let retry = Retry {
                dispatch_time: doubt_until,
                message: "waiting until it is certain that the attempt created no task".to_owned(),
                doubt_until: Some(doubt_until),
                failures: dispatch.attempts.failures,
                give_up_at: dispatch.attempts.give_up_at,
            };
            if self.record(dispatch.guid.as_str(), || self.store.postpone(dispatch.of, &retry)) {
                journal::postponed(&About::of(dispatch, None), doubt_until.since(asked_at), &retry.message);
            }
            return None;
        }
        Some(match some_never_ran {
            true => task_name_of_attempt(first_name, &key, dispatch.attempts.count.saturating_add(1)),
            false => first_name.to_owned(),
        })
    }

    fn accept(&self, dispatch: &Dispatch, task: &Task) {
        if self.record(dispatch.guid.as_str(), || self.store.accept_task(dispatch.of, &task.guid)) {
            let about = About::of(dispatch, None);
            journal::running(&about, Some(&task.guid), dispatch.course.attempt);
            crash::point("task.accepted");
        } else {
            // If the execution was deleted, the task is left running. If it was cancelled, the task is a
            // stray, which the watcher cancels.
            info!(execution:% = dispatch.guid, task:% = task.guid; "execution has ended or is gone");
            if self.store.is_shared() {
                // Another process may have created a task too, or may have found this one.
                self.note_surplus(dispatch, task);
            }
        }
        // A full channel means that the watcher is about to look anyway.
        let _ = self.task_started.try_send(());
    }

    /// Hands the task to the watcher, which cancels it once the execution has another one.
    fn note_surplus(&self, dispatch: &Dispatch, task: &Task) {
        self.record(dispatch.guid.as_str(), || {
            self.store.note_surplus(&dispatch.guid, &task.guid, self.clock.now())
        });
    }

    fn try_later(
        &self,
        dispatch: &Dispatch,
        cause: &str,
        retry_after: Option<Duration>,
        doubt_until: Option<Timestamp>,
    ) {
        let now = self.clock.now();
        let failures = dispatch.attempts.failures.saturating_add(1);
        let give_up_at =
            dispatch.attempts.give_up_at.unwrap_or_else(|| now.saturating_add(self.retry_limits.retry_for));
        if give_up_at <= now {
            let unknown = if doubt_until.is_some() { "; whether a task was created is unknown" } else { "" };
            let message =
                format!("given up after {} s: {cause}{unknown}", self.retry_limits.retry_for.as_secs());
            let outcome = Outcome::failed(Reason::GaveUp, message, now);
            let end = End { of: dispatch.of, outcome };
            return self.record_end(dispatch, &end, || match doubt_until {
                Some(_) => self.store.give_up(&end),
                None => self.store.finish(&end),
            });
        }
        // If the platform asks for a wait beyond `give_up_at`, there is one last attempt at that time.
        let asked = retry_after.unwrap_or_default().min(give_up_at.since(now));
        let wait = backoff(failures).max(asked);
        let retry = Retry {
            dispatch_time: now.saturating_add(wait),
            message: format!("waiting for another attempt: {cause}"),
            doubt_until,
            failures,
            give_up_at: Some(give_up_at),
        };
        if self.record(dispatch.guid.as_str(), || self.store.postpone(dispatch.of, &retry)) {
            journal::postponed(&About::of(dispatch, None), wait, cause);
        }
    }
}
