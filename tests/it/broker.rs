//! The service broker, code by code of the Open Service Broker API 2.17, with the requests that a Cloud
//! Controller sends.

use std::fs::File;
use std::process::Stdio;
use std::thread;

use base64::prelude::{BASE64_STANDARD, Engine};
use ocf_scheduler::model::Timestamp;
use serde_json::{Value, json};

use super::cf::fake_cf::FakeCf;
use super::database::Database;
use super::program::Program;
use super::world::{APP, Answer, FOREIGN_SPACE, SPACE, World, wait_for};

pub(crate) const SETTINGS: &[(&str, &str)] = &[("BROKER_USER", "cc"), ("BROKER_PASSWORD", "s3cret:ü")];
const SERVICE: &str = "65bf6d26-130b-4c2d-a0a1-e1ac36855051";
const PLAN: &str = "d2296d84-97bd-452f-afb9-8363d4e2ecf1";

fn basic(user_and_password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(user_and_password))
}

/// A request as a Cloud Controller sends it.
fn ask(world: &World, method: &str, path: &str, body: &str) -> Answer {
    let authorization = basic("cc:s3cret:ü");
    let headers = [
        ("Authorization", authorization.as_str()),
        ("X-Broker-API-Version", "2.17"),
        ("X-Broker-API-Request-Identity", "d9d9ffd8-b4cf-4fb6-86c1-12fd5bd36b2e"),
        // {"user_id":"683ea748"}
        ("X-Broker-API-Originating-Identity", "cloudfoundry eyJ1c2VyX2lkIjoiNjgzZWE3NDgifQ=="),
        ("Accept", "application/json"),
        ("Content-Type", "application/json"),
        ("X-Api-Info-Location", "api.example.com/"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "scheduler.example.com"),
    ];
    world.request(method, path, None, &headers, body)
}

pub(crate) fn instance_body() -> Value {
    json!({
        "service_id": SERVICE, "plan_id": PLAN, "organization_guid": "org-1", "space_guid": SPACE,
        "context": {"platform": "cloudfoundry", "organization_guid": "org-1", "space_guid": SPACE,
            "organization_name": "o", "space_name": "s", "instance_name": "my-scheduler"},
    })
}

fn binding_body() -> Value {
    json!({
        "service_id": SERVICE, "plan_id": PLAN, "app_guid": APP,
        "bind_resource": {"app_guid": APP, "space_guid": SPACE}, "context": {"platform": "cloudfoundry"},
    })
}

fn with(mut body: Value, field: &str, value: Value) -> String {
    body[field] = value;
    body.to_string()
}

fn without(mut body: Value, field: &str) -> String {
    body.as_object_mut().unwrap().remove(field);
    body.to_string()
}

#[track_caller]
pub(crate) fn check(world: &World, status: u16, method: &str, path: &str, body: &str) -> Value {
    let answer = ask(world, method, path, body);
    assert_eq!(answer.status, status, "{method} {path} {body:.300} {}", answer.body);
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(answer.header("X-Broker-API-Request-Identity"), Some("d9d9ffd8-b4cf-4fb6-86c1-12fd5bd36b2e"));
    assert!(answer.header("X-Request-Id").is_some());
    if method == "HEAD" {
        return Value::Null;
    }
    let json = answer.json();
    if 400 <= status {
        for field in ["error", "description"] {
            assert!(json[field].as_str().is_some_and(|text| !text.is_empty()), "{json}");
        }
    }
    json
}

pub(crate) const I1: &str = "/v2/service_instances/i1";
const B1: &str = "/v2/service_instances/i1/service_bindings/b1";

pub(crate) fn ids(path: &str) -> String {
    // Ruby's to_query puts them in this order.
    format!("{path}?accepts_incomplete=true&plan_id={PLAN}&service_id={SERVICE}")
}

