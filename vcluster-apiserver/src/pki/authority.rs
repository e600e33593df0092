//! A certificate authority: made new or read back from PEM, it issues serving and client certificates, and signs requests.

mod request;

use super::certificate::{Profile, Signer, Subject, Usage, assemble};
use super::{Error, PrivateKey, pem};
use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::CertificateDer;

/// Ten years, as kubeadm gives its authorities.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 365 * 10);

/// An authority with its private key.
#[derive(Debug)]
pub struct Authority {
    key: PrivateKey,
    certificate: CertificateDer<'static>,
    /// The subject as it stands in the certificate, copied byte for byte into what is issued.
    name: Vec<u8>,
    not_after: Timestamp,
}

/// A certificate and its private key.
#[derive(Debug)]
pub struct Issued {
    pub certificate: CertificateDer<'static>,
    pub key: PrivateKey,
    pub not_after: Timestamp,
}

impl Issued {
    pub fn certificate_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.certificate)
    }
}

impl Authority {
    /// A new self-signed authority with a new P-256 key.
    pub fn generate(common_name: &str, now: Timestamp) -> Result<Self, Error> {
        let key = PrivateKey::generate()?;
        let profile = Profile { subject: Subject::new(common_name, &[]), usage: Usage::Authority, lifetime: LIFETIME };
        let signer = Signer { key: &key, name: None, not_after: None };
        let (der, _) = assemble(&profile, &key.public(), &signer, now)?;
        Self::new(CertificateDer::from(der), key)
    }

    /// Reads an authority back; the first certificate of the text must belong to the key.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, Error> {
        let certificate = pem::certificates(certificate)?.swap_remove(0);
        Self::new(certificate, PrivateKey::from_pem(key)?)
    }

    fn new(certificate: CertificateDer<'static>, key: PrivateKey) -> Result<Self, Error> {
        let unreadable = |why: String| Error::Unreadable { subject: "certificate", why };
        let (name, spki, not_after) = {
            let (_, parsed) =
                x509_parser::parse_x509_certificate(&certificate).map_err(|e| unreadable(e.to_string()))?;
            let not_after = Timestamp::from_second(parsed.validity().not_after.timestamp())
                .map_err(|e| unreadable(e.to_string()))?;
            (parsed.subject().as_raw().to_vec(), parsed.public_key().raw.to_vec(), not_after)
        };
        if super::PublicKey::from_spki(&spki)? != key.public() {
            return Err(Error::Mismatch);
        }
        Ok(Self { key, certificate, name, not_after })
    }

    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub fn certificate_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.certificate)
    }

    pub fn key_pem(&self) -> String {
        self.key.to_pem()
    }

    /// Issues a certificate for a new key.
    pub fn issue(&self, profile: &Profile, now: Timestamp) -> Result<Issued, Error> {
        let key = PrivateKey::generate()?;
        let (certificate, not_after) = self.sign(profile, &key.public(), now)?;
        Ok(Issued { certificate, key, not_after })
    }

    /// Issues a certificate for a key that somebody else holds.
    pub fn sign(
        &self,
        profile: &Profile,
        public: &super::PublicKey,
        now: Timestamp,
    ) -> Result<(CertificateDer<'static>, Timestamp), Error> {
        let signer = Signer { key: &self.key, name: Some(&self.name), not_after: Some(self.not_after) };
        let (der, not_after) = assemble(profile, public, &signer, now)?;
        Ok((CertificateDer::from(der), not_after))
    }

    /// A client certificate: the user's name, its groups, and how long it lasts.
    pub fn issue_client(
        &self,
        user: &str,
        groups: &[&str],
        lifetime: SignedDuration,
        now: Timestamp,
    ) -> Result<Issued, Error> {
        self.issue(&Profile { subject: Subject::new(user, groups), usage: Usage::Client, lifetime }, now)
    }

    /// A serving certificate for DNS names and IP addresses.
    pub fn issue_server(
        &self,
        common_name: &str,
        names: &[String],
        lifetime: SignedDuration,
        now: Timestamp,
    ) -> Result<Issued, Error> {
        let usage = Usage::Server { names: names.to_vec() };
        self.issue(&Profile { subject: Subject::new(common_name, &[]), usage, lifetime }, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls_pki_types::{ServerName, UnixTime};

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn at(timestamp: Timestamp) -> UnixTime {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(timestamp.as_second() as u64))
    }

    fn verify(authority: &Authority, leaf: &CertificateDer<'_>, usage: webpki::KeyUsage) -> Result<(), webpki::Error> {
        let anchor = webpki::anchor_from_trusted_cert(authority.certificate()).unwrap();
        let leaf = webpki::EndEntityCert::try_from(leaf)?;
        leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &[anchor], &[], at(now()), usage, None, None).map(|_| ())
    }

    #[test]
    fn every_organization_is_kept() {
        let authority = Authority::generate("kubernetes", now()).unwrap();
        let issued = authority.issue_client("jane", &["a", "b", "c"], SignedDuration::from_hours(1), now()).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&issued.certificate).unwrap();
        let groups: Vec<_> = parsed.subject().iter_organization().map(|o| o.as_str().unwrap()).collect();
        assert_eq!(groups, ["a", "b", "c"]);
        assert_eq!(parsed.subject().iter_common_name().next().unwrap().as_str().unwrap(), "jane");
        verify(&authority, &issued.certificate, webpki::KeyUsage::client_auth()).unwrap();
        verify(&authority, &issued.certificate, webpki::KeyUsage::server_auth()).unwrap_err();
    }

    #[test]
    fn a_server_certificate_holds_names_and_addresses() {
        let authority = Authority::generate("kubernetes", now()).unwrap();
        let names = ["kubernetes.default.svc", "*.example.org", "10.96.0.1", "::1"].map(String::from);
        let issued = authority.issue_server("api", &names, SignedDuration::from_hours(1), now()).unwrap();
        verify(&authority, &issued.certificate, webpki::KeyUsage::server_auth()).unwrap();
        let leaf = webpki::EndEntityCert::try_from(&issued.certificate).unwrap();
        for name in ["kubernetes.default.svc", "a.example.org", "10.96.0.1", "::1"] {
            leaf.verify_is_valid_for_subject_name(&ServerName::try_from(name).unwrap()).unwrap();
        }
        leaf.verify_is_valid_for_subject_name(&ServerName::try_from("other").unwrap()).unwrap_err();
    }

    #[test]
    fn an_authority_is_read_back_and_keeps_issuing() {
        let first = Authority::generate("kubernetes", now()).unwrap();
        let again = Authority::from_pem(&first.certificate_pem(), &first.key_pem()).unwrap();
        let issued = again.issue_client("u", &[], SignedDuration::from_hours(1), now()).unwrap();
        verify(&first, &issued.certificate, webpki::KeyUsage::client_auth()).unwrap();

        let other = Authority::generate("kubernetes", now()).unwrap();
        verify(&other, &issued.certificate, webpki::KeyUsage::client_auth()).unwrap_err();
        assert!(matches!(Authority::from_pem(&first.certificate_pem(), &other.key_pem()), Err(Error::Mismatch)));
    }

    #[test]
    fn nothing_outlives_its_authority() {
        let authority = Authority::generate("kubernetes", now()).unwrap();
        let issued = authority.issue_client("u", &[], SignedDuration::from_hours(24 * 365 * 40), now()).unwrap();
        assert_eq!(issued.not_after, authority.not_after);
    }
}
