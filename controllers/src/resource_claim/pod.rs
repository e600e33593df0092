//! What a pod's claims need: to be made, to be told to the pod, and to be reserved for it.

use super::{Named, POD_CLAIM, claim_name, is_for};
use crate::meta::{Meta, controller_reference};
use crate::plan::{PatchKind, Plan};
use crate::pods;
use k8s_openapi::api::core::v1::{Pod, PodResourceClaim};
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimConsumerReference, ResourceClaimTemplate};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::json;
use std::sync::Arc;

/// A claim can be in use by this many.
const CONSUMERS: usize = 256;
/// What leaves space for the five random characters of a generated name.
const LONGEST_PREFIX: usize = 57;

pub struct View {
    pub(super) pod: Arc<Pod>,
    pub(super) claims: Vec<Asked>,
}

/// One of the pod's claims and what there is for it.
pub(super) struct Asked {
    pub(super) ask: PodResourceClaim,
    /// The claim of the name that the pod tells.
    pub(super) claim: Option<Arc<ResourceClaim>>,
    /// A claim that was made for it, told or not.
    pub(super) made: Option<Arc<ResourceClaim>>,
    pub(super) template: Option<Arc<ResourceClaimTemplate>>,
}

/// Whether a claim is missing that a template should give.
pub(super) fn must_be_made(pod: &Pod, asked: &Asked) -> bool {
    let usable = asked.claim.as_ref().is_some_and(|claim| is_for(pod, claim));
    let unneeded = claim_name(pod, &asked.ask) == Named::Unneeded;
    asked.ask.resource_claim_template_name.is_some() && !usable && !unneeded && asked.made.is_none()
}

pub(super) fn plan(View { pod, claims }: &View) -> Plan {
    let mut plan = Plan::default();
    let mut told = Vec::new();
    for asked in claims {
        if must_be_made(pod, asked) {
            let Some(template) = &asked.template else {
                let template = asked.ask.resource_claim_template_name.as_deref().unwrap_or_default();
                let message = format!(
                    "PodResourceClaim {}: resource claim template \"{template}\": resourceclaimtemplate.resource.k8s.io \"{template}\" not found",
                    asked.ask.name
                );
                plan.warning(&**pod, "FailedResourceClaimCreation", message);
                return plan;
            };
            plan.create(&generated(pod, &asked.ask.name, template));
        } else if let Some(made) = asked.made.as_ref().filter(|_| asked.ask.resource_claim_template_name.is_some())
            && claim_name(pod, &asked.ask) != Named::By(made.name())
        {
            told.push(json!({"name": asked.ask.name, "resourceClaimName": made.name()}));
        }
    }
    if !told.is_empty() {
        let body = json!({"metadata": {"uid": pod.uid()}, "status": {"resourceClaimStatuses": told}});
        plan.patch(&**pod, "status", PatchKind::Strategic, body);
    }
    if !pods::node_name(pod).is_empty() {
        reserve(pod, claims, &mut plan);
    }
    plan
}

/// The scheduler reserves for the pods that it places; this is for those that were placed without it.
fn reserve(pod: &Pod, claims: &[Asked], plan: &mut Plan) {
    for asked in claims {
        let Some(claim) = &asked.claim else { continue };
        if asked.ask.resource_claim_template_name.is_some() && !is_for(pod, claim) {
            continue;
        }
        let consumers = super::claim::consumers(claim);
        let allocated = claim.status.as_ref().is_some_and(|status| status.allocation.is_some());
        if !allocated || consumers.len() >= CONSUMERS || consumers.iter().any(|own| own.uid == pod.uid()) {
            continue;
        }
        let mut changed = (**claim).clone();
        let (name, uid) = (pod.name().to_owned(), pod.uid().to_owned());
        let consumer = ResourceClaimConsumerReference { api_group: None, resource: "pods".to_owned(), name, uid };
        changed.status.get_or_insert_default().reserved_for.get_or_insert_default().push(consumer);
        plan.update_status(&changed);
    }
}

fn generated(pod: &Pod, name: &str, template: &ResourceClaimTemplate) -> ResourceClaim {
    let wanted = template.spec.clone().unwrap_or_default();
    let given = wanted.metadata.unwrap_or_default();
    let mut annotations = given.annotations.unwrap_or_default();
    annotations.insert(POD_CLAIM.to_owned(), name.to_owned());
    let metadata = ObjectMeta {
        generate_name: Some(prefix(pod.name(), name)),
        namespace: Some(pod.namespace().to_owned()),
        annotations: Some(annotations),
        labels: given.labels,
        owner_references: Some(vec![OwnerReference { block_owner_deletion: None, ..controller_reference(pod) }]),
        ..ObjectMeta::default()
    };
    ResourceClaim { metadata, spec: wanted.spec, status: None }
}

/// Both names, shortened in proportion when they are too long together.
fn prefix(pod: &str, claim: &str) -> String {
    let full = format!("{pod}-{claim}-");
    if full.len() <= LONGEST_PREFIX {
        return full;
    }
    let pod = &pod[..pod.len() * LONGEST_PREFIX / full.len()];
    format!("{pod}-{}", &claim[..claim.len() * LONGEST_PREFIX / full.len()])
}
