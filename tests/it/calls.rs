//! Calls on the real web: URLs, redirects and answers as Go's client and curl accept them, and addresses that
//! no call may reach.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::database::is_postgres;
use super::world::{APP, World};
use ocf_scheduler::base::clock::{self, Clock, SystemClock};

/// A server that sends these answers, each on its own connection, and records the requests.
pub(crate) struct Target {
    pub(crate) port: u16,
    requests: thread::JoinHandle<Vec<String>>,
}

impl Target {
    pub(crate) fn answering(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers: Vec<Vec<u8>> = answers.iter().map(|answer| answer.as_bytes().to_vec()).collect();
        let requests = thread::spawn(move || {
            let take = |answer: &Vec<u8>| {
                let (mut client, _) = listener.accept().unwrap();
                let request = request_of(&mut client);
                client.write_all(answer).unwrap();
                request
            };
            answers.iter().map(take).collect()
        });
        Self { port, requests }
    }

    /// The requests as text; bytes that are not UTF-8 are replaced.
    pub(crate) fn requests(self) -> Vec<String> {
        self.requests.join().unwrap()
    }
}

/// Reads a request with its body.
fn request_of(client: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|count| count == 1) {
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body).unwrap();
    String::from_utf8_lossy(&[request, body].concat()).into_owned()
}

/// Creates a call with these fields, runs it, and waits for its end.
#[track_caller]
pub(crate) fn run(world: &World, fields: &Value) -> Value {
    let number = world.get("/calls").json()["pagination"]["total_results"].clone();
    let mut body = json!({"name": format!("call {number}"), "auth_header": "Bearer abc"});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let made = world.post(&format!("/calls?app_guid={APP}"), &body.to_string());
    assert_eq!(made.status, 201, "{body}");
    let path = format!("/calls/{}", made.guid());
    assert_eq!(world.post(&format!("{path}/execute"), "").status, 201);
    world.ended(&path)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// More than fit into a batch: on PostgreSQL a thread claims the others, and meets a lock of somebody else.
#[test]
fn of_many_calls_due_at_once_each_runs_once_and_the_first_do_not_wait_for_the_last() {
    const FIRST: usize = 50;
    const LATER: usize = 300;
    let mut world = World::start();
    let first = Target::answering(&[OK; FIRST]);
    let later = Target::answering(&[OK; LATER]);
    let calls = [("first", &first), ("later", &later)]
        .map(|(name, target)| world.call(name, &format!("http://127.0.0.1:{}/", target.port)));
    world.stop();
    let due = now_seconds() - 2;
    for (call, count, seconds) in [(&calls[0], FIRST, due), (&calls[1], LATER, due + 1)] {
        world.database().execute(&format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
             INSERT INTO schedules (guid, executable_id, enabled, expression, next_fire_time, planned_at, created_at, updated_at)
             SELECT x.name || i, x.id, TRUE, '0 0 1 1 *', {seconds}000000000, 0, 0, 0
               FROM n CROSS JOIN executables AS x WHERE x.guid = '{call}'"
        ));
    }
    let lock = is_postgres().then(|| {
        let mut client = world.database().client();
        let lock = format!("BEGIN; SELECT 1 FROM executables WHERE guid = '{}' FOR UPDATE", calls[1]);
        client.batch_execute(&lock).unwrap();
        client
    });
    world.begin();
    assert_eq!(first.requests().len(), FIRST);
    drop(lock);
    let mut keys: Vec<String> = later
        .requests()
        .iter()
        .filter_map(|request| {
            request.lines().find(|line| line.starts_with("Idempotency-Key")).map(str::to_owned)
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), LATER, "each execution was sent once");
    let database = world.database();
    let query = "SELECT COUNT(*) FROM executions WHERE scheduled_time IS NOT NULL";
    assert_eq!(database.number(query), (FIRST + LATER) as i64);
    let query = format!("SELECT COUNT(*) FROM schedules WHERE next_fire_time <= {}000000000", due + 3);
    assert_eq!(database.number(&query), 0);
}

fn now_seconds() -> i64 {
    SystemClock::default().now().nanos() / 1_000_000_000
}

