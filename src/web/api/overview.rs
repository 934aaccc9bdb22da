//! Views across jobs and calls: the executions of a space, and upcoming fire times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::Api;
use super::audit::By;
use super::error::ApiError;
use super::executables::shown;
use super::executions::ExecutionJson;
use super::output::offset_of;
use super::page::{base_url, to_json, whole_number};
use super::query::Query;
use super::selector::selector_of;
use super::versions;
use super::violation::Violation;
use crate::engine::journal;
use crate::fire_times::{Calendar, local};
use crate::http::{Request, Response, respond_with};
use crate::model::{ExecutionState, Guid, Id, Kind, Reason, Timestamp};
use crate::store::{
    Attempt, Cancelled, ExecutionFilter, FoundExecutions, Listed, ListedExecution, Overdue, Target,
    UpcomingSchedule,
};
use crate::web::auth::Caller;

const PER_PAGE: u64 = 50;
const PER_PAGE_MAX: u64 = 500;
const UPCOMING: u64 = 100;
const UPCOMING_MAX: u64 = 1000;
/// How far ahead `/upcoming` looks by default.
const AHEAD: Duration = Duration::from_secs(24 * 60 * 60);
/// The most fire times of one schedule in `/upcoming`.
const OF_ONE_SCHEDULE_MAX: usize = 20;
/// The most guids in one parameter.
const GUIDS_MAX: usize = 100;

const EXECUTION_PARAMETERS: [&str; 15] = [
    "space_guid",
    "name",
    "label_selector",
    "states",
    "reasons",
    "kinds",
    "job_guids",
    "call_guids",
    "schedule_guids",
    "triggers",
    "created_ats[gt]",
    "created_ats[lt]",
    "ended_ats[gt]",
    "ended_ats[lt]",
    "per_page",
];
/// The parameter for the start of a page, which clients take from the link.
const CURSOR: &str = "cursor";
/// The most schedules of paused spaces whose fire times after the pause are looked for.
const RESUMING_MAX: u32 = 5_000;

/// An execution with its job or call.
#[derive(Serialize)]
struct ListedJson {
    #[serde(flatten)]
    execution: ExecutionJson,
    kind: &'static str,
    name: String,
    app_guid: String,
    space_guid: String,
    created_at: String,
    trigger: &'static str,
    /// Who started it by hand.
    requested_by: Option<String>,
    /// The number of attempts that have begun.
    attempts: u32,
    cancel_requested_at: Option<String>,
}

/// A single execution, with its attempts.
#[derive(Serialize)]
struct WholeJson {
    #[serde(flatten)]
    listed: ListedJson,
    attempt_history: Vec<AttemptJson>,
}

#[derive(Serialize)]
struct AttemptJson {
    number: u32,
    start_time: Option<String>,
    end_time: Option<String>,
    task_guid: Option<String>,
    message: String,
}

impl AttemptJson {
    fn of(attempt: Attempt) -> Self {
        Self {
            number: attempt.number,
            start_time: shown(attempt.start_time),
            end_time: shown(attempt.end_time),
            task_guid: attempt.task.map(|task| task.to_string()),
            message: attempt.message,
        }
    }
}

impl ListedJson {
    fn of(listed: ListedExecution) -> Self {
        let attempts = listed.attempts();
        let ListedExecution { execution, created_at, of, cancel_requested_at, .. } = listed;
        let trigger = if execution.scheduled_time.is_some() { "schedule" } else { "manual" };
        let requested_by = Some(execution.requested_by.clone()).filter(|name| !name.is_empty());
        Self {
            attempts,
            requested_by,
            cancel_requested_at: shown(cancel_requested_at),
            execution: ExecutionJson::of(execution, of.kind, &of.guid),
            kind: of.kind.as_str(),
            name: of.name,
            app_guid: of.app.to_string(),
            space_guid: of.space.to_string(),
            created_at: created_at.to_string(),
            trigger,
        }
    }
}

