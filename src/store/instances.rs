//! Instances: the processes that share a database, and their leases.
//!
//! Invariant: what an instance has in hand is its own until its lease has ended, by the database's clock, and another has taken
//! it over; from then on nothing that it records of that counts.

use super::{CutOff, Store, StoreError};
#[cfg(feature = "postgres")]
use super::{
    Engine, ends, postgres,
    session::Session,
    statement::{postgres_sql, values},
};
use crate::model::{Fence, Timestamp};

/// The most instances that are taken over in one transaction.
#[cfg(feature = "postgres")]
const TAKEN_OVER_MAX: u32 = 16;

/// A lease that was renewed, or begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// Its number.
    pub fence: Fence,
    /// The one before had ended and was taken over, or there was none: nothing is in hand.
    pub is_new: bool,
}

/// What was taken over from instances that are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// How many those were.
    pub instances: usize,
    /// Their calls, which are FAILED now.
    pub calls: Vec<CutOff>,
    /// Their other executions, which anybody may take.
    pub executions: usize,
}

impl Store {
    /// The time by the clock that counts for all who share the database; `None` where only one process can have it open,
    /// whose own clock counts.
    pub fn database_time(&self) -> Result<Option<Timestamp>, StoreError> {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.now().map(Some),
            _ => Ok(None),
        }
    }

    /// Renews this process's lease, or begins one. `None` where none is needed.
    pub fn renew_lease(&self) -> Result<Option<Renewal>, StoreError> {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => self.renew(database).map(Some),
            _ => Ok(None),
        }
    }

    /// Takes over what instances had in hand whose lease has ended: calls that they had begun to send are FAILED with
    /// `message`, all else is free for anybody. A task that may have been created is looked for by whoever takes it.
    pub fn take_over(&self, message: &str, now: Timestamp) -> Result<TakenOver, StoreError> {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => self.write(|tx| {
                let lease = i64::try_from(postgres::LEASE.as_nanos()).unwrap_or(i64::MAX);
                tx.execute(postgres_sql!("instances/shorten"), values! { "lease": lease })?;
                let values = values! { "limit": TAKEN_OVER_MAX };
                let mut ended =
                    tx.rows(postgres_sql!("instances/ended"), values, |row| row.get::<Fence>("id"))?;
                // There are none, unless somebody has been at the table of instances.
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

    /// Lets the database look anew at how much there is in tables that have grown much, where that decides how it finds things.
    pub fn refresh_statistics(&self) -> Result<(), StoreError> {
        match &self.engine {
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.refresh_statistics(),
            _ => Ok(()),
        }
    }

    /// Gives the lease back, at a stop: calls still under way are FAILED with `message`, all else that is in hand is free at
    /// once. Which calls those were.
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

    #[cfg(feature = "postgres")]
    fn renew(&self, database: &postgres::DatabaseServer) -> Result<Renewal, StoreError> {
        let lease = i64::try_from(postgres::LEASE.as_nanos()).unwrap_or(i64::MAX);
        if let Some(fence) = database.last_fence() {
            let asked_at = database.monotonic();
            let values = values! { "id": fence, "lease": lease };
            if database
                .write_lease(|connection| connection.execute(postgres_sql!("instances/renew"), values))?
                == 1
            {
                database.note_lease(fence, asked_at);
                return Ok(Renewal { fence, is_new: false });
            }
            database.forget_lease();
        }
        let asked_at = database.monotonic();
        let values = values! { "lease": lease };
        let fence =
            database.write_lease(|connection| connection.value(postgres_sql!("instances/insert"), values))?;
        database.note_lease(fence, asked_at);
        Ok(Renewal { fence, is_new: true })
    }
}

/// Ends what the hand `fence` had: calls FAILED, all else free; and the lease.
#[cfg(feature = "postgres")]
fn settle(
    tx: &Session<'_>,
    fence: Fence,
    message: &str,
    now: Timestamp,
) -> Result<(Vec<CutOff>, usize), StoreError> {
    // First: it waits for what is being claimed under the lease, which is then seen here; and nothing is claimed afterwards.
    tx.execute(postgres_sql!("instances/delete"), values! { "id": fence })?;
    let calls = ends::interrupt_calls(tx, fence, message, now)?;
    let executions = tx.execute(postgres_sql!("executions/let_go"), values! { "fence": fence })?;
    Ok((calls, executions))
}
