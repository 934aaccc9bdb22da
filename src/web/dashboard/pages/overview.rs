//! What needs attention in a space: failures, what runs, what comes next.

use std::time::Duration;

use maud::{Markup, html};
use serde_json::{Value, json};
use tiny_http::Method;

use super::executions::{MESSAGE_CHARS_MAX, link_of, owner_of, row_name};
use crate::base::outage;
use crate::model::{Access, Guid, Timestamp};
use crate::platform::Named;
use crate::store::{Listed, SpacePause};
use crate::web::api::error::ApiError;
use crate::web::dashboard::ask::{Refusal, encoded, list, text};
use crate::web::dashboard::components::{STATES, cut, duration, fit, share, usual_length};
use crate::web::dashboard::{Page, PageResult, Reply, View, plural, short};

const DAY_NANOS: i64 = 86_400_000_000_000;
/// At least `BACKLOG_MIN` executions that have been due for longer than this are a backlog.
const BACKLOG_AGE: Duration = Duration::from_secs(30);
const BACKLOG_MIN: u64 = 100;
/// Counting a backlog stops here.
const BACKLOG_MAX: u32 = 1000;
/// Counting failures in a row stops here.
const IN_A_ROW_MAX: u32 = 20;
/// The usual duration is the median of this many executions.
const USUAL_OF: u32 = 20;
/// The most rows of a table on this page.
const ROWS_MAX: usize = 20;
/// A count that is at least this is shown as "1,000+".
const COUNT_MAX: u32 = 1000;
/// SUCCEEDED executions are counted among this many, which usually have enough of them.
const SUCCEEDED_AMONG: u32 = 2000;
/// The bytes of the names on this page, of the names of apps, and of the messages.
const NAMES_BYTES: usize = 6000;
const APPS_BYTES: usize = 2000;
const MESSAGES_BYTES: usize = 4000;
/// The newest failures, among which jobs and calls are looked for that still fail.
const FAILURES_MAX: u32 = 200;

pub(in crate::web::dashboard) fn show(view: &View<'_>) -> PageResult {
    let space = view.space();
    let of_space = if space.is_empty() { String::new() } else { format!("&space_guid={}", encoded(space)) };
    let since = view.now.shifted(-DAY_NANOS);
    let pause = match space {
        "" => None,
        space => Some(view.api.pause_of(&view.caller, space)?),
    };
    let failed = view.get(&format!("/executions?states=FAILED&per_page={FAILURES_MAX}{of_space}"))?;
    let failing = failing(view, &failed)?;
    let overdue = view.get(&format!("/overdue?limit={ROWS_MAX}{of_space}"))?;
    let overdue = list(&overdue, "resources");
    let most = u32::try_from(ROWS_MAX).unwrap_or(u32::MAX);
    let running = view.api.store.running(spaces(view).as_deref(), most).map_err(ApiError::from)?;
    let upcoming = view.get(&format!("/upcoming?limit={ROWS_MAX}{of_space}"))?;
    let upcoming = list(&upcoming, "resources");
    let room = Room {
        name: share(NAMES_BYTES, failing.len() + overdue.len() + running.len() + upcoming.len()),
        app: share(APPS_BYTES, overdue.len() + upcoming.len()),
        message: share(MESSAGES_BYTES, failing.len()),
    };
    let main = html! {
        (trouble_banner())
        (backlog_banner(view))
        @if let Some(Some(pause)) = &pause { (paused_banner(view, pause)) }
        (counts(view, since)?)
        (table_of_failing(view, &failing, &room))
        (table_of_overdue(view, overdue, &room))
        (table_of_running(view, &running, &room)?)
        h2 { "Next" }
        (table_of_upcoming(view, upcoming, &room))
    };
    Ok(Page::new("Overview", main).with_actions(pause_form(view, pause.as_ref())).into())
}

