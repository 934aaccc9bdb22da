//! The dashboard in a real Chromium, driven through WebDriver. Without `chromedriver` on the machine these
//! tests say so and pass; `.ci/run` installs it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::standalone::Standalone;
use super::world::{SPACE, World, request, wait_for};

/// A Chromium, and the driver that controls it.
struct Chromium {
    driver: Child,
    url: String,
    session: String,
}

/// Starts a driver, and returns the port that it listens on. `None` if this machine has none.
fn start_driver() -> Option<(Child, u16)> {
    // Another process may take the port that it picked before it listens; then it ends.
    for _ in 0..5 {
        let driver =
            Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut driver) = driver else {
            #[expect(clippy::print_stderr, reason = "the developer should know")]
            {
                eprintln!("skipped: there is no chromedriver on this machine");
            }
            return None;
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.by_ref().find_map(|line| {
            let (_, port) = line.split_once("successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        if let Some(port) = port {
            // Its later output must go somewhere; otherwise it ends.
            std::thread::spawn(move || lines.for_each(drop));
            return Some((driver, port));
        }
        driver.wait().unwrap();
    }
    panic!("chromedriver does not start");
}

impl Chromium {
    /// `None` if this machine has none.
    fn start(has_scripts: bool) -> Option<Self> {
        let (driver, port) = start_driver()?;
        let url = format!("http://127.0.0.1:{port}");
        let mut it = Self { driver, url, session: String::new() };
        let scripts = if has_scripts { 1 } else { 2 };
        let options = json!({
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            "prefs": {"profile.managed_default_content_settings.javascript": scripts},
        });
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let made = it.call("POST", "/session", &wanted);
        it.session = format!("/session/{}", made["sessionId"].as_str().unwrap());
        Some(it)
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let target = format!("{}{path}", self.session);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer =
            request(&self.url, method, &target, None, &[("Content-Type", "application/json")], &body);
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        answer.json()["value"].clone()
    }

    fn go(&self, url: &str) {
        self.call("POST", "/url", &json!({"url": url}));
    }

    fn elements(&self, xpath: &str) -> Vec<String> {
        let found = self.call("POST", "/elements", &json!({"using": "xpath", "value": xpath}));
        let found = found.as_array().unwrap().iter();
        found
            .map(|it| it.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned())
            .collect()
    }

    /// Types into the field with this label.
    #[track_caller]
    fn fill(&self, label: &str, text: &str) {
        let xpath = format!("//*[@id=//label[.='{label}']/@for]");
        let field = wait_for(|| self.elements(&xpath).into_iter().next());
        self.call("POST", &format!("/element/{field}/clear"), &json!({}));
        self.call("POST", &format!("/element/{field}/value"), &json!({"text": text}));
    }

    /// Presses the button, or follows the link, of this name.
    #[track_caller]
    fn press(&self, name: &str) {
        let xpath = format!("//button[.='{name}'] | //a[.='{name}']");
        let found = wait_for(|| self.elements(&xpath).into_iter().next());
        self.call("POST", &format!("/element/{found}/click"), &json!({}));
    }

    /// The text of the page; empty while the next page loads.
    fn text(&self) -> String {
        let script = "return document.body ? document.body.innerText : ''";
        let text = self.call("POST", "/execute/sync", &json!({"script": script, "args": []}));
        text.as_str().unwrap_or_default().to_owned()
    }

    fn address(&self) -> String {
        self.call("GET", "/url", &Value::Null).as_str().unwrap().to_owned()
    }

    /// Waits until the browser is at an address that `is_there` accepts: a click answers before the next page
    /// is there.
    #[track_caller]
    fn arrive(&self, is_there: impl Fn(&str) -> bool) -> String {
        wait_for(|| Some(self.address()).filter(|address| is_there(address)))
    }

    fn wait_for_text(&self, text: &str) {
        wait_for(|| self.text().contains(text).then_some(()));
    }

    fn narrow(&self, width: u32) {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": size});
        self.call("POST", "/goog/cdp/execute", &command);
    }

    fn overflows(&self) -> bool {
        let script = "return document.documentElement.scrollWidth > innerWidth";
        self.call("POST", "/execute/sync", &json!({"script": script, "args": []})) == true
    }

    /// The browser's warnings, for example about what the Content-Security-Policy blocked.
    fn complaints(&self) -> Vec<Value> {
        self.call("POST", "/se/log", &json!({"type": "browser"})).as_array().unwrap().clone()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.call("DELETE", "", &Value::Null);
        }));
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Creates a job, previews and saves a schedule for it, runs it, and reads its output.
fn make_schedule_and_run(service: &Standalone, has_scripts: bool) {
    let Some(browser) = Chromium::start(has_scripts) else { return };
    browser.go(&format!("{}/", service.url));
    browser.fill("Token", &service.token);
    browser.press("Sign in");
    browser.wait_for_text("Sign out");
    browser.press("Jobs");
    let name = if has_scripts { "scripted" } else { "plain" };
    browser.go(&format!("{}/dashboard/jobs/new", service.url));
    browser.fill("App", &service.app);
    browser.fill("Name", name);
    browser.fill("Command", "echo it has run");
    browser.press("Save");
    let job = browser.arrive(|address| address.contains("/jobs/") && !address.ends_with("/new"));
    browser.press("New schedule");
    browser.fill("Expression", "0 9 * * 1-5");
    browser.fill("Time zone", "Europe/Berlin");
    if !has_scripts {
        browser.press("Preview");
    }
    browser.wait_for_text("at 09:00 on Monday to Friday");
    browser.press("Save");
    browser.arrive(|address| address == job);
    browser.press("Run now");
    // With scripts the page updates itself until the execution ends.
    wait_for(|| {
        if !has_scripts {
            browser.go(&browser.address());
        }
        browser.text().contains("it has run").then_some(())
    });
    for width in [360, 768, 1280] {
        browser.narrow(width);
        for page in ["", "executions", "jobs", "calls", "calendar", "jobs/new"] {
            browser.go(&format!("{}/dashboard/{page}", service.url));
            assert!(!browser.overflows(), "{page} at {width}");
        }
        browser.go(&job);
        assert!(!browser.overflows(), "the job at {width}");
    }
    assert_eq!(browser.complaints(), Vec::<Value>::new());
    browser.press("Sign out");
    browser.arrive(|address| address.ends_with("/dashboard/sign-in"));
}

/// Cancels a run, pauses and resumes the space, and filters for what failed.
fn cancel_pause_and_filter(service: &Standalone, has_scripts: bool) {
    let Some(browser) = Chromium::start(has_scripts) else { return };
    let suffix = if has_scripts { "scripted" } else { "plain" };
    let make = |name: &str, command: &str| {
        let body = json!({"name": format!("{name}-{suffix}"), "command": command});
        let job = api(service, "POST", &format!("/jobs?app_guid={}", service.app), &body);
        api(service, "POST", &format!("/jobs/{}/execute", job["guid"].as_str().unwrap()), &Value::Null);
        format!("{}/dashboard/jobs/{}", service.url, job["guid"].as_str().unwrap())
    };
    let (long, fails) = (make("long", "sleep 600"), make("fails", "exit 3"));
    browser.go(&long);
    browser.fill("Token", &service.token);
    browser.press("Sign in");
    // Signing in leads to the page that was requested.
    browser.arrive(|address| address == long);
    let see = |text: &str| {
        wait_for(|| {
            if !has_scripts {
                browser.go(&browser.address());
            }
            browser.text().contains(text).then_some(())
        });
    };
    see("running");
    let pick = browser.elements("//input[@name='pick']").remove(0);
    browser.call("POST", &format!("/element/{pick}/click"), &json!({}));
    browser.press("Cancel run");
    see("cancelled");
    browser.go(&fails);
    see("failed");

    browser.go(&format!("{}/dashboard/", service.url));
    let space = browser.elements("//select[@id='space']/option[2]").remove(0);
    let name = browser.call("GET", &format!("/element/{space}/text"), &Value::Null);
    assert_eq!(name, "my-space");
    browser.call("POST", &format!("/element/{space}/click"), &json!({}));
    browser.press("Show");
    browser.arrive(|address| address.contains("space_guid="));
    browser.fill("Note", "the database moves");
    browser.press("Pause space");
    browser.wait_for_text("This space is paused.");
    assert!(browser.text().contains("the database moves"));
    browser.press("Resume space");
    wait_for(|| (!browser.text().contains("This space is paused.")).then_some(()));

    browser.press("Executions");
    browser.arrive(|address| address.contains("/dashboard/executions"));
    let failed = browser.elements("//select[@id='state']/option[.='failed']").remove(0);
    browser.call("POST", &format!("/element/{failed}/click"), &json!({}));
    browser.fill("Name", suffix);
    browser.press("Filter");
    browser.arrive(|address| address.contains("state=FAILED"));
    browser.wait_for_text(&format!("fails-{suffix}"));
    let zone = browser.elements("//select[@id='zone']/option[.='Asia/Tashkent']").remove(0);
    browser.call("POST", &format!("/element/{zone}/click"), &json!({}));
    browser.press("Set");
    browser.wait_for_text("Times in Asia/Tashkent");
    assert!(browser.address().contains("state=FAILED"), "the filter stays");
    assert_eq!(browser.complaints(), Vec::<Value>::new());
}

#[test]
fn a_person_cancels_pauses_and_filters_in_chromium_with_and_without_javascript() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    for has_scripts in [true, false] {
        cancel_pause_and_filter(&service, has_scripts);
    }
    service.stop();
}

