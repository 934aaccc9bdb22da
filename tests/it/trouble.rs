//! Trouble with Cloud Foundry and UAA, with the real program: requests succeed in the end or fail with the
//! cause, and everything else continues.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::cf::fake_cf::{ALWAYS, FakeCf, FakeTask, Fault};
use super::database::{Database, is_postgres};
use super::program::{Program, ask};
use super::world::wait_for;

const CREATE: &str = "POST /v3/apps/:guid/tasks";

/// The program with a Cloud Foundry that fails on demand.
struct Troubled {
    cf: FakeCf,
    token: String,
    program: Program,
    directory: TempDir,
}

impl Troubled {
    fn start(variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cf = FakeCf::start();
        for app in ["app-1", "app-2"] {
            cf.add_app(app, "space-1");
        }
        cf.add_role("dev", "space-1");
        cf.complete_tasks_after(Some((Duration::ZERO, "SUCCEEDED", None)));
        let token = cf.issue_cf_token("dev");
        let program = Program::start(directory.path(), &cf, variables).unwrap();
        Self { cf, token, program, directory }
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        ask(&self.program.url, &self.token, method, path, body).unwrap()
    }

    #[track_caller]
    fn job(&self, name: &str) -> String {
        let (status, job) =
            self.ask("POST", "/jobs?app_guid=app-1", &format!(r#"{{"name":"{name}","command":"true"}}"#));
        assert_eq!(status, 201);
        format!("/jobs/{}", job["guid"].as_str().unwrap())
    }

    /// A call to a server that answers everything with 204.
    #[track_caller]
    fn call(&self, name: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
            }
        });
        let body = format!(r#"{{"name":"{name}","url":"{url}","auth_header":"x"}}"#);
        let (status, call) = self.ask("POST", "/calls?app_guid=app-1", &body);
        assert_eq!(status, 201);
        format!("/calls/{}", call["guid"].as_str().unwrap())
    }

    #[track_caller]
    fn execute(&self, of: &str) {
        assert_eq!(self.ask("POST", &format!("{of}/execute"), "").0, 201);
    }

    fn newest(&self, of: &str) -> Value {
        self.ask("GET", &format!("{of}/history"), "").1["resources"][0].clone()
    }

    #[track_caller]
    fn ended(&self, of: &str) -> Value {
        wait_for(|| {
            let newest = self.newest(of);
            matches!(newest["state"].as_str(), Some("SUCCEEDED" | "FAILED")).then_some(newest)
        })
    }
}

#[test]
fn whatever_fails_once_each_job_has_one_task_in_the_end() {
    let world = Troubled::start(&[]);
    let faults = [
        Fault::status(500, None),
        Fault::html(502),
        Fault::status(503, None),
        Fault::status(504, None),
        Fault::status(429, Some(("Retry-After", "1"))),
        Fault::html(200),
        Fault::html(404),
        Fault::DropBefore,
        Fault::DropAfter,
        Fault::CommitLate(Duration::from_millis(1500)),
        Fault::cf_error(401, 1000, "CF-InvalidAuthToken", "Invalid Auth Token"),
    ];
    let jobs: Vec<String> = (0..faults.len()).map(|number| world.job(&format!("j{number}"))).collect();
    for fault in faults {
        world.cf.fault(CREATE, fault, 1);
    }
    // The first lookup of the outcome fails as well.
    world.cf.fault("GET /v3/tasks", Fault::DropBefore, 3);
    for job in &jobs {
        world.execute(job);
    }
    for job in &jobs {
        let ended = world.ended(job);
        assert_eq!((ended["state"].as_str(), ended["message"].as_str()), (Some("SUCCEEDED"), Some("")));
    }
    let mut names: Vec<String> = world.cf.tasks().into_iter().map(|task| task.name).collect();
    names.sort();
    names.dedup();
    assert_eq!((names.len(), world.cf.tasks().len()), (jobs.len(), jobs.len()));
}

#[test]
fn a_task_that_never_ran_does_not_count_and_is_retried_under_another_name() {
    let world = Troubled::start(&[]);
    let job = world.job("patient");
    world.cf.take_diego_away(true);
    world.execute(&job);
    wait_for(|| (2 <= world.cf.tasks().len()).then_some(()));
    assert_eq!(world.newest(&job)["state"], "PENDING");
    world.cf.take_diego_away(false);
    let ended = world.ended(&job);
    assert_eq!((ended["state"].as_str(), ended["message"].as_str()), (Some("SUCCEEDED"), Some("")));
    let execution = ended["guid"].as_str().unwrap();
    let mut names: Vec<String> = world.cf.tasks().into_iter().map(|task| task.name).collect();
    assert!(names.iter().all(|name| name.starts_with(execution)), "{names:?}");
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "each attempt has a name of its own");
    assert!(ended["execution_start_time"].as_str() <= ended["execution_end_time"].as_str(), "{ended}");
    let ran = world.cf.tasks().into_iter().filter(|task| task.state == "SUCCEEDED").count();
    assert_eq!(ran, 1);
}

