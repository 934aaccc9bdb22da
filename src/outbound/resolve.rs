//! Resolves host names. Each lookup starts a thread, so addresses are not looked up, and names are cached for
//! a few seconds.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::base::clock;

/// How long an answer is cached.
const AGE_MAX: Duration = Duration::from_secs(5);
/// The most cached names. A name with an address has at most 253 characters.
const CACHED_MAX: usize = 256;

/// Caches answers for a few seconds. Failures are not cached.
#[derive(Debug, Default)]
pub(super) struct CachingResolver {
    asked: DefaultResolver,
    known: Mutex<HashMap<(String, u16), Known>>,
}

#[derive(Debug)]
struct Known {
    addresses: Vec<SocketAddr>,
    asked_at: Instant,
}

impl Resolver for CachingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.empty();
        if let Some(address) = literal(uri) {
            addresses.push(address);
            return Ok(addresses);
        }
        let key = (uri.host().unwrap_or_default().to_ascii_lowercase(), port(uri));
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&key)
            && known.asked_at.elapsed() < AGE_MAX
        {
            known.addresses.iter().for_each(|address| addresses.push(*address));
            return Ok(addresses);
        }
        drop(known);
        let asked_at = clock::instant();
        let found = self.asked.resolve(uri, config, timeout)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if CACHED_MAX <= known.len() {
            known.clear();
        }
        known.insert(key, Known { addresses: found.iter().copied().collect(), asked_at });
        Ok(found)
    }
}

/// The address and port of a URI that contains an address.
fn literal(uri: &Uri) -> Option<SocketAddr> {
    let address: IpAddr = uri.host()?.trim_matches(['[', ']']).parse().ok()?;
    Some(SocketAddr::new(address, port(uri)))
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ureq::Agent;

    #[test]
    fn addresses_are_read_and_names_are_not() {
        #[track_caller]
        fn check(uri: &str, expected: Option<&str>) {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(literal(&uri.parse().unwrap()), expected, "{uri}");
        }
        check("http://127.0.0.1/", Some("127.0.0.1:80"));
        check("https://10.0.0.1/", Some("10.0.0.1:443"));
        check("https://[2001:db8::1]:8443/x", Some("[2001:db8::1]:8443"));
        check("http://user:password@1.2.3.4:81/", Some("1.2.3.4:81"));
        check("http://localhost/", None);
        check("http://1.2.3.4.example.com/", None);
    }

    #[test]
    fn a_name_is_cached_once_whatever_user_and_password_precede_it() {
        let resolver = CachingResolver::default();
        let config = Agent::config_builder().build();
        for uri in ["http://localhost:81/", "http://LOCALHOST:81/x", "http://u:p@localhost:81/"] {
            resolver.resolve(&uri.parse().unwrap(), &config, NextTimeout::default()).unwrap();
        }
        for user in 0..500 {
            let uri = format!("http://{user}:{}@localhost:81/", "p".repeat(10_000));
            resolver.resolve(&uri.parse().unwrap(), &config, NextTimeout::default()).unwrap();
        }
        let known: Vec<_> = resolver.known.lock().unwrap().keys().cloned().collect();
        assert_eq!(known, [("localhost".to_owned(), 81)]);
    }
}
