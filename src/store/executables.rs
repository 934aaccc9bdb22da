//! Jobs and calls: one table, since all but what they do is alike.

use rusqlite::types::{FromSql, FromSqlResult, ValueRef};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, named_params};

use super::{Extent, Part, Store, StoreError, Window, json_array, part_of, sql, unknown_value};
use crate::model::{Executable, Guid, Id, JobState, Kind, Timestamp, Work};

/// A job or a call that is to be made.
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
}

/// Whose jobs or calls a list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    All,
    /// Those of one space.
    Space(Guid),
    /// Those of several spaces.
    Spaces(Vec<Guid>),
}

/// What came of a write that can lose against others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written<T> {
    /// It was written.
    Done(T),
    /// Another of that kind has the name in that app.
    NameTaken,
    /// What it was about was deleted meanwhile.
    Gone,
}

impl Store {
    /// Makes a job or a call. Never answers `Gone`.
    pub fn create_executable(
        &self,
        new: &NewExecutable,
        now: Timestamp,
    ) -> Result<Written<Executable>, StoreError> {
        let guid = Guid::random();
        let columns = Columns::of(&new.work);
        let inserted = self.write(|tx| {
            tx.prepare_cached(sql!("executables/insert"))?
                .execute(named_params! {
                    ":guid": guid, ":kind": new.work.kind().as_str(), ":name": new.name,
                    ":app_guid": new.app, ":space_guid": new.space,
                    ":command": columns.command, ":disk_in_mb": columns.disk_in_mb,
                    ":memory_in_mb": columns.memory_in_mb, ":state": columns.state,
                    ":url": columns.url, ":auth_header": columns.auth_header, ":now": now,
                })
                .map(|_| Some(tx.last_insert_rowid()))
                .or_else(none_if_taken)
        })?;
        Ok(match inserted {
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
            }),
        })
    }

    /// The job, or the call, of that guid.
    pub fn executable(&self, kind: Kind, guid: &str) -> Result<Option<Executable>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(sql!("executables/get"))?
                .query_row(named_params! { ":guid": guid, ":kind": kind.as_str() }, executable_of)
                .optional()
        })
    }

    /// How many jobs, or calls, there are in `scope`.
    pub fn count_executables(&self, kind: Kind, scope: &Scope) -> Result<Extent, StoreError> {
        self.read(|connection| {
            let kind = kind.as_str();
            match scope {
                Scope::All => connection
                    .prepare_cached(sql!("executables/count_all"))?
                    .query_row(named_params! { ":kind": kind }, extent_of),
                Scope::Space(space) => connection
                    .prepare_cached(sql!("executables/count_in_space"))?
                    .query_row(named_params! { ":kind": kind, ":space_guid": space }, extent_of),
                Scope::Spaces(spaces) => {
                    let spaces = json_array(spaces.iter().map(Guid::as_str))?;
                    connection
                        .prepare_cached(sql!("executables/count_in_spaces"))?
                        .query_row(named_params! { ":kind": kind, ":space_guids": spaces }, extent_of)
                }
            }
        })
    }

    /// A part of the jobs, or calls, in `scope`, oldest first.
    pub fn list_executables(
        &self,
        kind: Kind,
        scope: &Scope,
        window: Window,
    ) -> Result<Part<Executable>, StoreError> {
        let (kind, limit) = (kind.as_str(), window.limit);
        let (after, last) = (window.beyond, window.last);
        let offset = i64::try_from(window.offset).unwrap_or(i64::MAX);
        self.read(|connection| match scope {
            Scope::All => {
                let mut statement = connection.prepare_cached(sql!("executables/list_all"))?;
                let values = named_params! { ":kind": kind, ":after_id": after, ":last_id": last, ":limit": limit, ":offset": offset };
                part_of(statement.query_map(values, executable_of)?, limit, measure)
            }
            Scope::Space(space) => {
                let mut statement = connection.prepare_cached(sql!("executables/list_in_space"))?;
                let values = named_params! { ":kind": kind, ":space_guid": space, ":after_id": after, ":last_id": last, ":limit": limit, ":offset": offset };
                part_of(statement.query_map(values, executable_of)?, limit, measure)
            }
            Scope::Spaces(spaces) => {
                let spaces = json_array(spaces.iter().map(Guid::as_str))?;
                let mut statement = connection.prepare_cached(sql!("executables/list_in_spaces"))?;
                let values = named_params! { ":kind": kind, ":space_guids": spaces, ":after_id": after, ":last_id": last, ":limit": limit, ":offset": offset };
                part_of(statement.query_map(values, executable_of)?, limit, measure)
            }
        })
    }

    /// Writes what a client changed of a job or call: its name, its app, and what it does (not the state).
    pub fn update_executable(&self, changed: &Executable, now: Timestamp) -> Result<Written<()>, StoreError> {
        let columns = Columns::of(&changed.work);
        let rows = self.write(|tx| {
            tx.prepare_cached(sql!("executables/update"))?
                .execute(named_params! {
                    ":id": changed.id, ":name": changed.name, ":app_guid": changed.app,
                    ":command": columns.command, ":disk_in_mb": columns.disk_in_mb,
                    ":memory_in_mb": columns.memory_in_mb, ":url": columns.url,
                    ":auth_header": columns.auth_header, ":now": now,
                })
                .map(Some)
                .or_else(none_if_taken)
        })?;
        Ok(match rows {
            None => Written::NameTaken,
            Some(0) => Written::Gone,
            Some(_) => Written::Done(()),
        })
    }

    /// Deletes a job or call with its schedules and executions, at once for every reader. The rows go later, in the batches
    /// of [`Store::purge_deleted`]. `false`: it was deleted already.
    pub fn delete_executable(&self, id: Id, now: Timestamp) -> Result<bool, StoreError> {
        self.write(|tx| {
            let marked = tx
                .prepare_cached(sql!("executables/mark_deleted"))?
                .execute(named_params! { ":id": id, ":now": now })?;
            if marked == 1 {
                tx.prepare_cached(sql!("schedules/silence_executable"))?
                    .execute(named_params! { ":executable_id": id })?;
                super::executions::cancel_pending_of_executable(tx, id, now)?;
            }
            Ok(marked == 1)
        })
    }
}

