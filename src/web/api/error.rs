//! Errors of the API: a status, a body in the form that the client accepts, and a reason for the log.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use tiny_http::Header;

use super::refusal;
use super::violation::Violation;
use crate::http::{
    BODY_MAX, HEAD_MAX, HEADERS_MAX, Refusal, Response, TRAILERS_MAX, respond, respond_with, with_header,
};
use crate::platform::PlatformError;
use crate::store::StoreError;
use crate::web::auth::{AuthError, WITHOUT_TOKEN};

/// The default `Retry-After`.
const RETRY_AFTER_SECONDS: u64 = 5;

/// Why a request was refused. Clients that accept neither `application/json` nor `application/problem+json`
/// see only the status.
#[derive(Debug)]
pub(in crate::web) enum ApiError {
    /// No bearer token, a bad one, or no role.
    Unauthorized(&'static str),
    /// The metrics require their own token, which is missing or wrong.
    NotOfMetrics,
    /// A list of a space that does not exist, or in which the caller has no role. The answer does not say
    /// which.
    NoRoleInSpace,
    /// The caller may only read it.
    ReadOnly,
    /// No such path.
    NoSuchPath,
    /// It does not exist, or the caller may not see it. The answer does not say which.
    NotFound,
    /// The job or call named in a validation does not exist, or the caller may not see it.
    RefNotFound,
    /// The path has other methods: the value of `Allow`.
    MethodNotAllowed(&'static str),
    /// The version is not the one in `If-Match` or `If-None-Match`.
    OtherVersion,
    /// Rate limit exceeded; when to retry.
    TooMany(Duration),
    /// The rules that the request breaks.
    Unprocessable(Vec<Violation>),
    /// The requested data is being computed for the first time.
    NotYet(&'static str),
    /// The database.
    Store(StoreError),
    /// UAA or Cloud Foundry failed; in `standalone`, the files of tasks.
    Platform(PlatformError),
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

impl From<PlatformError> for ApiError {
    fn from(error: PlatformError) -> Self {
        Self::Platform(error)
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unauthorized(reason) => Self::Unauthorized(reason),
            AuthError::Unavailable(error) => error.into(),
        }
    }
}

impl ApiError {
    pub(in crate::web) fn without_token() -> Self {
        Self::Unauthorized(WITHOUT_TOKEN)
    }

    pub(in crate::web) fn status(&self) -> u16 {
        match self {
            Self::Unauthorized(_) | Self::NotOfMetrics | Self::NoRoleInSpace => 401,
            Self::ReadOnly => 403,
            Self::NoSuchPath | Self::NotFound | Self::RefNotFound => 404,
            Self::MethodNotAllowed(_) => 405,
            Self::OtherVersion => 412,
            Self::TooMany(_) => 429,
            Self::Unprocessable(_) => 422,
            Self::Store(StoreError::Bug(_) | StoreError::Conflict) => 500,
            Self::NotYet(_) | Self::Store(StoreError::Unavailable(_)) | Self::Platform(_) => 503,
        }
    }

    /// The answer to a client that sent `headers` about a `resource`, for example `job`; `needed_to_enter` as
    /// in `Platform::needed_to_enter`.
    pub(in crate::web) fn response(
        &self,
        headers: &[Header],
        resource: &str,
        needed_to_enter: &'static str,
    ) -> Response {
        let status = self.status();
        let retry_after = match self {
            Self::TooMany(wait) => Some(whole_seconds(*wait)),
            Self::Platform(PlatformError::Unavailable { retry_after: Some(wait), .. }) => {
                Some(whole_seconds(*wait))
            }
            Self::NotYet(_) | Self::Store(StoreError::Unavailable(_)) | Self::Platform(_) => {
                Some(RETRY_AFTER_SECONDS)
            }
            _ => None,
        };
        let problem = Problem {
            errors: self.violations(needed_to_enter),
            ..Problem::new(status, self.detail(), retry_after)
        };
        let response = match self {
            Self::RefNotFound => problem.of_ref(headers),
            _ => problem.response(headers, resource),
        };
        match self {
            Self::MethodNotAllowed(allow) => with_header(response, "Allow", allow),
            Self::Unauthorized(_) | Self::NotOfMetrics | Self::NoRoleInSpace => {
                with_header(response, "WWW-Authenticate", "Bearer")
            }
            _ => match retry_after {
                Some(seconds) => with_header(response, "Retry-After", &seconds.to_string()),
                None => response,
            },
        }
    }

    /// Says what happened and what to do. Internal causes go only to the log.
    pub(in crate::web) fn detail(&self) -> String {
        match self {
            Self::TooMany(wait) => {
                let seconds = whole_seconds(*wait);
                format!("rate limit exceeded; retry in {seconds} s")
            }
            Self::Store(StoreError::Unavailable(_)) => {
                "the database is not available; nothing was changed; send the request again later".to_owned()
            }
            Self::Store(StoreError::Bug(_) | StoreError::Conflict) => INTERNAL.to_owned(),
            Self::Platform(PlatformError::Misconfigured { cause }) => {
                format!("{cause}; nothing was changed; the operator of the service has to mend that")
            }
            Self::Platform(_) => {
                "the platform (UAA or Cloud Foundry; standalone: its files) is not available; nothing \
                                  was changed; send the request again later"
                    .to_owned()
            }
            other => other.to_string(),
        }
    }

    /// The rules that the request breaks; `needed_to_enter` as in `Platform::needed_to_enter`.
    pub(in crate::web) fn violations(&self, needed_to_enter: &'static str) -> Vec<Violation> {
        match self {
            Self::Unprocessable(violations) => violations.clone(),
            Self::Unauthorized(reason) => vec![Violation::new(
                "Authorization",
                "authorization",
                format!("is not enough: {reason}"),
                needed_to_enter,
            )],
            Self::NotOfMetrics => vec![Violation::new(
                "Authorization",
                "authorization",
                "does not contain the token of the metrics",
                "Authorization: bearer TOKEN, with what the service has as METRICS_TOKEN",
            )],
            Self::NoRoleInSpace => vec![Violation::new(
                "space_guid",
                "authorization",
                "names no space of yours: there is no such space, or you have no role in that space",
                "a space in which the user is developer or manager",
            )],
            Self::ReadOnly => vec![Violation::new(
                "Authorization",
                "authorization",
                "belongs to a caller who may read this but not change it",
                "a token of a developer or manager of the space",
            )],
            Self::NoSuchPath => vec![Violation::new(
                "path",
                "unknown",
                "is not a path of this API",
                "one of the paths of GET /openapi.json",
            )],
            Self::NotFound => {
                vec![Violation::new("path", "not_found", "names nothing that you may see", FOUND)]
            }
            Self::RefNotFound => {
                vec![Violation::new("ref_guid", REF_NOT_FOUND, "names nothing that you may see", FOUND)]
            }
            Self::MethodNotAllowed(allow) => {
                vec![Violation::new(
                    "method",
                    "method",
                    "is not a method of this path",
                    format!(
                        "one of \
                 {allow}"
                    ),
                )]
            }
            Self::OtherVersion => vec![Violation::new(
                "If-Match",
                "version",
                "names another version than the current one",
                "the ETag of the last answer that showed it",
            )],
            Self::TooMany(wait) => vec![Violation::new(
                "Authorization",
                "rate",
                "belongs to a caller over the rate limit",
                format!("the next request in {} s, or later", whole_seconds(*wait)),
            )],
            // Nothing is wrong with the request.
            Self::NotYet(_) | Self::Store(_) | Self::Platform(_) => Vec::new(),
        }
    }
}

/// Without this, version 2 of the plugin takes a 404 for an older scheduler.
pub(super) const REF_NOT_FOUND: &str = "ref_not_found";
const FOUND: &str = "the guid of something that exists in a space in which the user is developer or manager; \
 a schedule \
                     or an execution under the job or call that it belongs to";
const INTERNAL: &str = "a fault of the service; its log says more under the X-Request-Id of this answer";

fn whole_seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX).max(1)
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unauthorized(reason) => f.write_str(reason),
            Self::NotOfMetrics => f.write_str("the token of the metrics is missing or wrong"),
            Self::NoRoleInSpace => f.write_str("no such space, or the user has no role in it"),
            Self::ReadOnly => f.write_str("the user may read this but not change it"),
            Self::NoSuchPath => f.write_str("no such path"),
            Self::RefNotFound => f.write_str("no such job or call, or not in a space of the caller"),
            Self::NotFound => f.write_str("not found, or not in a space of the caller"),
            Self::OtherVersion => f.write_str("the version is not the requested one; nothing was changed"),
            Self::TooMany(wait) => write!(f, "too many requests; retry in {wait:?}"),
            Self::MethodNotAllowed(allow) => write!(f, "the methods here are {allow}"),
            Self::Unprocessable(violations) => {
                for (index, violation) in violations.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(f, "{separator}{violation}")?;
                }
                Ok(())
            }
            Self::NotYet(what) => f.write_str(what),
            Self::Store(error) => error.fmt(f),
            Self::Platform(error) => error.fmt(f),
        }
    }
}

