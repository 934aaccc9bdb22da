//! Executions: their claims and states, histories and purging. `runs` decides which may begin, and `ends`
//! ends them.
//!
//! Every step is a guarded update: a step that is late or repeated changes no row, and says so.

use std::collections::HashMap;
use std::time::Duration;

use super::executables::{extent_of, retry_of, work_of};
use super::portion::LATE;
#[cfg(feature = "postgres")]
use super::portion::Portion;
use super::session::Row;
use super::statement::{
    Cell, Column, Named, Statement, batched_sql, json_array, postgres_sql, sql, sql_by_engine, sqlite_sql,
    values,
};
use super::{Extent, Part, Store, StoreError, Window, outbox};
use crate::model::{
    Attempts, Cancelling, Course, Dispatch, Execution, ExecutionState, Fence, Guid, Id, Kind, Owned, Reason,
    Timestamp, Work,
};

/// Whose history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryOf {
    /// Of a job or call.
    Executable(Id),
    /// Of a schedule.
    Schedule(Id),
}

/// The share of an execution, for fair dispatch: a call's space and target host, or a job's app.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Share(String);

impl Share {
    /// As stored: tenant and target, separated by a space.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The space of a call, or the app of a job.
    pub fn tenant(&self) -> &str {
        self.0.split_once(' ').map_or(&self.0, |(tenant, _)| tenant)
    }

    /// The host and port of a call; empty for a job.
    pub fn target(&self) -> &str {
        self.0.split_once(' ').map_or("", |(_, target)| target)
    }
}

impl Column for Share {
    fn of(cell: Cell<'_>) -> Option<Self> {
        String::of(cell).map(Self)
    }
}

/// A due PENDING execution: what is needed to decide whose turn it is, without the long texts of its work.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The execution.
    pub of: Owned,
    /// The guid of the execution.
    pub guid: Guid,
    /// The guid of its job or call.
    pub executable: Guid,
    /// The name of its job or call.
    pub name: String,
    /// Its fire time; `None`: started by hand.
    pub scheduled_time: Option<Timestamp>,
    /// When it began to wait for a worker: its fire time, or when this attempt became due.
    pub due_since: Timestamp,
    /// The attempts so far.
    pub attempts: Attempts,
    /// The name of the first attempt's task; `None`: the execution's guid, or no attempt yet.
    pub task_name: Option<String>,
    /// The app in whose context it runs.
    pub app: Guid,
    /// Decides its lane.
    pub kind: Kind,
    /// Decides which executions it shares workers with.
    pub share: Share,
    /// The id of the request that started it; empty when a schedule did.
    pub request_id: String,
}

impl Waiting {
    /// Adds what a worker needs.
    pub fn with_work(self, Assignment { work, course }: Assignment) -> Dispatch {
        Dispatch {
            of: self.of,
            guid: self.guid,
            executable: self.executable,
            name: self.name,
            scheduled_time: self.scheduled_time,
            due_since: self.due_since,
            attempts: self.attempts,
            task_name: self.task_name,
            app: self.app,
            work,
            course,
            request_id: self.request_id,
        }
    }
}

/// What an execution does, and what decides whether it may begin.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// What it does.
    pub work: Work,
    /// What decides whether it may begin, and whether another attempt follows.
    pub course: Course,
}

/// Executions that this process has claimed.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The number of the lease under which they are owned.
    pub fence: Fence,
    /// The executions.
    pub ids: Vec<Id>,
    /// Their assignments, without those of executions that are gone.
    pub work: HashMap<Id, Assignment>,
}

/// The work that the scheduler has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Some schedules may have been planned at a time that is now in the future.
    pub is_planned_ahead: bool,
    /// Some schedules may be due.
    pub is_due: bool,
    /// Some calls in flight here may have to be cancelled.
    pub is_call_cancelled: bool,
    /// Whether executions of jobs, and of calls, may wait for another one to end.
    pub is_blocked: [bool; 2],
    /// Whether executions of jobs, and of calls, may wait for a worker.
    pub is_waiting: [bool; 2],
    /// The earliest fire time, and the earliest dispatch time after now; `None` if this was not looked up.
    pub next: Option<(Option<Timestamp>, Option<Timestamp>)>,
}

