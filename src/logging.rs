//! The log: lines for people (`simplelog`) or one JSON object a line, on standard error.
//!
//! Invariant: a record is one line, whatever is in it: control characters are escaped.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::Arc;

use log::{Level, LevelFilter, Log, Metadata, Record};
use simplelog::{ConfigBuilder, SharedLogger, WriteLogger};

use crate::clock::Clock;
use crate::config::LogFormat;

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
            Box::new(Escaped(*WriteLogger::new(level, config, io::stderr())))
        }
        LogFormat::Json => Box::new(JsonLogger { clock }),
    };
    if log::set_boxed_logger(Box::new(OursOnly { logger, level })).is_ok() {
        log::set_max_level(level);
    }
}

/// Keeps libraries quiet: their debug lines are not written with our secrets in mind (headers, for one).
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

/// Hands records on with their control characters escaped.
struct Escaped<L>(L);

impl<L: SharedLogger> Log for Escaped<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let message = escaped(&record.args().to_string());
        self.0.log(
            &Record::builder().metadata(record.metadata().clone()).args(format_args!("{message}")).build(),
        );
    }

    fn flush(&self) {
        self.0.flush();
    }
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

/// One JSON object a line.
struct JsonLogger {
    clock: Arc<dyn Clock>,
}

impl Log for JsonLogger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut line = serde_json::json!({
            "time": self.clock.now().to_string(),
            "level": record.level().as_str(),
            "message": record.args().to_string(),
        })
        .to_string();
        line.push('\n');
        // Nobody is left to be told when the log itself cannot be written.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_a_message_cannot_forge_a_line() {
        assert_eq!(escaped("a\nb\u{1b}[31mc ü"), "a\\nb\\u{1b}[31mc ü");
    }
}
