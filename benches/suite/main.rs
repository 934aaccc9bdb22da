//! Measures the real program: real sockets, real files, a Cloud Foundry that is fast enough not to be the
//! limit, and in the same run what the machine allows.
//!
//! `cargo bench` runs all of it; `cargo bench -- history start` the parts whose names begin so; `cargo bench
//! -- growth` what takes longer. Each row has a figure, that of the machine's own ceiling where there is one,
//! and their ratio.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a tool: it ends where something is missing, prints, and measures real time"
)]

mod fakes;
mod load;
mod service;

use std::hint::black_box;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use ocf_scheduler::cron::{Dialect, Expression, Reading};

use fakes::{FakeCf, LateAnswers, Target};
use load::Connection;
use service::{Place, Service, now, request};

/// How long a load is kept up.
const LOAD: Duration = Duration::from_secs(3);

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if arguments.first().is_some_and(|first| first == "hello-server") {
        return hello_server();
    }
    let parts: [(&str, fn()); 19] = [
        ("cron", cron),
        ("requests", requests),
        ("upstream", upstream),
        ("audit", audit),
        ("postgres", postgres),
        ("instances", instances),
        ("start", start),
        ("memory", memory),
        ("burst-of-calls", burst_of_calls),
        ("burst-of-jobs", burst_of_jobs),
        ("fairness", fairness),
        ("steady", steady),
        ("idle", idle),
        ("history", history),
        ("delete", delete),
        ("pages", pages),
        ("filters", filters),
        ("growth", growth),
        ("against", against),
    ];
    println!("{:<58} {:>12} {:>12} {:>7}", "measure", "figure", "ceiling", "ratio");
    for (name, part) in parts {
        // What takes long is run when it is asked for.
        let is_wanted = if arguments.is_empty() {
            !["growth", "pages", "filters", "against"].contains(&name)
        } else {
            arguments.iter().any(|it| name.starts_with(it.as_str()))
        };
        if is_wanted {
            part();
        }
    }
}

fn row(measure: &str, figure: f64, unit: &str) {
    println!("{measure:<58} {:>12}", format!("{} {unit}", shown(figure)));
}

fn row_of(measure: &str, figure: f64, ceiling: f64, unit: &str) {
    println!(
        "{measure:<58} {:>12} {:>12} {:>7.2}",
        format!("{} {unit}", shown(figure)),
        shown(ceiling),
        figure / ceiling
    );
}

fn shown(figure: f64) -> String {
    if figure >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.2}") }
}

// ---- the expression ----

fn cron() {
    for text in [
        "* * * * *",
        "*/5 9-17 * * MON-FRI",
        "0 0 1 * *",
        "30 2 29 2 *",
        "@every 90s",
        "TZ=Europe/Berlin 0 9 * * 1-5",
    ] {
        let expression = Expression::parse(text, &Reading::plain(Dialect::default())).unwrap();
        let (mut time, rounds) = (1_780_000_000, 20_000);
        let began = Instant::now();
        for _ in 0..rounds {
            time = black_box(&expression)
                .next_after(time)
                .filter(|time| *time < 4_000_000_000)
                .unwrap_or(1_780_000_000);
        }
        row(&format!("next instant of {text}"), began.elapsed().as_nanos() as f64 / f64::from(rounds), "ns");
    }
}

// ---- another build ----