#[test]
fn redirects_are_followed_as_rfc_3986_says() {
    let world = World::start();
    for (location, expected) in [
        ("ok?return=http://x/", "/dir/ok?return=http://x/"),
        ("", "/dir/hook?q=1"),
        ("#done", "/dir/hook?q=1"),
        ("?r=2", "/dir/hook?r=2"),
        ("../ok", "/ok"),
        ("http:/ok", "/ok"),
        ("/a b/ü?q=日", "/a%20b/%C3%BC?q=%E6%97%A5"),
        ("./a:b/./../c", "/dir/c"),
    ] {
        let redirect = format!("HTTP/1.1 307 Moved\r\nLocation: {location}\r\nConnection: close\r\n\r\n");
        let target = Target::answering(&[&redirect, OK]);
        let url = format!("http://127.0.0.1:{}/dir/hook?q=1", target.port);
        let ended = run(&world, &json!({"url": url}));
        assert_eq!(ended["state"], "SUCCEEDED", "{location:?}: {ended}");
        let requests = target.requests();
        assert!(
            requests[1].starts_with(&format!("POST {expected} HTTP/1.1\r\n")),
            "{location:?}: {requests:?}"
        );
    }
}

#[test]
fn a_port_above_65535_is_no_port_in_urls_and_redirects() {
    let world = World::start();
    let ended = run(&world, &json!({"url": "http://127.0.0.1:99999/"}));
    assert!(ended["message"].as_str().unwrap().starts_with("the URL is not valid: "), "{ended}");
    let redirect = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:65616/\r\nConnection: close\r\n\r\n";
    let target = Target::answering(&[redirect]);
    let ended = run(&world, &json!({"url": format!("http://127.0.0.1:{}/", target.port)}));
    let message = ended["message"].as_str().unwrap();
    assert!(message.starts_with("answered 302 Found, and its Location is not valid: "), "{ended}");
}

#[test]
fn blanks_utf_8_and_international_hosts_work_and_the_rest_of_a_url_is_sent_as_stored() {
    let world = World::start();
    let target = Target::answering(&[OK; 3]);
    let port = target.port;
    for (host, path) in [
        ("127.0.0.1", "/a b/ü?q=日 x"),
        // IDN maps full-width letters to those of ASCII.
        ("ｌｏｃａｌｈｏｓｔ", "/"),
        ("user:pass@127.0.0.1", r#"/a/../b//c?x={"y":[1|2]}&z=%zz&w=+%20"#),
    ] {
        let url = format!("http://{host}:{port}{path}");
        assert_eq!(run(&world, &json!({"url": url}))["state"], "SUCCEEDED", "{url}");
    }
    let requests = target.requests();
    for (request, line, host) in [
        (&requests[0], "POST /a%20b/%C3%BC?q=%E6%97%A5%20x HTTP/1.1", "127.0.0.1"),
        (&requests[1], "POST / HTTP/1.1", "localhost"),
        (&requests[2], r#"POST /a/../b//c?x={"y":[1|2]}&z=%zz&w=+%20 HTTP/1.1"#, "127.0.0.1"),
    ] {
        assert!(request.starts_with(&format!("{line}\r\nHost: {host}:{port}\r\n")), "{request}");
        assert!(request.contains("\r\nAuthorization: Bearer abc\r\n"), "{request}");
    }
}

#[test]
fn answers_that_other_clients_accept_are_not_failures() {
    let world = World::start();
    for answer in [
        "HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Blank : a\r\n\r\n",
        &format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Many: a\r\n".repeat(300)),
        &format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "a".repeat(100_000)),
        "HTTP/1.1 200 OK\r\nno colon\r\n: no name\r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 200 OK\nX-Line-Feeds: only\n\n",
        "HTTP/1.0 200 OK\r\n\r\nuntil the end",
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk",
        "HTTP/1.1 200 OK\r\nX-Cut: of",
    ] {
        let target = Target::answering(&[answer]);
        let ended = run(&world, &json!({"url": format!("http://127.0.0.1:{}/", target.port)}));
        assert_eq!(
            (&ended["state"], &ended["message"]),
            (&json!("SUCCEEDED"), &json!("answered 200 OK")),
            "{answer:.60}"
        );
    }
    let target = Target::answering(&["SSH-2.0-OpenSSH_9.7\r\n"]);
    let ended = run(&world, &json!({"url": format!("http://127.0.0.1:{}/", target.port)}));
    assert_eq!(ended["message"], "no answer: io: the answer is not HTTP");
}

#[test]
fn a_body_that_trickles_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        request_of(&mut client);
        client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").unwrap();
        while client.write_all(b"x").is_ok() {
            let _ = crossbeam_channel::after(Duration::from_millis(100)).recv();
        }
    });
    let world = World::start();
    let began = clock::instant();
    assert_eq!(run(&world, &json!({"url": url}))["state"], "SUCCEEDED");
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
}

