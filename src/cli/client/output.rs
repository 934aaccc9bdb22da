//! What people and scripts get to see.
//!
//! Invariant: nothing that a server says reaches a terminal as anything but text: control characters are shown, not sent.
//! Colours are for terminals that want them.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::time::Duration;

use serde_json::Value;

use crate::config;
use crate::model::Timestamp;

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// What is kept to ourselves of the objects of the API.
const SECRET_FIELDS: [&str; 2] = ["auth_header", "headers"];

/// Writes to the standard output. A reader that has gone away (`| head`) wants no more, which is no fault.
pub(crate) fn print(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(err) if err.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes to the standard error; there is nobody to tell when that fails.
pub(crate) fn print_error(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Whether the standard output is a terminal that wants colours.
pub(crate) fn wants_colour() -> bool {
    let is_dumb = config::variable("TERM").is_none_or(|term| term == "dumb");
    let is_unwanted = config::variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !is_dumb && !is_unwanted
}

/// A cell of a table, or any text of a server's: control characters, and those that turn the direction of writing, as
/// escapes.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmless(character) {
            shown.push(character);
        } else {
            shown.extend(character.escape_default());
        }
    }
    shown
}

/// The same for text of several lines that are ours.
pub(crate) fn shown_lines(text: &str) -> String {
    text.split('\n').map(shown).collect::<Vec<_>>().join("\n")
}

/// Makes the output of a task, which comes in pieces, text that a terminal shows and does not act upon.
#[derive(Default)]
pub(crate) struct Visible {
    /// The beginning of a character, or of a line's end, that the next piece may complete.
    rest: Vec<u8>,
}

impl Visible {
    pub(crate) fn text_of(&mut self, piece: &[u8]) -> String {
        self.rest.extend_from_slice(piece);
        let bytes = std::mem::take(&mut self.rest);
        let end = bytes.len() - unfinished(&bytes);
        self.rest = bytes[end..].to_vec();
        made_visible(&bytes[..end])
    }

    /// What is left when no more comes.
    pub(crate) fn end(&mut self) -> String {
        made_visible(&std::mem::take(&mut self.rest))
    }
}

/// How many bytes at the end may become something else by what follows.
fn unfinished(bytes: &[u8]) -> usize {
    if bytes.last() == Some(&b'\r') {
        return 1;
    }
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    // A valid beginning of a character is an error without a length.
    let is_begun = |tail: &[u8]| {
        std::str::from_utf8(tail).is_err_and(|err| err.error_len().is_none() && err.valid_up_to() == 0)
    };
    (0..tail.len()).map(|start| &tail[start..]).find(|tail| is_begun(tail)).map_or(0, <[u8]>::len)
}

fn made_visible(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        // The end of a line on other systems. A return elsewhere would write over what stands there.
        for character in chunk.valid().replace("\r\n", "\n").chars() {
            if matches!(character, '\n' | '\t') || is_harmless(character) {
                text.push(character);
            } else {
                text.extend(character.escape_default());
            }
        }
        for byte in chunk.invalid() {
            // In a terminal that is not set to UTF-8, 0x9b begins a sequence.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

fn is_harmless(character: char) -> bool {
    let turns = matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !character.is_control() && !turns
}

/// JSON in lines, without secrets and without characters that a terminal would act upon.
pub(crate) fn json(value: &Value) -> String {
    let mut text = String::new();
    for character in format!("{:#}", without_secrets(value.clone())).chars() {
        if character == '\n' || is_harmless(character) {
            text.push(character);
        } else {
            // Such a character is within a string, where JSON has an escape for it. Those below U+0020 have theirs already.
            let _ = write!(text, "\\u{:04x}", u32::from(character));
        }
    }
    text.push('\n');
    text
}

fn without_secrets(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => fields.retain(|name, _| !SECRET_FIELDS.contains(&name.as_str())),
        Value::Array(values) => values.iter_mut().for_each(|value| *value = without_secrets(value.take())),
        _ => (),
    }
    value
}

/// Rows under headings, as wide as they need to be; the last column is not filled up.
pub(crate) struct Table {
    headings: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &'static [&'static str]) -> Self {
        Self { headings, rows: Vec::new() }
    }

    /// Adds a row of texts that may come from a server.
    pub(crate) fn row(&mut self, cells: &[&str]) {
        self.rows.push(cells.iter().map(|cell| shown(cell)).collect());
    }

    /// The text of it, with a state in its colour when `colour` is wanted.
    pub(crate) fn text(&self, colour: bool) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.max().unwrap_or(0).max(self.headings[column].len())
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let headings = self.headings.iter().map(|heading| (*heading).to_owned()).collect();
        let mut text = String::new();
        for (index, row) in std::iter::once(&headings).chain(&self.rows).enumerate() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let gap = " ".repeat(width.saturating_sub(cell.chars().count()) + 2);
                let cell = if 0 < index { coloured(cell, colour) } else { cell.clone() };
                line.push_str(&cell);
                line.push_str(&gap);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A state in its colour; all other text as it is.
