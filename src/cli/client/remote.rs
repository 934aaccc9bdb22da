//! Sends requests to a scheduler, and to the foundation that cf is logged in to.
//!
//! Invariant: a request that changes something is sent once, and again only after a 401, when it had no
//! effect. A GET or PUT is retried a few times if the server asks for it. A token is never printed.

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crossbeam_channel::after;
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, RETRY_AFTER};
use ureq::http::{HeaderValue, Method, Request, Response, Uri};
use ureq::{Body, Timeout};

use super::cf_login::Renewal;
use super::failure::Failure;
use crate::base::clock::{Clock, SystemClock};
use crate::cli::output;
use crate::model::{Secret, Timestamp};
use crate::outbound::{self, Limits, Outbound};
use crate::web::{digest_of, link_code};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The time limit for a whole exchange, body included.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(120);
const MAX_IDLE_AGE: Duration = Duration::from_secs(10);
/// The largest response that is read. Lists come in pages.
const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;
/// The most bytes that are read of an error response.
const MAX_REFUSAL_BYTES: u64 = 64 * 1024;
/// The header that says what a PUT has changed.
const CHANGE: &str = "X-Scheduler-Change";
/// How often a GET or PUT is retried.
const RETRIES_MAX: u32 = 3;
/// The longest `Retry-After` that is honoured; a longer one is reported as an error.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);
/// The `Accept` header; it asks for errors with reasons (RFC 9457).
const ACCEPTED: &str = "application/problem+json, application/json, text/plain";

/// A server, and the token for it.
pub(super) struct Remote {
    client: outbound::Client,
    base: String,
    token: RefCell<Secret>,
    renewal: Option<Renewal>,
    names_flags: Cell<bool>,
}

/// The id and secret of a UAA client, joined by a colon.
enum Credentials {
    /// Both are percent-encoded.
    Encoded(String),
    Plain(String),
}

impl Remote {
    /// `base` has no slash at the end. The error names the wrong setting.
    pub(super) fn new(
        settings: &Outbound,
        base: String,
        token: &str,
        renewal: Option<Renewal>,
    ) -> Result<Self, Failure> {
        let limits = Limits {
            connect_timeout: CONNECT_TIMEOUT,
            total_timeout: TOTAL_TIMEOUT,
            max_idle_age: MAX_IDLE_AGE,
        };
        let client = outbound::Client::new(settings, &limits).map_err(Failure::Usage)?;
        Ok(Self { client, base, token: RefCell::new(bare(token)), renewal, names_flags: Cell::new(true) })
    }

    /// The base URL, without a slash at the end.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// A link to the dashboard of a `standalone` service. It is derived from the token, which the service
    /// knows too, and works once, within five minutes.
    pub(super) fn link_that_signs_in(&self) -> String {
        let code = link_code(&digest_of(self.token.borrow().reveal()), SystemClock::default().now());
        format!("{}/dashboard/#code={code}", self.base)
    }

    /// Makes messages name the fields of the API instead of flags.
    pub(super) fn name_fields(&self) {
        self.names_flags.set(false);
    }

