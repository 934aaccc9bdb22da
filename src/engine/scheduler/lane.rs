//! The way from the database to the workers of one kind.
//!
//! Invariant: nothing is handed out twice, never more than there are workers, and no tenant can take the last
//! workers: what it leaves is at least a third of what it has. The rest stays PENDING in the database.
//!
//! A tenant is a space for calls and an app for jobs. Within a space each target host has a bound of its own.
//! Some executions are claimed ahead, so that a worker need not wait for the database; whose turn it is, is
//! decided when they are handed out.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::model::{Dispatch, Id, Kind, Timestamp};
use crate::store::{Share, Store, StoreError, Waiting};

/// While there is a backlog, every Nth dispatch goes to work requested after the backlog formed.
const SHARE_OF_LATE_COMERS: u32 = 4;
/// A tenant gets another worker only while it has no more than so many times the workers that stay idle. One
/// alone gets three quarters of all; the next one three quarters of the rest, until those of the first have
/// ended.
const TIMES_IDLE: usize = 3;
/// The most shares that one look visits; the next look goes on behind the last of them.
const SHARES_PER_LOOK: u32 = 64;
/// The time between two looks when something is stocked, and to the next look at shares after one that found
/// nothing: otherwise each release would cost one.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// What one look reads of each share.
const ROWS_PER_SHARE: u32 = 8;

/// The way to the workers of one kind. What waits in one lane never waits for the other.
pub struct Lane {
    pub(super) kind: Kind,
    /// To the workers, of which there are as many as the channel holds.
    dispatch: Sender<Dispatch>,
    /// Handed out and not released, with its share: in the channel or with a worker.
    pub(super) handed_out: HashMap<Id, Share>,
    /// Claimed ahead, as many as there are workers at most.
    stock: VecDeque<(Share, Dispatch)>,
    /// Shares of which the last look found more than could be handed out.
    waiting: HashSet<Share>,
    /// Counts what was handed out, to give those their share who came after the backlog.
    turn: u32,
    /// The share that the last look at shares ended with.
    last_share: String,
    /// When the last look began, and when one at shares found nothing to hand out, in monotonic time.
    looked_at: Option<Duration>,
    found_none_at: Option<Duration>,
    /// Something may wait for a worker, or a worker was released.
    pub(super) is_to_fill: bool,
    /// The last look found more than it handed out.
    has_left: bool,
}

/// What a lane says after it was filled: why to look again before the next pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Filled {
    /// Another process claimed some of it first, so there may be more to hand out.
    pub(super) was_slower: bool,
    /// Workers are idle, and shares that may have work were not visited, for they were a moment ago.
    pub(super) shares_put_off: bool,
}

/// How much of a space's workers one target host may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TargetBound {
    /// Half: another host waits.
    Half,
    /// No other host has anything waiting: an eighth is left, so that one that comes finds some.
    Alone,
}

impl Lane {
    /// A lane for executions of `kind`, to as many workers as `dispatch` has capacity.
    pub fn new(kind: Kind, dispatch: Sender<Dispatch>) -> Self {
        Self {
            kind,
            dispatch,
            handed_out: HashMap::new(),
            stock: VecDeque::new(),
            waiting: HashSet::new(),
            turn: 0,
            last_share: String::new(),
            looked_at: None,
            found_none_at: None,
            is_to_fill: true,
            has_left: true,
        }
    }

    /// Hands out what is pending as far as there are idle workers. The rest comes after a release.
    pub(super) fn fill(
        &mut self,
        store: &Store,
        now: Timestamp,
        monotonic: Duration,
    ) -> Result<Filled, StoreError> {
        self.hand_out_stock();
        self.looked_at = Some(monotonic);
        let room = self.workers().saturating_sub(self.stock.len());
        if self.idle() == 0 && room == 0 {
            return Ok(Filled::default());
        }
        let limit = self.workers() + self.handed_out.len() + self.stock.len();
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let in_order = store.pending_executions(self.kind, now, limit)?;
        let is_backlog = in_order.len() == limit as usize;
        let mut picked = Vec::new();
        let mut left = self.pick_in_turn(store, now, in_order, is_backlog, &mut picked)?;
        let looked_lately = self.found_none_at.is_some_and(|then| monotonic < then + LOOK_INTERVAL);
        let has_shares_to_visit = self.idle() > 0 && is_backlog;
        if has_shares_to_visit && !looked_lately {
            let before = picked.len();
            left.extend(self.pick_by_share(store, now, &mut picked)?);
            self.found_none_at = (picked.len() == before).then_some(monotonic);
        }
        self.has_left = is_backlog || !left.is_empty();
        self.waiting = left.iter().map(|waiting| waiting.share.clone()).collect();
        let mut ahead = Vec::new();
        for waiting in left {
            let bound = self.bound_of(&waiting.share);
            let waiting = self.pick(waiting, bound, &mut picked);
            ahead.extend(waiting.filter(|_| ahead.len() < room));
        }
        let was_slower = self.hand_out(store, picked, ahead)?;
        Ok(Filled { was_slower, shares_put_off: has_shares_to_visit && looked_lately })
    }

