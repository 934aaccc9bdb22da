//! Schedules and their fire times.

use std::time::Duration;

use super::audit::{self, NewEvent};
use super::executables::Written;
use super::executables::extent_of;
use super::portion::LATE;
use super::session::{Row, Session};
use super::statement::{Named, batched_sql, json_array, postgres_sql, sql, values};
use super::terms::count_schedules;
use super::{Engine, Extent, Part, Store, StoreError, Terms, Window, ends};
use crate::base::crash;
use crate::model::{Definition, Dialect, Guid, Id, Kind, MisfirePolicy, Reason, Schedule, Timestamp, Timing};

/// The most PENDING executions of one schedule. Further fire times are counted on the newest of them.
const PENDING_MAX: u32 = 1000;

/// A due schedule.
#[derive(Debug, Clone)]
pub struct DueSchedule {
    /// The position in the order of creation.
    pub id: Id,
    /// The guid, for the log.
    pub guid: Guid,
    /// Its job or call.
    pub executable: Id,
    /// Its timing.
    pub timing: Timing,
    /// The most seconds that its executions are delayed after the fire time, from 0 to 3600.
    pub jitter_seconds: u32,
    /// The misfire policy; `None`: the default setting.
    pub misfire_policy: Option<MisfirePolicy>,
    /// The fire time that is due.
    pub fire_time: Timestamp,
    /// Whether it runs a job or a call.
    pub kind: Kind,
    /// The guid of the job or call, for the log.
    pub executable_guid: Guid,
    /// What the clock showed when the fire time was computed.
    pub planned_at: Timestamp,
    /// When a client last changed it.
    pub changed_at: Timestamp,
    /// The latest fire time that was served, even if its execution was purged.
    pub last_fire_time: Option<Timestamp>,
    /// Whether its job, call or space is paused: then it does not fire, and missed fire times are dropped.
    pub is_paused: bool,
    /// When its job, call or space was last resumed. Fire times up to then are dropped.
    pub resumed_at: Option<Timestamp>,
}

/// A schedule that was completed at a time that is now in the future.
#[derive(Debug, Clone)]
pub struct CompletedAhead {
    id: Id,
    completed_at: Timestamp,
    /// Its timing.
    pub timing: Timing,
    /// The guid of its job or call.
    pub executable_guid: Guid,
    /// The latest fire time that was served.
    pub last_fire_time: Option<Timestamp>,
}

/// How to advance a schedule.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The schedule.
    pub schedule: Id,
    /// Its job or call.
    pub executable: Id,
    /// The fire time that was read; the plan applies only while it is unchanged.
    pub claimed: Timestamp,
    /// The next fire time; `None`: never again.
    pub next_fire_time: Option<Timestamp>,
    /// The latest fire time that this plan settles, by an execution or by dropping it; `None`: none.
    pub served: Option<Timestamp>,
    /// The fire times to record executions for, oldest first.
    pub fires: Vec<Fire>,
    /// Whether it runs a job or a call.
    pub kind: Kind,
    /// The guid of its job or call.
    pub executable_guid: Guid,
    /// Whether the job, call or space was paused when this was planned. The plan applies only while that is
    /// unchanged.
    pub is_paused: bool,
}

/// A fire time with an execution.
#[derive(Debug, Clone)]
pub struct Fire {
    /// The fire time.
    pub scheduled_time: Timestamp,
    /// The note to record with it.
    pub note: String,
    /// The number of missed fire times that it stands for.
    pub missed: u64,
    /// The seconds between its fire time and its dispatch time, from 0 to 3600.
    pub jitter_seconds: u32,
    /// Set if the execution is recorded as skipped, with the reason.
    pub skipped: Option<Skip>,
}

/// Why a fire time is recorded as skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// It was missed, and the misfire policy is `skip`.
    Missed,
    /// The job, call or space was paused.
    Paused,
}

impl Skip {
    fn reason(self) -> Reason {
        match self {
            Self::Missed => Reason::Missed,
            Self::Paused => Reason::Paused,
        }
    }

