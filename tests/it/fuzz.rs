//! Fuzzes the two places that parse input from strangers: the bytes of a request, through the real program,
//! and cron expressions. Seeded, so that findings can be reproduced.
//!
//! `FUZZ_SECONDS=600 FUZZ_SEED=7 cargo test --test it fuzz -- --nocapture` runs for that long.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ocf_scheduler::base::clock;
use ocf_scheduler::cron::{Dialect, Expression, Reading, Weekdays};
use tempfile::TempDir;

use super::cf::fake_cf::FakeCf;
use super::crash::Random;
use super::program::{Program, ask};
use super::world::wait_for;

/// The number of inputs by default.
const TRIES: u64 = 8000;
/// Far longer than an answer takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Connections that are left open, to check that the service closes them.
const LEFT_OPEN_MAX: usize = 100;

#[expect(clippy::disallowed_methods, reason = "how long, and with which seed, is for whoever runs this test")]
fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Calls `attempt` with mutations of `corpus`, by number or by time. Returns how many.
fn fuzz(corpus: &[Vec<u8>], words: &[&[u8]], mut attempt: impl FnMut(&[u8])) -> u64 {
    let mut random = Random::seeded(number_of("FUZZ_SEED").unwrap_or(1));
    let until = number_of("FUZZ_SECONDS").map(|seconds| clock::instant() + Duration::from_secs(seconds));
    let mut tries = 0;
    while until.map_or(tries < TRIES, |until| clock::instant() < until) {
        attempt(&mutated(corpus, words, &mut random));
        tries += 1;
    }
    tries
}

fn below(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound.max(1) as u64)).unwrap()
}

fn mutated(corpus: &[Vec<u8>], words: &[&[u8]], random: &mut Random) -> Vec<u8> {
    let mut input = corpus[below(random, corpus.len())].clone();
    for _ in 0..below(random, 5) {
        let at = below(random, input.len() + 1);
        let end = (at + below(random, 20)).min(input.len());
        match below(random, 8) {
            0 if at < input.len() => input[at] = u8::try_from(random.below(256)).unwrap(),
            1 if at < input.len() => input[at] ^= 1 << random.below(8),
            2 => drop(input.drain(at..end)),
            3 => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            4 => {
                let other = &corpus[below(random, corpus.len())];
                let from = below(random, other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            5 => {
                let many = if random.below(50) == 0 { 70_000 } else { 300 };
                let filler = vec![u8::try_from(random.below(256)).unwrap(); below(random, many)];
                input.splice(at..at, filler);
            }
            6 => input.truncate(at),
            _ => {
                let word = words[below(random, words.len())];
                input.splice(at..end, word.iter().copied());
            }
        }
    }
    input
}

/// Words for requests, right or wrong.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"%00",
    b"%",
    b"..",
    b"//",
    b"\xff\xfe",
    b"HTTP/1.1",
    b"HTTP/2.0",
    b"HTTP/1.0",
    b"Content-Length: 1\r\n",
    b"Content-Length: 18446744073709551616\r\n",
    b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"ffffffffffffffff\r\n",
    b"0\r\n\r\n",
    b"\"",
    b"\\",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"1e999",
    b"null",
    b"-0",
    b"99999999999999999999",
    b"page=0",
    b"page=18446744073709551615",
    b"per_page=501",
    b"expression=@every 1ns",
];

/// The program, and the objects that its corpus refers to.
struct Target {
    cf: FakeCf,
    program: Program,
    log: PathBuf,
    address: String,
    token: String,
    /// A token of the fake UAA is valid for ten minutes.
    issued_at: Instant,
    job: String,
    call: String,
    _directory: TempDir,
}

impl Target {
    fn start() -> Self {
        let cf = FakeCf::start();
        cf.add_app("app-1", "space-1");
        cf.add_role("dev", "space-1");
        let token = cf.issue_cf_token("dev");
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let file = fs::File::create(&log).unwrap();
        let settings =
            [("CLIENT_TIMEOUT_SECONDS", "2"), ("IDLE_TIMEOUT_SECONDS", "2"), ("LOG_LEVEL", "error")];
        let program = Program::start_with(directory.path(), &cf, &settings, Stdio::from(file)).unwrap();
        let make = |path: &str, body: &str| {
            ask(&program.url, &token, "POST", path, body).unwrap().1["guid"].as_str().unwrap().to_owned()
        };
        let job = make("/jobs?app_guid=app-1", r#"{"name":"fuzzed","command":"true"}"#);
        let call = make(
            "/calls?app_guid=app-1",
            r#"{"name":"fuzzed","url":"http://127.0.0.1:9/","auth_header":"x"}"#,
        );
        let address = program.url.trim_start_matches("http://").to_owned();
        let issued_at = clock::instant();
        Self { cf, program, log, address, token, issued_at, job, call, _directory: directory }
    }

    /// Fills in the placeholders `{TOKEN}`, `{JOB}` and `{CALL}` of the corpus.
    fn filled_in(&mut self, input: &[u8]) -> Vec<u8> {
        if Duration::from_secs(300) < self.issued_at.elapsed() {
            self.token = self.cf.issue_cf_token("dev");
            self.issued_at = clock::instant();
        }
        let mut output = Vec::with_capacity(2 * input.len());
        let mut rest = input;
        while let Some(first) = rest.first() {
            let found = [("{TOKEN}", &self.token), ("{JOB}", &self.job), ("{CALL}", &self.call)]
                .into_iter()
                .find(|(name, _)| rest.starts_with(name.as_bytes()));
            match found {
                Some((name, value)) => {
                    output.extend_from_slice(value.as_bytes());
                    rest = &rest[name.len()..];
                }
                None => {
                    output.push(*first);
                    rest = &rest[1..];
                }
            }
        }
        output
    }

    /// Checks that nothing remains of it all: no thread, no panic, no bug; and that the next request is
    /// answered.
    fn check_that_nothing_is_left(&self, threads_before: usize) {
        wait_for(|| (self.threads() <= threads_before).then_some(()));
        let (status, _) = ask(&self.program.url, &self.token, "GET", "/healthz", "").unwrap();
        assert_eq!(status, 200, "it goes on");
        assert_eq!(fs::read_to_string(&self.log).unwrap(), "", "nothing to report");
    }

    fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.program.pid().as_raw_nonzero())).unwrap().count()
    }
}

