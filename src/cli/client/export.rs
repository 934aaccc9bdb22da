//! `export`: prints the definitions of the service as a file that `apply` reads.
//!
//! Invariant: no secret is printed. Each is replaced by its own variable.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::failure::Failure;
use super::remote::encode;
use super::session::Session;
use crate::cli::arguments::Arguments;
use crate::cli::definitions::{
    A_LABEL_VALUE, Item, OF_SCHEDULE, OWNER_LABEL, is_label_value, literal, variable_of, written,
};
use crate::cli::output::{field, print};
use crate::cron::names_zone;
use crate::model::{HIDDEN, Kind};

/// Headers that are not secret.
const HARMLESS_HEADERS: [&str; 5] =
    ["accept", "accept-language", "content-language", "content-type", "user-agent"];

/// The variables that stand for secrets.
#[derive(Default)]
struct Variables(Vec<String>);

impl Variables {
    /// A new variable for a secret, named after these words.
    fn secret(&mut self, words: &[&str]) -> Item {
        let name = variable_of(words);
        let mut unique = name.clone();
        for number in 2.. {
            if !self.0.contains(&unique) {
                break;
            }
            unique = format!("{name}_{number}");
        }
        self.0.push(unique.clone());
        Item::Plain(format!("${{{unique}}}").into())
    }

    /// Headers. Their values are secrets unless listed in [`HARMLESS_HEADERS`].
    fn headers(&mut self, words: &[&str], headers: &Value) -> Vec<(String, Item)> {
        let headers = headers.as_object().into_iter().flatten();
        headers
            .map(|(name, value)| {
                let is_harmless =
                    value != HIDDEN && HARMLESS_HEADERS.contains(&name.to_ascii_lowercase().as_str());
                let item = match is_harmless {
                    true => Item::Plain(literal(value.clone())),
                    false => self.secret(&[words, &[name]].concat()),
                };
                (name.clone(), item)
            })
            .collect()
    }
}

/// Prints all jobs, calls and notifications as a file. Secrets become variables.
pub(in crate::cli) fn export(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    if let Some("jsonl" | "csv") = arguments.flag("output") {
        return Err(Failure::Usage("export writes TOML, or JSON with -o json".to_owned()));
    }
    // Without it, the file's own name counts, which is another one for each file.
    let file = arguments.flag("name");
    if let Some(file) = file.filter(|file| !is_label_value(file)) {
        return Err(Failure::Usage(format!("--name is {file:?}; it must be {A_LABEL_VALUE}")));
    }
    let app = arguments.flag("app").map(|app| session.app(app)).transpose()?;
    let mut exported = Vec::new();
    for kind in [Kind::Job, Kind::Call] {
        let mut found = session.list(kind, true)?;
        found.retain(|it| app.as_deref().is_none_or(|app| field(it, "app_guid") == app));
        session.look_up_apps(&found);
        for it in &mut found {
            // A new schedule like it would be refused, or never fire.
            let schedules = it.get_mut("schedules").and_then(Value::as_array_mut);
            if let Some(schedules) = schedules {
                schedules.retain(|schedule| schedule["completed_at"].is_null());
            }
        }
        exported.push((kind, found));
    }
    if let Some(wanted) = arguments.flag("app")
        && exported.iter().all(|(_, found)| found.is_empty())
    {
        return Err(Failure::NotFound(format!("there are no jobs or calls of an app {wanted:?}")));
    }
    let apps = Apps::of(session, &exported);
    let dialect = common_dialect(&exported);
    let mut variables = Variables::default();
    let mut root = Vec::new();
    root.extend(file.map(|file| ("name".to_owned(), Item::Plain(file.into()))));
    root.extend(dialect.iter().map(|dialect| ("dialect".to_owned(), Item::Plain(dialect.as_str().into()))));
    let mut names = Vec::new();
    for (kind, found) in &exported {
        let of_schedule = |schedule: &Value| schedule_table(schedule, dialect.is_some());
        let tables = found.iter().map(|it| executable_table(&apps, *kind, it, &of_schedule, &mut variables));
        root.push((kind.as_str().to_owned(), Item::Tables(tables.collect())));
        names.extend(found.iter().map(|it| {
            let (name, app) = (field(it, "name").to_owned(), apps.name(field(it, "app_guid")));
            (*kind, field(it, "guid").to_owned(), app, name)
        }));
    }
    if app.is_none() {
        let space = session.space().map(|space| format!("?space_guid={}", encode(space)));
        let found = session.resources(&format!("/notifications{}", space.unwrap_or_default()))?;
        let tables = found.iter().filter_map(|it| notification_table(it, &names, &mut variables)).collect();
        root.push(("notification".to_owned(), Item::Tables(tables)));
    }
    root.retain(|(_, item)| !matches!(item, Item::Tables(tables) if tables.is_empty()));
    let root = Item::Table(root);
    let cannot =
        |err: &dyn std::fmt::Display| Failure::Refused(format!("the definitions cannot be written: {err}"));
    let text = match session.is_for_people() {
        true => {
            let text = toml::to_string(&root).map_err(|err| cannot(&err))?;
            let comment: String = variables.0.iter().map(|name| format!("#   {name}\n")).collect();
            match comment.is_empty() {
                true => text,
                false => format!("# Secrets come from these variables:\n{comment}\n{text}"),
            }
        }
        false => {
            let text = serde_json::to_string_pretty(&root).map_err(|err| cannot(&err))?;
            format!("{text}\n")
        }
    };
    print(text.as_bytes()).map_err(|err| Failure::unwritten(&err))?;
    Ok(true)
}

