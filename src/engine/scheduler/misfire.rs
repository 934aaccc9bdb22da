//! Plans a due schedule: serves its fire time, or applies the misfire policy to the missed ones. Pure.

use log::{info, warn};

use super::SchedulerSettings;
use crate::base::clock::EARLIEST;
use crate::fire_times::{Calendar, jitter};
use crate::model::{MisfirePolicy, Timestamp};
use crate::store::{DueSchedule, Fire, Plan, Skip};

/// Missed fire times are counted up to this number; more are shown as "1000+".
const MISSED_COUNT_MAX: u64 = 1000;
/// The most missed fire times of a schedule that the policy `all` catches up on.
const CATCH_UP_MAX: usize = 100;

/// What to claim for a due schedule: its fire time, or what the misfire policy makes of the missed ones.
pub(super) fn plan(settings: &SchedulerSettings, schedule: &DueSchedule, now: Timestamp) -> Plan {
    let Ok(calendar) = Calendar::of(&schedule.timing, &schedule.executable_guid) else {
        // It was valid when it was stored, but its time zone may be missing from this version's zone data.
        warn!(
            schedule:% = schedule.guid;
            "schedule no longer fires, its expression is no longer valid"
        );
        return Plan::without_fire(schedule, None);
    };
    let is_once = calendar.expression().once().is_some();
    let skipped = |skip: Skip| Plan {
        fires: vec![Fire::skipped(schedule.fire_time, skip)],
        served: Some(schedule.fire_time),
        ..Plan::without_fire(schedule, None)
    };
    if schedule.is_paused {
        if is_once {
            return skipped(Skip::Paused);
        }
        let later = calendar.continued_after(schedule.fire_time, now);
        return Plan { served: Some(now), ..Plan::without_fire(schedule, later) };
    }
    let was_paused =
        |resumed_at| schedule.changed_at < schedule.fire_time && schedule.fire_time <= resumed_at;
    if is_once && schedule.resumed_at.is_some_and(was_paused) {
        return skipped(Skip::Paused);
    }
    let fire = |scheduled_time: Timestamp, missed: u64| Fire {
        scheduled_time,
        note: missed_note(missed),
        missed,
        jitter_seconds: jitter(&schedule.guid, scheduled_time, schedule.jitter_seconds),
        skipped: None,
    };
    let once = |time: Timestamp, missed: u64| Plan {
        fires: vec![fire(time, missed)],
        served: Some(time),
        ..Plan::without_fire(schedule, calendar.next_after(time))
    };
    let cutoff = now.saturating_sub(settings.misfire_grace);
    let first = match first_to_serve(&calendar, schedule, now, cutoff) {
        Some(first) if first <= now => first,
        // All fire times up to now count as served, whatever the clock shows later.
        later => return Plan { served: Some(now), ..Plan::without_fire(schedule, later) },
    };
    // The grace starts when the fire time is due.
    if cutoff <= fire(first, 0).due_time() {
        return once(first, 0);
    }
    match schedule.misfire_policy.unwrap_or(settings.misfire_policy) {
        // It was created just after its time: late, but not missed.
        MisfirePolicy::Skip if is_once && first <= schedule.changed_at => once(first, 0),
        MisfirePolicy::Skip if is_once => {
            info!(schedule:% = schedule.guid; "one-time schedule was missed, skipping it");
            skipped(Skip::Missed)
        }
        MisfirePolicy::Skip => {
            let (latest, _) = latest_missed(&calendar, first, cutoff);
            info!(schedule:% = schedule.guid, latest:%; "skipping missed fire times");
            Plan { served: Some(latest), ..Plan::without_fire(schedule, calendar.next_after(latest)) }
        }
        MisfirePolicy::Once => {
            let (latest, missed) = latest_missed(&calendar, first, cutoff);
            info!(schedule:% = schedule.guid, latest:%, missed; "running missed fire times once");
            once(latest, missed)
        }
        MisfirePolicy::All => {
            let mut plan = Plan::without_fire(schedule, Some(first));
            while let Some(time) = plan.next_fire_time.filter(|time| *time < cutoff)
                && plan.fires.len() < CATCH_UP_MAX
            {
                plan.served = Some(time);
                plan.fires.push(fire(time, 0));
                plan.next_fire_time = calendar.next_after(time);
            }
            if let Some(time) = plan.next_fire_time.filter(|time| *time < cutoff) {
                let (latest, dropped) = latest_missed(&calendar, time, cutoff);
                warn!(
                    schedule:% = schedule.guid, dropped = dropped + 1, latest:%;
                    "too many missed fire times to catch up on"
                );
                if let Some(last) = plan.fires.last_mut() {
                    last.note = missed_note(dropped + 1);
                    last.missed = dropped + 1;
                }
                plan.served = Some(latest);
                plan.next_fire_time = calendar.next_after(latest);
            }
            plan
        }
    }
}

