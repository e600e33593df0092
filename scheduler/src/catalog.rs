//! The objects beside pods and nodes that plugins look up, as the informers show them and as decided but not shown yet.
//! Plain data: it is fed, and never asks.

use crate::selection::{Labels, Selector};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceSlice};
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// `namespace/name`, or the name alone.
pub(crate) fn key(meta: &ObjectMeta) -> String {
    let name = meta.name.as_deref().unwrap_or_default();
    match meta.namespace.as_deref() {
        None | Some("") => name.to_owned(),
        Some(namespace) => format!("{namespace}/{name}"),
    }
}

/// Objects of one kind by key, with what is assumed of them (`pkg/scheduler/util/assumecache`).
#[derive(Debug)]
pub struct Table<T> {
    shown: BTreeMap<String, Arc<T>>,
    assumed: BTreeMap<String, Arc<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { shown: BTreeMap::new(), assumed: BTreeMap::new() }
    }
}

impl<T> Table<T> {
    pub fn get(&self, key: &str) -> Option<&Arc<T>> {
        self.assumed.get(key).or_else(|| self.shown.get(key))
    }

    /// As the API server has it, whatever is assumed.
    pub fn shown(&self, key: &str) -> Option<&Arc<T>> {
        self.shown.get(key)
    }

    /// In the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.shown.iter().map(|(key, object)| self.assumed.get(key).unwrap_or(object))
    }

    /// The object's new state; it ends what was assumed.
    pub fn set(&mut self, key: String, object: Option<Arc<T>>) {
        self.assumed.remove(&key);
        match object {
            Some(object) => self.shown.insert(key, object),
            None => self.shown.remove(&key),
        };
    }

    fn assume(&mut self, key: String, object: Arc<T>) {
        self.assumed.insert(key, object);
    }

    fn restore(&mut self, key: &str) {
        self.assumed.remove(key);
    }
}

/// One object as it will be once the binding cycle has written it.
#[derive(Clone, Debug)]
pub enum Assumed {
    Volume(Arc<PersistentVolume>),
    Claim(Arc<PersistentVolumeClaim>),
    ResourceClaim(Arc<ResourceClaim>),
}

/// What plugins look up.
#[derive(Debug, Default)]
pub struct Catalog {
    pub claims: Table<PersistentVolumeClaim>,
    pub volumes: Table<PersistentVolume>,
    pub classes: Table<StorageClass>,
    pub csi_nodes: Table<CSINode>,
    pub csi_drivers: Table<CSIDriver>,
    pub capacities: Table<CSIStorageCapacity>,
    pub attachments: Table<VolumeAttachment>,
    pub resource_claims: Table<ResourceClaim>,
    pub slices: Table<ResourceSlice>,
    pub device_classes: Table<DeviceClass>,
    pub(crate) owners: Owners,
}

impl Catalog {
    pub(crate) fn assume(&mut self, assumed: &[Assumed]) {
        for object in assumed {
            match object {
                Assumed::Volume(object) => self.volumes.assume(key(&object.metadata), object.clone()),
                Assumed::Claim(object) => self.claims.assume(key(&object.metadata), object.clone()),
                Assumed::ResourceClaim(object) => self.resource_claims.assume(key(&object.metadata), object.clone()),
            }
        }
    }

    pub(crate) fn restore(&mut self, assumed: &[Assumed]) {
        for object in assumed {
            match object {
                Assumed::Volume(object) => self.volumes.restore(&key(&object.metadata)),
                Assumed::Claim(object) => self.claims.restore(&key(&object.metadata)),
                Assumed::ResourceClaim(object) => self.resource_claims.restore(&key(&object.metadata)),
            }
        }
    }
}

/// Who selects pods: services, and the controllers that pods belong to. Only the selectors are kept.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    /// Namespace -> service -> selector.
    services: HashMap<String, BTreeMap<String, Labels>>,
    /// (kind, `namespace/name`) -> selector.
    controllers: HashMap<(&'static str, String), Selector>,
}

impl Owners {
    pub(crate) fn set_service(&mut self, meta: &ObjectMeta, selector: Option<&Labels>) {
        let namespace = meta.namespace.clone().unwrap_or_default();
        let name = meta.name.clone().unwrap_or_default();
        match selector {
            Some(selector) => {
                self.services.entry(namespace).or_default().insert(name, selector.clone());
            }
            None => {
                if let Some(services) = self.services.get_mut(&namespace) {
                    services.remove(&name);
                }
            }
        }
    }

    pub(crate) fn set_controller(&mut self, kind: &'static str, meta: &ObjectMeta, selector: Option<Selector>) {
        match selector {
            Some(selector) => self.controllers.insert((kind, key(meta)), selector),
            None => self.controllers.remove(&(kind, key(meta))),
        };
    }

    /// What the pod's services and its controller select, joined; `None` if nobody selects it
    /// (`plugins/helper.DefaultSelector`).
    pub(crate) fn peers(&self, pod: &Pod) -> Option<Selector> {
        let labels = pod.metadata.labels.as_ref();
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let mut merged = Labels::new();
        for wanted in self.services.get(namespace).into_iter().flat_map(BTreeMap::values) {
            if Selector::from_map(wanted).matches(labels) {
                merged.extend(wanted.clone());
            }
        }
        let mut joined = Selector::from_map(&merged);
        let mut owners = pod.metadata.owner_references.iter().flatten();
        if let Some(owner) = owners.find(|owner| owner.controller == Some(true)) {
            let kind = match (owner.api_version.as_str(), owner.kind.as_str()) {
                ("v1", "ReplicationController") => "ReplicationController",
                ("apps/v1", "ReplicaSet") => "ReplicaSet",
                ("apps/v1", "StatefulSet") => "StatefulSet",
                _ => "",
            };
            if let Some(selector) = self.controllers.get(&(kind, format!("{namespace}/{}", owner.name))) {
                joined.and_all(selector.clone());
            }
        }
        Some(joined).filter(|joined| !joined.is_empty())
    }
}
