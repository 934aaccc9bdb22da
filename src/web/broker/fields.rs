//! What platforms send, and its rules. Unknown fields are ignored, as the specification requires.

use serde_json::{Map, Value};

use super::error::BrokerError;
use crate::model::{GUID_MAX, Guid};
use crate::web::api::fields::without_byte_order_mark;
use crate::web::api::query::Query;

/// The longest `parameters` or `context`, in bytes.
const OBJECT_MAX: usize = 64 * 1024;

/// The body of a request: an object.
pub(in crate::web) struct Body(Map<String, Value>);

impl Body {
    pub(in crate::web) fn of(bytes: &[u8]) -> Result<Self, BrokerError> {
        match serde_json::from_slice(without_byte_order_mark(bytes)) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(BrokerError::invalid("the body is not a JSON object")),
            Err(err) => Err(BrokerError::invalid(format!("the body is not JSON: {err}"))),
        }
    }

    pub(in crate::web) fn required(&self, field: &'static str) -> Result<String, BrokerError> {
        self.optional(field)?.ok_or_else(|| BrokerError::invalid(format!("{field} is missing")))
    }

    pub(in crate::web) fn optional(&self, field: &'static str) -> Result<Option<String>, BrokerError> {
        match self.given(field) {
            None => Ok(None),
            Some(Value::String(text)) => check_id(field, text).map(|()| Some(text.clone())),
            Some(_) => Err(BrokerError::invalid(format!("{field} is not a string"))),
        }
    }

    /// An object as text, with its fields in order.
    pub(in crate::web) fn object(&self, field: &'static str) -> Result<Option<String>, BrokerError> {
        match self.given(field) {
            None => Ok(None),
            Some(object @ Value::Object(_)) => {
                Some(object.to_string()).filter(|text| text.len() <= OBJECT_MAX).map_or_else(
                    || Err(BrokerError::invalid(format!("{field} is longer than {OBJECT_MAX} bytes"))),
                    |text| Ok(Some(text)),
                )
            }
            Some(_) => Err(BrokerError::invalid(format!("{field} is not an object"))),
        }
    }

    /// The fields of an object in the body; none if it is missing.
    pub(in crate::web) fn inner(&self, field: &'static str) -> Result<Self, BrokerError> {
        match self.given(field) {
            None => Ok(Self(Map::new())),
            Some(Value::Object(fields)) => Ok(Self(fields.clone())),
            Some(_) => Err(BrokerError::invalid(format!("{field} is not an object"))),
        }
    }

    /// The catalog has no maintenance versions, so any named version is wrong.
    pub(in crate::web) fn check_maintenance(&self) -> Result<(), BrokerError> {
        match self.inner("maintenance_info")?.optional("version")? {
            None => Ok(()),
            Some(_) => Err(BrokerError::new(
                422,
                "MaintenanceInfoConflict",
                "the catalog has no maintenance_info; fetch it again",
            )),
        }
    }

    fn given(&self, field: &str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }
}

/// The service and the plan, which a deletion must name.
pub(in crate::web) fn required_ids<'a>(query: &'a Query<'_>) -> Result<(&'a str, &'a str), BrokerError> {
    let required = |name: &'static str| {
        let value = query.get(name).ok_or_else(|| BrokerError::invalid(format!("{name} is missing")))?;
        check_id(name, value).map(|()| value)
    };
    Ok((required("service_id")?, required("plan_id")?))
}

/// The service and plan, which a read may name; if it does, they must match.
pub(in crate::web) fn check_hints(query: &Query<'_>, service: &str, plan: &str) -> Result<(), BrokerError> {
    for (name, own) in [("service_id", service), ("plan_id", plan)] {
        if query.get(name).is_some_and(|given| given != own) {
            return Err(BrokerError::invalid(format!("{name} does not match")));
        }
    }
    Ok(())
}

/// Ids are opaque, but they are stored, compared and shown.
fn check_id(field: &str, text: &str) -> Result<(), BrokerError> {
    if text.trim().is_empty() {
        return Err(BrokerError::invalid(format!("{field} is blank")));
    }
    match Guid::from_outside(text) {
        Some(_) => Ok(()),
        None => {
            Err(BrokerError::invalid(format!("{field} is not 1 to {GUID_MAX} characters of visible ASCII")))
        }
    }
}
