//! Makes the ResourceClaims that pods ask for by templates, reserves claims for pods that have a node already, and ends
//! reservations of pods that are done. Upstream's `pkg/controller/resourceclaim`.
//!
//! Owns generated claims, `status.resourceClaimStatuses` of pods, and what leaves `status.reservedFor` of claims; allocation is
//! the scheduler's until nobody uses a claim, then it is ended here. Keys are claims, and pods as `pod:NAME`. Woken by both,
//! and by templates. Claims of PodGroups are not made: the workload API is off by default.

mod claim;
mod pod;

use crate::api::ApiError;
use crate::controller::{Controller, Descriptor, Watch};
use crate::meta::Meta;
use crate::plan::Plan;
use crate::pods;
use crate::queue::Key;
use informer::{Event, Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodResourceClaim};
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimTemplate};
use std::sync::Arc;

const POD: &str = "pod:";
/// On generated claims: which of the pod's claims it is.
const POD_CLAIM: &str = "resource.kubernetes.io/pod-claim-name";
/// Claims by the uid of the pod that controls them.
const BY_OWNER: &str = "controller";
/// Pods by the claims that they use.
const BY_CLAIM: &str = "resource-claim";
/// Pods by the templates that they name.
const BY_TEMPLATE: &str = "resource-claim-template";

pub(crate) struct ResourceClaims {
    informers: Informers,
    pods: Store<Pod>,
    claims: Store<ResourceClaim>,
    templates: Store<ResourceClaimTemplate>,
}

pub enum Observed {
    Pod(Box<pod::View>),
    Claim(Box<claim::View>),
}

impl ResourceClaims {
    pub(crate) fn new(informers: &Informers) -> Self {
        let (pods, claims) = (pods::store(informers), informers.store::<ResourceClaim>());
        pods.add_index(BY_CLAIM, |pod| {
            claim_names(pod).into_iter().map(|name| format!("{}/{name}", pod.namespace())).collect()
        });
        pods.add_index(BY_TEMPLATE, |pod| {
            let templates = asked(pod).iter().filter_map(|asked| asked.resource_claim_template_name.as_ref());
            templates.map(|name| format!("{}/{name}", pod.namespace())).collect()
        });
        claims.add_index(BY_OWNER, |claim| owner(claim).map(|(_, uid)| uid.to_owned()).into_iter().collect());
        Self { informers: informers.clone(), pods, claims, templates: informers.store() }
    }
}

fn asked(pod: &Pod) -> &[PodResourceClaim] {
    pod.spec.as_ref().and_then(|spec| spec.resource_claims.as_deref()).unwrap_or_default()
}

/// The claim behind one of a pod's claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named<'a> {
    By(&'a str),
    /// It was found that none is needed.
    Unneeded,
    /// It is not made yet, or the pod does not know.
    Unknown,
}

impl<'a> Named<'a> {
    fn name(self) -> Option<&'a str> {
        if let Self::By(name) = self { Some(name) } else { None }
    }
}

fn claim_name<'a>(pod: &'a Pod, asked: &'a PodResourceClaim) -> Named<'a> {
    if let Some(name) = &asked.resource_claim_name {
        return Named::By(name);
    }
    let told = pod.status.as_ref().and_then(|status| status.resource_claim_statuses.as_ref());
    match told.into_iter().flatten().find(|own| own.name == asked.name) {
        Some(told) => told.resource_claim_name.as_deref().map_or(Named::Unneeded, Named::By),
        None => Named::Unknown,
    }
}

/// All claims that a pod uses, those made for its extended resources too.
fn claim_names(pod: &Pod) -> Vec<String> {
    let extended = pod.status.as_ref().and_then(|status| status.extended_resource_claim_status.as_ref());
    let named = asked(pod).iter().filter_map(|asked| claim_name(pod, asked).name().map(str::to_owned));
    named.chain(extended.map(|own| own.resource_claim_name.clone())).collect()
}

/// The pod that a claim was made for: name and uid.
fn owner(claim: &ResourceClaim) -> Option<(&str, &str)> {
    let owner = claim.controller().filter(|owner| owner.api_version == "v1" && owner.kind == "Pod")?;
    Some((&owner.name, &owner.uid))
}

/// No container of the pod runs or ever will.
fn is_done(pod: &Pod) -> bool {
    pods::is_terminal(pod) || (pod.terminating() && pods::node_name(pod).is_empty())
}

