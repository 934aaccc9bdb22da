//! What the store promises when several processes share it, and its statements for PostgreSQL.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ocf_scheduler::base::clock::{Clock, ManualClock, SteeredClock, SystemClock};
use ocf_scheduler::engine::lease::Keeper;
use ocf_scheduler::model::{
    Call, Controls, Definition, Dialect, EndState, Executable, Fence, Guid, Id, JobState, Kind, Outcome,
    Owned, Secret, Timestamp, Timing, Work,
};
use ocf_scheduler::store::{
    End, ManualStart, NewExecutable, Outlook, Plan, Retry, Scope, Start, Store, StoreSettings, TakenOver,
    Terms, Window, Written,
};
use tempfile::TempDir;

use super::database::Database;
use super::world::wait_for;

/// The stores of two processes on one database.
struct Pair {
    one: Store,
    other: Store,
    database: Database,
    _directory: TempDir,
}

/// A schedule with this expression and nothing else.
fn plain(expression: &str) -> Definition {
    Definition::new(Timing::new(expression, Dialect::default()))
}

const NOW: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);
const GONE: &str = "interrupted: gone";

impl Pair {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::of(directory.path(), "s.db");
        let store = || {
            let store = database.open().unwrap();
            assert!(store.renew_lease().unwrap().unwrap().is_new);
            store
        };
        Self { one: store(), other: store(), database, _directory: directory }
    }

    fn executable(&self, work: Work) -> Executable {
        let new = NewExecutable {
            name: Guid::random().to_string(),
            app: Guid::from("app"),
            space: Guid::from("space"),
            work,
            controls: Controls::default(),
        };
        match self.one.create_executable(&new, NOW, &Terms::default()).unwrap() {
            Written::Done(executable) => executable,
            other => panic!("{other:?}"),
        }
    }

    fn job(&self) -> Executable {
        let command = "true".to_owned();
        self.executable(Work::Job {
            command,
            disk_in_mb: 1,
            memory_in_mb: 1,
            log_rate_in_bps: 0,
            state: JobState::Pending,
            timeout_seconds: None,
        })
    }

    /// Schedules that are due now.
    fn due_schedules(&self, number: usize) {
        let job = self.job();
        for _ in 0..number {
            let terms = Terms::default();
            self.one
                .create_schedule(job.id, plain("* * * * *"), Some(NOW), NOW, &terms)
                .unwrap()
                .done()
                .unwrap();
        }
    }

    fn call(&self) -> Executable {
        self.executable(Work::Call(Call::new("http://h/".to_owned(), Secret::from("x".to_owned()))))
    }

    /// An execution that `one` owns.
    fn claimed(&self, executable: &Executable) -> Owned {
        self.claimed_at(executable, NOW)
    }

    fn claimed_at(&self, executable: &Executable, now: Timestamp) -> Owned {
        let id = self
            .one
            .create_execution(executable.id, ManualStart::default(), now)
            .unwrap()
            .unwrap()
            .execution
            .id;
        let claimed = self.one.claim_executions(&[(id, now, 0)]).unwrap();
        assert_eq!(claimed.ids, [id]);
        Owned { id, fence: claimed.fence }
    }

    /// The lease of `one` ends, as if its process had been stopped for a while; `other` takes over.
    fn take_over(&self) {
        let fence = self.one.fence().unwrap();
        self.database.execute(&format!("UPDATE instances SET lease_until = 0 WHERE id = {fence}"));
        assert_eq!(self.other.take_over(GONE, NOW).unwrap().instances, 1);
    }

    fn state(&self, of: Owned) -> Vec<String> {
        let query = format!("SELECT state, message FROM executions WHERE id = {}", of.id);
        self.database.rows(&query).remove(0)
    }
}

fn end(of: Owned) -> End {
    End {
        of,
        outcome: Outcome { state: EndState::Succeeded, message: String::new(), reason: None, end_time: NOW },
    }
}

#[needs::postgres]
#[test]
fn no_instance_claims_what_another_owns() {
    let pair = Pair::new();
    let of = pair.claimed(&pair.job());
    assert!(pair.other.claim_executions(&[(of.id, NOW, 0)]).unwrap().ids.is_empty());
    assert!(pair.other.pending_executions(Kind::Job, NOW, 9, &[], None).unwrap().0.is_empty());
    assert_eq!(
        pair.one.pending_executions(Kind::Job, NOW, 9, &[], None).unwrap().0.len(),
        1,
        "it may hand it out again"
    );
    let under_the_other_lease = Owned { fence: pair.other.fence().unwrap(), ..of };
    assert!(
        !pair
            .other
            .begin_attempt(under_the_other_lease, (NOW, 0), false, (&Guid::from("app"), None), NOW, NOW)
            .unwrap()
            .0
            .has_begun()
    );
    assert!(!pair.other.finish(&end(under_the_other_lease)).unwrap());
    assert!(pair.one.finish(&end(of)).unwrap());
}

/// Begins an execution under a lease, if it is due and was attempted as it was read.
type Begin<'a> = &'a dyn Fn((&Store, Fence), Id, (Timestamp, u32)) -> Start;

