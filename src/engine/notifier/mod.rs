//! Sends the deliveries of the outbox to the receivers of notifications.
//!
//! Invariant: bounded in threads, memory and rate. Each notification has at most one delivery under way, so a
//! receiver that hangs delays only its own deliveries. After a second it no longer counts among the
//! [`SENDERS`]: another thread takes its place, and there are at most [`UNDER_WAY_MAX`] (`senders`).
//! `store::outbox` decides in the database what is sent, when, and in which order.

mod body;
mod senders;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, select};
use log::{debug, info, log, warn};

use crate::base::clock::{self, Clock, EARLIEST};
use crate::base::crash;
use crate::base::logging::milliseconds;
use crate::base::metrics::{DeliveryOutcome, Upstream, metrics};
use crate::base::outage;
use crate::base::public_url::PublicUrl;
use crate::base::stop::Stop;
use crate::model::{Format, Secret, Timestamp};
use crate::outbound::{
    self, Abort, ExchangeError, Exchanges, Limits, Outbound, Reach, Request, Target, signature,
};
use crate::store::{DeliveryLane, Outlook, Sending, Store, StoreError, Tried};

use senders::Receivers;

pub use senders::{SENDERS, Senders, UNDER_WAY_MAX};

/// The time limit for a whole attempt, from connecting to the response.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
/// The time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection may be reused.
const IDLE_AGE_MAX: Duration = Duration::from_secs(1);
/// The time between two passes.
const INTERVAL: Duration = Duration::from_secs(1);
/// The wait after a failed pass.
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// The most deliveries that one transaction adds.
const BATCH: u32 = 100;
/// The longest error that is stored, in characters.
const ERROR_CHARS_MAX: usize = 300;

/// Finds due deliveries in the outbox and hands them to the senders.
pub struct Notifier {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    senders: Senders,
}

impl Notifier {
    /// Claims due deliveries, and hands them to `senders`.
    pub fn new(store: Arc<Store>, clock: Arc<dyn Clock>, senders: Senders) -> Self {
        Self { store, clock, senders }
    }

    /// Runs until `stop` closes. `wake`: a delivery was written or sent.
    pub fn run(&self, wake: &Receiver<()>, stop: &Stop) {
        let mut is_released = false;
        let (mut looked_at, mut may_rest) = (Duration::ZERO, false);
        loop {
            // The last renewal of the lease found when the next work is due.
            let has_seen_none = |it: Outlook| {
                looked_at < it.asked_at && it.next_told.is_none_or(|time| self.clock.now() < time)
            };
            let has_told = self.store.has_told();
            let rests = may_rest && !has_told && self.store.outlook().is_some_and(has_seen_none);
            if !rests {
                looked_at = self.clock.monotonic();
            }
            let passed = match is_released {
                true if rests => Ok(()),
                true => self.pass(),
                false => self.store.release_notifications().map(|()| is_released = true),
            };
            let passed_well = passed.is_ok();
            let pause = match passed {
                Ok(()) => INTERVAL,
                Err(err) => {
                    log!(err.noted(), cause:% = err; "the outbox could not be read, retrying");
                    RETRY_DELAY
                }
            };
            may_rest = passed_well;
            select! {
                recv(stop) -> _ => return,
                recv(wake) -> woken => {
                    if woken.is_err() {
                        return;
                    }
                    may_rest = false;
                }
                recv(after(pause)) -> _ => (),
            }
        }
    }

    /// Writes reminders and overdue alerts, and hands out due deliveries.
    pub fn pass(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        if now < EARLIEST || !self.store.has_notifier_work(now)? {
            return Ok(());
        }
        if self.store.fence().is_err() {
            // Nothing can be claimed without a lease; the next pass is soon.
            return Ok(());
        }
        while self.store.tell_overdue(BATCH, now)? == BATCH as usize {}
        while self.store.remind(BATCH, now)? == BATCH as usize {}
        for receivers in [Receivers::Quick, Receivers::Unknown, Receivers::Slow] {
            self.hand_out(receivers, now)?;
        }
        Ok(())
    }