#[test]
fn a_person_makes_schedules_and_runs_a_job_in_chromium() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    make_schedule_and_run(&service, true);
    service.stop();
}

#[test]
fn a_person_does_the_same_without_javascript() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    make_schedule_and_run(&service, false);
    service.stop();
}

/// With PostgreSQL the clock cannot be set from here.
#[needs::sqlite]
#[test]
fn a_session_that_is_over_and_a_role_that_is_lost_lead_to_the_sign_in_in_chromium() {
    for has_scripts in [true, false] {
        let world = World::with(&[("AUTH_CACHE_SECONDS", "0")]);
        let Some(browser) = Chromium::start(has_scripts) else { return };
        let jobs = format!("{}/dashboard/jobs", world.url());
        let is_sign_in = |address: &str| address.contains("/dashboard/sign-in?to=%2Fdashboard%2Fjobs");
        // With a script, a page that is open notices it by itself.
        let is_out = || {
            if !has_scripts {
                browser.press("Jobs");
            }
            browser.arrive(is_sign_in);
        };
        let sign_in = || {
            browser.fill("Token", &world.token);
            browser.press("Sign in");
        };
        browser.go(&jobs);
        sign_in();
        browser.arrive(|address| address == jobs);
        world.cf.remove_roles("dev", SPACE);
        is_out();
        sign_in();
        browser.wait_for_text("This token is not valid");
        world.cf.add_role("dev", SPACE);
        sign_in();
        browser.arrive(|address| address == jobs);
        browser.wait_for_text("Sign out");
        world.clock.advance(8 * 3600);
        is_out();
    }
}

