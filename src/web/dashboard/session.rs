//! Sessions. A session is a signed cookie, so any instance can check it. Forms carry a token that is derived
//! from the user.
//!
//! Invariant: nothing in a cookie is used before its signature has been checked. No session outlives its
//! expiry or a sign-out of its user. Sign-outs and used codes are in the database, so they hold on every
//! instance and after a restart.

use std::sync::Arc;
use std::time::Duration;

use log::log;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::http::Request;
use crate::model::{Guid, Secret, Timestamp};
use crate::platform::Identity;
use crate::store::{Store, StoreError};

const SESSION_SECONDS: i64 = 8 * 3600;
/// An admin's scope is known only from the sign-in, so sessions of admins are short.
const ADMIN_SECONDS: i64 = 3600;
/// How long a one-time link works.
const LINK_SECONDS: i64 = 300;
/// The most expired sign-outs that are deleted with each new one.
const CLEARED: u32 = 100;
/// A longer cookie is ignored.
const COOKIE_MAX: usize = 4096;

/// A signed-in user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) user: String,
    /// The user's name, if the platform tells it.
    name: Option<String>,
    pub(super) admin: bool,
    may_read: bool,
    pub(super) may_write: bool,
    /// Those scopes of the token that allow reading everywhere.
    scopes: Vec<String>,
    /// The SHA-256 of the token, in hexadecimal.
    digest: String,
    /// Nanoseconds since 1970.
    issued_at: i64,
    /// Seconds since 1970.
    ends_at: i64,
}

/// Signs and checks.
pub(super) struct Keeper {
    key: [u8; 32],
    store: Arc<Store>,
}

impl Session {
    /// A session for the user of a token, with the token's rights.
    pub(super) fn holder(&self) -> Identity {
        Identity {
            user: self.user.clone(),
            name: self.name.clone(),
            readable: Vec::new(),
            scopes: self.scopes.clone(),
            admin: self.admin,
            may_read: self.may_read,
            may_write: self.may_write,
            spaces: None,
            expires_at: None,
        }
    }

    /// Sessions whose rights are known only from the sign-in are short.
    fn lasts(&self) -> i64 {
        if self.admin || !self.scopes.is_empty() { ADMIN_SECONDS } else { SESSION_SECONDS }
    }

    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        for (index, byte) in digest.iter_mut().enumerate() {
            let digits = self.digest.get(2 * index..2 * index + 2).unwrap_or_default();
            *byte = u8::from_str_radix(digits, 16).unwrap_or_default();
        }
        digest
    }
}

