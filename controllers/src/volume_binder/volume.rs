//! The next step of a volume: `syncVolume` and `reclaimVolume` of upstream's `pv_controller.go`.

use super::{BOUND_BY_CONTROLLER, MIGRATED_TO, PROVISIONED_BY, matching, phase, reference, reference_uid, volume_name};
use crate::meta::Meta;
use crate::plan::Plan;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use serde_json::json;
use std::sync::Arc;

pub struct View {
    pub(super) volume: Arc<PersistentVolume>,
    /// The claim of the name that the volume refers to.
    pub(super) claim: Option<Arc<PersistentVolumeClaim>>,
    /// Pods, as `NAMESPACE/NAME`, that use a claim of that name and have not ended.
    pub(super) users: Vec<String>,
}

pub(super) fn plan(view: &View) -> Plan {
    let mut plan = Plan::default();
    let volume = &view.volume;
    let Some(uid) = reference(volume).map(reference_uid).filter(|uid| !uid.is_empty()) else {
        // Free, or kept for a claim that has not come to it yet.
        set_phase(volume, "Available", "", &mut plan);
        return plan;
    };
    let claim = view.claim.as_ref().filter(|claim| claim.uid() == uid);
    match claim.map(|claim| (claim, volume_name(claim))) {
        None => {
            if let Some(reference) = reference(volume) {
                plan.expect_gone::<PersistentVolumeClaim>(&super::claim_key(reference), uid);
            }
            release(view, &mut plan);
        }
        Some((claim, None)) if !matching::same_mode(volume, claim) => {
            let claim_name = claim.name();
            let message = format!(
                "Cannot bind PersistentVolume to requested PersistentVolumeClaim \"{claim_name}\" due to incompatible volumeMode."
            );
            plan.warning(&**volume, "VolumeMismatch", message);
            let name = volume.name();
            let message = format!(
                "Cannot bind PersistentVolume \"{name}\" to requested PersistentVolumeClaim due to incompatible volumeMode."
            );
            plan.warning(&**claim, "VolumeMismatch", message);
        }
        // The claim's own turn finishes the binding.
        Some((_, None)) => {}
        Some((_, Some(name))) if name == volume.name() => set_phase(volume, "Bound", "", &mut plan),
        Some((_, Some(_))) => {
            let spec = volume.spec.as_ref();
            let policy = spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
            if volume.annotation(PROVISIONED_BY).is_some() && policy == Some("Delete") {
                release(view, &mut plan);
            } else {
                unbind(volume, &mut plan);
            }
        }
    }
    plan
}

/// Undoes a binding that lost. A volume that the user reserved stays reserved.
fn unbind(volume: &PersistentVolume, plan: &mut Plan) {
    let mut changed = volume.clone();
    let spec = changed.spec.get_or_insert_default();
    if volume.annotation(BOUND_BY_CONTROLLER).is_some() {
        spec.claim_ref = None;
        changed.metadata.annotations.get_or_insert_default().remove(BOUND_BY_CONTROLLER);
    } else if let Some(reference) = &mut spec.claim_ref {
        reference.uid = None;
    }
    plan.update(&changed);
}

fn release(view: &View, plan: &mut Plan) {
    let volume = &view.volume;
    if !matches!(phase(volume), "Released" | "Failed") {
        set_phase(volume, "Released", "", plan);
        return;
    }
    let policy = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    let migrated = volume.annotation(MIGRATED_TO).is_some_and(|driver| !driver.is_empty());
    match policy.unwrap_or("Retain") {
        _ if migrated => {}
        "Retain" => {}
        "Recycle" if !view.users.is_empty() && view.claim.is_none() => {
            let message = format!("Volume is used by pods: {}", view.users.join(","));
            plan.event(&**volume, "VolumeFailedRecycle", message);
        }
        "Recycle" => fail(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!", plan),
        "Delete" => delete(volume, plan),
        _ => {
            let message = "Volume has unrecognized PersistentVolumeReclaimPolicy";
            fail(volume, "VolumeUnknownReclaimPolicy", message, plan);
        }
    }
}

/// External deleters wait for the phase `Released`; only what was provisioned in-tree or by hand is left to us.
fn delete(volume: &PersistentVolume, plan: &mut Plan) {
    let spec = volume.spec.as_ref();
    let by = volume.annotation(PROVISIONED_BY).unwrap_or_default();
    let external = (!by.is_empty() && !by.starts_with("kubernetes.io/")) || spec.is_some_and(|spec| spec.csi.is_some());
    if external {
        return;
    }
    match spec.and_then(|spec| spec.host_path.as_ref()) {
        Some(source) if source.path.len() > "/tmp/".len() && source.path.starts_with("/tmp/") => plan.delete(volume),
        Some(source) => {
            let message = format!("host_path deleter only supports /tmp/.+ but received provided {}", source.path);
            fail(volume, "VolumeFailedDelete", &message, plan);
        }
        None => {
            let name = volume.name();
            let message = format!(
                "error getting deleter volume plugin for volume \"{name}\": no deletable volume plugin matched"
            );
            fail(volume, "VolumeFailedDelete", &message, plan);
        }
    }
}

fn fail(volume: &PersistentVolume, reason: &'static str, message: &str, plan: &mut Plan) {
    if phase(volume) != "Failed" {
        set_phase(volume, "Failed", message, plan);
        plan.warning(volume, reason, message);
    }
}

pub(super) fn set_phase(volume: &PersistentVolume, wanted: &str, message: &str, plan: &mut Plan) {
    if phase(volume) != wanted {
        let mut status = volume.status.clone().unwrap_or_default();
        status.phase = Some(wanted.to_owned());
        status.message = Some(message.to_owned()).filter(|message| !message.is_empty());
        plan.set_status(volume, json!(status));
    }
}
