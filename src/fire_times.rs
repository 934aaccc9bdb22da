//! Computes when a schedule fires next. Pure.
//!
//! [`crate::cron`] decides which seconds match an expression; this module adds `starts_at`, `ends_at` and the
//! model's types. Every `next_fire_time` is computed here.

use std::time::Duration;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::cron::{Expression, Reading, Zone, hash};
use crate::model::{Guid, Timestamp, Timing};

const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// How long after its time a one-time schedule may still be created.
const LATE_MAX: Duration = Duration::from_secs(60);
/// How many fire times [`Calendar::shortest_interval`] compares.
const COMPARED_FIRE_TIMES: u64 = 50;

/// The instants at which a schedule fires.
#[derive(Debug, Clone)]
pub struct Calendar {
    expression: Expression,
    starts_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
}

impl Calendar {
    /// The calendar of a schedule of the job or call `executable`.
    ///
    /// # Errors
    /// A message for the user: the expression is not valid, or its time zone is unknown (perhaps only to this
    /// version).
    pub fn of(timing: &Timing, executable: &Guid) -> Result<Self, String> {
        let timezone = match &timing.timezone {
            Some(name) => Some(Zone::named(name).ok_or_else(|| format!("{name:?} is not a time zone"))?),
            None => None,
        };
        let reading = Reading {
            dialect: timing.dialect,
            hash_key: executable.as_str(),
            timezone: timezone.as_ref(),
            is_of_schedule: true,
        };
        let expression = Expression::parse(&timing.expression, &reading).map_err(|err| err.to_string())?;
        Ok(Self::new(expression, timing.starts_at, timing.ends_at))
    }

    /// The fire times of `expression` from `starts_at` to `ends_at`, both included. With a start, `@every`
    /// first fires at the start, rounded up to a whole second.
    pub fn new(expression: Expression, starts_at: Option<Timestamp>, ends_at: Option<Timestamp>) -> Self {
        Self { expression, starts_at, ends_at }
    }

    /// The expression.
    pub fn expression(&self) -> &Expression {
        &self.expression
    }

