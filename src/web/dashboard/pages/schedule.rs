//! The editor of a schedule, with a preview of what it means.

use maud::{Markup, html};
use serde_json::{Value, json};
use tiny_http::Method;

use super::editor::choice;
use super::executions::instant_of;
use crate::cron::zone_names;
use crate::model::{Kind, Timestamp};
use crate::web::dashboard::ask::{Refusal, encoded, list, text};
use crate::web::dashboard::components::{Field, refusal_notice};
use crate::web::dashboard::{Page, PageResult, Reply, View, plural};

const PREVIEWED: u32 = 10;
const MISFIRES: [(&str, &str); 4] = [
    ("", "As the service's settings say"),
    ("skip", "Skip them"),
    ("once", "Run once"),
    ("all", "Run all of them"),
];
/// Fields behind "More" that may have an error.
const MORE: [&str; 4] = ["starts_at", "ends_at", "jitter_seconds", "misfire_policy"];

pub(in crate::web::dashboard) fn new(view: &View<'_>, kind: Kind, guid: &str) -> PageResult {
    // The preview has an address, so a link can carry the fields.
    let given = json!({"expression": view.query.get("expression"), "timezone": view.query.get("timezone")});
    form(view, kind, guid, None, &given, None).map(Into::into)
}

pub(in crate::web::dashboard) fn edit(view: &View<'_>, kind: Kind, guid: &str, schedule: &str) -> PageResult {
    let found = find(view, kind, guid, schedule)?;
    form(view, kind, guid, Some(schedule), &filled(view, &found), None).map(Into::into)
}

/// The form's fields for an existing schedule.
fn filled(view: &View<'_>, schedule: &Value) -> Value {
    let jitter = schedule["jitter_seconds"].as_u64().filter(|seconds| 0 < *seconds);
    json!({
        "expression": text(schedule, "expression"), "timezone": text(schedule, "timezone"),
        "description": text(schedule, "description"), "dialect": text(schedule, "dialect"),
        "starts": local_of(view, schedule, "starts_at"), "ends": local_of(view, schedule, "ends_at"),
        "jitter": jitter.map(|seconds| seconds.to_string()).unwrap_or_default(),
        "misfire": text(schedule, "misfire_policy"),
    })
}

/// An instant of a schedule as local time of the chosen zone, for the form.
fn local_of(view: &View<'_>, schedule: &Value, name: &str) -> String {
    let time = Timestamp::parse(text(schedule, name));
    time.map(|time| view.local(time).replace(' ', "T")).unwrap_or_default()
}

fn typed(view: &View<'_>) -> Value {
    let fields = view.form.0.iter().filter(|(name, _)| name != "form_token");
    Value::Object(fields.map(|(name, value)| (name.clone(), json!(value))).collect())
}

/// The body of a request to the API. `before` is the edited schedule.
fn body_of(view: &View<'_>, before: Option<&Value>) -> Result<Value, Refusal> {
    let given = |name: &str| Some(view.form.get(name)).filter(|text| !text.is_empty());
    let mut wrong = Vec::new();
    let mut body = json!({"description": given("description"), "misfire_policy": given("misfire")});
    // A changed expression gets the current dialect, so an unchanged one is not sent.
    if before.is_none_or(|it| text(it, "expression") != view.form.get("expression")) {
        body["expression"] = json!(view.form.get("expression"));
    }
    // Without a zone, a new schedule gets the zone of the settings.
    if before.is_some() || given("timezone").is_some() {
        body["timezone"] = json!(given("timezone"));
    }
    match given("jitter").map(str::parse::<u32>) {
        Some(Err(_)) => wrong.push(("jitter_seconds", "is not a whole number".to_owned())),
        Some(Ok(seconds)) => body["jitter_seconds"] = json!(seconds),
        None => body["jitter_seconds"] = Value::Null,
    }
    for (field, name) in [("starts", "starts_at"), ("ends", "ends_at")] {
        // An unchanged instant is kept, because it is more exact than the form shows.
        if before.is_some_and(|it| local_of(view, it, name) == view.form.get(field)) {
            continue;
        }
        body[name] = match given(field).map(|local| instant_of(view, local)) {
            None => Value::Null,
            Some(Some(time)) => json!(time.to_string()),
            Some(None) => {
                wrong.push((name, "is no time like 2026-03-01T18:00".to_owned()));
                Value::Null
            }
        };
    }
    match wrong.is_empty() {
        true => Ok(body),
        false => Err(Refusal { errors: wrong, ..Refusal::new(422, "Some fields are not valid.") }),
    }
}

