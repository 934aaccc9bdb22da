//! Searching executions by a filter.
//!
//! Invariant: one search examines at most 20,000 executions, however many there are.

use super::executables::extent_of;
use super::executions::execution_of;
use super::overview::{ListedExecution, listed_execution_of, spaces_json};
use super::session::Session;
use super::statement::{Named, Statement, json_array, sql, values};
use super::{Extent, LabelSelector, Part, Store, StoreError, Window};
use crate::model::{Execution, ExecutionState, Guid, Id, Kind, Reason, Timestamp};

/// The most executions that one search examines.
const LOOKED_AT_MAX: u32 = 20_000;
/// The most if their rows are far apart, so that each is read from a page of its own.
const SCATTERED_MAX: u32 = 3000;
/// The most if the name or the labels of the job or call have to be compared for each.
const COMPARED_MAX: u32 = 8000;
/// How many of them it examines by primary key, before it looks for an index that fits the filter.
const FIRST_LOOK: u32 = 500;
/// How much larger each further step through an index is.
const STEP_GROWTH: u32 = 8;
/// The most PENDING and RUNNING executions, of each, that a search sorts.
const UNFINISHED_MAX: u32 = 1000;
/// The most jobs and calls whose histories a search merges.
const MERGED_MAX: u32 = 100;

/// Selects executions. An empty list or `None` matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecutionFilter {
    /// The space is one of these; `None`: all spaces.
    pub spaces: Option<Vec<Guid>>,
    /// The state is one of these.
    pub states: Vec<ExecutionState>,
    /// The reason is one of these.
    pub reasons: Vec<Reason>,
    /// The labels of the job or call match; `None`: any.
    pub selector: Option<LabelSelector>,
    /// The name of the job or call contains this text, in capital or small letters.
    pub name: Option<String>,
    /// Only jobs, or only calls.
    pub kind: Option<Kind>,
    /// The job or call is one of these.
    pub executables: Vec<Guid>,
    /// The schedule is one of these.
    pub schedules: Vec<Guid>,
    /// The schedule is this one.
    pub schedule: Option<Id>,
    /// `true`: started by a schedule; `false`: by hand.
    pub by_schedule: Option<bool>,
    /// Created after this instant.
    pub created_after: Option<Timestamp>,
    /// Created before this instant.
    pub created_before: Option<Timestamp>,
    /// Ended after this instant.
    pub ended_after: Option<Timestamp>,
    /// Ended before this instant.
    pub ended_before: Option<Timestamp>,
}

/// A page of matching executions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundExecutions {
    /// Newest first.
    pub rows: Vec<ListedExecution>,
    /// The number of executions examined.
    pub looked_at: u64,
    /// Continue before this execution; `None`: this is the last page.
    pub next: Option<Id>,
}

/// An index that has all executions a filter can match, and how to read it.
struct Walk {
    /// How many executions a search along it examines.
    budget: u32,
    /// Returns the newest `:limit` ids before `:before_id`.
    statement: &'static Statement,
    /// The jobs, calls or schedules whose executions these are, as a JSON array of ids.
    owners: Option<String>,
}

impl Walk {
    fn by(statement: &'static Statement, budget: u32) -> Self {
        Self { budget, statement, owners: None }
    }

    fn of(statement: &'static Statement, owners: &[Id]) -> Result<Self, StoreError> {
        Ok(Self { budget: SCATTERED_MAX, statement, owners: Some(json_array(owners.iter())?) })
    }
}

/// A search under way.
#[derive(Default)]
struct Search {
    rows: Vec<ListedExecution>,
    looked_at: u32,
}

impl Search {
    fn found(self, next: Option<Id>) -> FoundExecutions {
        FoundExecutions { rows: self.rows, looked_at: self.looked_at.into(), next }
    }
}

impl Store {
    /// Matching executions before `before`, newest first, at most `limit`. Examines at most 20,000
    /// executions, and returns those found among them.
    pub fn find_executions(
        &self,
        filter: &ExecutionFilter,
        before: Id,
        limit: u32,
    ) -> Result<FoundExecutions, StoreError> {
        let columns = FilterColumns::of(filter)?;
        self.read(|session| {
            let mut search = Search::default();
            let mut before = before;
            // These indexes serve from the start; most other filters match soon.
            let mut walk = walk_of_owners(session, &columns)?;
            if walk.is_none() {
                let budget = FIRST_LOOK.max(limit);
                match search_all(session, &columns, before, limit, budget, &mut search)? {
                    Step::Done(next) => return Ok(search.found(next)),
                    Step::From(id) => before = id,
                }
                walk = walk_of_filter(session, filter, &columns)?;
            }
            let next = match walk {
                Some(walk) => search_by(session, &walk, &columns, before, limit, &mut search)?,
                None => {
                    let compares = filter.selector.is_some() || filter.name.is_some();
                    let most = if compares { COMPARED_MAX } else { LOOKED_AT_MAX };
                    let budget = most - search.looked_at;
                    match search_all(session, &columns, before, limit, budget, &mut search)? {
                        Step::Done(next) => next,
                        Step::From(id) => Some(id),
                    }
                }
            };
            Ok(search.found(next))
        })
    }

