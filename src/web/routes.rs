//! Maps requests to routes. Pure.
//!
//! Invariant: a path that no [`Route`] has is a 404, and any other method of a known path is a 405.

use tiny_http::Method;

use crate::model::Kind;

/// The target of a request, by who may send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) enum Route {
    /// Anybody.
    Open(OpenRoute),
    /// A caller that the platform has verified.
    Caller(CallerRoute),
    /// The platform, with the user and password of the service broker, which checks the method itself.
    Broker(Target),
    /// A page of the dashboard, by the segments of its path after `/dashboard`. A session replaces the token.
    Dashboard(Vec<String>),
}

/// Routes that need no caller. The metrics may require their own token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum OpenRoute {
    Root,
    Live,
    Ready,
    /// The OpenAPI document.
    Document,
    Metrics,
}

/// Routes that need a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) enum CallerRoute {
    NextFireTimes,
    Validate,
    TimeZones,
    ListSpaces,
    GetSpace(String),
    ChangeSpace(String),
    List(Kind),
    Create(Kind),
    /// Creates or replaces, by name.
    Put(Kind),
    Get(Kind, String),
    Change(Kind, String),
    Delete(Kind, String),
    Execute(Kind, String),
    History(Kind, String),
    /// The output of an execution's task.
    Output(String, String),
    /// Executions of all jobs and calls.
    FindExecutions,
    FindExecution(String),
    /// By the guid of the execution.
    CancelExecution(String),
    /// By the guid of the execution.
    ExecutionOutput(String),
    Upcoming,
    Forecast,
    Overdue,
    ListEvents,
    ListNotifications,
    CreateNotification,
    /// Creates or replaces, by name.
    PutNotification,
    GetNotification(String),
    ChangeNotification(String),
    DeleteNotification(String),
    TestNotification(String),
    ListDeliveries(String),
    ListSchedules(Kind, String),
    CreateSchedule(Kind, String),
    /// Creates or replaces, by key.
    PutSchedule(Kind, String),
    ChangeSchedule(Kind, String, String),
    DeleteSchedule(Kind, String, String),
    ScheduleHistory(Kind, String, String),
}

/// A request to the service broker. The ids are the platform's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) enum Target {
    Catalog,
    Instance(String),
    InstanceOperation(String),
    /// The ids of instance and binding.
    Binding(String, String),
    BindingOperation(String, String),
}

/// Why a request has no route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) enum NoRoute {
    UnknownPath,
    /// The path has other methods: the value of `Allow`.
    OtherMethod(&'static str),
}

