//! TLS for the server: its own certificate renewed between two handshakes, client certificates asked for and not judged.
//!
//! As upstream does, the handshake only proves that the client holds the key of the certificate it shows; whether that
//! certificate is of any worth is authentication's business, which answers 401 rather than breaking the connection.

use super::{Authority, Error};
use apimachinery::clock::Clock;
use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::sync::Arc;

/// How long a serving certificate lasts; it is made anew when four fifths of that are over.
pub const SERVING_LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 365);

/// ring, named explicitly: no process-wide default is set or read.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Serves a certificate of the cluster's authority for a set of names, and makes a new one before it ends or when the
/// names change. Making one takes a fraction of a millisecond, so it happens inside the handshake that needs it.
pub struct ServingCertificate {
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    current: ArcSwap<Current>,
}

struct Current {
    names: Vec<String>,
    renew_at: Timestamp,
    certified: Arc<CertifiedKey>,
}

impl std::fmt::Debug for ServingCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServingCertificate").field("names", &self.current.load().names).finish_non_exhaustive()
    }
}

impl ServingCertificate {
    pub fn new(authority: Arc<Authority>, names: Vec<String>, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let current = ArcSwap::from_pointee(issue(&authority, names, clock.now())?);
        Ok(Self { authority, clock, current })
    }

    /// Adds names (a load balancer's address that became known); the next handshake shows them.
    pub fn set_names(&self, names: Vec<String>) -> Result<(), Error> {
        if self.current.load().names != names {
            self.current.store(Arc::new(issue(&self.authority, names, self.clock.now())?));
        }
        Ok(())
    }

    fn current(&self) -> Arc<CertifiedKey> {
        let current = self.current.load();
        let now = self.clock.now();
        if now < current.renew_at {
            return current.certified.clone();
        }
        match issue(&self.authority, current.names.clone(), now) {
            Ok(renewed) => {
                let certified = renewed.certified.clone();
                self.current.store(Arc::new(renewed));
                certified
            }
            Err(error) => {
                tracing::error!(%error, "the serving certificate could not be renewed; the old one stays");
                current.certified.clone()
            }
        }
    }
}

fn issue(authority: &Authority, names: Vec<String>, now: Timestamp) -> Result<Current, Error> {
    let issued = authority.issue_server("kube-apiserver", &names, SERVING_LIFETIME, now)?;
    let lasts = issued.not_after.duration_since(now);
    let renew_at = now.saturating_add(lasts * 4 / 5).unwrap_or(now);
    let key = provider().key_provider.load_private_key(issued.key.to_rustls())?;
    let certified = Arc::new(CertifiedKey::new(vec![issued.certificate], key));
    Ok(Current { names, renew_at, certified })
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

/// Asks for a client certificate, takes none or any, and checks the proof of possession only.
#[derive(Debug)]
struct Possession {
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Possession {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The server's TLS: TLS 1.2 and 1.3, `h2` before `http/1.1`. `client_authorities` are only hinted at, so that clients
/// with several certificates choose the right one.
pub fn server_config(
    certificate: Arc<dyn ResolvesServerCert>,
    client_authorities: &[CertificateDer<'_>],
) -> Result<ServerConfig, Error> {
    let provider = provider();
    let hints = client_authorities
        .iter()
        .filter_map(|c| x509_parser::parse_x509_certificate(c).ok())
        .map(|(_, parsed)| DistinguishedName::from(parsed.subject().as_raw().to_vec()))
        .collect();
    let possession = Possession { hints, algorithms: provider.signature_verification_algorithms };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(possession))
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use apimachinery::clock::FixedClock;
    use std::time::Duration;

    fn serving(clock: &Arc<FixedClock>) -> ServingCertificate {
        let authority = Arc::new(Authority::generate("kubernetes", clock.now()).unwrap());
        ServingCertificate::new(authority, vec!["localhost".into()], clock.clone()).unwrap()
    }

    #[test]
    fn a_serving_certificate_is_renewed_before_it_ends() {
        let clock = Arc::new(FixedClock::new(1_800_000_000));
        let serving = serving(&clock);
        let first = serving.current();
        clock.advance(Duration::from_hours(200 * 24));
        assert!(Arc::ptr_eq(&first, &serving.current()));
        clock.advance(Duration::from_hours(100 * 24));
        let second = serving.current();
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &serving.current()));
    }

    #[test]
    fn new_names_make_a_new_certificate() {
        let clock = Arc::new(FixedClock::new(1_800_000_000));
        let serving = serving(&clock);
        let first = serving.current();
        serving.set_names(vec!["localhost".into()]).unwrap();
        assert!(Arc::ptr_eq(&first, &serving.current()));
        serving.set_names(vec!["localhost".into(), "10.0.0.1".into()]).unwrap();
        assert!(!Arc::ptr_eq(&first, &serving.current()));
    }

    #[test]
    fn the_configuration_offers_http2_first() {
        let clock = Arc::new(FixedClock::new(1_800_000_000));
        let serving = Arc::new(serving(&clock));
        let config = server_config(serving.clone(), &[serving.authority.certificate().clone()]).unwrap();
        assert_eq!(config.alpn_protocols[0], b"h2");
    }
}
