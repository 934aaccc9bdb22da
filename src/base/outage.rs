//! Something that everything needs is away: the log says so once, then once a minute with a count, and once when it is back.
//!
//! Whoever meets the outage reports it here and keeps its own line at `debug`.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use log::{Level, info, warn};

use super::clock::since_start;

/// The time between two lines about one outage.
const REPEAT: Duration = Duration::from_secs(60);
/// The outage is over when nothing has failed for so long. What fails is tried again more often than that.
const QUIET: Duration = Duration::from_secs(5);

/// The database: away, locked, or on a full disk.
pub static DATABASE: Outage = Outage::new("the database");
/// Cloud Foundry, or what stands for it.
pub static PLATFORM: Outage = Outage::new("the platform");

/// One thing that can be away.
pub struct Outage {
    what: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When it failed last; `None`: it is not away.
    failed_at: Option<Duration>,
    /// When the log last spoke of it.
    told_at: Option<Duration>,
    /// The log says that it is away.
    is_told: bool,
    /// What has failed since the log last spoke of it.
    failures: u64,
}

impl Outage {
    const fn new(what: &'static str) -> Self {
        let state = State { failed_at: None, told_at: None, is_told: false, failures: 0 };
        Self { what, state: Mutex::new(state) }
    }

    /// Something failed because of it, and will be tried again.
    pub fn failed(&self, cause: &dyn Display) {
        let told = self.lock().fail(since_start());
        if let Some(failures) = told {
            let what = self.what;
            warn!(failures, cause:%; "{what} is not available, what needs it is tried again");
        }
    }

    /// It did something.
    pub fn worked(&self) {
        if self.lock().work(since_start()) {
            let what = self.what;
            info!("{what} is available again");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How many failures the log is to speak of now; `None`: it has done so within the minute.
    fn fail(&mut self, now: Duration) -> Option<u64> {
        self.failed_at = Some(now);
        self.failures += 1;
        if self.told_at.is_some_and(|told_at| now < told_at + REPEAT) {
            return None;
        }
        self.told_at = Some(now);
        self.is_told = true;
        Some(std::mem::take(&mut self.failures))
    }

    /// Whether the log is to say that it is over.
    fn work(&mut self, now: Duration) -> bool {
        match self.failed_at {
            Some(failed_at) if failed_at + QUIET <= now => {
                self.failed_at = None;
                self.failures = 0;
                std::mem::take(&mut self.is_told)
            }
            _ => false,
        }
    }
}

/// The level of a line about an error that may be part of an outage: then it is for those who look closely.
pub const fn level(is_outage: bool) -> Level {
    if is_outage { Level::Debug } else { Level::Warn }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_then_once_a_minute_with_a_count_and_once_when_it_is_over() {
        let mut state = State::default();
        let mut told = Vec::new();
        for tenths in 0..1500 {
            let now = Duration::from_millis(100 * tenths);
            // Others may succeed meanwhile: reads, for example, while the disk is full.
            assert!(!state.work(now));
            if let Some(failures) = state.fail(now) {
                told.push((now.as_secs(), failures));
            }
        }
        assert_eq!(told, [(0, 1), (60, 600), (120, 600)]);
        assert!(!state.work(Duration::from_secs(151)), "just now it failed");
        assert!(state.work(Duration::from_secs(155)));
        assert!(!state.work(Duration::from_secs(156)), "once");
        // One that comes and goes is no more than two lines a minute.
        assert_eq!(state.fail(Duration::from_secs(157)), None);
        assert!(!state.work(Duration::from_secs(170)), "what was not told does not end");
        assert_eq!(state.fail(Duration::from_secs(181)), Some(1));
    }
}
