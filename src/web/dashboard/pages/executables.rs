//! Lists of jobs or calls.

use std::cmp::Reverse;

use maud::{Markup, html};
use serde_json::Value;

use crate::model::{Access, Guid, Kind};
use crate::platform::Named;
use crate::web::dashboard::ask::{Refusal, encoded, list as members, text};
use crate::web::dashboard::components::{duration, fit, labels, next_of, share, state, strip, usual_length};
use crate::web::dashboard::layout::next_page;
use crate::web::dashboard::{Page, PageResult, View, plural};

const PER_PAGE: usize = 25;
/// The most jobs or calls that are sorted. A longer list is in order of creation.
const SORTED_MAX: usize = 500;
const STRIP: u32 = 20;
/// The bytes of the names in the list, of the names of apps, and of the labels.
const NAMES_BYTES: usize = 7000;
const APPS_BYTES: usize = 2000;
const LABELS_BYTES: usize = 4500;

/// The orders besides that of creation.
const SORTS: [&str; 3] = ["name", "next", "failure"];

/// The orders of the list, and their values of `sort`.
const ORDERS: [(&str, &str); 4] =
    [("Oldest first", ""), ("By name", "name"), ("By next", "next"), ("By last failure", "failure")];

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
    let sort = Some(view.query.get("sort")).filter(|it| SORTS.contains(it)).unwrap_or_default();
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
                @if view.may_change() {
                    p { a href={ (view.link(&format!("/{path}/new"))) } { "New " (kind.as_str()) } }
                }
            }
        } @else {
            ul.presets { @for (name, key) in ORDERS {
                li {
                    a href={ "/dashboard/" (path) (view.query.with(&[("sort", key), ("page", "")])) }
                        aria-current=[(sort == key).then_some("true")] {
                        (name)
                    }
                }
            } }
            @if !is_sorted {
                p.quiet {
                    "More than " (SORTED_MAX)
                    " are listed in the order in which they were made. Choose a space to sort fewer."
                }
            }
            (table(view, kind, &rows, total)?)
            @if number.saturating_mul(PER_PAGE) < total {
                (next_page(&format!("/dashboard/{path}"), &view.query, "page", &(number + 1).to_string()))
            }
        }
    };
    let actions = html! {
        @if view.may_change() {
            a.button.primary href=(view.link(&format!("/{path}/new"))) { "New " (kind.as_str()) }
        }
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

fn table(view: &View<'_>, kind: Kind, rows: &[Value], total: usize) -> Result<Markup, Refusal> {
    let guids: Vec<Guid> = rows.iter().map(|row| Guid::from(text(row, "guid"))).collect();
    let newest = view.newest_of(&guids, STRIP)?;
    view.learn_names(Named::App, rows.iter().map(|row| text(row, "app_guid")));
    let (names, apps) = (share(NAMES_BYTES, rows.len()), share(APPS_BYTES, rows.len()));
    let room_of_labels = share(LABELS_BYTES, rows.len());
    Ok(html! {
        @if Access::Support <= view.access() { (view.form_of_rows()) }
        table {
            caption { (total) " " @if total == 1 { (kind.as_str()) } @else { (plural(kind)) } }
            thead { tr {
                th scope="col" { "Name" } th scope="col" { "App" } th scope="col" { "Last " (STRIP) }
                th scope="col" { "Next" } th scope="col" { "Last end" } th.n scope="col" { "Usual" }
                @if Access::Support <= view.access() { th.do scope="col" { "Actions" } }
            } }
            tbody { @for (row, runs) in rows.iter().zip(&newest) {
                @let guid = text(row, "guid");
                @let target = format!("/{}/{}", plural(kind), encoded(guid));
                @let ended = runs.iter().find(|it| !it["execution_end_time"].is_null());
                tr {
                    th scope="row" {
                        a href={ "/dashboard" (target) } { bdi { (fit(text(row, "name"), names)) } }
                        div.sub {
                            (labels(row, room_of_labels))
                            @if row["paused"] == true { span.label { "paused" } }
                        }
                    }
                    td data-label="App" { bdi { (fit(&view.app_name(text(row, "app_guid")), apps)) } }
                    td data-label="Last 20" { (strip(runs)) }
                    td data-label="Next" { (view.time(next_of(row))) }
                    td data-label="Last end" {
                        @if let Some(ended) = ended {
                            span {
                                (state(text(ended, "state"))) " "
                                (view.time(text(ended, "execution_end_time")))
                            }
                        }
                        @else { span.quiet { "–" } }
                    }
                    td.n data-label="Usual" {
                        @if let Some(usual) = usual_length(runs, view.now) {
                            (duration(usual))
                        } @else {
                            span.quiet { "–" }
                        }
                    }
                    @if Access::Support <= view.access() {
                        @let access = view.access_to(text(row, "space_guid"));
                        @let page = format!("/dashboard{target}");
                        td.do data-label="Actions" { div.actions.small {
                            @if Access::Work <= access { (view.row_button(&page, "run", "Run now")) }
                            @if Access::Support <= access {
                                @if row["paused"] == true { (view.row_button(&page, "resume", "Resume")) }
                                @else { (view.row_button(&page, "pause", "Pause")) }
                            }
                        } }
                    }
                }
            } }
        }
    })
}
