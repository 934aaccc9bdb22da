//! The real program while the wall clock jumps, killed in between: no fire time is served twice, and none is
//! lost beyond what the misfire policy allows.
//!
//! A shim (`tests/clock/shim.c`) sets the wall clock of the process, but not its monotonic one, as if
//! somebody set the clock of the machine. On PostgreSQL the database's clock counts: there the test replaces
//! `now_nanos`, and the clock of the process jumps on its own, which must not matter.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use jiff::tz::TimeZone;
use ocf_scheduler::base::clock::{self, Clock, SystemClock};
use ocf_scheduler::model::Timestamp;
use serde_json::{Value, json};

use super::crash::{Random, number_of, pause};
use super::database::{Database, is_postgres};
use super::standalone::Standalone;

/// `MISFIRE_GRACE_SECONDS` of the program.
const GRACE: f64 = 20.0;
/// How long the program may take to notice a jump. A schedule that fires each second makes it look often,
/// but with PostgreSQL it learns of the jump when it renews its lease.
const SETTLE: f64 = 2.5;
const SETTLE_POSTGRES: f64 = 8.0;
/// Before a kill or a jump, fire times this close to it may be claimed by either side.
const EDGE: f64 = 2.5;
/// The largest jitter of a schedule.
const JITTER: i64 = 3;
/// The policy `all` catches up on this many.
const CATCH_UP_MAX: usize = 100;

/// Changes of clocks, in UTC, with the zones' names.
const CHANGES: [(&str, &str); 10] = [
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("America/New_York", "2027-03-14T07:00:00Z"),
    ("Europe/Berlin", "2027-03-28T01:00:00Z"),
    ("Australia/Lord_Howe", "2027-04-03T15:00:00Z"),
    ("Europe/Berlin", "2027-10-31T01:00:00Z"),
];

fn seconds(text: &str) -> i64 {
    Timestamp::parse(text).unwrap().seconds()
}

fn text(seconds: i64) -> String {
    Timestamp::from_seconds(seconds).unwrap().to_string()
}

/// When a schedule fires, calculated without the program's code for cron expressions.
enum Times {
    /// Each `step` seconds from `start` on.
    Step { start: i64, step: i64 },
    /// At local times; `hours`: `None` is each hour, and then real time counts.
    Local { zone: TimeZone, hours: Option<Vec<i64>>, minutes: Vec<i64> },
    /// Once.
    At(i64),
}

impl Times {
    fn contains(&self, time: i64) -> bool {
        match self {
            Self::Step { start, step } => (time - start) % step == 0,
            Self::At(at) => time == *at,
            Self::Local { zone, hours, minutes } => {
                let offset = |at: i64| -> i64 {
                    zone.to_offset(jiff::Timestamp::from_second(at).unwrap()).seconds().into()
                };
                let matches = |local: i64| {
                    let (hour, minute) = (local.rem_euclid(86400) / 3600, local.rem_euclid(3600) / 60);
                    local % 60 == 0
                        && minutes.contains(&minute)
                        && hours.as_ref().is_none_or(|hours| hours.contains(&hour))
                };
                let (now, before) = (offset(time), offset(time - 4 * 3600));
                if hours.is_none() {
                    return matches(time + now);
                }
                // The same local time, by the offset of some hours ago.
                let earlier = time + now - before;
                let is_repeated = earlier < time && offset(earlier) == before;
                // A local time that the clock skipped, by the offset of some hours ago.
                let skipped = time + before;
                let is_skipped = before < now && offset(skipped - now) != now;
                (matches(time + now) && !is_repeated) || (is_skipped && matches(skipped))
            }
        }
    }

