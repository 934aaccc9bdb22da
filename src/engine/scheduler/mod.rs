//! Finds schedules whose fire time has come and hands their executions to the workers.
//!
//! Invariant: a fire time yields at most one execution, across threads, restarts and clock jumps. The claim in `store`
//! guarantees it; running the work is `worker`, following a task to its end is `watcher`.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, select};
use log::{debug, error, info, warn};

use crate::base::clock::Clock;
use crate::base::crash;
use crate::base::logging::milliseconds;
use crate::base::stop::Stop;
use crate::config::MisfirePolicy;
use crate::cron::{Expression, Weekdays};
use crate::engine::journal::{self, About};
use crate::model::{Dispatch, Guid, Id, Kind, Release, Timestamp};
use crate::store::{DueSchedule, Fire, Plan, Store, StoreError};

/// The longest sleep, so that a jump of the wall clock is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(5);
/// The wait after a pass that failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The most schedules that one transaction claims: few, so that the first of many run while the others are claimed.
const CLAIM_BATCH: u32 = 50;
/// The wait for another process that is claiming what is due.
const ELSEWHERE_DELAY: Duration = Duration::from_millis(20);
/// The smallest difference between the wall clock and the monotonic one, from a pass to the next, that counts as a jump.
const JUMP_MIN: Duration = Duration::from_secs(1);
/// While there is a backlog, one in so many is what was asked for after it built up.
const SHARE_OF_LATE_COMERS: u32 = 4;
/// The time between two looks past the apps that have their share, which read the whole backlog at worst.
const LOOK_PAST_INTERVAL: Duration = Duration::from_millis(200);
/// What is said of a call that nobody can know the outcome of.
const INTERRUPTED: &str = "interrupted: the service ended while the call was in flight";
/// The most missed fire times that are counted one by one; more are "1000+".
const MISSED_COUNT_MAX: u64 = 1000;
/// The most missed fire times of one schedule that the policy `all` makes up for.
const CATCH_UP_MAX: usize = 100;

/// What the scheduler does about time.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How numbers in day-of-week are read.
    pub weekdays: Weekdays,
    /// What becomes of missed fire times.
    pub misfire_policy: MisfirePolicy,
    /// A fire time later than this is a missed one.
    pub misfire_grace: Duration,
    /// After a start no attempt waits for longer than this.
    pub wait_max: Duration,
}

/// The due loop.
pub struct Scheduler {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    lanes: Vec<Lane>,
    /// From the workers: an execution that they have let go of, whatever came of it.
    released: Receiver<Release>,
    /// The wall clock and the monotonic one at the last pass; `None`: there was none.
    last_reading: Option<(Timestamp, Duration)>,
}

/// What there is to say of lanes that were filled: why to look again before the next pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Filled {
    /// Something released may be due again.
    comes_again: bool,
    /// Another process was faster with something.
    was_slower: bool,
}

/// The way to the workers of one kind. What waits in one lane never waits for the other.
pub struct Lane {
    kind: Kind,
    /// To the workers; bounded. What does not fit stays PENDING in the database.
    dispatch: Sender<Dispatch>,
    /// The most of one app that are handed out; `None`: no such bound.
    per_app: Option<usize>,
    /// Handed out and not released, with its app: in the channel, with a worker, or ended and not recorded yet.
    handed_out: HashMap<Id, Guid>,
    /// Counts what was handed out, to give those their share who came after the backlog.
    turn: u32,
    /// When apps that have their share were last looked past.
    looked_past_at: Option<Duration>,
}

impl Lane {
    /// A lane for executions of `kind`. With `per_app`, no app has more than that handed out at a time, so that the
    /// requests of one that hang leave workers to the others.
    pub fn new(kind: Kind, dispatch: Sender<Dispatch>, per_app: Option<usize>) -> Self {
        Self { kind, dispatch, per_app, handed_out: HashMap::new(), turn: 0, looked_past_at: None }
    }

