//! Finds due schedules and dispatches their executions to the workers.
//!
//! Invariant: a fire time yields at most one execution, across threads, restarts and clock jumps. The claim
//! in `store` guarantees it. `worker` runs the executions, and `watcher` follows tasks to their end.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, at, select};
use log::{info, log, warn};

use crate::base::clock::{self, Clock, EARLIEST};
use crate::base::logging::milliseconds;
use crate::base::outage;
use crate::base::pulse::Pulse;
use crate::base::stop::Stop;
use crate::engine::journal;
use crate::fire_times::{Calendar, planner};
use crate::model::{Kind, MisfirePolicy, Release, Timestamp};
use crate::outbound::CallsInFlight;
use crate::store::{CompletedAhead, DueSchedule, Plan, Store, StoreError};

mod claimer;
mod lane;
mod misfire;

use claimer::Claimer;
use lane::{Filled, LOOK_INTERVAL};

pub use lane::Lane;

/// The longest sleep, so that a jump of the wall clock is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(5);
/// The wait after a failed pass.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The most schedules that one transaction plans again.
const REPLAN_BATCH: u32 = 50;
/// The wait for another process that is claiming due work.
const CONTENTION_DELAY: Duration = Duration::from_millis(20);
/// The clock has jumped if, from one pass to the next, the wall clock advanced by at least this much more or
/// less than the monotonic clock.
const JUMP_MIN: Duration = Duration::from_secs(1);
/// With a shared database, the renewal of the lease notices a jump of its clock: after at most this time.
const NOTICE_INTERVAL: Duration = Duration::from_secs(5);
/// The message of a call whose outcome cannot be known.
const INTERRUPTED: &str = "interrupted: the service ended while the call was in flight";

/// Time limits, and the policy for missed fire times.
#[derive(Debug, Clone, Copy)]
pub struct SchedulerSettings {
    /// The policy for schedules that set none.
    pub misfire_policy: MisfirePolicy,
    /// A fire time is missed if it is later than this.
    pub misfire_grace: Duration,
    /// After a start, or after the clock was set back, no attempt waits longer than this.
    pub wait_max: Duration,
}

/// [`Lane::fill`] or [`Lane::refill`].
type Fill = fn(&mut Lane, &Store, Timestamp, Duration) -> Result<Filled, StoreError>;

/// The scheduler loop.
pub struct Scheduler {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    settings: SchedulerSettings,
    lanes: Vec<Lane>,
    /// Receives each execution that a worker is done with, whatever the outcome.
    released: Receiver<Release>,
    /// The calls in flight in this process. The request to cancel one may have reached another process.
    calls: Arc<CallsInFlight>,
    /// Wall and monotonic clock at the last pass; `None` before the first.
    last_reading: Option<(Timestamp, Duration)>,
    /// When the last look began, in monotonic time.
    looked_at: Duration,
    claimer: Claimer,
    /// Closes when the service stops; `None` before [`Scheduler::run`].
    stop: Option<Stop>,
    /// After the clock was set back: the earliest time that it may have shown since. `None` once all
    /// schedules are replanned.
    set_back_to: Option<Timestamp>,
    /// Whether the log has said that the clock was never set.
    is_unset_clock_logged: bool,
    /// Records each pass, and each that succeeds.
    pulse: Arc<Pulse>,
}

impl Scheduler {
    /// Dispatches through `lanes`. Their workers report each execution on `released` when they are done with
    /// it.
    pub fn new(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        settings: SchedulerSettings,
        lanes: Vec<Lane>,
        released: Receiver<Release>,
        calls: Arc<CallsInFlight>,
    ) -> Self {
        let claimer = Claimer::new(Arc::clone(&store), Arc::clone(&clock), settings);
        Self {
            store,
            clock,
            settings,
            lanes,
            released,
            calls,
            last_reading: None,
            looked_at: Duration::ZERO,
            claimer,
            stop: None,
            set_back_to: None,
            is_unset_clock_logged: false,
            pulse: Arc::default(),
        }
    }