    /// The last instant at which it may fire; `None`: no end.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.ends_at
    }

    /// The first fire time strictly after `after`, which need not be a fire time; `None`: it never fires
    /// again.
    pub fn first_after(&self, after: Timestamp) -> Option<Timestamp> {
        let Some(starts_at) = self.starts_at else {
            return self.up_to_end(self.expression.first_after(after.seconds()));
        };
        let start = starts_at.shifted(NANOS_PER_SECOND - 1).seconds();
        let seconds = match self.expression.interval().and_then(|interval| i64::try_from(interval).ok()) {
            Some(interval) if interval > 0 => {
                let passed = after.seconds().saturating_sub(start);
                let count = if passed < 0 { 0 } else { passed / interval + 1 };
                count.checked_mul(interval).and_then(|passed| start.checked_add(passed))
            }
            _ => self.expression.first_after(after.seconds().max(start.saturating_sub(1))),
        };
        self.up_to_end(seconds)
    }

    /// The first fire time of a schedule that is created or changed at `now`: after `now`, except that a
    /// one-time schedule may be up to a minute late. `None`: it never fires.
    pub fn first_from(&self, now: Timestamp) -> Option<Timestamp> {
        let earliest = match self.expression.once() {
            Some(_) => now.saturating_sub(LATE_MAX),
            None => now,
        };
        self.first_after(earliest)
    }

    /// The fire time after `fire_time`, which is itself a fire time; `None`: it was the last.
    pub fn next_after(&self, fire_time: Timestamp) -> Option<Timestamp> {
        // With a start, an interval counts from the start.
        let is_counted = |starts_at| fire_time < starts_at || self.expression.interval().is_some();
        if self.starts_at.is_some_and(is_counted) {
            return self.first_after(fire_time);
        }
        self.up_to_end(self.expression.next_after(fire_time.seconds()))
    }

    /// The first fire time strictly after `after` of a schedule that was planned for `fire_time`. An interval
    /// without a start keeps counting from `fire_time`, however many fire times a pause has dropped.
    pub fn continued_after(&self, fire_time: Timestamp, after: Timestamp) -> Option<Timestamp> {
        let interval = self.expression.interval().filter(|_| self.starts_at.is_none());
        let Some(interval) = interval.and_then(|interval| i64::try_from(interval).ok()) else {
            return self.next_after(after);
        };
        let passed = after.seconds().saturating_sub(fire_time.seconds());
        let count = if passed < 0 { 0 } else { passed / interval.max(1) + 1 };
        self.up_to_end(count.checked_mul(interval).and_then(|passed| fire_time.seconds().checked_add(passed)))
    }

    /// The last fire time before `before`, which is in seconds since 1970; `None`: there is none.
    pub fn last_before(&self, before: i64) -> Option<Timestamp> {
        let before = self.ends_at.map_or(before, |ends_at| before.min(ends_at.seconds().saturating_add(1)));
        let last = self.expression.last_before(before).and_then(Timestamp::from_seconds)?;
        Some(last).filter(|last| self.starts_at.is_none_or(|starts_at| starts_at <= *last))
    }

    /// The fire times after `after`, at most `count`.
    pub fn upcoming(&self, after: Timestamp, count: u64) -> impl Iterator<Item = Timestamp> + '_ {
        std::iter::successors(self.first_after(after), |time| self.next_after(*time))
            .take(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// The shortest interval between consecutive fire times after `after`, in seconds; `None`: there are
    /// fewer than two.
    pub fn shortest_interval(&self, after: Timestamp) -> Option<u64> {
        let times: Vec<Timestamp> = self.upcoming(after, COMPARED_FIRE_TIMES).collect();
        times.windows(2).map(|pair| pair[1].since(pair[0]).as_secs()).min()
    }

    fn up_to_end(&self, seconds: Option<i64>) -> Option<Timestamp> {
        let time = seconds.and_then(Timestamp::from_seconds)?;
        Some(time).filter(|time| self.ends_at.is_none_or(|ends_at| *time <= ends_at))
    }
}

/// The jitter of an execution: seconds from 0 to `most`. It is a hash of schedule and fire time, so it is the
/// same after a restart and in every instance.
pub fn jitter(schedule: &Guid, fire_time: Timestamp, most: u32) -> u32 {
    let hash = hash(&format!("{schedule} {}", fire_time.seconds()));
    u32::try_from(hash % (u64::from(most) + 1)).unwrap_or(0)
}

/// Returns a function from a schedule's timing and the guid of its job or call to the first fire time after
/// `now`; `None`: it never fires, or is not valid.
pub fn planner(now: Timestamp) -> impl Fn(&Timing, &Guid) -> Option<Timestamp> {
    move |timing, executable| Calendar::of(timing, executable).ok()?.first_after(now)
}

