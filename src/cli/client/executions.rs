//! `history`, `run` and `logs`.

use std::collections::HashMap;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::after;
use serde_json::Value;
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;
use ureq::Body;
use ureq::http::Response;

use super::failure::Failure;
use super::lists;
use super::overview::{since, whole_guid};
use super::remote::encode;
use super::session::{Found, Session, is_guid, is_short_guid};
use crate::base::clock;
use crate::cli::arguments::Arguments;
use crate::cli::output::{self, LOCAL, Table, Visible, duration, field, instant, span};
use crate::model::Kind;

/// How many executions `history` shows without `--limit`.
pub(in crate::cli) const HISTORY_LIMIT: &str = "20";
/// The intervals at which an execution is polled: the first one, and the longest.
const PACE_MIN: Duration = Duration::from_millis(200);
const PACE_MAX: Duration = Duration::from_secs(2);
/// How long the service may be unavailable while an execution is followed: long enough for a restart.
const OUTAGE_MAX: Duration = Duration::from_secs(120);
/// Executions per page, and how many pages are searched for one.
const PAGE: usize = 100;
const PAGES_MAX: usize = 1000;
/// How much output of a FAILED task is shown.
const LAST_LINES: usize = 10;
const LAST_LINES_BYTES: usize = 8 * 1024;
/// The exit status after Ctrl-C, as shells define it.
const INTERRUPTED: i32 = 130;
/// The size of the pieces in which output is copied.
const PIECE_BYTES: usize = 16 * 1024;

pub(in crate::cli) fn history(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let text = arguments.flag("limit").unwrap_or(HISTORY_LIMIT);
    let limit = text.parse().ok().filter(|limit| (1..=500).contains(limit)).ok_or_else(|| {
        Failure::Usage(format!("--limit is {text:?}; it must be a whole number from 1 to 500"))
    })?;
    let found = session.find(&[Kind::Job, Kind::Call], arguments.required(0), arguments.flag("app"))?;
    let is_short = |guid: &str| is_short_guid(guid) && !is_guid(guid);
    let all_schedules = || session.resources(&format!("{}/schedules", found.path()));
    let mut schedules = match arguments.flag("schedule").is_some_and(is_short) {
        true => all_schedules()?,
        false => Vec::new(),
    };
    let below = match arguments.flag("schedule") {
        Some(schedule) if is_short(schedule) => {
            let found = schedules.iter().map(|it| field(it, "guid")).find(|guid| guid.starts_with(schedule));
            format!("/schedules/{}", encode(found.unwrap_or(schedule)))
        }
        Some(schedule) => format!("/schedules/{}", encode(schedule)),
        None => String::new(),
    };
    let filters = filters(arguments)?.into_iter().map(|filter| format!("&{filter}")).collect::<String>();
    let path = format!("{}{below}/history?page=1&per_page={limit}{filters}", found.path());
    let mut executions = session.resources(&path)?;
    // Some services ignore `per_page`, and return 50 or all.
    executions.truncate(limit);
    // The local times need the time zones of the schedules.
    let is_scheduled = executions.iter().any(|it| !field(it, "schedule_guid").is_empty());
    if is_scheduled && schedules.is_empty() && session.is_for_people() {
        schedules = all_schedules()?;
    }
    let none = match filters.is_empty() {
        true => format!("{} has not run yet", found.title()),
        false => format!("no executions of {} match", found.title()),
    };
    session.show_all(executions, |executions| table(executions, &schedules), &none);
    Ok(true)
}

/// The filters of `history` and `executions`.
pub(super) fn filters(arguments: &Arguments) -> Result<Vec<String>, Failure> {
    let mut filters = Vec::new();
    for (flag, filter) in [("state", "states"), ("reason", "reasons")] {
        if let Some(values) = arguments.flag(flag) {
            let values = if flag == "state" { values.to_uppercase() } else { values.to_owned() };
            filters.push(format!("{filter}={}", encode(&values)));
        }
    }
    if let Some(text) = arguments.flag("since") {
        let time = since(text)?;
        filters.push(format!("created_ats%5Bgt%5D={}", encode(&time.to_string())));
    }
    Ok(filters)
}

/// Runs a job or call; with `--wait`, follows the execution to its end.
pub(in crate::cli) fn run(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let found = session.find(&[Kind::Job, Kind::Call], arguments.required(0), arguments.flag("app"))?;
    let execution = session.remote.post(&format!("{}/execute", found.path()), None)?;
    if !arguments.has("wait") {
        session.show(execution, |execution| table(execution, &[]));
        return Ok(true);
    }
    explain_interruption(&found, field(&execution, "guid"))?;
    let ended = follow(session, &found, execution)?;
    session.show_end(&ended, &found.title(), |execution| table(execution, &[]));
    if field(&ended, "state") == "FAILED" && found.kind == Kind::Job && session.is_for_people() {
        show_last_lines(session, &found, field(&ended, "guid"));
    }
    Ok(field(&ended, "state") == "SUCCEEDED")
}

