//! How clients control the runs of a job or call. All of it is optional; the defaults are here.

use std::collections::BTreeMap;
use std::fmt;

use super::Secret;

/// How the runs of a job or call are controlled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Controls {
    /// What happens when it is due while an earlier execution of it has not ended.
    pub concurrency_policy: ConcurrencyPolicy,
    /// Whether a failed attempt is repeated.
    pub retry: Option<RetryPolicy>,
    /// While paused, its schedules do not fire; running it by hand still works.
    pub paused: bool,
    /// Labels and annotations.
    pub metadata: Metadata,
    /// A success is overdue after this long; from 60 to 31,536,000.
    pub expect_success_within_seconds: Option<u32>,
}

/// What happens when a job or call is due while an earlier execution of it has not ended. The names are those
/// of Kubernetes; `Queue` is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConcurrencyPolicy {
    /// Both run.
    #[default]
    Always,
    /// The new one is skipped.
    Forbid,
    /// The earlier one is cancelled, and the new one runs when it has ended.
    Replace,
    /// One new execution waits for the end of the earlier one.
    Queue,
}

impl ConcurrencyPolicy {
    /// All of them, the default first.
    pub const ALL: [Self; 4] = [Self::Always, Self::Forbid, Self::Replace, Self::Queue];

    /// Its name for clients and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::Forbid => "Forbid",
            Self::Replace => "Replace",
            Self::Queue => "Queue",
        }
    }
}

/// When a failed attempt is repeated. The delay doubles up to its maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first, from 1 to 20.
    pub max_retries: u32,
    /// The first delay, from 1 to 3600.
    pub backoff_seconds: u32,
    /// The longest delay, from 1 to 86,400.
    pub max_backoff_seconds: u32,
    /// No attempt begins later than this after the first one, from 1 to 604,800; `None`: no limit.
    pub max_age_seconds: Option<u32>,
}

impl RetryPolicy {
    /// The default first delay.
    pub const BACKOFF_SECONDS: u32 = 10;
    /// The default longest delay.
    pub const MAX_BACKOFF_SECONDS: u32 = 3600;
}

/// Labels and annotations, as Cloud Foundry's resources have them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Short values, for selectors.
    pub labels: BTreeMap<String, String>,
    /// Longer values, for people.
    pub annotations: BTreeMap<String, String>,
}

/// A request that a call makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// As the client wrote it; validated when the call is made.
    pub url: String,
    /// The value of `Authorization`; empty: not sent.
    pub auth_header: Secret,
    /// The method of the first request; redirects may change it.
    pub method: Method,
    /// Additional headers, in the order of their names.
    pub headers: Headers,
    /// `None` with `GET` and `HEAD`.
    pub body: Option<String>,
    /// Which answers are a success.
    pub success_statuses: Statuses,
    /// The signing secret, in the form `whsec_…`; `None`: requests are not signed.
    pub signing_secret: Option<Secret>,
    /// The time limit, from 1 to 1800; `None`: `CALL_TIMEOUT_SECONDS`.
    pub timeout_seconds: Option<u32>,
}

impl Call {
    /// A `POST` without a body: the defaults.
    pub fn new(url: String, auth_header: Secret) -> Self {
        Self {
            url,
            auth_header,
            method: Method::default(),
            headers: Headers::default(),
            body: None,
            success_statuses: Statuses::default(),
            signing_secret: None,
            timeout_seconds: None,
        }
    }
}

/// The method of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "they are those of HTTP")]
pub enum Method {
    #[default]
    Post,
    Get,
    Put,
    Patch,
    Delete,
    Head,
}

impl Method {
    /// All of them, the default first.
    pub const ALL: [Self; 6] = [Self::Post, Self::Get, Self::Put, Self::Patch, Self::Delete, Self::Head];

    /// Its name for clients, for servers and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Head => "HEAD",
        }
    }

    /// Whether a request with this method may have a body.
    pub const fn takes_body(self) -> bool {
        !matches!(self, Self::Get | Self::Head)
    }
}

/// The headers of a call, by name. Values may be secrets: `Debug` shows only the names.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers(pub BTreeMap<String, String>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Codes and ranges of HTTP statuses, as a client wrote them: `200-299,304`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(String);

impl Default for Statuses {
    fn default() -> Self {
        Self("200-299".to_owned())
    }
}

impl Statuses {
    /// The longest text, in bytes. A list of every single code fits.
    pub const LENGTH_MAX: usize = 4000;

    /// Reads codes from 100 to 999 and ranges of them, separated by commas; blanks around them are allowed.
    /// `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let is_valid = text.len() <= Self::LENGTH_MAX && ranges(text).all(|range| range.is_some());
        is_valid.then(|| Self(text.to_owned()))
    }

    /// As the client wrote them.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `status` is in the list.
    pub fn contain(&self, status: u16) -> bool {
        ranges(&self.0).flatten().any(|(first, last)| (first..=last).contains(&status))
    }
}

fn ranges(text: &str) -> impl Iterator<Item = Option<(u16, u16)>> {
    text.split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (status(first)?, status(last)?);
        (first <= last).then_some((first, last))
    })
}

fn status(text: &str) -> Option<u16> {
    let text = text.trim_matches(' ');
    let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|code| is_code && 100 <= *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_codes_and_ranges() {
        let statuses = Statuses::parse("200-299, 304 ,410 - 412").unwrap();
        for (status, is_one) in
            [(199, false), (200, true), (299, true), (304, true), (411, true), (413, false)]
        {
            assert_eq!(statuses.contain(status), is_one, "{status}");
        }
        for wrong in
            ["", ",", "200,", "2xx", "200-", "-299", "299-200", "20", "099", "1000", "+200", "200;201"]
        {
            assert_eq!(Statuses::parse(wrong), None, "{wrong:?}");
        }
        let all: Vec<String> = (100..1000).map(|code| code.to_string()).collect();
        assert!(Statuses::parse(&all.join(",")).is_some());
    }
}
