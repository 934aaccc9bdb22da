//! Finds the addresses of hosts. ureq asks before each request, also for a connection that it has already, and starts a thread
//! each time; so what is an address is not asked for, and a name not again within a few seconds.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long an answer is believed.
const AGE_MAX: Duration = Duration::from_secs(5);
/// The most names that are remembered.
const REMEMBERED_MAX: usize = 256;

/// Remembers answers for a few seconds. A failure is not remembered.
#[derive(Debug, Default)]
pub(super) struct RememberingResolver {
    asked: DefaultResolver,
    known: Mutex<HashMap<String, (Vec<SocketAddr>, Instant)>>,
}

impl Resolver for RememberingResolver {
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
        let key = format!("{:?} {:?}", uri.scheme_str(), uri.authority());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, asked_at)) = known.get(&key)
            && asked_at.elapsed() < AGE_MAX
        {
            known.iter().for_each(|address| addresses.push(*address));
            return Ok(addresses);
        }
        drop(known);
        let asked_at = Instant::now();
        let found = self.asked.resolve(uri, config, timeout)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if REMEMBERED_MAX <= known.len() {
            known.clear();
        }
        known.insert(key, (found.iter().copied().collect(), asked_at));
        Ok(found)
    }
}

/// The address that the URI names itself, with its port.
fn literal(uri: &Uri) -> Option<SocketAddr> {
    let address: IpAddr = uri.host()?.trim_matches(['[', ']']).parse().ok()?;
    let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    Some(SocketAddr::new(address, uri.port_u16().unwrap_or(default_port)))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
