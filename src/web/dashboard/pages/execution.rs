//! One execution: its timeline and its output.

use maud::{Markup, html};
use serde_json::Value;

use super::executions::{change_one, late, link_of, owner_of, row_name};
use crate::model::{Access, Kind};
use crate::web::dashboard::ask::{Refusal, encoded, header, list, text};
use crate::web::dashboard::components::{duration, fit, length_of, share, size_in_page, state};
use crate::web::dashboard::logs::Read;
use crate::web::dashboard::{Fields, Page, PageResult, Reply, View, plural};

/// How much of the end of the output is shown.
const SHOWN_BYTES: usize = 32 * 1024;
/// The most parts of a kept output that are read to find its end: more than are kept.
const PARTS_MAX: usize = 4;
/// How much the shown end may take of the page, in which `"` takes six bytes.
const SHOWN_PAGE_BYTES: usize = 36 * 1024;
/// The bytes of the messages of all attempts.
const ATTEMPTS_BYTES: usize = 6000;
/// How much of an output from the platform's log is shown, if it is longer.
const KEPT_TOLD: &str = "1 MiB";

/// The execution, and what it is of.
fn find(view: &View<'_>, guid: &str) -> Result<(Value, Kind, String), Refusal> {
    let not_found = || Refusal::new(404, "There is no such execution, or you may not see it.");
    let found = view.get(&format!("/executions/{}", encoded(guid)))?;
    let (kind, owner) = owner_of(&found).ok_or_else(not_found)?;
    let owner = owner.to_owned();
    Ok((found, kind, owner))
}

pub(in crate::web::dashboard) fn show(view: &View<'_>, guid: &str) -> PageResult {
    let (it, kind, owner) = find(view, guid)?;
    let of = format!("/dashboard/{}/{}", plural(kind), encoded(&owner));
    let owner_name = row_name(&it);
    let here = link_of(guid);
    let access = view.access_to(text(&it, "space_guid"));
    let is_ended = !matches!(text(&it, "state"), "PENDING" | "RUNNING");
    let attempts = list(&it, "attempt_history");
    let room = share(ATTEMPTS_BYTES, attempts.len());
    let main = html! {
        dl {
            dt { "State" } dd { (state(text(&it, "state"))) }
            @if let Some(reason) = it["reason"].as_str() { dt { "Reason" } dd { (reason) } }
            dt { (if kind == Kind::Job { "Job" } else { "Call" }) }
            dd { a href=(of) { bdi { (owner_name) } } }
            dt { "Started" } dd {
                @if let Some(schedule) = it["schedule_guid"].as_str() {
                    "by " a href={ (of) "/schedules/" (encoded(schedule)) } { "a schedule" }
                } @else { "by hand" @if let Some(by) = it["requested_by"].as_str() { ", " bdi { (by) } } }
            }
            dt { "Late" } dd { (late(&it)) }
            dt { "Duration" }
            dd {
                @if let Some(length) = length_of(&it, view.now).filter(|_| is_ended) {
                    (duration(length))
                } @else {
                    "–"
                }
            }
            @if let Some(task) = it["task_guid"].as_str() { dt { "Task" } dd { code { (task) } } }
            @if let Some(id) = it["request_id"].as_str() { dt { "Request id" } dd { code { bdi { (id) } } } }
            dt { "Execution" } dd { code { (guid) } }
        }
        h2 { "Timeline" }
        ol.timeline {
            @if let Some(time) = it["created_at"].as_str() { li { (view.absolute(time)) " recorded" } }
            @if let Some(time) = it["scheduled_time"].as_str() { li { (view.absolute(time)) " planned" } }
            @for attempt in attempts {
                li { (view.absolute(text(attempt, "start_time"))) " attempt " (attempt["number"])
                    @if !text(attempt, "message").is_empty() {
                        ": " bdi { (fit(text(attempt, "message"), room)) }
                    }
                }
            }
            @if attempts.is_empty() {
                @if let Some(time) = it["execution_start_time"].as_str() {
                    li { (view.absolute(time)) " started" }
                }
            }
            @if let Some(time) = it["cancel_requested_at"].as_str() {
                li { (view.absolute(time)) " cancellation requested" }
            }
            @if let Some(time) = it["execution_end_time"].as_str() { li { (view.absolute(time)) " ended" } }
            @else { li.quiet { "not ended yet" } }
        }
        h2 { "Message" }
        @if text(&it, "message").is_empty() {
            p.quiet { "None." }
        } @else {
            pre tabindex="0" { bdi { (text(&it, "message")) } }
        }
        @if kind == Kind::Job { h2 { "Output" } (output(view, &owner, guid, &here)?) }
    };
    let actions = html! {
        @if Access::Support <= access && !is_ended { (view.button(&here, "cancel", "Cancel run", "danger")) }
        @if Access::Work <= access { (view.button(&here, "again", "Run again", "")) }
    };
    let page = Page::new(format!("Execution of {owner_name}"), main).with_actions(actions);
    // All of a long output is not sent again and again.
    Ok(if wants_all(view) { page.still() } else { page }.into())
}

