//! Writes answers: the head as tiny_http prints it, our own framing, and the body.
//!
//! Invariant: an incomplete answer never looks complete, and a client that does not read is disconnected
//! within a time limit.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use log::error;
use tiny_http::{HTTPVersion, Header};

use super::message::Version;
use super::{Body, Response};
use crate::base::clock;

/// The most bytes written to the socket at once. The client must take them within its time-out.
const PIECE_BYTES: usize = 64 * 1024;
/// The chunk size for streams, in bytes.
const STREAM_BYTES: usize = 16 * 1024;
/// The client must take a whole answer within this many times `CLIENT_TIMEOUT_SECONDS`.
const WHOLE_ANSWER_TIMEOUTS: u32 = 20;
/// The initial capacity for a head: enough for most.
const HEAD_BYTES: usize = 512;

/// How to write an answer.
pub(super) struct AnswerOptions<'request> {
    pub version: Version,
    /// Whether to leave out the body, because the request was a `HEAD`.
    pub head_only: bool,
    /// Whether the connection ends after this answer; sends `Connection: close`.
    pub close: bool,
    pub request_id: &'request str,
}

/// Why an answer is incomplete. The connection must then be reset, so that the client notices.
pub(super) enum Cut {
    /// The client did not read it in time, or disconnected.
    Client(io::Error),
    /// Reading the body failed.
    Body(io::Error),
}

/// Writes an answer.
pub(super) fn write(
    out: &mut impl Write,
    response: Response,
    options: &AnswerOptions<'_>,
) -> Result<(), Cut> {
    let status = response.status_code().0;
    let announced = response.data_length();
    let mut bytes = head_without_framing(&response).map_err(Cut::Body)?;
    let names_cache_control = response.headers().iter().any(|header| header.field.equiv("Cache-Control"));
    let body = response.into_reader();
    let framing = Framing::of(&body, announced, options);
    let without_body = matches!(status, 204 | 304);
    if !without_body {
        framing.describe(&mut bytes);
    }
    put(&mut bytes, &["X-Request-Id: ", options.request_id, "\r\n"]);
    if !names_cache_control {
        // A proxy must not cache an answer and show it to another caller.
        put(&mut bytes, &["Cache-Control: no-store\r\n"]);
    }
    // Written here, because tiny_http drops a header of this name.
    put(&mut bytes, &[if options.close { "Connection: close\r\n\r\n" } else { "\r\n" }]);
    if options.head_only || without_body {
        return out.write_all(&bytes).map_err(Cut::Client);
    }
    match body {
        Body::Empty => out.write_all(&bytes).map_err(Cut::Client),
        Body::Bytes(body) => {
            let body = unread(&body);
            // Send head and body in one packet if they fit.
            let (first, rest) = body.split_at(body.len().min(PIECE_BYTES.saturating_sub(bytes.len())));
            bytes.extend_from_slice(first);
            out.write_all(&bytes).and_then(|()| out.write_all(rest)).map_err(Cut::Client)
        }
        Body::Stream(stream) => write_stream(out, bytes, stream, framing),
    }
}

/// How the client learns where the body ends.
#[derive(Clone, Copy)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Framing {
    fn of(body: &Body, announced: Option<usize>, options: &AnswerOptions<'_>) -> Self {
        match (body, announced) {
            // For HEAD: the length that the body of a GET would have.
            (Body::Empty, Some(length)) if options.head_only => Self::Length(length as u64),
            (Body::Empty, _) => Self::Length(0),
            (Body::Bytes(bytes), _) => Self::Length(unread(bytes).len() as u64),
            (Body::Stream(_), Some(length)) => Self::Length(length as u64),
            (Body::Stream(_), None) if options.version == Version::Http10 => Self::UntilClose,
            (Body::Stream(_), None) => Self::Chunked,
        }
    }

    fn describe(self, head: &mut Vec<u8>) {
        match self {
            Self::Length(length) => put(head, &["Content-Length: ", &length.to_string(), "\r\n"]),
            Self::Chunked => put(head, &["Transfer-Encoding: chunked\r\n"]),
            Self::UntilClose => (),
        }
    }
}

/// The head as tiny_http prints it, without framing. tiny_http's own framing would chunk bodies of known
/// length, buffer whole streams for HTTP/1.0, and add a length to a 204.
fn head_without_framing(response: &Response) -> io::Result<Vec<u8>> {
    const ITS_FRAMING: &[u8] = b"Content-Length: 0\r\n\r\n";
    let headers = response.headers().iter().filter(|header| may_be_sent(header)).cloned().collect();
    let mut bytes = Vec::with_capacity(HEAD_BYTES);
    tiny_http::Response::new(response.status_code(), headers, io::empty(), Some(0), None).raw_print(
        &mut bytes,
        HTTPVersion(1, 1),
        &[],
        true,
        None,
    )?;
    match bytes.strip_suffix(ITS_FRAMING).map(<[u8]>::len) {
        Some(length) => bytes.truncate(length),
        None => return Err(io::Error::other("tiny_http printed unexpected framing")),
    }
    Ok(bytes)
}

