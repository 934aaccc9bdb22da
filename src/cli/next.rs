//! `next`: prints the next fire times of an expression.

use std::process::ExitCode;

use super::arguments::Arguments;
use super::output::{USAGE, usage_of};
use crate::base::clock::{Clock, SystemClock};
use crate::config::{Config, Mode};
use crate::cron::{self, Dialect, Expression, HASH_KEY, ParseError, Reading, Weekdays, Zone};
use crate::fire_times::{Calendar, local};
use crate::model::Timestamp;

/// How many fire times `next` prints without `--count`.
const NEXT_COUNT: u64 = 5;

pub(super) fn next(arguments: &Arguments) -> ExitCode {
    let expression = arguments.required(0);
    let count = arguments.flag("count").map_or(Some(NEXT_COUNT), |text| text.parse().ok());
    let Some(count) = count.filter(|count| (1..=100).contains(count)) else {
        return usage_of("next", "--count must be a whole number from 1 to 100");
    };
    let (dialect, weekdays, default_zone) =
        match Config::from_environment(Mode::Standalone, &arguments.settings()) {
            Ok(config) => (config.dialect, config.weekdays, config.default_timezone),
            Err(_) => (Dialect::default(), Weekdays::default(), None),
        };
    let dialect =
        arguments.flag("dialect").and_then(|name| Dialect::named(name, weekdays)).unwrap_or(dialect);
    let timezone = arguments.flag("timezone").map(|name| Zone::named(name).ok_or(name)).transpose();
    let timezone = match timezone {
        Ok(timezone) => timezone,
        Err(name) => {
            return usage_of("next", &format!("--timezone {name:?} is not in the IANA time zone database"));
        }
    };
    // As a service with these settings reads a new schedule.
    let default_zone = default_zone.filter(|_| !cron::names_zone(expression));
    let timezone = timezone.or_else(|| Zone::named(&default_zone?));
    let after = match arguments.flag("after").map(Timestamp::parse) {
        None => SystemClock::default().now(),
        Some(Some(after)) => after,
        Some(None) => {
            let must = "--after must be an RFC 3339 time, for example 2026-03-01T00:00:00Z";
            return usage_of("next", must);
        }
    };
    let reading = Reading { dialect, hash_key: HASH_KEY, timezone: timezone.as_ref(), is_of_schedule: false };
    match Expression::parse(expression, &reading) {
        Ok(parsed) => {
            if let Ok(explanation) = cron::explain(expression, &reading, after.seconds(), None) {
                let zone = explanation.zone.map_or_else(String::new, |zone| format!(", {zone}"));
                eprintln!("{}{zone}", explanation.description);
                for warning in explanation.warnings.iter().chain(&explanation.later_warnings) {
                    eprintln!("Warning: {}", warning.message);
                }
            }
            let calendar = Calendar::new(parsed, None, None);
            let mut times = calendar.upcoming(after, count).peekable();
            if times.peek().is_none() {
                eprintln!("ocf-scheduler: {expression:?} is valid but never fires again");
            }
            for time in times {
                let (utc, local) = (time.to_string(), local(calendar.expression(), time));
                if utc == local { println!("{utc}") } else { println!("{utc}  {local}") }
            }
            ExitCode::SUCCESS
        }
        Err(err) => {
            eprintln!(
                "ocf-scheduler: {expression:?} is not valid: {err}\n{}\n  expected: {}",
                pointed_at(expression, &err),
                err.expected
            );
            ExitCode::from(USAGE)
        }
    }
}

/// The expression, with carets under what is wrong.
fn pointed_at(expression: &str, err: &ParseError) -> String {
    // One column for each character, so that the carets line up.
    let shown = expression.chars().map(|it| match it {
        it if it.is_whitespace() => ' ',
        it if it.is_control() => '?',
        it => it,
    });
    format!(
        "  {}\n  {}{}",
        shown.collect::<String>(),
        " ".repeat(err.position),
        "^".repeat(err.length.max(1))
    )
}
