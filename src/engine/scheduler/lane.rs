//! The way from the database to the workers of one kind.
//!
//! Invariant: no more is handed out than the channel takes, and nothing is handed out twice; the rest stays PENDING.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::model::{Dispatch, Guid, Id, Kind, Timestamp};
use crate::store::{Store, StoreError};

/// While there is a backlog, every Nth dispatch goes to work requested after the backlog formed.
const SHARE_OF_LATE_COMERS: u32 = 4;
/// The time between two looks past the apps that have their share, which read the whole backlog at worst.
const LOOK_PAST_INTERVAL: Duration = Duration::from_millis(200);

/// The way to the workers of one kind. What waits in one lane never waits for the other.
pub struct Lane {
    kind: Kind,
    /// To the workers; bounded. What does not fit stays PENDING in the database.
    dispatch: Sender<Dispatch>,
    /// The most of one app that are handed out; `None`: no such bound.
    per_app: Option<usize>,
    /// Handed out and not released, with its app: in the channel, with a worker, or ended and not recorded yet.
    pub(super) handed_out: HashMap<Id, Guid>,
    /// Counts what was handed out, to give those their share who came after the backlog.
    turn: u32,
    /// When apps that have their share were last looked past.
    looked_past_at: Option<Duration>,
}

impl Lane {
    /// A lane for executions of `kind`. With `per_app`, no app has more than that handed out at a time, so that the
    /// requests of one that hang leave workers to the others.
    pub fn new(kind: Kind, dispatch: Sender<Dispatch>, per_app: Option<usize>) -> Self {
        Self { kind, dispatch, per_app, handed_out: HashMap::new(), turn: 0, looked_past_at: None }
    }

    /// Hands out what is pending as far as the channel takes it. What it does not take comes after a release. Whether another
    /// process was faster with some of it, so that there may be more to hand out.
    pub(super) fn fill(
        &mut self,
        store: &Store,
        now: Timestamp,
        monotonic: Duration,
    ) -> Result<bool, StoreError> {
        let bound = self.dispatch.capacity().unwrap_or(0);
        let room = bound.saturating_sub(self.dispatch.len());
        // Refilled when half empty, so that not each execution costs a look into the database.
        if room * 2 < bound {
            return Ok(false);
        }
        let limit = u32::try_from(room + self.handed_out.len()).unwrap_or(u32::MAX);
        let in_order = store.pending_executions(self.kind, now, &[], limit)?;
        let is_backlog = in_order.len() == limit as usize;
        let late_comers = match in_order.first() {
            Some(oldest) if is_backlog => {
                store.pending_asked_after(self.kind, now, oldest.due_since, limit)?
            }
            _ => Vec::new(),
        };
        let (mut in_order, mut late_comers) = (in_order.into_iter(), late_comers.into_iter());
        let mut picked = Vec::new();
        while picked.len() < room {
            self.turn = self.turn.wrapping_add(1);
            let favoured = self.turn.is_multiple_of(SHARE_OF_LATE_COMERS);
            let next = if favoured {
                late_comers.next().or_else(|| in_order.next())
            } else {
                in_order.next().or_else(|| late_comers.next())
            };
            let Some(dispatch) = next else { break };
            self.pick(dispatch, &mut picked);
        }
        let full = self.full_apps();
        let looked_lately = self.looked_past_at.is_some_and(|then| monotonic < then + LOOK_PAST_INTERVAL);
        if picked.len() < room && !full.is_empty() && is_backlog && !looked_lately {
            self.looked_past_at = Some(monotonic);
            let full: Vec<&Guid> = full.iter().collect();
            for dispatch in store.pending_executions(self.kind, now, &full, limit)? {
                if picked.len() < room {
                    self.pick(dispatch, &mut picked);
                }
            }
        }
        self.hand_out(store, picked)
    }

    /// Notes that it is to be handed out; not again, and not beyond its app's share.
    fn pick(&mut self, dispatch: Dispatch, picked: &mut Vec<Dispatch>) {
        let has_share = self.per_app.is_some_and(|most| most <= self.count_of(&dispatch.app));
        if !has_share && !self.handed_out.contains_key(&dispatch.of.id) {
            self.handed_out.insert(dispatch.of.id, dispatch.app.clone());
            picked.push(dispatch);
        }
    }

    /// Claims what was picked, and hands it out. Whether another process was faster with some of it.
    fn hand_out(&mut self, store: &Store, picked: Vec<Dispatch>) -> Result<bool, StoreError> {
        let wanted: Vec<(Id, Timestamp, u32)> = picked
            .iter()
            .map(|dispatch| (dispatch.of.id, dispatch.due_since, dispatch.attempts.count))
            .collect();
        let claimed = store.claim_executions(&wanted);
        let mut was_slower = false;
        for mut dispatch in picked {
            let id = dispatch.of.id;
            let is_ours = claimed.as_ref().is_ok_and(|claimed| claimed.ids.contains(&id));
            was_slower |= !is_ours;
            dispatch.of.fence = claimed.as_ref().map_or(0, |claimed| claimed.fence);
            // There is room, for nobody else sends; and what is not sent is picked again.
            if !is_ours || self.dispatch.try_send(dispatch).is_err() {
                self.handed_out.remove(&id);
            }
        }
        claimed.map(|_| was_slower)
    }

    fn count_of(&self, app: &Guid) -> usize {
        self.handed_out.values().filter(|other| *other == app).count()
    }

    fn full_apps(&self) -> Vec<Guid> {
        let Some(most) = self.per_app else { return Vec::new() };
        let apps: HashSet<&Guid> = self.handed_out.values().collect();
        apps.into_iter().filter(|app| most <= self.count_of(app)).cloned().collect()
    }
}
