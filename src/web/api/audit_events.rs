//! `GET /audit_events`: who did what, newest first.

use serde::Serialize;
use serde_json::Value;

use super::Api;
use super::audit::PREFIX;
use super::error::ApiError;
use super::overview::{CursorJson, choices, guids, instant, unknown_parameter};
use super::page::{to_json, whole_number};
use super::query::Query;
use crate::http::{Request, Response, respond_with};
use crate::model::{HIDDEN, Id};
use crate::store::{AuditEvent, AuditFilter};
use crate::web::auth::Caller;

const PER_PAGE: u64 = 50;
const PER_PAGE_MAX: u64 = 500;
/// All types of audit events, without the prefix.
pub const TYPES: [&str; 22] = [
    "job.create",
    "job.update",
    "job.delete",
    "job.execute",
    "call.create",
    "call.update",
    "call.delete",
    "call.execute",
    "schedule.create",
    "schedule.update",
    "schedule.delete",
    "notification.create",
    "notification.update",
    "notification.delete",
    "execution.cancel",
    "space.pause",
    "space.resume",
    "service_instance.create",
    "service_instance.delete",
    "service_binding.create",
    "service_binding.delete",
    "import",
];
const PARAMETERS: [&str; 7] =
    ["space_guid", "types", "target_guids", "actor_guids", "created_ats[gt]", "created_ats[lt]", "per_page"];
const CURSOR: &str = "cursor";

/// The JSON of an event.
#[derive(Serialize)]
struct EventJson {
    guid: String,
    created_at: String,
    r#type: String,
    actor: PartyJson,
    target: PartyJson,
    data: Value,
    space: Option<SpaceJson>,
    request_id: String,
}

#[derive(Serialize)]
struct PartyJson {
    guid: String,
    r#type: String,
    name: String,
}

#[derive(Serialize)]
struct SpaceJson {
    guid: String,
}

#[derive(Serialize)]
struct PageJson {
    pagination: CursorJson,
    resources: Vec<EventJson>,
}

impl EventJson {
    fn of(event: AuditEvent) -> Self {
        let (guid, kind, name) = event.target;
        let actor_type = if event.actor.is_client { "client" } else { "user" };
        let space = event.space.to_string();
        Self {
            guid: event.guid.to_string(),
            created_at: event.created_at.to_string(),
            r#type: event.kind,
            actor: PartyJson {
                guid: event.actor.guid,
                r#type: actor_type.to_owned(),
                name: event.actor.name,
            },
            target: PartyJson { guid, r#type: kind, name },
            data: event.data,
            space: (!space.is_empty()).then_some(SpaceJson { guid: space }),
            request_id: event.request_id,
        }
    }
}

/// Hides the values of fields that may contain secrets, for callers who may only read.
fn hide(data: &mut Value) {
    const FIELDS: [&str; 5] = ["command", "url", "auth_header", "headers", "body"];
    for of in ["changed", "created", "deleted"] {
        let Some(fields) = data.get_mut(of).and_then(Value::as_object_mut) else { continue };
        for (_, value) in fields.iter_mut().filter(|(name, _)| FIELDS.contains(&name.as_str())) {
            *value = HIDDEN.into();
        }
    }
}

impl Api {
    /// `GET /audit_events`.
    pub(super) fn list_events(
        &self,
        caller: &Caller,
        request: &Request,
        query: &Query,
    ) -> Result<Response, ApiError> {
        if let Some(name) = query.names().find(|name| !PARAMETERS.contains(name) && *name != CURSOR) {
            return Err(unknown_parameter(name, &PARAMETERS).into());
        }
        let types: Vec<String> = TYPES.iter().map(|what| format!("{PREFIX}{what}")).collect();
        let types: Vec<(&str, &str)> = types.iter().map(|kind| (kind.as_str(), kind.as_str())).collect();
        let kinds: Vec<String> = choices(query, "types", &types)?.into_iter().map(str::to_owned).collect();
        let filter = AuditFilter {
            spaces: self.requested_spaces(caller, query)?,
            kinds: (!kinds.is_empty()).then_some(kinds),
            targets: guids(query, "target_guids")?,
            actors: guids(query, "actor_guids")?,
            created_after: instant(query, "created_ats[gt]")?,
            created_before: instant(query, "created_ats[lt]")?,
        };
        let per_page = query.get("per_page").map(|it| whole_number(it, "per_page", (1, PER_PAGE_MAX)));
        let per_page = u32::try_from(per_page.transpose()?.unwrap_or(PER_PAGE)).unwrap_or(u32::MAX);
        let before = query.get(CURSOR).map(|it| whole_number(it, CURSOR, (1, u64::MAX))).transpose()?;
        let before = before.map_or(Id::MAX, |before| Id::try_from(before).unwrap_or(Id::MAX));
        let found = self.store.find_events(&filter, before, per_page)?;
        let page = PageJson {
            pagination: CursorJson::of(request, query, found.rows.len() as u64, found.next),
            resources: found
                .rows
                .into_iter()
                .map(|mut event| {
                    if !caller.works_in(&event.space) {
                        hide(&mut event.data);
                    }
                    EventJson::of(event)
                })
                .collect(),
        };
        Ok(respond_with(200, "application/json", to_json(&page)?))
    }
}
