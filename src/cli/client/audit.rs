//! `audit-events`: shows who did what.

use serde_json::Value;

use super::failure::Failure;
use super::overview::{self, limit};
use super::remote::encode;
use super::session::Session;
use crate::cli::arguments::Arguments;
use crate::cli::output::{Table, field, instant};

const PREFIX: &str = "audit.scheduler.";

/// Lists audit events, newest first.
pub(in crate::cli) fn events(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let limit = limit(arguments, 500)?;
    let mut filters = vec![format!("per_page={limit}")];
    filters.extend(session.space().map(|space| format!("space_guid={}", encode(space))));
    if let Some(types) = arguments.flag("types") {
        let types: Vec<String> = types
            .split(',')
            .map(|name| match name.starts_with(PREFIX) {
                true => name.to_owned(),
                false => format!("{PREFIX}{name}"),
            })
            .collect();
        filters.push(format!("types={}", encode(&types.join(","))));
    }
    filters.extend(arguments.flag("target").map(|guid| format!("target_guids={}", encode(guid))));
    filters.extend(arguments.flag("actor").map(|guid| format!("actor_guids={}", encode(guid))));
    if let Some(since) = arguments.flag("since") {
        let time = overview::since(since)?;
        filters.push(format!("created_ats%5Bgt%5D={}", encode(&time.to_string())));
    }
    let page = session.remote.get(&format!("/audit_events?{}", filters.join("&")))?;
    let found = page["resources"].as_array().cloned().unwrap_or_default();
    session.show_all(found, table, "no events match");
    Ok(true)
}

fn table(events: &[Value]) -> Table {
    let mut table = Table::new(&["TIME", "TYPE", "BY", "TARGET", "GUID", "CHANGED"]);
    for event in events {
        let kind = field(event, "type");
        let changed = event["data"]["changed"].as_object();
        let changed: Vec<&str> = changed.into_iter().flatten().map(|(field, _)| field.as_str()).collect();
        table.row(&[
            &instant(event, "created_at"),
            kind.strip_prefix(PREFIX).unwrap_or(kind),
            field(&event["actor"], "name"),
            field(&event["target"], "name"),
            field(&event["target"], "guid"),
            &changed.join(", "),
        ]);
    }
    table
}
