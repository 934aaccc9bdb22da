//! A rule that a request breaks, for people and programs.

use std::fmt;

use serde::Serialize;

use crate::cron::ParseError;

/// A rule that a request breaks.
#[derive(Debug, Clone, Serialize)]
pub(in crate::web) struct Violation {
    /// The place: a field of the body or query, a header, or `body`, `path` or `method` as a whole.
    pub(in crate::web) field: &'static str,
    /// What is wrong, as the end of a sentence that begins with the field: `is blank`.
    pub(in crate::web) detail: String,
    /// The broken rule, for programs: one of a few words that never change.
    pub(in crate::web) rule: &'static str,
    /// What would be right.
    pub(in crate::web) expected: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(in crate::web) place: Option<Place>,
    /// The cron parser's error, if the field is an expression; `application/json` shows more of it.
    #[serde(skip)]
    pub(in crate::web) parse_error: Option<Box<ParseError>>,
}

/// The position in the field.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(in crate::web) enum Place {
    /// In JSON text; both from 1, the column in bytes.
    Json { line: usize, column: usize },
    /// In a cron expression: its field, and the character, from 1.
    Cron { part: &'static str, position: usize },
}

impl Violation {
    pub(in crate::web) fn new(
        field: &'static str,
        rule: &'static str,
        detail: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self { field, rule, detail: detail.into(), expected: expected.into(), place: None, parse_error: None }
    }

    /// For an invalid cron expression.
    pub(in crate::web) fn of_expression(error: &ParseError) -> Self {
        let place = Place::Cron { part: error.field.unwrap_or("expression"), position: error.position + 1 };
        let detail = format!("is not valid: {error}");
        Self {
            place: Some(place),
            parse_error: Some(Box::new(error.clone())),
            ..Self::new("expression", "cron", detail, error.expected.as_str())
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.detail)
    }
}
