//! The HTTP API: finds the caller and the handler of a request, and answers it.
//!
//! Invariant: a handler sees only objects of spaces in which its caller has a role; foreign and missing
//! objects take the same path. An error has a status, a body in the form that `error` chooses, and a reason
//! for the log.

use std::sync::Arc;

use crossbeam_channel::Sender;
use tiny_http::{Header, Method, StatusCode};

use crate::base::clock::Clock;
use crate::base::public_url::PublicUrl;
use crate::config::SettingInForce;
use crate::cron::{Dialect, Weekdays};
use crate::http::{Body, Request, Response, respond_with};
use crate::model::{Access, Executable, Guid, Kind};
use crate::outbound::CallsInFlight;
use crate::platform::Platform;
use crate::store::{HistoryOf, Store, StoreError};
use crate::web::auth::{Authenticator, Caller, Purpose};
use crate::web::limit::{Limiter, RateLimitKey};
use crate::web::routes::{CallerRoute, OpenRoute};

pub(in crate::web) mod audit;
mod audit_events;
mod controls;
mod detailed;
pub(in crate::web) mod error;
mod executables;
mod executions;
pub(in crate::web) mod fields;
mod forecast;
mod notifications;
mod observability;
mod output;
mod overview;
pub(in crate::web) mod page;
mod put;
pub(in crate::web) mod query;
mod quotas;
mod readiness;
mod refusal;
mod schedule_fields;
mod schedules;
mod selector;
mod spaces;
mod validate;
mod versions;
pub(in crate::web) mod violation;

use audit::By;
use error::ApiError;
use query::Query;
use violation::Violation;

pub use audit_events::TYPES as AUDIT_TYPES;
pub use forecast::Forecast;
pub use observability::MetricsAccess;
pub use quotas::Quotas;
pub use readiness::Readiness;

/// The description of the API for programs: OpenAPI 3.1. `tests/it/openapi.rs` checks it against the service.
pub(in crate::web) const DOCUMENT: &str = include_str!("openapi.json");

/// How often a change is repeated after a concurrent one. With each repetition, another client's change has
/// succeeded.
const CHANGES_MAX: usize = 100;

/// What the handlers need.
pub struct Api {
    /// The database.
    pub store: Arc<Store>,
    /// Where the output of tasks is stored, if it is.
    pub platform: Arc<dyn Platform>,
    /// Verifies tokens and roles.
    pub auth: Authenticator,
    /// The rate limits.
    pub limiter: Limiter,
    /// Both clocks.
    pub clock: Arc<dyn Clock>,
    /// The dialect of new schedules.
    pub dialect: Dialect,
    /// The numbering of weekdays for clients that name the dialect `classic`.
    pub weekdays: Weekdays,
    /// The zone of new schedules without one; `None`: UTC.
    pub default_timezone: Option<String>,
    /// The shortest interval of a new expression, in seconds; `None`: any.
    pub schedule_min_seconds: Option<u32>,
    /// The limits of a space.
    pub quotas: Quotas,
    /// Whether audit events are kept.
    pub keeps_events: bool,
    /// Whether a space needs a service instance to create something.
    pub require_service_instance: bool,
    /// The settings, shown to admins; no secrets.
    pub settings: Vec<SettingInForce>,
    /// The last check of `/readyz`.
    pub readiness: Readiness,
    /// What `/metrics` needs.
    pub metrics_access: MetricsAccess,
    /// The calls in flight in this process.
    pub calls_in_flight: Arc<CallsInFlight>,
    /// Counts the fire times to come.
    pub forecast: Forecast,
    /// Wakes the scheduler, because there may be work.
    pub wake_scheduler: Sender<()>,
    /// Wakes the watcher.
    pub wake_watcher: Sender<()>,
    /// Wakes the retention, because something was deleted.
    pub wake_retention: Sender<()>,
    /// Wakes the notifier, because a test is due.
    pub wake_notifier: Sender<()>,
    /// The public URL, for links in notifications.
    pub public_url: Arc<PublicUrl>,
}