#[needs::postgres]
#[test]
fn an_execution_that_nobody_owns_is_claimed_as_it_begins_by_the_first_instance_only() {
    let pair = Pair::new();
    let [one, other] = [&pair.one, &pair.other].map(|store| (store, store.fence().unwrap()));
    let app = Guid::from("app");
    let call = |(store, fence): (&Store, Fence), id: Id, read: (Timestamp, u32)| {
        store.start_call(Owned { id, fence }, read, false, NOW).unwrap().0
    };
    let job = |(store, fence): (&Store, Fence), id: Id, read: (Timestamp, u32)| {
        store.begin_attempt(Owned { id, fence }, read, false, (&app, None), NOW, NOW).unwrap().0
    };
    let kinds: [(Executable, Begin<'_>); 2] = [(pair.call(), &call), (pair.job(), &job)];
    for (executable, begin) in kinds {
        let asked = pair.one.create_execution(executable.id, ManualStart::default(), NOW).unwrap().unwrap();
        let id = asked.execution.id;
        let a_second_ago = NOW.saturating_sub(Duration::from_secs(1));
        for stale in [(a_second_ago, 0), (NOW, 1)] {
            assert_eq!(begin(one, id, stale), Start::Gone, "an attempt was made since: {stale:?}");
        }
        let gone = (one.0, one.1 + 1000);
        assert_eq!(begin(gone, id, (NOW, 0)), Start::Gone, "under a lease that was taken over");
        assert_eq!(begin(one, id, (NOW, 0)), Start::Begun);
        assert_eq!(begin(other, id, (NOW, 0)), Start::Gone);
        let owner = pair.database.number(&format!("SELECT owner FROM executions WHERE id = {id}"));
        assert_eq!(owner, one.1);
    }
}

#[needs::postgres]
#[test]
fn a_backlog_is_divided_among_the_instances_and_only_what_is_late_belongs_to_all() {
    let pair = Pair::new();
    let job = pair.job();
    let ids: HashSet<Id> = (0..20)
        .map(|_| {
            pair.one.create_execution(job.id, ManualStart::default(), NOW).unwrap().unwrap().execution.id
        })
        .collect();
    let read = |store: &Store, now: Timestamp, limit: u32, enough: Option<u32>| {
        store.look(now, now).unwrap();
        let (waiting, has_others) = store.pending_executions(Kind::Job, now, limit, &[], enough).unwrap();
        (waiting.into_iter().map(|it| it.of.id).collect::<HashSet<Id>>(), has_others)
    };
    for (limit, enough) in [(10, 10), (20, 10), (20, 0)] {
        let [one, other] = [&pair.one, &pair.other].map(|store| read(store, NOW, limit, Some(enough)));
        assert!(one.0.is_disjoint(&other.0) && one.1 && other.1);
        assert_eq!(&one.0 | &other.0, ids);
    }
    for enough in [Some(11), None] {
        let [one, other] = [&pair.one, &pair.other].map(|store| read(store, NOW, 20, enough));
        assert_eq!((&one.0, one.1), (&ids, false), "an instance that has the time takes what is there");
        assert_eq!(one, other);
    }
    let late = NOW.saturating_add(Duration::from_secs(31));
    assert_eq!(read(&pair.one, late, 10, Some(10)), read(&pair.other, late, 10, Some(10)));
    let [first, second, ..] = &*pair.one.pending_executions(Kind::Job, NOW, 9, &[], None).unwrap().0 else {
        panic!("20 are PENDING")
    };
    let known = [first.of.id, second.of.id];
    let (others, _) = pair.one.pending_executions(Kind::Job, NOW, 18, &known, None).unwrap();
    assert_eq!(others.len(), 18);
    assert!(others.iter().all(|it| !known.contains(&it.of.id)), "known ones take no places");
    // What belongs to another instance is claimed before it begins; the rest as it begins.
    let wanted: Vec<(Id, Timestamp, u32)> = ids.iter().map(|id| (*id, NOW, 0)).collect();
    assert_eq!(pair.one.reserve_executions(&wanted).unwrap().work.len(), 20);
    let owned = pair.database.number("SELECT COUNT(*) FROM executions WHERE owner IS NOT NULL");
    assert_eq!(owned, 10);
}

#[needs::postgres]
#[test]
fn an_execution_attempted_since_it_was_read_is_not_claimed() {
    let pair = Pair::new();
    let id =
        pair.one.create_execution(pair.job().id, ManualStart::default(), NOW).unwrap().unwrap().execution.id;
    let read = pair.other.pending_executions(Kind::Job, NOW, 9, &[], None).unwrap().0;
    assert_eq!((read[0].of.id, read[0].attempts.doubt_until), (id, None));
    let of = Owned { id, fence: pair.one.claim_executions(&[(id, NOW, 0)]).unwrap().fence };
    assert!(
        pair.one
            .begin_attempt(of, (NOW, 0), false, (&Guid::from("app"), None), NOW, NOW)
            .unwrap()
            .0
            .has_begun()
    );
    let later = NOW.saturating_add(Duration::from_secs(1));
    let retry = Retry {
        dispatch_time: later,
        message: String::new(),
        doubt_until: Some(later),
        failures: 1,
        give_up_at: None,
    };
    assert!(pair.one.postpone(of, &retry).unwrap());
    assert!(pair.other.claim_executions(&[(id, read[0].due_since, 1)]).unwrap().ids.is_empty());
    assert!(pair.other.claim_executions(&[(id, later, 0)]).unwrap().ids.is_empty());
    assert_eq!(pair.other.claim_executions(&[(id, later, 1)]).unwrap().ids, [id]);
}

#[needs::postgres]
#[test]
fn a_wait_that_is_cut_leaves_time_for_attempts() {
    let pair = Pair::new();
    let (short, long) = (pair.claimed(&pair.job()), pair.claimed(&pair.job()));
    let in_seconds = |seconds| NOW.saturating_add(Duration::from_secs(seconds));
    for (of, wait) in [(short, 1), (long, 60)] {
        let begun =
            pair.one.begin_attempt(of, (NOW, 0), false, (&Guid::from("app"), None), NOW, NOW).unwrap();
        assert!(begun.0.has_begun());
        let retry = Retry {
            dispatch_time: in_seconds(wait),
            message: String::new(),
            doubt_until: None,
            failures: 1,
            give_up_at: Some(in_seconds(600)),
        };
        assert!(pair.one.postpone(of, &retry).unwrap());
    }
    // An instance starts, and has no wait beyond this.
    pair.other.cut_waits(NOW, in_seconds(2)).unwrap();
    let of = |id: Id| {
        let query = format!("SELECT dispatch_time, give_up_at FROM executions WHERE id = {id}");
        pair.database.rows(&query).remove(0)
    };
    let text = |time: Timestamp| time.nanos().to_string();
    assert_eq!(of(short.id), [text(in_seconds(1)), text(in_seconds(600))]);
    assert_eq!(of(long.id)[0], text(in_seconds(2)));
    assert_ne!(of(long.id)[1], text(in_seconds(2)), "it would be given up after one more attempt");
}

#[needs::postgres]
#[test]
fn a_job_that_is_being_deleted_gets_nothing_new() {
    let pair = Pair::new();
    let job = pair.job();
    let mark = statement("executables/mark_deleted").text;
    let mut client = pair.database.client();
    let mut deleting = client.transaction().unwrap();
    let seen = (job.updated_at.nanos(), "PENDING");
    assert_eq!(deleting.execute(mark.as_str(), &[&NOW.nanos(), &job.id, &seen.0, &seen.1]).unwrap(), 1);
    std::thread::scope(|scope| {
        let started = scope.spawn(|| pair.one.create_execution(job.id, ManualStart::default(), NOW).unwrap());
        let scheduled = scope.spawn(|| {
            pair.other
                .create_schedule(job.id, plain("@daily"), Some(NOW), NOW, &Terms::default())
                .unwrap()
                .done()
        });
        // Whether they wait by now or arrive later, they see the result.
        let waiting = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted";
        wait_for(|| (pair.database.number(waiting) >= 2).then_some(()));
        deleting.commit().unwrap();
        assert_eq!((started.join().unwrap(), scheduled.join().unwrap()), (None, None));
    });
}

#[needs::postgres]
#[test]
fn an_instance_that_returns_after_its_lease_has_ended_overwrites_nothing() {
    let pair = Pair::new();
    let (job, call) = (pair.job(), pair.call());
    let [sent, waiting] = [(); 2].map(|()| pair.claimed(&call));
    let [attempted, running] = [(); 2].map(|()| pair.claimed(&job));
    assert!(pair.one.start_call(sent, (NOW, 0), false, NOW).unwrap().0.has_begun());
    assert!(
        pair.one
            .begin_attempt(attempted, (NOW, 0), false, (&Guid::from("app"), None), NOW, NOW)
            .unwrap()
            .0
            .has_begun()
    );
    assert!(pair.one.accept_task(running, &Guid::from("task")).unwrap());
    pair.take_over();

    assert_eq!(pair.state(sent), ["FAILED", GONE], "it may have been sent, and is not sent again");
    let pending = |kind| pair.other.pending_executions(kind, NOW, 9, &[], None).unwrap().0;
    let calls = pending(Kind::Call);
    assert_eq!(calls.iter().map(|it| it.of.id).collect::<Vec<_>>(), [waiting.id]);
    let jobs = pending(Kind::Job);
    assert_eq!(jobs[0].of.id, attempted.id);
    assert!(jobs[0].attempts.doubt_until.is_some(), "its task is looked for before another is made");
    let followed = pair.other.running_tasks(0, 9).unwrap();
    assert_eq!(followed.iter().map(|it| it.of.id).collect::<Vec<_>>(), [running.id]);

    for of in [sent, waiting, attempted, running] {
        let before = pair.state(of);
        assert!(!pair.one.start_call(of, (NOW, 0), false, NOW).unwrap().0.has_begun());
        assert!(
            !pair
                .one
                .begin_attempt(of, (NOW, 0), false, (&Guid::from("app"), None), NOW, NOW)
                .unwrap()
                .0
                .has_begun()
        );
        assert!(!pair.one.accept_task(of, &Guid::from("another")).unwrap());
        assert!(!pair.one.finish(&end(of)).unwrap());
        assert!(!pair.one.give_up(&end(of)).unwrap());
        assert_eq!(pair.state(of), before);
    }
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM strays"), 0);
    // Its old number can claim nothing more, although it believes that the lease holds.
    assert!(pair.one.claim_executions(&[(waiting.id, NOW, 0)]).unwrap().ids.is_empty());
    let renewed = pair.one.renew_lease().unwrap().unwrap();
    assert!(renewed.is_new && sent.fence < renewed.fence);
    assert_eq!(pair.one.claim_executions(&[(waiting.id, NOW, 0)]).unwrap().ids, [waiting.id]);
    assert!(pair.other.finish(&End { of: followed[0].of, ..end(running) }).unwrap());
}

#[needs::postgres]
#[test]
fn an_instance_takes_over_its_work_by_name_and_of_two_with_one_name_the_later_keeps_it() {
    let pair = Pair::new();
    let store = |name: &str| {
        let instance_id = Some(name.to_owned());
        let store = Store::open(
            &StoreSettings { instance_id, ..pair.database.settings() },
            Arc::new(SystemClock::default()),
        )
        .unwrap();
        store.renew_lease().unwrap();
        store
    };
    let begin = |name: &str| {
        let store = store(name);
        let taken = store.take_over_own(GONE, NOW).unwrap();
        (store, taken)
    };
    let (old, nothing) = begin("blue");
    assert_eq!(nothing, Some(TakenOver::default()));
    let (_green, nothing) = begin("green");
    assert_eq!(nothing, Some(TakenOver::default()), "that of another name is left alone");
    let (job, call) = (pair.job(), pair.call());
    let claimed = |executable: &Executable| {
        let id =
            old.create_execution(executable.id, ManualStart::default(), NOW).unwrap().unwrap().execution.id;
        Owned { id, fence: old.claim_executions(&[(id, NOW, 0)]).unwrap().fence }
    };
    let (sent, attempted, running, waiting) = (claimed(&call), claimed(&job), claimed(&job), claimed(&call));
    assert!(old.start_call(sent, (NOW, 0), false, NOW).unwrap().0.has_begun());
    assert!(
        old.begin_attempt(attempted, (NOW, 0), false, (&Guid::from("app"), None), NOW, NOW)
            .unwrap()
            .0
            .has_begun()
    );
    assert!(old.accept_task(running, &Guid::from("task")).unwrap());
    let others = pair.claimed(&job);

    let (new, taken) = begin("blue");
    let taken = taken.unwrap();
    assert_eq!((taken.instances, taken.calls.len(), taken.executions), (1, 1, 3));
    assert_eq!(pair.state(sent), ["FAILED", GONE]);
    assert_eq!(new.running_tasks(0, 9).unwrap()[0].of.id, running.id);
    assert_eq!(new.claim_executions(&[(waiting.id, NOW, 0)]).unwrap().ids, [waiting.id]);
    assert!(pair.one.finish(&end(others)).unwrap(), "what others have in hand stays theirs");

    // The older process is still there: it notices, records nothing more, and gives up the name.
    for of in [sent, attempted, running, waiting] {
        let before = pair.state(of);
        assert!(
            !old.start_call(of, (NOW, 0), false, NOW).unwrap().0.has_begun()
                && !old.finish(&end(of)).unwrap()
        );
        assert!(
            !old.begin_attempt(of, (NOW, 0), false, (&Guid::from("app"), None), NOW, NOW)
                .unwrap()
                .0
                .has_begun()
        );
        assert_eq!(pair.state(of), before);
    }
    assert!(old.claim_executions(&[(attempted.id, NOW, 1)]).unwrap().ids.is_empty());
    assert!(old.renew_lease().unwrap().unwrap().is_new);
    assert!(!old.keep_name().unwrap(), "otherwise each would take everything from the other by turns");
    assert!(!new.renew_lease().unwrap().unwrap().is_new, "the newer one keeps its lease");
    // After another process took its lease, it gets its name again.
    pair.database.execute("DELETE FROM instances WHERE name = 'blue'");
    assert!(new.renew_lease().unwrap().unwrap().is_new);
    assert!(new.keep_name().unwrap());
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM instances WHERE name = 'blue'"), 1);
    // Of several that start at the same time, one has the name in the end, in any order.
    let begun = [store("blue"), store("blue"), store("blue")];
    let taken: Vec<bool> = std::thread::scope(|scope| {
        let each = begun.iter().map(|it| scope.spawn(|| it.take_over_own(GONE, NOW).unwrap().is_some()));
        let each: Vec<_> = each.collect();
        each.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert!(taken.iter().any(|took| *took));
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM instances WHERE name = 'blue'"), 1);
}

#[needs::postgres]
#[test]
fn an_ended_lease_that_nobody_took_over_is_renewed() {
    let pair = Pair::new();
    let of = pair.claimed(&pair.job());
    pair.database.execute("UPDATE instances SET lease_until = 0");
    assert!(!pair.one.renew_lease().unwrap().unwrap().is_new);
    assert!(pair.one.finish(&end(of)).unwrap());
    assert_eq!(pair.one.take_over(GONE, NOW).unwrap().instances, 1, "the other's has ended");
}

#[needs::postgres]
#[test]
fn an_instance_that_resigns_releases_its_work_at_once() {
    let pair = Pair::new();
    let (sent, waiting) = (pair.claimed(&pair.call()), pair.claimed(&pair.job()));
    assert!(pair.one.start_call(sent, (NOW, 0), false, NOW).unwrap().0.has_begun());
    assert_eq!(pair.one.resign(GONE, NOW).unwrap().len(), 1);
    assert_eq!(pair.state(sent), ["FAILED", GONE]);
    assert_eq!(pair.other.claim_executions(&[(waiting.id, NOW, 0)]).unwrap().ids, [waiting.id]);
    assert!(pair.one.fence().is_err());
}

#[needs::postgres]
#[test]
fn executions_whose_owner_has_no_lease_are_taken_over() {
    let pair = Pair::new();
    let (sent, waiting) = (pair.claimed(&pair.call()), pair.claimed(&pair.job()));
    assert!(pair.one.start_call(sent, (NOW, 0), false, NOW).unwrap().0.has_begun());
    pair.database.execute(&format!("DELETE FROM instances WHERE id = {}", sent.fence));
    assert_eq!(pair.other.take_over(GONE, NOW).unwrap().instances, 1);
    assert_eq!(pair.state(sent), ["FAILED", GONE]);
    assert_eq!(pair.other.claim_executions(&[(waiting.id, NOW, 0)]).unwrap().ids, [waiting.id]);
}

#[needs::postgres]
#[test]
fn many_due_schedules_are_divided_among_the_instances_until_one_has_too_few() {
    let pair = Pair::new();
    pair.due_schedules(10);
    let claimed_by = |store: &Store, now: Timestamp, limit: u32| {
        store.look(now, now).unwrap();
        store.claim_due(now, limit, true, |due| Plan::without_fire(due, None)).unwrap().schedules
    };
    assert_eq!(claimed_by(&pair.one, NOW, 4), 4);
    let left_of_portion = "SELECT MIN(number) FROM (SELECT COUNT(*) AS number FROM schedules
                            WHERE next_fire_time IS NOT NULL GROUP BY id % 2) AS portions";
    assert_eq!(pair.database.number(left_of_portion), 1);
    assert_eq!(claimed_by(&pair.other, NOW, 4), 4);
    assert_eq!(claimed_by(&pair.other, NOW, 4), 2, "the last one of its own and one of the other's");
    pair.due_schedules(10);
    let late = NOW.saturating_add(Duration::from_secs(31));
    assert_eq!(claimed_by(&pair.one, late, 5), 5);
    assert_eq!(pair.database.number(left_of_portion), 2, "what is late belongs to all");
}

#[needs::postgres]
#[test]
fn schedules_that_one_instance_is_claiming_are_skipped_by_the_others() {
    let pair = Pair::new();
    pair.due_schedules(10);
    let later = NOW.saturating_add(Duration::from_secs(60));
    let plan = |due: &ocf_scheduler::store::DueSchedule| Plan {
        fires: vec![ocf_scheduler::store::Fire {
            scheduled_time: NOW,
            note: String::new(),
            missed: 0,
            jitter_seconds: 0,
            skipped: None,
        }],
        ..Plan::without_fire(due, Some(later))
    };
    let by_the_other = std::sync::Mutex::new(Vec::new());
    let claimed = pair
        .one
        .claim_due(NOW, 4, false, |due| {
            // In the middle of it, once.
            let mut seen = by_the_other.lock().unwrap();
            if seen.is_empty() {
                seen.push(pair.other.claim_due(NOW, 100, false, plan).unwrap());
            }
            plan(due)
        })
        .unwrap();
    assert_eq!((claimed.schedules, claimed.executions.len()), (4, 4));
    let seen = by_the_other.into_inner().unwrap();
    assert_eq!((seen[0].schedules, seen[0].executions.len()), (6, 6), "without waiting for the first");
    assert_eq!(pair.one.claim_due(NOW, 100, false, plan).unwrap().schedules, 0);
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM executions"), 10);
    assert_eq!(pair.database.number("SELECT SUM(size) FROM history_sizes WHERE owner = 'executable'"), 10);
}

#[needs::postgres]
#[test]
fn a_call_that_starts_while_its_owner_is_taken_over_is_ended_too() {
    let pair = Pair::new();
    let of = pair.claimed(&pair.call());
    pair.database.execute(&format!("UPDATE instances SET lease_until = 0 WHERE id = {}", of.fence));
    // Like `start_call` of a process that returns at this moment: nobody else has seen it.
    let mut late = pair.database.client();
    let mut late = late.transaction().unwrap();
    let started = late
        .execute(
            "UPDATE executions SET state = 'RUNNING', dispatch_time = NULL WHERE id = $1 AND owner = $2",
            &[&of.id, &of.fence],
        )
        .unwrap();
    assert_eq!(started, 1);
    std::thread::scope(|scope| {
        let taking = scope.spawn(|| pair.other.take_over(GONE, NOW).unwrap());
        let waits = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND transactionid IS NOT NULL";
        super::world::wait_for(|| (pair.database.number(waits) > 0 || taking.is_finished()).then_some(()));
        late.commit().unwrap();
        assert_eq!(taking.join().unwrap().instances, 1);
    });
    pair.other.take_over(GONE, NOW).unwrap();
    assert_eq!(pair.state(of), ["FAILED", GONE]);
}

#[needs::postgres]
#[test]
fn uncommitted_writes_are_not_reported_as_done() {
    let pair = Pair::new();
    let job = pair.job();
    // The database returns the requested row, and fails after that.
    pair.database.execute(
        "CREATE FUNCTION is_full() RETURNS TRIGGER LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$;
         CREATE CONSTRAINT TRIGGER is_full AFTER INSERT ON executions DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION is_full()",
    );
    let refused = pair.one.create_execution(job.id, ManualStart::default(), NOW);
    assert!(matches!(refused, Err(ocf_scheduler::store::StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM executions"), 0);
}

#[needs::postgres]
#[test]
fn a_server_whose_transactions_are_serializable_by_default_works_the_same() {
    let pair = Pair::new();
    let url = format!("{}&options=-c%20default_transaction_isolation%3Dserializable", pair.database.url);
    let settings = ocf_scheduler::store::StoreSettings {
        database: ocf_scheduler::model::Location::Postgres(Secret::from(url)),
        ..pair.database.settings()
    };
    let store = Store::open(&settings, Arc::new(SystemClock::default())).unwrap();
    let job = pair.job();
    // All of them count in the same rows.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    store.create_execution(job.id, ManualStart::default(), NOW).unwrap().unwrap();
                }
            });
        }
    });
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM executions"), 160);
}

