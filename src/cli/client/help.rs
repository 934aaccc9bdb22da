//! What the help says, made from the table of commands.

use std::fmt::Write as _;

use super::commands::{AcceptedSettings, COMMANDS, Command, Flag, Group};
use super::failure::EXIT_STATUSES;

/// Where the second column begins.
const COLUMN: usize = 32;

/// All there is: what a newcomer does first, the commands, how a service is found, exit statuses, settings.
pub(crate) fn overview() -> String {
    let mut text = String::from(
        "ocf-scheduler runs commands (jobs) and HTTP requests (calls) on cron schedules.\n\n\
         Usage: ocf-scheduler COMMAND [FLAGS]\n\n\
         To try it: ocf-scheduler standalone, and in another terminal what it prints.\n\
         All of a command: ocf-scheduler help COMMAND.\n",
    );
    for group in Group::ALL {
        let _ = writeln!(text, "\n{}:", group.heading());
        for command in COMMANDS.iter().filter(|command| command.group == group) {
            line(&mut text, &usage(command), command.about);
        }
    }
    text.push_str(
        "\nThe service that is used: --url and --token, else SCHEDULER_URL and SCHEDULER_TOKEN, else the one of the\n\
         foundation that cf is logged in to (~/.cf/config.json, or below CF_HOME). A NAME may be a guid.\n",
    );
    text.push_str("\nExit status:\n");
    for (status, meaning) in EXIT_STATUSES {
        line(&mut text, &status.to_string(), meaning);
    }
    text.push('\n');
    text.push_str(&settings());
    text
}

/// All settings of a service.
pub(crate) fn settings() -> String {
    let mut text = String::from(
        "Settings of a service: each is a variable and a flag of serve and standalone; the flag wins:\n",
    );
    flags(&mut text, AcceptedSettings::All.flags());
    text
}

/// All of one command.
pub(crate) fn of(command: &Command) -> String {
    let mut text = format!("ocf-scheduler {}: {}\n\n", command.name, command.about);
    let _ = writeln!(text, "Usage: ocf-scheduler {} [FLAGS]", usage(command));
    let _ = writeln!(text, "Example: {}", command.example);
    if command.own_flags().next().is_some() {
        text.push_str("\nFlags:\n");
        flags(&mut text, command.own_flags());
    }
    if command.settings.flags().next().is_some() {
        text.push_str("\nSettings, each a variable and a flag; the flag wins:\n");
        flags(&mut text, command.settings.flags());
    }
    if command.perform.is_some() {
        text.push_str("\nExit status:\n");
        for (status, meaning) in EXIT_STATUSES {
            line(&mut text, &status.to_string(), meaning);
        }
    }
    text
}

fn usage(command: &Command) -> String {
    let mut text = command.name.to_owned();
    for operand in command.operands {
        let _ = match operand.is_optional {
            true => write!(text, " [{}]", operand.name),
            false => write!(text, " {}", operand.name),
        };
    }
    text
}

fn flags(text: &mut String, flags: impl Iterator<Item = Flag>) {
    for flag in flags {
        let value = if flag.value.is_empty() { String::new() } else { format!(" {}", flag.value) };
        let default = if flag.default.is_empty() { String::new() } else { format!(" [{}]", flag.default) };
        line(text, &format!("--{}{value}", flag.name), flag.variable);
        if flag.variable.is_empty() {
            // The help begins on the line of the flag.
            text.truncate(text.trim_end().len());
            let typed = text.len() - text.rfind('\n').map_or(0, |at| at + 1);
            let gap = (COLUMN + 4).saturating_sub(typed).max(2);
            let _ = writeln!(text, "{}{}{default}", " ".repeat(gap), flag.help);
        } else {
            let _ = writeln!(text, "{}{}{default}", " ".repeat(COLUMN + 4), flag.help);
        }
    }
}

fn line(text: &mut String, first: &str, second: &str) {
    let whole = format!("  {first:<COLUMN$}  {second}");
    let _ = writeln!(text, "{}", whole.trim_end());
}
