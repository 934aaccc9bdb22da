//! The manual page, made from the table of commands.

use std::fmt::Write as _;

use super::client::failure::EXIT_STATUSES;
use super::command::{Command, Flag, Group, SettingFlags};
use super::help;

/// When this version was released, as CHANGELOG.md says.
const RELEASED: &str = "2026-11-27";
/// What `mandoc -Tlint` accepts.
const LINE_MAX: usize = 80;

/// `ocf-scheduler(1)`, in the language of `man`.
pub(super) fn page(commands: &[Command]) -> String {
    let mut page = format!(
        ".TH OCF-SCHEDULER 1 \"{RELEASED}\" \"ocf-scheduler {}\" \"User Commands\"\n\
         .SH NAME\nocf-scheduler \\- runs commands and HTTP requests on cron schedules\n\
         .SH SYNOPSIS\n.B ocf-scheduler\n.I COMMAND\n[\\fIFLAGS\\fR]\n\
         .SH DESCRIPTION\n\
         A job is a command, a call is an HTTP request. Both run on schedules or by hand.\n\
         .B serve\nruns the service for Cloud Foundry,\n.B standalone\nruns it without one.\n\
         Most other commands use a service.\n",
        env!("CARGO_PKG_VERSION")
    );
    for group in Group::ALL {
        let _ = writeln!(page, ".SH {}", quoted(&group.heading().to_uppercase()));
        for command in commands.iter().filter(|command| command.group == group) {
            let _ = writeln!(
                page,
                ".SS {}\n{}\n.PP\n{}",
                quoted(&help::usage(command)),
                lines(&format!("{}.", text(command.about))),
                lines(&format!("Example: {}", text(command.example)))
            );
            flags(&mut page, command.flags.iter().copied());
        }
    }
    if let Some(command) = commands.iter().find(|command| command.asks_service()) {
        page.push_str(".SH \"FLAGS OF COMMANDS THAT USE A SERVICE\"\n");
        let is_shared = |flag: &Flag| command.flags.iter().all(|own| own.name != flag.name);
        flags(&mut page, command.own_flags().filter(is_shared));
    }
    page.push_str(
        ".SH SETTINGS\nEach setting of a service is an environment variable and a flag of\n.B serve\nand\n\
         .BR standalone .\nThe flag wins.\n",
    );
    flags(&mut page, SettingFlags::All.flags());
    page.push_str(".SH \"EXIT STATUS\"\n");
    for (status, meaning) in EXIT_STATUSES {
        let _ = writeln!(page, ".TP\n.B {status}\n{}", lines(&format!("{}.", text(meaning))));
    }
    page.push_str(
        ".SH FILES\n.TP\n.I /etc/ocf-scheduler/environment\nSettings of the packaged service.\n\
         .TP\n.I /etc/ocf-scheduler/standalone.toml\nApps and tokens of the packaged service.\n\
         .TP\n.I ~/.cf/config.json\nThe login of cf.\n",
    );
    page
}

fn flags(page: &mut String, flags: impl Iterator<Item = Flag>) {
    for flag in flags {
        let value =
            if flag.value.is_empty() { String::new() } else { format!(" \\fI{}\\fR", text(flag.value)) };
        let variable = if flag.variable.is_empty() { String::new() } else { format!(", {}", flag.variable) };
        let default = if flag.default.is_empty() {
            String::new()
        } else {
            format!(" Default: {}.", text(flag.default))
        };
        let _ = writeln!(
            page,
            ".TP\n\\fB\\-\\-{}\\fR{value}{variable}\n{}",
            text(flag.name),
            lines(&format!("{}.{default}", text(&flag.about())))
        );
    }
}

/// `text` in lines that are short enough, where it has spaces.
fn lines(text: &str) -> String {
    let mut all = String::new();
    let mut length = 0;
    for word in text.split(' ') {
        let fits = length + 1 + word.len() <= LINE_MAX;
        if length > 0 {
            all.push(if fits { ' ' } else { '\n' });
        }
        length = if fits { length + 1 } else { 0 } + word.len();
        // A line that begins with a dot is a command.
        if !fits && word.starts_with('.') {
            all.push_str("\\&");
        }
        all.push_str(word);
    }
    all
}

/// Text that means nothing to `man`.
fn text(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('…', "...");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

fn quoted(line: &str) -> String {
    format!("\"{}\"", text(line).replace('"', "\\(dq"))
}
