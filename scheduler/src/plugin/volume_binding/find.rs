//! Which volumes a pod would have on one node (`plugins/volumebinding/binder.go`).

use super::limit;
use crate::catalog::Catalog;
use crate::framework::Verdict;
use crate::pod::PodInfo;
use crate::selection::Selector;
use crate::snapshot::NodeInfo;
use crate::storage::{
    SELECTED_NODE, annotation, capacity_bytes, claim_class, ephemeral_refusal, find_volume, is_delayed, is_fully_bound,
    is_reachable, requested, requested_bytes, volume_class, volume_name,
};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, TopologySelectorTerm};
use k8s_openapi::api::storage::v1::{CSIStorageCapacity, StorageClass};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

const BIND_CONFLICT: &str = "node(s) didn't find available persistent volumes to bind";
const NODE_CONFLICT: &str = "node(s) didn't match PersistentVolume's node affinity";
const NO_SPACE: &str = "node(s) did not have enough free storage";
const NO_VOLUME: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
const UNBOUND: &str = "pod has unbound immediate PersistentVolumeClaims";
/// What a class names that has only volumes made by hand.
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

type Claim = Arc<PersistentVolumeClaim>;

/// A pod's claims by what has to be done about them.
pub(super) struct Claims {
    bound: Vec<Claim>,
    /// They wait for the pod. The smallest first.
    delayed: Vec<Claim>,
}

/// What is to be bound and what is to be provisioned.
#[derive(Default)]
pub(super) struct Found {
    pub(super) bindings: Vec<(Arc<PersistentVolume>, Claim)>,
    /// With the capacity that the node's storage has, where it says so.
    pub(super) provisions: Vec<(Claim, Option<Arc<CSIStorageCapacity>>)>,
}

impl Claims {
    /// `None` for a pod without claims. Fails with why the pod fits nowhere.
    pub(super) fn of(pod: &PodInfo, catalog: &Catalog) -> Result<Option<Self>, String> {
        if pod.claims.is_empty() {
            return Ok(None);
        }
        let mut claims = Vec::new();
        for (name, ephemeral) in &pod.claims {
            let claim = catalog.claims.get(&pod.claim_key(name)).cloned().ok_or_else(|| {
                if *ephemeral {
                    format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}")
                } else {
                    format!("persistentvolumeclaim {name:?} not found")
                }
            })?;
            if claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost") {
                let volume = volume_name(&claim).unwrap_or_default();
                return Err(format!(
                    "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"
                ));
            }
            if claim.metadata.deletion_timestamp.is_some() {
                return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
            }
            if let Some(refusal) = ephemeral_refusal(&claim, pod).filter(|_| *ephemeral) {
                return Err(refusal);
            }
            claims.push(claim);
        }
        let (mut bound, mut delayed) = (Vec::new(), Vec::new());
        for claim in claims {
            if is_fully_bound(&claim) {
                bound.push(claim);
            } else if volume_name(&claim).is_none()
                && catalog.classes.get(claim_class(&claim)).is_some_and(|class| is_delayed(class))
            {
                delayed.push(claim);
            } else {
                return Err(UNBOUND.to_owned());
            }
        }
        delayed.sort_by_key(|claim| requested_bytes(claim));
        Ok(Some(Self { bound, delayed }))
    }

    /// Fails with why the node will not do. `hosted`: volumes that are unknown here may be known on the host.
    pub(super) fn find(&self, catalog: &Catalog, node: &NodeInfo, hosted: bool) -> Result<Found, Verdict> {
        let mut reasons = Vec::new();
        for claim in &self.bound {
            match volume_name(claim).and_then(|name| catalog.volumes.get(name)) {
                Some(volume) if !is_reachable(volume, &node.node) => {
                    reasons.push(NODE_CONFLICT);
                    break;
                }
                None if !hosted => {
                    reasons.push(NO_VOLUME);
                    break;
                }
                Some(_) | None => {}
            }
        }
        let found = match self.find_delayed(catalog, node) {
            Ok(found) => found,
            Err(verdict @ Verdict::Failed(_)) => return Err(verdict),
            Err(verdict) => {
                let own = verdict.reasons().iter().map(String::as_str);
                // A missing volume is named last, after what unbound claims lack.
                let at = usize::from(reasons.first() == Some(&NODE_CONFLICT));
                let mut all: Vec<String> = reasons.iter().map(|&reason| reason.to_owned()).collect();
                all.splice(at..at, own.map(str::to_owned));
                return Err(Verdict::Unresolvable(all));
            }
        };
        if reasons.is_empty() {
            Ok(found)
        } else {
            Err(Verdict::Unresolvable(reasons.into_iter().map(str::to_owned).collect()))
        }
    }

    fn find_delayed(&self, catalog: &Catalog, node: &NodeInfo) -> Result<Found, Verdict> {
        let mut found = Found::default();
        let mut taken = HashSet::new();
        let mut to_provision = Vec::new();
        for claim in &self.delayed {
            match annotation(&claim.metadata, SELECTED_NODE) {
                Some(selected) if selected != node.name() => return Err(Verdict::unresolvable(BIND_CONFLICT)),
                Some(_) => to_provision.push(claim),
                None => {}
            }
        }
        for claim in self.delayed.iter().filter(|claim| annotation(&claim.metadata, SELECTED_NODE).is_none()) {
            let class = claim_class(claim);
            let candidates = catalog.volumes.iter().filter(|volume| volume_class(volume) == class);
            match find_volume(claim, candidates, &node.node, &taken) {
                Some(volume) => {
                    taken.insert(volume.metadata.name.clone().unwrap_or_default());
                    found.bindings.push((volume.clone(), claim.clone()));
                }
                None => to_provision.push(claim),
            }
        }
        for claim in to_provision {
            found.provisions.push((claim.clone(), provision(claim, catalog, node)?));
        }
        Ok(found)
    }
}

