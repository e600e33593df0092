//! Where a pod may go: affinities and the spread over topologies (k8s.io/kubernetes `pkg/apis/core/validation`).

use crate::registry::kinds::read::{list, number, one_of, subdomain, text, wrong};
use crate::registry::kinds::rules::label_selector;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{is_label_value, is_qualified_name, name_is_dns_label};
use serde_json::Value;
use std::collections::BTreeSet;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// The affinities of a pod.
pub fn check(affinity: &Value, path: &Path, errors: &mut ErrorList) {
    let (node, at) = (&affinity["nodeAffinity"], path.child("nodeAffinity"));
    if node[REQUIRED].is_object() {
        node_selector(&node[REQUIRED], &at.child(REQUIRED), errors);
    }
    for (index, term) in list(node, PREFERRED).iter().enumerate() {
        let at = at.child(PREFERRED).index(index);
        weight(term, &at, errors);
        // Values that no label can have are let through where they are only preferred.
        node_term(&term["preference"], false, &at.child("preference"), errors);
    }
    for field in ["podAffinity", "podAntiAffinity"] {
        let (pods, at) = (&affinity[field], path.child(field));
        for (index, term) in list(pods, REQUIRED).iter().enumerate() {
            pod_term(term, &at.child(REQUIRED).index(index), errors);
        }
        for (index, term) in list(pods, PREFERRED).iter().enumerate() {
            let at = at.child(PREFERRED).index(index);
            weight(term, &at, errors);
            pod_term(&term["podAffinityTerm"], &at.child("podAffinityTerm"), errors);
        }
    }
}

fn weight(term: &Value, path: &Path, errors: &mut ErrorList) {
    let weight = number(term, "weight");
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(&path.child("weight"), weight, "must be in the range 1-100"));
    }
}

/// A selector of nodes that holds at least one term.
pub fn node_selector(selector: &Value, path: &Path, errors: &mut ErrorList) {
    let at = path.child("nodeSelectorTerms");
    let terms = list(selector, "nodeSelectorTerms");
    if terms.is_empty() {
        errors.push(FieldError::required(&at, "must have at least one node selector term"));
    }
    for (index, term) in terms.iter().enumerate() {
        node_term(term, true, &at.index(index), errors);
    }
}

fn node_term(term: &Value, strict: bool, path: &Path, errors: &mut ErrorList) {
    for (index, requirement) in list(term, "matchExpressions").iter().enumerate() {
        let at = path.child("matchExpressions").index(index);
        let values = list(requirement, "values");
        let (operator, inner) = (text(requirement, "operator"), at.child("values"));
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let why = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(&inner, why));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(&inner, why));
            }
            "Gt" | "Lt" if values.len() != 1 => {
                let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.push(FieldError::required(&inner, why));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            _ => errors.push(not_an_operator(&at, operator)),
        }
        let key = text(requirement, "key");
        wrong(&at.child("key"), key, is_qualified_name(key), errors);
        for (index, value) in values.iter().filter_map(Value::as_str).enumerate().filter(|_| strict) {
            wrong(&inner.index(index), value, is_label_value(value), errors);
        }
    }
    for (index, requirement) in list(term, "matchFields").iter().enumerate() {
        let at = path.child("matchFields").index(index);
        let (values, inner) = (list(requirement, "values"), at.child("values"));
        match text(requirement, "operator") {
            "In" | "NotIn" => {
                if values.len() != 1 {
                    let why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                    errors.push(FieldError::required(&inner, why));
                }
            }
            operator => errors.push(not_an_operator(&at, operator)),
        }
        let key = text(requirement, "key");
        if key == "metadata.name" {
            for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
                wrong(&inner.index(index), value, subdomain(value), errors);
            }
        } else {
            errors.push(FieldError::invalid(&at.child("key"), key, "not a valid field selector key"));
        }
    }
}

fn not_an_operator(path: &Path, operator: &str) -> FieldError {
    FieldError::invalid(&path.child("operator"), operator, "not a valid selector operator")
}

fn pod_term(term: &Value, path: &Path, errors: &mut ErrorList) {
    for field in ["labelSelector", "namespaceSelector"] {
        label_selector(&term[field], &path.child(field), errors);
    }
    for name in list(term, "namespaces").iter().filter_map(Value::as_str) {
        wrong(&path.child("namespace"), name, name_is_dns_label(name, false), errors);
    }
    label_keys(term, path, errors);
    let (key, at) = (text(term, "topologyKey"), path.child("topologyKey"));
    if key.is_empty() {
        errors.push(FieldError::required(&at, "can not be empty"));
    }
    wrong(&at, key, is_qualified_name(key), errors);
}