    /// The message to show.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Missed => "skipped: it was missed, and the misfire policy is skip",
            Self::Paused => "skipped: it was paused at that time",
        }
    }
}

impl Fire {
    /// A fire time that is recorded as skipped.
    pub fn skipped(scheduled_time: Timestamp, skip: Skip) -> Self {
        let (note, missed, jitter_seconds) = (String::new(), 0, 0);
        Self { scheduled_time, note, missed, jitter_seconds, skipped: Some(skip) }
    }

    /// When its execution is due: the fire time plus its jitter.
    pub fn due_time(&self) -> Timestamp {
        self.scheduled_time.saturating_add(Duration::from_secs(self.jitter_seconds.into()))
    }
}

impl Plan {
    /// Advances a schedule without an execution.
    pub fn without_fire(schedule: &DueSchedule, next_fire_time: Option<Timestamp>) -> Self {
        Self {
            schedule: schedule.id,
            executable: schedule.executable,
            claimed: schedule.fire_time,
            next_fire_time,
            served: None,
            fires: Vec::new(),
            kind: schedule.kind,
            executable_guid: schedule.executable_guid.clone(),
            is_paused: schedule.is_paused,
        }
    }
}

/// The result of claiming due schedules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPass {
    /// The number of due schedules.
    pub schedules: usize,
    /// The executions that were recorded.
    pub executions: Vec<Recorded>,
}

/// An execution that was recorded for a fire time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its guid.
    pub guid: Guid,
    /// Whether it runs a job or a call.
    pub kind: Kind,
    /// The job or call.
    pub executable: Guid,
    /// The fire time.
    pub scheduled_time: Timestamp,
    /// Set if it was recorded as skipped.
    pub skipped: Option<Skip>,
}

