//! The Cloud Foundry platform against a fake one.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use ocf_scheduler::base::clock::{self, ManualClock, SystemClock};
use ocf_scheduler::model::{Guid, Timestamp};
use ocf_scheduler::outbound::Outbound;
use ocf_scheduler::platform::cf::{CloudFoundry, CloudFoundrySettings, Deadlines};
use ocf_scheduler::platform::{
    Delivery, Identity, NewTask, Platform, PlatformError, Task, TaskIdentity, TaskName, TaskState,
};

mod auth;
pub(crate) mod fake_cf;

use serde_json::{Value, json};

use super::world::request;
use fake_cf::{ALWAYS, CLIENT_ID, CLIENT_SECRET, Decoding, FakeCf, Fault};

const CREATE: &str = "POST /v3/apps/:guid/tasks";
const ADMIN: &str = "cloud_controller.admin";
const START: &str = "2026-03-01T00:00:00Z";
/// Short enough for a test to wait for, long enough for a busy machine.
const DEADLINES: Deadlines = Deadlines { connect: Duration::from_secs(4), total: Duration::from_secs(4) };

/// A fake with one app, and the platform that uses it.
struct Foundation {
    fake: FakeCf,
    clock: Arc<ManualClock>,
    platform: CloudFoundry,
}

impl Foundation {
    fn new() -> Self {
        let fake = FakeCf::start();
        fake.add_app("app-1", "space-1");
        let clock = Arc::new(ManualClock::new(Timestamp::parse(START).unwrap()));
        let settings = settings(&fake);
        let platform = CloudFoundry::with_deadlines(&settings, DEADLINES, clock.clone()).unwrap();
        Self { fake, clock, platform }
    }

    fn create(&self) -> Result<Task, PlatformError> {
        self.platform.create_task(&new_task("execution-1"))
    }

    fn identify(&self, token: &str) -> Result<Option<Identity>, PlatformError> {
        self.platform.identify(token)
    }
}

fn settings(fake: &FakeCf) -> CloudFoundrySettings {
    CloudFoundrySettings {
        cf_endpoint: fake.url(),
        uaa_endpoint: None,
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        outbound: Outbound::default(),
    }
}

fn find(world: &Foundation, names: &[String]) -> Result<Vec<Task>, PlatformError> {
    let of_app = |name: &String| TaskName { app: "app-1".into(), name: name.clone() };
    let names: Vec<TaskName> = names.iter().map(of_app).collect();
    world.platform.find_tasks(&names).map(|found| found.tasks)
}

fn list(world: &Foundation, guids: &[Guid]) -> Result<Vec<Task>, PlatformError> {
    world.platform.list_tasks(guids).map(|found| found.tasks)
}

fn new_task(name: &str) -> NewTask {
    NewTask {
        app: "app-1".into(),
        name: name.to_owned(),
        command: "bin/report --all \"of it\"".to_owned(),
        memory_in_mb: 256,
        disk_in_mb: 512,
        log_rate_in_bps: 0,
        identity: TaskIdentity {
            execution: Guid::from("execution-1"),
            job: Guid::from("job-1"),
            job_name: "job".to_owned(),
            scheduled_time: None,
            attempt: 1,
        },
    }
}

#[track_caller]
fn unavailable<T: std::fmt::Debug>(
    outcome: Result<T, PlatformError>,
) -> (String, Option<Duration>, Delivery) {
    match outcome {
        Err(PlatformError::Unavailable { cause, retry_after, delivery }) => (cause, retry_after, delivery),
        Err(PlatformError::Misconfigured { cause }) => (cause, None, Delivery::Failed),
        other => panic!("not unavailable: {other:?}"),
    }
}

#[track_caller]
fn delivery_of_create(fault: Fault) -> Delivery {
    let world = Foundation::new();
    world.fake.fault(CREATE, fault, ALWAYS);
    let (cause, _, delivery) = unavailable(world.create());
    assert_eq!(world.fake.count(CREATE), 1, "sent again after: {cause}");
    delivery
}

// Identities.

#[test]
fn userinfo_names_the_user_who_is_no_admin_without_the_scope() {
    let world = Foundation::new();
    let token = world.fake.issue_user_token("user-1", &["openid", "cloud_controller.read"]);
    let identity = world.identify(&token).unwrap().unwrap();
    assert_eq!((identity.user.as_str(), identity.admin), ("user-1", false));
    assert!(identity.expires_at.is_some());
    assert_eq!(world.fake.count("POST /oauth/token"), 0, "a user's token needs none of the service's");
}

#[test]
fn the_admin_scope_counts_in_a_token_that_uaa_accepts() {
    let world = Foundation::new();
    let token = world.fake.issue_user_token("root", &["openid", ADMIN]);
    assert!(world.identify(&token).unwrap().unwrap().admin);
    let similar = world
        .fake
        .issue_user_token("user-1", &["cloud_controller.admin_read_only", "x.cloud_controller.admin"]);
    assert!(!world.identify(&similar).unwrap().unwrap().admin);
}

#[test]
fn a_forged_admin_token_is_nobodys() {
    let world = Foundation::new();
    assert_eq!(world.identify(&world.fake.forge_token("root", &[ADMIN])), Ok(None));
    assert_eq!(world.identify(&world.fake.forge_client_token("robot", &[ADMIN])), Ok(None));
}

#[test]
fn a_revoked_token_is_nobodys() {
    let world = Foundation::new();
    let token = world.fake.issue_user_token("user-1", &[]);
    world.fake.revoke(&token);
    assert_eq!(world.identify(&token), Ok(None));
}

#[test]
fn an_opaque_token_has_the_scopes_and_the_expiry_from_introspection() {
    let world = Foundation::new();
    let end = Timestamp::parse("2026-03-01T00:00:05Z").unwrap();
    let token = world.fake.issue_opaque_user_token_until("user-1", &[ADMIN], 1_772_323_205);
    let identity = world.identify(&token).unwrap().unwrap();
    let expected = Identity {
        user: "user-1".to_owned(),
        name: Some("user-1@example.com".to_owned()),
        admin: true,
        spaces: None,
        may_read: true,
        may_write: true,
        readable: Vec::new(),
        scopes: Vec::new(),
        expires_at: Some(end),
    };
    assert_eq!(identity, expected);
    let reader = world.fake.issue_opaque_user_token("user-1", &["cloud_controller.read"]);
    assert_eq!(rights(&world, &reader), Some((true, false)));
    let client = world.fake.issue_opaque_client_token("robot", &["cloud_controller.write"]);
    assert_eq!(rights(&world, &client), Some((false, true)));
    assert_eq!(world.fake.count("GET /userinfo"), 0);
    world.fake.allow_introspection(false);
    assert_eq!(world.identify(&token), Ok(None), "where introspection may not be asked");
}

