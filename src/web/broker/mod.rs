//! The service broker: offers the service in a platform's marketplace, by the Open Service Broker API 2.17 at
//! `/v2`.
//!
//! Invariant: without the broker's user and password every request gets a 401, and repeated requests create
//! one object. Every operation is synchronous, so nothing is ever in progress, and `accepts_incomplete` is
//! ignored. Unlike in the API, errors always have a JSON body, because platforms show its `description` to
//! people.

mod bindings;
mod catalog;
mod error;
mod fields;
mod instances;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tiny_http::Method;

use super::api::page::base_url;
use super::api::query::Query;
use super::api::{Api, Asker};
use super::limit::RateLimitKey;
use super::routes::Target;
use crate::config::BrokerConfig;
use crate::http::{Request, Response, respond_with, with_header};
use crate::model::Guid;
use crate::model::Secret;
use crate::web::Dashboard;
use crate::web::api::audit::By;

pub(in crate::web) use error::BrokerError;

/// The most characters of an originating identity in the log, for each part.
const ORIGIN_MAX: usize = 64;
/// The header in which a platform names its request.
const IDENTITY: &str = "X-Broker-API-Request-Identity";
/// A longer request identity is not returned.
const IDENTITY_MAX: usize = 255;
/// A longer originating identity is not one that a platform would send.
const ORIGIN_HEADER_MAX: usize = 4096;

/// The service broker's settings.
pub struct Broker {
    config: BrokerConfig,
    /// The hash of `user:password`, so that comparing takes the same time for any input.
    credentials: [u8; 32],
    /// Whether our own dashboard exists, which is used if no other one is set.
    has_pages: bool,
    /// Id and secret of the client that Cloud Controller makes at UAA, for people to sign in to these pages.
    dashboard_client: Option<(String, Secret)>,
}

impl Broker {
    /// A broker for those who know the user and password in `config`.
    /// `dashboard`: that of the service itself.
    pub fn new(config: BrokerConfig, dashboard: Option<&Dashboard>) -> Self {
        let credentials = format!("{}:{}", config.user, config.password.reveal());
        Self {
            credentials: Sha256::digest(credentials).into(),
            config,
            has_pages: dashboard.is_some(),
            dashboard_client: dashboard.and_then(Dashboard::client_of_catalog),
        }
    }

    fn admits(&self, authorization: &str) -> bool {
        let Some((scheme, given)) = authorization.split_once(' ') else { return false };
        let Ok(given) = BASE64_STANDARD.decode(given.trim()) else { return false };
        scheme.eq_ignore_ascii_case("Basic") && bool::from(Sha256::digest(given).ct_eq(&self.credentials))
    }

    /// The endpoint in credentials: the setting, or the URL that the platform used.
    fn api_endpoint(&self, request: &Request) -> String {
        self.config.api_endpoint.clone().unwrap_or_else(|| base_url(request))
    }
}

impl Target {
    fn methods(&self) -> &'static str {
        match self {
            Self::Catalog | Self::InstanceOperation(_) | Self::BindingOperation(..) => "GET, HEAD",
            Self::Instance(_) => "GET, HEAD, PUT, PATCH, DELETE",
            Self::Binding(..) => "GET, HEAD, PUT, DELETE",
        }
    }

    fn check_method(&self, method: &Method) -> Result<(), BrokerError> {
        match self.methods().split(", ").any(|known| known == method.as_str()) {
            true => Ok(()),
            false => Err(BrokerError::method_not_allowed(self.methods())),
        }
    }

    /// An id that no object can have counts as not found.
    fn check_ids(&self) -> Result<(), BrokerError> {
        let is_guid = |text: &str| Guid::from_outside(text).is_some();
        match self {
            Self::Catalog => Ok(()),
            Self::Instance(instance) | Self::InstanceOperation(instance) if is_guid(instance) => Ok(()),
            Self::Instance(_) | Self::InstanceOperation(_) => Err(BrokerError::no_instance()),
            Self::Binding(instance, binding) | Self::BindingOperation(instance, binding)
                if is_guid(instance) && is_guid(binding) =>
            {
                Ok(())
            }
            Self::Binding(..) | Self::BindingOperation(..) => Err(BrokerError::no_binding()),
        }
    }
}

impl Broker {
    /// Answers a request to the broker.
    pub(in crate::web) fn answer(
        &self,
        api: &Api,
        request: &Request,
        target: &Target,
        asker: &mut Asker,
    ) -> Result<Response, BrokerError> {
        let answered = self.answer_target(api, request, target, asker);
        // Platforms expect their request identity in the answer, even in an error.
        match identity_of(request) {
            None => answered,
            Some(identity) => answered
                .map(|response| with_header(response, IDENTITY, identity))
                .map_err(|error| error.with_header(IDENTITY, identity)),
        }
    }

