//! What plugin 2.x requests before it creates a schedule: `POST /schedules/validate` and `GET
//! /scheduler-time-zones`.

use serde_json::{Value, json};

use super::world::{Answer, FOREIGN_SPACE, World};

const CASES: &str = include_str!("../cron/ocf2_validate.jsonl");
const FROM: &str = "2026-03-01T00:00:00Z";

fn validate(world: &World, body: &Value) -> Answer {
    world.post("/schedules/validate", &body.to_string())
}

fn codes(findings: &Value) -> Vec<&str> {
    findings.as_array().unwrap().iter().map(|it| it["code"].as_str().unwrap()).collect()
}

/// Whether the findings of a case, and the details of each, appear in the answer.
fn alike(expected: &Value, answered: &Value) -> bool {
    let (expected, answered) = (expected.as_array().unwrap(), answered.as_array().unwrap());
    expected.len() == answered.len()
        && expected.iter().zip(answered).all(|(expected, answered)| {
            expected.as_object().unwrap().iter().all(|(name, value)| answered[name] == *value)
        })
}

#[test]
fn expressions_are_validated_as_by_ocf_scheduler_2() {
    let world = World::with(&[("CRON_DIALECT", "ocf2")]);
    world.job("j");
    let database = world.database();
    let mut failures = Vec::new();
    for line in CASES.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let (expression, note) = (case["expr"].as_str().unwrap(), case["note"].as_str().unwrap());
        // Cuba: the zone data of the vectors is older. There is no shortest interval here.
        let is_other = note.starts_with("horizon") || expression.contains("America/Havana");
        if is_other || codes(&case["errors"]) == ["under_min_interval"] {
            continue;
        }
        let mut body = json!({
            "expression": expression, "from": case["from"], "next": case["next"], "prev": case["prev"],
        });
        if let Some(guid) = case["guid"].as_str() {
            database.execute(&format!("UPDATE executables SET guid = '{guid}'"));
            body["ref_type"] = "job".into();
            body["ref_guid"] = guid.into();
        }
        let answer = validate(&world, &body);
        let shown = answer.json();
        let mut differing: Vec<&str> =
            ["valid", "location", "illustrative", "hashed_fields", "next_runs", "prev_runs"]
                .into_iter()
                .filter(|name| shown[*name] != case[*name])
                .collect();
        if codes(&case["errors"]) == ["never_fires"] {
            // Upstream looks back only five years.
            differing.retain(|name| *name != "prev_runs");
        }
        if !alike(&case["errors"], &shown["errors"]) || !alike(&case["warnings"], &shown["warnings"]) {
            differing.push("findings");
        }
        if answer.status != 200 || !differing.is_empty() {
            failures.push(format!("{differing:?}\n  {line}\n  {shown}"));
        }
    }
    assert!(failures.is_empty(), "{}\n{}", failures.len(), failures[..failures.len().min(5)].join("\n"));
}

#[test]
fn a_validation_reports_what_is_wrong_and_where() {
    let world = World::start();
    let answer = validate(&world, &json!({"expression": " 60 * * * * ", "from": FROM}));
    let shown = answer.json();
    assert_eq!((answer.status, &shown["valid"], &shown["dialect"]), (200, &json!(false), &json!("classic")));
    assert_eq!(shown["expression"], "60 * * * *");
    let description = "minute 60, hour *, day of month *, month *, day of week *";
    assert_eq!(shown["description"], description);
    let error = &shown["errors"][0];
    assert_eq!(
        (&error["code"], &error["field"], &error["value"], &error["valid_range"], &error["offset"]),
        (&json!("parse_error"), &json!("minute"), &json!("60"), &json!("0-59"), &json!(0))
    );
    assert!(shown.get("location").is_none() && shown.get("ref").is_none(), "{shown}");
}

#[test]
fn a_validation_accepts_zone_and_dialect_and_shows_times_in_the_offset_of_from() {
    let world = World::start();
    let body = json!({
        "expression": "0 9 * * *", "timezone": "Europe/Berlin", "from": "2026-03-01T00:00:00-05:00",
        "next": 1,
        "dialect": "ocf2",
    });
    let shown = validate(&world, &body).json();
    assert_eq!((&shown["location"], &shown["dialect"]), (&json!("Europe/Berlin"), &json!("ocf2")));
    assert_eq!(shown["next_runs"], json!(["2026-03-01T03:00:00-05:00"]));
    let six = validate(&world, &json!({"expression": "*/10 * * * * *", "from": FROM})).json();
    assert_eq!(codes(&six["warnings"]), ["six_fields"]);
}