    /// The number of matching executions of a job or call, and the newest of them.
    pub fn count_matching(&self, executable: Id, filter: &ExecutionFilter) -> Result<Extent, StoreError> {
        let filter = FilterColumns::of(filter)?;
        let mut values = filter.values();
        values.extend(values! { "executable_id": executable, "before_id": Id::MAX });
        self.read(|session| session.one(sql!("executions/count_found_of_executable"), &values, extent_of))
    }

    /// A part of the matching executions of a job or call, newest first.
    pub fn list_matching(
        &self,
        executable: Id,
        filter: &ExecutionFilter,
        window: Window,
    ) -> Result<Part<Execution>, StoreError> {
        let limit = self.part_limit(window.limit);
        let filter = FilterColumns::of(filter)?;
        let mut values = filter.values();
        values.extend(values! {
            "executable_id": executable, "before_id": window.beyond, "limit": limit, "offset": window.offset,
        });
        let measure = |execution: &Execution| (execution.id, execution.message.len());
        self.read(|session| {
            session.part(sql!("executions/find_of_executable"), &values, limit, execution_of, measure)
        })
    }
}

/// What a step of a search leaves to do.
enum Step {
    /// Nothing; the next page begins before this execution.
    Done(Option<Id>),
    /// Continue before this execution.
    From(Id),
}

/// Searches the newest `budget` executions before `before`, by primary key.
fn search_all(
    session: &Session<'_>,
    columns: &FilterColumns<'_>,
    before: Id,
    limit: u32,
    budget: u32,
    search: &mut Search,
) -> Result<Step, StoreError> {
    let values = values! { "before_id": before, "budget": budget.saturating_sub(1) };
    let floor: Option<Id> = session.first(sql!("executions/floor"), values, |row| row.get("id"))?;
    let wanted = limit - search.rows.len() as u32;
    let mut values = columns.values();
    values.extend(values! { "before_id": before, "floor_id": floor.unwrap_or(0), "limit": wanted });
    search.rows.extend(session.rows(sql!("executions/find"), &values, listed_execution_of)?);
    let last = search.rows.last().map(|row| row.execution.id).filter(|_| search.rows.len() == limit as usize);
    let from = last.or(floor);
    let values = values! { "before_id": before, "from_id": from.unwrap_or(0) };
    let total: u32 = session.one(sql!("executions/count_between"), values, |row| row.get("total"))?;
    search.looked_at += total;
    Ok(match (last, floor) {
        (Some(last), _) => Step::Done(Some(last)),
        (None, Some(floor)) => Step::From(floor),
        (None, None) => Step::Done(None),
    })
}

/// Searches along an index, in growing steps. Returns where the next page begins.
fn search_by(
    session: &Session<'_>,
    walk: &Walk,
    columns: &FilterColumns<'_>,
    before: Id,
    limit: u32,
    search: &mut Search,
) -> Result<Option<Id>, StoreError> {
    let mut before = before;
    let budget = walk.budget.max(limit);
    let mut step = FIRST_LOOK.max(limit);
    loop {
        step = step.min(budget.saturating_sub(search.looked_at));
        let mut values = columns.values();
        values.extend(values! { "owners": walk.owners.as_ref(), "before_id": before, "limit": step });
        let ids: Vec<Id> = session.rows(walk.statement, &values, |row| row.get("id"))?;
        let wanted = limit - search.rows.len() as u32;
        let among = json_array(ids.iter())?;
        let mut values = columns.values();
        values.extend(values! { "ids": &among, "limit": wanted });
        search.rows.extend(session.rows(sql!("executions/find_among"), &values, listed_execution_of)?);
        if search.rows.len() == limit as usize {
            let last = search.rows.last().map_or(0, |row| row.execution.id);
            search.looked_at += ids.iter().filter(|id| **id >= last).count() as u32;
            return Ok(Some(last));
        }
        search.looked_at += ids.len() as u32;
        match ids.last() {
            Some(id) if ids.len() == step as usize => before = *id,
            _ => return Ok(None),
        }
        if search.looked_at >= budget {
            return Ok(Some(before));
        }
        step = step.saturating_mul(STEP_GROWTH);
    }
}

/// The index of the jobs, calls or schedules that the filter names.
fn walk_of_owners(session: &Session<'_>, columns: &FilterColumns<'_>) -> Result<Option<Walk>, StoreError> {
    let (ids, walk) = match (&columns.executables, &columns.schedules) {
        (Some(guids), _) => {
            (ids_of(session, sql!("executables/ids_among"), guids)?, sql!("executions/ids_of_executables"))
        }
        (None, Some(guids)) => {
            (ids_of(session, sql!("schedules/ids_among"), guids)?, sql!("executions/ids_of_schedules"))
        }
        (None, None) => return Ok(None),
    };
    Walk::of(walk, &ids).map(Some)
}

