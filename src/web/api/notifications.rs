//! Notifications and their deliveries: handlers and JSON.
//!
//! Invariant: no answer contains secrets or header values.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::audit::{By, and_secret, differences, new_target, with_origins};
use super::error::ApiError;
use super::executables::shown;
use super::fields::{Fields, name_in_query};
use super::page::{self, Order, Paging};
use super::put::{Change, DRY_RUN};
use super::query::Query;
use super::quotas::too_many_notifications;
use super::selector;
use super::violation::Violation;
use super::{Api, until_written, versions};
use crate::http::{Request, Response, respond};
use crate::model::{
    Access, Event, Format, Guid, HIDDEN, Headers, Kind, Notification, NotificationDefinition, Secret,
    Selector, Timestamp, hidden_url,
};
use crate::outbound::{SIGNING_SECRET_PREFIX, Target, signing_key};
use crate::store::{Delivery, NotificationChanged, NotificationMade, Scope};
use crate::web::auth::Caller;

/// The longest selector.
const SELECTOR_BYTES_MAX: usize = 1000;
const URL_CHARS_MAX: usize = 2048;
/// The most guids in each of the two lists.
const GUIDS_MAX: usize = 1000;
const AFTER_FAILURES_MAX: u32 = 100;
const REMIND_MIN: u32 = 3600;
const REMIND_MAX: u32 = 604_800;
const A_SPACE: &str = "?space_guid= and the guid of a space in which the user is developer or manager";

/// The JSON of a notification.
#[derive(Serialize)]
pub(in crate::web) struct NotificationJson {
    guid: String,
    name: String,
    url: String,
    format: &'static str,
    secret: Option<&'static str>,
    headers: BTreeMap<String, &'static str>,
    events: Vec<&'static str>,
    job_guids: Vec<String>,
    call_guids: Vec<String>,
    label_selector: String,
    after_failures: u32,
    remind_after_seconds: Option<u32>,
    enabled: bool,
    disabled_reason: Option<String>,
    created_at: String,
    updated_at: String,
    space_guid: String,
}

impl NotificationJson {
    pub(in crate::web) fn of(notification: &Notification) -> Self {
        let definition = &notification.definition;
        let guids = |guids: &[Guid]| guids.iter().map(Guid::to_string).collect();
        Self {
            guid: notification.guid.to_string(),
            name: definition.name.clone(),
            url: definition.url.reveal().to_owned(),
            format: definition.format.as_str(),
            secret: definition.secret.as_ref().map(|_| HIDDEN),
            headers: definition.headers.0.keys().map(|name| (name.clone(), HIDDEN)).collect(),
            events: definition.events.iter().map(|event| event.as_str()).collect(),
            job_guids: guids(&definition.jobs),
            call_guids: guids(&definition.calls),
            label_selector: definition.selector.as_str().to_owned(),
            after_failures: definition.after_failures,
            remind_after_seconds: definition.remind_after_seconds,
            enabled: definition.enabled,
            disabled_reason: notification.disabled_reason.clone(),
            created_at: notification.created_at.to_string(),
            updated_at: notification.updated_at.to_string(),
            space_guid: notification.space.to_string(),
        }
    }
}

impl NotificationJson {
    /// The notification that a dry run would create. Its guid is a placeholder.
    fn not_made(
        space: &Guid,
        definition: NotificationDefinition,
        now: Timestamp,
    ) -> Result<Response, ApiError> {
        let (id, guid, space, disabled_reason) = (0, Guid::random(), space.clone(), None);
        let (created_at, updated_at) = (now, now);
        let made = Notification { id, guid, space, definition, disabled_reason, created_at, updated_at };
        versions::object(200, &Self::of(&made))
    }
}

/// The JSON of a delivery.
#[derive(Serialize)]
struct DeliveryJson {
    guid: String,
    event: String,
    state: String,
    attempts: u32,
    last_status: Option<u32>,
    last_error: Option<String>,
    created_at: String,
    next_attempt_at: Option<String>,
    ended_at: Option<String>,
    job_guid: Option<String>,
    call_guid: Option<String>,
    execution_guid: Option<String>,
}

