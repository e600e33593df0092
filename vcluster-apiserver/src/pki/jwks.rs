//! The documents with which others verify service account tokens: OIDC discovery and the key set
//! (k8s.io/kubernetes `pkg/serviceaccount/openidmetadata.go`).

use super::PublicKey;
use serde_json::{Value, json};

/// Where the key set is served.
pub const JWKS_PATH: &str = "/openid/v1/jwks";
/// Where the discovery document is served.
pub const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// The body of [`JWKS_PATH`], media type `application/jwk-set+json`.
pub fn key_set(keys: &[PublicKey]) -> Value {
    json!({ "keys": keys.iter().map(PublicKey::jwk).collect::<Vec<_>>() })
}

/// The body of [`DISCOVERY_PATH`], media type `application/json`.
pub fn discovery(issuer: &str, jwks_uri: &str, keys: &[PublicKey]) -> Value {
    let mut algorithms: Vec<&str> = keys.iter().map(|k| k.algorithm().name()).collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    json!({
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::PrivateKey;

    #[test]
    fn discovery_names_each_algorithm_once() {
        let keys = [PrivateKey::generate().unwrap().public(), PrivateKey::generate().unwrap().public()];
        let document = discovery("https://kubernetes.default.svc", "https://1.2.3.4:443/openid/v1/jwks", &keys);
        assert_eq!(document["id_token_signing_alg_values_supported"], json!(["ES256"]));
        assert_eq!(key_set(&keys)["keys"].as_array().unwrap().len(), 2);
    }
}
