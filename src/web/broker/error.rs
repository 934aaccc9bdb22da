//! Errors of the broker: a status, and JSON that platforms show to people.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::http::{Response, respond_with, with_header};
use crate::store::StoreError;
use crate::web::api::violation::Violation;

/// The `Retry-After` while the database is unavailable.
const RETRY_AFTER_SECONDS: u64 = 5;

/// An error of the broker.
#[derive(Debug)]
pub(in crate::web) struct BrokerError {
    status: u16,
    /// The error code for programs.
    error: &'static str,
    description: String,
    /// Internal causes go only to the log.
    cause: Option<String>,
    headers: Vec<(&'static str, String)>,
}

impl BrokerError {
    pub(in crate::web) fn new(status: u16, error: &'static str, description: impl Into<String>) -> Self {
        Self { status, error, description: description.into(), cause: None, headers: Vec::new() }
    }

    pub(in crate::web) fn invalid(description: impl Into<String>) -> Self {
        Self::new(400, "InvalidRequest", description)
    }

    pub(in crate::web) fn unauthorized(description: &str) -> Self {
        let error = Self::new(401, "Unauthorized", description);
        error.with_header("WWW-Authenticate", "Basic realm=\"service broker\", charset=\"UTF-8\"")
    }

    pub(in crate::web) fn version(what: &str) -> Self {
        let description =
            format!("the header X-Broker-API-Version {what}; any 2.x is understood, and 2.17 spoken");
        Self::new(412, "UnsupportedVersion", description)
    }

    pub(in crate::web) fn no_instance() -> Self {
        Self::new(404, "NotFound", "no such service instance")
    }

    pub(in crate::web) fn no_binding() -> Self {
        Self::new(404, "NotFound", "no such service binding")
    }

    pub(in crate::web) fn gone() -> Self {
        Self::new(410, "Gone", "it does not exist, or no longer")
    }

    pub(in crate::web) fn conflict(of: &str) -> Self {
        Self::new(409, "Conflict", format!("another {of} has this id"))
    }

    pub(in crate::web) fn method_not_allowed(allow: &str) -> Self {
        Self::new(405, "MethodNotAllowed", format!("the methods here are {allow}"))
            .with_header("Allow", allow)
    }

    pub(in crate::web) fn too_many(wait: Duration) -> Self {
        let seconds = wait.as_nanos().div_ceil(1_000_000_000).max(1).to_string();
        Self::new(429, "TooManyRequests", "too many requests").with_header("Retry-After", &seconds)
    }

    pub(in crate::web) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(in crate::web) fn response(&self) -> Response {
        #[derive(Serialize)]
        struct Refused<'a> {
            error: &'a str,
            description: &'a str,
        }
        let refused = Refused { error: self.error, description: &self.description };
        let json = serde_json::to_vec(&refused).unwrap_or_default();
        self.headers
            .iter()
            .fold(respond_with(self.status, "application/json", json), |response, (name, value)| {
                with_header(response, name, value)
            })
    }
}

impl From<StoreError> for BrokerError {
    fn from(error: StoreError) -> Self {
        let refused = match error {
            StoreError::Unavailable(_) => {
                Self::new(503, "DatabaseUnavailable", "the database is not available")
                    .with_header("Retry-After", &RETRY_AFTER_SECONDS.to_string())
            }
            StoreError::Conflict | StoreError::Bug(_) => {
                Self::new(500, "InternalError", "a fault of the service; its log says more")
            }
        };
        Self { cause: Some(error.to_string()), ..refused }
    }
}

impl From<Violation> for BrokerError {
    fn from(violation: Violation) -> Self {
        Self::invalid(violation.to_string())
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cause.as_ref().unwrap_or(&self.description))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_is_a_500_and_only_an_unavailable_database_a_503() {
        let answer = |error: StoreError| {
            let error = BrokerError::from(error);
            let retry = error.headers.iter().any(|(name, _)| *name == "Retry-After");
            (error.status, error.error, retry, error.to_string())
        };
        let bug = StoreError::Bug("column 3 holds something unexpected".to_owned());
        let (status, error, retry, logged) = answer(bug);
        assert_eq!((status, error, retry), (500, "InternalError", false));
        assert!(logged.contains("column 3"), "{logged}");
        assert_eq!(answer(StoreError::Conflict).0, 500);
        let (status, error, retry, _) = answer(StoreError::Unavailable("no connection".to_owned()));
        assert_eq!((status, error, retry), (503, "DatabaseUnavailable", true));
    }
}
