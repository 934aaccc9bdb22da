//! Why a command did not do what it was asked, and the exit status that scripts see.

use std::fmt;

/// Why a command did not do what it was asked. Each has a text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The service understood and refused: a name that is taken, an expression that is not valid.
    Refused(String),
    /// The command line, or a setting, is wrong.
    Usage(String),
    /// There is no such thing, or more than one that is meant.
    NotFound(String),
    /// No token, one that is not accepted, or no role in the space.
    Unauthorized(String),
    /// The service, or what it needs, cannot be reached or is in trouble; later it may be different.
    Unavailable(String),
}

/// The exit statuses, with what they mean. The help shows them.
pub const EXIT_STATUSES: [(u8, &str); 6] = [
    (0, "done; of run --wait: the execution SUCCEEDED"),
    (1, "of run --wait: the execution FAILED; else: refused, for example a name that is taken"),
    (2, "the command line or a setting is wrong"),
    (3, "there is no such thing, or a name means several"),
    (4, "no token, one that is not accepted, or no role in the space"),
    (5, "the service cannot be reached, is in trouble, or asks to come later"),
];

impl Failure {
    /// The exit status for it.
    pub const fn exit_status(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
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
        | Self::Unavailable(text)) = self;
        f.write_str(text)
    }
}
