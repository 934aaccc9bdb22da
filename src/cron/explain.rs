//! Explains an expression: a sentence, the values of hashed fields, and warnings.

use super::clock::WallClock;
use super::dialect::{ClockChanges, FieldKind};
use super::parse::{self, Fields, Item, List, Timing};
use super::pattern::{Pattern, bits, values_of};
use super::{Expression, Kind, ParseError, Reading, words};

const SECONDS_PER_YEAR: i64 = 31_556_952;
/// Twelve months of 31 days, as in OCF Scheduler 2.x.
const TWELVE_MONTHS: i64 = 12 * 31 * 24 * 60 * 60;
/// No zone changes its clocks more often in twelve months.
const CHANGES_MAX: usize = 16;
/// A first fire time later than this deserves a warning.
const FAR: i64 = 5 * SECONDS_PER_YEAR;

/// The meaning of an expression.
#[derive(Debug)]
pub struct Explanation {
    /// A sentence, without the zone.
    pub description: String,
    /// The values of stepped hashed fields, for example `minute: 2, 17, 32, 47`.
    pub note: Option<String>,
    /// The zone from the prefix or the field `timezone`; `None` if there is neither, or if no zone applies,
    /// as for `@every`.
    pub zone: Option<String>,
    /// The fields that contain an `H`.
    pub hashed_fields: Vec<HashedField>,
    /// In display order. Warnings about clock changes and far fire times are in [`Self::later_warnings`].
    pub warnings: Vec<Warning>,
    /// Shown only if the expression has no other fault.
    pub later_warnings: Vec<Warning>,
}

/// A field with an `H`.
#[derive(Debug)]
pub struct HashedField {
    /// For example `minute`.
    pub field: &'static str,
    /// As written.
    pub value: String,
    /// Its values in ascending order, separated by commas.
    pub resolved: String,
}

/// Something valid that may surprise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// `empty_list_element`, `dom_and_dow`, `dom_skips_months`, `dst_skipped`, `dst_repeated`, `six_fields`
    /// or `far`.
    pub code: &'static str,
    /// A sentence.
    pub message: String,
    /// The field that it is about, with its text.
    pub field: Option<(&'static str, String)>,
}

impl Warning {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None }
    }
}

/// Explains an expression. It looks at the clock changes of the twelve months from `from`, or of those up to
/// `until` if that is earlier. Both are in seconds since 1970.
pub fn explain(
    text: &str,
    reading: &Reading<'_>,
    from: i64,
    until: Option<i64>,
) -> Result<Explanation, Box<ParseError>> {
    let grammar = reading.dialect.grammar();
    let expression = Expression::parse(text, reading)?;
    let takes_once = reading.is_of_schedule || grammar.once;
    let parsed = parse::parse(text, grammar, parse::hash_of(reading.hash_key), takes_once)?;
    let description = words::describe(&parsed, grammar);
    let mut explanation = Explanation {
        description,
        note: None,
        zone: None,
        hashed_fields: Vec::new(),
        warnings: Vec::new(),
        later_warnings: Vec::new(),
    };
    let has_zone = parsed.zone.is_some() || reading.timezone.is_some();
    let (Timing::Fields(fields), Kind::WallClock(clock)) = (&parsed.timing, &expression.kind) else {
        if expression.once().is_some() {
            explanation.zone = expression.zone_name().filter(|_| has_zone).map(str::to_owned);
        }
        return Ok(explanation);
    };
    explanation.zone = clock.zone.iana_name().filter(|_| has_zone).map(str::to_owned);
    explanation.note = note(fields);
    explanation.hashed_fields = hashed_fields(fields);
    explanation.warnings = warnings(fields, &clock.pattern);
    explanation.later_warnings.extend(clock_changes(clock, from, until));
    explanation.later_warnings.extend(six_fields(fields, reading));
    if let Some(first) = expression.first_after(from)
        && from.saturating_add(FAR) < first
    {
        explanation
            .later_warnings
            .push(Warning::new("far", "The first fire time is more than five years away."));
    }
    Ok(explanation)
}

/// The fields of an expression that cannot be described, as written: `minute 60, hour *, …`.
pub fn fields_of(text: &str) -> String {
    let trimmed = text.trim();
    let rest = match trimmed.split_once(' ') {
        Some((prefix, rest)) if prefix.starts_with("TZ=") || prefix.starts_with("CRON_TZ=") => rest,
        _ => trimmed,
    };
    let words: Vec<&str> = rest.split_whitespace().collect();
    let names: &[&str] = match words.len() {
        5 => &["minute", "hour", "day of month", "month", "day of week"],
        6 => &["second", "minute", "hour", "day of month", "month", "day of week"],
        7 => &["second", "minute", "hour", "day of month", "month", "day of week", "year"],
        _ => return trimmed.to_owned(),
    };
    let named: Vec<String> = names.iter().zip(words).map(|(name, word)| format!("{name} {word}")).collect();
    named.join(", ")
}

