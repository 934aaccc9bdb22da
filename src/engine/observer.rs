//! Reads from the database what `/metrics` shows of it, on a thread of its own.
//!
//! Invariant: the database gets one query at a time, at most once a second, however often `/metrics` is
//! scraped. A scrape waits at most half a second. Values that do not arrive in time are left out; no old ones
//! are shown.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::debug;

use crate::base::clock::Clock;
use crate::base::metrics::Readings;
use crate::base::stop::Stop;
use crate::store::StoreError;

/// For how long an answer is good, a failure too.
const AGE_MAX: Duration = Duration::from_secs(1);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// What was read last. Shared by the thread that reads and those that look.
pub struct Observer {
    clock: Arc<dyn Clock>,
    latest: Mutex<Latest>,
    changed: Condvar,
    ask: Sender<()>,
    asked: Receiver<()>,
}

#[derive(Default)]
struct Latest {
    /// `None`: it could not be read.
    readings: Option<Readings>,
    /// When that was, by the monotonic clock; `None`: never.
    read_at: Option<Duration>,
    /// How often it was read.
    count: u64,
    /// Somebody has waited in vain for the reading that is under way: the others need not.
    is_late: bool,
}

impl Observer {
    /// One that has not looked yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let (ask, asked) = bounded(1);
        Self { clock, latest: Mutex::default(), changed: Condvar::new(), ask, asked }
    }

    /// What the database knows, at most a second old; `None`: it does not say it in time.
    pub fn readings(&self) -> Option<Readings> {
        let latest = self.lock();
        let now = self.clock.monotonic();
        if latest.read_at.is_some_and(|at| now < at + AGE_MAX) {
            return latest.readings;
        }
        // Full means that it is about to read anyway.
        let _ = self.ask.try_send(());
        if latest.is_late {
            return None;
        }
        let before = latest.count;
        let (mut latest, waited) = self
            .changed
            .wait_timeout_while(latest, PATIENCE, |latest| latest.count == before)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            latest.is_late = true;
            return None;
        }
        latest.readings
    }

    /// Reads whenever somebody looks, until `stop` closes.
    pub fn run(&self, stop: &Stop, read: impl Fn() -> Result<Readings, StoreError>) {
        loop {
            select! {
                recv(stop) -> _ => return,
                recv(self.asked) -> asked => if asked.is_err() { return },
            }
            let readings = read()
                .inspect_err(|err| debug!(cause:% = err; "the database could not be read for /metrics"))
                .ok();
            let mut latest = self.lock();
            *latest = Latest {
                readings,
                read_at: Some(self.clock.monotonic()),
                count: latest.count + 1,
                is_late: false,
            };
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::thread;

    use super::*;
    use crate::base::clock::ManualClock;
    use crate::base::stop::stop_channel;
    use crate::model::Timestamp;

    fn observer() -> (Arc<ManualClock>, Observer) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_nanos(0)));
        (Arc::clone(&clock), Observer::new(clock))
    }

    #[test]
    fn many_looks_within_a_second_are_one_question() {
        let (clock, observer) = observer();
        let (stopper, stop) = stop_channel();
        let count = Cell::new(0);
        thread::scope(|scope| {
            let (observer, clock) = (&observer, &clock);
            scope.spawn(move || {
                let looks: Vec<_> = (0..9).map(|_| observer.readings().unwrap().running_tasks).collect();
                assert_eq!(looks, [1; 9]);
                clock.set(Timestamp::from_nanos(1_000_000_000));
                assert_eq!(observer.readings().unwrap().running_tasks, 2);
                stopper.stop();
            });
            observer.run(&stop, || {
                count.set(count.get() + 1);
                Ok(Readings { running_tasks: count.get(), ..Readings::default() })
            });
        });
    }

    #[test]
    fn a_database_that_does_not_answer_is_waited_for_once_and_shown_when_it_does() {
        let (clock, observer) = observer();
        let (stopper, stop) = stop_channel();
        let (answer, hanging) = bounded::<()>(0);
        thread::scope(|scope| {
            let (observer, clock) = (&observer, &clock);
            scope.spawn(move || {
                assert_eq!(observer.readings(), None);
                // Were each of these to wait, this would take minutes.
                assert!((0..1000).all(|_| observer.readings().is_none()));
                answer.send(()).unwrap();
                let is_seen = |_| {
                    thread::yield_now();
                    observer.readings().is_some()
                };
                assert!((0..1_000_000).any(is_seen));
                clock.set(Timestamp::from_nanos(1_000_000_000));
                drop(answer);
                assert_eq!(observer.readings(), None, "a failure shows nothing old");
                stopper.stop();
            });
            observer.run(&stop, || match hanging.recv() {
                Ok(()) => Ok(Readings::default()),
                Err(_) => Err(StoreError::Unavailable("gone".to_owned())),
            });
        });
    }
}