    fn unit(&self) -> i64 {
        match self {
            Self::Step { .. } | Self::At(_) => 1,
            Self::Local { .. } => 60,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Skip,
    Once,
    All,
}

struct Case {
    name: String,
    body: Value,
    times: Times,
    policy: Policy,
    window: Option<(i64, i64)>,
    jitter: i64,
    /// The guids of its call and of itself.
    guids: (String, String),
}

impl Case {
    fn new(name: &str, body: &Value, times: Times) -> Self {
        let policy = match body["misfire_policy"].as_str() {
            Some("skip") => Policy::Skip,
            Some("all") => Policy::All,
            _ => Policy::Once,
        };
        let bound = |field: &str| body[field].as_str().map(seconds);
        let window = match (&times, bound("starts_at"), bound("ends_at")) {
            (_, Some(from), Some(until)) => Some((from, until)),
            _ => None,
        };
        let jitter = body["jitter_seconds"].as_i64().unwrap_or(0);
        Self {
            name: name.to_owned(),
            body: body.clone(),
            times,
            policy,
            window,
            jitter,
            guids: (String::new(), String::new()),
        }
    }

    fn contains(&self, time: i64) -> bool {
        self.times.contains(time) && self.window.is_none_or(|(from, until)| from <= time && time <= until)
    }

    /// The fire times after `from` up to `to`, oldest first.
    fn after(&self, from: f64, to: f64) -> impl Iterator<Item = i64> + '_ {
        let unit = self.times.unit();
        let first = match self.times {
            Times::At(at) => at.max(floor(from) + 1),
            Times::Step { start, step } => start + ((floor(from) - start).div_euclid(step) + 1) * step,
            Times::Local { .. } => (floor(from).div_euclid(60) + 1) * 60,
        };
        let step = if let Times::Step { step, .. } = self.times { step } else { unit };
        let end = floor(to);
        (0..)
            .map(move |index| first + index * step)
            .take_while(move |time| *time <= end)
            .filter(|time| self.contains(*time))
    }

    /// The last fire time before `to`, but after `from`.
    fn last_before(&self, to: f64, from: f64) -> Option<i64> {
        let newest_first = |step: i64, last: i64| {
            (0..).map(move |index| last - index * step).take_while(move |time| from < precise(*time))
        };
        let last = ceil(to) - 1;
        match self.times {
            Times::At(at) => Some(at).filter(|at| precise(*at) < to && from < precise(*at)),
            Times::Step { start, step } => newest_first(step, start + (last - start).div_euclid(step) * step)
                .find(|time| self.contains(*time)),
            Times::Local { .. } => {
                newest_first(60, last.div_euclid(60) * 60).find(|time| self.contains(*time))
            }
        }
    }

    fn path(&self) -> String {
        format!("/calls/{}/schedules", self.guids.0)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "seconds of this century")]
fn floor(time: f64) -> i64 {
    time.floor() as i64
}

#[expect(clippy::cast_possible_truncation, reason = "seconds of this century")]
fn ceil(time: f64) -> i64 {
    time.ceil() as i64
}

#[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
fn precise(time: i64) -> f64 {
    time as f64
}

fn cases() -> Vec<Case> {
    let zoned = |zone: &str, expression: &str, hours: Option<Vec<i64>>, minutes: &[i64], policy: &str| {
        let body = json!({ "expression": expression, "timezone": zone, "misfire_policy": policy });
        let tz = TimeZone::get(zone).unwrap();
        Case::new(
            &format!("{zone} {expression} {policy}"),
            &body,
            Times::Local { zone: tz, hours, minutes: minutes.to_vec() },
        )
    };
    let step = |step: i64, body: &Value| {
        let start = body["starts_at"].as_str().map_or(0, seconds);
        Case::new(&body.to_string(), body, Times::Step { start, step })
    };
    let mut cases = vec![
        step(1, &json!({"expression": "* * * * * *"})),
        step(5, &json!({"expression": "*/5 * * * * *", "misfire_policy": "all"})),
        step(10, &json!({"expression": "*/10 * * * * *", "misfire_policy": "skip"})),
        step(3600, &json!({"expression": "0 * * * *", "misfire_policy": "all"})),
        step(7, &json!({"expression": "@every 7s", "starts_at": "2026-01-01T00:00:01Z"})),
        step(10, &json!({"expression": "*/10 * * * * *", "jitter_seconds": JITTER})),
        zoned("Europe/Berlin", "30 2 * * *", Some(vec![2]), &[30], "once"),
        zoned("Europe/Berlin", "*/30 * * * *", None, &[0, 30], "skip"),
        zoned("America/New_York", "0,30 1,2 * * *", Some(vec![1, 2]), &[0, 30], "all"),
        zoned("Australia/Lord_Howe", "45 1,2 * * *", Some(vec![1, 2]), &[45], "once"),
        zoned("Australia/Lord_Howe", "*/15 * * * *", None, &[0, 15, 30, 45], "all"),
    ];
    for (_, change) in CHANGES {
        let at = seconds(change);
        // Around the change.
        let body = json!({
            "expression": "*/5 * * * * *", "starts_at": text(at - 7), "ends_at": text(at + 15),
        });
        let mut windowed = step(5, &body);
        windowed.times = Times::Step { start: 0, step: 5 };
        cases.push(windowed);
        for (policy, at) in [("skip", at + 3), ("all", at + 4), ("once", at + 7200)] {
            let body = json!({"expression": format!("@at {}", text(at)), "misfire_policy": policy});
            cases.push(Case::new(&format!("@at {} {policy}", text(at)), &body, Times::At(at)));
        }
    }
    cases
}

/// What the clock did, and the program while it did.
#[derive(Default)]
struct Timeline {
    /// Where every fire time must have been served, if nothing was paused: wall times from, to.
    live: Vec<(f64, f64)>,
    /// Where a fire time may have been served.
    perhaps: Vec<(f64, f64)>,
    /// What went by unseen.
    gaps: Vec<Gap>,
    /// Ends of pauses. Fire times up to there are not made up for.
    resumed: Vec<f64>,
}

/// The clock was set forward, or the program was down: it served up to `from`, and looked again between `to`
/// and `settled`.
#[derive(Debug, Clone, Copy)]
struct Gap {
    from: f64,
    to: f64,
    settled: f64,
    is_paused: bool,
}

impl Gap {
    /// What the policy `once` may have chosen.
    fn latest(&self, case: &Case) -> BTreeSet<i64> {
        let first = self.to - GRACE - precise(case.jitter) - 1.0;
        let last = self.settled - GRACE;
        let mut latest: BTreeSet<i64> = case.after(first.max(self.from), last).collect();
        latest.extend(case.last_before(first, self.from));
        latest
    }
}

/// The clock, the program, and what they did.
struct Stage {
    directory: tempfile::TempDir,
    shim: PathBuf,
    program: Option<Standalone>,
    /// Added to the true time, in seconds.
    offset: Cell<i64>,
    target: Target,
    timeline: Timeline,
    /// Since when each fire time is served: a wall time of the present clock.
    since: f64,
    is_paused: bool,
    space: String,
}

impl Stage {
    fn now(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "precise to a microsecond")]
        let now = SystemClock::default().now().nanos() as f64 / 1e9;
        now + precise(self.offset.get())
    }

    /// Sets the clock to `time`.
    fn set(&self, time: i64, random: &mut Random) {
        let offset = self.offset.get() + time - floor(self.now());
        self.offset.set(offset);
        let mut of_process = offset;
        if is_postgres() {
            self.database().execute(&format!(
                "CREATE OR REPLACE FUNCTION now_nanos() RETURNS BIGINT LANGUAGE sql VOLATILE AS
                 $$ SELECT (CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)
                            + CAST({offset} AS BIGINT) * 1000000) * 1000 $$"
            ));
            // Its own clock is wrong in another way.
            of_process = i64::try_from(random.below(2_000_000)).unwrap() - 1_000_000;
        }
        // Written in one piece, into the page that the process has mapped.
        let nanos = of_process * 1_000_000_000;
        let file = fs::File::options().write(true).open(self.directory.path().join("clock")).unwrap();
        file.write_all_at(&nanos.to_ne_bytes(), 0).unwrap();
    }

    fn database(&self) -> Database {
        Database::of(self.directory.path(), "scheduler.db")
    }

    fn start(&mut self) {
        let mut command = Standalone::command(self.directory.path());
        command
            .env("CRON_DIALECT", "ocf2")
            .env("MISFIRE_GRACE_SECONDS", GRACE.to_string())
            .env("CALL_ALLOW_LOOPBACK", "true")
            .env("HISTORY_DAYS", "36500")
            .env("AUDIT_DAYS", "0")
            .env("INSTANCE_ID", "one") // With PostgreSQL it takes over its earlier work at once.
            .env("LOG_LEVEL", "warn")
            .stderr(
                fs::File::options()
                    .append(true)
                    .create(true)
                    .open(self.directory.path().join("log"))
                    .unwrap(),
            );
        command.env("LD_PRELOAD", &self.shim).env("CLOCK_OFFSET_FILE", self.directory.path().join("clock"));
        self.program = Some(Standalone::spawn(&mut command));
    }

    /// Ends what is being recorded: the program is killed, or the clock is about to jump. Returns when.
    fn end_episode(&mut self) -> f64 {
        let end = self.now();
        if !self.is_paused && self.since < end - EDGE {
            self.timeline.live.push((self.since, end - EDGE));
        }
        if !self.is_paused {
            // With PostgreSQL the program follows the old clock until it learns of the jump.
            let unnoticed = if is_postgres() { 6.0 } else { 0.5 };
            self.timeline.perhaps.push((self.since - 1.0, end + unnoticed));
        }
        end
    }

    /// The clock was at `from` when fire times were served last. It is at `to` when they may be again, and
    /// they are at `settled`.
    fn begin_episode(&mut self, from: f64, to: f64, settled: f64) {
        if from < settled {
            let from = from - EDGE;
            self.timeline.gaps.push(Gap { from, to, settled, is_paused: self.is_paused });
        }
        self.since = to;
        if to < from && !self.is_paused {
            // Where the clock is the database's, nobody knows exactly when it was set.
            let unnoticed = if is_postgres() { 12.0 } else { 1.0 };
            self.timeline.perhaps.push((to - unnoticed, settled));
        }
    }

    fn settle_time(&self) -> f64 {
        if is_postgres() { SETTLE_POSTGRES } else { SETTLE }
    }

    fn set_paused(&mut self, is_paused: bool) {
        let before = self.now();
        let body = json!({ "paused": is_paused }).to_string();
        let answer = self.program.as_ref().unwrap().ask("PATCH", &format!("/spaces/{}", self.space), &body);
        assert_eq!(answer["paused"], is_paused, "{answer}");
        let after = self.now();
        if is_paused {
            if self.since < before - 1.0 {
                self.timeline.live.push((self.since, before - 1.0));
            }
            let uncertain = 0.5;
            self.timeline.perhaps.push((self.since - 1.0, after + uncertain));
        } else {
            self.since = after + 0.5;
            self.timeline.perhaps.push((before - 1.0, after + 0.5));
            self.timeline.resumed.push(after + 0.5);
        }
        self.is_paused = is_paused;
    }
}

