//! The threads of the service.
//!
//! Invariant: a panic never ends a thread for good. A thread ends when its work does, or when its stop
//! channel closes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{after, select};
use log::error;

use crate::base::stop::{Stop, is_stopped};

/// The pause before a thread that panicked runs again.
const PANIC_PAUSE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Threads(Vec<JoinHandle<()>>);

impl Threads {
    /// Starts a thread that calls `run`, and calls it again after a panic unless `stop` has closed. When
    /// `run` returns, the thread ends and drops what it owns.
    pub(super) fn spawn_forever(
        &mut self,
        name: impl Into<String>,
        stop: &Stop,
        mut run: impl FnMut(&Stop) + Send + 'static,
    ) -> Result<(), String> {
        let name = name.into();
        let (stop, thread_name) = (stop.clone(), name.clone());
        let body = move || {
            while catch_unwind(AssertUnwindSafe(|| run(&stop))).is_err() && !is_stopped(&stop) {
                error!(thread = name.as_str(); "a thread panicked and is restarted");
                select! {
                    recv(stop) -> _ => (),
                    recv(after(PANIC_PAUSE)) -> _ => (),
                }
            }
        };
        self.0.push(spawn(thread_name, body)?);
        Ok(())
    }

    /// Joins the threads that have ended. A thread that hangs in a request ends with the process.
    pub(super) fn join_ended(self) {
        for thread in self.0 {
            if thread.is_finished() && thread.join().is_err() {
                error!("a thread had panicked");
            }
        }
    }
}

/// Starts a thread that runs once.
pub(super) fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, String> {
    let thread = thread::Builder::new().name(name).spawn(body);
    thread.map_err(|err| format!("a thread cannot be started: {err}"))
}
