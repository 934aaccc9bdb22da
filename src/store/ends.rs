//! The ends of executions, and the states of jobs that follow from them.
//!
//! Invariant: an execution ends once. What is cancelled has not begun, and never begins: a mark on its
//! schedule says so at once to every reader and to the workers, and the rows follow in batches.

use std::collections::HashSet;

use super::session::{Row, Session};
use super::statement::{Named, batched_sql, json_array, sql, values};
use super::{Store, StoreError, outbox};
use crate::model::{EndState, Fence, Guid, Id, Kind, Outcome, Owned, Reason, Schedule, Timestamp};

/// The most statements that are sent before the first is answered.
const AT_ONCE: usize = 500;

/// The end of an owned execution.
#[derive(Debug, Clone)]
pub struct End {
    /// The execution.
    pub of: Owned,
    /// What it came to.
    pub outcome: Outcome,
}

/// An execution that was ended by something else than its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutOff {
    /// The execution.
    pub guid: Guid,
    /// Whether it is a job's or a call's.
    pub kind: Kind,
    /// The id of the request that started it; empty when a schedule did.
    pub request_id: String,
    /// The guid of its job or call.
    pub executable: Guid,
    /// The name of its job or call.
    pub name: String,
}

impl Store {
    /// The end of an execution, and with it the state of its job. `false`: it had ended before, is gone, or
    /// is no longer owned under this lease.
    pub fn finish(&self, end: &End) -> Result<bool, StoreError> {
        self.finish_many(&[end]).map(|finished| finished == [true])
    }

    /// Ends an execution whose task may or may not exist. If one turns up, it is cancelled.
    pub fn give_up(&self, end: &End) -> Result<bool, StoreError> {
        self.write(|tx| {
            jobs_among(tx, std::iter::once(end.of.id))?;
            tx.execute(sql!("strays/insert"), values! { "id": end.of.id, "fence": end.of.fence })?;
            Ok(end_all(tx, &[end])? == [true])
        })
    }

    /// The end of several executions, in one transaction. Returns which of them that changed, in their order.
    pub fn finish_many(&self, ends: &[&End]) -> Result<Vec<bool>, StoreError> {
        if !self.is_shared() {
            return self.write(|tx| end_all(tx, ends));
        }
        // Calls that nobody wants to hear of end in one round trip, and all else in a transaction.
        let mut changed = Vec::with_capacity(ends.len());
        for batch in ends.chunks(AT_ONCE) {
            let sets: Vec<Vec<Named<'_>>> = batch.iter().map(|end| end_values(end, true)).collect();
            let rows = self.write_one(|tx| tx.execute_each(batched_sql!("executions/finish"), &sets))?;
            changed.extend(rows.into_iter().map(|rows| rows == 1));
        }
        let left: Vec<usize> = (0..ends.len()).filter(|index| !changed[*index]).collect();
        if !left.is_empty() {
            let others: Vec<&End> = left.iter().map(|index| ends[*index]).collect();
            for (index, is_changed) in left.into_iter().zip(self.write(|tx| end_all(tx, &others))?) {
                changed[index] = is_changed;
            }
        }
        Ok(changed)
    }

    /// Records a batch of the executions that marks on their schedules cancel. Returns how many rows that
    /// changed; 0: all are recorded. It may be repeated, and goes on where a crash ended it.
    pub fn record_cancelled(&self, limit: u32) -> Result<usize, StoreError> {
        self.write(|tx| {
            let read = |row: &Row<'_>| -> Result<(Id, Id, Id, Timestamp, String), StoreError> {
                Ok((
                    row.get("id")?,
                    row.get("executable_id")?,
                    row.get("cancelled_up_to")?,
                    row.get("cancelled_at")?,
                    row.get("cancel_reason")?,
                ))
            };
            let marked = tx.first(sql!("schedules/first_cancelled"), values! {}, read)?;
            let Some((schedule, executable, up_to, at, reason)) = marked else { return Ok(0) };
            let values = values! {
                "executable_id": executable, "schedule_id": schedule, "up_to": up_to, "limit": limit,
            };
            let ids: Vec<Id> = tx.rows(sql!("executions/marked"), values, |row| row.get("id"))?;
            let Some(last) = ids.last() else {
                let values = values! { "id": schedule, "up_to": up_to };
                tx.execute(sql!("schedules/clear_cancelled"), values)?;
                // Another schedule may follow, or a later mark on this one.
                return Ok(1);
            };
            let json = json_array(ids.iter())?;
            // A task may be on its way: it is looked for, and cancelled.
            tx.execute(sql!("strays/insert_many"), values! { "ids": &json })?;
            let values = values! {
                "ids": &json, "reason": Reason::Cancelled.as_str(), "message": &reason, "end_time": at,
            };
            let rows = tx.execute(sql!("executions/cancel"), values)?;
            set_states(tx, &[(*last, EndState::Failed.as_str())])?;
            Ok(rows)
        })
    }

    /// Ends the calls that this process owns as FAILED with `message`, and returns them: at start, those of
    /// the process before; at stop, those that took too long.
    pub fn interrupt_calls(&self, message: &str, now: Timestamp) -> Result<Vec<CutOff>, StoreError> {
        let fence = self.fence()?;
        self.write(|tx| interrupt_calls(tx, fence, message, now))
    }
}

