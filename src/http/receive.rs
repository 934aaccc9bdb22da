//! Reads the bytes of requests from a socket, in bounded time and memory.
//!
//! Invariant: bytes after the end of a request are kept for the next one, and a request is complete only when
//! its last byte has arrived.

use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::Refusal;
use super::memory::Held;
use super::message::{
    BODY_MAX, BodyLength, HEAD_MAX, Head, HeadEnd, Rejected, check_beginning, check_trailer,
    parse_chunk_line, parse_head,
};
use crate::base::clock;

/// The buffer of an idle connection. Most heads fit in it.
const SMALL_BUFFER: usize = 4 * 1024;
/// The buffer while a body is received.
const BODY_BUFFER: usize = 16 * 1024;
/// The longest size line of a chunk, extensions included.
const CHUNK_LINE_MAX: usize = 256;
/// The most bytes of chunk extensions in a body. They are discarded.
const EXTENSIONS_MAX: usize = 16 * 1024;
/// The most bytes of trailers. They are discarded.
pub const TRAILERS_MAX: usize = 8 * 1024;
/// The memory of a header beyond its text: two strings, each with its own allocation.
const HEADER_COST: usize = 112;

/// Why there is no request.
pub(super) enum NoRequest {
    /// The connection has ended or failed, so no answer can be sent.
    Gone(io::Error),
    /// Nothing follows the beginning of a request. The client may have closed only its sending side, so it
    /// still gets an answer; or the server stops ([`super::connections::Connections::stop`]).
    Incomplete,
    /// The bytes are not a valid request.
    Rejected(Rejected),
}

impl From<io::Error> for NoRequest {
    fn from(err: io::Error) -> Self {
        Self::Gone(err)
    }
}

impl From<Rejected> for NoRequest {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}

impl From<Refusal> for NoRequest {
    fn from(refusal: Refusal) -> Self {
        Self::Rejected(refusal.into())
    }
}

/// The incoming side of a connection.
pub(super) struct Inbox<'connection> {
    socket: &'connection TcpStream,
    client_timeout: Duration,
    idle_timeout: Duration,
    /// The memory counted for the connection: the buffer, and the parsed request.
    held: Held<'connection>,
    buffer: Vec<u8>,
    /// The part of `buffer` that was received but not used yet.
    start: usize,
    end: usize,
    /// When the current request must be complete. Set only if the first read does not bring all of it.
    deadline: Option<Instant>,
    /// The socket's current read time-out.
    read_timeout: Option<Duration>,
}

impl<'connection> Inbox<'connection> {
    pub(super) fn new(
        socket: &'connection TcpStream,
        client_timeout: Duration,
        idle_timeout: Duration,
        held: Held<'connection>,
    ) -> Self {
        Self {
            socket,
            client_timeout,
            idle_timeout,
            held,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            deadline: None,
            read_timeout: None,
        }
    }

    /// Waits for the first byte of a request. Returns `false` if the connection is to be closed instead.
    pub(super) fn wait_for_request(&mut self) -> io::Result<bool> {
        self.deadline = None;
        if self.has_bytes() {
            self.held.keep(self.buffer.capacity());
            return Ok(true);
        }
        if self.buffer.len() != SMALL_BUFFER {
            self.buffer = vec![0; SMALL_BUFFER];
        }
        self.held.keep(0);
        if self.held.hold(SMALL_BUFFER).is_err() {
            // No memory even for this buffer: close the connection, as if there were no seat.
            return Ok(false);
        }
        self.set_read_timeout(self.idle_timeout)?;
        match self.read() {
            Ok(count) => Ok(count != 0),
            Err(err) if is_timeout(&err) => Ok(false),
            Err(err) => Err(err),
        }
    }

    /// Releases the memory of the request, and holds `bytes` for its answer while that is written.
    pub(super) fn hold_answer(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.held.keep(self.buffer.capacity());
        self.held.hold(bytes)
    }

    /// Skips an unread body if all of it has arrived. Returns `false` if more is to come.
    pub(super) fn pass_over(&mut self, body: BodyLength) -> bool {
        let BodyLength::Bytes(length) = body else { return false };
        match usize::try_from(length) {
            Ok(length) if length <= self.end - self.start => {
                self.start += length;
                true
            }
            _ => false,
        }
    }

    /// Whether bytes of another request have arrived.
    pub(super) fn has_bytes(&self) -> bool {
        self.start < self.end
    }

    /// Reads a complete head.
    pub(super) fn head(&mut self) -> Result<Head, NoRequest> {
        let mut head_end = HeadEnd::default();
        let mut checked_to = 0;
        loop {
            let bytes = &self.buffer[self.start..self.end];
            let end = head_end.find(bytes).map_err(|refusal| Rejected::unread(refusal, bytes))?;
            if HEAD_MAX <= bytes.len() && end.is_none_or(|end| HEAD_MAX < end) {
                let refusal = Refusal::new(431, format!("a head of more than {HEAD_MAX} bytes"));
                return Err(Rejected::unread(refusal, bytes).into());
            }
            if let Some(end) = end {
                let head = parse_head(&bytes[..end])?;
                self.start += end;
                self.held
                    .hold(end + head.headers.len() * HEADER_COST)
                    .map_err(|refusal| Rejected { refusal, headers: head.headers.clone() })?;
                return Ok(head);
            }
            // Checked whenever the size has doubled, so all checks together cost at most two checks of the
            // whole head.
            if 2 * checked_to <= bytes.len() {
                check_beginning(bytes).map_err(|refusal| Rejected::unread(refusal, bytes))?;
                checked_to = bytes.len();
            }
            let twice = 2 * bytes.len();
            self.fill(twice.clamp(SMALL_BUFFER, HEAD_MAX))?;
        }
    }

