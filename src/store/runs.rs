//! Decides which execution may begin, is cancelled, or gets another attempt.
//!
//! Invariant: each decision is a guarded update of one row. Overlap is decided under a lock of the job or
//! call, in the transaction that begins, skips or blocks the execution, so it holds across restarts,
//! instances and crashes.

use super::audit::{self, NewEvent};
use super::ends::{self, CutOff, End};
use super::executions::execution_of;
use super::session::{Row, Session};
use super::statement::{Statement, Value, batched_sql, json_array, postgres_sql, sql, sqlite_sql, values};
use super::{Store, StoreError};
use crate::model::{
    ConcurrencyPolicy, EndState, Execution, ExecutionState, Guid, Id, Kind, NextAttempt, Owned, Reason,
    Timestamp,
};

/// For each execution, the most skipped executions that it blocked and that get a row. The last of these rows
/// counts the others.
const SKIPPED_ROWS_MAX: u32 = 20;
/// The most blocking executions that a decision examines.
const AHEAD_MAX: u32 = 1000;

/// Whether an execution has begun, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// The worker may send the request: the call is RUNNING, or the attempt to create the task is recorded.
    Begun,
    /// It has ended, was deleted, or is not owned under this lease.
    Gone,
    /// It stays PENDING until another execution has ended.
    Waits,
    /// It is SKIPPED.
    Skipped,
}

impl Start {
    /// Whether it may continue.
    pub const fn has_begun(&self) -> bool {
        matches!(self, Self::Begun)
    }
}

/// Other changes that a decision made: to other executions, or by skipping the execution itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// Executions that have ended.
    pub ended: Vec<Ended>,
    /// Running executions to cancel.
    pub cancelled: Vec<Id>,
}

/// An execution that ended because of a decision about another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The execution.
    pub of: CutOff,
    /// FAILED or SKIPPED.
    pub state: ExecutionState,
    /// The message to show.
    pub message: String,
}

/// A request to start an execution by hand.
#[derive(Debug, Clone, Copy, Default)]
pub struct ManualStart<'a> {
    /// The id of the request.
    pub request_id: &'a str,
    /// The name or id of the user.
    pub by: &'a str,
    /// The overlap policy of the job or call.
    pub policy: ConcurrencyPolicy,
    /// The event to write with it.
    pub event: Option<&'a NewEvent>,
}

/// An execution that was started by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// PENDING or SKIPPED. If it was skipped without a row of its own, the skipped execution whose row counts
    /// it.
    pub execution: Execution,
    /// The effects on others.
    pub effects: Effects,
}

/// The result of a request to cancel an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// It was PENDING, and is FAILED now.
    Ended(CutOff),
    /// It is running, and is to be cancelled.
    Requested(Id),
    /// It was already cancelled, or its cancellation was already requested.
    Before,
    /// It had already ended in another way.
    HasEnded(ExecutionState),
    /// It no longer exists.
    Gone,
}

/// The execution to begin or to cancel.
struct Contender {
    id: Id,
    of: CutOff,
    executable: Id,
    state: ExecutionState,
    reason: Option<Reason>,
    has_begun: bool,
    policy: ConcurrencyPolicy,
    is_by_hand: bool,
}

/// An execution that may block another one.
struct Ahead {
    id: Id,
    of: CutOff,
    is_running: bool,
    has_begun: bool,
    is_by_hand: bool,
}

enum Decision {
    Go,
    Wait { behind: Guid },
    Skip { behind: Id, guid: Guid },
}

impl Store {
    /// Records that a call is about to be sent: PENDING → RUNNING. It may be sent only if the result is
    /// `Begun`. Can be repeated after an error. `is_admitted`: an earlier attempt has begun, so the overlap
    /// policy no longer applies. An execution that no instance owns is claimed if its due time and number of
    /// attempts are still as read.
    pub fn start_call(
        &self,
        of: Owned,
        (due_since, attempts): (Timestamp, u32),
        is_admitted: bool,
        now: Timestamp,
    ) -> Result<(Start, Effects), StoreError> {
        let values = |is_admitted: bool| {
            values! {
                "id": of.id, "fence": of.fence, "dispatch_time": due_since, "attempts": attempts, "now": now,
                "is_admitted": is_admitted,
            }
            .to_vec()
        };
        self.start(of, is_admitted, now, batched_sql!("executions/start_call", of_engine), &values)
    }

