//! Webhook configurations and admission policies (k8s.io/kubernetes `pkg/apis/admissionregistration`): what they default to
//! and what they must say. Whether an expression compiles is not looked at.

pub mod policies;

use super::fill::{absent, items, made, object};
use super::read::{list, part, text, wrong};
use super::ruled::{METADATA, Ruled};
use super::rules::Check;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{is_dns1035_label, is_fully_qualified_name, is_port_number, name_is_path_segment};
use policies::conditions;
use policies::matches;
use policies::mutable;
use policies::mutation;
use policies::parameters;
use policies::validation;
use policies::variable;
use serde_json::{Map, Value, json};

type Tree = Map<String, Value>;

pub const VALIDATING_WEBHOOKS: Ruled = Ruled {
    defaults: |object| webhooks(object, false),
    rules: WEBHOOK_RULES,
    more: every_webhook,
    generation: true,
    counts_empties: true,
    conditional: true,
    ..Ruled::PLAIN
};

pub const MUTATING_WEBHOOKS: Ruled = Ruled { defaults: |object| webhooks(object, true), ..VALIDATING_WEBHOOKS };

const WEBHOOK_RULES: &[super::rules::Rule] = &[
    ("webhooks[].failurePolicy", Check::Given(&["Fail", "Ignore"])),
    ("webhooks[].matchPolicy", Check::Given(&["Equivalent", "Exact"])),
    ("webhooks[].matchConditions", Check::By(conditions)),
    ("webhooks[].namespaceSelector", Check::Selector),
    ("webhooks[].objectSelector", Check::Selector),
    ("webhooks[].reinvocationPolicy", Check::Given(&["IfNeeded", "Never"])),
    ("webhooks[].rules[]", Check::By(rule_with_operations)),
];

fn webhooks(configuration: &mut Tree, mutating: bool) {
    for webhook in items(configuration, "webhooks") {
        absent(webhook, "failurePolicy", "Fail");
        absent(webhook, "matchPolicy", "Equivalent");
        absent(webhook, "timeoutSeconds", 10);
        if mutating {
            absent(webhook, "reinvocationPolicy", "Never");
        }
        made(webhook, "namespaceSelector");
        made(webhook, "objectSelector");
        for rule in items(webhook, "rules") {
            absent(rule, "scope", "*");
        }
        if let Some(service) = object(webhook, "clientConfig").and_then(|config| object(config, "service")) {
            absent(service, "port", 443);
        }
    }
}

fn every_webhook(configuration: &Tree, errors: &mut ErrorList) {
    let hooks = part(configuration, "webhooks").as_array().map(Vec::as_slice).unwrap_or_default();
    let mut names = std::collections::BTreeSet::new();
    for (index, hook) in hooks.iter().enumerate() {
        let path = Path::new("webhooks").index(index);
        let name = text(hook, "name");
        errors.extend(is_fully_qualified_name(&path.child("name"), name));
        if !name.is_empty() && !names.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        webhook(hook, &path, errors);
    }
}

fn webhook(hook: &Value, path: &Path, errors: &mut ErrorList) {
    let versions = path.child("admissionReviewVersions");
    let offered = list(hook, "admissionReviewVersions");
    if offered.is_empty() {
        errors.push(FieldError::required(&versions, "must specify one of v1, v1beta1"));
    } else if !offered.iter().any(|version| version == "v1" || version == "v1beta1") {
        let why = "must include at least one of v1, v1beta1";
        errors.push(FieldError::invalid(&versions, hook["admissionReviewVersions"].clone(), why));
    }
    for (index, version) in offered.iter().filter_map(Value::as_str).enumerate() {
        let at = versions.index(index);
        if offered[..index].iter().any(|earlier| earlier == version) {
            errors.push(FieldError::invalid(&at, version, "duplicate version"));
        } else {
            wrong(&at, version, is_dns1035_label(version), errors);
        }
    }
    let effects = path.child("sideEffects");
    match hook["sideEffects"].as_str() {
        None => errors.push(FieldError::required(&effects, "must specify one of None, NoneOnDryRun")),
        Some("None" | "NoneOnDryRun") => {}
        Some(other) => errors.push(FieldError::not_supported(&effects, other, &["None", "NoneOnDryRun"])),
    }
    if let Some(seconds) = hook["timeoutSeconds"].as_i64().filter(|n| !(1..=30).contains(n)) {
        let why = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(&path.child("timeoutSeconds"), seconds, why));
    }
    let config = &hook["clientConfig"];
    let at = path.child("clientConfig");
    match (config["url"].is_string(), config["service"].is_object()) {
        (true, true) | (false, false) => {
            errors.push(FieldError::required(&at, "exactly one of url or service is required"));
        }
        (false, true) => {
            let service = &config["service"];
            // Upstream confuses the two.
            for (field, said) in [("name", "namespace"), ("namespace", "name")] {
                if text(service, said).is_empty() {
                    errors.push(FieldError::required(&at.child("service").child(field), ""));
                }
            }
            let port = service["port"].as_i64().unwrap_or(0);
            let odd = is_port_number(port);
            if !odd.is_empty() {
                let why = format!("port is not valid: {}", odd.join(", "));
                errors.push(FieldError::invalid(&at.child("service").child("port"), port, why));
            }
        }
        (true, false) => address(text(config, "url"), &at.child("url"), errors),
    }
}

