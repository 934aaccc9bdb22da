//! Gets the service's own token from UAA, and verifies the tokens of callers.
//!
//! Invariants: the claims of a token are trusted only after UAA has accepted the token; before that, they
//! only decide which endpoint to ask. All threads that need the service's token share one request, and its
//! failure.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use ureq::http::Method;

use super::endpoint::{Endpoint, percent_encoded};
use super::faults::{Fault, Faults};
use super::transport::{Answer, Body, Request, Transport, Upstream};
use crate::base::clock::Clock;
use crate::model::Timestamp;
use crate::platform::{Delivery, Identity, PlatformError};

/// Tokens of users with many scopes take many KiB. A longer one is rejected without a request.
const MAX_TOKEN_BYTES: usize = 32 * 1024;
/// How long before its expiry the service's token is renewed, so that it does not expire in transit. A token
/// with a short life is renewed after half of it.
const RENEWAL_MARGIN: Duration = Duration::from_secs(60);
/// How long credentials that UAA has refused are not sent again. UAA locks out clients that fail too often.
const REFUSAL_PAUSE: Duration = Duration::from_secs(5);
const READ_SCOPE: &str = "cloud_controller.read";
const WRITE_SCOPE: &str = "cloud_controller.write";
const ADMIN_SCOPE: &str = "cloud_controller.admin";
/// Tells UAA that id and secret are percent-encoded. Versions before 4.33 ignore it.
const CREDENTIALS_ARE_ENCODED: (&str, &str) = ("X-CF-ENCODED-CREDENTIALS", "true");

pub(super) struct Uaa {
    transport: Arc<Transport>,
    clock: Arc<dyn Clock>,
    cloud_foundry: Endpoint,
    /// From the settings, else from Cloud Foundry's root at the first use.
    endpoint: OnceLock<Endpoint>,
    credentials: Credentials,
    own_token: Mutex<OwnToken>,
    /// The number of completed requests for the service's token. A thread that sees it rise while it waits
    /// takes the latest result.
    fetches_ended: AtomicU64,
    faults: Arc<Faults>,
}

/// The client's id and secret, as values for the `Authorization` header.
struct Credentials {
    /// Percent-encoded, as UAA reads them since 4.33.
    encoded: String,
    /// Unencoded, for older versions; `None` if that is the same.
    plain: Option<String>,
    /// The last credentials that UAA accepted were the unencoded ones.
    prefers_plain: AtomicBool,
}

impl Credentials {
    fn new(id: &str, secret: &str) -> Self {
        let header =
            |id: &str, secret: &str| format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")));
        let encoded = header(&percent_encoded(id), &percent_encoded(secret));
        let plain = Some(header(id, secret)).filter(|plain| *plain != encoded);
        Self { encoded, plain, prefers_plain: AtomicBool::new(false) }
    }
}

