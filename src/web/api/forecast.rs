//! The number of fire times to come, by quarter hours and hours, with the schedules behind them.
//!
//! Counting is slow if there are many schedules, so a thread does it, at most once a minute, and only on
//! request. Invariant: an answer waits for that thread for at most [`PATIENCE`].

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::iter::successors;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use log::log;
use serde::Serialize;

use super::Api;
use super::error::ApiError;
use super::overview::{OwnerJson, unknown_parameter};
use super::page::to_json;
use super::query::Query;
use crate::base::clock::Clock;
use crate::base::on_demand::OnDemand;
use crate::fire_times::Calendar;
use crate::http::{Response, respond_with};
use crate::model::{Dialect, Guid, Timestamp};
use crate::store::{Listed, Store, StoreError, UpcomingSchedule};
use crate::web::auth::Caller;

const NOT_YET: ApiError = ApiError::NotYet("the fire times to come are being counted for the first time");
/// A count is repeated after this time.
const MAX_AGE: Duration = Duration::from_secs(60);
/// How long an answer waits for a count.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many schedules are read at a time.
const BATCH: u32 = 500;
const QUARTER: i64 = 900;
const HOUR: i64 = 3600;
/// A day in quarter hours.
const QUARTERS: usize = 96;
/// A week in hours.
const HOURS: usize = 168;
/// A schedule that fires more often than this within a day fires more often than every quarter of an hour.
const OFTEN: usize = QUARTERS;
/// The most schedules of a space that are named: the busiest, and those that fire all the time.
const NAMED_MAX: usize = 25;
/// The most patterns whose fire times are kept for other schedules during a count.
const PATTERNS_MAX: usize = 10_000;

/// The last count.
#[derive(Default)]
pub struct Forecast {
    last: Arc<Mutex<Option<Arc<Counted>>>>,
    counting: OnDemand,
}

/// The fire times to come, by space.
struct Counted {
    /// The monotonic time of the count.
    since: Duration,
    counted_at: Timestamp,
    spaces: HashMap<Guid, Counts>,
}

/// The fire times of some schedules.
#[derive(Clone, Default)]
struct Counts {
    /// From the start of the quarter hour in which they were counted.
    quarters: Vec<u32>,
    /// From the start of the hour in which they were counted.
    hours: Vec<u32>,
    /// The number of schedules that fire more often than every quarter of an hour. Their fire times are not
    /// counted.
    often: u32,
    /// Some of these.
    often_named: Vec<Named>,
    /// Those of the other schedules that fire most often within a day.
    busiest: Vec<Named>,
}

#[derive(Clone)]
struct Named {
    schedule: Guid,
    of: Listed,
    /// Fire times within a day.
    count: u32,
}

#[derive(Serialize)]
struct ForecastJson {
    counted_at: String,
    quarters_from: String,
    quarters: Vec<u32>,
    hours_from: String,
    hours: Vec<u32>,
    often: OftenJson,
    busiest: Vec<NamedJson>,
}

#[derive(Serialize)]
struct OftenJson {
    count: u32,
    resources: Vec<NamedJson>,
}

#[derive(Serialize)]
struct NamedJson {
    schedule_guid: String,
    #[serde(flatten)]
    of: OwnerJson,
    /// `None` for a schedule that fires all the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    fire_times: Option<u32>,
}

impl Api {
    /// When it will be busy, and which schedules cause it.
    pub(super) fn forecast(&self, caller: &Caller, query: &Query) -> Result<Response, ApiError> {
        const PARAMETERS: [&str; 1] = ["space_guid"];
        if let Some(name) = query.names().find(|name| !PARAMETERS.contains(name)) {
            return Err(unknown_parameter(name, &PARAMETERS).into());
        }
        let spaces = self.requested_spaces(caller, query)?;
        let counted = self.forecast.counted(&self.store, &self.clock).ok_or(NOT_YET)?;
        let mut counts = Counts::default();
        match spaces {
            Some(spaces) => {
                let spaces: HashSet<Guid> = spaces.into_iter().collect();
                spaces.iter().filter_map(|space| counted.spaces.get(space)).for_each(|it| counts.add(it));
            }
            None => counted.spaces.values().for_each(|it| counts.add(it)),
        }
        Ok(respond_with(200, "application/json", to_json(&counts.json(counted.counted_at))?))
    }
}

