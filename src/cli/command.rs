//! The type of a command: its name, its arguments, and what it does.

use std::process::ExitCode;

use super::arguments::Arguments;
use crate::config::{OUTBOUND_SETTINGS, SETTINGS, Setting};

/// The heading under which the help lists a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// For operators of a service.
    Run,
    /// Defining and running jobs and calls.
    Jobs,
    /// When jobs and calls run.
    Schedules,
    /// How jobs and calls ran.
    Executions,
    /// Notifications, audit events, and whole spaces.
    Spaces,
    /// The service that the commands above use.
    Contexts,
    /// Commands that need no service.
    Other,
}

impl Group {
    /// In the order of the help.
    pub const ALL: [Self; 7] =
        [Self::Run, Self::Jobs, Self::Schedules, Self::Executions, Self::Spaces, Self::Contexts, Self::Other];

    /// The heading in the help.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Run => "Run a service",
            Self::Jobs => "Jobs and calls",
            Self::Schedules => "Schedules",
            Self::Executions => "Executions",
            Self::Spaces => "Spaces",
            Self::Contexts => "Contexts",
            Self::Other => "Other",
        }
    }

    /// Whether its commands send requests to a service, and so have the flags that select it.
    pub const fn asks_service(self) -> bool {
        matches!(self, Self::Jobs | Self::Schedules | Self::Executions | Self::Spaces)
    }
}

/// A command of the program.
pub struct Command {
    /// What is typed after `ocf-scheduler`.
    pub name: &'static str,
    /// Where the help lists it.
    pub group: Group,
    /// In order; the optional ones are last.
    pub operands: &'static [Operand],
    /// The command's own flags. Settings are in `settings`, and the flags that all clients share in
    /// `CONNECTION`.
    pub flags: &'static [Flag],
    /// The settings that this command also accepts as flags.
    pub settings: SettingFlags,
    /// One line for the help: what it does.
    pub about: &'static str,
    /// A complete command line.
    pub example: &'static str,
    /// Runs the command.
    pub action: fn(&Arguments) -> ExitCode,
}

/// An argument without dashes.
#[derive(Debug, Clone, Copy)]
pub struct Operand {
    /// The name in the help.
    pub name: &'static str,
    /// Whether it can be left out. Optional operands are last.
    pub is_optional: bool,
    /// Whether it takes all further words, for example those of an unquoted cron expression.
    pub takes_rest: bool,
    /// The allowed values; empty if any value is.
    pub values: &'static [&'static str],
    /// The names that shells offer as completions.
    pub names: Names,
}

/// The names that shells offer as completions of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// No names.
    None,
    /// Jobs.
    Jobs,
    /// Calls.
    Calls,
    /// Jobs and calls.
    Both,
    /// Schedules, by the beginning of their guid, and jobs and calls.
    Schedules,
    /// Executions that have not ended, by the beginning of their guid.
    Executions,
    /// Notifications.
    Notifications,
    /// Contexts, which are stored on this machine.
    Contexts,
    /// Apps: their names, or guids if these are not known.
    Apps,
    /// Spaces, likewise.
    Spaces,
    /// Time zones, which the program contains.
    TimeZones,
}

impl Names {
    /// All kinds of names that can be looked up.
    pub const ALL: [Self; 10] = [
        Self::Jobs,
        Self::Calls,
        Self::Both,
        Self::Schedules,
        Self::Executions,
        Self::Notifications,
        Self::Contexts,
        Self::Apps,
        Self::Spaces,
        Self::TimeZones,
    ];

    /// The word with which completion scripts request them; empty for none.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Jobs => "jobs",
            Self::Calls => "calls",
            Self::Both => "both",
            Self::Schedules => "schedules",
            Self::Executions => "executions",
            Self::Notifications => "notifications",
            Self::Contexts => "contexts",
            Self::Apps => "apps",
            Self::Spaces => "spaces",
            Self::TimeZones => "time-zones",
        }
    }
}

/// An argument with dashes.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// Without its dashes.
    pub name: &'static str,
    /// The name of its value in the help; empty if it takes none.
    pub value: &'static str,
    /// Older names, which the help does not show.
    pub aliases: &'static [&'static str],
    /// The allowed values; empty if any value is allowed. A switch may be followed by one of these, because
    /// older versions required it.
    pub values: &'static [&'static str],
    /// The values that shells offer where `values` is empty; others may be allowed.
    pub words: &'static [&'static str],
    /// The names that shells offer as completions of its value.
    pub names: Names,
    /// Whether the value may be several of them, separated by commas.
    pub is_list: bool,
    /// The environment variable that is used if the flag is absent; empty if there is none.
    pub variable: &'static str,
    /// The default, as the help shows it; empty if there is none.
    pub default: &'static str,
    /// One line for the help.
    pub help: &'static str,
}

/// The settings of the service that a command takes as flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingFlags {
    /// No settings.
    None,
    /// All settings.
    All,
    /// [`OUTBOUND_SETTINGS`]: how other servers are reached.
    Outbound,
    /// The setting of this variable.
    One(&'static str),
}

