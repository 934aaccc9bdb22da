//! The threads that compute answers, and the bounded queue in front of them.
//!
//! Invariant: a thread of the pool never waits for a client, and a panic ends one answer, not the thread.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Handlers, HttpSettings, Request, Response};
use crate::base::mutex::lock;

/// How many requests may be queued per thread. With more, waiting would take longer than a retry.
const QUEUED_PER_THREAD: usize = 8;
/// How often a connection yields the processor before it sleeps, if answers are expected soon: yielding is
/// cheaper than being woken.
const YIELDS: u32 = 8;

/// The queue to the threads. They end when it is dropped and the queue is empty.
pub(super) struct Pool {
    queue: Sender<Job>,
    /// How often to yield before sleeping.
    yields: u32,
}

struct Job {
    request: Request,
    reply: Reply,
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// The queue is full.
    Busy,
    /// The handler panicked.
    Panicked,
}

type Answered = Result<Response, NoAnswer>;

/// Where the connection waits for its answer.
#[derive(Default)]
struct Slot {
    answer: Mutex<Option<Answered>>,
    filled: Condvar,
}

/// Sends the answer to the connection. Dropping it without an answer tells the connection that the handler
/// panicked.
struct Reply(Option<Arc<Slot>>);

impl Pool {
    /// Starts the threads. Each holds a clone of `alive` until it ends.
    pub(super) fn start(
        settings: &HttpSettings,
        handlers: &Arc<Handlers>,
        alive: &Sender<()>,
    ) -> io::Result<Self> {
        let threads = settings.threads.max(1);
        let (queue, jobs) = bounded(threads * QUEUED_PER_THREAD);
        for number in 1..=threads {
            let (jobs, handlers, alive) = (jobs.clone(), Arc::clone(handlers), alive.clone());
            thread::Builder::new().name(format!("http-{number}")).spawn(move || {
                answer_jobs(&jobs, &handlers);
                drop(alive);
            })?;
        }
        Ok(Self { queue, yields: if settings.answers_take_long { 0 } else { YIELDS } })
    }

    /// Answers `request` on a thread of the pool. Waits until the handler is done, which takes a bounded
    /// time.
    pub(super) fn answer(&self, request: Request) -> Answered {
        let slot = Arc::new(Slot::default());
        let reply = Reply(Some(Arc::clone(&slot)));
        self.queue.try_send(Job { request, reply }).map_err(|_| NoAnswer::Busy)?;
        slot.wait(self.yields)
    }
}

impl Slot {
    fn wait(&self, yields: u32) -> Answered {
        for _ in 0..yields {
            if let Some(answer) = lock(&self.answer).take() {
                return answer;
            }
            thread::yield_now();
        }
        let empty = |answer: &mut Option<Answered>| answer.is_none();
        let answer = self.filled.wait_while(lock(&self.answer), empty);
        // A slot is filled once, and only this thread empties it.
        answer.unwrap_or_else(PoisonError::into_inner).take().unwrap_or(Err(NoAnswer::Panicked))
    }
}

impl Reply {
    fn send(mut self, response: Response) {
        self.fill(Ok(response));
    }

    fn fill(&mut self, answer: Answered) {
        if let Some(slot) = self.0.take() {
            *lock(&slot.answer) = Some(answer);
            slot.filled.notify_one();
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.fill(Err(NoAnswer::Panicked));
    }
}

fn answer_jobs(jobs: &Receiver<Job>, handlers: &Handlers) {
    for Job { request, reply } in jobs {
        // A panic drops `reply` unused, which tells the connection.
        if let Ok(response) = catch_unwind(AssertUnwindSafe(|| (handlers.handle)(request))) {
            reply.send(response);
        }
    }
}
