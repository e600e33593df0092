//! Everything that the engine reads: one cache per kind and side.

use crate::Config;
use crate::kind::Kind;
use informer::{Barrier, Informers, Store};
use k8s_openapi::api::certificates::v1::ClusterTrustBundle;
use k8s_openapi::api::core::v1::{
    ConfigMap, Event, Node, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::Value;
use std::time::Duration;

/// How long a write may take to show up before the engine goes on without it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The kinds that both sides have.
pub(crate) struct Side {
    pub(crate) pods: Store<Pod>,
    pub(crate) config_maps: Store<ConfigMap>,
    pub(crate) secrets: Store<Secret>,
    pub(crate) services: Store<Service>,
    pub(crate) slices: Store<EndpointSlice>,
    pub(crate) claims: Store<PersistentVolumeClaim>,
    pub(crate) volumes: Store<PersistentVolume>,
    pub(crate) classes: Store<StorageClass>,
    pub(crate) nodes: Store<Node>,
}

impl Side {
    fn new(informers: &Informers) -> Self {
        Self {
            pods: informers.store(),
            config_maps: informers.store(),
            secrets: informers.store(),
            services: informers.store(),
            slices: informers.store(),
            claims: informers.store(),
            volumes: informers.store(),
            classes: informers.store(),
            nodes: informers.store(),
        }
    }

    /// Without these nothing can be decided. Volumes and classes may stay unseen where the host does not show them.
    async fn synced(&self) {
        self.nodes.synced().await;
        self.pods.synced().await;
        self.config_maps.synced().await;
        self.secrets.synced().await;
        self.services.synced().await;
        self.slices.synced().await;
        self.claims.synced().await;
    }

    async fn reached(&self, kind: Kind, barrier: &Barrier) {
        match kind {
            Kind::Pod => self.pods.reached(barrier).await,
            Kind::ConfigMap => self.config_maps.reached(barrier).await,
            Kind::Secret => self.secrets.reached(barrier).await,
            Kind::Service => self.services.reached(barrier).await,
            Kind::EndpointSlice => self.slices.reached(barrier).await,
            Kind::PersistentVolumeClaim => self.claims.reached(barrier).await,
            Kind::PersistentVolume => self.volumes.reached(barrier).await,
            Kind::StorageClass => self.classes.reached(barrier).await,
            Kind::Node => self.nodes.reached(barrier).await,
            Kind::Lease | Kind::Event | Kind::ClusterTrustBundle => {}
        }
    }

    /// Waits until what an API server answered to a write is visible here, so that the next decision builds on it.
    pub(crate) async fn caught_up(&self, kind: Kind, written: &Value) {
        let field = |name: &str| written["metadata"][name].as_str().unwrap_or_default().to_owned();
        let Ok(revision) = field("resourceVersion").parse() else { return };
        let barrier = Barrier::Written { namespace: field("namespace"), name: field("name"), revision };
        let waited = tokio::time::timeout(PATIENCE, self.reached(kind, &barrier)).await;
        if waited.is_err() {
            tracing::debug!(?kind, ?barrier, "a write is slow to show up");
        }
    }
}

pub(crate) struct Stores {
    pub(crate) virt: Side,
    pub(crate) host: Side,
    pub(crate) virt_bundles: Store<ClusterTrustBundle>,
    pub(crate) host_events: Store<Event>,
    pub(crate) host_runtimes: Store<RuntimeClass>,
    host_namespace: String,
}

impl Stores {
    pub(crate) fn new(config: &Config, virt: &Informers, host: &Informers) -> Self {
        Self {
            virt: Side::new(virt),
            host: Side::new(host),
            virt_bundles: virt.store(),
            host_events: host.store(),
            host_runtimes: host.store(),
            host_namespace: config.host_namespace.clone(),
        }
    }

    pub(crate) async fn synced(&self) {
        self.host.synced().await;
        self.virt.synced().await;
    }

    pub(crate) fn host_namespace(&self) -> &str {
        &self.host_namespace
    }
}
