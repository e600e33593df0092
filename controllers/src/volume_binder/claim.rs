//! The next step of a claim: `syncUnboundClaim` and `syncBoundClaim` of upstream's `pv_controller.go`.

use super::class::{has_class, provisioner, waits_for_consumer};
use super::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, class_of_claim, is_bound_to, matching, phase, reference, reference_uid,
    volume_name,
};
use crate::meta::{Meta, object_reference};
use crate::plan::Plan;
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
const BETA_PROVISIONER: &str = "volume.beta.kubernetes.io/storage-provisioner";
/// On volumes: the size that the file system still has.
const PRE_RESIZE: &str = "volume.alpha.kubernetes.io/pre-resize-capacity";

pub struct View {
    pub(super) claim: Arc<PersistentVolumeClaim>,
    pub(super) class: Option<Arc<StorageClass>>,
    pub(super) default_class: Option<Arc<StorageClass>>,
    /// The volume that the claim names, if there is one of that name.
    pub(super) named: Option<Arc<PersistentVolume>>,
    /// Every volume there is, for a claim that names none.
    pub(super) volumes: Vec<Arc<PersistentVolume>>,
    /// Pods that use the claim and have no node yet.
    pub(super) waiting: Vec<String>,
}

pub(super) fn plan(view: &View) -> Plan {
    let mut plan = Plan::default();
    if view.claim.annotation(BIND_COMPLETED).is_some() {
        bound(view, &mut plan);
    } else if volume_name(&view.claim).is_some() {
        asks_for_one(view, &mut plan);
    } else {
        undecided(view, &mut plan);
    }
    plan
}

fn undecided(view: &View, plan: &mut Plan) {
    let View { claim, class, .. } = view;
    let delayed = waits_for_consumer(class.as_deref());
    if let Some(volume) = matching::find(claim, &view.volumes, delayed) {
        bind(volume, claim, plan);
        return;
    }
    if let Some(default) = view.default_class.as_ref().filter(|_| !has_class(claim)) {
        let mut changed = (**claim).clone();
        changed.spec.get_or_insert_default().storage_class_name = Some(default.name().to_owned());
        plan.update(&changed);
        return;
    }
    if delayed && claim.annotation(SELECTED_NODE).is_none() {
        let (reason, message) = match view.waiting.as_slice() {
            [] => ("WaitForFirstConsumer", "waiting for first consumer to be created before binding".to_owned()),
            [pod] => ("WaitForPodScheduled", format!("waiting for pod {pod} to be scheduled")),
            pods => ("WaitForPodScheduled", format!("waiting for pods {} to be scheduled", pods.join(","))),
        };
        plan.event(&**claim, reason, message);
    } else if !class_of_claim(claim).is_empty() {
        provision(view, plan);
        return;
    } else {
        let message = "no persistent volumes available for this claim and no storage class is set";
        plan.event(&**claim, "FailedBinding", message);
    }
    set_phase(claim, "Pending", None, plan);
}

/// Names the provisioner on the claim; it makes a volume that names the claim.
fn provision(view: &View, plan: &mut Plan) {
    let claim = &view.claim;
    let missing = || format!("storageclass.storage.k8s.io \"{}\" not found", class_of_claim(claim));
    let name = match view.class.as_ref().ok_or_else(missing).and_then(|class| provisioner(class)) {
        Ok(name) => name,
        Err(message) => {
            plan.warning(&**claim, "ProvisioningFailed", message);
            return;
        }
    };
    if claim.annotation(PROVISIONER) != Some(name) {
        let mut changed = (**claim).clone();
        let annotations = changed.metadata.annotations.get_or_insert_default();
        annotations.extend([BETA_PROVISIONER, PROVISIONER].map(|key| (key.to_owned(), name.to_owned())));
        plan.update(&changed);
        return;
    }
    let message = format!(
        "Waiting for a volume to be created either by the external provisioner '{name}' or manually by the system administrator. \
         If volume creation is delayed, please verify that the provisioner is running and correctly registered."
    );
    plan.event(&**claim, "ExternalProvisioning", message);
}

fn asks_for_one(view: &View, plan: &mut Plan) {
    let claim = &view.claim;
    let Some(volume) = &view.named else {
        set_phase(claim, "Pending", None, plan);
        return;
    };
    if is_bound_to(volume, claim) {
        bind(volume, claim, plan);
    } else if reference(volume).is_some() {
        let message = format!("volume \"{}\" already bound to a different claim.", volume.name());
        plan.warning(&**claim, "FailedBinding", message);
        if claim.annotation(BOUND_BY_CONTROLLER).is_none() {
            set_phase(claim, "Pending", None, plan);
        }
    } else if let Some(mismatch) = matching::mismatch(volume, claim) {
        let message = format!("Cannot bind to requested volume \"{}\": {mismatch}", volume.name());
        plan.warning(&**claim, "VolumeMismatch", message);
        set_phase(claim, "Pending", None, plan);
    } else {
        bind(volume, claim, plan);
    }
}

