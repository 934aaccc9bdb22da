//! Parses requests: request line, headers and the length of the body (RFC 9110 and 9112).
//!
//! Invariant: a head is accepted only if it is unambiguous, so a proxy in front of this server cannot see a
//! different boundary between two requests (request smuggling). Pure: `receive` reads the bytes from the
//! socket.

use std::mem::MaybeUninit;

use tiny_http::{Header, Method};

use super::Refusal;

/// The most bytes of a head: request line, headers and the empty line. A longer one gets a 431.
pub const HEAD_MAX: usize = 64 * 1024;
/// The most bytes of a body. A longer one gets a 413.
pub const BODY_MAX: usize = 1024 * 1024;
/// The most headers: as many of the shortest (`a:`) as fit into 16 KiB. More get a 431.
pub const HEADERS_MAX: usize = 16 * 1024 / 4;
/// How many headers are parsed on the stack: more than clients and proxies usually send.
const HEADERS_USUAL: usize = 64;
/// The longest method. The longest registered one, UPDATEREDIRECTREF, has 17 letters.
const METHOD_MAX: usize = 32;
/// The longest `X-Request-Id` of a client that is kept.
const REQUEST_ID_MAX: usize = 64;

/// A parsed head. It holds a token, so there is no `Debug`.
pub(super) struct Head {
    pub method: Method,
    pub path: String,
    pub query: Option<String>,
    pub headers: Vec<Header>,
    pub version: Version,
    pub body: BodyLength,
    /// Whether the connection may continue after this request.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http10,
    Http11,
}

/// How to find the end of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    /// This many bytes; 0, for any method, if the head names no length.
    Bytes(u64),
    /// In chunks, the last of which is empty.
    Chunked,
}

/// A rejected head, with the headers that could be read.
pub(super) struct Rejected {
    pub refusal: Refusal,
    pub headers: Vec<Header>,
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, headers: Vec::new() }
    }
}

impl Rejected {
    /// Rejects a head that cannot be parsed. Of its headers, only `Accept` is kept: it decides the form of
    /// the refusal.
    pub(super) fn unread(refusal: Refusal, bytes: &[u8]) -> Self {
        Self { refusal, headers: accepts_of(bytes) }
    }
}

/// The `Accept` headers among the complete lines of a head that may be malformed.
fn accepts_of(bytes: &[u8]) -> Vec<Header> {
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
    let values = bytes[..end].split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        line[..colon].eq_ignore_ascii_case(b"Accept").then(|| &line[colon + 1..])
    });
    values
        .take(HEADERS_USUAL)
        .filter_map(|value| Header::from_bytes("Accept", value.trim_ascii()).ok())
        .collect()
}

/// Finds the end of a head while its bytes arrive. Examines each byte once, however few arrive at a time.
#[derive(Debug, Default)]
pub(super) struct HeadEnd {
    looked_at: usize,
    line_start: usize,
    request_line_seen: bool,
}

impl HeadEnd {
    /// Examines the bytes that arrived since the last call; `head` has all bytes so far. Returns the length
    /// of the head once its end has arrived.
    pub(super) fn find(&mut self, head: &[u8]) -> Result<Option<usize>, Refusal> {
        while let Some(offset) = head[self.looked_at..].iter().position(|byte| *byte == b'\n') {
            let line_end = self.looked_at + offset;
            self.looked_at = line_end + 1;
            // RFC 9112 allows a lone LF as a line end, but not every proxy accepts it.
            if line_end == self.line_start || head[line_end - 1] != b'\r' {
                return Err(Refusal::malformed("a line ends without CR"));
            }
            let line_is_empty = line_end - 1 == self.line_start;
            self.line_start = self.looked_at;
            // Empty lines before the request line are skipped, as RFC 9112 recommends.
            if line_is_empty && self.request_line_seen {
                return Ok(Some(self.looked_at));
            }
            self.request_line_seen |= !line_is_empty;
        }
        self.looked_at = head.len();
        Ok(None)
    }
}

/// Checks the beginning of a head, so that a client that speaks another protocol gets an error at once.
pub(super) fn check_beginning(bytes: &[u8]) -> Result<(), Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_USUAL];
    match httparse::Request::new(&mut headers).parse(bytes) {
        // Too many headers are reported once the head is complete.
        Ok(_) | Err(httparse::Error::TooManyHeaders) => Ok(()),
        Err(err) => Err(Refusal::malformed(err.to_string())),
    }
}

/// Parses a complete head: all bytes up to and including the empty line.
pub(super) fn parse_head(bytes: &[u8]) -> Result<Head, Rejected> {
    parse_whole_head(bytes).map_err(|rejected| match rejected.headers.is_empty() {
        true => Rejected::unread(rejected.refusal, bytes),
        false => rejected,
    })
}

