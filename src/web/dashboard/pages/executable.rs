//! One job or call: its definition, its schedules, how it has run.

use maud::{Markup, html};
use serde_json::{Value, json};
use tiny_http::Method;

use super::editor::POLICIES;
use super::executions;
use super::overview::next_of;
use crate::model::{Access, Kind, Timestamp};
use crate::platform::Named;
use crate::web::dashboard::ask::{Refusal, encoded, list, text};
use crate::web::dashboard::components::{
    Bar, bars, duration, fit, labels, length_of, share, state, strip, url, usual_length,
};
use crate::web::dashboard::layout::next_page;
use crate::web::dashboard::{Page, PageResult, Reply, View, plural};

/// Charts read two pages of the API, each with this many executions.
const CHARTED_PER_PAGE: usize = 500;
const PER_PAGE: usize = 20;
/// A page has the definition and charts too, so it shows few schedules at once.
const SCHEDULES_PER_PAGE: usize = 6;
/// The bytes of the descriptions of schedules.
const DESCRIPTIONS_BYTES: usize = 2000;
/// The most bytes of a command or a name of a header that are shown. The page to edit it has all of it.
const COMMAND_BYTES: usize = 1500;
const HEADERS_BYTES: usize = 1000;
const LABELS_BYTES: usize = 1000;
/// The most bars in the chart of durations.
const BARS: usize = 60;
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

pub(in crate::web::dashboard) fn show(view: &View<'_>, kind: Kind, guid: &str) -> PageResult {
    let target = format!("/{}/{}", plural(kind), encoded(guid));
    let it = view.get(&target)?;
    let number: usize = view.query.get("schedules").parse().unwrap_or(1).max(1);
    let schedules = view.get(&format!("{target}/schedules?page={number}&per_page={SCHEDULES_PER_PAGE}"))?;
    let count = schedules["pagination"]["total_results"].as_u64().unwrap_or(0);
    let has_more = number.saturating_mul(SCHEDULES_PER_PAGE) < usize::try_from(count).unwrap_or(usize::MAX);
    let next = view.next_query(PER_PAGE);
    let is_first = next.is_empty();
    let found =
        if is_first { view.runs_of(kind, guid, PER_PAGE) } else { view.get(&format!("/executions?{next}")) }?;
    let runs = list(&found, "resources");
    let page = format!("/dashboard{target}");
    let access = view.access_to(text(&it, "space_guid"));
    let main = html! {
        @if it["paused"] == true {
            div.notice role="status" {
                p { strong { "Paused." } " Its schedules do not fire; running it by hand works." }
            }
        }
        @if is_first {
            (definition(view, kind, &it))
            (schedules_of(view, &page, &it, list(&schedules, "resources"))?)
            @if has_more {
                @let next = (number + 1).to_string();
                div.pages {
                    a.button href={ (page) (view.query.with(&[("schedules", &next)])) } { "More schedules" }
                }
            }
            @if !runs.is_empty() { (charts(view, kind, guid)?) }
        }
        h2 { "Executions" }
        @if is_first && !runs.is_empty() { p { (strip(runs.get(..20).unwrap_or(runs))) } }
        (executions::table(view, runs, &page, access, false))
        @if let Some((_, query)) = next_of(&found) {
            (next_page(&page, &view.query, "next", query))
        }
    };
    let actions = html! {
        @if Access::Work <= access { (view.button(&page, "run", "Run now", "primary")) }
        @if Access::Support <= access {
            @if it["paused"] == true { (view.button(&page, "resume", "Resume", "")) }
            @else { (view.button(&page, "pause", "Pause", "")) }
        }
        @if Access::Work <= access {
            a.button href={ (page) "/edit" } { "Edit" }
            a.button.danger href={ (page) "/delete" } { "Delete" }
        }
    };
    Ok(Page::new(text(&it, "name"), main).with_actions(actions).into())
}

