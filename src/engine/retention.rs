//! Purges old executions and the rows of deleted objects, and records the cancellations of executions whose
//! schedule is marked.
//!
//! Invariant: it works in small batches, each in its own transaction and followed by a pause, so that no
//! request has to wait. An execution that has not ended is removed only with its deleted job or call. The
//! output of a local task is deleted with its execution.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, select};
use log::{debug, info, log, warn};

use crate::base::clock::{Clock, EARLIEST};
use crate::base::crash;
use crate::base::stop::Stop;
use crate::model::Timestamp;
use crate::platform::Platform;
use crate::store::{Store, StoreError};

/// How long ended deliveries are kept.
const KEEP_DELIVERIES: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Rows in a batch.
const BATCH: u32 = 200;
/// Executions whose cancellation one transaction records.
const CANCEL_BATCH: u32 = 500;
/// How far beyond the newest activity in the database the clock is trusted.
const TRUST: Duration = Duration::from_secs(24 * 60 * 60);
/// The pause after a batch.
const PAUSE: Duration = Duration::from_millis(20);
/// The time between two passes.
const INTERVAL: Duration = Duration::from_secs(600);

/// The loop that purges.
pub struct Retention {
    store: Arc<Store>,
    platform: Arc<dyn Platform>,
    clock: Arc<dyn Clock>,
    keep: Duration,
    keep_per_executable: Option<u32>,
    keep_events: Duration,
    /// Wakes the watcher: a cancelled execution may have left a task.
    wake_watcher: Sender<()>,
    /// The newest activity in the database before this process started, and the monotonic time at which it
    /// was read.
    anchor: Mutex<Option<(Timestamp, Duration)>>,
}

impl Retention {
    /// Keeps ended executions for `keep`, and at most `keep_per_executable` of each job and call.
    pub fn new(
        store: Arc<Store>,
        platform: Arc<dyn Platform>,
        clock: Arc<dyn Clock>,
        keep: Duration,
        keep_per_executable: Option<u32>,
        wake_watcher: Sender<()>,
    ) -> Self {
        let anchor = Mutex::new(None);
        let keep_events = Duration::MAX;
        let retention =
            Self { store, platform, clock, keep, keep_per_executable, keep_events, wake_watcher, anchor };
        // Read before anything else: rows that are created while the clock is ahead say nothing about the
        // time. If this fails, the first pass retries it.
        let _ = retention.trusted_time();
        retention
    }

    /// Also keeps audit events for `keep_events`.
    pub fn keeping_events(self, keep_events: Duration) -> Self {
        Self { keep_events, ..self }
    }

    /// The time to purge by: at most [`TRUST`] beyond the newest activity that the database had at the start,
    /// plus the time passed since. So a clock that is ahead purges nothing.
    fn trusted_time(&self) -> Result<Timestamp, StoreError> {
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let (newest, read_at) = match *anchor {
            Some(anchor) => anchor,
            None => *anchor.insert((self.store.newest_activity()?.unwrap_or(now), monotonic)),
        };
        Ok(newest.saturating_add(TRUST).saturating_add(monotonic.saturating_sub(read_at)).min(now))
    }

    /// Runs until `stop` closes. `wake`: something was deleted.
    pub fn run(&self, wake: &Receiver<()>, stop: &Stop) {
        loop {
            if let Err(err) = self.pass(stop) {
                log!(err.noted(), cause:% = err; "purging the history failed, retrying later");
            }
            select! {
                recv(stop) -> _ => return,
                recv(wake) -> woken => if woken.is_err() { return },
                recv(after(INTERVAL)) -> _ => (),
            }
        }
    }

    /// Purges everything that is due, unless `stop` closes first.
    pub fn pass(&self, stop: &Stop) -> Result<(), StoreError> {
        self.record_cancelled(stop)?;
        if self.clock.now() < EARLIEST {
            return Ok(());
        }
        let mut cleared = self.clear(stop, || self.store.purge_deleted(BATCH))?;
        let before = self.trusted_time()?.saturating_sub(self.keep);
        cleared += self.clear(stop, || self.store.purge_ended(before, BATCH))?;
        let before = self.trusted_time()?.saturating_sub(self.keep_events);
        cleared += self.clear(stop, || self.store.purge_events(before, BATCH))?;
        let before = self.trusted_time()?.saturating_sub(KEEP_DELIVERIES);
        cleared += self.clear(stop, || self.store.purge_deliveries(before, BATCH))?;
        if let Some(keep) = self.keep_per_executable {
            let mut last = 0;
            while let Some(executable) = self.store.next_executable(last)? {
                last = executable;
                cleared += self.clear(stop, || self.store.purge_beyond(executable, keep, BATCH))?;
            }
        }
        if cleared > 0 {
            info!(rows = cleared; "history cleared");
        }
        self.forget_tasks();
        Ok(())
    }

    /// Records the cancellations of executions whose schedules are marked.
    fn record_cancelled(&self, stop: &Stop) -> Result<(), StoreError> {
        let rows = self.in_batches(stop, || self.store.record_cancelled(CANCEL_BATCH))?;
        if rows > 0 {
            debug!(rows; "cancellations recorded");
            let _ = self.wake_watcher.try_send(());
        }
        Ok(())
    }

    /// Purges in batches, and records cancellations in between, so that a long history does not delay them.
    fn clear(&self, stop: &Stop, batch: impl Fn() -> Result<usize, StoreError>) -> Result<usize, StoreError> {
        self.in_batches(stop, || {
            self.record_cancelled(stop)?;
            batch()
        })
    }

    /// Looks for purged executions each time instead of tracking deleted rows, so that a crash leaves no
    /// output behind forever.
    fn forget_tasks(&self) {
        // Keep it if the lookup fails. The name of a later attempt's task is the guid plus a number.
        let is_gone = |name: &str| {
            let execution = name.split_once('.').map_or(name, |(execution, _)| execution);
            matches!(self.store.has_execution(execution), Ok(false))
        };
        match self.platform.forget_ended(&is_gone) {
            Ok(0) => (),
            Ok(tasks) => info!(tasks; "outputs of purged executions deleted"),
            Err(err) => {
                warn!(cause:% = err; "deleting the outputs of purged executions failed, retrying later")
            }
        }
    }

    fn in_batches(
        &self,
        stop: &Stop,
        batch: impl Fn() -> Result<usize, StoreError>,
    ) -> Result<usize, StoreError> {
        let mut cleared = 0;
        loop {
            let rows = batch()?;
            if rows == 0 {
                return Ok(cleared);
            }
            cleared += rows;
            crash::point("retention.batch");
            // A timer that a stop can interrupt.
            select! {
                recv(stop) -> _ => return Ok(cleared),
                recv(after(PAUSE)) -> _ => (),
            }
        }
    }
}
