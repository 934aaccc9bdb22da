//! Group commit: a batched statement runs once for the values of several threads, which share a round trip
//! and a COMMIT.
//!
//! Invariant: a thread gets its answer only after the COMMIT that covers its values. If the statement of a
//! group fails, nothing of it was done, and it runs for each thread alone.
//!
//! A thread that finds fewer leaders than `Statement::groups_max` becomes one: it runs all waiting tickets,
//! hands out the answers, and makes the first thread that arrived meanwhile the next leader. So a single
//! thread never waits, and under load a group is as large as what arrives during one COMMIT.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use tokio_postgres::Row;

use crate::store::statement::{Named, Statement, Value};
use crate::store::{StoreError, lock};

/// The most sets of values in one group.
pub(super) const GROUP_MAX: usize = 64;

/// Whether a statement changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Access {
    Read,
    Write,
}

/// The server's answer for one set of values.
#[derive(Debug, Default)]
pub(in crate::store) struct Answer {
    /// The rows it returned.
    pub(in crate::store) rows: Vec<Row>,
    /// The number of rows it changed.
    pub(in crate::store) changed: usize,
}

impl Answer {
    /// All rows belong to the only set of values.
    pub(super) fn of(rows: Vec<Row>) -> Self {
        Self { changed: rows.len(), rows }
    }
}

/// The outcome for one set of values of a group.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Done and committed.
    Done(Answer),
    /// The group failed and changed nothing: run the statement for this one alone.
    Alone,
    /// Failed, or the outcome is unknown.
    Failed(StoreError),
}

/// A statement with one set of values, and the thread that waits for its answer.
pub(super) struct Ticket {
    pub(super) statement: &'static Statement,
    values: Vec<(&'static str, Owned)>,
    state: Mutex<State>,
    changed: Condvar,
}

enum State {
    Waiting,
    /// Its thread leads the next group.
    Leads,
    Over(Outcome),
}

enum Owned {
    Null,
    Int(i64),
    Text(String),
}

impl Owned {
    fn borrowed(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => Value::Int(*number),
            Self::Text(text) => Value::Text(text),
        }
    }
}

/// The groups of one database, by statement.
#[derive(Default)]
pub(super) struct Groups {
    lanes: Mutex<HashMap<usize, Lane>>,
}

#[derive(Default)]
struct Lane {
    waiting: VecDeque<Arc<Ticket>>,
    leaders: usize,
}

impl Ticket {
    fn new(statement: &'static Statement, values: &[Named<'_>]) -> Self {
        let owned = |value: &Value<'_>| match value {
            Value::Null => Owned::Null,
            Value::Int(number) => Owned::Int(*number),
            Value::Text(text) => Owned::Text((*text).to_owned()),
        };
        Self {
            statement,
            values: values.iter().map(|(name, value)| (*name, owned(value))).collect(),
            state: Mutex::new(State::Waiting),
            changed: Condvar::new(),
        }
    }

    /// The values of its parameters.
    pub(super) fn values(&self) -> Vec<Named<'_>> {
        self.values.iter().map(|(name, value)| (*name, value.borrowed())).collect()
    }

    /// Waits until its thread must lead (`None`) or has an outcome.
    fn wait(&self) -> Option<Outcome> {
        let state = lock(&self.state);
        let waits = |state: &mut State| matches!(state, State::Waiting);
        let mut state = self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Waiting) {
            State::Over(outcome) => Some(outcome),
            State::Leads | State::Waiting => None,
        }
    }

    fn become_state(&self, state: State) {
        *lock(&self.state) = state;
        self.changed.notify_one();
    }
}

