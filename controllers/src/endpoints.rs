//! Endpoints of Services with a selector: the older of the two forms. Upstream's `pkg/controller/endpoint`.
//!
//! Owns the Endpoints object of the Service's name. Never touches Endpoints of Services without a selector. Woken by
//! Services, their pods, and Endpoints that others change.

use crate::controller::{Controller, Descriptor, Watch};
use crate::meta::{Meta, Of};
use crate::plan::Plan;
use crate::pods;
use crate::queue::Key;
use crate::semantic;
use crate::services::{self, HEADLESS_LABEL, MANAGED_BY_LABEL, TRIGGER_TIME};
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// More addresses than this are cut off; EndpointSlices have them all.
const CAPACITY: usize = 1000;

pub(crate) struct EndpointsController {
    informers: Informers,
    services: Store<Service>,
    pods: Store<Pod>,
    endpoints: Store<Endpoints>,
}

pub enum Observed {
    /// The Service is gone and its Endpoints, made by this controller, are not.
    Gone(Arc<Endpoints>),
    Serving {
        service: Arc<Service>,
        pods: Vec<Arc<Pod>>,
        current: Option<Arc<Endpoints>>,
    },
}

impl EndpointsController {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self {
            informers: informers.clone(),
            services: informers.store(),
            pods: pods::store(informers),
            endpoints: informers.store(),
        }
    }
}

impl Controller for EndpointsController {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor { name: "endpoints-controller", account: MANAGER, component: MANAGER, workers: 5 }
    }

    fn watches(&self) -> Vec<Watch> {
        let services = self.services.clone();
        vec![
            Watch::own(&self.informers, &self.services),
            Watch::on(&self.informers, &self.pods, move |event| services::wake_by_pod(&services, event)),
            Watch::own(&self.informers, &self.endpoints),
        ]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let current = self.endpoints.get(&key.namespace, &key.name);
        let Some(service) = self.services.get(&key.namespace, &key.name) else {
            let ours = |endpoints: &Endpoints| endpoints.label(MANAGED_BY_LABEL) == Some(MANAGER);
            return Some(Observed::Gone(current.filter(|endpoints| ours(endpoints))?));
        };
        services::selecting(&service)?;
        Some(Observed::Serving { service, pods: self.pods.list_in(&key.namespace), current })
    }

    fn plan(&self, observed: &Observed, _now: Timestamp) -> Plan {
        match observed {
            Observed::Gone(endpoints) => {
                let mut plan = Plan::default();
                plan.delete(&**endpoints);
                plan
            }
            Observed::Serving { service, pods, current } => plan(service, pods, current.as_deref()),
        }
    }
}

fn plan(service: &Service, pods: &[Arc<Pod>], current: Option<&Endpoints>) -> Plan {
    let mut plan = Plan::default();
    let Some(spec) = services::selecting(service) else { return plan };
    let publish_all = spec.publish_not_ready_addresses == Some(true);
    let members = services::members(pods, spec, publish_all);
    let (subsets, truncated) = truncate(subsets(service, &members));

    let mut labels = Of(&service.metadata).labels();
    labels.remove(HEADLESS_LABEL);
    if services::is_headless(spec) {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGER.to_owned());

    let mut wanted = current.cloned().unwrap_or_else(|| Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            ..ObjectMeta::default()
        },
        subsets: None,
    });
    wanted.subsets = Some(subsets);
    wanted.metadata.labels = Some(labels);
    let annotations = wanted.metadata.annotations.get_or_insert_default();
    if truncated {
        annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    } else {
        annotations.remove(OVER_CAPACITY);
    }
    if current.is_some_and(|current| semantic::equal(&comparable(current), &comparable(&wanted))) {
        return plan;
    }
    let time = services::trigger_time(service, &members).to_string();
    wanted.metadata.annotations.get_or_insert_default().insert(TRIGGER_TIME.to_owned(), time);
    if current.is_some() {
        plan.update(&wanted);
    } else {
        plan.create(&wanted);
    }
    plan
}

