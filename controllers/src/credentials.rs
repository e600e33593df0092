//! What only the holder of the cluster's keys can do for controllers. The keys stay where they are.

use jiff::Timestamp;
use serde_json::Value;

/// A certificate that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningRequest {
    /// The PKCS#10 request; its subject and alternative names are taken over, its other extensions are not.
    pub der: Vec<u8>,
    /// Usages by the names of the certificates API, such as `digital signature` and `client auth`.
    pub usages: Vec<String>,
    pub not_before: Timestamp,
    /// The signer may shorten it to its own end.
    pub not_after: Timestamp,
}

pub trait Credentials: Send + Sync {
    /// Signs with the cluster's authority, after checking that the requestor has the key. Returns PEM.
    ///
    /// # Errors
    /// Says in words why there is no certificate: a bad signature, an unknown usage, an authority that has ended.
    fn sign(&self, request: &SigningRequest) -> Result<String, String>;

    /// Signs a service account token with these claims.
    ///
    /// # Errors
    /// Says in words why there is no token.
    fn token(&self, claims: &Value) -> Result<String, String>;
}
