//! Performs calls: one POST, its redirects, and a verdict.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::{CallEnd, Left, WorkerContext};
use crate::base::crash;
use crate::base::metrics::{Upstream, metrics};
use crate::engine::journal::{self, About};
use crate::model::{Dispatch, EndState, Guid, Outcome, Secret};
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

impl Caller {
    /// With `timeout` for a whole call, redirects included; all of it within `reach`. The error says which setting is wrong.
    pub fn new(outbound: &Outbound, timeout: Duration, reach: Reach) -> Result<Self, String> {
        let limits = Limits {
            connect_timeout: CONNECT_TIMEOUT.min(timeout),
            total_timeout: timeout,
            max_idle_age: IDLE_AGE_MAX,
        };
        Ok(Self { exchanges: Exchanges::new(outbound, &limits, reach)?, timeout })
    }

    /// Requests the URL. The message of success names the status, that of failure the status or the cause.
    fn call(&self, url: &str, auth_header: &Secret, execution: &Guid) -> Result<String, String> {
        let deadline = Instant::now() + self.timeout;
        if !is_header_value(auth_header.reveal()) {
            return Err("auth_header has characters that no HTTP header can carry".to_owned());
        }
        let first = Target::parse(url).map_err(|err| format!("the URL is not valid: {err}"))?;
        let mut target = first.clone();
        let mut method = "POST";
        let mut redirected_by = None;
        for _ in 0..=REDIRECTS_MAX {
            let mut headers = vec![
                ("User-Agent", concat!("ocf-scheduler/", env!("CARGO_PKG_VERSION"))),
                ("Accept", "*/*"),
                ("Idempotency-Key", execution.as_str()),
            ];
            if target.has_origin_of(&first) {
                headers.push(("Authorization", auth_header.reveal()));
            }
            let request = Request { method, target: &target, headers: &headers, body: b"" };
            let asked_at = Instant::now();
            let sent = self.exchanges.send(&request, deadline);
            let status = sent.as_ref().ok().map(|answer| answer.status.as_u16());
            metrics().asked(Upstream::Call, status, asked_at.elapsed());
            let Answer { status, location } = sent.map_err(|err| match (&redirected_by, &err) {
                (Some(status), ExchangeError::Refused(refusal)) => {
                    format!("answered {status}, which was not followed: {refusal}")
                }
                _ => self.cause(&err),
            })?;
            if status.is_success() {
                return Ok(format!("answered {status}"));
            }
            let redirected = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
            let Some(location) = location.filter(|_| redirected) else {
                return Err(format!("answered {status}"));
            };
            target = target
                .redirected(&location)
                .map_err(|err| format!("answered {status}, and its Location is not valid: {err}"))?;
            if !matches!(status.as_u16(), 307 | 308) {
                method = "GET";
            }
            redirected_by = Some(status);
        }
        Err(format!("redirected more than {REDIRECTS_MAX} times"))
    }

    fn cause(&self, error: &ExchangeError) -> String {
        match error {
            ExchangeError::TimedOut => format!("no answer within {} s", self.timeout.as_secs()),
            ExchangeError::Refused(refusal) => format!("not sent: {refusal}"),
            ExchangeError::Failed(err) => {
                outbound::untrusted_certificate(err).unwrap_or_else(|| format!("no answer: {err}"))
            }
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
