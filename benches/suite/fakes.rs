//! A Cloud Foundry with its UAA and a target of calls, both as fast as they can be: they remember nothing but
//! numbers. A task's guid says when it was made, and with that when it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A fake Cloud Foundry.
pub struct FakeCf {
    pub url: String,
    pub created: AtomicUsize,
    pub requests: AtomicUsize,
    /// How long tasks take, in milliseconds.
    pub task_ms: AtomicU64,
    /// How long each answer takes, in milliseconds.
    pub delay_ms: AtomicU64,
    started: Instant,
}

impl FakeCf {
    pub fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cf = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            created: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            task_ms: AtomicU64::new(200),
            delay_ms: AtomicU64::new(0),
            started: Instant::now(),
        });
        let serving = Arc::clone(&cf);
        serve(listener, move |method, target| serving.answer(method, target));
        cf
    }

    fn answer(&self, method: &str, target: &str) -> (u16, String) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let delay = self.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            let _ = crossbeam_channel::after(Duration::from_millis(delay)).recv();
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let now = self.started.elapsed().as_millis() as u64;
        match (method, path) {
            ("GET", "/") => (200, format!(r#"{{"links":{{"uaa":{{"href":"{}"}}}}}}"#, self.url)),
            ("POST", "/oauth/token") => {
                (200, r#"{"access_token":"own","token_type":"bearer","expires_in":86400}"#.to_owned())
            }
            ("GET", "/userinfo") => (200, r#"{"user_id":"dev","sub":"dev"}"#.to_owned()),
            ("GET", "/v3/roles") => (200, concat!(r#"{"pagination":{"next":null},"resources":[{"guid":"r","type":"space_developer","#,
                r#""relationships":{"space":{"data":{"guid":"space-1"}},"user":{"data":{"guid":"dev"}},"organization":{"data":null}}}]}"#).to_owned()),
            ("GET", "/v3/tasks") => {
                let guids = query.split('&').find_map(|pair| pair.strip_prefix("guids=")).unwrap_or_default();
                let tasks: Vec<String> = guids
                    .split([',', '%'])
                    .map(|guid| guid.strip_prefix("2C").unwrap_or(guid))
                    .filter(|guid| !guid.is_empty())
                    .map(|guid| self.task(guid, now))
                    .collect();
                (200, format!(r#"{{"pagination":{{"next":null}},"resources":[{}]}}"#, tasks.join(",")))
            }
            ("POST", "/v3/apps/app-1/tasks") => {
                let number = self.created.fetch_add(1, Ordering::Relaxed);
                (202, self.task(&format!("{now}-{number}"), now))
            }
            ("GET", "/v3/apps/app-1") => {
                (200, r#"{"guid":"app-1","relationships":{"space":{"data":{"guid":"space-1"}}}}"#.to_owned())
            }
            ("GET", "/v3/apps") => (200, named("app-1")),
            ("GET", "/v3/spaces") => (200, named("space-1")),
            // Ends the connection, and says why.
            _ => panic!("the fake Cloud Foundry does not know {method} {path}"),
        }
    }

    fn task(&self, guid: &str, now: u64) -> String {
        let made: u64 = guid.split('-').next().and_then(|made| made.parse().ok()).unwrap_or_default();
        let state = if made + self.task_ms.load(Ordering::Relaxed) <= now { "SUCCEEDED" } else { "RUNNING" };
        format!(
            r#"{{"guid":"{guid}","name":"n","state":"{state}","result":{{"failure_reason":null}},"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}}"#
        )
    }
}

/// A list of one thing that has a name.
fn named(guid: &str) -> String {
    format!(r#"{{"pagination":{{"next":null}},"resources":[{{"guid":"{guid}","name":"{guid}-name"}}]}}"#)
}

/// A target of calls, which answers 200 at once.
pub struct Target {
    pub url: String,
    pub hits: Arc<AtomicUsize>,
}

impl Target {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let hits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&hits);
        serve(listener, move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            (200, String::new())
        });
        Self { url, hits }
    }
}

/// Lets a database answer late: what it sends arrives after a delay, in order and undiminished.
pub struct LateAnswers {
    pub address: String,
}

impl LateAnswers {
    pub fn start(server: String, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(&server).unwrap();
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let (requests, answers) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || pass_on(client, requests, Duration::ZERO));
                thread::spawn(move || pass_on(server, answers, delay));
            }
        });
        Self { address }
    }
}

/// Forwards the bytes of `from`, each piece after the delay.
fn pass_on(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, pieces) = crossbeam_channel::bounded::<(Instant, Vec<u8>)>(1024);
    thread::spawn(move || {
        for (arrived, piece) in pieces {
            let due = arrived + delay;
            if Instant::now() < due {
                let _ = crossbeam_channel::at(due).recv();
            }
            if to.write_all(&piece).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut buffer = [0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if sender.send((Instant::now(), buffer[..length].to_vec())).is_err() {
            return;
        }
    }
}

fn serve(listener: TcpListener, answer: impl Fn(&str, &str) -> (u16, String) + Send + Sync + 'static) {
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            thread::spawn(move || serve_connection(stream, &*answer));
        }
    });
}

/// `None`: it has ended.
fn serve_connection(stream: TcpStream, answer: &dyn Fn(&str, &str) -> (u16, String)) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut stream = BufReader::new(stream);
    let (mut first, mut line) = (String::new(), String::new());
    loop {
        first.clear();
        if stream.read_line(&mut first).ok()? == 0 {
            return None;
        }
        let mut length = 0;
        loop {
            line.clear();
            stream.read_line(&mut line).ok()?;
            let header = line.trim_end();
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok()?;
            }
        }
        std::io::copy(&mut stream.by_ref().take(length), &mut std::io::sink()).ok()?;
        let mut words = first.split(' ');
        let (status, body) = answer(words.next()?, words.next()?);
        let whole = format!("HTTP/1.1 {status} Fine\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.get_mut().write_all(whole.as_bytes()).ok()?;
    }
}