    /// Reads the complete body that a head announced.
    pub(super) fn body(&mut self, length: BodyLength) -> Result<Vec<u8>, NoRequest> {
        match length {
            BodyLength::Bytes(0) => Ok(Vec::new()),
            BodyLength::Bytes(length) => {
                let mut body = Vec::new();
                let length = checked_length(&body, length)?;
                self.take(length, length, &mut body)?;
                Ok(body)
            }
            BodyLength::Chunked => self.chunks(),
        }
    }

    fn chunks(&mut self) -> Result<Vec<u8>, NoRequest> {
        let mut body = Vec::new();
        let mut extensions = 0;
        loop {
            let line = parse_chunk_line(self.line(CHUNK_LINE_MAX, 400)?)?;
            extensions += line.extension_length;
            if EXTENSIONS_MAX < extensions {
                return Err(Refusal::malformed("too many chunk extensions").into());
            }
            if line.size == 0 {
                break;
            }
            self.take(checked_length(&body, line.size)?, BODY_MAX, &mut body)?;
            if !self.line(0, 400)?.is_empty() {
                return Err(Refusal::malformed("a chunk longer than its size").into());
            }
        }
        let mut room_for_trailers = TRAILERS_MAX;
        loop {
            let trailer = self.line(room_for_trailers, 431)?;
            if trailer.is_empty() {
                return Ok(body);
            }
            check_trailer(trailer)?;
            room_for_trailers = room_for_trailers.saturating_sub(trailer.len());
        }
    }

    /// Appends the next `length` bytes to `body`, which never grows beyond `body_max`.
    fn take(&mut self, length: usize, body_max: usize, body: &mut Vec<u8>) -> Result<(), NoRequest> {
        let whole = body.len() + length;
        loop {
            let count = (whole - body.len()).min(self.end - self.start);
            // Allocate only for bytes that have arrived: announcing many costs a client nothing, so it must
            // cost the server nothing.
            let needed = body.len() + count;
            if body.capacity() < needed {
                let capacity = needed.max(2 * body.capacity()).min(body_max);
                self.held.hold(capacity - body.capacity())?;
                body.reserve_exact(capacity - body.len());
            }
            body.extend_from_slice(&self.buffer[self.start..self.start + count]);
            self.start += count;
            if body.len() == whole {
                return Ok(());
            }
            self.fill(BODY_BUFFER)?;
        }
    }

    /// The next line, without its end. A line longer than `max` bytes is refused with `status_if_longer`.
    fn line(&mut self, max: usize, status_if_longer: u16) -> Result<&[u8], NoRequest> {
        let mut looked_at = 0;
        loop {
            let bytes = &self.buffer[self.start..self.end];
            if let Some(offset) = bytes[looked_at..].iter().position(|byte| *byte == b'\n') {
                let length = looked_at + offset;
                let line = &self.buffer[self.start..self.start + length];
                self.start += length + 1;
                let Some(line) = line.strip_suffix(b"\r") else {
                    return Err(Refusal::malformed("a line ends without CR").into());
                };
                if max < line.len() {
                    return Err(Refusal::new(status_if_longer, "a line among the chunks is too long").into());
                }
                if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
                    return Err(Refusal::malformed("a control character among the chunks").into());
                }
                return Ok(line);
            }
            looked_at = bytes.len();
            if max + 1 < looked_at {
                return Err(Refusal::new(status_if_longer, "a line among the chunks is too long").into());
            }
            self.fill(BODY_BUFFER)?;
        }
    }

    /// Waits for more bytes of a request, with a buffer of at least `size` bytes, which must exceed what it
    /// holds.
    fn fill(&mut self, size: usize) -> Result<(), NoRequest> {
        let now = clock::instant();
        let deadline = *self.deadline.get_or_insert(now + self.client_timeout);
        if deadline <= now {
            return Err(too_slow().into());
        }
        self.make_room(size)?;
        self.set_read_timeout(deadline - now)?;
        match self.read() {
            Ok(0) => Err(NoRequest::Incomplete),
            Ok(_) => Ok(()),
            Err(err) if is_timeout(&err) => Err(too_slow().into()),
            Err(err) => Err(err.into()),
        }
    }

    fn make_room(&mut self, size: usize) -> Result<(), Refusal> {
        if 0 < self.start {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() < size {
            self.held.hold(size - self.buffer.len())?;
            self.buffer.reserve_exact(size - self.buffer.len());
            self.buffer.resize(size, 0);
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<usize> {
        if !self.has_bytes() {
            (self.start, self.end) = (0, 0);
        }
        loop {
            match (&mut &*self.socket).read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(err) if err.kind() == ErrorKind::Interrupted => (),
                Err(err) => return Err(err),
            }
        }
    }

    fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        if self.read_timeout != Some(timeout) {
            self.socket.set_read_timeout(Some(timeout))?;
            self.read_timeout = Some(timeout);
        }
        Ok(())
    }
}

/// `length` as a `usize`, unless it would make the body too long.
fn checked_length(body: &[u8], length: u64) -> Result<usize, Refusal> {
    match usize::try_from(length) {
        Ok(length) if length <= BODY_MAX - body.len() => Ok(length),
        _ => Err(Refusal::new(413, format!("a body of more than {BODY_MAX} bytes"))),
    }
}

fn too_slow() -> Refusal {
    Refusal::new(408, "the request did not arrive in time")
}

/// Whether a socket's time-out has passed. Which of the two errors it is depends on the system.
fn is_timeout(err: &io::Error) -> bool {
    matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
