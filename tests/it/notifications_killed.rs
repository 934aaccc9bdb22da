//! The real program, killed while it sends: each event is reported in order, and repeated only with the same
//! id.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::cf::fake_cf::FakeCf;
use super::crash::{Random, number_of, pause};
use super::database::Database;
use super::notifications::{Does, Received, Receiver};
use super::program::{Program, ask};
use super::world::{APP, SPACE, wait_for};

/// Where it is killed: once during the report of a failure, and once during that of the recovery.
const PLACES: [&str; 7] = [
    "call.answered:1",
    "delivery.claimed:1",
    "delivery.sending:1",
    "delivery.answered:1",
    "write.committing:3",
    "write.committed:2",
    "write.committed:4",
];

struct Killed {
    cf: FakeCf,
    token: String,
    directory: tempfile::TempDir,
    program: Option<Program>,
}

impl Killed {
    /// Starts the program, which is killed at `place`, if any, or earlier.
    fn start(&mut self, place: Option<&str>) {
        self.program = None;
        // Because of its name it takes over its earlier work at once.
        let mut variables = vec![("INSTANCE_ID", "one")];
        variables.extend(place.map(|place| ("OCF_CRASH_POINT", place)));
        self.program = Program::start(self.directory.path(), &self.cf, &variables);
    }

    /// Sends a request; restarts the program if it was killed meanwhile.
    fn ask(&mut self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let url = self.program.as_ref().map(|program| program.url.clone());
        let answer = url.and_then(|url| ask(&url, &self.token, method, path, body));
        if answer.is_none() && self.program.as_mut().is_none_or(Program::has_ended) {
            self.start(None);
        }
        answer
    }

    /// Runs the call until it has ended in this state once.
    fn run_until(&mut self, call: &str, state: &str) {
        for _ in 0..200 {
            let started = self.ask("POST", &format!("/calls/{call}/execute"), "");
            let Some((201, execution)) = started else { continue };
            let path = format!("/executions/{}", execution["guid"].as_str().unwrap());
            for _ in 0..500 {
                match self.ask("GET", &path, "") {
                    Some((200, it)) if it["state"] == state && it["reason"] != "interrupted" => return,
                    Some((200, it)) if it["state"] == "FAILED" => break,
                    _ => pause(10),
                }
            }
        }
        panic!("it never ended as {state}");
    }

    /// Waits until a message of this type has arrived.
    fn wait_until_told(&mut self, receiver: &Receiver, kind: &str) {
        let database = Database::of(self.directory.path(), "s.db");
        for _ in 0..3000 {
            if self.program.as_mut().is_none_or(Program::has_ended) {
                self.start(None);
            }
            if told(receiver, kind).next().is_some() {
                return;
            }
            database.execute("UPDATE deliveries SET due_at = 1 WHERE due_at > 1");
            pause(10);
        }
        panic!("{kind} was never told");
    }
}

fn told<'a>(receiver: &Receiver, kind: &'a str) -> impl Iterator<Item = Received> + use<'a> {
    receiver.received().into_iter().filter(move |it| it.json()["type"] == kind)
}

fn ids(receiver: &Receiver, kind: &str) -> BTreeSet<String> {
    told(receiver, kind).map(|it| it.header("webhook-id").unwrap().to_owned()).collect()
}

fn is_quiet(directory: &Path) -> bool {
    let open = "SELECT COUNT(*) FROM deliveries WHERE ended_at IS NULL";
    Database::of(directory, "s.db").number(open) == 0
}

