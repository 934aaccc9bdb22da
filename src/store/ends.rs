//! The ends of executions, and the job states that follow from them.
//!
//! Invariant: an execution ends once. Cancelled PENDING executions never begin: a mark on their schedule
//! hides them at once from readers and workers, and their rows are updated in batches.

use std::collections::HashSet;

use super::session::{Row, Session};
use super::statement::{Named, batched_sql, json_array, sql, values};
use super::{Store, StoreError, outbox};
use crate::model::{EndState, Fence, Guid, Id, Kind, Outcome, Owned, Reason, Schedule, Timestamp};

/// The most statements that are sent before the first answer is read.
const AT_ONCE: usize = 500;

/// The end of an owned execution.
#[derive(Debug, Clone)]
pub struct End {
    /// The execution.
    pub of: Owned,
    /// Its outcome.
    pub outcome: Outcome,
}

/// An execution that was ended, not by its own work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutOff {
    /// The execution.
    pub guid: Guid,
    /// Whether it runs a job or a call.
    pub kind: Kind,
    /// The id of the request that started it; empty when a schedule did.
    pub request_id: String,
    /// The guid of its job or call.
    pub executable: Guid,
    /// The name of its job or call.
    pub name: String,
}

impl Store {
    /// Ends an execution, and sets the state of its job. `false`: it had ended before, is gone, or is not
    /// owned under this lease.
    pub fn finish(&self, end: &End) -> Result<bool, StoreError> {
        self.finish_many(&[end]).map(|finished| finished == [true])
    }

    /// Ends an execution whose task may exist. If the task turns up, it is cancelled.
    pub fn give_up(&self, end: &End) -> Result<bool, StoreError> {
        let ended = self.write(|tx| {
            jobs_among(tx, std::iter::once(end.of.id))?;
            tx.execute(sql!("strays/insert"), values! { "id": end.of.id, "fence": end.of.fence })?;
            Ok(end_all(tx, &[end])? == [true])
        });
        self.note_told();
        ended
    }

    /// Ends several executions in one transaction. Returns for each whether it was ended.
    pub fn finish_many(&self, ends: &[&End]) -> Result<Vec<bool>, StoreError> {
        if !self.is_shared() {
            return self.write(|tx| end_all(tx, ends));
        }
        // Calls that nobody watches end in one round trip; everything else needs a transaction.
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
            self.note_told();
        }
        Ok(changed)
    }

    /// Records a batch of the executions that marks on their schedules cancel. Returns the number of updated
    /// rows; 0: all are recorded. May be repeated, and continues after a crash.
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
                // There may be another schedule, or a later mark on this one.
                return Ok(1);
            };
            let json = json_array(ids.iter())?;
            // A task may have been created: it is looked for and cancelled.
            tx.execute(sql!("strays/insert_many"), values! { "ids": &json })?;
            let values = values! {
                "ids": &json, "reason": Reason::Cancelled.as_str(), "message": &reason, "end_time": at,
                "requested_at": None::<Timestamp>,
            };
            let rows = tx.execute(sql!("executions/cancel"), values)?;
            set_states(tx, &[(*last, EndState::Failed.as_str())])?;
            Ok(rows)
        })
    }

    /// Ends the calls that this process owns as FAILED with `message`, and returns them. At a start these are
    /// calls of the previous process; at a stop, calls that took too long.
    pub fn interrupt_calls(&self, message: &str, now: Timestamp) -> Result<Vec<CutOff>, StoreError> {
        let fence = self.fence()?;
        self.write(|tx| interrupt_calls(tx, fence, message, now))
    }
}

/// Cancels the PENDING executions of a schedule by a mark. Returns their number.
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

/// Cancels the PENDING executions of a space's schedules by marks, but not those started by hand. Returns
/// their number by kind.
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

/// Ends the calls owned under the lease `fence`.
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

/// Ends executions and sets the states of their jobs. Returns for each whether it was ended.
pub(super) fn end_all(tx: &Session<'_>, ends: &[&End]) -> Result<Vec<bool>, StoreError> {
    let mut changed = Vec::with_capacity(ends.len());
    for batch in ends.chunks(AT_ONCE) {
        changed.extend(end_batch(tx, batch)?);
    }
    Ok(changed)
}

fn end_batch(tx: &Session<'_>, ends: &[&End]) -> Result<Vec<bool>, StoreError> {
    // Locked before the executions, as everywhere, so that nothing deadlocks.
    let jobs = jobs_among(tx, ends.iter().map(|end| end.of.id))?;
    let mut in_order: Vec<(usize, &End)> = ends.iter().copied().enumerate().collect();
    in_order.sort_unstable_by_key(|(_, end)| end.of.id);
    let sets: Vec<Vec<Named<'_>>> = in_order.iter().map(|(_, end)| end_values(end, false)).collect();
    let rows = tx.execute_each(batched_sql!("executions/finish"), &sets)?;
    let mut changed = vec![false; ends.len()];
    // Latest first: of many executions of one job, only the latest changes the job.
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

/// The parameters of executions/finish. `is_silent`: end it only if that needs no further statements.
fn end_values(end: &End, is_silent: bool) -> Vec<Named<'_>> {
    let Outcome { state, message, reason, end_time } = &end.outcome;
    values! {
        "id": end.of.id, "fence": end.of.fence, "state": state.as_str(), "message": message,
        "reason": reason.map(Reason::as_str), "end_time": *end_time, "is_silent": is_silent,
    }
    .to_vec()
}

/// Which of these executions belong to jobs, whose states may change. Locks the jobs.
fn jobs_among(tx: &Session<'_>, ids: impl Iterator<Item = Id>) -> Result<HashSet<Id>, StoreError> {
    let ids = json_array(ids)?;
    let jobs = tx.rows(sql!("executions/jobs_among"), values! { "ids": &ids }, |row| row.get("id"))?;
    Ok(jobs.into_iter().collect())
}

/// Sets the states of jobs whose executions have ended. The jobs are locked already.
pub(super) fn set_states(tx: &Session<'_>, ended: &[(Id, &str)]) -> Result<(), StoreError> {
    let sets: Vec<Vec<Named<'_>>> = ended
        .iter()
        .map(|(execution, state)| values! { "execution_id": *execution, "state": *state }.to_vec())
        .collect();
    tx.execute_each(batched_sql!("executables/set_state"), &sets)?;
    Ok(())
}
