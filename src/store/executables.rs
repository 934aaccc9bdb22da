//! Jobs and calls. They share a table because they differ only in what they do.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::audit::{self, NewEvent};
use super::outbox::{self, after_seconds};
use super::session::{Row, Session};
use super::statement::{Cell, Column, Named, Value, batched_sql, json_array, postgres_sql, sql, values};
use super::{Extent, Part, Store, StoreError, Terms, Window};
use crate::model::{
    Call, ConcurrencyPolicy, Controls, Dialect, Executable, ExecutionState, Guid, Headers, Id, JobState,
    Kind, Metadata, Method, MisfirePolicy, RetryPolicy, Secret, Statuses, Timestamp, Work,
};

/// A new job or call.
#[derive(Debug, Clone)]
pub struct NewExecutable {
    /// Its name.
    pub name: String,
    /// The app in whose context it runs.
    pub app: Guid,
    /// That app's space.
    pub space: Guid,
    /// What it does.
    pub work: Work,
    /// How its runs are controlled.
    pub controls: Controls,
}

/// Which jobs or calls to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// In which spaces.
    pub scope: Scope,
    /// Which labels; `None`: any.
    pub selector: Option<LabelSelector>,
}

/// A label selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSelector {
    /// [`Needles`] as JSON.
    pub requirements: String,
    /// Whether it matches objects without labels.
    pub takes_unlabelled: bool,
}

/// Texts to look for in the stored JSON of labels, which has no blanks between tokens. It has no escapes
/// either, because labels contain no characters that JSON escapes. All three requirements must hold.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Needles {
    /// All of these occur.
    pub present: Vec<String>,
    /// None of these occurs.
    pub absent: Vec<String>,
    /// At least one of each list occurs.
    pub choices: Vec<Vec<String>>,
}

impl From<Scope> for Selection {
    fn from(scope: Scope) -> Self {
        Self { scope, selector: None }
    }
}

/// In which spaces to list jobs or calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All spaces.
    All,
    /// One space.
    Space(Guid),
    /// Several spaces.
    Spaces(Vec<Guid>),
}

/// What happened to the executions of a deleted job or call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// The number of PENDING ones, which never begin.
    pub waiting: u64,
    /// Running ones that are to be cancelled.
    pub cancelled: Vec<Id>,
}

/// What a list shows of a job or call besides its own columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The earliest fire time of its schedules, even while they are paused.
    pub next_fire_time: Option<Timestamp>,
    /// The newest execution that was not skipped.
    pub last: Option<LastExecution>,
}

/// The latest execution, as lists of jobs and calls show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastExecution {
    /// Its guid.
    pub guid: Guid,
    /// Its state.
    pub state: ExecutionState,
    /// When it ended; `None`: not yet.
    pub end_time: Option<Timestamp>,
}

/// The result of a write that may lose a race.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written<T> {
    /// Written.
    Done(T),
    /// Another one of this kind has this name in the app.
    NameTaken,
    /// Its object was changed or deleted meanwhile.
    Gone,
    /// The space has as many of this kind as it may have.
    OverQuota,
}

impl<T> Written<T> {
    /// The value, if it was written.
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(written) => Some(written),
            Self::NameTaken | Self::Gone | Self::OverQuota => None,
        }
    }
}

