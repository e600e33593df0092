//! Roles and bindings (k8s.io/kubernetes `pkg/apis/rbac/{v1/defaults.go,validation}`): names that fit a path segment, rules
//! that say something, subjects that can exist, a role reference that stays.

use super::fill::{empty, items, text};
use super::rules;
use crate::registry::strategy::{NameRule, Strategy};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{name_is_dns_subdomain, name_is_path_segment};
use serde_json::{Map, Value, json};

const GROUP: &str = "rbac.authorization.k8s.io";

pub struct Rbac;

impl Strategy for Rbac {
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn allows_create_on_update(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Object) {
        if let Some(role) = super::fill::object(object.as_map_mut(), "roleRef") {
            empty(role, "apiGroup", GROUP);
        }
        for subject in items(object.as_map_mut(), "subjects") {
            if matches!(text(subject, "kind"), "User" | "Group") {
                empty(subject, "apiGroup", GROUP);
            }
        }
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        let namespaced = !object.namespace().is_empty();
        let mut errors = ErrorList::new();
        if object.as_map().contains_key("roleRef") {
            binding(object.as_map(), namespaced, &mut errors);
        } else {
            for (index, rule) in list(object.as_map(), "rules").iter().enumerate() {
                policy_rule(rule, namespaced, &Path::new("rules").index(index), &mut errors);
            }
            aggregation(object.as_map().get("aggregationRule"), &mut errors);
        }
        errors
    }

    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        let mut errors = self.validate_create(new);
        let role = |object: &Object| object.as_map().get("roleRef").cloned().unwrap_or_default();
        if role(new) != role(old) {
            // Upstream prints its internal type here, with the names of Go's fields.
            let shown =
                json!({"APIGroup": role(new)["apiGroup"], "Kind": role(new)["kind"], "Name": role(new)["name"]});
            errors.push(FieldError::invalid(&Path::new("roleRef"), shown, "field is immutable"));
        }
        errors
    }
}

fn aggregation(rule: Option<&Value>, errors: &mut ErrorList) {
    let Some(rule) = rule.and_then(Value::as_object) else { return };
    let at = Path::new("aggregationRule").child("clusterRoleSelectors");
    let selectors = list(rule, "clusterRoleSelectors");
    if selectors.is_empty() {
        let why = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(FieldError::required(&at, why));
    }
    for (index, selector) in selectors.iter().enumerate() {
        let (at, before) = (at.index(index), errors.len());
        rules::label_selector(selector, &at, errors);
        // What validation refuses cannot be made a selector of either, and upstream says that too.
        if errors.len() > before {
            errors.push(FieldError::invalid(&at, Value::Null, "invalid label selector."));
        }
    }
}

fn list<'a>(map: &'a Map<String, Value>, field: &str) -> &'a [Value] {
    map.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn policy_rule(rule: &Value, namespaced: bool, path: &Path, errors: &mut ErrorList) {
    let none = |field: &str| rule[field].as_array().is_none_or(Vec::is_empty);
    if none("verbs") {
        errors.push(FieldError::required(&path.child("verbs"), ""));
    }
    if !none("nonResourceURLs") {
        let (at, urls) = (path.child("nonResourceURLs"), rule["nonResourceURLs"].clone());
        if namespaced {
            let why = "namespaced rules cannot apply to non-resource URLs";
            errors.push(FieldError::invalid(&at, urls.clone(), why));
        }
        if !none("apiGroups") || !none("resources") || !none("resourceNames") {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(&at, urls, why));
        }
        return;
    }
    if none("apiGroups") {
        let why = "resource rules must supply at least one api group";
        errors.push(FieldError::required(&path.child("apiGroups"), why));
    }
    if none("resources") {
        let why = "resource rules must supply at least one resource";
        errors.push(FieldError::required(&path.child("resources"), why));
    }
}

fn binding(object: &Map<String, Value>, namespaced: bool, errors: &mut ErrorList) {
    let role = object.get("roleRef").cloned().unwrap_or_else(|| json!({}));
    let part = |field: &str| role[field].as_str().unwrap_or_default();
    let path = Path::new("roleRef");
    if part("apiGroup") != GROUP {
        errors.push(FieldError::not_supported(&path.child("apiGroup"), part("apiGroup"), &[GROUP]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&part("kind")) {
        errors.push(FieldError::not_supported(&path.child("kind"), part("kind"), kinds));
    }
    let (at, name) = (path.child("name"), part("name"));
    if name.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        errors.extend(name_is_path_segment(name, false).into_iter().map(|why| FieldError::invalid(&at, name, why)));
    }
    for (index, subject) in list(object, "subjects").iter().enumerate() {
        self::subject(subject, namespaced, &Path::new("subjects").index(index), errors);
    }
}

fn subject(subject: &Value, namespaced: bool, path: &Path, errors: &mut ErrorList) {
    let part = |field: &str| subject[field].as_str().unwrap_or_default();
    let (name, group) = (part("name"), part("apiGroup"));
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    }
    match part("kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                let wrong = name_is_dns_subdomain(name, false).into_iter();
                errors.extend(wrong.map(|why| FieldError::invalid(&path.child("name"), name, why)));
            }
            if !group.is_empty() {
                errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[""]));
            }
            if !namespaced && part("namespace").is_empty() {
                errors.push(FieldError::required(&path.child("namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[GROUP]));
            }
        }
        other => {
            let kinds = ["ServiceAccount", "User", "Group"];
            errors.push(FieldError::not_supported(&path.child("kind"), other, &kinds));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(object: Value) -> Vec<String> {
        let mut object = Object::from_value(object).unwrap();
        Rbac.default(&mut object);
        Rbac.validate_create(&object).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn roles_and_bindings_say_something() {
        let role = |rule: Value| json!({"kind": "Role", "metadata": {"name": "r", "namespace": "n"}, "rules": [rule]});
        assert!(errors(role(json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}))).is_empty());
        assert_eq!(
            errors(role(json!({"nonResourceURLs": ["/x"]}))),
            [
                "rules[0].verbs: Required value",
                "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
            ]
        );
        let binding = json!({"kind": "ClusterRoleBinding", "metadata": {"name": "b"},
            "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "a"}, {"kind": "X", "name": "y"}]});
        assert_eq!(
            errors(binding),
            [
                "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
                "subjects[0].namespace: Required value",
                "subjects[1].kind: Unsupported value: \"X\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
            ]
        );
    }
}
