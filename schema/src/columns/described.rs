//! What the columns of the printed tables are about (k8s.io/kubernetes `pkg/printers/internalversion/printers.go`).
//!
//! Most columns show a field and are described as the field is. The descriptions of all fields are unpacked once, when
//! the first table is asked for, and only those of columns are kept.

use crate::description::Descriptions;
use crate::types::type_named;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A column, and what says what it is: a text, or a field written `TYPE#FIELD`.
type Described = (&'static str, &'static str);

/// Columns that are the same for every kind.
const COMMON: &[Described] = &[
    ("Name", "meta.v1.ObjectMeta#name"),
    ("Age", "meta.v1.ObjectMeta#creationTimestamp"),
    ("Created At", "meta.v1.ObjectMeta#creationTimestamp"),
    ("Containers", "Names of each container in the template."),
    ("Images", "Images referenced by each container in the template."),
];

static KINDS: &[(&str, &str, &[Described])] = &[
    (
        "",
        "Pod",
        &[
            ("Ready", "The aggregate readiness state of this pod for accepting traffic."),
            ("Status", "The aggregate status of the containers in this pod."),
            (
                "Restarts",
                "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
            ),
            ("IP", "core.v1.PodStatus#podIP"),
            ("Node", "core.v1.PodSpec#nodeName"),
            ("Nominated Node", "core.v1.PodStatus#nominatedNodeName"),
            ("Readiness Gates", "core.v1.PodSpec#readinessGates"),
        ],
    ),
    ("", "PodTemplate", &[("Pod Labels", "The labels for the pod template.")]),
    (
        "",
        "ReplicationController",
        &[
            ("Desired", "core.v1.ReplicationControllerSpec#replicas"),
            ("Current", "core.v1.ReplicationControllerStatus#replicas"),
            ("Ready", "core.v1.ReplicationControllerStatus#readyReplicas"),
            ("Selector", "core.v1.ReplicationControllerSpec#selector"),
        ],
    ),
    (
        "apps",
        "ReplicaSet",
        &[
            ("Desired", "apps.v1.ReplicaSetSpec#replicas"),
            ("Current", "apps.v1.ReplicaSetStatus#replicas"),
            ("Ready", "apps.v1.ReplicaSetStatus#readyReplicas"),
            ("Selector", "apps.v1.ReplicaSetSpec#selector"),
        ],
    ),
    (
        "apps",
        "Deployment",
        &[
            ("Ready", "Number of the pod with ready state"),
            ("Up-to-date", "apps.v1.DeploymentStatus#updatedReplicas"),
            ("Available", "apps.v1.DeploymentStatus#availableReplicas"),
            ("Selector", "apps.v1.DeploymentSpec#selector"),
        ],
    ),
    ("apps", "StatefulSet", &[("Ready", "Number of the pod with ready state")]),
    (
        "apps",
        "DaemonSet",
        &[
            ("Desired", "apps.v1.DaemonSetStatus#desiredNumberScheduled"),
            ("Current", "apps.v1.DaemonSetStatus#currentNumberScheduled"),
            ("Ready", "apps.v1.DaemonSetStatus#numberReady"),
            ("Up-to-date", "apps.v1.DaemonSetStatus#updatedNumberScheduled"),
            ("Available", "apps.v1.DaemonSetStatus#numberAvailable"),
            ("Node Selector", "core.v1.PodSpec#nodeSelector"),
            ("Selector", "apps.v1.DaemonSetSpec#selector"),
        ],
    ),
    (
        "apps",
        "ControllerRevision",
        &[("Controller", "Controller of the object"), ("Revision", "apps.v1.ControllerRevision#revision")],
    ),
    (
        "batch",
        "Job",
        &[
            ("Status", "Status of the job."),
            ("Completions", "batch.v1.JobStatus#succeeded"),
            ("Duration", "Time required to complete the job."),
            ("Selector", "batch.v1.JobSpec#selector"),
        ],
    ),
    (
        "batch",
        "CronJob",
        &[
            ("Schedule", "batch.v1.CronJobSpec#schedule"),
            ("Timezone", "batch.v1.CronJobSpec#timeZone"),
            ("Suspend", "batch.v1.CronJobSpec#suspend"),
            ("Active", "batch.v1.CronJobStatus#active"),
            ("Last Schedule", "batch.v1.CronJobStatus#lastScheduleTime"),
            ("Selector", "batch.v1.JobSpec#selector"),
        ],
    ),
    (
        "autoscaling",
        "HorizontalPodAutoscaler",
        &[
            ("Reference", "autoscaling.v2.HorizontalPodAutoscalerSpec#scaleTargetRef"),
            ("Targets", "autoscaling.v2.HorizontalPodAutoscalerSpec#metrics"),
            ("MinPods", "autoscaling.v2.HorizontalPodAutoscalerSpec#minReplicas"),
            ("MaxPods", "autoscaling.v2.HorizontalPodAutoscalerSpec#maxReplicas"),
            ("Replicas", "autoscaling.v2.HorizontalPodAutoscalerStatus#currentReplicas"),
        ],
    ),
    (
        "autoscaling",
        "Scale",
        &[("Desired", "autoscaling.v1.ScaleSpec#replicas"), ("Available", "autoscaling.v1.ScaleStatus#replicas")],
    ),
    (
        "policy",
        "PodDisruptionBudget",
        &[
            ("Min Available", "The minimum number of pods that must be available."),
            ("Max Unavailable", "The maximum number of pods that may be unavailable."),
            ("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time."),
        ],
    ),
    (
        "",
        "Service",
        &[
            ("Type", "core.v1.ServiceSpec#type"),
            ("Cluster-IP", "core.v1.ServiceSpec#clusterIP"),
            ("External-IP", "core.v1.ServiceSpec#externalIPs"),
            ("Port(s)", "core.v1.ServiceSpec#ports"),
            ("Selector", "core.v1.ServiceSpec#selector"),
        ],
    ),
    ("", "Endpoints", &[("Endpoints", "core.v1.Endpoints#subsets")]),
    (
        "discovery.k8s.io",
        "EndpointSlice",
        &[
            ("AddressType", "discovery.v1.EndpointSlice#addressType"),
            ("Ports", "discovery.v1.EndpointSlice#ports"),
            ("Endpoints", "discovery.v1.EndpointSlice#endpoints"),
        ],
    ),
    (
        "networking.k8s.io",
        "Ingress",
        &[
            ("Class", "The name of the IngressClass resource that should be used for additional configuration"),
            ("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
            ("Address", "Address is a list containing ingress points for the load-balancer"),
            ("Ports", "Ports of TLS configurations that open"),
        ],
    ),
    (
        "networking.k8s.io",
        "IngressClass",
        &[
            ("Controller", "Controller that is responsible for handling this class"),
            ("Parameters", "A reference to a resource with additional parameters"),
        ],
    ),
    ("networking.k8s.io", "NetworkPolicy", &[("Pod-Selector", "networking.v1.NetworkPolicySpec#podSelector")]),
    ("networking.k8s.io", "ServiceCIDR", &[("CIDRs", "networking.v1.ServiceCIDRSpec#cidrs")]),
    ("networking.k8s.io", "IPAddress", &[("ParentRef", "networking.v1.IPAddressSpec#parentRef")]),
    (
        "",
        "Node",
        &[
            ("Status", "The status of the node"),
            ("Roles", "The roles of the node"),
            ("Version", "core.v1.NodeSystemInfo#kubeletVersion"),
            ("Internal-IP", "core.v1.NodeStatus#addresses"),
            ("External-IP", "core.v1.NodeStatus#addresses"),
            ("OS-Image", "core.v1.NodeSystemInfo#osImage"),
            ("Kernel-Version", "core.v1.NodeSystemInfo#kernelVersion"),
            ("Container-Runtime", "core.v1.NodeSystemInfo#containerRuntimeVersion"),
        ],
    ),
    ("", "Namespace", &[("Status", "The status of the namespace")]),
    ("", "Event", EVENT),
    ("events.k8s.io", "Event", EVENT),
    (
        "",
        "ComponentStatus",
        &[
            ("Status", "Status of the component conditions"),
            ("Message", "Message of the component conditions"),
            ("Error", "Error of the component conditions"),
        ],
    ),
    (
        "scheduling.k8s.io",
        "PriorityClass",
        &[
            ("Value", "scheduling.v1.PriorityClass#value"),
            ("Global-Default", "scheduling.v1.PriorityClass#globalDefault"),
            ("PreemptionPolicy", "scheduling.v1.PriorityClass#preemptionPolicy"),
        ],
    ),
    ("coordination.k8s.io", "Lease", &[("Holder", "coordination.v1.LeaseSpec#holderIdentity")]),
    ("", "Secret", &[("Type", "core.v1.Secret#type"), ("Data", "core.v1.Secret#data")]),
    ("", "ConfigMap", &[("Data", "core.v1.ConfigMap#data")]),
    (
        "",
        "ResourceQuota",
        &[
            ("Request", "Request represents a minimum amount of cpu/memory that a container may consume."),
            (
                "Limit",
                "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
            ),
        ],
    ),
    (
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
        &[("Webhooks", "Webhooks indicates the number of webhooks registered in this configuration")],
    ),
    (
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        &[("Webhooks", "Webhooks indicates the number of webhooks registered in this configuration")],
    ),
    (
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicy",
        &[
            ("Validations", "Validations indicates the number of validation rules defined in this configuration"),
            ("ParamKind", "ParamKind specifies the kind of resources used to parameterize this policy"),
        ],
    ),
    (
        "admissionregistration.k8s.io",
        "MutatingAdmissionPolicy",
        &[
            ("Mutations", "Mutation indicates the number of mutations rules defined in this configuration"),
            ("ParamKind", "ParamKind specifies the kind of resources used to parameterize this policy"),
        ],
    ),
    (
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding",
        &[
            ("PolicyName", "PolicyName indicates the policy definition which the policy binding binded to"),
            ("ParamRef", "ParamRef indicates the param resource which sets the configuration param"),
        ],
    ),
    (
        "admissionregistration.k8s.io",
        "MutatingAdmissionPolicyBinding",
        &[
            ("PolicyName", "PolicyName indicates the policy definition which the policy binding binded to"),
            ("ParamRef", "ParamRef indicates the param resource which sets the configuration param"),
        ],
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        "FlowSchema",
        &[
            ("PriorityLevel", "flowcontrol.v1.PriorityLevelConfigurationReference#name"),
            ("MatchingPrecedence", "flowcontrol.v1.FlowSchemaSpec#matchingPrecedence"),
            ("DistinguisherMethod", "flowcontrol.v1.FlowSchemaSpec#distinguisherMethod"),
            ("MissingPL", "references a broken or non-existent PriorityLevelConfiguration"),
        ],
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        "PriorityLevelConfiguration",
        &[
            ("Type", "flowcontrol.v1.PriorityLevelConfigurationSpec#type"),
            ("NominalConcurrencyShares", "flowcontrol.v1.LimitedPriorityLevelConfiguration#nominalConcurrencyShares"),
            ("Queues", "flowcontrol.v1.QueuingConfiguration#queues"),
            ("HandSize", "flowcontrol.v1.QueuingConfiguration#handSize"),
            ("QueueLengthLimit", "flowcontrol.v1.QueuingConfiguration#queueLengthLimit"),
        ],
    ),
    (
        "storagemigration.k8s.io",
        "StorageVersionMigration",
        &[("Resource", "GroupResource to migrate"), ("Status", "Status of the migration")],
    ),
    (
        "rbac.authorization.k8s.io",
        "RoleBinding",
        &[
            (
                "Role",
                "roleRef can reference a Role in the current namespace or a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must return an error.",
            ),
            ("Users", "Users in the roleBinding"),
            ("Groups", "Groups in the roleBinding"),
            ("ServiceAccounts", "ServiceAccounts in the roleBinding"),
        ],
    ),
    (
        "rbac.authorization.k8s.io",
        "ClusterRoleBinding",
        &[
            (
                "Role",
                "roleRef can only reference a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must return an error.",
            ),
            ("Users", "Users in the clusterRoleBinding"),
            ("Groups", "Groups in the clusterRoleBinding"),
            ("ServiceAccounts", "ServiceAccounts in the clusterRoleBinding"),
        ],
    ),
    (
        "certificates.k8s.io",
        "CertificateSigningRequest",
        &[
            (
                "SignerName",
                "Requested signer for the request. It is a qualified name in the form: `scope-hostname.io/name`. If empty, it will be defaulted:\n 1. If it's a kubelet client certificate, it is assigned\n    \"kubernetes.io/kube-apiserver-client-kubelet\".\n 2. If it's a kubelet serving certificate, it is assigned\n    \"kubernetes.io/kubelet-serving\".\n 3. Otherwise, it is assigned \"kubernetes.io/legacy-unknown\".\nDistribution of trust for signers happens out of band. You can select on this field using `spec.signerName`.",
            ),
            ("Requestor", "Base64-encoded PKCS#10 CSR data"),
            ("RequestedDuration", "certificates.v1.CertificateSigningRequestSpec#expirationSeconds"),
            ("Condition", "Conditions applied to the request, such as approval or denial."),
        ],
    ),
    (
        "certificates.k8s.io",
        "ClusterTrustBundle",
        &[("SignerName", "certificates.v1.ClusterTrustBundleSpec#signerName")],
    ),
    (
        "certificates.k8s.io",
        "PodCertificateRequest",
        &[
            ("PodName", "certificates.v1.PodCertificateRequestSpec#podName"),
            ("ServiceAccountName", "certificates.v1.PodCertificateRequestSpec#serviceAccountName"),
            ("NodeName", "certificates.v1.PodCertificateRequestSpec#nodeName"),
            ("SignerName", "certificates.v1.PodCertificateRequestSpec#signerName"),
            ("State", "Is the request Pending, Issued, Denied, or Failed?"),
            ("UnverifiedUserAnnotations", "certificates.v1.PodCertificateRequestSpec#unverifiedUserAnnotations"),
        ],
    ),
    (
        "",
        "PersistentVolume",
        &[
            ("Capacity", "core.v1.PersistentVolumeSpec#capacity"),
            ("Access Modes", "core.v1.PersistentVolumeSpec#accessModes"),
            ("Reclaim Policy", "core.v1.PersistentVolumeSpec#persistentVolumeReclaimPolicy"),
            ("Status", "core.v1.PersistentVolumeStatus#phase"),
            ("Claim", "core.v1.PersistentVolumeSpec#claimRef"),
            ("StorageClass", "StorageClass of the pv"),
            ("VolumeAttributesClass", "VolumeAttributesClass of the pv"),
            ("Reason", "core.v1.PersistentVolumeStatus#reason"),
            ("VolumeMode", "core.v1.PersistentVolumeSpec#volumeMode"),
        ],
    ),
    (
        "",
        "PersistentVolumeClaim",
        &[
            ("Status", "core.v1.PersistentVolumeClaimStatus#phase"),
            ("Volume", "core.v1.PersistentVolumeClaimSpec#volumeName"),
            ("Capacity", "core.v1.PersistentVolumeClaimStatus#capacity"),
            ("Access Modes", "core.v1.PersistentVolumeClaimStatus#accessModes"),
            ("StorageClass", "StorageClass of the pvc"),
            ("VolumeAttributesClass", "VolumeAttributesClass of the pvc"),
            ("VolumeMode", "core.v1.PersistentVolumeClaimSpec#volumeMode"),
        ],
    ),
    (
        "storage.k8s.io",
        "StorageClass",
        &[
            ("Provisioner", "storage.v1.StorageClass#provisioner"),
            ("ReclaimPolicy", "storage.v1.StorageClass#reclaimPolicy"),
            ("VolumeBindingMode", "storage.v1.StorageClass#volumeBindingMode"),
            ("AllowVolumeExpansion", "storage.v1.StorageClass#allowVolumeExpansion"),
        ],
    ),
    ("storage.k8s.io", "VolumeAttributesClass", &[("DriverName", "storage.v1.VolumeAttributesClass#driverName")]),
    (
        "storage.k8s.io",
        "VolumeAttachment",
        &[
            ("Attacher", "storage.v1.VolumeAttachmentSpec#attacher"),
            ("PV", "storage.v1.VolumeAttachmentSource#persistentVolumeName"),
            ("Node", "storage.v1.VolumeAttachmentSpec#nodeName"),
            ("Attached", "storage.v1.VolumeAttachmentStatus#attached"),
        ],
    ),
    ("storage.k8s.io", "CSINode", &[("Drivers", "Drivers indicates the number of CSI drivers registered on the node")]),
    (
        "storage.k8s.io",
        "CSIDriver",
        &[
            ("AttachRequired", "storage.v1.CSIDriverSpec#attachRequired"),
            ("PodInfoOnMount", "storage.v1.CSIDriverSpec#podInfoOnMount"),
            ("StorageCapacity", "storage.v1.CSIDriverSpec#storageCapacity"),
            ("TokenRequests", "storage.v1.CSIDriverSpec#tokenRequests"),
            ("RequiresRepublish", "storage.v1.CSIDriverSpec#requiresRepublish"),
            ("Modes", "storage.v1.CSIDriverSpec#volumeLifecycleModes"),
        ],
    ),
    (
        "resource.k8s.io",
        "ResourceClaim",
        &[("State", "A summary of the current state (allocated, pending, reserved, etc.).")],
    ),
    (
        "resource.k8s.io",
        "ResourceSlice",
        &[
            ("Node", "resource.v1.ResourceSliceSpec#nodeName"),
            ("Driver", "resource.v1.ResourceSliceSpec#driver"),
            ("Pool", "resource.v1.ResourcePool#name"),
        ],
    ),
    (
        "resource.k8s.io",
        "DeviceTaintRule",
        &[
            ("Key", "resource.v1.DeviceTaint#key"),
            ("Value", "resource.v1.DeviceTaint#value"),
            ("Effect", "resource.v1.DeviceTaint#effect"),
            ("TimeAdded", "resource.v1.DeviceTaint#timeAdded"),
        ],
    ),
];

const EVENT: &[Described] = &[
    ("Last Seen", "core.v1.Event#lastTimestamp"),
    ("Type", "core.v1.Event#type"),
    ("Reason", "core.v1.Event#reason"),
    ("Object", "core.v1.Event#involvedObject"),
    ("Subobject", "core.v1.ObjectReference#fieldPath"),
    ("Source", "core.v1.Event#source"),
    ("Message", "core.v1.Event#message"),
    ("First Seen", "core.v1.Event#firstTimestamp"),
    ("Count", "core.v1.Event#count"),
];

/// The descriptions of fields that columns show, by the place of the field.
static FIELDS: LazyLock<BTreeMap<&'static str, String>> = LazyLock::new(|| {
    let all = Descriptions::unpack();
    let listed = KINDS.iter().flat_map(|(_, _, columns)| columns.iter()).chain(COMMON);
    let fields = listed.filter_map(|(_, says)| {
        let (of, member) = says.split_once('#')?;
        // A text may hold the mark too, and then it names no type.
        let text = all.of_member(type_named(of)?, member).unwrap_or_default();
        // Only the published schema lists the values of a field.
        let text = text.split("\n\nPossible enum values:").next().unwrap_or_default().trim_end();
        Some((*says, text.to_owned()))
    });
    fields.collect()
});

