//! The output of tasks, read over HTTP while they run and afterwards, and how long it is kept.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::standalone::Standalone;
use super::world::{APP, Answer, World, request, wait_for};

struct Machine {
    directory: TempDir,
    service: Standalone,
}

impl Machine {
    fn with(settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let service = Standalone::with(directory.path(), settings);
        Self { directory, service }
    }

    fn job(&self, name: &str, command: &str) -> String {
        let body = serde_json::json!({"name": name, "command": command}).to_string();
        let job = self.service.ask("POST", &format!("/jobs?app_guid={}", self.service.app), &body);
        job["guid"].as_str().unwrap().to_owned()
    }

    fn execute(&self, job: &str) -> String {
        let execution = self.service.ask("POST", &format!("/jobs/{job}/execute"), "");
        execution["guid"].as_str().unwrap().to_owned()
    }

    fn get(&self, path: &str) -> Answer {
        request(&self.service.url, "GET", path, Some(&self.service.token), &[], "")
    }

    fn output(&self, job: &str, execution: &str, query: &str) -> Answer {
        self.get(&format!("/jobs/{job}/history/{execution}/output{query}"))
    }

    fn kept(&self, execution: &str) -> PathBuf {
        self.directory.path().join("scheduler.db.tasks/tasks").join(execution)
    }
}

fn progress(answer: &Answer) -> (Option<&str>, Option<&str>) {
    (answer.header("X-Output-Next-Offset"), answer.header("X-Output-Complete"))
}

#[test]
fn output_is_read_while_a_task_runs_and_to_its_end_afterwards() {
    let machine = Machine::with(&[]);
    let job = machine.job("slow", "echo one; until [ -e go ]; do sleep 0.05; done; echo two");
    let execution = machine.execute(&job);
    // Reading it before the task exists is not an error.
    let first = wait_for(|| {
        let answer = machine.output(&job, &execution, "");
        assert_eq!(answer.status, 200);
        (!answer.body.is_empty()).then_some(answer)
    });
    assert_eq!((first.body.as_str(), progress(&first)), ("one\n", (Some("4"), Some("false"))));
    assert_eq!(first.header("Content-Type"), Some("text/plain; charset=utf-8"));
    let rest = machine.output(&job, &execution, "?offset=4");
    assert_eq!((rest.body.as_str(), progress(&rest)), ("", (Some("4"), Some("false"))));
    fs::write(machine.directory.path().join("go"), "").unwrap();
    let rest = wait_for(|| {
        let answer = machine.output(&job, &execution, "?offset=4");
        (answer.header("X-Output-Complete") == Some("true")).then_some(answer)
    });
    assert_eq!((rest.body.as_str(), progress(&rest)), ("two\n", (Some("8"), Some("true"))));
    let history = machine.service.ask("GET", &format!("/jobs/{job}/history"), "");
    assert_eq!(
        history["resources"][0]["state"], "SUCCEEDED",
        "what is complete has ended in the history too"
    );
    let beyond = machine.output(&job, &execution, "?offset=99");
    assert_eq!(
        (beyond.status, beyond.body.as_str(), progress(&beyond)),
        (200, "", (Some("99"), Some("true")))
    );
    for query in ["?offset=", "?offset=-1", "?offset=x", "?offset=1.0"] {
        assert_eq!(machine.output(&job, &execution, query).status, 422, "{query}");
    }
    let path = format!("/jobs/{job}/history/{execution}/output");
    let post = request(&machine.service.url, "POST", &path, Some(&machine.service.token), &[], "");
    assert_eq!((post.status, post.header("Allow")), (405, Some("GET, HEAD")));
}

#[test]
fn an_answer_is_of_at_most_a_mebibyte_and_whoever_goes_on_reads_all_of_it() {
    let machine = Machine::with(&[]);
    // A number on each line, so that misplaced pieces show.
    let job = machine.job("loud", "seq 1000000 1300000");
    let execution = machine.execute(&job);
    machine.service.ended(&job);
    let printed: String = (1_000_000..=1_300_000).map(|number| format!("{number}\n")).collect();
    let kept = machine.output(&job, &execution, "");
    assert_eq!(progress(&kept).1, Some("true"), "what a runner keeps is one answer");
    let (text, note) = kept.body.split_at(1_048_500);
    assert!(text == &printed[..1_048_500]);
    assert_eq!(note, "\n[output beyond 1048500 bytes was not kept]\n");
    // More than that, as if a runner kept it.
    fs::write(machine.kept(&execution).join("output.log"), &printed).unwrap();
    let (mut offset, mut all, mut answers) = (0, String::new(), 0);
    loop {
        let answer = machine.output(&job, &execution, &format!("?offset={offset}"));
        assert!(answer.body.len() <= 1024 * 1024);
        all.push_str(&answer.body);
        answers += 1;
        offset = answer.header("X-Output-Next-Offset").unwrap().parse().unwrap();
        assert_eq!(offset, all.len());
        if answer.header("X-Output-Complete") == Some("true") {
            break;
        }
    }
    assert_eq!((answers, all.len()), (3, printed.len()));
    assert!(all == printed);
}

