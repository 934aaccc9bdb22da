//! Performs calls: sends the request, follows redirects, and decides whether the call succeeded.

use std::cell::Cell;
use std::time::Duration;

use super::{CallEnd, Handled, WorkerContext};
use crate::base::clock;
use crate::base::crash;
use crate::base::metrics::{Upstream, metrics};
use crate::engine::journal::{self, About};
use crate::model::{Call, Course, Dispatch, EndState, Method, Outcome, Reason, Timestamp};
use crate::outbound::{
    self, Abort, Answer, ExchangeError, Exchanges, Limits, Outbound, Reach, Request, Target, is_header_value,
    requested_wait,
};
use crate::store::End;

/// The most redirects to follow.
const REDIRECTS_MAX: usize = 5;
/// The time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is reused: briefly, because a call that is lost on a stale connection must not
/// be repeated.
const IDLE_AGE_MAX: Duration = Duration::from_secs(1);
/// The longest message that is kept, in characters.
const MESSAGE_MAX: usize = 500;

/// Sends the requests of calls. All workers share it, and with it the idle connections.
pub struct Caller {
    exchanges: Exchanges,
    timeout: Duration,
}

/// Values of the headers that identify the execution.
struct Identity<'a> {
    dispatch: &'a Dispatch,
    /// In seconds since 1970.
    sent_at: String,
    scheduled_time: Option<String>,
    attempt: String,
}

/// Why a call failed.
struct Failure {
    reason: Reason,
    message: String,
    /// Whether another attempt may succeed.
    is_transient: bool,
    /// How long the server asks clients to wait.
    retry_after: Option<String>,
}

impl Failure {
    /// The request was not sent, or not to its final target. Another attempt would not succeed either.
    fn not_sent(message: String) -> Self {
        Self { reason: Reason::NotSent, message, is_transient: false, retry_after: None }
    }

    /// The status of the response means failure.
    fn status(message: String) -> Self {
        Self { reason: Reason::Status, message, is_transient: false, retry_after: None }
    }
}

impl<'a> Identity<'a> {
    fn of(dispatch: &'a Dispatch, sent_at: Timestamp) -> Self {
        Self {
            dispatch,
            sent_at: sent_at.seconds().to_string(),
            scheduled_time: dispatch.scheduled_time.map(|time| time.to_string()),
            attempt: dispatch.course.attempt.to_string(),
        }
    }
}

impl Caller {
    /// `timeout` is for calls that set none, and includes redirects. `reach` limits the addresses that calls
    /// may connect to. The error names the wrong setting.
    pub fn new(outbound: &Outbound, timeout: Duration, reach: Reach) -> Result<Self, String> {
        let limits =
            Limits { connect_timeout: CONNECT_TIMEOUT, total_timeout: timeout, max_idle_age: IDLE_AGE_MAX };
        Ok(Self { exchanges: Exchanges::new(outbound, &limits, reach)?, timeout })
    }

    /// Sends the request. The message of a success names the status; the message of a failure names the
    /// status or the cause.
    fn call(&self, call: &Call, identity: &Identity<'_>, abort: &Abort) -> Result<String, Failure> {
        let timeout =
            call.timeout_seconds.map_or(self.timeout, |seconds| Duration::from_secs(seconds.into()));
        let deadline = clock::instant() + timeout;
        if !is_header_value(call.auth_header.reveal()) {
            let message = "auth_header has characters that no HTTP header can carry".to_owned();
            return Err(Failure::not_sent(message));
        }
        let mut target = Target::parse(&call.url)
            .map_err(|err| Failure::not_sent(format!("the URL is not valid: {err}")))?;
        let mut method = call.method;
        let mut body = call.body.as_deref();
        // Credentials go only to the origin of the call's URL. After a redirect to another origin they are
        // not sent again, even if a further redirect leads back.
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
            let sent = self.exchanges.send(&request, deadline, abort);
            let status = sent.as_ref().ok().map(|answer| answer.status.as_u16());
            metrics().asked(Upstream::Call, status, asked_at.elapsed());
            let Answer { status, location, retry_after } =
                sent.map_err(|err| match (&redirected_by, &err) {
                    (Some(status), ExchangeError::Refused(refusal)) => {
                        Failure::not_sent(format!("answered {status}, which was not followed: {refusal}"))
                    }
                    _ => failure(&err, timeout),
                })?;
            if call.success_statuses.contain(status.as_u16()) {
                return Ok(format!("answered {status}"));
            }
            let redirected = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
            let Some(location) = location.filter(|_| redirected) else {
                let message = match status.is_success() {
                    true => format!("answered {status}, which success_statuses does not name"),
                    false => format!("answered {status}"),
                };
                let is_transient = matches!(status.as_u16(), 408 | 425 | 429 | 500..=599);
                return Err(Failure { is_transient, retry_after, ..Failure::status(message) });
            };
            let next = target.redirected(&location).map_err(|err| {
                Failure::status(format!("answered {status}, and its Location is not valid: {err}"))
            })?;
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
        Err(Failure::status(format!("redirected more than {REDIRECTS_MAX} times")))
    }
}

