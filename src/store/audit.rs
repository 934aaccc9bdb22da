//! The audit log: events written in the transactions of the changes that they record.
//!
//! Invariant: a requested change and its event are written together or not at all.

use serde_json::Value as Json;

use super::session::{Row, Session};
use super::statement::{Named, json_array, sql, values};
use super::{Store, StoreError};
use crate::model::{Guid, Id, Timestamp};

/// The most events that one request examines.
const LOOKED_AT_MAX: u32 = 20_000;

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The id of the user, or of the client if there is no user.
    pub guid: String,
    /// Whether it is a client without a user.
    pub is_client: bool,
    /// The name to show.
    pub name: String,
}

/// The target of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Empty while the target is being created.
    pub guid: String,
    /// `job`, `call`, `schedule`, …
    pub kind: &'static str,
    /// The name to show; may be empty.
    pub name: String,
}

/// An event to write together with a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// For example `audit.scheduler.job.create`.
    pub kind: String,
    /// Who made the change.
    pub actor: Actor,
    /// What was changed.
    pub target: Target,
    /// The changed values: an object without secrets.
    pub data: Json,
    /// The space; empty: all spaces.
    pub space: Guid,
    /// The id of the request.
    pub request_id: String,
}

/// A stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// The position in the order of creation.
    pub id: Id,
    /// The public identifier.
    pub guid: Guid,
    /// When the change was made.
    pub created_at: Timestamp,
    /// For example `audit.scheduler.job.create`.
    pub kind: String,
    /// Who made the change.
    pub actor: Actor,
    /// The guid, type and name of the target.
    pub target: (String, String, String),
    /// The changed values.
    pub data: Json,
    /// The space; empty: all spaces.
    pub space: Guid,
    /// The id of the request.
    pub request_id: String,
}

/// Selects events. `None` matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// The space is one of these.
    pub spaces: Option<Vec<Guid>>,
    /// The type is one of these.
    pub kinds: Option<Vec<String>>,
    /// The target is one of these.
    pub targets: Option<Vec<Guid>>,
    /// The actor is one of these.
    pub actors: Option<Vec<Guid>>,
    /// Created after this instant.
    pub created_after: Option<Timestamp>,
    /// Created before this instant.
    pub created_before: Option<Timestamp>,
}

/// A page of matching events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundEvents {
    /// Newest first.
    pub rows: Vec<AuditEvent>,
    /// Continue before this event; `None`: this is the last page.
    pub next: Option<Id>,
}

impl Store {
    /// Matching events before `before`, newest first, at most `limit`. Examines at most 20,000 events.
    pub fn find_events(
        &self,
        filter: &AuditFilter,
        before: Id,
        limit: u32,
    ) -> Result<FoundEvents, StoreError> {
        let guids = |guids: &Option<Vec<Guid>>| {
            guids.as_ref().map(|guids| json_array(guids.iter().map(Guid::as_str))).transpose()
        };
        // A single space has its own index.
        let (space, spaces) = match filter.spaces.as_deref() {
            Some([space]) => (Some(space), None),
            _ => (None, guids(&filter.spaces)?),
        };
        let kinds = filter.kinds.as_ref().map(|kinds| json_array(kinds.iter())).transpose()?;
        let (targets, actors) = (guids(&filter.targets)?, guids(&filter.actors)?);
        let values = values! {
            "before_id": before, "space_guid": space, "spaces": spaces.as_deref(), "types": kinds.as_deref(),
            "targets": targets.as_deref(), "actors": actors.as_deref(),
            "created_after": filter.created_after, "created_before": filter.created_before,
            "looked_at": LOOKED_AT_MAX, "limit": limit,
        };
        self.read(|session| {
            let rows = session.rows(sql!("audit_events/find"), values, event_of)?;
            let last = rows.last().filter(|_| rows.len() == limit as usize).map(|row| row.id);
            let next = match last {
                Some(last) => Some(last),
                None => session.first(sql!("audit_events/look_beyond"), values, |row| {
                    Ok(row.get::<Id>("id")?.saturating_add(1))
                })?,
            };
            Ok(FoundEvents { rows, next })
        })
    }

