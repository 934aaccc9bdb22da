//! Serves one connection from its first byte to its end, on its own thread.
//!
//! Invariant: each request gets one answer, in order, and nothing is read after a refused request. Every
//! answer has the id of its request, and the last one of a connection has `Connection: close`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use log::{Level, debug, error, log};
use socket2::SockRef;
use tiny_http::{Header, Method};
use uuid::Uuid;

use super::answer::{self, AnswerOptions, Cut, Outbox};
use super::connections::{Connection, Connections};
use super::memory::{Held, Memory};
use super::message::{BODY_MAX, BodyLength, Head, Rejected, Version, sane_request_id};
use super::pool::{NoAnswer, Pool};
use super::receive::{Inbox, NoRequest};
use super::{Handlers, Refusal, Request, Response, respond};
use crate::base::clock;

/// How long, and how many bytes, a client may keep sending after the last answer.
const UNREAD_TIME: Duration = Duration::from_secs(1);
const UNREAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most memory that is counted for an answer: for a stream, what was read from it and the piece being
/// written.
const ANSWER_HELD_BYTES: usize = 64 * 1024;

/// What all connections share.
pub(super) struct Shared {
    pub handlers: Arc<Handlers>,
    pub client_timeout: Duration,
    pub idle_timeout: Duration,
    pub connections: Arc<Connections>,
    pub pool: Pool,
    /// Bounds the memory that all requests and answers hold together.
    pub memory: Memory,
}

impl Shared {
    /// The response for `refusal`.
    pub(super) fn refusal_response(&self, refusal: &Refusal, headers: &[Header]) -> Response {
        let refusal_response = catch_unwind(AssertUnwindSafe(|| (self.handlers.refuse)(refusal, headers)));
        let mut response = refusal_response.unwrap_or_else(|_panic| respond(refusal.status));
        if let Some(seconds) = refusal.retry_after_seconds
            && !response.headers().iter().any(|header| header.field.equiv("Retry-After"))
            && let Ok(header) = Header::from_bytes("Retry-After", seconds.to_string())
        {
            response.add_header(header);
        }
        response
    }
}

/// A new id, for a request without one.
pub(super) fn new_request_id() -> String {
    Uuid::new_v4().to_string()
}

/// A request whose body has not been read.
pub(super) fn request(head: Head, remote: SocketAddr) -> Request {
    Request {
        id: sane_request_id(&head.headers).map_or_else(new_request_id, str::to_owned),
        method: head.method,
        path: head.path,
        query: head.query,
        headers: head.headers,
        body: Vec::new(),
        remote,
    }
}

/// Serves a connection to its end.
pub(super) fn serve(shared: &Shared, connection: &Connection) {
    let mut conversation = Conversation {
        shared,
        connection,
        socket: &connection.socket,
        inbox: Inbox::new(
            &connection.socket,
            shared.client_timeout,
            shared.idle_timeout,
            Held::nothing(&shared.memory),
        ),
    };
    match conversation.hold() {
        Ok(()) => (),
        Err(err) => debug!(remote:% = connection.remote, cause:% = err; "HTTP connection ended"),
    }
}

/// What to do after an answer.
enum Next {
    Request,
    /// Close: everything that was received has been read.
    Close,
    /// Close, although the client may still be sending.
    CloseUnread,
}

struct Conversation<'connection> {
    shared: &'connection Shared,
    connection: &'connection Connection,
    socket: &'connection TcpStream,
    inbox: Inbox<'connection>,
}

