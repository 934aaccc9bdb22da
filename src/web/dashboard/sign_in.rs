//! Signing in with a token or with a one-time link.

use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::ask::Refusal;
use super::session::{self, digest_of};
use super::{Dashboard, Fields, database_trouble, layout, own_path, redirect, respond_html};
use crate::http::{Request, Response, with_header};
use crate::model::Guid;
use crate::platform::{CodeGrant, Identity};
use crate::web::api::{Api, Asker};
use crate::web::auth::AuthError;
use crate::web::limit::RateLimitKey;

/// The state of a sign-in, kept in a cookie while the browser is at UAA.
#[derive(Serialize, Deserialize)]
struct Waiting {
    state: String,
    verifier: String,
    to: String,
    /// Seconds since 1970.
    ends_at: i64,
}

/// The requested scopes. UAA grants the admin scope only to admins.
const SCOPES: &str = "openid cloud_controller.read cloud_controller.write cloud_controller.admin";
/// The scopes that Cloud Controller gives to the client from a broker's catalog.
const SCOPES_OF_CATALOG: &str = "openid cloud_controller_service_permissions.read";
const WAITING_COOKIE: &str = "ocf-scheduler-sign-in";
const WAITING_SECONDS: i64 = 600;
const TOO_MANY: &str =
    "Too many people are signing in while Cloud Foundry is slow. Reload this page in a moment.";

impl Dashboard {
    /// Sends the browser to UAA.
    pub(super) fn begin_at_uaa(&self, api: &Api, request: &Request) -> Response {
        let fields = Fields::of_query(request);
        let shown = |status, why| respond_html(status, layout::sign_in(self, &fields, Some(why)));
        let Some(client) = &self.client else { return shown(404, "There is no such way to sign in.") };
        let Some(_seat) = self.signing_in.enter() else { return shown(503, TOO_MANY) };
        let scopes = if client.is_of_catalog { SCOPES_OF_CATALOG } else { SCOPES };
        let random = || format!("{}{}", Guid::random(), Guid::random());
        let waiting = Waiting {
            state: random(),
            verifier: random(),
            to: own_path(fields.get("to")).to_owned(),
            ends_at: api.clock.now().seconds().saturating_add(WAITING_SECONDS),
        };
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest_of(&waiting.verifier));
        match api.platform.sign_in_url(&client.id, scopes, &callback_of(request), &waiting.state, &challenge)
        {
            Ok(Some(url)) => {
                let text = serde_json::to_string(&waiting).unwrap_or_default();
                let cookie = waiting_cookie(request, &self.keeper.sealed(&text), WAITING_SECONDS);
                with_header(redirect(&url), "Set-Cookie", &cookie)
            }
            Ok(None) => shown(404, "There is no such way to sign in."),
            Err(_) => shown(503, "Cloud Foundry did not say where to sign in. Try again soon."),
        }
    }

    /// Handles the redirect from UAA. Its code works once, and only for the browser that started the sign-in.
    pub(super) fn end_at_uaa(&self, api: &Api, request: &Request, asker: &mut Asker) -> Response {
        let fields = Fields::of_query(request);
        let cleared = waiting_cookie(request, "", 0);
        let shown = |status, why| {
            let page = respond_html(status, layout::sign_in(self, &Fields::default(), Some(why)));
            with_header(page, "Set-Cookie", &cleared)
        };
        let now = api.clock.now();
        let address = address_of(request);
        let attempts = RateLimitKey::Refused(&address);
        if self.failures.look(attempts, api.clock.monotonic()).is_err() {
            return shown(429, "Too many attempts have failed. Wait a few seconds, then try again.");
        }
        let Some(_seat) = self.signing_in.enter() else {
            // Neither the cookie nor the code is used up, so reloading the page is enough.
            return layout::alone(&Refusal::new(503, TOO_MANY));
        };
        let waiting = session::cookie_of(request, WAITING_COOKIE).and_then(|it| self.keeper.unsealed(it));
        let waiting: Option<Waiting> = waiting.and_then(|text| serde_json::from_str(&text).ok());
        let waiting = waiting.filter(|it| it.state == fields.get("state"));
        let used = waiting.as_ref().map(|it| self.keeper.use_once(&it.state, it.ends_at, now));
        let waiting = match used {
            Some(Err(error)) => return database_trouble(&error),
            Some(Ok(true)) => waiting,
            _ => None,
        };
        let Some((waiting, client)) = waiting.zip(self.client.as_ref()) else {
            return shown(
                401,
                "This sign-in was not started here, was used already, or took too long. Start again.",
            );
        };
        let (redirect_uri, code) = (callback_of(request), fields.get("code"));
        let grant = CodeGrant {
            client: &client.id,
            secret: client.secret.reveal(),
            code,
            redirect: &redirect_uri,
            verifier: &waiting.verifier,
        };
        let token = match api.platform.token_of_code(&grant) {
            _ if code.is_empty() => return shown(401, "Cloud Foundry refused the sign-in."),
            Ok(Some(token)) => token,
            Ok(None) => {
                let _ = self.failures.take(attempts, api.clock.monotonic());
                return shown(401, "Cloud Foundry refused this sign-in. Start again.");
            }
            Err(_) => return shown(503, "Cloud Foundry does not answer. Try again soon."),
        };
        let signed_in = match client.is_of_catalog {
            true => api.auth.sign_in_by_roles(&token),
            false => api.auth.sign_in(&token),
        };
        match signed_in {
            Ok((_, holder)) => {
                asker.user = Some(holder.user.clone());
                if !client.is_of_catalog {
                    self.keep_token(api, &token, &holder);
                }
                let session = self.keeper.begin(holder, &digest_of(&token), now);
                let response = with_header(redirect(&waiting.to), "Set-Cookie", &cleared);
                with_header(response, "Set-Cookie", &self.keeper.cookie(&session, request))
            }
            Err(AuthError::Unavailable(_)) => shown(503, "Who you are cannot be checked. Try again soon."),
            Err(AuthError::Unauthorized(_)) => shown(401, "You are no developer or manager of any space."),
        }
    }

    /// Keeps a token if it may read the output of tasks.
    fn keep_token(&self, api: &Api, token: &str, holder: &Identity) {
        if !api.platform.keeps_output() {
            self.tokens.keep(digest_of(token), token, holder.expires_at, api.clock.now());
        }
    }

    /// Starts a session for a token, or for the code of a one-time link.
    pub(super) fn sign_in(&self, api: &Api, request: &Request, asker: &mut Asker) -> Response {
        let form = Fields::of(std::str::from_utf8(&request.body).unwrap_or_default());
        let shown = |status, why: &str| respond_html(status, layout::sign_in(self, &form, Some(why)));
        let address = address_of(request);
        let failures = RateLimitKey::Refused(&address);
        if self.failures.look(failures, api.clock.monotonic()).is_err() {
            let response = shown(429, "Too many attempts have failed. Wait a few seconds, then try again.");
            return with_header(response, "Retry-After", "2");
        }
        let now = api.clock.now();
        let code = form.get("code");
        let signed_in = if code.is_empty() {
            // `cf oauth-token` prints the scheme first.
            let given = form.get("token");
            let (scheme, rest) = given.split_once(' ').unwrap_or(("", given));
            let token = if scheme.eq_ignore_ascii_case("bearer") { rest.trim() } else { given };
            let digest = digest_of(token);
            let signed_in = api.auth.sign_in(token).map(|(_, holder)| (holder, digest));
            if let Ok((holder, _)) = &signed_in {
                self.keep_token(api, token, holder);
            }
            signed_in
        } else {
            match self.keeper.redeem(code, &api.platform.token_digests(), now) {
                Err(error) => return database_trouble(&error),
                Ok(None) => Err(AuthError::Unauthorized("the link is not known, too old, or was used")),
                Ok(Some(digest)) => match api.platform.identify_digest(&digest) {
                    Ok(Some(Some(holder))) => {
                        api.auth.caller_signed_in(holder.clone(), &digest).map(|_| (holder, digest))
                    }
                    Ok(_) => Err(AuthError::Unauthorized("the token of the link is not known")),
                    Err(error) => Err(AuthError::Unavailable(error)),
                },
            }
        };
        match signed_in {
            Ok((holder, digest)) => {
                asker.user = Some(holder.user.clone());
                let session = self.keeper.begin(holder, &digest, now);
                let cookie = self.keeper.cookie(&session, request);
                with_header(redirect(own_path(form.get("to"))), "Set-Cookie", &cookie)
            }
            Err(AuthError::Unavailable(_)) => {
                shown(503, "Who you are cannot be checked at the moment. Try again soon.")
            }
            Err(AuthError::Unauthorized(_)) => {
                let _ = self.failures.take(failures, api.clock.monotonic());
                shown(
                    401,
                    match code {
                        "" => {
                            "This token is not valid, or its user is not a developer or manager of any space."
                        }
                        _ => {
                            "This link has been used, or is older than five minutes. `ocf-scheduler \
                             dashboard` prints another."
                        }
                    },
                )
            }
        }
    }
}