/// `GET`, create and execute, with another build of the program as the ceiling. Each figure is the median of
/// rounds in which both run one after the other, so that other load on the machine counts for both.
fn against() {
    let Ok(other) = std::env::var("BENCH_AGAINST") else {
        return println!("against: left out, BENCH_AGAINST names no program");
    };
    const ROUNDS: usize = 7;
    let cf = FakeCf::start();
    let (place, other_place) = (Place::new(&cf), Place::empty());
    let services = [
        Service::start(&place, &cf, &[]),
        Service::of_program(other.as_ref(), &other_place.path(), &cf, &[]),
    ];
    let jobs = services.each_ref().map(|service| {
        let mut connection = Connection::open(&service.address);
        connection.ask(&create_body(0, 0, "first"));
        connection.guid()
    });
    let measure = |name: &str, next: &(dyn Fn(&str, usize, usize, usize) -> Vec<u8> + Sync)| {
        let (mut speeds, mut costs) = ([vec![], vec![]], [vec![], vec![]]);
        for round in 0..ROUNDS {
            for (it, service) in services.iter().enumerate() {
                let next = |number: usize, count: usize| next(&jobs[it], round, number, count);
                let cpu = service.cpu_seconds();
                let speed = load::run(&service.address, 8, LOAD, false, next).per_second;
                speeds[it].push(speed);
                costs[it].push((service.cpu_seconds() - cpu) / (speed * LOAD.as_secs_f64()) * 1e6);
            }
        }
        let [speeds, costs] = [speeds, costs].map(|both| both.map(median));
        row_of(&format!("{name}, 8 connections (the other build)"), speeds[0], speeds[1], "/s");
        row_of("  processor time of the service for each", costs[0], costs[1], "µs");
    };
    measure("GET of a job", &|job, _, _, _| request("GET", &format!("/jobs/{job}"), ""));
    measure("create", &|_, round, number, count| create_body(number, count, &format!("r{round}")));
    measure("execute", &|job, _, _, _| request("POST", &format!("/jobs/{job}/execute"), ""));
    let memory = services.each_ref().map(Service::pss_mib);
    row_of("memory after that (the other build)", memory[0], memory[1], "MiB");
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

// ---- pages for people ----

/// The dashboard with 100,000 jobs and 1,000,000 executions: how long each page takes and how large it is.
/// The ceiling is a page that reads nothing of these.
fn pages() {
    const JOBS: usize = 100_000;
    let cf = FakeCf::start();
    let place = Place::new(&cf);
    place.fill("job", JOBS, "-", now() + 86_400);
    place.fill_pages(10);
    let service = Service::start(&place, &cf, &[("RATE_LIMIT_PER_SECOND", "0")]);
    let mut connection = Connection::open(&service.address);
    let form = format!("token={}", service::TOKEN);
    let sign_in = format!(
        "POST /dashboard/sign-in HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nSec-Fetch-Site: same-origin\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    );
    assert_eq!(connection.ask(sign_in.as_bytes()).0, 303);
    let cookie = connection.cookie().to_owned();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n").into_bytes();
    let mut time = |path: &str| median_of(&mut connection, &get(path));
    let (least, _) = time("/dashboard/jobs/new");
    let paths = [
        "/dashboard/",
        "/dashboard/?space_guid=space-1",
        "/dashboard/executions",
        "/dashboard/executions?state=FAILED",
        "/dashboard/executions?name=job-5",
        "/dashboard/executions/e-50000-5",
        "/dashboard/jobs",
        "/dashboard/jobs?sort=name",
        "/dashboard/jobs?page=3999",
        "/dashboard/jobs/job-50000",
        "/dashboard/jobs/job-50000/schedules/new",
        "/dashboard/calendar",
        "/dashboard/notifications",
        "/dashboard/audit",
    ];
    for path in paths {
        let (median, size) = time(path);
        row_of(path, median, least, "ms");
        row(&format!("{path}, size"), size as f64 / 1024.0, "KiB");
    }
    let before = service.pss_mib();
    for number in 0..1000 {
        connection.ask(&get(paths[number % paths.len()]));
    }
    row("memory after 1,000 pages", service.pss_mib(), "MiB");
    row("memory before", before, "MiB");
}

/// The median of thirty requests in milliseconds, and the size of an answer.
fn median_of(connection: &mut Connection, request: &[u8]) -> (f64, usize) {
    const ROUNDS: usize = 30;
    let mut times = Vec::new();
    let mut size = 0;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let (status, length) = connection.ask(request);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(request));
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        size = length;
    }
    times.sort_by(f64::total_cmp);
    (times[ROUNDS / 2], size)
}

/// `GET /executions` with each filter, on 1,000,000 executions of 100,000 jobs and ten calls. The ceiling is
/// the first page without a filter.
fn filters() {
    let cf = FakeCf::start();
    let place = Place::new(&cf);
    place.fill("job", 100_000, "-", now() + 86_400);
    place.fill("call", 10, "http://127.0.0.1:1/", now() + 86_400);
    place.fill_pages(10);
    let service = Service::start(&place, &cf, &[("RATE_LIMIT_PER_SECOND", "0")]);
    let mut connection = Connection::open(&service.address);
    let mut time =
        |query: &str| median_of(&mut connection, &request("GET", &format!("/executions?{query}"), "")).0;
    let least = time("");
    row("no filter", least, "ms");
    let hours_ago = |hours: i64| {
        let time = ocf_scheduler::model::Timestamp::from_seconds(now() - hours * 3600 + 1800).unwrap();
        time.to_string()
    };
    let period = |field: &str| format!("{field}[gt]={}&{field}[lt]={}", hours_ago(6), hours_ago(5));
    for query in [
        "states=FAILED".to_owned(),
        "states=RUNNING".to_owned(),
        "states=SKIPPED".to_owned(),
        "kinds=call".to_owned(),
        "job_guids=job-50000".to_owned(),
        "call_guids=call-5".to_owned(),
        "schedule_guids=s-job-50000".to_owned(),
        period("created_ats"),
        period("ended_ats"),
        "name=job-50000".to_owned(),
        "triggers=schedule".to_owned(),
        "reasons=timeout".to_owned(),
        "label_selector=team".to_owned(),
        "states=FAILED&kinds=call".to_owned(),
    ] {
        let shown = query.split_once('[').map_or(query.clone(), |(field, _)| format!("{field}, one hour"));
        row_of(&shown, time(&query), least, "ms");
    }
    row("memory afterwards", service.pss_mib(), "MiB");
}

// ---- requests ----

