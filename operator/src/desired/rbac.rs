//! The service account of a tenant and its two bindings.
//!
//! The rights themselves are two ClusterRoles of the chart, so that the operator needs no right of its own but to bind them.

use super::{Desired, Settings, build, labels};
use crate::observed::Observed;
use kube::core::GroupVersionKind;
use kube::core::discovery::ApiResource;
use serde_json::json;

/// The cluster-scoped binding has no owner; the finalizer removes it by this name.
pub fn cluster_binding_name(namespace: &str, tenant: &str) -> String {
    format!("coracle:{namespace}:{tenant}")
}

pub fn cluster_binding_resource() -> ApiResource {
    let gvk = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding");
    ApiResource::from_gvk_with_plural(&gvk, "clusterrolebindings")
}

pub fn objects(observed: &Observed, settings: &Settings) -> Vec<Desired> {
    let (name, namespace) = (observed.name(), observed.namespace());
    let subjects = json!([{"kind": "ServiceAccount", "name": name, "namespace": namespace}]);
    let role = |role: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role});
    let account = build(observed, "v1", "ServiceAccount", "serviceaccounts", name, json!({}));
    let binding = build(
        observed,
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        "rolebindings",
        name,
        json!({"roleRef": role(&settings.namespace_role), "subjects": subjects}),
    );
    let cluster_name = cluster_binding_name(namespace, name);
    let cluster = Desired {
        resource: cluster_binding_resource(),
        namespace: String::new(),
        name: cluster_name.clone(),
        object: json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": cluster_name, "labels": labels(name)},
            "roleRef": role(&settings.cluster_role),
            "subjects": subjects,
        }),
    };
    vec![account, binding, cluster]
}
