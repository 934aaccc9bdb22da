//! Upcoming fire times, counted by quarters of an hour and by hours.

use maud::{Markup, html};
use serde_json::Value;

use super::executions::{owner_of, row_name};
use crate::model::Timestamp;
use crate::platform::Named;
use crate::web::dashboard::ask::{encoded, list, text};
use crate::web::dashboard::components::{Bar, bars, fit, share};
use crate::web::dashboard::{Page, PageResult, View, plural};

const QUARTER: i64 = 900;
const HOUR: i64 = 3600;
/// The bytes of the names in a table, and of the names of apps.
const NAMES_BYTES: usize = 4000;
const APPS_BYTES: usize = 1000;

pub(in crate::web::dashboard) fn show(view: &View<'_>) -> PageResult {
    let space = view.space();
    let of_space = if space.is_empty() { String::new() } else { format!("?space_guid={}", encoded(space)) };
    let counts = match view.get(&format!("/upcoming/counts{of_space}")) {
        Err(refusal) if refusal.status == 503 => {
            let main =
                html! { div.empty { p { (refusal.text) ". This page shows them when they are there." } } };
            return Ok(Page::new("Calendar", main).into());
        }
        other => other?,
    };
    // A bar is labelled by what `label` makes of its local time, `11-28 06:15`.
    let times = |name: &str, from: &str, length: i64, label: fn(&str) -> &str| {
        let start = Timestamp::parse(text(&counts, from)).unwrap_or(view.now).seconds();
        let bar = |(at, count): (i64, &Value)| {
            let time = Timestamp::from_seconds(start + at * length).unwrap_or(view.now);
            let name = view.local(time).get(5..16).unwrap_or_default().to_owned();
            let label = label(&name).to_owned();
            Bar::of_count(name, count.as_u64().unwrap_or(0), label)
        };
        (0..).zip(list(&counts, name)).map(bar).collect::<Vec<Bar>>()
    };
    let rows = list(&counts, "busiest").iter().chain(list(often_of(&counts), "resources"));
    view.learn_names(Named::App, rows.map(|row| text(row, "app_guid")));
    let quarters = times("quarters", "quarters_from", QUARTER, hour_of);
    let hours = times("hours", "hours_from", HOUR, day_of);
    let often = often_of(&counts);
    let is_empty = hours.iter().all(|bar| bar.value == 0) && often["count"] == 0;
    let main = html! {
        @if is_empty { div.empty { p { "Nothing is planned for the next seven days." } } } @else {
            h2 { "Next 24 hours" }
            (chart("Fire times per quarter of an hour", &quarters, often))
            h2 { "Next 7 days" }
            (chart("Fire times per hour", &hours, often))
            (table(view, "Schedules that fire most often in the next 24 hours", list(&counts, "busiest")))
            (table(view, "Schedules that fire more often than every 15 minutes", list(often, "resources")))
            p.quiet {
                "Counted " (view.time(text(&counts, "counted_at"))) ", at most once a minute. Times in "
                (view.zone_name) "."
            }
        }
    };
    Ok(Page::new("Calendar", main).into())
}

/// The label of a quarter of an hour, `11-28 06:00`.
fn hour_of(name: &str) -> &str {
    if name.ends_with(":00") { name.get(6..).unwrap_or_default() } else { "" }
}

/// The label of an hour, `11-28 00:00`.
fn day_of(name: &str) -> &str {
    name.strip_suffix(" 00:00").unwrap_or_default()
}

fn often_of(counts: &Value) -> &Value {
    &counts["often"]
}

/// Bars, and below them one band for schedules that fire more often than every 15 minutes.
fn chart(title: &str, counts: &[Bar], often: &Value) -> Markup {
    let count = often["count"].as_u64().unwrap_or(0);
    html! {
        @if counts.iter().any(|bar| 0 < bar.value) { (bars(title, "mark", counts)) }
        @if 0 < count {
            p.band {
                (count) " more " @if count == 1 { "fires" } @else { "fire" }
                " all the time, more often than every 15 minutes"
            }
        }
    }
}

fn table(view: &View<'_>, caption: &str, rows: &[Value]) -> Markup {
    if rows.is_empty() {
        return html! {};
    }
    let (names, apps) = (share(NAMES_BYTES, rows.len()), share(APPS_BYTES, rows.len()));
    html! {
        table {
            caption { (caption) }
            thead {
                tr {
                    th scope="col" { "Name" }
                    th scope="col" { "Kind" }
                    th scope="col" { "App" }
                    th.n scope="col" { "Fire times" }
                }
            }
            tbody { @for row in rows { @if let Some((kind, guid)) = owner_of(row) { tr {
                th scope="row" {
                    a href={ "/dashboard/" (plural(kind)) "/" (encoded(guid)) } {
                        bdi { (fit(&row_name(row), names)) }
                    }
                }
                td data-label="Kind" { (kind.as_str()) }
                td data-label="App" { bdi { (fit(&view.app_name(text(row, "app_guid")), apps)) } }
                td.n data-label="Fire times" {
                    @if let Some(count) = row["fire_times"].as_u64() { (count) } @else { "more than 96" }
                }
            } } } }
        }
    }
}