impl Route {
    /// The route of a method and a path that is not decoded yet. `HEAD` works where `GET` does.
    pub(in crate::web) fn of(method: &Method, path: &str) -> Result<Self, NoRoute> {
        let path = path.strip_prefix('/').ok_or(NoRoute::UnknownPath)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Vec<String> =
            path.split('/').map(decode_segment).collect::<Option<_>>().ok_or(NoRoute::UnknownPath)?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            [""] => read_only(method, Self::Open(OpenRoute::Root)),
            ["healthz"] => read_only(method, Self::Open(OpenRoute::Live)),
            ["readyz"] => read_only(method, Self::Open(OpenRoute::Ready)),
            ["metrics"] => read_only(method, Self::Open(OpenRoute::Metrics)),
            ["openapi.json"] => read_only(method, Self::Open(OpenRoute::Document)),
            ["cron", "next"] => read_only(method, Self::Caller(CallerRoute::NextFireTimes)),
            ["schedules", "validate"] => match method {
                Method::Post => Ok(Self::Caller(CallerRoute::Validate)),
                _ => Err(NoRoute::OtherMethod("POST")),
            },
            ["scheduler-time-zones"] => read_only(method, Self::Caller(CallerRoute::TimeZones)),
            ["executions"] => read_only(method, Self::Caller(CallerRoute::FindExecutions)),
            ["executions", guid] if !guid.is_empty() => {
                read_only(method, Self::Caller(CallerRoute::FindExecution((*guid).to_owned())))
            }
            ["executions", guid, "cancel"] => match method {
                Method::Post => Ok(Self::Caller(CallerRoute::CancelExecution((*guid).to_owned()))),
                _ => Err(NoRoute::OtherMethod("POST")),
            },
            ["executions", guid, "output"] => {
                read_only(method, Self::Caller(CallerRoute::ExecutionOutput((*guid).to_owned())))
            }
            ["upcoming"] => read_only(method, Self::Caller(CallerRoute::Upcoming)),
            ["upcoming", "counts"] => read_only(method, Self::Caller(CallerRoute::Forecast)),
            ["overdue"] => read_only(method, Self::Caller(CallerRoute::Overdue)),
            ["audit_events"] => read_only(method, Self::Caller(CallerRoute::ListEvents)),
            ["notifications", rest @ ..] => CallerRoute::of_notifications(rest, method).map(Self::Caller),
            ["spaces"] => read_only(method, Self::Caller(CallerRoute::ListSpaces)),
            ["spaces", guid] if !guid.is_empty() => match method {
                Method::Patch => Ok(Self::Caller(CallerRoute::ChangeSpace((*guid).to_owned()))),
                _ if is_get(method) => Ok(Self::Caller(CallerRoute::GetSpace((*guid).to_owned()))),
                _ => Err(NoRoute::OtherMethod("GET, HEAD, PATCH")),
            },
            ["jobs", rest @ ..] => CallerRoute::of(Kind::Job, rest, method).map(Self::Caller),
            ["calls", rest @ ..] => CallerRoute::of(Kind::Call, rest, method).map(Self::Caller),
            ["dashboard", rest @ ..] => match method {
                Method::Get | Method::Head | Method::Post => {
                    Ok(Self::Dashboard(rest.iter().map(|segment| (*segment).to_owned()).collect()))
                }
                _ => Err(NoRoute::OtherMethod("GET, HEAD, POST")),
            },
            ["v2", rest @ ..] => Target::of(rest).map(Self::Broker).ok_or(NoRoute::UnknownPath),
            _ => Err(NoRoute::UnknownPath),
        }
    }

    /// The path with placeholders for what a client chose.
    pub(in crate::web) fn template(&self) -> &'static str {
        match self {
            Self::Open(route) => route.template(),
            Self::Caller(route) => route.template(),
            Self::Broker(target) => target.template(),
            Self::Dashboard(_) => "/dashboard",
        }
    }
}

impl OpenRoute {
    pub(in crate::web) fn template(self) -> &'static str {
        match self {
            Self::Root => "/",
            Self::Live => "/healthz",
            Self::Ready => "/readyz",
            Self::Metrics => "/metrics",
            Self::Document => "/openapi.json",
        }
    }
}

impl CallerRoute {
    /// `path` is what follows `/jobs` or `/calls`.
    fn of(kind: Kind, path: &[&str], method: &Method) -> Result<Self, NoRoute> {
        let owned = |text: &str| text.to_owned();
        let get = is_get(method);
        match path {
            [] => match method {
                Method::Post => Ok(Self::Create(kind)),
                Method::Put => Ok(Self::Put(kind)),
                _ if get => Ok(Self::List(kind)),
                _ => Err(NoRoute::OtherMethod("GET, HEAD, POST, PUT")),
            },
            [guid] if !guid.is_empty() => match method {
                Method::Patch => Ok(Self::Change(kind, owned(guid))),
                Method::Delete => Ok(Self::Delete(kind, owned(guid))),
                _ if get => Ok(Self::Get(kind, owned(guid))),
                _ => Err(NoRoute::OtherMethod("GET, HEAD, PATCH, DELETE")),
            },
            [guid, "execute"] => match method {
                Method::Post => Ok(Self::Execute(kind, owned(guid))),
                _ => Err(NoRoute::OtherMethod("POST")),
            },
            [guid, "history"] => read_only(method, Self::History(kind, owned(guid))),
            [guid, "history", execution, "output"] if kind == Kind::Job => {
                read_only(method, Self::Output(owned(guid), owned(execution)))
            }
            [guid, "schedules"] => match method {
                Method::Post => Ok(Self::CreateSchedule(kind, owned(guid))),
                Method::Put => Ok(Self::PutSchedule(kind, owned(guid))),
                _ if get => Ok(Self::ListSchedules(kind, owned(guid))),
                _ => Err(NoRoute::OtherMethod("GET, HEAD, POST, PUT")),
            },
            [guid, "schedules", schedule] if !schedule.is_empty() => match method {
                Method::Patch => Ok(Self::ChangeSchedule(kind, owned(guid), owned(schedule))),
                Method::Delete => Ok(Self::DeleteSchedule(kind, owned(guid), owned(schedule))),
                _ => Err(NoRoute::OtherMethod("PATCH, DELETE")),
            },
            [guid, "schedules", schedule, "history"] => {
                read_only(method, Self::ScheduleHistory(kind, owned(guid), owned(schedule)))
            }
            _ => Err(NoRoute::UnknownPath),
        }
    }

