//! The store's promises where several processes share it, and the texts of its statements for PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use ocf_scheduler::base::clock::{Clock, ManualClock, SteeredClock};
use ocf_scheduler::engine::lease::Keeper;
use ocf_scheduler::model::{
    Call, Controls, EndState, Executable, Guid, Id, InHand, JobState, Kind, Outcome, Secret, Timestamp, Work,
};
use ocf_scheduler::store::{End, NewExecutable, Plan, Retry, Scope, Store, Window, Written};
use tempfile::TempDir;

use super::database::{Database, is_postgres};
use super::world::wait_for;

/// Two processes' stores on one database.
struct Pair {
    one: Store,
    other: Store,
    database: Database,
    _directory: TempDir,
}

const NOW: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);
const GONE: &str = "interrupted: gone";

impl Pair {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::of(directory.path(), "s.db");
        let store = || {
            let store = Store::open(&database.settings()).unwrap();
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
        match self.one.create_executable(&new, NOW).unwrap() {
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
            state: JobState::Pending,
            timeout_seconds: None,
        })
    }

    fn call(&self) -> Executable {
        self.executable(Work::Call(Call::new("http://h/".to_owned(), Secret::from("x".to_owned()))))
    }

    /// An execution that `one` has in hand.
    fn claimed(&self, executable: &Executable) -> InHand {
        let id = self.one.create_execution(executable.id, "", NOW).unwrap().unwrap().id;
        let claimed = self.one.claim_executions(&[(id, NOW, 0)]).unwrap();
        assert_eq!(claimed.ids, [id]);
        InHand { id, fence: claimed.fence }
    }

    /// The lease of `one` ends, as if its process had been stopped for long; `other` takes over.
    fn take_over(&self) {
        let fence = self.one.fence().unwrap();
        self.database.execute(&format!("UPDATE instances SET lease_until = 0 WHERE id = {fence}"));
        assert_eq!(self.other.take_over(GONE, NOW).unwrap().instances, 1);
    }

    fn state(&self, of: InHand) -> Vec<String> {
        let query = format!("SELECT state, message FROM executions WHERE id = {}", of.id);
        self.database.rows(&query).remove(0)
    }
}

fn end(of: InHand) -> End {
    End { of, outcome: Outcome { state: EndState::Succeeded, message: String::new(), end_time: NOW } }
}

#[test]
fn what_one_instance_has_in_hand_no_other_takes() {
    if !is_postgres() {
        return;
    }
    let pair = Pair::new();
    let of = pair.claimed(&pair.job());
    assert!(pair.other.claim_executions(&[(of.id, NOW, 0)]).unwrap().ids.is_empty());
    assert!(pair.other.pending_executions(Kind::Job, NOW, &[], 9).unwrap().is_empty());
    assert_eq!(
        pair.one.pending_executions(Kind::Job, NOW, &[], 9).unwrap().len(),
        1,
        "it may hand it out again"
    );
    let in_the_others_hand = InHand { fence: pair.other.fence().unwrap(), ..of };
    assert!(!pair.other.begin_attempt(in_the_others_hand, NOW, NOW).unwrap());
    assert!(!pair.other.finish(&end(in_the_others_hand)).unwrap());
    assert!(pair.one.finish(&end(of)).unwrap());
}