fn corpus_of_requests() -> Vec<Vec<u8>> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/http");
    let mut files: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

#[expect(clippy::print_stdout, reason = "the long version tells what it went through")]
#[test]
fn any_bytes_get_complete_answers_and_cause_no_fault() {
    let mut target = Target::start();
    let threads_before = target.threads();
    let (mut answers, mut closes) = (0, 0);
    let mut left_open = Vec::new();
    let mut random = Random::seeded(3);
    let tries = fuzz(&corpus_of_requests(), WORDS, |input| {
        let input = &target.filled_in(input);
        let shown = || String::from_utf8_lossy(input);
        let mut stream = connect(&target.address);
        // It may be refused before it was sent completely.
        let _ = stream.write_all(input);
        if left_open.len() < LEFT_OPEN_MAX && random.below(50) == 0 {
            left_open.push((stream, shown().into_owned()));
            return;
        }
        let _ = stream.shutdown(Shutdown::Write);
        let got = read_to_end(&mut stream).unwrap_or_else(|err| panic!("{err}; sent {:?}", shown()));
        let statuses = read_answers(input, &got).unwrap_or_else(|why| {
            panic!("{why}\nsent: {:?}\ngot: {:?}", shown(), String::from_utf8_lossy(&got))
        });
        for (status, _) in &statuses {
            assert!(*status < 500 || *status == 503, "{status}\nsent: {:?}", shown());
        }
        answers += statuses.len();
        closes += usize::from(statuses.is_empty());
    });
    // All connections that neither continue nor end are closed.
    for (mut stream, sent) in left_open {
        read_to_end(&mut stream).unwrap_or_else(|err| panic!("{err}; sent {sent:?}"));
    }
    target.check_that_nothing_is_left(threads_before);
    println!("requests tried={tries} answers={answers} closed_without={closes}");
}

