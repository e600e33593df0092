//! Cordoned nodes take only pods that tolerate the taint of that meaning.

use crate::framework::{ClusterEvent, Plugin, PreFilter, Prepared, Verdict};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};
use crate::taints::tolerates;
use k8s_openapi::api::core::v1::Taint;

pub(crate) struct NodeUnschedulable;

const REASON: &str = "node(s) were unschedulable";

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn woken_by(&self, event: ClusterEvent) -> bool {
        matches!(event, ClusterEvent::NodeAdded | ClusterEvent::NodeChanged)
    }
}

impl PreFilter for NodeUnschedulable {
    fn pre_filter<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot) -> Prepared<'a> {
        let key = "node.kubernetes.io/unschedulable".to_owned();
        let taint = Taint { key, effect: "NoSchedule".to_owned(), ..Taint::default() };
        if pod.spec().tolerations.iter().flatten().any(|toleration| tolerates(toleration, &taint)) {
            return Prepared::Skip;
        }
        Prepared::Filter(Box::new(|node: &NodeInfo| {
            let cordoned = node.node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true));
            if cordoned { Verdict::unresolvable(REASON) } else { Verdict::Fits }
        }))
    }
}