fn bound(view: &View, plan: &mut Plan) {
    let claim = &view.claim;
    let (reason, message) = match &view.named {
        Some(volume) => match reference(volume) {
            Some(reference) if reference_uid(reference) != claim.uid() => {
                ("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
            }
            _ => {
                bind(volume, claim, plan);
                return;
            }
        },
        None if volume_name(claim).is_some() => {
            ("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
        }
        None => ("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"),
    };
    if claim.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Lost") {
        set_phase(claim, "Lost", None, plan);
        plan.warning(&**claim, reason, message);
    }
}

/// The next step of a binding on either side. What a step changes wakes the claim for the next one.
fn bind(volume: &Arc<PersistentVolume>, claim: &Arc<PersistentVolumeClaim>, plan: &mut Plan) {
    if let Some(changed) = bound_volume(volume, claim) {
        plan.update(&changed);
    } else if phase(volume) != "Bound" {
        super::volume::set_phase(volume, "Bound", "", plan);
    }
    let named = volume_name(claim) == Some(volume.name());
    if named && claim.annotation(BIND_COMPLETED).is_some() {
        set_phase(claim, "Bound", Some(volume), plan);
        return;
    }
    let mut changed = (**claim).clone();
    let annotations = changed.metadata.annotations.get_or_insert_default();
    annotations.insert(BIND_COMPLETED.to_owned(), "yes".to_owned());
    if !named {
        annotations.entry(BOUND_BY_CONTROLLER.to_owned()).or_insert_with(|| "yes".to_owned());
        changed.spec.get_or_insert_default().volume_name = Some(volume.name().to_owned());
    }
    plan.update(&changed);
}

/// The volume with the claim in it, unless it has it (`GetBindVolumeToClaim`).
fn bound_volume(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<PersistentVolume> {
    let by_us = !is_bound_to(volume, claim) && volume.annotation(BOUND_BY_CONTROLLER).is_none();
    let complete = is_bound_to(volume, claim) && reference(volume).is_some_and(|own| reference_uid(own) == claim.uid());
    if complete && !by_us {
        return None;
    }
    let mut changed = volume.clone();
    if by_us {
        changed.metadata.annotations.get_or_insert_default().insert(BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
    }
    let reference = ObjectReference { field_path: None, ..object_reference(claim) };
    changed.spec.get_or_insert_default().claim_ref = Some(reference);
    Some(changed)
}

/// Sets the phase and what the status shows of the volume (`updateClaimStatus`).
fn set_phase(claim: &PersistentVolumeClaim, phase: &str, volume: Option<&PersistentVolume>, plan: &mut Plan) {
    let old = claim.status.clone().unwrap_or_default();
    let mut status = old.clone();
    status.phase = Some(phase.to_owned());
    let spec = volume.and_then(|volume| volume.spec.as_ref());
    status.access_modes = spec.and_then(|spec| spec.access_modes.clone());
    match (volume, spec) {
        (Some(volume), Some(spec)) if old.phase.as_deref() != Some(phase) => {
            let size = volume.annotation(PRE_RESIZE).filter(|size| apimachinery::Quantity::parse(size).is_ok());
            match size {
                Some(size) => {
                    let capacity = status.capacity.get_or_insert_default();
                    capacity.insert("storage".to_owned(), Quantity(size.to_owned()));
                }
                None if !same_size(old.capacity.as_ref(), spec.capacity.as_ref()) => {
                    status.capacity.clone_from(&spec.capacity);
                }
                None => {}
            }
            if old.phase.as_deref() == Some("Pending") {
                status.current_volume_attributes_class_name.clone_from(&spec.volume_attributes_class_name);
            }
        }
        (Some(_), _) => {}
        (None, _) => {
            status.capacity = None;
            status.current_volume_attributes_class_name = None;
        }
    }
    plan.set_status(claim, json!(status));
}

type Amounts = BTreeMap<String, Quantity>;

fn same_size(a: Option<&Amounts>, b: Option<&Amounts>) -> bool {
    let size = |amounts: Option<&Amounts>| {
        amounts.and_then(|amounts| amounts.get("storage")).and_then(|size| apimachinery::Quantity::parse(&size.0).ok())
    };
    size(a).is_some() && size(a) == size(b)
}
