//! The printed tables of built-in kinds: which columns a kind has and what stands in them
//! (k8s.io/kubernetes `pkg/printers/internalversion/printers.go`).
//!
//! Cells are pure functions of an object and the time. Unlike upstream, which marks one default StorageClass per
//! list, each class that carries the annotation is marked, because a row is made without its neighbours.

mod configuration;
mod described;
mod identity;
mod network;
mod nodes;
mod pods;
mod read;
mod resources;
mod storage;
mod workloads;

use jiff::Timestamp;
use read::Row;
use serde_json::Value;

/// One `TableColumnDefinition`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    /// `string`, `integer`, `boolean` or `date`.
    pub kind: &'static str,
    /// `name` for the column with the object's name, else empty.
    pub format: &'static str,
    pub description: &'static str,
    /// 0 is always shown, 1 in wide output.
    pub priority: i32,
}

/// What is printed about one kind. In `columns` a `#` marks an integer, a `?` a boolean, a `+` a wide column and
/// a `-` a name without the format of one.
struct Printed {
    group: &'static str,
    kind: &'static str,
    columns: &'static str,
    cells: fn(&Row) -> Vec<Value>,
}

const WORKLOAD_WIDE: &str = "Containers+,Images+,Selector+";

const fn kind(
    group: &'static str,
    kind: &'static str,
    columns: &'static str,
    cells: fn(&Row) -> Vec<Value>,
) -> Printed {
    Printed { group, kind, columns, cells }
}

static PRINTED: &[Printed] = &[
    kind("", "Pod", "Name,Ready,Status,Restarts,Age,IP+,Node+,Nominated Node+,Readiness Gates+", pods::pod),
    kind("", "PodTemplate", "Name,Containers,Images,Pod Labels", workloads::pod_template),
    kind("", "ReplicationController", "Name,Desired#,Current#,Ready#,Age,*", workloads::replica_set),
    kind("apps", "ReplicaSet", "Name,Desired#,Current#,Ready#,Age,*", workloads::replica_set),
    kind("apps", "Deployment", "Name,Ready,Up-to-date,Available,Age,*", workloads::deployment),
    kind("apps", "StatefulSet", "Name,Ready,Age,Containers+,Images+", workloads::stateful_set),
    kind(
        "apps",
        "DaemonSet",
        "Name,Desired#,Current#,Ready#,Up-to-date#,Available#,Node Selector,Age,*",
        workloads::daemon_set,
    ),
    kind("apps", "ControllerRevision", "Name,Controller,Revision,Age", workloads::controller_revision),
    kind("batch", "Job", "Name,Status,Completions,Duration,Age,*", workloads::job),
    kind("batch", "CronJob", "Name,Schedule,Timezone,Suspend?,Active#,Last Schedule,Age,*", workloads::cron_job),
    kind(
        "autoscaling",
        "HorizontalPodAutoscaler",
        "Name,Reference,Targets,MinPods,MaxPods,Replicas,Age",
        workloads::autoscaler,
    ),
    kind("autoscaling", "Scale", "Name-,Desired#,Available#,Age", workloads::scale),
    kind(
        "policy",
        "PodDisruptionBudget",
        "Name,Min Available,Max Unavailable,Allowed Disruptions#,Age",
        workloads::disruption_budget,
    ),
    kind("", "Service", "Name,Type,Cluster-IP,External-IP,Port(s),Age,Selector+", network::service),
    kind("", "Endpoints", "Name,Endpoints,Age", network::endpoints),
    kind("discovery.k8s.io", "EndpointSlice", "Name,AddressType,Ports,Endpoints,Age", network::endpoint_slice),
    kind("networking.k8s.io", "Ingress", "Name,Class,Hosts,Address,Ports,Age", network::ingress),
    kind("networking.k8s.io", "IngressClass", "Name,Controller,Parameters,Age", network::ingress_class),
    kind("networking.k8s.io", "NetworkPolicy", "Name,Pod-Selector,Age", network::network_policy),
    kind("networking.k8s.io", "ServiceCIDR", "Name,CIDRs,Age", network::service_cidr),
    kind("networking.k8s.io", "IPAddress", "Name,ParentRef", network::ip_address),
    kind(
        "",
        "Node",
        "Name,Status,Roles,Age,Version,Internal-IP+,External-IP+,OS-Image+,Kernel-Version+,Container-Runtime+",
        nodes::node,
    ),
    kind("", "Namespace", "Name,Status,Age", nodes::namespace),
    kind("", "Event", EVENT, nodes::event),
    kind("events.k8s.io", "Event", EVENT, nodes::event),
    kind("", "ComponentStatus", "Name,Status,Message,Error", nodes::component_status),
    kind("node.k8s.io", "RuntimeClass", "Name,Handler,Age", nodes::runtime_class),
    kind(
        "scheduling.k8s.io",
        "PriorityClass",
        "Name,Value#,Global-Default?,Age,PreemptionPolicy",
        nodes::priority_class,
    ),
    kind("coordination.k8s.io", "Lease", "Name,Holder,Age", nodes::lease),
    kind("", "Secret", "Name,Type,Data,Age", configuration::secret),
    kind("", "ConfigMap", "Name,Data,Age", configuration::config_map),
    kind("", "ResourceQuota", "Name,Request,Limit,Age", configuration::resource_quota),
    kind("admissionregistration.k8s.io", "MutatingWebhookConfiguration", "Name,Webhooks#,Age", configuration::webhooks),
    kind(
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        "Name,Webhooks#,Age",
        configuration::webhooks,
    ),
    kind(
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicy",
        "Name,Validations#,ParamKind,Age",
        configuration::validating_policy,
    ),
    kind(
        "admissionregistration.k8s.io",
        "MutatingAdmissionPolicy",
        "Name,Mutations#,ParamKind,Age",
        configuration::mutating_policy,
    ),
    kind(
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding",
        "Name,PolicyName,ParamRef,Age",
        configuration::policy_binding,
    ),
    kind(
        "admissionregistration.k8s.io",
        "MutatingAdmissionPolicyBinding",
        "Name,PolicyName,ParamRef,Age",
        configuration::policy_binding,
    ),
    kind(
        "flowcontrol.apiserver.k8s.io",
        "FlowSchema",
        "Name,PriorityLevel,MatchingPrecedence,DistinguisherMethod,Age,MissingPL",
        configuration::flow_schema,
    ),
    kind(
        "flowcontrol.apiserver.k8s.io",
        "PriorityLevelConfiguration",
        "Name,Type,NominalConcurrencyShares,Queues,HandSize,QueueLengthLimit,Age",
        configuration::priority_level,
    ),
    kind("storagemigration.k8s.io", "StorageVersionMigration", "Name-,Resource,Status", configuration::migration),
    kind("", "ServiceAccount", "Name,Age", identity::name_and_age),
    kind(
        "rbac.authorization.k8s.io",
        "RoleBinding",
        "Name,Role,Age,Users+,Groups+,ServiceAccounts+",
        identity::role_binding,
    ),
    kind(
        "rbac.authorization.k8s.io",
        "ClusterRoleBinding",
        "Name,Role,Age,Users+,Groups+,ServiceAccounts+",
        identity::role_binding,
    ),
    kind(
        "certificates.k8s.io",
        "CertificateSigningRequest",
        "Name,Age,SignerName,Requestor,RequestedDuration,Condition",
        identity::signing_request,
    ),
    kind("certificates.k8s.io", "ClusterTrustBundle", "Name,SignerName", identity::trust_bundle),
    kind(
        "certificates.k8s.io",
        "PodCertificateRequest",
        "Name,PodName,ServiceAccountName,NodeName,SignerName,State,UnverifiedUserAnnotations",
        identity::pod_certificate_request,
    ),
    kind(
        "",
        "PersistentVolume",
        "Name,Capacity,Access Modes,Reclaim Policy,Status,Claim,StorageClass,VolumeAttributesClass,Reason,Age,VolumeMode+",
        storage::volume,
    ),
    kind(
        "",
        "PersistentVolumeClaim",
        "Name,Status,Volume,Capacity,Access Modes,StorageClass,VolumeAttributesClass,Age,VolumeMode+",
        storage::claim,
    ),
    kind(
        "storage.k8s.io",
        "StorageClass",
        "Name,Provisioner,ReclaimPolicy,VolumeBindingMode,AllowVolumeExpansion,Age",
        storage::class,
    ),
    kind("storage.k8s.io", "VolumeAttributesClass", "Name,DriverName,Age", storage::attributes_class),
    kind("storage.k8s.io", "VolumeAttachment", "Name,Attacher,PV,Node,Attached?,Age", storage::attachment),
    kind("storage.k8s.io", "CSINode", "Name,Drivers#,Age", storage::csi_node),
    kind(
        "storage.k8s.io",
        "CSIDriver",
        "Name,AttachRequired?,PodInfoOnMount?,StorageCapacity?,TokenRequests,RequiresRepublish?,Modes,Age",
        storage::csi_driver,
    ),
    kind("resource.k8s.io", "DeviceClass", "Name,Age", identity::name_and_age),
    kind("resource.k8s.io", "ResourceClaimTemplate", "Name,Age", identity::name_and_age),
    kind("resource.k8s.io", "ResourceClaim", "Name,State,Age", resources::claim),
    kind("resource.k8s.io", "ResourceSlice", "Name,Node,Driver,Pool,Age", resources::slice),
    kind("resource.k8s.io", "DeviceTaintRule", "Name,Key,Value,Effect,TimeAdded,Age", resources::taint_rule),
];

