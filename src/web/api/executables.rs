//! Jobs and calls: handlers and JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::audit::{By, and_secret, differences, new_target};
use super::detailed::Detailed;
use super::error::ApiError;
use super::fields::{Fields, MEGABYTES, name_in_query};
use super::overview::cancelled_by;
use super::page::{self, Order, Paging, Walk};
use super::put::{Change, DRY_RUN};
use super::query::Query;
use super::quotas::over_quota;
use super::schedules::ScheduleJson;
use super::selector::selector_of;
use super::violation::Violation;
use super::{Api, until_written, versions};
use crate::engine::journal;
use crate::http::{Request, Response, respond};
use crate::model::{Call, Controls, Executable, Guid, JobState, Kind, Secret, Timestamp, Work};
use crate::store::{LastExecution, NewExecutable, Scope, Selection, Terms, Written};
use crate::web::auth::Caller;

const AN_APP: &str = "?app_guid= and the guid of an app in a space in which the user is developer or manager";
const NO_GUID: &str = "is not 1 to 255 characters of visible ASCII";
const A_SPACE: &str = "?space_guid= and the guid of a space, or no space_guid for all that you may see";

/// The JSON of a job or call.
#[derive(Serialize)]
pub(super) struct ExecutableJson {
    guid: String,
    name: String,
    #[serde(flatten)]
    work: WorkJson,
    concurrency_policy: &'static str,
    retry: Option<RetryJson>,
    paused: bool,
    metadata: MetadataJson,
    expect_success_within_seconds: Option<u32>,
    created_at: String,
    updated_at: String,
    app_guid: String,
    space_guid: String,
    #[serde(flatten)]
    details: Option<DetailsJson>,
    /// Left out if there are none: Spring takes element 0 of any array.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    schedules: Vec<ScheduleJson>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WorkJson {
    Job {
        command: String,
        disk_in_mb: u32,
        memory_in_mb: u32,
        log_rate_in_bps: i64,
        state: &'static str,
        timeout_seconds: Option<u32>,
    },
    Call {
        url: String,
        auth_header: String,
        method: &'static str,
        headers: BTreeMap<String, String>,
        body: Option<String>,
        success_statuses: String,
        /// All that clients see of the signing secret.
        signed: bool,
        timeout_seconds: Option<u32>,
    },
}

/// What a detailed list adds to a job or call.
#[derive(Serialize)]
struct DetailsJson {
    next_fire_time: Option<String>,
    last_execution: Option<LastExecutionJson>,
}

#[derive(Serialize)]
struct LastExecutionJson {
    guid: String,
    state: &'static str,
    end_time: Option<String>,
}

#[derive(Serialize)]
struct RetryJson {
    max_retries: u32,
    backoff_seconds: u32,
    max_backoff_seconds: u32,
    max_age_seconds: Option<u32>,
}

#[derive(Serialize)]
struct MetadataJson {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl ExecutableJson {
    /// For a detailed list.
    pub(super) fn detailed(
        executable: Executable,
        schedules: Vec<ScheduleJson>,
        next_fire_time: Option<Timestamp>,
        last: Option<LastExecution>,
    ) -> Self {
        let details = DetailsJson {
            next_fire_time: shown(next_fire_time),
            last_execution: last.map(|last| LastExecutionJson {
                guid: last.guid.to_string(),
                state: last.state.as_str(),
                end_time: shown(last.end_time),
            }),
        };
        Self { details: Some(details), ..Self::of(executable, schedules) }
    }

    pub(super) fn of(executable: Executable, schedules: Vec<ScheduleJson>) -> Self {
        let Controls { concurrency_policy, retry, paused, metadata, expect_success_within_seconds } =
            executable.controls;
        Self {
            guid: executable.guid.to_string(),
            name: executable.name,
            work: WorkJson::of(executable.work),
            concurrency_policy: concurrency_policy.as_str(),
            retry: retry.map(|retry| RetryJson {
                max_retries: retry.max_retries,
                backoff_seconds: retry.backoff_seconds,
                max_backoff_seconds: retry.max_backoff_seconds,
                max_age_seconds: retry.max_age_seconds,
            }),
            paused,
            metadata: MetadataJson { labels: metadata.labels, annotations: metadata.annotations },
            expect_success_within_seconds,
            created_at: executable.created_at.to_string(),
            updated_at: executable.updated_at.to_string(),
            app_guid: executable.app.to_string(),
            space_guid: executable.space.to_string(),
            details: None,
            schedules,
        }
    }
}

impl WorkJson {
    fn of(work: Work) -> Self {
        match work {
            Work::Job { command, disk_in_mb, memory_in_mb, log_rate_in_bps, state, timeout_seconds } => {
                Self::Job {
                    command,
                    disk_in_mb,
                    memory_in_mb,
                    log_rate_in_bps,
                    state: state.as_str(),
                    timeout_seconds,
                }
            }
            Work::Call(call) => Self::Call {
                url: call.url,
                auth_header: call.auth_header.reveal().to_owned(),
                method: call.method.as_str(),
                headers: call.headers.0,
                body: call.body,
                success_statuses: call.success_statuses.as_str().to_owned(),
                signed: call.signing_secret.is_some(),
                timeout_seconds: call.timeout_seconds,
            },
        }
    }
}

impl Api {
    pub(in crate::web) fn create_executable(
        &self,
        caller: &Caller,
        kind: Kind,
        query: &Query,
        request: &Request,
    ) -> Result<Response, ApiError> {
        let (app, space) = self.app_in_query(caller, query)?;
        self.check_service_instance(&space)?;
        let mut fields = Fields::of(&request.body)?;
        let name = fields.name();
        let name = fields.required("name", name);
        let (work, controls) = new_parts(kind, &mut fields);
        let name = fields.finish(name)?;
        let new = NewExecutable { name, app, space, work, controls };
        self.make_executable(caller, request, &new)?.ok_or_else(|| name_taken().into())
    }

