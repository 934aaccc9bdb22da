//! Finds schedules whose fire time has come and hands their executions to the workers.
//!
//! Invariant: a fire time yields at most one execution, across threads, restarts and clock jumps. The claim in `store`
//! guarantees it; running the work is `worker`, following a task to its end is `watcher`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, after, select};
use log::{debug, info, warn};

use crate::clock::Clock;
use crate::config::MisfirePolicy;
use crate::cron::{Expression, Weekdays};
use crate::model::{Dispatch, Id, Timestamp};
use crate::stop::Stop;
use crate::store::{DueSchedule, Fire, Store, StoreError};

/// The longest sleep, so that a jump of the wall clock is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(5);
/// The wait after a pass that failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The most schedules that one transaction claims.
const CLAIM_BATCH: u32 = 200;
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
}

/// The due loop.
pub struct Scheduler {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    /// To the workers; bounded. What does not fit stays PENDING in the database.
    dispatch: Sender<Dispatch>,
    /// From the workers: an execution that they have let go of, whatever came of it.
    released: Receiver<Id>,
    /// Handed out and not released: at most the channel's bound and one for each worker.
    handed_out: HashSet<Id>,
}

impl Scheduler {
    /// A scheduler that sends to `dispatch`, whose receivers send each execution's id to `released` in the end.
    pub fn new(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        settings: Settings,
        dispatch: Sender<Dispatch>,
        released: Receiver<Id>,
    ) -> Self {
        Self { store, clock, settings, dispatch, released, handed_out: HashSet::new() }
    }

    /// Runs until `stop` closes, or every waker is gone. `wake`: there is something new to look at.
    pub fn run(&mut self, wake: &Receiver<()>, stop: &Stop) {
        loop {
            let sleep = self.pass().unwrap_or_else(|err| {
                warn!("scheduler pass failed, retrying retry_in={RETRY_DELAY:?} cause={err}");
                RETRY_DELAY
            });
            select! {
                recv(stop) -> _ => return,
                recv(wake) -> woken => if woken.is_err() { return },
                recv(self.released) -> id => match id {
                    Ok(id) => { self.handed_out.remove(&id); }
                    Err(_) => return,
                },
                recv(after(sleep.min(SLEEP_MAX))) -> _ => (),
            }
        }
    }

    /// One look: claims what is due, hands out what is pending, and says how long there is nothing to do.
    pub fn pass(&mut self) -> Result<Duration, StoreError> {
        while let Ok(id) = self.released.try_recv() {
            self.handed_out.remove(&id);
        }
        let now = self.clock.now();
        let more_to_claim = self.claim_due(now)?;
        self.dispatch_pending(now)?;
        if more_to_claim {
            return Ok(Duration::ZERO);
        }
        let next =
            [self.store.next_fire_time()?, self.store.next_dispatch_time(now)?].into_iter().flatten().min();
        let now = self.clock.now();
        // What does not fit in the channel waits for a release, which wakes the loop by itself.
        Ok(match next {
            Some(next) if next > now => next.since(now),
            Some(_) => Duration::ZERO,
            None => SLEEP_MAX,
        })
    }

    /// Claims one batch of due schedules. Whether there may be more.
    fn claim_due(&self, now: Timestamp) -> Result<bool, StoreError> {
        let due = self.store.due_schedules(now, CLAIM_BATCH)?;
        if due.is_empty() {
            return Ok(false);
        }
        let fires: Vec<Fire> = due.iter().flat_map(|schedule| self.plan(schedule, now)).collect();
        let recorded = self.store.claim(&fires, now)?;
        debug!("claimed due schedules={} executions={recorded}", due.len());
        Ok(true)
    }

    /// What is to be claimed of a due schedule: the next fire time, or what the policy makes of the missed ones.
    fn plan(&self, schedule: &DueSchedule, now: Timestamp) -> Vec<Fire> {
        let fire =
            |claimed: Timestamp, scheduled: Option<Timestamp>, next: Option<Timestamp>, note: String| Fire {
                schedule: schedule.id,
                executable: schedule.executable,
                claimed,
                scheduled_time: scheduled,
                note,
                next_fire_time: next,
            };
        let Ok(expression) = Expression::parse(&schedule.expression, self.settings.weekdays) else {
            // It was valid when it was stored; CRON_WEEKDAYS may have been changed since.
            warn!(
                "schedule no longer fires, its expression is not valid any more schedule={}",
                schedule.guid
            );
            return vec![fire(schedule.fire_time, None, None, String::new())];
        };
        let next_after =
            |time: Timestamp| expression.next_after(time.seconds()).and_then(Timestamp::from_seconds);
        let cutoff = now.saturating_sub(self.settings.misfire_grace);
        let first = schedule.fire_time;
        if cutoff <= first {
            return vec![fire(first, Some(first), next_after(first), String::new())];
        }
        match self.settings.misfire_policy {
            MisfirePolicy::Skip => {
                let (latest, _) = latest_missed(&expression, first, cutoff);
                info!("missed fire times are skipped schedule={} latest={latest}", schedule.guid);
                vec![fire(first, None, next_after(latest), String::new())]
            }
            MisfirePolicy::Once => {
                let (latest, missed) = latest_missed(&expression, first, cutoff);
                info!(
                    "missed fire times run once schedule={} latest={latest} missed={missed}",
                    schedule.guid
                );
                vec![fire(first, Some(latest), next_after(latest), missed_note(missed))]
            }
            MisfirePolicy::All => {
                let mut fires = Vec::new();
                let mut time = first;
                while fires.len() < CATCH_UP_MAX && time < cutoff {
                    let next = next_after(time);
                    fires.push(fire(time, Some(time), next, String::new()));
                    match next {
                        Some(next) => time = next,
                        None => return fires,
                    }
                }
                if time < cutoff {
                    let (latest, dropped) = latest_missed(&expression, time, cutoff);
                    warn!(
                        "more fire times were missed than are made up for schedule={} dropped={} latest={latest}",
                        schedule.guid,
                        dropped + 1
                    );
                    if let Some(last) = fires.last_mut() {
                        last.note = missed_note(dropped + 1);
                        last.next_fire_time = next_after(latest);
                    }
                }
                fires
            }
        }
    }

    /// Hands out what is pending as far as the channel takes it. What it does not take comes after a release.
    fn dispatch_pending(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let bound = self.dispatch.capacity().unwrap_or(0);
        let room = bound.saturating_sub(self.dispatch.len());
        // Refilled when half empty, so that not each execution costs a look into the database.
        if room * 2 < bound {
            return Ok(());
        }
        let limit = room + self.handed_out.len();
        let pending = self.store.pending_executions(now, u32::try_from(limit).unwrap_or(u32::MAX))?;
        for dispatch in pending {
            let id = dispatch.id;
            if self.handed_out.contains(&id) {
                continue;
            }
            match self.dispatch.try_send(dispatch) {
                Ok(()) => self.handed_out.insert(id),
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return Ok(()),
            };
        }
        Ok(())
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
