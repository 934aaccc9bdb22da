//! A rule that a request breaks, in words for people and programs.

use std::fmt;

use serde::Serialize;

use crate::cron::ParseError;

/// A rule that a request breaks.
#[derive(Debug, Clone, Serialize)]
pub(in crate::web) struct Violation {
    /// Where: a field of the body or of the query, a header, or `body`, `path`, `method` as a whole.
    pub(in crate::web) field: &'static str,
    /// What is wrong there, so that it reads on after the field: `is blank`.
    pub(in crate::web) detail: String,
    /// Which rule that breaks, for programs: of a few words that do not change.
    pub(in crate::web) rule: &'static str,
    /// What would be right.
    pub(in crate::web) expected: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(in crate::web) place: Option<Place>,
    /// The cron parser's account, when the field is an expression; `application/json` shows more of it.
    #[serde(skip)]
    pub(in crate::web) parse_error: Option<Box<ParseError>>,
}

/// Where in the field.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(in crate::web) enum Place {
    /// In a text of JSON; both from 1, the column in bytes.
    Json { line: usize, column: usize },
    /// In a cron expression: which of its fields, and the character, from 1.
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

    /// A cron expression that was not understood.
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
