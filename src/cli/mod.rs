//! The command line. With `client`, the only place that prints or decides how the process ends.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the place that prints")]

pub mod client;

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use log::{error, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::base::clock::{Clock, SystemClock};
use crate::base::crash;
use crate::base::logging::{self, LogFormat};
use crate::cli::client::commands::Command;
use crate::cli::client::parse::Arguments;
use crate::cli::client::{completions, help, output};
use crate::config::{self, Config, ConfigError, Mode};
use crate::cron::{self, Dialect, Expression, HASH_KEY, ParseError, Reading, Weekdays, Zone};
use crate::fire_times::{local, upcoming};
use crate::model::{Location, Timestamp};
use crate::outbound;
use crate::platform::cf::CloudFoundry;
use crate::platform::local;
use crate::service::{self, Service, Welcome, store_settings};
use crate::store::{self, ImportMode, Origin, Source, Store, StoreSettings, Unread};
use crate::transfer;
use crate::transfer::backup::Places;

/// The exit status for a command line or settings that are wrong.
const USAGE: u8 = 2;
const VERSION: &str = concat!("ocf-scheduler ", env!("CARGO_PKG_VERSION"), "\n");
/// What people do once a service is in front of a Cloud Foundry.
const NEXT_OF_SERVE: &str = "\
Next, where cf is logged in: ocf-scheduler jobs (with SCHEDULER_URL where the service is not at scheduler.SYSTEM_DOMAIN).
All commands: ocf-scheduler --help. For programs: GET /openapi.json
";
/// How many fire times `next` prints.
const NEXT_COUNT: u64 = 5;

/// Runs the program with these arguments (without its own name).
pub fn main(typed: Vec<OsString>) -> ExitCode {
    // First of all: until then a task of an earlier service could read the secrets in our environment.
    local::hide_memory();
    let mut rest = typed.into_iter().peekable();
    let name = match rest.peek().map(|first| first.to_string_lossy().into_owned()) {
        // A task's runner, and what starts its command as another user. Nobody types these.
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
        Some(name) if matches!(name.as_str(), "-h" | "--help") => return shown(&help::overview()),
        // Flags without a command are those of `serve`.
        Some(name) if !name.starts_with('-') => {
            rest.next();
            name
        }
        _ => "serve".to_owned(),
    };
    let Some(command) = Command::of(&name) else {
        return usage(&format!("there is no command {name:?}"));
    };
    let arguments = match Arguments::of(command, rest.collect()) {
        Ok(arguments) if arguments.wants_help => return shown(&help::of(command)),
        Ok(arguments) if arguments.wants_version => return shown(VERSION),
        Ok(arguments) => arguments,
        Err(err) => return usage_of(command.name, &err),
    };
    if let Some(perform) = command.perform {
        return client::perform(perform, &arguments);
    }
    match command.name {
        "serve" => run(Mode::Serve, &arguments),
        "standalone" => run(Mode::Standalone, &arguments),
        "check-config" => check_config(&arguments),
        "backup" => backup(&arguments),
        "restore" => restore(&arguments),
        "import" => import(&arguments),
        "next" => next(&arguments),
        "completions" => shown(&completions::of(arguments.required(0)).unwrap_or_default()),
        "help" => say_help(&arguments),
        _ => shown(VERSION),
    }
}

/// The status that shells give to a command that was found and cannot be executed.
fn failed_to_become(cause: &str) -> ExitCode {
    eprintln!("ocf-scheduler: {cause}");
    ExitCode::from(126)
}

fn say_help(arguments: &Arguments) -> ExitCode {
    match arguments.operand(0) {
        None => shown(&help::overview()),
        Some("settings") => shown(&help::settings()),
        Some(name) => match Command::of(name) {
            Some(command) => shown(&help::of(command)),
            None => usage(&format!("there is no command {name:?}")),
        },
    }
}

fn run(mode: Mode, arguments: &Arguments) -> ExitCode {
    // Before anything is opened.
    let config = match checked_config(mode, arguments) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    if let Some(place) = config::crash_point() {
        crash::arm(&place);
    }
    logging::start(config.log_level, config.log_format, Arc::clone(&clock));
    logging::log_panics();
    // A limit on the size of files is then the error of a write, like a full disk, and not the end of the process.
    if let Err(err) = signal_hook::flag::register(SIGXFSZ, Arc::default()) {
        return not_started(&config, &format!("signals cannot be caught: {err}"));
    }
    // Before the threads start, so that none of them is there for a signal to end.
    let hangup = Hangup::at_start();
    let mut signals = match Signals::new([SIGTERM, SIGINT, SIGHUP]) {
        Ok(signals) => signals,
        Err(err) => return not_started(&config, &format!("signals cannot be caught: {err}")),
    };
    let service = match Service::start(&config, clock) {
        Ok(service) => service,
        Err(err) => return not_started(&config, &err),
    };
    let told = match service.welcome() {
        Some(welcome) => banner(welcome, &service),
        None => format!("ocf-scheduler listens on http://{}\n{NEXT_OF_SERVE}", service.local_addr()),
    };
    // The service is there, whether or not anybody can read that.
    let _ = output::print(told.as_bytes());
    for signal in signals.forever() {
        if signal != SIGHUP || hangup.is_end() {
            break;
        }
        service.reload();
    }
    // A second signal ends at once.
    let second = thread::Builder::new().name("second-signal".to_owned()).spawn(move || {
        // A terminal that closes may send more than one SIGHUP.
        if signals.forever().any(|signal| signal != SIGHUP) {
            std::process::exit(1);
        }
    });
    if let Err(err) = second {
        warn!(cause:% = err; "a second signal will not be heard");
    }
    service.stop();
    logging::flush();
    ExitCode::SUCCESS
}

/// What SIGHUP means: that the terminal was closed under which the service was started, or that files are to be read again.
struct Hangup {
    had_terminal: bool,
}

impl Hangup {
    fn at_start() -> Self {
        // Who starts it with `nohup` wants it to stay.
        Self { had_terminal: has_terminal() && !ignores_hangup() }
    }

    fn is_end(&self) -> bool {
        self.had_terminal && !has_terminal()
    }
}

/// Whether this process has a controlling terminal that is open.
fn has_terminal() -> bool {
    fs::File::open("/dev/tty").is_ok()
}

/// Whether SIGHUP is ignored, as far as the system says so.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}

fn check_config(arguments: &Arguments) -> ExitCode {
    let mode = if arguments.operand(0) == Some("standalone") { Mode::Standalone } else { Mode::Serve };
    let config = match checked_config(mode, arguments) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    if arguments.flag("connect").is_some() {
        let faults = connection_faults(&config);
        if !faults.is_empty() {
            return failed(&format!("the settings can be read, but:\n  {}", faults.join("\n  ")));
        }
    }
    shown(&in_use(&config))
}

/// What is wrong with the servers that the settings name, and with what they let the service do.
fn connection_faults(config: &Config) -> Vec<String> {
    let database = store::probe(&store_settings(config)).err().map(|err| format!("database: {err}"));
    let platform = match service::cloud_foundry_settings(config) {
        None => Vec::new(),
        Some(settings) => match CloudFoundry::new(&settings, Arc::new(SystemClock::default())) {
            Ok(cloud_foundry) => cloud_foundry.faults(),
            Err(fault) => vec![fault],
        },
    };
    database.into_iter().chain(platform).collect()
}

/// What a service of these settings would use.
fn in_use(config: &Config) -> String {
    let state = |path: &Path| if path.exists() { "" } else { " (made at the first start)" };
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut told = format!(
        "the settings are fine\n  address:    http://{}\n",
        std::net::SocketAddr::new(config.host, config.port)
    );
    if let Some(port) = config.metrics_port {
        told += &format!("  metrics:    http://{}\n", std::net::SocketAddr::new(config.host, port));
    }
    told += &match &config.database {
        Location::Sqlite(path) => format!("  database:   {}{}\n", absolute(path).display(), state(path)),
        Location::Postgres(_) => format!("  database:   {}\n", config.database.shown()),
    };
    match &config.cloud_foundry {
        Some(settings) => told += &format!("  CF API:     {}\n", settings.cf_endpoint),
        None => {
            let file = standalone_file(config);
            told += &format!("  file:       {}{}\n", absolute(&file).display(), state(&file));
        }
    }
    told + "  time zone:  UTC, unless an expression names another\n"
}

/// The settings of a service. All that is wrong with them is said at once, with the files that they name too.
fn checked_config(mode: Mode, arguments: &Arguments) -> Result<Config, ExitCode> {
    let flags = arguments.settings();
    let config = Config::from_environment(mode, &flags);
    let (file, outbound) = config::looked_into(&flags);
    let world = file.as_ref().map_or(Ok(()), |file| local::World::read(file).map(|_| ()));
    let mut of_files: Vec<String> =
        world.err().map(|err| format!("STANDALONE_CONFIG (--config): {err}")).into_iter().collect();
    if let (Mode::Standalone, Ok(config)) = (mode, &config) {
        let database = match &config.database {
            Location::Sqlite(path) => Some(path.as_path()),
            Location::Postgres(_) => None,
        };
        let mut planted = local::trust_faults(&config.state_dir(), database, file.as_deref());
        // The file has been judged when it was read.
        planted.retain(|fault| !of_files.iter().any(|told| told.contains(fault)));
        of_files.extend(planted);
    }
    of_files.extend(outbound::faults(&outbound));
    match config {
        Ok(config) if of_files.is_empty() => Ok(config),
        Ok(_) => Err(wrong_settings(mode, &ConfigError(of_files))),
        Err(ConfigError(faults)) => Err(wrong_settings(mode, &ConfigError([faults, of_files].concat()))),
    }
}

fn backup(arguments: &Arguments) -> ExitCode {
    let to = arguments.required(0);
    // Only the database counts, not what `serve` needs beyond it.
    let config = match read_config(Mode::Standalone, arguments) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let Location::Sqlite(database) = &config.database else {
        return usage("backup copies an SQLite file; for PostgreSQL use pg_dump");
    };
    let standalone_file = standalone_file(&config);
    let from = Places { database, standalone_file: &standalone_file };
    if to == "-" {
        if io::stdout().is_terminal() {
            return usage_of("backup", "a backup is not text; send the standard output to a file or a pipe");
        }
        return match transfer::backup::backup_into(from, &mut io::stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(err) => failed(&err),
        };
    }
    match transfer::backup::backup(from, Path::new(to)) {
        Ok(()) => shown(&format!("{to} is a copy of {}\n", database.display())),
        Err(err) => failed(&err),
    }
}

fn restore(arguments: &Arguments) -> ExitCode {
    let from = arguments.required(0);
    let config = match read_config(Mode::Standalone, arguments) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let Location::Sqlite(database) = &config.database else {
        return usage("restore puts an SQLite file back; for PostgreSQL use pg_restore or psql");
    };
    let standalone_file = standalone_file(&config);
    let to = Places { database, standalone_file: &standalone_file };
    let restored = match from {
        "-" => transfer::backup::restore_from(&mut io::stdin().lock(), to),
        from => transfer::backup::restore(Path::new(from), to),
    };
    match restored {
        Ok(has_file) => {
            let mut told = format!("{} is restored from {from}\n", database.display());
            if has_file {
                told += &format!("Apps and tokens are in {}\n", standalone_file.display());
                // On another machine, directories and users may be missing.
                if let Err(err) = local::World::read(&standalone_file) {
                    told += &format!("Before the service can start, mend this:\n  {err}\n");
                }
            }
            shown(&told)
        }
        Err(err) => failed(&err),
    }
}

/// Where a standalone service of these settings looks for its apps and tokens.
fn standalone_file(config: &Config) -> PathBuf {
    config.standalone_config.clone().unwrap_or_else(|| local::default_file(&config.state_dir()))
}

fn import(arguments: &Arguments) -> ExitCode {
    // What `serve` needs beyond the database is of no account here.
    let config = match read_config(Mode::Standalone, arguments) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let from = match arguments.value("from").map(|from| config::location("--from", &from)) {
        Some(Ok(from)) => from,
        Some(Err(fault)) => return usage_of("import", &fault),
        // The Go service's tables in the database that both are bound to.
        None if matches!(config.database, Location::Postgres(_)) => config.database.clone(),
        None => return usage_of("import", "--from must name the database to move"),
    };
    let origin = arguments.flag("kind").map(|kind| if kind == "go" { Origin::Go } else { Origin::Own });
    let mode = if arguments.has("dry-run") { ImportMode::DryRun } else { ImportMode::Commit };
    if let Some(place) = config::crash_point() {
        crash::arm(&place);
    }
    let is_for_standalone = !config::names_cloud_foundry(&arguments.settings());
    match move_from(from, origin, mode, &config, is_for_standalone) {
        Ok(report) => shown(&report),
        Err(exit) => exit,
    }
}

fn move_from(
    from: Location,
    origin: Option<Origin>,
    mode: ImportMode,
    config: &Config,
    is_for_standalone: bool,
) -> Result<String, ExitCode> {
    let unreadable = |place: &str, cause: &str| failed(&format!("{place} cannot be read: {cause}"));
    // Before anything is made here.
    let mut along = None;
    if let (Location::Sqlite(path), Some(Origin::Own) | None) = (&from, origin) {
        let absolute = |path: &Path| std::path::absolute(path).ok();
        if matches!(&config.database, Location::Sqlite(here) if absolute(here) == absolute(path)) {
            return Err(usage_of("import", &format!("{} is the database itself", path.display())));
        }
        store::check_is_ours(path)
            .map_err(|cause| unreadable(&from.shown(), &format!("the file {} {cause}", path.display())))?;
        if is_for_standalone {
            along = taken_along(path, config).map_err(|err| failed(&format!("nothing was moved: {err}")))?;
        }
    }
    let made = match &config.database {
        Location::Sqlite(path) if fs::symlink_metadata(path).is_err() => Some(path),
        _ => None,
    };
    let report = move_database(from, origin, mode, config);
    // A database that was made for this, and in which nothing has come, goes again.
    if let Some(made) = made
        && (report.is_err() || mode == ImportMode::DryRun)
        && let Err(err) = store::remove(made)
    {
        eprintln!("ocf-scheduler: {} is empty and cannot be removed: {err}", made.display());
    }
    let mut report = report?;
    if let Some(joined) = along {
        let file = standalone_file(config);
        if mode == ImportMode::Commit {
            joined.write(&file).map_err(|err| failed(&format!("the database was moved, but {err}")))?;
        }
        let ([spaces, apps, tokens], [old_spaces, old_apps, old_tokens]) = (joined.taken, joined.there);
        report += &format!(
            "\nApps and tokens, in {}: {apps} apps, {spaces} spaces, {tokens} tokens \
             (there already: {old_apps}, {old_spaces}, {old_tokens})\n",
            file.display()
        );
    }
    Ok(report)
}

/// The apps, spaces and tokens of the standalone service whose database, or backup, is `from`, joined with those here.
fn taken_along(from: &Path, config: &Config) -> Result<Option<local::Joined>, String> {
    let mut state_dir = from.as_os_str().to_owned();
    state_dir.push(".tasks");
    let state_dir = PathBuf::from(state_dir);
    let source = local::default_file(&state_dir);
    let text = match fs::symlink_metadata(&source) {
        Ok(_) => Some(local::file_text(&source)?),
        Err(_) => store::attached(from)?,
    };
    text.map(|text| local::join(&text, &state_dir, &standalone_file(config))).transpose()
}

fn move_database(
    from: Location,
    origin: Option<Origin>,
    mode: ImportMode,
    config: &Config,
) -> Result<String, ExitCode> {
    let clock = SystemClock::default();
    let store = Store::open(&store_settings(config), Arc::new(clock)).map_err(|err| failed(&err))?;
    // That of the server counts, where there is one.
    let time = store.database_time().map_err(|err| failed(&err.to_string()))?;
    let now = time.unwrap_or_else(|| clock.now());
    let settings = StoreSettings { database: from, ..store_settings(config) };
    let place = settings.database.shown();
    let source = Source::open(&settings, origin, &store).map_err(|err| match err {
        Unread::Usage(fault) => usage_of("import", &fault),
        Unread::Failed(cause) => failed(&format!("{place} cannot be read: {cause}")),
    })?;
    let report = transfer::import::import(&source, &store, Dialect::Classic(config.weekdays), now, mode)
        .map_err(|err| failed(&format!("nothing was moved from {place}: {err}")))?;
    let of = match source.origin() {
        Origin::Go => "the Go service's tables in ",
        Origin::Own => "",
    };
    let way = format!("from {of}{place} to {}", config.database.shown());
    Ok(match mode {
        ImportMode::Commit => format!("Moved {way}\n\n{report}"),
        ImportMode::DryRun => format!("Would move {way}; nothing was moved (--dry-run)\n\n{report}"),
    })
}

fn next(arguments: &Arguments) -> ExitCode {
    let expression = arguments.required(0);
    let count = arguments.flag("count").map_or(Some(NEXT_COUNT), |text| text.parse().ok());
    let Some(count) = count.filter(|count| (1..=100).contains(count)) else {
        return usage_of("next", "--count must be a whole number from 1 to 100");
    };
    let (dialect, weekdays) = match Config::from_environment(Mode::Standalone, &arguments.settings()) {
        Ok(config) => (config.dialect, config.weekdays),
        Err(_) => (Dialect::default(), Weekdays::default()),
    };
    let dialect =
        arguments.flag("dialect").and_then(|name| Dialect::named(name, weekdays)).unwrap_or(dialect);
    let timezone = arguments.flag("timezone").map(|name| Zone::named(name).ok_or(name)).transpose();
    let timezone = match timezone {
        Ok(timezone) => timezone,
        Err(name) => {
            return usage_of("next", &format!("--timezone {name:?} is no zone of the IANA database"));
        }
    };
    let after = match arguments.flag("after").map(Timestamp::parse) {
        None => SystemClock::default().now(),
        Some(Some(after)) => after,
        Some(None) => {
            let must = "--after must be a time in the form of RFC 3339, for example 2026-03-01T00:00:00Z";
            return usage_of("next", must);
        }
    };
    let reading = Reading { dialect, hash_key: HASH_KEY, timezone: timezone.as_ref() };
    match Expression::parse(expression, &reading) {
        Ok(parsed) => {
            if let Ok(explanation) = cron::explain(expression, &reading, after.seconds()) {
                eprintln!("{}", explanation.description);
                for warning in explanation.warnings.iter().chain(&explanation.later_warnings) {
                    eprintln!("Warning: {}", warning.message);
                }
            }
            let mut times = upcoming(&parsed, after, count).peekable();
            if times.peek().is_none() {
                eprintln!("ocf-scheduler: {expression:?} is valid and never fires again");
            }
            for time in times {
                let (utc, local) = (time.to_string(), local(&parsed, time));
                if utc == local { println!("{utc}") } else { println!("{utc}  {local}") }
            }
            ExitCode::SUCCESS
        }
        Err(err) => {
            eprintln!(
                "ocf-scheduler: {expression:?} is not valid: {err}\n{}\n  expected there: {}",
                pointed_at(expression, &err),
                err.expected
            );
            ExitCode::from(USAGE)
        }
    }
}

/// The expression, and below it carets under what is wrong.
fn pointed_at(expression: &str, err: &ParseError) -> String {
    // One place for each character, so that the carets are where they belong.
    let shown = expression.chars().map(|it| match it {
        it if it.is_whitespace() => ' ',
        it if it.is_control() => '?',
        it => it,
    });
    format!(
        "  {}\n  {}{}",
        shown.collect::<String>(),
        " ".repeat(err.position),
        "^".repeat(err.length.max(1))
    )
}

fn read_config(mode: Mode, arguments: &Arguments) -> Result<Config, ExitCode> {
    Config::from_environment(mode, &arguments.settings()).map_err(|err| wrong_settings(mode, &err))
}

fn wrong_settings(mode: Mode, err: &ConfigError) -> ExitCode {
    eprintln!("ocf-scheduler: {err}\nWhat can be set: ocf-scheduler help settings");
    if mode == Mode::Serve {
        eprintln!("To try it without a Cloud Foundry: ocf-scheduler standalone");
    }
    ExitCode::from(USAGE)
}

fn failed(message: &str) -> ExitCode {
    eprintln!("ocf-scheduler: {message}");
    ExitCode::FAILURE
}

/// Says why a service has not started: to people as they are used to, to those who read JSON in a line of it.
fn not_started(config: &Config, reason: &str) -> ExitCode {
    logging::flush();
    match config.log_format {
        LogFormat::Text => failed(reason),
        LogFormat::Json => {
            error!(cause = reason; "the service cannot start");
            logging::flush();
            ExitCode::FAILURE
        }
    }
}

fn usage(message: &str) -> ExitCode {
    eprintln!("ocf-scheduler: {message}\nTry: ocf-scheduler --help");
    ExitCode::from(USAGE)
}

fn usage_of(command: &str, message: &str) -> ExitCode {
    eprintln!("ocf-scheduler: {message}\nTry: ocf-scheduler help {command}");
    ExitCode::from(USAGE)
}

fn shown(text: &str) -> ExitCode {
    match output::print(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => failed(&format!("the output cannot be written: {err}")),
    }
}

/// What a newcomer can paste.
fn banner(welcome: &Welcome, service: &Service) -> String {
    let url = format!("http://{}", service.local_addr());
    let token = match &welcome.token {
        Some(token) if io::stdout().is_terminal() => token.clone(),
        // What is no terminal may be a log that others read: there the shell takes it from the file.
        Some(_) => token_from(&welcome.file),
        None => "A_TOKEN_OF_YOUR_FILE".to_owned(),
    };
    let (app, space) = (&welcome.app, &welcome.space);
    format!(
        r#"ocf-scheduler listens on {url}
Apps and tokens are in {file}; memory_in_mb limits {limit}.

Paste this in another terminal:

  export TOKEN={token} APP={app} SPACE={space} URL={url}
  export SCHEDULER_TOKEN=$TOKEN SCHEDULER_APP=$APP SCHEDULER_URL=$URL
{alias}
Create a job, run it now, schedule it every minute, and look at its history:
  JOB=$(curl -s "$URL/jobs?app_guid=$APP" -H "Authorization: Bearer $TOKEN" -d '{{"name":"hello","command":"echo hello"}}' | grep -o '"guid":"[^"]*"' | head -n 1 | cut -d '"' -f 4)
  curl -s -X POST "$URL/jobs/$JOB/execute" -H "Authorization: Bearer $TOKEN"
  curl -s "$URL/jobs/$JOB/schedules" -H "Authorization: Bearer $TOKEN" -d '{{"expression":"* * * * *"}}'
  curl -s "$URL/jobs/$JOB/history" -H "Authorization: Bearer $TOKEN"
Create a call:
  curl -s "$URL/calls?app_guid=$APP" -H "Authorization: Bearer $TOKEN" -d '{{"name":"ping","url":"https://example.com/hook","auth_header":"Bearer abc"}}'
The same with the command line, all of whose commands ocf-scheduler --help lists:
  ocf-scheduler create-job disk 'df -h . | tee -a disk.txt'
  ocf-scheduler run disk --wait
  ocf-scheduler logs disk
  ocf-scheduler schedule-job disk '* * * * *'
  ocf-scheduler history disk
  ocf-scheduler create-call pong https://example.com/hook --auth-header 'Bearer abc'

"#,
        file = welcome.file.display(),
        limit = welcome.memory_limit,
        alias = alias(),
    )
}

/// What a shell replaces by the first token in a file.
fn token_from(file: &Path) -> String {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    format!(r#"$(sed -n 's/^token = "\(.*\)"/\1/p' {} | head -n 1)"#, quoted(&file))
}

/// A path as a word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

/// A line that makes `ocf-scheduler` this program, for those who have not installed it; else empty.
fn alias() -> String {
    let Ok(program) = std::env::current_exe() else { return String::new() };
    let path = config::variable("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join("ocf-scheduler"))
        .find(|file| file.is_file())
        .and_then(|file| file.canonicalize().ok());
    if found.is_some_and(|found| found == program) {
        return String::new();
    }
    format!("  alias ocf-scheduler={}\n", quoted(&program))
}