struct OwnToken {
    valid: Option<ValidToken>,
    last_fetch: Result<Arc<str>, PlatformError>,
    /// When UAA refused the credentials, in monotonic time; `None` if it did not refuse them last time.
    refused_at: Option<Duration>,
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
        (client_id, client_secret): (&str, &str),
        faults: Arc<Faults>,
    ) -> Self {
        let never_fetched = PlatformError::Unavailable {
            cause: "the service has not requested a token from UAA yet".to_owned(),
            retry_after: None,
            delivery: Delivery::Failed,
        };
        Self {
            transport,
            clock,
            cloud_foundry,
            endpoint: endpoint.map(OnceLock::from).unwrap_or_default(),
            credentials: Credentials::new(client_id, client_secret),
            own_token: Mutex::new(OwnToken { valid: None, last_fetch: Err(never_fetched), refused_at: None }),
            fetches_ended: AtomicU64::new(0),
            faults,
        }
    }

    /// The service's own token: never `rejected`, which Cloud Foundry has refused.
    ///
    /// The delivery of an error is always `Failed`, because the request that needs the token was not sent.
    pub(super) fn own_token(&self, rejected: Option<&str>) -> Result<Arc<str>, PlatformError> {
        let ended_before = self.fetches_ended.load(Ordering::SeqCst);
        // The lock is held during the request, so that other threads that need a token wait here and share
        // the result.
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
        let now = self.clock.monotonic();
        let is_refused_still =
            own.refused_at.and_then(|then| now.checked_sub(then)).is_some_and(|age| age < REFUSAL_PAUSE);
        if is_refused_still {
            return own.last_fetch.clone();
        }
        let fetched = self.fetch_own_token();
        own.refused_at = self.faults.cause(Fault::Credentials).map(|_| now);
        own.last_fetch = fetched.as_ref().map(|valid| valid.token.clone()).map_err(PlatformError::clone);
        own.valid = fetched.ok();
        self.fetches_ended.fetch_add(1, Ordering::SeqCst);
        own.last_fetch.clone()
    }

    /// The holder of `token`; `None` if UAA does not accept it.
    pub(super) fn identify(&self, token: &str) -> Result<Option<Identity>, PlatformError> {
        let is_sane =
            (1..=MAX_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
        if !is_sane {
            return Ok(None);
        }
        // `/userinfo` rejects a valid token without a user (UAA 4.30 even answers 500), and only UAA knows
        // the scopes of an opaque token.
        let Some(claims) = claims_of(token).filter(Claims::have_user) else {
            return self.introspect(token);
        };
        let answer = self.ask(Method::GET, "/userinfo", &format!("Bearer {token}"), None, Body::None)?;
        match answer.status {
            200 => {
                self.faults.absent(Fault::UaaEndpoint);
                identity_of_user(answer, &claims).map(Some)
            }
            401 | 403 => Ok(None),
            // The web server in front of UAA rejected the head as too long. `/introspect` takes the token in
            // the body.
            400 | 413 | 414 | 431 if answer.words().is_none() => self.introspect(token),
            400 => Ok(None),
            _ => Err(self.no_uaa(answer)),
        }
    }

    /// Verifies a token with `/introspect`. Returns `None` for every token if the service's client lacks the
    /// authority `uaa.resource`.
    fn introspect(&self, token: &str) -> Result<Option<Identity>, PlatformError> {
        #[derive(Deserialize)]
        struct Introspection {
            active: bool,
            #[serde(flatten)]
            claims: Claims,
        }
        let answer = self.ask_as_client("/introspect", &format!("token={}", percent_encoded(token)))?;
        match answer.status {
            401 => return Err(self.refused_credentials(answer)),
            403 => {
                let cause = "UAA does not let the client CLIENT_ID introspect tokens: it lacks the authority \
                             uaa.resource, \
                             so opaque tokens and tokens of clients are refused";
                self.faults.found(Fault::Introspection, cause.to_owned());
                return Ok(None);
            }
            400 if answer.words().is_some() => return Ok(None),
            200 => {}
            _ => return Err(self.no_uaa(answer)),
        }
        let Introspection { active, claims } = answer.into_json().map_err(unavailable)?;
        self.faults.absent(Fault::Introspection);
        self.faults.absent(Fault::UaaEndpoint);
        let client = claims.client_id.clone().filter(|client| !client.is_empty());
        let holder = claims.user_id.clone().filter(|user| !user.is_empty()).or(client);
        Ok(holder.filter(|_| active).map(|holder| claims.identity(holder)))
    }

    fn fetch_own_token(&self) -> Result<ValidToken, PlatformError> {
        #[derive(Deserialize)]
        struct Granted {
            access_token: String,
            expires_in: u64,
            scope: Option<Scope>,
        }
        let asked_at = self.clock.now();
        let answer = self.ask_as_client("/oauth/token", "grant_type=client_credentials")?;
        match answer.status {
            401 => return Err(self.refused_credentials(answer)),
            400 | 403 if answer.words().is_some() => return Err(self.refused_credentials(answer)),
            200 => {}
            _ => return Err(self.no_uaa(answer)),
        }
        let Granted { access_token, expires_in, scope } = answer.into_json().map_err(unavailable)?;
        if access_token.is_empty() || !access_token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(PlatformError::Unavailable {
                cause: "UAA answered with an invalid token".to_owned(),
                retry_after: None,
                delivery: Delivery::Failed,
            });
        }
        self.faults.absent(Fault::Credentials);
        self.faults.absent(Fault::UaaEndpoint);
        // Without a list of scopes, assume that UAA granted all of them.
        match scope.or_else(|| claims_of(&access_token).and_then(|claims| claims.scope)) {
            Some(scope) if !scope.has(ADMIN_SCOPE) => {
                let cause = format!("the client CLIENT_ID lacks the authority {ADMIN_SCOPE}");
                self.faults.found(Fault::Authorities, cause);
            }
            _ => self.faults.absent(Fault::Authorities),
        }
        let life = Duration::from_secs(expires_in);
        let renew_at = asked_at.saturating_add(life.saturating_sub(RENEWAL_MARGIN).max(life / 2));
        Ok(ValidToken { token: access_token.into(), renew_at })
    }

    /// Checks that the client may introspect tokens. Opaque tokens and tokens of clients require it.
    pub(super) fn check_introspection(&self) -> Result<(), PlatformError> {
        self.introspect("a-token-that-nobody-has").map(|_| ())?;
        let lacking = self.faults.cause(Fault::Introspection);
        lacking.map_or(Ok(()), |cause| Err(PlatformError::Misconfigured { cause }))
    }

    fn refused_credentials(&self, answer: Answer) -> PlatformError {
        let cause = format!("UAA does not accept CLIENT_ID with CLIENT_SECRET: {}", answer.into_error());
        self.faults.found(Fault::Credentials, cause)
    }

    /// The error for an unexpected response, perhaps from a server that is not a UAA.
    fn no_uaa(&self, answer: Answer) -> PlatformError {
        let is_elsewhere = matches!(answer.status, 300..=499) && !matches!(answer.status, 408 | 429);
        if is_elsewhere && answer.words().is_none() {
            let cause = format!(
                "{}, unlike a UAA: UAA_ENDPOINT (or, if it is unset, the link at CF_ENDPOINT) may have a \
                 wrong \
                 scheme, port or path",
                answer.into_error()
            );
            return self.faults.found(Fault::UaaEndpoint, cause);
        }
        unavailable(answer.into_error())
    }

    /// Sends a request with the client's id and secret: percent-encoded, then unencoded if UAA rejects them.
    fn ask_as_client(&self, path: &str, form: &str) -> Result<Answer, PlatformError> {
        let Credentials { encoded, plain, prefers_plain } = &self.credentials;
        let send = |authorization: &str, extra| {
            self.ask(Method::POST, path, authorization, extra, Body::Form(form.to_owned()))
        };
        let send_encoded = || send(encoded, Some(CREDENTIALS_ARE_ENCODED));
        let Some(plain) = plain else { return send_encoded() };
        let is_plain_first = prefers_plain.load(Ordering::Relaxed);
        let first = if is_plain_first { send(plain, None)? } else { send_encoded()? };
        if first.status != 401 {
            return Ok(first);
        }
        let second = if is_plain_first { send_encoded()? } else { send(plain, None)? };
        if second.is_success() {
            prefers_plain.store(!is_plain_first, Ordering::Relaxed);
        }
        Ok(second)
    }

    pub(super) fn ask(
        &self,
        method: Method,
        path: &str,
        authorization: &str,
        extra_header: Option<(&'static str, &'static str)>,
        body: Body,
    ) -> Result<Answer, PlatformError> {
        let url = self.endpoint()?.url(path);
        let authorization = Some(authorization);
        self.transport
            .exchange(&Request {
                upstream: Upstream::Uaa,
                method,
                url: &url,
                authorization,
                extra_header,
                body,
            })
            .map_err(unavailable)
    }

    /// The base URL of UAA. If two threads look it up at once, both find the same.
    pub(super) fn endpoint(&self) -> Result<&Endpoint, PlatformError> {
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
                extra_header: None,
                body: Body::None,
            })
            .and_then(Answer::into_json)
            .map_err(unavailable)?;
        let wrong = |why: &str| PlatformError::Unavailable {
            cause: format!("Cloud Foundry's root {why}; set UAA_ENDPOINT instead"),
            retry_after: None,
            delivery: Delivery::Failed,
        };
        let link = root.links.uaa.or(root.links.login).ok_or_else(|| wrong("has no link to UAA"))?;
        let endpoint = Endpoint::parse("its link", &link.href)
            .map_err(|_| wrong("has a link to UAA that is not a URL"))?;
        if self.cloud_foundry.is_secure() && !endpoint.is_secure() {
            return Err(wrong("has a link to UAA without TLS, which would expose the client's secret"));
        }
        Ok(self.endpoint.get_or_init(|| endpoint))
    }
}

