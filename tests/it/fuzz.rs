//! Chance against the two places that read what strangers write: the bytes of a request, through the whole service, and cron
//! expressions. Seeded, so that what is found can be found again.
//!
//! `FUZZ_SECONDS=600 FUZZ_SEED=7 cargo test --test it fuzz -- --nocapture` goes on for that long.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ocf_scheduler::cron::{Expression, Weekdays};

use super::crash::Random;
use super::world::World;

/// What is tried when nobody asks for a time.
const TRIES: u64 = 8000;
/// Far beyond what an answer takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(20);

#[expect(clippy::disallowed_methods, reason = "how long, and with which seed, is for whoever runs this test")]
fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Calls `attempt` with inputs made from `corpus`: so often, or for so long. How many those were.
fn fuzz(corpus: &[Vec<u8>], words: &[&[u8]], mut attempt: impl FnMut(&[u8])) -> u64 {
    let mut random = Random::seeded(number_of("FUZZ_SEED").unwrap_or(1));
    let until = number_of("FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut tries = 0;
    while until.map_or(tries < TRIES, |until| Instant::now() < until) {
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

#[expect(clippy::print_stdout, reason = "the long version tells what it went through")]
#[test]
fn whatever_bytes_come_the_answers_are_whole_and_no_fault_of_the_service() {
    let world = World::with(&[("CLIENT_TIMEOUT_SECONDS", "2")]);
    let (job, call) = (world.job("fuzzed"), world.call("fuzzed", "http://127.0.0.1:9/"));
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/http");
    let mut files: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files
        .iter()
        .map(|file| {
            let text = fs::read_to_string(file).unwrap();
            let text = text.replace("{TOKEN}", &world.token).replace("{JOB}", &job).replace("{CALL}", &call);
            text.into_bytes()
        })
        .collect();
    let words: &[&[u8]] = &[
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
    let address = world.url().trim_start_matches("http://").to_owned();
    let (mut answers, mut closes) = (0, 0);
    let tries = fuzz(&corpus, words, |input| {
        let got = exchange(&address, input);
        let statuses = read_answers(&got).unwrap_or_else(|why| {
            panic!(
                "{why}\nsent: {:?}\ngot: {:?}",
                String::from_utf8_lossy(input),
                String::from_utf8_lossy(&got)
            )
        });
        for status in &statuses {
            assert!(*status < 500 || *status == 503, "{status}\nsent: {:?}", String::from_utf8_lossy(input));
        }
        answers += statuses.len();
        closes += usize::from(statuses.is_empty());
    });
    assert_eq!(world.get("/jobs").status, 200, "it goes on");
    println!("requests tried={tries} answers={answers} closed_without={closes}");
}

/// Sends all of it and reads to the end, which must come.
fn exchange(address: &str, input: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    // It may be refused before all of it is sent.
    let _ = stream.write_all(input);
    let _ = stream.shutdown(Shutdown::Write);
    let mut got = Vec::new();
    match stream.read_to_end(&mut got) {
        Ok(_) => {}
        Err(err) if err.kind() == io::ErrorKind::ConnectionReset => {}
        Err(err) => panic!("no end of the answer: {err}; sent {:?}", String::from_utf8_lossy(input)),
    }
    got
}

/// The statuses of answers that are whole, one after the other with nothing between. What was reset may be cut short.
fn read_answers(mut rest: &[u8]) -> Result<Vec<u16>, &'static str> {
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
            statuses.push(status);
            let is_chunked = header("Transfer-Encoding").is_some();
            let body =
                header("Content-Length").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
            match body {
                // An answer to HEAD names the length of what it leaves out.
                Some(body) if body <= rest.len() && !rest.starts_with(b"HTTP/1.1 ") => rest = &rest[body..],
                Some(_) if rest.is_empty() || rest.starts_with(b"HTTP/1.1 ") => {}
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
fn whatever_expression_comes_it_is_refused_or_its_fire_times_ascend() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/cron.txt")).unwrap();
    let corpus: Vec<Vec<u8>> = text.lines().map(|line| line.as_bytes().to_vec()).collect();
    let words: &[&[u8]] = &[
        b"*",
        b"/",
        b"-",
        b",",
        b"?",
        b"L",
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
        let weekdays = if random.below(2) == 0 { Weekdays::Unix } else { Weekdays::Quartz };
        let Ok(expression) = Expression::parse(&text, weekdays) else { return };
        accepted += 1;
        // From 1700 to 2250, and the ends of what there is.
        let mut time = match random.below(20) {
            0 => i64::MIN,
            1 => i64::MAX,
            _ => i64::try_from(random.below(17_000_000_000)).unwrap() - 8_500_000_000,
        };
        let began = Instant::now();
        for _ in 0..5 {
            let Some(next) = expression.next_after(time) else { break };
            assert!(time < next, "{text:?} after {time}: {next}");
            time = next;
        }
        assert!(began.elapsed() < PATIENCE, "{text:?} takes {:?}", began.elapsed());
    });
    println!("expressions tried={tries} accepted={accepted}");
}
