//! Instances: the processes that share a database, and their leases.
//!
//! Invariant: an execution owned under a lease keeps its owner until another instance takes over: after the
//! lease has ended by the database's clock, or at a start under the same name. After that, updates under the
//! old lease change no row.

use std::time::Duration;

use super::portion::Portion;
use super::{CutOff, Store, StoreError};
#[cfg(feature = "postgres")]
use super::{
    Engine, ends, postgres,
    session::{Row, Session},
    statement::{postgres_sql, values},
};
use crate::model::{Fence, Timestamp};

/// The most instances that one transaction takes over.
#[cfg(feature = "postgres")]
const TAKEN_OVER_MAX: u32 = 16;

/// A renewed or new lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// The number of the lease.
    pub fence: Fence,
    /// There was no lease, or it had ended and was taken over: this process owns no executions.
    pub is_new: bool,
    /// What the server said with it, if it did.
    pub time: Option<DatabaseTime>,
}

/// What there is to do, as the last renewal of the lease saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// The monotonic time from before the question.
    pub asked_at: Duration,
    /// There may be something for the scheduler that has no time.
    pub is_to_look: bool,
    /// The earliest fire time, or time at which an execution is due, those that have come included.
    pub next_due: Option<Timestamp>,
    /// There may be tasks to follow, or to cancel.
    pub has_tasks: bool,
    /// When there is something to tell of, or to send.
    pub next_told: Option<Timestamp>,
}

/// What the keeper of a lease learns from the database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseTime {
    /// The server's time.
    pub now: Timestamp,
    /// A lease has ended, or lasts longer than a lease can.
    pub is_to_take_over: bool,
}

/// Work taken over from instances whose leases have ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// The number of instances.
    pub instances: usize,
    /// Their calls, which are FAILED now.
    pub calls: Vec<CutOff>,
    /// Their other executions, which any instance may claim.
    pub executions: usize,
}

/// A process that shares the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The number of its lease.
    pub fence: Fence,
    /// Its `INSTANCE_ID`, if set.
    pub name: Option<String>,
    /// Nanoseconds until its lease ends; negative: it has ended.
    pub lasts: i64,
    /// Whether it is this process.
    pub is_own: bool,
}