    /// Records that the worker is about to create a task in `app`; after `doubt_until`, "not found" is
    /// conclusive. `task_name` is stored with the first request of an attempt; `None`: the task is named
    /// after the attempt's key. The rest is as in [`Store::start_call`].
    pub fn begin_attempt(
        &self,
        of: Owned,
        (due_since, attempts): (Timestamp, u32),
        is_admitted: bool,
        (app, task_name): (&Guid, Option<&str>),
        now: Timestamp,
        doubt_until: Timestamp,
    ) -> Result<(Start, Effects), StoreError> {
        let values = |is_admitted: bool| {
            values! {
                "id": of.id, "fence": of.fence, "dispatch_time": due_since, "attempts": attempts,
                "task_name": task_name, "app_guid": app, "now": now, "doubt_until": doubt_until,
                "is_admitted": is_admitted,
            }
            .to_vec()
        };
        self.start(of, is_admitted, now, batched_sql!("executions/begin_attempt", of_engine), &values)
    }

    fn start<'a>(
        &self,
        of: Owned,
        is_admitted: bool,
        now: Timestamp,
        begin: &'static Statement,
        values: &dyn Fn(bool) -> Vec<(&'static str, Value<'a>)>,
    ) -> Result<(Start, Effects), StoreError> {
        if self.write_in_group(|tx| Ok(tx.execute(begin, &values(is_admitted))? == 1))? {
            return Ok((Start::Begun, Effects::default()));
        }
        if is_admitted {
            return Ok((Start::Gone, Effects::default()));
        }
        self.write(|tx| {
            let mut effects = Effects::default();
            let Some(contender) = contender(tx, of.id)? else { return Ok((Start::Gone, effects)) };
            if contender.state.is_final() {
                return Ok((Start::Gone, effects));
            }
            let decision = match contender.has_begun {
                true => Decision::Go,
                false => decide(tx, &contender, now, &mut effects)?,
            };
            let start = match decision {
                Decision::Go => match tx.execute(begin, &values(true))? {
                    0 => Start::Gone,
                    _ => Start::Begun,
                },
                Decision::Wait { behind } => {
                    block(tx, contender.id, &behind)?;
                    Start::Waits
                }
                Decision::Skip { behind, guid } => {
                    let message = format!("skipped: execution {guid} had not ended");
                    skip(
                        tx,
                        (contender.id, contender.of, contender.is_by_hand),
                        behind,
                        message,
                        now,
                        &mut effects,
                    )?;
                    Start::Skipped
                }
            };
            Ok((start, effects))
        })
    }

    /// Makes blocked executions due if nothing blocks them any longer. Returns their number.
    pub fn unblock(&self, kind: Kind, now: Timestamp) -> Result<usize, StoreError> {
        let values = values! { "kind": kind.as_str(), "now": now };
        self.write_one(|tx| tx.execute(sql!("executions/unblock"), values))
    }

    /// Records an execution that a client starts by hand. `None`: the job or call was deleted.
    pub fn create_execution(
        &self,
        executable: Id,
        asked: ManualStart<'_>,
        now: Timestamp,
    ) -> Result<Option<Created>, StoreError> {
        let guid = Guid::random();
        let values = values! {
            "guid": &guid, "executable_id": executable, "now": now, "request_id": asked.request_id,
            "requested_by": asked.by,
        };
        let event = audit::Columns::of(asked.event, None);
        let values = [&values[..], &event.values()].concat();
        let pending = |id: Id, guid: Guid| Execution {
            id,
            guid,
            schedule: None,
            scheduled_time: None,
            state: ExecutionState::Pending,
            message: String::new(),
            reason: None,
            requested_by: asked.by.to_owned(),
            attempt: 1,
            task: None,
            start_time: None,
            end_time: None,
        };
        let insert = |tx: &Session<'_>| -> Result<Option<Id>, StoreError> {
            let id = tx.first(batched_sql!("executions/insert_manual"), &values, |row| row.get("id"))?;
            if id.is_some() {
                audit::record_apart(tx, asked.event, None, now)?;
            }
            Ok(id)
        };
        if asked.policy == ConcurrencyPolicy::Always {
            let id = self.write_in_group(insert)?;
            let created = |id| Created { execution: pending(id, guid), effects: Effects::default() };
            return Ok(id.map(created));
        }
        self.write(|tx| {
            let mut effects = Effects::default();
            // Locked before the execution is inserted: the same order as everywhere else, so no deadlock.
            tx.lock(postgres_sql!("executables/lock"), values! { "id": executable })?;
            let Some(id) = insert(tx)? else { return Ok(None) };
            let Some(contender) = contender(tx, id)? else { return Ok(None) };
            let shown = match decide(tx, &contender, now, &mut effects)? {
                Decision::Go => id,
                Decision::Wait { behind } => {
                    block(tx, id, &behind)?;
                    id
                }
                Decision::Skip { behind, guid } => {
                    let message = format!("skipped: execution {guid} had not ended");
                    skip(tx, (id, contender.of, false), behind, message, now, &mut effects)?
                }
            };
            let values = values! { "id": shown };
            let execution = tx.first(sql!("executions/by_id"), values, execution_of)?;
            Ok(execution.map(|execution| Created { execution, effects }))
        })
    }

    /// Cancels an execution for a user. A PENDING one ends at once; the watcher looks for a task that may
    /// have been created, and cancels it. For a running one, the request is recorded. Both survive a restart.
    pub fn cancel_execution(
        &self,
        id: Id,
        message: &str,
        now: Timestamp,
        event: Option<&NewEvent>,
    ) -> Result<Cancelled, StoreError> {
        self.write(|tx| {
            let Some(contender) = contender(tx, id)? else { return Ok(Cancelled::Gone) };
            let was_cancelled = contender.reason == Some(Reason::Cancelled);
            Ok(match contender.state {
                ExecutionState::Pending => {
                    // `contender` locked it, so it is still PENDING.
                    end_pending(tx, id, Reason::Cancelled, message, now)?;
                    audit::record(tx, event, None, now)?;
                    Cancelled::Ended(contender.of)
                }
                ExecutionState::Running => {
                    match request_cancel(tx, (id, None), Reason::Cancelled, message, now)? {
                        true => {
                            audit::record(tx, event, None, now)?;
                            Cancelled::Requested(id)
                        }
                        false => Cancelled::Before,
                    }
                }
                _ if was_cancelled => Cancelled::Before,
                state => Cancelled::HasEnded(state),
            })
        })
    }

    /// Requests the cancellation of a running execution. `false`: it has ended, has another task, or is
    /// already being cancelled.
    pub fn request_cancel(
        &self,
        of: Owned,
        task: &Guid,
        reason: Reason,
        message: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write_one(|tx| request_cancel(tx, (of.id, Some(task)), reason, message, now))
    }

    /// Records that the platform has accepted the cancellation of a running execution's task.
    pub fn cancel_accepted(&self, of: Owned, now: Timestamp) -> Result<bool, StoreError> {
        let values = values! { "id": of.id, "fence": of.fence, "now": now };
        self.write_one(|tx| Ok(tx.execute(sql!("executions/cancel_accepted"), values)? == 1))
    }

    /// Ends an execution whose task is still running although the platform accepted its cancellation. The
    /// watcher keeps cancelling the task.
    pub fn finish_without_task(&self, end: &End, task: &Guid) -> Result<bool, StoreError> {
        let ended = self.write(|tx| {
            let changed = ends::end_all(tx, &[end])? == [true];
            if changed {
                let values = values! { "task_guid": task, "now": end.outcome.end_time };
                tx.execute(sql!("strays/insert_to_end"), values)?;
            }
            Ok(changed)
        });
        self.note_told();
        ended
    }

    /// Plans the next attempt: RUNNING → PENDING. `false`: no attempt follows, because the execution has
    /// ended, is being cancelled, or its job, call or schedule is gone.
    pub fn retry(&self, of: Owned, attempt: u32, next: &NextAttempt) -> Result<bool, StoreError> {
        self.write(|tx| {
            // Locks the row that disabling the schedule locks too.
            if contender(tx, of.id)?.is_none() {
                return Ok(false);
            }
            let values = values! {
                "id": of.id, "fence": of.fence, "attempt": attempt, "ended_at": next.ended_at,
                "cause": &next.cause,
            };
            if tx.execute(sql!("attempts/insert"), values)? == 0 {
                return Ok(false);
            }
            let values = values! { "id": of.id, "due_at": next.due_at, "message": &next.message };
            Ok(tx.execute(sql!("executions/next_attempt"), values)? == 1)
        })
    }

    /// Calls in flight in this instance whose cancellation was requested, perhaps at another instance.
    pub fn cancelled_calls(&self) -> Result<Vec<Id>, StoreError> {
        if !self.is_shared() {
            return Ok(Vec::new());
        }
        let values = values! { "fence": self.fence()? };
        self.read_at_once(|session| {
            session.rows(postgres_sql!("executions/cancelled_calls"), values, |row| row.get("id"))
        })
    }

    /// After a clock jump of `by_nanos`: shifts the start of running attempts, so that their age stays the
    /// same.
    pub(super) fn shift_running(tx: &Session<'_>, by_nanos: i64) -> Result<(), StoreError> {
        tx.execute(sqlite_sql!("executions/shift_running"), values! { "by": by_nanos }).map(|_| ())
    }
}

