//! What Cloud Foundry tells an app: `VCAP_SERVICES`, `VCAP_APPLICATION`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// The `uri` of the first bound PostgreSQL service, in the order of the text.
///
/// # Errors
/// The text is not JSON. The message does not show it, because it holds passwords.
pub(super) fn database_url(services: &str) -> Result<Option<String>, String> {
    let services: Services = serde_json::from_str(services)
        .map_err(|_| "VCAP_SERVICES is not the JSON that Cloud Foundry sets".to_owned())?;
    let uris = services.0.iter().filter_map(|service| service.get("credentials")?.get("uri")?.as_str());
    let is_postgres = |uri: &&str| uri.starts_with("postgres://") || uri.starts_with("postgresql://");
    Ok(uris.filter(is_postgres).map(str::to_owned).next())
}

/// The base URL of the API of the Cloud Foundry on which this app runs.
pub(super) fn cf_api(application: &str) -> Option<String> {
    let application: Value = serde_json::from_str(application).ok()?;
    Some(application.get("cf_api")?.as_str()?.to_owned())
}

/// All bound services, in the order of the text, which a `Value` would not keep.
struct Services(Vec<Value>);

impl<'de> Deserialize<'de> for Services {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Services;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of arrays")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Services, A::Error> {
                let mut services = Vec::new();
                while map.next_key::<IgnoredAny>()?.is_some() {
                    services.extend(map.next_value::<Vec<Value>>()?);
                }
                Ok(Services(services))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
