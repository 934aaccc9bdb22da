//! The form that creates or edits a job or call.
//!
//! Secrets are never filled in. An empty field keeps the current secret.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::{Map, Value, json};
use tiny_http::Method;

use crate::model::{self, Kind};
use crate::web::dashboard::ask::{Refusal, encoded, text};
use crate::web::dashboard::components::{Field, refusal_notice};
use crate::web::dashboard::{Page, PageResult, Reply, View, plural};

/// What happens when a run overlaps, in the words of the API and of the pages.
pub(super) const POLICIES: [(&str, &str); 4] = [
    ("Always", "Run both"),
    ("Forbid", "Skip the new one"),
    ("Replace", "Cancel the old one"),
    ("Queue", "Wait for the old one"),
];
/// Fields behind "More" that may have an error.
const MORE: [&str; 12] = [
    "retry",
    "retry.max_retries",
    "retry.backoff_seconds",
    "retry.max_backoff_seconds",
    "retry.max_age_seconds",
    "expect_success_within_seconds",
    "log_rate_in_bps",
    "metadata.labels",
    "headers",
    "body",
    "success_statuses",
    "signing_secret",
];

pub(in crate::web::dashboard) fn new(view: &View<'_>, kind: Kind) -> PageResult {
    view.must_work()?;
    let app = match view.apps.as_slice() {
        [app] => app.guid.as_str(),
        _ => "",
    };
    let given = json!({"app": app, "memory": "1024", "disk": "1024", "overlap": "Always", "method": "POST"});
    Ok(form(view, kind, None, &given, None).into())
}