#[needs::postgres]
#[test]
fn two_purges_of_deleted_rows_do_not_block_each_other() {
    let pair = Pair::new();
    let job = pair.job();
    let schedule = pair
        .one
        .create_schedule(job.id, plain("* * * * *"), Some(NOW), NOW, &Terms::default())
        .unwrap()
        .done()
        .unwrap();
    pair.database.execute(&format!(
        "INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, asked_at, \
         created_at, end_time)
         SELECT 'e' || i, {}, {}, i, 'job', 'FAILED', 1, 1, 1 FROM generate_series(1, 400) AS i",
        job.id, schedule.id
    ));
    pair.one.delete_executable(&job, None, NOW, None).unwrap().unwrap();
    std::thread::scope(|scope| {
        for store in [&pair.one, &pair.other, &pair.one, &pair.other] {
            scope.spawn(|| while store.purge_deleted(5).unwrap() > 0 {});
        }
    });
    while pair.one.purge_deleted(5).unwrap() > 0 {}
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM executables"), 0);
}

#[needs::postgres]
#[test]
fn a_new_instance_or_one_after_a_clock_jump_gives_the_others_time_to_return() {
    let Pair { one, other, database, _directory } = Pair::new();
    database.execute(
        "CREATE TABLE clock AS SELECT now_nanos() AS nanos;
         CREATE OR REPLACE FUNCTION now_nanos() RETURNS BIGINT LANGUAGE sql AS 'SELECT nanos FROM clock'",
    );
    let set_forward = |seconds: u64| {
        database.execute(&format!("UPDATE clock SET nanos = nanos + {}", seconds * 1_000_000_000));
    };
    let machine = Arc::new(ManualClock::new(NOW));
    let clock = Arc::new(SteeredClock::new(machine.clone()));
    let (wake, _woken) = crossbeam_channel::bounded(1);
    let mut keeper = Keeper::new(Arc::new(other), clock, wake.clone(), wake);
    let mut passes = |seconds: u64| {
        for _ in 0..seconds / 3 {
            keeper.pass().unwrap();
            machine.set(machine.now().saturating_add(Duration::from_secs(3)));
            set_forward(3);
        }
    };
    let fence = one.fence().unwrap();
    let is_there = || database.number(&format!("SELECT COUNT(*) FROM instances WHERE id = {fence}")) == 1;
    // Its lease has ended, as after an outage of the database; then it learns of the database in time.
    set_forward(20);
    passes(12);
    assert!(is_there());
    assert!(!one.renew_lease().unwrap().unwrap().is_new);
    passes(12);
    // The other has held its lease for long when the clock is set.
    set_forward(3600);
    passes(12);
    assert!(is_there());
    // An instance that has not returned by then is gone.
    passes(12);
    assert!(!is_there());
}

