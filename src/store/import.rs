//! Imports the contents of another database, in one transaction.
//!
//! Invariant: existing rows are not changed, and imported rows keep their guids. Ids follow the order of
//! import.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Serialize;

use super::audit::{self, NewEvent};
use super::executables::Columns;
use super::session::Session;
use super::statement::{Named, json_array, sql, sql_by_engine, values};
use super::{
    Attempt, Engine, ImportMode, MovedPause, NewExecutable, Planner, ServiceBinding, ServiceInstance, Store,
    StoreError, Stray, broker, notifications, outbox,
};
use crate::model::{Definition, Event, ExecutionState, Guid, Kind, MisfirePolicy, Notification, Timestamp};

/// A job or call from another database.
#[derive(Debug)]
pub struct MovedExecutable {
    /// The guid, which it keeps.
    pub guid: Guid,
    /// Its definition.
    pub new: NewExecutable,
    /// When it was created.
    pub created_at: Timestamp,
    /// When a client last changed it.
    pub updated_at: Timestamp,
}

/// A schedule from another database.
#[derive(Debug)]
pub struct MovedSchedule {
    /// The guid, which it keeps.
    pub guid: Guid,
    /// The guid of its job or call.
    pub executable: Guid,
    /// Whether that is a job or a call.
    pub kind: Kind,
    /// Its definition.
    pub definition: Definition,
    /// Since when it is known never to fire again.
    pub completed_at: Option<Timestamp>,
    /// The next fire time, planned now; `None` if it is disabled.
    pub next_fire_time: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When a client last changed it.
    pub updated_at: Timestamp,
}

/// An execution from another database. Never PENDING.
#[derive(Debug)]
pub struct MovedExecution {
    /// The guid, which it keeps.
    pub guid: Guid,
    /// The guid of its job or call.
    pub executable: Guid,
    /// Whether that is a job or a call.
    pub kind: Kind,
    /// The schedule that fired, and the fire time; `None`: started by hand.
    pub fire: Option<(Guid, Timestamp)>,
    /// RUNNING for a task that must be followed to its end; otherwise the outcome.
    pub state: ExecutionState,
    /// The note from its creation.
    pub note: String,
    /// The message of its outcome.
    pub message: String,
    /// The guid of its task.
    pub task: Option<Guid>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its first attempt began.
    pub start_time: Option<Timestamp>,
    /// When it ended; `None`: it is running.
    pub end_time: Option<Timestamp>,
    /// The id of the request that started it; empty when a schedule did.
    pub request_id: String,
    /// How it was controlled.
    pub control: MovedControl,
}

/// How an imported execution was controlled.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "they are those of the table")]
pub struct MovedControl {
    pub reason: Option<String>,
    pub requested_by: String,
    pub app: Option<Guid>,
    pub attempt: u32,
    pub attempt_start: Option<Timestamp>,
    pub cancel_requested_at: Option<Timestamp>,
    pub cancel_reason: Option<String>,
    pub cancel_message: Option<String>,
    pub more_skipped: u32,
}

/// A service instance from another database.
#[derive(Debug)]
pub struct MovedInstance {
    /// The instance.
    pub instance: ServiceInstance,
    /// The platform's context, as JSON.
    pub context: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The streak of an imported job or call.
#[derive(Debug)]
pub struct MovedStreak {
    /// The guid of its job or call.
    pub executable: Guid,
    /// The number of consecutive failures.
    pub failures: u64,
    /// Since when.
    pub failing_since: Option<Timestamp>,
    /// The execution whose outcome counts; `None`: none yet, or it was purged.
    pub last_execution: Option<Guid>,
    /// Since when a success is expected; `None`: none is.
    pub expected_since: Option<Timestamp>,
    /// `None`: it is overdue, or none is expected.
    pub success_due_at: Option<Timestamp>,
}

/// A reported, active alert from another database.
#[derive(Debug)]
pub struct MovedAlert {
    /// The guid of the notification.
    pub notification: Guid,
    /// The guid of the job or call.
    pub executable: Guid,
    /// `failed` or `overdue`.
    pub event: Event,
    /// Since when it is active.
    pub since: Timestamp,
    /// Its contents, as JSON.
    pub data: String,
    /// When the next reminder is due.
    pub remind_at: Option<Timestamp>,
}

/// An execution as the statements read it.
#[derive(Serialize)]
struct ExecutionRow<'a> {
    guid: Cow<'a, str>,
    executable_guid: Cow<'a, str>,
    kind: &'static str,
    schedule_guid: Option<Cow<'a, str>>,
    scheduled_time: Option<i64>,
    state: &'static str,
    note: Cow<'a, str>,
    message: Cow<'a, str>,
    task_guid: Option<Cow<'a, str>>,
    created_at: i64,
    start_time: Option<i64>,
    end_time: Option<i64>,
    request_id: Cow<'a, str>,
    reason: Option<&'a str>,
    requested_by: Cow<'a, str>,
    app_guid: Option<Cow<'a, str>>,
    attempt: u32,
    attempt_start_time: Option<i64>,
    cancel_requested_at: Option<i64>,
    cancel_reason: Option<&'a str>,
    cancel_message: Option<Cow<'a, str>>,
    more_skipped: u32,
}

