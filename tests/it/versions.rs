//! Versions of jobs, calls and schedules: concurrent changes, `ETag`, `If-Match`, `If-None-Match`.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};

use super::world::{APP, Answer, World, wait_for};

impl World {
    fn with_headers(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.request(method, path, Some(&self.token), headers, body)
    }

    fn etag(&self, path: &str) -> String {
        self.get(path).header("ETag").unwrap().to_owned()
    }
}

/// Sends two changes at the same time; both get a 200.
fn change_at_once(world: &World, path: &str, bodies: [&Value; 2]) {
    thread::scope(|scope| {
        for body in bodies {
            scope.spawn(move || assert_eq!(world.patch(path, &body.to_string()).status, 200));
        }
    });
}

#[test]
fn two_concurrent_changes_of_different_fields_are_both_kept() {
    let world = World::start();
    let job = format!("/jobs/{}", world.job("twice"));
    let call = format!("/calls/{}", world.call("twice", "u"));
    for round in 0..30 {
        change_at_once(
            &world,
            &job,
            [&json!({"command": format!("c{round}")}), &json!({"memory_in_mb": 1 + round})],
        );
        let shown = world.get(&job).json();
        assert_eq!(shown["command"], format!("c{round}"), "{shown}");
        assert_eq!(shown["memory_in_mb"], 1 + round, "{shown}");
        change_at_once(
            &world,
            &call,
            [&json!({"url": format!("u{round}")}), &json!({"auth_header": format!("a{round}")})],
        );
        let shown = world.get(&call).json();
        assert_eq!(
            (&shown["url"], &shown["auth_header"]),
            (&json!(format!("u{round}")), &json!(format!("a{round}")))
        );
    }
}