pub(crate) fn coloured(text: &str, colour: bool) -> String {
    match text {
        "SUCCEEDED" if colour => format!("{GREEN}{text}{PLAIN}"),
        "FAILED" if colour => format!("{RED}{text}{PLAIN}"),
        _ => text.to_owned(),
    }
}

/// A field of an object as text; empty where there is none.
pub(crate) fn field<'a>(resource: &'a Value, name: &str) -> &'a str {
    resource[name].as_str().unwrap_or_default()
}

/// An instant without the digits below a second, for a table.
pub(crate) fn instant(resource: &Value, name: &str) -> String {
    let text = field(resource, name);
    match Timestamp::parse(text).and_then(|instant| Timestamp::from_seconds(instant.seconds())) {
        Some(instant) => instant.to_string(),
        None => text.to_owned(),
    }
}

/// How long an execution took; empty when that is not known.
pub(crate) fn duration(execution: &Value) -> String {
    let time = |name| Timestamp::parse(field(execution, name));
    match (time("execution_start_time"), time("execution_end_time")) {
        (Some(start), Some(end)) => span(end.since(start)),
        _ => String::new(),
    }
}

/// A span of time, with a digit more where it is short.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", span.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_server_is_acted_upon() {
        let hostile = "a\x1b[2Jb\u{9b}31mc\r\nd\u{202e}e\u{7f}";
        assert_eq!(shown(hostile), r"a\u{1b}[2Jb\u{9b}31mc\r\nd\u{202e}e\u{7f}");
        let value = serde_json::json!({ "name": hostile, "auth_header": "s3cret" });
        let text = json(&value);
        assert!(text.chars().all(|c| c == '\n' || is_harmless(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), serde_json::json!({ "name": hostile }));
    }

    #[test]
    fn no_output_of_a_task_is_acted_upon_wherever_its_pieces_end() {
        let output = "a\t\u{1b}]0;x\u{7}\r\nprogress\rover ü\u{202e}€\n".as_bytes();
        let output = [output, b"\x9b31m\xe2\x82", b"\xf0\x9f\x98\x80\r"].concat();
        let seen = "a\t\\u{1b}]0;x\\u{7}\nprogress\\rover ü\\u{202e}€\n\\x9b31m\\xe2\\x82😀\\r";
        for length in 1..=output.len() {
            let mut visible = Visible::default();
            let mut text: String = output.chunks(length).map(|piece| visible.text_of(piece)).collect();
            text += &visible.end();
            assert_eq!(text, seen, "in pieces of {length}");
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", "STATE", "GUID"]);
        table.row(&["größer", "FAILED", "1"]);
        table.row(&["b", "", "2"]);
        assert_eq!(table.text(false), "NAME    STATE   GUID\ngrößer  FAILED  1\nb               2\n");
        assert!(table.text(true).contains("\x1b[31mFAILED\x1b[0m  1"));
    }

    #[test]
    fn spans_are_short() {
        let texts = [0, 59, 61, 3725].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(texts, ["0.0 s", "59.0 s", "1 min 1 s", "1 h 2 min"]);
    }
}