/// The index that fits what the filter asks for, if one has few other executions.
fn walk_of_filter(
    session: &Session<'_>,
    filter: &ExecutionFilter,
    columns: &FilterColumns<'_>,
) -> Result<Option<Walk>, StoreError> {
    let count = |statement, limit: u32| {
        let mut values = columns.values();
        values.extend(values! { "limit": limit + 1 });
        session.one(statement, &values, |row| row.get::<u32>("total")).map(|total| total <= limit)
    };
    if filter.created_after.or(filter.created_before).is_some()
        && count(sql!("executions/count_created"), LOOKED_AT_MAX)?
    {
        return Ok(Some(Walk::by(sql!("executions/ids_created"), LOOKED_AT_MAX)));
    }
    let is_unsuccessful = !filter.states.is_empty() && !filter.states.contains(&ExecutionState::Succeeded);
    let has_ended_in = filter.ended_after.or(filter.ended_before).is_some();
    if (is_unsuccessful || has_ended_in) && count(sql!("executions/count_unfinished"), UNFINISHED_MAX)? {
        if has_ended_in && count(sql!("executions/count_ended"), LOOKED_AT_MAX)? {
            return Ok(Some(Walk::by(sql!("executions/ids_ended"), LOOKED_AT_MAX)));
        }
        if is_unsuccessful {
            return Ok(Some(Walk::by(sql!("executions/ids_unsuccessful"), SCATTERED_MAX)));
        }
    }
    let few = match (&filter.name, &columns.spaces, filter.kind) {
        (Some(_), _, _) => sql!("executables/ids_named"),
        (None, Some(_), _) => sql!("executables/ids_in_spaces"),
        (None, None, Some(_)) => sql!("executables/ids_of_kind"),
        (None, None, None) => return Ok(None),
    };
    let kinds = filter.kind.map_or(vec![Kind::Job, Kind::Call], |kind| vec![kind]);
    let kinds = json_array(kinds.into_iter().map(Kind::as_str))?;
    let mut values = columns.values();
    values.extend(values! { "kinds": &kinds, "limit": MERGED_MAX + 1 });
    let ids: Vec<Id> = session.rows(few, &values, |row| row.get("id"))?;
    if ids.len() > MERGED_MAX as usize {
        return Ok(None);
    }
    Walk::of(sql!("executions/ids_of_executables"), &ids).map(Some)
}

/// The ids of what has these guids.
fn ids_of(session: &Session<'_>, statement: &'static Statement, guids: &str) -> Result<Vec<Id>, StoreError> {
    session.rows(statement, values! { "guids": guids }, |row| row.get("id"))
}

/// The pattern of LIKE for what contains `text`.
fn pattern_of(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.chars() {
        if matches!(character, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// A filter as parameters of the statements.
struct FilterColumns<'a> {
    filter: &'a ExecutionFilter,
    spaces: Option<String>,
    states: Option<String>,
    reasons: Option<String>,
    executables: Option<String>,
    schedules: Option<String>,
    name_pattern: Option<String>,
}

impl<'a> FilterColumns<'a> {
    fn of(filter: &'a ExecutionFilter) -> Result<Self, StoreError> {
        let some = |words: Vec<&str>| match words.is_empty() {
            true => Ok(None),
            false => json_array(words.into_iter()).map(Some),
        };
        let guids = |guids: &'a [Guid]| some(guids.iter().map(Guid::as_str).collect());
        Ok(Self {
            filter,
            spaces: spaces_json(filter.spaces.as_deref())?,
            states: some(filter.states.iter().map(|state| state.as_str()).collect())?,
            reasons: some(filter.reasons.iter().map(|reason| reason.as_str()).collect())?,
            executables: guids(&filter.executables)?,
            schedules: guids(&filter.schedules)?,
            name_pattern: filter.name.as_deref().map(pattern_of),
        })
    }

    fn values(&self) -> Vec<Named<'_>> {
        let filter = self.filter;
        values! {
            "spaces": self.spaces.as_ref(), "states": self.states.as_ref(), "reasons": self.reasons.as_ref(),
            "executables": self.executables.as_ref(), "schedules": self.schedules.as_ref(),
            "selector": filter.selector.as_ref().map(|selector| &selector.requirements),
            "takes_unlabelled": filter.selector.as_ref().map(|selector| selector.takes_unlabelled),
            "kind": filter.kind.map(Kind::as_str), "name_pattern": self.name_pattern.as_ref(),
            "schedule_id": filter.schedule, "by_schedule": filter.by_schedule,
            "created_after": filter.created_after,
            "created_before": filter.created_before, "ended_after": filter.ended_after,
            "ended_before": filter.ended_before,
            "with_failed": filter.states.contains(&ExecutionState::Failed),
            "with_skipped": filter.states.contains(&ExecutionState::Skipped),
        }
        .to_vec()
    }
}