/// Pauses the space, or resumes it.
pub(in crate::web::dashboard) fn change(view: &View<'_>) -> PageResult {
    let note = Some(view.form.get("note")).filter(|note| !note.is_empty());
    let body = match view.form.get("do") {
        "pause" => json!({"paused": true, "paused_note": note}),
        "resume" => json!({"paused": false}),
        _ => return Err(Refusal::new(422, "There is no such action.")),
    };
    view.send(Method::Patch, &format!("/spaces/{}", encoded(view.space())), &body)?;
    Ok(Reply::Redirect(view.link("/")))
}

/// `pause` is the pause of the chosen space.
fn pause_form(view: &View<'_>, pause: Option<&Option<SpacePause>>) -> Markup {
    let Some(pause) = pause.filter(|_| Access::Support <= view.access()) else { return html! {} };
    let is_paused = pause.is_some();
    html! {
        form.actions method="post" action=(view.link("/")) {
            input type="hidden" name="form_token" value=(view.form_token());
            @if is_paused {
                button name="do" value="resume" { "Resume space" }
            } @else {
                label for="note" { "Note" }
                input id="note" name="note" type="text" maxlength="1000" autocomplete="off";
                button name="do" value="pause" { "Pause space" }
            }
        }
    }
}

fn paused_banner(view: &View<'_>, pause: &SpacePause) -> Markup {
    html! {
        div.notice role="status" {
            p {
                strong { "This space is paused." } " No schedule fires; running by hand works."
                @if let Some(until) = pause.until { " Until " (view.absolute(&until.to_string())) "." }
                @if !pause.by.is_empty() { " By " bdi { (pause.by) } "." }
            }
            @if let Some(note) = &pause.note { p { bdi { (note) } } }
        }
    }
}

/// Says if the database or the platform is not available.
fn trouble_banner() -> Markup {
    let troubles = [
        (
            outage::DATABASE.is_on(),
            "The database is not available.",
            "Nothing is lost: what is due runs when it is available again.",
        ),
        (
            outage::PLATFORM.is_on(),
            "The platform that runs the tasks is not available.",
            "Jobs are retried until it is.",
        ),
    ];
    html! {
        @for (_, what, then) in troubles.into_iter().filter(|(is_on, ..)| *is_on) {
            div.notice.bad role="alert" { p { strong { (what) } " " (then) } }
        }
    }
}

/// Says if many executions have been due for a while.
fn backlog_banner(view: &View<'_>) -> Markup {
    let since = view.now.saturating_sub(BACKLOG_AGE);
    // If the database is not available, the rest of the page says so.
    let count = view.api.store.backlog(since, BACKLOG_MAX).unwrap_or(0);
    html! {
        @if BACKLOG_MIN <= count {
            div.notice.bad role="alert" { p {
                strong { "There is a backlog." } " "
                @if u64::from(BACKLOG_MAX) <= count { "More than 1,000" } @else { (count) }
                " executions of all spaces have been due for more than 30 seconds and have not begun."
            } }
        }
    }
}

fn counts(view: &View<'_>, since: Timestamp) -> Result<Markup, Refusal> {
    let bounds = (COUNT_MAX, SUCCEEDED_AMONG);
    let counts =
        view.api.store.count_latest(spaces(view).as_deref(), since, bounds).map_err(ApiError::from)?;
    let from = view.local(since);
    let from = from.get(..16).unwrap_or_default().replace(' ', "T");
    Ok(html! {
        h2 { "Last 24 hours" }
        ul.counts {
            @for (state, shape, word) in STATES {
                @let found = counts.iter().find(|it| it.state.as_str() == state);
                @let count = found.map_or(0, |it| it.total);
                @let link = view.query.with(&[("state", state), ("from", &from)]);
                li { a href={ "/dashboard/executions" (link) } {
                    strong {
                        @if COUNT_MAX <= count { "1,000+" }
                        @else { (count) @if found.is_some_and(|it| it.may_be_more) { "+" } }
                    }
                    span class={ "state " (word) } { b aria-hidden="true" { (shape) } (word) }
                } }
            }
        }
        @if counts.iter().any(|it| it.may_be_more && it.total < COUNT_MAX) {
            p.quiet { "A + means that only the newest executions were counted." }
        }
    })
}

