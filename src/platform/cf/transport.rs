//! Sends one request to Cloud Foundry or UAA and reads its response.
//!
//! Invariants: a request is sent at most once, and ends by its deadline even if the response never ends. An
//! error says whether the request may have had an effect. If an upstream asks clients to wait
//! (`Retry-After`), all threads wait. `api` and `uaa` interpret the responses.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use log::{debug, warn};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::{self, HeaderMap, Method, Uri, header};
use ureq::{SendBody, Timeout};

use super::Deadlines;
use crate::base::clock::{self, Clock};
use crate::base::logging::{beginning, milliseconds};
use crate::base::metrics::{Upstream as Counted, metrics};
use crate::model::Timestamp;
use crate::outbound::{self, Limits, Outbound, requested_wait};
use crate::platform::{Delivery, PlatformError};

/// How long an idle connection is reused: briefly, because if the request to create a task is lost on a stale
/// one, its outcome is unknown.
const MAX_IDLE_AGE: Duration = Duration::from_secs(1);
/// The largest response: a page of 5000 roles or tasks fits easily.
const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;
/// The most of an upstream's text that goes into an error.
const MAX_WORDS_CHARS: usize = 1000;
/// The most of a path that a log line shows.
const PATH_CHARS: usize = 256;
/// The longest wait that is honoured from `Retry-After` or `X-RateLimit-Reset`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// Cloud Controller's headers: how many more requests the client may send, and when (in seconds since 1970)
/// the limit is reset.
const RATE_LIMIT_REMAINING: &str = "x-ratelimit-remaining";
const RATE_LIMIT_RESET: &str = "x-ratelimit-reset";
/// A smaller `X-RateLimit-Reset` is a number of seconds from now; some gateways send that.
const EARLIEST_RESET: u64 = 1_000_000_000;

/// The server that a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upstream {
    CloudFoundry,
    Uaa,
    LogCache,
}

impl Upstream {
    fn counted(self) -> Counted {
        match self {
            Self::CloudFoundry => Counted::CloudFoundry,
            Self::Uaa => Counted::Uaa,
            Self::LogCache => Counted::LogCache,
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CloudFoundry => "Cloud Foundry",
            Self::Uaa => "UAA",
            Self::LogCache => "Log Cache",
        })
    }
}

/// A request. It holds credentials, so there is no `Debug`.
pub(super) struct Request<'a> {
    pub(super) upstream: Upstream,
    pub(super) method: Method,
    pub(super) url: &'a str,
    pub(super) authorization: Option<&'a str>,
    pub(super) extra_header: Option<(&'static str, &'static str)>,
    pub(super) body: Body,
}

/// The body of a request.
pub(super) enum Body {
    None,
    Json(Vec<u8>),
    Form(String),
}

impl Request<'_> {
    /// What to assume if it is unclear whether the request had an effect. A `GET` never has one.
    fn unclear(&self) -> Delivery {
        if self.method == Method::GET { Delivery::Failed } else { Delivery::Unknown }
    }
}

/// A complete response.
pub(super) struct Answer {
    pub(super) status: u16,
    upstream: Upstream,
    unclear: Delivery,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Parses the JSON of a success. Any other response becomes an error.
    pub(super) fn into_json<T: DeserializeOwned>(self) -> Result<T, PlatformError> {
        if !self.is_success() {
            return Err(self.into_error());
        }
        serde_json::from_slice(&self.body).map_err(|err| self.nonsense(&err.to_string()))
    }

    /// The error for a success whose body is invalid.
    pub(super) fn nonsense(&self, why: &str) -> PlatformError {
        let cause = format!("{} answered {} with an unexpected body: {why}", self.upstream, self.status);
        self.unavailable(cause, self.unclear)
    }

    /// Turns a response that is not a success into an error.
    pub(super) fn into_error(self) -> PlatformError {
        let words = self.words();
        let status =
            http::StatusCode::from_u16(self.status).map(|status| status.to_string()).unwrap_or_default();
        let cause = match &words {
            Some(words) => format!("{} answered {status}: {words}", self.upstream),
            None => format!("{} answered {status}", self.upstream),
        };
        match (self.status, words.filter(|_| self.is_in_own_words())) {
            (429, _) => self.unavailable(cause, Delivery::Failed),
            (408, _) => self.unavailable(cause, self.unclear),
            (400..500, Some(words)) => PlatformError::Refused { detail: words },
            // A gateway or router wrote this response. It sends these statuses before it forwards a request.
            (400 | 401 | 403..=405 | 411 | 413..=415 | 421 | 431, None) => {
                self.unavailable(cause, Delivery::Failed)
            }
            // For example 499 and 460: the gateway did not wait for the response of the API.
            (400..500, None) => self.unavailable(cause, self.unclear),
            (500 | 503, _) if self.unclear == Delivery::Unknown => {
                self.unavailable(cause, Delivery::Answered)
            }
            _ => self.unavailable(cause, self.unclear),
        }
    }

