//! Executions: their way from PENDING on, their histories, and their clearing. Their ends are `ends`.
//!
//! Every step is a guarded update: a step that comes too late, or twice, changes no row and says so.

use super::executables::{extent_of, work_of};
use super::session::Row;
use super::statement::{Cell, Column, Named, Statement, json_array, postgres_sql, sql, sqlite_sql, values};
use super::{Extent, Part, Store, StoreError, Window};
use crate::model::{Attempts, Dispatch, Execution, ExecutionState, Fence, Guid, Id, InHand, Kind, Timestamp};

/// What a history belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dated {
    /// A job or call.
    Executable(Id),
    /// A schedule.
    Schedule(Id),
}

/// Executions that this process may hand out, and under which lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The number of the lease.
    pub fence: Fence,
    /// The executions.
    pub ids: Vec<Id>,
}

/// An execution whose task is under way.
#[derive(Debug, Clone)]
pub struct RunningTask {
    /// The execution.
    pub of: InHand,
    /// Its guid, for the log.
    pub guid: Guid,
    /// The platform's task.
    pub task: Guid,
    /// The job.
    pub executable: Guid,
    /// The instant planned.
    pub scheduled_time: Option<Timestamp>,
    /// When its first attempt began.
    pub start_time: Option<Timestamp>,
    /// The request that asked for it; empty: none did.
    pub request_id: String,
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
    /// The request that asked for its execution; empty: none did, or the execution is gone.
    pub request_id: String,
    /// The app that its execution belongs to; `None`: the execution is gone.
    pub app: Option<Guid>,
}

impl Store {
    /// Records an execution that is started by hand, by the request of that id. `None`: the executable was deleted meanwhile.
    pub fn create_execution(
        &self,
        executable: Id,
        request_id: &str,
        now: Timestamp,
    ) -> Result<Option<Execution>, StoreError> {
        let guid = Guid::random();
        let values = values! {
            "guid": &guid, "executable_id": executable, "now": now, "request_id": request_id,
        };
        let id =
            self.write_one(|tx| tx.first(sql!("executions/insert_manual"), values, |row| row.get("id")))?;
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
        let (statement, id) = match of {
            Dated::Executable(id) => (sql!("executions/count_of_executable"), id),
            Dated::Schedule(id) => (sql!("executions/count_of_schedule"), id),
        };
        self.read(|session| session.one(statement, values! { "owner_id": id }, extent_of))
    }

    /// A part of a history, newest first.
    pub fn list_executions(&self, of: Dated, window: Window) -> Result<Part<Execution>, StoreError> {
        let (statement, id) = match of {
            Dated::Executable(id) => (sql!("executions/list_of_executable"), id),
            Dated::Schedule(id) => (sql!("executions/list_of_schedule"), id),
        };
        let limit = self.part_limit(window.limit);
        let values = values! {
            "owner_id": id, "before_id": window.beyond, "limit": limit, "offset": window.offset,
        };
        let measure = |execution: &Execution| (execution.id, execution.message.len());
        self.read(|session| session.part(statement, values, limit, execution_of, measure))
    }

    /// PENDING executions of a kind that are due by `now`, in order of time, at most `limit`; none of `but_apps`, and none
    /// that another process has in hand.
    pub fn pending_executions(
        &self,
        kind: Kind,
        now: Timestamp,
        but_apps: &[&Guid],
        limit: u32,
    ) -> Result<Vec<Dispatch>, StoreError> {
        let fence = self.fence()?;
        let but_apps = json_array(but_apps.iter().map(|app| app.as_str()))?;
        let values = values! {
            "kind": kind.as_str(), "now": now, "limit": limit, "but_apps": &but_apps, "fence": fence,
        };
        self.read_at_once(|session| {
            session.rows(sql!("executions/pending"), values, |row| dispatch_of(row, fence))
        })
    }

    /// PENDING executions of a kind that are due by `now` and that somebody asked for after `asked_after`, by hand or by
    /// making their schedule: the latest first, at most `limit`; none that another process has in hand.
    pub fn pending_asked_after(
        &self,
        kind: Kind,
        now: Timestamp,
        asked_after: Timestamp,
        limit: u32,
    ) -> Result<Vec<Dispatch>, StoreError> {
        let fence = self.fence()?;
        let values = values! {
            "kind": kind.as_str(), "now": now, "asked_after": asked_after, "limit": limit, "fence": fence,
        };
        self.read_at_once(|session| {
            session.rows(sql!("executions/pending_asked_after"), values, |row| dispatch_of(row, fence))
        })
    }

    /// Takes PENDING executions in hand, each with the due time and the number of attempts that were read of it, and answers
    /// which of them those are: all, unless another process was faster, or has had one in hand meanwhile.
    pub fn claim_executions(&self, wanted: &[(Id, Timestamp, u32)]) -> Result<Claimed, StoreError> {
        let fence = self.fence()?;
        if !self.is_shared() || wanted.is_empty() {
            return Ok(Claimed { fence, ids: wanted.iter().map(|(id, ..)| *id).collect() });
        }
        let wanted = json_array(wanted.iter().map(|(id, due, attempts)| (*id, due.nanos(), *attempts)))?;
        let values = values! { "wanted": &wanted, "fence": fence };
        let ids =
            self.write_one(|tx| tx.rows(postgres_sql!("executions/claim"), values, |row| row.get("id")))?;
        Ok(Claimed { fence, ids })
    }

