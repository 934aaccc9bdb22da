//! The entry point of requests: finds the route, has the API, the service broker or the dashboard answer, and
//! counts and logs the request.
//!
//! Invariant: the path is checked before the method, the method before the token, the token before the body.
//! A request without a required token is refused from its head alone.

use std::sync::Arc;
use std::time::Duration;

use log::{Level, debug, log};
use tiny_http::Header;

use super::api::error::{ApiError, Problem};
use super::api::{Api, Asker};
use super::broker::{Broker, BrokerError};
use super::dashboard::Dashboard;
use super::routes::{self, NoRoute, OpenRoute, Route};
use crate::base::logging::{beginning, milliseconds, on_behalf_of};
use crate::base::metrics::{UNKNOWN_ROUTE, metrics};
use crate::http::{Refusal, Request, Response, respond, respond_with, with_header};

/// The longest path in a log line.
const PATH_CHARS: usize = 256;

/// The resource named in an error that concerns none.
const REQUEST: &str = "request";

/// The address at which a request arrived, and what is served there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Everything.
    Whole,
    /// Everything but the metrics, which have their own port.
    WithoutMetrics,
    /// Only the metrics.
    MetricsOnly,
}

/// The API, the service broker and the dashboard.
pub struct Front {
    /// Answers everything else.
    pub api: Arc<Api>,
    /// Answers `/v2`; `None`: these paths do not exist.
    pub broker: Option<Broker>,
    /// Answers `/dashboard`; `None`: these paths do not exist.
    pub dashboard: Option<Dashboard>,
}

/// An answer, and for an error its reason for the log.
struct Answered {
    response: Response,
    reason: Option<String>,
}

impl Front {
    /// Answers a request.
    pub fn handle(&self, request: &Request, listener: Listener) -> Response {
        let _for = on_behalf_of(&request.id);
        let began_at = self.api.clock.monotonic();
        let route = self.route(request, listener);
        let template = template(&route);
        let mut asker = Asker::default();
        let resource = resource(&route);
        let refused = |error: &ApiError| self.refused(error, &request.headers, resource);
        let answered = match route {
            Err(error) => refused(&error),
            // A browser wants a page, not the health of the service.
            Ok(Route::Open(OpenRoute::Root)) if self.dashboard.is_some() && accepts_html(request) => {
                let response = with_header(respond(303), "Location", "/dashboard/");
                Answered { response: with_header(response, "Vary", "Accept"), reason: None }
            }
            Ok(Route::Dashboard(path)) => match &self.dashboard {
                None => refused(&ApiError::NoSuchPath),
                Some(dashboard) => {
                    let response = dashboard.answer(&self.api, request, &path, &mut asker);
                    Answered { response, reason: None }
                }
            },
            Ok(Route::Open(route)) => self
                .api
                .answer_open(route, request)
                .map_or_else(|error| refused(&error), |response| Answered { response, reason: None }),
            Ok(Route::Caller(route)) => self
                .api
                .answer(route, request, &mut asker)
                .map_or_else(|error| refused(&error), |response| Answered { response, reason: None }),
            Ok(Route::Broker(target)) => match &self.broker {
                None => refused(&ApiError::NoSuchPath),
                Some(broker) => broker.answer(&self.api, request, &target, &mut asker).map_or_else(
                    |error| broker_refused(&error),
                    |response| Answered { response, reason: None },
                ),
            },
        };
        self.log(request, template, answered, &asker, began_at)
    }