fn rights(world: &Foundation, token: &str) -> Option<(bool, bool)> {
    world.identify(token).unwrap().map(|identity| (identity.may_read, identity.may_write))
}

#[test]
fn a_tokens_rights_follow_from_its_scopes() {
    let world = Foundation::new();
    #[track_caller]
    fn check(world: &Foundation, scopes: &[&str], expected: (bool, bool)) {
        let user = world.fake.issue_user_token("user-1", scopes);
        let client = world.fake.issue_client_token("robot", scopes);
        let opaque = world.fake.issue_opaque_user_token("user-1", scopes);
        for token in [user, client, opaque] {
            assert_eq!(rights(world, &token), Some(expected), "{scopes:?} {token}");
        }
    }
    check(&world, &["openid"], (false, false));
    check(&world, &[], (false, false));
    check(&world, &["openid", "cloud_controller.read"], (true, false));
    check(&world, &["cloud_controller.write"], (false, true));
    check(&world, &["cloud_controller.read", "cloud_controller.write"], (true, true));
    check(&world, &[ADMIN], (true, true));
    check(&world, &["cloud_controller.admin_read_only", "cloud_controller.reader"], (false, false));
}

#[test]
fn a_clients_token_with_openid_goes_to_introspection_first() {
    let world = Foundation::new();
    let token = world.fake.issue_client_token("robot", &["openid", "cloud_controller.read"]);
    assert_eq!(rights(&world, &token), Some((true, false)));
    assert_eq!(world.fake.count("GET /userinfo"), 0, "which UAA 4.30 answers with 500");
}

#[test]
fn a_token_without_a_user_is_verified_by_introspection_and_stands_for_its_client() {
    let world = Foundation::new();
    let plain = world.identify(&world.fake.issue_client_token("robot", &["uaa.none"])).unwrap().unwrap();
    assert_eq!((plain.user.as_str(), plain.admin), ("robot", false));
    assert!(plain.expires_at.is_some());
    let admin = world.identify(&world.fake.issue_client_token("deployer", &[ADMIN])).unwrap().unwrap();
    assert_eq!((admin.user.as_str(), admin.admin), ("deployer", true));
}

#[test]
fn without_the_authority_to_introspect_no_token_without_a_user_is_accepted() {
    let world = Foundation::new();
    world.fake.allow_introspection(false);
    assert_eq!(world.identify(&world.fake.issue_client_token("robot", &[ADMIN])), Ok(None));
}

#[test]
fn a_token_that_introspection_calls_inactive_is_nobodys_whatever_else_it_says() {
    let world = Foundation::new();
    let body = format!(r#"{{"active":false,"client_id":"robot","scope":["{ADMIN}"]}}"#);
    world.fake.fault("POST /introspect", Fault::Respond { status: 200, headers: Vec::new(), body }, ALWAYS);
    assert_eq!(world.identify(&world.fake.issue_client_token("robot", &[ADMIN])), Ok(None));
}

#[test]
fn a_users_token_that_userinfo_refuses_is_not_rescued_by_introspection() {
    let world = Foundation::new();
    world.fake.fault("GET /userinfo", Fault::status(403, None), ALWAYS);
    assert_eq!(world.identify(&world.fake.issue_user_token("user-1", &[])), Ok(None));
    assert_eq!(world.fake.count("POST /introspect"), 0);
}

#[test]
fn a_token_of_32_kib_is_verified_although_uaas_server_accepts_no_such_head() {
    let world = Foundation::new();
    let token = world.fake.issue_long_user_token("user-1", &["cloud_controller.read"], 32 * 1024);
    assert_eq!(rights(&world, &token), Some((true, false)));
    world.fake.fault("GET /userinfo", Fault::html(400), ALWAYS);
    assert_eq!(rights(&world, &token), Some((true, false)));
    world.fake.allow_introspection(false);
    assert_eq!(world.identify(&token), Ok(None));
}

// Faults for the operator.

#[track_caller]
fn misconfigured<T: std::fmt::Debug>(outcome: Result<T, PlatformError>, named: &str) {
    match outcome {
        Err(PlatformError::Misconfigured { cause }) => assert!(cause.contains(named), "{cause}"),
        other => panic!("not misconfigured: {other:?}"),
    }
}

#[test]
fn an_operators_mistake_is_not_blamed_on_the_caller() {
    let wrong_secret = Foundation::new();
    wrong_secret.fake.set_client(CLIENT_ID, "another", Decoding::WithHeader);
    let token = wrong_secret.fake.issue_client_token("robot", &[ADMIN]);
    misconfigured(wrong_secret.identify(&token), "CLIENT_SECRET");

    for (status, user_alone) in [(400, false), (404, true), (302, true), (405, true)] {
        let world = Foundation::new();
        world.fake.fault("POST /introspect", Fault::html(status), ALWAYS);
        world.fake.fault("GET /userinfo", Fault::html(status), ALWAYS);
        misconfigured(world.identify(&world.fake.issue_client_token("robot", &[ADMIN])), "UAA_ENDPOINT");
        misconfigured(world.identify(&world.fake.issue_user_token("user-1", &[ADMIN])), "UAA_ENDPOINT");
        assert_eq!(world.fake.count("POST /introspect"), if user_alone { 1 } else { 2 }, "{status}");
    }
}

#[test]
fn a_service_without_the_authority_it_needs_finds_no_fault_with_others() {
    let world = Foundation::new();
    world.fake.set_authorities("uaa.resource");
    misconfigured(world.platform.check(), "cloud_controller.admin");
    misconfigured(world.platform.spaces_of("user-1"), "cloud_controller.admin");
    misconfigured(world.platform.space_of_app(&"unknown".into()), "cloud_controller.admin");
    world.fake.fault(CREATE, Fault::cf_error(403, 10003, "CF-NotAuthorized", "You are not authorized"), 1);
    misconfigured(world.create(), "cloud_controller.admin");
    world.create().unwrap();
    world.fake.set_authorities("cloud_controller.admin");
    world.fake.expire_service_tokens();
    assert_eq!(world.platform.space_of_app(&"unknown".into()), Ok(None));
    assert_eq!(world.platform.check(), Ok(()));
}

#[test]
fn refused_credentials_are_not_sent_again_and_again() {
    let world = Foundation::new();
    world.fake.set_client(CLIENT_ID, "another", Decoding::WithHeader);
    for _ in 0..5 {
        misconfigured(world.platform.space_of_app(&"app-1".into()), "CLIENT_SECRET");
    }
    assert_eq!(world.fake.count("POST /oauth/token"), 1);
    world.fake.set_client(CLIENT_ID, CLIENT_SECRET, Decoding::WithHeader);
    world.clock.set(Timestamp::parse("2026-03-01T00:00:06Z").unwrap());
    world.platform.space_of_app(&"app-1".into()).unwrap();
}

#[test]
fn all_faults_in_settings_are_found_on_demand() {
    let world = Foundation::new();
    assert_eq!(world.platform.faults(), Vec::<String>::new());
    world.fake.allow_introspection(false);
    world.fake.set_authorities("cloud_controller.read");
    world.fake.expire_service_tokens();
    world.clock.set(Timestamp::parse("2026-03-01T00:20:00Z").unwrap());
    let faults = world.platform.faults();
    assert!(faults.iter().any(|fault| fault.contains("uaa.resource")), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.contains("cloud_controller.admin")), "{faults:?}");
    world.fake.fault("GET /", Fault::html(404), ALWAYS);
    assert!(world.platform.faults()[0].contains("CF_ENDPOINT"));
}

