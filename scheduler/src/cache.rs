//! Nodes and the pods on them, as the informers show them and as decided but not shown yet
//! (`pkg/scheduler/backend/cache`). It owns the one snapshot and keeps it current, so that a cycle costs no copy.

use crate::node_order::{NodeOrder, same_zone};
use crate::pod::PodInfo;
use crate::selection::Labels;
use crate::snapshot::{NodeInfo, Snapshot};
use k8s_openapi::api::core::v1::Node;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug)]
struct Placed {
    node: String,
    pod: Arc<PodInfo>,
    /// Decided here; the informer does not show it yet.
    assumed: bool,
}

/// What cycles read, and what is needed to keep it current.
#[derive(Debug, Default)]
pub struct Cache {
    snapshot: Snapshot,
    order: NodeOrder,
    /// Nodes came or went since the order was made.
    unordered: bool,
    /// By uid; their nodes may be unknown.
    pods: HashMap<String, Placed>,
    /// Uid -> node.
    nominated: HashMap<String, String>,
}

impl Cache {
    pub fn set_node(&mut self, node: Arc<Node>) {
        let mut info = NodeInfo::new(node);
        let name = info.name().to_owned();
        let at = self.snapshot.positions.get(&name).copied();
        if let Some(old) = at.and_then(|at| self.snapshot.nodes.get(at)).cloned() {
            for pod in &old.pods {
                info.add(pod.clone());
            }
            if !same_zone(&old, &info) {
                self.order.remove(&old);
                self.order.add(&info);
                self.unordered = true;
            }
            if old.images != info.images {
                self.count_images(&old, false);
                self.count_images(&info, true);
            }
        } else {
            for placed in self.pods.values().filter(|placed| placed.node == name) {
                info.add(placed.pod.clone());
            }
            self.order.add(&info);
            self.unordered = true;
            self.count_images(&info, true);
        }
        let info = Arc::new(info);
        if let Some(at) = at {
            self.snapshot.nodes[at] = info;
        } else {
            self.snapshot.positions.insert(name, self.snapshot.nodes.len());
            self.snapshot.nodes.push(info);
        }
    }

    /// Its pods stay known: they may be shown longer than the node.
    pub fn remove_node(&mut self, name: &str) {
        let Some(at) = self.snapshot.positions.remove(name) else { return };
        let node = self.snapshot.nodes.swap_remove(at);
        if let Some(moved) = self.snapshot.nodes.get(at) {
            self.snapshot.positions.insert(moved.name().to_owned(), at);
        }
        self.order.remove(&node);
        self.count_images(&node, false);
        self.unordered = true;
    }

    fn count_images(&mut self, node: &NodeInfo, there: bool) {
        for name in node.images.keys() {
            let count = self.snapshot.images.entry(name.clone()).or_default();
            *count = if there { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.snapshot.images.remove(name);
            }
        }
    }

    /// A pod that the informer shows on `node`.
    pub fn set_pod(&mut self, pod: PodInfo, node: &str) {
        self.take(pod.uid());
        self.nominate_nowhere(pod.uid());
        self.put(Arc::new(pod), node, false);
    }

    /// Counts the pod to the node from now on, until the informer shows it or [`Self::forget`].
    pub fn assume(&mut self, pod: Arc<PodInfo>, node: &str) {
        self.take(pod.uid());
        self.nominate_nowhere(pod.uid());
        self.put(pod, node, true);
    }

    /// The pod waits for its binding.
    pub fn is_assumed(&self, uid: &str) -> bool {
        self.pods.get(uid).is_some_and(|placed| placed.assumed)
    }

    /// The binding of an assumed pod failed. Whether it was assumed.
    pub fn forget(&mut self, uid: &str) -> bool {
        let assumed = self.is_assumed(uid);
        if assumed {
            self.remove_pod(uid);
        }
        assumed
    }

    /// The pod is gone or has ended.
    pub fn remove_pod(&mut self, uid: &str) {
        self.nominate_nowhere(uid);
        self.take(uid);
    }

