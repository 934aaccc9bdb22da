//! `serve` and `standalone`: run a service until a signal.

use std::fs;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use log::{error, info, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use super::arguments::Arguments;
use super::configuration::checked_config;
use super::health::reachable;
use super::notify;
use super::output::{self, failed};
use super::running::Running;
use crate::base::clock::{Clock, SystemClock};
use crate::base::crash;
use crate::base::logging::{self, LogFormat};
use crate::base::stop::stop_channel;
use crate::config::{self, Config, Mode};
use crate::platform::local;
use crate::service::{Service, Welcome};

/// Printed when `serve` has started.
const NEXT_OF_SERVE: &str = "\
Next, where cf is logged in: ocf-scheduler jobs
If the service is not at scheduler.SYSTEM_DOMAIN, set SCHEDULER_URL.
All commands: ocf-scheduler --help. For programs: GET /openapi.json
";

pub(super) fn serve(arguments: &Arguments) -> ExitCode {
    run(Mode::Serve, arguments)
}

pub(super) fn standalone(arguments: &Arguments) -> ExitCode {
    run(Mode::Standalone, arguments)
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
    // With a handler, a write beyond the file size limit fails like one to a full disk; the process goes on.
    if let Err(err) = signal_hook::flag::register(SIGXFSZ, Arc::default()) {
        return not_started(&config, &format!("signals cannot be caught: {err}"));
    }
    // Before any thread starts, so that a signal cannot end the process in between.
    let hangup = Hangup::at_start();
    let mut signals = match Signals::new([SIGTERM, SIGINT, SIGHUP]) {
        Ok(signals) => signals,
        Err(err) => return not_started(&config, &format!("signals cannot be caught: {err}")),
    };
    let service = match Service::start(&config, clock) {
        Ok(service) => service,
        Err(err) => return not_started(&config, &err),
    };
    // The command line finds the service as long as this is open.
    let record = service.welcome().and_then(|welcome| record(&service, welcome));
    let greeting = match service.welcome() {
        Some(welcome) => banner(welcome, &service, record.is_some()),
        None => format!("ocf-scheduler listens on http://{}\n{NEXT_OF_SERVE}", service.local_addr()),
    };
    // The service runs even if nobody can read this.
    let _ = output::print(greeting.as_bytes());
    notify::tell(notify::READY);
    let (watchdog_stopper, watchdog_stop) = stop_channel();
    notify::start_watchdog(service.watch(), watchdog_stop);
    for signal in signals.forever() {
        if signal != SIGHUP || hangup.is_end() {
            break;
        }
        service.reload();
    }
    watchdog_stopper.stop();
    notify::tell(notify::STOPPING);
    // A second signal ends the process at once.
    let second = thread::Builder::new().name("second-signal".to_owned()).spawn(move || {
        // A terminal that closes may send more than one SIGHUP.
        if signals.forever().any(|signal| signal != SIGHUP) {
            std::process::exit(1);
        }
    });
    if let Err(err) = second {
        warn!(cause:% = err; "a second signal will not end the process");
    }
    service.stop();
    drop(record);
    logging::flush();
    ExitCode::SUCCESS
}

/// Without a record, users must set the URL of the service.
fn record(service: &Service, welcome: &Welcome) -> Option<fs::File> {
    Running::record(service.local_addr(), &welcome.file).unwrap_or_else(|err| {
        info!(cause:% = err; "the command line cannot find this service without its URL");
        None
    })
}

/// Reports why the service has not started, in the format of the log.
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

/// What SIGHUP means: stop, if the terminal that the service was started in has closed; else reload.
struct Hangup {
    had_terminal: bool,
}

impl Hangup {
    fn at_start() -> Self {
        // `nohup` ignores SIGHUP, so that the service outlives its terminal.
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

/// Whether SIGHUP was ignored when the process started; `false` if the system does not say.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}

/// What `standalone` prints when it has started: commands to paste.
fn banner(welcome: &Welcome, service: &Service, is_found: bool) -> String {
    let listens_on = service.local_addr();
    let url = format!("http://{}", SocketAddr::new(reachable(listens_on.ip()), listens_on.port()));
    let shown = match &welcome.token {
        Some(token) if !welcome.is_users_file && io::stdout().is_terminal() => Some(word(token.reveal())),
        // Not a terminal, so perhaps a log that others read; or a token that the user may not want to see:
        // the shell reads the token from the file.
        Some(token) => token_from(&welcome.file, token.reveal()),
        None => None,
    };
    // A token that the shell cannot read must not replace the one that the command line finds.
    let token_of_client =
        if shown.is_none() && welcome.token.is_some() && is_found { "" } else { "SCHEDULER_TOKEN=$TOKEN " };
    let note =
        if shown.is_some() { "" } else { "; write one of your tokens in place of A_TOKEN_OF_YOUR_FILE" };
    let token = shown.unwrap_or_else(|| "A_TOKEN_OF_YOUR_FILE".to_owned());
    let dashboard = match &welcome.link_code {
        Some(code) => {
            // Not indented: what is indented is to be pasted into a shell.
            format!(
                "The dashboard, by a link that works once, for five minutes:\n{url}/dashboard/#code={code}\n"
            )
        }
        None => String::new(),
    };
    let (app, space) = (word(&welcome.app), word(&welcome.space));
    // Without the exports, the command line has to be told which of several apps is meant.
    let of_app = match &welcome.app_flag {
        Some(app) if is_found => format!(" --app {}", word(app)),
        _ => String::new(),
    };
    format!(
        r#"ocf-scheduler listens on http://{listens_on}
Apps and tokens are in {file}; memory_in_mb limits {limit}.
{dashboard}
Paste this in another terminal{note}:

  export TOKEN={token} APP={app} SPACE={space} URL={url}
  export {token_of_client}SCHEDULER_APP=$APP SCHEDULER_URL=$URL
{alias}
Create a job, run it now, schedule it every minute, and show its history:
  JOB=$(curl -s "$URL/jobs?app_guid=$APP" -H "Authorization: Bearer $TOKEN" -d '{{"name":"hello","command":"echo hello"}}' | grep -o '"guid":"[^"]*"' | head -n 1 | cut -d '"' -f 4)
  curl -s -X POST "$URL/jobs/$JOB/execute" -H "Authorization: Bearer $TOKEN"
  curl -s "$URL/jobs/$JOB/schedules" -H "Authorization: Bearer $TOKEN" -d '{{"expression":"* * * * *"}}'
  curl -s "$URL/jobs/$JOB/history" -H "Authorization: Bearer $TOKEN"
Create a call:
  curl -s "$URL/calls?app_guid=$APP" -H "Authorization: Bearer $TOKEN" -d '{{"name":"ping","url":"https://example.com/hook","auth_header":"Bearer abc"}}'
The same with the command line (all commands: ocf-scheduler --help){found}:
  ocf-scheduler create-job disk 'df -h . | tee -a disk.txt'{of_app}
  ocf-scheduler run disk --wait
  ocf-scheduler logs disk
  ocf-scheduler schedule-job disk '* * * * *'
  ocf-scheduler history disk
  ocf-scheduler create-call pong https://example.com/hook --auth-header 'Bearer abc'{of_app}

"#,
        file = welcome.file.display(),
        found = match (is_found, &welcome.token) {
            (true, Some(_)) => ", which finds this service without the exports",
            (true, None) => "; it needs a token: the file has only digests",
            (false, _) => "; it needs the exports",
        },
        limit = welcome.memory_limit,
        alias = alias(),
    )
}

/// A shell command substitution that reads the first token in `file`; `None` if it would not find `token`.
fn token_from(file: &Path, token: &str) -> Option<String> {
    let text = local::file_text(file).ok()?;
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let read = format!(
        r#"$(sed -n "s/^ *token *= *[\"']\([^\"']*\)[\"'].*/\1/p" {} | head -n 1)"#,
        quoted(&file.display().to_string())
    );
    text.lines().find_map(token_of_line).filter(|found| *found == token).map(|_| read)
}

/// What the `sed` of [`token_from`] prints for a line.
fn token_of_line(line: &str) -> Option<&str> {
    let value =
        line.trim_start_matches(' ').strip_prefix("token")?.trim_start_matches(' ').strip_prefix('=')?;
    let token = value.trim_start_matches(' ').strip_prefix(['"', '\''])?;
    token.split_once(['"', '\'']).map(|(token, _)| token)
}

/// A text as one word of a shell.
fn word(text: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "-_.".contains(it);
    if text.chars().all(is_plain) { text.to_owned() } else { quoted(text) }
}

/// Quoted for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A line that defines `ocf-scheduler` as this program; empty if it is in the `PATH`.
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
    format!("  alias ocf-scheduler={}\n", quoted(&program.display().to_string()))
}
