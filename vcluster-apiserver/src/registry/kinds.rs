//! The strategy of each built-in kind. A kind that is not named here behaves as [`Plain`] says.

use super::strategy::{Plain, Strategy};
use std::sync::Arc;

/// Kinds whose `metadata.generation` counts changes of the desired state and that have nothing else of their own.
const TRACKED: &[(&str, &str)] = &[
    ("", "Pod"),
    ("", "ReplicationController"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("batch", "CronJob"),
    ("batch", "Job"),
    ("networking.k8s.io", "Ingress"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("policy", "PodDisruptionBudget"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
];

struct Tracked;

impl Strategy for Tracked {
    fn has_generation(&self) -> bool {
        true
    }
}

/// What a kind does beyond its table.
pub fn strategy_for(group: &str, kind: &str) -> Arc<dyn Strategy> {
    if TRACKED.contains(&(group, kind)) { Arc::new(Tracked) } else { Arc::new(Plain) }
}
