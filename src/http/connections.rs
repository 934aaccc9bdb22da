//! All connections: how many there are, and which has been idle the longest.
//!
//! Invariant: there are never more than the limit, and only a connection that waits for the first byte of a request is
//! ever closed for another.

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;

/// Idle connections that are looked at for one that can go, when bytes have just come on the first.
const CANDIDATES_MAX: usize = 8;

pub(super) struct Connections {
    limit: usize,
    started: Instant,
    stopping: AtomicBool,
    open: Mutex<Open>,
    /// Told whenever a connection has ended, and of the stop.
    changed: Condvar,
}

#[derive(Default)]
struct Open {
    by_number: HashMap<u64, Arc<Connection>>,
    last_number: u64,
}

/// A client's connection.
pub(super) struct Connection {
    pub socket: TcpStream,
    pub remote: SocketAddr,
    /// [`BUSY`], [`CLOSING`], or since when it is idle, in microseconds since the server started.
    idle_since: AtomicU64,
}

const BUSY: u64 = 0;
const CLOSING: u64 = u64::MAX;

impl Connections {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            started: Instant::now(),
            stopping: AtomicBool::new(false),
            open: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Takes a connection in, as idle: it has sent nothing yet. Gives the socket back when there is no room.
    pub(super) fn admit(
        self: &Arc<Self>,
        socket: TcpStream,
        remote: SocketAddr,
    ) -> Result<(Arc<Connection>, Seat), TcpStream> {
        let mut open = self.lock();
        if self.limit <= open.by_number.len() {
            return Err(socket);
        }
        open.last_number += 1;
        let number = open.last_number;
        let connection = Arc::new(Connection { socket, remote, idle_since: AtomicU64::new(self.now()) });
        open.by_number.insert(number, Arc::clone(&connection));
        Ok((connection, Seat { connections: Arc::clone(self), number }))
    }

    /// Marks a connection as waiting for the first byte of a request. `false`: it must end, the server stops.
    pub(super) fn mark_idle(&self, connection: &Connection) -> bool {
        connection.idle_since.store(self.now(), Ordering::SeqCst);
        // After the store: a stop either sees that this one is idle, or is seen here.
        !self.is_stopping()
    }

    /// Closes the connection that has been idle the longest. `false`: none is idle.
    pub(super) fn close_longest_idle(&self) -> bool {
        let open = self.lock();
        let mut tried = BUSY;
        for _ in 0..CANDIDATES_MAX {
            let idle = open.by_number.values().filter_map(|connection| {
                let since = connection.idle_since.load(Ordering::SeqCst);
                (tried < since && since != CLOSING).then_some((since, connection))
            });
            let Some((since, connection)) = idle.min_by_key(|(since, _)| *since) else { return false };
            tried = since;
            if connection.close_if_idle(since) {
                return true;
            }
        }
        false
    }

    /// Waits until a connection ends, the server stops, or `patience` is over.
    pub(super) fn wait_for_change(&self, patience: Duration) {
        let open = self.lock();
        if !self.is_stopping() {
            let _woken = self.changed.wait_timeout(open, patience);
        }
    }

    /// Waits for room for one more, for `patience` at most. `true`: there is.
    pub(super) fn wait_for_room(&self, patience: Duration) -> bool {
        let is_full = |open: &mut Open| self.limit <= open.by_number.len() && !self.is_stopping();
        let waited = self.changed.wait_timeout_while(self.lock(), patience, is_full);
        waited.unwrap_or_else(PoisonError::into_inner).0.by_number.len() < self.limit
    }

    /// Has every connection end: the idle ones now, the others after their answer.
    pub(super) fn stop(&self) {
        let open = self.lock();
        self.stopping.store(true, Ordering::SeqCst);
        for connection in open.by_number.values() {
            connection.close_if_idle(connection.idle_since.load(Ordering::SeqCst));
        }
        self.changed.notify_all();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Waits until every connection has ended, until the deadline at most. `true`: all have.
    pub(super) fn wait_until_none(&self, deadline: Instant) -> bool {
        let patience = deadline.saturating_duration_since(Instant::now());
        let some_are_open = |open: &mut Open| !open.by_number.is_empty();
        let waited = self.changed.wait_timeout_while(self.lock(), patience, some_are_open);
        waited.unwrap_or_else(PoisonError::into_inner).0.by_number.is_empty()
    }

    /// Cuts every connection, whatever it is doing. Returns how many there were.
    pub(super) fn close_all(&self) -> usize {
        let open = self.lock();
        for connection in open.by_number.values() {
            connection.shut_down();
        }
        open.by_number.len()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never [`BUSY`] nor [`CLOSING`].
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(CLOSING - 1).clamp(BUSY + 1, CLOSING - 1)
    }
}

impl Connection {
    /// Marks it as having sent something. `false`: it has been closed meanwhile.
    pub(super) fn mark_busy(&self) -> bool {
        self.idle_since.swap(BUSY, Ordering::SeqCst) != CLOSING
    }

    fn close_if_idle(&self, since: u64) -> bool {
        if since == BUSY || since == CLOSING || self.has_bytes_waiting() {
            return false;
        }
        let claimed =
            self.idle_since.compare_exchange(since, CLOSING, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if claimed {
            self.shut_down();
        }
        claimed
    }

    /// A request may have come that its thread has not seen yet.
    pub(super) fn has_bytes_waiting(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(rustix::net::recv(&self.socket, &mut [0_u8; 1], flags), Ok((1, _)))
    }

    /// Wakes its thread from whatever it waits for. An error means that the client was faster.
    fn shut_down(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// A connection's place among the connections, given back when it is dropped. It outlives the thread's own hold on the
/// connection, so that the descriptor is closed before anybody who may need it is told.
pub(super) struct Seat {
    connections: Arc<Connections>,
    number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.by_number.remove(&self.number);
        self.connections.changed.notify_all();
    }
}
