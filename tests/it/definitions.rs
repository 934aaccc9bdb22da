//! Definitions in files: `export`, `plan`, `apply`.

use std::fs;

use serde_json::{Value, json};

use super::client::{Said, cf_home, program};
use super::world::{APP, FOREIGN_APP, FOREIGN_SPACE, OTHER_APP, SPACE, World, wait_for};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const FILE: &str = r#"
name = "billing"
app = "APP"

[[job]]
name = "nightly"
command = "echo $HOME $${HOME}"
labels = { team = "billing" }

[[job.schedule]]
key = "weekdays"
expression = "0 9 * * 1-5"
timezone = "Europe/Berlin"

[[job.schedule]]
key = "sunday"
expression = "0 10 * * 0"

[[call]]
name = "ping"
url = "https://example.com/ping"
auth_header = "Bearer ${PING_TOKEN}"
signing_secret = "${PING_SECRET}"
headers = { X-Key = "${PING_TOKEN}" }
schedule = "*/5 * * * *"

[[notification]]
name = "ops"
url = "https://hooks.example.com/${PING_TOKEN}"
jobs = ["nightly"]
"#;

/// A folder with a file of definitions, and a service.
struct Desk {
    world: World,
    folder: tempfile::TempDir,
    secret: &'static str,
}

impl Desk {
    fn new() -> Self {
        Self::of(World::start())
    }

    fn of(world: World) -> Self {
        let desk = Self { world, folder: tempfile::tempdir().unwrap(), secret: SECRET };
        desk.write(FILE);
        desk
    }

    fn write(&self, text: &str) {
        let text = text.replace("\"APP\"", &format!("{APP:?}"));
        fs::write(self.folder.path().join("file.toml"), text).unwrap();
    }

    fn change(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.folder.path().join("file.toml")).unwrap();
        assert!(text.contains(from), "{from}");
        self.write(&text.replace(from, to));
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let url = self.world.url();
        let variables = [
            ("SCHEDULER_URL", url.as_str()),
            ("SCHEDULER_TOKEN", &self.world.token),
            ("SCHEDULER_SPACE", SPACE),
            ("PING_TOKEN", "hunter2"),
            ("PING_SECRET", self.secret),
        ];
        Said::of(program(&variables, arguments).current_dir(self.folder.path()))
    }

    fn events(&self) -> Vec<String> {
        let page = self.world.get("/audit_events?per_page=500").json();
        page["resources"].as_array().unwrap().iter().map(|it| it["type"].to_string()).collect()
    }

    fn job(&self, name: &str) -> Value {
        let all = self.world.get("/jobs?detailed=true").json();
        all["resources"].as_array().unwrap().iter().find(|it| it["name"] == name).cloned().unwrap_or_default()
    }
}

#[test]
fn a_plan_says_what_apply_does_and_applying_again_changes_nothing() {
    let desk = Desk::new();
    let plan = desk.run(&["plan", "file.toml"]).expect(2, &["+ job nightly", "6 to create", "0 unchanged"]);
    assert!(!format!("{}{}", plan.out, plan.err).contains("hunter2"));
    assert!(desk.events().is_empty());
    desk.run(&["apply", "file.toml"]).expect(0, &["+ notification ops", "6 created"]);
    let job = desk.job("nightly");
    assert_eq!(job["command"], "echo $HOME ${HOME}");
    assert_eq!(job["metadata"]["labels"], json!({"scheduler.ocf/file": "billing", "team": "billing"}));
    assert_eq!(job["schedules"][0]["key"], "weekdays");
    let told = desk.world.get("/notifications").json()["resources"][0].clone();
    assert_eq!(
        (&told["job_guids"], &told["url"]),
        (&json!([job["guid"]]), &json!("https://hooks.example.com/hunter2"))
    );

    let before = desk.events();
    desk.run(&["plan", "file.toml"]).expect(0, &["6 unchanged"]);
    desk.run(&["apply", "file.toml", "--prune"]).expect(0, &["0 created", "6 unchanged"]);
    assert_eq!(desk.events(), before);
    assert_eq!(desk.job("nightly"), job);
}

