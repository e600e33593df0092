//! A pod's claims: they must exist, and the volumes that are bound must be reachable from the node. Unbound claims that
//! wait for their first consumer are told the node and the pod is bound at once: who provisions is the host.

use crate::bind::Write;
use crate::framework::{ClusterEvent, Plugin, PreBind, PreFilter, Prepared, Verdict};
use crate::node_selection::{Term, any_matches, terms};
use crate::pod::PodInfo;
use crate::related::Claim;
use crate::snapshot::{NodeInfo, Snapshot};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, TopologySelectorTerm};
use serde_json::json;

pub(crate) struct VolumeBinding;

const NODE_CONFLICT: &str = "node(s) didn't match PersistentVolume's node affinity";
const BIND_CONFLICT: &str = "node(s) didn't find available persistent volumes to bind";
const UNBOUND: &str = "pod has unbound immediate PersistentVolumeClaims";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

impl Plugin for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }

    fn woken_by(&self, event: ClusterEvent) -> bool {
        matches!(event, ClusterEvent::NodeAdded | ClusterEvent::NodeChanged | ClusterEvent::StorageChanged)
    }
}

/// A volume that can be used from some nodes, or a class that provisions for some nodes.
enum Place<'a> {
    Volume(Vec<Term>),
    Class(&'a [TopologySelectorTerm]),
}

fn volume_name(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.spec.as_ref()?.volume_name.as_deref().filter(|name| !name.is_empty())
}

fn waits_for_consumer(claim: &Claim) -> bool {
    let mode = claim.class.as_ref().and_then(|class| class.volume_binding_mode.as_deref());
    mode == Some("WaitForFirstConsumer")
}

/// Why the pod cannot have this claim at all.
fn refusal(claim: &Claim, pod: &PodInfo) -> Option<String> {
    let name = &claim.name;
    let Some(object) = &claim.object else {
        return Some(if claim.ephemeral {
            format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}")
        } else {
            format!("persistentvolumeclaim {name:?} not found")
        });
    };
    if object.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost") {
        let volume = volume_name(object).unwrap_or_default();
        return Some(format!("persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"));
    }
    if object.metadata.deletion_timestamp.is_some() {
        return Some(format!("persistentvolumeclaim {name:?} is being deleted"));
    }
    let owned = || object.metadata.owner_references.iter().flatten().any(|owner| owner.uid == pod.uid());
    if claim.ephemeral && !owned() {
        let (namespace, pod) = (pod.namespace(), pod.name());
        return Some(format!("PVC {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)"));
    }
    (volume_name(object).is_none() && !waits_for_consumer(claim)).then(|| UNBOUND.to_owned())
}

impl PreFilter for VolumeBinding {
    fn pre_filter<'a>(&'a self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Prepared<'a> {
        let claims = &snapshot.related.claims;
        if let Some(reason) = claims.iter().find_map(|claim| refusal(claim, pod)) {
            return Prepared::Rejected(reason);
        }
        let places: Vec<Place> = claims.iter().filter_map(place).collect();
        if places.is_empty() {
            return Prepared::Skip;
        }
        Prepared::Filter(Box::new(move |node: &NodeInfo| {
            let reasons: Vec<String> =
                places.iter().filter_map(|place| place.conflict(node)).map(str::to_owned).collect();
            if reasons.is_empty() { Verdict::Fits } else { Verdict::Unresolvable(reasons) }
        }))
    }
}

fn place(claim: &Claim) -> Option<Place<'_>> {
    if claim.object.as_deref().and_then(volume_name).is_none() {
        let topologies = claim.class.as_ref()?.allowed_topologies.as_ref()?;
        return (!topologies.is_empty()).then_some(Place::Class(topologies));
    }
    // The volume itself may live on the host only; then nothing is known against any node.
    let affinity = claim.volume.as_ref()?.spec.as_ref()?.node_affinity.as_ref()?;
    affinity.required.as_ref().map(|required| Place::Volume(terms(required)))
}

impl Place<'_> {
    fn conflict(&self, node: &NodeInfo) -> Option<&'static str> {
        match self {
            Self::Volume(terms) => (!any_matches(terms, &node.node)).then_some(NODE_CONFLICT),
            Self::Class(topologies) => {
                let allowed = topologies.iter().any(|term| {
                    term.match_label_expressions
                        .iter()
                        .flatten()
                        .all(|rule| node.label(&rule.key).is_some_and(|value| rule.values.iter().any(|v| v == value)))
                });
                (!allowed).then_some(BIND_CONFLICT)
            }
        }
    }
}

impl PreBind for VolumeBinding {
    fn pre_bind(&self, pod: &PodInfo, snapshot: &Snapshot, node: &str) -> Vec<Write> {
        let unbound = snapshot.related.claims.iter().filter(|claim| {
            claim.object.as_deref().is_some_and(|object| {
                let told = object.metadata.annotations.as_ref().and_then(|all| all.get(SELECTED_NODE));
                volume_name(object).is_none() && told.map(String::as_str) != Some(node)
            })
        });
        let path =
            |claim: &Claim| format!("/api/v1/namespaces/{}/persistentvolumeclaims/{}", pod.namespace(), claim.name);
        let body = json!({"metadata": {"annotations": {SELECTED_NODE: node}}});
        unbound.map(|claim| Write::merge(path(claim), body.clone())).collect()
    }
}

#[cfg(test)]
#[path = "volume_binding_tests.rs"]
mod tests;
