//! What the service broker has created: service instances and bindings. Also which spaces are suspended
//! because they have no instance.
//!
//! Invariant: a schedule in a suspended space has no next fire time. A space is suspended or resumed in the
//! transaction that deletes its last instance or creates its first.

use super::audit::{self, NewEvent};
use super::schedules::timing_of;
use super::session::{Row, Session};
use super::statement::{Named, postgres_sql, sql, values};
use super::{Store, StoreError, ends};
use crate::model::{Guid, Id, Kind, Timestamp, Timing};

/// How many schedules are read at a time while a space is resumed.
const RESUME_BATCH: u32 = 500;

/// A service instance, as the platform requested it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceInstance {
    /// The id that the platform chose.
    pub id: String,
    /// The service.
    pub service_id: String,
    /// The plan.
    pub plan_id: String,
    /// The organization in which it is.
    pub organization: String,
    /// The space in which it is.
    pub space: Guid,
    /// A JSON object with its fields in order.
    pub parameters: String,
}

/// A binding of an instance to an app, or a service key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceBinding {
    /// The id that the platform chose.
    pub id: String,
    /// The id of its instance.
    pub instance_id: String,
    /// The service of the instance.
    pub service_id: String,
    /// The plan of the instance.
    pub plan_id: String,
    /// The app; empty for a service key.
    pub app: String,
    /// A JSON object with its fields in order.
    pub parameters: String,
    /// The endpoint in its credentials.
    pub api_endpoint: String,
}

/// The result of a creation that a platform may repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made<T> {
    /// Created now.
    Now(T),
    /// The same existed already.
    Before(T),
    /// Something else has this id.
    Conflict,
    /// No such instance.
    NoInstance,
    /// The instance belongs to another service or plan.
    OtherIds,
}

/// The result of an update or deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed<T> {
    /// Done.
    Done(T),
    /// Not found.
    Gone,
    /// It belongs to another service or plan.
    OtherIds,
}

/// What stopped when a space lost its last instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stopped {
    /// The number of schedules.
    pub schedules: usize,
    /// The number of executions of each kind that were PENDING for them and are FAILED now.
    pub executions: Vec<(Kind, u64)>,
}

/// The message of an execution whose space lost its last instance.
pub const SERVICE_INSTANCE_DELETED: &str = "cancelled: service instance deleted";

/// What happens to the schedules of a space when its last instance is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastInstance {
    /// The space is suspended.
    StopsSchedules,
    /// The schedules continue.
    ChangesNothing,
}

/// Computes the next fire time of a schedule of the job or call with this guid.
pub type Planner<'a> = &'a dyn Fn(&Timing, &Guid) -> Option<Timestamp>;

impl Store {
    /// Creates an instance. If its space was suspended, its schedules resume, at the times that `planner`
    /// computes. Returns how many.
    pub fn provision(
        &self,
        new: &ServiceInstance,
        context: &str,
        now: Timestamp,
        planner: Planner<'_>,
        event: Option<&NewEvent>,
    ) -> Result<Made<usize>, StoreError> {
        let values = values! {
            "id": &new.id, "service_id": &new.service_id, "plan_id": &new.plan_id,
            "organization_guid": &new.organization, "space_guid": &new.space, "parameters": &new.parameters,
            "context": context, "now": now,
        };
        self.write(|tx| {
            if tx.execute(sql!("service_instances/insert"), values)? == 1 {
                audit::record(tx, event, None, now)?;
                tx.execute(sql!("service_spaces/insert"), values! { "space_guid": &new.space })?;
                return resume(tx, &new.space, now, planner).map(Made::Now);
            }
            let found = tx.first(sql!("service_instances/get"), values! { "id": &new.id }, instance_of)?;
            Ok(if found.as_ref() == Some(new) { Made::Before(0) } else { Made::Conflict })
        })
    }

    /// The instance with this id.
    pub fn service_instance(&self, id: &str) -> Result<Option<ServiceInstance>, StoreError> {
        self.read(|session| session.first(sql!("service_instances/get"), values! { "id": id }, instance_of))
    }

    /// Whether the space has an instance.
    pub fn has_service_instance(&self, space: &Guid) -> Result<bool, StoreError> {
        self.read(|session| is_served(session, space))
    }

