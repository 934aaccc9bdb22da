//! The control of runs, from outside: cancellation, time-outs, overlap and retries.

use std::io::Read;
use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use super::calls::Target;
use super::cf::fake_cf::{FakeTask, Fault};
use super::world::{APP, Answer, World, wait_for};

const TASKS: &str = "POST /v3/apps/:guid/tasks";
const CANCEL: &str = "POST /v3/tasks/:guid/actions/cancel";
const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// A job or call with these fields.
#[track_caller]
fn create(world: &World, kind: &str, fields: &Value) -> String {
    let mut body = json!({"name": uuid::Uuid::new_v4().to_string()});
    let own = match kind {
        "jobs" => json!({"command": "true"}),
        _ => json!({"auth_header": ""}),
    };
    for fields in [&own, fields] {
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    }
    let answer = world.post(&format!("/{kind}?app_guid={APP}"), &body.to_string());
    assert_eq!(answer.status, 201, "{}", answer.body);
    format!("/{kind}/{}", answer.guid())
}

#[track_caller]
fn execute(world: &World, path: &str) -> Value {
    let answer = world.post(&format!("{path}/execute"), "");
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()
}

fn guid(execution: &Value) -> &str {
    execution["guid"].as_str().unwrap()
}

fn look(world: &World, execution: &Value) -> Value {
    world.get(&format!("/executions/{}", guid(execution))).json()
}

fn cancel(world: &World, execution: &Value) -> Answer {
    world.post(&format!("/executions/{}/cancel", guid(execution)), "")
}

/// Waits until the execution is in this state, and returns it.
#[track_caller]
fn in_state(world: &World, execution: &Value, state: &str) -> Value {
    let mut last = Value::Null;
    for _ in 0..600 {
        last = look(world, execution);
        if last["state"] == state {
            return last;
        }
        let _ = crossbeam_channel::after(Duration::from_millis(25)).recv();
    }
    panic!("never {state}: {last}");
}

#[track_caller]
fn told(execution: &Value, state: &str, reason: &str, message: &str) {
    assert_eq!(execution["state"], state, "{execution}");
    assert_eq!(execution["reason"], reason, "{execution}");
    assert!(execution["message"].as_str().unwrap().contains(message), "{execution}");
}

fn url_of(target: &Target) -> String {
    format!("http://127.0.0.1:{}/", target.port)
}

fn tasks_of(world: &World, execution: &Value) -> Vec<FakeTask> {
    world.cf.tasks().into_iter().filter(|task| task.name.starts_with(guid(execution))).collect()
}

#[test]
fn a_pending_execution_is_cancelled_at_once_and_its_task_if_it_turns_up() {
    let world = World::start();
    world.cf.fault(TASKS, Fault::DropAfter, 1);
    world.cf.fault("GET /v3/tasks", Fault::status(503, None), 1000);
    let job = create(&world, "jobs", &json!({}));
    let execution = execute(&world, &job);
    wait_for(|| tasks_of(&world, &execution).pop());
    let cancelled = cancel(&world, &execution);
    assert_eq!(cancelled.status, 202, "{}", cancelled.body);
    told(&cancelled.json(), "FAILED", "cancelled", "cancelled by dev@example.com");
    assert_ne!(cancelled.json()["cancel_requested_at"], Value::Null);
    assert_eq!(cancel(&world, &execution).status, 202);
    assert_eq!(world.get(&job).json()["state"], "FAILED");
    world.cf.clear_faults();
    wait_for(|| tasks_of(&world, &execution).into_iter().find(|task| task.state == "FAILED"));
    assert_eq!(tasks_of(&world, &execution).len(), 1);
}

#[test]
fn a_running_task_is_cancelled_once_the_platform_accepts_even_after_a_restart() {
    let mut world = World::start();
    let job = create(&world, "jobs", &json!({}));
    let execution = execute(&world, &job);
    in_state(&world, &execution, "RUNNING");
    world.cf.fault(CANCEL, Fault::status(503, None), 1000);
    let asked = cancel(&world, &execution);
    assert_eq!((asked.status, asked.json()["state"].as_str()), (202, Some("RUNNING")));
    assert_ne!(asked.json()["cancel_requested_at"], Value::Null);
    wait_for(|| (world.cf.count(CANCEL) > 1).then_some(()));
    world.restart();
    assert_eq!(look(&world, &execution)["state"], "RUNNING");
    world.cf.clear_faults();
    told(&in_state(&world, &execution, "FAILED"), "FAILED", "cancelled", "cancelled by dev@example.com");
    assert_eq!(tasks_of(&world, &execution)[0].state, "FAILED");
    assert_eq!(cancel(&world, &execution).status, 202);
}

