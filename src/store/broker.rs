//! What the service broker has made: instances of the service and their bindings. Which spaces are suspended
//! for want of one.
//!
//! Invariant: a suspended space has no next fire time. Suspending, and going on, are part of the transaction
//! that takes the last instance away, or makes the first.

use super::audit::{self, NewEvent};
use super::schedules::timing_of;
use super::session::{Row, Session};
use super::statement::{Named, postgres_sql, sql, values};
use super::{Store, StoreError, ends};
use crate::model::{Guid, Id, Kind, Timestamp, Timing};

/// The schedules that are read at a time while a space goes on.
const RESUME_BATCH: u32 = 500;

/// A service instance, as the platform requested it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceInstance {
    /// The platform's id of it.
    pub id: String,
    /// The service that it is of.
    pub service_id: String,
    /// And the plan.
    pub plan_id: String,
    /// Where it is.
    pub organization: String,
    /// Where it is.
    pub space: Guid,
    /// A JSON object, with its fields in order.
    pub parameters: String,
}

/// A binding of an instance to an app, or a service key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceBinding {
    /// The platform's id of it.
    pub id: String,
    /// The instance that it is of.
    pub instance_id: String,
    /// That instance's service.
    pub service_id: String,
    /// And plan.
    pub plan_id: String,
    /// The app; empty for a service key.
    pub app: String,
    /// A JSON object, with its fields in order.
    pub parameters: String,
    /// What its credentials say.
    pub api_endpoint: String,
}

/// What came of making something that a platform may ask for more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made<T> {
    /// It was made.
    Now(T),
    /// The same was there.
    Before(T),
    /// Another of that id was there, and still is.
    Conflict,
    /// There is no such instance.
    NoInstance,
    /// The instance is of another service or plan.
    OtherIds,
}

/// What came of changing something, or of deleting it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed<T> {
    /// It was done.
    Done(T),
    /// It is not there.
    Gone,
    /// It is of another service or plan.
    OtherIds,
}

/// What stopped with an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stopped {
    /// How many schedules.
    pub schedules: usize,
    /// How many executions of each kind were PENDING for them, and are FAILED now.
    pub executions: Vec<(Kind, u64)>,
}

/// What is said of an execution whose space has lost its last instance.
pub const SERVICE_INSTANCE_DELETED: &str = "cancelled: service instance deleted";

/// What the end of a space's last instance is to its schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastInstance {
    /// They stop.
    StopsSchedules,
    /// They go on.
    ChangesNothing,
}

/// Finds the next fire time of a schedule, for the job or call of this guid.
pub type Planner<'a> = &'a dyn Fn(&Timing, &Guid) -> Option<Timestamp>;

impl Store {
    /// Makes an instance. When its space was suspended, its schedules go on from now on, as `planner` says.
    /// Returns how many.
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

    /// The instance of that id.
    pub fn service_instance(&self, id: &str) -> Result<Option<ServiceInstance>, StoreError> {
        self.read(|session| session.first(sql!("service_instances/get"), values! { "id": id }, instance_of))
    }

    /// Whether the space has an instance.
    pub fn has_service_instance(&self, space: &Guid) -> Result<bool, StoreError> {
        self.read(|session| is_served(session, space))
    }

    /// Changes an instance. What is `None` stays as it is; a `plan` other than its own is none of its.
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

    /// Deletes an instance and what bindings it has. When it was its space's last, `last` counts: what is
    /// PENDING for a schedule that stops ends as FAILED. Returns what stopped.
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

    /// Makes a binding of an instance of that service and plan.
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
                Some(found) if found.is_what_was_asked_for(new) => Made::Before(found),
                _ => Made::Conflict,
            })
        })
    }

    /// The binding of that id, of that instance.
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

    /// The schedules of all suspended spaces go on: no instance is required any more. Returns how many
    /// spaces.
    pub fn resume_all_spaces(&self, now: Timestamp, planner: Planner<'_>) -> Result<usize, StoreError> {
        // Each by itself. At a start nobody else writes, and a connection to read with is not opened for
        // this.
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
    /// The endpoint is ours, not part of the request.
    fn is_what_was_asked_for(&self, asked: &Self) -> bool {
        *self == Self { api_endpoint: self.api_endpoint.clone(), ..asked.clone() }
    }
}

/// Stops the schedules of a space that has no instance any more.
fn suspend_if_unserved(tx: &Session<'_>, space: &Guid, now: Timestamp) -> Result<Stopped, StoreError> {
    // From here on nobody else makes or deletes one there, nor is a schedule made.
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

/// Plans the space's schedules again if they were suspended. Returns how many.
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

/// Whether the space's schedules are stopped. Nobody changes that before the transaction ends.
fn is_suspended(tx: &Session<'_>, space: &Guid) -> Result<bool, StoreError> {
    let values = values! { "space_guid": space };
    let found = tx.first(sql!("service_spaces/get_to_change"), values, |row| row.get("is_suspended"))?;
    Ok(found.unwrap_or(false))
}

fn is_served(session: &Session<'_>, space: &Guid) -> Result<bool, StoreError> {
    let values = values! { "space_guid": space };
    Ok(session.first(sql!("service_instances/any_in_space"), values, |_| Ok(()))?.is_some())
}

/// The instance, which nobody else changes before the transaction ends.
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
