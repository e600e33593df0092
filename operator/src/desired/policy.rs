//! What keeps tenants apart on the host's network, and a drain of the host polite.

use super::service::{API_PORT, DNS_PORT};
use super::{CONTROL_PLANE_LABEL, Desired, build, control_plane_selector};
use crate::api::TENANT_LABEL;
use crate::observed::Observed;
use serde_json::json;

pub fn objects(observed: &Observed) -> Vec<Desired> {
    let name = observed.name();
    let budget = json!({"spec": {"maxUnavailable": 1, "selector": {"matchLabels": control_plane_selector(name)}}});
    let mut all = vec![build(observed, "policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", name, budget)];
    if observed.tenant.spec.network_policy {
        all.push(network_policy(observed, &format!("{name}-control-plane"), control_plane(name)));
        all.push(network_policy(observed, &format!("{name}-workloads"), workloads(name)));
    }
    all
}

fn network_policy(observed: &Observed, name: &str, spec: serde_json::Value) -> Desired {
    build(observed, "networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", name, json!({"spec": spec}))
}

/// Anybody may dial the API, which authenticates; only the tenant's own pods may ask its DNS.
fn control_plane(tenant: &str) -> serde_json::Value {
    json!({
        "podSelector": {"matchLabels": control_plane_selector(tenant)},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"ports": [{"port": API_PORT, "protocol": "TCP"}]},
            {
                "from": [{"podSelector": {"matchLabels": {TENANT_LABEL: tenant}}}],
                "ports": [{"port": DNS_PORT, "protocol": "UDP"}, {"port": DNS_PORT, "protocol": "TCP"}],
            },
        ],
    })
}

/// The tenant's pods hear from each other, from their control plane, and from addresses that are no pod of this host
/// cluster as far as the policy language can say it: other namespaces' pods are not let in.
fn workloads(tenant: &str) -> serde_json::Value {
    json!({
        "podSelector": {
            "matchLabels": {TENANT_LABEL: tenant},
            "matchExpressions": [{"key": CONTROL_PLANE_LABEL, "operator": "DoesNotExist"}],
        },
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {"matchLabels": {TENANT_LABEL: tenant}}}]}],
    })
}
