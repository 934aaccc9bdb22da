//! The OpenAPI document against the service: calls every operation, and checks each request and answer
//! against the document. Fields that the document does not know are errors here.

use std::cell::RefCell;
use std::collections::BTreeSet;

use jsonschema::Draft;
use serde_json::{Map, Value, json};

use super::broker;
use super::cf::fake_cf::Fault;
use super::database::is_postgres;
use super::standalone::Standalone;
use super::world::{APP, Answer, OTHER_APP, SPACE, World, request, wait_for};

const DOCUMENT: &str = include_str!("../../src/web/api/openapi.json");
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";
/// Far more requests than are made.
const ALWAYS: usize = 10_000;
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

struct Document {
    root: Value,
    /// The same, except that objects may contain only what is described.
    strict: Value,
}

struct Operation {
    id: String,
    path: String,
    method: String,
    pointer: String,
}

impl Document {
    fn read() -> Self {
        let root: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut strict = root.clone();
        for schema in strict["components"]["schemas"].as_object_mut().unwrap().values_mut() {
            if schema["type"] == "object" {
                schema["additionalProperties"] = json!(false);
            }
        }
        Self { root, strict }
    }

    fn operations(&self) -> Vec<Operation> {
        let mut operations = Vec::new();
        for (path, methods) in self.root["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                operations.push(Operation {
                    id: operation["operationId"].as_str().unwrap().to_owned(),
                    path: path.clone(),
                    method: method.to_ascii_uppercase(),
                    pointer: format!("/paths/{}/{method}", escaped(path)),
                });
            }
        }
        operations
    }

    /// The value at a pointer, with references resolved, and where it is.
    fn at(&self, pointer: &str) -> (String, &Value) {
        let value = self.root.pointer(pointer).unwrap_or_else(|| panic!("there is no {pointer}"));
        match value["$ref"].as_str() {
            Some(reference) => self.at(reference.strip_prefix('#').unwrap()),
            None => (pointer.to_owned(), value),
        }
    }

    #[track_caller]
    fn check(&self, root: &Value, schema: &str, value: &Value, what: &str) {
        let mut root = root.clone();
        root["$ref"] = json!(format!("#{}", schema.replace('{', "%7B").replace('}', "%7D")));
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .build(&root)
            .unwrap_or_else(|err| panic!("{schema}: {err}"));
        let faults: Vec<String> =
            validator.iter_errors(value).map(|err| format!("{}: {err}", err.instance_path())).collect();
        assert!(faults.is_empty(), "{what} is not as {schema} says: {faults:?} in {value}");
    }

    /// Checks a request that should be accepted against the document.
    #[track_caller]
    fn check_request(&self, operation: &Operation, query: &[(&str, &str)], body: &str) {
        let (_, described) = self.at(&operation.pointer);
        let mut known = BTreeSet::new();
        for index in 0..described["parameters"].as_array().map_or(0, Vec::len) {
            let (pointer, parameter) = self.at(&format!("{}/parameters/{index}", operation.pointer));
            let name = parameter["name"].as_str().unwrap();
            if parameter["in"] == "path" {
                assert!(operation.path.contains(&format!("{{{name}}}")), "{}", operation.path);
                continue;
            }
            known.insert(name);
            let Some((_, text)) = query.iter().find(|(other, _)| *other == name) else {
                assert!(parameter["required"] != true, "{} needs {name}", operation.id);
                continue;
            };
            // Everything in a query is text.
            let value = match parameter["schema"]["type"].as_str() {
                Some("integer" | "boolean") => serde_json::from_str(text).unwrap(),
                _ => json!(text),
            };
            self.check(&self.root, &format!("{pointer}/schema"), &value, name);
        }
        assert!(query.iter().all(|(name, _)| known.contains(name)), "{}: {query:?}", operation.id);
        if described.get("requestBody").is_some() {
            let schema = format!("{}/requestBody/content/application~1json/schema", operation.pointer);
            self.check(&self.root, &schema, &serde_json::from_str(body).unwrap(), "the body");
        } else {
            assert_eq!(body, "", "{}", operation.id);
        }
    }

    /// Checks an answer against the description of its status, or else of `default`.
    #[track_caller]
    fn check_answer(&self, operation: &Operation, answer: &Answer) -> String {
        let what = format!("{} {}", operation.id, answer.status);
        let (_, described) = self.at(&operation.pointer);
        let status = answer.status.to_string();
        let key = if described["responses"].get(&status).is_some() { status.as_str() } else { "default" };
        let (pointer, response) = self.at(&format!("{}/responses/{key}", operation.pointer));
        for (name, _) in response["headers"].as_object().unwrap() {
            let (pointer, described) = self.at(&format!("{pointer}/headers/{name}"));
            let text = match answer.header(name) {
                Some(text) => text,
                None if described["required"] == false => continue,
                None => panic!("{what} has no {name}"),
            };
            let value = text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number));
            self.check(&self.strict, &format!("{pointer}/schema"), &value, name);
        }
        let Some(content) = response["content"].as_object() else {
            assert_eq!((answer.body.as_str(), answer.header("Content-Type")), ("", None), "{what}");
            return key.to_owned();
        };
        let Some(media_type) = answer.header("Content-Type") else {
            assert!(400 <= answer.status && answer.body.is_empty(), "{what}: {:?}", answer.body);
            return key.to_owned();
        };
        let media_type = media_type.split(';').next().unwrap();
        assert!(content.contains_key(media_type), "{what} is {media_type}");
        let body = if media_type == "text/plain" { json!(answer.body) } else { answer.json() };
        let schema = format!("{pointer}/content/{}/schema", escaped(media_type));
        self.check(&self.strict, &schema, &body, &what);
        key.to_owned()
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A service, and which parts of the document were exercised there.
struct Drive<'a> {
    document: &'a Document,
    url: String,
    token: String,
    seen: RefCell<BTreeSet<(String, String)>>,
}