/// Well-formed requests in every framing and in pieces of any size, with bodies that look like requests: each
/// is answered, in order, with its own id, whatever follows it.
#[expect(clippy::print_stdout, reason = "the long version tells what it went through")]
#[test]
fn requests_on_one_connection_are_never_split_differently() {
    let mut target = Target::start();
    let threads_before = target.threads();
    let (mut random, mut number) = (Random::seeded(4), 0);
    let tries = fuzz(&corpus_of_requests(), WORDS, |rubbish| {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for _ in 0..=below(&mut random, 6) {
            number += 1;
            let id = format!("fuzz-{number}");
            expected.push(append_request(&mut bytes, &id, rubbish, &mut random));
        }
        bytes.extend_from_slice(rubbish);
        let bytes = target.filled_in(&bytes);
        let shown = || String::from_utf8_lossy(&bytes);
        let mut stream = connect(&target.address);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let size = if random.below(4) == 0 { rest.len() } else { 1 + below(&mut random, 200) };
            let (piece, others) = rest.split_at(size.min(rest.len()));
            let _ = stream.write_all(piece);
            rest = others;
        }
        let _ = stream.shutdown(Shutdown::Write);
        let got = read_to_end(&mut stream).unwrap_or_else(|err| panic!("{err}; sent {:?}", shown()));
        let answers = read_answers(&bytes, &got).unwrap_or_else(|why| {
            panic!("{why}\nsent: {:?}\ngot: {:?}", shown(), String::from_utf8_lossy(&got))
        });
        // A request that is answered from its head alone, before its body has arrived, ends the connection.
        let shown_last = String::from_utf8_lossy(&got).to_ascii_lowercase();
        let last = shown_last.rsplit("http/1.1 ").next().unwrap_or_default();
        if answers.len() < expected.len() {
            assert!(last.contains("connection: close"), "sent: {:?}\ngot: {answers:?}", shown());
            expected.truncate(answers.len());
        }
        for (index, expected) in expected.iter().enumerate() {
            let answer = answers.get(index);
            assert_eq!(answer, Some(expected), "{index}\nsent: {:?}\ngot: {answers:?}", shown());
        }
    });
    target.check_that_nothing_is_left(threads_before);
    println!("connections tried={tries} requests={number}");
}

/// Appends a well-formed request, and returns what its answer must be.
fn append_request(bytes: &mut Vec<u8>, id: &str, rubbish: &[u8], random: &mut Random) -> (u16, String) {
    let (head, status) = match random.below(6) {
        0 => ("GET /healthz HTTP/1.1\r\n", 200),
        1 => ("GET / HTTP/1.1\r\nAccept: application/problem+json\r\n", 200),
        2 => ("GET /jobs/{JOB} HTTP/1.1\r\nAuthorization: bearer {TOKEN}\r\n", 200),
        3 => ("POST /nothing/here HTTP/1.1\r\nAuthorization: bearer {TOKEN}\r\n", 404),
        4 => ("DELETE /calls HTTP/1.1\r\n", 405),
        _ => ("DELETE /calls/{CALL} HTTP/1.1\r\nAuthorization: Bearer nonsense\r\n", 401),
    };
    let smuggled = &b"GET /smuggled HTTP/1.1\r\nHost: y\r\n\r\n"[..];
    // A placeholder would change its length.
    let rubbish = if rubbish.contains(&b'{') { b"" } else { rubbish };
    let body = [smuggled, rubbish].concat();
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(format!("Host: x\r\nX-Request-Id: {id}\r\n").as_bytes());
    match random.below(3) {
        0 => bytes.extend_from_slice(b"\r\n"),
        1 => {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            bytes.extend_from_slice(&body);
        }
        _ => {
            bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            let mut rest = &body[..];
            while !rest.is_empty() {
                let (chunk, others) = rest.split_at((1 + below(random, 2 * body.len())).min(rest.len()));
                let extension = if random.below(3) == 0 { ";a=\"b c\"" } else { "" };
                bytes.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
                rest = others;
            }
            let trailer = if random.below(3) == 0 { "X-Request-Id: trailer\r\n" } else { "" };
            bytes.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
        }
    }
    (status, id.to_owned())
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads everything until the connection ends, which it must.
fn read_to_end(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut got = Vec::new();
    match stream.read_to_end(&mut got) {
        Err(err) if err.kind() != io::ErrorKind::ConnectionReset => Err(err),
        _ => Ok(got),
    }
}

/// The statuses of complete answers, with nothing between them, and the ids of their requests. An answer to
/// `HEAD` has no body, whatever its headers say.
fn read_answers(sent: &[u8], mut rest: &[u8]) -> Result<Vec<(u16, String)>, &'static str> {
    let may_be_head = sent.windows(4).any(|word| word == b"HEAD");
    let mut statuses = Vec::new();
    while !rest.is_empty() {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = head.parse(rest).map_err(|_| "not a head of an answer")?
        else {
            return Err("half a head");
        };
        let status = head.code.ok_or("no status")?;
        let header =
            |name: &str| head.headers.iter().find(|it| it.name.eq_ignore_ascii_case(name)).map(|it| it.value);
        rest = &rest[length..];
        if status >= 200 {
            let id = header("X-Request-Id").ok_or("no id")?;
            statuses.push((status, String::from_utf8_lossy(id).into_owned()));
            let is_chunked = header("Transfer-Encoding").is_some();
            let body =
                header("Content-Length").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
            match body {
                _ if may_be_head && (rest.is_empty() || rest.starts_with(b"HTTP/1.1 ")) => {}
                Some(body) if body <= rest.len() => rest = &rest[body..],
                None if is_chunked => rest = after_chunks(rest)?,
                None if status == 204 || header("Connection") == Some(b"close") => {}
                _ => return Err("half a body"),
            }
        }
    }
    Ok(statuses)
}