#[test]
fn what_another_has_tried_since_it_was_read_is_not_claimed_as_it_was() {
    if !is_postgres() {
        return;
    }
    let pair = Pair::new();
    let id = pair.one.create_execution(pair.job().id, "", NOW).unwrap().unwrap().id;
    let read = pair.other.pending_executions(Kind::Job, NOW, &[], 9).unwrap();
    assert_eq!((read[0].of.id, read[0].attempts.doubt_until), (id, None));
    let of = InHand { id, fence: pair.one.claim_executions(&[(id, NOW, 0)]).unwrap().fence };
    assert!(pair.one.begin_attempt(of, NOW, NOW).unwrap());
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

#[test]
fn what_is_being_deleted_gets_nothing_new() {
    if !is_postgres() {
        return;
    }
    let pair = Pair::new();
    let job = pair.job();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/executables/mark_deleted.sql");
    let mark = ocf_scheduler::store::numbered_for_postgres(&std::fs::read_to_string(root).unwrap());
    let mut client = pair.database.client();
    let mut deleting = client.transaction().unwrap();
    assert_eq!(deleting.execute(mark.as_str(), &[&NOW.nanos(), &job.id]).unwrap(), 1);
    std::thread::scope(|scope| {
        let started = scope.spawn(|| pair.one.create_execution(job.id, "", NOW).unwrap());
        let scheduled =
            scope.spawn(|| pair.other.create_schedule(job.id, true, "@daily", Some(NOW), NOW).unwrap());
        // Whether they wait by now or come later, they see what was done.
        let waiting = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted";
        wait_for(|| (pair.database.number(waiting) >= 2).then_some(()));
        deleting.commit().unwrap();
        assert_eq!((started.join().unwrap(), scheduled.join().unwrap()), (None, None));
    });
}

#[test]
fn who_returns_after_its_lease_has_ended_overwrites_nothing() {
    if !is_postgres() {
        return;
    }
    let pair = Pair::new();
    let (job, call) = (pair.job(), pair.call());
    let [sent, waiting] = [(); 2].map(|()| pair.claimed(&call));
    let [attempted, running] = [(); 2].map(|()| pair.claimed(&job));
    assert!(pair.one.start_call(sent, NOW).unwrap());
    assert!(pair.one.begin_attempt(attempted, NOW, NOW).unwrap());
    assert!(pair.one.accept_task(running, &Guid::from("task")).unwrap());
    pair.take_over();

    assert_eq!(pair.state(sent), ["FAILED", GONE], "it may have been sent, and is not sent again");
    let pending = |kind| pair.other.pending_executions(kind, NOW, &[], 9).unwrap();
    let calls = pending(Kind::Call);
    assert_eq!(calls.iter().map(|it| it.of.id).collect::<Vec<_>>(), [waiting.id]);
    let jobs = pending(Kind::Job);
    assert_eq!(jobs[0].of.id, attempted.id);
    assert!(jobs[0].attempts.doubt_until.is_some(), "its task is looked for before another is made");
    let followed = pair.other.running_tasks(0, 9).unwrap();
    assert_eq!(followed.iter().map(|it| it.of.id).collect::<Vec<_>>(), [running.id]);

    for of in [sent, waiting, attempted, running] {
        let before = pair.state(of);
        assert!(!pair.one.start_call(of, NOW).unwrap());
        assert!(!pair.one.begin_attempt(of, NOW, NOW).unwrap());
        assert!(!pair.one.accept_task(of, &Guid::from("another")).unwrap());
        assert!(!pair.one.finish(&end(of)).unwrap());
        assert!(!pair.one.give_up(&end(of)).unwrap());
        assert_eq!(pair.state(of), before);
    }
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM strays"), 0);
    // Its old number claims nothing more, though it believes that the lease holds.
    assert!(pair.one.claim_executions(&[(waiting.id, NOW, 0)]).unwrap().ids.is_empty());
    let renewed = pair.one.renew_lease().unwrap().unwrap();
    assert!(renewed.is_new && sent.fence < renewed.fence);
    assert_eq!(pair.one.claim_executions(&[(waiting.id, NOW, 0)]).unwrap().ids, [waiting.id]);
    assert!(pair.other.finish(&End { of: followed[0].of, ..end(running) }).unwrap());
}

#[test]
fn a_lease_that_has_ended_and_that_nobody_took_over_is_held_again() {
    if !is_postgres() {
        return;
    }
    let pair = Pair::new();
    let of = pair.claimed(&pair.job());
    pair.database.execute("UPDATE instances SET lease_until = 0");
    assert!(!pair.one.renew_lease().unwrap().unwrap().is_new);
    assert!(pair.one.finish(&end(of)).unwrap());
    assert_eq!(pair.one.take_over(GONE, NOW).unwrap().instances, 1, "the other's has ended");
}

#[test]
fn who_resigns_leaves_what_it_had_to_the_others_at_once() {
    if !is_postgres() {
        return;
    }
    let pair = Pair::new();
    let (sent, waiting) = (pair.claimed(&pair.call()), pair.claimed(&pair.job()));
    assert!(pair.one.start_call(sent, NOW).unwrap());
    assert_eq!(pair.one.resign(GONE, NOW).unwrap().len(), 1);
    assert_eq!(pair.state(sent), ["FAILED", GONE]);
    assert_eq!(pair.other.claim_executions(&[(waiting.id, NOW, 0)]).unwrap().ids, [waiting.id]);
    assert!(pair.one.fence().is_err());
}

#[test]
fn what_is_in_the_hand_of_nobody_at_all_is_taken_over() {
    if !is_postgres() {
        return;
    }
    let pair = Pair::new();
    let (sent, waiting) = (pair.claimed(&pair.call()), pair.claimed(&pair.job()));
    assert!(pair.one.start_call(sent, NOW).unwrap());
    pair.database.execute(&format!("DELETE FROM instances WHERE id = {}", sent.fence));
    assert_eq!(pair.other.take_over(GONE, NOW).unwrap().instances, 1);
    assert_eq!(pair.state(sent), ["FAILED", GONE]);
    assert_eq!(pair.other.claim_executions(&[(waiting.id, NOW, 0)]).unwrap().ids, [waiting.id]);
}

#[test]
fn schedules_that_one_instance_is_claiming_are_passed_over_by_the_others() {
    if !is_postgres() {
        return;
    }
    let pair = Pair::new();
    let job = pair.job();
    for _ in 0..10 {
        pair.one.create_schedule(job.id, true, "* * * * *", Some(NOW), NOW).unwrap().unwrap();
    }
    let later = NOW.saturating_add(Duration::from_secs(60));
    let plan = |due: &ocf_scheduler::store::DueSchedule| Plan {
        fires: vec![ocf_scheduler::store::Fire { scheduled_time: NOW, note: String::new() }],
        ..Plan::without_fire(due, Some(later))
    };
    let by_the_other = std::sync::Mutex::new(Vec::new());
    let claimed = pair
        .one
        .claim_due(NOW, 4, |due| {
            // In the middle of it, once.
            let mut seen = by_the_other.lock().unwrap();
            if seen.is_empty() {
                seen.push(pair.other.claim_due(NOW, 100, plan).unwrap());
            }
            plan(due)
        })
        .unwrap();
    assert_eq!((claimed.schedules, claimed.executions.len()), (4, 4));
    let seen = by_the_other.into_inner().unwrap();
    assert_eq!((seen[0].schedules, seen[0].executions.len()), (6, 6), "without waiting for the first");
    assert_eq!(pair.one.claim_due(NOW, 100, plan).unwrap().schedules, 0);
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM executions"), 10);
    assert_eq!(pair.database.number("SELECT SUM(size) FROM history_sizes WHERE owner = 'executable'"), 10);
}

#[test]
fn a_call_that_gets_under_way_while_its_hand_is_taken_over_is_ended_too() {
    if !is_postgres() {
        return;
    }
    let pair = Pair::new();
    let of = pair.claimed(&pair.call());
    pair.database.execute(&format!("UPDATE instances SET lease_until = 0 WHERE id = {}", of.fence));
    // As `start_call` of one that comes back at that moment: seen by no one else yet.
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

#[test]
fn what_the_server_does_not_commit_is_not_answered_as_done() {
    if !is_postgres() {
        return;
    }
    let pair = Pair::new();
    let job = pair.job();
    // It gives the row that was asked for, and fails after that.
    pair.database.execute(
        "CREATE FUNCTION is_full() RETURNS TRIGGER LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$;
         CREATE CONSTRAINT TRIGGER is_full AFTER INSERT ON executions DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION is_full()",
    );
    let refused = pair.one.create_execution(job.id, "", NOW);
    assert!(matches!(refused, Err(ocf_scheduler::store::StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM executions"), 0);
}

#[test]
fn a_server_whose_transactions_are_serializable_by_default_works_the_same() {
    if !is_postgres() {
        return;
    }
    let pair = Pair::new();
    let url = format!("{}&options=-c%20default_transaction_isolation%3Dserializable", pair.database.url);
    let settings = ocf_scheduler::store::Settings {
        database: ocf_scheduler::store::Location::Postgres(Secret::from(url)),
        ..pair.database.settings()
    };
    let store = Store::open(&settings).unwrap();
    let job = pair.job();
    // Each counts in the same rows.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    store.create_execution(job.id, "", NOW).unwrap().unwrap();
                }
            });
        }
    });
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM executions"), 160);
}