#[test]
fn killed_anywhere_each_edge_is_told_and_again_only_with_the_same_id() {
    for place in PLACES {
        let cf = FakeCf::start();
        cf.add_app(APP, SPACE);
        cf.add_role("dev", SPACE);
        let token = cf.issue_cf_token("dev");
        let directory = tempfile::tempdir().unwrap();
        let mut killed = Killed { cf, token, directory, program: None };
        let (receiver, target) = (Receiver::start(), Receiver::start());
        killed.start(None);
        let call = json!({ "name": "ping", "url": target.url, "auth_header": "a" }).to_string();
        let call = killed.ask("POST", &format!("/calls?app_guid={APP}"), &call).unwrap().1;
        let call = call["guid"].as_str().unwrap().to_owned();
        let made = json!({ "name": "ops", "url": receiver.url }).to_string();
        assert_eq!(killed.ask("POST", &format!("/notifications?space_guid={SPACE}"), &made).unwrap().0, 201);

        target.set(Does::Answer(500));
        killed.start(Some(place));
        killed.run_until(&call, "FAILED");
        killed.wait_until_told(&receiver, "execution.failed");
        target.set(Does::Answer(200));
        killed.start(Some(place));
        killed.run_until(&call, "SUCCEEDED");
        killed.wait_until_told(&receiver, "execution.recovered");
        wait_for(|| {
            Database::of(killed.directory.path(), "s.db")
                .execute("UPDATE deliveries SET due_at = 1 WHERE due_at > 1");
            is_quiet(killed.directory.path()).then_some(())
        });
        assert_eq!(ids(&receiver, "execution.failed").len(), 1, "{place}");
        assert_eq!(ids(&receiver, "execution.recovered").len(), 1, "{place}");
        let received = receiver.received();
        let kinds: Vec<Value> = received.iter().map(|it| it.json()["type"].clone()).collect();
        let first = kinds.iter().position(|kind| kind == "execution.recovered").unwrap();
        assert!(kinds[first..].iter().all(|kind| kind == "execution.recovered"), "{place}: {kinds:?}");
    }
}

/// Places that a delivery and an end pass several times in a round.
const BUSY_PLACES: [&str; 6] = [
    "call.answered",
    "delivery.claimed",
    "delivery.sending",
    "delivery.answered",
    "write.committing",
    "write.committed",
];

/// `NOTIFIER_KILLS=200 NOTIFIER_SEED=7 cargo test --test it edges_of_each -- --nocapture` is the long
/// version.
#[test]
#[expect(clippy::print_stdout, reason = "the long version tells what it went through")]
fn killed_again_and_again_the_edges_of_each_call_are_told_once() {
    let (kills, seed) = (number_of("NOTIFIER_KILLS", 4), number_of("NOTIFIER_SEED", 1));
    let mut random = Random::seeded(seed);
    let cf = FakeCf::start();
    cf.add_app(APP, SPACE);
    cf.add_role("dev", SPACE);
    let token = cf.issue_cf_token("dev");
    let directory = tempfile::tempdir().unwrap();
    let mut killed = Killed { cf, token, directory, program: None };
    killed.start(None);
    let receiver = Receiver::start();
    let made = json!({ "name": "ops", "url": receiver.url }).to_string();
    assert_eq!(killed.ask("POST", &format!("/notifications?space_guid={SPACE}"), &made).unwrap().0, 201);
    // No more than are told one by one.
    let calls: Vec<(String, Receiver)> = (0..4)
        .map(|number| {
            let target = Receiver::start();
            let call = json!({ "name": format!("c{number}"), "url": target.url, "auth_header": "a" });
            let made = killed.ask("POST", &format!("/calls?app_guid={APP}"), &call.to_string()).unwrap();
            (made.1["guid"].as_str().unwrap().to_owned(), target)
        })
        .collect();
    let database = Database::of(killed.directory.path(), "s.db");
    let hurry = || database.execute("UPDATE deliveries SET due_at = 1 WHERE due_at > 1");
    let mut is_failing = vec![false; calls.len()];
    let mut ends = 0;
    for _ in 0..kills {
        let place = BUSY_PLACES[usize::try_from(random.below(BUSY_PLACES.len() as u64)).unwrap()];
        killed.start(Some(&format!("{place}:{}", 1 + random.below(8))));
        receiver.set(Does::Answer(if random.below(4) == 0 { 500 } else { 200 }));
        for (index, (call, target)) in calls.iter().enumerate() {
            if random.below(2) == 0 {
                continue;
            }
            is_failing[index] = random.below(2) == 0;
            target.set(Does::Answer(if is_failing[index] { 500 } else { 200 }));
            killed.run_until(call, if is_failing[index] { "FAILED" } else { "SUCCEEDED" });
            ends += 1;
        }
        hurry();
        pause(random.below(1500));
        hurry();
        pause(random.below(1500));
    }
    killed.start(None);
    receiver.set(Does::Answer(200));
    wait_for(|| {
        hurry();
        is_quiet(killed.directory.path()).then_some(())
    });
    let mut edges = 0;
    for ((call, _), is_failing) in calls.iter().zip(is_failing) {
        let mut seen = BTreeSet::new();
        let received = receiver.received();
        let of_call = received.iter().filter(|it| it.json()["data"]["call"]["guid"] == call.as_str());
        let first_of_each: Vec<Value> = of_call
            .filter(|it| seen.insert(it.header("webhook-id").unwrap().to_owned()))
            .map(Received::json)
            .collect();
        let is_failure = |it: &Value| it["type"] == "execution.failed";
        let kinds: Vec<bool> = first_of_each.iter().map(is_failure).collect();
        edges += kinds.len();
        // A recovery that waits gives way to the next failure, which begins another streak.
        for of_kind in [true, false] {
            let of_kind = first_of_each.iter().filter(|it| is_failure(it) == of_kind);
            let streaks: Vec<&Value> = of_kind.map(|it| &it["data"]["failing_since"]).collect();
            let distinct: BTreeSet<&str> = streaks.iter().filter_map(|since| since.as_str()).collect();
            assert_eq!(distinct.len(), streaks.len(), "a streak was told twice: {first_of_each:#?}");
        }
        assert!(kinds.first().is_none_or(|is_failure| *is_failure), "{first_of_each:#?}");
        let rows = |of: &str| {
            let of_call = format!("executable_id = (SELECT id FROM executables WHERE guid = '{call}')");
            database.rows(&format!("{of} WHERE {of_call} ORDER BY id DESC LIMIT 6"))
        };
        assert_eq!(
            kinds.last() == Some(&true),
            is_failing,
            "the last edge was not told: {:#?} {:#?}",
            rows("SELECT id, state, reason, created_at, end_time FROM executions"),
            rows("SELECT id, event, state, attempts, created_at, ended_at, last_error FROM deliveries")
        );
    }
    println!("seed={seed} kills={kills} ends={ends} edges={edges} messages={}", receiver.received().len());
}

