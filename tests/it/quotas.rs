//! How much a space may have, and the heartbeat.

use std::thread;

use serde_json::json;

use super::notifications::{Does, Receiver};
use super::world::{APP, OTHER_APP, SPACE, World, wait_for};

#[test]
fn two_creates_at_once_do_not_pass_a_quota() {
    let world = World::with(&[("QUOTA_JOBS", "5"), ("QUOTA_CALLS", "0"), ("QUOTA_SCHEDULES", "3")]);
    let create = |name: &str, app: &str| {
        world
            .post(&format!("/jobs?app_guid={app}"), &json!({ "name": name, "command": "c" }).to_string())
            .status
    };
    let statuses: Vec<u16> = thread::scope(|scope| {
        let create = &create;
        let threads: Vec<_> = (0..12)
            .map(|number| {
                let app = if number % 2 == 0 { APP } else { OTHER_APP };
                scope.spawn(move || create(&format!("j{number}"), app))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 5, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 201 | 422)), "{statuses:?}");
    let call = json!({ "name": "c", "url": "http://x/", "auth_header": "a" }).to_string();
    let accept = [("Accept", "application/problem+json")];
    let path = format!("/calls?app_guid={APP}");
    let refused = world.request("POST", &path, Some(&world.token), &accept, &call);
    assert_eq!((refused.status, &refused.json()["errors"][0]["rule"]), (422, &json!("quota_exceeded")));

    let jobs = world.get("/jobs").json();
    let schedules: Vec<String> = jobs["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| format!("/jobs/{}/schedules", job["guid"].as_str().unwrap()))
        .collect();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let world = &world;
        let threads: Vec<_> = schedules
            .iter()
            .chain(&schedules)
            .map(|path| scope.spawn(move || world.post(path, r#"{"expression":"@daily"}"#).status))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 3, "{statuses:?}");
    let space = world.get(&format!("/spaces/{SPACE}")).json();
    assert_eq!((&space["jobs"], &space["calls"], &space["schedules"]), (&json!(5), &json!(0), &json!(3)));
    assert_eq!(space["quota"], json!({ "jobs": 5, "calls": 0, "schedules": 3 }));
    // A job that moves to another app of the space is not counted twice; a deleted one makes room.
    let job = jobs["resources"][0]["guid"].as_str().unwrap();
    let other = if jobs["resources"][0]["app_guid"] == APP { OTHER_APP } else { APP };
    assert_eq!(world.patch(&format!("/jobs/{job}"), &json!({ "app_guid": other }).to_string()).status, 200);
    assert_eq!(create("more", APP), 422);
    assert_eq!(world.delete(&format!("/jobs/{job}")).status, 204);
    assert_eq!(create("more", APP), 201);
}

#[test]
fn the_heartbeat_comes_with_the_first_pass_and_only_while_all_is_well() {
    let receiver = Receiver::start();
    let url: &'static str = format!("{}/ping/{{instance}}?secret", receiver.url).leak();
    // It may reach addresses that calls may not.
    let settings = [("HEARTBEAT_URL", url), ("CALL_DENY_PRIVATE", "true"), ("CALL_ALLOW_LOOPBACK", "false")];
    let mut world = World::with(&settings);
    let beat = receiver.wait_for(1).remove(0);
    let number = beat.path.strip_prefix("/ping/").unwrap().strip_suffix("?secret").unwrap();
    assert!(number.parse::<u64>().is_ok(), "{}", beat.path);
    world.set(&[&settings[..], &[("CF_INSTANCE_INDEX", "7")]].concat());
    receiver.set(Does::Answer(500));
    world.restart();
    assert_eq!(receiver.wait_for(2)[1].path, "/ping/7?secret");
    let upstream = "ocf_scheduler_upstream_requests_total{outcome=\"5xx\",upstream=\"heartbeat\"} ";
    wait_for(|| {
        let metrics = super::world::request(&world.metrics_url(), "GET", "/metrics", None, &[], "").body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(upstream))?.to_owned();
        (line != "0").then_some(())
    });
}
