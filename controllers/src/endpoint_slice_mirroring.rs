//! EndpointSlices for Endpoints that people write by hand, of Services without a selector. Upstream's
//! `pkg/controller/endpointslicemirroring`.
//!
//! Owns the slices that carry its name in their managed-by label. Woken by Endpoints, Services and slices.

use crate::controller::{Controller, Descriptor, Watch};
use crate::endpoint_slice::{ByPorts, Changes, MANAGER_LABEL, PER_SLICE, SERVICE_LABEL, service_of, slices};
use crate::meta::{Meta, Of};
use crate::plan::Plan;
use crate::queue::Key;
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP_LABEL: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// `MirroringMaxEndpointsPerSubset`.
const PER_SUBSET: usize = 1000;

pub(crate) struct Mirroring {
    informers: Informers,
    endpoints: Store<Endpoints>,
    services: Store<Service>,
    slices: Store<EndpointSlice>,
}

pub struct Observed {
    /// Absent when there is nothing to mirror (any more).
    endpoints: Option<Arc<Endpoints>>,
    slices: Vec<Arc<EndpointSlice>>,
}

impl Mirroring {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self {
            informers: informers.clone(),
            endpoints: informers.store(),
            services: informers.store(),
            slices: slices(informers),
        }
    }
}

fn is_mirrored(endpoints: &Endpoints, service: Option<&Service>) -> bool {
    let asked_not_to = endpoints.label(SKIP_LABEL) == Some("true") || endpoints.annotation(LEADER).is_some();
    let by_hand = service.and_then(|service| service.spec.as_ref()).is_some_and(|spec| spec.selector.is_none());
    by_hand && !asked_not_to && !endpoints.terminating()
}

impl Controller for Mirroring {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "endpointslice-mirroring-controller",
            account: "endpointslicemirroring-controller",
            component: "endpoint-slice-mirroring-controller",
            workers: 5,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::own(&self.informers, &self.endpoints),
            Watch::own(&self.informers, &self.services),
            Watch::on(&self.informers, &self.slices, |event| {
                event.latest().and_then(|slice| service_of(slice, MANAGER)).into_iter().collect()
            }),
        ]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let service = self.services.get(&key.namespace, &key.name);
        let endpoints = self.endpoints.get(&key.namespace, &key.name);
        let endpoints = endpoints.filter(|endpoints| is_mirrored(endpoints, service.as_deref()));
        let mut slices = self.slices.by_index(SERVICE_LABEL, &key.to_string());
        slices.retain(|slice| slice.label(MANAGER_LABEL) == Some(MANAGER) && !slice.terminating());
        (endpoints.is_some() || !slices.is_empty()).then_some(Observed { endpoints, slices })
    }

    fn plan(&self, observed: &Observed, _now: Timestamp) -> Plan {
        plan(observed)
    }
}

fn plan(Observed { endpoints, slices }: &Observed) -> Plan {
    let mut plan = Plan::default();
    let Some(endpoints) = endpoints else {
        for slice in slices {
            plan.delete(&**slice);
        }
        return plan;
    };
    let mut changes = Changes::default();
    for address_type in ["IPv4", "IPv6"] {
        let existing: Vec<_> = slices.iter().filter(|slice| slice.address_type == address_type).cloned().collect();
        let desired = desired(endpoints, address_type);
        if desired.is_empty() {
            changes.deleted.extend(existing);
        } else {
            changes.place(existing, desired, |ports| new_slice(endpoints, address_type, ports));
        }
    }
    let mut labels = Of(&endpoints.metadata).labels();
    labels.insert(SERVICE_LABEL.to_owned(), endpoints.name().to_owned());
    labels.insert(MANAGER_LABEL.to_owned(), MANAGER.to_owned());
    changes.write(&labels, None, &mut plan);
    plan
}

