//! The marketplace entry: one service with one plan.

use serde_json::json;

use super::error::BrokerError;
use super::{Broker, answer};
use crate::http::{Request, Response};

impl Broker {
    pub(in crate::web) fn catalog(&self, request: &Request) -> Result<Response, BrokerError> {
        let catalog = &self.config.catalog;
        let mut metadata = json!({
            "displayName": "Scheduler",
            "longDescription": catalog.description,
            "imageUrl": catalog.icon_url,
        });
        if let Some(url) = &catalog.documentation_url {
            metadata["documentationUrl"] = json!(url);
        }
        let mut services = json!({"services": [{
            "name": catalog.service_name,
            "id": catalog.service_id,
            "description": catalog.description,
            "tags": ["scheduler", "cron"],
            "bindable": true,
            "instances_retrievable": true,
            "bindings_retrievable": true,
            "allow_context_updates": true,
            "plan_updateable": false,
            "metadata": metadata,
            "plans": [{
                "id": catalog.plan_id,
                "name": catalog.plan_name,
                "description": catalog.plan_description,
                "free": true,
                "bindable": true,
                "metadata": {
                    "displayName": catalog.plan_name,
                    "bullets": ["Jobs: tasks of an app", "Calls: HTTP requests", "Cron schedules with time \
                     zones"],
                },
            }],
        }]});
        if let Some((id, secret)) = &self.dashboard_client {
            services["services"][0]["dashboard_client"] = json!({
                "id": id,
                "secret": secret.reveal(),
                "redirect_uri": format!("{}/dashboard/callback", self.api_endpoint(request)),
            });
        }
        Ok(answer(200, services.to_string()))
    }

    /// The service and plan of a creation must be in the catalog.
    pub(in crate::web) fn check_offered(&self, service: &str, plan: &str) -> Result<(), BrokerError> {
        if service != self.config.catalog.service_id {
            return Err(BrokerError::invalid("service_id names no service of the catalog"));
        }
        if plan != self.config.catalog.plan_id {
            return Err(BrokerError::invalid("plan_id names no plan of the catalog"));
        }
        Ok(())
    }

    /// The dashboard URL of an instance: the one in the settings, or the page of its space here.
    pub(in crate::web) fn dashboard_url(
        &self,
        request: &Request,
        instance: &str,
        space: &str,
    ) -> Option<String> {
        match &self.config.catalog.dashboard_url {
            Some(url) => Some(
                url.replace("{instance_id}", &encoded(instance)).replace("{space_guid}", &encoded(space)),
            ),
            None if self.has_pages => {
                let base = self.api_endpoint(request);
                Some(format!("{base}/dashboard/?space_guid={}", encoded(space)))
            }
            None => None,
        }
    }
}

/// Encodes a part of a URL's path or query.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
