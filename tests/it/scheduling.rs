//! Fire times: claimed once, at the planned instant, and misfires by the policy. Time is set by hand.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use ocf_scheduler::base::clock::{Clock, ManualClock};
use ocf_scheduler::base::stop::stop_channel;
use ocf_scheduler::cron::{Dialect, Expression, Reading, Weekdays};
use ocf_scheduler::engine::retention::Retention;
use ocf_scheduler::engine::scheduler::{Lane, Scheduler, SchedulerSettings};
use ocf_scheduler::engine::upkeep;
use ocf_scheduler::fire_times::{Calendar, jitter};
use ocf_scheduler::model::{
    Call, Controls, Definition, Dispatch, EndState, Executable, Execution, Guid, Id, JobState, Kind,
    MisfirePolicy, Outcome, Owned, Release, Schedule, Timestamp, Timing, Work,
};
use ocf_scheduler::platform::Platform;
use ocf_scheduler::platform::local::{self, Local};
use ocf_scheduler::store::{
    Changed, End, Fire, HistoryOf, LastInstance, Made, ManualStart, NewExecutable, Plan, Retry, Scope,
    ServiceInstance, SpacePause, Store, Terms, Window, Written,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::database::{Database, is_postgres};

/// The scheduler alone, on a clock that is set.
struct Engine {
    clock: Arc<ManualClock>,
    store: Arc<Store>,
    scheduler: Scheduler,
    dispatches: Receiver<Dispatch>,
    release: Sender<Release>,
    policy: MisfirePolicy,
    directory: TempDir,
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A schedule with this expression and nothing else.
fn plain(expression: &str) -> Definition {
    Definition::new(Timing::new(expression, Dialect::default()))
}

impl Engine {
    fn at(now: &str) -> Self {
        Self::with(now, MisfirePolicy::Once)
    }

    fn with(now: &str, policy: MisfirePolicy) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(time(now)));
        let store = Arc::new(Database::of(directory.path(), "s.db").open().unwrap());
        store.renew_lease().unwrap();
        let (scheduler, dispatches, release) = scheduler(&store, &clock, policy);
        Self { clock, store, scheduler, dispatches, release, policy, directory }
    }

    /// A platform that runs nothing here.
    fn platform(&self) -> Arc<dyn Platform> {
        let settings = local::LocalSettings {
            world: local::World::default(),
            state_dir: self.directory.path().join("tasks"),
            runner: std::env::current_exe().unwrap(),
            environment: Vec::new(),
        };
        Arc::new(Local::new(settings, Arc::<ManualClock>::clone(&self.clock), || ()).unwrap())
    }

    fn job(&self, name: &str) -> Executable {
        self.job_of(name, "app")
    }

    fn job_of(&self, name: &str, app: &str) -> Executable {
        let new = NewExecutable {
            name: name.to_owned(),
            app: Guid::from(app),
            space: Guid::from("space"),
            work: Work::Job {
                command: "true".to_owned(),
                disk_in_mb: 1,
                memory_in_mb: 1,
                log_rate_in_bps: 0,
                state: JobState::Pending,
                timeout_seconds: None,
            },
            controls: Controls::default(),
        };
        match self.store.create_executable(&new, self.clock.now(), &Terms::default()).unwrap() {
            Written::Done(executable) => executable,
            other => panic!("{other:?}"),
        }
    }

    fn schedule(&self, executable: &Executable, expression: &str) -> Schedule {
        let now = self.clock.now();
        let next = Expression::parse(expression, &Reading::plain(Dialect::default()))
            .unwrap()
            .next_after(now.seconds());
        let next = next.and_then(Timestamp::from_seconds);
        self.store
            .create_schedule(executable.id, plain(expression), next, now, &Terms::default())
            .unwrap()
            .done()
            .unwrap()
    }

    fn go_to(&mut self, now: &str) {
        self.clock.set(time(now));
        self.store.renew_lease().unwrap();
        while self.scheduler.pass().unwrap().is_zero() {}
    }

    /// Sets the wall clock; no time passes.
    fn set_clock_to(&mut self, now: &str) {
        self.clock.jump(time(now));
        while self.scheduler.pass().unwrap().is_zero() {}
    }

    /// Receives dispatches until there are no more. Each ends and is released before the next.
    fn run_all(&mut self) -> Vec<Dispatch> {
        let mut seen = Vec::new();
        self.scheduler.pass().unwrap();
        while let Ok(dispatch) = self.dispatches.try_recv() {
            self.end(dispatch.of, EndState::Succeeded);
            self.release.send(Release::Done(dispatch.of.id)).unwrap();
            seen.push(dispatch);
            self.store.renew_lease().unwrap();
            self.scheduler.pass().unwrap();
        }
        seen
    }

    fn restart(&mut self) {
        (self.scheduler, self.dispatches, self.release) = scheduler(&self.store, &self.clock, self.policy);
    }

    fn history(&self, executable: &Executable) -> Vec<Execution> {
        let mut window = Window { beyond: Id::MAX, last: Id::MAX, offset: 0, limit: 1000 };
        let mut executions = Vec::new();
        loop {
            let part = self.store.list_executions(HistoryOf::Executable(executable.id), window).unwrap();
            executions.extend(part.rows);
            match part.last {
                Some(last) if !part.is_end => window.beyond = last,
                _ => break,
            }
        }
        executions.reverse();
        executions
    }

    fn scheduled_times(&self, executable: &Executable) -> Vec<String> {
        self.history(executable).iter().map(|it| it.scheduled_time.unwrap().to_string()).collect()
    }

    fn end(&self, of: Owned, state: EndState) {
        let outcome = Outcome { state, message: String::new(), reason: None, end_time: self.clock.now() };
        if is_postgres() {
            // As if it had begun: then it is claimed, if it was not before.
            let claim = format!("UPDATE executions SET owner = {} WHERE id = {}", of.fence, of.id);
            self.database().execute(&format!("{claim} AND owner IS NULL"));
        }
        assert!(self.store.finish(&End { of, outcome }).unwrap());
    }

    /// An execution started by hand and claimed.
    fn started(&self, executable: &Executable) -> Owned {
        self.store.renew_lease().unwrap();
        let id = self
            .store
            .create_execution(executable.id, ManualStart::default(), self.clock.now())
            .unwrap()
            .unwrap()
            .execution
            .id;
        let claimed = self.store.claim_executions(&[(id, self.clock.now(), 0)]).unwrap();
        assert_eq!(claimed.ids, [id]);
        Owned { id, fence: claimed.fence }
    }

    fn job_state(&self) -> JobState {
        let window = Window { beyond: 0, last: Id::MAX, offset: 0, limit: 1 };
        let listed = self.store.list_executables(Kind::Job, &Scope::All.into(), window).unwrap();
        match &listed.rows[0].work {
            Work::Job { state, .. } => *state,
            Work::Call { .. } => panic!("a call"),
        }
    }
}

fn scheduler(
    store: &Arc<Store>,
    clock: &Arc<ManualClock>,
    misfire_policy: MisfirePolicy,
) -> (Scheduler, Receiver<Dispatch>, Sender<Release>) {
    let (dispatch, dispatches) = bounded(4);
    let (release, released) = bounded(8);
    let minute = Duration::from_secs(60);
    let settings = SchedulerSettings { misfire_policy, misfire_grace: minute, wait_max: minute };
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(clock);
    let lanes = vec![Lane::new(Kind::Job, dispatch)];
    (Scheduler::new(Arc::clone(store), clock, settings, lanes, released, Arc::default()), dispatches, release)
}

#[test]
fn a_schedule_for_the_next_minute_fires_in_it_at_the_planned_instant() {
    let mut world = Engine::at("2026-03-01T00:00:59.9Z");
    let job = world.job("j");
    world.schedule(&job, "* * * * *");
    assert!(world.scheduler.pass().unwrap() <= Duration::from_millis(100));
    assert!(world.scheduled_times(&job).is_empty());
    world.go_to("2026-03-01T00:01:00.2Z");
    assert_eq!(world.scheduled_times(&job), ["2026-03-01T00:01:00Z"]);
    let dispatch = world.dispatches.try_recv().unwrap();
    assert_eq!(dispatch.scheduled_time, Some(time("2026-03-01T00:01:00Z")));
    world.go_to("2026-03-01T00:01:30Z");
    assert_eq!(world.scheduled_times(&job).len(), 1, "once only");
}

