//! A pod as plugins see it: what they all need, computed once (`pkg/scheduler/framework.PodInfo`).

use crate::node_selection::RequiredNodes;
use crate::resources::{Resources, non_zero_requests, requests, running_containers};
use crate::selection::{Labels, Selector};
use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm, PodSpec, WeightedPodAffinityTerm};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

/// The labels of namespaces, by name.
pub(crate) type Namespaces = HashMap<String, Labels>;

/// A pod and what follows from it.
#[derive(Clone, Debug)]
pub struct PodInfo {
    pub pod: Arc<Pod>,
    pub requests: Resources,
    /// For scoring: containers that ask for nothing count a little.
    pub non_zero: Resources,
    pub(crate) ports: Vec<HostPort>,
    pub(crate) required_nodes: RequiredNodes,
    pub(crate) required_affinity: Vec<Term>,
    pub(crate) required_anti_affinity: Vec<Term>,
    pub(crate) preferred_affinity: Vec<Term>,
    pub(crate) preferred_anti_affinity: Vec<Term>,
}

/// A port that a pod occupies on its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    ip: String,
    protocol: String,
    port: i32,
}

impl HostPort {
    /// The wildcard address overlaps with every address.
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        let wildcard = |ip: &str| ip == "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || wildcard(&self.ip) || wildcard(&other.ip))
    }
}

/// A term of pod affinity or anti-affinity.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    selector: Selector,
    namespaces: BTreeSet<String>,
    namespace_selector: Selector,
    pub(crate) topology_key: String,
    /// 0 for required terms.
    pub(crate) weight: i64,
}

impl Term {
    fn new(term: &PodAffinityTerm, namespace: &str, weight: i32) -> Self {
        let mut namespaces: BTreeSet<String> = term.namespaces.iter().flatten().cloned().collect();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.insert(namespace.to_owned());
        }
        Self {
            selector: Selector::new(term.label_selector.as_ref()),
            namespaces,
            namespace_selector: Selector::new(term.namespace_selector.as_ref()),
            topology_key: term.topology_key.clone(),
            weight: i64::from(weight),
        }
    }

    pub(crate) fn matches(&self, pod: &PodInfo, namespaces: &Namespaces) -> bool {
        let namespace = pod.namespace();
        (self.namespaces.contains(namespace) || self.namespace_selector.matches(namespaces.get(namespace)))
            && self.selector.matches(pod.labels())
    }
}

impl PodInfo {
    pub fn new(pod: Arc<Pod>) -> Self {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let spec = spec_of(&pod);
        let affinity = spec.affinity.as_ref();
        let (near, far) =
            (affinity.and_then(|a| a.pod_affinity.as_ref()), affinity.and_then(|a| a.pod_anti_affinity.as_ref()));
        let required = |terms: Option<&Vec<PodAffinityTerm>>| {
            terms.into_iter().flatten().map(|term| Term::new(term, &namespace, 0)).collect()
        };
        let preferred = |terms: Option<&Vec<WeightedPodAffinityTerm>>| {
            let weighted = terms.into_iter().flatten();
            weighted.map(|term| Term::new(&term.pod_affinity_term, &namespace, term.weight)).collect()
        };
        Self {
            requests: requests(&pod),
            non_zero: non_zero_requests(&pod),
            ports: host_ports(spec),
            required_nodes: RequiredNodes::of(spec),
            required_affinity: required(
                near.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()),
            ),
            required_anti_affinity: required(
                far.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()),
            ),
            preferred_affinity: preferred(
                near.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref()),
            ),
            preferred_anti_affinity: preferred(
                far.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref()),
            ),
            pod,
        }
    }

    pub fn spec(&self) -> &PodSpec {
        spec_of(&self.pod)
    }

    pub fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    pub fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub fn uid(&self) -> &str {
        uid_of(&self.pod)
    }

    pub fn labels(&self) -> Option<&Labels> {
        self.pod.metadata.labels.as_ref()
    }

    pub fn priority(&self) -> i32 {
        self.spec().priority.unwrap_or(0)
    }

    pub fn is_terminating(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }

    /// The node that preemption makes room on for this pod.
    pub fn nominated_node(&self) -> Option<&str> {
        self.pod.status.as_ref()?.nominated_node_name.as_deref().filter(|name| !name.is_empty())
    }

    pub(crate) fn has_affinity(&self) -> bool {
        let terms = [
            &self.required_affinity,
            &self.required_anti_affinity,
            &self.preferred_affinity,
            &self.preferred_anti_affinity,
        ];
        terms.iter().any(|terms| !terms.is_empty())
    }
}

pub(crate) fn spec_of(pod: &Pod) -> &PodSpec {
    static EMPTY: LazyLock<PodSpec> = LazyLock::new(PodSpec::default);
    pod.spec.as_ref().unwrap_or(&EMPTY)
}

pub(crate) fn uid_of(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let ports = running_containers(spec).flat_map(|container| container.ports.iter().flatten());
    let taken = ports.filter(|port| port.host_port.is_some_and(|number| number > 0));
    let or = |text: &Option<String>, default: &str| {
        text.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
    };
    let host_port = |port: &k8s_openapi::api::core::v1::ContainerPort| HostPort {
        ip: or(&port.host_ip, "0.0.0.0"),
        protocol: or(&port.protocol, "TCP"),
        port: port.host_port.unwrap_or_default(),
    };
    taken.map(host_port).collect()
}