    /// `path` is what follows `/notifications`.
    fn of_notifications(path: &[&str], method: &Method) -> Result<Self, NoRoute> {
        match path {
            [] => match method {
                Method::Post => Ok(Self::CreateNotification),
                Method::Put => Ok(Self::PutNotification),
                _ if is_get(method) => Ok(Self::ListNotifications),
                _ => Err(NoRoute::OtherMethod("GET, HEAD, POST, PUT")),
            },
            [guid] if !guid.is_empty() => match method {
                Method::Patch => Ok(Self::ChangeNotification((*guid).to_owned())),
                Method::Delete => Ok(Self::DeleteNotification((*guid).to_owned())),
                _ if is_get(method) => Ok(Self::GetNotification((*guid).to_owned())),
                _ => Err(NoRoute::OtherMethod("GET, HEAD, PATCH, DELETE")),
            },
            [guid, "test"] => match method {
                Method::Post => Ok(Self::TestNotification((*guid).to_owned())),
                _ => Err(NoRoute::OtherMethod("POST")),
            },
            [guid, "deliveries"] => read_only(method, Self::ListDeliveries((*guid).to_owned())),
            _ => Err(NoRoute::UnknownPath),
        }
    }

    /// The resource of an error, in the terms of the Java client.
    pub(in crate::web) fn resource(&self) -> &'static str {
        match self {
            Self::List(kind)
            | Self::Create(kind)
            | Self::Put(kind)
            | Self::Get(kind, _)
            | Self::Change(kind, _)
            | Self::Delete(kind, _)
            | Self::Execute(kind, _)
            | Self::History(kind, _) => kind.as_str(),
            Self::Output(..) => Kind::Job.as_str(),
            Self::FindExecutions
            | Self::FindExecution(_)
            | Self::CancelExecution(_)
            | Self::ExecutionOutput(_) => "execution",
            Self::ListEvents => "audit_event",
            Self::ListNotifications
            | Self::CreateNotification
            | Self::PutNotification
            | Self::GetNotification(_)
            | Self::ChangeNotification(_)
            | Self::DeleteNotification(_)
            | Self::TestNotification(_)
            | Self::ListDeliveries(_) => "notification",
            Self::ListSpaces | Self::GetSpace(_) | Self::ChangeSpace(_) => "space",
            Self::NextFireTimes
            | Self::Validate
            | Self::TimeZones
            | Self::Upcoming
            | Self::Forecast
            | Self::Overdue
            | Self::ListSchedules(..)
            | Self::CreateSchedule(..)
            | Self::PutSchedule(..)
            | Self::ChangeSchedule(..)
            | Self::DeleteSchedule(..)
            | Self::ScheduleHistory(..) => "schedule",
        }
    }

    fn template(&self) -> &'static str {
        let of = |kind: &Kind, job: &'static str, call: &'static str| match kind {
            Kind::Job => job,
            Kind::Call => call,
        };
        match self {
            Self::NextFireTimes => "/cron/next",
            Self::Validate => "/schedules/validate",
            Self::TimeZones => "/scheduler-time-zones",
            Self::FindExecutions => "/executions",
            Self::FindExecution(_) => "/executions/:guid",
            Self::CancelExecution(_) => "/executions/:guid/cancel",
            Self::ExecutionOutput(_) => "/executions/:guid/output",
            Self::Upcoming => "/upcoming",
            Self::Forecast => "/upcoming/counts",
            Self::Overdue => "/overdue",
            Self::ListEvents => "/audit_events",
            Self::ListNotifications | Self::CreateNotification | Self::PutNotification => "/notifications",
            Self::GetNotification(_) | Self::ChangeNotification(_) | Self::DeleteNotification(_) => {
                "/notifications/:guid"
            }
            Self::TestNotification(_) => "/notifications/:guid/test",
            Self::ListDeliveries(_) => "/notifications/:guid/deliveries",
            Self::ListSpaces => "/spaces",
            Self::GetSpace(_) | Self::ChangeSpace(_) => "/spaces/:guid",
            Self::List(kind) | Self::Create(kind) | Self::Put(kind) => of(kind, "/jobs", "/calls"),
            Self::Get(kind, _) | Self::Change(kind, _) | Self::Delete(kind, _) => {
                of(kind, "/jobs/:guid", "/calls/:guid")
            }
            Self::Execute(kind, _) => of(kind, "/jobs/:guid/execute", "/calls/:guid/execute"),
            Self::Output(..) => "/jobs/:guid/history/:guid/output",
            Self::History(kind, _) => of(kind, "/jobs/:guid/history", "/calls/:guid/history"),
            Self::ListSchedules(kind, _) | Self::CreateSchedule(kind, _) | Self::PutSchedule(kind, _) => {
                of(kind, "/jobs/:guid/schedules", "/calls/:guid/schedules")
            }
            Self::ChangeSchedule(kind, _, _) | Self::DeleteSchedule(kind, _, _) => {
                of(kind, "/jobs/:guid/schedules/:guid", "/calls/:guid/schedules/:guid")
            }
            Self::ScheduleHistory(kind, _, _) => {
                of(kind, "/jobs/:guid/schedules/:guid/history", "/calls/:guid/schedules/:guid/history")
            }
        }
    }
}

