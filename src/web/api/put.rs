//! What a `PUT` says beside the object: whether it made it, replaced it, or found nothing to do.

use crate::http::{Response, with_header};

/// The header that says what a `PUT` did, or would do.
const HEADER: &str = "X-Scheduler-Change";
/// The switch of the query with which a `PUT` is judged and nothing is written.
pub(super) const DRY_RUN: &str = "dry_run";

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
