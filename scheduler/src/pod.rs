//! A pod as plugins see it: what they all need, computed once (`pkg/scheduler/framework.PodInfo`).

use crate::node_selection::RequiredNodes;
use crate::resources::{Resources, non_zero_requests, requests, running_containers};
use crate::selection::{Labels, Selector};
use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm, PodSpec, PodStatus, Volume, WeightedPodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
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
    /// The claims that its volumes name, with whether each was made for this pod, in the order of the volumes.
    pub(crate) claims: Vec<(String, bool)>,
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

    /// As [`Self::matches`] where the labels of namespaces are not at hand: none then.
    pub(crate) fn may_match(&self, pod: &Pod) -> bool {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        (self.namespaces.contains(namespace) || self.namespace_selector.matches(None))
            && self.selector.matches(pod.metadata.labels.as_ref())
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
            claims: claims(&pod),
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

    /// A pod on a node: of the object only what other pods are judged by is kept, for there are many.
    pub(crate) fn placed(pod: &Arc<Pod>) -> Self {
        let mut this = Self::new(pod.clone());
        this.pod = Arc::new(kept(pod));
        this
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

    /// Which scheduler it wants.
    pub fn scheduler_name(&self) -> &str {
        let name = self.spec().scheduler_name.as_deref().filter(|name| !name.is_empty());
        name.unwrap_or(crate::config::DEFAULT_SCHEDULER)
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

    /// `namespace/name` of a claim that one of its volumes names.
    pub(crate) fn claim_key(&self, name: &str) -> String {
        format!("{}/{name}", self.namespace())
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

/// Whether the pod counts somewhere: it has a node or room is being made for it.
pub(crate) fn has_node(pod: &Pod) -> bool {
    let set = |text: Option<&String>| text.is_some_and(|text| !text.is_empty());
    set(spec_of(pod).node_name.as_ref())
        || set(pod.status.as_ref().and_then(|status| status.nominated_node_name.as_ref()))
}

/// The claims of the pod's volumes; those of ephemeral volumes have computed names
/// (`k8s.io/component-helpers/storage/ephemeral`).
pub(crate) fn claims(pod: &Pod) -> Vec<(String, bool)> {
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    let named = |volume: &Volume| {
        let plain = volume.persistent_volume_claim.as_ref().map(|source| (source.claim_name.clone(), false));
        plain.or_else(|| volume.ephemeral.as_ref().map(|_| (format!("{pod_name}-{}", volume.name), true)))
    };
    spec_of(pod).volumes.iter().flatten().filter_map(named).collect()
}

fn kept(pod: &Pod) -> Pod {
    let (meta, spec) = (&pod.metadata, spec_of(pod));
    let counts = |volume: &&Volume| {
        volume.persistent_volume_claim.is_some()
            || volume.ephemeral.is_some()
            || volume.gce_persistent_disk.is_some()
            || volume.aws_elastic_block_store.is_some()
            || volume.iscsi.is_some()
            || volume.rbd.is_some()
    };
    let volumes: Vec<_> = spec.volumes.iter().flatten().filter(counts).cloned().collect();
    Pod {
        metadata: ObjectMeta {
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            labels: meta.labels.clone(),
            deletion_timestamp: meta.deletion_timestamp.clone(),
            resource_version: meta.resource_version.clone(),
            generation: meta.generation,
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            node_name: spec.node_name.clone(),
            scheduler_name: spec.scheduler_name.clone(),
            priority: spec.priority,
            volumes: (!volumes.is_empty()).then_some(volumes),
            resource_claims: spec.resource_claims.clone(),
            ..PodSpec::default()
        }),
        status: pod.status.as_ref().map(|status| PodStatus {
            start_time: status.start_time.clone(),
            conditions: status.conditions.clone(),
            nominated_node_name: status.nominated_node_name.clone(),
            phase: status.phase.clone(),
            ..PodStatus::default()
        }),
    }
}

pub(crate) fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
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
