//! Callers who mean no good, against the whole service: odd JSON, floods, guesses, targets that are none of their business.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::cf::fake_cf::{ALWAYS, CLIENT_SECRET, FakeCf, Fault};
use super::program::{Program, ask};
use super::world::{APP, SPACE, World, wait_for};

#[test]
fn odd_json_is_422_or_comes_back_as_it_was() {
    let world = World::start();
    let jobs = format!("/jobs?app_guid={APP}");
    let refused = |body: &str| assert_eq!(world.post(&jobs, body).status, 422, "{:.80}", body);
    // In a field that nobody reads: it is passed over.
    for (number, deep) in [("[", "]"), (r#"{"a":"#, "}")].iter().enumerate() {
        let (open, close) = (deep.0.repeat(100_000), deep.1.repeat(100_000));
        let body = format!(r#"{{"name":"deep {number}","command":"c","x":{open}{number}{close}}}"#);
        assert!(matches!(world.post(&jobs, &body).status, 201 | 422));
        refused(&format!(r#"{{"name":{open}1{close},"command":"c"}}"#));
    }
    refused(&"[".repeat(100_000));
    refused(&format!(r#"{{"name":"long","command":"{}"}}"#, "c".repeat(1_000_000)));
    for number in
        ["1e999", "-1", "1.5", "99999999999999999999999999999999", "1e2", "0x10", "NaN", "\"1\"", "true"]
    {
        refused(&format!(r#"{{"name":"number {number}","command":"c","memory_in_mb":{number}}}"#));
    }
    for name in [r"\ud800", r"\udc00\ud800", r"\u12"] {
        refused(&format!(r#"{{"name":"{name}","command":"c"}}"#));
    }
    refused("\u{feff}{}");
    // Those who repeat a key get what one of the two says, as with every reader of JSON; never an error of ours.
    let twice = world.post(&jobs, r#"{"name":"first","name":"second","command":"c"}"#);
    assert!(matches!(twice.status, 201 | 422), "{}", twice.status);
    for (number, name) in
        ["nul\u{0}nul", "\u{1f600}", "\u{202e}rtl", "' OR 1=1 --", "<script>", "\u{7f}"].iter().enumerate()
    {
        let made = world.post(&jobs, &json!({"name": name, "command": format!("echo {number}")}).to_string());
        match made.status {
            201 => assert_eq!(world.get(&format!("/jobs/{}", made.guid())).json()["name"], *name),
            status => assert_eq!(status, 422, "{name:?}"),
        }
    }
}

#[test]
fn calls_go_to_public_addresses_only_when_that_is_set() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let world = World::with(&[("CALL_DENY_PRIVATE", "true")]);
    for (number, host) in
        ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0"].iter().enumerate()
    {
        let call = world.call(&format!("c{number}"), &format!("http://{host}:{port}/"));
        world.post(&format!("/calls/{call}/execute"), "");
        let ended = world.ended(&format!("/calls/{call}"));
        assert_eq!(ended["state"], "FAILED");
        assert_eq!(
            ended["message"],
            "not sent: its address is not a public one, and CALL_DENY_PRIVATE refuses the others",
            "{host}"
        );
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nobody came");
}

#[test]
fn a_caller_who_comes_too_often_is_429_and_nobody_else() {
    let world = World::with(&[("RATE_LIMIT_PER_SECOND", "1"), ("RATE_LIMIT_BURST", "5")]);
    let other = world.cf.issue_user_token("stranger", &["openid"]);
    let again = world.cf.issue_user_token("dev", &["openid"]);
    // Two tokens of one user are one caller.
    let answers: Vec<_> = (0..40)
        .map(|number| {
            let token = if number % 2 == 0 { &world.token } else { &again };
            world.request("GET", "/jobs", Some(token), &[], "")
        })
        .collect();
    let let_in = answers.iter().filter(|answer| answer.status == 200).count();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert_eq!(let_in + refused.len(), answers.len());
    assert!((5..20).contains(&let_in), "{let_in}");
    assert!(refused.iter().all(|answer| answer.header("Retry-After") == Some("1") && answer.body.is_empty()));
    assert_eq!(world.request("GET", "/jobs", Some(&other), &[], "").status, 200);
    assert_eq!(world.request("GET", "/healthz", None, &[], "").status, 200);

    let statuses: Vec<u16> =
        (0..20).map(|_| world.request("GET", "/jobs", Some("bad"), &[], "").status).collect();
    assert_eq!(statuses[0], 401);
    assert!(statuses.contains(&429), "those who insist on a bad token as well: {statuses:?}");
}

#[test]
fn what_is_not_there_takes_as_much_asking_as_what_is_not_yours() {
    let world = World::with(&[("AUTH_CACHE_SECONDS", "0")]);
    let job = world.job("j");
    let stranger = world.cf.issue_user_token("stranger", &["openid"]);
    let asked = |guid: &str| {
        world.cf.clear_requests();
        let answer = world.request("GET", &format!("/jobs/{guid}"), Some(&stranger), &[], "");
        let routes: Vec<String> = world.cf.requests().into_iter().map(|request| request.route).collect();
        (answer.status, routes)
    };
    let nobodys = "00000000-0000-4000-8000-000000000000";
    assert_eq!(asked(&job), asked(nobodys));
    world.cf.fault("GET /v3/roles", Fault::status(503, None), ALWAYS);
    assert_eq!(asked(&job), asked(nobodys), "also while Cloud Foundry is away");
}

#[test]
fn clients_that_read_a_long_list_slowly_stop_nobody_and_hold_no_read_of_the_database() {
    let world = World::with(&[("HTTP_THREADS", "4")]);
    let url = format!("http://h/{}", "u".repeat(60_000));
    for number in 0..150 {
        world.call(&format!("c{number}"), &url);
    }
    let address = world.url().trim_start_matches("http://").to_owned();
    let readers: Vec<TcpStream> = (0..16)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).unwrap();
            let head = format!(
                "GET /calls?space_guid={SPACE} HTTP/1.1\r\nHost: x\r\nAuthorization: bearer {}\r\n\r\n",
                world.token
            );
            stream.write_all(head.as_bytes()).unwrap();
            // The beginning has come, so it is under way.
            stream.read_exact(&mut [0; 64]).unwrap();
            stream
        })
        .collect();
    let job = world.job("meanwhile");
    for _ in 0..20 {
        assert_eq!(world.get(&format!("/jobs/{job}")).status, 200);
    }
    // A read that stayed open would keep the log from being emptied.
    let database = rusqlite::Connection::open(world.directory.path().join("data/s.db")).unwrap();
    let emptied = || {
        let query = "PRAGMA wal_checkpoint(TRUNCATE)";
        database.query_row(query, [], |row| row.get::<_, i64>(0)).ok().filter(|busy| *busy == 0)
    };
    wait_for(emptied);
    drop(readers);
}

#[test]
fn no_secret_reaches_a_log() {
    let directory = tempfile::tempdir().unwrap();
    let cf = FakeCf::start();
    cf.add_app("app-1", "space-1");
    cf.add_role("dev", "space-1");
    cf.complete_tasks_after(Some((Duration::ZERO, "SUCCEEDED", None)));
    let token = cf.issue_user_token("dev", &["openid"]);
    let forged = cf.forge_token("mallory", &["cloud_controller.admin"]);
    let log = directory.path().join("log");
    for format in ["text", "json"] {
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let variables = [("LOG_LEVEL", "trace"), ("LOG_FORMAT", format)];
        let mut program = Program::start_with(directory.path(), &cf, &variables, Stdio::from(file)).unwrap();
        let ask =
            |method: &str, path: &str, body: &str| ask(&program.url, &token, method, path, body).unwrap();
        let call = json!({"name": format, "url": "http://127.0.0.1:9/?key=query-secret", "auth_header": "Bearer header-secret"});
        let (status, call) = ask("POST", "/calls?app_guid=app-1&token=query-secret", &call.to_string());
        assert_eq!(status, 201);
        ask("POST", "/calls?app_guid=app-1", r#"{"name":1,"auth_header":"Bearer header-secret"#);
        let (_, job) =
            ask("POST", "/jobs?app_guid=app-1", &json!({"name": format, "command": "true"}).to_string());
        super::program::ask(&program.url, &forged, "GET", "/jobs", "");
        cf.fault("POST /v3/apps/:guid/tasks", Fault::html(500), 1);
        for (kind, made) in [("calls", &call), ("jobs", &job)] {
            let path = format!("/{kind}/{}", made["guid"].as_str().unwrap());
            ask("POST", &format!("{path}/execute"), "");
            wait_for(|| {
                let newest = ask("GET", &format!("{path}/history"), "").1["resources"][0]["state"].clone();
                matches!(newest.as_str(), Some("SUCCEEDED" | "FAILED")).then_some(())
            });
        }
        assert_eq!(program.terminate(), Some(0));
    }
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("asked Cloud Foundry") && log.contains("request id="), "it logs at all");
    for secret in [CLIENT_SECRET, "header-secret", "query-secret", &token, &forged] {
        let at = log.find(secret);
        assert_eq!(at, None, "{:?}", at.map(|at| &log[at.saturating_sub(300)..at + secret.len()]));
    }
    let tokens: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(!tokens.is_empty(), "lines of JSON are JSON");
    // Nor one of the service's own tokens, which begin like every other.
    assert!(!log.contains("eyJ"), "a token is in the log");
}

#[test]
fn a_flood_of_one_caller_keeps_neither_the_scheduler_nor_the_health_check_waiting() {
    let world = World::with(&[("HTTP_THREADS", "2")]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let call = world.call("c", &format!("http://{}/", listener.local_addr().unwrap()));
    let over = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::SeqCst) {
                    let status = world.get("/jobs").status;
                    assert!(matches!(status, 200 | 503), "{status}");
                }
            });
        }
        for _ in 0..20 {
            assert_eq!(world.request("GET", "/healthz", None, &[], "").status, 200);
        }
        let scheduled = wait_for(|| {
            let body = r#"{"enabled":true,"expression":"@every 1s"}"#;
            Some(world.post(&format!("/calls/{call}/schedules"), body)).filter(|answer| answer.status == 201)
        });
        assert!(!scheduled.guid().is_empty());
        // Its calls come, flood or no flood.
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        }
        over.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    assert_eq!(world.get("/jobs").status, 200);
}