#[test]
fn fire_times_missed_while_down_coalesce_into_the_latest() {
    let mut world = Engine::at("2026-03-01T00:00:00Z");
    let job = world.job("ping");
    world.schedule(&job, "*/5 * * * *");
    world.restart();
    world.go_to("2026-03-01T00:17:00Z"); // Past 00:05, 00:10 and 00:15.
    assert_eq!(world.scheduled_times(&job), ["2026-03-01T00:15:00Z"]);
    assert_eq!(world.history(&job)[0].message, "stands for 2 more missed fire times");
    world.go_to("2026-03-01T00:20:00Z");
    assert_eq!(world.scheduled_times(&job), ["2026-03-01T00:15:00Z", "2026-03-01T00:20:00Z"]);
}

#[test]
fn within_the_grace_each_fire_time_runs() {
    let mut world = Engine::at("2026-03-01T00:00:00Z");
    let job = world.job("j");
    world.schedule(&job, "@every 20s");
    world.go_to("2026-03-01T00:01:00Z");
    let expected = ["2026-03-01T00:00:20Z", "2026-03-01T00:00:40Z", "2026-03-01T00:01:00Z"];
    assert_eq!(world.scheduled_times(&job), expected);
}

#[test]
fn a_year_of_missed_minutes_and_seconds_is_one_execution() {
    let mut world = Engine::at("2025-03-01T00:00:00Z");
    let (minutes, seconds) = (world.job("minutes"), world.job("seconds"));
    world.schedule(&minutes, "* * * * *");
    world.schedule(&seconds, "@every 1s");
    world.go_to("2026-03-01T00:00:30Z");
    assert_eq!(world.scheduled_times(&minutes)[0], "2026-02-28T23:59:00Z");
    assert_eq!(world.history(&minutes)[0].message, "stands for 1000+ more missed fire times");
    assert_eq!(world.scheduled_times(&minutes).len(), 2, "and the one within the grace");
    assert_eq!(world.scheduled_times(&seconds)[0], "2026-02-28T23:59:29Z");
}

#[test]
fn skip_runs_no_missed_fire_time_and_all_runs_each_up_to_a_bound() {
    let mut skip = Engine::with("2026-03-01T00:00:00Z", MisfirePolicy::Skip);
    let job = skip.job("j");
    skip.schedule(&job, "*/5 * * * *");
    skip.go_to("2026-03-01T00:17:00Z");
    assert!(skip.scheduled_times(&job).is_empty());
    skip.go_to("2026-03-01T00:20:00Z");
    assert_eq!(skip.scheduled_times(&job), ["2026-03-01T00:20:00Z"]);

    let mut all = Engine::with("2026-03-01T00:00:00Z", MisfirePolicy::All);
    let job = all.job("j");
    all.schedule(&job, "*/5 * * * *");
    all.go_to("2026-03-01T00:17:00Z");
    let expected = ["2026-03-01T00:05:00Z", "2026-03-01T00:10:00Z", "2026-03-01T00:15:00Z"];
    assert_eq!(all.scheduled_times(&job), expected);
    all.go_to("2026-03-03T00:00:00Z");
    assert_eq!(all.scheduled_times(&job).len(), 3 + 100 + 1);
}

#[test]
fn a_schedules_own_misfire_policy_overrides_the_setting() {
    let mut world = Engine::with("2026-03-01T00:00:00Z", MisfirePolicy::Skip);
    let [all, skip] = ["all", "skip"].map(|name| world.job(name));
    let definition = Definition { misfire_policy: Some(MisfirePolicy::All), ..plain("*/5 * * * *") };
    let first = Some(time("2026-03-01T00:05:00Z"));
    world
        .store
        .create_schedule(all.id, definition, first, world.clock.now(), &Terms::default())
        .unwrap()
        .done()
        .unwrap();
    world.schedule(&skip, "*/5 * * * *");
    world.go_to("2026-03-01T00:17:00Z");
    assert_eq!(world.scheduled_times(&all).len(), 3);
    assert!(world.scheduled_times(&skip).is_empty());
}

