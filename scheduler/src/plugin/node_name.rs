//! A pod that names its node fits there only.

use crate::framework::{ClusterEvent, Plugin, PreFilter, Prepared, Verdict};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};

pub(crate) struct NodeName;

const REASON: &str = "node(s) didn't match the requested node name";

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn woken_by(&self, event: ClusterEvent) -> bool {
        event == ClusterEvent::NodeAdded
    }
}

impl PreFilter for NodeName {
    fn pre_filter<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot) -> Prepared<'a> {
        let Some(wanted) = pod.spec().node_name.as_deref().filter(|name| !name.is_empty()) else {
            return Prepared::Skip;
        };
        let filter = move |node: &NodeInfo| {
            if node.name() == wanted { Verdict::Fits } else { Verdict::unresolvable(REASON) }
        };
        Prepared::Filter(Box::new(filter))
    }
}