    fn hand_out(&self, receivers: Receivers, now: Timestamp) -> Result<(), StoreError> {
        let room = u32::try_from(self.senders.room(receivers)).unwrap_or(0);
        let ids = self.senders.ids(receivers);
        let lane = match receivers {
            Receivers::Unknown => DeliveryLane::AllBut(&ids),
            Receivers::Quick | Receivers::Slow => DeliveryLane::Of(&ids),
        };
        if room == 0 || matches!(lane, DeliveryLane::Of(ids) if ids.is_empty()) {
            return Ok(());
        }
        for _ in 0..room {
            let Some(sending) = self.store.claim_deliveries(lane, now)? else { break };
            crash::point("delivery.claimed");
            if let Err(sending) = self.senders.send(receivers, sending) {
                // Cannot happen, because no other thread hands out deliveries. The delivery is retried like
                // any other.
                let failed = Tried::Failed(None, "not sent: no thread was free".to_owned());
                self.store.record_try(&sending, &failed, self.clock.now())?;
            }
        }
        Ok(())
    }
}

/// Sends deliveries over HTTP. Shared by the sender threads.
pub struct Messenger {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    exchanges: Exchanges,
    public_url: Arc<PublicUrl>,
    wake: Sender<()>,
    stop: Stop,
}

impl Messenger {
    /// Connects only to addresses within `reach`, with the certificates and proxies of `outbound`. The error
    /// names the wrong setting.
    pub fn new(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        (outbound, reach): (&Outbound, Reach),
        public_url: Arc<PublicUrl>,
        wake: Sender<()>,
        stop: Stop,
    ) -> Result<Self, String> {
        let limits = Limits {
            connect_timeout: CONNECT_TIMEOUT,
            total_timeout: TRY_TIMEOUT,
            max_idle_age: IDLE_AGE_MAX,
        };
        let exchanges = Exchanges::new(outbound, &limits, reach)?;
        Ok(Self { store, clock, exchanges, public_url, wake, stop })
    }

    /// Makes one attempt, and records the result.
    fn send(&self, sending: &Sending) {
        let tried = catch_unwind(AssertUnwindSafe(|| self.try_once(sending)));
        let tried = tried.unwrap_or_else(|_| {
            Tried::Failed(None, "a fault of the scheduler: the sender panicked".to_owned())
        });
        crash::point("delivery.answered");
        self.report(sending, &tried);
        self.record(sending, &tried);
    }

