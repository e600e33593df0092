//! Does a volume serve a claim, and which of many serves it best: `FindMatchingVolume` of `k8s.io/component-helpers` and
//! the ordering by access modes of upstream's `index.go`.

use super::class::{class_of_claim, class_of_volume};
use super::{is_bound_to, phase, reference};
use crate::meta::Meta;
use crate::selector;
use apimachinery::Quantity;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn capacity(volume: &PersistentVolume) -> Quantity {
    let given = || volume.spec.as_ref()?.capacity.as_ref()?.get("storage");
    given().and_then(|given| Quantity::parse(&given.0).ok()).unwrap_or(Quantity::ZERO)
}

fn requested(claim: &PersistentVolumeClaim) -> Quantity {
    let given = || claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage");
    given().and_then(|given| Quantity::parse(&given.0).ok()).unwrap_or(Quantity::ZERO)
}

pub(super) fn same_mode(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let of_volume = volume.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref());
    let of_claim = claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref());
    of_volume.unwrap_or("Filesystem") == of_claim.unwrap_or("Filesystem")
}

fn same_attributes(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let of_volume = volume.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref());
    let of_claim = claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref());
    of_volume.unwrap_or_default() == of_claim.unwrap_or_default()
}

fn modes(volume: &PersistentVolume) -> &[String] {
    volume.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default()
}

fn has_modes(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let wanted = claim.spec.iter().flat_map(|spec| spec.access_modes.iter().flatten());
    wanted.into_iter().all(|mode| modes(volume).contains(mode))
}

/// Why a volume that a claim names cannot serve it (`checkVolumeSatisfyClaim`).
pub(super) fn mismatch(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<String> {
    let reasons = [
        (volume.terminating(), "the volume is marked for deletion \"{}\""),
        (capacity(volume) < requested(claim), "requested PV is too small"),
        (class_of_volume(volume) != class_of_claim(claim), "storageClassName does not match"),
        (!same_attributes(volume, claim), "volumeAttributesClassName does not match"),
        (!same_mode(volume, claim), "incompatible volumeMode"),
        (!has_modes(volume, claim), "incompatible accessMode"),
    ];
    let (_, reason) = reasons.into_iter().find(|(applies, _)| *applies)?;
    Some(reason.replace("{}", volume.name()))
}

/// The volume to bind an undecided claim to. Volumes that name the claim come first, then the smallest that is free and
/// large enough, among those with the fewest access modes. While `delayed`, only the former.
pub(super) fn find<'a>(
    claim: &PersistentVolumeClaim,
    volumes: &'a [Arc<PersistentVolume>],
    delayed: bool,
) -> Option<&'a Arc<PersistentVolume>> {
    let mut by_modes: BTreeMap<(usize, Vec<String>), Vec<&Arc<PersistentVolume>>> = BTreeMap::new();
    for volume in volumes.iter().filter(|volume| has_modes(volume, claim)) {
        let mut modes = modes(volume).to_vec();
        modes.sort();
        by_modes.entry((modes.len(), modes)).or_default().push(volume);
    }
    by_modes.into_values().find_map(|volumes| best(claim, &volumes, delayed))
}

fn best<'a>(
    claim: &PersistentVolumeClaim,
    volumes: &[&'a Arc<PersistentVolume>],
    delayed: bool,
) -> Option<&'a Arc<PersistentVolume>> {
    let possible = volumes.iter().copied().filter(|volume| {
        (reference(volume).is_none() || is_bound_to(volume, claim))
            && capacity(volume) >= requested(claim)
            && same_mode(volume, claim)
            && same_attributes(volume, claim)
            && !volume.terminating()
    });
    let possible: Vec<_> = possible.collect();
    if let Some(prebound) = possible.iter().find(|volume| is_bound_to(volume, claim)) {
        return Some(prebound);
    }
    let selector = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let free = possible.into_iter().filter(|volume| {
        !delayed
            && phase(volume) == "Available"
            && selector.is_none_or(|selector| selector::selects(selector, volume.metadata.labels.as_ref()))
            && class_of_volume(volume) == class_of_claim(claim)
    });
    free.min_by_key(|volume| capacity(volume))
}