/// Makes Ctrl-C print how to continue waiting. The execution goes on.
fn explain_interruption(found: &Found, execution: &str) -> Result<(), Failure> {
    let (name, execution) = (output::escaped(found.name()), output::escaped(execution));
    let logs = match found.kind {
        Kind::Job => format!("  to see its output:     ocf-scheduler logs {name} {execution} --follow\n"),
        Kind::Call => String::new(),
    };
    let text = format!(
        "\nocf-scheduler: interrupted; the execution goes on\n  \
         to see how it ended:   ocf-scheduler history {name} --limit 1\n{logs}  \
         to cancel it:          ocf-scheduler cancel {execution}\n"
    );
    let failed = |err: io::Error| Failure::Unavailable(format!("cannot watch for Ctrl-C: {err}"));
    let mut signals = Signals::new([SIGINT]).map_err(failed)?;
    let thread = thread::Builder::new().name("interrupt".to_owned());
    thread
        .spawn(move || {
            if signals.forever().next().is_some() {
                output::print_error(&text);
                std::process::exit(INTERRUPTED);
            }
        })
        .map_err(failed)?;
    Ok(())
}

/// Prints the last lines of the output of a FAILED task. Prints nothing if there is no output, or if it
/// cannot be read.
fn show_last_lines(session: &Session, found: &Found, execution: &str) {
    let path = format!("{}/history/{}/output", found.path(), encode(execution));
    let Ok(mut response) = session.remote.get_raw(&path) else { return };
    let mut reader = response.body_mut().as_reader();
    let (mut end, mut piece) = (Vec::new(), vec![0; PIECE_BYTES]);
    while let Ok(length) = reader.read(&mut piece) {
        if length == 0 {
            break;
        }
        end.extend_from_slice(&piece[..length]);
        end.drain(..end.len().saturating_sub(LAST_LINES_BYTES));
    }
    let mut visible = Visible::default();
    let text = visible.text_of(&end) + &visible.end();
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return;
    }
    let from = lines.len().saturating_sub(LAST_LINES);
    let shown: String = lines[from..].iter().map(|line| format!("  {line}\n")).collect();
    let title = if 0 < from { format!("Its last {LAST_LINES} lines") } else { "Its output".to_owned() };
    let more = format!("ocf-scheduler logs {}", output::escaped(found.name()));
    output::print_error(&format!("{title} ({more} prints all):\n{shown}"));
}

/// Prints the output of a task: unchanged to a file or pipe; to a terminal, with control characters escaped.
pub(in crate::cli) fn logs(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let (found, execution) = named_execution(session, arguments)?;
    let path = format!("{}/history/{}/output", found.path(), encode(&execution));
    let (mut offset, mut pace) = (0, PACE_MIN);
    let mut outage_since = None;
    loop {
        let part = session.remote.get_raw(&format!("{path}?offset={offset}"));
        let mut response = match part {
            Err(Failure::NotFound(_)) => {
                return Err(Failure::NotFound(format!(
                    "there is no output of that execution of {}; on Cloud Foundry use: cf logs APP --recent",
                    found.title()
                )));
            }
            other if !arguments.has("follow") => other?,
            other => match tolerate_outage(other, &mut outage_since)? {
                Some(response) => response,
                None => {
                    wait(&mut pace);
                    continue;
                }
            },
        };
        let is_complete = header(&response, "X-Output-Complete") == Some("true");
        let next_offset = header(&response, "X-Output-Next-Offset").and_then(|text| text.parse::<u64>().ok());
        let Copied { bytes, is_complete_part, has_reader } =
            copy(&mut response).map_err(|err| Failure::unwritten(&err))?;
        if !has_reader || !arguments.has("follow") && is_complete_part {
            return Ok(true);
        }
        offset = if is_complete_part { next_offset.unwrap_or(offset + bytes) } else { offset + bytes };
        if is_complete && is_complete_part {
            return Ok(true);
        }
        if 0 < bytes {
            pace = PACE_MIN;
        }
        wait(&mut pace);
    }
}

