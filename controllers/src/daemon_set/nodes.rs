//! Which nodes a DaemonSet fits, and how its pods are made for one of them.

use crate::meta::Meta;
use crate::taint_eviction::tolerates;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{
    Affinity, Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Toleration,
};

/// Taints that every daemon pod tolerates; the last with the host's network only.
const TOLERATED: [(&str, &str); 7] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ("node.kubernetes.io/network-unavailable", "NoSchedule"),
];

/// Whether a pod should be started on a node, and whether one that is there may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fit {
    pub(super) run: bool,
    pub(super) stay: bool,
}

pub(super) fn fit(set: &DaemonSet, node: &Node) -> Fit {
    let none = PodSpec::default();
    let spec = set.spec.template.spec.as_ref().unwrap_or(&none);
    let elsewhere = spec.node_name.as_deref().is_some_and(|name| !name.is_empty() && name != node.name());
    if elsewhere || !is_selected(spec, node) {
        return Fit { run: false, stay: false };
    }
    let tolerations = tolerations(spec);
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let untolerated = taints.filter(|taint| !tolerations.iter().any(|own| tolerates(own, taint)));
    let (mut run, mut stay) = (true, true);
    for taint in untolerated {
        run &= taint.effect == "PreferNoSchedule";
        stay &= taint.effect != "NoExecute";
    }
    Fit { run, stay }
}

fn tolerations(spec: &PodSpec) -> Vec<Toleration> {
    let mut tolerations = spec.tolerations.clone().unwrap_or_default();
    let count = if spec.host_network == Some(true) { TOLERATED.len() } else { TOLERATED.len() - 1 };
    for (key, effect) in &TOLERATED[..count] {
        let toleration = Toleration {
            key: Some((*key).to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some((*effect).to_owned()),
            ..Toleration::default()
        };
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
    tolerations
}

fn required(affinity: Option<&Affinity>) -> Option<&NodeSelector> {
    affinity?.node_affinity.as_ref()?.required_during_scheduling_ignored_during_execution.as_ref()
}

/// The node selector and the required node affinity.
fn is_selected(spec: &PodSpec, node: &Node) -> bool {
    let labels = spec.node_selector.iter().flatten().all(|(key, value)| node.label(key) == Some(value));
    labels
        && required(spec.affinity.as_ref())
            .is_none_or(|wanted| wanted.node_selector_terms.iter().any(|term| holds(term, node)))
}

/// A term without any requirement selects nothing.
fn holds(term: &NodeSelectorTerm, node: &Node) -> bool {
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let labels = term.match_expressions.as_deref().unwrap_or_default();
    let name = |rule: &NodeSelectorRequirement| (rule.key == "metadata.name").then(|| node.name());
    (!fields.is_empty() || !labels.is_empty())
        && labels.iter().all(|rule| is_met(rule, node.label(&rule.key)))
        && fields.iter().all(|rule| is_met(rule, name(rule)))
}

fn is_met(rule: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = rule.values.as_deref().unwrap_or_default();
    let named = value.is_some_and(|value| values.iter().any(|wanted| wanted == value));
    let compared = || Some((value?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    match rule.operator.as_str() {
        "In" => named,
        "NotIn" => !named,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared().is_some_and(|(own, bound)| own > bound),
        "Lt" => compared().is_some_and(|(own, bound)| own < bound),
        _ => false,
    }
}

/// The node that a daemon pod is on, or was made for.
pub(super) fn node_of(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    if let Some(name) = spec.node_name.as_deref().filter(|name| !name.is_empty()) {
        return Some(name);
    }
    let terms = &required(spec.affinity.as_ref())?.node_selector_terms;
    let mut fields = terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    let field = fields.find(|field| field.key == "metadata.name" && field.operator == "In")?;
    field.values.as_ref()?.first().map(String::as_str)
}

/// Makes a pod's specification one for this node.
pub(super) fn assign(spec: &mut PodSpec, node: &str) {
    spec.tolerations = Some(tolerations(spec));
    let field = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![field]), match_expressions: None };
    let affinity = spec.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    affinity.required_during_scheduling_ignored_during_execution =
        Some(NodeSelector { node_selector_terms: vec![term] });
}
