//! Starts executions by hand, and lists the history of a job, call or schedule.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::audit::By;
use super::error::ApiError;
use super::executables::shown;
use super::overview::filter_of_history;
use super::page::{self, Order, Paging};
use super::query::Query;
use super::{Api, versions};
use crate::engine::journal::{self, About};
use crate::http::{Request, Response};
use crate::model::{Executable, Execution, Guid, Kind, Reason};
use crate::store::{Created, ExecutionFilter, HistoryOf, ManualStart};
use crate::web::auth::Caller;

/// The JSON of an execution.
#[derive(Serialize)]
pub(super) struct ExecutionJson {
    guid: String,
    #[serde(flatten)]
    of: OfJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule_guid: Option<String>,
    scheduled_time: Option<String>,
    message: String,
    state: &'static str,
    /// Why it was skipped or did not succeed.
    reason: Option<&'static str>,
    execution_start_time: Option<String>,
    execution_end_time: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OfJson {
    Job { job_guid: String, task_guid: Option<String> },
    Call { call_guid: String },
}

impl ExecutionJson {
    pub(super) fn of(execution: Execution, kind: Kind, executable: &Guid) -> Self {
        let guid = executable.to_string();
        Self {
            guid: execution.guid.to_string(),
            of: match kind {
                Kind::Job => {
                    OfJson::Job { job_guid: guid, task_guid: execution.task.map(|task| task.to_string()) }
                }
                Kind::Call => OfJson::Call { call_guid: guid },
            },
            schedule_guid: execution.schedule.map(|schedule| schedule.to_string()),
            scheduled_time: shown(execution.scheduled_time),
            message: execution.message,
            state: execution.state.as_str(),
            reason: execution.reason.map(Reason::as_str),
            execution_start_time: shown(execution.start_time),
            execution_end_time: shown(execution.end_time),
        }
    }
}

impl Api {
    pub(in crate::web) fn execute(
        &self,
        caller: &Caller,
        executable: &Executable,
        request: &Request,
    ) -> Result<Response, ApiError> {
        let request_id = request.id.as_str();
        let by = By::of(caller, request);
        let event = self.event_of_executable(by, "execute", executable, || json!({}));
        let policy = executable.controls.concurrency_policy;
        let asked = ManualStart { request_id, by: &caller.name, policy, event: event.as_ref() };
        let created = self.store.create_execution(executable.id, asked, self.clock.now())?;
        let Created { execution, effects } = created.ok_or(ApiError::NotFound)?;
        journal::created(&About {
            guid: &execution.guid,
            kind: executable.kind(),
            executable: &executable.guid,
            name: Some(&executable.name),
            scheduled_time: None,
            due_time: None,
            start_time: None,
            request_id,
        });
        for ended in &effects.ended {
            journal::ended_by_another(ended);
        }
        if !effects.cancelled.is_empty() {
            self.calls_in_flight.abort(&effects.cancelled);
            self.wake_watcher();
        }
        self.wake_scheduler();
        versions::object(201, &ExecutionJson::of(execution, executable.kind(), &executable.guid))
    }

    pub(in crate::web) fn history(
        &self,
        executable: Executable,
        of: HistoryOf,
        request: &Request,
        query: &Query,
    ) -> Result<Response, ApiError> {
        let paging = Paging::of(query)?;
        if let Some(filter) = filter_of_history(query)? {
            return self.filtered_history(executable, of, filter, request, query, paging);
        }
        let extent = self.store.count_executions(of)?;
        let store = Arc::clone(&self.store);
        page::collection(request, query, paging, extent, Order::NewestFirst, move |window| {
            let part = store.list_executions(of, window)?;
            Ok(part.map(|it| ExecutionJson::of(it, executable.kind(), &executable.guid)))
        })
    }

    /// The part of a history that matches the query.
    fn filtered_history(
        &self,
        executable: Executable,
        of: HistoryOf,
        mut filter: ExecutionFilter,
        request: &Request,
        query: &Query,
        paging: Paging,
    ) -> Result<Response, ApiError> {
        if let HistoryOf::Schedule(schedule) = of {
            filter.schedule = Some(schedule);
        }
        let extent = self.store.count_matching(executable.id, &filter)?;
        let store = Arc::clone(&self.store);
        page::collection(request, query, paging, extent, Order::NewestFirst, move |window| {
            let part = store.list_matching(executable.id, &filter, window)?;
            Ok(part.map(|it| ExecutionJson::of(it, executable.kind(), &executable.guid)))
        })
    }
}
