//! `PUT`: jobs and calls by name, schedules by key.

use std::thread;
use std::time::Duration;

use ocf_scheduler::base::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use super::world::{APP, Answer, FOREIGN_APP, SPACE, World, wait_for};

fn put(world: &World, path: &str, body: &Value) -> Answer {
    world.request("PUT", path, Some(&world.token), &[], &body.to_string())
}

#[track_caller]
fn field_of(refused: &Answer) -> String {
    assert_eq!(refused.status, 422, "{}", refused.body);
    refused.json()["errors"][0]["field"].as_str().unwrap().to_owned()
}

/// The types of an object's audit events, oldest first.
fn events(world: &World, guid: &str) -> Vec<String> {
    let page = world.get(&format!("/audit_events?target_guids={guid}")).json();
    let types = page["resources"].as_array().unwrap().iter().rev();
    types.map(|event| event["type"].as_str().unwrap().replace("audit.scheduler.", "")).collect()
}

#[test]
fn a_put_creates_a_job_then_replaces_all_of_it_and_writes_nothing_without_a_difference() {
    let world = World::start();
    let path = format!("/jobs?app_guid={APP}&name=night%20ly");
    let first = json!({"command": "bin/report", "memory_in_mb": 64, "metadata": {"labels": {"team": "a"}}});
    let made = put(&world, &path, &first);
    assert_eq!((made.status, &made.json()["name"]), (201, &json!("night ly")), "{}", made.body);
    let again = put(&world, &path, &first);
    assert_eq!((again.status, again.json()), (200, made.json()));

    let replaced = put(&world, &path, &json!({"command": "bin/other", "name": "night ly"}));
    assert_eq!(replaced.status, 200, "{}", replaced.body);
    let now = replaced.json();
    assert_eq!((&now["guid"], &now["created_at"]), (&made.json()["guid"], &made.json()["created_at"]));
    assert_eq!((&now["command"], &now["memory_in_mb"]), (&json!("bin/other"), &json!(1024)));
    assert_eq!(now["metadata"]["labels"], json!({}));
    assert_eq!(world.get(&format!("/jobs/{}", made.guid())).json(), now);
    assert_eq!(events(&world, &made.guid()), ["job.create", "job.update"]);
    assert_eq!(world.get("/jobs").json()["pagination"]["total_results"], 1);
}

#[test]
fn a_replaced_call_loses_every_field_missing_in_the_body_even_its_secret() {
    let world = World::start();
    let path = format!("/calls?app_guid={APP}&name=ping");
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let whole =
        json!({"url": "http://x/", "auth_header": "Bearer a", "signing_secret": secret, "method": "GET"});
    let made = put(&world, &path, &whole);
    assert_eq!((made.status, &made.json()["signed"]), (201, &json!(true)), "{}", made.body);
    assert_eq!(put(&world, &path, &whole).json(), made.json());
    let less = put(&world, &path, &json!({"url": "http://x/", "auth_header": "Bearer a"})).json();
    assert_eq!((&less["signed"], &less["method"]), (&json!(false), &json!("POST")));
    assert_eq!(events(&world, &made.guid()), ["call.create", "call.update"]);
}