#[needs::postgres]
#[test]
fn the_renewal_of_a_lease_sees_what_there_is_to_do() {
    let pair = Pair::new();
    let seen = || {
        let renewal = pair.one.renew_lease_and_look(NOW).unwrap().unwrap();
        assert!(!renewal.is_new && renewal.time.is_some_and(|time| !time.is_to_take_over));
        pair.one.outlook().unwrap()
    };
    let nothing = |outlook: Outlook| {
        (outlook.is_to_look, outlook.next_due, outlook.has_tasks, outlook.next_told)
            == (false, None, false, None)
    };
    assert_eq!(pair.one.outlook(), None, "a lease that was only renewed has seen nothing");
    assert!(nothing(seen()));

    let (job, call) = (pair.job(), pair.call());
    // Looks begin shortly before the present.
    let now = SystemClock::default().now();
    let soon = now.saturating_add(Duration::from_secs(60));
    pair.one.create_schedule(job.id, plain("* * * * *"), Some(soon), now, &Terms::default()).unwrap();
    assert_eq!(seen().next_due, Some(soon));
    let of = pair.claimed_at(&job, now);
    assert_eq!(seen().next_due, Some(now), "an execution that waits");
    assert!(!seen().has_tasks);
    assert!(pair.one.accept_task(of, &Guid::from("task")).unwrap());
    assert!(seen().has_tasks, "a task of its own");
    assert!(pair.one.finish(&end(of)).unwrap());
    assert!(!seen().has_tasks);
    pair.database
        .execute(&format!("UPDATE schedules SET next_fire_time = NULL WHERE executable_id = {}", job.id));
    assert!(nothing(seen()));

    pair.database.execute("INSERT INTO strays (name, doubt_until) VALUES ('stray', 1)");
    assert!(seen().has_tasks, "a task that is looked for");
    pair.database.execute("DELETE FROM strays");
    let of = pair.claimed(&call);
    assert!(pair.one.start_call(of, (NOW, 0), false, NOW).unwrap().0.has_begun());
    assert!(nothing(seen()), "a call under way needs nobody");
    pair.database.execute(&format!("UPDATE executions SET cancel_requested_at = 1 WHERE id = {}", of.id));
    assert!(seen().is_to_look, "another instance was asked to cancel it");
    pair.database.execute(&format!("UPDATE executions SET owner = 999 WHERE id = {}", of.id));
    assert!(
        pair.one.renew_lease_and_look(NOW).unwrap().unwrap().time.unwrap().is_to_take_over,
        "its owner is gone"
    );
    pair.database.execute("DELETE FROM executions");
    pair.database.execute(&format!(
        "INSERT INTO streaks (executable_id, expected_since, success_due_at) VALUES ({}, 1, 7)",
        job.id
    ));
    assert_eq!(seen().next_told, Some(Timestamp::from_nanos(7)));
}