/// Whether the claim's class can make a volume for the node.
fn provision(
    claim: &PersistentVolumeClaim,
    catalog: &Catalog,
    node: &NodeInfo,
) -> Result<Option<Arc<CSIStorageCapacity>>, Verdict> {
    let name = claim_class(claim);
    let Some(class) = catalog.classes.get(name) else {
        return Err(Verdict::Failed(format!("failed to find storage class {name:?}")));
    };
    let topologies = class.allowed_topologies.as_deref().unwrap_or_default();
    if matches!(class.provisioner.as_str(), "" | NO_PROVISIONER) || !allows(topologies, node) {
        return Err(Verdict::unresolvable(BIND_CONFLICT));
    }
    capacity(claim, class, catalog, node)
}

/// A node must have the labels of one term; no terms allow every node.
fn allows(topologies: &[TopologySelectorTerm], node: &NodeInfo) -> bool {
    let matches = |term: &TopologySelectorTerm| {
        let mut rules = term.match_label_expressions.iter().flatten().peekable();
        rules.peek().is_some()
            && rules.all(|rule| node.label(&rule.key).is_some_and(|value| rule.values.iter().any(|v| v == value)))
    };
    topologies.is_empty() || topologies.iter().any(matches)
}

/// The storage that the node would take the volume from, for drivers that say what they have.
fn capacity(
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    catalog: &Catalog,
    node: &NodeInfo,
) -> Result<Option<Arc<CSIStorageCapacity>>, Verdict> {
    let driver = catalog.csi_drivers.get(&class.provisioner);
    let tells = driver.is_some_and(|driver| driver.spec.storage_capacity == Some(true));
    let (true, Some(wanted)) = (tells, requested(claim)) else { return Ok(None) };
    let serves = |capacity: &&Arc<CSIStorageCapacity>| {
        Some(&capacity.storage_class_name) == class.metadata.name.as_ref()
            && limit(capacity).is_some_and(|limit| limit >= wanted.value())
            && capacity.node_topology.is_some()
            && Selector::new(capacity.node_topology.as_ref()).matches(node.labels())
    };
    let found = catalog.capacities.iter().find(serves);
    found.map(|capacity| Some(capacity.clone())).ok_or_else(|| Verdict::unresolvable(NO_SPACE))
}

impl Found {
    /// Class -> bytes requested and bytes there: of the volumes to be bound, or else of the node's storage.
    pub(super) fn room(&self) -> BTreeMap<String, (i64, i64)> {
        let mut classes: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for (volume, claim) in &self.bindings {
            let (requested, there) = classes.entry(volume_class(volume).to_owned()).or_default();
            *requested += requested_bytes(claim);
            *there += capacity_bytes(volume);
        }
        if !self.bindings.is_empty() {
            return classes;
        }
        for (claim, capacity) in &self.provisions {
            let Some(capacity) = capacity.as_ref().and_then(|capacity| capacity.capacity.as_ref()) else { continue };
            let bytes = apimachinery::Quantity::parse(&capacity.0).map_or(0, |quantity| quantity.value());
            let (requested, there) = classes.entry(claim_class(claim).to_owned()).or_default();
            *requested += requested_bytes(claim);
            *there = bytes;
        }
        classes
    }
}
