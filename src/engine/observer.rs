//! Reads those values of `/metrics` that come from the database, on a separate thread.
//!
//! Invariant: however often `/metrics` is scraped, the database runs one query at a time, and at most one a
//! second. A scrape waits at most half a second. Values that do not arrive in time are left out; stale ones
//! are never shown.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::debug;

use crate::base::clock::Clock;
use crate::base::metrics::Readings;
use crate::base::stop::Stop;
use crate::store::StoreError;

/// How long a reading, or a failure to read, is reused.
const AGE_MAX: Duration = Duration::from_secs(1);
/// How long a scrape waits for a reading.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// The last reading. Shared by the reading thread and the scrapes.
pub struct Observer {
    clock: Arc<dyn Clock>,
    latest: Mutex<Latest>,
    changed: Condvar,
    ask: Sender<()>,
    asked: Receiver<()>,
}

#[derive(Default)]
struct Latest {
    /// `None`: reading failed.
    readings: Option<Readings>,
    /// When it was read, in monotonic time; `None`: never.
    read_at: Option<Duration>,
    /// The number of readings so far.
    count: u64,
    /// Whether a scrape has timed out waiting for the current reading. If so, others do not wait for it.
    is_late: bool,
}

impl Observer {
    /// Creates an observer without a reading.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let (ask, asked) = bounded(1);
        Self { clock, latest: Mutex::default(), changed: Condvar::new(), ask, asked }
    }

    /// A reading at most a second old; `None`: the database did not answer in time.
    pub fn readings(&self) -> Option<Readings> {
        let latest = self.lock();
        let now = self.clock.monotonic();
        if latest.read_at.is_some_and(|at| now < at + AGE_MAX) {
            return latest.readings;
        }
        // If the channel is full, the thread is about to read anyway.
        let _ = self.ask.try_send(());
        if latest.is_late {
            return None;
        }
        let before = latest.count;
        let (mut latest, waited) = self
            .changed
            .wait_timeout_while(latest, WAIT_MAX, |latest| latest.count == before)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            latest.is_late = true;
            return None;
        }
        latest.readings
    }

    /// Reads whenever a scrape asks, until `stop` closes.
    pub fn run(&self, stop: &Stop, read: impl Fn() -> Result<Readings, StoreError>) {
        loop {
            select! {
                recv(stop) -> _ => return,
                recv(self.asked) -> asked => if asked.is_err() { return },
            }
            let readings = read()
                .inspect_err(|err| debug!(cause:% = err; "reading the database for /metrics failed"))
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
    fn many_readings_within_a_second_are_one_query() {
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
                // If each scrape waited, this would take minutes.
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
