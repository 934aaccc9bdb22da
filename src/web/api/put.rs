//! What a `PUT` did besides returning the object: created it, replaced it, or changed nothing.

use crate::http::{Response, with_header};

/// The header that says what a `PUT` did, or would do.
const HEADER: &str = "X-Scheduler-Change";
/// The query parameter for checking a `PUT` without writing anything.
pub(super) const DRY_RUN: &str = "dry_run";

/// What a `PUT` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Created,
    Replaced,
    Unchanged,
}

impl Change {
    /// Adds the header to an answer.
    pub(super) fn add_header_to(self, answer: Response) -> Response {
        let word = match self {
            Self::Created => "created",
            Self::Replaced => "replaced",
            Self::Unchanged => "unchanged",
        };
        with_header(answer, HEADER, word)
    }
}
