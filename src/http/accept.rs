//! Takes connections in: each gets a seat and a thread, or a 503.
//!
//! Invariant: no failure ends the loop, and none makes it spin. When descriptors run out it waits for a connection to
//! end, after closing an idle one, so the server answers again as soon as there is one.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::{debug, error, info, warn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::answer::{self, Manner};
use super::connection::{self, Shared};
use super::{Refusal, message::Version};

/// Connections that the system keeps ready for us (up to its own limit). Whoever finds no place in a burst tries again
/// after a whole second.
const BACKLOG: i32 = 4096;
/// How long the loop waits for a descriptor before it tries again.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How long an idle connection that was closed for a new one may take to be gone.
const EVICTION_WAIT: Duration = Duration::from_millis(200);
/// The stack of a connection's thread. A `Body::Stream` is read on it, so it has room for a database statement.
const STACK_BYTES: usize = 256 * 1024;
/// Refused connections that are kept open for a moment: closed at once, the answer could get lost on its way.
const REFUSED_MAX: usize = 32;
const REFUSED_TIME: Duration = Duration::from_millis(500);

pub(super) struct Acceptor {
    listener: TcpListener,
    /// Ends when the server is to stop.
    stop: UnixStream,
    shared: Arc<Shared>,
    refused: VecDeque<(TcpStream, Instant)>,
    /// Accepting has failed since the last connection: said once, not ten times a second.
    in_trouble: bool,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener, stop: UnixStream, shared: Arc<Shared>) -> io::Result<Self> {
        // Not blocking, so that the one place to wait is a `poll` that a stop ends too.
        listener.set_nonblocking(true)?;
        rustix::net::listen(&listener, BACKLOG)?;
        Ok(Self { listener, stop, shared, refused: VecDeque::new(), in_trouble: false })
    }

    pub(super) fn run(mut self) {
        let mut looks_after_stop = 0;
        while looks_after_stop < BACKLOG {
            // Who had connected by then may have sent a request, and is taken in too.
            let is_stopping = self.shared.connections.is_stopping();
            looks_after_stop += i32::from(is_stopping);
            match self.listener.accept() {
                Ok((socket, remote)) => {
                    if self.in_trouble {
                        self.in_trouble = false;
                        info!("HTTP server accepts connections again");
                    }
                    self.take_in(socket, remote);
                }
                Err(err) => match err.kind() {
                    // The client went away before it was taken in.
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted => (),
                    _ if is_stopping => return,
                    ErrorKind::WouldBlock => self.wait(),
                    _ => self.wait_for_descriptor(&err),
                },
            }
        }
    }

    fn take_in(&mut self, socket: TcpStream, remote: SocketAddr) {
        let connections = &self.shared.connections;
        let admitted = connections.admit(socket, remote).or_else(|socket| {
            if connections.close_longest_idle() && connections.wait_for_room(EVICTION_WAIT) {
                connections.admit(socket, remote)
            } else {
                Err(socket)
            }
        });
        let (connection, seat) = match admitted {
            Ok(admitted) => admitted,
            Err(socket) => return self.refuse(socket, remote),
        };
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name("http-connection".to_owned()).stack_size(STACK_BYTES);
        let spawned = thread.spawn(move || {
            let _seat = seat;
            let connection = connection;
            connection::serve(&shared, &connection);
        });
        // The connection went with the closure, so it is closed already.
        if let Err(err) = spawned {
            error!(remote:%, cause:% = err; "HTTP connection closed, no thread for it");
        }
    }

    /// Says 503 without a thread, and without waiting for the client.
    fn refuse(&mut self, mut socket: TcpStream, remote: SocketAddr) {
        let refusal = Refusal::overloaded("too many connections, and none is idle");
        let request_id = connection::new_request_id();
        info!(
            status = refusal.status, remote:%, reason:% = refusal.reason, request_id:%;
            "HTTP connection refused"
        );
        let response = self.shared.worded(&refusal, &[]);
        let manner =
            Manner { version: Version::Http11, head_only: false, close: true, request_id: &request_id };
        let mut bytes = Vec::new();
        if answer::write(&mut bytes, response, &manner).is_err() {
            return;
        }
        let sent = socket
            .set_nonblocking(true)
            .and_then(|()| socket.write_all(&bytes))
            .and_then(|()| socket.shutdown(Shutdown::Write));
        if let Err(err) = sent {
            debug!(remote:%, request_id:%, cause:% = err; "HTTP refusal not sent");
            return;
        }
        if self.refused.len() == REFUSED_MAX {
            self.close_refused();
        }
        self.refused.push_back((socket, Instant::now() + REFUSED_TIME));
    }

    /// Waits for a connection, for the stop, or until a refused connection can be closed.
    fn wait(&mut self) {
        let now = Instant::now();
        while self.refused.front().is_some_and(|(_, until)| *until <= now) {
            self.close_refused();
        }
        let patience = self.refused.front().map(|(_, until)| until.duration_since(now));
        let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
        let mut waiting_for =
            [PollFd::new(&self.listener, PollFlags::IN), PollFd::new(&self.stop, PollFlags::IN)];
        if let Err(err) = poll(&mut waiting_for, patience.as_ref())
            && err != rustix::io::Errno::INTR
        {
            self.wait_for_descriptor(&err.into());
        }
    }

    fn close_refused(&mut self) {
        if let Some((mut socket, _)) = self.refused.pop_front() {
            // What the client sent is taken off first: a close with bytes unread is a reset, which can outrun the 503.
            let _ = socket.read(&mut [0; 4096]);
        }
    }

    fn wait_for_descriptor(&mut self, err: &io::Error) {
        if !self.in_trouble {
            self.in_trouble = true;
            warn!(cause:% = err; "HTTP server cannot accept connections, closing idle ones and trying again");
        }
        self.refused.clear();
        self.shared.connections.close_longest_idle();
        self.shared.connections.wait_for_change(ACCEPT_RETRY);
    }
}