#[test]
fn two_that_clear_what_was_deleted_do_not_stand_in_each_others_way() {
    if !is_postgres() {
        return;
    }
    let pair = Pair::new();
    let job = pair.job();
    let schedule = pair.one.create_schedule(job.id, true, "* * * * *", Some(NOW), NOW).unwrap().unwrap();
    pair.database.execute(&format!(
        "INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, asked_at, created_at, end_time)
         SELECT 'e' || i, {}, {}, i, 'job', 'FAILED', 1, 1, 1 FROM generate_series(1, 400) AS i",
        job.id, schedule.id
    ));
    pair.one.delete_executable(job.id, NOW).unwrap().unwrap();
    std::thread::scope(|scope| {
        for store in [&pair.one, &pair.other, &pair.one, &pair.other] {
            scope.spawn(|| while store.purge_deleted(5).unwrap() > 0 {});
        }
    });
    while pair.one.purge_deleted(5).unwrap() > 0 {}
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM executables"), 0);
}

#[test]
fn who_has_just_come_or_sees_the_clock_set_gives_the_others_a_leases_time_to_come_back() {
    if !is_postgres() {
        return;
    }
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
    // Its lease has ended, as after the database was away; it hears of the database again in time.
    set_forward(20);
    passes(12);
    assert!(is_there());
    assert!(!one.renew_lease().unwrap().unwrap().is_new);
    passes(12);
    // The other has held its own for long when the clock is set.
    set_forward(3600);
    passes(12);
    assert!(is_there());
    // Whoever has not come back by the end of that is gone.
    passes(12);
    assert!(!is_there());
}

