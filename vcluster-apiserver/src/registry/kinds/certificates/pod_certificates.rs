//! Certificates that kubelets ask for in the name of pods (k8s.io/kubernetes `pkg/apis/certificates/validation`). Whether
//! the requester holds the key is not looked at.

use crate::registry::kinds::certificates::signer_name;
use crate::registry::kinds::internal;
use crate::registry::kinds::read::{list, part, subdomain, text, wrong};
use crate::registry::kinds::ruled::{METADATA, Ruled};
use crate::registry::kinds::rules::Check;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::is_qualified_name;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

type Tree = Map<String, Value>;

/// Conditions after which nothing changes any more.
const FINAL: [&str; 3] = ["Issued", "Denied", "Failed"];

pub const REQUEST: Ruled = Ruled {
    rules: &[
        ("spec.signerName", Check::By(signer)),
        ("spec.unverifiedUserAnnotations", Check::By(annotations)),
        ("spec.podName", Check::By(name)),
        ("spec.podUID", Check::By(uid)),
        ("spec.serviceAccountName", Check::By(name)),
        ("spec.serviceAccountUID", Check::By(uid)),
        ("spec.nodeName", Check::By(name)),
        ("spec.nodeUID", Check::By(uid)),
    ],
    more: |request, errors| {
        let spec = part(request, "spec");
        lifetime(spec, errors);
        key(spec, errors);
    },
    unchanging: true,
    update: |new, old, errors| {
        if part(new, "spec") != part(old, "spec") {
            // Upstream's internal type still has two fields that this version lost.
            let shown = internal::text("certificates.v1.PodCertificateRequestSpec", part(new, "spec")).replace(
                ",\"StubPKCS10Request\"",
                ",\"PKIXPublicKey\":null,\"ProofOfPossession\":null,\"StubPKCS10Request\"",
            );
            errors.push(internal::immutable(&Path::new("spec"), shown));
        }
    },
    status: &[("status.conditions", Check::By(crate::registry::kinds::conditions::check))],
    status_update: settled,
    status_keeps: METADATA,
    conditional: true,
    ..Ruled::PLAIN
};

fn signer(value: &Value, path: &Path, errors: &mut ErrorList) {
    errors.extend(signer_name(path, value.as_str().unwrap_or_default()));
}

fn name(value: &Value, path: &Path, errors: &mut ErrorList) {
    let name = value.as_str().unwrap_or_default();
    wrong(path, name, subdomain(name), errors);
}

fn uid(value: &Value, path: &Path, errors: &mut ErrorList) {
    const LONGEST: usize = 128;
    let uid = value.as_str().unwrap_or_default();
    if uid.is_empty() {
        errors.push(FieldError::invalid(path, "", "must not be empty"));
    }
    if uid.len() > LONGEST {
        errors.push(FieldError::too_long(path, LONGEST));
    }
}

fn annotations(value: &Value, path: &Path, errors: &mut ErrorList) {
    for key in value.as_object().into_iter().flat_map(Map::keys) {
        let key = key.to_lowercase();
        let odd = is_qualified_name(&key);
        if key.is_empty() {
            errors.push(FieldError::required(path, ""));
        } else if odd.is_empty() && !key.contains('/') {
            let why = "must be a domain-prefixed key (such as \"acme.io/foo\")";
            errors.push(FieldError::invalid(path, key, why));
        } else {
            wrong(path, &key, odd, errors);
        }
    }
}

fn lifetime(spec: &Value, errors: &mut ErrorList) {
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    let path = Path::new("spec").child("maxExpirationSeconds");
    let own = text(spec, "signerName").split('/').next() == Some("kubernetes.io");
    let most = if own { DAY } else { 91 * DAY };
    match spec["maxExpirationSeconds"].as_i64() {
        None => errors.push(FieldError::required(&path, "must be set")),
        Some(seconds) if !(HOUR..=most).contains(&seconds) => {
            errors.push(FieldError::invalid(&path, seconds, format!("must be in the range [{HOUR}, {most}]")));
        }
        Some(_) => {}
    }
}

