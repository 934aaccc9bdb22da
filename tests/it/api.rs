//! The contract with existing clients, rule by rule.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};

use super::cf::fake_cf::{Fault, tls_config};
use super::database::is_postgres;
use super::world::{APP, FOREIGN_APP, OTHER_APP, SPACE, World, wait_for};

const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";
const CREATE: &str = "POST /v3/apps/:guid/tasks";

#[test]
fn a_job_is_created_with_the_limits_that_hold_when_none_are_given() {
    let world = World::start();
    for limits in ["", r#","disk_in_mb":0,"memory_in_mb":null"#] {
        let body = format!(r#"{{"name":"j{}","command":"bin/x"{limits}}}"#, limits.len());
        let answer = world.post(&format!("/jobs?app_guid={APP}"), &body);
        assert_eq!(answer.status, 201);
        let job = answer.json();
        assert_eq!((&job["disk_in_mb"], &job["memory_in_mb"]), (&json!(1024), &json!(1024)));
        assert_eq!((&job["state"], &job["app_guid"]), (&json!("PENDING"), &json!(APP)));
        assert_eq!(job["space_guid"], SPACE);
        assert!(job["created_at"].as_str().unwrap().ends_with('Z'));
        assert_eq!(world.get(&format!("/jobs/{}", answer.guid())).json(), job);
    }
}

#[test]
fn unknown_fields_of_a_body_are_ignored() {
    let world = World::start();
    let body = r#"{"guid":"x","name":"j","command":"c","state":"FAILED","created_at":"0001-01-01T00:00:00Z",
        "app_guid":"nope","space_guid":"nope","other":[[[{}]]]}"#;
    let job = world.post(&format!("/jobs?app_guid={APP}"), body).json();
    assert_ne!(job["guid"], "x");
    assert_eq!(
        (&job["state"], &job["app_guid"], &job["space_guid"]),
        (&json!("PENDING"), &json!(APP), &json!(SPACE))
    );
    assert!(!job["created_at"].as_str().unwrap().starts_with("0001"));
}

#[test]
fn a_call_is_returned_as_given_whatever_its_url() {
    let world = World::start();
    let body = r#"{"name":"c\u0000 ü","url":"test.url","auth_header":"Bearer \"x\""}"#;
    let call = world.post(&format!("/calls?app_guid={APP}"), body).json();
    assert_eq!((&call["name"], &call["url"]), (&json!("c\0 ü"), &json!("test.url")));
    assert_eq!(call["auth_header"], "Bearer \"x\"");
    assert!(call.get("state").is_none() && call.get("command").is_none());
    assert_eq!(world.get(&format!("/calls/{}", call["guid"].as_str().unwrap())).json(), call);
}

