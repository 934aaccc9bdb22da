//! Describes an expression as an English sentence, without its zone: `at 09:00 and 17:00 on Monday to
//! Friday`.

use jiff::tz::TimeZone;

use super::dialect::{BothDays, Field, Grammar};
use super::parse::{Fields, Form, Instant, Item, List, Parsed, Timing};
use super::pattern::{SECONDS_PER_DAY, bits, date_of, values_of};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// The most times of day that are listed one by one.
const TIMES_MAX: usize = 6;

/// The sentence.
pub(super) fn describe(parsed: &Parsed<'_>, grammar: &Grammar) -> String {
    match &parsed.timing {
        Timing::Every(seconds) => format!("every {}", duration(*seconds)),
        Timing::Triggered => "never by itself".to_owned(),
        Timing::At(instant) => once(*instant),
        Timing::Fields(fields) => of_fields(fields, grammar),
    }
}

fn once(instant: Instant) -> String {
    let (local, zone) = match instant {
        Instant::Local(local) => (Some(local), ""),
        Instant::Absolute(second) => {
            let instant = jiff::Timestamp::from_second(second).ok();
            (instant.map(|instant| TimeZone::UTC.to_datetime(instant)), " UTC")
        }
    };
    let Some(local) = local else { return "once".to_owned() };
    let seconds = if local.second() == 0 { String::new() } else { format!(":{:02}", local.second()) };
    let month = MONTHS[usize::from(local.month().unsigned_abs()).saturating_sub(1) % MONTHS.len()];
    format!(
        "once at {:02}:{:02}{seconds}{zone} on {} {month} {}",
        local.hour(),
        local.minute(),
        local.day(),
        local.year()
    )
}

fn of_fields(fields: &Fields<'_>, grammar: &Grammar) -> String {
    let [second, minute, hour, day_of_month, month, day_of_week, year] = &fields.lists;
    let mut sentence = time(second.as_ref(), minute.as_ref(), hour.as_ref());
    let dates = day_of_month.as_ref().filter(|list| is_restricted(list)).map(days_of_month);
    let weekdays = day_of_week.as_ref().filter(|list| is_restricted(list)).map(days_of_week);
    let months = month.as_ref().filter(|list| is_restricted(list)).map(months);
    let mut months = months.as_deref();
    let days = match (dates, &weekdays) {
        (Some(dates), None) => {
            let months = months
                .take()
                .map_or("the month", |it| it.trim_start_matches("in ").trim_start_matches("from "));
            Some(format!("on {dates} of {months}"))
        }
        (Some(dates), Some(weekdays)) => match grammar.both_days {
            BothDays::Either => Some(format!("on {dates} of the month or on {}", joined(weekdays))),
            BothDays::Both => {
                Some(format!("on {dates} of the month, if that day is {},", joined_with(weekdays, "or")))
            }
        },
        (None, Some(weekdays)) => Some(format!("on {}", joined(weekdays))),
        (None, None) => None,
    };
    let years = year.as_ref().filter(|list| is_restricted(list)).map(years);
    for part in [days.as_deref(), months, years.as_deref()].into_iter().flatten() {
        sentence = format!("{sentence} {part}");
    }
    sentence.trim_end_matches(',').to_owned()
}

fn is_restricted(list: &List<'_>) -> bool {
    !list.items.contains(&Item::All)
}

/// The time of day.
fn time(second: Option<&List<'_>>, minute: Option<&List<'_>>, hour: Option<&List<'_>>) -> String {
    let (Some(minute), Some(hour)) = (minute, hour) else { return "at no time".to_owned() };
    let seconds: Vec<u64> = second.map_or_else(|| vec![0], |list| bits(values_of(list)).collect());
    let minutes: Vec<u64> = bits(values_of(minute)).collect();
    let hours: Vec<u64> = bits(values_of(hour)).collect();
    if seconds.is_empty() || minutes.is_empty() || hours.is_empty() {
        return "at no time".to_owned();
    }
    let named = is_plain(minute) && is_plain(hour) && second.is_none_or(is_plain);
    if named && seconds.len() * minutes.len() * hours.len() <= TIMES_MAX {
        let mut times = Vec::new();
        for hour in &hours {
            for minute in &minutes {
                for second in &seconds {
                    let tail = if seconds == [0] { String::new() } else { format!(":{second:02}") };
                    times.push(format!("{hour:02}:{minute:02}{tail}"));
                }
            }
        }
        return format!("at {}", joined(&times));
    }
    let within = if is_restricted(hour) { format!(" {}", hours_within(hour)) } else { String::new() };
    if seconds != [0] {
        let second = second.map_or_else(String::new, |list| cadence(list, "second"));
        return match is_restricted(minute) {
            true => format!("{second} {}{}", of_minutes(minute), hours_or_every(hour, &within)),
            false if second.starts_with("at ") => format!("{second} of every minute{within}"),
            false => format!("{second}{within}"),
        };
    }
    match every(minute) {
        Some(1) => format!("every minute{within}"),
        Some(step) => format!("every {step} minutes{within}"),
        None if minutes == [0] => on_the_hour(hour, &within),
        None => format!("{}{}", cadence(minute, "minute"), hours_or_every(hour, &within)),
    }
}