/// The address of a webhook outside of the cluster.
fn address(url: &str, path: &Path, errors: &mut ErrorList) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (scheme, rest) = url.split_once("://").unwrap_or(("", ""));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if scheme != "https" {
        errors.push(FieldError::invalid(path, scheme, format!("'https' is the only allowed URL scheme{FORM}")));
    }
    if host.is_empty() {
        errors.push(FieldError::invalid(path, "", format!("host must be specified{FORM}")));
    }
    if let Some((user, _)) = host.rsplit_once('@') {
        errors.push(FieldError::invalid(path, user, "user information is not permitted in the URL"));
    }
    let (before, fragment) = url.split_once('#').unwrap_or((url, ""));
    let query = before.split_once('?').map(|(_, query)| query).unwrap_or_default();
    for (part, what) in [(fragment, "fragments"), (query, "query parameters")] {
        if !part.is_empty() {
            errors.push(FieldError::invalid(path, part, format!("{what} are not permitted in the URL")));
        }
    }
}

pub fn rule_with_operations(rule: &Value, path: &Path, errors: &mut ErrorList) {
    const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
    for (field, alone) in [("apiGroups", true), ("apiVersions", true), ("resources", false)] {
        let (values, at) = (list(rule, field), path.child(field));
        if values.is_empty() {
            errors.push(FieldError::required(&at, ""));
        }
        if alone && values.len() > 1 && values.iter().any(|value| value == "*") {
            let why = "if '*' is present, must not specify other API ".to_owned()
                + if field == "apiGroups" { "groups" } else { "versions" };
            errors.push(FieldError::invalid(&at, rule[field].clone(), why));
        }
        for (index, value) in values.iter().enumerate().filter(|_| field != "apiGroups") {
            if value == "" {
                errors.push(FieldError::required(&at.index(index), ""));
            }
        }
    }
    if let Some(scope) = rule["scope"].as_str().filter(|scope| !["*", "Cluster", "Namespaced"].contains(scope)) {
        errors.push(FieldError::not_supported(&path.child("scope"), scope, &["*", "Cluster", "Namespaced"]));
    }
    let at = path.child("operations");
    let operations = list(rule, "operations");
    if operations.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    if operations.len() > 1 && operations.iter().any(|operation| operation == "*") {
        let why = "if '*' is present, must not specify other operations";
        errors.push(FieldError::invalid(&at, rule["operations"].clone(), why));
    }
    for (index, operation) in operations.iter().filter_map(Value::as_str).enumerate() {
        if !OPERATIONS.contains(&operation) {
            errors.push(FieldError::not_supported(&at.index(index), operation, &OPERATIONS));
        }
    }
}

pub const VALIDATING_POLICY: Ruled = Ruled {
    status_keeps: METADATA,
    status: &[
        ("status.conditions", Check::By(super::conditions::check)),
        ("status.typeChecking.expressionWarnings[].fieldRef", Check::Needed("")),
        ("status.typeChecking.expressionWarnings[].warning", Check::Needed("")),
    ],
    defaults: |object| policy(object, "matchConstraints"),
    rules: &[
        ("spec.matchConstraints", Check::Present("")),
        ("spec.matchConstraints.resourceRules", Check::Needed("")),
        ("spec.matchConstraints", Check::By(matches)),
        ("spec.failurePolicy", Check::Given(&["Fail", "Ignore"])),
        ("spec.paramKind", Check::By(parameters)),
        ("spec.matchConditions", Check::By(conditions)),
        ("spec.variables[]", Check::By(variable)),
        ("spec.validations[]", Check::By(validation)),
        ("spec.auditAnnotations[].valueExpression", Check::Needed("valueExpression is not specified")),
    ],
    more: |object, errors| {
        let spec = part(object, "spec");
        if list(spec, "validations").is_empty() && list(spec, "auditAnnotations").is_empty() {
            let why = "validations or auditAnnotations must contain at least one item";
            for field in ["validations", "auditAnnotations"] {
                errors.push(FieldError::required(&Path::new("spec").child(field), why));
            }
        }
    },
    generation: true,
    conditional: true,
    ..Ruled::PLAIN
};

