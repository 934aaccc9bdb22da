//! A load generator: so many kept-alive connections, each with a thread that asks as fast as it is answered.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A connection that can be asked over and over.
pub struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
    cookie: Option<String>,
    body: Vec<u8>,
}

impl Connection {
    pub fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self {
            stream: BufReader::with_capacity(64 * 1024, stream),
            line: String::new(),
            cookie: None,
            body: Vec::new(),
        }
    }

    /// Sends a whole request and reads its answer: the status and the length of the body.
    pub fn ask(&mut self, request: &[u8]) -> (u16, usize) {
        self.stream.get_mut().write_all(request).unwrap();
        let (mut status, mut length, mut chunked) = (0, 0, false);
        loop {
            self.line.clear();
            assert!(self.stream.read_line(&mut self.line).unwrap() > 0, "closed");
            let line = self.line.trim_end();
            if line.is_empty() {
                break;
            }
            match line.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().unwrap();
                }
                Some((name, _)) if name.eq_ignore_ascii_case("transfer-encoding") => chunked = true,
                Some((name, value)) if name.eq_ignore_ascii_case("set-cookie") => {
                    self.cookie = value.split(';').next().map(|pair| pair.trim().to_owned());
                }
                None => status = line.split(' ').nth(1).unwrap().parse().unwrap(),
                Some(_) => {}
            }
        }
        self.body.clear();
        if !chunked {
            self.body.resize(length, 0);
            self.stream.read_exact(&mut self.body).unwrap();
            return (status, length);
        }
        let mut total = 0;
        loop {
            self.line.clear();
            self.stream.read_line(&mut self.line).unwrap();
            let size = usize::from_str_radix(self.line.trim_end(), 16).unwrap();
            self.body.resize(size + 2, 0);
            self.stream.read_exact(&mut self.body).unwrap();
            total += size;
            if size == 0 {
                return (status, total);
            }
        }
    }

    /// The last cookie that an answer set, as a request sends it.
    pub fn cookie(&self) -> &str {
        self.cookie.as_deref().unwrap()
    }

    /// The guid of what the last answer is about.
    pub fn guid(&self) -> String {
        serde_json::from_slice::<serde_json::Value>(&self.body).unwrap()["guid"].as_str().unwrap().to_owned()
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub per_second: f64,
    pub p99_ms: f64,
}

/// Has `connections` ask for `time`. `request` makes the next request of a connection, of which it is told
/// the number and how many it has made; `once` opens a new connection for each.
pub fn run(
    address: &str,
    connections: usize,
    time: Duration,
    once: bool,
    request: impl Fn(usize, usize) -> Vec<u8> + Sync,
) -> Outcome {
    let over = AtomicBool::new(false);
    let started = Instant::now();
    let mut latencies: Vec<u32> = thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|number| {
                let (over, request) = (&over, &request);
                scope.spawn(move || {
                    let mut latencies = Vec::new();
                    let mut connection = Connection::open(address);
                    while !over.load(Ordering::Relaxed) {
                        let request = request(number, latencies.len());
                        let began = Instant::now();
                        if once {
                            connection = Connection::open(address);
                        }
                        let (status, _) = connection.ask(&request);
                        assert!((200..300).contains(&status), "answered {status}");
                        latencies.push(u32::try_from(began.elapsed().as_micros()).unwrap());
                    }
                    latencies
                })
            })
            .collect();
        let _ = crossbeam_channel::after(time).recv();
        over.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let took = started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let p99 = latencies[latencies.len() * 99 / 100];
    Outcome { per_second: latencies.len() as f64 / took, p99_ms: f64::from(p99) / 1000.0 }
}
