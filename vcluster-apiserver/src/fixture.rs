//! A store for unit tests, filled with objects directly.

use crate::backend::Backend;
use apimachinery::{GroupResource, Object};
use serde_json::Value;
use std::sync::Arc;
use storage::{Memory, Storage, Write};

pub struct Fixture(Arc<Memory>);

impl Default for Fixture {
    fn default() -> Self {
        Self(Arc::new(Memory::new()))
    }
}

impl Fixture {
    /// Puts an object; namespace and name are read from its metadata.
    pub async fn put(&self, resource: &str, group: &str, object: Value) {
        let object = Object::from_value(object).unwrap();
        self.0.transact(vec![], vec![Backend::put(&GroupResource::new(group, resource), &object)]).await.unwrap();
    }

    pub async fn remove(&self, resource: &str, group: &str, namespace: &str, name: &str) {
        let resource = GroupResource::new(group, resource);
        let object = self.backend().object(&resource, namespace, name).await.unwrap().unwrap();
        let key = Backend::key(&resource, namespace, name);
        self.0.transact(vec![], vec![Write::Delete(key, crate::backend::unsealed(&object))]).await.unwrap();
    }

    pub fn backend(&self) -> Backend {
        Backend { storage: self.0.clone() }
    }
}