    /// Updates an instance. `None` leaves a value as it is. `OtherIds` if `plan` is not its plan.
    pub fn update_instance(
        &self,
        id: &str,
        service: &str,
        plan: Option<&str>,
        parameters: Option<&str>,
        context: Option<&str>,
        now: Timestamp,
    ) -> Result<Changed<ServiceInstance>, StoreError> {
        let values = values! { "id": id, "parameters": parameters, "context": context, "now": now };
        self.write(|tx| {
            let Some(found) = instance_to_change(tx, id)? else { return Ok(Changed::Gone) };
            if found.service_id != service || plan.is_some_and(|plan| plan != found.plan_id) {
                return Ok(Changed::OtherIds);
            }
            tx.execute(sql!("service_instances/update"), values)?;
            Ok(Changed::Done(found))
        })
    }

    /// Deletes an instance with its bindings. `last` applies if it was the last of its space: PENDING
    /// executions of schedules that stop end as FAILED. Returns what stopped.
    pub fn deprovision(
        &self,
        id: &str,
        service: &str,
        plan: &str,
        last: LastInstance,
        now: Timestamp,
        event: Option<&NewEvent>,
    ) -> Result<Changed<Stopped>, StoreError> {
        self.write(|tx| {
            let Some(found) = instance_to_change(tx, id)? else { return Ok(Changed::Gone) };
            if found.service_id != service || found.plan_id != plan {
                return Ok(Changed::OtherIds);
            }
            tx.execute(sql!("service_bindings/delete_of_instance"), values! { "instance_id": id })?;
            tx.execute(sql!("service_instances/delete"), values! { "id": id })?;
            audit::record(tx, event, None, now)?;
            if last == LastInstance::ChangesNothing {
                return Ok(Changed::Done(Stopped::default()));
            }
            suspend_if_unserved(tx, &found.space, now).map(Changed::Done)
        })
    }

    /// Creates a binding of an instance of this service and plan.
    pub fn bind(
        &self,
        new: &ServiceBinding,
        now: Timestamp,
        event: Option<&NewEvent>,
    ) -> Result<Made<ServiceBinding>, StoreError> {
        let values = values! {
            "id": &new.id, "instance_id": &new.instance_id, "service_id": &new.service_id,
            "plan_id": &new.plan_id, "app_guid": &new.app, "parameters": &new.parameters,
            "api_endpoint": &new.api_endpoint, "now": now,
        };
        self.write(|tx| {
            let Some(of) = instance_to_change(tx, &new.instance_id)? else { return Ok(Made::NoInstance) };
            if of.service_id != new.service_id || of.plan_id != new.plan_id {
                return Ok(Made::OtherIds);
            }
            if tx.execute(sql!("service_bindings/insert"), values)? == 1 {
                audit::record(tx, event, None, now)?;
                return Ok(Made::Now(new.clone()));
            }
            Ok(match binding(tx, &new.id)? {
                Some(found) if found.equals_request(new) => Made::Before(found),
                _ => Made::Conflict,
            })
        })
    }

    /// The binding with this id, of this instance.
    pub fn service_binding(&self, instance: &str, id: &str) -> Result<Option<ServiceBinding>, StoreError> {
        let found = self.read(|session| binding(session, id))?;
        Ok(found.filter(|found| found.instance_id == instance))
    }

    /// Deletes a binding.
    pub fn unbind(
        &self,
        instance: &str,
        id: &str,
        service: &str,
        plan: &str,
        now: Timestamp,
        event: Option<&NewEvent>,
    ) -> Result<Changed<()>, StoreError> {
        self.write(|tx| {
            let found = binding(tx, id)?.filter(|found| found.instance_id == instance);
            let Some(found) = found else { return Ok(Changed::Gone) };
            if found.service_id != service || found.plan_id != plan {
                return Ok(Changed::OtherIds);
            }
            let values = values! { "id": id, "instance_id": instance };
            let rows = tx.execute(sql!("service_bindings/delete"), values)?;
            if rows == 1 {
                audit::record(tx, event, None, now)?;
                return Ok(Changed::Done(()));
            }
            Ok(Changed::Gone)
        })
    }

    /// Resumes the schedules of all suspended spaces, because instances are no longer required. Returns the
    /// number of spaces.
    pub fn resume_all_spaces(&self, now: Timestamp, planner: Planner<'_>) -> Result<usize, StoreError> {
        // Each space in its own transaction. At a start nobody else writes, and opening a reading connection
        // is not worth it.
        let resume_one = || {
            self.write(|tx| {
                let space: Option<Guid> =
                    tx.first(sql!("service_spaces/first_suspended"), values! {}, |row| {
                        row.get("space_guid")
                    })?;
                space.map(|space| resume(tx, &space, now, planner)).transpose()
            })
        };
        let mut spaces = 0;
        while resume_one()?.is_some() {
            spaces += 1;
        }
        Ok(spaces)
    }
}

