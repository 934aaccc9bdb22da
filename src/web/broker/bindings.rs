//! Bindings of instances to apps, and service keys. Their credentials contain no secret, because callers of
//! the service use their own tokens.

use serde_json::{Value, json};

use super::error::BrokerError;
use super::fields::{Body, check_hints, required_ids};
use super::instances::{other_ids, stored_object};
use super::{Broker, answer};
use crate::http::{Request, Response};
use crate::store::{Changed, Made, ServiceBinding};
use crate::web::api::Api;
use crate::web::api::audit::By;
use crate::web::api::query::Query;

impl Api {
    pub(in crate::web) fn bind(
        &self,
        broker: &Broker,
        instance: &str,
        id: &str,
        (request, by): (&Request, By<'_>),
    ) -> Result<Response, BrokerError> {
        let body = Body::of(&request.body)?;
        let app = match body.inner("bind_resource")?.optional("app_guid")? {
            Some(app) => Some(app),
            // The older place for it.
            None => body.optional("app_guid")?,
        };
        let new = ServiceBinding {
            id: id.to_owned(),
            instance_id: instance.to_owned(),
            service_id: body.required("service_id")?,
            plan_id: body.required("plan_id")?,
            app: app.unwrap_or_default(),
            parameters: body.object("parameters")?.unwrap_or_else(|| "{}".to_owned()),
            api_endpoint: broker.api_endpoint(request),
        };
        body.inner("context")?;
        let space = self.space_of_instance(instance)?;
        let event = self.event_of_service(by, ("service_binding", "create"), id, &space);
        let (status, binding) = match self.store.bind(&new, self.clock.now(), event.as_ref())? {
            Made::Now(binding) => (201, binding),
            Made::Before(binding) => (200, binding),
            Made::Conflict => return Err(BrokerError::conflict("service binding")),
            Made::NoInstance => return Err(BrokerError::no_instance()),
            Made::OtherIds => return Err(other_ids()),
        };
        Ok(answer(status, json!({ "credentials": credentials(&binding) }).to_string()))
    }

    pub(in crate::web) fn unbind(
        &self,
        instance: &str,
        id: &str,
        query: &Query<'_>,
        by: By<'_>,
    ) -> Result<Response, BrokerError> {
        let (service, plan) = required_ids(query)?;
        let space = self.space_of_instance(instance)?;
        let event = self.event_of_service(by, ("service_binding", "delete"), id, &space);
        match self.store.unbind(instance, id, service, plan, self.clock.now(), event.as_ref())? {
            Changed::Done(()) => Ok(answer(200, "{}".to_owned())),
            Changed::Gone => Err(BrokerError::gone()),
            Changed::OtherIds => Err(other_ids()),
        }
    }

    pub(in crate::web) fn fetch_binding(
        &self,
        instance: &str,
        id: &str,
        query: &Query<'_>,
    ) -> Result<Response, BrokerError> {
        let binding = self.binding(instance, id, query)?;
        let parameters = stored_object(&binding.parameters);
        let shown = json!({ "credentials": credentials(&binding), "parameters": parameters });
        Ok(answer(200, shown.to_string()))
    }

    /// Creations are synchronous, so what exists is complete.
    pub(in crate::web) fn binding_operation(
        &self,
        instance: &str,
        id: &str,
        query: &Query<'_>,
    ) -> Result<Response, BrokerError> {
        self.binding(instance, id, query)?;
        Ok(answer(200, r#"{"state":"succeeded"}"#.to_owned()))
    }

    fn binding(&self, instance: &str, id: &str, query: &Query<'_>) -> Result<ServiceBinding, BrokerError> {
        let binding = self.store.service_binding(instance, id)?.ok_or_else(BrokerError::no_binding)?;
        check_hints(query, &binding.service_id, &binding.plan_id)?;
        Ok(binding)
    }
}

/// The key that users of the Java client read.
fn credentials(binding: &ServiceBinding) -> Value {
    json!({ "api_endpoint": binding.api_endpoint })
}
