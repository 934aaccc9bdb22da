//! The cron dialects against the test vectors of other implementations, against a plain walk, and where no
//! vector looks.

use ocf_scheduler::cron::{
    Dialect, Expression, HASH_KEY, ParseError, Reading, Weekdays, Zone, explain, fields_of,
};
use ocf_scheduler::model::Timestamp;
use proptest::prelude::*;
use serde::Deserialize;

const ROBFIG: &str = include_str!("../cron/robfig.jsonl");
const QUARTZ: &str = include_str!("../cron/quartz.jsonl");
const OCF2: &str = include_str!("../cron/ocf2.jsonl");
const OCF2_INVALID: &str = include_str!("../cron/ocf2_invalid.jsonl");
const INVALID: &str = include_str!("../cron/invalid.jsonl");

/// Refused by robfig/cron and accepted here: they are unambiguous.
const CYCLIC_OR_HASHED: [&str; 5] =
    ["0 0 20-10 * *", "0 0 1 DEC-JAN *", "0 0 * * 5-1", "0 0 * * SAT-SUN", "H * * * *"];

#[derive(Deserialize)]
struct Valid {
    expr: String,
    after: String,
    next: Vec<String>,
    note: String,
}

#[derive(Deserialize)]
struct Invalid {
    expr: String,
    note: String,
}

const CLASSIC: Dialect = Dialect::Classic(Weekdays::Unix);
const QUARTZ_NUMBERS: Dialect = Dialect::Classic(Weekdays::Quartz);

fn read(text: &str, dialect: Dialect) -> Result<Expression, Box<ParseError>> {
    Expression::parse(text, &Reading::plain(dialect))
}

fn parse(text: &str) -> Expression {
    read(text, CLASSIC).unwrap_or_else(|err| panic!("{text:?}: {err}"))
}

fn seconds(text: &str) -> i64 {
    Timestamp::parse(text).unwrap_or_else(|| panic!("{text:?} is no time")).seconds()
}

fn fire_times(expression: &Expression, after: i64, count: usize) -> Vec<i64> {
    std::iter::successors(expression.first_after(after), |time| expression.next_after(*time))
        .take(count)
        .collect()
}

