//! The command line. The only place that prints or decides how the process ends.
//!
//! A command is a row of [`table`]. Commands that use a service are in [`client`]; the others
//! are modules here.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the place that prints")]

pub mod client;
pub mod command;
pub mod table;

mod arguments;
mod backup;
mod check_config;
mod completions;
mod configuration;
mod contexts;
mod crontab;
mod definitions;
mod health;
mod help;
mod import;
mod man;
mod nearest;
mod next;
mod notify;
mod output;
mod parse;
mod running;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::platform::local;
use output::{failed, show, usage, usage_of};
use table::COMMANDS;

/// Runs the program with these arguments (without its own name).
pub fn main(typed: Vec<OsString>) -> ExitCode {
    // First: until then a task of an earlier service could read the secrets in this process's environment.
    local::hide_memory();
    let mut rest = typed.into_iter().peekable();
    let name = match rest.peek().map(|first| first.to_string_lossy().into_owned()) {
        // Internal: called by the completions of shells.
        Some(name) if name == "complete-names" => {
            rest.next();
            let word = |word: Option<OsString>| word.unwrap_or_default().to_string_lossy().into_owned();
            let (names, begun) = (word(rest.next()), word(rest.next()));
            return client::complete::names(&names, &begun);
        }
        // Internal: a task's runner, and the step that runs its command as another user.
        Some(name) if name == "run-as" => {
            rest.next();
            return failed_to_become(&local::run_as(rest));
        }
        Some(name) if name == "run-task" => {
            rest.next();
            return match local::run_task(rest) {
                Ok(()) => ExitCode::SUCCESS,
                Err(err) => failed(&err),
            };
        }
        Some(name) if matches!(name.as_str(), "-h" | "--help") => return show(&help::overview(COMMANDS)),
        // `serve` is the default command.
        Some(name) if !name.starts_with('-') => {
            rest.next();
            name
        }
        // Otherwise it would be taken for a flag of `serve`.
        Some(name) if is_command_with_dashes(&name) => {
            return usage(&format!("{name} is no flag; did you mean {}?", name.trim_start_matches('-')));
        }
        _ => "serve".to_owned(),
    };
    let Some(command) = table::find(&name) else {
        return usage(&table::no_command(&name));
    };
    let arguments = match parse::arguments(command, rest.collect()) {
        Ok(arguments) if arguments.wants_help => return show(&help::of(command)),
        Ok(arguments) if arguments.wants_version => return show(output::VERSION),
        Ok(arguments) => arguments,
        Err(err) => return usage_of(command.name, &err),
    };
    (command.action)(&arguments)
}

/// Such as `--jobs`, unless it is a flag of `serve`.
fn is_command_with_dashes(typed: &str) -> bool {
    let name = typed.trim_start_matches('-');
    let is_flag = table::find("serve").is_some_and(|serve| serve.flag_named(name).is_some());
    name != "version" && !is_flag && table::find(name).is_some()
}

/// Exits with the status that shells use for a command that was found but cannot be executed.
fn failed_to_become(cause: &str) -> ExitCode {
    eprintln!("ocf-scheduler: {cause}");
    ExitCode::from(126)
}