/// The names of apps.
struct Apps(HashMap<String, String>);

impl Apps {
    fn of(session: &Session, exported: &[(Kind, Vec<Value>)]) -> Self {
        let guids = exported.iter().flat_map(|(_, found)| found).map(|it| field(it, "app_guid"));
        Self(guids.map(|guid| (guid.to_owned(), session.app_title(guid))).collect())
    }

    /// The name of an app, or its guid if another app has that name.
    fn name(&self, guid: &str) -> String {
        let name = self.0.get(guid).map_or(guid, String::as_str);
        let is_unique = self.0.values().filter(|other| *other == name).count() < 2;
        if is_unique { name } else { guid }.to_owned()
    }
}

/// The dialect of all schedules; `None` if they differ, or if there are none.
fn common_dialect(exported: &[(Kind, Vec<Value>)]) -> Option<String> {
    let executables = exported.iter().flat_map(|(_, found)| found);
    let mut dialects: Vec<&str> = executables
        .flat_map(|it| it["schedules"].as_array().into_iter().flatten())
        .map(|schedule| field(schedule, "dialect"))
        .collect();
    dialects.sort_unstable();
    dialects.dedup();
    match dialects.as_slice() {
        [one] if !one.is_empty() => Some((*one).to_owned()),
        _ => None,
    }
}

