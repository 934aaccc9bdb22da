//! Commands about schedules.

use serde_json::{Map, Value, json};

use super::cron;
use super::failure::Failure;
use super::remote::encode;
use super::session::{Found, Session, is_guid};
use crate::cli::arguments::Arguments;
use crate::cli::output::{Table, field};
use crate::model::Kind;

const BOTH: [Kind; 2] = [Kind::Job, Kind::Call];
/// The field that is added to a schedule: its job or call.
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
    let none = "there are no schedules; to add one, see: ocf-scheduler help schedule-job";
    session.show_all(schedules, table, none);
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
    if let Some(enabled) = arguments.flag("enabled") {
        body.insert("enabled".to_owned(), (enabled == "true").into());
    }
    if body.is_empty() {
        return Err(Failure::Usage("update-schedule needs --expression or --enabled".to_owned()));
    }
    let (found, schedule) = find(session, arguments.required(0))?;
    let updated = session.remote.patch(&path(&found, &schedule), &body.into())?;
    session.show(with_owner(updated, &found), table);
    Ok(true)
}

pub(in crate::cli) fn delete(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let (found, schedule) = find(session, arguments.required(0))?;
    session.remote.delete(&path(&found, &schedule))?;
    let sentence = format!("deleted the schedule {} of {}", field(&schedule, "expression"), found.title());
    session.show_or_say(&with_owner(schedule, &found), &sentence);
    Ok(true)
}

fn schedule(session: &Session, kind: Kind, arguments: &Arguments) -> Result<bool, Failure> {
    let found = session.find(&[kind], arguments.required(0), arguments.flag("app"))?;
    let body = json!({
        "expression": arguments.required(1),
        "expression_type": "cron_expression",
        "enabled": !arguments.has("disabled"),
    });
    let created = session.remote.post(&format!("{}/schedules", found.path()), Some(&body))?;
    session.show(with_owner(created.clone(), &found), table);
    cron::explain_new(session, &found, &created);
    Ok(true)
}

/// The schedule of that guid. The API reaches it only through its job or call, so all of them are searched.
fn find(session: &Session, guid: &str) -> Result<(Found, Value), Failure> {
    let unknown = || {
        Failure::NotFound(format!(
            "there is no schedule {guid:?}; to list their guids, run: ocf-scheduler schedules"
        ))
    };
    if !is_guid(guid) {
        return Err(unknown());
    }
    all(session)?.into_iter().find(|(_, schedule)| field(schedule, "guid") == guid).ok_or_else(unknown)
}

fn all(session: &Session) -> Result<Vec<(Found, Value)>, Failure> {
    let mut all = Vec::new();
    for kind in BOTH {
        for mut resource in session.list(kind, true)? {
            let schedules = resource["schedules"].as_array_mut().map(std::mem::take).unwrap_or_default();
            for schedule in schedules {
                all.push((Found { kind, resource: resource.clone() }, schedule));
            }
        }
    }
    Ok(all)
}

fn path(found: &Found, schedule: &Value) -> String {
    format!("{}/schedules/{}", found.path(), encode(field(schedule, "guid")))
}

fn with_owner(mut schedule: Value, found: &Found) -> Value {
    if let Value::Object(fields) = &mut schedule {
        fields.insert(OF.to_owned(), found.title().into());
    }
    schedule
}

fn table(schedules: &[Value]) -> Table {
    let mut table = Table::new(&["OF", "ENABLED", "GUID", "EXPRESSION"]);
    for schedule in schedules {
        let enabled = if schedule["enabled"] == true { "yes" } else { "no" };
        table.row(&[field(schedule, OF), enabled, field(schedule, "guid"), field(schedule, "expression")]);
    }
    table
}
