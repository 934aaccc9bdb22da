//! Tasks that their execution has no use for, as another one is its own: the watcher cancels them, until that
//! has worked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ocf_scheduler::base::clock::ManualClock;
use ocf_scheduler::base::stop::stop_channel;
use ocf_scheduler::engine::watcher::Watcher;
use ocf_scheduler::model::{Controls, Guid, JobState, Owned, Timestamp, Work};
use ocf_scheduler::platform::{Delivery, Found, Identity, NewTask, Platform, PlatformError, Task, TaskName};
use ocf_scheduler::store::{Asked, NewExecutable, Terms, Written};

use super::database::Database;

const NOW: Timestamp = Timestamp::from_nanos(1_770_000_000_000_000_000);

/// A platform of which only cancelling matters.
#[derive(Default)]
struct Cancelling {
    is_away: AtomicBool,
    cancelled: Mutex<Vec<Guid>>,
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

    fn list_tasks(&self, _: &[Guid]) -> Result<Found, PlatformError> {
        Ok(Found { tasks: Vec::new(), unclear: Vec::new() })
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

#[test]
fn a_surplus_task_is_cancelled_once_another_is_known_to_be_the_executions_own_and_again_until_it_works() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Database::of(directory.path(), "s.db").open().unwrap());
    store.renew_lease().unwrap();
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
    let execution = store
        .create_execution(job.id, Asked { request_id: "asked", ..Asked::default() }, NOW)
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
