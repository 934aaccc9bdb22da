//! Which request is for what. Pure.
//!
//! Invariant: every path outside [`Route`] is a 404, every other method of a known path a 405.

use tiny_http::Method;

use crate::base::metrics::UNKNOWN_ROUTE;
use crate::model::Kind;

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) enum Route {
    Root,
    Live,
    Ready,
    /// The OpenAPI document.
    Document,
    Metrics,
    NextFireTimes,
    List(Kind),
    Create(Kind),
    Get(Kind, String),
    Change(Kind, String),
    Delete(Kind, String),
    Execute(Kind, String),
    History(Kind, String),
    /// What the task of a job's execution has printed.
    Output(String, String),
    ListSchedules(Kind, String),
    CreateSchedule(Kind, String),
    ChangeSchedule(Kind, String, String),
    DeleteSchedule(Kind, String, String),
    ScheduleHistory(Kind, String, String),
    /// What follows `/v2`, for the service broker, whatever the method.
    Broker(Vec<String>),
}

/// Why a request is for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) enum NoRoute {
    UnknownPath,
    /// The path is known, with these methods (the text of `Allow`).
    OtherMethod(&'static str),
}

impl Route {
    /// The route of a method and a path, which is not decoded yet. `HEAD` works where `GET` does.
    pub(in crate::web) fn of(method: &Method, path: &str) -> Result<Self, NoRoute> {
        let path = path.strip_prefix('/').ok_or(NoRoute::UnknownPath)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let segments: Vec<String> =
            path.split('/').map(decode_segment).collect::<Option<_>>().ok_or(NoRoute::UnknownPath)?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let kind = match segments.first() {
            Some(&"jobs") => Kind::Job,
            Some(&"calls") => Kind::Call,
            _ => Kind::Job,
        };
        let get = matches!(method, Method::Get | Method::Head);
        let owned = |text: &str| text.to_owned();
        match segments.as_slice() {
            [""] if get => Ok(Self::Root),
            ["healthz"] if get => Ok(Self::Live),
            ["readyz"] if get => Ok(Self::Ready),
            ["metrics"] if get => Ok(Self::Metrics),
            ["openapi.json"] if get => Ok(Self::Document),
            ["cron", "next"] if get => Ok(Self::NextFireTimes),
            [""] | ["healthz"] | ["readyz"] | ["metrics"] | ["openapi.json"] | ["cron", "next"] => {
                Err(NoRoute::OtherMethod("GET, HEAD"))
            }
            ["jobs" | "calls"] => match method {
                Method::Post => Ok(Self::Create(kind)),
                _ if get => Ok(Self::List(kind)),
                _ => Err(NoRoute::OtherMethod("GET, HEAD, POST")),
            },
            ["jobs" | "calls", guid] if !guid.is_empty() => match method {
                Method::Patch => Ok(Self::Change(kind, owned(guid))),
                Method::Delete => Ok(Self::Delete(kind, owned(guid))),
                _ if get => Ok(Self::Get(kind, owned(guid))),
                _ => Err(NoRoute::OtherMethod("GET, HEAD, PATCH, DELETE")),
            },
            ["jobs" | "calls", guid, "execute"] => match method {
                Method::Post => Ok(Self::Execute(kind, owned(guid))),
                _ => Err(NoRoute::OtherMethod("POST")),
            },
            ["jobs" | "calls", guid, "history"] => match method {
                _ if get => Ok(Self::History(kind, owned(guid))),
                _ => Err(NoRoute::OtherMethod("GET, HEAD")),
            },
            ["jobs", guid, "history", execution, "output"] => match method {
                _ if get => Ok(Self::Output(owned(guid), owned(execution))),
                _ => Err(NoRoute::OtherMethod("GET, HEAD")),
            },
            ["jobs" | "calls", guid, "schedules"] => match method {
                Method::Post => Ok(Self::CreateSchedule(kind, owned(guid))),
                _ if get => Ok(Self::ListSchedules(kind, owned(guid))),
                _ => Err(NoRoute::OtherMethod("GET, HEAD, POST")),
            },
            ["jobs" | "calls", guid, "schedules", schedule] if !schedule.is_empty() => match method {
                Method::Patch => Ok(Self::ChangeSchedule(kind, owned(guid), owned(schedule))),
                Method::Delete => Ok(Self::DeleteSchedule(kind, owned(guid), owned(schedule))),
                _ => Err(NoRoute::OtherMethod("PATCH, DELETE")),
            },
            ["jobs" | "calls", guid, "schedules", schedule, "history"] => match method {
                _ if get => Ok(Self::ScheduleHistory(kind, owned(guid), owned(schedule))),
                _ => Err(NoRoute::OtherMethod("GET, HEAD")),
            },
            ["v2", path @ ..] => Ok(Self::Broker(path.iter().copied().map(owned).collect())),
            _ => Err(NoRoute::UnknownPath),
        }
    }