impl Store {
    /// Creates a schedule. `Gone`: the job or call was deleted meanwhile. `NameTaken`: another of its
    /// schedules has the key. `next_fire_time` is ignored if the schedule is disabled.
    pub fn create_schedule(
        &self,
        executable: Id,
        definition: Definition,
        next_fire_time: Option<Timestamp>,
        now: Timestamp,
        terms: &Terms<'_>,
    ) -> Result<Written<Schedule>, StoreError> {
        let guid = Guid::random();
        let next_fire_time = next_fire_time.filter(|_| definition.enabled);
        let completed_at = completion(&definition, next_fire_time, now);
        let Definition { enabled, timing, jitter_seconds, misfire_policy, description, key } = &definition;
        let values = values! {
            "guid": &guid, "executable_id": executable, "enabled": *enabled, "expression": &timing.expression,
            "dialect": timing.dialect.recorded(), "timezone": timing.timezone.as_deref(),
            "starts_at": timing.starts_at, "ends_at": timing.ends_at, "jitter_seconds": *jitter_seconds,
            "misfire_policy": misfire_policy.map(MisfirePolicy::as_str),
            "description": description.as_deref(),
            "key": key.as_deref(),
            "completed_at": completed_at, "next_fire_time": next_fire_time, "now": now,
        };
        let event = audit::Columns::of(terms.event, Some(&guid));
        let values = [&values[..], &event.values()].concat();
        let insert = |tx: &Session<'_>| -> Result<Option<Id>, StoreError> {
            let id = tx.first(sql!("schedules/insert"), &values, |row| row.get("id"))?;
            if id.is_some() {
                audit::record_apart(tx, terms.event, Some(&guid), now)?;
            }
            Ok(id)
        };
        let id = match terms.quota {
            None => self.write_one(insert)?,
            Some(_) => {
                let id = self.write(|tx| {
                    let space = |row: &Row<'_>| row.get::<Guid>("space_guid");
                    let values = values! { "id": executable };
                    let Some(space) = tx.first(sql!("executables/space"), values, space)? else {
                        return Ok(Some(None));
                    };
                    match terms.has_room(tx, &space, |tx| count_schedules(tx, &space))? {
                        true => insert(tx).map(Some),
                        false => Ok(None),
                    }
                })?;
                let Some(id) = id else { return Ok(Written::OverQuota) };
                id
            }
        };
        let Some(id) = id else {
            let is_taken = match key {
                Some(key) => self.schedule_of_key(executable, key)?.is_some(),
                None => false,
            };
            return Ok(if is_taken { Written::NameTaken } else { Written::Gone });
        };
        Ok(Written::Done(Schedule {
            id,
            guid,
            executable,
            definition,
            created_at: now,
            updated_at: now,
            next_fire_time,
            completed_at,
        }))
    }

    /// The schedule of the job or call with this guid.
    pub fn schedule(&self, executable: Id, guid: &str) -> Result<Option<Schedule>, StoreError> {
        let values = values! { "guid": guid, "executable_id": executable };
        self.read(|session| session.first(sql!("schedules/get"), values, schedule_of))
    }

    /// The schedule of the job or call with this key.
    pub fn schedule_of_key(&self, executable: Id, key: &str) -> Result<Option<Schedule>, StoreError> {
        let values = values! { "key": key, "executable_id": executable };
        self.read(|session| session.first(sql!("schedules/by_key"), values, schedule_of))
    }

    /// The number of schedules of the job or call.
    pub fn count_schedules(&self, executable: Id) -> Result<Extent, StoreError> {
        let values = values! { "executable_id": executable };
        self.read(|session| session.one(sql!("schedules/count"), values, extent_of))
    }

    /// A part of the schedules of the job or call, oldest first.
    pub fn list_schedules(&self, executable: Id, window: Window) -> Result<Part<Schedule>, StoreError> {
        let limit = self.part_limit(window.limit);
        let values = values! {
            "executable_id": executable, "after_id": window.beyond, "last_id": window.last,
            "limit": limit, "offset": window.offset,
        };
        self.read(|session| session.part(sql!("schedules/list"), values, limit, schedule_of, measure))
    }

    /// The first schedules of several jobs or calls, in order of their ids, each one's oldest first.
    pub fn schedules_of(&self, executables: &[Id], limit: u32) -> Result<Part<Schedule>, StoreError> {
        let ids = json_array(executables.iter())?;
        let limit = self.part_limit(limit);
        let values = values! { "executable_ids": &ids, "limit": limit };
        self.read(|session| session.part(sql!("schedules/list_of_many"), values, limit, schedule_of, measure))
    }

    /// Writes a client's changes to a schedule: `changed` is what was read, with new values; its times are
    /// ignored. Disabling it makes its PENDING executions FAILED. Returns the updated schedule, and the
    /// number of executions that ended. `Gone`: it was changed meanwhile, or it or its job or call was
    /// deleted. `NameTaken`: another schedule of the job or call has the key. `next_fire_time` is ignored if
    /// the schedule is disabled.
    pub fn update_schedule(
        &self,
        changed: Schedule,
        next_fire_time: Option<Timestamp>,
        now: Timestamp,
        event: Option<&NewEvent>,
    ) -> Result<Written<(Schedule, u64)>, StoreError> {
        let updated_at = now.next_version(changed.updated_at);
        let Definition { enabled, timing, jitter_seconds, misfire_policy, description, key } =
            &changed.definition;
        let next_fire_time = next_fire_time.filter(|_| *enabled);
        let completed_at =
            completion(&changed.definition, next_fire_time, changed.completed_at.unwrap_or(now));
        let values = values! {
            "id": changed.id, "enabled": *enabled, "expression": &timing.expression,
            "dialect": timing.dialect.recorded(), "timezone": timing.timezone.as_deref(),
            "starts_at": timing.starts_at, "ends_at": timing.ends_at, "jitter_seconds": *jitter_seconds,
            "misfire_policy": misfire_policy.map(MisfirePolicy::as_str),
            "description": description.as_deref(),
            "key": key.as_deref(),
            "completed_at": completed_at,
            "next_fire_time": next_fire_time, "now": now,
            "updated_at": updated_at, "seen_updated_at": changed.updated_at,
        };
        let ended = self.write(|tx| {
            if !enabled {
                tx.lock(postgres_sql!("executables/lock"), values! { "id": changed.executable })?;
            }
            let rows = tx.execute(sql!("schedules/update"), values)?;
            if rows == 1 {
                audit::record(tx, event, None, now)?;
            }
            if rows == 1 && !enabled {
                let message = "cancelled: schedule disabled";
                return ends::cancel_pending_of_schedule(tx, &changed, message, now).map(Some);
            }
            Ok((rows == 1).then_some(0))
        });
        match ended {
            Ok(None) => Ok(Written::Gone),
            Ok(Some(ended)) => {
                Ok(Written::Done((Schedule { updated_at, next_fire_time, completed_at, ..changed }, ended)))
            }
            Err(StoreError::Conflict) => Ok(Written::NameTaken),
            Err(err) => Err(err),
        }
    }

    /// Deletes a schedule. Its executions stay in the history; PENDING ones become FAILED. Returns their
    /// number. `None`: it was changed since it was read, or deleted.
    pub fn delete_schedule(
        &self,
        schedule: &Schedule,
        now: Timestamp,
        event: Option<&NewEvent>,
    ) -> Result<Option<u64>, StoreError> {
        self.write(|tx| {
            tx.lock(postgres_sql!("executables/lock"), values! { "id": schedule.executable })?;
            let values = values! {
                "id": schedule.id, "seen_updated_at": schedule.updated_at, "now": now,
            };
            let rows = tx.execute(sql!("schedules/mark_deleted"), values)?;
            if rows == 1 {
                audit::record(tx, event, None, now)?;
                let message = "cancelled: schedule deleted";
                return ends::cancel_pending_of_schedule(tx, schedule, message, now).map(Some);
            }
            Ok(None)
        })
    }

    /// Finds schedules that are due at `now`, earliest first, at most `limit`, and claims them according to
    /// `plan`. Skips schedules that another process is claiming.
    ///
    /// `is_backlog`: many are due. Then each instance claims those of its portion as long as they fill a
    /// batch.
    pub fn claim_due(
        &self,
        now: Timestamp,
        limit: u32,
        is_backlog: bool,
        plan: impl Fn(&DueSchedule) -> Plan,
    ) -> Result<ClaimPass, StoreError> {
        // If everything is read, those of the portion are among it, although this transaction has locked them
        // already.
        let due = |session: &Session<'_>| {
            self.portion().read_first(is_backlog.then_some(limit), |portion| {
                let values = values! {
                    "now": now, "limit": limit, "portion": portion.number, "portions": portion.of,
                    "late": now.saturating_sub(LATE),
                };
                session.rows(sql!("schedules/due"), values, due_schedule_of)
            })
        };
        let plans = |due: Vec<DueSchedule>| -> Vec<Plan> { due.iter().map(&plan).collect() };
        match self.engine {
            // Planning does not hold the single writer; the guard catches changes in between.
            Engine::Sqlite(_) => {
                let plans = plans(self.read_at_once(due)?.0);
                if plans.is_empty() {
                    return Ok(ClaimPass { schedules: 0, executions: Vec::new() });
                }
                Ok(ClaimPass { schedules: plans.len(), executions: self.claim(&plans, now)? })
            }
            // In one transaction; other processes skip the locked rows.
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => self.write(|tx| {
                let mut plans = plans(due(tx)?.0);
                // All claims lock the counters in this order, so that none deadlock.
                plans.sort_by_key(|plan| plan.executable);
                Ok(ClaimPass { schedules: plans.len(), executions: apply(tx, &plans, now)? })
            }),
        }
    }

    /// Schedules that were planned after `now` because the clock was set back since, at most `limit`. `now`
    /// is `wall_clock` or a little later.
    pub fn schedules_planned_ahead(
        &self,
        now: Timestamp,
        wall_clock: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueSchedule>, StoreError> {
        let values = values! { "now": now, "limit": limit, "wall_clock": wall_clock };
        self.read_at_once(|session| session.rows(sql!("schedules/planned_ahead"), values, due_schedule_of))
    }

    /// Enabled schedules that were completed after `now` because the clock was set back since, at most
    /// `limit`.
    pub fn schedules_completed_ahead(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<CompletedAhead>, StoreError> {
        let values = values! { "now": now, "limit": limit };
        let read = |row: &Row<'_>| {
            Ok(CompletedAhead {
                id: row.get("id")?,
                completed_at: row.get("completed_at")?,
                timing: timing_of(row)?,
                executable_guid: row.get("executable_guid")?,
                last_fire_time: row.get("last_fire_time")?,
            })
        };
        self.read_at_once(|session| session.rows(sql!("schedules/completed_ahead"), values, read))
    }

    /// Gives completed schedules their next fire times; `None`: it stays completed, from `now` on. Skips
    /// those that were changed since they were read.
    pub fn plan_completed(
        &self,
        plans: &[(CompletedAhead, Option<Timestamp>)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let values: Vec<Vec<Named<'_>>> = plans
            .iter()
            .map(|(schedule, next_fire_time)| {
                values! {
                    "id": schedule.id, "completed_at": schedule.completed_at,
                    "next_fire_time": *next_fire_time, "now": now,
                }
                .to_vec()
            })
            .collect();
        self.write(|tx| tx.execute_each(sql!("schedules/plan_completed"), &values))?;
        Ok(())
    }

    /// The earliest fire time that is not claimed yet, due or not.
    pub fn next_fire_time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read_at_once(|session| {
            session.one(sql!("schedules/next_fire_time"), values! {}, |row| row.get("next_fire_time"))
        })
    }

    /// Claims fire times in one transaction: each plan advances its schedule and records its executions, both
    /// or neither. Returns the recorded executions. Plans whose fire time was claimed already, or whose
    /// schedule was changed, are skipped.
    pub fn claim(&self, plans: &[Plan], now: Timestamp) -> Result<Vec<Recorded>, StoreError> {
        self.write(|tx| apply(tx, plans, now))
    }
}