    /// Hands out what is pending as far as the channel takes it. What it does not take comes after a release. Whether another
    /// process was faster with some of it, so that there may be more to hand out.
    fn fill(&mut self, store: &Store, now: Timestamp, monotonic: Duration) -> Result<bool, StoreError> {
        let bound = self.dispatch.capacity().unwrap_or(0);
        let room = bound.saturating_sub(self.dispatch.len());
        // Refilled when half empty, so that not each execution costs a look into the database.
        if room * 2 < bound {
            return Ok(false);
        }
        let limit = u32::try_from(room + self.handed_out.len()).unwrap_or(u32::MAX);
        let in_order = store.pending_executions(self.kind, now, &[], limit)?;
        let is_backlog = in_order.len() == limit as usize;
        let late_comers = match in_order.first() {
            Some(oldest) if is_backlog => {
                store.pending_asked_after(self.kind, now, oldest.due_since, limit)?
            }
            _ => Vec::new(),
        };
        let (mut in_order, mut late_comers) = (in_order.into_iter(), late_comers.into_iter());
        let mut picked = Vec::new();
        while picked.len() < room {
            self.turn = self.turn.wrapping_add(1);
            let favoured = self.turn.is_multiple_of(SHARE_OF_LATE_COMERS);
            let next = if favoured {
                late_comers.next().or_else(|| in_order.next())
            } else {
                in_order.next().or_else(|| late_comers.next())
            };
            let Some(dispatch) = next else { break };
            self.pick(dispatch, &mut picked);
        }
        let full = self.full_apps();
        let looked_lately = self.looked_past_at.is_some_and(|then| monotonic < then + LOOK_PAST_INTERVAL);
        if picked.len() < room && !full.is_empty() && is_backlog && !looked_lately {
            self.looked_past_at = Some(monotonic);
            let full: Vec<&Guid> = full.iter().collect();
            for dispatch in store.pending_executions(self.kind, now, &full, limit)? {
                if picked.len() < room {
                    self.pick(dispatch, &mut picked);
                }
            }
        }
        self.hand_out(store, picked)
    }

    /// Notes that it is to be handed out; not again, and not beyond its app's share.
    fn pick(&mut self, dispatch: Dispatch, picked: &mut Vec<Dispatch>) {
        let has_share = self.per_app.is_some_and(|most| most <= self.count_of(&dispatch.app));
        if !has_share && !self.handed_out.contains_key(&dispatch.of.id) {
            self.handed_out.insert(dispatch.of.id, dispatch.app.clone());
            picked.push(dispatch);
        }
    }

    /// Claims what was picked, and hands it out. Whether another process was faster with some of it.
    fn hand_out(&mut self, store: &Store, picked: Vec<Dispatch>) -> Result<bool, StoreError> {
        let wanted: Vec<(Id, Timestamp, u32)> = picked
            .iter()
            .map(|dispatch| (dispatch.of.id, dispatch.due_since, dispatch.attempts.count))
            .collect();
        let claimed = store.claim_executions(&wanted);
        let mut was_slower = false;
        for mut dispatch in picked {
            let id = dispatch.of.id;
            let is_ours = claimed.as_ref().is_ok_and(|claimed| claimed.ids.contains(&id));
            was_slower |= !is_ours;
            dispatch.of.fence = claimed.as_ref().map_or(0, |claimed| claimed.fence);
            // There is room, for nobody else sends; and what is not sent is picked again.
            if !is_ours || self.dispatch.try_send(dispatch).is_err() {
                self.handed_out.remove(&id);
            }
        }
        claimed.map(|_| was_slower)
    }

    fn count_of(&self, app: &Guid) -> usize {
        self.handed_out.values().filter(|other| *other == app).count()
    }

    fn full_apps(&self) -> Vec<Guid> {
        let Some(most) = self.per_app else { return Vec::new() };
        let apps: HashSet<&Guid> = self.handed_out.values().collect();
        apps.into_iter().filter(|app| most <= self.count_of(app)).cloned().collect()
    }
}

impl Scheduler {
    /// A scheduler that hands out through `lanes`, whose receivers send each execution's id to `released` in the end.
    pub fn new(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        settings: Settings,
        lanes: Vec<Lane>,
        released: Receiver<Release>,
    ) -> Self {
        Self { store, clock, settings, lanes, released, last_reading: None }
    }

    /// Runs until `stop` closes, or every waker is gone. `wake`: there is something new to look at.
    pub fn run(&mut self, wake: &Receiver<()>, stop: &Stop) {
        loop {
            let sleep = self.pass().unwrap_or_else(|err| {
                warn!(
                    retry_ms = milliseconds(RETRY_DELAY), cause:% = err;
                    "scheduler pass failed, retrying"
                );
                RETRY_DELAY
            });
            let time_is_up = after(sleep.min(SLEEP_MAX));
            loop {
                select! {
                    recv(stop) -> _ => return,
                    recv(wake) -> woken => {
                        if woken.is_err() {
                            return;
                        }
                        break;
                    }
                    recv(self.released) -> release => {
                        let Ok(release) = release else { return };
                        // Room in a lane is no reason to look for what is due.
                        if self.release(release) || self.fill_lanes() != Ok(Filled::default()) {
                            break;
                        }
                    }
                    recv(time_is_up) -> _ => break,
                }
            }
        }
    }