/// Who sent the request, for the log.
#[derive(Default)]
pub(in crate::web) struct Asker {
    pub(in crate::web) user: Option<String>,
    /// The user behind a platform's request to the broker, as the platform reports it.
    pub(in crate::web) origin_platform: Option<String>,
    pub(in crate::web) origin_user: Option<String>,
}

impl Api {
    /// Answers requests that need no token.
    pub(in crate::web) fn answer_open(
        &self,
        route: OpenRoute,
        request: &Request,
    ) -> Result<Response, ApiError> {
        match route {
            OpenRoute::Root | OpenRoute::Live => {
                Ok(respond_with(200, "application/json", r#"{"status":"ok"}"#))
            }
            OpenRoute::Ready => self.ready(),
            OpenRoute::Metrics => self.metrics(request.header("Authorization")),
            OpenRoute::Document => Ok(document()),
        }
    }

    /// Answers a request that needs a caller.
    pub(in crate::web) fn answer(
        &self,
        route: CallerRoute,
        request: &Request,
        asker: &mut Asker,
    ) -> Result<Response, ApiError> {
        let purpose = match request.method {
            Method::Get | Method::Head => Purpose::Reading,
            _ if route == CallerRoute::Validate => Purpose::Reading,
            _ => Purpose::Changing,
        };
        let caller = self.caller(request.header("Authorization"), purpose, asker)?;
        match caller.is_admin() {
            true => self.public_url.learn(|| page::base_url(request)),
            false => self.public_url.learn_of(caller.work_spaces(), || page::base_url(request)),
        }
        self.answer_to(caller, route, request)
    }

    /// Answers the request of an identified caller.
    pub(in crate::web) fn answer_to(
        &self,
        caller: Caller,
        route: CallerRoute,
        request: &Request,
    ) -> Result<Response, ApiError> {
        let query = Query::of(request.query.as_deref());
        let mut caller = caller;
        caller.needed = needed(&route, &request.method);
        let caller = caller;
        match route {
            CallerRoute::NextFireTimes => self.next_fire_times(&query?),
            CallerRoute::Validate => self.validate(&caller, request, &query?),
            CallerRoute::TimeZones => self.time_zones(request, &query?),
            CallerRoute::FindExecutions => self.find_executions(&caller, request, &query?),
            CallerRoute::FindExecution(guid) => self.find_execution(&caller, &guid),
            CallerRoute::CancelExecution(guid) => self.cancel_execution(&caller, &guid, request),
            CallerRoute::ExecutionOutput(guid) => self.execution_output(&caller, &guid, request, &query?),
            CallerRoute::Upcoming => self.upcoming(&caller, &query?),
            CallerRoute::Forecast => self.forecast(&caller, &query?),
            CallerRoute::Overdue => self.overdue(&caller, &query?),
            CallerRoute::ListNotifications => self.list_notifications(&caller, request, &query?),
            CallerRoute::CreateNotification => self.create_notification(&caller, &query?, request),
            CallerRoute::PutNotification => self.put_notification(&caller, &query?, request),
            CallerRoute::GetNotification(guid) => self.get_notification(&caller, &guid, request),
            CallerRoute::ChangeNotification(guid) => self.change_notification(&caller, &guid, request),
            CallerRoute::DeleteNotification(guid) => self.delete_notification(&caller, &guid, request),
            CallerRoute::TestNotification(guid) => self.test_notification(&caller, &guid),
            CallerRoute::ListDeliveries(guid) => self.list_deliveries(&caller, &guid, request, &query?),
            CallerRoute::ListEvents => self.list_events(&caller, request, &query?),
            CallerRoute::ListSpaces => self.list_spaces(&caller, request, &query?),
            CallerRoute::GetSpace(guid) => self.get_space(&caller, &guid, request),
            CallerRoute::ChangeSpace(guid) => self.change_space(&caller, &guid, request),
            CallerRoute::List(kind) => self.list_executables(&caller, kind, request, &query?),
            CallerRoute::Create(kind) => self.create_executable(&caller, kind, &query?, request),
            CallerRoute::Put(kind) => self.put_executable(&caller, kind, &query?, request),
            CallerRoute::Get(kind, guid) => {
                self.get_executable(self.executable(&caller, kind, &guid)?, request)
            }
            CallerRoute::Change(kind, guid) => self.change_executable(&caller, kind, &guid, request),
            CallerRoute::Delete(kind, guid) => self.delete_executable(&caller, kind, &guid, request, &query?),
            CallerRoute::Execute(kind, guid) => {
                let executable = self.executable(&caller, kind, &guid)?;
                self.check_service_instance(&executable.space)?;
                self.execute(&caller, &executable, request)
            }
            CallerRoute::History(kind, guid) => {
                let executable = self.executable(&caller, kind, &guid)?;
                let of = HistoryOf::Executable(executable.id);
                self.history(executable, of, request, &query?)
            }
            CallerRoute::Output(job, execution) => {
                let job = self.executable(&caller, Kind::Job, &job)?;
                self.output_of_job(&job, &execution, request, &query?)
            }
            CallerRoute::ListSchedules(kind, guid) => {
                let executable = self.executable(&caller, kind, &guid)?;
                self.list_schedules(executable, request, &query?)
            }
            CallerRoute::CreateSchedule(kind, guid) => {
                let executable = self.executable(&caller, kind, &guid)?;
                self.check_service_instance(&executable.space)?;
                self.create_schedule(By::of(&caller, request), &executable, &request.body)
            }
            CallerRoute::PutSchedule(kind, guid) => {
                self.put_schedule(&caller, &self.executable(&caller, kind, &guid)?, request, &query?)
            }
            CallerRoute::ChangeSchedule(kind, guid, schedule) => {
                self.change_schedule(&caller, &self.executable(&caller, kind, &guid)?, &schedule, request)
            }
            CallerRoute::DeleteSchedule(kind, guid, schedule) => {
                self.delete_schedule(&caller, &self.executable(&caller, kind, &guid)?, &schedule, request)
            }
            CallerRoute::ScheduleHistory(kind, guid, schedule) => {
                let executable = self.executable(&caller, kind, &guid)?;
                let of = HistoryOf::Schedule(self.schedule(&executable, &schedule)?.id);
                self.history(executable, of, request, &query?)
            }
        }
    }

    /// The caller, if within the rate limit. A refused token that is sent repeatedly does not cause a request
    /// to the platform each time.
    fn caller(
        &self,
        authorization: Option<&str>,
        purpose: Purpose,
        asker: &mut Asker,
    ) -> Result<Caller, ApiError> {
        let refused = authorization.map(RateLimitKey::Refused);
        if let Some(refused) = refused {
            self.limiter.look(refused, self.clock.monotonic()).map_err(ApiError::TooMany)?;
        }
        let caller = self.auth.caller(authorization, purpose).map_err(ApiError::from).and_then(|caller| {
            asker.user = Some(caller.user.clone());
            self.limiter
                .take(RateLimitKey::User(&caller.user), self.clock.monotonic())
                .map_err(ApiError::TooMany)?;
            Ok(caller)
        });
        if let (Some(refused), Err(ApiError::Unauthorized(_) | ApiError::TooMany(_))) = (refused, &caller) {
            // The limit was checked before. If other requests have emptied the bucket since, this one is
            // refused too.
            let _ = self.limiter.take(refused, self.clock.monotonic());
        }
        caller
    }

    /// The job or call, if it exists and the caller may work in its space. All cases take the same path, so
    /// that callers cannot learn which guids exist: for a missing object, access to a nonexistent space is
    /// checked.
    fn executable(&self, caller: &Caller, kind: Kind, guid: &str) -> Result<Executable, ApiError> {
        let guid = Guid::from_outside(guid).ok_or(ApiError::NotFound)?;
        let found = self.store.executable(kind, guid.as_str())?;
        let nowhere = Guid::from("");
        let space = found.as_ref().map_or(&nowhere, |executable| &executable.space);
        let access = self.access(caller, space)?;
        let mut found = found.ok_or(ApiError::NotFound)?;
        // A change must not write back an object without its secrets.
        if access < Access::Work && caller.needed == Access::Read {
            found.hide();
        }
        Ok(found)
    }

    /// The caller's access to a space, if it is enough for the request.
    fn access(&self, caller: &Caller, space: &Guid) -> Result<Access, ApiError> {
        match self.auth.access(caller, space)? {
            Some(access) if caller.needed <= access => Ok(access),
            Some(_) => Err(ApiError::ReadOnly),
            None => Err(ApiError::NotFound),
        }
    }

    /// Whether the caller may change all these fields; supporters may change only a few.
    fn check_fields(
        &self,
        caller: &Caller,
        space: &Guid,
        body: &[u8],
        allowed: &[&str],
    ) -> Result<(), ApiError> {
        if self.access(caller, space)? == Access::Work {
            return Ok(());
        }
        // The handler refuses anything that is not an object.
        let given: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(body).unwrap_or_default();
        match given.keys().all(|field| allowed.contains(&field.as_str())) {
            true => Ok(()),
            false => Err(ApiError::ReadOnly),
        }
    }

    /// If service instances are required, a space needs one to create something.
    fn check_service_instance(&self, space: &Guid) -> Result<(), ApiError> {
        if self.require_service_instance && !self.store.has_service_instance(space)? {
            let detail = "has no instance of the scheduler service; `cf create-service` makes one";
            let expected = "a space with an instance of the scheduler service";
            return Err(Violation::new("space", "instance", detail, expected).into());
        }
        Ok(())
    }

    pub(in crate::web) fn wake_scheduler(&self) {
        // If the channel is full, the scheduler is about to look anyway.
        let _ = self.wake_scheduler.try_send(());
    }

    /// Wakes the watcher, because a cancelled execution may have a task.
    pub(in crate::web) fn wake_watcher(&self) {
        let _ = self.wake_watcher.try_send(());
    }

    /// Wakes the retention, because there are rows to purge or cancellations to record.
    pub(in crate::web) fn wake_retention(&self) {
        let _ = self.wake_retention.try_send(());
    }
}

/// The access that a request needs in its space.
fn needed(route: &CallerRoute, method: &Method) -> Access {
    match (route, method) {
        (_, Method::Get | Method::Head) | (CallerRoute::Validate, _) => Access::Read,
        (
            CallerRoute::CancelExecution(_)
            | CallerRoute::Change(..)
            | CallerRoute::ChangeSchedule(..)
            | CallerRoute::ChangeSpace(_),
            _,
        ) => Access::Support,
        _ => Access::Work,
    }
}

/// Not copied for each reader, because it needs no token, and readers may be slow.
fn document() -> Response {
    let headers = Header::from_bytes("Content-Type", "application/json").into_iter().collect();
    let body = Body::Stream(Box::new(DOCUMENT.as_bytes()));
    Response::new(StatusCode(200), headers, body, Some(DOCUMENT.len()), None)
}

/// Repeats `change`, which starts by reading the object, until no concurrent change interferes.
fn until_written<T>(mut change: impl FnMut() -> Result<Option<T>, ApiError>) -> Result<T, ApiError> {
    for _ in 0..CHANGES_MAX {
        if let Some(done) = change()? {
            return Ok(done);
        }
    }
    Err(StoreError::Unavailable("the object is changed by others all the time".to_owned()).into())
}
