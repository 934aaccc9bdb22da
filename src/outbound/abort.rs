//! Aborts requests from another thread.
//!
//! Invariant: a request that was aborted before it was sent is not sent.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use ureq::unversioned::transport::ShutdownHandle;

use crate::model::Id;

/// The connection that a request uses.
pub(super) type Handle = Weak<dyn ShutdownHandle>;

/// Aborts one request.
#[derive(Clone, Default)]
pub struct Abort(Arc<State>);

#[derive(Default)]
struct State {
    is_wanted: AtomicBool,
    connection: Mutex<Option<Handle>>,
}

impl Abort {
    /// Aborts the request: closes its connection, and prevents a new one.
    pub fn abort(&self) {
        self.0.is_wanted.store(true, Ordering::SeqCst);
        let connection = lock(&self.0.connection).as_ref().and_then(Weak::upgrade);
        if let Some(connection) = connection {
            connection.shutdown();
        }
    }

    /// Whether the request was aborted.
    pub fn is_wanted(&self) -> bool {
        self.0.is_wanted.load(Ordering::SeqCst)
    }

    /// The request uses this connection from now on. `false`: it was aborted.
    pub(super) fn watch(&self, connection: Handle) -> bool {
        *lock(&self.0.connection) = Some(connection);
        !self.is_wanted()
    }

    /// The last connection of the request.
    pub(super) fn connection(&self) -> Option<Handle> {
        lock(&self.0.connection).clone()
    }

    /// The request has released its connection, which may serve others.
    pub(super) fn release(&self) {
        *lock(&self.0.connection) = None;
    }
}

/// The calls in flight in this process.
#[derive(Default)]
pub struct CallsInFlight(Mutex<HashMap<Id, Abort>>);

impl CallsInFlight {
    /// Registers the call of this execution until the returned value is dropped.
    pub fn enter(&self, execution: Id) -> CallInFlight<'_> {
        let abort = Abort::default();
        lock(&self.0).insert(execution, abort.clone());
        CallInFlight { calls: self, execution, abort }
    }

    /// Aborts the calls of these executions that are in flight here.
    pub fn abort(&self, executions: &[Id]) {
        for execution in executions {
            let abort = lock(&self.0).get(execution).cloned();
            if let Some(abort) = abort {
                abort.abort();
            }
        }
    }
}

/// A call in flight.
pub struct CallInFlight<'a> {
    calls: &'a CallsInFlight,
    execution: Id,
    /// Aborts it.
    pub abort: Abort,
}

impl Drop for CallInFlight<'_> {
    fn drop(&mut self) {
        lock(&self.calls.0).remove(&self.execution);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