fn key(spec: &Value, errors: &mut ErrorList) {
    let path = Path::new("spec");
    if spec["maxExpirationSeconds"].is_null() {
        return;
    }
    let bytes = |field: &str| STANDARD.decode(text(spec, field)).unwrap_or_default();
    let [stub, public, proof] = ["stubPKCS10Request", "pkixPublicKey", "proofOfPossession"].map(bytes);
    match (stub.is_empty(), public.is_empty(), proof.is_empty()) {
        (false, true, true) => {
            if X509CertificationRequest::from_der(&stub).is_err() {
                let at = path.child("stubPKCS10Request");
                errors.push(omitted(&at, "must be a valid PKCS#10 CSR"));
            }
        }
        (true, false, false) => {
            if SubjectPublicKeyInfo::from_der(&public).is_err() {
                let why = "must be a valid PKIX-serialized public key";
                errors.push(FieldError::invalid(&path.child("pkixPublicKey"), spec["pkixPublicKey"].clone(), why));
            }
        }
        _ => {
            let why = "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set";
            errors.push(omitted(&path, why));
        }
    }
}

/// An error that does not show the value.
fn omitted(path: &Path, why: &str) -> FieldError {
    FieldError { value: None, ..FieldError::invalid(path, "", why) }
}

/// A request is answered once, with one condition; until then its status is empty.
fn settled(new: &Tree, old: &Tree, errors: &mut ErrorList) {
    let (after, before, path) = (part(new, "status"), part(old, "status"), Path::new("status"));
    let mut count = 0;
    for (index, condition) in list(after, "conditions").iter().enumerate() {
        // Upstream puts a dot before the index.
        let at = path.child("conditions").child(&format!("[{index}]"));
        let kind = text(condition, "type");
        if !FINAL.contains(&kind) {
            errors.push(FieldError::not_supported(&at.child("type"), kind, &FINAL));
            continue;
        }
        count += 1;
        if count > 1 {
            let why = "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"";
            errors.push(FieldError::invalid(&at.child("type"), kind, why));
        }
        if text(condition, "status") != "True" {
            errors.push(FieldError::not_supported(&at.child("status"), text(condition, "status"), &["True"]));
        }
    }
    let mut odd = ErrorList::new();
    crate::registry::kinds::conditions::check(&after["conditions"], &path.child("conditions"), &mut odd);
    if !errors.is_empty() || !odd.is_empty() {
        return;
    }
    let is = |status: &Value, kinds: &[&str]| {
        list(status, "conditions")
            .iter()
            .any(|condition| kinds.contains(&text(condition, "type")) && text(condition, "status") == "True")
    };
    let others = |status: &Value| {
        status.as_object().is_some_and(|map| map.iter().any(|(name, value)| name != "conditions" && !value.is_null()))
    };
    if is(before, &FINAL) {
        if after != before {
            errors.push(omitted(&path, "immutable after PodCertificateRequest is issued, denied, or failed"));
        }
    } else if is(after, &["Denied", "Failed"]) {
        if others(after) {
            let why = "non-condition status fields must be empty when denying or failing the PodCertificateRequest";
            errors.push(omitted(&path, why));
        }
    } else if !is(after, &["Issued"]) && after != before {
        let why = "status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\"";
        errors.push(omitted(&path, why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::read::told;
    use crate::registry::kinds::ruled::refusals;
    use serde_json::json;

    #[test]
    fn requests_name_whom_they_are_for() {
        let spec = json!({"signerName": "a.b/c", "podName": "p", "podUID": "u", "serviceAccountName": "s",
            "serviceAccountUID": "u", "nodeName": "n", "maxExpirationSeconds": 60, "stubPKCS10Request": "aGVsbG8="});
        assert_eq!(
            refusals(&REQUEST, json!({"spec": spec})),
            [
                "spec.nodeUID: Invalid value: \"\": must not be empty",
                "spec.maxExpirationSeconds: Invalid value: 60: must be in the range [3600, 7862400]",
                "spec.stubPKCS10Request: Invalid value: must be a valid PKCS#10 CSR",
            ]
        );
    }

    #[test]
    fn a_request_is_answered_once() {
        let wrong = |new: Value, old: Value| {
            let (new, old) = (json!({"status": new}), json!({"status": old}));
            told(|errors| settled(new.as_object().unwrap(), old.as_object().unwrap(), errors))
        };
        let denied = json!({"conditions": [{"type": "Denied", "status": "True", "reason": "R", "lastTransitionTime": "2024-01-01T00:00:00Z"}]});
        assert!(wrong(denied.clone(), json!({})).is_empty());
        assert_eq!(
            wrong(json!({}), denied),
            ["status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed"]
        );
        assert_eq!(
            wrong(json!({"notBefore": "2024-01-01T00:00:00Z"}), json!({})),
            [
                "status: Invalid value: status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\""
            ]
        );
    }
}