#[test]
fn a_task_that_was_accepted_and_never_ran_is_retried_under_another_name_for_a_bounded_time() {
    let world = Troubled::start(&[("RETRY_SECONDS", "4"), ("TASK_NAME", "{job}-|-{execution}")]);
    world.cf.complete_tasks_after(None);
    let never_ran = "Unable to request task to be run";
    let job = world.job("patient");
    world.execute(&job);
    let first = wait_for(|| {
        let newest = world.newest(&job);
        (newest["state"] == "RUNNING").then(|| newest["task_guid"].as_str().unwrap().to_owned())
    });
    world.cf.set_task_state(&first, "FAILED", Some(never_ran));
    wait_for(|| (world.cf.tasks().len() == 2).then_some(()));
    world.cf.complete_tasks_after(Some((Duration::ZERO, "SUCCEEDED", None)));
    let ended = world.ended(&job);
    assert_eq!((ended["state"].as_str(), ended["message"].as_str()), (Some("SUCCEEDED"), Some("")));
    let name = format!("patient-|-{}", ended["guid"].as_str().unwrap());
    let names: Vec<String> = world.cf.tasks().into_iter().map(|task| task.name).collect();
    assert_eq!(names, [name.clone(), format!("{name}-2")]);
    assert_ne!(ended["task_guid"], first.as_str());

    world.cf.complete_tasks_after(Some((Duration::ZERO, "FAILED", Some(never_ran))));
    world.execute(&job);
    let ended = wait_for(|| Some(world.newest(&job)).filter(|it| it["state"] == "FAILED"));
    assert_eq!(ended["message"], never_ran, "after RETRY_SECONDS");
    assert!(4 <= world.cf.tasks().len(), "it was tried again");
}

#[test]
fn a_task_that_never_ran_says_nothing_about_a_later_attempt_whose_answer_was_lost() {
    let world = Troubled::start(&[("LATE_TASK_SECONDS", "10")]);
    let job = world.job("j");
    world.cf.take_diego_away(true);
    world.execute(&job);
    wait_for(|| (!world.cf.tasks().is_empty()).then_some(()));
    world.cf.fault(CREATE, Fault::CommitLate(Duration::from_secs(4)), 1);
    world.cf.take_diego_away(false);
    assert_eq!(world.ended(&job)["state"], "SUCCEEDED");
    // By now a late task would exist too.
    let _ = crossbeam_channel::after(Duration::from_secs(4)).recv();
    let ran = world.cf.tasks().into_iter().filter(|task| task.state == "SUCCEEDED").count();
    assert_eq!(ran, 1);
}

