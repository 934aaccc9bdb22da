//! The parts that pages are made of: states, times, strips, charts, fields, buttons.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use maud::{Markup, html};
use serde_json::Value;

use super::View;
use super::ask::{Refusal, list, text};
use crate::model::Timestamp;

/// The widest bar of a chart.
const BAR_MAX: usize = 30;
/// The width of a character of a chart's label. A chart is 720 wide.
const LABEL_CHAR: usize = 6;
/// The most characters of a URL that are shown.
const URL_CHARS_MAX: usize = 200;
/// The bounds of a text in a list, in bytes.
const SHARE_MIN: usize = 48;
const SHARE_MAX: usize = 1600;
/// What a label takes besides its text.
const LABEL_BYTES: usize = 40;
const FORM_OF_ROWS: &str = "rows";
/// How many outcomes a strip shows.
const STRIP_MAX: usize = 20;
const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

/// The states of an execution, each with its shape and its word.
pub(super) const STATES: [(&str, &str, &str); 5] = [
    ("FAILED", "✕", "failed"),
    ("RUNNING", "▶", "running"),
    ("PENDING", "○", "pending"),
    ("SUCCEEDED", "✓", "succeeded"),
    ("SKIPPED", "–", "skipped"),
];

pub(super) fn state(name: &str) -> Markup {
    let Some((_, shape, word)) = STATES.into_iter().find(|(other, _, _)| *other == name) else {
        return html! { bdi { (name) } };
    };
    html! { span class={ "state " (word) } { b aria-hidden="true" { (shape) } (word) } }
}

/// "5 min ago", "in 3 h". The script ages it in the same words.
pub(super) fn relative(then: Timestamp, now: Timestamp) -> String {
    let seconds = then.seconds() - now.seconds();
    let span = span(seconds.abs());
    if 0 < seconds { format!("in {span}") } else { format!("{span} ago") }
}

/// A duration in its largest unit.
fn span(seconds: i64) -> String {
    match seconds {
        ..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..172_800 => format!("{} h", seconds / HOUR),
        _ => format!("{} d", seconds / DAY),
    }
}

/// How long something took: "820 ms", "4.2 s", "3 min 5 s".
pub(super) fn duration(nanos: i64) -> String {
    let ms = nanos / 1_000_000;
    match ms {
        ..1000 => format!("{} ms", ms.max(0)),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => with_rest(ms / 60_000, "min", ms / 1000 % 60, "s"),
        _ => with_rest(ms / 3_600_000, "h", ms / 60_000 % 60, "min"),
    }
}

fn with_rest(count: i64, unit: &str, rest: i64, smaller: &str) -> String {
    if rest == 0 { format!("{count} {unit}") } else { format!("{count} {unit} {rest} {smaller}") }
}

/// How long an execution ran, or has run so far.
pub(super) fn length_of(execution: &Value, now: Timestamp) -> Option<i64> {
    let start = Timestamp::parse(text(execution, "execution_start_time"))?;
    let end = Timestamp::parse(text(execution, "execution_end_time")).unwrap_or(now);
    Some(end.nanos().saturating_sub(start.nanos()))
}

/// The median duration of the successful ones.
pub(super) fn usual_length(executions: &[Value], now: Timestamp) -> Option<i64> {
    let succeeded = executions.iter().filter(|it| text(it, "state") == "SUCCEEDED");
    let mut lengths: Vec<i64> = succeeded.filter_map(|it| length_of(it, now)).collect();
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied()
}