impl<'a> Drive<'a> {
    fn at(document: &'a Document, world: &World) -> Self {
        Self { document, url: world.url(), token: world.token.clone(), seen: RefCell::default() }
    }

    fn operation(&self, id: &str) -> Operation {
        let found = self.document.operations().into_iter().find(|operation| operation.id == id);
        found.unwrap_or_else(|| panic!("there is no operation {id}"))
    }

    #[track_caller]
    fn send(
        &self,
        operation: &Operation,
        token: Option<&str>,
        accept: &[(&str, &str)],
        target: &str,
        body: &str,
    ) -> Answer {
        let answer = request(&self.url, &operation.method, target, token, accept, body);
        let key = self.document.check_answer(operation, &answer);
        self.seen.borrow_mut().insert((operation.id.clone(), key));
        answer
    }

    /// Sends what the document allows. The guids go into the path in order.
    #[track_caller]
    fn accepted(&self, id: &str, guids: &[&str], query: &[(&str, &str)], body: &str) -> Answer {
        let operation = self.operation(id);
        self.document.check_request(&operation, query, body);
        let target = target_of(&operation.path, guids, query);
        let answer =
            self.send(&operation, Some(&self.token), &[("Accept", "application/json")], &target, body);
        assert!(answer.status < 300, "{id}: {} {}", answer.status, answer.body);
        answer
    }

