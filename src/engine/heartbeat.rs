//! Tells a watchdog outside, such as healthchecks.io, that the scheduler does its work.
//!
//! Invariant: silence means trouble. Nothing is sent unless the scheduler's passes succeed and the database
//! takes writes.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{after, select};
use log::{info, warn};

use crate::base::clock::{self, Clock};
use crate::base::metrics::{Upstream, metrics};
use crate::base::pulse::Pulse;
use crate::base::stop::Stop;
use crate::model::Secret;
use crate::outbound::{Abort, Exchanges, Limits, Outbound, Reach, Request, Target};
use crate::store::Store;

/// The time between two.
const INTERVAL: Duration = Duration::from_secs(60);
/// Between two looks for the first pass.
const FIRST_LOOK: Duration = Duration::from_millis(200);
/// The scheduler looks at least every 5 s; later than this its passes fail, or it hangs.
const PASS_AGE_MAX: Duration = Duration::from_secs(30);
/// For all of a request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What stands for the instance in the URL.
const INSTANCE: &str = "{instance}";

/// Sends the heartbeat.
pub struct Heartbeat {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    exchanges: Exchanges,
    /// `HEARTBEAT_URL`. Its path may be a secret.
    url: Secret,
    /// The index that the platform gives the instance; `None`: the number of its lease counts.
    index: Option<String>,
    scheduler: Arc<Pulse>,
}

impl Heartbeat {
    /// `scheduler` beats at each pass. `index`: of the instance, where the platform has given it one. The
    /// error says which setting is wrong.
    pub fn new(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        outbound: &Outbound,
        (url, index): (Secret, Option<String>),
        scheduler: Arc<Pulse>,
    ) -> Result<Self, String> {
        let limits =
            Limits { connect_timeout: TIMEOUT, total_timeout: TIMEOUT, max_idle_age: Duration::ZERO };
        // The operator chose the URL: it may lead anywhere.
        let exchanges = Exchanges::new(outbound, &limits, Reach::Anywhere)?;
        Ok(Self { store, clock, exchanges, url, index, scheduler })
    }

    /// Runs until `stop` closes.
    pub fn run(&self, stop: &Stop) {
        let mut was_sent = true;
        loop {
            let pause = match self.scheduler.age(self.clock.monotonic()) {
                None => FIRST_LOOK,
                Some(_) => {
                    let sent = self.pass();
                    match &sent {
                        Ok(()) if !was_sent => info!("the heartbeat goes on"),
                        Err(cause) if was_sent => warn!(cause = cause.as_str(); "no heartbeat"),
                        _ => {}
                    }
                    was_sent = sent.is_ok();
                    INTERVAL
                }
            };
            select! {
                recv(stop) -> _ => return,
                recv(after(pause)) -> _ => (),
            }
        }
    }

    /// Sends one, if all is well. The error says what is not.
    pub fn pass(&self) -> Result<(), String> {
        let age = self.scheduler.age(self.clock.monotonic());
        if age.is_none_or(|age| PASS_AGE_MAX < age) {
            return Err("the passes of the scheduler fail".to_owned());
        }
        self.store.check_writable().map_err(|err| err.to_string())?;
        let instance = match &self.index {
            Some(index) => index.clone(),
            None => self.store.fence().map_err(|err| err.to_string())?.to_string(),
        };
        let url = self.url.reveal().replace(INSTANCE, &instance);
        let target = Target::parse(&url).map_err(|err| format!("HEARTBEAT_URL is not valid: {err}"))?;
        let headers =
            [("User-Agent", concat!("ocf-scheduler/", env!("CARGO_PKG_VERSION"))), ("Accept", "*/*")];
        let request = Request { method: "POST", target: &target, headers: &headers, body: b"" };
        let asked_at = clock::instant();
        let answer = self.exchanges.send(&request, asked_at + TIMEOUT, &Abort::default());
        let status = answer.as_ref().ok().map(|answer| answer.status.as_u16());
        metrics().asked(Upstream::Heartbeat, status, asked_at.elapsed());
        match answer {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => Err(format!("the server of HEARTBEAT_URL answered {}", answer.status.as_u16())),
            Err(_) => Err("the server of HEARTBEAT_URL did not answer".to_owned()),
        }
    }
}
