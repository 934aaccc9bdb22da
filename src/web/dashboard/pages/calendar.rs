//! When it is crowded: the fire times to come, by quarters of an hour and by hours.

use std::collections::BTreeMap;

use maud::html;

use super::executions::{owner_of, row_name};
use super::missing;
use crate::model::Timestamp;
use crate::web::dashboard::ask::{encoded, list, text};
use crate::web::dashboard::components::bars;
use crate::web::dashboard::{Page, PageResult, View};

const QUARTER: i64 = 900;
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;
/// The most fire times that the API answers at once.
const TIMES_MAX: usize = 1000;

pub(in crate::web::dashboard) fn show(view: &View<'_>) -> PageResult {
    let space = view.space();
    let of_space = if space.is_empty() { String::new() } else { format!("&space_guid={}", encoded(space)) };
    let until = Timestamp::from_seconds(view.now.seconds() + 7 * DAY).unwrap_or(view.now);
    let target = format!("/upcoming?limit={TIMES_MAX}&until={}{of_space}", encoded(&until.to_string()));
    let upcoming = match view.get(&target) {
        Err(refusal) if refusal.is_unknown => {
            let main = html! { (missing("the fire times of all schedules")) };
            return Ok(Page::new("Calendar", main).into());
        }
        other => other?,
    };
    let rows = list(&upcoming, "resources");
    let mut quarters = vec![0_u64; 96];
    let mut hours = vec![0_u64; 168];
    let mut names: BTreeMap<String, u64> = BTreeMap::new();
    let mut often: Vec<String> = Vec::new();
    for row in rows {
        let Some(time) = Timestamp::parse(text(row, "fire_time")) else { continue };
        let ahead = time.seconds() - view.now.seconds();
        if let Some(count) = usize::try_from(ahead / QUARTER).ok().and_then(|at| quarters.get_mut(at)) {
            *count += 1;
        }
        if let Some(count) = usize::try_from(ahead / HOUR).ok().and_then(|at| hours.get_mut(at)) {
            *count += 1;
        }
        if ahead < DAY && owner_of(row).is_some() {
            *names.entry(row_name(row)).or_default() += 1;
        }
        if row["more_of_this"] == true {
            often.push(row_name(row));
        }
    }
    let label = |seconds: i64, range: std::ops::Range<usize>| {
        let time = Timestamp::from_seconds(view.now.seconds() + seconds).unwrap_or(view.now);
        view.local(time).get(range).unwrap_or_default().to_owned()
    };
    let quarters: Vec<(String, u64)> =
        (0..).zip(quarters).map(|(at, count)| (label(at * QUARTER, 11..16), count)).collect();
    let hours: Vec<(String, u64)> =
        (0..).zip(hours).map(|(at, count)| (label(at * HOUR, 5..10), count)).collect();
    let mut names: Vec<(String, u64)> = names.into_iter().collect();
    names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let main = html! {
        @if rows.is_empty() { div.empty { p { "Nothing is planned for the next seven days." } } } @else {
            h2 { "Next 24 hours" }
            (bars("Fire times in each quarter of an hour", "mark", &quarters))
            h2 { "Next 7 days" }
            (bars("Fire times in each hour", "mark", &hours))
            @if rows.len() == TIMES_MAX { p.quiet { "Only the next 1,000 fire times are counted." } }
            @if !often.is_empty() { p.quiet { "Counted up to 20 times only, because they fire often: "
                @for name in often.iter().take(20) { bdi { (name) } " " } } }
            h2 { "With what" }
            table {
                caption { "Fire times of the next 24 hours" }
                thead { tr { th scope="col" { "Name" } th.n scope="col" { "Times" } } }
                tbody { @for (name, count) in names.iter().take(25) {
                    tr { th scope="row" { bdi { (name) } } td.n data-label="Times" { (count) } }
                } }
            }
        }
    };
    Ok(Page::new("Calendar", main).into())
}