#[test]
fn a_long_output_is_shown_from_its_end_and_as_a_whole_in_chromium() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    for has_scripts in [true, false] {
        let Some(browser) = Chromium::start(has_scripts) else { break };
        let body = json!({"name": format!("talks-{has_scripts}"), "command": "seq -f 'line %g' 9000"});
        let job = api(&service, "POST", &format!("/jobs?app_guid={}", service.app), &body);
        let job = format!("/jobs/{}", job["guid"].as_str().unwrap());
        let run = api(&service, "POST", &format!("{job}/execute"), &Value::Null);
        let page = format!("{}/dashboard/executions/{}", service.url, run["guid"].as_str().unwrap());
        browser.go(&page);
        browser.fill("Token", &service.token);
        browser.press("Sign in");
        wait_for(|| {
            browser.go(&page);
            browser.text().contains("line 9000").then_some(())
        });
        assert!(!browser.text().contains("line 1\n"));
        let below = "const it = document.querySelector('.output'); const all = it.firstElementChild;
                     return all.getBoundingClientRect().bottom - it.getBoundingClientRect().bottom";
        let below = browser.call("POST", "/execute/sync", &json!({"script": below, "args": []}));
        assert!(below.as_f64().is_some_and(|below| below < 2.0), "{below}: the end is in sight");
        browser.press("All of it");
        browser.arrive(|address| address.ends_with("?output=all"));
        browser.wait_for_text("line 1\n");
        assert!(browser.text().contains("line 9000"));
    }
    service.stop();
}