#[test]
fn a_difference_names_the_field_and_no_secret() {
    let mut desk = Desk::new();
    desk.run(&["apply", "file.toml"]).expect(0, &[]);
    desk.change("labels = { team = \"billing\" }", "labels = { team = \"shop\" }\ntimeout_seconds = 60");
    desk.change("Bearer ${PING_TOKEN}", "Basic ${PING_TOKEN}");
    desk.secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let plan = desk.run(&["plan", "file.toml"]);
    let lines =
        ["timeout_seconds: null → 60", "labels.team: \"billing\" → \"shop\"", "auth_header: [changed]"];
    let plan = plan.expect(2, &lines).expect(2, &["2 to change"]);
    assert!(!plan.out.contains("hunter2"), "{}", plan.out);
    desk.run(&["apply", "file.toml"]).expect(0, &["2 changed"]);
    desk.run(&["plan", "file.toml"]).expect(0, &["6 unchanged"]);
    // The API does not show this secret, so the service itself says that it differs.
    desk.secret = SECRET;
    desk.run(&["plan", "file.toml"]).expect(2, &["~ call ping", "a secret: [changed]"]);
    let steps = desk.run(&["plan", "file.toml", "-o", "json"]);
    let steps: Value = serde_json::from_str(&steps.out).unwrap();
    let changes: Vec<_> = steps.as_array().unwrap().iter().filter(|it| it["change"] != "unchanged").collect();
    assert_eq!((changes.len(), &changes[0]["change"]), (1, &json!("replaced")));
}

