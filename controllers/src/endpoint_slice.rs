//! EndpointSlices of Services with a selector. Upstream's `pkg/controller/endpointslice` over `k8s.io/endpointslice`.
//!
//! Owns the slices that carry its name in their managed-by label. An endpoint that stays keeps its slice, so that a change
//! touches few of them. Woken by Services, their pods, slices, and nodes that appear.

use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::meta::{Meta, Of, controller_reference};
use crate::plan::Plan;
use crate::pods;
use crate::queue::Key;
use crate::semantic;
use crate::services::{self, HEADLESS_LABEL, TRIGGER_TIME};
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{
    Endpoint, EndpointConditions, EndpointHints, EndpointPort, EndpointSlice, ForNode, ForZone,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const SERVICE_LABEL: &str = "kubernetes.io/service-name";
pub(crate) const MANAGER_LABEL: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
pub(crate) const PER_SLICE: usize = 100;

pub(crate) struct EndpointSlices {
    informers: Informers,
    services: Store<Service>,
    pods: Store<Pod>,
    nodes: Store<Node>,
    slices: Store<EndpointSlice>,
}

pub struct Observed {
    service: Arc<Service>,
    pods: Vec<Arc<Pod>>,
    slices: Vec<Arc<EndpointSlice>>,
    nodes: HashMap<String, Arc<Node>>,
}

impl EndpointSlices {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self {
            informers: informers.clone(),
            services: informers.store(),
            pods: pods::store(informers),
            nodes: informers.store(),
            slices: slices(informers),
        }
    }
}

/// The store of slices, indexed by the Service that they belong to.
pub(crate) fn slices(informers: &Informers) -> Store<EndpointSlice> {
    let slices = informers.store::<EndpointSlice>();
    slices.add_index(SERVICE_LABEL, |slice: &EndpointSlice| {
        slice.label(SERVICE_LABEL).map(|service| format!("{}/{service}", slice.namespace())).into_iter().collect()
    });
    slices
}

/// The Service that a slice of this manager belongs to.
pub(crate) fn service_of(slice: &EndpointSlice, manager: &str) -> Option<Key> {
    let service = slice.label(SERVICE_LABEL).filter(|_| slice.label(MANAGER_LABEL) == Some(manager))?;
    Some(Key::new(slice.namespace(), service))
}

impl Controller for EndpointSlices {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "endpointslice-controller",
            account: "endpointslice-controller",
            component: "endpoint-slice-controller",
            workers: 5,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let (by_pod, by_node) = (self.services.clone(), self.services.clone());
        vec![
            Watch::own(&self.informers, &self.services),
            Watch::on(&self.informers, &self.pods, move |event| services::wake_by_pod(&by_pod, event)),
            Watch::on(&self.informers, &self.slices, |event| {
                event
                    .states()
                    .filter_map(|slice| service_of(slice, MANAGER))
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect()
            }),
            // A pod's node may become known after the pod; with the zone of a node the endpoints on it change.
            Watch::on(&self.informers, &self.nodes, move |event| {
                let zone =
                    |node: &Option<Arc<Node>>| node.as_ref().map(|node| node.label(ZONE_LABEL).map(ToOwned::to_owned));
                let changed = zone(&event.old) != zone(&event.new);
                if changed { by_node.list().iter().map(|service| key_of(&**service)).collect() } else { Vec::new() }
            }),
        ]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let service = self.services.get(&key.namespace, &key.name)?;
        let spec = services::selecting(&service)?;
        let pods = services::members(&self.pods.list_in(&key.namespace), spec, true);
        let mut slices = self.slices.by_index(SERVICE_LABEL, &key.to_string());
        slices.retain(|slice| slice.label(MANAGER_LABEL) == Some(MANAGER) && !slice.terminating());
        let names: BTreeSet<&str> = pods.iter().map(|pod| pods::node_name(pod)).collect();
        let nodes = names.iter().filter_map(|name| Some(((*name).to_owned(), self.nodes.get("", name)?))).collect();
        Some(Observed { service, pods, slices, nodes })
    }

    fn plan(&self, observed: &Observed, _now: Timestamp) -> Plan {
        plan(observed)
    }
}

/// A set of ports as something to group by; the order of ports does not matter.
fn port_key(ports: &[EndpointPort]) -> String {
    let mut texts: Vec<String> = ports.iter().map(|port| serde_json::json!(port).to_string()).collect();
    texts.sort();
    texts.concat()
}

/// The identity of an endpoint: its addresses and what they belong to.
fn endpoint_key(endpoint: &Endpoint) -> (Vec<String>, String) {
    (endpoint.addresses.clone(), serde_json::json!(endpoint.target_ref).to_string())
}

fn address_types(service: &Service) -> Vec<&'static str> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let of = |family: &String| if family == "IPv6" { "IPv6" } else { "IPv4" };
    let families: Vec<_> = spec.ip_families.iter().flatten().map(of).collect();
    if !families.is_empty() {
        return families;
    }
    match spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()) {
        Some(ip) => vec![if ip.is_ipv6() { "IPv6" } else { "IPv4" }],
        None => vec!["IPv4", "IPv6"],
    }
}

