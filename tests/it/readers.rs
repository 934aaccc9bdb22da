//! Callers who may only read: `READ_ROLES`.

use std::fs;

use serde_json::{Value, json};

use super::standalone::Standalone;
use super::world::{APP, Answer, FOREIGN_APP, FOREIGN_SPACE, SPACE, World, request, wait_for};

const ROLES: &str = "space_auditor,space_supporter,organization_auditor,cloud_controller.global_auditor";
const SECRET: &str = "hunter2";

struct Filled {
    world: World,
    job: String,
    call: String,
    schedule: String,
    call_schedule: String,
    notification: String,
    execution: String,
}

fn filled() -> Filled {
    let world = World::with(&[("READ_ROLES", ROLES)]);
    let made = |path: &str, body: Value| {
        let made = world.post(path, &body.to_string());
        assert_eq!(made.status, 201, "{path} {}", made.body);
        made.guid()
    };
    let job =
        made(&format!("/jobs?app_guid={APP}"), json!({"name": "j", "command": format!("echo {SECRET}")}));
    let call = json!({
        "name": "c", "url": format!("http://u:{SECRET}@a.example.com/{SECRET}?{SECRET}"),
        "auth_header": format!("Bearer {SECRET}"), "headers": {"X-Key": SECRET}, "body": SECRET,
    });
    let call = made(&format!("/calls?app_guid={APP}"), call);
    let schedule = made(&format!("/jobs/{job}/schedules"), json!({"expression": "@yearly"}));
    let call_schedule = made(&format!("/calls/{call}/schedules"), json!({"expression": "@yearly"}));
    let notification = json!({"name": "n", "url": format!("https://hooks.example.com/{SECRET}")});
    let notification = made(&format!("/notifications?space_guid={SPACE}"), notification);
    let execution = world.post(&format!("/jobs/{job}/execute"), "").guid();
    wait_for(|| world.cf.tasks().pop());
    // For an audit event that contains them.
    world.patch(&format!("/jobs/{job}"), &json!({"command": format!("echo {SECRET} again")}).to_string());
    Filled { world, job, call, schedule, call_schedule, notification, execution }
}