    /// Checks a refusal in the three forms that clients can accept.
    #[track_caller]
    fn refused(&self, operation: &Operation, token: Option<&str>, target: &str, body: &str, status: u16) {
        let what = format!("{} {target}", operation.id);
        let accept = [("Accept", "application/json, application/problem+json")];
        let problem = self.send(operation, token, &accept, target, body);
        assert_eq!(problem.status, status, "{what} {}", problem.body);
        assert_eq!(problem.header("Content-Type"), Some("application/problem+json"), "{what}");
        assert_eq!(problem.json()["status"], status, "{what}");
        let json = self.send(operation, token, &[("Accept", "application/json")], target, body);
        assert_eq!(json.status, status, "{what}");
        assert!(!json.json()["description"].as_str().unwrap().is_empty(), "{what}");
        let empty = self.send(operation, token, &[("Accept", "*/*")], target, body);
        assert_eq!(empty.status, status, "{what}");
        // Plugin 2.x takes a 404 without this code for an older scheduler, so this one always has a body.
        let always_says_why = operation.id == "validateSchedule" && status == 404;
        assert_eq!(empty.body.contains("ref_not_found"), always_says_why, "{what}");
        assert_eq!(empty.body.is_empty(), !always_says_why, "{what}");
    }
}

/// A path with its parameters filled in; the last guid is used for all that remain.
fn target_of(path: &str, guids: &[&str], query: &[(&str, &str)]) -> String {
    let mut guids = guids.iter().copied();
    let mut last = UNKNOWN;
    let filled: Vec<&str> = path
        .split('/')
        .map(|segment| {
            if segment.starts_with('{') {
                last = guids.next().unwrap_or(last);
                last
            } else {
                segment
            }
        })
        .collect();
    let pairs: Vec<String> =
        query.iter().map(|(name, value)| format!("{name}={}", value.replace(' ', "%20"))).collect();
    let separator = if pairs.is_empty() { "" } else { "?" };
    format!("{}{separator}{}", filled.join("/"), pairs.join("&"))
}

