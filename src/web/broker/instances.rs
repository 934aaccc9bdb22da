//! Service instances: create, read, update, delete.

use log::info;
use serde_json::{Value, json};

use super::error::BrokerError;
use super::fields::{Body, check_hints, required_ids};
use super::{Broker, answer};
use crate::engine::journal;
use crate::fire_times::planner;
use crate::http::{Request, Response};
use crate::model::Guid;
use crate::store::{
    Changed, LastInstance, Made, NewEvent, SERVICE_INSTANCE_DELETED, ServiceInstance, Target,
};
use crate::web::api::Api;
use crate::web::api::audit::By;
use crate::web::api::query::Query;

impl Api {
    pub(in crate::web) fn provision(
        &self,
        broker: &Broker,
        id: &str,
        request: &Request,
        by: By<'_>,
    ) -> Result<Response, BrokerError> {
        let body = Body::of(&request.body)?;
        let new = ServiceInstance {
            id: id.to_owned(),
            service_id: body.required("service_id")?,
            plan_id: body.required("plan_id")?,
            organization: body.required("organization_guid")?,
            space: Guid::from(body.required("space_guid")?),
            parameters: body.object("parameters")?.unwrap_or_else(|| "{}".to_owned()),
        };
        let context = body.object("context")?.unwrap_or_else(|| "{}".to_owned());
        broker.check_offered(&new.service_id, &new.plan_id)?;
        body.check_maintenance()?;
        let now = self.clock.now();
        let event = self.event_of_service(by, ("service_instance", "create"), id, &new.space);
        let made = self.store.provision(&new, &context, now, &planner(now), event.as_ref())?;
        let status = match made {
            Made::Now(resumed) => {
                info!(
                    instance = id, space:% = new.space, schedules_resumed = resumed;
                    "service instance created"
                );
                self.wake_scheduler();
                201
            }
            Made::Before(_) => 200,
            Made::Conflict => return Err(BrokerError::conflict("service instance")),
            Made::NoInstance | Made::OtherIds => return Err(BrokerError::no_instance()),
        };
        Ok(answer(status, shown_dashboard(broker, request, &new).to_string()))
    }

    pub(in crate::web) fn update_instance(
        &self,
        broker: &Broker,
        id: &str,
        request: &Request,
    ) -> Result<Response, BrokerError> {
        let body = Body::of(&request.body)?;
        let service = body.required("service_id")?;
        let plan = body.optional("plan_id")?;
        let (parameters, context) = (body.object("parameters")?, body.object("context")?);
        body.inner("previous_values")?;
        body.check_maintenance()?;
        let changed = self.store.update_instance(
            id,
            &service,
            plan.as_deref(),
            parameters.as_deref(),
            context.as_deref(),
            self.clock.now(),
        )?;
        match changed {
            Changed::Done(instance) => {
                Ok(answer(200, shown_dashboard(broker, request, &instance).to_string()))
            }
            Changed::Gone => Err(BrokerError::no_instance()),
            Changed::OtherIds => {
                broker.check_offered(&service, plan.as_deref().unwrap_or(&broker.config.catalog.plan_id))?;
                // In the catalog, but not its own plan: the ids were configured differently when it was
                // created.
                Err(BrokerError::new(422, "PlanChangeNotSupported", "an instance cannot change its plan"))
            }
        }
    }

    pub(in crate::web) fn deprovision(
        &self,
        id: &str,
        query: &Query<'_>,
        by: By<'_>,
    ) -> Result<Response, BrokerError> {
        let (service, plan) = required_ids(query)?;
        let last = if self.require_service_instance {
            LastInstance::StopsSchedules
        } else {
            LastInstance::ChangesNothing
        };
        let space = self.space_of_instance(id)?;
        let event = self.event_of_service(by, ("service_instance", "delete"), id, &space);
        match self.store.deprovision(id, service, plan, last, self.clock.now(), event.as_ref())? {
            Changed::Done(stopped) => {
                info!(instance = id, schedules_stopped = stopped.schedules; "service instance deleted");
                for (kind, count) in &stopped.executions {
                    journal::cancelled(*kind, *count, SERVICE_INSTANCE_DELETED);
                }
                self.wake_scheduler();
                self.wake_retention();
                self.wake_watcher();
                Ok(answer(200, "{}".to_owned()))
            }
            Changed::Gone => Err(BrokerError::gone()),
            Changed::OtherIds => Err(other_ids()),
        }
    }

    pub(in crate::web) fn fetch_instance(
        &self,
        broker: &Broker,
        id: &str,
        query: &Query<'_>,
        request: &Request,
    ) -> Result<Response, BrokerError> {
        let instance = self.instance(id, query)?;
        let mut shown = shown_dashboard(broker, request, &instance);
        shown["service_id"] = json!(instance.service_id);
        shown["plan_id"] = json!(instance.plan_id);
        shown["parameters"] = stored_object(&instance.parameters);
        Ok(answer(200, shown.to_string()))
    }

    /// Creations are synchronous, so what exists is complete.
    pub(in crate::web) fn instance_operation(
        &self,
        id: &str,
        query: &Query<'_>,
    ) -> Result<Response, BrokerError> {
        self.instance(id, query)?;
        Ok(answer(200, r#"{"state":"succeeded"}"#.to_owned()))
    }

    /// Empty: no such instance.
    pub(in crate::web) fn space_of_instance(&self, id: &str) -> Result<Guid, BrokerError> {
        let found = self.store.service_instance(id)?;
        Ok(found.map_or_else(|| Guid::from(""), |instance| instance.space))
    }

    pub(in crate::web) fn event_of_service(
        &self,
        by: By<'_>,
        (kind, verb): (&'static str, &str),
        id: &str,
        space: &Guid,
    ) -> Option<NewEvent> {
        let target = Target { guid: id.to_owned(), kind, name: String::new() };
        self.event(by, &format!("{kind}.{verb}"), target, space, || json!({}))
    }

    fn instance(&self, id: &str, query: &Query<'_>) -> Result<ServiceInstance, BrokerError> {
        let instance = self.store.service_instance(id)?.ok_or_else(BrokerError::no_instance)?;
        check_hints(query, &instance.service_id, &instance.plan_id)?;
        Ok(instance)
    }
}

pub(in crate::web) fn other_ids() -> BrokerError {
    BrokerError::invalid("service_id or plan_id does not match")
}

/// An object that was stored as text.
pub(in crate::web) fn stored_object(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!({}))
}

fn shown_dashboard(broker: &Broker, request: &Request, instance: &ServiceInstance) -> Value {
    match broker.dashboard_url(request, &instance.id, instance.space.as_str()) {
        Some(url) => json!({ "dashboard_url": url }),
        None => json!({}),
    }
}