#[test]
fn credentials_with_odd_characters_are_understood_by_each_uaa() {
    let (id, secret) = ("sched+uler %41:é", "s+e%63 r&t/=:");
    for decoding in [Decoding::Never, Decoding::WithHeader, Decoding::Always] {
        let fake = FakeCf::start();
        fake.add_app("app-1", "space-1");
        let id = id.replace(':', "");
        fake.set_client(&id, secret, decoding);
        let settings = CloudFoundrySettings {
            client_id: id.clone(),
            client_secret: secret.to_owned(),
            ..settings(&fake)
        };
        let platform = CloudFoundry::new(&settings, Arc::new(SystemClock::default())).unwrap();
        assert!(platform.space_of_app(&"app-1".into()).unwrap().is_some(), "{decoding:?}");
        let token = fake.issue_client_token("robot", &["cloud_controller.read"]);
        assert!(platform.identify(&token).unwrap().is_some(), "{decoding:?}");
        let asked = fake.count("POST /oauth/token") + fake.count("POST /introspect");
        let expected = if decoding == Decoding::Never { 3 } else { 2 };
        assert_eq!(asked, expected, "{decoding:?}: what worked is tried first from then on");
    }
}

// Requested pauses.

#[test]
fn a_requested_pause_is_kept_by_all_threads() {
    let world = Foundation::new();
    let at = |seconds: u64| {
        world.clock.set(Timestamp::parse(START).unwrap().saturating_add(Duration::from_secs(seconds)));
    };
    world.platform.space_of_app(&"app-1".into()).unwrap();
    for (since, fault) in [
        (0, Fault::status(429, Some(("Retry-After", "300")))),
        (1000, Fault::status(503, Some(("Retry-After", "300")))),
        (2000, Fault::status(429, Some(("X-RateLimit-Reset", "1772325500")))),
        (3000, Fault::status(429, Some(("X-RateLimit-Reset", "300")))),
    ] {
        at(since);
        world.platform.space_of_app(&"app-1".into()).unwrap();
        world.fake.fault("GET /v3/tasks", fault, 1);
        unavailable(list(&world, &["task-1".into()]));
        world.fake.clear_requests();
        at(since + 299);
        let (cause, wait, delivery) = unavailable(world.create());
        assert_eq!((wait, delivery), (Some(Duration::from_secs(1)), Delivery::Failed), "{cause}");
        unavailable(list(&world, &["task-1".into()]));
        unavailable(world.platform.check());
        assert!(world.fake.requests().is_empty(), "{:?}", world.fake.requests());
        at(since + 300);
        list(&world, &["task-1".into()]).unwrap();
    }
}

#[test]
fn an_exhausted_rate_limit_is_waited_for_and_each_upstream_has_its_own() {
    let world = Foundation::new();
    let headers = [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1772323260")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let body = r#"{"pagination":{"next":null},"resources":[]}"#.to_owned();
    world.fake.fault("GET /v3/tasks", Fault::Respond { status: 200, headers, body }, 1);
    list(&world, &["task-1".into()]).unwrap();
    let (_, wait, _) = unavailable(world.create());
    assert_eq!(wait, Some(Duration::from_secs(60)));
    assert_eq!(rights(&world, &world.fake.issue_cf_token("user-1")), Some((true, true)), "UAA may be asked");
}

#[test]
fn a_gateways_answer_to_the_creation_of_a_task_is_retried() {
    for status in [400, 403, 404, 413, 421] {
        assert_eq!(delivery_of_create(Fault::html(status)), Delivery::Failed, "{status}");
    }
    for status in [460, 499] {
        assert_eq!(delivery_of_create(Fault::html(status)), Delivery::Unknown, "{status}");
    }
    let json = r#"{"error":"forbidden"}"#.to_owned();
    let json = Fault::Respond { status: 403, headers: Vec::new(), body: json };
    assert_eq!(delivery_of_create(json), Delivery::Failed, "not in Cloud Foundry's words");
}

#[test]
fn an_impossible_token_is_refused_without_a_request() {
    let world = Foundation::new();
    let long = "a".repeat(33_000);
    for odd in ["", " ", "a b", "a\r\nX-Evil: 1", "a\0", "t\u{f6}ken", long.as_str()] {
        assert_eq!(world.identify(odd), Ok(None), "{odd:?}");
    }
    assert!(world.fake.requests().is_empty());
}

#[test]
fn uaa_in_trouble_identifies_nobody() {
    #[track_caller]
    fn check(fault: Fault) {
        let world = Foundation::new();
        let token = world.fake.issue_user_token("root", &[ADMIN]);
        world.fake.fault("GET /userinfo", fault, ALWAYS);
        unavailable(world.identify(&token));
    }
    check(Fault::status(429, None));
    check(Fault::status(500, None));
    check(Fault::status(503, None));
    check(Fault::status(404, None));
    check(Fault::status(302, Some(("Location", "/login"))));
    check(Fault::html(200));
    check(Fault::Respond { status: 200, headers: Vec::new(), body: "{}".to_owned() });
    check(Fault::DropBefore);
    let world = Foundation::new();
    let token = world.fake.issue_client_token("robot", &[ADMIN]);
    world.fake.fault("POST /introspect", Fault::html(502), ALWAYS);
    unavailable(world.identify(&token));
}

#[test]
fn an_error_does_not_repeat_a_token_that_uaa_repeats() {
    let world = Foundation::new();
    let token = world.fake.issue_user_token("user-1", &[]);
    let body = format!(r#"{{"error":"server_error","error_description":"no luck with {token}"}}"#);
    world.fake.fault("GET /userinfo", Fault::Respond { status: 500, headers: Vec::new(), body }, ALWAYS);
    let (cause, _, _) = unavailable(world.identify(&token));
    assert_eq!(cause, "UAA answered 500 Internal Server Error: server_error");
}

#[test]
fn retry_after_is_read_as_seconds_and_as_a_date() {
    #[track_caller]
    fn check(header: &str, expected: Option<u64>) {
        let world = Foundation::new();
        world.fake.fault("GET /userinfo", Fault::status(429, Some(("Retry-After", header))), ALWAYS);
        let token = world.fake.issue_user_token("user-1", &[]);
        let (_, retry_after, _) = unavailable(world.identify(&token));
        assert_eq!(retry_after, expected.map(Duration::from_secs), "{header}");
    }
    check("17", Some(17));
    check("Sun, 01 Mar 2026 00:00:42 GMT", Some(42));
    check("Sat, 28 Feb 2026 00:00:00 GMT", Some(0));
    check("999999999999", Some(3600));
    check("soon", None);
}

// The endpoint of UAA, and the service's own token.

#[test]
fn uaa_is_found_through_the_root_once_or_taken_from_its_setting() {
    let world = Foundation::new();
    world.create().unwrap();
    world.identify(&world.fake.issue_user_token("user-1", &[])).unwrap();
    assert_eq!(world.fake.count("GET /"), 1);

    let fake = FakeCf::start();
    let settings = CloudFoundrySettings { uaa_endpoint: Some(format!("{}/", fake.url())), ..settings(&fake) };
    let platform = CloudFoundry::new(&settings, Arc::new(SystemClock::default())).unwrap();
    platform.space_of_app(&"app-1".into()).unwrap();
    assert_eq!(fake.count("GET /"), 0);
}

#[test]
fn the_own_token_is_kept_until_shortly_before_its_end() {
    let world = Foundation::new();
    let seconds_later = |seconds: u64| {
        world.clock.set(Timestamp::parse(START).unwrap().saturating_add(Duration::from_secs(seconds)));
        world.platform.space_of_app(&"app-1".into()).unwrap();
        world.fake.count("POST /oauth/token")
    };
    assert_eq!(seconds_later(0), 1);
    assert_eq!(seconds_later(538), 1);
    assert_eq!(seconds_later(540), 2, "it lives for 599 s");
}

#[test]
fn threads_that_wait_for_the_own_token_share_one_request() {
    assert_eq!(tokens_fetched_by_ten_at_once(Fault::Delay(Duration::from_millis(400)), true), 1);
}

#[test]
fn threads_that_wait_for_the_own_token_share_its_failure() {
    let fault = Fault::Endless { status: 200 };
    assert_eq!(tokens_fetched_by_ten_at_once(fault, false), 1);
}

fn tokens_fetched_by_ten_at_once(fault: Fault, succeeds: bool) -> usize {
    let world = Foundation::new();
    world.identify(&world.fake.issue_user_token("user-1", &[])).unwrap(); // Now it knows the endpoint of UAA.
    world.fake.fault("POST /oauth/token", fault, ALWAYS);
    let barrier = Barrier::new(10);
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                barrier.wait();
                let space = world.platform.space_of_app(&"app-1".into());
                assert_eq!(space.is_ok(), succeeds, "{space:?}");
            });
        }
    });
    world.fake.count("POST /oauth/token")
}