/// tiny_http answering "hello": what the machine allows a server of threads. It runs until it is killed.
fn hello_server() {
    let server = std::sync::Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
    println!("{}", server.server_addr());
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let server = std::sync::Arc::clone(&server);
            thread::spawn(move || {
                while let Ok(request) = server.recv() {
                    let _ = request.respond(tiny_http::Response::from_string("hello"));
                }
            })
        })
        .collect();
    for thread in threads {
        let _ = thread.join();
    }
}

struct Hello {
    child: std::process::Child,
    address: String,
}

impl Hello {
    fn start() -> Self {
        use std::io::BufRead;
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .arg("hello-server")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim().to_owned() }
    }

    fn run(&self, connections: usize, once: bool) -> load::Outcome {
        load::run(&self.address, connections, LOAD, once, |_, _| {
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()
        })
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Commits a row at a time, with the same care for a power cut: how many a second.
fn bare_commits() -> f64 {
    let directory = tempfile::Builder::new().prefix("bench-").tempdir_in("target").unwrap();
    let database = rusqlite::Connection::open(directory.path().join("bare.db")).unwrap();
    database
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")
        .unwrap();
    let mut insert =
        database.prepare("INSERT INTO t (text) VALUES ('a job of a usual length, more or less')").unwrap();
    let (began, mut count) = (Instant::now(), 0.0);
    while began.elapsed() < LOAD {
        insert.execute([]).unwrap();
        count += 1.0;
    }
    count / began.elapsed().as_secs_f64()
}

fn create_body(number: usize, count: usize, round: &str) -> Vec<u8> {
    request(
        "POST",
        "/jobs?app_guid=app-1",
        &format!(r#"{{"name":"{round}-{number}-{count}","command":"bin/report --daily"}}"#),
    )
}

fn requests() {
    let cf = FakeCf::start();
    let place = Place::new(&cf);
    place.fill("job", 50, "-", 4_000_000_000);
    let service = Service::start(&place, &cf, &[]);
    let hello = Hello::start();
    let get = |_: usize, _: usize| request("GET", "/jobs/job-7", "");
    for connections in [1, 8, 64] {
        let ceiling = hello.run(connections, false);
        let cpu = service.cpu_seconds();
        let outcome = load::run(&service.address, connections, LOAD, false, get);
        let cpu = (service.cpu_seconds() - cpu) / (outcome.per_second * LOAD.as_secs_f64()) * 1e6;
        row_of(
            &format!("GET of a job, {connections} connections (hello)"),
            outcome.per_second,
            ceiling.per_second,
            "/s",
        );
        row_of(&format!("  its p99, {connections} connections"), outcome.p99_ms, ceiling.p99_ms, "ms");
        row("  processor time of the service for each", cpu, "µs");
    }
    let ceiling = hello.run(8, true);
    let outcome = load::run(&service.address, 8, LOAD, true, get);
    row_of(
        "a new connection for each request, 8 at a time (hello)",
        outcome.per_second,
        ceiling.per_second,
        "/s",
    );
    let list = |_: usize, _: usize| request("GET", "/jobs?space_guid=space-1&page=1", "");
    row("list of 50, 8 connections", load::run(&service.address, 8, LOAD, false, list).per_second, "/s");
    let ceiling = bare_commits();
    for connections in [1, 8, 64] {
        let round = format!("c{connections}");
        let create = |number: usize, count: usize| create_body(number, count, &round);
        let outcome = load::run(&service.address, connections, LOAD, false, create);
        row_of(
            &format!("create, {connections} connections (a commit for each row)"),
            outcome.per_second,
            ceiling,
            "/s",
        );
    }
    let mixed = |number: usize, count: usize| {
        if count.is_multiple_of(5) {
            create_body(number, count, "mixed")
        } else {
            request("GET", "/jobs/job-7", "")
        }
    };
    row(
        "80 % reads, 20 % creates, 8 connections",
        load::run(&service.address, 8, LOAD, false, mixed).per_second,
        "/s",
    );
    row("memory after that load", service.pss_mib(), "MiB");
    row(
        "binary",
        std::fs::metadata(env!("CARGO_BIN_EXE_ocf-scheduler")).unwrap().len() as f64 / 1048576.0,
        "MiB",
    );
}

fn upstream() {
    let cf = FakeCf::start();
    let place = Place::new(&cf);
    place.fill("job", 50, "-", 4_000_000_000);
    let service = Service::start(&place, &cf, &[]);
    cf.delay_ms.store(10, Ordering::Relaxed);
    for connections in [1, 8] {
        let get = |_: usize, _: usize| request("GET", "/jobs/job-7", "");
        let outcome = load::run(&service.address, connections, LOAD, false, get);
        row(
            &format!("GET of a job, CF answers in 10 ms, {connections} connections"),
            outcome.per_second,
            "/s",
        );
    }
}

/// What audit events cost: creates with them, and without them as the ceiling, by turns.
fn audit() {
    const ROUNDS: usize = 3;
    #[expect(clippy::disallowed_methods, reason = "which server is for whoever runs this")]
    let server = std::env::var("BENCH_DATABASE_URL").ok();
    let url_of = |server: &String, name: &str| {
        let joint = if server.contains('?') { '&' } else { '?' };
        format!("{server}{joint}schema=bench_audit_{name}_{}", now())
    };
    let engines = [("SQLite", None), ("PostgreSQL", server.as_ref())];
    for (engine, server) in
        engines.into_iter().filter(|(engine, server)| *engine == "SQLite" || server.is_some())
    {
        let cf = FakeCf::start();
        let places = [Place::new(&cf), Place::new(&cf)];
        let services =
            [("31", "with"), ("0", "without")].into_iter().zip(&places).map(|((days, name), place)| {
                let url = server.map(|server| url_of(server, name));
                let variables: Vec<(&str, &str)> = [("AUDIT_DAYS", days)]
                    .into_iter()
                    .chain(url.as_deref().map(|url| ("DATABASE_URL", url)))
                    .collect();
                Service::start(place, &cf, &variables)
            });
        let services: Vec<Service> = services.collect();
        for connections in [8, 64] {
            let mut sums = [0.0; 2];
            for round in 0..ROUNDS {
                let round = format!("a{connections}-{round}");
                let create = |number: usize, count: usize| create_body(number, count, &round);
                for (sum, service) in sums.iter_mut().zip(&services) {
                    *sum += load::run(&service.address, connections, LOAD, false, create).per_second;
                }
            }
            let [with, without] = sums.map(|sum| sum / ROUNDS as f64);
            row_of(
                &format!("{engine}: create, {connections} connections (without audit events)"),
                with,
                without,
                "/s",
            );
        }
    }
}

/// PostgreSQL beside SQLite, which stands where the ceiling does elsewhere.
fn postgres() {
    #[expect(clippy::disallowed_methods, reason = "which server is for whoever runs this")]
    let Ok(server) = std::env::var("BENCH_DATABASE_URL") else {
        return println!("postgres: left out, BENCH_DATABASE_URL names no server");
    };
    let cf = FakeCf::start();
    let place = Place::new(&cf);
    let joint = if server.contains('?') { '&' } else { '?' };
    let url = format!("{server}{joint}schema=bench_{}", now());
    let services = [Service::start(&place, &cf, &[("DATABASE_URL", &url)]), Service::start(&place, &cf, &[])];
    let idle = services.each_ref().map(Service::pss_mib);
    row_of("PostgreSQL (SQLite): memory at rest", idle[0], idle[1], "MiB");
    let jobs = services.each_ref().map(|service| {
        let mut connection = Connection::open(&service.address);
        connection.ask(&create_body(0, 0, "first"));
        connection.guid()
    });
    let mut database = postgres::Client::connect(&server, postgres::NoTls).unwrap();
    let mut measure =
        |name: &str, connections: usize, next: &(dyn Fn(&str, usize, usize) -> Vec<u8> + Sync)| {
            let mut figures = [0.0; 2];
            let mut details = Vec::new();
            for it in [0, 1] {
                let next = |number: usize, count: usize| next(&jobs[it], number, count);
                let service = &services[it];
                let backends = backends_of(&mut database);
                let before = (service.cpu_seconds(), service.wakeups(), cpu_seconds_of(&backends));
                figures[it] = load::run(&service.address, connections, LOAD, false, next).per_second;
                let count = figures[it] * LOAD.as_secs_f64();
                details.push([
                    (service.cpu_seconds() - before.0) / count * 1e6,
                    (service.wakeups() - before.1) as f64 / count,
                    (cpu_seconds_of(&backends) - before.2) / count * 1e6,
                ]);
            }
            row_of(
                &format!("PostgreSQL (SQLite): {name}, {connections} connections"),
                figures[0],
                figures[1],
                "/s",
            );
            row_of("  processor time of the service for each", details[0][0], details[1][0], "µs");
            row_of("  waits of the service's threads for each", details[0][1], details[1][1], "");
            row("  processor time of the server for each", details[0][2], "µs");
        };
    for connections in [8, 64] {
        measure("GET of a job", connections, &|job, _, _| request("GET", &format!("/jobs/{job}"), ""));
        let round = format!("p{connections}");
        measure("create", connections, &|_, number, count| create_body(number, count, &round));
        measure("execute", connections, &|job, _, _| request("POST", &format!("/jobs/{job}/execute"), ""));
    }
    let loaded = services.each_ref().map(Service::pss_mib);
    row_of("PostgreSQL (SQLite): memory after that", loaded[0], loaded[1], "MiB");
}

/// The server's processes that serve this database.
fn backends_of(database: &mut postgres::Client) -> Vec<u32> {
    let query =
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let pids = database.query(query, &[]).unwrap();
    pids.into_iter().filter_map(|row| u32::try_from(row.get::<_, i32>(0)).ok()).collect()
}

/// The seconds of the processor that these processes have used; none if they run on another machine.
fn cpu_seconds_of(processes: &[u32]) -> f64 {
    processes.iter().filter_map(|pid| service::cpu_seconds(*pid)).sum()
}

/// 10,000 calls, and 10,000 jobs, that are due at once on PostgreSQL with a long history: with one instance
/// and with three. The ceiling is one instance on SQLite for the first, and one instance for three.
fn instances() {
    #[expect(clippy::disallowed_methods, reason = "which server is for whoever runs this")]
    let Ok(server) = std::env::var("BENCH_DATABASE_URL") else {
        return println!("instances: left out, BENCH_DATABASE_URL names no server");
    };
    #[expect(clippy::disallowed_methods, reason = "the user sets the distance to the server")]
    let delay = std::env::var("BENCH_DATABASE_DELAY_MS").map_or(0, |ms| ms.parse().unwrap());
    // The services reach the server through it, and the benchmark itself directly.
    let mut reached = url::Url::parse(&server).unwrap();
    if delay > 0 {
        let address = format!("{}:{}", reached.host_str().unwrap(), reached.port().unwrap_or(5432));
        let late = LateAnswers::start(address, Duration::from_millis(delay));
        let (host, port) = late.address.split_once(':').unwrap();
        reached.set_host(Some(host)).unwrap();
        reached.set_port(Some(port.parse().unwrap())).unwrap();
    }
    const COUNT: usize = 10_000;
    let sqlite = {
        let (cf, target) = (FakeCf::start(), Target::start());
        let place = Place::new(&cf);
        let due = now() + 5;
        place.fill("call", COUNT, &target.url, due);
        let _service = Service::start(&place, &cf, &[]);
        wait_until(|| {
            place.count("SELECT COUNT(*) FROM executions WHERE state = 'SUCCEEDED'") == COUNT as i64
        });
        place.lateness()[COUNT - 1]
    };
    let mut alone = [0.0; 2];
    for (number, instances) in [1, 3].into_iter().enumerate() {
        for (kind, name) in ["calls", "jobs"].into_iter().enumerate() {
            let (cf, target) = (FakeCf::start(), Target::start());
            let joint = if server.contains('?') { '&' } else { '?' };
            let schema = format!("bench_{name}_{instances}_{}", now());
            let url = format!("{reached}{joint}schema={schema}");
            let place = Place::new(&cf);
            drop(Service::start(&place, &cf, &[("DATABASE_URL", &url)]));
            let due = now() + 15;
            let mut database = postgres::Client::connect(&server, postgres::NoTls).unwrap();
            let work = if kind == 0 {
                format!("'call', NULL, NULL, NULL, NULL, '{}', 'Bearer x'", target.url)
            } else {
                "'job', 'true', 1, 1, 'PENDING', NULL, NULL".to_owned()
            };
            database
                .batch_execute(&format!(
                    "SET search_path = {schema};
                     -- The process that created the tables is gone, but not its lease.
                     DELETE FROM instances;
                     INSERT INTO executables (guid, name, app_guid, space_guid, kind, command, disk_in_mb, memory_in_mb, state, url,
                                              auth_header, created_at, updated_at)
                     SELECT 'x-' || i, 'x-' || i, 'app-1', 'space-1', {work}, 0, 0 FROM generate_series(1, {COUNT}) AS i;
                     INSERT INTO executions (guid, executable_id, kind, state, message, asked_at, created_at, attempts, start_time,
                                             end_time)
                     SELECT 'old-' || x.id || '-' || i, x.id, x.kind, 'SUCCEEDED', '', 0, 0, 1, {recent}, {recent}
                       FROM executables AS x, generate_series(1, 20) AS i;
                     INSERT INTO schedules (guid, executable_id, enabled, expression, next_fire_time, planned_at, created_at,
                                            updated_at)
                     SELECT 's-' || id, id, TRUE, '0 0 1 1 *', {due}000000000, 0, 0, 0 FROM executables",
                    recent = (now() - 3600) * 1_000_000_000,
                ))
                .unwrap();
            for table in ["executables", "executions", "schedules"] {
                database.batch_execute(&format!("VACUUM ANALYZE {table}")).unwrap();
            }
            let variables = [("DATABASE_URL", url.as_str())];
            let services: Vec<Service> =
                (0..instances).map(|_| Service::start(&place, &cf, &variables)).collect();
            let mut number_of =
                |query: &str| -> i64 { database.query_one(query, &[]).unwrap().get::<_, i64>(0) };
            wait_for_second(due);
            let began = Instant::now();
            let late = if kind == 0 {
                wait_until(|| {
                    // Each count reads the history.
                    pause(300);
                    number_of(
                        "SELECT COUNT(*) FROM executions WHERE schedule_id IS NOT NULL AND state = 'SUCCEEDED'",
                    ) == COUNT as i64
                });
                let last =
                    "SELECT MAX(start_time - scheduled_time) FROM executions WHERE schedule_id IS NOT NULL";
                number_of(last) as f64 / 1e9
            } else {
                wait_until(|| cf.created.load(Ordering::Relaxed) >= COUNT);
                began.elapsed().as_secs_f64()
            };
            drop(services);
            let far = if delay > 0 { format!(", answers {delay} ms late") } else { String::new() };
            let measure =
                format!("{COUNT} {name} due at once, {instances} instances{far}, the last is late by");
            match (number, kind) {
                (0, 0) => row_of(&measure, late, sqlite / 1000.0, "s"),
                (0, _) => row(&measure, late, "s"),
                (_, kind) => row_of(&measure, late, alone[kind], "s"),
            }
            if number == 0 {
                alone[kind] = late;
            }
        }
    }
}

// ---- start and memory ----

fn start() {
    let cf = FakeCf::start();
    for schedules in [0, 10_000, 100_000, 1_000_000] {
        let place = Place::new(&cf);
        if schedules > 0 {
            place.fill("job", schedules, "-", 4_000_000_000);
        }
        let mut times: Vec<f64> = (0..7).map(|_| Service::start(&place, &cf, &[]).start_ms).collect();
        times.sort_by(f64::total_cmp);
        row(&format!("start to the first answer, {schedules} schedules"), times[3], "ms");
    }
}

fn memory() {
    let cf = FakeCf::start();
    for schedules in [0, 10_000, 1_000_000] {
        let place = Place::new(&cf);
        if schedules > 0 {
            place.fill("job", schedules, "-", 4_000_000_000);
        }
        let service = Service::start(&place, &cf, &[]);
        Connection::open(&service.address).ask(&request("GET", "/jobs/job-7", ""));
        pause(2000);
        row(&format!("memory, {schedules} schedules"), service.pss_mib(), "MiB");
    }
}

fn pause(ms: u64) {
    let _ = crossbeam_channel::after(Duration::from_millis(ms)).recv();
}

// ---- the engine ----

fn wait_until(mut what: impl FnMut() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < Duration::from_secs(180), "waited in vain");
        pause(5);
    }
}

