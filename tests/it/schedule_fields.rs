//! The fields of a schedule besides its expression: zone, window, description.

use std::time::Duration;

use ocf_scheduler::base::clock::{Clock, SystemClock};
use ocf_scheduler::model::Timestamp;
use serde_json::{Value, json};

use super::world::{APP, World, wait_for};

fn schedules_of_a_new_job(world: &World) -> String {
    let job = world.post(&format!("/jobs?app_guid={APP}"), r#"{"name":"j","command":"true"}"#);
    format!("/jobs/{}/schedules", job.guid())
}

#[test]
fn missing_fields_have_defaults_and_null_restores_them() {
    let world = World::start();
    let path = schedules_of_a_new_job(&world);
    let plain = world.post(&path, r#"{"expression":"0 9 * * *"}"#).json();
    let defaults = [
        ("timezone", Value::Null),
        ("starts_at", Value::Null),
        ("ends_at", Value::Null),
        ("jitter_seconds", json!(0)),
        ("misfire_policy", Value::Null),
        ("description", Value::Null),
        ("key", Value::Null),
        ("completed_at", Value::Null),
    ];
    for (field, default) in &defaults {
        assert_eq!(plain[*field], *default, "{field}");
    }
    assert!(plain["next_fire_time"].as_str().unwrap().ends_with("T09:00:00Z"), "{plain}");

    let body = r#"{"expression":"0 9 * * *","timezone":"Europe/Berlin","starts_at":"2099-01-01T00:00:00+01:00",
        "ends_at":"2099-06-30T23:00:00Z","jitter_seconds":30,"misfire_policy":"all","description":"The report."}"#;
    let made = world.post(&path, body);
    assert_eq!(made.status, 201);
    let schedule = made.json();
    assert_eq!(schedule["starts_at"], "2098-12-31T23:00:00Z");
    assert_eq!(schedule["next_fire_time"], "2099-01-01T08:00:00Z");
    assert_eq!((&schedule["jitter_seconds"], &schedule["misfire_policy"]), (&json!(30), &json!("all")));
    assert_eq!(world.get(&path).json()["resources"], json!([plain, schedule]));

    let reset = r#"{"timezone":null,"starts_at":null,"ends_at":null,"jitter_seconds":null,"misfire_policy":null,
        "description":null,"expression":null,"enabled":null}"#;
    let changed = world.patch(&format!("{path}/{}", made.guid()), reset);
    assert_eq!(changed.status, 200);
    let changed = changed.json();
    for (field, default) in &defaults {
        assert_eq!(changed[*field], *default, "{field}");
    }
    assert_eq!(changed["next_fire_time"], plain["next_fire_time"]);
}

