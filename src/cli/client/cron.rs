//! Commands about cron expressions.

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::lists;
use super::session::{Found, Session};
use crate::cli::arguments::Arguments;
use crate::cli::output::{Table, escaped, field, print_error};
use crate::cron::names_zone;
use crate::model::{Kind, Timestamp};

/// How many fire times are printed for a new schedule.
const NEXT_OF_NEW: usize = 3;
const VALIDATE: &str = "/schedules/validate";

/// An invalid expression counts as a refusal.
pub(in crate::cli) fn validate(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let expression = arguments.required(0);
    let mut body = Map::new();
    body.insert("expression".to_owned(), expression.into());
    for name in ["timezone", "dialect", "from"] {
        if let Some(value) = arguments.flag(name) {
            body.insert(name.to_owned(), value.into());
        }
    }
    if let Some(count) = arguments.flag("count") {
        let count: u64 = count
            .parse()
            .map_err(|_| Failure::Usage("--count must be a whole number from 0 to 100".to_owned()))?;
        body.insert("next".to_owned(), count.into());
    }
    if let Some(name) = arguments.flag("for") {
        let found = session.find(&[Kind::Job, Kind::Call], name, arguments.flag("app"))?;
        refer_to(&found, &mut body);
    }
    let answer = session.remote.post(VALIDATE, Some(&body.into()))?;
    print_findings(&answer["warnings"], "Warning");
    session.show_or_say_lines(&answer, &lines(&answer));
    match answer["valid"] == true {
        true => Ok(true),
        false => Err(Failure::Refused("the expression is not valid".to_owned())),
    }
}

pub(in crate::cli) fn time_zones(session: &Session, _: &Arguments) -> Result<bool, Failure> {
    let zones = session.resources("/scheduler-time-zones")?;
    session.show_all(zones, table, "the service knows no time zones");
    Ok(true)
}

/// Prints warnings about a new schedule, and its next fire times if the service knows them.
pub(super) fn explain_new(session: &Session, found: &Found, created: &Value) {
    print_findings(&created["warnings"], "Warning");
    print_next(session, found, created);
}

/// Like [`explain_new`], for a schedule whose fire times have changed.
pub(super) fn explain_changed(session: &Session, found: &Found, changed: &Value) {
    // Only the response to a new schedule has warnings.
    if let Some(answer) = validated(session, found, changed, None) {
        print_findings(&answer["warnings"], "Warning");
    }
    print_next(session, found, changed);
}

fn print_next(session: &Session, found: &Found, created: &Value) {
    // The first fire time that the service returns takes precedence: it accounts for pauses and for the
    // schedule's start and end.
    let first = lists::time(created, "next_fire_time");
    if first.is_none() && created.get("next_fire_time").is_some() && field(created, "completed_at").is_empty()
    {
        let why =
            if created["enabled"] == false { "it is disabled" } else { "its job, call or space is paused" };
        return print_error(&format!("It does not fire: {why}.\n"));
    }
    let Some(answer) = validated(session, found, created, first) else { return };
    let ends_at = lists::time(created, "ends_at");
    let following = times(&answer["next_runs"]).filter(|time| ends_at.is_none_or(|ends_at| *time <= ends_at));
    let shown = |time: Timestamp| match lists::local(created, time) {
        local if local.is_empty() => time.to_string(),
        local => format!("{time} ({local})"),
    };
    let next: Vec<String> = first.into_iter().chain(following).take(NEXT_OF_NEW).map(shown).collect();
    if next.is_empty() {
        print_error("It never fires.\n");
    } else {
        // With local times they do not fit on one line.
        let is_plain = next.iter().all(|time| !time.contains('('));
        print_error(&format!("Next: {}\n", next.join(if is_plain { ", " } else { "\n      " })));
    }
}

/// The service's findings about the expression of a schedule. `None`: the service lacks this route.
fn validated(session: &Session, found: &Found, schedule: &Value, from: Option<Timestamp>) -> Option<Value> {
    let mut body = Map::new();
    body.insert("expression".to_owned(), schedule["expression"].clone());
    if let Some(from) = from {
        body.insert("from".to_owned(), from.to_string().into());
    }
    body.insert("next".to_owned(), NEXT_OF_NEW.into());
    if schedule["dialect"].is_string() {
        body.insert("dialect".to_owned(), schedule["dialect"].clone());
    }
    if schedule["timezone"].is_string() {
        body.insert("timezone".to_owned(), schedule["timezone"].clone());
    }
    refer_to(found, &mut body);
    session.remote.post(VALIDATE, Some(&body.into())).ok()
}

fn refer_to(found: &Found, body: &mut Map<String, Value>) {
    body.insert("ref_type".to_owned(), found.kind.as_str().into());
    body.insert("ref_guid".to_owned(), json!(field(&found.resource, "guid")));
}

fn lines(answer: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    if answer["valid"] != true {
        for error in answer["errors"].as_array().into_iter().flatten() {
            lines.push(format!("not valid: {}", field(error, "message")));
            let value = field(error, "value");
            if let Some(offset) = error["offset"].as_u64().and_then(|offset| usize::try_from(offset).ok()) {
                let expression = field(answer, "expression");
                let before = expression.get(..offset).map_or(offset, |before| before.chars().count());
                lines.push(format!("  {expression}"));
                lines.push(format!("  {}{}", " ".repeat(before), "^".repeat(value.chars().count().max(1))));
            }
        }
        return lines;
    }
    let zone = match field(answer, "location") {
        "" => String::new(),
        zone => format!(" ({zone})"),
    };
    lines.push(format!("{}{zone}", field(answer, "description")));
    let mut schedule = json!({"expression": answer["expression"], "dialect": answer["dialect"]});
    if !names_zone(field(answer, "expression")) {
        schedule["timezone"] = answer["location"].clone();
    }
    // In columns, like the output of `next`.
    lines.extend(times(&answer["next_runs"]).map(|time| match lists::local(&schedule, time) {
        local if local.is_empty() => time.to_string(),
        local => format!("{time}  {local}"),
    }));
    lines
}

fn times(list: &Value) -> impl Iterator<Item = Timestamp> + '_ {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).filter_map(Timestamp::parse)
}

fn print_findings(findings: &Value, title: &str) {
    for finding in findings.as_array().into_iter().flatten() {
        print_error(&format!("{title}: {}\n", escaped(field(finding, "message"))));
    }
}

fn table(zones: &[Value]) -> Table {
    let mut table = Table::new(&["NAME", "STANDARD", "SUMMER"]);
    for zone in zones {
        table.row(&[field(zone, "Name"), field(zone, "Std"), field(zone, "Dst")]);
    }
    table
}