#[test]
fn without_a_user_and_a_password_there_are_no_such_paths() {
    let world = World::start();
    for (method, path) in [("GET", "/v2/catalog"), ("POST", "/v2/catalog"), ("PUT", I1), ("GET", "/v2")] {
        let answer = ask(&world, method, path, "");
        assert_eq!(answer.status, world.request(method, "/v3/nothing", None, &[], "").status);
        assert_eq!((answer.status, answer.header("WWW-Authenticate")), (404, None));
        let accept = [("Accept", "application/problem+json")];
        let told = |path: &str| world.request(method, path, None, &accept, "").json();
        assert_eq!(told(path), told("/v3/nothing"), "{path}");
    }
}

#[test]
fn nobody_passes_basic_authentication_without_the_password_and_guessing_is_slowed() {
    let limited = [SETTINGS, &[("RATE_LIMIT_PER_SECOND", "1"), ("RATE_LIMIT_BURST", "20")]].concat();
    let world = World::with(&limited);
    let ask = |headers: &[(&str, &str)]| world.request("GET", "/v2/catalog", None, headers, "");
    let bearer = format!("bearer {}", world.token);
    let wrong =
        ["cc:s3cret", "cc:", "cc", "", "cd:s3cret:ü", ":s3cret:ü", "cc:s3cret:ü ", "CC:s3cret:ü"].map(basic);
    let refused =
        wrong.iter().map(String::as_str).chain([bearer.as_str(), "Basic", "Basic !", "Digest x", ""]);
    for authorization in refused {
        let answer = ask(&[("Authorization", authorization), ("X-Broker-API-Version", "2.17")]);
        assert_eq!(answer.status, 401, "{authorization}");
        assert_eq!(answer.json()["error"], "Unauthorized");
        assert!(answer.header("WWW-Authenticate").unwrap().starts_with("Basic"));
    }
    assert_eq!(ask(&[]).status, 401);
    assert_eq!(world.request("PUT", I1, None, &[], "{}").status, 401);
    // The broker's credentials are valid nowhere else.
    let right = basic("cc:s3cret:ü");
    assert_eq!(world.request("GET", "/jobs", None, &[("Authorization", &right)], "").status, 401);
    let statuses: Vec<u16> = (0..30).map(|_| ask(&[("Authorization", &wrong[0])]).status).collect();
    assert!(statuses.contains(&429) && !statuses.contains(&200), "{statuses:?}");
    let slowed = (0..30).map(|_| ask(&[("Authorization", &wrong[0])])).find(|answer| answer.status == 429);
    let slowed = slowed.unwrap();
    assert_eq!(slowed.json()["error"], "TooManyRequests");
    assert!(slowed.header("Retry-After").is_some());
    assert_eq!(ask(&[("Authorization", &right), ("X-Broker-API-Version", "2.17")]).status, 200);
}

#[test]
fn a_missing_or_unsupported_version_is_a_412() {
    let world = World::with(SETTINGS);
    let authorization = basic("cc:s3cret:ü");
    let status = |version: Option<&str>| {
        let mut headers = vec![("Authorization", authorization.as_str())];
        headers.extend(version.map(|version| ("X-Broker-API-Version", version)));
        let answer = world.request("GET", "/v2/catalog", None, &headers, "");
        if answer.status != 200 {
            assert!(answer.json()["description"].as_str().unwrap().contains("X-Broker-API-Version"));
        }
        answer.status
    };
    for version in ["2.0", "2.13", "2.17", "2.18"] {
        assert_eq!(status(Some(version)), 200, "{version}");
    }
    for version in ["", "2", "2.", "2.x", "1.17", "3.0", "02.17", "2.17.1", "-2.1", "2.1234567"] {
        assert_eq!(status(Some(version)), 412, "{version}");
    }
    assert_eq!(status(None), 412);
}