#[needs::postgres]
#[test]
fn a_lease_is_renewed_though_what_there_is_to_do_cannot_be_seen() {
    let pair = Pair::new();
    pair.one.renew_lease_and_look(NOW).unwrap();
    pair.database.execute("ALTER TABLE strays RENAME TO hidden");
    pair.database.execute("UPDATE instances SET lease_until = 1");
    let renewal = pair.one.renew_lease_and_look(NOW).unwrap().unwrap();
    assert!(!renewal.is_new && renewal.time.is_none());
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM instances WHERE lease_until = 1"), 1);
    // Whose lease is gone gets another one.
    let other = pair.other.fence().unwrap();
    pair.database.execute(&format!("DELETE FROM instances WHERE id = {other}"));
    assert!(pair.other.renew_lease_and_look(NOW).unwrap().unwrap().is_new);
}

#[needs::postgres]
#[test]
fn what_another_instance_left_behind_wakes_the_scheduler() {
    let Pair { one, other, database, _directory } = Pair::new();
    let clock = Arc::new(SteeredClock::new(Arc::new(SystemClock::default())));
    let (wake, woken) = crossbeam_channel::bounded(1);
    let (wake_watcher, _watcher_woken) = crossbeam_channel::bounded(1);
    let mut keeper = Keeper::new(Arc::new(other), clock, wake, wake_watcher);
    keeper.pass().unwrap();
    assert!(woken.try_recv().is_err(), "there is nothing to do");
    let pair = Pair { one, other: database.open().unwrap(), database, _directory };
    let call = pair.call();
    let now = SystemClock::default().now();
    pair.one.create_execution(call.id, ManualStart::default(), now).unwrap().unwrap();
    keeper.pass().unwrap();
    assert!(woken.try_recv().is_ok());
}

#[needs::postgres]
#[test]
fn nobody_has_a_lease_before_it_knows_the_time() {
    let Pair { one: _, other, database, _directory } = Pair::new();
    database.execute(
        "CREATE FUNCTION refuse() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON instances EXECUTE FUNCTION refuse()",
    );
    // Its machine's clock is years behind.
    let clock = Arc::new(SteeredClock::new(Arc::new(ManualClock::new(NOW))));
    let (wake, _woken) = crossbeam_channel::bounded(1);
    let mut keeper = Keeper::new(Arc::new(other), Arc::clone(&clock), wake.clone(), wake);
    assert!(keeper.pass().is_err());
    let far = NOW.saturating_add(Duration::from_secs(86_400));
    assert!(far < clock.now(), "it is asked for before the lease is");
}

#[needs::postgres]
#[test]
fn a_record_repeated_after_a_lost_answer_counts_as_recorded() {
    let pair = Pair::new();
    let (of, task) = (pair.claimed(&pair.job()), Guid::from("task"));
    assert!(pair.one.accept_task(of, &task).unwrap());
    assert!(pair.one.accept_task(of, &task).unwrap());
    assert!(!pair.one.accept_task(of, &Guid::from("another")).unwrap());
    assert!(pair.one.finish(&end(of)).unwrap());
    assert!(!pair.one.accept_task(of, &task).unwrap());
    let call = pair.claimed(&pair.call());
    assert!(pair.one.start_call(call, (NOW, 0), false, NOW).unwrap().0.has_begun());
    assert!(pair.one.start_call(call, (NOW, 0), false, NOW).unwrap().0.has_begun());
}

#[needs::postgres]
#[test]
fn many_pending_executions_are_cancelled_by_a_mark_and_recorded_in_batches() {
    let pair = Pair::new();
    let job = pair.job();
    let schedule = pair
        .one
        .create_schedule(job.id, plain("* * * * *"), None, NOW, &Terms::default())
        .unwrap()
        .done()
        .unwrap();
    pair.database.execute(&format!(
        "INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, asked_at, \
         created_at, dispatch_time,
                                 doubt_until)
         SELECT 'e' || i, {}, {}, i, 'job', 'PENDING', 1, 1, 1, CASE WHEN i % 2 = 0 THEN 1 END FROM generate_series(1, 1201) AS i;
         CREATE SEQUENCE changes;
         CREATE FUNCTION note() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('changes'); RETURN NEW; END $$;
         CREATE TRIGGER note BEFORE UPDATE OF state ON executables FOR EACH ROW EXECUTE FUNCTION note()",
        job.id, schedule.id
    ));
    let cancelled = pair.one.delete_schedule(&schedule, NOW, None).unwrap().unwrap();
    assert_eq!(cancelled, 1201);
    let batches =
        std::iter::from_fn(|| Some(pair.one.record_cancelled(500).unwrap()).filter(|rows| *rows > 0));
    assert_eq!(batches.collect::<Vec<_>>(), [500, 500, 201, 1]);
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM executions WHERE state = 'FAILED'"), 1201);
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM strays"), 600);
    let last = "SELECT MAX(e.id) - MAX(x.state_execution_id) FROM executables AS x, executions AS e";
    assert_eq!(pair.database.number(last), 0);
    assert!(pair.database.number("SELECT last_value FROM changes") <= 3);
}

#[needs::postgres]
#[test]
fn a_lease_does_not_outlast_a_clock_that_was_set_back() {
    let pair = Pair::new();
    let of = pair.claimed(&pair.job());
    // As if it had been given when the clock was an hour ahead.
    pair.database.execute(&format!(
        "UPDATE instances SET lease_until = lease_until + 3600000000000 WHERE id = {}",
        of.fence
    ));
    assert_eq!(pair.other.take_over(GONE, NOW).unwrap().instances, 0, "it may be there still, and renew it");
    let left = format!("SELECT lease_until - now_nanos() FROM instances WHERE id = {}", of.fence);
    assert!(pair.database.number(&left) <= 15_000_000_000);
}