#[test]
fn an_output_is_followed_while_it_grows_and_stays_where_it_is_read_in_chromium() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    let command = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo \"line $i;\"; sleep 0.1; done";
    let body = json!({"name": "talks", "command": command});
    let job = api(&service, "POST", &format!("/jobs?app_guid={}", service.app), &body);
    let job = format!("/jobs/{}", job["guid"].as_str().unwrap());
    let run = api(&service, "POST", &format!("{job}/execute"), &Value::Null);
    if let Some(browser) = Chromium::start(true) {
        browser.go(&format!("{}/dashboard/executions/{}", service.url, run["guid"].as_str().unwrap()));
        browser.fill("Token", &service.token);
        browser.press("Sign in");
        browser.wait_for_text("Sign out");
        let ask = |script: &str| {
            let script = format!("const it = document.querySelector('.output'); return {script}");
            browser.call("POST", "/execute/sync", &json!({"script": script, "args": []}))
        };
        browser.wait_for_text("line 40;");
        assert_eq!(ask("it.scrollTop"), 0, "the end is in sight");
        // It is scrolled away from its end.
        let top = ask("(it.scrollTop = -200, it.scrollHeight + it.scrollTop)").as_f64().unwrap();
        let lines = ask("it.innerText.split(';').length").as_u64().unwrap();
        wait_for(|| (lines + 20 < ask("it.innerText.split(';').length").as_u64().unwrap()).then_some(()));
        let moved = ask("it.scrollHeight + it.scrollTop").as_f64().unwrap() - top;
        assert!(moved.abs() < 2.0, "{moved}");
    }
    service.stop();
}

#[test]
fn a_keyboard_is_enough_and_a_refresh_does_not_move_the_focus_in_chromium() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    let job = |name: &str| {
        let body = json!({"name": name, "command": "sleep 600"});
        let job = api(&service, "POST", &format!("/jobs?app_guid={}", service.app), &body);
        format!("/jobs/{}", job["guid"].as_str().unwrap())
    };
    let (first, other) = (job("first"), job("other"));
    api(&service, "POST", &format!("{first}/execute"), &Value::Null);
    if let Some(browser) = Chromium::start(true) {
        let (tab, enter) = ("\u{e004}", "\u{e007}");
        let keys = |keys: &str| {
            let strokes = keys.chars().flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            });
            let keyboard = json!({"type": "key", "id": "keyboard", "actions": strokes.collect::<Vec<_>>()});
            browser.call("POST", "/actions", &json!({"actions": [keyboard]}));
        };
        let ask =
            |script: &str| browser.call("POST", "/execute/sync", &json!({"script": script, "args": []}));
        // What has the focus: its name, and whether it is seen.
        let focus = || {
            let script = "const it = document.activeElement;
                const name = it.labels?.[0]?.innerText ?? it.getAttribute('aria-label') ?? it.innerText;
                return [name.trim(), getComputedStyle(it).outlineStyle]";
            let found = ask(script);
            assert_eq!(found[1], "solid", "{found} has the focus, and nobody sees it");
            found[0].as_str().unwrap().to_owned()
        };
        let reach = |name: &str| {
            let is_there = (0..150).any(|_| {
                keys(tab);
                focus() == name
            });
            assert!(is_there, "{name}");
        };
        browser.go(&format!("{}/dashboard/executions", service.url));
        browser.wait_for_text("Paste a token");
        keys(&format!("{}{enter}", service.token));
        browser.wait_for_text("Sign out");
        keys(tab);
        assert_eq!(focus(), "Skip to the content");
        keys(enter);
        assert_eq!(ask("return document.activeElement.id"), "main");
        for field in ["State", "Kind", "Name", "From", "To", "Filter", "▶running", "first"] {
            reach(field);
        }
        // A row comes before the one with the focus.
        api(&service, "POST", &format!("{other}/execute"), &Value::Null);
        wait_for(|| (ask("return document.querySelectorAll('tbody tr').length") == 2).then_some(()));
        assert_eq!(focus(), "first");
        keys(enter);
        browser.arrive(|address| address.ends_with(&first));
        browser.wait_for_text("Run now");
        reach("Delete");
        keys(enter);
        browser.arrive(|address| address.ends_with("/delete"));
        browser.wait_for_text("Delete for good");
        reach("Delete for good");
        keys(" ");
        browser.arrive(|address| address.ends_with("/dashboard/jobs"));
    }
    service.stop();
}