fn definition(view: &View<'_>, kind: Kind, it: &Value) -> Markup {
    let shown = |name: &str| match &it[name] {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    view.learn_names(Named::App, std::iter::once(text(it, "app_guid")));
    let secret = |is_set: bool| if is_set { "set, not shown" } else { "none" };
    html! {
        dl {
            dt { "App" } dd { bdi title=(text(it, "app_guid")) { (view.app_name(text(it, "app_guid"))) } }
            @if kind == Kind::Job {
                dt { "Command" } dd { code { bdi { (fit(text(it, "command"), COMMAND_BYTES)) } } }
                dt { "Memory, disk" } dd { (shown("memory_in_mb")) " MiB, " (shown("disk_in_mb")) " MiB" }
            } @else {
                dt { "Request" } dd { (shown("method")) " " (url(text(it, "url"))) }
                dt { "Authorization" } dd { (secret(!text(it, "auth_header").is_empty())) }
                @if it["signed"] == true { dt { "Signature" } dd { (secret(true)) } }
                @if let Some(headers) = it["headers"].as_object().filter(|headers| !headers.is_empty()) {
                    dt { "Headers" }
                    dd {
                        @for name in headers.keys() {
                            bdi { (fit(name, share(HEADERS_BYTES, headers.len()))) } " "
                        }
                    }
                }
                @if let Some(body) = it["body"].as_str() { dt { "Body" } dd { (body.len()) " bytes" } }
                dt { "Success" } dd { (shown("success_statuses")) }
            }
            dt { "Time-out" }
            dd { @if it["timeout_seconds"].is_null() { "default" } @else { (shown("timeout_seconds")) " s" } }
            dt { "When a run overlaps" } dd {
                @let policy = shown("concurrency_policy");
                @let known = POLICIES.iter().find(|(name, _)| *name == policy);
                (known.map_or(policy.as_str(), |(_, words)| words))
            }
            @if !it["retry"].is_null() { dt { "Retries" } dd {
                "up to " (it["retry"]["max_retries"]) ", after " (it["retry"]["backoff_seconds"]) " s to "
                (it["retry"]["max_backoff_seconds"]) " s"
                @if !it["retry"]["max_age_seconds"].is_null() {
                    ", for " (it["retry"]["max_age_seconds"]) " s at most"
                }
            } }
            @if !it["expect_success_within_seconds"].is_null() {
                dt { "Overdue" } dd { "without a success for " (it["expect_success_within_seconds"]) " s" }
            }
            @if it["metadata"]["labels"].as_object().is_some_and(|all| !all.is_empty()) {
                dt { "Labels" } dd { (labels(it, LABELS_BYTES)) }
            }
            dt { "Created" } dd { (view.absolute(text(it, "created_at"))) }
        }
    }
}

fn schedules_of(view: &View<'_>, page: &str, it: &Value, schedules: &[Value]) -> Result<Markup, Refusal> {
    let access = view.access_to(text(it, "space_guid"));
    Ok(html! {
        div.head {
            h2 { "Schedules" }
            @if Access::Work <= access { a.button href={ (page) "/schedules/new" } { "New schedule" } }
        }
        @if schedules.is_empty() {
            div.empty { p { "There is no schedule yet. It runs only when somebody runs it." } }
        } @else {
            @if Access::Support <= access { (view.form_of_rows()) }
            table {
                caption { "When it runs" }
                thead { tr {
                    th scope="col" { "Expression" }
                    th scope="col" { "In words" }
                    th scope="col" { "Next" }
                    th scope="col" { "Zone" }
                    @if Access::Support <= access { th.do scope="col" { "Actions" } }
                } }
                tbody { @for schedule in schedules {
                    @let meaning = meaning(view, schedule, 5);
                    @let edit = format!("{page}/schedules/{}", encoded(text(schedule, "guid")));
                    tr {
                        th scope="row" { code { bdi { (text(schedule, "expression")) } }
                            @if let Some(description) = schedule["description"].as_str() {
                                @let room = share(DESCRIPTIONS_BYTES, schedules.len());
                                div.sub { bdi { (fit(description, room)) } }
                            }
                        }
                        td data-label="In words" { div {
                            (text(&meaning, "description"))
                            @for warning in list(&meaning, "warnings").iter().take(3) {
                                div.sub { "⚠ " (text(warning, "message")) }
                            }
                        } }
                        td data-label="Next" {
                            @if schedule["enabled"] != true {
                                span.state.skipped { b aria-hidden="true" { "–" } "disabled" }
                            }
                            @else { details { summary { (view.time(text(schedule, "next_fire_time"))) }
                                ol { @for time in list(&meaning, "fire_times") {
                                    li { (view.plain(time.as_str().unwrap_or_default())) }
                                } }
                            } }
                        }
                        td data-label="Zone" { bdi { (schedule["timezone"].as_str().unwrap_or("UTC")) } }
                        @if Access::Support <= access { td.do data-label="Actions" { div.actions.small {
                            @if Access::Work <= access { a.button href=(edit) { "Edit" } }
                            @if schedule["enabled"] == true { (view.row_button(&edit, "disable", "Disable")) }
                            @else { (view.row_button(&edit, "enable", "Enable")) }
                        } } }
                    }
                } }
            }
        }
    })
}

/// The meaning of a schedule's expression: words, fire times, warnings.
fn meaning(view: &View<'_>, schedule: &Value, count: u32) -> Value {
    let mut target = format!("/cron/next?count={count}&expression={}", encoded(text(schedule, "expression")));
    for name in ["timezone", "dialect"] {
        if let Some(value) = schedule[name].as_str() {
            target = format!("{target}&{name}={}", encoded(value));
        }
    }
    view.get(&target).unwrap_or_default()
}

fn charts(view: &View<'_>, kind: Kind, guid: &str) -> Result<Markup, Refusal> {
    let mut part = view.runs_of(kind, guid, CHARTED_PER_PAGE)?;
    let mut runs = list(&part, "resources").to_vec();
    if let Some((_, query)) = next_of(&part) {
        part = view.get(&format!("/executions?{query}"))?;
        runs.extend(list(&part, "resources").iter().cloned());
    }
    let ended: Vec<(&Value, i64)> = runs
        .iter()
        .filter(|it| !it["execution_end_time"].is_null())
        .filter_map(|it| Some((it, length_of(it, view.now)?)))
        .collect();
    let mut last_day = String::new();
    let newest = ended.iter().take(BARS).rev();
    let lengths: Vec<Bar> = newest
        .map(|(it, length)| {
            let start = Timestamp::parse(text(it, "execution_start_time")).unwrap_or(view.now);
            let name = view.local(start).get(5..16).unwrap_or_default().to_owned();
            let day = name.get(..5).unwrap_or_default().to_owned();
            let label = if day == last_day { String::new() } else { day.clone() };
            last_day = day;
            let value = u64::try_from(length / 1_000_000).unwrap_or(0);
            Bar { name, value, told: duration(*length), label }
        })
        .collect();
    let longest = ended.iter().take(BARS).map(|(_, length)| *length).max();
    let mut hours = [0_u64; 24];
    let mut weekdays = [0_u64; 7];
    let mut failures = 0_u64;
    for it in runs.iter().filter(|it| text(it, "state") == "FAILED") {
        if let Some(start) = Timestamp::parse(text(it, "execution_start_time")) {
            let (hour, weekday) = view.hour_and_weekday(start);
            hours[hour.min(23)] += 1;
            weekdays[weekday.min(6)] += 1;
            failures += 1;
        }
    }
    let hours = hours.iter().enumerate().map(|(hour, count)| {
        let name = format!("{hour:02}:00");
        let label = if hour % 2 == 0 { name.clone() } else { String::new() };
        Bar::of_count(name, *count, label)
    });
    let hours: Vec<Bar> = hours.collect();
    let weekdays: Vec<Bar> =
        WEEKDAYS.iter().zip(weekdays).map(|(name, count)| Bar::of_count(*name, count, *name)).collect();
    let usual = usual_length(&runs, view.now).map(duration);
    Ok(html! {
        h2 { "How it runs" }
        p.quiet {
            "Of the newest " @if runs.len() == 1 { "1 execution" } @else { (runs.len()) " executions" } ", "
            (failures) " failed." @if let Some(usual) = usual { " The usual duration is " (usual) "." }
        }
        h3 { "Durations" @if let Some(longest) = longest { ", up to " (duration(longest)) } }
        (bars("Durations, newest on the right", "mark", &lengths))
        @if 0 < failures {
            h3 { "Failures by hour, " (view.zone_name) }
            (bars("Failures by hour of the day", "failed", &hours))
            h3 { "Failures by weekday" }
            (bars("Failures by weekday", "failed", &weekdays))
        }
    })
}

/// Runs it, pauses it, or ends the pause.
pub(in crate::web::dashboard) fn change(view: &View<'_>, kind: Kind, guid: &str) -> PageResult {
    let target = format!("/{}/{}", plural(kind), encoded(guid));
    match view.form.get("do") {
        "run" => {
            let made = view.send(Method::Post, &format!("{target}/execute"), &Value::Null)?;
            let to = executions::link_of(text(&made, "guid"));
            return Ok(Reply::Redirect(to));
        }
        "pause" => view.send(Method::Patch, &target, &json!({"paused": true}))?,
        "resume" => view.send(Method::Patch, &target, &json!({"paused": false}))?,
        // The buttons under the table of executions.
        "cancel" | "again" => return executions::change_many(view, &format!("/dashboard{target}")),
        _ => return Err(Refusal::new(422, "There is no such action.")),
    };
    Ok(Reply::Redirect(format!("/dashboard{target}")))
}

pub(in crate::web::dashboard) fn ask_delete(view: &View<'_>, kind: Kind, guid: &str) -> PageResult {
    let target = format!("/{}/{}", plural(kind), encoded(guid));
    let it = view.get(&target)?;
    view.must_work_in(text(&it, "space_guid"))?;
    let count = |page: Value| page["pagination"]["total_results"].as_u64().unwrap_or(0);
    let schedules = count(view.get(&format!("{target}/schedules?page=1&per_page=1"))?);
    let history = view.get(&format!("{target}/history?page=1&per_page=1"))?;
    let newest = list(&history, "resources").first().map(|it| text(it, "state").to_owned());
    let executions = count(history);
    let page = format!("/dashboard{target}");
    let main = html! {
        div.notice.bad {
            p { "With the " (kind.as_str()) " " strong { bdi { (text(&it, "name")) } } " you delete "
                strong { (schedules) " schedules" } " and " strong { (executions) " executions" }
                ". This cannot be undone."
            }
            @if let Some(newest) = newest.filter(|state| state == "RUNNING") {
                p { "The newest execution is " (state(&newest)) ". A task that runs goes on." }
            }
        }
        div.actions {
            (view.button(&format!("{page}/delete"), "delete", "Delete for good", "danger"))
            a href=(page) { "Back" }
        }
    };
    Ok(Page::new(format!("Delete {}", text(&it, "name")), main).still().into())
}

pub(in crate::web::dashboard) fn delete(view: &View<'_>, kind: Kind, guid: &str) -> PageResult {
    view.send(Method::Delete, &format!("/{}/{}", plural(kind), encoded(guid)), &Value::Null)?;
    Ok(Reply::Redirect(format!("/dashboard/{}", plural(kind))))
}
