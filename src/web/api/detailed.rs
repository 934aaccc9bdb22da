//! Lists of jobs or calls with their schedules (`detailed=true`), of which some have thousands.
//!
//! Invariant: memory is bounded, however many schedules a job has, and a database read ends before its rows
//! are written to the client.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::error::ApiError;
use super::executables::ExecutableJson;
use super::page::{Walk, append_json};
use super::schedules::{Owner, ScheduleJson};
use crate::model::{Executable, Guid, Id, Kind, Schedule, Timestamp};
use crate::store::{Selection, SpacePause, Store, Summary, Window};
use crate::web::auth::Caller;

/// The most schedules that one read returns.
const SCHEDULES_MAX: u32 = 200;
/// The most jobs or calls whose schedules are read together, if they have few.
const TOGETHER_MAX: usize = 200;
/// The most spaces whose pauses are cached.
const PAUSES_MAX: usize = 1024;
/// Roughly how many bytes are appended at a time.
const PART_BYTES: usize = 32 * 1024;

pub(super) struct Detailed {
    store: Arc<Store>,
    caller: Caller,
    kind: Kind,
    selection: Selection,
    walk: Walk,
    /// Jobs or calls without their schedules.
    rows: VecDeque<Executable>,
    /// All schedules of this many of the first `rows` are in `schedules`.
    known: usize,
    /// Schedules, in the order of `rows`.
    schedules: VecDeque<Schedule>,
    /// The summaries of these first `rows`, or of the open one.
    summaries: HashMap<Id, Summary>,
    /// How many to read together next. Doubles each time, until they have too many schedules for one read.
    together: usize,
    /// The job or call whose schedules are being written in parts.
    open: Option<Open>,
    /// The pauses of recent spaces.
    pauses: HashMap<Guid, Option<SpacePause>>,
    now: Timestamp,
}

/// A job or call whose JSON has begun.
struct Open {
    id: Id,
    owner: Owner,
    /// The last schedule that was written.
    after: Id,
}

impl Detailed {
    pub(super) fn new(
        store: Arc<Store>,
        caller: Caller,
        (kind, selection): (Kind, Selection),
        walk: Walk,
        now: Timestamp,
    ) -> Self {
        Self {
            store,
            caller,
            kind,
            selection,
            walk,
            rows: VecDeque::new(),
            known: 0,
            schedules: VecDeque::new(),
            summaries: HashMap::new(),
            together: 1,
            open: None,
            pauses: HashMap::new(),
            now,
        }
    }

    /// Appends the next part. Returns whether there is more.
    pub(super) fn append_next(&mut self, body: &mut Vec<u8>) -> Result<bool, ApiError> {
        let enough = body.len() + PART_BYTES;
        while body.len() < enough {
            if let Some(open) = self.open.take() {
                self.go_on(open, body)?;
            } else if 0 < self.known {
                self.append_known(body)?;
            } else if !self.rows.is_empty() {
                self.read_schedules(body)?;
            } else if !self.walk.is_over() {
                let (store, kind, selection) = (&self.store, self.kind, &self.selection);
                let mut rows = self.walk.next(|window| store.list_executables(kind, selection, window))?;
                for executable in rows.iter_mut().filter(|it| !self.caller.works_in(&it.space)) {
                    executable.hide();
                }
                self.rows.extend(rows);
            } else {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the schedules of the next rows together if they are few; otherwise begins to write the first
    /// row.
    fn read_schedules(&mut self, body: &mut Vec<u8>) -> Result<(), ApiError> {
        let ids: Vec<Id> = self.rows.iter().take(self.together).map(|executable| executable.id).collect();
        let part = self.store.schedules_of(&ids, SCHEDULES_MAX)?;
        self.summaries = self.store.summaries(if part.is_end { &ids } else { &ids[..1] })?;
        if part.is_end {
            self.known = ids.len();
            self.schedules = part.rows.into();
            self.together = (2 * self.together).min(TOGETHER_MAX);
            return Ok(());
        }
        self.together = 1;
        let Some(executable) = self.rows.pop_front() else { return Ok(()) };
        let own: Vec<Schedule> =
            part.rows.into_iter().take_while(|schedule| schedule.executable == executable.id).collect();
        let (id, owner) = (executable.id, self.owner(&executable)?);
        let after = own.last().map_or(0, |schedule| schedule.id);
        let summary = self.summaries.remove(&id).unwrap_or_default();
        let next_fire_time = owner.next_fire_time(summary.next_fire_time);
        let schedules = own.into_iter().map(|schedule| ScheduleJson::of(schedule, &owner)).collect();
        let shown = ExecutableJson::detailed(executable, schedules, next_fire_time, summary.last);
        self.walk.append(body, &shown)?;
        if 0 < after {
            // More schedules may follow: remove the closing `]}`, which is written again after the last one.
            body.truncate(body.len() - 2);
            self.open = Some(Open { id, owner, after });
        }
        Ok(())
    }

    fn append_known(&mut self, body: &mut Vec<u8>) -> Result<(), ApiError> {
        self.known -= 1;
        let Some(executable) = self.rows.pop_front() else { return Ok(()) };
        let mut own = Vec::new();
        while self.schedules.front().is_some_and(|schedule| schedule.executable == executable.id) {
            own.extend(self.schedules.pop_front());
        }
        let owner = self.owner(&executable)?;
        let next_fire_time = own.iter().filter_map(|schedule| owner.next_fire_time_of(schedule)).min();
        let last = self.summaries.remove(&executable.id).and_then(|summary| summary.last);
        let schedules = own.into_iter().map(|schedule| ScheduleJson::of(schedule, &owner)).collect();
        let shown = ExecutableJson::detailed(executable, schedules, next_fire_time, last);
        self.walk.append(body, &shown)
    }

    fn go_on(&mut self, open: Open, body: &mut Vec<u8>) -> Result<(), ApiError> {
        let window = Window { beyond: open.after, last: Id::MAX, offset: 0, limit: SCHEDULES_MAX };
        let part = self.store.list_schedules(open.id, window)?;
        for schedule in part.rows {
            body.push(b',');
            append_json(body, &ScheduleJson::of(schedule, &open.owner))?;
        }
        match part.last {
            Some(after) if !part.is_end => self.open = Some(Open { after, ..open }),
            _ => body.extend_from_slice(b"]}"),
        }
        Ok(())
    }

    fn owner(&mut self, executable: &Executable) -> Result<Owner, ApiError> {
        if !self.pauses.contains_key(&executable.space) {
            if self.pauses.len() == PAUSES_MAX {
                self.pauses.clear();
            }
            let pause = self.store.space_pause(&executable.space, self.now)?;
            self.pauses.insert(executable.space.clone(), pause);
        }
        Ok(Owner::of(executable, self.pauses.get(&executable.space).and_then(Option::as_ref)))
    }
}
