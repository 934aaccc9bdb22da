//! The metrics, and the text of `GET /metrics`.
//!
//! Invariant: counting takes a few atomic operations. Clients cannot add label values, because routes are
//! templates, and methods and statuses come from fixed lists, so the size of the text is bounded.
//!
//! Like the log, the metrics are global to the process ([`metrics`]). `observer` reads the gauges that come
//! from the database.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::core::{Collector, Metric};
use prometheus::proto::MetricFamily;
use prometheus::{
    Counter, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

use crate::model::{ExecutionState, Kind, Timestamp};

mod process;
mod requests;

use requests::Requests;
pub use requests::UNKNOWN_ROUTE;

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Buckets for our own responses.
const RESPONSE_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Buckets for other servers: Cloud Foundry, UAA, the targets of calls.
const UPSTREAM_SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Buckets for lateness: from "on time" to "the service was down".
const LATENESS_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0];

const KINDS: [Kind; 2] = [Kind::Job, Kind::Call];
const STATES: [ExecutionState; 5] = ExecutionState::ALL;
const UPSTREAMS: [Upstream; 6] = [
    Upstream::CloudFoundry,
    Upstream::Uaa,
    Upstream::Call,
    Upstream::LogCache,
    Upstream::Notification,
    Upstream::Heartbeat,
];
const DELIVERY_OUTCOMES: [DeliveryOutcome; 2] = [DeliveryOutcome::Delivered, DeliveryOutcome::Failed];
/// The outcome of an outgoing request: the class of its status (one above 599 counts as 5xx), or no response.
const OUTCOMES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];

/// A server that the service sends requests to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// The API of Cloud Foundry.
    CloudFoundry,
    /// The UAA.
    Uaa,
    /// The target of a call.
    Call,
    /// Log Cache, which has the output of tasks.
    LogCache,
    /// The receiver of a notification.
    Notification,
    /// The monitor at `HEARTBEAT_URL`.
    Heartbeat,
}

/// The outcome of an attempt to deliver a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The receiver accepted it.
    Delivered,
    /// The receiver refused it, or did not answer.
    Failed,
}

impl Upstream {
    const fn as_str(self) -> &'static str {
        match self {
            Self::CloudFoundry => "cf",
            Self::Uaa => "uaa",
            Self::Call => "call",
            Self::LogCache => "log_cache",
            Self::Notification => "notification",
            Self::Heartbeat => "heartbeat",
        }
    }
}

/// The gauges that come from the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readings {
    /// Executions of jobs that are due and not dispatched, counted up to a bound.
    pub due_jobs: u64,
    /// The same for calls.
    pub due_calls: u64,
    /// Schedules whose fire time has come and is not claimed yet, counted up to a bound.
    pub due_schedules: u64,
    /// Running tasks, counted up to a bound.
    pub running_tasks: u64,
    /// Deliveries waiting to be sent, counted up to a bound.
    pub waiting_deliveries: u64,
    /// The size of the database.
    pub size_bytes: u64,
}

/// All metrics that the program counts itself.
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    executions: [[IntCounter; STATES.len()]; KINDS.len()],
    lateness: [Histogram; KINDS.len()],
    workers: [IntGauge; KINDS.len()],
    workers_busy: [IntGauge; KINDS.len()],
    upstream: [[IntCounter; OUTCOMES.len()]; UPSTREAMS.len()],
    upstream_seconds: [Histogram; UPSTREAMS.len()],
    deliveries: [IntCounter; DELIVERY_OUTCOMES.len()],
    start_time: IntGauge,
}

/// The metrics of this process.
pub fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
    &METRICS
}

