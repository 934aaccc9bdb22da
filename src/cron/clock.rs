//! Turns matching wall-clock times into instants: the zone, and the treatment of skipped and repeated local
//! times.
//!
//! A wall-clock time is written as the seconds since 1970 that it would be in UTC, so it is an instant plus
//! its offset.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::dialect::ClockChanges;
use super::pattern::{Pattern, SECONDS_PER_DAY, has};

/// The Gregorian calendar, including weekdays, repeats after this.
const FOUR_CENTURIES: i64 = 146_097 * SECONDS_PER_DAY;
/// From here on every zone repeats its clock changes each year by a rule.
const START_OF_2100: i64 = 4_102_444_800;
const END_OF_9999: i64 = 253_402_300_799;
/// No fire time before the year 1.
const START_OF_YEAR_1: i64 = -62_135_596_800;
/// No zone is further from UTC than this.
const OFFSET_MAX: i64 = 26 * 60 * 60;
/// Limits the search for a time that always falls into gaps: about 400 years of two changes each.
const SEGMENTS_MAX: usize = 1_700;
const HOUR: i64 = 3600;

/// A pattern, its zone, and the rule for clock changes.
#[derive(Debug, Clone)]
pub(super) struct WallClock {
    pub(super) pattern: Pattern,
    pub(super) zone: TimeZone,
    pub(super) changes: ClockChanges,
}

/// A period with one offset from UTC, and how it began.
struct Segment {
    /// The first instant.
    start: i64,
    /// The first instant after it.
    end: i64,
    offset: i64,
    /// The offset before `start`.
    before: i64,
}

/// A clock change: its instant, and the offsets from UTC before and after it.
pub(super) struct Change {
    pub(super) at: i64,
    pub(super) before: i64,
    pub(super) after: i64,
}

impl Segment {
    /// The first wall-clock time that the clocks have not shown before.
    fn first_new_wall(&self) -> i64 {
        self.start.saturating_add(self.offset.max(self.before))
    }

    /// The wall-clock times that were skipped at its start: the first, and the one after the last.
    fn gap(&self) -> Option<(i64, i64)> {
        (self.before < self.offset).then(|| (self.start + self.before, self.start + self.offset))
    }
}

impl WallClock {
    /// The fire time that follows `fire_time`.
    pub(super) fn next_after(&self, fire_time: i64) -> Option<i64> {
        let found = self.first_after(fire_time)?;
        let repeats = self.changes == ClockChanges::Ocf2 && self.wall(found) == self.wall(fire_time);
        if repeats { self.first_after(found) } else { Some(found) }
    }

    /// The last fire time strictly earlier than `before`.
    pub(super) fn last_before(&self, before: i64) -> Option<i64> {
        let found = self.last_by_rule(before)?;
        if self.changes != ClockChanges::Ocf2 {
            return Some(found);
        }
        match self.last_by_rule(found) {
            Some(previous) if self.wall(previous) == self.wall(found) => Some(previous),
            _ => Some(found),
        }
    }

    /// The wall-clock time of an instant.
    pub(super) fn wall(&self, instant: i64) -> i64 {
        instant.saturating_add(self.segment_at(instant).offset)
    }

    /// The clock changes after `from`, in ascending order.
    pub(super) fn changes_from(&self, from: i64) -> impl Iterator<Item = Change> {
        std::iter::successors(Some(self.segment_at(from)), |segment| {
            (segment.end < END_OF_9999).then(|| self.segment_at(segment.end))
        })
        .skip(1)
        .map(|segment| Change { at: segment.start, before: segment.before, after: segment.offset })
    }

    /// The first fire time strictly later than any instant `after`. Walks from one clock change to the next:
    /// between them the offset is constant, and a search on the wall clock is enough.
    pub(super) fn first_after(&self, after: i64) -> Option<i64> {
        let from = after.clamp(START_OF_YEAR_1, END_OF_9999) + 1;
        // After four centuries of clock changes by rule everything repeats, except for listed years.
        let horizon = match self.pattern.years {
            None => from.max(START_OF_2100).saturating_add(FOUR_CENTURIES).min(END_OF_9999),
            Some(_) => END_OF_9999,
        };
        let (mut at, mut pending) = (from, None);
        for _ in 0..SEGMENTS_MAX {
            if horizon < at {
                break;
            }
            let segment = self.segment_at(at);
            let moved = self.moved_in(&segment, from);
            pending = pending.into_iter().chain(moved).min();

            let wall = at + segment.offset;
            let new = self.fires_once().then(|| segment.first_new_wall());
            let matching =
                self.pattern.first_from(new.map_or(wall, |new| wall.max(new)), horizon + OFFSET_MAX);
            let regular = matching.map(|matching| matching - segment.offset);
            let soonest = regular.into_iter().chain(pending).min().filter(|it| *it < segment.end);
            if let Some(fire_time) = soonest {
                return Some(fire_time).filter(|it| *it <= END_OF_9999);
            }
            // Nothing matches between `wall` and `matching`, so skip to the first instant that may show
            // `matching` under any offset, unless a change comes soon enough to set the clock back to before
            // `wall`.
            let earliest = match (pending, matching) {
                (Some(_), _) => segment.end,
                (None, Some(matching)) => matching - OFFSET_MAX,
                (None, None) => i64::MAX,
            };
            at = if segment.end < wall + OFFSET_MAX { segment.end } else { segment.end.max(earliest) };
        }
        pending
    }

