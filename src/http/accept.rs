//! Accepts connections. Each gets a seat (one of `MAX_CONNECTIONS`) and a thread, or goes to the lobby.
//!
//! The lobby is for connections without a seat. There, requests that need only their head are answered, above
//! all `/healthz`, so that the platform does not restart a service that is merely full. All others get a 503.
//! The lobby needs no threads, and a connection leaves it after [`LOBBY_TIME`] at the latest.
//!
//! Invariant: no failure ends the loop, and none makes it spin. When descriptors run out, it closes an idle
//! connection and waits for one to end, so the server answers again as soon as a descriptor is free.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::{debug, error, info, warn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tiny_http::Method;

use super::answer::{self, AnswerOptions};
use super::connection::{self, Shared};
use super::message::{Head, HeadEnd, Version, parse_head};
use super::{Refusal, Response};
use crate::base::clock;

/// The listen backlog; the kernel may lower it. In a burst, a client that finds it full retries only after a
/// second.
const BACKLOG: i32 = 4096;
/// How long the loop waits for a descriptor before it tries again.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How long to wait for the end of an idle connection that was closed to make room for a new one.
const EVICTION_WAIT: Duration = Duration::from_millis(200);
/// The stack size of a connection's thread. A `Body::Stream` is read on this thread, so the stack has room
/// for a database statement.
const STACK_BYTES: usize = 256 * 1024;
/// The most connections in the lobby, and how long each may wait for its request. Health checks send theirs
/// at once.
const LOBBY_MAX: usize = 64;
const LOBBY_TIME: Duration = Duration::from_millis(500);
/// The longest head that is read in the lobby.
const LOBBY_HEAD_MAX: usize = 4 * 1024;
/// How many answered connections stay open, and for how long. If they closed at once, the answer could get
/// lost.
const ANSWERED_MAX: usize = 32;
const ANSWERED_TIME: Duration = Duration::from_millis(500);

pub(super) struct Acceptor {
    listener: TcpListener,
    /// Closed when the server is to stop.
    stop: UnixStream,
    shared: Arc<Shared>,
    /// In the order of arrival.
    lobby: VecDeque<Guest>,
    /// Each with the instant at which it is closed.
    answered: VecDeque<(TcpStream, Instant)>,
    /// Whether accepting has failed since the last connection. Keeps the failure from being logged ten times
    /// a second.
    is_accept_failing: bool,
}

/// A connection without a seat.
struct Guest {
    socket: TcpStream,
    remote: SocketAddr,
    head: Vec<u8>,
    until: Instant,
}

/// How much of a guest's request has arrived.
enum Received {
    /// Part of the head.
    Part,
    Head(Box<Head>),
    /// A broken connection or a head that cannot be parsed.
    Nothing,
}

