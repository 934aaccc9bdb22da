//! Cloud Foundry v3 and UAA.
//!
//! Invariant: every request has a deadline and a bound on its answer, tokens and the client's secret reach no log, error
//! or `Debug`, and a task is asked for at most once a call of [`Platform::create_task`].
//!
//! `transport` makes one request, `uaa` knows tokens, `api` the shapes of Cloud Foundry, `endpoint` what may stand in a URL,
//! `faults` what an operator has to mend.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use ureq::http::Method;

use self::api::{Api, AppResource, RoleResource, TaskResource};
use self::endpoint::{Endpoint, is_identifier, is_user_id, percent_encoded};
use self::faults::{Fault, Faults};
use self::transport::Transport;
use self::uaa::Uaa;
use super::{Delivery, Identity, NewTask, Platform, PlatformError, TASK_BATCH, Task};
use crate::base::clock::Clock;
use crate::model::Guid;
use crate::outbound::Outbound;

mod api;
mod endpoint;
mod faults;
mod transport;
mod uaa;

/// Where Cloud Foundry is, and as whom to talk to it.
#[derive(Clone)]
pub struct Settings {
    /// `CF_ENDPOINT`.
    pub cf_endpoint: String,
    /// `UAA_ENDPOINT`; without it, Cloud Foundry's root says where UAA is.
    pub uaa_endpoint: Option<String>,
    /// `CLIENT_ID`.
    pub client_id: String,
    /// `CLIENT_SECRET`.
    pub client_secret: String,
    /// Trust and proxy.
    pub outbound: Outbound,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("cf_endpoint", &self.cf_endpoint)
            .field("uaa_endpoint", &self.uaa_endpoint)
            .field("client_id", &self.client_id)
            .field("client_secret", &"(hidden)")
            .field("outbound", &self.outbound)
            .finish()
    }
}

/// The bounds in time of each request.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// To have a connection.
    pub connect: Duration,
    /// To have the whole answer.
    pub total: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), total: Duration::from_secs(30) }
    }
}

/// The platform when the service runs on, or beside, a Cloud Foundry.
pub struct CloudFoundry {
    api: Api,
}

impl fmt::Debug for CloudFoundry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudFoundry").field("endpoint", &self.api.endpoint).finish_non_exhaustive()
    }
}

/// Proxies stop at 8 KB of request line.
const MAX_URL_BYTES: usize = 7500;

impl CloudFoundry {
    /// Asks for nothing yet, so it works while Cloud Foundry is away. The error says which setting is wrong.
    pub fn new(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self, String> {
        Self::with_deadlines(settings, Deadlines::default(), clock)
    }

    /// Like [`CloudFoundry::new`], with other deadlines.
    pub fn with_deadlines(
        settings: &Settings,
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
            clock,
            cloud_foundry.clone(),
            uaa,
            (&settings.client_id, &settings.client_secret),
            faults.clone(),
        );
        Ok(Self { api: Api { transport, uaa, endpoint: cloud_foundry, faults } })
    }

    /// The tasks whose `filter` (`guids` or `names`) is one of `values`, in as many requests as their length asks for.
    fn tasks_where(&self, filter: &str, values: &[&str]) -> Result<Vec<Task>, PlatformError> {
        let query = format!("/v3/tasks?per_page=5000&{filter}=");
        let room = MAX_URL_BYTES.saturating_sub(self.api.endpoint.url(&query).len());
        let mut tasks = Vec::new();
        let mut rest = values;
        while !rest.is_empty() {
            let mut length = 0;
            let fitting = rest.iter().take(TASK_BATCH).take_while(|value| {
                length += value.len() + 1;
                length <= room
            });
            // At least one, whatever its length, or this would not end.
            let (batch, later) = rest.split_at(fitting.count().max(1));
            rest = later;
            for resource in self.api.list::<TaskResource>(&format!("{query}{}", batch.join(",")))? {
                tasks.push(resource.into_task().map_err(|why| misunderstood(&why, Delivery::Failed))?);
            }
        }
        Ok(tasks)
    }
}