/// Each line is a case; shows all that fail.
fn check_vectors(lines: &str, end: i64) {
    let mut failures = Vec::new();
    let mut cases = 0;
    for line in lines.lines() {
        let case: Valid = serde_json::from_str(line).expect("a case");
        let mut found = fire_times(&parse(&case.expr), seconds(&case.after), 5);
        if case.next.len() < 5 {
            found.retain(|time| *time < end);
        }
        let expected: Vec<i64> = case.next.iter().map(|time| seconds(time)).collect();
        if found != expected {
            failures.push(format!(
                "{:?} after {} ({}): {found:?}, not {expected:?}",
                case.expr, case.after, case.note
            ));
        }
        cases += 1;
    }
    assert!(cases > 100);
    assert!(failures.is_empty(), "{} of {cases}:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_vector_of_robfig_holds() {
    check_vectors(ROBFIG, i64::MAX);
}

#[test]
fn every_vector_of_quartz_holds() {
    check_vectors(QUARTZ, seconds("2100-01-01T00:00:00Z"));
}

#[test]
fn every_invalid_vector_is_refused() {
    for line in INVALID.lines() {
        let case: Invalid = serde_json::from_str(line).unwrap();
        if CYCLIC_OR_HASHED.contains(&case.expr.as_str()) {
            continue;
        }
        let refused = read(&case.expr, CLASSIC);
        assert!(refused.is_err(), "{:?} is accepted ({})", case.expr, case.note);
    }
}

#[derive(Deserialize)]
struct Ocf2 {
    expr: String,
    guid: Option<String>,
    after: String,
    next: Vec<String>,
    note: String,
}

fn read_ocf2(text: &str, guid: Option<&str>) -> Result<Expression, Box<ParseError>> {
    let hash_key = guid.unwrap_or(HASH_KEY);
    Expression::parse(
        text,
        &Reading { dialect: Dialect::Ocf2, hash_key, timezone: None, is_of_schedule: false },
    )
}

#[test]
fn every_vector_of_ocf_scheduler_2_holds() {
    let mut failures = Vec::new();
    for line in OCF2.lines() {
        let case: Ocf2 = serde_json::from_str(line).unwrap();
        let expression = read_ocf2(&case.expr, case.guid.as_deref())
            .unwrap_or_else(|err| panic!("{:?}: {err} ({})", case.expr, case.note));
        // The vectors use tzdata 2025b. Since 2026f, Cuba keeps summer time in the winter of 2026.
        if case.expr.contains("America/Havana") && case.after.as_str() > "2026-10" {
            continue;
        }
        let mut found = fire_times(&expression, seconds(&case.after), 5);
        if case.note.starts_with("horizon") {
            // Upstream stops after five years.
            found.truncate(case.next.len());
        }
        let expected: Vec<i64> = case.next.iter().map(|time| seconds(time)).collect();
        if found != expected {
            let shown: Vec<String> =
                found.iter().map(|it| Timestamp::from_seconds(*it).unwrap().to_string()).collect();
            failures.push(format!(
                "{:?} after {} ({}):\n  {shown:?}, not\n  {:?}",
                case.expr, case.after, case.note, case.next
            ));
        }
    }
    assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
}

#[derive(Deserialize)]
struct Refused {
    expr: String,
    error: Option<Details>,
    note: String,
}

/// An error of OCF Scheduler 2.x.
#[derive(Debug, Deserialize, PartialEq)]
struct Details {
    field: Option<String>,
    value: Option<String>,
    valid_range: Option<String>,
    offset: Option<usize>,
}

impl From<Box<ParseError>> for Details {
    fn from(error: Box<ParseError>) -> Self {
        Self {
            field: error.field.map(str::to_owned),
            value: Some(error.value).filter(|value| !value.is_empty()),
            valid_range: error.valid_range,
            offset: error.offset,
        }
    }
}

#[test]
fn every_invalid_vector_of_ocf_scheduler_2_is_refused_with_its_details() {
    for line in OCF2_INVALID.lines() {
        let case: Refused = serde_json::from_str(line).unwrap();
        let Err(error) = read_ocf2(&case.expr, None) else {
            panic!("{:?} is accepted ({})", case.expr, case.note)
        };
        assert!(!error.message.is_empty() && !error.expected.is_empty());
        if let Some(offset) = error.offset {
            let trimmed = case.expr.trim();
            assert!(trimmed[offset..].starts_with(&error.value), "{:?}: {error:?}", case.expr);
        }
        if let Some(expected) = case.error {
            assert_eq!(Details::from(error), expected, "{:?} ({})", case.expr, case.note);
        }
    }
}

#[track_caller]
fn check(expression: &str, after: &str, expected: &[&str]) {
    let found = fire_times(&parse(expression), seconds(after), expected.len().max(1));
    let expected: Vec<i64> = expected.iter().map(|time| seconds(time)).collect();
    assert_eq!(found, expected, "{expression}");
}

#[test]
fn an_open_year_has_no_end() {
    check("0 0 29 2 *", "2096-02-29T00:00:00Z", &["2104-02-29T00:00:00Z"]);
    check("0 0 29 2 * *", "2100-01-01T00:00:00Z", &["2104-02-29T00:00:00Z", "2108-02-29T00:00:00Z"]);
    check("0 0 1 1 *", "2100-06-01T00:00:00Z", &["2101-01-01T00:00:00Z"]);
}

#[test]
fn an_expression_without_fire_times_is_accepted_and_never_fires() {
    for expression in
        ["0 0 30 2 *", "0 0 31 2,4,6 *", "0 0 1 1 * 1999", "TZ=Europe/Berlin 0 0 30 2 *", "0 0 30W 2 *"]
    {
        check(expression, "2026-01-01T00:00:00Z", &[]);
    }
}

#[test]
fn days_of_month_and_of_week_both_restricted_match_either() {
    check(
        "0 0 1 * MON",
        "2026-03-24T00:00:00Z",
        &["2026-03-30T00:00:00Z", "2026-04-01T00:00:00Z", "2026-04-06T00:00:00Z"],
    );
}

#[test]
fn quartz_numbering_counts_from_sunday_as_one() {
    let quartz = |text: &str| read(text, QUARTZ_NUMBERS);
    let monday = quartz("0 0 * * 2").unwrap();
    assert_eq!(monday.first_after(seconds("2026-03-24T00:00:00Z")), Some(seconds("2026-03-30T00:00:00Z")));
    assert!(quartz("0 0 * * 0").is_err());
    let by_name = quartz("0 0 * * MON").unwrap();
    assert_eq!(by_name.first_after(seconds("2026-03-24T00:00:00Z")), Some(seconds("2026-03-30T00:00:00Z")));
}

#[test]
fn a_skipped_local_time_does_not_fire_and_a_repeated_one_fires_twice() {
    check("TZ=Europe/Berlin 30 2 * * *", "2026-03-28T12:00:00Z", &["2026-03-30T00:30:00Z"]);
    check(
        "TZ=Europe/Berlin 30 2 * * *",
        "2026-10-24T12:00:00Z",
        &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"],
    );
    // Lord Howe changes by half an hour; Apia skipped a whole day.
    check(
        "TZ=Australia/Lord_Howe 45 1 * * *",
        "2026-04-03T18:00:00Z",
        &["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z", "2026-04-05T15:15:00Z"],
    );
    check(
        "TZ=Pacific/Apia 0 12 * * *",
        "2011-12-29T00:00:00Z",
        &["2011-12-29T22:00:00Z", "2011-12-30T22:00:00Z"],
    );
}

#[test]
fn an_interval_counts_from_the_previous_fire_time() {
    check("@every 1h30m", "2026-01-01T00:00:00.7Z", &["2026-01-01T01:30:00Z", "2026-01-01T03:00:00Z"]);
    check("@every 1ms", "2026-01-01T00:00:00Z", &["2026-01-01T00:00:01Z"]);
    assert_eq!(parse("@every -1h").interval(), Some(1));
}

#[test]
fn longer_than_256_characters_is_refused() {
    let padded = |length: usize| format!("{:<length$}", "* * * * *");
    assert!(read(&padded(256), CLASSIC).is_ok());
    assert!(read(&padded(257), CLASSIC).is_err());
}

/// A field as text, and the values that it means.
fn field(first: u32, last: u32) -> impl Strategy<Value = (String, Vec<u32>)> {
    let all = move || (first..=last).collect::<Vec<u32>>();
    let item = prop_oneof![
        (first..=last).prop_map(|value| (value.to_string(), vec![value])),
        (first..=last, first..=last).prop_map(|(one, other)| {
            let (from, to) = (one.min(other), one.max(other));
            (format!("{from}-{to}"), (from..=to).collect())
        }),
        (first..=last, 1_u32..40).prop_map(move |(from, step)| {
            (format!("{from}/{step}"), (from..=last).step_by(step as usize).collect())
        }),
        (2_u32..40)
            .prop_map(move |step| (format!("*/{step}"), (first..=last).step_by(step as usize).collect())),
    ];
    let list = prop::collection::vec(item, 1..3).prop_map(|items| {
        let texts: Vec<String> = items.iter().map(|(text, _)| text.clone()).collect();
        (texts.join(","), items.into_iter().flat_map(|(_, values)| values).collect::<Vec<u32>>())
    });
    prop_oneof![2 => Just("*".to_owned()).prop_map(move |star| (star, all())), 3 => list]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_search_finds_what_a_walk_over_all_minutes_finds(
        minute in field(0, 59), hour in field(0, 23), day in field(1, 31), month in field(1, 12),
        weekday in field(0, 6),
        start in 0_i64..4_000_000_000,
    ) {
        let text = format!("{} {} {} {} {}", minute.0, hour.0, day.0, month.0, weekday.0);
        let expression = parse(&text);
        let found = expression.first_after(start);
        // Three weeks of minutes; later fire times need only be later.
        let end = start + 21 * 86_400;
        let either = day.0 != "*" && weekday.0 != "*";
        let walked = ((start / 60 + 1)..=(end / 60)).map(|minutes| minutes * 60).find(|time| {
            let instant = time::OffsetDateTime::from_unix_timestamp(*time).unwrap();
            let day_fits = day.1.contains(&u32::from(instant.day()));
            let weekday_fits = weekday.1.contains(&u32::from(instant.weekday().number_days_from_sunday()));
            minute.1.contains(&u32::from(instant.minute()))
                && hour.1.contains(&u32::from(instant.hour()))
                && month.1.contains(&u32::from(u8::from(instant.month())))
                && if either { day_fits || weekday_fits } else { day_fits && weekday_fits }
        });
        match walked {
            Some(time) => prop_assert_eq!(found, Some(time), "{}", text),
            None => prop_assert!(found.is_none_or(|time| time > end), "{}: {:?}", text, found),
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
        for dialect in [CLASSIC, QUARTZ_NUMBERS, Dialect::Ocf2] {
            let _ = read(&text, dialect);
        }
    }

    #[test]
    fn no_text_of_cron_characters_makes_the_parser_or_the_search_panic(
        text in "[0-9*/,LW#?@H() -]{1,40}", after in any::<i64>(),
    ) {
        for dialect in [CLASSIC, QUARTZ_NUMBERS, Dialect::Ocf2] {
            if let Ok(expression) = read(&text, dialect) {
                let _ = expression.first_after(after);
                let _ = expression.last_before(after);
            }
        }
    }
}

/// Zones with instants of clock changes: by an hour, half an hour, two hours, at midnight, within an hour, by
/// a day.
const CHANGES: [(&str, &str); 14] = [
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Antarctica/Troll", "2026-03-29T01:00:00Z"),
    ("Antarctica/Troll", "2026-10-25T01:00:00Z"),
    ("America/Santiago", "2026-09-06T04:00:00Z"),
    ("America/Santiago", "2026-04-05T03:00:00Z"),
    ("Pacific/Chatham", "2026-09-26T14:00:00Z"),
    ("Pacific/Chatham", "2026-04-04T14:00:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("Europe/Dublin", "2027-03-28T01:00:00Z"),
];
const WALKED: i64 = 40 * 3600;

/// A time of day in three fields: texts, and their values.
#[derive(Debug, Clone)]
struct TimeOfDay {
    texts: [String; 3],
    values: [Vec<u32>; 3],
}

impl TimeOfDay {
    fn matches(&self, wall: i64) -> bool {
        let of_day = u32::try_from(wall.rem_euclid(86_400)).unwrap();
        let [seconds, minutes, hours] = &self.values;
        seconds.contains(&(of_day % 60))
            && minutes.contains(&(of_day / 60 % 60))
            && hours.contains(&(of_day / 3600))
    }
}

fn time_of_day() -> impl Strategy<Value = TimeOfDay> {
    let seconds =
        [("0", vec![0]), ("0", vec![0]), ("59", vec![59]), ("50-10/20", vec![50, 10]), ("*/30", vec![0, 30])];
    let second = prop::sample::select(seconds.map(|(text, values)| (text.to_owned(), values)).to_vec());
    let hour = prop_oneof![1 => Just(("*".to_owned(), (0..24).collect())), 4 => field(0, 23)];
    (second, field(0, 59), hour).prop_map(|(second, minute, hour)| TimeOfDay {
        texts: [second.0, minute.0, hour.0],
        values: [second.1, minute.1, hour.1],
    })
}

/// The result of a walk over all seconds from `start` on, by the rule of the field `timezone`.
fn walked_once(time: &TimeOfDay, zone: &Zone, start: i64) -> Vec<i64> {
    let real_time = time.texts[2] == "*";
    let wall = |instant: i64| instant + i64::from(zone.offset_at(instant));
    let mut found = std::collections::BTreeSet::new();
    // The walk begins early enough to see what a change repeats.
    let mut latest = wall(start - 2 * 86_400);
    for instant in (start - 2 * 86_400 + 1)..=(start + WALKED) {
        let shown = wall(instant);
        if real_time {
            if time.matches(shown) {
                found.insert(instant);
            }
            continue;
        }
        for skipped in latest + 1..shown {
            if time.matches(skipped) {
                found.insert(instant + skipped - latest - 1);
            }
        }
        if latest < shown && time.matches(shown) {
            found.insert(instant);
        }
        latest = latest.max(shown);
    }
    found.into_iter().filter(|it| (start + 1..=start + WALKED).contains(it)).collect()
}

/// The same by wall-clock time only: skipped times do not fire, repeated times fire twice.
fn walked_plainly(time: &TimeOfDay, zone: &Zone, start: i64) -> Vec<i64> {
    (start + 1..=start + WALKED)
        .filter(|instant| time.matches(instant + i64::from(zone.offset_at(*instant))))
        .collect()
}

/// Fire times after `start` forwards, and the same backwards from the end.
fn both_ways(expression: &Expression, start: i64) -> [Vec<i64>; 2] {
    let end = start + WALKED;
    let forwards = std::iter::successors(expression.first_after(start), |it| expression.next_after(*it));
    let backwards = std::iter::successors(expression.last_before(end + 1), |it| expression.last_before(*it));
    let mut backwards: Vec<i64> = backwards.take_while(|it| start < *it).collect();
    backwards.reverse();
    [forwards.take_while(|it| *it <= end).collect(), backwards]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn at_clock_changes_each_rule_finds_what_a_walk_over_all_seconds_finds(
        time in time_of_day(), change in 0..CHANGES.len(), lead in 0_i64..20 * 3600,
    ) {
        let (zone_name, change) = CHANGES[change];
        let zone = Zone::named(zone_name).unwrap();
        let start = seconds(change) - lead;
        let [second, minute, hour] = &time.texts;

        let fields = format!("{second} {minute} {hour} * * *");
        let reading = Reading { dialect: Dialect::Ocf2, hash_key: HASH_KEY, timezone: Some(&zone), is_of_schedule: false };
        // Expressions that ocf2 refuses, for example for a step that is too large, are not tested.
        if let Ok(expression) = Expression::parse(&fields, &reading) {
            let expected = walked_once(&time, &zone, start);
            for found in both_ways(&expression, start) {
                prop_assert_eq!(&found, &expected, "{} in {}", fields, zone_name);
            }
        }
        if second == "0" {
            let fields = format!("TZ={zone_name} {minute} {hour} * * *");
            let expression = parse(&fields);
            let expected = walked_plainly(&time, &zone, start);
            for found in both_ways(&expression, start) {
                prop_assert_eq!(&found, &expected, "{}", fields);
            }
        }
    }

    #[test]
    fn in_utc_ocf2_finds_what_a_walk_over_all_seconds_finds(time in time_of_day(), start in 0_i64..4_000_000_000) {
        let [second, minute, hour] = &time.texts;
        let fields = format!("{second} {minute} {hour} * * *");
        if let Ok(expression) = read(&fields, Dialect::Ocf2) {
            let utc = Zone::named("UTC").unwrap();
            let expected = walked_plainly(&time, &utc, start);
            for found in both_ways(&expression, start) {
                prop_assert_eq!(&found, &expected, "{}", fields);
            }
        }
    }
}

#[test]
fn with_the_field_timezone_a_skipped_local_time_fires_once_and_a_repeated_one_the_first_time() {
    let fires = |zone: &str, expression: &str, after: &str, expected: &[&str]| {
        let zone = Zone::named(zone).unwrap();
        for dialect in [CLASSIC, Dialect::Ocf2] {
            let reading =
                Reading { dialect, hash_key: HASH_KEY, timezone: Some(&zone), is_of_schedule: false };
            let expression = Expression::parse(expression, &reading).unwrap();
            let found: Vec<String> = fire_times(&expression, seconds(after), expected.len())
                .iter()
                .map(|it| Timestamp::from_seconds(*it).unwrap().to_string())
                .collect();
            assert_eq!(found, expected);
        }
    };
    fires(
        "Europe/Berlin",
        "30 2 * * *",
        "2026-03-28T12:00:00Z",
        &["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"],
    );
    fires(
        "Europe/Berlin",
        "30 2,3 * * *",
        "2026-03-28T12:00:00Z",
        &["2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"],
    );
    fires(
        "Europe/Berlin",
        "30 2 * * *",
        "2026-10-24T12:00:00Z",
        &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
    );
    fires(
        "Europe/Berlin",
        "30 * * * *",
        "2026-10-25T00:00:00Z",
        &["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"],
    );
    fires(
        "Australia/Lord_Howe",
        "15 2 * * *",
        "2026-10-03T00:00:00Z",
        &["2026-10-03T15:45:00Z", "2026-10-04T15:15:00Z"],
    );
    fires(
        "Africa/Cairo",
        "15 0 * * *",
        "2026-04-23T12:00:00Z",
        &["2026-04-23T22:15:00Z", "2026-04-24T21:15:00Z"],
    );
    fires(
        "Pacific/Apia",
        "0 12 30 12 *",
        "2011-12-29T00:00:00Z",
        &["2011-12-30T22:00:00Z", "2012-12-29T22:00:00Z"],
    );
}

#[test]
fn a_zone_in_the_expression_and_in_the_field_timezone_exclude_each_other() {
    let zone = Zone::named("Europe/Berlin").unwrap();
    let reading =
        Reading { dialect: CLASSIC, hash_key: HASH_KEY, timezone: Some(&zone), is_of_schedule: false };
    let error = Expression::parse("TZ=UTC 0 0 * * *", &reading).unwrap_err();
    assert_eq!((error.field, error.value.as_str(), error.offset), (Some("time zone"), "UTC", Some(3)));
}

#[test]
fn classic_accepts_cyclic_ranges_hashed_fields_and_quoted_zones() {
    check("0 0 * * FRI-MON", "2026-11-25T00:00:00Z", &["2026-11-27T00:00:00Z", "2026-11-28T00:00:00Z"]);
    check(
        "57-3/2 * * * *",
        "2026-11-25T00:03:00Z",
        &["2026-11-25T00:57:00Z", "2026-11-25T00:59:00Z", "2026-11-25T01:01:00Z"],
    );
    check(
        "0 0 1 DEC-FEB *",
        "2026-11-25T00:00:00Z",
        &["2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"],
    );
    check("0 0 * * FRI#L", "2026-11-01T00:00:00Z", &["2026-11-27T00:00:00Z", "2026-12-25T00:00:00Z"]);
    check("TZ=\"Europe/Berlin\" 0 0 * * *", "2026-11-01T00:00:00Z", &["2026-11-01T23:00:00Z"]);
    // The hash key of expressions without a job or call gives 08:56.
    check("H H * * *", "2026-11-01T00:00:00Z", &["2026-11-01T08:56:00Z", "2026-11-02T08:56:00Z"]);
    check("H/15 * * * *", "2026-11-01T00:00:00Z", &["2026-11-01T00:11:00Z", "2026-11-01T00:26:00Z"]);
}

const WORDS: &str = include_str!("../cron/words.txt");
const OCF2_VALIDATE: &str = include_str!("../cron/ocf2_validate.jsonl");

#[test]
fn every_expression_is_described_in_a_sentence() {
    let mut count = 0;
    for line in WORDS.lines() {
        let (written, sentence) = line.split_once(" => ").unwrap();
        let (dialect, expression) = written.split_once(" | ").unwrap();
        let dialect = Dialect::named(dialect, Weekdays::Unix).unwrap();
        let explanation = explain(expression, &Reading::plain(dialect), 1_790_000_000, None).unwrap();
        assert_eq!(explanation.description, sentence, "{expression}");
        count += 1;
    }
    assert!(150 <= count, "{count}");
}

#[derive(Deserialize)]
struct Validated {
    expr: String,
    guid: Option<String>,
    from: String,
    next: usize,
    prev: usize,
    illustrative: bool,
    hashed_fields: Vec<serde_json::Value>,
    next_runs: Vec<String>,
    prev_runs: Vec<String>,
    errors: Vec<serde_json::Value>,
    warnings: Vec<serde_json::Value>,
    note: String,
}

/// A zone with the offset of a time in RFC 3339.
fn offset_of(text: &str) -> Option<Zone> {
    let instant = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap();
    Zone::of_offset(instant.offset().whole_seconds())
}

#[test]
fn explanations_match_the_validation_of_ocf_scheduler_2() {
    let mut failures = Vec::new();
    for line in OCF2_VALIDATE.lines() {
        let case: Validated = serde_json::from_str(line).unwrap();
        // Cuba: see the test above.
        if case.note.starts_with("horizon") || case.expr.contains("America/Havana") {
            continue;
        }
        let hash_key = case.guid.as_deref().unwrap_or(HASH_KEY);
        // Without a prefix, the offset of `from` is the zone.
        let prefixed = case.expr.trim().starts_with("TZ=") || case.expr.trim().starts_with("CRON_TZ=");
        let zone = offset_of(&case.from).filter(|_| !prefixed);
        let reading =
            Reading { dialect: Dialect::Ocf2, hash_key, timezone: zone.as_ref(), is_of_schedule: false };
        let from = Timestamp::parse(&case.from).unwrap();
        let explanation = match explain(&case.expr, &reading, from.seconds(), None) {
            Ok(explanation) => explanation,
            Err(error) => {
                if case.errors[0]["code"] != ParseError::CODE {
                    failures.push(format!("{:?}: {error}", case.expr));
                }
                continue;
            }
        };
        let expression = Expression::parse(&case.expr, &reading).unwrap();
        let next = fire_times(&expression, from.seconds(), case.next);
        let before = from.seconds() + i64::from(from.nanos() % 1_000_000_000 != 0);
        let previous =
            std::iter::successors(expression.last_before(before), |it| expression.last_before(*it));
        let previous: Vec<i64> = previous.take(case.prev).collect();
        let instants = |times: &[String]| times.iter().map(|it| seconds(it)).collect::<Vec<i64>>();
        let never = expression.first_after(from.seconds()).is_none();
        let expects_never = case.errors.iter().any(|error| error["code"] == "never_fires");
        let mut warnings: Vec<&str> = explanation.warnings.iter().map(|it| it.code).collect();
        if case.errors.is_empty() {
            warnings.extend(explanation.later_warnings.iter().map(|it| it.code));
        }
        let expected: Vec<&str> = case.warnings.iter().map(|it| it["code"].as_str().unwrap()).collect();
        let hashed: Vec<serde_json::Value> = explanation
            .hashed_fields
            .iter()
            .map(|it| serde_json::json!({"field": it.field, "value": it.value, "resolved": it.resolved}))
            .collect();
        if never && case.next_runs.is_empty() && expects_never && case.prev_runs.len() < case.prev {
            // Upstream looks back only five years.
        } else if previous.get(..case.prev_runs.len()) != Some(&instants(&case.prev_runs)) {
            failures.push(format!(
                "{:?} before {}: {previous:?}, not {:?}",
                case.expr, case.from, case.prev_runs
            ));
        }
        if next.get(..case.next_runs.len()) != Some(&instants(&case.next_runs)) || never != expects_never {
            failures.push(format!("{:?} after {}: {next:?}, not {:?}", case.expr, case.from, case.next_runs));
        }
        if warnings != expected || hashed != case.hashed_fields || hashed.is_empty() == case.illustrative {
            failures.push(format!(
                "{:?} from {}: {warnings:?}, not {expected:?}; {hashed:?}",
                case.expr, case.from
            ));
        }
    }
    assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn surprising_expressions_of_both_dialects_get_a_warning() {
    let warned = |text: &str, dialect: Dialect, zone: Option<&str>| {
        let zone = zone.and_then(Zone::named);
        let reading = Reading { dialect, hash_key: HASH_KEY, timezone: zone.as_ref(), is_of_schedule: false };
        let explanation = explain(text, &reading, seconds("2026-01-01T00:00:00Z"), None).unwrap();
        let warnings = explanation.warnings.into_iter().chain(explanation.later_warnings);
        warnings.map(|it| format!("{}: {}", it.code, it.message)).collect::<Vec<_>>()
    };
    let either = warned("0 0 13 * FRI", CLASSIC, None);
    assert!(either[0].contains("either"), "{either:?}");
    let both = warned("0 0 13 * FRI", Dialect::Ocf2, None);
    assert!(both[0].contains("both counts"), "{both:?}");
    let six = warned("*/10 * * * * *", CLASSIC, None);
    assert!(six[0].starts_with("six_fields: ") && six[0].contains("not as seconds first"), "{six:?}");
    assert!(warned("0 9 * * * 2027", CLASSIC, None).is_empty());
    let gap = warned("30 2 * * *", CLASSIC, Some("Europe/Berlin"));
    assert_eq!(
        gap,
        [
            "dst_skipped: On 2026-03-29 the clocks jump from 02:00 to 03:00: \
             fire times in between are delayed by that difference.",
            "dst_repeated: On 2026-10-25 the time from 02:00 to 03:00 occurs twice: \
             fire times in it run the first time only.",
        ]
    );
    let months = warned("0 0 31 * *", CLASSIC, None);
    assert!(months[0].contains("February, April, June, September and November"), "{months:?}");
    assert!(warned("0 0 29 2 MON", Dialect::Ocf2, None).iter().any(|it| it.starts_with("far: ")));
}

#[test]
fn fields_that_cannot_be_described_are_shown_as_written() {
    assert_eq!(fields_of("60 * * * *"), "minute 60, hour *, day of month *, month *, day of week *");
    assert_eq!(
        fields_of(" TZ=UTC 0 0 24 * * * "),
        "second 0, minute 0, hour 24, day of month *, month *, day of week *"
    );
    assert_eq!(fields_of("@dayly"), "@dayly");
}

const ZONES: &str = include_str!("../cron/zones.txt");

/// Each clock change of a zone from 2000 to 2037, with the offsets before and after it.
fn clock_changes(zone: &Zone) -> Vec<(i64, i64, i64)> {
    let offset = |instant: i64| i64::from(zone.offset_at(instant));
    let (first, end) = (seconds("2000-01-01T00:00:00Z"), seconds("2038-01-01T00:00:00Z"));
    let hours = (first..end).step_by(3 * 3600).filter(|start| offset(*start) != offset(start + 3 * 3600));
    hours
        .map(|start| {
            let (before, after) = (offset(start), offset(start + 3 * 3600));
            let (mut low, mut high) = (start, start + 3 * 3600);
            while 1 < high - low {
                let middle = i64::midpoint(low, high);
                if offset(middle) == before { low = middle } else { high = middle }
            }
            (high, before, after)
        })
        .collect()
}

/// `tests/clock_changes.py` creates the table with Python's zoneinfo, and describes it.
#[test]
fn at_every_clock_change_of_48_zones_python_finds_the_same_fire_times() {
    assert_eq!(ZONES.lines().count(), 48);
    for line in ZONES.lines() {
        let [name, count, digest] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let zone = Zone::named(name).unwrap();
        let changes = clock_changes(&zone);
        let mut found: u64 = 0xcbf2_9ce4_8422_2325;
        for (instant, before, after) in &changes {
            let middle = (instant + (before + after).div_euclid(2)).div_euclid(60) * 60;
            for wall in [middle, middle - 3600] {
                let local = time::OffsetDateTime::from_unix_timestamp(wall).unwrap();
                let (minute, hour, day) = (local.minute(), local.hour(), local.day());
                let (month, year) = (u8::from(local.month()), local.year());
                let fields = format!("{minute} {hour} {day} {month} ? {year}");
                let reading = Reading {
                    dialect: CLASSIC,
                    hash_key: HASH_KEY,
                    timezone: Some(&zone),
                    is_of_schedule: false,
                };
                let expression = Expression::parse(&fields, &reading).unwrap();
                let fires = expression.first_after(instant - 3 * 86_400).unwrap();
                for byte in format!("{instant} {fires}\n").bytes() {
                    found = (found ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
                }
            }
        }
        assert_eq!(
            (changes.len().to_string(), format!("{found:016x}")),
            (count.into(), digest.into()),
            "{name}"
        );
    }
}
