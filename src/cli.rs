//! The command line. The only place that prints or decides how the process ends.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the place that prints")]

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use lexopt::Arg;
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::api::upcoming;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, ConfigError, Flags, Mode, SETTINGS};
use crate::crash;
use crate::cron::{Expression, Weekdays};
use crate::logging;
use crate::model::Timestamp;
use crate::outbound;
use crate::platform::local;
use crate::service::{Service, Welcome};
use crate::store::Location;

/// The exit status for a command line or settings that are wrong.
const USAGE: u8 = 2;
/// How many fire times `next` prints.
const NEXT_COUNT: u64 = 5;

/// Runs the program with these arguments (without its own name).
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let first = arguments.next();
    let command = first.as_deref().and_then(|first| first.to_str()).unwrap_or(if first.is_some() {
        "?"
    } else {
        "serve"
    });
    if command == "run-task" {
        return match local::run_task(arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(err) => failed(&err),
        };
    }
    let mut rest: Vec<OsString> = arguments.collect();
    // Flags without a command are those of `serve`.
    let command = if command.starts_with('-') && !matches!(command, "-h" | "--help" | "-V" | "--version") {
        rest.insert(0, OsString::from(command));
        "serve"
    } else {
        command
    };
    match command {
        "serve" => run(Mode::Serve, rest),
        "standalone" => run(Mode::Standalone, rest),
        "check-config" => check_config(rest),
        "next" => next(rest),
        "backup" => backup(rest),
        "help" | "-h" | "--help" => {
            print!("{}", help());
            ExitCode::SUCCESS
        }
        "version" | "-V" | "--version" => {
            println!("ocf-scheduler {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        other => usage(&format!("there is no command {other:?}")),
    }
}

fn run(mode: Mode, arguments: Vec<OsString>) -> ExitCode {
    let config = match read_config(mode, arguments) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    if let Some(place) = config::crash_point() {
        crash::arm(&place);
    }
    logging::start(config.log_level, config.log_format, Arc::clone(&clock));
    // Before anything is opened.
    if let Err(exit) = check_files(&config) {
        return exit;
    }
    // A limit on the size of files is then the error of a write, like a full disk, and not the end of the process.
    if let Err(err) = signal_hook::flag::register(SIGXFSZ, Arc::default()) {
        return failed(&format!("signals cannot be caught: {err}"));
    }
    // Before the threads start, so that none of them is there for a signal to end.
    let mut signals = match Signals::new([SIGTERM, SIGINT]) {
        Ok(signals) => signals,
        Err(err) => return failed(&format!("signals cannot be caught: {err}")),
    };
    let service = match Service::start(&config, clock) {
        Ok(service) => service,
        Err(err) => return failed(&err),
    };
    match service.welcome() {
        Some(welcome) => print!("{}", banner(welcome, &service)),
        None => println!("ocf-scheduler listens on http://{}", service.local_addr()),
    }
    signals.forever().next();
    // A second signal ends at once.
    let second = thread::Builder::new().name("second-signal".to_owned()).spawn(move || {
        if signals.forever().next().is_some() {
            std::process::exit(1);
        }
    });
    if let Err(err) = second {
        eprintln!("ocf-scheduler: a second signal will not be heard: {err}");
    }
    service.stop();
    ExitCode::SUCCESS
}

fn check_config(mut arguments: Vec<OsString>) -> ExitCode {
    let mode = if arguments.first().is_some_and(|first| first == "standalone") {
        arguments.remove(0);
        Mode::Standalone
    } else {
        Mode::Serve
    };
    let config = match read_config(mode, arguments) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    match check_files(&config) {
        Ok(()) => {
            println!("the settings are fine");
            ExitCode::SUCCESS
        }
        Err(exit) => exit,
    }
}

/// Looks into the files that settings name, and says all that is wrong with them.
fn check_files(config: &Config) -> Result<(), ExitCode> {
    let world =
        config.standalone_config.as_deref().map_or(Ok(()), |file| local::World::read(file).map(|_| ()));
    let certificates = outbound::check(&config.outbound());
    let faults: Vec<String> = [world.err(), certificates.err()].into_iter().flatten().collect();
    if faults.is_empty() {
        return Ok(());
    }
    eprintln!("ocf-scheduler: {}", ConfigError(faults));
    Err(ExitCode::from(USAGE))
}

fn backup(mut arguments: Vec<OsString>) -> ExitCode {
    if arguments.first().is_none_or(|first| first.to_string_lossy().starts_with('-')) {
        return usage("backup needs the name of the file to write: ocf-scheduler backup TO");
    }
    let to = PathBuf::from(arguments.remove(0));
    // What `serve` needs beyond the database is of no account here.
    let config = match read_config(Mode::Standalone, arguments) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let Location::Sqlite(database) = &config.database else {
        return usage("backup copies an SQLite file; for PostgreSQL use pg_dump");
    };
    match crate::backup::backup(database, &to) {
        Ok(()) => {
            println!("{} is a copy of {}", to.display(), database.display());
            ExitCode::SUCCESS
        }
        Err(err) => failed(&err),
    }
}

fn next(arguments: Vec<OsString>) -> ExitCode {
    let mut parser = lexopt::Parser::from_args(arguments);
    let (mut expression, mut after, mut count, mut flags) = (None, None, NEXT_COUNT, Flags::new());
    loop {
        let step = match parser.next() {
            Ok(None) => break,
            Ok(Some(Arg::Long("after"))) => parser.value().map(|value| {
                after = Some(value.to_string_lossy().into_owned());
            }),
            Ok(Some(Arg::Long("count"))) => parser.value().map(|value| {
                count = value.to_string_lossy().parse().unwrap_or(0);
            }),
            Ok(Some(Arg::Long("cron-weekdays"))) => parser.value().map(|value| {
                flags.push(("cron-weekdays".to_owned(), value.to_string_lossy().into_owned()));
            }),
            Ok(Some(Arg::Value(value))) if expression.is_none() => {
                expression = Some(value.to_string_lossy().into_owned());
                Ok(())
            }
            Ok(Some(other)) => return usage(&other.unexpected().to_string()),
            Err(err) => Err(err),
        };
        if let Err(err) = step {
            return usage(&err.to_string());
        }
    }
    let Some(expression) = expression else {
        return usage("next needs an expression, for example: ocf-scheduler next '0 9 * * 1-5'");
    };
    if !(1..=100).contains(&count) {
        return usage("--count must be a whole number from 1 to 100");
    }
    let weekdays = match Config::from_environment(Mode::Standalone, &flags) {
        Ok(config) => config.weekdays,
        Err(_) => Weekdays::default(),
    };
    let after = match after.as_deref().map(Timestamp::parse) {
        None => SystemClock::default().now(),
        Some(Some(after)) => after,
        Some(None) => {
            return usage("--after must be a time in the form of RFC 3339, for example 2026-03-01T00:00:00Z");
        }
    };
    match Expression::parse(&expression, weekdays) {
        Ok(parsed) => {
            let mut times = upcoming(&parsed, after, count).peekable();
            if times.peek().is_none() {
                eprintln!("ocf-scheduler: {expression:?} is valid and never fires again");
            }
            for time in times {
                println!("{time}");
            }
            ExitCode::SUCCESS
        }
        Err(err) => usage(&format!("{expression:?} is not valid: {err}")),
    }
}

fn read_config(mode: Mode, arguments: Vec<OsString>) -> Result<Config, ExitCode> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut flags = Flags::new();
    loop {
        let flag = match parser.next() {
            Ok(None) => break,
            Ok(Some(Arg::Long("help") | Arg::Short('h'))) => {
                print!("{}", help());
                return Err(ExitCode::SUCCESS);
            }
            Ok(Some(Arg::Long(name))) => match SETTINGS.iter().find(|setting| setting.flag == name) {
                Some(setting) => setting.flag,
                None => return Err(usage(&format!("there is no flag --{name}"))),
            },
            Ok(Some(other)) => return Err(usage(&other.unexpected().to_string())),
            Err(err) => return Err(usage(&err.to_string())),
        };
        match parser.value() {
            Ok(value) => flags.push((flag.to_owned(), value.to_string_lossy().into_owned())),
            Err(err) => return Err(usage(&err.to_string())),
        }
    }
    Config::from_environment(mode, &flags).map_err(|err| {
        eprintln!("ocf-scheduler: {err}");
        ExitCode::from(USAGE)
    })
}

