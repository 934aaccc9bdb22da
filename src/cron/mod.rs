//! The cron dialects: what an expression means, when it fires next and when it last fired.
//!
//! Invariant: a next fire time is strictly later than what it follows and skips no fire time, and both a fire
//! time and the proof that there is none come in a bounded short time. Pure: no I/O, no clocks; zone data is
//! compiled in.
//!
//! From text to fire times: [`dialect`] says in tables what may be written, [`parse`] reads it, [`pattern`]
//! matches wall-clock times, [`clock`] turns these into instants, by the rule for clock changes that is in
//! force.

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

/// What `H` is hashed with where no job or call is known.
pub const HASH_KEY: &str = "ocf-scheduler-validate";

/// How an expression is to be read.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The dialect in which it is written.
    pub dialect: Dialect,
    /// The guid of the job or call, which `H` is hashed with, or [`HASH_KEY`].
    pub hash_key: &'a str,
    /// The zone of a schedule's field `timezone`; `None` is UTC.
    pub timezone: Option<&'a Zone>,
    /// Whether it is that of a schedule, which takes `@at` in every dialect. OCF Scheduler 2.x knows no `@at`.
    pub is_of_schedule: bool,
}

impl Reading<'static> {
    /// Without a zone, and with the key for expressions that belong to nothing.
    pub const fn plain(dialect: Dialect) -> Self {
        Self { dialect, hash_key: HASH_KEY, timezone: None, is_of_schedule: false }
    }
}

/// Whether an expression says in which zone it is read, by a prefix `TZ=` or `CRON_TZ=`.
pub fn names_zone(expression: &str) -> bool {
    parse::zone_prefix_of(expression.trim_start()).is_some()
}

/// FNV-1a, 64 bits, of a text.
pub fn hash(text: &str) -> u64 {
    parse::hash_of(text)
}

/// A zone of the IANA database, or an offset from UTC.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone of this IANA name, in exactly this upper and lower case.
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

/// A cron expression that was understood.
#[derive(Debug, Clone)]
pub struct Expression {
    kind: Kind,
    /// In which fire times are shown beside UTC.
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
    /// Reads an expression of at most 256 characters (`classic`) or 1,024 bytes (`ocf2`).
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

    /// The first fire time strictly later than any instant, in seconds since 1970; an instant between two
    /// seconds is given as the earlier of them. `None`: never again, or not before the year 10000.
    pub fn first_after(&self, instant: i64) -> Option<i64> {
        match &self.kind {
            Kind::Interval(seconds) => instant.checked_add_unsigned(*seconds),
            Kind::Triggered => None,
            Kind::At(time) => Some(*time).filter(|time| instant < *time),
            Kind::WallClock(wall_clock) => wall_clock.first_after(instant),
        }
    }

    /// The fire time that follows the fire time `fire_time`; `None` as with [`Self::first_after`]. It differs
    /// from that in `ocf2`, where a fire time with the same wall-clock reading as the one before it is
    /// dropped.
    pub fn next_after(&self, fire_time: i64) -> Option<i64> {
        match &self.kind {
            Kind::Interval(_) | Kind::Triggered | Kind::At(_) => self.first_after(fire_time),
            Kind::WallClock(wall_clock) => wall_clock.next_after(fire_time),
        }
    }

    /// The last fire time strictly earlier than `before_seconds`; both in seconds since 1970. An instant
    /// between two seconds is given as the later of them.
    pub fn last_before(&self, before_seconds: i64) -> Option<i64> {
        match &self.kind {
            Kind::Interval(seconds) => before_seconds.checked_sub_unsigned(*seconds),
            Kind::Triggered => None,
            Kind::At(time) => Some(*time).filter(|time| *time < before_seconds),
            Kind::WallClock(wall_clock) => wall_clock.last_before(before_seconds),
        }
    }

    /// Seconds east of UTC of the zone in which the expression is read, at an instant in seconds since 1970.
    pub fn offset_at(&self, seconds: i64) -> i32 {
        Zone(self.zone.clone()).offset_at(seconds)
    }

    /// The IANA name of the zone in which it is read; `None` for a fixed offset.
    pub fn zone_name(&self) -> Option<&str> {
        self.zone.iana_name()
    }

    /// Whether it is about times of a clock, and so of a zone: not `@every`, and not `@triggered`.
    pub fn reads_a_clock(&self) -> bool {
        matches!(self.kind, Kind::WallClock(_))
    }

    /// When an `@at` fires, in seconds since 1970; `None` for all other expressions.
    pub fn once(&self) -> Option<i64> {
        match &self.kind {
            Kind::At(time) => Some(*time),
            Kind::Interval(_) | Kind::Triggered | Kind::WallClock(_) => None,
        }
    }

    /// The interval of `@every`, in seconds; `None` for all other expressions.
    pub fn interval(&self) -> Option<u64> {
        match &self.kind {
            Kind::Interval(seconds) => Some(*seconds),
            Kind::Triggered | Kind::At(_) | Kind::WallClock(_) => None,
        }
    }
}

/// A local time that is skipped counts as that much later as the gap is long; of one that comes twice the first
/// counts.
fn second_of(instant: Instant, zone: &TimeZone) -> i64 {
    match instant {
        Instant::Absolute(second) => second,
        // Beyond the range of instants it never comes.
        Instant::Local(local) => zone
            .to_ambiguous_zoned(local)
            .compatible()
            .map_or(i64::MAX, |zoned| zoned.timestamp().as_second()),
    }
}