    /// Sets the pulse that `/healthz` and the heartbeat watch.
    pub fn with_pulse(self, pulse: Arc<Pulse>) -> Self {
        Self { pulse, ..self }
    }

    /// Runs until `stop` closes or every sender of `wake` is dropped. A message on `wake` means that there
    /// may be new work.
    pub fn run(&mut self, wake: &Receiver<()>, stop: &Stop) {
        self.stop = Some(stop.clone());
        self.run_until_stopped(wake, stop);
        self.claimer.wait();
    }

    fn run_until_stopped(&mut self, wake: &Receiver<()>, stop: &Stop) {
        let mut is_woken = true;
        loop {
            self.pulse.begin_turn(self.clock.monotonic());
            let rest = self.rest().filter(|_| !is_woken);
            let passed = rest.map_or_else(|| self.pass(), Ok).inspect(|_| {
                outage::DATABASE.worked();
                self.pulse.beat(self.clock.monotonic());
            });
            let sleep = passed.unwrap_or_else(|err| {
                log!(
                    err.noted(), retry_ms = milliseconds(RETRY_DELAY), cause:% = err;
                    "scheduler pass failed, retrying"
                );
                RETRY_DELAY
            });
            let mut look_again = clock::instant() + sleep.min(SLEEP_MAX);
            is_woken = true;
            loop {
                let time_is_up = at(look_again);
                select! {
                    recv(stop) -> _ => return,
                    recv(wake) -> woken => {
                        if woken.is_err() {
                            return;
                        }
                        break;
                    }
                    recv(self.claimer.claimed()) -> _ => break,
                    recv(self.released) -> release => {
                        let Ok(release) = release else { return };
                        // A free worker is no reason for a full pass; refilling the lanes suffices.
                        let Ok((filled, false)) = self.release_and_refill(release) else { break };
                        if filled.lost_race {
                            break;
                        }
                        if filled.has_skipped_shares {
                            look_again = look_again.min(clock::instant() + LOOK_INTERVAL);
                        }
                    }
                    recv(time_is_up) -> _ => {
                        is_woken = false;
                        break;
                    }
                }
            }
        }
    }

    /// How long the scheduler can sleep without a pass. `None`: a pass is needed. It is not needed if nothing
    /// is under way in this process, and the last renewal of the lease, made after the last look, found
    /// nothing to do.
    fn rest(&mut self) -> Option<Duration> {
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let outlook = self.store.outlook().filter(|outlook| self.looked_at < outlook.asked_at)?;
        if outlook.is_to_look || !self.is_clock_set(now) || !self.lanes.iter().all(Lane::is_empty) {
            return None;
        }
        let sleep = match outlook.next_due {
            Some(due) if due <= now => return None,
            Some(due) => due.since(now),
            None => SLEEP_MAX,
        };
        let jump = self.jump(now, monotonic)?;
        if JUMP_MIN <= Duration::from_nanos(jump.unsigned_abs()) {
            return None;
        }
        self.looked_at = outlook.asked_at;
        Some(sleep)
    }

    /// By how many nanoseconds the clock has jumped since the last pass. `None`: this is the first pass.
    fn jump(&self, now: Timestamp, monotonic: Duration) -> Option<i64> {
        let (then, monotonic_then) = self.last_reading?;
        let expected = then.saturating_add(monotonic.saturating_sub(monotonic_then));
        Some(now.nanos().saturating_sub(expected.nanos()))
    }