#[test]
fn a_printed_page_is_ink_on_white_with_whole_tables_in_chromium() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    let body = json!({"name": "nightly", "command": "true"});
    let job = api(&service, "POST", &format!("/jobs?app_guid={}", service.app), &body);
    let job = format!("/jobs/{}", job["guid"].as_str().unwrap());
    api(&service, "POST", &format!("{job}/schedules"), &json!({"expression": "0 3 * * *"}));
    api(&service, "POST", &format!("{job}/execute"), &Value::Null);
    if let Some(browser) = Chromium::start(true) {
        browser.go(&format!("{}/", service.url));
        browser.fill("Token", &service.token);
        browser.press("Sign in");
        browser.wait_for_text("Sign out");
        let features = json!([{"name": "prefers-color-scheme", "value": "dark"}]);
        let media = json!({"media": "print", "features": features});
        browser.call(
            "POST",
            "/goog/cdp/execute",
            &json!({"cmd": "Emulation.setEmulatedMedia", "params": media}),
        );
        // Between its margins, a sheet of A4 is this wide.
        browser.narrow(718);
        let job = format!("/dashboard{job}");
        for path in ["/dashboard/", "/dashboard/executions", "/dashboard/jobs", &job, "/dashboard/audit"] {
            browser.go(&format!("{}{path}", service.url));
            let script = "const dark = (it) => getComputedStyle(it).color.match(/\\d+/g).every((part) => part < 160);
                const shown = (it) => getComputedStyle(it).display !== 'none';
                const all = (names) => [...document.querySelectorAll(names)];
                return {
                    white: getComputedStyle(document.body).backgroundColor,
                    pale: all('main :is(h1, h2, p, td, th, caption, dt, dd)').filter((it) => !dark(it)).length,
                    noise: all('header, .skip, button, .button, .filter, .presets').filter(shown).length,
                    cards: all('table').filter((it) => getComputedStyle(it).display !== 'table').length,
                    relative: all('[data-relative]').some((it) => getComputedStyle(it).fontSize !== '0px'),
                }";
            let found = browser.call("POST", "/execute/sync", &json!({"script": script, "args": []}));
            let expected =
                json!({"white": "rgb(255, 255, 255)", "pale": 0, "noise": 0, "cards": 0, "relative": false});
            assert_eq!(found, expected, "{path}");
            assert!(!browser.overflows(), "{path}");
        }
    }
    service.stop();
}

/// axe-core, from npm; `None` if it cannot be installed here.
fn axe_core(directory: &Path) -> Option<String> {
    let installed = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .arg(directory)
        .arg("axe-core@4")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let script = std::fs::read_to_string(directory.join("node_modules/axe-core/axe.min.js")).ok();
    if !installed.is_ok_and(|status| status.success()) || script.is_none() {
        #[expect(clippy::print_stderr, reason = "the developer should know")]
        {
            eprintln!("skipped: npm does not give axe-core");
        }
        return None;
    }
    script
}

/// The faults that axe-core finds on the current page.
fn faults(browser: &Chromium, axe: &str) -> Value {
    let run = "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then((found) =>
               done(found.violations.map((it) => [it.id, it.nodes.map((node) => node.html)])))";
    browser.call("POST", "/execute/sync", &json!({"script": axe, "args": []}));
    browser.call("POST", "/execute/async", &json!({"script": run, "args": []}))
}

fn api(service: &Standalone, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = request(&service.url, method, path, Some(&service.token), &[], &body);
    assert!(answer.status < 300, "{method} {path}: {}", answer.body);
    answer.json()
}

/// A job and a call with the most hostile and the longest names, and an execution.
fn fill(service: &Standalone) -> Vec<String> {
    let app = &service.app;
    let mut pages = vec![String::new()];
    for name in HOSTILE.iter().copied().map(str::to_owned).chain(["w".repeat(255)]) {
        let body = json!({"name": name, "command": format!("echo '{}'", name.replace('\'', "")),
                          "metadata": {"labels": {"team": "web"}}});
        let job = api(service, "POST", &format!("/jobs?app_guid={app}"), &body);
        let guid = job["guid"].as_str().unwrap();
        let schedule = json!({"expression": "0 2 * * *", "timezone": "Europe/Berlin", "description": name});
        api(service, "POST", &format!("/jobs/{guid}/schedules"), &schedule);
        let run = api(service, "POST", &format!("/jobs/{guid}/execute"), &Value::Null);
        let body = json!({"name": name, "url": "javascript:alert(1)", "auth_header": name.replace('\'', ""),
                          "body": name, "method": "POST"});
        let call = api(service, "POST", &format!("/calls?app_guid={app}"), &body);
        pages = [
            "",
            "executions",
            "jobs",
            "calls",
            "calendar",
            "notifications",
            "notifications/new",
            "audit",
            "health",
            "jobs/new",
            "calls/new",
            "nothing",
        ]
        .map(str::to_owned)
        .to_vec();
        pages.extend(["", "/edit", "/delete", "/schedules/new"].map(|page| format!("jobs/{guid}{page}")));
        pages.extend(["", "/edit"].map(|page| format!("calls/{}{page}", call["guid"].as_str().unwrap())));
        pages.push(format!("executions/{}", run["guid"].as_str().unwrap()));
    }
    pages
}