    /// The reason for refusing a request without an `Authorization` header.
    pub(in crate::web) fn refusal_without_credentials(target: &Target, request: &Request) -> BrokerError {
        let refusal = target.check_method(&request.method).err().unwrap_or_else(without_credentials);
        match identity_of(request) {
            None => refusal,
            Some(identity) => refusal.with_header(IDENTITY, identity),
        }
    }

    fn answer_target(
        &self,
        api: &Api,
        request: &Request,
        target: &Target,
        asker: &mut Asker,
    ) -> Result<Response, BrokerError> {
        target.check_method(&request.method)?;
        self.check_platform(api, request, asker)?;
        check_version(request.header("X-Broker-API-Version"))?;
        target.check_ids()?;
        let query = Query::of(request.query.as_deref())?;
        match (target, &request.method) {
            (Target::Catalog, _) => self.catalog(request),
            (Target::Instance(id), Method::Put) => api.provision(self, id, request, self.by(request, asker)),
            (Target::Instance(id), Method::Patch) => api.update_instance(self, id, request),
            (Target::Instance(id), Method::Delete) => api.deprovision(id, &query, self.by(request, asker)),
            (Target::Instance(id), _) => api.fetch_instance(self, id, &query, request),
            (Target::InstanceOperation(id), _) => api.instance_operation(id, &query),
            (Target::Binding(instance, id), Method::Put) => {
                api.bind(self, instance, id, (request, self.by(request, asker)))
            }
            (Target::Binding(instance, id), Method::Delete) => {
                api.unbind(instance, id, &query, self.by(request, asker))
            }
            (Target::Binding(instance, id), _) => api.fetch_binding(instance, id, &query),
            (Target::BindingOperation(instance, id), _) => api.binding_operation(instance, id, &query),
        }
    }

    /// The originator of a request: the user whom the platform names, or else the platform.
    fn by<'a>(&'a self, request: &'a Request, asker: &'a Asker) -> By<'a> {
        let user = asker.origin_user.as_deref();
        let name = user.unwrap_or(&self.config.user);
        By { guid: name, name, is_client: user.is_none(), request_id: &request.id }
    }

    /// Checks the platform's credentials and rate limit. Repeated wrong credentials are limited like tokens.
    fn check_platform(&self, api: &Api, request: &Request, asker: &mut Asker) -> Result<(), BrokerError> {
        let authorization = request.header("Authorization").ok_or_else(without_credentials)?;
        let now = api.clock.monotonic();
        api.limiter.look(RateLimitKey::Refused(authorization), now).map_err(BrokerError::too_many)?;
        if !self.admits(authorization) {
            // The limit was checked before. If other requests have emptied the bucket since, this one is
            // refused too.
            let _ = api.limiter.take(RateLimitKey::Refused(authorization), now);
            return Err(BrokerError::unauthorized("the user or the password is wrong"));
        }
        let name = &self.config.user;
        asker.user = Some(name.clone());
        if let Some(header) = request.header("X-Broker-API-Originating-Identity") {
            (asker.origin_platform, asker.origin_user) = origin(header);
        }
        api.limiter.take(RateLimitKey::Broker(name), now).map_err(BrokerError::too_many)
    }
}

fn without_credentials() -> BrokerError {
    BrokerError::unauthorized("there is no basic authentication")
}

/// The platform's name for its request, if it can be returned.
fn identity_of(request: &Request) -> Option<&str> {
    request.header(IDENTITY).filter(|identity| {
        identity.len() <= IDENTITY_MAX && identity.bytes().all(|byte| byte.is_ascii_graphic())
    })
}

/// Minor versions are compatible.
fn check_version(version: Option<&str>) -> Result<(), BrokerError> {
    let version = version.ok_or_else(|| BrokerError::version("is missing"))?;
    let is_minor =
        |minor: &str| !minor.is_empty() && minor.len() < 6 && minor.bytes().all(|it| it.is_ascii_digit());
    match version.trim().split_once('.') {
        Some(("2", minor)) if is_minor(minor) => Ok(()),
        _ => Err(BrokerError::version("is not supported")),
    }
}

/// Who is behind a request, for the log: a platform such as `cloudfoundry`, and base64 of `{"user_id":"…"}`
/// (Kubernetes uses `username`). The values come from a client, so they are shortened. A header that cannot
/// be parsed yields the platform `malformed` without a user.
fn origin(header: &str) -> (Option<String>, Option<String>) {
    let identity =
        header.split_once(' ').filter(|_| header.len() <= ORIGIN_HEADER_MAX).and_then(|(platform, value)| {
            let identity: Map<String, Value> =
                serde_json::from_slice(&BASE64_STANDARD.decode(value.trim()).ok()?).ok()?;
            let user = identity.get("user_id").or_else(|| identity.get("username"))?.as_str()?.to_owned();
            Some((platform, user))
        });
    let Some((platform, user)) = identity else { return (Some("malformed".to_owned()), None) };
    let short = |text: &str| text.chars().take(ORIGIN_MAX).collect::<String>();
    (Some(short(platform)), Some(short(&user)))
}

fn answer(status: u16, json: String) -> Response {
    respond_with(status, "application/json", json)
}
