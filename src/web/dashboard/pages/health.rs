//! The health of the service, for admins.
//!
//! Figures from the database come from the observer of `/metrics`, which queries it at most once a second and
//! for at most half a second, and from one query of the leases. The others are counted in the process.

use std::io::Read;
use std::sync::Arc;

use maud::{Markup, html};
use serde_json::Value;

use crate::base::metrics::{Readings, Upstream, metrics};
use crate::config::SettingInForce;
use crate::model::Kind;
use crate::store::Instance;
use crate::web::api::Api;
use crate::web::api::error::ApiError;
use crate::web::dashboard::ask::Refusal;
use crate::web::dashboard::components::{cut, duration};
use crate::web::dashboard::{PATIENCE, Page, PageResult, View};

/// The most instances shown.
const INSTANCES_MAX: u32 = 100;
/// The most characters of a setting shown. An icon may be a long URL.
const VALUE_CHARS_MAX: usize = 200;
/// The most bytes of an answer about readiness that are read.
const READY_BYTES_MAX: u64 = 64 * 1024;
/// Counting in the database stops here.
const COUNT_MAX: u64 = 100_000;
/// How many of the upstreams belong to Cloud Foundry.
const OF_CLOUD_FOUNDRY: usize = 3;
const UPSTREAMS: [(Upstream, &str); 6] = [
    (Upstream::CloudFoundry, "Cloud Foundry"),
    (Upstream::Uaa, "UAA"),
    (Upstream::LogCache, "Log Cache"),
    (Upstream::Call, "Targets of calls"),
    (Upstream::Notification, "Notification receivers"),
    (Upstream::Heartbeat, "Heartbeat"),
];

pub(in crate::web::dashboard) fn show(view: &View<'_>) -> PageResult {
    if !view.session.admin {
        return Err(Refusal::new(404, "There is no such page."));
    }
    let api = Arc::clone(view.api);
    let ready = view.dashboard.askers.ask("readiness", PATIENCE, move || ready(&api));
    let (is_ready, is_well, told) = ready.unwrap_or_else(|| {
        (false, false, "The database and the platform have not answered in time.".to_owned())
    });
    let readings = view.api.metrics_access.observer.readings();
    let main = html! {
        @if is_well {
            p { span.state.succeeded { b aria-hidden="true" { "✓" } "ready" } " " (told) }
        } @else {
            div.notice.bad role="alert" { p {
                @if is_ready { span.state.succeeded { b aria-hidden="true" { "✓" } "ready" } }
                @else { span.state.failed { b aria-hidden="true" { "✕" } "not ready" } }
                " " (told)
            } }
        }
        dl {
            dt { "Version" } dd { (env!("CARGO_PKG_VERSION")) }
            dt { "Lateness, median" } dd { (lateness(0.5)) }
            dt { "Lateness, p99" } dd { (lateness(0.99)) }
            @if let Some(readings) = &readings {
                dt { "Database" } dd { (size(readings.size_bytes)) }
                dt { "Due schedules" } dd { (count(readings.due_schedules)) }
                dt { "Running tasks" } dd { (count(readings.running_tasks)) }
                dt { "Deliveries waiting" } dd { (count(readings.waiting_deliveries)) }
            } @else {
                dt { "Database" } dd { "does not say its size and the backlog in time" }
            }
        }
        p.quiet { "Lateness and requests are of this instance, since it started. Numbers for graphs are at "
            code { "/metrics" } "." }
        (workers(readings.as_ref()))
        h2 { "Instances" }
        @match view.api.store.instances(INSTANCES_MAX) {
            Ok(instances) if instances.is_empty() => {
                p.quiet { "One process, which has the database to itself." }
            }
            Ok(instances) => (leases(&instances)),
            Err(error) => p.quiet { "The database is not available: " (error) },
        }
        h2 { "Requests to other servers" }
        (requests(view.dashboard.is_standalone))
        h2 { "Settings in force" }
        (settings(&view.api.settings))
    };
    Ok(Page::new("Health", main).into())
}

/// Whether the service is ready, whether the platform is well too, and both in words.
fn ready(api: &Api) -> (bool, bool, String) {
    let answer = match api.ready() {
        Ok(response) => response,
        Err(error) => return (false, false, ApiError::detail(&error)),
    };
    let mut text = String::new();
    // Its body is in memory.
    let _ = answer.into_reader().take(READY_BYTES_MAX).read_to_string(&mut text);
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    let (is_well, platform) = match answer["platform"].as_str() {
        Some("ok") => (true, ", and the platform answers.".to_owned()),
        Some("misconfigured") => {
            let fault = answer["platform_fault"].as_str().unwrap_or("no cause");
            (false, format!(". The platform does not accept the service: {fault}."))
        }
        _ => (
            false,
            ". The platform does not answer: schedules fire, and tasks start when it does.".to_owned(),
        ),
    };
    (true, is_well, format!("The database accepts writes{platform}"))
}

