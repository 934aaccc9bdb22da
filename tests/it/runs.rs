//! The optional fields of jobs and calls: defaults, rules, and how an update resets them.

use serde_json::{Map, Value, json};

use super::world::{APP, Answer, World};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn paths(world: &World) -> [(&'static str, String); 2] {
    [
        ("jobs", format!("/jobs/{}", world.job("j"))),
        ("calls", format!("/calls/{}", world.call("c", "http://x/"))),
    ]
}

/// The defaults that both have, or only calls.
fn defaults(kind: &str) -> Map<String, Value> {
    let mut fields = json!({
        "timeout_seconds": null, "concurrency_policy": "Always", "retry": null, "paused": false,
        "metadata": {"labels": {}, "annotations": {}}, "expect_success_within_seconds": null,
    });
    if kind == "calls" {
        fields.as_object_mut().unwrap().extend(
            json!({"method": "POST", "headers": {}, "body": null, "success_statuses": "200-299", "signed": false})
                .as_object()
                .unwrap()
                .clone(),
        );
    }
    fields.as_object().unwrap().clone()
}

fn set(kind: &str) -> Map<String, Value> {
    let mut fields = json!({
        "timeout_seconds": 1800, "concurrency_policy": "Queue", "paused": true,
        "retry": {"max_retries": 3, "backoff_seconds": 1, "max_backoff_seconds": 60, "max_age_seconds": 600},
        "metadata": {"labels": {"example.com/team": "billing"}, "annotations": {"contact": "ü@example.com"}},
        "expect_success_within_seconds": 60,
    });
    if kind == "calls" {
        fields.as_object_mut().unwrap().extend(
            json!({"method": "PUT", "headers": {"X-Api-Key": "s", "Content-Type": "text/plain"}, "body": "ü",
                   "success_statuses": "200, 300-399"})
            .as_object()
            .unwrap()
            .clone(),
        );
    }
    fields.as_object().unwrap().clone()
}

#[track_caller]
fn assert_shows(answer: &Answer, fields: &Map<String, Value>) {
    let shown = answer.json();
    for (field, value) in fields {
        assert_eq!(shown.get(field), Some(value), "{field}");
    }
}

#[test]
fn fields_have_defaults_keep_their_values_and_are_reset_by_null() {
    let mut world = World::start();
    for (kind, path) in paths(&world) {
        assert_shows(&world.get(&path), &defaults(kind));
        let mut given = set(kind);
        assert_shows(&world.patch(&path, &json!(given).to_string()), &given);
        assert_shows(&world.get(&path), &given);
        // An update of something else keeps them.
        assert_eq!(world.patch(&path, r#"{"name":"other"}"#).status, 200);
        assert_shows(&world.get(&path), &given);

        // The same if they are part of the creation.
        let needed = json!({"name": "made", "command": "c", "url": "u", "auth_header": "a"});
        given.extend(needed.as_object().unwrap().clone());
        let made = world.post(&format!("/{kind}?app_guid={APP}"), &json!(given).to_string());
        assert_eq!(made.status, 201, "{}", made.body);
        assert_shows(&made, &set(kind));
        assert_shows(&world.get(&format!("/{kind}/{}", made.guid())), &set(kind));
        let listed = world.get(&format!("/{kind}")).json();
        assert!(listed["resources"].as_array().unwrap().contains(&made.json()), "{listed}");

        let nulls: Map<String, Value> = set(kind).keys().map(|field| (field.clone(), Value::Null)).collect();
        assert_shows(&world.patch(&path, &json!(nulls).to_string()), &defaults(kind));
    }
    world.restart();
    let retry = json!({"max_retries": 20, "backoff_seconds": 10, "max_backoff_seconds": 3600, "max_age_seconds": null});
    for kind in ["jobs", "calls"] {
        let body = json!({"name": "d", "command": "c", "url": "u", "auth_header": "a", "retry": {"max_retries": 20}});
        let made = world.post(&format!("/{kind}?app_guid={APP}"), &body.to_string());
        assert_eq!(made.json()["retry"], retry);
        let changed = world.patch(&format!("/{kind}/{}", made.guid()), r#"{"retry":{"max_retries":1}}"#);
        assert_eq!(changed.json()["retry"]["max_retries"], 1, "an object replaces the one before");
    }
}

#[test]
fn metadata_is_merged_by_key_and_null_removes_one() {
    let world = World::start();
    for (_, path) in paths(&world) {
        let change = |metadata: Value| {
            let answer = world.patch(&path, &json!({"metadata": metadata}).to_string());
            assert_eq!(answer.status, 200, "{}", answer.body);
            answer.json()["metadata"].clone()
        };
        change(json!({"labels": {"a": "1", "b": ""}, "annotations": {"x": "any thing"}}));
        let metadata = change(json!({"labels": {"a": null, "c": "3", "unknown": null}}));
        assert_eq!(metadata, json!({"labels": {"b": "", "c": "3"}, "annotations": {"x": "any thing"}}));
        assert_eq!(change(json!({})), metadata);
        assert_eq!(change(Value::Null), json!({"labels": {}, "annotations": {}}));
        let most: Map<String, Value> = (0..50).map(|number| (format!("k{number}"), json!("v"))).collect();
        change(json!({"labels": most}));
        assert_eq!(world.patch(&path, r#"{"metadata":{"labels":{"more":"v"}}}"#).status, 422);
        assert_eq!(world.patch(&path, r#"{"metadata":{"labels":{"more":"v","k0":null}}}"#).status, 200);
    }
}

#[test]
fn a_value_that_breaks_a_rule_is_refused_with_what_would_be_right() {
    let world = World::start();
    let [(_, job), (_, call)] = paths(&world);
    let key = |key: &str| json!({"metadata": {"labels": {key: "v"}}});
    let header = |name: &str| json!({"headers": {name: "v"}});
    let many: Map<String, Value> = (0..33).map(|number| (format!("X-{number}"), json!(""))).collect();
    let of_both = [
        ("timeout_seconds", json!({"timeout_seconds": 0})),
        ("timeout_seconds", json!({"timeout_seconds": -1})),
        ("timeout_seconds", json!({"timeout_seconds": 1.5})),
        ("timeout_seconds", json!({"timeout_seconds": "60"})),
        ("timeout_seconds", json!({"timeout_seconds": 604_801})),
        ("concurrency_policy", json!({"concurrency_policy": "forbid"})),
        ("concurrency_policy", json!({"concurrency_policy": ""})),
        ("retry", json!({"retry": 3})),
        ("retry", json!({"retry": [3, 1, 1, 1]})),
        ("retry.max_retries", json!({"retry": {}})),
        ("retry.max_retries", json!({"retry": {"max_retries": null}})),
        ("retry.max_retries", json!({"retry": {"max_retries": 21}})),
        ("retry.backoff_seconds", json!({"retry": {"max_retries": 1, "backoff_seconds": 0}})),
        ("retry.backoff_seconds", json!({"retry": {"max_retries": 1, "backoff_seconds": 3601}})),
        ("retry.max_backoff_seconds", json!({"retry": {"max_retries": 1, "max_backoff_seconds": 86_401}})),
        ("retry.max_age_seconds", json!({"retry": {"max_retries": 1, "max_age_seconds": 604_801}})),
        ("paused", json!({"paused": "true"})),
        ("paused", json!({"paused": 1})),
        ("metadata", json!({"metadata": []})),
        ("metadata", json!({"metadata": {"labels": {"a": 1}}})),
        ("metadata.labels", key("")),
        ("metadata.labels", key("a b")),
        ("metadata.labels", key("-a")),
        ("metadata.labels", key(&"a".repeat(64))),
        ("metadata.labels", key("nodot/a")),
        ("metadata.labels", key("example.com/a/b")),
        ("metadata.labels", key("example..com/a")),
        ("metadata.labels", key("cloudfoundry.org/a")),
        ("metadata.labels", key(&format!("{}.com/a", "a.".repeat(130)))),
        ("metadata.labels", json!({"metadata": {"labels": {"a": "b c"}}})),
        ("metadata.labels", json!({"metadata": {"labels": {"a": "b".repeat(64)}}})),
        ("metadata.annotations", json!({"metadata": {"annotations": {"a": "b".repeat(5001)}}})),
        ("expect_success_within_seconds", json!({"expect_success_within_seconds": 59})),
        ("expect_success_within_seconds", json!({"expect_success_within_seconds": 31_536_001})),
    ];
    let of_calls = [
        ("timeout_seconds", json!({"timeout_seconds": 1801})),
        ("method", json!({"method": "get"})),
        ("method", json!({"method": "TRACE"})),
        ("headers", json!({"headers": "X: y"})),
        ("headers", json!({"headers": {"X": 1}})),
        ("headers", json!({"headers": {"X": null}})),
        ("headers", header("")),
        ("headers", header("X Y")),
        ("headers", header("X:")),
        ("headers", header("É")),
        ("headers", json!({"headers": {"X": "a\r\nY: b"}})),
        ("headers", json!({"headers": {"X": "v", "x": "v"}})),
        ("headers", json!({"headers": many})),
        ("headers", json!({"headers": {"X": "v".repeat(8 * 1024)}})),
        ("headers", header("Host")),
        ("headers", header("content-length")),
        ("headers", header("Transfer-Encoding")),
        ("headers", header("Connection")),
        ("headers", header("Keep-Alive")),
        ("headers", header("Upgrade")),
        ("headers", header("TE")),
        ("headers", header("Trailer")),
        ("headers", header("Expect")),
        ("headers", header("Proxy-Authorization")),
        ("headers", header("Authorization")),
        ("headers", header("Idempotency-Key")),
        ("headers", header("X-Scheduler-Attempt")),
        ("headers", header("Webhook-Id")),
        ("body", json!({"body": 1})),
        ("body", json!({"body": "a\u{0}b"})),
        ("body", json!({"body": "b".repeat(100 * 1024 + 1)})),
        ("body", json!({"body": "b", "method": "GET"})),
        ("body", json!({"body": "b", "method": "HEAD"})),
        ("success_statuses", json!({"success_statuses": 200})),
        ("success_statuses", json!({"success_statuses": "2xx"})),
        ("success_statuses", json!({"success_statuses": ""})),
        ("success_statuses", json!({"success_statuses": "299-200"})),
        ("signing_secret", json!({"signing_secret": ""})),
        ("signing_secret", json!({"signing_secret": "secret"})),
        ("signing_secret", json!({"signing_secret": "whsec_c2hvcnQ="})),
        ("auth_header", json!({"auth_header": " "})),
    ];
    let accept = [("Accept", "application/problem+json")];
    for (path, fields) in [(&job, &of_both[..]), (&call, &of_both[..]), (&call, &of_calls[..])] {
        let before = world.get(path).json();
        for (field, body) in fields {
            let answer = world.request("PATCH", path, Some(&world.token), &accept, &body.to_string());
            assert_eq!(answer.status, 422, "{body}");
            let errors = answer.json()["errors"].clone();
            assert_eq!(errors[0]["field"], *field, "{body}: {errors}");
            assert!(!errors[0]["expected"].as_str().unwrap().is_empty(), "{errors}");
        }
        assert_eq!(world.get(path).json(), before);
    }
    // Two with the same name, which a map would not show.
    assert_eq!(world.patch(&call, r#"{"headers":{"X":"1","X":"2"}}"#).status, 422);
    // An existing body cannot be sent with GET either.
    assert_eq!(world.patch(&call, r#"{"body":"b"}"#).status, 200);
    assert_eq!(world.patch(&call, r#"{"method":"GET"}"#).status, 422);
    assert_eq!(world.patch(&call, r#"{"method":"GET","body":null}"#).status, 200);
    // A job has none of the fields of calls, and ignores them.
    assert_eq!(world.patch(&job, r#"{"method":"nope","headers":1,"signing_secret":1}"#).status, 200);
}

#[test]
fn the_limits_themselves_are_allowed() {
    let world = World::start();
    let [(_, job), (_, call)] = paths(&world);
    for (path, body) in [
        (&job, json!({"timeout_seconds": 604_800, "expect_success_within_seconds": 31_536_000})),
        (&call, json!({"timeout_seconds": 1800})),
        (&call, json!({"body": "b".repeat(100 * 1024), "method": "DELETE"})),
        (&call, json!({"headers": {"X": "v".repeat(8 * 1024 - 1)}})),
        (&call, json!({"signing_secret": format!("whsec_{}==", "A".repeat(86))})),
        (
            &call,
            json!({"metadata": {"labels": {"a".repeat(63): "b".repeat(63)},
                                    "annotations": {"a-b.c/d": "b".repeat(5000)}}}),
        ),
        (
            &job,
            json!({"retry": {"max_retries": 20, "backoff_seconds": 3600, "max_backoff_seconds": 86_400,
                                "max_age_seconds": 604_800}}),
        ),
    ] {
        let answer = world.patch(path, &body.to_string());
        assert_eq!(answer.status, 200, "{:.300}", body.to_string());
    }
}

#[test]
fn a_signing_secret_is_never_shown_and_null_removes_it() {
    let world = World::start();
    let body = json!({"name": "c", "url": "u", "auth_header": "a", "signing_secret": SECRET}).to_string();
    let made = world.post(&format!("/calls?app_guid={APP}"), &body);
    let path = format!("/calls/{}", made.guid());
    for answer in [&made, &world.get(&path), &world.get("/calls?detailed=true"), &world.patch(&path, "{}")] {
        assert!(
            answer.body.contains(r#""signed":true"#) && !answer.body.contains("whsec_"),
            "{}",
            answer.body
        );
    }
    let changed = world.patch(&path, r#"{"signing_secret":null}"#);
    assert_eq!(changed.json()["signed"], false);
}

#[test]
fn an_auth_header_may_be_empty_but_not_missing_nor_blank() {
    let world = World::start();
    let make = |name: &str, header: &str| {
        world.post(&format!("/calls?app_guid={APP}"), &format!(r#"{{"name":"{name}","url":"u"{header}}}"#))
    };
    for (name, header) in [("null", r#","auth_header":null"#), ("empty", r#","auth_header":"""#)] {
        let made = make(name, header);
        assert_eq!((made.status, &made.json()["auth_header"]), (201, &json!("")), "{name}");
    }
    assert_eq!(make("missing", "").status, 422);
    assert_eq!(make("blank", r#","auth_header":"  ""#).status, 422);
    let path = format!("/calls/{}", world.call("c", "http://x/"));
    assert_eq!(world.patch(&path, r#"{"url":"http://y/"}"#).json()["auth_header"], "Bearer abc");
    assert_eq!(world.patch(&path, r#"{"auth_header":null}"#).json()["auth_header"], "");
}