fn apply(tx: &Session<'_>, plans: &[Plan], now: Timestamp) -> Result<Vec<Recorded>, StoreError> {
    let advances: Vec<Vec<Named<'_>>> = plans
        .iter()
        .map(|plan| {
            values! {
                "id": plan.schedule, "claimed": plan.claimed, "next_fire_time": plan.next_fire_time,
                "now": now,
                "served": plan.served, "paused": plan.is_paused,
            }
            .to_vec()
        })
        .collect();
    let moved = tx.execute_each(batched_sql!("schedules/advance"), &advances)?;
    crash::point("claim.advanced");
    let fires: Vec<(&Plan, &Fire, Guid)> = plans
        .iter()
        .zip(moved)
        .filter(|(_, rows)| *rows == 1)
        .flat_map(|(plan, _)| plan.fires.iter().map(move |fire| (plan, fire, Guid::random())))
        .collect();
    let skips: Vec<Vec<Named<'_>>> = fires
        .iter()
        .filter_map(|(plan, fire, guid)| fire.skipped.map(|skip| (plan, fire, guid, skip)))
        .map(|(plan, fire, guid, skip)| {
            values! {
                "guid": guid, "schedule_id": plan.schedule, "scheduled_time": fire.scheduled_time, "now": now,
                "reason": skip.reason().as_str(), "message": skip.message(),
            }
            .to_vec()
        })
        .collect();
    let skipped = tx.execute_each(sql!("executions/insert_skipped"), &skips)?;
    let of_skipped = fires.iter().filter(|(_, fire, _)| fire.skipped.is_some()).zip(skipped);
    let mut recorded: Vec<Recorded> =
        of_skipped.filter(|(_, rows)| *rows == 1).map(|(fire, _)| recorded_of(fire)).collect();
    let fires: Vec<_> = fires.iter().filter(|(_, fire, _)| fire.skipped.is_none()).collect();
    let inserts: Vec<Vec<Named<'_>>> = fires
        .iter()
        .map(|(plan, fire, guid)| {
            values! {
                "guid": guid, "schedule_id": plan.schedule, "scheduled_time": fire.scheduled_time,
                "note": &fire.note, "now": now, "pending_max": PENDING_MAX,
                "jitter_seconds": fire.jitter_seconds, "dispatch_time": fire.due_time(),
            }
            .to_vec()
        })
        .collect();
    let inserted = tx.execute_each(batched_sql!("executions/insert_fired"), &inserts)?;
    let beyond: Vec<Vec<Named<'_>>> = fires
        .iter()
        .zip(&inserted)
        .filter(|(_, rows)| **rows == 0)
        .map(|((plan, fire, _), _)| {
            values! {
                "executable_id": plan.executable, "schedule_id": plan.schedule,
                "scheduled_time": fire.scheduled_time, "more": 1 + fire.missed,
            }
            .to_vec()
        })
        .collect();
    tx.execute_each(sql!("executions/stand_for"), &beyond)?;
    let begun = fires.into_iter().zip(inserted).filter(|(_, rows)| *rows == 1);
    recorded.extend(begun.map(|(fire, _)| recorded_of(fire)));
    if !recorded.is_empty() {
        crash::point("claim.inserted");
    }
    Ok(recorded)
}

