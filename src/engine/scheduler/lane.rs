//! Dispatches executions of one kind from the database to its workers.
//!
//! Invariant: nothing is dispatched twice, there are never more dispatches than workers, and no tenant can
//! take the last workers: after its first, a tenant gets an Nth worker only if at least N/3 workers stay
//! idle. The rest stays PENDING in the database.
//!
//! A tenant is a space for calls, and an app for jobs. Within a space each target host has its own limit.
//! Some executions are reserved ahead (the stock), so that workers need not wait for the database. The limits
//! are applied again when they are dispatched.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::model::{Dispatch, Id, Kind, Timestamp};
use crate::store::{Share, Store, StoreError, Waiting};

/// While there is a backlog, every Nth dispatch goes to work requested after the backlog formed.
const NEWER_WORK_EVERY: u32 = 4;
/// A tenant gets another worker only while it has at most this many times the number of idle workers. A
/// single tenant gets three quarters of all workers; the next gets three quarters of the rest, until work of
/// the first has ended.
const IDLE_MULTIPLE: usize = 3;
/// The most shares that one pass visits; the next pass continues after the last of them.
const SHARES_PER_LOOK: u32 = 64;
/// The least time between two looks while executions are in stock, and between two visits of shares if the
/// first found nothing. Otherwise each release would cost a query.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// With a shared database, where reserving takes a round trip: at most this many times the number of workers
/// are reserved ahead, and only if the workers take that many within [`LOOK_INTERVAL`].
const TIMES_AHEAD: usize = 16;
/// How long a lane may keep more than its workers soon need.
const SURPLUS_SPAN: Duration = Duration::from_secs(1);
/// The shortest time over which the pace of the workers is measured.
const PACE_SPAN: Duration = Duration::from_millis(20);
/// Rows read of each share.
const ROWS_PER_SHARE: u32 = 8;

/// The path to the workers of one kind. Lanes never wait for each other.
pub struct Lane {
    pub(super) kind: Kind,
    /// To the workers; the channel's capacity is their number.
    dispatch: Sender<Dispatch>,
    /// Dispatched and not released, each with its share: in the channel or with a worker.
    pub(super) dispatched: HashMap<Id, Share>,
    /// Reserved ahead ([`Store::reserve_executions`]).
    stock: VecDeque<(Share, Dispatch)>,
    /// The most to reserve ahead: as many as there are workers, or more while the workers are fast and the
    /// database is shared.
    depth: usize,
    /// How many executions were released, and since when, in monotonic time.
    released: (usize, Duration),
    /// When the stock began to exceed what the workers soon need, in monotonic time.
    surplus_since: Option<Duration>,
    /// Shares that had more work at the last look than could be dispatched.
    waiting: HashSet<Share>,
    /// Counts dispatches, to give work requested after the backlog its share.
    turn: u32,
    /// The last share that was visited.
    last_share: String,
    /// When the last look began, and when the last visit of shares found nothing, in monotonic time.
    looked_at: Option<Duration>,
    found_none_at: Option<Duration>,
    /// There may be new work, or a worker was released.
    pub(super) needs_fill: bool,
    /// The last look found more than it dispatched.
    has_more: bool,
}

/// Why to look again before the next pass, after a lane was filled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Filled {
    /// Another process made some of the claims first, so there may be more to dispatch.
    pub(super) lost_race: bool,
    /// Workers are idle, and shares that may have work were not visited because the last visit was a moment
    /// ago.
    pub(super) has_skipped_shares: bool,
}

/// The part of a space's workers that one target host may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TargetBound {
    /// Half, because another host is waiting.
    Half,
    /// All but an eighth, because no other host is waiting. The eighth is reserved for a new host.
    Alone,
}

impl Lane {
    /// Creates a lane for executions of `kind`. `dispatch` has as much capacity as there are workers.
    pub fn new(kind: Kind, dispatch: Sender<Dispatch>) -> Self {
        Self {
            kind,
            dispatch,
            dispatched: HashMap::new(),
            stock: VecDeque::new(),
            depth: 0,
            released: (0, Duration::ZERO),
            surplus_since: None,
            waiting: HashSet::new(),
            turn: 0,
            last_share: String::new(),
            looked_at: None,
            found_none_at: None,
            needs_fill: true,
            has_more: true,
        }
    }

