//! Notifications and their deliveries.

use maud::{Markup, html};
use serde_json::{Value, json};
use tiny_http::Method;

use super::editor::{choice, headers_of, removal};
use crate::model::Access;
use crate::platform::Named;
use crate::web::dashboard::ask::{Refusal, encoded, list as members, text};
use crate::web::dashboard::components::{Field, fit, refusal_notice, share, url};
use crate::web::dashboard::layout::next_page;
use crate::web::dashboard::{Page, PageResult, Reply, View};

const PER_PAGE: usize = 25;
/// The bytes of the names in the list, of their hosts, and of what they are of; and of the errors of
/// deliveries.
const NAMES_BYTES: usize = 12_000;
const HOSTS_BYTES: usize = 4000;
const OF_BYTES: usize = 6000;
const ERRORS_BYTES: usize = 12_000;
const FORMATS: [(&str, &str); 3] = [
    ("standard", "Standard Webhooks"),
    ("slack", "Slack, Mattermost, Rocket.Chat"),
    ("alertmanager", "Alertmanager"),
];
const EVENTS: [&str; 4] = ["failed", "recovered", "succeeded", "overdue"];

pub(in crate::web::dashboard) fn list(view: &View<'_>) -> PageResult {
    let space = view.space();
    let of_space = if space.is_empty() { String::new() } else { format!("&space_guid={}", encoded(space)) };
    let number: usize = view.query.get("page").parse().unwrap_or(1).max(1);
    let found = view.get(&format!("/notifications?page={number}&per_page={PER_PAGE}{of_space}"))?;
    let total = found["pagination"]["total_results"].as_u64().unwrap_or(0);
    let rows = members(&found, "resources");
    let (names, hosts) = (share(NAMES_BYTES, rows.len()), share(HOSTS_BYTES, rows.len()));
    let room = share(OF_BYTES, rows.len());
    let main = html! {
        @if rows.is_empty() {
            div.empty {
                p {
                    "There are no notifications yet. A notification reports failures to a webhook, to Slack \
                     or to Alertmanager."
                }
            }
        } @else {
            table {
                caption { (total) " in all" }
                thead { tr {
                    th scope="col" { "Name" }
                    th scope="col" { "Events" }
                    th scope="col" { "To" }
                    th scope="col" { "Of" }
                } }
                tbody { @for row in rows { tr {
                    th scope="row" {
                        a href=(page_of(text(row, "guid"))) { bdi { (fit(text(row, "name"), names)) } }
                        @if row["enabled"] != true { div.sub { span.label { "disabled" } } } }
                    td data-label="Events" { (words(&row["events"])) }
                    td data-label="To" { (format_of(row)) ", " bdi { (fit(host(text(row, "url")), hosts)) } }
                    td data-label="Of" { bdi { (fit(&of(row), room)) } }
                } } }
            }
            @if (number as u64).saturating_mul(PER_PAGE as u64) < total {
                (next_page("/dashboard/notifications", &view.query, "page", &(number + 1).to_string()))
            }
        }
    };
    let actions = html! {
        @if view.may_change() {
            a.button.primary href=(view.link("/notifications/new")) { "New notification" }
        }
    };
    Ok(Page::new("Notifications", main).with_actions(actions).into())
}

fn page_of(guid: &str) -> String {
    format!("/dashboard/notifications/{}", encoded(guid))
}

fn target_of(guid: &str) -> String {
    format!("/notifications/{}", encoded(guid))
}

