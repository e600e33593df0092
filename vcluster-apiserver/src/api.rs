//! The verbs, generic over kinds: request in, response out.
//!
//! An object is bytes on every read path here; trees are made for writes, tables and conversions only.

pub mod codec;
pub mod decode;
pub mod dispatch;
pub mod encode;
pub mod error;
pub mod frame;
pub mod page;
mod selection;
pub mod sent;
pub mod table;
pub mod verb;

use crate::registry::Registry;
use crate::registry::resource::Target;
use crate::registry::store::Store;
use crate::request::query::Query;
use crate::request::{RequestCx, RequestInfo};
use http::{HeaderMap, Method};
use std::sync::Arc;
use storage::Cache;

/// What verbs work with.
pub struct Api {
    pub registry: Arc<Registry>,
    pub cache: Arc<Cache>,
    pub store: Store,
    pub special: crate::registry::special::Specials,
    pub connector: Arc<dyn crate::proxy::Connector>,
    pub sent: sent::Sent,
    /// Ends watches gradually when the server drains.
    pub draining: tokio::sync::watch::Receiver<bool>,
}

/// One request on its way through a verb, its body aside.
pub struct Call {
    pub cx: RequestCx,
    pub method: Method,
    pub info: RequestInfo,
    pub query: Query,
    pub headers: HeaderMap,
    pub target: Target,
}

impl Call {
    pub fn user_agent(&self) -> &str {
        self.headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The namespace that lists, watches and collections are limited to.
    pub fn namespace(&self) -> Option<Arc<str>> {
        let namespace = &self.target.namespace;
        (self.target.resource.namespaced && !namespace.is_empty()).then(|| Arc::from(namespace.as_str()))
    }
}
