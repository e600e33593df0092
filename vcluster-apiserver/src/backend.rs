//! The store as the server's parts read it: objects by resource and name, and the transaction a write is built up in.

use apimachinery::{GroupResource, Object};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use storage::{Check, Key, Storage, Unsealed, Write};

/// Checks and writes that will be committed together with the object's own.
#[derive(Debug, Default)]
pub struct Transaction {
    pub checks: Vec<Check>,
    pub writes: Vec<Write>,
}

/// The canonical JSON of an object: kind, apiVersion, metadata and then the rest by name, with the place for the
/// revision right where the metadata begins. Lists cut the first two fields off at a length known beforehand, and no
/// body is ever searched for its revision.
pub fn unsealed(object: &Object) -> Unsealed {
    let mut bytes = Vec::with_capacity(1024);
    let text = |field: &str| object.as_map().get(field).and_then(Value::as_str).unwrap_or_default();
    bytes.extend_from_slice(b"{\"kind\":");
    append(&mut bytes, &text("kind").into());
    bytes.extend_from_slice(b",\"apiVersion\":");
    append(&mut bytes, &text("apiVersion").into());
    bytes.extend_from_slice(b",\"metadata\":{\"resourceVersion\":\"");
    let revision_at = bytes.len();
    bytes.push(b'"');
    for (field, value) in object.metadata().into_iter().flatten() {
        if field != "resourceVersion" && !value.is_null() {
            append_field(&mut bytes, field, value);
        }
    }
    bytes.push(b'}');
    for (field, value) in object.as_map() {
        // A null is what Go writes of a member that it never leaves out.
        if !matches!(field.as_str(), "kind" | "apiVersion" | "metadata") {
            append_field(&mut bytes, field, value);
        }
    }
    bytes.push(b'}');
    Unsealed { bytes, revision_at }
}

fn append_field(bytes: &mut Vec<u8>, field: &str, value: &Value) {
    bytes.push(b',');
    append(bytes, &field.into());
    bytes.push(b':');
    append(bytes, value);
}

fn append(bytes: &mut Vec<u8>, value: &Value) {
    serde_json::to_writer(bytes, value).expect("a JSON tree is written to memory");
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

    /// The write that puts an object, ready for a [`Transaction`].
    pub fn put(resource: &GroupResource, object: &Object) -> Write {
        Write::Put(Self::key(resource, object.namespace(), object.name()), unsealed(object))
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

    /// What `T` reads of an object, or none.
    pub async fn read<T: DeserializeOwned>(
        &self,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<T>, storage::Error> {
        let bytes = self.bytes(resource, namespace, name).await?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// An object as a tree, or none.
    pub async fn object(
        &self,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Object>, storage::Error> {
        Ok(self.read(resource, namespace, name).await?.and_then(Object::from_value))
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use storage::Revision;

    #[test]
    fn a_body_begins_with_its_kind_and_dates_itself() {
        let object = json!({"apiVersion": "v1", "data": {"a": "b"}, "kind": "ConfigMap",
            "metadata": {"name": "x", "resourceVersion": "7"}});
        let body = unsealed(&Object::from_value(object).unwrap()).seal(Revision(12));
        let expected =
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"12","name":"x"},"data":{"a":"b"}}"#;
        assert_eq!(body, expected);
    }
}
