//! `GET /metrics`: its contents, its readers, and that nobody can make it grow.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;

use super::cf::fake_cf::{FakeCf, Fault};
use super::database::{Database, is_postgres};
use super::program::{Program, ask};
use super::world::{APP, Answer, World, wait_for};

/// Parsed metrics. Anything that Prometheus would not accept fails the test.
#[derive(Debug, Default)]
struct Exposition {
    kinds: BTreeMap<String, String>,
    /// By name and labels, in the order of the labels' names.
    samples: BTreeMap<String, f64>,
}

impl Exposition {
    #[track_caller]
    fn of(text: &str) -> Self {
        let mut read = Self::default();
        let mut helped = BTreeSet::new();
        assert!(text.ends_with('\n') && !text.contains("\r") && !text.contains("\n\n"), "{text}");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(helped.contains(name), "{line}");
                assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                assert_eq!(read.kinds.insert(name.to_owned(), kind.to_owned()), None, "{line}");
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let family = Self::family(series);
                assert!(read.kinds.contains_key(family) || read.base(family).is_some(), "no TYPE: {line}");
                let value = if value == "+Inf" { f64::INFINITY } else { value.parse().unwrap() };
                assert!(Self::labels(series).is_some(), "{line}");
                assert_eq!(read.samples.insert(series.to_owned(), value), None, "twice: {line}");
            }
        }
        read.check_histograms();
        read
    }

    fn family(series: &str) -> &str {
        series.split('{').next().unwrap()
    }

    /// The histogram to which a series belongs.
    fn base<'a>(&self, family: &'a str) -> Option<&'a str> {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| family.strip_suffix(suffix))?;
        (self.kinds.get(base).map(String::as_str) == Some("histogram")).then_some(base)
    }

    fn labels(series: &str) -> Option<Vec<(String, String)>> {
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let Some((name, rest)) = series.split_once('{') else { return is_name(series).then(Vec::new) };
        let inner = rest.strip_suffix("\"}")?;
        let pairs: Option<Vec<(String, String)>> = inner
            .split("\",")
            .map(|pair| pair.split_once("=\"").map(|(key, value)| (key.to_owned(), value.to_owned())))
            .collect();
        pairs.filter(|pairs| {
            is_name(name) && pairs.iter().all(|(key, value)| is_name(key) && !value.contains(['"', '\\']))
        })
    }

    #[track_caller]
    fn check_histograms(&self) {
        for (series, count) in &self.samples {
            let family = Self::family(series);
            let Some(base) = self.base(family).filter(|_| family.ends_with("_count")) else { continue };
            let labels = series.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
            let buckets: Vec<(f64, f64)> = self
                .samples
                .iter()
                .filter(|(series, _)| {
                    Self::family(series) == format!("{base}_bucket") && series.contains(labels)
                })
                .map(|(series, value)| {
                    let pairs = Self::labels(series).unwrap();
                    let (_, bound) = pairs.iter().find(|(key, _)| key == "le").unwrap();
                    (if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() }, *value)
                })
                .collect();
            let mut buckets = buckets;
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(buckets.is_sorted_by_key(|(_, value)| *value), "{series}: {buckets:?}");
            assert_eq!(buckets.last().map(|(bound, value)| (*bound, *value)), Some((f64::INFINITY, *count)));
        }
    }

    /// The value of the series with this name and all of these labels; 0 if there is none.
    #[track_caller]
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let mut found = self.samples.iter().filter(|(series, _)| {
            let pairs = Self::labels(series).unwrap();
            Self::family(series) == name
                && labels.iter().all(|(key, value)| pairs.iter().any(|(k, v)| k == key && v == value))
        });
        let value = found.next().map_or(0.0, |(_, value)| *value);
        assert_eq!(found.next(), None, "{name} {labels:?} is more than one series");
        value
    }
}

/// The real program, because all tests share the counters of this process.
struct Counted {
    cf: FakeCf,
    token: String,
    program: Program,
    directory: tempfile::TempDir,
}