    /// One pass: claims due schedules, dispatches pending executions, and returns how long to sleep.
    pub fn pass(&mut self) -> Result<Duration, StoreError> {
        let now = self.clock.now();
        self.check_clock(now)?;
        let is_clock_set = self.is_clock_set(now);
        // Processes that share a database know its clock only to within some milliseconds.
        let slack = if self.store.is_shared() { JUMP_MIN } else { Duration::ZERO };
        let ahead = now.saturating_add(slack);
        self.looked_at = self.clock.monotonic();
        let look = self.store.look(now, ahead)?;
        let more_to_replan = is_clock_set && look.is_planned_ahead && self.replan(now, ahead)?;
        if !more_to_replan {
            self.set_back_to = None;
        }
        let more_to_do = more_to_replan
            | (is_clock_set && look.is_due && self.claimer.claim_due(now, self.stop.as_ref())?);
        let is_blocked = |kind: Kind| look.is_blocked[usize::from(kind == Kind::Call)];
        let is_waiting = |kind: Kind| look.is_waiting[usize::from(kind == Kind::Call)];
        for lane in self.lanes.iter().filter(|lane| is_blocked(lane.kind)) {
            self.store.unblock(lane.kind, now)?;
        }
        if look.is_call_cancelled {
            self.calls.abort(&self.store.cancelled_calls()?);
        }
        for lane in &mut self.lanes {
            lane.needs_fill = look.is_due || is_waiting(lane.kind) || is_blocked(lane.kind);
        }
        let (filled, comes_again) = self.fill_lanes(Lane::fill)?;
        // Work released since the pass began may be due earlier than anything that the pass saw.
        if more_to_do || comes_again {
            return Ok(Duration::ZERO);
        }
        if filled.lost_race {
            return Ok(CONTENTION_DELAY);
        }
        let (next_fire_time, next_dispatch_time) = match look.next {
            Some(next) => next,
            None => (self.store.next_fire_time()?, self.store.next_dispatch_time(now)?),
        };
        let next = [next_fire_time.filter(|_| is_clock_set), next_dispatch_time].into_iter().flatten().min();
        let then = now;
        let now = self.clock.now();
        // Work that does not fit into the channel waits for a release, which wakes the loop.
        let sleep = match next {
            Some(next) if now < next => next.since(now),
            // It is already due. The claimer wakes the loop when it has claimed it.
            Some(next) if next <= then && self.claimer.is_running() => LOOK_INTERVAL,
            // Another process is claiming it.
            Some(next) if next <= then => CONTENTION_DELAY,
            Some(_) => Duration::ZERO,
            None => SLEEP_MAX,
        };
        Ok(if filled.has_skipped_shares { sleep.min(LOOK_INTERVAL) } else { sleep })
    }

    /// Whether the clock can be trusted. A machine without a battery starts with a clock in the past, until
    /// it has synchronised.
    fn is_clock_set(&mut self, now: Timestamp) -> bool {
        let is_set = EARLIEST <= now;
        if is_set == self.is_unset_clock_logged {
            self.is_unset_clock_logged = !is_set;
            if is_set {
                info!(now:%; "the clock was set, schedules fire");
            } else {
                warn!(now:%; "the clock was never set, no schedule fires before it shows {EARLIEST}");
            }
        }
        is_set
    }

    /// Handles one release. Returns whether the execution may become due again before the next pass.
    fn release(&mut self, release: Release) -> bool {
        let (Release::Done(id) | Release::MayBeDue(id)) = release;
        for lane in &mut self.lanes {
            lane.needs_fill |= lane.release(id);
        }
        matches!(release, Release::MayBeDue(_))
    }

    /// Handles this release and those queued behind it, and dispatches executions to the free workers.
    fn release_and_refill(&mut self, release: Release) -> Result<(Filled, bool), StoreError> {
        let comes_again = self.release(release);
        let (filled, others_come_again) = self.fill_lanes(Lane::refill)?;
        Ok((filled, comes_again || others_come_again))
    }