fn parse_whole_head(bytes: &[u8]) -> Result<Head, Rejected> {
    let mut few = [const { MaybeUninit::uninit() }; HEADERS_USUAL];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(bytes, &mut few) {
        Err(httparse::Error::TooManyHeaders) => {
            let mut many = vec![httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut parsed = httparse::Request::new(&mut many);
            let status = parsed.parse(bytes);
            understand(&parsed, status)
        }
        status => understand(&parsed, status),
    }
}

fn understand(parsed: &httparse::Request<'_, '_>, status: httparse::Result<usize>) -> Result<Head, Rejected> {
    match status {
        Ok(httparse::Status::Complete(_)) => (),
        Ok(httparse::Status::Partial) => return Err(Refusal::malformed("the head is incomplete").into()),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Refusal::new(431, format!("more than {HEADERS_MAX} headers")).into());
        }
        Err(err) => return Err(Refusal::malformed(err.to_string()).into()),
    }
    let mut headers = Vec::with_capacity(parsed.headers.len());
    for header in parsed.headers.iter() {
        if let Some(header) = readable_header(header)? {
            headers.push(header);
        }
    }
    let version = if parsed.version == Some(0) { Version::Http10 } else { Version::Http11 };
    match check_head(parsed, version, &headers) {
        Err(refusal) => Err(Rejected { refusal, headers }),
        Ok(Checked { method, target, body, keep_alive, expects_continue }) => {
            if let Some(authority) = target.authority {
                replace_host(&mut headers, authority);
            }
            let (path, query) = (target.path.to_owned(), target.query.map(str::to_owned));
            Ok(Head { method, path, query, headers, version, body, keep_alive, expects_continue })
        }
    }
}

/// The parsed parts of a head, except its headers.
struct Checked<'head> {
    method: Method,
    target: Target<'head>,
    body: BodyLength,
    keep_alive: bool,
    expects_continue: bool,
}

fn check_head<'head>(
    parsed: &httparse::Request<'_, 'head>,
    version: Version,
    headers: &[Header],
) -> Result<Checked<'head>, Refusal> {
    let method = parse_method(parsed.method.unwrap_or_default())?;
    let target = parse_target(parsed.path.unwrap_or_default(), &method)?;
    check_host(version, headers)?;
    if 1 < values(headers, "Authorization").count() {
        // A proxy might use the other one.
        return Err(Refusal::malformed("more than one Authorization"));
    }
    let body = body_length(version, headers)?;
    let keep_alive = version == Version::Http11 && !asks_to_close(headers);
    let expects_continue = version == Version::Http11 && expects_continue(headers)?;
    Ok(Checked { method, target, body, keep_alive, expects_continue })
}

/// Headers that must be ASCII, because they decide the framing or the meaning of a request.
const ASCII_ONLY: [&str; 10] = [
    "Host",
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "Expect",
    "Accept",
    "If-Match",
    "If-None-Match",
    "X-Broker-API-Version",
    "X-Broker-API-Originating-Identity",
];

/// `None`: drop the header, because tiny_http cannot represent it although RFC 9110 allows it, such as a
/// `User-Agent` with an umlaut. An `Authorization` of this kind becomes empty, which is not a valid token.
fn readable_header(header: &httparse::Header<'_>) -> Result<Option<Header>, Refusal> {
    if let Ok(readable) = Header::from_bytes(header.name, header.value) {
        return Ok(Some(readable));
    }
    if ASCII_ONLY.iter().any(|name| name.eq_ignore_ascii_case(header.name)) {
        return Err(Refusal::malformed(format!("the header {} is not ASCII", header.name)));
    }
    Ok(Header::from_bytes(header.name, "").ok().filter(|empty| empty.field.equiv("Authorization")))
}

fn parse_method(name: &str) -> Result<Method, Refusal> {
    if name.len() > METHOD_MAX {
        return Err(Refusal::malformed(format!("the method has more than {METHOD_MAX} letters")));
    }
    name.parse().map_err(|()| Refusal::malformed("the method is not ASCII"))
}

/// A parsed request target.
struct Target<'head> {
    /// Host and port, if the target names them; they replace the header `Host`.
    authority: Option<&'head str>,
    path: &'head str,
    query: Option<&'head str>,
}

fn parse_target<'head>(target: &'head str, method: &Method) -> Result<Target<'head>, Refusal> {
    if !target.is_ascii() {
        return Err(Refusal::malformed("the target is not ASCII"));
    }
    if target.contains('#') {
        return Err(Refusal::malformed("the target has a fragment"));
    }
    if target.starts_with('/') {
        let (path, query) = split_query(target);
        return Ok(Target { authority: None, path, query });
    }
    if target == "*" {
        return match method {
            Method::Options => Ok(Target { authority: None, path: target, query: None }),
            _ => Err(Refusal::malformed("the target * is for OPTIONS only")),
        };
    }
    let Some(rest) = without_scheme(target) else {
        return Err(Refusal::malformed("the target is neither a path nor an http URL"));
    };
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(authority_end);
    if authority.is_empty() || !is_host(authority) {
        return Err(Refusal::malformed("the target has no valid host"));
    }
    let (path, query) = split_query(rest);
    Ok(Target { authority: Some(authority), path: if path.is_empty() { "/" } else { path }, query })
}

