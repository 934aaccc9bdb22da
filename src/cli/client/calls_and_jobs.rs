//! Commands that list, create, change and delete jobs and calls.

use serde_json::{Map, Value, json};

use super::controls::{self, Input, Retry};
use super::failure::Failure;
use super::lists;
use super::remote::encode;
use super::session::{Session, plural};
use crate::cli::arguments::Arguments;
use crate::cli::definitions::is_web_url;
use crate::cli::output::{LOCAL, Table, field, instant};
use crate::model::Kind;

/// The values of `--state`: the states of the last run.
pub(in crate::cli) const STATES: [&str; 6] =
    ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "SKIPPED", "never"];

pub(in crate::cli) fn jobs(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    list(session, Kind::Job, arguments)
}

pub(in crate::cli) fn calls(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    list(session, Kind::Call, arguments)
}

pub(in crate::cli) fn create_job(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let mut body = Map::new();
    body.insert("name".to_owned(), arguments.required(0).into());
    body.insert("command".to_owned(), arguments.required(1).into());
    limits(arguments, &mut body)?;
    create(session, Kind::Job, arguments, body)
}

pub(in crate::cli) fn create_call(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let url = url_of(arguments)?;
    check_url(url)?;
    let mut body = Map::new();
    body.insert("name".to_owned(), arguments.required(0).into());
    body.insert("url".to_owned(), url.into());
    // The API requires the field, even if there is no header.
    body.insert("auth_header".to_owned(), Value::Null);
    controls::add_of_call(arguments, &mut Input::default(), &mut body)?;
    create(session, Kind::Call, arguments, body)
}

/// The URL for a command that creates something.
pub(super) fn url_of(arguments: &Arguments) -> Result<&str, Failure> {
    arguments.operand(1).or_else(|| arguments.flag("url")).ok_or_else(|| {
        let (command, name) = (arguments.command, arguments.required(0));
        let example = format!("ocf-scheduler {command} {name} https://example.com/hook");
        Failure::Usage(format!("{command} needs a URL, for example: {example}"))
    })
}

pub(in crate::cli) fn update_job(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let mut body = Map::new();
    for (flag, field) in [("rename", "name"), ("command", "command")] {
        if let Some(value) = arguments.flag(flag) {
            body.insert(field.to_owned(), value.into());
        }
    }
    limits(arguments, &mut body)?;
    update(session, Kind::Job, arguments, body)
}

pub(in crate::cli) fn update_call(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let mut body = Map::new();
    arguments.flag("url").map_or(Ok(()), check_url)?;
    for (flag, field) in [("rename", "name"), ("url", "url")] {
        if let Some(value) = arguments.flag(flag) {
            body.insert(field.to_owned(), value.into());
        }
    }
    controls::add_of_call(arguments, &mut Input::default(), &mut body)?;
    update(session, Kind::Call, arguments, body)
}

pub(in crate::cli) fn delete_job(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    delete(session, Kind::Job, arguments)
}

pub(in crate::cli) fn delete_call(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    delete(session, Kind::Call, arguments)
}

/// Checks for a mistyped URL. The service accepts any text, because old clients send some that are not URLs.
pub(super) fn check_url(url: &str) -> Result<(), Failure> {
    match is_web_url(url) {
        true => Ok(()),
        false => Err(Failure::Usage(format!(
            "the URL is {url:?}; it must begin with https:// or http://, for example https://example.com/hook"
        ))),
    }
}

fn list(session: &Session, kind: Kind, arguments: &Arguments) -> Result<bool, Failure> {
    let mut resources = session.list(kind, true)?;
    let is_empty = resources.is_empty();
    let state = |it: &Value| match lists::state_of(it) {
        "" => "never".to_owned(),
        state => state.to_owned(),
    };
    lists::retain(session, arguments, &mut resources, &STATES, state, lists::last_time)?;
    session.look_up_apps(&resources);
    lists::sort(session, arguments, &mut resources);
    let none = match is_empty {
        true => format!(
            "there are no {0} yet; to create one, see: ocf-scheduler help create-{1}",
            plural(kind),
            kind.as_str()
        ),
        false => format!("no {} match", plural(kind)),
    };
    session.show_all(resources, |resources| table(session, kind, resources), &none);
    Ok(true)
}

fn create(
    session: &Session,
    kind: Kind,
    arguments: &Arguments,
    mut body: Map<String, Value>,
) -> Result<bool, Failure> {
    controls::add(arguments, &mut body)?;
    if let Some(retry) = Retry::given(arguments)? {
        body.insert("retry".to_owned(), retry.over(&Value::Null)?);
    }
    let app = session.app_of(arguments)?.ok_or_else(|| {
        Failure::Usage(format!("create-{} needs an app: set --app or SCHEDULER_APP", kind.as_str()))
    })?;
    let path = format!("/{}?app_guid={}", plural(kind), encode(&app));
    let created = session.remote.post(&path, Some(&body.into()))?;
    session.look_up_apps(std::slice::from_ref(&created));
    session.show(created, |resources| table(session, kind, resources));
    Ok(true)
}