#[derive(Serialize)]
struct PageJson {
    pagination: CursorJson,
    resources: Vec<ListedJson>,
}

/// The pagination of a list without page numbers.
#[derive(Serialize)]
pub(super) struct CursorJson {
    total_pages: u64,
    /// The number of executions examined.
    total_results: u64,
    first: LinkJson,
    last: Option<LinkJson>,
    next: Option<LinkJson>,
    previous: Option<LinkJson>,
    more: bool,
}

impl CursorJson {
    /// For a page that `next` continues.
    pub(super) fn of(request: &Request, query: &Query, looked_at: u64, next: Option<Id>) -> Self {
        Self {
            total_pages: 1,
            total_results: looked_at,
            first: LinkJson { href: href(request, query, None) },
            last: None,
            next: next.map(|next| LinkJson { href: href(request, query, Some(next)) }),
            previous: None,
            more: next.is_some(),
        }
    }
}

#[derive(Serialize)]
struct LinkJson {
    href: String,
}

#[derive(Serialize)]
struct UpcomingJson {
    resources: Vec<FireTimeJson>,
}

/// The job or call of a list's row.
#[derive(Serialize)]
pub(super) struct OwnerJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    job_guid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_guid: Option<String>,
    name: String,
    app_guid: String,
    space_guid: String,
}

impl OwnerJson {
    pub(super) fn of(listed: &Listed) -> Self {
        let Listed { kind, guid, name, app, space } = listed;
        Self {
            job_guid: (*kind == Kind::Job).then(|| guid.to_string()),
            call_guid: (*kind == Kind::Call).then(|| guid.to_string()),
            name: name.clone(),
            app_guid: app.to_string(),
            space_guid: space.to_string(),
        }
    }
}

/// An upcoming fire time.
#[derive(Serialize)]
struct FireTimeJson {
    fire_time: String,
    /// The fire time in the time zone of the schedule.
    local_time: String,
    schedule_guid: String,
    #[serde(flatten)]
    of: OwnerJson,
    /// Whether the schedule fires more often than shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more_of_this: bool,
}

impl FireTimeJson {
    /// `calendar` belongs to the schedule; `None`: its expression is no longer valid.
    fn of(time: Timestamp, schedule: &UpcomingSchedule, calendar: Option<&Calendar>) -> Self {
        Self {
            fire_time: time.to_string(),
            local_time: calendar.map_or_else(|| time.to_string(), |it| local(it.expression(), time)),
            schedule_guid: schedule.guid.to_string(),
            of: OwnerJson::of(&schedule.of),
            more_of_this: false,
        }
    }
}

/// An overdue job or call.
#[derive(Serialize)]
struct OverdueJson {
    overdue_since: String,
    expect_success_within_seconds: u32,
    #[serde(flatten)]
    of: OwnerJson,
}

impl OverdueJson {
    fn of(overdue: &Overdue) -> Self {
        let within = Duration::from_secs(overdue.within_seconds.into());
        Self {
            overdue_since: overdue.expected_since.saturating_add(within).to_string(),
            expect_success_within_seconds: overdue.within_seconds,
            of: OwnerJson::of(&overdue.of),
        }
    }
}