    /// The path with names in the place of what a client chose.
    pub(in crate::web) fn template(&self) -> &'static str {
        let of = |kind: &Kind, job: &'static str, call: &'static str| match kind {
            Kind::Job => job,
            Kind::Call => call,
        };
        match self {
            Self::Root => "/",
            Self::Live => "/healthz",
            Self::Ready => "/readyz",
            Self::Metrics => "/metrics",
            Self::Document => "/openapi.json",
            Self::NextFireTimes => "/cron/next",
            Self::Broker(path) => match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["catalog"] => "/v2/catalog",
                ["service_instances", _] => "/v2/service_instances/:id",
                ["service_instances", _, "last_operation"] => "/v2/service_instances/:id/last_operation",
                ["service_instances", _, "service_bindings", _] => {
                    "/v2/service_instances/:id/service_bindings/:id"
                }
                ["service_instances", _, "service_bindings", _, "last_operation"] => {
                    "/v2/service_instances/:id/service_bindings/:id/last_operation"
                }
                _ => UNKNOWN_ROUTE,
            },
            Self::List(kind) | Self::Create(kind) => of(kind, "/jobs", "/calls"),
            Self::Get(kind, _) | Self::Change(kind, _) | Self::Delete(kind, _) => {
                of(kind, "/jobs/:guid", "/calls/:guid")
            }
            Self::Execute(kind, _) => of(kind, "/jobs/:guid/execute", "/calls/:guid/execute"),
            Self::Output(..) => "/jobs/:guid/history/:guid/output",
            Self::History(kind, _) => of(kind, "/jobs/:guid/history", "/calls/:guid/history"),
            Self::ListSchedules(kind, _) | Self::CreateSchedule(kind, _) => {
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

/// Whether the path is that of the metrics, whatever the method.
pub(in crate::web) fn is_metrics(path: &str) -> bool {
    Route::of(&Method::Get, path) == Ok(Route::Metrics)
}

fn decode_segment(segment: &str) -> Option<String> {
    decode(segment, false)
}

/// Percent-decodes; in a query `+` is a blank. `None`: not well-formed, or not UTF-8.
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
        assert_eq!(of("GET", "/"), Ok(Route::Root));
        assert_eq!(of("GET", "/jobs"), Ok(Route::List(Kind::Job)));
        assert_eq!(of("HEAD", "/calls/"), Ok(Route::List(Kind::Call)));
        assert_eq!(of("GET", "/jobs/%61b"), Ok(Route::Get(Kind::Job, "ab".to_owned())));
        assert_eq!(of("POST", "/calls/g/execute/"), Ok(Route::Execute(Kind::Call, "g".to_owned())));
        assert_eq!(of("PUT", "/jobs"), Err(NoRoute::OtherMethod("GET, HEAD, POST")));
        assert_eq!(of("GET", "/jobs/g/execute"), Err(NoRoute::OtherMethod("POST")));
        for path in
            ["/job", "/jobs//", "/jobs/g/x", "/jobs/g/schedules/s/x", "//jobs", "*", "/jobs/%zz", "/jobs/%ff"]
        {
            assert_eq!(of("GET", path), Err(NoRoute::UnknownPath), "{path}");
        }
    }

    /// What each route is called in the OpenAPI document. A route that is not in here does not compile.
    macro_rules! operations {
        ($($route:pat => $operation:literal,)*) => {
            const OPERATIONS: &[&str] = &[$($operation),*];

            fn operation_of(route: &Route) -> &'static str {
                match route {
                    $($route => $operation,)*
                    // The service broker has a specification of its own.
                    Route::Broker(_) => "",
                }
            }
        };
    }

    operations! {
        Route::Root => "getRoot",
        Route::Live => "getHealth",
        Route::Ready => "getReadiness",
        Route::Document => "getDocument",
        Route::Metrics => "getMetrics",
        Route::NextFireTimes => "listFireTimes",
        Route::List(Kind::Job) => "listJobs",
        Route::List(Kind::Call) => "listCalls",
        Route::Create(Kind::Job) => "createJob",
        Route::Create(Kind::Call) => "createCall",
        Route::Get(Kind::Job, _) => "getJob",
        Route::Get(Kind::Call, _) => "getCall",
        Route::Change(Kind::Job, _) => "changeJob",
        Route::Change(Kind::Call, _) => "changeCall",
        Route::Delete(Kind::Job, _) => "deleteJob",
        Route::Delete(Kind::Call, _) => "deleteCall",
        Route::Execute(Kind::Job, _) => "executeJob",
        Route::Execute(Kind::Call, _) => "executeCall",
        Route::History(Kind::Job, _) => "listJobExecutions",
        Route::History(Kind::Call, _) => "listCallExecutions",
        Route::Output(..) => "getJobOutput",
        Route::ListSchedules(Kind::Job, _) => "listJobSchedules",
        Route::ListSchedules(Kind::Call, _) => "listCallSchedules",
        Route::CreateSchedule(Kind::Job, _) => "createJobSchedule",
        Route::CreateSchedule(Kind::Call, _) => "createCallSchedule",
        Route::ChangeSchedule(Kind::Job, ..) => "changeJobSchedule",
        Route::ChangeSchedule(Kind::Call, ..) => "changeCallSchedule",
        Route::DeleteSchedule(Kind::Job, ..) => "deleteJobSchedule",
        Route::DeleteSchedule(Kind::Call, ..) => "deleteCallSchedule",
        Route::ScheduleHistory(Kind::Job, ..) => "listJobScheduleExecutions",
        Route::ScheduleHistory(Kind::Call, ..) => "listCallScheduleExecutions",
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
