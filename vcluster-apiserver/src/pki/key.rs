//! Private and public keys: P-256 made and read, RSA read.

use super::{Error, der, pem};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{self, EcdsaKeyPair, KeyPair as _, RsaKeyPair, UnparsedPublicKey};
use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

const EC_PUBLIC_KEY: &[u32] = &[1, 2, 840, 10045, 2, 1];
const P256: &[u32] = &[1, 2, 840, 10045, 3, 1, 7];
const ECDSA_SHA256: &[u32] = &[1, 2, 840, 10045, 4, 3, 2];
const RSA_ENCRYPTION: &[u32] = &[1, 2, 840, 113_549, 1, 1, 1];
const RSA_SHA256: &[u32] = &[1, 2, 840, 113_549, 1, 1, 11];

/// The signature algorithms that tokens may carry, by their JOSE names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Es256,
    Rs256,
}

impl Algorithm {
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }
}

/// A key that signs. Debug output never shows it.
pub struct PrivateKey(Inner);

enum Inner {
    /// The same key twice: certificates want ASN.1 signatures, tokens fixed-length ones.
    P256 {
        asn1: Box<EcdsaKeyPair>,
        fixed: Box<EcdsaKeyPair>,
        pkcs8: Vec<u8>,
    },
    Rsa {
        pair: Box<RsaKeyPair>,
        der: PrivateKeyDer<'static>,
    },
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({})", self.algorithm().name())
    }
}

impl PrivateKey {
    /// A new P-256 key.
    pub fn generate() -> Result<Self, Error> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            .map_err(|_| Error::Crypto { operation: "make a key" })?;
        Self::from_p256_pkcs8(document.as_ref().to_vec())
    }

    fn from_p256_pkcs8(pkcs8: Vec<u8>) -> Result<Self, Error> {
        let random = SystemRandom::new();
        let read = |kind| {
            EcdsaKeyPair::from_pkcs8(kind, &pkcs8, &random)
                .map_err(|e| Error::Unreadable { subject: "private key", why: e.to_string() })
        };
        let asn1 = read(&signature::ECDSA_P256_SHA256_ASN1_SIGNING)?;
        let fixed = read(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)?;
        Ok(Self(Inner::P256 { asn1: asn1.into(), fixed: fixed.into(), pkcs8 }))
    }

    /// Reads `PRIVATE KEY`, `EC PRIVATE KEY` or `RSA PRIVATE KEY`.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let read = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| Error::Pem { wanted: "PRIVATE KEY" })?;
        let unreadable = |e: ring::error::KeyRejected| Error::Unreadable { subject: "private key", why: e.to_string() };
        match read {
            PrivateKeyDer::Pkcs1(key) => {
                let pair = RsaKeyPair::from_der(key.secret_pkcs1_der()).map_err(unreadable)?;
                let der = PrivatePkcs1KeyDer::from(key.secret_pkcs1_der().to_vec()).into();
                Ok(Self(Inner::Rsa { pair: pair.into(), der }))
            }
            PrivateKeyDer::Sec1(key) => {
                let algorithm = der::sequence(&[&der::oid(EC_PUBLIC_KEY), &der::oid(P256)]);
                let inner = der::element(der::OCTET_STRING, &[key.secret_sec1_der()]);
                Self::from_p256_pkcs8(der::sequence(&[&der::unsigned(&[0]), &algorithm, &inner]))
            }
            PrivateKeyDer::Pkcs8(key) => {
                let bytes = key.secret_pkcs8_der();
                if let Ok(pair) = RsaKeyPair::from_pkcs8(bytes) {
                    let der = PrivatePkcs8KeyDer::from(bytes.to_vec()).into();
                    return Ok(Self(Inner::Rsa { pair: pair.into(), der }));
                }
                Self::from_p256_pkcs8(bytes.to_vec())
            }
            _ => Err(Error::Unreadable { subject: "private key", why: "unknown format".into() }),
        }
    }

    pub fn to_pem(&self) -> String {
        match &self.0 {
            Inner::P256 { pkcs8, .. } => pem::encode("PRIVATE KEY", pkcs8),
            Inner::Rsa { der: PrivateKeyDer::Pkcs1(key), .. } => pem::encode("RSA PRIVATE KEY", key.secret_pkcs1_der()),
            Inner::Rsa { der, .. } => pem::encode("PRIVATE KEY", der.secret_der()),
        }
    }

    /// The key in the form rustls takes.
    pub fn to_rustls(&self) -> PrivateKeyDer<'static> {
        match &self.0 {
            Inner::P256 { pkcs8, .. } => PrivatePkcs8KeyDer::from(pkcs8.clone()).into(),
            Inner::Rsa { der, .. } => der.clone_key(),
        }
    }

    pub fn algorithm(&self) -> Algorithm {
        match &self.0 {
            Inner::P256 { .. } => Algorithm::Es256,
            Inner::Rsa { .. } => Algorithm::Rs256,
        }
    }

    pub fn public(&self) -> PublicKey {
        match &self.0 {
            Inner::P256 { asn1, .. } => {
                PublicKey { algorithm: Algorithm::Es256, raw: asn1.public_key().as_ref().to_vec() }
            }
            Inner::Rsa { pair, .. } => {
                PublicKey { algorithm: Algorithm::Rs256, raw: pair.public_key().as_ref().to_vec() }
            }
        }
    }

    /// The signature of a certificate.
    pub(crate) fn sign_certificate(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.0 {
            Inner::P256 { asn1, .. } => asn1
                .sign(&SystemRandom::new(), message)
                .map(|s| s.as_ref().to_vec())
                .map_err(|_| Error::Crypto { operation: "sign" }),
            Inner::Rsa { .. } => self.sign_token(message),
        }
    }

    /// The AlgorithmIdentifier of [`Self::sign_certificate`].
    pub(crate) fn certificate_algorithm(&self) -> Vec<u8> {
        match &self.0 {
            Inner::P256 { .. } => der::sequence(&[&der::oid(ECDSA_SHA256)]),
            Inner::Rsa { .. } => der::sequence(&[&der::oid(RSA_SHA256), &der::element(der::NULL, &[])]),
        }
    }

    /// The signature of a JWS signing input.
    pub fn sign_token(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let random = SystemRandom::new();
        match &self.0 {
            Inner::P256 { fixed, .. } => fixed
                .sign(&random, message)
                .map(|s| s.as_ref().to_vec())
                .map_err(|_| Error::Crypto { operation: "sign" }),
            Inner::Rsa { pair, .. } => {
                let mut out = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut out)
                    .map_err(|_| Error::Crypto { operation: "sign" })?;
                Ok(out)
            }
        }
    }
}