impl Store {
    /// The first `limit` instances. Empty for SQLite, which has one process and no leases.
    pub fn instances(&self, limit: u32) -> Result<Vec<Instance>, StoreError> {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => {
                let own = database.last_fence();
                self.read_at_once(|session| {
                    session.rows(postgres_sql!("instances/list"), values! { "limit": limit }, |row| {
                        let fence = row.get("id")?;
                        Ok(Instance {
                            fence,
                            name: row.get("name")?,
                            lasts: row.get("lasts")?,
                            is_own: own == Some(fence),
                        })
                    })
                })
            }
            _ => {
                let _ = limit;
                Ok(Vec::new())
            }
        }
    }

    /// The database server's time, which counts for all instances, and whether there is something to take
    /// over. `None` for SQLite, where the process's own clock counts.
    pub fn database_time(&self) -> Result<Option<DatabaseTime>, StoreError> {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => {
                let values = values! { "lease": lease_nanos() };
                let read = |row: &Row<'_>| {
                    Ok(DatabaseTime { now: row.get("now")?, is_to_take_over: row.get("is_to_take_over")? })
                };
                self.read_at_once(|session| session.one(postgres_sql!("instances/now"), values, read))
                    .map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Renews this process's lease, or begins a new one. `None` for SQLite, which needs none.
    pub fn renew_lease(&self) -> Result<Option<Renewal>, StoreError> {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => self.renew(database).map(Some),
            _ => Ok(None),
        }
    }

    /// The same, and looks for what there is to do, for [`Store::outlook`]. `ahead`: a plan from after this
    /// time was made before the clock was set back.
    pub fn renew_lease_and_look(&self, ahead: Timestamp) -> Result<Option<Renewal>, StoreError> {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => match self.beat(database, ahead) {
                Ok(Some(renewal)) => Ok(Some(renewal)),
                // A lease must not end because looking takes too long.
                Ok(None) | Err(_) => self.renew(database).map(Some),
            },
            _ => {
                let _ = ahead;
                Ok(None)
            }
        }
    }

    /// What there is to do, as the last renewal of the lease saw it. `None`: not known, or too old to go by.
    pub fn outlook(&self) -> Option<Outlook> {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.outlook(),
            _ => None,
        }
    }

    /// Nothing is due before this time. On SQLite the smallest time: its indexes hold no entries of rows that
    /// were changed since.
    pub(super) fn queue_since(&self, now: Timestamp) -> Timestamp {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.queue_since(now),
            _ => {
                let _ = now;
                Timestamp::from_nanos(i64::MIN)
            }
        }
    }

    /// The executions that this instance begins before others do.
    pub(super) fn portion(&self) -> Portion {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.portion(),
            _ => Portion::ALL,
        }
    }

    /// Whether ends of executions were told since this was asked last.
    pub fn has_told(&self) -> bool {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.has_told(),
            _ => true,
        }
    }

    /// Takes over executions whose lease has ended. Calls in flight become FAILED with `message`; any
    /// instance may claim the rest. The next owner looks for tasks that may have been created.
    pub fn take_over(&self, message: &str, now: Timestamp) -> Result<TakenOver, StoreError> {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => self.write(|tx| {
                tx.execute(postgres_sql!("instances/shorten"), values! { "lease": lease_nanos() })?;
                let values = values! { "limit": TAKEN_OVER_MAX };
                let mut ended =
                    tx.rows(postgres_sql!("instances/ended"), values, |row| row.get::<Fence>("id"))?;
                // Usually empty; rows may have been deleted from `instances` by hand.
                ended.extend(
                    tx.rows(postgres_sql!("instances/missing"), values, |row| row.get::<Fence>("owner"))?,
                );
                let mut taken = TakenOver { instances: ended.len(), ..TakenOver::default() };
                for fence in ended {
                    let (calls, executions) = settle(tx, fence, message, now)?;
                    taken.calls.extend(calls);
                    taken.executions += executions;
                }
                Ok(taken)
            }),
            _ => {
                let _ = (message, now);
                Ok(TakenOver::default())
            }
        }
    }

    /// Takes over the work of earlier processes of the same name (`INSTANCE_ID`), whether or not their leases
    /// have ended. `None`: a later process has the name.
    pub fn take_over_own(&self, message: &str, now: Timestamp) -> Result<Option<TakenOver>, StoreError> {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => {
                let (Some(name), Some(fence)) = (database.instance_id(), database.last_fence()) else {
                    return Ok(Some(TakenOver::default()));
                };
                self.write(|tx| {
                    let before = leases_of(tx, name)?;
                    if before.iter().any(|other| fence < *other) {
                        return Ok(None);
                    }
                    let mut taken = TakenOver::default();
                    for other in before.into_iter().filter(|other| *other < fence) {
                        let (calls, executions) = settle(tx, other, message, now)?;
                        taken.instances += 1;
                        taken.calls.extend(calls);
                        taken.executions += executions;
                    }
                    tx.execute(postgres_sql!("instances/take_name"), values! { "id": fence, "name": name })?;
                    Ok(Some(taken))
                })
            }
            _ => {
                let _ = (message, now);
                Ok(Some(TakenOver::default()))
            }
        }
    }

    /// Gives the name to a new lease of this process, unless another process has started under it. Otherwise
    /// two processes set to the same name would keep taking everything from each other. Returns whether it
    /// has the name, if there is one.
    pub fn keep_name(&self) -> Result<bool, StoreError> {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => {
                let (Some(name), Some(fence)) = (database.instance_id(), database.last_fence()) else {
                    return Ok(true);
                };
                self.write(|tx| {
                    if leases_of(tx, name)?.iter().any(|other| *other != fence) {
                        return Ok(false);
                    }
                    tx.execute(postgres_sql!("instances/take_name"), values! { "id": fence, "name": name })?;
                    Ok(true)
                })
            }
            _ => Ok(true),
        }
    }

    /// Refreshes the planner's statistics of tables that have grown much. PostgreSQL only.
    pub fn refresh_statistics(&self) -> Result<(), StoreError> {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.refresh_statistics(),
            _ => Ok(()),
        }
    }

    /// Gives the lease back at a stop. Calls in flight become FAILED with `message` and are returned; any
    /// instance may claim the rest at once.
    pub fn resign(&self, message: &str, now: Timestamp) -> Result<Vec<CutOff>, StoreError> {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => {
                let Some(fence) = database.last_fence() else { return Ok(Vec::new()) };
                let (calls, _) = self.write(|tx| settle(tx, fence, message, now))?;
                database.forget_lease();
                Ok(calls)
            }
            _ => self.interrupt_calls(message, now),
        }
    }

    /// Whether this process has written anything but its lease since this was asked last.
    pub fn has_written(&self) -> bool {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.has_written(),
            _ => false,
        }
    }

    /// Ends of executions may have been told.
    pub(super) fn note_told(&self) {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.note_told(),
            _ => {}
        }
    }

    /// `None`: there is no lease to renew.
    #[cfg(feature = "postgres")]
    fn beat(
        &self,
        database: &postgres::DatabaseServer,
        ahead: Timestamp,
    ) -> Result<Option<Renewal>, StoreError> {
        let Some(fence) = database.last_fence() else { return Ok(None) };
        let asked_at = database.monotonic();
        let since = database.queue_since(database.now());
        let values = values! { "id": fence, "lease": lease_nanos(), "ahead": ahead, "since": since };
        let read = |row: &Row<'_>| {
            let outlook = Outlook {
                asked_at,
                is_to_look: row.get("is_to_look")?,
                next_due: row.get("next_due")?,
                has_tasks: row.get("has_tasks")?,
                next_told: row.get("next_told")?,
            };
            let time = DatabaseTime { now: row.get("now")?, is_to_take_over: row.get("is_to_take_over")? };
            Ok(row.get::<bool>("is_renewed")?.then_some((outlook, time)))
        };
        let renewed = database.write_lease(|connection| {
            Session::Postgres(connection).one(postgres_sql!("instances/beat"), values, read)
        })?;
        let Some((outlook, time)) = renewed else { return Ok(None) };
        database.note_lease(fence, asked_at);
        database.note_queue(since, outlook.next_due, time.now, asked_at);
        database.note_outlook(outlook);
        Ok(Some(Renewal { fence, is_new: false, time: Some(time) }))
    }

    #[cfg(feature = "postgres")]
    fn renew(&self, database: &postgres::DatabaseServer) -> Result<Renewal, StoreError> {
        let lease = lease_nanos();
        if let Some(fence) = database.last_fence() {
            let asked_at = database.monotonic();
            let values = values! { "id": fence, "lease": lease };
            if database
                .write_lease(|connection| connection.execute(postgres_sql!("instances/renew"), values))?
                == 1
            {
                database.note_lease(fence, asked_at);
                return Ok(Renewal { fence, is_new: false, time: None });
            }
            database.forget_lease();
        }
        let asked_at = database.monotonic();
        let values = values! { "lease": lease };
        let fence =
            database.write_lease(|connection| connection.value(postgres_sql!("instances/insert"), values))?;
        database.note_lease(fence, asked_at);
        Ok(Renewal { fence, is_new: true, time: None })
    }
}

