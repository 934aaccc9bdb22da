//! UAA: the service's own token, and the judgement on the tokens of others.
//!
//! Invariant: nothing is read from a token before UAA has vouched for it, except whether it is worth another question;
//! one request for the own token serves all who wait for it, and so does its failure.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use ureq::http::Method;

use super::endpoint::{Endpoint, percent_encoded};
use super::transport::{Answer, Body, Request, Transport, Upstream};
use crate::base::clock::Clock;
use crate::model::Timestamp;
use crate::platform::{Delivery, Identity, PlatformError};

/// Tokens of users with many scopes take some KiB. What is longer is not worth a request.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The own token is replaced this long before its end (or at half its life, when that is short), so that none ends on its way.
const RENEWAL_MARGIN: Duration = Duration::from_secs(60);
const ADMIN_SCOPE: &str = "cloud_controller.admin";

pub(super) struct Uaa {
    transport: Arc<Transport>,
    clock: Arc<dyn Clock>,
    cloud_foundry: Endpoint,
    /// From the settings, or from Cloud Foundry's root once it has been asked.
    endpoint: OnceLock<Endpoint>,
    /// The value of a header, with the client's secret in it.
    client_authorization: String,
    own_token: Mutex<OwnToken>,
    /// How many requests for the own token have ended. Who sees it rise while waiting has the result of one that ended
    /// after they came.
    fetches_ended: AtomicU64,
}

struct OwnToken {
    valid: Option<ValidToken>,
    last_fetch: Result<Arc<str>, PlatformError>,
}

struct ValidToken {
    token: Arc<str>,
    renew_at: Timestamp,
}

impl Uaa {
    pub(super) fn new(
        transport: Arc<Transport>,
        clock: Arc<dyn Clock>,
        cloud_foundry: Endpoint,
        endpoint: Option<Endpoint>,
        client_id: &str,
        client_secret: &str,
    ) -> Self {
        let client_authorization =
            format!("Basic {}", BASE64_STANDARD.encode(format!("{client_id}:{client_secret}")));
        let never_fetched = PlatformError::Unavailable {
            cause: "the service has asked UAA for no token yet".to_owned(),
            retry_after: None,
            delivery: Delivery::Failed,
        };
        Self {
            transport,
            clock,
            cloud_foundry,
            endpoint: endpoint.map(OnceLock::from).unwrap_or_default(),
            client_authorization,
            own_token: Mutex::new(OwnToken { valid: None, last_fetch: Err(never_fetched) }),
            fetches_ended: AtomicU64::new(0),
        }
    }

    /// The service's own token; another one than `rejected`, which Cloud Foundry did not take.
    ///
    /// An error's delivery is always `Failed`, for what the token was meant for has not been asked.
    pub(super) fn own_token(&self, rejected: Option<&str>) -> Result<Arc<str>, PlatformError> {
        let ended_before = self.fetches_ended.load(Ordering::SeqCst);
        // Held during the request: whoever else wants a token waits here, and finds what came of it.
        let mut own = self.own_token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(valid) = &own.valid
            && self.clock.now() < valid.renew_at
            && rejected != Some(&*valid.token)
        {
            return Ok(valid.token.clone());
        }
        let is_news = own.last_fetch.as_deref().ok().is_none_or(|token| rejected != Some(token));
        if is_news && self.fetches_ended.load(Ordering::SeqCst) != ended_before {
            return own.last_fetch.clone();
        }
        let fetched = self.fetch_own_token();
        own.last_fetch = fetched.as_ref().map(|valid| valid.token.clone()).map_err(PlatformError::clone);
        own.valid = fetched.ok();
        self.fetches_ended.fetch_add(1, Ordering::SeqCst);
        own.last_fetch.clone()
    }

