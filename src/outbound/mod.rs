//! How the service reaches other servers: trusted certificates and proxies.
//!
//! Invariant: every agent made here has a deadline for the whole request, follows no redirect, treats no
//! status as an error, never sends a request twice, and reads nothing from the environment. Requests to Cloud
//! Foundry and UAA use an agent; calls, whose targets users choose, use [`Exchanges`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::{DefaultConnector, RustlsConnector};
use ureq::{Agent, Proxy, ProxyProtocol, http::Uri};

use crate::base::mutex::lock;

mod abort;
mod answer;
mod exchange;
mod reach;
mod resolve;
mod signature;
mod target;

pub use abort::{Abort, CallInFlight, CallsInFlight};
pub use exchange::{Answer, ExchangeError, Exchanges, Request, is_header_value, requested_wait};
pub use reach::{Reach, Refusal};
pub use signature::{SIGNING_SECRET_BYTES, SIGNING_SECRET_PREFIX, signature, signing_key};
pub use target::{Target, read_uri};

use resolve::CachingResolver;
use target::has_valid_port;

/// The settings that all outgoing requests share.
#[derive(Clone, Default)]
pub struct Outbound {
    /// `SKIP_SSL_VALIDATION`: accept any certificate.
    pub skip_ssl_validation: bool,
    /// `CA_CERT_FILE`: PEM certificates to trust in addition to the system's.
    pub ca_cert_file: Option<PathBuf>,
    /// `HTTPS_PROXY`: the proxy for https URLs. May hold a password.
    pub https_proxy: Option<String>,
    /// `NO_PROXY`: hosts and domains to reach without the proxy, separated by commas; `*` means all.
    pub no_proxy: Option<String>,
    /// The certificates to trust, shared by all clients with these settings.
    pub trust: Arc<Trust>,
}

/// The certificates to trust. Read for the first https request, and again when an operator asks for it.
#[derive(Default)]
pub struct Trust(Mutex<Trusted>);

#[derive(Default)]
struct Trusted {
    /// How often the certificates have been read again.
    generation: u64,
    /// The last contents of `CA_CERT_FILE`; `None`: the contents at the start.
    own: Option<Vec<Certificate<'static>>>,
    roots: Option<RootCerts>,
}

impl Outbound {
    /// Reads the certificates again, for new connections.
    ///
    /// # Errors
    /// What is wrong with `CA_CERT_FILE`; the old certificates stay.
    pub fn reload_certificates(&self) -> Result<(), String> {
        let own = own_certificates(self)?;
        let mut trusted = lock(&self.trust.0);
        *trusted = Trusted { generation: trusted.generation + 1, own: Some(own), roots: None };
        Ok(())
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("skip_ssl_validation", &self.skip_ssl_validation)
            .field("ca_cert_file", &self.ca_cert_file)
            .field("https_proxy", &self.https_proxy.as_ref().map(|_| "(set)"))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

/// The limits of one request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The limit for connecting, including the TLS handshake.
    pub connect_timeout: Duration,
    /// The limit from the start to the last byte of the answer.
    pub total_timeout: Duration,
    /// How long an idle connection may be reused. A request on a stale connection is lost without notice.
    pub max_idle_age: Duration,
}

/// Agents that know which requests use the proxy.
#[derive(Debug)]
pub struct Client {
    /// For http URLs.
    plain: Agent,
    /// For https URLs. Created on first use, because reading a few hundred certificates takes longer than
    /// everything else at a start.
    secure: Mutex<Option<Secure>>,
    settings: Outbound,
    own_certificates: Vec<Certificate<'static>>,
    proxy: Option<Proxy>,
    unproxied_hosts: Vec<String>,
    limits: Limits,
}

#[derive(Debug)]
struct Secure {
    /// The generation of [`Trusted`] that they use.
    generation: u64,
    direct: Agent,
    proxied: Option<Agent>,
    /// With the same certificates, for code that makes its own connections. It keeps the first certificates
    /// that it sees.
    tls: Arc<RustlsConnector>,
}

/// The most idle connections in total; each agent talks to a few hosts from a few dozen threads.
const MAX_IDLE_CONNECTIONS: usize = 32;
/// The read buffer. ureq's default of 128 KiB would be held for each idle connection.
const INPUT_BUFFER_BYTES: usize = 32 * 1024;
/// Each line of a request's head must fit in it, and a token may be long.
const OUTPUT_BUFFER_BYTES: usize = 64 * 1024;

impl Client {
    /// The error says which setting is wrong.
    pub fn new(settings: &Outbound, limits: &Limits) -> Result<Self, String> {
        let own_certificates = own_certificates(settings)?;
        let proxy = proxy(settings)?;
        let unproxied_hosts = settings.no_proxy.as_deref().unwrap_or_default();
        Ok(Self {
            plain: agent(TlsConfig::builder().root_certs(RootCerts::from(Vec::new())).build(), None, limits),
            secure: Mutex::default(),
            settings: settings.clone(),
            own_certificates,
            proxy,
            unproxied_hosts: unproxied_hosts
                .split(',')
                .map(|entry| entry.trim().to_ascii_lowercase())
                .filter(|entry| !entry.is_empty())
                .collect(),
            limits: *limits,
        })
    }

