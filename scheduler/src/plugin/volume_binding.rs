//! A pod's claims: those that are bound must be reachable from the node, those that wait for the pod must find a volume
//! or have one made there.

mod find;

use crate::bind::Write;
use crate::catalog::{Assumed, key};
use crate::change::{Actions, Change, Changed};
use crate::config::LONGEST;
use crate::config::args::VolumeBindingArgs;
use crate::framework::{Plugin, PreFilter, PreScore, Prepared, Reservation, Reserve, Score};
use crate::plugin::resource_allocation::Shape;
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};
use crate::storage::{SELECTED_NODE, annotation, bind_to_claim, is_fully_bound, is_reachable, volume_name};
use find::{Claims, Found};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::CSIStorageCapacity;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct VolumeBinding {
    timeout: Duration,
    shape: Shape,
    /// Volumes are provisioned on the host once the pod runs there: they may be unknown here, and waiting for them
    /// before the pod is bound would be waiting for ever.
    hosted: bool,
}

impl VolumeBinding {
    pub(crate) fn new(args: &VolumeBindingArgs, hosted: bool) -> Self {
        Self {
            timeout: Duration::from_secs(args.bind_timeout_seconds.min(LONGEST)),
            shape: Shape::new(&args.shape),
            hosted,
        }
    }
}

/// `namespace/name` of a claim that the pod names.
fn names_claim(pod: &PodInfo, claim: &PersistentVolumeClaim) -> bool {
    claim.metadata.namespace == pod.pod.metadata.namespace
        && pod.claims.iter().any(|(name, _)| claim.metadata.name.as_ref() == Some(name))
}

fn limit(capacity: &CSIStorageCapacity) -> Option<i64> {
    let text = capacity.maximum_volume_size.as_ref().or(capacity.capacity.as_ref())?;
    apimachinery::Quantity::parse(&text.0).ok().map(|quantity| quantity.value())
}

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }

    fn woken_by(&self, pod: &PodInfo, change: &Change) -> bool {
        match &change.object {
            _ if change.actions.has(Actions::DELETE) => false,
            Changed::StorageClass(pair) => pair
                .before()
                .is_none_or(|old| pair.after().is_some_and(|new| new.allowed_topologies != old.allowed_topologies)),
            Changed::Claim(pair) => pair.after().is_some_and(|claim| names_claim(pod, claim)),
            Changed::Volume(_) => true,
            Changed::CsiNode(pair) => {
                let migrated = |node: &k8s_openapi::api::storage::v1::CSINode| {
                    annotation(&node.metadata, "storage.alpha.kubernetes.io/migrated-plugins").map(str::to_owned)
                };
                pair.before().is_none_or(|old| pair.after().is_some_and(|new| migrated(old) != migrated(new)))
            }
            Changed::CsiDriver(pair) => {
                let (Some(old), Some(new)) = (pair.before(), pair.after()) else { return false };
                let freed = old.spec.storage_capacity == Some(true) && new.spec.storage_capacity != Some(true);
                let mut volumes = pod.spec().volumes.iter().flatten().filter_map(|volume| volume.csi.as_ref());
                freed && volumes.any(|csi| new.metadata.name.as_ref() == Some(&csi.driver))
            }
            Changed::CsiStorageCapacity(pair) => {
                let Some(old) = pair.before().map(limit) else { return true };
                let new = pair.after().and_then(limit);
                new.is_some_and(|new| old.is_none_or(|old| new > old))
            }
            _ => change.node(Actions::ADD.or(Actions::NODE_LABEL)).is_some(),
        }
    }

    fn pre_filter(&self) -> Option<&dyn PreFilter> {
        Some(self)
    }

    fn pre_score(&self) -> Option<&dyn PreScore> {
        Some(self)
    }

    fn reserve(&self) -> Option<&dyn Reserve> {
        Some(self)
    }
}

impl PreFilter for VolumeBinding {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Prepared<'a> {
        match Claims::of(pod, &snapshot.catalog) {
            Ok(None) => Prepared::Skip,
            Ok(Some(claims)) => Prepared::Filter(Box::new(move |node: &NodeInfo| {
                match claims.find(&snapshot.catalog, node, self.hosted) {
                    Ok(_) => crate::framework::Verdict::Fits,
                    Err(verdict) => verdict,
                }
            })),
            Err(reason) => Prepared::Rejected(reason),
        }
    }
}

struct Room<'a> {
    plugin: &'a VolumeBinding,
    snapshot: &'a Snapshot,
    claims: Claims,
}

