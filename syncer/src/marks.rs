//! What host copies carry to be recognised by: labels for selection, annotations as the record of their origin.
//!
//! Everything under `coracle.dev/` is ours: a tenant's own labels and annotations with that prefix do not reach the
//! host, so that no tenant can pose as another or be selected by the control plane's own Services.

use crate::{Config, names};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

/// The prefix of every label and annotation of ours.
pub const PREFIX: &str = "coracle.dev/";
/// Label and annotation: name of the tenant.
pub const TENANT: &str = "coracle.dev/tenant";
/// Label and annotation: the object's namespace in the tenant.
pub const NAMESPACE: &str = "coracle.dev/namespace";
/// Annotation: the object's name in the tenant.
pub const NAME: &str = "coracle.dev/name";
/// Annotation: the object's uid in the tenant.
pub const UID: &str = "coracle.dev/uid";
/// Annotation: fingerprint of what was last applied, so that a removed field counts as a difference.
pub(crate) const APPLIED: &str = "coracle.dev/applied";
/// Annotation on host pods: the tenant pod's generation that the host's spec realises.
pub(crate) const GENERATION: &str = "coracle.dev/generation";
/// Annotation on host pods: fingerprint of the resources last sent down.
pub(crate) const RESOURCES: &str = "coracle.dev/resources";
/// Annotation on host pods: the service account's name, for the downward API.
pub(crate) const SERVICE_ACCOUNT: &str = "coracle.dev/service-account";
/// Annotations on host pods: the tenant's labels and annotations as the kubelet writes them into a downward volume.
pub(crate) const LABELS: &str = "coracle.dev/labels";
pub(crate) const ANNOTATIONS: &str = "coracle.dev/annotations";
/// Label on host objects that serve a tenant object without being its copy; the value says what for.
pub(crate) const ROLE: &str = "coracle.dev/role";
/// Annotation on host Services: when the address was reserved for a Service that is not committed yet (RFC 3339).
pub(crate) const RESERVED: &str = "coracle.dev/reserved";
/// Annotation on a pod's token Secret: when each token must be replaced (seconds since 1970 by key, JSON).
pub(crate) const REFRESH: &str = "coracle.dev/refresh";
/// Annotation on the tenant's mirrored objects: what the host showed when both sides last agreed (JSON).
pub const HOST_STATE: &str = "coracle.dev/host-state";

/// Annotations that describe one side only.
const PRIVATE_ANNOTATIONS: [&str; 5] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "kubernetes.io/config.mirror",
    "kubernetes.io/config.source",
    "kubernetes.io/config.hash",
    "kubernetes.io/config.seen",
];

/// The tenant's object that a host object belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Empty for an address reserved before the object got its uid.
    pub(crate) uid: String,
}

/// Reads the record; `None` for objects that are not this tenant's.
pub(crate) fn origin(config: &Config, host_meta: &ObjectMeta) -> Option<Origin> {
    if host_meta.labels.as_ref()?.get(TENANT)? != &config.tenant {
        return None;
    }
    let annotations = host_meta.annotations.as_ref()?;
    Some(Origin {
        namespace: annotations.get(NAMESPACE)?.clone(),
        name: annotations.get(NAME)?.clone(),
        uid: annotations.get(UID).cloned().unwrap_or_default(),
    })
}

/// Metadata of the host copy of an object: the tenant's labels and annotations under their own keys, and our marks.
pub(crate) fn host_meta(config: &Config, virt_meta: &ObjectMeta) -> ObjectMeta {
    let name = virt_meta.name.as_deref().unwrap_or_default();
    let namespace = virt_meta.namespace.as_deref().unwrap_or_default();
    let mut meta = serving_meta(config, &names::host_name(name, namespace, &config.tenant), namespace);
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(NAME.into(), name.into());
    if let Some(uid) = &virt_meta.uid {
        annotations.insert(UID.into(), uid.clone());
    }
    annotations.extend(visible_annotations(virt_meta));
    meta.labels.get_or_insert_default().extend(visible_labels(virt_meta));
    meta
}

