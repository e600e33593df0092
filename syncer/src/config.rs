//! What the syncer must be told about its tenant and its host; nothing in here is read from the outside by itself.

use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

/// One tenant and its place on the host.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Name of the tenant, unique in `host_namespace`; at most 63 characters, since it becomes a label value.
    pub tenant: String,
    /// The one namespace of the host in which every copy lives.
    pub host_namespace: String,
    /// Addresses (ClusterIPs of the host Service in front of the tenant's API), what `default/kubernetes` has.
    pub api_addresses: Vec<String>,
    /// Addresses of the tenant's DNS, what pods with the policy `ClusterFirst` get as nameservers.
    pub dns_addresses: Vec<String>,
    /// Such as `cluster.local`.
    pub cluster_domain: String,
    /// Certificates (PEM) by which pods trust the tenant's API; stands in for a `kube-root-ca.crt` that the tenant
    /// has not published yet. May be empty.
    pub ca_pem: String,
    /// Owner of every host copy, so that the host's garbage collector finishes what a deleted tenant leaves behind.
    pub owner: Option<OwnerReference>,
    /// Host taints that the operator lets this tenant's pods tolerate; mirrored nodes do not show them.
    pub tolerations: Vec<Toleration>,
    pub limits: Limits,
}

/// How much the syncer may do at once, and how often it renews what must be renewed.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Objects that are worked on at the same time.
    pub workers: usize,
    /// Seconds between renewals of the mirrored nodes' leases; below the node monitor's grace period (50 s upstream).
    pub lease_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { workers: 16, lease_seconds: 20 }
    }
}
