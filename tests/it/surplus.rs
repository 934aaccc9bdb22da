//! Surplus tasks, whose execution has another one: the watcher cancels them until that succeeds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ocf_scheduler::base::clock::ManualClock;
use ocf_scheduler::base::stop::stop_channel;
use ocf_scheduler::engine::watcher::Watcher;
use ocf_scheduler::model::{
    Controls, Executable, ExecutionState, Guid, JobState, Owned, Reason, Timestamp, Work,
};
use ocf_scheduler::platform::{
    Delivery, Found, Identity, NewTask, Platform, PlatformError, Task, TaskName, TaskState,
};
use ocf_scheduler::store::{ManualStart, NewExecutable, Store, Terms, Written};

use super::database::Database;

const NOW: Timestamp = Timestamp::from_nanos(1_770_000_000_000_000_000);

/// A platform on which only cancelling matters.
#[derive(Default)]
struct Cancelling {
    is_away: AtomicBool,
    cancelled: Mutex<Vec<Guid>>,
    /// Tasks that never end.
    endless: Mutex<Vec<Guid>>,
}

impl Platform for Cancelling {
    fn identify(&self, _: &str) -> Result<Option<Identity>, PlatformError> {
        Ok(None)
    }

    fn spaces_of(&self, _: &str) -> Result<Vec<Guid>, PlatformError> {
        Ok(Vec::new())
    }

    fn space_of_app(&self, _: &Guid) -> Result<Option<Guid>, PlatformError> {
        Ok(None)
    }

    fn create_task(&self, _: &NewTask) -> Result<Task, PlatformError> {
        unreachable!("nothing is started")
    }

    fn find_tasks(&self, names: &[TaskName]) -> Result<Found, PlatformError> {
        panic!("nobody knows the name of a task of {names:?}")
    }

    fn list_tasks(&self, guids: &[Guid]) -> Result<Found, PlatformError> {
        let endless = self.endless.lock().unwrap();
        let task = |guid: &Guid| Task {
            guid: guid.clone(),
            name: String::new(),
            state: TaskState::Active,
            created_at: None,
            updated_at: None,
        };
        let tasks = guids.iter().filter(|guid| endless.contains(guid)).map(task).collect();
        Ok(Found { tasks, unclear: Vec::new() })
    }

    fn cancel_task(&self, guid: &Guid) -> Result<(), PlatformError> {
        if self.is_away.load(Ordering::SeqCst) {
            let cause = "away".to_owned();
            return Err(PlatformError::Unavailable { cause, retry_after: None, delivery: Delivery::Failed });
        }
        self.cancelled.lock().unwrap().push(guid.clone());
        Ok(())
    }

    fn check(&self) -> Result<(), PlatformError> {
        Ok(())
    }
}

fn job(store: &Store) -> Executable {
    let work = Work::Job {
        command: "true".to_owned(),
        disk_in_mb: 1,
        memory_in_mb: 1,
        log_rate_in_bps: 0,
        state: JobState::Pending,
        timeout_seconds: None,
    };
    let new = NewExecutable {
        name: "j".to_owned(),
        app: Guid::from("a"),
        space: Guid::from("s"),
        work,
        controls: Controls::default(),
    };
    let Written::Done(job) = store.create_executable(&new, NOW, &Terms::default()).unwrap() else {
        panic!("not created")
    };
    job
}

#[test]
fn a_surplus_task_is_cancelled_once_the_execution_has_another_and_retried_until_it_works() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Database::of(directory.path(), "s.db").open().unwrap());
    store.renew_lease().unwrap();
    let job = job(&store);
    let execution = store
        .create_execution(job.id, ManualStart { request_id: "asked", ..ManualStart::default() }, NOW)
        .unwrap()
        .unwrap()
        .execution;
    let (own, surplus) = (Guid::from("task-own"), Guid::from("task-surplus"));
    for task in [&own, &surplus] {
        assert!(store.note_surplus(&execution.guid, task, NOW).unwrap());
    }

    let platform = Arc::new(Cancelling::default());
    let clock = Arc::new(ManualClock::new(NOW));
    let (_stopper, stop) = stop_channel();
    let watcher = Watcher::new(
        Arc::clone(&store),
        Arc::<Cancelling>::clone(&platform),
        clock,
        Duration::from_secs(1),
        Duration::ZERO,
        Duration::from_secs(600),
        crossbeam_channel::bounded(1).0,
    );
    let cancelled = || platform.cancelled.lock().unwrap().clone();
    assert_eq!(watcher.look_for_strays(&stop), 2, "it has none of its own yet");
    assert!(cancelled().is_empty());

    let claimed = store.claim_executions(&[(execution.id, NOW, 0)]).unwrap();
    let of = Owned { id: execution.id, fence: claimed.fence };
    assert!(store.accept_task(of, &own).unwrap());
    platform.is_away.store(true, Ordering::SeqCst);
    assert_eq!(watcher.look_for_strays(&stop), 1, "a cancel that fails is tried again");
    platform.is_away.store(false, Ordering::SeqCst);
    assert_eq!(watcher.look_for_strays(&stop), 0);
    assert_eq!(cancelled(), [surplus]);
}

#[test]
fn a_task_that_keeps_running_after_its_cancellation_ends_its_execution_and_is_cancelled_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Database::of(directory.path(), "s.db").open().unwrap());
    store.renew_lease().unwrap();
    let job = job(&store);
    let execution = store.create_execution(job.id, ManualStart::default(), NOW).unwrap().unwrap().execution;
    let claimed = store.claim_executions(&[(execution.id, NOW, 0)]).unwrap();
    let of = Owned { id: execution.id, fence: claimed.fence };
    let task = Guid::from("task-1");
    assert!(store.begin_attempt(of, (NOW, 0), false, (&job.app, None), NOW, NOW).unwrap().0.has_begun());
    assert!(store.accept_task(of, &task).unwrap());
    store.cancel_execution(execution.id, "cancelled by me", NOW, None).unwrap();

    let platform = Arc::new(Cancelling::default());
    platform.endless.lock().unwrap().push(task.clone());
    let clock = Arc::new(ManualClock::new(NOW));
    let (_stopper, stop) = stop_channel();
    let mut watcher = Watcher::new(
        Arc::clone(&store),
        Arc::<Cancelling>::clone(&platform),
        Arc::<ManualClock>::clone(&clock),
        Duration::from_secs(1),
        Duration::ZERO,
        Duration::from_secs(600),
        crossbeam_channel::bounded(1).0,
    );
    let now = || store.find_execution(execution.guid.as_str()).unwrap().unwrap().execution;
    let cancels = || platform.cancelled.lock().unwrap().len();
    watcher.look(&stop);
    clock.set(NOW.saturating_add(Duration::from_secs(59)));
    watcher.look(&stop);
    assert_eq!((now().state, cancels()), (ExecutionState::Running, 1), "it was accepted once");
    clock.set(NOW.saturating_add(Duration::from_secs(61)));
    watcher.look(&stop);
    assert_eq!((now().state, now().reason), (ExecutionState::Failed, Some(Reason::Cancelled)));
    assert!(now().message.contains("60 s later"), "{}", now().message);
    assert_eq!((watcher.look_for_strays(&stop), cancels()), (1, 2), "it has not ended");
    platform.endless.lock().unwrap().clear();
    assert_eq!((watcher.look_for_strays(&stop), cancels()), (0, 2));
}
