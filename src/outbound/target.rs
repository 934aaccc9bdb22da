//! The target of a request, from its URL.
//!
//! Invariant: the path and query of a stored URL are sent unchanged. Only characters that a request line
//! cannot carry (blanks, non-ASCII) are percent-encoded, as in browsers. Redirects are resolved according to
//! RFC 3986.

use std::fmt::Write;

use ureq::http::Uri;
use url::{Position, Url};

/// A URL that can be requested. No `Debug`, because it may hold a password.
#[derive(Clone)]
pub struct Target {
    /// The base for relative redirects.
    base: Url,
    secure: bool,
    /// In lower case and ASCII; an IPv6 address is in brackets.
    host: String,
    port: u16,
    /// Path and query, for the request line.
    path_and_query: String,
}

const NO_WEB_URL: &str = "it must begin with http:// or https:// and a host";

impl Target {
    /// Parses the URL of a call, without its fragment.
    ///
    /// # Errors
    /// What is wrong, without a subject: "it has …".
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().split('#').next().unwrap_or_default();
        // `Url` would drop some of these, and request something other than what is stored.
        if text.chars().any(char::is_control) {
            return Err("it has a control character".to_owned());
        }
        let (scheme, rest) = text.split_once("://").ok_or(NO_WEB_URL)?;
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at(authority_end);
        if !is_web(&scheme.to_ascii_lowercase()) || authority.is_empty() {
            return Err(NO_WEB_URL.to_owned());
        }
        // `Url` treats a backslash as a slash; other parsers do not, so they would disagree about the host.
        if authority.contains('\\') {
            return Err("its host has a backslash".to_owned());
        }
        let base = Url::parse(text).map_err(|err| err.to_string())?;
        let slash = if path_and_query.starts_with('/') { "" } else { "/" };
        Self::new(base, encoded(&format!("{slash}{path_and_query}")))
    }

    /// The target of a `Location`, which may be relative.
    ///
    /// # Errors
    /// Like [`Target::parse`].
    pub fn redirected(&self, location: &[u8]) -> Result<Self, String> {
        let url = match std::str::from_utf8(location) {
            Ok(location) => self.base.join(location),
            // The server that wrote these bytes knows what they mean.
            Err(_) => self.base.join(&location.iter().fold(String::new(), |mut text, byte| {
                match byte {
                    0..0x80 => text.push(char::from(*byte)),
                    _ => push_encoded(&mut text, *byte),
                }
                text
            })),
        };
        let url = url.map_err(|err| err.to_string())?;
        if !is_web(url.scheme()) {
            return Err(NO_WEB_URL.to_owned());
        }
        let path_and_query = url[Position::BeforePath..Position::AfterQuery].to_owned();
        Self::new(url, path_and_query)
    }

    fn new(mut base: Url, path_and_query: String) -> Result<Self, String> {
        base.set_fragment(None);
        let host = base.host_str().filter(|host| !host.is_empty()).ok_or(NO_WEB_URL)?.to_owned();
        let port = base.port_or_known_default().ok_or(NO_WEB_URL)?;
        Ok(Self { secure: base.scheme() == "https", host, port, path_and_query, base })
    }

    /// Whether scheme, host and port equal those of `other`. Credentials go nowhere else.
    pub fn has_origin_of(&self, other: &Self) -> bool {
        self.origin() == other.origin()
    }

    pub(super) fn origin(&self) -> (bool, &str, u16) {
        (self.secure, &self.host, self.port)
    }

    pub(super) fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    /// The value of `Host`, without the default port.
    pub(super) fn host_header(&self) -> String {
        match self.base.port() {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// Scheme, host and port, for display: the rest may hold secrets.
    pub fn shown(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}", self.host_header())
    }

    /// Scheme, host and port: enough to connect.
    pub(super) fn uri(&self) -> Result<Uri, ureq::Error> {
        let scheme = if self.secure { "https" } else { "http" };
        Ok(format!("{scheme}://{}:{}/", self.host, self.port)
            .parse::<Uri>()
            .map_err(ureq::http::Error::from)?)
    }
}

/// Parses a URI with a valid port. [`Uri`] alone treats a port above 65535 as missing, and so as the default
/// one.
pub fn read_uri(text: &str) -> Option<Uri> {
    text.parse().ok().filter(has_valid_port)
}

pub(super) fn has_valid_port(uri: &Uri) -> bool {
    let Some(authority) = uri.authority().map(|authority| authority.as_str()) else { return true };
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, rest)| rest);
    let after_host = host_and_port.rsplit_once(']').map_or(host_and_port, |(_, rest)| rest);
    let port = after_host.rsplit_once(':').map_or("", |(_, port)| port);
    // RFC 3986 allows a colon without a port.
    port.is_empty() || port.parse::<u16>().is_ok()
}

fn is_web(scheme: &str) -> bool {
    matches!(scheme, "http" | "https")
}

fn encoded(path_and_query: &str) -> String {
    path_and_query.bytes().fold(String::with_capacity(path_and_query.len()), |mut text, byte| {
        match byte {
            b'!'..=b'~' => text.push(char::from(byte)),
            _ => push_encoded(&mut text, byte),
        }
        text
    })
}

