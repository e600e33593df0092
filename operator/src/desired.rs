//! From a spec to host objects. Pure: the same observation gives the same objects.

pub mod policy;
pub mod rbac;
pub mod secrets;
pub mod service;
pub mod statefulset;

use crate::api::TENANT_LABEL;
use crate::observed::Observed;
use kube::core::GroupVersionKind;
use kube::core::discovery::ApiResource;
use serde_json::{Map, Value, json};

/// Objects that the operator made carry this as `app.kubernetes.io/managed-by`.
pub const MANAGER: &str = "coracle-operator";

/// What the operator itself was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The image of new control planes.
    pub image: String,
    pub image_pull_policy: Option<String>,
    /// ClusterRole for what a tenant does in its own host namespace.
    pub namespace_role: String,
    /// ClusterRole for what a tenant reads of the whole host.
    pub cluster_role: String,
}

/// One object to apply.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    pub resource: ApiResource,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    pub name: String,
    pub object: Value,
}

/// Everything that should exist for a tenant, in the order in which it is applied.
pub fn objects(observed: &Observed, settings: &Settings) -> Vec<Desired> {
    let mut all = rbac::objects(observed, settings);
    all.extend(secrets::objects(observed));
    all.push(service::object(observed));
    all.push(statefulset::object(observed, settings));
    all.extend(policy::objects(observed));
    all
}

/// Names and owners that every object of a tenant has.
fn build(observed: &Observed, api_version: &str, kind: &str, plural: &str, name: &str, rest: Value) -> Desired {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let gvk = GroupVersionKind::gvk(group, version, kind);
    let mut metadata = json!({
        "name": name,
        "namespace": observed.namespace(),
        "labels": labels(observed.name()),
        "ownerReferences": [{
            "apiVersion": "coracle.dev/v1alpha1",
            "kind": "TenantCluster",
            "name": observed.name(),
            "uid": observed.tenant.metadata.uid.clone().unwrap_or_default(),
            "controller": true,
            "blockOwnerDeletion": true,
        }],
    });
    let mut object = Map::new();
    if let Value::Object(rest) = rest {
        object.extend(rest);
    }
    // Annotations that a part wants go into the metadata that all share.
    if let (Some(annotations), Some(metadata)) = (object.remove("annotations"), metadata.as_object_mut()) {
        metadata.insert("annotations".into(), annotations);
    }
    object.insert("apiVersion".into(), api_version.into());
    object.insert("kind".into(), kind.into());
    object.insert("metadata".into(), metadata);
    Desired {
        resource: ApiResource::from_gvk_with_plural(&gvk, plural),
        namespace: observed.namespace().to_owned(),
        name: name.to_owned(),
        object: Value::Object(object),
    }
}

/// Labels of everything that the operator makes for a tenant.
pub fn labels(tenant: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "coracle",
        "app.kubernetes.io/instance": tenant,
        "app.kubernetes.io/managed-by": MANAGER,
        TENANT_LABEL: tenant,
    })
}

/// On the control plane pod alone: the syncer takes labels of this prefix away from what tenants make.
pub const CONTROL_PLANE_LABEL: &str = "coracle.dev/control-plane";

/// The labels that select a tenant's control plane pod and nothing else, whatever labels its tenants give their pods.
pub fn control_plane_selector(tenant: &str) -> Value {
    json!({CONTROL_PLANE_LABEL: tenant})
}

#[cfg(test)]
mod tests;
