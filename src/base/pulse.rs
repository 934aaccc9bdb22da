//! The last time at which a part of the engine has succeeded, for those who watch over it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Beats at each success.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Milliseconds of the monotonic clock, and one more; 0: it has not beaten yet.
    last: AtomicU64,
}

impl Pulse {
    /// Has succeeded now, on the monotonic clock.
    pub fn beat(&self, now: Duration) {
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX - 1);
        self.last.store(millis + 1, Ordering::Relaxed);
    }

    /// How long ago that was; `None`: it never was.
    pub fn age(&self, now: Duration) -> Option<Duration> {
        let last = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        Some(now.saturating_sub(Duration::from_millis(last)))
    }
}