#[test]
fn a_task_is_found_under_its_name_although_its_job_and_the_setting_have_changed() {
    let mut world = Troubled::start(&[("TASK_NAME", "{job}-|-{execution}"), ("LATE_TASK_SECONDS", "6")]);
    let name = "Ночь 50%, 日本 & \u{1f980} ".repeat(12);
    let job = world.job(name.trim());
    // The task appears after a lookup that finds none.
    world.cf.fault(CREATE, Fault::CommitLate(Duration::from_secs(3)), 1);
    world.execute(&job);
    wait_for(|| (1 <= world.cf.count(CREATE)).then_some(()));
    assert_eq!(world.ask("PATCH", &job, r#"{"name":"renamed"}"#).0, 200);
    world.program.kill();
    world.program = Program::start(world.directory.path(), &world.cf, &[("LATE_TASK_SECONDS", "6")]).unwrap();
    let ended = world.ended(&job);
    assert_eq!((ended["state"].as_str(), ended["message"].as_str()), (Some("SUCCEEDED"), Some("")));
    let tasks = world.cf.tasks();
    assert_eq!(tasks.len(), 1, "no second one was made: {tasks:?}");
    let guid = ended["guid"].as_str().unwrap();
    assert!(tasks[0].name.starts_with("Ночь 50__ 日本 & \u{1f980}"), "{}", tasks[0].name);
    assert!(tasks[0].name.ends_with(&format!("-|-{guid}")), "{}", tasks[0].name);
    // The next one is named by the current setting.
    world.execute(&job);
    wait_for(|| world.cf.tasks().iter().any(|task| task.name.len() == 36).then_some(()));
}

#[test]
fn a_cancelled_execution_with_unknown_outcome_is_looked_up_by_all_its_task_names() {
    let world = Troubled::start(&[("LATE_TASK_SECONDS", "20"), ("TASK_NAME", "{job}-|-{execution}")]);
    world.cf.complete_tasks_after(None);
    let job = world.job("j");
    world.cf.take_diego_away(true);
    let body = r#"{"enabled":true,"expression":"@every 1s","expression_type":"cron_expression"}"#;
    let (_, schedule) = world.ask("POST", &format!("{job}/schedules"), body);
    let schedule = format!("{job}/schedules/{}", schedule["guid"].as_str().unwrap());
    wait_for(|| (!world.cf.tasks().is_empty()).then_some(()));
    world.cf.fault(CREATE, Fault::CommitLate(Duration::from_secs(4)), ALWAYS);
    world.cf.take_diego_away(false);
    let database = Database::of(world.directory.path(), "s.db");
    // The latest attempt's outcome stays unknown beyond the next lookup.
    let again = "SELECT guid FROM executions
                  WHERE attempts > 1 AND dispatch_time < doubt_until AND message LIKE 'waiting for another attempt%'";
    let in_doubt = wait_for(|| database.rows(again).pop()).remove(0);
    assert_eq!(world.ask("DELETE", &schedule, "").0, 204);
    wait_for(|| {
        let tasks = world.cf.tasks();
        let name = format!("j-|-{in_doubt}-");
        let cancelled = |task: &&FakeTask| task.failure_reason.as_deref() == Some("task was cancelled");
        tasks.iter().filter(|task| task.name.starts_with(&name)).find(cancelled).map(|_| ())
    });
}

#[test]
fn a_cloud_foundry_that_stays_down_fails_jobs_with_the_cause_after_a_bounded_time() {
    let world = Troubled::start(&[("RETRY_SECONDS", "2")]);
    let (certain, doubtful) = (world.job("certain"), world.job("doubtful"));
    world.cf.fault(CREATE, Fault::status(429, None), ALWAYS);
    world.execute(&certain);
    let ended = world.ended(&certain);
    assert_eq!(ended["state"], "FAILED");
    let message = ended["message"].as_str().unwrap();
    assert!(message.starts_with("given up after 2 s: Cloud Foundry answered 429"), "{message}");
    assert!(!message.contains("unknown"), "{message}");

    world.cf.clear_faults();
    world.cf.fault(CREATE, Fault::DropBefore, ALWAYS);
    world.cf.fault("GET /v3/tasks", Fault::status(503, None), ALWAYS);
    world.execute(&doubtful);
    let ended = world.ended(&doubtful);
    let message = ended["message"].as_str().unwrap();
    assert!(message.ends_with("; whether a task was created is unknown"), "{message}");
}

#[test]
fn a_cloud_foundry_that_hangs_delays_neither_calls_nor_requests() {
    let world = Troubled::start(&[]);
    let (job, call) = (world.job("j"), world.call("c"));
    world.cf.fault(CREATE, Fault::Endless { status: 201 }, ALWAYS);
    world.cf.fault("GET /v3/tasks", Fault::Endless { status: 200 }, ALWAYS);
    // More than there are starters and workers.
    for _ in 0..60 {
        world.execute(&job);
    }
    // Three quarters of the starters.
    let share = if is_postgres() { 24 } else { 12 };
    wait_for(|| (world.cf.count(CREATE) >= share).then_some(()));
    world.execute(&call);
    assert_eq!(world.ended(&call)["state"], "SUCCEEDED");
    assert_eq!(world.newest(&job)["state"], "PENDING", "while those hang");
    assert_eq!(world.cf.count(CREATE), share, "an app takes its share of the threads, no more");
}

#[test]
fn a_uaa_that_hangs_delays_nobody_with_cached_answers() {
    let mut world = Troubled::start(&[("HTTP_THREADS", "4")]);
    let job = world.job("j");
    let (program, hanging) = (world.program.url.clone(), AtomicUsize::new(0));
    world.cf.fault("GET /userinfo", Fault::Endless { status: 200 }, ALWAYS);
    let refused = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            let stranger = world.cf.issue_cf_token("dev");
            let (url, refused, hanging) = (&program, &refused, &hanging);
            scope.spawn(move || match ask(url, &stranger, "GET", "/jobs?space_guid=space-1", "") {
                Some((503, _)) => refused.fetch_add(1, Ordering::SeqCst),
                Some((status, _)) => panic!("{status}"),
                None => hanging.fetch_add(1, Ordering::SeqCst),
            });
        }
        wait_for(|| (refused.load(Ordering::SeqCst) == 5).then_some(()));
        for _ in 0..20 {
            assert_eq!(world.ask("GET", &job, "").0, 200);
        }
        // Ends the hanging requests, which would otherwise take until their time-out.
        world.program.kill();
    });
    assert_eq!(hanging.load(Ordering::SeqCst), 3);
}

