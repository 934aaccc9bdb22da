//! Hostile callers against the whole service: odd JSON, floods, guesses, forbidden targets.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::cf::fake_cf::{ALWAYS, CLIENT_SECRET, FakeCf, Fault, tls_config};
use super::database::is_postgres;
use super::program::{Program, ask};
use super::world::{APP, SPACE, World, wait_for};
use ocf_scheduler::base::clock;

#[test]
fn odd_json_is_a_422_or_returned_unchanged() {
    let world = World::start();
    let jobs = format!("/jobs?app_guid={APP}");
    let refused = |body: &str| assert_eq!(world.post(&jobs, body).status, 422, "{body:.80}");
    // In a field that nobody reads, it is ignored.
    for (number, deep) in [("[", "]"), (r#"{"a":"#, "}")].iter().enumerate() {
        let (open, close) = (deep.0.repeat(100_000), deep.1.repeat(100_000));
        let body = format!(r#"{{"name":"deep {number}","command":"c","x":{open}{number}{close}}}"#);
        assert!(matches!(world.post(&jobs, &body).status, 201 | 422));
        refused(&format!(r#"{{"name":{open}1{close},"command":"c"}}"#));
        refused(&format!(r#"{{"name":"deep","command":"c","memory_in_mb":{open}1{close}}}"#));
        refused(&format!(r#"{{"name":"deep","command":"c","x":{open}"#));
    }
    refused(&"[".repeat(100_000));
    refused(&"{\"name\":".repeat(100_000));
    refused(&format!(r#"{{"name":"long","command":"{}"}}"#, "c".repeat(1_000_000)));
    refused(&format!(r#"{{"name":"{}","command":"c"}}"#, "n".repeat(1_000_000)));
    for number in
        ["1e999", "-1", "1.5", "99999999999999999999999999999999", "1e2", "0x10", "NaN", "\"1\"", "true"]
    {
        refused(&format!(r#"{{"name":"number {number}","command":"c","memory_in_mb":{number}}}"#));
    }
    refused(&format!(r#"{{"name":"number","command":"c","disk_in_mb":{}}}"#, "9".repeat(1_000_000)));
    for name in [r"\ud800", r"\udc00\ud800", r"\ud800\u0041", r"\u12", "\\x", "\u{0}", "\n"] {
        refused(&format!(r#"{{"name":"{name}","command":"c"}}"#));
    }
    refused("\u{feff}{}");
    // A number in a field that nobody reads does no harm, however huge.
    let huge = format!(r#"{{"name":"huge","command":"c","x":{0},"y":1e{0}}}"#, "9".repeat(400_000));
    assert!(matches!(world.post(&jobs, &huge).status, 201 | 422));
    // No standard says which of two counts.
    refused(r#"{"name":"first","name":"second","command":"c"}"#);
    for text in
        ["nul\u{0}nul", "\u{0}", "\u{1f600}", "\u{202e}rtl", "' OR 1=1 --", "<script>", "\u{7f}", "\u{fffe}"]
    {
        // Characters that no header can carry are refused there: see `calls`.
        let header = text.replace(|c: char| c.is_ascii_control(), "x");
        let body = json!({"name": text, "command": text, "url": text, "auth_header": header}).to_string();
        for kind in ["jobs", "calls"] {
            let made = world.post(&format!("/{kind}?app_guid={APP}"), &body);
            assert_eq!(made.status, 201, "{text:?}");
            let shown = world.get(&format!("/{kind}/{}", made.guid())).json();
            let listed = world.get(&format!("/{kind}")).json()["resources"].as_array().unwrap().clone();
            assert!(listed.contains(&shown), "{text:?}");
            for field in ["name", "command", "url"] {
                assert!(shown.get(field).is_none_or(|shown| shown == text), "{text:?}: {shown}");
            }
            assert_eq!(
                world.post(&format!("/{kind}?app_guid={APP}"), &body).status,
                422,
                "the name is taken"
            );
        }
    }
    // Two names differ, however similarly they begin.
    assert_eq!(world.post(&jobs, r#"{"name":"nul\u0000other","command":"c"}"#).status, 201);
}

#[test]
fn with_the_setting_calls_reach_only_public_addresses() {
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

/// A proxy that serves all targets itself, and redirects `/to/URL` to that URL. Returns its URL, and the
/// targets that clients ask it for.
fn proxy() -> (&'static str, Arc<Mutex<Vec<String>>>) {
    let (config, _) = tls_config(&["localhost"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://user:proxy-secret@{}", listener.local_addr().unwrap());
    let asked_for = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked_for);
    thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let head = head_of(&mut client);
            seen.lock().unwrap().push(head.split(' ').nth(1).unwrap().to_owned());
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut client = rustls::StreamOwned::new(connection, client);
            let head = head_of(&mut client);
            let Some(path) = head.split(' ').nth(1) else { continue };
            let status = match path.strip_prefix("/to/") {
                Some(url) => format!("302 Found\r\nLocation: {url}"),
                None => "200 OK".to_owned(),
            };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            client.write_all(answer.as_bytes()).and_then(|()| client.flush()).unwrap();
        }
    });
    (Box::leak(url.into_boxed_str()), asked_for)
}

fn head_of(client: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn with_the_setting_no_redirect_and_no_proxy_leads_to_a_private_address() {
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = inside.local_addr().unwrap().port();
    let (proxy, asked_for) = proxy();
    let outcome = |world: &World, url: &str| {
        asked_for.lock().unwrap().clear();
        let call = world.call(url, url);
        world.post(&format!("/calls/{call}/execute"), "");
        let ended = world.ended(&format!("/calls/{call}"));
        let message = ended["message"].as_str().unwrap().to_owned();
        (message, asked_for.lock().unwrap().join(" "))
    };
    const REASON: &str = "its address is not a public one, and CALL_DENY_PRIVATE refuses the others";
    let through = [("HTTPS_PROXY", proxy), ("SKIP_SSL_VALIDATION", "true")];
    let world = World::with(&[&through[..], &[("CALL_DENY_PRIVATE", "true")]].concat());
    let check = |url: &str, message: &str, asked_for: &str| {
        assert_eq!(outcome(&world, url), (message.to_owned(), asked_for.to_owned()), "{url}");
    };
    let not_sent = format!("not sent: {REASON}");
    check("https://1.1.1.1/", "answered 200 OK", "1.1.1.1:443");
    check("https://[2606:4700::1]:8443/", "answered 200 OK", "[2606:4700::1]:8443");
    // With a name in a CONNECT, the address is requested, not what the proxy might resolve it to.
    assert_eq!(outcome(&world, "https://16843009/").1, "1.1.1.1:443");
    check("https://127.0.0.1/", &not_sent, "");
    check("https://2130706433/", &not_sent, "");
    check("https://localhost/", &not_sent, "");
    check("https://[::ffff:10.0.0.1]/", &not_sent, "");
    let not_followed = format!("answered 302 Found, which was not followed: {REASON}");
    check(&format!("https://1.1.1.1/to/http://127.0.0.1:{port}/"), &not_followed, "1.1.1.1:443");
    check(&format!("https://1.1.1.1/to/https://localhost:{port}/"), &not_followed, "1.1.1.1:443");
    inside.set_nonblocking(true).unwrap();
    assert!(inside.accept().is_err(), "nobody came");

    // Without the setting, all of it works.
    let world = World::with(&through);
    assert_eq!(
        outcome(&world, "https://localhost/"),
        ("answered 200 OK".to_owned(), "localhost:443".to_owned())
    );
    inside.set_nonblocking(false).unwrap();
    let target = thread::spawn(move || {
        let (mut client, _) = inside.accept().unwrap();
        head_of(&mut client);
        client.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
    });
    let (message, _) = outcome(&world, &format!("https://1.1.1.1/to/http://127.0.0.1:{port}/"));
    assert_eq!(message, "answered 204 No Content");
    target.join().unwrap();
}

#[test]
fn a_caller_over_the_limit_is_refused_before_anybody_is_asked_about_the_token() {
    let world = World::with(&[
        ("RATE_LIMIT_PER_SECOND", "1"),
        ("RATE_LIMIT_BURST", "5"),
        ("AUTH_CACHE_SECONDS", "0"),
    ]);
    let bad = "x".repeat(2000);
    for token in [world.token.as_str(), &bad] {
        world.cf.clear_requests();
        let began = clock::instant();
        let refused = (0..60)
            .map(|_| world.request("GET", "/jobs", Some(token), &[], "").status)
            .filter(|status| *status == 429)
            .count();
        assert!(0 < refused);
        // Two buckets of five, and what they gain meanwhile; each time UAA and perhaps Cloud Foundry are
        // asked.
        let most = 2 * 2 * (5 + usize::try_from(began.elapsed().as_secs()).unwrap() + 1);
        let asked = world.cf.requests().len();
        assert!(asked <= most, "{asked} requests, of {most}");
    }
    for path in ["/healthz", "/readyz", "/"] {
        assert!((0..20).all(|_| world.request("GET", path, None, &[], "").status == 200), "{path}");
    }
}

#[test]
fn a_caller_over_the_rate_limit_gets_a_429_and_nobody_else_does() {
    let world = World::with(&[("RATE_LIMIT_PER_SECOND", "1"), ("RATE_LIMIT_BURST", "5")]);
    let other = world.cf.issue_cf_token("stranger");
    let again = world.cf.issue_cf_token("dev");
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
fn missing_and_foreign_objects_look_the_same_and_cost_the_same_requests() {
    let world = World::with(&[("AUTH_CACHE_SECONDS", "0")]);
    let stranger = world.cf.issue_cf_token("stranger");
    let (job, call) = (world.job("j"), world.call("c", "http://127.0.0.1:9/"));
    let schedule =
        world.post(&format!("/jobs/{job}/schedules"), r#"{"expression":"0 0 1 1 *","enabled":false}"#).guid();
    let asked = |method: &str, path: &str, body: &str| {
        world.cf.clear_requests();
        let answers = ["*/*", "application/json", "application/problem+json"].map(|accept| {
            let headers = [("Accept", accept), ("X-Request-Id", "1")];
            let answer = world.request(method, path, Some(&stranger), &headers, body);
            assert!((400..500).contains(&answer.status) || answer.status == 503, "{path} {}", answer.status);
            let headers: Vec<_> = answer.headers.into_iter().filter(|(name, _)| name != "date").collect();
            (answer.status, headers, answer.body)
        });
        let routes: Vec<String> = world.cf.requests().into_iter().map(|request| request.route).collect();
        (answers, routes)
    };
    let nobodys = "00000000-0000-4000-8000-000000000000";
    let named = r#"{"name":"n","command":"c","url":"u","auth_header":"a","expression":"@daily"}"#;
    let compare = || {
        for (method, yours, body) in [
            ("GET", "/jobs/JOB", ""),
            ("GET", "/calls/CALL", ""),
            ("PATCH", "/jobs/JOB", named),
            ("PATCH", "/jobs/JOB", "nonsense"),
            ("DELETE", "/jobs/JOB", ""),
            ("POST", "/calls/CALL/execute", ""),
            ("GET", "/calls/CALL/history?page=x", ""),
            ("GET", "/jobs/JOB/schedules", ""),
            ("POST", "/jobs/JOB/schedules", named),
            ("POST", "/jobs/JOB/schedules", "nonsense"),
            ("GET", "/jobs/JOB/schedules/SCHEDULE/history", ""),
            ("PATCH", "/jobs/JOB/schedules/SCHEDULE", named),
            ("DELETE", "/jobs/JOB/schedules/SCHEDULE", ""),
            ("POST", "/jobs?app_guid=APP", named),
            ("POST", "/jobs?app_guid=APP", "nonsense"),
            ("GET", "/jobs?space_guid=SPACE", ""),
        ] {
            let with = |job: &str, call: &str, schedule: &str, app: &str, space: &str| {
                let path = yours.replace("JOB", job).replace("CALL", call).replace("SCHEDULE", schedule);
                path.replace("APP", app).replace("SPACE", space)
            };
            assert_eq!(
                asked(method, &with(&job, &call, &schedule, APP, SPACE), body),
                asked(method, &with(nobodys, nobodys, nobodys, nobodys, nobodys), body),
                "{method} {yours}"
            );
        }
    };
    compare();
    world.cf.fault("GET /v3/roles", Fault::status(503, None), ALWAYS);
    compare();
}

#[test]
fn slow_readers_of_a_long_list_block_nobody_and_hold_no_database_read() {
    let world = World::with(&[("HTTP_THREADS", "4")]);
    let url = format!("http://h/{}", "u".repeat(16_000));
    for number in 0..500 {
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
            // The beginning has arrived, so the answer is in progress.
            stream.read_exact(&mut [0; 64]).unwrap();
            stream
        })
        .collect();
    let job = world.job("meanwhile");
    for _ in 0..20 {
        assert_eq!(world.get(&format!("/jobs/{job}")).status, 200);
    }
    if is_postgres() {
        let database = world.database();
        let open = "SELECT COUNT(*) FROM pg_stat_activity
                     WHERE application_name = 'ocf-scheduler' AND state LIKE 'idle in transaction%' AND query LIKE '%executables%'";
        assert_eq!(database.number(open), 0);
        return;
    }
    // A read that stayed open would keep the write-ahead log from being emptied.
    let database = rusqlite::Connection::open(world.directory.path().join("data/s.db")).unwrap();
    let emptied = || {
        let query = "PRAGMA wal_checkpoint(TRUNCATE)";
        database.query_row(query, [], |row| row.get::<_, i64>(0)).ok().filter(|busy| *busy == 0)
    };
    wait_for(emptied);
    drop(readers);
}

#[test]
fn slow_readers_of_long_strings_cost_little_memory() {
    let (cf, token) = cf_with_a_developer();
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &cf, &[("CLIENT_TIMEOUT_SECONDS", "60")]).unwrap();
    let long = "u".repeat(16 * 1024);
    for number in 0..500 {
        let call = json!({"name": number.to_string(), "url": long, "auth_header": long}).to_string();
        let (status, made) = ask(&program.url, &token, "POST", "/calls?app_guid=app-1", &call).unwrap();
        assert_eq!(
            (status, made["url"].as_str()),
            (201, Some(long.as_str())),
            "taken and returned unchanged"
        );
    }
    let _readers: Vec<TcpStream> = (0..16)
        .map(|number| {
            let path = if number % 2 == 0 { "/calls" } else { "/calls?page=1" };
            let mut stream = connect(&program);
            let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: bearer {token}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            stream.read_exact(&mut [0; 64]).unwrap();
            stream
        })
        .collect();
    let one = ask(&program.url, &token, "GET", "/calls?page=500&per_page=1", "").unwrap().1;
    assert_eq!(one["resources"][0]["name"], "499");
    // Sixteen times the whole list would be 256 MB.
    let peak = figure(&program, "status", "VmHWM:") / 1024;
    assert!(peak < 150, "{peak} MB");
    // As many descriptors as there are connections, and those of a few reads at a time.
    let descriptors =
        std::fs::read_dir(format!("/proc/{}/fd", program.pid().as_raw_nonzero())).unwrap().count();
    assert!(descriptors < 100, "{descriptors}");
}

#[test]
fn waiting_connections_cost_no_cpu() {
    let (cf, _) = cf_with_a_developer();
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &cf, &[]).unwrap();
    let _idle: Vec<TcpStream> = (0..300)
        .map(|number| {
            let mut stream = connect(&program);
            stream.write_all(if number % 2 == 0 { b"" } else { b"GET / HTTP/1.1\r\n" }).unwrap();
            stream
        })
        .collect();
    // All of them have been accepted.
    wait_for(|| (300 < figure(&program, "status", "Threads:")).then_some(()));
    let before = cpu_ticks(&program);
    let _ = crossbeam_channel::after(Duration::from_secs(2)).recv();
    // Hundredths of a second: a thread that never rests has 200, or fewer on a busy machine.
    let spent = cpu_ticks(&program) - before;
    assert!(spent < 40, "{spent}");
}

#[test]
fn without_descriptors_the_whole_service_waits_and_then_answers_again() {
    let (cf, token) = cf_with_a_developer();
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &cf, &[]).unwrap();
    // It did not know the limit when it started, so it hits it, also for its database and its requests to
    // Cloud Foundry.
    let limit = rustix::process::Rlimit { current: Some(256), maximum: Some(256) };
    rustix::process::prlimit(Some(program.pid()), rustix::process::Resource::Nofile, limit).unwrap();
    for beginning in ["", "GET / HTTP/1.1\r\n"] {
        let flood: Vec<TcpStream> = (0..400)
            .map(|_| {
                let mut stream = connect(&program);
                // Some are closed for others.
                let _ = stream.write_all(beginning.as_bytes());
                stream
            })
            .collect();
        if beginning.is_empty() {
            assert_eq!(ask(&program.url, &token, "GET", "/jobs", "").unwrap().0, 200);
        }
        drop(flood);
        wait_for(|| ask(&program.url, &token, "GET", "/jobs", "").filter(|(status, _)| *status == 200));
    }
    let made = ask(&program.url, &token, "POST", "/jobs?app_guid=app-1", r#"{"name":"n","command":"c"}"#);
    assert_eq!(made.unwrap().0, 201);
}

/// Sends the beginning of a request on a connection of its own.
fn begin(program: &Program, beginning: &str) -> TcpStream {
    let mut stream = connect(program);
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // An error means that it was refused before its end.
    let _ = stream.write_all(beginning.as_bytes());
    stream
}

#[test]
fn without_a_token_the_head_is_refused_after_path_and_method() {
    let (cf, _) = cf_with_a_developer();
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &cf, &[]).unwrap();
    for (request, status) in [
        ("POST /jobs?app_guid=app-1", "401"),
        ("PATCH /calls/g/schedules/s", "401"),
        ("POST /jobs/g/execute", "401"),
        ("GET /cron/next", "401"),
        ("POST /nowhere", "404"),
        ("POST /v2/catalog", "404"),
        ("DELETE /jobs", "405"),
        ("POST /healthz", "405"),
    ] {
        // The body never arrives.
        let mut client =
            begin(&program, &format!("{request} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"));
        assert!(head_of(&mut client).starts_with(&format!("HTTP/1.1 {status} ")), "{request}");
    }
}

#[test]
fn a_token_that_is_sent_twice_or_is_not_ascii_is_refused() {
    let (cf, token) = cf_with_a_developer();
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &cf, &[]).unwrap();
    let status = |headers: &[u8]| {
        let mut client = connect(&program);
        client.write_all(&[b"GET /jobs HTTP/1.1\r\nHost: x\r\n", headers, b"\r\n"].concat()).unwrap();
        head_of(&mut client)[9..12].to_owned()
    };
    let good = format!("Authorization: bearer {token}\r\n");
    assert_eq!(status(good.as_bytes()), "200");
    assert_eq!(status(format!("{good}Authorization: bearer x\r\n").as_bytes()), "400");
    assert_eq!(status(format!("{good}authorization: bearer {token}\r\n").as_bytes()), "400");
    assert_eq!(status(b"Authorization: bearer caf\xe9\r\n"), "401");
    assert_eq!(status(&[good.as_bytes(), b"User-Agent: caf\xe9\r\n"].concat()), "200");
}

#[test]
fn unfinished_requests_hold_at_most_a_quarter_of_the_memory() {
    let (cf, token) = cf_with_a_developer();
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(directory.path(), &cf, &[("MEMORY_LIMIT", "64M")]).unwrap();
    let anonymous = || figure(&program, "status", "RssAnon:") / 1024;
    let before = anonymous();
    let body = "x".repeat(900_000);
    let mut held = Vec::new();
    for authorization in ["", "Authorization: bearer x\r\n"] {
        held.extend((0..64).map(|_| {
            let head =
                format!("POST /jobs HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: 1000000\r\n");
            begin(&program, &format!("{head}\r\n{body}"))
        }));
    }
    held.extend(
        (0..300).map(|_| begin(&program, &format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}", &body[..60_000]))),
    );
    let grown = anonymous().saturating_sub(before);
    // A quarter of 64 MB, and the stacks of the threads.
    assert!(grown < 16 + 12, "{grown} MB");
    let (status, made) =
        ask(&program.url, &token, "POST", "/jobs?app_guid=app-1", r#"{"name":"n","command":"c"}"#).unwrap();
    assert_eq!(status, 201, "{made}");
}

#[test]
fn guids_from_outside_are_short_and_of_visible_ascii() {
    let world = World::start();
    let job = world.job("mine");
    let schedule = world.post(&format!("/jobs/{job}/schedules"), r#"{"expression":"@daily"}"#).guid();
    let long = "g".repeat(256);
    for (written, decoded) in
        [(long.as_str(), long.as_str()), ("a%20b", "a b"), ("%C3%A9", "\u{e9}"), ("a%00b", "a\0b")]
    {
        for path in ["/jobs?app_guid=", "/calls?app_guid="] {
            let body = r#"{"name":"n","command":"c","url":"u","auth_header":"a"}"#;
            assert_eq!(world.post(&format!("{path}{written}"), body).status, 422, "{path}{written}");
        }
        for path in ["/jobs?space_guid=", "/calls?space_guid="] {
            assert_eq!(world.get(&format!("{path}{written}")).status, 422, "{path}{written}");
        }
        let change = json!({"app_guid": decoded}).to_string();
        assert_eq!(world.patch(&format!("/jobs/{job}"), &change).status, 422, "{decoded:?}");
        for path in [
            format!("/jobs/{written}"),
            format!("/calls/{written}/history"),
            format!("/jobs/{written}/schedules"),
            format!("/jobs/{job}/schedules/{written}/history"),
            format!("/jobs/{job}/history/{written}/output"),
        ] {
            assert_eq!(world.get(&path).status, 404, "{path}");
        }
        assert_eq!(world.delete(&format!("/jobs/{job}/schedules/{written}")).status, 404);
    }
    assert_eq!(world.get(&format!("/jobs/{job}/schedules/{schedule}/history")).status, 200);
    assert_eq!(world.get(&format!("/jobs/{}", "g".repeat(255))).status, 404);
}

#[test]
fn a_url_and_an_auth_header_have_at_most_16_kib_each() {
    let world = World::start();
    let call = |url: &str, auth_header: &str| {
        json!({"name": format!("{}", url.len()), "url": url, "auth_header": auth_header}).to_string()
    };
    let calls = format!("/calls?app_guid={APP}");
    let (fits, long, wide) = ("u".repeat(16_384), "u".repeat(16_385), "\u{e9}".repeat(8193));
    let made = world.post(&calls, &call(&fits, &fits));
    assert_eq!((made.status, made.json()["auth_header"].as_str()), (201, Some(fits.as_str())));
    for too_long in [&long, &wide] {
        assert_eq!(world.post(&calls, &call(too_long, "a")).status, 422);
        assert_eq!(world.post(&calls, &call("u", too_long)).status, 422);
        for field in ["url", "auth_header"] {
            let change = json!({field: too_long}).to_string();
            assert_eq!(world.patch(&format!("/calls/{}", made.guid()), &change).status, 422);
        }
    }
}

#[test]
fn a_byte_order_mark_before_json_is_ignored() {
    let world = World::start();
    let made = world.post(&format!("/jobs?app_guid={APP}"), "\u{feff}{\"name\":\"n\",\"command\":\"c\"}");
    assert_eq!(made.status, 201);
    let twice = "\u{feff}\u{feff}{\"name\":\"m\"}";
    assert_eq!(world.patch(&format!("/jobs/{}", made.guid()), twice).status, 422);
}

#[test]
fn forwarded_headers_affect_links_only_as_a_scheme_and_a_host() {
    let world = World::start();
    world.job("one");
    let link = |headers: &[(&str, &str)]| {
        let answer = world.request("GET", "/jobs?page=1", Some(&world.token), headers, "");
        answer.json()["pagination"]["first"]["href"].as_str().unwrap().to_owned()
    };
    let own = link(&[]);
    assert_eq!(
        link(&[("X-Forwarded-Proto", "HTTPS"), ("X-Forwarded-Host", "scheduler.example.com:8443, proxy")]),
        "https://scheduler.example.com:8443/jobs?page=1"
    );
    for proto in ["javascript", "ftp", "https:", "http://x", ""] {
        assert_eq!(link(&[("X-Forwarded-Proto", proto)]), own, "{proto}");
    }
    for host in ["evil@good", "good/evil", "good:80:90", "a b", "good:x", "\"><script>", "[::1", "a,b@c\\"] {
        let shown = link(&[("X-Forwarded-Host", host)]);
        assert!(shown == own || shown == "http://a/jobs?page=1", "{host}: {shown}");
    }
}

fn cf_with_a_developer() -> (FakeCf, String) {
    let cf = FakeCf::start();
    cf.add_app("app-1", "space-1");
    cf.add_role("dev", "space-1");
    let token = cf.issue_cf_token("dev");
    (cf, token)
}

fn connect(program: &Program) -> TcpStream {
    TcpStream::connect(program.url.trim_start_matches("http://")).unwrap()
}

/// A figure that the system reports about a process.
fn figure(program: &Program, file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/{file}", program.pid().as_raw_nonzero())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// The CPU time of its threads, in hundredths of a second.
fn cpu_ticks(program: &Program) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", program.pid().as_raw_nonzero())).unwrap();
    let fields: Vec<&str> = text.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn no_secret_reaches_a_log() {
    let directory = tempfile::tempdir().unwrap();
    let cf = FakeCf::start();
    cf.add_app("app-1", "space-1");
    cf.add_role("dev", "space-1");
    cf.complete_tasks_after(Some((Duration::ZERO, "SUCCEEDED", None)));
    let token = cf.issue_cf_token("dev");
    let forged = cf.forge_token("mallory", &["cloud_controller.admin"]);
    let log = directory.path().join("log");
    for format in ["text", "json"] {
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let proxy = ("HTTPS_PROXY", "http://user:proxy-secret@127.0.0.1:9");
        let variables = [("LOG_LEVEL", "trace"), ("LOG_FORMAT", format), proxy];
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
        let elsewhere = json!({"name": format!("{format} elsewhere"), "auth_header": "Bearer header-secret",
            "url": "https://user:header-secret@127.0.0.1:9/?key=query-secret"});
        let (_, elsewhere) = ask("POST", "/calls?app_guid=app-1", &elsewhere.to_string());
        for (kind, made) in [("calls", &call), ("calls", &elsewhere), ("jobs", &job)] {
            let path = format!("/{kind}/{}", made["guid"].as_str().unwrap());
            ask("POST", &format!("{path}/execute"), "");
            wait_for(|| {
                let newest = ask("GET", &format!("{path}/history"), "").1["resources"][0]["state"].clone();
                matches!(newest.as_str(), Some("SUCCEEDED" | "FAILED")).then_some(())
            });
        }
        ask("GET", &format!("/jobs/{}", "a".repeat(30_000)), "");
        // Text that is not HTTP, and an incomplete request, with a token in it.
        for broken in ["GET / HTTP/1.1\r\nAuthorization bearer TOKEN\r\n\r\n", "bearer TOKEN\r\n\r\n"] {
            let mut stream = connect(&program);
            stream.write_all(broken.replace("TOKEN", &token).as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 400 ") && !answer.contains(&token), "{answer}");
        }
        assert_eq!(program.terminate(), Some(0));
    }
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("asked Cloud Foundry") && log.contains("request method="), "it logs at all");
    for secret in [CLIENT_SECRET, "header-secret", "query-secret", "proxy-secret", &token, &forged] {
        let at = log.find(secret);
        assert_eq!(at, None, "{:?}", at.map(|at| &log[at.saturating_sub(300)..at + secret.len()]));
    }
    let longest = log.lines().map(str::len).max().unwrap();
    assert!(longest < 2000, "nobody fills the log with a few requests: {longest}");
    let tokens: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(!tokens.is_empty(), "lines of JSON are JSON");
    // Nor one of the service's own tokens, which all begin like this.
    assert!(!log.contains("eyJ"), "a token is in the log");
}

#[test]
fn a_flood_of_one_caller_delays_neither_the_scheduler_nor_the_health_check() {
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
        // Its calls run despite the flood.
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        }
        over.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    assert_eq!(world.get("/jobs").status, 200);
}
