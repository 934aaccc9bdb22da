//! Lists of jobs or calls, and the forms that make and change one.

use std::cmp::Reverse;

use maud::{Markup, html};
use serde_json::{Map, Value, json};
use tiny_http::Method;

use crate::model::Kind;
use crate::web::dashboard::ask::{Refusal, encoded, list as members, text};
use crate::web::dashboard::components::{
    Field, duration, labels, next_of, refusal_notice, state, strip, usual_length,
};
use crate::web::dashboard::layout::next_page;
use crate::web::dashboard::{Page, PageResult, Reply, View, plural};

const PER_PAGE: usize = 25;
/// As many are sorted; the rest of a longer list comes in the order of its making.
const SORTED_MAX: usize = 500;
const STRIP: usize = 20;
const POLICIES: [(&str, &str); 4] = [
    ("Always", "Run both"),
    ("Forbid", "Skip the new one"),
    ("Replace", "Cancel the old one"),
    ("Queue", "Wait for the old one"),
];

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Job => "Jobs",
        Kind::Call => "Calls",
    }
}

pub(in crate::web::dashboard) fn list(view: &View<'_>, kind: Kind) -> PageResult {
    let space = view.space();
    let of_space = if space.is_empty() { String::new() } else { format!("&space_guid={}", encoded(space)) };
    let number: usize = view.query.get("page").parse().unwrap_or(1).max(1);
    let sort = view.query.get("sort");
    let path = plural(kind);
    let (rows, total, is_sorted) = {
        let small = view.get(&format!("/{path}?page=1&per_page=1{of_space}"))?;
        let total = small["pagination"]["total_results"].as_u64().unwrap_or(0);
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        if total <= SORTED_MAX && !sort.is_empty() {
            let all = view.get(&format!("/{path}?page=1&per_page={SORTED_MAX}&detailed=true{of_space}"))?;
            let mut rows = members(&all, "resources").to_vec();
            self::sort(&mut rows, sort);
            let first = number.saturating_sub(1).saturating_mul(PER_PAGE);
            (rows.into_iter().skip(first).take(PER_PAGE).collect::<Vec<_>>(), total, true)
        } else {
            let page =
                view.get(&format!("/{path}?page={number}&per_page={PER_PAGE}&detailed=true{of_space}"))?;
            (members(&page, "resources").to_vec(), total, sort.is_empty())
        }
    };
    let main = html! {
        @if total == 0 {
            div.empty {
                p { "There are no " (path) " here yet." }
                @if view.may_change() { p { a href={ (view.link(&format!("/{path}/new"))) } { "New " (kind.as_str()) } } }
            }
        } @else {
            ul.presets { @for (name, key) in [("Oldest first", ""), ("By name", "name"), ("By next", "next"), ("By last failure", "failure")] {
                li { a href={ "/dashboard/" (path) (view.query.with(&[("sort", key), ("page", "")])) } aria-current=[(sort == key).then_some("true")] { (name) } }
            } }
            @if !is_sorted { p.quiet { "More than " (SORTED_MAX) " are listed in the order in which they were made. Choose a space to sort fewer." } }
            (table(view, kind, &rows, total))
            @if number.saturating_mul(PER_PAGE) < total {
                (next_page(&format!("/dashboard/{path}"), &view.query, "page", &(number + 1).to_string()))
            }
        }
    };
    let actions = html! {
        @if view.may_change() { a.button.primary href=(view.link(&format!("/{path}/new"))) { "New " (kind.as_str()) } }
    };
    Ok(Page::new(title(kind), main).with_actions(actions).into())
}

fn sort(rows: &mut [Value], by: &str) {
    match by {
        "name" => rows.sort_by_cached_key(|row| text(row, "name").to_lowercase()),
        "next" => rows.sort_by_cached_key(|row| {
            let next = next_of(row);
            (next.is_empty(), next.to_owned())
        }),
        _ => rows.sort_by_cached_key(|row| {
            let last = &row["last_execution"];
            let has_failed = text(last, "state") == "FAILED" || text(row, "state") == "FAILED";
            (!has_failed, Reverse(text(last, "end_time").to_owned()))
        }),
    }
}

