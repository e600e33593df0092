//! A pod's status from the host to the tenant, and the conditions that go the other way.
//!
//! The host's kubelet owns the status as the tenant's would. Three things are the tenant's: conditions that its pod
//! names as readiness gates (they go down), conditions that only the tenant's controllers set, and its generation.

use crate::kind::Kind;
use crate::references::Reference;
use crate::scrub::Scrubber;
use crate::step::Step;
use crate::{Config, difference, marks, names};
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
use serde_json::json;
use std::collections::BTreeSet;

/// Conditions that a kubelet sets and takes away (`pkg/kubelet/types/pod_status.go`): where the host shows none, the
/// tenant shows none.
const KUBELETS: [&str; 8] = [
    "PodScheduled",
    "PodReadyToStartContainers",
    "Initialized",
    "ContainersReady",
    "Ready",
    "PodResizePending",
    "PodResizeInProgress",
    "AllContainersRestarting",
];

/// The words of a pod's host copy and what they are in the tenant.
pub(crate) fn scrubber(config: &Config, virt: &Pod, host: &Pod, uses: &BTreeSet<Reference>) -> Scrubber {
    let name = virt.metadata.name.clone().unwrap_or_default();
    let namespace = virt.metadata.namespace.clone().unwrap_or_default();
    let uid = |pod: &Pod| pod.metadata.uid.clone().unwrap_or_default();
    let own = [
        (host.metadata.name.clone().unwrap_or_default(), name),
        (config.host_namespace.clone(), namespace.clone()),
        (uid(host), uid(virt)),
    ];
    let used = uses.iter().map(|(_, name)| (names::host_name(name, &namespace, &config.tenant), name.clone()));
    Scrubber::new(own.into_iter().chain(used))
}

/// The write that brings the tenant pod's status to the host's, if one is needed.
pub(crate) fn up(virt: &Pod, host: &Pod, scrubber: &Scrubber) -> Option<Step> {
    let shown = json!(virt.status.clone().unwrap_or_default());
    let mut wanted = json!(to_virtual(virt, host)?);
    scrubber.messages(&mut wanted);
    let status = difference::merge_patch(&shown, &wanted)?;
    let meta = &virt.metadata;
    let patch = json!({
        "metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version},
        "status": status,
    });
    Some(Step::VirtPatch {
        kind: Kind::Pod,
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        subresource: "status",
        patch,
    })
}

/// The write that shows the tenant's readiness gates to the host's kubelet, if one is needed.
pub(crate) fn gates_down(virt: &Pod, host: &Pod) -> Option<Step> {
    let gates = gates(virt);
    let conditions = |pod: &Pod| pod.status.clone().unwrap_or_default().conditions.unwrap_or_default();
    let wanted: Vec<PodCondition> = conditions(virt)
        .into_iter()
        .filter(|condition| gates.contains(condition.type_.as_str()))
        .map(|condition| PodCondition { observed_generation: None, ..condition })
        .collect();
    let shown = conditions(host);
    let is_shown = |wanted: &PodCondition| {
        shown.iter().any(|shown| {
            (&shown.type_, &shown.status, &shown.reason, &shown.message)
                == (&wanted.type_, &wanted.status, &wanted.reason, &wanted.message)
        })
    };
    if wanted.iter().all(is_shown) {
        return None;
    }
    let meta = &host.metadata;
    let object = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
        "status": {"conditions": wanted},
    });
    Some(Step::HostApplyStatus { kind: Kind::Pod, object })
}

fn gates(virt: &Pod) -> BTreeSet<&str> {
    let gates = virt.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
    gates.map(|gate| gate.condition_type.as_str()).collect()
}

/// The status that the tenant pod should have; `None` before the host has one.
pub(crate) fn to_virtual(virt: &Pod, host: &Pod) -> Option<PodStatus> {
    let host_status = host.status.as_ref()?;
    let virt_status = virt.status.clone().unwrap_or_default();
    let generations = Generations::new(virt, host);
    Some(PodStatus {
        conditions: conditions(virt, &virt_status, host_status, &generations),
        observed_generation: generations.observed(host_status.observed_generation, virt_status.observed_generation),
        nominated_node_name: None,
        resource_claim_statuses: virt_status.resource_claim_statuses,
        extended_resource_claim_status: virt_status.extended_resource_claim_status,
        node_allocatable_resource_claim_statuses: virt_status.node_allocatable_resource_claim_statuses,
        // A kubelet that has not seen the pod yet says nothing, which is no news.
        phase: host_status.phase.clone().or(virt_status.phase),
        ..host_status.clone()
    })
}

fn conditions(
    virt: &Pod,
    virt_status: &PodStatus,
    host_status: &PodStatus,
    generations: &Generations,
) -> Option<Vec<PodCondition>> {
    let gates = gates(virt);
    let before = virt_status.conditions.as_deref().unwrap_or_default();
    let on_host = host_status.conditions.as_deref().unwrap_or_default();
    let find = |type_: &str| before.iter().find(|condition| condition.type_ == type_);
    // Before the host has placed its copy, the tenant's own binding is all there is to say.
    let unplaced = !on_host.iter().any(|condition| condition.type_ == "PodScheduled");
    let mut merged: Vec<PodCondition> = on_host
        .iter()
        .filter(|condition| !gates.contains(condition.type_.as_str()))
        .map(|condition| {
            let known = find(&condition.type_).and_then(|known| known.observed_generation);
            let observed_generation = generations.observed(condition.observed_generation, known);
            PodCondition { observed_generation, ..condition.clone() }
        })
        .collect();
    for condition in before {
        let from_kubelet = KUBELETS.contains(&condition.type_.as_str());
        let kept = !from_kubelet || (unplaced && condition.type_ == "PodScheduled");
        if kept && !merged.iter().any(|merged| merged.type_ == condition.type_) {
            merged.push(condition.clone());
        }
    }
    (!merged.is_empty()).then_some(merged)
}

/// Maps the host's generations to the tenant's: the host copy records which tenant generation its spec realises.
struct Generations {
    host: i64,
    realised: Option<i64>,
}

impl Generations {
    fn new(virt: &Pod, host: &Pod) -> Self {
        // A deletion raises the generation on both sides and is not applied, so it is not in the record.
        let both_terminating = virt.metadata.deletion_timestamp.is_some() && host.metadata.deletion_timestamp.is_some();
        let realised = if both_terminating {
            virt.metadata.generation
        } else {
            marks::annotation(&host.metadata, marks::GENERATION).parse().ok()
        };
        Self { host: host.metadata.generation.unwrap_or_default(), realised }
    }

    /// The tenant generation that corresponds to what the host observed: while the host lags, what was known before.
    fn observed(&self, host_observed: Option<i64>, known: Option<i64>) -> Option<i64> {
        if host_observed? >= self.host { self.realised } else { known }
    }
}

/// Whether the host has ever reported on the pod: without it, a missing host copy means that none was made.
pub(crate) fn has_run(virt: &Pod) -> bool {
    virt.status.as_ref().is_some_and(|status| status.start_time.is_some() || status.host_ip.is_some())
}