    /// Handles the queued releases, and dispatches executions to the free workers. Also returns whether a
    /// released execution may become due again before the next pass.
    fn fill_lanes(&mut self, fill: Fill) -> Result<(Filled, bool), StoreError> {
        let mut comes_again = false;
        while let Ok(release) = self.released.try_recv() {
            comes_again |= self.release(release);
        }
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let mut all = Filled::default();
        for lane in &mut self.lanes {
            if !std::mem::take(&mut lane.needs_fill) {
                lane.dispatch_stock();
                continue;
            }
            let filled = fill(lane, &self.store, now, monotonic)?;
            all.lost_race |= filled.lost_race;
            all.has_skipped_shares |= filled.has_skipped_shares;
        }
        Ok((all, comes_again))
    }

    /// The first pass recovers what the previous process left behind. Later passes detect jumps of the clock,
    /// and shift the times of waits so that each keeps its remaining length.
    fn check_clock(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let monotonic = self.clock.monotonic();
        match self.jump(now, monotonic) {
            None => {
                let interrupted = self.store.interrupt_calls(INTERRUPTED, now)?;
                if !interrupted.is_empty() {
                    let calls = interrupted.len();
                    warn!(calls; "calls that were in flight when the service ended are FAILED");
                }
                for it in &interrupted {
                    journal::cut_off(it, INTERRUPTED);
                }
                let latest = now.saturating_add(self.settings.wait_max);
                self.store.settle_waits(now, latest)?;
                self.store.cut_waits(now, latest)?;
            }
            Some(jump) => {
                if JUMP_MIN <= Duration::from_nanos(jump.unsigned_abs()) {
                    warn!(from:% = now.shifted(-jump), to:% = now; "the clock was set");
                    self.store.shift_waits(jump, now)?;
                    if jump < 0 {
                        self.store.cut_waits(now, now.saturating_add(self.settings.wait_max))?;
                        self.set_back_to = Some(now.saturating_sub(self.unnoticed(monotonic)));
                    }
                }
            }
        }
        self.last_reading = Some((now, monotonic));
        Ok(())
    }

    /// The longest time for which a clock jump that is noticed at `monotonic` can have gone unnoticed.
    fn unnoticed(&self, monotonic: Duration) -> Duration {
        let since_last = self.last_reading.map_or(Duration::ZERO, |(_, then)| monotonic.saturating_sub(then));
        match self.store.is_shared() {
            true => since_last + NOTICE_INTERVAL,
            false => since_last,
        }
    }

    /// Replans a batch of schedules whose fire times were computed while the clock was ahead. The new fire
    /// time is the first one after the time to which the clock was set back. If that fire time already has an
    /// execution, the claim only advances the schedule. Returns whether there may be more to replan.
    fn replan(&self, now: Timestamp, ahead: Timestamp) -> Result<bool, StoreError> {
        let planned = self.store.schedules_planned_ahead(ahead, now, REPLAN_BATCH)?;
        let completed = self.store.schedules_completed_ahead(ahead, REPLAN_BATCH)?;
        if planned.is_empty() && completed.is_empty() {
            return Ok(false);
        }
        let schedules = planned.len() + completed.len();
        info!(schedules; "the clock was set back, schedules are planned again");
        let after = self.set_back_to.unwrap_or(now);
        let next = planner(after);
        let of_planned = |it: &DueSchedule| Plan::without_fire(it, next(&it.timing, &it.executable_guid));
        let plans: Vec<Plan> = planned.iter().map(of_planned).collect();
        self.store.claim(&plans, now)?;
        if !completed.is_empty() {
            let next = |it: &CompletedAhead| {
                let calendar = Calendar::of(&it.timing, &it.executable_guid).ok()?;
                // A one-off that has fired must not get another fire time.
                let is_done = calendar.expression().once().is_some() && it.last_fire_time.is_some();
                calendar.first_after(after).filter(|_| !is_done)
            };
            let plans: Vec<(CompletedAhead, Option<Timestamp>)> =
                completed.into_iter().map(|it| (it.clone(), next(&it))).collect();
            self.store.plan_completed(&plans, now)?;
        }
        Ok(true)
    }
}
