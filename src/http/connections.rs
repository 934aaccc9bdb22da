//! Keeps track of all connections, and decides which one to close for a new one.
//!
//! Invariant: there are never more connections than the limit. A connection is closed for a new one only
//! while it is idle, or if its request has been arriving for longer than [`ARRIVAL_GRACE`]; never while its
//! request is being answered.

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;

use crate::base::clock;

/// When no connection is idle, one whose request has been arriving for longer than this is closed for a new
/// one. So a client that sends a byte now and then cannot hold a seat for long.
const ARRIVAL_GRACE: Duration = Duration::from_secs(2);
/// How many idle connections to consider for closing. A connection on which bytes have just arrived is
/// skipped.
const CANDIDATES_MAX: usize = 8;

pub(super) struct Connections {
    limit: usize,
    started: Instant,
    stopping: AtomicBool,
    open: Mutex<Open>,
    /// Notified when a connection ends, and when the server stops.
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
    /// The [`Phase`] in the lowest two bits; above them its start, in microseconds since the server started.
    state: AtomicU64,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for the first byte of a request.
    Idle,
    /// A request is arriving.
    Arriving,
    /// A request is being answered.
    Answering,
    /// The connection is shut down, for a new connection or because the server stops.
    Closing,
}

impl Phase {
    const BITS: u32 = 2;

    fn since(self, micros: u64) -> u64 {
        let tag = match self {
            Self::Idle => 0,
            Self::Arriving => 1,
            Self::Answering => 2,
            Self::Closing => 3,
        };
        micros << Self::BITS | tag
    }

    fn of(state: u64) -> (Self, u64) {
        let phase = match state & 3 {
            0 => Self::Idle,
            1 => Self::Arriving,
            2 => Self::Answering,
            _ => Self::Closing,
        };
        (phase, state >> Self::BITS)
    }
}

