//! Schedules and their fire times.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, Row, named_params};

use super::executables::extent_of;
use super::{Extent, Part, Store, StoreError, Window, executions, group_by, json_array, part_of, sql};
use crate::crash;
use crate::model::{Guid, Id, Schedule, Timestamp};

/// A schedule whose fire time has come.
#[derive(Debug, Clone)]
pub struct DueSchedule {
    /// Its place in the order of creation.
    pub id: Id,
    /// Its guid, for the log.
    pub guid: Guid,
    /// Its cron expression.
    pub expression: String,
    /// The fire time that has come.
    pub fire_time: Timestamp,
}

/// A fire time that is to be claimed.
#[derive(Debug, Clone)]
pub struct Fire {
    /// The schedule.
    pub schedule: Id,
    /// The schedule's next fire time as it was read: the claim counts only while that still stands.
    pub claimed: Timestamp,
    /// The instant for which an execution is recorded; `None`: none is.
    pub scheduled_time: Option<Timestamp>,
    /// What there is to say of it beforehand.
    pub note: String,
    /// The fire time after it; `None`: never again.
    pub next_fire_time: Option<Timestamp>,
}

impl Fire {
    /// Moves a schedule on without an execution.
    pub fn none(schedule: &DueSchedule, next_fire_time: Option<Timestamp>) -> Self {
        Self {
            schedule: schedule.id,
            claimed: schedule.fire_time,
            scheduled_time: None,
            note: String::new(),
            next_fire_time,
        }
    }
}

