//! The server: everything that a request passes on its way to a verb, and what surrounds the API itself.
//!
//! [`Config`] goes in, [`Server`] comes out. It is used three ways: [`Server::serve`] accepts TLS connections,
//! [`Server::in_process`] is a tower service for clients in the same process, and [`Server::cache`] is the watch cache
//! itself, for informers that share it.

pub mod bootstrap;
pub mod chain;
pub mod fixed;
pub mod guards;
pub mod health;
pub mod in_process;
pub mod listener;

use crate::admission::Plugin;
use crate::api::Api;
use crate::api::sent::Sent;
use crate::authn::Authenticator;
use crate::authz::Authorizer;
use crate::backend::Backend;
use crate::discovery::Discovery;
use crate::openapi::OpenApi;
use crate::proxy::Connector;
use crate::registry::Registry;
use crate::registry::addresses::ServiceAddresses;
use crate::registry::special::Specials;
use crate::registry::store::Store;
use crate::request::UserInfo;
use apimachinery::clock::{Clock, Rng};
use guards::Guards;
use health::Health;
use std::sync::Arc;
use std::time::Duration;
use storage::{Cache, Storage};

/// What a server is made of.
pub struct Config {
    /// The watch cache over the tenant's store.
    pub cache: Arc<Cache>,
    pub registry: Arc<Registry>,
    pub authenticator: Arc<dyn Authenticator>,
    pub authorizer: Arc<dyn Authorizer>,
    /// In upstream's order.
    pub admission: Vec<Arc<dyn Plugin>>,
    pub special: Specials,
    pub connector: Arc<dyn Connector>,
    pub addresses: Arc<dyn ServiceAddresses>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub health: Arc<Health>,
    /// Bodies of `/.well-known/openid-configuration` and `/openid/v1/jwks`.
    pub issuer: IssuerDocuments,
    /// Where clients are told to reach the server: `HOST:PORT`.
    pub address: String,
    /// How long a short request may take.
    pub deadline: Duration,
}

/// What other clusters need to verify this one's service account tokens.
#[derive(Clone, Debug, Default)]
pub struct IssuerDocuments {
    pub configuration: bytes::Bytes,
    pub keys: bytes::Bytes,
}

/// Upstream's deadline for short requests.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// A running API, whether or not it listens. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    api: Arc<Api>,
    authenticator: Arc<dyn Authenticator>,
    authorizer: Arc<dyn Authorizer>,
    health: Arc<Health>,
    discovery: Discovery,
    openapi: OpenApi,
    issuer: IssuerDocuments,
    deadline: Duration,
    drain: tokio::sync::watch::Sender<bool>,
    metrics: fixed::Metrics,
    guards: Guards,
}

impl Server {
    /// A server without flow control and audit.
    pub fn new(config: Config) -> Self {
        Self::guarded_by(config, Guards::default())
    }

    pub fn guarded_by(config: Config, guards: Guards) -> Self {
        let (drain, draining) = tokio::sync::watch::channel(false);
        let storage: Arc<dyn Storage> = config.cache.clone();
        let store = Store {
            backend: Backend { storage },
            admission: config.admission.into(),
            clock: config.clock,
            rng: config.rng,
            addresses: config.addresses,
        };
        let api = Api {
            registry: config.registry,
            cache: config.cache,
            store,
            special: config.special,
            connector: config.connector,
            sent: Sent::default(),
            draining,
        };
        Self {
            inner: Arc::new(Inner {
                api: Arc::new(api),
                authenticator: config.authenticator,
                authorizer: config.authorizer,
                health: config.health,
                discovery: Discovery::new(config.address),
                openapi: OpenApi::default(),
                issuer: config.issuer,
                deadline: config.deadline,
                drain,
                metrics: fixed::Metrics::default(),
                guards,
            }),
        }
    }

    /// The watch cache, for informers in the same process.
    pub fn cache(&self) -> Arc<Cache> {
        self.inner.api.cache.clone()
    }

    /// The store as plugins and controllers of the server itself read it.
    pub fn backend(&self) -> Backend {
        self.inner.api.store.backend.clone()
    }

    pub fn registry(&self) -> Arc<Registry> {
        self.inner.api.registry.clone()
    }

    pub fn health(&self) -> Arc<Health> {
        self.inner.health.clone()
    }

    /// A tower service that acts as `user`, through admission and authorization as any other client.
    pub fn in_process(&self, user: UserInfo) -> in_process::InProcess {
        in_process::InProcess::new(self.clone(), user)
    }

    /// Ends watches and lets listeners finish what they have begun.
    pub fn drain(&self) {
        self.inner.drain.send_replace(true);
    }
}

/// Waits until the server drains; for ever when it is dropped instead, which ends its connections anyway.
pub async fn drained(draining: &mut tokio::sync::watch::Receiver<bool>) {
    if draining.wait_for(|draining| *draining).await.is_err() {
        std::future::pending::<()>().await;
    }
}
