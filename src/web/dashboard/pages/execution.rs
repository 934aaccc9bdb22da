//! One execution: its timeline and its output.

use maud::{Markup, html};
use serde_json::Value;
use tiny_http::Header;

use super::executions::{change_one, late, link_of, owner_of, row_name};
use crate::model::{Access, Kind};
use crate::web::dashboard::ask::{Refusal, encoded, list, text};
use crate::web::dashboard::components::{duration, length_of, state};
use crate::web::dashboard::{Fields, Page, PageResult, Reply, View, plural};

/// How much of the end of the output is shown.
const SHOWN_BYTES: usize = 32 * 1024;
/// The most parts of an output that are read to find its end.
const PARTS_MAX: usize = 4;

/// The execution, and what it is of.
fn find(view: &View<'_>, guid: &str) -> Result<(Value, Kind, String), Refusal> {
    let not_found = || Refusal::new(404, "There is no such execution, or you may not see it.");
    let found = view.get(&format!("/executions/{}", encoded(guid)))?;
    let (kind, owner) = owner_of(&found).ok_or_else(not_found)?;
    let owner = owner.to_owned();
    Ok((found, kind, owner))
}

pub(in crate::web::dashboard) fn show(view: &View<'_>, guid: &str) -> PageResult {
    let (it, kind, owner) = find(view, guid)?;
    let of = format!("/dashboard/{}/{}", plural(kind), encoded(&owner));
    let owner_name = row_name(&it);
    let here = link_of(guid);
    let access = view.access_to(text(&it, "space_guid"));
    let is_ended = !matches!(text(&it, "state"), "PENDING" | "RUNNING");
    let main = html! {
        dl {
            dt { "State" } dd { (state(text(&it, "state"))) }
            @if let Some(reason) = it["reason"].as_str() { dt { "Reason" } dd { (reason) } }
            dt { (if kind == Kind::Job { "Job" } else { "Call" }) } dd { a href=(of) { bdi { (owner_name) } } }
            dt { "Started" } dd {
                @if let Some(schedule) = it["schedule_guid"].as_str() {
                    "by " a href={ (of) "/schedules/" (encoded(schedule)) } { "a schedule" }
                } @else { "by hand" @if let Some(by) = it["requested_by"].as_str() { ", " bdi { (by) } } }
            }
            dt { "Late" } dd { (late(&it)) }
            dt { "Duration" } dd { @if let Some(length) = length_of(&it, view.now).filter(|_| is_ended) { (duration(length)) } @else { "–" } }
            @if let Some(task) = it["task_guid"].as_str() { dt { "Task" } dd { code { (task) } } }
            @if let Some(id) = it["request_id"].as_str() { dt { "Request id" } dd { code { bdi { (id) } } } }
            dt { "Execution" } dd { code { (guid) } }
        }
        h2 { "Timeline" }
        ol.timeline {
            @if let Some(time) = it["created_at"].as_str() { li { (view.absolute(time)) " recorded" } }
            @if let Some(time) = it["scheduled_time"].as_str() { li { (view.absolute(time)) " planned" } }
            @for attempt in list(&it, "attempt_history") {
                li { (view.absolute(text(attempt, "start_time"))) " attempt " (attempt["number"])
                    @if !text(attempt, "message").is_empty() { ": " bdi { (text(attempt, "message")) } } }
            }
            @if list(&it, "attempt_history").is_empty() {
                @if let Some(time) = it["execution_start_time"].as_str() { li { (view.absolute(time)) " started" } }
            }
            @if let Some(time) = it["cancel_requested_at"].as_str() { li { (view.absolute(time)) " cancellation requested" } }
            @if let Some(time) = it["execution_end_time"].as_str() { li { (view.absolute(time)) " ended" } }
            @else { li.quiet { "not ended yet" } }
        }
        h2 { "Message" }
        @if text(&it, "message").is_empty() { p.quiet { "None." } } @else { pre tabindex="0" { bdi { (text(&it, "message")) } } }
        @if kind == Kind::Job { h2 { "Output" } (output(view, &owner, guid, &here)?) }
    };
    let actions = html! {
        @if Access::Support <= access && !is_ended { (view.button(&here, "cancel", "Cancel run", "danger")) }
        @if Access::Work <= access { (view.button(&here, "again", "Run again", "")) }
    };
    let page = Page::new(format!("Execution of {owner_name}"), main).with_actions(actions);
    // All of a long output is not sent again and again.
    Ok(if wants_all(view) { page.still() } else { page }.into())
}