#[test]
fn there_is_no_output_of_what_is_not_this_jobs_or_is_kept_elsewhere() {
    let machine = Machine::with(&[]);
    let (job, other) = (machine.job("one", "echo x"), machine.job("two", "true"));
    let execution = machine.execute(&job);
    machine.service.ended(&job);
    assert_eq!(machine.output(&job, &execution, "").status, 200);
    assert_eq!(machine.output(&other, &execution, "").status, 404, "an execution of another job");
    assert_eq!(machine.output(&job, &job, "").status, 404);
    assert_eq!(machine.output(&job, "..", "").status, 404);
    assert_eq!(machine.output(&execution, &execution, "").status, 404);
    assert_eq!(machine.get(&format!("/calls/{job}/history/{execution}/output")).status, 404);
    fs::remove_dir_all(machine.kept(&execution)).unwrap();
    assert_eq!(machine.output(&job, &execution, "").status, 404);

    let world = World::start();
    world.cf.hide_log_cache();
    let job = world.job("j");
    let execution = world.post(&format!("/jobs/{job}/execute"), "").guid();
    wait_for(|| world.cf.tasks().pop());
    let path = format!("/jobs/{job}/history/{execution}/output");
    wait_for(|| (world.get(&path).status == 404).then_some(()));
    let stranger = world.cf.issue_cf_token("stranger");
    assert_eq!(world.request("GET", &path, Some(&stranger), &[], "").status, 404);
    assert_eq!(world.request("GET", &path, None, &[], "").status, 401);
}

#[test]
fn the_output_goes_with_its_execution_and_not_before_its_task_has_ended() {
    let machine = Machine::with(&[("HISTORY_MAX_PER_EXECUTABLE", "1")]);
    let job = machine.job("twice", "echo x");
    let older = machine.execute(&job);
    machine.service.ended(&job);
    let newer = machine.execute(&job);
    wait_for(|| (machine.service.ended(&job)["guid"] == newer.as_str()).then_some(()));
    let running = machine.job("long", "touch begun; until [ -e go ]; do sleep 0.05; done");
    let last = machine.execute(&running);
    wait_for(|| machine.directory.path().join("begun").exists().then_some(()));
    // A deletion purges the history at once.
    let delete = |job: &str| {
        let path = format!("/jobs/{job}");
        let answer = request(&machine.service.url, "DELETE", &path, Some(&machine.service.token), &[], "");
        assert_eq!(answer.status, 204);
    };
    delete(&running);
    wait_for(|| (!machine.kept(&older).exists()).then_some(()));
    assert_eq!(machine.output(&job, &older, "").status, 404);
    assert_eq!(machine.output(&job, &newer, "").body, "x\n", "it is in the history still");
    assert!(machine.kept(&last).exists(), "its task has not ended");
    fs::write(machine.directory.path().join("go"), "").unwrap();
    wait_for(|| machine.kept(&last).join("ended.json").exists().then_some(()));
    delete(&job);
    wait_for(|| (!machine.kept(&newer).exists() && !machine.kept(&last).exists()).then_some(()));
}

