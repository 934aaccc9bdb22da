//! When a schedule fires next: cron expressions in terms of the model's instants. Pure.
//!
//! [`crate::cron`] says which seconds match; everything that computes a `next_fire_time` does it here.

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::cron::{Dialect, Expression, Reading};
use crate::model::{Guid, Timestamp};

/// The first fire time strictly after any instant; `None`: it never fires again.
pub fn first_after(expression: &Expression, after: Timestamp) -> Option<Timestamp> {
    expression.first_after(after.seconds()).and_then(Timestamp::from_seconds)
}

/// The fire time that follows the fire time `after`; `None`: it never fires again.
pub fn next_after(expression: &Expression, after: Timestamp) -> Option<Timestamp> {
    expression.next_after(after.seconds()).and_then(Timestamp::from_seconds)
}

/// The fire times after `after`, at most `count`.
pub fn upcoming(
    expression: &Expression,
    after: Timestamp,
    count: u64,
) -> impl Iterator<Item = Timestamp> + '_ {
    std::iter::successors(first_after(expression, after), |time| next_after(expression, *time))
        .take(usize::try_from(count).unwrap_or(usize::MAX))
}

/// How the expression of a schedule of this job or call is read.
pub fn reading_of(dialect: Dialect, executable: &Guid) -> Reading<'_> {
    Reading { dialect, hash_key: executable.as_str(), timezone: None }
}

/// A function from the expression of a schedule, its dialect and the guid of what it runs to its first fire time
/// after `now`; `None`: it never fires, or is not valid in its dialect.
pub fn planner(now: Timestamp) -> impl Fn(&str, Dialect, &Guid) -> Option<Timestamp> {
    move |text, dialect, executable| {
        first_after(&Expression::parse(text, &reading_of(dialect, executable)).ok()?, now)
    }
}

/// A fire time as clocks in the zone of its expression show it, in RFC 3339.
pub fn local(expression: &Expression, time: Timestamp) -> String {
    let offset = UtcOffset::from_whole_seconds(expression.offset_at(time.seconds())).ok();
    let instant = OffsetDateTime::from_unix_timestamp(time.seconds()).ok();
    offset
        .zip(instant)
        .and_then(|(offset, instant)| instant.checked_to_offset(offset)?.format(&Rfc3339).ok())
        // An offset with seconds, as there were long ago, has no form in RFC 3339.
        .unwrap_or_else(|| time.to_string())
}
