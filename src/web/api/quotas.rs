//! How much a space may have.

use serde::Serialize;

use super::error::ApiError;
use super::violation::Violation;
use crate::model::Kind;

/// The most objects of each kind in a space; `None`: unlimited. Existing objects beyond a quota stay.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Quotas {
    /// Jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u32>,
    /// Calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u32>,
    /// Schedules of the jobs and calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedules: Option<u32>,
    /// The shortest interval of a new expression, in seconds.
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

/// The error for one more of `what`.
pub(super) fn over_quota(field: &'static str, what: &str, quota: Option<u32>) -> ApiError {
    let quota = quota.unwrap_or_default();
    let detail = format!("is of a space that has as many {what}s as it may have, {quota}");
    let expected = format!("a space with fewer than {quota} {what}s");
    Violation::new(field, "quota_exceeded", detail, expected).into()
}
