//! How much a space may have.

use serde::Serialize;

use super::error::ApiError;
use super::violation::Violation;
use crate::model::Kind;

/// The most that a space may have of each; `None`: any number. What exists beyond stays.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Quotas {
    /// Its jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u32>,
    /// Its calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u32>,
    /// The schedules of its jobs and calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedules: Option<u32>,
    /// The least seconds between two fire times of a new expression.
    #[serde(rename = "schedule_min_seconds", skip_serializing_if = "Option::is_none")]
    pub least_seconds: Option<u32>,
}

impl Quotas {
    pub(super) fn of(&self, kind: Kind) -> Option<u32> {
        match kind {
            Kind::Job => self.jobs,
            Kind::Call => self.calls,
        }
    }
}

/// Why one more of `what` is refused.
pub(super) fn over_quota(field: &'static str, what: &str, quota: Option<u32>) -> ApiError {
    let quota = quota.unwrap_or_default();
    let detail = format!("is of a space that has as many {what}s as it may have, {quota}");
    let expected = format!("a space with fewer than {quota} {what}s");
    Violation::new(field, "quota_exceeded", detail, expected).into()
}
