//! The log on standard error: lines of text (`simplelog`), or one JSON object per line.
//!
//! Invariants: a record is one line, because control characters are escaped. Logging never waits for the
//! reader of standard error.
//!
//! Records carry key-value pairs: `info!(execution:%, attempts = 2; "task started")`. They become fields of
//! the JSON object, or `key=value` at the end of a line of text. [`on_behalf_of`] adds a client's
//! `request_id` to the lines of a thread.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, unbounded};
use log::kv::{self, Key, Value, VisitSource, VisitValue};
use log::{Level, LevelFilter, Log, Metadata, Record, error, warn};
use serde_json::Map;
use simplelog::{ConfigBuilder, SharedLogger, WriteLogger};

use crate::base::clock::{self, Clock};

/// How lines are written to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. A second call in one process changes nothing.
pub fn start(level: LevelFilter, format: LogFormat, clock: Arc<dyn Clock>) {
    let logger: Box<dyn Log> = match format {
        LogFormat::Text => {
            let config = ConfigBuilder::new()
                .set_time_format_rfc3339()
                .set_thread_level(LevelFilter::Off)
                .set_target_level(LevelFilter::Off)
                .set_location_level(LevelFilter::Off)
                .build();
            Box::new(TextLogger(*WriteLogger::new(level, config, Lines::default())))
        }
        LogFormat::Json => Box::new(JsonLogger { clock }),
    };
    if log::set_boxed_logger(Box::new(OursOnly { logger, level })).is_ok() {
        log::set_max_level(level);
    }
}

/// Waits until all records are written, for at most [`FLUSH_MAX`] if standard error is not read.
pub fn flush() {
    let written = sink();
    let deadline = clock::instant() + FLUSH_MAX;
    while written.queued_bytes.load(Ordering::Acquire) > 0 && clock::instant() < deadline {
        let _ = after(FLUSH_PAUSE).recv();
    }
}

/// Logs panics like other records. The default output is several lines of text.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let cause = payload.downcast_ref::<&str>().copied();
        let cause = cause.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let place = panic.location().map(ToString::to_string);
        // RUST_BACKTRACE enables it.
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        error!(
            thread = thread::current().name(), place = place.as_deref(), cause,
            backtrace = backtrace.as_deref();
            "panicked"
        );
    }));
}

thread_local! {
    /// The request that this thread works for; empty if there is none.
    static REQUEST_ID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Adds `request_id` to the lines of this thread until the result is dropped. An empty one changes nothing.
pub fn on_behalf_of(request_id: &str) -> OnBehalf {
    let is_known = !request_id.is_empty();
    OnBehalf { before: is_known.then(|| REQUEST_ID.replace(request_id.to_owned())) }
}

/// See [`on_behalf_of`].
pub struct OnBehalf {
    before: Option<String>,
}

impl Drop for OnBehalf {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            // Fails only while the thread ends, when it no longer matters.
            let _ = REQUEST_ID.try_with(|id| id.replace(before));
        }
    }
}

/// Drops the info and debug lines of libraries, which may contain secrets, for example in headers.
struct OursOnly {
    logger: Box<dyn Log>,
    level: LevelFilter,
}

impl Log for OursOnly {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().starts_with("ocf_scheduler");
        metadata.level() <= self.level && (ours || metadata.level() <= Level::Warn)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.logger.log(record);
        }
    }

    fn flush(&self) {
        self.logger.flush();
    }
}

/// How much of the log is queued if standard error is not read. Further lines are dropped, and their number
/// is logged later.
const QUEUE_MAX_BYTES: usize = 1024 * 1024;
/// How long the process waits for the log when it ends.
const FLUSH_MAX: Duration = Duration::from_secs(1);
const FLUSH_PAUSE: Duration = Duration::from_millis(2);

/// The queue of lines for standard error.
struct Sink {
    lines: Sender<Vec<u8>>,
    queued_bytes: AtomicUsize,
    dropped: AtomicU64,
}