/// Counts calls by key.
struct Target {
    url: String,
    hits: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Target {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let hits: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
        let record = Arc::clone(&hits);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let record = Arc::clone(&record);
                thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
                    let lines = BufReader::new(&stream).lines().map_while(Result::ok);
                    let key = lines.take_while(|line| !line.is_empty()).fold(None, |key, line| {
                        let (name, value) = line.split_once(':').unwrap_or_default();
                        if name.eq_ignore_ascii_case("idempotency-key") {
                            Some(value.trim().to_owned())
                        } else {
                            key
                        }
                    });
                    let Some(key) = key else { return };
                    *record.lock().unwrap().entry(key).or_default() += 1;
                    let _ = (&stream)
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                });
            }
        });
        Self { url, hits }
    }
}

/// Compiles the shim into `directory`. `None`: there is no C compiler, which SQLite needs too, or the system
/// is another one.
fn shim(directory: &Path) -> Option<PathBuf> {
    let (source, library) =
        (concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clock/shim.c"), directory.join("shim.so"));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source);
    compiler.status().is_ok_and(|status| status.success()).then_some(library)
}

/// `CLOCK_JUMPS=200 CLOCK_SEED=7 cargo test --test it clock_jumps -- --nocapture` is the long version.
#[test]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it tells what it went through, if at all")]
fn clock_jumps_and_kills_lose_no_fire_time_and_serve_none_twice() {
    let directory = tempfile::tempdir().unwrap();
    let Some(shim) = shim(directory.path()) else {
        eprintln!("skipped: the shim that sets the clock cannot be compiled here");
        return;
    };
    let default = if is_postgres() { 2 } else { 3 };
    let (jumps, seed) = (number_of("CLOCK_JUMPS", default), number_of("CLOCK_SEED", 1));
    let mut random = Random::seeded(seed);
    let mut stage = Stage {
        directory,
        shim,
        program: None,
        offset: Cell::new(0),
        target: Target::start(),
        timeline: Timeline::default(),
        since: 0.0,
        is_paused: false,
        space: String::new(),
    };
    // Creates the database, and its clock.
    fs::write(stage.directory.path().join("clock"), 0_i64.to_ne_bytes()).unwrap();
    stage.start();
    stage.program = None;
    stage.set(seconds("2026-03-08T06:59:40Z"), &mut random);
    stage.start();
    let mut cases = cases();
    create(&mut stage, &mut cases);
    let mut counts = BTreeMap::<&str, u32>::new();
    for _ in 0..jumps {
        // Long enough for the program to notice the jump.
        pause(2500 + random.below(1500) + if is_postgres() { 6000 } else { 0 });
        if random.below(3) == 0 {
            let is_paused = !stage.is_paused;
            stage.set_paused(is_paused);
            *counts.entry("pauses and resumptions").or_default() += 1;
            pause(2000);
        }
        let kind = step(&mut stage, &cases, &mut random);
        *counts.entry(kind).or_default() += 1;
    }
    pause(if is_postgres() { 9000 } else { 0 });
    if stage.is_paused {
        stage.set_paused(false);
    }
    pause(4000);
    check_future(&stage, &cases);
    let figures = check(&mut stage, &cases);
    println!("seed={seed} {counts:?} {figures}");
}

fn create(stage: &mut Stage, cases: &mut [Case]) {
    let program = stage.program.as_ref().unwrap();
    stage.space = program.ask("GET", "/spaces", "")["resources"][0]["guid"].as_str().unwrap().to_owned();
    for (number, case) in cases.iter_mut().enumerate() {
        let call = json!({ "name": format!("c{number}"), "url": stage.target.url, "auth_header": "a" });
        let call = program.ask("POST", &format!("/calls?app_guid={}", program.app), &call.to_string());
        case.guids.0 = call["guid"].as_str().unwrap_or_else(|| panic!("{call}")).to_owned();
        let made = program.ask("POST", &case.path(), &case.body.to_string());
        case.guids.1 = made["guid"].as_str().unwrap_or_else(|| panic!("{} {made}", case.name)).to_owned();
    }
    // They did not all exist until now.
    stage.timeline.perhaps.push((stage.now() - 60.0, stage.now() + 1.0));
    stage.since = stage.now() + 1.0;
}

/// Sets the clock to `2..=4` seconds before something interesting, alive or not.
fn step(stage: &mut Stage, cases: &[Case], random: &mut Random) -> &'static str {
    let now = floor(stage.now());
    let random_up_to = |random: &mut Random, most: u64| i64::try_from(1 + random.below(most)).unwrap();
    let to = match random.below(8) {
        0 => now + random_up_to(random, 50),
        1 => now - random_up_to(random, 50),
        2 => now + 60 * random_up_to(random, 300),
        3 => now - 60 * random_up_to(random, 300),
        4 => now + 3600 * random_up_to(random, 100),
        _ => {
            let change = seconds(CHANGES[usize::try_from(random.below(CHANGES.len() as u64)).unwrap()].1);
            let case = &cases[6 + usize::try_from(random.below(5)).unwrap()];
            let near: Vec<i64> = case.after(precise(change - 7200), precise(change + 7200)).collect();
            let index = usize::try_from(random.below(near.len().max(1) as u64)).unwrap();
            near.get(index).copied().unwrap_or(change) - random_up_to(random, 4)
        }
    };
    // Not before the schedules were made.
    let to = to.max(seconds("2026-03-08T07:00:00Z"));
    match random.below(3) {
        0 => {
            let end = stage.end_episode();
            stage.set(to, random);
            let begin = stage.now();
            stage.begin_episode(end, begin, begin + stage.settle_time());
            "jumps"
        }
        1 => {
            let end = stage.end_episode();
            stage.program = None;
            pause(random.below(3000));
            stage.set(to, random);
            let begin = stage.now();
            stage.start();
            restarted(stage, end, begin);
            "jumps while down"
        }
        _ => {
            // Killed right after the jump, perhaps as it handles it.
            let end = stage.end_episode();
            stage.set(to, random);
            let begin = stage.now();
            pause(random.below(1500));
            stage.program = None;
            let killed = stage.now();
            if !stage.is_paused {
                stage.timeline.perhaps.push((begin - 1.0, killed + 0.5));
            }
            stage.start();
            restarted(stage, end, begin);
            "kills after a jump"
        }
    }
}

