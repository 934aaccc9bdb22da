//! Executions: their way from PENDING to their end, and their clearing.
//!
//! Every step is a guarded update: a step that comes too late, or twice, changes no row and says so.

use rusqlite::types::{FromSql, FromSqlResult, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::executables::{extent_of, set_state, work_of};
use super::{Extent, Part, Store, StoreError, Window, json_array, part_of, sql, unknown_value};
use crate::model::{
    Attempts, Dispatch, EndState, Execution, ExecutionState, Guid, Id, Kind, Outcome, Schedule, Timestamp,
};

/// What a history belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dated {
    /// A job or call.
    Executable(Id),
    /// A schedule.
    Schedule(Id),
}

/// An execution whose task is under way.
#[derive(Debug, Clone)]
pub struct RunningTask {
    /// The execution.
    pub id: Id,
    /// Its guid, for the log.
    pub guid: Guid,
    /// The platform's task.
    pub task: Guid,
}

/// Another attempt, later.
#[derive(Debug, Clone)]
pub struct Retry {
    /// When.
    pub dispatch_time: Timestamp,
    /// Why it is necessary.
    pub message: String,
    /// A task may exist, and that there is none counts from this instant on only; `None`: there is no such doubt.
    pub doubt_until: Option<Timestamp>,
    /// How often the platform could not be asked in a row.
    pub failures: u32,
    /// When that is too long; `None`: it has not begun.
    pub give_up_at: Option<Timestamp>,
}

/// A task that may exist though its execution has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Its name.
    pub name: String,
    /// From when on it counts that there is none.
    pub doubt_until: Timestamp,
}

impl Store {
    /// Records an execution that is started by hand. `None`: the executable was deleted meanwhile.
    pub fn create_execution(&self, executable: Id, now: Timestamp) -> Result<Option<Execution>, StoreError> {
        let guid = Guid::random();
        let id = self.write(|tx| {
            let rows = tx
                .prepare_cached(sql!("executions/insert_manual"))?
                .execute(named_params! { ":guid": guid, ":executable_id": executable, ":now": now })?;
            Ok((rows == 1).then(|| tx.last_insert_rowid()))
        })?;
        Ok(id.map(|id| Execution {
            id,
            guid,
            schedule: None,
            scheduled_time: None,
            state: ExecutionState::Pending,
            message: String::new(),
            task: None,
            start_time: None,
            end_time: None,
        }))
    }

    /// How long a history is.
    pub fn count_executions(&self, of: Dated) -> Result<Extent, StoreError> {
        self.read(|connection| match of {
            Dated::Executable(id) => connection
                .prepare_cached(sql!("executions/count_of_executable"))?
                .query_row(named_params! { ":owner_id": id }, extent_of),
            Dated::Schedule(id) => connection
                .prepare_cached(sql!("executions/count_of_schedule"))?
                .query_row(named_params! { ":owner_id": id }, extent_of),
        })
    }

    /// A part of a history, newest first.
    pub fn list_executions(&self, of: Dated, window: Window) -> Result<Part<Execution>, StoreError> {
        self.read(|connection| {
            let (mut statement, id) = match of {
                Dated::Executable(id) => {
                    (connection.prepare_cached(sql!("executions/list_of_executable"))?, id)
                }
                Dated::Schedule(id) => (connection.prepare_cached(sql!("executions/list_of_schedule"))?, id),
            };
            let values = named_params! {
                ":owner_id": id, ":before_id": window.beyond, ":limit": window.limit,
                ":offset": i64::try_from(window.offset).unwrap_or(i64::MAX),
            };
            let measure = |execution: &Execution| (execution.id, execution.message.len());
            part_of(statement.query_map(values, execution_of)?, window.limit, measure)
        })
    }

    /// PENDING executions of a kind that are due by `now`, in order of time, at most `limit`; none of `but_apps`.
    pub fn pending_executions(
        &self,
        kind: Kind,
        now: Timestamp,
        but_apps: &[&Guid],
        limit: u32,
    ) -> Result<Vec<Dispatch>, StoreError> {
        self.read_at_once(|connection| {
            let values = named_params! {
                ":kind": kind.as_str(), ":now": now, ":limit": limit,
                ":but_apps": json_array(but_apps.iter().map(|app| app.as_str()))?,
            };
            connection.prepare_cached(sql!("executions/pending"))?.query_map(values, dispatch_of)?.collect()
        })
    }