fn failed(message: &str) -> ExitCode {
    eprintln!("ocf-scheduler: {message}");
    ExitCode::FAILURE
}

fn usage(message: &str) -> ExitCode {
    eprintln!("ocf-scheduler: {message}\nTry: ocf-scheduler --help");
    ExitCode::from(USAGE)
}

fn help() -> String {
    let mut text = String::from(
        "ocf-scheduler runs Cloud Foundry tasks and HTTP calls on cron schedules.\n\n\
         Usage:\n\
         \x20 ocf-scheduler [serve] [FLAGS]          in front of a Cloud Foundry\n\
         \x20 ocf-scheduler standalone [FLAGS]       with no Cloud Foundry: local processes; to try it, or on an edge machine\n\
         \x20 ocf-scheduler check-config [standalone] [FLAGS]   check the settings, start nothing\n\
         \x20 ocf-scheduler backup TO [FLAGS]        copy the database, also of a service that runs
         \x20 ocf-scheduler next EXPRESSION [--after TIME] [--count N]   the next fire times of a cron expression\n\n\
         Each setting is a variable of the environment and a flag; the flag wins:\n",
    );
    for setting in SETTINGS {
        text.push_str(&format!("  --{:<28} {}\n", setting.flag, setting.variable));
        text.push_str(&format!("  {:<30} {}", "", setting.help));
        if !setting.default.is_empty() {
            text.push_str(&format!(" [{}]", setting.default));
        }
        text.push('\n');
    }
    text
}

