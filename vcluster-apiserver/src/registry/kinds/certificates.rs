//! Trust bundles (k8s.io/kubernetes `pkg/apis/certificates/validation`, `pkg/apis/core/validation/names.go`).

pub mod pod_certificates;
pub mod signing_request;
use crate::registry::strategy::{NameRule, Strategy};
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{is_dns1123_label, is_dns1123_subdomain, name_is_dns_subdomain};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;

/// A bundle's bytes, at most (`certificates.MaxTrustBundleSize`).
const SIZE: usize = 1 << 20;
const SUBDOMAIN: usize = 253;
const LABEL: usize = 63;

pub struct TrustBundle;

impl Strategy for TrustBundle {
    /// The signer's name is a part of it, with colons: its whole rule is in the validation.
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn allows_unconditional_update(&self) -> bool {
        false
    }

    fn validate_create(&self, bundle: &Object) -> ErrorList {
        let mut errors = named_after_signer(bundle);
        errors.extend(trust_anchors(text(bundle, "trustBundle")));
        errors
    }

    fn validate_update(&self, new: &Object, old: &Object) -> ErrorList {
        let mut errors = named_after_signer(new);
        // Whatever was accepted once stays, even if a parser has become stricter.
        if text(new, "trustBundle") != text(old, "trustBundle") {
            errors.extend(trust_anchors(text(new, "trustBundle")));
        }
        let signer = text(new, "signerName");
        if signer != text(old, "signerName") {
            errors.push(FieldError::invalid(&Path::new("spec").child("signerName"), signer, "field is immutable"));
        }
        errors
    }
}

fn text<'a>(bundle: &'a Object, field: &str) -> &'a str {
    bundle.text_at(&["spec", field])
}

fn named_after_signer(bundle: &Object) -> ErrorList {
    let (signer, path) = (text(bundle, "signerName"), Path::new("metadata"));
    let mut errors = ErrorList::new();
    for field in ["generateName", "name"] {
        let name = bundle.meta_str(field);
        // That there is a name is everybody's rule.
        if !name.is_empty() {
            let wrong = misnamed(name, signer, field == "generateName").into_iter();
            errors.extend(wrong.map(|why| FieldError::invalid(&path.child(field), name, why)));
        }
    }
    if !signer.is_empty() {
        errors.extend(signer_name(&Path::new("spec").child("signerName"), signer));
    }
    errors
}

/// What is wrong with a name, which more may be going to follow.
fn misnamed(name: &str, signer: &str, more: bool) -> Vec<String> {
    if signer.is_empty() && name.contains(':') {
        return vec!["ClusterTrustBundle without signer name must not have \":\" in its name".to_owned()];
    }
    if signer.is_empty() {
        return name_is_dns_subdomain(name, more);
    }
    let prefix = format!("{}:", signer.replace('/', ":"));
    match name.strip_prefix(&prefix) {
        Some(rest) => name_is_dns_subdomain(rest, more),
        None => vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}")],
    }
}

/// Upstream's `ValidateSignerName`: `domain/path`, both made of DNS names.
pub fn signer_name(path: &Path, signer: &str) -> ErrorList {
    if signer.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let parts: Vec<&str> = signer.split('/').collect();
    let [domain, rest] = parts.as_slice() else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return vec![FieldError::invalid(path, signer, why)];
    };
    let mut errors = ErrorList::new();
    if domain.len() > SUBDOMAIN {
        errors.push(FieldError::too_long(path, SUBDOMAIN));
    }
    let first_wrong = |part: &str, rule: fn(&str) -> Vec<String>| -> ErrorList {
        let wrong = part.split('.').map(|label| (label, rule(label))).find(|(_, wrong)| !wrong.is_empty());
        let (label, wrong) = wrong.unwrap_or_default();
        wrong
            .iter()
            .map(|why| FieldError::invalid(path, part, format!("validating label \"{label}\": {why}")))
            .collect()
    };
    errors.extend(first_wrong(domain, is_dns1123_label));
    if !domain.contains('.') {
        let why = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, *domain, why));
    }
    errors.extend(first_wrong(rest, is_dns1123_subdomain));
    let max = SUBDOMAIN + 1 + SUBDOMAIN + LABEL + 1;
    if signer.len() > max {
        errors.push(FieldError::too_long(path, max));
    }
    errors
}

/// Certificates of authorities, each once, and nothing else in PEM blocks. Text between blocks is a comment.
fn trust_anchors(bundle: &str) -> ErrorList {
    let path = Path::new("spec").child("trustBundle");
    if bundle.len() > SIZE {
        return vec![FieldError::too_long(&path, SIZE)];
    }
    let invalid = |why: String| FieldError::invalid(&path, "<value omitted>", why);
    let mut errors = ErrorList::new();
    let mut entries: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for (index, block) in blocks(bundle).enumerate() {
        match block.anchor() {
            Ok(der) => entries.entry(der).or_default().push(index),
            Err(why) => errors.push(invalid(format!("entry {index} {why}"))),
        }
    }
    if !errors.is_empty() {
        return errors;
    }
    if entries.is_empty() {
        errors.push(invalid("at least one trust anchor must be provided".to_owned()));
    }
    for indices in entries.into_values().filter(|indices| indices.len() > 1) {
        let indices: Vec<String> = indices.iter().map(usize::to_string).collect();
        errors.push(invalid(format!("duplicate trust anchor (indices [{}])", indices.join(" "))));
    }
    errors
}

