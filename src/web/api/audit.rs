//! The audit events of changes.
//!
//! Invariant: an event contains no secrets. Values that may be secrets are shown as `"[changed]"`.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Api;
use crate::http::Request;
use crate::model::{Executable, Guid, Notification};
use crate::outbound;
use crate::store::{Actor, NewEvent, Target};
use crate::web::auth::Caller;

/// The longest stored value, in characters.
const VALUE_CHARS_MAX: usize = 256;
/// Replaces a value that may be a secret.
const CHANGED: &str = "[changed]";
/// Fields whose values may be secrets.
const SECRETS: [&str; 4] = ["auth_header", "headers", "secret", "signing_secret"];
/// Fields that clients cannot change.
const UNCHANGED: [&str; 8] = [
    "created_at",
    "updated_at",
    "state",
    "next_fire_time",
    "completed_at",
    "schedules",
    "paused_by",
    "disabled_reason",
];
/// The prefix of all types.
pub(super) const PREFIX: &str = "audit.scheduler.";
/// Who requests a change, and in which request.
#[derive(Debug, Clone, Copy)]
pub(in crate::web) struct By<'a> {
    pub(in crate::web) guid: &'a str,
    pub(in crate::web) name: &'a str,
    pub(in crate::web) is_client: bool,
    pub(in crate::web) request_id: &'a str,
}

impl<'a> By<'a> {
    pub(super) fn of(caller: &'a Caller, request: &'a Request) -> Self {
        let Caller { user, name, is_client, .. } = caller;
        Self { guid: user, name, is_client: *is_client, request_id: &request.id }
    }
}

impl Api {
    /// The event of a change; `None`: events are not kept. `what` is for example `job.create`.
    pub(in crate::web) fn event(
        &self,
        by: By<'_>,
        what: &str,
        target: Target,
        space: &Guid,
        data: impl FnOnce() -> Value,
    ) -> Option<NewEvent> {
        self.keeps_events.then(|| NewEvent {
            kind: format!("{PREFIX}{what}"),
            actor: Actor { guid: by.guid.to_owned(), is_client: by.is_client, name: by.name.to_owned() },
            target,
            data: data(),
            space: space.clone(),
            request_id: by.request_id.to_owned(),
        })
    }

    /// The event of an action on a job or call as a whole.
    pub(super) fn event_of_executable(
        &self,
        by: By<'_>,
        verb: &str,
        executable: &Executable,
        data: impl FnOnce() -> Value,
    ) -> Option<NewEvent> {
        let kind = executable.kind().as_str();
        let target = Target { guid: executable.guid.to_string(), kind, name: executable.name.clone() };
        self.event(by, &format!("{kind}.{verb}"), target, &executable.space, data)
    }

    /// The event of a change to a notification.
    pub(super) fn event_of_notification(
        &self,
        by: By<'_>,
        verb: &str,
        notification: &Notification,
        data: impl FnOnce() -> Value,
    ) -> Option<NewEvent> {
        let name = notification.definition.name.clone();
        let target = Target { guid: notification.guid.to_string(), kind: "notification", name };
        self.event(by, &format!("notification.{verb}"), target, &notification.space, data)
    }
}

/// The differences between two versions of an object, as clients see them: `{"changed": {FIELD: [old,
/// new]}}`.
pub(super) fn differences<T: Serialize>(before: &T, after: &T) -> Value {
    let fields = |object: &T| match serde_json::to_value(object) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let (mut before, after) = (fields(before), fields(after));
    let mut changed = Map::new();
    for (field, new) in after {
        let old = before.remove(&field).unwrap_or_default();
        if old == new || UNCHANGED.contains(&field.as_str()) {
            continue;
        }
        let pair = match SECRETS.contains(&field.as_str()) {
            true => json!(CHANGED),
            false => json!([cut(old), cut(new)]),
        };
        changed.insert(field, pair);
    }
    json!({ "changed": changed })
}

/// Adds a secret field to the differences, if it has changed.
pub(super) fn and_secret(mut data: Value, field: &str, is_changed: bool) -> Value {
    if is_changed {
        data["changed"][field] = json!(CHANGED);
    }
    data
}

/// Reduces URLs of receivers to scheme and host, because the path may be a secret.
pub(super) fn with_origins(mut data: Value) -> Value {
    if let Some(pair) = data["changed"].get_mut("url").and_then(Value::as_array_mut) {
        for url in pair {
            let target = url.as_str().map(outbound::Target::parse);
            *url = json!(target.and_then(Result::ok).map(|target| target.shown()));
        }
    }
    data
}

fn cut(value: Value) -> Value {
    let text = match &value {
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
        _ => return value,
    };
    match VALUE_CHARS_MAX < text.chars().count() {
        true => Value::String(text.chars().take(VALUE_CHARS_MAX).chain(['…']).collect()),
        false => value,
    }
}

/// A target that is being created.
pub(super) fn new_target(kind: &'static str, name: &str) -> Target {
    Target { guid: String::new(), kind, name: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_only_named_and_long_values_are_cut() {
        let before = json!({ "auth_header": "a", "name": "x", "url": "u", "updated_at": 1 });
        let after = json!({ "auth_header": "b", "name": "y".repeat(300), "url": "u", "updated_at": 2 });
        let cut = format!("{}…", "y".repeat(256));
        assert_eq!(
            differences(&before, &after),
            json!({ "changed": { "auth_header": "[changed]", "name": ["x", cut] } })
        );
        let data =
            json!({ "changed": { "url": ["https://hooks.example.com/T0/secret", "https://h:8443/x"] } });
        assert_eq!(
            with_origins(data),
            json!({ "changed": { "url": ["https://hooks.example.com", "https://h:8443"] } })
        );
    }
}