#[needs::postgres]
#[test]
fn the_server_sends_long_texts_in_bounded_batches_and_none_is_missing() {
    let pair = Pair::new();
    // Such a character is two in the database.
    let urls =
        ["a".repeat(70_000), "\u{1a}".repeat(33_000), "b".repeat(70_000), "\0".repeat(40_000), String::new()];
    for url in &urls {
        pair.executable(Work::Call(Call::new(url.clone(), Secret::from("x".to_owned()))));
    }
    let mut window = Window { beyond: 0, last: Id::MAX, offset: 0, limit: 80 };
    let mut seen = Vec::new();
    loop {
        let part = pair.one.list_executables(Kind::Call, &Scope::All.into(), window).unwrap();
        seen.extend(part.rows.iter().map(|call| match &call.work {
            Work::Call(call) => call.url.clone(),
            other => panic!("{other:?}"),
        }));
        if part.is_end {
            break;
        }
        window.beyond = part.last.unwrap();
    }
    assert_eq!(seen, urls);
    window = Window { beyond: 0, offset: 4, ..window };
    let part = pair.one.list_executables(Kind::Call, &Scope::All.into(), window).unwrap();
    assert_eq!((part.rows.len(), part.is_end), (1, true), "what is passed over takes nothing away");

    let names = ["list_all", "list_in_space", "list_in_spaces"].map(|name| format!("executables/{name}"));
    for Numbered { name, text, .. } in statements().iter().filter(|it| names.contains(&it.name)) {
        let text = text.replace("$1", "'call'");
        let text = match name.as_str() {
            "executables/list_all" => text,
            "executables/list_in_space" => text.replace("'call'", "'space'").replace("$2", "'call'"),
            _ => text.replace("$2", r#"'["space"]'"#),
        };
        let rest = ["0", "99", "80", "0"];
        let first = (1..).find(|number| text.contains(&format!("${number}"))).unwrap();
        let text = (first..)
            .zip(rest)
            .fold(text, |text, (number, value)| text.replace(&format!("${number}"), value));
        let guids =
            pair.database.rows(&format!("SELECT guid FROM ({}) AS sent", text.trim().trim_end_matches(';')));
        assert_eq!(guids.len(), 1, "{name}");
    }
}

#[needs::postgres]
#[test]
fn nothing_that_waits_for_a_deletion_holds_locks_that_it_needs() {
    let pair = Pair::new();
    let job = pair.job();
    let schedule = pair
        .one
        .create_schedule(job.id, plain("@daily"), Some(NOW), NOW, &Terms::default())
        .unwrap()
        .done()
        .unwrap();
    let of = pair.claimed(&job);
    let mut client = pair.database.client();
    let deleter: i32 = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let mut deleting = client.transaction().unwrap();
    let mark = statement("executables/mark_deleted").text;
    let seen = (job.updated_at.nanos(), "PENDING");
    assert_eq!(deleting.execute(mark.as_str(), &[&NOW.nanos(), &job.id, &seen.0, &seen.1]).unwrap(), 1);
    let claimed = pair.one.claim_due(NOW, 9, false, |due| Plan::without_fire(due, None)).unwrap();
    assert_eq!(claimed.schedules, 0, "what is being deleted is skipped");
    let wait_for_blocked = |count: i64| {
        let blocked = format!(
            "SELECT COUNT(*) FROM pg_stat_activity AS a
              WHERE {deleter} = ANY (pg_blocking_pids(a.pid))
                 OR EXISTS (SELECT 1 FROM unnest(pg_blocking_pids(a.pid)) AS b WHERE {deleter} = ANY (pg_blocking_pids(b)))"
        );
        wait_for(|| (pair.database.number(&blocked) >= count).then_some(()));
    };
    std::thread::scope(|scope| {
        let finished = scope.spawn(|| pair.one.finish(&end(of)).unwrap());
        wait_for_blocked(1);
        let unscheduled = scope.spawn(|| pair.other.delete_schedule(&schedule, NOW, None).unwrap());
        wait_for_blocked(2);
        let rest = "SET LOCAL lock_timeout = '3s'; UPDATE schedules SET next_fire_time = NULL; SELECT 1 FROM \
         executions FOR UPDATE";
        deleting.batch_execute(rest).unwrap();
        deleting.commit().unwrap();
        assert!(finished.join().unwrap());
        assert!(unscheduled.join().unwrap().is_some());
    });
}

#[needs::postgres]
#[test]
fn all_tasks_that_no_instance_follows_are_adopted_in_one_look() {
    let pair = Pair::new();
    let job = pair.job();
    pair.database.execute(&format!(
        "INSERT INTO executions (guid, executable_id, kind, state, asked_at, created_at, task_guid)
         SELECT 'e' || i, {}, 'job', 'RUNNING', 1, 1, 't' || i FROM generate_series(1, 401) AS i",
        job.id
    ));
    assert_eq!(pair.one.running_tasks(0, 100).unwrap().len(), 100);
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM executions WHERE owner IS NULL"), 0);
}

#[needs::postgres]
#[test]
fn a_database_that_cannot_hold_every_name_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::of(directory.path(), "s.db");
    let name = format!("latin_{}", Guid::random().as_str().replace('-', ""));
    let mut client = postgres::Client::connect(
        database.url.split("schema=").next().unwrap().trim_end_matches(['?', '&']),
        postgres::NoTls,
    )
    .unwrap();
    client
        .batch_execute(&format!(
            "CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        ))
        .unwrap();
    let (server, _) = database.url.split_once('?').unwrap();
    let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
    let refused = Database::at(&url).open().unwrap_err();
    client.batch_execute(&format!("DROP DATABASE {name}")).unwrap();
    assert!(refused.contains("the encoding of the database is LATIN1"), "{refused}");
}

/// A statement's text for PostgreSQL.
struct Numbered {
    /// `table/statement`.
    name: String,
    text: String,
    /// The names of its parameters, in numerical order.
    parameters: Vec<String>,
}

fn statement(name: &str) -> Numbered {
    statements().into_iter().find(|it| it.name == name).unwrap()
}

/// Four statements find executions by the same filter, each from another side.
#[test]
fn all_statements_that_find_executions_have_the_same_filter() {
    let filter_of = |name: &str| {
        let file = format!("{}/sql/executions/{name}.sql", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(file).unwrap();
        let filter = text.split_once("   AND (CAST(:spaces").unwrap().1;
        let filter = filter.rsplit_once(" < :ended_before)").unwrap().0;
        // A history has the name of its job or call.
        filter.lines().filter(|line| !line.contains(":name_pattern")).map(str::to_owned).collect::<Vec<_>>()
    };
    let filter = filter_of("find");
    assert!(filter.len() > 40);
    for name in ["find_among", "find_of_executable", "count_found_of_executable"] {
        assert_eq!(filter_of(name), filter, "{name}");
    }
}

/// All statements that PostgreSQL runs.
fn statements() -> Vec<Numbered> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/sql");
    let directories = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let files = directories
        .filter(|directory| !directory.ends_with("migrations"))
        .flat_map(|directory| std::fs::read_dir(directory).unwrap())
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned());
    let mut files: Vec<String> = files.filter(|file| !file.ends_with(".sqlite.sql")).collect();
    let second: Vec<String> =
        files.iter().filter_map(|file| file.strip_suffix(".postgres.sql").map(str::to_owned)).collect();
    files.retain(|file| {
        file.ends_with(".postgres.sql") || !second.iter().any(|second| file == &format!("{second}.sql"))
    });
    files
        .iter()
        .map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            let (numbered, names) = ocf_scheduler::store::numbered_for_postgres(&text);
            Numbered {
                name: file[root.len() + 1..].split('.').next().unwrap().to_owned(),
                text: numbered.trim().trim_end_matches(';').to_owned(),
                parameters: names.into_iter().map(str::to_owned).collect(),
            }
        })
        .collect()
}

#[needs::postgres]
#[test]
fn every_statement_prepares() {
    let pair = Pair::new();
    let mut client = pair.database.client();
    // A Go service also has schedules and executions.
    let tables = "CREATE TABLE jobs (guid TEXT); CREATE TABLE calls (guid TEXT); CREATE TABLE \
     gorp_migrations (id TEXT)";
    client.batch_execute(tables).unwrap();
    let statements = statements();
    assert!(statements.len() > 100);
    for Numbered { name, text, .. } in &statements {
        client.prepare(text).unwrap_or_else(|err| panic!("{name}: {err}"));
    }
}