/// Waits for the start of that second.
fn wait_for_second(second: i64) {
    while now() < second {
        pause(1);
    }
}

/// 1,000 calls of one space whose target never answers, and another space's `@every 2s`: how late that is at
/// most.
fn fairness() {
    let cf = FakeCf::start();
    let place = Place::new(&cf);
    // Connections are accepted by the system, and nobody reads from them.
    let hangs = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::start();
    let due = now() + 3;
    place.fill("call", 1000, &format!("http://{}/", hangs.local_addr().unwrap()), due);
    place.fill_every_2_s("space-2", &target.url, due);
    let _service = Service::start(&place, &cf, &[("WORKER_NUM", "20")]);
    wait_for_second(due);
    pause(20_000);
    let lateness = place.lateness_in("space-2");
    row("@every 2s beside 1,000 calls that hang: runs in 20 s", lateness.len() as f64, "");
    row("  the latest is late by", lateness.last().copied().unwrap_or(f64::INFINITY), "ms");
}

fn burst_of_calls() {
    let cf = FakeCf::start();
    for calls in [1000, 10_000] {
        let target = Target::start();
        let ceiling = load::run(
            target.url.trim_start_matches("http://").trim_end_matches('/'),
            20,
            LOAD,
            false,
            |_, _| request("POST", "/", ""),
        );
        target.hits.store(0, Ordering::Relaxed);
        let place = Place::new(&cf);
        let due = now() + 3 + calls as i64 / 5000;
        place.fill("call", calls, &target.url, due);
        let service = Service::start(&place, &cf, &[]);
        wait_for_second(due);
        let (began, cpu) = (Instant::now(), service.cpu_seconds());
        wait_until(|| target.hits.load(Ordering::Relaxed) == calls);
        row_of(
            &format!("{calls} calls due at one instant, until the last"),
            began.elapsed().as_secs_f64() * 1000.0,
            calls as f64 / ceiling.per_second * 1000.0,
            "ms",
        );
        wait_until(|| {
            place.count("SELECT COUNT(*) FROM executions WHERE state = 'SUCCEEDED'") == calls as i64
        });
        let lateness = place.lateness();
        row("  processor time of the service", service.cpu_seconds() - cpu, "s");
        row("  the first is late by", lateness[0], "ms");
        row("  the last is late by", lateness[calls - 1], "ms");
        row("  most memory meanwhile", service.peak_mib(), "MiB");
        assert_eq!(target.hits.load(Ordering::Relaxed), calls);
    }
}

