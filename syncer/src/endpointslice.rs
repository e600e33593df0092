//! EndpointSlices: only those of Services without a selector go down; for all others the host's own controller makes
//! slices from the host's pods.

use crate::{Config, Decision, marks, names};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

/// Label: the Service that a slice belongs to.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "syncer.coracle.dev";

/// Name of the Service that a slice belongs to.
pub(crate) fn service_name(slice: &EndpointSlice) -> Option<&str> {
    slice.metadata.labels.as_ref()?.get(SERVICE_NAME).map(String::as_str)
}

/// The host copy of a slice. `service` is the tenant's Service that it names.
pub fn to_host(config: &Config, virt: &EndpointSlice, service: Option<&Service>) -> Decision<EndpointSlice> {
    let Some((name, service)) = service_name(virt).zip(service) else {
        return Decision::Delete("it belongs to no Service");
    };
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    if selector.is_some_and(|selector| !selector.is_empty()) {
        return Decision::Delete("the host makes its own slices for a Service with a selector");
    }
    if !matches!(crate::service::to_host(config, service), Decision::Sync(_)) {
        return Decision::Delete("its Service has no copy");
    }
    let namespace = virt.metadata.namespace.as_deref().unwrap_or_default();
    let mut metadata = marks::host_meta(config, &virt.metadata);
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(SERVICE_NAME.into(), names::host_name(name, namespace, &config.tenant));
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    let endpoints = virt.endpoints.iter().flatten().cloned();
    let endpoints = endpoints.map(|endpoint| Endpoint { target_ref: None, deprecated_topology: None, ..endpoint });
    Decision::Sync(EndpointSlice { metadata, endpoints: Some(endpoints.collect()), ..virt.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn translated(service: Value) -> Decision<EndpointSlice> {
        let config = Config { tenant: "t".into(), host_namespace: "hosted".into(), ..Config::default() };
        let virt: EndpointSlice = serde_json::from_value(json!({
            "metadata": {"name": "s-1", "namespace": "ns",
                "labels": {SERVICE_NAME: "s", MANAGED_BY: "endpointslicemirroring-controller.k8s.io"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.1.1.1"], "targetRef": {"kind": "Pod", "name": "p"}, "conditions": {"ready": true}}],
            "ports": [{"name": "http", "port": 80}],
        }))
        .unwrap();
        let service: Service =
            serde_json::from_value(json!({"metadata": {"name": "s", "namespace": "ns"}, "spec": service})).unwrap();
        to_host(&config, &virt, Some(&service))
    }

    #[test]
    fn literal_addresses_go_down_for_services_without_selector() {
        let Decision::Sync(host) = translated(json!({"clusterIP": "10.0.0.1"})) else { panic!("not synced") };
        let host = json!(host);
        assert_eq!(host["metadata"]["labels"][SERVICE_NAME], "s-x-ns-x-t");
        assert_eq!(host["metadata"]["labels"][MANAGED_BY], MANAGER);
        assert_eq!(host["endpoints"], json!([{"addresses": ["10.1.1.1"], "conditions": {"ready": true}}]));
        assert_eq!(host["ports"], json!([{"name": "http", "port": 80}]));
    }

    #[test]
    fn the_host_makes_the_rest() {
        assert!(matches!(translated(json!({"selector": {"a": "b"}})), Decision::Delete(_)));
        assert!(matches!(translated(json!({"clusterIP": "None"})), Decision::Delete(_)));
    }
}
