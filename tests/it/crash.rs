//! The real program, killed again and again while schedules fire and clients work: nothing answered is lost,
//! nothing runs twice, and the history is true.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ocf_scheduler::base::clock;
use ocf_scheduler::cron::{Dialect, Expression, Reading};

use serde_json::{Value, json};

use super::cf::fake_cf::{FAILING, FakeCf, FakeTask, Fault};
use super::database::{Database, is_postgres};
use super::program::{Program, ask};

/// How long the remaining work may take. Only a failing test needs it.
const SETTLE_MAX: Duration = Duration::from_secs(120);

/// A small random number generator (xorshift64*), so that a seed determines the run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// From 0 up to, not including, `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % bound
    }
}

/// The target of calls: counts them by key and attempt, answers most with 200, some with 500, and drops some.
pub(crate) struct Target {
    pub(crate) url: String,
    seen: Arc<Mutex<HashMap<String, Vec<u16>>>>,
}

impl Target {
    pub(crate) fn start(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let seen: Arc<Mutex<HashMap<String, Vec<u16>>>> = Arc::default();
        let (record, random) = (Arc::clone(&seen), Arc::new(Mutex::new(Random::seeded(seed))));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (record, random) = (Arc::clone(&record), Arc::clone(&random));
                thread::spawn(move || {
                    let (kind, wait) = {
                        let mut random = random.lock().unwrap();
                        (random.below(10), random.below(60))
                    };
                    let Some(key) = read_key(&stream) else { return };
                    let status = match kind {
                        0 => 500,
                        1 => 0,
                        _ => 200,
                    };
                    record.lock().unwrap().entry(key).or_default().push(status);
                    pause(wait);
                    if status != 0 {
                        let answer = format!(
                            "HTTP/1.1 {status} Fine\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                        );
                        let _ = (&stream).write_all(answer.as_bytes());
                    }
                });
            }
        });
        Self { url, seen }
    }
}

