//! Pods of one kind spread over zones, nodes and other topologies.

use crate::framework::{ClusterEvent, MAX_NODE_SCORE, Plugin, PreFilter, PreScore, Prepared, Score, Verdict};
use crate::pod::PodInfo;
use crate::selection::Selector;
use crate::snapshot::{NodeInfo, Snapshot};
use crate::taints::has_untolerated;
use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub(crate) struct PodTopologySpread;

const REASON: &str = "node(s) didn't match pod topology spread constraints";
const MISSING_LABEL: &str = "node(s) didn't match pod topology spread constraints (missing required label)";
const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
/// Marks nodes that are left out of the comparison.
const IGNORED: i64 = -1;

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn woken_by(&self, event: ClusterEvent) -> bool {
        matches!(
            event,
            ClusterEvent::NodeAdded | ClusterEvent::NodeChanged | ClusterEvent::PodAssigned | ClusterEvent::PodFreed
        )
    }
}

struct Constraint {
    max_skew: i64,
    min_domains: usize,
    key: String,
    selector: Selector,
    honour_affinity: bool,
    honour_taints: bool,
}

impl Constraint {
    fn new(given: &TopologySpreadConstraint, pod: &PodInfo) -> Self {
        let mut selector = Selector::new(given.label_selector.as_ref());
        for key in given.match_label_keys.iter().flatten() {
            if let Some(value) = pod.labels().and_then(|labels| labels.get(key)) {
                selector.and(key, value);
            }
        }
        Self {
            max_skew: i64::from(given.max_skew),
            min_domains: usize::try_from(given.min_domains.unwrap_or(1)).unwrap_or(1),
            key: given.topology_key.clone(),
            selector,
            honour_affinity: given.node_affinity_policy.as_deref() != Some("Ignore"),
            honour_taints: given.node_taints_policy.as_deref() == Some("Honor"),
        }
    }

    /// Whether the node's pods count at all.
    fn includes(&self, node: &NodeInfo, pod: &PodInfo) -> bool {
        let taints = node.node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
        (!self.honour_affinity || pod.required_nodes.matches(&node.node))
            && (!self.honour_taints || !has_untolerated(taints, pod.spec().tolerations.as_ref()))
    }

    /// How many pods of the namespace are selected on the node. An empty selector counts none.
    fn count(&self, node: &NodeInfo, namespace: &str) -> i64 {
        if self.selector.is_empty() {
            return 0;
        }
        let here = node.pods.iter().filter(|pod| !pod.is_terminating() && pod.namespace() == namespace);
        here.filter(|pod| self.selector.matches(pod.labels())).count() as i64
    }
}

fn constraints(pod: &PodInfo, action: &str) -> Vec<Constraint> {
    let given = pod.spec().topology_spread_constraints.iter().flatten();
    given.filter(|given| given.when_unsatisfiable == action).map(|given| Constraint::new(given, pod)).collect()
}

/// What upstream's system defaults ask for pods that say nothing: a mild spread over zones and nodes.
fn default_constraints(snapshot: &Snapshot) -> Vec<Constraint> {
    let Some(selector) = &snapshot.related.peers else { return Vec::new() };
    let spread = |key: &str, max_skew| Constraint {
        max_skew,
        min_domains: 1,
        key: key.to_owned(),
        selector: selector.clone(),
        honour_affinity: true,
        honour_taints: false,
    };
    vec![spread(HOSTNAME, 3), spread(ZONE, 5)]
}

fn has_all_keys(node: &NodeInfo, constraints: &[Constraint]) -> bool {
    constraints.iter().all(|constraint| node.label(&constraint.key).is_some())
}

struct Spread<'a> {
    pod: &'a PodInfo,
    constraints: Vec<Constraint>,
    /// For each constraint: topology value -> selected pods.
    counts: Vec<HashMap<String, i64>>,
}

impl PreFilter for PodTopologySpread {
    fn pre_filter<'a>(&'a self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Prepared<'a> {
        let constraints = constraints(pod, "DoNotSchedule");
        if constraints.is_empty() {
            return Prepared::Skip;
        }
        let mut counts = vec![HashMap::new(); constraints.len()];
        for node in snapshot.nodes.iter().filter(|node| has_all_keys(node, &constraints)) {
            for (constraint, counts) in constraints.iter().zip(&mut counts) {
                if let Some(value) = node.label(&constraint.key).filter(|_| constraint.includes(node, pod)) {
                    *counts.entry(value.to_owned()).or_default() += constraint.count(node, pod.namespace());
                }
            }
        }
        let spread = Spread { pod, constraints, counts };
        Prepared::Filter(Box::new(move |node: &NodeInfo| spread.judge(node)))
    }
}