/// The value of a parameter in [`with_a_long_history_and_a_sudden_backlog_no_statement_reads_much`].
fn value_for(parameter: &str, fence: i64, pending: i64) -> String {
    let listed: Vec<i64> = (pending..pending + 20).collect();
    match parameter {
        "id" | "execution_id" => pending.to_string(),
        "fence" => fence.to_string(),
        "owner_id" | "executable_id" | "schedule_id" | "after_executable" | "after_schedule"
        | "executable" => "1500".to_owned(),
        "executable_ids" | "ids" => format!("'{listed:?}'"),
        "wanted" => format!("'{:?}'", listed.iter().map(|id| [*id, id - pending, 0]).collect::<Vec<_>>()),
        "kind" => "'job'".to_owned(),
        "guid" => "'e1500-5'".to_owned(),
        "executable_guid" => "'x1500'".to_owned(),
        "name" | "task_name" | "after" | "note" | "message" | "request_id" | "task_guid" | "expression" => {
            "'n'".to_owned()
        }
        "app_guid" | "user_id" | "code" => "'a'".to_owned(),
        "url" | "auth_header" => "NULL".to_owned(),
        "space_guid" => "'s7'".to_owned(),
        "executables" | "schedules" | "states" | "by_schedule" | "spaces" | "selector" | "reasons" => {
            "NULL".to_owned()
        }
        "owners" => "'[1500, 1501]'".to_owned(),
        "notification_ids" => "'[1, 2]'".to_owned(),
        "notifications" => r#"'[{"id": 1, "guid": "new", "remind_at": null}]'"#.to_owned(),
        "guids" => r#"'["x1500", "x1501"]'"#.to_owned(),
        "kinds" => r#"'["job", "call"]'"#.to_owned(),
        "name_pattern" => "'%n15%'".to_owned(),
        "with_failed" | "with_skipped" => "1".to_owned(),
        "budget" => "20000".to_owned(),
        "from_id" => "0".to_owned(),
        "space_guids" => r#"'["s7", "s9"]'"#.to_owned(),
        "but_apps" => r#"'["none"]'"#.to_owned(),
        "shares" => r#"'["a ", "b "]'"#.to_owned(),
        "each" => "8".to_owned(),
        "portion" => "0".to_owned(),
        "portions" => "1".to_owned(),
        "state" => "'FAILED'".to_owned(),
        "limit" | "most" => "20".to_owned(),
        "since" => "0".to_owned(),
        "known" => "'[]'".to_owned(),
        "listed" => "'[]'".to_owned(),
        "is_listed" => "FALSE".to_owned(),
        "offset" | "after_id" | "keep" | "asked_after" => "0".to_owned(),
        "before_id" | "last_id" => i64::MAX.to_string(),
        "enabled" | "is_suspended" | "paused" | "is_paused" | "is_silent" => "TRUE".to_owned(),
        // A time at which half of the waiting rows are due.
        _ => "5000".to_owned(),
    }
}

/// Twenty sets of values for a batched statement, by the columns that it reads.
fn rows_for(text: &str, fence: i64, pending: i64) -> String {
    let columns = text.split_once(" AS r (").unwrap().1.split_once(')').unwrap().0;
    let rows = (0..20).map(|number| {
        let values = columns.split(',').map(|column| {
            let name = column.split_whitespace().next().unwrap();
            let value = match name {
                "n" => number.to_string(),
                "id" | "execution_id" => (pending + number).to_string(),
                "executable_id" | "schedule_id" => (1500 + number).to_string(),
                "guid" if text.contains("INSERT INTO") => format!("'new-{number}'"),
                "guid" => format!("'x{}'", 1500 + number),
                name => value_for(name, fence, pending),
            };
            format!(
                "\"{name}\": {}",
                value.replace('\'', "\"").replace("TRUE", "true").replace("NULL", "null")
            )
        });
        format!("{{{}}}", values.collect::<Vec<_>>().join(", "))
    });
    format!("'[{}]'", rows.collect::<Vec<_>>().join(", "))
}