#[test]
fn a_connection_is_used_again_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let first = request_of(&mut client);
        let chunks =
            "HTTP/1.1 302 Found\r\nLocation: /b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        client.write_all(chunks.as_bytes()).unwrap();
        let second = request_of(&mut client);
        client.write_all(OK.as_bytes()).unwrap();
        [first, second]
    });
    let world = World::start();
    assert_eq!(run(&world, &json!({"url": url}))["state"], "SUCCEEDED");
    let [first, second] = server.join().unwrap();
    assert!(first.starts_with("POST /a ") && second.starts_with("GET /b "), "{first}{second}");
}

#[test]
fn an_auth_header_that_no_header_can_carry_is_refused_and_utf_8_is_sent() {
    let world = World::start();
    let call = world.call("c", "http://127.0.0.1:9/");
    for odd in ["a\r\nX: y", "a\nb", "a\u{0}b", "a\u{7f}", "\u{1b}[1m"] {
        let body = json!({"name": "odd", "url": "http://127.0.0.1:9/", "auth_header": odd}).to_string();
        assert_eq!(world.post(&format!("/calls?app_guid={APP}"), &body).status, 422, "{odd:?}");
        let body = json!({"auth_header": odd}).to_string();
        assert_eq!(world.patch(&format!("/calls/{call}"), &body).status, 422, "{odd:?}");
    }
    let target = Target::answering(&[OK]);
    let url = format!("http://127.0.0.1:{}/", target.port);
    let ended = run(&world, &json!({"url": url, "auth_header": "Token ключ\té"}));
    assert_eq!(ended["state"], "SUCCEEDED");
    assert!(target.requests()[0].contains("\r\nAuthorization: Token ключ\té\r\n"));
}