fn update(
    session: &Session,
    kind: Kind,
    arguments: &Arguments,
    mut body: Map<String, Value>,
) -> Result<bool, Failure> {
    if let Some(app) = arguments.flag("to-app") {
        body.insert("app_guid".to_owned(), session.app(app)?.into());
    }
    controls::add(arguments, &mut body)?;
    let retry = Retry::given(arguments)?;
    if body.is_empty() && retry.is_none() {
        return Err(Failure::Usage(format!(
            "update-{} needs a flag that says what to change",
            kind.as_str()
        )));
    }
    let found = session.find(&[kind], arguments.required(0), arguments.flag("app"))?;
    if let Some(retry) = retry {
        body.insert("retry".to_owned(), retry.over(&found.resource["retry"])?);
    }
    let mut updated = session.remote.patch(&found.path(), &body.into())?;
    if session.is_for_people() {
        lists::add_details(session, &found, &mut updated);
    }
    session.look_up_apps(std::slice::from_ref(&updated));
    session.show(updated, |resources| table(session, kind, resources));
    Ok(true)
}

fn delete(session: &Session, kind: Kind, arguments: &Arguments) -> Result<bool, Failure> {
    let found = session.find(&[kind], arguments.required(0), arguments.flag("app"))?;
    session.remote.delete(&found.path())?;
    session.show_or_say(&found.resource, &format!("deleted {}", found.title()));
    Ok(true)
}

fn table(session: &Session, kind: Kind, resources: &[Value]) -> Table {
    let more = ["PAUSED", "LABELS", "POLICY", "APP GUID", "SPACE GUID", "CREATED"];
    let mut table = match kind {
        Kind::Job => {
            Table::new(&["NAME", "APP", "LAST RUN", "NEXT", LOCAL, "MEM", "DISK", "GUID", "COMMAND"])
        }
        Kind::Call => Table::new(&["NAME", "APP", "LAST RUN", "NEXT", LOCAL, "GUID", "REQUEST"]),
    }
    .with_more(&more);
    for it in resources {
        let name = field(it, "name").to_owned();
        let app = session.app_title(field(it, "app_guid"));
        let mut cells =
            vec![name, app, lists::last_run(it), lists::next_fire(it), lists::next_fire_local(it)];
        match kind {
            Kind::Job => {
                cells.push(size(&it["memory_in_mb"]));
                cells.push(size(&it["disk_in_mb"]));
                cells.push(field(it, "guid").to_owned());
                cells.push(field(it, "command").to_owned());
            }
            Kind::Call => {
                cells.push(field(it, "guid").to_owned());
                let method = Some(field(it, "method")).filter(|method| !method.is_empty()).unwrap_or("POST");
                cells.push(format!("{method} {}", field(it, "url")));
            }
        }
        cells.push(if it["paused"] == true { "yes" } else { "no" }.to_owned());
        let labels = it["metadata"]["labels"].as_object().into_iter().flatten();
        let labels: Vec<String> =
            labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
        cells.push(labels.join(","));
        for name in ["concurrency_policy", "app_guid", "space_guid"] {
            cells.push(field(it, name).to_owned());
        }
        cells.push(instant(it, "created_at"));
        table.row(&cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
    table
}

/// Megabytes, as `cf` shows them.
fn size(megabytes: &Value) -> String {
    match megabytes.as_u64() {
        Some(number) if 0 < number && number % 1024 == 0 => format!("{}G", number / 1024),
        Some(number) => format!("{number}M"),
        None => String::new(),
    }
}

fn limits(arguments: &Arguments, body: &mut Map<String, Value>) -> Result<(), Failure> {
    for (flag, field) in [("memory", "memory_in_mb"), ("disk", "disk_in_mb")] {
        if let Some(text) = arguments.flag(flag) {
            let megabytes: u32 = text.trim().parse().map_err(|_| {
                Failure::Usage(format!("--{flag} is {text:?}; it must be a whole number of megabytes"))
            })?;
            body.insert(field.to_owned(), json!(megabytes));
        }
    }
    if let Some(text) = arguments.flag("log-rate") {
        let rate: i64 = text.trim().parse().map_err(|_| {
            Failure::Usage(format!(
                "--log-rate is {text:?}; it must be a whole number of bytes a second, or -1 for unlimited"
            ))
        })?;
        body.insert("log_rate_in_bps".to_owned(), json!(rate));
    }
    Ok(())
}
