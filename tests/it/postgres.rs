//! Trouble with a PostgreSQL server: it restarts, is down, hangs, is full, accepts no writes, or is the wrong
//! one. Each test has its own server in a temporary directory.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::cf::fake_cf::{FakeCf, tls_config_files};
use super::program::{Program, ask};
use super::world::wait_for;
use ocf_scheduler::base::clock;

const PASSWORD: &str = "hunter2";

/// A server that accepts only TLS and a password from `localhost` over TCP.
struct Server {
    directory: TempDir,
    programs: PathBuf,
    port: u16,
    certificate: PathBuf,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let certificate = directory.path().join("server.crt");
        let server = Self { programs: programs(), port, certificate, directory };
        let (certificate, key) = tls_config_files(&["localhost"]);
        server.write("server.crt", &certificate);
        server.write("server.key", &key);
        server.write("password", PASSWORD);
        server.own(server.directory.path());
        let data = server.data();
        let password = server.directory.path().join("password");
        server.run(
            "initdb",
            &[
                "-D",
                &data,
                "-U",
                "u",
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
                "--no-sync",
                "--pwfile",
                password.to_str().unwrap(),
            ],
        );
        fs::write(
            format!("{data}/pg_hba.conf"),
            "hostssl all all 127.0.0.1/32 scram-sha-256\nlocal all all trust\nlocal replication all trust\n",
        )
        .unwrap();
        server.begin();
        server.sql("postgres", "CREATE DATABASE d");
        server
    }

    /// A second server that follows this one, which from now on answers a COMMIT only when both have it.
    fn standby(&self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let certificate = self.certificate.clone();
        let standby = Self { programs: programs(), port, certificate, directory };
        for file in ["server.crt", "server.key"] {
            standby.write(file, &fs::read_to_string(self.directory.path().join(file)).unwrap());
        }
        standby.own(standby.directory.path());
        let (socket, port) = (self.directory.path().to_str().unwrap(), self.port.to_string());
        standby.run(
            "pg_basebackup",
            &[
                "-h",
                socket,
                "-p",
                &port,
                "-U",
                "u",
                "-D",
                &standby.data(),
                "-R",
                "-X",
                "stream",
                "-c",
                "fast",
            ],
        );
        standby.begin();
        self.sql("d", "ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.sql("d", "SELECT pg_reload_conf()");
        standby
    }

    fn data(&self) -> String {
        self.directory.path().join("data").to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        self.own(&path);
        Command::new("chmod").arg("600").arg(&path).status().unwrap();
    }

    /// The server does not run as root.
    fn own(&self, path: &Path) {
        if rustix::process::geteuid().is_root() {
            let user = fs::read_to_string("/etc/passwd").unwrap();
            let line = user.lines().find(|line| line.starts_with("postgres:")).unwrap();
            let number = |index: usize| line.split(':').nth(index).unwrap().parse().unwrap();
            chown(path, Some(number(2)), Some(number(3))).unwrap();
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let path = self.programs.join(program);
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        let log = fs::File::create(self.directory.path().join("said")).unwrap();
        let output = command
            .args(arguments)
            .current_dir(self.directory.path())
            // A process that it leaves running must not keep our pipes open.
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = fs::read_to_string(self.directory.path().join("said")).unwrap();
        assert!(output.status.success(), "{program}: {said}");
        output
    }

    fn begin(&self) {
        let directory = self.directory.path().to_str().unwrap();
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={directory} -c ssl=on \
             -c ssl_cert_file={directory}/server.crt -c ssl_key_file={directory}/server.key -c fsync=off",
            self.port
        );
        let log = format!("{directory}/log");
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-l", &log, "-o", &options, "start"]);
    }

    /// Like a crash or a failover.
    fn end(&self) {
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-m", "immediate", "stop"]);
    }

    fn signal(&self, signal: Signal) {
        let pids = fs::read_to_string(format!("{}/postmaster.pid", self.data())).unwrap();
        let postmaster: i32 = pids.lines().next().unwrap().trim().parse().unwrap();
        let children =
            fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap_or_default();
        let all = children.split_whitespace().map(|pid| pid.parse().unwrap()).chain([postmaster]);
        for pid in all {
            // It may have just ended.
            let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
        }
    }

    fn sql(&self, database: &str, statement: &str) {
        let (port, directory) = (self.port.to_string(), self.directory.path().to_str().unwrap().to_owned());
        self.run(
            "psql",
            &[
                "-h",
                &directory,
                "-p",
                &port,
                "-U",
                "u",
                "-d",
                database,
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                statement,
            ],
        );
    }

    fn url(&self, host: &str, password: &str, options: &str) -> String {
        format!("postgres://u:{password}@{host}:{}/d?{options}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
        self.signal(Signal::KILL);
    }
}

fn programs() -> PathBuf {
    let found = fs::read_dir("/usr/lib/postgresql").map(|entries| {
        entries
            .filter_map(Result::ok)
            .map(|entry| entry.path().join("bin"))
            .find(|path| path.join("initdb").exists())
    });
    found.ok().flatten().unwrap_or_default()
}

/// The program with its own PostgreSQL server, which a test can stop, pause and fill.
struct OwnServer {
    server: Server,
    cf: FakeCf,
    token: String,
    program: Program,
    directory: TempDir,
}

impl OwnServer {
    fn start() -> Self {
        let server = Server::start();
        let url = server.url("localhost", PASSWORD, "sslmode=require");
        let cf = FakeCf::start();
        cf.add_app("app-1", "space-1");
        cf.add_role("dev", "space-1");
        cf.complete_tasks_after(Some((Duration::ZERO, "SUCCEEDED", None)));
        let token = cf.issue_cf_token("dev");
        let directory = tempfile::tempdir().unwrap();
        let certificate = server.certificate.to_str().unwrap().to_owned();
        let settings =
            [("DATABASE_URL", url.as_str()), ("CA_CERT_FILE", &certificate), ("LOG_LEVEL", "info")];
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let program = Program::start_with(directory.path(), &cf, &settings, log.into()).unwrap();
        Self { server, cf, token, program, directory }
    }

    /// The number of lines in the log that contain this text.
    fn lines_with(&self, text: &str) -> usize {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap();
        log.lines().filter(|line| line.contains(text)).count()
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        ask(&self.program.url, &self.token, method, path, body).unwrap()
    }

    fn make_job(&self, name: &str) -> u16 {
        self.ask("POST", "/jobs?app_guid=app-1", &format!(r#"{{"name":"{name}","command":"true"}}"#)).0
    }

    fn names(&self) -> Vec<String> {
        let listed = self.ask("GET", "/jobs?space_guid=space-1", "").1;
        let names = listed["resources"].as_array().unwrap().iter();
        names.map(|job| job["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The path of a job that runs each second.
    fn every_second(&self) -> String {
        let (status, job) = self.ask("POST", "/jobs?app_guid=app-1", r#"{"name":"tick","command":"true"}"#);
        assert_eq!(status, 201);
        let path = format!("/jobs/{}", job["guid"].as_str().unwrap());
        assert_eq!(self.ask("POST", &format!("{path}/schedules"), r#"{"expression":"@every 1s"}"#).0, 201);
        path
    }

    fn history(&self, path: &str) -> Vec<Value> {
        self.ask("GET", &format!("{path}/history"), "").1["resources"].as_array().unwrap().clone()
    }

    /// Waits until each second from the first to the last has one execution, none of which failed.
    #[track_caller]
    fn check_no_second_is_missing(&self, path: &str, at_least: usize) {
        let seconds = wait_for(|| {
            let history = self.history(path);
            let is_over =
                history.len() >= at_least && history[1..].iter().all(|it| it["state"] == "SUCCEEDED");
            let time =
                |it: &Value| ocf_scheduler::model::Timestamp::parse(it["scheduled_time"].as_str().unwrap());
            is_over.then(|| history.iter().map(|it| time(it).unwrap().seconds()).collect::<Vec<_>>())
        });
        assert!(seconds.windows(2).all(|pair| pair[0] == pair[1] + 1), "{seconds:?}");
    }
}

#[needs::postgres]
#[test]
fn a_server_that_restarts_is_503_meanwhile_and_nothing_is_lost() {
    let world = OwnServer::start();
    assert_eq!(world.make_job("before"), 201);
    let path = world.every_second();
    wait_for(|| (world.history(&path).len() >= 2).then_some(()));
    world.server.end();
    for _ in 0..20 {
        let began_at = clock::instant();
        assert_eq!(world.make_job("meanwhile"), 503);
        assert_eq!(world.ask("GET", "/jobs", "").0, 503);
        assert_eq!(world.ask("GET", "/readyz", "").0, 503);
        assert_eq!(world.ask("GET", "/healthz", "").0, 200);
        assert!(began_at.elapsed() < Duration::from_secs(20), "answered at once, not after each has waited");
    }
    // The engine asks several times a second.
    let _ = crossbeam_channel::after(Duration::from_secs(3)).recv();
    assert_eq!(world.lines_with("the database is not available, retrying"), 1);
    assert_eq!(world.lines_with("[WARN]") + world.lines_with("[ERROR]"), 1);
    world.server.begin();
    wait_for(|| (world.make_job("after") == 201).then_some(()));
    let mut names = world.names();
    names.sort();
    assert_eq!(names, ["after", "before", "tick"]);
    let so_far = world.history(&path).len();
    world.check_no_second_is_missing(&path, so_far + 3);
}

#[needs::postgres]
#[test]
fn when_the_standby_is_promoted_the_service_goes_on_with_it_and_nothing_is_lost() {
    let mut world = OwnServer::start();
    assert_eq!(world.make_job("before"), 201);
    world.program.kill();
    let standby = world.server.standby();
    let url = format!(
        "postgres://u:{PASSWORD}@localhost:{},localhost:{}/d?sslmode=require&target_session_attrs=read-write",
        world.server.port, standby.port
    );
    let certificate = world.server.certificate.to_str().unwrap().to_owned();
    let settings = [("DATABASE_URL", url.as_str()), ("CA_CERT_FILE", &certificate)];
    world.program = Program::start(world.directory.path(), &world.cf, &settings).unwrap();
    let path = world.every_second();
    let mut names = vec!["before".to_owned(), "tick".to_owned()];
    let mut made = |world: &OwnServer, name: String| {
        let is_made = world.make_job(&name) == 201;
        names.extend(is_made.then_some(name));
        is_made
    };
    for number in 0..20 {
        assert!(made(&world, format!("first-{number}")));
    }
    wait_for(|| (world.history(&path).len() >= 2).then_some(()));
    world.server.signal(Signal::KILL);
    assert!(!made(&world, "meanwhile".to_owned()));
    standby.run("pg_ctl", &["-D", &standby.data(), "-w", "promote"]);
    wait_for(|| (world.ask("GET", "/readyz", "").0 == 200).then_some(()));
    for number in 0..20 {
        assert!(made(&world, format!("second-{number}")));
    }
    let there = world.names();
    assert_eq!(names.iter().filter(|name| !there.contains(name)).collect::<Vec<_>>(), [""; 0]);
    let so_far = world.history(&path).len();
    world.check_no_second_is_missing(&path, so_far + 3);
}

#[needs::postgres]
#[test]
fn a_pooler_that_changes_sessions_is_refused_and_one_that_keeps_them_works() {
    let Some(pgbouncer) =
        ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].iter().find(|it| Path::new(it).exists())
    else {
        #[expect(clippy::print_stderr, reason = "the summary of the runner cannot tell")]
        {
            eprintln!("skipped: there is no pgbouncer on this machine");
        }
        return;
    };
    let server = Server::start();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let directory = server.directory.path().to_str().unwrap().to_owned();
    let settings = |mode: &str| {
        format!(
            "[databases]\nd = host={directory} port={} user=u\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n\
             logfile = {directory}/pgbouncer.log\npidfile = {directory}/pgbouncer.pid\n\
             ignore_startup_parameters = extra_float_digits\n",
            server.port
        )
    };
    let cf = FakeCf::start();
    cf.add_app("app-1", "space-1");
    cf.add_role("dev", "space-1");
    let url = format!("postgres://u@127.0.0.1:{port}/d?sslmode=disable");
    for (mode, works) in [("transaction", false), ("session", true)] {
        server.write("pgbouncer.ini", &settings(mode));
        server.run(pgbouncer, &["-d", &format!("{directory}/pgbouncer.ini")]);
        let place = tempfile::tempdir().unwrap();
        let log = fs::File::create(place.path().join("log")).unwrap();
        let started = wait_for(|| {
            // The service waits until the pooler listens.
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
            Some(Program::start_with(
                place.path(),
                &cf,
                &[("DATABASE_URL", &url)],
                log.try_clone().unwrap().into(),
            ))
        });
        let said = fs::read_to_string(place.path().join("log")).unwrap();
        assert_eq!(started.is_some(), works, "{mode}: {said}");
        assert_eq!(said.contains("pool_mode = session"), !works, "{said}");
        if let Some(program) = started {
            let (status, _) = ask(&program.url, &cf.issue_cf_token("dev"), "GET", "/jobs", "").unwrap();
            assert_eq!(status, 200);
        }
        let pid = fs::read_to_string(format!("{directory}/pgbouncer.pid")).unwrap();
        let _ = kill_process(Pid::from_raw(pid.trim().parse().unwrap()).unwrap(), Signal::KILL);
        fs::remove_file(format!("{directory}/pgbouncer.pid")).unwrap();
    }
}

#[needs::postgres]
#[test]
fn a_service_that_starts_before_its_server_waits_for_it() {
    let mut world = OwnServer::start();
    assert_eq!(world.make_job("before"), 201);
    world.program.kill();
    world.server.end();
    let directory = tempfile::tempdir().unwrap();
    let certificate = world.server.certificate.to_str().unwrap().to_owned();
    let url = world.server.url("localhost", PASSWORD, "sslmode=require");
    let settings = [("DATABASE_URL", url.as_str()), ("CA_CERT_FILE", &certificate)];
    world.program = Program::start(directory.path(), &world.cf, &settings).unwrap();
    assert_eq!(world.ask("GET", "/jobs", "").0, 503);
    assert_eq!(world.ask("GET", "/healthz", "").0, 200);
    world.server.begin();
    wait_for(|| (world.make_job("after") == 201).then_some(()));
    assert_eq!(world.names(), ["before", "after"]);
    world.every_second();
}

#[needs::postgres]
#[test]
fn a_server_that_hangs_is_503_after_a_while_and_the_engine_goes_on_with_it() {
    let world = OwnServer::start();
    let path = world.every_second();
    wait_for(|| (world.history(&path).len() >= 2).then_some(()));
    world.server.signal(Signal::STOP);
    let began_at = clock::instant();
    assert_eq!(world.ask("GET", "/jobs", "").0, 503);
    assert!(began_at.elapsed() < Duration::from_secs(19), "{:?}", began_at.elapsed());
    assert_eq!(world.ask("GET", "/healthz", "").0, 200);
    world.server.signal(Signal::CONT);
    wait_for(|| (world.make_job("after") == 201).then_some(()));
    let so_far = world.history(&path).len();
    world.check_no_second_is_missing(&path, so_far + 3);
}

#[needs::postgres]
#[test]
fn a_server_that_is_full_or_takes_no_writes_is_503_for_writes_until_that_is_over() {
    let world = OwnServer::start();
    assert_eq!(world.make_job("before"), 201);
    world.server.sql(
        "d",
        "SET search_path = ocf_scheduler;
         CREATE FUNCTION is_full() RETURNS TRIGGER LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;
         CREATE TRIGGER is_full BEFORE INSERT ON executables EXECUTE FUNCTION is_full();",
    );
    assert_eq!(world.make_job("full"), 503);
    assert_eq!(world.names(), ["before"]);
    world.server.sql("d", "DROP TRIGGER is_full ON ocf_scheduler.executables");
    assert_eq!(world.make_job("space again"), 201);

    // Like a server that has become the standby of another.
    world.server.sql("postgres", "ALTER DATABASE d SET default_transaction_read_only = on");
    world
        .server
        .sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'd'");
    wait_for(|| (world.make_job("read only") == 503).then_some(()));
    world.server.sql("postgres", "ALTER DATABASE d SET default_transaction_read_only = off");
    wait_for(|| (world.make_job("read and write") == 201).then_some(()));
}

#[needs::postgres]
#[test]
fn only_a_server_that_is_the_one_it_should_be_is_believed() {
    let server = Server::start();
    let cf = FakeCf::start();
    let certificate = server.certificate.to_str().unwrap().to_owned();
    let start = |host: &str, password: &str, options: &str| {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let url = server.url(host, password, options);
        let program = Program::start_with(
            directory.path(),
            &cf,
            &[("DATABASE_URL", url.as_str())],
            fs::File::create(&log).unwrap().into(),
        );
        let works =
            program.is_some_and(|program| ask(&program.url, "", "GET", "/readyz", "").unwrap().0 == 200);
        let said = fs::read_to_string(log).unwrap();
        assert!(!said.contains(PASSWORD), "{said}");
        (works, said)
    };
    let trusted = |mode: &str| format!("sslmode={mode}&sslrootcert={certificate}");
    #[track_caller]
    fn check((works, said): (bool, String), expected: Result<(), &str>) {
        assert_eq!(works, expected.is_ok(), "{said}");
        if let Err(cause) = expected {
            assert!(said.contains(cause), "{said}");
        }
    }
    check(start("localhost", PASSWORD, &trusted("verify-full")), Ok(()));
    check(start("localhost", PASSWORD, &trusted("require")), Ok(()));
    check(start("localhost", PASSWORD, "sslmode=prefer"), Ok(()));
    check(start("localhost", PASSWORD, ""), Ok(()));
    check(start("127.0.0.1", PASSWORD, &trusted("verify-ca")), Ok(()));
    check(start("127.0.0.1", PASSWORD, &trusted("verify-full")), Err("certificate"));
    check(start("localhost", PASSWORD, "sslmode=require"), Err("SKIP_SSL_VALIDATION"));
    check(start("localhost", PASSWORD, "sslmode=disable"), Err("refuses the connection"));
    check(start("localhost", "hunter3", &trusted("require")), Err("password"));

    // A role that may not create a schema works in an existing one.
    server.sql(
        "d",
        "CREATE ROLE u2 LOGIN PASSWORD 'hunter2'; CREATE SCHEMA theirs; CREATE SCHEMA ours AUTHORIZATION u2",
    );
    let start_as = |schema: &str| {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let url = server.url("localhost", PASSWORD, &trusted("require")).replace("//u:", "//u2:");
        let url = format!("{url}&schema={schema}");
        let settings = [("DATABASE_URL", url.as_str())];
        let to = fs::File::create(&log).unwrap().into();
        let program = Program::start_with(directory.path(), &cf, &settings, to);
        let works =
            program.is_some_and(|program| ask(&program.url, "", "GET", "/readyz", "").unwrap().0 == 200);
        (works, fs::read_to_string(log).unwrap())
    };
    check(start_as("ours"), Ok(()));
    check(start_as("theirs"), Err("CREATE SCHEMA theirs AUTHORIZATION"));
    check(start_as("none"), Err("CREATE SCHEMA none AUTHORIZATION"));
}