impl Api {
    /// Executions that match the query, newest first, in pages.
    pub(super) fn find_executions(
        &self,
        caller: &Caller,
        request: &Request,
        query: &Query,
    ) -> Result<Response, ApiError> {
        for name in query.names() {
            if !EXECUTION_PARAMETERS.contains(&name) && name != CURSOR {
                return Err(unknown_parameter(name, &EXECUTION_PARAMETERS).into());
            }
        }
        let (filter, matches_none) = filter_of(query)?;
        let filter = ExecutionFilter { spaces: self.requested_spaces(caller, query)?, ..filter };
        let per_page = query.get("per_page").map(|it| whole_number(it, "per_page", (1, PER_PAGE_MAX)));
        let per_page = u32::try_from(per_page.transpose()?.unwrap_or(PER_PAGE)).unwrap_or(u32::MAX);
        let before = query.get(CURSOR).map(|it| whole_number(it, CURSOR, (1, u64::MAX))).transpose()?;
        let before = before.map_or(Id::MAX, |before| Id::try_from(before).unwrap_or(Id::MAX));
        let found = match matches_none {
            true => FoundExecutions { rows: Vec::new(), looked_at: 0, next: None },
            false => self.store.find_executions(&filter, before, per_page)?,
        };
        let page = PageJson {
            pagination: CursorJson::of(request, query, found.looked_at, found.next),
            resources: found.rows.into_iter().map(ListedJson::of).collect(),
        };
        Ok(respond_with(200, "application/json", to_json(&page)?))
    }

    /// One execution of any job or call.
    pub(super) fn find_execution(&self, caller: &Caller, guid: &str) -> Result<Response, ApiError> {
        let found = self.found(caller, guid)?;
        self.whole(200, found)
    }

    /// Requests the cancellation of an execution.
    pub(super) fn cancel_execution(
        &self,
        caller: &Caller,
        guid: &str,
        request: &Request,
    ) -> Result<Response, ApiError> {
        let found = self.found(caller, guid)?;
        let target = Target { guid: guid.to_owned(), kind: "execution", name: found.of.name.clone() };
        let by = By::of(caller, request);
        let data = || json!({ found.of.kind.as_str(): { "guid": found.of.guid.as_str() } });
        let event = self.event(by, "execution.cancel", target, &found.of.space, data);
        let message = cancelled_by(caller);
        match self.store.cancel_execution(found.execution.id, &message, self.clock.now(), event.as_ref())? {
            Cancelled::Gone => return Err(ApiError::NotFound),
            Cancelled::HasEnded(state) => {
                let detail = format!("has ended as {}, so it cannot be cancelled", state.as_str());
                let expected = "an execution that is PENDING or RUNNING";
                return Err(Violation::new("execution", "state", detail, expected).into());
            }
            Cancelled::Before => {}
            Cancelled::Ended(it) => {
                journal::cut_off(&it, &message);
                // Another execution may wait for it, and a task may have been created.
                self.wake_scheduler();
                self.wake_watcher();
            }
            Cancelled::Requested(id) => {
                self.calls_in_flight.abort(&[id]);
                self.wake_watcher();
            }
        }
        let found = self.found(caller, guid)?;
        self.whole(202, found)
    }

    /// The output of an attempt's task: of the last attempt, or the one in the query.
    pub(super) fn execution_output(
        &self,
        caller: &Caller,
        guid: &str,
        request: &Request,
        query: &Query,
    ) -> Result<Response, ApiError> {
        let offset = offset_of(query)?;
        let found = self.found(caller, guid)?;
        let last = found.execution.attempt;
        let wanted =
            query.get("attempt").map(|it| whole_number(it, "attempt", (1, last.into()))).transpose()?;
        let attempt = match wanted {
            Some(number) if number < last.into() => {
                let attempts = self.store.attempts_before(found.execution.id)?;
                attempts.into_iter().find(|attempt| u64::from(attempt.number) == number)
            }
            Some(_) => found.last_attempt(),
            None => self.latest_attempt(&found)?,
        };
        self.output(&found, attempt, request, offset)
    }

    /// The execution, if it exists and the caller may work in its space.
    fn found(&self, caller: &Caller, guid: &str) -> Result<ListedExecution, ApiError> {
        let guid = Guid::from_outside(guid).ok_or(ApiError::NotFound)?;
        let found = self.store.find_execution(guid.as_str())?;
        let nowhere = Guid::from("");
        self.access(caller, found.as_ref().map_or(&nowhere, |it| &it.of.space))?;
        found.ok_or(ApiError::NotFound)
    }

