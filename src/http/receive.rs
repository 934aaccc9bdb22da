//! Brings the bytes of requests from a socket, in bounded time and memory.
//!
//! Invariant: bytes that follow a request stay for the next one, and no request is whole before its last byte
//! is here.

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

/// What a connection holds while it is idle, and what most heads fit in.
const SMALL_BUFFER: usize = 4 * 1024;
/// What a connection receives a body with.
const BODY_BUFFER: usize = 16 * 1024;
/// The longest line in front of a chunk, with its extensions.
const CHUNK_LINE_MAX: usize = 256;
/// The most bytes of all extensions of a body: they are read and thrown away.
const EXTENSIONS_MAX: usize = 16 * 1024;
/// The most bytes of trailers: they are thrown away too.
pub const TRAILERS_MAX: usize = 8 * 1024;
/// What a header holds beside its text: two strings, each with its own allocation.
const HEADER_COST: usize = 112;

/// Why no request came.
pub(super) enum NoRequest {
    /// The client ended the connection, or it broke; nobody is left to answer.
    Gone(io::Error),
    /// What came is not a request.
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
    /// What the connection holds: the buffer, and what was made of the bytes.
    held: Held<'connection>,
    buffer: Vec<u8>,
    /// The bytes of `buffer` that have come and were not used yet.
    start: usize,
    end: usize,
    /// When the request that is coming must be here. Set once it turns out that one read did not bring all of
    /// it.
    deadline: Option<Instant>,
    /// What the socket's time-out is set to.
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

    /// Waits for the first byte of a request. `false`: there will be none.
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
            // So many connections that not even this is left for each: as if there were no seat.
            return Ok(false);
        }
        self.set_read_timeout(self.idle_timeout)?;
        match self.read() {
            Ok(count) => Ok(count != 0),
            Err(err) if is_timeout(&err) => Ok(false),
            Err(err) => Err(err),
        }
    }

    /// Gives back what the request held, once it is answered, and holds its answer while that is written.
    pub(super) fn hold_answer(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.held.keep(self.buffer.capacity());
        self.held.hold(bytes)
    }

    /// Passes over a body that nobody reads, if all of it is here. `false`: more of it is to come.
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

    /// Whether bytes of another request are here.
    pub(super) fn has_bytes(&self) -> bool {
        self.start < self.end
    }

    /// Brings a whole head.
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
            // Each time there is twice as much, so all the looking together costs no more than two looks at
            // the whole.
            if 2 * checked_to <= bytes.len() {
                check_beginning(bytes).map_err(|refusal| Rejected::unread(refusal, bytes))?;
                checked_to = bytes.len();
            }
            let twice = 2 * bytes.len();
            self.fill(twice.clamp(SMALL_BUFFER, HEAD_MAX))?;
        }
    }

    /// Brings the whole body that a head announced.
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

    /// Appends the next `length` bytes to `body`, which will never have more than `body_max` of them.
    fn take(&mut self, length: usize, body_max: usize, body: &mut Vec<u8>) -> Result<(), NoRequest> {
        let whole = body.len() + length;
        loop {
            let count = (whole - body.len()).min(self.end - self.start);
            // Only for what has come: announcing much costs a client nothing, so it must cost us nothing.
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

    /// The next line, without its end. One of more than `max` bytes is refused with `status_if_longer`.
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

    /// Waits for more bytes of a request that has begun, with a buffer of at least `size`: larger than what
    /// it holds.
    fn fill(&mut self, size: usize) -> Result<(), NoRequest> {
        let now = clock::instant();
        let deadline = *self.deadline.get_or_insert(now + self.client_timeout);
        if deadline <= now {
            return Err(too_slow().into());
        }
        self.make_room(size)?;
        self.set_read_timeout(deadline - now)?;
        match self.read() {
            // It may still listen: a client that has no more to say can have closed its sending side only.
            Ok(0) => Err(Refusal::malformed("the request ended early").into()),
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

/// `length` more bytes of a body that has some already, unless that is too long.
fn checked_length(body: &[u8], length: u64) -> Result<usize, Refusal> {
    match usize::try_from(length) {
        Ok(length) if length <= BODY_MAX - body.len() => Ok(length),
        _ => Err(Refusal::new(413, format!("a body of more than {BODY_MAX} bytes"))),
    }
}

fn too_slow() -> Refusal {
    Refusal::new(408, "the request did not come in time")
}

/// What the system says when a time-out of a socket is over: which of the two depends on the system.
fn is_timeout(err: &io::Error) -> bool {
    matches!(err.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