pub(in crate::web::dashboard) fn change(view: &View<'_>, guid: &str) -> PageResult {
    let (_, kind, owner) = find(view, guid)?;
    let changed = change_one(view, guid, &format!("{}/{owner}", plural(kind)))?;
    Ok(Reply::Redirect(link_of(&changed)))
}

/// Offers a sign-in if the output needs a token that this instance does not have.
fn sign_in_for_output(view: &View<'_>, here: &str) -> Markup {
    let query = |with| Fields::default().with(&[("with", with), ("to", here)]);
    html! {
        p.quiet { "Cloud Foundry shows output to its own users only. Sign in again to see it." }
        @if view.dashboard.has_client_for_output() {
            p { a.button href={ "/dashboard/sign-in" (query("cf")) } { "Show output" } }
        } @else {
            p { a.button href={ "/dashboard/sign-in" (query("")) } { "Show output" } }
        }
    }
}

/// Whether all of the output is wanted, not only its end.
fn wants_all(view: &View<'_>) -> bool {
    view.query.get("output") == "all"
}

/// The end of the task's output, or all of it.
fn output(view: &View<'_>, job: &str, guid: &str, here: &str) -> Result<Markup, Refusal> {
    let target = format!("/jobs/{}/history/{}/output", encoded(job), encoded(guid));
    let read = if view.api.platform.keeps_output() {
        kept_output(view, &target)
    } else if view.dashboard.tokens.get(&view.session.digest(), view.now).is_none() {
        return Ok(sign_in_for_output(view, here));
    } else {
        let key = (view.session.digest(), target.clone());
        let read = view.dashboard.logs.read(key, &view.api.clock, view.reader_of(&target));
        read.unwrap_or_else(|| Read::refused(Refusal::new(503, "Too many outputs are being read.")))
    };
    let wants_all = wants_all(view);
    let most = if wants_all { usize::MAX } else { SHOWN_BYTES };
    let (shown, shown_bytes) =
        end_of(&read.bytes, most, if wants_all { usize::MAX } else { SHOWN_PAGE_BYTES });
    let is_cut = read.is_cut || shown_bytes < read.bytes.len();
    Ok(html! {
        @if shown.is_empty() {
            @match &read.refusal {
                Some(refusal) if refusal.status == 404 => {
                    p.quiet { "The service keeps no output. On Cloud Foundry it is in the logs of the app." }
                }
                Some(_) => {}
                None if read.is_unfinished => {
                    p.quiet { "It is being read. This page shows it as soon as it is available." }
                }
                None => p.quiet { "There is no output yet." },
            }
        } @else {
            @if is_cut && wants_all {
                p { "The last " (KEPT_TOLD) ". " code { "ocf-scheduler logs" } " prints all of it." }
            }
            @else if is_cut {
                p {
                    "The last " (shown_bytes.div_ceil(1024)) " KiB. "
                    a href={ (here) "?output=all" } { "All of it" }
                }
            }
            // It is scrolled to its end, and stays there while it grows.
            div.output.whole[wants_all] tabindex="0" role="region" aria-label="Output" { pre { (shown) } }
            @if read.is_unfinished && read.refusal.is_none() {
                p.quiet { "There is more. It is being read." }
            }
        }
        @if let Some(refusal) = read.refusal.as_ref().filter(|refusal| refusal.status != 404) {
            p.quiet { "It cannot be read at the moment: " (refusal.text) }
        }
    })
}

