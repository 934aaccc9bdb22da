//! Reads our own tables, by key. What is marked as deleted is left out.

use super::{FoundExecutable, FoundExecution, FoundSchedule};
use crate::model::{Guid, Id, Kind, Timestamp};
use crate::store::broker::{binding_of, instance_of};
use crate::store::session::{Row, Session, Statement, sql, values};
use crate::store::{MovedInstance, ServiceBinding, StoreError, Stray};

/// How many rows are read at a time.
const BATCH: u32 = 500;
/// The same of executions, which are many and short: what takes them in counts the sizes of histories once for each batch.
const EXECUTIONS_BATCH: u32 = 4000;

pub(super) fn each_executable(
    session: &Session<'_>,
    take: &mut dyn FnMut(Vec<FoundExecutable>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each(session, sql!("executables/export"), BATCH, take, |row| {
        Ok(FoundExecutable {
            guid: row.get(1)?,
            kind: row.get(2)?,
            name: row.get(3)?,
            app: row.get(4)?,
            space: row.get(5)?,
            command: row.get(6)?,
            disk_in_mb: row.get(7)?,
            memory_in_mb: row.get(8)?,
            state: row.get(9)?,
            url: row.get(10)?,
            auth_header: row.get(11)?,
            created_at: row.get(12)?,
            updated_at: row.get(13)?,
        })
    })
}

pub(super) fn each_schedule(
    session: &Session<'_>,
    take: &mut dyn FnMut(Vec<FoundSchedule>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each(session, sql!("schedules/export"), BATCH, take, |row| {
        Ok(FoundSchedule {
            guid: row.get(1)?,
            executable: row.get(2)?,
            kind: row.get::<Kind>(3).map(Some)?,
            enabled: row.get(4)?,
            expression: row.get(5)?,
            next_fire_time: row.get(6)?,
            created_at: row.get(7)?,
            updated_at: row.get(8)?,
        })
    })
}

pub(super) fn each_execution(
    session: &Session<'_>,
    take: &mut dyn FnMut(Vec<FoundExecution>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each(session, sql!("executions/export"), EXECUTIONS_BATCH, take, |row| {
        Ok(FoundExecution {
            guid: row.get(1)?,
            executable: row.get(2)?,
            kind: row.get::<Kind>(3).map(Some)?,
            schedule: row.get(4)?,
            scheduled_time: row.get(5)?,
            state: row.get(6)?,
            note: row.get(7)?,
            message: row.get(8)?,
            task: row.get(9)?,
            created_at: row.get(10)?,
            start_time: row.get(11)?,
            end_time: row.get(12)?,
            request_id: row.get(13)?,
        })
    })
}

pub(super) fn each_stray(
    session: &Session<'_>,
    take: &mut dyn FnMut(Stray) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each_named(session, sql!("strays/list"), take, |row| {
        Ok(Stray { name: row.get(0)?, doubt_until: row.get(1)?, request_id: row.get(2)? })
    })
}

pub(super) fn each_instance(
    session: &Session<'_>,
    take: &mut dyn FnMut(MovedInstance) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each_named(session, sql!("service_instances/export"), take, |row| {
        Ok(MovedInstance {
            instance: instance_of(row)?,
            context: row.get(6)?,
            created_at: row.get(7)?,
            updated_at: row.get(8)?,
        })
    })
}

pub(super) fn each_binding(
    session: &Session<'_>,
    take: &mut dyn FnMut((ServiceBinding, Timestamp)) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each_named(session, sql!("service_bindings/export"), take, |row| Ok((binding_of(row)?, row.get(7)?)))
}

pub(super) fn each_suspended_space(
    session: &Session<'_>,
    take: &mut dyn FnMut(Guid) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each_named(session, sql!("service_spaces/export"), take, |row| row.get(0))
}

/// The rows of a statement whose first column is their name.
fn each_named<T>(
    session: &Session<'_>,
    statement: &'static Statement,
    take: &mut dyn FnMut(T) -> Result<(), StoreError>,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let values = values! { "after": &after, "limit": BATCH };
        let rows: Vec<(String, T)> = session.rows(statement, values, |row| Ok((row.get(0)?, read(row)?)))?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        after.clone_from(last);
        for (_, row) in rows {
            take(row)?;
        }
    }
}

/// The rows of a statement whose first column is their id, in batches.
fn each<T>(
    session: &Session<'_>,
    statement: &'static Statement,
    batch: u32,
    take: &mut dyn FnMut(Vec<T>) -> Result<(), StoreError>,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<(), StoreError> {
    let mut after: Id = 0;
    loop {
        let values = values! { "after_id": after, "limit": batch };
        let rows: Vec<(Id, T)> = session.rows(statement, values, |row| Ok((row.get(0)?, read(row)?)))?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        after = *last;
        take(rows.into_iter().map(|(_, row)| row).collect())?;
    }
}
