//! Time. The only module that reads a clock, so that tests can set it.
//!
//! *Wall* time decides when a schedule fires; *monotonic* time is for waiting and comes from channels' time-outs.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;

/// Where the wall time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The wall time now, in UTC.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary start, which no setting of the clock moves. For ages and waiting.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_nanos(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that stands still until it is set. For tests.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    monotonic_nanos: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self { wall: AtomicI64::new(start.nanos()), monotonic_nanos: AtomicI64::new(0) }
    }

    /// Lets the time pass until `now`, which lies ahead.
    pub fn set(&self, now: Timestamp) {
        let before = self.wall.swap(now.nanos(), Ordering::SeqCst);
        self.monotonic_nanos.fetch_add(now.nanos().saturating_sub(before).max(0), Ordering::SeqCst);
    }

    /// Sets the clock, forward or back; no time passes.
    pub fn jump(&self, now: Timestamp) {
        self.wall.store(now.nanos(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.monotonic_nanos.load(Ordering::SeqCst).unsigned_abs())
    }
}
