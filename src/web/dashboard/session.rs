//! Sessions: a signed cookie, so that any instance can check it, and the token that forms must carry.
//!
//! Invariant: nothing in a cookie is believed before its signature has been checked, and no session outlives
//! its end or a sign-out of its user. Sign-outs and used codes are in the database, so they hold for every
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
/// An admin's scope exists only at sign-in, so the session cannot outlive it for long.
const ADMIN_SECONDS: i64 = 3600;
/// A one-time link is good for so long.
const LINK_SECONDS: i64 = 300;
/// Ended sign-outs that are cleared with each new one.
const CLEARED: u32 = 100;
/// A longer cookie is not looked at.
const COOKIE_MAX: usize = 4096;

/// Somebody who has signed in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) user: String,
    /// What people call the user, where the platform says it.
    name: Option<String>,
    pub(super) admin: bool,
    may_read: bool,
    pub(super) may_write: bool,
    /// The scopes of the token that may read everywhere.
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
    /// Who signed in, with the rights that the token gave.
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

    /// Rights that exist only at sign-in cannot be outlived for long.
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

/// What a token is known by.
pub fn digest_of(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

impl Keeper {
    /// Without a secret the key is a random one, which the database keeps.
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

    /// The session of a request, if it has one that counts.
    pub(super) fn session(&self, request: &Request, now: Timestamp) -> Result<Option<Session>, StoreError> {
        let Some(session) = self.signed(request).filter(|session| now.seconds() < session.ends_at) else {
            return Ok(None);
        };
        let signed_out_at = self.store.signed_out_at(&session.user)?;
        let is_over = signed_out_at.is_some_and(|at| session.issued_at <= at.nanos());
        Ok((!is_over).then_some(session))
    }

    /// What the cookie of a request says, if we have signed it.
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

    /// What a form of this user must carry. It does not change with the session, so an old tab works on.
    pub(super) fn form_token(&self, user: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(mac(&self.key, &["form", user]))
    }

    pub(super) fn is_form_token(&self, user: &str, token: &str) -> bool {
        self.form_token(user).as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// The secret of the client that Cloud Controller makes for the dashboard. It stays while the key does.
    pub(super) fn client_secret(&self) -> Secret {
        Secret::from(BASE64_URL_SAFE_NO_PAD.encode(mac(&self.key, &["dashboard client"])))
    }

    /// Signs what a sign-in elsewhere has to bring back.
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

    /// Which of these tokens the code of a one-time link stands for. It counts once.
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

/// What a code is signed for, when it ends (seconds since 1970), and its token; `None`: it is not good now.
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
    // A key of any length will do, so this is no error that happens.
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) else { return [0; 32] };
    for text in texts {
        mac.update(&(text.len() as u64).to_be_bytes());
        mac.update(text.as_bytes());
    }
    mac.finalize().into_bytes().into()
}

/// Whether the browser speaks TLS, with us or with a proxy in front of us.
pub(super) fn is_secure(request: &Request) -> bool {
    let scheme = request.header("X-Forwarded-Proto").unwrap_or_default();
    scheme.split(',').next().unwrap_or_default().trim().eq_ignore_ascii_case("https")
}

/// The host that the browser asked for, with a port if that is not the usual one.
pub(super) fn host_of(request: &Request) -> &str {
    let forwarded = request.header("X-Forwarded-Host").and_then(|hosts| hosts.split(',').next());
    forwarded.or(request.header("Host")).unwrap_or_default().trim()
}

/// Cookies know no port, so services on one machine have names of their own.
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
    // `__Host-` asks for the path `/`; the service looks at it below /dashboard only.
    let scope = if is_secure(request) { "Path=/; Secure" } else { "Path=/dashboard" };
    format!("{name}={value}; {scope}; HttpOnly; SameSite=Lax; Max-Age={seconds}")
}

/// The `Set-Cookie` that takes the session away.
pub(super) fn cleared(request: &Request) -> String {
    set_cookie(request, "", 0)
}

/// A cookie by its name.
pub(super) fn cookie_of<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    let headers = request.headers.iter().filter(|header| header.field.equiv("Cookie"));
    let mut pairs = headers.flat_map(|header| header.value.as_str().split(';'));
    pairs.find_map(|pair| pair.trim().split_once('=').filter(|(other, _)| *other == name).map(|it| it.1))
}

/// Whether a `POST` comes from a page of ours. Schemes may differ behind TLS, so hosts are compared.
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
