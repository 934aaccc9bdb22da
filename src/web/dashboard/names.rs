//! The names of apps and spaces on the platform, to show in place of guids.
//!
//! Invariant: a page waits for names for at most [`PATIENCE`]. If they take longer, no page waits until they
//! are there, and after a failure no names are looked up for [`REST`]. A page shows the beginning of a guid
//! if the name is unknown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use log::log;

use crate::base::clock::Clock;
use crate::base::mutex::lock;
use crate::base::on_demand::OnDemand;
use crate::model::Guid;
use crate::platform::{Named, Platform, TASK_BATCH};

/// A name is looked up again after this.
const MAX_AGE: Duration = Duration::from_secs(300);
/// How long no names are looked up after a failure.
const REST: Duration = Duration::from_secs(60);
/// The longest wait of one page.
const PATIENCE: Duration = Duration::from_secs(1);
/// The most names in the cache.
const KNOWN_MAX: usize = 20_000;
/// The most guids that wait to be looked up.
const WANTED_MAX: usize = 2000;

/// Names by guid.
type Key = (Named, Guid);

/// The known names.
#[derive(Default)]
pub(super) struct Names {
    state: Arc<Mutex<State>>,
    asking: OnDemand,
}

#[derive(Default)]
struct State {
    known: HashMap<Key, Known>,
    wanted: Vec<Key>,
    /// Whether a page has waited in vain for the request in progress.
    is_slow: bool,
    /// The monotonic time until which nothing is looked up.
    rests_until: Duration,
}

struct Known {
    /// `None`: the platform does not know the guid.
    name: Option<String>,
    /// The monotonic time of its answer.
    since: Duration,
}

impl Names {
    /// Looks up the names of `guids` that are unknown, all together, as far as the platform answers in time.
    pub(super) fn learn(
        &self,
        platform: &Arc<dyn Platform>,
        clock: &Arc<dyn Clock>,
        what: Named,
        guids: impl Iterator<Item = Guid>,
    ) {
        let now = clock.monotonic();
        let mut state = lock(&self.state);
        let mut is_missing = false;
        for guid in guids {
            let key = (what, guid);
            let known = state.known.get(&key);
            is_missing |= known.is_none();
            let is_fresh = known.is_some_and(|known| now.saturating_sub(known.since) < MAX_AGE);
            if !is_fresh && state.wanted.len() < WANTED_MAX && !state.wanted.contains(&key) {
                state.wanted.push(key);
            }
        }
        if now < state.rests_until {
            state.wanted.clear();
            return;
        }
        let is_wanted = !state.wanted.is_empty();
        let is_waiting = is_missing && !state.is_slow;
        drop(state);
        if is_wanted {
            let state = Arc::clone(&self.state);
            let asker = Asker { state, platform: Arc::clone(platform), clock: Arc::clone(clock) };
            self.asking.start("names", move || asker.ask());
        }
        if is_waiting {
            self.asking.wait(PATIENCE);
            lock(&self.state).is_slow = self.asking.is_running();
        }
    }

    /// The name of an app or a space, if it is known.
    pub(super) fn get(&self, what: Named, guid: &str) -> Option<String> {
        lock(&self.state).known.get(&(what, Guid::from(guid)))?.name.clone()
    }
}

/// Asks the platform until no guids are waiting.
struct Asker {
    state: Arc<Mutex<State>>,
    platform: Arc<dyn Platform>,
    clock: Arc<dyn Clock>,
}

impl Asker {
    fn ask(&self) {
        while let Some((what, guids)) = self.next_batch() {
            let answer = self.platform.names_of(what, &guids);
            let now = self.clock.monotonic();
            let mut state = lock(&self.state);
            state.is_slow = false;
            match answer {
                Ok(named) => {
                    let mut named: HashMap<Guid, String> = named.into_iter().collect();
                    if KNOWN_MAX < state.known.len() + guids.len() {
                        state.known.retain(|_, known| now.saturating_sub(known.since) < MAX_AGE);
                    }
                    if KNOWN_MAX < state.known.len() + guids.len() {
                        state.known.clear();
                    }
                    for guid in guids {
                        let name = named.remove(&guid);
                        state.known.insert((what, guid), Known { name, since: now });
                    }
                }
                Err(error) => {
                    log!(
                        error.noted(), cause:% = error;
                        "the names of apps and spaces cannot be read from the platform"
                    );
                    state.wanted.clear();
                    state.rests_until = now.saturating_add(REST);
                }
            }
        }
    }

    /// Waiting guids of one kind, as many as fit into a request. `None`: none are waiting.
    fn next_batch(&self) -> Option<(Named, Vec<Guid>)> {
        let mut state = lock(&self.state);
        let what = state.wanted.first()?.0;
        let mut batch = Vec::new();
        state.wanted.retain(|(of, guid)| {
            let is_taken = *of == what && batch.len() < TASK_BATCH;
            if is_taken {
                batch.push(guid.clone());
            }
            !is_taken
        });
        Some((what, batch))
    }
}