    /// Answers requests that need only their head, without a pool thread: `/healthz`, and errors that do not
    /// depend on the body. `None`: the request needs [`Front::handle`].
    pub fn answer_head(&self, request: &Request, listener: Listener) -> Option<Response> {
        let _for = on_behalf_of(&request.id);
        let began_at = self.api.clock.monotonic();
        let route = self.route(request, listener);
        let template = template(&route);
        let without_token = request.header("Authorization").is_none();
        let resource = resource(&route);
        let refused = |error: &ApiError| self.refused(error, &request.headers, resource);
        let answered = match route {
            Ok(Route::Open(OpenRoute::Live)) => return Some(health(request, template)),
            Err(error) => refused(&error),
            Ok(Route::Dashboard(_)) if self.dashboard.is_none() => refused(&ApiError::NoSuchPath),
            Ok(Route::Caller(_)) if without_token => refused(&ApiError::without_token()),
            Ok(Route::Broker(target)) if without_token => match &self.broker {
                None => refused(&ApiError::NoSuchPath),
                Some(_) => broker_refused(&Broker::refusal_without_credentials(&target, request)),
            },
            Ok(_) => return None,
        };
        Some(self.log(request, template, answered, &Asker::default(), began_at))
    }

    /// Gives a refusal by the HTTP server the same form as all errors, and counts it. The server has logged
    /// it.
    pub fn refuse(&self, refusal: &Refusal, headers: &[Header]) -> Response {
        metrics().refused(refusal.status);
        Problem::of_refusal(refusal).response(headers, REQUEST)
    }

    fn route(&self, request: &Request, listener: Listener) -> Result<Route, ApiError> {
        if !listener.serves(&request.path) {
            return Err(ApiError::NoSuchPath);
        }
        Route::of(&request.method, &request.path).map_err(|none| match none {
            NoRoute::UnknownPath => ApiError::NoSuchPath,
            NoRoute::OtherMethod(allow) => ApiError::MethodNotAllowed(allow),
        })
    }

    fn refused(&self, error: &ApiError, headers: &[Header], resource: &str) -> Answered {
        let response = error.response(headers, resource, self.api.platform.needed_to_enter());
        Answered { response, reason: Some(error.to_string()) }
    }

    fn log(
        &self,
        request: &Request,
        template: &'static str,
        answered: Answered,
        asker: &Asker,
        began_at: Duration,
    ) -> Response {
        let status = answered.response.status_code().0;
        let took = self.api.clock.monotonic().saturating_sub(began_at);
        metrics().answered(request.method.as_str(), template, status, took);
        let level = match status {
            500 => Level::Error,
            // A scrape every few seconds is not worth a line.
            200 if template == OpenRoute::Metrics.template() => Level::Debug,
            _ => Level::Info,
        };
        // Without the query, because clients put secrets there. Shortened, because a path may have 64 KiB.
        log!(
            level,
            method = request.method.as_str(), path = beginning(&request.path, PATH_CHARS), status,
            ms = milliseconds(took), user = asker.user.as_deref(),
            origin_platform = asker.origin_platform.as_deref(), origin_user = asker.origin_user.as_deref(),
            reason = answered.reason.as_deref();
            "request"
        );
        answered.response
    }
}

impl Listener {
    /// Whether this address serves the path.
    fn serves(self, path: &str) -> bool {
        match self {
            Self::Whole => true,
            Self::WithoutMetrics => !routes::is_metrics(path),
            Self::MetricsOnly => routes::is_metrics(path),
        }
    }
}

fn accepts_html(request: &Request) -> bool {
    request.header("Accept").is_some_and(|accept| accept.contains("text/html"))
}

fn template(route: &Result<Route, ApiError>) -> &'static str {
    route.as_ref().map_or(UNKNOWN_ROUTE, Route::template)
}

/// The resource of an error, in the terms of the Java client.
fn resource(route: &Result<Route, ApiError>) -> &'static str {
    match route {
        Ok(Route::Caller(route)) => route.resource(),
        _ => REQUEST,
    }
}

fn broker_refused(error: &BrokerError) -> Answered {
    Answered { response: error.response(), reason: Some(error.to_string()) }
}

fn health(request: &Request, template: &'static str) -> Response {
    metrics().answered(request.method.as_str(), template, 200, Duration::ZERO);
    debug!(method = request.method.as_str(), path = template, status = 200; "request");
    respond_with(200, "application/json", r#"{"status":"ok"}"#)
}
