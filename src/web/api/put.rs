//! What a `PUT` says beside the object: whether it made it, replaced it, or found nothing to do.

use super::error::ApiError;
use super::query::Query;
use super::violation::Violation;
use crate::http::{Response, with_header};

/// The header that says what a `PUT` did, or would do.
const HEADER: &str = "X-Scheduler-Change";

/// What a `PUT` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Created,
    Replaced,
    Unchanged,
}

impl Change {
    /// Adds what was done to an answer.
    pub(super) fn told_in(self, answer: Response) -> Response {
        let word = match self {
            Self::Created => "created",
            Self::Replaced => "replaced",
            Self::Unchanged => "unchanged",
        };
        with_header(answer, HEADER, word)
    }
}

/// Whether a `PUT` is only to be judged.
pub(super) fn is_dry_run(query: &Query) -> Result<bool, ApiError> {
    match query.get("dry_run") {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => {
            let detail = "is neither true nor false";
            Err(Violation::new("dry_run", "type", detail, "true or false").into())
        }
    }
}
