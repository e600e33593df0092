//! What one cycle reads: nodes with their pods, and the objects around them. A cycle never changes it; preemption and
//! nominated pods are tried on copies of single nodes.

use crate::catalog::Catalog;
use crate::pod::{Namespaces, PodInfo};
use crate::resources::Resources;
use crate::selection::Labels;
use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use std::collections::{BTreeMap, HashMap};
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
    pub images: Arc<HashMap<String, i64>>,
    /// How many of the pods have any affinity term, and how many a required anti-affinity term: most nodes have none
    /// and need not be searched.
    pub(crate) with_affinity: usize,
    pub(crate) with_anti_affinity: usize,
}

impl NodeInfo {
    pub fn new(node: Arc<Node>) -> Self {
        let status = node.status.as_ref();
        let allocatable = Resources::new(status.and_then(|status| status.allocatable.as_ref()));
        let images = status.into_iter().flat_map(|status| status.images.iter().flatten()).flat_map(|image| {
            let size = image.size_bytes.unwrap_or(0);
            image.names.iter().flatten().map(move |name| (name.clone(), size))
        });
        let images = Arc::new(images.collect());
        let (requested, non_zero_requested) = (Resources::default(), Resources::default());
        Self {
            node,
            pods: Vec::new(),
            requested,
            non_zero_requested,
            allocatable,
            images,
            with_affinity: 0,
            with_anti_affinity: 0,
        }
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

    pub fn taints(&self) -> &[Taint] {
        self.node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
    }

    pub fn add(&mut self, pod: Arc<PodInfo>) {
        self.requested.add(&pod.requests);
        self.non_zero_requested.add(&pod.non_zero);
        self.with_affinity += usize::from(pod.has_affinity());
        self.with_anti_affinity += usize::from(!pod.required_anti_affinity.is_empty());
        self.pods.push(pod);
    }

    /// Whether the pod was there.
    pub fn remove(&mut self, uid: &str) -> bool {
        let Some(at) = self.pods.iter().position(|pod| pod.uid() == uid) else { return false };
        let pod = self.pods.remove(at);
        self.requested.subtract(&pod.requests);
        self.non_zero_requested.subtract(&pod.non_zero);
        self.with_affinity -= usize::from(pod.has_affinity());
        self.with_anti_affinity -= usize::from(!pod.required_anti_affinity.is_empty());
        true
    }
}

/// Everything that a cycle may look at.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// In the order in which they are looked at: one of each zone in turn.
    pub nodes: Vec<Arc<NodeInfo>>,
    pub(crate) positions: HashMap<String, usize>,
    pub(crate) namespaces: Namespaces,
    /// Pods for which room is being made, by node.
    pub(crate) nominated: HashMap<String, Vec<Arc<PodInfo>>>,
    pub(crate) budgets: BTreeMap<String, Arc<PodDisruptionBudget>>,
    /// Image name -> how many nodes have it.
    pub(crate) images: HashMap<String, usize>,
    /// Claim -> how many pods on nodes use it.
    pub(crate) claim_users: HashMap<String, usize>,
    /// Pods whose victims are being sent away, by uid.
    pub(crate) preempting: std::collections::HashSet<String>,
    pub catalog: Catalog,
}

impl Snapshot {
    pub fn node(&self, name: &str) -> Option<&Arc<NodeInfo>> {
        self.positions.get(name).and_then(|at| self.nodes.get(*at))
    }
}
