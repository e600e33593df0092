//! Pods that want to be near or far from other pods, and pods that are there and want it of newcomers.

use crate::framework::{ClusterEvent, MAX_NODE_SCORE, Plugin, PreFilter, PreScore, Prepared, Score, Verdict};
use crate::pod::{PodInfo, Term};
use crate::snapshot::{NodeInfo, Snapshot};
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) struct InterPodAffinity;

const AFFINITY: &str = "node(s) didn't match pod affinity rules";
const ANTI_AFFINITY: &str = "node(s) didn't match pod anti-affinity rules";
const EXISTING: &str = "node(s) didn't satisfy existing pods anti-affinity rules";
/// What a required affinity of a pod that is there is worth when a newcomer is scored.
const HARD_POD_AFFINITY_WEIGHT: i64 = 1;

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn woken_by(&self, event: ClusterEvent) -> bool {
        matches!(
            event,
            ClusterEvent::NodeAdded
                | ClusterEvent::NodeChanged
                | ClusterEvent::PodAssigned
                | ClusterEvent::PodFreed
                | ClusterEvent::NamespaceChanged
        )
    }
}

/// Topology key and value -> a number.
type Counts = HashMap<(String, String), i64>;

fn count(counts: &mut Counts, node: &NodeInfo, key: &str, by: i64) {
    if let Some(value) = node.label(key) {
        *counts.entry((key.to_owned(), value.to_owned())).or_default() += by;
    }
}

fn counted(counts: &Counts, node: &NodeInfo, key: &str) -> Option<i64> {
    let value = node.label(key)?;
    counts.get(&(key.to_owned(), value.to_owned())).copied()
}

struct Rules<'a> {
    pod: &'a PodInfo,
    /// Where pods are that match all of the newcomer's affinity terms.
    near: Counts,
    /// Where pods are that match an anti-affinity term of the newcomer.
    far: Counts,
    /// Where pods are whose anti-affinity the newcomer matches.
    existing: Counts,
    /// The newcomer matches its own affinity: it may be the first of its group.
    matches_itself: bool,
}

fn matches_all(terms: &[Term], pod: &PodInfo, snapshot: &Snapshot) -> bool {
    !terms.is_empty() && terms.iter().all(|term| term.matches(pod, &snapshot.namespaces))
}

impl PreFilter for InterPodAffinity {
    fn pre_filter<'a>(&'a self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Prepared<'a> {
        let (near_terms, far_terms) = (&pod.required_affinity, &pod.required_anti_affinity);
        let has_terms = !near_terms.is_empty() || !far_terms.is_empty();
        let (mut near, mut far, mut existing) = (Counts::new(), Counts::new(), Counts::new());
        for node in &snapshot.nodes {
            for other in &node.pods {
                for term in other.required_anti_affinity.iter().filter(|term| term.matches(pod, &snapshot.namespaces)) {
                    count(&mut existing, node, &term.topology_key, 1);
                }
                if !has_terms {
                    continue;
                }
                if matches_all(near_terms, other, snapshot) {
                    for term in near_terms {
                        count(&mut near, node, &term.topology_key, 1);
                    }
                }
                for term in far_terms.iter().filter(|term| term.matches(other, &snapshot.namespaces)) {
                    count(&mut far, node, &term.topology_key, 1);
                }
            }
        }
        if existing.is_empty() && !has_terms {
            return Prepared::Skip;
        }
        let matches_itself = matches_all(near_terms, pod, snapshot);
        let rules = Rules { pod, near, far, existing, matches_itself };
        Prepared::Filter(Box::new(move |node: &NodeInfo| rules.judge(node)))
    }
}

impl Rules<'_> {
    fn judge(&self, node: &NodeInfo) -> Verdict {
        if !self.is_near(node) {
            return Verdict::unresolvable(AFFINITY);
        }
        let terms = &self.pod.required_anti_affinity;
        if terms.iter().any(|term| counted(&self.far, node, &term.topology_key).is_some()) {
            return Verdict::unschedulable(ANTI_AFFINITY);
        }
        if self.existing.keys().any(|(key, value)| node.label(key) == Some(value)) {
            return Verdict::unschedulable(EXISTING);
        }
        Verdict::Fits
    }

    fn is_near(&self, node: &NodeInfo) -> bool {
        let terms = &self.pod.required_affinity;
        // A node without the topology's label is in no topology.
        terms.iter().all(|term| node.label(&term.topology_key).is_some())
            && (terms.iter().all(|term| counted(&self.near, node, &term.topology_key).is_some())
                || (self.near.is_empty() && self.matches_itself))
    }
}

/// Sums of weights by topology.
struct Wishes(Counts);

impl PreScore for InterPodAffinity {
    fn pre_score<'a>(
        &'a self,
        pod: &'a PodInfo,
        snapshot: &'a Snapshot,
        _: &[Arc<NodeInfo>],
    ) -> Option<Box<dyn Score + 'a>> {
        let mut sums = Counts::new();
        let mut apply = |terms: &[Term], about: &PodInfo, node: &NodeInfo, weight: &dyn Fn(&Term) -> i64| {
            for term in terms.iter().filter(|term| term.matches(about, &snapshot.namespaces)) {
                count(&mut sums, node, &term.topology_key, weight(term));
            }
        };
        let wishes = !pod.preferred_affinity.is_empty() || !pod.preferred_anti_affinity.is_empty();
        for node in &snapshot.nodes {
            for other in node.pods.iter().filter(|other| wishes || other.has_affinity()) {
                apply(&pod.preferred_affinity, other, node, &|term| term.weight);
                apply(&pod.preferred_anti_affinity, other, node, &|term| -term.weight);
                apply(&other.required_affinity, pod, node, &|_| HARD_POD_AFFINITY_WEIGHT);
                apply(&other.preferred_affinity, pod, node, &|term| term.weight);
                apply(&other.preferred_anti_affinity, pod, node, &|term| -term.weight);
            }
        }
        (!sums.is_empty()).then(|| Box::new(Wishes(sums)) as Box<dyn Score>)
    }
}

impl Score for Wishes {
    fn score(&self, node: &NodeInfo) -> i64 {
        self.0.iter().filter(|((key, value), _)| node.label(key) == Some(value)).map(|(_, sum)| sum).sum()
    }

    /// The span from the least to the most is stretched over all scores.
    fn normalize(&self, scores: &mut [i64]) {
        let (Some(min), Some(max)) = (scores.iter().copied().min(), scores.iter().copied().max()) else { return };
        for score in scores {
            let share = if max > min { (*score - min) as f64 / (max - min) as f64 } else { 0.0 };
            *score = (MAX_NODE_SCORE as f64 * share) as i64;
        }
    }
}

#[cfg(test)]
#[path = "inter_pod_affinity_tests.rs"]
mod tests;