/// The first fire time of a due schedule that is to be served: after the last one served, and after the
/// schedule's last change. Fire times from before the clock was set (see [`EARLIEST`]) are dropped, and so
/// are missed ones that were planned before then.
fn first_to_serve(
    calendar: &Calendar,
    schedule: &DueSchedule,
    now: Timestamp,
    cutoff: Timestamp,
) -> Option<Timestamp> {
    let is_missed = schedule.fire_time < cutoff;
    if schedule.fire_time < EARLIEST || (is_missed && schedule.planned_at < EARLIEST) {
        return calendar.next_after(now);
    }
    // A one-time schedule may be created just after its time.
    let changed_at = Some(schedule.changed_at).filter(|_| calendar.expression().once().is_none());
    // Served times in the future come from a clock that was ahead. They must not keep the schedule from
    // firing. The same holds for a last fire time after `planned_at`, while this fire time is not missed: it
    // too comes from a clock that was ahead.
    let until = schedule
        .last_fire_time
        .filter(|time| is_missed || *time <= schedule.planned_at)
        .into_iter()
        .chain(changed_at)
        .chain(schedule.resumed_at.filter(|_| changed_at.is_some()))
        .filter(|time| *time <= now)
        .max();
    match until {
        Some(until) if schedule.fire_time <= until => calendar.continued_after(schedule.fire_time, until),
        _ => Some(schedule.fire_time),
    }
}

/// The latest fire time before `cutoff`, starting at the missed one `first`, and the number of missed ones
/// before it (at most [`MISSED_COUNT_MAX`]).
fn latest_missed(calendar: &Calendar, first: Timestamp, cutoff: Timestamp) -> (Timestamp, u64) {
    let cutoff = if cutoff.nanos() % 1_000_000_000 == 0 { cutoff.seconds() } else { cutoff.seconds() + 1 };
    let interval = calendar.expression().interval().and_then(|interval| i64::try_from(interval).ok());
    if let Some(interval) = interval {
        let last = calendar.ends_at().map_or(cutoff - 1, |ends_at| ends_at.seconds().min(cutoff - 1));
        let steps = (last - first.seconds()).max(0) / interval.max(1);
        let time = Timestamp::from_seconds(first.seconds() + steps * interval).unwrap_or(first);
        return (time, u64::try_from(steps).unwrap_or(0).min(MISSED_COUNT_MAX));
    }
    let mut latest = first;
    let mut missed = 0;
    while let Some(next) = calendar.next_after(latest).filter(|next| next.seconds() < cutoff) {
        latest = next;
        missed += 1;
        if missed == MISSED_COUNT_MAX {
            latest = calendar.last_before(cutoff).unwrap_or(latest).max(latest);
            break;
        }
    }
    (latest, missed)
}

fn missed_note(missed: u64) -> String {
    match missed {
        0 => String::new(),
        1 => "stands for 1 more missed fire time".to_owned(),
        MISSED_COUNT_MAX.. => format!("stands for {MISSED_COUNT_MAX}+ more missed fire times"),
        _ => format!("stands for {missed} more missed fire times"),
    }
}
