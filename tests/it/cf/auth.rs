//! Authorization: the answers of a fake Cloud Foundry, cached by a clock that the tests set.

use std::sync::Arc;
use std::time::Duration;

use ocf_scheduler::base::clock::ManualClock;
use ocf_scheduler::model::Timestamp;
use ocf_scheduler::platform::cf::CloudFoundry;
use ocf_scheduler::web::auth::{AuthError, Authenticator, Caller, Purpose};

use super::fake_cf::{CF_SCOPES, FakeCf};
use super::{DEADLINES, START, settings};

struct Verdicts {
    fake: FakeCf,
    clock: Arc<ManualClock>,
    auth: Authenticator,
}

impl Verdicts {
    fn new() -> Self {
        let fake = FakeCf::start();
        fake.add_app("own", "space-1");
        fake.add_app("foreign", "space-2");
        fake.add_role("user-1", "space-1");
        let clock = Arc::new(ManualClock::new(Timestamp::parse(START).unwrap()));
        let platform = CloudFoundry::with_deadlines(&settings(&fake), DEADLINES, clock.clone()).unwrap();
        let auth = Authenticator::new(Arc::new(platform), clock.clone(), Duration::from_secs(60), 16);
        Self { fake, clock, auth }
    }

    fn caller(&self, token: &str) -> Result<Caller, AuthError> {
        self.auth.caller(Some(&format!("bearer {token}")), Purpose::Changing)
    }

    fn at(&self, seconds: u64) {
        self.clock.set(Timestamp::parse(START).unwrap().saturating_add(Duration::from_secs(seconds)));
    }

    /// The requests to Cloud Foundry when a caller without access asks for an app.
    fn asked_for(&self, caller: &Caller, app: &str) -> Vec<String> {
        self.fake.clear_requests();
        assert_eq!(self.auth.space_of_app(caller, &app.into()), Ok(None));
        self.fake.requests().into_iter().map(|request| request.route).collect()
    }
}

#[test]
fn a_foreign_app_and_a_missing_one_take_the_same_path() {
    let world = Verdicts::new();
    let caller = world.caller(&world.fake.issue_cf_token("user-1")).unwrap();
    let owner = world.fake.issue_cf_token("owner");
    world.fake.add_role("owner", "space-2");
    let owner = world.caller(&owner).unwrap();
    assert!(world.auth.space_of_app(&caller, &"own".into()).unwrap().is_some());
    for seconds in [0, 1, 6, 7, 20, 70] {
        world.at(seconds);
        // Requests of other callers change nothing.
        assert!(world.auth.space_of_app(&owner, &"foreign".into()).unwrap().is_some());
        let (foreign, missing) = (world.asked_for(&caller, "foreign"), world.asked_for(&caller, "missing"));
        let of_apps = |routes: &[String]| routes.iter().filter(|it| *it == "GET /v3/apps/:guid").count();
        assert_eq!(of_apps(&foreign), of_apps(&missing), "at {seconds} s: {foreign:?} {missing:?}");
    }
    world.fake.clear_requests();
    assert!(world.auth.space_of_app(&caller, &"own".into()).unwrap().is_some());
    assert_eq!(world.fake.count("GET /v3/apps/:guid"), 1);
    assert!(world.auth.space_of_app(&caller, &"own".into()).unwrap().is_some());
    assert_eq!(world.fake.count("GET /v3/apps/:guid"), 1, "what is the caller's own is remembered");
}

#[test]
fn a_refused_token_is_checked_again_after_five_seconds() {
    let world = Verdicts::new();
    let token = world.fake.forge_token("user-1", CF_SCOPES);
    assert!(world.caller(&token).is_err());
    world.fake.learn(&token, "user-1", CF_SCOPES);
    world.at(4);
    assert!(world.caller(&token).is_err());
    assert_eq!(world.fake.count("GET /userinfo"), 1);
    world.at(5);
    assert!(world.caller(&token).is_ok());
}

#[test]
fn an_opaque_token_expires_although_it_is_cached() {
    let world = Verdicts::new();
    let token = world.fake.issue_opaque_user_token_until("user-1", CF_SCOPES, 1_772_323_205);
    assert!(world.caller(&token).is_ok());
    world.at(5);
    assert!(world.caller(&token).is_err());
}

#[test]
fn reading_and_changing_need_separate_scopes() {
    let world = Verdicts::new();
    #[track_caller]
    fn check(world: &Verdicts, scopes: &[&str], may_read: bool, may_write: bool) {
        let token = format!("Bearer {}", world.fake.issue_user_token("user-1", scopes));
        let may = |purpose| world.auth.caller(Some(&token), purpose).is_ok();
        assert_eq!((may(Purpose::Reading), may(Purpose::Changing)), (may_read, may_write), "{scopes:?}");
    }
    check(&world, &["openid"], false, false);
    check(&world, &["openid", "cloud_controller.read"], true, false);
    check(&world, &["openid", "cloud_controller.write"], false, true);
    check(&world, CF_SCOPES, true, true);
    check(&world, &["cloud_controller.admin"], true, true);
}
