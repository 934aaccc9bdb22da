//! Why a command failed, and its exit status.

use std::{fmt, io};

/// Why a command failed, each with a message for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The service rejected the request, for example an invalid expression or a name that is taken.
    Refused(String),
    /// The command line or a setting is wrong.
    Usage(String),
    /// Not found, or the name is ambiguous.
    NotFound(String),
    /// No token, an invalid token, or no role in the space.
    Unauthorized(String),
    /// The service cannot be reached or has an error of its own. A retry may succeed.
    Unavailable(String),
    /// The output cannot be written, for example because the disk is full.
    Output(String),
}

/// The exit statuses, as the help shows them.
pub const EXIT_STATUSES: [(u8, &str); 8] = [
    (0, "success; for run --wait: the execution SUCCEEDED"),
    (
        1,
        "failed: the execution of run --wait (or it was SKIPPED); the start of serve or standalone; backup, \
         restore or import; the check of check-config --connect or health; or the output cannot be written",
    ),
    (2, "the command line or a setting is wrong; for plan: there is something to change"),
    (3, "not found, or the name is ambiguous"),
    (4, "no token, an invalid token, or no role in the space"),
    (5, "the service cannot be reached, has an error, or asks to retry later"),
    (6, "rejected, for example because a name is taken or an expression is not valid"),
    (130, "interrupted by Ctrl-C"),
];

impl Failure {
    /// Standard output cannot be written.
    pub fn unwritten(err: &io::Error) -> Self {
        Self::Output(format!("cannot write the output: {err}"))
    }

    /// See [`EXIT_STATUSES`].
    pub const fn exit_status(&self) -> u8 {
        match self {
            Self::Output(_) => 1,
            Self::Refused(_) => 6,
            Self::Usage(_) => 2,
            Self::NotFound(_) => 3,
            Self::Unauthorized(_) => 4,
            Self::Unavailable(_) => 5,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Refused(text)
        | Self::Usage(text)
        | Self::NotFound(text)
        | Self::Unauthorized(text)
        | Self::Unavailable(text)
        | Self::Output(text)) = self;
        f.write_str(text)
    }
}
