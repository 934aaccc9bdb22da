//! Commands that look across jobs and calls: executions, cancel, upcoming.

use std::time::Duration;

use serde_json::Value;

use super::executions;
use super::failure::Failure;
use super::remote::encode;
use super::session::Session;
use crate::base::clock::{Clock, SystemClock};
use crate::cli::arguments::Arguments;
use crate::cli::output::{Table, duration, field, instant};
use crate::model::Timestamp;

/// How many rows are shown without `--limit`.
pub(in crate::cli) const LIMIT: &str = "20";
/// The service looks at 20,000 executions for each page, so this is the end of a search.
const PAGES_MAX: usize = 100;

/// Lists executions of all jobs and calls, newest first.
pub(in crate::cli) fn list(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let limit = limit(arguments, 500)?;
    let mut filters = vec![format!("per_page={limit}")];
    filters.extend(session.space().map(|space| format!("space_guid={}", encode(space))));
    filters.extend(arguments.flag("kind").map(|kind| format!("kinds={kind}")));
    filters.extend(executions::filters(arguments)?);
    let mut found: Vec<Value> = Vec::new();
    let mut query = filters.join("&");
    for _ in 0..PAGES_MAX {
        let page = session.remote.get(&format!("/executions?{query}"))?;
        found.extend(page["resources"].as_array().into_iter().flatten().cloned());
        // The address in the link may be one that only others can reach.
        match page["pagination"]["next"]["href"].as_str().and_then(|href| href.split_once('?')) {
            Some((_, next)) if found.len() < limit => query = next.to_owned(),
            _ => break,
        }
    }
    found.truncate(limit);
    session.show_all(found, table, "there are no such executions");
    Ok(true)
}

/// Cancels an execution.
pub(in crate::cli) fn cancel(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let execution = arguments.required(0);
    let cancelled = session.remote.post(&format!("/executions/{}/cancel", encode(execution)), None)?;
    session.show(cancelled, table);
    Ok(true)
}

/// Lists what fires next, of all schedules together.
pub(in crate::cli) fn upcoming(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let mut filters = vec![format!("limit={}", limit(arguments, 1000)?)];
    filters.extend(session.space().map(|space| format!("space_guid={}", encode(space))));
    filters.extend(arguments.flag("until").map(|until| format!("until={}", encode(until))));
    let found = session.resources(&format!("/upcoming?{}", filters.join("&")))?;
    session.show_all(found, fire_times, "nothing fires in that time");
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

fn table(executions: &[Value]) -> Table {
    let mut table = Table::new(&["STATE", "KIND", "NAME", "CREATED", "TOOK", "TRIGGER", "GUID", "MESSAGE"]);
    for execution in executions {
        table.row(&[
            field(execution, "state"),
            field(execution, "kind"),
            field(execution, "name"),
            &instant(execution, "created_at"),
            &duration(execution),
            field(execution, "trigger"),
            field(execution, "guid"),
            field(execution, "message"),
        ]);
    }
    table
}

fn fire_times(fire_times: &[Value]) -> Table {
    let mut table = Table::new(&["FIRES", "KIND", "NAME", "SCHEDULE"]);
    for fire_time in fire_times {
        let kind = if fire_time["job_guid"].is_string() { "job" } else { "call" };
        table.row(&[
            &instant(fire_time, "fire_time"),
            kind,
            field(fire_time, "name"),
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
