//! Collections: selects the requested part, and writes it into an envelope.
//!
//! Invariant: `total_pages` is at least 1, `resources` is always an array, and a link that does not exist is
//! `null`.

use std::io::{self, Read};
use std::net::Ipv6Addr;

use log::warn;
use serde::Serialize;
use tiny_http::{Header, StatusCode};

use super::error::ApiError;
use super::query::Query;
use super::violation::Violation;
use crate::http::{Body, Request, Response, respond_with};
use crate::store::{Extent, Part, StoreError, Window};

/// The default of `per_page`, and the page size for counting pages if none is requested.
const PER_PAGE: u64 = 50;
const PER_PAGE_MAX: u64 = 500;
/// The longest DNS name.
const NAME_MAX: usize = 253;
/// The most rows of one database read.
const BATCH: u32 = 200;

/// The requested part of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) struct Paging {
    /// From 1; `None`: everything.
    page: Option<u64>,
    per_page: u64,
}

/// The order of the ids in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Order {
    OldestFirst,
    NewestFirst,
}

impl Paging {
    /// All `total` on one page.
    pub(in crate::web) fn whole(total: u64) -> Self {
        Self { page: None, per_page: total.max(1) }
    }

    pub(in crate::web) fn of(query: &Query) -> Result<Self, ApiError> {
        let page = query.get("page").map(|text| whole_number(text, "page", (1, u64::MAX))).transpose()?;
        let per_page = query
            .get("per_page")
            .map(|text| whole_number(text, "per_page", (1, PER_PAGE_MAX)))
            .transpose()?;
        Ok(Self { page, per_page: per_page.unwrap_or(PER_PAGE) })
    }
}

/// A whole number in a range, with any number of digits.
pub(in crate::web) fn whole_number(
    text: &str,
    field: &'static str,
    (least, most): (u64, u64),
) -> Result<u64, Violation> {
    let expected = match most {
        u64::MAX => format!("a whole number of at least {least}, in digits alone"),
        most => format!("a whole number from {least} to {most}, in digits alone"),
    };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Violation::new(field, "type", "is not a whole number", expected));
    }
    match text.parse().unwrap_or(u64::MAX) {
        number if number < least => {
            Err(Violation::new(field, "range", format!("is below {least}"), expected))
        }
        number if most < number => Err(Violation::new(field, "range", format!("is beyond {most}"), expected)),
        number => Ok(number),
    }
}

#[derive(Serialize)]
struct Pagination {
    total_pages: u64,
    total_results: u64,
    first: Option<Link>,
    last: Option<Link>,
    next: Option<Link>,
    previous: Option<Link>,
}

#[derive(Serialize)]
struct Link {
    href: String,
}

/// Answers with a collection, whose parts `fetch` reads.
pub(in crate::web) fn collection<T: Serialize + 'static>(
    request: &Request,
    query: &Query,
    paging: Paging,
    extent: Extent,
    order: Order,
    mut fetch: impl FnMut(Window) -> Result<Part<T>, StoreError> + Send + 'static,
) -> Result<Response, ApiError> {
    let mut walk = Walk::through(paging, extent, order);
    streamed(request, query, paging, extent, move |body| {
        for resource in walk.next(&mut fetch)? {
            walk.append(body, &resource)?;
        }
        Ok(!walk.is_over())
    })
}

/// Answers with a collection. `append_next` appends the next resources and returns whether there are more.
///
/// If there is more than one part, the thread that writes the answer reads them one by one, so that the
/// collection is never in memory as a whole, and no database read stays open for a slow client.
pub(in crate::web) fn streamed(
    request: &Request,
    query: &Query,
    paging: Paging,
    extent: Extent,
    append_next: impl FnMut(&mut Vec<u8>) -> Result<bool, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    streamed_with("", request, query, paging, extent, append_next)
}