impl View<'_> {
    /// An instant in the chosen zone: "2026-11-26 20:51:27".
    pub(super) fn local(&self, time: Timestamp) -> String {
        let offset = i64::from(self.zone.offset_at(time.seconds()));
        let shown = Timestamp::from_seconds(time.seconds().saturating_add(offset));
        let shown = shown.map(|it| it.to_string()).unwrap_or_default();
        shown.get(..19).unwrap_or(&shown).replace('T', " ")
    }

    /// The chosen zone's hour of the day and day of the week (0 is Monday) of an instant.
    pub(super) fn hour_and_weekday(&self, time: Timestamp) -> (usize, usize) {
        let local = time.seconds() + i64::from(self.zone.offset_at(time.seconds()));
        let hour = local.rem_euclid(DAY) / HOUR;
        let weekday = (local.div_euclid(DAY) + 3).rem_euclid(7);
        (usize::try_from(hour).unwrap_or(0), usize::try_from(weekday).unwrap_or(0))
    }

    /// The absolute time, with the zone and without the relative time, for long lists.
    pub(super) fn plain(&self, rfc3339: &str) -> Markup {
        let Some(time) = Timestamp::parse(rfc3339) else { return html! { span.quiet { "–" } } };
        html! { time datetime=(rfc3339) { (self.local(time)) " " (self.zone_name) } }
    }

    /// A relative time, with the absolute time as its title.
    pub(super) fn time(&self, rfc3339: &str) -> Markup {
        let Some(time) = Timestamp::parse(rfc3339) else { return html! { span.quiet { "–" } } };
        html! {
            time datetime=(rfc3339) title={ (self.local(time)) " " (self.zone_name) } data-relative {
                (relative(time, self.now))
            }
        }
    }

    /// The absolute time, with the zone.
    pub(super) fn absolute(&self, rfc3339: &str) -> Markup {
        let Some(time) = Timestamp::parse(rfc3339) else { return html! { span.quiet { "–" } } };
        html! {
            time datetime=(rfc3339) title=(relative(time, self.now)) {
                (self.local(time)) " " (self.zone_name)
            }
        }
    }

    /// A form that consists of one button.
    pub(super) fn button(&self, action: &str, does: &str, label: &str, class: &str) -> Markup {
        html! {
            form method="post" action=(action) {
                input type="hidden" name="form_token" value=(self.form_token());
                button name="do" value=(does) class=[Some(class).filter(|class| !class.is_empty())] {
                    (label)
                }
            }
        }
    }

    /// The form of the buttons in the rows of a table, beside which it stands. One for all keeps a page
    /// small.
    pub(super) fn form_of_rows(&self) -> Markup {
        html! {
            form id=(FORM_OF_ROWS) method="post" {
                input type="hidden" name="form_token" value=(self.form_token());
            }
        }
    }

    /// A button in a row of a table.
    pub(super) fn row_button(&self, action: &str, does: &str, label: &str) -> Markup {
        html! { button form=(FORM_OF_ROWS) formaction=(action) name="do" value=(does) { (label) } }
    }
}

/// The latest outcomes, newest on the right.
pub(super) fn strip(executions: &[Value]) -> Markup {
    if executions.is_empty() {
        return html! { span.quiet { "never ran" } };
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for execution in executions {
        *counts.entry(word_of(text(execution, "state"))).or_default() += 1;
    }
    let words: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    let told = format!("Last {}: {}", executions.len(), words.join(", "));
    // One path a state, so that a long list of strips stays small.
    let mut paths: BTreeMap<&str, String> = BTreeMap::new();
    let free = STRIP_MAX.saturating_sub(executions.len());
    for (index, execution) in executions.iter().rev().enumerate() {
        let word = word_of(text(execution, "state"));
        let (y, height) = bar_of(word);
        let _ = write!(paths.entry(word).or_default(), "M{} {y}v{height}", 7 * (free + index) + 3);
    }
    html! {
        svg.strip role="img" aria-label=(told) width="140" height="20" viewBox="0 0 140 20" {
            title { (told) }
            // Places without an execution are drawn too, so that all strips begin at their left edge.
            @if 0 < free { path.base d={ "M0 19h" (7 * free - 2) } {} }
            @for (word, path) in paths { path class=(word) d=(path) {} }
        }
    }
}

/// Top and height of a state's bar in a strip that is 20 high, so that states differ by more than colour.
/// Skipped is a dash.
fn bar_of(word: &str) -> (usize, usize) {
    match word {
        "failed" => (0, 20),
        "succeeded" => (8, 12),
        "running" => (4, 8),
        "skipped" => (18, 2),
        _ => (14, 6),
    }
}

pub(super) fn word_of(state: &str) -> &'static str {
    STATES.into_iter().find(|(name, _, _)| *name == state).map_or("pending", |(_, _, word)| word)
}

/// A bar of a chart.
pub(super) struct Bar {
    /// For example `11-28 06:15`.
    pub(super) name: String,
    pub(super) value: u64,
    /// The value with its unit.
    pub(super) told: String,
    /// What stands below it. Empty: nothing.
    pub(super) label: String,
}

impl Bar {
    /// A bar that counts something.
    pub(super) fn of_count(name: impl Into<String>, value: u64, label: impl Into<String>) -> Self {
        Self { name: name.into(), value, told: value.to_string(), label: label.into() }
    }
}