impl Engine {
    /// Pauses or resumes a job, and returns it.
    fn set_paused(&self, job: &Executable, paused: bool) -> Executable {
        let mut changed = job.clone();
        changed.controls.paused = paused;
        match self.store.update_executable(&changed, self.clock.now(), None).unwrap() {
            Written::Done(updated_at) => Executable { updated_at, ..changed },
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_paused_job_does_not_fire_and_does_not_catch_up() {
    for policy in MisfirePolicy::ALL {
        let mut world = Engine::with("2026-03-01T00:00:00Z", policy);
        let job = world.job("j");
        world.schedule(&job, "*/5 * * * *");
        let other = world.job("other");
        world.schedule(&other, "*/5 * * * *");
        let paused = world.set_paused(&job, true);
        world.go_to("2026-03-01T00:05:00Z");
        world.restart();
        world.go_to("2026-03-01T00:17:00Z");
        let resumed = world.set_paused(&paused, false);
        world.go_to("2026-03-01T00:18:00Z");
        assert_eq!(world.scheduled_times(&job), [] as [&str; 0], "{policy:?}");
        world.go_to("2026-03-01T00:20:00Z");
        assert_eq!(world.scheduled_times(&job), ["2026-03-01T00:20:00Z"], "{policy:?}");
        assert!(world.scheduled_times(&other).len() >= 2, "the others go on");
        // Nothing is made up for even if no pass ran while it was paused.
        let paused = world.set_paused(&resumed, true);
        world.clock.set(time("2026-03-01T00:26:00Z"));
        world.store.renew_lease().unwrap();
        world.set_paused(&paused, false);
        world.go_to("2026-03-01T00:27:00Z");
        assert_eq!(world.scheduled_times(&job), ["2026-03-01T00:20:00Z"], "{policy:?}");
        world.start_by_hand(&job, 1);
    }
}

#[test]
fn a_space_resumes_when_its_pause_ends_and_does_not_catch_up() {
    for policy in MisfirePolicy::ALL {
        let mut world = Engine::with("2026-03-01T00:00:00Z", policy);
        let job = world.job("j");
        world.schedule(&job, "*/5 * * * *");
        let pause = SpacePause { until: Some(time("2026-03-01T00:20:00Z")), ..SpacePause::default() };
        let seen = world.store.space(&job.space, world.clock.now()).unwrap();
        assert!(world.store.set_space_pause(&seen, Some(&pause), world.clock.now(), None).unwrap());
        assert!(
            !world.store.set_space_pause(&seen, None, world.clock.now(), None).unwrap(),
            "it was changed since"
        );
        world.go_to("2026-03-01T00:05:00Z");
        world.go_to("2026-03-01T00:19:59Z");
        assert_eq!(world.scheduled_times(&job), [] as [&str; 0]);
        world.restart();
        // No pass runs at the very end of the pause.
        world.go_to("2026-03-01T00:20:30Z");
        assert_eq!(world.scheduled_times(&job), ["2026-03-01T00:20:00Z"], "{policy:?}");
    }
}

#[test]
fn an_interval_continues_after_a_pause_where_it_was() {
    let mut world = Engine::at("2026-03-01T00:00:00Z");
    let job = world.job("j");
    world.schedule(&job, "@every 10m");
    let pause = SpacePause { until: Some(time("2026-03-01T01:03:00Z")), ..SpacePause::default() };
    let seen = world.store.space(&job.space, world.clock.now()).unwrap();
    assert!(world.store.set_space_pause(&seen, Some(&pause), world.clock.now(), None).unwrap());
    // A pass that is late, and none for the last fire times of the pause.
    world.go_to("2026-03-01T00:10:04Z");
    world.go_to("2026-03-01T00:34:00Z");
    world.restart();
    world.go_to("2026-03-01T01:04:00Z");
    assert_eq!(world.scheduled_times(&job), [] as [&str; 0]);
    world.go_to("2026-03-01T01:10:00Z");
    assert_eq!(world.scheduled_times(&job), ["2026-03-01T01:10:00Z"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A pause and its end, anywhere around a fire time and in any order with the claims.
    #[test]
    fn a_fire_time_within_a_pause_is_never_served_and_one_after_it_once(
        paused_ms in 58_000_u64..62_000,
        length_ms in 0_u64..3000,
        looks in proptest::collection::vec(58_000_u64..66_000, 0..6),
        by_itself: bool,
    ) {
        let start = time("2026-03-01T00:00:00Z");
        let after = |ms: u64| start.saturating_add(Duration::from_millis(ms));
        let mut world = Engine::at("2026-03-01T00:00:00Z");
        let job = world.job("j");
        world.schedule(&job, "* * * * *");
        let resumed_ms = paused_ms + length_ms;
        let mut steps: Vec<(u64, u8)> = looks.into_iter().map(|ms| (ms, 1)).collect();
        steps.extend([(paused_ms, 0), (resumed_ms, 2), (70_000, 1), (70_001, 1)]);
        steps.sort_unstable();
        for (ms, step) in steps {
            let now = after(ms);
            let seen = world.store.space(&job.space, now).unwrap();
            match step {
                0 => {
                    let until = by_itself.then(|| after(resumed_ms)).filter(|until| now < *until);
                    let pause = SpacePause { until, ..SpacePause::default() };
                    world.store.set_space_pause(&seen, Some(&pause), now, None).unwrap();
                }
                2 if by_itself && length_ms > 0 => (),
                2 => prop_assert!(world.store.set_space_pause(&seen, None, now, None).unwrap()),
                _ => world.go_to(&now.to_string()),
            }
        }
        let served = world.scheduled_times(&job).len();
        prop_assert!(served <= 1);
        if paused_ms <= 60_000 && 60_000 < resumed_ms {
            prop_assert_eq!(served, 0);
        }
        if resumed_ms < 60_000 {
            prop_assert_eq!(served, 1);
        }
    }
}

#[test]
fn a_claim_that_was_planned_before_a_pause_or_its_end_does_not_count() {
    let world = Engine::at("2026-03-01T00:00:00Z");
    let job = world.job("j");
    let schedule = world.schedule(&job, "*/5 * * * *");
    let now = time("2026-03-01T00:05:00Z");
    let plan = |is_paused| Plan {
        schedule: schedule.id,
        executable: job.id,
        claimed: now,
        next_fire_time: Some(time("2026-03-01T00:10:00Z")),
        served: Some(now),
        fires: vec![Fire {
            scheduled_time: now,
            note: String::new(),
            missed: 0,
            jitter_seconds: 0,
            skipped: None,
        }],
        kind: Kind::Job,
        executable_guid: job.guid.clone(),
        is_paused,
    };
    let paused = world.set_paused(&job, true);
    assert_eq!(world.store.claim(&[plan(false)], now).unwrap(), []);
    world.set_paused(&paused, false);
    assert_eq!(world.store.claim(&[plan(true)], now).unwrap(), []);
    assert_eq!(world.store.claim(&[plan(false)], now).unwrap().len(), 1);
}

#[test]
fn jitter_delays_each_run_differently_survives_restarts_and_is_not_lateness() {
    let mut world = Engine::at("2026-03-01T00:00:00Z");
    let job = world.job("j");
    let definition = Definition { jitter_seconds: 3600, ..plain("0 * * * *") };
    let fire_time = time("2026-03-01T01:00:00Z");
    let schedule = world
        .store
        .create_schedule(job.id, definition, Some(fire_time), world.clock.now(), &Terms::default())
        .unwrap()
        .done()
        .unwrap();
    let jitter = Duration::from_secs(u64::from(jitter(&schedule.guid, fire_time, 3600)));
    assert!(Duration::from_secs(2) < jitter, "a guid in a thousand breaks this");
    world.go_to("2026-03-01T01:00:00Z");
    assert_eq!(world.scheduled_times(&job), ["2026-03-01T01:00:00Z"], "it is claimed at its fire time");
    assert!(world.dispatches.try_recv().is_err());
    world.restart();
    let due = fire_time.saturating_add(jitter);
    world.go_to(&due.saturating_sub(Duration::from_secs(1)).to_string());
    assert!(world.dispatches.try_recv().is_err());
    world.go_to(&due.to_string());
    let dispatch = world.dispatches.try_recv().unwrap();
    assert_eq!((dispatch.scheduled_time, dispatch.due_since), (Some(fire_time), due));
}

#[test]
fn after_its_end_a_schedule_is_completed() {
    let mut world = Engine::at("2026-03-01T00:00:00Z");
    let job = world.job("j");
    let mut definition = plain("*/5 * * * *");
    definition.timing.ends_at = Some(time("2026-03-01T00:10:00Z"));
    let first = Some(time("2026-03-01T00:05:00Z"));
    let schedule = world
        .store
        .create_schedule(job.id, definition, first, world.clock.now(), &Terms::default())
        .unwrap()
        .done()
        .unwrap();
    world.go_to("2026-03-01T00:05:00Z");
    world.go_to("2026-03-01T00:10:00Z");
    assert_eq!(world.scheduled_times(&job), ["2026-03-01T00:05:00Z", "2026-03-01T00:10:00Z"]);
    world.go_to("2026-03-01T00:20:00Z");
    assert_eq!(world.scheduled_times(&job).len(), 2);
    let seen = world.store.schedule(job.id, schedule.guid.as_str()).unwrap().unwrap();
    assert_eq!((seen.next_fire_time, seen.completed_at), (None, Some(time("2026-03-01T00:10:00Z"))));
}

#[test]
fn work_beyond_the_channel_waits_in_order_and_is_never_dispatched_twice() {
    let mut world = Engine::at("2026-03-01T00:00:00Z");
    for number in 0..10 {
        world.schedule(&world.job(&format!("j{number}")), "* * * * *");
    }
    world.go_to("2026-03-01T00:01:00Z");
    let mut seen = Vec::new();
    while seen.len() < 10 {
        let dispatch = world.dispatches.try_recv().expect("the channel is filled again");
        world.end(dispatch.of, EndState::Succeeded);
        world.release.send(Release::Done(dispatch.of.id)).unwrap();
        seen.push(dispatch.of.id);
        world.scheduler.pass().unwrap();
    }
    let mut sorted = seen.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(seen, sorted);
    assert!(world.dispatches.try_recv().is_err());
}

#[test]
fn disabling_or_deleting_a_schedule_ends_its_pending_executions() {
    let mut world = Engine::at("2026-03-01T00:00:00Z");
    let job = world.job("j");
    let mut disabled = world.schedule(&job, "* * * * *");
    let deleted = world.schedule(&job, "* * * * *");
    world.go_to("2026-03-01T00:01:00Z");
    disabled.definition.enabled = false;
    assert!(world.store.update_schedule(disabled, None, world.clock.now(), None).unwrap().done().is_some());
    assert!(world.store.delete_schedule(&deleted, world.clock.now(), None).unwrap().is_some());
    let messages: Vec<String> = world.history(&job).into_iter().map(|it| it.message).collect();
    assert_eq!(messages, ["cancelled: schedule disabled", "cancelled: schedule deleted"]);
    world.go_to("2026-03-01T00:05:00Z");
    assert_eq!(world.history(&job).len(), 2, "neither fires any more");
    let dispatch = world.dispatches.try_recv().unwrap();
    assert!(
        !world
            .store
            .begin_attempt(
                dispatch.of,
                dispatch.as_read(),
                false,
                (&Guid::from("app"), None),
                world.clock.now(),
                world.clock.now()
            )
            .unwrap()
            .0
            .has_begun(),
        "nor is it started"
    );
}

#[test]
fn an_execution_cancelled_as_it_began_gives_its_job_its_real_outcome() {
    let world = Engine::at("2026-03-01T10:00:00Z");
    let job = world.job("j");
    let of = world.started(&job);
    let counted = format!("UPDATE executables SET state = 'FAILED', state_execution_id = {}", of.id);
    world.database().execute(&counted);
    world.end(of, EndState::Succeeded);
    assert_eq!(world.job_state(), JobState::Succeeded);
}

#[test]
fn a_jobs_state_is_that_of_its_latest_created_ended_execution() {
    let world = Engine::at("2026-03-01T00:00:00Z");
    let job = world.job("j");
    let [first, second, third] = [(); 3].map(|()| world.started(&job));
    assert_eq!(world.job_state(), JobState::Pending);
    world.end(second, EndState::Failed);
    assert_eq!(world.job_state(), JobState::Failed);
    world.end(first, EndState::Succeeded);
    assert_eq!(world.job_state(), JobState::Failed, "an older one that ends later does not count");
    world.end(third, EndState::Succeeded);
    assert_eq!(world.job_state(), JobState::Succeeded);
}

#[test]
fn history_is_purged_after_its_days_and_the_state_of_the_job_stays() {
    let world = Engine::at("2026-01-01T00:00:00Z");
    let job = world.job("j");
    for _ in 0..450 {
        world.end(world.started(&job), EndState::Failed);
    }
    let pending = world
        .store
        .create_execution(job.id, ManualStart::default(), world.clock.now())
        .unwrap()
        .unwrap()
        .execution;
    let (_stopper, stop) = stop_channel();
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&world.clock);
    let days = |days: u64| Duration::from_secs(86_400 * days);
    let retention = Retention::new(
        Arc::clone(&world.store),
        world.platform(),
        Arc::clone(&clock),
        days(150),
        None,
        bounded(1).0,
    );
    world.clock.set(time("2026-05-30T00:00:00Z")); // 149 days later.
    retention.pass(&stop).unwrap();
    assert_eq!(world.history(&job).len(), 451);
    world.clock.set(time("2026-06-01T00:00:00Z"));
    retention.pass(&stop).unwrap();
    let left: Vec<Id> = world.history(&job).iter().map(|it| it.id).collect();
    assert_eq!(left, [pending.id], "what has not ended is never removed");
    assert_eq!(world.job_state(), JobState::Failed);
}

#[test]
fn a_bounded_number_of_executions_is_kept_and_deleted_jobs_leave_nothing() {
    let world = Engine::at("2026-01-01T00:00:00Z");
    let (job, gone) = (world.job("j"), world.job("gone"));
    world.schedule(&gone, "@daily");
    for job in [&job, &gone] {
        for _ in 0..7 {
            world.end(world.started(job), EndState::Succeeded);
        }
    }
    // It has another state by now.
    assert!(world.store.delete_executable(&gone, None, world.clock.now(), None).unwrap().is_none());
    let gone = world.store.executable(Kind::Job, gone.guid.as_str()).unwrap().unwrap();
    assert!(world.store.delete_executable(&gone, None, world.clock.now(), None).unwrap().is_some());
    let (_stopper, stop) = stop_channel();
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&world.clock);
    let retention = Retention::new(
        Arc::clone(&world.store),
        world.platform(),
        clock,
        Duration::from_secs(86_400),
        Some(5),
        bounded(1).0,
    );
    retention.pass(&stop).unwrap();
    assert_eq!((world.history(&job).len(), world.history(&gone).len()), (5, 0));
    assert_eq!(world.store.next_executable(job.id).unwrap(), None, "its row is gone too");
}

#[test]
fn a_clock_set_back_fires_no_instant_twice_and_continues_with_the_first_without_an_execution() {
    let mut world = Engine::at("2026-03-01T10:00:30Z");
    let job = world.job("j");
    world.schedule(&job, "* * * * *");
    world.go_to("2026-03-01T10:01:00Z");
    world.go_to("2026-03-01T10:02:00Z");
    world.set_clock_to("2026-03-01T10:00:40Z"); // 10:01 and 10:02 have been served.
    world.go_to("2026-03-01T10:01:00Z");
    world.go_to("2026-03-01T10:02:00Z");
    assert_eq!(world.scheduled_times(&job).len(), 2);
    world.go_to("2026-03-01T10:03:00Z");
    let expected = ["2026-03-01T10:01:00Z", "2026-03-01T10:02:00Z", "2026-03-01T10:03:00Z"];
    assert_eq!(world.scheduled_times(&job), expected);
}

#[needs::postgres]
#[test]
fn instances_with_slightly_different_clocks_do_not_replan_each_others_schedules() {
    let mut world = Engine::at("2026-03-01T10:00:30Z");
    let job = world.job("j");
    world.schedule(&job, "* * * * *");
    world.go_to("2026-03-01T10:01:00Z");
    let database = Database::of(world.directory.path(), "s.db");
    let next = || database.number("SELECT next_fire_time FROM schedules");
    assert_eq!(next(), time("2026-03-01T10:02:00Z").nanos());
    // Like another instance's clock, a little behind that of the one that has claimed.
    world.set_clock_to("2026-03-01T10:00:59.99Z");
    assert_eq!(next(), time("2026-03-01T10:02:00Z").nanos());
}

#[test]
fn a_schedule_planned_while_the_clock_was_a_year_ahead_is_not_silent_for_a_year() {
    for restarted in [false, true] {
        let mut world = Engine::at("2027-03-01T10:00:30Z");
        let (new, fired) = (world.job("new"), world.job("fired"));
        world.schedule(&new, "0 * * * *");
        world.schedule(&fired, "* * * * *");
        world.go_to("2027-03-01T10:01:00Z");
        if restarted {
            world.restart();
        }
        world.set_clock_to("2026-03-01T10:00:30Z");
        world.go_to("2026-03-01T10:01:00Z");
        assert_eq!(world.scheduled_times(&fired), ["2027-03-01T10:01:00Z", "2026-03-01T10:01:00Z"]);
        world.go_to("2026-03-01T11:00:00Z");
        assert_eq!(world.scheduled_times(&new), ["2026-03-01T11:00:00Z"]);
    }
}

#[test]
fn a_schedule_completed_while_the_clock_was_a_year_ahead_fires_again() {
    for restarted in [false, true] {
        let mut world = Engine::at("2026-03-01T10:00:30Z");
        let (windowed, done) = (world.job("windowed"), world.job("done"));
        let mut definition = plain("* * * * *");
        definition.timing.ends_at = Some(time("2026-03-02T00:00:00Z"));
        let first = Some(time("2026-03-01T10:01:00Z"));
        let now = world.clock.now();
        let create = |world: &Engine, job: &Executable, definition, first| {
            let made = world.store.create_schedule(job.id, definition, first, now, &Terms::default());
            made.unwrap().done().unwrap()
        };
        let windowed_schedule = create(&world, &windowed, definition, first);
        let once = Some(time("2026-03-01T12:00:00Z"));
        let done_schedule = create(&world, &done, plain("@at 2026-03-01T12:00:00Z"), once);
        world.set_clock_to("2027-03-01T10:00:30Z");
        if restarted {
            world.restart();
        }
        let of = |world: &Engine, schedule: &Schedule| {
            world.store.schedule(schedule.executable, schedule.guid.as_str()).unwrap().unwrap()
        };
        assert!(of(&world, &windowed_schedule).completed_at.is_some());
        assert_eq!(world.scheduled_times(&done), ["2026-03-01T12:00:00Z"]);
        world.set_clock_to("2026-03-01T10:00:40Z");
        let seen = of(&world, &windowed_schedule);
        assert_eq!((seen.completed_at, seen.next_fire_time), (None, first));
        world.go_to("2026-03-01T10:01:00Z");
        assert_eq!(world.scheduled_times(&windowed), ["2026-03-02T00:00:00Z", "2026-03-01T10:01:00Z"]);
        let seen = of(&world, &done_schedule);
        assert_eq!((seen.completed_at, seen.next_fire_time), (Some(time("2026-03-01T10:00:40Z")), None));
        world.go_to("2026-03-01T12:00:00Z");
        assert_eq!(world.scheduled_times(&done).len(), 1, "it fires once");
    }
}

#[test]
fn a_fire_time_that_comes_before_the_jump_back_is_noticed_is_served() {
    let mut world = Engine::at("2026-03-01T10:00:30Z");
    let job = world.job("j");
    world.schedule(&job, "* * * * *");
    world.go_to("2026-03-01T10:00:50Z");
    // One second later the clock shows 09:59:58, and four seconds after that somebody looks.
    world.clock.set(time("2026-03-01T10:00:55Z"));
    world.store.renew_lease().unwrap();
    world.set_clock_to("2026-03-01T10:00:02Z");
    assert_eq!(world.scheduled_times(&job), ["2026-03-01T10:00:00Z"]);
    world.go_to("2026-03-01T10:00:30Z");
    assert_eq!(world.scheduled_times(&job).len(), 1);
    world.go_to("2026-03-01T10:01:00Z");
    assert_eq!(world.scheduled_times(&job).len(), 2);
}

#[test]
fn what_was_dropped_while_the_clock_was_ahead_fires_when_its_time_comes() {
    let mut world = Engine::with("2026-03-01T10:00:30Z", MisfirePolicy::Skip);
    let job = world.job("j");
    world.schedule(&job, "* * * * *");
    // All up to 10:59 are skipped.
    world.set_clock_to("2026-03-01T11:00:30Z");
    world.set_clock_to("2026-03-01T10:58:30Z");
    world.go_to("2026-03-01T10:59:00Z");
    world.go_to("2026-03-01T11:00:00Z");
    let mut times = world.scheduled_times(&job);
    times.sort();
    assert_eq!(times, ["2026-03-01T10:59:00Z", "2026-03-01T11:00:00Z"]);
}

#[test]
fn jitter_waits_no_longer_than_it_says_after_the_clock_was_set_back() {
    for restarted in [false, true] {
        let mut world = Engine::at("2027-03-01T00:00:00Z");
        let job = world.job("j");
        let definition = Definition { jitter_seconds: 3600, ..plain("0 * * * *") };
        let fire_time = time("2027-03-01T01:00:00Z");
        let now = world.clock.now();
        let made =
            world.store.create_schedule(job.id, definition, Some(fire_time), now, &Terms::default()).unwrap();
        let schedule = made.done().unwrap();
        let jitter = Duration::from_secs(jitter(&schedule.guid, fire_time, 3600).into());
        world.go_to("2027-03-01T01:00:00Z");
        assert!(world.dispatches.try_recv().is_err(), "a guid in a thousand breaks this");
        if restarted {
            world.clock.jump(time("2026-03-01T01:00:30Z"));
            world.restart();
        }
        world.set_clock_to("2026-03-01T01:00:30Z");
        let due = time("2026-03-01T01:00:30Z").saturating_add(jitter);
        world.go_to(&due.saturating_sub(Duration::from_secs(1)).to_string());
        assert!(world.dispatches.try_recv().is_err());
        world.go_to(&due.to_string());
        let dispatch = world.dispatches.try_recv().unwrap();
        assert_eq!(dispatch.scheduled_time, Some(fire_time));
    }
}

#[test]
fn a_clock_set_forward_by_a_day_starts_one_run_and_continues() {
    let mut world = Engine::at("2026-03-01T10:00:30Z");
    let (seconds, minutes) = (world.job("seconds"), world.job("minutes"));
    world.schedule(&seconds, "@every 1s");
    world.schedule(&minutes, "* * * * *");
    world.go_to("2026-03-01T10:00:31Z");
    world.set_clock_to("2026-03-02T10:00:31.5Z");
    assert_eq!(world.scheduled_times(&minutes), ["2026-03-02T09:59:00Z", "2026-03-02T10:00:00Z"]);
    assert_eq!(
        world.scheduled_times(&seconds).len(),
        1 + 1 + 60,
        "one for the day, and those within the grace"
    );
}

#[needs::sqlite]
#[test]
fn after_a_jump_work_for_a_worker_does_not_wait_and_a_retry_waits_its_remaining_time() {
    let mut world = Engine::at("2026-03-01T10:00:00Z");
    let job = world.job("j");
    world.scheduler.pass().unwrap();
    let now = world.clock.now();
    let [retried, waiting] = [(); 2].map(|()| world.started(&job));
    let in_a_minute = now.saturating_add(Duration::from_secs(60));
    assert!(
        world
            .store
            .begin_attempt(retried, (now, 0), false, (&Guid::from("app"), None), now, in_a_minute)
            .unwrap()
            .0
            .has_begun()
    );
    let retry = Retry {
        dispatch_time: in_a_minute,
        message: String::new(),
        doubt_until: Some(in_a_minute),
        failures: 1,
        give_up_at: Some(in_a_minute),
    };
    assert!(world.store.postpone(retried, &retry).unwrap());
    world.set_clock_to("2025-01-01T00:00:00Z");
    assert_eq!(world.dispatches.try_recv().unwrap().of, waiting, "set back by a year");
    world.end(waiting, EndState::Succeeded);
    world.release.send(Release::Done(waiting.id)).unwrap();
    world.go_to("2025-01-01T00:00:59Z");
    assert!(world.dispatches.try_recv().is_err());
    world.set_clock_to("2026-06-01T00:00:00Z");
    assert!(world.dispatches.try_recv().is_err(), "59 s have passed, whatever the clock says");
    world.go_to("2026-06-01T00:00:01Z");
    let dispatch = world.dispatches.try_recv().unwrap();
    assert_eq!(dispatch.of, retried);
    assert_eq!(dispatch.attempts.doubt_until, Some(time("2026-06-01T00:00:01Z")));
    assert_eq!(dispatch.attempts.give_up_at, Some(time("2026-06-01T00:00:01Z")));
}

#[needs::sqlite]
#[test]
fn after_a_start_nothing_waits_for_a_clock_that_was_ahead() {
    let mut world = Engine::at("2027-03-01T10:00:00Z");
    let job = world.job("j");
    world.store.create_execution(job.id, ManualStart::default(), world.clock.now()).unwrap().unwrap();
    world.restart();
    world.set_clock_to("2026-03-01T10:00:00Z");
    assert!(world.dispatches.try_recv().is_ok());
}

#[test]
fn a_backlog_runs_in_order_and_newer_requests_do_not_wait_behind_it() {
    let mut world = Engine::at("2026-03-01T10:00:00Z");
    let (early, late) = (world.job("early"), world.job("late"));
    for _ in 0..200 {
        world.schedule(&late, "2 10 * * *");
        world.schedule(&early, "1 10 * * *");
    }
    world.go_to("2026-03-01T10:02:10Z");
    let first = world.dispatches.try_recv().unwrap();
    assert_eq!(first.scheduled_time, Some(time("2026-03-01T10:01:00Z")));
    let by_hand = world
        .store
        .create_execution(late.id, ManualStart::default(), world.clock.now())
        .unwrap()
        .unwrap()
        .execution;
    let new = world.schedule(&late, "@every 1s");
    world.go_to("2026-03-01T10:02:11Z");
    let order = world.run_all();
    let place = |of: &str| order.iter().position(|dispatch| dispatch.guid.as_str() == of).unwrap();
    let new_at = time("2026-03-01T10:02:11Z");
    let of_new = order.iter().position(|dispatch| dispatch.scheduled_time == Some(new_at)).unwrap();
    assert!(place(by_hand.guid.as_str()) < 20, "by hand: {}", place(by_hand.guid.as_str()));
    assert!(of_new < 20, "of the new schedule {}: {of_new}", new.guid);
    let backlog: Vec<Timestamp> =
        order.iter().filter_map(|it| it.scheduled_time).filter(|time| *time != new_at).collect();
    assert_eq!(backlog.len(), 399);
    assert!(backlog.is_sorted(), "the others are in order of their fire times");
}

#[test]
fn an_app_with_hanging_requests_leaves_workers_to_the_others() {
    let mut world = Engine::at("2026-03-01T10:00:00Z");
    let (dispatch, dispatches) = bounded(4);
    let (_release, released) = bounded(8);
    let minute = Duration::from_secs(60);
    let settings =
        SchedulerSettings { misfire_policy: MisfirePolicy::Once, misfire_grace: minute, wait_max: minute };
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&world.clock);
    let lanes = vec![Lane::new(Kind::Job, dispatch)];
    world.scheduler =
        Scheduler::new(Arc::clone(&world.store), clock, settings, lanes, released, Arc::default());
    let hanging = world.job("j");
    for _ in 0..50 {
        world.store.create_execution(hanging.id, ManualStart::default(), world.clock.now()).unwrap().unwrap();
    }
    let other = world.job_of("other", "other-app");
    world.store.create_execution(other.id, ManualStart::default(), world.clock.now()).unwrap().unwrap();
    world.scheduler.pass().unwrap();
    let apps: Vec<String> = dispatches.try_iter().map(|dispatch| dispatch.app.to_string()).collect();
    assert_eq!(apps.iter().filter(|app| *app == "app").count(), 3);
    assert_eq!(apps.iter().filter(|app| *app == "other-app").count(), 1);
}

/// A scheduler only for calls, with `workers` workers.
fn call_lane(world: &mut Engine, workers: usize) -> (Receiver<Dispatch>, Sender<Release>) {
    let (dispatch, dispatches) = bounded(workers);
    let (release, released) = bounded(1000);
    let minute = Duration::from_secs(60);
    let settings =
        SchedulerSettings { misfire_policy: MisfirePolicy::Once, misfire_grace: minute, wait_max: minute };
    let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&world.clock);
    let lanes = vec![Lane::new(Kind::Call, dispatch)];
    world.scheduler =
        Scheduler::new(Arc::clone(&world.store), clock, settings, lanes, released, Arc::default());
    (dispatches, release)
}

impl Engine {
    fn call_of(&self, name: &str, space: &str, url: &str) -> Executable {
        let new = NewExecutable {
            name: name.to_owned(),
            app: Guid::from(space),
            space: Guid::from(space),
            work: Work::Call(Call::new(url.to_owned(), "x".to_owned().into())),
            controls: Controls::default(),
        };
        match self.store.create_executable(&new, self.clock.now(), &Terms::default()).unwrap() {
            Written::Done(executable) => executable,
            other => panic!("{other:?}"),
        }
    }