pub const MUTATING_POLICY: Ruled = Ruled {
    rules: &[
        ("spec.matchConstraints", Check::Present("")),
        ("spec.matchConstraints.resourceRules", Check::Needed("")),
        ("spec.matchConstraints", Check::By(matches)),
        ("spec.matchConstraints.resourceRules", Check::By(mutable)),
        ("spec.failurePolicy", Check::Given(&["Fail", "Ignore"])),
        ("spec.paramKind", Check::By(parameters)),
        ("spec.matchConditions", Check::By(conditions)),
        ("spec.variables[]", Check::By(variable)),
        ("spec.mutations[]", Check::By(mutation)),
        ("spec.mutations", Check::Needed("mutations must contain at least one item")),
        ("spec.reinvocationPolicy", Check::NeededOneOf(&["IfNeeded", "Never"])),
    ],
    more: |_, _| {},
    ..VALIDATING_POLICY
};

pub const VALIDATING_BINDING: Ruled = Ruled {
    defaults: |object| policy(object, "matchResources"),
    rules: &[
        ("spec.policyName", Check::Needed("")),
        ("spec.policyName", Check::Text(super::read::subdomain)),
        ("spec.paramRef", Check::By(parameter)),
        ("spec.validationActions", Check::Needed("")),
        ("spec.matchResources", Check::By(matches)),
    ],
    more: |object, errors| actions(part(object, "spec"), errors),
    generation: true,
    conditional: true,
    ..Ruled::PLAIN
};

pub const MUTATING_BINDING: Ruled = Ruled {
    rules: &[
        ("spec.policyName", Check::Needed("")),
        ("spec.policyName", Check::Text(super::read::subdomain)),
        ("spec.paramRef", Check::By(parameter)),
        ("spec.matchResources", Check::By(matches)),
    ],
    more: |_, _| {},
    ..VALIDATING_BINDING
};

fn policy(object: &mut Tree, scope: &str) {
    let Some(spec) = made(object, "spec") else { return };
    if scope == "matchConstraints" {
        absent(spec, "failurePolicy", "Fail");
    }
    let Some(resources) = self::object(spec, scope) else { return };
    absent(resources, "matchPolicy", "Equivalent");
    made(resources, "namespaceSelector");
    made(resources, "objectSelector");
    for field in ["resourceRules", "excludeResourceRules"] {
        for rule in items(resources, field) {
            absent(rule, "scope", "*");
        }
    }
}

fn parameter(reference: &Value, path: &Path, errors: &mut ErrorList) {
    if !reference.is_object() {
        return;
    }
    let name = text(reference, "name");
    match (name.is_empty(), reference["selector"].is_object()) {
        (true, false) => errors.push(FieldError::required(path, "one of name or selector must be specified")),
        (false, true) => {
            for field in ["name", "selector"] {
                let why = "name and selector are mutually exclusive";
                errors.push(FieldError::forbidden(&path.child(field), why));
            }
        }
        (false, false) | (true, true) => {}
    }
    wrong(&path.child("name"), name, name_is_path_segment(name, false), errors);
    super::rules::label_selector(&reference["selector"], &path.child("selector"), errors);
    let at = path.child("parameterNotFoundAction");
    match reference["parameterNotFoundAction"].as_str() {
        None | Some("") => errors.push(FieldError::required(&at, "")),
        Some("Allow" | "Deny") => {}
        Some(other) => errors.push(FieldError::not_supported(&at, other, &["Deny", "Allow"])),
    }
}

fn actions(spec: &Value, errors: &mut ErrorList) {
    const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
    let path = Path::new("spec").child("validationActions");
    let given: Vec<&str> = list(spec, "validationActions").iter().filter_map(Value::as_str).collect();
    let mut seen = std::collections::BTreeSet::new();
    for (index, action) in given.iter().enumerate() {
        if !ACTIONS.contains(action) {
            errors.push(FieldError::not_supported(&path.index(index), *action, &ACTIONS));
        }
        if !seen.insert(*action) {
            errors.push(FieldError::duplicate(&path.index(index), *action));
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        errors.push(FieldError::invalid(&path, json!(given), why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::ruled::refusals;

    #[test]
    fn webhooks_say_where_and_what() {
        let good = json!({"webhooks": [{"name": "a.b.c", "clientConfig": {"url": "https://x"}, "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]}]});
        assert_eq!(refusals(&VALIDATING_WEBHOOKS, good), Vec::<String>::new());
        assert_eq!(
            refusals(
                &MUTATING_WEBHOOKS,
                json!({"webhooks": [{"name": "a.b.c", "sideEffects": "Some", "admissionReviewVersions": ["v1"]}]})
            ),
            [
                "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
                "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
            ]
        );
    }

    #[test]
    fn bindings_name_their_policy() {
        assert_eq!(
            refusals(&VALIDATING_BINDING, json!({"spec": {"paramRef": {}, "validationActions": ["Deny", "Warn"]}})),
            [
                "spec.policyName: Required value",
                "spec.paramRef: Required value: one of name or selector must be specified",
                "spec.paramRef.parameterNotFoundAction: Required value",
                "spec.validationActions: Invalid value: [\"Deny\",\"Warn\"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)",
            ]
        );
    }
}
