//! The executions of a space, or of all, with a filter in the URL.

use maud::{Markup, html};
use serde_json::Value;
use tiny_http::Method;

use super::overview::{name_or_guid, next_of};
use crate::model::{Access, Kind, Timestamp};
use crate::web::dashboard::ask::{Refusal, encoded, text};
use crate::web::dashboard::components::{STATES, cut, duration, fit, length_of, share, state};
use crate::web::dashboard::layout::next_page;
use crate::web::dashboard::{Page, PageResult, Reply, View, kind_of, plural};

const PER_PAGE: usize = 25;
const DAY: i64 = 86_400;
/// The most characters of a message in a list. The page of the execution has all of it.
pub(super) const MESSAGE_CHARS_MAX: usize = 160;
/// The bytes of the names in a list, of its messages, and of the users in it.
const NAMES_BYTES: usize = 10_000;
const MESSAGES_BYTES: usize = 6000;
const USERS_BYTES: usize = 2000;
/// The bytes of a name in the label of a check box.
const PICK_BYTES: usize = 48;
/// The path of the page.
pub(in crate::web::dashboard) const LIST: &str = "/dashboard/executions";

/// The job or call that an execution, or a fire time, is of.
pub(in crate::web::dashboard) fn owner_of(value: &Value) -> Option<(Kind, &str)> {
    let job = value["job_guid"].as_str().map(|guid| (Kind::Job, guid));
    job.or_else(|| value["call_guid"].as_str().map(|guid| (Kind::Call, guid)))
}

/// The page of an execution.
pub(in crate::web::dashboard) fn link_of(execution: &str) -> String {
    format!("/dashboard/executions/{}", encoded(execution))
}

pub(in crate::web::dashboard) fn row_name(execution: &Value) -> String {
    name_or_guid(execution)
}

pub(in crate::web::dashboard) fn list(view: &View<'_>) -> PageResult {
    let filter = html! { (presets(view)) (filter_form(view)) };
    let query = match view.next_query(PER_PAGE).as_str() {
        "" => wanted(view)?,
        next => next.to_owned(),
    };
    let found = view.get(&format!("/executions?{query}"))?;
    let results = html! {
        (table(view, rows(&found), LIST, view.access(), true))
        @if found["pagination"]["more"] == true {
            p.quiet { "There may be more. The next page continues the search." }
        }
        @if let Some((_, query)) = next_of(&found) {
            (next_page("/dashboard/executions", &view.query, "next", query))
        }
    };
    Ok(Page::new("Executions", html! { (filter) (results) }).into())
}

