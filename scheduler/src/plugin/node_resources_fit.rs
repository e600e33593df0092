//! A node must have what the pod asks for; how much of it stays free decides how good it is.

use super::resource_allocation::{Strategy, shares};
use crate::change::{Actions, Change, Changed};
use crate::config::args::{NodeResourcesFitArgs, ResourceSpec};
use crate::framework::{Plugin, PreFilter, PreScore, Prepared, Score, Verdict};
use crate::pod::{PodInfo, has_node};
use crate::resources::{Resources, is_extended, requests, scored_requests};
use crate::snapshot::{NodeInfo, Snapshot};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::resource::v1::DeviceClass;
use std::collections::HashSet;
use std::sync::Arc;

/// What a device class's implicit extended resource begins with.
const CLASS_PREFIX: &str = "deviceclass.resource.kubernetes.io/";

pub(crate) struct NodeResourcesFit {
    ignored: HashSet<String>,
    ignored_groups: HashSet<String>,
    strategy: Strategy,
    resources: Vec<ResourceSpec>,
}

impl NodeResourcesFit {
    pub(crate) fn new(args: &NodeResourcesFitArgs) -> Self {
        Self {
            ignored: args.ignored_resources.iter().cloned().collect(),
            ignored_groups: args.ignored_resource_groups.iter().cloned().collect(),
            strategy: Strategy::new(&args.scoring_strategy),
            resources: args.scoring_strategy.resources.clone(),
        }
    }

    /// Whether others than nodes give out the resource: extenders do, and nodes are not asked for it.
    fn ignores(&self, name: &str) -> bool {
        is_extended(name)
            && (self.ignored.contains(name)
                || name.split_once('/').is_some_and(|(group, _)| self.ignored_groups.contains(group)))
    }

    /// Unresolvable if the pod asks for more than the node has when empty.
    fn fits(&self, asked: &Resources, node: &NodeInfo, delegated: &HashSet<String>) -> Verdict {
        let (mut reasons, mut unresolvable) = (Vec::new(), false);
        if node.pods.len() as i64 + 1 > node.allocatable.pods {
            reasons.push("Too many pods".to_owned());
        }
        for (name, wanted) in asked.iter().filter(|(_, wanted)| *wanted > 0) {
            let all = node.allocatable.of(name);
            // Devices stand in for a resource that the node does not have.
            if self.ignores(name) || (all <= 0 && delegated.contains(name)) {
                continue;
            }
            if wanted > all - node.requested.of(name) {
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

    /// Whether a new node or what a node has more of could hold the pod.
    fn node_helps(&self, pod: &PodInfo, old: Option<&Node>, new: &Node) -> bool {
        let bare = |node: &Node| NodeInfo::new(Arc::new(node.clone()));
        let new = bare(new);
        if !self.fits(&pod.requests, &new, &HashSet::new()).fits() {
            return false;
        }
        let Some(old) = old.map(bare) else { return true };
        let more = |(name, wanted): (&str, i64)| wanted > 0 && new.allocatable.of(name) > old.allocatable.of(name);
        new.allocatable.pods > old.allocatable.pods || pod.requests.iter().any(more)
    }
}

/// The extended resource that the class stands in for by its own word.
fn extended_name(class: &DeviceClass) -> Option<&str> {
    class.spec.as_ref()?.extended_resource_name.as_deref().filter(|name| !name.is_empty())
}

/// The extended resources that a device class stands in for.
fn delegated(snapshot: &Snapshot) -> HashSet<String> {
    let classes = snapshot.catalog.device_classes.iter();
    let names = classes.flat_map(|class| {
        let implicit = class.metadata.name.as_ref().map(|name| format!("{CLASS_PREFIX}{name}"));
        implicit.into_iter().chain(extended_name(class).map(str::to_owned))
    });
    names.collect()
}

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn woken_by(&self, pod: &PodInfo, change: &Change) -> bool {
        if let Some(gone) = change.assigned(Actions::DELETE).and_then(|pair| pair.before()) {
            return has_node(gone);
        }
        if let Some(pair) = change.assigned(Actions::POD_SCALE_DOWN) {
            let (Some(old), Some(new)) = (pair.before(), pair.after()) else { return true };
            if crate::pod::spec_of(new).node_name.as_ref().is_none_or(String::is_empty) {
                return false;
            }
            let (old, new) = (requests(old), requests(new));
            return pod.requests.iter().any(|(name, wanted)| wanted > 0 && old.of(name) > new.of(name));
        }
        if let Some(pair) = change.node(Actions::ADD.or(Actions::NODE_ALLOCATABLE)) {
            return pair.after().is_some_and(|new| self.node_helps(pod, pair.before(), new));
        }
        if let Changed::DeviceClass(pair) = &change.object {
            let Some(new) = pair.after() else { return false };
            let name = extended_name(new);
            let implicit = format!("{CLASS_PREFIX}{}", new.metadata.name.as_deref().unwrap_or_default());
            let renamed = pair.before().is_none_or(|old| extended_name(old) != name);
            return (pair.before().is_none() && pod.requests.of(&implicit) > 0)
                || (renamed && name.is_some_and(|name| pod.requests.of(name) > 0));
        }
        change.target(Actions::POD_SCALE_DOWN).is_some()
    }

    fn pre_filter(&self) -> Option<&dyn PreFilter> {
        Some(self)
    }

    fn pre_score(&self) -> Option<&dyn PreScore> {
        Some(self)
    }
}

impl PreFilter for NodeResourcesFit {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Prepared<'a> {
        let delegated = delegated(snapshot);
        Prepared::Filter(Box::new(move |node: &NodeInfo| self.fits(&pod.requests, node, &delegated)))
    }
}

struct Allocation<'a> {
    plugin: &'a NodeResourcesFit,
    asked: Resources,
}

impl PreScore for NodeResourcesFit {
    fn scorer<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot, _: &[Arc<NodeInfo>]) -> Option<Box<dyn Score + 'a>> {
        Some(Box::new(Allocation { plugin: self, asked: scored_requests(&pod.pod) }))
    }
}

impl Score for Allocation<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        self.plugin.strategy.score(shares(&self.plugin.resources, &self.asked, node, false))
    }
}