    fn try_once(&self, sending: &Sending) -> Tried {
        let definition = &sending.notification.definition;
        let now = self.clock.now();
        let Some(body) = body::of(sending, &self.public_url, now) else {
            // There is nothing to report any more.
            return Tried::Delivered(204);
        };
        let url = match definition.format {
            Format::Alertmanager => {
                let (base, query) = match definition.url.reveal().split_once('?') {
                    Some((base, query)) => (base, format!("?{query}")),
                    None => (definition.url.reveal(), String::new()),
                };
                format!("{}/api/v2/alerts{query}", base.trim_end_matches('/'))
            }
            Format::Standard | Format::Slack => definition.url.reveal().to_owned(),
        };
        let target = match Target::parse(&url) {
            Ok(target) => target,
            Err(err) => return Tried::Failed(None, format!("the URL is not valid: {err}")),
        };
        let timestamp = now.seconds().to_string();
        let id = sending.deliveries.first().map_or("", |delivery| delivery.guid.as_str());
        let is_standard = definition.format == Format::Standard;
        let signatures = definition
            .secret
            .as_ref()
            .filter(|_| is_standard)
            .map(|secrets| signatures(secrets, id, &timestamp, body.as_bytes()));
        let mut headers = vec![
            ("Content-Type", "application/json"),
            ("User-Agent", concat!("ocf-scheduler/", env!("CARGO_PKG_VERSION"))),
            ("Accept", "*/*"),
        ];
        headers.retain(|(name, _)| !definition.headers.0.keys().any(|own| own.eq_ignore_ascii_case(name)));
        headers.extend(definition.headers.0.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        if is_standard {
            headers.extend([("webhook-id", id), ("webhook-timestamp", &timestamp)]);
        }
        if let Some(signatures) = &signatures {
            headers.push(("webhook-signature", signatures));
        }
        let request = Request { method: "POST", target: &target, headers: &headers, body: body.as_bytes() };
        let asked_at = clock::instant();
        crash::point("delivery.sending");
        let answer = self.exchanges.send(&request, asked_at + TRY_TIMEOUT, &Abort::default());
        let status = answer.as_ref().ok().map(|answer| answer.status.as_u16());
        metrics().asked(Upstream::Notification, status, asked_at.elapsed());
        match answer {
            Ok(answer) if answer.status.is_success() => Tried::Delivered(answer.status.as_u16()),
            Ok(answer) if answer.status.as_u16() == 410 => Tried::Gone,
            Ok(answer) => {
                let followed = if answer.location.is_some() && answer.status.is_redirection() {
                    ", which is not followed"
                } else {
                    ""
                };
                let status = answer.status.as_u16();
                Tried::Failed(Some(status), format!("answered {status}{followed}"))
            }
            Err(err) => Tried::Failed(None, cause(&err)),
        }
    }

    fn report(&self, sending: &Sending, tried: &Tried) {
        let id = sending.notification.guid.as_str();
        let event = sending.deliveries.first().map_or("alerts", |delivery| delivery.event.as_str());
        let delivery = sending.deliveries.first().map(|delivery| delivery.guid.as_str());
        let age = sending.deliveries.first().map(|it| milliseconds(self.clock.now().since(it.created_at)));
        match tried {
            Tried::Delivered(status) => {
                metrics().delivered(DeliveryOutcome::Delivered);
                debug!(notification = id, delivery, event, status, age_ms = age; "notification delivered");
            }
            Tried::Failed(status, cause) => {
                metrics().delivered(DeliveryOutcome::Failed);
                info!(notification = id, delivery, event, status, cause; "notification not delivered");
            }
            Tried::Gone => {
                metrics().delivered(DeliveryOutcome::Failed);
                warn!(notification = id, delivery, event; "notification disabled, the receiver answered 410");
            }
        }
    }

    /// Retries until the database accepts the result or the service stops. Until then no other process sends
    /// for this notification.
    fn record(&self, sending: &Sending, tried: &Tried) {
        loop {
            match self.store.record_try(sending, tried, self.clock.now()) {
                Ok(_) => return outage::DATABASE.worked(),
                Err(err) => {
                    log!(
                        err.noted(), notification:% = sending.notification.guid, cause:% = err;
                        "delivery could not be recorded, retrying"
                    );
                }
            }
            select! {
                recv(self.stop) -> _ => return,
                recv(after(RETRY_DELAY)) -> _ => (),
            }
        }
    }
}

/// One signature for each secret, separated by spaces, as Standard Webhooks specifies.
fn signatures(secrets: &Secret, id: &str, timestamp: &str, body: &[u8]) -> String {
    let signatures = secrets.reveal().split(' ').filter_map(|secret| signature(secret, id, timestamp, body));
    signatures.collect::<Vec<_>>().join(" ")
}

fn cause(error: &ExchangeError) -> String {
    let cause = match error {
        ExchangeError::TimedOut => format!("no answer within {} s", TRY_TIMEOUT.as_secs()),
        // Deliveries cannot be aborted.
        ExchangeError::Aborted => "aborted".to_owned(),
        ExchangeError::Refused(refusal) => format!("not sent: {refusal}"),
        ExchangeError::Failed(err) => {
            outbound::untrusted_certificate(err).unwrap_or_else(|| format!("no answer: {err}"))
        }
    };
    cause.chars().take(ERROR_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_one_secret_replaces_another_there_are_two_signatures() {
        let secrets = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let both =
            signatures(&Secret::from(secrets.to_owned()), id, "1614265330", br#"{"test": 2432232314}"#);
        let (first, second) = both.split_once(' ').unwrap();
        assert_eq!(first, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(second.starts_with("v1,") && second != first);
    }
}