/// What a difference in calls for a write: revisions of pods and the trigger time do not.
fn comparable(endpoints: &Endpoints) -> serde_json::Value {
    let mut subsets = json!(endpoints.subsets);
    for subset in subsets.as_array_mut().into_iter().flatten() {
        for field in ["addresses", "notReadyAddresses"] {
            for address in subset[field].as_array_mut().into_iter().flatten() {
                if let Some(reference) = address["targetRef"].as_object_mut() {
                    reference.remove("resourceVersion");
                }
            }
        }
    }
    let truncated = endpoints.annotation(OVER_CAPACITY);
    json!({"subsets": subsets, "labels": endpoints.metadata.labels, "truncated": truncated})
}

type Ports = Vec<(String, i32, String, Option<String>)>;

/// Addresses grouped by the ports that they share (`RepackSubsets`).
fn subsets(service: &Service, members: &[Arc<Pod>]) -> Vec<EndpointSubset> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let publish_all = spec.publish_not_ready_addresses == Some(true);
    let mut groups: BTreeMap<Ports, (Vec<EndpointAddress>, Vec<EndpointAddress>)> = BTreeMap::new();
    for pod in members {
        let Some(ip) = address(service, pod) else { continue };
        let ports: BTreeSet<_> = spec
            .ports
            .iter()
            .flatten()
            .filter_map(|port| {
                let number = services::target_port(pod, port)?;
                let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
                Some((port.name.clone().unwrap_or_default(), number, protocol, port.app_protocol.clone()))
            })
            .collect();
        if ports.is_empty() && !(spec.ports.as_ref().is_none_or(Vec::is_empty) && services::is_headless(spec)) {
            continue;
        }
        let address = EndpointAddress {
            ip: ip.to_string(),
            hostname: services::hostname(pod, service),
            node_name: Some(pods::node_name(pod).to_owned()),
            target_ref: Some(services::reference(pod)),
        };
        let group = groups.entry(ports.into_iter().collect()).or_default();
        if publish_all || pods::is_ready(pod) { group.0.push(address) } else { group.1.push(address) }
    }
    groups.into_iter().map(|(ports, (ready, not_ready))| subset(ports, ready, not_ready)).collect()
}

fn subset(ports: Ports, mut ready: Vec<EndpointAddress>, mut not_ready: Vec<EndpointAddress>) -> EndpointSubset {
    let order = |address: &EndpointAddress| {
        (address.ip.clone(), address.target_ref.as_ref().and_then(|reference| reference.uid.clone()))
    };
    ready.sort_by_key(order);
    not_ready.sort_by_key(order);
    let ports = ports.into_iter().map(|(name, port, protocol, app_protocol)| EndpointPort {
        name: Some(name).filter(|name| !name.is_empty()),
        port,
        protocol: Some(protocol),
        app_protocol,
    });
    EndpointSubset { addresses: Some(ready), not_ready_addresses: Some(not_ready), ports: Some(ports.collect()) }
}

/// The pod's address of the Service's first family.
fn address(service: &Service, pod: &Pod) -> Option<IpAddr> {
    let spec = service.spec.as_ref()?;
    let families = spec.ip_families.as_deref().unwrap_or_default();
    let of_cluster_ip = spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
    let addresses = services::addresses(pod);
    let six = match families.first() {
        Some(family) => family == "IPv6",
        None => of_cluster_ip.or(addresses.first().copied()).is_some_and(|ip| ip.is_ipv6()),
    };
    addresses.into_iter().find(|ip| ip.is_ipv6() == six)
}

