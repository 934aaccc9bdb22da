//! Audit events, newest first.

use maud::{Markup, html};
use serde_json::Value;

use super::overview::next_of;
use crate::web::dashboard::ask::{encoded, list as members, text};
use crate::web::dashboard::layout::next_page;
use crate::web::dashboard::{Page, PageResult, View};

const PER_PAGE: usize = 25;
/// The prefix of event types.
const PREFIX: &str = "audit.scheduler.";

pub(in crate::web::dashboard) fn list(view: &View<'_>) -> PageResult {
    let query = match view.next_query(PER_PAGE).as_str() {
        "" if view.space().is_empty() => format!("per_page={PER_PAGE}"),
        "" => format!("per_page={PER_PAGE}&space_guid={}", encoded(view.space())),
        next => next.to_owned(),
    };
    let found = view.get(&format!("/audit_events?{query}"))?;
    let rows = members(&found, "resources");
    let main = html! {
        @if rows.is_empty() { div.empty { p { "No changes are recorded." } } } @else {
            table {
                caption { "Changes, newest first" }
                thead { tr {
                    th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "Did" }
                    th scope="col" { "To" } th scope="col" { "Changed" }
                } }
                tbody { @for event in rows { tr {
                    td data-label="When" { (view.time(text(event, "created_at"))) }
                    td data-label="Who" { bdi title=(text(&event["actor"], "guid")) { (text(&event["actor"], "name")) } }
                    td data-label="Did" { (text(event, "type").trim_start_matches(PREFIX)) }
                    th scope="row" { (target(&event["target"])) }
                    td data-label="Changed" { (changes(&event["data"]["changed"])) }
                } } }
            }
            @if let Some((_, query)) = next_of(&found) {
                (next_page("/dashboard/audit", &view.query, "next", query))
            }
        }
    };
    Ok(Page::new("Audit", main).into())
}

/// The changed object, as a link if it has a page.
fn target(target: &Value) -> Markup {
    let (guid, name) = (text(target, "guid"), text(target, "name"));
    let name = if name.is_empty() { guid } else { name };
    let path = match text(target, "type") {
        "job" => "jobs",
        "call" => "calls",
        "execution" => "executions",
        "notification" => "notifications",
        _ => return html! { bdi { (name) } },
    };
    html! { a href={ "/dashboard/" (path) "/" (encoded(guid)) } { bdi { (name) } } }
}

fn changes(changed: &Value) -> Markup {
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    html! {
        @for (field, value) in changed.as_object().into_iter().flatten() {
            div { span.quiet { (field) ": " }
                @if let [old, new] = value.as_array().map(Vec::as_slice).unwrap_or_default() {
                    bdi { (shown(old)) } " → " bdi { (shown(new)) }
                } @else { bdi { (shown(value)) } }
            }
        }
    }
}