fn split_query(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

fn without_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(rest)
}

fn check_host(version: Version, headers: &[Header]) -> Result<(), Refusal> {
    let mut hosts = values(headers, "Host");
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::Http11 => Err(Refusal::malformed("no Host")),
        (None, _) => Ok(()),
        (Some(_), Some(_)) => Err(Refusal::malformed("more than one Host")),
        (Some(host), None) if !is_host(host) => Err(Refusal::malformed("a Host with a bad character")),
        (Some(_), None) => Ok(()),
    }
}

/// Whether the text has only characters of a host and port. Links in answers are built from it, so it must
/// not contain a path or a user.
fn is_host(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte))
}

fn replace_host(headers: &mut Vec<Header>, authority: &str) {
    headers.retain(|header| !header.field.equiv("Host"));
    headers.extend(Header::from_bytes("Host", authority));
}

fn body_length(version: Version, headers: &[Header]) -> Result<BodyLength, Refusal> {
    let mut encodings = values(headers, "Transfer-Encoding");
    let mut lengths = values(headers, "Content-Length");
    match (encodings.next(), lengths.next()) {
        (None, None) => Ok(BodyLength::Bytes(0)),
        (Some(_), Some(_)) => Err(Refusal::malformed("both Transfer-Encoding and Content-Length")),
        (Some(_), None) if version == Version::Http10 => {
            Err(Refusal::malformed("Transfer-Encoding in HTTP/1.0"))
        }
        (Some(encoding), None) => {
            // RFC 9112 suggests 501 for an unknown encoding, but clients must not be able to cause a 5xx.
            if encodings.next().is_some() || !encoding.eq_ignore_ascii_case("chunked") {
                return Err(Refusal::malformed("a Transfer-Encoding other than chunked"));
            }
            Ok(BodyLength::Chunked)
        }
        (None, Some(length)) => {
            // Two equal lengths are refused as well; no well-behaved client sends them.
            if lengths.next().is_some() {
                return Err(Refusal::malformed("more than one Content-Length"));
            }
            // `parse` alone would accept a sign.
            let digits_only = length.bytes().all(|byte| byte.is_ascii_digit());
            match length.parse() {
                Ok(length) if digits_only => Ok(BodyLength::Bytes(length)),
                _ => Err(Refusal::malformed("a Content-Length that is not a number")),
            }
        }
    }
}

fn asks_to_close(headers: &[Header]) -> bool {
    values(headers, "Connection")
        .flat_map(|value| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case("close"))
}

fn expects_continue(headers: &[Header]) -> Result<bool, Refusal> {
    let mut expectations = values(headers, "Expect").peekable();
    let expects = expectations.peek().is_some();
    if expectations.all(|value| value.eq_ignore_ascii_case("100-continue")) {
        Ok(expects)
    } else {
        Err(Refusal::new(417, "an Expect other than 100-continue"))
    }
}

fn values<'h>(headers: &'h [Header], name: &'static str) -> impl Iterator<Item = &'h str> {
    headers.iter().filter(move |header| header.field.equiv(name)).map(|header| header.value.as_str())
}

/// The `X-Request-Id` of the client, if it is safe in logs and headers.
pub(super) fn sane_request_id(headers: &[Header]) -> Option<&str> {
    values(headers, "X-Request-Id").next().filter(|id| {
        (1..=REQUEST_ID_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    })
}

/// The size line of a chunk.
pub(super) struct ChunkLine {
    /// Bytes of data in the chunk; saturates at 64 bits.
    pub size: u64,
    /// Bytes of chunk extensions, which are ignored.
    pub extension_length: usize,
}

pub(super) fn parse_chunk_line(line: &[u8]) -> Result<ChunkLine, Refusal> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at(digits);
    if size.is_empty() {
        return Err(Refusal::malformed("a chunk without a size"));
    }
    let extension_is_proper = match extension.iter().find(|byte| !matches!(byte, b' ' | b'\t')) {
        Some(first) => *first == b';',
        // RFC 9112 does not allow trailing blanks.
        None => extension.is_empty(),
    };
    if !extension_is_proper {
        return Err(Refusal::malformed("a chunk size that is not a number"));
    }
    let size = size.iter().fold(0_u64, |size, digit| {
        let digit = char::from(*digit).to_digit(16).unwrap_or_default();
        size.saturating_mul(16).saturating_add(u64::from(digit))
    });
    Ok(ChunkLine { size, extension_length: extension.len() })
}

/// Checks that a line after the last chunk is shaped like a header. Trailers are ignored.
pub(super) fn check_trailer(line: &[u8]) -> Result<(), Refusal> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    match line.iter().position(|byte| *byte == b':') {
        Some(colon) if 0 < colon && line[..colon].iter().all(is_token) => Ok(()),
        _ => Err(Refusal::malformed("a trailer that is not a header")),
    }
}
