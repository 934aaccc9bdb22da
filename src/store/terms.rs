//! Limits on creations, and their audit events.
//!
//! Invariant: a limit is checked under a lock in the transaction that creates, so that two concurrent
//! creations cannot exceed it.

use super::StoreError;
use super::audit::NewEvent;
use super::session::{Row, Session};
use super::statement::{postgres_sql, sql, values};
use crate::model::Guid;

/// The conditions of a creation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms<'a> {
    /// The most objects of its kind in a space; `None`: unlimited.
    pub quota: Option<u32>,
    /// The event to write with it.
    pub event: Option<&'a NewEvent>,
}

impl Terms<'_> {
    /// Whether the space has room for one more. `size` counts its objects.
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

/// Waits for concurrent creations in the space.
pub(super) fn take_turns(tx: &Session<'_>, space: &Guid) -> Result<(), StoreError> {
    tx.lock(postgres_sql!("spaces/take_turns"), values! { "space_guid": space })
}

/// The number of schedules of a space.
pub(super) fn count_schedules(tx: &Session<'_>, space: &Guid) -> Result<u64, StoreError> {
    let total = |row: &Row<'_>| row.get("total");
    tx.one(sql!("space_pauses/count_schedules"), values! { "space_guid": space }, total)
}