fn lists<'f, 'a>(fields: &'f Fields<'a>) -> impl Iterator<Item = &'f List<'a>> {
    fields.lists.iter().flatten()
}

fn resolved(list: &List<'_>) -> Vec<String> {
    let mut values: Vec<u64> = bits(values_of(list))
        // 7 and 0 are both Sunday.
        .map(|it| if list.field.kind == FieldKind::DayOfWeek && list.field.first == 0 { it % 7 } else { it })
        .collect();
    values.sort_unstable();
    values.dedup();
    values.iter().map(u64::to_string).collect()
}

fn hashed_fields(fields: &Fields<'_>) -> Vec<HashedField> {
    lists(fields)
        .filter(|list| list.items.iter().any(|item| matches!(item, Item::Hashed { .. })))
        .map(|list| HashedField {
            field: list.field.name,
            value: list.text.to_owned(),
            resolved: resolved(list).join(","),
        })
        .collect()
}

fn note(fields: &Fields<'_>) -> Option<String> {
    let notes: Vec<String> = lists(fields)
        .filter(|list| list.items.iter().any(|item| matches!(item, Item::Hashed { step: Some(_), .. })))
        .map(|list| format!("{}: {}", list.field.name, resolved(list).join(", ")))
        .collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

fn warnings(fields: &Fields<'_>, pattern: &Pattern) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = lists(fields)
        .filter(|list| list.has_empty_element)
        .map(|list| Warning {
            field: Some((list.field.name, list.text.to_owned())),
            ..Warning::new("empty_list_element", "An empty element of the list is ignored.")
        })
        .collect();
    if pattern.restricts_both_days() {
        let message = if pattern.either_day {
            "Day of month and day of week are both restricted: a day that matches either of them counts."
        } else {
            "Day of month and day of week are both restricted: only a day that matches both counts."
        };
        warnings.push(Warning::new("dom_and_dow", message));
    }
    let (without, with) = pattern.months_without_and_with_day();
    if without != 0 && with != 0 {
        let months: Vec<String> = bits(without).map(words::month).collect();
        let message =
            format!("There is no such day in {}, so it does not fire then.", words::joined(&months));
        warnings.push(Warning::new("dom_skips_months", message));
    }
    warnings
}

/// The clock changes that hit a scheduled time in the twelve months from `from`, but not after `until`.
fn clock_changes(clock: &WallClock, from: i64, until: Option<i64>) -> Vec<Warning> {
    if clock.pattern.every_hour_in_list {
        return Vec::new();
    }
    let end = from.saturating_add(TWELVE_MONTHS).min(until.unwrap_or(i64::MAX));
    let changes = clock
        .changes_from(from)
        .take_while(|change| change.at < end)
        .filter_map(|change| {
            let (first, end) =
                (change.at + change.before.min(change.after), change.at + change.before.max(change.after));
            clock.pattern.first_from(first, end).filter(|wall| *wall < end)?;
            let day = words::date(first);
            let (first, end) = (words::clock(first), words::clock(end));
            Some(if change.before < change.after {
                let what = match clock.changes {
                    ClockChanges::Plain => "fire times in between are skipped",
                    ClockChanges::Once => "fire times in between are delayed by that difference",
                    ClockChanges::Ocf2 if change.after - change.before == 3600 => {
                        "fire times in between run once in the hour after, but not at midnight"
                    }
                    ClockChanges::Ocf2 => "fire times in between are skipped",
                };
                Warning::new(
                    "dst_skipped",
                    format!("On {day} the clocks jump from {first} to {end}: {what}."),
                )
            } else {
                let what = match clock.changes {
                    ClockChanges::Plain => "fire times in it run twice",
                    ClockChanges::Once => "fire times in it run the first time only",
                    ClockChanges::Ocf2 => {
                        "fire times in it run both times, but not the same one twice in a row"
                    }
                };
                let message = format!("On {day} the time from {first} to {end} occurs twice: {what}.");
                Warning::new("dst_repeated", message)
            })
        })
        .take(CHANGES_MAX);
    // The window is a little longer than a year and may contain the same change of the next year; once is
    // enough.
    let mut warnings: Vec<Warning> = Vec::new();
    for warning in changes {
        if warnings.iter().all(|it| it.code != warning.code) {
            warnings.push(warning);
        }
    }
    warnings
}

/// Warns of six fields whose first would be seconds in `ocf2`.
fn six_fields(fields: &Fields<'_>, reading: &Reading<'_>) -> Option<Warning> {
    let year = fields.lists[6].as_ref()?;
    let is_trap = !reading.dialect.grammar().seconds && !parse::looks_like_year(year.text);
    is_trap.then(|| {
        Warning::new(
            "six_fields",
            "Six fields are read as minute, hour, day of month, month, day of week and year, \
             not as seconds first.",
        )
    })
}