impl Store {
    /// Creates a job or call. Never returns `Gone`.
    pub fn create_executable(
        &self,
        new: &NewExecutable,
        now: Timestamp,
        terms: &Terms<'_>,
    ) -> Result<Written<Executable>, StoreError> {
        let guid = Guid::random();
        let columns = Columns::of(&new.work, &new.controls)?;
        let mut values = columns.values();
        values.extend(values! {
            "guid": &guid, "kind": new.work.kind().as_str(), "name": &new.name,
            "app_guid": &new.app, "space_guid": &new.space, "now": now,
        });
        let event = audit::Columns::of(terms.event, Some(&guid));
        values.extend(event.values());
        let insert = |tx: &Session<'_>| -> Result<Option<Id>, StoreError> {
            let id = tx.first(batched_sql!("executables/insert"), &values, |row| row.get("id"))?;
            if id.is_some() {
                audit::record_apart(tx, terms.event, Some(&guid), now)?;
            }
            Ok(id)
        };
        let expected_within = new.controls.expect_success_within_seconds;
        let id = match (expected_within, terms.quota) {
            (None, None) => self.write_in_group(insert)?,
            _ => {
                let id = self.write(|tx| {
                    let values = values! { "kind": new.work.kind().as_str(), "space_guid": &new.space };
                    let count = |tx: &Session<'_>| {
                        tx.one(sql!("executables/count_in_space"), values, extent_of).map(|it| it.total)
                    };
                    if !terms.has_room(tx, &new.space, count)? {
                        return Ok(None);
                    }
                    let id: Option<Id> = insert(tx)?;
                    if let (Some(id), Some(seconds)) = (id, expected_within) {
                        let due_at = after_seconds(now, seconds);
                        let values = values! { "executable_id": id, "since": now, "due_at": due_at };
                        tx.execute(sql!("streaks/insert"), values)?;
                    }
                    Ok(Some(id))
                })?;
                let Some(id) = id else { return Ok(Written::OverQuota) };
                id
            }
        };
        Ok(match id {
            None => Written::NameTaken,
            Some(id) => Written::Done(Executable {
                id,
                guid,
                name: new.name.clone(),
                app: new.app.clone(),
                space: new.space.clone(),
                created_at: now,
                updated_at: now,
                work: new.work.clone(),
                controls: new.controls.clone(),
            }),
        })
    }

    /// The job or call with this name in this app.
    pub fn executable_named(
        &self,
        kind: Kind,
        app: &Guid,
        name: &str,
    ) -> Result<Option<Executable>, StoreError> {
        let values = values! { "app_guid": app, "kind": kind.as_str(), "name": name };
        self.read(|session| session.first(sql!("executables/by_name"), values, executable_of))
    }

    /// The job or call with this guid.
    pub fn executable(&self, kind: Kind, guid: &str) -> Result<Option<Executable>, StoreError> {
        let values = values! { "guid": guid, "kind": kind.as_str() };
        self.read_in_group(|session| session.first(batched_sql!("executables/get"), values, executable_of))
    }

    /// The number of selected jobs or calls.
    pub fn count_executables(&self, kind: Kind, selection: &Selection) -> Result<Extent, StoreError> {
        let kind = kind.as_str();
        let spaces = selection.spaces()?;
        if let Some(selector) = &selection.selector {
            let values = values! {
                "kind": kind, "space_guids": spaces.as_ref(), "selector": &selector.requirements,
                "takes_unlabelled": selector.takes_unlabelled,
            };
            return self.read(|session| session.one(sql!("executables/count_selected"), values, extent_of));
        }
        self.read(|session| match &selection.scope {
            Scope::All => session.one(sql!("executables/count_all"), values! { "kind": kind }, extent_of),
            Scope::Space(space) => session.one(
                sql!("executables/count_in_space"),
                values! { "kind": kind, "space_guid": space },
                extent_of,
            ),
            Scope::Spaces(_) => session.one(
                sql!("executables/count_in_spaces"),
                values! { "kind": kind, "space_guids": spaces.as_ref() },
                extent_of,
            ),
        })
    }

    /// A part of the selected jobs or calls, oldest first.
    pub fn list_executables(
        &self,
        kind: Kind,
        selection: &Selection,
        window: Window,
    ) -> Result<Part<Executable>, StoreError> {
        let (spaces, limit) = (selection.spaces()?, self.part_limit(window.limit));
        let (statement, space) = match &selection.scope {
            _ if selection.selector.is_some() => (sql!("executables/select"), None),
            Scope::All => (sql!("executables/list_all"), None),
            Scope::Space(space) => (sql!("executables/list_in_space"), Some(space)),
            Scope::Spaces(_) => (sql!("executables/list_in_spaces"), None),
        };
        let values = values! {
            "kind": kind.as_str(), "space_guid": space, "space_guids": spaces.as_ref(),
            "selector": selection.selector.as_ref().map(|selector| &selector.requirements),
            "takes_unlabelled": selection.selector.as_ref().map(|selector| selector.takes_unlabelled),
            "after_id": window.beyond,
            "last_id": window.last, "limit": limit, "offset": window.offset,
        };
        self.read(|session| session.part(statement, values, limit, executable_of, measure))
    }

    /// The next fire time and latest execution of these jobs or calls.
    pub fn summaries(&self, executables: &[Id]) -> Result<HashMap<Id, Summary>, StoreError> {
        let ids = json_array(executables.iter())?;
        let read = |row: &Row<'_>| -> Result<(Id, Summary), StoreError> {
            let id = row.get("id")?;
            let next_fire_time = row.get("next_fire_time")?;
            let last = match row.get::<Option<Guid>>("guid")? {
                Some(guid) => {
                    Some(LastExecution { guid, state: row.get("state")?, end_time: row.get("end_time")? })
                }
                None => None,
            };
            Ok((id, Summary { next_fire_time, last }))
        };
        let found =
            self.read(|session| session.rows(sql!("executables/summaries"), values! { "ids": &ids }, read))?;
        Ok(found.into_iter().collect())
    }

    /// Writes a client's changes to a job or call: name, app, work (without the state) and controls.
    /// `changed` is what was read, with new values; its times are ignored. Returns the time of the change.
    pub fn update_executable(
        &self,
        changed: &Executable,
        now: Timestamp,
        event: Option<&NewEvent>,
    ) -> Result<Written<Timestamp>, StoreError> {
        let columns = Columns::of(&changed.work, &changed.controls)?;
        let updated_at = now.next_version(changed.updated_at);
        let mut values = columns.values();
        values.extend(values! {
            "id": changed.id, "name": &changed.name, "app_guid": &changed.app, "updated_at": updated_at,
            "seen_updated_at": changed.updated_at, "seen_state": state_of(&changed.work),
        });
        let expected_within = changed.controls.expect_success_within_seconds;
        let expectation = values! {
            "id": changed.id, "seen_updated_at": changed.updated_at,
            "seconds": expected_within.unwrap_or_default(), "since": expected_within.map(|_| now),
            "due_at": expected_within.map(|seconds| after_seconds(now, seconds)),
        };
        let written = self.write(|tx| {
            let is_expectation_changed = tx.execute(sql!("streaks/expect"), expectation)? == 1;
            let rows = tx.execute(sql!("executables/update"), &values)?;
            if rows == 1 {
                audit::record(tx, event, None, now)?;
            }
            if rows == 1 && is_expectation_changed {
                outbox::tell_expectation(tx, changed.id, now)?;
            }
            if changed.controls.paused {
                let values = values! { "executable_id": changed.id };
                tx.lock(postgres_sql!("schedules/lock_of_executable"), values)?;
            }
            Ok(rows)
        });
        self.note_told();
        match written {
            Ok(0) => Ok(Written::Gone),
            Ok(_) => Ok(Written::Done(updated_at)),
            // The unique index of names decides a race for the same name.
            Err(StoreError::Conflict) => Ok(Written::NameTaken),
            Err(err) => Err(err),
        }
    }

    /// Deletes a job or call with its schedules and executions, at once for every reader.
    /// [`Store::purge_deleted`] removes the rows later, in batches. Returns what happened to its executions.
    /// `cancelled_by`: cancel running executions with this message; `None`: leave them running. Returns
    /// `None` if it was changed since `seen` was read, or deleted.
    pub fn delete_executable(
        &self,
        seen: &Executable,
        cancelled_by: Option<&str>,
        now: Timestamp,
        event: Option<&NewEvent>,
    ) -> Result<Option<Deleted>, StoreError> {
        let values = values! {
            "id": seen.id, "now": now, "seen_updated_at": seen.updated_at,
            "seen_state": state_of(&seen.work),
        };
        let deleted = self.write(|tx| {
            let marked = tx.execute(sql!("executables/mark_deleted"), values)?;
            if marked == 1 {
                tx.execute(sql!("schedules/silence_executable"), values! { "executable_id": seen.id })?;
                outbox::tell_deleted(tx, seen.id, now)?;
                audit::record(tx, event, None, now)?;
                let values = values! { "executable_id": seen.id };
                let waiting =
                    tx.one(sql!("executions/pending_of_executable"), values, |row| row.get("waiting"))?;
                let cancelled = match cancelled_by {
                    Some(message) => cancel_running(tx, seen.id, message, now)?,
                    None => Vec::new(),
                };
                return Ok(Some(Deleted { waiting, cancelled }));
            }
            Ok(None)
        });
        self.note_told();
        deleted
    }
}

