//! The extension points, one trait each (`k8s.io/kube-scheduler/framework/interface.go`).
//!
//! Upstream keeps what `PreFilter` found in a `CycleState` under a key; here it is the filter that `PreFilter`
//! returns, so a cycle's state has a type and cannot be missing. The same holds for `PreScore` and `Score`.

use crate::bind::Write;
use crate::catalog::Assumed;
use crate::change::Change;
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};
use k8s_openapi::api::core::v1::Pod;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The best normalised score of a node.
pub const MAX_NODE_SCORE: i64 = 100;

/// What a filter says of one node; the reasons are upstream's texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Fits,
    /// Removing pods could help.
    Unschedulable(Vec<String>),
    /// Removing pods cannot help (`UnschedulableAndUnresolvable`).
    Unresolvable(Vec<String>),
    /// Nothing can be said: the attempt fails and is repeated.
    Failed(String),
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
            Self::Failed(reason) => std::slice::from_ref(reason),
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
    /// Nothing can be said: the attempt fails and is repeated.
    Failed(String),
}

/// What all plugins have. A plugin says here which extension points it serves.
pub trait Plugin: Send + Sync {
    /// Upstream's name of the plugin.
    fn name(&self) -> &'static str;

    /// Whether `change` may turn this plugin's rejection of `pod` (`EventsToRegister` with its queueing hints).
    fn woken_by(&self, pod: &PodInfo, change: &Change) -> bool;

    fn pre_enqueue(&self) -> Option<&dyn PreEnqueue> {
        None
    }

    fn pre_filter(&self) -> Option<&dyn PreFilter> {
        None
    }

    fn pre_score(&self) -> Option<&dyn PreScore> {
        None
    }

    fn reserve(&self) -> Option<&dyn Reserve> {
        None
    }
}

/// Keeps a pod out of the queue, for the returned reason.
pub trait PreEnqueue: Plugin {
    fn refusal(&self, pod: &Pod, snapshot: &Snapshot) -> Option<String>;
}

/// Looks at the pod and the whole snapshot before any node is judged.
pub trait PreFilter: Plugin {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Prepared<'a>;
}

/// Judges one node for the pod it was prepared for.
pub trait Filter: Send + Sync {
    fn filter(&self, node: &NodeInfo) -> Verdict;

    /// A copy that [`Self::add`] and [`Self::remove`] may change; `None` if this filter counts no pods beyond those of
    /// the node it judges.
    fn fork(&self) -> Option<Box<dyn Filter + '_>> {
        None
    }

    /// From now on `pod` is on `node` (`PreFilterExtensions.AddPod`).
    fn add(&mut self, _pod: &PodInfo, _node: &NodeInfo) {}

    /// From now on `pod` is no more on `node` (`PreFilterExtensions.RemovePod`).
    fn remove(&mut self, _pod: &PodInfo, _node: &NodeInfo) {}
}

impl<F: Fn(&NodeInfo) -> Verdict + Send + Sync> Filter for F {
    fn filter(&self, node: &NodeInfo) -> Verdict {
        self(node)
    }
}

/// Looks at the pod and the feasible nodes before any is scored; `None` when all would score the same.
pub trait PreScore: Plugin {
    fn scorer<'a>(
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

/// What is to hold until the pod is bound, and what is to be written before.
#[derive(Debug, Default)]
pub struct Reservation {
    /// Counts from now on as if it were written.
    pub assumed: Vec<Assumed>,
    pub before_bind: Vec<Write>,
    /// How long the bind waits for [`Reserve::ready`]; `None` if it does not wait.
    pub waits: Option<Duration>,
}

impl Reservation {
    /// Both; the longer wait counts.
    pub(crate) fn join(&mut self, other: Self) {
        self.assumed.extend(other.assumed);
        self.before_bind.extend(other.before_bind);
        self.waits = self.waits.max(other.waits);
    }
}

/// Takes what the pod needs on its node beyond room (`Reserve` and `PreBind`).
pub trait Reserve: Plugin {
    /// Fails with what went wrong; the attempt is then repeated.
    fn take(&self, pod: &PodInfo, snapshot: &Snapshot, node: &str) -> Result<Reservation, String>;

    /// Whether others have done their part since `before_bind` was written. Fails if they never will.
    fn ready(&self, _pod: &PodInfo, _snapshot: &Snapshot, _node: &str) -> Result<bool, String> {
        Ok(true)
    }
}