    /// The same after a release: while enough is stocked, the database is not asked each time.
    pub(super) fn refill(
        &mut self,
        store: &Store,
        now: Timestamp,
        monotonic: Duration,
    ) -> Result<Filled, StoreError> {
        self.hand_out_stock();
        let is_stocked = self.workers() <= self.stock.len() * 2;
        let looked_lately = self.looked_at.is_some_and(|then| monotonic < then + LOOK_INTERVAL);
        // What came since then has woken the scheduler, which looks by itself.
        let is_all_handed_out = !self.has_left && self.stock.is_empty();
        if looked_lately && is_all_handed_out || is_stocked && (self.idle() == 0 || looked_lately) {
            return Ok(Filled::default());
        }
        self.fill(store, now, monotonic)
    }

    pub(super) fn hand_out_stock(&mut self) {
        for (share, dispatch) in std::mem::take(&mut self.stock) {
            if !self.may_take(&share, self.bound_of(&share)) {
                self.stock.push_back((share, dispatch));
                continue;
            }
            let id = dispatch.of.id;
            // There is room, for nobody else sends; and what is not sent is read again.
            if self.dispatch.try_send(dispatch).is_ok() {
                self.handed_out.insert(id, share);
            }
        }
    }

    /// Picks in order of time, every Nth from what was requested after a backlog formed. Answers what had no
    /// share left.
    fn pick_in_turn(
        &mut self,
        store: &Store,
        now: Timestamp,
        in_order: Vec<Waiting>,
        is_backlog: bool,
        picked: &mut Vec<Waiting>,
    ) -> Result<Vec<Waiting>, StoreError> {
        let limit = u32::try_from(in_order.len()).unwrap_or(u32::MAX);
        let late_comers = match in_order.first() {
            Some(oldest) if is_backlog => {
                store.pending_asked_after(self.kind, now, oldest.due_since, limit)?
            }
            _ => Vec::new(),
        };
        let (mut in_order, mut late_comers) = (in_order.into_iter(), late_comers.into_iter());
        let mut left = Vec::new();
        loop {
            self.turn = self.turn.wrapping_add(1);
            let favoured = self.turn.is_multiple_of(SHARE_OF_LATE_COMERS);
            let next = if favoured {
                late_comers.next().or_else(|| in_order.next())
            } else {
                in_order.next().or_else(|| late_comers.next())
            };
            let Some(waiting) = next else { return Ok(left) };
            left.extend(self.pick(waiting, TargetBound::Half, picked));
        }
    }

    /// Looks at the shares one after the other, each by its own oldest executions, so that a long backlog of
    /// one hides no other. Answers what had no share left.
    fn pick_by_share(
        &mut self,
        store: &Store,
        now: Timestamp,
        picked: &mut Vec<Waiting>,
    ) -> Result<Vec<Waiting>, StoreError> {
        let mut shares = store.pending_shares(self.kind, &self.last_share, SHARES_PER_LOOK)?;
        // Behind the last one the next look begins at the first; so does this one, when it has seen few.
        let is_end = shares.len() < SHARES_PER_LOOK as usize;
        if is_end && !self.last_share.is_empty() {
            let from_the_first = store.pending_shares(self.kind, "", SHARES_PER_LOOK)?;
            shares.extend(from_the_first.into_iter().take_while(|share| share.as_str() <= &*self.last_share));
        }
        self.last_share = match shares.last() {
            Some(last) if !is_end => last.as_str().to_owned(),
            _ => String::new(),
        };
        shares.retain(|share| self.may_take(share, TargetBound::Alone));
        if shares.is_empty() {
            return Ok(Vec::new());
        }
        let mut waiting = store.pending_of_shares(self.kind, now, &shares, ROWS_PER_SHARE)?;
        waiting.sort_by_key(|waiting| (waiting.due_since, waiting.of.id));
        Ok(waiting.into_iter().filter_map(|waiting| self.pick(waiting, TargetBound::Half, picked)).collect())
    }

