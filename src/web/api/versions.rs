//! Versions of objects: `ETag`, `If-Match` and `If-None-Match` (RFC 9110, section 13).
//!
//! An `ETag` is a hash of the JSON that a client sees, so it changes only with that. A change is written only
//! while the object is still the version that was read and checked here; guards in the statements ensure
//! this.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::error::ApiError;
use super::page::to_json;
use crate::http::{Request, Response, respond, respond_with, with_header};

/// The length of the hash in an `ETag`, in bytes.
const ETAG_BYTES: usize = 16;

/// Answers with an object and its `ETag`.
pub(in crate::web) fn object<T: Serialize>(status: u16, object: &T) -> Result<Response, ApiError> {
    object_as(status, object, object)
}

/// The same if the answer shows more (`shown`) than the version depends on.
pub(in crate::web) fn object_as<T: Serialize, S: Serialize>(
    status: u16,
    object: &T,
    shown: &S,
) -> Result<Response, ApiError> {
    let etag = etag_of(&to_json(object)?);
    let json = to_json(shown)?;
    Ok(with_header(respond_with(status, "application/json", json), "ETag", &etag))
}

/// Answers a request to read an object.
pub(in crate::web) fn shown<T: Serialize>(request: &Request, shown: &T) -> Result<Response, ApiError> {
    let etag = etag_of(&to_json(shown)?);
    if !if_match_holds(request, &etag) {
        return Err(ApiError::OtherVersion);
    }
    if if_none_match_fails(request, &etag) {
        return Ok(with_header(respond(304), "ETag", &etag));
    }
    object(200, shown)
}

/// Whether a request may change or delete the object in its current version.
pub(in crate::web) fn check<T: Serialize>(request: &Request, now: &T) -> Result<(), ApiError> {
    if names_no_version(request) {
        return Ok(());
    }
    let etag = etag_of(&to_json(now)?);
    match if_match_holds(request, &etag) && !if_none_match_fails(request, &etag) {
        true => Ok(()),
        false => Err(ApiError::OtherVersion),
    }
}

/// Whether a request may create a missing object: not if its conditions name a version.
pub(in crate::web) fn check_absent(request: &Request) -> Result<(), ApiError> {
    match values(request, "If-Match").next() {
        None => Ok(()),
        Some(_) => Err(ApiError::OtherVersion),
    }
}

fn etag_of(json: &str) -> String {
    let hash = Sha256::digest(json);
    let digits: String = hash.iter().take(ETAG_BYTES).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

fn names_no_version(request: &Request) -> bool {
    values(request, "If-Match").chain(values(request, "If-None-Match")).next().is_none()
}

/// True without an `If-Match`.
fn if_match_holds(request: &Request, etag: &str) -> bool {
    let mut wanted = values(request, "If-Match").peekable();
    wanted.peek().is_none() || wanted.any(|value| value.trim() == "*" || tags(value).any(|tag| tag == etag))
}

/// Whether the client has this version already. Only here do weak tags count.
fn if_none_match_fails(request: &Request, etag: &str) -> bool {
    values(request, "If-None-Match").any(|value| {
        value.trim() == "*" || tags(value).any(|tag| tag.strip_prefix("W/").unwrap_or(tag) == etag)
    })
}

fn values<'r>(request: &'r Request, name: &'static str) -> impl Iterator<Item = &'r str> {
    request.headers.iter().filter(move |header| header.field.equiv(name)).map(|header| header.value.as_str())
}

/// The tags of a list, each with its quotes, and with `W/` if it is weak. A tag may contain commas. Stops at
/// anything that is not a tag.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let opaque = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?;
        let weak_and_quotes = rest.len() - opaque.len() + 1;
        let tag = &rest[..weak_and_quotes + opaque.find('"')?];
        rest = &rest[tag.len()..];
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_tags_is_read_with_quotes_up_to_the_first_invalid_tag() {
        let read = |list: &'static str| tags(list).collect::<Vec<_>>();
        assert_eq!(read(r#""a""#), [r#""a""#]);
        assert_eq!(read(r#" "a,b" ,, W/"c",	"" "#), [r#""a,b""#, r#"W/"c""#, r#""""#]);
        assert_eq!(read(r#""a", b, "c""#), [r#""a""#]);
        for nothing in ["", "a", "*", "\"", "w/\"a\"", "W/a", "W/"] {
            assert!(read(nothing).is_empty(), "{nothing}");
        }
    }
}