impl Metrics {
    fn new() -> Self {
        let registrar = Registrar { registry: Registry::new() };
        registrar
            .gauges("build_info", "Always 1; the version is in the label.", &["version"])
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        let executions = registrar.counters(
            "executions_total",
            "State changes of executions, by the new state; PENDING means created.",
            &["kind", "state"],
        );
        let lateness = registrar.histograms(
            "execution_lateness_seconds",
            "Time from the scheduled time of an execution to its first attempt; manual executions are not \
             counted.",
            &["kind"],
            LATENESS_SECONDS,
        );
        let workers = registrar.gauges(
            "workers",
            "Threads that perform calls (call) or create tasks (job).",
            &["kind"],
        );
        let busy = registrar.gauges("workers_busy", "Worker threads that are busy.", &["kind"]);
        let upstream = registrar.counters(
            "upstream_requests_total",
            "Requests to other servers, redirects included, by class of the response status; none: no \
             complete response.",
            &["upstream", "outcome"],
        );
        let upstream_seconds = registrar.histograms(
            "upstream_request_duration_seconds",
            "Time from sending a request to another server until its complete response or failure.",
            &["upstream"],
            UPSTREAM_SECONDS,
        );
        let deliveries = registrar.counters(
            "notification_deliveries_total",
            "Attempts to deliver notifications, by outcome.",
            &["outcome"],
        );
        let start_time = registrar.own(IntGauge::with_opts(Opts::new(
            "process_start_time_seconds",
            "Start time of the service, in seconds since 1970.",
        )));
        Self {
            requests: Requests::new(&registrar),
            executions: KINDS.map(|kind| {
                STATES.map(|state| executions.with_label_values(&[kind.as_str(), state.as_str()]))
            }),
            lateness: KINDS.map(|kind| lateness.with_label_values(&[kind.as_str()])),
            workers: KINDS.map(|kind| workers.with_label_values(&[kind.as_str()])),
            workers_busy: KINDS.map(|kind| busy.with_label_values(&[kind.as_str()])),
            upstream: UPSTREAMS
                .map(|to| OUTCOMES.map(|outcome| upstream.with_label_values(&[to.as_str(), outcome]))),
            upstream_seconds: UPSTREAMS.map(|to| upstream_seconds.with_label_values(&[to.as_str()])),
            deliveries: DELIVERY_OUTCOMES.map(|outcome| {
                deliveries.with_label_values(&[match outcome {
                    DeliveryOutcome::Delivered => "delivered",
                    DeliveryOutcome::Failed => "failed",
                }])
            }),
            start_time,
            registry: registrar.registry,
        }
    }

    /// Records the start of the service and its number of threads for each kind.
    pub fn started(&self, now: Timestamp, threads: impl Fn(Kind) -> usize) {
        self.start_time.set(now.seconds());
        for (kind, workers) in KINDS.iter().zip(&self.workers) {
            workers.set(i64::try_from(threads(*kind)).unwrap_or(i64::MAX));
        }
    }

    /// Counts a response. `route` is the template of a route, or [`UNKNOWN_ROUTE`].
    pub fn answered(&self, method: &str, route: &'static str, status: u16, took: Duration) {
        self.requests.answered(method, route, status, Some(took));
    }

    /// Counts a request that was refused before it was routed, or because the service is overloaded.
    pub fn refused(&self, status: u16) {
        self.requests.answered("", requests::REFUSED, status, None);
    }

    /// Counts a state change of an execution.
    pub fn execution(&self, kind: Kind, state: ExecutionState) {
        self.executions[kind as usize][state as usize].inc();
    }

    /// Counts executions that were cancelled together.
    pub fn cancelled(&self, kind: Kind, count: u64) {
        self.executions[kind as usize][ExecutionState::Failed as usize].inc_by(count);
    }

    /// Records how late the first attempt of an execution began.
    pub fn late_by(&self, kind: Kind, lateness: Duration) {
        self.lateness[kind as usize].observe(lateness.as_secs_f64());
    }