    /// Creates a job or call, or replaces the one with the name in the query by what the request would
    /// create.
    pub(in crate::web) fn put_executable(
        &self,
        caller: &Caller,
        kind: Kind,
        query: &Query,
        request: &Request,
    ) -> Result<Response, ApiError> {
        let (app, space) = self.app_in_query(caller, query)?;
        let name = name_in_query(query.get("name"))?;
        let is_dry_run = query.is_on(DRY_RUN)?;
        until_written(|| {
            let mut fields = Fields::of(&request.body)?;
            fields.check_name(&name);
            let (work, controls) = new_parts(kind, &mut fields);
            let Some(seen) = self.store.executable_named(kind, &app, &name)? else {
                versions::check_absent(request)?;
                self.check_service_instance(&space)?;
                fields.finish(Some(()))?;
                let (name, app, space) = (name.clone(), app.clone(), space.clone());
                let made = match is_dry_run {
                    true => {
                        self.check_quota_of(kind, &space)?;
                        let (id, guid, now) = (0, Guid::random(), self.clock.now());
                        let (created_at, updated_at) = (now, now);
                        let executable =
                            Executable { id, guid, name, app, space, created_at, updated_at, work, controls };
                        Some(versions::object(200, &ExecutableJson::of(executable, Vec::new()))?)
                    }
                    false => {
                        let new = NewExecutable { name, app, space, work, controls };
                        self.make_executable(caller, request, &new)?
                    }
                };
                return Ok(made.map(|made| Change::Created.add_header_to(made)));
            };
            fields.finish(Some(()))?;
            versions::check(request, &ExecutableJson::of(seen.clone(), Vec::new()))?;
            let work = work.with_state_of(&seen.work);
            let changed = Executable { work, controls, ..seen.clone() };
            let (change, answer) = match changed == seen {
                true => (Change::Unchanged, self.shown(caller, changed).map(Some)),
                false if is_dry_run => (Change::Replaced, self.shown(caller, changed).map(Some)),
                false => (Change::Replaced, self.write_executable(caller, request, &seen, changed)),
            };
            Ok(answer?.map(|answer| change.add_header_to(answer)))
        })
    }

    /// The app in the query and its space, for a creation.
    fn app_in_query(&self, caller: &Caller, query: &Query) -> Result<(Guid, Guid), ApiError> {
        // "No such app" and "not your app" get the same answer.
        let no_app = || {
            let detail = "names no app of yours: there is no such app, or you have no role in its space";
            Violation::new("app_guid", "unknown", detail, AN_APP)
        };
        let app = match query.get("app_guid") {
            None => return Err(Violation::new("app_guid", "missing", "is missing", AN_APP).into()),
            Some(app) if app.trim().is_empty() => {
                return Err(Violation::new("app_guid", "blank", "is blank", AN_APP).into());
            }
            Some(app) => {
                Guid::from_outside(app).ok_or_else(|| Violation::new("app_guid", "form", NO_GUID, AN_APP))?
            }
        };
        let space = self.auth.space_of_app(caller, &app)?.ok_or_else(no_app)?;
        self.access(caller, &space)?;
        Ok((app, space))
    }

    /// `None`: another one of the app has the name.
    fn make_executable(
        &self,
        caller: &Caller,
        request: &Request,
        new: &NewExecutable,
    ) -> Result<Option<Response>, ApiError> {
        let kind = new.work.kind();
        let quota = self.quotas.of(kind);
        let target = new_target(kind.as_str(), &new.name);
        let what = format!("{}.create", kind.as_str());
        let event = self.event(By::of(caller, request), &what, target, &new.space, || json!({}));
        let terms = Terms { quota, event: event.as_ref() };
        match self.store.create_executable(new, self.clock.now(), &terms)? {
            Written::Done(executable) => {
                versions::object(201, &ExecutableJson::of(executable, Vec::new())).map(Some)
            }
            Written::NameTaken => Ok(None),
            Written::Gone => Err(ApiError::NotFound),
            Written::OverQuota => Err(over_quota("app_guid", kind.as_str(), quota)),
        }
    }