/// All headers but `Host` and `Content-Length`. Headers of the call override the defaults. After a redirect
/// to another origin, the call's headers and credentials are left out.
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
    // Headers that describe the body are sent only with a body.
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

fn failure(error: &ExchangeError, timeout: Duration) -> Failure {
    let (reason, message) = match error {
        ExchangeError::TimedOut => (Reason::Timeout, format!("no answer within {} s", timeout.as_secs())),
        ExchangeError::Refused(refusal) => return Failure::not_sent(format!("not sent: {refusal}")),
        ExchangeError::Aborted => {
            let message = "the connection was closed because the execution was cancelled".to_owned();
            let (reason, is_transient) = (Reason::Cancelled, false);
            return Failure { reason, message, is_transient, retry_after: None };
        }
        ExchangeError::Failed(err) => {
            let cause = outbound::untrusted_certificate(err).unwrap_or_else(|| format!("no answer: {err}"));
            (Reason::NoAnswer, cause)
        }
    };
    Failure { reason, message, is_transient: true, retry_after: None }
}

impl WorkerContext {
    pub(super) fn perform_call(&self, dispatch: &Dispatch, call: &Call) -> Handled {
        // Registered before the call counts as begun, so that a cancellation from then on finds it.
        let in_flight = self.calls.enter(dispatch.of.id);
        let is_admitted = dispatch.course.began_at.is_some();
        let began_at = Cell::new(self.clock.now());
        let handled = self.refused_start(dispatch, || {
            // Read the clock at each retry: while the database is unavailable, the call has not begun.
            began_at.set(self.clock.now());
            self.store.start_call(dispatch.of, dispatch.as_read(), is_admitted, began_at.get())
        });
        if let Some(handled) = handled {
            return handled;
        }
        let began_at = began_at.get();
        let about = About::of(dispatch, Some(began_at));
        if !is_admitted {
            journal::first_attempt(&about);
        }
        journal::running(&about, None, dispatch.course.attempt);
        if !self.lease_holds(dispatch) {
            let message = "interrupted: the lease on the database ended before the call was sent";
            let outcome = Outcome::failed(Reason::Interrupted, message, self.clock.now());
            let end = End { of: dispatch.of, outcome };
            return Handled::Ended(CallEnd { end, began_at: None, next: None });
        }
        crash::point("call.started");
        let answered = self.caller.call(call, &Identity::of(dispatch, began_at), &in_flight.abort);
        crash::point("call.answered");
        let end_time = self.clock.now();
        let kept = |message: String| message.chars().take(MESSAGE_MAX).collect::<String>();
        let (outcome, next) = match answered {
            Ok(message) => {
                let message = kept(message);
                (Outcome { state: EndState::Succeeded, message, reason: None, end_time }, None)
            }
            Err(Failure { reason, message, is_transient, retry_after }) => {
                let message = kept(message);
                let asked_for = retry_after.and_then(|it| requested_wait(&it, end_time));
                let course =
                    Course { began_at: dispatch.course.began_at.or(Some(began_at)), ..dispatch.course };
                let next = course.next_attempt(end_time, asked_for, &message).filter(|_| is_transient);
                (Outcome::failed(reason, message, end_time), next)
            }
        };
        let end = End { of: dispatch.of, outcome };
        Handled::Ended(CallEnd { end, began_at: Some(began_at), next })
    }
}
