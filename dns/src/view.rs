//! The zone's objects, looked up in the shared caches at the time of the question.

use crate::names;
use crate::zone::{Endpoint, Port, ServiceFacts, View};
use informer::{Informers, Store};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::{Endpoint as SliceEndpoint, EndpointSlice};
use std::net::IpAddr;

const BY_SERVICE: &str = "dns/service";
const BY_ADDRESS: &str = "dns/address";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MULTICLUSTER: &str = "multicluster.kubernetes.io/service-name";

/// Reads Services, EndpointSlices and Namespaces of one tenant.
#[derive(Debug)]
pub struct Caches {
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    namespaces: Store<Namespace>,
}

impl Caches {
    /// Must be called within a tokio runtime, which the informers need.
    pub fn new(informers: &Informers) -> Self {
        let services = informers.store::<Service>();
        services.add_index(BY_ADDRESS, |s| cluster_ips(s).iter().map(ToString::to_string).collect());
        let slices = informers.store::<EndpointSlice>();
        slices.add_index(BY_SERVICE, |s| service_key(s).into_iter().collect());
        slices.add_index(BY_ADDRESS, |s| s.endpoints.iter().flatten().flat_map(|e| e.addresses.clone()).collect());
        Self { services, slices, namespaces: informers.store() }
    }

    /// Resolves when all three kinds have been listed once.
    pub async fn synced(&self) {
        tokio::join!(self.services.synced(), self.slices.synced(), self.namespaces.synced());
    }
}

impl View for Caches {
    fn service(&self, namespace: &str, name: &str) -> Option<ServiceFacts> {
        let service = self.services.get(namespace, name)?;
        let spec = service.spec.as_ref()?;
        if spec.type_.as_deref() == Some("ExternalName") {
            return Some(ServiceFacts { external_name: spec.external_name.clone(), ..ServiceFacts::default() });
        }
        let addresses = cluster_ips(&service);
        let ports =
            spec.ports.iter().flatten().map(|p| port(p.name.as_deref(), p.protocol.as_deref(), p.port)).collect();
        let endpoints = if addresses.is_empty() {
            let unready = spec.publish_not_ready_addresses.unwrap_or(false);
            let slices = self.slices.by_index(BY_SERVICE, &format!("{namespace}/{name}"));
            slices.iter().flat_map(|slice| endpoints(slice, unready)).collect()
        } else {
            Vec::new()
        };
        Some(ServiceFacts { addresses, external_name: None, ports, endpoints })
    }

    fn namespace_exists(&self, namespace: &str) -> bool {
        self.namespaces.raw("", namespace).is_some()
    }

    fn names_of(&self, address: IpAddr) -> Vec<String> {
        let text = address.to_string();
        let services = self.services.by_index(BY_ADDRESS, &text);
        let mut found: Vec<String> = services
            .iter()
            .filter_map(|s| Some(under(s.metadata.name.as_ref()?, s.metadata.namespace.as_ref()?)))
            .collect();
        if found.is_empty() {
            for slice in self.slices.by_index(BY_ADDRESS, &text) {
                found.extend(endpoint_names(&slice, &text, address));
            }
        }
        found
    }
}

fn under(name: &str, namespace: &str) -> String {
    format!("{name}.{namespace}.svc")
}

/// Names of the endpoints of a slice with this address: by host name, else by the address itself.
fn endpoint_names(slice: &EndpointSlice, text: &str, address: IpAddr) -> Vec<String> {
    let Some(key) = service_key(slice) else { return Vec::new() };
    let Some((namespace, service)) = key.split_once('/') else { return Vec::new() };
    let matching = slice.endpoints.iter().flatten().filter(|e| e.addresses.iter().any(|a| a == text));
    let label = |e: &SliceEndpoint| e.hostname.clone().unwrap_or_else(|| names::address_label(address));
    matching.map(|e| format!("{}.{}", label(e), under(service, namespace))).collect()
}

fn service_key(slice: &EndpointSlice) -> Option<String> {
    let labels = slice.metadata.labels.as_ref()?;
    let name = labels.get(SERVICE_NAME).filter(|_| !labels.contains_key(MULTICLUSTER))?;
    Some(format!("{}/{name}", slice.metadata.namespace.as_deref()?))
}

/// None for headless services, whose `clusterIP` is the word `None`.
fn cluster_ips(service: &Service) -> Vec<IpAddr> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let all = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in all.filter_map(|text| text.parse().ok()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

fn port(name: Option<&str>, protocol: Option<&str>, number: i32) -> Port {
    Port {
        name: name.unwrap_or_default().to_ascii_lowercase(),
        protocol: protocol.unwrap_or("TCP").to_ascii_lowercase(),
        number: u16::try_from(number).unwrap_or_default(),
    }
}

fn endpoints(slice: &EndpointSlice, unready: bool) -> Vec<Endpoint> {
    let ports: Vec<Port> = slice
        .ports
        .iter()
        .flatten()
        .map(|p| port(p.name.as_deref(), p.protocol.as_deref(), p.port.unwrap_or_default()))
        .collect();
    let ready = |e: &&SliceEndpoint| unready || e.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true);
    let mut found = Vec::new();
    for endpoint in slice.endpoints.iter().flatten().filter(ready) {
        let hostname = endpoint.hostname.clone();
        let addresses = endpoint.addresses.iter().filter_map(|a| a.parse().ok());
        found.extend(addresses.map(|address| Endpoint { address, hostname: hostname.clone(), ports: ports.clone() }));
    }
    found
}
