//! The HTTP/1.1 server on `std::net`: one thread for each connection, and a pool of threads that answer.
//!
//! Invariant: no client can crash or block the server. Every wait has a time-out; every buffer, queue and
//! count has a bound. If any byte of a request is invalid, the server refuses it and closes the connection,
//! so no byte is ever read as part of two requests.
//!
//! The path of a request: `accept` accepts the connection and starts its thread. On that thread, `receive`
//! reads the bytes, `message` parses them, and `connection` hands the complete request to the `pool`, waits
//! for the answer, and writes it with `answer`. So a slow client occupies a thread with a small stack, but
//! none of the pool. `connections` counts connections and knows which are idle. `web` handles routes, tokens
//! and JSON.

mod accept;
mod answer;
mod connection;
mod connections;
mod memory;
mod message;
mod pool;
mod receive;

use std::io::{self, Cursor, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use log::{info, warn};
use tiny_http::{Header, Method, StatusCode};

use crate::base::clock;

use accept::Acceptor;
use connection::Shared;
use connections::Connections;
use memory::Memory;
use pool::Pool;

pub use message::{BODY_MAX, HEAD_MAX, HEADERS_MAX};
pub use receive::TRAILERS_MAX;

/// A complete request. It contains a token, so it has no `Debug`.
pub struct Request {
    /// Identifies the request in logs and in the answer's `X-Request-Id`: the client's own id, if it is safe.
    pub id: String,
    /// The method. An unknown one, or one that is not in capitals, is `NonStandard`.
    pub method: Method,
    /// The path as the client sent it, not decoded. It begins with `/`, or is `*` (`OPTIONS` only).
    pub path: String,
    /// The part after the `?`, not decoded.
    pub query: Option<String>,
    /// The headers, in the order of the request.
    pub headers: Vec<Header>,
    /// The body, without chunk framing: at most 1 MiB; empty if there is none.
    pub body: Vec<u8>,
    /// The address of the peer, which is often a proxy.
    pub remote: SocketAddr,
}

impl Request {
    /// The value of the first header of this name. Case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named =
            self.headers.iter().find(|header| header.field.as_str().as_str().eq_ignore_ascii_case(name))?;
        Some(named.value.as_str())
    }
}

/// The body of an answer.
pub enum Body {
    /// Nothing.
    Empty,
    /// A complete body.
    Bytes(Cursor<Vec<u8>>),
    /// A body that is produced while the connection's thread writes it. It must hold no resource that a slow
    /// client could block, such as a database connection. An error resets the connection, so that the client
    /// notices that the answer is incomplete.
    Stream(Box<dyn Read + Send>),
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Empty => Ok(0),
            Self::Bytes(bytes) => bytes.read(buffer),
            Self::Stream(stream) => stream.read(buffer),
        }
    }
}

/// An answer.
pub type Response = tiny_http::Response<Body>;

/// An answer with an empty body.
pub fn respond(status: u16) -> Response {
    Response::new(StatusCode(status), Vec::new(), Body::Empty, Some(0), None)
}

/// An answer with a body of this content type, for example `application/json`.
pub fn respond_with(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Response {
    let body = body.into();
    let length = body.len();
    let headers = Header::from_bytes("Content-Type", content_type).into_iter().collect();
    Response::new(StatusCode(status), headers, Body::Bytes(Cursor::new(body)), Some(length), None)
}

/// Adds a header, unless its name or value cannot be sent.
pub fn with_header(response: Response, name: &str, value: &str) -> Response {
    match Header::from_bytes(name, value) {
        Ok(header) => response.with_header(header),
        Err(()) => response,
    }
}

/// Why the server refused a request without calling the handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: u16,
    /// The reason, for the log and for JSON errors. It never contains the value of a header.
    pub reason: String,
    /// The answer's `Retry-After`.
    pub retry_after_seconds: Option<u32>,
}

impl Refusal {
    fn new(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), retry_after_seconds: None }
    }

    fn malformed(reason: impl Into<String>) -> Self {
        Self::new(400, reason)
    }

    fn overloaded(reason: impl Into<String>) -> Self {
        Self { retry_after_seconds: Some(RETRY_AFTER_SECONDS), ..Self::new(503, reason) }
    }
}

/// How long an overloaded server asks a client to wait.
const RETRY_AFTER_SECONDS: u32 = 1;

/// The callbacks that answer requests. A panic in one of them becomes a 500 and affects nothing else.
#[expect(
    clippy::type_complexity,
    reason = "three signatures, each used here only, are clearer than names for them"
)]
pub struct Handlers {
    /// Answers a request on a thread of the pool, in bounded time.
    pub handle: Box<dyn Fn(Request) -> Response + Send + Sync>,
    /// Called for every request before its body is read, on the connection's thread. Answers at once if the
    /// head suffices.
    pub answer_head: Box<dyn Fn(&Request) -> Option<Response> + Send + Sync>,
    /// Makes the response to a refusal. The headers are those that were read so far, perhaps none.
    pub refuse: Box<dyn Fn(&Refusal, &[Header]) -> Response + Send + Sync>,
}