    /// When the next PENDING execution is due that is not due by `now`.
    pub fn next_dispatch_time(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let values = values! { "now": now };
        self.read_at_once(|session| {
            session.one(sql!("executions/next_dispatch_time"), values, |row| row.get("dispatch_time"))
        })
    }

    /// A call is about to be sent: PENDING → RUNNING. `false`: it must not be sent, for it is no longer PENDING, or no longer
    /// in this process's hand. It may be asked again after an error.
    pub fn start_call(&self, of: InHand, now: Timestamp) -> Result<bool, StoreError> {
        self.step(sql!("executions/start_call"), values! { "id": of.id, "fence": of.fence, "now": now })
    }

    /// A task is about to be asked for; whatever comes of it, that there is none counts from `doubt_until` on only.
    /// `false`: it must not be, for the execution is no longer PENDING, or no longer in this process's hand.
    pub fn begin_attempt(
        &self,
        of: InHand,
        now: Timestamp,
        doubt_until: Timestamp,
    ) -> Result<bool, StoreError> {
        let values = values! { "id": of.id, "fence": of.fence, "now": now, "doubt_until": doubt_until };
        self.step(sql!("executions/begin_attempt"), values)
    }

    /// The platform has the task: PENDING → RUNNING. `false`: the execution is no longer PENDING, or no longer in this
    /// process's hand. It may be recorded again after an error.
    pub fn accept_task(&self, of: InHand, task: &Guid) -> Result<bool, StoreError> {
        let values = values! { "id": of.id, "fence": of.fence, "task_guid": task };
        self.step(sql!("executions/accept_task"), values)
    }

    /// Another attempt is due later, by whoever takes it. `false`: the execution is no longer PENDING, or no longer in this
    /// process's hand.
    pub fn postpone(&self, of: InHand, retry: &Retry) -> Result<bool, StoreError> {
        let values = values! {
            "id": of.id, "fence": of.fence, "dispatch_time": retry.dispatch_time, "message": &retry.message,
            "doubt_until": retry.doubt_until, "failures": retry.failures, "give_up_at": retry.give_up_at,
        };
        self.step(sql!("executions/postpone"), values)
    }

