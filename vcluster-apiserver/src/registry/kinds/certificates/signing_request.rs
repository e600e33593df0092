//! Certificate signing requests (k8s.io/kubernetes `pkg/registry/certificates/certificates/strategy.go`): the server writes down
//! who asks, and nothing of the request ever changes.

use crate::registry::kinds::certificates::signer_name;
use crate::registry::kinds::read::{list, part, text};
use crate::registry::kinds::rules::{self, Check};
use crate::registry::strategy::{NameRule, Strategy};
use crate::request::UserInfo;
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const BLOCK: &[u8] = b"-----BEGIN CERTIFICATE REQUEST-----";

const STATUS: &[rules::Rule] = &[
    ("status.conditions[].type", Check::Needed("")),
    ("status.conditions[].status", Check::Needed("")),
    ("status.certificate", Check::By(certificate)),
];

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

pub struct SigningRequest;

impl Strategy for SigningRequest {
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn resets(&self, subresource: &str) -> &'static [&'static [&'static str]] {
        match subresource {
            "status" => &[&["status", "conditions"]],
            "approval" => &[&["spec"], &["status", "certificate"]],
            _ => &[&["spec"]],
        }
    }

    fn prepare_create_as(&self, object: &mut Object, user: &UserInfo) {
        for field in ["username", "uid", "groups", "extra"] {
            object.remove_at(&["spec", field]);
        }
        object.set_at(&["spec", "username"], user.name.as_str().into());
        if !user.uid.is_empty() {
            object.set_at(&["spec", "uid"], user.uid.as_str().into());
        }
        if !user.groups.is_empty() {
            object.set_at(&["spec", "groups"], json!(user.groups));
        }
        if !user.extra.is_empty() {
            object.set_at(&["spec", "extra"], json!(user.extra));
        }
    }

    fn prepare_update(&self, new: &mut Object, old: &Object) {
        if let Some(spec) = old.as_map().get("spec") {
            new.as_map_mut().insert("spec".to_owned(), spec.clone());
        }
    }

    fn validate_create(&self, object: &Object) -> ErrorList {
        let (spec, path) = (part(object.as_map(), "spec"), Path::new("spec"));
        let mut errors = ErrorList::new();
        let request = STANDARD.decode(text(spec, "request")).unwrap_or_default();
        if !request.windows(BLOCK.len()).any(|bytes| bytes == BLOCK) {
            let why = "PEM block type must be CERTIFICATE REQUEST";
            errors.push(FieldError::invalid(&path.child("request"), spec["request"].clone(), why));
        }
        usages(list(spec, "usages"), &path.child("usages"), &mut errors);
        errors.extend(signer_name(&path.child("signerName"), text(spec, "signerName")));
        if let Some(seconds) = spec["expirationSeconds"].as_i64().filter(|n| *n < 600) {
            let why = "may not specify a duration less than 600 seconds (10 minutes)";
            errors.push(FieldError::invalid(&path.child("expirationSeconds"), seconds, why));
        }
        errors
    }

    fn validate_status_update(&self, new: &Object, _: &Object) -> ErrorList {
        rules::check_map(new.as_map(), STATUS)
    }

    fn selectable_fields(&self) -> &'static [(&'static str, &'static str)] {
        &[("spec.signerName", "spec.signerName")]
    }
}

fn certificate(value: &Value, path: &Path, errors: &mut ErrorList) {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let bytes = STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
    if !bytes.is_empty() && !bytes.windows(BEGIN.len()).any(|window| window == BEGIN) {
        let why = "must contain at least one CERTIFICATE PEM block";
        errors.push(FieldError::invalid(path, "<certificate data>", why));
    }
}

fn usages(usages: &[Value], path: &Path, errors: &mut ErrorList) {
    if usages.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    for (index, usage) in usages.iter().filter_map(Value::as_str).enumerate() {
        if !USAGES.contains(&usage) {
            errors.push(FieldError::not_supported(&path.index(index), usage, &USAGES));
        }
        if usages[..index].iter().any(|earlier| earlier == usage) {
            errors.push(FieldError::duplicate(&path.index(index), usage));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requester_is_who_asks() {
        let spec = json!({"username": "somebody", "groups": ["system:masters"], "request": "x"});
        let mut object = Object::from_value(json!({"metadata": {"name": "c"}, "spec": spec})).unwrap();
        let user = UserInfo { name: "ada".to_owned(), groups: vec!["devs".to_owned()], ..UserInfo::default() };
        SigningRequest.prepare_create_as(&mut object, &user);
        assert_eq!(object.as_map()["spec"], json!({"request": "x", "username": "ada", "groups": ["devs"]}));
    }
}
