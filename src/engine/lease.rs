//! Keeps this process's lease on a database that others share, follows the database's clock, and takes over
//! what dead instances owned.
//!
//! Invariant: nothing is taken over by a process whose own lease was broken just now, or has just begun:
//! after the database was away, or its clock was set, the others have time to come back. What an earlier
//! process owned under the same name (`INSTANCE_ID`) is taken over at once, because that process is gone. A
//! database that is not shared needs no lease.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, after, select};
use log::{error, info, log, warn};

use crate::base::clock::{Clock, SteeredClock};
use crate::base::stop::Stop;
use crate::engine::journal;
use crate::store::{Store, StoreError, TakenOver};

/// The pause between two renewals: a few of them may fail before a lease ends.
const RENEW_INTERVAL: Duration = Duration::from_secs(4);
/// The pause after one that failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// So long a lease must have been held without a gap before others are taken over: those that are alive renew
/// theirs once a second after a failure, and have a connection again within five.
const UNBROKEN_MIN: Duration = Duration::from_secs(10);
/// Between two renewals further apart than this, the lease may have ended.
const GAP_MAX: Duration = Duration::from_secs(12);
/// A clock that has moved by so much was set.
const JUMP_MIN: Duration = Duration::from_secs(1);
/// What is said of a call that nobody can know the outcome of.
const INTERRUPTED: &str = "interrupted: the instance that had sent the call is gone";

/// The loop that keeps the lease.
pub struct Keeper {
    store: Arc<Store>,
    clock: Arc<SteeredClock>,
    /// There may be something to hand out, or to follow.
    wake_scheduler: Sender<()>,
    wake_watcher: Sender<()>,
    /// Since when the lease is held without a gap, and when it was last renewed, in monotonic time.
    held: Option<(Duration, Duration)>,
    name: NameStep,
}

/// What is to be done about the name of this instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameStep {
    /// Take over what earlier processes owned under it.
    TakeOver,
    /// Keep it with a further lease.
    Keep,
    Done,
}

impl Keeper {
    /// A keeper that steers `clock`, and wakes those who do what it takes over.
    pub fn new(
        store: Arc<Store>,
        clock: Arc<SteeredClock>,
        wake_scheduler: Sender<()>,
        wake_watcher: Sender<()>,
    ) -> Self {
        Self { store, clock, wake_scheduler, wake_watcher, held: None, name: NameStep::TakeOver }
    }

    /// Runs until `stop` closes.
    pub fn run(&mut self, stop: &Stop) {
        loop {
            let pause = match self.pass() {
                Ok(()) => {
                    if let Err(err) = self.store.refresh_statistics() {
                        log!(err.noted(), cause:% = err; "the database's statistics could not be refreshed");
                    }
                    RENEW_INTERVAL
                }
                Err(err) => {
                    log!(err.noted(), cause:% = err; "the lease could not be renewed, trying again");
                    RETRY_DELAY
                }
            };
            select! {
                recv(stop) -> _ => return,
                recv(after(pause)) -> _ => (),
            }
        }
    }

    /// Renews the lease, reads the clock, and takes over from those whose lease has ended.
    pub fn pass(&mut self) -> Result<(), StoreError> {
        if self.held.is_none() {
            // With a lease things are done at their time, so that is known first. Later nothing comes before
            // the renewal.
            self.follow_clock()?;
        }
        let asked_at = self.clock.monotonic();
        let Some(renewal) = self.store.renew_lease()? else { return Ok(()) };
        let since = match self.held {
            Some((since, last)) if !renewal.is_new && asked_at.saturating_sub(last) < GAP_MAX => since,
            Some(_) if renewal.is_new => {
                warn!(lease = renewal.fence; "the lease had ended, and what this instance owned was taken over");
                asked_at
            }
            Some(_) => asked_at,
            None => {
                info!(lease = renewal.fence; "this instance shares the database");
                asked_at
            }
        };
        self.held = Some((since, asked_at));
        if renewal.is_new && self.name == NameStep::Done {
            self.name = NameStep::Keep;
        }
        self.settle_name()?;

        let (set_by, is_to_take_over) = self.follow_clock()?;
        if JUMP_MIN <= set_by {
            // All leases may have ended at once.
            self.held = Some((asked_at, asked_at));
            return Ok(());
        }
        if !is_to_take_over || asked_at.saturating_sub(since) < UNBROKEN_MIN {
            return Ok(());
        }
        let taken = self.store.take_over(INTERRUPTED, self.clock.now())?;
        self.report(&taken);
        Ok(())
    }

    fn settle_name(&mut self) -> Result<(), StoreError> {
        let has_name = match self.name {
            NameStep::Done => return Ok(()),
            NameStep::TakeOver => match self.store.take_over_own(INTERRUPTED, self.clock.now())? {
                Some(taken) => {
                    self.report(&taken);
                    true
                }
                None => false,
            },
            NameStep::Keep => self.store.keep_name()?,
        };
        if !has_name {
            error!(
                "another process has started with the same INSTANCE_ID; each instance needs an INSTANCE_ID of its own"
            );
        }
        self.name = NameStep::Done;
        Ok(())
    }

    fn report(&self, taken: &TakenOver) {
        if taken.instances == 0 {
            return;
        }
        warn!(
            instances = taken.instances, calls = taken.calls.len(), executions = taken.executions;
            "instances are gone, what they owned was taken over"
        );
        for it in &taken.calls {
            journal::cut_off(it, INTERRUPTED);
        }
        // Full means that they are about to look anyway.
        let _ = self.wake_scheduler.try_send(());
        let _ = self.wake_watcher.try_send(());
    }

    /// Sets the clock as that of the database is. By how much it was wrong, and whether there is something to
    /// take over.
    fn follow_clock(&self) -> Result<(Duration, bool), StoreError> {
        let asked_at = self.clock.monotonic();
        let Some(time) = self.store.database_time()? else { return Ok((Duration::ZERO, false)) };
        let set_by = self.clock.measure(asked_at, self.clock.monotonic(), time.now);
        Ok((set_by, time.is_to_take_over))
    }
}
