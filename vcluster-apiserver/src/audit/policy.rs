//! Which requests are told about, and how much of them (audit.k8s.io/v1 `Policy`;
//! k8s.io/apiserver `pkg/audit/policy/{reader,checker}.go`, `pkg/apis/audit/validation`).

use crate::authz::Attributes;
use schema::configuration::{self, ConfigurationError};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    #[default]
    None,
    Metadata,
    Request,
    RequestResponse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
}

/// A policy file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    #[serde(default)]
    #[expect(dead_code, reason = "a policy may carry metadata, which says nothing to the server")]
    metadata: serde_json::Value,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Rule {
    level: Level,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<Targets>,
    namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    paths: Vec<String>,
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Targets {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

/// What the policy says about one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Telling {
    pub level: Level,
    pub omit_stages: Vec<Stage>,
    pub omit_managed_fields: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the audit policy: {0}")]
    File(#[from] ConfigurationError),
    #[error("the audit policy has no rules")]
    Empty,
    #[error("rule {rule} of the audit policy: {why}")]
    Rule { rule: usize, why: &'static str },
}

impl Policy {
    /// Reads a YAML or JSON file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let policy: Self = configuration::read(text, "audit.k8s.io/v1", "Policy")?;
        if policy.rules.is_empty() {
            return Err(Error::Empty);
        }
        for (rule, found) in policy.rules.iter().enumerate() {
            found.check().map_err(|why| Error::Rule { rule, why })?;
        }
        Ok(policy)
    }

    /// Metadata of everything: what is told where nobody wrote a policy.
    pub fn metadata() -> Self {
        Self { rules: vec![Rule { level: Level::Metadata, ..Rule::default() }], ..Self::default() }
    }

    pub fn evaluate(&self, attributes: &Attributes) -> Telling {
        let Some(rule) = self.rules.iter().find(|rule| rule.matches(attributes)) else {
            return Telling {
                level: Level::None,
                omit_stages: self.omit_stages.clone(),
                omit_managed_fields: self.omit_managed_fields,
            };
        };
        let mut omit_stages = self.omit_stages.clone();
        omit_stages.extend(&rule.omit_stages);
        let level = if is_secret(attributes) && rule.resources.is_empty() {
            rule.level.min(Level::Metadata)
        } else {
            rule.level
        };
        let omit_managed_fields = rule.omit_managed_fields.unwrap_or(self.omit_managed_fields);
        Telling { level, omit_stages, omit_managed_fields }
    }
}

/// Requests whose bodies are credentials.
fn is_secret(a: &Attributes) -> bool {
    matches!(
        (a.group.as_str(), a.resource.as_str(), a.subresource.as_str()),
        ("", "secrets", _) | ("", "serviceaccounts", "token") | ("authentication.k8s.io", "tokenreviews", _)
    )
}

fn holds(list: &[String], value: &str) -> bool {
    list.iter().any(|item| item == value)
}

impl Rule {
    fn check(&self) -> Result<(), &'static str> {
        let of_resources = !self.resources.is_empty() || !self.namespaces.is_empty();
        if of_resources && !self.paths.is_empty() {
            return Err("it applies to resources and to paths, which no request is at once");
        }
        let sound = |path: &String| path == "*" || (path.starts_with('/') && !path[..path.len() - 1].contains('*'));
        if !self.paths.iter().all(sound) {
            return Err("a path must begin with / and may have one * at its end");
        }
        if self.resources.iter().any(|r| r.group.contains('/')) {
            return Err("a group has no version");
        }
        if self.resources.iter().any(|r| r.resources.is_empty() && !r.resource_names.is_empty()) {
            return Err("names need resources");
        }
        Ok(())
    }

    fn matches(&self, a: &Attributes) -> bool {
        (self.users.is_empty() || holds(&self.users, &a.user.name))
            && (self.user_groups.is_empty() || a.user.groups.iter().any(|g| holds(&self.user_groups, g)))
            && (self.verbs.is_empty() || holds(&self.verbs, &a.verb))
            && self.covers(a)
    }

    fn covers(&self, a: &Attributes) -> bool {
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return a.is_resource
                && (self.namespaces.is_empty() || holds(&self.namespaces, &a.namespace))
                && (self.resources.is_empty() || self.resources.iter().any(|r| r.matches(a)));
        }
        self.paths.is_empty()
            || (!a.is_resource && self.paths.iter().any(|p| crate::authz::rule::url_covers(p, &a.path)))
    }
}

