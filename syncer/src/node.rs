//! Nodes: the host's, mirrored into the tenant, where the tenant's scheduler sees them.
//!
//! Both sides write to a mirrored node. Per label, annotation, taint and resource the tenant keeps what it changed and
//! follows the host elsewhere ([`merge`]); the base of that comparison is kept on the tenant's node itself, so a restart
//! decides as if nothing had happened. Conditions, addresses and versions are the host's. A node without that record
//! was made by the tenant and is never touched.

mod merge;

use crate::kind::Kind;
use crate::step::{Plan, Step};
use crate::{Config, difference, marks};
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeSpec, NodeStatus, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use merge::{HostState, merged, taint_key};
use serde_json::json;
use std::collections::BTreeMap;

/// Taints that the tenant's own controllers derive from a node's conditions and `unschedulable`.
const DERIVED_TAINTS: &str = "node.kubernetes.io/";
/// Annotations by which the host's own components talk to themselves.
const PRIVATE_ANNOTATIONS: [&str; 7] = [
    "node.alpha.kubernetes.io/",
    "volumes.kubernetes.io/",
    "kubeadm.alpha.kubernetes.io/",
    "csi.volume.kubernetes.io/",
    "kubectl.kubernetes.io/",
    "flannel.alpha.coreos.com/",
    "projectcalico.org/",
];

/// Whether a node of the tenant is a mirror of the host's.
pub(crate) fn is_mirror(virt: &Node) -> bool {
    !marks::annotation(&virt.metadata, marks::HOST_STATE).is_empty()
}

pub(crate) fn plan(config: &Config, virt: Option<&Node>, host: Option<&Node>) -> Plan {
    match (virt, host) {
        (None, Some(host)) => Plan::of(vec![create(config, host)]),
        (Some(virt), None) if is_mirror(virt) => Plan::of(vec![Step::VirtDelete {
            kind: Kind::Node,
            namespace: String::new(),
            name: virt.metadata.name.clone().unwrap_or_default(),
            uid: virt.metadata.uid.clone().unwrap_or_default(),
            grace: None,
        }]),
        (Some(virt), Some(host)) if is_mirror(virt) => Plan::of(update(config, virt, host).into_iter().collect()),
        (Some(_) | None, _) => Plan::nothing(),
    }
}

fn create(config: &Config, host: &Node) -> Step {
    let virt = to_virtual(config, &Node::default(), host);
    Step::VirtCreate { kind: Kind::Node, namespace: String::new(), object: json!(virt) }
}

/// One write at a time, the status first: the record of what both agreed on must not run ahead of it.
fn update(config: &Config, virt: &Node, host: &Node) -> Option<Step> {
    let wanted = to_virtual(config, virt, host);
    let step = |subresource, patch| Step::VirtPatch {
        kind: Kind::Node,
        namespace: String::new(),
        name: virt.metadata.name.clone().unwrap_or_default(),
        subresource,
        patch,
    };
    let meta = &virt.metadata;
    let precondition = json!({"uid": meta.uid, "resourceVersion": meta.resource_version});
    if let Some(status) = difference::merge_patch(&json!(virt.status), &json!(wanted.status)) {
        return Some(step("status", json!({"metadata": precondition, "status": status})));
    }
    let shown = json!({"metadata": {"labels": meta.labels, "annotations": meta.annotations}, "spec": virt.spec});
    let wanted = json!({
        "metadata": {"labels": wanted.metadata.labels, "annotations": wanted.metadata.annotations}, "spec": wanted.spec,
    });
    let mut patch = difference::merge_patch(&shown, &wanted)?;
    patch["metadata"]["uid"] = precondition["uid"].clone();
    patch["metadata"]["resourceVersion"] = precondition["resourceVersion"].clone();
    Some(step("", patch))
}

