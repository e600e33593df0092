//! Who a pod of a StatefulSet is: its name, labels, host name, and its claims with their owners.

use super::REVISION_LABEL;
use crate::history;
use crate::meta::{Meta, controller_reference};
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

const NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// The number at the end of the name of a pod of this set.
pub(super) fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    pod.name().strip_prefix(set.name())?.strip_prefix('-')?.parse().ok().filter(|ordinal| *ordinal >= 0)
}

pub(super) fn start(set: &StatefulSet) -> i32 {
    set.spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0)
}

pub(super) fn templates(set: &StatefulSet) -> impl Iterator<Item = &PersistentVolumeClaim> {
    set.spec.volume_claim_templates.iter().flatten()
}

pub(super) fn claim_name(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> String {
    format!("{}-{}-{ordinal}", template.name(), set.name())
}

/// The pod of this ordinal in a revision.
pub(super) fn pod(set: &StatefulSet, revision: &ControllerRevision, ordinal: i32) -> Pod {
    let template = history::template(revision).unwrap_or_else(|| set.spec.template.clone());
    let mut pod = crate::pods::from_template(&template, controller_reference(set), set.namespace(), set.name());
    pod.metadata.generate_name = None;
    pod.metadata.name = Some(format!("{}-{ordinal}", set.name()));
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(REVISION_LABEL.to_owned(), revision.name().to_owned());
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = pod.metadata.name.clone();
    spec.subdomain = set.spec.service_name.clone();
    let volumes = spec.volumes.get_or_insert_default();
    for template in templates(set) {
        volumes.retain(|volume| volume.name != template.name());
        volumes.push(Volume {
            name: template.name().to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim_name(set, template, ordinal),
                read_only: None,
            }),
            ..Volume::default()
        });
    }
    identify(&mut pod, ordinal);
    pod
}

/// Puts the labels of its identity on a pod. Returns whether any was missing.
pub(super) fn identify(pod: &mut Pod, ordinal: i32) -> bool {
    let name = pod.metadata.name.clone().unwrap_or_default();
    let labels = pod.metadata.labels.get_or_insert_default();
    let before = labels.clone();
    labels.insert(NAME_LABEL.to_owned(), name);
    labels.insert(INDEX_LABEL.to_owned(), ordinal.to_string());
    *labels != before
}

fn policy(set: &StatefulSet) -> (bool, bool) {
    let policy = set.spec.persistent_volume_claim_retention_policy.as_ref();
    let deletes = |given: Option<&String>| given.is_some_and(|given| given == "Delete");
    (
        deletes(policy.and_then(|own| own.when_deleted.as_ref())),
        deletes(policy.and_then(|own| own.when_scaled.as_ref())),
    )
}

/// The claim of a template for this ordinal.
pub(super) fn claim(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> PersistentVolumeClaim {
    let mut claim = template.clone();
    claim.metadata.name = Some(claim_name(set, template, ordinal));
    claim.metadata.namespace = set.metadata.namespace.clone();
    let labels = claim.metadata.labels.get_or_insert_default();
    labels.extend(set.spec.selector.match_labels.iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
    claim.status = None;
    if policy(set).0 {
        claim.metadata.owner_references = Some(vec![owner_of::<StatefulSet>(set)]);
    }
    claim
}

fn owner_of<K: Resource + Meta>(owner: &K) -> OwnerReference {
    OwnerReference { controller: None, block_owner_deletion: None, ..controller_reference(owner) }
}

/// The claim with the owners that the retention policy gives it, if it has others now. A pod that is scaled away owns its claims
/// when they shall go with it.
pub(super) fn reowned(
    set: &StatefulSet,
    claim: &PersistentVolumeClaim,
    pod: &Pod,
    condemned: bool,
) -> Option<PersistentVolumeClaim> {
    let (when_deleted, when_scaled) = policy(set);
    let by_pod = when_scaled && condemned;
    let by_set = when_deleted && !by_pod;
    let mut owners = claim.owners().to_vec();
    let mut keep = |wanted: bool, owner: OwnerReference| {
        if !wanted {
            owners.retain(|own| own.uid != owner.uid);
        } else if !owners.iter().any(|own| own.uid == owner.uid) {
            owners.push(owner);
        }
    };
    keep(by_set, owner_of(set));
    if !pod.uid().is_empty() {
        keep(by_pod, owner_of(pod));
    }
    if owners == claim.owners() {
        return None;
    }
    let mut changed = claim.clone();
    changed.metadata.owner_references = Some(owners);
    Some(changed)
}