impl Forecast {
    /// A count that is at most a minute old, if it is available in time, otherwise the last one. `None`: the
    /// first count is still running.
    fn counted(&self, store: &Arc<Store>, clock: &Arc<dyn Clock>) -> Option<Arc<Counted>> {
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let now = clock.monotonic();
        let fresh = last().filter(|last| now.saturating_sub(last.since) < MAX_AGE);
        if fresh.is_some() {
            return fresh;
        }
        let (kept, store, clock) = (Arc::clone(&self.last), Arc::clone(store), Arc::clone(clock));
        self.counting.start("forecast", move || {
            let (since, counted_at) = (clock.monotonic(), clock.now());
            match count_all(&store, counted_at) {
                Ok(spaces) => {
                    let counted = Arc::new(Counted { since, counted_at, spaces });
                    *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(counted);
                }
                Err(error) => log!(error.noted(), cause:% = error; "the fire times to come are not counted"),
            }
        });
        self.counting.wait(PATIENCE);
        last()
    }
}

/// When a schedule fires: the quarter hours and hours to come, each with the number of fire times. Schedules
/// that fire more often than every quarter of an hour have no pattern.
#[derive(Default)]
struct Pattern {
    quarters: Vec<(usize, u32)>,
    hours: Vec<(usize, u32)>,
}

/// The expression, its dialect, and its time zone.
type PatternKey = (String, Dialect, Option<String>);

fn count_all(store: &Store, now: Timestamp) -> Result<HashMap<Guid, Counts>, StoreError> {
    let mut spaces: HashMap<Guid, Counts> = HashMap::new();
    // Many schedules have the same expression, such as `0 3 * * *`.
    let mut patterns: HashMap<PatternKey, Option<Arc<Pattern>>> = HashMap::new();
    let mut after = 0;
    loop {
        let (batch, last) = store.schedules_ahead(after, BATCH)?;
        for schedule in &batch {
            let pattern = match key_of(schedule, now) {
                Some(key) if patterns.contains_key(&key) => patterns[&key].clone(),
                key => {
                    let pattern = pattern_of(schedule, now);
                    if let Some(key) = key.filter(|_| patterns.len() < PATTERNS_MAX) {
                        patterns.insert(key, pattern.clone());
                    }
                    pattern
                }
            };
            spaces.entry(schedule.of.space.clone()).or_default().add_schedule(schedule, pattern.as_deref());
        }
        match last {
            Some(last) => after = last,
            None => return Ok(spaces),
        }
    }
}

/// The key that schedules with the same fire times share; `None`: this schedule's are its own.
fn key_of(schedule: &UpcomingSchedule, now: Timestamp) -> Option<PatternKey> {
    let timing = &schedule.timing;
    let is_bounded = timing.starts_at.is_some() || timing.ends_at.is_some();
    let is_paused = schedule.paused_until.is_some_and(|until| now < until);
    // A hashed field, written with an H, depends on the guid, and an interval on the last fire time.
    let is_own = is_bounded || is_paused || timing.expression.contains(['H', 'h', '@']);
    (!is_own).then(|| (timing.expression.clone(), timing.dialect, timing.timezone.clone()))
}

