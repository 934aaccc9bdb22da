//! The cron dialect: what an expression means, and when it fires next.
//!
//! Invariant: `next_after` is strictly later than its argument and skips no fire time, and both a fire time and the
//! proof that there is none come in a bounded short time. Pure: no I/O, no clocks; zone data is compiled in.
//!
//! An expression is matched against wall-clock time. Two things find the next matching wall-clock time:
//!
//! - [`plain`], an adapter of the `cron` crate, where the crate is right: expressions without `L`, `W` and `#`, for
//!   wall-clock years 1970 to 2100. Day of month *or* weekday is the earlier of two of its schedules.
//! - [`pattern`], a matcher of our own, for everything else: `L`, `W` and `#`, and the years that the crate lacks.
//!
//! Zones are ours alone ([`WallClock`]), since the crate is out of order in a repeated hour: it is only ever shown
//! wall-clock time that pretends to be UTC.

mod interval;
mod parse;
mod pattern;
mod plain;

use std::fmt;
use std::ops::Range;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use pattern::Pattern;
use plain::Plain;

/// How numbers in day-of-week are read. Names mean the same in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weekdays {
    /// 0 = Sunday to 6 = Saturday, and 7 = Sunday too.
    #[default]
    Unix,
    /// 1 = Sunday to 7 = Saturday.
    Quartz,
}

/// A cron expression that was understood.
#[derive(Debug, Clone)]
pub struct Expression(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// `@every`, in seconds, at least 1.
    Interval(u64),
    WallClock(Box<WallClock>),
}

impl Expression {
    /// Reads an expression of at most 256 characters.
    pub fn parse(text: &str, weekdays: Weekdays) -> Result<Self, ExpressionError> {
        parse::expression(text, weekdays).map(Self)
    }

    /// The first fire time strictly later than `after_seconds`; both in seconds since 1970. An instant between two
    /// seconds is given as the earlier of them. `None`: never again, or not before the year 10000.
    pub fn next_after(&self, after_seconds: i64) -> Option<i64> {
        match &self.0 {
            Kind::Interval(seconds) => after_seconds.checked_add_unsigned(*seconds),
            Kind::WallClock(wall_clock) => wall_clock.next_after(after_seconds),
        }
    }

    /// The interval of `@every`, in seconds; `None` for all other expressions.
    pub fn interval(&self) -> Option<u64> {
        match &self.0 {
            Kind::Interval(seconds) => Some(*seconds),
            Kind::WallClock(_) => None,
        }
    }
}

/// Why an expression was refused: where, what is wrong there, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionError {
    /// `minute`, `hour`, `day of month`, `month`, `day of week` or `year`; `zone` or `interval`; `expression` when it
    /// is about the whole.
    pub field: &'static str,
    /// Which of the fields that is, from 1; `None` for what is no field of its own.
    pub number: Option<usize>,
    /// Where in the expression, counted in characters from 0.
    pub position: usize,
    /// How many characters it is about; 0 when something is missing there.
    pub length: usize,
    /// What is wrong there, for example `60 is beyond 59`.
    pub message: String,
    /// What would be right there.
    pub expected: String,
}

impl fmt::Display for ExpressionError {
    /// For example `in field 1 (minute), at character 1: 60 is beyond 59`. Characters count from 1 here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "in field {number} ({}), ", self.field)?,
            None if self.field == "expression" => {}
            None => write!(f, "in the {}, ", self.field)?,
        }
        write!(f, "at character {}: {}", self.position + 1, self.message)
    }
}

impl std::error::Error for ExpressionError {}

/// A pattern and the zone whose clocks are meant.
///
/// Wall-clock times are written as the seconds since 1970 that they would be in UTC, so an instant plus its offset is
/// its wall-clock time.
#[derive(Debug, Clone)]
struct WallClock {
    pattern: Pattern,
    /// The same for the `cron` crate, where it can express it.
    plain: Option<Plain>,
    zone: TimeZone,
}

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;
/// The Gregorian calendar, weekdays included, repeats after this.
const FOUR_CENTURIES: i64 = 146_097 * SECONDS_PER_DAY;
/// From here on the clock changes of every zone repeat each year by a rule.
const START_OF_2100: i64 = 4_102_444_800;
const END_OF_9999: i64 = 253_402_300_799;
/// No zone is farther from UTC than this.
const OFFSET_MAX: i64 = 26 * 60 * 60;
/// The wall-clock times in which the `cron` crate knows its way: 1970 to 2100.
const KNOWN_TO_CRATE: Range<i64> = 0..4_133_980_800;

impl WallClock {
    fn new(pattern: Pattern, zone: TimeZone) -> Self {
        Self { plain: Plain::new(&pattern), pattern, zone }
    }

    /// Walks from one clock change to the next: in between the offset is constant and the search is one on the wall
    /// clock. So a skipped time is never reached, and a repeated one is reached twice and in order.
    fn next_after(&self, after: i64) -> Option<i64> {
        let mut from = after.clamp(Timestamp::MIN.as_second(), END_OF_9999) + 1;
        // Four centuries of clock changes by rule have shown all that will ever come.
        let horizon = from.max(START_OF_2100).saturating_add(FOUR_CENTURIES).min(END_OF_9999);
        while from <= horizon {
            // The last day of 9999 is beyond what `jiff` knows; offsets are then what they were before.
            let instant = Timestamp::from_second(from).unwrap_or(Timestamp::MAX);
            let offset = i64::from(self.zone.to_offset(instant).seconds());
            let change =
                self.zone.following(instant).next().map_or(i64::MAX, |it| it.timestamp().as_second());

            let wall = from + offset;
            let matching = self.first_wall_from(wall, horizon + OFFSET_MAX);
            if let Some(fire_time) = matching.map(|matching| matching - offset)
                && fire_time < change
            {
                return Some(fire_time).filter(|fire_time| *fire_time <= END_OF_9999);
            }
            // Nothing matches between `wall` and `matching`, so go to the first instant that may show `matching` under
            // any offset, unless the change comes soon enough to set the clock back to before `wall`.
            let soonest = matching.map_or(i64::MAX, |matching| matching - OFFSET_MAX);
            from = if change < wall + OFFSET_MAX { change } else { change.max(soonest) };
        }
        None
    }

    /// The first matching wall-clock time, `wall` included. Looks until `horizon` or a little farther.
    fn first_wall_from(&self, wall: i64, horizon: i64) -> Option<i64> {
        match &self.plain {
            Some(plain) if KNOWN_TO_CRATE.contains(&wall) => {
                plain.first_from(wall).or_else(|| self.pattern.first_from(KNOWN_TO_CRATE.end, horizon))
            }
            _ => self.pattern.first_from(wall, horizon),
        }
    }
}