fn executable_table(
    apps: &Apps,
    kind: Kind,
    it: &Value,
    of_schedule: &dyn Fn(&Value) -> Item,
    variables: &mut Variables,
) -> Item {
    let name = field(it, "name");
    let defaults = [
        ("memory_in_mb", json!(1024)),
        ("disk_in_mb", json!(1024)),
        ("log_rate_in_bps", json!(0)),
        ("concurrency_policy", json!("Always")),
        ("paused", json!(false)),
        ("method", json!("POST")),
        ("success_statuses", json!("200-299")),
    ];
    let plain = |text: &str| Item::Plain(literal(text.into()));
    let mut fields =
        vec![("name".to_owned(), plain(name)), ("app".to_owned(), plain(&apps.name(field(it, "app_guid"))))];
    fields.extend(written(
        it,
        &[
            "command",
            "url",
            "method",
            "body",
            "success_statuses",
            "memory_in_mb",
            "disk_in_mb",
            "log_rate_in_bps",
            "timeout_seconds",
            "concurrency_policy",
            "paused",
            "expect_success_within_seconds",
        ],
        &defaults,
    ));
    let word = kind.as_str();
    if !field(it, "auth_header").is_empty() {
        fields.push(("auth_header".to_owned(), variables.secret(&[word, name, "auth_header"])));
    }
    if it["signed"] == true {
        fields.push(("signing_secret".to_owned(), variables.secret(&[word, name, "signing_secret"])));
    }
    let headers = variables.headers(&[word, name], &it["headers"]);
    fields.extend(written(it, &["retry"], &defaults));
    if !headers.is_empty() {
        fields.push(("headers".to_owned(), Item::Table(headers)));
    }
    let mut metadata = it["metadata"].clone();
    if let Some(labels) = metadata["labels"].as_object_mut() {
        labels.remove(OWNER_LABEL);
    }
    fields.extend(written(&metadata, &["labels", "annotations"], &[]));
    let schedules = it["schedules"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !schedules.is_empty() {
        fields.push(("schedule".to_owned(), Item::Tables(schedules.iter().map(of_schedule).collect())));
    }
    Item::Table(fields)
}

fn schedule_table(it: &Value, is_dialect_common: bool) -> Item {
    let key = match field(it, "key") {
        // The key that it gets.
        "" => field(it, "guid").chars().take(8).collect(),
        key => key.to_owned(),
    };
    let mut fields = vec![("key".to_owned(), Item::Plain(key.into()))];
    if !is_dialect_common && !field(it, "dialect").is_empty() {
        fields.push(("dialect".to_owned(), Item::Plain(field(it, "dialect").into())));
    }
    // TOML has no null. Without the field, another service would use its default zone.
    if it["timezone"].is_null() && reads_default_zone(field(it, "expression")) {
        fields.push(("timezone".to_owned(), Item::Plain("".into())));
    }
    fields.extend(written(it, OF_SCHEDULE, &[("enabled", json!(true)), ("jitter_seconds", json!(0))]));
    Item::Table(fields)
}

/// Whether the service's default zone applies to a new schedule with this expression.
fn reads_default_zone(expression: &str) -> bool {
    let is_fixed = ["@every", "@at"].iter().any(|word| expression.starts_with(word));
    !is_fixed && !names_zone(expression)
}

/// `None`: it is about jobs and calls that are all deleted. A file cannot say that, because without jobs and
/// calls a notification is about all of the space.
fn notification_table(
    it: &Value,
    names: &[(Kind, String, String, String)],
    variables: &mut Variables,
) -> Option<Item> {
    let guids = ["job_guids", "call_guids"].into_iter().flat_map(|member| it[member].as_array()).flatten();
    let mut guids = guids.filter_map(Value::as_str).peekable();
    if guids.peek().is_some() && !guids.any(|guid| names.iter().any(|(_, known, _, _)| known == guid)) {
        return None;
    }
    let name = field(it, "name");
    // The path of its URL may be a secret.
    let mut fields = vec![
        ("name".to_owned(), Item::Plain(literal(name.into()))),
        ("url".to_owned(), variables.secret(&["notification", name, "url"])),
    ];
    if !it["secret"].is_null() {
        fields.push(("secret".to_owned(), variables.secret(&["notification", name, "secret"])));
    }
    for (list, member, kind) in [("jobs", "job_guids", Kind::Job), ("calls", "call_guids", Kind::Call)] {
        let guids = it[member].as_array().into_iter().flatten().filter_map(Value::as_str);
        let listed: Vec<String> = guids
            .filter_map(|guid| names.iter().find(|(_, known, _, _)| known == guid))
            .map(|(_, _, app, name)| {
                let is_unique = names.iter().filter(|it| it.0 == kind && it.3 == *name).count() == 1;
                if is_unique { name.clone() } else { format!("{app}/{name}") }
            })
            .collect();
        if !listed.is_empty() {
            fields.push((list.to_owned(), Item::Plain(literal(listed.into()))));
        }
    }
    let rest = ["format", "events", "label_selector", "after_failures", "remind_after_seconds", "enabled"];
    let defaults = [
        ("format", json!("standard")),
        ("events", json!(["failed", "recovered", "overdue"])),
        ("label_selector", json!("")),
        ("after_failures", json!(1)),
        ("enabled", json!(true)),
    ];
    fields.extend(written(it, &rest, &defaults));
    let headers = variables.headers(&["notification", name], &it["headers"]);
    if !headers.is_empty() {
        fields.push(("headers".to_owned(), Item::Table(headers)));
    }
    Some(Item::Table(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_variable_stands_for_two_secrets() {
        let mut variables = Variables::default();
        for words in [["call", "a-b"], ["call", "a_b"], ["call", "a b"]] {
            variables.secret(&words);
        }
        assert_eq!(variables.0, ["CALL_A_B", "CALL_A_B_2", "CALL_A_B_3"]);
    }
}