    /// Gets JSON.
    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.get_at(&format!("{}{path}", self.base))
    }

    /// Gets JSON from another server, which receives the token too.
    pub(super) fn get_at(&self, url: &str) -> Result<Value, Failure> {
        self.object(self.exchange(&Method::GET, url, None)?)
    }

    /// Gets a body that is not JSON.
    pub(super) fn get_raw(&self, path: &str) -> Result<Response<Body>, Failure> {
        self.exchange(&Method::GET, &format!("{}{path}", self.base), None)
    }

    /// The time of the service's clock, to the second.
    pub(super) fn clock(&self) -> Result<Timestamp, Failure> {
        let response = self.get_raw("/healthz")?;
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
        let instant = date.and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok());
        instant.and_then(|instant| Timestamp::from_seconds(instant.unix_timestamp())).ok_or_else(|| {
            Failure::Unavailable(format!(
                "the response of {} has no Date header; use --at instead",
                self.base
            ))
        })
    }

    /// Posts JSON, or an empty body.
    pub(super) fn post(&self, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let url = format!("{}{path}", self.base);
        self.object(self.exchange(&Method::POST, &url, Some(&body))?)
    }

    pub(super) fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.base);
        self.object(self.exchange(&Method::PATCH, &url, Some(&body.to_string()))?)
    }

    /// Puts JSON. Returns the object, and what has changed or would change: `created`, `replaced` or
    /// `unchanged`.
    pub(super) fn put(&self, path: &str, body: &Value) -> Result<(Value, String), Failure> {
        let response =
            self.exchange(&Method::PUT, &format!("{}{path}", self.base), Some(&body.to_string()))?;
        let change = response.headers().get(CHANGE).and_then(|change| change.to_str().ok());
        let Some(change) = change.map(str::to_owned) else {
            return Err(Failure::Unavailable(format!(
                "{} did not say what the PUT has changed; it may be another scheduler or an older version",
                self.base
            )));
        };
        Ok((self.object(response)?, change))
    }

    pub(super) fn delete(&self, path: &str) -> Result<(), Failure> {
        self.exchange(&Method::DELETE, &format!("{}{path}", self.base), None).map(|_| ())
    }

    fn object(&self, mut response: Response<Body>) -> Result<Value, Failure> {
        let reader = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        let bytes = reader.map_err(|err| self.unreachable(&self.base, &err))?;
        serde_json::from_slice(&bytes).map_err(|_| {
            Failure::Unavailable(format!(
                "the response of {} is not JSON: is it the base URL of a scheduler?",
                self.base
            ))
        })
    }

    fn exchange(&self, method: &Method, url: &str, body: Option<&str>) -> Result<Response<Body>, Failure> {
        let (mut retries, mut is_renewed) = (0, false);
        loop {
            let response = self.send(method, url, body)?;
            match response.status().as_u16() {
                200..=299 => return Ok(response),
                401 if !is_renewed && self.renewal.is_some() => {
                    self.renew()?;
                    is_renewed = true;
                }
                429 | 503 if matches!(*method, Method::GET | Method::PUT) && retries < RETRIES_MAX => {
                    let Some(wait) = retry_after(&response).filter(|wait| *wait <= RETRY_AFTER_MAX) else {
                        return Err(self.refusal(response));
                    };
                    let _ = after(wait).recv();
                    retries += 1;
                }
                _ => return Err(self.refusal(response)),
            }
        }
    }

    fn send(&self, method: &Method, url: &str, body: Option<&str>) -> Result<Response<Body>, Failure> {
        let uri = self.uri(url)?;
        let authorization = format!("Bearer {}", self.token.borrow().reveal());
        // The error does not show the token.
        let mut authorization = HeaderValue::from_str(&authorization).map_err(|_| {
            Failure::Unauthorized("the token has characters that a token cannot have".to_owned())
        })?;
        authorization.set_sensitive(true);
        let request = Request::builder()
            .method(method.clone())
            .uri(uri.clone())
            .header(ACCEPT, ACCEPTED)
            .header(AUTHORIZATION, authorization);
        let agent = self.client.agent_for(&uri);
        let sent = match body {
            None => request.body(()).map_err(ureq::Error::from).and_then(|request| agent.run(request)),
            Some(body) => request
                .header(CONTENT_TYPE, "application/json")
                .body(body)
                .map_err(ureq::Error::from)
                .and_then(|request| agent.run(request)),
        };
        sent.map_err(|err| self.unreachable(url, &err))
    }

    /// Gets a new token from UAA. If UAA has also replaced the refresh token, saves both in cf's file.
    fn renew(&self) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Issued {
            access_token: String,
            refresh_token: Option<String>,
        }
        let Some(renewal) = &self.renewal else { return Ok(()) };
        let over = || Failure::Unauthorized("the login of cf has expired; run: cf login".to_owned());
        let url = format!("{}/oauth/token", renewal.uaa);
        let (client, secret) = (renewal.client.as_str(), renewal.client_secret.reveal());
        let (encoded, plain) =
            (format!("{}:{}", encode(client), encode(secret)), format!("{client}:{secret}"));
        let is_plain = plain == encoded;
        let mut response = self.ask_for_token(&url, &Credentials::Encoded(encoded), renewal)?;
        // UAA decodes them since version 4.33; older versions do not.
        if response.status() == 401 && !is_plain {
            response = self.ask_for_token(&url, &Credentials::Plain(plain), renewal)?;
        }
        match response.status().as_u16() {
            200 => {
                let bytes = response.body_mut().with_config().limit(MAX_REFUSAL_BYTES).read_to_vec();
                let bytes = bytes.map_err(|err| self.unreachable(&url, &err))?;
                let issued: Issued = serde_json::from_slice(&bytes).map_err(|_| over())?;
                *self.token.borrow_mut() = bare(&issued.access_token);
                let rotated = issued.refresh_token.filter(|token| token != renewal.refresh_token.reveal());
                if let Some(refresh_token) = rotated
                    && let Err(err) = renewal.keep(self.token.borrow().reveal(), &refresh_token)
                {
                    output::print_error(&format!("ocf-scheduler: {err}; you may have to run: cf login\n"));
                }
                Ok(())
            }
            400..=428 | 430..=499 => Err(over()),
            status => Err(Failure::Unavailable(format!("{url} answered {status}"))),
        }
    }

    fn ask_for_token(
        &self,
        url: &str,
        credentials: &Credentials,
        renewal: &Renewal,
    ) -> Result<Response<Body>, Failure> {
        let uri = self.uri(url)?;
        let (Credentials::Encoded(text) | Credentials::Plain(text)) = credentials;
        let form =
            format!("grant_type=refresh_token&refresh_token={}", encode(renewal.refresh_token.reveal()));
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri.clone())
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(text)))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Credentials::Encoded(_) = credentials {
            request = request.header("X-CF-ENCODED-CREDENTIALS", "true");
        }
        let sent = request
            .body(form)
            .map_err(ureq::Error::from)
            .and_then(|request| self.client.agent_for(&uri).run(request));
        sent.map_err(|err| self.unreachable(url, &err))
    }

    fn uri(&self, url: &str) -> Result<Uri, Failure> {
        outbound::read_uri(url).ok_or_else(|| Failure::Usage(format!("{url:?} is not a URL")))
    }

    /// Turns an error response into a failure.
    fn refusal(&self, mut response: Response<Body>) -> Failure {
        let status = response.status();
        let is_unrouted = response.headers().contains_key("X-Cf-Routererror");
        let mut bytes = Vec::new();
        // An incomplete reason is better than none.
        let _ = response.body_mut().as_reader().take(MAX_REFUSAL_BYTES).read_to_end(&mut bytes);
        let reason = reason_of(&bytes, self.names_flags.get());
        let said = match &reason {
            Some(reason) => reason.clone(),
            None => format!("{} answered {status} without a reason", self.base),
        };
        match status.as_u16() {
            _ if is_unrouted => Failure::Unavailable(format!("there is no service at {}", self.base)),
            401 | 403 => Failure::Unauthorized(format!("not allowed: {said}")),
            404 | 405 if reason.is_none() => Failure::NotFound(format!(
                "{} answered {status}; it may be another scheduler or an older version, which cannot do this",
                self.base
            )),
            404 => Failure::NotFound(said),
            300..=399 => Failure::Unavailable(format!(
                "{} answered {status}: is it the base URL of a scheduler?",
                self.base
            )),
            429 | 500..=599 => Failure::Unavailable(match retry_after(&response) {
                Some(wait) => format!("{said}; retry in {} s", wait.as_secs()),
                None => said,
            }),
            // The response names several faults, one on each line.
            _ if said.starts_with('\n') => Failure::Refused(format!("refused:{said}")),
            _ => Failure::Refused(format!("refused: {said}")),
        }
    }

    fn unreachable(&self, url: &str, error: &ureq::Error) -> Failure {
        let reason = match error {
            ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
                format!("no connection within {CONNECT_TIMEOUT:?}")
            }
            ureq::Error::Timeout(_) => format!("no complete response within {TOTAL_TIMEOUT:?}"),
            ureq::Error::BodyExceedsLimit(bytes) => format!("the response is longer than {bytes} bytes"),
            other => outbound::untrusted_certificate(other).unwrap_or_else(|| other.to_string()),
        };
        let place = if url.starts_with(&self.base) { &self.base } else { url };
        Failure::Unavailable(format!("{place} cannot be reached: {reason}"))
    }
}