/// The path and query of the next page of a list.
pub(super) fn next_of(page: &Value) -> Option<(&str, &str)> {
    page["pagination"]["next"]["href"].as_str()?.split_once('?')
}

/// The bytes that a name of a job or call, the name of an app, and a message may take.
struct Room {
    name: usize,
    app: usize,
    message: usize,
}

/// Something that still fails.
struct Failing {
    name: String,
    /// The page of its newest execution.
    link: String,
    in_a_row: u32,
    since: String,
    message: String,
}

fn failing(view: &View<'_>, failed: &Value) -> Result<Vec<Failing>, Refusal> {
    let (mut guids, mut names) = (Vec::new(), Vec::new());
    for execution in list(failed, "resources") {
        let Some((_, guid)) = owner_of(execution) else { continue };
        let guid = Guid::from(guid);
        if !guids.contains(&guid) && guids.len() < ROWS_MAX {
            guids.push(guid);
            names.push(row_name(execution));
        }
    }
    let newest = view.newest_of(&guids, IN_A_ROW_MAX)?;
    let mut rows = Vec::new();
    for (name, runs) in names.into_iter().zip(newest) {
        let ended = runs.iter().filter(|it| matches!(text(it, "state"), "SUCCEEDED" | "FAILED"));
        let in_a_row: Vec<&Value> = ended.take_while(|it| text(it, "state") == "FAILED").collect();
        let Some((newest, first)) = in_a_row.first().zip(in_a_row.last()) else { continue };
        rows.push(Failing {
            name,
            link: link_of(text(newest, "guid")),
            in_a_row: u32::try_from(in_a_row.len()).unwrap_or(IN_A_ROW_MAX),
            since: text(first, "execution_end_time").to_owned(),
            message: text(newest, "message").to_owned(),
        });
    }
    Ok(rows)
}

/// What a caption adds if there may be more than the rows of a full table.
fn newest_of(rows: usize) -> String {
    if rows < ROWS_MAX { String::new() } else { format!(": the newest {ROWS_MAX}") }
}

fn the_first(rows: usize) -> String {
    if rows < ROWS_MAX { String::new() } else { format!(": the first {ROWS_MAX}") }
}

fn table_of_failing(view: &View<'_>, rows: &[Failing], room: &Room) -> Markup {
    html! {
        h2 { "Failing now" }
        @if rows.is_empty() { p.quiet { "Nothing is failing." } } @else {
            table {
                caption { "Jobs and calls whose last execution failed" (newest_of(rows.len())) }
                thead { tr {
                    th scope="col" { "Name" }
                    th scope="col" { "Since" }
                    th.n scope="col" { "In a row" }
                    th scope="col" { "Last message" }
                } }
                tbody { @for it in rows { tr {
                    th scope="row" { a href=(it.link) { bdi { (fit(&it.name, room.name)) } } }
                    td data-label="Since" { (view.time(&it.since)) }
                    td.n data-label="In a row" {
                        @if it.in_a_row < IN_A_ROW_MAX { (it.in_a_row) } @else { (IN_A_ROW_MAX) "+" }
                    }
                    td data-label="Last message" {
                        bdi { (fit(&cut(&it.message, MESSAGE_CHARS_MAX), room.message)) }
                    }
                } } }
            }
        }
    }
}