/// The bounds of a server.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The number of threads that answer requests.
    pub threads: usize,
    /// Whether threads that wait sleep at once, instead of first yielding the processor a few times. Set it
    /// if most answers wait for another machine, and so take longer than waking a thread.
    pub answers_take_long: bool,
    /// The most open connections.
    pub max_connections: usize,
    /// A request must arrive completely within this time after its first byte, and a client must take each
    /// piece of an answer within it.
    pub client_timeout: Duration,
    /// A connection that waits this long for a request is closed.
    pub idle_timeout: Duration,
    /// The most bytes that all requests and answers hold together.
    pub memory_max: usize,
}

/// A running server. Dropping it stops it without waiting.
pub struct Server {
    local_addr: SocketAddr,
    connections: Arc<Connections>,
    /// Closing it stops the acceptor.
    accepting: Option<UnixStream>,
    /// Every thread holds a sender, so the channel closes when the last thread ends.
    running: Receiver<()>,
}

impl Server {
    /// Starts serving on `listener`. Fails only if the first threads cannot be started.
    pub fn start(listener: TcpListener, settings: HttpSettings, handlers: Handlers) -> io::Result<Self> {
        let local_addr = listener.local_addr()?;
        let max_connections = affordable_connections(settings.max_connections, settings.memory_max);
        let connections = Arc::new(Connections::new(max_connections));
        let handlers = Arc::new(handlers);
        let (alive, running) = bounded(0);
        let pool = Pool::start(&settings, &handlers, &alive)?;
        let shared = Arc::new(Shared {
            handlers,
            client_timeout: settings.client_timeout,
            idle_timeout: settings.idle_timeout,
            connections: Arc::clone(&connections),
            pool,
            memory: Memory::new(settings.memory_max, max_connections),
        });
        let (accepting, stop_accepting) = UnixStream::pair()?;
        let acceptor = Acceptor::new(listener, stop_accepting, shared)?;
        thread::Builder::new().name("http-accept".to_owned()).spawn(move || {
            acceptor.run();
            drop(alive);
        })?;
        Ok(Self { local_addr, connections, accepting: Some(accepting), running })
    }

    /// The address it listens on, with the port that the system chose if it was 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops accepting connections, closes idle ones, answers pending requests, and ends all threads. At the
    /// deadline it closes the remaining connections.
    pub fn stop(mut self, deadline: Duration) {
        let deadline = clock::instant() + deadline;
        self.begin_stop();
        let everything_ended = self.connections.wait_until_none(deadline)
            && self.running.recv_deadline(deadline).is_err_and(|err| err.is_disconnected());
        if everything_ended {
            info!("HTTP server stopped");
        } else {
            let cut = self.connections.close_all();
            warn!(connections_cut = cut; "HTTP server stopped before all requests were answered");
        }
    }

    fn begin_stop(&mut self) {
        self.connections.stop();
        self.accepting.take();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.begin_stop();
    }
}

/// Descriptors reserved for everything else: the database, upstream requests, task processes.
const RESERVED_DESCRIPTORS: usize = 64;

/// The memory of an open connection without its request: 18 KiB for its thread's stack, and 26 KiB in the
/// kernel, which a cgroup counts too. Measured with a thousand connections.
const CONNECTION_BYTES: usize = 44 * 1024;

/// `max_connections`, or fewer if the process may not open that many descriptors, or if they would take more
/// than a third of the memory. `memory_max` is a quarter of the memory.
fn affordable_connections(max_connections: usize, memory_max: usize) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let descriptors = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let by_descriptors = descriptors.saturating_sub(RESERVED_DESCRIPTORS);
    let by_memory = memory_max.saturating_mul(4) / 3 / CONNECTION_BYTES;
    let affordable = by_descriptors.min(by_memory).max(1);
    if affordable < max_connections {
        warn!(
            connections = affordable, descriptors, memory_mib = memory_max / (1 << 18);
            "MAX_CONNECTIONS lowered, because there are too few descriptors or too little memory"
        );
    }
    max_connections.clamp(1, affordable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_no_more_than_a_third_of_the_memory() {
        let of_total = |mib: usize| affordable_connections(1024, (mib << 20) / 4);
        assert_eq!(of_total(64), 496, "in the container of the manifest");
        assert_eq!(of_total(256), 1024.min(affordable_connections(1024, usize::MAX)));
    }
}
