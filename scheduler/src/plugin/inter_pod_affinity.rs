//! Pods that want to be near or far from other pods, and pods that are there and want it of newcomers.

use crate::change::{Actions, Change, Pair};
use crate::config::args::InterPodAffinityArgs;
use crate::framework::{Filter, MAX_NODE_SCORE, Plugin, PreFilter, PreScore, Prepared, Score, Verdict};
use crate::pod::{PodInfo, Term, has_node};
use crate::snapshot::{NodeInfo, Snapshot};
use k8s_openapi::api::core::v1::{Node, Pod};
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) struct InterPodAffinity {
    /// What a required affinity of a pod that is there is worth when a newcomer is scored.
    hard_weight: i64,
    ignore_wishes_of_others: bool,
}

impl InterPodAffinity {
    pub(crate) fn new(args: &InterPodAffinityArgs) -> Self {
        Self {
            hard_weight: i64::from(args.hard_pod_affinity_weight),
            ignore_wishes_of_others: args.ignore_preferred_terms_of_existing_pods,
        }
    }
}

const AFFINITY: &str = "node(s) didn't match pod affinity rules";
const ANTI_AFFINITY: &str = "node(s) didn't match pod anti-affinity rules";
const EXISTING: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn woken_by(&self, pod: &PodInfo, change: &Change) -> bool {
        if let Some(pair) = change.assigned(Actions::ADD.or(Actions::POD_LABEL).or(Actions::DELETE)) {
            return pod_helps(pod, pair);
        }
        if let Some(pair) = change.node(Actions::ADD.or(Actions::NODE_LABEL)) {
            return pair.after().is_some_and(|new| node_helps(pod, pair.before(), new));
        }
        change.target(Actions::POD_LABEL).is_some()
    }

    fn pre_filter(&self) -> Option<&dyn PreFilter> {
        Some(self)
    }

    fn pre_score(&self) -> Option<&dyn PreScore> {
        Some(self)
    }
}

/// Whether a pod that came, left or changed its labels may let `pod` in.
fn pod_helps(pod: &PodInfo, pair: &Pair<Pod>) -> bool {
    let (near, far) = (&pod.required_affinity, &pod.required_anti_affinity);
    let wanted = |other: &Pod| !near.is_empty() && near.iter().all(|term| term.may_match(other));
    let shunned = |other: &Pod| far.iter().any(|term| term.may_match(other));
    match (pair.before(), pair.after()) {
        (Some(old), Some(new)) => {
            has_node(old) && has_node(new) && ((!wanted(old) && wanted(new)) || (shunned(old) && !shunned(new)))
        }
        (None, Some(new)) => has_node(new) && wanted(new),
        (Some(old), None) => {
            let shuns_us = || {
                let gone = PodInfo::new(Arc::new(old.clone()));
                gone.required_anti_affinity.iter().any(|term| term.may_match(&pod.pod))
            };
            has_node(old) && (shunned(old) || shuns_us())
        }
        (None, None) => false,
    }
}

/// Whether a new node or a node in another topology may take `pod`.
fn node_helps(pod: &PodInfo, old: Option<&Node>, new: &Node) -> bool {
    let value = |node: &Node, key: &str| node.metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
    let Some(old) = old else {
        return pod.required_affinity.iter().any(|term| value(new, &term.topology_key).is_some())
            || !pod.required_anti_affinity.is_empty();
    };
    let moved = |term: &Term| (value(old, &term.topology_key), value(new, &term.topology_key));
    let nearer = |term: &Term| match moved(term) {
        (was, Some(is)) => was != Some(is),
        (_, None) => false,
    };
    let farther = |term: &Term| match moved(term) {
        (Some(was), is) => is != Some(was),
        (None, _) => false,
    };
    pod.required_affinity.iter().any(nearer) || pod.required_anti_affinity.iter().any(farther)
}

/// Topology key -> value -> a number; zeros are not kept.
#[derive(Clone, Default)]
struct Counts(HashMap<String, HashMap<Arc<str>, i64>>);

impl Counts {
    fn add(&mut self, node: &NodeInfo, key: &str, by: i64) {
        let Some(value) = node.label(key) else { return };
        if !self.0.contains_key(key) {
            self.0.insert(key.to_owned(), HashMap::new());
        }
        let Some(values) = self.0.get_mut(key) else { return };
        let count = if let Some(count) = values.get_mut(value) {
            *count += by;
            *count
        } else {
            values.insert(value.into(), by);
            by
        };
        if count == 0 {
            values.remove(value);
            if values.is_empty() {
                self.0.remove(key);
            }
        }
    }

    fn get(&self, node: &NodeInfo, key: &str) -> i64 {
        let value = node.label(key).and_then(|value| self.0.get(key)?.get(value));
        value.copied().unwrap_or(0)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Clone)]
struct Rules<'a> {
    pod: &'a PodInfo,
    snapshot: &'a Snapshot,
    /// Where pods are that match all of the newcomer's affinity terms.
    near: Counts,
    /// Where pods are that match an anti-affinity term of the newcomer.
    far: Counts,
    /// Where pods are whose anti-affinity the newcomer matches.
    existing: Counts,
}

