//! Pauses of whole spaces.
//!
//! Invariant: once a client has the answer to a pause, no claim fires a schedule of the space until the pause
//! ends.

use super::audit::{self, NewEvent};
use super::session::Row;
use super::statement::{postgres_sql, sql, values};
use super::{Scope, Store, StoreError};
use crate::model::{Guid, Kind, Timestamp};

/// The pause of a space.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpacePause {
    /// When it ends by itself; `None`: never.
    pub until: Option<Timestamp>,
    /// Who paused the space: the id of the user or client.
    pub by: String,
    /// Why, as text.
    pub note: Option<String>,
}

/// A space as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// Its guid.
    pub guid: Guid,
    /// `None`: it is not paused.
    pub pause: Option<SpacePause>,
    /// The number of its jobs.
    pub jobs: u64,
    /// The number of its calls.
    pub calls: u64,
    /// The number of its schedules.
    pub schedules: u64,
    /// The version of its pause, which an update must name.
    pub version: Timestamp,
}

/// The stored pause of a space, for another database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedPause {
    /// The space.
    pub space: Guid,
    /// `None`: it was ended.
    pub pause: Option<SpacePause>,
    /// When it was ended. Fire times up to then are not made up for.
    pub resumed_at: Option<Timestamp>,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Store {
    /// A space, even if there is nothing in it.
    pub fn space(&self, guid: &Guid, now: Timestamp) -> Result<Space, StoreError> {
        let count = |kind| {
            self.count_executables(kind, &Scope::Space(guid.clone()).into()).map(|extent| extent.total)
        };
        let values = values! { "space_guid": guid };
        let found = self.read(|session| session.first(sql!("space_pauses/get"), values, pause_of))?;
        let schedules: u64 = self.read(|session| {
            session.one(sql!("space_pauses/count_schedules"), values, |row| row.get("total"))
        })?;
        let (pause, version) = match found {
            Some((pause, version)) => (pause.filter(|it| it.until.is_none_or(|until| now < until)), version),
            None => (None, Timestamp::from_nanos(0)),
        };
        Ok(Space {
            guid: guid.clone(),
            pause,
            jobs: count(Kind::Job)?,
            calls: count(Kind::Call)?,
            schedules,
            version,
        })
    }

    /// The pause of a space; `None`: it is not paused now.
    pub fn space_pause(&self, guid: &Guid, now: Timestamp) -> Result<Option<SpacePause>, StoreError> {
        let values = values! { "space_guid": guid };
        let found = self.read(|session| session.first(sql!("space_pauses/get"), values, pause_of))?;
        Ok(found.and_then(|(pause, _)| pause).filter(|pause| pause.until.is_none_or(|until| now < until)))
    }

    /// The spaces that have a job or call, or had a pause, in order of guid.
    pub fn known_spaces(&self) -> Result<Vec<Guid>, StoreError> {
        self.read(|session| {
            session.rows(sql!("space_pauses/known_spaces"), values! {}, |row| row.get("space_guid"))
        })
    }

    /// Pauses a space, or resumes it (`None`). `false`: its pause was changed since `seen` was read.
    pub fn set_space_pause(
        &self,
        seen: &Space,
        pause: Option<&SpacePause>,
        now: Timestamp,
        event: Option<&NewEvent>,
    ) -> Result<bool, StoreError> {
        let resumed_at = if pause.is_none() { Some(now) } else { None };
        let values = values! {
            "space_guid": &seen.guid, "is_paused": pause.is_some(),
            "paused_until": pause.and_then(|it| it.until),
            "paused_by": pause.map_or("", |it| it.by.as_str()),
            "paused_note": pause.and_then(|it| it.note.as_deref()),
            "resumed_at": resumed_at, "updated_at": now.next_version(seen.version),
            "seen_updated_at": seen.version,
        };
        self.write(|tx| {
            let rows = tx.execute(sql!("space_pauses/set"), values)?;
            if rows == 1 {
                audit::record(tx, event, None, now)?;
                let values = values! { "space_guid": &seen.guid };
                tx.lock(postgres_sql!("space_pauses/lock_schedules"), values)?;
            }
            Ok(rows == 1)
        })
    }
}

pub(super) fn moved_pause_of(row: &Row<'_>) -> Result<MovedPause, StoreError> {
    let (pause, updated_at) = pause_of(row)?;
    Ok(MovedPause { space: row.get("space_guid")?, pause, resumed_at: row.get("resumed_at")?, updated_at })
}

fn pause_of(row: &Row<'_>) -> Result<(Option<SpacePause>, Timestamp), StoreError> {
    let is_paused: bool = row.get("is_paused")?;
    let pause = SpacePause {
        until: row.get("paused_until")?,
        by: row.get("paused_by")?,
        note: row.get("paused_note")?,
    };
    Ok((is_paused.then_some(pause), row.get("updated_at")?))
}