fn hours_or_every(hour: &List<'_>, within: &str) -> String {
    if is_restricted(hour) { within.to_owned() } else { " of every hour".to_owned() }
}

/// Whether a list contains only single values, perhaps hashed.
fn is_plain(list: &List<'_>) -> bool {
    list.items.iter().all(|item| match item {
        Item::Values { form, first, last, .. } => *form == Form::Single || first == last,
        Item::Hashed { step, .. } => step.is_none(),
        _ => false,
    })
}

/// The step of a list that covers its whole field; 1 for `*`.
fn every(list: &List<'_>) -> Option<u64> {
    match list.items.as_slice() {
        items if items.contains(&Item::All) => Some(1),
        [Item::Values { form: Form::Star, step, .. }] if list.field.size().is_multiple_of(*step) => {
            Some(*step)
        }
        _ => None,
    }
}

/// At minute 0 of these hours.
fn on_the_hour(hour: &List<'_>, within: &str) -> String {
    match (every(hour), hour.items.as_slice()) {
        (Some(1), _) => "every hour, on the hour".to_owned(),
        (Some(step), _) => format!("every {step} hours, on the hour"),
        (None, [Item::Values { first, last, step: 1, .. }]) if *first <= 23 && first != last => {
            format!("every hour from {first:02}:00 to {last:02}:00")
        }
        _ => format!("on the hour{within}"),
    }
}

/// For example `at minutes 5 and 35`, `every 7th minute from 0 to 59`.
fn cadence(list: &List<'_>, unit: &str) -> String {
    match every(list) {
        Some(1) => return format!("every {unit}"),
        Some(step) => return format!("every {step} {unit}s"),
        None => {}
    }
    let (steps, singles): (Vec<String>, Vec<String>) = values(list, &|number| number.to_string(), unit)
        .into_iter()
        .partition(|part| part.starts_with("every "));
    let one = singles.len() == 1 && !singles.iter().any(|part| part.contains(' '));
    let at = format!("at {unit}{} {}", if one { "" } else { "s" }, joined(&singles));
    let parts = if singles.is_empty() { steps } else { std::iter::once(at).chain(steps).collect() };
    joined(&parts)
}

fn of_minutes(list: &List<'_>) -> String {
    match every(list) {
        Some(step) => format!("of every {} minute", ordinal(step)),
        None => format!("of {}", cadence(list, "minute").trim_start_matches("at ")),
    }
}

/// For example `from 09:00 to 17:59`, `of every 2nd hour`.
fn hours_within(list: &List<'_>) -> String {
    if let Some(step) = every(list) {
        return format!("of every {} hour", ordinal(step));
    }
    let stepped = |item: &Item| matches!(item, Item::Values { first, last, step: 2.., .. } if first != last);
    if list.items.iter().any(stepped) {
        return format!("of {}", cadence(list, "hour").trim_start_matches("at "));
    }
    let mut spans = Vec::new();
    for item in &list.items {
        match *item {
            Item::Values { first, last, step: 1, .. } if first <= 23 => spans.push((first, last)),
            Item::Values { set, .. } | Item::Hashed { set, .. } => spans.extend(bits(set).map(|it| (it, it))),
            _ => {}
        }
    }
    let spans: Vec<String> =
        spans.iter().map(|(first, last)| format!("from {first:02}:00 to {last:02}:59")).collect();
    joined(&spans)
}

fn days_of_month(list: &List<'_>) -> String {
    let day = |number: u64| format!("the {}", ordinal(number));
    let mut parts = values(list, &day, "day");
    for item in &list.items {
        match *item {
            Item::LastDay { before: 0 } => parts.push("the last day".to_owned()),
            Item::LastDay { before: 1 } => parts.push("the day before the last".to_owned()),
            Item::LastDay { before } => parts.push(format!("the {} day before the last", ordinal(before))),
            Item::LastWorkday => parts.push("the last weekday (Monday to Friday)".to_owned()),
            Item::WorkdayNear { day } => {
                parts.push(format!("the weekday (Monday to Friday) nearest to the {}", ordinal(day)));
            }
            _ => {}
        }
    }
    if parts.is_empty() { "no day".to_owned() } else { joined(&parts) }
}

