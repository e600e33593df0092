//! `APIGroupDiscoveryList` v2: everything in one document.

use crate::registry::Snapshot;
use crate::registry::resource::{Resource, Subresource};
use apimachinery::{GroupVersion, GroupVersionKind};
use serde_json::{Map, Value, json};

/// The core group (`core`) or all named ones.
pub fn document(snapshot: &Snapshot, core: bool) -> Value {
    let mut items: Vec<Value> = Vec::new();
    let groups = if core { vec![""] } else { super::group_names(snapshot) };
    for group in groups {
        let versions = snapshot.versions.iter().filter(|s| s.group_version.group == group);
        let versions: Vec<Value> = versions.map(|s| version(snapshot, &s.group_version)).collect();
        let metadata = if group.is_empty() { json!({}) } else { json!({ "name": group }) };
        items.push(json!({ "metadata": metadata, "versions": versions }));
    }
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    })
}

fn version(snapshot: &Snapshot, group_version: &GroupVersion) -> Value {
    let resources: Vec<Value> = snapshot.of(group_version).map(|r| resource(r)).collect();
    json!({ "version": group_version.version, "resources": resources, "freshness": "Current" })
}

/// Group and version are named where they are not those of the place.
fn kind(kind: &GroupVersionKind, here: &GroupVersion) -> Value {
    if kind.group_version() == *here {
        json!({ "group": "", "version": "", "kind": kind.kind })
    } else {
        json!({ "group": kind.group, "version": kind.version, "kind": kind.kind })
    }
}

fn resource(resource: &Resource) -> Value {
    let here = resource.gvr.group_version();
    let mut entry = Map::new();
    entry.insert("resource".into(), resource.gvr.resource.as_str().into());
    entry.insert("responseKind".into(), kind(&resource.kind, &here));
    entry.insert("scope".into(), if resource.namespaced { "Namespaced" } else { "Cluster" }.into());
    entry.insert("singularResource".into(), resource.singular.as_str().into());
    entry.insert("verbs".into(), resource.verbs.clone().into());
    if !resource.short_names.is_empty() {
        entry.insert("shortNames".into(), resource.short_names.clone().into());
    }
    if !resource.categories.is_empty() {
        entry.insert("categories".into(), resource.categories.clone().into());
    }
    if !resource.subresources.is_empty() {
        let list: Vec<Value> = resource.subresources.iter().map(|sub| subresource(sub, &here)).collect();
        entry.insert("subresources".into(), list.into());
    }
    Value::Object(entry)
}

fn subresource(subresource: &Subresource, here: &GroupVersion) -> Value {
    json!({
        "subresource": subresource.name, "responseKind": kind(&subresource.kind, here), "verbs": subresource.verbs,
    })
}
