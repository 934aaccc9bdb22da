//! A thread that exists only while there is work for it.
//!
//! Invariant: at most one runs at a time, and its end is noticed even if it panics or could not be started.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use log::warn;

/// Starts the thread and waits for it. Clones share it.
#[derive(Clone, Default)]
pub struct OnDemand(Arc<Shared>);

#[derive(Default)]
struct Shared {
    is_running: Mutex<bool>,
    /// Notified when the thread ends.
    ended: Condvar,
}

impl OnDemand {
    /// Runs `work` on a thread with this name, unless one is running. If no thread can be started, the log
    /// says so, and `work` is dropped.
    pub fn start(&self, name: &'static str, work: impl FnOnce() + Send + 'static) {
        let mut is_running = self.0.lock();
        if *is_running {
            return;
        }
        *is_running = true;
        drop(is_running);
        let running = Running(Arc::clone(&self.0));
        let work = move || {
            let _running = running;
            work();
        };
        if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(work) {
            warn!(thread = name, cause:% = error; "a thread could not be started");
        }
    }

    /// Whether a thread is running.
    pub fn is_running(&self) -> bool {
        *self.0.lock()
    }

    /// Waits until no thread is running, at most for `patience`.
    pub fn wait(&self, patience: Duration) {
        let waited = self.0.ended.wait_timeout_while(self.0.lock(), patience, |is_running| *is_running);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Dropped when the thread ends, however it ends.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.lock() = false;
        self.0.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    #[test]
    fn one_thread_runs_at_a_time_and_a_panic_ends_it_too() {
        let on_demand = OnDemand::default();
        let (go, gate) = bounded::<()>(0);
        on_demand.start("first", move || gate.recv().unwrap());
        on_demand.start("second", || panic!("the first is running"));
        on_demand.wait(Duration::from_millis(1));
        go.send(()).unwrap();
        on_demand.wait(Duration::from_secs(30));
        on_demand.start("third", || panic!("as the test wants"));
        on_demand.wait(Duration::from_secs(30));
        let (done, seen) = bounded(1);
        on_demand.start("fourth", move || done.send(()).unwrap());
        seen.recv_timeout(Duration::from_secs(30)).unwrap();
    }
}
