//! Counts requests by method, route and status, without a lock.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::{RESPONSE_SECONDS, Registrar};

/// The route label of a request with an unknown path or method.
pub const UNKNOWN_ROUTE: &str = "unknown";
/// The route of a request that was refused before it was routed.
pub(super) const REFUSED: &str = "refused";

/// A bound for the number of routes, which is smaller.
const ROUTES_MAX: usize = 64;
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const STATUSES: [u16; 27] = [
    200, 201, 202, 204, 303, 304, 400, 401, 403, 404, 405, 408, 409, 410, 411, 412, 413, 414, 417, 422, 429,
    431, 500, 501, 502, 503, 505,
];
/// The label of all other methods and statuses.
const OTHER: &str = "other";

pub(super) struct Requests {
    total: IntCounterVec,
    seconds: HistogramVec,
    /// In the order of their first requests, after [`UNKNOWN_ROUTE`].
    routes: [OnceLock<Route>; ROUTES_MAX],
}

struct Route {
    template: &'static str,
    seconds: Histogram,
    /// By method and status; the last of each is [`OTHER`].
    answers: Box<[[OnceLock<IntCounter>; STATUSES.len() + 1]; METHODS.len() + 1]>,
}

impl Requests {
    pub(super) fn new(registrar: &Registrar) -> Self {
        Self {
            total: registrar.counters(
                "http_requests_total",
                "Requests answered, by route template; unknown: no such route or method; refused: not \
                 routed.",
                &["method", "route", "status"],
            ),
            seconds: registrar.histograms(
                "http_request_duration_seconds",
                "Time from a complete request until its response is ready to be written.",
                &["route"],
                RESPONSE_SECONDS,
            ),
            routes: [const { OnceLock::new() }; ROUTES_MAX],
        }
    }

    pub(super) fn answered(&self, method: &str, template: &'static str, status: u16, took: Option<Duration>) {
        let route = self.route(template);
        if let Some(took) = took {
            route.seconds.observe(took.as_secs_f64());
        }
        let method_at = METHODS.iter().position(|known| *known == method);
        let status_at = STATUSES.iter().position(|known| *known == status);
        let answers = &route.answers[method_at.unwrap_or(METHODS.len())];
        let counter = answers[status_at.unwrap_or(STATUSES.len())].get_or_init(|| {
            let method = method_at.map_or(OTHER, |at| METHODS[at]);
            let status = status_at.map_or_else(|| OTHER.to_owned(), |at| STATUSES[at].to_string());
            self.total.with_label_values(&[method, route.template, &status])
        });
        counter.inc();
    }

    /// The route with this template, which takes the first free place if it is new.
    fn route(&self, template: &'static str) -> &Route {
        let unknown = self.routes[0].get_or_init(|| self.new_route(UNKNOWN_ROUTE));
        let mut places = self.routes.iter().map(|place| place.get_or_init(|| self.new_route(template)));
        places.find(|route| route.template == template).unwrap_or(unknown)
    }

    fn new_route(&self, template: &'static str) -> Route {
        Route { template, seconds: self.seconds.with_label_values(&[template]), answers: Box::default() }
    }
}