#[test]
fn a_401_replaces_the_own_token_once_and_the_task_is_created_once() {
    let world = Foundation::new();
    world.platform.space_of_app(&"app-1".into()).unwrap();
    world.fake.expire_service_tokens();
    world.create().unwrap();
    assert_eq!(world.fake.count("POST /oauth/token"), 2);
    assert_eq!(world.fake.tasks().len(), 1);
}

#[test]
fn many_threads_whose_token_expired_replace_it_once() {
    let world = Foundation::new();
    world.platform.space_of_app(&"app-1".into()).unwrap();
    world.fake.expire_service_tokens();
    world.fake.fault("GET /v3/apps/:guid", Fault::Delay(Duration::from_millis(300)), 8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| world.platform.space_of_app(&"app-1".into()).unwrap());
        }
    });
    assert_eq!(world.fake.count("POST /oauth/token"), 2);
}

#[test]
fn a_second_401_is_unavailable_and_surely_without_effect() {
    let world = Foundation::new();
    world.fake.fault(CREATE, Fault::status(401, None), ALWAYS);
    let (cause, _, delivery) = unavailable(world.create());
    assert_eq!((world.fake.count(CREATE), delivery), (2, Delivery::Failed), "{cause}");
}

#[test]
fn without_a_token_nothing_is_created_and_the_cause_names_the_settings() {
    let fake = FakeCf::start();
    let settings = CloudFoundrySettings { client_secret: "wrong-secret".to_owned(), ..settings(&fake) };
    let platform = CloudFoundry::new(&settings, Arc::new(SystemClock::default())).unwrap();
    let (cause, _, delivery) = unavailable(platform.create_task(&new_task("execution-1")));
    assert_eq!(delivery, Delivery::Failed);
    assert!(cause.contains("CLIENT_SECRET") && !cause.contains("wrong-secret"), "{cause}");

    let world = Foundation::new();
    world.fake.fault("POST /oauth/token", Fault::DropAfter, ALWAYS);
    assert_eq!(unavailable(world.create()).2, Delivery::Failed);
    assert_eq!(world.fake.count(CREATE), 0);
}

// Roles and apps.

#[test]
fn roles_come_from_all_pages() {
    let world = Foundation::new();
    world.fake.limit_pages_to(2);
    for number in 0..5 {
        world.fake.add_role("user-1", &format!("space-{number}"));
    }
    world.fake.add_role_of_type("user-1", "managed", "space_manager");
    world.fake.add_role_of_type("user-1", "audited", "space_auditor");
    world.fake.add_role("user-2", "foreign");
    let mut spaces = world.platform.spaces_of("user-1").unwrap();
    spaces.sort();
    let expected = ["managed", "space-0", "space-1", "space-2", "space-3", "space-4"].map(Guid::from);
    assert_eq!(spaces, expected);
    assert_eq!(world.fake.count("GET /v3/roles"), 3);
}

#[test]
fn only_roles_of_the_requested_user_count() {
    let world = Foundation::new();
    world.fake.add_role("alice", "space-1");
    let roles = world.platform.spaces_of("bob,alice").unwrap();
    assert_eq!((roles, world.fake.requests().len()), (Vec::new(), 0));
    let others = r#"{"pagination":{"next":null},"resources":[{"type":"space_developer","relationships":
        {"user":{"data":{"guid":"alice"}},"space":{"data":{"guid":"space-1"}}}}]}"#;
    let fault = Fault::Respond { status: 200, headers: Vec::new(), body: others.to_owned() };
    world.fake.fault("GET /v3/roles", fault, ALWAYS);
    assert_eq!(world.platform.spaces_of("bob"), Ok(Vec::new()));
}

