//! Cloud Foundry v3 and UAA.
//!
//! Invariants: every request has a deadline, and every response a size limit. Tokens and the client's secret
//! reach no log, error or `Debug` output. [`Platform::create_task`] creates at most one task.
//!
//! `transport` makes one request, `uaa` handles tokens, `api` has the JSON of Cloud Foundry, `endpoint`
//! checks what goes into a URL, and `faults` tracks what an operator has to fix.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::{info, warn};
use serde::Serialize;
use serde_json::Value;
use ureq::http::Method;

use self::api::{
    Api, AppResource, ListFault, NamedResource, Readable, RoleResource, SpaceResource, is_of_app, task_of,
};
use self::endpoint::{Endpoint, is_identifier, is_task_name, is_user_id, percent_encoded};
use self::faults::{Fault, Faults};
use self::log_cache::LogCache;
use self::transport::Transport;
use self::uaa::Uaa;
use super::{
    Delivery, Found, Identity, LogPart, LogQuery, Named, NewTask, Platform, PlatformError, TASK_BATCH, Task,
    TaskIdentity, TaskName,
};
use crate::base::clock::Clock;
use crate::model::{Access, Guid, ReadRoles};
use crate::outbound::Outbound;

mod api;
mod endpoint;
mod faults;
mod log_cache;
mod sign_in;
mod transport;
mod uaa;

/// The URLs of Cloud Foundry, and the credentials for it.
#[derive(Clone)]
pub struct CloudFoundrySettings {
    /// `CF_ENDPOINT`.
    pub cf_endpoint: String,
    /// `UAA_ENDPOINT`; `None`: the link to UAA in Cloud Foundry's root is used.
    pub uaa_endpoint: Option<String>,
    /// `CLIENT_ID`.
    pub client_id: String,
    /// `CLIENT_SECRET`.
    pub client_secret: String,
    /// Trusted certificates and proxy.
    pub outbound: Outbound,
}

impl fmt::Debug for CloudFoundrySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudFoundrySettings")
            .field("cf_endpoint", &self.cf_endpoint)
            .field("uaa_endpoint", &self.uaa_endpoint)
            .field("client_id", &self.client_id)
            .field("client_secret", &"(hidden)")
            .field("outbound", &self.outbound)
            .finish()
    }
}

/// The time limits of each request.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// For connecting.
    pub connect: Duration,
    /// For the whole exchange, up to the last byte of the response.
    pub total: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), total: Duration::from_secs(30) }
    }
}

/// The platform of `serve`: a Cloud Foundry foundation.
pub struct CloudFoundry {
    api: Api,
    log_cache: LogCache,
    clock: Arc<dyn Clock>,
    /// Tasks that Cloud Foundry fails to show, each with the monotonic time after which to request it again.
    hidden: Mutex<HashMap<String, Duration>>,
}

impl fmt::Debug for CloudFoundry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudFoundry").field("endpoint", &self.api.endpoint).finish_non_exhaustive()
    }
}

/// The filter for tasks by name.
const NAMES: &str = "names";
/// After this many failed lists, and none that succeeded, the fault is taken to be Cloud Foundry's, not that
/// of a single task.
const FAILURES_MAX: u32 = 16;
/// How long a task that could not be shown is not requested again, and how many such tasks are remembered.
const HIDDEN_PAUSE: Duration = Duration::from_secs(60);
const HIDDEN_MAX: usize = 1000;
/// Proxies reject request lines of more than 8 KB.
const MAX_URL_BYTES: usize = 7500;

impl CloudFoundry {
    /// Sends no request, so it works while Cloud Foundry is down. The error names the wrong setting.
    pub fn new(settings: &CloudFoundrySettings, clock: Arc<dyn Clock>) -> Result<Self, String> {
        Self::with_deadlines(settings, Deadlines::default(), clock)
    }

    /// Like [`CloudFoundry::new`], with other deadlines.
    pub fn with_deadlines(
        settings: &CloudFoundrySettings,
        deadlines: Deadlines,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let cloud_foundry = Endpoint::parse("CF_ENDPOINT", &settings.cf_endpoint)?;
        let uaa =
            settings.uaa_endpoint.as_deref().map(|url| Endpoint::parse("UAA_ENDPOINT", url)).transpose()?;
        let transport = Arc::new(Transport::new(&settings.outbound, deadlines, clock.clone())?);
        let faults = Arc::new(Faults::default());
        let uaa = Uaa::new(
            transport.clone(),
            clock.clone(),
            cloud_foundry.clone(),
            uaa,
            (&settings.client_id, &settings.client_secret),
            faults.clone(),
        );
        let log_cache = LogCache::new(Arc::clone(&transport), cloud_foundry.clone());
        let api = Api { transport, uaa, endpoint: cloud_foundry, faults };
        Ok(Self { api, log_cache, clock, hidden: Mutex::default() })
    }