    /// One look: claims what is due, hands out what is pending, and says how long there is nothing to do.
    pub fn pass(&mut self) -> Result<Duration, StoreError> {
        let now = self.clock.now();
        self.heed_clock(now)?;
        let more_to_do = self.plan_anew(now)? | self.claim_due(now)?;
        let filled = self.fill_lanes()?;
        if more_to_do {
            return Ok(Duration::ZERO);
        }
        if filled.was_slower {
            return Ok(ELSEWHERE_DELAY);
        }
        let next =
            [self.store.next_fire_time()?, self.store.next_dispatch_time(now)?].into_iter().flatten().min();
        let then = now;
        let now = self.clock.now();
        // What does not fit in the channel waits for a release, which wakes the loop by itself.
        Ok(match next {
            Some(next) if now < next => next.since(now),
            // It was due already, and yet not to be had: another process is at it.
            Some(next) if next <= then => ELSEWHERE_DELAY,
            Some(_) => Duration::ZERO,
            None => SLEEP_MAX,
        })
    }

    /// Whether it may be due again before the next pass.
    fn release(&mut self, release: Release) -> bool {
        let (Release::Done(id) | Release::ComesAgain(id)) = release;
        for lane in &mut self.lanes {
            lane.handed_out.remove(&id);
        }
        matches!(release, Release::ComesAgain(_))
    }

    /// Takes note of what was released, and hands out what there is room for.
    fn fill_lanes(&mut self) -> Result<Filled, StoreError> {
        let mut filled = Filled::default();
        while let Ok(release) = self.released.try_recv() {
            filled.comes_again |= self.release(release);
        }
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        for lane in &mut self.lanes {
            filled.was_slower |= lane.fill(&self.store, now, monotonic)?;
        }
        Ok(filled)
    }

    /// At the first pass recovers what the process before left behind. Later notices that the clock was set, and lets what
    /// waits for a span of time wait for the rest of it.
    fn heed_clock(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let monotonic = self.clock.monotonic();
        match self.last_reading {
            None => {
                let interrupted = self.store.interrupt_calls(INTERRUPTED, now)?;
                if !interrupted.is_empty() {
                    let calls = interrupted.len();
                    warn!(calls; "calls that were in flight when the service ended are FAILED");
                }
                for it in &interrupted {
                    journal::cut_off(&it.guid, it.kind, &it.request_id, INTERRUPTED);
                }
                self.store.settle_waits(now, now.saturating_add(self.settings.wait_max))?;
            }
            Some((then, monotonic_then)) => {
                let expected = then.saturating_add(monotonic.saturating_sub(monotonic_then));
                let jump = now.nanos().saturating_sub(expected.nanos());
                if JUMP_MIN <= Duration::from_nanos(jump.unsigned_abs()) {
                    warn!(from:% = expected, to:% = now; "the clock was set");
                    self.store.shift_waits(jump, now)?;
                }
            }
        }
        self.last_reading = Some((now, monotonic));
        Ok(())
    }

    /// Plans one batch of schedules anew whose fire times were computed while the clock was ahead: for the first instant
    /// after now. Should that have an execution already, claiming it moves the schedule on and records no other.
    /// Whether there may be more.
    fn plan_anew(&self, now: Timestamp) -> Result<bool, StoreError> {
        // Processes that share a database know its clock to some milliseconds only.
        let slack = if self.store.is_shared() { JUMP_MIN } else { Duration::ZERO };
        let ahead = self.store.schedules_planned_ahead(now.saturating_add(slack), CLAIM_BATCH)?;
        if ahead.is_empty() {
            return Ok(false);
        }
        let next = |schedule: &DueSchedule| {
            let expression = Expression::parse(&schedule.expression, self.settings.weekdays).ok()?;
            expression.next_after(now.seconds()).and_then(Timestamp::from_seconds)
        };
        let plans: Vec<Plan> =
            ahead.iter().map(|schedule| Plan::without_fire(schedule, next(schedule))).collect();
        info!(schedules = plans.len(); "the clock was set back, schedules are planned anew");
        self.store.claim(&plans, now)?;
        Ok(true)
    }

    /// Claims one batch of due schedules. Whether there may be more.
    fn claim_due(&self, now: Timestamp) -> Result<bool, StoreError> {
        let claimed =
            self.store.claim_due(now, CLAIM_BATCH, |schedule| self.plan_or_retire(schedule, now))?;
        if claimed.schedules == 0 {
            return Ok(false);
        }
        crash::point("claim.committed");
        for it in &claimed.executions {
            journal::created(&About {
                guid: &it.guid,
                kind: it.kind,
                executable: &it.executable,
                scheduled_time: Some(it.scheduled_time),
                start_time: None,
                request_id: "",
            });
        }
        debug!(schedules = claimed.schedules, executions = claimed.executions.len(); "due schedules were claimed");
        Ok(true)
    }

    /// What is to be claimed of a due schedule. Should that panic, the schedule fires no more, and holds up no other.
    fn plan_or_retire(&self, schedule: &DueSchedule, now: Timestamp) -> Plan {
        catch_unwind(AssertUnwindSafe(|| {
            crash::point("schedule.planning");
            self.plan(schedule, now)
        }))
        .unwrap_or_else(|_| {
            error!(schedule:% = schedule.guid; "planning a schedule panicked, it fires no more");
            Plan::without_fire(schedule, None)
        })
    }

