//! An `AuthenticationConfiguration` of apiserver.config.k8s.io/v1
//! (k8s.io/apiserver `pkg/apis/apiserver/validation/validation.go`).
//!
//! It refuses what upstream refuses, and CEL expressions, which are not evaluated yet: a mapping that silently did not
//! happen would give somebody another's rights.

use crate::outbound::Trust;
use schema::configuration::{self, ConfigurationError};
use serde::Deserialize;
use std::collections::BTreeSet;

/// Upstream's bound.
const MOST_ISSUERS: usize = 64;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    pub issuers: Vec<Jwt>,
    pub anonymous: Option<Anonymous>,
}

/// Who may come without credentials, and where; no paths means everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anonymous {
    pub enabled: bool,
    pub paths: Vec<String>,
}

/// One issuer of identities.
#[derive(Clone, Debug, Default)]
pub struct Jwt {
    pub url: String,
    /// Where its discovery document is, when not under its URL.
    pub discovery_url: Option<String>,
    pub trust: Trust,
    pub audiences: Vec<String>,
    /// Claims that must have a value.
    pub required: Vec<(String, String)>,
    pub username: Claim,
    pub groups: Option<Claim>,
    pub uid: Option<String>,
}

/// A claim, and what is put before its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    pub claim: String,
    pub prefix: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the authentication configuration: {0}")]
    File(#[from] ConfigurationError),
    #[error("{path}: {why}")]
    Invalid { path: String, why: &'static str },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(default)]
    jwt: Vec<JwtFile>,
    anonymous: Option<AnonymousFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnonymousFile {
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JwtFile {
    issuer: Issuer,
    #[serde(default)]
    claim_validation_rules: Vec<ClaimRule>,
    #[serde(default)]
    claim_mappings: Mappings,
    #[serde(default)]
    user_validation_rules: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Issuer {
    #[serde(default)]
    url: String,
    #[serde(rename = "discoveryURL")]
    discovery_url: Option<String>,
    #[serde(default)]
    certificate_authority: String,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default)]
    audience_match_policy: String,
    #[serde(default)]
    egress_selector_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClaimRule {
    #[serde(default)]
    claim: String,
    #[serde(default)]
    required_value: String,
    #[serde(default)]
    expression: String,
    #[serde(default)]
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Mappings {
    username: ClaimFile,
    groups: ClaimFile,
    uid: ClaimFile,
    extra: Vec<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ClaimFile {
    claim: String,
    prefix: Option<String>,
    expression: String,
}

const CEL: &str = "CEL expressions are not supported";

impl Configuration {
    /// Reads a YAML or JSON file. `own`: the issuers of this server's own tokens, which nobody else may be.
    pub fn parse(text: &str, own: &[String]) -> Result<Self, Error> {
        let file: File = configuration::read(text, "apiserver.config.k8s.io/v1", "AuthenticationConfiguration")?;
        if file.jwt.len() > MOST_ISSUERS {
            return Err(Error::Invalid { path: "jwt".to_owned(), why: "there are too many" });
        }
        let mut seen = BTreeSet::new();
        let mut issuers = Vec::with_capacity(file.jwt.len());
        for (index, jwt) in file.jwt.into_iter().enumerate() {
            let invalid =
                |(path, why): (&str, &'static str)| Error::Invalid { path: format!("jwt[{index}].{path}"), why };
            if !seen.insert(jwt.issuer.url.clone()) {
                return Err(invalid(("issuer.url", "another issuer has it")));
            }
            if own.contains(&jwt.issuer.url) {
                return Err(invalid(("issuer.url", "it is the issuer of service account tokens")));
            }
            issuers.push(jwt.check().map_err(invalid)?);
        }
        let anonymous = file.anonymous.map(anonymous).transpose()?;
        Ok(Self { issuers, anonymous })
    }
}

fn anonymous(file: AnonymousFile) -> Result<Anonymous, Error> {
    let invalid = |why| Error::Invalid { path: "anonymous.conditions".to_owned(), why };
    if !file.enabled && !file.conditions.is_empty() {
        return Err(invalid("there are conditions of what is off"));
    }
    if file.conditions.iter().any(|condition| condition.path.is_empty()) {
        return Err(invalid("a path is missing"));
    }
    Ok(Anonymous { enabled: file.enabled, paths: file.conditions.into_iter().map(|c| c.path).collect() })
}

fn check_url(url: &str) -> Result<(), &'static str> {
    let Some(rest) = url.strip_prefix("https://") else { return Err("it must begin with https://") };
    if rest.is_empty() || rest.starts_with('/') {
        return Err("it names no host");
    }
    if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
        return Err("it must not name a user");
    }
    if rest.contains('?') || rest.contains('#') {
        return Err("it must have neither query nor fragment");
    }
    if url.parse::<http::Uri>().is_err() { Err("it is no URL") } else { Ok(()) }
}

impl JwtFile {
    fn check(self) -> Result<Jwt, (&'static str, &'static str)> {
        let issuer = self.issuer;
        check_url(&issuer.url).map_err(|why| ("issuer.url", why))?;
        if let Some(url) = &issuer.discovery_url {
            check_url(url).map_err(|why| ("issuer.discoveryURL", why))?;
            if url.trim_end_matches('/') == issuer.url.trim_end_matches('/') {
                return Err(("issuer.discoveryURL", "it must differ from the issuer's URL"));
            }
        }
        if issuer.audiences.is_empty() || issuer.audiences.iter().any(String::is_empty) {
            return Err(("issuer.audiences", "at least one is required, and none may be empty"));
        }
        if issuer.audiences.iter().collect::<BTreeSet<_>>().len() != issuer.audiences.len() {
            return Err(("issuer.audiences", "one is named twice"));
        }
        match (issuer.audiences.len(), issuer.audience_match_policy.as_str()) {
            (1, "" | "MatchAny") | (2.., "MatchAny") => {}
            _ => return Err(("issuer.audienceMatchPolicy", "it must be MatchAny, and said where there are several")),
        }
        if !matches!(issuer.egress_selector_type.as_str(), "" | "controlplane") {
            return Err(("issuer.egressSelectorType", "only controlplane is supported"));
        }
        let trust = if issuer.certificate_authority.is_empty() {
            Trust::System
        } else {
            crate::pki::pem::certificates(&issuer.certificate_authority)
                .map_err(|_| ("issuer.certificateAuthority", "it holds no certificates"))?;
            Trust::Bundle(issuer.certificate_authority)
        };
        let mut required = Vec::new();
        for rule in self.claim_validation_rules {
            if !rule.expression.is_empty() || !rule.message.is_empty() {
                return Err(("claimValidationRules", CEL));
            }
            if rule.claim.is_empty() {
                return Err(("claimValidationRules", "a claim is required"));
            }
            if required.iter().any(|(claim, _)| *claim == rule.claim) {
                return Err(("claimValidationRules", "a claim is named twice"));
            }
            required.push((rule.claim, rule.required_value));
        }
        if !self.user_validation_rules.is_empty() {
            return Err(("userValidationRules", CEL));
        }
        let Mappings { username, groups, uid, extra } = self.claim_mappings;
        if !(username.expression.is_empty()
            && groups.expression.is_empty()
            && uid.expression.is_empty()
            && extra.is_empty())
        {
            return Err(("claimMappings", CEL));
        }
        let username = username.mapping().map_err(|why| ("claimMappings.username", why))?;
        Ok(Jwt {
            url: issuer.url,
            discovery_url: issuer.discovery_url,
            trust,
            audiences: issuer.audiences,
            required,
            username: username.ok_or(("claimMappings.username", "a claim is required"))?,
            groups: groups.mapping().map_err(|why| ("claimMappings.groups", why))?,
            uid: Some(uid.claim).filter(|claim| !claim.is_empty()),
        })
    }
}

impl ClaimFile {
    /// A prefix must be said with a claim, were it an empty one, so that nobody becomes `system:...` by accident.
    fn mapping(self) -> Result<Option<Claim>, &'static str> {
        match (self.claim.is_empty(), self.prefix) {
            (true, None) => Ok(None),
            (true, Some(_)) => Err("a prefix needs a claim"),
            (false, None) => Err("a claim needs a prefix, which may be empty"),
            (false, Some(prefix)) => Ok(Some(Claim { claim: self.claim, prefix })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ISSUER: &str = "{url: 'https://issuer.example', audiences: [a]}";
    const USER: &str = "{username: {claim: sub, prefix: 'x:'}}";

    fn file(jwt: &str) -> String {
        format!("apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt: [{jwt}]\n")
    }

    fn one(issuer: &str, mappings: &str) -> String {
        file(&format!("{{issuer: {issuer}, claimMappings: {mappings}}}"))
    }

    #[test]
    fn issuers_are_read() {
        let text = file(
            "{issuer: {url: 'https://a.example', discoveryURL: 'https://b.example/x', audiences: [a, b], audienceMatchPolicy: MatchAny}, \
             claimValidationRules: [{claim: hd, requiredValue: example.com}], \
             claimMappings: {username: {claim: email, prefix: ''}, groups: {claim: roles, prefix: 'r:'}, uid: {claim: sub}}}",
        );
        let text = format!("{text}anonymous: {{enabled: true, conditions: [{{path: /livez}}]}}\n");
        let configuration = Configuration::parse(&text, &[]).unwrap();
        let jwt = &configuration.issuers[0];
        assert_eq!(jwt.required, [("hd".to_owned(), "example.com".to_owned())]);
        assert_eq!(jwt.groups, Some(Claim { claim: "roles".into(), prefix: "r:".into() }));
        assert_eq!((jwt.uid.as_deref(), jwt.username.claim.as_str()), (Some("sub"), "email"));
        assert_eq!(configuration.anonymous, Some(Anonymous { enabled: true, paths: vec!["/livez".into()] }));
    }

    // Upstream's cases: pkg/apis/apiserver/validation/validation_test.go.
    #[test]
    fn what_upstream_refuses_is_refused() {
        assert!(Configuration::parse(&one(ISSUER, USER), &[]).is_ok());
        let own = ["https://issuer.example".to_owned()];
        assert!(Configuration::parse(&one(ISSUER, USER), &own).is_err());
        let jwt = format!("{{issuer: {ISSUER}, claimMappings: {USER}}}");
        for text in [
            file(&format!("{jwt}, {jwt}")),
            one("{url: '', audiences: [a]}", USER),
            one("{url: 'http://a.example', audiences: [a]}", USER),
            one("{url: 'https://u@a.example', audiences: [a]}", USER),
            one("{url: 'https://a.example?b', audiences: [a]}", USER),
            one("{url: 'https://a.example#b', audiences: [a]}", USER),
            one("{url: 'https://a.example'}", USER),
            one("{url: 'https://a.example', audiences: ['']}", USER),
            one("{url: 'https://a.example', audiences: [a, a], audienceMatchPolicy: MatchAny}", USER),
            one("{url: 'https://a.example', audiences: [a, b]}", USER),
            one("{url: 'https://a.example', audiences: [a], audienceMatchPolicy: MatchAll}", USER),
            one("{url: 'https://a.example', audiences: [a], certificateAuthority: x}", USER),
            one("{url: 'https://a.example', audiences: [a], discoveryURL: 'https://a.example/'}", USER),
            one("{url: 'https://a.example', audiences: [a], egressSelectorType: cluster}", USER),
            one(ISSUER, "{}"),
            one(ISSUER, "{username: {claim: sub}}"),
            one(ISSUER, "{username: {prefix: a}}"),
            one(ISSUER, "{username: {expression: claims.sub}}"),
            one(ISSUER, "{username: {claim: sub, prefix: ''}, groups: {claim: g}}"),
            one(ISSUER, "{username: {claim: sub, prefix: ''}, extra: [{key: a/b, valueExpression: c}]}"),
            one(ISSUER, USER).replace("claimMappings", "userValidationRules: [{expression: x}], claimMappings"),
            one(ISSUER, USER).replace("claimMappings", "claimValidationRules: [{expression: x}], claimMappings"),
            one(ISSUER, USER).replace("claimMappings", "claimValidationRules: [{claim: a}, {claim: a}], claimMappings"),
            one(ISSUER, USER).replace("/v1", "/v1beta1"),
            format!("{}anonymous: {{enabled: false, conditions: [{{path: /a}}]}}\n", one(ISSUER, USER)),
        ] {
            assert!(Configuration::parse(&text, &[]).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_parsing_panic(text in "\\PC{0,200}", url in "\\PC{0,40}") {
            let _ = Configuration::parse(&text, &[]);
            let _ = check_url(&url);
        }
    }
}
