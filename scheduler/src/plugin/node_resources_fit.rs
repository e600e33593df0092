//! A node must have what the pod asks for; the emptier it stays, the better (`LeastAllocated` over cpu and memory).

use crate::framework::{ClusterEvent, MAX_NODE_SCORE, Plugin, PreFilter, PreScore, Prepared, Score, Verdict};
use crate::pod::PodInfo;
use crate::resources::Resources;
use crate::snapshot::{NodeInfo, Snapshot};
use std::sync::Arc;

pub(crate) struct NodeResourcesFit;

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn woken_by(&self, event: ClusterEvent) -> bool {
        matches!(event, ClusterEvent::NodeAdded | ClusterEvent::NodeChanged | ClusterEvent::PodFreed)
    }
}

impl PreFilter for NodeResourcesFit {
    fn pre_filter<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot) -> Prepared<'a> {
        Prepared::Filter(Box::new(|node: &NodeInfo| fits(&pod.requests, node)))
    }
}

/// Unresolvable if the pod asks for more than the node has when empty.
fn fits(requests: &Resources, node: &NodeInfo) -> Verdict {
    let (mut reasons, mut unresolvable) = (Vec::new(), false);
    if node.pods.len() as i64 + 1 > node.allocatable.of("pods") {
        reasons.push("Too many pods".to_owned());
    }
    // The order is upstream's: what every node has first, then the rest by name.
    let common = ["cpu", "memory", "ephemeral-storage"];
    let rest = requests.iter().map(|(name, _)| name).filter(|name| !common.contains(name));
    for name in common.into_iter().chain(rest) {
        let (wanted, all) = (requests.of(name), node.allocatable.of(name));
        if wanted > 0 && wanted > all - node.requested.of(name) {
            reasons.push(format!("Insufficient {name}"));
            unresolvable |= wanted > all;
        }
    }
    match (reasons.is_empty(), unresolvable) {
        (true, _) => Verdict::Fits,
        (false, true) => Verdict::Unresolvable(reasons),
        (false, false) => Verdict::Unschedulable(reasons),
    }
}

struct LeastAllocated<'a>(&'a Resources);

impl PreScore for NodeResourcesFit {
    fn pre_score<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot, _: &[Arc<NodeInfo>]) -> Option<Box<dyn Score + 'a>> {
        Some(Box::new(LeastAllocated(&pod.non_zero)))
    }
}

impl Score for LeastAllocated<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        let share = |name: &str| {
            let all = node.allocatable.of(name);
            let taken = node.non_zero_requested.of(name) + self.0.of(name);
            (all != 0).then(|| if taken > all { 0 } else { (all - taken) * MAX_NODE_SCORE / all })
        };
        let shares: Vec<i64> = ["cpu", "memory"].into_iter().filter_map(share).collect();
        if shares.is_empty() { 0 } else { shares.iter().sum::<i64>() / shares.len() as i64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod};
    use serde_json::json;

    fn asks(cpu: i64, memory: i64) -> serde_json::Value {
        json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": format!("{cpu}m"), "memory": memory.to_string()}}}]})
    }

    /// `TestEnoughRequests` of upstream's `fit_test.go`: an allocatable of 10m, 20 and 32 pods.
    #[test]
    fn enough_requests() {
        let cases = [
            ("no resources requested always fits", json!({"containers": [{"name": "c"}]}), (10, 20), vec![], false),
            ("too many resources fails", asks(1, 1), (10, 20), vec!["Insufficient cpu", "Insufficient memory"], false),
            (
                "too many resources fails due to init container cpu",
                json!({"containers": asks(1, 1)["containers"], "initContainers": asks(3, 1)["containers"]}),
                (8, 19),
                vec!["Insufficient cpu"],
                false,
            ),
            ("both resources fit", asks(1, 1), (5, 5), vec![], false),
            ("one resource memory fits", asks(2, 1), (9, 5), vec!["Insufficient cpu"], false),
            ("one resource cpu fits", asks(1, 2), (5, 19), vec!["Insufficient memory"], false),
            ("more than the node has", asks(11, 1), (0, 0), vec!["Insufficient cpu"], true),
            (
                "equal edge case for init container",
                json!({"containers": asks(4, 1)["containers"], "initContainers": asks(5, 1)["containers"]}),
                (5, 19),
                vec![],
                false,
            ),
            (
                "a sidecar runs beside the containers",
                json!({"containers": asks(1, 1)["containers"], "initContainers": [{"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "3m"}}}]}),
                (7, 0),
                vec!["Insufficient cpu"],
                false,
            ),
            (
                "overhead counts",
                json!({"containers": asks(1, 1)["containers"], "overhead": {"cpu": "3m"}}),
                (7, 0),
                vec!["Insufficient cpu"],
                false,
            ),
            (
                "what the pod asks for replaces what its containers ask for",
                json!({"containers": asks(9, 1)["containers"], "resources": {"requests": {"cpu": "2m"}}}),
                (8, 0),
                vec![],
                false,
            ),
            (
                "an extended resource that the node lacks",
                json!({"containers": [{"name": "c", "resources": {"requests": {"example.com/aaa": "1"}}}]}),
                (0, 0),
                vec!["Insufficient example.com/aaa"],
                true,
            ),
        ];
        for (name, spec, (cpu, memory), reasons, unresolvable) in cases {
            let mut node = node("n", json!({"status": {"allocatable": {"cpu": "10m", "memory": "20", "pods": "32"}}}));
            node.add(pod("there", asks(cpu, memory)));
            let pod = pod("new", spec);
            let verdict = fits(&pod.requests, &node);
            assert_eq!(verdict.reasons(), reasons, "{name}");
            assert_eq!(matches!(verdict, Verdict::Unresolvable(_)), unresolvable, "{name}");
        }
    }

    /// Cases of `TestLeastAllocatedScoringStrategy`.
    #[test]
    fn least_allocated() {
        let cases = [
            ("nothing scheduled, resources requested", (4000, 10000), (0, 0), (3000, 5000), 37),
            ("requested resources exceed node capacity", (4000, 10000), (0, 0), (5000, 5000), 25),
            ("some pods scheduled", (10000, 20000), (3000, 5000), (3000, 5000), 45),
        ];
        for (name, (cpu, memory), (used_cpu, used_memory), (new_cpu, new_memory), score) in cases {
            let allocatable = json!({"cpu": format!("{cpu}m"), "memory": memory.to_string(), "pods": "9"});
            let mut node = node("n", json!({"status": {"allocatable": allocatable}}));
            if used_cpu > 0 {
                node.add(pod("there", asks(used_cpu, used_memory)));
            }
            assert_eq!(LeastAllocated(&pod("new", asks(new_cpu, new_memory)).non_zero).score(&node), score, "{name}");
        }
    }
}