/// Cuts to capacity: ready addresses stay before others, each subset gives in proportion.
fn truncate(mut subsets: Vec<EndpointSubset>) -> (Vec<EndpointSubset>, bool) {
    let count = |field: fn(&EndpointSubset) -> &Option<Vec<EndpointAddress>>, subsets: &[EndpointSubset]| -> usize {
        subsets.iter().map(|subset| field(subset).as_ref().map_or(0, Vec::len)).sum()
    };
    let ready = count(|subset| &subset.addresses, &subsets);
    let not_ready = count(|subset| &subset.not_ready_addresses, &subsets);
    if ready + not_ready <= CAPACITY {
        return (subsets, false);
    }
    let cut_ready = ready > CAPACITY;
    let (room, total) = if cut_ready { (CAPACITY, ready) } else { (CAPACITY - ready, not_ready) };
    let mut left = room;
    for subset in &mut subsets {
        if cut_ready {
            subset.not_ready_addresses = None;
        }
        let field = if cut_ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        let Some(addresses) = field else { continue };
        let share = (addresses.len() * room).div_ceil(total).min(left);
        addresses.truncate(share);
        left -= addresses.len();
    }
    (subsets, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::testing::{merge, pod, ready};
    use serde_json::Value;

    fn service(more: Value) -> Service {
        let mut tree = json!({"metadata": {"name": "s", "namespace": "ns", "uid": "s", "labels": {"l": "1"}},
            "spec": {"selector": {"app": "a"}, "clusterIP": "10.0.0.1", "ports": [{"name": "http", "port": 80, "targetPort": "web"}]}});
        merge(&mut tree, more);
        serde_json::from_value(tree).unwrap()
    }

    fn backend(name: &str, ip: &str, more: Value) -> Arc<Pod> {
        let mut tree = json!({"metadata": {"labels": {"app": "a"}}, "status": {"podIPs": [{"ip": ip}]},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}]}});
        merge(&mut tree, more);
        pod(name, tree)
    }

    fn text(subsets: &[EndpointSubset]) -> Vec<String> {
        let ips = |list: &Option<Vec<EndpointAddress>>| {
            list.iter().flatten().map(|a| a.ip.clone()).collect::<Vec<_>>().join(",")
        };
        let ports =
            |s: &EndpointSubset| s.ports.iter().flatten().map(|p| p.port.to_string()).collect::<Vec<_>>().join(",");
        subsets
            .iter()
            .map(|s| format!("{} ready[{}] not[{}]", ports(s), ips(&s.addresses), ips(&s.not_ready_addresses)))
            .collect()
    }

    #[test]
    fn addresses_are_grouped_by_readiness_and_ports() {
        let other = json!({"spec": {"containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 9090}]}]}});
        let mut other_ready = ready("2024-01-01T00:00:00Z");
        merge(&mut other_ready, other);
        let pods = vec![
            backend("a", "10.1.0.2", ready("2024-01-01T00:00:00Z")),
            backend("b", "10.1.0.1", ready("2024-01-01T00:00:00Z")),
            backend("c", "10.1.0.3", json!({})),
            backend("d", "10.1.0.4", other_ready),
            backend("gone", "10.1.0.5", json!({"metadata": {"deletionTimestamp": "2024-01-01T00:00:00Z"}})),
            backend("done", "10.1.0.6", json!({"status": {"phase": "Succeeded"}})),
        ];
        let service = service(json!({}));
        let members = services::members(&pods, service.spec.as_ref().unwrap(), false);
        assert_eq!(
            text(&subsets(&service, &members)),
            ["8080 ready[10.1.0.1,10.1.0.2] not[10.1.0.3]", "9090 ready[10.1.0.4] not[]"]
        );
    }

    #[test]
    fn a_service_gets_its_endpoints_once() {
        let service = service(json!({"spec": {"clusterIP": "None"}}));
        let pods = vec![backend("a", "10.1.0.2", json!({}))];
        let first = plan(&service, &pods, None);
        assert_eq!(first.to_string(), "create endpoints ns/s");
        let crate::plan::Write::Create { body, .. } = &first.writes[0] else { panic!("no creation") };
        assert_eq!(body["metadata"]["labels"], json!({"l": "1", HEADLESS_LABEL: "", MANAGED_BY_LABEL: MANAGER}));
        let made: Endpoints = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(plan(&service, &pods, Some(&made)), Plan::default());
        assert_eq!(plan(&service, &[], Some(&made)).to_string(), "update endpoints ns/s");
    }

    #[test]
    fn a_named_port_that_a_pod_lacks_leaves_it_out() {
        let bare = backend("a", "10.1.0.2", json!({"spec": {"containers": [{"name": "c"}]}}));
        assert_eq!(text(&subsets(&service(json!({})), &[bare])), [""; 0]);
    }
}