/// Cancels what is PENDING of a schedule, by a mark. Returns how many executions that are.
pub(super) fn cancel_pending_of_schedule(
    tx: &Session<'_>,
    schedule: &Schedule,
    reason: &str,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let values = values! { "executable_id": schedule.executable, "schedule_id": schedule.id };
    let waiting = |row: &Row<'_>| Ok((row.get::<u64>("waiting")?, row.get::<Option<Id>>("last")?));
    let (count, last) = tx.one(sql!("executions/pending_of_schedule"), values, waiting)?;
    if let Some(last) = last {
        let values = values! { "id": schedule.id, "up_to": last, "now": now, "reason": reason };
        tx.execute(sql!("schedules/mark_cancelled"), values)?;
        set_states(tx, &[(last, EndState::Failed.as_str())])?;
    }
    Ok(count)
}

/// Cancels what is PENDING of the schedules of a space, by marks; what was started by hand goes on. Returns
/// how many executions of each kind that are.
pub(super) fn cancel_pending_of_space(
    tx: &Session<'_>,
    space: &Guid,
    reason: &str,
    now: Timestamp,
) -> Result<Vec<(Kind, u64)>, StoreError> {
    let values = values! { "space_guid": space, "now": now, "reason": reason };
    let counts = tx.one(sql!("service_spaces/pending_executions"), values, |row| {
        Ok([(Kind::Job, row.get::<u64>("jobs")?), (Kind::Call, row.get::<u64>("calls")?)])
    })?;
    let counts: Vec<(Kind, u64)> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
    if !counts.is_empty() {
        tx.execute(sql!("service_spaces/mark_cancelled"), values)?;
    }
    Ok(counts)
}

/// Ends the calls that are owned under the lease `fence`.
pub(super) fn interrupt_calls(
    tx: &Session<'_>,
    fence: Fence,
    message: &str,
    now: Timestamp,
) -> Result<Vec<CutOff>, StoreError> {
    let read = |row: &Row<'_>| Ok((row.get::<Id>("id")?, cut_off_of(row)?));
    let calls = tx.rows(sql!("executions/calls_in_flight"), values! { "fence": fence }, read)?;
    let outcome = Outcome::failed(Reason::Interrupted, message, now);
    let end = |id: Id| End { of: Owned { id, fence }, outcome: outcome.clone() };
    let ends: Vec<End> = calls.iter().map(|(id, _)| end(*id)).collect();
    let changed = end_all(tx, &ends.iter().collect::<Vec<_>>())?;
    Ok(calls.into_iter().zip(changed).filter(|(_, changed)| *changed).map(|((_, it), _)| it).collect())
}

pub(super) fn cut_off_of(row: &Row<'_>) -> Result<CutOff, StoreError> {
    Ok(CutOff {
        guid: row.get("guid")?,
        kind: row.get("kind")?,
        request_id: row.get("request_id")?,
        executable: row.get("executable_guid")?,
        name: row.get("name")?,
    })
}

/// Records ends, and the states of jobs that follow from them. Which executions that changed.
pub(super) fn end_all(tx: &Session<'_>, ends: &[&End]) -> Result<Vec<bool>, StoreError> {
    let mut changed = Vec::with_capacity(ends.len());
    for batch in ends.chunks(AT_ONCE) {
        changed.extend(end_batch(tx, batch)?);
    }
    Ok(changed)
}

fn end_batch(tx: &Session<'_>, ends: &[&End]) -> Result<Vec<bool>, StoreError> {
    // Before the executions, so that two transactions lock both in the same order.
    let jobs = jobs_among(tx, ends.iter().map(|end| end.of.id))?;
    let mut in_order: Vec<(usize, &End)> = ends.iter().copied().enumerate().collect();
    in_order.sort_unstable_by_key(|(_, end)| end.of.id);
    let sets: Vec<Vec<Named<'_>>> = in_order.iter().map(|(_, end)| end_values(end, false)).collect();
    let rows = tx.execute_each(batched_sql!("executions/finish"), &sets)?;
    let mut changed = vec![false; ends.len()];
    // The last first: of many executions of one job, it alone changes the job then.
    let mut ended_jobs = Vec::new();
    let mut ended = Vec::new();
    for ((index, end), rows) in in_order.into_iter().zip(rows).rev() {
        changed[index] = rows == 1;
        if rows == 1 {
            ended.push((end.of.id, &end.outcome));
        }
        if rows == 1 && jobs.contains(&end.of.id) {
            ended_jobs.push((end.of.id, end.outcome.state.as_str()));
        }
    }
    set_states(tx, &ended_jobs)?;
    outbox::tell_outcomes(tx, &ended)?;
    Ok(changed)
}

/// The values of executions/finish. `is_silent`: it ends only if that takes no further statements.
fn end_values(end: &End, is_silent: bool) -> Vec<Named<'_>> {
    let Outcome { state, message, reason, end_time } = &end.outcome;
    values! {
        "id": end.of.id, "fence": end.of.fence, "state": state.as_str(), "message": message,
        "reason": reason.map(Reason::as_str), "end_time": *end_time, "is_silent": is_silent,
    }
    .to_vec()
}

/// Which of these executions run jobs, whose states follow those in which their executions end. The jobs are
/// locked.
fn jobs_among(tx: &Session<'_>, ids: impl Iterator<Item = Id>) -> Result<HashSet<Id>, StoreError> {
    let ids = json_array(ids)?;
    let jobs = tx.rows(sql!("executions/jobs_among"), values! { "ids": &ids }, |row| row.get("id"))?;
    Ok(jobs.into_iter().collect())
}

/// The states of jobs follow those in which their executions have ended. The jobs are locked already.
pub(super) fn set_states(tx: &Session<'_>, ended: &[(Id, &str)]) -> Result<(), StoreError> {
    let sets: Vec<Vec<Named<'_>>> = ended
        .iter()
        .map(|(execution, state)| values! { "execution_id": *execution, "state": *state }.to_vec())
        .collect();
    tx.execute_each(batched_sql!("executables/set_state"), &sets)?;
    Ok(())
}
