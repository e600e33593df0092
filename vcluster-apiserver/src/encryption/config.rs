//! An `EncryptionConfiguration` of apiserver.config.k8s.io/v1 (k8s.io/apiserver `pkg/apis/apiserver/validation`).
//!
//! It refuses what upstream refuses, and key management services: those are other processes, which a tenant has not.

use super::cipher::Cipher;
use super::provider::{Provider, Providers};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schema::configuration::{self, ConfigurationError};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Which resources go through which providers.
#[derive(Clone, Debug, Default)]
pub struct Encryption {
    rules: Vec<(Vec<String>, Arc<Providers>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the encryption configuration: {0}")]
    File(#[from] ConfigurationError),
    #[error("{path}: {why}")]
    Invalid { path: String, why: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(default)]
    resources: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    providers: Vec<ProviderFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderFile {
    aesgcm: Option<Keys>,
    aescbc: Option<Keys>,
    secretbox: Option<Keys>,
    identity: Option<serde_json::Value>,
    kms: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default)]
    keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    #[serde(default)]
    name: String,
    #[serde(default)]
    secret: String,
}

fn invalid(path: impl Into<String>, why: impl Into<String>) -> Error {
    Error::Invalid { path: path.into(), why: why.into() }
}

impl Encryption {
    /// Reads a YAML or JSON file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let file: File = configuration::read(text, "apiserver.config.k8s.io/v1", "EncryptionConfiguration")?;
        if file.resources.is_empty() {
            return Err(invalid("resources", "at least one is required"));
        }
        let rules = file.resources.into_iter().enumerate().map(|(index, rule)| {
            let path = format!("resources[{index}]");
            check_names(&rule.resources).map_err(|why| invalid(format!("{path}.resources"), why))?;
            let providers = rule.providers.into_iter().enumerate();
            let providers = providers.map(|(number, p)| provider(&format!("{path}.providers[{number}]"), p));
            let providers = Providers::new(providers.collect::<Result<_, _>>()?);
            let providers =
                providers.ok_or_else(|| invalid(format!("{path}.providers"), "at least one is required"))?;
            Ok((rule.resources, Arc::new(providers)))
        });
        Ok(Self { rules: rules.collect::<Result<_, Error>>()? })
    }

    /// The providers of `resource` or `resource.group`; the first list that has it decides. None when it is not encrypted.
    pub fn providers(&self, resource: &str) -> Option<&Providers> {
        let group = resource.split_once('.').map_or("", |(_, group)| group);
        let covers = |rule: &String| match rule.strip_prefix("*.") {
            Some("*") => true,
            Some(rule_group) => rule_group == group,
            None => rule == resource,
        };
        self.rules.iter().find(|(rules, _)| rules.iter().any(covers)).map(|(_, providers)| &**providers)
    }
}

fn check_names(names: &[String]) -> Result<(), String> {
    if names.is_empty() {
        return Err("at least one is required".to_owned());
    }
    let group = |name: &str| name.split_once('.').map(|(_, group)| group.to_owned()).unwrap_or_default();
    let mut seen = BTreeSet::new();
    for name in names {
        let why = match name.as_str() {
            "*" => "use '*.' for the core group or '*.*' for everything",
            name if name.chars().any(char::is_uppercase) => "names have no capital letters",
            name if name.starts_with("*.") && name[2..].contains('*') && name != "*.*" => {
                "the same resource of several groups cannot be named"
            }
            name if !name.starts_with("*.") && name.contains('*') => {
                "the same resource of several groups cannot be named"
            }
            name if group(name) == "events.k8s.io" => "events are stored in the core group: use 'events'",
            name if group(name) == "extensions" => "group extensions is gone",
            "apiserveripinfo" | "serviceipallocations" | "servicenodeportallocations" => "it has no API",
            name if !seen.insert(name) => "the same resource is named twice",
            _ => continue,
        };
        return Err(format!("{name}: {why}"));
    }
    let everything = names.iter().any(|name| name == "*.*");
    let masked = |name: &&String| {
        **name != "*.*"
            && (everything || (!name.starts_with("*.") && seen.contains(format!("*.{}", group(name)).as_str())))
    };
    match names.iter().find(masked) {
        Some(name) => Err(format!("{name}: another name in the list covers it")),
        None => Ok(()),
    }
}

/// Makes a cipher of a key, if it is one.
type Make = fn(&[u8]) -> Option<Cipher>;