/// Requests the cancellation of all running executions of a job or call that is about to be deleted. Returns
/// them.
fn cancel_running(
    tx: &Session<'_>,
    executable: Id,
    message: &str,
    now: Timestamp,
) -> Result<Vec<Id>, StoreError> {
    let values = values! { "executable_id": executable, "now": now, "message": message };
    tx.execute(sql!("strays/insert_running"), values)?;
    tx.rows(sql!("executions/request_cancel_of_executable"), values, |row| row.get("id"))
}

/// The initial state of a job; a call has none.
fn state_of(work: &Work) -> Option<&'static str> {
    match work {
        Work::Job { state, .. } => Some(state.as_str()),
        Work::Call(_) => None,
    }
}

impl Selection {
    /// The spaces as a JSON array; `None`: all.
    fn spaces(&self) -> Result<Option<String>, StoreError> {
        let spaces = match &self.scope {
            Scope::All => return Ok(None),
            Scope::Space(space) => std::slice::from_ref(space),
            Scope::Spaces(spaces) => spaces,
        };
        json_array(spaces.iter().map(Guid::as_str)).map(Some)
    }
}

/// The columns of a job's or call's work and controls.
pub(super) struct Columns<'a> {
    work: &'a Work,
    controls: &'a Controls,
    headers: Option<String>,
    labels: Option<String>,
    annotations: Option<String>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(work: &'a Work, controls: &'a Controls) -> Result<Self, StoreError> {
        let headers = match work {
            Work::Job { .. } => None,
            Work::Call(call) => json_object(&call.headers.0)?,
        };
        Ok(Self {
            work,
            controls,
            headers,
            labels: json_object(&controls.metadata.labels)?,
            annotations: json_object(&controls.metadata.annotations)?,
        })
    }

    pub(super) fn values(&self) -> Vec<Named<'_>> {
        let Controls { concurrency_policy, retry, paused, expect_success_within_seconds, .. } = self.controls;
        let mut values = values! {
            "concurrency_policy": concurrency_policy.as_str(),
            "max_retries": retry.map(|retry| retry.max_retries),
            "backoff_seconds": retry.map(|retry| retry.backoff_seconds),
            "max_backoff_seconds": retry.map(|retry| retry.max_backoff_seconds),
            "max_age_seconds": retry.and_then(|retry| retry.max_age_seconds),
            "paused": *paused,
            "labels": self.labels.as_deref(),
            "annotations": self.annotations.as_deref(),
            "expect_success_within_seconds": *expect_success_within_seconds,
        }
        .to_vec();
        match self.work {
            Work::Job { command, disk_in_mb, memory_in_mb, log_rate_in_bps, state, timeout_seconds } => {
                values.extend(values! {
                    "command": command, "log_rate_in_bps": *log_rate_in_bps, "disk_in_mb": *disk_in_mb,
                    "memory_in_mb": *memory_in_mb,
                    "state": state.as_str(), "timeout_seconds": *timeout_seconds, "url": Value::Null,
                    "auth_header": Value::Null, "method": Value::Null, "headers": Value::Null,
                    "body": Value::Null,
                    "success_statuses": Value::Null, "signing_secret": Value::Null,
                })
            }
            Work::Call(call) => values.extend(values! {
                "command": Value::Null, "log_rate_in_bps": 0_i64, "disk_in_mb": Value::Null,
                "memory_in_mb": Value::Null,
                "state": Value::Null, "timeout_seconds": call.timeout_seconds, "url": &call.url,
                "auth_header": call.auth_header.reveal(), "method": call.method.as_str(),
                "headers": self.headers.as_deref(), "body": call.body.as_deref(),
                "success_statuses": call.success_statuses.as_str(),
                "signing_secret": call.signing_secret.as_ref().map(Secret::reveal),
            }),
        }
        values
    }
}

