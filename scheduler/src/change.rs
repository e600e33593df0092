//! What happened in the cluster, as plugins are asked about it: may this make a pod schedulable that you rejected?
//! (`k8s.io/kube-scheduler/framework/types.go`, `pkg/scheduler/framework/events.go`). Pure comparisons of two states.

use crate::resources::requests;
use crate::selection::Labels;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceSlice};
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment};
use std::sync::Arc;

/// Which actions a change stands for: upstream sends one event for each, here they are one set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions(u32);

impl Actions {
    pub const ADD: Self = Self(1);
    pub const DELETE: Self = Self(1 << 1);
    pub const NODE_ALLOCATABLE: Self = Self(1 << 2);
    pub const NODE_LABEL: Self = Self(1 << 3);
    pub const NODE_TAINT: Self = Self(1 << 4);
    pub const NODE_CONDITION: Self = Self(1 << 5);
    pub const NODE_ANNOTATION: Self = Self(1 << 6);
    pub const NODE_DECLARED_FEATURE: Self = Self(1 << 7);
    pub const POD_LABEL: Self = Self(1 << 8);
    pub const POD_SCALE_DOWN: Self = Self(1 << 9);
    pub const POD_SCALE_UP: Self = Self(1 << 10);
    pub const POD_TOLERATION: Self = Self(1 << 11);
    pub const POD_GATES_ELIMINATED: Self = Self(1 << 12);
    pub const POD_GENERATED_CLAIM: Self = Self(1 << 13);
    /// Any other update.
    pub const UPDATE: Self = Self(1 << 14);

    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn has(self, any_of: Self) -> bool {
        self.0 & any_of.0 != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn when(self, condition: bool) -> Self {
        if condition { self } else { Self::default() }
    }
}

/// An object before and after; one of both is there.
#[derive(Clone, Debug)]
pub struct Pair<T> {
    pub old: Option<Arc<T>>,
    pub new: Option<Arc<T>>,
}

impl<T> Pair<T> {
    pub fn new(old: Option<Arc<T>>, new: Option<Arc<T>>) -> Self {
        Self { old, new }
    }

    fn life(&self) -> Actions {
        match (&self.old, &self.new) {
            (None, _) => Actions::ADD,
            (Some(_), None) => Actions::DELETE,
            (Some(_), Some(_)) => Actions::UPDATE,
        }
    }

    /// The object as it was, if it was there.
    pub fn before(&self) -> Option<&T> {
        self.old.as_deref()
    }

    /// The object as it is, if it still is.
    pub fn after(&self) -> Option<&T> {
        self.new.as_deref()
    }

    /// The newest state known.
    pub fn latest(&self) -> Option<&T> {
        self.after().or(self.before())
    }
}

/// Which object changed. Pods are told apart by where they stand.
#[derive(Clone, Debug)]
pub enum Changed {
    Node(Pair<Node>),
    /// A pod that counts on a node.
    AssignedPod(Pair<Pod>),
    /// The waiting pod itself.
    TargetPod(Pair<Pod>),
    Claim(Pair<PersistentVolumeClaim>),
    Volume(Pair<PersistentVolume>),
    StorageClass(Pair<StorageClass>),
    CsiNode(Pair<CSINode>),
    CsiDriver(Pair<CSIDriver>),
    CsiStorageCapacity(Pair<CSIStorageCapacity>),
    VolumeAttachment(Pair<VolumeAttachment>),
    ResourceClaim(Pair<ResourceClaim>),
    ResourceSlice(Pair<ResourceSlice>),
    DeviceClass(Pair<DeviceClass>),
}

/// One change of one object.
#[derive(Clone, Debug)]
pub struct Change {
    pub actions: Actions,
    pub object: Changed,
}

impl Change {
    pub fn new(object: Changed) -> Self {
        let actions = match &object {
            Changed::Node(pair) => of_node(pair),
            Changed::AssignedPod(pair) | Changed::TargetPod(pair) => of_pod(pair),
            Changed::Claim(pair) => pair.life(),
            Changed::Volume(pair) => pair.life(),
            Changed::StorageClass(pair) => pair.life(),
            Changed::CsiNode(pair) => pair.life(),
            Changed::CsiDriver(pair) => pair.life(),
            Changed::CsiStorageCapacity(pair) => pair.life(),
            Changed::VolumeAttachment(pair) => pair.life(),
            Changed::ResourceClaim(pair) => pair.life(),
            Changed::ResourceSlice(pair) => pair.life(),
            Changed::DeviceClass(pair) => pair.life(),
        };
        Self { actions, object }
    }

    /// The node's two states, if it is a node that changed in one of these ways.
    pub fn node(&self, actions: Actions) -> Option<&Pair<Node>> {
        match &self.object {
            Changed::Node(pair) if self.actions.has(actions) => Some(pair),
            _ => None,
        }
    }

    /// The assigned pod's two states, if it is one that changed in one of these ways.
    pub fn assigned(&self, actions: Actions) -> Option<&Pair<Pod>> {
        match &self.object {
            Changed::AssignedPod(pair) if self.actions.has(actions) => Some(pair),
            _ => None,
        }
    }

