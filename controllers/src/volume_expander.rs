//! Says who enlarges a claim's volume. Upstream's `pkg/controller/volume/expand`.
//!
//! No in-tree plugin can resize any more, so all that is left is to point at the external resizer. Owns nothing. Woken by
//! claims whose request or capacity grew. Volumes that another party mirrors are enlarged where they come from.

use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::meta::Meta;
use crate::plan::Plan;
use crate::queue::Key;
use apimachinery::Quantity;
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use std::sync::Arc;

pub(crate) struct VolumeExpander {
    informers: Informers,
    claims: Store<PersistentVolumeClaim>,
    volumes: Store<PersistentVolume>,
    mirror: Option<&'static str>,
}

impl VolumeExpander {
    pub(crate) fn new(informers: &Informers, mirror: Option<&'static str>) -> Self {
        Self { informers: informers.clone(), claims: informers.store(), volumes: informers.store(), mirror }
    }
}

/// What is asked for, and what there is.
fn sizes(claim: &PersistentVolumeClaim) -> (Quantity, Quantity) {
    let read = |size: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity>| {
        size.and_then(|size| Quantity::parse(&size.0).ok()).unwrap_or(Quantity::ZERO)
    };
    let asked = || claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage");
    let given = || claim.status.as_ref()?.capacity.as_ref()?.get("storage");
    (read(asked()), read(given()))
}

impl Controller for VolumeExpander {
    type Observed = (Arc<PersistentVolumeClaim>, Arc<PersistentVolume>);

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "persistentvolume-expander-controller",
            account: "expand-controller",
            component: "volume_expand",
            workers: 2,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let grown = |event: &informer::Event<PersistentVolumeClaim>| {
            let (Some(old), Some(new)) = (&event.old, &event.new) else { return Vec::new() };
            let ((asked, given), (asks, has)) = (sizes(old), sizes(new));
            if asks > asked || has > given { vec![key_of(&**new)] } else { Vec::new() }
        };
        vec![Watch::on(&self.informers, &self.claims, grown), Watch::on(&self.informers, &self.volumes, |_| Vec::new())]
    }

    fn observe(&self, key: &Key) -> Option<Self::Observed> {
        let claim = self.claims.get(&key.namespace, &key.name)?;
        let volume = self.volumes.get("", claim.spec.as_ref()?.volume_name.as_deref()?)?;
        let mirrored = self.mirror.is_some_and(|annotation| volume.annotation(annotation).is_some());
        (!mirrored).then_some((claim, volume))
    }

    fn plan(&self, (claim, volume): &Self::Observed, _now: Timestamp) -> Plan {
        plan(claim, volume)
    }
}

fn plan(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Plan {
    let mut plan = Plan::default();
    let (asked, given) = sizes(claim);
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
        && reference.is_some_and(|reference| reference.uid.as_deref() == Some(claim.uid()));
    if bound && asked > given {
        plan.event(claim, "ExternalExpanding", "waiting for an external controller to expand this PVC");
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_grown_claim_waits_for_an_external_resizer() {
        let run = |asked: &str, uid: &str| {
            let claim = json!({"metadata": {"name": "c", "namespace": "ns", "uid": "u"}, "spec": {"resources": {"requests": {"storage": asked}}},
                "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
            let volume = json!({"metadata": {"name": "v"}, "spec": {"claimRef": {"uid": uid}}});
            plan(&serde_json::from_value(claim).unwrap(), &serde_json::from_value(volume).unwrap()).to_string()
        };
        assert_eq!(run("2Gi", "u"), "event ExternalExpanding waiting for an external controller to expand this PVC");
        assert_eq!(run("1Gi", "u"), "");
        assert_eq!(run("2Gi", "other"), "");
    }
}
