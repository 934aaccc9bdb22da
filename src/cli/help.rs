//! The text of `--help` and `help`, made from the table of commands.

use std::fmt::Write as _;

use super::client::failure::EXIT_STATUSES;
use super::command::{Command, Flag, Group, SettingFlags};

/// Where the second column begins.
const COLUMN: usize = 32;

/// The size of the terminal that `--help` fits: 24 lines of 80 columns.
const WIDTH: usize = 80;
const LINES: usize = 24;
/// Where the help of a flag begins in `help COMMAND`.
const INDENT: usize = 26;
/// Where the names of commands begin in `--help`.
const NAMES: usize = 16;

/// `--help`: the names of all commands, and how to get more help.
pub(crate) fn overview(commands: &[Command]) -> String {
    let mut text = String::from(
        "ocf-scheduler runs commands (jobs) and HTTP requests (calls) on cron schedules.\n\
         Usage: ocf-scheduler COMMAND [FLAGS]\n\n",
    );
    for group in Group::ALL {
        let mut line = format!("{:<NAMES$}", group.heading());
        for command in commands.iter().filter(|command| command.group == group) {
            if WIDTH < line.len() + 1 + command.name.len() {
                let _ = writeln!(text, "{}", line.trim_end());
                line = " ".repeat(NAMES);
            }
            if NAMES < line.len() {
                line.push(' ');
            }
            line.push_str(command.name);
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push_str(
        "\nTo try it, run `ocf-scheduler standalone`, and in another terminal:\n  \
           ocf-scheduler create-job hello 'echo hello' && ocf-scheduler run hello --wait\n\
         More help: ocf-scheduler help COMMAND; help commands, flags, settings or exit\n",
    );
    text
}

/// `help commands`: what each command does, and how commands find the service.
pub(crate) fn commands(commands: &[Command]) -> String {
    let mut text = String::new();
    for group in Group::ALL {
        let _ = writeln!(text, "{}:", group.heading());
        for command in commands.iter().filter(|command| command.group == group) {
            line(&mut text, &usage(command), command.about);
        }
        text.push('\n');
    }
    text.push_str(
        "Commands find the service by --service and --token, else by SCHEDULER_URL and SCHEDULER_TOKEN, else \
         in the\n\
         context of `login` or `use`, else in the foundation that cf is logged in to, else on this machine, \
         where\n\
         `standalone` runs. A NAME may be a guid, and a guid its first eight characters.\n",
    );
    text
}

/// `help exit`.
pub(crate) fn exit_statuses() -> String {
    let mut text = String::from("Exit status:\n");
    for (status, meaning) in EXIT_STATUSES {
        let first = format!("  {status:<5}");
        let indent = first.len();
        columns(&mut text, first, indent, meaning, indent);
    }
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

/// `help COMMAND`. It fits a terminal, so the flags that commands share are in [`flags_of_all`].
pub(crate) fn of(command: &Command) -> String {
    let mut text = format!("Usage: ocf-scheduler {} [FLAGS]\n", usage(command));
    wrapped(&mut text, "", &sentence(command.about), "");
    wrapped(&mut text, "Example: ", command.example, " \\");
    let is_own = |flag: &Flag| command.flags.iter().any(|own| own.name == flag.name);
    let own: Vec<Flag> = command.own_flags().filter(is_own).collect();
    if !own.is_empty() {
        text.push('\n');
        wrapped_flags(&mut text, own.into_iter());
    }
    // The longest help fills the terminal.
    if text.lines().count() < LINES - 2 {
        text.push('\n');
    }
    match command.settings {
        SettingFlags::None => (),
        SettingFlags::One(_) => {
            text.push_str("A setting, as an environment variable or as a flag; the flag wins:\n");
            wrapped_flags(&mut text, command.settings.flags());
        }
        SettingFlags::All => text.push_str("All settings are flags too: ocf-scheduler help settings\n"),
        SettingFlags::Outbound if command.asks_service() => {
            text.push_str(
                "More flags (--space, -o json, --wide, …): help flags   Exit statuses: help exit\n",
            );
        }
        SettingFlags::Outbound => text.push_str("More flags: help flags   Exit statuses: help exit\n"),
    }
    text
}

/// `help flags`.
pub(crate) fn flags_of_all(commands: &[Command]) -> String {
    let mut text = String::from("Flags of all commands that use a service:\n");
    if let Some(command) = commands.iter().find(|command| command.asks_service()) {
        let is_shared = |flag: &Flag| command.flags.iter().all(|own| own.name != flag.name);
        wrapped_flags(&mut text, command.own_flags().filter(is_shared));
        text.push_str("\nFor the connection (see help settings):\n");
        let names: Vec<String> = command.settings.flags().map(|flag| format!("--{}", flag.name)).collect();
        wrapped(&mut text, "  ", &names.join(" "), "");
    }
    text
}

/// Adds a capital letter and a full stop.
fn sentence(about: &str) -> String {
    let mut letters = about.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// Writes words in lines that fit a terminal. `end` marks a line that continues on the next. Words in quotes
/// stay together.
fn wrapped(text: &mut String, start: &str, words: &str, end: &str) {
    let mut line = start.to_owned();
    let (mut begun, mut is_quoted) = (String::new(), false);
    for word in words.split(' ') {
        if !begun.is_empty() {
            begun.push(' ');
        }
        begun.push_str(word);
        is_quoted ^= word.matches('\'').count() % 2 == 1;
        if is_quoted && !end.is_empty() {
            continue;
        }
        if start.len() < line.len() && WIDTH < line.chars().count() + 1 + begun.chars().count() + end.len() {
            let _ = writeln!(text, "{line}{end}");
            line = if end.is_empty() { String::new() } else { "  ".to_owned() };
        } else if start.len() < line.len() {
            line.push(' ');
        }
        line.push_str(&begun);
        begun.clear();
    }
    let _ = writeln!(text, "{line}{begun}");
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

/// Like [`flags`], with lines that fit a terminal.
fn wrapped_flags(text: &mut String, flags: impl Iterator<Item = Flag>) {
    for flag in flags {
        let typed = format!("  --{} {}", flag.name, flag.value);
        let default = match (flag.default, flag.variable) {
            ("", "") => String::new(),
            ("", variable) => format!(" [{variable}]"),
            (default, "") => format!(" [{default}]"),
            (default, variable) => format!(" [{variable}, else {default}]"),
        };
        let typed = typed.trim_end();
        let about = format!("{}{default}", flag.about());
        let mut line = format!("{typed:<INDENT$}");
        let mut start = INDENT;
        if INDENT < typed.len() + 2 {
            // The help begins on the next line, unless everything fits on one.
            line = format!("{typed}  ");
            if WIDTH < line.len() + about.chars().count() {
                let _ = writeln!(text, "{typed}");
                line = " ".repeat(INDENT);
            }
            start = line.len();
        }
        columns(text, line, start, &about, INDENT);
    }
}

/// Writes `words` after `line`, whose first `start` bytes are the column before them. Further lines begin at
/// `indent`.
fn columns(text: &mut String, mut line: String, mut start: usize, words: &str, indent: usize) {
    for word in words.split(' ') {
        let is_first = line.len() <= start;
        if !is_first && WIDTH < line.chars().count() + 1 + word.chars().count() {
            let _ = writeln!(text, "{line}");
            line = " ".repeat(indent);
            start = indent;
        } else if !is_first {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
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
