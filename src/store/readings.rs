//! The database's values for `/metrics`.

use super::statement::{sql, sql_by_engine, values};
use super::{Store, StoreError};
use crate::base::metrics::Readings;
use crate::model::{Kind, Timestamp};

/// Counts stop here, so that a huge backlog costs a scrape milliseconds and not a second.
const COUNT_MAX: u32 = 100_000;

impl Store {
    /// How many executions have been due since `before` or longer and have not begun; of each kind at most
    /// `most` are counted.
    pub fn backlog(&self, before: Timestamp, most: u32) -> Result<u64, StoreError> {
        self.read_at_once(|session| {
            let mut total = 0;
            for kind in [Kind::Job, Kind::Call] {
                let values = values! { "kind": kind.as_str(), "now": before, "most": most };
                total += session.one(sql!("executions/count_due"), values, |row| row.get::<u64>("total"))?;
            }
            Ok(total)
        })
    }

    /// How much is due at `now`, how much is running, and the size of the database.
    pub fn readings(&self, now: Timestamp) -> Result<Readings, StoreError> {
        self.read_at_once(|session| {
            let due_of = |kind: Kind| {
                let values = values! { "kind": kind.as_str(), "now": now, "most": COUNT_MAX };
                session.one(sql!("executions/count_due"), values, |row| row.get("total"))
            };
            let (due, running) = (values! { "now": now, "most": COUNT_MAX }, values! { "most": COUNT_MAX });
            Ok(Readings {
                due_jobs: due_of(Kind::Job)?,
                due_calls: due_of(Kind::Call)?,
                due_schedules: session.one(sql!("schedules/count_due"), due, |row| row.get("total"))?,
                running_tasks: session.one(
                    sql_by_engine!("executions/count_running_tasks"),
                    running,
                    |row| row.get("total"),
                )?,
                waiting_deliveries: session
                    .one(sql!("deliveries/count_all_waiting"), running, |row| row.get("total"))?,
                size_bytes: session
                    .one(sql_by_engine!("database/size"), values! {}, |row| row.get("size"))?,
            })
        })
    }
}
