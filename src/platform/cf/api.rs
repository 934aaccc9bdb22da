//! Version 3 of the Cloud Foundry API: requests with the service's own token, paged lists, and the JSON of
//! responses.
//!
//! Invariants: the service's token is sent only to the configured origin, and the pages of a list are
//! bounded.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::Method;

use super::endpoint::Endpoint;
use super::faults::{Fault, Faults};
use super::transport::{Answer, Body, Request, Transport, Upstream, cleaned};
use super::uaa::Uaa;
use crate::model::{Access, Guid, ReadRoles, SUPPORTER, Timestamp};
use crate::platform::{Delivery, PlatformError, Task, TaskState};

/// The most pages of a list, each with up to 5000 resources. No list that the service needs is longer.
const MAX_PAGES: usize = 100;

pub(super) struct Api {
    pub(super) transport: Arc<Transport>,
    pub(super) uaa: Uaa,
    pub(super) endpoint: Endpoint,
    pub(super) faults: Arc<Faults>,
}

impl Api {
    /// Sends a request with the service's own token. After a 401, gets a new token and repeats the request
    /// once.
    pub(super) fn call(
        &self,
        method: &Method,
        url: &str,
        json: Option<&[u8]>,
    ) -> Result<Answer, PlatformError> {
        let token = self.uaa.own_token(None)?;
        let mut answer = self.call_with(&token, method, url, json)?;
        if answer.status == 401 {
            let token = self.uaa.own_token(Some(&token))?;
            answer = self.call_with(&token, method, url, json)?;
        }
        match answer.status {
            401 => Err(PlatformError::Unavailable {
                cause: "Cloud Foundry does not accept the service's own token, although UAA has just issued \
                 it"
                .to_owned(),
                retry_after: None,
                delivery: Delivery::Failed,
            }),
            // Cloud Foundry answers 404 for what a client may not see.
            403 | 404 => self.check_authorities().map(|()| answer),
            _ => Ok(answer),
        }
    }

    /// Fails if the service's client is known to lack an authority: then "not found" would not be conclusive.
    pub(super) fn check_authorities(&self) -> Result<(), PlatformError> {
        let lacking = self.faults.cause(Fault::Authorities);
        lacking.map_or(Ok(()), |cause| Err(PlatformError::Misconfigured { cause }))
    }

    /// The resources of a list, over all pages.
    pub(super) fn list<T: DeserializeOwned>(&self, path_and_query: &str) -> Result<Vec<T>, ListFault> {
        let endless = |why: &str| {
            ListFault::Whole(PlatformError::Unavailable {
                cause: format!("Cloud Foundry sent an incomplete list: {why}"),
                retry_after: None,
                delivery: Delivery::Failed,
            })
        };
        let mut resources = Vec::new();
        let mut url = self.endpoint.url(path_and_query);
        for _ in 0..MAX_PAGES {
            let answer = self.call(&Method::GET, &url, None).map_err(ListFault::Whole)?;
            let fault = if answer.status == 429 { ListFault::Whole } else { ListFault::OfContent };
            let page: Page<T> = answer.into_json().map_err(fault)?;
            resources.extend(page.resources);
            match page.pagination.next {
                None => return Ok(resources),
                Some(next) if self.endpoint.has_origin_of(&next.href) => url = next.href,
                Some(_) => return Err(endless("its next page is on another server than CF_ENDPOINT")),
            }
        }
        Err(endless(&format!("it has more than {MAX_PAGES} pages")))
    }

    /// Cloud Foundry's root, which needs no token.
    pub(super) fn root(&self) -> Result<Answer, PlatformError> {
        let url = self.endpoint.url("/");
        self.transport.exchange(&Request {
            upstream: Upstream::CloudFoundry,
            method: Method::GET,
            url: &url,
            authorization: None,
            extra_header: None,
            body: Body::None,
        })
    }

    fn call_with(
        &self,
        token: &str,
        method: &Method,
        url: &str,
        json: Option<&[u8]>,
    ) -> Result<Answer, PlatformError> {
        self.transport.exchange(&Request {
            upstream: Upstream::CloudFoundry,
            method: method.clone(),
            url,
            authorization: Some(&format!("Bearer {token}")),
            extra_header: None,
            body: json.map_or(Body::None, |json| Body::Json(json.to_owned())),
        })
    }
}

/// An app, a space or an organization.
#[derive(Deserialize)]
pub(super) struct NamedResource {
    pub(super) guid: String,
    pub(super) name: String,
    #[serde(default)]
    relationships: NamedRelationships,
}

#[derive(Deserialize, Default)]
struct NamedRelationships {
    #[serde(default)]
    organization: Relationship,
}

impl NamedResource {
    /// The organization of a space.
    pub(super) fn organization(&self) -> Option<&str> {
        Some(self.relationships.organization.data.as_ref()?.guid.as_str())
    }
}

