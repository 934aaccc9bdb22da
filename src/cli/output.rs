//! Everything that is printed.
//!
//! Invariant: text from a server or a task cannot control a terminal; control characters become escapes.
//! Colours are used only on terminals that want them.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use crate::config;
use crate::model::Timestamp;

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// Fields of API objects that are never printed.
const SECRET_FIELDS: [&str; 2] = ["auth_header", "headers"];

/// The exit status for a command line or settings that are wrong.
pub(super) const USAGE: u8 = 2;
pub(super) const VERSION: &str = concat!("ocf-scheduler ", env!("CARGO_PKG_VERSION"), "\n");

/// Prints the result of a command.
pub(super) fn show(text: &str) -> ExitCode {
    match print(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => failed(&format!("cannot write the output: {err}")),
    }
}

/// Reports that a command failed.
pub(super) fn failed(message: &str) -> ExitCode {
    eprintln!("ocf-scheduler: {message}");
    ExitCode::FAILURE
}

/// Reports a wrong command line.
pub(super) fn usage(message: &str) -> ExitCode {
    eprintln!("ocf-scheduler: {message}\nTry: ocf-scheduler --help");
    ExitCode::from(USAGE)
}

/// Reports a wrong command line of `command`.
pub(super) fn usage_of(command: &str, message: &str) -> ExitCode {
    eprintln!("ocf-scheduler: {message}\nTry: ocf-scheduler help {command}");
    ExitCode::from(USAGE)
}

/// Writes to standard output. A reader that has closed the pipe (`| head`) is no error.
pub(crate) fn print(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(err) if err.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes to standard error; a failure cannot be reported anywhere.
pub(crate) fn print_error(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Whether standard output is a terminal that wants colours.
pub(crate) fn wants_colour() -> bool {
    let is_dumb = config::variable("TERM").is_none_or(|term| term == "dumb");
    let is_unwanted = config::variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !is_dumb && !is_unwanted
}

/// One line of text from a server, safe for a terminal: control characters, and those that change the
/// direction of writing, become escapes.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmless(character) {
            escaped.push(character);
        } else {
            escaped.extend(character.escape_default());
        }
    }
    escaped
}

/// Like [`escaped`], but keeps the line breaks, which must come from this program.
pub(crate) fn escaped_lines(text: &str) -> String {
    text.split('\n').map(escaped).collect::<Vec<_>>().join("\n")
}

/// Makes the output of a task, which arrives in pieces, safe for a terminal.
#[derive(Default)]
pub(crate) struct Visible {
    /// An incomplete character or line break, which the next piece may complete.
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

    /// The text that is left after the last piece.
    pub(crate) fn end(&mut self) -> String {
        made_visible(&std::mem::take(&mut self.rest))
    }
}

/// How many bytes at the end form an incomplete character or line break.
fn unfinished(bytes: &[u8]) -> usize {
    if bytes.last() == Some(&b'\r') {
        return 1;
    }
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    // An error without a length means: a valid character that is cut off.
    let is_begun = |tail: &[u8]| {
        std::str::from_utf8(tail).is_err_and(|err| err.error_len().is_none() && err.valid_up_to() == 0)
    };
    (0..tail.len()).map(|start| &tail[start..]).find(|tail| is_begun(tail)).map_or(0, <[u8]>::len)
}

