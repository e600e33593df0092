//! `TenantCluster`, group `coracle.dev`, version `v1alpha1`.

use k8s_openapi::api::core::v1::{Affinity, ResourceRequirements, Toleration};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, CustomResourceExt as _, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The label that every host object of a tenant carries.
pub const TENANT_LABEL: &str = "coracle.dev/tenant";
/// Held by a TenantCluster until everything that it made on the host is gone.
pub const FINALIZER: &str = "coracle.dev/cleanup";

/// A Kubernetes cluster of its own, hosted in this one.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "coracle.dev",
    version = "v1alpha1",
    kind = "TenantCluster",
    plural = "tenantclusters",
    shortname = "tc",
    category = "all",
    namespaced,
    status = "TenantClusterStatus",
    derive = "Default",
    derive = "PartialEq",
    printcolumn(json_path = ".status.conditions[?(@.type==\"Ready\")].status", name = "Ready", type_ = "string"),
    printcolumn(json_path = ".status.version", name = "Version", type_ = "string"),
    printcolumn(json_path = ".status.endpoint", name = "Endpoint", type_ = "string"),
    printcolumn(json_path = ".status.store", name = "Store", type_ = "string"),
    printcolumn(json_path = ".status.nodes", name = "Nodes", type_ = "integer"),
    printcolumn(json_path = ".metadata.creationTimestamp", name = "Age", type_ = "date"),
    validation = Rule::new("size(self.metadata.name) <= 40").message("metadata.name may have at most 40 characters: names of host objects are made from it"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("metadata.name must be a DNS label that starts with a letter: a Service gets this name")
)]
#[serde(rename_all = "camelCase")]
pub struct TenantClusterSpec {
    /// The Kubernetes version that the tenant speaks.
    #[serde(default = "default_version")]
    #[x_kube(validation = Rule::new("self == '1.37'").message("version: this release serves Kubernetes 1.37 only; write \"1.37\""))]
    pub version: String,
    /// Where the tenant's objects are kept.
    #[serde(default)]
    pub store: Store,
    /// How clients reach the tenant's API server.
    #[serde(default)]
    pub expose: Expose,
    #[serde(default)]
    pub networking: Networking,
    /// Which host nodes the tenant sees and its pods run on; all by default.
    #[serde(default)]
    pub nodes: Nodes,
    /// Where the control plane pod runs.
    #[serde(default)]
    pub placement: Placement,
    /// Requests and limits of the control plane container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub resources: Option<ResourceRequirements>,
    /// Keep other tenants' pods out with NetworkPolicies on the host.
    #[serde(default = "yes")]
    pub network_policy: bool,
    /// Another image than the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.type == oldSelf.type").message("store.type cannot be changed").reason(Reason::FieldValueForbidden))]
pub struct Store {
    /// `sqlite`: a file on a volume of the control plane pod.
    #[serde(rename = "type", default)]
    pub type_: StoreType,
    #[serde(default)]
    pub persistence: Persistence,
}

#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreType {
    #[default]
    Sqlite,
}

#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.type == oldSelf.type").message("store.persistence.type cannot be changed").reason(Reason::FieldValueForbidden))]
pub struct Persistence {
    #[serde(rename = "type", default)]
    pub type_: PersistenceType,
    /// Size of the volume.
    #[serde(default = "default_size")]
    #[x_kube(validation = Rule::new("self.matches('^[1-9][0-9]*(Mi|Gi|Ti|M|G|T)$')").message("store.persistence.size: write a size such as 1Gi"))]
    pub size: String,
    /// The host's default class when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
}

impl Default for Persistence {
    fn default() -> Self {
        Self { type_: PersistenceType::default(), size: default_size(), storage_class_name: None }
    }
}

#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PersistenceType {
    /// A PersistentVolumeClaim that goes with the tenant.
    #[default]
    PersistentVolumeClaim,
    /// Lost with the pod: for trials and tests.
    Ephemeral,
}

#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.nodePort) || self.type != 'ClusterIP'").message("expose.nodePort needs expose.type NodePort or LoadBalancer"))]
pub struct Expose {
    #[serde(rename = "type", default)]
    pub type_: ExposeType,
    /// A fixed port on the host's nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 65535").message("expose.nodePort must be a port number"))]
    pub node_port: Option<i32>,
    /// More names and addresses for the server's certificate; the first also becomes the kubeconfig's host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_names: Vec<String>,
    /// Annotations of the Service, as load balancers want them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExposeType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
}

#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("networking cannot be changed").reason(Reason::FieldValueForbidden))]
pub struct Networking {
    /// The domain of the tenant's services.
    #[serde(default = "default_domain")]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')").message("networking.clusterDomain must be a DNS domain such as cluster.local"))]
    pub cluster_domain: String,
}

impl Default for Networking {
    fn default() -> Self {
        Self { cluster_domain: default_domain() }
    }
}

#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Nodes {
    /// Labels that a host node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub selector: BTreeMap<String, String>,
}

#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "any_objects")]
    pub tolerations: Vec<Toleration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub affinity: Option<Affinity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
}

#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantClusterStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Where clients reach the API server: `https://host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// What the running tenant says of itself, such as `v1.37.2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Nodes that the tenant sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<i64>,
    /// The Secret with the kubeconfig under the key `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_secret: Option<String>,
}

/// The custom resource definition of the chart: what the types say, with a `spec` that may be left out.
pub fn definition() -> CustomResourceDefinition {
    let mut definition = TenantCluster::crd();
    for version in &mut definition.spec.versions {
        let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) else { continue };
        schema.required = None;
        if let Some(spec) = schema.properties.as_mut().and_then(|p| p.get_mut("spec")) {
            spec.default = Some(JSON(serde_json::json!({})));
        }
    }
    definition
}

fn default_version() -> String {
    "1.37".into()
}

fn default_size() -> String {
    "1Gi".into()
}

fn default_domain() -> String {
    "cluster.local".into()
}

fn yes() -> bool {
    true
}

/// Upstream's own types, whose schema the host's API server checks when they reach it.
fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "nullable": true, "x-kubernetes-preserve-unknown-fields": true})
}

fn any_objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}})
}

/// `metav1.Condition`, merged by type.
fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {"type": "string"},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "reason": {"type": "string"},
                "message": {"type": "string"},
                "lastTransitionTime": {"type": "string", "format": "date-time"},
                "observedGeneration": {"type": "integer", "format": "int64"}
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_spec_is_a_whole_tenant() {
        let spec: TenantClusterSpec = serde_json::from_str("{}").unwrap();
        assert_eq!(spec.version, "1.37");
        assert_eq!(spec.store.persistence.size, "1Gi");
        assert!(spec.network_policy);
    }

    #[test]
    fn the_definition_refuses_what_cannot_work() {
        let crd = serde_json::to_string(&definition()).unwrap();
        for rule in ["self == '1.37'", "size(self.metadata.name) <= 40", "expose.nodePort needs"] {
            assert!(crd.contains(rule), "{rule}");
        }
    }
}