/// What a column of a kind is about.
pub fn description(group: &str, kind: &str, column: &str) -> &'static str {
    let own = KINDS.iter().find(|(g, k, _)| (*g, *k) == (group, kind)).map(|(_, _, columns)| *columns);
    let listed = own.unwrap_or_default().iter().chain(COMMON).find(|(name, _)| *name == column);
    let says = listed.map_or("", |(_, says)| *says);
    FIELDS.get(says).map_or(says, String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_there_and_described() {
        for (place, text) in FIELDS.iter() {
            let (of, member) = place.split_once('#').expect("a place");
            let row = type_named(of).unwrap_or_else(|| panic!("{of}"));
            assert!(row.members().any(|field| field.json_name() == member), "{place}");
            assert!(!text.is_empty(), "{place}");
        }
    }

    #[test]
    fn fields_texts_and_columns_of_nothing() {
        assert!(description("", "Pod", "Name").starts_with("Name must be unique within a namespace."));
        assert_eq!(description("", "Namespace", "Status"), "The status of the namespace");
        assert_eq!(description("node.k8s.io", "RuntimeClass", "Handler"), "");
        assert!(!description("", "PersistentVolume", "Status").contains("Possible enum values"));
        assert!(description("resource.k8s.io", "DeviceTaintRule", "Effect").ends_with("like None."));
        assert!(description("certificates.k8s.io", "CertificateSigningRequest", "Requestor").starts_with("Base64"));
    }
}
