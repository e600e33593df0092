//! Disks that only one node can write to, and claims that only one pod may use.

use crate::catalog::Catalog;
use crate::change::{Actions, Change, Changed};
use crate::framework::{Filter, Plugin, PreFilter, Prepared, Verdict};
use crate::pod::{PodInfo, claims, spec_of};
use crate::snapshot::{NodeInfo, Snapshot};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Volume};
use std::collections::BTreeSet;

pub(crate) struct VolumeRestrictions;

const DISK_CONFLICT: &str = "node(s) had no available disk";
const CLAIM_CONFLICT: &str =
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod";

/// Whether two pods' volumes are the same disk, which both cannot have at once.
fn conflicts(a: &Volume, b: &Volume) -> bool {
    let gce = a.gce_persistent_disk.as_ref().zip(b.gce_persistent_disk.as_ref());
    let aws = a.aws_elastic_block_store.as_ref().zip(b.aws_elastic_block_store.as_ref());
    let iscsi = a.iscsi.as_ref().zip(b.iscsi.as_ref());
    let rbd = a.rbd.as_ref().zip(b.rbd.as_ref());
    let writes = |a: Option<bool>, b: Option<bool>| !(a == Some(true) && b == Some(true));
    let pool = |pool: &Option<String>| pool.clone().unwrap_or_else(|| "rbd".to_owned());
    gce.is_some_and(|(a, b)| a.pd_name == b.pd_name && writes(a.read_only, b.read_only))
        || aws.is_some_and(|(a, b)| a.volume_id == b.volume_id)
        || iscsi.is_some_and(|(a, b)| a.iqn == b.iqn && writes(a.read_only, b.read_only))
        || rbd.is_some_and(|(a, b)| {
            a.monitors.iter().any(|monitor| b.monitors.contains(monitor))
                && pool(&a.pool) == pool(&b.pool)
                && a.image == b.image
                && writes(a.read_only, b.read_only)
        })
}

fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    spec_of(pod).volumes.iter().flatten()
}

fn is_disk(volume: &Volume) -> bool {
    volume.gce_persistent_disk.is_some()
        || volume.aws_elastic_block_store.is_some()
        || volume.iscsi.is_some()
        || volume.rbd.is_some()
}

fn pods_conflict(a: &Pod, b: &Pod) -> bool {
    volumes(a).filter(|volume| is_disk(volume)).any(|one| volumes(b).any(|other| conflicts(one, other)))
}

/// The names of the claims that the pod's volumes name themselves.
fn plain_claims(pod: &Pod) -> impl Iterator<Item = String> {
    claims(pod).into_iter().filter(|(_, ephemeral)| !ephemeral).map(|(name, _)| name)
}

fn is_exclusive(claim: &PersistentVolumeClaim) -> bool {
    let modes = claim.spec.iter().flat_map(|spec| spec.access_modes.iter().flatten());
    modes.into_iter().any(|mode| mode == "ReadWriteOncePod")
}

/// The pod's exclusive claims; fails with the text about one that is missing.
fn exclusive_claims(pod: &PodInfo, catalog: &Catalog) -> Result<BTreeSet<String>, String> {
    let mut exclusive = BTreeSet::new();
    for name in plain_claims(&pod.pod) {
        let claim = catalog.claims.get(&pod.claim_key(&name));
        let claim = claim.ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
        if is_exclusive(claim) {
            exclusive.insert(name);
        }
    }
    Ok(exclusive)
}

impl Plugin for VolumeRestrictions {
    fn name(&self) -> &'static str {
        "VolumeRestrictions"
    }

    fn woken_by(&self, pod: &PodInfo, change: &Change) -> bool {
        if let Some(gone) = change.assigned(Actions::DELETE).and_then(|pair| pair.before()) {
            let shares_claim = || plain_claims(gone).any(|name| plain_claims(&pod.pod).any(|own| own == name));
            return gone.metadata.namespace == pod.pod.metadata.namespace
                && (pods_conflict(&pod.pod, gone) || shares_claim());
        }
        if let Changed::Claim(pair) = &change.object {
            let meta = pair.latest().map(|claim| &claim.metadata);
            return change.actions.has(Actions::ADD)
                && meta.is_some_and(|meta| {
                    meta.namespace == pod.pod.metadata.namespace
                        && plain_claims(&pod.pod).any(|name| meta.name.as_ref() == Some(&name))
                });
        }
        change.node(Actions::ADD).is_some()
    }

    fn pre_filter(&self) -> Option<&dyn PreFilter> {
        Some(self)
    }
}

#[derive(Clone)]
struct Restrictions<'a> {
    pod: &'a PodInfo,
    exclusive: BTreeSet<String>,
    /// How often pods on nodes use the exclusive claims.
    users: i64,
}

impl PreFilter for VolumeRestrictions {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Prepared<'a> {
        let exclusive = match exclusive_claims(pod, &snapshot.catalog) {
            Ok(exclusive) => exclusive,
            Err(reason) => return Prepared::Rejected(reason),
        };
        let used = |name: &&String| snapshot.claim_users.contains_key(&pod.claim_key(name));
        let users = exclusive.iter().filter(used).count() as i64;
        if users == 0 && !volumes(&pod.pod).any(is_disk) {
            return Prepared::Skip;
        }
        Prepared::Filter(Box::new(Restrictions { pod, exclusive, users }))
    }
}

impl Restrictions<'_> {
    fn uses(&self, other: &PodInfo) -> i64 {
        plain_claims(&other.pod).filter(|name| self.exclusive.contains(name)).count() as i64
    }
}

impl Filter for Restrictions<'_> {
    fn filter(&self, node: &NodeInfo) -> Verdict {
        if node.pods.iter().any(|other| pods_conflict(&self.pod.pod, &other.pod)) {
            Verdict::unschedulable(DISK_CONFLICT)
        } else if self.users > 0 {
            Verdict::unschedulable(CLAIM_CONFLICT)
        } else {
            Verdict::Fits
        }
    }

    fn fork(&self) -> Option<Box<dyn Filter + '_>> {
        Some(Box::new(self.clone()))
    }

    fn add(&mut self, pod: &PodInfo, _: &NodeInfo) {
        self.users += self.uses(pod);
    }

    fn remove(&mut self, pod: &PodInfo, _: &NodeInfo) {
        self.users -= self.uses(pod);
    }
}
