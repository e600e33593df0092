//! A node takes only as many volumes of a CSI driver as the driver says on its `CSINode`.

use crate::change::{Actions, Change, Changed};
use crate::framework::{Plugin, PreFilter, Prepared, Verdict};
use crate::pod::{PodInfo, claims, has_node, spec_of};
use crate::snapshot::{NodeInfo, Snapshot};
use crate::storage::{claim_class, ephemeral_refusal, volume_name};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Volume};
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use std::collections::{HashMap, HashSet};

pub(crate) struct NodeVolumeLimits;

const REASON: &str = "node(s) exceed max volume count";

/// The CSI drivers that took over from volume plugins of old, by plugin (`k8s.io/csi-translation-lib`); only those that
/// are on everywhere.
const MIGRATED: [(&str, &str); 5] = [
    ("kubernetes.io/aws-ebs", "ebs.csi.aws.com"),
    ("kubernetes.io/gce-pd", "pd.csi.storage.gke.io"),
    ("kubernetes.io/azure-disk", "disk.csi.azure.com"),
    ("kubernetes.io/cinder", "cinder.csi.openstack.org"),
    ("kubernetes.io/portworx-volume", "pxd.portworx.com"),
];

fn migrated(plugin: &str) -> Option<&'static str> {
    MIGRATED.iter().find(|(name, _)| *name == plugin).map(|(_, driver)| *driver)
}

/// One volume of one driver; the second is what tells it from others.
type Unique = (String, String);

/// The driver and the disk of a volume that a pod names without a claim.
fn inline(volume: &Volume) -> Option<Unique> {
    let (plugin, disk) = if let Some(disk) = &volume.aws_elastic_block_store {
        ("kubernetes.io/aws-ebs", &disk.volume_id)
    } else if let Some(disk) = &volume.gce_persistent_disk {
        ("kubernetes.io/gce-pd", &disk.pd_name)
    } else if let Some(disk) = &volume.azure_disk {
        ("kubernetes.io/azure-disk", &disk.disk_name)
    } else if let Some(disk) = &volume.cinder {
        ("kubernetes.io/cinder", &disk.volume_id)
    } else if let Some(disk) = &volume.portworx_volume {
        ("kubernetes.io/portworx-volume", &disk.volume_id)
    } else {
        return None;
    };
    Some((migrated(plugin)?.to_owned(), disk.clone()))
}

/// The driver and the handle of a volume.
fn of_volume(volume: &PersistentVolume) -> Option<Unique> {
    let spec = volume.spec.as_ref()?;
    if let Some(csi) = &spec.csi {
        return Some((csi.driver.clone(), csi.volume_handle.clone()));
    }
    let (plugin, disk) = if let Some(disk) = &spec.aws_elastic_block_store {
        ("kubernetes.io/aws-ebs", &disk.volume_id)
    } else if let Some(disk) = &spec.gce_persistent_disk {
        ("kubernetes.io/gce-pd", &disk.pd_name)
    } else if let Some(disk) = &spec.azure_disk {
        ("kubernetes.io/azure-disk", &disk.disk_name)
    } else if let Some(disk) = &spec.cinder {
        ("kubernetes.io/cinder", &disk.volume_id)
    } else if let Some(disk) = &spec.portworx_volume {
        ("kubernetes.io/portworx-volume", &disk.volume_id)
    } else {
        return None;
    };
    Some((migrated(plugin)?.to_owned(), disk.clone()))
}

/// A claim that has no volume yet will have one of its class's driver.
fn of_class(claim: &PersistentVolumeClaim, class: &StorageClass) -> Unique {
    let driver = migrated(&class.provisioner).unwrap_or(&class.provisioner).to_owned();
    let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
    (driver, format!("\0{namespace}/{}", claim.metadata.name.as_deref().unwrap_or_default()))
}

impl Snapshot {
    /// What the claim is or will be on a node.
    fn attachable(&self, claim: &PersistentVolumeClaim) -> Option<Unique> {
        match volume_name(claim).and_then(|name| self.catalog.volumes.get(name)) {
            Some(volume) => of_volume(volume),
            None => self.catalog.classes.get(claim_class(claim)).map(|class| of_class(claim, class)),
        }
    }

    /// All volumes of the pod that are attached. For a new pod its claims must be there.
    fn attachables(&self, pod: &PodInfo, new: bool) -> Result<HashSet<Unique>, Verdict> {
        let mut all: HashSet<_> = spec_of(&pod.pod).volumes.iter().flatten().filter_map(inline).collect();
        for (name, ephemeral) in &pod.claims {
            let Some(claim) = self.catalog.claims.get(&pod.claim_key(name)) else {
                if !new {
                    continue;
                }
                let namespace = pod.namespace();
                let reason = format!("looking up PVC {namespace}/{name}: persistentvolumeclaim {name:?} not found");
                return Err(Verdict::unresolvable(reason));
            };
            if let Some(refusal) = ephemeral_refusal(claim, pod).filter(|_| *ephemeral) {
                return Err(Verdict::Failed(refusal));
            }
            all.extend(self.attachable(claim));
        }
        Ok(all)
    }