fn find(view: &View<'_>, kind: Kind, guid: &str, schedule: &str) -> Result<Value, Refusal> {
    let mut number = 1;
    loop {
        let page = view.get(&format!("{}?page={number}&per_page=500", target_of(kind, guid)))?;
        let schedules = list(&page, "resources");
        if let Some(found) = schedules.iter().find(|it| text(it, "guid") == schedule) {
            return Ok(found.clone());
        }
        if schedules.len() < 500 {
            return Err(Refusal::new(404, "There is no such schedule, or you may not see it."));
        }
        number += 1;
    }
}

fn target_of(kind: Kind, guid: &str) -> String {
    format!("/{}/{}/schedules", plural(kind), encoded(guid))
}

/// Previews, saves, enables, disables or deletes. `schedule` is the edited one. `None`: a new one.
pub(in crate::web::dashboard) fn save(
    view: &View<'_>,
    kind: Kind,
    guid: &str,
    schedule: Option<&str>,
) -> PageResult {
    let target = target_of(kind, guid);
    let own = schedule.map(|schedule| format!("{target}/{}", encoded(schedule)));
    let back = Ok(Reply::Redirect(format!("/dashboard/{}/{}", plural(kind), encoded(guid))));
    let done = match (view.form.get("do"), own) {
        ("preview", _) => {
            return form(view, kind, guid, schedule, &typed(view), None).map(Into::into);
        }
        ("enable" | "disable", Some(own)) => {
            let is_enabled = view.form.get("do") == "enable";
            view.send(Method::Patch, &own, &json!({"enabled": is_enabled}))
        }
        ("delete", Some(_)) => return ask_delete(view, kind, guid, schedule.unwrap_or_default()),
        ("delete-for-good", Some(own)) => view.send(Method::Delete, &own, &Value::Null),
        (_, own) => {
            let before = schedule.map(|schedule| find(view, kind, guid, schedule)).transpose()?;
            body_of(view, before.as_ref()).and_then(|body| match &own {
                Some(own) => view.send(Method::Patch, own, &body),
                None => view.send(Method::Post, &target, &body),
            })
        }
    };
    match done {
        Ok(_) => back,
        Err(refusal) if refusal.status == 422 => {
            Ok(form(view, kind, guid, schedule, &typed(view), Some(&refusal))?.with_status(422).into())
        }
        Err(refusal) => Err(refusal),
    }
}

/// The page that asks before something is deleted.
fn ask_delete(view: &View<'_>, kind: Kind, guid: &str, schedule: &str) -> PageResult {
    let found = find(view, kind, guid, schedule)?;
    let of = format!("/dashboard/{}/{}", plural(kind), encoded(guid));
    let own = format!("{of}/schedules/{}", encoded(schedule));
    let main = html! {
        div.notice.bad {
            p {
                "The schedule " code { bdi { (text(&found, "expression")) } }
                " is deleted. Its executions that still wait are cancelled."
            }
        }
        div.actions {
            (view.button(&own, "delete-for-good", "Delete for good", "danger")) a href=(of) { "Back" }
        }
    };
    Ok(Page::new("Delete schedule", main).still().into())
}

