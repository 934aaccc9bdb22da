//! Performs calls: one request, its redirects, and a verdict.

use std::cell::Cell;
use std::time::Duration;

use super::{CallEnd, Left, WorkerContext};
use crate::base::clock;
use crate::base::crash;
use crate::base::metrics::{Upstream, metrics};
use crate::engine::journal::{self, About};
use crate::model::{Call, Dispatch, EndState, Method, Outcome, Timestamp};
use crate::outbound::{
    self, Answer, ExchangeError, Exchanges, Limits, Outbound, Reach, Request, Target, is_header_value,
};
use crate::store::End;

/// The most redirects that are followed.
const REDIRECTS_MAX: usize = 5;
/// To have a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A call that is lost on a stale connection could not be repeated.
const IDLE_AGE_MAX: Duration = Duration::from_secs(1);
/// The longest message that is kept of a failure.
const MESSAGE_MAX: usize = 500;

/// Makes the requests of calls. Shared by all workers, and so are its idle connections.
pub struct Caller {
    exchanges: Exchanges,
    timeout: Duration,
}

/// What a request says of the execution that it is for.
struct Identity<'a> {
    dispatch: &'a Dispatch,
    /// Seconds since 1970.
    sent_at: String,
    scheduled_time: Option<String>,
    attempt: String,
}

impl<'a> Identity<'a> {
    fn of(dispatch: &'a Dispatch, sent_at: Timestamp) -> Self {
        Self {
            dispatch,
            sent_at: sent_at.seconds().to_string(),
            scheduled_time: dispatch.scheduled_time.map(|time| time.to_string()),
            attempt: (dispatch.attempts.count + 1).to_string(),
        }
    }
}

impl Caller {
    /// With `timeout` for a call that names none, redirects included; all of it within `reach`. The error
    /// says which setting is wrong.
    pub fn new(outbound: &Outbound, timeout: Duration, reach: Reach) -> Result<Self, String> {
        let limits =
            Limits { connect_timeout: CONNECT_TIMEOUT, total_timeout: timeout, max_idle_age: IDLE_AGE_MAX };
        Ok(Self { exchanges: Exchanges::new(outbound, &limits, reach)?, timeout })
    }

    /// Makes the request. The message of success names the status, that of failure the status or the cause.
    fn call(&self, call: &Call, identity: &Identity<'_>) -> Result<String, String> {
        let timeout =
            call.timeout_seconds.map_or(self.timeout, |seconds| Duration::from_secs(seconds.into()));
        let deadline = clock::instant() + timeout;
        if !is_header_value(call.auth_header.reveal()) {
            return Err("auth_header has characters that no HTTP header can carry".to_owned());
        }
        let mut target = Target::parse(&call.url).map_err(|err| format!("the URL is not valid: {err}"))?;
        let mut method = call.method;
        let mut body = call.body.as_deref();
        // Credentials go to the origin that the client named. One that a redirect has left does not get them
        // back.
        let mut is_at_origin = true;
        let mut redirected_by = None;
        for _ in 0..=REDIRECTS_MAX {
            let bytes = body.unwrap_or_default().as_bytes();
            let signature = call.signing_secret.as_ref().filter(|_| is_at_origin).and_then(|secret| {
                let id = identity.dispatch.guid.as_str();
                outbound::signature(secret.reveal(), id, &identity.sent_at, bytes)
            });
            let headers = headers(call, identity, body.is_some(), is_at_origin, signature.as_deref());
            let request =
                Request { method: method.as_str(), target: &target, headers: &headers, body: bytes };
            let asked_at = clock::instant();
            let sent = self.exchanges.send(&request, deadline);
            let status = sent.as_ref().ok().map(|answer| answer.status.as_u16());
            metrics().asked(Upstream::Call, status, asked_at.elapsed());
            let Answer { status, location } = sent.map_err(|err| match (&redirected_by, &err) {
                (Some(status), ExchangeError::Refused(refusal)) => {
                    format!("answered {status}, which was not followed: {refusal}")
                }
                _ => cause(&err, timeout),
            })?;
            if call.success_statuses.contain(status.as_u16()) {
                return Ok(format!("answered {status}"));
            }
            let redirected = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
            let Some(location) = location.filter(|_| redirected) else {
                return Err(match status.is_success() {
                    true => format!("answered {status}, which success_statuses does not name"),
                    false => format!("answered {status}"),
                });
            };
            let next = target
                .redirected(&location)
                .map_err(|err| format!("answered {status}, and its Location is not valid: {err}"))?;
            is_at_origin &= next.has_origin_of(&target);
            target = next;
            if !matches!(status.as_u16(), 307 | 308) {
                body = None;
                if method != Method::Head {
                    method = Method::Get;
                }
            }
            redirected_by = Some(status);
        }
        Err(format!("redirected more than {REDIRECTS_MAX} times"))
    }
}