const EVENT: &str = "Last Seen,Type,Reason,Object,Subobject+,Source+,Message,First Seen+,Count+,Name+";

/// Kinds without an entry show these two.
const UNLISTED: &str = "Name,Created At@";

fn printed(group: &str, kind: &str) -> Option<&'static Printed> {
    PRINTED.iter().find(|printed| printed.group == group && printed.kind == kind)
}

/// The columns of a kind; name and creation time for kinds that upstream lists no columns for.
pub fn columns(group: &str, kind: &str) -> Vec<Column> {
    let text = printed(group, kind).map_or(UNLISTED, |printed| printed.columns);
    let words = text.split(',').flat_map(|word| if word == "*" { WORKLOAD_WIDE } else { word }.split(','));
    words.map(|word| column(group, kind, word)).collect()
}

fn column(group: &str, of: &str, word: &'static str) -> Column {
    let name = word.trim_end_matches(['#', '?', '+', '@', '-']);
    let marks = &word[name.len()..];
    let kind = match marks.chars().next() {
        Some('#') => "integer",
        Some('?') => "boolean",
        Some('@') => "date",
        _ => "string",
    };
    let format = match name {
        "Name" | "Attacher" if marks != "-" => "name",
        _ => "",
    };
    let description = described::description(group, of, name);
    Column { name, kind, format, description, priority: i32::from(marks.ends_with('+')) }
}

/// The cells of an object, in the order of [`columns`], wide ones included.
pub fn cells(group: &str, kind: &str, object: &Value, now: Timestamp) -> Vec<Value> {
    let row = Row { object, now };
    match printed(group, kind) {
        Some(printed) => (printed.cells)(&row),
        None => vec![row.name(), row.text(&["metadata", "creationTimestamp"]).into()],
    }
}

#[cfg(test)]
mod tests;
