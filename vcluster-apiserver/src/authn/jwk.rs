//! Keys of foreign issuers: JSON Web Key Sets (RFC 7517), and the signatures they verify (RFC 7518).
//!
//! A key verifies what its kind can: the algorithm in a token's header chooses among the key's own, never the key. Secrets
//! (`oct`) and keys for encryption are passed over. RSA keys under 2048 bits verify nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

/// More than any issuer rotates through.
const MOST_KEYS: usize = 256;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct KeySet(Vec<Jwk>);

#[derive(Clone, Debug)]
struct Jwk {
    id: String,
    /// Said by the key; then it is the only one.
    algorithm: Option<String>,
    material: Material,
}

#[derive(Clone, Debug)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JwkFile {
    kty: String,
    r#use: String,
    kid: String,
    alg: Option<String>,
    crv: String,
    n: String,
    e: String,
    x: String,
    y: String,
}

impl KeySet {
    /// Reads a set; keys of unknown kinds are passed over. None for what is no set.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let set: serde_json::Value = serde_json::from_slice(json).ok()?;
        let keys = set.as_object()?.get("keys")?.as_array()?.iter().take(MOST_KEYS);
        Some(Self(keys.filter_map(|key| Jwk::read(JwkFile::deserialize(key).ok()?)).collect()))
    }

    /// Whether a key of that id is there; a token without id may be any key's.
    pub fn knows(&self, id: Option<&str>) -> bool {
        id.map_or(!self.0.is_empty(), |id| self.0.iter().any(|key| key.id == id))
    }

    pub fn verifies(&self, algorithm: &str, id: Option<&str>, message: &[u8], signature: &[u8]) -> bool {
        let candidates = self.0.iter().filter(|key| id.is_none_or(|id| key.id == id));
        candidates.into_iter().any(|key| key.verifies(algorithm, message, signature))
    }
}

impl Jwk {
    fn read(file: JwkFile) -> Option<Self> {
        if !matches!(file.r#use.as_str(), "" | "sig") {
            return None;
        }
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
        let point = |size: usize| -> Option<Vec<u8>> {
            let (x, y) = (bytes(&file.x)?, bytes(&file.y)?);
            (x.len() == size && y.len() == size).then(|| [&[4][..], &x, &y].concat())
        };
        let material = match (file.kty.as_str(), file.crv.as_str()) {
            ("RSA", _) => Material::Rsa { n: bytes(&file.n)?, e: bytes(&file.e)? },
            ("EC", "P-256") => Material::P256(point(32)?),
            ("EC", "P-384") => Material::P384(point(48)?),
            _ => return None,
        };
        Some(Self { id: file.kid, algorithm: file.alg.filter(|a| !a.is_empty()), material })
    }

    fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        if self.algorithm.as_deref().is_some_and(|own| own != algorithm) {
            return false;
        }
        match (&self.material, algorithm) {
            (Material::Rsa { n, e }, _) => {
                let Some(parameters) = rsa(algorithm) else { return false };
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }
            (Material::P256(point), "ES256") => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            (Material::P384(point), "ES384") => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point).verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}

fn rsa(algorithm: &str) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
        "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
        "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{PrivateKey, jwks};
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_key_verifies_with_its_own_algorithm_and_id_only() {
        let (ours, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let set = KeySet::parse(jwks::key_set(&[ours.public(), other.public()]).to_string().as_bytes()).unwrap();
        let (message, id) = (b"message", ours.public().key_id());
        let signed = ours.sign_token(message).unwrap();
        assert!(set.verifies("ES256", Some(&id), message, &signed));
        assert!(set.verifies("ES256", None, message, &signed));
        assert!(!set.verifies("ES256", Some(&other.public().key_id()), message, &signed));
        for algorithm in ["none", "HS256", "ES384", "RS256", ""] {
            assert!(!set.verifies(algorithm, Some(&id), message, &signed), "{algorithm}");
        }
        assert!(set.knows(Some(&id)) && !set.knows(Some("x")));
    }

    #[test]
    fn what_is_no_signing_key_is_passed_over() {
        let keys = json!([
            {"kty": "oct", "k": "c2VjcmV0", "kid": "a"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "b"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "use": "enc", "kid": "c"},
            {"kty": "RSA", "n": "!", "e": "AQAB", "kid": "d"},
            "text",
        ]);
        let set = KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap();
        assert!(set.0.is_empty());
        assert!(KeySet::parse(b"[]").is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(json: Vec<u8>, n in "[A-Za-z0-9_-]{0,40}", signature: Vec<u8>) {
            let _ = KeySet::parse(&json);
            let text = json!({"keys": [{"kty": "RSA", "n": n, "e": "AQAB"}, {"kty": "EC", "crv": "P-256", "x": n, "y": n}]});
            if let Some(set) = KeySet::parse(text.to_string().as_bytes()) {
                for algorithm in ["RS256", "PS512", "ES256", "ES384"] {
                    prop_assert!(!set.verifies(algorithm, None, b"", &signature));
                }
            }
        }
    }
}
