//! Reports to an external monitor, such as healthchecks.io, that the scheduler works.
//!
//! Invariant: a heartbeat is sent only while the scheduler's passes succeed and the database accepts writes.
//! So missing heartbeats mean trouble.

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

/// The time between two heartbeats.
const INTERVAL: Duration = Duration::from_secs(60);
/// How often to check for the first pass.
const FIRST_LOOK: Duration = Duration::from_millis(200);
/// The scheduler begins a pass at least every 5 s. If the last success is older than this, its passes fail or
/// it hangs.
const PASS_AGE_MAX: Duration = Duration::from_secs(30);
/// The time limit for a whole request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The placeholder for the instance in the URL.
const INSTANCE: &str = "{instance}";

/// Sends the heartbeats.
pub struct Heartbeat {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    exchanges: Exchanges,
    /// `HEARTBEAT_URL`. Its path may be a secret.
    url: Secret,
    /// The index that the platform gives the instance; `None`: use the number of its lease.
    index: Option<String>,
    scheduler: Arc<Pulse>,
}

impl Heartbeat {
    /// `scheduler` is the pulse of the passes. `index` is the instance's index on the platform, if it has
    /// one. The error names the wrong setting.
    pub fn new(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        outbound: &Outbound,
        (url, index): (Secret, Option<String>),
        scheduler: Arc<Pulse>,
    ) -> Result<Self, String> {
        let limits =
            Limits { connect_timeout: TIMEOUT, total_timeout: TIMEOUT, max_idle_age: Duration::ZERO };
        // The operator chose the URL, so any address is allowed.
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
                        Ok(()) if !was_sent => info!("heartbeat sent again"),
                        Err(cause) if was_sent => warn!(cause = cause.as_str(); "heartbeat not sent"),
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

    /// Sends a heartbeat, unless something is wrong; then the error says what.
    pub fn pass(&self) -> Result<(), String> {
        let age = self.scheduler.age(self.clock.monotonic());
        if age.is_none_or(|age| PASS_AGE_MAX < age) {
            return Err("the scheduler's passes fail".to_owned());
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