/// The address whose failures are counted together.
fn address_of(request: &Request) -> String {
    counted_as(request.remote.ip(), request.header("X-Forwarded-For"))
}

/// Behind a proxy on this machine, the last address that it names. Anybody else could invent addresses, and
/// so try as many tokens as they like.
fn counted_as(peer: IpAddr, forwarded: Option<&str>) -> String {
    let forwarded = forwarded.filter(|_| peer.to_canonical().is_loopback());
    let address = forwarded.and_then(|hops| hops.rsplit(',').next()).map(|hop| hop.trim().to_owned());
    address.unwrap_or_else(|| peer.to_string())
}

fn callback_of(request: &Request) -> String {
    let scheme = if session::is_secure(request) { "https" } else { "http" };
    format!("{scheme}://{}/dashboard/callback", session::host_of(request))
}

fn waiting_cookie(request: &Request, value: &str, seconds: i64) -> String {
    let secure = if session::is_secure(request) { "; Secure" } else { "" };
    format!("{WAITING_COOKIE}={value}; Path=/dashboard; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_but_a_proxy_on_this_machine_says_whose_failures_count() {
        for (peer, forwarded, counted) in [
            ("127.0.0.1", Some("192.0.2.1, 192.0.2.2"), "192.0.2.2"),
            ("::ffff:127.0.0.1", Some("192.0.2.2"), "192.0.2.2"),
            ("127.0.0.1", None, "127.0.0.1"),
            ("10.0.0.7", Some("192.0.2.2"), "10.0.0.7"),
            ("2001:db8::7", Some("127.0.0.1"), "2001:db8::7"),
        ] {
            assert_eq!(counted_as(peer.parse().unwrap(), forwarded), counted, "{peer} {forwarded:?}");
        }
    }
}