#[test]
fn the_catalog_has_one_service_with_ids_that_stay_and_all_of_it_is_configurable() {
    let world = World::with(&[SETTINGS, &[("DASHBOARD", "false")]].concat());
    let service = check(&world, 200, "GET", "/v2/catalog", "")["services"][0].clone();
    assert_eq!((&service["name"], &service["id"]), (&json!("scheduler-for-pcf"), &json!(SERVICE)));
    assert_eq!((&service["bindable"], &service["plan_updateable"]), (&json!(true), &json!(false)));
    assert_eq!(
        (&service["instances_retrievable"], &service["bindings_retrievable"]),
        (&json!(true), &json!(true))
    );
    assert!(service["metadata"]["imageUrl"].as_str().unwrap().starts_with("data:image/svg+xml;base64,"));
    assert!(service["metadata"].get("documentationUrl").is_none());
    let plan = &service["plans"][0];
    assert_eq!((&plan["name"], &plan["id"], &plan["free"]), (&json!("standard"), &json!(PLAN), &json!(true)));
    assert_eq!(check(&world, 201, "PUT", I1, &instance_body().to_string()), json!({}), "no dashboard");
    check(&world, 405, "POST", "/v2/catalog", "{}");
    assert_eq!(check(&world, 200, "HEAD", "/v2/catalog", ""), Value::Null);
    for path in ["/v2", "/v2/", "/v2/catalogue", "/v2/service_instances", "/v2/service_instances/i/x"] {
        assert_eq!(ask(&world, "GET", path, "").status, 404, "{path}");
    }

    let given = [
        ("BROKER_SERVICE_NAME", "cron"),
        ("BROKER_SERVICE_ID", "s-1"),
        ("BROKER_DESCRIPTION", "Ticks"),
        ("BROKER_PLAN_NAME", "free"),
        ("BROKER_PLAN_ID", "p-1"),
        ("BROKER_PLAN_DESCRIPTION", "All of it"),
        ("BROKER_DOCUMENTATION_URL", "https://docs.example.com"),
        ("BROKER_DASHBOARD_URL", "https://d.example.com/{space_guid}?i={instance_id}"),
        ("BROKER_ICON_URL", "https://docs.example.com/i.png"),
    ];
    let world = World::with(&[SETTINGS, &given].concat());
    let service = check(&world, 200, "GET", "/v2/catalog", "")["services"][0].clone();
    assert_eq!(
        (&service["name"], &service["id"], &service["description"]),
        (&json!("cron"), &json!("s-1"), &json!("Ticks"))
    );
    let plan = &service["plans"][0];
    assert_eq!(
        (&plan["name"], &plan["id"], &plan["description"]),
        (&json!("free"), &json!("p-1"), &json!("All of it"))
    );
    assert_eq!(service["metadata"]["documentationUrl"], "https://docs.example.com");
    assert_eq!(service["metadata"]["imageUrl"], "https://docs.example.com/i.png");
    check(&world, 400, "PUT", I1, &instance_body().to_string());
    let body = json!({"service_id": "s-1", "plan_id": "p-1", "organization_guid": "o", "space_guid": "s/1"});
    let made = check(&world, 201, "PUT", "/v2/service_instances/i%2B1", &body.to_string());
    assert_eq!(made["dashboard_url"], "https://d.example.com/s%2F1?i=i%2B1");
}

#[test]
fn an_instance_has_the_page_of_its_space_as_dashboard_unless_there_are_no_pages() {
    let made = |settings: &[(&'static str, &'static str)]| {
        let world = World::with(&[SETTINGS, settings].concat());
        check(&world, 201, "PUT", I1, &instance_body().to_string())["dashboard_url"].clone()
    };
    let page = "https://scheduler.example.com/dashboard/?space_guid=space-1";
    assert_eq!(made(&[("API_ENDPOINT", "https://scheduler.example.com")]), page);
    assert_eq!(made(&[("DASHBOARD", "false")]), Value::Null);
}

