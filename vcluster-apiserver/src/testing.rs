//! A server for tests: memory storage, a clock that stands still, a client without sockets.

use crate::admission::Plugin;
use crate::authn::{Authenticator, Outcome, Peer};
use crate::authz::{Attributes, Authorizer, Decision};
use crate::proxy::Unconnected;
use crate::registry::addresses::{Local, Network};
use crate::registry::special::Specials;
use crate::registry::{Registry, Snapshot, builtin};
use crate::request::UserInfo;
use crate::request::body::{self, Body};
use crate::server::bootstrap::Endpoint;
use crate::server::guards::Guards;
use crate::server::health::Health;
use crate::server::{Config, DEADLINE, IssuerDocuments, Server};
use apimachinery::clock::{FixedClock, Rng, SeededRng};
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use std::sync::Arc;
use storage::{Bounds, Cache, Memory, Storage};
use tower::Service;

/// Takes everybody for an administrator.
#[derive(Clone, Copy, Debug)]
pub struct Everybody;

#[async_trait]
impl Authenticator for Everybody {
    async fn authenticate(&self, _: &Peer, _: &HeaderMap) -> Outcome {
        Outcome::Authenticated { user: admin(), audiences: Vec::new() }
    }
}

#[async_trait]
impl Authorizer for Everybody {
    async fn authorize(&self, _: &Attributes) -> Decision {
        Decision::Allow
    }
}

/// The user that tests act as.
pub fn admin() -> UserInfo {
    let groups = vec!["system:masters".to_owned(), "system:authenticated".to_owned()];
    UserInfo { name: "admin".to_owned(), groups, ..UserInfo::default() }
}

/// See the module.
pub struct TestServer {
    pub server: Server,
    pub clock: Arc<FixedClock>,
    pub cache: Arc<Cache>,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A string in the body, by JSON pointer.
    pub fn text(&self, pointer: &str) -> String {
        self.json().pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

impl TestServer {
    /// A bootstrapped server without admission.
    pub async fn start() -> Result<Self, storage::Error> {
        Self::with(builtin::snapshot(), Vec::new(), Specials::default()).await
    }

    pub async fn with(
        snapshot: Snapshot,
        admission: Vec<Arc<dyn Plugin>>,
        special: Specials,
    ) -> Result<Self, storage::Error> {
        Self::guarded(snapshot, admission, special, async |_, _| Guards::default()).await
    }

    /// The same with what `guards` makes over its store and clock.
    pub async fn guarded(
        snapshot: Snapshot,
        admission: Vec<Arc<dyn Plugin>>,
        special: Specials,
        guards: impl AsyncFnOnce(Arc<Cache>, Arc<FixedClock>) -> Guards,
    ) -> Result<Self, storage::Error> {
        let clock = Arc::new(FixedClock::new(1_767_225_600));
        let storage: Arc<dyn Storage> = Arc::new(Memory::new());
        let cache = Arc::new(Cache::start(storage, Bounds::default()).await?);
        let network = Network {
            service_cidr: ipnet::Ipv4Net::new_assert([10, 96, 0, 0].into(), 16).into(),
            node_ports: (30000, 32767),
        };
        let guards = guards(cache.clone(), clock.clone()).await;
        let endpoint = Endpoint {
            service: [10, 96, 0, 1].into(),
            addresses: vec![[192, 0, 2, 1].into()],
            port: 6443,
            service_cidr: "10.96.0.0/16".to_owned(),
        };
        let rng: Arc<dyn Rng> = Arc::new(SeededRng::new(1));
        let config = Config {
            cache: cache.clone(),
            registry: Arc::new(Registry::new(snapshot)),
            authenticator: Arc::new(Everybody),
            authorizer: Arc::new(Everybody),
            admission,
            special,
            connector: Arc::new(Unconnected),
            addresses: Arc::new(Local { network, rng: rng.clone() }),
            clock: clock.clone(),
            rng,
            health: Arc::new(Health::new()),
            issuer: IssuerDocuments::default(),
            address: endpoint.address(),
            deadline: DEADLINE,
        };
        let server = Server::guarded_by(config, guards);
        server.bootstrap(&endpoint).await?;
        Ok(Self { server, clock, cache })
    }

    /// Sends a request and answers with its response, whose body may still be running.
    pub async fn open(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> http::Response<Body> {
        let mut builder = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let request = builder.body(body::full(body.into())).expect("tests send requests that can be written");
        match self.server.in_process(admin()).call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    pub async fn send(&self, method: &str, uri: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let response = self.open(method, uri, headers, body).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Answer { code: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub async fn get(&self, uri: &str) -> Answer {
        self.send("GET", uri, &[], "").await
    }

    pub async fn post(&self, uri: &str, object: &Value) -> Answer {
        self.send("POST", uri, &[("content-type", "application/json")], object.to_string()).await
    }

    pub async fn put(&self, uri: &str, object: &Value) -> Answer {
        self.send("PUT", uri, &[("content-type", "application/json")], object.to_string()).await
    }

    pub async fn patch(&self, uri: &str, media: &str, patch: &Value) -> Answer {
        self.send("PATCH", uri, &[("content-type", media)], patch.to_string()).await
    }

    pub async fn delete(&self, uri: &str) -> Answer {
        self.send("DELETE", uri, &[], "").await
    }
}