/// The tenant's node as it should be, given how it is (empty before it exists).
fn to_virtual(config: &Config, virt: &Node, host: &Node) -> Node {
    let state = host_state(config, host);
    let base = HostState::parse(marks::annotation(&virt.metadata, marks::HOST_STATE));
    let shown = HostState {
        labels: virt.metadata.labels.clone().unwrap_or_default(),
        annotations: virt.metadata.annotations.clone().unwrap_or_default(),
        taints: taints(virt),
        capacity: virt.status.as_ref().and_then(|status| status.capacity.clone()).unwrap_or_default(),
        allocatable: virt.status.as_ref().and_then(|status| status.allocatable.clone()).unwrap_or_default(),
        unschedulable: is_unschedulable(virt),
        conditions: Vec::new(),
    };
    let mut annotations = merged(&base.annotations, &state.annotations, &shown.annotations);
    annotations.insert(marks::HOST_STATE.into(), state.to_text());
    let unschedulable =
        if shown.unschedulable == base.unschedulable { state.unschedulable } else { shown.unschedulable };
    let taints: Vec<Taint> = merged(&base.taints, &state.taints, &shown.taints).into_values().collect();
    let host_spec = host.spec.clone().unwrap_or_default();
    let host_status = host.status.clone().unwrap_or_default();
    Node {
        metadata: ObjectMeta {
            name: host.metadata.name.clone(),
            labels: Some(merged(&base.labels, &state.labels, &shown.labels)),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            pod_cidr: host_spec.pod_cidr,
            pod_cidrs: host_spec.pod_cidrs,
            provider_id: host_spec.provider_id,
            taints: (!taints.is_empty()).then_some(taints),
            unschedulable: unschedulable.then_some(true),
            ..virt.spec.clone().unwrap_or_default()
        }),
        status: Some(NodeStatus {
            capacity: Some(merged(&base.capacity, &state.capacity, &shown.capacity)),
            allocatable: Some(merged(&base.allocatable, &state.allocatable, &shown.allocatable)),
            conditions: Some(conditions(virt, &base, host_status.conditions.unwrap_or_default())),
            // Long lists that serve the host's scheduler and attach controller only.
            images: None,
            volumes_attached: None,
            volumes_in_use: None,
            config: None,
            phase: virt.status.as_ref().and_then(|status| status.phase.clone()),
            ..host_status
        }),
    }
}

/// The host's conditions, and those of the tenant's own making.
fn conditions(virt: &Node, base: &HostState, mut on_host: Vec<NodeCondition>) -> Vec<NodeCondition> {
    let shown = virt.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    for condition in shown {
        let was_hosts = base.conditions.contains(&condition.type_);
        if !was_hosts && !on_host.iter().any(|host| host.type_ == condition.type_) {
            on_host.push(condition.clone());
        }
    }
    on_host
}

/// What the host shows of the parts that both sides may change.
fn host_state(config: &Config, host: &Node) -> HostState {
    let status = host.status.clone().unwrap_or_default();
    let annotations = marks::visible_annotations(&host.metadata);
    let is_private = |key: &str| PRIVATE_ANNOTATIONS.iter().any(|prefix| key.starts_with(prefix));
    let is_shown = |taint: &Taint| {
        !taint.key.starts_with(DERIVED_TAINTS)
            && !config.tolerations.iter().any(|toleration| tolerates(toleration, taint))
    };
    HostState {
        labels: marks::visible_labels(&host.metadata),
        annotations: annotations.into_iter().filter(|(key, _)| !is_private(key)).collect(),
        taints: taints(host).into_iter().filter(|(_, taint)| is_shown(taint)).collect(),
        unschedulable: is_unschedulable(host),
        capacity: status.capacity.unwrap_or_default(),
        allocatable: status.allocatable.unwrap_or_default(),
        conditions: status.conditions.unwrap_or_default().into_iter().map(|condition| condition.type_).collect(),
    }
}

fn taints(node: &Node) -> BTreeMap<String, Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    taints.iter().map(|taint| (taint_key(taint), taint.clone())).collect()
}

fn is_unschedulable(node: &Node) -> bool {
    node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false)
}

/// `Toleration.ToleratesTaint` of upstream, without the numeric operators, which the operator does not use here.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    let (effect, key) = (given(&toleration.effect), given(&toleration.key));
    if (!effect.is_empty() && effect != taint.effect) || (!key.is_empty() && key != taint.key) {
        return false;
    }
    match toleration.operator.as_deref() {
        Some("Exists") => true,
        None | Some("" | "Equal") => given(&toleration.value) == given(&taint.value),
        Some(_) => false,
    }
}

/// Whether the host takes the node for alive, so that the tenant's lease is to be renewed.
pub(crate) fn is_alive(host: &Node) -> bool {
    let conditions = host.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status != "Unknown")
}

#[cfg(test)]
#[path = "node/tests.rs"]
mod tests;