impl ServiceBinding {
    /// Without the endpoint, which is ours and not part of the request.
    fn equals_request(&self, asked: &Self) -> bool {
        *self == Self { api_endpoint: self.api_endpoint.clone(), ..asked.clone() }
    }
}

/// Suspends a space that has no instance left.
fn suspend_if_unserved(tx: &Session<'_>, space: &Guid, now: Timestamp) -> Result<Stopped, StoreError> {
    // Keeps others from creating or deleting an instance or a schedule there.
    let values = values! { "space_guid": space };
    tx.execute(sql!("service_spaces/insert"), values)?;
    is_suspended(tx, space)?;
    if is_served(tx, space)? {
        return Ok(Stopped::default());
    }
    tx.execute(sql!("service_spaces/set"), values! { "space_guid": space, "is_suspended": true })?;
    tx.lock(postgres_sql!("service_spaces/lock_executables"), values)?;
    let schedules = tx.execute(sql!("service_spaces/silence_schedules"), values)?;
    let executions = ends::cancel_pending_of_space(tx, space, SERVICE_INSTANCE_DELETED, now)?;
    Ok(Stopped { schedules, executions })
}

/// Resumes the space's schedules if they were suspended. Returns how many.
pub(super) fn resume(
    tx: &Session<'_>,
    space: &Guid,
    now: Timestamp,
    planner: Planner<'_>,
) -> Result<usize, StoreError> {
    if !is_suspended(tx, space)? {
        return Ok(0);
    }
    tx.execute(sql!("service_spaces/set"), values! { "space_guid": space, "is_suspended": false })?;
    let mut resumed = 0;
    for kind in [Kind::Job, Kind::Call] {
        let mut after: (Id, Id) = (0, 0);
        loop {
            let values = values! {
                "space_guid": space, "kind": kind.as_str(), "after_executable": after.0,
                "after_schedule": after.1, "limit": RESUME_BATCH,
            };
            let silent: Vec<(Id, Id, Option<Timestamp>)> =
                tx.rows(sql!("service_spaces/silent_schedules"), values, |row| {
                    let next = planner(&timing_of(row)?, &row.get("executable_guid")?);
                    Ok((row.get("executable_id")?, row.get("id")?, next))
                })?;
            let Some((executable, schedule, _)) = silent.last() else { break };
            after = (*executable, *schedule);
            let plans: Vec<Vec<Named<'_>>> = silent
                .iter()
                .map(|(_, id, next)| values! { "id": *id, "next_fire_time": *next, "now": now }.to_vec())
                .collect();
            resumed += tx.execute_each(sql!("service_spaces/resume_schedule"), &plans)?.iter().sum::<usize>();
        }
    }
    Ok(resumed)
}

/// Whether the space is suspended. It stays so until the transaction ends.
fn is_suspended(tx: &Session<'_>, space: &Guid) -> Result<bool, StoreError> {
    let values = values! { "space_guid": space };
    let found = tx.first(sql!("service_spaces/get_to_change"), values, |row| row.get("is_suspended"))?;
    Ok(found.unwrap_or(false))
}

fn is_served(session: &Session<'_>, space: &Guid) -> Result<bool, StoreError> {
    let values = values! { "space_guid": space };
    Ok(session.first(sql!("service_instances/any_in_space"), values, |_| Ok(()))?.is_some())
}

/// The instance, locked until the transaction ends.
fn instance_to_change(tx: &Session<'_>, id: &str) -> Result<Option<ServiceInstance>, StoreError> {
    tx.first(sql!("service_instances/get_to_change"), values! { "id": id }, instance_of)
}

fn binding(session: &Session<'_>, id: &str) -> Result<Option<ServiceBinding>, StoreError> {
    session.first(sql!("service_bindings/get"), values! { "id": id }, binding_of)
}

pub(super) fn instance_of(row: &Row<'_>) -> Result<ServiceInstance, StoreError> {
    Ok(ServiceInstance {
        id: row.get("id")?,
        service_id: row.get("service_id")?,
        plan_id: row.get("plan_id")?,
        organization: row.get("organization_guid")?,
        space: row.get("space_guid")?,
        parameters: row.get("parameters")?,
    })
}

pub(super) fn binding_of(row: &Row<'_>) -> Result<ServiceBinding, StoreError> {
    Ok(ServiceBinding {
        id: row.get("id")?,
        instance_id: row.get("instance_id")?,
        service_id: row.get("service_id")?,
        plan_id: row.get("plan_id")?,
        app: row.get("app_guid")?,
        parameters: row.get("parameters")?,
        api_endpoint: row.get("api_endpoint")?,
    })
}
