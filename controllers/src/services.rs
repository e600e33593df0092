//! What Services make of pods: who is behind a Service, at which addresses and ports. Shared by the two endpoint
//! controllers. Upstream's `k8s.io/endpointslice` and `pkg/controller/endpoint`.

use crate::meta::Meta;
use crate::pods;
use crate::queue::Key;
use crate::selector;
use informer::{Event, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::net::IpAddr;
use std::sync::Arc;

pub(crate) const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
pub(crate) const MANAGED_BY_LABEL: &str = "endpoints.kubernetes.io/managed-by";
pub(crate) const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The Services whose pods a change of a pod may concern.
pub(crate) fn wake_by_pod(services: &Store<Service>, event: &Event<Pod>) -> Vec<Key> {
    let Some(pod) = event.latest() else { return Vec::new() };
    let selecting = |service: &Arc<Service>| {
        let wanted = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        wanted.is_some_and(|wanted| {
            event.states().any(|state| selector::map_selects(wanted, state.metadata.labels.as_ref()))
        })
    };
    let services = services.list_in(pod.namespace());
    services.iter().filter(|service| selecting(service)).map(|service| crate::controller::key_of(&**service)).collect()
}

/// The specification of a Service that has its endpoints made from pods: one with a selector that is no alias.
pub(crate) fn selecting(service: &Service) -> Option<&ServiceSpec> {
    let spec = service.spec.as_ref()?;
    (spec.selector.is_some() && spec.type_.as_deref() != Some("ExternalName")).then_some(spec)
}

pub(crate) fn is_headless(spec: &ServiceSpec) -> bool {
    matches!(spec.cluster_ip.as_deref(), None | Some("" | "None"))
}

/// The selected pods of a namespace that have an address and may serve.
pub(crate) fn members(pods: &[Arc<Pod>], spec: &ServiceSpec, with_terminating: bool) -> Vec<Arc<Pod>> {
    let Some(wanted) = &spec.selector else { return Vec::new() };
    let selects = |pod: &Pod| selector::map_selects(wanted, pod.metadata.labels.as_ref()) || wanted.is_empty();
    let serves =
        |pod: &Pod| !pods::is_terminal(pod) && !addresses(pod).is_empty() && (with_terminating || !pod.terminating());
    pods.iter().filter(|pod| selects(pod) && serves(pod)).cloned().collect()
}

/// The pod's addresses, those of other than the canonical form made so.
pub(crate) fn addresses(pod: &Pod) -> Vec<IpAddr> {
    let Some(status) = &pod.status else { return Vec::new() };
    let all: Vec<IpAddr> = status.pod_ips.iter().flatten().filter_map(|ip| ip.ip.parse().ok()).collect();
    if all.is_empty() { status.pod_ip.iter().filter_map(|ip| ip.parse().ok()).collect() } else { all }
}

/// The number of a Service's port on this pod; names are looked up in containers and in sidecars.
pub(crate) fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let spec = pod.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    let protocol = |given: Option<&String>| given.map_or("TCP", String::as_str).to_owned();
    ports
        .filter(|own| {
            own.name.as_ref() == Some(name) && protocol(own.protocol.as_ref()) == protocol(port.protocol.as_ref())
        })
        .map(|own| own.container_port)
        .next()
}

/// The name by which a headless Service's DNS knows this pod.
pub(crate) fn hostname(pod: &Pod, service: &Service) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let belongs = spec.subdomain.as_deref() == Some(service.name()) && pod.namespace() == service.namespace();
    spec.hostname.clone().filter(|hostname| belongs && !hostname.is_empty())
}

pub(crate) fn reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// When the latest of the changes happened that endpoints show: for measuring how long they took to spread.
pub(crate) fn trigger_time(service: &Service, members: &[Arc<Pod>]) -> Timestamp {
    let ready = |pod: &Arc<Pod>| pods::condition(pod, "Ready")?.last_transition_time.as_ref().map(|time| time.0);
    members.iter().filter_map(ready).chain([service.created()]).max().unwrap_or_default()
}
