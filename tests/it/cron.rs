//! The cron dialect against the vectors of other implementations, against a plain walk, and where no vector looks.

use ocf_scheduler::cron::{Expression, Weekdays};
use ocf_scheduler::model::Timestamp;
use proptest::prelude::*;
use serde::Deserialize;

const ROBFIG: &str = include_str!("../cron/robfig.jsonl");
const QUARTZ: &str = include_str!("../cron/quartz.jsonl");
const INVALID: &str = include_str!("../cron/invalid.jsonl");

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

fn parse(text: &str) -> Expression {
    Expression::parse(text, Weekdays::Unix).unwrap_or_else(|err| panic!("{text:?}: {err}"))
}

fn seconds(text: &str) -> i64 {
    Timestamp::parse(text).unwrap_or_else(|| panic!("{text:?} is no time")).seconds()
}

fn fire_times(expression: &Expression, after: i64, count: usize) -> Vec<i64> {
    std::iter::successors(expression.next_after(after), |time| expression.next_after(*time))
        .take(count)
        .collect()
}

/// Each line is a case; all that fail are shown.
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
        let refused = Expression::parse(&case.expr, Weekdays::Unix);
        assert!(refused.is_err(), "{:?} is accepted ({})", case.expr, case.note);
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
fn what_can_never_fire_is_accepted_and_never_fires() {
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
    let quartz = |text: &str| Expression::parse(text, Weekdays::Quartz);
    let monday = quartz("0 0 * * 2").unwrap();
    assert_eq!(monday.next_after(seconds("2026-03-24T00:00:00Z")), Some(seconds("2026-03-30T00:00:00Z")));
    assert!(quartz("0 0 * * 0").is_err());
    let by_name = quartz("0 0 * * MON").unwrap();
    assert_eq!(by_name.next_after(seconds("2026-03-24T00:00:00Z")), Some(seconds("2026-03-30T00:00:00Z")));
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
fn an_interval_counts_from_the_time_before() {
    check("@every 1h30m", "2026-01-01T00:00:00.7Z", &["2026-01-01T01:30:00Z", "2026-01-01T03:00:00Z"]);
    check("@every 1ms", "2026-01-01T00:00:00Z", &["2026-01-01T00:00:01Z"]);
    assert_eq!(parse("@every -1h").interval(), Some(1));
}

#[test]
fn longer_than_256_characters_is_refused() {
    let padded = |length: usize| format!("{:<length$}", "* * * * *");
    assert!(Expression::parse(&padded(256), Weekdays::Unix).is_ok());
    assert!(Expression::parse(&padded(257), Weekdays::Unix).is_err());
}

/// A field as a text, and which values it means.
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
        minute in field(0, 59), hour in field(0, 23), day in field(1, 31), month in field(1, 12), weekday in field(0, 6),
        start in 0_i64..4_000_000_000,
    ) {
        let text = format!("{} {} {} {} {}", minute.0, hour.0, day.0, month.0, weekday.0);
        let expression = parse(&text);
        let found = expression.next_after(start);
        // Three weeks of minutes; what fires later only has to be later.
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
        let _ = Expression::parse(&text, Weekdays::Unix);
    }

    #[test]
    fn no_text_of_its_own_characters_makes_the_parser_or_the_search_panic(
        text in "[0-9*/,LW#?@ -]{1,40}", after in any::<i64>(),
    ) {
        if let Ok(expression) = Expression::parse(&text, Weekdays::Unix) {
            let _ = expression.next_after(after);
        }
    }
}