fn read_key(stream: &TcpStream) -> Option<String> {
    // Longer than an instance is ever paused: it may be stopped between connecting and sending.
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let (mut key, mut attempt) = (None, None);
    for line in BufReader::new(stream.take(64 * 1024)).lines() {
        let line = line.ok()?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("Idempotency-Key")
        {
            key = Some(value.trim().to_owned());
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("X-Scheduler-Attempt")
        {
            attempt = value.trim().parse().ok();
        }
    }
    Some(name_of(&key?, attempt?))
}

/// Identifies an attempt; tasks are named in this way too.
fn name_of(execution: &str, attempt: u32) -> String {
    if attempt == 1 { execution.to_owned() } else { format!("{execution}.{attempt}") }
}

pub(crate) fn pause(ms: u64) {
    let _ = crossbeam_channel::after(Duration::from_millis(ms)).recv();
}

/// What the clients know.
#[derive(Default)]
pub(crate) struct Known {
    /// Jobs and calls whose creation was answered: guid → ("jobs" or "calls").
    pub(crate) made: BTreeMap<String, &'static str>,
    /// Their schedules: guid → owner.
    pub(crate) schedules: BTreeMap<String, String>,
    /// Executions started by hand: guid → owner.
    executions: BTreeMap<String, String>,
    /// Executions whose cancellation was answered.
    cancelled: BTreeSet<String>,
    /// Objects whose deletion or disabling was requested, answered or not.
    touched: BTreeSet<String>,
    pub(crate) requests: u64,
}

pub(crate) fn client(
    url: &str,
    token: &str,
    target: &str,
    known: &Mutex<Known>,
    mut random: Random,
    over: &AtomicBool,
) {
    while !over.load(Ordering::SeqCst) {
        let choice = random.below(100);
        let owner = {
            let known = known.lock().unwrap();
            let living: Vec<(&String, &&str)> =
                known.made.iter().filter(|(guid, _)| !known.touched.contains(*guid)).collect();
            let index = usize::try_from(random.below(living.len().max(1) as u64)).unwrap();
            living.get(index).map(|(guid, kind)| ((*guid).clone(), **kind))
        };
        let answered = match (choice, owner) {
            (0..=19, _) | (_, None) => {
                let name = uuid::Uuid::new_v4();
                let retry = json!({"max_retries": 2, "backoff_seconds": 1, "max_backoff_seconds": 1});
                let controls = match random.below(8) {
                    0 => json!({"concurrency_policy": "Forbid"}),
                    1 => json!({"concurrency_policy": "Queue", "retry": retry}),
                    2 => json!({"concurrency_policy": "Replace"}),
                    3 => json!({"retry": retry}),
                    4 => json!({"timeout_seconds": 1, "concurrency_policy": "Forbid", "retry": retry}),
                    _ => json!({}),
                };
                let (kind, own) = if random.below(2) == 0 {
                    let command = if random.below(4) == 0 { FAILING } else { "true" };
                    ("jobs", json!({"name": name.to_string(), "command": command}))
                } else {
                    ("calls", json!({"name": name.to_string(), "url": target, "auth_header": "Bearer x"}))
                };
                let mut body = own.as_object().unwrap().clone();
                body.extend(controls.as_object().unwrap().clone());
                let body = Value::Object(body).to_string();
                ask(url, token, "POST", &format!("/{kind}?app_guid=app-1"), &body).map(|(status, made)| {
                    // Cloud Foundry may have asked for a pause, and a database server may be down.
                    assert!(status == 201 || status == 503, "{status} {made}");
                    if status != 201 {
                        return;
                    }
                    known.lock().unwrap().made.insert(made["guid"].as_str().unwrap().to_owned(), kind);
                })
            }
            (20..=34, Some((guid, kind))) if firing(known) < SCHEDULES_MAX => {
                let body = r#"{"enabled":true,"expression":"@every 1s","expression_type":"cron_expression"}"#;
                ask(url, token, "POST", &format!("/{kind}/{guid}/schedules"), body).map(|(status, made)| {
                    if status == 201 {
                        let schedule = made["guid"].as_str().unwrap().to_owned();
                        known.lock().unwrap().schedules.insert(schedule, guid);
                    }
                })
            }
            (75..=84, Some(_)) if random.below(2) == 0 => {
                let execution = {
                    let known = known.lock().unwrap();
                    let index = usize::try_from(random.below(known.executions.len().max(1) as u64)).unwrap();
                    known.executions.keys().nth(index).cloned()
                };
                match execution {
                    Some(execution) => {
                        ask(url, token, "POST", &format!("/executions/{execution}/cancel"), "").map(
                            |(status, answer)| {
                                assert!(matches!(status, 202 | 404 | 422 | 503), "{status} {answer}");
                                if status == 202 {
                                    known.lock().unwrap().cancelled.insert(execution);
                                }
                            },
                        )
                    }
                    None => Some(()),
                }
            }
            (20..=84, Some((guid, kind))) => ask(url, token, "POST", &format!("/{kind}/{guid}/execute"), "")
                .map(|(status, made)| {
                    if status == 201 {
                        let execution = made["guid"].as_str().unwrap().to_owned();
                        known.lock().unwrap().executions.insert(execution, guid);
                    }
                }),
            (85..=92, Some(_)) => {
                let schedule = {
                    let mut known = known.lock().unwrap();
                    let next = known
                        .schedules
                        .iter()
                        .find(|(guid, owner)| {
                            !known.touched.contains(*guid) && !known.touched.contains(*owner)
                        })
                        .map(|(guid, owner)| (guid.clone(), owner.clone(), known.made[owner]));
                    if let Some((guid, ..)) = &next {
                        known.touched.insert(guid.clone());
                    }
                    next
                };
                match schedule {
                    Some((guid, owner, kind)) => {
                        let path = format!("/{kind}/{owner}/schedules/{guid}");
                        if random.below(2) == 0 {
                            ask(url, token, "DELETE", &path, "").map(|_| ())
                        } else {
                            ask(url, token, "PATCH", &path, r#"{"enabled":false}"#).map(|_| ())
                        }
                    }
                    None => Some(()),
                }
            }
            (_, Some((guid, kind))) => {
                known.lock().unwrap().touched.insert(guid.clone());
                ask(url, token, "DELETE", &format!("/{kind}/{guid}"), "").map(|_| ())
            }
        };
        if answered.is_some() {
            known.lock().unwrap().requests += 1;
        }
        pause(random.below(30));
    }
}

/// This many fire each second; more would test something else.
const SCHEDULES_MAX: usize = 60;

fn firing(known: &Mutex<Known>) -> usize {
    let known = known.lock().unwrap();
    let touched = |guid: &String| known.touched.contains(guid);
    known.schedules.iter().filter(|(guid, owner)| !touched(guid) && !touched(owner)).count()
}

const PLACES: [&str; 13] = [
    "claim.advanced",
    "claim.inserted",
    "claim.committed",
    "write.committing",
    "write.committed",
    "task.attempting",
    "task.created",
    "task.accepted",
    "call.started",
    "call.answered",
    "retention.batch",
    "cancel.requested",
    "cancel.accepted",
];

#[expect(clippy::disallowed_methods, reason = "how many kills, and which, is for whoever runs this test")]
pub(crate) fn number_of(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// How long a task takes.
const TASK_TIME: Duration = Duration::from_millis(300);

/// A Cloud Foundry with an app, a user who may work in its space, and tasks that take a moment.
pub(crate) fn busy_cf() -> FakeCf {
    let cf = FakeCf::start();
    cf.add_app("app-1", "space-1");
    cf.add_role("dev", "space-1");
    cf.complete_tasks_after(Some((TASK_TIME, "SUCCEEDED", None)));
    cf
}

/// `CRASH_KILLS=200 CRASH_SEED=7 cargo test --test it killed -- --nocapture` is the long version.
#[test]
#[expect(clippy::print_stdout, reason = "the long version tells what it went through")]
fn killed_at_any_instant_nothing_is_lost_and_nothing_runs_twice() {
    let (kills, seed) = (number_of("CRASH_KILLS", 20), number_of("CRASH_SEED", 1));
    let mut random = Random::seeded(seed);
    let directory = tempfile::tempdir().unwrap();
    let cf = busy_cf();
    let target = Target::start(seed);
    let known = Mutex::new(Known::default());
    let (mut at_places, mut faults) = (BTreeMap::<&str, u32>::new(), 0);
    for round in 0..kills {
        let token = cf.issue_cf_token("dev");
        let place = PLACES[usize::try_from(random.below(PLACES.len() as u64)).unwrap()];
        let is_rare =
            matches!(place, "claim.advanced" | "claim.inserted" | "claim.committed" | "retention.batch")
                || place.starts_with("cancel.");
        let armed = format!("{place}:{}", 1 + random.below(if is_rare { 2 } else { 20 }));
        let armed: &[(&str, &str)] =
            if random.below(3) < 2 { &[("OCF_CRASH_POINT", armed.as_str())] } else { &[] };
        let Some(mut program) = Program::start(directory.path(), &cf, armed) else {
            // The place was already passed at the start.
            *at_places.entry(place).or_default() += 1;
            continue;
        };
        faults += inject(&cf, &mut random);
        let (over, url) = (AtomicBool::new(false), program.url.clone());
        thread::scope(|scope| {
            for number in 0..3 {
                let client_random = Random::seeded(seed ^ (round * 3 + number + 1));
                let (url, token, target, known, over) = (&url, &token, &target.url, &known, &over);
                scope.spawn(move || client(url, token, target, known, client_random, over));
            }
            let until = clock::instant() + Duration::from_millis(100 + random.below(1300));
            while clock::instant() < until && !program.has_ended() {
                pause(5);
            }
            if program.has_ended() {
                *at_places.entry(place).or_default() += 1;
            }
            program.kill();
            over.store(true, Ordering::SeqCst);
        });
        check_answered_creates(directory.path(), &known.lock().unwrap());
    }

    cf.clear_faults();
    let token = cf.issue_cf_token("dev");
    let mut program = Program::start(directory.path(), &cf, &[]).unwrap();
    let known = known.into_inner().unwrap();
    // After the last start each schedule keeps firing until it is stopped.
    pause(2500);
    let database = Database::of(directory.path(), "s.db");
    for (schedule, owner) in &known.schedules {
        let path = format!("/{}/{owner}/schedules/{schedule}", known.made[owner]);
        ask(&program.url, &token, "PATCH", &path, r#"{"enabled":false}"#).unwrap();
    }
    // Also the schedules whose creation was not answered.
    silence_schedules(&database);
    // With PostgreSQL, the work of killed processes is taken over when their leases have ended, all at once.
    let deadline = clock::instant() + SETTLE_MAX;
    let left =
        "SELECT (SELECT COUNT(*) FROM executions WHERE end_time IS NULL) + (SELECT COUNT(*) FROM strays)";
    while database.number(left) > 0 {
        let stuck = "SELECT id, kind, state, owner, attempts, message FROM executions WHERE end_time IS NULL \
         LIMIT 20";
        assert!(clock::instant() < deadline, "stuck: {:?}", database.rows(stuck));
        pause(50);
    }
    let figures = check_history(&database, &known, &cf, &target);
    program.kill();
    println!(
        "seed={seed} kills={kills} at_places={at_places:?} cf_faults={faults} requests={} {figures}",
        known.requests
    );
}

pub(crate) fn silence_schedules(database: &Database) {
    database.execute("UPDATE schedules SET next_fire_time = NULL");
}

/// Causes some trouble at Cloud Foundry. Returns the number of faults.
pub(crate) fn inject(cf: &FakeCf, random: &mut Random) -> usize {
    let create = "POST /v3/apps/:guid/tasks";
    cf.clear_faults();
    let times = usize::try_from(random.below(4)).unwrap();
    let fault = match random.below(7) {
        0 => Fault::DropAfter,
        1 => Fault::DropBefore,
        2 => Fault::CommitLate(Duration::from_millis(200 + random.below(800))),
        3 => Fault::status(503, None),
        4 => Fault::status(500, None),
        5 => Fault::html(502),
        _ => Fault::status(429, Some(("Retry-After", "1"))),
    };
    if times > 0 {
        cf.fault(create, fault, times);
        cf.fault("GET /v3/tasks", Fault::status(503, None), 1);
    }
    times
}

fn check_answered_creates(directory: &Path, known: &Known) {
    let database = Database::of(directory, "s.db");
    if !is_postgres() {
        assert_eq!(database.rows("PRAGMA integrity_check"), [["ok"]]);
    }
    let guids = |query: &str| -> BTreeSet<String> {
        database.rows(query).into_iter().map(|mut row| row.remove(0)).collect()
    };
    let made = guids("SELECT guid FROM executables WHERE deleted_at IS NULL");
    let schedules = guids("SELECT guid FROM schedules WHERE deleted_at IS NULL");
    let executions = guids("SELECT guid FROM executions");
    let untouched = |guid: &String| !known.touched.contains(guid);
    for guid in known.made.keys().filter(|guid| untouched(guid)) {
        assert!(made.contains(guid), "{guid} was created and is lost");
    }
    for (guid, _) in known.schedules.iter().filter(|(guid, owner)| untouched(guid) && untouched(owner)) {
        assert!(schedules.contains(guid), "the schedule {guid} was created and is lost");
    }
    for (guid, _) in known.executions.iter().filter(|(_, owner)| untouched(owner)) {
        assert!(executions.contains(guid), "the execution {guid} was started and is lost");
    }
}

/// Checks the database against what Cloud Foundry and the target of calls saw.
pub(crate) fn check_history(database: &Database, known: &Known, cf: &FakeCf, target: &Target) -> String {
    // No task was created twice.
    let tasks = cf.tasks();
    let mut by_name: HashMap<&str, Vec<&str>> = HashMap::new();
    for task in &tasks {
        by_name.entry(&task.name).or_default().push(&task.state);
    }
    let mut surplus = 0;
    for (name, states) in &mut by_name {
        if is_postgres() && states.len() == 2 {
            // From an instance that was stopped between recording its attempt and requesting the task: the
            // surplus task was cancelled.
            states.retain(|state| *state != "FAILED");
            surplus += 1;
        }
        if states.len() != 1 {
            let doubled: Vec<_> = tasks.iter().filter(|task| task.name == **name).collect();
            let row = database.rows(&format!("SELECT * FROM executions WHERE guid = '{name}'"));
            panic!("{name} has {} tasks: {doubled:?} {row:?}", states.len());
        }
    }
    // No call was sent twice.
    let hits = target.seen.lock().unwrap().clone();
    for (key, statuses) in &hits {
        assert_eq!(statuses.len(), 1, "the call {key} was sent {} times", statuses.len());
    }
    // Each execution has its true outcome.
    let rows = database.rows(
        "SELECT e.guid, e.kind, e.state, e.message, e.attempt, COALESCE(e.reason, '')
           FROM executions AS e JOIN executables AS x ON x.id = e.executable_id",
    );
    let (mut interrupted, mut cancelled, mut skipped, mut retried) = (0, 0, 0, 0);
    for row in &rows {
        let [guid, kind, state, message, attempt, reason] = row.as_slice() else { panic!("{row:?}") };
        let name = name_of(guid, attempt.parse().unwrap());
        retried += usize::from(name != *guid);
        let task = by_name.get(name.as_str()).map(|states| states[0]);
        let hit = hits.get(&name).map(|statuses| statuses[0]);
        // A cancelled execution did not succeed, unless the cancellation came too late.
        if known.cancelled.contains(guid) && !message.contains("too late") {
            assert_eq!((state.as_str(), reason.as_str()), ("FAILED", "cancelled"), "{row:?}");
        }
        match (kind.as_str(), state.as_str(), message.as_str()) {
            ("job", "SUCCEEDED", "" | "the cancel came too late") => {
                assert_eq!(task, Some("SUCCEEDED"), "{guid}")
            }
            ("job", "FAILED", text) if reason == "task_failed" => {
                assert_eq!(task, Some("FAILED"), "{guid}");
                assert!(text.contains("status 1"), "{row:?}");
            }
            (_, "FAILED", _) if matches!(reason.as_str(), "replaced" | "timeout") => {
                assert_ne!(task, Some("RUNNING"), "{guid}");
                cancelled += 1;
            }
            (_, "FAILED", text) if text.starts_with("cancelled by ") => {
                assert_ne!(task, Some("RUNNING"), "{guid}");
                cancelled += 1;
            }
            (_, "SKIPPED", _) => {
                assert_eq!((task, hit, reason.as_str()), (None, None, "overlap"), "{guid}");
                skipped += 1;
            }
            ("call", "SUCCEEDED", _) => assert_eq!(hit, Some(200), "{guid}"),
            ("call", "FAILED", "answered 500 Internal Server Error") => assert_eq!(hit, Some(500), "{guid}"),
            ("call", "FAILED", text) if text.starts_with("no answer") => assert_eq!(hit, Some(0), "{guid}"),
            ("call", "FAILED", text) if text.starts_with("interrupted: ") => interrupted += 1,
            // A task that began before its schedule was stopped may have ended before it could be cancelled.
            (_, "FAILED", text) if text.starts_with("cancelled: ") => {
                assert!(hit.is_none() || name != *guid, "{guid}");
                assert_ne!(task, Some("RUNNING"), "{guid}");
                cancelled += 1;
            }
            other => panic!("{guid}: {other:?} task={task:?} hit={hit:?}"),
        }
    }
    check_overlap(database, &tasks);
    // Each fire time of a schedule has one execution, or is counted on one.
    let mut fire_times = 0;
    for (schedule, _) in known.schedules.iter().filter(|(_, owner)| !known.touched.contains(*owner)) {
        fire_times += check_fire_times(database, schedule, known.touched.contains(schedule));
    }
    // The state of a job is that of its latest execution.
    let wrong = "SELECT COUNT(*) FROM executables AS x WHERE x.kind = 'job' AND x.deleted_at IS NULL AND \
     x.state <>
                 COALESCE((SELECT e.state FROM executions AS e WHERE e.executable_id = x.id AND e.state <> 'SKIPPED' ORDER BY e.id DESC LIMIT 1),
                          'PENDING')";
    assert_eq!(database.number(wrong), 0, "jobs with another state than their latest execution");
    // The kept counts are true.
    let wrong = "SELECT COUNT(*) FROM (SELECT owner, owner_id, SUM(size) AS size FROM history_sizes GROUP BY \
     owner, owner_id) AS h
                  WHERE h.size <>
                 (SELECT COUNT(*) FROM executions AS e
                   WHERE CASE h.owner WHEN 'schedule' THEN e.schedule_id ELSE e.executable_id END = h.owner_id)";
    assert_eq!(database.number(wrong), 0, "histories of another size than is counted");
    let wrong = "SELECT COUNT(*) FROM (SELECT kind, space_guid, SUM(size) AS size FROM space_sizes GROUP BY \
     kind, space_guid) AS s
                  WHERE s.size <>
                 (SELECT COUNT(*) FROM executables AS x
                   WHERE x.kind = s.kind AND x.space_guid = s.space_guid AND x.deleted_at IS NULL)";
    assert_eq!(database.number(wrong), 0, "spaces of another size than is counted");
    format!(
        "executions={} tasks={} calls={} fire_times={fire_times} interrupted={interrupted} \
         cancelled={cancelled} skipped={skipped} retried={retried} surplus={surplus} lost=0 doubled=0 \
         stuck=0 overlapped=0",
        rows.len(),
        tasks.len(),
        hits.len()
    )
}

/// If a job allows no overlap, no task began while another one ran. Tasks that belong to no execution do not
/// count, because nobody knew of them.
fn check_overlap(database: &Database, tasks: &[FakeTask]) {
    let own: BTreeMap<String, String> = database
        .rows(
            "SELECT t.task_guid, x.guid
               FROM (SELECT executable_id, task_guid FROM executions
                      UNION ALL
                     SELECT e.executable_id, a.task_guid FROM attempts AS a JOIN executions AS e ON e.id = a.execution_id) AS t
               JOIN executables AS x ON x.id = t.executable_id
              WHERE t.task_guid IS NOT NULL AND x.concurrency_policy <> 'Always'",
        )
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    let mut of_job: BTreeMap<&str, Vec<&FakeTask>> = BTreeMap::new();
    for task in tasks {
        if let Some(job) = own.get(&task.guid) {
            of_job.entry(job).or_default().push(task);
        }
    }
    for (job, mut tasks) in of_job {
        tasks.sort_by_key(|task| task.born);
        for pair in tasks.windows(2) {
            let [earlier, later] = pair else { continue };
            let is_free = later.born.duration_since(earlier.born) >= TASK_TIME || earlier.state == "FAILED";
            assert!(is_free, "tasks of {job} overlap: {earlier:?} {later:?}");
        }
    }
}

/// Returns the number of fire times.
fn check_fire_times(database: &Database, schedule: &str, touched: bool) -> usize {
    let found = database.rows(&format!(
        "SELECT id, expression, created_at, updated_at FROM schedules WHERE guid = '{schedule}'"
    ));
    let Some([id, expression, created_at, updated_at]) = found.first().map(Vec::as_slice) else {
        assert!(touched, "{schedule} is lost");
        return 0;
    };
    let fired = database.rows(&format!(
        "SELECT scheduled_time, note FROM executions WHERE schedule_id = {id} ORDER BY scheduled_time"
    ));
    // Skips that are counted on other executions of the same job or call have no row.
    let mut counted = database.number(&format!(
        "SELECT COALESCE(SUM(e.more_skipped), 0) FROM executions AS e JOIN schedules AS s ON s.executable_id \
         = e.executable_id
          WHERE s.id = {id}"
    ));
    let expression = Expression::parse(expression, &Reading::plain(Dialect::default())).unwrap();
    let seconds = |nanos: &str| nanos.parse::<i64>().unwrap().div_euclid(1_000_000_000);
    let mut time = seconds(created_at);
    for row in &fired {
        let [scheduled_time, note] = row.as_slice() else { panic!("{row:?}") };
        let more = note.strip_prefix("stands for ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        for _ in 0..=more.unwrap_or(0) {
            time = expression.next_after(time).unwrap();
        }
        while counted > 0 && time < seconds(scheduled_time) {
            time = expression.next_after(time).unwrap();
            counted -= 1;
        }
        assert_eq!(seconds(scheduled_time), time, "{schedule} missed a fire time");
    }
    // Up to the instant of the stop, except for a fire time at that very instant.
    let mut next = expression.next_after(time).unwrap();
    while counted > 0 && next + 1 < seconds(updated_at) {
        next = expression.next_after(next).unwrap();
        counted -= 1;
    }
    assert!(
        touched || seconds(updated_at) <= next + 1,
        "{schedule} stopped firing at {time}, and was stopped at {}: {:?} {:?}",
        seconds(updated_at),
        database.rows(&format!("SELECT * FROM schedules WHERE id = {id}")),
        fired.iter().rev().take(5).collect::<Vec<_>>(),
    );
    fired.len()
}

#[test]
fn killed_in_the_middle_of_a_migration_it_starts_again() {
    let directory = tempfile::tempdir().unwrap();
    let cf = FakeCf::start();
    // PostgreSQL's first migration combines SQLite's first ones.
    let passings: &[&str] = if is_postgres() {
        &["migration.applied:1"]
    } else {
        &["migration.applied:1", "migration.applied:2"]
    };
    for passing in passings {
        assert!(
            Program::start(directory.path(), &cf, &[("OCF_CRASH_POINT", *passing)]).is_none(),
            "{passing}"
        );
    }
    let program = Program::start(directory.path(), &cf, &[]).unwrap();
    assert_eq!(ask(&program.url, "", "GET", "/readyz", "").unwrap().0, 200);
}
