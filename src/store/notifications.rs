//! Notifications as clients see them, and their deliveries. `outbox` decides what is sent, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value as Json;

use super::audit::{self, NewEvent};
use super::session::{Row, Session};
use super::statement::{Cell, Column, Named, json_array, sql, values};
use super::terms::take_turns;
use super::{Extent, Part, Scope, Store, StoreError, Window};
use crate::model::{
    Event, Format, Guid, Headers, Id, Notification, NotificationDefinition, Secret, Selector, Timestamp,
};

/// The most notifications in a space.
pub const NOTIFICATIONS_MAX: u64 = 50;

/// The result of creating a notification.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotificationMade {
    /// Created.
    Done(Notification),
    /// Another notification of the space has this name.
    NameTaken,
    /// The space has [`NOTIFICATIONS_MAX`] already.
    TooMany,
}

/// The result of updating a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotificationChanged {
    /// Updated, at this time.
    Done(Timestamp),
    /// Another notification of the space has this name.
    NameTaken,
    /// It was changed or deleted meanwhile.
    Gone,
}

/// A delivery to the receiver of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The position in the order of creation.
    pub id: Id,
    /// The public identifier, the same in each attempt.
    pub guid: Guid,
    /// The name of an event, or `reminder`, `summary` or `test`.
    pub event: String,
    /// Its contents, as JSON.
    pub data: Json,
    /// `WAITING`, `SENDING`, `FOLDED`, `DELIVERED`, `FAILED`, `SUPERSEDED` or `DROPPED`.
    pub state: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it is sent next; `None`: never.
    pub due_at: Option<Timestamp>,
    /// The number of attempts so far.
    pub attempts: u32,
    /// The status of the answer to the last attempt; `None`: there was no answer.
    pub last_status: Option<u32>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was delivered or given up.
    pub ended_at: Option<Timestamp>,
}

impl Store {
    /// Creates a notification.
    pub fn create_notification(
        &self,
        space: &Guid,
        definition: &NotificationDefinition,
        now: Timestamp,
        event: Option<&NewEvent>,
    ) -> Result<NotificationMade, StoreError> {
        let guid = Guid::random();
        let made = Notification {
            id: 0,
            guid,
            space: space.clone(),
            definition: definition.clone(),
            disabled_reason: None,
            created_at: now,
            updated_at: now,
        };
        self.write(|tx| {
            take_turns(tx, space)?;
            let values = values! { "space_guid": space };
            let total: u64 = tx.one(sql!("notifications/count_in_space"), values, |row| row.get("total"))?;
            if NOTIFICATIONS_MAX <= total {
                return Ok(NotificationMade::TooMany);
            }
            if total == 0 {
                tx.execute(sql!("streaks/forget_space"), values)?;
            }
            Ok(match insert(tx, &made)? {
                Some(id) => {
                    audit::record(tx, event, Some(&made.guid), now)?;
                    NotificationMade::Done(Notification { id, ..made.clone() })
                }
                None => NotificationMade::NameTaken,
            })
        })
    }

    /// The notification with this guid.
    pub fn notification(&self, guid: &str) -> Result<Option<Notification>, StoreError> {
        self.read(|session| {
            session.first(sql!("notifications/get"), values! { "guid": guid }, notification_of)
        })
    }

    /// The notification with this name in the space.
    pub fn notification_named(&self, space: &Guid, name: &str) -> Result<Option<Notification>, StoreError> {
        let values = values! { "space_guid": space, "name": name };
        self.read(|session| session.first(sql!("notifications/by_name"), values, notification_of))
    }

    /// The number of notifications in `scope`.
    pub fn count_notifications(&self, scope: &Scope) -> Result<Extent, StoreError> {
        let (all_spaces, spaces) = spaces_of(scope)?;
        let values = values! { "all_spaces": all_spaces, "space_guids": &spaces };
        self.read(|session| session.one(sql!("notifications/count"), values, extent_of))
    }

    /// A part of the notifications in `scope`, oldest first.
    pub fn list_notifications(
        &self,
        scope: &Scope,
        window: Window,
    ) -> Result<Part<Notification>, StoreError> {
        let (all_spaces, spaces) = spaces_of(scope)?;
        let limit = self.part_limit(window.limit);
        let values = values! {
            "all_spaces": all_spaces, "space_guids": &spaces, "after_id": window.beyond,
            "last_id": window.last, "limit": limit, "offset": window.offset,
        };
        self.read(|session| session.part(sql!("notifications/list"), values, limit, notification_of, measure))
    }

