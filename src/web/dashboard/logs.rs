//! The output of tasks that the platform keeps in its log, read in the background.
//!
//! Invariant: a page waits for output for at most [`PATIENCE`], and not at all while what an earlier page
//! began goes on. One thread at a time reads an output, and after a failure none does for [`REST`]. At most
//! [`OUTPUTS_MAX`] outputs are kept, each with its last [`KEPT_BYTES`], for the token that read them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::ask::Refusal;
use crate::base::clock::Clock;
use crate::base::mutex::lock;
use crate::base::on_demand::OnDemand;

/// The longest wait of one page.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an output is not read after a failure.
const REST: Duration = Duration::from_secs(10);
/// The most outputs in memory.
const OUTPUTS_MAX: usize = 16;
/// How much of the end of an output is kept.
const KEPT_BYTES: usize = 1024 * 1024;
/// The most parts that are read at once. The next page continues.
const PARTS_MAX: usize = 16;
/// Lines may reach the log this late, so a reading begins again where the log was this old.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// A busy app always logs more. A reading that has come this close to the present is at the end.
const AT_END: Duration = Duration::from_secs(2);

/// Whose token reads (its SHA-256), and the path of the output.
type Key = ([u8; 32], String);

/// The outputs, the last used at the end.
#[derive(Default)]
pub(super) struct Logs(Mutex<Vec<(Key, Arc<Output>)>>);

#[derive(Default)]
struct Output {
    read: Mutex<Read>,
    reading: OnDemand,
}

/// What has been read of an output.
#[derive(Clone, Default)]
pub(super) struct Read {
    pub(super) bytes: Vec<u8>,
    /// Whether there was something before `bytes`.
    pub(super) is_cut: bool,
    /// Whether it is still being read, or the last page has not come to its end.
    pub(super) is_unfinished: bool,
    /// Why it could not be read on.
    pub(super) refusal: Option<Refusal>,
    /// Where to continue, in nanoseconds since 1970, with the length of `bytes` there.
    settled: (i64, usize),
    /// The monotonic time until which it is not read.
    rests_until: Duration,
}

/// Reads the part that begins at an offset, and says where the next one begins.
pub(super) type Part = Box<dyn FnMut(i64) -> Result<(Vec<u8>, i64), Refusal> + Send>;

impl Logs {
    /// What is known of an output, after a moment for reading on with `part`. `None`: too many are being
    /// read.
    pub(super) fn read(&self, key: Key, clock: &Arc<dyn Clock>, part: Part) -> Option<Read> {
        let output = self.output(key)?;
        let is_resting = clock.monotonic() < lock(&output.read).rests_until;
        if !is_resting && !output.reading.is_running() {
            let (reader, clock) = (Arc::clone(&output), Arc::clone(clock));
            output.reading.start("output", move || reader.read_on(clock.as_ref(), part));
            output.reading.wait(PATIENCE);
        }
        let is_running = output.reading.is_running();
        let read = lock(&output.read).clone();
        Some(Read { is_unfinished: read.is_unfinished || is_running, ..read })
    }

    /// Forgets what this token has read.
    pub(super) fn forget(&self, digest: &[u8; 32]) {
        lock(&self.0).retain(|((of, _), _)| of != digest);
    }

    fn output(&self, key: Key) -> Option<Arc<Output>> {
        let mut outputs = lock(&self.0);
        if let Some(place) = outputs.iter().position(|(other, _)| *other == key) {
            let known = outputs.remove(place);
            outputs.push(known);
        } else {
            if OUTPUTS_MAX <= outputs.len() {
                let idle = outputs.iter().position(|(_, output)| !output.reading.is_running())?;
                outputs.remove(idle);
            }
            outputs.push((key, Arc::default()));
        }
        outputs.last().map(|(_, output)| Arc::clone(output))
    }
}

