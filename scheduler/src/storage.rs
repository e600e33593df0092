//! Claims, volumes and classes: what is bound to what, and which volume a claim would take
//! (`k8s.io/component-helpers/storage`). Pure.

use crate::node_selection::{any_matches, terms};
use crate::pod::PodInfo;
use crate::selection::Selector;
use apimachinery::Quantity;
use k8s_openapi::api::core::v1::{Node, ObjectReference, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::HashSet;
use std::sync::Arc;

pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// The volume that the claim names.
pub(crate) fn volume_name(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.spec.as_ref()?.volume_name.as_deref().filter(|name| !name.is_empty())
}

/// Both sides of the binding are written.
pub(crate) fn is_fully_bound(claim: &PersistentVolumeClaim) -> bool {
    volume_name(claim).is_some() && annotation(&claim.metadata, BIND_COMPLETED).is_some()
}

pub(crate) fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

/// The class that the claim names; empty for none.
pub(crate) fn claim_class(claim: &PersistentVolumeClaim) -> &str {
    let named = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    annotation(&claim.metadata, BETA_CLASS).or(named).unwrap_or_default()
}

pub(crate) fn volume_class(volume: &PersistentVolume) -> &str {
    let named = volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
    annotation(&volume.metadata, BETA_CLASS).or(named).unwrap_or_default()
}

/// Claims of this class are bound once a pod that uses them has a node.
pub(crate) fn is_delayed(class: &StorageClass) -> bool {
    class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
}

/// Why the pod cannot have a claim that bears the name of its ephemeral volume.
pub(crate) fn ephemeral_refusal(claim: &PersistentVolumeClaim, pod: &PodInfo) -> Option<String> {
    let mut owners = claim.metadata.owner_references.iter().flatten();
    if owners.any(|owner| owner.controller == Some(true) && owner.uid == pod.uid()) {
        return None;
    }
    let (namespace, name) = (pod.namespace(), claim.metadata.name.as_deref().unwrap_or_default());
    let pod = pod.name();
    Some(format!("PVC {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)"))
}

/// The node can reach the volume.
pub(crate) fn is_reachable(volume: &PersistentVolume, node: &Node) -> bool {
    let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref()?.required.as_ref());
    affinity.is_none_or(|required| any_matches(&terms(required), node))
}

/// In bytes; nothing if it is not said.
pub(crate) fn requested_bytes(claim: &PersistentVolumeClaim) -> i64 {
    requested(claim).map_or(0, |quantity| quantity.value())
}

pub(crate) fn requested(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    Quantity::parse(&requests.get("storage")?.0).ok()
}

/// In bytes.
pub(crate) fn capacity_bytes(volume: &PersistentVolume) -> i64 {
    let capacity = volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()?.get("storage"));
    capacity.and_then(|text| Quantity::parse(&text.0).ok()).map_or(0, |quantity| quantity.value())
}

fn claim_ref(volume: &PersistentVolume) -> Option<&ObjectReference> {
    volume.spec.as_ref()?.claim_ref.as_ref()
}

/// The volume is promised to the claim.
fn is_bound_to(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    claim_ref(volume).is_some_and(|reference| {
        reference.name == claim.metadata.name
            && reference.namespace == claim.metadata.namespace
            && reference.uid.as_ref().is_none_or(|uid| uid.is_empty() || Some(uid) == claim.metadata.uid.as_ref())
    })
}

/// The smallest volume that fits the claim and that the node can reach; one that is promised to it goes before all.
pub(crate) fn find_volume<'a>(
    claim: &PersistentVolumeClaim,
    volumes: impl Iterator<Item = &'a Arc<PersistentVolume>>,
    node: &Node,
    taken: &HashSet<String>,
) -> Option<&'a Arc<PersistentVolume>> {
    let spec = claim.spec.as_ref();
    let wanted = requested_bytes(claim);
    let selector = spec.and_then(|spec| spec.selector.as_ref()).map(|selector| Selector::new(Some(selector)));
    let mode = |mode: Option<&String>| mode.cloned().unwrap_or_else(|| "Filesystem".to_owned());
    let name = |name: Option<&String>| name.cloned().unwrap_or_default();
    let mut smallest: Option<(i64, &Arc<PersistentVolume>)> = None;
    for volume in volumes {
        let Some(of) = &volume.spec else { continue };
        let promised = is_bound_to(volume, claim);
        let size = capacity_bytes(volume);
        if volume.metadata.name.as_ref().is_some_and(|name| taken.contains(name))
            || (of.claim_ref.is_some() && !promised)
            || size < wanted
            || mode(of.volume_mode.as_ref()) != mode(spec.and_then(|spec| spec.volume_mode.as_ref()))
            || name(of.volume_attributes_class_name.as_ref())
                != name(spec.and_then(|spec| spec.volume_attributes_class_name.as_ref()))
            || volume.metadata.deletion_timestamp.is_some()
        {
            continue;
        }
        if promised {
            return is_reachable(volume, node).then_some(volume);
        }
        let modes = of.access_modes.iter().flatten().collect::<HashSet<_>>();
        let mut wanted_modes = spec.iter().flat_map(|spec| spec.access_modes.iter().flatten());
        if volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Available")
            && selector.as_ref().is_none_or(|selector| selector.matches(volume.metadata.labels.as_ref()))
            && volume_class(volume) == claim_class(claim)
            && is_reachable(volume, node)
            && wanted_modes.all(|mode| modes.contains(mode))
            && smallest.is_none_or(|(least, _)| size < least)
        {
            smallest = Some((size, volume));
        }
    }
    smallest.map(|(_, volume)| volume)
}

/// The volume with the claim written in; `None` if it is written already.
pub(crate) fn bind_to_claim(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<PersistentVolume> {
    let written = claim_ref(volume).is_some_and(|reference| {
        reference.name == claim.metadata.name
            && reference.namespace == claim.metadata.namespace
            && reference.uid == claim.metadata.uid
    });
    if written {
        return None;
    }
    let mut bound = volume.clone();
    if !is_bound_to(volume, claim) {
        let annotations = bound.metadata.annotations.get_or_insert_default();
        annotations.entry(BOUND_BY_CONTROLLER.to_owned()).or_insert_with(|| "yes".to_owned());
    }
    bound.spec.get_or_insert_default().claim_ref = Some(ObjectReference {
        kind: Some("PersistentVolumeClaim".to_owned()),
        api_version: Some("v1".to_owned()),
        namespace: claim.metadata.namespace.clone(),
        name: claim.metadata.name.clone(),
        uid: claim.metadata.uid.clone(),
        resource_version: claim.metadata.resource_version.clone(),
        ..ObjectReference::default()
    });
    Some(bound)
}