/// The job and the guid of the execution that the operands name.
fn named_execution(session: &Session, arguments: &Arguments) -> Result<(Found, String), Failure> {
    let wanted = arguments.required(0);
    match (session.find(&[Kind::Job], wanted, arguments.flag("app")), arguments.operand(1)) {
        (Ok(found), Some(execution)) => Ok((found, whole_guid(session, execution)?)),
        (Ok(found), None) => {
            let newest = session.resources(&format!("{}/history?page=1&per_page=1", found.path()))?;
            match newest.first() {
                Some(newest) => Ok((found, field(newest, "guid").to_owned())),
                None => Err(Failure::NotFound(format!("{} has not run yet", found.title()))),
            }
        }
        (Err(Failure::NotFound(_)), None) if is_short_guid(wanted) => {
            let wanted = whole_guid(session, wanted)?;
            if let Ok(execution) = session.remote.get(&format!("/executions/{}", encode(&wanted))) {
                if let Some(call) = execution["call_guid"].as_str() {
                    return Err(no_output_of(call));
                }
                return Ok((session.find(&[Kind::Job], field(&execution, "job_guid"), None)?, wanted));
            }
            // Other schedulers find an execution only through its job, so search the newest executions of
            // each job.
            for resource in session.list(Kind::Job, false)? {
                let found = Found { kind: Kind::Job, resource };
                let path = format!("{}/history?page=1&per_page={PAGE}", found.path());
                if session.resources(&path)?.iter().any(|execution| field(execution, "guid") == wanted) {
                    return Ok((found, wanted));
                }
            }
            Err(Failure::NotFound(format!(
                "no job has {wanted} among its last {PAGE} executions; name the job: \
                 ocf-scheduler logs JOB {wanted}"
            )))
        }
        (Err(Failure::NotFound(reason)), _) => {
            match session.find(&[Kind::Call], wanted, arguments.flag("app")) {
                Ok(call) => Err(no_output_of(call.name())),
                Err(_) => Err(Failure::NotFound(reason)),
            }
        }
        (Err(err), _) => Err(err),
    }
}

fn no_output_of(call: &str) -> Failure {
    Failure::NotFound(format!("{call} is a call, which has no output; see: ocf-scheduler history {call}"))
}

/// Polls an execution until it has ended. There is no time limit; the user can press Ctrl-C.
fn follow(session: &Session, found: &Found, mut execution: Value) -> Result<Value, Failure> {
    let guid = field(&execution, "guid").to_owned();
    let mut progress = Progress::new(found);
    let mut pace = PACE_MIN;
    let mut outage_since = None;
    while !has_ended(&execution) {
        progress.show(&status_of(&execution));
        wait(&mut pace);
        match tolerate_outage(look(session, found, &guid), &mut outage_since)? {
            Some(Some(seen)) => execution = seen,
            Some(None) => {
                return Err(Failure::NotFound(format!(
                    "the execution {guid} is no longer in the history of {}",
                    found.title()
                )));
            }
            None => (),
        }
    }
    progress.show(&status_of(&execution));
    progress.end();
    Ok(execution)
}

