//! The factory: one cache and one following task per resource and process, started when first asked for.

use crate::cache::Cache;
use crate::store::{Store, resource_of};
use crate::{PartialObject, Source};
use apimachinery::GroupVersionResource;
use futures::StreamExt;
use k8s_openapi::Resource;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::AbortHandle;

/// Shared by everything in a process that reads one API server. Clones are the same factory; when the last one goes,
/// its tasks stop and subscriptions end once their stores are gone too.
#[derive(Clone)]
pub struct Informers(Arc<Inner>);

struct Inner {
    source: Arc<dyn Source>,
    running: Mutex<HashMap<GroupVersionResource, Running>>,
}

struct Running {
    cache: Arc<Cache>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Informers {
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self(Arc::new(Inner { source, running: Mutex::default() }))
    }

    /// The store of a built-in kind. Must be called within a tokio runtime.
    pub fn store<K: Resource + DeserializeOwned + Send + Sync + 'static>(&self) -> Store<K> {
        self.open(&resource_of::<K>())
    }

    /// Any resource, seen through its metadata.
    pub fn metadata(&self, resource: &GroupVersionResource) -> Store<PartialObject> {
        self.open(resource)
    }

    /// Any resource as any type that its objects decode into.
    pub fn open<K: DeserializeOwned + Send + Sync + 'static>(&self, resource: &GroupVersionResource) -> Store<K> {
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        let cache = &running.entry(resource.clone()).or_insert_with(|| self.start(resource)).cache;
        Store::new(cache.clone())
    }

    /// A resource's store if somebody has opened it already; nothing is started.
    pub fn opened(&self, resource: &GroupVersionResource) -> Option<Store<PartialObject>> {
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(resource).map(|running| Store::new(running.cache.clone()))
    }

    /// Stops following a resource, as when its custom resource definition is gone. Stores that are still held keep
    /// what they last saw.
    pub fn forget(&self, resource: &GroupVersionResource) {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner).remove(resource);
    }

    fn start(&self, resource: &GroupVersionResource) -> Running {
        let cache = Cache::new(resource.clone());
        let mut changes = self.0.source.follow(resource);
        let fed = cache.clone();
        let task = tokio::spawn(async move {
            while let Some(change) = changes.next().await {
                fed.apply(change);
            }
            tracing::warn!(resource = %fed.resource, "a source ended; its cache stays as it is");
        });
        Running { cache, task: task.abort_handle() }
    }
}

#[cfg(test)]
#[path = "informers_tests.rs"]
mod tests;
