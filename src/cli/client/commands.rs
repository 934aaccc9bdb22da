//! All commands of the program, those that run a service and those that use one: one table, from which the parser, the help
//! and the completions come, so that they say the same.

use super::failure::Failure;
use super::parse::Arguments;
use super::session::Session;
use super::{calls_and_jobs, cron, executions, schedules};
use crate::config::{OUTBOUND_SETTINGS, SETTINGS, Setting};

/// Under which heading the help shows a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// For those who run a service.
    Run,
    /// For those who use one.
    Use,
    /// Neither needs a service nor starts one.
    Other,
}

impl Group {
    /// All, in the order of the help.
    pub const ALL: [Self; 3] = [Self::Run, Self::Use, Self::Other];

    /// The heading.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Run => "Run a service",
            Self::Use => "Use a service, on this machine or elsewhere",
            Self::Other => "Without a service",
        }
    }
}

/// A command.
pub struct Command {
    /// What is typed.
    pub name: &'static str,
    /// Where the help shows it.
    pub group: Group,
    /// What comes after it without dashes, in order; those that may be left out are last.
    pub operands: &'static [Operand],
    /// Its own flags.
    pub flags: &'static [Flag],
    /// Which settings are flags of it too.
    pub settings: AcceptedSettings,
    /// What it does, in a line.
    pub about: &'static str,
    /// What can be pasted.
    pub example: &'static str,
    /// How a service is asked; `None` for the commands that ask none.
    pub perform: Option<Perform>,
}

/// What a command that uses a service does. The answer is whether what it looked at went well.
pub type Perform = fn(&Session, &Arguments) -> Result<bool, Failure>;

/// What comes without dashes.
#[derive(Debug, Clone, Copy)]
pub struct Operand {
    /// Its name in the help.
    pub name: &'static str,
    /// Whether it may be left out.
    pub is_optional: bool,
    /// Whether further words belong to it, as when a shell has split an expression.
    pub takes_rest: bool,
    /// What it can be, when that is known.
    pub values: &'static [&'static str],
}

/// What comes with dashes.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// Without its dashes.
    pub name: &'static str,
    /// The name of its value in the help; empty for one that has none.
    pub value: &'static str,
    /// What its value can be, when that is known.
    pub values: &'static [&'static str],
    /// The variable of the environment that counts without it; empty when there is none.
    pub variable: &'static str,
    /// What holds without both, for people; empty when that is nothing.
    pub default: &'static str,
    /// What it means, in a line.
    pub help: &'static str,
}

/// Which settings of the service are flags of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptedSettings {
    /// None.
    None,
    /// All.
    All,
    /// Those of how other servers are reached.
    Outbound,
    /// The one of this variable.
    One(&'static str),
}

impl AcceptedSettings {
    fn has(self, setting: &Setting) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Outbound => OUTBOUND_SETTINGS.contains(&setting.variable),
            Self::One(variable) => setting.variable == variable,
        }
    }

    /// As flags.
    pub fn flags(self) -> impl Iterator<Item = Flag> {
        SETTINGS.iter().filter(move |setting| self.has(setting)).map(|setting| Flag {
            name: setting.flag,
            value: "VALUE",
            values: &[],
            variable: setting.variable,
            default: setting.default,
            help: setting.help,
        })
    }
}

impl Command {
    /// The command of that name.
    pub fn of(name: &str) -> Option<&'static Self> {
        COMMANDS.iter().find(|command| command.name == name)
    }

    /// The flags that are not settings: its own, and those of all commands that use a service.
    pub fn own_flags(&self) -> impl Iterator<Item = Flag> {
        let shared = if self.perform.is_some() { CONNECTION } else { &[] };
        self.flags.iter().chain(shared).copied()
    }

    /// All its flags but `--help`.
    pub fn all_flags(&self) -> impl Iterator<Item = Flag> {
        self.own_flags().chain(self.settings.flags())
    }
}

const fn operand(name: &'static str) -> Operand {
    Operand { name, is_optional: false, takes_rest: false, values: &[] }
}

const fn optional(name: &'static str) -> Operand {
    Operand { name, is_optional: true, takes_rest: false, values: &[] }
}

const fn flag(name: &'static str, value: &'static str, help: &'static str) -> Flag {
    Flag { name, value, values: &[], variable: "", default: "", help }
}

const fn switch(name: &'static str, help: &'static str) -> Flag {
    flag(name, "", help)
}

