//! The store as the server's parts read it: objects by resource and name, and the transaction a write is built up in.

use apimachinery::{GroupResource, Object};
use bytes::Bytes;
use std::sync::Arc;
use storage::{Check, Key, Storage, Write};

/// Checks and writes that will be committed together with the object's own.
#[derive(Debug, Default)]
pub struct Transaction {
    pub checks: Vec<Check>,
    pub writes: Vec<Write>,
}

/// Reads from the watch cache, writes to the store behind it. Cheap to clone.
#[derive(Clone)]
pub struct Backend {
    pub storage: Arc<dyn Storage>,
}

impl Backend {
    pub fn key(resource: &GroupResource, namespace: &str, name: &str) -> Key {
        Key { resource: resource.to_string().into(), namespace: namespace.into(), name: name.into() }
    }

    /// The canonical JSON of an object, or none.
    pub async fn bytes(
        &self,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Bytes>, storage::Error> {
        Ok(self.storage.get(&Self::key(resource, namespace, name)).await?.map(|stored| stored.body))
    }

    /// An object as a tree, or none.
    pub async fn object(
        &self,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Object>, storage::Error> {
        let Some(bytes) = self.bytes(resource, namespace, name).await? else { return Ok(None) };
        Ok(serde_json::from_slice(&bytes).ok().and_then(Object::from_value))
    }

    /// Every object of a resource, in one namespace or in all.
    pub async fn objects(
        &self,
        resource: &GroupResource,
        namespace: Option<&str>,
    ) -> Result<Vec<Object>, storage::Error> {
        let range = storage::Range {
            resource: resource.to_string().into(),
            namespace: namespace.map(Into::into),
            ..storage::Range::default()
        };
        let page = self.storage.list(&range).await?;
        Ok(page
            .items
            .iter()
            .filter_map(|s| serde_json::from_slice(&s.body).ok().and_then(Object::from_value))
            .collect())
    }
}