    /// The agent for `uri`: through the proxy if one is set, the scheme is https, and no entry of `NO_PROXY`
    /// matches.
    pub fn agent_for(&self, uri: &Uri) -> Agent {
        if uri.scheme_str() != Some("https") {
            return self.plain.clone();
        }
        let generation = lock(&self.settings.trust.0).generation;
        let mut secure = lock(&self.secure);
        let secure = match &mut *secure {
            Some(secure) if secure.generation == generation => secure,
            outdated => outdated.insert(self.secure()),
        };
        match &secure.proxied {
            Some(proxied) if !self.is_unproxied(uri) => proxied.clone(),
            _ => secure.direct.clone(),
        }
    }

    /// The TLS connector with the certificates of the last [`Client::agent_for`].
    fn tls(&self) -> Arc<RustlsConnector> {
        lock(&self.secure).as_ref().map(|secure| Arc::clone(&secure.tls)).unwrap_or_default()
    }

    fn secure(&self) -> Secure {
        let mut trusted = lock(&self.settings.trust.0);
        let skips = self.settings.skip_ssl_validation;
        let own = trusted.own.clone().unwrap_or_else(|| self.own_certificates.clone());
        let roots = trusted
            .roots
            .get_or_insert_with(|| RootCerts::from(if skips { own } else { [system_roots(), own].concat() }));
        let tls = TlsConfig::builder().root_certs(roots.clone()).disable_verification(skips).build();
        Secure {
            generation: trusted.generation,
            tls: Arc::default(),
            direct: agent(tls.clone(), None, &self.limits),
            proxied: self.proxy.clone().map(|proxy| agent(tls, Some(proxy), &self.limits)),
        }
    }

    fn is_unproxied(&self, uri: &Uri) -> bool {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        self.unproxied_hosts.iter().any(|entry| {
            let domain = entry.trim_start_matches('*').trim_start_matches('.');
            entry == "*"
                || host == domain
                || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
        })
    }
}

/// The faults in the settings that prevent requests; empty if there are none.
pub fn faults(settings: &Outbound) -> Vec<String> {
    [own_certificates(settings).err(), proxy(settings).err()].into_iter().flatten().collect()
}

fn own_certificates(settings: &Outbound) -> Result<Vec<Certificate<'static>>, String> {
    settings.ca_cert_file.as_ref().map_or(Ok(Vec::new()), |path| certificates_of("CA_CERT_FILE", path))
}

fn proxy(settings: &Outbound) -> Result<Option<Proxy>, String> {
    let Some(url) = settings.https_proxy.as_deref().map(str::trim).filter(|url| !url.is_empty()) else {
        return Ok(None);
    };
    let proxy = Proxy::new(url).ok().filter(|proxy| has_valid_port(proxy.uri()));
    match proxy.filter(|proxy| matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https)) {
        Some(proxy) => Ok(Some(proxy)),
        None => {
            // A value that may hold a password is not shown.
            let shown = if url.contains('@') { String::new() } else { format!(" is {url:?}; it") };
            Err(format!(
                "HTTPS_PROXY{shown} must be the URL of an HTTP proxy, like http://proxy.example.com:3128"
            ))
        }
    }
}

/// The certificates to trust for other protocols: those of `root_certificate` if set, otherwise the system's;
/// and those of `ca_cert_file`. The error says which file is wrong.
#[cfg(feature = "postgres")]
pub(crate) fn roots(
    ca_cert_file: Option<&Path>,
    root_certificate: Option<&Path>,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut roots = match root_certificate {
        Some(path) => certificates_of("sslrootcert", path)?,
        None => system_roots(),
    };
    if let Some(path) = ca_cert_file {
        roots.extend(certificates_of("CA_CERT_FILE", path)?);
    }
    Ok(roots.iter().map(|root| CertificateDer::from(root.der().to_vec())).collect())
}