pub(in crate::web::dashboard) fn create(view: &View<'_>, kind: Kind) -> PageResult {
    let app = view.form.get("app");
    let named = view.apps.iter().find(|known| known.name == app);
    let app = named.map_or(app, |known| known.guid.as_str());
    let made = body_of(view, kind, None).and_then(|body| {
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
    view.must_work_in(text(&it, "space_guid"))?;
    let lines = |pairs: &Value, separator: &str, is_secret: bool| {
        let pairs = pairs.as_object().into_iter().flatten();
        let shown =
            |value: &Value| if is_secret { "" } else { value.as_str().unwrap_or_default() }.to_owned();
        pairs.map(|(name, value)| format!("{name}{separator}{}\n", shown(value))).collect::<String>()
    };
    let retry = &it["retry"];
    let given = json!({
        "name": shown(&it["name"]), "command": shown(&it["command"]), "memory": shown(&it["memory_in_mb"]),
        "disk": shown(&it["disk_in_mb"]), "log_rate": shown(&it["log_rate_in_bps"]), "url": shown(&it["url"]),
        "timeout": shown(&it["timeout_seconds"]), "overlap": shown(&it["concurrency_policy"]),
        "retries": shown(&retry["max_retries"]), "backoff": shown(&retry["backoff_seconds"]),
        "max_backoff": shown(&retry["max_backoff_seconds"]), "max_age": shown(&retry["max_age_seconds"]),
        "expect": shown(&it["expect_success_within_seconds"]), "method": shown(&it["method"]),
        "headers": lines(&it["headers"], ": ", true), "body": shown(&it["body"]),
        "statuses": shown(&it["success_statuses"]), "labels": lines(&it["metadata"]["labels"], "=", false),
    });
    Ok(form(view, kind, Some(&it), &given, None).into())
}

pub(in crate::web::dashboard) fn save(view: &View<'_>, kind: Kind, guid: &str) -> PageResult {
    let target = format!("/{}/{}", plural(kind), encoded(guid));
    let it = view.get(&target)?;
    let saved = body_of(view, kind, Some(&it)).and_then(|body| view.send(Method::Patch, &target, &body));
    match saved {
        Ok(_) => Ok(Reply::Redirect(format!("/dashboard{target}"))),
        Err(refusal) if refusal.status == 422 => {
            Ok(form(view, kind, Some(&it), &typed(view), Some(&refusal)).with_status(422).into())
        }
        Err(refusal) => Err(refusal),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The contents of a text area. Browsers send lines that end with CR LF. A text that nobody changed keeps its
/// own line ends.
fn text_of(view: &View<'_>, name: &str, before: Option<&Value>) -> String {
    let lines = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n");
    let typed = lines(view.form.all(name).next().unwrap_or_default());
    let known = before.map(|it| shown(&it[name])).unwrap_or_default();
    if lines(&known) == typed { known } else { typed }
}

/// The name, without blanks at its ends unless it had them before.
fn name_of(view: &View<'_>, before: Option<&Value>) -> String {
    let typed = view.form.get("name");
    let known = before.map(|it| shown(&it["name"])).filter(|known| known.trim() == typed);
    known.unwrap_or_else(|| typed.to_owned())
}

/// What was typed, without secrets.
fn typed(view: &View<'_>) -> Value {
    let is_secret = |name: &str| ["auth_header", "signing_secret", "form_token"].contains(&name);
    let fields = view.form.0.iter().filter(|(name, _)| !is_secret(name));
    Value::Object(fields.map(|(name, value)| (name.clone(), json!(value))).collect())
}

/// The body of a request to the API. `before` is the edited job or call. `None`: a new one.
fn body_of(view: &View<'_>, kind: Kind, before: Option<&Value>) -> Result<Value, Refusal> {
    let is_new = before.is_none();
    let mut body = Map::new();
    let mut wrong = Vec::new();
    let mut number = |name: &str, api_name: &'static str| match view.form.get(name) {
        "" => Value::Null,
        given => given.parse::<i64>().map_or_else(
            |_| {
                wrong.push((api_name, "is not a whole number".to_owned()));
                Value::Null
            },
            |number| json!(number),
        ),
    };
    let mut fields: Vec<(&'static str, Value)> = vec![("name", json!(name_of(view, before)))];
    if kind == Kind::Job {
        fields.push(("command", json!(text_of(view, "command", before))));
        fields.push(("memory_in_mb", number("memory", "memory_in_mb")));
        fields.push(("disk_in_mb", number("disk", "disk_in_mb")));
        if !view.form.get("log_rate").is_empty() {
            fields.push(("log_rate_in_bps", number("log_rate", "log_rate_in_bps")));
        }
    } else {
        fields.push(("url", json!(view.form.get("url"))));
    }
    fields.push(("timeout_seconds", number("timeout", "timeout_seconds")));
    fields.push(("expect_success_within_seconds", number("expect", "expect_success_within_seconds")));
    let retry = json!({
        "max_retries": number("retries", "retry.max_retries"),
        "backoff_seconds": number("backoff", "retry.backoff_seconds"),
        "max_backoff_seconds": number("max_backoff", "retry.max_backoff_seconds"),
        "max_age_seconds": number("max_age", "retry.max_age_seconds"),
    });
    let is_retried = retry.as_object().is_some_and(|retry| retry.values().any(|value| !value.is_null()));
    fields.push(("retry", if is_retried { retry } else { Value::Null }));
    if !view.form.get("overlap").is_empty() {
        fields.push(("concurrency_policy", json!(view.form.get("overlap"))));
    }
    match labels_of(view.form.get("labels"), before) {
        Ok(labels) => fields.push(("metadata", json!({"labels": labels}))),
        Err(line) => {
            wrong.push(("metadata.labels", format!("has the line {line:?}, which is not like team=billing")))
        }
    }
    if kind == Kind::Call {
        match headers_of(view.form.get("headers"), before) {
            Ok(headers) => fields.push(("headers", Value::Object(headers))),
            Err(line) => wrong.push((
                "headers",
                format!("has the line {line:?}, which is not like Accept: text/plain, or comes twice"),
            )),
        }
        let given = |name: &str| Some(view.form.get(name)).filter(|text| !text.is_empty());
        if let Some(method) = given("method") {
            fields.push(("method", json!(method)));
        }
        let text = text_of(view, "body", before);
        if before.is_none_or(|it| shown(&it["body"]) != text) {
            fields.push(("body", if text.is_empty() { Value::Null } else { json!(text) }));
        }
        fields.push(("success_statuses", json!(given("statuses"))));
        // On edit an empty secret means "unchanged". For a new call it means none.
        for name in ["auth_header", "signing_secret"] {
            match given(name) {
                Some(secret) => fields.push((name, json!(secret))),
                None if is_new => fields.push((name, Value::Null)),
                None if view.form.get(&format!("no_{name}")) == "yes" => {
                    fields.push((name, if name == "auth_header" { json!("") } else { Value::Null }));
                }
                None => {}
            }
        }
    }
    for (name, value) in fields {
        if !is_new || !value.is_null() || name == "auth_header" {
            body.insert(name.to_owned(), value);
        }
    }
    match wrong.is_empty() {
        true => Ok(Value::Object(body)),
        false => Err(Refusal { errors: wrong, ..Refusal::new(422, "Some fields are not valid.") }),
    }
}

/// Labels from lines like `team=billing`. A removed label is `null`, which deletes it. `Err`: the line that
/// is not a label.
fn labels_of(lines: &str, before: Option<&Value>) -> Result<BTreeMap<String, Value>, String> {
    let known = before.and_then(|it| it["metadata"]["labels"].as_object()).into_iter().flatten();
    let mut labels: BTreeMap<String, Value> = known.map(|(key, _)| (key.clone(), Value::Null)).collect();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (key, value) = line.split_once('=').ok_or(line)?;
        labels.insert(key.trim().to_owned(), json!(value.trim()));
    }
    Ok(labels)
}

/// Headers from lines like `Accept: text/plain`. A name without a value keeps its value. `Err`: the line that
/// is not a header, or repeats a name.
pub(super) fn headers_of(lines: &str, before: Option<&Value>) -> Result<Map<String, Value>, String> {
    let mut headers = Map::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or(line)?;
        let (name, value) = (name.trim(), value.trim());
        let known = before.and_then(|it| it["headers"][name].as_str()).unwrap_or_default();
        let value = if value.is_empty() { known } else { value };
        if headers.insert(name.to_owned(), json!(value)).is_some() {
            return Err(line.to_owned());
        }
    }
    Ok(headers)
}

/// `changed` is the edited job or call. `None`: a new one.
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
    let is_refused = refusal.is_some_and(|it| MORE.iter().any(|name| it.of_field(name).is_some()));
    let filled =
        ["retries", "expect", "labels", "headers", "body"].iter().any(|name| !text(given, name).is_empty());
    let is_authorized = changed.map(|it| !text(it, "auth_header").is_empty());
    let authorization_hint = secret_hint("Sent with each call, as the header Authorization.", is_authorized);
    let signing_hint = secret_hint(
        "whsec_ and the base64 of 24 to 64 random bytes; each call is signed as Standard Webhooks says.",
        changed.map(|it| it["signed"] == true),
    );
    let methods = model::Method::ALL.map(|method| (method.as_str(), method.as_str()));
    let more = match kind {
        Kind::Job => "More: retries, labels, overdue, logs",
        Kind::Call => "More: headers, body, retries, labels, overdue, signature",
    };
    let headers_hint = match changed {
        None => "One per line, for example Content-Type: application/json.",
        Some(_) => {
            "One per line. Values are not shown. A name without a value keeps its value; removing the line \
             removes the header."
        }
    };
    let has_signature = changed.is_some_and(|it| it["signed"] == true);
    let main = html! {
        (refusal_notice(refusal))
        form.fields method="post" action=(action) {
            input type="hidden" name="form_token" value=(view.form_token());
            @if changed.is_none() {
                (field("App", "app", "app_guid", "text",
                    "The guid of the app. Where the service knows apps by name, the name works too."))
                datalist id="app-list" {
                    @for app in view.apps.iter().take(200) { option value=(app.guid) { (app.name) } }
                }
            }
            (field("Name", "name", "name", "text", ""))
            @if kind == Kind::Job {
                (field("Command", "command", "command", "textarea", ""))
                div.columns {
                    (field("Memory (MiB)", "memory", "memory_in_mb", "number", ""))
                    (field("Disk (MiB)", "disk", "disk_in_mb", "number", ""))
                }
            } @else {
                div.columns.request {
                    (choice("Method", "method", text(given, "method"), &methods))
                    (field("URL", "url", "url", "text", ""))
                }
                (field("Authorization", "auth_header", "auth_header", "password", &authorization_hint))
                @if is_authorized == Some(true) {
                    (removal("auth_header", "Remove it: send no Authorization"))
                }
            }
            div.columns {
                (field("Time-out (seconds)", "timeout", "timeout_seconds", "number",
                    "The longest that a run may take. Empty: the default."))
                (choice("When a run overlaps", "overlap", text(given, "overlap"), &POLICIES))
            }
            details open[is_refused || filled || has_signature] {
                summary { (more) }
                @if kind == Kind::Call {
                    (field("Headers", "headers", "headers", "textarea", headers_hint))
                    (field("Body", "body", "body", "textarea", "Sent with POST, PUT, PATCH and DELETE."))
                    (field("Success statuses", "statuses", "success_statuses", "text",
                        "Codes and ranges. Empty: 200-299."))
                    (field("Signing secret", "signing_secret", "signing_secret", "password", &signing_hint))
                    @if has_signature { (removal("signing_secret", "Remove it: do not sign")) }
                }
                div.columns {
                    (field("Retries", "retries", "retry.max_retries", "number",
                        "Further attempts after a failure. Empty: none."))
                    (field("Give up after (seconds)", "max_age", "retry.max_age_seconds", "number",
                        "Counted from the first attempt. Empty: never."))
                    (field("First delay (seconds)", "backoff", "retry.backoff_seconds", "number",
                        "It doubles with each attempt. Empty: 10."))
                    (field("Longest delay (seconds)", "max_backoff", "retry.max_backoff_seconds", "number",
                        "Empty: 3600."))
                }
                (field("Labels", "labels", "metadata.labels", "textarea",
                    "One per line, for example team=billing."))
                (field(
                    "Overdue after seconds without a success", "expect", "expect_success_within_seconds",
                    "number", "60 to 31,536,000; notifications report it. Empty: never overdue."))
                @if kind == Kind::Job {
                    (field("Log rate (bytes per second)", "log_rate", "log_rate_in_bps", "number",
                        "-1: unlimited. Empty: as it is."))
                }
            }
            div.actions { button.primary { "Save" } a href=(back) { "Back" } }
        }
    };
    Page::new(title, main).still()
}

fn secret_hint(what: &str, is_set: Option<bool>) -> String {
    match is_set {
        None => format!("{what} Empty: none."),
        Some(false) => format!("{what} None is set."),
        Some(true) => format!("{what} One is set, and is not shown. Empty: unchanged."),
    }
}

/// A check box that removes a secret.
pub(super) fn removal(name: &str, label: &str) -> Markup {
    let id = format!("no_{name}");
    html! {
        div.field.box { input id=(id) name=(id) type="checkbox" value="yes"; label for=(id) { (label) } }
    }
}

pub(super) fn choice(label: &str, name: &str, chosen: &str, choices: &[(&str, &str)]) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                @for (value, words) in choices { option value=(value) selected[chosen == *value] { (words) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_without_a_value_keeps_the_one_that_is_set() {
        let before = json!({"headers": {"A": "secret", "B": "old"}});
        let read = |lines| headers_of(lines, Some(&before)).map(Value::Object);
        let expected = json!({"A": "secret", "B": "new", "C": "a:b"});
        assert_eq!(read("A:\nB: new\r\n\nC: a:b"), Ok(expected));
        assert_eq!(read("A: 1\nA: 2"), Err("A: 2".to_owned()));
        assert_eq!(read("nonsense"), Err("nonsense".to_owned()));
    }

    #[test]
    fn a_label_whose_line_is_gone_is_taken_away() {
        let before = json!({"metadata": {"labels": {"team": "a", "tier": "1"}}});
        let labels = labels_of("team=b\nempty=", Some(&before)).unwrap();
        assert_eq!(json!(labels), json!({"team": "b", "tier": null, "empty": ""}));
    }
}