fn contender(tx: &Session<'_>, id: Id) -> Result<Option<Contender>, StoreError> {
    tx.lock(postgres_sql!("executables/lock_of_execution"), values! { "id": id })?;
    tx.first(sql!("executions/contender"), values! { "id": id }, |row| {
        let start_time: Option<Timestamp> = row.get("start_time")?;
        Ok(Contender {
            id: row.get("id")?,
            of: ends::cut_off_of(row)?,
            executable: row.get("executable_id")?,
            state: row.get("state")?,
            reason: row.get("reason")?,
            has_begun: start_time.is_some(),
            policy: row.get("concurrency_policy")?,
            is_by_hand: row.get("is_by_hand")?,
        })
    })
}

/// Decides by the overlap policy whether the execution may begin. Ends and cancels others as the policy
/// demands.
fn decide(
    tx: &Session<'_>,
    contender: &Contender,
    now: Timestamp,
    effects: &mut Effects,
) -> Result<Decision, StoreError> {
    if contender.policy == ConcurrencyPolicy::Always {
        return Ok(Decision::Go);
    }
    let values = values! { "executable_id": contender.executable, "id": contender.id, "limit": AHEAD_MAX };
    let ahead = tx.rows(sql!("executions/ahead"), values, |row: &Row<'_>| {
        let start_time: Option<Timestamp> = row.get("start_time")?;
        let state: ExecutionState = row.get("state")?;
        Ok(Ahead {
            id: row.get("id")?,
            of: ends::cut_off_of(row)?,
            is_running: state == ExecutionState::Running,
            has_begun: start_time.is_some(),
            is_by_hand: row.get("is_by_hand")?,
        })
    })?;
    let Some(first) = ahead.first() else { return Ok(Decision::Go) };
    let blocker = ahead.iter().rev().find(|it| it.has_begun).unwrap_or(first);
    let (behind, guid) = (blocker.id, blocker.of.guid.clone());
    let waiting = ahead.iter().filter(|it| !it.has_begun).count();
    Ok(match contender.policy {
        ConcurrencyPolicy::Always => Decision::Go,
        ConcurrencyPolicy::Forbid => Decision::Skip { behind, guid },
        ConcurrencyPolicy::Queue if waiting == usize::from(!blocker.has_begun) => {
            Decision::Wait { behind: guid }
        }
        ConcurrencyPolicy::Queue => Decision::Skip { behind, guid },
        ConcurrencyPolicy::Replace => {
            let is_running = replace(tx, contender, ahead, behind, now, effects)?;
            if is_running { Decision::Wait { behind: guid } } else { Decision::Go }
        }
    })
}