fn sink() -> &'static Sink {
    static SINK: OnceLock<Sink> = OnceLock::new();
    SINK.get_or_init(|| {
        // Bounded by `queued_bytes`, which `send` checks.
        let (lines, waiting) = unbounded();
        let writer =
            thread::Builder::new().name("log-writer".to_owned()).spawn(move || write_lines(&waiting));
        if writer.is_err() {
            // Without the thread, all lines are dropped and counted.
            let _ = io::stderr().lock().write_all(b"cannot write the log: the thread cannot be started\n");
        }
        Sink { lines, queued_bytes: AtomicUsize::new(0), dropped: AtomicU64::new(0) }
    })
}

impl Sink {
    fn send(&self, line: Vec<u8>) {
        let length = line.len();
        if QUEUE_MAX_BYTES < self.queued_bytes.fetch_add(length, Ordering::AcqRel) + length {
            self.queued_bytes.fetch_sub(length, Ordering::AcqRel);
            self.dropped.fetch_add(1, Ordering::AcqRel);
            return;
        }
        if self.lines.send(line).is_err() {
            self.queued_bytes.fetch_sub(length, Ordering::AcqRel);
        }
    }
}

fn write_lines(lines: &Receiver<Vec<u8>>) {
    let mut stderr = io::stderr();
    for line in lines {
        let length = line.len();
        write_line(&mut stderr, &line);
        let sink = sink();
        sink.queued_bytes.fetch_sub(length, Ordering::AcqRel);
        let dropped = sink.dropped.swap(0, Ordering::AcqRel);
        if dropped > 0 {
            warn!(lines = dropped; "log lines dropped, standard error was not read");
        }
    }
}

fn write_line(stderr: &mut impl Write, mut rest: &[u8]) {
    while !rest.is_empty() {
        match stderr.write(rest) {
            Ok(0) => return,
            Ok(length) => rest = &rest[length..],
            Err(err) if err.kind() == io::ErrorKind::Interrupted => (),
            // Another process has made it non-blocking, and nothing says when it is writable again.
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                let _ = after(FLUSH_PAUSE).recv();
            }
            // An error of the log itself cannot be reported.
            Err(_) => return,
        }
    }
}

/// Collects output into whole lines.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        if self.0.last() == Some(&b'\n') {
            sink().send(std::mem::take(&mut self.0));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a line of text: the message, then the pairs.
struct TextLogger<L>(L);

impl<L: SharedLogger> Log for TextLogger<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let line = text_of(record);
        self.0
            .log(&Record::builder().metadata(record.metadata().clone()).args(format_args!("{line}")).build());
    }

    fn flush(&self) {
        self.0.flush();
    }
}

fn text_of(record: &Record<'_>) -> String {
    let mut line = escaped(&record.args().to_string());
    each_pair(record, |key, value| {
        let text = match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        // Quoted if it would not look like exactly one value.
        let is_plain = !text.is_empty()
            && !text.contains(|it: char| it.is_whitespace() || it.is_control() || matches!(it, '"' | '='));
        let _ = if is_plain { write!(line, " {key}={text}") } else { write!(line, " {key}={text:?}") };
    });
    line
}

