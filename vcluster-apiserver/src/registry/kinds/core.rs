//! The smaller core kinds: namespaces, nodes, configuration, accounts, endpoints, events.

pub mod endpoint_rules;
pub mod event;
pub mod limits;
pub mod node_rules;
pub mod resource_rules;

use super::fill::{empty, items, made};
use super::read::{list, part, wrong};
use crate::registry::kinds::pod::validation::data_keys;
use crate::registry::strategy::{NameRule, Strategy};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::is_qualified_name;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Bytes that the data of one ConfigMap or Secret may have together.
const MAX_DATA: usize = 1024 * 1024;

pub struct Namespace;

impl Strategy for Namespace {
    fn name_rule(&self) -> NameRule {
        NameRule::DnsLabel
    }

    fn default(&self, object: &mut Object) {
        let name = object.name().to_owned();
        if !name.is_empty() {
            object.set_at(&["metadata", "labels", "kubernetes.io/metadata.name"], name.into());
        }
        if let Some(status) = made(object.as_map_mut(), "status") {
            empty(status, "phase", "Active");
        }
    }

    fn prepare_create(&self, object: &mut Object) {
        object.set_at(&["status"], json!({"phase": "Active"}));
        let finalizers = object.at(&["spec", "finalizers"]).and_then(Value::as_array).cloned().unwrap_or_default();
        let mut finalizers: Vec<Value> = finalizers.into_iter().filter(|f| f != "kubernetes").collect();
        finalizers.push("kubernetes".into());
        object.set_at(&["spec", "finalizers"], finalizers.into());
    }

    fn prepare_update(&self, new: &mut Object, old: &Object) {
        if let Some(finalizers) = old.at(&["spec", "finalizers"]) {
            new.set_at(&["spec", "finalizers"], finalizers.clone());
        }
    }

    fn selectable_fields(&self) -> &'static [(&'static str, &'static str)] {
        &[("status.phase", "status.phase")]
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        finalizers(object, |path, _| path)
    }

    fn validate_status_update(&self, new: &Object, _: &Object) -> ErrorList {
        let phase = new.at(&["status", "phase"]).and_then(Value::as_str).unwrap_or_default();
        let (expected, when) = if new.is_terminating() { ("Terminating", "not empty") } else { ("Active", "empty") };
        if phase == expected {
            return ErrorList::new();
        }
        let why = format!("may only be '{expected}' if `deletionTimestamp` is {when}");
        // Upstream writes this name with a capital.
        vec![FieldError::invalid(&Path::new("status").child("Phase"), phase, why)]
    }

    fn validate_subresource_update(&self, subresource: &str, new: &Object, _: &Object) -> ErrorList {
        if subresource == "finalize" { finalizers(new, |path, index| path.index(index)) } else { ErrorList::new() }
    }
}

/// Finalizers are qualified, or of those that have always been there.
fn finalizers(namespace: &Object, place: fn(Path, usize) -> Path) -> ErrorList {
    const STANDARD: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];
    let mut errors = ErrorList::new();
    let spec = namespace.as_map().get("spec").unwrap_or(&Value::Null);
    for (index, name) in list(spec, "finalizers").iter().filter_map(Value::as_str).enumerate() {
        let path = place(Path::new("spec").child("finalizers"), index);
        wrong(&path, name, is_qualified_name(name), &mut errors);
        if !name.contains('/') && !STANDARD.contains(&name) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(&path, name, why));
        }
    }
    errors
}

pub struct Node;

impl Strategy for Node {
    fn keeps_status_on_create(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Object) {
        // The older field wins over the newer one, and otherwise follows it.
        let older = object.at(&["spec", "podCIDR"]).cloned().filter(|range| *range != "");
        let first = object.at(&["spec", "podCIDRs"]).and_then(|ranges| ranges.get(0)).cloned();
        match (older, first) {
            (Some(older), first) if first.as_ref() != Some(&older) => {
                object.set_at(&["spec", "podCIDRs"], json!([older]));
            }
            (None, Some(first)) => object.set_at(&["spec", "podCIDR"], first),
            _ => {}
        }
        let capacity = object.at(&["status", "capacity"]).cloned();
        if let Some(capacity) = capacity
            && object.at(&["status", "allocatable"]).is_none()
        {
            object.set_at(&["status", "allocatable"], capacity);
        }
    }

