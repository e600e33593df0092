//! Two pods cannot have the same port of one node.

use crate::framework::{ClusterEvent, Plugin, PreFilter, Prepared, Verdict};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};

pub(crate) struct NodePorts;

const REASON: &str = "node(s) didn't have free ports for the requested pod ports";

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn woken_by(&self, event: ClusterEvent) -> bool {
        matches!(event, ClusterEvent::NodeAdded | ClusterEvent::PodFreed)
    }
}

impl PreFilter for NodePorts {
    fn pre_filter<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot) -> Prepared<'a> {
        if pod.ports.is_empty() {
            return Prepared::Skip;
        }
        Prepared::Filter(Box::new(|node: &NodeInfo| {
            let mut taken = node.pods.iter().flat_map(|pod| &pod.ports);
            let conflict = taken.any(|taken| pod.ports.iter().any(|wanted| wanted.conflicts(taken)));
            if conflict { Verdict::unschedulable(REASON) } else { Verdict::Fits }
        }))
    }
}
