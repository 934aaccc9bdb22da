//! Commands about executions: their history, running one, following one to its end, what it wrote.

use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::time::{Duration, Instant};

use crossbeam_channel::after;
use serde_json::Value;
use ureq::Body;
use ureq::http::Response;

use super::commands::HISTORY_LIMIT;
use super::failure::Failure;
use super::output::{self, Table, Visible, duration, field, instant, span};
use super::parse::Arguments;
use super::remote::encode;
use super::session::{Found, Session, is_guid};
use crate::base::clock;
use crate::model::Kind;

/// How often an execution is looked at: at first, and in the long run.
const PACE_MIN: Duration = Duration::from_millis(200);
const PACE_MAX: Duration = Duration::from_secs(2);
/// How long the service may be in trouble before an execution is no longer followed: long enough for it to be restarted.
const TROUBLE_MAX: Duration = Duration::from_secs(120);
/// How many executions are read at once, and how many such pages are looked through for one.
const PAGE: usize = 100;
const PAGES_MAX: usize = 1000;
/// Output is handed on in pieces of this size.
const PIECE_BYTES: usize = 16 * 1024;

/// Lists executions.
pub(super) fn history(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let text = arguments.flag("limit").unwrap_or(HISTORY_LIMIT);
    let limit = text.parse().ok().filter(|limit| (1..=500).contains(limit)).ok_or_else(|| {
        Failure::Usage(format!("--limit is {text:?}; it must be a whole number from 1 to 500"))
    })?;
    let found = session.find(&[Kind::Job, Kind::Call], arguments.required(0), arguments.flag("app"))?;
    let below = match arguments.flag("schedule") {
        Some(schedule) => format!("/schedules/{}", encode(schedule)),
        None => String::new(),
    };
    let mut executions =
        session.resources(&format!("{}{below}/history?page=1&per_page={limit}", found.path()))?;
    // Some services know no other pages than of 50, and some none.
    executions.truncate(limit);
    session.show_all(executions, table, &format!("{} has not run yet", found.title()));
    Ok(true)
}

/// Runs a job or call, and follows the execution if that is wanted.
pub(super) fn run(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let found = session.find(&[Kind::Job, Kind::Call], arguments.required(0), arguments.flag("app"))?;
    let execution = session.remote.post(&format!("{}/execute", found.path()), None)?;
    if !arguments.has("wait") {
        session.show(execution, table);
        return Ok(true);
    }
    let ended = follow(session, &found, execution)?;
    session.end(&ended, &found.title());
    Ok(field(&ended, "state") == "SUCCEEDED")
}

/// Prints what a task wrote, as it wrote it; to a terminal, without anything that the terminal would act upon.
pub(super) fn logs(session: &Session, arguments: &Arguments) -> Result<bool, Failure> {
    let (found, execution) = execution_meant(session, arguments)?;
    let path = format!("{}/history/{}/output", found.path(), encode(&execution));
    let (mut offset, mut pace) = (0, PACE_MIN);
    let mut trouble_since = None;
    loop {
        let part = session.remote.get_raw(&format!("{path}?offset={offset}"));
        let mut response = match part {
            Err(Failure::NotFound(_)) => {
                return Err(Failure::NotFound(format!(
                    "no output is kept of that execution of {}; on Cloud Foundry: cf logs APP --recent",
                    found.title()
                )));
            }
            other if !arguments.has("follow") => other?,
            other => match bear(other, &mut trouble_since)? {
                Some(response) => response,
                None => {
                    wait(&mut pace);
                    continue;
                }
            },
        };
        let is_complete = header(&response, "X-Output-Complete") == Some("true");
        let next_offset = header(&response, "X-Output-Next-Offset").and_then(|text| text.parse::<u64>().ok());
        let Copied { bytes, is_whole, is_read_on } = copy(&mut response)
            .map_err(|err| Failure::Unavailable(format!("the output cannot be written: {err}")))?;
        if !is_read_on || !arguments.has("follow") && is_whole {
            return Ok(true);
        }
        offset = if is_whole { next_offset.unwrap_or(offset + bytes) } else { offset + bytes };
        if is_complete && is_whole {
            return Ok(true);
        }
        if 0 < bytes {
            pace = PACE_MIN;
        }
        wait(&mut pace);
    }
}

/// The job that is meant, and the guid of its execution.
fn execution_meant(session: &Session, arguments: &Arguments) -> Result<(Found, String), Failure> {
    let wanted = arguments.required(0);
    match (session.find(&[Kind::Job], wanted, arguments.flag("app")), arguments.operand(1)) {
        (Ok(found), Some(execution)) => Ok((found, execution.to_owned())),
        (Ok(found), None) => {
            let newest = session.resources(&format!("{}/history?page=1&per_page=1", found.path()))?;
            match newest.first() {
                Some(newest) => Ok((found, field(newest, "guid").to_owned())),
                None => Err(Failure::NotFound(format!("{} has not run yet", found.title()))),
            }
        }
        // An execution is reached through its job only, so the newest of each are looked through.
        (Err(Failure::NotFound(_)), None) if is_guid(wanted) => {
            for resource in session.list(Kind::Job, false)? {
                let found = Found { kind: Kind::Job, resource };
                let path = format!("{}/history?page=1&per_page={PAGE}", found.path());
                if session.resources(&path)?.iter().any(|execution| field(execution, "guid") == wanted) {
                    return Ok((found, wanted.to_owned()));
                }
            }
            Err(Failure::NotFound(format!(
                "no job has {wanted} among its last {PAGE} executions; name its job: ocf-scheduler logs JOB {wanted}"
            )))
        }
        (Err(err), _) => Err(err),
    }
}