/// The program was started again: before the jump the clock showed `end`, after it `begin`.
fn restarted(stage: &mut Stage, end: f64, begin: f64) {
    let settled = stage.now() + if is_postgres() { 4.0 } else { 1.5 };
    stage.begin_episode(end, begin, settled);
    // If the clock was set back while it was down, nobody knows what went by before it started.
    stage.since = if end < begin { begin } else { settled };
}

/// Each schedule has its true next fire time, or is completed.
fn check_future(stage: &Stage, cases: &[Case]) {
    let program = stage.program.as_ref().unwrap();
    for case in cases {
        let before = stage.now();
        let shown = program.ask("GET", &case.path(), "")["resources"][0].clone();
        let after = stage.now();
        let far = after + 86400.0 * 40.0;
        let next = shown["next_fire_time"].as_str().map(seconds);
        let is_past = match (&case.times, case.window) {
            (Times::At(at), _) => precise(*at) < before,
            (_, Some((_, until))) => precise(until) < before,
            _ => false,
        };
        if is_past {
            assert_eq!(next, None, "{}: {shown}", case.name);
            assert!(shown["completed_at"].is_string(), "{}: {shown}", case.name);
            continue;
        }
        if matches!(case.times, Times::At(_)) {
            // If the clock was there before, it has fired.
            assert_eq!(next.is_none(), shown["completed_at"].is_string(), "{}: {shown}", case.name);
            continue;
        }
        let far = case.window.map_or(far, |(_, until)| precise(until));
        let possible: BTreeSet<Option<i64>> = case.after(before - 2.0, far).take(6).map(Some).collect();
        assert!(possible.contains(&next), "{}: {shown} is none of {possible:?}", case.name);
        assert_eq!(shown["completed_at"], Value::Null, "{}: {shown}", case.name);
    }
}

