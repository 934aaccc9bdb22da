//! A connection of either engine, in a transaction or not, on which the methods of the store run statements.

use std::cell::Cell as Flag;
use std::ops::ControlFlow;

#[cfg(feature = "postgres")]
use super::postgres;
use super::statement::{Column, Named, Statement};
use super::{PART_BYTES, Part, ROW_BYTES, StoreError, sqlite};
use crate::model::Id;

/// A connection in use.
pub(super) enum Session<'a> {
    Sqlite(&'a rusqlite::Connection),
    #[cfg(feature = "postgres")]
    Postgres(&'a postgres::Connection),
    /// For a single statement, which runs together with those of other threads.
    #[cfg(feature = "postgres")]
    Group(&'a postgres::DatabaseServer, postgres::Access),
}

impl Session<'_> {
    /// Runs a statement without rows, and returns the number of changed rows.
    pub(super) fn execute(
        &self,
        statement: &'static Statement,
        values: &[Named<'_>],
    ) -> Result<usize, StoreError> {
        match self {
            Self::Sqlite(connection) => sqlite::execute(connection, statement, values),
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => connection.execute(statement, values),
            #[cfg(feature = "postgres")]
            Self::Group(database, access) => Ok(database.run_in_group(*access, statement, values)?.changed),
        }
    }

    /// Takes the locks of a PostgreSQL statement. SQLite has a single writer and needs none.
    #[cfg_attr(not(feature = "postgres"), expect(unused_variables, reason = "PostgreSQL is not built in"))]
    pub(super) fn lock(&self, statement: &'static Statement, values: &[Named<'_>]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) | Self::Group(..) => self.execute(statement, values).map(|_| ()),
        }
    }

    /// Runs a statement once for each set of values, in order. On a network it does not wait for each answer.
    pub(super) fn execute_each(
        &self,
        statement: &'static Statement,
        sets: &[Vec<Named<'_>>],
    ) -> Result<Vec<usize>, StoreError> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => connection.execute_each(statement, sets),
            _ => sets.iter().map(|values| self.execute(statement, values)).collect(),
        }
    }

    /// All rows of a statement.
    pub(super) fn rows<T>(
        &self,
        statement: &'static Statement,
        values: &[Named<'_>],
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut rows = Vec::new();
        self.visit(statement, values, &mut |row| {
            rows.push(read(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    /// The first row of a statement.
    pub(super) fn first<T>(
        &self,
        statement: &'static Statement,
        values: &[Named<'_>],
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut first = None;
        self.visit(statement, values, &mut |row| {
            first = Some(read(row)?);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(first)
    }

    /// The row of a statement that always returns one.
    pub(super) fn one<T>(
        &self,
        statement: &'static Statement,
        values: &[Named<'_>],
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.first(statement, values, read)?
            .ok_or_else(|| StoreError::Bug("a statement returned no row".to_owned()))
    }

    /// Reads rows until there are `limit`, or until they reach [`PART_BYTES`]. `measure` returns the id of a
    /// row and the length of its texts.
    pub(super) fn part<T>(
        &self,
        statement: &'static Statement,
        values: &[Named<'_>],
        limit: u32,
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
        measure: impl Fn(&T) -> (Id, usize),
    ) -> Result<Part<T>, StoreError> {
        let mut part = Part { rows: Vec::new(), last: None, is_end: false };
        let (mut bytes, mut is_full) = (0, false);
        self.visit(statement, values, &mut |row| {
            let row = read(row)?;
            let (id, length) = measure(&row);
            bytes += ROW_BYTES + length;
            part.rows.push(row);
            part.last = Some(id);
            is_full = PART_BYTES <= bytes;
            Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        part.is_end = !is_full && part.rows.len() < limit as usize;
        Ok(part)
    }

    fn visit(
        &self,
        statement: &'static Statement,
        values: &[Named<'_>],
        visit: &mut dyn FnMut(&Row<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => {
                sqlite::visit(connection, statement, values, &mut |row| visit(&Row::new(Cells::Sqlite(row))))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => {
                connection.visit(statement, values, &mut |row| visit(&Row::new(Cells::Postgres(row))))
            }
            #[cfg(feature = "postgres")]
            Self::Group(database, access) => {
                for row in database.run_in_group(*access, statement, values)?.rows {
                    if visit(&Row::new(Cells::Postgres(&row)))?.is_break() {
                        break;
                    }
                }
                Ok(())
            }
        }
    }
}

/// A row that a statement yielded.
pub(super) struct Row<'a> {
    cells: Cells<'a>,
    /// The column after the last one read: most rows are read in the order of their columns.
    next: Flag<usize>,
}

enum Cells<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    #[cfg(feature = "postgres")]
    Postgres(&'a tokio_postgres::Row),
}

impl<'a> Row<'a> {
    fn new(cells: Cells<'a>) -> Self {
        Self { cells, next: Flag::new(0) }
    }

    /// The value of the column with this name.
    pub(super) fn get<T: Column>(&self, column: &str) -> Result<T, StoreError> {
        let index = self.index_of(column).ok_or_else(|| StoreError::Bug(format!("no column {column}")))?;
        let cell = match &self.cells {
            Cells::Sqlite(row) => sqlite::cell_of(row, index)?,
            #[cfg(feature = "postgres")]
            Cells::Postgres(row) => postgres::cell_of(row, index)?,
        };
        T::of(cell).ok_or_else(|| StoreError::Bug(format!("column {column} has an unexpected type")))
    }

    fn index_of(&self, column: &str) -> Option<usize> {
        let is_it = |index: &usize| match &self.cells {
            Cells::Sqlite(row) => row.as_ref().column_name(*index).is_ok_and(|name| name == column),
            #[cfg(feature = "postgres")]
            Cells::Postgres(row) => row.columns()[*index].name() == column,
        };
        let count = match &self.cells {
            Cells::Sqlite(row) => row.as_ref().column_count(),
            #[cfg(feature = "postgres")]
            Cells::Postgres(row) => row.len(),
        };
        let next = self.next.get();
        let index = (next..count).chain(0..next).find(is_it)?;
        self.next.set(index + 1);
        Some(index)
    }
}