#[test]
fn all_schedules_of_a_job_are_validated_each_in_its_dialect() {
    let mut world = World::start();
    let job = world.job("j");
    let schedules = format!("/jobs/{job}/schedules");
    let first = world.post(&schedules, r#"{"expression":"0 0 13 * FRI","enabled":false}"#).guid();
    world.stop();
    world.set(&[("CRON_DIALECT", "ocf2")]);
    world.begin();
    world.post(&schedules, r#"{"expression":"0 0 13 * FRI"}"#);
    let body = json!({"ref_type": "job", "ref_guid": job, "from": FROM, "next": 1});
    let shown = validate(&world, &body).json();
    assert_eq!(shown["pagination"]["total_results"], 2);
    assert_eq!(shown["ref"], json!({"type": "job", "guid": job, "name": "j"}));
    let [classic, ocf2] = &shown["resources"].as_array().unwrap()[..] else { panic!("{shown}") };
    assert_eq!((&classic["schedule_guid"], &classic["enabled"]), (&json!(first), &json!(false)));
    assert_eq!((&classic["dialect"], &ocf2["dialect"]), (&json!("classic"), &json!("ocf2")));
    assert_eq!(classic["next_runs"], json!(["2026-03-06T00:00:00Z"]));
    assert_eq!(ocf2["next_runs"], json!(["2026-03-13T00:00:00Z"]));
}

#[test]
fn a_ref_that_is_unknown_or_foreign_is_404_with_a_code_whatever_is_accepted() {
    let world = World::start();
    let foreign = world.job("j");
    world.database().execute(&format!("UPDATE executables SET space_guid = '{FOREIGN_SPACE}'"));
    for guid in [foreign.as_str(), "nope", " "] {
        for accept in [None, Some("application/json"), Some("text/plain"), Some("application/problem+json")] {
            let headers: Vec<(&str, &str)> = accept.map(|it| ("Accept", it)).into_iter().collect();
            let body = json!({"expression": "@daily", "ref_type": "job", "ref_guid": guid}).to_string();
            let answer = world.request("POST", "/schedules/validate", Some(&world.token), &headers, &body);
            assert_eq!(answer.status, 404, "{accept:?}");
            assert!(answer.body.contains("ref_not_found"), "{accept:?}: {}", answer.body);
        }
    }
}

#[test]
fn a_validation_that_asks_for_nothing_or_too_much_is_a_422() {
    let world = World::start();
    for body in [
        "",
        "[]",
        "{",
        "{}",
        r#"{"expression":""}"#,
        r#"{"expression":5}"#,
        r#"{"ref_type":"job"}"#,
        r#"{"expression":"@daily","ref_guid":"x"}"#,
        r#"{"ref_type":"app","ref_guid":"x"}"#,
        r#"{"expression":"@daily","next":101}"#,
        r#"{"expression":"@daily","prev":-1}"#,
        r#"{"expression":"@daily","from":"yesterday"}"#,
        r#"{"expression":"@daily","timezone":"Mars/Base"}"#,
        r#"{"expression":"@daily","dialect":"other"}"#,
    ] {
        assert_eq!(world.post("/schedules/validate", body).status, 422, "{body}");
    }
}

#[test]
fn a_new_schedule_has_warnings_only_if_there_are_some() {
    let world = World::start();
    let schedules = format!("/jobs/{}/schedules", world.job("j"));
    let plain = world.post(&schedules, r#"{"expression":"@daily"}"#).json();
    assert!(plain.get("warnings").is_none(), "{plain}");
    let odd = world.post(&schedules, r#"{"expression":"0 0 31 * *"}"#).json();
    assert_eq!(codes(&odd["warnings"]), ["dom_skips_months"]);
    let stored = world.get(&schedules).json()["resources"][1].clone();
    assert!(stored.get("warnings").is_none(), "{stored}");
}

#[test]
fn a_new_schedule_has_no_warnings_about_clock_changes_before_its_start_or_after_its_end() {
    let world = World::start();
    let schedules = format!("/jobs/{}/schedules", world.job("j"));
    let warnings = |starts_at: &str, ends_at: &str| {
        let expression = "TZ=America/New_York 30 2 * * *";
        let body = json!({"expression": expression, "starts_at": starts_at, "ends_at": ends_at});
        world.post(&schedules, &body.to_string()).json()["warnings"].take()
    };
    assert_eq!(warnings("2100-01-02T00:00:00Z", "2100-03-01T00:00:00Z"), Value::Null);
    assert_eq!(codes(&warnings("2100-01-02T00:00:00Z", "2100-05-01T00:00:00Z")), ["dst_skipped"]);
    assert_eq!(warnings("2100-04-02T00:00:00Z", "2100-11-01T00:00:00Z"), Value::Null);
}

#[test]
fn the_time_zones_are_listed_with_their_clock_changes() {
    let world = World::start();
    let answer = world.get("/scheduler-time-zones");
    let zones = answer.json();
    let (pagination, zones) = (&zones["pagination"], zones["resources"].as_array().unwrap());
    assert_eq!((answer.status, &pagination["total_pages"]), (200, &json!(1)));
    assert_eq!(pagination["total_results"], zones.len());
    let named = |name: &str| zones.iter().find(|zone| zone["Name"] == name).unwrap();
    let utc = json!({"Name": "UTC", "IsServerTimeZone": "yes", "HasDst": false, "Std": "UTC (UTC +00:00)"});
    assert_eq!(*named("UTC"), utc);
    let new_york = named("America/New_York");
    assert_eq!(new_york["HasDst"], true);
    assert_eq!(
        (&new_york["Std"], &new_york["Dst"]),
        (&json!("EST (UTC -05:00)"), &json!("EDT (UTC -04:00)"))
    );
    assert!(new_york["Aliases"].as_array().unwrap().contains(&json!("US/Eastern")), "{new_york}");
    assert!(new_york["Rules"].as_str().unwrap().contains("the clocks go forward by an hour on "));
    // Summer is in January there.
    assert_eq!(named("Australia/Sydney")["Std"], "AEST (UTC +10:00)");
    assert_eq!(zones.iter().filter(|zone| zone.get("IsServerTimeZone").is_some()).count(), 1);
    assert!(zones.is_sorted_by_key(|zone| zone["Name"].as_str().unwrap().to_owned()));
    // `cf scheduler-time-zones` of plugin 2.x fails if one of these is not a boolean.
    assert!(zones.iter().all(|zone| zone["HasDst"].is_boolean()));
}
