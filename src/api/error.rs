//! Refusals: a status, an empty body, and a reason for the log.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use tiny_http::Header;

use super::broker::BrokerError;
use crate::auth::AuthError;
use crate::http::{Response, respond, respond_with};
use crate::platform::PlatformError;
use crate::store::StoreError;

/// What a client is asked to wait when nobody said how long.
const RETRY_AFTER_SECONDS: u64 = 5;

/// Why a request was refused. The client sees the status alone, with an empty body; the rest is for the log, and for
/// those who accept `application/problem+json`.
#[derive(Debug)]
pub(super) enum ApiError {
    /// No bearer token, a bad one, or no role.
    Unauthorized(&'static str),
    /// It does not exist, or not for this caller: which of the two nobody learns.
    NotFound,
    /// The path is known, with other methods: the text of `Allow`.
    MethodNotAllowed(&'static str),
    /// The caller comes too often: when to come again.
    TooMany(Duration),
    /// The rules that the request breaks.
    Unprocessable(Vec<Violation>),
    /// The database.
    Store(StoreError),
    /// UAA or Cloud Foundry.
    Platform(PlatformError),
    /// The service broker's, which has JSON of its own.
    Broker(BrokerError),
}

/// A rule that a request breaks.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Violation {
    /// For example `name`.
    pub(super) field: &'static str,
    /// For example `is blank`.
    pub(super) detail: String,
}

impl Violation {
    pub(super) fn new(field: &'static str, detail: impl Into<String>) -> Self {
        Self { field, detail: detail.into() }
    }
}

impl From<Violation> for ApiError {
    fn from(violation: Violation) -> Self {
        Self::Unprocessable(vec![violation])
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unauthorized(reason) => Self::Unauthorized(reason),
            AuthError::Unavailable(error) => Self::Platform(error),
        }
    }
}

impl ApiError {
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Unauthorized(_) => 401,
            Self::NotFound => 404,
            Self::MethodNotAllowed(_) => 405,
            Self::TooMany(_) => 429,
            Self::Unprocessable(_) => 422,
            Self::Store(StoreError::Bug(_) | StoreError::Conflict) => 500,
            Self::Store(StoreError::Unavailable(_)) | Self::Platform(_) => 503,
            Self::Broker(error) => error.status(),
        }
    }

    pub(super) fn response(&self, accept: Option<&str>) -> Response {
        if let Self::Broker(error) = self {
            return error.response();
        }
        let violations = match self {
            Self::Unprocessable(violations) => violations.as_slice(),
            _ => &[],
        };
        // What is wrong inside is for the log alone.
        let detail = match self {
            Self::Store(_) => "the database is not available".to_owned(),
            Self::Platform(_) => "UAA or Cloud Foundry is not available".to_owned(),
            other => other.to_string(),
        };
        let response = refusal(self.status(), &detail, violations, accept);
        match self {
            Self::MethodNotAllowed(allow) => with_header(response, "Allow", allow),
            Self::TooMany(wait) => with_header(
                response,
                "Retry-After",
                &wait.as_nanos().div_ceil(1_000_000_000).max(1).to_string(),
            ),
            Self::Unauthorized(_) => with_header(response, "WWW-Authenticate", "Bearer"),
            Self::Platform(PlatformError::Unavailable { retry_after: Some(wait), .. }) => {
                with_header(response, "Retry-After", &wait.as_secs().max(1).to_string())
            }
            Self::Store(_) | Self::Platform(_) => {
                with_header(response, "Retry-After", &RETRY_AFTER_SECONDS.to_string())
            }
            _ => response,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized(reason) => f.write_str(reason),
            Self::NotFound => f.write_str("there is no such thing"),
            Self::TooMany(wait) => write!(f, "too many requests; the next one is welcome in {wait:?}"),
            Self::MethodNotAllowed(allow) => write!(f, "the methods here are {allow}"),
            Self::Unprocessable(violations) => {
                for (index, violation) in violations.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(f, "{separator}{} {}", violation.field, violation.detail)?;
                }
                Ok(())
            }
            Self::Store(error) => error.fmt(f),
            Self::Platform(error) => error.fmt(f),
            Self::Broker(error) => error.fmt(f),
        }
    }
}

/// A refusal in the form that the client's `Accept` asks for: RFC 9457 for `application/problem+json`, `""` for
/// `application/json` (the PCF Java client takes an empty refusal for success), else nothing.
pub(super) fn refusal(status: u16, detail: &str, violations: &[Violation], accept: Option<&str>) -> Response {
    #[derive(Serialize)]
    struct Problem<'a> {
        r#type: &'static str,
        title: &'static str,
        status: u16,
        detail: &'a str,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        errors: &'a [Violation],
    }
    let accepts = |media_type: &str| {
        accept.is_some_and(|accept| {
            accept
                .split(',')
                .any(|range| range.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case(media_type))
        })
    };
    if accepts("application/problem+json") {
        let title = tiny_http::StatusCode(status).default_reason_phrase();
        let problem = Problem { r#type: "about:blank", title, status, detail, errors: violations };
        if let Ok(body) = serde_json::to_vec(&problem) {
            return respond_with(status, "application/problem+json", body);
        }
    }
    if accepts("application/json") {
        respond_with(status, "application/json", "\"\"")
    } else {
        respond(status)
    }
}

pub(super) fn with_header(response: Response, name: &str, value: &str) -> Response {
    match Header::from_bytes(name, value) {
        Ok(header) => response.with_header(header),
        Err(()) => response,
    }
}