/// The SHA-256 by which a token is identified.
pub fn digest_of(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

impl Keeper {
    /// Without a secret the key is random and kept in the database.
    pub(super) fn new(secret: Option<&Secret>, store: Arc<Store>) -> Self {
        let kept = || {
            let fresh = Secret::from(format!("{}{}", Guid::random(), Guid::random()));
            store.dashboard_key(&fresh).unwrap_or_else(|error| {
                log!(error.noted(), cause:% = error; "no key of sessions is kept: they end with the process");
                fresh
            })
        };
        let secret = secret.cloned().unwrap_or_else(kept);
        Self { key: mac(secret.reveal().as_bytes(), &["dashboard key"]), store }
    }

    pub(super) fn begin(&self, holder: Identity, digest: &[u8; 32], now: Timestamp) -> Session {
        let digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let Identity { user, name, admin, may_read, may_write, scopes, .. } = holder;
        let issued_at = now.nanos();
        let session =
            Session { user, name, admin, may_read, may_write, scopes, digest, issued_at, ends_at: 0 };
        Session { ends_at: now.seconds().saturating_add(session.lasts()), ..session }
    }

    /// The `Set-Cookie` of a session.
    pub(super) fn cookie(&self, session: &Session, request: &Request) -> String {
        let payload = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(session).unwrap_or_default());
        let signature = BASE64_URL_SAFE_NO_PAD.encode(mac(&self.key, &["session", &payload]));
        set_cookie(request, &format!("{payload}.{signature}"), session.lasts())
    }

    /// The session of a request, if it has a valid one.
    pub(super) fn session(&self, request: &Request, now: Timestamp) -> Result<Option<Session>, StoreError> {
        let Some(session) = self.signed(request).filter(|session| now.seconds() < session.ends_at) else {
            return Ok(None);
        };
        let signed_out_at = self.store.signed_out_at(&session.user)?;
        let is_over = signed_out_at.is_some_and(|at| session.issued_at <= at.nanos());
        Ok((!is_over).then_some(session))
    }

    /// The content of a request's cookie, if its signature is valid.
    fn signed(&self, request: &Request) -> Option<Session> {
        let value = cookie_of(request, &cookie_name(request))?;
        let (payload, signature) = value.split_once('.').filter(|_| value.len() <= COOKIE_MAX)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !bool::from(signature.ct_eq(&mac(&self.key, &["session", payload]))) {
            return None;
        }
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }

    /// Ends all sessions of a user.
    pub(super) fn sign_out(&self, user: &str, now: Timestamp) -> Result<(), StoreError> {
        self.store.purge_sign_outs(now, CLEARED)?;
        self.store.sign_out(
            user,
            now,
            now.saturating_add(Duration::from_secs(SESSION_SECONDS.unsigned_abs())),
        )
    }

    /// The token that a form of this user must carry. It does not depend on the session, so an old tab still
    /// works.
    pub(super) fn form_token(&self, user: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(mac(&self.key, &["form", user]))
    }

    pub(super) fn is_form_token(&self, user: &str, token: &str) -> bool {
        self.form_token(user).as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// The secret of the client that Cloud Controller creates for the dashboard. It is derived from the key.
    pub(super) fn client_secret(&self) -> Secret {
        Secret::from(BASE64_URL_SAFE_NO_PAD.encode(mac(&self.key, &["dashboard client"])))
    }

    /// Signs the state that UAA sends back.
    pub(super) fn sealed(&self, text: &str) -> String {
        let payload = BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{payload}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac(&self.key, &["sign-in", &payload])))
    }

    pub(super) fn unsealed(&self, value: &str) -> Option<String> {
        let (payload, signature) = value.split_once('.').filter(|_| value.len() <= COOKIE_MAX)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let is_ours: bool = signature.ct_eq(&mac(&self.key, &["sign-in", payload])).into();
        String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(payload).ok().filter(|_| is_ours)?).ok()
    }

    /// Whether this is the first use of a state that ends at `ends_at`.
    pub(super) fn use_once(&self, state: &str, ends_at: i64, now: Timestamp) -> Result<bool, StoreError> {
        match Timestamp::from_seconds(ends_at).filter(|ends_at| now < *ends_at) {
            Some(ends_at) => self.store.use_code(state, ends_at, now),
            None => Ok(false),
        }
    }

    /// The token for the code of a one-time link. A code works once.
    pub(super) fn redeem(
        &self,
        code: &str,
        digests: &[[u8; 32]],
        now: Timestamp,
    ) -> Result<Option<[u8; 32]>, StoreError> {
        let Some((head, ends_at, digest)) = link_of(code, digests, now) else { return Ok(None) };
        Ok(self.use_once(head, ends_at, now)?.then_some(digest))
    }
}

/// The signed part of a code, its expiry (seconds since 1970), and its token. `None`: it is not valid now.
fn link_of<'c>(code: &'c str, digests: &[[u8; 32]], now: Timestamp) -> Option<(&'c str, i64, [u8; 32])> {
    let (head, signature) = code.rsplit_once('.')?;
    let ends_at: i64 = head.split_once('.')?.0.parse().ok()?;
    let is_of_the_future = now.seconds().saturating_add(1) < ends_at.saturating_sub(LINK_SECONDS);
    if ends_at <= now.seconds() || is_of_the_future {
        return None;
    }
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
    let digest = digests.iter().find(|digest| {
        let own = mac(digest.as_slice(), &["dashboard link", head]);
        bool::from(signature.ct_eq(&own))
    })?;
    Some((head, ends_at, *digest))
}