impl Store {
    /// Makes a schedule. `None`: the executable was deleted meanwhile.
    /// `next_fire_time` is ignored for one that is not enabled.
    pub fn create_schedule(
        &self,
        executable: Id,
        enabled: bool,
        expression: &str,
        next_fire_time: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Schedule>, StoreError> {
        let guid = Guid::random();
        let id = self.write(|tx| {
            let rows = tx.prepare_cached(sql!("schedules/insert"))?.execute(named_params! {
                ":guid": guid, ":executable_id": executable, ":enabled": enabled, ":expression": expression,
                ":next_fire_time": next_fire_time.filter(|_| enabled), ":now": now,
            })?;
            Ok((rows == 1).then(|| tx.last_insert_rowid()))
        })?;
        Ok(id.map(|id| Schedule {
            id,
            guid,
            executable,
            enabled,
            expression: expression.to_owned(),
            created_at: now,
            updated_at: now,
        }))
    }

    /// The executable's schedule of that guid.
    pub fn schedule(&self, executable: Id, guid: &str) -> Result<Option<Schedule>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(sql!("schedules/get"))?
                .query_row(named_params! { ":guid": guid, ":executable_id": executable }, schedule_of)
                .optional()
        })
    }

    /// How many schedules the executable has.
    pub fn count_schedules(&self, executable: Id) -> Result<Extent, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(sql!("schedules/count"))?
                .query_row(named_params! { ":executable_id": executable }, extent_of)
        })
    }

    /// A part of the executable's schedules, oldest first.
    pub fn list_schedules(&self, executable: Id, window: Window) -> Result<Part<Schedule>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql!("schedules/list"))?;
            let values = named_params! {
                ":executable_id": executable, ":after_id": window.beyond, ":last_id": window.last,
                ":limit": window.limit, ":offset": i64::try_from(window.offset).unwrap_or(i64::MAX),
            };
            let measure = |schedule: &Schedule| (schedule.id, schedule.expression.len());
            part_of(statement.query_map(values, schedule_of)?, window.limit, measure)
        })
    }

    /// All schedules of some executables, by executable, each oldest first.
    pub fn schedules_of(&self, executables: &[Id]) -> Result<HashMap<Id, Vec<Schedule>>, StoreError> {
        let schedules: Vec<Schedule> = self.read(|connection| {
            connection
                .prepare_cached(sql!("schedules/list_of_many"))?
                .query_map(named_params! { ":executable_ids": json_array(executables.iter())? }, schedule_of)?
                .collect()
        })?;
        Ok(group_by(schedules, |schedule| schedule.executable))
    }

    /// Writes what a client changed of a schedule. What is PENDING for one that is disabled ends as FAILED.
    /// `false`: it was deleted meanwhile. `next_fire_time` is ignored for one that is not enabled.
    pub fn update_schedule(
        &self,
        changed: &Schedule,
        next_fire_time: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(|tx| {
            let rows = tx.prepare_cached(sql!("schedules/update"))?.execute(named_params! {
                ":id": changed.id, ":enabled": changed.enabled, ":expression": changed.expression,
                ":next_fire_time": next_fire_time.filter(|_| changed.enabled), ":now": now,
            })?;
            if rows == 1 && !changed.enabled {
                executions::cancel_pending_of_schedule(tx, changed, "cancelled: schedule disabled", now)?;
            }
            Ok(rows == 1)
        })
    }

    /// Deletes a schedule. Its executions stay in the history; what is PENDING for it ends as FAILED.
    /// `false`: it was deleted already.
    pub fn delete_schedule(&self, schedule: &Schedule, now: Timestamp) -> Result<bool, StoreError> {
        self.write(|tx| {
            let rows = tx
                .prepare_cached(sql!("schedules/mark_deleted"))?
                .execute(named_params! { ":id": schedule.id, ":now": now })?;
            if rows == 1 {
                executions::cancel_pending_of_schedule(tx, schedule, "cancelled: schedule deleted", now)?;
            }
            Ok(rows == 1)
        })
    }

    /// Schedules whose fire time has come by `now`, the earliest first, at most `limit`.
    pub fn due_schedules(&self, now: Timestamp, limit: u32) -> Result<Vec<DueSchedule>, StoreError> {
        self.read_at_once(|connection| {
            connection
                .prepare_cached(sql!("schedules/due"))?
                .query_map(named_params! { ":now": now, ":limit": limit }, due_schedule_of)?
                .collect()
        })
    }

    /// Schedules to come that were planned after `now`, so that the clock was set back since, at most `limit`.
    pub fn schedules_planned_ahead(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueSchedule>, StoreError> {
        self.read_at_once(|connection| {
            connection
                .prepare_cached(sql!("schedules/planned_ahead"))?
                .query_map(named_params! { ":now": now, ":limit": limit }, due_schedule_of)?
                .collect()
        })
    }

    /// The earliest fire time to come, or that has come and is not claimed yet.
    pub fn next_fire_time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read_at_once(|connection| {
            connection.prepare_cached(sql!("schedules/next_fire_time"))?.query_row([], |row| row.get(0))
        })
    }

    /// Claims fire times in one transaction: each moves its schedule on and records its execution, both or neither.
    /// Answers how many executions were recorded; one whose fire time was claimed already, or whose schedule was changed
    /// meanwhile, is passed over.
    pub fn claim(&self, fires: &[Fire], now: Timestamp) -> Result<usize, StoreError> {
        self.write(|tx| {
            let mut advance = tx.prepare_cached(sql!("schedules/advance"))?;
            let mut insert = tx.prepare_cached(sql!("executions/insert_fired"))?;
            let mut recorded = 0;
            for fire in fires {
                let moved = advance.execute(named_params! {
                    ":id": fire.schedule, ":claimed": fire.claimed, ":next_fire_time": fire.next_fire_time,
                    ":now": now,
                })?;
                crash::point("claim.advanced");
                if let (1, Some(scheduled_time)) = (moved, fire.scheduled_time) {
                    recorded += insert.execute(named_params! {
                        ":guid": Guid::random(), ":schedule_id": fire.schedule, ":scheduled_time": scheduled_time,
                        ":note": fire.note, ":now": now,
                    })?;
                    crash::point("claim.inserted");
                }
            }
            Ok(recorded)
        })
    }
}

fn due_schedule_of(row: &Row<'_>) -> rusqlite::Result<DueSchedule> {
    Ok(DueSchedule { id: row.get(0)?, guid: row.get(1)?, expression: row.get(2)?, fire_time: row.get(3)? })
}

fn schedule_of(row: &Row<'_>) -> rusqlite::Result<Schedule> {
    Ok(Schedule {
        id: row.get(0)?,
        guid: row.get(1)?,
        executable: row.get(2)?,
        enabled: row.get(3)?,
        expression: row.get(4)?,
        created_at: row.get(5)?,
        updated_at: row.get(6)?,
    })
}