/// Why a list could not be read.
pub(super) enum ListFault {
    /// The response is not a list. Cloud Foundry may be unable to show a single resource of it.
    OfContent(PlatformError),
    /// Parts of the list would fail too.
    Whole(PlatformError),
}

impl From<ListFault> for PlatformError {
    fn from(fault: ListFault) -> Self {
        match fault {
            ListFault::OfContent(error) | ListFault::Whole(error) => error,
        }
    }
}

#[derive(Deserialize)]
struct Page<T> {
    pagination: Pagination,
    resources: Vec<T>,
}

#[derive(Deserialize)]
struct Pagination {
    next: Option<Link>,
}

#[derive(Deserialize)]
struct Link {
    href: String,
}

/// The fields of an app that are used here.
#[derive(Deserialize)]
pub(super) struct AppResource {
    relationships: AppRelationships,
}

#[derive(Deserialize)]
struct AppRelationships {
    space: Relationship,
}

impl AppResource {
    pub(super) fn space(self) -> Option<Guid> {
        self.relationships.space.data.map(|data| Guid::from(data.guid))
    }
}

/// A role of a user in a space.
#[derive(Deserialize)]
pub(super) struct RoleResource {
    r#type: String,
    relationships: RoleRelationships,
}

#[derive(Deserialize)]
struct RoleRelationships {
    user: Relationship,
    #[serde(default)]
    space: Relationship,
    #[serde(default)]
    organization: Relationship,
}

/// A space; only its guid is used.
#[derive(Deserialize)]
pub(super) struct SpaceResource {
    pub(super) guid: String,
}

/// What a role allows a user to read.
pub(super) enum Readable {
    Space(Guid, Access),
    Organization(String),
}

#[derive(Deserialize, Default)]
struct Relationship {
    data: Option<RelatedGuid>,
}

#[derive(Deserialize)]
struct RelatedGuid {
    guid: String,
}

impl RoleResource {
    /// What this role allows `user` to read. The filters of the request select the same roles, but
    /// authorization must not depend on the upstream's filters alone.
    pub(super) fn readable(self, user: &str, roles: &ReadRoles) -> Option<Readable> {
        let has = |known: &[&str]| known.contains(&self.r#type.as_str());
        let (of_space, of_organization) = (has(&roles.of_spaces), has(&roles.of_organizations));
        let access = if self.r#type == SUPPORTER { Access::Support } else { Access::Read };
        self.relationships.user.data.filter(|data| data.guid == user)?;
        if of_space {
            let space = self.relationships.space.data?;
            return Some(Readable::Space(Guid::from(space.guid), access));
        }
        let organization = self.relationships.organization.data.filter(|_| of_organization)?;
        Some(Readable::Organization(organization.guid))
    }

    /// The space in which this role makes `user` a developer or a manager. As in [`Self::readable`],
    /// authorization must not depend on the upstream's filters alone.
    pub(super) fn space_where_active(self, user: &str) -> Option<Guid> {
        let is_active = matches!(self.r#type.as_str(), "space_developer" | "space_manager");
        let is_theirs = self.relationships.user.data.is_some_and(|data| data.guid == user);
        let space = self.relationships.space.data.filter(|_| is_active && is_theirs)?;
        Some(Guid::from(space.guid))
    }
}

/// Reads a task. `None` if it has no guid; other invalid fields are ignored. `name`: the requested name, if
/// only one was requested.
pub(super) fn task_of(resource: &Value, name: Option<&str>) -> Option<Task> {
    let text = |field: &str| resource[field].as_str();
    let instant = |field: &str| text(field).and_then(Timestamp::parse);
    let state = match text("state") {
        Some("SUCCEEDED") => TaskState::Succeeded,
        Some("FAILED") => {
            let reason = resource["result"]["failure_reason"].as_str().unwrap_or_default();
            match cleaned(reason.trim()) {
                none if none.is_empty() => TaskState::Failed(NO_REASON.to_owned()),
                reason if reason == NEVER_REQUESTED => TaskState::NeverRan(reason),
                reason => TaskState::Failed(reason),
            }
        }
        // PENDING, RUNNING, CANCELING, and other states of unfinished tasks in later versions.
        _ => TaskState::Active,
    };
    Some(Task {
        guid: Guid::from(text("guid").filter(|guid| !guid.is_empty())?),
        name: text("name").or(name).unwrap_or_default().to_owned(),
        state,
        created_at: instant("created_at"),
        updated_at: instant("updated_at"),
    })
}

/// Whether a task belongs to `app`. A task without an app does, because the request asked only for tasks of
/// that app.
pub(super) fn is_of_app(resource: &Value, app: &str) -> bool {
    resource["relationships"]["app"]["data"]["guid"].as_str().is_none_or(|guid| guid == app)
}

/// The failure reason of a task that Cloud Controller stored but could not hand to Diego.
const NEVER_REQUESTED: &str = "Unable to request task to be run";
const NO_REASON: &str = "the task failed without a reason";