/// The number of these events in all messages, including summaries. A message that a killed instance had sent
/// may arrive again, with the same id.
fn count_told(receiver: &Receiver, event: &str) -> u64 {
    let of = |it: &Received| {
        let body = it.json();
        match body["type"].as_str().unwrap() {
            "summary" => body["data"]["counts"][event].as_u64().unwrap_or(0),
            kind => u64::from(kind == format!("execution.{event}")),
        }
    };
    let mut seen = BTreeSet::new();
    let received = receiver.received();
    received.iter().filter(|it| seen.insert(it.header("webhook-id").map(str::to_owned))).map(of).sum()
}

#[needs::postgres]
#[test]
fn two_instances_tell_each_edge_once() {
    let cf = FakeCf::start();
    cf.add_app(APP, SPACE);
    cf.add_role("dev", SPACE);
    let token = cf.issue_cf_token("dev");
    let directory = tempfile::tempdir().unwrap();
    let (receiver, target) = (Receiver::start(), Receiver::start());
    let mut programs: Vec<Program> = ["one", "two", "three"]
        .iter()
        .map(|name| Program::start(directory.path(), &cf, &[("INSTANCE_ID", name)]).unwrap())
        .collect();
    let made = json!({ "name": "ops", "url": receiver.url }).to_string();
    let ask_of = |programs: &[Program], number: usize, method: &str, path: &str, body: &str| {
        ask(&programs[number % programs.len()].url, &token, method, path, body).unwrap().1
    };
    ask_of(&programs, 0, "POST", &format!("/notifications?space_guid={SPACE}"), &made);
    let calls: Vec<String> = (0..40)
        .map(|number| {
            let call =
                json!({ "name": format!("c{number}"), "url": target.url, "auth_header": "a" }).to_string();
            let made = ask_of(&programs, number, "POST", &format!("/calls?app_guid={APP}"), &call);
            made["guid"].as_str().unwrap().to_owned()
        })
        .collect();
    let run_all = |programs: &[Program]| {
        for (number, call) in calls.iter().enumerate() {
            ask_of(programs, number, "POST", &format!("/calls/{call}/execute"), "");
        }
    };
    target.set(Does::Answer(500));
    run_all(&programs);
    wait_for(|| (count_told(&receiver, "failed") == 40).then_some(()));
    // One instance is killed while it may be sending; the others continue.
    programs.remove(0);
    target.set(Does::Answer(200));
    run_all(&programs);
    wait_for(|| (count_told(&receiver, "recovered") == 40).then_some(()));
    wait_for(|| is_quiet(directory.path()).then_some(()));
    assert_eq!((count_told(&receiver, "failed"), count_told(&receiver, "recovered")), (40, 40));
}