impl PreScore for VolumeBinding {
    fn scorer<'a>(
        &'a self,
        pod: &'a PodInfo,
        snapshot: &'a Snapshot,
        _: &[Arc<NodeInfo>],
    ) -> Option<Box<dyn Score + 'a>> {
        let claims = Claims::of(pod, &snapshot.catalog).ok()??;
        Some(Box::new(Room { plugin: self, snapshot, claims }))
    }
}

impl Score for Room<'_> {
    /// How full the volumes or the node's storage would be, by the configured line; the mean over the classes.
    fn score(&self, node: &NodeInfo) -> i64 {
        let Ok(found) = self.claims.find(&self.snapshot.catalog, node, self.plugin.hosted) else { return 0 };
        let classes: BTreeMap<String, (i64, i64)> = found.room();
        if classes.is_empty() {
            return 0;
        }
        let sum: i64 = classes.values().map(|(requested, capacity)| self.plugin.shape.of(*requested, *capacity)).sum();
        (sum as f64 / classes.len() as f64).round() as i64
    }
}

impl Reserve for VolumeBinding {
    fn take(&self, pod: &PodInfo, snapshot: &Snapshot, node: &str) -> Result<Reservation, String> {
        let Some(claims) = Claims::of(pod, &snapshot.catalog)? else { return Ok(Reservation::default()) };
        let Some(info) = snapshot.node(node) else { return Ok(Reservation::default()) };
        let found = claims.find(&snapshot.catalog, info, self.hosted);
        let found = found.map_err(|verdict| verdict.reasons().join(", "))?;
        let Found { bindings, provisions } = found;
        let mut reservation = Reservation::default();
        let waits = !bindings.is_empty() || !provisions.is_empty();
        for (volume, claim) in bindings {
            let Some(bound) = bind_to_claim(&volume, &claim) else { continue };
            let name = volume.metadata.name.as_deref().unwrap_or_default();
            let path = format!("/api/v1/persistentvolumes/{name}");
            let patch = json!({
                "metadata": {
                    "resourceVersion": volume.metadata.resource_version, "annotations": bound.metadata.annotations,
                },
                "spec": {"claimRef": bound.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref())},
            });
            reservation.before_bind.push(Write::merge(path, patch));
            reservation.assumed.push(Assumed::Volume(Arc::new(bound)));
        }
        for (claim, _) in provisions {
            if annotation(&claim.metadata, SELECTED_NODE) == Some(node) {
                continue;
            }
            let (namespace, name) = (pod.namespace(), claim.metadata.name.as_deref().unwrap_or_default());
            let path = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}");
            let patch = json!({"metadata": {"annotations": {SELECTED_NODE: node}}});
            reservation.before_bind.push(Write::merge(path, patch));
            let mut told = (*claim).clone();
            told.metadata.annotations.get_or_insert_default().insert(SELECTED_NODE.to_owned(), node.to_owned());
            reservation.assumed.push(Assumed::Claim(Arc::new(told)));
        }
        reservation.waits = (waits && !self.hosted).then_some(self.timeout);
        Ok(reservation)
    }

    /// All claims are bound, to volumes that the node can reach.
    fn ready(&self, pod: &PodInfo, snapshot: &Snapshot, node: &str) -> Result<bool, String> {
        let Some(info) = snapshot.node(node) else { return Err(format!("failed to get node {node:?}")) };
        for (name, _) in &pod.claims {
            let claim = snapshot.catalog.claims.shown(&pod.claim_key(name));
            let claim = claim.ok_or_else(|| format!("failed to check provisioning pvc: could not find {name:?}"))?;
            if let Some(volume) = volume_name(claim).and_then(|name| snapshot.catalog.volumes.shown(name))
                && !is_reachable(volume, &info.node)
            {
                let volume = key(&volume.metadata);
                return Err(format!("pv {volume:?} node affinity doesn't match node {node:?}"));
            }
            if !is_fully_bound(claim) {
                // The provisioner takes the annotation away when it cannot serve this node.
                let told = snapshot.catalog.claims.get(&pod.claim_key(name));
                let told = told.and_then(|claim| annotation(&claim.metadata, SELECTED_NODE));
                let by_volume = snapshot.catalog.volumes.iter().any(|volume| {
                    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
                    reference.is_some_and(|reference| reference.uid == claim.metadata.uid)
                });
                if told != Some(node) && !by_volume {
                    return Err(format!("provisioning failed for PVC {name:?}"));
                }
                return Ok(false);
            }
        }
        Ok(true)
    }
}