    /// Writes a client's changes. `changed` is what was read, with new values.
    pub fn update_notification(
        &self,
        changed: &Notification,
        now: Timestamp,
        event: Option<&NewEvent>,
    ) -> Result<NotificationChanged, StoreError> {
        let updated_at = now.next_version(changed.updated_at);
        let definition = &changed.definition;
        let columns = Columns::of(definition)?;
        let repeats = definition.enabled && definition.format == Format::Alertmanager;
        let mut values = columns.values();
        values.extend(values! {
            "id": changed.id, "disabled_reason": changed.disabled_reason.as_deref(),
            "repeat_at": repeats.then_some(now), "updated_at": updated_at,
            "seen_updated_at": changed.updated_at,
        });
        let remind_after = definition.remind_after_seconds;
        let reminders = values! {
            "notification_id": changed.id, "seen_updated_at": changed.updated_at,
            "seconds": remind_after.unwrap_or_default(),
            "remind_at": remind_after.map(|seconds| now.saturating_add(Duration::from_secs(seconds.into()))),
        };
        let written = self.write(|tx| {
            tx.execute(sql!("alerts/set_reminders"), reminders)?;
            let rows = tx.execute(sql!("notifications/update"), &values)?;
            if rows == 0 {
                return Ok(NotificationChanged::Gone);
            }
            audit::record(tx, event, None, now)?;
            if !definition.enabled {
                drop_waiting(tx, changed.id, now)?;
            }
            Ok(NotificationChanged::Done(updated_at))
        });
        match written {
            // The unique index of names decides a race for the same name.
            Err(StoreError::Conflict) => Ok(NotificationChanged::NameTaken),
            other => other,
        }
    }

    /// Deletes a notification with its deliveries. `false`: it was changed since `seen` was read, or deleted.
    pub fn delete_notification(
        &self,
        seen: &Notification,
        now: Timestamp,
        event: Option<&NewEvent>,
    ) -> Result<bool, StoreError> {
        let values = values! { "id": seen.id, "seen_updated_at": seen.updated_at };
        self.write(|tx| {
            let rows = tx.execute(sql!("notifications/delete"), values)?;
            if rows == 1 {
                audit::record(tx, event, None, now)?;
            }
            Ok(rows == 1)
        })
    }

    /// The number of stored deliveries of a notification.
    pub fn count_deliveries(&self, notification: Id) -> Result<Extent, StoreError> {
        let values = values! { "notification_id": notification };
        self.read(|session| session.one(sql!("deliveries/count"), values, extent_of))
    }

    /// A part of the deliveries of a notification, newest first.
    pub fn list_deliveries(&self, notification: Id, window: Window) -> Result<Part<Delivery>, StoreError> {
        let limit = self.part_limit(window.limit);
        let values = values! {
            "notification_id": notification, "before_id": window.beyond, "limit": limit,
            "offset": window.offset,
        };
        let measure =
            |delivery: &Delivery| (delivery.id, delivery.last_error.as_ref().map_or(0, String::len));
        self.read(|session| session.part(sql!("deliveries/list"), values, limit, delivery_of, measure))
    }

    /// Deletes a batch of the deliveries that ended before `before`. Returns their number.
    pub fn purge_deliveries(&self, before: Timestamp, limit: u32) -> Result<usize, StoreError> {
        let values = values! { "before": before, "limit": limit };
        self.write_one(|tx| tx.execute(sql!("deliveries/purge_ended"), values))
    }
}

/// `None`: the name is taken.
pub(super) fn insert(tx: &Session<'_>, new: &Notification) -> Result<Option<Id>, StoreError> {
    let columns = Columns::of(&new.definition)?;
    let mut values = columns.values();
    values.extend(values! {
        "guid": &new.guid, "space_guid": &new.space, "disabled_reason": new.disabled_reason.as_deref(),
        "created_at": new.created_at, "updated_at": new.updated_at,
    });
    tx.first(sql!("notifications/insert"), &values, |row| row.get("id"))
}

/// Drops waiting deliveries: a disabled notification stores nothing for later. Alerts not sent yet count as
/// not reported.
pub(super) fn drop_waiting(tx: &Session<'_>, notification: Id, now: Timestamp) -> Result<(), StoreError> {
    let values = values! { "notification_id": notification, "now": now };
    tx.execute(sql!("deliveries/drop_waiting"), values)?;
    tx.execute(sql!("alerts/forget_untold"), values)?;
    Ok(())
}

fn spaces_of(scope: &Scope) -> Result<(bool, String), StoreError> {
    match scope {
        Scope::All => Ok((true, "[]".to_owned())),
        Scope::Space(space) => Ok((false, json_array(std::iter::once(space.as_str()))?)),
        Scope::Spaces(spaces) => Ok((false, json_array(spaces.iter().map(Guid::as_str))?)),
    }
}