#[test]
fn the_platforms_outcome_counts_and_an_ended_execution_cannot_be_cancelled() {
    let world = World::start();
    let job = create(&world, "jobs", &json!({}));
    let execution = execute(&world, &job);
    in_state(&world, &execution, "RUNNING");
    world.cf.fault(CANCEL, Fault::status(503, None), 1000);
    assert_eq!(cancel(&world, &execution).status, 202);
    world.cf.set_task_state(&tasks_of(&world, &execution)[0].guid, "SUCCEEDED", None);
    let ended = in_state(&world, &execution, "SUCCEEDED");
    assert_eq!((&ended["reason"], &ended["message"]), (&Value::Null, &json!("the cancel came too late")));
    let other = execute(&world, &job);
    in_state(&world, &other, "RUNNING");
    world.cf.set_task_state(&tasks_of(&world, &other)[0].guid, "SUCCEEDED", None);
    in_state(&world, &other, "SUCCEEDED");
    assert_eq!(cancel(&world, &other).status, 422);
    let stranger = world.cf.issue_cf_token("stranger");
    let path = format!("/executions/{}/cancel", guid(&other));
    assert_eq!(world.request("POST", &path, Some(&stranger), &[], "").status, 404);
}

#[test]
fn the_connection_of_a_cancelled_call_is_closed() {
    let world = World::start();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let call = create(&world, "calls", &json!({"url": url, "retry": {"max_retries": 3}}));
    let execution = execute(&world, &call);
    let (mut connection, _) = silent.accept().unwrap();
    assert_eq!(cancel(&world, &execution).status, 202);
    told(&in_state(&world, &execution, "FAILED"), "FAILED", "cancelled", "cancelled by dev@example.com");
    let mut rest = Vec::new();
    connection.read_to_end(&mut rest).unwrap();
}

#[test]
fn a_task_beyond_its_time_limit_is_cancelled() {
    let world = World::start();
    let job = create(&world, "jobs", &json!({"timeout_seconds": 1}));
    let execution = execute(&world, &job);
    told(&in_state(&world, &execution, "FAILED"), "FAILED", "timeout", "after 1 s");
    assert_eq!(tasks_of(&world, &execution)[0].state, "FAILED");
}

#[test]
fn an_attempt_beyond_its_time_limit_is_retried() {
    let world = World::start();
    let retry = json!({"max_retries": 1, "backoff_seconds": 1});
    let job = create(&world, "jobs", &json!({"timeout_seconds": 1, "retry": retry}));
    let execution = execute(&world, &job);
    let ended = in_state(&world, &execution, "FAILED");
    told(&ended, "FAILED", "timeout", "after 1 s");
    assert_eq!(ended["attempts"], 2);
    assert!(ended["attempt_history"][0]["message"].as_str().unwrap().contains("after 1 s"), "{ended}");
    assert_eq!(tasks_of(&world, &execution).len(), 2);
}

#[test]
fn a_failed_call_is_retried_and_carries_the_number_of_its_attempt() {
    let world = World::start();
    let target = Target::answering(&[BUSY, GOOD]);
    let retry = json!({"max_retries": 2, "backoff_seconds": 1});
    let call = create(&world, "calls", &json!({"url": url_of(&target), "retry": retry}));
    let execution = execute(&world, &call);
    let is_between =
        |it: &Value| it["message"].as_str().is_some_and(|message| message.contains("attempt 1 of 3"));
    let waiting = wait_for(|| Some(look(&world, &execution)).filter(is_between));
    assert_eq!((&waiting["state"], &waiting["attempts"]), (&json!("PENDING"), &json!(1)));
    let ended = in_state(&world, &execution, "SUCCEEDED");
    let history = ended["attempt_history"].as_array().unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(
        (&history[0]["number"], &history[0]["message"]),
        (&json!(1), &json!("answered 503 Service Unavailable"))
    );
    assert_eq!(ended["execution_start_time"], history[0]["start_time"]);
    let requests = target.requests();
    for (attempt, request) in ["1", "2"].iter().zip(&requests) {
        assert!(request.to_lowercase().contains(&format!("x-scheduler-attempt: {attempt}\r\n")), "{request}");
        assert!(request.contains(guid(&execution)));
    }
    let history = world.get(&format!("{call}/history")).json();
    assert_eq!(history["pagination"]["total_results"], 1);
}

