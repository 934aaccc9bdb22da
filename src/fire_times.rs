//! When a schedule fires next: cron expressions in terms of the model's instants. Pure.
//!
//! [`crate::cron`] says which seconds match; everything that computes a `next_fire_time` does it here.

use crate::cron::{Dialect, Expression, Reading};
use crate::model::Timestamp;

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

/// A function from an expression's text to its first fire time after `now`; `None`: it never fires, or is not valid in
/// this dialect.
pub fn planner(dialect: Dialect, now: Timestamp) -> impl Fn(&str) -> Option<Timestamp> {
    move |text| first_after(&Expression::parse(text, &Reading::plain(dialect)).ok()?, now)
}
