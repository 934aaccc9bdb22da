//! Adapter of the `cron` crate.
//!
//! Invariant: what it finds is what [`Pattern::first_from`] finds, as long as the search starts in the years 1970 to
//! 2100; the property tests hold one against the other.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use cron::Schedule;

use super::pattern::{Pattern, every_bit};

/// Fires when any of its schedules does.
#[derive(Debug, Clone)]
pub(super) struct Plain {
    schedules: Vec<Schedule>,
}

impl Plain {
    /// `None` when the crate cannot express the pattern.
    pub(super) fn new(pattern: &Pattern) -> Option<Self> {
        let days_of_month = list(pattern.days_of_month.plain()?, 1, 31, 0);
        // The crate counts from Sunday = 1.
        let days_of_week = list(pattern.days_of_week.plain()?, 0, 6, 1);
        let either = pattern.days_of_month.restricted && pattern.days_of_week.restricted;
        // The crate fires when both match, which is right unless both are restricted.
        let days = if either {
            vec![(days_of_month.as_str(), "*"), ("*", days_of_week.as_str())]
        } else {
            vec![(days_of_month.as_str(), days_of_week.as_str())]
        };
        let minutes = list(pattern.minutes, 0, 59, 0);
        let hours = list(pattern.hours, 0, 23, 0);
        let months = list(pattern.months, 1, 12, 0);
        let years = match &pattern.years {
            None => "*".to_owned(),
            Some(years) => comma_separated(years.iter().flat_map(|years| years.values())),
        };
        let schedules = days.into_iter().map(|(days_of_month, days_of_week)| {
            format!("0 {minutes} {hours} {days_of_month} {months} {days_of_week} {years}").parse().ok()
        });
        Some(Self { schedules: schedules.collect::<Option<_>>()? })
    }

    /// The first matching wall-clock time, `wall` included; `None` when there is none until the end of 2100.
    pub(super) fn first_from(&self, wall: i64) -> Option<i64> {
        let before: DateTime<Utc> = DateTime::from_timestamp(wall - 1, 0)?;
        self.schedules.iter().filter_map(|it| it.after(&before).next()).map(|it| it.timestamp()).min()
    }
}

/// A field in the crate's words: the set bits, each `shift` higher. A star is what it searches fastest.
fn list(bits: u64, first: u32, last: u32, shift: u64) -> String {
    if bits == every_bit(first, last) {
        return "*".to_owned();
    }
    comma_separated((0..u64::from(u64::BITS)).filter(|bit| bits >> bit & 1 == 1).map(|bit| bit + shift))
}

fn comma_separated(values: impl Iterator<Item = u64>) -> String {
    let mut text = String::new();
    for value in values {
        let separator = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{separator}{value}"); // Writing to a string does not fail.
    }
    text
}