impl Output {
    /// Publishes what it reads as it goes. What was known stays until as much has been read again.
    fn read_on(&self, clock: &dyn Clock, mut part: Part) {
        let mut read = lock(&self.read).clone();
        let (mut offset, length) = read.settled;
        read.bytes.truncate(length);
        read.refusal = None;
        for _ in 0..PARTS_MAX {
            let (bytes, next) = match part(offset) {
                Ok(answer) => answer,
                Err(refusal) => {
                    let mut known = lock(&self.read);
                    known.refusal = Some(refusal);
                    known.rests_until = clock.monotonic().saturating_add(REST);
                    return;
                }
            };
            read.append(&bytes);
            let age = clock.now().nanos().saturating_sub(next);
            read.is_unfinished = next != offset && nanos(AT_END) < age;
            offset = next;
            if nanos(SETTLED_AFTER) <= age {
                read.settled = (next, read.bytes.len());
            }
            let mut known = lock(&self.read);
            if !read.is_unfinished || known.bytes.len() <= read.bytes.len() {
                *known = read.clone();
            }
            if !read.is_unfinished {
                return;
            }
        }
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl Read {
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..Self::default() }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let surplus = self.bytes.len().saturating_sub(KEPT_BYTES);
        if 0 < surplus {
            self.bytes.drain(..surplus);
            self.is_cut = true;
            self.settled.1 = self.settled.1.saturating_sub(surplus);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;

    const NANOS: i64 = 1_000_000_000;

    fn key(number: u8) -> Key {
        ([number; 32], "/output".to_owned())
    }

    /// A log of lines, each with its time, which answers with one line at a time.
    fn log_of(lines: &[(i64, &'static str)]) -> Part {
        let lines = lines.to_vec();
        Box::new(move |offset| {
            let line = lines.iter().find(|(time, _)| offset <= *time);
            Ok(line.map_or((Vec::new(), offset), |(time, text)| (text.as_bytes().to_vec(), time + 1)))
        })
    }

    #[test]
    fn a_reading_continues_and_sees_lines_that_came_late() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let new = clock.now().nanos() - 5 * NANOS;
        let old = new - 60 * NANOS;
        let logs = Logs::default();
        let text = |part| {
            let read = logs.read(key(1), &clock, part).unwrap();
            assert!(!read.is_unfinished && !read.is_cut);
            String::from_utf8(read.bytes).unwrap()
        };
        assert_eq!(text(log_of(&[(old, "a"), (new, "c")])), "ac");
        // The old line is not asked for again.
        assert_eq!(text(log_of(&[(old, "?"), (new - 1, "b"), (new, "c"), (new + 1, "d")])), "abcd");
    }

    #[test]
    fn the_end_is_kept_and_a_failure_is_told_and_rested_from() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let logs = Logs::default();
        let mut parts = 0;
        let long = logs.read(
            key(1),
            &clock,
            Box::new(move |offset| {
                parts += 1;
                match parts {
                    1..4 => Ok((vec![b'0' + parts; KEPT_BYTES / 2], offset + 1)),
                    _ => Ok((Vec::new(), offset)),
                }
            }),
        );
        let long = long.unwrap();
        assert_eq!((long.bytes.len(), long.bytes[0], long.is_cut), (KEPT_BYTES, b'2', true));
        let refusing: Part = Box::new(|_| Err(Refusal::new(503, "no")));
        assert_eq!(logs.read(key(2), &clock, refusing).unwrap().refusal.unwrap().text, "no");
        let untouched: Part = Box::new(|_| panic!("it rests"));
        assert!(logs.read(key(2), &clock, untouched).unwrap().refusal.is_some());
        logs.forget(&[2; 32]);
        assert!(logs.read(key(2), &clock, log_of(&[])).unwrap().refusal.is_none());
    }

    #[test]
    fn outputs_are_bounded() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let logs = Logs::default();
        for number in 0..=u8::try_from(OUTPUTS_MAX).unwrap() {
            assert!(logs.read(key(number), &clock, log_of(&[])).is_some());
        }
        assert_eq!(lock(&logs.0).len(), OUTPUTS_MAX);
    }
}
