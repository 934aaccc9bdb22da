//! TLS to the server, and which certificates are trusted.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::base::postgres_url::Trust;
use crate::outbound;

/// Makes the connector for TLS connections to the server.
///
/// # Errors
/// Names the file of certificates that is wrong.
pub(super) fn connector(
    trust: Trust,
    ca_cert_file: Option<&Path>,
    root_certificate: Option<&Path>,
) -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|err| format!("TLS cannot be set up: {err}"))?;
    let authorities = if trust == Trust::Any {
        None
    } else {
        let mut roots = RootCertStore::empty();
        for certificate in outbound::roots(ca_cert_file, root_certificate)? {
            // A system certificate that cannot be read does no harm.
            let _ = roots.add(certificate);
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|err| format!("TLS cannot be set up: {err}"))?;
        Some(verifier)
    };
    let config = match (trust, authorities) {
        (Trust::Host, Some(authorities)) => builder.with_webpki_verifier(authorities),
        (_, authorities) => {
            let lenient = Lenient { authorities, provider };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(lenient))
        }
    };
    Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
}

/// Trusts more than the library does: a trusted authority's certificate for any host name, or any
/// certificate.
#[derive(Debug)]
struct Lenient {
    /// The trusted authorities; `None`: encryption without verification.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.authorities.as_ref().map(|authorities| {
            authorities.verify_server_cert(certificate, intermediates, name, ocsp_response, now)
        });
        match verdict {
            None => Ok(ServerCertVerified::assertion()),
            // The library checks the name last.
            Some(Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ))) => Ok(ServerCertVerified::assertion()),
            Some(verdict) => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