    fn step(&self, statement: &'static Statement, values: &[Named<'_>]) -> Result<bool, StoreError> {
        self.write_one(|tx| Ok(tx.execute(statement, values)? == 1))
    }

    /// What became of an execution's task: its state, and the task that is its own. `None`: the execution is gone.
    pub fn task_of(&self, execution: Id) -> Result<Option<(ExecutionState, Option<Guid>)>, StoreError> {
        let values = values! { "id": execution };
        self.read_at_once(|session| {
            session
                .first(sql!("executions/task"), values, |row| Ok((row.get("state")?, row.get("task_guid")?)))
        })
    }

    /// Tasks that are under way and for this process to follow, by key: those beyond the execution `after`, at most `limit`.
    /// With `after` 0 it first adopts all that no instance follows, so many at a time.
    pub fn running_tasks(&self, after: Id, limit: u32) -> Result<Vec<RunningTask>, StoreError> {
        let fence = self.fence()?;
        if self.is_shared() && after == 0 {
            let values = values! { "fence": fence, "limit": limit };
            let adopt = || self.write_one(|tx| tx.execute(postgres_sql!("executions/adopt"), values));
            while adopt()? == limit as usize {}
        }
        let values = values! { "after_id": after, "limit": limit, "fence": fence };
        self.read_at_once(|session| {
            session.rows(sql!("executions/running_tasks"), values, |row| {
                let of = InHand { id: row.get("id")?, fence };
                Ok(RunningTask {
                    of,
                    guid: row.get("guid")?,
                    task: row.get("task_guid")?,
                    executable: row.get("executable_guid")?,
                    scheduled_time: row.get("scheduled_time")?,
                    start_time: row.get("start_time")?,
                    request_id: row.get("request_id")?,
                })
            })
        })
    }

    /// Names of tasks that may exist though their executions have ended: those beyond `after`, at most `limit`.
    pub fn strays(&self, after: &str, limit: u32) -> Result<Vec<Stray>, StoreError> {
        let values = values! { "after": after, "limit": limit };
        self.read_at_once(|session| session.rows(sql!("strays/list"), values, stray_of))
    }

    /// Those were found, or certainly are not there.
    pub fn forget_strays(&self, names: &[String]) -> Result<(), StoreError> {
        self.write(|tx| {
            for name in names {
                tx.execute(sql!("strays/delete"), values! { "name": name })?;
            }
            Ok(())
        })
    }

    /// At start: makes waiting fit the clock as it is now. `latest`: no wait is meant to go beyond it. Nothing where the
    /// database's clock counts, which went on meanwhile.
    pub fn settle_waits(&self, now: Timestamp, latest: Timestamp) -> Result<(), StoreError> {
        if self.is_shared() {
            return Ok(());
        }
        self.write(|tx| {
            tx.execute(sqlite_sql!("executions/settle_waits"), values! { "now": now, "latest": latest })?;
            tx.execute(sqlite_sql!("strays/settle"), values! { "latest": latest })?;
            Ok(())
        })
    }

    /// The clock was set, by so many nanoseconds (negative: back), and shows `now`: moves what waits for a span of time.
    /// Nothing where the database's clock counts: each process would move it once more.
    pub fn shift_waits(&self, by_nanos: i64, now: Timestamp) -> Result<(), StoreError> {
        if self.is_shared() {
            return Ok(());
        }
        self.write(|tx| {
            tx.execute(sqlite_sql!("executions/shift_waits"), values! { "by": by_nanos, "now": now })?;
            tx.execute(sqlite_sql!("strays/shift"), values! { "by": by_nanos })?;
            Ok(())
        })
    }

    /// Deletes a batch of executions that ended before `before`, and answers how many those were.
    pub fn purge_ended(&self, before: Timestamp, limit: u32) -> Result<usize, StoreError> {
        let values = values! { "before": before, "limit": limit };
        self.write_one(|tx| tx.execute(sql!("executions/purge_ended"), values))
    }

    /// The executable after `after` in the order of ids, deleted ones included.
    pub fn next_executable(&self, after: Id) -> Result<Option<Id>, StoreError> {
        let values = values! { "after_id": after };
        self.read_at_once(|session| session.first(sql!("executables/next_id"), values, |row| row.get("id")))
    }

    /// Deletes a batch of the ended executions of `executable` beyond its newest `keep`, and answers how many those were.
    pub fn purge_beyond(&self, executable: Id, keep: u32, limit: u32) -> Result<usize, StoreError> {
        let values = values! { "executable_id": executable, "keep": keep, "limit": limit };
        self.write_one(|tx| tx.execute(sql!("executions/purge_beyond"), values))
    }

    /// Deletes a batch of what belongs to deleted executables and schedules, and answers how many rows those were.
    pub fn purge_deleted(&self, limit: u32) -> Result<usize, StoreError> {
        self.write(|tx| {
            let executable: Option<Id> =
                tx.first(sql!("executables/first_deleted"), values! {}, |row| row.get("id"))?;
            let Some(executable) = executable else {
                return tx.execute(sql!("schedules/purge"), values! { "limit": limit });
            };
            // In the order of references; the next batch goes on where this one was full.
            let values = values! { "executable_id": executable, "limit": limit };
            for statement in [sql!("executions/purge_of_executable"), sql!("schedules/purge_of_executable")] {
                let rows = tx.execute(statement, values)?;
                if rows > 0 {
                    return Ok(rows);
                }
            }
            tx.execute(sql!("executables/purge"), values! { "id": executable })
        })
    }
}

pub(super) fn execution_of(row: &Row<'_>) -> Result<Execution, StoreError> {
    let (note, message): (String, String) = (row.get("note")?, row.get("message")?);
    let message = match (note.is_empty(), message.is_empty()) {
        (true, _) => message,
        (false, true) => note,
        (false, false) => format!("{note}; {message}"),
    };
    Ok(Execution {
        id: row.get("id")?,
        guid: row.get("guid")?,
        schedule: row.get("schedule_guid")?,
        scheduled_time: row.get("scheduled_time")?,
        state: row.get("state")?,
        message,
        task: row.get("task_guid")?,
        start_time: row.get("start_time")?,
        end_time: row.get("end_time")?,
    })
}

fn dispatch_of(row: &Row<'_>, fence: Fence) -> Result<Dispatch, StoreError> {
    Ok(Dispatch {
        of: InHand { id: row.get("id")?, fence },
        guid: row.get("guid")?,
        executable: row.get("executable_guid")?,
        scheduled_time: row.get("scheduled_time")?,
        due_since: row.get("dispatch_time")?,
        attempts: Attempts {
            count: row.get("attempts")?,
            failures: row.get("failures")?,
            doubt_until: row.get("doubt_until")?,
            give_up_at: row.get("give_up_at")?,
        },
        app: row.get("app_guid")?,
        work: work_of(row)?,
        request_id: row.get("request_id")?,
    })
}

pub(super) fn stray_of(row: &Row<'_>) -> Result<Stray, StoreError> {
    Ok(Stray {
        name: row.get("name")?,
        doubt_until: row.get("doubt_until")?,
        request_id: row.get("request_id")?,
        app: row.get("app_guid")?,
    })
}

impl Column for ExecutionState {
    fn of(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Text("PENDING") => Some(Self::Pending),
            Cell::Text("RUNNING") => Some(Self::Running),
            Cell::Text("SUCCEEDED") => Some(Self::Succeeded),
            Cell::Text("FAILED") => Some(Self::Failed),
            _ => None,
        }
    }
}