/// A token without the scheme that cf writes before it.
fn bare(token: &str) -> Secret {
    let token = token.trim();
    let bare = match token.split_once(' ') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("bearer") => rest.trim(),
        _ => token,
    };
    Secret::from(bare.to_owned())
}

fn retry_after(response: &Response<Body>) -> Option<Duration> {
    response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The reason in an error response: its faults, each with what was expected, or its detail. Several faults
/// are on separate lines. `None` if the response has another form, such as Cloud Foundry's.
fn reason_of(body: &[u8], names_flags: bool) -> Option<String> {
    #[derive(Deserialize)]
    struct Problem {
        detail: Option<String>,
        #[serde(default)]
        errors: Vec<Fault>,
    }
    #[derive(Deserialize)]
    struct Fault {
        field: Option<String>,
        detail: Option<String>,
        expected: Option<String>,
    }
    let problem: Problem = serde_json::from_slice(body).ok()?;
    let faults: Vec<(String, Option<String>)> = problem
        .errors
        .into_iter()
        .filter_map(|fault| {
            let detail = fault.detail?;
            match fault.field.as_deref() {
                Some("path") if names_flags => return Some((UNSEEN.to_owned(), None)),
                Some("Authorization") if detail.ends_with("does not accept the token") => {
                    return Some((WRONG_TOKEN.to_owned(), None));
                }
                _ => {}
            }
            let name = |field: String| if names_flags { flag_of(&field) } else { field };
            let detail = if names_flags { detail.replace("audit.scheduler.", "") } else { detail };
            let said =
                fault.field.map_or_else(|| detail.clone(), |field| format!("{} {detail}", name(field)));
            Some((said, expected_of(fault.expected, names_flags)))
        })
        .collect();
    let right = |expected: &Option<String>, indent: &str| {
        expected.as_ref().map_or_else(String::new, |expected| format!("\n{indent}expected: {expected}"))
    };
    match faults.as_slice() {
        [] => problem.detail.filter(|detail| !detail.is_empty()),
        [(said, expected)] => Some(format!("{said}{}", right(expected, "  "))),
        faults => Some(
            faults.iter().map(|(said, expected)| format!("\n  {said}{}", right(expected, "    "))).collect(),
        ),
    }
}

const UNSEEN: &str = "there is no object with this guid that you may see; to list objects, run: \
     ocf-scheduler jobs, calls, schedules, executions or notifications";

const WRONG_TOKEN: &str = "the service does not accept the token; to store another one, run: ocf-scheduler \
     login URL, or set SCHEDULER_TOKEN";

/// What was expected, in terms of the command line.
fn expected_of(expected: Option<String>, names_flags: bool) -> Option<String> {
    let expected = expected.filter(|expected| !expected.is_empty())?;
    if !names_flags {
        return Some(expected);
    }
    Some(WORDS.iter().fold(expected, |text, (of_api, of_flags)| text.replace(of_api, of_flags)))
}

/// Phrases of the API's errors, and the same in terms of flags.
const WORDS: [(&str, &str); 8] = [
    ("or null", "or \"\""),
    ("PATCH changes the one that has it", "`ocf-scheduler edit` changes the one that has it"),
    ("?app_guid= and the guid", "--app or SCHEDULER_APP, with the name or guid"),
    ("?space_guid= and the guid", "--space or SCHEDULER_SPACE, with the name or guid"),
    (" (a + is %2B in a query)", ""),
    ("the value in auth_header instead", "the value in --auth-header instead"),
    ("a whole number from 1 to 20, or \"\" for the default", "a whole number from 0 to 20; 0 for no retries"),
    ("audit.scheduler.", ""),
];

/// The flag that sets a field of the API. Fields that are operands keep their names.
fn flag_of(field: &str) -> String {
    let flag = match field {
        "app_guid" => "app",
        "space_guid" | "space_guids" => "space",
        "memory_in_mb" => "memory",
        "disk_in_mb" => "disk",
        "log_rate_in_bps" => "log-rate",
        "timeout_seconds" => "timeout",
        "concurrency_policy" => "concurrency-policy",
        "retry" | "retry.max_retries" => "retries",
        "retry.backoff_seconds" => "backoff",
        "retry.max_backoff_seconds" => "max-backoff",
        "retry.max_age_seconds" => "max-age",
        "metadata.labels" => "labels",
        "expect_success_within_seconds" => "expect-success",
        "method" => "method",
        "headers" => "headers",
        "body" => "body",
        "success_statuses" => "success",
        "auth_header" => "auth-header",
        "signing_secret" | "secret" => "secret",
        "timezone" => "timezone",
        "starts_at" => "from",
        "ends_at" | "until" | "paused_until" => "until",
        "paused_note" => "note",
        "jitter_seconds" => "jitter",
        "misfire_policy" => "misfire-policy",
        "description" => "description",
        "states" => "state",
        "reasons" => "reason",
        "kinds" => "kind",
        "types" => "types",
        "created_ats[gt]" => "since",
        "per_page" => "limit",
        "label_selector" => "label-selector",
        "after_failures" => "after-failures",
        "remind_after_seconds" => "remind-after",
        "format" => "format",
        "events" => "events",
        other => return other.to_owned(),
    };
    format!("--{flag}")
}

/// Percent-encodes everything but the unreserved characters of a URL.
pub(super) fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_reported_in_the_words_of_the_server() {
        let reason = |body: &str| reason_of(body.as_bytes(), true);
        let one = r#"{"detail":"name is blank","errors":[{"field":"name","detail":"is blank"}]}"#;
        assert_eq!(reason(one).as_deref(), Some("name is blank"));
        let two = r#"{"errors":[{"field":"a","detail":"x"},{"field":"b","detail":"y"}]}"#;
        assert_eq!(reason(two).as_deref(), Some("\n  a x\n  b y"));
        let taught = r#"{"errors":[{"field":"a","detail":"x","expected":"z"}]}"#;
        assert_eq!(reason(taught).as_deref(), Some("a x\n  expected: z"));
        let two = r#"{"errors":[{"field":"a","detail":"x","expected":"z"},{"field":"b","detail":"y","expected":""}]}"#;
        assert_eq!(reason(two).as_deref(), Some("\n  a x\n    expected: z\n  b y"));
        assert_eq!(reason(r#"{"detail":"gone"}"#).as_deref(), Some("gone"));
        for nothing in ["", "\"\"", "<html>", "{}", r#"{"detail":""}"#] {
            assert_eq!(reason(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_token_may_be_given_with_its_scheme() {
        for token in ["t", "bearer t", " Bearer  t\n"] {
            assert_eq!(bare(token).reveal(), "t");
        }
    }
}
