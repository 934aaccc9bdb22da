//! Keeps this process's lease on a shared database, follows the database's clock, and takes over the work of
//! dead instances.
//!
//! Invariant: a process takes over nothing while its own lease is new or was interrupted recently. After an
//! outage of the database, or a jump of its clock, the other instances have time to renew theirs. Work of an
//! earlier process of the same name (`INSTANCE_ID`) is taken over at once, because that process is gone. A
//! database that is not shared needs no lease.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, after, select};
use log::{error, info, log, warn};

use crate::base::clock::{Clock, SteeredClock};
use crate::base::stop::Stop;
use crate::engine::journal;
use crate::store::{Store, StoreError, TakenOver};

/// The time between renewals. A lease survives a few failed ones.
const RENEW_INTERVAL: Duration = Duration::from_secs(4);
/// The wait after a failed renewal.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long a process must hold its lease without a gap before it takes over others. Live instances retry
/// their renewal every second, and reconnect within five seconds.
const UNBROKEN_MIN: Duration = Duration::from_secs(10);
/// If two renewals are further apart than this, the lease may have ended in between.
const GAP_MAX: Duration = Duration::from_secs(12);
/// How often a separate statement reads the clock, so that the result arrives without delay, and how often
/// statistics are refreshed even if this process has written nothing.
const PRECISE_INTERVAL: Duration = Duration::from_secs(60);
/// A reading of the clock that takes longer is too inaccurate, so the clock is read again.
const SLOW_ANSWER: Duration = Duration::from_millis(100);
/// A difference between the clocks that counts as a jump.
const JUMP_MIN: Duration = Duration::from_secs(1);
/// The message of a call whose outcome cannot be known.
const INTERRUPTED: &str = "interrupted: the instance that had sent the call is gone";

/// The loop that renews the lease.
pub struct Keeper {
    store: Arc<Store>,
    clock: Arc<SteeredClock>,
    /// Wakes the scheduler: there may be something to dispatch or to follow.
    wake_scheduler: Sender<()>,
    wake_watcher: Sender<()>,
    /// Since when the lease has been held without a gap, and when it was last renewed, in monotonic time.
    held: Option<(Duration, Duration)>,
    /// When a separate statement last read the clock, and when statistics were last refreshed, in monotonic
    /// time.
    measured_at: Option<Duration>,
    refreshed_at: Option<Duration>,
    name: NameStep,
}

/// What to do with the instance's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameStep {
    /// Take over the work of earlier processes of this name.
    TakeOver,
    /// Keep the name when the lease is replaced.
    Keep,
    Done,
}

impl Keeper {
    /// Creates a keeper that steers `clock` and wakes the threads that do the work it takes over.
    pub fn new(
        store: Arc<Store>,
        clock: Arc<SteeredClock>,
        wake_scheduler: Sender<()>,
        wake_watcher: Sender<()>,
    ) -> Self {
        Self {
            store,
            clock,
            wake_scheduler,
            wake_watcher,
            held: None,
            measured_at: None,
            refreshed_at: None,
            name: NameStep::TakeOver,
        }
    }

    /// Runs until `stop` closes.
    pub fn run(&mut self, stop: &Stop) {
        loop {
            let pause = match self.pass() {
                Ok(()) => {
                    self.refresh_statistics();
                    RENEW_INTERVAL
                }
                Err(err) => {
                    log!(err.noted(), cause:% = err; "the lease could not be renewed, retrying");
                    RETRY_DELAY
                }
            };
            select! {
                recv(stop) -> _ => return,
                recv(after(pause)) -> _ => (),
            }
        }
    }

    /// Renews the lease, reads the clock, and takes over from instances whose lease has ended.
    pub fn pass(&mut self) -> Result<(), StoreError> {
        if self.held.is_none() {
            // Before the first lease nothing runs, so there is time to read the clock first. Later nothing
            // may delay the renewal.
            self.follow_clock()?;
        }
        let asked_at = self.clock.monotonic();
        let ahead = self.clock.now().saturating_add(JUMP_MIN);
        let Some(renewal) = self.store.renew_lease_and_look(ahead)? else { return Ok(()) };
        let answered_at = self.clock.monotonic();
        let since = match self.held {
            Some((since, last)) if !renewal.is_new && asked_at.saturating_sub(last) < GAP_MAX => since,
            Some(_) if renewal.is_new => {
                warn!(
                    lease = renewal.fence;
                    "the lease had ended, and this instance's work was taken over"
                );
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

        let (set_by, is_to_take_over) =
            match renewal.time.filter(|_| !is_long_ago(self.measured_at, asked_at)) {
                Some(time) => {
                    let set_by = self.clock.measure(asked_at, answered_at, time.now);
                    if !set_by.is_zero() && SLOW_ANSWER < answered_at.saturating_sub(asked_at) {
                        self.follow_clock()?;
                    }
                    (set_by, time.is_to_take_over)
                }
                None => self.follow_clock()?,
            };
        self.wake_for_what_is_due();
        if JUMP_MIN <= set_by {
            // All leases may have ended together.
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
                "another process has started with the same INSTANCE_ID; each instance needs its own \
                 INSTANCE_ID"
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
            "instances are gone, their work was taken over"
        );
        for it in &taken.calls {
            journal::cut_off(it, INTERRUPTED);
        }
        // A full channel means that it is about to look anyway.
        let _ = self.wake_scheduler.try_send(());
        let _ = self.wake_watcher.try_send(());
    }

    /// Wakes the threads whose work another instance has left behind or changed.
    fn wake_for_what_is_due(&self) {
        let Some(outlook) = self.store.outlook() else { return };
        let now = self.clock.now();
        if outlook.is_to_look || outlook.next_due.is_some_and(|due| due <= now) {
            // Full means that it is about to look anyway.
            let _ = self.wake_scheduler.try_send(());
        }
    }

    fn refresh_statistics(&mut self) {
        let now = self.clock.monotonic();
        if !self.store.has_written() && !is_long_ago(self.refreshed_at, now) {
            return;
        }
        match self.store.refresh_statistics() {
            Ok(()) => self.refreshed_at = Some(now),
            Err(err) => {
                log!(err.noted(), cause:% = err; "the database's statistics could not be refreshed");
            }
        }
    }

    /// Sets the clock to the database's. Returns the correction, and whether there is something to take over.
    fn follow_clock(&mut self) -> Result<(Duration, bool), StoreError> {
        let asked_at = self.clock.monotonic();
        let Some(time) = self.store.database_time()? else { return Ok((Duration::ZERO, false)) };
        self.measured_at = Some(asked_at);
        let set_by = self.clock.measure(asked_at, self.clock.monotonic(), time.now);
        Ok((set_by, time.is_to_take_over))
    }
}

fn is_long_ago(then: Option<Duration>, now: Duration) -> bool {
    then.is_none_or(|then| then + PRECISE_INTERVAL <= now)
}