/// The body for clients that accept `application/problem+json` (RFC 9457, with additional members).
#[derive(Serialize)]
pub(in crate::web) struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Violation>,
    /// Equals `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u64>,
}

impl Problem {
    pub(in crate::web) fn new(status: u16, detail: String, retry_after_seconds: Option<u64>) -> Self {
        let title = tiny_http::StatusCode(status).default_reason_phrase();
        Self { r#type: "about:blank", title, status, detail, errors: Vec::new(), retry_after_seconds }
    }

    /// For a refusal by the HTTP server, which knows no fields.
    pub(in crate::web) fn of_refusal(refusal: &Refusal) -> Self {
        let violation = |field, rule, expected: String| {
            vec![Violation::new(field, rule, format!("is refused: {}", refusal.reason), expected)]
        };
        let errors = match refusal.status {
            400 => violation("request", "syntax", "a request in the form of RFC 9112 (HTTP/1.1)".to_owned()),
            408 => violation("request", "time", "a request that arrives completely in time".to_owned()),
            413 => violation("body", "too_long", format!("a body of at most {BODY_MAX} bytes")),
            417 => violation("Expect", "value", "Expect: 100-continue, or none".to_owned()),
            431 => violation(
                "head",
                "too_long",
                format!(
                    "a request line and headers of at most {HEAD_MAX} bytes and {HEADERS_MAX} headers, and \
                     trailers of at most {TRAILERS_MAX} bytes"
                ),
            ),
            505 => violation("version", "value", "HTTP/1.1".to_owned()),
            _ => Vec::new(),
        };
        let detail = match refusal.status {
            500 => INTERNAL.to_owned(),
            503 => format!("{}; nothing was changed; send the request again later", refusal.reason),
            _ => refusal.reason.clone(),
        };
        let retry_after = refusal.retry_after_seconds.map(u64::from);
        Self { errors, ..Self::new(refusal.status, detail, retry_after) }
    }

    /// For a job or call that a validation did not find: always with a body, whatever `Accept` says.
    fn of_ref(&self, headers: &[Header]) -> Response {
        if accepts(headers, "application/problem+json") {
            return self.response(headers, "schedule");
        }
        let body = refusal::body(self.status, self.title, "schedule", &self.errors);
        respond_with(self.status, "application/json", body)
    }

    /// In the form that `Accept` names: RFC 9457, the JSON of [`refusal`] (the PCF Java client takes an empty
    /// refusal for success), or nothing.
    pub(in crate::web) fn response(&self, headers: &[Header], resource: &str) -> Response {
        if accepts(headers, "application/problem+json")
            && let Ok(body) = serde_json::to_vec(self)
        {
            return respond_with(self.status, "application/problem+json", body);
        }
        if accepts(headers, "application/json") {
            let body = refusal::body(self.status, self.title, resource, &self.errors);
            respond_with(self.status, "application/json", body)
        } else {
            respond(self.status)
        }
    }
}

/// Whether an `Accept` header names this media type. `*/*`, which curl sends, does not count.
fn accepts(headers: &[Header], media_type: &str) -> bool {
    headers
        .iter()
        .filter(|header| header.field.equiv("Accept"))
        .flat_map(|header| header.value.as_str().split(','))
        .any(|range| range.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case(media_type))
}
