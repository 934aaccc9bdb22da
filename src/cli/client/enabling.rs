//! `enable` and `disable`: change schedules, found by their guid or by their job or call.

use serde_json::{Value, json};

use super::failure::Failure;
use super::schedules::{by_guid, owner, path, table, with_owner};
use super::session::{Found, Session};
use crate::cli::arguments::Arguments;
use crate::cli::output::field;

pub(in crate::cli) fn enable(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    set_enabled(session, arguments, true)
}

pub(in crate::cli) fn disable(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    set_enabled(session, arguments, false)
}

fn set_enabled(session: &Session, arguments: &Arguments, enabled: bool) -> Result<bool, Failure> {
    let schedules = named(session, arguments)?;
    let mut changed = Vec::new();
    for (found, schedule) in schedules {
        let answer = session.remote.patch(&path(&found, &schedule), &json!({ "enabled": enabled }))?;
        changed.push(with_owner(answer, &found));
    }
    session.show_all(changed, |schedules| table(session, schedules), "");
    Ok(true)
}

/// The schedule with this guid, or the schedules of a job or call: the only one, or with `--all` all of them.
fn named(session: &Session, arguments: &Arguments) -> Result<Vec<(Found, Value)>, Failure> {
    let wanted = arguments.required(0);
    if let Some(found) = by_guid(session, wanted)? {
        return Ok(vec![found]);
    }
    let found = owner(session, arguments)?;
    let schedules = session.resources(&format!("{}/schedules", found.path()))?;
    if schedules.is_empty() {
        return Err(Failure::NotFound(format!(
            "{} has no schedule; to add one, see: ocf-scheduler help schedule-{}",
            found.title(),
            found.kind.as_str()
        )));
    }
    if 1 < schedules.len() && !arguments.has("all") {
        let lines: Vec<String> = schedules
            .iter()
            .map(|it| format!("  {}  {}", field(it, "guid"), field(it, "expression")))
            .collect();
        return Err(Failure::NotFound(format!(
            "{} has several schedules; add --all, or name one by its guid:\n{}",
            found.title(),
            lines.join("\n")
        )));
    }
    let with_owner = |schedule| (Found { kind: found.kind, resource: found.resource.clone() }, schedule);
    Ok(schedules.into_iter().map(with_owner).collect())
}
