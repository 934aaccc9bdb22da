//! The threads that send deliveries, and their knowledge of the receivers' speed.
//!
//! Invariant: at most [`SENDERS`] deliveries that have taken less than [`PATIENCE`] are under way, and at
//! most [`UNDER_WAY_MAX`] in all. A receiver that hangs occupies a separate thread. There is room for new
//! receivers even if all slow ones hang, and for quick ones even if all others hang.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::{error, warn};

use super::Messenger;
use crate::base::clock;
use crate::base::mutex::lock;
use crate::model::Id;
use crate::store::Sending;

/// How many deliveries are sent at a time. As many threads always run.
pub const SENDERS: usize = 8;
/// The most deliveries under way, including those that wait for their receivers.
pub const UNDER_WAY_MAX: usize = 64;
/// The most of them to receivers that are not known to be quick.
const NOT_QUICK_MAX: usize = 56;
/// The most of them to receivers that were slow.
const SLOW_MAX: usize = 40;
/// A delivery that takes longer counts as waiting for its receiver, and another one may be sent.
const PATIENCE: Duration = Duration::from_secs(1);
/// A receiver whose last attempt took this long is slow.
const SLOW_TRY: Duration = Duration::from_secs(2);
/// The most receivers of a kind that are remembered.
const REMEMBERED_MAX: usize = 1000;

/// What is known about the speed of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receivers {
    /// The last attempt was quick.
    Quick,
    /// None has been tried yet.
    Unknown,
    /// The last attempt was slow.
    Slow,
}

/// Hands deliveries to threads.
pub struct Senders {
    messenger: Arc<Messenger>,
    send: Sender<Sending>,
    sendings: Receiver<Sending>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By notification: when the delivery began, and what was known about its receiver.
    under_way: BTreeMap<Id, (Instant, Receivers)>,
    quick: BTreeSet<Id>,
    slow: BTreeSet<Id>,
    /// Running threads beyond the [`SENDERS`].
    extra: usize,
}

impl Senders {
    /// Senders whose threads run [`Senders::run`].
    pub fn new(messenger: Messenger) -> Self {
        let (send, sendings) = bounded(UNDER_WAY_MAX);
        Self { messenger: Arc::new(messenger), send, sendings, state: Arc::default() }
    }

    /// The loop of one of the [`SENDERS`]: runs until the service stops.
    pub fn run(&self) -> impl Fn() + Send + 'static {
        let worker = self.worker();
        move || while worker.send_next() {}
    }

    /// How many more deliveries to such receivers may be under way.
    pub(super) fn room(&self, receivers: Receivers) -> usize {
        let state = lock(&self.state);
        let now = clock::instant();
        let is_sent = |since: &Instant| now.saturating_duration_since(*since) < PATIENCE;
        let sent = state.under_way.values().filter(|(since, _)| is_sent(since)).count();
        let of = |counts: fn(Receivers) -> bool| {
            state.under_way.values().filter(|(_, receivers)| counts(*receivers)).count()
        };
        let mut room = SENDERS.saturating_sub(sent).min(UNDER_WAY_MAX.saturating_sub(state.under_way.len()));
        if receivers != Receivers::Quick {
            room = room.min(NOT_QUICK_MAX.saturating_sub(of(|it| it != Receivers::Quick)));
        }
        if receivers == Receivers::Slow {
            room = room.min(SLOW_MAX.saturating_sub(of(|it| it == Receivers::Slow)));
        }
        room
    }

    /// The notifications with such receivers; for unknown ones, all others.
    pub(super) fn ids(&self, receivers: Receivers) -> BTreeSet<Id> {
        let state = lock(&self.state);
        match receivers {
            Receivers::Quick => state.quick.clone(),
            Receivers::Slow => state.slow.clone(),
            Receivers::Unknown => state.quick.union(&state.slow).copied().collect(),
        }
    }

    /// Sends on another thread. There must be room.
    pub(super) fn send(&self, receivers: Receivers, sending: Sending) -> Result<(), Box<Sending>> {
        let mut state = lock(&self.state);
        let id = sending.notification.id;
        state.under_way.insert(id, (clock::instant(), receivers));
        if SENDERS + state.extra < state.under_way.len() {
            let worker = self.worker();
            let run = move || while worker.send_next() && !worker.may_end() {};
            match thread::Builder::new().name("sender-extra".to_owned()).spawn(run) {
                Ok(_) => state.extra += 1,
                // It waits for one of the others.
                Err(err) => warn!(cause:% = err; "a thread for a notification could not be started"),
            }
        }
        self.send.try_send(sending).map_err(|err| {
            state.under_way.remove(&id);
            Box::new(err.into_inner())
        })
    }

    fn worker(&self) -> Worker {
        Worker {
            messenger: Arc::clone(&self.messenger),
            sendings: self.sendings.clone(),
            state: Arc::clone(&self.state),
        }
    }
}

/// The data of a thread.
struct Worker {
    messenger: Arc<Messenger>,
    sendings: Receiver<Sending>,
    state: Arc<Mutex<State>>,
}

impl Worker {
    /// Sends the next delivery. `false`: the service stops.
    fn send_next(&self) -> bool {
        let received = select! {
            recv(self.messenger.stop) -> _ => return false,
            recv(self.sendings) -> sending => sending,
        };
        let Ok(sending) = received else { return false };
        let began_at = clock::instant();
        if catch_unwind(AssertUnwindSafe(|| self.messenger.send(&sending))).is_err() {
            error!(notification:% = sending.notification.guid; "recording a delivery panicked");
        }
        lock(&self.state).note(sending.notification.id, began_at.elapsed());
        // Another delivery of this notification, or of another one, may be due.
        let _ = self.messenger.wake.try_send(());
        true
    }

    /// Whether the other threads suffice. If so, this extra thread is no longer counted.
    fn may_end(&self) -> bool {
        let mut state = lock(&self.state);
        let is_surplus = state.under_way.len() < SENDERS + state.extra;
        if is_surplus {
            state.extra -= 1;
        }
        is_surplus
    }
}

impl State {
    fn note(&mut self, notification: Id, took: Duration) {
        self.under_way.remove(&notification);
        let (of_kind, of_other) = match took < SLOW_TRY {
            true => (&mut self.quick, &mut self.slow),
            false => (&mut self.slow, &mut self.quick),
        };
        of_other.remove(&notification);
        if of_kind.len() == REMEMBERED_MAX {
            // They come back with their next attempts.
            of_kind.clear();
        }
        of_kind.insert(notification);
    }
}