fn burst_of_jobs() {
    for workers in ["20", "1"] {
        let cf = FakeCf::start();
        let place = Place::new(&cf);
        let due = now() + 5;
        place.fill("job", 10_000, "-", due);
        let service = Service::start(&place, &cf, &[("WORKER_NUM", workers)]);
        wait_for_second(due);
        let began = Instant::now();
        let before = cf.requests.load(Ordering::Relaxed);
        wait_until(|| cf.created.load(Ordering::Relaxed) == 10_000);
        row(
            &format!("10,000 jobs due at one instant, WORKER_NUM={workers}, created"),
            began.elapsed().as_secs_f64(),
            "s",
        );
        wait_until(|| {
            pause(50);
            place.count("SELECT COUNT(*) FROM executions WHERE state = 'SUCCEEDED'") == 10_000
        });
        row("  until all have ended", began.elapsed().as_secs_f64(), "s");
        row(
            "  requests to Cloud Foundry for each",
            (cf.requests.load(Ordering::Relaxed) - before) as f64 / 10_000.0,
            "",
        );
        row("  most memory meanwhile", service.peak_mib(), "MiB");
    }
}

fn steady() {
    let (cf, target) = (FakeCf::start(), Target::start());
    cf.task_ms.store(3_600_000, Ordering::Relaxed);
    for (tasks, seconds) in [(0, 60), (200, 20)] {
        let place = Place::new(&cf);
        if tasks > 0 {
            place.fill("job", tasks, "-", now());
        }
        place.fill("call", 100, &target.url, 4_000_000_000);
        let due = now() + 3;
        place
            .database()
            .execute(
                "UPDATE schedules SET expression = '@every 1s', next_fire_time = ?1 WHERE guid LIKE 's-call-%'",
                [due * 1_000_000_000],
            )
            .unwrap();
        let service = Service::start(&place, &cf, &[]);
        wait_for_second(due - 1);
        let cpu = service.cpu_seconds();
        wait_for_second(due + seconds);
        pause(500);
        let cpu = service.cpu_seconds() - cpu;
        place.database().execute("DELETE FROM executions WHERE kind = 'job'", []).unwrap();
        let lateness = place.lateness();
        let at = |part: f64| lateness[((lateness.len() - 1) as f64 * part) as usize];
        assert!(lateness.len() as i64 >= 100 * seconds, "{} calls", lateness.len());
        row(&format!("100 calls a second for {seconds} s, {tasks} tasks running: late p50"), at(0.5), "ms");
        row("  p99", at(0.99), "ms");
        row("  at most", at(1.0), "ms");
        row("  processor time of the service", cpu, "s");
    }
}

