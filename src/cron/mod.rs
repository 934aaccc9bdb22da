//! The cron dialects: what an expression means, when it fires next, and when it last fired.
//!
//! Invariant: a next fire time is strictly later than what it follows and skips no fire time. Finding a fire
//! time, or that there is none, takes a short bounded time. Pure: no I/O, no clocks; zone data is compiled
//! in.
//!
//! From text to fire times: tables in [`dialect`] say what may be written, [`parse`] reads it, [`pattern`]
//! matches wall-clock times, and [`clock`] turns these into instants by the dialect's rule for clock changes.

mod clock;
mod dialect;
mod error;
mod explain;
mod interval;
mod parse;
mod pattern;
mod words;
mod zones;

use jiff::tz::TimeZone;

pub use crate::model::{Dialect, Weekdays};
pub use error::ParseError;
pub use explain::{Explanation, HashedField, Warning, explain, fields_of};

pub use zones::{ZoneYear, zone_names, zones_in_year_of};

use clock::WallClock;
use dialect::ClockChanges;
use parse::{Instant, Timing};
use pattern::Pattern;

/// The hash key of `H` if there is no job or call.
pub const HASH_KEY: &str = "ocf-scheduler-validate";

/// How to read an expression.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The dialect in which it is written.
    pub dialect: Dialect,
    /// The hash key of `H`: the guid of the job or call, or [`HASH_KEY`].
    pub hash_key: &'a str,
    /// The zone from a schedule's field `timezone`; `None`: UTC.
    pub timezone: Option<&'a Zone>,
    /// Whether it belongs to a schedule, which may use `@at` in every dialect. OCF Scheduler 2.x does not
    /// know `@at`.
    pub is_of_schedule: bool,
}

impl Reading<'static> {
    /// Without a zone, and with the hash key for expressions without a job or call.
    pub const fn plain(dialect: Dialect) -> Self {
        Self { dialect, hash_key: HASH_KEY, timezone: None, is_of_schedule: false }
    }
}

/// Whether `word` is a descriptor in small letters that stands for five fields, like `@daily`.
pub fn is_descriptor(word: &str) -> bool {
    parse::fields_of_descriptor(word).is_some()
}

/// Whether an expression names its zone, by a prefix `TZ=` or `CRON_TZ=`.
pub fn names_zone(expression: &str) -> bool {
    parse::zone_prefix_of(expression.trim_start()).is_some()
}

/// The 64-bit FNV-1a hash of a text.
pub fn hash(text: &str) -> u64 {
    parse::hash_of(text)
}

/// A zone of the IANA database, or a fixed offset from UTC.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone with this IANA name, which is case-sensitive.
    pub fn named(name: &str) -> Option<Self> {
        parse::zone_named(name).map(Self)
    }

    /// A fixed offset, in seconds east of UTC; `None` beyond a day.
    pub fn of_offset(seconds: i32) -> Option<Self> {
        jiff::tz::Offset::from_seconds(seconds).ok().map(|offset| Self(offset.to_time_zone()))
    }

    /// `None` for an offset.
    pub fn name(&self) -> Option<&str> {
        self.0.iana_name()
    }

    /// Seconds east of UTC at an instant in seconds since 1970.
    pub fn offset_at(&self, seconds: i64) -> i32 {
        let instant = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
        self.0.to_offset(instant).seconds()
    }
}

/// A parsed cron expression.
#[derive(Debug, Clone)]
pub struct Expression {
    kind: Kind,
    /// The zone in which fire times are shown, besides UTC.
    zone: TimeZone,
}

#[derive(Debug, Clone)]
enum Kind {
    /// `@every`, in seconds, at least 1.
    Interval(u64),
    /// Never by itself.
    Triggered,
    /// Once, in seconds since 1970.
    At(i64),
    WallClock(Box<WallClock>),
}