impl Groups {
    /// Runs a statement together with waiting ones of the same text. `run` runs a group, whose first ticket
    /// belongs to the calling thread, and returns an outcome for each ticket.
    pub(super) fn run(
        &self,
        statement: &'static Statement,
        values: &[Named<'_>],
        run: impl Fn(&[Arc<Ticket>]) -> Vec<Outcome>,
    ) -> Outcome {
        let key = statement.postgres.as_ptr().addr();
        let ticket = Arc::new(Ticket::new(statement, values));
        let leads = {
            let mut lanes = lock(&self.lanes);
            let lane = lanes.entry(key).or_default();
            let leads = lane.leaders < statement.groups_max;
            if leads {
                lane.leaders += 1;
            } else {
                lane.waiting.push_back(Arc::clone(&ticket));
            }
            leads
        };
        if !leads && let Some(outcome) = ticket.wait() {
            return outcome;
        }
        self.lead(key, ticket, run)
    }

    fn lead(&self, key: usize, own: Arc<Ticket>, run: impl Fn(&[Arc<Ticket>]) -> Vec<Outcome>) -> Outcome {
        let mut group = vec![own];
        if let Some(lane) = lock(&self.lanes).get_mut(&key) {
            let more = lane.waiting.len().min(GROUP_MAX - 1);
            group.extend(lane.waiting.drain(..more));
        }
        let mut leading = Leading { groups: self, key, group };
        let mut outcomes = run(&leading.group).into_iter();
        let own = outcomes.next();
        leading.group.remove(0);
        // Dropping `leading` fails the tickets that have no outcome.
        let given = outcomes.len().min(leading.group.len());
        for (ticket, outcome) in leading.group.drain(..given).zip(outcomes) {
            ticket.become_state(State::Over(outcome));
        }
        own.unwrap_or_else(|| Outcome::Failed(StoreError::Bug("no outcome of a statement".to_owned())))
    }
}

/// Held while a thread leads. Dropping it, also by a panic, makes the next thread lead.
struct Leading<'a> {
    groups: &'a Groups,
    key: usize,
    /// The tickets that have no outcome yet.
    group: Vec<Arc<Ticket>>,
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        for ticket in self.group.drain(..) {
            let error = StoreError::Bug("the thread that ran a group of statements failed".to_owned());
            ticket.become_state(State::Over(Outcome::Failed(error)));
        }
        let mut lanes = lock(&self.groups.lanes);
        let Some(lane) = lanes.get_mut(&self.key) else { return };
        match lane.waiting.pop_front() {
            Some(next) => next.become_state(State::Leads),
            None => lane.leaders -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;

    use super::*;
    use crate::store::statement::{batched_sql, values};

    const OF_CLIENTS: &Statement = batched_sql!("executables/get");
    const OF_ENGINE: &Statement = batched_sql!("executions/start_call", of_engine);

    /// Runs a statement in `threads` threads: the first ones lead groups of their own, which end when all
    /// others wait. Returns the sizes of the groups, and the number of failed threads.
    fn sizes_of_groups(
        threads: usize,
        statement: &'static Statement,
        outcome: impl Fn(usize) -> Outcome + Sync,
    ) -> (Vec<usize>, usize) {
        let (groups, leaders_max) = (Groups::default(), statement.groups_max);
        let sizes = Mutex::new(Vec::new());
        let waiting = || lock(&groups.lanes).values().map(|lane| lane.waiting.len()).sum::<usize>();
        // Once a leader has seen all of them wait, the next group takes them from the sight of the others.
        let have_all_arrived = AtomicBool::new(false);
        let run = |group: &[Arc<Ticket>]| {
            let number = {
                let mut sizes = lock(&sizes);
                sizes.push(group.len());
                sizes.len()
            };
            while number <= leaders_max && !have_all_arrived.load(Ordering::Relaxed) {
                if threads - leaders_max <= waiting() {
                    have_all_arrived.store(true, Ordering::Relaxed);
                }
                thread::yield_now();
            }
            group.iter().map(|_| outcome(number)).collect()
        };
        let failed = AtomicUsize::new(0);
        thread::scope(|scope| {
            for number in 0..threads {
                let (groups, run, failed) = (&groups, &run, &failed);
                scope.spawn(move || {
                    let done = catch_unwind(AssertUnwindSafe(|| {
                        groups.run(statement, values! { "n": number as u64 }, run)
                    }));
                    failed.fetch_add(usize::from(!matches!(done, Ok(Outcome::Alone))), Ordering::Relaxed);
                });
                // The others arrive after the first groups have begun.
                while lock(&sizes).len() < leaders_max.min(number + 1) {
                    thread::yield_now();
                }
            }
        });
        assert_eq!(waiting(), 0);
        assert!(lock(&groups.lanes).values().all(|lane| lane.leaders == 0));
        (sizes.into_inner().unwrap(), failed.into_inner())
    }

    #[test]
    fn writes_that_arrive_during_a_group_form_the_next_one() {
        let sizes = sizes_of_groups(8, OF_ENGINE, |_| Outcome::Alone);
        assert_eq!(sizes, (vec![1, 7], 0));
    }

    #[test]
    fn a_second_group_runs_while_the_first_is_flushed_but_no_third() {
        let (mut sizes, failed) = sizes_of_groups(8, OF_CLIENTS, |_| Outcome::Alone);
        assert_eq!((sizes.drain(..2).collect::<Vec<_>>(), failed), (vec![1, 1], 0));
        assert_eq!(sizes.iter().sum::<usize>(), 6, "{sizes:?}");
        assert!(sizes.len() <= 2, "{sizes:?}");
    }

    #[test]
    fn no_group_is_larger_than_the_bound() {
        let sizes = sizes_of_groups(GROUP_MAX + 10, OF_ENGINE, |_| Outcome::Alone);
        assert_eq!(sizes, (vec![1, GROUP_MAX, 9], 0));
    }

    #[test]
    fn a_thread_without_an_outcome_gets_an_error() {
        let groups = Groups::default();
        let outcome = groups.run(OF_CLIENTS, values! {}, |_| Vec::new());
        assert!(matches!(outcome, Outcome::Failed(StoreError::Bug(_))));
    }

    #[test]
    fn a_leader_that_panics_fails_its_group_and_leaves_nobody_waiting() {
        let sizes = sizes_of_groups(4, OF_ENGINE, |number| match number {
            2 => panic!("as the test wants it"),
            _ => Outcome::Alone,
        });
        assert_eq!(sizes, (vec![1, 3], 3));
    }
}