/// The same with further members, each followed by a comma.
pub(in crate::web) fn streamed_with(
    members: &str,
    request: &Request,
    query: &Query,
    paging: Paging,
    extent: Extent,
    mut append_next: impl FnMut(&mut Vec<u8>) -> Result<bool, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    let pagination = to_json(&pagination(request, query, paging, extent.total))?;
    let mut body = format!("{{\"pagination\":{pagination},{members}\"resources\":[").into_bytes();
    let mut next = move |body: &mut Vec<u8>| -> Result<bool, ApiError> {
        let has_more = append_next(body)?;
        if !has_more {
            body.extend_from_slice(b"]}");
        }
        Ok(has_more)
    };
    if !next(&mut body)? {
        return Ok(respond_with(200, "application/json", body));
    }
    let next = move |buffer: &mut Vec<u8>| next(buffer).map_err(|err| err.to_string());
    let stream = Batches::new(body, Some(Box::new(next)));
    let headers = Header::from_bytes("Content-Type", "application/json").into_iter().collect();
    Ok(Response::new(StatusCode(200), headers, Body::Stream(Box::new(stream)), None, None))
}

/// Answers with a collection that is in memory, on one page.
pub(in crate::web) fn whole<T: Serialize>(
    request: &Request,
    query: &Query,
    resources: &[T],
) -> Result<Response, ApiError> {
    let total = resources.len() as u64;
    let pagination = to_json(&pagination(request, query, Paging::whole(total), total))?;
    let resources = to_json(&resources)?;
    let body = format!("{{\"pagination\":{pagination},\"resources\":{resources}}}");
    Ok(respond_with(200, "application/json", body))
}

/// Walks through the requested rows of a list, part by part.
pub(in crate::web) struct Walk {
    window: Window,
    /// How many rows may still follow.
    left: u64,
    is_over: bool,
    nothing_written: bool,
}

impl Walk {
    pub(in crate::web) fn through(paging: Paging, extent: Extent, order: Order) -> Self {
        let start = match order {
            Order::OldestFirst => 0,
            Order::NewestFirst => extent.last.saturating_add(1),
        };
        let offset = paging.page.map_or(0, |page| (page - 1).saturating_mul(paging.per_page));
        Self {
            window: Window { beyond: start, last: extent.last, offset, limit: 0 },
            left: if paging.page.is_some() { paging.per_page } else { u64::MAX },
            is_over: extent.total <= offset,
            nothing_written: true,
        }
    }

    /// Reads the next rows, perhaps none.
    pub(in crate::web) fn next<T>(
        &mut self,
        fetch: impl FnOnce(Window) -> Result<Part<T>, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        if self.is_over {
            return Ok(Vec::new());
        }
        self.window.limit = u32::try_from(self.left).map_or(BATCH, |left| left.min(BATCH));
        let part = fetch(self.window)?;
        self.left -= part.rows.len() as u64;
        match part.last {
            Some(last) if !part.is_end && 0 < self.left => {
                self.window.beyond = last;
                self.window.offset = 0;
            }
            _ => self.is_over = true,
        }
        Ok(part.rows)
    }

    pub(in crate::web) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Appends a resource to the previous ones.
    pub(in crate::web) fn append<T: Serialize>(
        &mut self,
        body: &mut Vec<u8>,
        resource: &T,
    ) -> Result<(), ApiError> {
        if !std::mem::take(&mut self.nothing_written) {
            body.push(b',');
        }
        append_json(body, resource)
    }
}

pub(in crate::web) fn append_json<T: Serialize>(body: &mut Vec<u8>, value: &T) -> Result<(), ApiError> {
    serde_json::to_writer(body, value).map_err(bug)
}

/// Writes the next part into the buffer, and returns whether there is more.
pub(in crate::web) type Next = Box<dyn FnMut(&mut Vec<u8>) -> Result<bool, String> + Send>;

/// A body in parts, each of which is read after the previous one was written.
pub(in crate::web) struct Batches {
    buffer: Vec<u8>,
    position: usize,
    next: Option<Next>,
}

