//! Nodes and the pods on them, as the informers show them and as decided but not shown yet
//! (`pkg/scheduler/backend/cache`).

use crate::framework::ClusterEvent;
use crate::pod::{Namespaces, PodInfo};
use crate::selection::Labels;
use crate::snapshot::{NodeInfo, Snapshot};
use k8s_openapi::api::core::v1::Node;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

#[derive(Debug)]
struct Placed {
    node: String,
    pod: Arc<PodInfo>,
    /// Decided here; the informer does not show it yet.
    assumed: bool,
}

/// What snapshots are made of.
#[derive(Debug, Default)]
pub struct Cache {
    nodes: BTreeMap<String, Arc<NodeInfo>>,
    /// By uid; their nodes may be unknown.
    pods: HashMap<String, Placed>,
    namespaces: Arc<Namespaces>,
    nominated: HashMap<String, (String, Arc<PodInfo>)>,
}

impl Cache {
    /// What of the change may help waiting pods.
    pub fn set_node(&mut self, node: Arc<Node>) -> Option<ClusterEvent> {
        let mut info = NodeInfo::new(node);
        let name = info.name().to_owned();
        let old = self.nodes.get(&name);
        let event = match old {
            None => Some(ClusterEvent::NodeAdded),
            Some(old) => matters_changed(&old.node, &info.node).then_some(ClusterEvent::NodeChanged),
        };
        let here =
            || self.pods.values().filter(|placed| placed.node == name).map(|placed| placed.pod.clone()).collect();
        for pod in old.map_or_else(here, |old| old.pods.clone()) {
            info.add(pod);
        }
        self.nodes.insert(name, Arc::new(info));
        event
    }

    /// Its pods stay known: they may be shown longer than the node.
    pub fn remove_node(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    /// A pod that the informer shows on `node`.
    pub fn set_pod(&mut self, pod: PodInfo, node: &str) -> Option<ClusterEvent> {
        let old = self.take(pod.uid());
        let event = match &old {
            None => Some(ClusterEvent::PodAssigned),
            Some(old) if old.assumed || old.node != node => Some(ClusterEvent::PodAssigned),
            Some(old) if old.pod.requests != pod.requests => Some(ClusterEvent::PodFreed),
            Some(old) => (old.pod.labels() != pod.labels()).then_some(ClusterEvent::PodAssigned),
        };
        self.nominated.remove(pod.uid());
        self.put(Arc::new(pod), node, false);
        event
    }

    /// Counts the pod to the node from now on, until the informer shows it or [`Self::forget`].
    pub fn assume(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.take(pod.uid());
        self.nominated.remove(pod.uid());
        self.put(pod, node, true);
    }

    /// The binding of an assumed pod failed.
    pub fn forget(&mut self, uid: &str) -> Option<ClusterEvent> {
        let assumed = self.pods.get(uid).is_some_and(|placed| placed.assumed);
        if assumed { self.remove_pod(uid) } else { None }
    }

    /// The pod is gone or has ended.
    pub fn remove_pod(&mut self, uid: &str) -> Option<ClusterEvent> {
        self.nominated.remove(uid);
        self.take(uid).map(|_| ClusterEvent::PodFreed)
    }

    /// The pod and its node, if it has one.
    pub fn placed(&self, uid: &str) -> Option<(&Arc<PodInfo>, &str)> {
        self.pods.get(uid).map(|placed| (&placed.pod, placed.node.as_str()))
    }

    /// Room is being made for the pod on its nominated node, or no longer.
    pub fn nominate(&mut self, pod: Arc<PodInfo>, node: Option<&str>) {
        match node {
            Some(node) => self.nominated.insert(pod.uid().to_owned(), (node.to_owned(), pod)),
            None => self.nominated.remove(pod.uid()),
        };
    }

    pub fn nominated_node(&self, uid: &str) -> Option<&str> {
        self.nominated.get(uid).map(|(node, _)| node.as_str())
    }

    /// The pods of a lower priority for which room is being made on the node.
    pub fn nominated_below(&self, node: &str, priority: i32) -> Vec<Arc<PodInfo>> {
        let here = self.nominated.values().filter(|(on, pod)| on == node && pod.priority() < priority);
        here.map(|(_, pod)| pod.clone()).collect()
    }

    /// The labels of a namespace; `None` when it is gone.
    pub(crate) fn set_namespace(&mut self, name: &str, labels: Option<Labels>) -> Option<ClusterEvent> {
        if self.namespaces.get(name) == labels.as_ref() {
            return None;
        }
        let namespaces = Arc::make_mut(&mut self.namespaces);
        match labels {
            Some(labels) => namespaces.insert(name.to_owned(), labels),
            None => namespaces.remove(name),
        };
        Some(ClusterEvent::NamespaceChanged)
    }

    /// The cluster as it is now, without what surrounds a pod in particular.
    pub fn snapshot(&self) -> Snapshot {
        let mut nominated: HashMap<String, Vec<Arc<PodInfo>>> = HashMap::new();
        for (node, pod) in self.nominated.values() {
            nominated.entry(node.clone()).or_default().push(pod.clone());
        }
        Snapshot {
            nodes: self.nodes.values().cloned().collect(),
            namespaces: self.namespaces.clone(),
            nominated: Arc::new(nominated),
            ..Snapshot::default()
        }
    }

    fn put(&mut self, pod: Arc<PodInfo>, node: &str, assumed: bool) {
        if let Some(info) = self.nodes.get_mut(node) {
            Arc::make_mut(info).add(pod.clone());
        }
        self.pods.insert(pod.uid().to_owned(), Placed { node: node.to_owned(), pod, assumed });
    }

    fn take(&mut self, uid: &str) -> Option<Placed> {
        let placed = self.pods.remove(uid)?;
        if let Some(info) = self.nodes.get_mut(&placed.node) {
            Arc::make_mut(info).remove(uid);
        }
        Some(placed)
    }
}

/// Whether the change is one that plugins judge by; heartbeats and image lists are not.
fn matters_changed(old: &Node, new: &Node) -> bool {
    let spec = |node: &Node| node.spec.as_ref().map(|spec| (spec.unschedulable, spec.taints.clone()));
    let allocatable = |node: &Node| node.status.as_ref().and_then(|status| status.allocatable.clone());
    old.metadata.labels != new.metadata.labels || spec(old) != spec(new) || allocatable(old) != allocatable(new)
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