/// Labelled bars, with the same data as text for screen readers.
pub(super) fn bars(title: &str, class: &str, bars: &[Bar]) -> Markup {
    let most = bars.iter().map(|bar| bar.value).max().unwrap_or(0).max(1);
    // A few bars are no wider than many would be; otherwise they look like blocks of colour.
    let width = (720 / bars.len().max(1)).min(BAR_MAX);
    let told = bars.iter().filter(|bar| 0 < bar.value).map(|bar| format!("{}: {}", bar.name, bar.told));
    let told = told.collect::<Vec<_>>().join(", ");
    let told = if told.is_empty() { "none" } else { told.as_str() };
    // A label that would touch the one before it is left out.
    let mut labels: Vec<(usize, &str)> = Vec::new();
    let mut free_from = 0;
    for (index, bar) in bars.iter().enumerate().filter(|(_, bar)| !bar.label.is_empty()) {
        let x = index * width;
        if free_from <= x {
            labels.push((x, &bar.label));
            free_from = x + (bar.label.len() + 1) * LABEL_CHAR;
        }
    }
    html! {
        svg.chart role="img" aria-label={ (title) ". " (told) } viewBox="0 0 720 120" {
            title { (title) }
            path.base d={ "M0 98h" (bars.len() * width) "v2H0z" } {}
            // Bars of nothing are not drawn, so that a chart of many stays small.
            @for (index, bar) in bars.iter().enumerate().filter(|(_, bar)| 0 < bar.value) {
                @let height = (bar.value * 90).div_ceil(most).min(90);
                @let thick = width.saturating_sub(2).max(1);
                path class=(class)
                    d={ "M" (index * width) " " (98 - height) "h" (thick) "v" (height) "h-" (thick) "z" } {
                    title { (bar.name) ": " (bar.told) }
                }
            }
            // On a phone, every second label is left out.
            @for (index, (x, label)) in labels.into_iter().enumerate() {
                text.second[index % 2 == 1] x=(x) y="116" { (label) }
            }
        }
    }
}

/// A form field, with its error if there is one.
pub(super) struct Field<'a> {
    pub(super) label: &'static str,
    pub(super) name: &'static str,
    pub(super) value: &'a str,
    pub(super) kind: &'static str,
    /// Its name in the API, if that differs.
    pub(super) api_name: &'static str,
    pub(super) hint: &'a str,
}

impl Field<'_> {
    pub(super) fn show(&self, refusal: Option<&Refusal>) -> Markup {
        let wrong = refusal.and_then(|refusal| refusal.of_field(self.api_name));
        let described = format!("{}-hint", self.name);
        let is_told = wrong.is_some() || !self.hint.is_empty();
        let has_list = self.name == "app" || self.name == "timezone";
        html! {
            div.field {
                label for=(self.name) { (self.label) }
                @if self.kind == "textarea" {
                    textarea id=(self.name) name=(self.name) rows="3" aria-invalid=[wrong.map(|_| "true")]
                        aria-describedby=[is_told.then_some(&described)] {
                        // Browsers drop a line break at the beginning.
                        "\n" (self.value)
                    }
                } @else {
                    input id=(self.name) name=(self.name) type=(self.kind) value=(self.value)
                        autocomplete="off"
                        step=[(self.kind == "datetime-local").then_some("1")]
                        list=[has_list.then(|| format!("{}-list", self.name))]
                        aria-invalid=[wrong.map(|_| "true")] aria-describedby=[is_told.then_some(&described)];
                }
                @if is_told {
                    p id=(described) class=(if wrong.is_some() { "wrong" } else { "sub" }) {
                        @if let Some(wrong) = wrong { (self.label) " " (wrong) "." } @else { (self.hint) }
                    }
                }
            }
        }
    }
}

/// The errors of a refused form. The form keeps what was typed.
pub(super) fn refusal_notice(refusal: Option<&Refusal>) -> Markup {
    let Some(refusal) = refusal else { return html! {} };
    html! {
        div.notice.bad role="alert" {
            p { strong { "Nothing was saved." } }
            @if refusal.errors.is_empty() { p { (refusal.text) } } @else {
                ul { @for (field, detail) in &refusal.errors { li { (field) " " (detail) } } }
            }
        }
    }
}

/// A URL, as a link if its scheme is http or https. A password in it is not shown, and neither is the rest of
/// a long one.
pub(super) fn url(text: &str) -> Markup {
    let url = without_password(text);
    let shown = cut(&url, URL_CHARS_MAX);
    if url.starts_with("https://") || url.starts_with("http://") {
        return html! { a href=(url) rel="noreferrer noopener" { bdi { (shown) } } };
    }
    html! { bdi { (shown) } }
}