#[test]
fn an_odd_user_id_stays_one_value_of_the_filter() {
    let world = Foundation::new();
    world.fake.add_role("ci bot&types=x", "space-1");
    assert_eq!(world.platform.spaces_of("ci bot&types=x"), Ok(vec![Guid::from("space-1")]));
}

#[test]
fn a_next_page_on_another_server_is_not_requested() {
    let world = Foundation::new();
    let other = FakeCf::start();
    let body =
        format!(r#"{{"pagination":{{"next":{{"href":"{}/v3/roles?page=2"}}}},"resources":[]}}"#, other.url());
    world.fake.fault("GET /v3/roles", Fault::Respond { status: 200, headers: Vec::new(), body }, ALWAYS);
    unavailable(world.platform.spaces_of("user-1"));
    assert!(other.requests().is_empty());
}

#[test]
fn no_redirect_is_followed() {
    let (world, other) = (Foundation::new(), FakeCf::start());
    let elsewhere = format!("{}/", other.url());
    world.fake.fault("GET /v3/apps/:guid", Fault::status(302, Some(("Location", &elsewhere))), ALWAYS);
    unavailable(world.platform.space_of_app(&"app-1".into()));
    world.fake.fault(CREATE, Fault::status(307, Some(("Location", &elsewhere))), ALWAYS);
    unavailable(world.create());
    assert!(other.requests().is_empty());
}

#[test]
fn an_endless_list_is_given_up() {
    let world = Foundation::new();
    let body = format!(
        r#"{{"pagination":{{"next":{{"href":"{}/v3/roles?page=2"}}}},"resources":[]}}"#,
        world.fake.url()
    );
    world.fake.fault("GET /v3/roles", Fault::Respond { status: 200, headers: Vec::new(), body }, ALWAYS);
    unavailable(world.platform.spaces_of("user-1"));
    assert_eq!(world.fake.count("GET /v3/roles"), 100);
}

#[test]
fn the_space_of_an_app_is_known_and_an_unknown_app_is_none() {
    let world = Foundation::new();
    assert_eq!(world.platform.space_of_app(&"app-1".into()), Ok(Some("space-1".into())));
    assert_eq!(world.platform.space_of_app(&"app-2".into()), Ok(None));
}

#[test]
fn an_impossible_app_guid_sends_no_request() {
    let world = Foundation::new();
    for odd in ["", "..", "../tasks", "app-1/tasks", "app-1?x=1", "app-1#x", "app%2d1", "app 1"] {
        assert_eq!(world.platform.space_of_app(&odd.into()), Ok(None), "{odd:?}");
        let task = NewTask { app: odd.into(), ..new_task("execution-1") };
        assert!(matches!(world.platform.create_task(&task), Err(PlatformError::Refused { .. })));
    }
    assert!(world.fake.requests().is_empty());
}

#[test]
fn a_404_of_the_router_does_not_mean_that_the_app_is_gone() {
    let world = Foundation::new();
    let words = "404 Not Found: Requested route ('api.example.com') does not exist.".to_owned();
    let fault = Fault::Respond { status: 404, headers: Vec::new(), body: words };
    world.fake.fault("*", fault, ALWAYS);
    unavailable(world.platform.space_of_app(&"app-1".into()));
    world.fake.clear_faults();
    world.fake.fault(CREATE, Fault::html(404), ALWAYS);
    assert_eq!(unavailable(world.create()).2, Delivery::Failed);
}

// Tasks.

#[test]
fn a_log_rate_is_sent_only_if_somebody_chose_it() {
    for (rate, sent) in [
        (0, None),
        (-1, Some(-1)),
        (1, Some(1)),
        (1_023_999_999, Some(1_023_999_999)),
        // Plugin 2.x sends this if its user gave none.
        (1_024_000_000, None),
        (i64::from(i32::MAX), Some(i64::from(i32::MAX))),
    ] {
        let world = Foundation::new();
        world.platform.create_task(&NewTask { log_rate_in_bps: rate, ..new_task("execution-1") }).unwrap();
        assert_eq!(world.fake.tasks()[0].log_rate, sent, "{rate}");
    }
}

#[test]
fn a_task_is_created_as_requested_and_followed_to_its_end() {
    let world = Foundation::new();
    let task = world.create().unwrap();
    assert_eq!((task.name.as_str(), &task.state), ("execution-1", &TaskState::Active));
    let held = &world.fake.tasks()[0];
    assert_eq!((held.app.as_str(), held.memory_in_mb, held.disk_in_mb), ("app-1", 256, 512));
    assert_eq!(held.command, "bin/report --all \"of it\"");

    let state_of = |state: &str, reason: Option<&str>| {
        world.fake.set_task_state(task.guid.as_str(), state, reason);
        list(&world, std::slice::from_ref(&task.guid)).unwrap().remove(0).state
    };
    assert_eq!(state_of("PENDING", None), TaskState::Active);
    assert_eq!(state_of("CANCELING", None), TaskState::Active);
    assert_eq!(state_of("SUCCEEDED", None), TaskState::Succeeded);
    assert_eq!(state_of("FAILED", Some("Exited\nwith 3")), TaskState::Failed("Exited with 3".to_owned()));
    let silent = TaskState::Failed("the task failed without a reason".to_owned());
    assert_eq!(state_of("FAILED", None), silent);
    assert_eq!(state_of("FAILED", Some(" ")), silent);
    let [found] = &find(&world, &["execution-1".to_owned()]).unwrap()[..] else { panic!() };
    assert_eq!(found.updated_at, Timestamp::parse(&world.fake.tasks()[0].updated_at));

    world.fake.forget_task(task.guid.as_str());
    assert_eq!(list(&world, &[task.guid]), Ok(Vec::new()));
}

#[test]
fn a_refusal_has_cloud_foundrys_message_bounded_and_cleaned() {
    let world = Foundation::new();
    world.fake.remove_app("app-1");
    let gone = PlatformError::Refused { detail: "CF-ResourceNotFound: App not found".to_owned() };
    assert_eq!(world.create(), Err(gone));
    let long = format!("memory\u{7}{}", "x".repeat(5000));
    world.fake.fault(CREATE, Fault::cf_error(422, 10008, "CF-UnprocessableEntity", &long), 1);
    let Err(PlatformError::Refused { detail }) = world.create() else { panic!() };
    assert!(detail.starts_with("CF-UnprocessableEntity: memory xxx"), "{detail}");
    assert_eq!(detail.chars().count(), 1000);
}

#[test]
fn a_lost_answer_leaves_the_creation_unknown_and_is_never_sent_again() {
    let world = Foundation::new();
    world.fake.fault(CREATE, Fault::DropAfter, ALWAYS);
    assert_eq!(unavailable(world.create()).2, Delivery::Unknown);
    assert_eq!((world.fake.count(CREATE), world.fake.tasks().len()), (1, 1));
    assert_eq!(find(&world, &["execution-1".to_owned()]).unwrap().len(), 1);
    assert_eq!(delivery_of_create(Fault::DropBefore), Delivery::Unknown);
    assert_eq!(delivery_of_create(Fault::Delay(Duration::from_secs(6))), Delivery::Unknown);
}

#[test]
fn a_task_created_late_is_found_later() {
    let world = Foundation::new();
    world.fake.fault(CREATE, Fault::CommitLate(Duration::from_millis(500)), 1);
    assert_eq!(unavailable(world.create()).2, Delivery::Unknown);
    let names = ["execution-1".to_owned()];
    assert_eq!(find(&world, &names), Ok(Vec::new()));
    thread_sleep(Duration::from_millis(900));
    assert_eq!(find(&world, &names).unwrap().len(), 1);
}

#[test]
fn a_5xx_or_a_nonsensical_answer_leaves_the_creation_unknown() {
    for status in [500, 503] {
        assert_eq!(delivery_of_create(Fault::status(status, None)), Delivery::Answered, "{status}");
    }
    for status in [502, 504] {
        assert_eq!(
            delivery_of_create(Fault::status(status, None)),
            Delivery::Unknown,
            "a gateway's {status}"
        );
    }
    assert_eq!(delivery_of_create(Fault::html(202)), Delivery::Unknown);
    assert_eq!(delivery_of_create(Fault::html(302)), Delivery::Unknown);
    let odd = r#"{"name":"n","state":"RUNNING","created_at":"2026-01-01T00:00:00Z"}"#;
    let odd = Fault::Respond { status: 202, headers: Vec::new(), body: odd.to_owned() };
    assert_eq!(delivery_of_create(odd), Delivery::Unknown);
    assert_eq!(delivery_of_create(Fault::Endless { status: 202 }), Delivery::Unknown);
}

#[test]
fn a_429_has_certainly_created_nothing() {
    let world = Foundation::new();
    world.fake.fault(CREATE, Fault::status(429, Some(("Retry-After", "30"))), 1);
    let (_, retry_after, delivery) = unavailable(world.create());
    assert_eq!((retry_after, delivery), (Some(Duration::from_secs(30)), Delivery::Failed));
}

#[test]
fn an_unreachable_cloud_foundry_has_certainly_created_nothing() {
    let fake = FakeCf::start();
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = CloudFoundrySettings {
        cf_endpoint: format!("http://{unused}"),
        uaa_endpoint: Some(fake.url()),
        ..settings(&fake)
    };
    let platform = CloudFoundry::new(&settings, Arc::new(SystemClock::default())).unwrap();
    let (cause, _, delivery) = unavailable(platform.create_task(&new_task("execution-1")));
    assert_eq!(delivery, Delivery::Failed, "{cause}");
    assert!(cause.contains("Connection refused"), "{cause}");
    unavailable(platform.check());
}

#[test]
fn an_endless_answer_is_cut_off_by_the_deadline_or_the_size_limit() {
    let world = Foundation::new();
    world.fake.fault("GET /v3/tasks", Fault::Endless { status: 200 }, 1);
    let started = clock::instant();
    let (cause, _, _) = unavailable(list(&world, &["task-1".into()]));
    assert!(cause.contains("no complete response within 4s"), "{cause}");
    assert!(started.elapsed() < Duration::from_secs(12));
    world.fake.fault("GET /v3/tasks", Fault::Flood, 1);
    let (cause, _, _) = unavailable(list(&world, &["task-1".into()]));
    assert!(cause.contains("longer than"), "{cause}");
}

#[test]
fn a_connection_closed_while_idle_does_not_lose_a_creation() {
    let world = Foundation::new();
    for number in 0..20 {
        world.fake.fault("GET /v3/apps/:guid", Fault::CloseAfter, 1);
        world.platform.space_of_app(&"app-1".into()).unwrap();
        thread_sleep(Duration::from_millis(20)); // By then the end of the connection has arrived.
        world.platform.create_task(&new_task(&format!("execution-{number}"))).unwrap();
    }
    assert_eq!(world.fake.tasks().len(), 20);
}

#[test]
fn long_lists_are_requested_in_parts_and_over_all_pages() {
    let world = Foundation::new();
    world.fake.limit_pages_to(40);
    let names: Vec<String> = (0..200).map(|number| format!("execution-{number:030}")).collect();
    for name in &names {
        world.platform.create_task(&new_task(name)).unwrap();
    }
    let tasks = find(&world, &names).unwrap();
    assert_eq!(tasks.len(), 200);
    let guids: Vec<Guid> = tasks.into_iter().map(|task| task.guid).collect();
    assert_eq!(list(&world, &guids).unwrap().len(), 200);
    let long: Vec<String> = (0..150).map(|number| format!("{number:0200}")).collect();
    assert_eq!(find(&world, &long), Ok(Vec::new()));
    assert!(world.fake.requests().iter().all(|request| request.status != 414));
}

#[test]
fn no_names_send_no_request_and_an_odd_name_is_refused() {
    let world = Foundation::new();
    world.create().unwrap();
    world.fake.clear_requests();
    assert_eq!(find(&world, &[]), Ok(Vec::new()));
    assert_eq!(list(&world, &[]), Ok(Vec::new()));
    assert_eq!(list(&world, &["a,b".into()]), Ok(Vec::new()));
    let odd = find(&world, &["execution-1,execution-2".to_owned()]);
    assert!(matches!(odd, Err(PlatformError::Refused { .. })));
    assert!(world.fake.requests().is_empty());
}

#[test]
fn cancelling_an_ended_or_unknown_task_is_no_error() {
    let world = Foundation::new();
    let task = world.create().unwrap();
    world.platform.cancel_task(&task.guid).unwrap();
    assert_eq!(world.fake.tasks()[0].state, "FAILED");
    world.platform.cancel_task(&task.guid).unwrap();
    world.platform.cancel_task(&"unknown".into()).unwrap();
    world.platform.cancel_task(&"../x".into()).unwrap();
    world.fake.fault("POST /v3/tasks/:guid/actions/cancel", Fault::html(404), 1);
    unavailable(world.platform.cancel_task(&task.guid));
}

#[test]
fn check_reports_what_is_wrong_with_the_root_and_the_credentials() {
    let world = Foundation::new();
    world.platform.check().unwrap();
    world.fake.fault("GET /", Fault::html(200), 1);
    unavailable(world.platform.check());
    world.fake.fault("GET /", Fault::html(404), 1);
    misconfigured(world.platform.check(), "CF_ENDPOINT");
    world.fake.set_client(CLIENT_ID, "another", Decoding::WithHeader);
    world.clock.set(Timestamp::parse("2026-03-01T00:20:00Z").unwrap());
    misconfigured(world.platform.check(), "CLIENT_SECRET");
}

// Tasks that cannot be shown, and their neighbours.

#[test]
fn a_task_that_cannot_be_shown_hides_no_other() {
    let world = Foundation::new();
    let guids: Vec<Guid> = (0..150)
        .map(|number| world.platform.create_task(&new_task(&format!("execution-{number}"))).unwrap().guid)
        .collect();
    world.fake.hide_task(guids[0].as_str(), true);
    world.fake.hide_task(guids[77].as_str(), true);
    world.fake.clear_requests();
    let found = world.platform.list_tasks(&guids).unwrap();
    assert_eq!((found.tasks.len(), found.unclear.len()), (148, 2));
    assert!(found.unclear.contains(&guids[77].to_string()));
    assert!(world.fake.count("GET /v3/tasks") < 40);
    world.fake.clear_requests();
    assert_eq!(world.platform.list_tasks(&guids).unwrap().tasks.len(), 148);
    assert_eq!(world.fake.count("GET /v3/tasks"), 1, "those that cannot be shown are left alone for a while");
    world.fake.hide_task(guids[0].as_str(), false);
    world.clock.set(Timestamp::parse("2026-03-01T00:01:00Z").unwrap());
    assert_eq!(world.platform.list_tasks(&guids).unwrap().tasks.len(), 149);
    // By name too, only this task is unclear.
    world.fake.hide_task("execution-3", true);
    let names: Vec<TaskName> =
        (0..10).map(|number| TaskName { app: "app-1".into(), name: format!("execution-{number}") }).collect();
    let found = world.platform.find_tasks(&names).unwrap();
    assert_eq!((found.tasks.len(), found.unclear), (9, vec!["execution-3".to_owned()]));
}

#[test]
fn a_cloud_foundry_in_trouble_gets_no_request_for_each_task() {
    let world = Foundation::new();
    let guids: Vec<Guid> = (0..150).map(|number| Guid::from(format!("task-{number}").as_str())).collect();
    world.fake.fault("GET /v3/tasks", Fault::status(500, None), ALWAYS);
    unavailable(world.platform.list_tasks(&guids));
    assert!(world.fake.count("GET /v3/tasks") <= 16);
    world.fake.clear_requests();
    world.fake.clear_faults();
    world.fake.fault("GET /v3/tasks", Fault::DropBefore, ALWAYS);
    unavailable(world.platform.list_tasks(&guids));
    assert!(world.fake.count("GET /v3/tasks") <= 2, "without an answer nothing is halved");
}

#[test]
fn unused_fields_of_a_task_may_be_anything() {
    let world = Foundation::new();
    let task = world.create().unwrap();
    for (field, value) in [
        ("state", json!("PARKED")),
        ("created_at", json!(null)),
        ("updated_at", json!("soon")),
        ("result", json!(7)),
        ("name", json!(null)),
        ("relationships", json!([])),
    ] {
        world.fake.show_tasks_with(field, value);
        let listed = list(&world, std::slice::from_ref(&task.guid)).unwrap();
        assert_eq!((listed.len(), &listed[0].state), (1, &TaskState::Active), "{field}");
        let found = find(&world, &["execution-1".to_owned(), "execution-2".to_owned()]).unwrap();
        assert_eq!((found.len(), found[0].name.as_str()), (1, "execution-1"), "{field}");
    }
}

#[test]
fn a_task_is_looked_up_only_in_its_own_app() {
    let world = Foundation::new();
    world.fake.add_app("app-2", "space-2");
    world.fake.plant_task("app-2", "execution-1");
    assert_eq!(find(&world, &["execution-1".to_owned()]), Ok(Vec::new()));
    let own = world.create().unwrap();
    assert_eq!(find(&world, &["execution-1".to_owned()]).unwrap()[0].guid, own.guid);
    let both = ["app-1", "app-2"].map(|app| TaskName { app: app.into(), name: "execution-1".to_owned() });
    assert_eq!(world.platform.find_tasks(&both).unwrap().tasks.len(), 2);
}

#[test]
fn a_task_that_never_ran_is_distinguished_from_a_failed_one() {
    let world = Foundation::new();
    world.fake.take_diego_away(true);
    let (_, _, delivery) = unavailable(world.create());
    assert_eq!(delivery, Delivery::Answered);
    let found = find(&world, &["execution-1".to_owned()]).unwrap();
    assert!(matches!(found[0].state, TaskState::NeverRan(_)), "{found:?}");
}

// TLS, settings, secrets.

#[test]
fn an_untrusted_certificate_is_refused_with_the_two_settings_that_help() {
    let fake = FakeCf::start_tls();
    let platform = CloudFoundry::new(&settings(&fake), Arc::new(SystemClock::default())).unwrap();
    let (cause, _, delivery) = unavailable(platform.check());
    assert!(cause.contains("CA_CERT_FILE") && cause.contains("SKIP_SSL_VALIDATION"), "{cause}");
    assert_eq!(delivery, Delivery::Failed);
    assert!(fake.requests().is_empty());
}

#[test]
fn ca_cert_file_makes_it_trusted() {
    let fake = FakeCf::start_tls();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), fake.certificate_pem()).unwrap();
    let outbound = Outbound { ca_cert_file: Some(file.path().to_owned()), ..Outbound::default() };
    let settings = CloudFoundrySettings { outbound, ..settings(&fake) };
    let platform = CloudFoundry::new(&settings, Arc::new(SystemClock::default())).unwrap();
    platform.check().unwrap();
    assert_eq!(platform.space_of_app(&"app-1".into()), Ok(None));
}