    fn whole(&self, status: u16, found: ListedExecution) -> Result<Response, ApiError> {
        let mut attempts = self.store.attempts_before(found.execution.id)?;
        attempts.extend(found.last_attempt());
        let attempt_history = attempts.into_iter().map(AttemptJson::of).collect();
        versions::object(status, &WholeJson { listed: ListedJson::of(found), attempt_history })
    }

    /// Overdue jobs and calls, the longest overdue first.
    pub(super) fn overdue(&self, caller: &Caller, query: &Query) -> Result<Response, ApiError> {
        const PARAMETERS: [&str; 2] = ["space_guid", "limit"];
        if let Some(name) = query.names().find(|name| !PARAMETERS.contains(name)) {
            return Err(unknown_parameter(name, &PARAMETERS).into());
        }
        let limit = query.get("limit").map(|it| whole_number(it, "limit", (1, UPCOMING_MAX))).transpose()?;
        let limit = u32::try_from(limit.unwrap_or(UPCOMING)).unwrap_or(u32::MAX);
        let spaces = self.requested_spaces(caller, query)?;
        let found = self.store.overdue(spaces.as_deref(), self.clock.now(), limit)?;
        let mut resources: Vec<OverdueJson> = found.iter().map(OverdueJson::of).collect();
        resources.sort_by(|one, other| {
            (&one.overdue_since, &one.of.name).cmp(&(&other.overdue_since, &other.of.name))
        });
        Ok(respond_with(200, "application/json", to_json(&json!({ "resources": resources }))?))
    }

    /// The next fire times of all schedules, in order.
    pub(super) fn upcoming(&self, caller: &Caller, query: &Query) -> Result<Response, ApiError> {
        const PARAMETERS: [&str; 3] = ["space_guid", "until", "limit"];
        if let Some(name) = query.names().find(|name| !PARAMETERS.contains(name)) {
            return Err(unknown_parameter(name, &PARAMETERS).into());
        }
        let now = self.clock.now();
        let until = instant(query, "until")?.unwrap_or_else(|| now.saturating_add(AHEAD));
        let limit = query.get("limit").map(|it| whole_number(it, "limit", (1, UPCOMING_MAX))).transpose()?;
        let limit = usize::try_from(limit.unwrap_or(UPCOMING)).unwrap_or(usize::MAX);
        let spaces = self.requested_spaces(caller, query)?;
        let spaces = spaces.as_deref();
        let most = u32::try_from(limit).unwrap_or(u32::MAX);
        let mut schedules = self.store.upcoming_schedules(spaces, now, until, most)?;
        // After the pause, they may fire in another order.
        schedules.extend(self.store.resuming_schedules(spaces, now, until, RESUMING_MAX)?);
        let resources = merged(&schedules, now, until, limit);
        Ok(respond_with(200, "application/json", to_json(&UpcomingJson { resources })?))
    }
}

/// The message of an execution that this caller cancels.
pub(super) fn cancelled_by(caller: &Caller) -> String {
    format!("cancelled by {}", caller.name)
}

