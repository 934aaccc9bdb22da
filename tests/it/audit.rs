//! Audit events: who did what, with the change or not at all.

use serde_json::{Value, json};

use super::broker;
use super::world::{APP, FOREIGN_SPACE, SPACE, World, wait_for};

/// Matching events, oldest first.
fn events(world: &World, query: &str) -> Vec<Value> {
    let answer = world.get(&format!("/audit_events?{query}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let mut events = answer.json()["resources"].as_array().unwrap().clone();
    events.reverse();
    events
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap().strip_prefix("audit.scheduler.").unwrap())
        .collect()
}

#[test]
fn every_change_is_an_event_and_a_no_op_is_none() {
    let world = World::start();
    let job = format!("/jobs/{}", world.job("nightly"));
    let call = format!("/calls/{}", world.call("ping", "http://127.0.0.1:9/"));
    let refused = world.post(&format!("/jobs?app_guid={APP}"), r#"{"name":"nightly","command":"c"}"#);
    assert_eq!(refused.status, 422);
    assert_eq!(world.patch(&job, r#"{"command":"bin/other"}"#).status, 200);
    assert_eq!(
        world.patch(&call, r#"{"auth_header":"Bearer new-secret","headers":{"X-Key":"key-secret"}}"#).status,
        200
    );
    let secret = json!({ "signing_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }).to_string();
    assert_eq!(world.patch(&call, &secret).status, 200);
    let schedule = world.post(&format!("{job}/schedules"), r#"{"expression":"0 9 * * *"}"#).guid();
    let path = format!("{job}/schedules/{schedule}");
    assert_eq!(world.patch(&path, r#"{"expression":"0 10 * * *"}"#).status, 200);
    assert_eq!(world.patch(&path, r#"{"expression":"0 10 * * *"}"#).status, 200);
    assert_eq!(world.patch(&path, r#"{"enabled":false}"#).status, 200);
    let started = world.request(
        "POST",
        &format!("{job}/execute"),
        Some(&world.token),
        &[("X-Request-Id", "req-1")],
        "",
    );
    assert_eq!(started.status, 201);
    let execution = format!("/executions/{}", started.guid());
    wait_for(|| (world.get(&execution).json()["state"] == "RUNNING").then_some(()));
    assert_eq!(world.post(&format!("{execution}/cancel"), "").status, 202);
    world.post(&format!("{execution}/cancel"), "");
    assert_eq!(world.post(&format!("{call}/execute"), "").status, 201);
    let space = format!("/spaces/{SPACE}");
    assert_eq!(world.patch(&space, r#"{"paused":true,"paused_note":"migration"}"#).status, 200);
    assert_eq!(world.patch(&space, r#"{"paused":false}"#).status, 200);
    let made = json!({ "name": "ops", "url": "https://hooks.example.com/T0/path-secret" }).to_string();
    let notification = world.post(&format!("/notifications?space_guid={SPACE}"), &made).guid();
    let path_of = format!("/notifications/{notification}");
    let change =
        json!({ "url": "https://other.example.com/path-secret", "headers": { "X-Key": "key-secret" } });
    assert_eq!(world.patch(&path_of, &change.to_string()).status, 200);
    assert_eq!(world.delete(&path_of).status, 204);
    assert_eq!(world.delete(&path).status, 204);
    assert_eq!(world.delete(&job).status, 204);
    assert_eq!(world.delete(&call).status, 204);

    let all = events(&world, &format!("space_guid={SPACE}"));
    assert_eq!(
        kinds(&all),
        [
            "job.create",
            "call.create",
            "job.update",
            "call.update",
            "call.update",
            "schedule.create",
            "schedule.update",
            "schedule.update",
            "job.execute",
            "execution.cancel",
            "call.execute",
            "space.pause",
            "space.resume",
            "notification.create",
            "notification.update",
            "notification.delete",
            "schedule.delete",
            "job.delete",
            "call.delete",
        ]
    );
    let text = Value::from(all.clone()).to_string();
    assert!(!text.contains("-secret") && !text.contains("whsec_"), "{text}");
    assert_eq!(all[0]["actor"], json!({ "guid": "dev", "type": "user", "name": "dev@example.com" }));
    assert_eq!(
        all[0]["target"],
        json!({ "guid": job.strip_prefix("/jobs/").unwrap(), "type": "job", "name": "nightly" })
    );
    assert_eq!(all[0]["space"], json!({ "guid": SPACE }));
    assert_eq!(all[2]["data"], json!({ "changed": { "command": ["true", "bin/other"] } }));
    assert_eq!(all[3]["data"], json!({ "changed": { "auth_header": "[changed]", "headers": "[changed]" } }));
    assert_eq!(all[4]["data"]["changed"]["signing_secret"], "[changed]");
    assert_eq!(all[6]["data"], json!({ "changed": { "expression": ["0 9 * * *", "0 10 * * *"] } }));
    assert_eq!(all[6]["target"]["guid"], schedule.as_str());
    assert_eq!(all[7]["data"], json!({ "changed": { "enabled": [true, false] } }));
    assert_eq!(all[8]["request_id"], "req-1");
    assert_eq!(all[11]["data"]["changed"]["paused_note"], json!([null, "migration"]));
    assert_eq!(
        all[14]["data"]["changed"],
        json!({ "url": ["https://hooks.example.com", "https://other.example.com"], "headers": "[changed]" })
    );

    let of = |query: &str| events(&world, query).len();
    assert_eq!(of("types=audit.scheduler.job.create,audit.scheduler.call.create"), 2);
    assert_eq!(of(&format!("target_guids={schedule}")), 4);
    assert_eq!(of("actor_guids=dev"), all.len());
    assert_eq!(of("actor_guids=nobody"), 0);
    let fifth = all[4]["created_at"].as_str().unwrap();
    assert_eq!(of(&format!("created_ats[lt]={fifth}")), 4);
    assert_eq!(of(&format!("created_ats[gt]={fifth}")), all.len() - 5);
    // In pages, each event occurs once.
    let (mut seen, mut path) = (Vec::new(), "/audit_events?per_page=4".to_owned());
    loop {
        let page = world.get(&path).json();
        seen.extend(page["resources"].as_array().unwrap().clone());
        let Some(next) = page["pagination"]["next"]["href"].as_str() else { break };
        path = next.strip_prefix(&world.url()).unwrap().to_owned();
    }
    seen.reverse();
    assert_eq!(seen, all);
    for wrong in ["types=job.create", "space_guid=", "per_page=0", "created_ats[gt]=x", "colour=red"] {
        assert_eq!(world.get(&format!("/audit_events?{wrong}")).status, 422, "{wrong}");
    }
    let stranger = world.cf.issue_cf_token("stranger");
    let seen = world.request("GET", "/audit_events", Some(&stranger), &[], "");
    assert_eq!(seen.json()["resources"], json!([]));
    let other = world.request("GET", &format!("/audit_events?space_guid={SPACE}"), Some(&stranger), &[], "");
    assert_eq!(other.status, 401);
    assert_eq!(world.get(&format!("/audit_events?space_guid={FOREIGN_SPACE}")).status, 401);
}

#[test]
fn the_broker_is_audited_and_zero_days_write_nothing() {
    let mut world = World::with(broker::SETTINGS);
    broker::check(&world, 201, "PUT", broker::I1, &broker::instance_body().to_string());
    broker::check(&world, 200, "PUT", broker::I1, &broker::instance_body().to_string());
    broker::check(&world, 200, "DELETE", &broker::ids(broker::I1), "");
    let admin = world.cf.issue_user_token("root", &["cloud_controller.admin"]);
    let events = |world: &World| {
        let answer = world.request("GET", "/audit_events", Some(&admin), &[], "");
        answer.json()["resources"].as_array().unwrap().clone()
    };
    let all = events(&world);
    assert_eq!(kinds(&all), ["service_instance.delete", "service_instance.create"]);
    // The platform names the user.
    assert_eq!(all[0]["actor"]["type"], "user");
    world.set(&[broker::SETTINGS, &[("AUDIT_DAYS", "0")]].concat());
    world.restart();
    world.job("j");
    assert!(!kinds(&events(&world)).contains(&"job.create"));
}
