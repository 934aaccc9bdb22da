//! Tasks as local processes, run by the real program as their runner.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use ocf_scheduler::base::clock::{Clock, SystemClock};
use ocf_scheduler::model::Guid;
use ocf_scheduler::platform::local::{Local, LocalSettings, World};
use ocf_scheduler::platform::{NewTask, Platform, Task, TaskIdentity, TaskState};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::world::wait_for;

struct Machine {
    directory: TempDir,
    local: Option<Local>,
}

impl Machine {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let text = "[[app]]\nname = 'app'\nspace = 's'\nenv = { COLOUR = 'green' }\n[[token]]\ntoken = \
         't'\nuser = 'u'\nspaces = ['s']\n";
        fs::write(directory.path().join("world.toml"), text).unwrap();
        let mut machine = Self { directory, local: None };
        machine.restart();
        machine
    }

    fn restart(&mut self) {
        self.local = None;
        let settings = LocalSettings {
            world: World::read(&self.directory.path().join("world.toml")).unwrap(),
            state_dir: self.directory.path().join("state"),
            runner: PathBuf::from(env!("CARGO_BIN_EXE_ocf-scheduler")),
            environment: vec![
                (OsString::from("PATH"), OsString::from("/usr/local/bin:/usr/bin:/bin")),
                (OsString::from("CLIENT_SECRET"), OsString::from("canary")),
            ],
        };
        self.local = Some(Local::new(settings, Arc::new(SystemClock::default()), || ()).unwrap());
    }

    fn local(&self) -> &Local {
        self.local.as_ref().unwrap()
    }

    fn start(&self, name: &str, command: &str, memory_in_mb: u32) -> Task {
        let new = NewTask {
            app: Guid::from("app"),
            name: name.to_owned(),
            command: command.to_owned(),
            memory_in_mb,
            disk_in_mb: 1,
            log_rate_in_bps: 0,
            identity: TaskIdentity {
                execution: Guid::from("execution-1"),
                job: Guid::from("job-1"),
                job_name: "job".to_owned(),
                scheduled_time: None,
                attempt: 1,
            },
        };
        self.local().create_task(&new).unwrap()
    }

    #[track_caller]
    fn ended(&self, task: &Task) -> TaskState {
        wait_for(|| {
            let found = self.local().list_tasks(std::slice::from_ref(&task.guid)).unwrap().tasks;
            let state = found.first()?.state.clone();
            (state != TaskState::Active).then_some(state)
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn of_task(&self, task: &Task, name: &str) -> PathBuf {
        self.directory.path().join("state/tasks").join(&task.name).join(name)
    }
}

#[track_caller]
fn reason(state: TaskState) -> String {
    match state {
        TaskState::Failed(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_task_has_the_environment_of_its_app_and_nothing_of_the_service() {
    let machine = Machine::new();
    let task = machine.start("one", "env > seen.txt; test \"$COLOUR\" = green", 64);
    assert_eq!(machine.ended(&task), TaskState::Succeeded);
    let seen = fs::read_to_string(machine.file("seen.txt")).unwrap();
    assert!(seen.contains("PATH=") && !seen.contains("canary"), "{seen}");
}

#[test]
fn the_same_name_runs_once() {
    let machine = Machine::new();
    let first = machine.start("one", "echo x >> runs.txt", 64);
    let again = machine.start("one", "echo x >> runs.txt", 64);
    assert_eq!(first.guid, again.guid);
    machine.ended(&first);
    machine.start("one", "echo x >> runs.txt", 64);
    assert_eq!(fs::read_to_string(machine.file("runs.txt")).unwrap(), "x\n");
}

#[test]
fn signals_and_cancellations_are_distinguished() {
    let machine = Machine::new();
    let killed = machine.start("killed", "kill -9 $$", 64);
    assert!(reason(machine.ended(&killed)).contains("signal 9"));
    let cancelled = machine.start("cancelled", "touch begun; sleep 100", 64);
    wait_for(|| machine.file("begun").exists().then_some(()));
    machine.local().cancel_task(&cancelled.guid).unwrap();
    assert!(reason(machine.ended(&cancelled)).contains("cancelled"));
    machine.local().cancel_task(&Guid::from("unknown")).unwrap();
}

#[test]
fn output_is_bounded_and_does_not_block_its_writer() {
    let machine = Machine::new();
    let task = machine.start("loud", "head -c 10485760 /dev/zero", 64);
    assert_eq!(machine.ended(&task), TaskState::Succeeded);
    let length = fs::metadata(machine.of_task(&task, "output.log")).unwrap().len();
    assert!((1..2 * 1024 * 1024).contains(&length), "{length}");
}

#[test]
fn a_runner_that_was_killed_leaves_an_unknown_outcome() {
    let machine = Machine::new();
    let task = machine.start("one", "touch begun; sleep 5", 64);
    wait_for(|| machine.file("begun").exists().then_some(()));
    let started = fs::read_to_string(machine.of_task(&task, "started.json")).unwrap();
    let started: serde_json::Value = serde_json::from_str(&started).unwrap();
    let runner = i32::try_from(started["runner_pid"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(runner).unwrap(), Signal::KILL).unwrap();
    assert!(reason(machine.ended(&task)).contains("outcome unknown"));
}

#[test]
fn a_task_keeps_running_while_the_service_is_down() {
    let mut machine = Machine::new();
    let task = machine.start("one", "until [ -e go ]; do sleep 0.05; done; exit 7", 64);
    machine.local = None;
    fs::write(machine.file("go"), "").unwrap();
    machine.restart();
    assert_eq!(reason(machine.ended(&task)), "exit status 7");
    assert!(machine.local().list_tasks(&[Guid::from("unknown")]).unwrap().tasks.is_empty());
}

#[test]
fn a_task_beyond_its_memory_fails() {
    let machine = Machine::new();
    // `sort` wants a buffer of 200 MiB, but has 32.
    let task =
        machine.start("hog", "head -c 100000000 /dev/zero | tr '\\0' 'x' | sort -S 200M > /dev/null", 32);
    assert!(matches!(machine.ended(&task), TaskState::Failed(_)));
}

#[test]
fn what_is_no_regular_file_in_the_place_of_a_record_or_an_output_holds_nobody_up() {
    let machine = Machine::new();
    let task = machine.start("one", "echo secret", 64);
    machine.ended(&task);
    let read = || machine.local().read_output("one", 0, 100).unwrap();
    assert_eq!(read().unwrap().bytes, b"secret\n");
    fs::write(machine.file("elsewhere"), "not for you").unwrap();
    let fifo = |path: &PathBuf| {
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, rustix::fs::Mode::RWXU, 0).unwrap();
    };
    for name in ["output.log", "ended.json", "task.json"] {
        let path = machine.of_task(&task, name);
        let kept = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fifo(&path);
        assert_eq!(read(), None, "a FIFO as {name}");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(machine.file("elsewhere"), &path).unwrap();
        assert_eq!(read(), None, "a link as {name}");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(read(), None, "a directory as {name}");
        fs::remove_dir(&path).unwrap();
        fs::write(&path, kept).unwrap();
    }
    assert_eq!(read().unwrap().bytes, b"secret\n");
    let ended = machine.of_task(&task, "ended.json");
    fs::remove_file(&ended).unwrap();
    fifo(&ended);
    let listed = machine.local().list_tasks(std::slice::from_ref(&task.guid)).unwrap();
    assert!(reason(listed.tasks[0].state.clone()).contains("not a regular file"), "{listed:?}");
    let lock = machine.of_task(&task, "lock");
    fs::remove_file(&lock).unwrap();
    fifo(&lock);
    fs::remove_file(&ended).unwrap();
    assert_eq!(read(), None, "a FIFO as lock");
}

#[test]
fn no_more_than_a_thousand_outputs_are_kept_of_the_last_hour_either() {
    let mut machine = Machine::new();
    let tasks = machine.file("state/tasks");
    machine.local = None;
    for number in 0..1050_i64 {
        let directory = tasks.join(format!("t{number:04}"));
        fs::create_dir(&directory).unwrap();
        let now = SystemClock::default().now().seconds();
        let ended = (now - 1100 + number) * 1_000_000_000;
        let order = serde_json::json!({"command": "true", "directory": "/", "memory_in_mb": 1, "created_at_ns": ended});
        fs::write(directory.join("task.json"), order.to_string()).unwrap();
        let ended = serde_json::json!({"outcome": "succeeded", "ended_at_ns": ended});
        fs::write(directory.join("ended.json"), ended.to_string()).unwrap();
        for name in ["lock", "seen"] {
            fs::write(directory.join(name), "").unwrap();
        }
        fs::write(directory.join("output.log"), "x").unwrap();
    }
    machine.restart();
    let kept = |number: i64| tasks.join(format!("t{number:04}")).join("output.log").exists();
    assert!((0..1050).filter(|number| kept(*number)).count() <= 1000);
    assert!(!kept(0) && kept(1049), "the oldest go");
    let found = machine.local().list_tasks(&[Guid::from("t0000")]).unwrap();
    assert_eq!(found.tasks[0].state, TaskState::Succeeded, "its outcome can be asked for again");
    assert_eq!(machine.local().read_output("t0000", 0, 9).unwrap(), None);
}

#[test]
fn a_runner_ends_with_its_task_when_its_directory_was_removed() {
    let machine = Machine::new();
    let task = machine.start("one", "touch begun; until [ -e go ]; do sleep 0.05; done", 64);
    wait_for(|| machine.file("begun").exists().then_some(()));
    let started = fs::read_to_string(machine.of_task(&task, "started.json")).unwrap();
    let started: serde_json::Value = serde_json::from_str(&started).unwrap();
    let runner = started["runner_pid"].as_i64().unwrap();
    fs::remove_dir_all(machine.of_task(&task, "")).unwrap();
    fs::write(machine.file("go"), "").unwrap();
    // The service reaps its runners, so none stays a zombie.
    wait_for(|| (!PathBuf::from(format!("/proc/{runner}")).exists()).then_some(()));
}
