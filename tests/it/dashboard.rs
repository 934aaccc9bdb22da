//! The dashboard from outside: signing in, its pages, and what it refuses.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use std::time::Duration;

use super::cf::fake_cf::{ALWAYS, Fault};
use super::database::is_postgres;
use super::standalone::Standalone;
use super::world::{APP, Answer, SPACE, World, request, wait_for};

/// A browser that keeps its cookie and sends what a browser sends. Redirects are followed by hand.
struct Browser {
    url: String,
    cookie: String,
}

impl Browser {
    fn at(url: &str) -> Self {
        Self { url: url.to_owned(), cookie: String::new() }
    }

    fn signed_in(url: &str, token: &str) -> Self {
        let mut browser = Self::at(url);
        let answer = browser.send_form("/dashboard/sign-in", &[("token", token)]);
        assert_eq!((answer.status, answer.header("Location")), (303, Some("/dashboard/")), "{}", answer.body);
        browser
    }

    fn get(&self, path: &str) -> Answer {
        request_page(&self.url, "GET", path, &[("Cookie", &self.cookie)], "")
    }

    /// A form as a page of the service sends it, without the token against forgery.
    fn send_form(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = self.url.clone();
        let headers =
            [("Cookie", self.cookie.as_str()), ("Origin", &origin), ("Sec-Fetch-Site", "same-origin")];
        let answer = request_page(&self.url, "POST", path, &headers, &form(fields));
        if let Some(cookie) = answer.header("Set-Cookie").filter(|it| !it.contains("zone")) {
            self.cookie = cookie.split(';').next().unwrap().to_owned();
        }
        answer
    }

    /// Fills in the form of a page.
    fn submit(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = form_token(&self.get(page).body);
        self.send_form(path, &[&[("form_token", token.as_str())], fields].concat())
    }
}

fn form_token(page: &str) -> String {
    let after =
        page.split("name=\"form_token\" value=\"").nth(1).unwrap_or_else(|| panic!("no form: {page}"));
    after.split('"').next().unwrap().to_owned()
}

fn form(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
}

fn request_page(url: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = ureq::http::Request::builder().method(method).uri(format!("{url}{path}"));
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    let config =
        ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None).build();
    let mut response = ureq::Agent::from(config).run(request.body(body.to_owned()).unwrap()).unwrap();
    let headers = response.headers().iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let body = response.body_mut().read_to_string().unwrap();
    Answer { status: response.status().as_u16(), headers, body }
}