#[test]
fn a_schedule_disabled_during_a_change_of_its_expression_stays_disabled() {
    let world = World::start();
    let job = world.job("often");
    let schedule = world.post(&format!("/jobs/{job}/schedules"), r#"{"expression":"0 0 1 1 *"}"#).guid();
    let path = format!("/jobs/{job}/schedules/{schedule}");
    for round in 0..30 {
        assert_eq!(world.patch(&path, r#"{"enabled":true}"#).status, 200);
        let expression = format!("{round} 0 1 1 *");
        change_at_once(&world, &path, [&json!({"enabled": false}), &json!({"expression": expression})]);
        let shown = &world.get(&format!("/jobs/{job}/schedules")).json()["resources"][0];
        assert_eq!((&shown["enabled"], &shown["expression"]), (&json!(false), &json!(expression)));
    }
    // The next fire time is computed from the row.
    assert_eq!(world.patch(&path, r#"{"expression":"@every 1s"}"#).status, 200);
    thread::park_timeout(std::time::Duration::from_millis(2500));
    assert_eq!(world.get(&format!("/jobs/{job}/history")).json()["pagination"]["total_results"], 0);
}

#[test]
fn every_object_carries_an_etag_that_changes_with_it_and_with_nothing_else() {
    let world = World::start();
    let jobs = format!("/jobs?app_guid={APP}");
    let made = world.post(&jobs, r#"{"name":"n","command":"c"}"#);
    let path = format!("/jobs/{}", made.guid());
    let mut seen = BTreeSet::new();
    let first = made.header("ETag").unwrap().to_owned();
    assert!(first.len() > 2 && first.starts_with('"') && first.ends_with('"'), "strong: {first}");
    assert_eq!(world.etag(&path), first);
    assert_eq!(world.etag(&path), first);
    assert_eq!(world.with_headers("HEAD", &path, &[], "").header("ETag"), Some(first.as_str()));
    seen.insert(first);
    for command in ["d", "c", "d"] {
        let changed = world.patch(&path, &json!({"command": command}).to_string());
        let etag = changed.header("ETag").unwrap().to_owned();
        assert_eq!(world.etag(&path), etag);
        assert!(seen.insert(etag), "another version, though it may look like an older one");
    }
    // The state of a job is visible, so it is part of the version.
    let before = world.etag(&path);
    world.post(&format!("{path}/execute"), "");
    wait_for(|| {
        for task in world.cf.tasks() {
            world.cf.set_task_state(&task.guid, "FAILED", None);
        }
        (world.get(&path).json()["state"] != "PENDING").then_some(())
    });
    assert_ne!(world.etag(&path), before);

    let schedules = format!("{path}/schedules");
    let schedule = world.post(&schedules, r#"{"expression":"@daily"}"#);
    let etag = schedule.header("ETag").unwrap();
    let one = format!("{schedules}/{}", schedule.guid());
    assert_eq!(world.patch(&one, "{}").header("ETag"), Some(etag), "nothing was changed");
    assert_ne!(world.patch(&one, r#"{"enabled":false}"#).header("ETag"), Some(etag));
    let call = world.call("n", "u");
    assert!(world.get(&format!("/calls/{call}")).header("ETag").is_some());
}

#[test]
fn an_if_match_that_does_not_hold_is_a_412_and_changes_nothing() {
    let world = World::start();
    let job = world.job("guarded");
    let call = world.call("guarded", "u");
    let schedule = world.post(&format!("/jobs/{job}/schedules"), r#"{"expression":"@daily"}"#).guid();
    for (path, show, change) in [
        (format!("/jobs/{job}"), format!("/jobs/{job}"), r#"{"name":"changed"}"#),
        (format!("/calls/{call}"), format!("/calls/{call}"), r#"{"name":"changed"}"#),
        (
            format!("/jobs/{job}/schedules/{schedule}"),
            format!("/jobs/{job}/schedules"),
            r#"{"enabled":false}"#,
        ),
    ] {
        let etag = world.patch(&path, "{}").header("ETag").unwrap().to_owned();
        let before = world.get(&show).body;
        let weak = format!("W/{etag}");
        for stale in ["\"x\"", "\"x\", \"y\"", weak.as_str(), "x", ""] {
            for method in ["PATCH", "DELETE"] {
                let answer = world.with_headers(method, &path, &[("If-Match", stale)], change);
                assert_eq!((answer.status, answer.body.as_str()), (412, ""), "{method} {path} {stale}");
            }
        }
        for method in ["PATCH", "DELETE"] {
            for known in ["*", etag.as_str()] {
                let answer = world.with_headers(method, &path, &[("If-None-Match", known)], change);
                assert_eq!(answer.status, 412, "{method} {path}");
            }
        }
        assert_eq!(world.get(&show).body, before, "nothing was changed");
        let list = format!("\"x\", {etag} , \"y\"");
        let changed = world.with_headers("PATCH", &path, &[("If-Match", &list)], change);
        assert_eq!(changed.status, 200);
        assert_eq!(
            world.with_headers("PATCH", &path, &[("If-Match", &etag)], change).status,
            412,
            "only once"
        );
        assert_eq!(world.with_headers("DELETE", &path, &[("If-Match", &etag)], "").status, 412);
        assert_eq!(world.with_headers("PATCH", &path, &[("If-Match", "*")], change).status, 200);
    }
    let gone = format!("/jobs/{job}/schedules/{schedule}");
    assert_eq!(world.with_headers("DELETE", &gone, &[("If-Match", "*")], "").status, 204);
    assert_eq!(world.with_headers("DELETE", &gone, &[("If-Match", "*")], "").status, 404);
    let path = format!("/jobs/{job}");
    let etag = world.etag(&path);
    assert_eq!(world.with_headers("DELETE", &path, &[("If-Match", &etag)], "").status, 204);
}

#[test]
fn of_many_changes_to_the_same_version_exactly_one_succeeds() {
    let world = World::start();
    let job = world.job("contended");
    let schedule = world.post(&format!("/jobs/{job}/schedules"), r#"{"expression":"@daily"}"#).guid();
    for path in [format!("/jobs/{job}"), format!("/jobs/{job}/schedules/{schedule}")] {
        for round in 0..5 {
            let etag = world.patch(&path, "{}").header("ETag").unwrap().to_owned();
            let statuses: Vec<u16> = thread::scope(|scope| {
                let (world, path, etag) = (&world, &path, &etag);
                let change = |number: usize| {
                    let body = json!({"name": format!("{round}-{number}"), "expression": format!("{number} \
                     {round} * * *")});
                    world.with_headers("PATCH", path, &[("If-Match", etag)], &body.to_string()).status
                };
                let threads: Vec<_> = (0..6).map(|number| scope.spawn(move || change(number))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{path}: {statuses:?}");
            assert_eq!(statuses.iter().filter(|status| **status == 412).count(), 5, "{path}: {statuses:?}");
        }
    }
}

#[test]
fn an_if_none_match_that_holds_is_a_304_without_a_body() {
    let world = World::start();
    for path in [format!("/jobs/{}", world.job("kept")), format!("/calls/{}", world.call("kept", "u"))] {
        let etag = world.etag(&path);
        let weak = format!("W/{etag}");
        for known in [etag.as_str(), "*", weak.as_str(), &format!("\"x\",{etag}")] {
            for method in ["GET", "HEAD"] {
                let answer = world.with_headers(method, &path, &[("If-None-Match", known)], "");
                assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{known}");
                assert_eq!(answer.header("ETag"), Some(etag.as_str()));
            }
        }
        for unknown in ["\"x\"", "", "x"] {
            assert_eq!(world.with_headers("GET", &path, &[("If-None-Match", unknown)], "").status, 200);
        }
        assert_eq!(world.with_headers("GET", &path, &[("If-Match", "\"x\"")], "").status, 412);
        assert_eq!(world.with_headers("GET", &path, &[("If-Match", &etag)], "").status, 200);
    }
}

#[test]
fn a_list_with_schedules_contains_each_of_them_once_however_many_there_are() {
    let world = World::start();
    // Few, none, many, and many again, so that some are read together and some in parts.
    let counts = [1, 0, 3, 450, 0, 2, 201, 200, 0, 1];
    let jobs: Vec<String> = (0..counts.len()).map(|number| world.job(&format!("j{number}"))).collect();
    for (job, count) in jobs.iter().zip(counts) {
        thread::scope(|scope| {
            for part in 0..4 {
                let world = &world;
                scope.spawn(move || {
                    for number in (part..count).step_by(4) {
                        let body = json!({"expression": format!("{} {} * * *", number % 60, number / 60)});
                        assert_eq!(
                            world.post(&format!("/jobs/{job}/schedules"), &body.to_string()).status,
                            201
                        );
                    }
                });
            }
        });
    }
    let check = |query: &str, jobs: &[String]| {
        let list = world.get(&format!("/jobs?{query}detailed=true")).json();
        let shown = list["resources"].as_array().unwrap();
        assert_eq!(shown.len(), jobs.len());
        for (shown, job) in shown.iter().zip(jobs) {
            assert_eq!(shown["guid"], job.as_str());
            let own = world.get(&format!("/jobs/{job}/schedules")).json()["resources"].clone();
            match own.as_array().unwrap().is_empty() {
                true => assert!(shown.get("schedules").is_none(), "{shown}"),
                false => assert_eq!(shown["schedules"], own),
            }
        }
    };
    check("", &jobs);
    check("page=1&per_page=4&", &jobs[..4]);
    check("page=2&per_page=4&", &jobs[4..8]);
    check("page=3&per_page=4&", &jobs[8..]);
}