    fn last_by_rule(&self, before: i64) -> Option<i64> {
        let until = before.clamp(START_OF_YEAR_1, END_OF_9999) - 1;
        let horizon = match self.pattern.years {
            None => until.saturating_sub(FOUR_CENTURIES).max(START_OF_YEAR_1),
            Some(_) => START_OF_YEAR_1,
        };
        let mut at = until;
        for _ in 0..SEGMENTS_MAX {
            if at < horizon {
                break;
            }
            let segment = self.segment_at(at);
            let wall = at + segment.offset;
            let matching = self.pattern.last_until(wall, horizon - OFFSET_MAX);
            let first = segment.start.max(START_OF_YEAR_1);
            let first =
                if self.fires_once() { first.max(segment.first_new_wall() - segment.offset) } else { first };
            let regular = matching.map(|matching| matching - segment.offset).filter(|it| first <= *it);
            let moved = self.last_moved_in(&segment, before);
            if let Some(fire_time) = regular.into_iter().chain(moved).max() {
                return Some(fire_time);
            }
            let latest = matching.map_or(i64::MIN, |matching| matching + OFFSET_MAX);
            let previous = segment.start.saturating_sub(1);
            at = if wall - OFFSET_MAX < segment.start { previous } else { previous.min(latest) };
        }
        None
    }

    /// Whether a repeated local time fires only the first time.
    fn fires_once(&self) -> bool {
        self.changes == ClockChanges::Once && !self.pattern.every_hour
    }

    /// The first fire time from `from` on that replaces a local time skipped when `segment` began.
    fn moved_in(&self, segment: &Segment, from: i64) -> Option<i64> {
        let gap = segment.gap()?;
        match self.changes {
            ClockChanges::Plain => None,
            ClockChanges::Once if self.pattern.every_hour => None,
            ClockChanges::Once => {
                let first = gap.0.max(from + segment.before);
                let skipped = self.pattern.first_from(first, gap.1)?;
                (skipped < gap.1).then(|| skipped - segment.before)
            }
            // OCF Scheduler 2.x notices the gap only when it starts before it.
            ClockChanges::Ocf2 if from < segment.start => self.moved_to_next_hour(segment, gap).min(),
            ClockChanges::Ocf2 => None,
        }
    }

    /// The last fire time before `before` that replaces a local time skipped when `segment` began.
    fn last_moved_in(&self, segment: &Segment, before: i64) -> Option<i64> {
        let gap = segment.gap()?;
        match self.changes {
            ClockChanges::Plain => None,
            ClockChanges::Once if self.pattern.every_hour => None,
            ClockChanges::Once => {
                let last = (gap.1 - 1).min(before - 1 + segment.before);
                let skipped = self.pattern.last_until(last, gap.0)?;
                (gap.0 <= skipped).then(|| skipped - segment.before)
            }
            ClockChanges::Ocf2 => self.moved_to_next_hour(segment, gap).filter(|it| *it < before).max(),
        }
    }

    /// A time in a gap of exactly one hour, except at midnight, moves to the first matching minute and second
    /// of the following hour.
    fn moved_to_next_hour(
        &self,
        segment: &Segment,
        (gap_start, gap_end): (i64, i64),
    ) -> impl Iterator<Item = i64> {
        let first_hour = gap_start.div_euclid(HOUR);
        let hours = first_hour..=(gap_end - 1).div_euclid(HOUR);
        hours.filter(move |_| gap_end - gap_start == HOUR).filter_map(move |hour| {
            let start = hour * HOUR;
            let of_day = hour.rem_euclid(24).unsigned_abs();
            if of_day == 0 || of_day == 23 {
                return None;
            }
            // If a gap begins within an hour, OCF Scheduler 2.x steps over it minute by minute when it is in
            // that hour.
            let walks_over = gap_start < start && has(self.pattern.hours, of_day - 1);
            let from = start.max(gap_start);
            let skipped = self.pattern.first_from(from, gap_end)?;
            if walks_over || gap_end.min(start + HOUR) <= skipped {
                return None;
            }
            let next_hour = start + HOUR;
            let shown_from = (gap_end - next_hour).max(0).unsigned_abs();
            let second = self.pattern.first_in_hour(shown_from)?;
            Some(next_hour + second.cast_signed() - segment.offset)
        })
    }

    fn segment_at(&self, instant: i64) -> Segment {
        // `jiff` does not know the last day of 9999; keep the previous offsets.
        let known = Timestamp::from_second(instant).unwrap_or(if instant < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        });
        let offset_at = |instant: Timestamp| i64::from(self.zone.to_offset(instant).seconds());
        let offset = offset_at(known);
        let end = self.zone.following(known).next().map_or(i64::MAX, |it| it.timestamp().as_second());
        // `preceding` is strictly earlier, and this instant may itself be a change.
        let inside = known.checked_add(jiff::SignedDuration::from_nanos(1)).unwrap_or(known);
        let (start, before) = match self.zone.preceding(inside).next() {
            None => (i64::MIN, offset),
            Some(change) => {
                let start = change.timestamp();
                let before = start.checked_sub(jiff::SignedDuration::from_secs(1)).map_or(offset, offset_at);
                (start.as_second(), before)
            }
        };
        Segment { start, end, offset, before }
    }
}