/// The first fire times of these schedules in order, from `now` to `until`.
fn merged(
    schedules: &[UpcomingSchedule],
    now: Timestamp,
    until: Timestamp,
    limit: usize,
) -> Vec<FireTimeJson> {
    let mut calendars: Vec<Option<Calendar>> = schedules.iter().map(|_| None).collect();
    let mut shown: Vec<(usize, usize)> = vec![(0, 0); schedules.len()];
    let mut next = BinaryHeap::new();
    for (index, schedule) in schedules.iter().enumerate() {
        let first = match schedule.paused_until {
            Some(paused_until) if schedule.next_fire_time < paused_until && now < paused_until => {
                calendars[index] = Calendar::of(&schedule.timing, &schedule.of.guid).ok();
                let before = paused_until.shifted(-1);
                calendars[index]
                    .as_ref()
                    .and_then(|calendar| calendar.continued_after(schedule.next_fire_time, before))
            }
            _ => Some(schedule.next_fire_time),
        };
        next.extend(first.filter(|first| *first <= until).map(|first| Reverse((first, index))));
    }
    let mut resources: Vec<FireTimeJson> = Vec::new();
    while let Some(Reverse((time, index))) = next.pop() {
        let (count, last) = &mut shown[index];
        if *count == OF_ONE_SCHEDULE_MAX {
            resources[*last].more_of_this = true;
            continue;
        }
        if resources.len() == limit {
            break;
        }
        (*count, *last) = (*count + 1, resources.len());
        let calendar = match &calendars[index] {
            Some(calendar) => Some(calendar),
            None => {
                let schedule = &schedules[index];
                calendars[index] = Calendar::of(&schedule.timing, &schedule.of.guid).ok();
                calendars[index].as_ref()
            }
        };
        resources.push(FireTimeJson::of(time, &schedules[index], calendar));
        let following = calendar.and_then(|calendar| calendar.next_after(time));
        next.extend(following.filter(|it| *it <= until).map(|it| Reverse((it, index))));
    }
    resources
}

/// The filter of a history in the query; `None`: no filter.
pub(super) fn filter_of_history(query: &Query) -> Result<Option<ExecutionFilter>, ApiError> {
    const PARAMETERS: [&str; 7] = [
        "states",
        "triggers",
        "reasons",
        "created_ats[gt]",
        "created_ats[lt]",
        "ended_ats[gt]",
        "ended_ats[lt]",
    ];
    if !query.names().any(|name| PARAMETERS.contains(&name)) {
        return Ok(None);
    }
    let triggers = choices(query, "triggers", &TRIGGERS)?;
    Ok(Some(ExecutionFilter {
        states: choices(query, "states", &states())?,
        reasons: choices(query, "reasons", &reasons())?,
        by_schedule: if let [trigger] = triggers.as_slice() { Some(*trigger) } else { None },
        created_after: instant(query, "created_ats[gt]")?,
        created_before: instant(query, "created_ats[lt]")?,
        ended_after: instant(query, "ended_ats[gt]")?,
        ended_before: instant(query, "ended_ats[lt]")?,
        ..ExecutionFilter::default()
    }))
}

const TRIGGERS: [(&str, bool); 2] = [("schedule", true), ("manual", false)];