fn provider(path: &str, file: ProviderFile) -> Result<Provider, Error> {
    let given = [
        file.aesgcm.is_some(),
        file.aescbc.is_some(),
        file.secretbox.is_some(),
        file.identity.is_some(),
        file.kms.is_some(),
    ];
    if given.iter().filter(|given| **given).count() != 1 {
        return Err(invalid(path, "exactly one provider must be given in each element"));
    }
    if file.kms.is_some() {
        return Err(invalid(path, "kms is not supported"));
    }
    let (name, keys, make): (_, _, Make) = match (file.aesgcm, file.aescbc, file.secretbox) {
        (Some(keys), ..) => ("aesgcm", keys.keys, Cipher::gcm),
        (_, Some(keys), _) => ("aescbc", keys.keys, Cipher::cbc),
        (.., Some(keys)) => ("secretbox", keys.keys, Cipher::secretbox),
        _ => return Ok(Provider::Identity),
    };
    if keys.is_empty() {
        return Err(invalid(format!("{path}.{name}.keys"), "at least one is required"));
    }
    let keys = keys.into_iter().enumerate().map(|(index, key)| {
        let path = format!("{path}.{name}.keys[{index}]");
        if key.name.is_empty() || key.name.contains(':') {
            return Err(invalid(format!("{path}.name"), "it must be there and have no ':'"));
        }
        // Neither the secret nor its decoding is ever told.
        let secret =
            STANDARD.decode(key.secret.trim()).map_err(|_| invalid(format!("{path}.secret"), "it is no base64"))?;
        let cipher = make(&secret).ok_or_else(|| {
            invalid(format!("{path}.secret"), format!("{} bytes are no key of this provider", secret.len()))
        })?;
        Ok((key.name, cipher))
    });
    Ok(Provider::Keys { name, keys: keys.collect::<Result<_, Error>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn file(rules: &str) -> String {
        let text =
            format!("apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: [{rules}]\n");
        text.replace("KEY", KEY)
    }

    const AES: &str = "{aescbc: {keys: [{name: k, secret: KEY}]}}";

    #[test]
    fn the_first_list_that_has_a_resource_decides() {
        let rules = format!(
            "{{resources: [events], providers: [{{identity: {{}}}}]}}, {{resources: [secrets, pandas.bears.example], providers: [{AES}]}},\
             {{resources: ['*.apps', '*.'], providers: [{AES}, {{identity: {{}}}}]}}"
        );
        let encryption = Encryption::parse(&file(&rules)).unwrap();
        for (resource, plain) in [
            ("events", Some(true)),
            ("secrets", Some(false)),
            ("pandas.bears.example", Some(false)),
            ("deployments.apps", Some(false)),
            ("configmaps", Some(false)),
            ("jobs.batch", None),
        ] {
            assert_eq!(encryption.providers(resource).map(Providers::current_is_plain), plain, "{resource}");
        }
        let everything = Encryption::parse(&file(&format!("{{resources: ['*.*'], providers: [{AES}]}}"))).unwrap();
        assert!(everything.providers("jobs.batch").is_some() && everything.providers("pods").is_some());
    }

    // Upstream's cases: validation_encryption_test.go.
    #[test]
    fn what_upstream_refuses_is_refused() {
        let rule =
            |resources: &str, provider: &str| file(&format!("{{resources: [{resources}], providers: [{provider}]}}"));
        assert!(Encryption::parse(&rule("secrets", AES)).is_ok());
        for text in [
            file(""),
            rule("secrets", AES).replace("/v1", "/v2"),
            rule("", AES),
            rule("secrets", ""),
            rule("'*'", AES),
            rule("Secrets", AES),
            rule("'secrets.*'", AES),
            rule("events.events.k8s.io", AES),
            rule("'*.extensions'", AES),
            rule("secrets, secrets", AES),
            rule("secrets, '*.'", AES),
            rule("deployments.apps, '*.apps'", AES),
            rule("secrets, '*.*'", AES),
            rule("apiserveripinfo", AES),
            rule("secrets", "{}"),
            rule("secrets", "{aescbc: {keys: [{name: k, secret: KEY}]}, identity: {}}"),
            rule("secrets", "{kms: {name: x}}"),
            rule("secrets", "{aescbc: {keys: []}}"),
            rule("secrets", "{aescbc: {keys: [{secret: KEY}]}}"),
            rule("secrets", "{aescbc: {keys: [{name: k}]}}"),
            rule("secrets", "{aescbc: {keys: [{name: k, secret: '%%%'}]}}"),
            rule("secrets", "{secretbox: {keys: [{name: k, secret: AAECAwQFBgcICQoLDA0ODw==}]}}"),
            rule("secrets", "{aesgcm: {keys: [{name: 'a:b', secret: KEY}]}}"),
        ] {
            let error = Encryption::parse(&text).unwrap_err();
            assert!(!error.to_string().contains(KEY), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_parsing_panic(text in "\\PC{0,200}", resource in "[a-z*.]{0,20}") {
            let _ = Encryption::parse(&text);
            let _ = check_names(&[resource.clone(), resource]);
        }
    }
}
