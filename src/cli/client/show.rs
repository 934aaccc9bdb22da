//! `show`: everything about one job or call, with its schedules and its last executions.

use serde_json::Value;

use super::failure::Failure;
use super::session::{Found, Session};
use super::{executions, schedules};
use crate::cli::arguments::Arguments;
use crate::cli::output::{field, instant, span_of_seconds};
use crate::model::Kind;

/// How many executions are shown.
const EXECUTIONS: usize = 5;

pub(in crate::cli) fn show(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let found = session.find(&[Kind::Job, Kind::Call], arguments.required(0), arguments.flag("app"))?;
    let schedules = session.resources(&format!("{}/schedules", found.path()))?;
    let mut history = session.resources(&format!("{}/history?page=1&per_page={EXECUTIONS}", found.path()))?;
    // Some services ignore the size of a page.
    history.truncate(EXECUTIONS);
    if !session.is_for_people() {
        let mut whole = found.resource;
        whole["schedules"] = schedules.into();
        whole["executions"] = history.into();
        session.show_object(&whole);
        return Ok(true);
    }
    session.look_up_apps(std::slice::from_ref(&found.resource));
    session.look_up_spaces(std::slice::from_ref(&found.resource), "space_guid");
    session.print_lines(&lines(session, &found));
    let rows: Vec<Value> = schedules.into_iter().map(|it| schedules::with_owner(it, &found)).collect();
    if rows.is_empty() {
        let command = format!("ocf-scheduler schedule-{} {}", found.kind.as_str(), found.name());
        session
            .print_lines(&[String::new(), format!("No schedules; to add one, run: {command} '0 2 * * *'")]);
    } else {
        session.print_lines(&[String::new(), "Schedules:".to_owned()]);
        session.show_all(rows.clone(), |rows| schedules::table(session, rows), "");
    }
    if history.is_empty() {
        session.print_lines(&[String::new(), "It has not run yet.".to_owned()]);
    } else {
        session.print_lines(&[String::new(), "Last executions, newest first:".to_owned()]);
        session.show_all(history, |history| executions::table(history, &rows), "");
    }
    Ok(true)
}

fn lines(session: &Session, found: &Found) -> Vec<String> {
    let it = &found.resource;
    let text = |name: &str| field(it, name).to_owned();
    let mut lines = vec![found.title()];
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {name:<20}{value}"));
        }
    };
    line("guid", text("guid"));
    line("app", session.app_title(&text("app_guid")));
    line("space", session.space_title(&text("space_guid")));
    match found.kind {
        Kind::Job => {
            line("command", text("command"));
            line("memory", format!("{} MB", it["memory_in_mb"]));
            line("disk", format!("{} MB", it["disk_in_mb"]));
            line(
                "log rate",
                match it["log_rate_in_bps"].as_i64() {
                    Some(-1) => "unlimited".to_owned(),
                    Some(0) | None => String::new(),
                    Some(rate) => format!("{rate} B/s"),
                },
            );
            line("state", text("state"));
        }
        Kind::Call => {
            line("request", format!("{} {}", text("method"), text("url")).trim().to_owned());
            line("success", text("success_statuses"));
            let is_given = |name: &str| !field(it, name).is_empty();
            line("auth header", if is_given("auth_header") { "set" } else { "none" }.to_owned());
            let names: Vec<&str> =
                it["headers"].as_object().into_iter().flatten().map(|(name, _)| &**name).collect();
            line("headers", names.join(", "));
            line(
                "body",
                match text("body").len() {
                    0 => String::new(),
                    bytes => format!("{bytes} bytes"),
                },
            );
            line("signed", if it["signed"] == true { "yes".to_owned() } else { String::new() });
        }
    }
    line("timeout", it["timeout_seconds"].as_u64().map_or_else(String::new, span_of_seconds));
    line("concurrency policy", text("concurrency_policy"));
    line("retries", retries(&it["retry"]));
    line("labels", pairs(&it["metadata"]["labels"]));
    line("annotations", pairs(&it["metadata"]["annotations"]));
    let expected = it["expect_success_within_seconds"].as_u64();
    line(
        "expect success",
        expected.map_or_else(String::new, |seconds| format!("within {}", span_of_seconds(seconds))),
    );
    line(
        "paused",
        if it["paused"] == true {
            format!("yes; to resume it, run: ocf-scheduler resume {}", found.name())
        } else {
            String::new()
        },
    );
    line("created", instant(it, "created_at"));
    line("updated", instant(it, "updated_at"));
    lines
}

fn retries(retry: &Value) -> String {
    let span = |name: &str| retry[name].as_u64().map_or_else(String::new, span_of_seconds);
    match retry["max_retries"].as_u64() {
        None => String::new(),
        Some(number) => {
            let until = span("max_age_seconds");
            let until = if until.is_empty() { until } else { format!(", for at most {until}") };
            format!(
                "{number}, after {} up to {}{until}",
                span("backoff_seconds"),
                span("max_backoff_seconds")
            )
        }
    }
}

fn pairs(strings: &Value) -> String {
    let pairs = strings.as_object().into_iter().flatten();
    let pairs: Vec<String> =
        pairs.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    pairs.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn retries_are_told_in_a_line() {
        assert_eq!(retries(&Value::Null), "");
        let retry = json!({"max_retries": 3, "backoff_seconds": 10, "max_backoff_seconds": 3600,
            "max_age_seconds": null});
        assert_eq!(retries(&retry), "3, after 10 s up to 1 h");
        let retry = json!({"max_retries": 1, "backoff_seconds": 90, "max_backoff_seconds": 7200,
            "max_age_seconds": 86400});
        assert_eq!(retries(&retry), "1, after 1 min 30 s up to 2 h, for at most 1 d");
    }
}
