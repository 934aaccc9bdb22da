//! `GET /readyz`: whether the database takes writes, and whether the platform answers.
//!
//! Invariant: however many ask, there is one look at a time, and at most one a second, for each writes to the
//! database.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use serde::Serialize;

use super::Api;
use super::error::ApiError;
use super::page::to_json;
use crate::http::{Response, respond_with};
use crate::platform::PlatformError;
use crate::store::StoreError;

/// How long an answer holds.
const HOLDS_FOR: Duration = Duration::from_secs(1);

/// What was seen at the last look.
#[derive(Default)]
pub struct Readiness {
    last: Mutex<Option<Look>>,
    looking: Mutex<()>,
}

#[derive(Debug, Clone)]
struct Look {
    /// On the monotonic clock, when it began.
    at: Duration,
    database: Result<(), StoreError>,
    platform: Result<(), PlatformError>,
}

impl Readiness {
    /// The last look while it holds, else another. Whoever asks while somebody looks gets the last one,
    /// unless it is the first.
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        // Reported, yet no reason to be unready: schedules go on, and what waits is done later.
        let (platform, platform_fault) = match look.platform {
            Ok(()) => ("ok", None),
            Err(PlatformError::Misconfigured { cause }) => ("misconfigured", Some(cause)),
            // Anybody may ask, and what the network says of servers within is not for everybody.
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
    fn an_answer_holds_for_a_second_also_when_it_is_a_refusal() {
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
    fn who_asks_while_somebody_looks_gets_the_last_answer_and_does_not_wait() {
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
