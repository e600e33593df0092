//! The documents of the first discovery: `APIVersions`, `APIGroupList`, `APIGroup`, `APIResourceList`.

use super::group_names;
use crate::registry::Snapshot;
use crate::registry::resource::Resource;
use apimachinery::GroupVersion;
use serde_json::{Map, Value, json};

pub fn core(address: &str) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

pub fn groups(snapshot: &Snapshot) -> Value {
    let groups: Vec<Value> = group_names(snapshot).into_iter().filter_map(|g| bare_group(snapshot, g)).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

pub fn group(snapshot: &Snapshot, group: &str) -> Option<Value> {
    let mut value = bare_group(snapshot, group)?;
    value["kind"] = "APIGroup".into();
    value["apiVersion"] = "v1".into();
    Some(value)
}

fn bare_group(snapshot: &Snapshot, group: &str) -> Option<Value> {
    let versions: Vec<Value> = snapshot
        .versions
        .iter()
        .filter(|s| s.group_version.group == group && !group.is_empty())
        .map(|s| json!({"groupVersion": s.group_version.to_string(), "version": s.group_version.version}))
        .collect();
    let preferred = versions.first()?.clone();
    Some(json!({ "name": group, "versions": versions, "preferredVersion": preferred }))
}

pub fn resources(snapshot: &Snapshot, group_version: &GroupVersion) -> Value {
    let mut list = Vec::new();
    for resource in snapshot.of(group_version) {
        list.push(entry(resource));
        for subresource in &resource.subresources {
            let mut entry = Map::new();
            entry.insert("name".into(), format!("{}/{}", resource.gvr.resource, subresource.name).into());
            entry.insert("singularName".into(), "".into());
            entry.insert("namespaced".into(), resource.namespaced.into());
            entry.insert("kind".into(), subresource.kind.kind.as_str().into());
            if subresource.kind.group_version() != *group_version {
                if !subresource.kind.group.is_empty() {
                    entry.insert("group".into(), subresource.kind.group.as_str().into());
                }
                entry.insert("version".into(), subresource.kind.version.as_str().into());
            }
            entry.insert("verbs".into(), subresource.verbs.clone().into());
            list.push(Value::Object(entry));
        }
    }
    let mut value = json!({ "kind": "APIResourceList", "groupVersion": group_version.to_string(), "resources": list });
    // Upstream's oldest document does not say its own version.
    if !group_version.group.is_empty() {
        value["apiVersion"] = "v1".into();
    }
    value
}

fn entry(resource: &Resource) -> Value {
    let mut entry = Map::new();
    entry.insert("name".into(), resource.gvr.resource.as_str().into());
    entry.insert("singularName".into(), resource.singular.as_str().into());
    entry.insert("namespaced".into(), resource.namespaced.into());
    entry.insert("kind".into(), resource.kind.kind.as_str().into());
    entry.insert("verbs".into(), resource.verbs.clone().into());
    if !resource.short_names.is_empty() {
        entry.insert("shortNames".into(), resource.short_names.clone().into());
    }
    if !resource.categories.is_empty() {
        entry.insert("categories".into(), resource.categories.clone().into());
    }
    if !resource.storage_version_hash.is_empty() {
        entry.insert("storageVersionHash".into(), resource.storage_version_hash.as_str().into());
    }
    Value::Object(entry)
}
