//! The terms of a creation that somebody asks for: how much there may be, and the event that tells of it.
//!
//! Invariant: a limit is counted under a lock in the transaction that creates, so that two at once cannot pass
//! it.

use super::StoreError;
use super::audit::NewEvent;
use super::session::{Row, Session};
use super::statement::{postgres_sql, sql, values};
use crate::model::Guid;

/// The terms of a creation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms<'a> {
    /// The most of its kind that a space may have; `None`: any number.
    pub quota: Option<u32>,
    /// Written with it; `None`: none is.
    pub event: Option<&'a NewEvent>,
}

impl Terms<'_> {
    /// Whether the space has room for one more. `size` counts what it has.
    pub(super) fn has_room(
        &self,
        tx: &Session<'_>,
        space: &Guid,
        size: impl FnOnce(&Session<'_>) -> Result<u64, StoreError>,
    ) -> Result<bool, StoreError> {
        let Some(quota) = self.quota else { return Ok(true) };
        take_turns(tx, space)?;
        Ok(size(tx)? < u64::from(quota))
    }
}

/// Waits for others that add something to the space.
pub(super) fn take_turns(tx: &Session<'_>, space: &Guid) -> Result<(), StoreError> {
    tx.lock(postgres_sql!("spaces/take_turns"), values! { "space_guid": space })
}

/// How many schedules a space has.
pub(super) fn count_schedules(tx: &Session<'_>, space: &Guid) -> Result<u64, StoreError> {
    let total = |row: &Row<'_>| row.get("total");
    tx.one(sql!("space_pauses/count_schedules"), values! { "space_guid": space }, total)
}