/// The longest user name that is shown, in bytes. UAA has the same limit.
const NAME_MAX: usize = 255;

/// Scopes that an operator may allow to read everywhere.
const READER_SCOPES: [&str; 2] = ["cloud_controller.global_auditor", "cloud_controller.admin_read_only"];

/// The claims of a token, from its payload or from an introspection.
#[derive(Deserialize, Default)]
struct Claims {
    user_id: Option<String>,
    user_name: Option<String>,
    client_id: Option<String>,
    scope: Option<Scope>,
    exp: Option<i64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scope {
    List(Vec<String>),
    Words(String),
}

impl Scope {
    /// The scopes that an operator may allow to read everywhere.
    fn of_readers(&self) -> Vec<String> {
        let is_of_reader = |scope: &&str| READER_SCOPES.contains(scope);
        match self {
            Self::List(scopes) => {
                scopes.iter().map(String::as_str).filter(is_of_reader).map(str::to_owned).collect()
            }
            Self::Words(scopes) => scopes.split(' ').filter(is_of_reader).map(str::to_owned).collect(),
        }
    }

    fn has(&self, wanted: &str) -> bool {
        match self {
            Self::List(scopes) => scopes.iter().any(|scope| scope == wanted),
            Self::Words(scopes) => scopes.split(' ').any(|scope| scope == wanted),
        }
    }
}

impl Claims {
    fn have_user(&self) -> bool {
        self.user_id.as_ref().is_some_and(|user| !user.is_empty())
    }