fn made_visible(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        // CR LF is a line break. A CR elsewhere would overwrite the line.
        for character in chunk.valid().replace("\r\n", "\n").chars() {
            if matches!(character, '\n' | '\t') || is_harmless(character) {
                text.push(character);
            } else {
                text.extend(character.escape_default());
            }
        }
        for byte in chunk.invalid() {
            // In a terminal without UTF-8, 0x9b begins a control sequence.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

fn is_harmless(character: char) -> bool {
    let turns = matches!(
        character,
        '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    );
    !character.is_control() && !turns
}

/// The width of the terminal that standard output is; `None` if it is not a terminal.
pub(crate) fn terminal_width() -> Option<usize> {
    width_of(io::stdout())
}

/// As [`terminal_width`], for standard error.
pub(crate) fn error_width() -> Option<usize> {
    width_of(io::stderr())
}

fn width_of(terminal: impl AsFd) -> Option<usize> {
    let columns = usize::from(rustix::termios::tcgetwinsize(terminal).ok()?.ws_col);
    // Some terminals do not say how wide they are.
    (0 < columns).then_some(columns)
}

/// The text, cut to at most this many characters; `…` marks a cut.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Indented JSON, without secrets and safe for a terminal.
pub(crate) fn json(value: &Value) -> String {
    safe_json(&format!("{:#}", without_secrets(value.clone())))
}

/// As [`json`], on one line.
pub(crate) fn json_line(value: &Value) -> String {
    safe_json(&without_secrets(value.clone()).to_string())
}

fn safe_json(json: &str) -> String {
    let mut text = String::new();
    for character in json.chars() {
        if character == '\n' || is_harmless(character) {
            text.push(character);
        } else {
            // Inside a string, JSON allows an escape. Characters below U+0020 are escaped already.
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

/// A table with headings. Columns are as wide as their widest cell; the last one is not padded.
///
/// A cell that is a guid is shortened, unless the table is wide.
pub(crate) struct Table {
    headings: Vec<&'static str>,
    /// How many columns are shown if the table is not wide.
    narrow: usize,
    /// The place of a column in CSV, where it differs: after another one.
    moved: Option<(&'static str, &'static str)>,
    rows: Vec<Vec<String>>,
}

/// A column with the time before it in the zone of a schedule. Where all schedules are in UTC it is left out.
pub(crate) const LOCAL: &str = "LOCAL";
/// How much of a guid is shown.
pub(crate) const SHORT_GUID: usize = 8;
/// A column is not made narrower than this.
const COLUMN_MIN: usize = 6;

impl Table {
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), narrow: headings.len(), moved: None, rows: Vec::new() }
    }

    /// With columns at the end that only wide tables show.
    pub(crate) fn with_more(mut self, headings: &[&'static str]) -> Self {
        self.headings.extend(headings);
        self
    }

    /// CSV has `heading` after `before`. Programs may count columns, so the other columns keep their places.
    pub(crate) fn with_place_in_csv(mut self, heading: &'static str, before: &'static str) -> Self {
        self.moved = Some((heading, before));
        self
    }

    /// Adds a row. The cells may come from a server.
    pub(crate) fn row(&mut self, cells: &[&str]) {
        self.rows.push(cells.iter().map(|cell| escaped(cell)).collect());
    }

    /// With `colour`, states are coloured. Cells are cut to make lines fit `width`, if possible.
    pub(crate) fn text(&self, colour: bool, width: Option<usize>) -> String {
        let (headings, mut rows) = self.first_columns(self.narrow);
        for cell in rows.iter_mut().flatten().filter(|cell| is_guid(cell)) {
            *cell = cell.chars().take(SHORT_GUID).collect();
        }
        if let Some(width) = width.filter(|width| *width < whole_width(&column_widths(&headings, &rows))) {
            rows.iter_mut().flatten().for_each(compact_time);
            let (headings, rows) = without_least(headings, rows, width);
            return lines(&headings, &rows, colour, Some(width));
        }
        lines(&headings, &rows, colour, width)
    }

    /// All columns, and nothing is cut or shortened.
    pub(crate) fn wide_text(&self, colour: bool) -> String {
        let (headings, rows) = self.first_columns(self.headings.len());
        lines(&headings, &rows, colour, None)
    }

    /// The first `count` columns, without local times where there are none.
    fn first_columns(&self, count: usize) -> (Vec<&'static str>, Vec<Vec<String>>) {
        let has_text = |column: usize| self.rows.iter().any(|row| !row[column].is_empty());
        let shown: Vec<usize> =
            (0..count).filter(|column| self.headings[*column] != LOCAL || has_text(*column)).collect();
        columns(&shown, &self.headings, &self.rows)
    }

    /// All columns as comma-separated values (RFC 4180), with names like `next_fire`.
    pub(crate) fn csv(&self) -> String {
        let headings: Vec<String> =
            self.headings.iter().map(|heading| heading.to_lowercase().replace(' ', "_")).collect();
        let mut text = String::new();
        let order = self.order_in_csv();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let cells: Vec<String> = order
                .iter()
                .map(|column| &row[*column])
                .map(|cell| match cell.contains([',', '"', '\n']) {
                    true => format!("\"{}\"", cell.replace('"', "\"\"")),
                    false => cell.clone(),
                })
                .collect();
            text.push_str(&cells.join(","));
            text.push('\n');
        }
        text
    }

    fn order_in_csv(&self) -> Vec<usize> {
        let place = |wanted: &str| self.headings.iter().position(|heading| *heading == wanted);
        let mut order: Vec<usize> = (0..self.headings.len()).collect();
        if let Some((heading, before)) = self.moved
            && let (Some(column), Some(before)) = (place(heading), place(before))
        {
            order.retain(|it| *it != column);
            let after = order.iter().position(|it| *it == before).map_or(order.len(), |at| at + 1);
            order.insert(after, column);
        }
        // Local times came later.
        if let Some(local) = place(LOCAL) {
            order.retain(|it| *it != local);
            order.push(local);
        }
        order
    }
}

fn columns(
    shown: &[usize],
    headings: &[&'static str],
    rows: &[Vec<String>],
) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let cells = |row: &Vec<String>| shown.iter().map(|column| row[*column].clone()).collect();
    (shown.iter().map(|column| headings[*column]).collect(), rows.iter().map(cells).collect())
}

/// Leaves out columns of [`LEAST`] until the others can be read at this width, and then those of [`LATER`]
/// until what cannot be cut fits.
fn without_least(
    mut headings: Vec<&'static str>,
    mut rows: Vec<Vec<String>>,
    width: usize,
) -> (Vec<&'static str>, Vec<Vec<String>>) {
    type Step = (&'static [&'static str], fn(&str) -> bool, usize, usize);
    let steps: [Step; 2] =
        [(&LEAST, is_whole, READABLE_NAME, READABLE), (&LATER, is_uncut, SHORT_NAME, SHORT_TEXT)];
    for (leaving, is_kept_whole, of_name, of_text) in steps {
        for least in leaving {
            let widths = column_widths(&headings, &rows);
            let kept = widths.iter().zip(&headings).map(|(width, heading)| match *heading {
                heading if is_kept_whole(heading) => *width,
                heading if is_name(heading) => (*width).min(of_name),
                _ => (*width).min(of_text),
            });
            if whole_width(&kept.collect::<Vec<_>>()) <= width {
                break;
            }
            let shown: Vec<usize> =
                (0..headings.len()).filter(|column| headings[*column] != *least).collect();
            (headings, rows) = columns(&shown, &headings, &rows);
        }
    }
    (headings, rows)
}

fn lines(headings: &[&str], rows: &[Vec<String>], colour: bool, width: Option<usize>) -> String {
    let mut widths = column_widths(headings, rows);
    if let Some(width) = width {
        shrink(headings, &mut widths, width);
    }
    let headings = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let mut text = String::new();
    for (index, row) in std::iter::once(&headings).chain(rows).enumerate() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let cell = cut(cell, *width);
            let gap = " ".repeat(width.saturating_sub(cell.chars().count()) + GAP);
            line.push_str(&if 0 < index { coloured(&cell, colour) } else { cell });
            line.push_str(&gap);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Between two columns.
const GAP: usize = 2;

/// What a column that may be cut should keep.
const READABLE: usize = 12;
const READABLE_NAME: usize = 20;
/// What it should keep where columns of [`LATER`] would take its space.
const SHORT_TEXT: usize = 8;
const SHORT_NAME: usize = 10;

fn is_name(heading: &str) -> bool {
    matches!(heading, "NAME" | "OF")
}

/// Columns that are left out first where space is short.
const LEAST: [&str; 8] = ["DISK", "MEM", "ENDED", "EXECUTION", "TRIGGER", "FORMAT", "TOOK", "KIND"];

/// Columns that are left out next, because a part of a time says nothing.
const LATER: [&str; 17] = [
    LOCAL,
    "APP",
    "STARTED",
    "ENABLED",
    "CHANGED",
    "NOTE",
    "COMMAND",
    "REQUEST",
    "ERROR",
    "MESSAGE",
    "LAST RUN",
    "UNTIL",
    "PLANNED FOR",
    "CREATED",
    "NEXT",
    "FIRES",
    "TIME",
];

/// Columns that are never cut: a part of a guid, state or time cannot be used.
const UNCUT: [&str; 18] = [
    "GUID",
    "SCHEDULE",
    "STATE",
    "LAST RUN",
    "NEXT",
    LOCAL,
    "PLANNED FOR",
    "CREATED",
    "STARTED",
    "ENDED",
    "FIRES",
    "TIME",
    "UNTIL",
    "TOOK",
    "KIND",
    "TRIGGER",
    "MEM",
    "DISK",
];

/// Whether a column is never cut.
fn is_uncut(heading: &str) -> bool {
    UNCUT.contains(&heading)
}

/// Whether a column says little when it is cut. Such columns are cut last, if at all.
fn is_whole(heading: &str) -> bool {
    heading == "ENABLED" || is_uncut(heading)
}

fn column_widths(headings: &[&str], rows: &[Vec<String>]) -> Vec<usize> {
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(headings[column].len())
    };
    (0..headings.len()).map(widest).collect()
}

fn whole_width(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// Names are cut after the text beside them, and what is short anyway last. Takes from the widest columns
/// first, and of equal ones from the last.
fn shrink(headings: &[&str], widths: &mut [usize], width: usize) {
    cut_widest(headings, widths, width, READABLE, |heading| !is_name(heading) && !is_whole(heading));
    cut_widest(headings, widths, width, COLUMN_MIN, |heading| !is_whole(heading));
    cut_widest(headings, widths, width, COLUMN_MIN, |heading| !is_uncut(heading));
}

fn cut_widest(
    headings: &[&str],
    widths: &mut [usize],
    width: usize,
    least: usize,
    may_be_cut: impl Fn(&str) -> bool,
) {
    for _ in width..whole_width(widths) {
        let columns = widths.iter_mut().zip(headings).filter(|(_, heading)| may_be_cut(heading));
        let widest = columns.map(|(width, _)| width).max().filter(|widest| least < **widest);
        let Some(widest) = widest else { break };
        *widest -= 1;
    }
}

/// Where space is short, a time is shown without its year and seconds: `11-28 02:00`, `11-28 03:00+01:00`.
fn compact_time(cell: &mut String) {
    if matches!(cell.len(), 20 | 25) && Timestamp::parse(cell).is_some() {
        let offset = cell[19..].trim_end_matches('Z');
        *cell = format!("{} {}{offset}", &cell[5..10], &cell[11..16]);
    }
}

/// Whether a text can be the beginning of a guid, as tables show it, or a whole one.
pub(crate) fn is_short_guid(text: &str) -> bool {
    (SHORT_GUID..=36).contains(&text.len())
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}

/// Whether a text has the form of a guid.
pub(crate) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Colours a state; leaves other text as it is.
pub(crate) fn coloured(text: &str, colour: bool) -> String {
    // Also in words: `failed 3 h ago`.
    let is_of = |state: &str| {
        let words = text.strip_prefix(&state.to_lowercase());
        text == state || words.is_some_and(|rest| rest.starts_with(' ') && rest.ends_with(" ago"))
    };
    match text {
        _ if colour && is_of("SUCCEEDED") => format!("{GREEN}{text}{PLAIN}"),
        _ if colour && is_of("FAILED") => format!("{RED}{text}{PLAIN}"),
        _ => text.to_owned(),
    }
}

/// A text field of an object; empty if it is missing.
pub(crate) fn field<'a>(resource: &'a Value, name: &str) -> &'a str {
    resource[name].as_str().unwrap_or_default()
}

/// A time field, to the second. Empty for Go's zero time too, which OCF Scheduler sends where there is none.
pub(crate) fn instant(resource: &Value, name: &str) -> String {
    let text = field(resource, name);
    if text.starts_with("0001-01-01T00:00:00") {
        return String::new();
    }
    match Timestamp::parse(text).and_then(|instant| Timestamp::from_seconds(instant.seconds())) {
        Some(instant) => instant.to_string(),
        None => text.to_owned(),
    }
}

/// How long an execution took; empty if not known.
pub(crate) fn duration(execution: &Value) -> String {
    let time = |name| Timestamp::parse(field(execution, name));
    match (time("execution_start_time"), time("execution_end_time")) {
        (Some(start), Some(end)) => span(end.since(start)),
        _ => String::new(),
    }
}

/// A duration for people, for example `0.3 s` or `1 min 5 s`.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", span.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A setting in seconds, in the largest units that say it exactly enough: `1 h`, `1 min 30 s`.
pub(crate) fn span_of_seconds(seconds: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, unit) in units {
        if length <= rest {
            parts.push(format!("{} {unit}", rest / length));
            rest %= length;
        }
    }
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_server_cannot_control_a_terminal() {
        let hostile = "a\x1b[2Jb\u{9b}31mc\r\nd\u{202e}e\u{7f}";
        assert_eq!(escaped(hostile), r"a\u{1b}[2Jb\u{9b}31mc\r\nd\u{202e}e\u{7f}");
        let value = serde_json::json!({ "name": hostile, "auth_header": "s3cret" });
        let text = json(&value);
        assert!(text.chars().all(|c| c == '\n' || is_harmless(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), serde_json::json!({ "name": hostile }));
    }

    #[test]
    fn output_of_a_task_cannot_control_a_terminal_wherever_its_pieces_end() {
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
        assert_eq!(table.text(false, None), "NAME    STATE   GUID\ngrößer  FAILED  1\nb               2\n");
        assert!(table.text(true, None).contains("\x1b[31mFAILED\x1b[0m  1"));
    }

    #[test]
    fn a_table_fits_a_terminal_unless_it_is_wide() {
        let guid = "8d3a51c0-4f0e-4a53-9c52-0d8a3f1f6b11";
        let mut table = Table::new(&["NAME", "GUID", "COMMAND"]).with_more(&["MORE"]);
        table.row(&["nightly", guid, "bin/report --all --and, \"more\"", "x"]);
        let narrow = "NAME     GUID      COMMAND\nnightly  8d3a51c0  bin/report …\n";
        assert_eq!(table.text(false, Some(31)), narrow);
        assert!(table.text(false, Some(200)).ends_with("\"more\"\n"));
        // Columns keep a width at which something can be read.
        assert_eq!(table.text(false, Some(3)), "NAME    GUID\nnight…  8d3a51c0\n");
        assert!(table.wide_text(false).contains(guid) && table.wide_text(false).ends_with("  x\n"));
        let csv =
            format!("name,guid,command,more\nnightly,{guid},\"bin/report --all --and, \"\"more\"\"\",x\n");
        assert_eq!(table.csv(), csv);
    }

    #[test]
    fn times_and_states_are_cut_last() {
        let mut table = Table::new(&["NAME", "LAST RUN", "NEXT", "COMMAND"]);
        table.row(&["a-long-name", "succeeded 3 min ago", "2026-11-28T02:00:00Z", "bin/report --all"]);
        assert!(table.text(false, Some(72)).contains("2026-11-28T02:00:00Z"));
        let narrow = table.text(false, Some(56));
        assert!(narrow.contains("a-long-na…  succeeded 3 min ago  11-28 02:00  bin/repor…"), "{narrow}");
    }

    #[test]
    fn what_matters_least_is_left_out_and_names_and_guids_can_be_read() {
        let headings = ["NAME", "LAST RUN", "NEXT", "MEM", "DISK", "GUID", "COMMAND"];
        let mut table = Table::new(&headings);
        let guid = "8d3a51c0-4f0e-4a53-9c52-0d8a3f1f6b11";
        let (name, run, next) = ("produce-monthly-invoices", "succeeded 19 s ago", "2026-11-28T02:00:00Z");
        table.row(&[name, run, next, "1G", "1G", guid, "exec /usr/local/bin/produce --all --verbose"]);
        let cells = |width: usize| -> Vec<String> {
            let text = table.text(false, Some(width));
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
            let words = text.lines().nth(1).unwrap().split("  ").map(|cell| cell.trim().to_owned());
            words.filter(|cell| !cell.is_empty()).collect()
        };
        assert_eq!(cells(100)[3..6], ["1G", "1G", "8d3a51c0"]);
        let in_80 = cells(80);
        assert_eq!(in_80[..4], ["produce-monthly-invoic…", "succeeded 19 s ago", "11-28 02:00", "8d3a51c0"]);
        assert!(cells(50).contains(&"8d3a51c0".to_owned()));
    }

    #[test]
    fn times_and_states_are_whole_or_left_out() {
        let guid = "8d3a51c0-4f0e-4a53-9c52-0d8a3f1f6b11";
        let (time, local) = ("2026-11-28T02:00:00Z", "2026-11-28T03:00:00+01:00");
        let mut jobs =
            Table::new(&["NAME", "APP", "LAST RUN", "NEXT", LOCAL, "MEM", "DISK", "GUID", "COMMAND"]);
        let run = "succeeded 19 min ago";
        jobs.row(&["monthly-invoices", "reports", run, time, local, "1G", "1G", guid, "exec produce --all"]);
        let mut schedules = Table::new(&["OF", "APP", "ENABLED", "NEXT", LOCAL, "EXPRESSION", "GUID"]);
        let expression = "0 9 1-7 * 1-5 (Europe/Berlin)";
        schedules.row(&["job monthly-invoices", "reports", "yes", time, local, expression, guid]);
        let mut history = Table::new(&["STATE", "PLANNED FOR", LOCAL, "STARTED", "TOOK", "GUID", "MESSAGE"]);
        history.row(&["SUCCEEDED", time, local, time, "12 min 3 s", guid, "exit status 0 of the task"]);
        let mut spaces = Table::new(&["NAME", "GUID", "JOBS", "PAUSED", "UNTIL", "NOTE"]);
        spaces.row(&["my-first-space", guid, "12", "yes", time, "until the move is over"]);
        let whole = [run, "11-28 02:00", "11-28 03:00+01:00", "12 min 3 s", "SUCCEEDED", "8d3a51c0"];
        for width in 36..140 {
            for table in [&jobs, &schedules, &history, &spaces] {
                let text = table.text(false, Some(width));
                assert!(text.lines().all(|line| line.chars().count() <= width), "{width}\n{text}");
                let mut lines = text.lines();
                let (headings, row) = (lines.next().unwrap(), lines.next().unwrap());
                for cell in row.split("  ").map(str::trim).filter(|cell| cell.ends_with('…')) {
                    let start = cell.trim_end_matches('…');
                    assert!(!whole.iter().any(|it| it.starts_with(start)), "{width}\n{text}");
                }
                assert!(headings.contains("GUID"), "{width}\n{text}");
            }
        }
        let text = "NAME             LAST RUN              NEXT         GUID\n\
                    monthly-invoic…  succeeded 19 min ago  11-28 02:00  8d3a51c0\n";
        assert_eq!(jobs.text(false, Some(60)), text);
        let text = "OF              ENABLED  NEXT         EXPRESSION    GUID\n\
                    job monthly-i…  yes      11-28 02:00  0 9 1-7 * 1…  8d3a51c0\n";
        assert_eq!(schedules.text(false, Some(60)), text);
    }

    #[test]
    fn csv_keeps_the_places_of_columns() {
        let mut table = Table::new(&["OF", "APP", LOCAL, "GUID"]).with_more(&["MORE"]);
        table.row(&["a", "b", "c", "d", "e"]);
        let table = table.with_place_in_csv("APP", "GUID");
        assert_eq!(table.csv(), "of,guid,app,more,local\na,d,b,e,c\n");
        assert_eq!(table.text(false, None), "OF  APP  LOCAL  GUID\na   b    c      d\n");
    }

    #[test]
    fn local_times_take_space_only_where_there_are_any() {
        let mut table = Table::new(&["NAME", "NEXT", LOCAL]).with_more(&["MORE"]);
        table.row(&["a", "2026-11-28T02:00:00Z", "", "x"]);
        assert_eq!(table.text(false, None), "NAME  NEXT\na     2026-11-28T02:00:00Z\n");
        assert_eq!(
            table.wide_text(false),
            "NAME  NEXT                  MORE\na     2026-11-28T02:00:00Z  x\n"
        );
        assert_eq!(table.csv(), "name,next,more,local\na,2026-11-28T02:00:00Z,x,\n");
        table.row(&["b", "2026-11-28T02:00:00Z", "2026-11-28T03:00:00+01:00", "y"]);
        assert!(table.text(false, None).ends_with("Z  2026-11-28T03:00:00+01:00\n"));
        assert!(table.text(false, Some(40)).ends_with("b     11-28 02:00  11-28 03:00+01:00\n"));
    }

    #[test]
    fn spans_are_short() {
        let texts = [0, 59, 61, 3725].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(texts, ["0.0 s", "59.0 s", "1 min 1 s", "1 h 2 min"]);
    }
}
