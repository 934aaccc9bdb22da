//! Views across jobs and calls: filtered executions, and the next schedules to fire.
//!
//! Invariant: a request reads a bounded number of rows, however many there are.

use super::executions::execution_of;
use super::schedules::timing_of;
use super::session::Row;
use super::statement::{Statement, json_array, sql, values};
use super::{Store, StoreError};
use crate::model::{Execution, ExecutionState, Guid, Id, Kind, Timestamp, Timing};

/// An execution with its job or call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedExecution {
    /// The execution.
    pub execution: Execution,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// The job or call.
    pub of: Listed,
    /// When its cancellation was requested.
    pub cancel_requested_at: Option<Timestamp>,
    /// When its current attempt began.
    pub attempt_start: Option<Timestamp>,
    /// The app in which its task ran, if recorded.
    pub ran_in: Option<Guid>,
}

/// An attempt of an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// From 1 on.
    pub number: u32,
    /// When it began.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// Its task.
    pub task: Option<Guid>,
    /// Its outcome.
    pub message: String,
}

impl ListedExecution {
    /// The number of attempts that have begun.
    pub fn attempts(&self) -> u32 {
        self.execution.attempt.saturating_sub(u32::from(self.last_attempt().is_none()))
    }

    /// The latest attempt, once it has begun.
    pub fn last_attempt(&self) -> Option<Attempt> {
        let Execution { attempt, task, message, end_time, .. } = &self.execution;
        let start_time = match (self.attempt_start, attempt) {
            (None, 1) => self.execution.start_time,
            (start_time, _) => start_time,
        };
        start_time.is_some().then(|| Attempt {
            number: *attempt,
            start_time,
            end_time: *end_time,
            task: task.clone(),
            message: message.clone(),
        })
    }
}

/// A job or call, as lists across spaces show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Whether it is a job or a call.
    pub kind: Kind,
    /// Its guid.
    pub guid: Guid,
    /// Its name.
    pub name: String,
    /// Its app.
    pub app: Guid,
    /// That app's space.
    pub space: Guid,
}

/// A schedule that fires soon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpcomingSchedule {
    /// Its guid.
    pub guid: Guid,
    /// Its timing.
    pub timing: Timing,
    /// Its next fire time, even if its space is paused then.
    pub next_fire_time: Timestamp,
    /// Until when its space is paused.
    pub paused_until: Option<Timestamp>,
    /// Its job or call.
    pub of: Listed,
}

/// An execution in a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its guid.
    pub guid: Guid,
    /// Its state.
    pub state: ExecutionState,
    /// What it ended with.
    pub message: String,
    /// `None`: it has not started.
    pub start_time: Option<Timestamp>,
    /// `None`: it has not ended.
    pub end_time: Option<Timestamp>,
}

/// How many executions are in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateCount {
    /// The state.
    pub state: ExecutionState,
    /// The number of executions found.
    pub total: u32,
    /// Whether there may be others that were not examined.
    pub may_be_more: bool,
}

/// A job or call that has not succeeded for too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// The job or call.
    pub of: Listed,
    /// The latest of its last success, its creation, and the last change of its expectation.
    pub expected_since: Timestamp,
    /// Within how many seconds from then it should have succeeded.
    pub within_seconds: u32,
}