    /// What is to be claimed of a due schedule: the next fire time, or what the policy makes of the missed ones.
    fn plan(&self, schedule: &DueSchedule, now: Timestamp) -> Plan {
        let Ok(expression) = Expression::parse(&schedule.expression, self.settings.weekdays) else {
            // It was valid when it was stored; CRON_WEEKDAYS may have been changed since.
            warn!(
                schedule:% = schedule.guid;
                "schedule no longer fires, its expression is not valid any more"
            );
            return Plan::without_fire(schedule, None);
        };
        let next_after =
            |time: Timestamp| expression.next_after(time.seconds()).and_then(Timestamp::from_seconds);
        let once = |time: Timestamp, note: String| Plan {
            fires: vec![Fire { scheduled_time: time, note }],
            ..Plan::without_fire(schedule, next_after(time))
        };
        let cutoff = now.saturating_sub(self.settings.misfire_grace);
        let first = schedule.fire_time;
        if cutoff <= first {
            return once(first, String::new());
        }
        match self.settings.misfire_policy {
            MisfirePolicy::Skip => {
                let (latest, _) = latest_missed(&expression, first, cutoff);
                info!(schedule:% = schedule.guid, latest:%; "missed fire times are skipped");
                Plan::without_fire(schedule, next_after(latest))
            }
            MisfirePolicy::Once => {
                let (latest, missed) = latest_missed(&expression, first, cutoff);
                info!(schedule:% = schedule.guid, latest:%, missed; "missed fire times run once");
                once(latest, missed_note(missed))
            }
            MisfirePolicy::All => {
                let mut plan = Plan::without_fire(schedule, Some(first));
                while let Some(time) = plan.next_fire_time.filter(|time| *time < cutoff)
                    && plan.fires.len() < CATCH_UP_MAX
                {
                    plan.fires.push(Fire { scheduled_time: time, note: String::new() });
                    plan.next_fire_time = next_after(time);
                }
                if let Some(time) = plan.next_fire_time.filter(|time| *time < cutoff) {
                    let (latest, dropped) = latest_missed(&expression, time, cutoff);
                    warn!(
                        schedule:% = schedule.guid, dropped = dropped + 1, latest:%;
                        "more fire times were missed than are made up for"
                    );
                    if let Some(last) = plan.fires.last_mut() {
                        last.note = missed_note(dropped + 1);
                    }
                    plan.next_fire_time = next_after(latest);
                }
                plan
            }
        }
    }
}

/// The latest fire time before `cutoff`, from the missed one `first` on, and how many were missed before it
/// (at most [`MISSED_COUNT_MAX`]).
fn latest_missed(expression: &Expression, first: Timestamp, cutoff: Timestamp) -> (Timestamp, u64) {
    let cutoff = if cutoff.nanos() % 1_000_000_000 == 0 { cutoff.seconds() } else { cutoff.seconds() + 1 };
    let mut latest = first.seconds();
    if let Some(interval) = expression.interval().and_then(|interval| i64::try_from(interval).ok()) {
        let steps = (cutoff - 1 - latest).max(0) / interval.max(1);
        let time = Timestamp::from_seconds(latest + steps * interval).unwrap_or(first);
        return (time, u64::try_from(steps).unwrap_or(0).min(MISSED_COUNT_MAX));
    }
    let mut missed = 0;
    while let Some(next) = expression.next_after(latest).filter(|next| *next < cutoff) {
        latest = next;
        missed += 1;
        if missed == MISSED_COUNT_MAX {
            latest = latest_before(expression, cutoff).unwrap_or(latest).max(latest);
            break;
        }
    }
    (Timestamp::from_seconds(latest).unwrap_or(first), missed)
}

/// The last fire time before `cutoff`, found by looking back ever further.
fn latest_before(expression: &Expression, cutoff: i64) -> Option<i64> {
    let mut window = 60;
    let mut latest = loop {
        if let Some(time) = expression.next_after(cutoff - window).filter(|time| *time < cutoff) {
            break time;
        }
        window *= 2;
        if window > cutoff {
            return None;
        }
    };
    while let Some(next) = expression.next_after(latest).filter(|next| *next < cutoff) {
        latest = next;
    }
    Some(latest)
}

fn missed_note(missed: u64) -> String {
    match missed {
        0 => String::new(),
        1 => "stands for 1 more missed fire time".to_owned(),
        MISSED_COUNT_MAX.. => format!("stands for {MISSED_COUNT_MAX}+ more missed fire times"),
        _ => format!("stands for {missed} more missed fire times"),
    }
}