#[test]
fn bad_bodies_are_422_with_an_empty_body_and_change_nothing() {
    let world = World::start();
    let long = "x".repeat(256);
    let deep = "[".repeat(100_000);
    let jobs = [
        "",
        "null",
        "[]",
        r#"["j","c"]"#,
        "{",
        r#"{"command":"c"}"#,
        r#"{"name":"j"}"#,
        r#"{"name":" ","command":"c"}"#,
        r#"{"name":"j","command":"\t"}"#,
        r#"{"name":3,"command":"c"}"#,
        r#"{"name":"j","command":["c"]}"#,
        &format!(r#"{{"name":"{long}","command":"c"}}"#),
        &format!(r#"{{"name":"j","command":"{}"}}"#, "c".repeat(4097)),
        r#"{"name":"j","command":"c","disk_in_mb":-1}"#,
        r#"{"name":"j","command":"c","disk_in_mb":1024.0}"#,
        r#"{"name":"j","command":"c","disk_in_mb":1e3}"#,
        r#"{"name":"j","command":"c","disk_in_mb":"1024"}"#,
        r#"{"name":"j","command":"c","memory_in_mb":2147483648}"#,
        r#"{"name":"j","command":"c","memory_in_mb":99999999999999999999999}"#,
        r#"{"name":"\ud800","command":"c"}"#,
        &format!(r#"{{"name":{deep},"command":"c"}}"#),
    ];
    for body in jobs {
        let answer = world.post(&format!("/jobs?app_guid={APP}"), body);
        assert_eq!((answer.status, answer.body.as_str()), (422, ""), "{:.100}", body);
        assert_eq!(answer.header("Content-Length"), Some("0"));
    }
    let calls = [
        r#"{"name":"c","url":"u"}"#,
        r#"{"name":"c","auth_header":"a"}"#,
        r#"{"name":"c","url":"","auth_header":"a"}"#,
    ];
    for body in calls {
        assert_eq!(world.post(&format!("/calls?app_guid={APP}"), body).status, 422, "{body}");
    }
    for path in ["/jobs", "/calls"] {
        assert_eq!(world.get(path).json()["pagination"]["total_results"], 0);
    }
    // Exactly at the limits it is accepted.
    let body = format!(
        r#"{{"name":"{}","command":"{}","disk_in_mb":2147483647,"memory_in_mb":1}}"#,
        "ü".repeat(255),
        "c".repeat(4096)
    );
    assert_eq!(world.post(&format!("/jobs?app_guid={APP}"), &body).status, 201);
}

#[test]
fn a_name_is_unique_among_the_jobs_of_an_app() {
    let world = World::start();
    let job = world.job("j");
    let body = r#"{"name":"j","command":"c"}"#;
    assert_eq!(world.post(&format!("/jobs?app_guid={APP}"), body).status, 422);
    assert_eq!(world.post(&format!("/jobs?app_guid={OTHER_APP}"), body).status, 201);
    world.call("j", "http://x/");
    assert_eq!(world.delete(&format!("/jobs/{job}")).status, 204);
    assert_eq!(world.post(&format!("/jobs?app_guid={APP}"), body).status, 201);
}

#[test]
fn an_app_that_is_missing_unknown_or_foreign_is_422() {
    let world = World::start();
    let body = r#"{"name":"j","command":"c"}"#;
    for query in
        ["", "?app_guid=", "?app_guid=nope", &format!("?app_guid={FOREIGN_APP}"), "?app_guid=..%2Froles"]
    {
        assert_eq!(world.post(&format!("/jobs{query}"), body).status, 422, "{query}");
    }
}

#[test]
fn without_a_page_lists_are_complete_and_count_pages_of_fifty() {
    let world = World::start();
    let empty = world.get(&format!("/jobs?space_guid={SPACE}")).json();
    assert_eq!(empty["resources"], json!([]));
    assert_eq!(empty["pagination"]["total_pages"], 1);
    assert_eq!(
        (&empty["pagination"]["next"], &empty["pagination"]["previous"]),
        (&Value::Null, &Value::Null)
    );
    let guids: Vec<String> = (0..450).map(|number| world.job(&format!("j{number}"))).collect();
    let all = world.get(&format!("/jobs?space_guid={SPACE}")).json();
    let listed: Vec<&str> =
        all["resources"].as_array().unwrap().iter().map(|it| it["guid"].as_str().unwrap()).collect();
    assert_eq!(listed, guids);
    assert_eq!(
        (&all["pagination"]["total_pages"], &all["pagination"]["total_results"]),
        (&json!(9), &json!(450))
    );
    assert_eq!(all["pagination"]["next"], Value::Null);

    let second = world.get(&format!("/jobs?space_guid={SPACE}&page=2&detailed=true")).json();
    assert_eq!(second["resources"].as_array().unwrap().len(), 50);
    assert_eq!(second["resources"][0]["guid"], guids[50].as_str());
    let expected = format!("{}/jobs?space_guid={SPACE}&detailed=true&page=3", world.url());
    assert_eq!(second["pagination"]["next"]["href"], expected.as_str());
    assert!(second["pagination"]["previous"]["href"].as_str().unwrap().ends_with("page=1"));
    let last = world.get("/jobs?page=9").json();
    assert_eq!(
        (last["resources"].as_array().unwrap().len(), &last["pagination"]["next"]),
        (50, &Value::Null)
    );
    for page in ["10", "99999999999999999999999999"] {
        assert_eq!(world.get(&format!("/jobs?page={page}")).json()["resources"], json!([]));
    }
    assert_eq!(world.get("/jobs?page=1&per_page=500").json()["resources"].as_array().unwrap().len(), 450);
    for query in [
        "page=0",
        "page=",
        "page=-1",
        "page=1.5",
        "page=x",
        "page=+1",
        "per_page=0",
        "per_page=501",
        "space_guid=",
    ] {
        assert_eq!(world.get(&format!("/jobs?{query}")).status, 422, "{query}");
    }
}

#[test]
fn links_use_the_address_of_the_proxy_in_front() {
    let world = World::start();
    let headers = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "scheduler.example.com")];
    let answer = world.request("GET", "/calls?page=1", Some(&world.token), &headers, "");
    assert_eq!(answer.json()["pagination"]["first"]["href"], "https://scheduler.example.com/calls?page=1");
}

#[test]
fn detailed_lists_of_many_schedules_are_complete_and_in_order() {
    let world = World::start();
    let jobs: Vec<String> = (0..7).map(|number| world.job(&format!("j{number}"))).collect();
    for (number, job) in jobs.iter().enumerate() {
        // Some of them have more schedules than one read returns.
        for _ in 0..if number % 3 == 1 { 250 } else { number } {
            assert_eq!(
                world.post(&format!("/jobs/{job}/schedules"), r#"{"expression":"@daily"}"#).status,
                201
            );
        }
    }
    let listed = world.get(&format!("/jobs?space_guid={SPACE}&detailed=true")).json();
    let shown: Vec<(String, usize)> = listed["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| {
            (job["guid"].as_str().unwrap().to_owned(), job["schedules"].as_array().map_or(0, Vec::len))
        })
        .collect();
    let counts = [0, 250, 2, 3, 250, 5, 6];
    assert_eq!(shown, jobs.into_iter().zip(counts).collect::<Vec<_>>());
}

#[test]
fn detailed_lists_have_schedules_and_no_key_without_any() {
    let world = World::start();
    let job = world.job("with");
    world.job("without");
    let schedule = world.post(&format!("/jobs/{job}/schedules"), r#"{"expression":"0 9 * * 1-5"}"#);
    let details = world.get("/jobs?detailed=true").json();
    assert_eq!(details["resources"][0]["schedules"], json!([schedule.json()]));
    assert!(details["resources"][1].get("schedules").is_none());
    assert!(world.get("/jobs").json()["resources"][0].get("schedules").is_none());
}

#[test]
fn a_token_that_uaa_rejects_is_a_401_whatever_it_claims() {
    let world = World::start();
    let forged = world.cf.forge_token("mallory", &["cloud_controller.admin"]);
    for token in [None, Some("x"), Some(forged.as_str()), Some("")] {
        assert_eq!(world.request("GET", "/jobs", token, &[], "").status, 401, "{token:?}");
    }
    let basic = [("Authorization", "Basic abc")];
    assert_eq!(world.request("GET", "/jobs", None, &basic, "").status, 401);
    let upper = format!("BEARER {}", world.token);
    assert_eq!(world.request("GET", "/jobs", None, &[("Authorization", &upper)], "").status, 200);
}

#[test]
fn nobody_learns_what_exists_in_a_foreign_space() {
    let world = World::start();
    let job = world.job("j");
    let schedule = world.post(&format!("/jobs/{job}/schedules"), r#"{"expression":"@daily"}"#).guid();
    let stranger = world.cf.issue_cf_token("stranger");
    let ask = |method: &str, path: &str| world.request(method, path, Some(&stranger), &[], "{}");
    assert_eq!(ask("GET", &format!("/jobs?space_guid={SPACE}")).status, 401);
    assert_eq!(ask("GET", "/jobs").json()["pagination"]["total_results"], 0);
    for (method, tail) in [
        ("GET", String::new()),
        ("PATCH", String::new()),
        ("DELETE", String::new()),
        ("POST", "/execute".to_owned()),
        ("GET", "/history".to_owned()),
        ("GET", "/schedules".to_owned()),
        ("POST", "/schedules".to_owned()),
        ("DELETE", format!("/schedules/{schedule}")),
        ("GET", format!("/schedules/{schedule}/history")),
    ] {
        let theirs = ask(method, &format!("/jobs/{job}{tail}"));
        let nobodys = ask(method, &format!("/jobs/{UNKNOWN}{tail}"));
        assert_eq!((theirs.status, &theirs.body), (404, &nobodys.body), "{method} {tail}");
        assert_eq!(nobodys.status, 404);
        let names = |answer: &super::world::Answer| {
            answer.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&theirs), names(&nobodys));
    }
    assert_eq!(ask("POST", &format!("/jobs?app_guid={APP}")).status, 422);
    // Nothing happened to it.
    assert_eq!(world.get(&format!("/jobs/{job}")).status, 200);
}

#[test]
fn a_user_without_any_role_is_401_everywhere_and_an_admin_sees_everything() {
    let world = World::start();
    let job = world.job("j");
    let nobody = world.cf.issue_cf_token("nobody");
    for path in
        ["/jobs", &format!("/jobs/{job}"), &format!("/jobs/{UNKNOWN}"), "/cron/next?expression=@daily"]
    {
        assert_eq!(world.request("GET", path, Some(&nobody), &[], "").status, 401, "{path}");
    }
    let admin = world.cf.issue_user_token("root", &["cloud_controller.admin"]);
    assert_eq!(world.request("GET", "/jobs", Some(&admin), &[], "").json()["pagination"]["total_results"], 1);
    assert_eq!(world.request("GET", &format!("/jobs/{job}"), Some(&admin), &[], "").status, 200);
}

#[test]
fn roles_are_read_over_all_their_pages() {
    let world = World::start();
    world.cf.limit_pages_to(2);
    for number in 0..5 {
        world.cf.add_role("many", &format!("s{number}"));
    }
    world.cf.add_role("many", SPACE);
    let job = world.job("j");
    let many = world.cf.issue_cf_token("many");
    assert_eq!(world.request("GET", &format!("/jobs/{job}"), Some(&many), &[], "").status, 200);
}

#[test]
fn a_token_without_a_user_stands_for_its_client() {
    let world = World::start();
    let job = world.job("j");
    world.cf.add_role("ci", SPACE);
    let ci = world.cf.issue_client_token("ci", &["cloud_controller.read"]);
    assert_eq!(world.request("GET", &format!("/jobs/{job}"), Some(&ci), &[], "").status, 200);
    let other = world.cf.issue_client_token("other", &[]);
    assert_eq!(world.request("GET", &format!("/jobs/{job}"), Some(&other), &[], "").status, 401);
}

#[test]
fn a_token_allows_what_its_scopes_say() {
    let world = World::start();
    let path = format!("/jobs/{}", world.job("j"));
    let answers = |scopes: &[&str]| {
        let token = world.cf.issue_user_token("dev", scopes);
        let ask = |method: &str| world.request(method, &path, Some(&token), &[], "{}").status;
        (ask("GET"), ask("HEAD"), ask("PATCH"))
    };
    assert_eq!(answers(&["openid"]), (401, 401, 401));
    assert_eq!(answers(&["openid", "cloud_controller.read"]), (200, 200, 401));
    assert_eq!(answers(&["openid", "cloud_controller.write"]), (401, 401, 200));
    assert_eq!(answers(&["cloud_controller.admin"]), (200, 200, 200));
}

#[test]
fn a_wrong_client_secret_is_reported_to_the_operator() {
    let world = World::with(&[("CLIENT_SECRET", "wr+ng")]);
    let token = world.cf.issue_cf_token("dev");
    let accept = [("Accept", "application/problem+json")];
    let answer = world.request("GET", "/jobs", Some(&token), &accept, "");
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("CLIENT_SECRET") && !answer.body.contains("wr+ng"), "{}", answer.body);
    let ready = world.request("GET", "/readyz", None, &[], "");
    assert_eq!((ready.status, ready.json()["platform"].as_str()), (200, Some("misconfigured")));
    assert!(ready.json()["platform_fault"].as_str().unwrap().contains("CLIENT_SECRET"));
    // To identify a client's token, the service asks UAA with its own credentials.
    let client = world.cf.issue_client_token("ci", &["cloud_controller.read"]);
    assert_eq!(world.request("GET", "/jobs", Some(&client), &[], "").status, 503);
}

#[test]
fn a_busy_client_costs_no_upstream_request_each_time() {
    let world = World::start();
    for number in 0..20 {
        world.job(&format!("j{number}"));
    }
    let counts = ["GET /userinfo", "GET /v3/roles", "GET /v3/apps/:guid"].map(|route| world.cf.count(route));
    assert_eq!(counts, [1, 1, 1]);
}

#[test]
fn a_revoked_role_takes_effect_at_once_without_a_cache() {
    let world = World::with(&[("AUTH_CACHE_SECONDS", "0")]);
    let job = world.job("j");
    world.cf.remove_roles("dev", SPACE);
    assert_eq!(world.get(&format!("/jobs/{job}")).status, 401);
}

#[test]
fn uaa_or_cloud_foundry_in_trouble_is_a_503_with_retry_after() {
    let world = World::with(&[("AUTH_CACHE_SECONDS", "0")]);
    for (route, fault) in [
        ("GET /userinfo", Fault::status(500, None)),
        ("GET /userinfo", Fault::status(429, None)),
        ("GET /userinfo", Fault::DropAfter),
        ("GET /userinfo", Fault::html(200)),
        ("GET /v3/roles", Fault::html(502)),
    ] {
        world.cf.fault(route, fault.clone(), 1);
        let answer = world.get("/jobs");
        assert_eq!(answer.status, 503, "{route} {fault:?}");
        assert!(answer.header("Retry-After").is_some());
        assert_eq!(world.get("/jobs").status, 200);
    }
    world.cf.expire_service_tokens();
    assert_eq!(world.get("/jobs").status, 200, "the service's own token is replaced");
}

#[test]
fn path_and_method_are_checked_before_the_token_and_the_token_before_the_body() {
    let world = World::start();
    let ask = |method: &str, path: &str| world.request(method, path, None, &[], "");
    assert_eq!(ask("GET", "/nope").status, 404);
    let answer = ask("DELETE", "/jobs");
    assert_eq!((answer.status, answer.header("Allow")), (405, Some("GET, HEAD, POST, PUT")));
    assert_eq!(ask("POST", "/jobs").status, 401);
    assert_eq!(ask("GET", "/").status, 200);
    assert_eq!(ask("GET", "/healthz").status, 200);
    assert_eq!(ask("GET", "/readyz").status, 200);
    let job = world.job("j");
    assert_eq!(world.get(&format!("/jobs/{job}/")).status, 200);
    let head = world.request("HEAD", &format!("/jobs/{job}"), Some(&world.token), &[], "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn refusals_have_the_body_that_the_client_can_read() {
    let world = World::start();
    let ask =
        |accept: &str| world.request("GET", "/jobs?page=0", Some(&world.token), &[("Accept", accept)], "");
    assert_eq!(ask("*/*").body, "");
    let json = ask("application/json");
    assert_eq!((json.status, json.header("Content-Type")), (422, Some("application/json")));
    assert_eq!(json.json()["description"], "Validation of resource failed.");
    let problem = ask("application/json, application/problem+json");
    assert_eq!(problem.header("Content-Type"), Some("application/problem+json"));
    assert_eq!(problem.json()["errors"][0]["field"], "page");
    assert_eq!(problem.json()["status"], 422);
    assert!(problem.header("X-Request-Id").is_some());
    let kept = world.request("GET", "/nope", None, &[("X-Request-Id", "abc-1")], "");
    assert_eq!(kept.header("X-Request-Id"), Some("abc-1"));
}

#[test]
fn a_jobs_log_rate_is_kept_shown_changed_and_sent_with_its_task() {
    let world = World::start();
    let jobs = format!("/jobs?app_guid={APP}");
    for (number, (given, shown)) in
        [("", 0), (",\"log_rate_in_bps\":null", 0), (",\"log_rate_in_bps\":-1", -1)].into_iter().enumerate()
    {
        let job = world.post(&jobs, &format!(r#"{{"name":"j{number}","command":"c"{given}}}"#)).json();
        assert_eq!(job["log_rate_in_bps"], shown, "{given}");
    }
    for wrong in ["-2", "2147483648", "1.0", "1e3", "\"1\"", "true"] {
        let body = format!(r#"{{"name":"w","command":"c","log_rate_in_bps":{wrong}}}"#);
        assert_eq!(world.post(&jobs, &body).status, 422, "{wrong}");
    }
    let job = world.post(&jobs, r#"{"name":"j","command":"c","log_rate_in_bps":2147483647}"#).guid();
    let path = format!("/jobs/{job}");
    assert_eq!(world.get(&path).json()["log_rate_in_bps"], 2_147_483_647);
    let patch = |body: &str| world.request("PATCH", &path, Some(&world.token), &[], body).json();
    assert_eq!(patch(r#"{"log_rate_in_bps":4096}"#)["log_rate_in_bps"], 4096);
    assert_eq!(patch(r#"{"log_rate_in_bps":null}"#)["log_rate_in_bps"], 4096);
    let list = world.get("/jobs").json();
    assert_eq!(list["resources"].as_array().unwrap().last().unwrap()["log_rate_in_bps"], 4096);
    world.post(&format!("{path}/execute"), "");
    let task = wait_for(|| world.cf.tasks().pop());
    assert_eq!(task.log_rate, Some(4096));
    let call = world.call("c", "test.url");
    assert_eq!(world.get(&format!("/calls/{call}")).json().get("log_rate_in_bps"), None);
}

#[test]
fn a_job_runs_as_a_task_named_after_its_execution() {
    let world = World::start();
    let job = world.job("j");
    let execution = world.post(&format!("/jobs/{job}/execute"), "");
    assert_eq!(execution.status, 201);
    let execution = execution.json();
    assert_eq!((&execution["state"], &execution["message"]), (&json!("PENDING"), &json!("")));
    assert_eq!((&execution["scheduled_time"], &execution["task_guid"]), (&Value::Null, &Value::Null));
    assert!(execution.get("schedule_guid").is_none());
    let task = wait_for(|| world.cf.tasks().pop());
    assert_eq!(execution["guid"], task.name);
    assert_eq!((task.memory_in_mb, task.disk_in_mb), (1024, 1024));
    world.cf.set_task_state(&task.guid, "SUCCEEDED", None);
    let ended = world.ended(&format!("/jobs/{job}"));
    assert_eq!((&ended["state"], &ended["task_guid"]), (&json!("SUCCEEDED"), &json!(task.guid)));
    // Cloud Foundry reports whole seconds, and an end is never before its start.
    let start = ended["execution_start_time"].as_str().unwrap();
    let updated_at = world.cf.tasks()[0].updated_at.clone();
    let seconds = |time: &str| time[..19].to_owned();
    let end = if seconds(&updated_at) <= seconds(start) { start.to_owned() } else { updated_at };
    assert_eq!(ended["execution_end_time"], end);
    let after = world.get(&format!("/jobs/{job}")).json();
    assert_eq!(after["state"], "SUCCEEDED");
    assert_eq!(after["updated_at"], after["created_at"]);
}

#[test]
fn a_failed_or_vanished_task_has_a_message() {
    let world = World::start();
    let job = world.job("j");
    world.post(&format!("/jobs/{job}/execute"), "");
    let task = wait_for(|| world.cf.tasks().pop());
    world.cf.set_task_state(&task.guid, "FAILED", Some("Exited with status 1"));
    let ended = world.ended(&format!("/jobs/{job}"));
    assert_eq!((&ended["state"], &ended["message"]), (&json!("FAILED"), &json!("Exited with status 1")));
    assert_eq!(world.get(&format!("/jobs/{job}")).json()["state"], "FAILED");

    let other = world.job("k");
    world.post(&format!("/jobs/{other}/execute"), "");
    wait_for(|| {
        let newest = world.get(&format!("/jobs/{other}/history")).json()["resources"][0].clone();
        (newest["state"] == "RUNNING").then_some(())
    });
    world.cf.forget_task(&world.cf.tasks()[1].guid);
    let ended = world.ended(&format!("/jobs/{other}"));
    assert_eq!(ended["message"], "Cloud Foundry no longer knows the task; outcome unknown");
}

#[test]
fn a_task_is_requested_again_only_if_it_certainly_does_not_exist() {
    let world = World::start();
    let job = world.job("j");
    world.cf.fault(CREATE, Fault::status(429, None), 1);
    world.post(&format!("/jobs/{job}/execute"), "");
    let task = wait_for(|| world.cf.tasks().pop());
    world.cf.set_task_state(&task.guid, "SUCCEEDED", None);
    assert_eq!(world.ended(&format!("/jobs/{job}"))["state"], "SUCCEEDED");
    assert_eq!(world.cf.count(CREATE), 2);

    let other = world.job("k");
    world.cf.fault(CREATE, Fault::DropAfter, 1);
    world.post(&format!("/jobs/{other}/execute"), "");
    wait_for(|| {
        let newest = world.get(&format!("/jobs/{other}/history")).json()["resources"][0].clone();
        (newest["state"] == "RUNNING").then_some(())
    });
    assert_eq!((world.cf.count(CREATE), world.cf.tasks().len()), (3, 2), "found by its name, not made twice");
}

#[test]
fn a_deleted_app_fails_its_executions_with_cloud_foundrys_message() {
    let world = World::start();
    let job = world.job("j");
    world.cf.remove_app(APP);
    world.post(&format!("/jobs/{job}/execute"), "");
    let ended = world.ended(&format!("/jobs/{job}"));
    assert_eq!(ended["state"], "FAILED");
    assert!(ended["message"].as_str().unwrap().contains("App not found"), "{ended}");
}

/// A server that accepts one request, sends this answer, and returns the request.
fn one_request(answer: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?a=b%20c", listener.local_addr().unwrap());
    let thread = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        client.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, thread)
}

#[test]
fn a_call_is_posted_with_its_authorization_and_its_status_decides() {
    let world = World::start();
    let (url, request) = one_request("HTTP/1.1 204 No Content\r\n\r\n");
    let call = world.call("good", &url);
    let execution = world.post(&format!("/calls/{call}/execute"), "ignored");
    assert_eq!((execution.status, &execution.json()["state"]), (201, &json!("PENDING")));
    assert!(execution.json().get("task_guid").is_none());
    let ended = world.ended(&format!("/calls/{call}"));
    assert_eq!((&ended["state"], &ended["guid"]), (&json!("SUCCEEDED"), &execution.json()["guid"]));
    let request = request.join().unwrap();
    assert!(request.starts_with("POST /hook?a=b%20c HTTP/1.1\r\n"), "{request}");
    let lower = request.to_ascii_lowercase();
    assert!(
        lower.contains("\r\nauthorization: bearer abc\r\n") && lower.contains("\r\ncontent-length: 0\r\n"),
        "{request}"
    );
    assert!(
        lower.contains(&format!("\r\nidempotency-key: {}\r\n", execution.guid()))
            && lower.contains("\r\nuser-agent: ")
    );

    let (url, _request) = one_request("HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n");
    let bad = world.call("bad", &url);
    world.post(&format!("/calls/{bad}/execute"), "");
    let ended = world.ended(&format!("/calls/{bad}"));
    assert_eq!(ended["state"], "FAILED");
    assert!(ended["message"].as_str().unwrap().contains("418"));

    let nowhere = world.call("nowhere", "test.url");
    world.post(&format!("/calls/{nowhere}/execute"), "");
    assert!(
        world.ended(&format!("/calls/{nowhere}"))["message"].as_str().unwrap().contains("URL is not valid")
    );
}

#[test]
fn a_redirect_elsewhere_does_not_get_the_authorization() {
    let world = World::start();
    let (target, seen) = one_request("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let answer = format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
    let (url, _first) = one_request(Box::leak(answer.into_boxed_str()));
    let call = world.call("moved", &url);
    world.post(&format!("/calls/{call}/execute"), "");
    assert_eq!(world.ended(&format!("/calls/{call}"))["state"], "SUCCEEDED");
    let seen = seen.join().unwrap();
    assert!(seen.starts_with("GET ") && !seen.to_ascii_lowercase().contains("authorization"), "{seen}");
}

/// A TLS server with an untrusted certificate, which answers each request with 200. Returns its URL, and the
/// certificate in PEM form.
fn tls_server() -> (String, String) {
    let (config, certificate_pem) = tls_config(&["localhost"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, client);
            // A client that does not trust the certificate fails here.
            let _ = stream.read(&mut [0; 4096]).and_then(|_| {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
                stream.flush()
            });
        }
    });
    (url, certificate_pem)
}

#[test]
fn certificates_are_verified_unless_they_are_trusted_by_a_setting() {
    let (url, pem) = tls_server();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, pem).unwrap();
    let file: &'static str = Box::leak(file.to_str().unwrap().to_owned().into_boxed_str());
    for (settings, state) in [
        (&[][..], "FAILED"),
        (&[("CA_CERT_FILE", file)][..], "SUCCEEDED"),
        (&[("SKIP_SSL_VALIDATION", "true")][..], "SUCCEEDED"),
    ] {
        let world = World::with(settings);
        let call = world.call("tls", &url);
        world.post(&format!("/calls/{call}/execute"), "");
        let ended = world.ended(&format!("/calls/{call}"));
        assert_eq!(ended["state"], state, "{ended}");
        let message = ended["message"].as_str().unwrap();
        let names_both = message.contains("CA_CERT_FILE") && message.contains("SKIP_SSL_VALIDATION");
        assert_eq!(names_both, state == "FAILED", "{message}");
    }
}

#[test]
fn schedules_are_created_listed_updated_and_deleted() {
    let world = World::start();
    let job = world.job("j");
    let path = format!("/jobs/{job}/schedules");
    let made = world
        .post(&path, r#"{"expression":" 0 9 * * 1-5 ","expression_type":"cron_expression","enabled":null}"#);
    assert_eq!(made.status, 201);
    let schedule = made.json();
    assert_eq!((&schedule["expression"], &schedule["enabled"]), (&json!(" 0 9 * * 1-5 "), &json!(true)));
    assert_eq!(
        (&schedule["job_guid"], &schedule["expression_type"]),
        (&json!(job), &json!("cron_expression"))
    );
    for body in [
        r#"{"expression":"0 0 0 * * * 2030"}"#,
        r#"{"expression":"61 * * * *"}"#,
        r#"{"expression":""}"#,
        r#"{"enabled":true}"#,
        r#"{"expression":"@daily","expression_type":"simple"}"#,
        r#"{"expression":"@daily","enabled":"yes"}"#,
    ] {
        assert_eq!(world.post(&path, body).status, 422, "{body}");
    }
    assert_eq!(world.get(&path).json()["resources"], json!([schedule]));
    let one = format!("{path}/{}", made.guid());
    let changed = world.patch(&one, r#"{"enabled":false,"expression":"@hourly"}"#);
    assert_eq!((changed.status, &changed.json()["enabled"]), (200, &json!(false)));
    assert_eq!(world.patch(&one, r#"{"expression":"nope"}"#).status, 422);
    assert_eq!(world.get(&format!("{one}/history")).json()["resources"], json!([]));
    let other = world.job("k");
    assert_eq!(world.delete(&format!("/jobs/{other}/schedules/{}", made.guid())).status, 404);
    assert_eq!(world.delete(&one).status, 204);
    assert_eq!(world.delete(&one).status, 404);
    assert_eq!(world.get(&path).json()["resources"], json!([]));
}

#[test]
fn a_job_or_call_can_be_changed_within_its_space() {
    let world = World::start();
    let job = world.job("j");
    world.job("taken");
    let path = format!("/jobs/{job}");
    let changed =
        world.patch(&path, &format!(r#"{{"name":"new","memory_in_mb":7,"app_guid":"{OTHER_APP}"}}"#));
    assert_eq!(changed.status, 200);
    let job = changed.json();
    assert_eq!(
        (&job["name"], &job["memory_in_mb"], &job["app_guid"]),
        (&json!("new"), &json!(7), &json!(OTHER_APP))
    );
    assert_eq!((&job["command"], &job["disk_in_mb"]), (&json!("true"), &json!(1024)));
    assert_ne!(job["updated_at"], job["created_at"]);
    assert_eq!(world.get(&path).json(), job);
    for body in
        [&format!(r#"{{"app_guid":"{FOREIGN_APP}"}}"#), r#"{"app_guid":"nope"}"#, r#"{"name":" "}"#, "[]"]
    {
        assert_eq!(world.patch(&path, body).status, 422, "{body}");
    }
    assert_eq!(world.patch(&path, &format!(r#"{{"name":"taken","app_guid":"{APP}"}}"#)).status, 422);
    assert_eq!(world.get(&path).json(), job);
    let call = world.call("c", "http://x/");
    assert_eq!(world.patch(&format!("/calls/{call}"), r#"{"url":"http://y/"}"#).json()["url"], "http://y/");
}

#[test]
fn deleting_takes_schedules_and_history_along() {
    let world = World::start();
    let call = world.call("c", "test.url");
    world.post(&format!("/calls/{call}/schedules"), r#"{"expression":"@daily"}"#);
    world.post(&format!("/calls/{call}/execute"), "");
    world.ended(&format!("/calls/{call}"));
    assert_eq!(world.delete(&format!("/calls/{call}")).status, 204);
    for tail in ["", "/history", "/schedules"] {
        assert_eq!(world.get(&format!("/calls/{call}{tail}")).status, 404);
    }
    assert_eq!(world.get("/calls").json()["pagination"]["total_results"], 0);
}

#[test]
fn the_next_fire_times_of_an_expression_are_returned() {
    let world = World::start();
    let answer = world.get("/cron/next?expression=0+9+*+*+1-5&after=2026-03-27T10:00:00Z&count=2");
    let times = ["2026-03-30T09:00:00Z", "2026-03-31T09:00:00Z"];
    let expected = json!({
        "expression": "0 9 * * 1-5", "dialect": "classic", "description": "at 09:00 on Monday to Friday",
        "fire_times": times, "local_times": times, "warnings": [],
    });
    assert_eq!(answer.json(), expected);
    let query =
        "?expression=30+2+13+*+FRI&timezone=Europe/Berlin&dialect=ocf2&count=1&after=2026-03-01T00:00:00Z";
    let answer = world.get(&format!("/cron/next{query}")).json();
    assert_eq!(answer["fire_times"], json!(["2026-03-13T01:30:00Z"]));
    assert_eq!(answer["local_times"], json!(["2026-03-13T02:30:00+01:00"]));
    assert_eq!(answer["warnings"][0]["code"], "dom_and_dow");
    assert_eq!(world.get("/cron/next?expression=@daily").json()["fire_times"].as_array().unwrap().len(), 5);
    for query in [
        "",
        "?expression=",
        "?expression=x",
        "?expression=@daily&count=0",
        "?expression=@daily&count=101",
        "?expression=@daily&after=yesterday",
        "?expression=@daily&timezone=Mars/Base",
        "?expression=TZ=UTC+@daily&timezone=UTC",
        "?expression=@daily&dialect=other",
    ] {
        assert_eq!(world.get(&format!("/cron/next{query}")).status, 422, "{query}");
    }
}

#[test]
fn everything_survives_a_restart_and_a_second_service_on_the_file_is_refused() {
    let mut world = World::start();
    let job = world.job("j");
    let before = world.get("/jobs?detailed=true").json()["resources"].clone();
    if !is_postgres() {
        assert!(world.start_service().err().unwrap().contains("in use by another process"));
    }
    world.restart();
    assert_eq!(world.get("/jobs?detailed=true").json()["resources"], before);
    assert_eq!(world.get(&format!("/jobs/{job}")).status, 200);
}

#[needs::sqlite]
#[test]
fn a_file_that_is_not_a_database_is_refused_and_left_unchanged() {
    let mut world = World::start();
    world.stop();
    let path = world.directory.path().join("data/s.db");
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(world.directory.path().join(format!("data/s.db{suffix}")));
    }
    let text = "this is no database, and it is longer than the header of one would be: ".repeat(20);
    std::fs::write(&path, &text).unwrap();
    assert!(world.start_service().err().unwrap().contains("is not an SQLite database"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn the_dialect_is_recorded_with_a_new_schedule_or_expression() {
    let mut world = World::start();
    let schedules = format!("/jobs/{}/schedules", world.job("j"));
    let made = world.post(&schedules, r#"{"expression":"0 0 13 * FRI"}"#);
    let old = format!("{schedules}/{}", made.guid());
    assert_eq!((made.status, &made.json()["dialect"]), (201, &json!("classic")));
    world.stop();
    world.set(&[("CRON_DIALECT", "ocf2")]);
    world.begin();
    // Seconds first, surrounded by blanks: only `ocf2` reads and stores it like this.
    let new = world.post(&schedules, r#"{"expression":"  30 0 0 13 * FRI "}"#);
    assert_eq!((new.status, &new.json()["dialect"]), (201, &json!("ocf2")));
    assert_eq!(new.json()["expression"], "30 0 0 13 * FRI");
    let shown = |world: &World| world.get(&schedules).json()["resources"].clone();
    assert_eq!(shown(&world)[0]["dialect"], "classic");
    // Enabling a schedule does not change how its expression is read; setting the same expression again does.
    assert_eq!(world.patch(&old, r#"{"enabled":false}"#).json()["dialect"], "classic");
    assert_eq!(world.patch(&old, r#"{"expression":"0 0 13 * FRI"}"#).json()["dialect"], "ocf2");
    for never in ["0 0 30 2 *", "0 0 1 1 * 2020", "@triggered", "@manual", "@none"] {
        let body = json!({ "expression": never }).to_string();
        assert_eq!(world.post(&schedules, &body).status, 422, "{never}");
        assert_eq!(world.patch(&old, &body).status, 422, "{never}");
    }
    // It fires, but not soon.
    assert_eq!(world.post(&schedules, r#"{"expression":"0 0 1 1 * 3000"}"#).status, 201);
    world.stop();
    world.set(&[("CRON_DIALECT", "classic")]);
    world.begin();
    let dialects: Vec<Value> =
        shown(&world).as_array().unwrap().iter().map(|it| it["dialect"].clone()).collect();
    assert_eq!(dialects, ["ocf2", "ocf2", "ocf2"]);
    assert_eq!(world.post(&schedules, r#"{"expression":"0 0 30 2 *"}"#).status, 201);
}

#[test]
fn schedules_from_before_dialects_keep_their_weekdays() {
    let mut world = World::start();
    let schedules = format!("/jobs/{}/schedules", world.job("j"));
    world.post(&schedules, r#"{"expression":"0 0 * * 1"}"#);
    let database = world.database();
    let recorded = || database.rows("SELECT dialect FROM schedules")[0][0].clone();
    world.stop();
    database.execute("UPDATE schedules SET dialect = NULL");
    for (weekdays, dialect) in [("quartz", "ocf2"), ("unix", "classic")] {
        world.set(&[("CRON_WEEKDAYS", weekdays), ("CRON_DIALECT", dialect)]);
        world.begin();
        assert_eq!(world.get(&schedules).json()["resources"][0]["dialect"], "classic");
        world.stop();
        assert_eq!(recorded(), "classic-quartz");
    }
    world.begin();
}