/// A key that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    /// The uncompressed point, or the RSAPublicKey structure.
    raw: Vec<u8>,
}

impl PublicKey {
    /// Every key of a text with `PUBLIC KEY`, `CERTIFICATE` or private key blocks, as `--service-account-key-file` takes it.
    pub fn all_from_pem(text: &str) -> Result<Vec<Self>, Error> {
        let mut keys = Vec::new();
        for block in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
            let (kind, der) = block.map_err(|_| Error::Pem { wanted: "PUBLIC KEY" })?;
            match kind {
                SectionKind::PublicKey => keys.push(Self::from_spki(&der)?),
                SectionKind::Certificate => keys.push(Self::from_certificate(&der)?),
                SectionKind::PrivateKey => keys.push(PrivateKey::from_pem(&pem::encode("PRIVATE KEY", &der))?.public()),
                SectionKind::RsaPrivateKey => {
                    keys.push(PrivateKey::from_pem(&pem::encode("RSA PRIVATE KEY", &der))?.public());
                }
                SectionKind::EcPrivateKey => {
                    keys.push(PrivateKey::from_pem(&pem::encode("EC PRIVATE KEY", &der))?.public());
                }
                _ => {}
            }
        }
        if keys.is_empty() { Err(Error::Pem { wanted: "PUBLIC KEY" }) } else { Ok(keys) }
    }

    fn from_certificate(der: &[u8]) -> Result<Self, Error> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der)
            .map_err(|e| Error::Unreadable { subject: "certificate", why: e.to_string() })?;
        Self::from_spki(certificate.public_key().raw)
    }

    /// Reads a SubjectPublicKeyInfo.
    pub fn from_spki(bytes: &[u8]) -> Result<Self, Error> {
        let unreadable = |why: &str| Error::Unreadable { subject: "public key", why: why.to_owned() };
        let (_, info) = SubjectPublicKeyInfo::from_der(bytes).map_err(|e| unreadable(&e.to_string()))?;
        let raw = info.subject_public_key.data.to_vec();
        match info.parsed().map_err(|e| unreadable(&e.to_string()))? {
            x509_parser::public_key::PublicKey::RSA(_) => Ok(Self { algorithm: Algorithm::Rs256, raw }),
            x509_parser::public_key::PublicKey::EC(_) if raw.len() == 65 && raw[0] == 4 => {
                Ok(Self { algorithm: Algorithm::Es256, raw })
            }
            _ => Err(unreadable("only P-256 and RSA are supported")),
        }
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The SubjectPublicKeyInfo.
    pub fn spki(&self) -> Vec<u8> {
        let algorithm = match self.algorithm {
            Algorithm::Es256 => der::sequence(&[&der::oid(EC_PUBLIC_KEY), &der::oid(P256)]),
            Algorithm::Rs256 => der::sequence(&[&der::oid(RSA_ENCRYPTION), &der::element(der::NULL, &[])]),
        };
        der::sequence(&[&algorithm, &der::bit_string(&self.raw)])
    }

    pub fn to_pem(&self) -> String {
        pem::encode("PUBLIC KEY", &self.spki())
    }

    /// SHA-1 of the key bits: the key identifier of certificates (RFC 5280, 4.2.1.2, method 1).
    pub(crate) fn identifier(&self) -> Vec<u8> {
        ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &self.raw).as_ref().to_vec()
    }

    /// The `kid` of tokens: SHA-256 of the SubjectPublicKeyInfo, base64url.
    pub fn key_id(&self) -> String {
        URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, &self.spki()))
    }

    /// Whether `signature` is this key's for `message`. The algorithm is the key's own, never the token's.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let scheme: &dyn signature::VerificationAlgorithm = match self.algorithm {
            Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(scheme, &self.raw).verify(message, signature).is_ok()
    }

    /// The JSON Web Key (RFC 7517).
    pub fn jwk(&self) -> Value {
        let mut jwk = match self.algorithm {
            Algorithm::Es256 => json!({
                "kty": "EC",
                "crv": "P-256",
                "x": URL_SAFE_NO_PAD.encode(&self.raw[1..33]),
                "y": URL_SAFE_NO_PAD.encode(&self.raw[33..65]),
            }),
            Algorithm::Rs256 => {
                let parsed = x509_parser::public_key::RSAPublicKey::from_der(&self.raw).ok();
                let strip = |bytes: &[u8]| {
                    let skip = bytes.iter().take_while(|b| **b == 0).count();
                    URL_SAFE_NO_PAD.encode(&bytes[skip..])
                };
                let (n, e) = parsed.map(|(_, key)| (strip(key.modulus), strip(key.exponent))).unwrap_or_default();
                json!({ "kty": "RSA", "n": n, "e": e })
            }
        };
        jwk["use"] = json!("sig");
        jwk["kid"] = json!(self.key_id());
        jwk["alg"] = json!(self.algorithm.name());
        jwk
    }
}