fn may_be_sent(header: &Header) -> bool {
    let is_one_line = |text: &str| !text.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    // A line end in a value would allow response splitting.
    if !is_one_line(header.field.as_str().as_str()) || !is_one_line(header.value.as_str()) {
        error!("HTTP answer sent without a header, which contained a line end");
        return false;
    }
    !header.field.equiv("X-Request-Id")
}

fn put(bytes: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        bytes.extend_from_slice(text.as_bytes());
    }
}

fn unread(bytes: &io::Cursor<Vec<u8>>) -> &[u8] {
    let position = usize::try_from(bytes.position()).unwrap_or(usize::MAX);
    bytes.get_ref().get(position..).unwrap_or_default()
}

/// Writes `bytes`, then the stream, reusing `bytes` as the buffer.
fn write_stream(
    out: &mut impl Write,
    mut bytes: Vec<u8>,
    mut stream: Box<dyn Read + Send>,
    framing: Framing,
) -> Result<(), Cut> {
    let mut left = match framing {
        Framing::Length(length) => length,
        Framing::Chunked | Framing::UntilClose => u64::MAX,
    };
    loop {
        let wanted = left.min(STREAM_BYTES as u64);
        let count = match framing {
            Framing::Chunked => append_chunk(&mut bytes, &mut stream, wanted),
            Framing::Length(_) | Framing::UntilClose => append(&mut bytes, &mut stream, wanted),
        };
        let count = count.map_err(Cut::Body)?;
        out.write_all(&bytes).map_err(Cut::Client)?;
        bytes.clear();
        left -= count;
        match framing {
            Framing::Length(_) if left == 0 => return Ok(()),
            Framing::Length(_) if count < wanted => {
                return Err(Cut::Body(io::Error::new(ErrorKind::UnexpectedEof, "shorter than its length")));
            }
            Framing::Chunked | Framing::UntilClose if count < wanted => return Ok(()),
            _ => (),
        }
    }
}

/// Appends the next `wanted` bytes of the stream; fewer only at its end.
fn append(bytes: &mut Vec<u8>, stream: &mut Box<dyn Read + Send>, wanted: u64) -> io::Result<u64> {
    stream.take(wanted).read_to_end(bytes).map(|count| count as u64)
}

/// Appends the next bytes as a chunk; at the end of the stream, the empty last chunk.
fn append_chunk(bytes: &mut Vec<u8>, stream: &mut Box<dyn Read + Send>, wanted: u64) -> io::Result<u64> {
    let size_at = bytes.len();
    bytes.extend_from_slice(b"0000\r\n");
    let count = append(bytes, stream, wanted)?;
    // Never more than STREAM_BYTES, so four digits do.
    bytes[size_at..size_at + 4].copy_from_slice(format!("{count:04x}").as_bytes());
    if count == 0 {
        bytes.truncate(size_at);
    } else {
        bytes.extend_from_slice(b"\r\n");
    }
    if count < wanted {
        bytes.extend_from_slice(b"0\r\n\r\n");
    }
    Ok(count)
}

/// The outgoing side of a connection, for one answer. The socket has a write time-out.
pub(super) struct Outbox<'connection> {
    socket: &'connection TcpStream,
    client_timeout: Duration,
    started: Instant,
}

impl<'connection> Outbox<'connection> {
    pub(super) fn new(socket: &'connection TcpStream, client_timeout: Duration) -> Self {
        Self { socket, client_timeout, started: clock::instant() }
    }
}

impl Write for Outbox<'_> {
    /// Writes all of `bytes` within the time-out, or fails. So a client cannot block it by reading a few
    /// bytes at a time.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE_BYTES)];
        let piece_started = clock::instant();
        if WHOLE_ANSWER_TIMEOUTS * self.client_timeout <= piece_started - self.started {
            return Err(ErrorKind::TimedOut.into());
        }
        let mut rest = piece;
        while !rest.is_empty() {
            match (&mut &*self.socket).write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => rest = &rest[count..],
                Err(err) if err.kind() == ErrorKind::Interrupted => (),
                Err(err) => return Err(err),
            }
            if !rest.is_empty() && self.client_timeout <= piece_started.elapsed() {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