/// A JSON object for a column; NULL if it is empty.
fn json_object(strings: &BTreeMap<String, String>) -> Result<Option<String>, StoreError> {
    if strings.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(strings).map(Some).map_err(|err| StoreError::Bug(err.to_string()))
}

fn strings_of(row: &Row<'_>, column: &'static str) -> Result<BTreeMap<String, String>, StoreError> {
    let json: Option<String> = row.get(column)?;
    json.map_or_else(
        || Ok(BTreeMap::new()),
        |json| serde_json::from_str(&json).map_err(|err| StoreError::Bug(format!("{column}: {err}"))),
    )
}

pub(super) fn extent_of(row: &Row<'_>) -> Result<Extent, StoreError> {
    Ok(Extent { total: u64::try_from(row.get::<i64>("total")?).unwrap_or(0), last: row.get("last_id")? })
}

fn measure(executable: &Executable) -> (Id, usize) {
    let length = |strings: &BTreeMap<String, String>| -> usize {
        strings.iter().map(|(name, value)| name.len() + value.len()).sum()
    };
    let texts = match &executable.work {
        Work::Job { command, .. } => command.len(),
        Work::Call(call) => {
            call.url.len()
                + call.auth_header.reveal().len()
                + call.body.as_ref().map_or(0, String::len)
                + length(&call.headers.0)
        }
    };
    let metadata = &executable.controls.metadata;
    let texts = texts + length(&metadata.labels) + length(&metadata.annotations);
    (executable.id, executable.name.len() + texts)
}

