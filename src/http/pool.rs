//! The threads that compute answers, and the bounded queue in front of them.
//!
//! Invariant: a thread of the pool never waits for a client, and a panic ends one answer, not the thread.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Handlers, Request, Response};

/// Queued requests per thread. With more, a client would wait longer than it would take to retry.
const QUEUED_PER_THREAD: usize = 8;

/// The queue to the threads. They end when it is dropped and the queue is empty.
pub(super) struct Pool {
    queue: Sender<Job>,
}

struct Job {
    request: Request,
    reply: Sender<Response>,
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// The queue is full.
    Busy,
    /// The handler panicked.
    Panicked,
}

impl Pool {
    /// Starts the threads. Each holds a clone of `alive` until it ends.
    pub(super) fn start(threads: usize, handlers: &Arc<Handlers>, alive: &Sender<()>) -> io::Result<Self> {
        let threads = threads.max(1);
        let (queue, jobs) = bounded(threads * QUEUED_PER_THREAD);
        for number in 1..=threads {
            let (jobs, handlers, alive) = (jobs.clone(), Arc::clone(handlers), alive.clone());
            thread::Builder::new().name(format!("http-{number}")).spawn(move || {
                answer_jobs(&jobs, &handlers);
                drop(alive);
            })?;
        }
        Ok(Self { queue })
    }

    /// Answers `request` on the pool. Waits as long as the handler takes, which is bounded.
    pub(super) fn answer(&self, request: Request) -> Result<Response, NoAnswer> {
        let (reply, answer) = bounded(1);
        self.queue.try_send(Job { request, reply }).map_err(|_| NoAnswer::Busy)?;
        answer.recv().map_err(|_| NoAnswer::Panicked)
    }
}

fn answer_jobs(jobs: &Receiver<Job>, handlers: &Handlers) {
    for Job { request, reply } in jobs {
        // A panic drops `reply` unused, which tells the connection.
        if let Ok(response) = catch_unwind(AssertUnwindSafe(|| (handlers.handle)(request))) {
            // The connection always waits for its answer, so the receiver exists.
            let _ = reply.send(response);
        }
    }
}
