//! Running SQLite statements with their values, and reading rows and cells.

use std::ops::ControlFlow;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, Row};

use crate::store::StoreError;
use crate::store::statement::{Cell, Named, Statement, Value, value_of};

/// Runs a statement without rows, and returns the number of changed rows.
pub(in crate::store) fn execute(
    connection: &Connection,
    statement: &'static Statement,
    values: &[Named<'_>],
) -> Result<usize, StoreError> {
    Ok(prepared(connection, statement, values)?.raw_execute()?)
}

/// Passes the rows of a statement to `visit` until it breaks.
pub(in crate::store) fn visit(
    connection: &Connection,
    statement: &'static Statement,
    values: &[Named<'_>],
    visit: &mut dyn FnMut(&Row<'_>) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut prepared = prepared(connection, statement, values)?;
    let mut rows = prepared.raw_query();
    while let Some(row) = rows.next()? {
        // A statement with RETURNING has made all its changes before its first row.
        if visit(row)?.is_break() {
            break;
        }
    }
    Ok(())
}

pub(in crate::store) fn cell_of<'a>(row: &'a Row<'_>, index: usize) -> Result<Cell<'a>, StoreError> {
    let unexpected = || StoreError::Bug(format!("column {index} has an unexpected type"));
    Ok(match row.get_ref(index)? {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Int(number),
        ValueRef::Text(bytes) => Cell::Text(std::str::from_utf8(bytes).map_err(|_| unexpected())?),
        ValueRef::Real(_) | ValueRef::Blob(_) => return Err(unexpected()),
    })
}

fn prepared<'a>(
    connection: &'a Connection,
    statement: &'static Statement,
    values: &[Named<'_>],
) -> Result<CachedStatement<'a>, StoreError> {
    let mut prepared = connection.prepare_cached(statement.sqlite)?;
    for index in 1..=prepared.parameter_count() {
        let name = prepared.parameter_name(index).and_then(|name| name.strip_prefix(':')).unwrap_or_default();
        let value = value_of(values, name)?;
        prepared.raw_bind_parameter(index, value)?;
    }
    Ok(prepared)
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}