    pub(in crate::web) fn list_executables(
        &self,
        caller: &Caller,
        kind: Kind,
        request: &Request,
        query: &Query,
    ) -> Result<Response, ApiError> {
        let scope = match self.requested_spaces(caller, query)? {
            None => Scope::All,
            // A single space has its own index; several spaces need a walk past all others.
            Some(spaces) => match <[Guid; 1]>::try_from(spaces) {
                Ok([space]) => Scope::Space(space),
                Err(spaces) => Scope::Spaces(spaces),
            },
        };
        let detailed = match query.get("detailed") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                let detail = "is neither true nor false";
                return Err(Violation::new("detailed", "value", detail, "true or false").into());
            }
        };
        let selector = query.get("label_selector").map(selector_of).transpose()?;
        let selection = Selection { scope, selector };
        let paging = Paging::of(query)?;
        let extent = self.store.count_executables(kind, &selection)?;
        let store = Arc::clone(&self.store);
        if detailed {
            let walk = Walk::through(paging, extent, Order::OldestFirst);
            let mut detailed =
                Detailed::new(store, caller.clone(), (kind, selection), walk, self.clock.now());
            return page::streamed(request, query, paging, extent, move |body| detailed.append_next(body));
        }
        let caller = caller.clone();
        page::collection(request, query, paging, extent, Order::OldestFirst, move |window| {
            let part = store.list_executables(kind, &selection, window)?;
            Ok(part.map(|mut executable| {
                if !caller.works_in(&executable.space) {
                    executable.hide();
                }
                ExecutableJson::of(executable, Vec::new())
            }))
        })
    }

    /// The spaces to list: the one in the query, or those of the caller; `None`: all.
    pub(super) fn requested_spaces(
        &self,
        caller: &Caller,
        query: &Query,
    ) -> Result<Option<Vec<Guid>>, ApiError> {
        match query.get("space_guid") {
            None => Ok(caller.spaces().map(|spaces| spaces.into_iter().collect())),
            Some(space) if space.trim().is_empty() => {
                Err(Violation::new("space_guid", "blank", "is blank", A_SPACE).into())
            }
            Some(space) => {
                let space = Guid::from_outside(space)
                    .ok_or_else(|| Violation::new("space_guid", "form", NO_GUID, A_SPACE))?;
                if self.auth.access(caller, &space)?.is_none() {
                    return Err(ApiError::NoRoleInSpace);
                }
                Ok(Some(vec![space]))
            }
        }
    }

    pub(in crate::web) fn get_executable(
        &self,
        executable: Executable,
        request: &Request,
    ) -> Result<Response, ApiError> {
        versions::shown(request, &ExecutableJson::of(executable, Vec::new()))
    }

    pub(in crate::web) fn change_executable(
        &self,
        caller: &Caller,
        kind: Kind,
        guid: &str,
        request: &Request,
    ) -> Result<Response, ApiError> {
        until_written(|| {
            let seen = self.executable(caller, kind, guid)?;
            self.check_fields(caller, &seen.space, &request.body, &["paused"])?;
            let mut executable = seen.clone();
            self.apply_change(caller, &mut executable, &request.body)?;
            versions::check(request, &self.shown_to(caller, seen.clone()))?;
            self.write_executable(caller, request, &seen, executable)
        })
    }

    /// Replaces `seen` by `changed` if they differ. `None`: `seen` is outdated.
    fn write_executable(
        &self,
        caller: &Caller,
        request: &Request,
        seen: &Executable,
        changed: Executable,
    ) -> Result<Option<Response>, ApiError> {
        if *seen == changed {
            return self.shown(caller, changed).map(Some);
        }
        let event = self.event_of_executable(By::of(caller, request), "update", &changed, || {
            let show = |executable: &Executable| ExecutableJson::of(executable.clone(), Vec::new());
            let is_resigned = signing_secret(&changed.work) != signing_secret(&seen.work);
            and_secret(differences(&show(seen), &show(&changed)), "signing_secret", is_resigned)
        });
        match self.store.update_executable(&changed, self.clock.now(), event.as_ref())? {
            Written::Done(updated_at) => {
                if seen.controls != changed.controls {
                    // Another policy may let an execution begin that waits for the end of another one.
                    self.wake_scheduler();
                }
                self.shown(caller, Executable { updated_at, ..changed }).map(Some)
            }
            Written::NameTaken => Err(name_taken().into()),
            Written::Gone | Written::OverQuota => Ok(None),
        }
    }

    fn shown(&self, caller: &Caller, executable: Executable) -> Result<Response, ApiError> {
        versions::object(200, &self.shown_to(caller, executable))
    }

    /// A job or call as this caller may see it.
    fn shown_to(&self, caller: &Caller, mut executable: Executable) -> ExecutableJson {
        if !caller.works_in(&executable.space) {
            executable.hide();
        }
        ExecutableJson::of(executable, Vec::new())
    }

    /// Applies the fields in the body.
    fn apply_change(
        &self,
        caller: &Caller,
        executable: &mut Executable,
        body: &[u8],
    ) -> Result<(), ApiError> {
        let mut fields = Fields::of(body)?;
        if let Some(name) = fields.name() {
            executable.name = name;
        }
        if let Some(app) = fields.app_guid() {
            if self.auth.space_of_app(caller, &app)?.as_ref() == Some(&executable.space) {
                executable.app = app;
            } else {
                let detail = "names no app of the space of this job or call";
                let expected = "the guid of an app of the same space";
                fields.violate(Violation::new("app_guid", "unknown", detail, expected));
            }
        }
        change_work(&mut executable.work, &mut fields);
        fields.change_controls(&mut executable.controls);
        fields.finish(Some(()))
    }

    pub(in crate::web) fn delete_executable(
        &self,
        caller: &Caller,
        kind: Kind,
        guid: &str,
        request: &Request,
        query: &Query,
    ) -> Result<Response, ApiError> {
        let cancelled_by = query.is_on("cancel")?.then(|| cancelled_by(caller));
        let deleted = until_written(|| {
            let executable = self.executable(caller, kind, guid)?;
            versions::check(request, &ExecutableJson::of(executable.clone(), Vec::new()))?;
            Ok(self.store.delete_executable(
                &executable,
                cancelled_by.as_deref(),
                self.clock.now(),
                self.event_of_executable(By::of(caller, request), "delete", &executable, || json!({}))
                    .as_ref(),
            )?)
        })?;
        journal::cancelled(kind, deleted.waiting, "cancelled: deleted");
        if !deleted.cancelled.is_empty() {
            self.calls_in_flight.abort(&deleted.cancelled);
            self.wake_watcher();
        }
        self.wake_scheduler();
        self.wake_retention();
        Ok(respond(204))
    }
}