#[test]
fn skip_ssl_validation_accepts_any_certificate() {
    let fake = FakeCf::start_tls();
    let outbound = Outbound { skip_ssl_validation: true, ..Outbound::default() };
    let platform = CloudFoundry::new(
        &CloudFoundrySettings { outbound, ..settings(&fake) },
        Arc::new(SystemClock::default()),
    )
    .unwrap();
    platform.check().unwrap();
}

#[test]
fn a_creation_refused_for_an_untrusted_certificate_has_certainly_created_nothing() {
    let (uaa, cloud_foundry) = (FakeCf::start(), FakeCf::start_tls());
    let settings = CloudFoundrySettings { uaa_endpoint: Some(uaa.url()), ..settings(&cloud_foundry) };
    let platform = CloudFoundry::new(&settings, Arc::new(SystemClock::default())).unwrap();
    assert_eq!(unavailable(platform.create_task(&new_task("execution-1"))).2, Delivery::Failed);
}

#[test]
fn a_uaa_without_tls_named_by_a_cloud_foundry_with_tls_gets_no_secret() {
    let (fake, eavesdropper) = (FakeCf::start_tls(), FakeCf::start());
    fake.link_uaa_to(&eavesdropper.url());
    let outbound = Outbound { skip_ssl_validation: true, ..Outbound::default() };
    let platform = CloudFoundry::new(
        &CloudFoundrySettings { outbound, ..settings(&fake) },
        Arc::new(SystemClock::default()),
    )
    .unwrap();
    let (cause, _, _) = unavailable(platform.space_of_app(&"app-1".into()));
    assert!(cause.contains("UAA_ENDPOINT"), "{cause}");
    assert!(eavesdropper.requests().is_empty());
}

