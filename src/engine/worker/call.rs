//! Performs calls: one POST, its redirects, and a verdict.

use std::cell::Cell;
use std::io::Read;
use std::time::{Duration, Instant};

use ureq::http::header::{AUTHORIZATION, HeaderValue, LOCATION, USER_AGENT};
use ureq::http::{Method, Request, Uri};

use super::{CallEnd, Left, WorkerContext};
use crate::base::crash;
use crate::base::metrics::{Upstream, metrics};
use crate::engine::journal::{self, About};
use crate::model::{Dispatch, EndState, Guid, Outcome, Secret};
use crate::outbound::{self, Client, DENIED, Limits, Outbound, Reach};
use crate::store::End;

/// The most redirects that are followed.
const REDIRECTS_MAX: usize = 5;
/// To have a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A call that is lost on a stale connection could not be repeated.
const IDLE_AGE_MAX: Duration = Duration::from_secs(1);
/// What is read of an answer's body before it is thrown away.
const BODY_MAX: u64 = 64 * 1024;
/// The longest message that is kept of a failure.
const MESSAGE_MAX: usize = 500;

/// Makes the requests of calls. Shared by all workers, and so are its idle connections.
pub struct Caller {
    client: Client,
    timeout: Duration,
}

impl Caller {
    /// With `timeout` for a whole call, redirects included; all of it within `reach`. The error says which setting is wrong.
    pub fn new(outbound: &Outbound, timeout: Duration, reach: Reach) -> Result<Self, String> {
        let limits = Limits {
            connect_timeout: CONNECT_TIMEOUT.min(timeout),
            total_timeout: timeout,
            max_idle_age: IDLE_AGE_MAX,
            reach,
        };
        Ok(Self { client: Client::new(outbound, &limits)?, timeout })
    }

    /// Requests the URL. The message of success names the status, that of failure the status or the cause.
    fn call(&self, url: &str, auth_header: &Secret, execution: &Guid) -> Result<String, String> {
        let deadline = Instant::now() + self.timeout;
        let authorization = HeaderValue::from_bytes(auth_header.reveal().as_bytes())
            .map_err(|_| "auth_header has characters that no HTTP header can carry".to_owned())?;
        let mut uri = parse_target(url)?;
        let first_origin = origin(&uri);
        let mut method = Method::POST;
        let mut redirected_by = None;
        for _ in 0..=REDIRECTS_MAX {
            let mut request = Request::builder()
                .method(method.clone())
                .uri(&uri)
                .header(USER_AGENT, concat!("ocf-scheduler/", env!("CARGO_PKG_VERSION")))
                .header("Idempotency-Key", execution.as_str());
            if origin(&uri) == first_origin {
                request = request.header(AUTHORIZATION, &authorization);
            }
            let agent = self.client.agent_for(&uri);
            let asked_at = Instant::now();
            let left = deadline.saturating_duration_since(asked_at);
            let sent = if method == Method::POST {
                let request =
                    request.body(&b""[..]).map_err(|err| format!("the URL cannot be requested: {err}"))?;
                agent.run(agent.configure_request(request).timeout_global(Some(left)).build())
            } else {
                let request =
                    request.body(()).map_err(|err| format!("the URL cannot be requested: {err}"))?;
                agent.run(agent.configure_request(request).timeout_global(Some(left)).build())
            };
            let status = sent.as_ref().ok().map(|response| response.status().as_u16());
            metrics().asked(Upstream::Call, status, asked_at.elapsed());
            let mut response = sent.map_err(|err| match &redirected_by {
                Some(status) if outbound::is_denied(&err) => {
                    format!("answered {status}, which was not followed: {DENIED}")
                }
                _ => self.cause(&err),
            })?;
            let status = response.status();
            let location = response.headers().get(LOCATION).cloned();
            // Read so that the connection can be used again; what goes wrong here changes nothing about the status.
            let _ = std::io::copy(&mut response.body_mut().as_reader().take(BODY_MAX), &mut std::io::sink());
            if status.is_success() {
                return Ok(format!("answered {status}"));
            }
            let redirected = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
            let Some(location) = location.filter(|_| redirected) else {
                return Err(format!("answered {status}"));
            };
            let location = location.to_str().map_err(|_| format!("answered {status} with a bad Location"))?;
            uri = parse_target(&resolve(&uri, location))
                .map_err(|err| format!("answered {status}, and {err}"))?;
            if !matches!(status.as_u16(), 307 | 308) {
                method = Method::GET;
            }
            redirected_by = Some(status);
        }
        Err(format!("redirected more than {REDIRECTS_MAX} times"))
    }

