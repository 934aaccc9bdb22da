//! The real program as a process, its database, and what the system says of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::Connection as Database;
use tempfile::TempDir;

use crate::fakes::FakeCf;
use crate::load::Connection;

/// A directory for a database, and the programs that are started on it.
pub struct Place {
    directory: TempDir,
}

impl Place {
    /// With a database that has its tables and nothing in them.
    pub fn new(cf: &FakeCf) -> Self {
        let place = Self::empty();
        drop(Service::start(&place, cf, &[]));
        place
    }

    /// Without a database.
    pub fn empty() -> Self {
        // In the working directory: the system's own for temporary files is often in memory, where a flush
        // costs nothing.
        Self { directory: tempfile::Builder::new().prefix("bench-").tempdir_in("target").unwrap() }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("s.db")
    }

    pub fn database(&self) -> Database {
        let database = Database::open(self.path()).unwrap();
        database.busy_timeout(Duration::from_secs(30)).unwrap();
        database
    }

    /// Fills it with jobs or calls, each with a schedule that fires next at `fire_time` (in seconds since
    /// 1970).
    pub fn fill(&self, kind: &str, count: usize, url: &str, fire_time: i64) {
        let database = self.database();
        let command = if kind == "job" {
            "'true', 1, 1, 'PENDING', NULL, NULL"
        } else {
            "NULL, NULL, NULL, NULL, ?2, 'Bearer x'"
        };
        database.execute_batch("PRAGMA synchronous = OFF; BEGIN").unwrap();
        database
            .execute(
                &format!(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                     INSERT INTO executables (guid, kind, name, app_guid, space_guid, command, disk_in_mb, memory_in_mb, state, url,
                                              auth_header, created_at, updated_at)
                     SELECT '{kind}-' || i, '{kind}', '{kind}-' || i, 'app-1', 'space-1', {command}, 0, 0 FROM n WHERE ?2 <> ''"
                ),
                rusqlite::params![count as i64, url],
            )
            .unwrap();
        database
            .execute(
                &format!(
                    "INSERT INTO schedules (guid, executable_id, enabled, expression, next_fire_time, planned_at, created_at, updated_at)
                     SELECT 's-' || guid, id, 1, '0 0 1 1 *', ?1, 0, 0, 0 FROM executables WHERE kind = '{kind}'"
                ),
                [fire_time * 1_000_000_000],
            )
            .unwrap();
        database.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    }

    /// Adds executions of the executable `id` that have ended.
    pub fn fill_history(&self, id: i64, count: usize) {
        let database = self.database();
        database.execute_batch("PRAGMA synchronous = OFF; BEGIN").unwrap();
        database
            .execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                 INSERT INTO executions (guid, executable_id, kind, state, message, asked_at, created_at, attempts, start_time, end_time)
                 SELECT 'e-' || ?2 || '-' || i, ?2, 'call', 'SUCCEEDED', 'answered 200 OK', 0, 0, 1, ?3 + i, ?3 + i FROM n",
                rusqlite::params![count as i64, id, now() * 1_000_000_000],
            )
            .unwrap();
        database.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    }

    /// Adds `of_each` executions to each job and call, one an hour until now; every twentieth failed.
    /// Schedules get various expressions.
    pub fn fill_pages(&self, of_each: usize) {
        let database = self.database();
        database.execute_batch("PRAGMA synchronous = OFF; BEGIN").unwrap();
        database
            .execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                 INSERT INTO executions (guid, executable_id, kind, state, message, asked_at, created_at, attempts, start_time, end_time,
                                         reason)
                 SELECT 'e-' || x.id || '-' || n.i, x.id, x.kind, CASE (x.id + n.i) % 20 WHEN 0 THEN 'FAILED' ELSE 'SUCCEEDED' END,
                        'exit status 0', t.at, t.at, 1, t.at, t.at + 1000000000, CASE (x.id + n.i) % 20 WHEN 0 THEN 'task_failed' END
                   FROM n CROSS JOIN executables AS x
                  CROSS JOIN (SELECT i AS of, (?2 - (?1 - i) * 3600) * 1000000000 AS at FROM n) AS t
                  WHERE t.of = n.i
                  ORDER BY n.i, x.id",
                rusqlite::params![of_each as i64, now()],
            )
            .unwrap();
        let expressions = "UPDATE schedules SET expression = id % 60 || ' ' || id % 24 || ' * * *'";
        database.execute(expressions, []).unwrap();
        database.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    }

    /// Adds a call of another space to `url`, every two seconds from `first` on.
    pub fn fill_every_2_s(&self, space: &str, url: &str, first: i64) {
        let database = self.database();
        database
            .execute(
                "INSERT INTO executables (guid, kind, name, app_guid, space_guid, url, auth_header, created_at, updated_at)
                 VALUES ('every-2s', 'call', 'every-2s', 'app-2', ?1, ?2, 'Bearer x', 0, 0)",
                [space, url],
            )
            .unwrap();
        database
            .execute(
                "INSERT INTO schedules (guid, executable_id, enabled, expression, next_fire_time, planned_at, created_at, updated_at)
                 SELECT 's-every-2s', id, 1, '@every 2s', ?1, 0, 0, 0 FROM executables WHERE guid = 'every-2s'",
                [first * 1_000_000_000],
            )
            .unwrap();
    }

    /// The lateness of a space's executions, in milliseconds, in order; of what has not begun, until now.
    pub fn lateness_in(&self, space: &str) -> Vec<f64> {
        let database = self.database();
        let mut statement = database
            .prepare(
                "SELECT (COALESCE(e.start_time, ?2) - e.scheduled_time) / 1e6
                   FROM executions AS e JOIN executables AS x ON x.id = e.executable_id
                  WHERE x.space_guid = ?1 AND e.scheduled_time IS NOT NULL
                  ORDER BY 1",
            )
            .unwrap();
        let rows = statement.query_map(rusqlite::params![space, now() * 1_000_000_000], |row| row.get(0));
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// The lateness of all executions of schedules, in milliseconds, in order.
    pub fn lateness(&self) -> Vec<f64> {
        let database = self.database();
        let mut statement = database
            .prepare("SELECT (start_time - scheduled_time) / 1e6 FROM executions WHERE schedule_id IS NOT NULL AND start_time IS NOT NULL ORDER BY 1")
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    pub fn count(&self, query: &str) -> i64 {
        self.database().query_row(query, [], |row| row.get(0)).unwrap()
    }
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "fire times of a benchmark are real ones")]
pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// The seconds of the processor that a process has used. `None`: it is gone.
pub fn cpu_seconds(process: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    Some((fields[11].parse::<f64>().ok()? + fields[12].parse::<f64>().ok()?) / 100.0)
}