/// An execution with a running task.
#[derive(Debug, Clone)]
pub struct RunningTask {
    /// The execution.
    pub of: Owned,
    /// The guid of the execution.
    pub guid: Guid,
    /// The guid of the task.
    pub task: Guid,
    /// The guid of the job.
    pub executable: Guid,
    /// The name of the job.
    pub name: String,
    /// The fire time; `None`: started by hand.
    pub scheduled_time: Option<Timestamp>,
    /// When it was due: the fire time plus its jitter.
    pub due_time: Option<Timestamp>,
    /// When its first attempt began.
    pub start_time: Option<Timestamp>,
    /// The id of the request that started it; empty when a schedule did.
    pub request_id: String,
    /// Consecutive failures of the platform to run its task.
    pub failures: u32,
    /// When to give up; `None`: there was no failure.
    pub give_up_at: Option<Timestamp>,
    /// When its current attempt began.
    pub attempt_start: Option<Timestamp>,
    /// See [`crate::model::Work`].
    pub timeout_seconds: Option<u32>,
    /// The requested cancellation.
    pub cancelling: Option<Cancelling>,
    /// What decides whether another attempt follows.
    pub course: Course,
}

/// A later repetition of the request for the task of the same attempt.
#[derive(Debug, Clone)]
pub struct Retry {
    /// When it is due.
    pub dispatch_time: Timestamp,
    /// Why it is needed.
    pub message: String,
    /// An attempt may have created a task. After this instant, "not found" is conclusive. `None`: no attempt
    /// has an unknown outcome.
    pub doubt_until: Option<Timestamp>,
    /// Consecutive failures to reach the platform.
    pub failures: u32,
    /// When to give up; `None`: there was no failure.
    pub give_up_at: Option<Timestamp>,
}

/// A task that may exist although its execution does not need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// The guid of its execution; for a surplus task the guid of the task.
    pub name: String,
    /// The name of the first attempt's task; `None`: the execution's guid.
    pub task_name: Option<String>,
    /// The number of attempts, each of which may have created a task.
    pub attempts: u32,
    /// After this instant, "not found" is conclusive.
    pub doubt_until: Timestamp,
    /// The id of the request that started its execution; empty if a schedule did, or the execution is gone.
    pub request_id: String,
    /// The app of its execution; `None`: the execution is gone.
    pub app: Option<Guid>,
    /// Set for a surplus task; `None`: its execution has ended.
    pub surplus: Option<Surplus>,
    /// The attempt that created the task.
    pub attempt: u32,
    /// `name` is the guid of a task that must be cancelled although it was found once.
    pub is_to_end: bool,
}

/// A task that was created for an execution which may have another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surplus {
    /// The guid of the execution.
    pub execution: Guid,
    /// The state of the execution; `None`: it is gone.
    pub state: Option<ExecutionState>,
    /// The task in the execution's row.
    pub own_task: Option<Guid>,
}

impl Store {
    /// The length of a history.
    pub fn count_executions(&self, of: HistoryOf) -> Result<Extent, StoreError> {
        let (statement, id) = match of {
            HistoryOf::Executable(id) => (sql!("executions/count_of_executable"), id),
            HistoryOf::Schedule(id) => (sql!("executions/count_of_schedule"), id),
        };
        self.read(|session| session.one(statement, values! { "owner_id": id }, extent_of))
    }

