//! Reads the answers to calls, as leniently as Go's client and curl: once the status has been read, it
//! counts.
//!
//! Invariant: the constants below bound the memory of an answer, whatever the server sends.

use std::io::{self, BufRead, ErrorKind, Read};

use ureq::http::StatusCode;

/// The most bytes of the heads of an answer, including informational ones. Go's client accepts 10 MiB, curl
/// 300 KB.
const HEAD_BYTES_MAX: usize = 1024 * 1024;
/// The most bytes of a line that are kept. The longest line that matters is a `Location`.
const LINE_BYTES_MAX: usize = 128 * 1024;
/// The most bytes of a body that are read.
pub(super) const BODY_BYTES_MAX: u64 = 64 * 1024;

/// The head of an answer.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) location: Option<Vec<u8>>,
    pub(super) retry_after: Option<String>,
    framing: Framing,
    /// Whether the connection may be reused after the body.
    persists: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Empty,
    Length(u64),
    Chunked,
    #[default]
    UntilClose,
}

/// Reads the head of the final answer to a request.
///
/// # Errors
/// There is no status: the connection ended first, or the server does not speak HTTP.
pub(super) fn read_head(source: &mut impl BufRead, method: &str) -> io::Result<Head> {
    let mut left = HEAD_BYTES_MAX;
    loop {
        let (status, is_http_1_1) = read_status(source, &mut left)?;
        let Some(fields) = read_fields(source, &mut left) else {
            if status.is_informational() {
                return Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    "the connection ended before the answer",
                ));
            }
            return Ok(Head { status, ..Head::default() });
        };
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            let framing = fields.framing(status, method);
            return Ok(Head {
                status,
                framing,
                persists: is_http_1_1 && !fields.closes && status != StatusCode::SWITCHING_PROTOCOLS,
                location: fields.location,
                retry_after: fields.retry_after,
            });
        }
    }
}

impl Head {
    /// Reads and discards the body, up to a limit. Returns whether it has ended, so that the connection may
    /// be reused.
    pub(super) fn skip_body(&self, source: &mut impl BufRead) -> bool {
        let ended = match self.framing {
            Framing::Empty => Ok(true),
            Framing::Length(length) => {
                skip(source, length.min(BODY_BYTES_MAX)).map(|skipped| skipped == length)
            }
            Framing::Chunked => skip_chunks(source),
            Framing::UntilClose => skip(source, BODY_BYTES_MAX).map(|_| false),
        };
        self.persists && ended.unwrap_or(false)
    }
}

fn read_status(source: &mut impl BufRead, left: &mut usize) -> io::Result<(StatusCode, bool)> {
    let no_http = || io::Error::new(ErrorKind::InvalidData, "the answer is not HTTP");
    let line = read_line(source, left)?
        .ok_or_else(|| io::Error::new(ErrorKind::UnexpectedEof, "the connection ended before the answer"))?;
    let line = line.strip_prefix(b"HTTP/").ok_or_else(no_http)?;
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let version = words.next().unwrap_or_default();
    let is_version = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    let status = words.next().and_then(|word| StatusCode::from_bytes(word).ok());
    let status = status.filter(|_| !version.is_empty() && version.iter().all(is_version));
    Ok((status.ok_or_else(no_http)?, version == b"1.1"))
}

/// The header fields that matter here.
#[derive(Debug, Default)]
struct Fields {
    location: Option<Vec<u8>>,
    retry_after: Option<String>,
    length: Option<Vec<u8>>,
    encoding: Option<Vec<u8>>,
    lengths_differ: bool,
    closes: bool,
}

/// `None`: the head is incomplete.
fn read_fields(source: &mut impl BufRead, left: &mut usize) -> Option<Fields> {
    let mut fields = Fields::default();
    let mut field = Vec::new();
    loop {
        let line = read_line(source, left).ok()??;
        match line.first() {
            // A folded line continues the previous field.
            Some(b' ' | b'\t') if !line.trim_ascii().is_empty() => {
                if field.len() + line.len() < LINE_BYTES_MAX {
                    field.push(b' ');
                    field.extend_from_slice(line.trim_ascii());
                }
            }
            first => {
                fields.take(&field);
                if first.is_none() {
                    return Some(fields);
                }
                field = line;
            }
        }
    }
}

