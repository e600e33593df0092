//! Connections to what is proxied to, plain or over TLS.
//!
//! As upstream does, the certificates of pods and services are not judged: no authority is known for them
//! (k8s.io/kubernetes `pkg/controlplane/apiserver/config.go`, `CreateProxyTransport`). Nothing secret goes along:
//! the caller's credentials were taken off before.

use crate::pki::tls::provider;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A connection of either kind.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Made for the first request that needs it: most servers never proxy over TLS.
static CLIENT: LazyLock<Option<Arc<ClientConfig>>> = LazyLock::new(|| {
    let provider = provider();
    let verifier = Arc::new(AnyCertificate { algorithms: provider.signature_verification_algorithms });
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    Some(Arc::new(config))
});

/// Connects within half a minute, the handshake included.
pub async fn dial(host: &str, port: u16, secure: bool) -> io::Result<Box<dyn Stream>> {
    let connecting = async {
        let plain = TcpStream::connect((host, port)).await?;
        if !secure {
            return Ok(Box::new(plain) as Box<dyn Stream>);
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let config = CLIENT.clone().ok_or_else(|| io::Error::other("this build offers no version of TLS"))?;
        let stream = TlsConnector::from(config).connect(name, plain).await?;
        Ok(Box::new(stream) as Box<dyn Stream>)
    };
    tokio::time::timeout(TIMEOUT, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Takes every certificate, but holds the peer to having its key.
#[derive(Debug)]
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if end_entity.is_empty() {
            return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Authority;
    use crate::pki::tls::SERVING_LIFETIME;
    use apimachinery::clock::{Clock, FixedClock};
    use rustls::ServerConfig;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    #[tokio::test]
    async fn a_server_nobody_vouches_for_is_reached_over_tls() {
        let now = FixedClock::new(1_800_000_000).now();
        let authority = Authority::generate("nobody's", now).unwrap();
        let issued = authority.issue_server("pod", &["pod".to_owned()], SERVING_LIFETIME, now).unwrap();
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_no_client_auth().with_single_cert(vec![issued.certificate], issued.key.to_rustls());
        let config = Arc::new(config.unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = async {
            let (plain, _) = listener.accept().await.unwrap();
            let mut stream = TlsAcceptor::from(config).accept(plain).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let reading = async {
            let mut stream = dial("127.0.0.1", address.port(), true).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "hello");
        };
        tokio::join!(serving, reading);
    }
}