impl Target {
    /// `path` is what follows `/v2`.
    fn of(path: &[&str]) -> Option<Self> {
        let owned = |text: &str| text.to_owned();
        match *path {
            ["catalog"] => Some(Self::Catalog),
            ["service_instances", instance] => Some(Self::Instance(owned(instance))),
            ["service_instances", instance, "last_operation"] => {
                Some(Self::InstanceOperation(owned(instance)))
            }
            ["service_instances", instance, "service_bindings", binding] => {
                Some(Self::Binding(owned(instance), owned(binding)))
            }
            ["service_instances", instance, "service_bindings", binding, "last_operation"] => {
                Some(Self::BindingOperation(owned(instance), owned(binding)))
            }
            _ => None,
        }
    }

    fn template(&self) -> &'static str {
        match self {
            Self::Catalog => "/v2/catalog",
            Self::Instance(_) => "/v2/service_instances/:id",
            Self::InstanceOperation(_) => "/v2/service_instances/:id/last_operation",
            Self::Binding(..) => "/v2/service_instances/:id/service_bindings/:id",
            Self::BindingOperation(..) => "/v2/service_instances/:id/service_bindings/:id/last_operation",
        }
    }
}

fn is_get(method: &Method) -> bool {
    matches!(method, Method::Get | Method::Head)
}

fn read_only<R>(method: &Method, route: R) -> Result<R, NoRoute> {
    if is_get(method) { Ok(route) } else { Err(NoRoute::OtherMethod("GET, HEAD")) }
}

/// Whether the path is that of the metrics, with any method.
pub(in crate::web) fn is_metrics(path: &str) -> bool {
    Route::of(&Method::Get, path) == Ok(Route::Open(OpenRoute::Metrics))
}

fn decode_segment(segment: &str) -> Option<String> {
    decode(segment, false)
}

