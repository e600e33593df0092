//! The keys of a tenant as its controllers may use them: to sign, without ever having them.

use super::pki::Keys;
use serde_json::Value;
use std::sync::Arc;
use vcluster_apiserver::authn::issuer::{self, Issuer, LEGACY_ISSUER};
use vcluster_apiserver::pki::authority::Authority;
use vcluster_apiserver::pki::key::PrivateKey;

pub struct KeyHolder {
    authority: Arc<Authority>,
    tokens: Issuer,
}

impl KeyHolder {
    /// Shares the authority and copies the key of service account tokens.
    pub fn new(keys: &Keys) -> anyhow::Result<Self> {
        let tokens = Issuer::new(issuer::Config {
            issuers: vec![LEGACY_ISSUER.to_owned()],
            audiences: Vec::new(),
            signing_key: PrivateKey::from_pem(&keys.service_account.to_pem())?,
            verifying_keys: Vec::new(),
        });
        Ok(Self { authority: keys.authority.clone(), tokens })
    }
}

impl controllers::Credentials for KeyHolder {
    fn sign(&self, request: &controllers::SigningRequest) -> Result<String, String> {
        let controllers::SigningRequest { der, usages, not_before, not_after } = request;
        self.authority.sign_request(der, usages, *not_before, *not_after).map_err(|error| error.to_string())
    }

    fn token(&self, claims: &Value) -> Result<String, String> {
        self.tokens.sign(claims).map_err(|error| error.to_string())
    }
}