fn table(view: &View<'_>, kind: Kind, rows: &[Value], total: usize) -> Markup {
    html! {
        table {
            caption { (total) " " @if total == 1 { (kind.as_str()) } @else { (plural(kind)) } }
            thead { tr {
                th scope="col" { "Name" } th scope="col" { "App" } th scope="col" { "Last " (STRIP) }
                th scope="col" { "Next" } th scope="col" { "Last end" } th.n scope="col" { "Usual" }
                @if view.may_change() { th.do scope="col" { "Actions" } }
            } }
            tbody { @for row in rows {
                @let guid = text(row, "guid");
                @let target = format!("/{}/{}", plural(kind), encoded(guid));
                @let history = view.get(&format!("{target}/history?page=1&per_page={STRIP}")).unwrap_or_default();
                @let runs = members(&history, "resources");
                @let ended = runs.iter().find(|it| !it["execution_end_time"].is_null());
                tr {
                    th scope="row" {
                        a href={ "/dashboard" (target) } { bdi { (text(row, "name")) } }
                        div.sub { (labels(row)) @if row["paused"] == true { span.label { "paused" } } }
                    }
                    td data-label="App" { bdi { (view.app_name(text(row, "app_guid"))) } }
                    td data-label="Last 20" { (strip(runs)) }
                    td data-label="Next" { (view.time(next_of(row))) }
                    td data-label="Last end" {
                        @if let Some(ended) = ended { span { (state(text(ended, "state"))) " " (view.time(text(ended, "execution_end_time"))) } }
                        @else { span.quiet { "–" } }
                    }
                    td.n data-label="Usual" { @if let Some(usual) = usual_length(runs, view.now) { (duration(usual)) } @else { span.quiet { "–" } } }
                    @if view.may_change() {
                        td.do data-label="Actions" { div.actions.small {
                            (view.button(&format!("/dashboard{target}"), "run", "Run now", ""))
                            @if row["paused"] == true { (view.button(&format!("/dashboard{target}"), "resume", "Resume", "")) }
                            @else { (view.button(&format!("/dashboard{target}"), "pause", "Pause", "")) }
                        } }
                    }
                }
            } }
        }
    }
}

pub(in crate::web::dashboard) fn new(view: &View<'_>, kind: Kind) -> PageResult {
    let app = match view.apps.as_slice() {
        [app] => app.guid.as_str(),
        _ => "",
    };
    let given = json!({"app": app, "memory": "1024", "disk": "1024", "overlap": "Always"});
    Ok(form(view, kind, None, &given, None).into())
}

pub(in crate::web::dashboard) fn create(view: &View<'_>, kind: Kind) -> PageResult {
    let app = view.form.get("app");
    let named = view.apps.iter().find(|known| known.name == app);
    let app = named.map_or(app, |known| known.guid.as_str());
    let made = body_of(view, kind, true).and_then(|body| {
        view.send(Method::Post, &format!("/{}?app_guid={}", plural(kind), encoded(app)), &body)
    });
    match made {
        Ok(made) => {
            Ok(Reply::Redirect(format!("/dashboard/{}/{}", plural(kind), encoded(text(&made, "guid")))))
        }
        Err(refusal) if refusal.status == 422 => {
            Ok(form(view, kind, None, &typed(view), Some(&refusal)).with_status(422).into())
        }
        Err(refusal) => Err(refusal),
    }
}

