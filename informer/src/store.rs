//! A typed view of one resource's cache.

use crate::cache::Cache;
use crate::entry::Entry;
use crate::{Raw, Subscription};
use apimachinery::GroupVersionResource;
use k8s_openapi::Resource;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::sync::Arc;

/// The resource that `K` is served as.
pub fn resource_of<K: Resource>() -> GroupVersionResource {
    GroupVersionResource::new(K::GROUP, K::VERSION, K::URL_PATH_SEGMENT)
}

/// What a writer waits for before it reads its own write in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// The object was written at this revision.
    Written { namespace: String, name: String, revision: u64 },
    /// The object was asked to go while the store showed it at this revision: any newer state or its absence will do.
    Deleted { namespace: String, name: String, shown: u64 },
}

/// Reads of one resource as `K`. Cheap to clone; all clones and all types over one resource share its bytes.
pub struct Store<K> {
    cache: Arc<Cache>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Store<K> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), kind: PhantomData }
    }
}

impl<K> std::fmt::Debug for Store<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.cache.resource)
    }
}

impl<K: DeserializeOwned + Send + Sync + 'static> Store<K> {
    pub(crate) fn new(cache: Arc<Cache>) -> Self {
        Self { cache, kind: PhantomData }
    }

    pub fn resource(&self) -> &GroupVersionResource {
        &self.cache.resource
    }

    /// The object of this name; cluster-scoped objects have the namespace `""`.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.cache.get(namespace, name)?.decode()
    }

    /// The object's bytes as the source delivered them.
    pub fn raw(&self, namespace: &str, name: &str) -> Option<Raw> {
        Some(self.cache.get(namespace, name)?.raw.clone())
    }

    /// Every object, ordered by namespace and name.
    pub fn list(&self) -> Vec<Arc<K>> {
        decode_all(&self.cache.entries(None))
    }

    /// The objects of one namespace, ordered by name.
    pub fn list_in(&self, namespace: &str) -> Vec<Arc<K>> {
        decode_all(&self.cache.entries(Some(namespace)))
    }

    /// Every object's bytes, ordered by namespace and name; `namespace` narrows it to one.
    pub fn list_raw(&self, namespace: Option<&str>) -> Vec<Raw> {
        self.cache.entries(namespace).iter().map(|entry| entry.raw.clone()).collect()
    }

    pub fn len(&self) -> usize {
        self.cache.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Registers an index: `values` names the keys under which an object is found. The first registration of a name
    /// stays, so a name must mean one thing in the process.
    pub fn add_index(&self, name: &str, values: impl Fn(&K) -> Vec<String> + Send + Sync + 'static) {
        let extract = move |entry: &Entry| entry.decode::<K>().map(|object| values(&object)).unwrap_or_default();
        self.cache.add_index(name, Arc::new(extract));
    }

    /// The objects under `value` in the index `name`, ordered by namespace and name; none for an unknown index.
    pub fn by_index(&self, name: &str, value: &str) -> Vec<Arc<K>> {
        decode_all(&self.cache.by_index(name, value))
    }

    /// Starts with an addition for each object that is there.
    pub fn subscribe(&self) -> Subscription<K> {
        Subscription::new(self.cache.subscribe())
    }

    pub fn is_synced(&self) -> bool {
        self.cache.is_synced()
    }

    /// Resolves once the complete state has been seen.
    pub async fn synced(&self) {
        self.cache.synced().await;
    }

    /// Resolves once this store shows what `barrier` speaks of.
    pub async fn reached(&self, barrier: &Barrier) {
        match barrier {
            Barrier::Written { namespace, name, revision } => {
                let shown = || self.cache.get(namespace, name).map_or(0, |entry| entry.raw.revision);
                self.cache.wait_until(|seen| seen >= *revision || shown() >= *revision).await;
            }
            Barrier::Deleted { namespace, name, shown } => {
                let gone = || self.cache.get(namespace, name).is_none_or(|entry| entry.raw.revision != *shown);
                self.cache.wait_until(|_| gone()).await;
            }
        }
    }
}

fn decode_all<K: DeserializeOwned + Send + Sync + 'static>(entries: &[Arc<Entry>]) -> Vec<Arc<K>> {
    entries.iter().filter_map(|entry| entry.decode()).collect()
}