fn idle() {
    let cf = FakeCf::start();
    let place = Place::new(&cf);
    place.fill("job", 10_000, "-", 4_000_000_000);
    let service = Service::start(&place, &cf, &[]);
    pause(2000);
    let before = service.wakeups();
    pause(20_000);
    row("idle with 10,000 schedules: waits begun", (service.wakeups() - before) as f64 / 20.0, "/s");
    drop(service);
    idle_on_postgres(&cf, &place);
}

/// One instance with 10,000 schedules of which one fires now and then: how many statements it asks for in a
/// minute, and how late the last of the few is. The server counts them, if it has the extension for that.
fn idle_on_postgres(cf: &FakeCf, place: &Place) {
    const FIRES: i64 = 6;
    #[expect(clippy::disallowed_methods, reason = "which server is for whoever runs this")]
    let Ok(server) = std::env::var("BENCH_DATABASE_URL") else {
        return println!("idle on PostgreSQL: left out, BENCH_DATABASE_URL names no server");
    };
    let mut database = postgres::Client::connect(&server, postgres::NoTls).unwrap();
    let counted = "SELECT CAST(SUM(calls) AS BIGINT) FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'";
    if database.query_one(counted, &[]).is_err() {
        return println!("idle on PostgreSQL: left out, the server has no pg_stat_statements");
    }
    let joint = if server.contains('?') { '&' } else { '?' };
    let schema = format!("bench_idle_{}", now());
    let url = format!("{server}{joint}schema={schema}");
    let target = Target::start();
    drop(Service::start(place, cf, &[("DATABASE_URL", &url)]));
    let first = now() + 100;
    database
        .batch_execute(&format!(
            "SET search_path = {schema}, public;
             INSERT INTO executables (guid, name, app_guid, space_guid, kind, url, auth_header, created_at, updated_at)
             SELECT 'x-' || i, 'x-' || i, 'app-1', 'space-1', 'call', '{}', 'Bearer x', 0, 0
               FROM generate_series(1, 10000) AS i;
             INSERT INTO schedules (guid, executable_id, enabled, expression, next_fire_time, planned_at, created_at,
                                    updated_at)
             SELECT 's-' || x.id, x.id, TRUE, '0 0 1 1 *',
                    CASE WHEN n <= {FIRES} THEN {first} + n * 7 ELSE 4000000000 END * CAST(1000000000 AS BIGINT), 0, 0, 0
               FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS n FROM executables) AS x;
             ANALYZE executables; ANALYZE schedules",
            target.url,
        ))
        .unwrap();
    let service = Service::start(place, cf, &[("DATABASE_URL", &url)]);
    // By then the lease of the process that made the tables has ended, and was taken over.
    pause(20_000);
    let count = |database: &mut postgres::Client| -> i64 { database.query_one(counted, &[]).unwrap().get(0) };
    let before = count(&mut database);
    pause(60_000);
    let asked = count(&mut database) - before;
    row("idle with 10,000 schedules on PostgreSQL: statements", asked as f64, "/min");
    wait_for_second(first + FIRES * 7 + 2);
    drop(service);
    let late = "SELECT MAX(start_time - scheduled_time) FROM executions WHERE schedule_id IS NOT NULL";
    row(
        "  of fire times 7 s apart the latest",
        database.query_one(late, &[]).unwrap().get::<_, i64>(0) as f64 / 1e6,
        "ms",
    );
}

