//! Reads the tables of a Go service. Each row comes as JSON, so that missing, additional or differently typed
//! columns do no harm.

use serde_json::{Map, Value};

use super::{FoundExecutable, FoundExecution, FoundSchedule};
use crate::model::{Controls, Definition, Dialect, Kind, Secret, Timestamp, Timing};
use crate::store::session::Session;
use crate::store::statement::{Statement, postgres_sql, values};
use crate::store::{MovedControl, StoreError};

pub(super) fn each_executable(
    session: &Session<'_>,
    take: &mut dyn FnMut(Vec<FoundExecutable>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let tables = [(Kind::Job, postgres_sql!("go/jobs")), (Kind::Call, postgres_sql!("go/calls"))];
    for (kind, statement) in tables {
        each(session, statement, take, |row| FoundExecutable {
            guid: row.word("guid").unwrap_or_default(),
            kind,
            name: row.text("name"),
            app: row.word("app_guid"),
            space: row.word("space_guid"),
            command: row.text("command"),
            disk_in_mb: row.number("disk_in_mb"),
            memory_in_mb: row.number("memory_in_mb"),
            log_rate_in_bps: row.number("log_rate_in_bps"),
            state: row.word("state"),
            url: row.text("url"),
            auth_header: row.text("auth_header").map(Secret::from),
            call: None,
            timeout_seconds: None,
            controls: Controls::default(),
            created_at: row.time("created_at"),
            updated_at: row.time("updated_at"),
        })?;
    }
    Ok(())
}

pub(super) fn each_schedule(
    session: &Session<'_>,
    take: &mut dyn FnMut(Vec<FoundSchedule>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each(session, postgres_sql!("go/schedules"), take, |row| FoundSchedule {
        guid: row.word("guid").unwrap_or_default(),
        executable: row.word("ref_guid").unwrap_or_default(),
        kind: row.kind(),
        definition: Definition {
            // NULL means disabled, as for the service that wrote it.
            enabled: row.truth("enabled"),
            ..Definition::new(Timing::new(row.text("expression").unwrap_or_default(), Dialect::default()))
        },
        dialect: None,
        completed_at: None,
        next_fire_time: None,
        created_at: row.time("created_at"),
        updated_at: row.time("updated_at"),
    })
}

pub(super) fn each_execution(
    session: &Session<'_>,
    take: &mut dyn FnMut(Vec<FoundExecution>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each(session, postgres_sql!("go/executions"), take, |row| {
        let (start_time, scheduled_time, end_time) =
            (row.time("execution_start_time"), row.time("scheduled_time"), row.time("execution_end_time"));
        FoundExecution {
            guid: row.word("guid").unwrap_or_default(),
            executable: row.word("ref_guid").unwrap_or_default(),
            kind: row.kind(),
            schedule: row.word("schedule_guid"),
            scheduled_time,
            state: row.word("state").unwrap_or_default(),
            note: String::new(),
            message: row.text("message").unwrap_or_default(),
            task: row.word("task_guid"),
            created_at: start_time.or(scheduled_time).or(end_time),
            start_time,
            end_time,
            request_id: String::new(),
            control: MovedControl::default(),
        }
    })
}

/// The rows of a table, in batches through a cursor: the server sorts them only once.
fn each<T>(
    session: &Session<'_>,
    declare: &'static Statement,
    take: &mut dyn FnMut(Vec<T>) -> Result<(), StoreError>,
    read: impl Fn(&GoRow) -> T,
) -> Result<(), StoreError> {
    session.execute(declare, values! {})?;
    loop {
        let rows = session.rows(postgres_sql!("go/fetch"), values! {}, |row| {
            let text: String = row.get("row")?;
            let columns = serde_json::from_str(&text)
                .map_err(|err| StoreError::Bug(format!("a row of the source is not JSON: {err}")))?;
            Ok(read(&GoRow(columns)))
        })?;
        if rows.is_empty() {
            break;
        }
        take(rows)?;
    }
    session.execute(postgres_sql!("go/close"), values! {})?;
    Ok(())
}

/// A row of the Go service: columns by name.
struct GoRow(Map<String, Value>);

impl GoRow {
    /// A text as it is; numbers and booleans as text.
    fn text(&self, column: &str) -> Option<String> {
        match self.0.get(column)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }

    /// A text without the blanks that pad a `character(36)`. `None` if blank.
    fn word(&self, column: &str) -> Option<String> {
        let text = self.text(column)?;
        let word = text.trim();
        if word.is_empty() { None } else { Some(word.to_owned()) }
    }

    fn number(&self, column: &str) -> Option<i64> {
        self.word(column)?.parse().ok()
    }

    fn truth(&self, column: &str) -> bool {
        matches!(self.word(column).as_deref(), Some("true" | "t" | "1"))
    }

    /// A time; `None` for the year 1, the service's zero value. Without an offset it is in UTC.
    fn time(&self, column: &str) -> Option<Timestamp> {
        let text = self.word(column)?;
        Timestamp::parse(&text).or_else(|| Timestamp::parse(&format!("{text}Z")))
    }

    fn kind(&self) -> Option<Kind> {
        match self.word("ref_type")?.to_ascii_lowercase().as_str() {
            "job" => Some(Kind::Job),
            "call" => Some(Kind::Call),
            _ => None,
        }
    }
}
