//! Clears the history: executions that ended long ago, and the rows of what was deleted.
//!
//! Invariant: in small batches, each a transaction of its own with a pause behind it, so that no request waits for it; and
//! an execution that has not ended is never removed, except with its deleted job or call. What the platform keeps of an ended
//! task (standalone: its output) goes with its execution.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, after, select};
use log::{info, warn};

use crate::base::clock::Clock;
use crate::base::crash;
use crate::base::stop::Stop;
use crate::platform::Platform;
use crate::store::{Store, StoreError};

/// The rows of one batch.
const BATCH: u32 = 200;
/// The pause after a batch that was full.
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
}

impl Retention {
    /// Keeps ended executions for `keep`, and of each job and call at most `keep_per_executable`.
    pub fn new(
        store: Arc<Store>,
        platform: Arc<dyn Platform>,
        clock: Arc<dyn Clock>,
        keep: Duration,
        keep_per_executable: Option<u32>,
    ) -> Self {
        Self { store, platform, clock, keep, keep_per_executable }
    }

    /// Runs until `stop` closes. `wake`: something was deleted.
    pub fn run(&self, wake: &Receiver<()>, stop: &Stop) {
        loop {
            if let Err(err) = self.pass(stop) {
                warn!(cause:% = err; "clearing the history failed, trying again later");
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
        let mut cleared = self.in_batches(stop, || self.store.purge_deleted(BATCH))?;
        cleared += self
            .in_batches(stop, || self.store.purge_ended(self.clock.now().saturating_sub(self.keep), BATCH))?;
        if let Some(keep) = self.keep_per_executable {
            let mut last = 0;
            while let Some(executable) = self.store.next_executable(last)? {
                last = executable;
                cleared += self.in_batches(stop, || self.store.purge_beyond(executable, keep, BATCH))?;
            }
        }
        if cleared > 0 {
            info!(rows = cleared; "history cleared");
        }
        self.forget_tasks();
        Ok(())
    }

    /// Looked for anew each time, rather than told when a row goes: so a crash in between leaves nothing behind for good.
    fn forget_tasks(&self) {
        // One that cannot be looked up is kept.
        let is_gone = |name: &str| matches!(self.store.has_execution(name), Ok(false));
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