/// The code of a one-time link for the token of this SHA-256.
pub fn link_code(digest: &[u8; 32], now: Timestamp) -> String {
    let head = format!("{}.{}", now.seconds().saturating_add(LINK_SECONDS), Guid::random());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(mac(digest, &["dashboard link", &head]));
    format!("{head}.{signature}")
}

fn mac(key: &[u8], texts: &[&str]) -> [u8; 32] {
    // HMAC accepts a key of any length, so this cannot fail.
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) else { return [0; 32] };
    for text in texts {
        mac.update(&(text.len() as u64).to_be_bytes());
        mac.update(text.as_bytes());
    }
    mac.finalize().into_bytes().into()
}

/// Whether the browser uses TLS, to this service or to a proxy in front of it.
pub(super) fn is_secure(request: &Request) -> bool {
    let scheme = request.header("X-Forwarded-Proto").unwrap_or_default();
    scheme.split(',').next().unwrap_or_default().trim().eq_ignore_ascii_case("https")
}

/// The host that the browser requested, with the port unless it is the default.
pub(super) fn host_of(request: &Request) -> &str {
    let forwarded = request.header("X-Forwarded-Host").and_then(|hosts| hosts.split(',').next());
    forwarded.or(request.header("Host")).unwrap_or_default().trim()
}

/// Cookies do not depend on the port, so the name contains it.
fn cookie_name(request: &Request) -> String {
    if is_secure(request) {
        return "__Host-ocf-scheduler".to_owned();
    }
    let port = host_of(request).rsplit_once(':').map_or("80", |(_, port)| port);
    let port: String = port.chars().filter(char::is_ascii_digit).collect();
    format!("ocf-scheduler-{port}")
}

fn set_cookie(request: &Request, value: &str, seconds: i64) -> String {
    let name = cookie_name(request);
    // `__Host-` requires the path `/`. The service reads it below /dashboard only.
    let scope = if is_secure(request) { "Path=/; Secure" } else { "Path=/dashboard" };
    format!("{name}={value}; {scope}; HttpOnly; SameSite=Lax; Max-Age={seconds}")
}

/// The `Set-Cookie` that ends the session.
pub(super) fn cleared(request: &Request) -> String {
    set_cookie(request, "", 0)
}

/// A cookie by its name.
pub(super) fn cookie_of<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    let headers = request.headers.iter().filter(|header| header.field.equiv("Cookie"));
    let mut pairs = headers.flat_map(|header| header.value.as_str().split(';'));
    pairs.find_map(|pair| pair.trim().split_once('=').filter(|(other, _)| *other == name).map(|it| it.1))
}

/// Whether a `POST` comes from a page of this service. Behind TLS the schemes may differ, so only hosts are
/// compared.
pub(super) fn is_of_our_pages(request: &Request) -> bool {
    let site = request.header("Sec-Fetch-Site");
    let origin = request.header("Origin");
    if site.is_none() && origin.is_none() {
        return false;
    }
    let is_own = |origin: &str| {
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        let plain = |host: &str| {
            let host = host.to_ascii_lowercase();
            host.strip_suffix(":443").or(host.strip_suffix(":80")).unwrap_or(&host).to_owned()
        };
        !host.is_empty() && plain(host) == plain(host_of(request))
    };
    site.is_none_or(|site| site == "same-origin") && origin.is_none_or(is_own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_counts_for_five_minutes_and_for_its_own_token() {
        let at = |seconds| Timestamp::from_seconds(seconds).unwrap();
        let (mine, other) = (digest_of("mine"), digest_of("other"));
        let code = link_code(&mine, at(1000));
        let token = |digests: &[[u8; 32]], now| link_of(&code, digests, at(now)).map(|(_, _, digest)| digest);
        assert_eq!(token(&[other], 1001), None);
        assert_eq!(token(&[other, mine], 1300), None, "too late");
        assert_eq!(token(&[other, mine], 1299), Some(mine));
        assert_eq!(token(&[mine], 900), None, "of the future");
        for nonsense in ["", ".", "..", "x.y.z", "2000.a.b", "-1.a.b"] {
            assert_eq!(link_of(nonsense, &[mine], at(1001)), None, "{nonsense}");
        }
    }
}