/// Every operation: method, path, body, and the access it needs.
fn operations(of: &Filled) -> Vec<(&'static str, String, &'static str, &'static str)> {
    let Filled { job, call, schedule, call_schedule, notification, execution, .. } = of;
    let read = |path: String| ("GET", path, "", "read");
    let work = |method: &'static str, path: String, body: &'static str| (method, path, body, "work");
    let support = |method: &'static str, path: String, body: &'static str| (method, path, body, "support");
    vec![
        read("/jobs".to_owned()),
        read(format!("/jobs?space_guid={SPACE}&detailed=true")),
        read("/calls?detailed=true".to_owned()),
        read(format!("/jobs/{job}")),
        read(format!("/calls/{call}")),
        read(format!("/jobs/{job}/schedules")),
        read(format!("/jobs/{job}/history")),
        read(format!("/jobs/{job}/schedules/{schedule}/history")),
        read(format!("/executions?space_guid={SPACE}")),
        read(format!("/executions/{execution}")),
        read(format!("/executions/{execution}/output")),
        read(format!("/jobs/{job}/history/{execution}/output")),
        read(format!("/calls/{call}/schedules")),
        read(format!("/calls/{call}/history")),
        read(format!("/calls/{call}/schedules/{call_schedule}/history")),
        read(format!("/upcoming/counts?space_guid={SPACE}")),
        read(format!("/overdue?space_guid={SPACE}")),
        read("/scheduler-time-zones".to_owned()),
        read(format!("/upcoming?space_guid={SPACE}")),
        read("/spaces".to_owned()),
        read(format!("/spaces/{SPACE}")),
        read(format!("/notifications?space_guid={SPACE}")),
        read(format!("/notifications/{notification}")),
        read(format!("/notifications/{notification}/deliveries")),
        read(format!("/audit_events?space_guid={SPACE}")),
        read("/cron/next?expression=@daily".to_owned()),
        ("POST", "/schedules/validate".to_owned(), r#"{"expression":"@daily"}"#, "read"),
        work("POST", format!("/jobs?app_guid={APP}"), r#"{"name":"x","command":"true"}"#),
        work("POST", format!("/jobs/{job}/schedules"), r#"{"expression":"@daily"}"#),
        work("POST", format!("/jobs/{job}/execute"), ""),
        work("PUT", format!("/jobs?app_guid={APP}&name=y"), r#"{"command":"true"}"#),
        work(
            "PUT",
            format!("/calls?app_guid={APP}&name=y"),
            r#"{"url":"http://a.example.com","auth_header":""}"#,
        ),
        work("PUT", format!("/jobs/{job}/schedules?key=y"), r#"{"expression":"@daily"}"#),
        work("PUT", format!("/calls/{call}/schedules?key=y"), r#"{"expression":"@daily"}"#),
        work("PUT", format!("/notifications?space_guid={SPACE}&name=y"), r#"{"url":"http://a.example.com"}"#),
        work(
            "POST",
            format!("/calls?app_guid={APP}"),
            r#"{"name":"x","url":"http://a.example.com","auth_header":""}"#,
        ),
        work("POST", format!("/calls/{call}/schedules"), r#"{"expression":"@daily"}"#),
        work("POST", format!("/calls/{call}/execute"), ""),
        work("PATCH", format!("/calls/{call}/schedules/{call_schedule}"), r#"{"expression":"@daily"}"#),
        work("PATCH", format!("/jobs/{job}"), r#"{"name":"k"}"#),
        work("PATCH", format!("/jobs/{job}"), r#"{"paused":false,"command":"true"}"#),
        work("PATCH", format!("/calls/{call}"), r#"{"timeout_seconds":7}"#),
        work("PATCH", format!("/jobs/{job}/schedules/{schedule}"), r#"{"expression":"@daily"}"#),
        work(
            "POST",
            format!("/notifications?space_guid={SPACE}"),
            r#"{"name":"m","url":"https://a.example.com"}"#,
        ),
        work("PATCH", format!("/notifications/{notification}"), r#"{"enabled":false}"#),
        work("POST", format!("/notifications/{notification}/test"), ""),
        support("PATCH", format!("/jobs/{job}"), r#"{"paused":true}"#),
        support("PATCH", format!("/calls/{call}"), r#"{"paused":true}"#),
        support("PATCH", format!("/jobs/{job}/schedules/{schedule}"), r#"{"enabled":false}"#),
        support("PATCH", format!("/spaces/{SPACE}"), r#"{"paused":true,"paused_note":"x"}"#),
        support("POST", format!("/executions/{execution}/cancel"), ""),
        support("PATCH", format!("/calls/{call}/schedules/{call_schedule}"), r#"{"enabled":false}"#),
        work("DELETE", format!("/calls/{call}/schedules/{call_schedule}"), ""),
        work("DELETE", format!("/jobs/{job}/schedules/{schedule}"), ""),
        work("DELETE", format!("/notifications/{notification}"), ""),
        work("DELETE", format!("/jobs/{job}"), ""),
        work("DELETE", format!("/calls/{call}"), ""),
    ]
}

/// Whether a path of a document, with names in braces, is that of a request.
fn is_path_of(template: &str, target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let is_name = |part: &str| part.starts_with('{');
    path.split('/').count() == template.split('/').count()
        && template.split('/').zip(path.split('/')).all(|(part, given)| is_name(part) || part == given)
}

#[test]
fn the_table_of_roles_has_every_operation() {
    let of = filled();
    let document = of.world.get("/openapi.json").json();
    let table = operations(&of);
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let is_open = operation["security"] == json!([]) || path == "/metrics";
            let is_method = ["get", "put", "post", "patch", "delete"].contains(&method.as_str());
            let is_row = |(other, target, ..): &(&str, String, &str, &str)| {
                other.eq_ignore_ascii_case(method) && is_path_of(path, target)
            };
            assert!(is_open || !is_method || table.iter().any(is_row), "{method} {path}");
        }
    }
}

#[test]
fn each_role_may_do_what_it_may_on_every_route_and_readers_see_no_secret() {
    let of = filled();
    let world = &of.world;
    world.cf.add_role_of_type("auditor", SPACE, "space_auditor");
    world.cf.add_role_of_type("supporter", SPACE, "space_supporter");
    world.cf.add_role_of_type("manager", SPACE, "organization_manager");
    let everywhere = world.cf.issue_user_token("global", &["cloud_controller.global_auditor"]);
    let holders = [
        ("auditor", world.cf.issue_cf_token("auditor"), "read"),
        ("everywhere", everywhere, "read"),
        ("supporter", world.cf.issue_cf_token("supporter"), "support"),
        ("manager", world.cf.issue_cf_token("manager"), "nobody"),
        ("stranger", world.cf.issue_cf_token("stranger"), "foreign"),
        ("developer", world.token.clone(), "work"),
    ];
    for (name, token, access) in holders {
        let rank = |access: &str| ["read", "support", "work"].iter().position(|it| *it == access);
        for (method, path, body, needed) in operations(&of) {
            let answer = request(&world.url(), method, &path, Some(&token), &[], body);
            let what = format!("{name} {method} {path} {body}: {} {}", answer.status, answer.body);
            match (access, rank(access) >= rank(needed)) {
                // Without a role that counts, the caller is refused.
                ("nobody", _) => assert_eq!(answer.status, 401, "{what}"),
                ("foreign", _) => {
                    let names_something =
                        path.contains(SPACE) || path.contains(APP) || path.matches('/').count() > 1;
                    let open = ["/cron", "/schedules", "/scheduler-time-zones"];
                    let is_open = open.iter().any(|it| path.starts_with(it));
                    assert!(
                        is_open || !names_something || matches!(answer.status, 401 | 404 | 422),
                        "{what}"
                    );
                }
                // There is none yet.
                (_, true) if path.ends_with("/output") => {
                    assert!(matches!(answer.status, 200 | 404), "{what}");
                }
                (_, true) => assert!(answer.status < 300, "{what}"),
                (_, false) => assert_eq!(answer.status, 403, "{what}"),
            }
            if access != "work" {
                assert!(!answer.body.contains(SECRET), "{what}");
            }
        }
    }
}

#[test]
fn what_is_hidden_is_shown_as_such_and_never_stored() {
    let of = filled();
    let world = &of.world;
    world.cf.add_role_of_type("supporter", SPACE, "space_supporter");
    let token = world.cf.issue_cf_token("supporter");
    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| -> Answer {
        request(&world.url(), method, path, Some(&token), headers, body)
    };
    let call = format!("/calls/{}", of.call);
    let seen = ask("GET", &call, &[], "");
    let shown = seen.json();
    assert_eq!(shown["url"], "http://a.example.com/[hidden]");
    for field in ["auth_header", "body"] {
        assert_eq!(shown[field], "[hidden]");
    }
    assert_eq!(shown["headers"], json!({"X-Key": "[hidden]"}));
    assert_eq!(ask("GET", &format!("/jobs/{}", of.job), &[], "").json()["command"], "[hidden]");
    // Pausing a call writes nothing back that was hidden, and may name the version that was seen.
    let version = [("If-Match", seen.header("ETag").unwrap())];
    let paused = ask("PATCH", &call, &version, r#"{"paused":true}"#);
    assert_eq!((paused.status, paused.json()["body"].as_str()), (200, Some("[hidden]")), "{}", paused.body);
    let now = world.get(&call).json();
    assert_eq!((&now["body"], &now["paused"]), (&json!(SECRET), &json!(true)));
    for body in [
        r#"{"command":"[hidden]"}"#,
        r#"{"url":"http://a.example.com/[hidden]"}"#,
        r#"{"auth_header":"[hidden]"}"#,
        r#"{"body":"[hidden]"}"#,
        r#"{"headers":{"X-Key":"[hidden]"}}"#,
    ] {
        let path = if body.contains("command") { format!("/jobs/{}", of.job) } else { call.clone() };
        assert_eq!(world.patch(&path, body).status, 422, "{body}");
    }
}

#[test]
fn without_the_setting_nobody_reads_who_may_not_work() {
    let world = World::start();
    let job = world.job("j");
    world.cf.add_role_of_type("auditor", SPACE, "space_auditor");
    let everywhere =
        world.cf.issue_user_token("global", &["cloud_controller.read", "cloud_controller.global_auditor"]);
    for token in [world.cf.issue_cf_token("auditor"), everywhere] {
        assert_eq!(request(&world.url(), "GET", &format!("/jobs/{job}"), Some(&token), &[], "").status, 401);
    }
    // A user with a role elsewhere does not see it either.
    world.cf.add_role_of_type("stranger", SPACE, "space_auditor");
    let token = world.cf.issue_cf_token("stranger");
    assert_eq!(request(&world.url(), "GET", &format!("/jobs/{job}"), Some(&token), &[], "").status, 404);
}

#[test]
fn roles_of_an_organization_count_for_its_spaces() {
    let world = World::with(&[("READ_ROLES", "organization_auditor")]);
    let job = world.job("j");
    world.cf.add_space_of("organization-1", SPACE);
    world.cf.add_role_of_type("auditor", "organization-1", "organization_auditor");
    let token = world.cf.issue_cf_token("auditor");
    let ask = |method: &str, path: &str| request(&world.url(), method, path, Some(&token), &[], "").status;
    assert_eq!(ask("GET", &format!("/jobs/{job}")), 200);
    assert_eq!(ask("POST", &format!("/jobs/{job}/execute")), 403);
    assert_eq!(ask("GET", &format!("/jobs?space_guid={FOREIGN_SPACE}")), 401);
    assert_eq!(ask("POST", &format!("/jobs?app_guid={FOREIGN_APP}")), 422);
}

#[test]
fn an_auditor_of_a_standalone_service_reads_where_that_is_set() {
    for (settings, status) in [(&[("READ_ROLES", "space_auditor")][..], 200), (&[], 401)] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("my.toml");
        let text = "[[app]]\nname = 'a'\nspace = 's'\n\
                    [[token]]\ntoken = 'developer-token-of-the-test'\nuser = 'dev'\nspaces = ['s']\n\
                    [[token]]\ntoken = 'auditor-token-of-the-test'\nuser = 'eve'\nrole = 'auditor'\nspaces = \
                    ['s']\n";
        fs::write(&file, text).unwrap();
        let own = [("STANDALONE_CONFIG", file.to_str().unwrap())];
        let service = Standalone::with(directory.path(), &[&own, settings].concat());
        let auditor = Some("auditor-token-of-the-test");
        let answer = request(&service.url, "GET", "/jobs", auditor, &[], "");
        assert_eq!(answer.status, status, "{}", answer.body);
        // A token names its user, who is the actor of what it changes.
        let developer = Some("developer-token-of-the-test");
        let fields = r#"{"name":"j","command":"true"}"#;
        assert_eq!(request(&service.url, "POST", "/jobs?app_guid=a", developer, &[], fields).status, 201);
        let events = request(&service.url, "GET", "/audit_events", developer, &[], "").json();
        let actor = json!({ "guid": "dev", "type": "user", "name": "dev" });
        assert_eq!(events["resources"][0]["actor"], actor);
        service.stop();
    }
}
