//! Several instances on one database, killed, paused and stopped at random while schedules fire and clients
//! work. Each fire time runs once in all, nothing gets stuck, and an instance that returns from a pause
//! overwrites nothing.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use super::crash::{
    Known, Random, Target, busy_cf, check_history, client, inject, number_of, pause, silence_schedules,
};
use super::database::Database;
use super::program::{Program, ask};
use super::world::wait_for;
use ocf_scheduler::base::clock;

/// Longer than a lease, and than others need to notice its end.
const PAUSE: Duration = Duration::from_secs(22);
/// The time in which the work of instances must be settled.
const SETTLE_MAX: Duration = Duration::from_secs(120);

#[needs::postgres]
#[test]
fn an_instance_with_a_name_continues_at_once_after_kill_9_and_a_second_one_repeats_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let cf = busy_cf();
    cf.complete_tasks_after(None);
    let settings = [("INSTANCE_ID", "blue"), ("LATE_TASK_SECONDS", "20")];
    let start = || Program::start(directory.path(), &cf, &settings).unwrap();
    let mut first = start();
    let token = cf.issue_cf_token("dev");
    let made = |program: &Program, path: &str, body: &str| {
        let (status, made) = ask(&program.url, &token, "POST", path, body).unwrap();
        assert_eq!(status, 201);
        made["guid"].as_str().unwrap().to_owned()
    };
    let job = made(&first, "/jobs?app_guid=app-1", r#"{"name":"j","command":"true"}"#);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let body =
        format!(r#"{{"name":"c","url":"http://{}/","auth_header":"x"}}"#, silent.local_addr().unwrap());
    let call = made(&first, "/calls?app_guid=app-1", &body);
    made(&first, &format!("/jobs/{job}/execute"), "");
    made(&first, &format!("/calls/{call}/execute"), "");
    let _never_answered = silent.accept().unwrap();
    let database = Database::of(directory.path(), "s.db");
    let running = "SELECT COUNT(*) FROM executions WHERE state = 'RUNNING' AND owner IS NOT NULL";
    wait_for(|| (database.number(running) == 2).then_some(()));

    first.kill();
    let started = clock::instant();
    let second = start();
    let interrupted =
        "SELECT COUNT(*) FROM executions WHERE state = 'FAILED' AND message LIKE 'interrupted: %'";
    wait_for(|| (database.number(interrupted) == 1).then_some(()));
    let followed =
        "SELECT COUNT(*) FROM executions WHERE kind = 'job' AND owner = (SELECT MAX(id) FROM instances)";
    wait_for(|| (database.number(followed) == 1).then_some(()));
    // Without a name, a takeover takes at least as long as others have to come back.
    assert!(started.elapsed() < Duration::from_secs(9), "{:?}", started.elapsed());

    // Somebody starts another instance under the same name while the first is alive.
    let third = start();
    wait_for(|| (database.number("SELECT COUNT(*) FROM instances") == 2).then_some(()));
    for program in [&second, &third] {
        made(program, &format!("/jobs/{job}/execute"), "");
    }
    cf.complete_tasks_after(Some((Duration::ZERO, "SUCCEEDED", None)));
    let succeeded = "SELECT COUNT(*) FROM executions WHERE kind = 'job' AND state = 'SUCCEEDED'";
    wait_for(|| (database.number(succeeded) == 3).then_some(()));
    assert_eq!(cf.tasks().len(), 3, "each ran once");
    let leases = || database.rows("SELECT id, COALESCE(name, '-') FROM instances ORDER BY id");
    let before = leases();
    assert_eq!(before.iter().map(|it| it[1].as_str()).collect::<Vec<_>>(), ["blue", "-"]);
    // Longer than the interval between renewals.
    pause(5000);
    assert_eq!(leases(), before, "neither takes anything from the other any more");
}

#[needs::postgres]
#[test]
fn a_call_of_one_instance_can_be_cancelled_through_another() {
    let directory = tempfile::tempdir().unwrap();
    let cf = busy_cf();
    let first = Program::start(directory.path(), &cf, &[]).unwrap();
    let token = cf.issue_cf_token("dev");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let body = format!(r#"{{"name":"c","url":"http://{}/","auth_header":""}}"#, silent.local_addr().unwrap());
    let made =
        |path: &str, body: &str| ask(&first.url, &token, "POST", path, body).unwrap().1["guid"].clone();
    let call = made("/calls?app_guid=app-1", &body);
    let execution = made(&format!("/calls/{}/execute", call.as_str().unwrap()), "");
    let (mut connection, _) = silent.accept().unwrap();

    let second = Program::start(directory.path(), &cf, &[]).unwrap();
    let path = format!("/executions/{}", execution.as_str().unwrap());
    assert_eq!(ask(&second.url, &token, "POST", &format!("{path}/cancel"), "").unwrap().0, 202);
    let ended = wait_for(|| {
        let (_, shown) = ask(&first.url, &token, "GET", &path, "").unwrap();
        (shown["state"] == "FAILED").then_some(shown)
    });
    assert_eq!(
        (ended["reason"].as_str(), ended["message"].as_str()),
        (Some("cancelled"), Some("cancelled by dev@example.com"))
    );
    std::io::copy(&mut connection, &mut std::io::sink()).unwrap();
}

struct Instance {
    program: Program,
    /// Stops its clients.
    over: Arc<AtomicBool>,
    /// When it continues; `None`: it is not paused.
    paused_until: Option<Instant>,
}

/// `CLUSTER_SECONDS=300 CLUSTER_SEED=7 cargo test --test it instances_that -- --nocapture` is the long
/// version.
#[needs::postgres]
#[test]
#[expect(clippy::print_stdout, reason = "the long version tells what it went through")]
fn instances_that_are_killed_and_paused_lose_nothing_and_do_nothing_twice() {
    let (seconds, seed) = (number_of("CLUSTER_SECONDS", 45), number_of("CLUSTER_SEED", 1));
    let mut random = Random::seeded(seed);
    let directory = tempfile::tempdir().unwrap();
    let cf = busy_cf();
    let target = Target::start(seed);
    let known = Mutex::new(Known::default());
    let (mut kills, mut pauses, mut stops, mut faults) = (0, 0, 0, 0);
    // A pause may interrupt an attempt, which continues afterwards. So it takes longer until "not found" is
    // conclusive.
    let settings = [("DATABASE_CONNECTIONS", "6"), ("LATE_TASK_SECONDS", "45")];
    let start = || Program::start(directory.path(), &cf, &settings).unwrap();

    let instances = thread::scope(|scope| {
        let (known, target) = (&known, &target);
        let mut begin = |number: u64| {
            let program = start();
            let over = Arc::new(AtomicBool::new(false));
            let token = cf.issue_cf_token("dev");
            let (url, is_over) = (program.url.clone(), Arc::clone(&over));
            let random = Random::seeded(seed ^ (number + 1));
            scope.spawn(move || client(&url, &token, &target.url, known, random, &is_over));
            Instance { program, over, paused_until: None }
        };
        let mut instances: Vec<Instance> = (0..3).map(&mut begin).collect();
        let until = clock::instant() + Duration::from_secs(seconds);
        let mut round = 3;
        while clock::instant() < until {
            pause(500 + random.below(2500));
            round += 1;
            for instance in &mut instances {
                instance.paused_until = instance.paused_until.filter(|until| clock::instant() < *until);
            }
            faults += inject(&cf, &mut random);
            let is_anybody_paused = instances.iter().any(|instance| instance.paused_until.is_some());
            let chosen = usize::try_from(random.below(3)).unwrap();
            let instance = &mut instances[chosen];
            match random.below(4) {
                0 | 1 if !is_anybody_paused => {
                    let pid = instance.program.pid();
                    kill_process(pid, Signal::STOP).unwrap();
                    // In a separate thread, so that nothing here delays it.
                    scope.spawn(move || {
                        pause(PAUSE.as_millis().try_into().unwrap());
                        kill_process(pid, Signal::CONT).unwrap();
                    });
                    instance.paused_until = Some(clock::instant() + PAUSE + Duration::from_millis(500));
                    pauses += 1;
                }
                2 if instance.paused_until.is_none() => {
                    instance.over.store(true, Ordering::SeqCst);
                    instance.program.kill();
                    *instance = begin(round);
                    kills += 1;
                }
                3 if instance.paused_until.is_none() => {
                    instance.over.store(true, Ordering::SeqCst);
                    assert_eq!(instance.program.terminate(), Some(0));
                    *instance = begin(round);
                    stops += 1;
                }
                _ => {}
            }
        }
        for instance in &mut instances {
            instance.over.store(true, Ordering::SeqCst);
        }
        instances
    });

    cf.clear_faults();
    let token = cf.issue_cf_token("dev");
    let url = &instances[0].program.url;
    let known = known.into_inner().unwrap();
    // Each schedule keeps firing until it is stopped.
    pause(3000);
    let database = Database::of(directory.path(), "s.db");
    for (schedule, owner) in &known.schedules {
        let path = format!("/{}/{owner}/schedules/{schedule}", known.made[owner]);
        ask(url, &token, "PATCH", &path, r#"{"enabled":false}"#).unwrap();
    }
    // Also the schedules whose creation was not answered.
    silence_schedules(&database);
    let left =
        "SELECT (SELECT COUNT(*) FROM executions WHERE end_time IS NULL) + (SELECT COUNT(*) FROM strays)";
    let deadline = clock::instant() + SETTLE_MAX;
    while database.number(left) > 0 {
        assert!(
            clock::instant() < deadline,
            "stuck: {:?} {:?}",
            database.rows(
                "SELECT id, kind, state, owner, attempts, message FROM executions WHERE end_time \
             IS NULL LIMIT 5"
            ),
            database.rows("SELECT id, lease_until - now_nanos() FROM instances")
        );
        pause(200);
    }
    let figures = check_history(&database, &known, &cf, &target);
    println!(
        "seed={seed} seconds={seconds} kills={kills} pauses={pauses} stops={stops} cf_faults={faults} \
         requests={} {figures}",
        known.requests
    );
}