pub(in crate::web::dashboard) fn change(view: &View<'_>, guid: &str) -> PageResult {
    let (_, kind, owner) = find(view, guid)?;
    let changed = change_one(view, guid, &format!("{}/{owner}", plural(kind)))?;
    Ok(Reply::Redirect(link_of(&changed)))
}

/// Offers a sign-in if the output needs a token that this instance does not have.
fn sign_in_for_output(view: &View<'_>, here: &str) -> Markup {
    let query = |with| Fields::default().with(&[("with", with), ("to", here)]);
    html! {
        p.quiet { "Cloud Foundry shows output to its own users only. Sign in again to see it." }
        @if view.dashboard.has_client_for_output() {
            p { a.button href={ "/dashboard/sign-in" (query("cf")) } { "Show output" } }
        } @else {
            p { a.button href={ "/dashboard/sign-in" (query("")) } { "Show output" } }
        }
    }
}

/// Whether all of the output is wanted, not only its end.
fn wants_all(view: &View<'_>) -> bool {
    view.query.get("output") == "all"
}

/// The end of the task's output, or all of it.
fn output(view: &View<'_>, job: &str, guid: &str, here: &str) -> Result<Markup, Refusal> {
    let has_token = || view.dashboard.tokens.get(&view.session.digest(), view.now).is_some();
    if !view.api.platform.keeps_output() && !has_token() {
        return Ok(sign_in_for_output(view, here));
    }
    let wants_all = wants_all(view);
    let target = format!("/jobs/{}/history/{}/output", encoded(job), encoded(guid));
    let mut printed = String::new();
    let mut offset = "0".to_owned();
    for _ in 0..PARTS_MAX {
        let (part, headers) = match view.get_text(&format!("{target}?offset={offset}")) {
            Err(refusal) if refusal.status == 404 => {
                return Ok(
                    html! { p.quiet { "The service keeps no output. On Cloud Foundry it is in the logs of the app." } },
                );
            }
            // The rest of the page is shown all the same.
            Err(refusal) => {
                return Ok(html! { p.quiet { "It cannot be read at the moment: " (refusal.text) } });
            }
            Ok(read) => read,
        };
        if part.is_empty() {
            break;
        }
        printed.push_str(&part);
        let next = header(&headers, "X-Output-Next-Offset");
        if next == offset {
            break;
        }
        offset = next;
    }
    let cut = printed.len().saturating_sub(SHOWN_BYTES);
    let start = (cut..=printed.len()).find(|at| printed.is_char_boundary(*at)).unwrap_or(0);
    let is_cut = 0 < start && !wants_all;
    let shown = if is_cut { &printed[start..] } else { &printed };
    Ok(html! {
        @if shown.is_empty() { p.quiet { "There is no output yet." } } @else {
            @if is_cut { p { "The last 32 KiB. " a href={ (here) "?output=all" } { "All of it" } } }
            // It is scrolled to its end, and stays there while it grows.
            div.output.whole[wants_all] tabindex="0" role="region" aria-label="Output" { pre { (shown) } }
        }
    })
}

fn header(headers: &[Header], name: &'static str) -> String {
    let found = headers.iter().find(|header| header.field.equiv(name));
    found.map(|header| header.value.as_str().to_owned()).unwrap_or_default()
}