    /// Finds tasks by a `filter` (`guids` or `names`), with as many requests as the length of URLs requires.
    ///
    /// If Cloud Foundry cannot show one of the tasks, it fails the whole list. The list is then halved until
    /// that task is alone.
    fn tasks_where(&self, filter: &str, wanted: &[Wanted<'_>]) -> Result<Found, PlatformError> {
        let mut found = Found::default();
        let (mut later, mut due) = (Vec::new(), Vec::new());
        for it in wanted {
            match self.is_hidden(it.value) {
                Some(true) => found.unclear.push(it.value.to_owned()),
                Some(false) => later.push(std::slice::from_ref(it)),
                None => due.push(*it),
            }
        }
        let mut batches = batches_of(&due, MAX_URL_BYTES.saturating_sub(self.api.endpoint.url("").len()));
        batches.splice(0..0, later);
        let (mut answered, mut failed) = (0, 0);
        while let Some(batch) = batches.pop() {
            match self.tasks_of(filter, batch) {
                Ok(tasks) => {
                    answered += 1;
                    found.tasks.extend(tasks);
                    if let [shown] = batch {
                        self.lock_hidden().remove(shown.value);
                    }
                }
                Err(ListFault::Whole(error)) => return Err(error),
                Err(ListFault::OfContent(error)) => {
                    failed += 1;
                    let is_last = batches.is_empty() && batch.len() == 1;
                    if answered == 0 && (FAILURES_MAX <= failed || is_last) {
                        return Err(error);
                    }
                    if let [hidden] = batch {
                        self.hide(hidden.value, &error);
                        found.unclear.push(hidden.value.to_owned());
                    } else {
                        let (one, other) = batch.split_at(batch.len() / 2);
                        batches.extend([other, one]);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Requests one batch.
    fn tasks_of(&self, filter: &str, batch: &[Wanted<'_>]) -> Result<Vec<Task>, ListFault> {
        let values: Vec<String> = batch.iter().map(|wanted| percent_encoded(wanted.value)).collect();
        let mut apps: Vec<&str> = batch.iter().filter_map(|wanted| wanted.app).collect();
        apps.sort_unstable();
        apps.dedup();
        let of_apps = if apps.is_empty() { String::new() } else { format!("&app_guids={}", apps.join(",")) };
        let resources: Vec<Value> =
            self.api.list(&format!("/v3/tasks?per_page=5000{of_apps}&{filter}={}", values.join(",")))?;
        let only = match batch {
            [wanted] if filter == NAMES => Some(wanted.value),
            _ => None,
        };
        if filter == NAMES && only.is_none() && resources.iter().any(|it| !it["name"].is_string()) {
            return Err(ListFault::OfContent(misunderstood("a task without a name", Delivery::Failed)));
        }
        let is_wanted = |resource: &Value, task: &Task| {
            batch.iter().any(|wanted| {
                let value = if filter == NAMES { &task.name } else { task.guid.as_str() };
                wanted.value == value && wanted.app.is_none_or(|app| is_of_app(resource, app))
            })
        };
        let tasks = resources.iter().filter_map(|resource| {
            let task = task_of(resource, only)?;
            is_wanted(resource, &task).then_some(task)
        });
        Ok(tasks.collect())
    }

    /// `Some(true)`: Cloud Foundry recently failed to show this task, so do not request it yet.
    /// `Some(false)`: request it again, alone. `None`: it is not known to fail.
    fn is_hidden(&self, value: &str) -> Option<bool> {
        self.lock_hidden().get(value).map(|again_at| self.clock.monotonic() < *again_at)
    }

    fn hide(&self, value: &str, error: &PlatformError) {
        let mut hidden = self.lock_hidden();
        if HIDDEN_MAX <= hidden.len() {
            hidden.clear();
        }
        let again_at = self.clock.monotonic().saturating_add(HIDDEN_PAUSE);
        if hidden.insert(value.to_owned(), again_at).is_none() {
            warn!(
                task = value, cause:% = error;
                "Cloud Foundry cannot show a task; other tasks are not affected"
            );
        }
    }

    fn lock_hidden(&self) -> MutexGuard<'_, HashMap<String, Duration>> {
        self.hidden.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task to look up, by its guid or by its name and app.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    value: &'a str,
    app: Option<&'a str>,
}

/// Splits values into batches that fit into a URL of `room` bytes and into the limits of Cloud Foundry.
fn batches_of<'a>(wanted: &'a [Wanted<'a>], room: usize) -> Vec<&'a [Wanted<'a>]> {
    let room = room.saturating_sub("/v3/tasks?per_page=5000&app_guids=&names=".len());
    let (mut batches, mut rest) = (Vec::new(), wanted);
    while !rest.is_empty() {
        let mut length = 0;
        let fitting = rest.iter().take(TASK_BATCH).take_while(|wanted| {
            length += percent_encoded(wanted.value).len() + wanted.app.map_or(0, |app| app.len() + 1) + 1;
            length <= room
        });
        // A batch has at least one value, whatever its length; otherwise this would never end.
        let (batch, later) = rest.split_at(fitting.count().max(1));
        batches.push(batch);
        rest = later;
    }
    batches
}

impl CloudFoundry {
    fn post_task(&self, task: &NewTask, metadata: Option<TaskMetadata<'_>>) -> Result<Task, PlatformError> {
        #[derive(Serialize)]
        struct TaskRequest<'a> {
            name: &'a str,
            command: &'a str,
            memory_in_mb: u32,
            disk_in_mb: u32,
            #[serde(skip_serializing_if = "Option::is_none")]
            log_rate_limit_in_bytes_per_second: Option<i64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            metadata: Option<TaskMetadata<'a>>,
        }
        let NewTask { app, name, command, memory_in_mb, disk_in_mb, log_rate_in_bps, .. } = task;
        let json = serde_json::to_vec(&TaskRequest {
            name,
            command,
            memory_in_mb: *memory_in_mb,
            disk_in_mb: *disk_in_mb,
            log_rate_limit_in_bytes_per_second: log_rate_to_send(*log_rate_in_bps),
            metadata,
        })
        .map_err(|err| PlatformError::Refused {
            detail: format!("the task cannot be put into JSON: {err}"),
        })?;
        let url = self.api.endpoint.url(&format!("/v3/apps/{app}/tasks"));
        let created: Value = self.api.call(&Method::POST, &url, Some(&json))?.into_json()?;
        task_of(&created, Some(name)).ok_or_else(|| misunderstood("a task without a guid", Delivery::Unknown))
    }
}

impl Platform for CloudFoundry {
    fn sign_in_url(
        &self,
        client: &str,
        scopes: &str,
        redirect: &str,
        state: &str,
        challenge: &str,
    ) -> Result<Option<String>, PlatformError> {
        self.api.uaa.sign_in_url(client, scopes, redirect, state, challenge).map(Some)
    }

    fn names_of(&self, what: Named, guids: &[Guid]) -> Result<Vec<(Guid, String)>, PlatformError> {
        let list = |kind: &str, guids: &[&str]| -> Result<Vec<NamedResource>, PlatformError> {
            let mut resources = Vec::new();
            for batch in guids.chunks(TASK_BATCH) {
                let path = format!("/v3/{kind}?per_page=5000&guids={}", batch.join(","));
                resources.extend(self.api.list::<NamedResource>(&path)?);
            }
            Ok(resources)
        };
        let guids: Vec<&str> = guids.iter().map(Guid::as_str).filter(|guid| is_identifier(guid)).collect();
        if what == Named::App {
            return Ok(list("apps", &guids)?.into_iter().map(|it| (Guid::from(it.guid), it.name)).collect());
        }
        let spaces = list("spaces", &guids)?;
        let mut organizations: Vec<&str> = spaces
            .iter()
            .filter_map(NamedResource::organization)
            .filter(|guid| is_identifier(guid))
            .collect();
        organizations.sort_unstable();
        organizations.dedup();
        let organizations = list("organizations", &organizations)?;
        let named = spaces.iter().map(|space| {
            let of = organizations.iter().find(|it| Some(it.guid.as_str()) == space.organization());
            let name = of.map_or_else(|| space.name.clone(), |of| format!("{} / {}", of.name, space.name));
            (Guid::from(space.guid.clone()), name)
        });
        Ok(named.collect())
    }

    fn token_of_code(&self, grant: &super::CodeGrant<'_>) -> Result<Option<String>, PlatformError> {
        self.api.uaa.token_of_code(grant)
    }

    fn identify(&self, token: &str) -> Result<Option<Identity>, PlatformError> {
        self.api.uaa.identify(token)
    }

    fn spaces_of(&self, user: &str) -> Result<Vec<Guid>, PlatformError> {
        if !is_user_id(user) {
            return Ok(Vec::new());
        }
        let user_encoded = percent_encoded(user);
        let roles: Vec<RoleResource> = self.api.list(&format!(
            "/v3/roles?per_page=5000&types=space_developer,space_manager&user_guids={user_encoded}"
        ))?;
        let spaces: Vec<Guid> = roles.into_iter().filter_map(|role| role.space_where_active(user)).collect();
        if spaces.is_empty() {
            self.api.check_authorities()?;
        }
        Ok(spaces)
    }

    fn readable_spaces_of(
        &self,
        user: &str,
        roles: &ReadRoles,
    ) -> Result<HashMap<Guid, Access>, PlatformError> {
        let types: Vec<&str> = roles.of_spaces.iter().chain(&roles.of_organizations).copied().collect();
        if types.is_empty() || !is_user_id(user) {
            return Ok(HashMap::new());
        }
        let (types, user_encoded) = (types.join(","), percent_encoded(user));
        let found: Vec<RoleResource> =
            self.api.list(&format!("/v3/roles?per_page=5000&types={types}&user_guids={user_encoded}"))?;
        let (mut spaces, mut organizations) = (HashMap::new(), Vec::new());
        for role in found {
            match role.readable(user, roles) {
                Some(Readable::Space(space, access)) => {
                    let known = spaces.entry(space).or_insert(access);
                    *known = access.max(*known);
                }
                Some(Readable::Organization(organization)) => organizations.push(organization),
                None => {}
            }
        }
        for organizations in organizations.chunks(TASK_BATCH) {
            let guids: Vec<String> = organizations.iter().map(|guid| percent_encoded(guid)).collect();
            let query = format!("/v3/spaces?per_page=5000&organization_guids={}", guids.join(","));
            let of_organizations: Vec<SpaceResource> = self.api.list(&query)?;
            for space in of_organizations {
                spaces.entry(Guid::from(space.guid)).or_insert(Access::Read);
            }
        }
        Ok(spaces)
    }

    fn space_of_app(&self, app: &Guid) -> Result<Option<Guid>, PlatformError> {
        if !is_identifier(app.as_str()) {
            return Ok(None);
        }
        let answer = self.api.call(&Method::GET, &self.api.endpoint.url(&format!("/v3/apps/{app}")), None)?;
        if answer.is_unknown_resource() {
            return Ok(None);
        }
        let app: AppResource = answer.into_json()?;
        app.space().map(Some).ok_or_else(|| misunderstood("an app without a space", Delivery::Failed))
    }

    fn create_task(&self, task: &NewTask) -> Result<Task, PlatformError> {
        if !is_identifier(task.app.as_str()) {
            return Err(PlatformError::Refused { detail: "CF-ResourceNotFound: App not found".to_owned() });
        }
        match self.post_task(task, Some(TaskMetadata::of(&task.identity))) {
            Err(PlatformError::Refused { detail }) if detail.to_ascii_lowercase().contains("metadata") => {
                info!(
                    task = task.name.as_str(), cause = detail;
                    "Cloud Foundry refused the labels of a task, creating the task without them"
                );
                self.post_task(task, None)
            }
            created => created,
        }
    }

    fn read_logs(&self, token: &str, wanted: &LogQuery<'_>) -> Result<Option<LogPart>, PlatformError> {
        self.log_cache.read(token, wanted)
    }

    fn find_tasks(&self, names: &[TaskName]) -> Result<Found, PlatformError> {
        // A name with special characters would match other tasks. Without the request, the task would wrongly
        // count as not found.
        if let Some(odd) = names.iter().find(|wanted| !is_task_name(&wanted.name)) {
            return Err(PlatformError::Refused {
                detail: format!("tasks cannot be looked up by the name {:?}", odd.name),
            });
        }
        // An invalid guid belongs to no app, so it has no tasks.
        let wanted: Vec<Wanted<'_>> = names
            .iter()
            .filter(|wanted| is_identifier(wanted.app.as_str()))
            .map(|wanted| Wanted { value: &wanted.name, app: Some(wanted.app.as_str()) })
            .collect();
        self.tasks_where(NAMES, &wanted)
    }

    fn list_tasks(&self, guids: &[Guid]) -> Result<Found, PlatformError> {
        let guids = guids.iter().map(Guid::as_str).filter(|guid| is_identifier(guid));
        let wanted: Vec<Wanted<'_>> = guids.map(|value| Wanted { value, app: None }).collect();
        self.tasks_where("guids", &wanted)
    }

    fn cancel_task(&self, guid: &Guid) -> Result<(), PlatformError> {
        if !is_identifier(guid.as_str()) {
            return Ok(());
        }
        let url = self.api.endpoint.url(&format!("/v3/tasks/{guid}/actions/cancel"));
        let answer = self.api.call(&Method::POST, &url, None)?;
        // 422: the task has already ended.
        if answer.is_success() || answer.status == 422 || answer.is_unknown_resource() {
            return Ok(());
        }
        Err(answer.into_error())
    }

    fn check(&self) -> Result<(), PlatformError> {
        self.check_root()?;
        self.api.uaa.own_token(None)?;
        self.api.check_authorities()
    }
}

impl CloudFoundry {
    fn check_root(&self) -> Result<(), PlatformError> {
        let answer = self.api.root()?;
        if matches!(answer.status, 300..=499) && !matches!(answer.status, 408 | 429) {
            let cause = format!(
                "{}, unlike a working Cloud Foundry: CF_ENDPOINT may have a wrong scheme, host, port or path",
                answer.into_error()
            );
            return Err(self.api.faults.found(Fault::CfEndpoint, cause));
        }
        answer.into_json::<serde_json::Value>()?;
        self.api.faults.absent(Fault::CfEndpoint);
        Ok(())
    }

    fn ask_for_one_app(&self) -> Result<(), PlatformError> {
        let url = self.api.endpoint.url("/v3/apps?per_page=1");
        self.api.call(&Method::GET, &url, None)?.into_json::<serde_json::Value>().map(|_| ())
    }

    /// Tries everything that the service needs from Cloud Foundry and UAA, for `check-config --connect`.
    /// Returns a line for each problem.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut note =
            |tried: Result<(), PlatformError>| faults.extend(tried.err().map(|err| err.to_string()));
        note(self.check_root());
        match self.api.uaa.own_token(None) {
            Err(err) => note(Err(err)),
            Ok(_) => {
                note(self.api.check_authorities());
                note(self.api.uaa.check_introspection());
                note(self.ask_for_one_app());
            }
        }
        faults
    }
}

fn misunderstood(why: &str, delivery: Delivery) -> PlatformError {
    let cause = format!("Cloud Foundry sent an unexpected response: {}", transport::cleaned(why));
    PlatformError::Unavailable { cause, retry_after: None, delivery }
}

/// The rate that version 2 of the cf plugin sends if its user sets none. It is not passed on, because a
/// foundation with a log-rate quota would refuse the task.
const LOG_RATE_OF_PLUGIN_2: i64 = 1_024_000_000;

/// Labels and annotations by which people and tools find the tasks of a job on Cloud Foundry.
#[derive(Serialize)]
struct TaskMetadata<'a> {
    labels: BTreeMap<&'static str, &'a str>,
    annotations: BTreeMap<&'static str, String>,
}

impl<'a> TaskMetadata<'a> {
    /// Cloud Controller requires a dot in the prefix.
    fn of(identity: &'a TaskIdentity) -> Self {
        let labels = [
            ("scheduler.ocf/execution", identity.execution.as_str()),
            ("scheduler.ocf/job", identity.job.as_str()),
        ];
        let scheduled =
            identity.scheduled_time.map(|time| ("scheduler.ocf/scheduled-time", time.to_string()));
        Self { labels: labels.into(), annotations: scheduled.into_iter().collect() }
    }
}

fn log_rate_to_send(log_rate_in_bps: i64) -> Option<i64> {
    Some(log_rate_in_bps).filter(|rate| *rate != 0 && *rate != LOG_RATE_OF_PLUGIN_2)
}
