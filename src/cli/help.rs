//! The text of `--help` and `help`, made from the table of commands.

use std::fmt::Write as _;

use super::client::failure::EXIT_STATUSES;
use super::command::{Command, Flag, Group, SettingFlags};

/// Where the second column begins.
const COLUMN: usize = 32;

/// `--help`: first steps, commands, how a service is found, exit statuses, settings.
pub(crate) fn overview(commands: &[Command]) -> String {
    let mut text = String::from(
        "ocf-scheduler runs commands (jobs) and HTTP requests (calls) on cron schedules.\n\n\
         Usage: ocf-scheduler COMMAND [FLAGS]\n\n\
         To try it, run: ocf-scheduler standalone. Then paste what it prints into another terminal.\n\
         Help for one command: ocf-scheduler help COMMAND.\n",
    );
    for group in Group::ALL {
        let _ = writeln!(text, "\n{}:", group.heading());
        for command in commands.iter().filter(|command| command.group == group) {
            line(&mut text, &usage(command), command.about);
        }
    }
    text.push_str(
        "\nCommands find the service by --url and --token, else by SCHEDULER_URL and SCHEDULER_TOKEN, else in the\n\
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

/// `help settings`.
pub(crate) fn settings() -> String {
    let mut text = String::from(
        "Settings of a service, as environment variables or as flags of serve and standalone; a flag wins:\n",
    );
    flags(&mut text, SettingFlags::All.flags());
    text
}

/// `help COMMAND`.
pub(crate) fn of(command: &Command) -> String {
    let mut text = format!("ocf-scheduler {}: {}\n\n", command.name, command.about);
    let _ = writeln!(text, "Usage: ocf-scheduler {} [FLAGS]", usage(command));
    let _ = writeln!(text, "Example: {}", command.example);
    if command.own_flags().next().is_some() {
        text.push_str("\nFlags:\n");
        flags(&mut text, command.own_flags());
    }
    if command.settings.flags().next().is_some() {
        text.push_str("\nSettings, as environment variables or as flags; a flag wins:\n");
        flags(&mut text, command.settings.flags());
    }
    if command.asks_service() {
        text.push_str("\nExit status:\n");
        for (status, meaning) in EXIT_STATUSES {
            line(&mut text, &status.to_string(), meaning);
        }
    }
    text
}

/// What is typed: the command and its operands.
pub(crate) fn usage(command: &Command) -> String {
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
            // Without a variable, the help begins on the line of the flag.
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
