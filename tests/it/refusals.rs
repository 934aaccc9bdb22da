//! The details of errors for clients that accept `application/problem+json`: field, rule, and what would be
//! right.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::cf::fake_cf::Fault;
use super::world::{APP, Answer, FOREIGN_APP, FOREIGN_SPACE, World, wait_for};

const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";
const PROBLEM: [(&str, &str); 1] = [("Accept", "application/problem+json")];

#[track_caller]
fn told(answer: &Answer, status: u16, field: &str, rule: &str, detail: &str, expected: &str) -> Value {
    assert_eq!(answer.status, status, "{}", answer.body);
    let problem = answer.json();
    assert_eq!((&problem["type"], &problem["status"]), (&json!("about:blank"), &json!(status)));
    let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("{problem}"));
    let error = errors.iter().find(|error| error["field"] == field).unwrap_or_else(|| panic!("{problem}"));
    assert_eq!(error["rule"], rule, "{error}");
    for (member, words) in [("detail", detail), ("expected", expected)] {
        assert!(error[member].as_str().unwrap().contains(words), "{words:?} is not in {member} of {error}");
    }
    error.clone()
}

#[test]
fn every_broken_rule_is_reported_with_its_field_and_what_would_be_right() {
    let world = World::start();
    let (job, call) = (world.job("taken"), world.call("taken", "test.url"));
    let other = world.job("other");
    let schedule = world.post(&format!("/jobs/{job}/schedules"), r#"{"expression":"@daily"}"#).guid();
    let jobs = format!("/jobs?app_guid={APP}");
    let calls = format!("/calls?app_guid={APP}");
    let schedules = format!("/jobs/{job}/schedules");
    let one = format!("{schedules}/{schedule}");
    let (long_name, long_command) = ("x".repeat(256), "x".repeat(4097));
    let name = |name: &str| format!(r#"{{"name":{name},"command":"c"}}"#);
    let (name_number, name_long, name_half) =
        (name("3"), name(&format!("{long_name:?}")), name(r#""\ud800""#));
    let command_long = format!(r#"{{"name":"n","command":"{long_command}"}}"#);
    let foreign_app = format!(r#"{{"app_guid":"{FOREIGN_APP}"}}"#);
    let unprocessable: &[(&str, &str, &str, &str, &str, &str, &str)] = &[
        // Method and path, body; field, rule, detail, expected.
        ("POST", "/jobs", "{}", "app_guid", "missing", "is missing", "?app_guid="),
        ("POST", "/jobs?app_guid=%20", "{}", "app_guid", "blank", "is blank", "?app_guid="),
        ("POST", "/jobs?app_guid=nope", "{}", "app_guid", "unknown", "names no app", "guid of an app"),
        ("POST", "/jobs?app_guid=%zz", "{}", "query", "encoding", "a %", "two hexadecimal digits"),
        ("POST", &jobs, "", "body", "missing", "is empty", "JSON object"),
        ("POST", &jobs, "[1]", "body", "type", "is a list", "JSON object"),
        ("POST", &jobs, "null", "body", "type", "is null", "JSON object"),
        ("POST", &jobs, "name=x", "body", "json", "line 1 column 2", "JSON object"),
        ("POST", &jobs, "{\n\"name\" 3}", "body", "json", "line 2 column 8", "JSON object"),
        ("POST", &jobs, r#"{"name":"a","name":"b"}"#, "body", "duplicate", "`name`", "JSON object"),
        ("POST", &jobs, r#"{"command":"c"}"#, "name", "missing", "is missing", "string"),
        ("POST", &jobs, r#"{"name":null,"command":"c"}"#, "name", "missing", "is missing", "string"),
        ("POST", &jobs, r#"{"name":" ","command":"c"}"#, "name", "blank", "is blank", "255 characters"),
        ("POST", &jobs, &name_number, "name", "type", "is a number", "string"),
        ("POST", &jobs, &name_long, "name", "too_long", "longer than 255", "at most 255"),
        ("POST", &jobs, &name_half, "name", "type", "not well-formed", "string"),
        ("POST", &jobs, r#"{"name":"taken","command":"c"}"#, "name", "taken", "is taken", "no other job"),
        ("POST", &jobs, r#"{"name":"n"}"#, "command", "missing", "is missing", "string"),
        ("POST", &jobs, r#"{"name":"n","command":[]}"#, "command", "type", "is a list", "string"),
        ("POST", &jobs, &command_long, "command", "too_long", "longer than 4096", "at most 4096"),
        ("POST", &jobs, r#"{"disk_in_mb":1024.0}"#, "disk_in_mb", "type", "with a point", "without point"),
        ("POST", &jobs, r#"{"disk_in_mb":-1}"#, "disk_in_mb", "type", "a negative number", "from 1"),
        ("POST", &jobs, r#"{"memory_in_mb":2147483648}"#, "memory_in_mb", "range", "beyond", "2147483647"),
        ("POST", &jobs, r#"{"memory_in_mb":"64"}"#, "memory_in_mb", "type", "is a string", "whole number"),
        ("POST", &calls, r#"{"name":"n","url":""}"#, "url", "blank", "is blank", "not blank"),
        ("POST", &calls, r#"{"name":"n","url":"u"}"#, "auth_header", "missing", "is missing", "string"),
        ("PATCH", &format!("/jobs/{job}"), &foreign_app, "app_guid", "unknown", "no app", "the same space"),
        ("PATCH", &format!("/jobs/{other}"), r#"{"name":"taken"}"#, "name", "taken", "is taken", "no other"),
        ("PATCH", &format!("/calls/{call}"), r#"{"url":{}}"#, "url", "type", "is an object", "string"),
        (
            "POST",
            &calls,
            r#"{"headers":{"A":1}}"#,
            "headers",
            "type",
            "integer `1`, expected a string",
            "strings",
        ),
        ("POST", &calls, r#"{"headers":[]}"#, "headers", "type", "is a list", "strings by name"),
        ("POST", &jobs, r#"{"metadata":{"labels":"x"}}"#, "metadata", "type", "expected a map", "an object"),
        (
            "POST",
            &jobs,
            r#"{"timeout_seconds":99999999999999999999}"#,
            "timeout_seconds",
            "type",
            "large",
            "604800",
        ),
        (
            "POST",
            &schedules,
            r#"{"expression":"@at 2500-01-01T00:00:00Z"}"#,
            "expression",
            "far",
            "2261",
            "earlier",
        ),
        (
            "POST",
            &schedules,
            r#"{"expression":"@at 2020-01-01T00:00:00Z"}"#,
            "expression",
            "past",
            "past",
            "to come",
        ),
        ("POST", &schedules, "{}", "expression", "missing", "is missing", "string"),
        ("POST", &schedules, r#"{"enabled":"yes"}"#, "enabled", "type", "is a string", "true or false"),
        (
            "POST",
            &schedules,
            r#"{"expression_type":"simple"}"#,
            "expression_type",
            "value",
            "is not",
            "cron_expression",
        ),
        (
            "POST",
            &schedules,
            r#"{"expression_type":3}"#,
            "expression_type",
            "type",
            "is a number",
            "cron_expression",
        ),
        ("PATCH", &one, r#"{"expression":"x"}"#, "expression", "cron", "there is one field", "minute, hour"),
        ("GET", "/jobs?space_guid=", "", "space_guid", "blank", "is blank", "guid of a space"),
        ("GET", "/jobs?detailed=", "", "detailed", "value", "neither", "true or false"),
        ("GET", "/jobs?detailed=1", "", "detailed", "value", "neither", "true or false"),
        ("GET", "/jobs?page=0", "", "page", "range", "is below 1", "at least 1"),
        ("GET", "/jobs?page=x", "", "page", "type", "is not a whole number", "digits"),
        ("GET", "/calls?per_page=501", "", "per_page", "range", "is beyond 500", "from 1 to 500"),
        ("GET", "/upcoming?until=2500-01-01T00:00:00Z", "", "until", "form", "beyond the years", "RFC 3339"),
        ("GET", "/cron/next", "", "expression", "missing", "is missing", "?expression="),
        (
            "GET",
            "/cron/next?expression=@daily&after=x",
            "",
            "after",
            "time",
            "no time",
            "2026-03-01T00:00:00Z",
        ),
        (
            "GET",
            "/cron/next?expression=@daily&count=101",
            "",
            "count",
            "range",
            "beyond 100",
            "from 1 to 100",
        ),
        (
            "GET",
            &format!("/jobs/{job}/history/x/output?offset=-1"),
            "",
            "offset",
            "type",
            "whole",
            "at least 0",
        ),
    ];
    for (method, path, body, field, rule, detail, expected) in unprocessable {
        let answer = world.request(method, path, Some(&world.token), &PROBLEM, body);
        told(&answer, 422, field, rule, detail, expected);
    }

    let not_found = ("not_found", "names nothing that you may see", "in a space in which");
    let mut cases = vec![
        ("GET", "/nope".to_owned(), 404, "path", ("unknown", "not a path of this API", "/openapi.json")),
        (
            "DELETE",
            "/jobs".to_owned(),
            405,
            "method",
            ("method", "not a method of this path", "GET, HEAD, POST, PUT"),
        ),
    ];
    for path in [
        format!("/jobs/{UNKNOWN}"),
        format!("/calls/{job}"),
        format!("{schedules}/{UNKNOWN}/history"),
        format!("/jobs/{other}/schedules/{schedule}/history"),
        format!("/jobs/{job}/history/{UNKNOWN}/output"),
    ] {
        cases.push(("GET", path, 404, "path", not_found));
    }
    for (method, path, status, field, (rule, detail, expected)) in cases {
        let answer = world.request(method, &path, Some(&world.token), &PROBLEM, "");
        told(&answer, status, field, rule, detail, expected);
    }
    let large = world.request("POST", &jobs, Some(&world.token), &PROBLEM, &"x".repeat(1024 * 1024 + 1));
    told(&large, 413, "body", "too_long", "more than 1048576", "at most 1048576");
}

#[test]
fn refused_callers_learn_why_and_nothing_about_what_exists() {
    let world = World::start();
    let nobody = world.cf.issue_cf_token("nobody");
    for (headers, words) in [
        (&[][..], "there is no Authorization header"),
        (&[("Authorization", "Basic YTpi")], "contains no bearer token"),
        (&[("Authorization", "bearer nope")], "does not accept the token"),
        (&[("Authorization", &format!("bearer {nobody}"))], "no developer or manager of any space"),
    ] {
        let headers: Vec<(&str, &str)> = headers.iter().copied().chain(PROBLEM).collect();
        let answer = world.request("GET", "/jobs", None, &headers, "");
        told(&answer, 401, "Authorization", "authorization", words, "bearer TOKEN");
        assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"));
    }
    let foreign = world.cf.issue_cf_token("stranger");
    let (job, call) = (world.job("j"), world.call("c", "test.url"));
    let schedule = world.post(&format!("/jobs/{job}/schedules"), r#"{"expression":"@daily"}"#).guid();
    let ask = |method: &str, path: &str, token: &str, body: &str| {
        let answer = world.request(method, path, Some(token), &PROBLEM, body);
        (answer.status, answer.json())
    };
    let body = r#"{"name":"n","command":"c"}"#;
    for (there, nowhere) in [
        (format!("/jobs/{job}"), format!("/jobs/{UNKNOWN}")),
        (format!("/calls/{call}"), format!("/calls/{UNKNOWN}")),
        (
            format!("/jobs/{job}/schedules/{schedule}/history"),
            format!("/jobs/{UNKNOWN}/schedules/{UNKNOWN}/history"),
        ),
    ] {
        assert_eq!(ask("GET", &there, &foreign, ""), ask("GET", &nowhere, &foreign, ""), "{there}");
    }
    let app = |app: &str| ask("POST", &format!("/jobs?app_guid={app}"), &world.token, body);
    assert_eq!(app(FOREIGN_APP), app("nope"));
    let space = |space: &str| ask("GET", &format!("/jobs?space_guid={space}"), &world.token, "");
    assert_eq!(space(FOREIGN_SPACE), space("nope"));
    assert_eq!(space("nope").0, 401);
    assert_eq!(space("nope").1["errors"][0]["field"], "space_guid");
    let patch = |app: &str| {
        ask("PATCH", &format!("/jobs/{job}"), &world.token, &format!(r#"{{"app_guid":"{app}"}}"#))
    };
    assert_eq!(patch(FOREIGN_APP), patch("nope"));
}

#[test]
fn callers_who_must_retry_learn_when() {
    let limited = World::with(&[("RATE_LIMIT_PER_SECOND", "1"), ("RATE_LIMIT_BURST", "1")]);
    let answer = wait_for(|| {
        let answer = limited.request("GET", "/jobs", Some(&limited.token), &PROBLEM, "");
        (answer.status == 429).then_some(answer)
    });
    let problem = answer.json();
    assert_eq!(answer.header("Retry-After"), Some("1"));
    assert_eq!(problem["retry_after_seconds"], 1);
    told(&answer, 429, "Authorization", "rate", "over the rate limit", "in 1 s");
    assert!(problem["detail"].as_str().unwrap().contains("retry in 1 s"), "{problem}");

    let world = World::with(&[("AUTH_CACHE_SECONDS", "0")]);
    world.cf.fault("*", Fault::status(503, Some(("Retry-After", "7"))), 100);
    let answer = world.request("GET", "/jobs", Some(&world.token), &PROBLEM, "");
    let problem = answer.json();
    assert_eq!(
        (answer.status, answer.header("Retry-After")),
        (503, problem["retry_after_seconds"].as_u64().map(|it| it.to_string()).as_deref())
    );
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("nothing was changed") && detail.contains("again later"), "{detail}");
}

#[test]
fn an_invalid_cron_expression_is_reported_with_field_and_character() {
    let world = World::start();
    // An expression; field, character (from 1), what is wrong there, and a word of what would be right.
    let cases = [
        ("60 * * * *", "minute", 1, "in field 1 (minute), at character 1: 60 is beyond 59", "from 0 to 59"),
        ("0 24 * * *", "hour", 3, "in field 2 (hour), at character 3: 24 is beyond 23", "from 0 to 23"),
        ("0 0 32 * *", "day-of-month", 5, "in field 3 (day-of-month), at character 5: 32 is beyond 31", "LW"),
        ("0 0 1,0 * *", "day-of-month", 7, "0 is below 1", "from 1 to 31"),
        ("0 0 L-31 * *", "day-of-month", 7, "31 is beyond 30", "behind L-"),
        ("0 0 1 JAN-XYZ *", "month", 11, "\"XYZ\" is not a number or a name", "JAN to DEC"),
        (
            "0 0 * * 8",
            "day-of-week",
            9,
            "in field 5 (day-of-week), at character 9: 8 is beyond 7",
            "SUN to SAT",
        ),
        ("0 0 * * 5#6", "day-of-week", 11, "6 is beyond 5", "behind #"),
        ("0 0 1 1 * 2030-2026", "year", 11, "is reversed", "from the lower to the higher"),
        ("0 0 1 1 * 1969", "year", 11, "in field 6 (year), at character 11: 1969 is below 1970", "2099"),
        ("*/0 * * * *", "minute", 3, "\"0\" is not a step", "at least 1"),
        ("1,,2 * * * *", "minute", 3, "a number is missing", "a list of these"),
        ("  0 x * * *", "hour", 5, "\"x\" is not a number", "from 0 to 23"),
        ("0 0 * *", "expression", 8, "there are 4 fields", "day of week"),
        ("0 0 * * * * *", "expression", 13, "there are 7 fields", "day of week"),
        ("@dayly", "descriptor", 1, "\"@dayly\" is not known", "@daily"),
        ("@daily now", "descriptor", 8, "nothing may follow here", "alone"),
        ("@every soon", "@every", 8, "in the @every, at character 8: \"soon\" is no duration", "1h30m"),
        ("@every", "descriptor", 1, "@every takes one duration", "1h30m"),
        ("@at", "descriptor", 1, "@at takes one time", "2026-12-31T23:59:00"),
        ("@at 2026-12-31", "@at", 5, "\"2026-12-31\" is no time", "a local time"),
        ("@attention", "descriptor", 1, "\"@attention\" is not known", "@at and one time"),
        (
            "TZ=Mars/Base 0 0 * * *",
            "time zone",
            4,
            "in the time zone, at character 4: \"Mars/Base\"",
            "Europe/Berlin",
        ),
    ];
    for (expression, part, position, detail, expected) in cases {
        let query = expression.replace(' ', "%20").replace('#', "%23");
        let path = format!("/cron/next?expression={query}");
        let answer = world.request("GET", &path, Some(&world.token), &PROBLEM, "");
        let error = told(&answer, 422, "expression", "cron", detail, expected);
        assert_eq!((&error["part"], &error["position"]), (&json!(part), &json!(position)), "{expression}");
    }
}

#[test]
fn a_head_that_is_too_long_or_malformed_is_told_so_as_far_as_it_says_what_it_accepts() {
    let world = World::start();
    let begin = "GET /jobs HTTP/1.1\r\nHost: x\r\naccept: application/problem+json\r\n";
    for (rest, status, field, words) in [
        ("a:\r\n".repeat(4096), 431, "head", "more than 4096 headers"),
        (format!("X: {}", "x".repeat(64 * 1024)), 431, "head", "more than 65536 bytes"),
        ("X Y: z".to_owned(), 400, "request", "invalid header name"),
        ("Content-Length: x".to_owned(), 400, "request", "not a number"),
        ("Expect: x".to_owned(), 417, "Expect", "100-continue"),
    ] {
        let mut client = TcpStream::connect(world.url().trim_start_matches("http://")).unwrap();
        client.write_all(format!("{begin}{rest}\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let problem: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        let error = &problem["errors"][0];
        assert_eq!(error["field"], field, "{problem}");
        assert!(error["detail"].as_str().unwrap().contains(words), "{problem}");
        assert!(!error["expected"].as_str().unwrap().is_empty());
    }
}

/// The headers of the PCF Java client 2.2.0 and of plugin 2.x.
const JAVA_CLIENT: [(&str, &str); 4] = [
    ("user-agent", "CloudFoundryJavaClient/unknown (Java; Debian/17.0.15) ReactorNetty/0.9.7.RELEASE"),
    ("accept-encoding", "gzip"),
    ("accept", "application/json"),
    ("Content-Type", "application/json"),
];
const PLUGIN_2: [(&str, &str); 4] = [
    ("User-Agent", "ocf-scheduler-cf-plugin"),
    ("Accept-Encoding", "gzip"),
    ("Accept", "application/json"),
    ("Content-Type", "application/json"),
];

#[test]
fn the_java_client_gets_why_it_was_refused_and_plugin_2_where() {
    let world = World::start();
    let job = world.job("taken");
    let call = world.call("c", "test.url");
    let jobs = format!("/jobs?app_guid={APP}");
    let job_schedules = format!("/jobs/{job}/schedules");
    let call_schedules = format!("/calls/{call}/schedules");
    let expression =
        |text: &str| json!({"expression": text, "expression_type": "cron_expression"}).to_string();
    let error = |path: &str, body: &str| {
        let answers = [&JAVA_CLIENT[..], &PLUGIN_2[..]].map(|headers| {
            let answer = world.request("POST", path, Some(&world.token), headers, body);
            assert_eq!((answer.status, answer.header("Content-Type")), (422, Some("application/json")));
            answer.json()
        });
        assert_eq!(answers[0], answers[1]);
        let [refusal, _] = answers;
        assert_eq!(refusal["description"], "Validation of resource failed.");
        assert_eq!(refusal["warnings"], json!([]));
        let error = refusal["errors"][0].clone();
        assert_eq!(error["messages"], json!([error["message"]]), "{error}");
        error
    };
    // Body; resource, code, field and a word of the message.
    for (path, body, resource, code, field, words) in [
        (&jobs, r#"{"name":"taken","command":"c"}"#.to_owned(), "job", "taken", "name", "is taken"),
        (&jobs, r#"{"name":"n"}"#.to_owned(), "job", "missing", "command", "is missing"),
        (&jobs, "nonsense".to_owned(), "job", "json", "body", "not JSON"),
        (&job_schedules, "{}".to_owned(), "schedule", "missing", "expression", "is missing"),
    ] {
        let error = error(path, &body);
        assert_eq!(
            (&error["resource"], &error["code"], &error["field"]),
            (&json!(resource), &json!(code), &json!(field))
        );
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
        for absent in ["value", "valid_range", "offset"] {
            assert_eq!(error.get(absent), None, "{error}");
        }
    }
    for (text, field, value, range, offset) in [
        ("60 * * * *", "minute", "60", Some("0-59"), 0),
        ("  0 24 * * *  ", "hour", "24", Some("0-23"), 2),
        ("0 0 1,32 * *", "day-of-month", "32", Some("1-31"), 6),
        ("TZ=Mars/Base 0 0 * * *", "time zone", "Mars/Base", None, 3),
        ("@every soon", "@every", "soon", None, 7),
    ] {
        let error = error(&call_schedules, &expression(text));
        assert_eq!(
            (&error["resource"], &error["code"]),
            (&json!("schedule"), &json!("parse_error")),
            "{text}"
        );
        assert_eq!((&error["field"], &error["value"]), (&json!(field), &json!(value)), "{error}");
        assert_eq!(error["offset"], json!(offset), "{error}");
        assert!(text.trim()[offset..].starts_with(value), "{text}");
        if let Some(range) = range {
            assert_eq!(error["valid_range"], json!(range), "{error}");
        }
    }
    let count = error(&job_schedules, &expression("0 0 * *"));
    assert_eq!((&count["code"], count.get("field")), (&json!("parse_error"), None));
}

#[test]
fn other_errors_are_described_by_their_status_for_clients_that_accept_json() {
    let world = World::start();
    let job = world.job("j");
    let get = |path: &str, token: Option<&str>, headers: &[(&str, &str)]| {
        world.request("GET", path, token, headers, "")
    };
    let none = format!("/jobs/{UNKNOWN}");
    for (method, path, token, status, description) in [
        ("GET", "/nope", None, 404, "Not Found"),
        ("GET", "/jobs", None, 401, "Unauthorized"),
        ("GET", "/jobs", Some("bad"), 401, "Unauthorized"),
        ("DELETE", "/jobs", None, 405, "Method Not Allowed"),
        ("DELETE", &none, Some(world.token.as_str()), 404, "Not Found"),
    ] {
        let answer = world.request(method, path, token, &JAVA_CLIENT, "");
        let expected = json!({"description": description, "errors": [], "warnings": []});
        assert_eq!((answer.status, answer.json()), (status, expected), "{method} {path}");
        let curl = world.request(method, path, token, &[("Accept", "*/*")], "");
        assert_eq!((curl.status, curl.body.as_str()), (status, ""), "{method} {path}");
        let silent = world.request(method, path, token, &[], "");
        assert_eq!((silent.status, silent.body.as_str()), (status, ""), "{method} {path}");
    }
    for (accept, content_type) in [
        ("application/json, application/problem+json", "application/problem+json"),
        ("application/problem+json;q=0.5, application/json", "application/problem+json"),
        ("text/html, Application/JSON; charset=utf-8", "application/json"),
    ] {
        let answer = get("/jobs?page=0", Some(&world.token), &[("Accept", accept)]);
        assert_eq!(answer.header("Content-Type"), Some(content_type), "{accept}");
    }
    let large = world.request(
        "PATCH",
        &format!("/jobs/{job}"),
        Some(&world.token),
        &PLUGIN_2,
        &"x".repeat(1024 * 1024 + 1),
    );
    assert_eq!(large.status, 413);
    assert!(large.json()["description"].as_str().unwrap().contains("Too Large"), "{}", large.body);

    let down = World::with(&[("AUTH_CACHE_SECONDS", "0")]);
    down.cf.fault("*", Fault::status(503, None), 100);
    let answer = down.request("GET", "/jobs", Some(&down.token), &JAVA_CLIENT, "");
    assert_eq!((answer.status, answer.json()["description"].as_str()), (503, Some("Service Unavailable")));
    assert!(answer.header("Retry-After").is_some());
}

#[test]
fn a_head_that_is_refused_has_the_json_body_as_far_as_it_says_what_it_accepts() {
    let world = World::start();
    for (accept, has_body) in [
        ("accept: application/json\r\n", true),
        ("Accept: text/plain\r\nAccept: application/json\r\n", true),
        ("Accept: */*\r\n", false),
        ("", false),
    ] {
        let begin = format!("GET /jobs HTTP/1.1\r\nHost: x\r\n{accept}");
        for (rest, status) in [
            ("a:\r\n".repeat(4096), 431),
            (format!("X: {}", "x".repeat(64 * 1024)), 431),
            ("X Y: z".to_owned(), 400),
            ("Content-Length: x".to_owned(), 400),
            ("Content-Length: 1048577".to_owned(), 401),
            ("Expect: x".to_owned(), 417),
        ] {
            let mut client = TcpStream::connect(world.url().trim_start_matches("http://")).unwrap();
            client.write_all(format!("{begin}{rest}\r\n\r\n").as_bytes()).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            let body = answer.split_once("\r\n\r\n").unwrap().1;
            if has_body {
                let refusal: Value = serde_json::from_str(body).unwrap();
                assert!(!refusal["description"].as_str().unwrap().is_empty(), "{refusal}");
                assert_eq!((&refusal["errors"], &refusal["warnings"]), (&json!([]), &json!([])));
            } else {
                assert_eq!(body, "", "{answer}");
            }
        }
    }
}
