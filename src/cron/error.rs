//! Why an expression was refused: where, what is wrong, and what would be right.

use std::fmt;

/// Why an expression was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// `second`, `minute`, `hour`, `day-of-month`, `month`, `day-of-week` or `year`; `time zone`, `@every` or
    /// `descriptor`; `None` if it concerns the whole expression.
    pub field: Option<&'static str>,
    /// The number of the field in the expression, from 1.
    pub number: Option<usize>,
    /// The refused text; empty if something is missing.
    pub value: String,
    /// For example `0-59`.
    pub valid_range: Option<String>,
    /// The start of `value`, in bytes of the expression without surrounding blanks.
    pub offset: Option<usize>,
    /// The exact place, in characters of the whole text from 0: at `value` or inside it.
    pub position: usize,
    /// The number of characters from `position` on; 0 if something is missing there.
    pub length: usize,
    /// What is wrong, for example `60 is beyond 59`.
    pub message: String,
    /// What would be right there.
    pub expected: String,
}

impl ParseError {
    /// The kind of fault, as answers of the API name it.
    pub const CODE: &'static str = "parse_error";

    /// The prefix and the field `timezone` both name a zone.
    pub(super) fn two_zones(text: &str) -> Self {
        let trimmed = text.trim_start();
        let start = trimmed.find('=').map_or(0, |it| it + 1);
        let name = trimmed[start..].split(char::is_whitespace).next().unwrap_or("");
        Self {
            field: Some("time zone"),
            number: None,
            value: name.to_owned(),
            valid_range: None,
            offset: Some(start),
            position: text.len() - trimmed.len() + start,
            length: name.chars().count(),
            message: "the field timezone names a zone too".to_owned(),
            expected: "a zone in the expression or in the field timezone, not in both".to_owned(),
        }
    }
}

impl fmt::Display for ParseError {
    /// For example `in field 1 (minute), at character 1: 60 is beyond 59`. Characters count from 1 here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.field, self.number) {
            (Some(field), Some(number)) => write!(f, "in field {number} ({field}), ")?,
            (Some(field), None) => write!(f, "in the {field}, ")?,
            (None, _) => {}
        }
        write!(f, "at character {}: {}", self.position + 1, self.message)
    }
}

impl std::error::Error for ParseError {}
