//! Audit events, newest first.

use maud::{Markup, html};
use serde_json::Value;

use super::overview::next_of;
use crate::web::dashboard::ask::{encoded, list as members, text};
use crate::web::dashboard::components::{fit, share};
use crate::web::dashboard::layout::next_page;
use crate::web::dashboard::{Page, PageResult, View};

const PER_PAGE: usize = 25;
/// The bytes of the names in the list, of its users, and of what they changed.
const NAMES_BYTES: usize = 9000;
const USERS_BYTES: usize = 4000;
const CHANGES_BYTES: usize = 16_000;
/// What a value takes besides its text.
const CHANGE_BYTES: usize = 30;
/// The most changed fields of an event that are shown.
const FIELDS_MAX: usize = 10;
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
    let (names, users) = (share(NAMES_BYTES, rows.len()), share(USERS_BYTES, rows.len()));
    let room = share(CHANGES_BYTES, rows.len());
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
                    td data-label="Who" {
                        bdi title=(fit(text(&event["actor"], "guid"), users)) {
                            (fit(text(&event["actor"], "name"), users))
                        }
                    }
                    td data-label="Did" { (text(event, "type").trim_start_matches(PREFIX)) }
                    th scope="row" { (target(&event["target"], names)) }
                    td data-label="Changed" { (changes(&event["data"]["changed"], room)) }
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
fn target(target: &Value, room: usize) -> Markup {
    let (guid, name) = (text(target, "guid"), text(target, "name"));
    let name = fit(if name.is_empty() { guid } else { name }, room);
    let path = match text(target, "type") {
        "job" => "jobs",
        "call" => "calls",
        "execution" => "executions",
        "notification" => "notifications",
        _ => return html! { bdi { (name) } },
    };
    html! { a href={ "/dashboard/" (path) "/" (encoded(guid)) } { bdi { (name) } } }
}

/// The changed fields, each with its old and new value.
fn changes(changed: &Value, room: usize) -> Markup {
    let fields = changed.as_object().map_or(0, serde_json::Map::len);
    let room = (room / (2 * fields.max(1))).saturating_sub(CHANGE_BYTES);
    let shown = |value: &Value| match value.as_str() {
        Some(text) => fit(text, room),
        None => fit(&value.to_string(), room),
    };
    html! {
        @for (field, value) in changed.as_object().into_iter().flatten().take(FIELDS_MAX) {
            div { span.quiet { (field) ": " }
                @if let [old, new] = value.as_array().map(Vec::as_slice).unwrap_or_default() {
                    bdi { (shown(old)) } " → " bdi { (shown(new)) }
                } @else { bdi { (shown(value)) } }
            }
        }
        @if FIELDS_MAX < fields { div.quiet { (fields - FIELDS_MAX) " more" } }
    }
}