impl Fields {
    /// Ignores lines without a colon, and accepts blanks before the colon.
    fn take(&mut self, field: &[u8]) {
        let Some(colon) = field.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = (field[..colon].trim_ascii(), field[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"location") {
            self.location.get_or_insert_with(|| value.to_vec());
        } else if name.eq_ignore_ascii_case(b"retry-after") {
            self.retry_after = std::str::from_utf8(value).ok().map(str::to_owned);
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths_differ |= self.length.as_ref().is_some_and(|known| known != value);
            self.length = Some(value.to_vec());
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.encoding = Some(value.to_ascii_lowercase());
        } else if name.eq_ignore_ascii_case(b"connection") {
            let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            self.closes |= options.any(|option| option.eq_ignore_ascii_case(b"close"));
        }
    }

    /// According to RFC 9112, 6.3. If it is contradictory, the body ends with the connection.
    fn framing(&self, status: StatusCode, method: &str) -> Framing {
        let has_no_body = method == "HEAD" || matches!(status.as_u16(), 101 | 204 | 304);
        match (&self.encoding, &self.length) {
            _ if has_no_body => Framing::Empty,
            (Some(encoding), None) if encoding == b"chunked" => Framing::Chunked,
            (None, Some(length)) if !self.lengths_differ && length.iter().all(u8::is_ascii_digit) => {
                let length = std::str::from_utf8(length).ok().and_then(|length| length.parse().ok());
                length.map_or(Framing::UntilClose, Framing::Length)
            }
            _ => Framing::UntilClose,
        }
    }
}

/// Reads a line without its CRLF or LF, truncated to [`LINE_BYTES_MAX`]; `None`: the source ended within the
/// line.
///
/// # Errors
/// The source failed, or the line exceeded `left` bytes.
fn read_line(source: &mut impl BufRead, left: &mut usize) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let available = source.fill_buf()?;
        if available.is_empty() {
            return Ok(None);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let count = end.map_or(available.len(), |end| end + 1);
        *left =
            left.checked_sub(count).ok_or_else(|| io::Error::other("the head of the answer is too long"))?;
        let room = LINE_BYTES_MAX - line.len();
        line.extend_from_slice(&available[..count.min(room)]);
        source.consume(count);
        if end.is_some() {
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let length = text.strip_suffix(b"\r").unwrap_or(text).len();
            line.truncate(length);
            return Ok(Some(line));
        }
    }
}

fn skip(source: &mut impl BufRead, bytes: u64) -> io::Result<u64> {
    io::copy(&mut source.by_ref().take(bytes), &mut io::sink())
}

