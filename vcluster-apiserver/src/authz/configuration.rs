//! An `AuthorizationConfiguration` of apiserver.config.k8s.io/v1
//! (k8s.io/apiserver `pkg/apis/apiserver/validation/validation.go`).
//!
//! It refuses what upstream refuses, and match conditions, which are CEL and not evaluated yet.

use schema::configuration::{self, ConfigurationError};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// One authorizer, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Node,
    Rbac,
    AlwaysAllow,
    AlwaysDeny,
    Webhook(Box<Webhook>),
}

/// Whom to ask, and what holds when nobody answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    pub name: String,
    pub kubeconfig: PathBuf,
    pub timeout: Duration,
    pub authorized: Duration,
    pub unauthorized: Duration,
    pub deny_on_failure: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the authorization configuration: {0}")]
    File(#[from] ConfigurationError),
    #[error("authorizers[{index}]: {why}")]
    Invalid { index: usize, why: &'static str },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(default)]
    authorizers: Vec<AuthorizerFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthorizerFile {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    name: String,
    webhook: Option<WebhookFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WebhookFile {
    #[serde(rename = "authorizedTTL", default)]
    authorized: String,
    cache_authorized_requests: Option<bool>,
    #[serde(rename = "unauthorizedTTL", default)]
    unauthorized: String,
    cache_unauthorized_requests: Option<bool>,
    #[serde(default)]
    timeout: String,
    #[serde(default)]
    subject_access_review_version: String,
    #[serde(default)]
    match_condition_subject_access_review_version: String,
    #[serde(default)]
    failure_policy: String,
    connection_info: ConnectionFile,
    #[serde(default)]
    match_conditions: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConnectionFile {
    #[serde(default)]
    r#type: String,
    kube_config_file: Option<PathBuf>,
}

/// Reads a YAML or JSON file.
pub fn parse(text: &str) -> Result<Vec<Kind>, Error> {
    let file: File = configuration::read(text, "apiserver.config.k8s.io/v1", "AuthorizationConfiguration")?;
    if file.authorizers.is_empty() {
        return Err(Error::Invalid { index: 0, why: "at least one is required" });
    }
    let (mut names, mut types) = (BTreeSet::new(), BTreeSet::new());
    let mut kinds = Vec::new();
    for (index, authorizer) in file.authorizers.into_iter().enumerate() {
        let invalid = |why| Error::Invalid { index, why };
        if authorizer.name.is_empty() || !names.insert(authorizer.name.clone()) {
            return Err(invalid("a name of its own is required"));
        }
        let kind = match (authorizer.r#type.as_str(), authorizer.webhook) {
            ("Webhook", Some(webhook)) => webhook.check(authorizer.name).map_err(invalid)?,
            ("Webhook", None) => return Err(invalid("a webhook is required")),
            (_, Some(_)) => return Err(invalid("only type Webhook has a webhook")),
            ("Node", _) => Kind::Node,
            ("RBAC", _) => Kind::Rbac,
            ("AlwaysAllow", _) => Kind::AlwaysAllow,
            ("AlwaysDeny", _) => Kind::AlwaysDeny,
            _ => return Err(invalid("the type is not supported")),
        };
        if authorizer.r#type != "Webhook" && !types.insert(authorizer.r#type) {
            return Err(invalid("the type was given before"));
        }
        kinds.push(kind);
    }
    Ok(kinds)
}

impl WebhookFile {
    fn check(self, name: String) -> Result<Kind, &'static str> {
        let duration = |text: &str, default: Duration| match text {
            "" => Ok(default),
            text => {
                let parsed = apimachinery::time::parse_go_duration(text).ok();
                parsed.and_then(|span| Duration::try_from(span).ok()).ok_or("a duration cannot be read")
            }
        };
        let timeout = duration(&self.timeout, Duration::ZERO)?;
        if timeout.is_zero() || timeout > Duration::from_secs(30) {
            return Err("timeout must be more than nothing and at most 30s");
        }
        if self.subject_access_review_version != "v1" {
            return Err("subjectAccessReviewVersion must be v1");
        }
        if !self.match_conditions.is_empty() {
            return Err("match conditions, which are CEL expressions, are not supported");
        }
        if !matches!(self.match_condition_subject_access_review_version.as_str(), "" | "v1") {
            return Err("matchConditionSubjectAccessReviewVersion must be v1");
        }
        let deny_on_failure = match self.failure_policy.as_str() {
            "NoOpinion" => false,
            "Deny" => true,
            _ => return Err("failurePolicy must be NoOpinion or Deny"),
        };
        let kubeconfig = match (self.connection_info.r#type.as_str(), self.connection_info.kube_config_file) {
            ("KubeConfigFile", Some(path)) if path.is_absolute() => path,
            ("KubeConfigFile", _) => return Err("kubeConfigFile must be an absolute path"),
            _ => return Err("connectionInfo must be of type KubeConfigFile"),
        };
        let kept = |on: Option<bool>, time: Duration| if on == Some(false) { Duration::ZERO } else { time };
        let authorized = duration(&self.authorized, Duration::from_mins(5))?;
        let unauthorized = duration(&self.unauthorized, Duration::from_secs(30))?;
        Ok(Kind::Webhook(Box::new(Webhook {
            name,
            kubeconfig,
            timeout,
            authorized: kept(self.cache_authorized_requests, authorized),
            unauthorized: kept(self.cache_unauthorized_requests, unauthorized),
            deny_on_failure,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOOK: &str = "{type: Webhook, name: w, webhook: {timeout: 3s, subjectAccessReviewVersion: v1, failurePolicy: Deny, \
        unauthorizedTTL: 1m30s, connectionInfo: {type: KubeConfigFile, kubeConfigFile: /etc/hook}}}";

    fn file(authorizers: &str) -> String {
        format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: [{authorizers}]\n"
        )
    }

    #[test]
    fn authorizers_come_in_order() {
        let kinds = parse(&file(&format!("{{type: Node, name: node}}, {HOOK}, {{type: RBAC, name: r}}"))).unwrap();
        let webhook = Webhook {
            name: "w".into(),
            kubeconfig: "/etc/hook".into(),
            timeout: Duration::from_secs(3),
            authorized: Duration::from_mins(5),
            unauthorized: Duration::from_secs(90),
            deny_on_failure: true,
        };
        assert_eq!(kinds, [Kind::Node, Kind::Webhook(Box::new(webhook)), Kind::Rbac]);
    }

    // Upstream's cases: validation_test.go, TestValidateAuthorizationConfiguration.
    #[test]
    fn what_upstream_refuses_is_refused() {
        for text in [
            file(""),
            file("{type: RBAC}"),
            file("{type: RBAC, name: a}, {type: RBAC, name: b}"),
            file("{type: RBAC, name: a}, {type: Node, name: a}"),
            file("{type: Foo, name: a}"),
            file("{type: ABAC, name: a}"),
            file("{type: Webhook, name: a}"),
            file(&HOOK.replace("Webhook, name", "RBAC, name")),
            file(&HOOK.replace("3s", "0s")),
            file(&HOOK.replace("3s", "31s")),
            file(&HOOK.replace("3s", "soon")),
            file(&HOOK.replace("Version: v1", "Version: v2")),
            file(&HOOK.replace("Deny", "Allow")),
            file(&HOOK.replace("/etc/hook", "hook")),
            file(&HOOK.replace("type: KubeConfigFile", "type: Other")),
            file(&HOOK.replace("timeout", "matchConditions: [{expression: 'true'}], timeout")),
            file(HOOK).replace("/v1", "/v1alpha1"),
        ] {
            assert!(parse(&text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_parsing_panic(text in "\\PC{0,200}") {
            let _ = parse(&text);
        }
    }
}
