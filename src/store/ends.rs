//! The ends of executions, and the states of jobs that follow from them.
//!
//! Invariant: an execution ends once. What is cancelled has not begun, and stays so until that is recorded.

use std::collections::HashSet;

use super::session::{Row, Session};
use super::statement::{Named, json_array, sql, values};
use super::{Store, StoreError};
use crate::model::{EndState, Fence, Guid, Id, InHand, Kind, Outcome, Schedule, Timestamp};

/// The most statements that are sent before the first is answered: who deletes a job may have a million executions waiting.
const AT_ONCE: usize = 500;

/// How an execution in hand ended.
#[derive(Debug, Clone)]
pub struct End {
    /// The execution.
    pub of: InHand,
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
    /// The request that asked for it; empty: none did.
    pub request_id: String,
}

impl Store {
    /// The end of an execution, and with it the state of its job. `false`: it had ended before, is gone, or is no longer in
    /// this process's hand.
    pub fn finish(&self, end: &End) -> Result<bool, StoreError> {
        self.finish_many(&[end]).map(|finished| finished == [true])
    }

    /// The end of an execution of which nobody knows whether it has a task. Should one turn up, it is cancelled.
    pub fn give_up(&self, end: &End) -> Result<bool, StoreError> {
        self.write(|tx| {
            jobs_among(tx, std::iter::once(end.of.id))?;
            remember_stray(tx, end.of.id, Some(end.of.fence))?;
            Ok(end_all(tx, std::slice::from_ref(&Ending::of(end)))? == [true])
        })
    }

    /// The end of several executions, in one transaction. Answers which of them that changed, in their order.
    pub fn finish_many(&self, ends: &[&End]) -> Result<Vec<bool>, StoreError> {
        self.write(|tx| {
            let endings: Vec<Ending<'_>> = ends.iter().map(|end| Ending::of(end)).collect();
            end_all(tx, &endings)
        })
    }

    /// Ends the calls that are under way in this process's hand as FAILED with `message`, and answers which those were:
    /// at start, those of the process before; at stop, those that took too long.
    pub fn interrupt_calls(&self, message: &str, now: Timestamp) -> Result<Vec<CutOff>, StoreError> {
        let fence = self.fence()?;
        self.write(|tx| interrupt_calls(tx, fence, message, now))
    }
}

pub(super) fn cancel_pending_of_schedule(
    tx: &Session<'_>,
    schedule: &Schedule,
    message: &str,
    now: Timestamp,
) -> Result<Vec<CutOff>, StoreError> {
    let values = values! { "executable_id": schedule.executable, "schedule_id": schedule.id };
    let pending = tx.rows(sql!("executions/pending_of_schedule"), values, cut_off_of)?;
    remember_strays(tx, &pending)?;
    fail_all(tx, pending, None, message, now)
}

pub(super) fn cancel_pending_of_executable(
    tx: &Session<'_>,
    executable: Id,
    now: Timestamp,
) -> Result<Vec<CutOff>, StoreError> {
    // A task that may be on its way is left to end, as a running one is.
    let values = values! { "executable_id": executable };
    let pending = tx.rows(sql!("executions/pending_of_executable"), values, cut_off_of)?;
    fail_all(tx, pending, None, "cancelled: deleted", now)
}

/// What schedules of the space have waiting; what was started by hand goes on.
pub(super) fn cancel_pending_of_space(
    tx: &Session<'_>,
    space: &Guid,
    message: &str,
    now: Timestamp,
) -> Result<Vec<CutOff>, StoreError> {
    let values = values! { "space_guid": space };
    let pending = tx.rows(sql!("service_spaces/pending_executions"), values, cut_off_of)?;
    remember_strays(tx, &pending)?;
    fail_all(tx, pending, None, message, now)
}

/// Ends the calls that are under way in the hand of `fence`.
pub(super) fn interrupt_calls(
    tx: &Session<'_>,
    fence: Fence,
    message: &str,
    now: Timestamp,
) -> Result<Vec<CutOff>, StoreError> {
    let calls = tx.rows(sql!("executions/calls_in_flight"), values! { "fence": fence }, cut_off_of)?;
    fail_all(tx, calls, Some(fence), message, now)
}

