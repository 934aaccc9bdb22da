//! The table of all commands. The parser, the help, the completions and the manual page are made from it, so
//! they agree.

use std::process::ExitCode;

use super::arguments::Arguments;
use super::client::executions::HISTORY_LIMIT;
use super::client::{
    ask, ask_or, audit, calls_and_jobs, cron, crontab, dashboard, definitions, edit, enabling, executions,
    export, login, notifications, overview, pauses, schedules, show, without_session,
};
use super::command::{
    Command, ENABLED, Flag, Group, Names, OUTPUT, Operand, SettingFlags, TOKEN, flag, known, operand,
    optional, switch,
};
use super::nearest::nearest;
use super::{backup, check_config, health, import, next, output, serve};
use crate::web::api::AUDIT_TYPES;

/// The shells that have completions.
pub const SHELLS: &[&str] = &["bash", "zsh", "fish"];

const APP: Flag = Flag {
    variable: "SCHEDULER_APP",
    names: Names::Apps,
    ..flag("app", "APP", "guid of the app, or its name if known")
};

/// A flag for which shells offer names as completions.
const fn named(names: Names, flag: Flag) -> Flag {
    Flag { names, ..flag }
}

/// A flag whose value is some of these words, separated by commas.
const fn some_of(words: &'static [&'static str], flag: Flag) -> Flag {
    Flag { words, is_list: true, ..flag }
}