impl DeliveryJson {
    fn of(delivery: Delivery) -> Self {
        let text = |outer: &str| delivery.data[outer]["guid"].as_str().map(str::to_owned);
        Self {
            job_guid: text("job"),
            call_guid: text("call"),
            execution_guid: text("execution"),
            guid: delivery.guid.to_string(),
            event: delivery.event,
            state: delivery.state,
            attempts: delivery.attempts,
            last_status: delivery.last_status,
            last_error: delivery.last_error,
            created_at: delivery.created_at.to_string(),
            next_attempt_at: shown(delivery.due_at),
            ended_at: shown(delivery.ended_at),
        }
    }
}

/// Reduces a URL to scheme and host, because the rest may be a secret.
fn hide(notification: &mut Notification) {
    notification.definition.url = Secret::from(hidden_url(notification.definition.url.reveal()));
}

impl Api {
    pub(super) fn list_notifications(
        &self,
        caller: &Caller,
        request: &Request,
        query: &Query,
    ) -> Result<Response, ApiError> {
        let scope = self.requested_spaces(caller, query)?.map_or(Scope::All, Scope::Spaces);
        let paging = Paging::of(query)?;
        let extent = self.store.count_notifications(&scope)?;
        let store = Arc::clone(&self.store);
        let caller = caller.clone();
        page::collection(request, query, paging, extent, Order::OldestFirst, move |window| {
            Ok(store.list_notifications(&scope, window)?.map(|mut it| {
                if !caller.works_in(&it.space) {
                    hide(&mut it);
                }
                NotificationJson::of(&it)
            }))
        })
    }

    pub(super) fn create_notification(
        &self,
        caller: &Caller,
        query: &Query,
        request: &Request,
    ) -> Result<Response, ApiError> {
        let space = self.space_in_query(caller, query)?;
        self.check_service_instance(&space)?;
        let mut definition = new_definition();
        let mut fields = Fields::of(&request.body)?;
        self.change_definition_of(&mut fields, &mut definition, &space)?;
        let name = Some(definition.name.clone()).filter(|name| !name.is_empty());
        fields.required("name", name);
        fields.require_url(&definition);
        fields.finish(Some(()))?;
        self.make_notification(caller, request, &space, &definition)?.ok_or_else(|| name_taken().into())
    }

    /// Creates a notification, or replaces the one with the name in the query by what the request would
    /// create.
    pub(super) fn put_notification(
        &self,
        caller: &Caller,
        query: &Query,
        request: &Request,
    ) -> Result<Response, ApiError> {
        let space = self.space_in_query(caller, query)?;
        let name = name_in_query(query.get("name"))?;
        let is_dry_run = query.is_on(DRY_RUN)?;
        until_written(|| {
            let seen = self.store.notification_named(&space, &name)?;
            let mut definition = NotificationDefinition { name: name.clone(), ..new_definition() };
            if let Some(seen) = &seen {
                // Guids that are listed already may be of deleted objects.
                definition.jobs.clone_from(&seen.definition.jobs);
                definition.calls.clone_from(&seen.definition.calls);
            }
            let mut fields = Fields::of(&request.body)?;
            fields.check_name(&name);
            self.change_definition_of(&mut fields, &mut definition, &space)?;
            definition.name.clone_from(&name);
            if fields.raw.job_guids.is_none() {
                definition.jobs.clear();
            }
            if fields.raw.call_guids.is_none() {
                definition.calls.clear();
            }
            fields.require_url(&definition);
            let Some(seen) = seen else {
                versions::check_absent(request)?;
                self.check_service_instance(&space)?;
                fields.finish(Some(()))?;
                let made = match is_dry_run {
                    true => {
                        self.check_quota_of_notifications(&space)?;
                        Some(NotificationJson::not_made(&space, definition, self.clock.now())?)
                    }
                    false => self.make_notification(caller, request, &space, &definition)?,
                };
                return Ok(made.map(|made| Change::Created.add_header_to(made)));
            };
            fields.finish(Some(()))?;
            versions::check(request, &NotificationJson::of(&seen))?;
            let (change, answer) = match definition == seen.definition {
                true => (Change::Unchanged, versions::object(200, &NotificationJson::of(&seen)).map(Some)),
                false if is_dry_run => {
                    let changed = Notification { definition, ..seen };
                    (Change::Replaced, versions::object(200, &NotificationJson::of(&changed)).map(Some))
                }
                false => (Change::Replaced, self.write_notification(caller, request, seen, definition)),
            };
            Ok(answer?.map(|answer| change.add_header_to(answer)))
        })
    }