    /// Whether the upstream itself wrote the error, and not a gateway in front of it.
    fn is_in_own_words(&self) -> bool {
        match self.upstream {
            Upstream::CloudFoundry => !self.cloud_foundry_errors().is_empty(),
            Upstream::Uaa | Upstream::LogCache => true,
        }
    }

    /// Whether Cloud Foundry itself, not a gateway, says that the resource does not exist.
    pub(super) fn is_unknown_resource(&self) -> bool {
        let is_not_found = |error: &CloudFoundryError| error.title.as_deref() == Some("CF-ResourceNotFound");
        self.status == 404 && self.cloud_foundry_errors().iter().any(is_not_found)
    }

    /// The errors in a body of Cloud Foundry or UAA; `None` if another server wrote the body.
    pub(super) fn words(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct UaaError {
            error: String, // Not `error_description`: some versions of UAA repeat the token there.
        }
        let words = match serde_json::from_slice(&self.body) {
            Ok(UaaError { error }) => error,
            Err(_) => self
                .cloud_foundry_errors()
                .into_iter()
                .filter_map(|error| match (error.title, error.detail) {
                    (Some(title), Some(detail)) => Some(format!("{title}: {detail}")),
                    (title, detail) => title.or(detail),
                })
                .collect::<Vec<_>>()
                .join("; "),
        };
        (!words.is_empty()).then(|| cleaned(&words))
    }

    fn cloud_foundry_errors(&self) -> Vec<CloudFoundryError> {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<CloudFoundryError>,
        }
        serde_json::from_slice(&self.body).map(|Errors { errors }| errors).unwrap_or_default()
    }

    fn unavailable(&self, cause: String, delivery: Delivery) -> PlatformError {
        PlatformError::Unavailable { cause, retry_after: self.retry_after, delivery }
    }
}

#[derive(Deserialize)]
struct CloudFoundryError {
    title: Option<String>,
    detail: Option<String>,
}

