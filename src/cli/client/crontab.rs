//! `import-crontab`: turns the lines of a crontab into jobs with schedules.

use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::file;
use super::remote::encode;
use super::session::Session;
use crate::cli::arguments::Arguments;
use crate::cli::crontab::{self, Crontab, Entry};
use crate::cli::output::{Table, field};
use crate::model::Kind;

/// The largest crontab, in MiB.
const CRONTAB_MEBIBYTES_MAX: u64 = 1;

pub(in crate::cli) fn import(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let text = file::read(arguments.required(0), CRONTAB_MEBIBYTES_MAX).map_err(Failure::Usage)?;
    let is_user =
        |word: &str| word == "root" || nix::unistd::User::from_name(word).is_ok_and(|user| user.is_some());
    let Crontab { entries, mut notes } = crontab::parse(&text, is_user);
    let is_dry_run = arguments.has("dry-run");
    let app = match session.app_of(arguments)? {
        Some(app) => app,
        None if is_dry_run => String::new(),
        None => {
            return Err(Failure::Usage("import-crontab needs an app: set --app or SCHEDULER_APP".to_owned()));
        }
    };
    let there: Vec<Value> = session.list(Kind::Job, false)?;
    let (mut taken, mut refused) = (Vec::new(), 0_usize);
    // The zone in which the service reads lines without `CRON_TZ`.
    let mut zone_of_others = None;
    for entry in entries {
        let is_there = |job: &&Value| field(job, "name") == entry.name && field(job, "app_guid") == app;
        if let Some(job) = there.iter().find(is_there) {
            let same = if field(job, "command") == entry.command { "" } else { " with another command" };
            notes.push((entry.line, format!("the job {:?} already exists{same}", entry.name)));
            continue;
        }
        match take(session, &app, &entry, is_dry_run) {
            Ok((warnings, zone)) => {
                if entry.timezone.is_none() {
                    zone_of_others = zone_of_others.or(zone);
                }
                taken.push(shown(&entry));
                notes.extend(warnings.into_iter().map(|warning| (entry.line, warning)));
            }
            Err(Failure::Refused(reason)) => {
                refused += 1;
                let lines: Vec<&str> = reason.lines().map(str::trim).collect();
                notes.push((entry.line, lines.join("; ").replace("--timezone", "CRON_TZ")));
            }
            Err(failure) => return Err(failure),
        }
    }
    session.show_all(taken, table, "nothing to import");
    notes.sort();
    let mut report: Vec<String> = notes.iter().map(|(line, note)| format!("line {line}: {note}")).collect();
    report.extend(zone_of_others.map(|zone| {
        format!(
            "lines without CRON_TZ: their times are in {zone}; for another zone, put CRON_TZ=ZONE above them"
        )
    }));
    session.report(&report);
    match refused {
        0 => Ok(true),
        1 => Err(Failure::Refused("one line was refused".to_owned())),
        _ => Err(Failure::Refused(format!("{refused} lines were refused"))),
    }
}

/// Creates the job and its schedule, or only checks the expression. If the service refuses the schedule,
/// deletes the job again. Returns warnings, and the zone in which the service reads the expression; `None`
/// for an interval.
fn take(
    session: &Session,
    app: &str,
    entry: &Entry,
    is_dry_run: bool,
) -> Result<(Vec<String>, Option<String>), Failure> {
    let mut schedule = Map::new();
    schedule.insert("expression".to_owned(), entry.expression.as_str().into());
    if let Some(zone) = &entry.timezone {
        schedule.insert("timezone".to_owned(), zone.as_str().into());
    }
    if is_dry_run {
        let answer = session.remote.post("/schedules/validate", Some(&schedule.into()))?;
        return match answer["errors"].as_array().and_then(|errors| errors.first()) {
            Some(error) => Err(Failure::Refused(field(error, "message").to_owned())),
            None => {
                let zone = answer["location"].as_str().map(str::to_owned);
                let fires_never = answer["next_runs"].as_array().is_some_and(Vec::is_empty);
                Ok((warnings(&answer, entry, fires_never), zone))
            }
        };
    }
    if let Some(description) = &entry.description {
        let text: String = description.chars().take(1000).collect();
        schedule.insert("description".to_owned(), text.into());
    }
    let job = json!({ "name": entry.name, "command": entry.command });
    let job = session.remote.post(&format!("/jobs?app_guid={}", encode(app)), Some(&job))?;
    let path = format!("/jobs/{}", encode(field(&job, "guid")));
    let made = session.remote.post(&format!("{path}/schedules"), Some(&schedule.into()));
    if made.is_err() {
        session.remote.delete(&path)?;
    }
    made.map(|made| {
        let zone = made["timezone"].as_str().unwrap_or("UTC").to_owned();
        let fires_never = made["next_fire_time"].is_null() && !made["completed_at"].is_null();
        (warnings(&made, entry, fires_never), Some(zone).filter(|_| !entry.expression.starts_with("@every")))
    })
}

fn warnings(answer: &Value, entry: &Entry, fires_never: bool) -> Vec<String> {
    let warnings = answer["warnings"].as_array().into_iter().flatten();
    let mut warnings: Vec<String> = warnings.map(|it| field(it, "message").to_owned()).collect();
    if entry.needs_both_days && field(answer, "dialect") == "classic" {
        warnings.push("cron would run it only on days that match both.".to_owned());
    }
    if fires_never {
        warnings.push("it never fires".to_owned());
    }
    warnings
}

fn shown(entry: &Entry) -> Value {
    json!({
        "line": entry.line, "name": entry.name, "expression": entry.expression, "timezone": entry.timezone,
        "command": entry.command, "description": entry.description,
    })
}

fn table(entries: &[Value]) -> Table {
    let mut table = Table::new(&["LINE", "JOB", "EXPRESSION", "TIME ZONE", "COMMAND"]);
    for entry in entries {
        let line = entry["line"].to_string();
        let columns = ["name", "expression", "timezone", "command"].map(|name| field(entry, name));
        table.row(&[&line, columns[0], columns[1], columns[2], columns[3]]);
    }
    table
}