    /// The space in the query, for a creation.
    fn space_in_query(&self, caller: &Caller, query: &Query) -> Result<Guid, ApiError> {
        // "No such space" and "not your space" get the same answer.
        let unknown = || {
            let detail = "names no space in which you are developer or manager";
            Violation::new("space_guid", "unknown", detail, A_SPACE)
        };
        let space = match query.get("space_guid") {
            None => return Err(Violation::new("space_guid", "missing", "is missing", A_SPACE).into()),
            Some(space) if space.trim().is_empty() => {
                return Err(Violation::new("space_guid", "blank", "is blank", A_SPACE).into());
            }
            Some(space) => Guid::from_outside(space).ok_or_else(unknown)?,
        };
        match self.auth.access(caller, &space)? {
            Some(Access::Work) => {}
            Some(_) => return Err(ApiError::ReadOnly),
            None => return Err(unknown().into()),
        }
        Ok(space)
    }

    /// `None`: another notification of the space has the name.
    fn make_notification(
        &self,
        caller: &Caller,
        request: &Request,
        space: &Guid,
        definition: &NotificationDefinition,
    ) -> Result<Option<Response>, ApiError> {
        let target = new_target("notification", &definition.name);
        let by = By::of(caller, request);
        let event = self.event(by, "notification.create", target, space, || json!({}));
        let now = self.clock.now();
        match self.store.create_notification(space, definition, now, event.as_ref())? {
            NotificationMade::Done(made) => versions::object(201, &NotificationJson::of(&made)).map(Some),
            NotificationMade::NameTaken => Ok(None),
            NotificationMade::TooMany => Err(too_many_notifications()),
        }
    }

    pub(super) fn get_notification(
        &self,
        caller: &Caller,
        guid: &str,
        request: &Request,
    ) -> Result<Response, ApiError> {
        versions::shown(request, &NotificationJson::of(&self.notification(caller, guid)?))
    }

    pub(super) fn change_notification(
        &self,
        caller: &Caller,
        guid: &str,
        request: &Request,
    ) -> Result<Response, ApiError> {
        until_written(|| {
            let seen = self.notification(caller, guid)?;
            let mut fields = Fields::of(&request.body)?;
            let mut definition = seen.definition.clone();
            self.change_definition_of(&mut fields, &mut definition, &seen.space)?;
            fields.finish(Some(()))?;
            versions::check(request, &NotificationJson::of(&seen))?;
            if definition == seen.definition {
                return versions::object(200, &NotificationJson::of(&seen)).map(Some);
            }
            self.write_notification(caller, request, seen, definition)
        })
    }

    /// `None`: `seen` is outdated.
    fn write_notification(
        &self,
        caller: &Caller,
        request: &Request,
        seen: Notification,
        definition: NotificationDefinition,
    ) -> Result<Option<Response>, ApiError> {
        let disabled_reason = seen.disabled_reason.clone().filter(|_| !definition.enabled);
        let before = NotificationJson::of(&seen);
        let secrets_before = secrets(&seen);
        let changed = Notification { definition, disabled_reason, ..seen };
        let by = By::of(caller, request);
        let event = self.event_of_notification(by, "update", &changed, || {
            let data = with_origins(differences(&before, &NotificationJson::of(&changed)));
            let (secret, headers) = secrets(&changed);
            let data = and_secret(data, "secret", secret != secrets_before.0);
            and_secret(data, "headers", headers != secrets_before.1)
        });
        match self.store.update_notification(&changed, self.clock.now(), event.as_ref())? {
            NotificationChanged::Done(updated_at) => {
                let changed = Notification { updated_at, ..changed };
                versions::object(200, &NotificationJson::of(&changed)).map(Some)
            }
            NotificationChanged::NameTaken => Err(name_taken().into()),
            NotificationChanged::Gone => Ok(None),
        }
    }

    pub(super) fn delete_notification(
        &self,
        caller: &Caller,
        guid: &str,
        request: &Request,
    ) -> Result<Response, ApiError> {
        until_written(|| {
            let seen = self.notification(caller, guid)?;
            versions::check(request, &NotificationJson::of(&seen))?;
            let by = By::of(caller, request);
            let event = self.event_of_notification(by, "delete", &seen, || json!({}));
            let deleted = self.store.delete_notification(&seen, self.clock.now(), event.as_ref())?;
            Ok(deleted.then_some(()))
        })?;
        Ok(respond(204))
    }

