//! What packages rely on: the health check of containers, the notification of systemd, and the manual page.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use ocf_scheduler::base::clock::{Clock, ManualClock};
use ocf_scheduler::config::{Config, Mode};
use ocf_scheduler::model::Timestamp;
use ocf_scheduler::service::Service;
use rustix::process::{Signal, kill_process};

use super::database::Database;
use super::standalone::Standalone;
use super::world::wait_for;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ocf-scheduler")).args(arguments).env_clear().output().unwrap()
}

#[test]
fn health_reports_whether_a_service_answers() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    let url = service.url.clone();
    let port = url.rsplit(':').next().unwrap().to_owned();
    for arguments in
        [&["health", "--url", &url][..], &["health", "--url", &url, "--ready"], &["health", "--port", &port]]
    {
        let said = run(arguments);
        assert_eq!(said.status.code(), Some(0), "{arguments:?} {said:?}");
    }
    assert_eq!(run(&["health", "--url", &format!("{url}/nowhere")]).status.code(), Some(1));
    assert_eq!(run(&["health", "--url", "nonsense"]).status.code(), Some(2));
    service.stop();
    assert_eq!(run(&["health", "--url", &url]).status.code(), Some(1));
}

/// The socket on which systemd listens, in the directory of a service.
struct Systemd<'a> {
    directory: &'a Path,
    socket: UnixDatagram,
}

impl<'a> Systemd<'a> {
    fn listen(directory: &'a Path) -> Self {
        let socket = UnixDatagram::bind(directory.join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { directory, socket }
    }

    fn start(&self, variables: &[(&str, &str)]) -> Standalone {
        let mut command = Standalone::command(self.directory);
        command.env("NOTIFY_SOCKET", self.directory.join("notify")).envs(variables.iter().copied());
        Standalone::spawn(&mut command)
    }

    fn heard(&self) -> String {
        let mut buffer = [0; 64];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }
}

#[test]
fn systemd_learns_when_the_service_is_ready_and_when_it_stops() {
    let directory = tempfile::tempdir().unwrap();
    let systemd = Systemd::listen(directory.path());
    let service = systemd.start(&[]);
    assert_eq!(systemd.heard(), "READY=1");
    assert_eq!(run(&["health", "--url", &service.url]).status.code(), Some(0));
    kill_process(service.pid(), Signal::TERM).unwrap();
    assert_eq!(systemd.heard(), "STOPPING=1");
    drop(service);

    // A missing socket delays nothing.
    let nowhere = directory.path().join("nowhere");
    Standalone::spawn(Standalone::command(directory.path()).env("NOTIFY_SOCKET", &nowhere)).stop();
}

#[test]
fn systemd_gets_watchdog_messages_until_the_service_stops() {
    let directory = tempfile::tempdir().unwrap();
    let systemd = Systemd::listen(directory.path());
    let service = systemd.start(&[("WATCHDOG_USEC", "300000")]);
    assert_eq!([systemd.heard(), systemd.heard(), systemd.heard()], ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    kill_process(service.pid(), Signal::TERM).unwrap();
    let mut last = systemd.heard();
    while last == "WATCHDOG=1" {
        last = systemd.heard();
    }
    assert_eq!(last, "STOPPING=1");
    drop(service);

    // systemd watches another process.
    let service = systemd.start(&[("WATCHDOG_USEC", "300000"), ("WATCHDOG_PID", "1")]);
    assert_eq!(systemd.heard(), "READY=1");
    kill_process(service.pid(), Signal::TERM).unwrap();
    assert_eq!(systemd.heard(), "STOPPING=1");
}

#[test]
fn the_scheduler_begins_turns_as_often_as_the_watchdog_expects() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::of(directory.path(), "scheduler.db").url;
    let config = Config::read(Mode::Standalone, &Vec::new(), |name| match name {
        "DATABASE_URL" => Some(database.clone()),
        "SCHEDULER_PORT" => Some("0".to_owned()),
        "STANDALONE_CONFIG" => Some(directory.path().join("standalone.toml").to_str().unwrap().to_owned()),
        _ => None,
    });
    let file = "[[app]]\nname = \"main\"\nspace = \"main\"\n[[token]]\ntoken = \"t\"\nuser = \"u\"\nrole = \
     \"admin\"\n";
    std::fs::write(directory.path().join("standalone.toml"), file).unwrap();
    let start = Timestamp::from_nanos(1_800_000_000_000_000_000);
    let clock = Arc::new(ManualClock::new(start));
    let service = Service::start(&config.unwrap(), Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    let watch = service.watch();
    // The turn that the start recorded is too old from here on.
    clock.set(start.saturating_add(Duration::from_secs(31)));
    wait_for(|| watch.is_alive().then_some(()));
    service.stop();
}

/// The release date of this version in CHANGELOG.md.
fn released() -> &'static str {
    let heading = concat!("\n## [", env!("CARGO_PKG_VERSION"), "] - ");
    let (_, rest) = include_str!("../../CHANGELOG.md").split_once(heading).unwrap();
    rest.lines().next().unwrap()
}

#[test]
fn mandoc_finds_nothing_in_the_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("ocf-scheduler.1");
    std::fs::write(&page, run(&["man"]).stdout).unwrap();
    // Skip the check on a machine without mandoc.
    let Ok(said) = Command::new("mandoc").args(["-T", "lint"]).arg(&page).output() else { return };
    assert!(said.status.success() && said.stdout.is_empty(), "{}", String::from_utf8_lossy(&said.stdout));
}

#[test]
fn the_manual_page_has_every_command() {
    let page = String::from_utf8(run(&["man"]).stdout).unwrap();
    let title = format!(".TH OCF-SCHEDULER 1 \"{}\" \"ocf-scheduler ", released());
    assert!(page.starts_with(&title), "{title}");
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let commands = ["serve", "standalone", "executions", "import-crontab", "health", "man"];
    for command in commands {
        assert!(help.contains(command), "{command}");
        assert!(page.contains(&format!("\n.SS \"{}", command.replace('-', "\\-"))), "{command}");
    }
}