fn recorded_of((plan, fire, guid): &(&Plan, &Fire, Guid)) -> Recorded {
    Recorded {
        guid: guid.clone(),
        kind: plan.kind,
        executable: plan.executable_guid.clone(),
        scheduled_time: fire.scheduled_time,
        skipped: fire.skipped,
    }
}

fn due_schedule_of(row: &Row<'_>) -> Result<DueSchedule, StoreError> {
    Ok(DueSchedule {
        id: row.get("id")?,
        guid: row.get("guid")?,
        executable: row.get("executable_id")?,
        timing: timing_of(row)?,
        jitter_seconds: row.get("jitter_seconds")?,
        misfire_policy: row.get("misfire_policy")?,
        fire_time: row.get("next_fire_time")?,
        kind: row.get("kind")?,
        executable_guid: row.get("executable_guid")?,
        planned_at: row.get("planned_at")?,
        changed_at: row.get("updated_at")?,
        last_fire_time: row.get("last_fire_time")?,
        is_paused: row.get("is_paused")?,
        resumed_at: resumed_at_of(row)?,
    })
}

/// Schedules fire again at the instant at which a pause ends by itself.
fn resumed_at_of(row: &Row<'_>) -> Result<Option<Timestamp>, StoreError> {
    let ended: Option<Timestamp> = row.get("pause_ended_at")?;
    let (of_executable, of_space) = (row.get("resumed_at")?, row.get("space_resumed_at")?);
    Ok([of_executable, of_space, ended.map(|ended| ended.shifted(-1))].into_iter().flatten().max())
}