    /// Who holds `token`; `None` when UAA does not vouch for it.
    pub(super) fn identify(&self, token: &str) -> Result<Option<Identity>, PlatformError> {
        let is_sane =
            (1..=MAX_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
        if !is_sane {
            return Ok(None);
        }
        let answer = self.ask(Method::GET, "/userinfo", &format!("Bearer {token}"), Body::None)?;
        match answer.status {
            200 => identity_of_user(answer, token).map(Some),
            // A token without a user is no use at `/userinfo`, however good it is.
            401 | 403 if claims_of(token).is_none_or(|claims| claims.user_id.is_none()) => {
                self.introspect(token)
            }
            400 | 401 | 403 => Ok(None),
            _ => Err(unavailable(answer.into_error())),
        }
    }

    /// Judges a token that has no user. Needs the authority `uaa.resource`; without it no such token is accepted.
    fn introspect(&self, token: &str) -> Result<Option<Identity>, PlatformError> {
        #[derive(Deserialize)]
        struct Introspection {
            active: bool,
            #[serde(flatten)]
            claims: Claims,
        }
        let form = Body::Form(format!("token={}", percent_encoded(token)));
        let answer = self.ask(Method::POST, "/introspect", &self.client_authorization, form)?;
        if matches!(answer.status, 400 | 401 | 403) {
            return Ok(None);
        }
        let Introspection { active, claims } = answer.into_json().map_err(unavailable)?;
        Ok(match claims.client_id.as_deref() {
            // A user's token is for `/userinfo` to judge, which has refused it.
            Some(client) if active && claims.user_id.is_none() && !client.is_empty() => {
                Some(claims.identity(client.to_owned()))
            }
            _ => None,
        })
    }

    fn fetch_own_token(&self) -> Result<ValidToken, PlatformError> {
        #[derive(Deserialize)]
        struct Granted {
            access_token: String,
            expires_in: u64,
        }
        let asked_at = self.clock.now();
        let form = Body::Form("grant_type=client_credentials".to_owned());
        let answer = self.ask(Method::POST, "/oauth/token", &self.client_authorization, form)?;
        if matches!(answer.status, 400 | 401 | 403) {
            // An operator can mend this while the service runs, so it is not for ever.
            return Err(PlatformError::Unavailable {
                cause: format!("UAA does not accept CLIENT_ID with CLIENT_SECRET: {}", answer.into_error()),
                retry_after: None,
                delivery: Delivery::Failed,
            });
        }
        let Granted { access_token, expires_in } = answer.into_json().map_err(unavailable)?;
        if access_token.is_empty() || !access_token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(PlatformError::Unavailable {
                cause: "UAA answered with a token that cannot be one".to_owned(),
                retry_after: None,
                delivery: Delivery::Failed,
            });
        }
        let life = Duration::from_secs(expires_in);
        let renew_at = asked_at.saturating_add(life.saturating_sub(RENEWAL_MARGIN).max(life / 2));
        Ok(ValidToken { token: access_token.into(), renew_at })
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        authorization: &str,
        body: Body,
    ) -> Result<Answer, PlatformError> {
        let url = self.endpoint()?.url(path);
        let authorization = Some(authorization);
        self.transport
            .exchange(&Request { upstream: Upstream::Uaa, method, url: &url, authorization, body })
            .map_err(unavailable)
    }

    /// Where UAA is. Two threads may look it up at once; they find the same.
    fn endpoint(&self) -> Result<&Endpoint, PlatformError> {
        if let Some(endpoint) = self.endpoint.get() {
            return Ok(endpoint);
        }
        #[derive(Deserialize)]
        struct Root {
            links: Links,
        }
        #[derive(Deserialize)]
        struct Links {
            uaa: Option<Link>,
            login: Option<Link>,
        }
        #[derive(Deserialize)]
        struct Link {
            href: String,
        }
        let url = self.cloud_foundry.url("/");
        let root: Root = self
            .transport
            .exchange(&Request {
                upstream: Upstream::CloudFoundry,
                method: Method::GET,
                url: &url,
                authorization: None,
                body: Body::None,
            })
            .and_then(Answer::into_json)
            .map_err(unavailable)?;
        let wrong = |why: &str| PlatformError::Unavailable {
            cause: format!("Cloud Foundry's root {why}; UAA_ENDPOINT can be set instead"),
            retry_after: None,
            delivery: Delivery::Failed,
        };
        let link = root.links.uaa.or(root.links.login).ok_or_else(|| wrong("does not say where UAA is"))?;
        let endpoint = Endpoint::parse("its link", &link.href).map_err(|_| wrong("links to no UAA"))?;
        if self.cloud_foundry.is_secure() && !endpoint.is_secure() {
            return Err(wrong("links to a UAA without TLS, where the client's secret would be open to all"));
        }
        Ok(self.endpoint.get_or_init(|| endpoint))
    }
}

/// What UAA says of a token, in its payload or in an introspection.
#[derive(Deserialize, Default)]
struct Claims {
    user_id: Option<String>,
    client_id: Option<String>,
    #[serde(default)]
    scope: Scope,
    exp: Option<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scope {
    List(Vec<String>),
    Words(String),
}

impl Default for Scope {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Claims {
    fn identity(&self, user: String) -> Identity {
        let admin = match &self.scope {
            Scope::List(scopes) => scopes.iter().any(|scope| scope == ADMIN_SCOPE),
            Scope::Words(scopes) => scopes.split(' ').any(|scope| scope == ADMIN_SCOPE),
        };
        Identity { user, admin, expires_at: self.exp.and_then(Timestamp::from_seconds) }
    }
}

/// The payload of a JWT. Whoever made the token wrote it: only UAA's word makes it worth anything.
fn claims_of(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// The holder of a token that `/userinfo` has vouched for. One that is no JWT has no scopes that could be read.
fn identity_of_user(answer: Answer, token: &str) -> Result<Identity, PlatformError> {
    #[derive(Deserialize)]
    struct UserInfo {
        user_id: Option<String>,
        sub: Option<String>,
    }
    let unnamed = answer.nonsense("it names no user");
    let info: UserInfo = answer.into_json().map_err(unavailable)?;
    let claims = claims_of(token).unwrap_or_default();
    let user = info.user_id.or(info.sub).filter(|user| !user.is_empty()).ok_or(unnamed)?;
    Ok(claims.identity(user))
}

/// Whatever UAA says about its own trouble, nobody can be judged until it is over, and nothing has had an effect.
fn unavailable(error: PlatformError) -> PlatformError {
    let (cause, retry_after) = match error {
        PlatformError::Unavailable { cause, retry_after, .. } => (cause, retry_after),
        PlatformError::Refused { detail } => (detail, None),
    };
    PlatformError::Unavailable { cause, retry_after, delivery: Delivery::Failed }
}
