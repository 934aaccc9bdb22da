//! Signs users in through UAA in a browser: OAuth 2's authorization code grant with PKCE.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use ureq::http::Method;

use super::endpoint::percent_encoded;
use super::transport::Body;
use super::uaa::Uaa;
use crate::platform::{CodeGrant, PlatformError};

impl Uaa {
    /// The URL at which a browser signs in. UAA grants those of the `scopes` that both the client and the
    /// user have.
    pub(super) fn sign_in_url(
        &self,
        client: &str,
        scopes: &str,
        redirect: &str,
        state: &str,
        challenge: &str,
    ) -> Result<String, PlatformError> {
        let fields = [
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", redirect),
            ("scope", scopes),
            ("state", state),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
        ];
        Ok(self.endpoint()?.url(&format!("/oauth/authorize?{}", form(&fields))))
    }

    /// Exchanges a code for a token; `None`: UAA does not accept the code.
    pub(super) fn token_of_code(&self, grant: &CodeGrant<'_>) -> Result<Option<String>, PlatformError> {
        #[derive(Deserialize)]
        struct Granted {
            access_token: String,
        }
        let credentials = format!("{}:{}", percent_encoded(grant.client), percent_encoded(grant.secret));
        let authorization = format!("Basic {}", BASE64_STANDARD.encode(credentials));
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", grant.code),
            ("redirect_uri", grant.redirect),
            ("code_verifier", grant.verifier),
        ];
        let encoded = Some(("X-CF-ENCODED-CREDENTIALS", "true"));
        let answer =
            self.ask(Method::POST, "/oauth/token", &authorization, encoded, Body::Form(form(&fields)))?;
        match answer.status {
            400 | 401 | 403 => Ok(None),
            _ => answer.into_json::<Granted>().map(|granted| Some(granted.access_token)),
        }
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    let pairs = fields.iter().map(|(name, value)| format!("{name}={}", percent_encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}