// ---- history ----

fn median_ms(rounds: usize, mut ask: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let began = Instant::now();
            ask();
            began.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[rounds / 2]
}

fn history() {
    let cf = FakeCf::start();
    for executions in [100_000, 1_000_000] {
        let place = Place::new(&cf);
        place.fill("call", 1, "http://127.0.0.1:9/", 4_000_000_000);
        place.fill_history(1, executions);
        let service = Service::start(&place, &cf, &[]);
        let mut connection = Connection::open(&service.address);
        let page = request("GET", "/calls/call-1/history?page=1", "");
        let time = median_ms(101, || assert_eq!(connection.ask(&page).0, 200));
        row(&format!("history, a page of 50 of {executions}"), time, "ms");
        if executions == 1_000_000 {
            let last = request("GET", "/calls/call-1/history?page=20000", "");
            row("  its last page", median_ms(5, || assert_eq!(connection.ask(&last).0, 200)), "ms");
            let before = service.pss_mib();
            let began = Instant::now();
            let (_, length) = connection.ask(&request("GET", "/calls/call-1/history", ""));
            let took = began.elapsed().as_secs_f64();
            row("  all of it", took, "s");
            row("  its JSON", length as f64 / took / 1e6, "MB/s");
            row("  more memory afterwards", service.pss_mib() - before, "MiB");
        }
    }
}

