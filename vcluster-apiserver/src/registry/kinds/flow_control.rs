//! Flow schemas and priority levels (k8s.io/kubernetes `pkg/apis/flowcontrol`).

use super::fill::{absent, made, object, zero};
use super::read::{list, number, part, subdomain, text, wrong};
use super::ruled::{METADATA, Ruled};
use super::rules::{self, Check, Rule};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{name_is_dns_label, name_is_dns_subdomain};
use serde_json::{Map, Value, json};

type Tree = Map<String, Value>;

const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

pub const SCHEMA: Ruled = Ruled {
    status_keeps: METADATA,
    defaults: |schema| {
        if let Some(spec) = made(schema, "spec") {
            zero(spec, "matchingPrecedence", 1000);
        }
    },
    rules: &[
        ("spec.matchingPrecedence", Check::By(precedence)),
        ("spec.priorityLevelConfiguration.name", Check::Needed("must reference a priority level")),
        ("spec.priorityLevelConfiguration.name", Check::Text(subdomain)),
        ("spec.distinguisherMethod", Check::By(distinguisher)),
        ("spec.rules[]", Check::By(rule)),
    ],
    more: |schema, errors| {
        if part(schema, "spec")["matchingPrecedence"] == 1 && text(part(schema, "metadata"), "name") != "exempt" {
            let why = "only the schema named 'exempt' may have matchingPrecedence 1";
            errors.push(FieldError::invalid(&Path::new("spec").child("matchingPrecedence"), 1, why));
        }
    },
    generation: true,
    ..Ruled::PLAIN
};

fn precedence(value: &Value, path: &Path, errors: &mut ErrorList) {
    const HIGHEST: i64 = 10_000;
    let Some(n) = value.as_i64() else { return };
    if n <= 0 {
        errors.push(FieldError::invalid(path, n, "must be a positive value"));
    }
    if n > HIGHEST {
        errors.push(FieldError::invalid(path, n, format!("must not be greater than {HIGHEST}")));
    }
}

fn distinguisher(method: &Value, path: &Path, errors: &mut ErrorList) {
    const METHODS: [&str; 2] = ["ByNamespace", "ByUser"];
    let kind = text(method, "type");
    if method.is_object() && !METHODS.contains(&kind) {
        // Upstream shows the whole method.
        let shown = json!({"Type": kind}).to_string();
        errors.push(FieldError::not_supported(&path.child("type"), "", &METHODS).showing(shown));
    }
}

fn rule(rule: &Value, path: &Path, errors: &mut ErrorList) {
    let (subjects, at) = (list(rule, "subjects"), path.child("subjects"));
    if subjects.is_empty() {
        errors.push(FieldError::required(&at, "subjects must contain at least one value"));
    }
    for (index, one) in subjects.iter().enumerate() {
        subject(one, &at.index(index), errors);
    }
    let (resources, others) = (list(rule, "resourceRules"), list(rule, "nonResourceRules"));
    if resources.is_empty() && others.is_empty() {
        let why = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path, why));
    }
    for (index, one) in resources.iter().enumerate() {
        resource_rule(one, &path.child("resourceRules").index(index), errors);
    }
    for (index, one) in others.iter().enumerate() {
        let at = path.child("nonResourceRules").index(index);
        verbs(one, &at, errors);
        urls(one, &at.child("nonResourceURLs"), errors);
    }
}

fn subject(subject: &Value, path: &Path, errors: &mut ErrorList) {
    const KINDS: [(&str, &str); 3] = [("Group", "group"), ("ServiceAccount", "serviceAccount"), ("User", "user")];
    let kind = text(subject, "kind");
    if !KINDS.iter().any(|(name, _)| *name == kind) {
        return errors.push(FieldError::not_supported(&path.child("kind"), kind, &KINDS.map(|(name, _)| name)));
    }
    for (name, field) in KINDS {
        let (value, at) = (&subject[field], path.child(field));
        match (name == kind, value.is_object()) {
            (false, true) => {
                let why = format!("{field} is forbidden when subject kind is not '{name}'");
                errors.push(FieldError::forbidden(&at, why));
            }
            (true, false) => {
                let why = format!("{field} is required when subject kind is '{name}'");
                errors.push(FieldError::required(&at, why));
            }
            (true, true) => who(field, value, &at, errors),
            (false, false) => {}
        }
    }
}

fn who(field: &str, value: &Value, path: &Path, errors: &mut ErrorList) {
    let (name, at) = (text(value, "name"), path.child("name"));
    if name.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    if field != "serviceAccount" {
        return;
    }
    if !["", "*"].contains(&name) {
        wrong(&at, name, name_is_dns_subdomain(name, false), errors);
    }
    let (namespace, at) = (text(value, "namespace"), path.child("namespace"));
    if namespace.is_empty() {
        errors.push(FieldError::required(&at, "must specify namespace for service account"));
    } else {
        wrong(&at, namespace, name_is_dns_label(namespace, false), errors);
    }
}