    /// A part of a history, newest first.
    pub fn list_executions(&self, of: HistoryOf, window: Window) -> Result<Part<Execution>, StoreError> {
        let (statement, id) = match of {
            HistoryOf::Executable(id) => (sql!("executions/list_of_executable"), id),
            HistoryOf::Schedule(id) => (sql!("executions/list_of_schedule"), id),
        };
        let limit = self.part_limit(window.limit);
        let values = values! {
            "owner_id": id, "before_id": window.beyond, "limit": limit, "offset": window.offset,
        };
        let measure = |execution: &Execution| (execution.id, execution.message.len());
        self.read(|session| session.part(statement, values, limit, execution_of, measure))
    }

    /// PENDING executions of a kind that are due at `now`, in order of time, at most `limit`, without `known`
    /// ones and those that another process owns.
    ///
    /// `enough`: while there is a backlog, each instance begins with its own portion, so that they do not
    /// compete for the same executions. Those of other portions are read only if its own has fewer than
    /// this. `None`: there is no backlog. Also returns whether there are other portions, which were not read.
    pub fn pending_executions(
        &self,
        kind: Kind,
        now: Timestamp,
        limit: u32,
        known: &[Id],
        enough: Option<u32>,
    ) -> Result<(Vec<Waiting>, bool), StoreError> {
        let known = json_array(known.iter())?;
        let fence = self.fence()?;
        self.portion().read_first(enough, |portion| {
            let values = values! {
                "kind": kind.as_str(), "now": now, "since": self.queue_since(now), "limit": limit,
                "fence": fence, "portion": portion.number, "portions": portion.of, "known": &known,
                "late": now.saturating_sub(LATE),
            };
            self.read_at_once(|session| {
                session.rows(sql!("executions/pending"), values, |row| waiting_of(row, fence))
            })
        })
    }

    /// PENDING executions of a kind that are due at `now` and were requested after `asked_after`, by hand or
    /// by creating their schedule. Latest first, at most `limit`, without those that another process owns.
    pub fn pending_asked_after(
        &self,
        kind: Kind,
        now: Timestamp,
        asked_after: Timestamp,
        limit: u32,
    ) -> Result<Vec<Waiting>, StoreError> {
        let fence = self.fence()?;
        let values = values! {
            "kind": kind.as_str(), "now": now, "asked_after": asked_after, "limit": limit, "fence": fence,
        };
        self.read_at_once(|session| {
            session.rows(sql!("executions/pending_asked_after"), values, |row| waiting_of(row, fence))
        })
    }

