//! The HTTP API: a request, who makes it, what it is for, its answer.
//!
//! Invariant: a handler sees only objects of spaces in which its caller has a role; "not yours" and "not there" take one
//! path. A refusal has a status and an empty body; its reason is for the log.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use log::{Level, debug, log};
use serde::Serialize;
use tiny_http::{Header, Method, StatusCode};

use crate::base::clock::Clock;
use crate::base::logging::{beginning, milliseconds, on_behalf_of};
use crate::base::metrics::{UNKNOWN_ROUTE, metrics};
use crate::cron::Dialect;
use crate::http::{Body, Refusal, Request, Response, respond_with};
use crate::model::{Executable, Guid, Kind};
use crate::platform::{Platform, PlatformError};
use crate::store::{Dated, Store};
use crate::web::auth::{Authenticator, Caller, Purpose};
use crate::web::broker::Broker;
use crate::web::limit::{Limiter, Who};
use crate::web::routes::{NoRoute, Route};

mod controls;
pub(in crate::web) mod error;
mod executables;
mod executions;
mod fields;
mod observability;
mod output;
pub(in crate::web) mod page;
pub(in crate::web) mod query;
mod schedules;

use error::{ApiError, Problem};
use page::to_json;
use query::Query;

pub use observability::{Door, Scrape};

/// The description of all this, for programs: OpenAPI 3.1. What is in it is what is done: see `tests/it/openapi.rs`.
pub(in crate::web) const DOCUMENT: &str = include_str!("openapi.json");
/// The most of a path that a line of the log shows.
const PATH_CHARS: usize = 256;

/// Everything that handlers need.
pub struct Api {
    /// Where things are kept.
    pub store: Arc<Store>,
    /// Where the output of tasks is kept, if anywhere.
    pub platform: Arc<dyn Platform>,
    /// Who may do what.
    pub auth: Authenticator,
    /// How often somebody may come.
    pub limiter: Limiter,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How numbers in day-of-week are read.
    pub dialect: Dialect,
    /// The service broker, when there is one.
    pub broker: Option<Broker>,
    /// Whether a space needs a service instance to create something.
    pub require_service_instance: bool,
    /// What `/metrics` needs.
    pub scrape: Scrape,
    /// Wakes the scheduler: there is something new to look at.
    pub wake_scheduler: Sender<()>,
    /// Wakes the watcher.
    pub wake_watcher: Sender<()>,
    /// Wakes the retention: something was deleted.
    pub wake_retention: Sender<()>,
}

/// Who asks, as far as the log shows it.
#[derive(Default)]
pub(in crate::web) struct Asker {
    pub(in crate::web) user: Option<String>,
    /// On whose behalf a platform asks the broker, in its words.
    pub(in crate::web) origin_platform: Option<String>,
    pub(in crate::web) origin_user: Option<String>,
}

impl Api {
    /// Answers a request that came through `door`, counts it, and logs a line about it.
    pub fn handle(&self, request: &Request, door: Door) -> Response {
        let _for = on_behalf_of(&request.id);
        let began_at = self.clock.monotonic();
        let mut asker = Asker::default();
        let route = if door.leads_to(&request.path) {
            // In this order: the path, the method, the token, and only then what the request says.
            Route::of(&request.method, &request.path).map_err(|none| match none {
                NoRoute::UnknownPath => ApiError::NoSuchPath,
                NoRoute::OtherMethod(allow) => ApiError::MethodNotAllowed(allow),
            })
        } else {
            Err(ApiError::NoSuchPath)
        };
        let template = route.as_ref().map_or(UNKNOWN_ROUTE, Route::template);
        let answer = route.and_then(|route| self.answer(request, route, &mut asker));
        let (response, reason) = match answer {
            Ok(response) => (response, None),
            Err(error) => (error.response(request.header("Accept")), Some(error)),
        };
        let status = response.status_code().0;
        let took = self.clock.monotonic().saturating_sub(began_at);
        metrics().answered(request.method.as_str(), template, status, took);
        let level = match status {
            500 => Level::Error,
            // Somebody asks every few seconds, and nothing has happened.
            200 if template == Route::Metrics.template() => Level::Debug,
            _ => Level::Info,
        };
        let reason = reason.map(|reason| reason.to_string());
        // The query is left out: nobody knows what clients put there. A path may be of 64 KiB, which no route is.
        log!(
            level,
            method = request.method.as_str(), path = beginning(&request.path, PATH_CHARS), status,
            ms = milliseconds(took), user = asker.user.as_deref(),
            origin_platform = asker.origin_platform.as_deref(), origin_user = asker.origin_user.as_deref(),
            reason = reason.as_deref();
            "request"
        );
        response
    }