/// Makes an upstream's text safe for logs and messages: bounded, without control characters.
pub(super) fn cleaned(words: &str) -> String {
    words.chars().take(MAX_WORDS_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Sends requests.
pub(super) struct Transport {
    client: outbound::Client,
    clock: Arc<dyn Clock>,
    deadlines: Deadlines,
    /// For each exceeded rate limit, the monotonic time until which no request is sent.
    not_before: Mutex<HashMap<Allowance, Duration>>,
}

/// Requests that an upstream counts together for its rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Allowance {
    Uaa,
    /// With the tokens of callers.
    LogCache,
    CloudFoundry,
    /// Cloud Controller counts requests without a token separately.
    CloudFoundryAnonymous,
}

impl Allowance {
    fn of(request: &Request<'_>) -> Self {
        match (request.upstream, request.authorization) {
            (Upstream::Uaa, _) => Self::Uaa,
            (Upstream::LogCache, _) => Self::LogCache,
            (Upstream::CloudFoundry, Some(_)) => Self::CloudFoundry,
            (Upstream::CloudFoundry, None) => Self::CloudFoundryAnonymous,
        }
    }
}

impl Transport {
    pub(super) fn new(
        outbound: &Outbound,
        deadlines: Deadlines,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let limits = Limits {
            connect_timeout: deadlines.connect,
            total_timeout: deadlines.total,
            max_idle_age: MAX_IDLE_AGE,
        };
        let client = outbound::Client::new(outbound, &limits)?;
        Ok(Self { client, clock, deadlines, not_before: Mutex::default() })
    }

    /// Sends one request and returns its response, whatever its status. While the upstream's `Retry-After`
    /// lasts, returns an error instead of sending it.
    pub(super) fn exchange(&self, request: &Request<'_>) -> Result<Answer, PlatformError> {
        if let Some(wait) = self.pause_left(request) {
            let upstream = request.upstream;
            return Err(PlatformError::Unavailable {
                cause: format!("{upstream} has asked for a pause; {} s are left", wait.as_secs().max(1)),
                retry_after: Some(wait),
                delivery: Delivery::Failed,
            });
        }
        let uri = outbound::read_uri(request.url).ok_or_else(|| PlatformError::Unavailable {
            cause: format!("the address of {} is not a URL", request.upstream),
            retry_after: None,
            delivery: Delivery::Failed,
        })?;
        let path = uri.path().to_owned();
        let started = clock::instant();
        let outcome = self.send(request, uri);
        let took = started.elapsed();
        let status = outcome.as_ref().ok().map(|answer| answer.status);
        metrics().asked(request.upstream.counted(), status, took);
        debug!(
            method:% = request.method, path = beginning(&path, PATH_CHARS), status, ms = milliseconds(took),
            cause = outcome.as_ref().err().map(ToString::to_string);
            "asked {}", request.upstream
        );
        outcome
    }

    fn send(&self, request: &Request<'_>, uri: Uri) -> Result<Answer, PlatformError> {
        let agent = self.client.agent_for(&uri);
        let (content_type, bytes): (_, &[u8]) = match &request.body {
            Body::None => (None, &[]),
            Body::Json(bytes) => (Some("application/json"), bytes),
            Body::Form(form) => (Some("application/x-www-form-urlencoded"), form.as_bytes()),
        };
        let mut builder = http::Request::builder()
            .method(request.method.clone())
            .uri(uri)
            .header(header::ACCEPT, "application/json");
        if let Some(authorization) = request.authorization {
            builder = builder.header(header::AUTHORIZATION, authorization);
        }
        if let Some((name, value)) = request.extra_header {
            builder = builder.header(name, value);
        }
        if let Some(content_type) = content_type {
            builder = builder.header(header::CONTENT_TYPE, content_type);
        }
        // ureq does not say how much of a failed request was sent. But it reads the body only after it has
        // sent the head, and no server acts on a request before the announced body has arrived. So the body
        // records whether it was read.
        let mut body = TrackedBody { rest: bytes, asked_for: false };
        let sent = if request.method == Method::GET {
            builder.body(SendBody::none()).map_err(ureq::Error::from).and_then(|request| agent.run(request))
        } else {
            builder
                .header(header::CONTENT_LENGTH, bytes.len())
                .body(SendBody::from_reader(&mut body))
                .map_err(ureq::Error::from)
                .and_then(|request| agent.run(request))
        };
        // An empty body is never read, so it shows nothing.
        let sent_delivery =
            if body.asked_for || bytes.is_empty() { request.unclear() } else { Delivery::Failed };
        let mut response = sent.map_err(|err| self.no_answer(request.upstream, &err, sent_delivery))?;

        let status = response.status().as_u16();
        let retry_after = self.requested_wait(status, response.headers());
        self.note_pause(request, status, retry_after);
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_vec()
            .map_err(|err| self.no_answer(request.upstream, &err, request.unclear()))?;
        Ok(Answer { status, upstream: request.upstream, unclear: request.unclear(), retry_after, body })
    }

    fn no_answer(&self, upstream: Upstream, error: &ureq::Error, delivery: Delivery) -> PlatformError {
        let reason = match error {
            ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
                format!("no connection within {:?}", self.deadlines.connect)
            }
            ureq::Error::Timeout(_) => format!("no complete response within {:?}", self.deadlines.total),
            ureq::Error::Io(err) if err.get_ref().is_none() => err.to_string(),
            ureq::Error::BodyExceedsLimit(bytes) => format!("its response is longer than {bytes} bytes"),
            other => outbound::untrusted_certificate(other).unwrap_or_else(|| other.to_string()),
        };
        let cause = cleaned(&format!("{upstream} cannot be reached: {reason}"));
        PlatformError::Unavailable { cause, retry_after: None, delivery }
    }

    /// The remaining pause before `request` may be sent.
    fn pause_left(&self, request: &Request<'_>) -> Option<Duration> {
        let now = self.clock.monotonic();
        let mut not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        not_before.retain(|_, end| now < *end);
        let own = Allowance::of(request);
        // A pause for requests with a token also applies to those without one.
        let all = [own, if own == Allowance::Uaa { own } else { Allowance::CloudFoundry }];
        all.iter().filter_map(|it| not_before.get(it)).max().map(|end| end.saturating_sub(now))
    }

    fn note_pause(&self, request: &Request<'_>, status: u16, wait: Option<Duration>) {
        let Some(wait) = wait.filter(|wait| !wait.is_zero()) else { return };
        let end = self.clock.monotonic().saturating_add(wait);
        let mut not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        let old = not_before.insert(Allowance::of(request), end);
        if old.is_none() {
            let upstream = request.upstream;
            warn!(
                status, seconds = wait.as_secs();
                "{upstream} asks for a pause, sending it no requests until then"
            );
        }
    }

    /// The pause that a response asks for: `Retry-After` (seconds, or an HTTP date), or until the exhausted
    /// rate limit is reset.
    fn requested_wait(&self, status: u16, headers: &HeaderMap) -> Option<Duration> {
        let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim());
        let until = |seconds: i64| Some(Timestamp::from_seconds(seconds)?.since(self.clock.now()));
        let retry_after = text(header::RETRY_AFTER.as_str())
            .filter(|_| matches!(status, 429 | 500..))
            .and_then(|value| requested_wait(value, self.clock.now()));
        let is_used_up = status == 429 || text(RATE_LIMIT_REMAINING) == Some("0");
        let reset = text(RATE_LIMIT_RESET)
            .filter(|_| is_used_up)
            .and_then(|value| value.parse::<u64>().ok())
            .and_then(|reset| match i64::try_from(reset) {
                Ok(seconds) if EARLIEST_RESET <= reset => until(seconds),
                _ => Some(Duration::from_secs(reset)),
            });
        retry_after.max(reset).map(|wait| wait.min(MAX_RETRY_AFTER))
    }
}

struct TrackedBody<'a> {
    rest: &'a [u8],
    asked_for: bool,
}

impl Read for TrackedBody<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.asked_for = true;
        self.rest.read(buffer)
    }
}