/// Looks at an execution until it has ended, for as long as that takes; whoever waits can end us.
fn follow(session: &Session, found: &Found, mut execution: Value) -> Result<Value, Failure> {
    let guid = field(&execution, "guid").to_owned();
    let mut progress = Progress::new(found);
    let mut pace = PACE_MIN;
    let mut trouble_since = None;
    while !has_ended(&execution) {
        progress.show(field(&execution, "state"));
        wait(&mut pace);
        match bear(look(session, found, &guid), &mut trouble_since)? {
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
    progress.show(field(&execution, "state"));
    progress.end();
    Ok(execution)
}

/// The execution of that guid; there is no way to ask for it alone, yet it is among the newest.
fn look(session: &Session, found: &Found, guid: &str) -> Result<Option<Value>, Failure> {
    for page in 1..=PAGES_MAX {
        let executions =
            session.resources(&format!("{}/history?page={page}&per_page={PAGE}", found.path()))?;
        if executions.is_empty() {
            return Ok(None);
        }
        if let Some(seen) = executions.into_iter().find(|execution| field(execution, "guid") == guid) {
            return Ok(Some(seen));
        }
    }
    Ok(None)
}

/// Lets a service that is in trouble pass for a while. `None`: it is, and is to be asked again.
fn bear<T>(outcome: Result<T, Failure>, since: &mut Option<Instant>) -> Result<Option<T>, Failure> {
    match outcome {
        Err(Failure::Unavailable(_)) if since.get_or_insert_with(clock::instant).elapsed() < TROUBLE_MAX => {
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
    // Not by its end time: of other services it may be there, with the year 1, from the beginning.
    matches!(field(execution, "state"), "SUCCEEDED" | "FAILED")
}

fn wait(pace: &mut Duration) {
    let _ = after(*pace).recv();
    *pace = (*pace * 3 / 2).min(PACE_MAX);
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// What became of an answer that was handed on.
struct Copied {
    bytes: u64,
    /// Whether it came to its end.
    is_whole: bool,
    /// Whether whoever reads us is still there.
    is_read_on: bool,
}

fn copy(response: &mut Response<Body>) -> io::Result<Copied> {
    let mut reader = response.body_mut().as_reader();
    let mut out = io::stdout().lock();
    let mut piece = vec![0; PIECE_BYTES];
    // A terminal acts upon what another developer's task has printed; a file or a pipe gets it as it is.
    let mut visible = out.is_terminal().then(Visible::default);
    let mut copied = Copied { bytes: 0, is_whole: false, is_read_on: true };
    loop {
        let length = match reader.read(&mut piece) {
            Ok(0) => {
                copied.is_whole = true;
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
                copied.is_read_on = false;
                return Ok(copied);
            }
            Err(err) => return Err(err),
        }
    }
}

/// A line on the standard error: one that changes on a terminal, elsewhere one for each state.
struct Progress {
    title: String,
    began_at: Instant,
    is_terminal: bool,
    last_state: String,
    width: usize,
}

impl Progress {
    fn new(found: &Found) -> Self {
        Self {
            title: output::shown(&found.title()),
            began_at: clock::instant(),
            is_terminal: io::stderr().is_terminal(),
            last_state: String::new(),
            width: 0,
        }
    }

    fn show(&mut self, state: &str) {
        let state = output::shown(state);
        if self.is_terminal {
            let line = format!("{}: {state}, {}", self.title, span(self.began_at.elapsed()));
            output::print_error(&format!("\r{line:<width$}", width = self.width));
            self.width = line.chars().count();
        } else if state != self.last_state {
            output::print_error(&format!("{}: {state}\n", self.title));
            self.last_state = state;
        }
    }

    /// Makes room for what comes after.
    fn end(&self) {
        if self.is_terminal {
            output::print_error(&format!("\r{:width$}\r", "", width = self.width));
        }
    }
}

fn table(executions: &[Value]) -> Table {
    let mut table = Table::new(&["STATE", "PLANNED FOR", "STARTED", "TOOK", "GUID", "MESSAGE"]);
    for execution in executions {
        let planned = match instant(execution, "scheduled_time") {
            planned if planned.is_empty() => "by hand".to_owned(),
            planned => planned,
        };
        table.row(&[
            field(execution, "state"),
            &planned,
            &instant(execution, "execution_start_time"),
            &duration(execution),
            field(execution, "guid"),
            field(execution, "message"),
        ]);
    }
    table
}