/// If `error` is an untrusted certificate: what is wrong with it, and which settings would help; otherwise
/// `None`.
pub fn untrusted_certificate(error: &ureq::Error) -> Option<String> {
    let reason = match error {
        ureq::Error::Rustls(reason) => reason,
        ureq::Error::Io(wrapper) => wrapper.get_ref()?.downcast_ref::<rustls::Error>()?,
        _ => return None,
    };
    matches!(reason, rustls::Error::InvalidCertificate(_)).then(|| {
        format!(
            "its TLS certificate cannot be verified ({reason}); name its authority's certificate in \
             CA_CERT_FILE, \
             or set SKIP_SSL_VALIDATION=true to accept any"
        )
    })
}

fn agent(tls: TlsConfig, proxy: Option<Proxy>, limits: &Limits) -> Agent {
    let config = Agent::config_builder()
        .tls_config(tls)
        .proxy(proxy) // Also without a proxy: ureq would read the environment.
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_resolve(Some(limits.connect_timeout))
        .timeout_connect(Some(limits.connect_timeout))
        .timeout_global(Some(limits.total_timeout))
        .max_idle_age(limits.max_idle_age)
        .max_idle_connections(MAX_IDLE_CONNECTIONS)
        .max_idle_connections_per_host(MAX_IDLE_CONNECTIONS)
        .input_buffer_size(INPUT_BUFFER_BYTES)
        .output_buffer_size(OUTPUT_BUFFER_BYTES)
        .user_agent(concat!("ocf-scheduler/", env!("CARGO_PKG_VERSION")))
        .build();
    Agent::with_parts(config, DefaultConnector::default(), CachingResolver::default())
}

/// The certificates of the PEM file named by the setting `name`.
fn certificates_of(name: &str, path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let shown = format!("{name} {}", path.display());
    let pem = std::fs::read(path).map_err(|err| format!("{shown} cannot be read: {err}"))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => {
                RootCertStore::empty()
                    .add(CertificateDer::from(certificate.der()))
                    .map_err(|err| format!("{shown} contains a certificate that cannot be used: {err}"))?;
                certificates.push(certificate);
            }
            Ok(_) => (), // A key beside its certificate does no harm.
            Err(err) => return Err(format!("{shown} is not in PEM form: {err}")),
        }
    }
    if certificates.is_empty() {
        return Err(format!("{shown} contains no certificate in PEM form"));
    }
    Ok(certificates)
}

/// The system's root certificates; without any (in a bare container), the compiled-in ones of Mozilla.
fn system_roots() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs().certs;
    let roots = if found.is_empty() { webpki_root_certs::TLS_SERVER_ROOT_CERTS } else { &found };
    roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(https_proxy: &str, no_proxy: &str) -> Client {
        let second = Duration::from_secs(1);
        let limits = Limits { connect_timeout: second, total_timeout: second, max_idle_age: second };
        let settings = Outbound {
            https_proxy: Some(https_proxy.to_owned()),
            no_proxy: Some(no_proxy.to_owned()),
            ..Outbound::default()
        };
        Client::new(&settings, &limits).unwrap()
    }

    #[test]
    fn only_https_goes_through_the_proxy_and_no_proxy_lists_hosts_and_domains() {
        #[track_caller]
        fn check(no_proxy: &str, url: &str, proxied: bool) {
            let client = client("http://user:secret@proxy.test:3128", no_proxy);
            assert_eq!(client.agent_for(&url.parse().unwrap()).config().proxy().is_some(), proxied, "{url}");
        }
        check("", "https://api.example.com/", true);
        check("", "http://api.example.com/", false);
        check("example.com", "https://api.example.com/", false);
        check(" .example.com ", "https://API.example.com:8443/", false);
        check("*.example.com", "https://api.example.com/", false);
        check("example.com", "https://badexample.com/", true);
        check("10.0.0.1, ::1", "https://[::1]:8443/", false);
        check("*", "https://api.example.com/", false);
    }

    #[test]
    fn no_password_of_a_proxy_is_shown() {
        let settings =
            Outbound { https_proxy: Some("http://user:secret@proxy.test".to_owned()), ..Outbound::default() };
        let second = Duration::from_secs(1);
        let limits = Limits { connect_timeout: second, total_timeout: second, max_idle_age: second };
        let client = Client::new(&settings, &limits).unwrap();
        client.agent_for(&"https://api.example.com/".parse().unwrap());
        assert!(!format!("{settings:?} {client:?}").contains("secret"));
        for wrong in
            ["ht!tp://user:secret@", "socks5://user:secret@proxy.test", "http://user:secret@proxy.test:99999"]
        {
            let wrong = Outbound { https_proxy: Some(wrong.to_owned()), ..Outbound::default() };
            let message = faults(&wrong).concat();
            assert!(message.contains("HTTPS_PROXY") && !message.contains("secret"), "{message}");
        }
    }
}