#[test]
fn browsers_are_redirected_to_the_dashboard_and_programs_see_the_health_as_before() {
    let world = World::start();
    let page = request_page(&world.url(), "GET", "/", &[("Accept", "text/html,*/*;q=0.8")], "");
    assert_eq!((page.status, page.header("Location")), (303, Some("/dashboard/")));
    let health = request(&world.url(), "GET", "/", None, &[("Accept", "*/*")], "");
    assert_eq!((health.status, health.body.as_str()), (200, r#"{"status":"ok"}"#));
    let page = request_page(&world.url(), "GET", "/dashboard/jobs?sort=name", &[], "");
    let to = page.header("Location").unwrap();
    assert_eq!((page.status, to), (303, "/dashboard/sign-in?to=%2Fdashboard%2Fjobs%3Fsort%3Dname"));
}

#[test]
fn without_a_dashboard_there_are_no_such_paths() {
    let world = World::with(&[("DASHBOARD", "false")]);
    for path in ["/dashboard", "/dashboard/jobs", "/dashboard/sign-in"] {
        assert_eq!(request_page(&world.url(), "GET", path, &[], "").status, 404, "{path}");
    }
    let root = request_page(&world.url(), "GET", "/", &[("Accept", "text/html")], "");
    assert_eq!(root.status, 200);
}

#[test]
fn each_page_has_its_headers_a_heading_a_main_part_and_a_title() {
    let world = World::start();
    let browser = Browser::signed_in(&world.url(), &world.token);
    let job = world.job("nightly");
    for path in [
        "",
        "executions",
        "jobs",
        "calls",
        "jobs/new",
        "calls/new",
        "calendar",
        "notifications",
        "audit",
        &format!("jobs/{job}"),
        &format!("jobs/{job}/edit"),
        &format!("jobs/{job}/delete"),
        &format!("jobs/{job}/schedules/new"),
    ] {
        let page = browser.get(&format!("/dashboard/{path}"));
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        let policy = page.header("Content-Security-Policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert_eq!(page.header("Referrer-Policy"), Some("same-origin"));
        assert_eq!(page.header("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(page.header("Cache-Control"), Some("no-store"));
        for (part, count) in
            [("<h1>", 1), ("<main ", 1), ("<style", 0), (" style=", 0), ("<script type=\"module\" src=", 1)]
        {
            assert_eq!(page.body.matches(part).count(), count, "{path}: {part}");
        }
        assert_eq!(page.body.matches("<table>").count(), page.body.matches("<caption>").count());
        let title = page.body.split("<title>").nth(1).unwrap().split(" – ").next().unwrap();
        assert!(page.body.contains(&format!("<h1><bdi>{title}</bdi></h1>")), "{path}: {title}");
        assert!(page.body.len() < 60 * 1024, "{path}");
    }
    // What the query holds besides is not repeated.
    let page = browser.get(&format!("/dashboard/executions?{}", "a=%22&".repeat(5000)));
    assert!(page.status == 200 && page.body.len() < 60 * 1024, "{}", page.body.len());
    let page = browser.get("/dashboard/jobs");
    let style =
        page.body.split("href=\"").find(|it| it.contains("style-")).unwrap().split('"').next().unwrap();
    let style = browser.get(style);
    assert!(style.header("Cache-Control").unwrap().contains("immutable"));
    assert_eq!(style.header("Content-Type"), Some("text/css; charset=utf-8"));
}

/// People, tests and screen readers find things by these names, with and without JavaScript.
#[test]
fn each_page_has_the_names_by_which_its_parts_are_found() {
    let settings = [("DASHBOARD_CLIENT_ID", "dashboard"), ("DASHBOARD_CLIENT_SECRET", "s3cret")];
    let world = World::with(&settings);
    let admin = world.cf.issue_user_token("root", &["cloud_controller.admin", "cloud_controller.write"]);
    let mut browser = Browser::signed_in(&world.url(), &admin);
    let job = world.job("nightly");
    let schedule = world.post(&format!("/jobs/{job}/schedules"), r#"{"expression": "0 3 * * *"}"#).guid();
    let call = json!({"name": "ping", "url": "http://127.0.0.1:9/", "auth_header": "x"}).to_string();
    let call = world.post(&format!("/calls?app_guid={APP}"), &call).guid();
    let run = world.post(&format!("/jobs/{job}/execute"), "").guid();
    wait_for(|| world.cf.tasks().pop());
    (0..26).for_each(|_| assert_eq!(world.post(&format!("/calls/{call}/execute"), "").status, 201));
    let check = |browser: &Browser, path: &str, names: &[&str]| {
        let page = browser.get(&format!("/dashboard/{path}"));
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        for name in names {
            let (role, name) = name.split_once(' ').unwrap();
            let is_there = match role {
                "link" => page.body.contains(&format!(">{name}</a>")),
                "button" => page.body.contains(&format!(">{name}</button>")),
                _ => page.body.split("<label for=\"").any(|label| {
                    let (id, text) = label.split_once("\">").unwrap_or_default();
                    let is_labelled = text.starts_with(&format!("{name}</label>"));
                    is_labelled && page.body.matches(&format!(" id=\"{id}\"")).count() == 1
                }),
            };
            assert!(is_there, "{path} has no {role} {name:?}: {}", page.body);
        }
        for name in
            ["Overview", "Executions", "Jobs", "Calls", "Calendar", "Notifications", "Audit", "Health"]
        {
            assert_eq!(page.body.matches(&format!(">{name}</a>")).count(), 1, "{path}: {name}");
        }
        for field in ["Space", "Show times in"] {
            assert!(page.body.contains(&format!(">{field}</label>")), "{path}: {field}");
        }
        assert!(page.body.contains(">Sign out</button>"), "{path}");
        let table_heads = page.body.matches("<th ").count();
        let scopes =
            page.body.matches(" scope=\"col\"").count() + page.body.matches(" scope=\"row\"").count();
        assert_eq!(table_heads, scopes, "{path}");
    };
    let page = request_page(&world.url(), "GET", "/dashboard/sign-in", &[], "").body;
    for part in [">Token</label>", ">Sign in</button>", ">Sign in with Cloud Foundry</a>", "<h1>Sign in</h1>"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let fields =
        ["field App", "field Name", "field When a run overlaps", "field Time-out (seconds)", "button Save"];
    let of_job = ["field Command", "field Memory (MiB)", "field Disk (MiB)"];
    let of_call = ["field URL", "field Authorization"];
    let of_schedule = ["field Expression", "field Time zone", "button Preview", "button Save"];
    let filter = ["field State", "field Kind", "field Name", "field From", "field To", "button Filter"];
    let own = ["button Run now", "link Edit", "link Delete", "link New schedule"];
    let of_space = format!("?space_guid={SPACE}");
    check(&browser, &of_space, &["field Note", "button Pause space"]);
    check(
        &browser,
        "executions",
        &[&filter[..], &["link Next page", "button Cancel run", "button Run again"]].concat(),
    );
    check(&browser, "jobs", &["link New job", "button Run now"]);
    check(&browser, "calls", &["link New call", "button Run now"]);
    check(&browser, "jobs/new", &[&fields[..], &of_job].concat());
    check(&browser, "calls/new", &[&fields[..], &of_call].concat());
    check(&browser, &format!("jobs/{job}"), &[&own[..], &["button Disable"]].concat());
    check(&browser, &format!("calls/{call}"), &[&own[..], &["link Next page"]].concat());
    check(&browser, &format!("jobs/{job}/edit"), &[&fields[1..], &of_job].concat());
    check(&browser, &format!("calls/{call}/edit"), &[&fields[1..], &of_call].concat());
    check(&browser, &format!("jobs/{job}/delete"), &["button Delete for good"]);
    check(&browser, &format!("jobs/{job}/schedules/new"), &of_schedule);
    check(
        &browser,
        &format!("jobs/{job}/schedules/{schedule}"),
        &[&of_schedule[..], &["button Delete"]].concat(),
    );
    check(&browser, &format!("executions/{run}"), &["button Cancel run", "button Run again"]);
    for path in ["calendar", "notifications", "audit", "health"] {
        check(&browser, path, &[]);
    }
    let own = format!("/dashboard/jobs/{job}/schedules/{schedule}");
    assert_eq!(browser.submit(&format!("/dashboard/jobs/{job}"), &own, &[("do", "disable")]).status, 303);
    check(&browser, &format!("jobs/{job}"), &["button Enable"]);
    let page = format!("/dashboard/{of_space}");
    assert_eq!(browser.submit(&page, &page, &[("do", "pause"), ("note", "n")]).status, 303);
    check(&browser, &of_space, &["button Resume space"]);
}

#[test]
fn the_overview_shows_what_is_overdue() {
    let world = World::start();
    let job = world.job("late");
    let browser = Browser::signed_in(&world.url(), &world.token);
    assert!(!browser.get("/dashboard/").body.contains("Overdue"));
    world.patch(&format!("/jobs/{job}"), r#"{"expect_success_within_seconds":3600}"#);
    assert!(!browser.get("/dashboard/").body.contains("Overdue"));
    world.database().execute("UPDATE streaks SET success_due_at = 1");
    let page = browser.get("/dashboard/").body;
    assert!(page.contains("<h2>Overdue</h2>") && page.contains(&format!("/dashboard/jobs/{job}")), "{page}");
}

#[test]
fn a_job_is_made_scheduled_run_and_deleted_without_a_script() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    let mut browser = Browser::signed_in(&service.url, &service.token);
    let fields =
        [("app", service.app.as_str()), ("name", "hello"), ("command", "echo seen"), ("overlap", "Always")];
    let made = browser.submit("/dashboard/jobs/new", "/dashboard/jobs/new", &fields);
    let job = made.header("Location").unwrap_or_else(|| panic!("{}", made.body)).to_owned();

    let editor = format!("{job}/schedules/new");
    let typed = [("expression", "30 9 * * MON-FRI"), ("timezone", "Europe/Berlin")];
    let preview = browser.submit(&editor, &editor, &[&typed[..], &[("do", "preview")]].concat());
    assert!(preview.status == 200 && preview.body.contains("at 09:30"), "{}", preview.body);
    let saved = browser.submit(&editor, &editor, &[&typed[..], &[("do", "save")]].concat());
    assert_eq!(saved.header("Location"), Some(job.as_str()), "{}", saved.body);
    let wrong = browser.submit(&editor, &editor, &[("expression", "61 * * * *"), ("do", "save")]);
    assert!(wrong.status == 422 && wrong.body.contains("value=\"61 * * * *\""), "{}", wrong.body);

    let run = browser.submit(&job, &job, &[("do", "run")]);
    let execution = run.header("Location").unwrap().to_owned();
    let page = wait_for(|| {
        let page = browser.get(&execution);
        page.body.contains("succeeded").then_some(page)
    });
    assert!(page.body.contains("seen\n"), "{}", page.body);
    assert!(browser.get("/dashboard/jobs").body.contains("aria-label=\"Last 1: 1 succeeded\""));

    let paused = browser.submit(&job, &job, &[("do", "pause")]);
    assert_eq!(paused.status, 303);
    assert!(browser.get(&job).body.contains("Paused."));
    let asked = browser.get(&format!("{job}/delete"));
    assert!(asked.body.contains("1 schedules") && asked.body.contains("Delete for good"), "{}", asked.body);
    let deleted = browser.submit(&format!("{job}/delete"), &format!("{job}/delete"), &[("do", "delete")]);
    assert_eq!(deleted.header("Location"), Some("/dashboard/jobs"));
    assert_eq!(browser.get(&job).status, 404);
    service.stop();
}

#[test]
fn the_overview_counts_what_is_rare_among_many_successes() {
    let world = World::start();
    let job = world.job("many");
    world.post(&format!("/jobs/{job}/execute"), "");
    let numbers = if is_postgres() {
        "SELECT i FROM generate_series(1, 2500) AS n (i)"
    } else {
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) SELECT i FROM n"
    };
    // The oldest of them failed or were skipped.
    world.database().execute(&format!(
        "INSERT INTO executions (guid, executable_id, kind, state, asked_at, created_at, end_time)
         SELECT 'g' || i, 1, 'job', CASE WHEN i < 4 THEN 'FAILED' WHEN i < 6 THEN 'SKIPPED' ELSE 'SUCCEEDED' END,
                1, first.created_at, first.created_at
           FROM ({numbers}) AS numbers CROSS JOIN (SELECT created_at FROM executions) AS first
          ORDER BY i"
    ));
    let page = Browser::signed_in(&world.url(), &world.token).get("/dashboard/").body;
    let counts = page.split("<ul class=\"counts\">").nth(1).unwrap().split("</ul>").next().unwrap();
    let count_of = |word: &str| {
        let until = counts.split(&format!("</b>{word}")).next().unwrap();
        until.rsplit("<strong>").next().unwrap().split("</strong>").next().unwrap().to_owned()
    };
    let words = ["failed", "skipped", "succeeded"];
    assert_eq!(words.map(count_of), ["3", "2", "1,000+"], "{counts}");
    assert!(!page.contains("only the newest"), "{counts}");
}

#[test]
fn the_overview_shows_a_backlog() {
    let world = World::start();
    let job = world.job("many");
    let browser = Browser::signed_in(&world.url(), &world.token);
    assert!(!browser.get("/dashboard/").body.contains("backlog"));
    world.cf.fault("POST /v3/apps/:guid/tasks", Fault::Delay(Duration::from_secs(60)), ALWAYS);
    for _ in 0..102 {
        assert_eq!(world.post(&format!("/jobs/{job}/execute"), "").status, 201);
    }
    assert!(!browser.get("/dashboard/").body.contains("backlog"), "they have only just become due");
    world.database().execute("UPDATE executions SET dispatch_time = 1 WHERE state = 'PENDING'");
    let page = browser.get("/dashboard/").body;
    assert!(page.contains("There is a backlog.</strong> 10"), "{page}");
}

#[test]
fn the_output_of_a_task_on_cloud_foundry_is_shown_where_the_token_is_known() {
    let settings = [("DASHBOARD_CLIENT_ID", "dashboard"), ("DASHBOARD_CLIENT_SECRET", "s3cret")];
    let mut world = World::with(&settings);
    let job = world.job("prints");
    let execution = world.post(&format!("/jobs/{job}/execute"), "").guid();
    let task = wait_for(|| world.cf.tasks().pop());
    world.cf.print(APP, &format!("APP/TASK/{}", task.name), b"<b>hello</b> from the task");
    let path = format!("/dashboard/executions/{execution}");
    let browser = Browser::signed_in(&world.url(), &world.token);
    let page = browser.get(&path).body;
    assert!(page.contains("&lt;b&gt;hello&lt;/b&gt; from the task"), "{page}");
    // Another process has the session, and not the token.
    world.restart();
    let url = world.url();
    let port = |url: &str| url.rsplit(':').next().unwrap().to_owned();
    let cookie = browser.cookie.replacen(&port(&browser.url), &port(&url), 1);
    let page = Browser { url: url.clone(), cookie }.get(&path);
    assert!(page.status == 200 && !page.body.contains("from the task"), "{}", page.body);
    let link = page.body.split("Show output").next().unwrap().rsplit("href=\"").next().unwrap();
    assert!(link.starts_with("/dashboard/sign-in?with=cf&amp;to=%2Fdashboard%2Fexecutions%2F"), "{link}");
    let scopes = ["openid", "cloud_controller.read", "cloud_controller.write"];
    world.cf.add_sign_in_client("dashboard", "s3cret", &format!("{url}/dashboard/callback"), &scopes);
    let browser = SignIn::begin(&world, "dev").signed_in();
    assert!(browser.get(&path).body.contains("from the task"));
}

#[test]
fn a_crowded_calendar_is_small_and_no_address_makes_a_page_longer() {
    let world = World::start();
    for minute in (0..60).step_by(15) {
        let job = world.job(&format!("job-{minute}"));
        for _ in 0..30 {
            world.post(&format!("/jobs/{job}/execute"), "");
        }
        let schedule = json!({"expression": format!("{minute} * * * *")}).to_string();
        assert_eq!(world.post(&format!("/jobs/{job}/schedules"), &schedule).status, 201);
    }
    let browser = Browser::signed_in(&world.url(), &world.token);
    let calendar = wait_for(|| {
        let page = browser.get("/dashboard/calendar");
        page.body.contains("Fire times per hour").then_some(page.body)
    });
    let bars = calendar.matches("<path class=\"mark\"").count();
    assert!(96 + 160 < bars, "{bars}");
    assert!(calendar.len() < 60 * 1024, "{}", calendar.len());
    let page = browser.get("/dashboard/executions?next=per_page%3D500").body;
    assert_eq!(page.matches("name=\"pick\"").count(), 25);
    assert_eq!(browser.get("/dashboard/audit?next=per_page%3D500").body.matches("<tr>").count(), 26);
}

/// Names of 255 characters of four bytes, many labels, long messages and descriptions, and full tables.
#[test]
fn no_page_is_large_whatever_things_are_called() {
    let world = World::start();
    let wide = |number: usize| format!("{number:03}{}", "𝔘".repeat(252));
    let labels: serde_json::Map<String, serde_json::Value> =
        (0..8).map(|number| (format!("l{number}{}", "k".repeat(60)), json!("v".repeat(63)))).collect();
    let mut first = String::new();
    for number in 0..26 {
        let job = json!({
            "name": wide(number), "command": format!("\"{}", "𝔘".repeat(4000)),
            "metadata": {"labels": labels}, "expect_success_within_seconds": 60,
        });
        let job = world.post(&format!("/jobs?app_guid={APP}"), &job.to_string()).guid();
        let schedule = json!({
            "expression": "*/30 * * * *", "description": "\"".repeat(200),
            "timezone": "America/Argentina/ComodRivadavia",
        });
        let schedules = if number == 0 { 9 } else { 1 };
        for _ in 0..schedules {
            assert_eq!(world.post(&format!("/jobs/{job}/schedules"), &schedule.to_string()).status, 201);
        }
        let runs = if number == 0 { 30 } else { 1 };
        (0..runs).for_each(|_| assert_eq!(world.post(&format!("/jobs/{job}/execute"), "").status, 201));
        let call = json!({
            "name": wide(number), "auth_header": "x", "url": format!("http://127.0.0.1:9/{}", "p".repeat(1900)),
        });
        let call = world.post(&format!("/calls?app_guid={APP}"), &call.to_string()).guid();
        world.post(&format!("/calls/{call}/execute"), "");
        let notification = json!({"name": wide(number), "url": "https://example.com/hook"}).to_string();
        assert_eq!(world.post(&format!("/notifications?space_guid={SPACE}"), &notification).status, 201);
        if number == 0 {
            first = job;
        }
    }
    let reason = "\"".repeat(400);
    for task in world.cf.tasks() {
        world.cf.set_task_state(&task.guid, "FAILED", Some(&reason));
    }
    world.database().execute("UPDATE streaks SET success_due_at = 1");
    let browser = Browser::signed_in(&world.url(), &world.token);
    wait_for(|| browser.get("/dashboard/").body.contains("Overdue since").then_some(()));
    let job = format!("jobs/{first}");
    let of_job = format!("{job}?schedules=2");
    let paths =
        ["", "executions", "jobs", "jobs?sort=name", "calls", &job, &of_job, "calendar", "notifications"];
    for path in paths.into_iter().chain(["audit"]) {
        let page = browser.get(&format!("/dashboard/{path}"));
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.len() < 60_000, "{path}: {}", page.body.len());
        let is_cut = page.body.contains("𝔘…") || path.starts_with(&job);
        assert!(is_cut || path.is_empty() || path == "calendar", "{path}: {}", page.body);
    }
    // What is listed has a next page.
    let page = browser.get(&format!("/dashboard/{job}")).body;
    assert!(page.contains("More schedules") && page.matches("schedules/").count() < 9 * 2, "{page}");
    assert!(!browser.get(&format!("/dashboard/{of_job}")).body.contains("More schedules"));
    // One name is shown in full.
    assert!(browser.get(&format!("/dashboard/{job}")).body.contains(&wide(0)));
}

#[test]
fn a_space_is_paused_with_a_note_that_is_text() {
    let world = World::start();
    let mut browser = Browser::signed_in(&world.url(), &world.token);
    let page = format!("/dashboard/?space_guid={SPACE}");
    let note = "<script>alert(1)</script>";
    assert_eq!(browser.submit(&page, &page, &[("do", "pause"), ("note", note)]).status, 303);
    let shown = browser.get(&page).body;
    assert!(shown.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && !shown.contains(note), "{shown}");
    assert!(shown.contains("This space is paused.") && shown.contains("Resume space"));
    assert_eq!(browser.submit(&page, &page, &[("do", "resume")]).status, 303);
    assert!(!browser.get(&page).body.contains("This space is paused."));
}

#[test]
fn text_of_tenants_is_escaped_and_their_secrets_are_not_shown() {
    let world = World::start();
    let browser = Browser::signed_in(&world.url(), &world.token);
    let evil = "\"><img src=x onerror=alert(1)>'";
    let body = json!({"name": evil, "command": evil}).to_string();
    let job = world.post(&format!("/jobs?app_guid={APP}"), &body).guid();
    let body = json!({"name": evil, "url": "javascript:alert(1)", "auth_header": "hunter2"}).to_string();
    let call = world.post(&format!("/calls?app_guid={APP}"), &body).guid();
    let schedule = json!({"expression": "@daily", "description": evil}).to_string();
    world.post(&format!("/jobs/{job}/schedules"), &schedule);
    for path in [
        "jobs".to_owned(),
        "calls".to_owned(),
        format!("jobs/{job}"),
        format!("jobs/{job}/edit"),
        format!("jobs/{job}/delete"),
        format!("calls/{call}"),
        format!("calls/{call}/edit"),
        format!("executions?name={}", "%22%3E%3Cimg%20src"),
    ] {
        let page = browser.get(&format!("/dashboard/{path}"));
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.body.contains("<img") && !page.body.contains("hunter2"), "{path}: {}", page.body);
        assert!(!page.body.contains("href=\"javascript:"), "{path}");
    }
}

#[test]
fn an_empty_secret_leaves_the_one_that_is_set() {
    let world = World::start();
    let mut browser = Browser::signed_in(&world.url(), &world.token);
    let call = world.call("ping", "https://example.com/");
    let page = format!("/dashboard/calls/{call}/edit");
    let fields =
        [("name", "pong"), ("url", "https://example.com/"), ("auth_header", ""), ("overlap", "Always")];
    let before = world.get(&format!("/calls/{call}")).json();
    assert_eq!(browser.submit(&page, &page, &fields).status, 303);
    let after = world.get(&format!("/calls/{call}")).json();
    assert_eq!((after["name"].as_str(), &after["auth_header"]), (Some("pong"), &before["auth_header"]));
}

#[test]
fn a_text_area_sends_lines_as_a_shell_reads_them_and_saving_changes_nothing() {
    let world = World::start();
    let mut browser = Browser::signed_in(&world.url(), &world.token);
    let fields = [("app", APP), ("name", "j"), ("command", "cd /tmp\r\nls\r\n")];
    let made = browser.submit("/dashboard/jobs/new", "/dashboard/jobs/new", &fields);
    let page = made.header("Location").unwrap().to_owned();
    let path = page.trim_start_matches("/dashboard").to_owned();
    assert_eq!(world.get(&path).json()["command"], "cd /tmp\nls\n");

    let body = "\n--b\r\nA: b\r\n\r\nv\n--b--\n";
    let call =
        json!({"name": " c ", "url": "https://example.com/", "auth_header": "", "body": body}).to_string();
    let made = world.post(&format!("/calls?app_guid={APP}"), &call).json();
    let path = format!("/calls/{}", made["guid"].as_str().unwrap());
    let edit = format!("/dashboard{path}/edit");
    let shown = browser.get(&edit).body;
    // A browser drops the first line break, and sends the others as CR LF.
    assert!(shown.contains(">\n\n--b\r\nA: b"), "{shown}");
    let sent = "\r\n--b\r\nA: b\r\n\r\nv\r\n--b--\r\n";
    let fields = [("name", " c "), ("url", "https://example.com/"), ("body", sent), ("method", "POST")];
    assert_eq!(browser.submit(&edit, &edit, &fields).status, 303);
    let saved = world.get(&path).json();
    assert_eq!((&saved["body"], &saved["name"]), (&json!(body), &json!(" c ")));
}

#[test]
fn the_editors_change_every_field_and_keep_what_was_typed() {
    let world = World::start();
    let mut browser = Browser::signed_in(&world.url(), &world.token);
    let fields = [
        ("app", APP),
        ("name", "ping"),
        ("method", "PUT"),
        ("url", "https://example.com/"),
        ("auth_header", "Bearer a"),
        ("headers", "X-Key: hunter2\r\nAccept: text/plain"),
        ("body", " first\r\nsecond "),
        ("statuses", "200-299,304"),
        ("timeout", "30"),
        ("overlap", "Forbid"),
        ("retries", "3"),
        ("backoff", "5"),
        ("max_backoff", "60"),
        ("max_age", "600"),
        ("labels", "team=billing\ntier=1"),
        ("expect", "3600"),
    ];
    let made = browser.submit("/dashboard/calls/new", "/dashboard/calls/new", &fields);
    assert_eq!(made.status, 303, "{}", made.body);
    let page = made.header("Location").unwrap().to_owned();
    let path = page.trim_start_matches("/dashboard").to_owned();
    let call = world.get(&path).json();
    let retry =
        json!({"max_retries": 3, "backoff_seconds": 5, "max_backoff_seconds": 60, "max_age_seconds": 600});
    assert_eq!(call["retry"], retry);
    assert_eq!(call["headers"], json!({"X-Key": "hunter2", "Accept": "text/plain"}));
    assert_eq!((&call["method"], &call["body"]), (&json!("PUT"), &json!(" first\nsecond ")));
    assert_eq!((&call["success_statuses"], &call["timeout_seconds"]), (&json!("200-299,304"), &json!(30)));
    assert_eq!(call["metadata"]["labels"], json!({"team": "billing", "tier": "1"}));
    assert_eq!(call["expect_success_within_seconds"], 3600);

    let edit = format!("{page}/edit");
    let shown = browser.get(&edit).body;
    assert!(shown.contains("X-Key: \n") && !shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("team=billing"), "{shown}");
    let wrong = browser.submit(&edit, &edit, &[("name", "ping"), ("url", "http://a/"), ("retries", "many")]);
    assert_eq!(wrong.status, 422);
    assert!(wrong.body.contains("value=\"many\"") && wrong.body.contains("is not a whole number"));
    let fields = [
        ("name", "ping"),
        ("method", "PUT"),
        ("url", "https://example.com/"),
        ("headers", "X-Key: "),
        ("body", " first\r\nsecond "),
        ("labels", "tier=2"),
        ("no_auth_header", "yes"),
    ];
    assert_eq!(browser.submit(&edit, &edit, &fields).status, 303);
    let call = world.get(&path).json();
    assert_eq!(call["headers"], json!({"X-Key": "hunter2"}));
    assert_eq!(call["metadata"]["labels"], json!({"tier": "2"}));
    assert_eq!((&call["retry"], &call["auth_header"]), (&json!(null), &json!("")));

    let new = format!("{page}/schedules/new");
    let fields = [
        ("expression", "0 9 * * *"),
        ("timezone", "Europe/Berlin"),
        ("description", "report"),
        ("starts", "2030-01-01T00:00"),
        ("ends", "2031-01-01T00:00:30"),
        ("jitter", "60"),
        ("misfire", "all"),
    ];
    let made = browser.submit(&new, &new, &fields);
    assert_eq!(made.status, 303, "{}", made.body);
    let schedule = world.get(&format!("{path}/schedules")).json()["resources"][0].clone();
    assert_eq!(schedule["starts_at"], "2030-01-01T00:00:00Z");
    assert_eq!(schedule["ends_at"], "2031-01-01T00:00:30Z");
    assert_eq!((&schedule["jitter_seconds"], &schedule["misfire_policy"]), (&json!(60), &json!("all")));
    let edit = format!("{page}/schedules/{}", schedule["guid"].as_str().unwrap());
    let shown = browser.get(&edit).body;
    assert!(shown.contains("value=\"2030-01-01T00:00:00\"") && shown.contains("value=\"Asia/Kathmandu\""));
    let fields = [("expression", "0 9 * * *"), ("starts", "soon"), ("jitter", "9999"), ("description", "x")];
    let wrong = browser.submit(&edit, &edit, &fields);
    assert!(wrong.status == 422 && wrong.body.contains("value=\"soon\""), "{}", wrong.body);
    let fields = [("expression", "0 9 * * *"), ("starts", "2030-01-01T00:00:00"), ("description", "x")];
    assert_eq!(browser.submit(&edit, &edit, &fields).status, 303);
    let changed = world.get(&format!("{path}/schedules")).json()["resources"][0].clone();
    assert_eq!(changed["starts_at"], schedule["starts_at"]);
    assert_eq!((&changed["ends_at"], &changed["jitter_seconds"]), (&json!(null), &json!(0)));
    assert_eq!((&changed["timezone"], &changed["misfire_policy"]), (&json!(null), &json!(null)));
}

#[test]
fn a_notification_is_created_tested_changed_deleted_and_audited() {
    let world = World::start();
    let mut browser = Browser::signed_in(&world.url(), &world.token);
    world.job("nightly");
    let new = "/dashboard/notifications/new";
    let fields = [
        ("do", "save"),
        ("space", SPACE),
        ("name", "<b>ops</b>"),
        ("url", "http://127.0.0.1:9/T000/hunter2"),
        ("format", "slack"),
        ("events", "failed"),
        ("events", "succeeded"),
        ("after", "3"),
        ("remind", "7200"),
        ("labels", "team=billing"),
        ("headers", "Authorization: Bearer hunter2\nX-Team: billing"),
    ];
    let made = browser.submit(new, new, &fields);
    assert_eq!(made.status, 303, "{}", made.body);
    let page = made.header("Location").unwrap().to_owned();
    let path = page.trim_start_matches("/dashboard").to_owned();
    let it = world.get(&path).json();
    assert_eq!((&it["events"], &it["format"]), (&json!(["failed", "succeeded"]), &json!("slack")));
    assert_eq!((&it["after_failures"], &it["remind_after_seconds"]), (&json!(3), &json!(7200)));
    assert_eq!(it["headers"], json!({"Authorization": "[hidden]", "X-Team": "[hidden]"}));
    assert!(browser.get(&page).body.contains("<bdi>X-Team</bdi>"));
    let list = browser.get("/dashboard/notifications").body;
    assert!(
        list.contains("&lt;b&gt;ops") && list.contains("127.0.0.1:9") && !list.contains("hunter2"),
        "{list}"
    );

    assert_eq!(browser.submit(&page, &page, &[("do", "test")]).status, 303);
    assert!(browser.get(&page).body.contains(">test<"), "the delivery");
    let edit = format!("{page}?show=edit");
    let wrong = browser.submit(&edit, &page, &[("do", "save"), ("name", "ops"), ("after", "x")]);
    assert!(wrong.status == 422 && wrong.body.contains("value=\"x\""), "{}", wrong.body);
    let fields = [
        ("do", "save"),
        ("name", "ops"),
        ("url", "http://127.0.0.1:9/"),
        ("format", "standard"),
        ("events", "overdue"),
        ("after", "1"),
    ];
    assert_eq!(browser.submit(&edit, &page, &fields).status, 303);
    let it = world.get(&path).json();
    assert_eq!(it["events"], json!(["overdue"]));
    assert_eq!(it["headers"].as_object().unwrap().len(), 2, "no line changes nothing");
    let shown = browser.get(&edit).body;
    assert!(shown.contains("Authorization, X-Team") && !shown.contains("hunter2"), "{shown}");
    for (headers, expected) in
        [(("headers", "X-Team: b"), json!({"X-Team": "[hidden]"})), (("no_headers", "yes"), json!({}))]
    {
        assert_eq!(browser.submit(&edit, &page, &[&fields[..], &[headers]].concat()).status, 303);
        assert_eq!(world.get(&path).json()["headers"], expected);
    }
    let wrong = browser.submit(&edit, &page, &[&fields[..], &[("headers", "nonsense")]].concat());
    assert!(wrong.status == 422 && wrong.body.contains("Headers has a line"), "{}", wrong.body);
    assert_eq!(browser.submit(&page, &page, &[("do", "disable")]).status, 303);
    assert!(browser.get(&page).body.contains("Disabled."));
    let delete = format!("{page}?show=delete");
    assert!(browser.get(&delete).body.contains("Delete for good"));
    assert_eq!(browser.submit(&delete, &page, &[("do", "delete-for-good")]).status, 303);
    assert_eq!(browser.get(&page).status, 404);
    let audit = browser.get("/dashboard/audit").body;
    for what in ["job.create", "notification.create", "notification.update", "notification.delete"] {
        assert!(audit.contains(what), "{what}: {audit}");
    }
    assert!(!audit.contains("hunter2"), "{audit}");
}

#[test]
fn a_reader_sees_the_pages_without_secrets_and_without_actions() {
    let world =
        World::with(&[("READ_ROLES", "space_auditor,space_supporter,cloud_controller.global_auditor")]);
    let body = json!({"name": "ping", "url": "https://example.com/hunter2", "auth_header": "hunter2"});
    let call = world.post(&format!("/calls?app_guid={APP}"), &body.to_string()).guid();
    let job = world.job("nightly");
    world.post(&format!("/jobs/{job}/schedules"), r#"{"expression": "@daily"}"#);
    for (role, may_pause) in [("space_auditor", false), ("space_supporter", true)] {
        world.cf.add_role_of_type(role, SPACE, role);
        let mut browser = Browser::signed_in(&world.url(), &world.cf.issue_cf_token(role));
        for path in ["", "executions", "jobs", "calls", "calendar", "notifications", "audit"] {
            let page = browser.get(&format!("/dashboard/{path}"));
            assert_eq!(page.status, 200, "{role}: {path}");
            for action in ["Run now", "New job", "New call", "New notification", "Run again"] {
                assert!(!page.body.contains(action), "{role}: {path}: {action}");
            }
        }
        let page = browser.get(&format!("/dashboard/calls/{call}")).body;
        assert!(page.contains("https://example.com/[hidden]") && !page.contains("hunter2"), "{page}");
        let of_job = format!("/dashboard/jobs/{job}");
        let page = browser.get(&of_job).body;
        for action in ["Run now", ">Edit<", ">Delete<", "New schedule"] {
            assert!(!page.contains(action), "{role}: {action}");
        }
        assert_eq!(page.contains(">Pause<") && page.contains(">Disable<"), may_pause, "{role}");
        let forms = [format!("{of_job}/edit"), format!("{of_job}/delete"), format!("{of_job}/schedules/new")];
        for form in
            forms.iter().map(String::as_str).chain(["/dashboard/jobs/new", "/dashboard/notifications/new"])
        {
            assert_eq!(browser.get(form).status, 403, "{role}: {form}");
        }
        assert_eq!(browser.submit(&of_job, &of_job, &[("do", "run")]).status, 403, "{role}");
        let status = browser.submit(&of_job, &of_job, &[("do", "pause")]).status;
        assert_eq!(status, if may_pause { 303 } else { 403 }, "{role}");
    }
    let token = world.cf.issue_user_token("dev", &["cloud_controller.global_auditor"]);
    let browser = Browser::signed_in(&world.url(), &token);
    let page = browser.get(&format!("/dashboard/calls/{call}"));
    assert_eq!(page.status, 200, "a scope that reads everywhere");
    assert!(!page.body.contains("hunter2"), "and no more, although its user is a developer");
}

#[test]
fn a_form_of_another_origin_or_without_its_token_changes_nothing() {
    let world = World::start();
    let mut browser = Browser::signed_in(&world.url(), &world.token);
    let job = world.job("nightly");
    let page = format!("/dashboard/jobs/{job}");
    let token = form_token(&browser.get(&page).body);
    let body = form(&[("form_token", &token), ("do", "pause")]);
    let own = world.url();
    for headers in [
        vec![("Origin", "https://evil.example")],
        vec![("Origin", "null")],
        vec![("Origin", own.as_str()), ("Sec-Fetch-Site", "cross-site")],
        vec![("Origin", own.as_str()), ("Sec-Fetch-Site", "same-site")],
        vec![],
    ] {
        let headers = [vec![("Cookie", browser.cookie.as_str())], headers].concat();
        assert_eq!(request_page(&own, "POST", &page, &headers, &body).status, 403, "{headers:?}");
    }
    assert_eq!(browser.send_form(&page, &[("do", "pause")]).status, 403);
    assert_eq!(browser.send_form(&page, &[("do", "pause"), ("form_token", "x")]).status, 403);
    assert_eq!(world.get(&format!("/jobs/{job}")).json()["paused"], false);
    assert_eq!(browser.send_form(&page, &[("do", "pause"), ("form_token", &token)]).status, 303);
    let signed_in =
        request_page(&own, "POST", "/dashboard/sign-in", &[("Origin", "https://evil.example")], "token=x");
    assert_eq!(signed_in.status, 403);
}

#[test]
fn a_session_ends_with_the_sign_out_everywhere_and_opens_nothing_but_the_dashboard() {
    let world = World::start();
    let mut browser = Browser::signed_in(&world.url(), &world.token);
    let copy = Browser { url: browser.url.clone(), cookie: browser.cookie.clone() };
    let api = request_page(&browser.url, "GET", "/jobs", &[("Cookie", &browser.cookie)], "");
    assert_eq!(api.status, 401);
    let (name, value) = browser.cookie.split_once('=').unwrap();
    let (payload, signature) = value.split_once('.').unwrap();
    for forged in
        [format!("{payload}x.{signature}"), format!("{payload}."), payload.to_owned(), ".".to_owned()]
    {
        let forged = Browser { url: browser.url.clone(), cookie: format!("{name}={forged}") };
        assert_eq!(forged.get("/dashboard/").status, 303, "{}", forged.cookie);
    }
    assert_eq!(copy.get("/dashboard/").status, 200);
    assert_eq!(browser.submit("/dashboard/", "/dashboard/sign-out", &[]).status, 303);
    assert_eq!(copy.get("/dashboard/").status, 303);
    assert_eq!(Browser::signed_in(&world.url(), &world.token).get("/dashboard/").status, 200);
}

#[test]
fn sessions_and_sign_outs_outlast_a_restart_and_hold_for_every_instance() {
    let mut world = World::start();
    let mut browser = Browser::signed_in(&world.url(), &world.token);
    world.restart();
    let mut copy = Browser::signed_in(&world.url(), &world.token);
    // The port is another one, and is in the name of the cookie.
    let renamed = |cookie: &str| {
        let (name, _) = copy.cookie.split_once('=').unwrap();
        format!("{name}={}", cookie.split_once('=').unwrap().1)
    };
    let before = Browser { url: world.url(), cookie: renamed(&browser.cookie) };
    browser.cookie = renamed(&browser.cookie);
    browser.url = world.url();
    assert_eq!(before.get("/dashboard/").status, 200, "the session is still good");
    assert_eq!(browser.submit("/dashboard/", "/dashboard/sign-out", &[]).status, 303);
    assert_eq!(copy.get("/dashboard/").status, 303, "all of them have ended");
    world.restart();
    copy.url = world.url();
    let fresh = Browser::signed_in(&world.url(), &world.token);
    let name = fresh.cookie.split_once('=').unwrap().0.to_owned();
    copy.cookie = format!("{name}={}", copy.cookie.split_once('=').unwrap().1);
    assert_eq!(copy.get("/dashboard/").status, 303, "and stay so after a restart");
    assert_eq!(fresh.get("/dashboard/").status, 200);
}

#[test]
fn a_standalone_service_keeps_the_key_of_its_sessions_and_the_links_that_were_used() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"))
        .args(["dashboard", "--url", &service.url, "--token", &service.token])
        .output()
        .unwrap();
    let link = String::from_utf8(output.stdout).unwrap();
    let code = link.trim().split_once("#code=").unwrap().1.to_owned();
    let mut browser = Browser::at(&service.url);
    assert_eq!(browser.send_form("/dashboard/sign-in", &[("code", &code)]).status, 303);
    let value = browser.cookie.split_once('=').unwrap().1.to_owned();
    service.stop();
    let service = Standalone::start(directory.path());
    let port = service.url.rsplit_once(':').unwrap().1.trim_end_matches('/');
    let mut again = Browser { url: service.url.clone(), cookie: format!("ocf-scheduler-{port}={value}") };
    assert_eq!(again.get("/dashboard/").status, 200, "the session is still good");
    assert_eq!(again.send_form("/dashboard/sign-in", &[("code", &code)]).status, 401, "the link was used");
    service.stop();
}

#[test]
fn behind_tls_the_cookie_is_bound_to_the_host() {
    let world = World::start();
    let headers = [
        ("Origin", "https://scheduler.example"),
        ("X-Forwarded-Host", "scheduler.example"),
        ("X-Forwarded-Proto", "https"),
    ];
    let body = form(&[("token", &world.token), ("to", "//evil.example")]);
    let answer = request_page(&world.url(), "POST", "/dashboard/sign-in", &headers, &body);
    let cookie = answer.header("Set-Cookie").unwrap();
    assert!(
        cookie.starts_with("__Host-") && cookie.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
    assert_eq!(answer.header("Location"), Some("/dashboard/"));
}

#[test]
fn wrong_tokens_are_slowed_down_by_a_429() {
    let world = World::start();
    let mut browser = Browser::at(&world.url());
    let statuses: Vec<u16> = (0..12)
        .map(|number| browser.send_form("/dashboard/sign-in", &[("token", &format!("wrong{number}"))]).status)
        .collect();
    assert_eq!(statuses[0], 401);
    assert_eq!(statuses[11], 429, "{statuses:?}");
}

#[test]
fn a_page_that_has_not_changed_is_a_304() {
    let world = World::start();
    let browser = Browser::signed_in(&world.url(), &world.token);
    let etag = browser.get("/dashboard/jobs").header("ETag").unwrap().to_owned();
    let again = || {
        let headers = [("Cookie", browser.cookie.as_str()), ("If-None-Match", &etag)];
        request_page(&browser.url, "GET", "/dashboard/jobs", &headers, "").status
    };
    assert_eq!(again(), 304);
    world.job("new");
    assert_eq!(again(), 200);
}

#[test]
fn the_link_of_the_command_line_signs_in_once() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"))
        .args(["dashboard", "--url", &service.url, "--token", &service.token])
        .output()
        .unwrap();
    let link = String::from_utf8(output.stdout).unwrap();
    let (page, code) = link.trim().split_once("#code=").unwrap();
    assert_eq!(page, format!("{}/dashboard/", service.url));
    let mut browser = Browser::at(&service.url);
    assert_eq!(browser.send_form("/dashboard/sign-in", &[("code", code)]).status, 303);
    assert_eq!(browser.get("/dashboard/").status, 200);
    assert_eq!(browser.send_form("/dashboard/sign-in", &[("code", code)]).status, 401);
    service.stop();
}

#[test]
fn times_are_shown_in_the_zone_that_was_chosen() {
    let world = World::start();
    let mut browser = Browser::signed_in(&world.url(), &world.token);
    let chosen = browser.submit(
        "/dashboard/",
        "/dashboard/time-zone",
        &[("zone", "Asia/Tokyo"), ("to", "/dashboard/jobs")],
    );
    assert_eq!(chosen.header("Location"), Some("/dashboard/jobs"));
    let zone = chosen.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    browser.cookie = format!("{}; {zone}", browser.cookie);
    assert!(browser.get("/dashboard/").body.contains("Times in Asia/Tokyo."));
    assert_eq!(
        browser.submit("/dashboard/", "/dashboard/time-zone", &[("zone", "Mars/Olympus")]).status,
        422
    );
}

#[test]
fn a_user_who_has_lost_the_role_is_out_and_another_space_is_not_found() {
    let world = World::with(&[("AUTH_CACHE_SECONDS", "0")]);
    let browser = Browser::signed_in(&world.url(), &world.token);
    let stranger = world.cf.issue_cf_token("stranger");
    let job = world.job("nightly");
    let other = Browser::signed_in(&world.url(), &stranger);
    assert_eq!(other.get(&format!("/dashboard/jobs/{job}")).status, 404);
    assert_eq!(other.get(&format!("/dashboard/?space_guid={SPACE}")).status, 404);
    assert_eq!(browser.get("/dashboard/").status, 200);
    world.cf.remove_roles("dev", SPACE);
    assert_eq!(browser.get("/dashboard/").status, 303);
}

/// A browser that signs in through UAA.
struct SignIn {
    url: String,
    /// The cookie that the browser keeps meanwhile.
    cookie: String,
    /// UAA's page.
    to: String,
    /// The URL that UAA redirects the browser back to.
    path: String,
}

impl SignIn {
    /// Begins at the service, and goes through UAA as `user`.
    fn begin(world: &World, user: &str) -> Self {
        let url = world.url();
        let begun = request_page(&url, "GET", "/dashboard/sign-in?with=cf&to=/dashboard/jobs", &[], "");
        let to = begun.header("Location").unwrap().to_owned();
        let cookie = begun.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
        let at_uaa = to.strip_prefix(&world.cf.url()).unwrap();
        let back = request_page(&world.cf.url(), "GET", &format!("{at_uaa}&user={user}"), &[], "");
        assert_eq!(back.status, 302, "{to}: {}", back.body);
        let path = back.header("Location").unwrap().strip_prefix(&url).unwrap().to_owned();
        Self { url, cookie, to, path }
    }

    fn end(&self, path: &str, cookie: &str) -> Answer {
        request_page(&self.url, "GET", path, &[("Cookie", cookie)], "")
    }

    fn signed_in(&self) -> Browser {
        let answer = self.end(&self.path, &self.cookie);
        assert_eq!(
            (answer.status, answer.header("Location")),
            (303, Some("/dashboard/jobs")),
            "{}",
            answer.body
        );
        let mut cookies = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Set-Cookie"));
        let session = cookies.find(|(_, value)| !value.contains("sign-in=")).unwrap();
        Browser { url: self.url.clone(), cookie: session.1.split(';').next().unwrap().to_owned() }
    }
}

#[test]
fn signing_in_with_cloud_foundry_takes_a_code_once_from_the_browser_that_began() {
    let settings = [("DASHBOARD_CLIENT_ID", "dashboard"), ("DASHBOARD_CLIENT_SECRET", "s3cret")];
    let world = World::with(&settings);
    let callback = format!("{}/dashboard/callback", world.url());
    let scopes = ["openid", "cloud_controller.read", "cloud_controller.write"];
    world.cf.add_sign_in_client("dashboard", "s3cret", &callback, &scopes);
    let page = request_page(&world.url(), "GET", "/dashboard/sign-in", &[], "");
    assert!(page.body.contains("Sign in with Cloud Foundry"));
    let sign_in = SignIn::begin(&world, "dev");
    assert!(!sign_in.to.contains("s3cret"), "{}", sign_in.to);
    assert_eq!(sign_in.end(&sign_in.path, "").status, 401, "another browser");
    let other = sign_in.path.replace("state=", "state=x");
    assert_eq!(sign_in.end(&other, &sign_in.cookie).status, 401, "another sign-in");
    let browser = sign_in.signed_in();
    assert_eq!(browser.get("/dashboard/jobs").status, 200);
    assert_eq!(sign_in.end(&sign_in.path, &sign_in.cookie).status, 401, "the state was used");
    // A verifier of another browser does not fit the code.
    let (one, two) = (SignIn::begin(&world, "dev"), SignIn::begin(&world, "dev"));
    let code = |it: &SignIn| it.path.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let mixed = one.path.replace(&code(&one), &code(&two));
    assert_eq!(one.end(&mixed, &one.cookie).status, 401);
}

#[test]
fn those_who_wait_for_a_slow_uaa_to_sign_them_in_leave_threads_for_others() {
    let settings = [("DASHBOARD_CLIENT_ID", "dashboard"), ("DASHBOARD_CLIENT_SECRET", "s3cret")];
    let world = World::with(&settings);
    let callback = format!("{}/dashboard/callback", world.url());
    let scopes = ["openid", "cloud_controller.read", "cloud_controller.write"];
    world.cf.add_sign_in_client("dashboard", "s3cret", &callback, &scopes);
    let sign_ins: Vec<SignIn> = (0..12).map(|_| SignIn::begin(&world, "dev")).collect();
    world.cf.fault("POST /oauth/token", Fault::Delay(Duration::from_secs(4)), ALWAYS);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ends = sign_ins.iter().map(|it| scope.spawn(|| it.end(&it.path, &it.cookie).status));
        ends.collect::<Vec<_>>().into_iter().map(|end| end.join().unwrap()).collect()
    });
    let count = |status| statuses.iter().filter(|other| **other == status).count();
    assert_eq!((count(303), count(503)), (8, 4), "{statuses:?}");
    // Nothing was used up: the others reload the page.
    world.cf.clear_faults();
    let refused = statuses.iter().position(|status| *status == 503).unwrap();
    assert_eq!(sign_ins[refused].end(&sign_ins[refused].path, &sign_ins[refused].cookie).status, 303);
}

#[test]
fn people_sign_in_through_the_client_that_cloud_controller_makes_from_the_catalog() {
    let world = World::with(&[("BROKER_USER", "platform"), ("BROKER_PASSWORD", "hidden-password")]);
    let authorization = format!("Basic {}", BASE64_STANDARD.encode("platform:hidden-password"));
    let headers = [("Authorization", authorization.as_str()), ("X-Broker-API-Version", "2.17")];
    let catalog = request_page(&world.url(), "GET", "/v2/catalog", &headers, "");
    let catalog: serde_json::Value = serde_json::from_str(&catalog.body).unwrap();
    let client = &catalog["services"][0]["dashboard_client"];
    let member = |name: &str| client[name].as_str().unwrap_or_else(|| panic!("{name}: {catalog}")).to_owned();
    assert_eq!(member("redirect_uri"), format!("{}/dashboard/callback", world.url()));
    assert!(32 <= member("secret").len() && !member("secret").contains("hidden"), "{client}");
    let scopes = ["openid", "cloud_controller_service_permissions.read"];
    world.cf.add_sign_in_client(&member("id"), &member("secret"), &member("redirect_uri"), &scopes);
    let job = world.job("nightly");
    let mut browser = SignIn::begin(&world, "dev").signed_in();
    let page = format!("/dashboard/jobs/{job}");
    assert!(browser.get(&page).body.contains("Run now"));
    assert_eq!(browser.submit(&page, &page, &[("do", "run")]).status, 303);
    assert_eq!(browser.get("/dashboard/health").status, 404, "nobody is an admin");
    // Roles decide, not the token.
    let stranger = SignIn::begin(&world, "nobody");
    assert_eq!(stranger.end(&stranger.path, &stranger.cookie).status, 401);
    // A client of the operator's goes first.
    let own = [("DASHBOARD_CLIENT_ID", "own"), ("DASHBOARD_CLIENT_SECRET", "s3cret")];
    let broker = [("BROKER_USER", "platform"), ("BROKER_PASSWORD", "hidden-password")];
    let world = World::with(&[own, broker].concat());
    let catalog = request_page(&world.url(), "GET", "/v2/catalog", &headers, "");
    assert!(!catalog.body.contains("dashboard_client"), "{}", catalog.body);
}

#[test]
fn apps_and_spaces_have_their_names_while_cloud_foundry_tells_them() {
    let world = World::start();
    world.cf.add_space_of("org-1", SPACE);
    let job = world.job("nightly");
    let browser = Browser::signed_in(&world.url(), &world.token);
    let page = browser.get("/dashboard/jobs");
    assert!(page.body.contains(&format!("name-of-org-1 / space-{SPACE}</option>")), "{}", page.body);
    assert!(page.body.contains(&format!("<bdi>app-{APP}</bdi>")), "{}", page.body);
    assert!(browser.get(&format!("/dashboard/jobs/{job}")).body.contains(&format!(">app-{APP}</bdi>")));
    assert_eq!(world.cf.count("GET /v3/spaces"), 1, "names are remembered");
    // A new process knows none, and Cloud Foundry fails.
    let world = World::start();
    world.job("nightly");
    world.cf.fault("GET /v3/apps", Fault::status(503, None), ALWAYS);
    world.cf.fault("GET /v3/spaces", Fault::status(503, None), ALWAYS);
    let browser = Browser::signed_in(&world.url(), &world.token);
    for _ in 0..3 {
        let page = browser.get("/dashboard/jobs");
        assert_eq!(page.status, 200);
        assert!(page.body.contains(&format!("<bdi>{APP}</bdi>")), "{}", page.body);
    }
    let asked = world.cf.count("GET /v3/apps") + world.cf.count("GET /v3/spaces");
    assert_eq!(asked, 1, "nobody asks for a minute after a failure");
}

#[test]
fn a_cloud_foundry_that_hangs_holds_up_no_page() {
    let hangs = Fault::Delay(Duration::from_secs(10));
    let world = World::start();
    world.cf.add_space_of("org-1", SPACE);
    world.job("nightly");
    world.cf.fault("GET /v3/apps", hangs.clone(), ALWAYS);
    world.cf.fault("GET /v3/spaces", hangs, ALWAYS);
    let browser = Browser::signed_in(&world.url(), &world.token);
    // If each page waited for a second, the names would be there before the last one.
    for path in ["/dashboard/", "/dashboard/jobs"].repeat(10) {
        let page = browser.get(path);
        assert_eq!(page.status, 200);
        assert!(!page.body.contains("name-of-org-1"), "{path}: {}", page.body);
    }
    assert_eq!(world.cf.count("GET /v3/spaces"), 1);

    // Roles decide who may see a page, so there is none without them.
    let world = World::with(&[("AUTH_CACHE_SECONDS", "0")]);
    let browser = Browser::signed_in(&world.url(), &world.token);
    let hangs = Fault::Delay(Duration::from_secs(4));
    world.cf.fault("GET /v3/roles", hangs.clone(), 1);
    let page = browser.get("/dashboard/jobs");
    assert_eq!(page.status, 503, "{}", page.body);
    assert!(page.body.contains("Cloud Foundry could not confirm who you are."), "{}", page.body);
    wait_for(|| (browser.get("/dashboard/jobs").status == 200).then_some(()));

    // Admins look at the health page while Cloud Foundry is in trouble.
    let admin = world.cf.issue_user_token("root", &["cloud_controller.admin"]);
    let admin = Browser::signed_in(&world.url(), &admin);
    world.cf.fault("GET /", hangs, 1);
    let says = |text: &str| {
        let page = admin.get("/dashboard/health");
        (page.status == 200 && page.body.contains(text)).then_some(())
    };
    says("The database and the platform have not answered in time.").expect("a page of its own");
    wait_for(|| says("The database accepts writes, and the platform answers."));
    world.cf.fault("GET /", Fault::status(503, None), ALWAYS);
    wait_for(|| says("The database accepts writes. The platform does not answer"));
}

#[test]
fn a_long_log_is_shown_from_its_end_and_one_that_hangs_holds_up_no_page() {
    let world = World::start();
    let job = world.job("prints");
    let execution = world.post(&format!("/jobs/{job}/execute"), "").guid();
    let task = wait_for(|| world.cf.tasks().pop());
    let source = format!("APP/TASK/{}", task.name);
    for _ in 0..48 {
        world.cf.print(APP, &source, &[b'x'; 32 * 1024]);
    }
    world.cf.print(APP, &source, b"the \x1b[31mvery\x1b[0m end");
    world.cf.fault("GET /api/v1/read/:app", Fault::Delay(Duration::from_secs(5)), 1);
    let path = format!("/dashboard/executions/{execution}");
    let browser = Browser::signed_in(&world.url(), &world.token);
    let page = browser.get(&path);
    assert_eq!(page.status, 200);
    assert!(page.body.contains("It is being read."), "{}", page.body);
    let page = wait_for(|| Some(browser.get(&path).body).filter(|page| page.contains("the very end")));
    assert!(page.contains("The last 32 KiB."), "{page}");
    let all = browser.get(&format!("{path}?output=all")).body;
    assert!(all.contains("The last 1 MiB.") && 1024 * 1024 < all.len(), "{}", all.len());
    world.cf.fault("GET /api/v1/read/:app", Fault::status(503, None), ALWAYS);
    let page = browser.get(&path).body;
    assert!(page.contains("the very end") && page.contains("It cannot be read at the moment"), "{page}");
}

#[test]
fn the_page_of_a_job_lists_its_runs_with_reasons_and_cancels_those_that_are_ticked() {
    let world = World::start();
    let job = world.job("nightly");
    let mut browser = Browser::signed_in(&world.url(), &world.token);
    let page = format!("/dashboard/jobs/{job}");
    assert_eq!(browser.submit(&page, &page, &[("do", "run")]).status, 303);
    let shown = wait_for(|| {
        let shown = browser.get(&page).body;
        shown.contains(">running</span>").then_some(shown)
    });
    let pick = shown.split("name=\"pick\"").nth(1).unwrap().split("value=\"").nth(1).unwrap();
    let pick = pick.split('"').next().unwrap().to_owned();
    assert!(shown.contains("by hand, <bdi>dev"), "{shown}");
    let cancelled = browser.submit(&page, &page, &[("do", "cancel"), ("pick", &pick)]);
    assert_eq!((cancelled.status, cancelled.header("Location")), (303, Some(page.as_str())));
    wait_for(|| browser.get(&page).body.contains("<div class=\"sub\">cancelled</div>").then_some(()));
    let again = browser.submit(&page, &page, &[("do", "again"), ("pick", &pick)]);
    assert_eq!((again.status, again.header("Location")), (303, Some(page.as_str())));
    assert_eq!(browser.get(&page).body.matches("name=\"pick\"").count(), 2);
}

#[test]
fn admins_see_on_the_health_page_how_the_service_is_and_no_secret() {
    let world = World::with(&[
        ("METRICS_TOKEN", "hidden-token"),
        ("BROKER_USER", "platform"),
        ("BROKER_PASSWORD", "hidden-password"),
    ]);
    assert_eq!(Browser::signed_in(&world.url(), &world.token).get("/dashboard/health").status, 404);
    let admin = world.cf.issue_user_token("root", &["cloud_controller.admin"]);
    let browser = Browser::signed_in(&world.url(), &admin);
    // On a busy machine the database may not answer in time.
    let page = wait_for(|| {
        let page = browser.get("/dashboard/health");
        assert_eq!(page.status, 200, "{}", page.body);
        let is_whole = !page.body.contains("does not say") && !page.body.contains("in time.");
        is_whole.then_some(page)
    });
    let row = |head: &str| {
        let row = page.body.split("<tr>").find(|row| row.contains(head));
        row.unwrap_or_else(|| panic!("no {head}: {}", page.body)).to_owned()
    };
    for part in ["Lateness, median", "Lateness, p99", "<dt>Database</dt>", "Due schedules", "Running tasks"] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    assert!(row(">Calls</th>").contains("data-label=\"Backlog\">0<"), "{}", row(">Calls</th>"));
    assert!(row(">Cloud Foundry</th>").contains("data-label=\"2xx\""));
    assert!(row(">UAA</th>").contains("data-label=\"none\""));
    let is_alone = page.body.contains("One process, which has the database to itself.");
    let has_lease = page.body.contains("(this one)") && page.body.contains("held");
    assert!(is_alone != has_lease, "{}", page.body);
    assert!(row("<code>BROKER_USER</code>").contains("platform"));
    for secret in ["METRICS_TOKEN", "BROKER_PASSWORD", "CLIENT_SECRET"] {
        assert!(row(&format!("<code>{secret}</code>")).contains("<bdi>hidden</bdi>"), "{secret}");
    }
    for secret in ["hidden-token", "hidden-password", &admin] {
        assert!(!page.body.contains(secret), "{secret}");
    }
    assert!(page.body.len() < 60 * 1024, "{}", page.body.len());
}