/// Whether a list says "everything"; then it says nothing else.
fn everything(rule: &Value, field: &str, what: &str, path: &Path, errors: &mut ErrorList) -> bool {
    let values = list(rule, field);
    let all = values.iter().any(|value| value == "*");
    if all && values.len() > 1 {
        let why = format!("if '*' is present, must not specify other {what}");
        errors.push(FieldError::invalid(path, rule[field].clone(), why));
    }
    all
}

fn verbs(rule: &Value, path: &Path, errors: &mut ErrorList) {
    let (verbs, at) = (list(rule, "verbs"), path.child("verbs"));
    if verbs.is_empty() {
        errors.push(FieldError::required(&at, "verbs must contain at least one value"));
    } else if !everything(rule, "verbs", "verbs", &at, errors)
        && verbs.iter().filter_map(Value::as_str).any(|verb| !VERBS.contains(&verb))
    {
        errors.push(FieldError::not_supported(&at, rule["verbs"].clone(), &VERBS));
    }
}

fn resource_rule(rule: &Value, path: &Path, errors: &mut ErrorList) {
    verbs(rule, path, errors);
    for (field, one, many) in [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")] {
        let at = path.child(field);
        if list(rule, field).is_empty() {
            errors.push(FieldError::required(&at, format!("resource rules must supply at least one {one}")));
        }
        everything(rule, field, many, &at, errors);
    }
    let (namespaces, at) = (list(rule, "namespaces"), path.child("namespaces"));
    if namespaces.is_empty() && rule["clusterScope"] != true {
        let why = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.push(FieldError::required(&at, why));
    } else if !everything(rule, "namespaces", "namespaces", &at, errors) {
        for (index, name) in namespaces.iter().filter_map(Value::as_str).enumerate() {
            let before = "each member of this list must be '*' or a DNS-1123 label; ";
            let why = name_is_dns_label(name, false).into_iter().map(|why| format!("{before}{why}")).collect();
            wrong(&at.index(index), name, why, errors);
        }
    }
}

fn urls(rule: &Value, path: &Path, errors: &mut ErrorList) {
    let urls = list(rule, "nonResourceURLs");
    if urls.is_empty() {
        errors.push(FieldError::required(path, "nonResourceURLs must contain at least one value"));
    } else if !everything(rule, "nonResourceURLs", "non-resource URLs", path, errors) {
        for (index, url) in urls.iter().filter_map(Value::as_str).enumerate() {
            let inner = url.strip_suffix('*').unwrap_or(url);
            let why = match url {
                "" => "must not be empty",
                "/" => continue,
                _ if !url.starts_with('/') => "must start with slash",
                _ if url.contains(' ') => "must not contain white-space",
                _ if url.contains("//") => "must not contain double slash",
                _ if inner.contains('*') => "wildcard can only do suffix matching",
                _ if url.ends_with('*') && !inner.ends_with('/') => "wildcard can only do suffix matching",
                _ => continue,
            };
            errors.push(FieldError::invalid(&path.index(index), url, why));
        }
    }
}

pub const LEVEL: Ruled = Ruled {
    status_keeps: METADATA,
    defaults: |level| {
        let Some(spec) = made(level, "spec") else { return };
        if let Some(exempt) = object(spec, "exempt") {
            absent(exempt, "nominalConcurrencyShares", 0);
            absent(exempt, "lendablePercent", 0);
        }
        if let Some(limited) = object(spec, "limited") {
            absent(limited, "nominalConcurrencyShares", 30);
            absent(limited, "lendablePercent", 0);
            if let Some(queuing) = object(limited, "limitResponse").and_then(|response| object(response, "queuing")) {
                zero(queuing, "queues", 64);
                zero(queuing, "handSize", 8);
                zero(queuing, "queueLengthLimit", 50);
            }
        }
    },
    more: level,
    generation: true,
    ..Ruled::PLAIN
};

const EXEMPT: &[Rule] =
    &[("nominalConcurrencyShares", Check::By(not_negative)), ("lendablePercent", Check::By(percent))];
const LIMITED: &[Rule] = &[
    ("nominalConcurrencyShares", Check::By(not_negative)),
    ("limitResponse", Check::By(response)),
    ("lendablePercent", Check::By(percent)),
    ("borrowingLimitPercent", Check::By(borrowed)),
];

