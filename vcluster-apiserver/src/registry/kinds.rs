//! The strategy of each built-in kind. A kind that is not named here behaves as [`Plain`] says.

mod admission;
mod api_service;
mod certificates;
mod conditions;
mod core;
mod custom_resources;
mod devices;
mod fill;
mod flow_control;
pub mod internal;
mod job;
mod networking;
mod persistent;
mod pod;
mod rbac;
pub mod read;
mod ruled;
mod rules;
mod scheduling;
mod service;
mod small;
mod storage;
mod workload;

use super::strategy::{Plain, Strategy};
use std::sync::Arc;

/// What a kind does beyond its table.
pub fn strategy_for(group: &str, kind: &str) -> Arc<dyn Strategy> {
    match (group, kind) {
        ("", "Pod") => Arc::new(pod::Pod),
        ("", "ReplicationController") => Arc::new(workload::REPLICATION_CONTROLLER),
        ("apps", "Deployment") => Arc::new(workload::DEPLOYMENT),
        ("apps", "ReplicaSet") => Arc::new(workload::REPLICA_SET),
        ("apps", "StatefulSet") => Arc::new(workload::STATEFUL_SET),
        ("apps", "DaemonSet") => Arc::new(workload::daemon_set::DaemonSet),
        ("apps", "ControllerRevision") => Arc::new(small::REVISION),
        ("batch", "Job") => Arc::new(workload::JOB),
        ("batch", "CronJob") => Arc::new(workload::CRON_JOB),
        ("", "Service") => Arc::new(service::Service),
        ("", "Namespace") => Arc::new(core::Namespace),
        ("", "Node") => Arc::new(core::Node),
        ("", "ConfigMap") => Arc::new(core::CONFIG_MAP),
        ("", "ServiceAccount") => Arc::new(small::SERVICE_ACCOUNT),
        ("", "Secret") => Arc::new(core::SECRET),
        ("", "Endpoints") => Arc::new(core::Endpoints),
        ("", "Event") => Arc::new(core::event::Event { strict: false }),
        ("events.k8s.io", "Event") => Arc::new(core::event::Event { strict: true }),
        ("", "LimitRange") => Arc::new(core::limits::LIMIT_RANGE),
        ("", "ResourceQuota") => Arc::new(core::limits::QUOTA),
        ("", "PodTemplate") => Arc::new(small::POD_TEMPLATE),
        ("coordination.k8s.io", "Lease") => Arc::new(scheduling::LEASE),
        ("scheduling.k8s.io", "PriorityClass") => Arc::new(scheduling::PRIORITY_CLASS),
        ("node.k8s.io", "RuntimeClass") => Arc::new(scheduling::RUNTIME_CLASS),
        ("policy", "PodDisruptionBudget") => Arc::new(scheduling::DISRUPTION_BUDGET),
        ("autoscaling", "HorizontalPodAutoscaler") => Arc::new(scheduling::AUTOSCALER),
        ("networking.k8s.io", "Ingress") => Arc::new(networking::ingress::INGRESS),
        ("networking.k8s.io", "IngressClass") => Arc::new(networking::ingress::CLASS),
        ("networking.k8s.io", "NetworkPolicy") => Arc::new(networking::network_policy::POLICY),
        ("discovery.k8s.io", "EndpointSlice") => Arc::new(small::ENDPOINT_SLICE),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => Arc::new(flow_control::SCHEMA),
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => Arc::new(flow_control::LEVEL),
        ("resource.k8s.io", "DeviceClass") => Arc::new(devices::CLASS),
        ("resource.k8s.io", "DeviceTaintRule") => Arc::new(devices::TAINT_RULE),
        ("resource.k8s.io", "ResourceSlice") => Arc::new(devices::slices::SLICE),
        ("resource.k8s.io", "ResourceClaim") => Arc::new(devices::CLAIM),
        ("resource.k8s.io", "ResourceClaimTemplate") => Arc::new(devices::CLAIM_TEMPLATE),
        ("storagemigration.k8s.io", "StorageVersionMigration") => Arc::new(small::MIGRATION),
        ("admissionregistration.k8s.io", kind) => match kind {
            "ValidatingWebhookConfiguration" => Arc::new(admission::VALIDATING_WEBHOOKS),
            "MutatingWebhookConfiguration" => Arc::new(admission::MUTATING_WEBHOOKS),
            "ValidatingAdmissionPolicy" => Arc::new(admission::VALIDATING_POLICY),
            "MutatingAdmissionPolicy" => Arc::new(admission::MUTATING_POLICY),
            "ValidatingAdmissionPolicyBinding" => Arc::new(admission::VALIDATING_BINDING),
            _ => Arc::new(admission::MUTATING_BINDING),
        },
        ("rbac.authorization.k8s.io", _) => Arc::new(rbac::Rbac),
        ("certificates.k8s.io", "CertificateSigningRequest") => Arc::new(certificates::signing_request::SigningRequest),
        ("certificates.k8s.io", "ClusterTrustBundle") => Arc::new(certificates::TrustBundle),
        ("networking.k8s.io", "ServiceCIDR") => Arc::new(small::SERVICE_CIDR),
        ("certificates.k8s.io", "PodCertificateRequest") => Arc::new(certificates::pod_certificates::REQUEST),
        ("networking.k8s.io", "IPAddress") => Arc::new(networking::Address),
        ("", "PersistentVolume") => Arc::new(persistent::Volume),
        ("", "PersistentVolumeClaim") => Arc::new(persistent::Claim),
        ("storage.k8s.io", kind) => match kind {
            "StorageClass" => Arc::new(storage::CLASS),
            "VolumeAttributesClass" => Arc::new(storage::ATTRIBUTES_CLASS),
            "VolumeAttachment" => Arc::new(storage::ATTACHMENT),
            "CSIDriver" => Arc::new(storage::DRIVER),
            "CSINode" => Arc::new(storage::NODE),
            _ => Arc::new(storage::CAPACITY),
        },
        ("apiextensions.k8s.io", "CustomResourceDefinition") => Arc::new(custom_resources::Definition),
        ("apiregistration.k8s.io", "APIService") => Arc::new(api_service::SERVICE),
        _ => Arc::new(Plain),
    }
}