/// A plan is made when a connection first runs a statement, and kept. It must suit what comes later.
#[needs::postgres]
#[test]
fn with_a_long_history_and_a_sudden_backlog_no_statement_reads_much() {
    let pair = Pair::new();
    let fence = pair.one.fence().unwrap();
    pair.database.execute(
        "INSERT INTO executables (guid, kind, name, app_guid, space_guid, command, disk_in_mb, memory_in_mb, \
         state, created_at,
                                  updated_at)
         SELECT 'x' || i, 'job', 'n' || i, 'a', 's' || i % 500, 'c', 1, 1, 'PENDING', 1, 1 FROM generate_series(1, 3000) AS i;
         INSERT INTO schedules (guid, executable_id, enabled, expression, next_fire_time, planned_at, created_at, updated_at)
         SELECT 's' || id, id, TRUE, '@daily', id + 4000, id + 4000, 1, 1 FROM executables;
         INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, asked_at, created_at, end_time)
         SELECT 'e' || x.id || '-' || i, x.id, s.id, i, 'job', 'SUCCEEDED', 1, 1, 6000 + x.id
           FROM executables AS x JOIN schedules AS s ON s.executable_id = x.id, generate_series(1, 10) AS i;
         INSERT INTO strays (name, doubt_until) SELECT 'e' || i || '-3', 1 FROM generate_series(1, 300) AS i;
         ANALYZE executables, schedules, executions, strays;",
    );
    // Statements that move a whole database, inspect the server, count or walk all spaces, or change
    // everything that waits.
    let is_left_out = |name: &str| {
        ["executables/list_in_spaces", "executables/count_all", "executions/cut_waits"].contains(&name)
            || ["import", "export", "go/", "database/", "schema_version/"]
                .iter()
                .any(|part| name.contains(part))
    };
    let mut statements = statements();
    statements.retain(|it| !is_left_out(&it.name));
    let mut client = pair.database.client();
    client.batch_execute(ocf_scheduler::store::POSTGRES_SESSION).unwrap();
    let pending = pair.database.number("SELECT MAX(id) + 1000 FROM executions");
    let execute = |number: usize, of: &Numbered| {
        let value = |parameter: &String| match parameter.as_str() {
            "rows" => rows_for(&of.text, fence, pending),
            name => value_for(name, fence, pending),
        };
        let values: Vec<String> = of.parameters.iter().map(value).collect();
        let values = if of.text.contains("INSERT INTO") {
            values.into_iter().map(|value| value.replace("e1500-5", "new")).collect()
        } else {
            values
        };
        let values = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
        format!("EXECUTE statement_{number}{values}")
    };
    for (number, of) in statements.iter().enumerate() {
        let text = format!("PREPARE statement_{number} AS {}; EXPLAIN {}", of.text, execute(number, of));
        client.simple_query(&text).unwrap_or_else(|err| panic!("{}: {err}", of.name));
    }
    pair.database.execute(
        "INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, asked_at, \
         created_at, dispatch_time,
                                 share, owner)
         SELECT 'p' || i, x.id, s.id, 2000 + i, 'job', 'PENDING', 9001 - i, 1, i, x.share,
                CASE WHEN i BETWEEN 0 AND 19 THEN (SELECT MIN(id) FROM instances) END
           FROM generate_series(-999, 9000) AS i
           JOIN executables AS x ON x.id = 1 + (i + 1000) % 3000 JOIN schedules AS s ON s.executable_id = x.id
          ORDER BY i;
         INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, asked_at, created_at, task_guid, owner)
         SELECT 'r' || i, id, id, -i, 'job', 'RUNNING', 1, 1, 't', CASE WHEN i > 50 THEN (SELECT MIN(id) FROM instances) END
           FROM schedules, generate_series(1, 100) AS i WHERE id = i",
    );
    assert_eq!(
        pair.database.number(&format!("SELECT dispatch_time FROM executions WHERE id = {pending}")),
        0
    );
    let mut slow = Vec::new();
    for (number, of) in statements.iter().enumerate() {
        let text = format!("BEGIN; EXPLAIN (ANALYZE, BUFFERS) {}; ROLLBACK", execute(number, of));
        let messages = match client.simple_query(&text) {
            Ok(messages) => messages,
            // Rows refer to what it would delete, or its key exists.
            Err(err) if err.code().is_some_and(|code| code.code().starts_with("23")) => {
                client.batch_execute("ROLLBACK").unwrap();
                continue;
            }
            Err(err) => panic!("{}: {err:?}", of.name),
        };
        let rows = messages.iter().filter_map(|message| match message {
            postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        let plan: Vec<String> = rows.collect();
        let numbers = |line: &str, after: &str| -> u64 {
            let rest = line.split(after).nth(1).unwrap_or_default();
            rest.split(|character: char| !character.is_ascii_digit())
                .next()
                .unwrap_or_default()
                .parse()
                .unwrap_or(0)
        };
        let buffers = plan.iter().find(|line| line.trim_start().starts_with("Buffers:"));
        let pages = buffers.map_or(0, |line| numbers(line, "hit=") + numbers(line, "read="));
        let removed = plan.iter().map(|line| numbers(line, "Filter: ")).max().unwrap_or(0);
        // These examine at most 20,000 rows, whatever matches.
        // And these all jobs or calls of a kind, or what count_unfinished.sql has counted.
        let examines_many = [
            "executions/find",
            "executions/ids_unsuccessful",
            "executions/ids_ended",
            "executables/ids_named",
        ];
        if examines_many.iter().any(|name| of.name.starts_with(name)) || of.name.contains("select") {
            continue;
        }
        // Seventy rows are written into some of a dozen indexes, of three pages each.
        // Before version 14 the plan also shows the alternatives that were not chosen.
        let is_scan = |line: &String| line.contains("Seq Scan on exec") && !line.contains("never executed");
        if pages > 1800 || removed > 500 || plan.iter().any(is_scan) {
            slow.push(format!("{} reads {pages} pages, drops {removed} rows {plan:#?}", of.name));
        }
    }
    assert!(slow.is_empty(), "{}", slow.join("\n"));
}

/// Every pass and every renewal of a lease looks, however much waits for later.
#[needs::postgres]
#[test]
fn a_look_reads_a_few_pages_although_thousands_wait_for_later_or_ended_under_a_snapshot() {
    let pair = Pair::new();
    let mut client = pair.database.client();
    client.batch_execute(ocf_scheduler::store::POSTGRES_SESSION).unwrap();
    let fill = |count: i64| {
        format!(
            "INSERT INTO executables (guid, kind, name, app_guid, space_guid, command, disk_in_mb, memory_in_mb, state,
                                      created_at, updated_at)
             SELECT 'x' || i, 'job', 'n' || i, 'a', 's', 'c', 1, 1, 'PENDING', 1, 1 FROM generate_series(1, {count}) AS i;
             INSERT INTO schedules (guid, executable_id, enabled, expression, next_fire_time, planned_at, created_at, updated_at)
             SELECT 's' || id, id, TRUE, '@daily', 9000, 1, 1, 1 FROM executables;
             INSERT INTO executions (guid, executable_id, kind, state, asked_at, created_at, dispatch_time, share)
             SELECT 'e' || id, id, 'job', 'PENDING', 1, 1, 9000, 's' || id % 100 FROM executables;
             ANALYZE executables, schedules, executions;"
        )
    };
    pair.database.execute(&fill(5000));
    // While a snapshot is held, the index entries of what has ended stay.
    let mut holder = pair.database.client();
    holder.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM executions LIMIT 1").unwrap();
    pair.database.execute(
        "INSERT INTO executions (guid, executable_id, kind, state, asked_at, created_at, dispatch_time, share)
         SELECT 'd' || id, id, 'job', 'PENDING', 1, 1, 1000 + id % 1000, 's1' FROM executables;
         UPDATE executions SET state = 'SUCCEEDED', dispatch_time = NULL, start_time = 1, end_time = 2
          WHERE guid LIKE 'd%';
         INSERT INTO schedules (guid, executable_id, enabled, expression, next_fire_time, planned_at, created_at,
                                updated_at)
         SELECT 'd' || id, id, TRUE, '@daily', 1000, 1, 1, 1 FROM executables;
         UPDATE schedules SET next_fire_time = 9000 WHERE guid LIKE 'd%'",
    );
    for (name, values) in [
        ("executions/look", "3000, 5000, 5000, 1"),
        ("instances/beat", "1, 5000, 5000, 3000"),
        ("executions/pending_of_shares", r#"'["s1"]', 'job', 5000, 3000, 1, 8"#),
    ] {
        let of = statement(name);
        let text = format!(
            "PREPARE looked AS {}; EXPLAIN (ANALYZE, BUFFERS) EXECUTE looked ({values}); DEALLOCATE looked",
            of.text
        );
        let messages = client.simple_query(&text).unwrap_or_else(|err| panic!("{name}: {err:?}"));
        let plan: Vec<&str> = messages
            .iter()
            .filter_map(|message| match message {
                postgres::SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            })
            .collect();
        let pages = plan.iter().find(|line| line.trim_start().starts_with("Buffers:"));
        let hit = pages.and_then(|line| line.split("hit=").nth(1));
        let pages: u64 = hit.and_then(|hit| hit.split_whitespace().next()).unwrap().parse().unwrap();
        assert!(pages < 60, "{name} reads {pages} pages {plan:#?}");
        assert!(!plan.iter().any(|line| line.contains("Rows Removed by Filter")), "{name} {plan:#?}");
    }
}

/// The first pass after a start cuts waits. Meanwhile requests are answered.
#[needs::postgres]
#[test]
fn an_execution_that_is_started_during_the_first_pass_is_not_in_doubt() {
    let pair = Pair::new();
    let job = pair.job();
    let (now, later) = (NOW, NOW.saturating_add(Duration::from_millis(50)));
    let latest = now.saturating_add(Duration::from_secs(60));
    let id = pair.one.create_execution(job.id, ManualStart::default(), later).unwrap().unwrap().execution.id;
    pair.one.settle_waits(now, latest).unwrap();
    pair.one.cut_waits(now, latest).unwrap();
    let waiting = pair.one.pending_executions(Kind::Job, later, 10, &[], None).unwrap().0;
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].of.id, waiting[0].attempts.doubt_until), (id, None));
}

#[needs::postgres]
#[test]
fn a_lease_that_is_not_renewed_in_time_lets_nothing_be_claimed() {
    let pair = Pair::new();
    let (first, second) = (pair.job(), pair.job());
    let clock = Arc::new(ManualClock::new(NOW));
    let store = Store::open(&pair.database.settings(), clock.clone()).unwrap();
    let fence = store.renew_lease().unwrap().unwrap().fence;
    let claim = |job: &Executable| {
        let id = store.create_execution(job.id, ManualStart::default(), NOW).unwrap().unwrap().execution.id;
        store.claim_executions(&[(id, NOW, 0)])
    };
    let after = |seconds| NOW.saturating_add(Duration::from_secs(seconds));
    clock.set(after(14));
    assert_eq!(claim(&first).unwrap().fence, fence);
    clock.set(after(15));
    assert!(matches!(claim(&second), Err(ocf_scheduler::store::StoreError::Unavailable(_))));
    clock.jump(NOW);
    assert!(store.fence().is_err(), "setting the wall clock back brings no lease back");
    // Nobody took it over, so the same lease continues.
    assert_eq!(store.renew_lease().unwrap().unwrap().fence, fence);
    assert_eq!(claim(&second).unwrap().fence, fence);
}