#[test]
fn https_goes_through_the_proxy_unless_no_proxy_names_the_host() {
    let fake = FakeCf::start_tls();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let outbound = |no_proxy: &str| Outbound {
        skip_ssl_validation: true,
        https_proxy: Some(format!("http://user:pass@{}", proxy.local_addr().unwrap())),
        no_proxy: Some(no_proxy.to_owned()),
        ..Outbound::default()
    };
    let platform = |no_proxy: &str| {
        let settings = CloudFoundrySettings { outbound: outbound(no_proxy), ..settings(&fake) };
        CloudFoundry::with_deadlines(&settings, DEADLINES, Arc::new(SystemClock::default())).unwrap()
    };
    platform("localhost, 127.0.0.1").check().unwrap();

    let (proxied, target) = (platform("example.com"), fake.url().replace("https://", ""));
    thread::scope(|scope| {
        let checked = scope.spawn(|| proxied.check());
        let mut inner = proxy.accept().unwrap().0;
        let head = read_head(&mut inner);
        assert!(head.starts_with(&format!("CONNECT {target} HTTP/1.1")), "{head}");
        assert!(head.contains("Proxy-Authorization: Basic dXNlcjpwYXNz"), "{head}");
        inner.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut outer = TcpStream::connect(&target).unwrap();
        let (mut from_client, mut to_server) = (inner.try_clone().unwrap(), outer.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
        thread::spawn(move || std::io::copy(&mut outer, &mut inner));
        checked.join().unwrap().unwrap();
    });
    assert_eq!(fake.count("POST /oauth/token"), 2);
}

#[test]
fn a_proxy_that_refuses_or_hangs_has_certainly_created_nothing() {
    let (uaa, cloud_foundry) = (FakeCf::start(), FakeCf::start_tls());
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let outbound = Outbound {
        skip_ssl_validation: true,
        https_proxy: Some(format!("http://{}", proxy.local_addr().unwrap())),
        ..Outbound::default()
    };
    let settings =
        CloudFoundrySettings { uaa_endpoint: Some(uaa.url()), outbound, ..settings(&cloud_foundry) };
    let platform =
        CloudFoundry::with_deadlines(&settings, DEADLINES, Arc::new(SystemClock::default())).unwrap();
    let task = new_task("execution-1");
    thread::scope(|scope| {
        let created = scope.spawn(|| platform.create_task(&task));
        let mut inner = proxy.accept().unwrap().0;
        read_head(&mut inner);
        inner.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").unwrap();
        assert_eq!(unavailable(created.join().unwrap()).2, Delivery::Failed);
    });
    assert_eq!(unavailable(platform.create_task(&task)).2, Delivery::Failed, "nobody accepts this one");
    assert!(cloud_foundry.requests().is_empty());
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn wrong_settings_are_named() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut CloudFoundrySettings), named: &str) {
        let mut settings = settings(&FakeCf::start());
        change(&mut settings);
        let message = CloudFoundry::new(&settings, Arc::new(SystemClock::default())).unwrap_err();
        assert!(message.contains(named), "{message}");
    }
    let empty = tempfile::NamedTempFile::new().unwrap();
    let path = empty.path().to_owned();
    check(|settings| settings.cf_endpoint = "api.example.com".to_owned(), "CF_ENDPOINT");
    check(|settings| settings.uaa_endpoint = Some("ftp://x".to_owned()), "UAA_ENDPOINT");
    check(|settings| settings.outbound.ca_cert_file = Some("/no/such/file".into()), "CA_CERT_FILE");
    check(|settings| settings.outbound.ca_cert_file = Some(path), "CA_CERT_FILE");
    check(|settings| settings.outbound.https_proxy = Some("ftp://x".to_owned()), "HTTPS_PROXY");
}