/// Ends executions as FAILED with `message`, and answers which of them had not ended before. `fence`: only those in its hand.
fn fail_all(
    tx: &Session<'_>,
    executions: Vec<(Id, CutOff)>,
    fence: Option<Fence>,
    message: &str,
    now: Timestamp,
) -> Result<Vec<CutOff>, StoreError> {
    let state = EndState::Failed.as_str();
    let endings: Vec<Ending<'_>> =
        executions.iter().map(|(id, _)| Ending { id: *id, fence, state, message, end_time: now }).collect();
    let changed = end_all(tx, &endings)?;
    Ok(executions.into_iter().zip(changed).filter(|(_, changed)| *changed).map(|((_, it), _)| it).collect())
}

fn cut_off_of(row: &Row<'_>) -> Result<(Id, CutOff), StoreError> {
    Ok((
        row.get("id")?,
        CutOff { guid: row.get("guid")?, kind: row.get("kind")?, request_id: row.get("request_id")? },
    ))
}

fn remember_stray(tx: &Session<'_>, id: Id, fence: Option<Fence>) -> Result<(), StoreError> {
    tx.execute(sql!("strays/insert"), values! { "id": id, "fence": fence })?;
    Ok(())
}

/// The same for many, whosever hand they are in.
fn remember_strays(tx: &Session<'_>, executions: &[(Id, CutOff)]) -> Result<(), StoreError> {
    for batch in executions.chunks(AT_ONCE) {
        let sets: Vec<Vec<Named<'_>>> =
            batch.iter().map(|(id, _)| values! { "id": *id, "fence": None::<Fence> }.to_vec()).collect();
        tx.execute_each(sql!("strays/insert"), &sets)?;
    }
    Ok(())
}

/// An end that is to be recorded.
struct Ending<'a> {
    id: Id,
    /// The execution must be in this hand; `None`: in whosever.
    fence: Option<Fence>,
    state: &'static str,
    message: &'a str,
    end_time: Timestamp,
}

impl<'a> Ending<'a> {
    fn of(end: &'a End) -> Self {
        let Outcome { state, message, end_time } = &end.outcome;
        Self { id: end.of.id, fence: Some(end.of.fence), state: state.as_str(), message, end_time: *end_time }
    }
}

/// Records ends, and the states of jobs that follow from them. Which executions that changed.
fn end_all(tx: &Session<'_>, endings: &[Ending<'_>]) -> Result<Vec<bool>, StoreError> {
    let mut changed = Vec::with_capacity(endings.len());
    for batch in endings.chunks(AT_ONCE) {
        changed.extend(end_batch(tx, batch)?);
    }
    Ok(changed)
}

fn end_batch(tx: &Session<'_>, endings: &[Ending<'_>]) -> Result<Vec<bool>, StoreError> {
    // Before the executions, so that two transactions lock both in the same order.
    let jobs = jobs_among(tx, endings.iter().map(|ending| ending.id))?;
    let mut in_order: Vec<(usize, &Ending<'_>)> = endings.iter().enumerate().collect();
    in_order.sort_unstable_by_key(|(_, ending)| ending.id);
    let sets: Vec<Vec<Named<'_>>> = in_order
        .iter()
        .map(|(_, ending)| {
            values! {
                "id": ending.id, "fence": ending.fence, "state": ending.state, "message": ending.message,
                "end_time": ending.end_time,
            }
            .to_vec()
        })
        .collect();
    let rows = tx.execute_each(sql!("executions/finish"), &sets)?;
    let mut changed = vec![false; endings.len()];
    // The last first: of many executions of one job, it alone changes the job then.
    let mut ended_jobs = Vec::new();
    for ((index, ending), rows) in in_order.into_iter().zip(rows).rev() {
        changed[index] = rows == 1;
        if rows == 1 && jobs.contains(&ending.id) {
            ended_jobs.push(values! { "execution_id": ending.id, "state": ending.state }.to_vec());
        }
    }
    tx.execute_each(sql!("executables/set_state"), &ended_jobs)?;
    Ok(changed)
}

/// Which of these executions run jobs, whose states follow those in which their executions end. The jobs are locked.
fn jobs_among(tx: &Session<'_>, ids: impl Iterator<Item = Id>) -> Result<HashSet<Id>, StoreError> {
    let ids = json_array(ids)?;
    let jobs = tx.rows(sql!("executions/jobs_among"), values! { "ids": &ids }, |row| row.get("id"))?;
    Ok(jobs.into_iter().collect())
}
