//! When a schedule fires, as clients define it.

use super::{Dialect, Timestamp};

/// When a schedule fires. `crate::fire_times` computes the instants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// The cron expression, as the client gave it.
    pub expression: String,
    /// The dialect of the expression.
    pub dialect: Dialect,
    /// The IANA name of the time zone; `None`: UTC, or the zone that the expression names.
    pub timezone: Option<String>,
    /// No fire time is before this instant; `None`: no limit.
    pub starts_at: Option<Timestamp>,
    /// No fire time is after this instant; `None`: no limit.
    pub ends_at: Option<Timestamp>,
}

impl Timing {
    /// Only an expression.
    pub fn new(expression: impl Into<String>, dialect: Dialect) -> Self {
        Self { expression: expression.into(), dialect, timezone: None, starts_at: None, ends_at: None }
    }
}

/// What clients set on a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Whether it fires.
    pub enabled: bool,
    /// When it fires.
    pub timing: Timing,
    /// Its executions are due up to this long after their fire time, from 0 to 3600.
    pub jitter_seconds: u32,
    /// What happens to missed fire times; `None`: the setting `MISFIRE_POLICY`.
    pub misfire_policy: Option<MisfirePolicy>,
    /// For people; at most 1,000 characters.
    pub description: Option<String>,
    /// A client's own name for it, unique among the schedules of its job or call; 1 to 63 characters.
    pub key: Option<String>,
}

impl Definition {
    /// An enabled schedule with these times and defaults.
    pub fn new(timing: Timing) -> Self {
        Self { enabled: true, timing, jitter_seconds: 0, misfire_policy: None, description: None, key: None }
    }
}

/// What happens to missed fire times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MisfirePolicy {
    /// They are skipped.
    Skip,
    /// They coalesce into one run.
    Once,
    /// Each runs, the oldest first.
    All,
}

impl MisfirePolicy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Skip, Self::Once, Self::All];

    /// Its name for clients, in settings and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Once => "once",
            Self::All => "all",
        }
    }

    /// The policy of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == name)
    }
}