    fn start_by_hand(&self, executable: &Executable, times: usize) {
        for _ in 0..times {
            self.store
                .create_execution(executable.id, ManualStart::default(), self.clock.now())
                .unwrap()
                .unwrap();
        }
    }

    fn database(&self) -> Database {
        Database::of(self.directory.path(), "s.db")
    }

    /// PENDING executions that were due earlier, inserted without the store.
    fn backlog(&self, executable: &Executable, schedule: Option<&Schedule>, count: usize) {
        let numbers = if is_postgres() {
            format!("(SELECT i FROM generate_series(1, {count}) AS i)")
        } else {
            format!(
                "(WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
                 SELECT i FROM n)"
            )
        };
        let (schedule_id, scheduled_time) =
            schedule.map_or(("NULL".to_owned(), "NULL"), |schedule| (schedule.id.to_string(), "numbers.i"));
        self.database().execute(&format!(
            "INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, asked_at,
                                     created_at, dispatch_time, share)
             SELECT 'backlog-' || x.id || '-' || numbers.i, x.id, {schedule_id}, {scheduled_time}, x.kind, 'PENDING',
                    numbers.i, numbers.i, numbers.i, x.share
               FROM {numbers} AS numbers, executables AS x
              WHERE x.id = {}",
            executable.id
        ));
    }
}