impl Expression {
    /// Parses an expression of at most 256 characters (`classic`) or 1,024 bytes (`ocf2`).
    pub fn parse(text: &str, reading: &Reading<'_>) -> Result<Self, Box<ParseError>> {
        let grammar = reading.dialect.grammar();
        let takes_once = reading.is_of_schedule || grammar.once;
        let parsed = parse::parse(text, grammar, parse::hash_of(reading.hash_key), takes_once)?;
        if parsed.zone.is_some() && reading.timezone.is_some() {
            return Err(Box::new(ParseError::two_zones(text)));
        }
        let own = reading.timezone.map(|zone| zone.0.clone());
        let zone = parsed.zone.clone().or(own).unwrap_or(TimeZone::UTC);
        let kind = match parsed.timing {
            Timing::Every(seconds) => Kind::Interval(seconds),
            Timing::Triggered => Kind::Triggered,
            Timing::At(instant) => Kind::At(second_of(instant, &zone)),
            Timing::Fields(fields) => {
                let (zone, changes) = match (parsed.zone, reading.timezone) {
                    (Some(zone), _) => (zone, grammar.clock_changes),
                    (None, Some(zone)) => (zone.0.clone(), ClockChanges::Once),
                    (None, None) => (TimeZone::UTC, ClockChanges::Plain),
                };
                let pattern = Pattern::new(&fields, grammar);
                Kind::WallClock(Box::new(WallClock { pattern, zone, changes }))
            }
        };
        Ok(Self { kind, zone })
    }

    /// The first fire time strictly later than an instant in seconds since 1970; round a fraction of a second
    /// down. `None`: never again, or not before the year 10000.
    pub fn first_after(&self, instant: i64) -> Option<i64> {
        match &self.kind {
            Kind::Interval(seconds) => instant.checked_add_unsigned(*seconds),
            Kind::Triggered => None,
            Kind::At(time) => Some(*time).filter(|time| instant < *time),
            Kind::WallClock(wall_clock) => wall_clock.first_after(instant),
        }
    }

    /// The fire time that follows the fire time `fire_time`; `None` as in [`Self::first_after`]. The two
    /// differ in `ocf2`, which drops a fire time with the same wall-clock reading as the one before it.
    pub fn next_after(&self, fire_time: i64) -> Option<i64> {
        match &self.kind {
            Kind::Interval(_) | Kind::Triggered | Kind::At(_) => self.first_after(fire_time),
            Kind::WallClock(wall_clock) => wall_clock.next_after(fire_time),
        }
    }

    /// The last fire time strictly earlier than `before_seconds`; both in seconds since 1970. Round a
    /// fraction of a second up.
    pub fn last_before(&self, before_seconds: i64) -> Option<i64> {
        match &self.kind {
            Kind::Interval(seconds) => before_seconds.checked_sub_unsigned(*seconds),
            Kind::Triggered => None,
            Kind::At(time) => Some(*time).filter(|time| *time < before_seconds),
            Kind::WallClock(wall_clock) => wall_clock.last_before(before_seconds),
        }
    }

    /// The offset of the expression's zone at an instant in seconds since 1970, in seconds east of UTC.
    pub fn offset_at(&self, seconds: i64) -> i32 {
        Zone(self.zone.clone()).offset_at(seconds)
    }

    /// The IANA name of the expression's zone; `None` for a fixed offset.
    pub fn zone_name(&self) -> Option<&str> {
        self.zone.iana_name()
    }

    /// Whether it refers to clock times, and so to a zone: all but `@every` and `@triggered`.
    pub fn reads_a_clock(&self) -> bool {
        matches!(self.kind, Kind::WallClock(_))
    }

    /// The instant of an `@at`, in seconds since 1970; `None` for other expressions.
    pub fn once(&self) -> Option<i64> {
        match &self.kind {
            Kind::At(time) => Some(*time),
            Kind::Interval(_) | Kind::Triggered | Kind::WallClock(_) => None,
        }
    }

    /// The interval of an `@every`, in seconds; `None` for other expressions.
    pub fn interval(&self) -> Option<u64> {
        match &self.kind {
            Kind::Interval(seconds) => Some(*seconds),
            Kind::Triggered | Kind::At(_) | Kind::WallClock(_) => None,
        }
    }
}

/// A skipped local time moves later by the length of the gap; of a repeated one the first counts.
fn second_of(instant: Instant, zone: &TimeZone) -> i64 {
    match instant {
        Instant::Absolute(second) => second,
        // Beyond the range of instants, so it never comes.
        Instant::Local(local) => zone
            .to_ambiguous_zoned(local)
            .compatible()
            .map_or(i64::MAX, |zoned| zoned.timestamp().as_second()),
    }
}
