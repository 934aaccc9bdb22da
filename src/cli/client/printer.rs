//! Prints results: a table for people, or JSON and CSV for programs.

use std::cell::RefCell;
use std::io;

use serde_json::Value;

use super::failure::Failure;
use crate::cli::arguments::Arguments;
use crate::cli::output::{self, Table, field, json, json_line};

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// A table as wide as the terminal.
    Table,
    /// A table with all columns and nothing truncated.
    Wide,
    Json,
    /// One object on each line.
    JsonLines,
    /// The columns of [`Format::Wide`].
    Csv,
}

pub(in crate::cli) struct Printer {
    format: Format,
    colour: bool,
    /// The number of columns of the terminal; `None` if standard output is not a terminal.
    width: Option<usize>,
    /// Why output could not be written.
    fault: RefCell<Option<io::Error>>,
}

impl Printer {
    pub(super) fn of(arguments: &Arguments) -> Self {
        let format = match arguments.flag("output") {
            Some("json") => Format::Json,
            Some("jsonl") => Format::JsonLines,
            Some("csv") => Format::Csv,
            Some("wide") => Format::Wide,
            _ if arguments.has("wide") => Format::Wide,
            _ => Format::Table,
        };
        let (colour, width) = (output::wants_colour(), output::terminal_width());
        Self { format, colour, width, fault: RefCell::default() }
    }

    /// Fails if something could not be written.
    pub(super) fn check_written(&self) -> Result<(), Failure> {
        match self.fault.take() {
            Some(err) => Err(Failure::unwritten(&err)),
            None => Ok(()),
        }
    }

    /// Prints information for people on standard error.
    pub(super) fn report(&self, lines: &[String]) {
        for line in lines {
            output::print_error(&format!("{}\n", output::escaped(line)));
        }
    }

    /// Whether results are for people rather than for programs.
    pub(super) fn is_for_people(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    /// Prints objects as an array or a table. Without objects, the message `none` replaces the table.
    pub(super) fn show_all(&self, resources: Vec<Value>, table: impl FnOnce(&[Value]) -> Table, none: &str) {
        match self.format {
            Format::Json => self.print(&json(&Value::Array(resources))),
            Format::JsonLines => {
                let lines: String = resources.iter().map(json_line).collect();
                self.print(&lines);
            }
            Format::Csv => self.print(&table(&resources).csv()),
            Format::Table | Format::Wide if resources.is_empty() => {
                output::print_error(&format!("{}\n", output::escaped(none)));
            }
            Format::Table => self.print(&table(&resources).text(self.colour, self.width)),
            Format::Wide => self.print(&table(&resources).wide_text(self.colour)),
        }
    }

    /// Prints an object, or a table with one row.
    pub(super) fn show(&self, resource: Value, table: impl FnOnce(&[Value]) -> Table) {
        match self.format {
            Format::Json => self.show_object(&resource),
            _ => self.show_all(vec![resource], table, ""),
        }
    }

    /// Prints an object as JSON.
    pub(super) fn show_object(&self, resource: &Value) {
        let text = if self.format == Format::Json { json(resource) } else { json_line(resource) };
        self.print(&text);
    }

    /// Prints text for people.
    pub(super) fn print_lines(&self, lines: &[String]) {
        let lines: String = lines.iter().map(|line| format!("{}\n", output::escaped(line))).collect();
        self.print(&lines);
    }

    /// Prints an object as JSON, or `sentence`.
    pub(super) fn show_or_say(&self, resource: &Value, sentence: &str) {
        self.show_or_say_lines(resource, &[sentence.to_owned()]);
    }

    /// Prints an object as JSON, or `lines`.
    pub(super) fn show_or_say_lines(&self, resource: &Value, lines: &[String]) {
        if self.is_for_people() {
            self.print_lines(lines);
        } else {
            self.show_object(resource);
        }
    }

    /// Prints how an execution ended, as JSON or CSV or as a line with state, duration and message.
    pub(super) fn show_end(&self, execution: &Value, title: &str, table: impl FnOnce(&[Value]) -> Table) {
        if !self.is_for_people() {
            return self.show(execution.clone(), table);
        }
        let state = output::coloured(&output::escaped(field(execution, "state")), self.colour);
        let took = match output::duration(execution) {
            took if took.is_empty() => took,
            took => format!(" in {took}"),
        };
        let message = match output::escaped(field(execution, "message")) {
            message if message.is_empty() => message,
            message => format!(": {message}"),
        };
        self.print(&format!("{} {state}{took}{message}\n", output::escaped(title)));
    }

    fn print(&self, text: &str) {
        if let Err(err) = output::print(text.as_bytes()) {
            self.fault.replace(Some(err));
        }
    }
}
