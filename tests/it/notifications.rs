//! Notifications: each event reaches its receivers once and in order, whatever they do.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ocf_scheduler::base::clock::{self, Clock, SystemClock};
use ocf_scheduler::outbound::signature;
use serde_json::{Value, json};

use super::crash::number_of;
use super::world::{APP, FOREIGN_SPACE, SPACE, World, wait_for};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A request to a receiver.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    #[track_caller]
    fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().to_owned()
    }
}

/// How a receiver answers a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    Answer(u16),
    Redirect,
    /// Does not answer for as long as the client waits.
    Hang,
    /// Sends an endless head, slowly.
    Drip,
    /// Sends an endless body.
    Flood,
}

/// A server that records requests and answers as told.
pub(crate) struct Receiver {
    pub(crate) url: String,
    pub(crate) does: Arc<Mutex<Does>>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let does = Arc::new(Mutex::new(Does::Answer(200)));
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (what, record) = (Arc::clone(&does), Arc::clone(&received));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (what, record) = (Arc::clone(&what), Arc::clone(&record));
                thread::spawn(move || serve(stream, &what, &record));
            }
        });
        Self { url, does, received }
    }

    pub(crate) fn set(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Waits until this many requests have arrived.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Received> {
        wait_for(|| Some(self.received()).filter(|received| count <= received.len()))
    }
}

fn serve(mut stream: TcpStream, what: &Mutex<Does>, record: &Mutex<Vec<Received>>) {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    if stream.read_exact(&mut body).is_err() {
        return;
    }
    let body = String::from_utf8(body).unwrap();
    let does = *what.lock().unwrap();
    record.lock().unwrap().push(Received { path, headers, body });
    match does {
        Does::Answer(status) => {
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
        Does::Redirect => {
            let _ = stream.write_all(
                b"HTTP/1.1 307 X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
        Does::Hang => {
            let _ = stream.read(&mut byte);
        }
        Does::Drip => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            while stream.write_all(b"X: y\r\n").is_ok() {
                let _ = crossbeam_channel::after(Duration::from_millis(100)).recv();
            }
        }
        Does::Flood => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 65536]).is_ok() {}
        }
    }
}

/// A notification's guid.
#[track_caller]
pub(crate) fn notification(world: &World, fields: &Value) -> String {
    let mut body = json!({ "name": "ops" });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let made = world.post(&format!("/notifications?space_guid={SPACE}"), &body.to_string());
    assert_eq!(made.status, 201, "{}", made.body);
    made.guid()
}

/// Runs a call, and waits for its end.
#[track_caller]
pub(crate) fn run(world: &World, call: &str) -> Value {
    let execution = world.post(&format!("/calls/{call}/execute"), "").guid();
    wait_for(|| {
        let history = world.get(&format!("/calls/{call}/history")).json();
        let found = history["resources"].as_array()?.iter().find(|it| it["guid"] == execution.as_str())?;
        matches!(found["state"].as_str(), Some("SUCCEEDED" | "FAILED")).then(|| found.clone())
    })
}

/// Makes waiting deliveries due at once, without waiting for others or for a retry.
fn hurry(world: &World) {
    world.database().execute("UPDATE deliveries SET due_at = 1 WHERE due_at > 1");
}

/// The deliveries of a notification, newest first.
fn deliveries(world: &World, notification: &str) -> Vec<Value> {
    let listed = world.get(&format!("/notifications/{notification}/deliveries")).json();
    listed["resources"].as_array().unwrap().clone()
}

fn states(world: &World, notification: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    deliveries(world, notification).iter().map(|it| (text(&it["event"]), text(&it["state"]))).collect()
}

#[track_caller]
fn wait_for_states(world: &World, notification: &str, expected: &[(&str, &str)]) {
    let expected: Vec<(String, String)> =
        expected.iter().map(|(event, state)| ((*event).to_owned(), (*state).to_owned())).collect();
    wait_for(|| (states(world, notification) == expected).then_some(()));
}