fn form(
    view: &View<'_>,
    kind: Kind,
    guid: &str,
    schedule: Option<&str>,
    given: &Value,
    refusal: Option<&Refusal>,
) -> Result<Page, Refusal> {
    let it = view.get(&format!("/{}/{}", plural(kind), encoded(guid)))?;
    view.must_work_in(text(&it, "space_guid"))?;
    let of = format!("/dashboard/{}/{}", plural(kind), encoded(guid));
    let action = match schedule {
        Some(schedule) => format!("{of}/schedules/{}", encoded(schedule)),
        None => format!("{of}/schedules/new"),
    };
    let field = |label, name, api_name, kind, hint| {
        Field { label, name, value: text(given, name), kind, api_name, hint }.show(refusal)
    };
    let is_refused = refusal.is_some_and(|it| MORE.iter().any(|name| it.of_field(name).is_some()));
    let is_filled = ["starts", "ends", "jitter", "misfire"].iter().any(|name| !text(given, name).is_empty());
    let shown_zone = format!("Local time in {}. Empty: from now on.", view.zone_name);
    let shown_end = format!("Local time in {}. Empty: no end.", view.zone_name);
    let zone_hint = match view.api.default_timezone.as_deref() {
        Some(zone) => format!("Like Europe/Berlin. Empty: {zone}."),
        None => "Like Europe/Berlin. Empty: UTC.".to_owned(),
    };
    let main = html! {
        p { "For the " (kind.as_str()) " " a href=(of) { bdi { (text(&it, "name")) } } "." }
        (refusal_notice(refusal))
        form.fields method="post" action=(action) {
            input type="hidden" name="form_token" value=(view.form_token());
            (field("Expression", "expression", "expression", "text",
                "Minute, hour, day, month, weekday: 30 9 * * MON-FRI. Also @daily, @every 10m, \
                 @at 2026-12-31T23:59:00Z."))
            (field("Time zone", "timezone", "timezone", "text", &zone_hint))
            datalist id="timezone-list" { @for zone in zone_names() { option value=(zone) {} } }
            (field("Description", "description", "description", "text", ""))
            div.preview id="preview" aria-live="polite" { (preview(view, given, schedule.is_some())) }
            details open[is_refused || is_filled] {
                summary { "More: start and end, jitter, missed fire times" }
                div.columns {
                    (field("Starts", "starts", "starts_at", "datetime-local", &shown_zone))
                    (field("Ends", "ends", "ends_at", "datetime-local", &shown_end))
                    (field("Jitter (seconds)", "jitter", "jitter_seconds", "number",
                        "Each run starts up to this much later, by a random delay. At most 3600."))
                    (choice("When fire times are missed", "misfire", text(given, "misfire"), &MISFIRES))
                }
            }
            div.actions {
                // Enter presses the first button.
                button.primary name="do" value="save" { "Save" }
                button name="do" value="preview" { "Preview" }
                @if schedule.is_some() { button.danger name="do" value="delete" { "Delete" } }
                a href=(of) { "Back" }
            }
        }
    };
    let title = if schedule.is_some() { "Edit schedule" } else { "New schedule" };
    Ok(Page::new(title, main).still())
}

/// `2026-03-01T18:00:00+01:00` as people write it.
fn spaced(local: &str) -> String {
    match local.split_at_checked(19) {
        Some((time, offset)) => format!("{} {offset}", time.replace('T', " ")),
        None => local.to_owned(),
    }
}

/// The meaning of the expression: words, the next fire times in its zone and in UTC, warnings.
fn preview(view: &View<'_>, given: &Value, is_known: bool) -> Markup {
    let expression = text(given, "expression");
    if expression.is_empty() {
        return html! { p.quiet { "Enter an expression to see what it means." } };
    }
    let mut target = format!("/cron/next?count={PREVIEWED}&expression={}", encoded(expression));
    if !text(given, "timezone").is_empty() {
        target = format!("{target}&timezone={}", encoded(text(given, "timezone")));
    }
    if let Some(dialect) = given["dialect"].as_str().filter(|name| is_known && !name.is_empty()) {
        target = format!("{target}&dialect={}", encoded(dialect));
    }
    let meaning = match view.get(&target) {
        Ok(meaning) => meaning,
        Err(refusal) => {
            let told = refusal.errors.iter().map(|(field, detail)| format!("{field} {detail}"));
            let told = told.collect::<Vec<_>>().join("; ");
            let shown = if told.is_empty() { refusal.text.as_str() } else { told.as_str() };
            return html! { p.failed { (shown) } };
        }
    };
    let times = list(&meaning, "fire_times").iter().zip(list(&meaning, "local_times"));
    html! {
        p { strong { (text(&meaning, "description")) } }
        @for warning in list(&meaning, "warnings") { p.sub { "⚠ " (text(warning, "message")) } }
        @if list(&meaning, "fire_times").is_empty() { p { "It never fires." } } @else {
            ol { @for (time, local) in times {
                @let utc = time.as_str().unwrap_or_default();
                @let age = Timestamp::parse(utc).map(|time| view.local(time)).unwrap_or_default();
                li {
                    time datetime=(utc) title={ (age) " " (view.zone_name) } {
                        (spaced(local.as_str().unwrap_or_default()))
                    }
                    " " span.quiet { "· " (utc.get(..19).unwrap_or(utc).replace('T', " ")) " UTC" } }
            } }
        }
    }
}
