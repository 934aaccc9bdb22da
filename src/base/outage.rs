//! Limits the log during an outage of the database or the platform: one line at its beginning, one a minute
//! with a count of failures, and one at its end.
//!
//! Code that fails because of an outage reports it here, and logs its own line at `debug`.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use log::{Level, info, warn};

use super::clock::since_start;

/// The time between two lines about one outage.
const REPEAT: Duration = Duration::from_secs(60);
/// An outage is over when nothing has failed for this long. Retries are more frequent.
const QUIET: Duration = Duration::from_secs(5);

/// The database is unreachable, locked, or on a full disk.
pub static DATABASE: Outage = Outage::new("the database");
/// Cloud Foundry, or the local platform.
pub static PLATFORM: Outage = Outage::new("the platform");

/// Something that can be unavailable.
pub struct Outage {
    what: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last failure; `None` while it is available.
    failed_at: Option<Duration>,
    /// The last log line.
    logged_at: Option<Duration>,
    /// Whether the outage is in the log, so that its end must be too.
    is_logged: bool,
    /// Failures since the last log line.
    failures: u64,
}

impl Outage {
    const fn new(what: &'static str) -> Self {
        let state = State { failed_at: None, logged_at: None, is_logged: false, failures: 0 };
        Self { what, state: Mutex::new(state) }
    }

    /// Reports a failure that will be retried.
    pub fn failed(&self, cause: &dyn Display) {
        let failures = self.lock().fail(since_start());
        if let Some(failures) = failures {
            let what = self.what;
            warn!(failures, cause:%; "{what} is not available, retrying");
        }
    }

    /// Reports a success.
    pub fn worked(&self) {
        if self.lock().work(since_start()) {
            let what = self.what;
            info!("{what} is available again");
        }
    }

    /// Whether the last attempt failed.
    pub fn is_on(&self) -> bool {
        self.lock().is_on(since_start())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A failure after which nothing was tried is forgotten after a minute.
    fn is_on(&self, now: Duration) -> bool {
        self.is_logged && self.failed_at.is_some_and(|failed_at| now < failed_at + REPEAT)
    }

    /// The number of failures to log now; `None` if the last line is less than a minute old.
    fn fail(&mut self, now: Duration) -> Option<u64> {
        self.failed_at = Some(now);
        self.failures += 1;
        if self.logged_at.is_some_and(|logged_at| now < logged_at + REPEAT) {
            return None;
        }
        self.logged_at = Some(now);
        self.is_logged = true;
        Some(std::mem::take(&mut self.failures))
    }

    /// Whether to log now that the outage is over.
    fn work(&mut self, now: Duration) -> bool {
        match self.failed_at {
            Some(failed_at) if failed_at + QUIET <= now => {
                self.failed_at = None;
                self.failures = 0;
                std::mem::take(&mut self.is_logged)
            }
            _ => false,
        }
    }
}

/// The level for an error: lower if it is part of an outage, which is logged once for all.
pub const fn level(is_outage: bool) -> Level {
    if is_outage { Level::Debug } else { Level::Warn }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_on_from_its_first_failure_until_it_works_or_nothing_is_tried() {
        let at = Duration::from_secs;
        let mut state = State::default();
        assert!(!state.is_on(at(0)));
        state.fail(at(10));
        assert!(state.is_on(at(11)) && !state.is_on(at(71)));
        state.work(at(20));
        assert!(!state.is_on(at(20)));
    }

    #[test]
    fn an_outage_is_logged_once_then_once_a_minute_with_a_count_and_once_when_it_is_over() {
        let mut state = State::default();
        let mut logged = Vec::new();
        for tenths in 0..1500 {
            let now = Duration::from_millis(100 * tenths);
            // Other operations may succeed meanwhile, for example reads while the disk is full.
            assert!(!state.work(now));
            if let Some(failures) = state.fail(now) {
                logged.push((now.as_secs(), failures));
            }
        }
        assert_eq!(logged, [(0, 1), (60, 600), (120, 600)]);
        assert!(!state.work(Duration::from_secs(151)), "just now it failed");
        assert!(state.work(Duration::from_secs(155)));
        assert!(!state.work(Duration::from_secs(156)), "once");
        // An intermittent outage logs at most two lines a minute.
        assert_eq!(state.fail(Duration::from_secs(157)), None);
        assert!(!state.work(Duration::from_secs(170)), "what was not logged does not end");
        assert_eq!(state.fail(Duration::from_secs(181)), Some(1));
    }
}