/// One PEM block; its body is known to be base64.
struct Block<'a> {
    label: &'a str,
    headers: bool,
    der: Vec<u8>,
}

impl Block<'_> {
    /// The certificate, or what is wrong with the entry.
    fn anchor(self) -> Result<Vec<u8>, String> {
        if self.label != "CERTIFICATE" {
            return Err(format!("has bad block type: {}", self.label));
        }
        if self.headers {
            return Err("has PEM block headers".to_owned());
        }
        let parsed = x509_parser::parse_x509_certificate(&self.der);
        let Ok((&[], certificate)) = parsed else { return Err("does not parse as X.509".to_owned()) };
        let constraints = certificate.basic_constraints().map_err(|_| "does not parse as X.509".to_owned())?;
        if !constraints.is_some_and(|extension| extension.value.ca) {
            return Err("does not have the CA bit set".to_owned());
        }
        Ok(self.der)
    }
}

/// The blocks that Go's `encoding/pem` finds: malformed ones are passed over.
fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_once("-----BEGIN ")?;
            rest = after;
            let Some((label, after)) = after.split_once("-----") else { continue };
            let end = format!("-----END {label}-----");
            let Some((body, after)) = after.split_once(&end) else { continue };
            let (headers, data): (Vec<&str>, Vec<&str>) =
                body.lines().map(str::trim).filter(|line| !line.is_empty()).partition(|line| line.contains(':'));
            let Ok(der) = STANDARD.decode(data.concat()) else { continue };
            rest = after;
            return Some(Block { label, headers: !headers.is_empty(), der });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Authority;
    use crate::pki::pem;
    use crate::pki::tls::SERVING_LIFETIME;
    use apimachinery::clock::{Clock, FixedClock};
    use serde_json::json;

    fn bundle(name: &str, signer: &str, trust: &str) -> Object {
        let spec = json!({"signerName": signer, "trustBundle": trust});
        Object::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
    }

    fn wrong(name: &str, signer: &str, trust: &str) -> Vec<String> {
        let errors = TrustBundle.validate_create(&bundle(name, signer, trust));
        errors.iter().map(ToString::to_string).collect()
    }

    // Upstream's cases: pkg/apis/certificates/validation/validation_test.go, TestValidateClusterTrustBundle.
    #[test]
    fn bundles_are_named_after_their_signer_and_hold_authorities_once() {
        let now = FixedClock::new(1_800_000_000).now();
        let authority = Authority::generate("a", now).unwrap();
        let anchor = authority.certificate_pem();
        let leaf =
            authority.issue_server("leaf", &["leaf".to_owned()], SERVING_LIFETIME, now).unwrap().certificate_pem();
        let only = |errors: &[String], part: &str| {
            assert!(errors.len() == 1 && errors[0].contains(part), "{errors:?} should be one about {part}");
        };
        assert_eq!(wrong("foo", "", &anchor), [""; 0]);
        assert_eq!(wrong("k8s.io:foo:bar", "k8s.io/foo", &format!("a comment\n{anchor}")), [""; 0]);
        only(&wrong("k8s.io:bar:foo", "", &anchor), "without signer name must not have \":\"");
        only(&wrong("look.down.:bar", "", &anchor), "without signer name must not have \":\"");
        only(&wrong("k8s.io:bar:foo", "k8s.io/foo", &anchor), "must be named with prefix k8s.io:foo:");
        only(&wrong("k8s.io:foo:", "k8s.io/foo", &anchor), "RFC 1123 subdomain");
        only(&wrong("foo", "", "garbage"), "at least one trust anchor");
        only(&wrong("foo", "", &format!("{anchor}{anchor}")), "duplicate trust anchor (indices [0 1])");
        only(&wrong("foo", "", &leaf), "entry 0 does not have the CA bit set");
        only(
            &wrong("foo", "", &format!("{anchor}{}", pem::encode("CERTIFICATE", b"no"))),
            "entry 1 does not parse as X.509",
        );
        only(&wrong("foo", "", &anchor.replace("CERTIFICATE", "NOTACERTIFICATE")), "bad block type: NOTACERTIFICATE");
        let headed = anchor.replacen("CERTIFICATE-----\n", "CERTIFICATE-----\nkey: value\n\n", 1);
        only(&wrong("foo", "", &headed), "has PEM block headers");
    }

    #[test]
    fn a_signer_stays() {
        let (old, new) = (bundle("foo", "", "old"), bundle("k8s.io:foo:bar", "k8s.io/foo", "old"));
        let errors = TrustBundle.validate_update(&new, &old);
        assert_eq!(errors.len(), 1);
        assert!(errors[0].to_string().contains("spec.signerName"), "{}", errors[0]);
    }

    #[test]
    fn signers_are_domains_with_a_path() {
        let path = Path::new("signerName");
        for (signer, count) in [
            ("example.com/a", 0),
            ("example.com/a.b", 0),
            ("", 1),
            ("example.com", 1),
            ("a/b/c", 1),
            ("nodots/a", 1),
            ("exa$mple.com/a", 1),
            ("example.com/A", 1),
            ("/a", 2),
        ] {
            assert_eq!(signer_name(&path, signer).len(), count, "{signer}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bundle_is_judged_without_panic(text in "(-----BEGIN [A-Z]{0,3}-----|-----END [A-Z]{0,3}-----|[a-zA-Z0-9+/=:\n ]{0,9}){0,9}") {
            let _ = trust_anchors(&text);
        }
    }
}