/// The execution with this guid. Searches the history, because OCF Scheduler cannot look up a single
/// execution.
fn look(session: &Session, found: &Found, guid: &str) -> Result<Option<Value>, Failure> {
    for number in 1..=PAGES_MAX {
        let page = session.page(&format!("{}/history?", found.path()), number, PAGE)?;
        if let Some(seen) = page.resources.into_iter().find(|execution| field(execution, "guid") == guid) {
            return Ok(Some(seen));
        }
        if page.is_last {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Returns `None`, which means to retry, while the service is unavailable, for at most [`OUTAGE_MAX`].
fn tolerate_outage<T>(
    outcome: Result<T, Failure>,
    since: &mut Option<Instant>,
) -> Result<Option<T>, Failure> {
    match outcome {
        Err(Failure::Unavailable(_)) if since.get_or_insert_with(clock::instant).elapsed() < OUTAGE_MAX => {
            Ok(None)
        }
        Err(other) => Err(other),
        Ok(answer) => {
            *since = None;
            Ok(Some(answer))
        }
    }
}

fn has_ended(execution: &Value) -> bool {
    // The end time does not tell: while an execution runs, OCF Scheduler sends one in the year 1.
    matches!(field(execution, "state"), "SUCCEEDED" | "FAILED" | "SKIPPED")
}

fn wait(pace: &mut Duration) {
    let _ = after(*pace).recv();
    *pace = (*pace * 3 / 2).min(PACE_MAX);
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// The result of copying a response.
struct Copied {
    bytes: u64,
    /// Whether the response was read to its end.
    is_complete_part: bool,
    /// Whether standard output is still open.
    has_reader: bool,
}

fn copy(response: &mut Response<Body>) -> io::Result<Copied> {
    let mut reader = response.body_mut().as_reader();
    let mut out = io::stdout().lock();
    let mut piece = vec![0; PIECE_BYTES];
    // Control characters of a task must not reach a terminal. A file or a pipe gets the bytes unchanged.
    let mut visible = out.is_terminal().then(Visible::default);
    let mut copied = Copied { bytes: 0, is_complete_part: false, has_reader: true };
    loop {
        let length = match reader.read(&mut piece) {
            Ok(0) => {
                copied.is_complete_part = true;
                if let Some(visible) = &mut visible {
                    out.write_all(visible.end().as_bytes()).and_then(|()| out.flush())?;
                }
                return Ok(copied);
            }
            Ok(length) => length,
            Err(_) => return Ok(copied),
        };
        let written = match &mut visible {
            Some(visible) => out.write_all(visible.text_of(&piece[..length]).as_bytes()),
            None => out.write_all(&piece[..length]),
        };
        match written.and_then(|()| out.flush()) {
            Ok(()) => copied.bytes += length as u64,
            Err(err) if err.kind() == ErrorKind::BrokenPipe => {
                copied.has_reader = false;
                return Ok(copied);
            }
            Err(err) => return Err(err),
        }
    }
}

/// The state of an execution. If it is PENDING also why: it waits for another execution or for a retry.
fn status_of(execution: &Value) -> String {
    match (field(execution, "state"), field(execution, "message")) {
        ("PENDING", reason) if !reason.is_empty() => format!("PENDING, {reason}"),
        (state, _) => state.to_owned(),
    }
}

/// The characters that a long status leaves for the name, in a line of progress.
const TITLE_MIN: usize = 24;

/// Progress on standard error: one line that changes on a terminal, else one line for each status.
struct Progress {
    title: String,
    began_at: Instant,
    is_terminal: bool,
    last_status: String,
    width: usize,
}

impl Progress {
    fn new(found: &Found) -> Self {
        Self {
            title: output::escaped(&found.title()),
            began_at: clock::instant(),
            is_terminal: io::stderr().is_terminal(),
            last_status: String::new(),
            width: 0,
        }
    }

    fn show(&mut self, status: &str) {
        let status = output::escaped(status);
        if self.is_terminal {
            // A line longer than the terminal would wrap, and could not be overwritten.
            let room = output::error_width().unwrap_or(80).saturating_sub(1);
            let elapsed = span(self.began_at.elapsed());
            let status = output::cut(&status, room.saturating_sub(elapsed.len() + TITLE_MIN).max(1));
            let end = format!(": {status}, {elapsed}");
            let title = output::cut(&self.title, room.saturating_sub(end.chars().count()).max(1));
            let line = output::cut(&format!("{title}{end}"), room);
            output::print_error(&format!("\r{line:<width$}", width = self.width.min(room)));
            self.width = line.chars().count();
        } else if status != self.last_status {
            output::print_error(&format!("{}: {status}\n", self.title));
            self.last_status = status;
        }
    }

    /// Clears the line.
    fn end(&self) {
        if self.is_terminal {
            let room = output::error_width().unwrap_or(80).saturating_sub(1);
            output::print_error(&format!("\r{:width$}\r", "", width = self.width.min(room)));
        }
    }
}

/// `schedules`: the schedules of the same job or call. Their time zones determine the local times.
pub(super) fn table(executions: &[Value], schedules: &[Value]) -> Table {
    let mut table = Table::new(&["STATE", "PLANNED FOR", LOCAL, "STARTED", "TOOK", "GUID", "MESSAGE"])
        .with_more(&["REASON", "ENDED", "SCHEDULE"]);
    let zones: HashMap<&str, &Value> = schedules.iter().map(|it| (field(it, "guid"), it)).collect();
    for execution in executions {
        let planned = match instant(execution, "scheduled_time") {
            planned if planned.is_empty() => "by hand".to_owned(),
            planned => planned,
        };
        let schedule = zones.get(field(execution, "schedule_guid"));
        let local = lists::time(execution, "scheduled_time").zip(schedule);
        let local = local.map_or_else(String::new, |(time, schedule)| lists::local(schedule, time));
        table.row(&[
            field(execution, "state"),
            &planned,
            &local,
            &instant(execution, "execution_start_time"),
            &duration(execution),
            field(execution, "guid"),
            field(execution, "message"),
            field(execution, "reason"),
            &instant(execution, "execution_end_time"),
            field(execution, "schedule_guid"),
        ]);
    }
    table
}