impl Guest {
    /// Reads what has arrived, without waiting.
    fn look(&mut self) -> Received {
        let mut bytes = [0; LOBBY_HEAD_MAX];
        loop {
            match self.socket.read(&mut bytes[..LOBBY_HEAD_MAX - self.head.len()]) {
                Ok(0) => return Received::Nothing,
                Ok(count) => self.head.extend_from_slice(&bytes[..count]),
                Err(err) if err.kind() == ErrorKind::WouldBlock => return Received::Part,
                Err(err) if err.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Received::Nothing,
            }
            match HeadEnd::default().find(&self.head) {
                Ok(Some(end)) => {
                    return parse_head(&self.head[..end])
                        .map_or(Received::Nothing, |head| Received::Head(Box::new(head)));
                }
                Ok(None) if self.head.len() < LOBBY_HEAD_MAX => (),
                Ok(None) | Err(_) => return Received::Nothing,
            }
        }
    }
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener, stop: UnixStream, shared: Arc<Shared>) -> io::Result<Self> {
        // Non-blocking, so that the loop waits only in `poll`, which a stop interrupts.
        listener.set_nonblocking(true)?;
        rustix::net::listen(&listener, BACKLOG)?;
        Ok(Self {
            listener,
            stop,
            shared,
            lobby: VecDeque::new(),
            answered: VecDeque::new(),
            is_accept_failing: false,
        })
    }

    pub(super) fn run(mut self) {
        let mut looks_after_stop = 0;
        while looks_after_stop < BACKLOG {
            // Clients that connected before the stop may have sent a request, so they are still accepted.
            let is_stopping = self.shared.connections.is_stopping();
            looks_after_stop += i32::from(is_stopping);
            match self.listener.accept() {
                Ok((socket, remote)) => {
                    if self.is_accept_failing {
                        self.is_accept_failing = false;
                        info!("HTTP server accepts connections again");
                    }
                    self.accept(socket, remote);
                }
                Err(err) => match err.kind() {
                    // The client disconnected before it was accepted.
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted => (),
                    _ if is_stopping => return,
                    ErrorKind::WouldBlock => self.wait(),
                    _ => self.wait_for_descriptor(&err),
                },
            }
        }
    }

    fn accept(&mut self, socket: TcpStream, remote: SocketAddr) {
        let connections = &self.shared.connections;
        let admitted = connections.admit(socket, remote).or_else(|socket| {
            if connections.close_one() && connections.wait_for_room(EVICTION_WAIT) {
                connections.admit(socket, remote)
            } else {
                Err(socket)
            }
        });
        let (connection, seat) = match admitted {
            Ok(admitted) => admitted,
            Err(socket) => return self.enter_lobby(socket, remote),
        };
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name("http-connection".to_owned()).stack_size(STACK_BYTES);
        let spawned = thread.spawn(move || {
            let _seat = seat;
            let connection = connection;
            connection::serve(&shared, &connection);
        });
        // The closure owned the connection, so the connection is already closed.
        if let Err(err) = spawned {
            error!(remote:%, cause:% = err; "HTTP connection closed, no thread for it");
        }
    }

    /// Puts a connection without a seat into the lobby.
    fn enter_lobby(&mut self, socket: TcpStream, remote: SocketAddr) {
        if let Err(err) = socket.set_nonblocking(true) {
            debug!(remote:%, cause:% = err; "HTTP connection closed");
            return;
        }
        if self.lobby.len() == LOBBY_MAX {
            self.serve_lobby();
        }
        if self.lobby.len() == LOBBY_MAX
            && let Some(guest) = self.lobby.pop_front()
        {
            self.refuse(guest.socket, guest.remote);
        }
        self.lobby.push_back(Guest {
            socket,
            remote,
            head: Vec::new(),
            until: clock::instant() + LOBBY_TIME,
        });
        // Often the request has already arrived.
        let last = self.lobby.len() - 1;
        self.serve_guests(last);
    }

    fn serve_lobby(&mut self) {
        self.serve_guests(0);
    }

    /// Answers the guests whose requests have arrived, starting at index `first`.
    fn serve_guests(&mut self, first: usize) {
        let now = clock::instant();
        for mut guest in self.lobby.split_off(first) {
            match guest.look() {
                Received::Part if now < guest.until => self.lobby.push_back(guest),
                Received::Head(head) => self.answer_guest(guest.socket, guest.remote, *head),
                Received::Part | Received::Nothing => self.refuse(guest.socket, guest.remote),
            }
        }
    }

    fn answer_guest(&mut self, socket: TcpStream, remote: SocketAddr, head: Head) {
        let head_only = head.method == Method::Head;
        let request = connection::request(head, remote);
        let answered = catch_unwind(AssertUnwindSafe(|| (self.shared.handlers.answer_head)(&request)));
        match answered {
            Ok(Some(response)) => self.send(socket, remote, response, head_only, &request.id),
            Ok(None) | Err(_) => self.refuse(socket, remote),
        }
    }

    fn refuse(&mut self, socket: TcpStream, remote: SocketAddr) {
        let refusal = Refusal::overloaded("too many connections, none of them idle");
        let request_id = connection::new_request_id();
        info!(
            status = refusal.status, remote:%, reason:% = refusal.reason, request_id:%;
            "HTTP connection refused"
        );
        let response = self.shared.refusal_response(&refusal, &[]);
        self.send(socket, remote, response, false, &request_id);
    }

    /// Sends the only answer of a connection, without waiting for the client.
    fn send(
        &mut self,
        mut socket: TcpStream,
        remote: SocketAddr,
        response: Response,
        head_only: bool,
        request_id: &str,
    ) {
        let options = AnswerOptions { version: Version::Http11, head_only, close: true, request_id };
        let mut bytes = Vec::new();
        if answer::write(&mut bytes, response, &options).is_err() {
            return;
        }
        let sent = socket.write_all(&bytes).and_then(|()| socket.shutdown(Shutdown::Write));
        if let Err(err) = sent {
            debug!(remote:%, request_id, cause:% = err; "HTTP answer not sent");
            return;
        }
        if self.answered.len() == ANSWERED_MAX {
            self.close_answered();
        }
        self.answered.push_back((socket, clock::instant() + ANSWERED_TIME));
    }

    /// Waits for a connection, the stop, a guest's request, or the next time-out in the lobby.
    fn wait(&mut self) {
        let now = clock::instant();
        while self.answered.front().is_some_and(|(_, until)| *until <= now) {
            self.close_answered();
        }
        let closing = self.answered.front().map(|(_, until)| *until);
        let refusing = self.lobby.front().map(|guest| guest.until);
        let until = closing.into_iter().chain(refusing).min();
        let patience = until.map(|until| until.saturating_duration_since(now));
        let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
        let own = [PollFd::new(&self.listener, PollFlags::IN), PollFd::new(&self.stop, PollFlags::IN)];
        let guests = self.lobby.iter().map(|guest| PollFd::new(&guest.socket, PollFlags::IN));
        let mut waiting_for: Vec<PollFd<'_>> = own.into_iter().chain(guests).collect();
        let polled = poll(&mut waiting_for, patience.as_ref());
        drop(waiting_for);
        match polled {
            Err(err) if err != rustix::io::Errno::INTR => self.wait_for_descriptor(&err.into()),
            _ => self.serve_lobby(),
        }
    }

    fn close_answered(&mut self) {
        if let Some((mut socket, _)) = self.answered.pop_front() {
            // Read what the client sent first. Closing with unread bytes sends a reset, which can overtake
            // the answer.
            let _ = socket.read(&mut [0; 4096]);
        }
    }

    fn wait_for_descriptor(&mut self, err: &io::Error) {
        if !self.is_accept_failing {
            self.is_accept_failing = true;
            warn!(cause:% = err; "HTTP server cannot accept connections, closing idle ones and retrying");
        }
        self.answered.clear();
        self.lobby.clear();
        self.shared.connections.close_one();
        self.shared.connections.wait_for_change(ACCEPT_RETRY);
    }
}