fn words(events: &Value) -> String {
    let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
    events.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn format_of(row: &Value) -> &str {
    let format = text(row, "format");
    FORMATS.iter().find(|(name, _)| *name == format).map_or(format, |(_, words)| words)
}

/// Scheme and host of a receiver. Its path may be a secret.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

/// The jobs and calls that it covers, in words.
fn of(row: &Value) -> String {
    let count = |name: &str| members(row, name).len();
    let mut parts = Vec::new();
    match (count("job_guids"), count("call_guids")) {
        (0, 0) => parts.push("all jobs and calls".to_owned()),
        (jobs, calls) => parts.push(format!("{jobs} jobs, {calls} calls")),
    }
    if !text(row, "label_selector").is_empty() {
        parts.push(format!("with {}", text(row, "label_selector")));
    }
    parts.join(" ")
}

pub(in crate::web::dashboard) fn show(view: &View<'_>, guid: &str) -> PageResult {
    let target = target_of(guid);
    let it = view.get(&target)?;
    let page = page_of(guid);
    if matches!(view.query.get("show"), "edit" | "delete") {
        view.must_work_in(text(&it, "space_guid"))?;
    }
    if view.query.get("show") == "edit" {
        return Ok(form(view, Some(&it), &filled(&it), None).into());
    }
    if view.query.get("show") == "delete" {
        return Ok(ask_delete(view, &it, &page).into());
    }
    let number: usize = view.query.get("page").parse().unwrap_or(1).max(1);
    let deliveries = view.get(&format!("{target}/deliveries?page={number}&per_page={PER_PAGE}"))?;
    let total = deliveries["pagination"]["total_results"].as_u64().unwrap_or(0);
    let main = html! {
        @if it["enabled"] != true {
            div.notice role="status" { p {
                strong { "Disabled." } " It sends nothing, and queues nothing for later."
                @if let Some(reason) = it["disabled_reason"].as_str() { " " bdi { (reason) } } } }
        }
        dl {
            dt { "To" } dd { (format_of(&it)) ", " (url(text(&it, "url"))) }
            dt { "Events" } dd { (words(&it["events"])) }
            dt { "Of" } dd { bdi { (of(&it)) } }
            dt { "After" } dd { (it["after_failures"]) " in a row" }
            dt { "Reminds" } dd {
                @if it["remind_after_seconds"].is_null() {
                    "never"
                } @else {
                    "after " (it["remind_after_seconds"]) " s"
                }
            }
            @if let Some(headers) = it["headers"].as_object().filter(|headers| !headers.is_empty()) {
                dt { "Headers" }
                dd { @for name in headers.keys() { bdi { (name) } " " } "(values are not shown)" }
            }
            dt { "Signature" } dd { @if it["secret"].is_null() { "none" } @else { "set, not shown" } }
            dt { "Created" } dd { (view.absolute(text(&it, "created_at"))) }
        }
        h2 { "Deliveries" }
        (table_of(view, members(&deliveries, "resources")))
        @if (number as u64).saturating_mul(PER_PAGE as u64) < total {
            (next_page(&page, &view.query, "page", &(number + 1).to_string()))
        }
    };
    let actions = html! {
        @if Access::Work <= view.access_to(text(&it, "space_guid")) {
            (view.button(&page, "test", "Send a test", "primary"))
            @if it["enabled"] == true { (view.button(&page, "disable", "Disable", "")) }
            @else { (view.button(&page, "enable", "Enable", "")) }
            a.button href={ (page) "?show=edit" } { "Edit" }
            a.button.danger href={ (page) "?show=delete" } { "Delete" }
        }
    };
    Ok(Page::new(text(&it, "name"), main).with_actions(actions).into())
}

fn table_of(view: &View<'_>, rows: &[Value]) -> Markup {
    if rows.is_empty() {
        return html! { p.quiet { "Nothing was delivered in the last 7 days." } };
    }
    let room = share(ERRORS_BYTES, rows.len());
    html! {
        table {
            caption { "Deliveries of the last 7 days, newest first" }
            thead { tr {
                th scope="col" { "State" } th scope="col" { "Event" } th scope="col" { "Written" }
                th.n scope="col" { "Tries" } th scope="col" { "Answer" } th scope="col" { "Next try" }
            } }
            tbody { @for row in rows { tr {
                td data-label="State" { (delivery_state(text(row, "state"))) }
                td data-label="Event" {
                    @if let Some(guid) = row["execution_guid"].as_str() {
                        a href={ "/dashboard/executions/" (encoded(guid)) } { (text(row, "event")) }
                    } @else { (text(row, "event")) }
                }
                td data-label="Written" { (view.time(text(row, "created_at"))) }
                td.n data-label="Tries" { (row["attempts"]) }
                td data-label="Answer" {
                    @if let Some(status) = row["last_status"].as_u64() { (status) " " }
                    bdi { (fit(text(row, "last_error"), room)) }
                }
                td data-label="Next try" { (view.time(text(row, "next_attempt_at"))) }
            } } }
        }
    }
}

fn delivery_state(name: &str) -> Markup {
    let (class, shape) = match name {
        "DELIVERED" => ("succeeded", "✓"),
        "FAILED" | "DROPPED" => ("failed", "✕"),
        "SENDING" => ("running", "▶"),
        "WAITING" => ("pending", "○"),
        _ => ("skipped", "–"),
    };
    html! { span class={ "state " (class) } { b aria-hidden="true" { (shape) } (name.to_ascii_lowercase()) } }
}

pub(in crate::web::dashboard) fn new(view: &View<'_>) -> PageResult {
    view.must_work()?;
    let events = "failed recovered overdue";
    let given = json!({"format": "standard", "events": events, "after": "1", "space": view.space()});
    Ok(form(view, None, &given, None).into())
}

pub(in crate::web::dashboard) fn create(view: &View<'_>) -> PageResult {
    let space = encoded(view.form.get("space"));
    let made = body_of(view, None)
        .and_then(|body| view.send(Method::Post, &format!("/notifications?space_guid={space}"), &body));
    match made {
        Ok(made) => Ok(Reply::Redirect(page_of(text(&made, "guid")))),
        Err(refusal) if refusal.status == 422 => {
            Ok(form(view, None, &typed(view), Some(&refusal)).with_status(422).into())
        }
        Err(refusal) => Err(refusal),
    }
}

/// Saves, tests, enables, disables or deletes.
pub(in crate::web::dashboard) fn change(view: &View<'_>, guid: &str) -> PageResult {
    let (target, page) = (target_of(guid), page_of(guid));
    match view.form.get("do") {
        "test" => view.send(Method::Post, &format!("{target}/test"), &Value::Null)?,
        "enable" => view.send(Method::Patch, &target, &json!({"enabled": true}))?,
        "disable" => view.send(Method::Patch, &target, &json!({"enabled": false}))?,
        "delete-for-good" => {
            view.send(Method::Delete, &target, &Value::Null)?;
            return Ok(Reply::Redirect("/dashboard/notifications".to_owned()));
        }
        "save" => {
            let it = view.get(&target)?;
            match body_of(view, Some(&it)).and_then(|body| view.send(Method::Patch, &target, &body)) {
                Err(refusal) if refusal.status == 422 => {
                    return Ok(form(view, Some(&it), &typed(view), Some(&refusal)).with_status(422).into());
                }
                other => other?,
            }
        }
        _ => return Err(Refusal::new(422, "There is no such action.")),
    };
    Ok(Reply::Redirect(page))
}

/// The page that asks before something is deleted.
fn ask_delete(view: &View<'_>, it: &Value, page: &str) -> Page {
    let main = html! {
        div.notice.bad {
            p {
                "With the notification " strong { bdi { (text(it, "name")) } }
                " its deliveries are deleted. It sends nothing any more."
            }
        }
        div.actions {
            (view.button(page, "delete-for-good", "Delete for good", "danger")) a href=(page) { "Back" }
        }
    };
    Page::new(format!("Delete {}", text(it, "name")), main).still()
}

/// The form's fields for an existing notification.
fn filled(it: &Value) -> Value {
    let guids = |name: &str| {
        members(it, name).iter().filter_map(Value::as_str).map(|guid| format!("{guid}\n")).collect::<String>()
    };
    let remind = it["remind_after_seconds"].as_u64().map(|seconds| seconds.to_string());
    json!({
        "name": text(it, "name"), "url": text(it, "url"), "format": text(it, "format"),
        "events": words(&it["events"]).replace(',', ""), "jobs": guids("job_guids"),
        "calls": guids("call_guids"),
        "labels": text(it, "label_selector"), "after": it["after_failures"].to_string(),
        "remind": remind.unwrap_or_default(),
    })
}

fn typed(view: &View<'_>) -> Value {
    let is_kept = |name: &str| !["secret", "form_token", "events"].contains(&name);
    let fields = view.form.0.iter().filter(|(name, _)| is_kept(name));
    let mut typed: serde_json::Map<String, Value> =
        fields.map(|(name, value)| (name.clone(), json!(value))).collect();
    typed.insert("events".to_owned(), json!(view.form.all("events").collect::<Vec<_>>().join(" ")));
    Value::Object(typed)
}

fn body_of(view: &View<'_>, before: Option<&Value>) -> Result<Value, Refusal> {
    let mut wrong = Vec::new();
    let mut number = |name: &str, api_name: &'static str| match view.form.get(name) {
        "" => Value::Null,
        given => given.parse::<u64>().map_or_else(
            |_| {
                wrong.push((api_name, "is not a whole number".to_owned()));
                Value::Null
            },
            |number| json!(number),
        ),
    };
    let lines = |name: &str| view.form.get(name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut body = json!({
        "name": view.form.get("name"), "url": view.form.get("url"), "format": view.form.get("format"),
        "events": view.form.all("events").collect::<Vec<_>>(),
        "job_guids": lines("jobs"), "call_guids": lines("calls"), "label_selector": view.form.get("labels"),
        "after_failures": number("after", "after_failures"),
        "remind_after_seconds": number("remind", "remind_after_seconds"),
    });
    // On edit an empty secret means "unchanged".
    match view.form.get("secret") {
        "" if before.is_some() && view.form.get("no_secret") == "yes" => body["secret"] = Value::Null,
        "" => {}
        secret => body["secret"] = json!(secret),
    }
    // The API shows no value of a header, so what is written here replaces all of them.
    match (view.form.get("headers"), view.form.get("no_headers")) {
        ("", "yes") => body["headers"] = json!({}),
        ("", _) => {}
        (lines, _) => match headers_of(lines, None) {
            Ok(headers) => body["headers"] = Value::Object(headers),
            Err(_) => wrong
                .push(("headers", "has a line that is not like X-Team: billing, or comes twice".to_owned())),
        },
    }
    match wrong.is_empty() {
        true => Ok(body),
        false => Err(Refusal { errors: wrong, ..Refusal::new(422, "Some fields are not valid.") }),
    }
}

/// `changed` is the edited notification. `None`: a new one.
fn form(view: &View<'_>, changed: Option<&Value>, given: &Value, refusal: Option<&Refusal>) -> Page {
    let field = |label, name, api_name, kind, hint| {
        Field { label, name, value: text(given, name), kind, api_name, hint }.show(refusal)
    };
    let page = changed.map_or("/dashboard/notifications".to_owned(), |it| page_of(text(it, "guid")));
    let action = if changed.is_some() { page.clone() } else { format!("{page}/new") };
    let spaces = view.get("/spaces").unwrap_or_default();
    let spaces = members(&spaces, "resources");
    view.learn_names(Named::Space, spaces.iter().map(|space| text(space, "guid")));
    let spaces: Vec<(String, String)> = spaces
        .iter()
        .filter(|space| Access::Work <= view.access_to(text(space, "guid")))
        .take(200)
        .map(|space| (text(space, "guid").to_owned(), view.space_name(text(space, "guid"))))
        .collect();
    let spaces: Vec<(&str, &str)> =
        spaces.iter().map(|(guid, name)| (guid.as_str(), name.as_str())).collect();
    let is_signed = changed.is_some_and(|it| !it["secret"].is_null());
    let secret_hint = match (changed.is_some(), is_signed) {
        (true, true) => "It is set, and is not shown. Empty: unchanged.",
        (true, false) => "None is set. Write whsec_ and the base64 of 24 to 64 random bytes.",
        _ => "whsec_ and the base64 of 24 to 64 random bytes. Empty: no signature.",
    };
    let header_names: Vec<&str> = changed
        .and_then(|it| it["headers"].as_object())
        .into_iter()
        .flatten()
        .map(|it| it.0.as_str())
        .collect();
    let headers_hint = match header_names.is_empty() {
        true => "One per line, for example Authorization: Bearer 123. Values are never shown.".to_owned(),
        false => format!(
            "Set, with values that are not shown: {}. Empty: unchanged. Lines replace all of them.",
            header_names.join(", ")
        ),
    };
    let told: Vec<&str> = text(given, "events").split_whitespace().collect();
    let main = html! {
        (refusal_notice(refusal))
        form.fields method="post" action=(action) {
            input type="hidden" name="form_token" value=(view.form_token());
            @if changed.is_none() { (choice("Of the space", "space", text(given, "space"), &spaces)) }
            (field("Name", "name", "name", "text", ""))
            (field("URL", "url", "url", "text", "Where it is sent to."))
            (choice("Format", "format", text(given, "format"), &FORMATS))
            fieldset { legend { "Events" }
                @for event in EVENTS {
                    div.box {
                        input id={ "event-" (event) } name="events" type="checkbox" value=(event)
                            checked[told.contains(&event)];
                        label for={ "event-" (event) } { (event) } }
                }
            }
            div.columns {
                (field("After failures", "after", "after_failures", "number", "This many failures in a row."))
                (field("Remind after (seconds)", "remind", "remind_after_seconds", "number",
                    "3600 to 604800. Empty: never."))
            }
            (field("Labels", "labels", "label_selector", "text", "A selector like team=billing. Empty: all."))
            (field("Jobs", "jobs", "job_guids", "textarea",
                "Guids, one per line. If both lists are empty: all jobs and calls of the space."))
            (field("Calls", "calls", "call_guids", "textarea", "Guids, one per line."))
            (field("Signing secret", "secret", "secret", "password", secret_hint))
            @if is_signed { (removal("secret", "Remove it: do not sign")) }
            (field("Headers", "headers", "headers", "textarea", &headers_hint))
            @if !header_names.is_empty() { (removal("headers", "Remove them: send no headers of your own")) }
            div.actions { button.primary name="do" value="save" { "Save" } a href=(page) { "Back" } }
        }
    };
    let title = changed.map_or("New notification".to_owned(), |it| format!("Edit {}", text(it, "name")));
    Page::new(title, main).still()
}