    /// Shares with PENDING executions, in order, after `after`, at most `limit`.
    pub fn pending_shares(
        &self,
        kind: Kind,
        now: Timestamp,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Share>, StoreError> {
        let values = values! {
            "kind": kind.as_str(), "since": self.queue_since(now), "after": after, "limit": limit,
        };
        self.read_at_once(|session| session.rows(sql!("executions/shares"), values, |row| row.get("share")))
    }

    /// The first `each` due executions of each of these shares, without those that another process owns.
    pub fn pending_of_shares(
        &self,
        kind: Kind,
        now: Timestamp,
        shares: &[Share],
        each: u32,
    ) -> Result<Vec<Waiting>, StoreError> {
        let fence = self.fence()?;
        let shares = json_array(shares.iter().map(Share::as_str))?;
        let values = values! {
            "kind": kind.as_str(), "now": now, "since": self.queue_since(now), "shares": &shares,
            "each": each, "fence": fence,
        };
        self.read_at_once(|session| {
            session.rows(sql_by_engine!("executions/pending_of_shares"), values, |row| waiting_of(row, fence))
        })
    }

    /// The assignments of these executions, without those of executions that are gone.
    pub fn work_of(&self, executions: &[Id]) -> Result<HashMap<Id, Assignment>, StoreError> {
        if executions.is_empty() {
            return Ok(HashMap::new());
        }
        let ids = json_array(executions.iter())?;
        let values = values! { "ids": &ids };
        let found =
            self.read_at_once(|session| session.rows(sql!("executions/work"), values, assignment_of))?;
        Ok(found.into_iter().collect())
    }

    /// Reads what PENDING executions are to do. Claims those of other instances' portions, as
    /// [`Store::claim_executions`] does. The others are claimed when they begin ([`Store::start_call`],
    /// [`Store::begin_attempt`]), which saves a write for each.
    ///
    /// Some may have an attempt whose outcome is unknown. These are always claimed, because their task may be
    /// found, and accepted, before another attempt begins.
    pub fn reserve_executions(&self, wanted: &[(Id, Timestamp, u32)]) -> Result<Claimed, StoreError> {
        let portion = self.portion();
        let is_claimed_later =
            |(id, _, attempts): &(Id, Timestamp, u32)| *attempts == 0 && portion.contains(*id);
        let (later, now): (Vec<_>, Vec<_>) = wanted.iter().copied().partition(is_claimed_later);
        let mut claimed = self.claim_executions(&now)?;
        let ids: Vec<Id> = later.into_iter().map(|(id, ..)| id).collect();
        claimed.work.extend(self.work_of(&ids)?);
        claimed.ids.extend(ids);
        Ok(claimed)
    }

    /// Claims PENDING executions under this process's lease, and reads their assignments. Each is claimed
    /// only if its dispatch time and number of attempts are still as read. Otherwise another process has
    /// already claimed it.
    pub fn claim_executions(&self, wanted: &[(Id, Timestamp, u32)]) -> Result<Claimed, StoreError> {
        let fence = self.fence()?;
        if !self.is_shared() || wanted.is_empty() {
            let ids: Vec<Id> = wanted.iter().map(|(id, ..)| *id).collect();
            let work = self.work_of(&ids)?;
            return Ok(Claimed { fence, ids, work });
        }
        let wanted = json_array(wanted.iter().map(|(id, due, attempts)| (*id, due.nanos(), *attempts)))?;
        let values = values! { "wanted": &wanted, "fence": fence };
        let work = self.write_one(|tx| tx.rows(postgres_sql!("executions/claim"), values, assignment_of))?;
        Ok(Claimed { fence, ids: work.iter().map(|(id, _)| *id).collect(), work: work.into_iter().collect() })
    }

    /// Releases PENDING executions that this process owns, so that any instance can claim them.
    pub fn release(&self, executions: &[Id]) -> Result<(), StoreError> {
        if !self.is_shared() {
            return Ok(());
        }
        let ids = json_array(executions.iter())?;
        let values = values! { "ids": &ids, "fence": self.fence()? };
        self.write_one(|tx| tx.execute(postgres_sql!("executions/release"), values))?;
        Ok(())
    }

    /// What there is to do. `ahead`: plans made after this time precede a jump of the clock back. Without a
    /// round trip to save (SQLite), assumes that there may be work of every kind.
    pub fn look(&self, now: Timestamp, ahead: Timestamp) -> Result<Look, StoreError> {
        match &self.engine {
            #[cfg(feature = "postgres")]
            super::Engine::Postgres(database) => {
                let asked_at = database.monotonic();
                let since = database.queue_since(now);
                let values = values! { "now": now, "ahead": ahead, "since": since, "fence": self.fence()? };
                let read = |row: &Row<'_>| {
                    let look = Look {
                        is_planned_ahead: row.get("is_planned_ahead")?,
                        is_due: row.get("is_due")?,
                        is_call_cancelled: row.get("is_call_cancelled")?,
                        is_blocked: [row.get("is_job_blocked")?, row.get("is_call_blocked")?],
                        is_waiting: [row.get("is_job_waiting")?, row.get("is_call_waiting")?],
                        next: Some((row.get("next_fire_time")?, row.get("next_dispatch_time")?)),
                    };
                    let portion = Portion { number: row.get("portion")?, of: row.get("portions")? };
                    Ok((look, row.get("earliest")?, portion))
                };
                let (look, earliest, portion) =
                    self.read_at_once(|session| session.one(postgres_sql!("executions/look"), values, read))?;
                database.note_portion(portion);
                database.note_queue(since, earliest, now, asked_at);
                Ok(look)
            }
            _ => {
                let _ = (now, ahead);
                Ok(Look {
                    is_planned_ahead: true,
                    is_due: true,
                    is_call_cancelled: false,
                    is_blocked: [true; 2],
                    is_waiting: [true; 2],
                    next: None,
                })
            }
        }
    }