const STATES: &[&str] = &["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "SKIPPED"];
const REASONS: &[&str] = &[
    "timeout",
    "cancelled",
    "replaced",
    "overlap",
    "interrupted",
    "gave_up",
    "refused",
    "task_failed",
    "no_answer",
    "status",
    "not_sent",
    "vanished",
    "missed",
    "paused",
];
const EVENTS: &[&str] = &["failed", "recovered", "succeeded", "overdue"];

/// Flags of commands that create or change a schedule, with the flags that all commands share.
macro_rules! schedule_flags {
    ($($own:expr),*) => {
        [
            $($own,)*
            named(Names::TimeZones, flag("timezone", "ZONE", "time zone of the expression, for example Europe/Berlin; \"\" for UTC")),
            flag("from", "TIME", "fire from this RFC 3339 time on; \"\" for no start"),
            flag("until", "TIME", "fire up to this RFC 3339 time; \"\" for no end"),
            flag("jitter", "SECONDS", "delay each run by up to this many seconds, from 0 to 3600"),
            Flag {
                default: "MISFIRE_POLICY of the service",
                values: &["skip", "once", "all"],
                ..flag("misfire-policy", "POLICY", "what to do with missed fire times")
            },
            flag("description", "TEXT", "description, at most 1,000 characters; \"\" for none"),
        ]
    };
}

/// Flags of commands that create or change a job or call, with the flags that all commands share.
macro_rules! run_flags {
    ($($own:expr),* $(,)?) => {
        [
            $($own,)*
            flag("timeout", "SPAN", "time limit of an attempt, like 2h; \"\" for the default"),
            Flag {
                values: &["Always", "Forbid", "Replace", "Queue"],
                ..flag("concurrency-policy", "POLICY", "if still running: Always, Forbid, Replace, Queue")
            },
            flag("retries", "N", "how often a failed attempt is repeated, from 0 to 20"),
            flag("backoff", "SPAN", "delay before the first retry; it doubles each time"),
            flag("max-backoff", "SPAN", "longest delay between retries"),
            flag("max-age", "SPAN", "retries end this long after the first attempt"),
            flag("labels", "LABELS", "like team=billing,env=prod; team- removes one"),
            flag("expect-success", "SPAN", "overdue after this long without success; \"\" for never"),
        ]
    };
}

/// Flags of commands that create or change a call.
macro_rules! call_flags {
    ($($own:expr),* $(,)?) => {
        run_flags![
            $($own,)*
            flag("auth-header", "TEXT", HEADER_HELP),
            Flag {
                values: &["POST", "GET", "PUT", "PATCH", "DELETE", "HEAD"],
                ..flag("method", "METHOD", "POST, GET, PUT, PATCH, DELETE or HEAD")
            },
            flag("headers", "HEADER", "'NAME: VALUE', may be repeated, or JSON; \"\" for none"),
            flag("body", "TEXT", "body; - reads standard input; \"\" for none"),
            flag("success", "STATUSES", "statuses that are a success, like 200-299,304"),
            flag("secret", "SECRET", "secret (whsec_…) to sign with; - reads standard input"),
        ]
    };
}

/// Flags of commands that create or change a notification.
macro_rules! notification_flags {
    ($($own:expr),*) => {
        [
            $($own,)*
            Flag {
                default: "standard",
                values: &["standard", "slack", "alertmanager"],
                ..flag("format", "FORMAT", "format of deliveries")
            },
            Flag {
                default: "failed,recovered,overdue",
                words: EVENTS,
                is_list: true,
                ..flag("events", "EVENTS", "events to report: some of failed, recovered, succeeded, overdue")
            },
            Flag { names: Names::Jobs, is_list: true, ..flag("jobs", "NAMES", "only these jobs, separated by commas") },
            Flag { names: Names::Calls, is_list: true, ..flag("calls", "NAMES", "only these calls, separated by commas") },
            flag("label-selector", "SELECTOR", "only jobs and calls with these labels, for example \
             env=prod"),
            Flag { default: "1", ..flag("after-failures", "N", "report after this many failures in a row") },
            flag("remind-after", "SECONDS", "repeat active alerts at this interval; \"\" for never"),
            flag("secret", "SECRET", "secret (whsec_…) to sign with; - reads standard input"),
        ]
    };
}

/// Selects one of several jobs or calls of the same name. It has no variable, so the meaning of a name does
/// not depend on the environment.
const OF_APP: Flag = named(Names::Apps, flag("app", "APP", "its app, if several apps have this name"));

const PRUNE: Flag =
    switch("prune", "delete what an earlier version of the file created and this version lacks");

/// Filters of the lists of jobs and calls, and their order.
const LIST: [Flag; 4] = [
    named(Names::Apps, flag("app", "APP", "only of this app")),
    some_of(
        &calls_and_jobs::STATES,
        flag(
            "state",
            "STATES",
            "only those whose last run is in one of these states, for example FAILED,RUNNING; never: not run yet",
        ),
    ),
    flag(
        "since",
        "AGE",
        "only those whose last run ended in the last 90s, 30m, 12h or 7d, or since an RFC 3339 time",
    ),
    Flag {
        default: "order of creation",
        values: &["name", "app", "state", "last", "next", "created"],
        ..flag("sort", "ORDER", "by name, app, state, last or next run, or created (newest first)")
    },
];
const SORT_SCHEDULES: Flag = Flag {
    default: "order of creation",
    values: &["name", "app", "next", "created"],
    ..flag("sort", "ORDER", "by name, app, next run, or created (newest first)")
};
const SORT_EXECUTIONS: Flag = Flag {
    default: "created",
    values: &["name", "app", "state", "created"],
    ..flag("sort", "ORDER", "by name, app, state, or created (newest first)")
};
const URL: Flag = flag("url", "URL", "the URL, if it is not the second argument");
const NEW_URL: Flag = Flag { aliases: &["to-url"], ..flag("url", "URL", "new URL") };
const ALL: Flag = switch("all", "all schedules of the job or call");

/// Filters of lists of executions.
const FILTERS: [Flag; 3] = [
    some_of(STATES, flag("state", "STATES", "only in these states, for example FAILED,RUNNING")),
    some_of(REASONS, flag("reason", "REASONS", "only with these reasons, for example timeout,task_failed")),
    flag("since", "AGE", "only those created in the last 90s, 30m, 12h or 7d, or since an RFC 3339 time"),
];

const JOB_LIMITS: [Flag; 3] = [
    Flag { default: "1024", ..flag("memory", "MB", "memory limit of the task") },
    Flag { default: "1024", ..flag("disk", "MB", "disk limit of the task") },
    flag("log-rate", "BPS", LOG_RATE_HELP),
];
const LOG_RATE_HELP: &str =
    "log rate limit of the task, in bytes per second; -1: unlimited; 0: the default of Cloud Foundry";
const AT_HELP: &str = "fire once at this time, for example '2026-12-31 23:59' or 2026-12-31T23:59:00Z";
const IN_HELP: &str = "fire once after this time, by the service's clock, for example 10m or 1h30m";
const HEADER_HELP: &str = "Authorization header; - reads standard input";

/// A command that uses a service.
const fn uses(
    group: Group,
    name: &'static str,
    operands: &'static [Operand],
    flags: &'static [Flag],
    about: &'static str,
    example: &'static str,
    action: fn(&Arguments) -> ExitCode,
) -> Command {
    let settings = SettingFlags::Outbound;
    Command { name, group, operands, flags, settings, about, example, action }
}

/// A command that does not use a service.
const fn other(
    name: &'static str,
    group: Group,
    operands: &'static [Operand],
    settings: SettingFlags,
    about: &'static str,
    example: &'static str,
    action: fn(&Arguments) -> ExitCode,
) -> Command {
    Command { name, group, operands, flags: &[], settings, about, example, action }
}

/// All commands, in the order of the help.
pub const COMMANDS: &[Command] = &[
    other(
        "serve",
        Group::Run,
        &[],
        SettingFlags::All,
        "runs the service for Cloud Foundry; the default command",
        "CLIENT_SECRET=… ocf-scheduler serve --cf-endpoint https://api.example.com --client-id scheduler",
        serve::serve,
    ),
    other(
        "standalone",
        Group::Run,
        &[],
        SettingFlags::All,
        "runs the service without Cloud Foundry: jobs are local processes; for trials and edge machines",
        "ocf-scheduler standalone --port 8000",
        serve::standalone,
    ),
    Command {
        flags: &[switch(
            "connect",
            "also connect to the database, UAA and Cloud Foundry, and check the client's authorities",
        )],
        ..other(
            "check-config",
            Group::Run,
            &[Operand { values: &["serve", "standalone"], ..optional("COMMAND") }],
            SettingFlags::All,
            "checks the settings of serve or standalone without starting a service",
            "ocf-scheduler check-config --connect",
            check_config::check_config,
        )
    },
    other(
        "backup",
        Group::Run,
        &[operand("FILE")],
        SettingFlags::All,
        "copies the database, and the apps and tokens of standalone, even while the service runs; - is \
         standard output",
        "ocf-scheduler backup scheduler-backup.db --database-url sqlite://scheduler.db",
        backup::backup,
    ),
    other(
        "restore",
        Group::Run,
        &[operand("FILE")],
        SettingFlags::All,
        "restores a backup to where the service expects it; overwrites nothing; - is standard input",
        "ocf-scheduler restore scheduler-backup.db --database-url sqlite://scheduler.db",
        backup::restore,
    ),
    Command {
        flags: &[
            Flag {
                variable: "SCHEDULER_URL",
                default: "this machine, at SCHEDULER_PORT",
                ..flag("url", "URL", "base URL of the service")
            },
            switch("ready", "also check that it is ready to work: GET /readyz"),
        ],
        ..other(
            "health",
            Group::Run,
            &[],
            SettingFlags::One("SCHEDULER_PORT"),
            "checks that a service is alive (GET /healthz), for health checks of containers; exit status 0 \
             if it is",
            "ocf-scheduler health --port 8000",
            health::health,
        )
    },
    Command {
        flags: &[
            Flag {
                variable: "IMPORT_FROM",
                default: "DATABASE_URL, if it has tables of OCF Scheduler",
                ..flag("from", "URL", "database to import: postgres://…, sqlite://PATH or a bare path")
            },
            Flag {
                values: &["go", "own"],
                default: "detected",
                ..flag("kind", "KIND", "go: a database of OCF Scheduler; own: a database of this program")
            },
            Flag {
                default: "UTC",
                ..named(
                    Names::TimeZones,
                    flag("timezone", "ZONE", "zone of OCF Scheduler's server, for schedules that name none"),
                )
            },
            Flag {
                values: &["classic", "ocf2"],
                default: "that of the service that wrote it",
                ..flag("dialect", "DIALECT", "dialect of the schedules of OCF Scheduler")
            },
            switch("dry-run", "report what would be imported, and import nothing"),
        ],
        ..other(
            "import",
            Group::Run,
            &[],
            SettingFlags::All,
            "imports a database of OCF Scheduler, or one of this program",
            "ocf-scheduler import --from postgres://user@host/scheduler --database-url scheduler.db \
             --dry-run",
            import::import,
        )
    },
    uses(Group::Jobs, "jobs", &[], &LIST, "lists jobs", "ocf-scheduler jobs", |it| {
        ask(calls_and_jobs::jobs, it)
    }),
    uses(Group::Jobs, "calls", &[], &LIST, "lists calls", "ocf-scheduler calls --output json", |it| {
        ask(calls_and_jobs::calls, it)
    }),
    uses(
        Group::Schedules,
        "schedules",
        &[Operand { names: Names::Both, ..optional("NAME") }],
        &[
            named(Names::Apps, flag("app", "APP", "only of jobs and calls of this app")),
            some_of(
                &schedules::STATES,
                flag("state", "STATES", "only in these states: enabled, disabled, completed"),
            ),
            flag(
                "since",
                "AGE",
                "only those created in the last 90s, 30m, 12h or 7d, or since an RFC 3339 time",
            ),
            SORT_SCHEDULES,
        ],
        "lists all schedules, or those of one job or call",
        "ocf-scheduler schedules nightly",
        |it| ask(schedules::list, it),
    ),
    uses(
        Group::Jobs,
        "export",
        &[],
        &[
            named(Names::Apps, flag("app", "APP", "only of this app, without notifications")),
            Flag {
                default: "definitions",
                ..flag("name", "NAME", "name of the definitions; apply labels its objects with it")
            },
        ],
        "prints jobs, calls, schedules and notifications as definitions, with variables for secrets",
        "ocf-scheduler export > definitions.toml",
        |it| ask(export::export, it),
    ),
    uses(
        Group::Jobs,
        "plan",
        &[operand("FILE")],
        &[APP, PRUNE],
        "shows what apply would change: exit status 0 for nothing, 2 for changes; - is standard input",
        "ocf-scheduler plan definitions.toml",
        |it| ask_or(definitions::DIFFERS, definitions::plan, it),
    ),
    uses(
        Group::Jobs,
        "apply",
        &[operand("FILE")],
        &[APP, PRUNE],
        "creates and changes jobs, calls, schedules and notifications as a file defines them; - is standard \
         input",
        "ocf-scheduler apply definitions.toml --prune",
        |it| ask(definitions::apply, it),
    ),
    uses(
        Group::Executions,
        "history",
        &[known("NAME", Names::Both)],
        &[
            OF_APP,
            Flag {
                default: HISTORY_LIMIT,
                ..flag(
                    "limit",
                    "N",
                    "maximum number of executions to list, from \
             1 to 500",
                )
            },
            Flag { names: Names::Schedules, ..flag("schedule", "GUID", "only executions of this schedule") },
            FILTERS[0],
            FILTERS[1],
            FILTERS[2],
        ],
        "lists the executions of a job or call, newest first",
        "ocf-scheduler history nightly --limit 5",
        |it| ask(executions::history, it),
    ),
    uses(
        Group::Executions,
        "executions",
        &[],
        &[
            FILTERS[0],
            FILTERS[1],
            FILTERS[2],
            Flag { values: &["job", "call"], ..flag("kind", "KIND", "only of one kind: job, call") },
            named(Names::Apps, flag("app", "APP", "only of this app")),
            SORT_EXECUTIONS,
            Flag {
                default: overview::LIMIT,
                ..flag(
                    "limit",
                    "N",
                    "maximum number of executions to list, \
             from 1 to 500",
                )
            },
        ],
        "lists the executions of all jobs and calls, newest first",
        "ocf-scheduler executions --state FAILED --since 12h",
        |it| ask(overview::list, it),
    ),
    uses(
        Group::Executions,
        "cancel",
        &[known("EXECUTION", Names::Executions)],
        &[],
        "cancels an execution: a waiting one ends at once, a running one once the platform has stopped it",
        "ocf-scheduler cancel 9b1d3a0c-8d7e-4f5b-a0c1-d2e3f4a5b6c7",
        |it| ask(overview::cancel, it),
    ),
    uses(
        Group::Schedules,
        "upcoming",
        &[],
        &[
            flag("until", "TIME", "only fire times up to this RFC 3339 time"),
            Flag {
                default: overview::LIMIT,
                ..flag("limit", "N", "maximum number of fire times to list, from 1 to 1000")
            },
        ],
        "lists the next fire times of all schedules, in order",
        "ocf-scheduler upcoming",
        |it| ask(overview::upcoming, it),
    ),
    uses(
        Group::Spaces,
        "notifications",
        &[],
        &[],
        "lists notifications: where failures and recoveries are sent",
        "ocf-scheduler notifications",
        |it| ask(notifications::list, it),
    ),
    uses(
        Group::Spaces,
        "create-notification",
        &[operand("NAME"), optional("URL")],
        &notification_flags!(URL),
        "creates a notification, which sends failures and recoveries to a URL",
        "ocf-scheduler create-notification ops https://hooks.example.com/scheduler --label-selector env=prod",
        |it| ask(notifications::create, it),
    ),
    uses(
        Group::Spaces,
        "update-notification",
        &[known("NAME", Names::Notifications)],
        &notification_flags!(
            Flag { aliases: &["name"], ..flag("rename", "NAME", "new name") },
            NEW_URL,
            ENABLED[0],
            ENABLED[1]
        ),
        "changes a notification",
        "ocf-scheduler update-notification ops --disable",
        |it| ask(notifications::update, it),
    ),
    uses(
        Group::Spaces,
        "delete-notification",
        &[known("NAME", Names::Notifications)],
        &[],
        "deletes a notification with its deliveries",
        "ocf-scheduler delete-notification ops",
        |it| ask(notifications::delete, it),
    ),
    uses(
        Group::Spaces,
        "test-notification",
        &[known("NAME", Names::Notifications)],
        &[],
        "sends a test to the receiver of a notification",
        "ocf-scheduler test-notification ops",
        |it| ask(notifications::test, it),
    ),
    uses(
        Group::Spaces,
        "deliveries",
        &[known("NAME", Names::Notifications)],
        &[Flag {
            default: notifications::LIMIT,
            ..flag("limit", "N", "maximum number of deliveries to list, from 1 to 500")
        }],
        "lists what a notification has sent, newest first",
        "ocf-scheduler deliveries ops",
        |it| ask(notifications::deliveries, it),
    ),
    uses(
        Group::Spaces,
        "audit-events",
        &[],
        &[
            some_of(
                &AUDIT_TYPES,
                flag("types", "TYPES", "only events of these types, for example job.create,job.delete"),
            ),
            flag("target", "GUID", "only changes of this job, call, schedule, …"),
            flag("actor", "GUID", "only changes by this user or client"),
            flag("since", "AGE", "only those of the last 90s, 30m, 12h or 7d, or since an RFC 3339 time"),
            Flag {
                default: overview::LIMIT,
                ..flag("limit", "N", "maximum number of events to list, from 1 to 500")
            },
        ],
        "lists who did what, newest first",
        "ocf-scheduler audit-events --types job.update,job.delete --since 7d",
        |it| ask(audit::events, it),
    ),
    uses(
        Group::Jobs,
        "run",
        &[known("NAME", Names::Both)],
        &[
            OF_APP,
            switch("wait", "wait for the execution to end: exit status 0 if it SUCCEEDED, 1 if it FAILED"),
        ],
        "runs a job or call now",
        "ocf-scheduler run nightly --wait",
        |it| ask(executions::run, it),
    ),
    uses(
        Group::Spaces,
        "spaces",
        &[],
        &[],
        "lists spaces with the numbers of their jobs, calls and schedules, and their pauses",
        "ocf-scheduler spaces",
        |it| ask(pauses::list, it),
    ),
    uses(
        Group::Spaces,
        "dashboard",
        &[],
        &[],
        "standalone: prints a link that signs in to the dashboard; it works once, within five minutes",
        "ocf-scheduler dashboard",
        |it| ask(dashboard::print, it),
    ),
    uses(Group::Spaces, "open", &[], &[], "opens the dashboard in a browser", "ocf-scheduler open", |it| {
        ask(dashboard::open, it)
    }),
    uses(
        Group::Jobs,
        "pause",
        &[Operand { names: Names::Both, ..optional("NAME") }],
        &[
            OF_APP,
            flag("until", "TIME", "only for a space: RFC 3339 time at which it resumes"),
            flag("note", "TEXT", "only for a space: why it is paused"),
        ],
        "stops the schedules of a job or call, or of the whole space, from firing; run still works",
        "ocf-scheduler pause nightly",
        |it| ask(pauses::pause, it),
    ),
    uses(
        Group::Jobs,
        "resume",
        &[Operand { names: Names::Both, ..optional("NAME") }],
        &[OF_APP],
        "lets the schedules of a job or call, or of the whole space, fire again; missed fire times \
         do not run",
        "ocf-scheduler resume nightly",
        |it| ask(pauses::resume, it),
    ),
    uses(
        Group::Jobs,
        "show",
        &[known("NAME", Names::Both)],
        &[OF_APP],
        "shows a job or call: its fields, its schedules and its last executions",
        "ocf-scheduler show nightly",
        |it| ask(show::show, it),
    ),
    uses(
        Group::Jobs,
        "edit",
        &[known("NAME", Names::Both)],
        &[OF_APP],
        "opens a job or call as JSON in $EDITOR, and applies your changes",
        "ocf-scheduler edit nightly",
        |it| ask(edit::edit, it),
    ),
    uses(
        Group::Schedules,
        "enable",
        &[known("GUID|NAME", Names::Schedules)],
        &[OF_APP, ALL],
        "enables a schedule, given its guid, or the only schedule of a job or call",
        "ocf-scheduler enable nightly",
        |it| ask(enabling::enable, it),
    ),
    uses(
        Group::Schedules,
        "disable",
        &[known("GUID|NAME", Names::Schedules)],
        &[OF_APP, ALL],
        "disables a schedule, given its guid, or the only schedule of a job or call",
        "ocf-scheduler disable nightly",
        |it| ask(enabling::disable, it),
    ),
    uses(
        Group::Executions,
        "logs",
        &[known("JOB|EXECUTION", Names::Jobs), optional("EXECUTION")],
        &[OF_APP, switch("follow", "print new output until the execution has ended")],
        "prints the output of a task, by default that of the newest execution",
        "ocf-scheduler logs nightly --follow",
        |it| ask(executions::logs, it),
    ),
    uses(
        Group::Jobs,
        "create-job",
        &[operand("NAME"), operand("COMMAND")],
        &run_flags![APP, JOB_LIMITS[0], JOB_LIMITS[1], JOB_LIMITS[2]],
        "creates a job: a command that runs as a task of an app",
        "ocf-scheduler create-job nightly 'bin/report --all' --app reports",
        |it| ask(calls_and_jobs::create_job, it),
    ),
    uses(
        Group::Jobs,
        "import-crontab",
        &[operand("FILE")],
        &[APP, switch("dry-run", "check the lines and show the jobs, and create nothing")],
        "turns the lines of a crontab into jobs with schedules; - is standard input",
        "crontab -l | ocf-scheduler import-crontab - --app reports --dry-run",
        |it| ask(crontab::import, it),
    ),
    uses(
        Group::Jobs,
        "create-call",
        &[operand("NAME"), optional("URL")],
        &call_flags![APP, URL],
        "creates a call: an HTTP request to a URL, by default a POST",
        "ocf-scheduler create-call ping https://example.com/hook --auth-header 'Bearer abc' --app reports",
        |it| ask(calls_and_jobs::create_call, it),
    ),
    uses(
        Group::Schedules,
        "schedule-job",
        &[known("NAME", Names::Jobs), optional("EXPRESSION")],
        &schedule_flags!(
            OF_APP,
            flag("at", "TIME", AT_HELP),
            flag("in", "SPAN", IN_HELP),
            ENABLED[0],
            ENABLED[1]
        ),
        "adds a schedule to a job",
        "ocf-scheduler schedule-job nightly '0 2 * * *'",
        |it| ask(schedules::schedule_job, it),
    ),
    uses(
        Group::Schedules,
        "schedule-call",
        &[known("NAME", Names::Calls), optional("EXPRESSION")],
        &schedule_flags!(
            OF_APP,
            flag("at", "TIME", AT_HELP),
            flag("in", "SPAN", IN_HELP),
            ENABLED[0],
            ENABLED[1]
        ),
        "adds a schedule to a call",
        "ocf-scheduler schedule-call ping '*/5 * * * *'",
        |it| ask(schedules::schedule_call, it),
    ),
    uses(
        Group::Schedules,
        "validate",
        &[Operand { takes_rest: true, ..operand("EXPRESSION") }],
        &[
            OF_APP,
            Flag { names: Names::Both, ..flag("for", "NAME", "job or call whose guid sets the values of H") },
            Flag { default: "now", ..flag("from", "TIME", "list fire times after this RFC 3339 time") },
            Flag { default: "5", ..flag("count", "N", "number of fire times, from 0 to 100") },
            named(
                Names::TimeZones,
                flag("timezone", "ZONE", "time zone of the expression, for example Europe/Berlin"),
            ),
            Flag {
                default: "the dialect of new schedules",
                values: &["classic", "ocf2"],
                ..flag("dialect", "DIALECT", "classic: as OCF Scheduler 1.x; ocf2: as OCF Scheduler 2.x")
            },
        ],
        "checks a cron expression on the service; creates nothing",
        "ocf-scheduler validate '0 9 * * MON-FRI' --timezone Europe/Berlin",
        |it| ask(cron::validate, it),
    ),
    uses(
        Group::Schedules,
        "time-zones",
        &[],
        &[],
        "lists the time zones that an expression can use",
        "ocf-scheduler time-zones",
        |it| ask(cron::time_zones, it),
    ),
    uses(
        Group::Jobs,
        "update-job",
        &[known("NAME", Names::Jobs)],
        &run_flags![
            OF_APP,
            Flag { aliases: &["name"], ..flag("rename", "NAME", "new name") },
            flag("command", "COMMAND", "new command"),
            flag("memory", "MB", "memory limit of the task"),
            flag("disk", "MB", "disk limit of the task"),
            flag("log-rate", "BPS", LOG_RATE_HELP),
            named(Names::Apps, flag("to-app", "APP", "move it to another app of the space")),
        ],
        "changes a job",
        "ocf-scheduler update-job nightly --command 'bin/report --fast'",
        |it| ask(calls_and_jobs::update_job, it),
    ),
    uses(
        Group::Jobs,
        "update-call",
        &[known("NAME", Names::Calls)],
        &call_flags![
            OF_APP,
            Flag { aliases: &["name"], ..flag("rename", "NAME", "new name") },
            NEW_URL,
            named(Names::Apps, flag("to-app", "APP", "move it to another app of the space")),
        ],
        "changes a call",
        "ocf-scheduler update-call ping --url https://example.com/other",
        |it| ask(calls_and_jobs::update_call, it),
    ),
    uses(
        Group::Schedules,
        "update-schedule",
        &[known("GUID|NAME", Names::Schedules)],
        &schedule_flags!(
            OF_APP,
            flag("expression", "EXPRESSION", "new cron expression"),
            ENABLED[0],
            ENABLED[1]
        ),
        "changes a schedule, given its guid, or the only schedule of a job or call",
        "ocf-scheduler update-schedule 8d3a51c0-4f0e-4a53-9c52-0d8a3f1f6b11 --disabled",
        |it| ask(schedules::update, it),
    ),
    uses(
        Group::Jobs,
        "delete-job",
        &[known("NAME", Names::Jobs)],
        &[OF_APP],
        "deletes a job, its schedules and its history; does not ask for confirmation",
        "ocf-scheduler delete-job nightly",
        |it| ask(calls_and_jobs::delete_job, it),
    ),
    uses(
        Group::Jobs,
        "delete-call",
        &[known("NAME", Names::Calls)],
        &[OF_APP],
        "deletes a call, its schedules and its history; does not ask for confirmation",
        "ocf-scheduler delete-call ping",
        |it| ask(calls_and_jobs::delete_call, it),
    ),
    uses(
        Group::Schedules,
        "delete-schedule",
        &[known("GUID|NAME", Names::Schedules)],
        &[OF_APP],
        "deletes a schedule; does not ask for confirmation",
        "ocf-scheduler delete-schedule 8d3a51c0-4f0e-4a53-9c52-0d8a3f1f6b11",
        |it| ask(schedules::delete, it),
    ),
    Command {
        flags: &[
            flag("name", "NAME", "name of the context; by default the host of the URL"),
            switch("from-cf", "use the token of cf, renewed when it expires; the URL is then optional"),
            TOKEN,
            Flag {
                variable: "SCHEDULER_SPACE",
                names: Names::Spaces,
                ..flag("space", "SPACE", "space in which names are looked up")
            },
            OUTPUT[0],
        ],
        ..other(
            "login",
            Group::Contexts,
            &[optional("URL")],
            SettingFlags::Outbound,
            "stores a service and your token as the current context; type the token, or pass it on standard \
             input",
            "ocf-scheduler login https://scheduler.example.com",
            |it| without_session(login::login, it),
        )
    },
    Command {
        flags: &[OUTPUT[0], OUTPUT[1]],
        ..other(
            "contexts",
            Group::Contexts,
            &[],
            SettingFlags::None,
            "lists contexts: the services that you can use; * marks the current one",
            "ocf-scheduler contexts",
            |it| without_session(login::list, it),
        )
    },
    Command {
        flags: &[OUTPUT[0]],
        ..other(
            "use",
            Group::Contexts,
            &[known("CONTEXT", Names::Contexts)],
            SettingFlags::None,
            "switches to another context: one that login stored, or cf, or standalone",
            "ocf-scheduler use standalone",
            |it| without_session(login::switch, it),
        )
    },
    Command {
        flags: &[OUTPUT[0]],
        ..other(
            "logout",
            Group::Contexts,
            &[Operand { names: Names::Contexts, ..optional("CONTEXT") }],
            SettingFlags::None,
            "removes a context and its token from this machine, by default the current one",
            "ocf-scheduler logout",
            |it| without_session(login::logout, it),
        )
    },
    Command {
        flags: &[
            Flag { default: "now", ..flag("after", "TIME", "list fire times after this RFC 3339 time") },
            Flag { default: "5", ..flag("count", "N", "number of fire times, from 1 to 100") },
            Flag {
                default: "UTC",
                ..named(
                    Names::TimeZones,
                    flag("timezone", "ZONE", "time zone of the expression, for example Europe/Berlin"),
                )
            },
            Flag {
                default: "classic",
                values: &["classic", "ocf2"],
                ..flag("dialect", "DIALECT", "classic: as OCF Scheduler 1.x; ocf2: as OCF Scheduler 2.x")
            },
        ],
        ..other(
            "next",
            Group::Other,
            &[Operand { takes_rest: true, ..operand("EXPRESSION") }],
            SettingFlags::One("CRON_WEEKDAYS"),
            "prints the next fire times of a cron expression",
            "ocf-scheduler next '0 9 * * 1-5'",
            next::next,
        )
    },
    other(
        "completions",
        Group::Other,
        &[Operand { values: SHELLS, ..operand("SHELL") }],
        SettingFlags::None,
        "prints completions for bash, zsh or fish",
        "source <(ocf-scheduler completions bash)",
        completions,
    ),
    other(
        "man",
        Group::Other,
        &[],
        SettingFlags::None,
        "prints the manual page",
        "ocf-scheduler man | man -l -",
        man,
    ),
    other(
        "help",
        Group::Other,
        &[optional("COMMAND|TOPIC")],
        SettingFlags::None,
        "prints help: for a command, or on `commands`, `flags`, `settings` or `exit`",
        "ocf-scheduler help run",
        help,
    ),
    other(
        "version",
        Group::Other,
        &[],
        SettingFlags::None,
        "prints the version",
        "ocf-scheduler version",
        version,
    ),
];

pub(super) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

fn completions(arguments: &Arguments) -> ExitCode {
    output::show(&super::completions::of(COMMANDS, arguments.required(0)).unwrap_or_default())
}

fn man(_: &Arguments) -> ExitCode {
    output::show(&super::man::page(COMMANDS))
}

fn help(arguments: &Arguments) -> ExitCode {
    match arguments.operand(0) {
        None => output::show(&super::help::overview(COMMANDS)),
        Some("commands") => output::show(&super::help::commands(COMMANDS)),
        Some("settings") => output::show(&super::help::settings()),
        Some("flags") => output::show(&super::help::flags_of_all(COMMANDS)),
        Some("exit") => output::show(&super::help::exit_statuses()),
        Some(name) => match find(name) {
            Some(command) => output::show(&super::help::of(command)),
            None => output::usage(&no_command(name)),
        },
    }
}

/// Commands of other programs, each with the commands that do the same here.
const ELSEWHERE: [(&str, &[&str]); 18] = [
    ("ls", &["jobs", "calls", "schedules", "executions"]),
    ("list", &["jobs", "calls", "schedules", "executions"]),
    ("status", &["jobs", "calls", "executions", "health"]),
    ("get", &["show"]),
    ("describe", &["show"]),
    ("info", &["show"]),
    ("add", &["create-job", "create-call"]),
    ("new", &["create-job", "create-call"]),
    ("rm", &["delete-job", "delete-call", "delete-schedule"]),
    ("remove", &["delete-job", "delete-call", "delete-schedule"]),
    ("rename", &["update-job", "update-call"]),
    ("start", &["run"]),
    ("execute", &["run"]),
    ("trigger", &["run"]),
    ("stop", &["cancel", "pause"]),
    ("kill", &["cancel"]),
    ("output", &["logs"]),
    ("diff", &["plan"]),
];

/// The error for an unknown command, with the commands that the user may have meant.
pub(super) fn no_command(name: &str) -> String {
    let names = || COMMANDS.iter().map(|command| command.name);
    let elsewhere = ELSEWHERE.iter().find(|(word, _)| *word == name).map(|(_, here)| here.to_vec());
    // For example `create` for create-job and create-call.
    let part = |command: &&str| command.split('-').any(|part| part == name);
    let meant = elsewhere
        .or_else(|| nearest(name, names()).map(|meant| vec![meant]))
        .unwrap_or_else(|| names().filter(part).collect());
    match meant.split_last() {
        None => format!("there is no command {name:?}"),
        Some((last, [])) => format!("there is no command {name:?}; did you mean {last}?"),
        Some((last, others)) => {
            format!("there is no command {name:?}; did you mean {} or {last}?", others.join(", "))
        }
    }
}

fn version(_: &Arguments) -> ExitCode {
    output::show(output::VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Event, ExecutionState, Reason};

    #[test]
    fn shells_offer_all_values_of_the_model() {
        assert_eq!(STATES, ExecutionState::ALL.map(ExecutionState::as_str));
        assert_eq!(REASONS, Reason::ALL.map(Reason::as_str));
        assert_eq!(EVENTS, Event::ALL.map(Event::as_str));
    }

    #[test]
    fn what_was_meant_is_suggested() {
        for (typed, meant) in [
            ("joobs", "jobs?"),
            ("job", "jobs?"),
            ("delete", "delete-notification, delete-job, delete-call or delete-schedule?"),
            ("crontab", "import-crontab?"),
            ("ls", "jobs, calls, schedules or executions?"),
            ("describe", "show?"),
        ] {
            assert_eq!(no_command(typed), format!("there is no command {typed:?}; did you mean {meant}"));
        }
        assert_eq!(no_command("nope"), "there is no command \"nope\"");
        for (word, here) in ELSEWHERE {
            assert!(find(word).is_none(), "{word} is a command");
            assert!(here.iter().all(|name| find(name).is_some()), "{word}");
        }
    }

    #[test]
    fn the_help_of_a_command_fits_a_terminal() {
        for command in COMMANDS {
            let help = super::super::help::of(command);
            assert!(help.lines().count() < 24, "{help}");
            assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        }
    }

    #[test]
    fn each_command_can_be_understood_without_another() {
        for (index, command) in COMMANDS.iter().enumerate() {
            let name = command.name;
            assert!(COMMANDS.iter().skip(index + 1).all(|other| other.name != name), "{name} appears twice");
            assert!(command.example.contains(&format!("ocf-scheduler {name}")), "{name}");
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