    /// Counts a worker as busy until the result is dropped, which also happens in a panic.
    pub fn busy(&self, kind: Kind) -> Busy<'_> {
        let gauge = &self.workers_busy[kind as usize];
        gauge.inc();
        Busy(gauge)
    }

    /// Counts an outgoing request. `status` is `None` without a complete response.
    pub fn asked(&self, upstream: Upstream, status: Option<u16>, took: Duration) {
        let none = OUTCOMES.len() - 1;
        let outcome = status.map_or(none, |status| usize::from(status / 100).clamp(1, none) - 1);
        self.upstream[upstream as usize][outcome].inc();
        self.upstream_seconds[upstream as usize].observe(took.as_secs_f64());
    }

    /// Counts an attempt to deliver a notification.
    pub fn delivered(&self, outcome: DeliveryOutcome) {
        self.deliveries[outcome as usize].inc();
    }

    /// The lateness, in seconds, that this share (0 to 1) of the first attempts since the start did not
    /// exceed: the upper bound of its bucket. `None`: there were none. Infinite: beyond the last bucket.
    pub fn lateness(&self, share: f64) -> Option<f64> {
        let of_kinds = self.lateness.each_ref().map(|it| it.metric());
        let histograms = || of_kinds.iter().map(|it| it.get_histogram());
        let total: u64 = histograms().map(|it| it.get_sample_count()).sum();
        if total == 0 {
            return None;
        }
        let within = |bucket: usize| -> u64 {
            histograms().filter_map(|it| it.get_bucket().get(bucket)).map(|it| it.cumulative_count()).sum()
        };
        let found = (0..LATENESS_SECONDS.len()).find(|bucket| share * total as f64 <= within(*bucket) as f64);
        Some(found.map_or(f64::INFINITY, |bucket| LATENESS_SECONDS[bucket]))
    }

    /// For each kind, how many of its threads are busy, and how many there are.
    pub fn busy_workers(&self) -> [(Kind, i64, i64); KINDS.len()] {
        KINDS.map(|kind| (kind, self.workers_busy[kind as usize].get(), self.workers[kind as usize].get()))
    }

    /// Requests to another server since the start, by outcome: `2xx`, …, or `none` without a complete
    /// response.
    pub fn requests_to(&self, upstream: Upstream) -> [(&'static str, u64); OUTCOMES.len()] {
        let mut counts = OUTCOMES.map(|outcome| (outcome, 0));
        for ((_, count), counter) in counts.iter_mut().zip(&self.upstream[upstream as usize]) {
            *count = counter.get();
        }
        counts
    }

    /// Everything in the text format of Prometheus. `readings` is `None` if the database did not answer in
    /// time.
    pub fn text(&self, readings: Option<&Readings>) -> String {
        let mut families = self.registry.gather();
        families.extend(process::families());
        families.extend(database_families(readings));
        let mut text = String::new();
        // It fails only for a family without a name or metric, and then the text ends there.
        let _ = TextEncoder::new().encode_utf8(&families, &mut text);
        text
    }
}

/// See [`Metrics::busy`].
pub struct Busy<'a>(&'a IntGauge);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn database_families(readings: Option<&Readings>) -> Vec<MetricFamily> {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let mut families = gauge(
        "ocf_scheduler_database_up",
        "1 if the database answered in time; 0 if not, and then the metrics from the database are missing.",
        i64::from(readings.is_some()),
    );
    let Some(readings) = readings else { return families };
    let backlog = Opts::new(
        "ocf_scheduler_due_backlog",
        "Executions that are due and wait for a worker; counted up to 100000.",
    );
    if let Ok(backlog) = IntGaugeVec::new(backlog, &["kind"]) {
        for (kind, count) in [(Kind::Job, readings.due_jobs), (Kind::Call, readings.due_calls)] {
            backlog.with_label_values(&[kind.as_str()]).set(number(count));
        }
        families.extend(backlog.collect());
    }
    families.extend(gauge(
        "ocf_scheduler_due_schedules",
        "Schedules that are due and have no execution yet; counted up to 100000.",
        number(readings.due_schedules),
    ));
    families.extend(gauge(
        "ocf_scheduler_running_tasks",
        "Running tasks; counted up to 100000.",
        number(readings.running_tasks),
    ));
    families.extend(gauge(
        "ocf_scheduler_notification_deliveries_waiting",
        "Notification deliveries waiting to be sent; counted up to 100000.",
        number(readings.waiting_deliveries),
    ));
    families.extend(gauge(
        "ocf_scheduler_database_size_bytes",
        "Size of the database in bytes, without the write-ahead log.",
        number(readings.size_bytes),
    ));
    families
}

/// A gauge that is used for one scrape.
fn gauge(name: &str, help: &str, value: i64) -> Vec<MetricFamily> {
    let gauge = IntGauge::with_opts(Opts::new(name, help));
    gauge.map_or_else(
        |_| Vec::new(),
        |gauge| {
            gauge.set(value);
            gauge.collect()
        },
    )
}