    fn identity(&self, user: String) -> Identity {
        let has = |wanted: &str| self.scope.as_ref().is_some_and(|scope| scope.has(wanted));
        let admin = has(ADMIN_SCOPE);
        let is_shown = |name: &String| !name.is_empty() && name.len() <= NAME_MAX;
        let name = self.user_name.clone().filter(|name| is_shown(name) && !name.contains(char::is_control));
        let scopes = self.scope.as_ref().map_or_else(Vec::new, Scope::of_readers);
        Identity {
            user,
            name,
            scopes,
            readable: Vec::new(),
            admin,
            spaces: None,
            may_read: admin || has(READ_SCOPE),
            may_write: admin || has(WRITE_SCOPE),
            expires_at: self.exp.and_then(Timestamp::from_seconds),
        }
    }
}

/// The payload of a JWT. Its signature is not checked here, so it is not trusted until UAA has accepted the
/// token.
fn claims_of(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// The holder of a token that `/userinfo` has accepted, so its claims can be trusted.
fn identity_of_user(answer: Answer, claims: &Claims) -> Result<Identity, PlatformError> {
    #[derive(Deserialize)]
    struct UserInfo {
        user_id: Option<String>,
        sub: Option<String>,
    }
    let unnamed = answer.nonsense("it names no user");
    let info: UserInfo = answer.into_json().map_err(unavailable)?;
    let user = info.user_id.or(info.sub).filter(|user| !user.is_empty()).ok_or(unnamed)?;
    Ok(claims.identity(user))
}

/// Turns every failure of UAA into `Unavailable`: callers cannot be identified until UAA works, and the
/// request had no effect.
fn unavailable(error: PlatformError) -> PlatformError {
    let (cause, retry_after) = match error {
        PlatformError::Unavailable { cause, retry_after, .. } => (cause, retry_after),
        PlatformError::Refused { detail } => (detail, None),
        misconfigured @ PlatformError::Misconfigured { .. } => return misconfigured,
    };
    PlatformError::Unavailable { cause, retry_after, delivery: Delivery::Failed }
}
