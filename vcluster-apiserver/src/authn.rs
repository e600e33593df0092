//! Who is asking. One file per scheme; the [`chain`] asks each in turn.

pub mod bearer;
pub mod bootstrap_token;
pub mod chain;
pub mod configuration;
pub mod front_proxy;
pub mod impersonation;
pub mod issuer;
pub mod jwk;
pub mod jwt;
pub mod oidc;
pub mod service_account;
pub mod static_tokens;
pub mod user;
pub mod webhook;
pub mod x509;

use crate::request::UserInfo;
use async_trait::async_trait;
use std::sync::Arc;

/// What a connection proved about its peer, parsed once per connection.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    pub address: Option<std::net::SocketAddr>,
    /// The client certificate chain, leaf first, DER.
    pub certificates: Arc<Vec<Vec<u8>>>,
}

/// What one scheme says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request carries no credentials of this scheme.
    NotRequested,
    Authenticated {
        user: UserInfo,
        audiences: Vec<String>,
    },
    /// Credentials were there and are wrong; the request ends with 401 unless another scheme accepts it.
    Failed(String),
}

#[async_trait]
pub trait Authenticator: Send + Sync {
    async fn authenticate(&self, peer: &Peer, headers: &http::HeaderMap) -> Outcome;
}

/// A scheme of bearer tokens. `audiences` are those that the asker accepts; empty means the server's own.
#[async_trait]
pub trait TokenAuthenticator: Send + Sync {
    async fn authenticate_token(&self, token: &str, audiences: &[String]) -> Outcome;
}
