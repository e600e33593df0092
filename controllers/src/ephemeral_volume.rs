//! Makes the claims of pods' ephemeral volumes. Upstream's `pkg/controller/volume/ephemeral`.
//!
//! Owns nothing after the creation: the claim belongs to its pod and goes with it. Never takes a claim of the right name
//! that is not its pod's. Woken by pods, and by claims that go.

use crate::api::ApiError;
use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::meta::{Meta, controller_reference};
use crate::plan::Plan;
use crate::queue::Key;
use crate::volume_protection;
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimTemplate, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::sync::Arc;

pub(crate) struct EphemeralVolumes {
    informers: Informers,
    pods: Store<Pod>,
    claims: Store<PersistentVolumeClaim>,
}

pub struct Observed {
    pod: Arc<Pod>,
    /// The claim of each ephemeral volume, where there is one of its name.
    volumes: Vec<(Wanted, Option<Arc<PersistentVolumeClaim>>)>,
}

struct Wanted {
    volume: String,
    claim: String,
    template: PersistentVolumeClaimTemplate,
}

impl EphemeralVolumes {
    pub(crate) fn new(informers: &Informers) -> Self {
        let pods = volume_protection::pods_by_claim(informers);
        Self { informers: informers.clone(), pods, claims: informers.store() }
    }
}

fn wanted(pod: &Pod) -> Vec<Wanted> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let one = |volume: &k8s_openapi::api::core::v1::Volume| {
        let template = volume.ephemeral.as_ref()?.volume_claim_template.clone()?;
        Some(Wanted { volume: volume.name.clone(), claim: format!("{}-{}", pod.name(), volume.name), template })
    };
    volumes.filter_map(one).collect()
}

fn needs_work(pod: &Pod) -> bool {
    !pod.terminating() && !wanted(pod).is_empty()
}

impl Controller for EphemeralVolumes {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        let account = "ephemeral-volume-controller";
        Descriptor { name: account, account, component: "ephemeral_volume", workers: 5 }
    }

    fn watches(&self) -> Vec<Watch> {
        // What a pod asks for never changes.
        let by_pod = |event: &informer::Event<Pod>| {
            let added = event.new.as_ref().filter(|pod| event.old.is_none() && needs_work(pod));
            added.map(|pod| key_of(&**pod)).into_iter().collect()
        };
        let pods = self.pods.clone();
        let by_claim = move |event: &informer::Event<PersistentVolumeClaim>| {
            let Some(claim) = event.old.as_ref().filter(|_| event.new.is_none()) else { return Vec::new() };
            let users = pods.by_index(volume_protection::BY_CLAIM, &key_of(&**claim).to_string());
            users.iter().filter(|pod| needs_work(pod)).map(|pod| key_of(&**pod)).collect()
        };
        vec![Watch::on(&self.informers, &self.pods, by_pod), Watch::on(&self.informers, &self.claims, by_claim)]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let pod = self.pods.get(&key.namespace, &key.name).filter(|pod| needs_work(pod))?;
        let with_claim = |wanted: Wanted| {
            let claim = self.claims.get(&key.namespace, &wanted.claim);
            (wanted, claim)
        };
        let volumes = wanted(&pod).into_iter().map(with_claim).collect();
        Some(Observed { pod, volumes })
    }

    fn plan(&self, observed: &Observed, _now: Timestamp) -> Plan {
        plan(observed)
    }

    fn after_failure(&self, observed: &Observed, failure: &ApiError, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if let Some((wanted, _)) = observed.volumes.iter().find(|(_, claim)| claim.is_none()) {
            let Wanted { volume, claim, .. } = wanted;
            let message = format!("ephemeral volume {volume}: create PVC {claim}: {}", failure.message());
            plan.warning(&*observed.pod, "FailedBinding", message);
        }
        plan
    }
}

fn plan(Observed { pod, volumes }: &Observed) -> Plan {
    let mut plan = Plan::default();
    for (Wanted { volume, claim, template }, existing) in volumes {
        match existing {
            Some(existing) if existing.controlled_by(pod.uid()) => {}
            Some(_) => {
                let (namespace, name) = (pod.namespace(), pod.name());
                let message = format!(
                    "ephemeral volume {volume}: PVC {namespace}/{claim} was not created for pod {namespace}/{name} (pod is not owner)"
                );
                plan.warning(&**pod, "FailedBinding", message);
                // As upstream: the volumes after it wait.
                break;
            }
            None => {
                let given = template.metadata.clone().unwrap_or_default();
                let metadata = ObjectMeta {
                    name: Some(claim.clone()),
                    namespace: Some(pod.namespace().to_owned()),
                    annotations: given.annotations,
                    labels: given.labels,
                    owner_references: Some(vec![controller_reference(&**pod)]),
                    ..ObjectMeta::default()
                };
                let spec = Some(template.spec.clone());
                plan.create(&PersistentVolumeClaim { metadata, spec, status: None });
            }
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::testing::pod;
    use serde_json::json;

    /// Cases of upstream's `TestSyncHandler`.
    #[test]
    fn a_missing_claim_is_made_and_a_foreign_one_is_told() {
        let template = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {}}});
        let volume = json!({"name": "data", "ephemeral": {"volumeClaimTemplate": template}});
        let pod = pod("a", json!({"spec": {"volumes": [volume, {"name": "other", "emptyDir": {}}]}}));
        let run = |owner: Option<&str>| {
            let claim = owner.map(|uid| {
                let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": uid, "controller": true});
                let claim = json!({"metadata": {"name": "a-data", "namespace": "ns", "ownerReferences": [owner]}});
                Arc::new(serde_json::from_value(claim).unwrap())
            });
            let volumes = wanted(&pod).into_iter().map(|wanted| (wanted, claim.clone())).collect();
            plan(&Observed { pod: pod.clone(), volumes }).to_string()
        };
        assert_eq!(run(None), "create persistentvolumeclaims ns/a-data");
        assert_eq!(run(Some("uid-a")), "");
        assert_eq!(
            run(Some("x")),
            "warn FailedBinding ephemeral volume data: PVC ns/a-data was not created for pod ns/a (pod is not owner)"
        );
    }
}