impl Conversation<'_> {
    fn hold(&mut self) -> io::Result<()> {
        // On some systems the socket inherits non-blocking mode from the listener.
        self.socket.set_nonblocking(false)?;
        self.socket.set_nodelay(true)?;
        self.socket.set_write_timeout(Some(self.shared.client_timeout))?;
        loop {
            // Requests sent before a stop are still answered.
            let goes_on = self.inbox.has_bytes()
                || self.shared.connections.mark_idle(self.connection)
                || self.connection.has_bytes_waiting();
            if !goes_on {
                return Ok(());
            }
            if !self.inbox.wait_for_request()? || !self.shared.connections.mark_arriving(self.connection) {
                return Ok(());
            }
            match self.exchange()? {
                Next::Request => (),
                Next::Close => return Ok(()),
                Next::CloseUnread => return self.close_unread(),
            }
        }
    }

    /// Receives one request and answers it.
    fn exchange(&mut self) -> io::Result<Next> {
        let head = match self.inbox.head() {
            Ok(head) => head,
            Err(cause) => return self.end(cause, &[]),
        };
        let (version, keep_alive, head_only) = (head.version, head.keep_alive, head.method == Method::Head);
        let (body, expects_continue) = (head.body, head.expects_continue);
        let mut request = request(head, self.connection.remote);
        let id = request.id.clone();
        // Copied, because the handler consumes the request, and the form of a refusal depends on `Accept`.
        let accepts: Vec<Header> =
            request.headers.iter().filter(|header| header.field.equiv("Accept")).cloned().collect();
        let (response, body_is_unread) = match self.answer_head(&request) {
            Some(response) => {
                if !self.shared.connections.mark_answering(self.connection) {
                    return Ok(Next::Close);
                }
                (response, !self.inbox.pass_over(body))
            }
            None => {
                if expects_continue && self.wants_body(body) {
                    (&mut &*self.socket).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                }
                request.body = match self.inbox.body(body) {
                    Ok(body) => body,
                    Err(cause) => return self.end(cause, &request.headers),
                };
                if !self.shared.connections.mark_answering(self.connection) {
                    return Ok(Next::Close);
                }
                (self.answer(request, &accepts), false)
            }
        };
        let response = self.held(response, &accepts, &id);
        let close = !keep_alive || body_is_unread || self.shared.connections.is_stopping();
        self.write(response, &AnswerOptions { version, head_only, close, request_id: &id })?;
        Ok(match close {
            false => Next::Request,
            true if body_is_unread || self.inbox.has_bytes() => Next::CloseUnread,
            true => Next::Close,
        })
    }

    /// The answer, if the head alone suffices for it.
    fn answer_head(&self, request: &Request) -> Option<Response> {
        let answered = catch_unwind(AssertUnwindSafe(|| (self.shared.handlers.answer_head)(request)));
        answered.unwrap_or_else(|_panic| {
            Some(self.refusal_response(&NoAnswer::Panicked, &request.headers, &request.id))
        })
    }

    /// Whether to send `100 Continue`: a body is expected, is not too long, and has not begun to arrive.
    fn wants_body(&self, body: BodyLength) -> bool {
        let is_acceptable = match body {
            BodyLength::Bytes(length) => 0 < length && length <= BODY_MAX as u64,
            BodyLength::Chunked => true,
        };
        is_acceptable && !self.inbox.has_bytes()
    }

    fn answer(&self, request: Request, accepts: &[Header]) -> Response {
        let id = request.id.clone();
        self.shared
            .pool
            .answer(request)
            .unwrap_or_else(|no_answer| self.refusal_response(&no_answer, accepts, &id))
    }

    fn refusal_response(&self, no_answer: &NoAnswer, headers: &[Header], id: &str) -> Response {
        let refusal = match no_answer {
            NoAnswer::Busy => Refusal::overloaded("the queue of requests is full"),
            NoAnswer::Panicked => Refusal::new(500, "the handler panicked"),
        };
        self.log_refusal(&refusal, id);
        self.shared.refusal_response(&refusal, headers)
    }

    /// The answer, or a 503 if there is no memory to hold the answer while the client reads it.
    fn held(&mut self, response: Response, accepts: &[Header], id: &str) -> Response {
        let bytes = response.data_length().unwrap_or(usize::MAX).min(ANSWER_HELD_BYTES);
        match self.inbox.hold_answer(bytes) {
            Ok(()) => response,
            Err(refusal) => {
                self.log_refusal(&refusal, id);
                self.shared.refusal_response(&refusal, accepts)
            }
        }
    }

    /// Ends a connection from which no request can be read. `headers`: those of the request, if they were
    /// read.
    fn end(&self, cause: NoRequest, headers: &[Header]) -> io::Result<Next> {
        match cause {
            NoRequest::Gone(err) => Err(err),
            // The stop has cut it off, so the client may repeat it.
            NoRequest::Incomplete if self.shared.connections.is_stopping() => {
                self.refuse(&Refusal::overloaded("the server stops"), headers)
            }
            NoRequest::Incomplete => self.refuse(&Refusal::malformed("the request ended early"), headers),
            NoRequest::Rejected(Rejected { refusal, headers: of_head }) => {
                self.refuse(&refusal, if headers.is_empty() { &of_head } else { headers })
            }
        }
    }

    /// Refuses a request, and with it the rest of the connection.
    fn refuse(&self, refusal: &Refusal, headers: &[Header]) -> io::Result<Next> {
        if !self.shared.connections.mark_answering(self.connection) {
            return Ok(Next::Close);
        }
        let id = sane_request_id(headers).map_or_else(new_request_id, str::to_owned);
        self.log_refusal(refusal, &id);
        let response = self.shared.refusal_response(refusal, headers);
        let options =
            AnswerOptions { version: Version::Http11, head_only: false, close: true, request_id: &id };
        self.write(response, &options)?;
        Ok(Next::CloseUnread)
    }

    fn log_refusal(&self, refusal: &Refusal, request_id: &str) {
        let Refusal { status, reason, .. } = refusal;
        let level = if *status == 500 { Level::Error } else { Level::Info };
        let remote = self.connection.remote;
        log!(level, status = *status, remote:%, reason:%, request_id; "HTTP request refused");
    }

    fn write(&self, response: Response, options: &AnswerOptions<'_>) -> io::Result<()> {
        let mut outbox = Outbox::new(self.socket, self.shared.client_timeout);
        let Err(cut) = answer::write(&mut outbox, response, options) else { return Ok(()) };
        // Turns the close into a reset. So a client that waits for the rest of the body notices, and the
        // kernel discards its send buffer.
        SockRef::from(self.socket).set_linger(Some(Duration::ZERO))?;
        Err(match cut {
            Cut::Client(err) => err,
            Cut::Body(err) => {
                let (remote, request_id) = (self.connection.remote, options.request_id);
                error!(remote:%, request_id, cause:% = err; "HTTP answer cut off, reading its body failed");
                err
            }
        })
    }

    /// Ends a connection whose client may still be sending. Closing with unread bytes sends a reset, which
    /// can overtake the answer. So this first gives the client time to read the answer, and discards what it
    /// sends.
    fn close_unread(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)?;
        let until = clock::instant() + UNREAD_TIME;
        let mut unread = 0;
        let mut discarded = [0; 8 * 1024];
        while unread < UNREAD_BYTES_MAX {
            let left = until.saturating_duration_since(clock::instant());
            if left.is_zero() {
                break;
            }
            self.socket.set_read_timeout(Some(left))?;
            match (&mut &*self.socket).read(&mut discarded) {
                Ok(0) | Err(_) => break,
                Ok(count) => unread += count,
            }
        }
        Ok(())
    }
}
