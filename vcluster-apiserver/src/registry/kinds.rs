//! The strategy of each built-in kind. A kind that is not named here behaves as [`Plain`] says.

mod admission_kinds;
mod admission_policies;
mod affinity_rules;
mod api_service;
mod certificates;
mod claim_rules;
mod conditions;
mod container_rules;
mod core;
mod custom_resources;
mod daemon_set;
mod device_names;
mod device_slices;
mod devices;
mod dropped;
mod endpoint_rules;
mod env_rules;
mod event;
mod fill;
mod flow_control;
mod ingress;
pub mod internal;
mod job_indexes;
mod job_rules;
mod job_status;
mod job_update;
mod limits;
mod mount_rules;
mod network_policy;
mod networking;
mod node_rules;
mod path_rules;
mod path_warnings;
mod persistent_rules;
mod pod;
mod pod_annotations;
mod pod_certificates;
mod pod_level_rules;
mod pod_spec;
mod pod_status;
mod pod_update;
mod pod_validation;
mod pod_volume_rules;
mod pod_warnings;
mod projected_rules;
mod qos;
mod rbac;
pub mod read;
mod resource_rules;
mod ruled;
mod rules;
mod scheduling;
mod security_rules;
mod service;
mod service_addresses;
mod service_rules;
mod signing_request;
mod small;
mod storage;
mod storage_kinds;
mod structural;
mod sysctl_rules;
mod tolerations;
mod volume_rules;
mod windows_rules;
mod workload;
mod workload_rules;
mod workload_selector;
mod workload_warnings;

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
        ("apps", "DaemonSet") => Arc::new(daemon_set::DaemonSet),
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
        ("", "Event") => Arc::new(event::Event { strict: false }),
        ("events.k8s.io", "Event") => Arc::new(event::Event { strict: true }),
        ("", "LimitRange") => Arc::new(limits::LIMIT_RANGE),
        ("", "ResourceQuota") => Arc::new(limits::QUOTA),
        ("", "PodTemplate") => Arc::new(small::POD_TEMPLATE),
        ("coordination.k8s.io", "Lease") => Arc::new(scheduling::LEASE),
        ("scheduling.k8s.io", "PriorityClass") => Arc::new(scheduling::PRIORITY_CLASS),
        ("node.k8s.io", "RuntimeClass") => Arc::new(scheduling::RUNTIME_CLASS),
        ("policy", "PodDisruptionBudget") => Arc::new(scheduling::DISRUPTION_BUDGET),
        ("autoscaling", "HorizontalPodAutoscaler") => Arc::new(scheduling::AUTOSCALER),
        ("networking.k8s.io", "Ingress") => Arc::new(ingress::INGRESS),
        ("networking.k8s.io", "IngressClass") => Arc::new(ingress::CLASS),
        ("networking.k8s.io", "NetworkPolicy") => Arc::new(network_policy::POLICY),
        ("discovery.k8s.io", "EndpointSlice") => Arc::new(small::ENDPOINT_SLICE),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => Arc::new(flow_control::SCHEMA),
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => Arc::new(flow_control::LEVEL),
        ("resource.k8s.io", "DeviceClass") => Arc::new(devices::CLASS),
        ("resource.k8s.io", "DeviceTaintRule") => Arc::new(devices::TAINT_RULE),
        ("resource.k8s.io", "ResourceSlice") => Arc::new(device_slices::SLICE),
        ("resource.k8s.io", "ResourceClaim") => Arc::new(devices::CLAIM),
        ("resource.k8s.io", "ResourceClaimTemplate") => Arc::new(devices::CLAIM_TEMPLATE),
        ("storagemigration.k8s.io", "StorageVersionMigration") => Arc::new(small::MIGRATION),
        ("admissionregistration.k8s.io", kind) => match kind {
            "ValidatingWebhookConfiguration" => Arc::new(admission_kinds::VALIDATING_WEBHOOKS),
            "MutatingWebhookConfiguration" => Arc::new(admission_kinds::MUTATING_WEBHOOKS),
            "ValidatingAdmissionPolicy" => Arc::new(admission_kinds::VALIDATING_POLICY),
            "MutatingAdmissionPolicy" => Arc::new(admission_kinds::MUTATING_POLICY),
            "ValidatingAdmissionPolicyBinding" => Arc::new(admission_kinds::VALIDATING_BINDING),
            _ => Arc::new(admission_kinds::MUTATING_BINDING),
        },
        ("rbac.authorization.k8s.io", _) => Arc::new(rbac::Rbac),
        ("certificates.k8s.io", "CertificateSigningRequest") => Arc::new(signing_request::SigningRequest),
        ("certificates.k8s.io", "ClusterTrustBundle") => Arc::new(certificates::TrustBundle),
        ("networking.k8s.io", "ServiceCIDR") => Arc::new(small::SERVICE_CIDR),
        ("certificates.k8s.io", "PodCertificateRequest") => Arc::new(pod_certificates::REQUEST),
        ("networking.k8s.io", "IPAddress") => Arc::new(networking::Address),
        ("", "PersistentVolume") => Arc::new(storage::Volume),
        ("", "PersistentVolumeClaim") => Arc::new(storage::Claim),
        ("storage.k8s.io", kind) => match kind {
            "StorageClass" => Arc::new(storage_kinds::CLASS),
            "VolumeAttributesClass" => Arc::new(storage_kinds::ATTRIBUTES_CLASS),
            "VolumeAttachment" => Arc::new(storage_kinds::ATTACHMENT),
            "CSIDriver" => Arc::new(storage_kinds::DRIVER),
            "CSINode" => Arc::new(storage_kinds::NODE),
            _ => Arc::new(storage_kinds::CAPACITY),
        },
        ("apiextensions.k8s.io", "CustomResourceDefinition") => Arc::new(custom_resources::Definition),
        ("apiregistration.k8s.io", "APIService") => Arc::new(api_service::SERVICE),
        _ => Arc::new(Plain),
    }
}