#[test]
fn a_notification_has_defaults_and_shows_no_secret() {
    let world = World::start();
    let made = world.post(
        &format!("/notifications?space_guid={SPACE}"),
        &json!({ "name": "ops", "url": "https://hooks.example.com/T0/secret-path" }).to_string(),
    );
    assert_eq!(made.status, 201, "{}", made.body);
    let mut shown = made.json();
    for field in ["guid", "created_at", "updated_at"] {
        assert!(shown[field].is_string());
        shown.as_object_mut().unwrap().remove(field);
    }
    assert_eq!(
        shown,
        json!({
            "name": "ops", "url": "https://hooks.example.com/T0/secret-path", "format": "standard",
            "secret": null, "headers": {}, "events": ["failed", "recovered", "overdue"], "job_guids": [],
            "call_guids": [], "label_selector": "", "after_failures": 1, "remind_after_seconds": null,
            "enabled": true, "disabled_reason": null, "space_guid": SPACE,
        })
    );
    let path = format!("/notifications/{}", made.guid());
    let fields = json!({ "secret": format!("{SECRET} {OTHER_SECRET}"),
        "headers": { "Authorization": "Bearer very-secret" }, "events": ["succeeded"],
        "label_selector": "env=prod" });
    let changed = world.patch(&path, &fields.to_string());
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert!(!changed.body.contains("very-secret") && !changed.body.contains("whsec_"), "{}", changed.body);
    assert_eq!(changed.json()["secret"], "[hidden]");
    assert_eq!(changed.json()["headers"], json!({ "Authorization": "[hidden]" }));
    assert_eq!(world.get(&path).json(), changed.json());
    let listed = world.get(&format!("/notifications?space_guid={SPACE}")).json();
    assert_eq!(listed["resources"], json!([changed.json()]));
    let etag = changed.header("ETag").unwrap().to_owned();
    assert_eq!(world.patch(&path, r#"{"name":"other"}"#).status, 200);
    let stale = world.request("DELETE", &path, Some(&world.token), &[("If-Match", &etag)], "");
    assert_eq!(stale.status, 412);
    assert_eq!(world.delete(&path).status, 204);
    assert_eq!(world.get(&path).status, 404);
}

#[test]
fn what_a_notification_cannot_be_is_refused_with_the_field() {
    let world = World::start();
    let job = world.job("j");
    let call = world.call("c", "http://x/");
    let path = format!("/notifications/{}", notification(&world, &json!({ "url": "http://x/" })));
    let accept = [("Accept", "application/problem+json")];
    for (field, value) in [
        ("url", json!("ftp://x/")),
        ("url", json!("http://x/[hidden]")),
        ("url", json!(format!("http://x/{}", "y".repeat(2048)))),
        ("format", json!("teams")),
        ("secret", json!("whsec_c2hvcnQ=")),
        ("secret", json!("[hidden]")),
        ("secret", json!(format!("{SECRET} {SECRET} {SECRET}"))),
        ("headers", json!({ "Authorization": "[hidden]" })),
        ("headers", json!({ "Host": "x" })),
        ("headers", json!({ "webhook-id": "x" })),
        ("events", json!([])),
        ("events", json!(["broken"])),
        ("events", json!("failed")),
        ("job_guids", json!([call])),
        ("job_guids", json!(["nobody"])),
        ("call_guids", json!([job])),
        ("label_selector", json!("a b")),
        ("after_failures", json!(0)),
        ("after_failures", json!(101)),
        ("remind_after_seconds", json!(3599)),
        ("remind_after_seconds", json!(604_801)),
        ("enabled", json!("yes")),
        ("name", json!(" ")),
    ] {
        let body = json!({ field: value }).to_string();
        let refused = world.request("PATCH", &path, Some(&world.token), &accept, &body);
        assert_eq!(refused.status, 422, "{body}");
        assert_eq!(refused.json()["errors"][0]["field"], field, "{body}: {}", refused.body);
    }
    let create = |space: &str, body: &Value| {
        world.post(&format!("/notifications?space_guid={space}"), &body.to_string()).status
    };
    assert_eq!(create(SPACE, &json!({ "name": "ops", "url": "http://x/" })), 422, "the name is taken");
    assert_eq!(create(SPACE, &json!({ "name": "n" })), 422, "no URL");
    assert_eq!(create(SPACE, &json!({ "url": "http://x/" })), 422, "no name");
    assert_eq!(create(FOREIGN_SPACE, &json!({ "name": "n", "url": "http://x/" })), 422);
    assert_eq!(world.post("/notifications", r#"{"name":"n","url":"http://x/"}"#).status, 422);
    let stranger = world.cf.issue_cf_token("stranger");
    for (method, below) in
        [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test"), ("GET", "/deliveries")]
    {
        let refused = world.request(method, &format!("{path}{below}"), Some(&stranger), &[], "{}");
        assert_eq!(refused.status, 404, "{method} {below}");
    }
    for number in 1..50 {
        assert_eq!(create(SPACE, &json!({ "name": format!("n{number}"), "url": "http://x/" })), 201);
    }
    assert_eq!(create(SPACE, &json!({ "name": "one too many", "url": "http://x/" })), 422);
}

#[test]
fn a_failure_and_the_recovery_are_told_once_signed_and_with_a_link() {
    let world = World::with(&[("API_ENDPOINT", "https://scheduler.example.com/")]);
    let (receiver, target) = (Receiver::start(), Receiver::start());
    let call = world.call("ping", &target.url);
    let guid = notification(
        &world,
        &json!({ "url": format!("{}/hook", receiver.url), "secret": format!("{SECRET} {OTHER_SECRET}"),
                 "headers": { "Authorization": "Bearer t" } }),
    );
    target.set(Does::Answer(500));
    let execution = run(&world, &call);
    run(&world, &call);
    wait_for(|| (deliveries(&world, &guid).len() == 1).then_some(()));
    assert!(receiver.received().is_empty(), "a failure waits for company");
    hurry(&world);
    let failed = receiver.wait_for(1).remove(0);
    assert_eq!((failed.path.as_str(), failed.header("Authorization")), ("/hook", Some("Bearer t")));
    let body = failed.json();
    assert_eq!(body["type"], "execution.failed");
    let data = &body["data"];
    assert_eq!(data["execution"]["guid"], execution["guid"]);
    assert_eq!(data["call"], json!({ "guid": call, "name": "ping" }));
    assert_eq!(
        (&data["failures"], &data["message"]),
        (&json!(1), &json!("answered 500 Internal Server Error"))
    );
    assert_eq!((&data["space_guid"], &data["app_guid"]), (&json!(SPACE), &json!(APP)));
    assert_eq!(data["failing_since"], execution["execution_end_time"]);
    let page =
        format!("https://scheduler.example.com/dashboard/executions/{}", execution["guid"].as_str().unwrap());
    assert_eq!(data["url"], page.as_str());
    let header = |name| failed.header(name).unwrap();
    let sign = |secret| {
        signature(secret, header("webhook-id"), header("webhook-timestamp"), failed.body.as_bytes()).unwrap()
    };
    assert_eq!(header("webhook-signature"), format!("{} {}", sign(SECRET), sign(OTHER_SECRET)));
    assert_eq!(header("webhook-id"), deliveries(&world, &guid)[0]["guid"].as_str().unwrap());

    target.set(Does::Answer(200));
    run(&world, &call);
    let recovered = receiver.wait_for(2).remove(1);
    assert_eq!(recovered.kind(), "execution.recovered");
    assert_eq!(recovered.json()["data"]["failures"], 2);
    run(&world, &call);
    wait_for_states(&world, &guid, &[("recovered", "DELIVERED"), ("failed", "DELIVERED")]);
    assert_eq!(receiver.received().len(), 2, "neither is told twice");
    // If a busy machine takes too long, values from the database are left out.
    let metrics = super::world::wait_for(|| {
        let metrics = super::world::request(&world.metrics_url(), "GET", "/metrics", None, &[], "").body;
        metrics.contains("ocf_scheduler_notification_deliveries_waiting 0").then_some(metrics)
    });
    assert!(metrics.contains(r#"ocf_scheduler_notification_deliveries_total{outcome="delivered"}"#));
}

#[test]
fn a_failure_that_is_over_before_it_was_told_is_not_told() {
    let world = World::start();
    let (receiver, target) = (Receiver::start(), Receiver::start());
    let call = world.call("ping", &target.url);
    let guid = notification(&world, &json!({ "url": receiver.url }));
    target.set(Does::Answer(500));
    run(&world, &call);
    assert_eq!(states(&world, &guid), [("failed".to_owned(), "WAITING".to_owned())]);
    target.set(Does::Answer(200));
    run(&world, &call);
    assert!(states(&world, &guid).is_empty());
    // The next one is a new event.
    target.set(Does::Answer(500));
    run(&world, &call);
    hurry(&world);
    assert_eq!(receiver.wait_for(1)[0].kind(), "execution.failed");
}

#[test]
fn streaks_lists_selectors_and_switches_decide_what_is_told() {
    let world = World::start();
    let (receiver, target) = (Receiver::start(), Receiver::start());
    target.set(Does::Answer(500));
    let call = world.call("ping", &target.url);
    let other = world.call("other", &target.url);
    let labels = json!({ "metadata": { "labels": { "env": "prod" } } }).to_string();
    assert_eq!(world.patch(&format!("/calls/{call}"), &labels).status, 200);
    let made = |name: &str, fields: &Value| {
        let mut all = json!({ "name": name, "url": format!("{}/{name}", receiver.url) });
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        notification(&world, &all)
    };
    let thrice = made("thrice", &json!({ "after_failures": 3, "call_guids": [call] }));
    let listed = made("listed", &json!({ "call_guids": [other] }));
    let labelled = made("labelled", &json!({ "label_selector": "env in (prod)" }));
    let off = made("off", &json!({ "enabled": false }));
    let successes = made("successes", &json!({ "events": ["succeeded"] }));
    let counts = |guids: [&str; 5]| guids.map(|guid| deliveries(&world, guid).len());
    run(&world, &call);
    run(&world, &call);
    assert_eq!(counts([&thrice, &listed, &labelled, &off, &successes]), [0, 0, 1, 0, 0]);
    run(&world, &call);
    run(&world, &other);
    assert_eq!(counts([&thrice, &listed, &labelled, &off, &successes]), [1, 1, 1, 0, 0]);
    // While it was disabled nothing was kept for later. What still fails is reported at the next failure.
    let switched = world.patch(&format!("/notifications/{off}"), r#"{"enabled":true}"#);
    assert_eq!(switched.status, 200);
    assert_eq!(counts([&thrice, &listed, &labelled, &off, &successes]), [1, 1, 1, 0, 0]);
    run(&world, &call);
    assert_eq!(counts([&thrice, &listed, &labelled, &off, &successes]), [1, 1, 1, 1, 0]);
    target.set(Does::Answer(200));
    run(&world, &call);
    assert_eq!(receiver.wait_for(1)[0].path, "/successes");
    // Without its only call the list is empty, but does not mean all.
    target.set(Does::Answer(500));
    assert_eq!(world.delete(&format!("/calls/{other}")).status, 204);
    let before = deliveries(&world, &listed).len();
    run(&world, &call);
    assert_eq!(deliveries(&world, &listed).len(), before);
}

#[test]
fn a_receiver_in_trouble_is_tried_again_with_the_same_id() {
    let world = World::start();
    let receiver = Receiver::start();
    let guid = notification(&world, &json!({ "url": receiver.url }));
    for (number, (does, error)) in [
        (Does::Answer(500), "answered 500"),
        (Does::Redirect, "answered 307, which is not followed"),
        (Does::Answer(304), "answered 304"),
        (Does::Hang, "no answer within 10 s"),
    ]
    .into_iter()
    .enumerate()
    {
        receiver.set(does);
        if number == 0 {
            let test = world.post(&format!("/notifications/{guid}/test"), "");
            assert_eq!((test.status, &test.json()["event"]), (202, &json!("test")), "{}", test.body);
        } else {
            hurry(&world);
        }
        let attempts = number as u64 + 1;
        let delivery = wait_for(|| {
            let delivery = deliveries(&world, &guid).remove(0);
            (delivery["attempts"] == attempts && delivery["state"] == "WAITING").then_some(delivery)
        });
        assert_eq!(delivery["last_error"], error);
        assert!(delivery["next_attempt_at"].is_string());
    }
    receiver.set(Does::Answer(204));
    hurry(&world);
    wait_for_states(&world, &guid, &[("test", "DELIVERED")]);
    let received = receiver.received();
    assert_eq!(received.len(), 5, "no redirect is followed");
    let id = received[0].header("webhook-id").unwrap();
    assert!(received.iter().all(|it| it.header("webhook-id") == Some(id)), "{received:?}");
    // Endless answers are cut off after the status.
    receiver.set(Does::Flood);
    assert_eq!(world.post(&format!("/notifications/{guid}/test"), "").status, 202);
    wait_for(|| (deliveries(&world, &guid)[0]["state"] == "DELIVERED").then_some(()));
}

#[test]
fn a_receiver_that_hangs_holds_up_its_own_deliveries_only_and_410_disables() {
    let world = World::start();
    let (hanging, working, gone) = (Receiver::start(), Receiver::start(), Receiver::start());
    hanging.set(Does::Drip);
    gone.set(Does::Answer(410));
    let made =
        |name: &str, receiver: &Receiver| notification(&world, &json!({ "name": name, "url": receiver.url }));
    let slow: Vec<String> = (0..4).map(|number| made(&format!("slow{number}"), &hanging)).collect();
    let (working_guid, gone_guid) = (made("works", &working), made("gone", &gone));
    for guid in slow.iter().chain([&working_guid, &gone_guid]) {
        assert_eq!(world.post(&format!("/notifications/{guid}/test"), "").status, 202);
    }
    wait_for_states(&world, &working_guid, &[("test", "DELIVERED")]);
    wait_for_states(&world, &gone_guid, &[("test", "FAILED")]);
    let shown = world.get(&format!("/notifications/{gone_guid}")).json();
    assert_eq!(
        (&shown["enabled"], &shown["disabled_reason"]),
        (&json!(false), &json!("the receiver answered 410 Gone"))
    );
    let enabled = world.patch(&format!("/notifications/{gone_guid}"), r#"{"enabled":true}"#).json();
    assert_eq!(enabled["disabled_reason"], Value::Null);
}

#[test]
fn however_many_receivers_hang_others_are_told_at_once() {
    // As many as a space may have, and nobody knows any of them.
    const HANGING: usize = 49;
    let world = World::start();
    let (receiver, hangs, target) = (Receiver::start(), Receiver::start(), Receiver::start());
    hangs.set(Does::Hang);
    let call = world.call("ping", &target.url);
    for number in 0..HANGING {
        notification(&world, &json!({ "name": format!("hangs-{number}"), "url": hangs.url }));
    }
    let last = notification(&world, &json!({ "url": receiver.url }));
    target.set(Does::Answer(500));
    run(&world, &call);
    hurry(&world);
    // If each held up a thread for ten seconds, it would take a minute.
    receiver.wait_for(1);
    hangs.wait_for(HANGING);
    target.set(Does::Answer(200));
    run(&world, &call);
    assert_eq!(receiver.wait_for(2)[1].kind(), "execution.recovered");
    // Each was sent once. An attempt is recorded after the receiver has it.
    let attempts =
        || deliveries(&world, &last).iter().map(|it| it["attempts"].clone()).collect::<Vec<Value>>();
    wait_for(|| (attempts() == [1, 1]).then_some(()));
}

#[test]
fn whoever_was_not_told_of_a_recovery_is_told_of_the_next_one() {
    let world = World::start();
    let (receiver, target) = (Receiver::start(), Receiver::start());
    let call = world.call("ping", &target.url);
    let guid = notification(&world, &json!({ "url": receiver.url }));
    target.set(Does::Answer(500));
    run(&world, &call);
    hurry(&world);
    receiver.wait_for(1);
    // The recovery does not get through, and is replaced by the next failure, which is over before it is
    // sent.
    receiver.set(Does::Answer(500));
    target.set(Does::Answer(200));
    run(&world, &call);
    wait_for(|| (deliveries(&world, &guid)[0]["attempts"] == 1).then_some(()));
    target.set(Does::Answer(500));
    run(&world, &call);
    target.set(Does::Answer(200));
    run(&world, &call);
    // Perhaps it is being sent already.
    let seen = receiver.received().len();
    receiver.set(Does::Answer(200));
    let received = wait_for(|| {
        hurry(&world);
        Some(receiver.received()).filter(|received| seen < received.len())
    });
    assert_eq!(received[seen].kind(), "execution.recovered");
    wait_for(|| {
        hurry(&world);
        (deliveries(&world, &guid)[0]["state"] == "DELIVERED").then_some(())
    });
}

#[test]
fn nothing_waits_for_a_clock_that_was_ahead() {
    let mut world = World::start();
    let (receiver, target) = (Receiver::start(), Receiver::start());
    let call = world.call("ping", &target.url);
    notification(&world, &json!({ "url": receiver.url, "remind_after_seconds": 3600 }));
    target.set(Does::Answer(500));
    receiver.set(Does::Answer(500));
    run(&world, &call);
    hurry(&world);
    receiver.wait_for(1);
    world.patch(&format!("/calls/{call}"), r#"{"expect_success_within_seconds":60}"#);
    wait_for(|| (world.database().number("SELECT MAX(attempts) FROM deliveries") == 1).then_some(()));
    world.stop();
    // As if all of it had happened a year later, and the clock was set back.
    let year: i64 = 365 * 86400 * 1_000_000_000;
    world.database().execute(&format!(
        "UPDATE deliveries SET due_at = due_at + {year}; UPDATE alerts SET remind_at = remind_at + {year};
         UPDATE streaks SET success_due_at = success_due_at + {year}, expected_since = expected_since + {year}"
    ));
    receiver.set(Does::Answer(200));
    world.begin();
    let now = || SystemClock::default().now().nanos();
    let within = |seconds: i64, query: &str| {
        // The service may cut the waits later than it begins to answer.
        wait_for(|| (world.database().number(query) <= now() + seconds * 1_000_000_000).then_some(()));
    };
    within(60, "SELECT MAX(success_due_at) FROM streaks");
    within(3600, "SELECT MAX(remind_at) FROM alerts");
    // The second attempt follows after five seconds.
    receiver.wait_for(2);
}

/// A statement is a round trip. Thousands of failures in a space with 50 notifications took minutes.
#[needs::postgres]
#[test]
fn a_failure_takes_as_many_statements_for_many_notifications_as_for_one() {
    let world = World::start();
    let target = Receiver::start();
    let call = world.call("ping", &target.url);
    world.database().execute(
        "CREATE SEQUENCE statements;
         CREATE FUNCTION count_statement() RETURNS trigger LANGUAGE plpgsql
             AS $$ BEGIN PERFORM nextval('statements'); RETURN NULL; END $$;
         CREATE TRIGGER count_alerts AFTER INSERT OR UPDATE OR DELETE ON alerts
             FOR EACH STATEMENT EXECUTE FUNCTION count_statement();
         CREATE TRIGGER count_deliveries AFTER INSERT OR UPDATE OR DELETE ON deliveries
             FOR EACH STATEMENT EXECUTE FUNCTION count_statement()",
    );
    for number in 0..20 {
        // Nothing is sent meanwhile.
        let url = format!("{}/{number}", target.url);
        notification(
            &world,
            &json!({ "name": format!("n{number}"), "url": url, "events": ["failed", "succeeded"] }),
        );
    }
    let statements = || world.database().number("SELECT nextval('statements')");
    let before = statements();
    target.set(Does::Answer(500));
    run(&world, &call);
    assert_eq!(world.database().number("SELECT COUNT(*) FROM deliveries WHERE event = 'failed'"), 20);
    assert_eq!(statements() - before, 3, "one for the alerts, one for the deliveries, and the question");
    // Each of them is replaced.
    let before = statements();
    target.set(Does::Answer(200));
    world.database().execute("UPDATE notifications SET free_at = 0, owner = (SELECT MIN(id) FROM instances)");
    run(&world, &call);
    assert_eq!(world.database().number("SELECT COUNT(*) FROM deliveries WHERE event = 'succeeded'"), 20);
    assert_eq!(world.database().number("SELECT COUNT(*) FROM deliveries"), 20);
    let after = statements() - before;
    assert!(after <= 7, "{after}");
}

#[test]
fn what_a_notification_is_no_longer_about_is_not_told_again() {
    let world = World::start();
    let (receiver, alerts, target) = (Receiver::start(), Receiver::start(), Receiver::start());
    target.set(Does::Answer(500));
    let call = world.call("ping", &target.url);
    let other = world.call("other", &target.url);
    let reminded = notification(&world, &json!({ "url": receiver.url, "remind_after_seconds": 3600 }));
    let fields = json!({ "name": "alerts", "url": alerts.url, "format": "alertmanager" });
    let repeated = notification(&world, &fields);
    run(&world, &call);
    run(&world, &call);
    hurry(&world);
    receiver.wait_for(1);
    alerts.wait_for(1);
    let change = |fields: Value| {
        for guid in [&reminded, &repeated] {
            assert_eq!(world.patch(&format!("/notifications/{guid}"), &fields.to_string()).status, 200);
        }
    };
    // Runs what is due, and waits until nothing is.
    let settle = || {
        let open = "SELECT COUNT(*) FROM notifications WHERE owner IS NOT NULL OR repeat_at < 10";
        wait_for(|| (world.database().number(open) == 0).then_some(()));
        world.database().execute("UPDATE notifications SET repeat_at = 1 WHERE repeat_at IS NOT NULL");
        world.database().execute("UPDATE alerts SET remind_at = 1 WHERE remind_at IS NOT NULL");
        wait_for(|| {
            let due = "SELECT (SELECT COUNT(*) FROM alerts WHERE remind_at = 1) + (SELECT COUNT(*) FROM \
                       notifications WHERE repeat_at = 1 OR owner IS NOT NULL) + (SELECT COUNT(*) FROM \
                       deliveries WHERE ended_at IS NULL)";
            (world.database().number(due) == 0).then_some(())
        });
        (receiver.received().len(), alerts.received().len())
    };
    let before = settle();
    let reminder = receiver.received().remove(1).json();
    assert_eq!((&reminder["type"], &reminder["data"]["failures"]), (&json!("reminder"), &json!(2)));
    change(json!({ "call_guids": [other] }));
    assert_eq!(settle(), before);
    change(json!({ "call_guids": null, "events": ["recovered", "overdue"] }));
    assert_eq!(settle(), before);
    change(json!({ "events": null, "label_selector": "env=prod" }));
    assert_eq!(settle(), before);
    // A job that is selected again is reported again, and the recovery goes to receivers of the failure.
    change(json!({ "label_selector": null }));
    let again = settle();
    assert!(before.0 < again.0 && before.1 < again.1, "{before:?} {again:?}");
    change(json!({ "call_guids": [other] }));
    target.set(Does::Answer(200));
    run(&world, &call);
    assert_eq!(receiver.wait_for(again.0 + 1)[again.0].kind(), "execution.recovered");
}

#[test]
fn another_time_for_a_success_ends_what_was_overdue() {
    let world = World::start();
    let (receiver, target) = (Receiver::start(), Receiver::start());
    let call = world.call("ping", &target.url);
    notification(&world, &json!({ "url": receiver.url }));
    let expect = |seconds: u32| {
        let fields = json!({ "expect_success_within_seconds": seconds }).to_string();
        assert_eq!(world.patch(&format!("/calls/{call}"), &fields).status, 200);
    };
    expect(60);
    world.database().execute("UPDATE streaks SET success_due_at = 1");
    receiver.wait_for(1);
    // The same time is no change.
    expect(60);
    assert_eq!(world.database().number("SELECT COUNT(*) FROM alerts"), 1);
    expect(600);
    let over = receiver.wait_for(2).remove(1);
    let message = &over.json()["data"]["message"];
    assert_eq!(
        (over.kind().as_str(), message),
        ("execution.recovered", &json!("a success is expected within 600 s from now"))
    );
    assert_eq!(world.database().number("SELECT COUNT(*) FROM alerts"), 0);
    // It can be overdue again.
    world.database().execute("UPDATE streaks SET success_due_at = 1");
    assert_eq!(receiver.wait_for(3)[2].kind(), "job.overdue");
}

/// `STORM_FAILURES=5000 cargo test --test it failures_at_once` is the long version.
#[test]
fn five_hundred_failures_at_once_are_at_most_five_messages() {
    let failures = number_of("STORM_FAILURES", 500);
    let world = World::with(&[("WORKER_NUM", "16")]);
    let (receiver, target) = (Receiver::start(), Receiver::start());
    target.set(Does::Answer(500));
    let calls: Vec<String> =
        (0..failures).map(|number| world.call(&format!("c{number}"), &target.url)).collect();
    let guid = notification(&world, &json!({ "url": receiver.url }));
    let began_at = clock::instant();
    for call in &calls {
        assert_eq!(world.post(&format!("/calls/{call}/execute"), "").status, 201);
    }
    let told = || -> u64 {
        let counts = receiver.received().into_iter().map(|it| it.json()["data"]["counts"]["failed"].as_u64());
        counts.map(|count| count.unwrap_or(1)).sum()
    };
    wait_for(|| (told() == failures).then_some(()));
    let open = "SELECT COUNT(*) FROM deliveries WHERE ended_at IS NULL";
    wait_for(|| (world.database().number(open) == 0).then_some(()));
    let received = receiver.received();
    // Thousands are not at once: to ask for them takes a while. Each message waits five seconds for company.
    let most = 5.max(began_at.elapsed().as_secs() / 5);
    assert!(received.len() as u64 <= most, "{} of {most}", received.len());
    assert_eq!(told(), failures);
    let summary = received.iter().find(|it| it.kind() == "summary").unwrap().json();
    assert_eq!(summary["data"]["first"].as_array().unwrap().len(), 20);
    assert_eq!(summary["data"]["first"][0]["type"], "execution.failed");
    assert!(deliveries(&world, &guid).len() <= 1000, "{}", deliveries(&world, &guid).len());
}

#[test]
fn a_receiver_in_trouble_is_not_sent_all_that_waits_with_each_new_failure() {
    const FAILURES: u64 = 10;
    let world = World::start();
    let (receiver, target) = (Receiver::start(), Receiver::start());
    target.set(Does::Answer(500));
    receiver.set(Does::Answer(503));
    notification(&world, &json!({ "url": receiver.url }));
    let fail = |name: &str| {
        for number in 0..FAILURES {
            run(&world, &world.call(&format!("{name}-{number}"), &target.url));
        }
        hurry(&world);
    };
    let count = |it: &Received| it.json()["data"]["counts"]["failed"].as_u64().unwrap_or(1);
    fail("before");
    let first = receiver.wait_for(1).remove(0);
    fail("after");
    let is_other = |it: &Received| it.header("webhook-id") != first.header("webhook-id");
    let other = wait_for(|| receiver.received().into_iter().find(is_other));
    assert!(count(&other) <= FAILURES, "{}", other.body);
    // None is lost.
    receiver.set(Does::Answer(200));
    let number = |state: &str| {
        let query = format!("SELECT COUNT(*) FROM deliveries WHERE event = 'failed' AND {state}");
        u64::try_from(world.database().number(&query)).unwrap()
    };
    wait_for(|| {
        hurry(&world);
        (number("ended_at IS NULL") == 0).then_some(())
    });
    assert_eq!(number("state = 'DELIVERED'"), 2 * FAILURES);
}

#[test]
fn a_failure_that_a_disabled_notification_did_not_tell_is_told_when_it_is_enabled_and_it_fails_again() {
    let world = World::start();
    let (receiver, target) = (Receiver::start(), Receiver::start());
    target.set(Does::Answer(500));
    let call = world.call("ping", &target.url);
    let guid = notification(&world, &json!({ "url": receiver.url }));
    let path = format!("/notifications/{guid}");
    run(&world, &call);
    // It waits for others.
    assert_eq!(world.patch(&path, r#"{"enabled":false}"#).status, 200);
    run(&world, &call);
    assert_eq!(world.patch(&path, r#"{"enabled":true}"#).status, 200);
    hurry(&world);
    run(&world, &call);
    hurry(&world);
    let failed = receiver.wait_for(1).remove(0).json();
    assert_eq!((&failed["type"], &failed["data"]["failures"]), (&json!("execution.failed"), &json!(3)));
    // What was reported is not reported again.
    assert_eq!(world.patch(&path, r#"{"enabled":false}"#).status, 200);
    assert_eq!(world.patch(&path, r#"{"enabled":true}"#).status, 200);
    run(&world, &call);
    assert_eq!(states(&world, &guid)[0], ("failed".to_owned(), "DELIVERED".to_owned()));
}

#[test]
fn deleting_what_fails_tells_that_it_has_recovered() {
    let world = World::start();
    let (receiver, target) = (Receiver::start(), Receiver::start());
    target.set(Does::Answer(500));
    let call = world.call("ping", &target.url);
    notification(&world, &json!({ "url": receiver.url }));
    run(&world, &call);
    hurry(&world);
    receiver.wait_for(1);
    assert_eq!(world.delete(&format!("/calls/{call}")).status, 204);
    let recovered = receiver.wait_for(2).remove(1);
    assert_eq!(
        (recovered.kind().as_str(), &recovered.json()["data"]["deleted"]),
        ("execution.recovered", &json!(true))
    );
}

#[test]
fn what_lasts_is_told_again_and_a_restart_tells_nobody_twice() {
    let mut world = World::start();
    let (receiver, target) = (Receiver::start(), Receiver::start());
    target.set(Does::Answer(500));
    let call = world.call("ping", &target.url);
    notification(&world, &json!({ "url": receiver.url, "remind_after_seconds": 3600 }));
    run(&world, &call);
    hurry(&world);
    receiver.wait_for(1);
    world.restart();
    run(&world, &call);
    assert_eq!(receiver.received().len(), 1);
    let patch = |fields: Value| {
        let guid = world.get("/notifications").json()["resources"][0]["guid"].as_str().unwrap().to_owned();
        assert_eq!(world.patch(&format!("/notifications/{guid}"), &fields.to_string()).status, 200);
        world.database().number("SELECT COALESCE(MAX(remind_at - since) / 1000000000, 0) FROM alerts")
    };
    let before = world.database().number("SELECT MAX(remind_at - since) / 1000000000 FROM alerts");
    assert_eq!(patch(json!({ "name": "other" })), before, "another change does not put it off");
    assert_eq!(patch(json!({ "remind_after_seconds": null })), 0);
    assert!((7200..7260).contains(&patch(json!({ "remind_after_seconds": 7200 }))));
    patch(json!({ "remind_after_seconds": 3600 }));
    world.database().execute("UPDATE alerts SET remind_at = 1");
    let reminder = receiver.wait_for(2).remove(1);
    assert_eq!(reminder.kind(), "reminder");
    let hour = "SELECT (remind_at - since) / 1000000000 FROM alerts";
    let again = world.database().number(hour);
    assert!((3600..3660).contains(&again), "{again}");
}

#[test]
fn a_success_that_does_not_come_is_told_once_and_its_coming_too() {
    let world = World::start();
    let (receiver, target) = (Receiver::start(), Receiver::start());
    let call = world.call("ping", &target.url);
    let guid = notification(&world, &json!({ "url": receiver.url }));
    let path = format!("/calls/{call}");
    assert_eq!(world.patch(&path, r#"{"expect_success_within_seconds":60}"#).status, 200);
    let due = "SELECT (success_due_at - expected_since) / 1000000000 FROM streaks";
    assert_eq!(world.database().number(due), 60);
    let listed = || world.get(&format!("/overdue?space_guid={SPACE}")).json()["resources"].clone();
    assert_eq!(listed(), json!([]));
    world.database().execute("UPDATE streaks SET success_due_at = 1");
    let overdue = receiver.wait_for(1).remove(0);
    assert_eq!(
        (overdue.kind().as_str(), &overdue.json()["data"]["execution"]),
        ("job.overdue", &Value::Null)
    );
    assert_eq!(overdue.json()["data"]["call"]["guid"], call.as_str());
    let list = listed();
    assert_eq!((&list[0]["call_guid"], &list[0]["name"]), (&json!(call), &json!("ping")));
    assert_eq!(list[0]["expect_success_within_seconds"], 60);
    assert_eq!(world.get("/overdue?limit=1").json()["resources"], list);
    assert_eq!(world.get("/overdue?page=1").status, 422);
    run(&world, &call);
    assert_eq!(receiver.wait_for(2)[1].kind(), "execution.recovered");
    assert_eq!(listed(), json!([]));
    wait_for_states(&world, &guid, &[("recovered", "DELIVERED"), ("overdue", "DELIVERED")]);
    // The time starts at the success.
    assert_eq!(world.database().number(due), 60);
    // Nobody waits for it any more.
    world.database().execute("UPDATE streaks SET success_due_at = 1");
    assert_eq!(receiver.wait_for(3)[2].kind(), "job.overdue");
    assert_eq!(world.patch(&path, r#"{"expect_success_within_seconds":null}"#).status, 200);
    assert_eq!(world.database().number("SELECT COUNT(*) FROM streaks WHERE success_due_at IS NOT NULL"), 0);
    let over = receiver.wait_for(4).remove(3);
    assert_eq!(over.kind(), "execution.recovered");
    assert_eq!(over.json()["data"]["message"], "no success is expected any more");
    assert_eq!(over.json()["data"]["ended_events"], Value::Null);
    assert_eq!(world.database().number("SELECT COUNT(*) FROM alerts"), 0);
}

#[test]
fn a_late_success_of_an_older_execution_ends_what_is_overdue_and_not_the_failure() {
    let world = World::start();
    let (one, both, target) = (Receiver::start(), Receiver::start(), Receiver::start());
    let call = world.call("ping", &target.url);
    let events = json!(["overdue", "recovered"]);
    notification(&world, &json!({ "name": "one", "url": one.url, "events": events }));
    notification(&world, &json!({ "name": "both", "url": both.url }));
    let expect = r#"{"expect_success_within_seconds":60}"#;
    assert_eq!(world.patch(&format!("/calls/{call}"), expect).status, 200);
    target.set(Does::Answer(500));
    run(&world, &call);
    hurry(&world);
    assert_eq!(both.wait_for(1)[0].kind(), "execution.failed");
    world.database().execute("UPDATE streaks SET success_due_at = 1");
    assert_eq!(one.wait_for(1)[0].kind(), "job.overdue");
    assert_eq!(both.wait_for(2)[1].kind(), "job.overdue");
    // What failed was created after what succeeds now.
    world.database().execute("UPDATE streaks SET last_execution_id = last_execution_id + 1000");
    target.set(Does::Answer(200));
    run(&world, &call);
    assert_eq!(one.wait_for(2)[1].kind(), "execution.recovered");
    let lasting = world.database().rows("SELECT event FROM alerts");
    assert_eq!(lasting, [["failed"]], "it fails on for whom that was told");
    let failures = "SELECT failures FROM streaks WHERE success_due_at > 1";
    assert_eq!(world.database().number(failures), 1);
    // It can be overdue again, and has recovered for both when the last one succeeds.
    world.database().execute("UPDATE streaks SET success_due_at = 1");
    assert_eq!(one.wait_for(3)[2].kind(), "job.overdue");
    assert_eq!(both.wait_for(3)[2].kind(), "job.overdue");
    world.database().execute("UPDATE streaks SET last_execution_id = 1");
    run(&world, &call);
    assert_eq!(one.wait_for(4)[3].kind(), "execution.recovered");
    assert_eq!(both.wait_for(4)[3].kind(), "execution.recovered");
}

#[test]
fn slack_gets_a_text_and_alertmanager_all_that_lasts() {
    let world = World::start();
    let (receiver, target) = (Receiver::start(), Receiver::start());
    target.set(Does::Answer(500));
    let call = world.call("a & b", &target.url);
    let slack = format!("{}/slack", receiver.url);
    notification(&world, &json!({ "name": "slack", "url": slack, "format": "slack" }));
    run(&world, &call);
    hurry(&world);
    let text = receiver.wait_for(1)[0].json()["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("*call a &amp; b* has failed (since "), "{text}");

    let alerts = Receiver::start();
    let url = format!("{}/", alerts.url);
    notification(&world, &json!({ "name": "alerts", "url": url, "format": "alertmanager" }));
    run(&world, &call);
    hurry(&world);
    let first = alerts.wait_for(1).remove(0);
    assert_eq!(first.path, "/api/v2/alerts");
    let alert = first.json()[0].clone();
    assert_eq!(
        alert["labels"],
        json!({ "alertname": "OcfScheduler_failed", "event": "failed", "space_guid": SPACE, "app_guid": APP,
                "call_guid": call })
    );
    assert_eq!(alert["annotations"]["summary"], "call a & b fails");
    // Repeated each minute while it is active, from the end of the attempt on.
    let sent_for = "SELECT COUNT(*) FROM notifications WHERE owner IS NOT NULL";
    wait_for(|| (world.database().number(sent_for) == 0).then_some(()));
    world.database().execute("UPDATE notifications SET repeat_at = 1 WHERE repeat_at IS NOT NULL");
    let second = alerts.wait_for(2).remove(1);
    assert_eq!(
        (&second.json()[0]["labels"], &second.json()[0]["startsAt"]),
        (&alert["labels"], &alert["startsAt"])
    );
    target.set(Does::Answer(200));
    run(&world, &call);
    let last = alerts.wait_for(3).remove(2).json();
    assert_eq!(
        (last.as_array().unwrap().len(), &last[0]["labels"]),
        (1, &alert["labels"]),
        "it was not overdue"
    );
    assert!(last[0]["endsAt"].as_str() < alert["endsAt"].as_str());
    wait_for(|| {
        (world.database().number("SELECT COUNT(*) FROM notifications WHERE repeat_at IS NOT NULL") == 0)
            .then_some(())
    });
}

#[test]
fn a_task_that_fails_because_it_was_cancelled_alarms_nobody() {
    let world = World::start();
    let receiver = Receiver::start();
    let job = world.job("nightly");
    let guid = notification(&world, &json!({ "url": receiver.url }));
    let run = |cancel: bool| {
        let execution = world.post(&format!("/jobs/{job}/execute"), "").guid();
        let path = format!("/executions/{execution}");
        wait_for(|| (world.get(&path).json()["state"] == "RUNNING").then_some(()));
        if cancel {
            assert_eq!(world.post(&format!("{path}/cancel"), "").status, 202);
        }
        wait_for(|| {
            for task in world.cf.tasks() {
                world.cf.set_task_state(&task.guid, "FAILED", Some("Exited with status 1"));
            }
            let ended = world.get(&path).json();
            (ended["state"] == "FAILED").then(|| ended["reason"].as_str().unwrap().to_owned())
        })
    };
    assert_eq!(run(true), "cancelled");
    assert!(states(&world, &guid).is_empty());
    assert_eq!(run(false), "task_failed");
    assert_eq!(states(&world, &guid), [("failed".to_owned(), "WAITING".to_owned())]);
}

#[test]
fn what_somebody_cancels_begins_no_streak_and_ends_none() {
    let world = World::start();
    let (receiver, target) = (Receiver::start(), Receiver::start());
    let call = world.call("ping", &target.url);
    let guid = notification(&world, &json!({ "url": receiver.url, "after_failures": 2 }));
    let cancel = || {
        target.set(Does::Hang);
        let execution = world.post(&format!("/calls/{call}/execute"), "").guid();
        let path = format!("/executions/{execution}");
        wait_for(|| (world.get(&path).json()["state"] == "RUNNING").then_some(()));
        assert!(world.post(&format!("{path}/cancel"), "").status < 300);
        wait_for(|| (world.get(&path).json()["state"] == "FAILED").then_some(()));
        target.set(Does::Answer(500));
    };
    cancel();
    cancel();
    assert!(states(&world, &guid).is_empty());
    run(&world, &call);
    cancel();
    run(&world, &call);
    assert_eq!(states(&world, &guid), [("failed".to_owned(), "WAITING".to_owned())]);
}