fn delete() {
    let cf = FakeCf::start();
    let place = Place::new(&cf);
    place.fill("call", 2, "http://127.0.0.1:9/", 4_000_000_000);
    place.fill_history(1, 1_000_000);
    let service = Service::start(&place, &cf, &[]);
    let mut connection = Connection::open(&service.address);
    let began = Instant::now();
    assert_eq!(connection.ask(&request("DELETE", "/calls/call-1", "")).0, 204);
    row("delete a call with 1,000,000 executions", began.elapsed().as_secs_f64() * 1000.0, "ms");
    let outcome = load::run(&service.address, 1, LOAD, false, |_, _| request("GET", "/calls/call-2", ""));
    row("  GET of another meanwhile, p99", outcome.p99_ms, "ms");
    let outcome =
        load::run(&service.address, 1, LOAD, false, |number, count| create_body(number, count, "meanwhile"));
    row("  create meanwhile, p99", outcome.p99_ms, "ms");
    let left = place.count("SELECT COUNT(*) FROM executions");
    row("  rows cleared in these six seconds", 1_000_000.0 - left as f64, "");
}

// ---- growth ----

fn growth() {
    let cf = FakeCf::start();
    for size in [1000, 10_000, 100_000, 1_000_000] {
        let place = Place::new(&cf);
        let target = Target::start();
        place.fill("job", size, "-", 4_000_000_000);
        place.fill_history(1, size);
        place.fill("call", 100, &target.url, 4_000_000_000);
        let due = now() + 3;
        place
            .database()
            .execute(
                "UPDATE schedules SET next_fire_time = ?1 WHERE guid LIKE 's-call-%'",
                [due * 1_000_000_000],
            )
            .unwrap();
        let service = Service::start(&place, &cf, &[]);
        wait_for_second(due);
        wait_until(|| target.hits.load(Ordering::Relaxed) >= 100);
        pause(200);
        let mut connection = Connection::open(&service.address);
        let mut ask = |method: &str, path: &str| {
            let request = request(method, path, "");
            median_ms(201, || assert!(connection.ask(&request).0 < 300))
        };
        println!("{size} schedules and executions:");
        row("  start", service.start_ms, "ms");
        row("  GET of a job", ask("GET", "/jobs/job-77"), "ms");
        row("  a page of the list", ask("GET", "/jobs?space_guid=space-1&page=1"), "ms");
        row("  a page of the history", ask("GET", "/jobs/job-1/history?page=1"), "ms");
        row("  the last of 100 calls due at once is late by", *place.lateness().last().unwrap(), "ms");
        let mut number = 0;
        let create = median_ms(201, || {
            number += 1;
            assert_eq!(connection.ask(&create_body(0, number, "growth")).0, 201);
        });
        row("  create", create, "ms");
        row("  memory", service.pss_mib(), "MiB");
    }
}
