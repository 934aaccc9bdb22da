//! The commands that use a service through its HTTP API, with names instead of guids, tables for people, and
//! JSON and exit statuses for scripts.
//!
//! Invariant: no token and no `auth_header` is ever printed.

pub(super) mod audit;
pub(super) mod calls_and_jobs;
pub(super) mod complete;
pub(super) mod definitions;
pub(super) mod edit;
pub(super) mod enabling;
pub(super) mod executions;
pub(super) mod export;
pub mod failure;
pub(super) mod login;
pub(super) mod notifications;
pub(super) mod overview;
pub(super) mod pauses;
pub(super) mod schedules;
pub(super) mod show;

pub(super) mod cron;
pub(super) mod crontab;
pub(super) mod dashboard;

mod cf_login;
mod controls;
mod file;
mod lists;
mod names;
mod place;
mod printer;
mod remote;
mod session;

use std::process::ExitCode;

use failure::Failure;
use printer::Printer;
use session::Session;

use super::arguments::Arguments;
use super::output;

/// The exit status of `run --wait` for an execution that did not succeed.
const EXECUTION_FAILED: u8 = 1;

/// A command that uses a service. Returns `false` if the execution that it waited for did not succeed, or if
/// there is something to change.
type Verb = fn(&Session, &Arguments) -> Result<bool, Failure>;

/// Runs a command that uses a service.
pub(super) fn ask(verb: Verb, arguments: &Arguments) -> ExitCode {
    ask_or(EXECUTION_FAILED, verb, arguments)
}

/// Like [`ask`], with another exit status if the verb returns `false`. If that is the one of a wrong command
/// line, a missing service or setting has the status of a service that cannot be reached.
pub(super) fn ask_or(status: u8, verb: Verb, arguments: &Arguments) -> ExitCode {
    let session = Session::open(arguments).map_err(|failure| match failure {
        Failure::Usage(text) if status == Failure::Usage(String::new()).exit_status() => {
            Failure::Unavailable(text)
        }
        failure => failure,
    });
    let done = session.and_then(|session| {
        let done = verb(&session, arguments)?;
        session.check_written().map(|()| done)
    });
    exit(arguments.command, done, status)
}

/// Runs a command about contexts. It needs no service, or chooses one itself.
pub(super) fn without_session(
    verb: fn(&Printer, &Arguments) -> Result<(), Failure>,
    arguments: &Arguments,
) -> ExitCode {
    let printer = Printer::of(arguments);
    let done = verb(&printer, arguments).and_then(|()| printer.check_written());
    exit(arguments.command, done.map(|()| true), EXECUTION_FAILED)
}

fn exit(command: &str, done: Result<bool, Failure>, otherwise: u8) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(otherwise),
        Err(failure) => {
            // It may contain text from a server.
            output::print_error(&format!("ocf-scheduler: {}\n", output::escaped_lines(&failure.to_string())));
            if let Failure::Usage(_) = failure {
                output::print_error(&format!("Try: ocf-scheduler help {command}\n"));
            }
            ExitCode::from(failure.exit_status())
        }
    }
}
