//! Signing in with a token or with a one-time link.

use super::session::digest_of;
use super::{Dashboard, Fields, layout, own_path, redirect, respond_html};
use crate::http::{Request, Response, with_header};
use crate::web::api::{Api, Asker};
use crate::web::auth::AuthError;
use crate::web::limit::RateLimitKey;

impl Dashboard {
    /// Takes a token, or the code of a link, once, and begins a session.
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
            // What `cf oauth-token` prints begins with the scheme.
            let given = form.get("token");
            let (scheme, rest) = given.split_once(' ').unwrap_or(("", given));
            let token = if scheme.eq_ignore_ascii_case("bearer") { rest.trim() } else { given };
            let digest = digest_of(token);
            api.auth.sign_in(token).map(|(_, holder)| (holder.user, holder.admin, holder.may_write, digest))
        } else {
            match self.keeper.redeem(code, &api.platform.token_digests(), now) {
                None => Err(AuthError::Unauthorized("the link is not known, too old, or was used")),
                Some(digest) => {
                    let caller = api.auth.caller_signed_in("", false, &digest);
                    caller.map(|caller| {
                        let admin = caller.spaces().is_none();
                        (caller.user, admin, true, digest)
                    })
                }
            }
        };
        match signed_in {
            Ok((user, admin, may_write, digest)) => {
                asker.user = Some(user.clone());
                let session = self.keeper.begin((user, admin, may_write), &digest, now);
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
                            "This token is not accepted, or its user is no developer or manager of any space."
                        }
                        _ => {
                            "This link has been used, or is older than five minutes. `ocf-scheduler dashboard` prints another."
                        }
                    },
                )
            }
        }
    }
}

/// Whose failures count together: behind a proxy, the address that it names last.
fn address_of(request: &Request) -> String {
    let forwarded = request.header("X-Forwarded-For").and_then(|hops| hops.rsplit(',').next());
    let address = forwarded.map(|hop| hop.trim().to_owned());
    address.unwrap_or_else(|| request.remote.ip().to_string())
}