/// What a newcomer can paste.
fn banner(welcome: &Welcome, service: &Service) -> String {
    let url = format!("http://{}", service.local_addr());
    let token = welcome.token.as_deref().unwrap_or("A_TOKEN_OF_YOUR_FILE");
    let (app, space) = (&welcome.app, &welcome.space);
    format!(
        r#"ocf-scheduler listens on {url}
Apps and tokens are in {file}; memory_in_mb limits {limit}.

Paste this in another terminal:

  export TOKEN={token} APP={app} SPACE={space} URL={url}

Create a job, and keep its guid:
  JOB=$(curl -s "$URL/jobs?app_guid=$APP" -H "Authorization: Bearer $TOKEN" \
    -d '{{"name":"archive","command":"tar czf archive.tgz --exclude=archive.tgz --exclude=target --exclude=.git ."}}' | grep -o '"guid":"[^"]*"' | head -n 1 | cut -d '"' -f 4); echo "$JOB"
Run it now:
  curl -s -X POST "$URL/jobs/$JOB/execute" -H "Authorization: Bearer $TOKEN"
Schedule it every minute:
  curl -s "$URL/jobs/$JOB/schedules" -H "Authorization: Bearer $TOKEN" -d '{{"expression":"* * * * *"}}'
Read its history:
  curl -s "$URL/jobs/$JOB/history" -H "Authorization: Bearer $TOKEN"
Create a call:
  curl -s "$URL/calls?app_guid=$APP" -H "Authorization: Bearer $TOKEN" \
    -d '{{"name":"ping","url":"https://example.com/hook","auth_header":"Bearer abc"}}'

"#,
        file = welcome.file.display(),
        limit = welcome.memory_limit,
    )
}