impl Counted {
    fn start(variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cf = FakeCf::start();
        cf.add_app(APP, "space-1");
        cf.add_role("dev", "space-1");
        cf.complete_tasks_after(Some((Duration::ZERO, "SUCCEEDED", None)));
        let token = cf.issue_cf_token("dev");
        let program = Program::start(directory.path(), &cf, variables).unwrap();
        Self { cf, token, program, directory }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        ask(&self.program.url, &self.token, method, path, body).unwrap()
    }

    #[track_caller]
    fn made(&self, kind: &str, body: &str) -> String {
        let (status, made) = self.ask("POST", &format!("/{kind}?app_guid={APP}"), body);
        assert_eq!(status, 201);
        format!("/{kind}/{}", made["guid"].as_str().unwrap())
    }

    #[track_caller]
    fn run(&self, of: &str) {
        assert_eq!(self.ask("POST", &format!("{of}/execute"), "").0, 201);
        wait_for(|| {
            let newest = self.ask("GET", &format!("{of}/history"), "").1["resources"][0]["state"].clone();
            matches!(newest.as_str(), Some("SUCCEEDED" | "FAILED")).then_some(())
        });
    }

    fn text(&self) -> String {
        scraped(&self.program.url)
    }

    /// A scrape with the figures of the database, which on a busy machine may not answer in time.
    fn whole_text(&self) -> String {
        wait_for(|| {
            let text = self.text();
            (Exposition::of(&text).value("ocf_scheduler_database_up", &[]) == 1.0).then_some(text)
        })
    }

    /// Sends bytes on a separate connection, and waits for its end.
    fn send(&self, bytes: &str) -> String {
        let mut stream = TcpStream::connect(self.program.url.trim_start_matches("http://")).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }
}

fn scraped(url: &str) -> String {
    let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
    let mut answer = agent.get(format!("{url}/metrics")).call().unwrap();
    assert_eq!(answer.headers()["Content-Type"], "text/plain; version=0.0.4; charset=utf-8");
    answer.body_mut().read_to_string().unwrap()
}

#[test]
fn each_route_is_counted_by_itself() {
    let world = Counted::start(&[]);
    let document: Value = serde_json::from_str(include_str!("../../src/web/api/openapi.json")).unwrap();
    let mut templates = BTreeSet::from(["/dashboard".to_owned(), "/v2/catalog".to_owned()]);
    for template in &templates {
        world.ask("GET", template, "");
    }
    for (path, operations) in document["paths"].as_object().unwrap() {
        let with = |value: &str| {
            let parts = path.split('/').map(|part| if part.starts_with('{') { value } else { part });
            parts.collect::<Vec<_>>().join("/")
        };
        let methods = ["get", "post", "patch", "delete"];
        let method = methods.into_iter().find(|method| operations.get(*method).is_some()).unwrap();
        world.ask(&method.to_uppercase(), &with("x"), "");
        templates.insert(with(":guid"));
    }
    let metrics = Exposition::of(&world.text());
    let is_counted = |template: &String| {
        let labels = [("route", template.as_str())];
        1.0 <= metrics.value("ocf_scheduler_http_request_duration_seconds_count", &labels)
    };
    // The scrape itself is counted after its answer.
    templates.remove("/metrics");
    let missing: Vec<&String> = templates.iter().filter(|template| !is_counted(template)).collect();
    assert!(missing.is_empty() && 35 < templates.len(), "{missing:?} of {templates:?}");
}

