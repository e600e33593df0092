//! Which changes may bring the spread of a rejected pod in order.

use super::constraint::{Constraint, has_all_keys};
use crate::change::Pair;
use crate::pod::{PodInfo, has_node, spec_of};
use k8s_openapi::api::core::v1::{Node, Pod};

fn selects(constraint: &Constraint, pod: &Pod) -> bool {
    constraint.selector.matches(pod.metadata.labels.as_ref())
}

/// A pod came, left or changed its labels.
pub(super) fn pod_helps(pod: &PodInfo, constraints: &[Constraint], pair: &Pair<Pod>) -> bool {
    let counts = |other: &Pod| has_node(other) && other.metadata.namespace == pod.pod.metadata.namespace;
    let states = [pair.before(), pair.after()];
    if states.into_iter().flatten().any(|other| !counts(other)) {
        return false;
    }
    match states {
        [Some(old), Some(new)] => labels_matter(constraints, old, new),
        [Some(one), None] | [None, Some(one)] => constraints.iter().any(|constraint| selects(constraint, one)),
        [None, None] => false,
    }
}

fn labels_matter(constraints: &[Constraint], old: &Pod, new: &Pod) -> bool {
    constraints.iter().any(|constraint| selects(constraint, old) != selects(constraint, new))
}

/// The rejected pod itself changed its labels or tolerations.
pub(super) fn own_change_helps(constraints: &[Constraint], pair: &Pair<Pod>) -> bool {
    let (Some(old), Some(new)) = (pair.before(), pair.after()) else { return true };
    let tolerates_more = spec_of(old).tolerations != spec_of(new).tolerations;
    (tolerates_more && constraints.iter().any(|constraint| constraint.honour_taints))
        || labels_matter(constraints, old, new)
}

/// A node came, went, or changed its labels or taints.
pub(super) fn node_helps(constraints: &[Constraint], pair: &Pair<Node>) -> bool {
    let stands =
        |node: Option<&Node>| node.is_some_and(|node| has_all_keys(node.metadata.labels.as_ref(), constraints));
    let (stood, stands) = (stands(pair.before()), stands(pair.after()));
    let (Some(old), Some(new)) = (pair.before(), pair.after()) else { return stood || stands };
    let value = |node: &Node, key: &str| node.metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
    let taints = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let moved = || constraints.iter().any(|constraint| value(old, &constraint.key) != value(new, &constraint.key));
    stood != stands || (stands && (moved() || taints(old) != taints(new)))
}
