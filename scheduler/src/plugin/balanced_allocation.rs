//! Nodes whose cpu and memory would be used to the same degree are better.

use crate::framework::{ClusterEvent, MAX_NODE_SCORE, Plugin, PreScore, Score};
use crate::pod::PodInfo;
use crate::resources::Resources;
use crate::snapshot::{NodeInfo, Snapshot};
use std::sync::Arc;

pub(crate) struct BalancedAllocation;

impl Plugin for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn woken_by(&self, _: ClusterEvent) -> bool {
        false
    }
}

struct Balance<'a>(&'a Resources);

impl PreScore for BalancedAllocation {
    /// Pods that ask for neither do not change the balance.
    fn pre_score<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot, _: &[Arc<NodeInfo>]) -> Option<Box<dyn Score + 'a>> {
        let asks = pod.requests.of("cpu") != 0 || pod.requests.of("memory") != 0;
        asks.then(|| Box::new(Balance(&pod.requests)) as Box<dyn Score>)
    }
}

impl Score for Balance<'_> {
    /// About 75 when the pod changes nothing, towards 100 when it improves the balance, towards 50 when it worsens it.
    fn score(&self, node: &NodeInfo) -> i64 {
        let balance = |extra: &dyn Fn(&str) -> i64| {
            let fraction = |name: &str| {
                let all = node.allocatable.of(name);
                (all != 0).then(|| ((node.requested.of(name) + extra(name)) as f64 / all as f64).min(1.0))
            };
            let deviation = match (fraction("cpu"), fraction("memory")) {
                (Some(cpu), Some(memory)) => ((cpu - memory) / 2.0).abs(),
                (Some(_) | None, None) | (None, Some(_)) => 0.0,
            };
            ((1.0 - deviation) * MAX_NODE_SCORE as f64) as i64
        };
        let (with, without) = (balance(&|name| self.0.of(name)), balance(&|_| 0));
        MAX_NODE_SCORE / 2 + (MAX_NODE_SCORE / 2 + with - without) / 2
    }
}