fn plan(observed: &Observed) -> Plan {
    let Observed { service, slices, .. } = observed;
    let mut plan = Plan::default();
    if service.terminating() {
        return plan;
    }
    let types = address_types(service);
    let owned = |slice: &EndpointSlice| slice.owners().iter().any(|owner| owner.uid == service.uid());
    let mut changes = Changes::default();
    for address_type in &types {
        let of_type: Vec<_> = slices.iter().filter(|slice| slice.address_type == *address_type).cloned().collect();
        let (ours, stale): (Vec<_>, Vec<_>) = of_type.into_iter().partition(|slice| owned(slice));
        changes.deleted.extend(stale);
        let (desired, waiting) = desired(observed, address_type);
        if waiting {
            // The node of a pod is not known yet: its appearance wakes the Service, this is the net below.
            plan.again_after(Duration::from_secs(15));
        }
        let template = |ports: Vec<EndpointPort>| new_slice(service, address_type, ports);
        changes.place(ours, desired, template);
    }
    changes.deleted.extend(slices.iter().filter(|slice| !types.contains(&&*slice.address_type)).cloned());

    let time = services::trigger_time(service, &observed.pods).to_string();
    let labels = labels(service);
    changes.write(&labels, Some(&time), &mut plan);
    plan
}

/// Endpoints by port set; and whether some pod was left out because its node is unknown.
fn desired(observed: &Observed, address_type: &str) -> (ByPorts, bool) {
    let Observed { service, pods, nodes, .. } = observed;
    let mut groups = BTreeMap::new();
    let mut waiting = false;
    let Some(spec) = &service.spec else { return (groups, waiting) };
    let publish_all = spec.publish_not_ready_addresses == Some(true);
    for pod in pods {
        let ports = ports(service, pod);
        let group = groups.entry(port_key(&ports)).or_insert_with(|| (ports, Vec::new()));
        let node = nodes.get(pods::node_name(pod));
        if node.is_none() && !publish_all {
            waiting = true;
            continue;
        }
        let addresses: Vec<String> = services::addresses(pod)
            .into_iter()
            .filter(|ip| ip.is_ipv6() == (address_type == "IPv6"))
            .map(|ip| ip.to_string())
            .collect();
        if addresses.is_empty() {
            continue;
        }
        let (serving, terminating) = (pods::is_ready(pod), pod.terminating());
        let zone = node.and_then(|node| node.label(ZONE_LABEL)).filter(|zone| !zone.is_empty()).map(ToOwned::to_owned);
        let mut endpoint = Endpoint {
            addresses,
            conditions: Some(EndpointConditions {
                ready: Some(publish_all || (serving && !terminating)),
                serving: Some(serving),
                terminating: Some(terminating),
            }),
            hostname: services::hostname(pod, service),
            node_name: Some(pods::node_name(pod).to_owned()).filter(|name| !name.is_empty()),
            target_ref: Some(services::reference(pod)),
            zone,
            ..Endpoint::default()
        };
        endpoint.hints = hints(spec.traffic_distribution.as_deref(), &endpoint);
        group.1.push(endpoint);
    }
    (groups, waiting)
}

/// `trafficDistribution`: where traffic to this endpoint should come from.
fn hints(distribution: Option<&str>, endpoint: &Endpoint) -> Option<EndpointHints> {
    let conditions = endpoint.conditions.as_ref()?;
    conditions.ready.filter(|ready| *ready)?;
    let zone = endpoint.zone.as_ref().map(|name| vec![ForZone { name: name.clone() }]);
    match distribution? {
        "PreferClose" | "PreferSameZone" => zone.map(|zone| EndpointHints { for_zones: Some(zone), for_nodes: None }),
        "PreferSameNode" => {
            let node = endpoint.node_name.as_ref().map(|name| vec![ForNode { name: name.clone() }]);
            (zone.is_some() || node.is_some()).then_some(EndpointHints { for_zones: zone, for_nodes: node })
        }
        _ => None,
    }
}

fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let given = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let port = |port: &k8s_openapi::api::core::v1::ServicePort| {
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(services::target_port(pod, port)?),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            app_protocol: port.app_protocol.clone(),
        })
    };
    given.filter_map(port).collect()
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = Of(&service.metadata).labels();
    labels.remove(HEADLESS_LABEL);
    if service.spec.as_ref().is_none_or(services::is_headless) {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    }
    labels.insert(SERVICE_LABEL.to_owned(), service.name().to_owned());
    labels.insert(MANAGER_LABEL.to_owned(), MANAGER.to_owned());
    labels
}

fn new_slice(service: &Service, address_type: &str, ports: Vec<EndpointPort>) -> EndpointSlice {
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", service.name())),
            namespace: service.metadata.namespace.clone(),
            owner_references: Some(vec![controller_reference(service)]),
            ..ObjectMeta::default()
        },
        address_type: address_type.to_owned(),
        ports: Some(ports),
        endpoints: None,
    }
}

