//! The one Service of a tenant: its API on 443 and its DNS on 53.

use super::{Desired, build, control_plane_selector};
use crate::api::ExposeType;
use crate::observed::Observed;
use serde_json::json;

/// Where the tenant process listens.
pub const API_PORT: u16 = 8443;
pub const DNS_PORT: u16 = 1053;

pub fn object(observed: &Observed) -> Desired {
    let expose = &observed.tenant.spec.expose;
    let mut api = json!({"name": "https", "port": 443, "protocol": "TCP", "targetPort": API_PORT});
    if let Some(port) = expose.node_port {
        api["nodePort"] = port.into();
    }
    let mut spec = json!({
        "type": match expose.type_ {
            ExposeType::ClusterIP => "ClusterIP",
            ExposeType::NodePort => "NodePort",
            ExposeType::LoadBalancer => "LoadBalancer",
        },
        "selector": control_plane_selector(observed.name()),
        // The tenant's controllers start before it is ready, and its pods resolve names then.
        "publishNotReadyAddresses": true,
        "ports": [
            api,
            {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": DNS_PORT},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": DNS_PORT},
        ],
    });
    if expose.type_ == ExposeType::LoadBalancer {
        spec["allocateLoadBalancerNodePorts"] = true.into();
    }
    let mut rest = json!({"spec": spec});
    if !expose.annotations.is_empty() {
        rest["annotations"] = json!(expose.annotations);
    }
    build(observed, "v1", "Service", "services", observed.name(), rest)
}