fn matches_all(terms: &[Term], pod: &PodInfo, snapshot: &Snapshot) -> bool {
    !terms.is_empty() && terms.iter().all(|term| term.matches(pod, &snapshot.namespaces))
}

impl PreFilter for InterPodAffinity {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Prepared<'a> {
        let has_terms = !pod.required_affinity.is_empty() || !pod.required_anti_affinity.is_empty();
        let mut rules =
            Rules { pod, snapshot, near: Counts::default(), far: Counts::default(), existing: Counts::default() };
        for node in snapshot.nodes.iter().filter(|node| has_terms || node.with_anti_affinity > 0) {
            for other in &node.pods {
                rules.count(other, node, 1);
            }
        }
        if rules.existing.is_empty() && !has_terms {
            return Prepared::Skip;
        }
        Prepared::Filter(Box::new(rules))
    }
}

impl Rules<'_> {
    fn count(&mut self, other: &PodInfo, node: &NodeInfo, by: i64) {
        let namespaces = &self.snapshot.namespaces;
        for term in other.required_anti_affinity.iter().filter(|term| term.matches(self.pod, namespaces)) {
            self.existing.add(node, &term.topology_key, by);
        }
        if matches_all(&self.pod.required_affinity, other, self.snapshot) {
            for term in &self.pod.required_affinity {
                self.near.add(node, &term.topology_key, by);
            }
        }
        for term in self.pod.required_anti_affinity.iter().filter(|term| term.matches(other, namespaces)) {
            self.far.add(node, &term.topology_key, by);
        }
    }

    fn is_near(&self, node: &NodeInfo) -> bool {
        let terms = &self.pod.required_affinity;
        // A node without the topology's label is in no topology. The first of a group that wants its own kind may go
        // anywhere.
        terms.iter().all(|term| node.label(&term.topology_key).is_some())
            && (terms.iter().all(|term| self.near.get(node, &term.topology_key) > 0)
                || (self.near.is_empty() && matches_all(terms, self.pod, self.snapshot)))
    }
}

impl Filter for Rules<'_> {
    fn filter(&self, node: &NodeInfo) -> Verdict {
        if !self.is_near(node) {
            return Verdict::unresolvable(AFFINITY);
        }
        let terms = &self.pod.required_anti_affinity;
        if terms.iter().any(|term| self.far.get(node, &term.topology_key) > 0) {
            return Verdict::unschedulable(ANTI_AFFINITY);
        }
        if self.existing.0.keys().any(|key| self.existing.get(node, key) > 0) {
            return Verdict::unschedulable(EXISTING);
        }
        Verdict::Fits
    }

    fn fork(&self) -> Option<Box<dyn Filter + '_>> {
        Some(Box::new(self.clone()))
    }

    fn add(&mut self, pod: &PodInfo, node: &NodeInfo) {
        self.count(pod, node, 1);
    }

    fn remove(&mut self, pod: &PodInfo, node: &NodeInfo) {
        self.count(pod, node, -1);
    }
}

/// Sums of weights by topology.
struct Wishes(Counts);

impl PreScore for InterPodAffinity {
    fn scorer<'a>(
        &'a self,
        pod: &'a PodInfo,
        snapshot: &'a Snapshot,
        _: &[Arc<NodeInfo>],
    ) -> Option<Box<dyn Score + 'a>> {
        let wishes = !pod.preferred_affinity.is_empty() || !pod.preferred_anti_affinity.is_empty();
        if self.ignore_wishes_of_others && !wishes {
            return None;
        }
        let mut sums = Counts::default();
        let mut any = false;
        let mut apply = |terms: &[Term], about: &PodInfo, node: &NodeInfo, weight: &dyn Fn(&Term) -> i64| {
            for term in terms.iter().filter(|term| term.matches(about, &snapshot.namespaces)) {
                any |= node.label(&term.topology_key).is_some();
                sums.add(node, &term.topology_key, weight(term));
            }
        };
        for node in snapshot.nodes.iter().filter(|node| wishes || node.with_affinity > 0) {
            for other in node.pods.iter().filter(|other| wishes || other.has_affinity()) {
                apply(&pod.preferred_affinity, other, node, &|term| term.weight);
                apply(&pod.preferred_anti_affinity, other, node, &|term| -term.weight);
                if self.hard_weight > 0 {
                    apply(&other.required_affinity, pod, node, &|_| self.hard_weight);
                }
                apply(&other.preferred_affinity, pod, node, &|term| term.weight);
                apply(&other.preferred_anti_affinity, pod, node, &|term| -term.weight);
            }
        }
        any.then(|| Box::new(Wishes(sums)) as Box<dyn Score>)
    }
}

impl Score for Wishes {
    fn score(&self, node: &NodeInfo) -> i64 {
        self.0.0.keys().map(|key| self.0.get(node, key)).sum()
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