#[test]
fn invalid_fields_are_refused_and_change_nothing() {
    let world = World::start();
    let path = schedules_of_a_new_job(&world);
    let made = world.post(&path, r#"{"expression":"0 9 * * *","starts_at":"2098-01-01T00:00:00Z"}"#);
    let one = format!("{path}/{}", made.guid());
    for (fields, field) in [
        (r#""timezone":"Europe/Nowhere""#, "timezone"),
        (r#""timezone":"europe/berlin""#, "timezone"),
        (r#""timezone":7"#, "timezone"),
        (r#""expression":"TZ=Asia/Tokyo 0 9 * * *","timezone":"Europe/Berlin""#, "expression"),
        (r#""starts_at":"tomorrow""#, "starts_at"),
        (r#""ends_at":"2020-01-01T00:00:00Z""#, "ends_at"),
        (r#""starts_at":"2099-01-01T00:00:00Z","ends_at":"2098-01-01T00:00:00Z""#, "ends_at"),
        (r#""jitter_seconds":3601"#, "jitter_seconds"),
        (r#""jitter_seconds":1.5"#, "jitter_seconds"),
        (r#""misfire_policy":"never""#, "misfire_policy"),
        (&format!(r#""description":"{}""#, "x".repeat(1001)), "description"),
    ] {
        let create = match fields.contains("expression") {
            true => format!("{{{fields}}}"),
            false => format!(r#"{{"expression":"0 9 * * *",{fields}}}"#),
        };
        for answer in [world.post(&path, &create), world.patch(&one, &format!("{{{fields}}}"))] {
            assert_eq!(answer.status, 422, "{fields}");
        }
        let accept = [("Accept", "application/problem+json")];
        let problem = world.request("POST", &path, Some(&world.token), &accept, &create).json();
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    assert_eq!(world.get(&path).json()["resources"], json!([made.json()]));
}

#[test]
fn a_completed_schedule_says_since_when_until_it_has_a_future_again() {
    let world = World::start();
    let path = schedules_of_a_new_job(&world);
    let made = world.post(&path, r#"{"expression":"0 9 1 1 * 2020"}"#);
    assert!(made.json()["completed_at"].is_string(), "{}", made.json());
    assert_eq!(made.json()["next_fire_time"], Value::Null);
    let one = format!("{path}/{}", made.guid());
    let changed = world.patch(&one, r#"{"expression":"0 9 1 1 * 2099"}"#).json();
    assert_eq!(
        (&changed["completed_at"], &changed["next_fire_time"]),
        (&Value::Null, &json!("2099-01-01T09:00:00Z"))
    );
    let disabled = world.patch(&one, r#"{"enabled":false}"#).json();
    assert_eq!((&disabled["completed_at"], &disabled["next_fire_time"]), (&Value::Null, &Value::Null));
}

#[test]
fn schedules_without_a_zone_store_that_of_the_setting() {
    let world = World::with(&[("DEFAULT_TIMEZONE", "Europe/Berlin")]);
    let path = schedules_of_a_new_job(&world);
    for (body, zone) in [
        (r#"{"expression":"0 9 1 7 * 2099"}"#, json!("Europe/Berlin")),
        (r#"{"expression":"0 9 1 7 * 2099","timezone":"Asia/Tokyo"}"#, json!("Asia/Tokyo")),
        (r#"{"expression":"0 9 1 7 * 2099","timezone":null}"#, Value::Null),
        (r#"{"expression":"CRON_TZ=Asia/Tokyo 0 9 1 7 * 2099"}"#, Value::Null),
    ] {
        let made = world.post(&path, body);
        assert_eq!((made.status, &made.json()["timezone"]), (201, &zone), "{body}");
    }
    let zones = world.get("/scheduler-time-zones").json();
    let default: Vec<&Value> = zones["resources"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|zone| zone["IsServerTimeZone"] == "yes")
        .map(|zone| &zone["Name"])
        .collect();
    assert_eq!(default, ["Europe/Berlin"]);
    let checked = world.post("/schedules/validate", r#"{"expression":"0 9 1 7 * 2099"}"#).json();
    assert_eq!(checked["location"], "Europe/Berlin");
    assert_eq!(checked["next_runs"][0], "2099-07-01T07:00:00Z");
    let next = world.get("/cron/next?expression=0+9+1+7+*+2099&count=1").json();
    assert_eq!(next["local_times"], json!(["2099-07-01T09:00:00+02:00"]));
    // If `from` is given, its zone counts.
    let from = r#"{"expression":"0 9 1 7 * 2099","from":"2026-01-01T00:00:00Z"}"#;
    assert_eq!(world.post("/schedules/validate", from).json()["location"], "UTC");
}

#[test]
fn an_expression_that_fires_too_often_is_refused_on_create_and_update() {
    let world = World::with(&[("SCHEDULE_MIN_SECONDS", "300")]);
    let path = schedules_of_a_new_job(&world);
    let made = world.post(&path, r#"{"expression":"*/5 * * * *"}"#);
    assert_eq!(made.status, 201);
    let one = format!("{path}/{}", made.guid());
    let accept = [("Accept", "application/json")];
    for expression in ["@every 299s", "0,4 9 * * *", "* * * * *"] {
        let body = json!({ "expression": expression }).to_string();
        for (method, path) in [("POST", &path), ("PATCH", &one)] {
            let refused = world.request(method, path, Some(&world.token), &accept, &body);
            assert_eq!(refused.status, 422, "{expression}");
            assert_eq!(refused.json()["errors"][0]["code"], "under_min_interval", "{}", refused.json());
        }
        let checked = world.post("/schedules/validate", &body).json();
        assert_eq!(checked["valid"], false, "{checked}");
        assert_eq!(checked["errors"][0]["code"], "under_min_interval", "{checked}");
    }
    assert_eq!(world.patch(&one, r#"{"enabled":false}"#).status, 200);
}

/// An expression for this many seconds from now, and the time in RFC 3339.
fn at(seconds: i64) -> (String, String) {
    let time = Timestamp::from_seconds(SystemClock::default().now().seconds() + seconds).unwrap().to_string();
    (format!("@at {time}"), time)
}

#[test]
fn at_fires_once_and_a_minute_late_at_most() {
    let world = World::start();
    let job = format!("/jobs/{}", world.job("j"));
    let schedule = |body: &Value| world.post(&format!("{job}/schedules"), &body.to_string());
    let history = || world.get(&format!("{job}/history")).json()["resources"].as_array().unwrap().clone();
    let (expression, time) = at(2);
    let made = schedule(&json!({"expression": expression})).json();
    assert_eq!((&made["next_fire_time"], &made["completed_at"]), (&json!(time), &Value::Null));
    wait_for(|| (history().len() == 1).then_some(()));
    assert_eq!(history()[0]["scheduled_time"], time);
    let shown = wait_for(|| {
        let shown = world.get(&format!("{job}/schedules")).json()["resources"][0].clone();
        (shown["completed_at"] != Value::Null).then_some(shown)
    });
    assert_eq!(shown["next_fire_time"], Value::Null);
    // An update of something else does not make it fire again.
    let path = format!("{job}/schedules/{}", made["guid"].as_str().unwrap());
    let described = world.patch(&path, r#"{"description":"done"}"#).json();
    assert_eq!(
        (&described["next_fire_time"], &described["completed_at"]),
        (&Value::Null, &shown["completed_at"])
    );
    let (expression, time) = at(-40);
    assert_eq!(schedule(&json!({"expression": expression})).json()["next_fire_time"], time);
    wait_for(|| (history().len() == 2).then_some(()));
    for wrong in [at(-70).0, "@at tomorrow".to_owned(), "@at 2026-12-31".to_owned(), "@at".to_owned()] {
        assert_eq!(schedule(&json!({"expression": wrong})).status, 422, "{wrong}");
    }
    let local = json!({"expression": "@at 2099-07-01T12:00:00", "timezone": "Europe/Berlin"});
    assert_eq!(schedule(&local).json()["next_fire_time"], "2099-07-01T10:00:00Z");
    let blank = json!({"expression": "@at 2099-07-01 12:00"});
    assert_eq!(schedule(&blank).json()["next_fire_time"], "2099-07-01T12:00:00Z");
    let explained =
        world.get("/cron/next?expression=%40at%202099-07-01T12%3A00&timezone=Europe%2FBerlin").json();
    assert_eq!(explained["fire_times"], json!(["2099-07-01T10:00:00Z"]));
    assert!(explained.to_string().contains("once at 12:00 on 1 July 2099, Europe/Berlin"), "{explained}");
    assert_eq!(history().len(), 2);
}

#[test]
fn a_missed_at_runs_late_or_is_skipped_with_its_reason() {
    for (policy, state) in [("skip", "SKIPPED"), ("once", "RUNNING"), ("all", "RUNNING")] {
        let mut world = World::with(&[("MISFIRE_GRACE_SECONDS", "1")]);
        let job = format!("/jobs/{}", world.job("j"));
        let (expression, time) = at(2);
        let body = json!({"expression": expression, "misfire_policy": policy}).to_string();
        let schedule = world.post(&format!("{job}/schedules"), &body).guid();
        world.stop();
        while SystemClock::default().now() < Timestamp::parse(&time).unwrap().shifted(3_000_000_000) {
            let _ = crossbeam_channel::after(Duration::from_millis(50)).recv();
        }
        world.begin();
        let history = format!("{job}/schedules/{schedule}/history");
        let newest = wait_for(|| {
            let newest = world.get(&history).json()["resources"][0].clone();
            (newest["state"] == state).then_some(newest)
        });
        assert_eq!(newest["scheduled_time"], time);
        let reason = if policy == "skip" { json!("missed") } else { Value::Null };
        assert_eq!(newest["reason"], reason, "{newest}");
    }
}

#[test]
fn an_at_during_a_pause_is_skipped_with_its_reason() {
    let world = World::start();
    let paused = format!("/jobs/{}", world.job("paused"));
    world.patch(&paused, r#"{"paused":true}"#);
    let resumed = format!("/jobs/{}", world.job("resumed"));
    world.patch(&resumed, r#"{"paused":true}"#);
    for job in [&paused, &resumed] {
        world.post(&format!("{job}/schedules"), &json!({"expression": at(1).0}).to_string());
        let skipped = wait_for(|| {
            let newest = world.get(&format!("{job}/history")).json()["resources"][0].clone();
            (newest["state"] == "SKIPPED").then_some(newest)
        });
        assert_eq!(skipped["reason"], "paused", "{skipped}");
    }
    world.patch(&resumed, r#"{"paused":false}"#);
    assert_eq!(world.get(&format!("{resumed}/history")).json()["pagination"]["total_results"], 1);
}