    fn prepare_create(&self, object: &mut Object) {
        node_rules::drop_disabled(object, None);
    }

    fn prepare_update(&self, new: &mut Object, old: &Object) {
        node_rules::drop_disabled(new, Some(old));
    }

    fn prepare_status_update(&self, new: &mut Object, old: &Object) {
        node_rules::drop_disabled(new, Some(old));
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        node_rules::check(object)
    }

    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        let mut errors = node_rules::check(new);
        errors.extend(node_rules::update(new, old));
        errors
    }

    fn validate_status_update(&self, new: &Object, old: &Object) -> ErrorList {
        self.validate_update(new, old)
    }

    fn warnings(&self, new: &Object, _: Option<&Object>) -> Vec<String> {
        let mut warnings = Vec::new();
        if new.at(&["spec", "configSource"]).is_some() {
            let text = "spec.configSource: the feature is no longer supported";
            warnings.push(text.to_owned());
        }
        if new.at(&["spec", "externalID"]).is_some_and(|id| *id != "") {
            warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
        }
        warnings
    }

    fn selectable_fields(&self) -> &'static [(&'static str, &'static str)] {
        &[("spec.unschedulable", "spec.unschedulable")]
    }
}

/// ConfigMaps and Secrets: keys, total size, and `immutable`.
pub struct Data {
    pub fields: &'static [&'static str],
    pub secret: bool,
}

pub const CONFIG_MAP: Data = Data { fields: &["data", "binaryData"], secret: false };
pub const SECRET: Data = Data { fields: &["data"], secret: true };

impl Data {
    fn size(&self, object: &Object) -> usize {
        let values = self.fields.iter().filter_map(|f| object.as_map().get(*f)?.as_object());
        let texts = values.flat_map(|m| m.values()).filter_map(Value::as_str);
        // Base64 is four characters for three bytes; a ConfigMap's text counts as it is.
        texts.map(|text| if self.secret { text.len() / 4 * 3 } else { text.len() }).sum()
    }
}

impl Strategy for Data {
    fn default(&self, object: &mut Object) {
        if !self.secret {
            return;
        }
        // Write-only: what stands here overrides `data`.
        if let Some(Value::Object(texts)) = object.as_map_mut().remove("stringData")
            && let Some(data) = made(object.as_map_mut(), "data")
        {
            for (key, text) in texts {
                data.insert(key, STANDARD.encode(text.as_str().unwrap_or_default()).into());
            }
        }
        empty(object.as_map_mut(), "type", "Opaque");
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        let mut errors = data_keys(object, self.fields);
        if self.size(object) > MAX_DATA {
            let path = if self.secret { Path::new("data") } else { Path::root() };
            errors.push(FieldError::too_long(&path, MAX_DATA));
        }
        if self.secret {
            errors.extend(by_type(object));
        }
        if let (Some(text), Some(bytes)) = (object.at(&["data"]), object.at(&["binaryData"])) {
            let both = text.as_object().into_iter().flatten().filter(|(key, _)| bytes.get(key.as_str()).is_some());
            errors.extend(both.map(|(key, _)| {
                FieldError::invalid(&Path::new("data").key(key), key.as_str(), "duplicate of key present in binaryData")
            }));
        }
        errors
    }

    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        if self.secret && new.as_map().get("type") != old.as_map().get("type") {
            let value = new.as_map().get("type").cloned().unwrap_or_default();
            errors.push(FieldError::invalid(&Path::new("type"), value, "field is immutable"));
        }
        if old.as_map().get("immutable") == Some(&json!(true)) {
            let why = "field is immutable when `immutable` is set";
            if new.as_map().get("immutable") != Some(&json!(true)) {
                errors.push(FieldError::forbidden(&Path::new("immutable"), why));
            }
            for field in self.fields {
                if new.as_map().get(*field) != old.as_map().get(*field) {
                    errors.push(FieldError::forbidden(&Path::new(field), why));
                }
            }
        }
        errors.extend(self.validate_create(new));
        errors
    }

    fn warnings(&self, new: &Object, _: Option<&Object>) -> Vec<String> {
        let tls = self.secret && new.as_map().get("type") == Some(&json!("kubernetes.io/tls"));
        let certificate = new.at(&["data", "tls.crt"]).and_then(Value::as_str).unwrap_or_default();
        let plain = STANDARD.decode(certificate).unwrap_or_default();
        let pem = plain.windows(10).any(|bytes| bytes == b"-----BEGIN");
        if tls && !pem {
            return vec!["tls: failed to find any PEM data in certificate input".to_owned()];
        }
        Vec::new()
    }

    fn selectable_fields(&self) -> &'static [(&'static str, &'static str)] {
        if self.secret { &[("type", "type")] } else { &[] }
    }
}