#[test]
fn a_failed_task_is_retried_under_its_own_name_up_to_the_maximum() {
    let world = World::start();
    world.cf.complete_tasks_after(Some((Duration::ZERO, "FAILED", Some("exit 1"))));
    let job = create(&world, "jobs", &json!({"retry": {"max_retries": 1, "backoff_seconds": 1}}));
    let execution = execute(&world, &job);
    let ended = in_state(&world, &execution, "FAILED");
    told(&ended, "FAILED", "task_failed", "exit 1");
    let mut names: Vec<String> = tasks_of(&world, &execution).into_iter().map(|task| task.name).collect();
    names.sort();
    assert_eq!(names, [guid(&execution).to_owned(), format!("{}.2", guid(&execution))]);
    assert_eq!(ended["attempts"], 2);
    assert_ne!(ended["attempt_history"][0]["task_guid"], ended["attempt_history"][1]["task_guid"]);
    assert_eq!(world.get(&job).json()["state"], "FAILED");
}

#[test]
fn nothing_is_retried_if_cancelled_refused_or_its_schedule_was_disabled() {
    let world = World::start();
    let retry = json!({"max_retries": 5, "backoff_seconds": 3600});
    let target =
        Target::answering(&[BUSY, BUSY, "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"]);
    let call = create(&world, "calls", &json!({"url": url_of(&target), "retry": retry}));
    let execution = execute(&world, &call);
    let is_between = |it: &Value| !it["attempt_history"].as_array().unwrap().is_empty();
    let is_waiting = |it: &Value| it["state"] == "PENDING" && is_between(it);
    wait_for(|| Some(look(&world, &execution)).filter(is_waiting));
    let cancelled = cancel(&world, &execution).json();
    assert_eq!((&cancelled["reason"], &cancelled["attempts"]), (&json!("cancelled"), &json!(1)));
    let schedule = world.post(&format!("{call}/schedules"), r#"{"expression":"@every 1s"}"#).guid();
    let fired = wait_for(|| {
        let page = world.get(&format!("{call}/schedules/{schedule}/history")).json();
        page["resources"]
            .as_array()?
            .last()
            .cloned()
            .filter(|it| it["message"].as_str().is_some_and(|it| it.contains("attempt 1")))
    });
    world.patch(&format!("{call}/schedules/{schedule}"), r#"{"enabled":false}"#);
    told(&in_state(&world, &fired, "FAILED"), "FAILED", "cancelled", "disabled");
    let other = create(&world, "calls", &json!({"url": url_of(&target), "retry": retry}));
    told(&in_state(&world, &execute(&world, &other), "FAILED"), "FAILED", "status", "404");
}

#[test]
fn forbid_skips_executions_while_another_runs_and_counts_those_beyond_twenty() {
    let world = World::start();
    let job = create(&world, "jobs", &json!({"concurrency_policy": "Forbid"}));
    let first = execute(&world, &job);
    in_state(&world, &first, "RUNNING");
    let skipped: Vec<Value> = (0..25).map(|_| execute(&world, &job)).collect();
    for execution in &skipped {
        assert_eq!((&execution["state"], &execution["reason"]), (&json!("SKIPPED"), &json!("overlap")));
        assert!(execution["message"].as_str().unwrap().contains(guid(&first)), "{execution}");
    }
    let history = world.get(&format!("{job}/history?per_page=50")).json();
    assert_eq!(history["pagination"]["total_results"], 21);
    assert!(history["resources"][0]["message"].as_str().unwrap().ends_with("and 5 more were skipped"));
    assert_eq!(world.get(&job).json()["state"], "PENDING");
    assert_eq!(cancel(&world, &skipped[0]).status, 422);
    let found = world.get("/executions?states=SKIPPED&reasons=overlap").json();
    assert_eq!(found["resources"].as_array().unwrap().len(), 20);
    assert_eq!(found["resources"][0]["attempts"], 0);
    assert_eq!(look(&world, &first)["attempts"], 1);
    world.cf.set_task_state(&tasks_of(&world, &first)[0].guid, "SUCCEEDED", None);
    in_state(&world, &first, "SUCCEEDED");
    in_state(&world, &execute(&world, &job), "RUNNING");
}

#[test]
fn under_forbid_a_schedule_never_runs_two_at_once() {
    let world = World::start();
    let job = create(&world, "jobs", &json!({"concurrency_policy": "Forbid"}));
    world.post(&format!("{job}/schedules"), r#"{"expression":"@every 1s"}"#);
    wait_for(|| {
        let history = world.get(&format!("{job}/history")).json();
        let skipped = |it: &&Value| it["state"] == "SKIPPED";
        (history["resources"].as_array()?.iter().filter(skipped).count() >= 2).then_some(())
    });
    assert_eq!(world.cf.tasks().len(), 1);
}

#[test]
fn queue_lets_one_wait_and_skips_the_others_even_across_a_restart() {
    let mut world = World::start();
    let job = create(&world, "jobs", &json!({"concurrency_policy": "Queue"}));
    let first = execute(&world, &job);
    in_state(&world, &first, "RUNNING");
    let waiting = execute(&world, &job);
    assert_eq!(waiting["state"], "PENDING");
    assert_eq!(execute(&world, &job)["state"], "SKIPPED");
    world.restart();
    in_state(&world, &first, "RUNNING");
    assert_eq!(execute(&world, &job)["state"], "SKIPPED");
    assert_eq!(look(&world, &waiting)["state"], "PENDING");
    assert_eq!(world.cf.tasks().len(), 1);
    world.cf.set_task_state(&tasks_of(&world, &first)[0].guid, "FAILED", Some("no"));
    in_state(&world, &waiting, "RUNNING");
}

#[test]
fn replace_cancels_the_running_execution_and_waits_for_its_end() {
    let world = World::start();
    let job = create(&world, "jobs", &json!({"concurrency_policy": "Replace"}));
    let first = execute(&world, &job);
    in_state(&world, &first, "RUNNING");
    world.cf.fault(CANCEL, Fault::status(503, None), 1000);
    let second = execute(&world, &job);
    assert_eq!(second["state"], "PENDING");
    let third = execute(&world, &job);
    told(&look(&world, &second), "SKIPPED", "overlap", guid(&third));
    wait_for(|| (world.cf.count(CANCEL) > 1).then_some(()));
    assert_eq!(look(&world, &third)["state"], "PENDING");
    assert_eq!(world.cf.tasks().len(), 1);
    world.cf.clear_faults();
    in_state(&world, &third, "RUNNING");
    told(&look(&world, &first), "FAILED", "replaced", guid(&second));
}

#[test]
fn a_policy_that_no_longer_waits_lets_the_waiting_execution_begin() {
    for policy in ["Queue", "Replace"] {
        let world = World::start();
        let job = create(&world, "jobs", &json!({"concurrency_policy": policy}));
        let first = execute(&world, &job);
        in_state(&world, &first, "RUNNING");
        world.cf.fault(CANCEL, Fault::status(503, None), 1000);
        let waiting = execute(&world, &job);
        assert_eq!(waiting["state"], "PENDING");
        world.patch(&job, r#"{"concurrency_policy":"Always"}"#);
        in_state(&world, &waiting, "RUNNING");
        assert_eq!(world.cf.tasks().len(), 2, "{policy}");
    }
}

#[test]
fn deleting_a_job_cancels_its_running_tasks_only_on_request() {
    let world = World::start();
    for (query, state) in [("", "RUNNING"), ("?cancel=true", "FAILED")] {
        let job = create(&world, "jobs", &json!({}));
        let execution = execute(&world, &job);
        in_state(&world, &execution, "RUNNING");
        assert_eq!(world.delete(&format!("{job}?cancel=maybe")).status, 422);
        assert_eq!(world.delete(&format!("{job}{query}")).status, 204);
        wait_for(|| tasks_of(&world, &execution).into_iter().find(|task| task.state == state));
    }
    let states: Vec<String> = world.cf.tasks().into_iter().map(|task| task.state).collect();
    assert_eq!(states, ["RUNNING", "FAILED"]);
}

#[test]
fn a_task_has_labels_unless_the_platform_refuses_them() {
    let world = World::start();
    let job = create(&world, "jobs", &json!({}));
    let execution = execute(&world, &job);
    in_state(&world, &execution, "RUNNING");
    let labels = &tasks_of(&world, &execution)[0].metadata["labels"];
    assert_eq!(labels["scheduler.ocf/execution"], guid(&execution));
    assert_eq!(Some(labels["scheduler.ocf/job"].as_str().unwrap()), job.strip_prefix("/jobs/"));
    world.cf.refuse_metadata();
    let other = execute(&world, &job);
    in_state(&world, &other, "RUNNING");
    assert_eq!(tasks_of(&world, &other)[0].metadata, Value::Null);
}

#[test]
fn under_forbid_only_one_of_several_caught_up_fire_times_runs() {
    let mut world = World::with(&[("MISFIRE_POLICY", "all"), ("MISFIRE_GRACE_SECONDS", "1")]);
    let job = create(&world, "jobs", &json!({"concurrency_policy": "Forbid"}));
    let schedule = world.post(&format!("{job}/schedules"), r#"{"expression":"@every 1s"}"#).guid();
    world.stop();
    let _ = crossbeam_channel::after(Duration::from_secs(5)).recv();
    world.begin();
    let history = format!("{job}/schedules/{schedule}/history");
    let states = wait_for(|| {
        let page = world.get(&history).json();
        let states: Vec<String> =
            page["resources"].as_array()?.iter().map(|it| it["state"].as_str().unwrap().to_owned()).collect();
        (states.len() > 3 && !states.iter().any(|state| state == "PENDING")).then_some(states)
    });
    assert_eq!(states.iter().filter(|state| *state == "RUNNING").count(), 1, "{states:?}");
    assert_eq!(world.cf.tasks().len(), 1);
}