    /// Dispatches pending work to the idle workers. The rest follows after a release.
    pub(super) fn fill(
        &mut self,
        store: &Store,
        now: Timestamp,
        monotonic: Duration,
    ) -> Result<Filled, StoreError> {
        self.dispatch_stock();
        self.looked_at = Some(monotonic);
        self.measure_pace(store, monotonic);
        self.release_surplus(store, monotonic)?;
        let room = self.depth.saturating_sub(self.stock.len());
        if self.idle() == 0 && room == 0 {
            return Ok(Filled::default());
        }
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let known: Vec<Id> =
            self.stock.iter().map(|(_, it)| it.of.id).chain(self.dispatched.keys().copied()).collect();
        let limit = self.idle() + room.max(self.workers());
        let enough = self.has_more.then(|| number(self.idle()));
        let (in_order, has_others) =
            store.pending_executions(self.kind, now, number(limit), &known, enough)?;
        let is_backlog = has_others || in_order.len() == limit;
        let late_comers = if is_backlog { self.late_comers(store, now, &in_order)? } else { Vec::new() };
        let mut picked = Vec::new();
        let mut left = self.pick_in_turn(known.len(), in_order, late_comers, &mut picked);
        let looked_lately = self.found_none_at.is_some_and(|then| monotonic < then + LOOK_INTERVAL);
        let has_shares_to_visit = self.idle() > 0 && is_backlog;
        if has_shares_to_visit && !looked_lately {
            let before = picked.len();
            left.extend(self.pick_by_share(store, now, &mut picked)?);
            self.found_none_at = (picked.len() == before).then_some(monotonic);
        }
        self.has_more = is_backlog || !left.is_empty();
        self.waiting = left.iter().map(|waiting| waiting.share.clone()).collect();
        let mut ahead = Vec::new();
        for waiting in left {
            let bound = self.bound_of(&waiting.share);
            let waiting = self.pick(waiting, bound, &mut picked);
            ahead.extend(waiting.filter(|_| ahead.len() < room));
        }
        let lost_race = self.dispatch_picked(store, picked, ahead)?;
        Ok(Filled { lost_race, has_skipped_shares: has_shares_to_visit && looked_lately })
    }

    /// Like `fill`, after a release: does not query the database while there is enough in stock.
    pub(super) fn refill(
        &mut self,
        store: &Store,
        now: Timestamp,
        monotonic: Duration,
    ) -> Result<Filled, StoreError> {
        self.dispatch_stock();
        let is_stocked = self.depth.max(self.workers()) <= self.stock.len() * 2;
        let looked_lately = self.looked_at.is_some_and(|then| monotonic < then + LOOK_INTERVAL);
        // Work that arrived since then has woken the scheduler.
        let is_all_handed_out = !self.has_more && self.stock.is_empty();
        if looked_lately && is_all_handed_out || is_stocked && (self.idle() == 0 || looked_lately) {
            return Ok(Filled::default());
        }
        self.fill(store, now, monotonic)
    }

    pub(super) fn dispatch_stock(&mut self) {
        // A share that gets no worker now gets none before the next release.
        let mut refused: HashSet<Share> = HashSet::new();
        let mut index = 0;
        while let Some((share, _)) = self.stock.get(index).filter(|_| self.idle() > 0) {
            if refused.contains(share) || !self.may_get_worker(share, self.bound_of(share)) {
                if !refused.contains(share) {
                    refused.insert(share.clone());
                }
                index += 1;
                continue;
            }
            let Some((share, dispatch)) = self.stock.remove(index) else { return };
            let id = dispatch.of.id;
            // The channel has room, because only this lane sends. If sending fails, the execution is read
            // again.
            if self.dispatch.try_send(dispatch).is_ok() {
                self.dispatched.insert(id, share);
            }
        }
    }

