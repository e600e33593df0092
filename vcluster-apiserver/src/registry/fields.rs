//! Field selectors of the built-in kinds, as data: the label and where its value stands
//! (k8s.io/kubernetes `pkg/apis/*/v1/conversion.go`, `pkg/registry/**/strategy.go`).
//!
//! `metadata.name` and `metadata.namespace` are selectable everywhere and not listed.

/// (group, plural, labels that stand at the path of their own name).
const PLAIN: &[(&str, &str, &[&str])] = &[
    (
        "",
        "pods",
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
    ),
    ("", "nodes", &["spec.unschedulable"]),
    ("", "namespaces", &["status.phase"]),
    ("", "secrets", &["type"]),
    ("", "services", &["spec.clusterIP", "spec.type"]),
    ("", "replicationcontrollers", &["status.replicas"]),
    (
        "",
        "events",
        &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "type",
        ],
    ),
    ("certificates.k8s.io", "certificatesigningrequests", &["spec.signerName"]),
    ("certificates.k8s.io", "podcertificaterequests", &["spec.signerName", "spec.podName", "spec.nodeName"]),
    ("certificates.k8s.io", "clustertrustbundles", &["spec.signerName"]),
    ("resource.k8s.io", "resourceslices", &["spec.nodeName", "spec.driver"]),
];

/// (group, plural, label, path) where the two differ. Of two paths with a bar between, the second stands in for an empty first.
const MAPPED: &[(&str, &str, &str, &str)] = &[
    ("", "pods", "spec.host", "spec.nodeName"),
    ("", "pods", "status.podIPs", "status.podIP"),
    ("", "events", "source", "source.component|reportingComponent"),
    ("batch", "jobs", "status.successful", "status.succeeded"),
    ("events.k8s.io", "events", "regarding.kind", "involvedObject.kind"),
    ("events.k8s.io", "events", "regarding.namespace", "involvedObject.namespace"),
    ("events.k8s.io", "events", "regarding.name", "involvedObject.name"),
    ("events.k8s.io", "events", "regarding.uid", "involvedObject.uid"),
    ("events.k8s.io", "events", "regarding.apiVersion", "involvedObject.apiVersion"),
    ("events.k8s.io", "events", "regarding.resourceVersion", "involvedObject.resourceVersion"),
    ("events.k8s.io", "events", "regarding.fieldPath", "involvedObject.fieldPath"),
    ("events.k8s.io", "events", "reason", "reason"),
    ("events.k8s.io", "events", "reportingController", "reportingComponent"),
    ("events.k8s.io", "events", "type", "type"),
];

/// The selectable fields of a resource as (label, path in the stored object).
pub fn of(group: &str, plural: &str) -> Vec<(String, String)> {
    let plain = PLAIN.iter().filter(|(g, p, _)| *g == group && *p == plural);
    let plain = plain.flat_map(|(_, _, labels)| labels.iter().map(|l| ((*l).to_owned(), (*l).to_owned())));
    let mapped = MAPPED.iter().filter(|(g, p, ..)| *g == group && *p == plural);
    plain.chain(mapped.map(|(_, _, label, path)| ((*label).to_owned(), (*path).to_owned()))).collect()
}

/// What an absent value of a field compares as, where that is not the empty string: booleans and numbers of Go.
pub fn zero(path: &str) -> &'static str {
    match path {
        "spec.unschedulable" | "spec.hostNetwork" => "false",
        "status.replicas" | "status.succeeded" => "0",
        _ => "",
    }
}