#[needs::postgres]
#[test]
fn what_fast_workers_had_claimed_ahead_is_left_to_other_instances_when_they_become_slow() {
    let mut world = Engine::at("2026-03-01T10:00:00Z");
    let (dispatches, release) = call_lane(&mut world, 4);
    let call = world.call_of("c", "space", "http://h.example/");
    world.backlog(&call, None, 2000);
    let database = world.database();
    // All of it belongs to the portion of another instance, whose workers are busy.
    let fence = world.store.renew_lease().unwrap().unwrap().fence;
    database.execute(&format!(
        "INSERT INTO instances (lease_until) SELECT lease_until FROM instances WHERE id = {fence};
         DELETE FROM executions WHERE id % 2 = 0"
    ));
    let claimed =
        || database.number("SELECT COUNT(*) FROM executions WHERE owner IS NOT NULL AND state = 'PENDING'");
    world.scheduler.pass().unwrap();
    assert!((4..=8).contains(&claimed()), "{} before any pace is known", claimed());
    // Each call takes a millisecond.
    let mut most = 0;
    for _ in 0..60 {
        world.clock.set(world.clock.now().saturating_add(Duration::from_millis(1)));
        for dispatch in dispatches.try_iter().collect::<Vec<_>>() {
            world.end(dispatch.of, EndState::Succeeded);
            release.send(Release::Done(dispatch.of.id)).unwrap();
        }
        world.scheduler.pass().unwrap();
        most = most.max(claimed());
    }
    assert!((17..=72).contains(&most), "{most} while they are fast");
    // The next ones take long.
    for _ in 0..2 {
        world.clock.set(world.clock.now().saturating_add(Duration::from_secs(5)));
        world.store.renew_lease().unwrap();
        world.scheduler.pass().unwrap();
    }
    assert!(claimed() <= 12, "{} when they have become slow", claimed());
    let left = "SELECT COUNT(*) FROM executions WHERE owner IS NULL AND state = 'PENDING'";
    assert!(0 < database.number(left));
}