impl Spread<'_> {
    fn judge(&self, node: &NodeInfo) -> Verdict {
        for (constraint, counts) in self.constraints.iter().zip(&self.counts) {
            let Some(value) = node.label(&constraint.key) else { return Verdict::unresolvable(MISSING_LABEL) };
            // With fewer domains than wanted, the emptiest one is a domain that is not there yet.
            let enough = counts.len() >= constraint.min_domains;
            let least = if enough { counts.values().copied().min().unwrap_or(i64::from(i32::MAX)) } else { 0 };
            let itself = i64::from(constraint.selector.matches(self.pod.labels()));
            let here = counts.get(value).copied().unwrap_or(0);
            if here + itself - least > constraint.max_skew {
                return Verdict::unschedulable(REASON);
            }
        }
        Verdict::Fits
    }
}

struct Evenness<'a> {
    pod: &'a PodInfo,
    constraints: Vec<Constraint>,
    counts: Vec<HashMap<String, i64>>,
    /// Keeps small topologies from being drowned by large ones.
    weights: Vec<f64>,
    ignored: HashSet<String>,
}

impl PreScore for PodTopologySpread {
    fn pre_score<'a>(
        &'a self,
        pod: &'a PodInfo,
        snapshot: &'a Snapshot,
        feasible: &[Arc<NodeInfo>],
    ) -> Option<Box<dyn Score + 'a>> {
        let own = pod.spec().topology_spread_constraints.iter().flatten().next().is_some();
        let constraints = if own { constraints(pod, "ScheduleAnyway") } else { default_constraints(snapshot) };
        if constraints.is_empty() {
            return None;
        }
        // Nodes without a zone still spread over hostnames by default.
        let usable = |node: &NodeInfo| !own || has_all_keys(node, &constraints);
        let mut counts = vec![HashMap::new(); constraints.len()];
        let mut ignored = HashSet::new();
        for node in feasible {
            if !usable(node) {
                ignored.insert(node.name().to_owned());
                continue;
            }
            for (constraint, counts) in constraints.iter().zip(&mut counts).filter(|(c, _)| c.key != HOSTNAME) {
                counts.insert(node.label(&constraint.key).unwrap_or_default().to_owned(), 0);
            }
        }
        let weight = |(constraint, counts): (&Constraint, &HashMap<String, i64>)| {
            let hosts = feasible.len() - ignored.len();
            let size = if constraint.key == HOSTNAME { hosts } else { counts.len() };
            (size as f64 + 2.0).ln()
        };
        let weights = constraints.iter().zip(&counts).map(weight).collect();
        for node in snapshot.nodes.iter().filter(|node| usable(node)) {
            for (constraint, counts) in constraints.iter().zip(&mut counts) {
                let value = node.label(&constraint.key).unwrap_or_default();
                let Some(sum) = counts.get_mut(value).filter(|_| constraint.includes(node, pod)) else { continue };
                *sum += constraint.count(node, pod.namespace());
            }
        }
        Some(Box::new(Evenness { pod, constraints, counts, weights, ignored }))
    }
}

impl Score for Evenness<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        if self.ignored.contains(node.name()) {
            return IGNORED;
        }
        let each = self.constraints.iter().zip(&self.counts).zip(&self.weights);
        let score: f64 = each
            .filter_map(|((constraint, counts), weight)| {
                let value = node.label(&constraint.key)?;
                let count = if constraint.key == HOSTNAME {
                    constraint.count(node, self.pod.namespace())
                } else {
                    counts.get(value).copied().unwrap_or(0)
                };
                Some(count as f64 * weight + (constraint.max_skew - 1) as f64)
            })
            .sum();
        score.round() as i64
    }

    fn normalize(&self, scores: &mut [i64]) {
        let compared = || scores.iter().copied().filter(|score| *score != IGNORED);
        let (min, max) = (compared().min().unwrap_or(i64::MAX), compared().max().unwrap_or(0));
        for score in scores {
            *score = match (*score, max) {
                (IGNORED, _) => 0,
                (_, 0) => MAX_NODE_SCORE,
                (score, max) => MAX_NODE_SCORE * (max + min - score) / max,
            };
        }
    }
}

#[cfg(test)]
#[path = "pod_topology_spread_tests.rs"]
mod tests;
