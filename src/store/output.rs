//! Single executions, for clients that read the output of tasks.

use super::executions::execution_of;
use super::statement::{sql, values};
use super::{Store, StoreError};
use crate::model::{Execution, Id};

impl Store {
    /// The execution with this guid, if it belongs to `executable`.
    pub fn execution(&self, executable: Id, guid: &str) -> Result<Option<Execution>, StoreError> {
        let values = values! { "guid": guid, "executable_id": executable };
        self.read(|session| session.first(sql!("executions/get"), values, execution_of))
    }

    /// Whether an execution with this guid exists, even if its job is deleted and its row is about to be
    /// purged.
    pub fn has_execution(&self, guid: &str) -> Result<bool, StoreError> {
        let values = values! { "guid": guid };
        let found: Option<i64> = self
            .read_at_once(|session| session.first(sql!("executions/exists"), values, |row| row.get("id")))?;
        Ok(found.is_some())
    }
}
