//! Spaces, and pausing them.

use serde_json::{Value, json};

use super::world::{APP, SPACE, World, wait_for};
use ocf_scheduler::model::Timestamp;

const FOREIGN: &str = "00000000-0000-4000-8000-00000000f0f0";

#[test]
fn a_space_shows_its_contents_and_foreign_spaces_are_not_found() {
    let world = World::start();
    let job = world.job("j");
    world.call("c", "test.url");
    world.post(&format!("/jobs/{job}/schedules"), r#"{"expression":"@daily"}"#);
    let space = world.get(&format!("/spaces/{SPACE}")).json();
    let expected = json!({
        "guid": SPACE, "paused": false, "paused_until": null, "paused_by": null, "paused_note": null,
        "jobs": 1, "calls": 1, "schedules": 1, "quota": {},
    });
    assert_eq!(space, expected);
    assert_eq!(world.get("/spaces").json()["resources"], json!([expected]));
    for (status, answer) in [
        (404, world.get(&format!("/spaces/{FOREIGN}"))),
        (404, world.patch(&format!("/spaces/{FOREIGN}"), r#"{"paused":true}"#)),
        (405, world.delete(&format!("/spaces/{SPACE}"))),
    ] {
        assert_eq!(answer.status, status);
    }
}

#[test]
fn a_pause_is_validated_stored_and_ended() {
    let world = World::start();
    let path = format!("/spaces/{SPACE}");
    for body in [
        r#"{"paused":"yes"}"#,
        r#"{"paused":true,"paused_until":"2020-01-01T00:00:00Z"}"#,
        r#"{"paused":true,"paused_until":"soon"}"#,
        r#"{"paused_until":"2098-01-01T00:00:00Z"}"#,
        r#"{"paused_note":"without a pause"}"#,
        &format!(r#"{{"paused":true,"paused_note":"{}"}}"#, "x".repeat(1001)),
    ] {
        assert_eq!(world.patch(&path, body).status, 422, "{body}");
    }
    assert_eq!(world.get(&path).json()["paused"], false);

    let job = world.job("j");
    let schedules = format!("/jobs/{job}/schedules");
    world.post(&schedules, r#"{"expression":"0 0 1 1 *"}"#);
    let next = || world.get(&schedules).json()["resources"][0]["next_fire_time"].clone();
    let planned = next();
    let pause =
        r#"{"paused":true,"paused_note":"database migration","paused_until":"2098-12-31T23:00:00+01:00"}"#;
    let paused = world.patch(&path, pause).json();
    assert_eq!((&paused["paused"], &paused["paused_note"]), (&json!(true), &json!("database migration")));
    assert_eq!(paused["paused_until"], "2098-12-31T22:00:00Z");
    assert_eq!(paused["paused_by"], "dev");
    assert_eq!(next(), "2099-01-01T00:00:00Z", "the first after the pause");
    // An interval goes on at the same distances.
    let every = world.post(&schedules, r#"{"expression":"@every 7h"}"#);
    let planned_of_every = {
        world.patch(&path, r#"{"paused":false}"#);
        let shown = world.get(&schedules).json()["resources"][1]["next_fire_time"].clone();
        world.patch(&path, pause);
        shown
    };
    let shown = world.get(&schedules).json()["resources"][1]["next_fire_time"].clone();
    let seconds = |it: &Value| Timestamp::parse(it.as_str().unwrap()).unwrap().seconds();
    let until = seconds(&paused["paused_until"]);
    assert!((until..until + 7 * 3600).contains(&seconds(&shown)), "{shown}");
    assert_eq!((seconds(&shown) - seconds(&planned_of_every)) % (7 * 3600), 0, "{shown}");
    let upcoming = world.get("/upcoming?until=2099-01-01T08:00:00Z").json();
    let mine = |it: &&Value| it["schedule_guid"] == every.guid();
    let first = upcoming["resources"].as_array().unwrap().iter().find(mine).unwrap();
    assert_eq!(first["fire_time"], shown);
    world.delete(&format!("{schedules}/{}", every.guid()));
    let endless = world.patch(&path, r#"{"paused_until":null}"#).json();
    assert_eq!((&endless["paused"], &endless["paused_until"]), (&json!(true), &Value::Null));
    assert_eq!(next(), Value::Null);
    let resumed = world.patch(&path, r#"{"paused":null}"#).json();
    assert_eq!((&resumed["paused"], &resumed["paused_note"]), (&json!(false), &Value::Null));
    assert_eq!(next(), planned);
}

#[test]
fn while_a_space_is_paused_nothing_in_it_fires_and_running_by_hand_works() {
    let world = World::start();
    let job = world.post(&format!("/jobs?app_guid={APP}"), r#"{"name":"j","command":"true"}"#).guid();
    let path = format!("/spaces/{SPACE}");
    world.post(&format!("/jobs/{job}/schedules"), r#"{"expression":"@every 1s"}"#);
    let planned = || {
        let history = world.get(&format!("/jobs/{job}/history")).json();
        let all = history["resources"].as_array().unwrap().clone();
        all.into_iter().filter(|it| !it["scheduled_time"].is_null()).count()
    };
    wait_for(|| (planned() > 0).then_some(()));
    assert_eq!(world.patch(&path, r#"{"paused":true}"#).status, 200);
    let before = planned();
    assert_eq!(world.post(&format!("/jobs/{job}/execute"), "").status, 201);
    let by_hand = || {
        let history = world.get(&format!("/jobs/{job}/history")).json();
        history["resources"].as_array().unwrap().iter().any(|it| it["scheduled_time"].is_null()).then_some(())
    };
    wait_for(by_hand);
    // Longer than two fire times.
    let _ = crossbeam_channel::after(std::time::Duration::from_millis(2500)).recv();
    assert_eq!(planned(), before);
    assert_eq!(world.patch(&path, r#"{"paused":false}"#).status, 200);
    wait_for(|| (planned() > before).then_some(()));
}
