//! Time. The only module that reads a clock, so that tests can set it.
//!
//! *Wall* time decides when a schedule fires; *monotonic* time is for waiting and comes from channels'
//! time-outs.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;

/// 2025-01-01T00:00:00Z. While the clock shows less, it has not been set: nothing fires and no history is
/// deleted.
pub const EARLIEST: Timestamp = Timestamp::from_nanos(1_735_689_600_000_000_000);

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// The wall time now, in UTC.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary start, which setting the clock does not change. For ages and waiting.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: instant() }
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

/// The monotonic time of the machine, for deadlines of sockets and channels. Code whose decisions a test must
/// reach takes a [`Clock`].
#[expect(clippy::disallowed_methods, reason = "this module is the one place that reads the clock")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Monotonic time for code without a [`Clock`], such as the log.
pub fn since_start() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(instant).elapsed()
}

/// A wall clock that follows another one, such as a database's: monotonic time plus a measured offset.
/// It does not depend on how the wall clock of this machine is set.
pub struct SteeredClock {
    base: Arc<dyn Clock>,
    /// Added to the monotonic time, in nanoseconds.
    offset: AtomicI64,
}

impl SteeredClock {
    /// Shows the time of `base` until the first measurement.
    pub fn new(base: Arc<dyn Clock>) -> Self {
        let offset = base.now().nanos().saturating_sub(nanos_of(base.monotonic()));
        Self { base, offset: AtomicI64::new(offset) }
    }

    /// Follows the other clock, which showed `reading` between the monotonic times `asked_at` and
    /// `answered_at`. A difference within that uncertainty is ignored, to avoid jitter. Returns by how much
    /// the clock was set, forward or back.
    pub fn measure(&self, asked_at: Duration, answered_at: Duration, reading: Timestamp) -> Duration {
        let uncertainty = nanos_of(answered_at.saturating_sub(asked_at)) / 2;
        let measured = reading.nanos().saturating_sub(nanos_of(asked_at).saturating_add(uncertainty));
        let moved = measured.saturating_sub(self.offset.load(Ordering::SeqCst)).saturating_abs();
        if moved <= uncertainty {
            return Duration::ZERO;
        }
        self.offset.store(measured, Ordering::SeqCst);
        Duration::from_nanos(moved.unsigned_abs())
    }
}

impl Clock for SteeredClock {
    fn now(&self) -> Timestamp {
        let offset = self.offset.load(Ordering::SeqCst);
        Timestamp::from_nanos(offset.saturating_add(nanos_of(self.base.monotonic())))
    }

    fn monotonic(&self) -> Duration {
        self.base.monotonic()
    }
}

fn nanos_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
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

    /// Advances both clocks to `now`, which must not be earlier.
    pub fn set(&self, now: Timestamp) {
        let before = self.wall.swap(now.nanos(), Ordering::SeqCst);
        self.monotonic_nanos.fetch_add(now.nanos().saturating_sub(before).max(0), Ordering::SeqCst);
    }

    /// Sets the wall clock, forward or back; the monotonic clock stays.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steered_clock_follows_the_other_and_not_its_own_machine() {
        let time = |text: &str| Timestamp::parse(text).unwrap();
        let machine = Arc::new(ManualClock::new(time("2026-03-01T12:00:00Z")));
        let clock = SteeredClock::new(machine.clone());
        assert_eq!(clock.now(), time("2026-03-01T12:00:00Z"));
        let (asked_at, answered_at) = (machine.monotonic(), machine.monotonic() + Duration::from_millis(10));
        clock.measure(asked_at, answered_at, time("2026-03-01T11:59:30Z"));
        assert_eq!(clock.now(), time("2026-03-01T11:59:29.995Z"), "in the middle of request and response");
        clock.measure(asked_at, answered_at, time("2026-03-01T11:59:30.004Z"));
        assert_eq!(clock.now(), time("2026-03-01T11:59:29.995Z"), "within the uncertainty");
        machine.jump(time("2027-01-01T00:00:00Z"));
        assert_eq!(clock.now(), time("2026-03-01T11:59:29.995Z"), "its own machine's clock was set");
        machine.set(time("2027-01-01T00:00:10Z"));
        assert_eq!(clock.now(), time("2026-03-01T11:59:39.995Z"));
    }
}
