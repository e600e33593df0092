//! Says that a ValidatingAdmissionPolicy has been looked at. Upstream's `pkg/controller/validatingadmissionpolicystatus`.
//!
//! Owns `status.observedGeneration` and `status.typeChecking` of policies. It checks no types: expressions are compiled by
//! the API server, and warnings about their types are the one thing that is missing. Woken by policies.

use crate::controller::{Controller, Descriptor, Watch};
use crate::plan::{PatchKind, Plan};
use crate::queue::Key;
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use serde_json::json;
use std::sync::Arc;

pub(crate) struct PolicyStatus {
    informers: Informers,
    policies: Store<ValidatingAdmissionPolicy>,
}

impl PolicyStatus {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self { informers: informers.clone(), policies: informers.store() }
    }
}

impl Controller for PolicyStatus {
    type Observed = Arc<ValidatingAdmissionPolicy>;

    fn descriptor(&self) -> Descriptor {
        let name = "validatingadmissionpolicy-status-controller";
        Descriptor { name, account: name, component: name, workers: 5 }
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::own(&self.informers, &self.policies)]
    }

    fn observe(&self, key: &Key) -> Option<Self::Observed> {
        self.policies.get("", &key.name)
    }

    fn plan(&self, policy: &Self::Observed, _now: Timestamp) -> Plan {
        plan(policy)
    }
}

fn plan(policy: &ValidatingAdmissionPolicy) -> Plan {
    let mut plan = Plan::default();
    let generation = policy.metadata.generation.unwrap_or(0);
    let observed = policy.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(0);
    if generation > observed {
        let body = json!({"status": {"observedGeneration": generation, "typeChecking": {}}});
        plan.patch(policy, "status", PatchKind::Merge, body);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generation_is_told_once() {
        let run = |observed: i64| {
            let policy =
                json!({"metadata": {"name": "p", "generation": 2}, "status": {"observedGeneration": observed}});
            plan(&serde_json::from_value(policy).unwrap()).to_string()
        };
        let told = r#"patch validatingadmissionpolicies.admissionregistration.k8s.io/status p {"status":{"observedGeneration":2,"typeChecking":{}}}"#;
        assert_eq!((run(1).as_str(), run(2).as_str()), (told, ""));
    }
}
