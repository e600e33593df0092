//! One policy rule: what it allows (k8s.io/kubernetes `pkg/apis/rbac/v1/evaluation_helpers.go`).

use super::Attributes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt::Write as _;

/// A `PolicyRule` of a role, in its JSON form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    #[serde(deserialize_with = "null_is_empty")]
    pub verbs: Vec<String>,
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs", deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default())
}

fn any(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

impl Rule {
    /// The rules of a role in its JSON form; what is no rule is left out.
    pub fn list(rules: Option<&Value>) -> Vec<Self> {
        let rules = rules.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        rules.iter().filter_map(|r| Self::deserialize(r).ok()).collect()
    }

    pub fn allows(&self, a: &Attributes) -> bool {
        if !any(&self.verbs, &a.verb) {
            return false;
        }
        if !a.is_resource {
            return self.non_resource_urls.iter().any(|rule| url_covers(rule, &a.path));
        }
        any(&self.api_groups, &a.group)
            && self.resources.iter().any(|rule| resource_matches(rule, &a.resource, &a.subresource))
            && (self.resource_names.is_empty() || self.resource_names.contains(&a.name))
    }

    /// The form in which escalation errors list missing rules.
    pub fn compact(&self) -> String {
        let mut parts = Vec::new();
        let lists = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        for (name, list) in lists {
            if !list.is_empty() {
                parts.push(format!("{name}:{}", quoted(list)));
            }
        }
        format!("{{{}}}", parts.join(", "))
    }
}

/// `["a" "b"]`, as Go prints a list of strings with `%q`.
pub fn quoted(list: &[String]) -> String {
    let mut out = "[".to_owned();
    for (index, item) in list.iter().enumerate() {
        let _ = write!(out, "{}{item:?}", if index == 0 { "" } else { " " });
    }
    out.push(']');
    out
}

/// `*`, the very path, or a prefix with a star at its end.
pub fn url_covers(rule: &str, path: &str) -> bool {
    rule == "*" || rule == path || (rule.ends_with('*') && path.starts_with(rule.trim_end_matches('*')))
}

fn resource_matches(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == "*" {
        return true;
    }
    if subresource.is_empty() {
        return rule == resource;
    }
    match rule.split_once('/') {
        Some(("*", sub)) => sub == subresource || rule == subresource,
        Some((main, sub)) => main == resource && sub == subresource,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ask(rule: &Value, verb: &str, group: &str, resource: &str, name: &str) -> bool {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let attributes = Attributes {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            name: name.into(),
            is_resource: true,
            ..Attributes::default()
        };
        Rule::deserialize(rule).unwrap().allows(&attributes)
    }

    #[test]
    fn resource_rules_match_as_upstream() {
        let rule = |resources: &[&str], names: &[&str]| json!({ "verbs": ["get"], "apiGroups": ["apps"], "resources": resources, "resourceNames": names });
        let cases = [
            (rule(&["deployments"], &[]), "get", "apps", "deployments", "x", true),
            (rule(&["deployments"], &[]), "list", "apps", "deployments", "x", false),
            (rule(&["deployments"], &[]), "get", "", "deployments", "x", false),
            (rule(&["deployments"], &[]), "get", "apps", "deployments/scale", "x", false),
            (rule(&["deployments/scale"], &[]), "get", "apps", "deployments/scale", "x", true),
            (rule(&["*/scale"], &[]), "get", "apps", "deployments/scale", "x", true),
            (rule(&["*/scale"], &[]), "get", "apps", "deployments", "x", false),
            (rule(&["*/scale"], &[]), "get", "apps", "deployments/status", "x", false),
            (rule(&["*"], &[]), "get", "apps", "deployments/status", "x", true),
            (rule(&["deployments"], &["a"]), "get", "apps", "deployments", "a", true),
            (rule(&["deployments"], &["a"]), "get", "apps", "deployments", "b", false),
            (rule(&["deployments"], &["a"]), "get", "apps", "deployments", "", false),
        ];
        for (rule, verb, group, resource, name, wanted) in cases {
            assert_eq!(ask(&rule, verb, group, resource, name), wanted, "{rule} {verb} {group} {resource} {name}");
        }
    }

    #[test]
    fn url_rules_match_as_upstream() {
        for (rule, path, wanted) in [
            ("*", "/x", true),
            ("/api", "/api", true),
            ("/api", "/apis", false),
            ("/api/*", "/api/v1", true),
            ("/api/*", "/api", false),
        ] {
            assert_eq!(url_covers(rule, path), wanted, "{rule} {path}");
        }
    }

    #[test]
    fn rules_print_compactly() {
        let rule = Rule {
            verbs: vec!["get".into(), "list".into()],
            api_groups: vec![String::new()],
            resources: vec!["pods".into()],
            ..Rule::default()
        };
        assert_eq!(rule.compact(), r#"{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}"#);
    }
}