    /// Records the end of a dispatch. Returns whether it belonged to this lane.
    pub(super) fn release(&mut self, id: Id) -> bool {
        let is_ours = self.dispatched.remove(&id).is_some();
        self.released.0 += usize::from(is_ours);
        is_ours
    }

    /// Updates how much to reserve ahead: as much as the workers take from one look to the next.
    fn measure_pace(&mut self, store: &Store, monotonic: Duration) {
        let workers = self.workers();
        let (count, since) = self.released;
        let span = monotonic.saturating_sub(since);
        if span < PACE_SPAN {
            self.depth = self.depth.max(workers);
            return;
        }
        let pace = (count as u128).saturating_mul(LOOK_INTERVAL.as_nanos()) / span.as_nanos();
        let most = if store.is_shared() { workers * TIMES_AHEAD } else { workers };
        self.depth = usize::try_from(pace).unwrap_or(most).clamp(workers, most);
        self.released = (0, monotonic);
    }

    /// Releases executions that were claimed while the workers were faster, so that others can claim them.
    fn release_surplus(&mut self, store: &Store, monotonic: Duration) -> Result<(), StoreError> {
        if self.stock.len() <= self.depth * 2 {
            self.surplus_since = None;
            return Ok(());
        }
        if monotonic < *self.surplus_since.get_or_insert(monotonic) + SURPLUS_SPAN {
            return Ok(());
        }
        let surplus: Vec<Id> = self.stock.iter().skip(self.depth).map(|(_, it)| it.of.id).collect();
        store.release(&surplus)?;
        self.stock.truncate(self.depth);
        Ok(())
    }

    /// Work requested after the backlog formed, latest first.
    fn late_comers(
        &self,
        store: &Store,
        now: Timestamp,
        in_order: &[Waiting],
    ) -> Result<Vec<Waiting>, StoreError> {
        let in_stock = self.stock.iter().map(|(_, dispatch)| dispatch.as_read().0);
        let Some(oldest) = in_order.first().map(|it| it.due_since).into_iter().chain(in_stock).min() else {
            return Ok(Vec::new());
        };
        // Few of them are picked, however much is reserved ahead.
        let limit = u32::try_from(self.workers() * 3).unwrap_or(u32::MAX);
        store.pending_asked_after(self.kind, now, oldest, limit)
    }

    /// Picks the oldest work first, but every Nth pick from `late_comers`. `before`: how many older ones are
    /// reserved or dispatched already. They take their turns too, because the late comers need not wait until
    /// these are done. Returns work whose share is used up.
    fn pick_in_turn(
        &mut self,
        mut before: usize,
        in_order: Vec<Waiting>,
        late_comers: Vec<Waiting>,
        picked: &mut Vec<Waiting>,
    ) -> Vec<Waiting> {
        let (mut in_order, mut late_comers) = (in_order.into_iter(), late_comers.into_iter());
        let mut left = Vec::new();
        loop {
            self.turn = self.turn.wrapping_add(1);
            let favoured = if self.turn.is_multiple_of(NEWER_WORK_EVERY) { late_comers.next() } else { None };
            if favoured.is_none() && before > 0 {
                before -= 1;
                continue;
            }
            let next = favoured.or_else(|| in_order.next()).or_else(|| late_comers.next());
            let Some(waiting) = next else { return left };
            left.extend(self.pick(waiting, TargetBound::Half, picked));
        }
    }

