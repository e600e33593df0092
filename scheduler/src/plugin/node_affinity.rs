//! `nodeSelector` and node affinity: which nodes a pod must have and which it would like.

use crate::change::{Actions, Change};
use crate::framework::{Plugin, PreFilter, PreScore, Prepared, Score, Verdict, normalize_by_max};
use crate::node_selection::{Term, any_matches, preferred, terms};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};
use k8s_openapi::api::core::v1::{Node, NodeAffinity as Affinity, NodeSelectorTerm, PodSpec};
use std::collections::BTreeSet;
use std::sync::Arc;

/// With what the scheduler itself demands of all its pods (`NodeAffinityArgs.addedAffinity`).
#[derive(Default)]
pub(crate) struct NodeAffinity {
    enforced: Option<Vec<Term>>,
    added: Vec<(i64, Term)>,
}

const REASON: &str = "node(s) didn't match Pod's node affinity/selector";
const ENFORCED: &str = "node(s) didn't match scheduler-enforced node affinity";
const CONFLICT: &str = "pod affinity terms conflict";

impl NodeAffinity {
    pub(crate) fn new(added: Option<&Affinity>) -> Self {
        let required = added.and_then(|added| added.required_during_scheduling_ignored_during_execution.as_ref());
        let wished = added.and_then(|added| added.preferred_during_scheduling_ignored_during_execution.as_deref());
        Self { enforced: required.map(terms), added: preferred(wished.unwrap_or_default()) }
    }

    fn allows(&self, node: &Node) -> bool {
        self.enforced.as_ref().is_none_or(|terms| any_matches(terms, node))
    }
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn woken_by(&self, pod: &PodInfo, change: &Change) -> bool {
        let Some(pair) = change.node(Actions::ADD.or(Actions::NODE_LABEL)) else { return false };
        let matches = |node: &Node| pod.required_nodes.matches(node);
        pair.after().is_some_and(|node| self.allows(node) && matches(node)) && !pair.before().is_some_and(matches)
    }

    fn pre_filter(&self) -> Option<&dyn PreFilter> {
        Some(self)
    }

    fn pre_score(&self) -> Option<&dyn PreScore> {
        Some(self)
    }
}

fn affinity(spec: &PodSpec) -> Option<&Affinity> {
    spec.affinity.as_ref()?.node_affinity.as_ref()
}

/// The nodes that the terms name in `metadata.name`, if every term names some. Terms are alternatives, the
/// requirements of one term are not.
fn named(terms: &[NodeSelectorTerm]) -> Option<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for term in terms {
        let by_name = term.match_fields.iter().flatten().filter(|f| f.key == "metadata.name" && f.operator == "In");
        let sets = by_name.map(|field| field.values.iter().flatten().cloned().collect::<BTreeSet<String>>());
        all.extend(sets.reduce(|a, b| a.intersection(&b).cloned().collect())?);
    }
    (!terms.is_empty()).then_some(all)
}

impl PreFilter for NodeAffinity {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot) -> Prepared<'a> {
        if pod.required_nodes.is_empty() && self.enforced.is_none() {
            return Prepared::Skip;
        }
        let filter = Box::new(|node: &NodeInfo| {
            if !self.allows(&node.node) {
                Verdict::unresolvable(ENFORCED)
            } else if pod.required_nodes.matches(&node.node) {
                Verdict::Fits
            } else {
                Verdict::unresolvable(REASON)
            }
        });
        let required =
            affinity(pod.spec()).and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        match required.and_then(|required| named(&required.node_selector_terms)) {
            Some(nodes) if nodes.is_empty() => Prepared::Rejected(CONFLICT.to_owned()),
            Some(nodes) => Prepared::Narrowed(filter, nodes),
            None => Prepared::Filter(filter),
        }
    }
}

struct Preferred<'a>(Vec<(i64, Term)>, &'a [(i64, Term)]);

impl PreScore for NodeAffinity {
    fn scorer<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot, _: &[Arc<NodeInfo>]) -> Option<Box<dyn Score + 'a>> {
        let own = affinity(pod.spec()).and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_deref());
        if own.is_none_or(<[_]>::is_empty) && self.added.is_empty() {
            return None;
        }
        Some(Box::new(Preferred(preferred(own.unwrap_or_default()), &self.added)))
    }
}

impl Score for Preferred<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        let all = self.0.iter().chain(self.1);
        all.filter(|(_, term)| term.matches(&node.node)).map(|(weight, _)| weight).sum()
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_by_max(scores, false);
    }
}