    /// The waiting pod's own two states, if it is that which changed in one of these ways.
    pub fn target(&self, actions: Actions) -> Option<&Pair<Pod>> {
        match &self.object {
            Changed::TargetPod(pair) if self.actions.has(actions) => Some(pair),
            _ => None,
        }
    }
}

fn of_node(pair: &Pair<Node>) -> Actions {
    let (Some(old), Some(new)) = (&pair.old, &pair.new) else { return pair.life() };
    let allocatable = |node: &Node| node.status.as_ref().and_then(|status| status.allocatable.clone());
    let taints = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let cordoned = |node: &Node| node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    let features =
        |node: &Node| node.status.as_ref().and_then(|status| status.declared_features.clone()).unwrap_or_default();
    let conditions = |node: &Node| -> Labels {
        let all = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        all.map(|condition| (condition.type_.clone(), condition.status.clone())).collect()
    };
    let freed = cordoned(old) && !cordoned(new);
    Actions::NODE_ALLOCATABLE
        .when(allocatable(old) != allocatable(new))
        .or(Actions::NODE_LABEL.when(labels(old.metadata.labels.as_ref()) != labels(new.metadata.labels.as_ref())))
        .or(Actions::NODE_TAINT.when(freed || taints(old) != taints(new)))
        .or(Actions::NODE_CONDITION.when(conditions(old) != conditions(new)))
        .or(Actions::NODE_ANNOTATION
            .when(labels(old.metadata.annotations.as_ref()) != labels(new.metadata.annotations.as_ref())))
        .or(Actions::NODE_DECLARED_FEATURE.when(features(old) != features(new)))
}

/// An absent map is an empty one.
fn labels(map: Option<&Labels>) -> Labels {
    map.cloned().unwrap_or_default()
}

fn of_pod(pair: &Pair<Pod>) -> Actions {
    let (Some(old), Some(new)) = (&pair.old, &pair.new) else { return pair.life() };
    let (had, has) = (requests(old), requests(new));
    let less = had.iter().any(|(name, amount)| has.of(name) < amount);
    let more = has.iter().any(|(name, amount)| had.of(name) < amount);
    let gates = |pod: &Pod| {
        pod.spec.as_ref().is_some_and(|spec| spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()))
    };
    let tolerations =
        |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.tolerations.as_ref().map(Vec::len)).unwrap_or(0);
    let claims = |pod: &Pod| {
        let status = pod.status.as_ref();
        (
            status.and_then(|status| status.resource_claim_statuses.clone()).unwrap_or_default(),
            status.and_then(|status| status.extended_resource_claim_status.clone()),
        )
    };
    let actions = Actions::POD_LABEL
        .when(labels(old.metadata.labels.as_ref()) != labels(new.metadata.labels.as_ref()))
        .or(Actions::POD_SCALE_DOWN.when(less))
        .or(Actions::POD_SCALE_UP.when(more))
        .or(Actions::POD_GATES_ELIMINATED.when(gates(old) && !gates(new)))
        .or(Actions::POD_TOLERATION.when(tolerations(old) != tolerations(new)))
        .or(Actions::POD_GENERATED_CLAIM.when(claims(old) != claims(new)));
    if actions.is_empty() { Actions::UPDATE } else { actions }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(value: Value) -> Option<Arc<Pod>> {
        Some(Arc::new(serde_json::from_value(value).unwrap()))
    }

    fn node(value: Value) -> Option<Arc<Node>> {
        Some(Arc::new(serde_json::from_value(value).unwrap()))
    }

    /// Cases of `TestPodSchedulingPropertiesChange`.
    #[test]
    fn changes_of_pods() {
        let asks =
            |cpu: &str| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
        let gated = |gates: Value| json!({"spec": {"containers": [], "schedulingGates": gates}});
        let tolerates = json!({"spec": {"containers": [], "tolerations": [{"key": "foo"}]}});
        let cases = [
            (json!({}), json!({"metadata": {"labels": {"foo": "bar"}}}), Actions::POD_LABEL),
            (asks("2"), asks("1"), Actions::POD_SCALE_DOWN),
            (asks("1"), asks("2"), Actions::POD_SCALE_UP),
            (json!({}), tolerates, Actions::POD_TOLERATION),
            (gated(json!([{"name": "a"}])), gated(json!([])), Actions::POD_GATES_ELIMINATED),
            (gated(json!([{"name": "a"}, {"name": "b"}])), gated(json!([{"name": "a"}])), Actions::UPDATE),
            (json!({}), json!({"metadata": {"annotations": {"a": "b"}}}), Actions::UPDATE),
        ];
        for (old, new, actions) in cases {
            let text = format!("{old} {new}");
            assert_eq!(Change::new(Changed::TargetPod(Pair::new(pod(old), pod(new)))).actions, actions, "{text}");
        }
    }

    /// Cases of `TestNodeSchedulingPropertiesChange`.
    #[test]
    fn changes_of_nodes() {
        let cordoned = |on: bool| json!({"spec": {"unschedulable": on}});
        let ready = |status: &str, beat: &str| json!({"status": {"conditions": [{"type": "Ready", "status": status, "lastHeartbeatTime": beat}]}});
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z");
        let cases = [
            (cordoned(true), cordoned(false), Actions::NODE_TAINT),
            (cordoned(false), cordoned(true), Actions::default()),
            (json!({}), json!({"metadata": {"labels": {"a": "b"}}}), Actions::NODE_LABEL),
            (json!({}), json!({"status": {"allocatable": {"cpu": "1"}}}), Actions::NODE_ALLOCATABLE),
            (json!({}), json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}), Actions::NODE_TAINT),
            (ready("True", early), ready("False", early), Actions::NODE_CONDITION),
            (ready("True", early), ready("True", late), Actions::default()),
            (json!({}), json!({"metadata": {"annotations": {"a": "b"}}}), Actions::NODE_ANNOTATION),
        ];
        for (old, new, actions) in cases {
            let text = format!("{old} {new}");
            assert_eq!(Change::new(Changed::Node(Pair::new(node(old), node(new)))).actions, actions, "{text}");
        }
    }
}
