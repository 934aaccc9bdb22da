//! Filters, sorts and describes the entries of lists of jobs, calls and schedules.

use std::time::Duration;

use serde_json::{Value, json};

use super::failure::Failure;
use super::overview;
use super::session::{Found, Session};
use crate::base::clock::{Clock, SystemClock};
use crate::cli::arguments::Arguments;
use crate::cli::nearest::suggestion;
use crate::cli::output::field;
use crate::cron::{Dialect, Expression, HASH_KEY, Reading, Weekdays, Zone};
use crate::fire_times;
use crate::model::Timestamp;

/// Removes the entries that `--app`, `--state` and `--since` exclude.
///
/// `states` has all possible states. `--state` is compared with the result of `state_of`, and `--since` with
/// that of `time_of`; either result may be empty.
pub(super) fn retain(
    session: &Session,
    arguments: &Arguments,
    resources: &mut Vec<Value>,
    states: &[&str],
    state_of: impl Fn(&Value) -> String,
    time_of: impl Fn(&Value) -> Option<Timestamp>,
) -> Result<(), Failure> {
    if let Some(app) = arguments.flag("app") {
        let app = session.app(app)?;
        resources.retain(|it| field(it, "app_guid") == app);
    }
    if let Some(given) = arguments.flag("state") {
        let wanted: Vec<String> = given.split(',').map(|state| state.trim().to_lowercase()).collect();
        let is_unknown = |state: &&String| !states.iter().any(|known| known.eq_ignore_ascii_case(state));
        if let Some(unknown) = wanted.iter().find(is_unknown) {
            let meant = suggestion(&unknown.to_uppercase(), states.iter().copied());
            let all = states.join(", ");
            return Err(Failure::Usage(format!("--state has {unknown:?}{meant}; it takes some of {all}")));
        }
        resources.retain(|it| wanted.contains(&state_of(it).to_lowercase()));
    }
    if let Some(since) = arguments.flag("since") {
        let since = overview::since(since)?;
        resources.retain(|it| time_of(it).is_some_and(|time| since < time));
    }
    Ok(())
}

/// Sorts as `--sort` says: by name, app, state, next fire time (never comes last), last run or creation
/// (newest first).
pub(super) fn sort(session: &Session, arguments: &Arguments, resources: &mut [Value]) {
    let newest_first = |time: Option<Timestamp>| std::cmp::Reverse(time);
    match arguments.flag("sort") {
        Some("name") => resources.sort_by_key(|it| text(it, &["name", "of"])),
        Some("app") => resources.sort_by_key(|it| session.app_title(field(it, "app_guid"))),
        Some("state") => resources.sort_by_key(|it| state_of(it).to_owned()),
        Some("next") => {
            resources.sort_by_key(|it| {
                let time = time(it, "next_fire_time");
                (time.is_none(), time)
            });
        }
        Some("last") => resources.sort_by_key(|it| newest_first(last_time(it))),
        Some("created") => resources.sort_by_key(|it| newest_first(time(it, "created_at"))),
        _ => (),
    }
}

fn text(resource: &Value, names: &[&str]) -> String {
    names
        .iter()
        .map(|name| field(resource, name))
        .find(|text| !text.is_empty())
        .unwrap_or_default()
        .to_lowercase()
}

pub(super) fn time(resource: &Value, name: &str) -> Option<Timestamp> {
    Timestamp::parse(field(resource, name))
}

/// Adds the last run and the next fire time, which the response to a change lacks. If they cannot be read,
/// the table leaves them out.
pub(super) fn add_details(session: &Session, found: &Found, changed: &mut Value) {
    if let Ok(schedules) = session.resources(&format!("{}/schedules", found.path())) {
        let next = schedules.iter().filter_map(|it| time(it, "next_fire_time")).min();
        changed["next_fire_time"] = next.map_or(Value::Null, |next| next.to_string().into());
        changed["schedules"] = schedules.into();
    }
    if let Ok(history) = session.resources(&format!("{}/history?page=1&per_page=1", found.path())) {
        changed["last_execution"] = history.first().map_or(
            Value::Null,
            |last| json!({ "state": last["state"], "end_time": last["execution_end_time"] }),
        );
    }
}

/// When the last run ended; `None` while it is running, or if there is none.
pub(super) fn last_time(executable: &Value) -> Option<Timestamp> {
    time(&executable["last_execution"], "end_time")
}

/// The state of the last run; empty if there is none.
pub(super) fn state_of(executable: &Value) -> &str {
    match executable.get("last_execution") {
        Some(last) => field(last, "state"),
        // The response does not include the last run. A job that never ran is PENDING.
        None => Some(field(executable, "state")).filter(|state| *state != "PENDING").unwrap_or_default(),
    }
}

