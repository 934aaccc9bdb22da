//! Collections: which part is asked for, and the envelope around it.
//!
//! Invariant: `total_pages` is at least 1, `resources` is always an array, and a link that does not exist is `null`.

use std::io::{self, Read};

use log::warn;
use serde::Serialize;
use tiny_http::{Header, StatusCode};

use super::error::{ApiError, Violation};
use super::query::Query;
use crate::http::{Body, Request, Response, respond_with};
use crate::store::{Extent, Part, StoreError, Window};

/// The size of a page unless `per_page` says otherwise; also that of the pages that are counted when none is asked for.
const PER_PAGE: u64 = 50;
const PER_PAGE_MAX: u64 = 500;
/// The most that are read from the database at a time.
const BATCH: u32 = 200;

/// Which part of a collection is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) struct Paging {
    /// From 1; `None`: everything.
    page: Option<u64>,
    per_page: u64,
}

/// Which way the ids of a list go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Order {
    OldestFirst,
    NewestFirst,
}

impl Paging {
    pub(in crate::web) fn of(query: &Query) -> Result<Self, ApiError> {
        let page = query.get("page").map(|text| whole_number(text, "page", (1, u64::MAX))).transpose()?;
        let per_page = query
            .get("per_page")
            .map(|text| whole_number(text, "per_page", (1, PER_PAGE_MAX)))
            .transpose()?;
        Ok(Self { page, per_page: per_page.unwrap_or(PER_PAGE) })
    }
}

/// A whole number between two. However many digits it has, it is one.
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

/// Answers with a collection, of which `fetch` reads a part.
///
/// What is more than one part is read part by part by the thread that writes it, so that it is never in memory as a whole,
/// and no read of the database stays open for a slow client.
pub(in crate::web) fn collection<T: Serialize + 'static>(
    request: &Request,
    query: &Query,
    paging: Paging,
    extent: Extent,
    order: Order,
    mut fetch: impl FnMut(Window) -> Result<Part<T>, StoreError> + Send + 'static,
) -> Result<Response, ApiError> {
    let pagination = pagination(request, query, paging, extent.total);
    let mut body = format!("{{\"pagination\":{},\"resources\":[", to_json(&pagination)?).into_bytes();
    let start = match order {
        Order::OldestFirst => 0,
        Order::NewestFirst => extent.last.saturating_add(1),
    };
    let offset = paging.page.map_or(0, |page| (page - 1).saturating_mul(paging.per_page));
    let mut window = Window { beyond: start, last: extent.last, offset, limit: 0 };
    let mut left = if paging.page.is_some() { paging.per_page } else { u64::MAX };
    if extent.total <= offset {
        left = 0;
    }
    let mut is_first = true;
    // Appends the next part, and says whether there is more.
    let mut append_next = move |body: &mut Vec<u8>| -> Result<bool, ApiError> {
        window.limit = u32::try_from(left).map_or(BATCH, |left| left.min(BATCH));
        let part =
            if left == 0 { Part { rows: Vec::new(), last: None, is_end: true } } else { fetch(window)? };
        for resource in &part.rows {
            if !is_first {
                body.push(b',');
            }
            is_first = false;
            serde_json::to_writer(&mut *body, resource).map_err(bug)?;
        }
        left -= part.rows.len() as u64;
        if let (Some(last), false) = (part.last, part.is_end || left == 0) {
            window.beyond = last;
            window.offset = 0;
            return Ok(true);
        }
        body.extend_from_slice(b"]}");
        Ok(false)
    };
    if !append_next(&mut body)? {
        return Ok(respond_with(200, "application/json", body));
    }
    let next = move |buffer: &mut Vec<u8>| append_next(buffer).map_err(|err| err.to_string());
    let stream = Batches::new(body, Some(Box::new(next)));
    let headers = Header::from_bytes("Content-Type", "application/json").into_iter().collect();
    Ok(Response::new(StatusCode(200), headers, Body::Stream(Box::new(stream)), None, None))
}

/// Writes what comes next into the buffer, and says whether there is more.
pub(in crate::web) type Next = Box<dyn FnMut(&mut Vec<u8>) -> Result<bool, String> + Send>;

/// A body made of batches, each read when the one before has been written.
pub(in crate::web) struct Batches {
    buffer: Vec<u8>,
    position: usize,
    next: Option<Next>,
}

impl Batches {
    /// `first`, and then what `next` writes, if there is more.
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
                    warn!(cause:%; "an answer broke off");
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

/// JSON of a shape of ours.
pub(in crate::web) fn to_json<T: Serialize>(value: &T) -> Result<String, ApiError> {
    serde_json::to_string(value).map_err(bug)
}

fn bug(error: serde_json::Error) -> ApiError {
    ApiError::Store(StoreError::Bug(format!("a shape has no JSON: {error}")))
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
        // From beyond the end, the page before is the last one that there is.
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

/// The URL of the service as the client (or the proxy in front) knows it, without a slash at the end.
pub(in crate::web) fn base_url(request: &Request) -> String {
    let first_of = |name: &str| {
        let value = request.header(name)?.split(',').next()?.trim();
        let sane = !value.is_empty()
            && value.bytes().all(|byte| byte.is_ascii_graphic() && !b"/\\?#<>\"".contains(&byte));
        sane.then_some(value)
    };
    let scheme = first_of("X-Forwarded-Proto").unwrap_or("http");
    let host = first_of("X-Forwarded-Host").or_else(|| first_of("Host")).unwrap_or("localhost");
    format!("{scheme}://{host}")
}