/// A gauge of fractions that is used for one scrape.
fn gauge_of_fractions(name: &str, help: &str, value: f64) -> Vec<MetricFamily> {
    Gauge::with_opts(Opts::new(name, help)).map_or_else(
        |_| Vec::new(),
        |gauge| {
            gauge.set(value);
            gauge.collect()
        },
    )
}

/// A counter that is used for one scrape, because its value is counted elsewhere.
fn counter(name: &str, help: &str, value: f64) -> Vec<MetricFamily> {
    Counter::with_opts(Opts::new(name, help)).map_or_else(
        |_| Vec::new(),
        |counter| {
            counter.inc_by(value);
            counter.collect()
        },
    )
}

/// Creates metrics with the prefix `ocf_scheduler_`, and registers them.
struct Registrar {
    registry: Registry,
}

impl Registrar {
    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.own(IntCounterVec::new(Self::opts(name, help), labels))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.own(IntGaugeVec::new(Self::opts(name, help), labels))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], bounds: &[f64]) -> HistogramVec {
        let opts = HistogramOpts::from(Self::opts(name, help)).buckets(bounds.to_vec());
        self.own(HistogramVec::new(opts, labels))
    }

    fn opts(name: &str, help: &str) -> Opts {
        Opts::new(format!("ocf_scheduler_{name}"), help)
    }

    #[expect(clippy::expect_used, reason = "names and labels are constants, and a test creates all of them")]
    fn own<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let collector = made.expect("a name, a label and bounds that Prometheus takes");
        self.registry.register(Box::new(collector.clone())).expect("a name of its own");
        collector
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_methods_and_statuses_share_one_value() {
        let metrics = Metrics::new();
        for number in 0..1000_u16 {
            metrics.answered(&format!("BREW{number}"), "/jobs", number, Duration::ZERO);
        }
        let text = metrics.text(None);
        let of = |text: &str| {
            text.lines().filter(|line| line.starts_with("ocf_scheduler_http_requests_total{")).count()
        };
        assert!(of(&text) < 30, "{text}");
        assert!(text.contains(r#"{method="other",route="/jobs",status="other"}"#), "{text}");
        // All that the service answers.
        for status in [200, 201, 202, 204, 303, 304, 401, 403, 404, 409, 410, 412, 413, 422, 429, 503] {
            assert!(text.contains(&format!(r#"status="{status}"}}"#)), "{status}: {text}");
        }
    }

    #[test]
    fn routes_beyond_the_maximum_count_as_unknown() {
        let metrics = Metrics::new();
        for number in 0..100 {
            metrics.answered("GET", format!("/{number}").leak(), 200, Duration::ZERO);
        }
        let text = metrics.text(None);
        assert!(text.contains(r#"route="/1""#) && !text.contains(r#"route="/99""#), "{text}");
    }

    #[test]
    fn a_share_of_the_starts_is_as_late_as_its_bucket() {
        let metrics = Metrics::new();
        assert_eq!(metrics.lateness(0.5), None);
        for (kind, millis) in [(Kind::Job, 3), (Kind::Call, 20), (Kind::Call, 700), (Kind::Job, 40)] {
            metrics.late_by(kind, Duration::from_millis(millis));
        }
        assert_eq!((metrics.lateness(0.5), metrics.lateness(0.99)), (Some(0.025), Some(1.0)));
        metrics.late_by(Kind::Job, Duration::from_secs(10_000));
        assert_eq!(metrics.lateness(0.99), Some(f64::INFINITY));
    }

    #[test]
    fn an_outcome_is_the_class_of_the_status_or_none() {
        let metrics = Metrics::new();
        for status in [Some(204), Some(299), Some(302), Some(500), None, Some(999), Some(0)] {
            metrics.asked(Upstream::Uaa, status, Duration::ZERO);
        }
        let text = metrics.text(None);
        for (outcome, count) in [("2xx", 2), ("3xx", 1), ("5xx", 2), ("4xx", 0), ("none", 1), ("1xx", 1)] {
            let line = format!(
                "ocf_scheduler_upstream_requests_total{{outcome=\"{outcome}\",upstream=\"uaa\"}} {count}\n"
            );
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}