/// All headers but `Host` and `Content-Length`. Those of the call win over the defaults; they and its
/// credentials are left out where a redirect has led to another origin.
fn headers<'a>(
    call: &'a Call,
    identity: &'a Identity<'_>,
    has_body: bool,
    is_at_origin: bool,
    signature: Option<&'a str>,
) -> Vec<(&'a str, &'a str)> {
    let is_content = |name: &str| name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("content-"));
    let is_type = |name: &str| name.eq_ignore_ascii_case("content-type");
    let own = call.headers.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    // What says how to read a body goes with it, and only with it.
    let mut headers: Vec<_> = own
        .filter(|(name, _)| match is_content(name) && call.body.is_some() {
            true => has_body && (is_at_origin || is_type(name)),
            false => is_at_origin,
        })
        .collect();
    let mut defaults =
        vec![("User-Agent", concat!("ocf-scheduler/", env!("CARGO_PKG_VERSION"))), ("Accept", "*/*")];
    if has_body {
        defaults.push(("Content-Type", "application/octet-stream"));
    }
    for (name, value) in defaults {
        if !headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)) {
            headers.push((name, value));
        }
    }
    let execution = identity.dispatch.guid.as_str();
    headers.extend([
        ("Idempotency-Key", execution),
        ("X-Scheduler-Execution", execution),
        ("X-Scheduler-Call", identity.dispatch.executable.as_str()),
        ("X-Scheduler-Attempt", &identity.attempt),
    ]);
    if let Some(scheduled_time) = &identity.scheduled_time {
        headers.push(("X-Scheduler-Scheduled-Time", scheduled_time));
    }
    if let Some(signature) = signature {
        headers.extend([
            ("Webhook-Id", execution),
            ("Webhook-Timestamp", &identity.sent_at),
            ("Webhook-Signature", signature),
        ]);
    }
    if is_at_origin && !call.auth_header.reveal().is_empty() {
        headers.push(("Authorization", call.auth_header.reveal()));
    }
    headers
}

fn cause(error: &ExchangeError, timeout: Duration) -> String {
    match error {
        ExchangeError::TimedOut => format!("no answer within {} s", timeout.as_secs()),
        ExchangeError::Refused(refusal) => format!("not sent: {refusal}"),
        ExchangeError::Failed(err) => {
            outbound::untrusted_certificate(err).unwrap_or_else(|| format!("no answer: {err}"))
        }
    }
}

impl WorkerContext {
    pub(super) fn perform_call(&self, dispatch: &Dispatch, call: &Call) -> Left {
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
        let (state, message) = match self.caller.call(call, &Identity::of(dispatch, began_at)) {
            Ok(message) => (EndState::Succeeded, message),
            Err(message) => (EndState::Failed, message),
        };
        crash::point("call.answered");
        let message = message.chars().take(MESSAGE_MAX).collect();
        ended(state, message, Some(began_at))
    }
}