#[test]
fn a_token_that_expires_in_mid_flight_is_replaced() {
    let world = Troubled::start(&[]);
    let job = world.job("j");
    world.execute(&job);
    assert_eq!(world.ended(&job)["state"], "SUCCEEDED");
    world.cf.expire_service_tokens();
    world.execute(&job);
    wait_for(|| (world.cf.tasks().len() == 2).then_some(()));
    assert_eq!(world.ended(&job)["state"], "SUCCEEDED");
    assert_eq!(world.cf.count("POST /oauth/token"), 2);
}

#[needs::postgres]
#[test]
fn the_outcome_is_unknown_from_the_attempt_on_and_not_while_waiting_for_the_database() {
    let world = Troubled::start(&[("LATE_TASK_SECONDS", "2")]);
    let job = world.job("a");
    let database = Database::of(world.directory.path(), "s.db");
    database.execute(
        "CREATE SEQUENCE refusals;
         CREATE FUNCTION is_full() RETURNS TRIGGER LANGUAGE plpgsql AS
            $$ BEGIN PERFORM nextval('refusals'); RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END $$;
         CREATE TRIGGER is_full BEFORE UPDATE OF attempts ON executions EXECUTE FUNCTION is_full()",
    );
    world.cf.fault(CREATE, Fault::Delay(Duration::from_secs(3)), ALWAYS);
    world.execute(&job);
    // One a second, so "not found" is conclusive for the first.
    wait_for(|| (database.number("SELECT last_value FROM refusals") >= 4).then_some(()));
    let before = database.number("SELECT now_nanos()");
    database.execute("DROP TRIGGER is_full ON executions");
    let doubt = "SELECT doubt_until FROM executions WHERE attempts = 1 AND doubt_until IS NOT NULL";
    let doubt = wait_for(|| database.rows(doubt).pop());
    assert!(before + 1_500_000_000 < doubt[0].parse().unwrap(), "{before} {doubt:?}");
}

#[test]
fn a_cancelled_execution_with_unknown_outcome_ends_at_once_and_a_late_task_is_cancelled() {
    let world = Troubled::start(&[("LATE_TASK_SECONDS", "20")]);
    world.cf.complete_tasks_after(None);
    let job = world.job("j");
    world.cf.fault(CREATE, Fault::CommitLate(Duration::from_secs(3)), 1);
    let body = r#"{"enabled":true,"expression":"@every 1s","expression_type":"cron_expression"}"#;
    let (_, schedule) = world.ask("POST", &format!("{job}/schedules"), body);
    let schedule = format!("{job}/schedules/{}", schedule["guid"].as_str().unwrap());
    let in_doubt = wait_for(|| {
        let newest = world.newest(&job);
        let asked = newest["message"].as_str().is_some_and(|text| text.starts_with("waiting for another"));
        asked.then(|| newest["guid"].as_str().unwrap().to_owned())
    });
    assert_eq!(world.ask("DELETE", &schedule, "").0, 204);
    let history = world.ask("GET", &format!("{job}/history"), "").1;
    let of_doubt = |history: &Value| {
        let all = history["resources"].as_array().unwrap().clone();
        all.into_iter().find(|it| it["guid"] == in_doubt.as_str()).unwrap()
    };
    let ended = of_doubt(&history);
    assert_eq!(
        (ended["state"].as_str(), ended["message"].as_str()),
        (Some("FAILED"), Some("cancelled: schedule deleted"))
    );
    wait_for(|| {
        let tasks = world.cf.tasks();
        let late = tasks.iter().find(|task| task.name == in_doubt)?;
        (late.state == "FAILED").then_some(())
    });
}