#[needs::postgres]
#[test]
fn an_idle_worker_serves_another_space_although_its_work_belongs_to_another_instance() {
    let mut world = Engine::at("2026-03-01T10:00:00Z");
    let (dispatches, _release) = call_lane(&mut world, 4);
    let [own, other] = ["a", "b"].map(|space| world.call_of(space, space, &format!("http://{space}/")));
    world.backlog(&own, None, 12);
    let fence = world.store.renew_lease().unwrap().unwrap().fence;
    // More than its workers take, less than it reads.
    world.database().execute(&format!(
        "INSERT INTO instances (lease_until) SELECT lease_until FROM instances WHERE id = {fence};
         UPDATE executions SET dispatch_time = {};
         UPDATE executions
            SET executable_id = {}, share = (SELECT share FROM executables WHERE id = {})
          WHERE id % 2 = 1",
        world.clock.now().nanos(),
        other.id,
        other.id
    ));
    world.scheduler.pass().unwrap();
    let dispatched: HashSet<Guid> = dispatches.try_iter().map(|dispatch| dispatch.executable).collect();
    assert_eq!(dispatched, HashSet::from([own.guid, other.guid]));
}

#[test]
fn a_space_with_hanging_calls_leaves_workers_to_others_and_no_host_gets_more_than_half() {
    let mut world = Engine::at("2026-03-01T10:00:00Z");
    let (dispatches, _release) = call_lane(&mut world, 20);
    let hanging = world.call_of("hanging", "space-a", "http://hangs.example:81/x?y=1");
    world.backlog(&hanging, None, 100_000);
    world.store.renew_lease().unwrap();
    world.scheduler.pass().unwrap();
    let handed_out: Vec<Dispatch> = dispatches.try_iter().collect();
    assert_eq!(handed_out.len(), 13, "a host that is alone leaves some of its space's 15 to others");
    assert!(handed_out.iter().all(|dispatch| dispatch.executable == hanging.guid));

    // New work does not wait for the calls that hang.
    let another_host = world.call_of("another", "space-a", "https://other.example/");
    let elsewhere = world.call_of("elsewhere", "space-b", "http://hangs.example:81/");
    world.start_by_hand(&another_host, 10);
    world.start_by_hand(&elsewhere, 10);
    world.go_to("2026-03-01T10:00:01Z");
    let seen: Vec<Guid> = dispatches.try_iter().map(|dispatch| dispatch.executable).collect();
    let count = |of: &Executable| seen.iter().filter(|guid| **guid == of.guid).count();
    assert!(1 <= count(&another_host) && 2 <= count(&elsewhere), "{seen:?}");
    assert_eq!(count(&hanging), 0);
}

#[test]
fn work_right_after_an_empty_look_does_not_wait_for_the_next_fire_time() {
    let mut world = Engine::at("2026-03-01T10:00:00Z");
    let (dispatches, _release) = call_lane(&mut world, 20);
    let hanging = world.call_of("hanging", "space-a", "http://hangs.example/");
    world.backlog(&hanging, None, 1000);
    // The first pass uses the space's share; the second finds no other work, and returns how long it sleeps.
    world.scheduler.pass().unwrap();
    world.scheduler.pass().unwrap();
    let elsewhere = world.call_of("elsewhere", "space-b", "http://other.example/");
    world.backlog(&elsewhere, None, 1);
    world.database().execute("UPDATE executions SET dispatch_time = 2000 WHERE share LIKE 'space-b%'");
    let sleep = world.scheduler.pass().unwrap();
    assert!(sleep <= Duration::from_millis(100), "{sleep:?}");
    world.go_to("2026-03-01T10:00:00.1Z");
    assert!(dispatches.try_iter().any(|dispatch| dispatch.executable == elsewhere.guid));
}

#[test]
fn deleted_executions_take_no_places_in_their_share() {
    let world = Engine::at("2026-03-01T10:00:00Z");
    let [gone, there] = ["gone", "there"].map(|name| world.call_of(name, "space-a", "http://host.example/"));
    world.backlog(&gone, None, 20);
    world.backlog(&there, None, 3);
    let later = format!("UPDATE executions SET dispatch_time = 100 WHERE executable_id = {}", there.id);
    world.database().execute(&later);
    world.store.delete_executable(&gone, None, world.clock.now(), None).unwrap().unwrap();
    world.store.renew_lease().unwrap();
    let shares = world.store.pending_shares(Kind::Call, world.clock.now(), "", 10).unwrap();
    let waiting = world.store.pending_of_shares(Kind::Call, world.clock.now(), &shares, 8).unwrap();
    assert_eq!(waiting.iter().filter(|it| it.executable == there.guid).count(), 3);
    assert_eq!(waiting.len(), 3);
}

#[test]
fn waiting_spaces_and_hosts_share_the_workers() {
    let mut world = Engine::at("2026-03-01T10:00:00Z");
    let (dispatches, release) = call_lane(&mut world, 20);
    let [first, second] = ["one", "two"].map(|host| world.call_of(host, "a", &format!("http://{host}/")));
    let other = world.call_of("other", "b", "http://one/");
    for call in [&first, &second, &other] {
        world.backlog(call, None, 1000);
    }
    world.scheduler.pass().unwrap();
    let count = |seen: &[Dispatch], of: &Executable| {
        seen.iter().filter(|dispatch| dispatch.executable == of.guid).count()
    };
    let mut under_way: Vec<Dispatch> = dispatches.try_iter().collect();
    for host in [&first, &second] {
        assert!(count(&under_way, host) <= 7, "a host has at most half of a space's 15");
    }
    // In the long run no space gets more than another.
    for _ in 0..200 {
        let ended = under_way.remove(0);
        world.database().execute(&format!(
            "UPDATE executions SET state = 'FAILED', dispatch_time = NULL, end_time = 1 WHERE id = {}",
            ended.of.id
        ));
        release.send(Release::Done(ended.of.id)).unwrap();
        world.store.renew_lease().unwrap();
        world.scheduler.pass().unwrap();
        under_way.extend(dispatches.try_iter());
    }
    let of_a = count(&under_way, &first) + count(&under_way, &second);
    let of_b = count(&under_way, &other);
    assert!(of_a.abs_diff(of_b) <= 2 && of_a + of_b >= 16, "{of_a} and {of_b}");
}