fn escaped(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for character in message.chars() {
        if character.is_control() {
            let _ = write!(text, "{}", character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

/// Writes one JSON object per line.
struct JsonLogger {
    clock: Arc<dyn Clock>,
}

impl Log for JsonLogger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut line = json_of(record, &self.clock.now().to_string());
        line.push('\n');
        sink().send(line.into_bytes());
    }

    fn flush(&self) {}
}

fn json_of(record: &Record<'_>, time: &str) -> String {
    let mut object = Map::new();
    each_pair(record, |key, value| {
        object.insert(key.to_owned(), value);
    });
    // Last, so that no pair can replace one of these.
    object.insert("time".to_owned(), time.into());
    object.insert("level".to_owned(), record.level().as_str().to_ascii_lowercase().into());
    object.insert("message".to_owned(), record.args().to_string().into());
    let json = serde_json::Value::Object(object).to_string();
    if !json.contains(char::is_control) {
        return json;
    }
    // `serde_json` does not escape DEL and the control characters after it. They occur only within strings.
    let mut line = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_control() {
            let _ = write!(line, "\\u{:04x}", u32::from(character));
        } else {
            line.push(character);
        }
    }
    line
}

/// Passes the pairs of a record in their order, then the request id. Pairs without a value are left out.
fn each_pair(record: &Record<'_>, mut take: impl FnMut(&str, serde_json::Value)) {
    struct Pairs<'a>(&'a mut dyn FnMut(&str, serde_json::Value));
    impl<'kvs> VisitSource<'kvs> for Pairs<'_> {
        fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
            let mut json = Json(serde_json::Value::Null);
            value.visit(&mut json)?;
            if !json.0.is_null() {
                (self.0)(key.as_str(), json.0);
            }
            Ok(())
        }
    }
    // If a value cannot be formatted, the remaining pairs are missing.
    let _ = record.key_values().visit(&mut Pairs(&mut take));
    REQUEST_ID.with_borrow(|id| {
        if !id.is_empty() {
            take("request_id", id.as_str().into());
        }
    });
}

/// A value as JSON: a number, a boolean, or else a string.
struct Json(serde_json::Value);

impl VisitValue<'_> for Json {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), kv::Error> {
        self.0 = value.to_string().into();
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_str(&mut self, value: &str) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }
}

/// Milliseconds with one decimal, for the log.
pub fn milliseconds(span: std::time::Duration) -> f64 {
    (span.as_secs_f64() * 10_000.0).round() / 10.0
}

/// The first `max` characters of a text from outside.
pub fn beginning(text: &str, max: usize) -> &str {
    text.char_indices().nth(max).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record as text and as JSON.
    fn lines(message: &str, name: &str) -> (String, String) {
        let pairs = [
            ("name", Value::from(name)),
            ("count", Value::from(7)),
            ("ms", Value::from(0.5)),
            ("nothing", Value::null()),
            ("level", Value::from("forged")),
        ];
        let pairs = pairs.as_slice();
        let args = format_args!("{message}");
        let record = Record::builder().args(args).level(Level::Info).key_values(&pairs).build();
        (text_of(&record), json_of(&record, "now"))
    }

    #[test]
    fn a_line_break_in_a_message_cannot_forge_a_line() {
        assert_eq!(escaped("a\nb\u{1b}[31mc ü"), "a\\nb\\u{1b}[31mc ü");
        for hostile in
            ["a\nb", "\u{1b}[31m", "\u{85}", "\u{7f}", "\u{0}", "\u{2028}", "\"}", "x level=\"ERROR"]
        {
            let (text, json) = lines(hostile, hostile);
            for line in [&text, &json] {
                assert!(!line.chars().any(char::is_control), "{line:?}");
            }
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!((json["message"].as_str(), json["name"].as_str()), (Some(hostile), Some(hostile)));
        }
    }

    #[test]
    fn pairs_are_fields_in_json_and_the_end_of_a_line_of_text() {
        let (text, json) = lines("task started", "a");
        assert_eq!(text, "task started name=a count=7 ms=0.5 level=forged");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let expected = serde_json::json!({
            "time": "now", "level": "info", "message": "task started", "name": "a", "count": 7, "ms": 0.5
        });
        assert_eq!(json, expected);
        let (text, _) = lines("m", "x count=9");
        assert_eq!(text, r#"m name="x count=9" count=7 ms=0.5 level=forged"#);
        let (text, _) = lines("m", "");
        assert_eq!(text, r#"m name="" count=7 ms=0.5 level=forged"#);
    }

    #[test]
    fn lines_have_the_request_id_until_the_request_is_done() {
        let outer = on_behalf_of("r-1");
        drop(on_behalf_of("r-2"));
        drop(on_behalf_of(""));
        assert!(lines("m", "a").0.ends_with(" request_id=r-1"));
        assert!(lines("m", "a").1.contains(r#""request_id":"r-1""#));
        drop(outer);
        assert!(!lines("m", "a").0.contains("request_id"));
    }
}
