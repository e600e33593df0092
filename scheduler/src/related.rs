//! The objects around one pod that plugins look at: its claims with their volumes, and who selects it.

use crate::pod::spec_of;
use crate::selection::Selector;
use informer::{Informers, Store};
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController, Service};
use k8s_openapi::api::storage::v1::StorageClass;
use std::sync::Arc;

/// One claim that a pod names.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) name: String,
    /// Made for this pod from an `ephemeral` volume.
    pub(crate) ephemeral: bool,
    pub(crate) object: Option<Arc<PersistentVolumeClaim>>,
    pub(crate) volume: Option<Arc<PersistentVolume>>,
    pub(crate) class: Option<Arc<StorageClass>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Related {
    pub(crate) claims: Vec<Claim>,
    /// What the pod's services and its controller select, joined; `None` if nobody selects it
    /// (`plugins/helper.DefaultSelector`).
    pub(crate) peers: Option<Selector>,
}

/// The caches that [`Related`] is read from.
#[derive(Clone)]
pub(crate) struct Relations {
    pub(crate) claims: Store<PersistentVolumeClaim>,
    pub(crate) volumes: Store<PersistentVolume>,
    pub(crate) classes: Store<StorageClass>,
    services: Store<Service>,
    controllers: Store<ReplicationController>,
    replica_sets: Store<ReplicaSet>,
    stateful_sets: Store<StatefulSet>,
}

impl Relations {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self {
            claims: informers.store(),
            volumes: informers.store(),
            classes: informers.store(),
            services: informers.store(),
            controllers: informers.store(),
            replica_sets: informers.store(),
            stateful_sets: informers.store(),
        }
    }

    pub(crate) async fn synced(&self) {
        self.claims.synced().await;
        self.volumes.synced().await;
        self.classes.synced().await;
        self.services.synced().await;
        self.controllers.synced().await;
        self.replica_sets.synced().await;
        self.stateful_sets.synced().await;
    }

    pub(crate) fn of(&self, pod: &Pod) -> Related {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
        let named = spec_of(pod).volumes.iter().flatten().filter_map(|volume| {
            let plain = volume.persistent_volume_claim.as_ref().map(|source| (source.claim_name.clone(), false));
            let made = volume.ephemeral.as_ref().map(|_| (format!("{pod_name}-{}", volume.name), true));
            plain.or(made)
        });
        let claims = named.map(|(name, ephemeral)| self.claim(namespace, name, ephemeral)).collect();
        Related { claims, peers: self.peers(namespace, pod) }
    }

    fn claim(&self, namespace: &str, name: String, ephemeral: bool) -> Claim {
        let object = self.claims.get(namespace, &name);
        let spec = object.as_ref().and_then(|claim| claim.spec.as_ref());
        let volume = spec.and_then(|spec| spec.volume_name.as_ref()).and_then(|name| self.volumes.get("", name));
        let class = spec.and_then(|spec| spec.storage_class_name.as_ref()).and_then(|name| self.classes.get("", name));
        Claim { name, ephemeral, object, volume, class }
    }

    fn peers(&self, namespace: &str, pod: &Pod) -> Option<Selector> {
        let labels = pod.metadata.labels.as_ref();
        let mut joined = Selector::All(Vec::new());
        for service in self.services.list_in(namespace) {
            let wanted = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            let selector = wanted.filter(|wanted| !wanted.is_empty()).map(Selector::from_map);
            if let Some(selector) = selector.filter(|selector| selector.matches(labels)) {
                joined.and_all(selector);
            }
        }
        let owners = pod.metadata.owner_references.iter().flatten();
        if let Some(owner) = owners.into_iter().find(|owner| owner.controller == Some(true)) {
            let selector = match owner.kind.as_str() {
                "ReplicationController" => self
                    .controllers
                    .get(namespace, &owner.name)
                    .and_then(|owner| owner.spec.as_ref()?.selector.as_ref().map(Selector::from_map)),
                "ReplicaSet" => {
                    self.replica_sets.get(namespace, &owner.name).map(|owner| Selector::new(Some(&owner.spec.selector)))
                }
                "StatefulSet" => self
                    .stateful_sets
                    .get(namespace, &owner.name)
                    .map(|owner| Selector::new(Some(&owner.spec.selector))),
                _ => None,
            };
            if let Some(selector) = selector {
                joined.and_all(selector);
            }
        }
        Some(joined).filter(|joined| !joined.is_empty())
    }
}
