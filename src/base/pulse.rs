//! When a part of the engine last succeeded and last began a turn, for `/healthz` and the watchdog.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::Clock;

/// A thread hangs if it has not begun a turn for this long. The scheduler begins one at least every 5 s.
const TURN_AGE_MAX: Duration = Duration::from_secs(30);

/// Beats at each success, and at each turn of the loop, whether it succeeds or not.
#[derive(Debug, Default)]
pub struct Pulse {
    success: LastTime,
    turn: LastTime,
}

impl Pulse {
    /// Records a success at `now`, on the monotonic clock.
    pub fn beat(&self, now: Duration) {
        self.success.set(now);
    }

    /// The time since the last success; `None` before the first.
    pub fn age(&self, now: Duration) -> Option<Duration> {
        self.success.age(now)
    }

    /// Records the begin of a turn at `now`, on the monotonic clock.
    pub fn begin_turn(&self, now: Duration) {
        self.turn.set(now);
    }
}

/// Milliseconds on the monotonic clock, plus one; 0 means never.
#[derive(Debug, Default)]
struct LastTime(AtomicU64);

impl LastTime {
    fn set(&self, now: Duration) {
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX - 1);
        self.0.store(millis + 1, Ordering::Relaxed);
    }

    fn age(&self, now: Duration) -> Option<Duration> {
        let last = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        Some(now.saturating_sub(Duration::from_millis(last)))
    }
}

/// Tells whether a thread still takes its turns. An unavailable database does not count as a hang, because a
/// restart would not help.
pub struct Watch {
    pulse: Arc<Pulse>,
    clock: Arc<dyn Clock>,
}

impl Watch {
    /// Watches the thread that `pulse` belongs to, by the clock that it uses.
    pub fn new(pulse: Arc<Pulse>, clock: Arc<dyn Clock>) -> Self {
        Self { pulse, clock }
    }

    /// Whether the thread has begun a turn within the last 30 s.
    pub fn is_alive(&self) -> bool {
        self.pulse.turn.age(self.clock.monotonic()).is_some_and(|age| age <= TURN_AGE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;
    use crate::model::Timestamp;

    #[test]
    fn a_thread_is_alive_while_it_begins_turns_even_if_none_succeeds() {
        let start = Timestamp::from_nanos(1_000_000_000_000_000_000);
        let clock = Arc::new(ManualClock::new(start));
        let pulse = Arc::new(Pulse::default());
        let watch = Watch::new(Arc::clone(&pulse), Arc::clone(&clock) as Arc<dyn Clock>);
        let advance = |seconds| clock.set(clock.now().saturating_add(Duration::from_secs(seconds)));
        assert!(!watch.is_alive(), "it has not begun");
        pulse.begin_turn(clock.monotonic());
        assert!(watch.is_alive());
        advance(30);
        assert!(watch.is_alive());
        pulse.begin_turn(clock.monotonic());
        advance(30);
        assert!(watch.is_alive());
        advance(1);
        pulse.beat(clock.monotonic());
        assert!(!watch.is_alive(), "it hangs in its turn");
    }
}