impl Targets {
    fn matches(&self, a: &Attributes) -> bool {
        if self.group != "*" && self.group != a.group {
            return false;
        }
        let named = self.resource_names.is_empty() || holds(&self.resource_names, &a.name);
        let resource = |rule: &String| match rule.split_once('/') {
            None => rule == "*" || (a.subresource.is_empty() && *rule == a.resource),
            Some((resource, "*")) => resource == a.resource,
            Some(("*", subresource)) => subresource == a.subresource,
            Some((resource, subresource)) => resource == a.resource && subresource == a.subresource,
        };
        self.resources.is_empty() || (named && self.resources.iter().any(resource))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::UserInfo;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn policy(rule: &str) -> Policy {
        Policy::parse(&format!(
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- {rule}\n"
        ))
        .unwrap()
    }

    fn ask(user: &str, verb: &str, namespace: &str, resource: &str, name: &str) -> Attributes {
        let user = UserInfo { name: user.into(), groups: vec!["humans".into()], ..UserInfo::default() };
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Attributes {
            user: Arc::new(user),
            verb: verb.into(),
            namespace: namespace.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            name: name.into(),
            is_resource: true,
            ..Attributes::default()
        }
    }

    // Upstream's rules and attributes: checker_test.go.
    #[test]
    fn rules_match_as_upstream() {
        let pods = ask("tim", "get", "default", "pods", "busybox");
        let log = ask("tim", "get", "default", "pods/log", "busybox");
        let path = Attributes { path: "/logs/x".into(), verb: "get".into(), ..Attributes::default() };
        for (rule, attributes, level) in [
            ("{level: Metadata}", &pods, Level::Metadata),
            ("{level: Metadata, verbs: [create]}", &pods, Level::None),
            ("{level: Request, verbs: [get]}", &pods, Level::Request),
            ("{level: Metadata, users: [tim]}", &pods, Level::Metadata),
            ("{level: Metadata, users: [bob]}", &pods, Level::None),
            ("{level: Metadata, userGroups: [humans]}", &pods, Level::Metadata),
            ("{level: Metadata, userGroups: [bots]}", &pods, Level::None),
            ("{level: Metadata, namespaces: [default]}", &pods, Level::Metadata),
            ("{level: Metadata, namespaces: ['']}", &pods, Level::None),
            ("{level: Metadata, resources: [{resources: [pods]}]}", &pods, Level::Metadata),
            ("{level: Metadata, resources: [{resources: [pods]}]}", &log, Level::None),
            ("{level: Metadata, resources: [{resources: [pods/log]}]}", &log, Level::Metadata),
            ("{level: Metadata, resources: [{resources: ['pods/*']}]}", &log, Level::Metadata),
            ("{level: Metadata, resources: [{resources: ['*/log']}]}", &log, Level::Metadata),
            ("{level: Metadata, resources: [{resources: ['*']}]}", &log, Level::Metadata),
            ("{level: Metadata, resources: [{group: apps}]}", &pods, Level::None),
            ("{level: Metadata, resources: [{group: '*'}]}", &pods, Level::Metadata),
            ("{level: Metadata, resources: [{resources: [pods], resourceNames: [other]}]}", &pods, Level::None),
            ("{level: Metadata, resources: [{resources: [pods], resourceNames: [busybox]}]}", &pods, Level::Metadata),
            ("{level: Metadata, nonResourceURLs: ['/logs*']}", &path, Level::Metadata),
            ("{level: Metadata, nonResourceURLs: ['/logs*']}", &pods, Level::None),
            ("{level: Metadata, resources: [{resources: ['*']}]}", &path, Level::None),
        ] {
            assert_eq!(policy(rule).evaluate(attributes).level, level, "{rule}");
        }
    }

    #[test]
    fn credentials_are_told_only_when_named() {
        let secret = ask("tim", "get", "default", "secrets", "s");
        for (rule, level) in [
            ("{level: RequestResponse}", Level::Metadata),
            ("{level: RequestResponse, namespaces: [default]}", Level::Metadata),
            ("{level: RequestResponse, resources: [{resources: [secrets]}]}", Level::RequestResponse),
            ("{level: None}", Level::None),
        ] {
            assert_eq!(policy(rule).evaluate(&secret).level, level, "{rule}");
        }
        let token = ask("tim", "create", "default", "serviceaccounts/token", "s");
        assert_eq!(policy("{level: RequestResponse}").evaluate(&token).level, Level::Metadata);
    }

    #[test]
    fn stages_and_managed_fields_are_omitted_by_policy_and_rule() {
        let pods = ask("tim", "get", "default", "pods", "busybox");
        let telling = policy("{level: Metadata, omitStages: [Panic], omitManagedFields: true}").evaluate(&pods);
        assert_eq!(telling.omit_stages, [Stage::RequestReceived, Stage::Panic]);
        assert!(telling.omit_managed_fields);
        assert!(!policy("{level: Metadata}").evaluate(&pods).omit_managed_fields);
    }

    // Upstream's cases: pkg/apis/audit/validation/validation_test.go and reader_test.go.
    #[test]
    fn wrong_policies_are_refused() {
        let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";
        for text in [
            String::new(),
            head.to_owned(),
            format!("{head}rules: []"),
            "apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]".to_owned(),
            format!("{head}rules: [{{level: Everything}}]"),
            format!("{head}rules: [{{level: None, unknown: 1}}]"),
            format!("{head}rules: [{{level: None, omitStages: [foo]}}]"),
            format!("{head}rules: [{{level: None, nonResourceURLs: ['logs']}}]"),
            format!("{head}rules: [{{level: None, nonResourceURLs: ['/a*b']}}]"),
            format!("{head}rules: [{{level: None, nonResourceURLs: ['']}}]"),
            format!("{head}rules: [{{level: None, nonResourceURLs: ['/a'], namespaces: [b]}}]"),
            format!("{head}rules: [{{level: None, resources: [{{group: apps/v1}}]}}]"),
            format!("{head}rules: [{{level: None, resources: [{{resourceNames: [a]}}]}}]"),
        ] {
            assert!(Policy::parse(&text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_parsing_fail_otherwise(text in "\\PC{0,200}") {
            let _ = Policy::parse(&text);
        }
    }
}
