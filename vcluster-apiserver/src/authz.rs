//! What the caller may do.

use crate::request::UserInfo;
use async_trait::async_trait;

/// What is asked about (k8s.io/apiserver `pkg/authorization/authorizer`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub user: std::sync::Arc<UserInfo>,
    /// `get`, `list`, `watch`, `create`, ...; the lower-case HTTP method for non-resource paths.
    pub verb: String,
    pub namespace: String,
    pub group: String,
    pub version: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    /// False for `/healthz` and its like; then only `path` and `verb` count.
    pub is_resource: bool,
    pub path: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    Deny(String),
    NoOpinion(String),
}

#[async_trait]
pub trait Authorizer: Send + Sync {
    async fn authorize(&self, attributes: &Attributes) -> Decision;
}