pub(in crate::web::dashboard) fn edit(view: &View<'_>, kind: Kind, guid: &str) -> PageResult {
    let it = view.get(&format!("/{}/{}", plural(kind), encoded(guid)))?;
    let shown = |name: &str| match &it[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let given = json!({
        "name": shown("name"), "command": shown("command"), "memory": shown("memory_in_mb"), "disk": shown("disk_in_mb"),
        "url": shown("url"), "timeout": shown("timeout_seconds"), "overlap": shown("concurrency_policy"),
    });
    Ok(form(view, kind, Some(&it), &given, None).into())
}

pub(in crate::web::dashboard) fn save(view: &View<'_>, kind: Kind, guid: &str) -> PageResult {
    let target = format!("/{}/{}", plural(kind), encoded(guid));
    let saved = body_of(view, kind, false).and_then(|body| view.send(Method::Patch, &target, &body));
    match saved {
        Ok(_) => Ok(Reply::Redirect(format!("/dashboard{target}"))),
        Err(refusal) if refusal.status == 422 => {
            let it = view.get(&target)?;
            Ok(form(view, kind, Some(&it), &typed(view), Some(&refusal)).with_status(422).into())
        }
        Err(refusal) => Err(refusal),
    }
}

/// What was typed, but for secrets.
fn typed(view: &View<'_>) -> Value {
    let fields = view.form.0.iter().filter(|(name, _)| name != "auth_header" && name != "form_token");
    Value::Object(fields.map(|(name, value)| (name.clone(), json!(value))).collect())
}

/// The body of a request to the API.
fn body_of(view: &View<'_>, kind: Kind, is_new: bool) -> Result<Value, Refusal> {
    let mut body = Map::new();
    let mut wrong = Vec::new();
    let mut number = |name: &str, api_name: &'static str, may_be_empty: bool| match view.form.get(name) {
        "" if may_be_empty => Value::Null,
        given => given.parse::<u64>().map_or_else(
            |_| {
                wrong.push((api_name, "is not a whole number".to_owned()));
                Value::Null
            },
            |number| json!(number),
        ),
    };
    body.insert("name".to_owned(), json!(view.form.get("name")));
    if kind == Kind::Job {
        body.insert("command".to_owned(), json!(view.form.get("command")));
        body.insert("memory_in_mb".to_owned(), number("memory", "memory_in_mb", true));
        body.insert("disk_in_mb".to_owned(), number("disk", "disk_in_mb", true));
    } else {
        body.insert("url".to_owned(), json!(view.form.get("url")));
        // On edit an empty one means "unchanged"; for a new call it means none.
        let secret = view.form.get("auth_header");
        if !secret.is_empty() {
            body.insert("auth_header".to_owned(), json!(secret));
        } else if is_new {
            body.insert("auth_header".to_owned(), Value::Null);
        }
    }
    let timeout = number("timeout", "timeout_seconds", true);
    if !is_new || !timeout.is_null() {
        body.insert("timeout_seconds".to_owned(), timeout);
    }
    let overlap = view.form.get("overlap");
    if !overlap.is_empty() {
        body.insert("concurrency_policy".to_owned(), json!(overlap));
    }
    match wrong.is_empty() {
        true => Ok(Value::Object(body)),
        false => Err(Refusal { errors: wrong, ..Refusal::new(422, "Some fields are not numbers.") }),
    }
}

/// `changed` is the job or call that is edited; `None`: a new one is made.
fn form(
    view: &View<'_>,
    kind: Kind,
    changed: Option<&Value>,
    given: &Value,
    refusal: Option<&Refusal>,
) -> Page {
    let field = |label, name, api_name, kind, hint| {
        Field { label, name, value: text(given, name), kind, api_name, hint }.show(refusal)
    };
    let (title, action, back) = match changed {
        None => {
            let path = format!("/dashboard/{}", plural(kind));
            (format!("New {}", kind.as_str()), format!("{path}/new"), path)
        }
        Some(it) => {
            let path = format!("/dashboard/{}/{}", plural(kind), encoded(text(it, "guid")));
            (format!("Edit {}", text(it, "name")), format!("{path}/edit"), path)
        }
    };
    let secret_hint = match changed {
        None => "Sent with each call, as the header Authorization. Empty: none.",
        Some(it) if text(it, "auth_header").is_empty() => "None is set.",
        Some(_) => "One is set, and is not shown. Empty: unchanged.",
    };
    let main = html! {
        (refusal_notice(refusal))
        form.fields method="post" action=(action) {
            input type="hidden" name="form_token" value=(view.form_token());
            @if changed.is_none() {
                (field("App", "app", "app_guid", "text", "The guid of the app in whose space it is; its name where the service knows it."))
                datalist id="app-list" { @for app in view.apps.iter().take(200) { option value=(app.guid) { (app.name) } } }
            }
            (field("Name", "name", "name", "text", ""))
            @if kind == Kind::Job {
                (field("Command", "command", "command", "textarea", ""))
                (field("Memory (MiB)", "memory", "memory_in_mb", "number", ""))
                (field("Disk (MiB)", "disk", "disk_in_mb", "number", ""))
            } @else {
                (field("URL", "url", "url", "text", ""))
                (field("Authorization", "auth_header", "auth_header", "password", secret_hint))
            }
            (field("Time-out (seconds)", "timeout", "timeout_seconds", "number", "The longest that a run may take. Empty: the default."))
            div.field {
                label for="overlap" { "When a run overlaps" }
                select id="overlap" name="overlap" {
                    @for (policy, words) in POLICIES { option value=(policy) selected[text(given, "overlap") == policy] { (words) } }
                }
            }
            div.actions { button.primary { "Save" } a href=(back) { "Back" } }
        }
    };
    Page::new(title, main).still()
}
