//! The output of an execution's task, if the platform keeps it.

use std::sync::Arc;
use std::time::Duration;

use tiny_http::{Header, StatusCode};

use super::Api;
use super::error::ApiError;
use super::page::{Batches, whole_number};
use super::query::Query;
use super::violation::Violation;
use crate::http::{Body, Request, Response, with_header};
use crate::model::{Executable, Guid, Kind, Timestamp};
use crate::platform::{LogQuery, OutputPart};
use crate::store::{Attempt, ListedExecution};

/// The most bytes of one answer. The next request continues where it ended.
const ANSWER_MAX: u64 = 1024 * 1024;
/// The most bytes in memory for one answer.
const PART_BYTES: usize = 32 * 1024;
/// Roughly how many bytes of a log are read at once.
const LOG_BYTES: usize = 256 * 1024;
/// A task's output may reach the log this long after its end.
const LOG_TIME: Duration = Duration::from_secs(60);
/// If nothing arrives for this long after the end, the log is complete.
const LOG_DELAY: Duration = Duration::from_secs(10);
/// How much the clocks of other machines may differ from ours.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// The byte at which to start.
pub(super) fn offset_of(query: &Query) -> Result<u64, Violation> {
    let offset = query.get("offset").map(|text| whole_number(text, "offset", (0, u64::MAX)));
    Ok(offset.transpose()?.unwrap_or(0))
}

/// The token of an `Authorization` header.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Lines of a log; the rest begins at `next`.
fn log_text(bytes: Vec<u8>, next: u64, is_complete: bool) -> Response {
    let size = bytes.len();
    let headers = Header::from_bytes("Content-Type", "text/plain; charset=utf-8").into_iter().collect();
    let body = Body::Stream(Box::new(std::io::Cursor::new(bytes)));
    let response = Response::new(StatusCode(200), headers, body, Some(size), None);
    let response = with_header(response, "X-Output-Next-Offset", &next.to_string());
    with_header(response, "X-Output-Complete", if is_complete { "true" } else { "false" })
}

impl Api {
    /// The output of the last attempt of a job's execution.
    pub(in crate::web) fn output_of_job(
        &self,
        job: &Executable,
        execution: &str,
        request: &Request,
        query: &Query,
    ) -> Result<Response, ApiError> {
        let offset = offset_of(query)?;
        let guid = Guid::from_outside(execution).ok_or(ApiError::NotFound)?;
        let found = self.store.find_execution(guid.as_str())?.filter(|found| found.of.guid == job.guid);
        let found = found.ok_or(ApiError::NotFound)?;
        let attempt = self.latest_attempt(&found)?;
        self.output(&found, attempt, request, offset)
    }

    /// The latest attempt that has begun.
    pub(super) fn latest_attempt(&self, found: &ListedExecution) -> Result<Option<Attempt>, ApiError> {
        match found.last_attempt() {
            None if 1 < found.execution.attempt => Ok(self.store.attempts_before(found.execution.id)?.pop()),
            attempt => Ok(attempt),
        }
    }

    /// Answers with the output of an attempt's task from `offset` on, and says where to continue and whether
    /// there may be more.
    pub(super) fn output(
        &self,
        found: &ListedExecution,
        attempt: Option<Attempt>,
        request: &Request,
        offset: u64,
    ) -> Result<Response, ApiError> {
        let execution = &found.execution;
        if !self.platform.keeps_output() && found.of.kind == Kind::Job {
            return self.logs(found, attempt, request, offset);
        }
        // If the platform keeps output, a task's guid is its name.
        let task = attempt.and_then(|attempt| attempt.task).or_else(|| execution.task.clone());
        let name = task.map_or_else(|| execution.guid.to_string(), |task| task.to_string());
        let is_ended = execution.state.is_final();
        let part = match self.platform.read_output(&name, offset, PART_BYTES)? {
            Some(part) => part,
            // There is no task yet. An execution that has ended had none, or its output was deleted.
            None if !is_ended && self.platform.keeps_output() => {
                OutputPart { bytes: Vec::new(), length: 0, is_ended: false }
            }
            None => return Err(ApiError::NotFound),
        };
        let size = part.length.saturating_sub(offset).min(ANSWER_MAX);
        let next = offset.saturating_add(size);
        // The output counts as complete only after both ends: the one in the history, which clients see, and
        // the task's own, until which it may print.
        let complete = if is_ended && part.is_ended && part.length <= next { "true" } else { "false" };
        let response = self.text(name, next, size, part.bytes);
        let response = with_header(response, "X-Output-Next-Offset", &next.to_string());
        Ok(with_header(response, "X-Output-Complete", complete))
    }

    /// Like [`Api::output`], for a platform that keeps the output elsewhere: with the token of the caller.
    fn logs(
        &self,
        found: &ListedExecution,
        attempt: Option<Attempt>,
        request: &Request,
        offset: u64,
    ) -> Result<Response, ApiError> {
        let token = request.header("Authorization").and_then(bearer).ok_or(ApiError::NotFound)?;
        let now = self.clock.now();
        let state = found.execution.state;
        let Some(Attempt { number, start_time: Some(start_time), end_time, .. }) = attempt else {
            // There is no task yet, or there never was one.
            return if state.is_final() {
                Err(ApiError::NotFound)
            } else {
                Ok(log_text(Vec::new(), offset, false))
            };
        };
        let from = match i64::try_from(offset) {
            Ok(0) => start_time.saturating_sub(CLOCK_SLACK),
            Ok(nanos) => Timestamp::from_nanos(nanos),
            Err(_) => now,
        };
        let wanted = LogQuery {
            app: found.ran_in.as_ref().unwrap_or(&found.of.app),
            execution: &found.execution.guid,
            attempt: number,
            from,
            until: end_time.map_or(now, |end_time| end_time.saturating_add(LOG_TIME)).min(now),
            is_from_start: offset == 0,
            bytes_max: LOG_BYTES,
        };
        let part = self.platform.read_logs(token, &wanted)?.ok_or(ApiError::NotFound)?;
        let next = u64::try_from(part.next.nanos()).unwrap_or(offset);
        let has_settled = end_time.is_some_and(|end_time| end_time.saturating_add(LOG_DELAY) <= now);
        let response = log_text(part.bytes, next, has_settled && part.is_drained);
        Ok(match part.is_truncated {
            true => with_header(response, "X-Output-Truncated", "true"),
            false => response,
        })
    }

    /// An answer of `size` bytes, up to byte `end` of the output; `first` are the first of them. The thread
    /// that writes the answer reads the others in parts, as for lists.
    fn text(&self, task: String, end: u64, size: u64, first: Vec<u8>) -> Response {
        let mut left = size.saturating_sub(first.len() as u64);
        let platform = Arc::clone(&self.platform);
        let next = move |buffer: &mut Vec<u8>| {
            let limit = usize::try_from(left).unwrap_or(usize::MAX).min(PART_BYTES);
            let part = platform.read_output(&task, end - left, limit).map_err(|err| err.to_string())?;
            match part {
                // Output that existed when the answer began is still there, unless it was purged meanwhile.
                Some(part) if part.bytes.len() == limit => buffer.extend_from_slice(&part.bytes),
                _ => return Err("the output was deleted".to_owned()),
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