/// Uses every operation as intended.
fn use_all(drive: &Drive<'_>, world: &World) {
    for id in ["getRoot", "getHealth", "getReadiness", "getDocument", "getMetrics"] {
        drive.accepted(id, &[], &[], "");
    }
    let query = [("expression", "0 9 * * 1-5"), ("after", "2026-05-20T00:00:00Z"), ("count", "3")];
    drive.accepted("listFireTimes", &[], &query, "");
    drive.accepted("listTimeZones", &[], &[], "");
    drive.accepted("validateSchedule", &[], &[], r#"{"expression":"0 9 * * 1-5","next":1,"prev":1}"#);
    drive.accepted("listSpaces", &[], &[], "");
    drive.accepted("getSpace", &[SPACE], &[], "");
    let known = drive.operation("getSpace");
    let any = [("If-None-Match", "*")];
    let target = target_of(&known.path, &[SPACE], &[]);
    assert_eq!(drive.send(&known, Some(&drive.token), &any, &target, "").status, 304);
    drive.accepted("changeSpace", &[SPACE], &[], r#"{"paused":true,"paused_note":"x"}"#);
    drive.accepted("changeSpace", &[SPACE], &[], r#"{"paused":false}"#);
    let filter = [
        ("space_guid", SPACE),
        ("types", "audit.scheduler.space.pause"),
        ("target_guids", SPACE),
        ("actor_guids", "dev"),
        ("created_ats[gt]", "2026-01-01T00:00:00Z"),
        ("created_ats[lt]", "2099-01-01T00:00:00Z"),
        ("cursor", "1000"),
        ("per_page", "5"),
    ];
    drive.accepted("listAuditEvents", &[], &filter, "");
    drive.accepted("listAuditEvents", &[], &[], "");
    let new = r#"{"name":"n","url":"http://127.0.0.1:9/","secret":null,"headers":{"X-Key":"k"}}"#;
    let guid = drive.accepted("createNotification", &[], &[("space_guid", SPACE)], new).guid();
    for query in [&[][..], &[("space_guid", SPACE), ("page", "1"), ("per_page", "1")]] {
        drive.accepted("listNotifications", &[], query, "");
    }
    for name in ["n", "m", "m"] {
        let body = new.replace("\"n\"", &format!("\"{name}\""));
        let query = [("space_guid", SPACE), ("name", name), ("dry_run", "false")];
        drive.accepted("putNotification", &[], &query, &body);
    }
    drive.accepted("getNotification", &[&guid], &[], "");
    let known = drive.operation("getNotification");
    let target = target_of(&known.path, &[&guid], &[]);
    assert_eq!(drive.send(&known, Some(&drive.token), &any, &target, "").status, 304);
    let change = r#"{"label_selector":"env=prod","name":null,"remind_after_seconds":3600}"#;
    drive.accepted("changeNotification", &[&guid], &[], change);
    drive.accepted("testNotification", &[&guid], &[], "");
    drive.accepted("listDeliveries", &[&guid], &[("page", "1"), ("per_page", "1")], "");
    drive.accepted("deleteNotification", &[&guid], &[], "");
    for (kind, new, change) in [
        (
            "Job",
            r#"{"name":"x","command":"true","disk_in_mb":0,"memory_in_mb":null}"#,
            r#"{"memory_in_mb":7}"#,
        ),
        ("Call", r#"{"name":"x","url":"test.url","auth_header":"a"}"#, r#"{"url":"other.url"}"#),
    ] {
        let id = |verb: &str, noun: &str| format!("{verb}{kind}{noun}");
        let guid = drive.accepted(&id("create", ""), &[], &[("app_guid", APP)], new).guid();
        let of = [guid.as_str()];
        for name in ["x", "y", "y"] {
            let body = new.replace("\"x\"", &format!("\"{name}\""));
            drive.accepted(
                &id("put", ""),
                &[],
                &[("app_guid", APP), ("name", name), ("dry_run", "false")],
                &body,
            );
        }
        for _ in 0..2 {
            let (query, body) = ([("key", "nightly")], r#"{"expression":"* * * * * 2099","key":"nightly"}"#);
            drive.accepted(&id("put", "Schedule"), &of, &query, body);
        }
        drive.accepted(&id("get", ""), &of, &[], "");
        let known = drive.operation(&id("get", ""));
        let headers = [("If-None-Match", "*")];
        let target = target_of(&known.path, &of, &[]);
        assert_eq!(drive.send(&known, Some(&drive.token), &headers, &target, "").status, 304);
        drive.accepted(&id("change", ""), &of, &[], change);
        drive.accepted(&id("change", ""), &of, &[], &format!(r#"{{"app_guid":"{OTHER_APP}","name":null}}"#));
        let schedules = id("create", "Schedule");
        let schedule = drive.accepted(&schedules, &of, &[], r#"{"expression":"* * * * * 2099"}"#).guid();
        drive.accepted(
            &schedules,
            &of,
            &[],
            r#"{"expression":"@every 1s","expression_type":"cron_expression","enabled":true}"#,
        );
        let both = [guid.as_str(), schedule.as_str()];
        drive.accepted(&id("change", "Schedule"), &both, &[], r#"{"enabled":false,"expression":"@daily"}"#);
        let pages = [("page", "1"), ("per_page", "1")];
        for query in
            [&[][..], &pages, &[("space_guid", SPACE), ("detailed", "true")], &[("detailed", "false")]]
        {
            drive.accepted(&id("list", "s"), &[], query, "");
        }
        assert_eq!(drive.accepted(&id("execute", ""), &of, &[], "").status, 201);
        for query in [&[][..], &pages] {
            drive.accepted(&id("list", "Schedules"), &of, query, "");
            drive.accepted(&id("list", "Executions"), &of, query, "");
            drive.accepted(&id("list", "ScheduleExecutions"), &both, query, "");
        }
        let filter = [
            ("space_guid", SPACE),
            ("states", "PENDING,FAILED"),
            ("kinds", "job,call"),
            ("job_guids", &guid),
            ("call_guids", &guid),
            ("schedule_guids", &schedule),
            ("triggers", "manual,schedule"),
            ("created_ats[gt]", "2026-01-01T00:00:00Z"),
            ("created_ats[lt]", "2099-01-01T00:00:00Z"),
            ("ended_ats[gt]", "2026-01-01T00:00:00Z"),
            ("ended_ats[lt]", "2099-01-01T00:00:00Z"),
            ("cursor", "1000"),
            ("per_page", "5"),
        ];
        drive.accepted("listExecutions", &[], &filter, "");
        let all = drive.accepted("listExecutions", &[], &[], "").json();
        let newest = all["resources"][0]["guid"].as_str().unwrap();
        drive.accepted("getExecution", &[newest], &[], "");
        let query = [("space_guid", SPACE), ("limit", "30"), ("until", "2199-01-01T00:00:00Z")];
        drive.accepted("listUpcoming", &[], &query, "");
        drive.accepted("countUpcoming", &[], &[("space_guid", SPACE)], "");
        drive.accepted("listOverdue", &[], &[("space_guid", SPACE), ("limit", "5")], "");
        // Executions of all kinds and states: by hand and by schedule, running and ended.
        wait_for(|| {
            for task in world.cf.tasks() {
                world.cf.set_task_state(&task.guid, "FAILED", Some("Exited with status 1"));
            }
            let history = drive.accepted(&id("list", "Executions"), &of, &[], "").json();
            let ended =
                |it: &&Value| !it["execution_end_time"].is_null() && it.get("schedule_guid").is_some();
            history["resources"].as_array().unwrap().iter().find(ended).map(|_| ())
        });
        drive.accepted(&id("delete", "Schedule"), &both, &[], "");
        drive.accepted(&id("delete", ""), &of, &[], "");
    }
}

/// Provokes every documented refusal of every operation that needs no trouble elsewhere.
fn be_refused(drive: &Drive<'_>, world: &World) {
    let (job, call) = (world.job("j"), world.call("c", "test.url"));
    let told =
        world.post(&format!("/notifications?space_guid={SPACE}"), r#"{"name":"n","url":"http://x/"}"#).guid();
    let too_long = "x".repeat(1024 * 1024 + 1);
    for operation in drive.document.operations() {
        let (_, described) = drive.document.at(&operation.pointer);
        let may_be = |status: &str| described["responses"].get(status).is_some();
        let space = SPACE.to_owned();
        let guid = match operation.path.split('/').nth(1) {
            Some("jobs") => &job,
            Some("spaces") => &space,
            Some("notifications") => &told,
            _ => &call,
        };
        let token = Some(drive.token.as_str());
        let nowhere = target_of(&operation.path, &[UNKNOWN], &[("app_guid", APP)]);
        // The metrics may have their own token and port: see below.
        let is_metrics = operation.id == "getMetrics";
        assert_eq!(may_be("401"), is_metrics || described.get("security").is_none(), "{}", operation.id);
        if may_be("401") && !is_metrics {
            drive.refused(&operation, None, &nowhere, "", 401);
        }
        if may_be("404") && !is_metrics {
            let body = match operation.id.as_str() {
                "validateSchedule" => format!(r#"{{"ref_type":"job","ref_guid":"{UNKNOWN}"}}"#),
                _ if described.get("requestBody").is_some() => "{}".to_owned(),
                _ => String::new(),
            };
            drive.refused(&operation, token, &nowhere, &body, 404);
        }
        if may_be("413") {
            drive.refused(&operation, token, &nowhere, &too_long, 413);
        }
        if may_be("412") {
            let kind = operation.path.split('/').nth(1).unwrap();
            let schedules = format!("/{kind}/{guid}/schedules");
            let schedule = match operation.path.contains("schedule_guid") {
                true => world.post(&schedules, r#"{"expression":"@daily"}"#).guid(),
                false => String::new(),
            };
            let named = [("app_guid", APP), ("space_guid", SPACE), ("name", "x"), ("key", "k")];
            let query = if operation.id.starts_with("put") { &named[..] } else { &[] };
            let target = target_of(&operation.path, &[guid, &schedule], query);
            let stale = [("If-Match", "\"x\""), ("Accept", "application/problem+json")];
            assert_eq!(drive.send(&operation, token, &stale, &target, "{}").status, 412, "{}", operation.id);
        }
        // Running and cancelling have only one reason for a 422: see below.
        if may_be("422") && !operation.id.starts_with("execute") && operation.id != "cancelExecution" {
            let below = if operation.path.contains("schedule_guid") {
                let kind = operation.path.split('/').nth(1).unwrap();
                world.post(&format!("/{kind}/{guid}/schedules"), r#"{"expression":"@daily"}"#).guid()
            } else {
                String::new()
            };
            let guids = [guid.as_str(), below.as_str()];
            let (query, body) = match described.get("requestBody") {
                Some(_) => (vec![("app_guid", APP)], "{"),
                None => (vec![("page", "0"), ("offset", "x"), ("cancel", "x")], ""),
            };
            drive.refused(&operation, token, &target_of(&operation.path, &guids, &query), body, 422);
        }
        // Another method, which `default` describes.
        let methods = drive.document.root["paths"][&operation.path].as_object().unwrap();
        for method in METHODS.iter().filter(|method| !methods.contains_key(&method.to_ascii_lowercase())) {
            let other = Operation { method: (*method).to_owned(), ..drive.operation(&operation.id) };
            drive.refused(&other, None, &nowhere, "", 405);
        }
    }
}

#[test]
fn every_operation_does_what_the_openapi_document_says() {
    let document = Document::read();
    let world = World::start();
    let drive = Drive::at(&document, &world);
    use_all(&drive, &world);
    be_refused(&drive, &world);
    let mut seen = drive.seen.into_inner();

    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    let drive = Drive {
        document: &document,
        url: service.url.clone(),
        token: service.token.clone(),
        seen: RefCell::default(),
    };
    let new = r#"{"name":"x","command":"echo hello"}"#;
    let job = drive.accepted("createJob", &[], &[("app_guid", &service.app)], new).guid();
    let execution = drive.accepted("executeJob", &[&job], &[], "").guid();
    service.ended(&job);
    let output = drive.accepted("getJobOutput", &[&job, &execution], &[("offset", "1")], "");
    assert_eq!(output.body, "ello\n");
    let query = [("offset", "1"), ("attempt", "1")];
    assert_eq!(drive.accepted("getExecutionOutput", &[&execution], &query, "").body, "ello\n");
    let cancel = drive.operation("cancelExecution");
    drive.refused(&cancel, Some(&service.token), &target_of(&cancel.path, &[&execution], &[]), "", 422);
    drive.accepted("changeJob", &[&job], &[], r#"{"command":"sleep 60"}"#);
    let execution = drive.accepted("executeJob", &[&job], &[], "").guid();
    drive.accepted("cancelExecution", &[&execution], &[], "");
    seen.append(&mut drive.seen.into_inner());
    service.stop();

    // UAA out of reach; for operations that need no caller, the database.
    let world = World::with(&[("AUTH_CACHE_SECONDS", "0")]);
    let drive = Drive::at(&document, &world);
    world.cf.fault("*", Fault::status(503, None), ALWAYS);
    let held = (!is_postgres()).then(|| {
        let database = rusqlite::Connection::open(world.directory.path().join("data/s.db")).unwrap();
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        database
    });
    // A caller over the rate limit.
    let limited = World::with(&[("RATE_LIMIT_PER_SECOND", "1"), ("RATE_LIMIT_BURST", "1")]);
    let limit = Drive::at(&document, &limited);
    for operation in document.operations() {
        let (_, described) = document.at(&operation.pointer);
        let may_be = |status: &str| described["responses"].get(status).is_some();
        let target = target_of(&operation.path, &[UNKNOWN], &[]);
        // A database server is out of reach for all tests or for none.
        let is_within_reach = operation.id == "getReadiness" && held.is_none();
        if is_within_reach {
            seen.insert((operation.id.clone(), "503".to_owned()));
        } else if may_be("503") {
            drive.refused(&operation, Some(&world.token), &target, "", 503);
        }
        if may_be("429") {
            let accept = [("Accept", "application/problem+json")];
            wait_for(|| {
                let answer = limit.send(&operation, Some(&limited.token), &accept, &target, "");
                (answer.status == 429).then_some(())
            });
        }
    }
    seen.append(&mut drive.seen.into_inner());
    seen.append(&mut limit.seen.into_inner());

    // A space that has lost its service instance.
    let world = World::with(&[broker::SETTINGS, &[("REQUIRE_SERVICE_INSTANCE", "true")]].concat());
    broker::check(&world, 201, "PUT", broker::I1, &broker::instance_body().to_string());
    let (job, call) = (world.job("j"), world.call("c", "test.url"));
    broker::check(&world, 200, "DELETE", &broker::ids(broker::I1), "");
    let drive = Drive::at(&document, &world);
    for (id, guid) in [("executeJob", &job), ("executeCall", &call)] {
        let operation = drive.operation(id);
        drive.refused(&operation, Some(&world.token), &target_of(&operation.path, &[guid], &[]), "", 422);
    }
    seen.append(&mut drive.seen.into_inner());

    for (setting, status) in [(("METRICS_TOKEN", "of-the-metrics"), 401), (("METRICS_PORT", "0"), 404)] {
        let world = World::with(&[setting]);
        let drive = Drive::at(&document, &world);
        let operation = drive.operation("getMetrics");
        drive.refused(&operation, Some(&world.token), &operation.path, "", status);
        seen.append(&mut drive.seen.into_inner());
    }

    let described: BTreeSet<(String, String)> = document
        .operations()
        .iter()
        .flat_map(|operation| {
            let (_, described) = document.at(&operation.pointer);
            let statuses: Vec<&String> = described["responses"].as_object().unwrap().keys().collect();
            statuses.into_iter().map(|status| (operation.id.clone(), status.clone())).collect::<Vec<_>>()
        })
        .collect();
    let unseen: Vec<_> = described.difference(&seen).collect();
    assert!(unseen.is_empty(), "described, but never seen: {unseen:?}");
}

#[test]
fn every_example_of_the_openapi_document_is_right_and_none_is_missing() {
    let document = Document::read();
    assert_eq!(document.root["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut examples = 0;
    let mut check = |pointer: &str, object: &Map<String, Value>| {
        let is_property = pointer.ends_with("/properties");
        if let (Some(schema), false) = (object.get("schema"), is_property) {
            let what = format!("the example of {pointer}");
            let example = object.get("example").unwrap_or_else(|| panic!("{what} is missing for {schema}"));
            document.check(&document.strict, &format!("{pointer}/schema"), example, &what);
            examples += 1;
        }
        for (index, example) in
            object.get("examples").and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            document.check(&document.strict, pointer, example, &format!("{pointer}/examples/{index}"));
            examples += 1;
        }
    };
    walk("", &document.root, &mut check);
    assert!(60 < examples, "{examples}");
    for operation in document.operations() {
        let (_, described) = document.at(&operation.pointer);
        assert!(described["summary"].as_str().is_some_and(|it| !it.is_empty()), "{}", operation.id);
    }
}

fn walk(pointer: &str, value: &Value, visit: &mut dyn FnMut(&str, &Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(pointer, object);
            for (key, value) in object {
                walk(&format!("{pointer}/{}", escaped(key)), value, visit);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                walk(&format!("{pointer}/{index}"), value, visit);
            }
        }
        _ => {}
    }
}

#[test]
fn the_openapi_document_is_there_for_everybody() {
    let world = World::start();
    let answer = world.request("GET", "/openapi.json", None, &[], "");
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/json")));
    assert_eq!(answer.json(), serde_json::from_str::<Value>(DOCUMENT).unwrap());
    assert_eq!(world.request("HEAD", "/openapi.json", None, &[], "").status, 200);
}