#[test]
fn the_state_the_history_and_the_schedules_of_a_replaced_job_stay() {
    let world = World::start();
    let path = format!("/jobs?app_guid={APP}&name=j");
    let job = put(&world, &path, &json!({"command": "true"})).guid();
    world.post(&format!("/jobs/{job}/schedules"), r#"{"expression":"@daily"}"#);
    let execution = world.post(&format!("/jobs/{job}/execute"), "").guid();
    let task = wait_for(|| world.cf.tasks().first().cloned());
    world.cf.set_task_state(&task.guid, "SUCCEEDED", None);
    wait_for(|| (world.get(&format!("/jobs/{job}")).json()["state"] == "SUCCEEDED").then_some(()));
    let replaced = put(&world, &path, &json!({"command": "false"})).json();
    assert_eq!((&replaced["state"], &replaced["guid"]), (&json!("SUCCEEDED"), &json!(job)));
    assert_eq!(world.get(&format!("/jobs/{job}/history")).json()["resources"][0]["guid"], json!(execution));
    assert_eq!(world.get(&format!("/jobs/{job}/schedules")).json()["pagination"]["total_results"], 1);
}

#[test]
fn a_put_is_refused_like_a_post_and_for_another_version() {
    let world = World::start();
    let refused = |path: &str, body: Value| {
        let headers = [("Accept", "application/problem+json")];
        world.request("PUT", path, Some(&world.token), &headers, &body.to_string())
    };
    let body = json!({"command": "true"});
    assert_eq!(field_of(&refused(&format!("/jobs?app_guid={APP}"), body.clone())), "name");
    assert_eq!(field_of(&refused(&format!("/jobs?app_guid={APP}&name=%20"), body.clone())), "name");
    let long = format!("/jobs?app_guid={APP}&name={}", "x".repeat(256));
    assert_eq!(field_of(&refused(&long, body.clone())), "name");
    assert_eq!(field_of(&refused("/jobs?name=x", body.clone())), "app_guid");
    let foreign = format!("/jobs?app_guid={FOREIGN_APP}&name=x");
    assert_eq!(field_of(&refused(&foreign, body.clone())), "app_guid");
    let path = format!("/jobs?app_guid={APP}&name=x");
    assert_eq!(field_of(&refused(&path, json!({"command": "true", "name": "y"}))), "name");
    assert_eq!(field_of(&refused(&path, json!({}))), "command");
    let with = |header: (&str, &str), body: &Value| {
        world.request("PUT", &path, Some(&world.token), &[header], &body.to_string()).status
    };
    assert_eq!(with(("If-Match", "*"), &body), 412);
    assert_eq!(with(("If-None-Match", "*"), &body), 201);
    assert_eq!(with(("If-None-Match", "*"), &body), 412);
    assert_eq!(with(("If-Match", "\"other\""), &body), 412);
    let etag = put(&world, &path, &body).header("ETag").unwrap().to_owned();
    assert_eq!(with(("If-Match", &etag), &json!({"command": "false"})), 200);
    assert_eq!(with(("If-Match", &etag), &body), 412);
}

#[test]
fn of_many_concurrent_puts_one_creates_and_the_rest_replace() {
    let world = World::start();
    let path = format!("/jobs?app_guid={APP}&name=j");
    let all = |path: &str, bodies: &[Value]| {
        let mut statuses: Vec<u16> = thread::scope(|scope| {
            let threads: Vec<_> =
                bodies.iter().map(|body| scope.spawn(|| put(&world, path, body).status)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        statuses.sort_unstable();
        statuses
    };
    let bodies: Vec<Value> = (0..8).map(|index| json!({"command": format!("true {index}")})).collect();
    assert_eq!(all(&path, &bodies), [200, 200, 200, 200, 200, 200, 200, 201]);
    let jobs = world.get("/jobs").json();
    assert_eq!(jobs["pagination"]["total_results"], 1);

    let job = jobs["resources"][0]["guid"].as_str().unwrap();
    let schedules = format!("/jobs/{job}/schedules");
    let bodies: Vec<Value> = (0..8).map(|hour| json!({"expression": format!("0 {hour} * * *")})).collect();
    assert_eq!(all(&format!("{schedules}?key=k"), &bodies), [200, 200, 200, 200, 200, 200, 200, 201]);
    assert_eq!(world.get(&schedules).json()["pagination"]["total_results"], 1);
}

#[test]
fn a_schedule_is_created_and_replaced_by_its_key() {
    let world = World::start();
    let job = world.job("j");
    let schedules = format!("/jobs/{job}/schedules");
    let path = format!("{schedules}?key=week-days.1");
    let first = json!({"expression": "0 9 * * 1-5", "timezone": "Europe/Berlin", "description": "Report."});
    let made = put(&world, &path, &first);
    assert_eq!((made.status, &made.json()["key"]), (201, &json!("week-days.1")), "{}", made.body);
    let again = put(&world, &path, &first);
    assert_eq!((again.status, again.json()), (200, made.json()));
    assert_eq!(again.header("ETag"), made.header("ETag"));
    let replaced =
        put(&world, &path, &json!({"expression": "0 9 * * *", "enabled": false, "key": "week-days.1"}));
    let now = replaced.json();
    assert_eq!((&now["guid"], &now["timezone"]), (&made.json()["guid"], &Value::Null));
    assert_eq!((&now["enabled"], &now["next_fire_time"]), (&json!(false), &Value::Null));
    assert_eq!(events(&world, &made.guid()), ["schedule.create", "schedule.update"]);

    // Another job has its own keys; the key of a deleted schedule is free.
    let other = format!("/jobs/{}/schedules?key=week-days.1", world.job("other"));
    assert_eq!(put(&world, &other, &first).status, 201);
    assert_eq!(world.delete(&format!("{schedules}/{}", made.guid())).status, 204);
    let again = put(&world, &path, &first);
    assert_eq!(again.status, 201);
    assert_ne!(again.guid(), made.guid());
}

#[test]
fn a_key_can_be_set_by_post_and_patch_too_and_is_unique() {
    let world = World::start();
    let schedules = format!("/jobs/{}/schedules", world.job("j"));
    let problem = [("Accept", "application/problem+json")];
    let send = |method: &str, path: &str, body: Value| {
        world.request(method, path, Some(&world.token), &problem, &body.to_string())
    };
    let first = send("POST", &schedules, json!({"expression": "@daily", "key": "a"}));
    assert_eq!(first.json()["key"], "a", "{}", first.body);
    assert_eq!(field_of(&send("POST", &schedules, json!({"expression": "@daily", "key": "a"}))), "key");
    let plain = send("POST", &schedules, json!({"expression": "@daily"})).guid();
    let path = format!("{schedules}/{plain}");
    assert_eq!(field_of(&send("PATCH", &path, json!({"key": "a"}))), "key");
    assert_eq!(send("PATCH", &path, json!({"key": "b"})).json()["key"], "b");
    assert_eq!(send("PATCH", &path, json!({"description": "x"})).json()["key"], "b");
    assert_eq!(send("PATCH", &path, json!({"key": null})).json()["key"], Value::Null);
    let long = "x".repeat(64);
    for wrong in ["", " ", "a b", "a/b", "ä", long.as_str()] {
        assert_eq!(field_of(&send("POST", &schedules, json!({"expression": "@daily", "key": wrong}))), "key");
    }
    for query in ["", "?key=", "?key=a%20b"] {
        let body = json!({"expression": "@daily"});
        assert_eq!(field_of(&send("PUT", &format!("{schedules}{query}"), body)), "key", "{query:?}");
    }
    let differs = send("PUT", &format!("{schedules}?key=a"), json!({"expression": "@daily", "key": "c"}));
    assert_eq!(field_of(&differs), "key");
}

#[test]
fn a_put_may_repeat_times_that_have_passed() {
    let world = World::start();
    let path = format!("/jobs/{}/schedules?key=once", world.job("j"));
    let soon = SystemClock::default().now().saturating_add(Duration::from_secs(1)).to_string();
    let body = json!({"expression": format!("@at {soon}"), "ends_at": soon});
    assert_eq!(put(&world, &path, &body).status, 201);
    let done = wait_for(|| {
        let again = put(&world, &path, &body);
        assert_eq!(again.status, 200, "{}", again.body);
        again.json()["completed_at"].is_string().then_some(again)
    });
    assert_eq!(done.json()["next_fire_time"], Value::Null);
    wait_for(|| (world.cf.tasks().len() == 1).then_some(()));
    // New values must follow the rules.
    let late = json!({"expression": "@at 2020-01-01T00:00:00Z"});
    assert_eq!(put(&world, &path, &late).status, 422);
}

#[test]
fn a_reader_cannot_put() {
    let world = World::with(&[("READ_ROLES", "space_auditor,space_supporter")]);
    let job = world.job("j");
    for (user, role) in [("auditor", "space_auditor"), ("supporter", "space_supporter")] {
        world.cf.add_role_of_type(user, SPACE, role);
        let token = world.cf.issue_cf_token(user);
        for path in [format!("/jobs?app_guid={APP}&name=j"), format!("/jobs/{job}/schedules?key=k")] {
            let body = r#"{"command":"true","expression":"@daily"}"#;
            assert_eq!(world.request("PUT", &path, Some(&token), &[], body).status, 403, "{role} {path}");
        }
    }
}

#[test]
fn a_dry_run_reports_what_would_be_done_and_does_nothing() {
    let world = World::start();
    let job = world.job("j");
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let call = json!({"url": "http://x/", "auth_header": "", "signing_secret": secret});
    let other = json!({"url": "http://x/", "auth_header": "",
        "signing_secret": "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"});
    let told = json!({"url": "http://x/hook", "headers": {"X-Key": "a"}});
    let told_otherwise = json!({"url": "http://x/hook", "headers": {"X-Key": "b"}});
    let schedule = json!({"expression": "0 9 * * *"});
    let later = json!({"expression": "0 10 * * *"});
    for (path, first, second) in [
        (format!("/calls?app_guid={APP}&name=c"), call, other),
        (format!("/notifications?space_guid={SPACE}&name=n"), told, told_otherwise),
        (format!("/jobs/{job}/schedules?key=k"), schedule, later),
    ] {
        let list = path.split('?').next().unwrap().to_owned();
        let count = || world.get(&list).json()["pagination"]["total_results"].clone();
        let ask = |dry: bool, body: &Value| {
            let answer = put(&world, &format!("{path}&dry_run={dry}"), body);
            let change = answer.header("X-Scheduler-Change").unwrap_or_default().to_owned();
            (answer.status, change)
        };
        let is = |status: u16, change: &str| (status, change.to_owned());
        assert_eq!(ask(true, &first), is(200, "created"), "{path}");
        assert_eq!(count(), 0);
        assert_eq!(ask(false, &first), is(201, "created"), "{path}");
        assert_eq!(ask(true, &first), is(200, "unchanged"), "{path}");
        assert_eq!(ask(true, &second), is(200, "replaced"), "{path}");
        assert_eq!(ask(true, &first), is(200, "unchanged"), "{path}");
        assert_eq!(ask(false, &second), is(200, "replaced"), "{path}");
        assert_eq!(ask(false, &second), is(200, "unchanged"), "{path}");
        assert_eq!(ask(true, &json!({})).0, 422, "{path}");
        assert_eq!(count(), 1);
    }
    let path = format!("/jobs?app_guid={APP}&name=j&dry_run=maybe");
    assert_eq!(put(&world, &path, &json!({"command": "true"})).status, 422);
}

#[test]
fn a_dry_run_says_that_a_quota_is_reached_but_existing_objects_can_be_replaced() {
    let quotas = [("QUOTA_JOBS", "1"), ("QUOTA_CALLS", "1"), ("QUOTA_SCHEDULES", "1")];
    let world = World::with(&quotas);
    let job = world.job("j");
    for number in 1..=50 {
        let body = json!({"name": format!("n{number}"), "url": "http://x/"}).to_string();
        assert_eq!(world.post(&format!("/notifications?space_guid={SPACE}"), &body).status, 201);
    }
    let call = json!({"url": "http://x/", "auth_header": ""});
    let schedule = json!({"expression": "0 9 * * *"});
    let calls = format!("/calls?app_guid={APP}&name=");
    let schedules = format!("/jobs/{job}/schedules?key=");
    assert_eq!(put(&world, &format!("{calls}c"), &call).status, 201);
    assert_eq!(put(&world, &format!("{schedules}k"), &schedule).status, 201);
    for (path, existing, body) in [
        (format!("/jobs?app_guid={APP}&name="), "j", json!({"command": "other"})),
        (calls, "c", call),
        (schedules, "k", schedule),
        (format!("/notifications?space_guid={SPACE}&name="), "n1", json!({"url": "http://x/"})),
    ] {
        for query in ["&dry_run=true", ""] {
            let (path, accept) = (format!("{path}another{query}"), [("Accept", "application/problem+json")]);
            let refused = world.request("PUT", &path, Some(&world.token), &accept, &body.to_string());
            assert_eq!(refused.status, 422, "{path}");
            assert_eq!(refused.json()["errors"][0]["rule"], "quota_exceeded", "{path}");
        }
        assert_eq!(put(&world, &format!("{path}{existing}&dry_run=true"), &body).status, 200, "{path}");
    }
}

#[test]
fn a_notification_is_created_and_replaced_by_its_name() {
    let world = World::start();
    let job = world.job("j");
    let path = format!("/notifications?space_guid={SPACE}&name=ops");
    let whole = json!({"url": "http://x/hook", "job_guids": [job], "after_failures": 3, "enabled": false});
    let made = put(&world, &path, &whole);
    assert_eq!((made.status, &made.json()["name"]), (201, &json!("ops")), "{}", made.body);
    assert_eq!(world.delete(&format!("/jobs/{job}")).status, 204);
    assert_eq!(put(&world, &path, &whole).json(), made.json());
    let now = put(&world, &path, &json!({"url": "http://x/hook"})).json();
    assert_eq!((&now["guid"], &now["job_guids"]), (&made.json()["guid"], &json!([])));
    assert_eq!((&now["after_failures"], &now["enabled"]), (&json!(1), &json!(true)));
    assert_eq!(events(&world, &made.guid()), ["notification.create", "notification.update"]);
}

#[test]
fn a_put_with_the_same_expression_keeps_its_dialect() {
    let world = World::start();
    let path = format!("/jobs/{}/schedules?key=k", world.job("j"));
    let dialect_after = |expression: &str| {
        let body = json!({"expression": expression, "description": "x"});
        put(&world, &path, &body).json()["dialect"].take()
    };
    assert_eq!(dialect_after("0 9 * * 5"), "classic");
    // As after a change of the setting.
    world.database().execute("UPDATE schedules SET dialect = 'ocf2', description = NULL");
    assert_eq!(dialect_after("0 9 * * 5"), "ocf2");
    assert_eq!(dialect_after("0 9 * * 6"), "classic");
}