/// Metadata of a host object of ours that is no copy.
pub(crate) fn serving_meta(config: &Config, host_name: &str, namespace: &str) -> ObjectMeta {
    let marks = [(TENANT, config.tenant.as_str()), (NAMESPACE, namespace)];
    let marks: BTreeMap<String, String> = marks.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
    ObjectMeta {
        name: Some(host_name.into()),
        namespace: Some(config.host_namespace.clone()),
        labels: Some(marks.clone()),
        annotations: Some(marks),
        owner_references: config.owner.clone().map(|owner| vec![owner]),
        ..ObjectMeta::default()
    }
}

/// Metadata of a host object of ours that serves one pod in a role.
pub(crate) fn pods_meta(config: &Config, pod: &Pod, role: &str) -> ObjectMeta {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let host_name = names::internal_name(role, name, namespace, &config.tenant);
    let mut metadata = serving_meta(config, &host_name, namespace);
    metadata.labels.get_or_insert_default().insert(ROLE.into(), role.into());
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(NAME.into(), name.into());
    annotations.insert(UID.into(), pod.metadata.uid.clone().unwrap_or_default());
    metadata
}

/// Turns a selector over the tenant's pods of `namespace` into one over their host copies.
pub(crate) fn host_selector(
    config: &Config,
    namespace: &str,
    selector: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut selector = selector.clone();
    selector.insert(TENANT.into(), config.tenant.clone());
    selector.insert(NAMESPACE.into(), namespace.into());
    selector
}

pub(crate) fn visible_labels(virt_meta: &ObjectMeta) -> BTreeMap<String, String> {
    let labels = virt_meta.labels.iter().flatten();
    labels.filter(|(key, _)| !key.starts_with(PREFIX)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

pub(crate) fn visible_annotations(virt_meta: &ObjectMeta) -> BTreeMap<String, String> {
    let annotations = virt_meta.annotations.iter().flatten();
    annotations
        .filter(|(key, _)| !key.starts_with(PREFIX) && !PRIVATE_ANNOTATIONS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// An annotation's value, `""` when absent.
pub(crate) fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> &'a str {
    meta.annotations.as_ref().and_then(|annotations| annotations.get(key)).map(String::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config() -> Config {
        Config { tenant: "t".into(), host_namespace: "hosted".into(), ..Config::default() }
    }

    #[test]
    fn copies_are_recognised_and_nothing_else_is() {
        let virt: ObjectMeta = serde_json::from_value(json!({"name": "a", "namespace": "ns", "uid": "u"})).unwrap();
        let mut host = host_meta(&config(), &virt);
        let expected = Origin { namespace: "ns".into(), name: "a".into(), uid: "u".into() };
        assert_eq!(origin(&config(), &host), Some(expected));
        host.labels.get_or_insert_default().insert(TENANT.into(), "other".into());
        assert_eq!(origin(&config(), &host), None);
        assert_eq!(origin(&config(), &virt), None);
    }

    #[test]
    fn a_tenant_cannot_forge_our_marks() {
        let virt: ObjectMeta = serde_json::from_value(json!({
            "name": "a", "namespace": "ns",
            "labels": {"coracle.dev/tenant": "other", "coracle.dev/role": "apiserver", "app": "web"},
            "annotations": {"coracle.dev/uid": "x", "kubernetes.io/config.mirror": "1", "note": "kept"},
        }))
        .unwrap();
        let host = serde_json::to_value(host_meta(&config(), &virt)).unwrap();
        assert_eq!(host["labels"], json!({"app": "web", "coracle.dev/namespace": "ns", "coracle.dev/tenant": "t"}));
        let record = json!({
            "coracle.dev/name": "a", "coracle.dev/namespace": "ns", "coracle.dev/tenant": "t", "note": "kept",
        });
        assert_eq!(host["annotations"], record);
    }
}