/// Bytes from the operating system, for serial numbers and the like.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Crypto { operation: "draw random bytes" })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_pem_form() {
        let key = PrivateKey::generate().unwrap();
        let again = PrivateKey::from_pem(&key.to_pem()).unwrap();
        assert_eq!(key.public(), again.public());
        assert_eq!(PublicKey::all_from_pem(&key.public().to_pem()).unwrap(), [key.public()]);
        assert_eq!(PublicKey::all_from_pem(&key.to_pem()).unwrap(), [key.public()]);
        assert!(PrivateKey::from_pem("nothing").is_err());
    }

    #[test]
    fn a_signature_is_verified_by_its_own_key_only() {
        let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let signature = key.sign_token(b"text").unwrap();
        assert!(key.public().verifies(b"text", &signature));
        assert!(!key.public().verifies(b"other text", &signature));
        assert!(!other.public().verifies(b"text", &signature));
    }

    #[test]
    fn the_jwk_names_the_key() {
        let public = PrivateKey::generate().unwrap().public();
        let jwk = public.jwk();
        assert_eq!(
            (jwk["kty"].as_str(), jwk["crv"].as_str(), jwk["alg"].as_str()),
            (Some("EC"), Some("P-256"), Some("ES256"))
        );
        assert_eq!(jwk["kid"], public.key_id());
    }
}
