//! Reads the output of tasks from Log Cache, with the token of the client that requests it.
//!
//! Invariant: the service's own token is never sent there, and a request reads a bounded number of lines.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Deserialize;
use serde_json::Value;
use ureq::http::Method;

use super::endpoint::{Endpoint, percent_encoded};
use super::transport::{Answer, Body, Request, Transport, Upstream};
use crate::model::{Timestamp, attempt_of_task};
use crate::platform::{LogPart, LogQuery, PlatformError};

/// The most envelopes in one response of Log Cache.
const ENVELOPES_MAX: usize = 1000;
/// The most requests for one part of an output. An app may log much more than the task.
const PAGES_MAX: usize = 10;
/// The prefix of a task's source type; the name of the task follows.
const TASK_SOURCE: &str = "APP/TASK/";

/// Log Cache, at the URL in Cloud Foundry's root.
pub(super) struct LogCache {
    transport: Arc<Transport>,
    cloud_foundry: Endpoint,
    endpoint: OnceLock<Endpoint>,
}

#[derive(Deserialize)]
struct Root {
    links: Links,
}

#[derive(Deserialize)]
struct Links {
    log_cache: Option<Link>,
}

#[derive(Deserialize)]
struct Link {
    href: String,
}

#[derive(Deserialize)]
struct Read {
    envelopes: Envelopes,
}

#[derive(Deserialize, Default)]
struct Envelopes {
    #[serde(default)]
    batch: Vec<Envelope>,
}

#[derive(Deserialize)]
struct Envelope {
    timestamp: Value,
    #[serde(default)]
    tags: HashMap<String, String>,
    #[serde(default)]
    deprecated_tags: HashMap<String, Value>,
    log: Option<Log>,
}

#[derive(Deserialize)]
struct Log {
    #[serde(default)]
    payload: String,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    meta: HashMap<String, SourceMeta>,
}

#[derive(Deserialize)]
struct SourceMeta {
    #[serde(default)]
    expired: Value,
    #[serde(default, alias = "oldestTimestamp")]
    oldest_timestamp: Value,
}

impl Envelope {
    /// The name of the task that logged it.
    fn task(&self) -> Option<&str> {
        let text = || self.deprecated_tags.get("source_type")?.get("text")?.as_str();
        self.tags.get("source_type").map(String::as_str).or_else(text)?.strip_prefix(TASK_SOURCE)
    }
}

impl LogCache {
    pub(super) fn new(transport: Arc<Transport>, cloud_foundry: Endpoint) -> Self {
        Self { transport, cloud_foundry, endpoint: OnceLock::new() }
    }

    /// Reads a part of a task's output. `None`: there is no Log Cache, or the holder of the token may not see
    /// this app.
    pub(super) fn read(&self, token: &str, wanted: &LogQuery<'_>) -> Result<Option<LogPart>, PlatformError> {
        let Some(endpoint) = self.endpoint()? else { return Ok(None) };
        let authorization = format!("Bearer {token}");
        let ask = |path: &str| self.ask(&endpoint.url(path), Some(&authorization));
        let app = percent_encoded(wanted.app.as_str());
        let mut part =
            LogPart { bytes: Vec::new(), next: wanted.from, is_drained: false, is_truncated: false };
        for _ in 0..PAGES_MAX {
            let path = format!(
                "/api/v1/read/{app}?envelope_types=LOG&limit={ENVELOPES_MAX}&start_time={}&end_time={}",
                part.next.nanos(),
                wanted.until.nanos()
            );
            let read: Read = match ask(&path).and_then(Answer::into_json) {
                Err(PlatformError::Refused { .. }) => return Ok(None),
                read => read?,
            };
            let is_last = read.envelopes.batch.len() < ENVELOPES_MAX;
            if !append(&mut part, read.envelopes.batch, wanted) {
                return Ok(Some(part));
            }
            if is_last {
                part.is_drained = true;
                break;
            }
        }
        if wanted.is_from_start {
            // Without this answer, the output counts as complete.
            let meta: Option<Meta> = ask("/api/v1/meta").and_then(Answer::into_json).ok();
            part.is_truncated = meta.is_some_and(|meta| is_truncated(&meta, wanted));
        }
        Ok(Some(part))
    }

    fn ask(&self, url: &str, authorization: Option<&str>) -> Result<Answer, PlatformError> {
        self.transport.exchange(&Request {
            upstream: if authorization.is_some() { Upstream::LogCache } else { Upstream::CloudFoundry },
            method: Method::GET,
            url,
            authorization,
            extra_header: None,
            body: Body::None,
        })
    }

    fn endpoint(&self) -> Result<Option<&Endpoint>, PlatformError> {
        if let Some(endpoint) = self.endpoint.get() {
            return Ok(Some(endpoint));
        }
        let root: Root = self.ask(&self.cloud_foundry.url("/"), None)?.into_json()?;
        let endpoint =
            root.links.log_cache.and_then(|link| Endpoint::parse("Cloud Foundry's link", &link.href).ok());
        // If Cloud Foundry uses TLS, tokens are sent only over TLS.
        let endpoint = endpoint.filter(|endpoint| endpoint.is_secure() || !self.cloud_foundry.is_secure());
        Ok(endpoint.map(|endpoint| self.endpoint.get_or_init(|| endpoint)))
    }
}

/// Appends the lines of the wanted task. Returns whether there is room for more.
fn append(part: &mut LogPart, batch: Vec<Envelope>, wanted: &LogQuery<'_>) -> bool {
    for envelope in batch {
        let Some(time) = number(&envelope.timestamp) else { continue };
        let is_wanted = envelope
            .task()
            .is_some_and(|name| attempt_of_task(name, wanted.execution) == Some(wanted.attempt));
        if let Some(log) = envelope.log.filter(|_| is_wanted) {
            let line = BASE64_STANDARD.decode(&log.payload).unwrap_or_default();
            if !part.bytes.is_empty() && wanted.bytes_max <= part.bytes.len() + line.len() {
                return false;
            }
            part.bytes.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(&line));
            part.bytes.push(b'\n');
        }
        // Log Cache keeps no two envelopes of a source with the same time.
        part.next = part.next.max(Timestamp::from_nanos(time).shifted(1));
    }
    true
}

/// Whether Log Cache has dropped some of the output since the start.
fn is_truncated(meta: &Meta, wanted: &LogQuery<'_>) -> bool {
    match meta.meta.get(wanted.app.as_str()) {
        None => true,
        Some(source) => {
            number(&source.expired).is_some_and(|expired| expired > 0)
                && number(&source.oldest_timestamp).is_none_or(|oldest| wanted.from.nanos() < oldest)
        }
    }
}

/// Protocol buffers encode 64-bit numbers as strings in JSON.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}
