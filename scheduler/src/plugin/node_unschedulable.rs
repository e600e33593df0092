//! Cordoned nodes take only pods that tolerate the taint of that meaning.

use crate::change::{Actions, Change};
use crate::framework::{Plugin, PreFilter, Prepared, Verdict};
use crate::pod::{PodInfo, spec_of};
use crate::snapshot::{NodeInfo, Snapshot};
use crate::taints::tolerates;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};

pub(crate) struct NodeUnschedulable;

const REASON: &str = "node(s) were unschedulable";

fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true))
}

fn tolerates_cordon(pod: &Pod) -> bool {
    let key = "node.kubernetes.io/unschedulable".to_owned();
    let taint = Taint { key, effect: "NoSchedule".to_owned(), ..Taint::default() };
    spec_of(pod).tolerations.iter().flatten().any(|toleration| tolerates(toleration, &taint))
}

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn woken_by(&self, _: &PodInfo, change: &Change) -> bool {
        if let Some(pair) = change.node(Actions::ADD.or(Actions::NODE_TAINT)) {
            return pair.before().is_none_or(is_cordoned) && !pair.after().is_none_or(is_cordoned);
        }
        change.target(Actions::POD_TOLERATION).and_then(|pair| pair.after()).is_some_and(tolerates_cordon)
    }

    fn pre_filter(&self) -> Option<&dyn PreFilter> {
        Some(self)
    }
}

impl PreFilter for NodeUnschedulable {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot) -> Prepared<'a> {
        if tolerates_cordon(&pod.pod) {
            return Prepared::Skip;
        }
        Prepared::Filter(Box::new(
            |node: &NodeInfo| {
                if is_cordoned(&node.node) { Verdict::unresolvable(REASON) } else { Verdict::Fits }
            },
        ))
    }
}