/// Makes room for a newer execution: cancels running ones, ends those between attempts, and skips those that
/// have not begun. Returns whether one is still running.
fn replace(
    tx: &Session<'_>,
    contender: &Contender,
    ahead: Vec<Ahead>,
    behind: Id,
    now: Timestamp,
    effects: &mut Effects,
) -> Result<bool, StoreError> {
    let newer = &contender.of.guid;
    let message = format!("replaced by execution {newer}");
    let mut is_running = false;
    for it in ahead {
        if !it.has_begun {
            let message = format!("skipped: execution {newer} takes its place");
            skip(tx, (it.id, it.of, it.is_by_hand), behind, message, now, effects)?;
        } else if !it.is_running && end_pending(tx, it.id, Reason::Replaced, &message, now)? {
            let state = ExecutionState::Failed;
            effects.ended.push(Ended { of: it.of, state, message: message.clone() });
        } else {
            // It is running, or has just begun its next attempt.
            is_running = true;
            if request_cancel(tx, (it.id, None), Reason::Replaced, &message, now)? {
                effects.cancelled.push(it.id);
            }
        }
    }
    Ok(is_running)
}

fn block(tx: &Session<'_>, id: Id, behind: &Guid) -> Result<(), StoreError> {
    let message = format!("waiting for the end of execution {behind}");
    tx.execute(sql!("executions/block"), values! { "id": id, "message": &message }).map(|_| ())
}

