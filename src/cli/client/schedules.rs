//! Commands about schedules.

use std::time::Duration;

use serde_json::{Map, Value};

use super::cron;
use super::failure::Failure;
use super::lists;
use super::overview::age;
use super::remote::encode;
use super::session::{Found, Session, is_guid, is_short_guid, plural};
use crate::cli::arguments::Arguments;
use crate::cli::output::{LOCAL, Table, field, instant, span_of_seconds};
use crate::cron::{Expression, Reading};
use crate::model::{Dialect, Kind};

/// What `--state` takes.
pub(in crate::cli) const STATES: [&str; 3] = ["enabled", "disabled", "completed"];
const BOTH: [Kind; 2] = [Kind::Job, Kind::Call];
/// The field that is added to a schedule: its job or call. Its app is added too.
const OF: &str = "of";

pub(in crate::cli) fn list(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let schedules = match arguments.operand(0) {
        Some(name) => {
            let found = session.find(&BOTH, name, arguments.flag("app"))?;
            let schedules = session.resources(&format!("{}/schedules", found.path()))?;
            schedules.into_iter().map(|schedule| with_owner(schedule, &found)).collect()
        }
        None => all(session)?.into_iter().map(|(found, schedule)| with_owner(schedule, &found)).collect(),
    };
    let mut schedules: Vec<Value> = schedules;
    let state = |it: &Value| match (field(it, "completed_at").is_empty(), &it["enabled"] == true) {
        (false, _) => "completed",
        (true, true) => "enabled",
        (true, false) => "disabled",
    };
    let created = |it: &Value| lists::time(it, "created_at");
    // With a name, --app is the app of that job or call.
    if arguments.operand(0).is_none() {
        lists::retain(session, arguments, &mut schedules, &STATES, |it| state(it).to_owned(), created)?;
    } else {
        let others = arguments.without("app");
        lists::retain(session, &others, &mut schedules, &STATES, |it| state(it).to_owned(), created)?;
    }
    session.look_up_apps(&schedules);
    lists::sort(session, arguments, &mut schedules);
    let none = "no schedules match; to add one, see: ocf-scheduler help schedule-job";
    session.show_all(schedules, |schedules| table(session, schedules), none);
    Ok(true)
}

pub(in crate::cli) fn schedule_job(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    schedule(session, Kind::Job, arguments)
}

pub(in crate::cli) fn schedule_call(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    schedule(session, Kind::Call, arguments)
}

pub(in crate::cli) fn update(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let mut body = Map::new();
    if let Some(expression) = arguments.flag("expression") {
        body.insert("expression".to_owned(), expression.into());
    }
    if let Some(enabled) = arguments.enabled().map_err(Failure::Usage)? {
        body.insert("enabled".to_owned(), enabled.into());
    }
    add_options(arguments, &mut body)?;
    if body.is_empty() {
        return Err(Failure::Usage("update-schedule needs a flag that says what to change".to_owned()));
    }
    let is_planned_again =
        ["expression", "timezone", "starts_at", "ends_at"].iter().any(|it| body.contains_key(*it));
    let (found, schedule) = find(session, arguments)?;
    let updated = session.remote.patch(&path(&found, &schedule), &body.into())?;
    let row = with_owner(updated.clone(), &found);
    session.look_up_apps(std::slice::from_ref(&row));
    session.show(row, |schedules| table(session, schedules));
    if is_planned_again {
        cron::explain_changed(session, &found, &updated);
    }
    Ok(true)
}

pub(in crate::cli) fn delete(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let (found, schedule) = find(session, arguments)?;
    session.remote.delete(&path(&found, &schedule))?;
    let sentence = format!("deleted the schedule {} of {}", field(&schedule, "expression"), found.title());
    session.show_or_say(&with_owner(schedule, &found), &sentence);
    Ok(true)
}