    /// PENDING executions of a kind that are due by `now` and that somebody asked for after `asked_after`, by hand or by
    /// making their schedule: the latest first, at most `limit`.
    pub fn pending_asked_after(
        &self,
        kind: Kind,
        now: Timestamp,
        asked_after: Timestamp,
        limit: u32,
    ) -> Result<Vec<Dispatch>, StoreError> {
        self.read_at_once(|connection| {
            let values = named_params! {
                ":kind": kind.as_str(), ":now": now, ":asked_after": asked_after, ":limit": limit,
            };
            connection
                .prepare_cached(sql!("executions/pending_asked_after"))?
                .query_map(values, dispatch_of)?
                .collect()
        })
    }

    /// When the next PENDING execution is due that is not due by `now`.
    pub fn next_dispatch_time(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.read_at_once(|connection| {
            connection
                .prepare_cached(sql!("executions/next_dispatch_time"))?
                .query_row(named_params! { ":now": now }, |row| row.get(0))
        })
    }

    /// A call is about to be sent: PENDING → RUNNING. `false`: it must not be sent, for it is no longer PENDING.
    pub fn start_call(&self, id: Id, now: Timestamp) -> Result<bool, StoreError> {
        self.step(sql!("executions/start_call"), named_params! { ":id": id, ":now": now })
    }

    /// A task is about to be asked for; whatever comes of it, that there is none counts from `doubt_until` on only.
    /// `false`: it must not be, for the execution is no longer PENDING.
    pub fn begin_attempt(&self, id: Id, now: Timestamp, doubt_until: Timestamp) -> Result<bool, StoreError> {
        self.step(
            sql!("executions/begin_attempt"),
            named_params! { ":id": id, ":now": now, ":doubt_until": doubt_until },
        )
    }

    /// The platform has the task: PENDING → RUNNING. `false`: the execution is no longer PENDING.
    pub fn accept_task(&self, id: Id, task: &Guid) -> Result<bool, StoreError> {
        self.step(sql!("executions/accept_task"), named_params! { ":id": id, ":task_guid": task })
    }

    /// Another attempt is due later. `false`: the execution is no longer PENDING.
    pub fn postpone(&self, id: Id, retry: &Retry) -> Result<bool, StoreError> {
        self.step(
            sql!("executions/postpone"),
            named_params! {
                ":id": id, ":dispatch_time": retry.dispatch_time, ":message": retry.message,
                ":doubt_until": retry.doubt_until, ":failures": retry.failures, ":give_up_at": retry.give_up_at,
            },
        )
    }

    fn step(&self, statement: &str, values: &[(&str, &dyn rusqlite::ToSql)]) -> Result<bool, StoreError> {
        self.write(|tx| Ok(tx.prepare_cached(statement)?.execute(values)? == 1))
    }

    /// The end of an execution, and with it the state of its job. `false`: it had ended before, or is gone.
    pub fn finish(&self, id: Id, outcome: &Outcome) -> Result<bool, StoreError> {
        self.write(|tx| finish(tx, id, outcome))
    }

    /// The end of an execution of which nobody knows whether it has a task. Should one turn up, it is cancelled.
    pub fn give_up(&self, id: Id, outcome: &Outcome) -> Result<bool, StoreError> {
        self.write(|tx| {
            remember_stray(tx, id)?;
            finish(tx, id, outcome)
        })
    }

    /// The end of several executions, in one transaction. Answers how many of them that changed.
    pub fn finish_many(&self, outcomes: &[(Id, Outcome)]) -> Result<usize, StoreError> {
        self.write(|tx| {
            let mut finished = 0;
            for (id, outcome) in outcomes {
                finished += usize::from(finish(tx, *id, outcome)?);
            }
            Ok(finished)
        })
    }

    /// Tasks that are under way, by key: those beyond the execution `after`, at most `limit`.
    pub fn running_tasks(&self, after: Id, limit: u32) -> Result<Vec<RunningTask>, StoreError> {
        self.read_at_once(|connection| {
            connection
                .prepare_cached(sql!("executions/running_tasks"))?
                .query_map(named_params! { ":after_id": after, ":limit": limit }, |row| {
                    Ok(RunningTask { id: row.get(0)?, guid: row.get(1)?, task: row.get(2)? })
                })?
                .collect()
        })
    }