/// The running program.
pub struct Service {
    child: Child,
    pub address: String,
    /// From its start to its first answer.
    pub start_ms: f64,
}

/// Of a user with the scopes that reading and changing need.
pub const TOKEN: &str = concat!(
    "eyJhbGciOiJub25lIn0.",
    "eyJ1c2VyX2lkIjoiZGV2IiwiZXhwIjo0MDAwMDAwMDAwLCJzY29wZSI6WyJjbG",
    "91ZF9jb250cm9sbGVyLnJlYWQiLCJjbG91ZF9jb250cm9sbGVyLndyaXRlIl19.x"
);

impl Service {
    pub fn start(place: &Place, cf: &FakeCf, variables: &[(&str, &str)]) -> Self {
        Self::start_at(&place.path(), cf, variables)
    }

    fn start_at(database: &Path, cf: &FakeCf, variables: &[(&str, &str)]) -> Self {
        Self::of_program(Path::new(env!("CARGO_BIN_EXE_ocf-scheduler")), database, cf, variables)
    }

    /// Another build of the program, perhaps an older one.
    pub fn of_program(program: &Path, database: &Path, cf: &FakeCf, variables: &[(&str, &str)]) -> Self {
        let began = Instant::now();
        let mut child = Command::new(program)
            .env_clear()
            .env("CALL_ALLOW_LOOPBACK", "true")
            .envs([("CF_ENDPOINT", cf.url.as_str()), ("UAA_ENDPOINT", cf.url.as_str())])
            .envs([
                ("CLIENT_ID", "c"),
                ("CLIENT_SECRET", "s"),
                ("SCHEDULER_PORT", "0"),
                ("SCHEDULER_HOST", "127.0.0.1"),
            ])
            .env("DATABASE_URL", database)
            .env("LOG_LEVEL", "warn")
            .env("AUTH_CACHE_SECONDS", "3600")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            line.unwrap().strip_prefix("ocf-scheduler listens on http://").map(str::to_owned)
        });
        let address = address.unwrap();
        let answered = Connection::open(&address).ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(answered.0, 200);
        Self { child, address, start_ms: began.elapsed().as_secs_f64() * 1000.0 }
    }

    /// Its memory, in MiB: its own pages and its share of those that others have too.
    pub fn pss_mib(&self) -> f64 {
        self.proc_number("smaps_rollup", "Pss:") / 1024.0
    }

    /// The most that it ever had in memory, in MiB.
    pub fn peak_mib(&self) -> f64 {
        self.proc_number("status", "VmHWM:") / 1024.0
    }

    /// The seconds of the processor that it has used.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.child.id()).unwrap()
    }

    /// How often its threads have begun to wait.
    pub fn wakeups(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks
            .map(|task| {
                let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default();
                let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
                line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or_default()
            })
            .sum()
    }

    fn proc_number(&self, file: &str, name: &str) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request with the token that the service knows.
pub fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: bearer {TOKEN}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
