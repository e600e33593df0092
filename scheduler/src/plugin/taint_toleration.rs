//! Nodes with taints take pods that tolerate them; nodes that would rather not are avoided.

use crate::change::{Actions, Change};
use crate::framework::{Plugin, PreFilter, PreScore, Prepared, Score, Verdict, normalize_by_max};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};
use crate::taints::{has_untolerated, tolerates};
use k8s_openapi::api::core::v1::{Node, Toleration};
use std::sync::Arc;

pub(crate) struct TaintToleration;

const REASON: &str = "node(s) had untolerated taint(s)";

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn woken_by(&self, pod: &PodInfo, change: &Change) -> bool {
        let Some(pair) = change.node(Actions::ADD.or(Actions::NODE_TAINT)) else {
            return change.target(Actions::POD_TOLERATION).is_some();
        };
        let kept_off = |node: &Node| {
            let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
            has_untolerated(taints, pod.spec().tolerations.as_ref())
        };
        pair.before().is_none_or(kept_off) && !pair.after().is_none_or(kept_off)
    }

    fn pre_filter(&self) -> Option<&dyn PreFilter> {
        Some(self)
    }

    fn pre_score(&self) -> Option<&dyn PreScore> {
        Some(self)
    }
}

impl PreFilter for TaintToleration {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot) -> Prepared<'a> {
        let tolerations = pod.spec().tolerations.as_ref();
        Prepared::Filter(Box::new(move |node: &NodeInfo| {
            if has_untolerated(node.taints(), tolerations) { Verdict::unresolvable(REASON) } else { Verdict::Fits }
        }))
    }
}

/// Counts the `PreferNoSchedule` taints that are not tolerated: fewer is better.
struct Intolerable<'a>(Vec<&'a Toleration>);

impl PreScore for TaintToleration {
    fn scorer<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot, _: &[Arc<NodeInfo>]) -> Option<Box<dyn Score + 'a>> {
        let soft = |toleration: &&Toleration| {
            matches!(toleration.effect.as_deref().unwrap_or_default(), "" | "PreferNoSchedule")
        };
        Some(Box::new(Intolerable(pod.spec().tolerations.iter().flatten().filter(soft).collect())))
    }
}

impl Score for Intolerable<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        let soft = node.taints().iter().filter(|taint| taint.effect == "PreferNoSchedule");
        soft.filter(|taint| !self.0.iter().any(|toleration| tolerates(toleration, taint))).count() as i64
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_by_max(scores, true);
    }
}