    /// The earliest dispatch time after `now`.
    pub fn next_dispatch_time(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let values = values! { "now": now };
        self.read_at_once(|session| {
            session.one(sql!("executions/next_dispatch_time"), values, |row| row.get("dispatch_time"))
        })
    }

    /// Records that the platform has created the task: PENDING → RUNNING. `false`: the execution is not
    /// PENDING, or not owned under this lease. Safe to repeat after an error.
    pub fn accept_task(&self, of: Owned, task: &Guid) -> Result<bool, StoreError> {
        let values = values! { "id": of.id, "fence": of.fence, "task_guid": task };
        self.write_in_group(|tx| {
            Ok(tx.execute(batched_sql!("executions/accept_task", of_engine), values)? == 1)
        })
    }

    /// Schedules another attempt, which any process may claim. `false`: the execution is not PENDING, or not
    /// owned under this lease.
    pub fn postpone(&self, of: Owned, retry: &Retry) -> Result<bool, StoreError> {
        let values = values! {
            "id": of.id, "fence": of.fence, "dispatch_time": retry.dispatch_time, "message": &retry.message,
            "doubt_until": retry.doubt_until, "failures": retry.failures, "give_up_at": retry.give_up_at,
        };
        self.step(sql!("executions/postpone"), values)
    }

    /// The platform stored the task and will never run it: RUNNING → PENDING, to retry later. `false`: the
    /// execution is not RUNNING with this task, or not owned under this lease.
    pub fn retry_task(&self, of: Owned, task: &Guid, retry: &Retry) -> Result<bool, StoreError> {
        let values = values! {
            "id": of.id, "fence": of.fence, "task_guid": task, "dispatch_time": retry.dispatch_time,
            "message": &retry.message, "doubt_until": retry.doubt_until, "failures": retry.failures,
            "give_up_at": retry.give_up_at,
        };
        self.step(sql!("executions/retry_task"), values)
    }

