//! The service broker: the service in a platform's marketplace, by the Open Service Broker API 2.17 at `/v2`.
//!
//! Invariant: nobody without the broker's own name and password gets further than a 401; what is asked for twice is made
//! once. All is done when it is answered, so nothing is ever in progress, and `accepts_incomplete` is passed over.
//! A refusal has JSON here, unlike elsewhere: platforms show its `description` to people.

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

use super::api::error::{ApiError, with_header};
use super::api::page::base_url;
use super::api::query::Query;
use super::api::{Api, Asker};
use super::limit::Who;
use crate::config::BrokerConfig;
use crate::http::{Request, Response, respond_with};

pub(in crate::web) use error::BrokerError;
use fields::check_id;

/// What is kept in the log of who is behind a request, in characters each.
const ORIGIN_MAX: usize = 64;
/// A longer name of a request is not given back.
const IDENTITY_MAX: usize = 255;
/// A header with more than this is no identity that a platform would send.
const ORIGIN_HEADER_MAX: usize = 4096;

/// The service broker's settings.
pub struct Broker {
    config: BrokerConfig,
    /// Of `user:password`, so that comparing takes the same time whatever is sent.
    credentials: [u8; 32],
}

impl Broker {
    /// A broker for those who know the user and password in `config`.
    pub fn new(config: BrokerConfig) -> Self {
        let credentials = format!("{}:{}", config.user, config.password.reveal());
        Self { credentials: Sha256::digest(credentials).into(), config }
    }

    fn admits(&self, authorization: &str) -> bool {
        let Some((scheme, given)) = authorization.split_once(' ') else { return false };
        let Ok(given) = BASE64_STANDARD.decode(given.trim()) else { return false };
        scheme.eq_ignore_ascii_case("Basic") && bool::from(Sha256::digest(given).ct_eq(&self.credentials))
    }

    /// What credentials say: the setting, or where the platform found us.
    fn api_endpoint(&self, request: &Request) -> String {
        self.config.api_endpoint.clone().unwrap_or_else(|| base_url(request))
    }
}

/// What a request is about. The ids are the platform's.
enum Target<'a> {
    Catalog,
    Instance(&'a str),
    InstanceOperation(&'a str),
    Binding(&'a str, &'a str),
    BindingOperation(&'a str, &'a str),
}

impl<'a> Target<'a> {
    /// From what follows `/v2`, decoded.
    fn of(path: &'a [String]) -> Option<Self> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match *path.as_slice() {
            ["catalog"] => Some(Self::Catalog),
            ["service_instances", instance] => Some(Self::Instance(instance)),
            ["service_instances", instance, "last_operation"] => Some(Self::InstanceOperation(instance)),
            ["service_instances", instance, "service_bindings", binding] => {
                Some(Self::Binding(instance, binding))
            }
            ["service_instances", instance, "service_bindings", binding, "last_operation"] => {
                Some(Self::BindingOperation(instance, binding))
            }
            _ => None,
        }
    }

    fn methods(&self) -> &'static str {
        match self {
            Self::Catalog | Self::InstanceOperation(_) | Self::BindingOperation(..) => "GET, HEAD",
            Self::Instance(_) => "GET, HEAD, PUT, PATCH, DELETE",
            Self::Binding(..) => "GET, HEAD, PUT, DELETE",
        }
    }

    fn check_ids(&self) -> Result<(), BrokerError> {
        match self {
            Self::Catalog => Ok(()),
            Self::Instance(instance) | Self::InstanceOperation(instance) => check_id("instance_id", instance),
            Self::Binding(instance, binding) | Self::BindingOperation(instance, binding) => {
                check_id("instance_id", instance).and_then(|()| check_id("binding_id", binding))
            }
        }
    }
}