#[test]
fn an_instance_goes_through_its_life_with_the_codes_of_the_specification() {
    let world = World::with(&[SETTINGS, &[("DASHBOARD", "false")]].concat());
    let operation = format!("{I1}/last_operation");
    let body = with(instance_body(), "parameters", json!({"b": [1, {"y": 1, "x": 2}], "a": "ü\u{0}"}));
    // Before it exists.
    check(&world, 404, "GET", I1, "");
    check(&world, 404, "GET", &operation, "");
    check(&world, 404, "PATCH", I1, &json!({"service_id": SERVICE}).to_string());
    check(&world, 410, "DELETE", &ids(I1), "");
    // Created once.
    check(&world, 201, "PUT", &format!("{I1}?accepts_incomplete=true"), &body);
    check(&world, 200, "PUT", I1, &body);
    let same = body.replace(r#"{"x":2,"y":1}"#, r#"{"y":1, "x":2}"#);
    assert_ne!(same, body);
    check(&world, 200, "PUT", I1, &same);
    // The name is not an attribute of the instance.
    let renamed = body.replace("my-scheduler", "our-scheduler");
    check(&world, 200, "PUT", I1, &renamed);
    for (field, value) in [
        ("organization_guid", json!("org-2")),
        ("space_guid", json!("space-2")),
        ("parameters", json!({"a": "other"})),
        ("parameters", json!({})),
    ] {
        check(&world, 409, "PUT", I1, &with(serde_json::from_str(&body).unwrap(), field, value));
    }
    // Read.
    let seen = check(&world, 200, "GET", I1, "");
    assert_eq!((&seen["service_id"], &seen["plan_id"]), (&json!(SERVICE), &json!(PLAN)));
    assert_eq!(seen["parameters"], json!({"a": "ü\u{0}", "b": [1, {"x": 2, "y": 1}]}));
    check(&world, 200, "GET", &format!("{I1}?service_id={SERVICE}&plan_id={PLAN}"), "");
    check(&world, 400, "GET", &format!("{I1}?service_id=other"), "");
    assert_eq!(check(&world, 200, "GET", &operation, ""), json!({"state": "succeeded"}));
    check(&world, 200, "GET", &format!("{operation}?operation=x&plan_id={PLAN}&service_id={SERVICE}"), "");
    // Updated.
    let update = json!({"service_id": SERVICE, "plan_id": PLAN, "context": {"instance_name": "n"},
        "previous_values": {"plan_id": PLAN, "service_id": SERVICE, "organization_id": "o", "space_id": "s"}});
    assert_eq!(
        check(&world, 200, "PATCH", &format!("{I1}?accepts_incomplete=true"), &update.to_string()),
        json!({})
    );
    assert_eq!(check(&world, 200, "GET", I1, "")["parameters"], seen["parameters"], "they were not named");
    check(&world, 200, "PATCH", I1, &json!({"service_id": SERVICE, "parameters": {"c": 3}}).to_string());
    assert_eq!(check(&world, 200, "GET", I1, "")["parameters"], json!({"c": 3}));
    for (status, wrong) in [
        (400, without(update.clone(), "service_id")),
        (400, with(update.clone(), "service_id", json!("other"))),
        (400, with(update.clone(), "plan_id", json!("other"))),
        (400, with(update.clone(), "parameters", json!([]))),
        (400, with(update.clone(), "context", json!("x"))),
        (400, with(update.clone(), "previous_values", json!(3))),
        (422, with(update.clone(), "maintenance_info", json!({"version": "1.0.0"}))),
        (400, "nonsense".to_owned()),
    ] {
        check(&world, status, "PATCH", I1, &wrong);
    }
    assert_eq!(check(&world, 200, "GET", I1, "")["parameters"], json!({"c": 3}), "refused, so not changed");
    // Deleted once.
    for query in [
        "",
        "?service_id=&plan_id=",
        &format!("?service_id={SERVICE}"),
        &format!("?plan_id={PLAN}"),
        &format!("?service_id=other&plan_id={PLAN}"),
        &format!("?service_id={SERVICE}&plan_id=other"),
        "?%zz",
    ] {
        check(&world, 400, "DELETE", &format!("{I1}{query}"), "");
    }
    assert_eq!(check(&world, 200, "DELETE", &ids(I1), ""), json!({}));
    check(&world, 410, "DELETE", &ids(I1), "");
    check(&world, 404, "GET", I1, "");
    check(&world, 201, "PUT", I1, &body);
}

#[test]
fn invalid_requests_of_a_platform_are_400_and_create_nothing() {
    let world = World::with(SETTINGS);
    let good = instance_body();
    let long = "x".repeat(256);
    let deep = format!("{{\"service_id\":{}", "[".repeat(100_000));
    let huge = json!({"x": "y".repeat(64 * 1024)});
    let mut wrong =
        vec![String::new(), "null".to_owned(), "[]".to_owned(), "{".to_owned(), "{}".to_owned(), deep];
    for field in ["service_id", "plan_id", "organization_guid", "space_guid"] {
        wrong.push(without(good.clone(), field));
        for value in [
            json!(null),
            json!(""),
            json!(" "),
            json!(3),
            json!(["x"]),
            json!(long),
            json!("a\u{0}b"),
            json!("ü"),
        ] {
            wrong.push(with(good.clone(), field, value));
        }
    }
    for field in ["parameters", "context"] {
        for value in [json!([]), json!("x"), json!(3), json!(true), huge.clone()] {
            wrong.push(with(good.clone(), field, value));
        }
    }
    wrong.push(with(good.clone(), "service_id", json!("unknown")));
    wrong.push(with(good.clone(), "plan_id", json!("unknown")));
    wrong.push(with(good.clone(), "maintenance_info", json!("1.0.0")));
    for body in wrong {
        check(&world, 400, "PUT", I1, &body);
    }
    let conflict = with(good.clone(), "maintenance_info", json!({"version": "1.0.0"}));
    assert_eq!(check(&world, 422, "PUT", I1, &conflict)["error"], "MaintenanceInfoConflict");
    check(&world, 404, "GET", I1, "");
    for id in [long.as_str(), "a%00b", "%20", "a%20b", "%C3%BC"] {
        check(&world, 404, "PUT", &format!("/v2/service_instances/{id}"), &good.to_string());
    }
    // Unknown fields are ignored, and null means missing.
    let extended = with(good.clone(), "x-vendor", json!({"y": [1]}));
    check(&world, 201, "PUT", I1, &with(serde_json::from_str(&extended).unwrap(), "parameters", json!(null)));
    let odd = "/v2/service_instances/%7E!~";
    check(&world, 201, "PUT", odd, &good.to_string());
}

#[test]
fn bindings_and_service_keys_contain_the_endpoint_and_go_through_their_life() {
    let world = World::with(SETTINGS);
    let (body, operation) = (binding_body(), format!("{B1}/last_operation"));
    check(&world, 404, "PUT", B1, &body.to_string());
    check(&world, 201, "PUT", I1, &instance_body().to_string());
    check(&world, 201, "PUT", "/v2/service_instances/i2", &instance_body().to_string());
    check(&world, 404, "GET", B1, "");
    check(&world, 404, "GET", &operation, "");
    check(&world, 410, "DELETE", &ids(B1), "");
    let credentials = json!({"credentials": {"api_endpoint": "https://scheduler.example.com"}});
    assert_eq!(check(&world, 201, "PUT", B1, &body.to_string()), credentials);
    assert_eq!(check(&world, 200, "PUT", B1, &body.to_string()), credentials);
    for (status, other) in [
        (409, with(body.clone(), "bind_resource", json!({"app_guid": "app-2"}))),
        (409, with(body.clone(), "parameters", json!({"a": 1}))),
        (400, with(body.clone(), "service_id", json!("other"))),
        (400, with(body.clone(), "plan_id", json!("other"))),
        (400, without(body.clone(), "service_id")),
        (400, without(body.clone(), "plan_id")),
        (400, with(body.clone(), "bind_resource", json!("app"))),
        (400, with(body.clone(), "parameters", json!([]))),
        (400, "[]".to_owned()),
    ] {
        check(&world, status, "PUT", B1, &other);
    }
    check(&world, 409, "PUT", "/v2/service_instances/i2/service_bindings/b1", &body.to_string());
    let key = json!({"service_id": SERVICE, "plan_id": PLAN, "bind_resource": {}, "context": {},
        "parameters": {"p": 1}});
    let key_path = "/v2/service_instances/i1/service_bindings/key";
    assert_eq!(check(&world, 201, "PUT", key_path, &key.to_string()), credentials);
    let seen = check(&world, 200, "GET", key_path, "");
    assert_eq!((&seen["credentials"], &seen["parameters"]), (&credentials["credentials"], &json!({"p": 1})));
    assert_eq!(check(&world, 200, "GET", &operation, ""), json!({"state": "succeeded"}));
    check(&world, 400, "GET", &format!("{B1}?plan_id=other"), "");
    check(&world, 404, "GET", "/v2/service_instances/i2/service_bindings/b1", "");
    check(&world, 405, "PATCH", B1, "{}");
    for query in ["", &format!("?service_id={SERVICE}"), &format!("?service_id=other&plan_id={PLAN}")] {
        check(&world, 400, "DELETE", &format!("{B1}{query}"), "");
    }
    check(&world, 410, "DELETE", &ids("/v2/service_instances/i2/service_bindings/b1"), "");
    assert_eq!(check(&world, 200, "DELETE", &ids(B1), ""), json!({}));
    check(&world, 410, "DELETE", &ids(B1), "");
    // Bindings that the platform forgot are deleted with their instance.
    check(&world, 200, "DELETE", &ids(I1), "");
    check(&world, 410, "DELETE", &ids(key_path), "");
}

#[test]
fn instances_and_bindings_survive_a_restart_and_the_endpoint_can_be_set() {
    let mut world = World::with(&[SETTINGS, &[("API_ENDPOINT", "https://cron.example.com/")]].concat());
    check(&world, 201, "PUT", I1, &instance_body().to_string());
    let made = check(&world, 201, "PUT", B1, &binding_body().to_string());
    assert_eq!(made["credentials"], json!({"api_endpoint": "https://cron.example.com"}));
    world.restart();
    check(&world, 200, "PUT", I1, &instance_body().to_string());
    assert_eq!(check(&world, 200, "PUT", B1, &binding_body().to_string()), made);
    check(&world, 200, "DELETE", &ids(B1), "");
    check(&world, 200, "DELETE", &ids(I1), "");
}

#[test]
fn of_many_identical_concurrent_requests_one_creates() {
    let world = World::with(SETTINGS);
    for (path, body) in [(I1, instance_body()), (B1, binding_body())] {
        let statuses: Vec<u16> = thread::scope(|scope| {
            let asking: Vec<_> =
                (0..16).map(|_| scope.spawn(|| ask(&world, "PUT", path, &body.to_string()).status)).collect();
            asking.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 15, "{statuses:?}");
    }
    let statuses: Vec<u16> = thread::scope(|scope| {
        let asking: Vec<_> =
            (0..16).map(|_| scope.spawn(|| ask(&world, "DELETE", &ids(I1), "").status)).collect();
        asking.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 410).count(), 15, "{statuses:?}");
}

#[test]
fn with_instances_required_a_space_without_one_creates_nothing_and_its_schedules_stop() {
    let mut world = World::with(&[SETTINGS, &[("REQUIRE_SERVICE_INSTANCE", "true")]].concat());
    let jobs = format!("/jobs?app_guid={APP}");
    let body = r#"{"name":"j","command":"c"}"#;
    let refused = |answer: Answer| assert_eq!((answer.status, answer.body.as_str()), (422, ""));
    refused(world.post(&jobs, body));
    refused(world.post(&format!("/calls?app_guid={APP}"), r#"{"name":"c","url":"u","auth_header":"a"}"#));
    let problem = [("Accept", "application/problem+json")];
    let told = world.request("POST", &jobs, Some(&world.token), &problem, body);
    assert!(told.body.contains("cf create-service"), "{}", told.body);
    // An instance in another space does not help.
    check(
        &world,
        201,
        "PUT",
        "/v2/service_instances/i9",
        &with(instance_body(), "space_guid", json!(FOREIGN_SPACE)),
    );
    refused(world.post(&jobs, body));
    check(&world, 201, "PUT", I1, &instance_body().to_string());
    let job = world.job("j");
    assert_eq!(world.post(&format!("/jobs/{job}/execute"), "").status, 201);
    let execution = world.cf_ends(&job);
    let schedules = format!("/jobs/{job}/schedules");
    let schedule = world.post(&schedules, r#"{"expression":"0 0 1 1 *"}"#).guid();
    assert_ne!(world.next_fire_time(), "");

    check(&world, 200, "DELETE", &ids(I1), "");
    refused(world.post(&jobs, r#"{"name":"k","command":"c"}"#));
    refused(world.post(&schedules, r#"{"expression":"0 0 1 1 *"}"#));
    refused(world.post(&format!("/jobs/{job}/execute"), ""));
    assert_eq!(world.get(&format!("/jobs/{job}/history")).json()["resources"][0], execution);
    let path = format!("{schedules}/{schedule}");
    assert_eq!(world.patch(&path, r#"{"expression":"0 0 2 1 *"}"#).status, 200);
    assert_eq!(world.get(&schedules).json()["resources"][0]["enabled"], true);
    assert_eq!(world.next_fire_time(), "");

    check(&world, 201, "PUT", "/v2/service_instances/i2", &instance_body().to_string());
    assert_eq!(world.get(&format!("/jobs/{job}/history")).json()["resources"][0], execution);
    assert!(world.next_fire_time().contains("-01-02T00:00:00Z"));
    check(&world, 200, "DELETE", &ids("/v2/service_instances/i2"), "");
    assert_eq!(world.next_fire_time(), "");
    // Without the requirement, all spaces resume.
    world.set(SETTINGS);
    world.restart();
    wait_for(|| (world.next_fire_time() != "").then_some(()));
    assert_eq!(world.post(&jobs, r#"{"name":"k","command":"c"}"#).status, 201);
}

impl World {
    /// The job's newest execution, once it has ended.
    fn cf_ends(&self, job: &str) -> Value {
        let task = wait_for(|| {
            let newest = self.get(&format!("/jobs/{job}/history")).json()["resources"][0].clone();
            newest["task_guid"].as_str().map(str::to_owned)
        });
        self.cf.set_task_state(&task, "SUCCEEDED", None);
        self.ended(&format!("/jobs/{job}"))
    }

    /// The earliest planned fire time in the database; empty if there is none.
    fn next_fire_time(&self) -> String {
        let database = Database::of(self.directory.path(), "data/s.db");
        let nanos = &database.rows("SELECT MIN(next_fire_time) FROM schedules")[0][0];
        nanos.parse().map(|nanos| Timestamp::from_nanos(nanos).to_string()).unwrap_or_default()
    }
}

#[test]
fn the_log_names_the_user_behind_a_request_and_no_forged_text() {
    let directory = tempfile::tempdir().unwrap();
    let cf = FakeCf::start();
    let log = directory.path().join("log");
    let variables = [("LOG_LEVEL", "info"), ("BROKER_USER", "cc"), ("BROKER_PASSWORD", "hunter2-broker")];
    let file = File::create(&log).unwrap();
    let program = Program::start_with(directory.path(), &cf, &variables, Stdio::from(file)).unwrap();
    let ask = |identity: &str| {
        let agent = ureq::Agent::new_with_defaults();
        let request = ureq::http::Request::builder()
            .uri(format!("{}/v2/catalog", program.url))
            .header("Authorization", basic("cc:hunter2-broker"))
            .header("X-Broker-API-Version", "2.17")
            .header("X-Broker-API-Originating-Identity", identity);
        agent.run(request.body(()).unwrap()).unwrap();
    };
    let identity = |json: &str| format!("cloudfoundry {}", BASE64_STANDARD.encode(json));
    let raw = identity(r#"{"user_id":"683ea748-3092","email":"anna@example.com"}"#);
    ask(&raw);
    ask(&identity("{\"user_id\":\"evil\\n2026 ERROR all is lost\"}"));
    ask(&identity(&format!(r#"{{"user_id":"{}"}}"#, "long".repeat(500))));
    ask("cloudfoundry nonsense");
    ask(&identity("[]"));
    // A request is logged after its answer was sent.
    let read = || std::fs::read_to_string(&log).unwrap();
    wait_for(|| (read().matches("path=/v2/catalog").count() == 5).then_some(()));
    drop(program);
    let log = read();
    assert!(log.contains("user=cc origin_platform=cloudfoundry origin_user=683ea748-3092"), "{log}");
    assert!(log.contains("origin_platform=malformed"), "{log}");
    assert!(!log.contains("anna@example.com") && !log.contains(raw.split_once(' ').unwrap().1), "{log}");
    assert!(!log.contains("hunter2-broker") && !log.contains(&"long".repeat(20)), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("2026 ERROR")), "{log}");
}