    fn cause(&self, error: &ureq::Error) -> String {
        match error {
            ureq::Error::Timeout(_) => format!("no answer within {} s", self.timeout.as_secs()),
            denied if outbound::is_denied(denied) => format!("not sent: {DENIED}"),
            other => outbound::untrusted_certificate(other).unwrap_or_else(|| format!("no answer: {other}")),
        }
    }
}

impl WorkerContext {
    pub(super) fn perform_call(&self, dispatch: &Dispatch, url: &str, auth_header: &Secret) -> Left {
        let began_at = Cell::new(self.clock.now());
        let may = self.may_go_on(dispatch, || {
            // Anew each time: while the database was away it had not begun.
            began_at.set(self.clock.now());
            self.store.start_call(dispatch.of, began_at.get())
        });
        if !may {
            return Left::ComesAgain;
        }
        let began_at = began_at.get();
        let ended = |state, message, began_at| {
            let outcome = Outcome { state, message, end_time: self.clock.now() };
            Left::Ended(CallEnd { end: End { of: dispatch.of, outcome }, began_at })
        };
        let about = About::of(dispatch, Some(began_at));
        journal::first_attempt(&about);
        journal::running(&about, None, dispatch.attempts.count + 1);
        if !self.holds(dispatch) {
            let message = "interrupted: the lease on the database ended before the call was sent".to_owned();
            return ended(EndState::Failed, message, None);
        }
        crash::point("call.started");
        let (state, message) = match self.caller.call(url, auth_header, &dispatch.guid) {
            Ok(message) => (EndState::Succeeded, message),
            Err(message) => (EndState::Failed, message),
        };
        crash::point("call.answered");
        let message = message.chars().take(MESSAGE_MAX).collect();
        ended(state, message, Some(began_at))
    }
}

/// A URL that can be requested: http or https, with a host. A fragment is for the client alone and goes.
fn parse_target(url: &str) -> Result<Uri, String> {
    let without_fragment = url.trim().split('#').next().unwrap_or_default();
    let uri: Uri = without_fragment.parse().map_err(|err| format!("the URL is not valid: {err}"))?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(uri),
        _ => Err("the URL is not valid: it must begin with http:// or https:// and a host".to_owned()),
    }
}

/// Scheme, host and port: `Authorization` goes nowhere else.
fn origin(uri: &Uri) -> (Option<String>, Option<String>, u16) {
    let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    (
        uri.scheme_str().map(str::to_ascii_lowercase),
        uri.host().map(str::to_ascii_lowercase),
        uri.port_u16().unwrap_or(default_port),
    )
}

/// The absolute URL of a `Location`, which may be relative.
fn resolve(base: &Uri, location: &str) -> String {
    let scheme = base.scheme_str().unwrap_or("http");
    let authority = base.authority().map_or("", |authority| authority.as_str());
    let path = base.path();
    if location.contains("://") && !location.starts_with(['/', '?']) {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{path}{location}")
    } else {
        let directory = path.rfind('/').map_or("/", |end| &path[..=end]);
        format!("{scheme}://{authority}{directory}{location}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_resolved_against_the_request() {
        #[track_caller]
        fn check(location: &str, expected: &str) {
            assert_eq!(resolve(&"http://h:81/a/b?q=1".parse().unwrap(), location), expected);
        }
        check("https://other/x", "https://other/x");
        check("//other/x", "http://other/x");
        check("/x?y=http://z", "http://h:81/x?y=http://z");
        check("c", "http://h:81/a/c");
        check("?r=2", "http://h:81/a/b?r=2");
    }

    #[test]
    fn a_url_without_scheme_or_host_says_so() {
        for url in ["test.url", "", "ftp://h/", "http://", "/x", "http://a b/"] {
            assert!(parse_target(url).unwrap_err().contains("not valid"), "{url}");
        }
        assert!(parse_target("http://h/x?a=b%20c&d=e+f#frag").is_ok());
    }
}