/// The executions that `history` shows unless told otherwise.
pub const HISTORY_LIMIT: &str = "20";
/// The shells that completions can be had for.
pub const SHELLS: &[&str] = &["bash", "zsh", "fish"];

const APP: Flag = Flag {
    variable: "SCHEDULER_APP",
    ..flag("app", "APP", "the app: its guid, or its name where cf is logged in and targets a space")
};

/// For a name that several apps have something of. No variable here: what is found must not depend on it.
const OF_APP: Flag = flag("app", "APP", "the app of the job or call, when several have one of that name");

/// The flags of all commands that use a service.
const CONNECTION: &[Flag] = &[
    Flag {
        variable: "SCHEDULER_URL",
        default: "the one of the foundation that cf is logged in to",
        ..flag("url", "URL", "the service's base URL")
    },
    Flag {
        variable: "SCHEDULER_TOKEN",
        default: "that of cf",
        ..flag(
            "token",
            "TOKEN",
            "a token of yours; others on this machine can see flags, so the variable is better",
        )
    },
    Flag {
        variable: "SCHEDULER_SPACE",
        default: "the one that cf targets, else all",
        ..flag("space", "GUID", "the space to look in")
    },
    Flag {
        values: &["table", "json"],
        default: "table",
        ..flag(
            "output",
            "FORMAT",
            "table for people, or json for scripts: the objects of the API, without secrets",
        )
    },
];

const JOB_LIMITS: [Flag; 3] = [
    Flag { default: "1024", ..flag("memory", "MB", "memory of its task") },
    Flag { default: "1024", ..flag("disk", "MB", "disk of its task") },
    flag("log-rate", "BPS", LOG_RATE_HELP),
];
const LOG_RATE_HELP: &str = "bytes of log a second of its task; -1: unlimited; 0: what Cloud Foundry allows";
const HEADER_HELP: &str = "what the call sends as Authorization; - reads it from the standard input";

/// A command that uses a service.
const fn uses(
    name: &'static str,
    operands: &'static [Operand],
    flags: &'static [Flag],
    about: &'static str,
    example: &'static str,
    perform: Perform,
) -> Command {
    let (group, settings) = (Group::Use, AcceptedSettings::Outbound);
    Command { name, group, operands, flags, settings, about, example, perform: Some(perform) }
}

/// A command that uses none.
const fn other(
    name: &'static str,
    group: Group,
    operands: &'static [Operand],
    settings: AcceptedSettings,
    about: &'static str,
    example: &'static str,
) -> Command {
    Command { name, group, operands, flags: &[], settings, about, example, perform: None }
}