#[test]
fn nobody_has_a_lease_before_it_knows_the_time() {
    if !is_postgres() {
        return;
    }
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

#[test]
fn what_is_recorded_again_because_the_answer_was_lost_is_taken_as_recorded() {
    if !is_postgres() {
        return;
    }
    let pair = Pair::new();
    let (of, task) = (pair.claimed(&pair.job()), Guid::from("task"));
    assert!(pair.one.accept_task(of, &task).unwrap());
    assert!(pair.one.accept_task(of, &task).unwrap());
    assert!(!pair.one.accept_task(of, &Guid::from("another")).unwrap());
    assert!(pair.one.finish(&end(of)).unwrap());
    assert!(!pair.one.accept_task(of, &task).unwrap());
    let call = pair.claimed(&pair.call());
    assert!(pair.one.start_call(call, NOW).unwrap());
    assert!(pair.one.start_call(call, NOW).unwrap());
}

#[test]
fn many_that_wait_are_cancelled_in_parts_and_their_job_changes_once_for_each() {
    if !is_postgres() {
        return;
    }
    let pair = Pair::new();
    let job = pair.job();
    let schedule = pair.one.create_schedule(job.id, true, "* * * * *", None, NOW).unwrap().unwrap();
    pair.database.execute(&format!(
        "INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, asked_at, created_at, dispatch_time,
                                 doubt_until)
         SELECT 'e' || i, {}, {}, i, 'job', 'PENDING', 1, 1, 1, CASE WHEN i % 2 = 0 THEN 1 END FROM generate_series(1, 1201) AS i;
         CREATE SEQUENCE changes;
         CREATE FUNCTION note() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('changes'); RETURN NEW; END $$;
         CREATE TRIGGER note BEFORE UPDATE OF state ON executables FOR EACH ROW EXECUTE FUNCTION note()",
        job.id, schedule.id
    ));
    let cancelled = pair.one.delete_schedule(&schedule, NOW).unwrap().unwrap();
    assert_eq!(cancelled.len(), 1201);
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM executions WHERE state = 'FAILED'"), 1201);
    assert_eq!(pair.database.number("SELECT COUNT(*) FROM strays"), 600);
    let last = "SELECT MAX(e.id) - MAX(x.state_execution_id) FROM executables AS x, executions AS e";
    assert_eq!(pair.database.number(last), 0);
    assert!(pair.database.number("SELECT last_value FROM changes") <= 3);
}