#[cfg(feature = "postgres")]
fn lease_nanos() -> i64 {
    i64::try_from(postgres::LEASE.as_nanos()).unwrap_or(i64::MAX)
}

/// The leases with this name: none or one. Processes that ask under the same name take turns.
#[cfg(feature = "postgres")]
fn leases_of(tx: &Session<'_>, name: &str) -> Result<Vec<Fence>, StoreError> {
    tx.lock(postgres_sql!("instances/take_turns"), values! { "name": name })?;
    tx.rows(postgres_sql!("instances/of_name"), values! { "name": name }, |row| row.get("id"))
}

/// Ends the lease `fence`: its calls become FAILED, the rest may be claimed.
#[cfg(feature = "postgres")]
fn settle(
    tx: &Session<'_>,
    fence: Fence,
    message: &str,
    now: Timestamp,
) -> Result<(Vec<CutOff>, usize), StoreError> {
    // First, because it waits for claims under the lease, which are then visible here. Afterwards nothing can
    // be claimed under it.
    tx.execute(postgres_sql!("instances/delete"), values! { "id": fence })?;
    let calls = ends::interrupt_calls(tx, fence, message, now)?;
    let executions = tx.execute(postgres_sql!("executions/release_all"), values! { "fence": fence })?;
    Ok((calls, executions))
}
