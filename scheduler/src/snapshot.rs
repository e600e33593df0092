//! What one cycle reads: nodes with their pods, and the objects around the pod in question. Never changes; preemption
//! and nominated pods are tried on copies that share everything but one node.

use crate::pod::{Namespaces, PodInfo};
use crate::related::Related;
use crate::resources::Resources;
use crate::selection::Labels;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use std::collections::HashMap;
use std::sync::Arc;

/// A node, its pods, and their sums.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    pub node: Arc<Node>,
    pub pods: Vec<Arc<PodInfo>>,
    pub requested: Resources,
    pub non_zero_requested: Resources,
    pub allocatable: Resources,
    /// Image name -> size in bytes.
    pub images: HashMap<String, i64>,
}

impl NodeInfo {
    pub fn new(node: Arc<Node>) -> Self {
        let status = node.status.as_ref();
        let allocatable = Resources::new(status.and_then(|status| status.allocatable.as_ref()));
        let images = status.into_iter().flat_map(|status| status.images.iter().flatten()).flat_map(|image| {
            let size = image.size_bytes.unwrap_or(0);
            image.names.iter().flatten().map(move |name| (name.clone(), size))
        });
        let images = images.collect();
        let (requested, non_zero_requested) = (Resources::default(), Resources::default());
        Self { node, pods: Vec::new(), requested, non_zero_requested, allocatable, images }
    }

    pub fn name(&self) -> &str {
        self.node.metadata.name.as_deref().unwrap_or_default()
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels()?.get(key).map(String::as_str)
    }

    pub fn labels(&self) -> Option<&Labels> {
        self.node.metadata.labels.as_ref()
    }

    pub fn add(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.non_zero_requested.add(&pod.non_zero);
        self.pods.push(pod);
    }

    /// Whether the pod was there.
    pub fn remove(&mut self, uid: &str) -> bool {
        let Some(at) = self.pods.iter().position(|pod| pod.uid() == uid) else { return false };
        let pod = self.pods.remove(at);
        self.requested.subtract(&pod.requests);
        self.non_zero_requested.subtract(&pod.non_zero);
        true
    }
}

/// Everything that a cycle may look at.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Ordered by name.
    pub nodes: Vec<Arc<NodeInfo>>,
    pub(crate) namespaces: Arc<Namespaces>,
    /// Pods for which preemption makes room, by node.
    pub(crate) nominated: Arc<HashMap<String, Vec<Arc<PodInfo>>>>,
    pub(crate) budgets: Arc<Vec<Arc<PodDisruptionBudget>>>,
    pub(crate) related: Arc<Related>,
}

impl Snapshot {
    pub fn node(&self, name: &str) -> Option<&Arc<NodeInfo>> {
        self.nodes.iter().find(|node| node.name() == name)
    }

    /// The same cluster with another state of one node.
    pub(crate) fn with_node(&self, node: Arc<NodeInfo>) -> Self {
        let mut changed = self.clone();
        if let Some(place) = changed.nodes.iter_mut().find(|old| old.name() == node.name()) {
            *place = node;
        }
        changed
    }
}
