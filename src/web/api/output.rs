//! What the task of an execution has printed, where the platform keeps it.

use std::sync::Arc;

use tiny_http::{Header, StatusCode};

use super::Api;
use super::error::ApiError;
use super::page::{Batches, whole_number};
use super::query::Query;
use super::violation::Violation;
use crate::http::{Body, Response, with_header};
use crate::model::{Executable, Execution, Guid};
use crate::platform::OutputPart;

/// The most bytes of one answer. The next request continues where it ended.
const ANSWER_MAX: u64 = 1024 * 1024;
/// The most bytes that are in memory for one answer.
const PART_BYTES: usize = 32 * 1024;

/// From which byte on the output is wanted.
pub(super) fn offset_of(query: &Query) -> Result<u64, Violation> {
    let offset = query.get("offset").map(|text| whole_number(text, "offset", (0, u64::MAX)));
    Ok(offset.transpose()?.unwrap_or(0))
}

impl Api {
    /// What the task of the last attempt of a job's execution has printed.
    pub(in crate::web) fn output_of_job(
        &self,
        job: &Executable,
        execution: &str,
        query: &Query,
    ) -> Result<Response, ApiError> {
        let offset = offset_of(query)?;
        let guid = Guid::from_outside(execution).ok_or(ApiError::NotFound)?;
        let execution = self.store.execution(job.id, guid.as_str())?.ok_or(ApiError::NotFound)?;
        self.output(&execution, execution.task.as_ref(), offset)
    }

    /// Answers with the output of a task from `offset` on, and says from where to go on and whether that
    /// makes sense.
    pub(super) fn output(
        &self,
        execution: &Execution,
        task: Option<&Guid>,
        offset: u64,
    ) -> Result<Response, ApiError> {
        // Where the platform keeps output, the guid of a task is its name.
        let name = task.map_or_else(|| execution.guid.to_string(), Guid::to_string);
        let is_ended = execution.state.is_final();
        let part = match self.platform.read_output(&name, offset, PART_BYTES)? {
            Some(part) => part,
            // It has no task yet. An ended one had none, or its output is no longer kept.
            None if !is_ended && self.platform.keeps_output() => {
                OutputPart { bytes: Vec::new(), length: 0, is_ended: false }
            }
            None => return Err(ApiError::NotFound),
        };
        let size = part.length.saturating_sub(offset).min(ANSWER_MAX);
        let next = offset.saturating_add(size);
        // An end that the history does not show yet is none for clients; and after one there, the task may
        // still print.
        let complete = if is_ended && part.is_ended && part.length <= next { "true" } else { "false" };
        let response = self.text(name, next, size, part.bytes);
        let response = with_header(response, "X-Output-Next-Offset", &next.to_string());
        Ok(with_header(response, "X-Output-Complete", complete))
    }

    /// An answer of `size` bytes, up to byte `end` of the output, of which the first are here. The others are
    /// read part by part by the thread that writes it, as lists are.
    fn text(&self, task: String, end: u64, size: u64, first: Vec<u8>) -> Response {
        let mut left = size.saturating_sub(first.len() as u64);
        let platform = Arc::clone(&self.platform);
        let next = move |buffer: &mut Vec<u8>| {
            let limit = usize::try_from(left).unwrap_or(usize::MAX).min(PART_BYTES);
            let part = platform.read_output(&task, end - left, limit).map_err(|err| err.to_string())?;
            match part {
                // What was there when the answer began is there still, unless the history was cleared
                // meanwhile.
                Some(part) if part.bytes.len() == limit => buffer.extend_from_slice(&part.bytes),
                _ => return Err("the output went away".to_owned()),
            }
            left -= limit as u64;
            Ok(0 < left)
        };
        let stream =
            if left == 0 { Batches::new(first, None) } else { Batches::new(first, Some(Box::new(next))) };
        let headers = Header::from_bytes("Content-Type", "text/plain; charset=utf-8").into_iter().collect();
        let size = usize::try_from(size).ok();
        Response::new(StatusCode(200), headers, Body::Stream(Box::new(stream)), size, None)
    }
}