fn lateness(share: f64) -> Markup {
    match metrics().lateness(share) {
        None => html! { span.quiet { "nothing has started on a schedule yet" } },
        Some(seconds) if seconds.is_infinite() => html! { "over 1 h" },
        Some(seconds) => html! { "at most " (duration((seconds * 1e9) as i64)) },
    }
}

fn count(count: u64) -> String {
    if COUNT_MAX <= count { format!("{COUNT_MAX}+") } else { count.to_string() }
}

fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    const GIB: u64 = 1024 * MIB;
    match bytes {
        ..MIB => format!("{} KiB", bytes.div_ceil(KIB)),
        MIB..GIB => format!("{}.{} MiB", bytes / MIB, bytes % MIB * 10 / MIB),
        _ => format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB),
    }
}

fn workers(readings: Option<&Readings>) -> Markup {
    html! {
        h2 { "Workers and backlog" }
        table {
            caption { "Worker threads of this instance, and what waits for one in all instances" }
            thead { tr { th scope="col" { "Kind" } th.n scope="col" { "Busy" } th.n scope="col" { "Of" }
                th.n scope="col" { "Backlog" } } }
            tbody { @for (kind, busy, all) in metrics().busy_workers() { tr {
                th scope="row" { @match kind { Kind::Job => "Jobs", Kind::Call => "Calls" } }
                td.n data-label="Busy" { (busy) }
                td.n data-label="Of" { (all) }
                td.n data-label="Backlog" { @match readings {
                    Some(it) => (count(match kind { Kind::Job => it.due_jobs, Kind::Call => it.due_calls })),
                    None => "–",
                } }
            } } }
        }
    }
}

fn leases(instances: &[Instance]) -> Markup {
    html! { table {
        caption { "Processes that share the database, and how long their leases last" }
        thead { tr { th scope="col" { "Lease" } th scope="col" { "Name" } th.n scope="col" { "Lasts" }
            th scope="col" { "State" } } }
        tbody { @for it in instances { tr {
            th scope="row" { (it.fence) @if it.is_own { " (this one)" } }
            td data-label="Name" {
                @match &it.name { Some(name) => bdi { (name) }, None => span.quiet { "–" } }
            }
            td.n data-label="Lasts" { @if 0 < it.lasts { (duration(it.lasts)) } @else { "–" } }
            td data-label="State" {
                @if 0 < it.lasts { span.state.succeeded { b aria-hidden="true" { "✓" } "held" } }
                @else { span.state.failed { b aria-hidden="true" { "✕" } "ended" } }
            }
        } } }
    } }
}

/// Without a Cloud Foundry there are none to it.
fn requests(is_standalone: bool) -> Markup {
    let upstreams = if is_standalone { &UPSTREAMS[OF_CLOUD_FOUNDRY..] } else { &UPSTREAMS[..] };
    let outcomes = metrics().requests_to(Upstream::CloudFoundry).map(|(outcome, _)| outcome);
    html! { table {
        caption { "Requests by class of status; none: no complete response" }
        thead { tr { th scope="col" { "To" } @for outcome in outcomes { th.n scope="col" { (outcome) } } } }
        tbody { @for (upstream, name) in upstreams { tr {
            th scope="row" { (name) }
            @for (outcome, count) in metrics().requests_to(*upstream) {
                td.n data-label=(outcome) { (count) }
            }
        } } }
    } }
}

fn settings(settings: &[SettingInForce]) -> Markup {
    html! { table {
        caption { "Values. Of secrets and of URLs that may contain one: only whether they are set" }
        thead { tr { th scope="col" { "Setting" } th scope="col" { "Value" } th scope="col" { "From" } } }
        tbody { @for it in settings { tr {
            th scope="row" { code { (it.variable) } }
            td data-label="Value" {
                @if it.value.is_empty() {
                    span.quiet { "–" }
                } @else {
                    bdi { (cut(&it.value, VALUE_CHARS_MAX)) }
                }
            }
            td data-label="From" { @if it.is_set { "set" } @else { span.quiet { "default" } } }
        } } }
    } }
}
