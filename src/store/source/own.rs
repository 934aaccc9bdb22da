//! Reads our own tables, by key, without rows marked as deleted.

use super::{FoundAttempt, FoundExecutable, FoundExecution, FoundSchedule};
use crate::model::{Event, Guid, Id, Kind, Notification, Timestamp, Work};
use crate::store::broker::{binding_of, instance_of};
use crate::store::executables::{controls_of, work_of};
use crate::store::executions::stray_of;
use crate::store::notifications::{json_of, notification_of};
use crate::store::overview::attempt_of;
use crate::store::schedules::definition_of;
use crate::store::session::{Row, Session};
use crate::store::space_pauses::moved_pause_of;
use crate::store::statement::{Statement, sql, values};
use crate::store::{
    MovedAlert, MovedControl, MovedInstance, MovedPause, MovedStreak, ServiceBinding, StoreError, Stray,
};

/// How many rows are read at a time.
const BATCH: u32 = 500;
/// The same for executions, which are many and short. The import updates the sizes of histories once for each
/// batch.
const EXECUTIONS_BATCH: u32 = 4000;

pub(super) fn each_executable(
    session: &Session<'_>,
    take: &mut dyn FnMut(Vec<FoundExecutable>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each(session, sql!("executables/export"), BATCH, take, |row| {
        Ok(FoundExecutable {
            guid: row.get("guid")?,
            kind: row.get("kind")?,
            name: row.get("name")?,
            app: row.get("app_guid")?,
            space: row.get("space_guid")?,
            command: row.get("command")?,
            disk_in_mb: row.get("disk_in_mb")?,
            memory_in_mb: row.get("memory_in_mb")?,
            log_rate_in_bps: row.get("log_rate_in_bps")?,
            state: row.get("state")?,
            url: row.get("url")?,
            auth_header: row.get("auth_header")?,
            call: match work_of(row)? {
                Work::Job { .. } => None,
                Work::Call(call) => Some(call),
            },
            timeout_seconds: row.get("timeout_seconds")?,
            controls: controls_of(row)?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
        })
    })
}

pub(super) fn each_schedule(
    session: &Session<'_>,
    take: &mut dyn FnMut(Vec<FoundSchedule>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each(session, sql!("schedules/export"), BATCH, take, |row| {
        Ok(FoundSchedule {
            guid: row.get("guid")?,
            executable: row.get("executable_guid")?,
            kind: row.get::<Kind>("kind").map(Some)?,
            definition: definition_of(row)?,
            dialect: row.get("dialect")?,
            completed_at: row.get("completed_at")?,
            next_fire_time: row.get("next_fire_time")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
        })
    })
}

pub(super) fn each_execution(
    session: &Session<'_>,
    take: &mut dyn FnMut(Vec<FoundExecution>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each(session, sql!("executions/export"), EXECUTIONS_BATCH, take, |row| {
        Ok(FoundExecution {
            guid: row.get("guid")?,
            executable: row.get("executable_guid")?,
            kind: row.get::<Kind>("kind").map(Some)?,
            schedule: row.get("schedule_guid")?,
            scheduled_time: row.get("scheduled_time")?,
            state: row.get("state")?,
            note: row.get("note")?,
            message: row.get("message")?,
            task: row.get("task_guid")?,
            created_at: row.get("created_at")?,
            start_time: row.get("start_time")?,
            end_time: row.get("end_time")?,
            request_id: row.get("request_id")?,
            control: MovedControl {
                reason: row.get("reason")?,
                requested_by: row.get("requested_by")?,
                app: row.get("app_guid")?,
                attempt: row.get("attempt")?,
                attempt_start: row.get("attempt_start_time")?,
                cancel_requested_at: row.get("cancel_requested_at")?,
                cancel_reason: row.get("cancel_reason")?,
                cancel_message: row.get("cancel_message")?,
                more_skipped: row.get("more_skipped")?,
            },
        })
    })
}

pub(super) fn each_attempt(
    session: &Session<'_>,
    take: &mut dyn FnMut(FoundAttempt) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut after: (Id, u32) = (0, 0);
    loop {
        let values = values! { "after_id": after.0, "after_number": after.1, "limit": EXECUTIONS_BATCH };
        let rows = session.rows(sql!("attempts/export"), values, |row| {
            let id: Id = row.get("execution_id")?;
            Ok((id, FoundAttempt { execution: row.get("guid")?, attempt: attempt_of(row)? }))
        })?;
        let Some((id, last)) = rows.last() else { return Ok(()) };
        after = (*id, last.attempt.number);
        for (_, found) in rows {
            take(found)?;
        }
    }
}

pub(super) fn each_stray(
    session: &Session<'_>,
    take: &mut dyn FnMut(Stray) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each_named(session, sql!("strays/list"), "name", take, stray_of)
}

pub(super) fn each_instance(
    session: &Session<'_>,
    take: &mut dyn FnMut(MovedInstance) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each_named(session, sql!("service_instances/export"), "id", take, |row| {
        Ok(MovedInstance {
            instance: instance_of(row)?,
            context: row.get("context")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
        })
    })
}

pub(super) fn each_binding(
    session: &Session<'_>,
    take: &mut dyn FnMut((ServiceBinding, Timestamp)) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each_named(session, sql!("service_bindings/export"), "id", take, |row| {
        Ok((binding_of(row)?, row.get("created_at")?))
    })
}

pub(super) fn each_suspended_space(
    session: &Session<'_>,
    take: &mut dyn FnMut(Guid) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each_named(session, sql!("service_spaces/export"), "space_guid", take, |row| row.get("space_guid"))
}

pub(super) fn each_space_pause(
    session: &Session<'_>,
    take: &mut dyn FnMut(MovedPause) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each_named(session, sql!("space_pauses/export"), "space_guid", take, moved_pause_of)
}

pub(super) fn each_notification(
    session: &Session<'_>,
    take: &mut dyn FnMut(Notification) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut take_all = |batch: Vec<Notification>| batch.into_iter().try_for_each(&mut *take);
    each(session, sql!("notifications/export"), BATCH, &mut take_all, notification_of)
}

pub(super) fn each_streak(
    session: &Session<'_>,
    take: &mut dyn FnMut(MovedStreak) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut take_all = |batch: Vec<MovedStreak>| batch.into_iter().try_for_each(&mut *take);
    each(session, sql!("streaks/export"), BATCH, &mut take_all, |row| {
        Ok(MovedStreak {
            executable: row.get("executable_guid")?,
            failures: row.get("failures")?,
            failing_since: row.get("failing_since")?,
            last_execution: row.get("last_execution_guid")?,
            expected_since: row.get("expected_since")?,
            success_due_at: row.get("success_due_at")?,
        })
    })
}

pub(super) fn each_alert(
    session: &Session<'_>,
    take: &mut dyn FnMut(MovedAlert) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut after: (Id, Id, String) = (0, 0, String::new());
    loop {
        let values = values! {
            "after_notification": after.0, "after_executable": after.1, "after_event": &after.2,
            "limit": BATCH,
        };
        let rows = session.rows(sql!("alerts/export"), values, |row| {
            let event: String = row.get("event")?;
            let moved = MovedAlert {
                notification: row.get("notification_guid")?,
                executable: row.get("executable_guid")?,
                event: Event::named(&event).ok_or_else(|| StoreError::Bug(format!("event {event:?}")))?,
                since: row.get("since")?,
                data: json_of(row)?.to_string(),
                remind_at: row.get("remind_at")?,
            };
            Ok(((row.get("notification_id")?, row.get("executable_id")?, event), moved))
        })?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        after.clone_from(last);
        for (_, moved) in rows {
            take(moved)?;
        }
    }
}

/// The rows of a statement, in batches by the column `key`, a text.
fn each_named<T>(
    session: &Session<'_>,
    statement: &'static Statement,
    key: &str,
    take: &mut dyn FnMut(T) -> Result<(), StoreError>,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let values = values! { "after": &after, "limit": BATCH };
        let rows: Vec<(String, T)> =
            session.rows(statement, values, |row| Ok((row.get(key)?, read(row)?)))?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        after.clone_from(last);
        for (_, row) in rows {
            take(row)?;
        }
    }
}

/// The rows of a statement, in batches by id.
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
        let rows: Vec<(Id, T)> = session.rows(statement, values, |row| Ok((row.get("id")?, read(row)?)))?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        after = *last;
        take(rows.into_iter().map(|(_, row)| row).collect())?;
    }
}
