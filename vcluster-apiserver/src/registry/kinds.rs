//! The strategy of each built-in kind. A kind that is not named here behaves as [`Plain`] says.

mod core;
mod fill;
mod pod;
mod pod_spec;
mod pod_validation;
mod qos;
mod service;
mod storage;
mod workload;

use super::strategy::{Plain, Strategy};
use std::sync::Arc;

/// Kinds whose `metadata.generation` counts changes of the desired state and that have nothing else of their own.
const TRACKED: &[(&str, &str)] = &[
    ("networking.k8s.io", "Ingress"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("policy", "PodDisruptionBudget"),
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
    match (group, kind) {
        ("", "Pod") => Arc::new(pod::Pod),
        ("", "ReplicationController") => Arc::new(workload::REPLICATION_CONTROLLER),
        ("apps", "Deployment") => Arc::new(workload::DEPLOYMENT),
        ("apps", "ReplicaSet") => Arc::new(workload::REPLICA_SET),
        ("apps", "StatefulSet") => Arc::new(workload::STATEFUL_SET),
        ("apps", "DaemonSet") => Arc::new(workload::DAEMON_SET),
        ("batch", "Job") => Arc::new(workload::JOB),
        ("batch", "CronJob") => Arc::new(workload::CRON_JOB),
        ("", "Service") => Arc::new(service::Service),
        ("", "Namespace") => Arc::new(core::Namespace),
        ("", "Node") => Arc::new(core::Node),
        ("", "ConfigMap") => Arc::new(core::CONFIG_MAP),
        ("", "Secret") => Arc::new(core::SECRET),
        ("", "Endpoints") => Arc::new(core::Endpoints),
        ("", "Event") => Arc::new(core::Event),
        ("", "LimitRange") | ("coordination.k8s.io", "Lease") => Arc::new(core::CreatedByPut),
        ("discovery.k8s.io", "EndpointSlice") => Arc::new(core::EndpointSlice),
        ("rbac.authorization.k8s.io", _) => Arc::new(core::Rbac),
        ("", "PersistentVolume") => Arc::new(storage::Volume),
        ("", "PersistentVolumeClaim") => Arc::new(storage::Claim),
        ("storage.k8s.io", "StorageClass") => Arc::new(storage::Class),
        (group, kind) if TRACKED.contains(&(group, kind)) => Arc::new(Tracked),
        _ => Arc::new(Plain),
    }
}