    pub(super) fn test_notification(&self, caller: &Caller, guid: &str) -> Result<Response, ApiError> {
        let notification = self.notification(caller, guid)?;
        let delivery = self.store.test_notification(&notification, self.clock.now())?;
        let delivery = delivery.ok_or(ApiError::NotFound)?;
        // If the channel is full, the notifier is about to look anyway.
        let _ = self.wake_notifier.try_send(());
        versions::object(202, &DeliveryJson::of(delivery))
    }

    pub(super) fn list_deliveries(
        &self,
        caller: &Caller,
        guid: &str,
        request: &Request,
        query: &Query,
    ) -> Result<Response, ApiError> {
        let notification = self.notification(caller, guid)?;
        let paging = Paging::of(query)?;
        let extent = self.store.count_deliveries(notification.id)?;
        let store = Arc::clone(&self.store);
        page::collection(request, query, paging, extent, Order::NewestFirst, move |window| {
            Ok(store.list_deliveries(notification.id, window)?.map(DeliveryJson::of))
        })
    }

    /// The notification, if it exists and the caller may work in its space.
    fn notification(&self, caller: &Caller, guid: &str) -> Result<Notification, ApiError> {
        let guid = Guid::from_outside(guid).ok_or(ApiError::NotFound)?;
        let found = self.store.notification(guid.as_str())?;
        let nowhere = Guid::from("");
        let space = found.as_ref().map_or(&nowhere, |notification| &notification.space);
        let access = self.access(caller, space)?;
        let mut found = found.ok_or(ApiError::NotFound)?;
        if access < Access::Work {
            hide(&mut found);
        }
        Ok(found)
    }

    /// Applies the fields in the body.
    fn change_definition_of(
        &self,
        fields: &mut Fields<'_>,
        definition: &mut NotificationDefinition,
        space: &Guid,
    ) -> Result<(), ApiError> {
        if let Some(name) = fields.name() {
            definition.name = name;
        }
        if let Some(url) = fields.receiver() {
            definition.url = Secret::from(url);
        }
        let formats = Format::ALL.map(Format::as_str).join(", ");
        let expected = format!("one of {formats}, or null, which stands for standard");
        if let Some(format) = fields.choice("format", fields.raw.format, &Format::ALL, &expected) {
            definition.format = format.unwrap_or_default();
        }
        if let Some(secret) = fields.secret() {
            definition.secret = secret;
        }
        if let Some(headers) = fields.headers(true) {
            definition.headers = headers;
        }
        if let Some(events) = fields.events() {
            definition.events = events;
        }
        for (field, raw, kind, guids) in [
            ("job_guids", fields.raw.job_guids, Kind::Job, &mut definition.jobs),
            ("call_guids", fields.raw.call_guids, Kind::Call, &mut definition.calls),
        ] {
            let expected = format!("a list of at most {GUIDS_MAX} guids, or null for none");
            let given: Option<Option<Vec<String>>> = fields.given(field, raw, &expected);
            if let Some(given) = given {
                self.change_guids(fields, (field, kind), given.unwrap_or_default(), guids, space)?;
            }
        }
        if let Some(selector) = fields.label_selector() {
            definition.selector = selector;
        }
        let raw = fields.raw.after_failures;
        if let Some(number) = fields.number("after_failures", raw, 1..=AFTER_FAILURES_MAX) {
            definition.after_failures = number.unwrap_or(1);
        }
        let raw = fields.raw.remind_after_seconds;
        if let Some(seconds) = fields.number("remind_after_seconds", raw, REMIND_MIN..=REMIND_MAX) {
            definition.remind_after_seconds = seconds;
        }
        if let Some(enabled) = fields.given("enabled", fields.raw.enabled, "true, false or null") {
            definition.enabled = enabled.unwrap_or(true);
        }
        Ok(())
    }

