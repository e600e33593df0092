//! The parts of admission policies (k8s.io/kubernetes `pkg/apis/admissionregistration/validation`). Whether an expression
//! compiles is not looked at.

use crate::registry::kinds::admission::rule_with_operations;
use crate::registry::kinds::read::{list, text, wrong};
use crate::registry::kinds::rules::{self, Check, Rule};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{
    is_c_identifier, is_dns1035_label, is_dns1123_subdomain, is_qualified_name, name_is_path_segment,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// What a policy or a binding applies to.
pub const MATCHES: &[Rule] = &[
    ("matchPolicy", Check::Given(&["Equivalent", "Exact"])),
    ("namespaceSelector", Check::Selector),
    ("objectSelector", Check::Selector),
    ("resourceRules[]", Check::By(named_rule)),
    ("excludeResourceRules[]", Check::By(named_rule)),
];

pub fn matches(value: &Value, path: &Path, errors: &mut ErrorList) {
    errors.extend(rules::check(value, path, if value.is_object() { MATCHES } else { &[] }));
}

fn named_rule(rule: &Value, path: &Path, errors: &mut ErrorList) {
    let mut names = BTreeSet::new();
    for (index, name) in list(rule, "resourceNames").iter().filter_map(Value::as_str).enumerate() {
        let at = path.child("resourceNames").index(index);
        wrong(&at, name, name_is_path_segment(name, false), errors);
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&at, name));
        }
    }
    rule_with_operations(rule, path, errors);
}

/// The kind of a policy's parameters.
pub fn parameters(kind: &Value, path: &Path, errors: &mut ErrorList) {
    if !kind.is_object() {
        return;
    }
    let (version, at) = (text(kind, "apiVersion"), path.child("apiVersion"));
    if version.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let odd = if group.is_empty() { Vec::new() } else { is_dns1123_subdomain(group) };
        joined(&at, group, &odd, "", errors);
        joined(&at, version, &is_dns1035_label(version), "", errors);
    }
    let (name, at) = (text(kind, "kind"), path.child("kind"));
    if name.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        let before = "may have mixed case, but should otherwise match: ";
        joined(&at, name, &is_dns1035_label(&name.to_lowercase()), before, errors);
    }
}

/// All that is wrong with one text, as one sentence.
fn joined(path: &Path, value: &str, why: &[String], before: &str, errors: &mut ErrorList) {
    if !why.is_empty() {
        errors.push(FieldError::invalid(path, value, format!("{before}{}", why.join(","))));
    }
}

/// Conditions under which a policy or a webhook is asked.
pub fn conditions(value: &Value, path: &Path, errors: &mut ErrorList) {
    const MOST: usize = 64;
    let conditions = value.as_array().map(Vec::as_slice).unwrap_or_default();
    if conditions.len() > MOST {
        errors.push(FieldError::too_many(path, conditions.len(), MOST));
    }
    let mut names = BTreeSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let at = path.index(index);
        expression(condition, "expression", "", &at, errors);
        let (name, at) = (text(condition, "name"), at.child("name"));
        crate::registry::kinds::read::needed(&at, name, is_qualified_name, errors);
        if !name.is_empty() && !names.insert(name) {
            errors.push(FieldError::duplicate(&at, name));
        }
    }
}

fn expression(holder: &Value, field: &str, why: &str, path: &Path, errors: &mut ErrorList) {
    if text(holder, field).trim().is_empty() {
        errors.push(FieldError::required(&path.child(field), why));
    }
}

pub fn variable(variable: &Value, path: &Path, errors: &mut ErrorList) {
    let (name, at) = (text(variable, "name"), path.child("name"));
    if name.trim().is_empty() {
        errors.push(FieldError::required(&at, "name is not specified"));
    } else if !is_c_identifier(name).is_empty() {
        errors.push(FieldError::invalid(&at, name, "must be a valid CEL identifier"));
    }
    expression(variable, "expression", "expression is not specified", path, errors);
}