fn pod_key(pod: &Pod) -> Key {
    Key::new(pod.namespace(), &format!("{POD}{}", pod.name()))
}

impl Controller for ResourceClaims {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "resourceclaim-controller",
            account: "resource-claim-controller",
            component: "resource_claim",
            workers: 50,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let claims = self.claims.clone();
        let by_pod = move |event: &Event<Pod>| {
            let Some(pod) = event.latest() else { return Vec::new() };
            let mut keys = Vec::new();
            if event.new.as_ref().is_none_or(|pod| is_done(pod)) {
                keys.extend(claim_names(pod).iter().map(|name| Key::new(pod.namespace(), name)));
                let made = claims.by_index(BY_OWNER, pod.uid());
                keys.extend(made.iter().map(|claim| crate::controller::key_of(&**claim)));
            }
            if event.new.is_some() && !asked(pod).is_empty() {
                keys.push(pod_key(pod));
            }
            keys
        };
        let pods = self.pods.clone();
        let by_claim = move |event: &Event<ResourceClaim>| {
            let Some(claim) = event.latest() else { return Vec::new() };
            let key = crate::controller::key_of(&**claim);
            let mut keys: Vec<Key> = pods.by_index(BY_CLAIM, &key.to_string()).iter().map(|pod| pod_key(pod)).collect();
            keys.extend(owner(claim).map(|(name, _)| Key::new(claim.namespace(), &format!("{POD}{name}"))));
            keys.push(key);
            keys
        };
        let pods = self.pods.clone();
        let by_template = move |event: &Event<ResourceClaimTemplate>| {
            let Some(template) = event.new.as_ref().filter(|_| event.old.is_none()) else { return Vec::new() };
            let key = crate::controller::key_of(&**template).to_string();
            pods.by_index(BY_TEMPLATE, &key).iter().map(|pod| pod_key(pod)).collect()
        };
        vec![
            Watch::on(&self.informers, &self.pods, by_pod),
            Watch::on(&self.informers, &self.claims, by_claim),
            Watch::on(&self.informers, &self.templates, by_template),
        ]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        if let Some(name) = key.name.strip_prefix(POD) {
            let pod = self.pods.get(&key.namespace, name).filter(|pod| !pod.terminating() && !is_done(pod))?;
            let claims = asked(&pod).iter().map(|asked| {
                let named = claim_name(&pod, asked).name();
                let made = self.claims.by_index(BY_OWNER, pod.uid());
                pod::Asked {
                    claim: named.and_then(|name| self.claims.get(&key.namespace, name)),
                    made: made.into_iter().find(|claim| claim.annotation(POD_CLAIM) == Some(&asked.name)),
                    template: asked
                        .resource_claim_template_name
                        .as_ref()
                        .and_then(|name| self.templates.get(&key.namespace, name)),
                    ask: asked.clone(),
                }
            });
            let claims = claims.collect();
            return Some(Observed::Pod(Box::new(pod::View { pod, claims })));
        }
        let claim = self.claims.get(&key.namespace, &key.name)?;
        let named = claim::consumers(&claim).iter().map(|consumer| consumer.name.as_str());
        let named = named.chain(owner(&claim).map(|(name, _)| name));
        let pods = named.filter_map(|name| self.pods.get(&key.namespace, name)).collect();
        Some(Observed::Claim(Box::new(claim::View { claim, pods })))
    }

    fn plan(&self, observed: &Observed, _now: Timestamp) -> Plan {
        match observed {
            Observed::Pod(view) => pod::plan(view),
            Observed::Claim(view) => claim::plan(view),
        }
    }

    fn after_failure(&self, observed: &Observed, failure: &ApiError, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Observed::Pod(view) = observed else { return plan };
        if let Some(asked) = view.claims.iter().find(|asked| pod::must_be_made(&view.pod, asked)) {
            let message = format!("PodResourceClaim {}: create ResourceClaim : {}", asked.ask.name, failure.message());
            plan.warning(&*view.pod, "FailedResourceClaimCreation", message);
        }
        plan
    }
}

/// Whether a claim is one that this pod may use as its generated one.
fn is_for(pod: &Pod, claim: &Arc<ResourceClaim>) -> bool {
    owner(claim).is_some_and(|(_, uid)| uid == pod.uid())
}

#[cfg(test)]
#[path = "resource_claim_tests.rs"]
mod tests;
