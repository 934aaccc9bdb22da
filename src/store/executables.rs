//! Jobs and calls: one table, since all but what they do is alike.

use super::session::Row;
use super::statement::{Cell, Column, json_array, sql, values};
use super::{CutOff, Extent, Part, Store, StoreError, Window};
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
        let values = values! {
            "guid": &guid, "kind": new.work.kind().as_str(), "name": &new.name,
            "app_guid": &new.app, "space_guid": &new.space,
            "command": columns.command, "disk_in_mb": columns.disk_in_mb, "memory_in_mb": columns.memory_in_mb,
            "state": columns.state, "url": columns.url, "auth_header": columns.auth_header, "now": now,
        };
        let id = self.write_one(|tx| tx.first(sql!("executables/insert"), values, |row| row.get("id")))?;
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
            }),
        })
    }

    /// The job, or the call, of that guid.
    pub fn executable(&self, kind: Kind, guid: &str) -> Result<Option<Executable>, StoreError> {
        let values = values! { "guid": guid, "kind": kind.as_str() };
        self.read(|session| session.first(sql!("executables/get"), values, executable_of))
    }

    /// How many jobs, or calls, there are in `scope`.
    pub fn count_executables(&self, kind: Kind, scope: &Scope) -> Result<Extent, StoreError> {
        let kind = kind.as_str();
        let spaces = scope.spaces()?;
        self.read(|session| match scope {
            Scope::All => session.one(sql!("executables/count_all"), values! { "kind": kind }, extent_of),
            Scope::Space(space) => session.one(
                sql!("executables/count_in_space"),
                values! { "kind": kind, "space_guid": space },
                extent_of,
            ),
            Scope::Spaces(_) => session.one(
                sql!("executables/count_in_spaces"),
                values! { "kind": kind, "space_guids": &spaces },
                extent_of,
            ),
        })
    }

    /// A part of the jobs, or calls, in `scope`, oldest first.
    pub fn list_executables(
        &self,
        kind: Kind,
        scope: &Scope,
        window: Window,
    ) -> Result<Part<Executable>, StoreError> {
        let (spaces, limit) = (scope.spaces()?, self.part_limit(window.limit));
        let (statement, space) = match scope {
            Scope::All => (sql!("executables/list_all"), None),
            Scope::Space(space) => (sql!("executables/list_in_space"), Some(space)),
            Scope::Spaces(_) => (sql!("executables/list_in_spaces"), None),
        };
        let values = values! {
            "kind": kind.as_str(), "space_guid": space, "space_guids": &spaces, "after_id": window.beyond,
            "last_id": window.last, "limit": limit, "offset": window.offset,
        };
        self.read(|session| session.part(statement, values, limit, executable_of, measure))
    }

    /// Writes what a client changed of a job or call: its name, its app, and what it does (not the state).
    pub fn update_executable(&self, changed: &Executable, now: Timestamp) -> Result<Written<()>, StoreError> {
        let columns = Columns::of(&changed.work);
        let values = values! {
            "id": changed.id, "name": &changed.name, "app_guid": &changed.app,
            "command": columns.command, "disk_in_mb": columns.disk_in_mb, "memory_in_mb": columns.memory_in_mb,
            "url": columns.url, "auth_header": columns.auth_header, "now": now,
        };
        match self.write_one(|tx| tx.execute(sql!("executables/update"), values)) {
            Ok(0) => Ok(Written::Gone),
            Ok(_) => Ok(Written::Done(())),
            // The unique index of names is the judge of a race between two of the same name.
            Err(StoreError::Conflict) => Ok(Written::NameTaken),
            Err(err) => Err(err),
        }
    }

    /// Deletes a job or call with its schedules and executions, at once for every reader. The rows go later, in the batches
    /// of [`Store::purge_deleted`]. Answers what was PENDING and is FAILED now. `None`: it was deleted already.
    pub fn delete_executable(&self, id: Id, now: Timestamp) -> Result<Option<Vec<CutOff>>, StoreError> {
        self.write(|tx| {
            let marked = tx.execute(sql!("executables/mark_deleted"), values! { "id": id, "now": now })?;
            if marked == 1 {
                tx.execute(sql!("schedules/silence_executable"), values! { "executable_id": id })?;
                return super::ends::cancel_pending_of_executable(tx, id, now).map(Some);
            }
            Ok(None)
        })
    }
}

impl Scope {
    /// Several spaces as a JSON array; nothing otherwise.
    fn spaces(&self) -> Result<String, StoreError> {
        match self {
            Self::Spaces(spaces) => json_array(spaces.iter().map(Guid::as_str)),
            _ => Ok(String::new()),
        }
    }
}

/// The columns of what a job or a call does.
pub(super) struct Columns<'a> {
    pub(super) command: Option<&'a str>,
    pub(super) disk_in_mb: Option<u32>,
    pub(super) memory_in_mb: Option<u32>,
    pub(super) state: Option<&'static str>,
    pub(super) url: Option<&'a str>,
    pub(super) auth_header: Option<&'a str>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(work: &'a Work) -> Self {
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

pub(super) fn extent_of(row: &Row<'_>) -> Result<Extent, StoreError> {
    Ok(Extent { total: u64::try_from(row.get::<i64>("total")?).unwrap_or(0), last: row.get("last_id")? })
}

fn measure(executable: &Executable) -> (Id, usize) {
    let texts = match &executable.work {
        Work::Job { command, .. } => command.len(),
        Work::Call { url, auth_header } => url.len() + auth_header.reveal().len(),
    };
    (executable.id, executable.name.len() + texts)
}

fn executable_of(row: &Row<'_>) -> Result<Executable, StoreError> {
    Ok(Executable {
        id: row.get("id")?,
        guid: row.get("guid")?,
        name: row.get("name")?,
        app: row.get("app_guid")?,
        space: row.get("space_guid")?,
        work: work_of(row)?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

pub(super) fn work_of(row: &Row<'_>) -> Result<Work, StoreError> {
    Ok(match row.get("kind")? {
        Kind::Job => Work::Job {
            command: row.get("command")?,
            disk_in_mb: row.get("disk_in_mb")?,
            memory_in_mb: row.get("memory_in_mb")?,
            state: row.get("state")?,
        },
        Kind::Call => Work::Call { url: row.get("url")?, auth_header: row.get("auth_header")? },
    })
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
