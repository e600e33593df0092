//! The extension points, one trait each (`k8s.io/kube-scheduler/framework/interface.go`).
//!
//! Upstream keeps what `PreFilter` found in a `CycleState` under a key; here it is the filter that `PreFilter`
//! returns, so a cycle's state has a type and cannot be missing. The same holds for `PreScore` and `Score`.

use crate::bind::Write;
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The best normalised score of a node.
pub const MAX_NODE_SCORE: i64 = 100;

/// A change in the cluster that may make a rejected pod schedulable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClusterEvent {
    NodeAdded,
    /// Labels, taints, allocatable or `unschedulable` changed.
    NodeChanged,
    /// A pod was assigned to a node, or an assigned pod changed its labels.
    PodAssigned,
    /// An assigned pod is gone, has ended, or asks for less.
    PodFreed,
    NamespaceChanged,
    /// A claim, a volume or a storage class changed.
    StorageChanged,
}

/// What a filter says of one node; the reasons are upstream's texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Fits,
    /// Removing pods could help.
    Unschedulable(Vec<String>),
    /// Removing pods cannot help (`UnschedulableAndUnresolvable`).
    Unresolvable(Vec<String>),
}

impl Verdict {
    pub fn unschedulable(reason: impl Into<String>) -> Self {
        Self::Unschedulable(vec![reason.into()])
    }

    pub fn unresolvable(reason: impl Into<String>) -> Self {
        Self::Unresolvable(vec![reason.into()])
    }

    pub fn fits(&self) -> bool {
        *self == Self::Fits
    }

    pub fn reasons(&self) -> &[String] {
        match self {
            Self::Fits => &[],
            Self::Unschedulable(reasons) | Self::Unresolvable(reasons) => reasons,
        }
    }
}

/// What `PreFilter` found for one pod in one snapshot.
pub enum Prepared<'a> {
    /// The plugin has nothing to say about this pod.
    Skip,
    Filter(Box<dyn Filter + 'a>),
    /// Only the named nodes need to be looked at.
    Narrowed(Box<dyn Filter + 'a>, BTreeSet<String>),
    /// The pod fits nowhere, and removing pods cannot help.
    Rejected(String),
}

/// What all plugins have.
pub trait Plugin: Send + Sync {
    /// Upstream's name of the plugin.
    fn name(&self) -> &'static str;

    /// Whether `event` may turn this plugin's rejection (`EventsToRegister`).
    fn woken_by(&self, event: ClusterEvent) -> bool;
}

/// Keeps a pod out of the queue, for the returned reason.
pub trait PreEnqueue: Plugin {
    fn pre_enqueue(&self, pod: &Pod) -> Option<String>;
}

/// Looks at the pod and the whole snapshot before any node is judged.
pub trait PreFilter: Plugin {
    fn pre_filter<'a>(&'a self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Prepared<'a>;
}

/// Judges one node for the pod it was prepared for.
pub trait Filter: Send + Sync {
    fn filter(&self, node: &NodeInfo) -> Verdict;
}

impl<F: Fn(&NodeInfo) -> Verdict + Send + Sync> Filter for F {
    fn filter(&self, node: &NodeInfo) -> Verdict {
        self(node)
    }
}

/// Looks at the pod and the feasible nodes before any is scored; `None` when all would score the same.
pub trait PreScore: Plugin {
    fn pre_score<'a>(
        &'a self,
        pod: &'a PodInfo,
        snapshot: &'a Snapshot,
        feasible: &[Arc<NodeInfo>],
    ) -> Option<Box<dyn Score + 'a>>;
}

/// Scores one node for the pod it was prepared for, higher is better.
pub trait Score: Send + Sync {
    fn score(&self, node: &NodeInfo) -> i64;

    /// Brings the scores of all feasible nodes to 0..=[`MAX_NODE_SCORE`].
    fn normalize(&self, _scores: &mut [i64]) {}
}

/// Upstream's `DefaultNormalizeScore`: in proportion to the largest, reversed when a small score is better.
pub fn normalize_by_max(scores: &mut [i64], reverse: bool) {
    let max = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        let share = if max == 0 { 0 } else { MAX_NODE_SCORE * *score / max };
        *score = if reverse { MAX_NODE_SCORE - share } else { share };
    }
}

/// What must be written before the pod is bound to `node`.
pub trait PreBind: Plugin {
    fn pre_bind(&self, pod: &PodInfo, snapshot: &Snapshot, node: &str) -> Vec<Write>;
}