fn states() -> [(&'static str, ExecutionState); ExecutionState::ALL.len()] {
    ExecutionState::ALL.map(|state| (state.as_str(), state))
}

fn reasons() -> [(&'static str, Reason); Reason::ALL.len()] {
    Reason::ALL.map(|reason| (reason.as_str(), reason))
}

/// The filter in the query, and whether nothing can match it.
fn filter_of(query: &Query) -> Result<(ExecutionFilter, bool), ApiError> {
    let states = choices(query, "states", &states())?;
    let reasons = choices(query, "reasons", &reasons())?;
    let kinds = choices(query, "kinds", &[("job", Kind::Job), ("call", Kind::Call)])?;
    let triggers = choices(query, "triggers", &TRIGGERS)?;
    let one = |kinds: Vec<Kind>| if let [kind] = kinds.as_slice() { Some(*kind) } else { None };
    let (jobs, calls) = (guids(query, "job_guids")?, guids(query, "call_guids")?);
    let kind = one(kinds);
    let by_guid = if jobs.is_some() && calls.is_none() {
        Some(Kind::Job)
    } else if calls.is_some() && jobs.is_none() {
        Some(Kind::Call)
    } else {
        None
    };
    let selector = query.get("label_selector").map(selector_of).transpose()?;
    let filter = ExecutionFilter {
        spaces: None,
        schedule: None,
        name: query.get("name").map(name_of).transpose()?,
        selector,
        states,
        reasons,
        kind: kind.or(by_guid),
        executables: jobs.into_iter().chain(calls).flatten().collect(),
        schedules: guids(query, "schedule_guids")?.unwrap_or_default(),
        by_schedule: if let [trigger] = triggers.as_slice() { Some(*trigger) } else { None },
        created_after: instant(query, "created_ats[gt]")?,
        created_before: instant(query, "created_ats[lt]")?,
        ended_after: instant(query, "ended_ats[gt]")?,
        ended_before: instant(query, "ended_ats[lt]")?,
    };
    let matches_none = kind.zip(by_guid).is_some_and(|(kind, by_guid)| kind != by_guid);
    Ok((filter, matches_none))
}

/// A part of a name. Names have at most 255 characters.
fn name_of(text: &str) -> Result<String, Violation> {
    match (1..=255).contains(&text.chars().count()) && !text.contains('\0') {
        true => Ok(text.to_owned()),
        false => Err(Violation::new("name", "length", "is no part of a name", "1 to 255 characters")),
    }
}

/// The values of a comma-separated list, each of which must be a known word.
pub(super) fn choices<T: Copy + PartialEq>(
    query: &Query,
    name: &'static str,
    known: &[(&str, T)],
) -> Result<Vec<T>, Violation> {
    let Some(text) = query.get(name) else { return Ok(Vec::new()) };
    let mut chosen = Vec::new();
    for word in text.split(',') {
        let Some((_, value)) = known.iter().find(|(name, _)| *name == word) else {
            let words: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let detail = format!("has {word:?}, which is none of them");
            return Err(Violation::new(name, "value", detail, format!("some of {}", words.join(", "))));
        };
        if !chosen.contains(value) {
            chosen.push(*value);
        }
    }
    Ok(chosen)
}

pub(super) fn guids(query: &Query, name: &'static str) -> Result<Option<Vec<Guid>>, Violation> {
    let Some(text) = query.get(name) else { return Ok(None) };
    let expected = format!("1 to {GUIDS_MAX} guids, separated by commas");
    let guids: Option<Vec<Guid>> = text.split(',').map(Guid::from_outside).collect();
    match guids {
        Some(guids) if guids.len() <= GUIDS_MAX => Ok(Some(guids)),
        Some(_) => Err(Violation::new(name, "count", format!("has more than {GUIDS_MAX} guids"), expected)),
        None => Err(Violation::new(name, "form", "has something that is not a guid", expected)),
    }
}

pub(super) fn instant(query: &Query, name: &'static str) -> Result<Option<Timestamp>, Violation> {
    let Some(text) = query.get(name) else { return Ok(None) };
    let expected = "an instant as in RFC 3339, for example 2026-05-20T00:00:00Z (a + is %2B in a query)";
    let time = Timestamp::parse(text).ok_or_else(|| {
        let detail = "is no time in the form of RFC 3339, or beyond the years 1678 to 2261";
        Violation::new(name, "form", detail, expected)
    })?;
    Ok(Some(time))
}

pub(super) fn unknown_parameter(name: &str, known: &[&str]) -> Violation {
    let shown: String = name.chars().take(60).collect();
    let detail = match name {
        "page" => "has page, but this list has no numbered pages: follow next.href".to_owned(),
        _ => format!("has {shown:?}, which is no parameter here"),
    };
    Violation::new("query", "unknown", detail, format!("some of {}", known.join(", ")))
}

/// The absolute URL of the page that begins before an execution, or of the first one.
fn href(request: &Request, query: &Query, before: Option<Id>) -> String {
    let mut parts: Vec<String> = query
        .raw()
        .iter()
        .filter(|(name, _)| *name != CURSOR)
        // The query of a URI cannot contain brackets.
        .map(|(name, value)| format!("{name}={value}").replace('[', "%5B").replace(']', "%5D"))
        .collect();
    parts.extend(before.map(|before| format!("{CURSOR}={before}")));
    let separator = if parts.is_empty() { "" } else { "?" };
    format!("{}{}{separator}{}", base_url(request), request.path, parts.join("&"))
}