/// The last run for people: `never ran`, `running`, `failed 3 h ago`.
pub(super) fn last_run(executable: &Value) -> String {
    let ago = |state: &str| match last_time(executable) {
        Some(end) => format!("{state} {}", ago(SystemClock::default().now().since(end))),
        None => state.to_owned(),
    };
    match state_of(executable) {
        "" => "never ran".to_owned(),
        "PENDING" => "waiting".to_owned(),
        "RUNNING" => "running".to_owned(),
        "FAILED" => ago("failed"),
        "SUCCEEDED" => ago("succeeded"),
        other => ago(&other.to_lowercase()),
    }
}

/// How long ago something was, in the largest unit.
pub(super) fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// When a job, call or schedule fires next: a time, `paused`, `never` again, or `-`.
pub(super) fn next_fire(resource: &Value) -> String {
    let next = field(resource, "next_fire_time");
    match Timestamp::parse(next).and_then(|time| Timestamp::from_seconds(time.seconds())) {
        Some(time) => time.to_string(),
        None if resource["paused"] == true => "paused".to_owned(),
        None if !field(resource, "completed_at").is_empty() => "never".to_owned(),
        None => "-".to_owned(),
    }
}

/// The next fire time of a job, call or schedule in the time zone of its schedule; empty if that is UTC or
/// unknown.
pub(super) fn next_fire_local(resource: &Value) -> String {
    let Some(next) = time(resource, "next_fire_time") else { return String::new() };
    let fires_then = |schedule: &&Value| time(schedule, "next_fire_time") == Some(next);
    let own = resource["schedules"].as_array().and_then(|schedules| schedules.iter().find(fires_then));
    local(own.unwrap_or(resource), next)
}

/// Like [`next_fire_local`], for any fire time of a schedule.
pub(super) fn local(schedule: &Value, fire_time: Timestamp) -> String {
    let zone = match field(schedule, "timezone") {
        "" => None,
        name => Zone::named(name),
    };
    // The API does not show the numbering of weekdays, which makes no difference here.
    let dialect = Dialect::named(field(schedule, "dialect"), Weekdays::default()).unwrap_or_default();
    let reading = Reading { dialect, hash_key: HASH_KEY, timezone: zone.as_ref(), is_of_schedule: true };
    match Expression::parse(field(schedule, "expression"), &reading) {
        Ok(expression) if expression.offset_at(fire_time.seconds()) != 0 => {
            fire_times::local(&expression, fire_time)
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn ages_are_told_in_their_largest_unit() {
        let texts = [0, 59, 60, 3599, 3600, 172_799, 172_800, 864_000];
        let texts = texts.map(|seconds| ago(Duration::from_secs(seconds)));
        let expected =
            ["0 s ago", "59 s ago", "1 min ago", "59 min ago", "1 h ago", "47 h ago", "2 d ago", "10 d ago"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_fire_time_is_shown_in_the_zone_of_its_schedule() {
        let berlin = json!({"expression": "0 9 * * *", "timezone": "Europe/Berlin",
            "next_fire_time": "2026-07-01T07:00:00Z"});
        assert_eq!(next_fire_local(&berlin), "2026-07-01T09:00:00+02:00");
        let prefix = json!({"expression": "TZ=Asia/Kolkata H H * * *", "timezone": null, "dialect": "ocf2",
            "next_fire_time": "2026-07-01T07:00:00Z"});
        assert_eq!(next_fire_local(&prefix), "2026-07-01T12:30:00+05:30");
        let once = json!({"expression": "@at 2026-07-01T09:00:00", "timezone": "Europe/Berlin",
            "dialect": "ocf2", "next_fire_time": "2026-07-01T07:00:00Z"});
        assert_eq!(next_fire_local(&once), "2026-07-01T09:00:00+02:00");
        let utc = json!({"expression": "0 7 * * *", "next_fire_time": "2026-07-01T07:00:00Z"});
        let later =
            json!({"expression": "TZ=Asia/Tokyo 0 7 * * *", "next_fire_time": "2026-07-01T22:00:00Z"});
        let job = json!({"next_fire_time": "2026-07-01T07:00:00Z", "schedules": [later, berlin]});
        assert_eq!(next_fire_local(&job), "2026-07-01T09:00:00+02:00");
        let never = json!({"expression": "TZ=Asia/Tokyo 0 7 * * *", "next_fire_time": null});
        let unknown = json!({"expression": "0 7 * * *", "timezone": "Mars/Base",
            "next_fire_time": "2026-07-01T07:00:00Z"});
        for nothing in [utc, never, unknown, json!({})] {
            assert_eq!(next_fire_local(&nothing), "", "{nothing}");
        }
    }

    #[test]
    fn the_last_run_is_told_in_words() {
        assert_eq!(last_run(&json!({"last_execution": null, "state": "PENDING"})), "never ran");
        assert_eq!(last_run(&json!({"state": "PENDING"})), "never ran");
        assert_eq!(last_run(&json!({"state": "FAILED"})), "failed");
        assert_eq!(last_run(&json!({"last_execution": {"state": "RUNNING", "end_time": null}})), "running");
        let failed = json!({"last_execution": {"state": "FAILED", "end_time": "2020-01-01T00:00:00Z"}});
        assert!(last_run(&failed).starts_with("failed ") && last_run(&failed).ends_with(" d ago"));
    }
}