fn push_encoded(text: &mut String, byte: u8) {
    // Writing to a string cannot fail.
    let _ = write!(text, "%{byte:02X}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(target: &Target) -> String {
        let scheme = if target.secure { "https" } else { "http" };
        format!("{scheme} {} {} {}", target.host_header(), target.port, target.path_and_query)
    }

    #[test]
    fn a_stored_url_is_sent_unchanged_except_for_characters_invalid_in_a_request_line() {
        #[track_caller]
        fn check(url: &str, expected: &str) {
            assert_eq!(Target::parse(url).map(|target| shown(&target)).as_deref(), Ok(expected), "{url}");
        }
        check("http://h/x?a=b%20c&d=e+f#frag", "http h 80 /x?a=b%20c&d=e+f");
        check(" HTTP://H:80 ", "http h 80 /");
        check("https://h?q=http://z/", "https h 443 /?q=http://z/");
        check("http://h/a/../b/./c//d?x=../y", "http h 80 /a/../b/./c//d?x=../y");
        check(r#"http://h/"{a}|<b>\^`'?[x]='1'"#, r#"http h 80 /"{a}|<b>\^`'?[x]='1'"#);
        check("http://h/%7e%zz%", "http h 80 /%7e%zz%");
        check("http://h/a b/ü?q=日 本", "http h 80 /a%20b/%C3%BC?q=%E6%97%A5%20%E6%9C%AC");
        check("http://h:81/@x:99999", "http h:81 81 /@x:99999");
        check("http://user:pass@h:81/", "http h:81 81 /");
        check("http://[2001:DB8::1]:8080/", "http [2001:db8::1]:8080 8080 /");
        check("http://bücher.example/", "http xn--bcher-kva.example 80 /");
        check("https://日本.example:444/x", "https xn--wgv71a.example:444 444 /x");
        check("http://h:/", "http h 80 /");
        check("http://2130706433/", "http 127.0.0.1 80 /");
    }

    #[test]
    fn a_url_that_cannot_be_requested_says_why() {
        for url in ["test.url", "", "ftp://h/", "http://", "/x", "http:/ok", "http:///x", "http://?x"] {
            assert_eq!(Target::parse(url).err().as_deref(), Some(NO_WEB_URL), "{url}");
        }
        for (url, reason) in [
            ("http://a b/", "domain"),
            ("http://h:99999/", "port"),
            ("http://h:65536", "port"),
            ("https://user@[::1]:70000/", "port"),
            ("http://h:8o/", "port"),
            ("http://h\\@evil.test/", "backslash"),
            ("http://h/a\tb", "control"),
            ("http://h/a\r\nX: y", "control"),
            ("http://[::1/", "IPv6"),
        ] {
            let fault = Target::parse(url).err().unwrap_or_else(|| panic!("{url} is taken"));
            assert!(fault.contains(reason), "{url}: {fault}");
        }
    }

    #[test]
    fn redirects_are_resolved_as_rfc_3986_says() {
        #[track_caller]
        fn check(location: &str, expected: &str) {
            let base = Target::parse("http://h:81/dir/hook?q=1#f").unwrap();
            let redirected = base.redirected(location.as_bytes());
            assert_eq!(redirected.map(|target| shown(&target)).as_deref(), Ok(expected), "{location}");
        }
        check("https://other/x", "https other 443 /x");
        check("//other/x", "http other 80 /x");
        check("/x?y=http://z", "http h:81 81 /x?y=http://z");
        check("c", "http h:81 81 /dir/c");
        check("?r=2", "http h:81 81 /dir/hook?r=2");
        check("", "http h:81 81 /dir/hook?q=1");
        check("#done", "http h:81 81 /dir/hook?q=1");
        check("ok?return=http://x/", "http h:81 81 /dir/ok?return=http://x/");
        check("../ok", "http h:81 81 /ok");
        check("../../../ok/./a/..", "http h:81 81 /ok/");
        check("./a:b", "http h:81 81 /dir/a:b");
        check("http:/ok", "http h:81 81 /ok");
        check("http:ok", "http h:81 81 /dir/ok");
        check("/a b/ü?q=日", "http h:81 81 /a%20b/%C3%BC?q=%E6%97%A5");
        check("HTTPS://BÜCHER.example/", "https xn--bcher-kva.example 443 /");
        // RFC 3986, 5.4.
        check("g;x=1/../y", "http h:81 81 /dir/y");
        check(";x", "http h:81 81 /dir/;x");
    }

    #[test]
    fn a_location_in_another_encoding_keeps_its_bytes_and_a_bad_one_is_refused() {
        let base = Target::parse("http://h/").unwrap();
        assert_eq!(shown(&base.redirected(b"/caf\xe9").unwrap()), "http h 80 /caf%E9");
        for bad in ["http://h:99999/", "ftp://h/", "mailto:x@y", "http://", "//a b/"] {
            assert!(base.redirected(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_port_above_65535_is_none() {
        for (url, is_read) in [
            ("http://h:99999/", false),
            ("http://u:p@h:65536", false),
            ("http://[::1]:99999", false),
            ("http://[::1]", true),
            ("http://u:99999@h", true),
            ("http://h:65535", true),
            ("http://h", true),
            ("/path:99999", true),
        ] {
            assert_eq!(read_uri(url).is_some(), is_read, "{url}");
        }
    }
}