    /// The pod and its node, if it has one.
    pub fn placed(&self, uid: &str) -> Option<(&Arc<PodInfo>, &str)> {
        self.pods.get(uid).map(|placed| (&placed.pod, placed.node.as_str()))
    }

    /// Room is being made for the pod on its nominated node, or no longer.
    pub fn nominate(&mut self, pod: &Arc<PodInfo>, node: Option<&str>) {
        self.nominate_nowhere(pod.uid());
        if let Some(node) = node {
            self.nominated.insert(pod.uid().to_owned(), node.to_owned());
            self.snapshot.nominated.entry(node.to_owned()).or_default().push(pod.clone());
        }
    }

    fn nominate_nowhere(&mut self, uid: &str) {
        let Some(node) = self.nominated.remove(uid) else { return };
        if let Some(pods) = self.snapshot.nominated.get_mut(&node) {
            pods.retain(|pod| pod.uid() != uid);
            if pods.is_empty() {
                self.snapshot.nominated.remove(&node);
            }
        }
    }

    pub fn nominated_node(&self, uid: &str) -> Option<&str> {
        self.nominated.get(uid).map(String::as_str)
    }

    /// The pods of a lower priority for which room is being made on the node.
    pub fn nominated_below(&self, node: &str, priority: i32) -> Vec<Arc<PodInfo>> {
        let here = self.snapshot.nominated.get(node).into_iter().flatten();
        here.filter(|pod| pod.priority() < priority).cloned().collect()
    }

    /// The labels of a namespace; `None` when it is gone.
    pub(crate) fn set_namespace(&mut self, name: &str, labels: Option<Labels>) {
        match labels {
            Some(labels) => self.snapshot.namespaces.insert(name.to_owned(), labels),
            None => self.snapshot.namespaces.remove(name),
        };
    }

    /// The rest of what cycles read; nodes and pods change by the methods above.
    pub(crate) fn snapshot_mut(&mut self) -> &mut Snapshot {
        &mut self.snapshot
    }

    /// As [`Self::snapshot`], with the nodes in any order.
    pub(crate) fn view(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The cluster as it is now.
    pub fn snapshot(&mut self) -> &Snapshot {
        if std::mem::take(&mut self.unordered) {
            let (nodes, positions) = (&self.snapshot.nodes, &self.snapshot.positions);
            let ordered = self.order.names().into_iter().filter_map(|name| nodes.get(*positions.get(name)?).cloned());
            let ordered: Vec<_> = ordered.collect();
            let positions = ordered.iter().enumerate().map(|(at, node)| (node.name().to_owned(), at)).collect();
            self.snapshot.nodes = ordered;
            self.snapshot.positions = positions;
        }
        &self.snapshot
    }

    fn put(&mut self, pod: Arc<PodInfo>, node: &str, assumed: bool) {
        if let Some(info) = self.node_mut(node) {
            info.add(pod.clone());
        }
        for (claim, _) in &pod.claims {
            *self.snapshot.claim_users.entry(pod.claim_key(claim)).or_default() += 1;
        }
        self.pods.insert(pod.uid().to_owned(), Placed { node: node.to_owned(), pod, assumed });
    }

    fn take(&mut self, uid: &str) {
        let Some(placed) = self.pods.remove(uid) else { return };
        if let Some(info) = self.node_mut(&placed.node) {
            info.remove(uid);
        }
        for (claim, _) in &placed.pod.claims {
            let key = placed.pod.claim_key(claim);
            if let Some(users) = self.snapshot.claim_users.get_mut(&key) {
                *users -= 1;
                if *users == 0 {
                    self.snapshot.claim_users.remove(&key);
                }
            }
        }
    }

    fn node_mut(&mut self, name: &str) -> Option<&mut NodeInfo> {
        let at = *self.snapshot.positions.get(name)?;
        self.snapshot.nodes.get_mut(at).map(Arc::make_mut)
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