fn schedule(session: &Session, kind: Kind, arguments: &Arguments) -> Result<bool, Failure> {
    let enabled = arguments.enabled().map_err(Failure::Usage)?.unwrap_or(true);
    let found = session.find(&[kind], arguments.required(0), arguments.flag("app"))?;
    let mut body = Map::new();
    body.insert("expression".to_owned(), expression(session, arguments)?.into());
    body.insert("expression_type".to_owned(), "cron_expression".into());
    body.insert("enabled".to_owned(), enabled.into());
    add_options(arguments, &mut body)?;
    let created = session.remote.post(&format!("{}/schedules", found.path()), Some(&body.into()))?;
    let row = with_owner(created.clone(), &found);
    session.look_up_apps(std::slice::from_ref(&row));
    session.show(row, |schedules| table(session, schedules));
    cron::explain_new(session, &found, &created);
    Ok(true)
}

/// When the schedule fires: an expression, a time, or a span of time from now.
fn expression(session: &Session, arguments: &Arguments) -> Result<String, Failure> {
    match (arguments.operand(1), arguments.flag("at"), arguments.flag("in")) {
        (Some(expression), None, None) => Ok(expression.to_owned()),
        (None, Some(time), None) => Ok(format!("@at {time}")),
        (None, None, Some(span)) => {
            let span = span_of(span).ok_or_else(|| {
                Failure::Usage(format!(
                    "--in is {span:?}; it must be a span of time like 90s, 10m, 1h30m or 2d"
                ))
            })?;
            let time = session.remote.clock()?.saturating_add(span);
            Ok(format!("@at {time}"))
        }
        _ => Err(Failure::Usage(
            "give one of: a cron expression like '0 2 * * *', --at TIME, --in SPAN".to_owned(),
        )),
    }
}

/// A span of time: days, or a duration as `@every` has it.
fn span_of(text: &str) -> Option<Duration> {
    let every = || Expression::parse(&format!("@every {text}"), &Reading::plain(Dialect::default())).ok();
    let seconds = || every().filter(|_| !text.starts_with('-'))?.interval();
    age(text).or_else(|| seconds().map(Duration::from_secs))
}

/// Adds the flags that say how a schedule fires. An empty value stands for the default.
fn add_options(arguments: &Arguments, body: &mut Map<String, Value>) -> Result<(), Failure> {
    let fields = [
        ("timezone", "timezone"),
        ("from", "starts_at"),
        ("until", "ends_at"),
        ("misfire-policy", "misfire_policy"),
        ("description", "description"),
    ];
    for (flag, field) in fields {
        if let Some(text) = arguments.flag(flag) {
            let value = if text.is_empty() { Value::Null } else { text.into() };
            body.insert(field.to_owned(), value);
        }
    }
    if let Some(text) = arguments.flag("jitter") {
        let seconds: u32 = text.parse().map_err(|_| {
            Failure::Usage(format!(
                "--jitter is {text:?}; it must be a whole number of seconds from 0 to 3600"
            ))
        })?;
        body.insert("jitter_seconds".to_owned(), seconds.into());
    }
    Ok(())
}

/// The schedule of that guid, or the only one of a job or call.
fn find(session: &Session, arguments: &Arguments) -> Result<(Found, Value), Failure> {
    let wanted = arguments.required(0);
    if let Some(found) = by_guid(session, wanted)? {
        return Ok(found);
    }
    let found = owner(session, arguments)?;
    let mut schedules = session.resources(&format!("{}/schedules", found.path()))?;
    match schedules.len() {
        1 => Ok((found, schedules.remove(0))),
        0 => Err(Failure::NotFound(format!(
            "{} has no schedule; to add one, see: ocf-scheduler help schedule-{}",
            found.title(),
            found.kind.as_str()
        ))),
        _ => {
            let line = |schedule: &Value| {
                format!("  {}  {}", field(schedule, "guid"), field(schedule, "expression"))
            };
            let lines: Vec<String> = schedules.iter().map(line).collect();
            Err(Failure::NotFound(format!(
                "{} has several schedules; name one by its guid:\n{}",
                found.title(),
                lines.join("\n")
            )))
        }
    }
}

