//! `nodeSelector` and node affinity: which nodes a pod must have and which it would like.

use crate::framework::{ClusterEvent, Plugin, PreFilter, PreScore, Prepared, Score, Verdict, normalize_by_max};
use crate::node_selection::{Term, preferred};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};
use k8s_openapi::api::core::v1::{NodeAffinity as Affinity, NodeSelectorTerm, PodSpec};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) struct NodeAffinity;

const REASON: &str = "node(s) didn't match Pod's node affinity/selector";
const CONFLICT: &str = "pod affinity terms conflict";

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn woken_by(&self, event: ClusterEvent) -> bool {
        matches!(event, ClusterEvent::NodeAdded | ClusterEvent::NodeChanged)
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
    fn pre_filter<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot) -> Prepared<'a> {
        if pod.required_nodes.is_empty() {
            return Prepared::Skip;
        }
        let filter = Box::new(|node: &NodeInfo| {
            if pod.required_nodes.matches(&node.node) { Verdict::Fits } else { Verdict::unresolvable(REASON) }
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

struct Preferred(Vec<(i64, Term)>);

impl PreScore for NodeAffinity {
    fn pre_score<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot, _: &[Arc<NodeInfo>]) -> Option<Box<dyn Score + 'a>> {
        let terms = affinity(pod.spec())?.preferred_during_scheduling_ignored_during_execution.as_ref()?;
        (!terms.is_empty()).then(|| Box::new(Preferred(preferred(terms))) as Box<dyn Score>)
    }
}

impl Score for Preferred {
    fn score(&self, node: &NodeInfo) -> i64 {
        self.0.iter().filter(|(_, term)| term.matches(&node.node)).map(|(weight, _)| weight).sum()
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_by_max(scores, false);
    }
}
