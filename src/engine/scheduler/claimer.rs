//! Claims due schedules: advances each to its next fire time, and creates the execution of the one that is
//! due.
//!
//! A shared database takes tens of milliseconds for a batch. If many schedules are due, a separate thread
//! claims them, and the scheduler meanwhile dispatches the executions of the first batches. The thread may
//! compete with other instances: claiming a fire time that is already claimed changes no row.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{debug, error, log};

use super::{SchedulerSettings, misfire};
use crate::base::clock::Clock;
use crate::base::crash;
use crate::base::on_demand::OnDemand;
use crate::base::stop::{Stop, is_stopped};
use crate::engine::journal::{self, About};
use crate::model::Timestamp;
use crate::store::{DueSchedule, Plan, Store, StoreError};

/// The most schedules that one transaction claims: few, so that the first executions run while the other
/// schedules are claimed.
const BATCH: u32 = 50;
/// The same for the thread, because each transaction costs some round trips and a flush.
const BATCH_OF_MANY: u32 = 250;
/// How long a stop waits for a batch. The database answers sooner, or not at all.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Claims due schedules, and starts the thread that does it if there are many.
pub(super) struct Claimer {
    claims: Arc<Claims>,
    thread: OnDemand,
    /// Gets a message after each batch of the thread.
    claimed: (Sender<()>, Receiver<()>),
}

struct Claims {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    settings: SchedulerSettings,
}

impl Claimer {
    pub(super) fn new(store: Arc<Store>, clock: Arc<dyn Clock>, settings: SchedulerSettings) -> Self {
        let claims = Arc::new(Claims { store, clock, settings });
        Self { claims, thread: OnDemand::default(), claimed: bounded(1) }
    }

    /// Has a message when the thread has claimed a batch.
    pub(super) fn claimed(&self) -> &Receiver<()> {
        &self.claimed.1
    }

    /// Whether the thread is running.
    pub(super) fn is_running(&self) -> bool {
        self.thread.is_running()
    }

    /// Claims one batch of due schedules, unless the thread is running. Returns whether to call this again at
    /// once. `stop` ends the thread; without `stop`, no thread is started.
    pub(super) fn claim_due(&self, now: Timestamp, stop: Option<&Stop>) -> Result<bool, StoreError> {
        if self.is_running() {
            return Ok(false);
        }
        let number = self.claims.claim_due(now, BATCH, false)?;
        let Some(stop) = stop.filter(|_| self.claims.store.is_shared() && number >= BATCH as usize) else {
            return Ok(number > 0);
        };
        let (claims, claimed, stop) = (Arc::clone(&self.claims), self.claimed.0.clone(), stop.clone());
        self.thread.start("claimer", move || claims.claim_all(&claimed, &stop));
        Ok(false)
    }

    /// Waits for the end of the thread, after `stop` was closed.
    pub(super) fn wait(&self) {
        self.thread.wait(STOP_PATIENCE);
    }
}

impl Claims {
    /// Claims until nothing is due. After an error the thread ends, and the next pass of the scheduler claims
    /// again.
    fn claim_all(&self, claimed: &Sender<()>, stop: &Stop) {
        while !is_stopped(stop) {
            let number = self.claim_due(self.clock.now(), BATCH_OF_MANY, true).unwrap_or_else(|err| {
                log!(err.noted(), cause:% = err; "due schedules could not be claimed");
                0
            });
            // If the channel is full, the scheduler is about to look anyway.
            let _ = claimed.try_send(());
            if number < BATCH_OF_MANY as usize {
                return;
            }
        }
    }

    /// Claims one batch. `is_backlog`: many schedules are due. Returns the number of schedules in it.
    fn claim_due(&self, now: Timestamp, batch: u32, is_backlog: bool) -> Result<usize, StoreError> {
        let plan = |schedule: &DueSchedule| self.plan_or_retire(schedule, now);
        let claimed = self.store.claim_due(now, batch, is_backlog, plan)?;
        if claimed.schedules == 0 {
            return Ok(0);
        }
        crash::point("claim.committed");
        for it in &claimed.executions {
            if let Some(skip) = it.skipped {
                journal::skipped(it.kind, &it.guid, &it.executable, skip.message());
                continue;
            }
            journal::created(&About {
                guid: &it.guid,
                kind: it.kind,
                executable: &it.executable,
                name: None,
                scheduled_time: Some(it.scheduled_time),
                due_time: None,
                start_time: None,
                request_id: "",
            });
        }
        debug!(schedules = claimed.schedules, executions = claimed.executions.len(); "due schedules claimed");
        Ok(claimed.schedules)
    }

    /// What to claim for a due schedule. If planning panics, the schedule gets no further fire time, so that
    /// it does not block the others.
    fn plan_or_retire(&self, schedule: &DueSchedule, now: Timestamp) -> Plan {
        catch_unwind(AssertUnwindSafe(|| {
            crash::point("schedule.planning");
            misfire::plan(&self.settings, schedule, now)
        }))
        .unwrap_or_else(|_| {
            error!(schedule:% = schedule.guid; "planning a schedule panicked, it no longer fires");
            Plan::without_fire(schedule, None)
        })
    }
}