/// Skips an execution. Returns the execution whose row records this: itself or, beyond [`SKIPPED_ROWS_MAX`],
/// the last skipped one. With `keeps_row` it always keeps its own row, because a client may already know its
/// guid.
fn skip(
    tx: &Session<'_>,
    (id, of, keeps_row): (Id, CutOff, bool),
    behind: Id,
    message: String,
    now: Timestamp,
    effects: &mut Effects,
) -> Result<Id, StoreError> {
    let values = values! { "behind": behind, "most": SKIPPED_ROWS_MAX };
    let (total, last) = tx.one(sql!("executions/skipped_behind"), values, |row| {
        Ok((row.get::<u32>("total")?, row.get::<Id>("last_id")?))
    })?;
    let (rows, shown) = if keeps_row || total < SKIPPED_ROWS_MAX {
        let values = values! {
            "id": id, "behind": behind, "message": &message, "now": now, "reason": Reason::Overlap.as_str(),
        };
        (tx.execute(sql!("executions/skip"), values)?, id)
    } else {
        let rows = tx.execute(sql!("executions/drop_skipped"), values! { "id": id })?;
        if rows == 1 {
            tx.execute(sql!("executions/count_skip"), values! { "id": last })?;
        }
        (rows, last)
    };
    if rows == 1 {
        effects.ended.push(Ended { of, state: ExecutionState::Skipped, message });
    }
    Ok(shown)
}

fn request_cancel(
    tx: &Session<'_>,
    (id, task): (Id, Option<&Guid>),
    reason: Reason,
    message: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let values =
        values! { "id": id, "task_guid": task, "reason": reason.as_str(), "message": message, "now": now };
    Ok(tx.execute(sql!("executions/request_cancel"), values)? == 1)
}

/// Ends a PENDING execution, whichever instance owns it. `false`: it is no longer PENDING.
fn end_pending(
    tx: &Session<'_>,
    id: Id,
    reason: Reason,
    message: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    // Locks the row, so that the facts about its task, which the next statement copies, cannot change until
    // it has ended.
    tx.lock(postgres_sql!("executions/lock"), values! { "id": id })?;
    let ids = json_array(std::iter::once(id))?;
    tx.execute(sql!("strays/insert_many"), values! { "ids": &ids })?;
    let requested_at = (reason == Reason::Cancelled).then_some(now);
    let values = values! {
        "ids": &ids, "reason": reason.as_str(), "message": message, "end_time": now,
        "requested_at": requested_at,
    };
    if tx.execute(sql!("executions/cancel"), values)? == 0 {
        return Ok(false);
    }
    ends::set_states(tx, &[(id, EndState::Failed.as_str())])?;
    Ok(true)
}
