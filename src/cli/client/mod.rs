//! The command line for those who use a service: the same HTTP API that all clients have, with names for guids, tables for
//! people, JSON and exit statuses for scripts.
//!
//! Invariant: all that is known of a command is its row in [`commands`]; parser, help and completions are made from it. Only
//! here and in [`crate::cli`] anything is printed. No token and no `auth_header` ever is.

pub mod commands;
pub(crate) mod completions;
pub mod failure;
pub(crate) mod help;
pub(crate) mod output;
pub mod parse;
pub mod session;

mod calls_and_jobs;
mod cf_login;
mod cron;
mod executions;
mod remote;
mod schedules;

use std::process::ExitCode;

use commands::Perform;
use failure::Failure;
use parse::Arguments;
use session::Session;

/// The exit status when an execution that was waited for FAILED.
const EXECUTION_FAILED: u8 = 1;

/// Does what a command that uses a service is for.
pub(crate) fn perform(perform: Perform, arguments: &Arguments) -> ExitCode {
    match Session::open(arguments).and_then(|session| perform(&session, arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXECUTION_FAILED),
        Err(failure) => {
            // It may hold words of a server's.
            output::print_error(&format!("ocf-scheduler: {}\n", output::shown_lines(&failure.to_string())));
            if let Failure::Usage(_) = failure {
                output::print_error("Try: ocf-scheduler --help\n");
            }
            ExitCode::from(failure.exit_status())
        }
    }
}