#[test]
fn a_schedule_with_1000_pending_executions_gets_no_more_and_the_newest_counts_the_rest() {
    let mut world = Engine::at("2026-03-01T10:00:00Z");
    let job = world.job("j");
    let schedule = world.schedule(&job, "@every 1s");
    world.backlog(&job, Some(&schedule), 999);
    for second in 1..=4 {
        world.go_to(&format!("2026-03-01T10:00:0{second}Z"));
    }
    let history = world.history(&job);
    assert_eq!(history.len(), 1000);
    assert_eq!(history[999].scheduled_time, Some(time("2026-03-01T10:00:01Z")));
    assert_eq!(history[999].message, "stands for 3 more fire times");
    // Serving one makes room for the next.
    world.end(world.dispatches.try_recv().unwrap().of, EndState::Succeeded);
    world.go_to("2026-03-01T10:00:05Z");
    let history = world.history(&job);
    assert_eq!(history.len(), 1001);
    assert_eq!(history[999].message, "stands for 3 more fire times");
    assert_eq!(history[1000].message, "");
}

#[test]
fn marked_executions_read_as_failed_at_once_never_begin_and_are_recorded_in_batches_despite_a_crash() {
    let mut world = Engine::at("2026-03-01T10:00:30Z");
    let job = world.job("j");
    let schedule = world.schedule(&job, "* * * * *");
    world.backlog(&job, Some(&schedule), 2500);
    let now = world.clock.now();
    let mut disabled = schedule.clone();
    disabled.definition.enabled = false;
    let (disabled, cancelled) =
        world.store.update_schedule(disabled, None, now, None).unwrap().done().unwrap();
    assert_eq!(cancelled, 2500);
    let is_cancelled = |it: &Execution| {
        it.state.as_str() == "FAILED"
            && it.message == "cancelled: schedule disabled"
            && it.end_time == Some(now)
    };
    assert!(world.history(&job).iter().all(is_cancelled));
    assert_eq!(world.job_state(), JobState::Failed);
    world.scheduler.pass().unwrap();
    assert!(world.dispatches.try_recv().is_err());

    // The schedule continues meanwhile: new executions are not cancelled.
    let next = Some(time("2026-03-01T10:01:00Z"));
    let enabled = Schedule { updated_at: disabled.updated_at, ..schedule.clone() };
    assert_eq!(world.store.update_schedule(enabled, next, now, None).unwrap().done().unwrap().1, 0);
    world.go_to("2026-03-01T10:01:00Z");
    let dispatch = world.dispatches.try_recv().unwrap();
    assert_eq!(dispatch.scheduled_time, next);
    assert!(world.dispatches.try_recv().is_err());
    world.end(dispatch.of, EndState::Succeeded);

    let failed =
        |world: &Engine| world.database().number("SELECT COUNT(*) FROM executions WHERE state = 'FAILED'");
    assert_eq!(world.store.record_cancelled(1000).unwrap(), 1000);
    assert_eq!(failed(&world), 1000);
    world.restart();
    while world.store.record_cancelled(1000).unwrap() > 0 {}
    assert_eq!(failed(&world), 2500);
    assert!(world.history(&job)[..2500].iter().all(is_cancelled));
    assert_eq!(world.job_state(), JobState::Succeeded, "that of the one created last");
}

#[test]
fn pending_executions_of_a_deleted_job_never_begin_and_are_purged_with_it() {
    let mut world = Engine::at("2026-03-01T10:00:30Z");
    let job = world.job("j");
    world.start_by_hand(&job, 3);
    world.scheduler.pass().unwrap();
    let handed_out = world.dispatches.try_recv().unwrap();
    assert_eq!(
        world.store.delete_executable(&job, None, world.clock.now(), None).unwrap().map(|it| it.waiting),
        Some(3)
    );
    let now = world.clock.now();
    assert!(
        !world
            .store
            .begin_attempt(handed_out.of, handed_out.as_read(), false, (&Guid::from("app"), None), now, now)
            .unwrap()
            .0
            .has_begun()
    );
    world.restart();
    world.scheduler.pass().unwrap();
    assert!(world.dispatches.try_recv().is_err());
    while world.store.purge_deleted(2).unwrap() > 0 {}
    assert_eq!(world.database().number("SELECT COUNT(*) FROM executions"), 0);
}

#[test]
fn a_clock_that_was_never_set_fires_nothing_and_once_set_repeats_nothing() {
    for policy in [MisfirePolicy::Once, MisfirePolicy::Skip, MisfirePolicy::All] {
        let mut world = Engine::with("2026-03-01T00:00:00Z", policy);
        let [monthly, late, new] = ["monthly", "late", "new"].map(|name| world.job(name));
        world.schedule(&monthly, "30 0 1 * *");
        world.go_to("2026-03-01T00:30:00Z");
        assert_eq!(world.run_all().len(), 1);
        world.database().execute("DELETE FROM executions"); // The history was purged.
        world.clock.set(time("2026-03-01T23:55:00Z"));
        world.schedule(&late, "55 22 * * *");

        // Without a battery, the clock starts in 1970, or at the date of the firmware.
        for wrong in ["1970-01-01T00:00:10Z", "2025-06-01T00:00:00Z"] {
            world.restart();
            world.set_clock_to(wrong);
            if wrong.starts_with("1970") {
                world.schedule(&new, "0 * * * *");
                world.go_to("1970-06-01T00:00:00Z");
                assert!(world.history(&new).is_empty(), "nothing fires");
            }
            world.set_clock_to("2026-03-01T23:58:00Z");
            for job in [&monthly, &late, &new] {
                assert!(world.history(job).is_empty(), "{policy:?} {wrong}: {:?}", world.history(job));
            }
        }
        world.go_to("2026-03-02T00:00:00Z");
        assert_eq!(world.scheduled_times(&new), ["2026-03-02T00:00:00Z"], "it goes on");
        world.go_to("2026-03-02T22:55:00Z");
        assert_eq!(world.scheduled_times(&late), ["2026-03-02T22:55:00Z"]);
    }
}

#[test]
fn a_clock_that_is_far_ahead_or_was_never_set_purges_no_history() {
    let mut world = Engine::at("2026-03-01T10:00:00Z");
    let job = world.job("j");
    for _ in 0..5 {
        world.end(world.started(&job), EndState::Succeeded);
    }
    let (_stopper, stop) = stop_channel();
    for wrong in ["2026-12-01T00:00:00Z", "1970-01-01T00:00:00Z", "2031-01-01T00:00:00Z"] {
        world.set_clock_to(wrong);
        // Like after a start of the machine.
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&world.clock);
        let days = Duration::from_secs(150 * 86_400);
        let retention =
            Retention::new(Arc::clone(&world.store), world.platform(), clock, days, None, bounded(1).0);
        retention.pass(&stop).unwrap();
        assert_eq!(world.history(&job).len(), 5, "{wrong}");
        if wrong.starts_with("2031") {
            // Rows created by that clock say nothing about the time.
            world.end(world.started(&job), EndState::Succeeded);
            retention.pass(&stop).unwrap();
            assert_eq!(world.history(&job).len(), 6);
        }
    }
}

/// PostgreSQL does this by itself.
#[needs::sqlite]
#[test]
fn the_file_alone_is_up_to_date_after_a_checkpoint_and_shrinks_after_a_large_purge() {
    let world = Engine::at("2026-03-01T10:00:00Z");
    let job = world.job("j");
    world.backlog(&job, None, 30_000);
    world.database().execute("UPDATE executions SET state = 'FAILED', dispatch_time = NULL, end_time = 1");
    let (_stopper, stop) = stop_channel();
    upkeep::pass(&world.store, &stop).unwrap();
    let file = world.directory.path().join("s.db");
    let copy = world.directory.path().join("copy.db");
    std::fs::copy(&file, &copy).unwrap();
    let copied = Database::at(copy.to_str().unwrap());
    assert_eq!(copied.number("SELECT COUNT(*) FROM executions"), 30_000);

    let before = std::fs::metadata(&file).unwrap().len();
    while world.store.purge_ended(world.clock.now(), 1000).unwrap() > 0 {}
    upkeep::pass(&world.store, &stop).unwrap();
    let after = std::fs::metadata(&file).unwrap().len();
    assert!(after * 4 < before, "{before} {after}");
    assert_eq!(copied.number("PRAGMA auto_vacuum"), 2);
    assert_eq!(world.database().rows("PRAGMA integrity_check"), [["ok"]]);
}