    /// Names of tasks that may exist though their executions have ended: those beyond `after`, at most `limit`.
    pub fn strays(&self, after: &str, limit: u32) -> Result<Vec<Stray>, StoreError> {
        self.read_at_once(|connection| {
            connection
                .prepare_cached(sql!("strays/list"))?
                .query_map(named_params! { ":after": after, ":limit": limit }, |row| {
                    Ok(Stray { name: row.get(0)?, doubt_until: row.get(1)? })
                })?
                .collect()
        })
    }

    /// Those were found, or certainly are not there.
    pub fn forget_strays(&self, names: &[String]) -> Result<(), StoreError> {
        self.write(|tx| {
            for name in names {
                tx.prepare_cached(sql!("strays/delete"))?.execute(named_params! { ":name": name })?;
            }
            Ok(())
        })
    }

    /// At start: makes waiting fit the clock as it is now. `latest`: no wait is meant to go beyond it.
    pub fn settle_waits(&self, now: Timestamp, latest: Timestamp) -> Result<(), StoreError> {
        self.write(|tx| {
            tx.prepare_cached(sql!("executions/settle_waits"))?
                .execute(named_params! { ":now": now, ":latest": latest })?;
            tx.prepare_cached(sql!("strays/settle"))?.execute(named_params! { ":latest": latest })?;
            Ok(())
        })
    }

    /// The clock was set, by so many nanoseconds (negative: back), and shows `now`: moves what waits for a span of time.
    pub fn shift_waits(&self, by_nanos: i64, now: Timestamp) -> Result<(), StoreError> {
        self.write(|tx| {
            tx.prepare_cached(sql!("executions/shift_waits"))?
                .execute(named_params! { ":by": by_nanos, ":now": now })?;
            tx.prepare_cached(sql!("strays/shift"))?.execute(named_params! { ":by": by_nanos })?;
            Ok(())
        })
    }

    /// Ends all calls that are under way as FAILED with `message`, and answers how many those were: at start, those of the
    /// process before; at stop, those that took too long.
    pub fn interrupt_calls(&self, message: &str, now: Timestamp) -> Result<usize, StoreError> {
        self.write(|tx| {
            let ids = ids(tx, sql!("executions/calls_in_flight"), &[])?;
            end_all(tx, &ids, message, now)
        })
    }

    /// Deletes a batch of executions that ended before `before`, and answers how many those were.
    pub fn purge_ended(&self, before: Timestamp, limit: u32) -> Result<usize, StoreError> {
        self.write(|tx| {
            tx.prepare_cached(sql!("executions/purge_ended"))?
                .execute(named_params! { ":before": before, ":limit": limit })
        })
    }

    /// The executable after `after` in the order of ids, deleted ones included.
    pub fn next_executable(&self, after: Id) -> Result<Option<Id>, StoreError> {
        self.read_at_once(|connection| {
            connection
                .prepare_cached(sql!("executables/next_id"))?
                .query_row(named_params! { ":after_id": after }, |row| row.get(0))
                .optional()
        })
    }

    /// Deletes a batch of the ended executions of `executable` beyond its newest `keep`, and answers how many those were.
    pub fn purge_beyond(&self, executable: Id, keep: u32, limit: u32) -> Result<usize, StoreError> {
        self.write(|tx| {
            tx.prepare_cached(sql!("executions/purge_beyond"))?
                .execute(named_params! { ":executable_id": executable, ":keep": keep, ":limit": limit })
        })
    }