    /// Deletes a batch of the events from before `before`. Returns their number.
    pub fn purge_events(&self, before: Timestamp, limit: u32) -> Result<usize, StoreError> {
        let values = values! { "before": before, "limit": limit };
        self.write_one(|tx| tx.execute(sql!("audit_events/purge"), values))
    }
}

/// Writes the event of a change, if there is one. `made`: the guid of what was created.
pub(super) fn record(
    tx: &Session<'_>,
    event: Option<&NewEvent>,
    made: Option<&Guid>,
    now: Timestamp,
) -> Result<(), StoreError> {
    if event.is_none() {
        return Ok(());
    }
    let columns = Columns::of(event, made);
    let mut values = columns.values();
    values.extend(values! { "now": now });
    tx.execute(sql!("audit_events/insert"), &values)?;
    Ok(())
}

/// The same after a statement that has already written the event on PostgreSQL, where each statement costs a
/// round trip.
pub(super) fn record_apart(
    tx: &Session<'_>,
    event: Option<&NewEvent>,
    made: Option<&Guid>,
    now: Timestamp,
) -> Result<(), StoreError> {
    match tx {
        Session::Sqlite(_) => record(tx, event, made, now),
        #[cfg(feature = "postgres")]
        Session::Postgres(_) | Session::Group(..) => Ok(()),
    }
}

/// The columns of an event to write.
pub(super) struct Columns<'a> {
    event: Option<&'a NewEvent>,
    made: Option<&'a Guid>,
    guid: Guid,
    data: String,
}

impl<'a> Columns<'a> {
    pub(super) fn of(event: Option<&'a NewEvent>, made: Option<&'a Guid>) -> Self {
        let data = event.map(|event| event.data.to_string()).unwrap_or_default();
        Self { event, made, guid: Guid::random(), data }
    }

    /// All NULL if there is no event.
    pub(super) fn values(&self) -> Vec<Named<'_>> {
        let event = self.event;
        let target = event.map(|event| self.made.map_or(event.target.guid.as_str(), Guid::as_str));
        values! {
            "event_guid": event.map(|_| &self.guid),
            "event_type": event.map(|event| event.kind.as_str()),
            "actor_guid": event.map(|event| event.actor.guid.as_str()),
            "actor_type": event.map(|event| actor_type(&event.actor)),
            "actor_name": event.map(|event| event.actor.name.as_str()),
            "target_guid": target,
            "target_type": event.map(|event| event.target.kind),
            "target_name": event.map(|event| event.target.name.as_str()),
            "event_data": event.map(|_| self.data.as_str()),
            "event_space": event.map(|event| event.space.as_str()),
            "event_request": event.map(|event| event.request_id.as_str()),
        }
        .to_vec()
    }
}

/// `user` or `client`.
fn actor_type(actor: &Actor) -> &'static str {
    if actor.is_client { "client" } else { "user" }
}

fn event_of(row: &Row<'_>) -> Result<AuditEvent, StoreError> {
    let data: String = row.get("data")?;
    Ok(AuditEvent {
        id: row.get("id")?,
        guid: row.get("guid")?,
        created_at: row.get("created_at")?,
        kind: row.get("type")?,
        actor: Actor {
            guid: row.get("actor_guid")?,
            is_client: row.get::<String>("actor_type")? == "client",
            name: row.get("actor_name")?,
        },
        target: (row.get("target_guid")?, row.get("target_type")?, row.get("target_name")?),
        data: serde_json::from_str(&data).map_err(|err| StoreError::Bug(format!("data: {err}")))?,
        space: row.get("space_guid")?,
        request_id: row.get("request_id")?,
    })
}