impl Batches {
    /// A body of `first`, followed by what `next` writes.
    pub(in crate::web) fn new(first: Vec<u8>, next: Option<Next>) -> Self {
        Self { buffer: first, position: 0, next }
    }
}

impl Read for Batches {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        while self.position == self.buffer.len() {
            let Some(next) = &mut self.next else { return Ok(0) };
            self.buffer.clear();
            self.position = 0;
            match next(&mut self.buffer) {
                Ok(true) => {}
                Ok(false) => self.next = None,
                Err(cause) => {
                    warn!(cause:%; "an answer was cut off");
                    self.next = None;
                    return Err(io::Error::other(cause));
                }
            }
        }
        let count = target.len().min(self.buffer.len() - self.position);
        target[..count].copy_from_slice(&self.buffer[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}

/// The JSON of one of our own types.
pub(in crate::web) fn to_json<T: Serialize>(value: &T) -> Result<String, ApiError> {
    serde_json::to_string(value).map_err(bug)
}

fn bug(error: serde_json::Error) -> ApiError {
    ApiError::Store(StoreError::Bug(format!("JSON could not be written: {error}")))
}

fn pagination(request: &Request, query: &Query, paging: Paging, total: u64) -> Pagination {
    let total_pages = total.div_ceil(paging.per_page).max(1);
    let link = |page: u64| Some(Link { href: href(request, query, page) });
    Pagination {
        total_pages,
        total_results: total,
        first: link(1),
        last: link(total_pages),
        next: paging.page.filter(|page| *page < total_pages).and_then(|page| link(page + 1)),
        // Beyond the end, the previous page is the last existing one.
        previous: paging.page.filter(|page| 1 < *page).and_then(|page| link((page - 1).min(total_pages))),
    }
}

/// The absolute URL of a page of this collection.
fn href(request: &Request, query: &Query, page: u64) -> String {
    let mut href = format!("{}{}?", base_url(request), request.path);
    for (name, value) in query.raw() {
        if *name != "page" {
            href.push_str(name);
            href.push('=');
            href.push_str(value);
            href.push('&');
        }
    }
    href.push_str(&format!("page={page}"));
    href
}

/// The URL of the service as the client (or the proxy in front) knows it, without a trailing slash.
///
/// Links contain what a client sends, so a forwarded header counts only if it is exactly one of our schemes,
/// or a host with an optional port.
pub(in crate::web) fn base_url(request: &Request) -> String {
    let first_of = |name: &str| Some(request.header(name)?.split(',').next()?.trim());
    let scheme = match first_of("X-Forwarded-Proto") {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
        _ => "http",
    };
    let host = first_of("X-Forwarded-Host").filter(|host| is_host_and_port(host));
    // `http` has checked the characters of this header.
    let host = host.or_else(|| request.header("Host").filter(|host| !host.is_empty()));
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}

/// A DNS name, an IPv4 address, or an IPv6 address in brackets, each with an optional port.
fn is_host_and_port(text: &str) -> bool {
    if let Some((address, port)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        let port_is_right = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return port_is_right && address.parse::<Ipv6Addr>().is_ok();
    }
    match text.split_once(':') {
        Some((name, port)) => is_name(name) && is_port(port),
        None => is_name(text),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port != 0)
}

fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_host_with_an_optional_port_gets_into_links() {
        for good in ["example.com", "example.com:8443", "127.0.0.1:80", "[::1]", "[2001:db8::1]:443", "a_b-c"]
        {
            assert!(is_host_and_port(good), "{good}");
        }
        for bad in [
            "",
            ":80",
            "x:",
            "x:0",
            "x:65536",
            "x:8a",
            "x:+80",
            "u@x",
            "x/y",
            "x?y",
            "x#y",
            "x y",
            "x\"y",
            "x<y",
            "[::1",
            "[::1]x",
            "[x]",
            "::1",
            "x:80:80",
            "x'y",
            "x%41",
            &"x".repeat(254),
        ] {
            assert!(!is_host_and_port(bad), "{bad}");
        }
    }
}