/// What a Secret of a well-known type must hold.
fn by_type(secret: &Object) -> ErrorList {
    let path = Path::new("data");
    let data = secret.as_map().get("data");
    let entry = |key: &str| data.and_then(|data| data.get(key)).and_then(Value::as_str);
    let missing = |keys: &[&str]| -> ErrorList {
        let missing = keys.iter().filter(|key| entry(key).is_none());
        missing.map(|key| FieldError::required(&path.key(key), "")).collect()
    };
    match secret.as_map().get("type").and_then(Value::as_str).unwrap_or_default() {
        "kubernetes.io/service-account-token" => {
            const ACCOUNT: &str = "kubernetes.io/service-account.name";
            let named = secret.annotation(ACCOUNT).is_some_and(|name| !name.is_empty());
            let at = Path::new("metadata").child("annotations").key(ACCOUNT);
            if named { ErrorList::new() } else { vec![FieldError::required(&at, "")] }
        }
        "kubernetes.io/dockercfg" => missing(&[".dockercfg"]),
        "kubernetes.io/dockerconfigjson" => missing(&[".dockerconfigjson"]),
        "kubernetes.io/basic-auth" if entry("username").is_none() && entry("password").is_none() => {
            missing(&["username", "password"])
        }
        "kubernetes.io/ssh-auth" if entry("ssh-privatekey").is_none_or(str::is_empty) => {
            vec![FieldError::required(&path.key("ssh-privatekey"), "")]
        }
        "kubernetes.io/tls" => missing(&["tls.crt", "tls.key"]),
        _ => ErrorList::new(),
    }
}

pub struct Endpoints;

impl Strategy for Endpoints {
    fn allows_create_on_update(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Object) {
        for subset in items(object.as_map_mut(), "subsets") {
            for port in items(subset, "ports") {
                empty(port, "protocol", "TCP");
            }
        }
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        let subsets = part(object.as_map(), "subsets").as_array().map(Vec::as_slice).unwrap_or_default();
        endpoint_rules::check(subsets, &Path::new("subsets"))
    }

    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        // What stood there before the rules did may stay.
        if part(new.as_map(), "subsets") == part(old.as_map(), "subsets") {
            return ErrorList::new();
        }
        self.validate_create(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_data_overrides_data() {
        let mut secret =
            Object::from_value(json!({"data": {"a": "eA=="}, "stringData": {"a": "y", "b": "z"}})).unwrap();
        SECRET.default(&mut secret);
        assert_eq!(secret.at(&["data"]), Some(&json!({"a": "eQ==", "b": "eg=="})));
        assert_eq!(secret.as_map().get("stringData"), None);
        assert_eq!(secret.as_map()["type"], "Opaque");
    }

    #[test]
    fn immutable_data_stays() {
        let old = Object::from_value(json!({"data": {"a": "1"}, "immutable": true})).unwrap();
        let new = Object::from_value(json!({"data": {"a": "2"}})).unwrap();
        let fields: Vec<String> = CONFIG_MAP.validate_update(&new, &old).iter().map(|e| e.field.to_string()).collect();
        assert_eq!(fields, ["immutable", "data"]);
    }

    #[test]
    fn empty_keys_are_refused() {
        let map = Object::from_value(json!({"data": {"": "x"}})).unwrap();
        assert!(!CONFIG_MAP.validate_create(&map).is_empty());
    }
}
