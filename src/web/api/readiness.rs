//! `GET /readyz`: whether the database accepts writes, and whether the platform answers.
//!
//! Invariant: however many clients ask, there is one check at a time, and at most one a second, because each
//! writes to the database.

use std::sync::{Mutex, TryLockError};
use std::time::Duration;

use serde::Serialize;

use super::Api;
use super::error::ApiError;
use super::page::to_json;
use crate::base::mutex::lock;
use crate::http::{Response, respond_with};
use crate::platform::PlatformError;
use crate::store::StoreError;

/// How long a result is reused.
const HOLDS_FOR: Duration = Duration::from_secs(1);

/// The result of the last check.
#[derive(Default)]
pub struct Readiness {
    last: Mutex<Option<Look>>,
    looking: Mutex<()>,
}

#[derive(Debug, Clone)]
struct Look {
    /// When the check began, on the monotonic clock.
    at: Duration,
    database: Result<(), StoreError>,
    platform: Result<(), PlatformError>,
}

impl Readiness {
    /// The last result while it is fresh, otherwise a new one. While another thread checks, this returns the
    /// last result, unless there is none.
    fn now(&self, now: Duration, look: impl FnOnce() -> Look) -> Look {
        let known = self.last();
        let holds = |look: &Look| now.checked_sub(look.at).is_none_or(|age| age < HOLDS_FOR);
        if let Some(known) = known.clone().filter(holds) {
            return known;
        }
        let _looking = match (self.looking.try_lock(), known) {
            (Ok(looking), _) => looking,
            (Err(TryLockError::WouldBlock), Some(known)) => return known,
            (Err(_), _) => lock(&self.looking),
        };
        if let Some(known) = self.last().filter(holds) {
            return known;
        }
        let look = look();
        *lock(&self.last) = Some(look.clone());
        look
    }

    fn last(&self) -> Option<Look> {
        lock(&self.last).clone()
    }
}

impl Api {
    pub(in crate::web) fn ready(&self) -> Result<Response, ApiError> {
        #[derive(Serialize)]
        struct Ready {
            status: &'static str,
            database: &'static str,
            platform: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            platform_fault: Option<String>,
        }
        let at = self.clock.monotonic();
        let look = self.readiness.now(at, || Look {
            at,
            database: self.store.check_writable(),
            platform: self.auth.check_platform(),
        });
        look.database?;
        // Reported, but the service stays ready: schedules fire, and waiting work is done later.
        let (platform, platform_fault) = match look.platform {
            Ok(()) => ("ok", None),
            Err(PlatformError::Misconfigured { cause }) => ("misconfigured", Some(cause)),
            // Anybody may ask, but not everybody may learn what the network says about internal servers.
            Err(_) => ("unavailable", None),
        };
        let ready = Ready { status: "ok", database: "ok", platform, platform_fault };
        Ok(respond_with(200, "application/json", to_json(&ready)?))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn an_answer_is_reused_for_a_second_even_if_it_is_a_refusal() {
        let readiness = Readiness::default();
        let looks = Cell::new(0);
        let ask = |ms: u64| {
            let at = Duration::from_millis(ms);
            readiness.now(at, || {
                looks.set(looks.get() + 1);
                let database = Err(StoreError::Unavailable(looks.get().to_string()));
                Look { at, database, platform: Ok(()) }
            });
            looks.get()
        };
        assert_eq!([ask(5000), ask(5000), ask(5999), ask(6000), ask(6001), ask(7500)], [1, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn concurrent_checks_get_the_last_answer_without_waiting() {
        let readiness = Readiness::default();
        let look = |database| Look { at: Duration::ZERO, database, platform: Ok(()) };
        readiness.now(Duration::ZERO, || look(Ok(())));
        let later = Duration::from_secs(10);
        let outer = readiness.now(later, || {
            let inner = readiness.now(later, || panic!("one look at a time"));
            assert_eq!(inner.database, Ok(()), "that of the last look");
            look(Err(StoreError::Conflict))
        });
        assert_eq!(outer.database, Err(StoreError::Conflict));
    }
}
