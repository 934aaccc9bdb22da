//! Follows running tasks to their end.
//!
//! Invariant: a long task holds no thread, and is followed on after a restart, for what is followed is what the database
//! says is RUNNING. A task that the platform does not know is asked for twice before it is given up.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, after, select};
use log::{info, warn};

use crate::clock::Clock;
use crate::model::{EndState, Guid, Id, Outcome};
use crate::platform::{Platform, TASK_BATCH, Task, TaskState};
use crate::stop::{Stop, is_stopped};
use crate::store::{RunningTask, Store, StoreError};

/// The slowest pace, as a multiple of the set one.
const SLOWEST: u32 = 4;
/// What is said of a task that vanished.
const VANISHED: &str = "Cloud Foundry no longer knows the task; outcome unknown";

/// The loop that looks at running tasks.
pub struct Watcher {
    store: Arc<Store>,
    platform: Arc<dyn Platform>,
    clock: Arc<dyn Clock>,
    /// The pace while things change.
    poll: Duration,
    /// Executions whose task was unknown at the last look; a part of those that run.
    missing: HashSet<Id>,
}

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// How many executions are under way still.
    pub running: usize,
    /// How many have ended.
    pub ended: usize,
    /// The platform, or the database, did not answer.
    pub failed: bool,
}

impl Watcher {
    /// Looks at `poll`'s pace while tasks end, more slowly while none does.
    pub fn new(
        store: Arc<Store>,
        platform: Arc<dyn Platform>,
        clock: Arc<dyn Clock>,
        poll: Duration,
    ) -> Self {
        Self { store, platform, clock, poll, missing: HashSet::new() }
    }

    /// Runs until `stop` closes. `wake`: a task was started, or has ended. With nothing running it sleeps until then.
    pub fn run(&mut self, wake: &Receiver<()>, stop: &Stop) {
        let mut pace = self.poll;
        loop {
            let look = self.look(stop);
            pace = if look.ended > 0 { self.poll } else { (pace * 2).min(self.poll * SLOWEST) };
            let next = if look.running > 0 || look.failed { after(pace) } else { crossbeam_channel::never() };
            select! {
                recv(stop) -> _ => return,
                recv(wake) -> woken => {
                    if woken.is_err() {
                        return;
                    }
                    pace = self.poll / 2;
                }
                recv(next) -> _ => (),
            }
        }
    }

    /// Asks for all running tasks once, in batches.
    pub fn look(&mut self, stop: &Stop) -> Look {
        let mut look = Look { running: 0, ended: 0, failed: false };
        let mut last = 0;
        loop {
            let batch = match self.store.running_tasks(last, TASK_BATCH as u32) {
                Ok(batch) => batch,
                Err(err) => {
                    warn!("running tasks could not be read cause={err}");
                    look.failed = true;
                    return look;
                }
            };
            let Some(end) = batch.last() else { break };
            last = end.id;
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
                    warn!("the outcome of tasks could not be recorded, looking again later cause={err}");
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

    /// Asks for one batch and records what has ended. `None`: the platform did not answer.
    fn follow(&mut self, batch: &[RunningTask]) -> Result<Option<usize>, StoreError> {
        let guids: Vec<Guid> = batch.iter().map(|running| running.task.clone()).collect();
        let tasks = match self.platform.list_tasks(&guids) {
            Ok(tasks) => tasks,
            Err(err) => {
                warn!("tasks could not be asked for, asking again later tasks={} cause={err}", batch.len());
                return Ok(None);
            }
        };
        let mut outcomes = Vec::new();
        for running in batch {
            let task = tasks.iter().find(|task| task.guid == running.task);
            if let Some(outcome) = self.outcome(running, task) {
                info!(
                    "execution ended execution={} task={} state={} message={:?}",
                    running.guid,
                    running.task,
                    outcome.state.as_str(),
                    outcome.message
                );
                outcomes.push((running.id, outcome));
            }
        }
        if outcomes.is_empty() {
            return Ok(Some(0));
        }
        self.store.finish_many(&outcomes)?;
        for (id, _) in &outcomes {
            self.missing.remove(id);
        }
        Ok(Some(outcomes.len()))
    }

    fn outcome(&mut self, running: &RunningTask, task: Option<&Task>) -> Option<Outcome> {
        let Some(task) = task else {
            if self.missing.insert(running.id) {
                return None;
            }
            return Some(Outcome {
                state: EndState::Failed,
                message: VANISHED.to_owned(),
                end_time: self.clock.now(),
            });
        };
        self.missing.remove(&running.id);
        let (state, message) = match &task.state {
            TaskState::Active => return None,
            TaskState::Succeeded => (EndState::Succeeded, String::new()),
            TaskState::Failed(reason) => (EndState::Failed, reason.clone()),
        };
        Some(Outcome { state, message, end_time: task.updated_at })
    }
}
