//! What becomes of a schedule that is due: its fire time, or what the policy makes of the missed ones. Pure.

use log::{info, warn};

use super::SchedulerSettings;
use crate::base::clock::EARLIEST;
use crate::config::MisfirePolicy;
use crate::cron::Expression;
use crate::fire_times;
use crate::model::Timestamp;
use crate::store::{DueSchedule, Fire, Plan};

/// The most missed fire times that are counted one by one; more are "1000+".
const MISSED_COUNT_MAX: u64 = 1000;
/// The most missed fire times of one schedule that the policy `all` makes up for.
const CATCH_UP_MAX: usize = 100;

/// What is to be claimed of a due schedule: the next fire time, or what the policy makes of the missed ones.
pub(super) fn plan(settings: &SchedulerSettings, schedule: &DueSchedule, now: Timestamp) -> Plan {
    let reading = fire_times::reading_of(schedule.dialect, &schedule.executable_guid);
    let Ok(expression) = Expression::parse(&schedule.expression, &reading) else {
        // It was valid when it was stored; the zone data of another version may lack its zone.
        warn!(
            schedule:% = schedule.guid;
            "schedule no longer fires, its expression is not valid any more"
        );
        return Plan::without_fire(schedule, None);
    };
    let next_after = |time: Timestamp| fire_times::next_after(&expression, time);
    let once = |time: Timestamp, missed: u64| Plan {
        fires: vec![Fire { scheduled_time: time, note: missed_note(missed), missed }],
        served: Some(time),
        ..Plan::without_fire(schedule, next_after(time))
    };
    let cutoff = now.saturating_sub(settings.misfire_grace);
    let first = match first_to_serve(&expression, schedule, now, cutoff) {
        Some(first) if first <= now => first,
        // Nothing up to now counts any more, whatever the clock shows later.
        later => return Plan { served: Some(now), ..Plan::without_fire(schedule, later) },
    };
    if cutoff <= first {
        return once(first, 0);
    }
    match settings.misfire_policy {
        MisfirePolicy::Skip => {
            let (latest, _) = latest_missed(&expression, first, cutoff);
            info!(schedule:% = schedule.guid, latest:%; "missed fire times are skipped");
            Plan { served: Some(latest), ..Plan::without_fire(schedule, next_after(latest)) }
        }
        MisfirePolicy::Once => {
            let (latest, missed) = latest_missed(&expression, first, cutoff);
            info!(schedule:% = schedule.guid, latest:%, missed; "missed fire times run once");
            once(latest, missed)
        }
        MisfirePolicy::All => {
            let mut plan = Plan::without_fire(schedule, Some(first));
            while let Some(time) = plan.next_fire_time.filter(|time| *time < cutoff)
                && plan.fires.len() < CATCH_UP_MAX
            {
                plan.served = Some(time);
                plan.fires.push(Fire { scheduled_time: time, note: String::new(), missed: 0 });
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
                    last.missed = dropped + 1;
                }
                plan.served = Some(latest);
                plan.next_fire_time = next_after(latest);
            }
            plan
        }
    }
}

/// The first fire time that counts of a schedule that is due: one after the last that was served and after its last change.
/// What the clock showed before it was set counts as nothing, and what was planned by it and missed does neither.
fn first_to_serve(
    expression: &Expression,
    schedule: &DueSchedule,
    now: Timestamp,
    cutoff: Timestamp,
) -> Option<Timestamp> {
    let is_missed = schedule.fire_time < cutoff;
    if schedule.fire_time < EARLIEST || (is_missed && schedule.planned_at < EARLIEST) {
        return fire_times::next_after(expression, now);
    }
    // One that lies ahead is from a clock that was ahead; it must not silence the schedule.
    let until =
        schedule.last_fire_time.into_iter().chain([schedule.changed_at]).filter(|time| *time <= now).max();
    match until {
        Some(until) if schedule.fire_time <= until => fire_times::next_after(expression, until),
        _ => Some(schedule.fire_time),
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
            latest = expression.last_before(cutoff).unwrap_or(latest).max(latest);
            break;
        }
    }
    (Timestamp::from_seconds(latest).unwrap_or(first), missed)
}

fn missed_note(missed: u64) -> String {
    match missed {
        0 => String::new(),
        1 => "stands for 1 more missed fire time".to_owned(),
        MISSED_COUNT_MAX.. => format!("stands for {MISSED_COUNT_MAX}+ more missed fire times"),
        _ => format!("stands for {missed} more missed fire times"),
    }
}