fn desired(endpoints: &Endpoints, address_type: &str) -> ByPorts {
    let mut groups = BTreeMap::new();
    for subset in endpoints.subsets.iter().flatten() {
        let endpoints = of_subset(subset, address_type);
        if endpoints.is_empty() {
            continue;
        }
        let ports: Vec<EndpointPort> = subset
            .ports
            .iter()
            .flatten()
            .map(|port| EndpointPort {
                name: Some(port.name.clone().unwrap_or_default()),
                port: Some(port.port),
                protocol: port.protocol.clone(),
                app_protocol: port.app_protocol.clone(),
            })
            .collect();
        let mut texts: Vec<String> = ports.iter().map(|port| serde_json::json!(port).to_string()).collect();
        texts.sort();
        groups.entry(texts.concat()).or_insert_with(|| (ports, Vec::new())).1.extend(endpoints);
    }
    groups
}

fn of_subset(subset: &EndpointSubset, address_type: &str) -> Vec<Endpoint> {
    let endpoint = |address: &EndpointAddress, ready: bool| {
        let ip: IpAddr = address.ip.parse().ok()?;
        (ip.is_ipv6() == (address_type == "IPv6")).then(|| Endpoint {
            addresses: vec![ip.to_string()],
            conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
            hostname: address.hostname.clone(),
            node_name: address.node_name.clone(),
            target_ref: address.target_ref.clone(),
            ..Endpoint::default()
        })
    };
    let ready = subset.addresses.iter().flatten().filter_map(|address| endpoint(address, true));
    let not_ready = subset.not_ready_addresses.iter().flatten().filter_map(|address| endpoint(address, false));
    ready.chain(not_ready).take(PER_SUBSET.max(PER_SLICE)).collect()
}

fn new_slice(endpoints: &Endpoints, address_type: &str, ports: Vec<EndpointPort>) -> EndpointSlice {
    let annotations = endpoints.metadata.annotations.iter().flatten().filter(|(key, _)| *key != LAST_APPLIED);
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", endpoints.name())),
            namespace: endpoints.metadata.namespace.clone(),
            annotations: Some(annotations.map(|(key, value)| (key.clone(), value.clone())).collect()),
            owner_references: Some(vec![crate::meta::controller_reference(endpoints)]),
            ..ObjectMeta::default()
        },
        address_type: address_type.to_owned(),
        ports: Some(ports),
        endpoints: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hand_made_endpoints_are_mirrored_by_family() {
        let endpoints = json!({"metadata": {"name": "s", "namespace": "ns", "uid": "e"}, "subsets": [
            {"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "notReadyAddresses": [{"ip": "10.0.0.2"}], "ports": [{"port": 80, "protocol": "TCP"}]}]});
        let endpoints: Arc<Endpoints> = Arc::new(serde_json::from_value(endpoints).unwrap());
        let told = plan(&Observed { endpoints: Some(endpoints.clone()), slices: vec![] });
        assert_eq!(told.writes.len(), 2);
        let crate::plan::Write::Create { body, .. } = &told.writes[0] else { panic!("no creation") };
        assert_eq!(body["endpoints"][1], json!({"addresses": ["10.0.0.2"], "conditions": {"ready": false}}));
        let made: EndpointSlice = serde_json::from_value(body.clone()).unwrap();
        let gone = plan(&Observed { endpoints: None, slices: vec![Arc::new(made)] });
        assert_eq!(gone.to_string(), "delete endpointslices.discovery.k8s.io ns/");
    }

    #[test]
    fn who_asks_not_to_be_mirrored_is_not() {
        let service: Service = serde_json::from_value(json!({"spec": {}})).unwrap();
        let of = |meta| serde_json::from_value::<Endpoints>(json!({"metadata": meta})).unwrap();
        assert!(is_mirrored(&of(json!({})), Some(&service)));
        assert!(!is_mirrored(&of(json!({"labels": {SKIP_LABEL: "true"}})), Some(&service)));
        assert!(!is_mirrored(&of(json!({"annotations": {LEADER: "x"}})), Some(&service)));
        assert!(!is_mirrored(&of(json!({})), None));
    }
}
