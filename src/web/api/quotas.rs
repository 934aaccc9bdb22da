//! How much a space may have.

use serde::Serialize;

use super::Api;
use super::error::ApiError;
use super::violation::Violation;
use crate::model::{Guid, Kind};
use crate::store::{NOTIFICATIONS_MAX, Scope};

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

/// Checks for dry runs, which take no lock: a concurrent creation may take the last place.
impl Api {
    /// Fails if the space has all the jobs or calls that it may have.
    pub(super) fn check_quota_of(&self, kind: Kind, space: &Guid) -> Result<(), ApiError> {
        let Some(quota) = self.quotas.of(kind) else { return Ok(()) };
        let space = self.store.space(space, self.clock.now())?;
        let total = match kind {
            Kind::Job => space.jobs,
            Kind::Call => space.calls,
        };
        if total < quota.into() { Ok(()) } else { Err(over_quota("app_guid", kind.as_str(), Some(quota))) }
    }

    /// Fails if the space has all the schedules that it may have.
    pub(super) fn check_quota_of_schedules(&self, space: &Guid) -> Result<(), ApiError> {
        let Some(quota) = self.quotas.schedules else { return Ok(()) };
        let total = self.store.space(space, self.clock.now())?.schedules;
        if total < quota.into() { Ok(()) } else { Err(over_quota("schedule", "schedule", Some(quota))) }
    }

    /// Fails if the space has all the notifications that it may have.
    pub(super) fn check_quota_of_notifications(&self, space: &Guid) -> Result<(), ApiError> {
        let total = self.store.count_notifications(&Scope::Space(space.clone()))?.total;
        if total < NOTIFICATIONS_MAX { Ok(()) } else { Err(too_many_notifications()) }
    }
}

/// The error for one more notification.
pub(super) fn too_many_notifications() -> ApiError {
    let detail = format!("has {NOTIFICATIONS_MAX} notifications already");
    let expected = format!("a space with fewer than {NOTIFICATIONS_MAX}");
    Violation::new("space_guid", "quota_exceeded", detail, expected).into()
}

/// The error for one more of `what`.
pub(super) fn over_quota(field: &'static str, what: &str, quota: Option<u32>) -> ApiError {
    let quota = quota.unwrap_or_default();
    let detail = format!("is of a space that has as many {what}s as it may have, {quota}");
    let expected = format!("a space with fewer than {quota} {what}s");
    Violation::new(field, "quota_exceeded", detail, expected).into()
}