fn table_of_overdue(view: &View<'_>, rows: &[Value], room: &Room) -> Markup {
    view.learn_names(Named::App, rows.iter().map(|row| text(row, "app_guid")));
    html! {
        @if !rows.is_empty() {
            h2 { "Overdue" }
            table {
                caption { "Jobs and calls that have not succeeded for too long" (the_first(rows.len())) }
                thead { tr { th scope="col" { "Name" } th scope="col" { "Overdue since" }
                    th scope="col" { "Expected every" } th scope="col" { "App" } } }
                tbody { @for row in rows { @if let Some((kind, guid)) = owner_of(row) { tr {
                    @let link = format!("/dashboard/{}/{}", plural(kind), encoded(guid));
                    th scope="row" { a href=(link) { bdi { (fit(&row_name(row), room.name)) } } }
                    td data-label="Overdue since" { (view.time(text(row, "overdue_since"))) }
                    td data-label="Expected every" {
                        @let seconds = row["expect_success_within_seconds"].as_i64().unwrap_or_default();
                        (duration(seconds.saturating_mul(1_000_000_000)))
                    }
                    td data-label="App" { bdi { (fit(&view.app_name(text(row, "app_guid")), room.app)) } }
                } } } }
            }
        }
    }
}

fn table_of_running(
    view: &View<'_>,
    running: &[(Guid, Listed, Option<Timestamp>)],
    room: &Room,
) -> Result<Markup, Refusal> {
    let owners: Vec<Guid> = running.iter().map(|(_, of, _)| of.guid.clone()).collect();
    let newest = view.newest_of(&owners, USUAL_OF)?;
    Ok(html! {
        h2 { "Running" }
        @if running.is_empty() { p.quiet { "Nothing is running." } } @else {
            table {
                caption { "Running executions, newest first" (newest_of(running.len())) }
                thead {
                    tr { th scope="col" { "Name" } th scope="col" { "Started" } th scope="col" { "Usual" } }
                }
                tbody { @for ((guid, of, start), runs) in running.iter().zip(&newest) {
                    @let usual = usual_length(runs, view.now);
                    @let elapsed = start.map(|start| view.now.nanos().saturating_sub(start.nanos()));
                    @let is_over = usual.zip(elapsed).is_some_and(|(usual, now)| 2 * usual < now);
                    @let link = link_of(guid.as_str());
                    tr {
                        th scope="row" { a href=(link) { bdi { (fit(&of.name, room.name)) } } }
                        td data-label="Started" {
                            (view.time(&start.map(|it| it.to_string()).unwrap_or_default()))
                        }
                        td data-label="Usual" {
                            @if let Some(usual) = usual { (duration(usual)) } @else { span.quiet { "–" } }
                            @if is_over { " · longer than usual" }
                        }
                    }
                } }
            }
        }
    })
}

/// The chosen space, or those of the caller; `None`: all.
fn spaces(view: &View<'_>) -> Option<Vec<Guid>> {
    match view.space() {
        "" => view.caller.spaces().map(|spaces| spaces.into_iter().collect()),
        space => Some(vec![Guid::from(space)]),
    }
}

fn table_of_upcoming(view: &View<'_>, rows: &[Value], room: &Room) -> Markup {
    view.learn_names(Named::App, rows.iter().map(|row| text(row, "app_guid")));
    html! {
        @if rows.is_empty() { p.quiet { "Nothing is planned for the next 24 hours." } } @else {
            table {
                caption { "The next fire times" }
                thead { tr { th scope="col" { "Name" } th scope="col" { "Kind" } th scope="col" { "Fires" }
                    th scope="col" { "At" } th scope="col" { "App" } } }
                tbody { @for row in rows { @if let Some((kind, guid)) = owner_of(row) { tr {
                    th scope="row" {
                        a href={ "/dashboard/" (plural(kind)) "/" (encoded(guid)) } {
                            bdi { (fit(&row_name(row), room.name)) }
                        }
                    }
                    td data-label="Kind" { (kind.as_str()) }
                    td data-label="Fires" { (view.time(text(row, "fire_time"))) }
                    td data-label="At" { (view.absolute(text(row, "fire_time"))) }
                    td data-label="App" { bdi { (fit(&view.app_name(text(row, "app_guid")), room.app)) } }
                } } } }
            }
        }
    }
}

/// The name of an execution's job or call, or the beginning of its guid if the API does not tell it.
pub(super) fn name_or_guid(execution: &Value) -> String {
    match text(execution, "name") {
        "" => owner_of(execution).map_or_else(String::new, |(_, guid)| short(guid)),
        name => name.to_owned(),
    }
}