/// Percent-decodes; in a query, `+` is a space. `None`: malformed, or not UTF-8.
pub(in crate::web) fn decode(text: &str, plus_is_blank: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' if plus_is_blank => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods_are_told_apart() {
        let of = |method: &str, path: &str| Route::of(&method.parse().unwrap(), path);
        assert_eq!(of("GET", "/"), Ok(Route::Open(OpenRoute::Root)));
        assert_eq!(of("GET", "/jobs"), Ok(Route::Caller(CallerRoute::List(Kind::Job))));
        assert_eq!(of("HEAD", "/calls/"), Ok(Route::Caller(CallerRoute::List(Kind::Call))));
        assert_eq!(of("GET", "/jobs/%61b"), Ok(Route::Caller(CallerRoute::Get(Kind::Job, "ab".to_owned()))));
        assert_eq!(
            of("POST", "/calls/g/execute/"),
            Ok(Route::Caller(CallerRoute::Execute(Kind::Call, "g".to_owned())))
        );
        assert_eq!(of("PUT", "/jobs"), Ok(Route::Caller(CallerRoute::Put(Kind::Job))));
        assert_eq!(of("DELETE", "/jobs"), Err(NoRoute::OtherMethod("GET, HEAD, POST, PUT")));
        assert_eq!(of("GET", "/jobs/g/execute"), Err(NoRoute::OtherMethod("POST")));
        for path in
            ["/job", "/jobs//", "/jobs/g/x", "/jobs/g/schedules/s/x", "//jobs", "*", "/jobs/%zz", "/jobs/%ff"]
        {
            assert_eq!(of("GET", path), Err(NoRoute::UnknownPath), "{path}");
        }
    }

    /// The operation of each route in the OpenAPI document. A route that is missing here does not compile.
    macro_rules! operations {
        ($($route:pat => $operation:literal,)*) => {
            const OPERATIONS: &[&str] = &[$($operation),*];

            fn operation_of(route: &Route) -> &'static str {
                match route {
                    $($route => $operation,)*
                    // The service broker has its own specification.
                    Route::Broker(_) => "",
                    // Pages are for people.
                    Route::Dashboard(_) => "",
                }
            }
        };
    }

    operations! {
        Route::Open(OpenRoute::Root) => "getRoot",
        Route::Open(OpenRoute::Live) => "getHealth",
        Route::Open(OpenRoute::Ready) => "getReadiness",
        Route::Open(OpenRoute::Document) => "getDocument",
        Route::Open(OpenRoute::Metrics) => "getMetrics",
        Route::Caller(CallerRoute::NextFireTimes) => "listFireTimes",
        Route::Caller(CallerRoute::Validate) => "validateSchedule",
        Route::Caller(CallerRoute::TimeZones) => "listTimeZones",
        Route::Caller(CallerRoute::FindExecutions) => "listExecutions",
        Route::Caller(CallerRoute::FindExecution(_)) => "getExecution",
        Route::Caller(CallerRoute::CancelExecution(_)) => "cancelExecution",
        Route::Caller(CallerRoute::ExecutionOutput(_)) => "getExecutionOutput",
        Route::Caller(CallerRoute::Upcoming) => "listUpcoming",
        Route::Caller(CallerRoute::Forecast) => "countUpcoming",
        Route::Caller(CallerRoute::Overdue) => "listOverdue",
        Route::Caller(CallerRoute::ListEvents) => "listAuditEvents",
        Route::Caller(CallerRoute::ListNotifications) => "listNotifications",
        Route::Caller(CallerRoute::CreateNotification) => "createNotification",
        Route::Caller(CallerRoute::PutNotification) => "putNotification",
        Route::Caller(CallerRoute::GetNotification(_)) => "getNotification",
        Route::Caller(CallerRoute::ChangeNotification(_)) => "changeNotification",
        Route::Caller(CallerRoute::DeleteNotification(_)) => "deleteNotification",
        Route::Caller(CallerRoute::TestNotification(_)) => "testNotification",
        Route::Caller(CallerRoute::ListDeliveries(_)) => "listDeliveries",
        Route::Caller(CallerRoute::ListSpaces) => "listSpaces",
        Route::Caller(CallerRoute::GetSpace(_)) => "getSpace",
        Route::Caller(CallerRoute::ChangeSpace(_)) => "changeSpace",
        Route::Caller(CallerRoute::List(Kind::Job)) => "listJobs",
        Route::Caller(CallerRoute::List(Kind::Call)) => "listCalls",
        Route::Caller(CallerRoute::Create(Kind::Job)) => "createJob",
        Route::Caller(CallerRoute::Create(Kind::Call)) => "createCall",
        Route::Caller(CallerRoute::Put(Kind::Job)) => "putJob",
        Route::Caller(CallerRoute::Put(Kind::Call)) => "putCall",
        Route::Caller(CallerRoute::Get(Kind::Job, _)) => "getJob",
        Route::Caller(CallerRoute::Get(Kind::Call, _)) => "getCall",
        Route::Caller(CallerRoute::Change(Kind::Job, _)) => "changeJob",
        Route::Caller(CallerRoute::Change(Kind::Call, _)) => "changeCall",
        Route::Caller(CallerRoute::Delete(Kind::Job, _)) => "deleteJob",
        Route::Caller(CallerRoute::Delete(Kind::Call, _)) => "deleteCall",
        Route::Caller(CallerRoute::Execute(Kind::Job, _)) => "executeJob",
        Route::Caller(CallerRoute::Execute(Kind::Call, _)) => "executeCall",
        Route::Caller(CallerRoute::History(Kind::Job, _)) => "listJobExecutions",
        Route::Caller(CallerRoute::History(Kind::Call, _)) => "listCallExecutions",
        Route::Caller(CallerRoute::Output(..)) => "getJobOutput",
        Route::Caller(CallerRoute::ListSchedules(Kind::Job, _)) => "listJobSchedules",
        Route::Caller(CallerRoute::ListSchedules(Kind::Call, _)) => "listCallSchedules",
        Route::Caller(CallerRoute::CreateSchedule(Kind::Job, _)) => "createJobSchedule",
        Route::Caller(CallerRoute::CreateSchedule(Kind::Call, _)) => "createCallSchedule",
        Route::Caller(CallerRoute::PutSchedule(Kind::Job, _)) => "putJobSchedule",
        Route::Caller(CallerRoute::PutSchedule(Kind::Call, _)) => "putCallSchedule",
        Route::Caller(CallerRoute::ChangeSchedule(Kind::Job, ..)) => "changeJobSchedule",
        Route::Caller(CallerRoute::ChangeSchedule(Kind::Call, ..)) => "changeCallSchedule",
        Route::Caller(CallerRoute::DeleteSchedule(Kind::Job, ..)) => "deleteJobSchedule",
        Route::Caller(CallerRoute::DeleteSchedule(Kind::Call, ..)) => "deleteCallSchedule",
        Route::Caller(CallerRoute::ScheduleHistory(Kind::Job, ..)) => "listJobScheduleExecutions",
        Route::Caller(CallerRoute::ScheduleHistory(Kind::Call, ..)) => "listCallScheduleExecutions",
    }

    #[test]
    fn every_route_is_in_the_openapi_document_and_every_operation_there_is_a_route() {
        let document: serde_json::Value = serde_json::from_str(crate::web::api::DOCUMENT).unwrap();
        let mut described = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            let mut methods = Vec::new();
            for (method, operation) in operations.as_object().unwrap() {
                let method = method.to_ascii_uppercase();
                let route = Route::of(&method.parse().unwrap(), &path.replace(['{', '}'], "")).unwrap();
                assert_eq!(operation["operationId"], operation_of(&route), "{method} {path}");
                described.push(operation_of(&route));
                methods.push(method);
            }
            let other = Route::of(&Method::Options, path).unwrap_err();
            let NoRoute::OtherMethod(allow) = other else { panic!("{path}") };
            let allowed: Vec<&str> = allow.split(", ").filter(|method| *method != "HEAD").collect();
            methods.sort_by_key(|method| allowed.iter().position(|other| other == method));
            assert_eq!(methods, allowed, "{path}");
        }
        described.sort_unstable();
        let mut routes = OPERATIONS.to_vec();
        routes.sort_unstable();
        assert_eq!(described, routes);
    }
}
