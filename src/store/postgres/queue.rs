//! From which time on there may be work, so that looks at the queue do not read past what ended long ago.
//!
//! Invariant: nothing that is due lies before [`QueueStart::since`], except for what was changed by hand. The
//! next look at all of the queue finds that.
//!
//! PostgreSQL keeps the index entries of changed rows until no snapshot needs them, and reads past them from
//! the start of the queue. While `pg_dump` runs, these may be tens of thousands.

use std::time::Duration;

use crate::model::Timestamp;

/// How long before the present something may become visible as due: longer than any transaction of the
/// service lasts, and than the clocks of instances differ.
const SLACK: Duration = Duration::from_secs(60);
/// A clock that was set back by less changes nothing.
const JUMP_MIN: Duration = Duration::from_secs(30);
/// All of the queue is looked at again after this many times as long as that took, and after
/// [`WHOLE_INTERVAL_MAX`] at the latest. So it takes a thousandth of the time, and is done at each look while
/// it is cheap.
const WHOLE_INTERVAL_FACTOR: u32 = 1000;
const WHOLE_INTERVAL_MAX: Duration = Duration::from_secs(600);

/// All of the queue.
const ALL: Timestamp = Timestamp::from_nanos(i64::MIN);

/// The start of the queue, as the last look saw it.
#[derive(Debug, Default)]
pub(super) struct QueueStart {
    seen: Option<Seen>,
}

#[derive(Debug)]
struct Seen {
    since: Timestamp,
    /// When it was looked at.
    at: Timestamp,
    /// When all of it is to be looked at again, in monotonic time.
    whole_again_at: Duration,
}

impl QueueStart {
    /// Looks at `now`, the monotonic time `monotonic`, begin here: with [`ALL`] at first, after the clock was
    /// set back, and now and then.
    pub(super) fn since(&self, now: Timestamp, monotonic: Duration) -> Timestamp {
        match &self.seen {
            Some(seen) if seen.at <= now.saturating_add(JUMP_MIN) && monotonic < seen.whole_again_at => {
                seen.since
            }
            _ => ALL,
        }
    }

    /// A look at `now` that began at `since` found that `earliest` is due first. It took from the monotonic
    /// time `asked_at` until `answered_at`.
    pub(super) fn note(
        &mut self,
        since: Timestamp,
        earliest: Option<Timestamp>,
        now: Timestamp,
        (asked_at, answered_at): (Duration, Duration),
    ) {
        let interval = answered_at.saturating_sub(asked_at) * WHOLE_INTERVAL_FACTOR;
        let whole_again_at = match &self.seen {
            _ if since == ALL => answered_at + interval.min(WHOLE_INTERVAL_MAX),
            Some(seen) => seen.whole_again_at,
            None => return,
        };
        let first = earliest.map_or(now, |earliest| earliest.min(now));
        self.seen = Some(Seen { since: first.saturating_sub(SLACK), at: now, whole_again_at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn monotonic(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// All of the queue was looked at in second 1,000, for a tenth of a second.
    fn looked_at(earliest: Option<i64>) -> QueueStart {
        let mut queue = QueueStart::default();
        let asked_at = monotonic(1000) - Duration::from_millis(100);
        queue.note(ALL, earliest.map(at), at(1000), (asked_at, monotonic(1000)));
        queue
    }

    #[test]
    fn the_first_look_is_at_all_and_later_ones_begin_before_the_first_entry() {
        let since = |queue: &QueueStart| queue.since(at(1001), monotonic(1001));
        assert_eq!(since(&QueueStart::default()), ALL);
        assert_eq!(since(&looked_at(None)), at(940));
        assert_eq!(since(&looked_at(Some(5000))), at(940));
        assert_eq!(since(&looked_at(Some(100))), at(40));
    }

    #[test]
    fn all_is_looked_at_for_a_thousandth_of_the_time_and_after_the_clock_was_set_back() {
        let mut queue = looked_at(None);
        queue.note(at(940), None, at(1050), (monotonic(1040), monotonic(1050)));
        assert_eq!(queue.since(at(1099), monotonic(1099)), at(990));
        assert_eq!(queue.since(at(1100), monotonic(1100)), ALL);
        assert_eq!(queue.since(at(1020), monotonic(1099)), at(990));
        assert_eq!(queue.since(at(1019), monotonic(1099)), ALL);
        queue.note(ALL, None, at(1100), (monotonic(1100), monotonic(1100)));
        assert_eq!(queue.since(at(1100), monotonic(1100)), ALL, "it is cheap");
        queue.note(ALL, None, at(1100), (monotonic(1100), monotonic(1102)));
        assert_eq!(queue.since(at(1701), monotonic(1701)), at(1040));
        assert_eq!(queue.since(at(1702), monotonic(1702)), ALL);
    }
}
