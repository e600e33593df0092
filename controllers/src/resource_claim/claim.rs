//! What a claim needs once pods are done with it: to lose their reservations, then its allocation, then itself.

use super::{is_done, owner};
use crate::meta::Meta;
use crate::plan::{PatchKind, Plan};
use crate::queue::Key;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimConsumerReference};
use serde_json::json;
use std::sync::Arc;

const FINALIZER: &str = "resource.kubernetes.io/delete-protection";

pub struct View {
    pub(super) claim: Arc<ResourceClaim>,
    /// The pods of the names that the claim speaks of.
    pub(super) pods: Vec<Arc<Pod>>,
}

pub(super) fn consumers(claim: &ResourceClaim) -> &[ResourceClaimConsumerReference] {
    claim.status.as_ref().and_then(|status| status.reserved_for.as_deref()).unwrap_or_default()
}

fn is_pod(consumer: &ResourceClaimConsumerReference) -> bool {
    consumer.api_group.as_deref().unwrap_or_default().is_empty() && consumer.resource == "pods"
}

pub(super) fn plan(View { claim, pods }: &View) -> Plan {
    let mut plan = Plan::default();
    let find = |name: &str| pods.iter().find(|pod| pod.name() == name);
    let stays = |consumer: &&ResourceClaimConsumerReference| {
        let pod = find(&consumer.name);
        !is_pod(consumer) || pod.is_some_and(|pod| pod.uid() == consumer.uid && !is_done(pod))
    };
    let all = consumers(claim);
    let remaining: Vec<_> = all.iter().filter(stays).cloned().collect();
    let mut changed = (**claim).clone();
    let held = claim.finalizer(FINALIZER);
    let allocated = claim.status.as_ref().is_some_and(|status| status.allocation.is_some());
    if remaining.len() < all.len() {
        // A pod that the cache does not show might be too new for it.
        for consumer in all.iter().filter(|consumer| is_pod(consumer) && find(&consumer.name).is_none()) {
            plan.expect_gone::<Pod>(&Key::new(claim.namespace(), &consumer.name), &consumer.uid);
        }
        let unused = remaining.is_empty();
        let status = changed.status.get_or_insert_default();
        status.reserved_for = Some(remaining.clone());
        if unused && held {
            status.allocation = None;
        }
        plan.update_status(&changed);
        if held && (unused || !allocated) {
            unprotect(claim, &mut plan);
        }
    } else if held && claim.terminating() && remaining.is_empty() {
        if allocated {
            changed.status.get_or_insert_default().allocation = None;
            plan.update_status(&changed);
        }
        unprotect(claim, &mut plan);
    }
    if let (true, Some((name, uid))) = (remaining.is_empty(), owner(claim))
        && find(name).is_some_and(|pod| pod.uid() != uid || is_done(pod))
        && !claim.terminating()
    {
        plan.delete(&**claim);
    }
    plan
}

fn unprotect(claim: &ResourceClaim, plan: &mut Plan) {
    let body = json!({"metadata": {"uid": claim.uid(), "$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
    plan.patch(claim, "", PatchKind::Strategic, body);
}