/// A fire time in the zone of its expression, in RFC 3339.
pub fn local(expression: &Expression, time: Timestamp) -> String {
    let offset = UtcOffset::from_whole_seconds(expression.offset_at(time.seconds())).ok();
    let instant = OffsetDateTime::from_unix_timestamp(time.seconds()).ok();
    offset
        .zip(instant)
        .and_then(|(offset, instant)| instant.checked_to_offset(offset)?.format(&Rfc3339).ok())
        // Before about 1900, offsets had seconds, which RFC 3339 cannot express.
        .unwrap_or_else(|| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Dialect;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn calendar(expression: &str, starts_at: Option<&str>, ends_at: Option<&str>) -> Calendar {
        let timing = Timing {
            starts_at: starts_at.map(at),
            ends_at: ends_at.map(at),
            ..Timing::new(expression, Dialect::default())
        };
        Calendar::of(&timing, &Guid::from("job")).unwrap()
    }

    fn times(calendar: &Calendar, after: &str) -> Vec<String> {
        calendar.upcoming(at(after), 3).map(|time| time.to_string()).collect()
    }

    #[test]
    fn it_fires_from_its_start_to_its_end_both_included() {
        let hourly = calendar("0 * * * *", Some("2026-03-01T10:00:00Z"), Some("2026-03-01T11:00:00Z"));
        assert_eq!(times(&hourly, "2026-01-01T00:00:00Z"), ["2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"]);
        assert_eq!(times(&hourly, "2026-03-01T11:00:00Z"), [] as [&str; 0]);
        assert_eq!(
            hourly.last_before(at("2026-03-05T00:00:00Z").seconds()),
            Some(at("2026-03-01T11:00:00Z"))
        );
        assert_eq!(hourly.last_before(at("2026-03-01T10:00:00Z").seconds()), None);
        let late = calendar("0 * * * *", Some("2026-03-01T10:00:00.5Z"), None);
        assert_eq!(times(&late, "2026-01-01T00:00:00Z")[0], "2026-03-01T11:00:00Z");
    }

    #[test]
    fn an_interval_begins_at_its_start() {
        let every = calendar("@every 90m", Some("2026-03-01T10:00:00.5Z"), None);
        let all = ["2026-03-01T10:00:01Z", "2026-03-01T11:30:01Z", "2026-03-01T13:00:01Z"];
        assert_eq!(times(&every, "2026-01-01T00:00:00Z"), all);
        assert_eq!(times(&every, "2026-03-01T10:00:01Z")[0], all[1]);
        assert_eq!(times(&every, "2026-03-01T12:59:59Z")[0], all[2]);
    }

    #[test]
    fn an_interval_continues_after_a_pause_where_it_was() {
        let every = calendar("@every 10m", None, None);
        let planned = at("2026-03-01T00:04:50Z");
        let continued = |after: &str| every.continued_after(planned, at(after)).unwrap().to_string();
        assert_eq!(continued("2026-02-01T00:00:00Z"), "2026-03-01T00:04:50Z");
        assert_eq!(continued("2026-03-01T00:04:49.999999999Z"), "2026-03-01T00:04:50Z");
        assert_eq!(continued("2026-03-01T00:04:50Z"), "2026-03-01T00:14:50Z");
        assert_eq!(continued("2026-03-02T04:00:00Z"), "2026-03-02T04:04:50Z");
        let ending = calendar("@every 10m", None, Some("2026-03-01T00:20:00Z"));
        assert_eq!(ending.continued_after(planned, at("2026-03-01T00:15:00Z")), None);
        let started = calendar("@every 10m", Some("2026-03-01T00:00:00Z"), None);
        let next = started.continued_after(at("2026-03-01T00:10:00Z"), at("2026-03-01T00:31:00Z"));
        assert_eq!(next, Some(at("2026-03-01T00:40:00Z")));
        let daily = calendar("0 9 * * *", None, None);
        let next = daily.continued_after(at("2026-03-01T09:00:00Z"), at("2026-03-04T10:00:00Z"));
        assert_eq!(next, Some(at("2026-03-05T09:00:00Z")));
    }

    #[test]
    fn jitter_is_stable_and_spread_over_all_its_seconds() {
        let guid = Guid::from("c7a1b1de-0d3c-4b8e-b8b4-0a1d8a2f6d33");
        let at = |second: i64| Timestamp::from_seconds(60 * second).unwrap();
        let seen: std::collections::BTreeSet<u32> =
            (0..500).map(|second| jitter(&guid, at(second), 9)).collect();
        assert_eq!(seen, (0..=9).collect());
        assert_eq!(jitter(&guid, at(7), 3600), jitter(&guid, at(7), 3600));
        assert_eq!(jitter(&guid, at(7), 0), 0);
    }

    #[test]
    fn the_shortest_interval_is_that_of_the_closest_fire_times() {
        let now = at("2026-03-01T00:00:00Z");
        assert_eq!(calendar("0,1 9 * * *", None, None).shortest_interval(now), Some(60));
        assert_eq!(calendar("@every 7s", None, None).shortest_interval(now), Some(7));
        assert_eq!(calendar("0 9 1 1 * 2027", None, None).shortest_interval(now), None);
    }
}
