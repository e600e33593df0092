//! Volumes that carry a zone or region in their labels are usable from nodes of that zone or region only.

use crate::catalog::Catalog;
use crate::change::{Actions, Change, Changed};
use crate::framework::{Plugin, PreFilter, Prepared, Verdict};
use crate::pod::{PodInfo, claims};
use crate::snapshot::{NodeInfo, Snapshot};
use crate::storage::{claim_class, is_delayed, volume_name};
use k8s_openapi::api::core::v1::PersistentVolume;

/// `hosted` volumes may live on the host alone; nothing is known against them then.
pub(crate) struct VolumeZone {
    pub(crate) hosted: bool,
}

const REASON: &str = "node(s) had no available volume zone";
/// The labels of old clusters and what they are called now.
const LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "topology.kubernetes.io/region"),
];

/// One label of a volume with the values that it allows.
#[derive(Debug, PartialEq, Eq)]
struct Topology {
    key: &'static str,
    today: &'static str,
    values: Vec<String>,
}

/// Several zones stand in one label, parted by `__`; a label with an empty part is none.
fn topologies(volume: &PersistentVolume) -> Vec<Topology> {
    let labels = volume.metadata.labels.as_ref();
    let read = |(key, today): &(&'static str, &'static str)| {
        let values: Vec<String> = labels?.get(*key)?.split("__").map(|value| value.trim().to_owned()).collect();
        let complete = values.iter().all(|value| !value.is_empty());
        complete.then_some(Topology { key, today, values })
    };
    LABELS.iter().filter_map(read).collect()
}

impl VolumeZone {
    fn topologies_of(&self, pod: &PodInfo, catalog: &Catalog) -> Result<Vec<Topology>, String> {
        let mut all = Vec::new();
        for (name, _) in claims(&pod.pod).iter().filter(|(_, ephemeral)| !ephemeral) {
            if name.is_empty() {
                return Err("PersistentVolumeClaim had no name".to_owned());
            }
            let claim = catalog.claims.get(&pod.claim_key(name));
            let claim = claim.ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
            let Some(volume) = volume_name(claim) else {
                check_class(claim_class(claim), catalog)?;
                continue;
            };
            match catalog.volumes.get(volume) {
                Some(volume) => all.extend(topologies(volume)),
                None if self.hosted => {}
                None => return Err(format!("persistentvolume {volume:?} not found")),
            }
        }
        Ok(all)
    }
}

/// A claim without a volume is no matter only if it waits for the pod.
fn check_class(name: &str, catalog: &Catalog) -> Result<(), String> {
    if name.is_empty() {
        return Err("PersistentVolumeClaim had no pv name and storageClass name".to_owned());
    }
    let class = catalog.classes.get(name);
    let class = class.ok_or_else(|| format!("storageclass.storage.k8s.io {name:?} not found"))?;
    if class.volume_binding_mode.is_none() {
        return Err(format!("VolumeBindingMode not set for StorageClass {name:?}"));
    }
    if is_delayed(class) { Ok(()) } else { Err("PersistentVolume had no name".to_owned()) }
}

impl Plugin for VolumeZone {
    fn name(&self) -> &'static str {
        "VolumeZone"
    }

    fn woken_by(&self, pod: &PodInfo, change: &Change) -> bool {
        let comes_or_changes = change.actions.has(Actions::ADD.or(Actions::UPDATE));
        match &change.object {
            Changed::StorageClass(pair) => change.actions.has(Actions::ADD) && pair.after().is_some_and(is_delayed),
            Changed::Claim(pair) => {
                let Some(claim) = pair.after() else { return false };
                let mut names = claims(&pod.pod).into_iter().filter(|(_, ephemeral)| !ephemeral);
                claim.metadata.namespace == pod.pod.metadata.namespace
                    && names.any(|(name, _)| claim.metadata.name.as_ref() == Some(&name))
            }
            Changed::Volume(pair) if comes_or_changes => {
                pair.before().is_none() || pair.before().map(topologies) != pair.after().map(topologies)
            }
            _ => change.node(Actions::ADD.or(Actions::NODE_LABEL)).is_some(),
        }
    }

    fn pre_filter(&self) -> Option<&dyn PreFilter> {
        Some(self)
    }
}

impl PreFilter for VolumeZone {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Prepared<'a> {
        let topologies = match self.topologies_of(pod, &snapshot.catalog) {
            Ok(topologies) if topologies.is_empty() => return Prepared::Skip,
            Ok(topologies) => topologies,
            Err(reason) => return Prepared::Rejected(reason),
        };
        Prepared::Filter(Box::new(move |node: &NodeInfo| {
            // A cluster without zones has one.
            let zoned = LABELS.iter().any(|(key, _)| node.label(key).is_some());
            let within = |topology: &Topology| {
                let value = node.label(topology.key).or_else(|| node.label(topology.today));
                value.is_some_and(|value| topology.values.iter().any(|allowed| allowed == value))
            };
            if !zoned || topologies.iter().all(within) { Verdict::Fits } else { Verdict::unresolvable(REASON) }
        }))
    }
}
