//! A pod's resource claims: they must exist, and their devices must be usable from the node. A claim that is allocated
//! is reserved for the pod before it is bound.
//!
//! It allocates nothing itself: devices are chosen by expressions in CEL, which is not read here. Claims that nobody
//! has allocated keep their pods waiting.

use crate::bind::Write;
use crate::catalog::{Assumed, Catalog};
use crate::change::{Actions, Change, Changed};
use crate::framework::{Plugin, PreEnqueue, PreFilter, Prepared, Reservation, Reserve, Verdict};
use crate::node_selection::{any_matches, terms};
use crate::pod::{PodInfo, spec_of};
use crate::snapshot::{NodeInfo, Snapshot};
use k8s_openapi::api::core::v1::{NodeSelector, Pod, PodResourceClaim};
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimConsumerReference};
use serde_json::json;
use std::sync::Arc;

pub(crate) struct DynamicResources;

/// How many may use one claim (`ResourceClaimReservedForMaxSize`).
const MAX_CONSUMERS: usize = 256;

/// The name of the claim that `entry` stands for; `None` where no claim is needed. Fails while it is not made yet.
fn claim_name(pod: &Pod, entry: &PodResourceClaim) -> Result<Option<String>, String> {
    if let Some(name) = &entry.resource_claim_name {
        return Ok(Some(name.clone()));
    }
    let mut statuses = pod.status.iter().flat_map(|status| status.resource_claim_statuses.iter().flatten());
    let made = statuses.find(|status| status.name == entry.name);
    made.map(|status| status.resource_claim_name.clone()).ok_or_else(|| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        format!("pod {:?}: ResourceClaim not created yet", format!("{namespace}/{name}"))
    })
}

/// The pod's claims. Fails with why it must wait for them.
fn claims(pod: &Pod, catalog: &Catalog) -> Result<Vec<Arc<ResourceClaim>>, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut found = Vec::new();
    for entry in spec_of(pod).resource_claims.iter().flatten() {
        let Some(name) = claim_name(pod, entry)? else { continue };
        let claim = catalog.resource_claims.get(&format!("{namespace}/{name}"));
        let claim = claim.ok_or_else(|| format!("resourceclaim.resource.k8s.io {name:?} not found"))?;
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(format!("resourceclaim {name:?} is being deleted"));
        }
        let mut owners = claim.metadata.owner_references.iter().flatten();
        let owned = owners.any(|owner| owner.controller == Some(true) && Some(&owner.uid) == pod.metadata.uid.as_ref());
        if entry.resource_claim_name.is_none() && !owned {
            let pod = pod.metadata.name.as_deref().unwrap_or_default();
            return Err(format!(
                "ResourceClaim {namespace}/{name} was not created for Pod {namespace}/{pod} (Pod is not owner)"
            ));
        }
        found.push(claim.clone());
    }
    Ok(found)
}

fn consumers(claim: &ResourceClaim) -> &[ResourceClaimConsumerReference] {
    claim.status.as_ref().and_then(|status| status.reserved_for.as_deref()).unwrap_or_default()
}

fn is_reserved_for(claim: &ResourceClaim, pod: &PodInfo) -> bool {
    consumers(claim).iter().any(|consumer| consumer.uid == pod.uid())
}

fn is_allocated(claim: &ResourceClaim) -> bool {
    claim.status.as_ref().is_some_and(|status| status.allocation.is_some())
}

/// From where the claim's devices can be used; everywhere if it does not say.
fn usable_from(claim: &ResourceClaim) -> Option<&NodeSelector> {
    claim.status.as_ref()?.allocation.as_ref()?.node_selector.as_ref()
}

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn woken_by(&self, pod: &PodInfo, change: &Change) -> bool {
        let nodes = Actions::ADD.or(Actions::NODE_LABEL).or(Actions::NODE_TAINT);
        match &change.object {
            Changed::ResourceClaim(pair) => {
                let Some(latest) = pair.latest() else { return false };
                let names = spec_of(&pod.pod).resource_claims.iter().flatten();
                let mut names = names.filter_map(|entry| claim_name(&pod.pod, entry).ok().flatten());
                latest.metadata.namespace == pod.pod.metadata.namespace
                    && names.any(|name| latest.metadata.name.as_ref() == Some(&name))
            }
            Changed::ResourceSlice(_) | Changed::DeviceClass(_) => change.actions.has(Actions::ADD.or(Actions::UPDATE)),
            _ => change.node(nodes).is_some() || change.target(Actions::POD_GENERATED_CLAIM).is_some(),
        }
    }

    fn pre_enqueue(&self) -> Option<&dyn PreEnqueue> {
        Some(self)
    }

    fn pre_filter(&self) -> Option<&dyn PreFilter> {
        Some(self)
    }

    fn reserve(&self) -> Option<&dyn Reserve> {
        Some(self)
    }
}

impl PreEnqueue for DynamicResources {
    fn refusal(&self, pod: &Pod, snapshot: &Snapshot) -> Option<String> {
        claims(pod, &snapshot.catalog).err()
    }
}