#[test]
fn pruning_deletes_only_what_the_file_created() {
    let desk = Desk::new();
    let other = desk.world.job("by-hand");
    desk.run(&["apply", "file.toml"]).expect(0, &[]);
    let job = desk.job("nightly")["guid"].as_str().unwrap().to_owned();
    desk.world.post(&format!("/jobs/{job}/schedules"), r#"{"expression":"@yearly"}"#);
    let text = FILE.split("[[call]]").next().unwrap().replace("key = \"sunday\"", "key = \"sun\"");
    desk.write(&text);
    desk.run(&["plan", "file.toml"]).expect(2, &["1 to create", "0 to delete"]);
    let gone = ["- call ping", "- schedule sunday of job nightly", "2 to delete"];
    desk.run(&["plan", "file.toml", "--prune"]).expect(2, &gone);
    desk.run(&["apply", "file.toml", "--prune"]).expect(0, &["2 deleted"]);
    desk.run(&["plan", "file.toml", "--prune"]).expect(0, &["0 to delete"]);
    assert_eq!(desk.world.get(&format!("/jobs/{other}")).status, 200);
    assert_eq!(desk.world.get("/calls").json()["resources"], json!([]));
    let expressions: Vec<Value> = desk.job("nightly")["schedules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["expression"].clone())
        .collect();
    assert_eq!(expressions, ["0 9 * * 1-5", "@yearly", "0 10 * * 0"]);
    // A file of another name owns nothing here.
    desk.write("name = \"other\"\napp = \"APP\"\n");
    desk.run(&["plan", "file.toml", "--prune"]).expect(0, &["0 to delete"]);
}

#[test]
fn errors_in_a_file_are_reported_and_the_rest_is_applied_but_not_pruned() {
    let desk = Desk::new();
    desk.run(&["apply", "file.toml"]).expect(0, &[]);
    desk.change("name = \"nightly\"", "name = \"daily\"\ncommand_ = 1");
    desk.run(&["plan", "file.toml"])
        .expect(6, &["job daily has a field \"command_\"; did you mean command?"]);
    desk.change("command_ = 1", "memory_in_mb = -1");
    let faults = ["job daily of app", "memory_in_mb is a negative number", "there is no job \"nightly\""];
    desk.run(&["plan", "file.toml"]).expect(6, &faults[..2]);
    desk.change("*/5 * * * *", "*/6 * * * *");
    let said = desk.run(&["apply", "file.toml", "--prune"]).expect(6, &["1 changed", "nothing was pruned"]);
    said.expect(6, &faults[..2]);
    assert!(desk.job("nightly")["guid"].is_string());
    desk.change("${PING_TOKEN}", "${UNKNOWN}");
    let missing =
        "the variable UNKNOWN is not set; it is needed for auth_header of call ping and 2 other fields";
    desk.run(&["plan", "file.toml"]).expect(6, &[missing]);
    // Nothing is applied if one definition has no app.
    desk.write(
        "[[job]]\nname = \"a\"\ncommand = \"x\"\napp = \"APP\"\n[[job]]\nname = \"b\"\ncommand = \"x\"\n",
    );
    let said =
        desk.run(&["apply", "file.toml"]).expect(6, &["no app for job b: set app = \"…\" in the file"]);
    assert!(said.out.is_empty() && desk.job("a").is_null(), "{}", said.out);
    // Once by default and once by its app is one job too.
    let job = "[[job]]\nname = \"a\"\ncommand = \"x\"\n";
    desk.write(&format!("{job}{job}app = \"APP\"\n"));
    let said = desk.run(&["apply", "file.toml", "--app", APP]);
    said.expect(6, &["there are two jobs \"a\" of the same app"]);
    desk.run(&["plan", "none.toml"]).expect(6, &["none.toml cannot be read"]);
    desk.run(&["plan"]).expect(2, &["plan needs FILE"]);
    // Status 2 would mean that there is something to change.
    let mut lost = program(&[], &["plan", "file.toml"]);
    Said::of(lost.current_dir(desk.folder.path())).expect(5, &["no service is given"]);
}

#[test]
fn an_app_that_does_not_exist_is_one_error() {
    let desk = Desk::new();
    desk.change(&format!("{APP:?}"), "\"nowhere\"");
    let said = desk.run(&["apply", "file.toml"]).expect(
        6,
        &["job nightly of app nowhere: there is no such app", "expected: the name or guid of an app"],
    );
    assert_eq!(said.err.matches("no such app").count(), 1, "{}", said.err);
    assert!(!said.err.contains("app_guid"), "{}", said.err);
    said.expect(6, &["3 definitions cannot be applied"]);
}

#[test]
fn a_plan_names_the_jobs_of_a_notification_even_before_they_exist() {
    let desk = Desk::new();
    desk.run(&["apply", "file.toml"]).expect(0, &[]);
    desk.change("jobs = [\"nightly\"]", "jobs = [\"nightly\", \"weekly\"]");
    desk.change(
        "[[notification]]",
        "[[job]]\nname = \"weekly\"\ncommand = \"true\"\napp = \"APP\"\n[[notification]]",
    );
    let names = ["~ notification ops", "jobs: [\"nightly\"] → [\"nightly\",\"weekly\"]"];
    desk.run(&["plan", "file.toml"]).expect(2, &names).expect(2, &["1 to create, 1 to change"]);
    desk.run(&["apply", "file.toml"]).expect(0, &names).expect(0, &["1 created, 1 changed"]);
    desk.run(&["plan", "file.toml"]).expect(0, &["7 unchanged"]);
}

#[test]
fn switches_that_a_file_does_not_set_stay_as_they_are() {
    let desk = Desk::new();
    desk.run(&["apply", "file.toml"]).expect(0, &[]);
    let job = desk.job("nightly");
    let path = format!("/jobs/{}", job["guid"].as_str().unwrap());
    let schedule = format!("{path}/schedules/{}", job["schedules"][0]["guid"].as_str().unwrap());
    assert_eq!(desk.world.patch(&path, r#"{"paused":true}"#).status, 200);
    assert_eq!(desk.world.patch(&schedule, r#"{"enabled":false}"#).status, 200);
    desk.run(&["plan", "file.toml"]).expect(0, &["6 unchanged"]);
    desk.change("name = \"nightly\"", "name = \"nightly\"\npaused = false");
    desk.run(&["plan", "file.toml"]).expect(2, &["paused: true → false", "1 to change"]);
}

#[test]
fn an_export_is_adopted_here_and_creates_the_same_elsewhere() {
    let desk = Desk::new();
    desk.run(&["apply", "file.toml"]).expect(0, &[]);
    let plain = desk.world.job("plain");
    desk.world
        .post(&format!("/jobs/{plain}/schedules"), r#"{"expression":"0 3 * * *","timezone":"Asia/Tokyo"}"#);
    let body = json!({"name": "nightly", "command": "true ${X}", "memory_in_mb": 64}).to_string();
    assert_eq!(desk.world.post(&format!("/jobs?app_guid={OTHER_APP}"), &body).status, 201);
    let exported = desk.run(&["export"]);
    assert_eq!(exported.status, 0, "{}", exported.err);
    for secret in ["hunter2", SECRET] {
        assert!(!exported.out.contains(secret), "{}", exported.out);
    }
    assert!(exported.out.contains("#   CALL_PING_SIGNING_SECRET\n"), "{}", exported.out);
    let filled = exported.out.replace("${CALL_PING_AUTH_HEADER}", "Bearer ${PING_TOKEN}");
    let filled = filled.replace("${CALL_PING_SIGNING_SECRET}", "${PING_SECRET}");
    let filled = filled.replace("${CALL_PING_X_KEY}", "${PING_TOKEN}");
    let filled = filled.replace("${NOTIFICATION_OPS_URL}", "https://hooks.example.com/${PING_TOKEN}");

    desk.write(&filled);
    desk.run(&["plan", "file.toml"]).expect(2, &["key: null", "0 to create", "0 to delete"]);
    desk.run(&["apply", "file.toml"]).expect(0, &[]);
    desk.run(&["plan", "file.toml"]).expect(0, &["0 to change"]);
    assert_eq!(desk.job("plain")["schedules"].as_array().unwrap().len(), 1);

    let elsewhere = Desk::new();
    elsewhere.write(&filled);
    elsewhere.run(&["apply", "file.toml"]).expect(0, &["9 created"]);
    elsewhere.run(&["plan", "file.toml"]).expect(0, &["9 unchanged"]);
    assert_eq!(elsewhere.run(&["export"]).out, desk.run(&["export"]).out);
    let json = elsewhere.run(&["export", "-o", "json"]).json();
    assert_eq!(json["job"].as_array().unwrap().len(), 3);
}

#[test]
fn a_killed_apply_can_be_repeated() {
    let world = World::start();
    let desk = Desk::of(world);
    let jobs: String = (0..40)
        .map(|number| {
            format!("[[job]]\nname = \"j{number}\"\ncommand = \"true\"\nschedule = \"{number} * * * *\"\n\n")
        })
        .collect();
    desk.write(&format!("name = \"forty\"\napp = \"APP\"\n{jobs}"));
    for wanted in [3, 20] {
        let url = desk.world.url();
        let variables = [("SCHEDULER_URL", url.as_str()), ("SCHEDULER_TOKEN", desk.world.token.as_str())];
        let mut apply = program(&variables, &["apply", "file.toml"]);
        let mut child =
            apply.current_dir(desk.folder.path()).stdout(std::process::Stdio::null()).spawn().unwrap();
        wait_for(|| {
            let page = desk.world.get("/jobs?page=1&per_page=1").json();
            (page["pagination"]["total_results"].as_u64().unwrap() >= wanted).then_some(())
        });
        child.kill().unwrap();
        child.wait().unwrap();
    }
    desk.run(&["apply", "file.toml", "--prune"]).expect(0, &["0 deleted"]);
    desk.run(&["plan", "file.toml", "--prune"]).expect(0, &["80 unchanged"]);
    assert_eq!(desk.world.get("/jobs").json()["pagination"]["total_results"], 40);
}

#[test]
fn with_cf_apps_have_names_and_each_is_looked_up_once() {
    let desk = Desk::new();
    let home = cf_home(&desk.world.cf.url(), &desk.world.token, "");
    let url = desk.world.url();
    let variables = [("CF_HOME", home.path().to_str().unwrap()), ("SCHEDULER_URL", url.as_str())];
    let run = |arguments: &[&str]| Said::of(program(&variables, arguments).current_dir(desk.folder.path()));
    let jobs = |names: &[&str]| -> String {
        let of = |app: &str| {
            let job = |name: &&str| format!("[[job]]\nname = {name:?}\napp = {app:?}\ncommand = \"true\"\n");
            names.iter().map(job).collect::<String>()
        };
        of("app-app-1") + &of("app-app-2")
    };
    desk.write(&jobs(&["a", "b", "c"]));
    let asked = || desk.world.cf.count("GET /v3/apps");
    let before = asked();
    run(&["apply", "file.toml", "-o", "json"]).expect(0, &["created"]);
    assert_eq!(asked() - before, 2);
    // The first is in the file, the second only in the service.
    let told = "[[notification]]\nname = \"n\"\nurl = \"http://x/\"\njobs = [";
    desk.write(&format!("{}{told}\"app-app-2/a\", \"app-app-1/c\"]\n", jobs(&["a"])));
    run(&["apply", "file.toml", "-o", "json"]).expect(0, &["notification n"]);
    let all = desk.world.get("/jobs").json();
    let guid = |name: &str, app: &str| {
        let mut jobs = all["resources"].as_array().unwrap().iter();
        jobs.find(|it| it["name"] == name && it["app_guid"] == app).unwrap()["guid"].clone()
    };
    let told = desk.world.get("/notifications").json()["resources"][0]["job_guids"].clone();
    assert_eq!(told, json!([guid("a", OTHER_APP), guid("c", APP)]));
    desk.write(&format!(
        "{}[[notification]]\nname = \"m\"\nurl = \"http://x/\"\njobs = [\"a\"]\n",
        jobs(&["a"])
    ));
    run(&["plan", "file.toml"]).expect(3, &["several jobs are named \"a\"; write APP/NAME"]);
}

/// What is done to the schedule of a plain job.
fn planned(desk: &Desk, schedule: &str) -> Value {
    let guid = desk.world.job("plain");
    let created = desk.world.post(&format!("/jobs/{guid}/schedules"), schedule);
    assert_eq!(created.status, 201, "{}", created.body);
    created.json()
}

#[test]
fn a_plan_shows_all_that_changes_when_a_schedule_is_adopted() {
    let desk = Desk::new();
    planned(&desk, r#"{"expression":"0 9 * * *","enabled":false,"jitter_seconds":600,"description":"x"}"#);
    desk.write("[[job]]\nname = \"plain\"\napp = \"APP\"\ncommand = \"true\"\nschedule = \"0 9 * * *\"\n");
    let lines = ["key: null → \"default\"", "jitter_seconds: 600 → 0", "description: \"x\" → null"];
    let said = desk.run(&["plan", "file.toml"]).expect(2, &lines);
    assert!(!said.out.contains("enabled") && !said.out.contains("secret"), "{}", said.out);
    let said = desk.run(&["apply", "file.toml"]).expect(0, &lines);
    assert!(!said.out.contains("secret"), "{}", said.out);
    let schedules = desk.job("plain")["schedules"].clone();
    assert_eq!((schedules.as_array().unwrap().len(), &schedules[0]["enabled"]), (1, &json!(false)));
    desk.run(&["plan", "file.toml"]).expect(0, &["0 to create, 0 to change"]);
}

#[test]
fn equal_schedules_are_adopted_each_by_its_own_definition() {
    let desk = Desk::new();
    let job = field_of(&planned(&desk, r#"{"expression":"0 9 * * *","jitter_seconds":7}"#), "job_guid");
    for jitter in [0, 0, 5] {
        let body = json!({"expression": "0 9 * * *", "jitter_seconds": jitter}).to_string();
        assert_eq!(desk.world.post(&format!("/jobs/{job}/schedules"), &body).status, 201);
    }
    let of_job = || {
        let schedules = desk.job("plain")["schedules"].clone();
        let mut seen: Vec<(String, i64)> = schedules
            .as_array()
            .unwrap()
            .iter()
            .map(|it| (field_of(it, "guid"), it["jitter_seconds"].as_i64().unwrap()))
            .collect();
        seen.sort();
        seen
    };
    let before = of_job();
    desk.write(&desk.run(&["export"]).out);
    let said = desk.run(&["plan", "file.toml"]).expect(2, &["0 to create"]);
    assert!(!said.out.contains("jitter"), "{}", said.out);
    desk.run(&["apply", "file.toml"]).expect(0, &["0 created"]);
    assert_eq!(of_job(), before);
    desk.run(&["plan", "file.toml"]).expect(0, &["0 to create, 0 to change"]);
}

fn field_of(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap().to_owned()
}

#[test]
fn an_export_keeps_the_zone_and_the_dialect_of_a_schedule() {
    let desk = Desk::of(World::with(&[("DEFAULT_TIMEZONE", "Europe/Berlin")]));
    planned(&desk, r#"{"expression":"0 9 * * *","timezone":null}"#);
    let exported = desk.run(&["export"]).out;
    assert!(exported.contains("dialect = \"classic\"") && exported.contains("timezone = \"\""), "{exported}");
    desk.write(&exported);
    let said = desk.run(&["apply", "file.toml"]).expect(0, &["key: null"]);
    assert!(!said.out.contains("timezone"), "{}", said.out);
    assert_eq!(desk.job("plain")["schedules"][0]["timezone"], Value::Null);
    // A schedule at the default zone fires at other times, so it does not adopt the one at UTC.
    let file = "[[job]]\nname = \"other\"\napp = \"APP\"\ncommand = \"true\"\nschedule = \"0 9 * * *\"\n";
    let guid = desk.world.job("other");
    desk.world.post(&format!("/jobs/{guid}/schedules"), r#"{"expression":"0 9 * * *","timezone":null}"#);
    desk.write(file);
    desk.run(&["plan", "file.toml"]).expect(2, &["1 to create"]);
    for (place, ending) in [("dialect = \"ocf2\"\n", ""), ("", "dialect = \"ocf2\"\n")] {
        for name in ["plain", "new"] {
            desk.write(&format!(
                "{place}[[job]]\nname = {name:?}\napp = \"APP\"\ncommand = \"true\"\n[[job.schedule]]\n\
                 expression = \"0 9 * * 5\"\n{ending}"
            ));
            desk.run(&["plan", "file.toml"])
                .expect(6, &["in the dialect \"ocf2\"", "reads it as \"classic\""]);
        }
    }
}

#[test]
fn an_export_contains_only_what_can_be_applied() {
    let desk = Desk::new();
    let job = field_of(&planned(&desk, r#"{"expression":"0 8 * * *"}"#), "job_guid");
    let over = r#"{"expression":"@at 2100-01-01T00:00:00Z"}"#;
    assert_eq!(desk.world.post(&format!("/jobs/{job}/schedules"), over).status, 201);
    assert!(desk.run(&["export"]).out.contains("@at"));
    desk.world
        .database()
        .execute("UPDATE schedules SET completed_at = 1, next_fire_time = NULL WHERE expression LIKE '@at%'");
    let exported = desk.run(&["export"]).out;
    assert!(exported.contains("0 8 * * *") && !exported.contains("@at"), "{exported}");
    assert!(!desk.run(&["export"]).out.contains("\nname = \"definitions\""));
    desk.run(&["export", "--app", "nowhere"]).expect(3, &["no jobs or calls of an app \"nowhere\""]);
    desk.run(&["export", "--name", "bad name"]).expect(2, &["--name is \"bad name\""]);
    desk.run(&["export", "-o", "csv"]).expect(2, &["TOML, or JSON with -o json"]);
    // Without jobs, a notification is about all of the space. One whose jobs are gone is about none.
    desk.run(&["apply", "file.toml"]).expect(0, &[]);
    let nightly = field_of(&desk.job("nightly"), "guid");
    assert!(desk.run(&["export"]).out.contains("[[notification]]"));
    assert_eq!(desk.world.delete(&format!("/jobs/{nightly}")).status, 204);
    assert!(!desk.run(&["export"]).out.contains("[[notification]]"));
}

#[test]
fn a_notification_cannot_be_about_a_job_that_is_pruned() {
    let desk = Desk::new();
    desk.run(&["apply", "file.toml"]).expect(0, &[]);
    desk.change("name = \"nightly\"", "name = \"daily\"");
    let refused = ["there is no job \"nightly\"", "nothing was pruned"];
    desk.run(&["apply", "file.toml", "--prune"]).expect(6, &refused);
    desk.change("jobs = [\"nightly\"]", "jobs = [\"daily\"]");
    desk.run(&["apply", "file.toml", "--prune"]).expect(0, &["- job nightly"]);
}

#[test]
fn a_refusal_shows_no_value_of_a_variable() {
    let desk = Desk::new();
    desk.change("labels =", "concurrency_policy = \"${PING_TOKEN}\"\nlabels =");
    let said = desk.run(&["plan", "file.toml"]).expect(6, &["concurrency_policy is \"${PING_TOKEN}\""]);
    assert!(!format!("{}{}", said.out, said.err).contains("hunter2"), "{}", said.err);
}

#[test]
fn pruning_stays_in_the_spaces_of_the_file() {
    let desk = Desk::new();
    desk.world.cf.add_role("dev", FOREIGN_SPACE);
    let url = desk.world.url();
    let variables = [("SCHEDULER_URL", url.as_str()), ("SCHEDULER_TOKEN", desk.world.token.as_str())];
    let run = |arguments: &[&str]| Said::of(program(&variables, arguments).current_dir(desk.folder.path()));
    let job =
        |name: &str, app: &str| format!("[[job]]\nname = {name:?}\napp = {app:?}\ncommand = \"true\"\n");
    desk.write(&format!("name = \"one\"\n{}", job("production", FOREIGN_APP)));
    run(&["apply", "file.toml"]).expect(0, &["1 created"]);
    desk.write(&format!("name = \"one\"\n{}", job("staging", APP)));
    run(&["apply", "file.toml", "--prune"]).expect(0, &["1 created", "0 deleted"]);
    // Without jobs, a file is of no space.
    desk.write("name = \"one\"\n");
    run(&["apply", "file.toml", "--prune"]).expect(6, &["in several spaces; set --space"]);
    run(&["apply", "file.toml", "--prune", "--space", SPACE]).expect(0, &["- job staging", "1 deleted"]);
    run(&["apply", "file.toml", "--prune"]).expect(0, &["- job production", "1 deleted"]);
    let mut apply = program(&variables, &["apply", "-", "--prune"]);
    Said::of(apply.stdin(std::process::Stdio::null())).expect(6, &["set name = \"…\" in it"]);
}