impl Store {
    /// Runs `work` once, in one transaction of any length. If it fails, or in a dry run, nothing is kept.
    pub fn import<T>(
        &self,
        mode: ImportMode,
        work: impl FnOnce(&Importer<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let work = |session: Session<'_>| work(&Importer { session: &session });
        match &self.engine {
            Engine::Sqlite(database) => {
                database.write_long(mode, |connection| work(Session::Sqlite(connection)))
            }
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => {
                database.write_long(mode, |connection| work(Session::Postgres(connection)))
            }
        }
    }
}

/// Inserts rows in the transaction of an import.
pub struct Importer<'a> {
    session: &'a Session<'a>,
}

impl Importer<'_> {
    /// Imports a job or call. `false`: its guid exists already, or its name is taken.
    pub fn insert_executable(&self, executable: &MovedExecutable) -> Result<bool, StoreError> {
        let MovedExecutable { guid, new, created_at, updated_at } = executable;
        let columns = Columns::of(&new.work, &new.controls)?;
        let mut values = columns.values();
        values.extend(values! {
            "guid": guid, "kind": new.work.kind().as_str(), "name": &new.name, "app_guid": &new.app,
            "space_guid": &new.space, "created_at": *created_at, "updated_at": *updated_at,
        });
        Ok(self.session.execute(sql!("executables/import"), &values)? == 1)
    }

    /// Looks up a guid: its kind, and whether it is deleted here. `None`: not found.
    pub fn find_executable(&self, guid: &str) -> Result<Option<(Kind, bool)>, StoreError> {
        self.session.first(sql!("executables/import_find"), values! { "guid": guid }, |row| {
            Ok((row.get("kind")?, row.get("is_deleted")?))
        })
    }

    /// Imports schedules, planned at `now`. Returns for each whether it was inserted: its guid was free, and
    /// its job or call exists.
    pub fn insert_schedules(
        &self,
        schedules: &[MovedSchedule],
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        let sets: Vec<Vec<Named<'_>>> = schedules
            .iter()
            .map(|schedule| {
                let definition = &schedule.definition;
                values! {
                    "guid": &schedule.guid, "executable_guid": &schedule.executable,
                    "kind": schedule.kind.as_str(), "enabled": definition.enabled,
                    "expression": &definition.timing.expression,
                    "dialect": definition.timing.dialect.recorded(),
                    "timezone": definition.timing.timezone.as_deref(),
                    "starts_at": definition.timing.starts_at,
                    "ends_at": definition.timing.ends_at, "jitter_seconds": definition.jitter_seconds,
                    "misfire_policy": definition.misfire_policy.map(MisfirePolicy::as_str),
                    "description": definition.description.as_deref(), "key": definition.key.as_deref(),
                    "completed_at": schedule.completed_at,
                    "next_fire_time": schedule.next_fire_time, "now": now,
                    "created_at": schedule.created_at, "updated_at": schedule.updated_at,
                }
                .to_vec()
            })
            .collect();
        let changed = self.session.execute_each(sql!("schedules/import"), &sets)?;
        Ok(changed.into_iter().map(|rows| rows == 1).collect())
    }

    /// The job or call of the schedule with this guid, deleted ones included. `None`: not found.
    pub fn find_schedule(&self, guid: &str) -> Result<Option<Guid>, StoreError> {
        self.session
            .first(sql!("schedules/import_find"), values! { "guid": guid }, |row| row.get("executable_guid"))
    }

    /// Imports executions and returns the guids of those that were inserted. A missing schedule is created as
    /// a deleted one.
    pub fn insert_executions<'a>(
        &self,
        executions: impl Iterator<Item = &'a MovedExecution>,
        now: Timestamp,
    ) -> Result<HashSet<Guid>, StoreError> {
        let rows = json_array(executions.map(|execution| self.row(execution)))?;
        let values = values! { "rows": &rows, "now": now };
        self.session.execute(sql_by_engine!("schedules/import_gone"), values)?;
        let taken = self.session.rows(sql_by_engine!("executions/import"), values, |row| row.get("guid"))?;
        Ok(taken.into_iter().collect())
    }

    /// Imports a finished attempt of an execution that exists here.
    pub fn insert_attempt(&self, execution: &str, attempt: &Attempt) -> Result<(), StoreError> {
        let Attempt { number, start_time, end_time, task, message } = attempt;
        let values = values! {
            "execution_guid": execution, "number": *number, "start_time": *start_time, "end_time": *end_time,
            "task_guid": task.as_ref(), "message": message,
        };
        self.session.execute(sql!("attempts/import"), values).map(|_| ())
    }

    /// Which of these executions exist here.
    pub fn known_executions<'a>(
        &self,
        guids: impl Iterator<Item = &'a Guid>,
    ) -> Result<HashSet<Guid>, StoreError> {
        let guids = json_array(guids.map(|guid| self.text(guid.as_str())))?;
        let known =
            self.session
                .rows(sql!("executions/import_known"), values! { "guids": &guids }, |row| row.get("guid"))?;
        Ok(known.into_iter().collect())
    }

    /// After the histories: records the execution from which each job's state comes. `true`: also take the
    /// state from it.
    pub fn settle_states<'a>(&self, jobs: impl Iterator<Item = (&'a Guid, bool)>) -> Result<(), StoreError> {
        let sets: Vec<Vec<Named<'_>>> = jobs
            .map(|(guid, from_history)| values! { "guid": guid, "from_history": from_history }.to_vec())
            .collect();
        for sets in sets.chunks(500) {
            self.session.execute_each(sql!("executables/import_settle"), sets)?;
        }
        Ok(())
    }

    /// Imports a service instance. If its space was suspended, its schedules resume from `now` on, at the
    /// times that `planner` computes. `false`: its id exists already.
    pub fn insert_instance(
        &self,
        moved: &MovedInstance,
        now: Timestamp,
        planner: Planner<'_>,
    ) -> Result<bool, StoreError> {
        let MovedInstance { instance, context, created_at, updated_at } = moved;
        let values = values! {
            "id": &instance.id, "service_id": &instance.service_id, "plan_id": &instance.plan_id,
            "organization_guid": &instance.organization, "space_guid": &instance.space,
            "parameters": &instance.parameters, "context": context, "created_at": *created_at,
            "updated_at": *updated_at,
        };
        if self.session.execute(sql!("service_instances/import"), values)? == 0 {
            return Ok(false);
        }
        self.session.execute(sql!("service_spaces/insert"), values! { "space_guid": &instance.space })?;
        broker::resume(self.session, &instance.space, now, planner)?;
        Ok(true)
    }

    /// Imports a binding. `false`: its id exists already, or its instance is missing.
    pub fn insert_binding(
        &self,
        binding: &ServiceBinding,
        created_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let values = values! {
            "id": &binding.id, "instance_id": &binding.instance_id, "service_id": &binding.service_id,
            "plan_id": &binding.plan_id, "app_guid": &binding.app, "parameters": &binding.parameters,
            "api_endpoint": &binding.api_endpoint, "created_at": created_at,
        };
        Ok(self.session.execute(sql!("service_bindings/import"), values)? == 1)
    }

    /// Suspends a space that is unknown here.
    pub fn insert_suspended_space(&self, space: &Guid) -> Result<(), StoreError> {
        self.session.execute(sql!("service_spaces/import"), values! { "space_guid": space })?;
        Ok(())
    }

    /// Imports the pause of a space that has none here.
    pub fn insert_space_pause(&self, moved: &MovedPause) -> Result<(), StoreError> {
        let MovedPause { space, pause, resumed_at, updated_at } = moved;
        let values = values! {
            "space_guid": space, "is_paused": pause.is_some(),
            "paused_until": pause.as_ref().and_then(|it| it.until),
            "paused_by": pause.as_ref().map_or("", |it| it.by.as_str()),
            "paused_note": pause.as_ref().and_then(|it| it.note.as_deref()),
            "resumed_at": *resumed_at, "updated_at": *updated_at,
        };
        self.session.execute(sql!("space_pauses/import"), values)?;
        Ok(())
    }

    /// Imports a notification. `false`: it exists already, or its name is taken in the space.
    pub fn insert_notification(&self, moved: &Notification) -> Result<bool, StoreError> {
        Ok(notifications::insert(self.session, moved)?.is_some())
    }

    /// The time for the next success of an imported job or call starts at `now`.
    pub fn expect_success(&self, guid: &Guid, within: u32, now: Timestamp) -> Result<(), StoreError> {
        let due_at = outbox::after_seconds(now, within);
        let values = values! { "guid": guid, "since": now, "due_at": due_at };
        self.session.execute(sql!("streaks/import"), values)?;
        Ok(())
    }

    /// Takes the streak of a job or call that was taken, after its history.
    pub fn insert_streak(&self, moved: &MovedStreak) -> Result<(), StoreError> {
        let values = values! {
            "guid": &moved.executable, "failures": moved.failures, "failing_since": moved.failing_since,
            "last_execution_guid": moved.last_execution.as_ref(), "expected_since": moved.expected_since,
            "success_due_at": moved.success_due_at,
        };
        self.session.execute(sql!("streaks/import_moved"), values)?;
        Ok(())
    }

    /// Takes what was told of a job or call that was taken, if its notification is here.
    pub fn insert_alert(&self, moved: &MovedAlert, now: Timestamp) -> Result<(), StoreError> {
        let values = values! {
            "notification_guid": &moved.notification, "executable_guid": &moved.executable,
            "event": moved.event.as_str(), "since": moved.since, "data": &moved.data,
            "remind_at": moved.remind_at,
        };
        if self.session.execute(sql!("alerts/import"), values)? == 1 {
            let values = values! { "guid": &moved.notification, "now": now };
            self.session.execute(sql!("notifications/repeat"), values)?;
        }
        Ok(())
    }

    /// Writes the audit event of the import.
    pub fn record(&self, event: &NewEvent, now: Timestamp) -> Result<(), StoreError> {
        audit::record(self.session, Some(event), None, now)
    }

    /// Imports the name of a task to look for.
    pub fn insert_stray(&self, stray: &Stray) -> Result<(), StoreError> {
        let values = values! {
            "name": &stray.name, "task_name": stray.task_name.as_ref(), "attempts": stray.attempts,
            "attempt": stray.attempt, "is_to_end": stray.is_to_end,
            "doubt_until": stray.doubt_until,
            "surplus_of": stray.surplus.as_ref().map(|surplus| &surplus.execution),
        };
        self.session.execute(sql!("strays/import"), values)?;
        Ok(())
    }

    fn row<'a>(&self, execution: &'a MovedExecution) -> ExecutionRow<'a> {
        let control = &execution.control;
        ExecutionRow {
            guid: self.text(execution.guid.as_str()),
            executable_guid: self.text(execution.executable.as_str()),
            kind: execution.kind.as_str(),
            schedule_guid: execution.fire.as_ref().map(|(schedule, _)| self.text(schedule.as_str())),
            scheduled_time: execution.fire.as_ref().map(|(_, time)| time.nanos()),
            state: execution.state.as_str(),
            note: self.text(&execution.note),
            message: self.text(&execution.message),
            task_guid: execution.task.as_ref().map(|task| self.text(task.as_str())),
            created_at: execution.created_at.nanos(),
            start_time: execution.start_time.map(Timestamp::nanos),
            end_time: execution.end_time.map(Timestamp::nanos),
            request_id: self.text(&execution.request_id),
            reason: control.reason.as_deref(),
            requested_by: self.text(&control.requested_by),
            app_guid: control.app.as_ref().map(|app| self.text(app.as_str())),
            attempt: control.attempt.max(1),
            attempt_start_time: control.attempt_start.map(Timestamp::nanos),
            cancel_requested_at: control.cancel_requested_at.map(Timestamp::nanos),
            cancel_reason: control.cancel_reason.as_deref(),
            cancel_message: control.cancel_message.as_deref().map(|message| self.text(message)),
            more_skipped: control.more_skipped,
        }
    }

    /// A text inside of JSON, in the form that the engine needs.
    fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.session {
            Session::Sqlite(_) => Cow::Borrowed(text),
            #[cfg(feature = "postgres")]
            Session::Postgres(_) | Session::Group(..) => Cow::Owned(super::postgres::encoded(text)),
        }
    }
}

impl std::fmt::Debug for Importer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Importer").finish_non_exhaustive()
    }
}