#[test]
fn no_secret_is_shown() {
    let world = Foundation::new();
    world.create().unwrap();
    let shown = format!("{:?} {:?}", settings(&world.fake), world.platform);
    assert!(!shown.contains(CLIENT_SECRET) && !shown.contains("Basic") && !shown.contains("eyJ"), "{shown}");
}

#[expect(clippy::disallowed_methods, reason = "the fake takes the task late by the real clock")]
fn thread_sleep(duration: Duration) {
    thread::sleep(duration);
}

#[test]
fn the_fake_as_a_process_is_controlled_over_http() {
    let fake = FakeCf::start();
    let order = |verb: &str, body: Value| {
        let path = format!("/_fake/{verb}");
        let answer = request(&fake.url(), "POST", &path, None, &[], &body.to_string());
        assert_eq!(answer.status, 200, "{verb}: {}", answer.body);
        answer.json()
    };
    order("add_app", json!({"guid": "app-1", "space": "space-1"}));
    order("add_role", json!({"user": "dev", "space": "space-1"}));
    order("complete_tasks_after", json!({"ms": 0, "state": "FAILED", "reason": "it rained"}));
    let token = order("issue_user_token", json!({"user": "dev", "scopes": ["openid"]}));
    let platform = CloudFoundry::new(&settings(&fake), Arc::new(SystemClock::default())).unwrap();
    assert!(platform.identify(token["token"].as_str().unwrap()).unwrap().is_some());
    order("fault", json!({"route": CREATE, "kind": "respond", "status": 404}));
    platform.create_task(&new_task("execution-1")).unwrap_err();
    order("clear_faults", json!({}));
    platform.create_task(&new_task("execution-1")).unwrap();
    assert_eq!(order("tasks", json!({}))["tasks"][0]["result"]["failure_reason"], "it rained");
}

#[test]
#[should_panic(expected = "asked for what the fake does not know: {\"GET /v2/info\"}")]
fn a_test_with_a_request_unknown_to_the_fake_fails() {
    let fake = FakeCf::start();
    assert_eq!(request(&fake.url(), "GET", "/v2/info", None, &[], "").status, 501);
}