/// A service instance in a space.
fn instance(id: &str, space: &str) -> ServiceInstance {
    ServiceInstance {
        id: id.to_owned(),
        service_id: "s".to_owned(),
        plan_id: "p".to_owned(),
        organization: "o".to_owned(),
        space: Guid::from(space),
        parameters: "{}".to_owned(),
    }
}

impl Engine {
    fn provision(&self, id: &str, space: &str) -> usize {
        let now = self.clock.now();
        let planner = |timing: &Timing, _: &Guid| {
            let text = &timing.expression;
            let next =
                Expression::parse(text, &Reading::plain(Dialect::default())).ok()?.next_after(now.seconds());
            next.and_then(Timestamp::from_seconds)
        };
        match self.store.provision(&instance(id, space), "{}", now, &planner, None).unwrap() {
            Made::Now(resumed) => resumed,
            other => panic!("{other:?}"),
        }
    }

    fn deprovision(&self, id: &str, last: LastInstance) -> usize {
        match self.store.deprovision(id, "s", "p", last, self.clock.now(), None).unwrap() {
            Changed::Done(stopped) => stopped.schedules,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_space_without_its_last_service_instance_stops_keeps_its_history_and_resumes_with_a_new_one() {
    let mut world = Engine::at("2026-03-01T00:00:30Z");
    world.provision("i1", "space");
    world.provision("i2", "space");
    world.provision("elsewhere", "other");
    let job = world.job("a");
    world.schedule(&job, "* * * * *");
    let mut disabled = world.schedule(&job, "*/2 * * * *");
    disabled.definition.enabled = false;
    assert!(world.store.update_schedule(disabled, None, world.clock.now(), None).unwrap().done().is_some());
    let removed = world.schedule(&job, "*/3 * * * *");
    assert!(world.store.delete_schedule(&removed, world.clock.now(), None).unwrap().is_some());
    world.go_to("2026-03-01T00:01:00Z");
    assert_eq!(world.run_all().len(), 1);
    assert_eq!(world.deprovision("i1", LastInstance::StopsSchedules), 0, "another is left");

    // One waits when the last instance is deleted, and one was started by hand.
    world.go_to("2026-03-01T00:02:00Z");
    let by_hand = world
        .store
        .create_execution(job.id, ManualStart::default(), world.clock.now())
        .unwrap()
        .unwrap()
        .execution;
    assert_eq!(world.deprovision("i2", LastInstance::StopsSchedules), 1);
    assert_eq!(world.store.next_fire_time().unwrap(), None);
    let history = world.history(&job);
    assert_eq!(history[0].state.as_str(), "SUCCEEDED");
    assert_eq!(
        (history[1].state.as_str(), history[1].message.as_str()),
        ("FAILED", "cancelled: service instance deleted")
    );
    assert_eq!((&history[2].guid, history[2].state.as_str()), (&by_hand.guid, "PENDING"));

    // Schedules created or enabled meanwhile do not fire either; those of another space do.
    let new = world.schedule(&job, "*/5 * * * *");
    assert!(
        world
            .store
            .update_schedule(new, Some(time("2026-03-01T00:05:00Z")), time("2026-03-01T00:02:00Z"), None)
            .unwrap()
            .done()
            .is_some()
    );
    assert_eq!(world.store.next_fire_time().unwrap(), None);
    world.go_to("2026-03-01T01:00:30Z");
    assert_eq!(world.history(&job).len(), 3);

    // With a new instance they fire from now on; nothing is made up for, and disabled ones stay disabled.
    assert_eq!(world.provision("i3", "space"), 2);
    assert_eq!(world.store.next_fire_time().unwrap(), Some(time("2026-03-01T01:01:00Z")));
    world.go_to("2026-03-01T01:01:00Z");
    let fired: Vec<Execution> = world.history(&job).split_off(3);
    assert_eq!(fired.len(), 1, "{fired:?}");
    assert_eq!(
        (fired[0].scheduled_time, fired[0].message.as_str()),
        (Some(time("2026-03-01T01:01:00Z")), "")
    );

    // If instances are not required, deleting the last one changes nothing. Suspended spaces resume when
    // instances are no longer required.
    assert_eq!(world.deprovision("i3", LastInstance::ChangesNothing), 0);
    assert_eq!(world.store.next_fire_time().unwrap(), Some(time("2026-03-01T01:02:00Z")));
    world.provision("i4", "space");
    assert_eq!(world.deprovision("i4", LastInstance::StopsSchedules), 2);
    assert_eq!(world.store.next_fire_time().unwrap(), None);
    let noon = time("2026-03-01T12:00:00Z");
    assert_eq!(world.store.resume_all_spaces(noon, &|_, _| Some(noon)).unwrap(), 1);
    assert_eq!(world.store.next_fire_time().unwrap(), Some(noon));
}

#[test]
fn schedules_created_while_a_space_loses_its_last_instances_do_not_fire() {
    let world = Engine::at("2026-03-01T00:00:30Z");
    let job = world.job("a");
    let changed = world.schedule(&job, "*/7 * * * *");
    for round in 0..20 {
        let instances = [format!("a{round}"), format!("b{round}")];
        for id in &instances {
            world.provision(id, "space");
        }
        assert_ne!(world.store.next_fire_time().unwrap(), None);
        let (store, now) = (&world.store, world.clock.now());
        let next = Some(time("2026-03-01T00:01:00Z"));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..3 {
                        store
                            .create_schedule(job.id, plain("* * * * *"), next, now, &Terms::default())
                            .unwrap()
                            .done()
                            .unwrap();
                        // Started again if another thread was faster.
                        let write = || {
                            let seen = store.schedule(job.id, changed.guid.as_str()).unwrap().unwrap();
                            store.update_schedule(seen, next, now, None).unwrap().done()
                        };
                        while write().is_none() {}
                    }
                });
            }
            for id in &instances {
                scope.spawn(move || {
                    store.deprovision(id, "s", "p", LastInstance::StopsSchedules, now, None).unwrap()
                });
            }
        });
        assert_eq!(world.store.next_fire_time().unwrap(), None, "round {round}");
    }
}

#[test]
fn the_engine_reads_each_schedule_in_its_dialect_and_hashes_with_the_guid_of_its_job() {
    let mut world = Engine::at("2026-03-01T00:00:00Z");
    let job = world.job("j");
    let now = world.clock.now();
    let make = |expression: &str, dialect: Dialect| {
        let timing = Timing::new(expression, dialect);
        let first = Calendar::of(&timing, &job.guid).unwrap().first_after(now);
        world
            .store
            .create_schedule(job.id, Definition::new(timing), first, now, &Terms::default())
            .unwrap()
            .done()
            .unwrap();
        first.unwrap()
    };
    // The first Monday that is a 13th, every 13th and every Monday, Sundays, and a minute that depends on the
    // guid.
    make("0 0 13 * 1", Dialect::Ocf2);
    make("0 0 13 * 1", Dialect::default());
    make("0 0 * * 1", Dialect::Classic(Weekdays::Quartz));
    let hashed = make("H H * * *", Dialect::Ocf2);
    let next_of = |world: &Engine, index: usize| {
        Database::of(world.directory.path(), "s.db").rows("SELECT next_fire_time FROM schedules ORDER BY id")
            [index][0]
            .clone()
    };
    // The scheduler plans each of them once.
    for day in ["2026-03-02", "2026-03-03", "2026-03-09", "2026-04-14"] {
        world.go_to(&format!("{day}T00:00:30Z"));
    }
    let nanos = |text: &str| time(text).nanos().to_string();
    assert_eq!(next_of(&world, 0), nanos("2026-07-13T00:00:00Z"));
    assert_eq!(next_of(&world, 1), nanos("2026-04-20T00:00:00Z"));
    assert_eq!(next_of(&world, 2), nanos("2026-04-19T00:00:00Z"));
    let of_day = |nanos: i64| nanos.rem_euclid(86_400_000_000_000);
    assert_eq!(of_day(next_of(&world, 3).parse().unwrap()), of_day(hashed.nanos()));
}