/// Labels of the pod that the selector is narrowed or widened by.
fn label_keys(term: &Value, path: &Path, errors: &mut ErrorList) {
    let selector = &term["labelSelector"];
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        let at = path.child(field);
        if !list(term, field).is_empty() && !selector.is_object() {
            errors.push(FieldError::forbidden(&at, "must not be specified when labelSelector is not set"));
            continue;
        }
        for (index, key) in list(term, field).iter().filter_map(Value::as_str).enumerate() {
            wrong(&at.index(index), key, is_qualified_name(key), errors);
        }
    }
    let keys: Vec<&str> = list(term, "matchLabelKeys").iter().filter_map(Value::as_str).collect();
    let mut selected: BTreeSet<&str> =
        selector["matchLabels"].as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    for expression in list(selector, "matchExpressions") {
        let key = text(expression, "key");
        if let Some(index) = keys.iter().rposition(|known| *known == key)
            && selected.contains(key)
        {
            let why = "exists in both matchLabelKeys and labelSelector";
            errors.push(FieldError::invalid(&path.index(index), key, why));
        }
        selected.insert(key);
    }
    for (index, key) in keys.iter().enumerate() {
        if list(term, "mismatchLabelKeys").iter().any(|other| other == key) {
            let at = path.child("matchLabelKeys").index(index);
            errors.push(FieldError::invalid(&at, *key, "exists in both matchLabelKeys and mismatchLabelKeys"));
        }
    }
}

/// How evenly pods are spread.
pub fn spread(constraints: &[Value], path: &Path, errors: &mut ErrorList) {
    const ACTIONS: [&str; 2] = ["DoNotSchedule", "ScheduleAnyway"];
    for (index, constraint) in constraints.iter().enumerate() {
        let at = path.index(index);
        positive(&constraint["maxSkew"], &at.child("maxSkew"), errors);
        let (key, action) = (text(constraint, "topologyKey"), text(constraint, "whenUnsatisfiable"));
        if key.is_empty() {
            errors.push(FieldError::required(&at.child("topologyKey"), "can not be empty"));
        }
        if !ACTIONS.contains(&action) {
            errors.push(FieldError::not_supported(&at.child("whenUnsatisfiable"), action, &ACTIONS));
        }
        let same = |other: &Value| text(other, "topologyKey") == key && text(other, "whenUnsatisfiable") == action;
        if constraints.iter().skip(index + 1).any(same) {
            let at = at.child("{topologyKey, whenUnsatisfiable}");
            errors.push(FieldError::duplicate(&at, format!("{{{key}, {action}}}")));
        }
        let domains = &constraint["minDomains"];
        if !domains.is_null() {
            positive(domains, &at.child("minDomains"), errors);
            if action != "DoNotSchedule" {
                let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                errors.push(FieldError::invalid(&at.child("minDomains"), domains.clone(), why));
            }
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            one_of(&at.child(field), &constraint[field], &["Honor", "Ignore"], errors);
        }
        label_keys(constraint, &at, errors);
        label_selector(&constraint["labelSelector"], &at.child("labelSelector"), errors);
    }
}

fn positive(value: &Value, path: &Path, errors: &mut ErrorList) {
    let number = value.as_i64().unwrap_or(0);
    if number <= 0 {
        errors.push(FieldError::invalid(path, number, "must be greater than zero"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::read::told;
    use serde_json::json;

    #[test]
    fn terms_weights_and_keys() {
        let texts = |affinity: Value| told(|errors| check(&affinity, &Path::new("a"), errors));
        let term = |key: &str| json!({"podAffinity": {REQUIRED: [{"topologyKey": key}]}});
        assert!(texts(term("zone")).is_empty());
        assert_eq!(
            texts(term(""))[0],
            format!("a.podAffinity.{REQUIRED}[0].topologyKey: Required value: can not be empty")
        );
        assert_eq!(
            texts(json!({"nodeAffinity": {PREFERRED: [{"weight": 0, "preference": {}}]}})),
            [format!("a.nodeAffinity.{PREFERRED}[0].weight: Invalid value: 0: must be in the range 1-100")]
        );
        let gt = json!({"matchExpressions": [{"key": "a", "operator": "Gt"}]});
        assert_eq!(texts(json!({"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [gt]}}})).len(), 1);
    }

    #[test]
    fn spreads() {
        let mut errors = ErrorList::new();
        let zone = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
        spread(&[zone.clone(), zone], &Path::new("s"), &mut errors);
        assert_eq!(
            errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["s[0].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{zone, DoNotSchedule}\""]
        );
    }
}