fn pattern_of(schedule: &UpcomingSchedule, now: Timestamp) -> Option<Arc<Pattern>> {
    let mut pattern = Pattern::default();
    let Ok(calendar) = Calendar::of(&schedule.timing, &schedule.of.guid) else {
        return Some(Arc::new(pattern));
    };
    let resumed = schedule.paused_until.filter(|until| schedule.next_fire_time < *until && now < *until);
    let first = match resumed {
        Some(until) => calendar.continued_after(schedule.next_fire_time, until.shifted(-1)),
        None => Some(schedule.next_fire_time),
    };
    let (quarter, hour) = (start_of(now, QUARTER), start_of(now, HOUR));
    let mut in_a_day = 0;
    for time in successors(first, |time| calendar.next_after(*time)) {
        let seconds = time.seconds();
        let at =
            |start: i64, length: i64| usize::try_from((seconds - start).max(0) / length).unwrap_or(HOURS);
        let (quarter, hour) = (at(quarter, QUARTER), at(hour, HOUR));
        if HOURS <= hour {
            break;
        }
        add_one(&mut pattern.hours, hour);
        if quarter < QUARTERS {
            add_one(&mut pattern.quarters, quarter);
            in_a_day += 1;
            if OFTEN < in_a_day {
                return None;
            }
        }
    }
    Some(Arc::new(pattern))
}

/// The start of the quarter of an hour, or hour, in UTC seconds since 1970.
fn start_of(now: Timestamp, length: i64) -> i64 {
    now.seconds().div_euclid(length) * length
}

fn add_one(counts: &mut Vec<(usize, u32)>, at: usize) {
    match counts.last_mut().filter(|(last, _)| *last == at) {
        Some((_, count)) => *count += 1,
        None => counts.push((at, 1)),
    }
}

impl Counts {
    fn add_schedule(&mut self, schedule: &UpcomingSchedule, pattern: Option<&Pattern>) {
        let named = |count| Named { schedule: schedule.guid.clone(), of: schedule.of.clone(), count };
        let Some(pattern) = pattern else {
            self.often += 1;
            if self.often_named.len() < NAMED_MAX {
                self.often_named.push(named(0));
            }
            return;
        };
        self.quarters.resize(QUARTERS, 0);
        self.hours.resize(HOURS, 0);
        pattern.quarters.iter().for_each(|(at, count)| self.quarters[*at] += count);
        pattern.hours.iter().for_each(|(at, count)| self.hours[*at] += count);
        let in_a_day = pattern.quarters.iter().map(|(_, count)| count).sum();
        let is_busy = self.busiest.len() < 2 * NAMED_MAX
            || self.busiest.get(NAMED_MAX - 1).is_some_and(|last| last.count < in_a_day);
        if 0 < in_a_day && is_busy {
            self.busiest.push(named(in_a_day));
            if 2 * NAMED_MAX <= self.busiest.len() {
                self.keep_busiest();
            }
        }
    }

    /// Adds the fire times of another space.
    fn add(&mut self, other: &Self) {
        for (own, others) in [(&mut self.quarters, &other.quarters), (&mut self.hours, &other.hours)] {
            own.resize(own.len().max(others.len()), 0);
            own.iter_mut().zip(others).for_each(|(own, other)| *own = own.saturating_add(*other));
        }
        self.often = self.often.saturating_add(other.often);
        let room = NAMED_MAX.saturating_sub(self.often_named.len());
        self.often_named.extend(other.often_named.iter().take(room).cloned());
        self.busiest.extend(other.busiest.iter().cloned());
        self.keep_busiest();
    }

    fn keep_busiest(&mut self) {
        self.busiest.sort_by_key(|named| Reverse(named.count));
        self.busiest.truncate(NAMED_MAX);
    }

    fn json(mut self, counted_at: Timestamp) -> ForecastJson {
        self.quarters.resize(QUARTERS, 0);
        self.hours.resize(HOURS, 0);
        let from = |length| {
            let start = Timestamp::from_seconds(start_of(counted_at, length));
            start.unwrap_or(counted_at).to_string()
        };
        let named = |all: &[Named]| all.iter().map(NamedJson::of).collect();
        ForecastJson {
            counted_at: counted_at.to_string(),
            quarters_from: from(QUARTER),
            hours_from: from(HOUR),
            often: OftenJson { count: self.often, resources: named(&self.often_named) },
            busiest: named(&self.busiest),
            quarters: self.quarters,
            hours: self.hours,
        }
    }
}

impl NamedJson {
    fn of(named: &Named) -> Self {
        Self {
            schedule_guid: named.schedule.to_string(),
            of: OwnerJson::of(&named.of),
            fire_times: Some(named.count).filter(|count| 0 < *count),
        }
    }
}
