//! Services: a real one on the host with the same address, whose endpoints are the host copies of the tenant's pods.
//!
//! Addresses and node ports are decided when the tenant's API server asks for them ([`crate::HostServices`]); here the
//! committed Service is kept in step. Only Services that have an address need a copy: names are the tenant's DNS.
//! `externalIPs` do not go down: whoever sets them takes over traffic to those addresses on every node.

use crate::kind::Kind;
use crate::step::Step;
use crate::{Config, Decision, difference, marks};
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use serde_json::json;

/// Services of every tenant that are the host Service in front of its control plane.
const CONTROL_PLANE: [(&str, &str); 2] = [("default", "kubernetes"), ("kube-system", "kube-dns")];

/// The host copy of a Service.
pub fn to_host(config: &Config, virt: &Service) -> Decision<Service> {
    let name = virt.metadata.name.as_deref().unwrap_or_default();
    let namespace = virt.metadata.namespace.as_deref().unwrap_or_default();
    if CONTROL_PLANE.contains(&(namespace, name)) {
        return Decision::Skip("it is the host Service of the control plane");
    }
    let spec = virt.spec.clone().unwrap_or_default();
    if spec.type_.as_deref() == Some("ExternalName") {
        return Decision::Delete("it is a name only");
    }
    if spec.cluster_ip.as_deref() == Some("None") {
        return Decision::Delete("it has no address");
    }
    let selector = spec.selector.filter(|selector| !selector.is_empty());
    let spec = ServiceSpec {
        selector: selector.map(|selector| marks::host_selector(config, namespace, &selector)),
        external_ips: None,
        external_name: None,
        ..spec
    };
    Decision::Sync(Service { metadata: marks::host_meta(config, &virt.metadata), spec: Some(spec), status: None })
}

/// The write that shows the tenant the host's load balancer, if one is needed.
pub(crate) fn status_up(virt: &Service, host: &Service) -> Option<Step> {
    let is_balanced = virt.spec.as_ref()?.type_.as_deref() == Some("LoadBalancer");
    let balancer = |service: &Service| service.status.as_ref().and_then(|status| status.load_balancer.clone());
    let wanted = if is_balanced { balancer(host) } else { None };
    let shown = json!({"loadBalancer": balancer(virt).unwrap_or_default()});
    let patch = difference::merge_patch(&shown, &json!({"loadBalancer": wanted.unwrap_or_default()}))?;
    Some(Step::VirtPatch {
        kind: Kind::Service,
        namespace: virt.metadata.namespace.clone()?,
        name: virt.metadata.name.clone()?,
        subresource: "status",
        patch: json!({"metadata": {"uid": virt.metadata.uid}, "status": patch}),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn config() -> Config {
        Config { tenant: "t".into(), host_namespace: "hosted".into(), ..Config::default() }
    }

    fn service(namespace: &str, name: &str, spec: Value) -> Service {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec})).unwrap()
    }

    #[test]
    fn a_copy_selects_the_host_copies_of_the_same_pods() {
        let virt = service(
            "ns",
            "web",
            json!({
                "type": "NodePort", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"], "selector": {"app": "web"},
                "externalIPs": ["1.2.3.4"], "sessionAffinity": "ClientIP",
                "ports": [{"name": "http", "port": 80, "targetPort": "web", "nodePort": 30080, "protocol": "TCP"}],
            }),
        );
        let Decision::Sync(host) = to_host(&config(), &virt) else { panic!("not synced") };
        let expected = json!({
            "type": "NodePort", "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"], "sessionAffinity": "ClientIP",
            "selector": {"app": "web", "coracle.dev/tenant": "t", "coracle.dev/namespace": "ns"},
            "ports": [{"name": "http", "port": 80, "targetPort": "web", "nodePort": 30080, "protocol": "TCP"}],
        });
        assert_eq!(json!(host.spec), expected);
        assert_eq!(host.metadata.name.as_deref(), Some("web-x-ns-x-t"));
    }

    #[test]
    fn a_service_without_selector_stays_without() {
        let virt = service("ns", "manual", json!({"ports": [{"port": 80}]}));
        let Decision::Sync(host) = to_host(&config(), &virt) else { panic!("not synced") };
        assert_eq!(host.spec.unwrap().selector, None);
    }

    #[test]
    fn services_without_an_address_have_no_copy() {
        let headless = service("ns", "h", json!({"clusterIP": "None"}));
        assert!(matches!(to_host(&config(), &headless), Decision::Delete(_)));
        let external = service("ns", "e", json!({"type": "ExternalName", "externalName": "example.com"}));
        assert!(matches!(to_host(&config(), &external), Decision::Delete(_)));
        assert!(matches!(to_host(&config(), &service("default", "kubernetes", json!({}))), Decision::Skip(_)));
        assert!(matches!(to_host(&config(), &service("kube-system", "kube-dns", json!({}))), Decision::Skip(_)));
        assert!(matches!(to_host(&config(), &service("ns", "kubernetes", json!({}))), Decision::Sync(_)));
    }

    #[test]
    fn the_load_balancer_comes_up_and_goes_with_the_type() {
        let ingress = json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}});
        let mut virt = service("ns", "lb", json!({"type": "LoadBalancer"}));
        let mut host = virt.clone();
        host.status = serde_json::from_value(ingress.clone()).unwrap();
        let Some(Step::VirtPatch { patch, .. }) = status_up(&virt, &host) else { panic!("no patch") };
        assert_eq!(patch["status"], ingress);
        virt.status.clone_from(&host.status);
        assert_eq!(status_up(&virt, &host), None);
        virt.spec = serde_json::from_value(json!({"type": "ClusterIP"})).unwrap();
        let Some(Step::VirtPatch { patch, .. }) = status_up(&virt, &host) else { panic!("no patch") };
        assert_eq!(patch["status"], json!({"loadBalancer": {"ingress": null}}));
    }
}
