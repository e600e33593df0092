//! The environment variables by which containers find services, as the kubelet makes them (`pkg/kubelet/envvars`).
//!
//! They reach host containers through a ConfigMap that stands first in `envFrom`: that is exactly the kubelet's order
//! of precedence (services below `envFrom` below `env`, all of them visible to `$(VAR)`), and like with the kubelet a
//! restarted container sees the services of that moment.

use crate::{Config, marks, names};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

/// Role of the ConfigMap, and with it part of its name.
pub(crate) const ROLE: &str = "services";

/// Name of the host ConfigMap for the pods of `namespace`; pods without service links share one per tenant, whose
/// namespace is `""`.
pub(crate) fn host_name(config: &Config, namespace: &str) -> String {
    names::internal_name(ROLE, "", namespace, &config.tenant)
}

/// The namespace whose variables a pod gets: its own, or none.
pub(crate) fn scope(namespace: &str, enable_service_links: Option<bool>) -> &str {
    if enable_service_links.unwrap_or(true) { namespace } else { "" }
}

/// The host ConfigMap for the pods of `namespace`. `kubernetes` is `default/kubernetes`, which every pod sees unless
/// its namespace has a service of that name.
pub(crate) fn config_map<'a>(
    config: &Config,
    namespace: &str,
    kubernetes: Option<&'a Service>,
    services: impl IntoIterator<Item = &'a Service>,
) -> ConfigMap {
    let fallback = kubernetes_service(config);
    let mut visible: BTreeMap<String, &Service> = BTreeMap::new();
    visible.insert("kubernetes".into(), kubernetes.unwrap_or(&fallback));
    for service in services.into_iter().filter(|service| has_address(service)) {
        visible.insert(service.metadata.name.clone().unwrap_or_default(), service);
    }
    let data = visible.values().flat_map(|service| variables(service)).collect();
    let mut metadata = marks::serving_meta(config, &host_name(config, namespace), namespace);
    metadata.labels.get_or_insert_default().insert(marks::ROLE.into(), ROLE.into());
    ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }
}

/// `default/kubernetes` before the tenant's API server has published it.
fn kubernetes_service(config: &Config) -> Service {
    let https = ServicePort { name: Some("https".into()), port: 443, ..ServicePort::default() };
    let spec = ServiceSpec {
        cluster_ip: config.api_addresses.first().cloned(),
        ports: Some(vec![https]),
        ..ServiceSpec::default()
    };
    Service {
        metadata: ObjectMeta { name: Some("kubernetes".into()), ..ObjectMeta::default() },
        spec: Some(spec),
        ..Service::default()
    }
}

fn has_address(service: &Service) -> bool {
    let address = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
    !address.is_empty() && address != "None"
}

/// The variables of one service, in the kubelet's order.
pub(crate) fn variables(service: &Service) -> Vec<(String, String)> {
    let Some(spec) = service.spec.as_ref().filter(|_| has_address(service)) else { return Vec::new() };
    let ports = spec.ports.as_deref().unwrap_or_default();
    let Some(first) = ports.first() else { return Vec::new() };
    let address = spec.cluster_ip.as_deref().unwrap_or_default();
    let prefix = variable_name(service.metadata.name.as_deref().unwrap_or_default());
    let mut all = vec![
        (format!("{prefix}_SERVICE_HOST"), address.to_owned()),
        (format!("{prefix}_SERVICE_PORT"), first.port.to_string()),
    ];
    for port in ports {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            all.push((format!("{prefix}_SERVICE_PORT_{}", variable_name(name)), port.port.to_string()));
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().filter(|protocol| !protocol.is_empty()).unwrap_or("TCP");
        let url = format!("{}://{}", protocol.to_lowercase(), join(address, port.port));
        if index == 0 {
            all.push((format!("{prefix}_PORT"), url.clone()));
        }
        let port_prefix = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_uppercase());
        all.push((port_prefix.clone(), url));
        all.push((format!("{port_prefix}_PROTO"), protocol.to_lowercase()));
        all.push((format!("{port_prefix}_PORT"), port.port.to_string()));
        all.push((format!("{port_prefix}_ADDR"), address.to_owned()));
    }
    all
}

fn variable_name(text: &str) -> String {
    text.replace('-', "_").to_uppercase()
}

fn join(address: &str, port: i32) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn service(value: Value) -> Service {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn variables_are_the_kubelets() {
        let service = service(json!({
            "metadata": {"name": "foo-bar", "namespace": "ns"},
            "spec": {"clusterIP": "1.2.3.4", "ports": [
                {"name": "http", "port": 8080, "protocol": "TCP"},
                {"name": "dns-udp", "port": 53, "protocol": "UDP"},
            ]},
        }));
        let lines: Vec<String> = variables(&service).iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = [
            "FOO_BAR_SERVICE_HOST=1.2.3.4",
            "FOO_BAR_SERVICE_PORT=8080",
            "FOO_BAR_SERVICE_PORT_HTTP=8080",
            "FOO_BAR_SERVICE_PORT_DNS_UDP=53",
            "FOO_BAR_PORT=tcp://1.2.3.4:8080",
            "FOO_BAR_PORT_8080_TCP=tcp://1.2.3.4:8080",
            "FOO_BAR_PORT_8080_TCP_PROTO=tcp",
            "FOO_BAR_PORT_8080_TCP_PORT=8080",
            "FOO_BAR_PORT_8080_TCP_ADDR=1.2.3.4",
            "FOO_BAR_PORT_53_UDP=udp://1.2.3.4:53",
            "FOO_BAR_PORT_53_UDP_PROTO=udp",
            "FOO_BAR_PORT_53_UDP_PORT=53",
            "FOO_BAR_PORT_53_UDP_ADDR=1.2.3.4",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn services_without_an_address_are_left_out() {
        for address in ["None", ""] {
            let headless = service(json!({
                "metadata": {"name": "h"}, "spec": {"clusterIP": address, "ports": [{"port": 80}]},
            }));
            assert_eq!(variables(&headless), []);
        }
    }

    #[test]
    fn the_api_is_always_there_and_a_namesake_of_the_namespace_hides_it() {
        let config = Config { tenant: "t".into(), api_addresses: vec!["fd00::1".into()], ..Config::default() };
        let data = config_map(&config, "ns", None, []).data.unwrap();
        assert_eq!(data["KUBERNETES_SERVICE_HOST"], "fd00::1");
        assert_eq!(data["KUBERNETES_PORT"], "tcp://[fd00::1]:443");
        assert_eq!(data["KUBERNETES_SERVICE_PORT_HTTPS"], "443");
        let own = service(json!({
            "metadata": {"name": "kubernetes", "namespace": "ns"},
            "spec": {"clusterIP": "9.9.9.9", "ports": [{"port": 80}]},
        }));
        assert_eq!(config_map(&config, "ns", None, [&own]).data.unwrap()["KUBERNETES_SERVICE_HOST"], "9.9.9.9");
    }
}
