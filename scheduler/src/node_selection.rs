//! Which nodes a pod or a volume may use (`k8s.io/component-helpers/scheduling/corev1/nodeaffinity`).

use crate::selection::{Labels, all_match, node_operator};
use apimachinery::selector::label::Requirement;
use apimachinery::validation::is_label_value;
use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, PreferredSchedulingTerm,
};

/// The pod's `nodeSelector` and its required node affinity; both must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequiredNodes {
    labels: Option<Labels>,
    terms: Option<Vec<Term>>,
}

/// One term: all of its requirements must hold. An empty or unreadable term matches nothing.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    expressions: Vec<Requirement>,
    fields: Vec<Requirement>,
    readable: bool,
}

impl RequiredNodes {
    pub(crate) fn of(spec: &PodSpec) -> Self {
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        Self { labels: spec.node_selector.clone(), terms: required.map(terms) }
    }

    /// Any node will do.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_none() && self.terms.is_none()
    }

    pub(crate) fn matches(&self, node: &Node) -> bool {
        let labels = node.metadata.labels.as_ref();
        let has = |(key, value): (&String, &String)| labels.is_some_and(|labels| labels.get(key) == Some(value));
        self.labels.iter().flatten().all(has) && self.terms.as_ref().is_none_or(|terms| any_matches(terms, node))
    }
}

/// The terms of a node selector; a node must match one of them.
pub(crate) fn terms(selector: &NodeSelector) -> Vec<Term> {
    selector.node_selector_terms.iter().map(Term::new).collect()
}

pub(crate) fn any_matches(terms: &[Term], node: &Node) -> bool {
    terms.iter().any(|term| term.matches(node))
}

/// Preferred terms with their weights; those of weight 0 and empty ones are left out, as upstream does.
pub(crate) fn preferred(terms: &[PreferredSchedulingTerm]) -> Vec<(i64, Term)> {
    let weighted = terms.iter().map(|term| (i64::from(term.weight), Term::new(&term.preference)));
    weighted.filter(|(weight, term)| *weight != 0 && !term.is_empty()).collect()
}

impl Term {
    fn new(term: &NodeSelectorTerm) -> Self {
        let mut readable = true;
        let mut read = |rules: &Option<Vec<NodeSelectorRequirement>>| -> Vec<Requirement> {
            let parsed: Option<Vec<_>> = rules.iter().flatten().map(requirement).collect();
            readable &= parsed.is_some();
            parsed.unwrap_or_default()
        };
        let (expressions, fields) = (read(&term.match_expressions), read(&term.match_fields));
        Self { expressions, fields, readable }
    }

    fn is_empty(&self) -> bool {
        self.expressions.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, node: &Node) -> bool {
        let name = Labels::from([("metadata.name".to_owned(), node.metadata.name.clone().unwrap_or_default())]);
        self.readable
            && !self.is_empty()
            && all_match(&self.expressions, node.metadata.labels.as_ref())
            && all_match(&self.fields, Some(&name))
    }
}

fn requirement(rule: &NodeSelectorRequirement) -> Option<Requirement> {
    let values = rule.values.clone().unwrap_or_default();
    let is_label = |value: &String| is_label_value(value).is_empty();
    if rule.key != "metadata.name" && matches!(rule.operator.as_str(), "In" | "NotIn") && !values.iter().all(is_label) {
        return None;
    }
    Some(Requirement { key: rule.key.clone(), operator: node_operator(&rule.operator)?, values })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Cases of upstream's `node_affinity_test.go`: a node `n` with labels `foo=bar` and `gpu=3`.
    #[test]
    fn required_nodes() {
        let node: Node =
            serde_json::from_value(json!({"metadata": {"name": "n", "labels": {"foo": "bar", "gpu": "3"}}})).unwrap();
        let term = |key: &str, operator: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let field = |operator: &str, name: &str| json!({"matchFields": [{"key": "metadata.name", "operator": operator, "values": [name]}]});
        let cases = [
            (json!({}), json!([term("foo", "In", json!(["bar", "else"]))]), true),
            (json!({}), json!([term("foo", "NotIn", json!(["bar"]))]), false),
            (json!({}), json!([term("gpu", "Gt", json!(["2"]))]), true),
            (json!({}), json!([term("gpu", "Lt", json!(["2"]))]), false),
            (json!({}), json!([term("gone", "DoesNotExist", json!([]))]), true),
            (json!({}), json!([term("foo", "Near", json!([]))]), false),
            (json!({}), json!([{}]), false),
            (json!({}), json!([]), false),
            (json!({}), json!([term("foo", "In", json!(["else"])), term("gpu", "Exists", json!([]))]), true),
            (json!({}), json!([field("In", "n")]), true),
            (json!({}), json!([field("NotIn", "n")]), false),
            (json!({"foo": "bar"}), Value::Null, true),
            (json!({"foo": "bar", "none": "x"}), Value::Null, false),
            (json!({"foo": "else"}), json!([field("In", "n")]), false),
        ];
        for (labels, terms, matches) in cases {
            let required = json!({"nodeSelectorTerms": terms});
            let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}});
            let affinity = if terms.is_null() { Value::Null } else { affinity };
            let spec = json!({"containers": [], "nodeSelector": labels, "affinity": affinity});
            let parsed: PodSpec = serde_json::from_value(spec.clone()).unwrap();
            assert_eq!(RequiredNodes::of(&parsed).matches(&node), matches, "{spec}");
        }
    }
}