fn check(stage: &mut Stage, cases: &[Case]) -> String {
    let database = stage.database();
    // Nothing is stuck. The last of them are still to be claimed, so stop that first.
    let end = stage.end_episode();
    database.execute("UPDATE schedules SET next_fire_time = NULL");
    let deadline = clock::instant() + Duration::from_secs(30);
    let open = "SELECT COUNT(*) FROM executions WHERE end_time IS NULL";
    while database.number(open) > 0 {
        let stuck = database.rows("SELECT * FROM executions WHERE end_time IS NULL LIMIT 5");
        assert!(clock::instant() < deadline, "stuck: {stuck:?}");
        pause(50);
    }
    stage.program = None;
    let hits = stage.target.hits.lock().unwrap().clone();
    for (key, count) in &hits {
        assert_eq!(*count, 1, "the call {key} was sent {count} times");
    }
    let (mut all, mut skipped, mut interrupted) = (0, 0, 0);
    for case in cases {
        let rows = database.rows(&format!(
            "SELECT e.scheduled_time, e.state, COALESCE(e.reason, ''), e.guid, e.created_at, e.message
               FROM executions AS e JOIN schedules AS s ON s.id = e.schedule_id WHERE s.guid = '{}'
              ORDER BY e.scheduled_time",
            case.guids.1
        ));
        let mut served = BTreeSet::new();
        for row in &rows {
            let [time, state, reason, guid, created_at, message] = row.as_slice() else { panic!("{row:?}") };
            let time = time.parse::<i64>().unwrap() / 1_000_000_000;
            assert!(served.insert(time), "{}: {} has two executions", case.name, text(time));
            let created_at = created_at.parse::<i64>().unwrap() / 1_000_000_000;
            assert!(time <= created_at, "{}: {} was served early", case.name, text(time));
            let is_once = matches!(case.times, Times::At(_));
            match (state.as_str(), reason.as_str()) {
                ("SUCCEEDED", "") => assert!(hits.contains_key(guid), "{guid}"),
                ("FAILED", "interrupted") => interrupted += 1,
                ("SKIPPED", "missed") if is_once && case.policy == Policy::Skip => skipped += 1,
                ("SKIPPED", "paused") if is_once => skipped += 1,
                _ => panic!("{}: {row:?} {message}", case.name),
            }
            let is_allowed = may_be_served(case, time, &stage.timeline);
            let near = |from: f64, to: f64| from - 60.0 < precise(time) && precise(time) < to + 60.0;
            let gaps = stage.timeline.gaps.iter().filter(|gap| near(gap.from, gap.settled));
            let perhaps = stage.timeline.perhaps.iter().filter(|(from, to)| near(*from, *to));
            assert!(
                is_allowed || state == "SKIPPED",
                "{}: {time} was served at {created_at}: {row:?} {:#?} {:#?} resumed: {:?}",
                case.name,
                gaps.collect::<Vec<_>>(),
                perhaps.collect::<Vec<_>>(),
                stage.timeline.resumed
            );
        }
        all += rows.len();
        must_be_served(case, &served, &stage.timeline, end);
    }
    let log = fs::read_to_string(stage.directory.path().join("log")).unwrap();
    assert!(!log.contains("[ERROR]"), "{log}");
    format!("executions={all} calls={} skipped={skipped} interrupted={interrupted}", hits.len())
}