/// The work and controls of a new job or call.
fn new_parts(kind: Kind, fields: &mut Fields<'_>) -> (Work, Controls) {
    let work = new_work(kind, fields);
    let mut controls = Controls::default();
    fields.change_controls(&mut controls);
    (work, controls)
}

/// The work in the fields. A missing field becomes empty, and is recorded as a violation.
fn new_work(kind: Kind, fields: &mut Fields<'_>) -> Work {
    let mut work = match kind {
        Kind::Job => {
            let command = fields.command();
            Work::Job {
                command: fields.required("command", command).unwrap_or_default(),
                disk_in_mb: fields.disk_in_mb().unwrap_or(MEGABYTES),
                memory_in_mb: fields.memory_in_mb().unwrap_or(MEGABYTES),
                log_rate_in_bps: fields.log_rate_in_bps().unwrap_or(0),
                state: JobState::Pending,
                timeout_seconds: None,
            }
        }
        Kind::Call => {
            let url = fields.url();
            let url = fields.required("url", url).unwrap_or_default();
            let auth_header = fields.auth_header();
            let auth_header = fields.required("auth_header", auth_header).unwrap_or_default();
            Work::Call(Call::new(url, Secret::from(auth_header)))
        }
    };
    fields.change_options(&mut work);
    work
}

fn change_work(work: &mut Work, fields: &mut Fields<'_>) {
    match work {
        Work::Job { command, disk_in_mb, memory_in_mb, log_rate_in_bps, .. } => {
            replace(command, fields.command());
            replace(disk_in_mb, fields.disk_in_mb());
            replace(memory_in_mb, fields.memory_in_mb());
            replace(log_rate_in_bps, fields.log_rate_in_bps());
        }
        Work::Call(call) => {
            replace(&mut call.url, fields.url());
            replace(&mut call.auth_header, fields.auth_header().map(Secret::from));
        }
    }
    fields.change_options(work);
}

fn replace<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn signing_secret(work: &Work) -> Option<Secret> {
    match work {
        Work::Job { .. } => None,
        Work::Call(call) => call.signing_secret.clone(),
    }
}

fn name_taken() -> Violation {
    let expected = "a name that no other job (or call) of the app has; PATCH changes the one that has it";
    Violation::new("name", "taken", "is taken by another of this app", expected)
}

pub(in crate::web) fn shown(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}