#[test]
fn serve_refuses_loopback_addresses_unless_they_are_allowed_and_link_local_ones_always() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let world = World::with(&[("CALL_ALLOW_LOOPBACK", "false")]);
    let loopback = "not sent: its address is a loopback one, which CALL_ALLOW_LOOPBACK=true would allow";
    for host in
        ["127.0.0.1", "localhost", "0", "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "2130706433"]
    {
        let ended = run(&world, &json!({"url": format!("http://{host}:{port}/")}));
        assert_eq!((&ended["state"], &ended["message"]), (&json!("FAILED"), &json!(loopback)), "{host}");
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nobody came");

    let link = "its address is link-local or that of a metadata service, which no call may reach";
    for settings in [&[][..], &[("CALL_ALLOW_LOOPBACK", "false")]] {
        let world = World::with(settings);
        for host in [
            "169.254.169.254",
            "0xA9FEA9FE",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
        ] {
            let ended = run(&world, &json!({"url": format!("http://{host}/latest/meta-data/")}));
            assert_eq!(ended["message"], format!("not sent: {link}"), "{host}");
        }
    }
    let world = World::start();
    let redirect = "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nConnection: close\r\n\r\n";
    let target = Target::answering(&[redirect]);
    let ended = run(&world, &json!({"url": format!("http://127.0.0.1:{}/", target.port)}));
    assert_eq!(ended["message"], format!("answered 302 Found, which was not followed: {link}"));
}

#[test]
fn a_call_identifies_its_execution_and_sends_what_its_fields_say() {
    let world = World::start();
    let target = Target::answering(&[OK; 4]);
    let url = format!("http://127.0.0.1:{}/", target.port);
    let ended = run(&world, &json!({"url": url}));
    run(
        &world,
        &json!({"url": url, "method": "PUT", "body": "grün", "auth_header": "",
                        "headers": {"x-api-key": "k", "Accept": "text/plain", "User-Agent": "mine"}}),
    );
    run(
        &world,
        &json!({"url": url, "method": "DELETE", "body": "{}", "headers": {"content-type": "application/json"}}),
    );
    run(&world, &json!({"url": url, "method": "GET"}));
    let requests = target.requests();
    let has = |request: &str, line: &str| request.contains(&format!("\r\n{line}\r\n"));

    let guid = ended["guid"].as_str().unwrap();
    let first = &requests[0];
    assert!(first.starts_with("POST / HTTP/1.1\r\n") && has(first, "Content-Length: 0"), "{first}");
    for line in [
        format!("X-Scheduler-Execution: {guid}"),
        format!("Idempotency-Key: {guid}"),
        format!("X-Scheduler-Call: {}", ended["call_guid"].as_str().unwrap()),
        "X-Scheduler-Attempt: 1".to_owned(),
        "Authorization: Bearer abc".to_owned(),
    ] {
        assert!(has(first, &line), "{line}: {first}");
    }
    for absent in ["Scheduled-Time", "Webhook-", "Content-Type"] {
        assert!(!first.contains(absent), "{absent}: {first}");
    }

    let put = &requests[1];
    assert!(put.starts_with("PUT / ") && put.ends_with("\r\n\r\ngrün"), "{put}");
    for line in
        ["Content-Length: 5", "Content-Type: application/octet-stream", "x-api-key: k", "Accept: text/plain"]
    {
        assert!(has(put, line), "{line}: {put}");
    }
    assert!(!put.contains("Authorization") && has(put, "User-Agent: mine"), "{put}");
    assert!(!put.contains("*/*") && !put.contains("ocf-scheduler/"), "{put}");

    let delete = &requests[2];
    assert!(delete.starts_with("DELETE / ") && delete.ends_with("\r\n\r\n{}"), "{delete}");
    assert!(has(delete, "content-type: application/json") && !delete.contains("octet-stream"), "{delete}");
    let get = &requests[3];
    assert!(get.starts_with("GET / ") && !get.contains("Content-"), "{get}");
}

#[test]
fn a_scheduled_call_carries_its_fire_time() {
    let world = World::start();
    let target = Target::answering(&[OK]);
    let call = world.call("c", &format!("http://127.0.0.1:{}/", target.port));
    world.post(&format!("/calls/{call}/schedules"), r#"{"expression":"@every 1s"}"#);
    let request = target.requests().remove(0);
    let history = world.get(&format!("/calls/{call}/history")).json();
    let times: Vec<String> = history["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|execution| {
            format!("X-Scheduler-Scheduled-Time: {}\r\n", execution["scheduled_time"].as_str().unwrap())
        })
        .collect();
    assert!(times.iter().any(|time| request.contains(time)), "{times:?}: {request}");
}

#[test]
fn success_statuses_define_success_and_are_not_followed() {
    let world = World::start();
    let answer = |status: &str| {
        format!("HTTP/1.1 {status}\r\nLocation: /x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    };
    for (status, statuses, state, message) in [
        ("304 Not Modified", "200-299,304", "SUCCEEDED", "answered 304 Not Modified"),
        ("302 Found", "302", "SUCCEEDED", "answered 302 Found"),
        ("404 Not Found", "404, 410", "SUCCEEDED", "answered 404 Not Found"),
        ("200 OK", "201", "FAILED", "answered 200 OK, which success_statuses does not name"),
        ("500 Internal Server Error", "200-299", "FAILED", "answered 500 Internal Server Error"),
    ] {
        let target = Target::answering(&[&answer(status)]);
        let url = format!("http://127.0.0.1:{}/", target.port);
        let ended = run(&world, &json!({"url": url, "success_statuses": statuses}));
        assert_eq!((&ended["state"], &ended["message"]), (&json!(state), &json!(message)), "{status}");
    }
}

#[test]
fn redirects_change_the_method_or_repeat_the_body_as_their_status_says() {
    let world = World::start();
    for (status, method, then, has_body) in [
        (301, "POST", "GET", false),
        (302, "PUT", "GET", false),
        (303, "DELETE", "GET", false),
        (307, "PATCH", "PATCH", true),
        (308, "POST", "POST", true),
        (302, "HEAD", "HEAD", false),
    ] {
        let redirect =
            format!("HTTP/1.1 {status} X\r\nLocation: /to\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let target = Target::answering(&[&redirect, OK]);
        let mut fields = json!({"url": format!("http://127.0.0.1:{}/", target.port), "method": method,
                                "headers": {"Content-Type": "text/x", "X-Own": "1"}});
        if method != "HEAD" {
            fields["body"] = json!("text");
        }
        assert_eq!(run(&world, &fields)["state"], "SUCCEEDED", "{status} {method}");
        let second = target.requests().remove(1);
        assert!(second.starts_with(&format!("{then} /to HTTP/1.1\r\n")), "{status} {method}: {second}");
        assert_eq!(second.ends_with("\r\n\r\ntext"), has_body, "{second}");
        assert_eq!(second.contains("Content-Type: text/x"), has_body || method == "HEAD", "{second}");
        assert!(second.contains("X-Own: 1") && second.contains("Authorization: "), "{second}");
    }
}

#[test]
fn headers_signature_and_authorization_do_not_follow_to_another_origin_nor_come_back() {
    let world = World::start();
    let redirect = |to: &str| {
        format!("HTTP/1.1 307 X\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    };
    // Back to its first origin, and then on.
    let back = TcpListener::bind("127.0.0.1:0").unwrap();
    let first = format!("http://127.0.0.1:{}/back", back.local_addr().unwrap().port());
    let other = Target::answering(&[&redirect(&first)]);
    let away = redirect(&format!("http://127.0.0.1:{}/away", other.port));
    let server = thread::spawn(move || {
        [away.as_str(), OK].map(|answer| {
            let (mut client, _) = back.accept().unwrap();
            let request = request_of(&mut client);
            client.write_all(answer.as_bytes()).unwrap();
            request
        })
    });
    let ended =
        run(&world, &json!({"url": first, "headers": {"X-Own": "1"}, "body": "b", "signing_secret": SECRET}));
    assert_eq!(ended["state"], "SUCCEEDED", "{ended}");
    let [sent, came_back] = server.join().unwrap();
    let elsewhere = other.requests().remove(0);
    for header in ["X-Own", "Authorization", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"] {
        assert!(sent.contains(&format!("\r\n{header}: ")), "{header}: {sent}");
        for later in [&elsewhere, &came_back] {
            assert!(!later.contains(header), "{header}: {later}");
        }
    }
    assert!(elsewhere.ends_with("\r\n\r\nb") && elsewhere.contains("X-Scheduler-Execution: "), "{elsewhere}");
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn a_call_with_a_secret_is_signed_as_standard_webhooks_says() {
    let world = World::start();
    let target = Target::answering(&[OK]);
    let url = format!("http://127.0.0.1:{}/", target.port);
    let ended = run(&world, &json!({"url": url, "body": "{\"a\":1}", "signing_secret": SECRET}));
    let request = target.requests().remove(0);
    let header = |name: &str| {
        let line = request.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name}: {request}")).to_owned()
    };
    let (id, timestamp) = (header("Webhook-Id"), header("Webhook-Timestamp"));
    assert_eq!(ended["guid"], json!(id));
    let expected = ocf_scheduler::outbound::signature(SECRET, &id, &timestamp, b"{\"a\":1}").unwrap();
    assert_eq!(header("Webhook-Signature"), expected);
    assert!(timestamp.parse::<u64>().is_ok_and(|seconds| 1_700_000_000 < seconds), "{timestamp}");
}

#[test]
fn a_call_can_have_its_own_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let world = World::start();
    let began = clock::instant();
    let ended = run(&world, &json!({"url": url, "timeout_seconds": 1}));
    assert_eq!((&ended["state"], &ended["message"]), (&json!("FAILED"), &json!("no answer within 1 s")));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // A call's own time-out may exceed CALL_TIMEOUT_SECONDS.
    let world = World::with(&[("CALL_TIMEOUT_SECONDS", "1")]);
    thread::spawn(move || {
        // The first connection belongs to the previous call, whose client has gone.
        let mut held: Vec<TcpStream> = Vec::new();
        while let Ok((mut client, _)) = listener.accept() {
            request_of(&mut client);
            let _ = crossbeam_channel::after(Duration::from_millis(2500)).recv();
            let _ = client.write_all(OK.as_bytes());
            held.push(client);
        }
    });
    assert_eq!(run(&world, &json!({"url": url, "timeout_seconds": 60}))["state"], "SUCCEEDED");
}
