//! Base URLs, and checks of the values that go into URLs.
//!
//! Invariant: no value from outside changes where a request goes or which resource it names.

use ureq::http::Uri;

use crate::model::{TASK_NAME_CHARS_MAX, is_unfindable};
use crate::outbound::read_uri;

/// No guid or name is longer than this.
const MAX_IDENTIFIER_BYTES: usize = 255;

/// The base URL of Cloud Foundry or UAA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Without a slash at the end.
    base: String,
    origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    secure: bool,
    host: String,
    port: u16,
}

impl Endpoint {
    /// Parses the value of the setting `name`.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let example = "an http or https URL such as https://api.example.com";
        let uri = read_uri(text.trim()).ok_or_else(|| format!("{name} is not {example}"))?;
        let origin = Origin::of(&uri).ok_or_else(|| format!("{name} is not {example}"))?;
        if text.contains(['?', '#']) {
            return Err(format!("{name} has a query or a fragment, but must be {example}"));
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(format!("{name} contains a user or password, but must be {example}"));
        }
        Ok(Self { base: text.trim().trim_end_matches('/').to_owned(), origin })
    }

    /// The URL of `path_and_query`, which starts with a slash.
    pub(super) fn url(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.base)
    }

    pub(super) fn is_secure(&self) -> bool {
        self.origin.secure
    }

    /// Whether `url` has the scheme, host and port of this endpoint.
    pub(super) fn has_origin_of(&self, url: &str) -> bool {
        read_uri(url).is_some_and(|uri| Origin::of(&uri).as_ref() == Some(&self.origin))
    }
}

impl Origin {
    fn of(uri: &Uri) -> Option<Self> {
        let secure = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        Some(Self { secure, host, port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }) })
    }
}

/// Whether `text` can be the guid of an app or a task. Cloud Foundry's are UUIDs. A slash, a dot or a comma
/// could make the request name another resource.
pub(super) fn is_identifier(text: &str) -> bool {
    (1..=MAX_IDENTIFIER_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Whether `text` can be the name of one of our tasks, and a value in a filter.
pub(super) fn is_task_name(text: &str) -> bool {
    (1..=TASK_NAME_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(is_unfindable)
}

/// Whether `text` can be a user's id or a client's name in a filter, where a comma separates values.
pub(super) fn is_user_id(text: &str) -> bool {
    (1..=MAX_IDENTIFIER_BYTES).contains(&text.len()) && !text.contains(|c: char| c == ',' || c.is_control())
}

/// `text` as a value in a query or a form.
pub(super) fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte))
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_http_url_is_an_endpoint() {
        #[track_caller]
        fn check(text: &str, url_of_info: Option<&str>) {
            let url = Endpoint::parse("CF_ENDPOINT", text).map(|endpoint| endpoint.url("/info"));
            assert_eq!(url.as_deref().ok(), url_of_info, "{text}");
            assert!(url.is_ok() || url.is_err_and(|message| message.contains("CF_ENDPOINT")));
        }
        check("https://api.example.com", Some("https://api.example.com/info"));
        check(" https://api.example.com/ ", Some("https://api.example.com/info"));
        check("http://127.0.0.1:9000/cf/", Some("http://127.0.0.1:9000/cf/info"));
        check("", None);
        check("api.example.com", None);
        check("/v3", None);
        check("ftp://api.example.com", None);
        check("https://user:secret@api.example.com", None);
        check("https://api.example.com?x=1", None);
        check("https://api.example.com/#x", None);
        check("https://api.example.com:99999", None);
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let endpoint = Endpoint::parse("CF_ENDPOINT", "https://API.example.com").unwrap();
        assert!(endpoint.has_origin_of("https://api.example.com:443/v3/roles?page=2"));
        assert!(!endpoint.has_origin_of("http://api.example.com/v3/roles"));
        assert!(!endpoint.has_origin_of("https://api.example.com:8443/v3/roles"));
        assert!(!endpoint.has_origin_of("https://api.example.com@evil.test/v3/roles"));
        assert!(!endpoint.has_origin_of("/v3/roles?page=2"));
    }

    #[test]
    fn no_value_can_change_a_request() {
        for odd in ["", "..", "../tasks", "a/b", "a?b", "a,b", "a%2fb", "a b", "ä", "a\r\nb"] {
            assert!(!is_identifier(odd), "{odd:?}");
        }
        assert!(is_identifier("6a9c8a6e-4f6c-4f0e-9d61-6ad3a7f6a5ba"));
        assert!(!is_identifier(&"a".repeat(256)));
        assert!(!is_user_id("alice,bob"));
        assert_eq!(percent_encoded("ci bot&types=x"), "ci%20bot%26types%3Dx");
    }
}