    /// Answers `/healthz` without a thread of the pool; `None` for all else.
    pub fn quick(&self, request: &Request, door: Door) -> Option<Response> {
        if !door.leads_to(&request.path) {
            return None;
        }
        match Route::of(&request.method, &request.path) {
            Ok(Route::Live) => {
                metrics().answered(request.method.as_str(), Route::Live.template(), 200, Duration::ZERO);
                debug!(
                    method = request.method.as_str(), path = "/healthz", status = 200, request_id:% = request.id;
                    "request"
                );
                Some(respond_with(200, "application/json", r#"{"status":"ok"}"#))
            }
            _ => None,
        }
    }

    /// Words a refusal of the HTTP side in the same way as all others, and counts it. That side has logged it.
    pub fn refuse(&self, refusal: &Refusal, headers: &[Header]) -> Response {
        metrics().refused(refusal.status);
        let accept =
            headers.iter().find(|header| header.field.equiv("Accept")).map(|header| header.value.as_str());
        Problem::of_refusal(refusal).response(accept)
    }

    fn answer(&self, request: &Request, route: Route, asker: &mut Asker) -> Result<Response, ApiError> {
        match route {
            Route::Root | Route::Live => {
                return Ok(respond_with(200, "application/json", r#"{"status":"ok"}"#));
            }
            Route::Ready => return self.ready(),
            Route::Metrics => return self.metrics(request.header("Authorization")),
            // It has a name and a password of its own.
            Route::Broker(path) => return self.answer_broker(request, &path, asker),
            Route::Document => return Ok(document()),
            _ => {}
        }
        let purpose = match request.method {
            Method::Get | Method::Head => Purpose::Reading,
            _ => Purpose::Changing,
        };
        let caller = self.caller(request.header("Authorization"), purpose, asker)?;
        let query = Query::of(request.query.as_deref());
        match route {
            Route::Root
            | Route::Live
            | Route::Ready
            | Route::Metrics
            | Route::Document
            | Route::Broker(_) => Err(ApiError::NotFound),
            Route::NextFireTimes => self.next_fire_times(&query?),
            Route::List(kind) => self.list_executables(&caller, kind, request, &query?),
            Route::Create(kind) => self.create_executable(&caller, kind, &query?, &request.body),
            Route::Get(kind, guid) => self.get_executable(self.executable(&caller, kind, &guid)?),
            Route::Change(kind, guid) => {
                let executable = self.executable(&caller, kind, &guid)?;
                self.change_executable(&caller, executable, &request.body)
            }
            Route::Delete(kind, guid) => self.delete_executable(&self.executable(&caller, kind, &guid)?),
            Route::Execute(kind, guid) => {
                let executable = self.executable(&caller, kind, &guid)?;
                self.check_service_instance(&executable.space)?;
                self.execute(&executable, &request.id)
            }
            Route::History(kind, guid) => {
                let executable = self.executable(&caller, kind, &guid)?;
                let of = Dated::Executable(executable.id);
                self.history(executable, of, request, &query?)
            }
            Route::Output(job, execution) => {
                self.output(&self.executable(&caller, Kind::Job, &job)?, &execution, &query?)
            }
            Route::ListSchedules(kind, guid) => {
                let executable = self.executable(&caller, kind, &guid)?;
                self.list_schedules(executable, request, &query?)
            }
            Route::CreateSchedule(kind, guid) => {
                let executable = self.executable(&caller, kind, &guid)?;
                self.check_service_instance(&executable.space)?;
                self.create_schedule(&executable, &request.body)
            }
            Route::ChangeSchedule(kind, guid, schedule) => {
                self.change_schedule(&self.executable(&caller, kind, &guid)?, &schedule, &request.body)
            }
            Route::DeleteSchedule(kind, guid, schedule) => {
                self.delete_schedule(&self.executable(&caller, kind, &guid)?, &schedule)
            }
            Route::ScheduleHistory(kind, guid, schedule) => {
                let executable = self.executable(&caller, kind, &guid)?;
                let of = Dated::Schedule(self.schedule(&executable, &schedule)?.id);
                self.history(executable, of, request, &query?)
            }
        }
    }

    /// Who calls, if not too often. Whoever comes again and again with a token that was refused is not asked about each time.
    fn caller(
        &self,
        authorization: Option<&str>,
        purpose: Purpose,
        asker: &mut Asker,
    ) -> Result<Caller, ApiError> {
        let refused = authorization.map(Who::Refused);
        if let Some(refused) = refused {
            self.limiter.look(refused, self.clock.monotonic()).map_err(ApiError::TooMany)?;
        }
        let caller = self.auth.caller(authorization, purpose).map_err(ApiError::from).and_then(|caller| {
            asker.user = Some(caller.user.clone());
            self.limiter.take(Who::User(&caller.user), self.clock.monotonic()).map_err(ApiError::TooMany)?;
            Ok(caller)
        });
        if let (Some(refused), Err(ApiError::Unauthorized(_) | ApiError::TooMany(_))) = (refused, &caller) {
            // It was looked at before; should others have emptied the bucket meanwhile, this one is refused all the same.
            let _ = self.limiter.take(refused, self.clock.monotonic());
        }
        caller
    }

    /// The job or call, when there is one and the caller may work in its space. One way for all, so that nobody learns
    /// which guids exist: what is not there is looked for in a space that nobody has.
    fn executable(&self, caller: &Caller, kind: Kind, guid: &str) -> Result<Executable, ApiError> {
        let found = self.store.executable(kind, guid)?;
        let nowhere = Guid::from("");
        let space = found.as_ref().map_or(&nowhere, |executable| &executable.space);
        let may_work = self.auth.may_work_in(caller, space)?;
        found.filter(|_| may_work).ok_or(ApiError::NotFound)
    }

    /// Where an instance of the service is required, there must be one to ask for something new.
    fn check_service_instance(&self, space: &Guid) -> Result<(), ApiError> {
        if self.require_service_instance && !self.store.has_service_instance(space)? {
            let detail = "has no instance of the scheduler service; `cf create-service` makes one";
            let expected = "a space with an instance of the scheduler service";
            return Err(error::Violation::new("space", "instance", detail, expected).into());
        }
        Ok(())
    }

    fn ready(&self) -> Result<Response, ApiError> {
        #[derive(Serialize)]
        struct Ready {
            status: &'static str,
            database: &'static str,
            platform: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            platform_fault: Option<String>,
        }
        self.store.check_writable()?;
        // Reported, yet no reason to be unready: schedules go on, and what waits is done later.
        let (platform, platform_fault) = match self.auth.check_platform() {
            Ok(()) => ("ok", None),
            Err(PlatformError::Misconfigured { cause }) => ("misconfigured", Some(cause)),
            // Anybody may ask, and what the network says of servers within is not for everybody.
            Err(_) => ("unavailable", None),
        };
        let ready = Ready { status: "ok", database: "ok", platform, platform_fault };
        Ok(respond_with(200, "application/json", to_json(&ready)?))
    }

    pub(in crate::web) fn wake_scheduler(&self) {
        // Full means that it is about to look anyway.
        let _ = self.wake_scheduler.try_send(());
    }

    /// What was cancelled may have a task all the same.
    pub(in crate::web) fn wake_watcher(&self) {
        let _ = self.wake_watcher.try_send(());
    }

    /// Rows are to be removed, or cancellations to be recorded.
    pub(in crate::web) fn wake_retention(&self) {
        let _ = self.wake_retention.try_send(());
    }
}

/// Not copied for each who reads it: anybody may, and slowly.
fn document() -> Response {
    let headers = Header::from_bytes("Content-Type", "application/json").into_iter().collect();
    let body = Body::Stream(Box::new(DOCUMENT.as_bytes()));
    Response::new(StatusCode(200), headers, body, Some(DOCUMENT.len()), None)
}

fn created<T: Serialize>(resource: &T) -> Result<Response, ApiError> {
    Ok(respond_with(201, "application/json", to_json(resource)?))
}
