//! JSON Web Tokens in compact form (RFC 7515, 7519): signed, taken apart, verified.
//!
//! A key verifies with its own algorithm only; what the token's header claims is compared, never obeyed.

use super::jwk::KeySet;
use crate::pki::{self, PrivateKey, PublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A token whose signature nobody looked at yet.
#[derive(Debug, PartialEq)]
pub struct Unverified<'a> {
    pub algorithm: String,
    pub key_id: Option<String>,
    /// Not to be believed before [`Self::is_signed_by`].
    pub claims: Value,
    signing_input: &'a str,
    signature: Vec<u8>,
}

/// Signs claims; the header names algorithm and key.
pub fn sign(key: &PrivateKey, claims: &Value) -> Result<String, pki::Error> {
    let header = json!({ "alg": key.algorithm().name(), "kid": key.public().key_id() });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", encode(&header), encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign_token(input.as_bytes())?);
    Ok(format!("{input}.{signature}"))
}

impl<'a> Unverified<'a> {
    /// None when the text is no compact JWS with a JSON header and JSON claims.
    pub fn parse(token: &'a str) -> Option<Self> {
        let (signing_input, signature) = token.rsplit_once('.')?;
        let (header, claims) = signing_input.split_once('.')?;
        if claims.contains('.') {
            return None;
        }
        let json = |part: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
        let header = json(header)?;
        // RFC 7515, 4.1.11: a critical extension that is not understood makes the token invalid; none is.
        if header.get("crit").is_some() {
            return None;
        }
        let claims = json(claims).filter(Value::is_object)?;
        Some(Self {
            algorithm: header.get("alg")?.as_str()?.to_owned(),
            key_id: header.get("kid").and_then(Value::as_str).filter(|k| !k.is_empty()).map(str::to_owned),
            claims,
            signing_input,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// The same for the keys of another issuer.
    pub fn is_signed_by_one_of(&self, keys: &KeySet) -> bool {
        keys.verifies(&self.algorithm, self.key_id.as_deref(), self.signing_input.as_bytes(), &self.signature)
    }

    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.algorithm == key.algorithm().name() && key.verifies(self.signing_input.as_bytes(), &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_token_verifies_and_a_changed_one_does_not() {
        let key = PrivateKey::generate().unwrap();
        let token = sign(&key, &json!({ "sub": "a" })).unwrap();
        let parsed = Unverified::parse(&token).unwrap();
        assert!(parsed.is_signed_by(&key.public()));
        assert_eq!(parsed.claims["sub"], "a");
        assert!(!parsed.is_signed_by(&PrivateKey::generate().unwrap().public()));

        let parts: Vec<&str> = token.split('.').collect();
        let forged = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(r#"{"sub":"b"}"#), parts[2]);
        assert!(!Unverified::parse(&forged).unwrap().is_signed_by(&key.public()));
    }

    #[test]
    fn neither_no_algorithm_nor_a_confused_one_verifies() {
        let key = PrivateKey::generate().unwrap();
        let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"a"}"#);
        for algorithm in ["none", "HS256", "RS256", "es256"] {
            let header = URL_SAFE_NO_PAD.encode(json!({ "alg": algorithm }).to_string());
            let input = format!("{header}.{claims}");
            // The public key as a shared secret: the classic confusion.
            let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.public().to_pem().as_bytes());
            let mac = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&secret, input.as_bytes()));
            for signature in [String::new(), mac, URL_SAFE_NO_PAD.encode(key.sign_token(input.as_bytes()).unwrap())] {
                let token = format!("{input}.{signature}");
                assert!(!Unverified::parse(&token).unwrap().is_signed_by(&key.public()), "{algorithm}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken_apart_without_panic(token in "[a-zA-Z0-9_.={}-]{0,200}") {
            let _ = Unverified::parse(&token);
        }
    }
}