    fn step(&self, statement: &'static Statement, values: &[Named<'_>]) -> Result<bool, StoreError> {
        self.write_one(|tx| Ok(tx.execute(statement, values)? == 1))
    }

    /// Running tasks that this process follows, in order of id, after the execution `after`, at most `limit`.
    /// With `after` 0 it first adopts up to `limit` tasks that no instance follows.
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
                let of = Owned { id: row.get("id")?, fence };
                let scheduled_time: Option<Timestamp> = row.get("scheduled_time")?;
                let jitter: u32 = row.get("jitter_seconds")?;
                Ok(RunningTask {
                    of,
                    guid: row.get("guid")?,
                    task: row.get("task_guid")?,
                    executable: row.get("executable_guid")?,
                    name: row.get("name")?,
                    scheduled_time,
                    due_time: scheduled_time.map(|it| it.saturating_add(Duration::from_secs(jitter.into()))),
                    start_time: row.get("start_time")?,
                    request_id: row.get("request_id")?,
                    failures: row.get("failures")?,
                    give_up_at: row.get("give_up_at")?,
                    attempt_start: row.get("attempt_start_time")?,
                    cancelling: cancelling_of(row)?,
                    timeout_seconds: row.get("timeout_seconds")?,
                    course: course_of(row)?,
                })
            })
        })
    }

    /// Tasks that may exist although their executions have ended, by key, after `after`, at most `limit`.
    pub fn strays(&self, after: &str, limit: u32) -> Result<Vec<Stray>, StoreError> {
        let values = values! { "after": after, "limit": limit };
        self.read_at_once(|session| session.rows(sql!("strays/list"), values, stray_of))
    }

    /// Records a task that may be surplus. The watcher cancels it once it is certain that the execution has
    /// another one.
    pub fn note_surplus(&self, execution: &Guid, task: &Guid, now: Timestamp) -> Result<bool, StoreError> {
        self.step(
            sql!("strays/insert_surplus"),
            values! { "task_guid": task, "execution_guid": execution, "now": now },
        )
    }

    /// Deletes the records of tasks that are settled: cancelled, not surplus after all, or certain not to
    /// exist.
    pub fn forget_strays(&self, names: &[String]) -> Result<(), StoreError> {
        self.write(|tx| {
            for name in names {
                tx.execute(sql!("strays/delete"), values! { "name": name })?;
            }
            Ok(())
        })
    }

    /// At a start: adapts waits to the clock as it is now. No wait may end after `latest`. Does nothing on a
    /// shared database, whose clock did not stop.
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

    /// The clock was set by `by_nanos` (negative: back) and now shows `now`: shifts waits accordingly. Does
    /// nothing on a shared database, where each process would shift them.
    pub fn shift_waits(&self, by_nanos: i64, now: Timestamp) -> Result<(), StoreError> {
        if self.is_shared() {
            return Ok(());
        }
        self.write(|tx| {
            tx.execute(sqlite_sql!("executions/shift_waits"), values! { "by": by_nanos, "now": now })?;
            tx.execute(sqlite_sql!("strays/shift"), values! { "by": by_nanos })?;
            Self::shift_running(tx, by_nanos)
        })
    }

    /// After the clock may have been set back to `now`: cuts waits of the notifier to the longest that is
    /// possible and, on a shared database, those of executions, none beyond `latest`. Can be repeated.
    pub fn cut_waits(&self, now: Timestamp, latest: Timestamp) -> Result<(), StoreError> {
        self.write(|tx| {
            if self.is_shared() {
                let values = values! { "now": now, "latest": latest };
                tx.execute(postgres_sql!("executions/cut_waits"), values)?;
            }
            outbox::cut_waits(tx, now)
        })
    }

    /// The time of the latest activity: an end, a creation, or a planned schedule. `None`: the database is
    /// empty.
    pub fn newest_activity(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read_at_once(|session| {
            session.one(sql!("executions/newest"), values! {}, |row| row.get("newest"))
        })
    }

    /// Deletes a batch of executions that ended before `before`. Returns their number.
    pub fn purge_ended(&self, before: Timestamp, limit: u32) -> Result<usize, StoreError> {
        let values = values! { "before": before, "limit": limit };
        self.write_one(|tx| tx.execute(sql!("executions/purge_ended"), values))
    }

    /// The job or call after `after` in order of ids, deleted ones included.
    pub fn next_executable(&self, after: Id) -> Result<Option<Id>, StoreError> {
        let values = values! { "after_id": after };
        self.read_at_once(|session| session.first(sql!("executables/next_id"), values, |row| row.get("id")))
    }

    /// Deletes a batch of ended executions of `executable` beyond its newest `keep`. Returns their number.
    pub fn purge_beyond(&self, executable: Id, keep: u32, limit: u32) -> Result<usize, StoreError> {
        let values = values! { "executable_id": executable, "keep": keep, "limit": limit };
        self.write_one(|tx| tx.execute(sql!("executions/purge_beyond"), values))
    }

    /// Deletes a batch of rows of deleted jobs, calls and schedules. Returns their number.
    pub fn purge_deleted(&self, limit: u32) -> Result<usize, StoreError> {
        self.write(|tx| {
            let executable: Option<Id> =
                tx.first(sql!("executables/first_deleted"), values! {}, |row| row.get("id"))?;
            let Some(executable) = executable else {
                return tx.execute(sql!("schedules/purge"), values! { "limit": limit });
            };
            // In the order of references. If this batch is full, the next one continues here.
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

pub(super) fn stray_of(row: &Row<'_>) -> Result<Stray, StoreError> {
    let (name, doubt_until, request_id) = (row.get("name")?, row.get("doubt_until")?, row.get("request_id")?);
    let surplus_of: Option<Guid> = row.get("surplus_of")?;
    let (state, own_task) = (row.get("state")?, row.get("task_guid")?);
    let surplus = surplus_of.map(|execution| Surplus { execution, state, own_task });
    Ok(Stray {
        name,
        task_name: row.get("stray_task_name")?,
        attempts: row.get("stray_attempts")?,
        attempt: row.get("stray_attempt")?,
        is_to_end: row.get("is_to_end")?,
        app: row.get("app_guid")?,
        doubt_until,
        request_id,
        surplus,
    })
}

fn assignment_of(row: &Row<'_>) -> Result<(Id, Assignment), StoreError> {
    let course = course_of(row)?;
    Ok((row.get("id")?, Assignment { work: work_of(row)?, course }))
}

fn course_of(row: &Row<'_>) -> Result<Course, StoreError> {
    Ok(Course {
        attempt: row.get("attempt")?,
        began_at: row.get("start_time")?,
        concurrency_policy: row.get("concurrency_policy")?,
        retry: retry_of(row)?,
    })
}

fn cancelling_of(row: &Row<'_>) -> Result<Option<Cancelling>, StoreError> {
    let Some(reason) = row.get::<Option<Reason>>("cancel_reason")? else { return Ok(None) };
    let message: Option<String> = row.get("cancel_message")?;
    let accepted_at = row.get("cancel_accepted_at")?;
    Ok(Some(Cancelling { reason, message: message.unwrap_or_default(), accepted_at }))
}

pub(super) fn execution_of(row: &Row<'_>) -> Result<Execution, StoreError> {
    let (note, message): (String, String) = (row.get("note")?, row.get("message")?);
    let more = match row.get::<u64>("more_fire_times")? {
        0 => String::new(),
        1 => "stands for 1 more fire time".to_owned(),
        more => format!("stands for {more} more fire times"),
    };
    let message = match row.get::<u64>("more_skipped")? {
        0 => message,
        more => format!("{message}, and {more} more were skipped"),
    };
    let parts: Vec<String> = [note, more, message].into_iter().filter(|part| !part.is_empty()).collect();
    let message = parts.join("; ");
    Ok(Execution {
        id: row.get("id")?,
        guid: row.get("guid")?,
        schedule: row.get("schedule_guid")?,
        scheduled_time: row.get("scheduled_time")?,
        state: row.get("state")?,
        message,
        reason: row.get("reason")?,
        requested_by: row.get("requested_by")?,
        attempt: row.get("attempt")?,
        task: row.get("task_guid")?,
        start_time: row.get("start_time")?,
        end_time: row.get("end_time")?,
    })
}

fn waiting_of(row: &Row<'_>, fence: Fence) -> Result<Waiting, StoreError> {
    Ok(Waiting {
        of: Owned { id: row.get("id")?, fence },
        guid: row.get("guid")?,
        executable: row.get("executable_guid")?,
        name: row.get("name")?,
        scheduled_time: row.get("scheduled_time")?,
        due_since: row.get("dispatch_time")?,
        attempts: Attempts {
            count: row.get("attempts")?,
            failures: row.get("failures")?,
            doubt_until: row.get("doubt_until")?,
            give_up_at: row.get("give_up_at")?,
        },
        task_name: row.get("task_name")?,
        app: row.get("app_guid")?,
        kind: row.get("kind")?,
        share: row.get("share")?,
        request_id: row.get("request_id")?,
    })
}

impl Column for ExecutionState {
    fn of(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Text("PENDING") => Some(Self::Pending),
            Cell::Text("RUNNING") => Some(Self::Running),
            Cell::Text("SUCCEEDED") => Some(Self::Succeeded),
            Cell::Text("FAILED") => Some(Self::Failed),
            Cell::Text("SKIPPED") => Some(Self::Skipped),
            _ => None,
        }
    }
}

impl Column for Reason {
    fn of(cell: Cell<'_>) -> Option<Self> {
        Self::named(&String::of(cell)?)
    }
}