fn may_be_served(case: &Case, time: i64, timeline: &Timeline) -> bool {
    if !case.contains(time) {
        return false;
    }
    let precise_time = precise(time);
    let is_live = timeline.perhaps.iter().any(|(from, to)| *from <= precise_time && precise_time <= *to);
    is_live
        || timeline
            .gaps
            .iter()
            .filter(|gap| !gap.is_paused && gap.from < precise_time && precise_time <= gap.settled)
            .any(|gap| {
                // The clock was set a little before that was noted.
                let grace = GRACE + precise(case.jitter) + 1.0;
                gap.to - grace <= precise_time
                    || match case.policy {
                        _ if matches!(case.times, Times::At(_)) => case.policy != Policy::Skip,
                        Policy::Skip => false,
                        Policy::Once => gap.latest(case).contains(&time),
                        Policy::All => true,
                    }
            })
}

fn must_be_served(case: &Case, served: &BTreeSet<i64>, timeline: &Timeline, end: f64) {
    let is_excused = |time: i64| {
        // As a pause ended, or as somebody stopped the test.
        let near = |edge: &f64| (precise(time) - edge).abs() < 2.5;
        timeline.resumed.iter().any(near) || near(&end)
    };
    let describe = |time: i64| format!("{}: {} was lost", case.name, text(time));
    for (from, to) in &timeline.live {
        for time in case.after(*from, *to) {
            assert!(served.contains(&time) || is_excused(time), "{} in {from}..{to}", describe(time));
        }
    }
    let mut reached: Vec<f64> = Vec::new();
    for gap in &timeline.gaps {
        // What a pause has let go by is not made up for, nor what was settled before the clock was set back.
        let settled = timeline.resumed.iter().chain(&reached).copied().filter(|at| *at <= gap.settled);
        let from = settled.fold(gap.from, f64::max);
        reached.push(gap.settled);
        if gap.is_paused {
            continue;
        }
        let within_grace = (gap.settled - GRACE).max(from);
        for time in case.after(within_grace, gap.to.max(within_grace)) {
            assert!(served.contains(&time) || is_excused(time), "{} in the grace of {gap:?}", describe(time));
        }
        let missed_to = gap.to - GRACE - precise(case.jitter) - 1.0;
        if missed_to <= from {
            continue;
        }
        let is_once = matches!(case.times, Times::At(_));
        match case.policy {
            Policy::All => {
                let clean = from == gap.from;
                for time in case.after(from, missed_to).take(if clean { CATCH_UP_MAX - 10 } else { 0 }) {
                    assert!(served.contains(&time) || is_excused(time), "{} in {gap:?}", describe(time));
                }
            }
            _ if is_once => {
                if let Some(time) = case.after(from, missed_to).next() {
                    assert!(served.contains(&time) || is_excused(time), "{} in {gap:?}", describe(time));
                }
            }
            Policy::Once => {
                let latest = gap.latest(case);
                let had_any = case.last_before(missed_to, from).is_some();
                assert!(
                    !had_any || latest.iter().any(|time| served.contains(time)),
                    "{}: none of {:?} was served in {gap:?}",
                    case.name,
                    latest.iter().map(|time| text(*time)).collect::<Vec<_>>()
                );
            }
            Policy::Skip => {}
        }
    }
}