impl Connections {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            started: clock::instant(),
            stopping: AtomicBool::new(false),
            open: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Admits a connection as idle. Returns the socket if there is no room.
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
        let connection =
            Arc::new(Connection { socket, remote, state: AtomicU64::new(Phase::Idle.since(self.now())) });
        open.by_number.insert(number, Arc::clone(&connection));
        Ok((connection, Seat { connections: Arc::clone(self), number }))
    }

    /// Marks a connection as idle. `false`: it must end, because the server stops.
    pub(super) fn mark_idle(&self, connection: &Connection) -> bool {
        connection.enter(Phase::Idle, self.now());
        // Checked after the phase is stored: either the stop sees an idle connection, or this sees the stop.
        !self.is_stopping()
    }

    /// Marks a connection as having sent the first byte of a request. `false` if it was closed meanwhile.
    pub(super) fn mark_arriving(&self, connection: &Connection) -> bool {
        connection.enter(Phase::Arriving, self.now())
    }

    /// Marks a connection whose request has arrived. `false` if it was closed meanwhile.
    pub(super) fn mark_answering(&self, connection: &Connection) -> bool {
        connection.enter(Phase::Answering, self.now())
    }

    /// Closes a connection for a new one: the one that has been idle for longest, else the one whose request
    /// has been arriving for longest, if longer than [`ARRIVAL_GRACE`]. `false` if there is none.
    pub(super) fn close_one(&self) -> bool {
        let grace = u64::try_from(ARRIVAL_GRACE.as_micros()).unwrap_or(u64::MAX);
        self.close_longest(Phase::Idle, u64::MAX)
            || self.close_longest(Phase::Arriving, self.now().saturating_sub(grace))
    }

    /// Closes the connection that has been in `phase` for longest, and since before `before`.
    fn close_longest(&self, phase: Phase, before: u64) -> bool {
        let open = self.lock();
        let mut tried = None;
        for _ in 0..CANDIDATES_MAX {
            let candidates = open.by_number.values().filter_map(|connection| {
                let state = connection.state.load(Ordering::SeqCst);
                let (now_in, since) = Phase::of(state);
                (now_in == phase && since < before && tried < Some(state)).then_some((state, connection))
            });
            let Some((state, connection)) = candidates.min_by_key(|(state, _)| *state) else { return false };
            tried = Some(state);
            if connection.close_if(state) {
                return true;
            }
        }
        false
    }

    /// Waits until a connection ends or the server stops, for at most `patience`.
    pub(super) fn wait_for_change(&self, patience: Duration) {
        let open = self.lock();
        if !self.is_stopping() {
            let _woken = self.changed.wait_timeout(open, patience);
        }
    }

    /// Waits until there is room for another connection, for at most `patience`. Returns whether there is.
    pub(super) fn wait_for_room(&self, patience: Duration) -> bool {
        let is_full = |open: &mut Open| self.limit <= open.by_number.len() && !self.is_stopping();
        let waited = self.changed.wait_timeout_while(self.lock(), patience, is_full);
        waited.unwrap_or_else(PoisonError::into_inner).0.by_number.len() < self.limit
    }

    /// Ends all connections: idle ones now, the others after their answer.
    pub(super) fn stop(&self) {
        let open = self.lock();
        self.stopping.store(true, Ordering::SeqCst);
        for connection in open.by_number.values() {
            let state = connection.state.load(Ordering::SeqCst);
            // Bytes that are waiting wake the thread themselves, and more of their request may follow.
            if Phase::of(state).0 == Phase::Idle && !connection.has_bytes_waiting() {
                connection.end_reading();
            }
        }
        self.changed.notify_all();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Waits until all connections have ended, but not beyond the deadline. Returns whether all have.
    pub(super) fn wait_until_none(&self, deadline: Instant) -> bool {
        let patience = deadline.saturating_duration_since(clock::instant());
        let some_are_open = |open: &mut Open| !open.by_number.is_empty();
        let waited = self.changed.wait_timeout_while(self.lock(), patience, some_are_open);
        waited.unwrap_or_else(PoisonError::into_inner).0.by_number.is_empty()
    }

    /// Cuts off every connection. Returns how many there were.
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

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Connection {
    /// Returns `false` if it is closing.
    fn enter(&self, phase: Phase, now: u64) -> bool {
        let enter = |state| (Phase::of(state).0 != Phase::Closing).then(|| phase.since(now));
        self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, enter).is_ok()
    }

    /// Closes the connection if its state is still `state`, and no bytes have arrived on an idle one.
    fn close_if(&self, state: u64) -> bool {
        if Phase::of(state).0 == Phase::Idle && self.has_bytes_waiting() {
            return false;
        }
        let closing = Phase::Closing.since(0);
        let claimed = self.state.compare_exchange(state, closing, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if claimed {
            self.shut_down();
        }
        claimed
    }

    /// Whether bytes have arrived that the connection's thread has not read yet.
    pub(super) fn has_bytes_waiting(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(rustix::net::recv(&self.socket, &mut [0_u8; 1], flags), Ok((1, _)))
    }

    /// Wakes the connection's thread from its wait for a request. A request that has already arrived is still
    /// answered.
    fn end_reading(&self) {
        // An error means that the client has closed it already.
        let _ = self.socket.shutdown(Shutdown::Read);
    }

    /// Wakes the connection's thread from any wait. Errors are ignored: the client has already closed the
    /// connection.
    fn shut_down(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// A connection's seat, freed on drop. It is dropped after the thread's handle of the connection, so the
/// descriptor is closed before the seat is free.
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_request_that_was_read_just_before_the_stop_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, remote) = listener.accept().unwrap();
        let connections = Arc::new(Connections::new(1));
        let Ok((connection, seat)) = connections.admit(socket, remote) else { panic!("no room") };
        client.write_all(b"GET").unwrap();
        let mut request = [0; 3];
        (&connection.socket).read_exact(&mut request).unwrap();
        // Its thread has not said yet that a request is arriving.
        connections.stop();
        assert!(connections.mark_arriving(&connection));
        (&connection.socket).write_all(b"answer").unwrap();
        assert_eq!((&connection.socket).read(&mut request).unwrap(), 0, "nothing more is awaited");
        drop((connection, seat));
        connections.close_all();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
    }
}