/// Whether the last chunk and the trailer arrived within the limit.
fn skip_chunks(source: &mut impl BufRead) -> io::Result<bool> {
    let mut left = usize::try_from(BODY_BYTES_MAX).unwrap_or(usize::MAX);
    loop {
        let Some(line) = read_line(source, &mut left)? else { return Ok(false) };
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(size).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        match size {
            Some(0) => return Ok(read_fields(source, &mut left).is_some()),
            Some(size) => {
                let Some(rest) = left.checked_sub(size) else {
                    skip(source, left as u64)?;
                    return Ok(false);
                };
                left = rest;
                skip(source, size as u64)?;
                if read_line(source, &mut left)?.is_none_or(|line| !line.is_empty()) {
                    return Ok(false);
                }
            }
            None => return Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status, whether the connection may be reused, and the `Location`.
    fn read(answer: &[u8], method: &str) -> Result<(u16, bool, Option<String>), String> {
        let mut source = answer;
        let head = read_head(&mut source, method).map_err(|err| err.to_string())?;
        let location = head.location.as_ref().map(|location| String::from_utf8_lossy(location).into_owned());
        let ended = head.skip_body(&mut source);
        Ok((head.status.as_u16(), ended && source.is_empty(), location))
    }

    #[test]
    fn answers_that_go_and_curl_accept_are_accepted() {
        #[track_caller]
        fn check(answer: &str, status: u16, persists: bool) {
            assert_eq!(read(answer.as_bytes(), "POST"), Ok((status, persists, None)), "{answer:.200}");
        }
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, true);
        check("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, true);
        check("HTTP/1.1 200\r\nContent-Length:0\r\n\r\n", 200, true);
        check("HTTP/1.1  204  \r\n\r\n", 204, true);
        check("HTTP/1.0 200 OK\r\n\r\nok", 200, false);
        check("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", 999, true);
        check("HTTP/1.1 200 caf\u{e9}\r\nContent-Length: 0\r\n\r\n", 200, true);
        // Folded lines, blanks before the colon, no colon, no name, odd names and values.
        check("HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\n\tc\r\nContent-Length :\r\n 0\r\n\r\n", 200, true);
        check(
            "HTTP/1.1 200 OK\r\nno colon\r\n: none\r\nX (y): \u{1}\r\nContent-Length: 0\r\n\r\n",
            200,
            true,
        );
        check(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(300)), 200, false);
        check(&format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(300_000)), 200, false);
        check(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 Y\r\n\r\n",
            204,
            true,
        );
        // Once the status has been read, it counts.
        check("HTTP/1.1 200 OK\r\n", 200, false);
        check("HTTP/1.1 200 OK\r\nX-Cut: he", 200, false);
        check(&format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(1_000_000)), 200, false);
        check("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", 200, false);
        check("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", 200, false);
        check("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok", 200, false);
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nxx", 200, false);
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 200, false);
    }

    #[test]
    fn a_connection_is_reused_only_after_a_complete_answer() {
        #[track_caller]
        fn check(answer: &str, method: &str, persists: bool) {
            assert_eq!(read(answer.as_bytes(), method).unwrap().1, persists, "{answer:.100}");
        }
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
        check(&format!("{chunked}2;x=y\r\nok\r\n0\r\nTrailer: x\r\n\r\n"), "POST", true);
        check(&format!("{chunked}2\r\nok\r\n0\r\n\r\nmore"), "POST", false);
        check(&format!("{chunked}fffff\r\n{}", "x".repeat(100_000)), "POST", false);
        check(&format!("{chunked}ffffffffffffffff\r\nx"), "POST", false);
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", true);
        check("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", true);
        check("HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 0\r\n\r\n", "GET", false);
        check(
            &format!("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n{}", "x".repeat(70_000)),
            "GET",
            false,
        );
    }

    #[test]
    fn the_first_location_counts_and_may_be_long_empty_or_folded() {
        let long = "x".repeat(100_000);
        for (fields, expected) in [
            ("Location: /a\r\nLocation: /b\r\n", "/a"),
            ("location :/a\r\n", "/a"),
            ("Location:\r\n", ""),
            ("Location:\r\n /a\r\n", "/a"),
            (&format!("Location: /{long}\r\n"), &format!("/{long}")),
        ] {
            let answer = format!("HTTP/1.1 302 Found\r\n{fields}\r\n");
            assert_eq!(read(answer.as_bytes(), "GET").unwrap().2.as_deref(), Some(expected));
        }
    }

    #[test]
    fn bytes_without_a_status_are_no_answer() {
        for (answer, reason) in [
            ("", "ended before"),
            ("HTTP/1.1 20", "ended before"),
            ("HTTP/1.1 100 Continue\r\n", "ended before"),
            ("SSH-2.0-OpenSSH_9.7\r\n", "not HTTP"),
            ("HTTP/1.1 OK\r\n\r\n", "not HTTP"),
            ("HTTP/1.1 20 OK\r\n\r\n", "not HTTP"),
            ("HTTP/ 200 OK\r\n\r\n", "not HTTP"),
            (&"x".repeat(2_000_000), "too long"),
        ] {
            let fault = read(answer.as_bytes(), "GET").unwrap_err();
            assert!(fault.contains(reason), "{answer:.40}: {fault}");
        }
    }
}