pub fn validation(validation: &Value, path: &Path, errors: &mut ErrorList) {
    expression(validation, "expression", "expression is not specified", path, errors);
    for field in ["messageExpression", "message"] {
        let said = text(validation, field);
        if !said.is_empty() && said.trim().is_empty() {
            errors.push(FieldError::invalid(&path.child(field), said, "must be non-empty if specified"));
        }
    }
    if text(validation, "message").trim().contains('\n') {
        let why = "must not contain line breaks";
        errors.push(FieldError::invalid(&path.child("message"), text(validation, "message"), why));
    }
    const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
    if let Some(reason) = validation["reason"].as_str().filter(|reason| !REASONS.contains(reason)) {
        errors.push(FieldError::not_supported(&path.child("reason"), reason, &REASONS));
    }
}

pub fn mutation(mutation: &Value, path: &Path, errors: &mut ErrorList) {
    const FORMS: [(&str, &str); 2] = [("ApplyConfiguration", "applyConfiguration"), ("JSONPatch", "jsonPatch")];
    let kind = text(mutation, "patchType");
    if kind.is_empty() {
        return errors.push(FieldError::required(&path.child("patchType"), ""));
    }
    if !FORMS.iter().any(|(name, _)| *name == kind) {
        let known = FORMS.map(|(name, _)| name);
        return errors.push(FieldError::not_supported(&path.child("patchType"), kind, &known));
    }
    for (name, field) in FORMS {
        let (form, at) = (&mutation[field], path.child(field));
        match (name == kind, form.is_object()) {
            (true, false) => {
                errors.push(FieldError::required(&at, format!("must be specified when patchType is {kind}")));
            }
            (true, true) => expression(form, "expression", "", &at, errors),
            (false, true) => {
                let why = format!("must not be specified when patchType is {kind}");
                errors.push(FieldError::invalid(&at, format!("{{{field}}}"), why));
            }
            (false, false) => {}
        }
    }
}

/// The operations before which objects can be changed.
pub fn mutable(rules: &Value, path: &Path, errors: &mut ErrorList) {
    const OPERATIONS: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];
    for rule in rules.as_array().into_iter().flatten() {
        for operation in list(rule, "operations").iter().filter_map(Value::as_str) {
            if !OPERATIONS.contains(&operation) {
                errors.push(FieldError::not_supported(&path.child("operations"), operation, &OPERATIONS));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::read::told;
    use serde_json::json;

    #[test]
    fn the_parts_of_a_policy() {
        let texts = |rule: fn(&Value, &Path, &mut ErrorList), value: Value| {
            told(|errors| rule(&value, &Path::new("p"), errors))
        };
        assert_eq!(texts(parameters, json!({})), ["p.apiVersion: Required value", "p.kind: Required value"]);
        assert!(texts(parameters, json!({"apiVersion": "v1", "kind": "ConfigMap"})).is_empty());
        assert_eq!(
            texts(conditions, json!([{"name": "a", "expression": "1"}, {"name": "a"}])),
            ["p[1].expression: Required value", "p[1].name: Duplicate value: \"a\""]
        );
        assert_eq!(
            texts(mutation, json!({"patchType": "JSONPatch", "applyConfiguration": {}})),
            [
                "p.applyConfiguration: Invalid value: \"{applyConfiguration}\": must not be specified when patchType is JSONPatch",
                "p.jsonPatch: Required value: must be specified when patchType is JSONPatch",
            ]
        );
        assert_eq!(
            texts(validation, json!({"expression": "1", "reason": "x", "message": "a\nb"})),
            [
                "p.message: Invalid value: \"a\\nb\": must not contain line breaks",
                "p.reason: Unsupported value: \"x\": supported values: \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\"",
            ]
        );
        assert_eq!(
            texts(matches, json!({"matchPolicy": ""})),
            ["p.matchPolicy: Unsupported value: \"\": supported values: \"Equivalent\", \"Exact\""]
        );
    }
}
