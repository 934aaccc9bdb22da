//! Trouble with the disk, with the real program: full, locked by others, damaged; and copies of it.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;

use rusqlite::Connection;
use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::Value;
use tempfile::TempDir;

use super::cf::fake_cf::FakeCf;
use super::program::{Program, ask};
use super::world::wait_for;

/// The program on a database whose disk, locks and bytes a test can spoil.
struct OneDatabase {
    directory: TempDir,
    cf: FakeCf,
    token: String,
    program: Program,
}

impl OneDatabase {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cf = FakeCf::start();
        cf.add_app("app-1", "space-1");
        cf.add_role("dev", "space-1");
        let token = cf.issue_cf_token("dev");
        let program = Program::start(directory.path(), &cf, &[]).unwrap();
        Self { directory, cf, token, program }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        ask(&self.program.url, &self.token, method, path, body).unwrap()
    }

    fn make_job(&self, name: &str) -> (u16, Value) {
        self.ask("POST", "/jobs?app_guid=app-1", &format!(r#"{{"name":"{name}","command":"true"}}"#))
    }

    fn names(&self) -> Vec<String> {
        let (status, jobs) = self.ask("GET", "/jobs?space_guid=space-1", "");
        assert_eq!(status, 200);
        jobs["resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Limits files of the process to `bytes`, as on a full disk; `None`: there is space again.
    fn limit_files_to(&self, bytes: Option<u64>) {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(self.program.pid()), Resource::Fsize, limit).unwrap();
    }
}

#[needs::sqlite]
#[test]
fn a_full_disk_refuses_writes_loses_nothing_and_recovers_by_itself() {
    let mut world = OneDatabase::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let body =
        format!(r#"{{"name":"c","url":"http://{}/","auth_header":"x"}}"#, listener.local_addr().unwrap());
    let (status, call) = world.ask("POST", "/calls?app_guid=app-1", &body);
    assert_eq!((status, world.make_job("before").0), (201, 201));
    let call = call["guid"].as_str().unwrap();
    world.ask("POST", &format!("/calls/{call}/execute"), "");
    let (mut in_flight, _) = listener.accept().unwrap();

    world.limit_files_to(Some(0));
    assert_eq!(world.make_job("full").0, 503);
    assert_eq!(world.ask("GET", "/healthz", "").0, 200);
    assert_eq!(world.ask("GET", "/readyz", "").0, 503);
    assert_eq!(world.names(), ["before"], "reading goes on");
    // Its outcome arrives while nothing can be written.
    let mut head = [0; 1024];
    let _ = in_flight.read(&mut head).unwrap();
    in_flight.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    assert_eq!(world.make_job("still full").0, 503);
    assert!(!world.program.has_ended());

    world.limit_files_to(None);
    assert_eq!(world.make_job("after").0, 201);
    assert_eq!(world.names(), ["before", "after"], "nothing half-written");
    let message = wait_for(|| {
        let newest = world.ask("GET", &format!("/calls/{call}/history"), "").1["resources"][0].clone();
        (newest["state"] == "SUCCEEDED").then(|| newest["message"].clone())
    });
    assert_eq!(message, "answered 204 No Content", "the outcome was kept until it could be recorded");
}

#[needs::sqlite]
#[test]
fn a_lock_of_another_process_is_a_503_until_it_is_released() {
    let world = OneDatabase::start();
    assert_eq!(world.make_job("before").0, 201);
    let other = Connection::open(world.directory.path().join("s.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The first waits for the lock. The others, which arrived meanwhile, must not wait one after the other.
    thread::scope(|scope| {
        for number in 0..8 {
            let world = &world;
            scope.spawn(move || assert_eq!(world.make_job(&format!("locked-{number}")).0, 503));
        }
    });
    assert_eq!(world.names(), ["before"], "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(world.make_job("after").0, 201);
    assert_eq!(world.names(), ["before", "after"]);
}

#[needs::sqlite]
#[test]
fn a_damaged_database_is_a_503_or_refused_with_a_clear_error() {
    let mut world = OneDatabase::start();
    for number in 0..50 {
        assert_eq!(world.make_job(&format!("job-{number}")).0, 201);
    }
    let path = world.directory.path().join("s.db");
    let database = Connection::open(&path).unwrap();
    let page = |name: &str| -> u32 {
        let query = "SELECT rootpage FROM sqlite_schema WHERE name = ?";
        database.query_row(query, [name], |row| row.get(0)).unwrap()
    };
    let pages = [page("executables"), page("sqlite_autoindex_executables_1"), page("schedules_due")];
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(database);
    world.program.kill();
    damage(&path, &pages);
    let damaged = fs::read(&path).unwrap();

    world.program = Program::start(world.directory.path(), &world.cf, &[]).unwrap();
    assert_eq!(world.ask("GET", "/jobs?space_guid=space-1", "").0, 503);
    assert_eq!(world.make_job("new").0, 503);
    assert_eq!(world.ask("GET", "/healthz", "").0, 200);
    assert!(!world.program.has_ended());
    world.program.kill();
    // All but the first page; some of these contain the schema.
    let pages: Vec<u32> = (2..=u32::try_from(damaged.len() / 4096).unwrap()).collect();
    damage(&path, &pages);
    let (done, said) = back_up_from(world.directory.path(), "copy.db");
    assert!(!done && (said.contains("damaged") || said.contains("malformed")), "{said}");
    assert!(Program::start(world.directory.path(), &world.cf, &[]).is_none(), "refused, not half started");
    assert!(fs::read(&path).unwrap().len() == damaged.len(), "left for those who rescue what they can");
}

fn damage(path: &Path, pages: &[u32]) {
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    for page in pages {
        file.seek(SeekFrom::Start(u64::from(page - 1) * 4096)).unwrap();
        file.write_all(&[0xA5; 4096]).unwrap();
    }
}

fn back_up(world: &OneDatabase, to: &str) -> (bool, String) {
    back_up_from(world.directory.path(), to)
}

fn back_up_from(directory: &Path, to: &str) -> (bool, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"))
        .args(["backup", to])
        .current_dir(directory)
        .env_clear()
        .env("DATABASE_URL", "sqlite://s.db")
        .output()
        .unwrap();
    (done.status.success(), String::from_utf8(done.stderr).unwrap())
}

#[needs::sqlite]
#[test]
fn after_a_stop_the_database_file_alone_has_everything() {
    let mut world = OneDatabase::start();
    for number in 0..20 {
        assert_eq!(world.make_job(&format!("j{number}")).0, 201);
    }
    assert_eq!(world.program.terminate(), Some(0));
    let copy = world.directory.path().join("copy.db");
    fs::copy(world.directory.path().join("s.db"), &copy).unwrap();
    let copied = Connection::open(copy).unwrap();
    let jobs: i64 = copied.query_row("SELECT COUNT(*) FROM executables", [], |row| row.get(0)).unwrap();
    assert_eq!(jobs, 20);
}

#[needs::sqlite]
#[test]
fn a_backup_of_a_running_service_can_be_started_from() {
    let mut world = OneDatabase::start();
    assert_eq!(world.make_job("first").0, 201);
    thread::scope(|scope| {
        let busy = &world;
        let writer = scope.spawn(move || {
            (0..200).for_each(|number| assert_eq!(busy.make_job(&format!("w{number}")).0, 201))
        });
        for _ in 0..5 {
            // The older one is replaced.
            assert_eq!(back_up(&world, "copy.db"), (true, String::new()));
        }
        writer.join().unwrap();
    });
    assert_eq!(back_up(&world, "copy.db"), (true, String::new()));
    assert_eq!(world.make_job("after the copy").0, 201);
    let before = world.names();
    let restored = tempfile::tempdir().unwrap();
    fs::rename(world.directory.path().join("copy.db"), restored.path().join("s.db")).unwrap();
    world.program.kill();
    world.program = Program::start(restored.path(), &world.cf, &[]).unwrap();
    assert_eq!(world.names(), before[..before.len() - 1]);
    assert_eq!(world.make_job("goes on").0, 201);
}

#[needs::sqlite]
#[test]
fn a_backup_replaces_nothing_but_a_backup() {
    let world = OneDatabase::start();
    for name in ["s.db", "./s.db"] {
        let (done, said) = back_up(&world, name);
        assert!(!done && said.contains("is the database itself"), "{said}");
    }
    fs::write(world.directory.path().join("diary.txt"), "dear diary").unwrap();
    let (done, said) = back_up(&world, "diary.txt");
    assert!(!done && said.contains("was not replaced"), "{said}");
    assert_eq!(fs::read(world.directory.path().join("diary.txt")).unwrap(), b"dear diary");
    let (done, said) = back_up(&world, "no/such/directory.db");
    assert!(!done && said.contains("cannot make"), "{said}");
    assert_eq!(world.make_job("untouched").0, 201);
}