    /// Visits the shares one after the other, each by its oldest executions, so that the backlog of one share
    /// hides no other. Returns work whose share is used up.
    fn pick_by_share(
        &mut self,
        store: &Store,
        now: Timestamp,
        picked: &mut Vec<Waiting>,
    ) -> Result<Vec<Waiting>, StoreError> {
        let mut shares = store.pending_shares(self.kind, now, &self.last_share, SHARES_PER_LOOK)?;
        // After the last share, continue at the first: at the next look, or now if this look has visited few.
        let is_end = shares.len() < SHARES_PER_LOOK as usize;
        if is_end && !self.last_share.is_empty() {
            let from_the_first = store.pending_shares(self.kind, now, "", SHARES_PER_LOOK)?;
            shares.extend(from_the_first.into_iter().take_while(|share| share.as_str() <= &*self.last_share));
        }
        self.last_share = match shares.last() {
            Some(last) if !is_end => last.as_str().to_owned(),
            _ => String::new(),
        };
        shares.retain(|share| self.may_get_worker(share, TargetBound::Alone));
        if shares.is_empty() {
            return Ok(Vec::new());
        }
        let mut waiting = store.pending_of_shares(self.kind, now, &shares, ROWS_PER_SHARE)?;
        waiting.sort_by_key(|waiting| (waiting.due_since, waiting.of.id));
        Ok(waiting.into_iter().filter_map(|waiting| self.pick(waiting, TargetBound::Half, picked)).collect())
    }

    /// Picks an execution for dispatch. Returns it if the share of its tenant or target is used up.
    fn pick(&mut self, waiting: Waiting, bound: TargetBound, picked: &mut Vec<Waiting>) -> Option<Waiting> {
        let id = waiting.of.id;
        let is_stocked = || self.stock.iter().any(|(_, dispatch)| dispatch.of.id == id);
        if self.dispatched.contains_key(&id) || is_stocked() {
            return None;
        }
        if !self.may_get_worker(&waiting.share, bound) {
            return Some(waiting);
        }
        self.dispatched.insert(id, waiting.share.clone());
        picked.push(waiting);
        None
    }

    fn bound_of(&self, share: &Share) -> TargetBound {
        let is_another = |other: &Share| other.tenant() == share.tenant() && other != share;
        if self.waiting.iter().any(is_another) { TargetBound::Half } else { TargetBound::Alone }
    }

    /// Whether the share may use another worker.
    fn may_get_worker(&self, share: &Share, bound: TargetBound) -> bool {
        let idle = self.idle();
        let most_of_tenant = self.workers() * IDLE_MULTIPLE / (IDLE_MULTIPLE + 1);
        let of_tenant = self.dispatched.values().filter(|other| other.tenant() == share.tenant()).count();
        let of_target = self.dispatched.values().filter(|other| *other == share).count();
        // The first execution of a tenant or host gets a worker as long as one is idle.
        if idle == 0 || of_tenant == 0 || (of_target == 0 && of_tenant < most_of_tenant) {
            return idle > 0;
        }
        if IDLE_MULTIPLE * (idle - 1) < of_tenant + 1 {
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

    /// Reserves and dispatches the picked executions; those in `ahead` go into stock. Returns whether another
    /// process claimed some of them first.
    fn dispatch_picked(
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
        let (mut work, fence) = match store.reserve_executions(&wanted) {
            Ok(claimed) => (claimed.work, claimed.fence),
            Err(err) => {
                for waiting in picked {
                    self.dispatched.remove(&waiting.of.id);
                }
                return Err(err);
            }
        };
        let mut claimed = |mut waiting: Waiting| {
            waiting.of.fence = fence;
            let share = waiting.share.clone();
            work.remove(&waiting.of.id).map(|work| (share, waiting.with_work(work)))
        };
        let mut lost_race = false;
        for waiting in picked {
            let id = waiting.of.id;
            let dispatch = claimed(waiting);
            lost_race |= dispatch.is_none();
            // The channel has room, because only this lane sends. If sending fails, the execution is picked
            // again.
            if dispatch.is_none_or(|(_, dispatch)| self.dispatch.try_send(dispatch).is_err()) {
                self.dispatched.remove(&id);
            }
        }
        self.stock.extend(ahead.into_iter().filter_map(claimed));
        Ok(lost_race)
    }

    /// Whether the lane has no dispatched and no reserved executions.
    pub(super) fn is_empty(&self) -> bool {
        self.dispatched.is_empty() && self.stock.is_empty()
    }

    fn workers(&self) -> usize {
        self.dispatch.capacity().unwrap_or(0)
    }

    fn idle(&self) -> usize {
        self.workers().saturating_sub(self.dispatched.len())
    }
}