fn days_of_week(list: &List<'_>) -> Vec<String> {
    let weekday = |number: u64| name(&WEEKDAYS, list.field.weekday(number));
    let stepped =
        |item: &Item| matches!(item, Item::Values { step, form, .. } if 1 < *step || *form == Form::From);
    let mut parts: Vec<String> = if list.items.iter().any(stepped) {
        // Names say more than a step over weekdays.
        let mut days: Vec<u64> = bits(values_of(list)).map(|number| list.field.weekday(number)).collect();
        days.sort_unstable();
        days.dedup();
        days.into_iter().map(|day| name(&WEEKDAYS, day)).collect()
    } else {
        values(list, &weekday, "weekday")
    };
    for item in &list.items {
        match *item {
            Item::Occurrence { weekday, occurrence } => {
                let day = name(&WEEKDAYS, weekday);
                parts.push(format!("the {} {day} of the month", ordinal_word(occurrence)));
            }
            Item::LastWeekday { weekday } => {
                parts.push(format!("the last {} of the month", name(&WEEKDAYS, weekday)));
            }
            _ => {}
        }
    }
    if parts.is_empty() { vec!["no weekday".to_owned()] } else { parts }
}

fn months(list: &List<'_>) -> String {
    let stepped = list.items.iter().any(|item| matches!(item, Item::Values { step, .. } if 1 < *step));
    let parts =
        if stepped { bits(values_of(list)).map(month).collect() } else { values(list, &month, "month") };
    within(&parts, "in no month")
}

fn years(list: &List<'_>) -> String {
    let parts: Vec<String> = list
        .items
        .iter()
        .filter_map(|item| match *item {
            Item::Values { first, last, .. } if first == last => Some(first.to_string()),
            Item::Values { first, last, step: 1, .. } => Some(format!("{first} to {last}")),
            Item::Values { first, last, step, .. } => {
                Some(format!("every {} year from {first} to {last}", ordinal(step)))
            }
            _ => None,
        })
        .collect();
    within(&parts, "in no year")
}

/// `in June and July`, `from June to August`.
fn within(parts: &[String], never: &str) -> String {
    match parts {
        [] => never.to_owned(),
        [range] if range.contains(" to ") && !range.starts_with("every ") => format!("from {range}"),
        parts => format!("in {}", joined(parts)),
    }
}

/// The single values, ranges and steps of a list, in words.
fn values(list: &List<'_>, shown: &dyn Fn(u64) -> String, unit: &str) -> Vec<String> {
    let field: &Field = list.field;
    let mut parts = Vec::new();
    for item in &list.items {
        match *item {
            Item::Values { set: 0, .. } => {}
            Item::Values { first, last, .. } if first == last => parts.push(shown(first)),
            Item::Values { first, last, step: 1, .. } if first <= field.highest && field.first <= last => {
                parts.push(format!("{} to {}", shown(first), shown(last)));
            }
            Item::Values { first, last, step, .. } if first <= field.highest && field.first <= last => {
                let every = ordinal(step);
                parts.push(format!("every {every} {unit} from {} to {}", shown(first), shown(last)));
            }
            // List the values of hashed elements, and of ranges that begin beyond their field.
            Item::Values { set, .. } | Item::Hashed { set, .. } => parts.extend(bits(set).map(shown)),
            _ => {}
        }
    }
    parts
}

pub(super) fn month(number: u64) -> String {
    name(&MONTHS, number - 1)
}

/// The date of a wall-clock time, for example `2026-03-29`.
pub(super) fn date(wall: i64) -> String {
    let (year, month, day) = date_of(wall.div_euclid(SECONDS_PER_DAY));
    format!("{year:04}-{month:02}-{day:02}")
}

/// The time of day of a wall-clock time, for example `02:00`.
pub(super) fn clock(wall: i64) -> String {
    let minute = wall.rem_euclid(SECONDS_PER_DAY) / 60;
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn name(names: &[&str], index: u64) -> String {
    names.get(usize::try_from(index).unwrap_or(usize::MAX)).copied().unwrap_or("").to_owned()
}

fn ordinal_word(number: u64) -> &'static str {
    ["first", "second", "third", "fourth", "fifth"].get(number as usize - 1).copied().unwrap_or("")
}

fn ordinal(number: u64) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn joined(parts: &[String]) -> String {
    joined_with(parts, "and")
}

fn joined_with(parts: &[String], word: &str) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [firsts @ .., last] => format!("{} {word} {last}", firsts.join(", ")),
    }
}

pub(super) fn duration(seconds: u64) -> String {
    let units = [("hour", seconds / 3600), ("minute", seconds / 60 % 60), ("second", seconds % 60)];
    let parts: Vec<String> = units
        .into_iter()
        .filter(|(_, count)| 0 < *count)
        .map(|(unit, count)| format!("{count} {unit}{}", if count == 1 { "" } else { "s" }))
        .collect();
    match parts.as_slice() {
        [one] if one.starts_with("1 ") => one.trim_start_matches("1 ").to_owned(),
        parts => joined(parts),
    }
}