impl PreFilter for DynamicResources {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Prepared<'a> {
        let claims = match claims(&pod.pod, &snapshot.catalog) {
            Ok(claims) if claims.is_empty() => return Prepared::Skip,
            Ok(claims) => claims,
            Err(reason) => return Prepared::Rejected(reason),
        };
        let full = |claim: &Arc<ResourceClaim>| {
            is_allocated(claim) && !is_reserved_for(claim, pod) && consumers(claim).len() >= MAX_CONSUMERS
        };
        if claims.iter().any(full) {
            return Prepared::Rejected("resourceclaim in use".to_owned());
        }
        let allocated = claims.iter().all(|claim| is_allocated(claim));
        let places: Vec<_> = claims.iter().filter_map(|claim| usable_from(claim)).map(terms).collect();
        Prepared::Filter(Box::new(move |node: &NodeInfo| {
            if !places.iter().all(|place| any_matches(place, &node.node)) {
                Verdict::unschedulable("resourceclaim not available on the node")
            } else if allocated {
                Verdict::Fits
            } else {
                Verdict::unresolvable("cannot allocate all claims")
            }
        }))
    }
}

impl Reserve for DynamicResources {
    fn take(&self, pod: &PodInfo, snapshot: &Snapshot, _: &str) -> Result<Reservation, String> {
        let mut reservation = Reservation::default();
        for claim in claims(&pod.pod, &snapshot.catalog)? {
            if is_reserved_for(&claim, pod) {
                continue;
            }
            let consumer = ResourceClaimConsumerReference {
                api_group: None,
                name: pod.name().to_owned(),
                resource: "pods".to_owned(),
                uid: pod.uid().to_owned(),
            };
            let mut reserved = (*claim).clone();
            let consumers = reserved.status.get_or_insert_default().reserved_for.get_or_insert_default();
            consumers.push(consumer);
            let (namespace, name) = (pod.namespace(), claim.metadata.name.as_deref().unwrap_or_default());
            let path = format!("/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims/{name}/status");
            // The whole list is written, so it must be the one that was read.
            let patch = json!({
                "metadata": {"uid": claim.metadata.uid, "resourceVersion": claim.metadata.resource_version},
                "status": {"reservedFor": consumers},
            });
            reservation.before_bind.push(Write::merge(path, patch));
            reservation.assumed.push(Assumed::ResourceClaim(Arc::new(reserved)));
        }
        Ok(reservation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::key;
    use crate::testing::{node, object, world};
    use serde_json::Value;

    fn judged(claim: Value, entry: Value) -> String {
        let mut cache = world(vec![(node("a", json!({"metadata": {"labels": {"rack": "1"}}})), vec![])]);
        if !claim.is_null() {
            let claim: Arc<ResourceClaim> = Arc::new(serde_json::from_value(claim).unwrap());
            cache.snapshot_mut().catalog.resource_claims.set(key(&claim.metadata), Some(claim));
        }
        let pod = object(json!({"metadata": {"name": "p"}, "spec": {"resourceClaims": [entry]}}));
        let snapshot = cache.snapshot();
        match DynamicResources.prepare(&pod, snapshot) {
            Prepared::Skip => "skip".to_owned(),
            Prepared::Rejected(reason) | Prepared::Failed(reason) => reason,
            Prepared::Filter(filter) | Prepared::Narrowed(filter, _) => {
                let verdict = filter.filter(&snapshot.nodes[0]);
                if !verdict.fits() {
                    return verdict.reasons().join(",");
                }
                let taken = DynamicResources.take(&pod, snapshot, "a").unwrap();
                let written = taken.before_bind.iter().map(|write| write.body["status"].to_string());
                written.collect::<Vec<_>>().join(",")
            }
        }
    }

    #[test]
    fn claims_are_awaited_and_reserved() {
        let named = || json!({"name": "c", "resourceClaimName": "claim"});
        let claim = |status: Value| json!({"metadata": {"name": "claim", "namespace": "default", "uid": "u"}, "spec": {}, "status": status});
        let on_rack = |rack: &str| {
            let rule = json!({"key": "rack", "operator": "In", "values": [rack]});
            json!({"allocation": {"nodeSelector": {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}}})
        };
        let ours = r#"{"reservedFor":[{"name":"p","resource":"pods","uid":"p"}]}"#;
        let cases = [
            (Value::Null, named(), r#"resourceclaim.resource.k8s.io "claim" not found"#),
            (
                Value::Null,
                json!({"name": "c", "resourceClaimTemplateName": "t"}),
                r#"pod "default/p": ResourceClaim not created yet"#,
            ),
            (claim(json!({})), named(), "cannot allocate all claims"),
            (claim(on_rack("2")), named(), "resourceclaim not available on the node"),
            (claim(on_rack("1")), named(), ours),
            (
                claim(json!({"allocation": {}, "reservedFor": [{"name": "p", "resource": "pods", "uid": "p"}]})),
                named(),
                "",
            ),
        ];
        for (claim, entry, expected) in cases {
            assert_eq!(judged(claim.clone(), entry), expected, "{claim}");
        }
    }
}