/// The columns of a notification that clients set.
struct Columns<'a> {
    definition: &'a NotificationDefinition,
    headers: Option<String>,
    events: String,
    jobs: String,
    calls: String,
}

impl<'a> Columns<'a> {
    fn of(definition: &'a NotificationDefinition) -> Result<Self, StoreError> {
        let headers = match definition.headers.0.is_empty() {
            true => None,
            false => Some(
                serde_json::to_string(&definition.headers.0)
                    .map_err(|err| StoreError::Bug(err.to_string()))?,
            ),
        };
        Ok(Self {
            definition,
            headers,
            events: json_array(definition.events.iter().map(|event| event.as_str()))?,
            jobs: json_array(definition.jobs.iter().map(Guid::as_str))?,
            calls: json_array(definition.calls.iter().map(Guid::as_str))?,
        })
    }

    fn values(&self) -> Vec<Named<'_>> {
        let definition = self.definition;
        values! {
            "name": &definition.name, "url": definition.url.reveal(), "format": definition.format.as_str(),
            "secret": definition.secret.as_ref().map(Secret::reveal), "headers": self.headers.as_deref(),
            "events": &self.events, "job_guids": &self.jobs, "call_guids": &self.calls,
            "label_selector": definition.selector.as_str(), "after_failures": definition.after_failures,
            "remind_after_seconds": definition.remind_after_seconds, "enabled": definition.enabled,
        }
        .to_vec()
    }
}

fn measure(notification: &Notification) -> (Id, usize) {
    let definition = &notification.definition;
    let guids = definition.jobs.iter().chain(&definition.calls).map(|guid| guid.as_str().len() + 3);
    (notification.id, definition.url.reveal().len() + guids.sum::<usize>())
}

pub(super) fn notification_of(row: &Row<'_>) -> Result<Notification, StoreError> {
    let events: Vec<String> = list_of(row, "events")?;
    let guids = |column| -> Result<Vec<Guid>, StoreError> {
        Ok(list_of(row, column)?.into_iter().map(Guid::from).collect())
    };
    let headers: Option<String> = row.get("headers")?;
    let headers: BTreeMap<String, String> = match headers {
        None => BTreeMap::new(),
        Some(json) => {
            serde_json::from_str(&json).map_err(|err| StoreError::Bug(format!("headers: {err}")))?
        }
    };
    Ok(Notification {
        id: row.get("id")?,
        guid: row.get("guid")?,
        space: row.get("space_guid")?,
        definition: NotificationDefinition {
            name: row.get("name")?,
            url: row.get("url")?,
            format: row.get("format")?,
            secret: row.get("secret")?,
            headers: Headers(headers),
            events: events.iter().filter_map(|name| Event::named(name)).collect(),
            jobs: guids("job_guids")?,
            calls: guids("call_guids")?,
            selector: row.get("label_selector")?,
            after_failures: row.get("after_failures")?,
            remind_after_seconds: row.get("remind_after_seconds")?,
            enabled: row.get("enabled")?,
        },
        disabled_reason: row.get("disabled_reason")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

fn extent_of(row: &Row<'_>) -> Result<Extent, StoreError> {
    Ok(Extent { total: row.get("total")?, last: row.get("last_id")? })
}

fn list_of(row: &Row<'_>, column: &'static str) -> Result<Vec<String>, StoreError> {
    let json: String = row.get(column)?;
    serde_json::from_str(&json).map_err(|err| StoreError::Bug(format!("{column}: {err}")))
}

pub(super) fn delivery_of(row: &Row<'_>) -> Result<Delivery, StoreError> {
    Ok(Delivery {
        id: row.get("id")?,
        guid: row.get("guid")?,
        event: row.get("event")?,
        data: json_of(row)?,
        state: row.get("state")?,
        created_at: row.get("created_at")?,
        due_at: row.get("due_at")?,
        attempts: row.get("attempts")?,
        last_status: row.get("last_status")?,
        last_error: row.get("last_error")?,
        ended_at: row.get("ended_at")?,
    })
}

pub(super) fn json_of(row: &Row<'_>) -> Result<Json, StoreError> {
    let data: String = row.get("data")?;
    serde_json::from_str(&data).map_err(|err| StoreError::Bug(format!("data: {err}")))
}

impl Column for Format {
    fn of(cell: Cell<'_>) -> Option<Self> {
        let name = String::of(cell)?;
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }
}

impl Column for Selector {
    fn of(cell: Cell<'_>) -> Option<Self> {
        Self::parse(&String::of(cell)?).ok()
    }
}