#[test]
fn ends_that_the_database_rejects_leave_no_other_call_running() {
    const CALLS: usize = 10;
    let world = Troubled::start(&[]);
    let database = Database::of(world.directory.path(), "s.db");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let body = format!(r#"{{"name":"c","url":"{url}","auth_header":"x"}}"#);
    let (_, call) = world.ask("POST", "/calls?app_guid=app-1", &body);
    let call = format!("/calls/{}", call["guid"].as_str().unwrap());
    let guids: Vec<String> = (0..CALLS)
        .map(|_| world.ask("POST", &format!("{call}/execute"), "").1["guid"].as_str().unwrap().to_owned())
        .collect();
    let in_flight: Vec<TcpStream> = listener.incoming().take(CALLS).map(Result::unwrap).collect();

    // Two of them, because the first end may be recorded alone.
    let refused = format!("NEW.state = 'SUCCEEDED' AND NEW.guid IN ('{}', '{}')", guids[3], guids[7]);
    if is_postgres() {
        database.execute(&format!(
            "CREATE FUNCTION refuse() RETURNS TRIGGER LANGUAGE plpgsql AS
                 $$ BEGIN IF {refused} THEN RAISE 'refused'; END IF; RETURN NEW; END $$;
             CREATE TRIGGER refuse BEFORE UPDATE ON executions FOR EACH ROW EXECUTE FUNCTION refuse()"
        ));
    } else {
        database.execute(&format!(
            "CREATE TRIGGER refuse BEFORE UPDATE ON executions WHEN {refused}
             BEGIN SELECT RAISE(ABORT, 'refused'); END"
        ));
    }
    // All ends arrive while none can be recorded, so they are recorded together.
    let lock = database.lock_executions();
    for mut stream in in_flight {
        stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
    }
    let _ = crossbeam_channel::after(Duration::from_secs(1)).recv();
    drop(lock);

    wait_for(|| {
        let succeeded = database.number("SELECT COUNT(*) FROM executions WHERE state = 'SUCCEEDED'");
        (succeeded == CALLS as i64 - 2).then_some(())
    });
    let running = database.rows("SELECT guid FROM executions WHERE state = 'RUNNING' ORDER BY id");
    assert_eq!(running, [[guids[3].clone()], [guids[7].clone()]]);
}

#[test]
fn a_panic_over_an_execution_fails_it_and_the_thread_survives() {
    for (place, says) in [
        ("call.started:1:panic", "a fault of the scheduler: the worker panicked"),
        ("task.following:1:panic", "a fault of the scheduler: the watcher panicked"),
    ] {
        let world = Troubled::start(&[("OCF_CRASH_POINT", place), ("WORKER_NUM", "1")]);
        let of = if place.starts_with("call") { world.call("c") } else { world.job("j") };
        world.execute(&of);
        let ended = world.ended(&of);
        assert_eq!((ended["state"].as_str(), ended["message"].as_str()), (Some("FAILED"), Some(says)));
        world.execute(&of);
        wait_for(|| (world.newest(&of)["state"] == "SUCCEEDED").then_some(()));
    }
}

#[test]
fn a_panic_of_the_scheduler_loses_nothing_and_one_over_a_schedule_stops_that_alone() {
    let body = r#"{"enabled":true,"expression":"@every 1s","expression_type":"cron_expression"}"#;
    for place in ["claim.committed:1:panic", "schedule.planning:1:panic"] {
        let world = Troubled::start(&[("OCF_CRASH_POINT", place)]);
        let (first, second) = (world.call("first"), world.call("second"));
        world.ask("POST", &format!("{first}/schedules"), body);
        if place.starts_with("schedule") {
            // When the second schedule exists, the first has fired, and so panicked.
            wait_for(|| {
                world.ask("POST", &format!("{second}/schedules"), body);
                (world.newest(&second)["state"] == "SUCCEEDED").then_some(())
            });
            assert_eq!(world.newest(&first), Value::Null);
        } else {
            wait_for(|| (world.newest(&first)["state"] == "SUCCEEDED").then_some(()));
        }
    }
}

#[test]
fn a_stop_gives_calls_in_flight_their_time_and_then_records_their_outcome() {
    let mut world = Troubled::start(&[("STOP_SECONDS", "1")]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let body =
        format!(r#"{{"name":"c","url":"http://{}/","auth_header":"x"}}"#, listener.local_addr().unwrap());
    let (_, call) = world.ask("POST", "/calls?app_guid=app-1", &body);
    world.execute(&format!("/calls/{}", call["guid"].as_str().unwrap()));
    let _never_answered = listener.accept().unwrap();
    assert_eq!(world.program.terminate(), Some(0));
    let ended = Database::of(world.directory.path(), "s.db").rows("SELECT state, message FROM executions");
    assert_eq!(ended, [["FAILED", "interrupted: service stopped"]]);
}