/// Since when a schedule with this `next_fire_time` is known never to fire again: from now on, if it is
/// enabled and has none.
pub(super) fn completion(
    definition: &Definition,
    next_fire_time: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    (definition.enabled && next_fire_time.is_none()).then_some(now)
}

pub(super) fn definition_of(row: &Row<'_>) -> Result<Definition, StoreError> {
    Ok(Definition {
        enabled: row.get("enabled")?,
        timing: timing_of(row)?,
        jitter_seconds: row.get("jitter_seconds")?,
        misfire_policy: row.get("misfire_policy")?,
        description: row.get("description")?,
        key: row.get("key")?,
    })
}

/// An older version of this program may have written the schedule since the start; then the default applies.
pub(super) fn timing_of(row: &Row<'_>) -> Result<Timing, StoreError> {
    Ok(Timing {
        expression: row.get("expression")?,
        dialect: row.get::<Option<Dialect>>("dialect")?.unwrap_or_default(),
        timezone: row.get("timezone")?,
        starts_at: row.get("starts_at")?,
        ends_at: row.get("ends_at")?,
    })
}

fn measure(schedule: &Schedule) -> (Id, usize) {
    let Definition { timing, description, .. } = &schedule.definition;
    (schedule.id, timing.expression.len() + description.as_ref().map_or(0, String::len))
}

fn schedule_of(row: &Row<'_>) -> Result<Schedule, StoreError> {
    Ok(Schedule {
        id: row.get("id")?,
        guid: row.get("guid")?,
        executable: row.get("executable_id")?,
        definition: definition_of(row)?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        next_fire_time: row.get("next_fire_time")?,
        completed_at: row.get("completed_at")?,
    })
}
