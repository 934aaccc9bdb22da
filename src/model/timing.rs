//! When a schedule fires: all that clients say of it.

use super::{Dialect, Timestamp};

/// When a schedule fires. `crate::fire_times` computes the instants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// The cron expression, as the client gave it.
    pub expression: String,
    /// How it is read.
    pub dialect: Dialect,
    /// The IANA name of the zone in which it is read; `None`: UTC, or the one that the expression names.
    pub timezone: Option<String>,
    /// It fires from here on; `None`: at once.
    pub starts_at: Option<Timestamp>,
    /// It fires up to here, this instant included; `None`: without end.
    pub ends_at: Option<Timestamp>,
}

impl Timing {
    /// An expression without anything else.
    pub fn new(expression: impl Into<String>, dialect: Dialect) -> Self {
        Self { expression: expression.into(), dialect, timezone: None, starts_at: None, ends_at: None }
    }
}

/// All that clients say of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Whether it fires.
    pub enabled: bool,
    /// When it fires.
    pub timing: Timing,
    /// Its executions are due up to so many seconds after their fire time, from 0 to 3600.
    pub jitter_seconds: u32,
    /// What becomes of missed fire times; `None`: what the setting says.
    pub misfire_policy: Option<MisfirePolicy>,
    /// For people; at most 1,000 characters.
    pub description: Option<String>,
    /// What a client calls it by, unique among the schedules of its job or call; 1 to 63 characters.
    pub key: Option<String>,
}

impl Definition {
    /// One that is enabled, without anything but its times.
    pub fn new(timing: Timing) -> Self {
        Self { enabled: true, timing, jitter_seconds: 0, misfire_policy: None, description: None, key: None }
    }
}

/// What becomes of fire times that nothing served in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MisfirePolicy {
    /// They are passed over.
    Skip,
    /// One run stands for all of them.
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
