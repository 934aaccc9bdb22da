//! Clears the history: executions that ended long ago, and the rows of what was deleted. Records what marks
//! cancel.
//!
//! Invariant: in small batches, each a transaction of its own with a pause behind it, so that no request
//! waits for it; and an execution that has not ended is never removed, except with its deleted job or call.
//! What the platform keeps of an ended task (standalone: its output) goes with its execution.

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

/// How long the deliveries of notifications are kept.
const KEEP_DELIVERIES: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The rows of one batch.
const BATCH: u32 = 200;
/// The executions whose cancellation is recorded in one transaction.
const CANCEL_BATCH: u32 = 500;
/// So far beyond the newest sign of life the clock is believed.
const TRUST: Duration = Duration::from_secs(24 * 60 * 60);
/// The pause after a batch.
const PAUSE: Duration = Duration::from_millis(20);
/// The time between two looks.
const INTERVAL: Duration = Duration::from_secs(600);

/// The loop that clears.
pub struct Retention {
    store: Arc<Store>,
    platform: Arc<dyn Platform>,
    clock: Arc<dyn Clock>,
    keep: Duration,
    keep_per_executable: Option<u32>,
    keep_events: Duration,
    /// Wakes the watcher: a cancelled execution may have left a task behind.
    wake_watcher: Sender<()>,
    /// The newest sign of life in the database before this process did anything, and the monotonic time when
    /// it was read.
    anchor: Mutex<Option<(Timestamp, Duration)>>,
}

impl Retention {
    /// Keeps ended executions for `keep`, and of each job and call at most `keep_per_executable`.
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
        // Early, for what is created by a clock that is ahead says nothing about the time. When it fails, the
        // first pass tries again.
        let _ = retention.trusted_time();
        retention
    }

    /// The same, which keeps audit events for `keep_events`.
    pub fn keeping_events(self, keep_events: Duration) -> Self {
        Self { keep_events, ..self }
    }

    /// The time by which history may be cleared: not more than [`TRUST`] beyond the newest sign of life that
    /// the database had at the start, and what has passed since. So a clock that is ahead clears nothing.
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
                log!(err.noted(), cause:% = err; "clearing the history failed, trying again later");
            }
            select! {
                recv(stop) -> _ => return,
                recv(wake) -> woken => if woken.is_err() { return },
                recv(after(INTERVAL)) -> _ => (),
            }
        }
    }

    /// Clears all that is to be cleared now, unless `stop` closes before.
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

    /// Records what marks on schedules cancel.
    fn record_cancelled(&self, stop: &Stop) -> Result<(), StoreError> {
        let rows = self.in_batches(stop, || self.store.record_cancelled(CANCEL_BATCH))?;
        if rows > 0 {
            debug!(rows; "cancellations recorded");
            let _ = self.wake_watcher.try_send(());
        }
        Ok(())
    }

    /// Clears in batches. A long history holds up no cancellation.
    fn clear(&self, stop: &Stop, batch: impl Fn() -> Result<usize, StoreError>) -> Result<usize, StoreError> {
        self.in_batches(stop, || {
            self.record_cancelled(stop)?;
            batch()
        })
    }

    /// Looks for them each time, instead of being notified of each deleted row, so that a crash in between
    /// leaves nothing behind for good.
    fn forget_tasks(&self) {
        // One that cannot be looked up is kept. The task of a later attempt has its number behind the guid.
        let is_gone = |name: &str| {
            let execution = name.split_once('.').map_or(name, |(execution, _)| execution);
            matches!(self.store.has_execution(execution), Ok(false))
        };
        match self.platform.forget_ended(&is_gone) {
            Ok(0) => (),
            Ok(tasks) => info!(tasks; "outputs of tasks cleared with their executions"),
            Err(err) => warn!(cause:% = err; "clearing the outputs of tasks failed, trying again later"),
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
            // A timer that a stop can end.
            select! {
                recv(stop) -> _ => return Ok(cleared),
                recv(after(PAUSE)) -> _ => (),
            }
        }
    }
}