#[test]
fn a_lease_does_not_outlast_a_clock_that_was_set_back() {
    if !is_postgres() {
        return;
    }
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

#[test]
fn of_long_texts_the_server_sends_no_more_than_are_wanted_at_a_time_and_none_is_missing() {
    if !is_postgres() {
        return;
    }
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
        let part = pair.one.list_executables(Kind::Call, &Scope::All, window).unwrap();
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
    let part = pair.one.list_executables(Kind::Call, &Scope::All, window).unwrap();
    assert_eq!((part.rows.len(), part.is_end), (1, true), "what is passed over takes nothing away");

    let names = ["list_all", "list_in_space", "list_in_spaces"].map(|name| format!("executables/{name}"));
    for (name, text) in statements().iter().filter(|(name, _)| names.contains(name)) {
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

/// The statements that PostgreSQL runs: names, and texts with numbered parameters.
fn statements() -> Vec<(String, String)> {
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
            let name = file[root.len() + 1..].split('.').next().unwrap().to_owned();
            let text = std::fs::read_to_string(file).unwrap();
            (name, ocf_scheduler::store::numbered_for_postgres(&text))
        })
        .collect()
}

#[test]
fn every_statement_prepares_and_hot_ones_search_an_index_and_sort_nothing() {
    if !is_postgres() {
        return;
    }
    let pair = Pair::new();
    let statements = statements();
    assert!(statements.len() > 40);
    let hot = [
        ("executables/get", "executables_guid_key"),
        ("executables/list_in_space", "executables_by_space"),
        // All in the order of ids is what the key itself gives.
        ("executables/list_all", "Index Scan"),
        ("schedules/get", "schedules_guid_key"),
        ("schedules/list", "schedules_by_executable"),
        ("schedules/due", "schedules_due"),
        ("schedules/next_fire_time", "schedules_due"),
        ("schedules/planned_ahead", "schedules_by_planned_at"),
        ("executions/list_of_executable", "executions_by_executable"),
        ("executions/list_of_schedule", "executions_by_schedule"),
        ("executions/pending", "executions_to_dispatch"),
        ("executions/pending_asked_after", "executions_by_asked_at"),
        ("executions/next_dispatch_time", "executions_to_dispatch"),
        ("executions/running_tasks", "executions_by_owner"),
        ("executions/calls_in_flight", "executions_by_owner"),
        ("executions/adopt", "executions_unfollowed"),
        ("executions/let_go", "executions_by_owner"),
        ("executions/pending_of_schedule", "executions_pending"),
        ("executions/pending_of_executable", "executions_pending"),
        ("executions/purge_ended", "executions_ended"),
        ("executables/first_deleted", "executables_deleted"),
    ];
    // As many rows as make a difference.
    pair.database.execute(
        "INSERT INTO executables (guid, kind, name, app_guid, space_guid, command, disk_in_mb, memory_in_mb, state, created_at,
                                  updated_at)
         SELECT 'x' || i, 'job', 'n' || i, 'a', 's' || i % 50, 'c', 1, 1, 'PENDING', 1, 1 FROM generate_series(1, 3000) AS i;
         INSERT INTO schedules (guid, executable_id, enabled, expression, next_fire_time, planned_at, created_at, updated_at)
         SELECT 's' || id, id, TRUE, '@daily', id, id, 1, 1 FROM executables;
         INSERT INTO executions (guid, executable_id, schedule_id, scheduled_time, kind, state, asked_at, created_at, dispatch_time,
                                 end_time, owner)
         SELECT 'e' || x.id || '-' || i, x.id, s.id, i, 'job', CASE WHEN i > 3 THEN 'SUCCEEDED' ELSE 'PENDING' END, 1, 1,
                CASE WHEN i > 3 THEN NULL ELSE x.id END, CASE WHEN i > 3 THEN x.id END, CASE WHEN i = 1 THEN x.id % 7 END
           FROM executables AS x JOIN schedules AS s ON s.executable_id = x.id, generate_series(1, 10) AS i;
         ANALYZE;",
    );
    let setup =
        "SET enable_seqscan = off; SET enable_bitmapscan = off; SET plan_cache_mode = force_generic_plan;";
    let mut slow = Vec::new();
    let mut client = pair.database.client();
    // A Go service has schedules and executions, too.
    client.batch_execute("CREATE TABLE jobs (guid TEXT); CREATE TABLE calls (guid TEXT)").unwrap();
    for (name, text) in &statements {
        client.prepare(text).unwrap_or_else(|err| panic!("{name}: {err}"));
        if name.starts_with("go/") {
            continue;
        }
        let text = text.trim().trim_end_matches(';');
        let parameters = (1..).take_while(|number| text.contains(&format!("${number}"))).count();
        let nulls = vec!["NULL"; parameters].join(", ");
        let values = if nulls.is_empty() { String::new() } else { format!("({nulls})") };
        let plan = pair.database.rows(&format!("{setup} PREPARE one AS {text}; EXPLAIN EXECUTE one{values}"));
        let plan: Vec<String> = plan.into_iter().map(|mut row| row.remove(0)).collect();
        if let Some((_, index)) = hot.iter().find(|(hot, _)| hot == name) {
            let is_read_whole =
                plan.iter().any(|step| step.contains("Seq Scan on ") || step.contains("Sort  ("));
            if is_read_whole || !plan.iter().any(|step| step.contains(index)) {
                slow.push(format!("{name} {plan:#?}"));
            }
        }
    }
    assert!(slow.is_empty(), "{}", slow.join("\n"));
    for (name, _) in hot {
        assert!(statements.iter().any(|(known, _)| known == name), "{name} is not there");
    }
}
