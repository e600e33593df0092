//! One spread constraint, compiled for one pod.

use crate::pod::PodInfo;
use crate::selection::{Labels, Selector};
use crate::snapshot::NodeInfo;
use crate::taints::has_untolerated;
use k8s_openapi::api::core::v1::TopologySpreadConstraint;

pub(super) struct Constraint {
    pub(super) max_skew: i64,
    pub(super) min_domains: usize,
    pub(super) key: String,
    pub(super) selector: Selector,
    honour_affinity: bool,
    pub(super) honour_taints: bool,
}

impl Constraint {
    /// Fails if the selector cannot be understood.
    pub(super) fn new(given: &TopologySpreadConstraint, pod: &PodInfo) -> Result<Self, String> {
        let mut selector = Selector::parse(given.label_selector.as_ref())?;
        for key in given.match_label_keys.iter().flatten() {
            if let Some(value) = pod.labels().and_then(|labels| labels.get(key)) {
                selector.and(key, value);
            }
        }
        Ok(Self {
            max_skew: i64::from(given.max_skew),
            min_domains: usize::try_from(given.min_domains.unwrap_or(1)).unwrap_or(1),
            key: given.topology_key.clone(),
            selector,
            honour_affinity: given.node_affinity_policy.as_deref() != Some("Ignore"),
            honour_taints: given.node_taints_policy.as_deref() == Some("Honor"),
        })
    }

    /// Whether the node's pods count at all.
    pub(super) fn includes(&self, node: &NodeInfo, pod: &PodInfo) -> bool {
        (!self.honour_affinity || pod.required_nodes.matches(&node.node))
            && (!self.honour_taints || !has_untolerated(node.taints(), pod.spec().tolerations.as_ref()))
    }

    /// How many pods of the namespace are selected on the node. An empty selector counts none.
    pub(super) fn count(&self, node: &NodeInfo, namespace: &str) -> i64 {
        if self.selector.is_empty() {
            return 0;
        }
        let here = node.pods.iter().filter(|pod| !pod.is_terminating() && pod.namespace() == namespace);
        here.filter(|pod| self.selector.matches(pod.labels())).count() as i64
    }
}

/// Whether a node with these labels stands in all topologies.
pub(super) fn has_all_keys(labels: Option<&Labels>, constraints: &[Constraint]) -> bool {
    constraints.iter().all(|constraint| labels.is_some_and(|labels| labels.contains_key(&constraint.key)))
}