    /// Guids that are listed already may be of deleted objects; new ones must be jobs or calls of the space.
    fn change_guids(
        &self,
        fields: &mut Fields<'_>,
        (field, kind): (&'static str, Kind),
        given: Vec<String>,
        guids: &mut Vec<Guid>,
        space: &Guid,
    ) -> Result<(), ApiError> {
        if GUIDS_MAX < given.len() {
            let detail = format!("has {} guids", given.len());
            fields.violate(Violation::new(field, "too_many", detail, format!("at most {GUIDS_MAX}")));
            return Ok(());
        }
        let mut changed: Vec<Guid> = Vec::new();
        for text in given {
            let guid = Guid::from_outside(&text);
            let found = match &guid {
                Some(guid) if guids.contains(guid) => true,
                Some(guid) => {
                    let found = self.store.executable(kind, guid.as_str())?;
                    found.is_some_and(|executable| executable.space == *space)
                }
                None => false,
            };
            match guid.filter(|_| found) {
                Some(guid) if changed.contains(&guid) => {}
                Some(guid) => changed.push(guid),
                None => {
                    let detail = format!("has a guid that is not a {} of the space", kind.as_str());
                    let expected = format!("guids of {}s of the space", kind.as_str());
                    fields.violate(Violation::new(field, "unknown", detail, expected));
                    return Ok(());
                }
            }
        }
        *guids = changed;
        Ok(())
    }
}

impl Fields<'_> {
    fn require_url(&mut self, definition: &NotificationDefinition) {
        let url = Some(()).filter(|()| !definition.url.reveal().is_empty());
        self.required("url", url);
    }

    fn receiver(&mut self) -> Option<String> {
        let url = self.text("url", self.raw.url, URL_CHARS_MAX);
        let url = self.not_hidden("url", url)?;
        match Target::parse(&url) {
            Ok(_) => Some(url),
            Err(cause) => {
                let expected = format!("an http or https URL of at most {URL_CHARS_MAX} characters");
                self.violate(Violation::new("url", "url", format!("is not valid: {cause}"), expected));
                None
            }
        }
    }

    fn secret(&mut self) -> Option<Option<Secret>> {
        let expected = format!(
            "\"{SIGNING_SECRET_PREFIX}\" and the base64 of 24 to 64 random bytes, two of these with a blank \
             between them, or null for no signature"
        );
        let Some(text): Option<String> = self.given("secret", self.raw.secret, &expected)? else {
            return Some(None);
        };
        let secrets: Vec<&str> = text.split(' ').collect();
        if 2 < secrets.len() || secrets.iter().any(|secret| signing_key(secret).is_none()) {
            self.violate(Violation::new("secret", "value", "is not such a secret", expected));
            return None;
        }
        Some(Some(Secret::from(text)))
    }

    fn events(&mut self) -> Option<Vec<Event>> {
        let names = Event::ALL.map(Event::as_str).join(", ");
        let expected = format!("a list of some of {names}, or null for the default");
        let Some(given): Option<Vec<String>> = self.given("events", self.raw.events, &expected)? else {
            return Some(Event::DEFAULT.to_vec());
        };
        let mut events = Vec::new();
        for name in &given {
            match Event::named(name) {
                Some(event) if events.contains(&event) => {}
                Some(event) => events.push(event),
                None => {
                    let detail = format!("has {name:?}");
                    self.violate(Violation::new("events", "value", detail, expected));
                    return None;
                }
            }
        }
        if events.is_empty() {
            self.violate(Violation::new("events", "blank", "is empty", expected));
            return None;
        }
        Some(events)
    }

    fn label_selector(&mut self) -> Option<Selector> {
        let expected = "requirements like env=prod,!old,team in (a,b), or \"\" for all";
        let Some(text): Option<String> = self.given("label_selector", self.raw.label_selector, expected)?
        else {
            return Some(Selector::default());
        };
        if SELECTOR_BYTES_MAX < text.len() {
            let expected = format!("at most {SELECTOR_BYTES_MAX} bytes");
            self.violate(Violation::new("label_selector", "too_long", "is too long", expected));
            return None;
        }
        match selector::checked(&text) {
            Ok(selector) => Some(selector),
            Err(violation) => {
                self.violate(violation);
                None
            }
        }
    }
}

/// The defaults of a new notification, without name and URL.
fn new_definition() -> NotificationDefinition {
    NotificationDefinition {
        name: String::new(),
        url: Secret::from(String::new()),
        format: Format::default(),
        secret: None,
        headers: Headers::default(),
        events: Event::DEFAULT.to_vec(),
        jobs: Vec::new(),
        calls: Vec::new(),
        selector: Selector::default(),
        after_failures: 1,
        remind_after_seconds: None,
        enabled: true,
    }
}

fn secrets(notification: &Notification) -> (Option<Secret>, Headers) {
    (notification.definition.secret.clone(), notification.definition.headers.clone())
}

fn name_taken() -> Violation {
    let expected = "a name that no other notification of the space has";
    Violation::new("name", "taken", "is taken by another of this space", expected)
}
