//! `GET /metrics`: who may read it, and where.
//!
//! Invariant: it depends on nothing else, so it works whatever the state of Cloud Foundry and the database.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Api;
use super::error::ApiError;
use crate::base::metrics::{CONTENT_TYPE, metrics};
use crate::engine::observer::Observer;
use crate::http::{Response, respond_with};
use crate::model::Secret;

/// What `/metrics` needs.
pub struct MetricsAccess {
    /// Reads the values of the database.
    pub observer: Arc<Observer>,
    /// The required bearer token; `None`: none.
    pub token: Option<Secret>,
}

impl Api {
    pub(in crate::web) fn metrics(&self, authorization: Option<&str>) -> Result<Response, ApiError> {
        if let Some(token) = &self.metrics_access.token
            && !is_bearer_of(token, authorization)
        {
            return Err(ApiError::NotOfMetrics);
        }
        let readings = self.metrics_access.observer.readings();
        Ok(respond_with(200, CONTENT_TYPE, metrics().text(readings.as_ref())))
    }
}

/// Whether a header is `bearer TOKEN`, the scheme in any case. The time this takes reveals neither the token
/// nor its length.
fn is_bearer_of(token: &Secret, authorization: Option<&str>) -> bool {
    let given = authorization.and_then(|header| header.trim().split_once(' '));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let given = given.map_or("", |(_, given)| given.trim());
    Sha256::digest(given).ct_eq(Sha256::digest(token.reveal()).as_slice()).into()
}
