//! Statements, the values of their parameters, and the columns of their rows. Both engines build on this, and
//! do not know each other.
//!
//! Invariant: a statement gets a value for each of its parameters, by name, or is refused as a bug of this
//! program.

use super::StoreError;
use crate::model::{Guid, Secret, Timestamp};

/// A statement's text for each engine: `sql/<table>/<statement>.sql`. Parameters are written `:name`.
///
/// One file serves both engines. A line that begins with `--pg ` is a comment to SQLite; for PostgreSQL the
/// marker is removed. A line that ends with `--sqlite` is left out for PostgreSQL. If the texts have little
/// in common, PostgreSQL has a second file, `<statement>.postgres.sql`. A statement for one engine only is in
/// `<statement>.sqlite.sql` or `<statement>.postgres.sql`.
///
/// PostgreSQL runs a *batched* statement once for several sets of values. Each execution of an INSERT or
/// UPDATE parses the CHECK constraints of its table, which costs more than a row does. Its text has one
/// parameter, `:rows`: a JSON array with an object for each set of values, numbered by `n` from 0. The column
/// `n` of each returned row names the set to which it belongs.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) sqlite: &'static str,
    #[cfg(feature = "postgres")]
    pub(super) postgres: &'static str,
    /// How many groups of it may run at the same time (see `postgres::group`). 0: it is not batched.
    #[cfg(feature = "postgres")]
    pub(super) groups_max: usize,
}

#[cfg(feature = "postgres")]
impl Statement {
    /// Whether PostgreSQL runs it once for several sets of values.
    pub(super) const fn is_batched(&self) -> bool {
        self.groups_max > 0
    }
}

/// Requests of clients: with two groups, the server runs one while it flushes the other to the disk. More
/// would be smaller, and each costs a statement and a commit.
#[cfg(feature = "postgres")]
pub(super) const GROUPS_OF_CLIENTS: usize = 2;
/// Steps of the engine, of which only the throughput counts: one group is larger than each of two.
#[cfg(feature = "postgres")]
pub(super) const GROUPS_OF_ENGINE: usize = 1;

macro_rules! sql_file {
    ($name:literal, $ending:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $name, $ending))
    };
}

/// The statement of this name, from one file for both engines: `sql!("schedules/advance")`.
macro_rules! sql {
    ($name:literal) => {
        &$crate::store::statement::Statement {
            sqlite: $crate::store::statement::sql_file!($name, ".sql"),
            #[cfg(feature = "postgres")]
            postgres: $crate::store::statement::sql_file!($name, ".sql"),
            #[cfg(feature = "postgres")]
            groups_max: 0,
        }
    };
}

/// A statement for which PostgreSQL has a second file.
macro_rules! sql_by_engine {
    ($name:literal) => {
        &$crate::store::statement::Statement {
            sqlite: $crate::store::statement::sql_file!($name, ".sql"),
            #[cfg(feature = "postgres")]
            postgres: $crate::store::statement::sql_file!($name, ".postgres.sql"),
            #[cfg(feature = "postgres")]
            groups_max: 0,
        }
    };
}

/// The same, and PostgreSQL runs it once for several sets of values. If threads of the engine form its
/// groups, it is marked with `of_engine`.
macro_rules! batched_sql {
    ($name:literal) => {
        $crate::store::statement::batched_sql!($name, GROUPS_OF_CLIENTS)
    };
    ($name:literal, of_engine) => {
        $crate::store::statement::batched_sql!($name, GROUPS_OF_ENGINE)
    };
    ($name:literal, $groups_max:ident) => {
        &$crate::store::statement::Statement {
            sqlite: $crate::store::statement::sql_file!($name, ".sql"),
            #[cfg(feature = "postgres")]
            postgres: $crate::store::statement::sql_file!($name, ".postgres.sql"),
            #[cfg(feature = "postgres")]
            groups_max: $crate::store::statement::$groups_max,
        }
    };
}

/// A statement that only SQLite runs.
macro_rules! sqlite_sql {
    ($name:literal) => {
        &$crate::store::statement::Statement {
            sqlite: $crate::store::statement::sql_file!($name, ".sqlite.sql"),
            #[cfg(feature = "postgres")]
            postgres: "",
            #[cfg(feature = "postgres")]
            groups_max: 0,
        }
    };
}

/// A statement that only PostgreSQL runs.
macro_rules! postgres_sql {
    ($name:literal) => {
        &$crate::store::statement::Statement {
            sqlite: "",
            #[cfg(feature = "postgres")]
            postgres: $crate::store::statement::sql_file!($name, ".postgres.sql"),
            #[cfg(feature = "postgres")]
            groups_max: 0,
        }
    };
}