/// Endpoints under a text of the ports that they share, with those ports.
pub(crate) type ByPorts = BTreeMap<String, (Vec<EndpointPort>, Vec<Endpoint>)>;

/// Slices to be written. Also the mirroring controller's.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) created: Vec<EndpointSlice>,
    /// What is there and what it shall be; written if they differ.
    kept: Vec<(Arc<EndpointSlice>, EndpointSlice)>,
    pub(crate) deleted: Vec<Arc<EndpointSlice>>,
}

impl Changes {
    /// Distributes the desired endpoints of one address type over the slices that exist and new ones.
    pub(crate) fn place(
        &mut self,
        existing: Vec<Arc<EndpointSlice>>,
        desired: ByPorts,
        template: impl Fn(Vec<EndpointPort>) -> EndpointSlice,
    ) {
        let mut by_ports: BTreeMap<String, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
        for slice in existing {
            by_ports.entry(port_key(slice.ports.as_deref().unwrap_or_default())).or_default().push(slice);
        }
        let (mut made, mut surplus, mut stays) = (Vec::new(), Vec::new(), 0);
        for (key, (ports, endpoints)) in desired {
            let slices = by_ports.remove(&key).unwrap_or_default();
            let mut left: BTreeMap<_, _> = endpoints.into_iter().map(|e| (endpoint_key(&e), e)).collect();
            let mut filled: Vec<(Arc<EndpointSlice>, Vec<Endpoint>)> = Vec::new();
            for slice in slices {
                let own = slice.endpoints.iter().flatten();
                let kept = own.filter_map(|endpoint| left.remove(&endpoint_key(endpoint))).collect();
                filled.push((slice, kept));
            }
            // Newcomers go where room is, the fullest slice first.
            let mut newcomers: Vec<Endpoint> = left.into_values().collect();
            filled.sort_by_key(|(_, kept)| std::cmp::Reverse(kept.len()));
            for (_, kept) in &mut filled {
                let room = PER_SLICE.saturating_sub(kept.len()).min(newcomers.len());
                kept.extend(newcomers.drain(..room));
            }
            while !newcomers.is_empty() {
                let rest = newcomers.split_off(newcomers.len().min(PER_SLICE));
                let mut slice = template(ports.clone());
                slice.endpoints = Some(std::mem::replace(&mut newcomers, rest));
                made.push(slice);
            }
            for (slice, kept) in filled {
                if kept.is_empty() {
                    surplus.push(slice);
                } else {
                    let mut new = (*slice).clone();
                    new.endpoints = Some(kept);
                    self.kept.push((slice, new));
                    stays += 1;
                }
            }
        }
        surplus.extend(by_ports.into_values().flatten());
        if stays == 0 && made.is_empty() {
            // A Service without endpoints has an empty slice, so that it can be told from one not yet seen.
            let empty = |slice: &EndpointSlice| {
                slice.ports.as_ref().is_none_or(Vec::is_empty) && slice.endpoints.as_ref().is_none_or(Vec::is_empty)
            };
            match surplus.iter().position(|slice| empty(slice)) {
                Some(index) => {
                    let slice = surplus.remove(index);
                    self.kept.push((slice.clone(), (*slice).clone()));
                }
                None => made.push(template(Vec::new())),
            }
        }
        // A slice that would be deleted while another is made becomes the other.
        while !made.is_empty() && !surplus.is_empty() {
            if let (Some(new), Some(slice)) = (made.pop(), surplus.pop()) {
                let mut reused = (*slice).clone();
                reused.ports = new.ports;
                reused.endpoints = new.endpoints;
                self.kept.push((slice, reused));
            }
        }
        self.created.extend(made);
        self.deleted.extend(surplus);
    }

    pub(crate) fn write(self, labels: &BTreeMap<String, String>, time: Option<&str>, plan: &mut Plan) {
        let stamp = |slice: &mut EndpointSlice| {
            let annotations = slice.metadata.annotations.get_or_insert_default();
            match time {
                Some(time) => annotations.insert(TRIGGER_TIME.to_owned(), time.to_owned()),
                None => annotations.remove(TRIGGER_TIME),
            };
        };
        for mut slice in self.created {
            slice.metadata.labels = Some(labels.clone());
            stamp(&mut slice);
            plan.create(&slice);
        }
        for (old, mut new) in self.kept {
            new.metadata.labels = Some(labels.clone());
            if !semantic::equal(&comparable(&old), &comparable(&new)) {
                stamp(&mut new);
                plan.update(&new);
            }
        }
        for slice in self.deleted {
            plan.delete(&*slice);
        }
    }
}

fn comparable(slice: &EndpointSlice) -> Value {
    serde_json::json!({"ports": slice.ports, "endpoints": slice.endpoints, "labels": slice.metadata.labels})
}

#[cfg(test)]
#[path = "endpoint_slice_tests.rs"]
mod tests;