impl SettingFlags {
    fn has(self, setting: &Setting) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Outbound => OUTBOUND_SETTINGS.contains(&setting.variable),
            Self::One(variable) => setting.variable == variable,
        }
    }

    /// The settings as flags.
    pub fn flags(self) -> impl Iterator<Item = Flag> {
        SETTINGS.iter().filter(move |setting| self.has(setting)).map(|setting| Flag {
            name: setting.flag,
            value: "VALUE",
            values: &[],
            words: setting.words(),
            aliases: &[],
            names: if setting.variable == "DEFAULT_TIMEZONE" { Names::TimeZones } else { Names::None },
            is_list: false,
            variable: setting.variable,
            default: setting.default,
            help: setting.help,
        })
    }
}

impl Flag {
    /// The help text, followed by the allowed values if the text does not name them.
    pub fn about(&self) -> String {
        if self.value.is_empty() || self.values.iter().all(|value| self.help.contains(value)) {
            return self.help.to_owned();
        }
        format!("{}: {}", self.help, self.values.join(", "))
    }
}

impl Command {
    /// Whether it sends requests to a service, and so has the flags that select it.
    pub fn asks_service(&self) -> bool {
        self.group.asks_service()
    }

    /// The flags that are not settings.
    pub fn own_flags(&self) -> impl Iterator<Item = Flag> {
        let shared = if self.asks_service() { CONNECTION } else { &[] };
        let formats = self.formats();
        self.flags.iter().chain(shared).map(move |flag| match flag.name {
            "output" => Flag { values: formats, ..*flag },
            _ => *flag,
        })
    }

    /// The formats in which it can print its result.
    fn formats(&self) -> &'static [&'static str] {
        match self.name {
            name if WITHOUT_ROWS.contains(&name) => &["table", "json", "jsonl", "wide"],
            name if TEXT_ONLY.contains(&name) => &["table", "wide"],
            _ => FORMATS,
        }
    }

    /// Finds a flag by its name or by an older name.
    pub fn flag_named(&self, name: &str) -> Option<Flag> {
        let has_alias = |flag: &Flag| flag.aliases.contains(&name);
        self.all_flags().find(|flag| flag.name == name).or_else(|| self.all_flags().find(has_alias))
    }

    /// All flags except `--help` and `--version`.
    pub fn all_flags(&self) -> impl Iterator<Item = Flag> {
        self.own_flags().chain(self.settings.flags())
    }
}

pub(super) const fn operand(name: &'static str) -> Operand {
    Operand { name, is_optional: false, takes_rest: false, values: &[], names: Names::None }
}

pub(super) const fn optional(name: &'static str) -> Operand {
    Operand { is_optional: true, ..operand(name) }
}

/// An operand for which shells offer names as completions.
pub(super) const fn known(name: &'static str, names: Names) -> Operand {
    Operand { names, ..operand(name) }
}

pub(super) const fn flag(name: &'static str, value: &'static str, help: &'static str) -> Flag {
    let (aliases, values, words, names) = (&[], &[], &[], Names::None);
    Flag { name, value, aliases, values, words, names, is_list: false, variable: "", default: "", help }
}

/// `--enabled` and `--disabled`.
pub(super) const ENABLED: [Flag; 2] = [
    Flag {
        aliases: &["enable"],
        values: &["true", "false"],
        ..switch("enabled", "enable it, so that it fires or reports")
    },
    Flag { aliases: &["disable"], ..switch("disabled", "disable it, so that it does not fire or report") },
];

pub(super) const fn switch(name: &'static str, help: &'static str) -> Flag {
    flag(name, "", help)
}

/// The flags shared by all commands that use a service.
pub(super) const CONNECTION: &[Flag] = &[
    Flag {
        variable: "SCHEDULER_URL",
        default: "that of the context",
        aliases: &["url"],
        ..flag("service", "URL", "base URL of the service")
    },
    TOKEN,
    Flag {
        variable: "SCHEDULER_SPACE",
        default: "that of the context, else the one that cf targets, else all spaces",
        names: Names::Spaces,
        ..flag("space", "SPACE", "space in which names are looked up: its guid, or its name if known")
    },
    Flag {
        variable: "SCHEDULER_CONTEXT",
        default: "the current one, else cf, else the standalone service of this machine",
        names: Names::Contexts,
        ..flag("context", "NAME", "context to use; contexts lists them")
    },
    OUTPUT[0],
    OUTPUT[1],
];

pub(super) const TOKEN: Flag = Flag {
    variable: "SCHEDULER_TOKEN",
    default: "that of the context",
    ..flag("token", "TOKEN", "your access token; prefer the variable, because other users can see flags")
};

const FORMATS: &[&str] = &["table", "json", "jsonl", "csv", "wide"];
/// Commands that print sentences or objects, so they have no rows for CSV.
const WITHOUT_ROWS: &[&str] = &[
    "show",
    "edit",
    "pause",
    "resume",
    "validate",
    "delete-job",
    "delete-call",
    "delete-schedule",
    "delete-notification",
    "login",
    "use",
    "logout",
];
/// Commands that print text that is no object of the API.
const TEXT_ONLY: &[&str] = &["logs", "dashboard", "open"];

/// How results are printed.
pub(super) const OUTPUT: [Flag; 2] = [
    Flag {
        values: FORMATS,
        default: "table",
        ..flag("output", "FORMAT", "also -o; json and jsonl print the API's objects without secrets")
    },
    switch("wide", "all columns and whole guids: -o wide"),
];