/// All commands, in the order of the help.
pub const COMMANDS: &[Command] = &[
    other(
        "serve",
        Group::Run,
        &[],
        AcceptedSettings::All,
        "in front of a Cloud Foundry; the command that is meant when none is given",
        "CLIENT_SECRET=… ocf-scheduler serve --cf-endpoint https://api.example.com --client-id scheduler",
    ),
    other(
        "standalone",
        Group::Run,
        &[],
        AcceptedSettings::All,
        "with no Cloud Foundry: jobs are local processes; to try it, or on an edge machine",
        "ocf-scheduler standalone --port 8000",
    ),
    Command {
        flags: &[switch("connect", "try the database, UAA, the client's authorities and Cloud Foundry too")],
        ..other(
            "check-config",
            Group::Run,
            &[Operand { values: &["serve", "standalone"], ..optional("COMMAND") }],
            AcceptedSettings::All,
            "checks the settings of serve or standalone, and starts nothing",
            "ocf-scheduler check-config --connect",
        )
    },
    other(
        "backup",
        Group::Run,
        &[operand("FILE")],
        AcceptedSettings::All,
        "copies the database, with standalone's apps and tokens, also of a service that runs; - is standard output",
        "ocf-scheduler backup scheduler-backup.db --database-url sqlite://scheduler.db",
    ),
    other(
        "restore",
        Group::Run,
        &[operand("FILE")],
        AcceptedSettings::All,
        "puts a backup where the service looks for it, and overwrites nothing; - is standard input",
        "ocf-scheduler restore scheduler-backup.db --database-url sqlite://scheduler.db",
    ),
    Command {
        flags: &[
            Flag {
                variable: "IMPORT_FROM",
                default: "DATABASE_URL, for a Go service's tables in it",
                ..flag("from", "URL", "the database to move: postgres://…, sqlite://PATH or a bare path")
            },
            Flag {
                values: &["go", "own"],
                default: "what is there",
                ..flag("kind", "KIND", "go: the tables of a Go service; own: those of this program")
            },
            switch("dry-run", "move nothing, and report what would come of it"),
        ],
        ..other(
            "import",
            Group::Run,
            &[],
            AcceptedSettings::All,
            "moves the database of a Go service, or another one of this program, here",
            "ocf-scheduler import --from postgres://user@host/scheduler --database-url scheduler.db --dry-run",
        )
    },
    uses("jobs", &[], &[], "lists jobs", "ocf-scheduler jobs", calls_and_jobs::jobs),
    uses("calls", &[], &[], "lists calls", "ocf-scheduler calls --output json", calls_and_jobs::calls),
    uses(
        "schedules",
        &[optional("NAME")],
        &[OF_APP],
        "lists schedules: of one job or call, or all",
        "ocf-scheduler schedules nightly",
        schedules::list,
    ),
    uses(
        "history",
        &[operand("NAME")],
        &[
            OF_APP,
            Flag { default: HISTORY_LIMIT, ..flag("limit", "N", "how many at most, from 1 to 500") },
            flag("schedule", "GUID", "those of this schedule only"),
        ],
        "lists the executions of a job or call, newest first",
        "ocf-scheduler history nightly --limit 5",
        executions::history,
    ),
    uses(
        "run",
        &[operand("NAME")],
        &[
            OF_APP,
            switch("wait", "follow it to its end: the exit status is 0 when it SUCCEEDED, 1 when it FAILED"),
        ],
        "runs a job or call now",
        "ocf-scheduler run nightly --wait",
        executions::run,
    ),
    uses(
        "logs",
        &[operand("JOB|EXECUTION"), optional("EXECUTION")],
        &[OF_APP, switch("follow", "go on until the execution has ended")],
        "prints what a task wrote (standalone; on Cloud Foundry: cf logs), of a job its newest",
        "ocf-scheduler logs nightly --follow",
        executions::logs,
    ),
    uses(
        "create-job",
        &[operand("NAME"), operand("COMMAND")],
        &[APP, JOB_LIMITS[0], JOB_LIMITS[1]],
        "creates a job: a command that runs as a task of an app",
        "ocf-scheduler create-job nightly 'bin/report --all' --app reports",
        calls_and_jobs::create_job,
    ),
    uses(
        "create-call",
        &[operand("NAME"), operand("URL")],
        &[APP, flag("auth-header", "TEXT", HEADER_HELP)],
        "creates a call: a URL to POST to",
        "ocf-scheduler create-call ping https://example.com/hook --auth-header 'Bearer abc' --app reports",
        calls_and_jobs::create_call,
    ),
    uses(
        "schedule-job",
        &[operand("NAME"), operand("EXPRESSION")],
        &[OF_APP, switch("disabled", "it is to run only once it is enabled")],
        "runs a job on a cron expression from now on",
        "ocf-scheduler schedule-job nightly '0 2 * * *'",
        schedules::schedule_job,
    ),
    uses(
        "schedule-call",
        &[operand("NAME"), operand("EXPRESSION")],
        &[OF_APP, switch("disabled", "it is to run only once it is enabled")],
        "runs a call on a cron expression from now on",
        "ocf-scheduler schedule-call ping '*/5 * * * *'",
        schedules::schedule_call,
    ),
    uses(
        "validate",
        &[Operand { takes_rest: true, ..operand("EXPRESSION") }],
        &[
            OF_APP,
            Flag { default: "nothing", ..flag("for", "NAME", "the job or call that H is hashed with") },
            Flag { default: "now", ..flag("from", "TIME", "from when on, in the form of RFC 3339") },
            Flag { default: "5", ..flag("count", "N", "how many fire times, from 0 to 100") },
            flag("timezone", "ZONE", "the zone in which it is read, like Europe/Berlin"),
            Flag {
                default: "that of new schedules",
                values: &["classic", "ocf2"],
                ..flag("dialect", "DIALECT", "how it is read, like OCF Scheduler 1.x or 2.x")
            },
        ],
        "checks a cron expression as the service reads it, and makes nothing",
        "ocf-scheduler validate '0 9 * * MON-FRI' --timezone Europe/Berlin",
        cron::validate,
    ),
    uses(
        "time-zones",
        &[],
        &[],
        "lists the time zones that an expression may name",
        "ocf-scheduler time-zones",
        cron::time_zones,
    ),
    uses(
        "update-job",
        &[operand("NAME")],
        &[
            OF_APP,
            flag("name", "NAME", "its new name"),
            flag("command", "COMMAND", "its new command"),
            flag("memory", "MB", "memory of its task"),
            flag("disk", "MB", "disk of its task"),
            flag("log-rate", "BPS", LOG_RATE_HELP),
            flag("to-app", "APP", "another app of the same space, for example after a blue-green deployment"),
        ],
        "changes a job",
        "ocf-scheduler update-job nightly --command 'bin/report --fast'",
        calls_and_jobs::update_job,
    ),
    uses(
        "update-call",
        &[operand("NAME")],
        &[
            OF_APP,
            flag("name", "NAME", "its new name"),
            flag("to-url", "URL", "its new URL"),
            flag("auth-header", "TEXT", HEADER_HELP),
            flag("to-app", "APP", "another app of the same space, for example after a blue-green deployment"),
        ],
        "changes a call",
        "ocf-scheduler update-call ping --to-url https://example.com/other",
        calls_and_jobs::update_call,
    ),
    uses(
        "update-schedule",
        &[operand("GUID")],
        &[
            flag("expression", "EXPRESSION", "its new cron expression"),
            Flag { values: &["true", "false"], ..flag("enabled", "BOOL", "whether it runs") },
        ],
        "changes a schedule, stops it, or lets it go on",
        "ocf-scheduler update-schedule 8d3a51c0-4f0e-4a53-9c52-0d8a3f1f6b11 --enabled false",
        schedules::update,
    ),
    uses(
        "delete-job",
        &[operand("NAME")],
        &[OF_APP],
        "deletes a job, its schedules and its history, without asking",
        "ocf-scheduler delete-job nightly",
        calls_and_jobs::delete_job,
    ),
    uses(
        "delete-call",
        &[operand("NAME")],
        &[OF_APP],
        "deletes a call, its schedules and its history, without asking",
        "ocf-scheduler delete-call ping",
        calls_and_jobs::delete_call,
    ),
    uses(
        "delete-schedule",
        &[operand("GUID")],
        &[],
        "deletes a schedule, without asking",
        "ocf-scheduler delete-schedule 8d3a51c0-4f0e-4a53-9c52-0d8a3f1f6b11",
        schedules::delete,
    ),
    Command {
        flags: &[
            Flag { default: "now", ..flag("after", "TIME", "from when on, in the form of RFC 3339") },
            Flag { default: "5", ..flag("count", "N", "how many, from 1 to 100") },
            Flag {
                default: "UTC",
                ..flag("timezone", "ZONE", "the zone in which it is read, like Europe/Berlin")
            },
            Flag {
                default: "classic",
                values: &["classic", "ocf2"],
                ..flag("dialect", "DIALECT", "how it is read, like OCF Scheduler 1.x or 2.x")
            },
        ],
        ..other(
            "next",
            Group::Other,
            &[Operand { takes_rest: true, ..operand("EXPRESSION") }],
            AcceptedSettings::One("CRON_WEEKDAYS"),
            "prints the next fire times of a cron expression",
            "ocf-scheduler next '0 9 * * 1-5'",
        )
    },
    other(
        "completions",
        Group::Other,
        &[Operand { values: SHELLS, ..operand("SHELL") }],
        AcceptedSettings::None,
        "prints the completions for a shell: bash, zsh or fish",
        "source <(ocf-scheduler completions bash)",
    ),
    other(
        "help",
        Group::Other,
        &[optional("COMMAND")],
        AcceptedSettings::None,
        "prints what there is to know of a command, or of all; of `settings`: all settings",
        "ocf-scheduler help run",
    ),
    other(
        "version",
        Group::Other,
        &[],
        AcceptedSettings::None,
        "prints the version",
        "ocf-scheduler version",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_can_be_understood_without_another() {
        for (index, command) in COMMANDS.iter().enumerate() {
            let name = command.name;
            assert!(COMMANDS.iter().skip(index + 1).all(|other| other.name != name), "{name} is there twice");
            assert!(command.example.contains(&format!("ocf-scheduler {name}")), "{name}");
            assert_eq!(command.perform.is_some(), command.group == Group::Use, "{name}");
            let optional_from = command.operands.iter().position(|operand| operand.is_optional);
            let required_after = command.operands.iter().rposition(|operand| !operand.is_optional);
            assert!(optional_from.is_none_or(|from| required_after.is_none_or(|last| last < from)), "{name}");
            let flags: Vec<&str> = command.all_flags().map(|flag| flag.name).collect();
            for (index, flag) in flags.iter().enumerate() {
                assert!(!flags[index + 1..].contains(flag), "{name} has --{flag} twice");
            }
        }
    }
}