fn rows(page: &Value) -> &[Value] {
    page["resources"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Cancels or repeats the ticked executions. `back` is the page with the check boxes.
pub(in crate::web::dashboard) fn change_many(view: &View<'_>, back: &str) -> PageResult {
    let mut refused = Vec::new();
    for pick in view.form.all("pick").take(PER_PAGE) {
        let (execution, owner) = pick.split_once(' ').unwrap_or((pick, ""));
        if let Err(refusal) = change_one(view, execution, owner) {
            refused.push(refusal);
        }
    }
    match refused.pop() {
        Some(refusal) => Err(refusal),
        None => Ok(Reply::Redirect(format!("{back}{}", view.query.with(&[])))),
    }
}

/// Applies the pressed button to one execution of `owner`, for example `jobs/GUID`. Returns the guid of the
/// execution to show.
pub(super) fn change_one(view: &View<'_>, execution: &str, owner: &str) -> Result<String, Refusal> {
    let unknown = || Refusal::new(422, "There is no such action.");
    match view.form.get("do") {
        "cancel" => {
            let target = format!("/executions/{}/cancel", encoded(execution));
            view.send(Method::Post, &target, &Value::Null).map(|_| execution.to_owned())
        }
        "again" => {
            let (kind, guid) = owner.split_once('/').ok_or_else(unknown)?;
            let kind = kind_of(kind).ok_or_else(unknown)?;
            let target = format!("/{}/{}/execute", plural(kind), encoded(guid));
            let made = view.send(Method::Post, &target, &Value::Null)?;
            Ok(text(&made, "guid").to_owned())
        }
        _ => Err(unknown()),
    }
}

/// The query of the API for this filter.
fn wanted(view: &View<'_>) -> Result<String, Refusal> {
    let mut query = format!("per_page={PER_PAGE}");
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() {
            query = format!("{query}&{name}={}", encoded(value));
        }
    };
    add("space_guid", view.space());
    add("states", view.query.get("state"));
    add("kinds", view.query.get("kind"));
    add("name", view.query.get("name"));
    for (field, parameter) in [("from", "created_ats[gt]"), ("to", "created_ats[lt]")] {
        let given = view.query.get(field);
        if given.is_empty() {
            continue;
        }
        let time = instant_of(view, given).ok_or_else(|| {
            Refusal::new(422, "Write a time as 2026-03-01T18:00, in the time zone shown above.")
        })?;
        add(parameter, &time.to_string());
    }
    Ok(query)
}

/// The instant of a local time like `2026-03-01T18:00` in the chosen zone.
pub(super) fn instant_of(view: &View<'_>, local: &str) -> Option<Timestamp> {
    let local = local.replace(' ', "T");
    let local = if local.len() == 16 { format!("{local}:00Z") } else { format!("{local}Z") };
    let as_utc = Timestamp::parse(&local)?.seconds();
    let first = as_utc - i64::from(view.zone.offset_at(as_utc));
    Timestamp::from_seconds(as_utc - i64::from(view.zone.offset_at(first)))
}

fn presets(view: &View<'_>) -> Markup {
    let local = |seconds: i64| {
        let time = view.local(Timestamp::from_seconds(seconds).unwrap_or(view.now));
        time.get(..16).unwrap_or_default().replace(' ', "T")
    };
    let now = view.now.seconds();
    let offset = i64::from(view.zone.offset_at(now));
    let midnight = (now + offset).div_euclid(DAY) * DAY - offset;
    let reset = [("next", ""), ("state", ""), ("from", ""), ("to", "")];
    let with = |changes: &[(&str, &str)]| {
        let kept = reset.iter().filter(|(name, _)| !changes.iter().any(|(other, _)| other == name));
        view.query.with(&kept.copied().chain(changes.iter().copied()).collect::<Vec<_>>())
    };
    let (evening, morning) = (local(midnight - 6 * 3600), local(midnight + 8 * 3600));
    // The times of the others are those of the page, so a link to one of them is never the page's own.
    let (state, is_of_any_time) = (view.query.get("state"), view.query.get("from").is_empty());
    let is_here = |name: &str| match name {
        "All" => is_of_any_time && state.is_empty(),
        "Failing" => is_of_any_time && state == "FAILED",
        _ => false,
    };
    let links = [
        ("All", with(&[])),
        ("Failing", with(&[("state", "FAILED")])),
        ("Last night", with(&[("from", &evening), ("to", &morning)])),
        ("24 h", with(&[("from", &local(now - DAY))])),
        ("7 days", with(&[("from", &local(now - 7 * DAY))])),
    ];
    html! {
        ul.presets { @for (name, query) in links {
            li {
                a href={ "/dashboard/executions" (query) } aria-current=[is_here(name).then_some("true")] {
                    (name)
                }
            }
        } }
    }
}

fn filter_form(view: &View<'_>) -> Markup {
    let get = |name: &str| view.query.get(name).to_owned();
    html! {
        form.filter method="get" action="/dashboard/executions" {
            @if !view.space().is_empty() { input type="hidden" name="space_guid" value=(view.space()); }
            div { label for="state" { "State" } select id="state" name="state" {
                option value="" { "any" }
                @for (name, _, word) in STATES {
                    option value=(name) selected[get("state") == name] { (word) }
                }
            } }
            div { label for="kind" { "Kind" } select id="kind" name="kind" {
                option value="" { "any" }
                @for kind in ["job", "call"] { option value=(kind) selected[get("kind") == kind] { (kind) } }
            } }
            div {
                label for="name" { "Name" }
                input id="name" name="name" type="text" value=(get("name")) autocomplete="off";
            }
            div {
                label for="from" { "From" }
                input id="from" name="from" type="datetime-local" value=(get("from"));
            }
            div { label for="to" { "To" } input id="to" name="to" type="datetime-local" value=(get("to")); }
            button { "Filter" }
        }
    }
}

/// A table of executions on the page at `path`, with the actions that `access` allows. `has_names`: they
/// belong to several jobs or calls.
pub(super) fn table(view: &View<'_>, rows: &[Value], path: &str, access: Access, has_names: bool) -> Markup {
    if rows.is_empty() {
        let told = if has_names { "There are no such executions." } else { "It has not run yet." };
        return html! { div.empty { p { (told) } } };
    }
    let is_many = Access::Support <= access;
    let (names, messages) = (share(NAMES_BYTES, rows.len()), share(MESSAGES_BYTES, rows.len()));
    let users = share(USERS_BYTES, rows.len());
    let table = html! {
        table {
            caption { "Executions, newest first" }
            thead { tr {
                @if is_many { th.do scope="col" { "Pick" } }
                th scope="col" { "State" }
                @if has_names { th scope="col" { "Name" } }
                th scope="col" { "Planned" } th.n scope="col" { "Late" } th.n scope="col" { "Duration" }
                th scope="col" { "Message" }
            } }
            tbody { @for it in rows { @if let Some((kind, guid)) = owner_of(it) {
                @let link = link_of(text(it, "guid"));
                @let name = row_name(it);
                @let planned = it["scheduled_time"].as_str().or(it["created_at"].as_str());
                @let planned = planned.unwrap_or_default();
                tr {
                    @if is_many { td.do data-label="Pick" {
                        input type="checkbox" name="pick"
                            aria-label={ "Pick " @if has_names { (fit(&name, PICK_BYTES)) " of " } (planned) }
                            value={ (text(it, "guid")) " " (plural(kind)) "/" (guid) };
                    } }
                    td data-label="State" { div {
                        a href=(link) { (state(text(it, "state"))) }
                        @if let Some(why) = qualified(it) { div.sub { (why) } }
                    } }
                    @if has_names {
                        th scope="row" {
                            a href={ "/dashboard/" (plural(kind)) "/" (encoded(guid)) } {
                                bdi { (fit(&name, names)) }
                            }
                        }
                    }
                    td data-label="Planned" { div {
                        (view.time(planned))
                        @if it["scheduled_time"].is_null() { div.sub {
                            "by hand"
                            @if let Some(who) = it["requested_by"].as_str() { ", " bdi { (fit(who, users)) } }
                        } }
                    } }
                    td.n data-label="Late" { (late(it)) }
                    td.n data-label="Duration" {
                        @if it["execution_end_time"].is_null() { span.quiet { "–" } }
                        @else if let Some(length) = length_of(it, view.now) { (duration(length)) }
                    }
                    td data-label="Message" {
                        bdi { (fit(&cut(text(it, "message"), MESSAGE_CHARS_MAX), messages)) }
                    }
                }
            } } }
        }
    };
    if !is_many {
        return table;
    }
    html! {
        form method="post" action={ (path) (view.query.with(&[])) } {
            input type="hidden" name="form_token" value=(view.form_token());
            (table)
            div.pages.small { button name="do" value="cancel" { "Cancel run" }
                @if Access::Work <= access { button name="do" value="again" { "Run again" } } }
        }
    }
}

/// Its reason, and the number of its last attempt unless that is the first.
fn qualified(execution: &Value) -> Option<String> {
    let attempts = execution["attempts"].as_u64().filter(|attempts| 1 < *attempts);
    let attempt = attempts.map(|attempts| format!("attempt {attempts}"));
    let reason = execution["reason"].as_str().map(str::to_owned);
    let parts: Vec<String> = reason.into_iter().chain(attempt).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// How late it started after its fire time.
pub(super) fn late(execution: &Value) -> Markup {
    let planned = Timestamp::parse(text(execution, "scheduled_time"));
    let started = Timestamp::parse(text(execution, "execution_start_time"));
    match planned.zip(started) {
        Some((planned, started)) => html! { (duration(started.nanos().saturating_sub(planned.nanos()))) },
        None => html! { span.quiet { "–" } },
    }
}