impl Platform for CloudFoundry {
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
            self.api.lacks_no_authority()?;
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
        #[derive(Serialize)]
        struct TaskRequest<'a> {
            name: &'a str,
            command: &'a str,
            memory_in_mb: u32,
            disk_in_mb: u32,
        }
        if !is_identifier(task.app.as_str()) {
            return Err(PlatformError::Refused { detail: "CF-ResourceNotFound: App not found".to_owned() });
        }
        let NewTask { app, name, command, memory_in_mb, disk_in_mb } = task;
        let json = serde_json::to_vec(&TaskRequest {
            name,
            command,
            memory_in_mb: *memory_in_mb,
            disk_in_mb: *disk_in_mb,
        })
        .map_err(|err| PlatformError::Refused {
            detail: format!("the task cannot be put into JSON: {err}"),
        })?;
        let url = self.api.endpoint.url(&format!("/v3/apps/{app}/tasks"));
        let created: TaskResource = self.api.call(&Method::POST, &url, Some(&json))?.into_json()?;
        created.into_task().map_err(|why| misunderstood(&why, Delivery::Unknown))
    }

    fn find_tasks(&self, names: &[String]) -> Result<Vec<Task>, PlatformError> {
        // An odd name would ask for others; and "there is none" must not be said of a name that was not asked for.
        if let Some(odd) = names.iter().find(|name| !is_identifier(name)) {
            return Err(PlatformError::Refused {
                detail: format!("no task can be looked up by the name {odd:?}"),
            });
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut tasks = self.tasks_where("names", &names)?;
        tasks.retain(|task| names.contains(&task.name.as_str()));
        Ok(tasks)
    }

    fn list_tasks(&self, guids: &[Guid]) -> Result<Vec<Task>, PlatformError> {
        let guids: Vec<&str> = guids.iter().map(Guid::as_str).filter(|guid| is_identifier(guid)).collect();
        let mut tasks = self.tasks_where("guids", &guids)?;
        tasks.retain(|task| guids.contains(&task.guid.as_str()));
        Ok(tasks)
    }

    fn cancel_task(&self, guid: &Guid) -> Result<(), PlatformError> {
        if !is_identifier(guid.as_str()) {
            return Ok(());
        }
        let url = self.api.endpoint.url(&format!("/v3/tasks/{guid}/actions/cancel"));
        let answer = self.api.call(&Method::POST, &url, None)?;
        // 422: it has ended already.
        if answer.is_success() || answer.status == 422 || answer.is_unknown_resource() {
            return Ok(());
        }
        Err(answer.into_error())
    }

    fn check(&self) -> Result<(), PlatformError> {
        self.check_root()?;
        self.api.uaa.own_token(None)?;
        self.api.lacks_no_authority()
    }
}

impl CloudFoundry {
    fn check_root(&self) -> Result<(), PlatformError> {
        let answer = self.api.root()?;
        if matches!(answer.status, 300..=499) && !matches!(answer.status, 408 | 429) {
            let cause = format!(
                "{}, as a Cloud Foundry in good order does not: CF_ENDPOINT may have a wrong scheme, host, port or path",
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

    /// Tries all that the service needs of Cloud Foundry and UAA, for an operator: a line for each thing that is wrong.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut note =
            |tried: Result<(), PlatformError>| faults.extend(tried.err().map(|err| err.to_string()));
        note(self.check_root());
        match self.api.uaa.own_token(None) {
            Err(err) => note(Err(err)),
            Ok(_) => {
                note(self.api.lacks_no_authority());
                note(self.api.uaa.check_introspection());
                note(self.ask_for_one_app());
            }
        }
        faults
    }
}

fn misunderstood(why: &str, delivery: Delivery) -> PlatformError {
    let cause = format!("Cloud Foundry's answer is not understood: {}", transport::cleaned(why));
    PlatformError::Unavailable { cause, retry_after: None, delivery }
}