impl Store {
    /// Jobs and calls of these spaces (`None`: all) that are overdue at `now`, at most `limit`, in no order.
    pub fn overdue(
        &self,
        spaces: Option<&[Guid]>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Overdue>, StoreError> {
        let spaces = spaces_json(spaces)?;
        let values = values! { "spaces": spaces.as_ref(), "now": now, "limit": limit };
        self.read(|session| {
            session.rows(sql!("streaks/list_overdue"), values, |row| {
                Ok(Overdue {
                    of: listed_of(row)?,
                    expected_since: row.get("expected_since")?,
                    within_seconds: row.get("expect_success_within_seconds")?,
                })
            })
        })
    }

    /// The newest executions of each of these jobs and calls, at most `limit` of each.
    pub fn newest_of(&self, executables: &[Guid], limit: u32) -> Result<Vec<Vec<Run>>, StoreError> {
        self.read_at_once(|session| {
            let newest = executables.iter().map(|guid| {
                let values = values! { "executable_guid": guid, "limit": limit };
                session.rows(sql!("executions/newest_of"), values, |row| {
                    Ok(Run {
                        guid: row.get("guid")?,
                        state: row.get("state")?,
                        message: row.get("message")?,
                        start_time: row.get("start_time")?,
                        end_time: row.get("end_time")?,
                    })
                })
            });
            newest.collect()
        })
    }

    /// The newest running executions in these spaces, or in all: guids, what they run, and when they started.
    pub fn running(
        &self,
        spaces: Option<&[Guid]>,
        limit: u32,
    ) -> Result<Vec<(Guid, Listed, Option<Timestamp>)>, StoreError> {
        let spaces = spaces_json(spaces)?;
        let values = values! { "spaces": spaces.as_ref(), "limit": limit };
        self.read(|session| {
            session.rows(sql!("executions/running"), values, |row| {
                Ok((row.get("guid")?, listed_of(row)?, row.get("start_time")?))
            })
        })
    }

    /// How many executions were created after `since`, by state, in these spaces or in all. Each count
    /// examines the newest `limit` of its state; that of SUCCEEDED the newest `most` of all states.
    pub fn count_latest(
        &self,
        spaces: Option<&[Guid]>,
        since: Timestamp,
        (limit, most): (u32, u32),
    ) -> Result<Vec<StateCount>, StoreError> {
        let spaces = spaces_json(spaces)?;
        let values = values! { "spaces": spaces.as_ref(), "since": since, "limit": limit, "most": most };
        self.read(|session| {
            session.rows(sql!("executions/count_latest"), values, |row| {
                let state: ExecutionState = row.get("state")?;
                let looked_at: u32 = row.get("looked_at")?;
                let oldest: Timestamp = row.get("oldest")?;
                let all = if state == ExecutionState::Succeeded { most } else { limit };
                Ok(StateCount {
                    state,
                    total: row.get("total")?,
                    may_be_more: looked_at == all && since < oldest,
                })
            })
        })
    }

    /// The execution with this guid, with its job or call.
    pub fn find_execution(&self, guid: &str) -> Result<Option<ListedExecution>, StoreError> {
        let values = values! { "guid": guid };
        self.read(|session| session.first(sql!("executions/by_guid"), values, listed_execution_of))
    }

    /// The finished attempts of an execution, in order.
    pub fn attempts_before(&self, execution: Id) -> Result<Vec<Attempt>, StoreError> {
        let values = values! { "execution_id": execution };
        self.read(|session| session.rows(sql!("attempts/list"), values, attempt_of))
    }

    /// A batch of the enabled schedules whose ids are greater than `after`, at most `limit`, with what they
    /// run, and the id after which the next batch begins; `None`: there are no more.
    pub fn schedules_ahead(
        &self,
        after: Id,
        limit: u32,
    ) -> Result<(Vec<UpcomingSchedule>, Option<Id>), StoreError> {
        let values = values! { "after_id": after, "limit": limit };
        let rows: Vec<(Id, UpcomingSchedule)> = self.read(|session| {
            session.rows(sql!("schedules/ahead"), values, |row| Ok((row.get("id")?, upcoming_of(row)?)))
        })?;
        let is_full = u32::try_from(rows.len()).is_ok_and(|count| count == limit);
        let last = rows.last().map(|(id, _)| *id).filter(|_| is_full);
        Ok((rows.into_iter().map(|(_, schedule)| schedule).collect(), last))
    }

    /// The next schedules to fire, up to `until`, at most `limit`, in these spaces or in all. Without those
    /// of paused spaces.
    pub fn upcoming_schedules(
        &self,
        spaces: Option<&[Guid]>,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<UpcomingSchedule>, StoreError> {
        self.schedules_until(sql!("schedules/upcoming"), spaces, now, until, limit)
    }

    /// The same of spaces that are paused now, but no longer at `until`. In the order in which they would
    /// fire without the pause.
    pub fn resuming_schedules(
        &self,
        spaces: Option<&[Guid]>,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<UpcomingSchedule>, StoreError> {
        self.schedules_until(sql!("schedules/resuming"), spaces, now, until, limit)
    }

    fn schedules_until(
        &self,
        statement: &'static Statement,
        spaces: Option<&[Guid]>,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<UpcomingSchedule>, StoreError> {
        let spaces = spaces_json(spaces)?;
        let values = values! { "spaces": spaces.as_ref(), "now": now, "until": until, "limit": limit };
        self.read(|session| session.rows(statement, values, upcoming_of))
    }
}

/// The spaces as the statements take them: a JSON array of guids. `None`: all.
pub(super) fn spaces_json(spaces: Option<&[Guid]>) -> Result<Option<String>, StoreError> {
    spaces.map(|spaces| json_array(spaces.iter().map(Guid::as_str))).transpose()
}

fn upcoming_of(row: &Row<'_>) -> Result<UpcomingSchedule, StoreError> {
    Ok(UpcomingSchedule {
        guid: row.get("guid")?,
        timing: timing_of(row)?,
        next_fire_time: row.get("next_fire_time")?,
        paused_until: row.get("paused_until")?,
        of: listed_of(row)?,
    })
}

pub(super) fn attempt_of(row: &Row<'_>) -> Result<Attempt, StoreError> {
    Ok(Attempt {
        number: row.get("number")?,
        start_time: row.get("start_time")?,
        end_time: row.get("end_time")?,
        task: row.get("task_guid")?,
        message: row.get("message")?,
    })
}

pub(super) fn listed_execution_of(row: &Row<'_>) -> Result<ListedExecution, StoreError> {
    Ok(ListedExecution {
        execution: execution_of(row)?,
        created_at: row.get("created_at")?,
        of: listed_of(row)?,
        attempt_start: row.get("attempt_start_time")?,
        cancel_requested_at: row.get("cancel_requested_at")?,
        ran_in: row.get("ran_in")?,
    })
}

fn listed_of(row: &Row<'_>) -> Result<Listed, StoreError> {
    Ok(Listed {
        guid: row.get("executable_guid")?,
        kind: row.get("kind")?,
        name: row.get("name")?,
        app: row.get("app_guid")?,
        space: row.get("space_guid")?,
    })
}
