//! Commands for notifications and their deliveries.

use std::io::Read;

use serde_json::{Map, Value};

use super::calls_and_jobs::{check_url, url_of};
use super::failure::Failure;
use super::pauses;
use super::remote::encode;
use super::session::{Session, is_short_guid};
use crate::cli::arguments::Arguments;
use crate::cli::output::{Table, field, instant};
use crate::model::Kind;

/// How many deliveries are shown without `--limit`.
pub(in crate::cli) const LIMIT: &str = "20";
/// The most bytes that are read from standard input.
const MAX_SECRET_BYTES: u64 = 4096;

/// Lists the notifications of the space, or of all spaces.
pub(in crate::cli) fn list(session: &Session, _: &Arguments) -> Result<bool, Failure> {
    let none = "there are no notifications yet; to create one, see: ocf-scheduler help create-notification";
    session.show_all(all(session)?, table, none);
    Ok(true)
}

/// Creates one.
pub(in crate::cli) fn create(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let mut body = fields(session, arguments)?;
    body.insert("name".to_owned(), arguments.required(0).into());
    let url = url_of(arguments)?;
    check_url(url)?;
    body.insert("url".to_owned(), url.into());
    let path = format!("/notifications?space_guid={}", encode(&pauses::space(session)?));
    let created = session.remote.post(&path, Some(&body.into()))?;
    session.show(created, table);
    Ok(true)
}

/// Changes one.
pub(in crate::cli) fn update(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let mut body = fields(session, arguments)?;
    arguments.flag("url").map_or(Ok(()), check_url)?;
    for (flag, field) in [("rename", "name"), ("url", "url")] {
        if let Some(value) = arguments.flag(flag) {
            body.insert(field.to_owned(), value.into());
        }
    }
    if let Some(enabled) = arguments.enabled().map_err(Failure::Usage)? {
        body.insert("enabled".to_owned(), enabled.into());
    }
    if body.is_empty() {
        return Err(Failure::Usage("update-notification needs a flag that says what to change".to_owned()));
    }
    let path = path_of(session, arguments.required(0))?;
    let updated = session.remote.patch(&path, &body.into())?;
    session.show(updated, table);
    Ok(true)
}

/// Deletes one.
pub(in crate::cli) fn delete(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let name = arguments.required(0);
    let notification = find(session, name)?;
    session.remote.delete(&path(&notification))?;
    let said = format!("deleted notification {}", field(&notification, "name"));
    if session.is_for_people() {
        session.report(&[said]);
    } else {
        session.show_object(&notification);
    }
    Ok(true)
}

/// Makes the service send a test.
pub(in crate::cli) fn test(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let path = path_of(session, arguments.required(0))?;
    let delivery = session.remote.post(&format!("{path}/test"), None)?;
    session.show(delivery, deliveries_table);
    Ok(true)
}

/// Lists deliveries, newest first.
pub(in crate::cli) fn deliveries(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let limit = arguments.flag("limit").unwrap_or(LIMIT);
    if !limit.parse().is_ok_and(|limit: u32| (1..=500).contains(&limit)) {
        return Err(Failure::Usage(format!("--limit is {limit:?}; it must be a whole number from 1 to 500")));
    }
    let path = path_of(session, arguments.required(0))?;
    let found = session.resources(&format!("{path}/deliveries?page=1&per_page={limit}"))?;
    session.show_all(found, deliveries_table, "nothing was sent in the last 7 days");
    Ok(true)
}

/// The fields of the API that the flags set.
fn fields(session: &Session, arguments: &Arguments) -> Result<Map<String, Value>, Failure> {
    let mut body = Map::new();
    for (flag, field) in [("format", "format"), ("label-selector", "label_selector")] {
        if let Some(text) = arguments.flag(flag) {
            body.insert(field.to_owned(), text.into());
        }
    }
    for (flag, field) in [("after-failures", "after_failures"), ("remind-after", "remind_after_seconds")] {
        match arguments.flag(flag) {
            None => {}
            Some("") => {
                body.insert(field.to_owned(), Value::Null);
            }
            Some(text) => {
                let number: u32 = text.parse().map_err(|_| {
                    Failure::Usage(format!("--{flag} is {text:?}; it must be a whole number"))
                })?;
                body.insert(field.to_owned(), number.into());
            }
        }
    }
    if let Some(events) = arguments.flag("events") {
        body.insert("events".to_owned(), list_of(events).into());
    }
    for (flag, member, kind) in [("jobs", "job_guids", Kind::Job), ("calls", "call_guids", Kind::Call)] {
        if let Some(names) = arguments.flag(flag) {
            let guids: Result<Vec<String>, Failure> = list_of(names)
                .iter()
                .map(|name| {
                    let found = session.find(&[kind], name, None)?;
                    Ok(field(&found.resource, "guid").to_owned())
                })
                .collect();
            body.insert(member.to_owned(), guids?.into());
        }
    }
    match arguments.flag("secret") {
        None => {}
        Some("") => {
            body.insert("secret".to_owned(), Value::Null);
        }
        Some("-") => {
            body.insert("secret".to_owned(), read_secret()?.into());
        }
        Some(secret) => {
            body.insert("secret".to_owned(), secret.into());
        }
    }
    Ok(body)
}

