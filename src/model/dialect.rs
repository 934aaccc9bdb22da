//! The dialects of cron expressions.

use std::fmt;

/// How numbers in day-of-week are read. Names mean the same in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Weekdays {
    /// 0 = Sunday to 6 = Saturday, and 7 = Sunday too.
    #[default]
    Unix,
    /// 1 = Sunday to 7 = Saturday.
    Quartz,
}

/// How an expression is read. It is recorded with each schedule when the schedule is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PCF/Tanzu Scheduler and OCF Scheduler 1.x.
    Classic(Weekdays),
    /// OCF Scheduler 2.x.
    Ocf2,
}

impl Default for Dialect {
    fn default() -> Self {
        Self::Classic(Weekdays::Unix)
    }
}

impl Dialect {
    /// The dialect that `CRON_DIALECT` and the API call `name`; `weekdays` is the numbering of `classic`.
    pub fn named(name: &str, weekdays: Weekdays) -> Option<Self> {
        match name {
            "classic" => Some(Self::Classic(weekdays)),
            "ocf2" => Some(Self::Ocf2),
            _ => None,
        }
    }

    /// `classic` or `ocf2`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classic(_) => "classic",
            Self::Ocf2 => "ocf2",
        }
    }

    /// The name in the database, which includes the weekday numbering.
    pub const fn recorded(self) -> &'static str {
        match self {
            Self::Classic(Weekdays::Unix) => "classic",
            Self::Classic(Weekdays::Quartz) => "classic-quartz",
            Self::Ocf2 => "ocf2",
        }
    }

    /// Reads what [`Self::recorded`] wrote.
    pub fn from_recorded(text: &str) -> Option<Self> {
        [Self::Classic(Weekdays::Unix), Self::Classic(Weekdays::Quartz), Self::Ocf2]
            .into_iter()
            .find(|dialect| dialect.recorded() == text)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