#[test]
fn a_task_knows_its_execution_and_each_attempt_has_an_output_of_its_own() {
    let machine = Machine::with(&[]);
    let command = "env | grep ^SCHEDULER_ | sort; exit 3";
    let body = serde_json::json!({
        "name": "j", "command": command, "retry": {"max_retries": 1, "backoff_seconds": 1},
    });
    let path = format!("/jobs?app_guid={}", machine.service.app);
    let job = machine.service.ask("POST", &path, &body.to_string())["guid"].as_str().unwrap().to_owned();
    let execution = machine.service.ask("POST", &format!("/jobs/{job}/execute"), "")["guid"].clone();
    let execution = execution.as_str().unwrap();
    wait_for(|| {
        (machine.service.ask("GET", &format!("/executions/{execution}"), "")["state"] == "FAILED")
            .then_some(())
    });
    for (query, attempt) in [("?attempt=1", 1), ("?attempt=2", 2), ("", 2)] {
        let printed = machine.get(&format!("/executions/{execution}/output{query}"));
        let expected = format!(
            "SCHEDULER_ATTEMPT={attempt}\nSCHEDULER_EXECUTION_GUID={execution}\nSCHEDULER_JOB_GUID={job}\nSCHEDULER_JOB_NAME=j\n"
        );
        assert_eq!((printed.status, printed.body), (200, expected), "{query}");
    }
}

/// The text after the offset, and the headers that say how to continue.
fn logs(world: &World, path: &str) -> (String, String, bool, bool) {
    let answer = world.get(path);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let is = |name: &str| answer.header(name) == Some("true");
    let next = answer.header("X-Output-Next-Offset").unwrap().to_owned();
    (answer.body.clone(), next, is("X-Output-Complete"), is("X-Output-Truncated"))
}

#[test]
fn on_cloud_foundry_the_output_of_a_task_comes_from_log_cache_with_the_callers_token() {
    let world = World::start();
    let job = world.job("j");
    let execution = world.post(&format!("/jobs/{job}/execute"), "").guid();
    let task = wait_for(|| world.cf.tasks().pop());
    let source = format!("APP/TASK/{}", task.name);
    world.cf.print(APP, "APP/PROC/WEB", b"GET /");
    for line in 0..2500 {
        world.cf.print(APP, if line % 2 == 0 { "RTR" } else { &source }, format!("line {line}").as_bytes());
    }
    world.cf.print(APP, &format!("{source}.2"), b"of another attempt");
    world.cf.print(APP, &source, b"the last");
    let path = format!("/executions/{execution}/output");
    let history = format!("/jobs/{job}/history/{execution}/output");
    let answer = world.request("GET", &path, Some(&world.token), &[], "");
    assert_eq!(answer.header("X-Output-Complete"), Some("false"));
    for path in [&path, &history] {
        let (mut text, mut offset) = (String::new(), "0".to_owned());
        loop {
            let (part, next, is_complete, is_truncated) = logs(&world, &format!("{path}?offset={offset}"));
            assert!(!is_complete && !is_truncated);
            if part.is_empty() {
                break;
            }
            text.push_str(&part);
            offset = next;
        }
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[1249]), (1251, "line 1", "line 2499"));
        assert!(lines[1250].starts_with("the last"), "{}", lines[1250]);
    }
    world.cf.forget_logs(100);
    let (text, _, _, is_truncated) = logs(&world, &path);
    assert!(text.starts_with("line 99\n") && is_truncated, "{text:.40}");
    let stranger = world.cf.issue_cf_token("stranger");
    assert_eq!(world.request("GET", &path, Some(&stranger), &[], "").status, 404);
    assert_eq!(world.get(&format!("{path}?attempt=2")).status, 422);
}

#[test]
fn an_execution_that_was_cancelled_between_attempts_has_the_output_of_the_last_one() {
    let world = World::start();
    world.cf.complete_tasks_after(Some((Duration::ZERO, "FAILED", Some("exit 1"))));
    let job = r#"{"name":"j","command":"false","retry":{"max_retries":1,"backoff_seconds":3600}}"#;
    let job = world.post(&format!("/jobs?app_guid={APP}"), job).guid();
    let execution = world.post(&format!("/jobs/{job}/execute"), "").guid();
    let task = wait_for(|| world.cf.tasks().pop());
    world.cf.print(APP, &format!("APP/TASK/{}", task.name), b"what failed");
    let path = format!("/executions/{execution}");
    wait_for(|| {
        let seen = world.get(&path).json();
        (seen["state"] == "PENDING" && seen["attempts"] == 1).then_some(())
    });
    // Another attempt may follow, so whoever follows the output goes on.
    assert_eq!(world.get(&format!("{path}/output")).header("X-Output-Complete"), Some("false"));
    assert_eq!(world.post(&format!("{path}/cancel"), "").status, 202);
    for path in [format!("{path}/output"), format!("/jobs/{job}/history/{execution}/output")] {
        assert_eq!(logs(&world, &path).0, "what failed\n");
    }
}