fn list_of(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn read_secret() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_SECRET_BYTES)
        .read_to_string(&mut text)
        .map_err(|err| Failure::Usage(format!("the secret cannot be read from standard input: {err}")))?;
    Ok(text.trim().to_owned())
}

pub(super) fn all(session: &Session) -> Result<Vec<Value>, Failure> {
    let filter = session.space().map(|space| format!("?space_guid={}", encode(space))).unwrap_or_default();
    session.resources(&format!("/notifications{filter}"))
}

/// The path of the notification with this name or guid.
fn path_of(session: &Session, wanted: &str) -> Result<String, Failure> {
    find(session, wanted).map(|it| path(&it))
}

fn path(notification: &Value) -> String {
    format!("/notifications/{}", encode(field(notification, "guid")))
}

/// The notification with this name or guid.
fn find(session: &Session, wanted: &str) -> Result<Value, Failure> {
    let fits =
        |it: &Value| it["name"] == wanted || (is_short_guid(wanted) && field(it, "guid").starts_with(wanted));
    let mut found = all(session)?;
    found.retain(fits);
    // A name takes precedence over the beginning of a guid.
    let is_named = found.iter().any(|it| it["name"] == wanted);
    found.retain(|it| !is_named || it["name"] == wanted);
    if 1 < found.len() {
        session.look_up_spaces(&found, "space_guid");
        let line = |it: &Value| {
            let space = session.space_title(field(it, "space_guid"));
            format!("  {}  notification {} in space {space}", field(it, "guid"), field(it, "name"))
        };
        let lines: Vec<String> = found.iter().map(line).collect();
        // Names are unique in a space.
        let with_space = if is_named { "add --space SPACE, or " } else { "" };
        return Err(Failure::NotFound(format!(
            "{wanted:?} is ambiguous; {with_space}use a guid:\n{}",
            lines.join("\n")
        )));
    }
    found.pop().ok_or_else(|| {
        Failure::NotFound(format!("there is no notification {wanted:?}; see: ocf-scheduler notifications"))
    })
}

fn table(notifications: &[Value]) -> Table {
    let mut table = Table::new(&["NAME", "FORMAT", "EVENTS", "ABOUT", "ENABLED", "GUID"]);
    for it in notifications {
        let words = |field: &str| -> Vec<&str> {
            it[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
        };
        let listed = words("job_guids").len() + words("call_guids").len();
        let selector = field(it, "label_selector");
        let about = match (listed, selector) {
            (0, "") => "all".to_owned(),
            (0, selector) => selector.to_owned(),
            (listed, "") => format!("{listed} of them"),
            (listed, selector) => format!("{listed} of them, {selector}"),
        };
        let enabled = match it["disabled_reason"].as_str() {
            Some(reason) => format!("no: {reason}"),
            None if it["enabled"] == true => "yes".to_owned(),
            None => "no".to_owned(),
        };
        table.row(&[
            field(it, "name"),
            field(it, "format"),
            &words("events").join(","),
            &about,
            &enabled,
            field(it, "guid"),
        ]);
    }
    table
}

fn deliveries_table(deliveries: &[Value]) -> Table {
    let mut table = Table::new(&["CREATED", "EVENT", "STATE", "TRIES", "ENDED", "EXECUTION", "ERROR"]);
    for it in deliveries {
        table.row(&[
            &instant(it, "created_at"),
            field(it, "event"),
            field(it, "state"),
            &it["attempts"].to_string(),
            &instant(it, "ended_at"),
            field(it, "execution_guid"),
            field(it, "last_error"),
        ]);
    }
    table
}
