//! A pod that names its node fits there only.

use crate::change::{Actions, Change};
use crate::framework::{Plugin, PreFilter, Prepared, Verdict};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};

pub(crate) struct NodeName;

const REASON: &str = "node(s) didn't match the requested node name";

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn woken_by(&self, _: &PodInfo, change: &Change) -> bool {
        change.node(Actions::ADD).is_some()
    }

    fn pre_filter(&self) -> Option<&dyn PreFilter> {
        Some(self)
    }
}

impl PreFilter for NodeName {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot) -> Prepared<'a> {
        let Some(wanted) = pod.spec().node_name.as_deref().filter(|name| !name.is_empty()) else {
            return Prepared::Skip;
        };
        let filter = move |node: &NodeInfo| {
            if node.name() == wanted { Verdict::Fits } else { Verdict::unresolvable(REASON) }
        };
        Prepared::Narrowed(Box::new(filter), [wanted.to_owned()].into())
    }
}