    /// What is attached to the node by the word of the attach controller.
    fn attached(&self, node: &str) -> impl Iterator<Item = Unique> {
        let here = self.catalog.attachments.iter().filter(move |attachment| attachment.spec.node_name == node);
        here.filter_map(|attachment| {
            let volume = self.catalog.volumes.get(attachment.spec.source.persistent_volume_name.as_deref()?)?;
            let csi = volume.spec.as_ref()?.csi.as_ref()?;
            Some((attachment.spec.attacher.clone(), csi.volume_handle.clone()))
        })
    }

    fn judge_limits(&self, pod: &PodInfo, wanted: &HashSet<Unique>, node: &NodeInfo) -> Verdict {
        let csi_node = self.catalog.csi_nodes.get(node.name());
        for (driver, _) in wanted {
            let object = self.catalog.csi_drivers.get(driver);
            let strict = object.is_some_and(|driver| driver.spec.prevent_pod_scheduling_if_missing == Some(true));
            let installed = csi_node.is_some_and(|node| node.spec.drivers.iter().any(|d| d.name == *driver));
            if strict && !installed {
                return Verdict::unschedulable(format!("{driver} CSI driver is not installed on the node"));
            }
        }
        let Some(limits) = csi_node.map(|node| limits(node)).filter(|limits| !limits.is_empty()) else {
            return Verdict::Fits;
        };
        let mut there = HashSet::new();
        for other in node.pods.iter().filter(|other| other.uid() != pod.uid()) {
            match self.attachables(other, false) {
                Ok(attached) => there.extend(attached),
                Err(verdict) => return verdict,
            }
        }
        let new: Vec<Unique> = wanted.difference(&there).cloned().collect();
        there.extend(self.attached(node.name()));
        let exceeded = |(driver, limit): (&str, i64)| {
            let count = new.iter().filter(|(of, _)| of == driver).count();
            let taken = there.iter().filter(|(of, _)| of == driver).count();
            count > 0 && (count + taken) as i64 > limit
        };
        if limits.into_iter().any(exceeded) { Verdict::unschedulable(REASON) } else { Verdict::Fits }
    }
}

fn limits(node: &CSINode) -> HashMap<&str, i64> {
    let limit = |driver: &'_ k8s_openapi::api::storage::v1::CSINodeDriver| {
        driver.allocatable.as_ref().and_then(|allocatable| allocatable.count)
    };
    let drivers = node.spec.drivers.iter();
    drivers.filter_map(|driver| Some((driver.name.as_str(), i64::from(limit(driver)?)))).collect()
}

fn has_attachable(pod: &Pod) -> bool {
    !claims(pod).is_empty() || spec_of(pod).volumes.iter().flatten().any(|volume| inline(volume).is_some())
}

impl Plugin for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        "NodeVolumeLimits"
    }

    fn woken_by(&self, pod: &PodInfo, change: &Change) -> bool {
        if let Some(gone) = change.assigned(Actions::DELETE).and_then(|pair| pair.before()) {
            return has_node(gone) && has_attachable(gone);
        }
        match &change.object {
            Changed::CsiNode(pair) => match (pair.before(), pair.after()) {
                (None, Some(_)) => true,
                (Some(old), Some(new)) => {
                    let old = limits(old);
                    limits(new).into_iter().any(|(driver, limit)| limit > old.get(driver).copied().unwrap_or(0))
                }
                (_, None) => false,
            },
            Changed::Claim(pair) => {
                let meta = pair.latest().map(|claim| &claim.metadata);
                change.actions.has(Actions::ADD)
                    && meta.is_some_and(|meta| {
                        meta.namespace == pod.pod.metadata.namespace
                            && pod.claims.iter().any(|(name, _)| meta.name.as_ref() == Some(name))
                    })
            }
            Changed::VolumeAttachment(pair) => {
                let Some(gone) = pair.before().filter(|_| change.actions.has(Actions::DELETE)) else { return false };
                let driver = |volume| inline(volume).is_some_and(|(driver, _)| driver == gone.spec.attacher);
                let mut volumes = pod.spec().volumes.iter().flatten();
                volumes.any(|volume| volume.persistent_volume_claim.is_some() || driver(volume))
            }
            _ => false,
        }
    }

    fn pre_filter(&self) -> Option<&dyn PreFilter> {
        Some(self)
    }
}

impl PreFilter for NodeVolumeLimits {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Prepared<'a> {
        if !has_attachable(&pod.pod) {
            return Prepared::Skip;
        }
        let wanted = snapshot.attachables(pod, true);
        Prepared::Filter(Box::new(move |node: &NodeInfo| match &wanted {
            Err(verdict) => verdict.clone(),
            Ok(wanted) if wanted.is_empty() => Verdict::Fits,
            Ok(wanted) => snapshot.judge_limits(pod, wanted, node),
        }))
    }
}