/// Values for parameters: `values! { "id": id, "now": now }`.
macro_rules! values {
    ($($name:literal: $value:expr),* $(,)?) => {
        &[$(($name, $crate::store::statement::Value::from($value))),*]
    };
}
pub(super) use {batched_sql, postgres_sql, sql, sql_by_engine, sql_file, sqlite_sql, values};

/// A value for a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Int(i64),
    Text(&'a str),
}

/// A parameter's name, without its colon, and its value.
pub(super) type Named<'a> = (&'static str, Value<'a>);

/// The value of the parameter `name`.
pub(super) fn value_of<'a>(values: &[Named<'a>], name: &str) -> Result<Value<'a>, StoreError> {
    let found = values.iter().find(|(given, _)| *given == name);
    found.map(|(_, value)| *value).ok_or_else(|| StoreError::Bug(format!("no value for {name:?}")))
}

/// The contents of a column.
#[derive(Debug, Clone)]
pub(super) enum Cell<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    /// A text in the engine's own form.
    #[cfg(feature = "postgres")]
    Decoded(String),
}

/// A type that can be read from a column.
pub(super) trait Column: Sized {
    /// `None`: the column holds another type.
    fn of(cell: Cell<'_>) -> Option<Self>;
}

/// A JSON array, in which lists of guids and ids are passed to a statement.
pub(super) fn json_array<T: serde::Serialize>(items: impl Iterator<Item = T>) -> Result<String, StoreError> {
    let items: Vec<T> = items.collect();
    serde_json::to_string(&items).map_err(|err| StoreError::Bug(err.to_string()))
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

/// Numbers beyond the database's range become its greatest.
impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Self::Int(truth.into())
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Int(time.nanos())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a Guid> for Value<'a> {
    fn from(guid: &'a Guid) -> Self {
        Self::Text(guid.as_str())
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl Column for i64 {
    fn of(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Int(number) => Some(number),
            _ => None,
        }
    }
}

impl Column for u64 {
    fn of(cell: Cell<'_>) -> Option<Self> {
        i64::of(cell)?.try_into().ok()
    }
}

impl Column for u32 {
    fn of(cell: Cell<'_>) -> Option<Self> {
        i64::of(cell)?.try_into().ok()
    }
}

impl Column for bool {
    fn of(cell: Cell<'_>) -> Option<Self> {
        i64::of(cell).map(|number| number != 0)
    }
}

impl Column for String {
    fn of(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Text(text) => Some(text.to_owned()),
            #[cfg(feature = "postgres")]
            Cell::Decoded(text) => Some(text),
            _ => None,
        }
    }
}

impl Column for Guid {
    fn of(cell: Cell<'_>) -> Option<Self> {
        String::of(cell).map(Self::from)
    }
}

impl Column for Secret {
    fn of(cell: Cell<'_>) -> Option<Self> {
        String::of(cell).map(Self::from)
    }
}

impl Column for Timestamp {
    fn of(cell: Cell<'_>) -> Option<Self> {
        i64::of(cell).map(Self::from_nanos)
    }
}

impl<T: Column> Column for Option<T> {
    fn of(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Null => Some(None),
            other => T::of(other).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    fn files_below(directory: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn every_file_of_a_statement_is_used_by_the_program_and_opens_with_its_reason() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut used = BTreeSet::new();
        for file in files_below(&root.join("src/store")) {
            let source = std::fs::read_to_string(file).unwrap();
            let source = source.split("mod tests").next().unwrap_or_default();
            let macros: [(&str, &[&str]); 5] = [
                ("batched_sql!(\"", &[".sql", ".postgres.sql"]),
                ("sql!(\"", &[".sql"]),
                ("sql_by_engine!(\"", &[".sql", ".postgres.sql"]),
                ("sqlite_sql!(\"", &[".sqlite.sql"]),
                ("postgres_sql!(\"", &[".postgres.sql"]),
            ];
            for (call, endings) in macros {
                for (start, _) in source.match_indices(call) {
                    if source[..start].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
                        continue;
                    }
                    let name = source[start + call.len()..].split('"').next().unwrap();
                    used.extend(endings.iter().map(|ending| format!("{name}{ending}")));
                }
            }
        }
        let mut there = BTreeSet::new();
        for file in files_below(&root.join("sql")) {
            let name = file.strip_prefix(root.join("sql")).unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("-- "), "{name} opens with its reason");
            if !name.starts_with("migrations/") {
                there.insert(name);
            }
        }
        assert!(there.len() > 100);
        assert_eq!(used, there);
    }
}