fn executable_of(row: &Row<'_>) -> Result<Executable, StoreError> {
    // In the order of the columns: each lookup starts after the previous column.
    Ok(Executable {
        id: row.get("id")?,
        guid: row.get("guid")?,
        work: work_of(row)?,
        controls: controls_of(row)?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        name: row.get("name")?,
        app: row.get("app_guid")?,
        space: row.get("space_guid")?,
    })
}

pub(super) fn work_of(row: &Row<'_>) -> Result<Work, StoreError> {
    Ok(match row.get("kind")? {
        Kind::Job => Work::Job {
            command: row.get("command")?,
            disk_in_mb: row.get("disk_in_mb")?,
            memory_in_mb: row.get("memory_in_mb")?,
            log_rate_in_bps: row.get("log_rate_in_bps")?,
            state: row.get("state")?,
            timeout_seconds: row.get("timeout_seconds")?,
        },
        Kind::Call => Work::Call(Call {
            url: row.get("url")?,
            auth_header: row.get("auth_header")?,
            method: row.get::<Option<Method>>("method")?.unwrap_or_default(),
            headers: Headers(strings_of(row, "headers")?),
            body: row.get("body")?,
            success_statuses: row.get::<Option<Statuses>>("success_statuses")?.unwrap_or_default(),
            signing_secret: row.get("signing_secret")?,
            timeout_seconds: row.get("timeout_seconds")?,
        }),
    })
}

pub(super) fn controls_of(row: &Row<'_>) -> Result<Controls, StoreError> {
    Ok(Controls {
        concurrency_policy: row.get("concurrency_policy")?,
        retry: retry_of(row)?,
        paused: row.get("paused")?,
        metadata: Metadata {
            labels: strings_of(row, "labels")?,
            annotations: strings_of(row, "annotations")?,
        },
        expect_success_within_seconds: row.get("expect_success_within_seconds")?,
    })
}

pub(super) fn retry_of(row: &Row<'_>) -> Result<Option<RetryPolicy>, StoreError> {
    let Some(max_retries) = row.get("max_retries")? else { return Ok(None) };
    Ok(Some(RetryPolicy {
        max_retries,
        backoff_seconds: row.get("backoff_seconds")?,
        max_backoff_seconds: row.get("max_backoff_seconds")?,
        max_age_seconds: row.get("max_age_seconds")?,
    }))
}

impl Column for Method {
    fn of(cell: Cell<'_>) -> Option<Self> {
        let name = String::of(cell)?;
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }
}

impl Column for ConcurrencyPolicy {
    fn of(cell: Cell<'_>) -> Option<Self> {
        let name = String::of(cell)?;
        Self::ALL.into_iter().find(|policy| policy.as_str() == name)
    }
}

impl Column for Statuses {
    fn of(cell: Cell<'_>) -> Option<Self> {
        Self::parse(&String::of(cell)?)
    }
}

impl Column for MisfirePolicy {
    fn of(cell: Cell<'_>) -> Option<Self> {
        Self::named(&String::of(cell)?)
    }
}

impl Column for Dialect {
    fn of(cell: Cell<'_>) -> Option<Self> {
        Self::from_recorded(&String::of(cell)?)
    }
}

impl Column for Kind {
    fn of(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Text("job") => Some(Self::Job),
            Cell::Text("call") => Some(Self::Call),
            _ => None,
        }
    }
}

impl Column for JobState {
    fn of(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Text("PENDING") => Some(Self::Pending),
            Cell::Text("SUCCEEDED") => Some(Self::Succeeded),
            Cell::Text("FAILED") => Some(Self::Failed),
            _ => None,
        }
    }
}
