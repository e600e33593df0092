//! An object as a JSON tree, with names for the parts of its metadata.
//!
//! Trees exist on write paths only; at rest and in caches an object is bytes.

use crate::gvk::{GroupVersion, GroupVersionKind};
use serde_json::{Map, Value};

/// A Kubernetes object: a JSON object whose `metadata`, where present, is a JSON object too.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object(Map<String, Value>);

impl Object {
    pub fn new(gvk: &GroupVersionKind) -> Self {
        let mut object = Self::default();
        object.set_gvk(gvk);
        object
    }

    /// `None` when `value` is no JSON object or its `metadata` is something else than an object or null.
    pub fn from_value(value: Value) -> Option<Self> {
        let Value::Object(mut map) = value else { return None };
        match map.get("metadata") {
            Some(Value::Object(_)) | None => {}
            Some(Value::Null) => {
                map.remove("metadata");
            }
            Some(_) => return None,
        }
        Some(Self(map))
    }

    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    pub fn as_map_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.0
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).unwrap_or_default()
    }

    pub fn gvk(&self) -> Option<GroupVersionKind> {
        let version = GroupVersion::parse(self.0.get("apiVersion")?.as_str()?)?;
        Some(version.with_kind(self.0.get("kind")?.as_str()?))
    }

    pub fn set_gvk(&mut self, gvk: &GroupVersionKind) {
        self.0.insert("apiVersion".into(), Value::String(gvk.api_version()));
        self.0.insert("kind".into(), Value::String(gvk.kind.clone()));
    }

    pub fn metadata(&self) -> Option<&Map<String, Value>> {
        self.0.get("metadata").and_then(Value::as_object)
    }

    /// The metadata, made when absent.
    pub fn metadata_mut(&mut self) -> &mut Map<String, Value> {
        let slot = self.0.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        match slot {
            Value::Object(map) => map,
            _ => unreachable!("made an object above"),
        }
    }

    /// A string field of the metadata; `""` when absent.
    pub fn meta_str(&self, field: &str) -> &str {
        self.metadata().and_then(|m| m.get(field)).and_then(Value::as_str).unwrap_or_default()
    }

    /// Sets a string field of the metadata, or removes it when `value` is empty.
    pub fn set_meta_str(&mut self, field: &str, value: &str) {
        if value.is_empty() {
            self.metadata_mut().remove(field);
        } else {
            self.metadata_mut().insert(field.into(), Value::String(value.into()));
        }
    }

    pub fn name(&self) -> &str {
        self.meta_str("name")
    }

    pub fn namespace(&self) -> &str {
        self.meta_str("namespace")
    }

    pub fn uid(&self) -> &str {
        self.meta_str("uid")
    }

    pub fn resource_version(&self) -> &str {
        self.meta_str("resourceVersion")
    }

    pub fn generation(&self) -> i64 {
        self.metadata().and_then(|m| m.get("generation")).and_then(Value::as_i64).unwrap_or(0)
    }

    pub fn is_terminating(&self) -> bool {
        self.metadata().is_some_and(|m| m.get("deletionTimestamp").is_some_and(|t| !t.is_null()))
    }

    pub fn finalizers(&self) -> Vec<&str> {
        let list = self.metadata().and_then(|m| m.get("finalizers")).and_then(Value::as_array);
        list.map(|l| l.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata()?.get("labels")?.get(key)?.as_str()
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata()?.get("annotations")?.get(key)?.as_str()
    }

    /// Labels as pairs, in key order.
    pub fn labels(&self) -> Vec<(&str, &str)> {
        let labels = self.metadata().and_then(|m| m.get("labels")).and_then(Value::as_object);
        labels.map(|l| l.iter().filter_map(|(k, v)| Some((k.as_str(), v.as_str()?))).collect()).unwrap_or_default()
    }

    /// A value at a path of field names (no list indexes).
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(*first)?, |value, field| value.get(*field))
    }

    /// The string at a path of field names; empty when there is none.
    pub fn text_at(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    /// Sets a value at a path of field names, making the objects on the way.
    pub fn set_at(&mut self, path: &[&str], value: Value) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut map = &mut self.0;
        for field in parents {
            let slot = map.entry(*field).or_insert_with(|| Value::Object(Map::new()));
            if !slot.is_object() {
                *slot = Value::Object(Map::new());
            }
            let Value::Object(next) = slot else { return };
            map = next;
        }
        map.insert((*last).into(), value);
    }

    /// Removes and returns the value at a path of field names.
    pub fn remove_at(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        let mut map = &mut self.0;
        for field in parents {
            map = map.get_mut(*field)?.as_object_mut()?;
        }
        map.remove(*last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metadata_must_be_an_object() {
        assert!(Object::from_value(json!({"metadata": 3})).is_none());
        assert!(Object::from_value(json!([])).is_none());
        assert_eq!(Object::from_value(json!({"metadata": null})).map(|o| o.name().len()), Some(0));
    }

    #[test]
    fn paths_are_read_written_and_removed() {
        let mut object = Object::default();
        object.set_at(&["spec", "template", "name"], json!("a"));
        assert_eq!(object.at(&["spec", "template", "name"]), Some(&json!("a")));
        assert_eq!(object.remove_at(&["spec", "template", "name"]), Some(json!("a")));
        assert_eq!(object.at(&["spec", "template", "name"]), None);
    }
}
