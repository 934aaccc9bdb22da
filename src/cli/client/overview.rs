//! Commands that look across jobs and calls: executions, cancel, upcoming.

use std::time::Duration;

use serde_json::Value;

use super::executions;
use super::failure::Failure;
use super::lists;
use super::remote::encode;
use super::session::{Session, is_guid, is_short_guid};
use crate::base::clock::{Clock, SystemClock};
use crate::cli::arguments::Arguments;
use crate::cli::output::{LOCAL, Table, duration, field, instant};
use crate::model::Timestamp;

/// How many rows are shown without `--limit`.
pub(in crate::cli) const LIMIT: &str = "20";
/// The executions among which the beginning of a guid is looked for.
const NEWEST: usize = 500;
/// The service looks at 4,000 to 20,000 executions for each page, so this is the end of a search.
const PAGES_MAX: usize = 500;

/// Lists executions of all jobs and calls, newest first.
pub(in crate::cli) fn list(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let limit = limit(arguments, 500)?;
    let mut filters = vec![format!("per_page={limit}")];
    filters.extend(session.space().map(|space| format!("space_guid={}", encode(space))));
    filters.extend(arguments.flag("kind").map(|kind| format!("kinds={kind}")));
    filters.extend(executions::filters(arguments)?);
    // The service has no such filter.
    let app = arguments.flag("app").map(|app| session.app(app)).transpose()?;
    let mut found: Vec<Value> = Vec::new();
    let mut query = filters.join("&");
    for _ in 0..PAGES_MAX {
        let page = session.remote.get(&format!("/executions?{query}"))?;
        let resources = page["resources"].as_array().into_iter().flatten();
        let is_wanted = |it: &&Value| app.as_deref().is_none_or(|app| field(it, "app_guid") == app);
        found.extend(resources.filter(is_wanted).cloned());
        // The address in the link may be one that only others can reach.
        match page["pagination"]["next"]["href"].as_str().and_then(|href| href.split_once('?')) {
            Some((_, next)) if found.len() < limit => query = next.to_owned(),
            _ => break,
        }
    }
    found.truncate(limit);
    session.look_up_apps(&found);
    lists::sort(session, arguments, &mut found);
    session.show_all(found, |found| table(session, found), "no executions match");
    Ok(true)
}

/// Cancels an execution.
pub(in crate::cli) fn cancel(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let execution = whole_guid(session, arguments.required(0))?;
    let cancelled = session.remote.post(&format!("/executions/{}/cancel", encode(&execution)), None)?;
    session.show(cancelled, |found| table(session, found));
    Ok(true)
}

/// The guid of an execution that begins so, among the newest.
pub(super) fn whole_guid(session: &Session, wanted: &str) -> Result<String, Failure> {
    if is_guid(wanted) || !is_short_guid(wanted) {
        return Ok(wanted.to_owned());
    }
    let space = session.space().map(|space| format!("&space_guid={}", encode(space))).unwrap_or_default();
    let newest = session.resources(&format!("/executions?per_page={NEWEST}{space}"))?;
    let found: Vec<&str> =
        newest.iter().map(|it| field(it, "guid")).filter(|guid| guid.starts_with(wanted)).collect();
    match found.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(Failure::NotFound(format!(
            "none of the newest {NEWEST} executions begins with {wanted}; give its whole guid, as \
             `ocf-scheduler executions --wide` shows it"
        ))),
        several => Err(Failure::NotFound(format!(
            "{wanted:?} is ambiguous; use a whole guid:\n  {}",
            several.join("\n  ")
        ))),
    }
}

/// Lists what fires next, of all schedules together.
pub(in crate::cli) fn upcoming(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let mut filters = vec![format!("limit={}", limit(arguments, 1000)?)];
    filters.extend(session.space().map(|space| format!("space_guid={}", encode(space))));
    filters.extend(arguments.flag("until").map(|until| format!("until={}", encode(until))));
    let found = session.resources(&format!("/upcoming?{}", filters.join("&")))?;
    session.look_up_apps(&found);
    session.show_all(found, |found| fire_times(session, found), "no schedule fires in that time");
    Ok(true)
}

pub(super) fn limit(arguments: &Arguments, most: usize) -> Result<usize, Failure> {
    let text = arguments.flag("limit").unwrap_or(LIMIT);
    text.parse().ok().filter(|limit| (1..=most).contains(limit)).ok_or_else(|| {
        Failure::Usage(format!("--limit is {text:?}; it must be a whole number from 1 to {most}"))
    })
}

/// The instant that `--since` means: an age such as `12h`, or a time.
pub(super) fn since(text: &str) -> Result<Timestamp, Failure> {
    let before = |age| SystemClock::default().now().saturating_sub(age);
    age(text).map(before).or_else(|| Timestamp::parse(text)).ok_or_else(|| {
        Failure::Usage(format!(
            "--since is {text:?}; it must be a number with s, m, h or d, for example 12h, or an RFC 3339 time"
        ))
    })
}

/// Reads a span of time such as `90s`, `12h` or `7d`.
pub(super) fn age(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
    Some(Duration::from_secs(u64::from(number) * seconds))
}

fn table(session: &Session, executions: &[Value]) -> Table {
    let headings = ["STATE", "KIND", "NAME", "APP", "CREATED", "TOOK", "TRIGGER", "GUID", "MESSAGE"];
    let more = ["REASON", "ATTEMPTS", "REQUESTED BY", "SPACE GUID", "STARTED", "ENDED"];
    let mut table = Table::new(&headings).with_more(&more).with_place_in_csv("APP", "REQUESTED BY");
    for execution in executions {
        table.row(&[
            field(execution, "state"),
            field(execution, "kind"),
            field(execution, "name"),
            &session.app_title(field(execution, "app_guid")),
            &instant(execution, "created_at"),
            &duration(execution),
            field(execution, "trigger"),
            field(execution, "guid"),
            field(execution, "message"),
            field(execution, "reason"),
            &execution["attempts"].as_u64().map_or_else(String::new, |number| number.to_string()),
            field(execution, "requested_by"),
            field(execution, "space_guid"),
            &instant(execution, "execution_start_time"),
            &instant(execution, "execution_end_time"),
        ]);
    }
    table
}

fn fire_times(session: &Session, fire_times: &[Value]) -> Table {
    let mut table =
        Table::new(&["FIRES", LOCAL, "KIND", "NAME", "APP", "SCHEDULE"]).with_place_in_csv("APP", "SCHEDULE");
    for fire_time in fire_times {
        let local = field(fire_time, "local_time");
        let local = if local.ends_with('Z') { "" } else { local };
        let kind = if fire_time["job_guid"].is_string() { "job" } else { "call" };
        table.row(&[
            &instant(fire_time, "fire_time"),
            local,
            kind,
            field(fire_time, "name"),
            &session.app_title(field(fire_time, "app_guid")),
            field(fire_time, "schedule_guid"),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_with_a_unit() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("12h", 43_200), ("7d", 604_800)] {
            assert_eq!(age(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "h", "12", "-1h", "1.5h", "1w", "1h30m", "99999999999d", "1日"] {
            assert_eq!(age(wrong), None, "{wrong}");
        }
    }
}