/// A level is of one type, and only that type's part may be there. What the parts say is told without reasons.
fn level(level: &Tree, errors: &mut ErrorList) {
    let (spec, path) = (part(level, "spec"), Path::new("spec"));
    let (kind, exempt) = (text(spec, "type"), text(part(level, "metadata"), "name") == "exempt");
    if exempt != (kind == "Exempt") {
        let why = "must be 'Exempt' if and only if `name` is 'exempt'";
        errors.push(FieldError::invalid(&path.child("type"), kind, why));
    }
    if kind.is_empty() {
        errors.push(FieldError::required(&path.child("type"), ""));
    } else if !["Exempt", "Limited"].contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("type"), kind, &["Exempt", "Limited"]));
    }
    for (name, field, rules) in [("Exempt", "exempt", EXEMPT), ("Limited", "limited", LIMITED)] {
        let (value, at) = (&spec[field], path.child(field));
        match (name == kind, value.is_object()) {
            (false, true) => errors.push(FieldError::forbidden(&at, "")),
            (true, false) if field == "limited" => errors.push(FieldError::required(&at, "")),
            _ => {}
        }
        if name == kind && value.is_object() {
            errors.extend(rules::check(value, &at, rules));
        }
    }
}

fn not_negative(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(n) = value.as_i64().filter(|n| *n < 0) {
        errors.push(FieldError::invalid(path, n, "must be a non-negative integer"));
    }
}

fn percent(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(n) = value.as_i64().filter(|n| !(0..=100).contains(n)) {
        errors.push(FieldError::invalid(path, n, "must be between 0 and 100, inclusive"));
    }
}

fn borrowed(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(n) = value.as_i64().filter(|n| *n < 0) {
        errors.push(FieldError::invalid(path, n, "if specified, must be a non-negative integer"));
    }
}

fn response(response: &Value, path: &Path, errors: &mut ErrorList) {
    let (kind, queuing, at) = (text(response, "type"), &response["queuing"], path.child("queuing"));
    match (kind, queuing.is_object()) {
        ("Reject", false) => {}
        ("Queue", true) => queues(queuing, &at, errors),
        ("Queue", false) => errors.push(FieldError::required(&at, "")),
        ("", _) => errors.push(FieldError::required(&path.child("type"), "")),
        ("Reject", true) => {}
        (other, _) => errors.push(FieldError::not_supported(&path.child("type"), other, &["Queue", "Reject"])),
    }
    if kind != "Queue" && queuing.is_object() {
        errors.push(FieldError::forbidden(&at, ""));
    }
}

fn queues(queuing: &Value, path: &Path, errors: &mut ErrorList) {
    const MOST: i64 = 10_000_000;
    let (queues, hand) = (number(queuing, "queues"), number(queuing, "handSize"));
    for field in ["queueLengthLimit", "queues", "handSize"] {
        let n = number(queuing, field);
        if n <= 0 {
            errors.push(FieldError::invalid(&path.child(field), n, "must be positive"));
        }
    }
    if queues > MOST {
        let why = format!("must not be greater than {MOST}");
        errors.push(FieldError::invalid(&path.child("queues"), queues, why));
    }
    if hand > 0 && hand > queues {
        let why = format!("should not be greater than queues ({queues})");
        errors.push(FieldError::invalid(&path.child("handSize"), hand, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::ruled::refusals;

    #[test]
    fn schemas_say_whose_requests_they_are_about() {
        let schema = |rule: Value| json!({"spec": {"priorityLevelConfiguration": {"name": "l"}, "rules": [rule]}});
        let good = json!({"subjects": [{"kind": "User", "user": {"name": "u"}}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": [""], "resources": ["pods"], "clusterScope": true}]});
        assert!(refusals(&SCHEMA, schema(good)).is_empty());
        assert_eq!(
            refusals(
                &SCHEMA,
                schema(
                    json!({"subjects": [{"kind": "User", "group": {}}], "nonResourceRules": [{"verbs": ["x"], "nonResourceURLs": ["a"]}]})
                )
            ),
            [
                "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
                "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
                "spec.rules[0].nonResourceRules[0].verbs: Unsupported value: [\"x\"]: supported values: \"create\", \"delete\", \"deletecollection\", \"get\", \"list\", \"patch\", \"proxy\", \"update\", \"watch\"",
                "spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: \"a\": must start with slash",
            ]
        );
    }

    #[test]
    fn levels_are_of_one_type() {
        assert_eq!(
            refusals(&LEVEL, json!({"spec": {"type": "Limited", "exempt": {}, "limited": {}}})),
            ["spec.exempt: Forbidden", "spec.limited.limitResponse.type: Required value"]
        );
        let queuing = json!({"queues": 2, "handSize": 3});
        assert_eq!(
            refusals(
                &LEVEL,
                json!({"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": queuing}}}})
            ),
            ["spec.limited.limitResponse.queuing.handSize: Invalid value: 3: should not be greater than queues (2)"]
        );
    }
}