const HOSTILE: [&str; 4] = [
    "<script>window.hacked=1</script>",
    "\"><img src=x onerror=window.hacked=1>",
    "'onmouseover='window.hacked=1",
    "</title></textarea><svg onload=window.hacked=1>",
];

#[test]
fn axe_core_finds_nothing_on_any_page_and_no_name_becomes_a_script() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    let tools = tempfile::tempdir().unwrap();
    if let Some(browser) = Chromium::start(true) {
        let axe = axe_core(tools.path());
        browser.go(&format!("{}/", service.url));
        browser.wait_for_text("Paste a token");
        if let Some(axe) = &axe {
            assert_eq!(faults(&browser, axe), json!([]), "the sign-in");
        }
        browser.fill("Token", &service.token);
        browser.press("Sign in");
        browser.wait_for_text("Sign out");
        let pages = fill(&service);
        for scheme in ["light", "dark"] {
            let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
            let command = json!({"cmd": "Emulation.setEmulatedMedia", "params": features});
            browser.call("POST", "/goog/cdp/execute", &command);
            for (width, page) in pages.iter().flat_map(|page| [(360, page), (1280, page)]) {
                browser.narrow(width);
                browser.go(&format!("{}/dashboard/{page}", service.url));
                let hacked = json!({"script": "return window.hacked === undefined", "args": []});
                assert_eq!(browser.call("POST", "/execute/sync", &hacked), true, "{page}");
                assert!(!browser.overflows(), "{page} at {width}");
                if let Some(axe) = &axe {
                    assert_eq!(faults(&browser, axe), json!([]), "{page} at {width}, {scheme}");
                }
            }
        }
    }
    service.stop();
}

/// Serves one page at another origin.
fn serve_elsewhere(page: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let length = page.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n");
            let _ = stream.write_all(format!("{head}{page}").as_bytes());
        }
    });
    url
}

#[test]
fn a_page_of_another_origin_can_neither_send_a_form_nor_frame_the_dashboard() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    if let Some(browser) = Chromium::start(true) {
        browser.go(&format!("{}/", service.url));
        browser.fill("Token", &service.token);
        browser.press("Sign in");
        browser.wait_for_text("Sign out");
        let body = json!({"name": "victim", "command": "true"});
        let job = api(&service, "POST", &format!("/jobs?app_guid={}", service.app), &body);
        let path = format!("/jobs/{}", job["guid"].as_str().unwrap());
        let evil = serve_elsewhere(format!(
            "<form method=post action='{}/dashboard{path}'><input name=do value=run></form>
             <script>document.forms[0].submit()</script>",
            service.url
        ));
        browser.go(&evil);
        browser.wait_for_text("Not allowed");
        let history = api(&service, "GET", &format!("{path}/history"), &Value::Null);
        assert_eq!(history["pagination"]["total_results"], 0);
        browser.complaints();
        browser.go(&serve_elsewhere(format!("<iframe src='{}/dashboard{path}'></iframe>", service.url)));
        let is_refused = || {
            let complaints = browser.complaints();
            complaints.iter().any(|it| it.to_string().contains("frame-ancestors")).then_some(())
        };
        wait_for(is_refused);
    }
    service.stop();
}

#[test]
fn a_one_time_link_signs_in_and_leaves_no_code_in_the_address() {
    let directory = tempfile::tempdir().unwrap();
    let service = Standalone::start(directory.path());
    if let Some(browser) = Chromium::start(true) {
        let output = Command::new(env!("CARGO_BIN_EXE_ocf-scheduler"))
            .args(["dashboard", "--url", &service.url, "--token", &service.token])
            .output()
            .unwrap();
        browser.go(String::from_utf8(output.stdout).unwrap().trim());
        browser.wait_for_text("Sign out");
        assert_eq!(browser.address(), format!("{}/dashboard/", service.url));
    }
    service.stop();
}