    /// Notes that it is to be handed out. Gives it back when its tenant, or its target, has its share.
    fn pick(&mut self, waiting: Waiting, bound: TargetBound, picked: &mut Vec<Waiting>) -> Option<Waiting> {
        let id = waiting.of.id;
        let is_stocked = || self.stock.iter().any(|(_, dispatch)| dispatch.of.id == id);
        if self.handed_out.contains_key(&id) || is_stocked() {
            return None;
        }
        if !self.may_take(&waiting.share, bound) {
            return Some(waiting);
        }
        self.handed_out.insert(id, waiting.share.clone());
        picked.push(waiting);
        None
    }

    fn bound_of(&self, share: &Share) -> TargetBound {
        let is_another = |other: &Share| other.tenant() == share.tenant() && other != share;
        if self.waiting.iter().any(is_another) { TargetBound::Half } else { TargetBound::Alone }
    }

    /// Whether the share may have another worker.
    fn may_take(&self, share: &Share, bound: TargetBound) -> bool {
        let idle = self.idle();
        let most_of_tenant = self.workers() * TIMES_IDLE / (TIMES_IDLE + 1);
        let of_tenant = self.handed_out.values().filter(|other| other.tenant() == share.tenant()).count();
        let of_target = self.handed_out.values().filter(|other| *other == share).count();
        // The first of a tenant, or of a host, finds a worker as long as one is idle.
        if idle == 0 || of_tenant == 0 || (of_target == 0 && of_tenant < most_of_tenant) {
            return idle > 0;
        }
        if TIMES_IDLE * (idle - 1) < of_tenant + 1 {
            return false;
        }
        if share.target().is_empty() {
            return true;
        }
        let most_of_target = match bound {
            TargetBound::Half => most_of_tenant / 2,
            TargetBound::Alone => most_of_tenant - most_of_tenant.div_ceil(8),
        };
        of_target < most_of_target.max(1)
    }

    /// Claims what was picked, and hands it out; what is `ahead` is stocked. Whether another process was
    /// faster with some of it.
    fn hand_out(
        &mut self,
        store: &Store,
        picked: Vec<Waiting>,
        ahead: Vec<Waiting>,
    ) -> Result<bool, StoreError> {
        let wanted: Vec<(Id, Timestamp, u32)> =
            picked.iter().chain(&ahead).map(|it| (it.of.id, it.due_since, it.attempts.count)).collect();
        if wanted.is_empty() {
            return Ok(false);
        }
        let (mut work, fence) = match store.claim_executions(&wanted) {
            Ok(claimed) => (claimed.work, claimed.fence),
            Err(err) => {
                for waiting in picked {
                    self.handed_out.remove(&waiting.of.id);
                }
                return Err(err);
            }
        };
        let mut claimed = |mut waiting: Waiting| {
            waiting.of.fence = fence;
            let share = waiting.share.clone();
            work.remove(&waiting.of.id).map(|work| (share, waiting.with_work(work)))
        };
        let mut was_slower = false;
        for waiting in picked {
            let id = waiting.of.id;
            let dispatch = claimed(waiting);
            was_slower |= dispatch.is_none();
            // There is room, for nobody else sends; and what is not sent is picked again.
            if dispatch.is_none_or(|(_, dispatch)| self.dispatch.try_send(dispatch).is_err()) {
                self.handed_out.remove(&id);
            }
        }
        self.stock.extend(ahead.into_iter().filter_map(claimed));
        Ok(was_slower)
    }

    fn workers(&self) -> usize {
        self.dispatch.capacity().unwrap_or(0)
    }

    fn idle(&self) -> usize {
        self.workers().saturating_sub(self.handed_out.len())
    }
}