#[test]
fn what_happens_is_counted() {
    let world = Counted::start(&[]);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let job = world.made("jobs", r#"{"name":"j","command":"true"}"#);
    let call = world.made("calls", &format!(r#"{{"name":"c","url":"http://{nobody}/","auth_header":"x"}}"#));
    world.run(&job);
    world.run(&call);
    let body = r#"{"enabled":true,"expression":"@every 1s","expression_type":"cron_expression"}"#;
    assert_eq!(world.ask("POST", &format!("{call}/schedules"), body).0, 201);
    wait_for(|| {
        let history = world.ask("GET", &format!("{call}/history"), "").1;
        let ended = history["resources"].as_array().unwrap().iter().filter(|it| it["state"] == "FAILED");
        (2 <= ended.count()).then_some(())
    });
    world.ask("GET", "/healthz", "");
    world.send("GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n");
    world.send(&format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(70_000)));
    world.cf.fault("GET /userinfo", Fault::status(500, None), 1);
    ask(&world.program.url, &world.cf.issue_cf_token("dev"), "GET", "/jobs", "").unwrap();
    // A scrape shows executions that had ended when the database was read, at most a second before.
    let metrics = wait_for(|| {
        let metrics = Exposition::of(&world.whole_text());
        (metrics.value("ocf_scheduler_execution_lateness_seconds_count", &[("kind", "call")]) > 0.0)
            .then_some(metrics)
    });
    let requests = |method, route, status| {
        let labels = [("method", method), ("route", route), ("status", status)];
        metrics.value("ocf_scheduler_http_requests_total", &labels)
    };
    assert_eq!(requests("POST", "/jobs", "201"), 1.0);
    assert_eq!(requests("POST", "/jobs/:guid/execute", "201"), 1.0);
    assert_eq!(requests("POST", "/calls/:guid/schedules", "201"), 1.0);
    assert!(requests("GET", "/jobs/:guid/history", "200") >= 1.0);
    assert_eq!(requests("GET", "/healthz", "200"), 1.0);
    assert_eq!(requests("GET", "/jobs", "503"), 1.0);
    assert_eq!((requests("other", "refused", "400"), requests("other", "refused", "431")), (1.0, 1.0));
    let posts = [("route", "/jobs")];
    assert_eq!(metrics.value("ocf_scheduler_http_request_duration_seconds_count", &posts), 2.0);
    let executions =
        |kind, state| metrics.value("ocf_scheduler_executions_total", &[("kind", kind), ("state", state)]);
    for state in ["PENDING", "RUNNING", "SUCCEEDED"] {
        assert_eq!(executions("job", state), 1.0, "{state}");
    }
    assert_eq!((executions("job", "FAILED"), executions("call", "SUCCEEDED")), (0.0, 0.0));
    for state in ["PENDING", "RUNNING", "FAILED"] {
        assert!(executions("call", state) >= 2.0, "{state}");
    }
    let asked = |upstream, outcome| {
        let labels = [("upstream", upstream), ("outcome", outcome)];
        metrics.value("ocf_scheduler_upstream_requests_total", &labels)
    };
    assert!(asked("call", "none") >= 2.0 && asked("cf", "2xx") >= 3.0 && asked("uaa", "2xx") >= 1.0);
    assert_eq!(asked("uaa", "5xx"), 1.0);
    assert_eq!(metrics.value("ocf_scheduler_workers", &[("kind", "call")]), 20.0);
    let starters = if is_postgres() { 32.0 } else { 16.0 };
    assert_eq!(metrics.value("ocf_scheduler_workers", &[("kind", "job")]), starters);
    assert_eq!(metrics.value("ocf_scheduler_database_up", &[]), 1.0);
    assert!(metrics.value("ocf_scheduler_database_size_bytes", &[]) > 4096.0);
    assert!(metrics.value("process_resident_memory_bytes", &[]) > 1_000_000.0);
    assert!(metrics.value("process_start_time_seconds", &[]) > 1_700_000_000.0);
    assert_eq!(metrics.value("ocf_scheduler_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
}

#[test]
fn what_is_under_way_and_what_waits_is_shown() {
    let world = Counted::start(&[("WORKER_NUM", "1")]);
    world.cf.complete_tasks_after(None);
    let job = world.made("jobs", r#"{"name":"j","command":"true"}"#);
    assert_eq!(world.ask("POST", &format!("{job}/execute"), "").0, 201);
    let never_answers = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = never_answers.local_addr().unwrap();
    let call = world.made("calls", &format!(r#"{{"name":"c","url":"http://{url}/","auth_header":"x"}}"#));
    for _ in 0..4 {
        assert_eq!(world.ask("POST", &format!("{call}/execute"), "").0, 201);
    }
    let hanging = never_answers.accept().unwrap();
    wait_for(|| {
        let metrics = Exposition::of(&world.whole_text());
        let calls = [("kind", "call")];
        let seen = (
            metrics.value("ocf_scheduler_running_tasks", &[]),
            metrics.value("ocf_scheduler_due_backlog", &calls),
            metrics.value("ocf_scheduler_due_backlog", &[("kind", "job")]),
            metrics.value("ocf_scheduler_workers_busy", &calls),
            metrics.value("ocf_scheduler_workers_busy", &[("kind", "job")]),
        );
        (seen == (1.0, 3.0, 0.0, 1.0, 0.0)).then_some(())
    });
    drop(hanging);
}

#[test]
fn no_client_makes_it_grow() {
    let world = Counted::start(&[]);
    let series = |text: &str| Exposition::of(text).samples.len();
    let hostile = |number: u32| {
        let token = format!("Authorization: bearer {}\r\n", world.token);
        for (method, path) in [
            (format!("BREW{number}"), "/jobs".to_owned()),
            ("GET".to_owned(), format!("/{number}\"%0a}}{{")),
            ("get".to_owned(), format!("/jobs/{number}/x")),
            ("GET".to_owned(), format!("/jobs/{number}")),
            ("DELETE".to_owned(), format!("/calls/{number}/schedules/{number}?{number}={number}")),
            (
                "GET".to_owned(),
                format!("/calls/{}/history", "%41".repeat(usize::try_from(number).unwrap() + 1)),
            ),
        ] {
            let close = "Connection: close\r\n\r\n";
            let answer =
                world.send(&format!("{method} {path} HTTP/1.1\r\nHost: h{number}\r\n{token}{close}"));
            assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
    };
    hostile(0);
    // The second scrape counts the first one.
    world.text();
    let before = series(&world.whole_text());
    (1..40).for_each(hostile);
    let text = world.whole_text();
    assert_eq!(series(&text), before, "{text}");
    assert!(!text.contains("BREW") && !text.contains("%41"), "{text}");
}

#[test]
fn the_rules_of_every_route_hold_for_it_too() {
    let world = World::start();
    let ask =
        |method: &str, path: &str, headers: &[(&str, &str)]| world.request(method, path, None, headers, "");
    let whole = ask("GET", "/metrics", &[("X-Request-Id", "scrape-1")]);
    assert_eq!((whole.status, whole.header("X-Request-Id")), (200, Some("scrape-1")));
    assert!(whole.header("Content-Length").is_some());
    let head = ask("HEAD", "/metrics", &[]);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.header("Content-Type").unwrap().starts_with("text/plain"));
    assert_eq!(ask("GET", "/metrics/?x=y", &[]).status, 200);
    let other = ask("POST", "/metrics", &[]);
    assert_eq!((other.status, other.header("Allow"), other.body.as_str()), (405, Some("GET, HEAD"), ""));
    assert_eq!(ask("GET", "/metrics/x", &[]).status, 404);
}

#[test]
fn with_a_token_it_is_for_those_who_have_it() {
    let world = World::with(&[("METRICS_TOKEN", "scrape-secret")]);
    let ask = |authorization: &[(&str, &str)]| world.request("GET", "/metrics", None, authorization, "");
    let is_refused = |answer: Answer| {
        assert_eq!((answer.status, answer.body.as_str()), (401, ""));
    };
    is_refused(ask(&[]));
    for wrong in [
        "bearer scrape-secre",
        "bearer scrape-secret2",
        "Basic scrape-secret",
        "scrape-secret",
        "bearer",
        "bearer ",
        &format!("bearer {}", world.token),
    ] {
        is_refused(ask(&[("Authorization", wrong)]));
    }
    for right in ["Bearer scrape-secret", "bearer scrape-secret"] {
        assert_eq!(ask(&[("Authorization", right)]).status, 200);
    }
    let accept = [("Accept", "application/problem+json")];
    let problem = world.request("GET", "/metrics", None, &accept, "").json();
    let expected = problem["errors"][0]["expected"].as_str().unwrap();
    assert!(expected.contains("METRICS_TOKEN") && !expected.contains("scrape-secret"), "{problem}");
    // And nowhere else.
    let elsewhere = world.request("GET", "/jobs", None, &[("Authorization", "bearer scrape-secret")], "");
    assert_eq!(elsewhere.status, 401);
}

#[test]
fn on_a_port_of_its_own_it_is_alone_and_the_other_port_does_not_know_it() {
    let world = World::with(&[("METRICS_PORT", "0")]);
    for (method, path) in [("GET", "/metrics"), ("POST", "/metrics"), ("HEAD", "/metrics/")] {
        let answer = world.request(method, path, None, &[], "");
        assert_eq!((answer.status, answer.header("Allow")), (404, None), "{method} {path}");
    }
    assert_eq!(world.get("/healthz").status, 200);
    let url = world.metrics_url();
    assert_ne!(url, world.url());
    assert!(url.starts_with("http://127.0.0.1:"));
    Exposition::of(&scraped(&url));
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    for path in ["/", "/healthz", "/jobs", "/readyz"] {
        assert_eq!(agent.get(format!("{url}{path}")).call().unwrap().status(), 404, "{path}");
    }
    // Silent connections are closed for clients that send requests.
    let address = url.trim_start_matches("http://");
    let _silent: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(address).unwrap()).collect();
    // On a separate connection: an idle one may have been closed for these.
    Exposition::of(&scraped(&url));
}

#[test]
fn a_database_that_is_locked_or_broken_is_said_and_the_rest_is_there() {
    let world = Counted::start(&[]);
    if !is_postgres() {
        let database = Connection::open(world.directory.path().join("s.db")).unwrap();
        database.execute_batch("BEGIN EXCLUSIVE").unwrap();
        // Reading goes on beside a writer.
        world.whole_text();
    }
    let database = Database::of(world.directory.path(), "s.db");
    database.execute("ALTER TABLE executions RENAME TO elsewhere");
    let metrics = wait_for(|| {
        let metrics = Exposition::of(&world.text());
        (metrics.value("ocf_scheduler_database_up", &[]) == 0.0).then_some(metrics)
    });
    assert!(!metrics.kinds.keys().any(|name| name.contains("due_") || name.contains("database_size")));
    assert!(metrics.kinds.contains_key("ocf_scheduler_executions_total"));
}

#[test]
fn every_panel_of_the_dashboard_asks_for_what_is_there() {
    let dashboard: Value = serde_json::from_str(include_str!("../../dashboards/grafana.json")).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert!(variables.iter().any(|it| it["type"] == "datasource" && it["name"] == "datasource"));
    let world = Counted::start(&[]);
    world.text();
    let there = Exposition::of(&world.whole_text()).kinds;
    let (mut panels, mut queries, mut seen) = (0, 0, BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        panels += 1;
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        for target in panel["targets"].as_array().unwrap() {
            queries += 1;
            let query = target["expr"].as_str().unwrap();
            let words = query.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
            let names: Vec<&str> = words
                .filter(|word| word.starts_with("ocf_scheduler_") || word.starts_with("process_"))
                .collect();
            assert!(!names.is_empty(), "{query}");
            for name in names {
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
                let base = base.filter(|base| there.get(*base).map(String::as_str) == Some("histogram"));
                assert!(there.contains_key(base.unwrap_or(name)), "{name} is not there: {query}");
                seen.insert(base.unwrap_or(name).to_owned());
            }
        }
    }
    assert!(panels <= queries && 8 <= panels);
    let unseen: Vec<&String> = there.keys().filter(|name| !seen.contains(*name)).collect();
    assert_eq!(unseen, [""; 0], "what is exported is shown");
}