/// The beginning of a text that is longer than `chars`.
pub(super) fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// How many bytes each of so many rows may use for a text, if they may use `bytes` together. So a page stays
/// small whatever tenants call things, and a few names are shown in full.
pub(super) fn share(bytes: usize, rows: usize) -> usize {
    (bytes / rows.max(1)).clamp(SHARE_MIN, SHARE_MAX)
}

/// The bytes of a character in a page.
fn size_of(char: char) -> usize {
    match char {
        '"' => "&quot;".len(),
        '&' => "&amp;".len(),
        '<' | '>' => "&lt;".len(),
        char => char.len_utf8(),
    }
}

/// The beginning of a text that takes more than `bytes` in a page.
pub(super) fn fit(text: &str, bytes: usize) -> String {
    let mut room = bytes;
    for (at, char) in text.char_indices() {
        match room.checked_sub(size_of(char)) {
            Some(left) => room = left,
            None => return format!("{}…", &text[..at]),
        }
    }
    text.to_owned()
}

/// The bytes of a text in a page.
pub(super) fn size_in_page(text: &str) -> usize {
    text.chars().map(size_of).sum()
}

fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://…@{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

/// Labels, each as its key and value. Those for which `bytes` is too little are counted.
pub(super) fn labels(executable: &Value, bytes: usize) -> Markup {
    let labels = executable["metadata"]["labels"].as_object().into_iter().flatten();
    let mut room = bytes;
    let (shown, others): (Vec<_>, Vec<_>) = labels
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .partition(|label| {
            let left = room.checked_sub(LABEL_BYTES + label.len());
            room = left.unwrap_or(0);
            left.is_some()
        });
    html! {
        @for label in &shown { span.label { bdi { (label) } } }
        @if !others.is_empty() {
            span.label { (others.len()) @if shown.is_empty() { " labels" } @else { " more" } }
        }
    }
}

/// The earliest of the next fire times of the schedules of a job or call; empty: none.
pub(super) fn next_of(executable: &Value) -> &str {
    if let Some(next) = executable["next_fire_time"].as_str() {
        return next;
    }
    let enabled = list(executable, "schedules").iter().filter(|it| it["enabled"] == true);
    enabled.map(|it| text(it, "next_fire_time")).filter(|it| !it.is_empty()).min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_not_shown_and_no_script_is_a_link() {
        assert_eq!(without_password("https://u:hunter2@h/p@q"), "https://…@h/p@q");
        assert_eq!(without_password("https://h/p?a=b@c"), "https://h/p?a=b@c");
        assert!(!url("javascript:alert(1)").into_string().contains("href"));
        assert!(url("https://h/\"x").into_string().contains("&quot;"));
    }

    #[test]
    fn a_text_is_cut_where_it_takes_too_much_of_a_page() {
        assert_eq!(fit("short", 5), "short");
        assert_eq!(fit("shorter", 5), "short…");
        assert_eq!(fit("𝔘𝔘𝔘", 8), "𝔘𝔘…");
        assert_eq!(fit("a<b", 4), "a…");
        assert_eq!(size_in_page("a\"<&𝔘"), 1 + 6 + 4 + 5 + 4);
        assert_eq!((share(1000, 4), share(1000, 0), share(1000, 500)), (250, 1000, SHARE_MIN));
    }

    #[test]
    fn labels_of_a_chart_do_not_touch() {
        let days = ["11-26", "11-27", "", "11-29"].map(|day| Bar::of_count("a day", 1, day));
        let shown = bars("Days", "mark", &days).into_string();
        let labels: Vec<&str> =
            shown.split("<text").skip(1).filter_map(|it| it.split(['>', '<']).nth(1)).collect();
        // Each bar is 30 wide, and a label needs 36.
        assert_eq!(labels, ["11-26", "11-29"], "{shown}");
    }

    #[test]
    fn lengths_are_said_in_their_largest_units() {
        let ms = 1_000_000;
        for (nanos, said) in [
            (0, "0 ms"),
            (820 * ms, "820 ms"),
            (4250 * ms, "4.2 s"),
            (185_000 * ms, "3 min 5 s"),
            (180_000 * ms, "3 min"),
            (86_400_000 * ms, "24 h"),
        ] {
            assert_eq!(duration(nanos), said);
        }
    }
}