/// The job or call that stands for its schedules.
pub(super) fn owner(session: &Session, arguments: &Arguments) -> Result<Found, Failure> {
    let wanted = arguments.required(0);
    session.find(&BOTH, wanted, arguments.flag("app")).map_err(|failure| match failure {
        Failure::NotFound(_) if is_guid(wanted) => Failure::NotFound(format!(
            "there is no schedule, job or call {wanted:?}; to list schedules, run: ocf-scheduler schedules"
        )),
        other => other,
    })
}

/// The API reaches a schedule only through its job or call, so all of them are searched. `guid` may be the
/// beginning of one.
pub(super) fn by_guid(session: &Session, guid: &str) -> Result<Option<(Found, Value)>, Failure> {
    if !is_short_guid(guid) {
        return Ok(None);
    }
    let fits = |(_, schedule): &(Found, Value)| field(schedule, "guid").starts_with(guid);
    let mut found: Vec<(Found, Value)> = all(session)?.into_iter().filter(fits).collect();
    match found.len() {
        0 => Ok(None),
        1 => Ok(Some(found.remove(0))),
        _ => {
            let line = |(of, schedule): &(Found, Value)| {
                format!("  {}  {} of {}", field(schedule, "guid"), field(schedule, "expression"), of.title())
            };
            let lines: Vec<String> = found.iter().map(line).collect();
            Err(Failure::NotFound(format!("{guid:?} is ambiguous; use a whole guid:\n{}", lines.join("\n"))))
        }
    }
}

pub(super) fn all(session: &Session) -> Result<Vec<(Found, Value)>, Failure> {
    let mut all = Vec::new();
    for kind in BOTH {
        for mut resource in session.list(kind, true)? {
            let schedules = match resource.get_mut("schedules") {
                Some(schedules) => schedules.as_array_mut().map(std::mem::take).unwrap_or_default(),
                // OCF Scheduler lists jobs without their schedules.
                None => {
                    let path = format!("/{}/{}/schedules", plural(kind), encode(field(&resource, "guid")));
                    session.resources(&path)?
                }
            };
            for schedule in schedules {
                all.push((Found { kind, resource: resource.clone() }, schedule));
            }
        }
    }
    Ok(all)
}

pub(super) fn path(found: &Found, schedule: &Value) -> String {
    format!("{}/schedules/{}", found.path(), encode(field(schedule, "guid")))
}

pub(super) fn with_owner(mut schedule: Value, found: &Found) -> Value {
    if let Value::Object(fields) = &mut schedule {
        fields.insert(OF.to_owned(), found.title().into());
        fields.insert("app_guid".to_owned(), found.resource["app_guid"].clone());
    }
    schedule
}

pub(super) fn table(session: &Session, schedules: &[Value]) -> Table {
    let headings = ["OF", "APP", "ENABLED", "NEXT", LOCAL, "EXPRESSION", "GUID"];
    let more = ["DESCRIPTION", "FROM", "UNTIL", "JITTER", "CREATED"];
    let mut table = Table::new(&headings).with_more(&more).with_place_in_csv("APP", "GUID");
    for schedule in schedules {
        let enabled = if schedule["enabled"] == true { "yes" } else { "no" };
        let expression = match field(schedule, "timezone") {
            "" => field(schedule, "expression").to_owned(),
            zone => format!("{} ({zone})", field(schedule, "expression")),
        };
        let jitter = schedule["jitter_seconds"].as_u64().unwrap_or_default();
        table.row(&[
            field(schedule, OF),
            &session.app_title(field(schedule, "app_guid")),
            enabled,
            &lists::next_fire(schedule),
            &lists::next_fire_local(schedule),
            &expression,
            field(schedule, "guid"),
            field(schedule, "description"),
            &instant(schedule, "starts_at"),
            &instant(schedule, "ends_at"),
            &span_of_seconds(jitter),
            &instant(schedule, "created_at"),
        ]);
    }
    table
}
