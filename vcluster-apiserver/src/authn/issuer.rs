//! The issuer of service account tokens: whose name they carry, which keys sign and verify them.

use super::jwt::{self, Unverified};
use crate::pki::{self, PrivateKey, PublicKey, jwks};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The issuer of tokens that live in secrets (k8s.io/kubernetes `pkg/serviceaccount/legacy.go`).
pub const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// Verified tokens that are remembered; when more come, all are forgotten.
const REMEMBERED: usize = 4096;

/// What an issuer is made of.
#[derive(Debug)]
pub struct Config {
    /// Issuers that are accepted; the first one signs. `https://kubernetes.default.svc.cluster.local`.
    pub issuers: Vec<String>,
    /// The server's own audiences: those of tokens without any, and the default of requests. Usually the issuers.
    pub audiences: Vec<String>,
    pub signing_key: PrivateKey,
    /// Keys beside the signing one that verify: those before a rotation.
    pub verifying_keys: Vec<PublicKey>,
}

/// Signs and verifies. Signatures, the costly part, are verified once per token and remembered by the token's hash;
/// everything that can change (time, objects) is left to the caller to check each time.
#[derive(Debug)]
pub struct Issuer {
    config: Config,
    keys: Vec<(String, PublicKey)>,
    verified: Mutex<HashMap<[u8; 32], Arc<Value>>>,
}

impl Issuer {
    pub fn new(config: Config) -> Self {
        let mut keys = vec![config.signing_key.public()];
        for key in &config.verifying_keys {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
        let keys = keys.into_iter().map(|k| (k.key_id(), k)).collect();
        Self { config, keys, verified: Mutex::default() }
    }

    /// The name that new tokens carry.
    pub fn name(&self) -> &str {
        self.config.issuers.first().map_or("", String::as_str)
    }

    pub fn audiences(&self) -> &[String] {
        &self.config.audiences
    }

    pub fn sign(&self, claims: &Value) -> Result<String, pki::Error> {
        jwt::sign(&self.config.signing_key, claims)
    }

    /// The claims of a token that one of the keys signed. `Ok(None)`: not a token of this issuer at all.
    pub fn verify(&self, token: &str) -> Result<Option<Arc<Value>>, String> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(claims) = self.verified.lock().unwrap_or_else(PoisonError::into_inner).get(&digest) {
            return Ok(Some(claims.clone()));
        }
        let Some(parsed) = Unverified::parse(token) else { return Ok(None) };
        let issuer = parsed.claims.get("iss").and_then(Value::as_str).unwrap_or_default();
        if issuer != LEGACY_ISSUER && !self.config.issuers.iter().any(|i| i == issuer) {
            return Ok(None);
        }
        let named = |id: &str| parsed.key_id.as_deref().is_none_or(|wanted| wanted == id);
        let mut candidates = self.keys.iter().filter(|(id, _)| named(id)).peekable();
        if candidates.peek().is_none() {
            return Err("invalid signature, no keys found".into());
        }
        if !candidates.any(|(_, key)| parsed.is_signed_by(key)) {
            return Err("invalid signature".into());
        }
        let claims = Arc::new(parsed.claims);
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= REMEMBERED {
            verified.clear();
        }
        verified.insert(digest, claims.clone());
        Ok(Some(claims))
    }

    /// Body of `/openid/v1/jwks`.
    pub fn key_set(&self) -> Value {
        jwks::key_set(&self.public_keys())
    }

    /// Body of `/.well-known/openid-configuration`; `server` is the address clients reach, `https://host:port`.
    pub fn discovery(&self, server: &str) -> Value {
        jwks::discovery(self.name(), &format!("{server}{}", jwks::JWKS_PATH), &self.public_keys())
    }

    fn public_keys(&self) -> Vec<PublicKey> {
        self.keys.iter().map(|(_, key)| key.clone()).collect()
    }
}