/// The columns of what a job or a call does.
struct Columns<'a> {
    command: Option<&'a str>,
    disk_in_mb: Option<u32>,
    memory_in_mb: Option<u32>,
    state: Option<&'static str>,
    url: Option<&'a str>,
    auth_header: Option<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(work: &'a Work) -> Self {
        match work {
            Work::Job { command, disk_in_mb, memory_in_mb, state } => Self {
                command: Some(command),
                disk_in_mb: Some(*disk_in_mb),
                memory_in_mb: Some(*memory_in_mb),
                state: Some(state.as_str()),
                url: None,
                auth_header: None,
            },
            Work::Call { url, auth_header } => Self {
                command: None,
                disk_in_mb: None,
                memory_in_mb: None,
                state: None,
                url: Some(url),
                auth_header: Some(auth_header.reveal()),
            },
        }
    }
}

/// The unique index of names is the judge of a race between two of the same name.
fn none_if_taken<T>(error: rusqlite::Error) -> rusqlite::Result<Option<T>> {
    let taken = error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
        && error.to_string().contains("executables.name");
    if taken { Ok(None) } else { Err(error) }
}

pub(super) fn extent_of(row: &Row<'_>) -> rusqlite::Result<Extent> {
    Ok(Extent { total: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0), last: row.get(1)? })
}

fn measure(executable: &Executable) -> (Id, usize) {
    let texts = match &executable.work {
        Work::Job { command, .. } => command.len(),
        Work::Call { url, auth_header } => url.len() + auth_header.reveal().len(),
    };
    (executable.id, executable.name.len() + texts)
}

fn executable_of(row: &Row<'_>) -> rusqlite::Result<Executable> {
    Ok(Executable {
        id: row.get(0)?,
        guid: row.get(1)?,
        name: row.get(3)?,
        app: row.get(4)?,
        space: row.get(5)?,
        created_at: row.get(12)?,
        updated_at: row.get(13)?,
        work: work_of(row, row.get(2)?, 6)?,
    })
}

/// Reads what a job or call does from the columns command, disk, memory, state, url, auth_header, of which `first` is the
/// first.
pub(super) fn work_of(row: &Row<'_>, kind: Kind, first: usize) -> rusqlite::Result<Work> {
    Ok(match kind {
        Kind::Job => Work::Job {
            command: row.get(first)?,
            disk_in_mb: row.get(first + 1)?,
            memory_in_mb: row.get(first + 2)?,
            state: row.get(first + 3)?,
        },
        Kind::Call => Work::Call { url: row.get(first + 4)?, auth_header: row.get(first + 5)? },
    })
}

impl FromSql for Kind {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "job" => Ok(Self::Job),
            "call" => Ok(Self::Call),
            other => Err(unknown_value(other)),
        }
    }
}

impl FromSql for JobState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "PENDING" => Ok(Self::Pending),
            "SUCCEEDED" => Ok(Self::Succeeded),
            "FAILED" => Ok(Self::Failed),
            other => Err(unknown_value(other)),
        }
    }
}

/// A job's state follows its execution's outcome.
pub(super) fn set_state(tx: &Connection, id: Id, execution: Id, state: &str) -> rusqlite::Result<()> {
    tx.prepare_cached(sql!("executables/set_state"))?
        .execute(named_params! { ":id": id, ":execution_id": execution, ":state": state })?;
    Ok(())
}