impl Api {
    /// Answers what is asked of the broker. Without one there are no such paths.
    pub(in crate::web) fn answer_broker(
        &self,
        request: &Request,
        path: &[String],
        asker: &mut Asker,
    ) -> Result<Response, ApiError> {
        let (Some(broker), Some(target)) = (&self.broker, Target::of(path)) else {
            return Err(ApiError::NoSuchPath);
        };
        // Platforms find in it what they sent, also in a refusal.
        let identity = request.header("X-Broker-API-Request-Identity").filter(|identity| {
            identity.len() <= IDENTITY_MAX && identity.bytes().all(|it| it.is_ascii_graphic())
        });
        match (self.answer_target(broker, request, &target, asker), identity) {
            (Ok(response), Some(identity)) => {
                Ok(with_header(response, "X-Broker-API-Request-Identity", identity))
            }
            (Ok(response), None) => Ok(response),
            (Err(error), Some(identity)) => {
                Err(ApiError::Broker(error.with_header("X-Broker-API-Request-Identity", identity)))
            }
            (Err(error), None) => Err(ApiError::Broker(error)),
        }
    }

    fn answer_target(
        &self,
        broker: &Broker,
        request: &Request,
        target: &Target<'_>,
        asker: &mut Asker,
    ) -> Result<Response, BrokerError> {
        let known = target.methods().split(", ").any(|method| request.method.as_str() == method);
        if !known {
            return Err(BrokerError::method_not_allowed(target.methods()));
        }
        self.check_platform(broker, request, asker)?;
        check_version(request.header("X-Broker-API-Version"))?;
        target.check_ids()?;
        let query = Query::of(request.query.as_deref())?;
        match (target, &request.method) {
            (Target::Catalog, _) => broker.catalog(),
            (Target::Instance(id), Method::Put) => self.provision(broker, id, &request.body),
            (Target::Instance(id), Method::Patch) => self.update_instance(broker, id, &request.body),
            (Target::Instance(id), Method::Delete) => self.deprovision(id, &query),
            (Target::Instance(id), _) => self.fetch_instance(broker, id, &query),
            (Target::InstanceOperation(id), _) => self.instance_operation(id, &query),
            (Target::Binding(instance, id), Method::Put) => self.bind(broker, instance, id, request),
            (Target::Binding(instance, id), Method::Delete) => self.unbind(instance, id, &query),
            (Target::Binding(instance, id), _) => self.fetch_binding(instance, id, &query),
            (Target::BindingOperation(instance, id), _) => self.binding_operation(instance, id, &query),
        }
    }

    /// Whether it is the platform that calls, and not too often. Who comes again and again with what was refused is limited
    /// as with tokens.
    fn check_platform(
        &self,
        broker: &Broker,
        request: &Request,
        asker: &mut Asker,
    ) -> Result<(), BrokerError> {
        let authorization = request
            .header("Authorization")
            .ok_or_else(|| BrokerError::unauthorized("there is no basic authentication"))?;
        let now = self.clock.monotonic();
        self.limiter.look(Who::Refused(authorization), now).map_err(BrokerError::too_many)?;
        if !broker.admits(authorization) {
            // It was looked at before; should others have emptied the bucket meanwhile, this one is refused all the same.
            let _ = self.limiter.take(Who::Refused(authorization), now);
            return Err(BrokerError::unauthorized("the user or the password is wrong"));
        }
        let name = &broker.config.user;
        asker.user = Some(name.clone());
        if let Some(header) = request.header("X-Broker-API-Originating-Identity") {
            (asker.origin_platform, asker.origin_user) = origin(header);
        }
        self.limiter.take(Who::Broker(name), now).map_err(BrokerError::too_many)
    }
}

/// Minor versions only add to each other.
fn check_version(version: Option<&str>) -> Result<(), BrokerError> {
    let version = version.ok_or_else(|| BrokerError::version("is missing"))?;
    let is_minor =
        |minor: &str| !minor.is_empty() && minor.len() < 6 && minor.bytes().all(|it| it.is_ascii_digit());
    match version.trim().split_once('.') {
        Some(("2", minor)) if is_minor(minor) => Ok(()),
        _ => Err(BrokerError::version("is not supported")),
    }
}

/// Who is behind a request, for the log: `cloudfoundry` and base64 of `{"user_id":"…"}` (Kubernetes says `username`). These
/// are a client's words: they are shortened. A platform `malformed` without a user is what cannot be read.
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
