//! Work that may take long, and that is waited for only for a moment.
//!
//! Invariant: the number of its threads is bounded. Work that takes longer goes on, so that the next request
//! finds what it leaves in a cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::bounded;
use log::warn;

/// Starts the threads.
pub struct Impatient {
    running: Arc<AtomicUsize>,
    most: usize,
}

/// A place among those that run, until it is dropped.
pub struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Impatient {
    /// At most `most` threads at once.
    pub fn new(most: usize) -> Self {
        Self { running: Arc::default(), most }
    }

    /// A place for work on the thread of the caller; `None`: there are too many.
    pub fn enter(&self) -> Option<Running> {
        let running = Running(Arc::clone(&self.running));
        (running.0.fetch_add(1, Ordering::AcqRel) < self.most).then_some(running)
    }

    /// The result of `work`, which runs on a thread with this name. `None`: it takes longer than `patience`,
    /// it panicked, or there are too many threads.
    pub fn ask<T: Send + 'static>(
        &self,
        name: &'static str,
        patience: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let running = self.enter()?;
        let (done, result) = bounded(1);
        let work = move || {
            let result = {
                // Gives the place up before the result is out, so that the next request finds it free.
                let _running = running;
                work()
            };
            // Nobody may be waiting any more.
            let _ = done.send(result);
        };
        if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(work) {
            warn!(thread = name, cause:% = error; "a thread could not be started");
        }
        result.recv_timeout(patience).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_takes_too_long_goes_on_and_holds_its_place() {
        let impatient = Impatient::new(1);
        let long = Duration::from_secs(30);
        for _ in 0..5000 {
            assert_eq!(impatient.ask("quick", long, || 7), Some(7));
        }
        let (go, gate) = bounded::<()>(0);
        let (seen, ended) = bounded(1);
        let work = move || {
            let _ = gate.recv();
            let _ = seen.send(());
        };
        assert_eq!(impatient.ask("slow", Duration::from_millis(1), work), None);
        assert_eq!(impatient.ask("one too many", long, || 8), None);
        assert!(impatient.enter().is_none());
        go.send(()).unwrap();
        ended.recv_timeout(long).unwrap();
    }

    #[test]
    fn a_panic_is_no_answer() {
        let answer = Impatient::new(1).ask("panics", Duration::from_secs(30), || panic!("as the test wants"));
        assert_eq!(answer, None::<()>);
    }
}