fn after_chunks(mut rest: &[u8]) -> Result<&[u8], &'static str> {
    loop {
        let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(rest) else {
            return Err("no chunk");
        };
        let end = start + usize::try_from(size).map_err(|_| "a chunk too long")?;
        rest = rest.get(end..).and_then(|rest| rest.strip_prefix(b"\r\n")).ok_or("half a chunk")?;
        if size == 0 {
            return Ok(rest);
        }
    }
}

#[expect(clippy::print_stdout, reason = "the long version tells what it went through")]
#[test]
fn any_expression_is_refused_or_its_fire_times_ascend() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/cron.txt")).unwrap();
    let corpus: Vec<Vec<u8>> = text.lines().map(|line| line.as_bytes().to_vec()).collect();
    let words: &[&[u8]] = &[
        b"*",
        b"/",
        b"-",
        b",",
        b"?",
        b"L",
        b"H",
        b"H(",
        b")",
        b"W",
        b"LW",
        b"#",
        b" ",
        b"TZ=",
        b"CRON_TZ=UTC ",
        b"@every ",
        b"JAN",
        b"SUN",
        b"0",
        b"00",
        b"60",
        b"99999999999",
        b"-1",
        b"2099",
        b"1970",
        b"h",
        b"ns",
        b"\t",
        b"\0",
        "é".as_bytes(),
        b"Asia/Kathmandu ",
        b"Australia/Lord_Howe ",
        b"Pacific/Apia ",
    ];
    let (mut accepted, mut random) = (0, Random::seeded(2));
    let tries = fuzz(&corpus, words, |input| {
        let text = String::from_utf8_lossy(input);
        let dialect = match random.below(4) {
            0 => Dialect::Classic(Weekdays::Unix),
            1 => Dialect::Classic(Weekdays::Quartz),
            _ => Dialect::Ocf2,
        };
        let began = clock::instant();
        let Ok(expression) = Expression::parse(&text, &Reading::plain(dialect)) else { return };
        accepted += 1;
        // From 1700 to 2250, and the limits of the type.
        let mut time = match random.below(20) {
            0 => i64::MIN,
            1 => i64::MAX,
            _ => i64::try_from(random.below(17_000_000_000)).unwrap() - 8_500_000_000,
        };
        for round in 0..5 {
            let next = if round == 0 { expression.first_after(time) } else { expression.next_after(time) };
            let Some(next) = next else { break };
            assert!(time < next, "{text:?} after {time}: {next}");
            // An interval has no fixed times, and the first fire time of ocf2 may repeat one before `time`.
            if expression.interval().is_none() && dialect != Dialect::Ocf2 {
                assert_eq!(expression.last_before(next + 1), Some(next), "{text:?}");
            }
            time = next;
        }
        assert!(began.elapsed() < PATIENCE, "{text:?} takes {:?}", began.elapsed());
    });
    println!("expressions tried={tries} accepted={accepted}");
}