    /// Deletes a batch of what belongs to deleted executables and schedules, and answers how many rows those were.
    pub fn purge_deleted(&self, limit: u32) -> Result<usize, StoreError> {
        self.write(|tx| {
            let executable: Option<Id> = tx
                .prepare_cached(sql!("executables/first_deleted"))?
                .query_row([], |row| row.get(0))
                .optional()?;
            let Some(executable) = executable else {
                return tx
                    .prepare_cached(sql!("schedules/purge"))?
                    .execute(named_params! { ":limit": limit });
            };
            // In the order of references; the next batch goes on where this one was full.
            for statement in [sql!("executions/purge_of_executable"), sql!("schedules/purge_of_executable")] {
                let rows = tx
                    .prepare_cached(statement)?
                    .execute(named_params! { ":executable_id": executable, ":limit": limit })?;
                if rows > 0 {
                    return Ok(rows);
                }
            }
            tx.prepare_cached(sql!("executables/purge"))?.execute(named_params! { ":id": executable })
        })
    }
}

pub(super) fn cancel_pending_of_schedule(
    tx: &Connection,
    schedule: &Schedule,
    message: &str,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    let values = named_params! { ":executable_id": schedule.executable, ":schedule_id": schedule.id };
    let ids = ids(tx, sql!("executions/pending_of_schedule"), values)?;
    for id in &ids {
        remember_stray(tx, *id)?;
    }
    end_all(tx, &ids, message, now)
}

pub(super) fn cancel_pending_of_executable(
    tx: &Connection,
    executable: Id,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    // A task that may be on its way is left to end, as a running one is.
    let ids =
        ids(tx, sql!("executions/pending_of_executable"), named_params! { ":executable_id": executable })?;
    end_all(tx, &ids, "cancelled: deleted", now)
}

fn ids(tx: &Connection, query: &str, values: &[(&str, &dyn rusqlite::ToSql)]) -> rusqlite::Result<Vec<Id>> {
    tx.prepare_cached(query)?.query_map(values, |row| row.get(0))?.collect()
}

/// Ends executions as FAILED with `message`.
fn end_all(tx: &Connection, ids: &[Id], message: &str, now: Timestamp) -> rusqlite::Result<usize> {
    let outcome = Outcome { state: EndState::Failed, message: message.to_owned(), end_time: now };
    for id in ids {
        finish(tx, *id, &outcome)?;
    }
    Ok(ids.len())
}

fn remember_stray(tx: &Connection, id: Id) -> rusqlite::Result<()> {
    tx.prepare_cached(sql!("strays/insert"))?.execute(named_params! { ":id": id })?;
    Ok(())
}

fn finish(tx: &Connection, id: Id, outcome: &Outcome) -> rusqlite::Result<bool> {
    let state = outcome.state.as_str();
    let executable: Option<Id> = tx
        .prepare_cached(sql!("executions/finish"))?
        .query_row(
            named_params! { ":id": id, ":state": state, ":message": outcome.message, ":end_time": outcome.end_time },
            |row| row.get(0),
        )
        .optional()?;
    if let Some(executable) = executable {
        set_state(tx, executable, id, state)?;
    }
    Ok(executable.is_some())
}

fn execution_of(row: &Row<'_>) -> rusqlite::Result<Execution> {
    let (note, message): (String, String) = (row.get(5)?, row.get(6)?);
    let message = match (note.is_empty(), message.is_empty()) {
        (true, _) => message,
        (false, true) => note,
        (false, false) => format!("{note}; {message}"),
    };
    Ok(Execution {
        id: row.get(0)?,
        guid: row.get(1)?,
        schedule: row.get(2)?,
        scheduled_time: row.get(3)?,
        state: row.get(4)?,
        message,
        task: row.get(7)?,
        start_time: row.get(8)?,
        end_time: row.get(9)?,
    })
}

fn dispatch_of(row: &Row<'_>) -> rusqlite::Result<Dispatch> {
    Ok(Dispatch {
        id: row.get(0)?,
        guid: row.get(1)?,
        executable: row.get(2)?,
        scheduled_time: row.get(3)?,
        due_since: row.get(4)?,
        attempts: Attempts {
            count: row.get(5)?,
            failures: row.get(6)?,
            doubt_until: row.get(7)?,
            give_up_at: row.get(8)?,
        },
        app: row.get(9)?,
        work: work_of(row, row.get(10)?, 11)?,
    })
}

impl FromSql for ExecutionState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "PENDING" => Ok(Self::Pending),
            "RUNNING" => Ok(Self::Running),
            "SUCCEEDED" => Ok(Self::Succeeded),
            "FAILED" => Ok(Self::Failed),
            other => Err(unknown_value(other)),
        }
    }
}