/// The end of an output as text, which takes at most `page_bytes` in a page, and the number of its bytes.
fn end_of(bytes: &[u8], most: usize, page_bytes: usize) -> (String, usize) {
    let mut count = bytes.len().min(most);
    loop {
        let start = bytes.len() - count;
        // Not from the middle of a character.
        let is_inside = |byte: &u8| byte & 0xC0 == 0x80;
        let inside = bytes[start..].iter().take(3).take_while(|byte| is_inside(byte)).count();
        let shown = printed(&bytes[start + if 0 < start { inside } else { 0 }..]);
        let size = size_in_page(&shown);
        if size <= page_bytes || count == 0 {
            return (shown, count);
        }
        // Fewer each time, because the size is too large.
        count = count * page_bytes / size;
    }
}

/// Output that the service keeps itself.
fn kept_output(view: &View<'_>, target: &str) -> Read {
    let mut read = Read::default();
    let mut offset = "0".to_owned();
    for _ in 0..PARTS_MAX {
        match view.get_bytes(&format!("{target}?offset={offset}")) {
            // The rest of the page is shown all the same.
            Err(refusal) => {
                read.refusal = Some(refusal);
                break;
            }
            Ok((part, headers)) => {
                read.bytes.extend_from_slice(&part);
                let next = header(&headers, "X-Output-Next-Offset");
                if part.is_empty() || next == offset {
                    break;
                }
                offset = next.to_owned();
            }
        }
    }
    read
}

/// The text of an output. Sequences that steer a terminal (colours, titles, the cursor) are left out, and
/// other control characters are shown as pictures.
fn printed(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        match char {
            '\u{1b}' => match rest.next() {
                // CSI: ends with a byte from @ to ~.
                Some('[') => {
                    while rest.next_if(|char| (' '..'@').contains(char)).is_some() {}
                    rest.next_if(|char| ('@'..='~').contains(char));
                }
                // OSC, for example a title: ends with BEL or ESC \.
                Some(']') => {
                    while rest.next_if(|char| !matches!(char, '\u{7}' | '\u{1b}' | '\n')).is_some() {}
                    if rest.next_if_eq(&'\u{1b}').is_some() {
                        rest.next_if_eq(&'\\');
                    } else {
                        rest.next_if_eq(&'\u{7}');
                    }
                }
                // A character set, such as ESC ( B.
                Some('(' | ')') => drop(rest.next_if(|char| char.is_ascii_alphanumeric())),
                Some('\n') => shown.push('\n'),
                _ => (),
            },
            '\n' | '\t' => shown.push(char),
            // What overwrites a line is shown below it.
            '\r' => shown.push_str(if rest.peek() == Some(&'\n') { "" } else { "\n" }),
            '\0'..' ' => shown.extend(char::from_u32(0x2400 + u32::from(char))),
            '\u{7f}' => shown.push('\u{2421}'),
            _ => shown.push(char),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_output_fits_into_a_page() {
        let end = |bytes: &[u8]| {
            let (shown, count) = end_of(bytes, SHOWN_BYTES, SHOWN_PAGE_BYTES);
            assert!(size_in_page(&shown) <= SHOWN_PAGE_BYTES);
            count
        };
        let long = |byte: u8| vec![byte; 100_000];
        assert_eq!([end(b""), end(b"short"), end(&long(b'x'))], [0, 5, SHOWN_BYTES]);
        assert_eq!([end(&long(b'"')), end(&long(0xFF))], [SHOWN_PAGE_BYTES / 6, SHOWN_PAGE_BYTES / 3]);
        assert_eq!(end_of("xé".as_bytes(), 1, 10), (String::new(), 1), "not half a character");
    }

    #[test]
    fn an_output_is_shown_without_what_steers_a_terminal() {
        for (bytes, shown) in [
            (&b"\x1b[31mred\x1b[0m \x1b[1;38;5;9mbold\x1b[m"[..], "red bold"),
            (b"\x1b]0;a title\x07text \x1b]8;;http://x\x1b\\link", "text link"),
            (b"\x1b(Bplain\x1b[2J\x1b[H\x1b[?25l", "plain"),
            (b"10%\r20%\r\n30%", "10%\n20%\n30%"),
            (b"a\x00b\x07c\x08d\x7fe\tf", "a\u{2400}b\u{2407}c\u{2408}d\u{2421}e\tf"),
            (b"bad \xff\xfe", "bad \u{fffd}\u{fffd}"),
            // An unfinished one, and one that is cut by the end of the line.
            (b"x\x1b", "x"),
            (b"x\x1b[", "x"),
            (b"x\x1b]0;title\nnext", "x\nnext"),
            ("\u{1b}[3é".as_bytes(), "é"),
        ] {
            assert_eq!(printed(bytes), shown, "{bytes:?}");
        }
    }
}
