//! Sources that are projected into one volume (k8s.io/kubernetes `pkg/apis/core/validation`, `validateProjectionSources`).

use super::path_rules::not_reserved;
use super::volume_rules::{downward_file, key_to_path, user};
use crate::registry::kinds::certificates::signer_name;
use crate::registry::kinds::read::{list, subdomain, text, wrong};
use crate::registry::kinds::rules::label_selector;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::validate_annotations;
use serde_json::Value;
use std::collections::BTreeSet;

/// Bounds of a projected token's life, in seconds.
const SHORTEST_TOKEN: i64 = 600;
const LONGEST_TOKEN: i64 = 1 << 32;

struct Sources<'a> {
    path: &'a Path,
    /// Files that a source has already.
    taken: BTreeSet<&'a str>,
}

pub fn check(sources: &[Value], path: &Path, errors: &mut ErrorList) {
    let mut all = Sources { path, taken: BTreeSet::new() };
    for (index, source) in sources.iter().enumerate() {
        let at = path.child("sources").index(index);
        let kinds =
            ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];
        let mut count = 0;
        for kind in kinds.into_iter().filter(|kind| source[*kind].is_object()) {
            count += 1;
            all.one(kind, &source[kind], &at.child(kind), errors);
        }
        if count > 1 {
            errors.push(FieldError::forbidden(&at, "may not specify more than 1 volume type per source"));
        }
    }
}

impl<'a> Sources<'a> {
    /// Takes a file; `shown` is what upstream prints when it is taken already.
    fn take(&mut self, file: &'a str, shown: &str, errors: &mut ErrorList) {
        if !self.taken.insert(file) {
            errors.push(FieldError::invalid(self.path, shown, "conflicting duplicate paths"));
        }
    }

    fn one(&mut self, kind: &str, source: &'a Value, path: &Path, errors: &mut ErrorList) {
        match kind {
            "serviceAccountToken" => self.token(source, path, errors),
            "clusterTrustBundle" => self.bundle(source, path, errors),
            "podCertificate" => self.certificate(source, path, errors),
            "downwardAPI" => {
                for file in list(source, "items") {
                    downward_file(file, path, errors);
                    self.file(text(file, "path"), text(file, "path"), errors);
                }
            }
            _ => {
                let name = text(source, "name");
                if name.is_empty() {
                    errors.push(FieldError::required(&path.child("name"), ""));
                }
                for (index, item) in list(source, "items").iter().enumerate() {
                    key_to_path(item, &path.child("items").index(index), errors);
                    self.file(text(item, "path"), name, errors);
                }
            }
        }
    }

    fn file(&mut self, file: &'a str, shown: &str, errors: &mut ErrorList) {
        if !file.is_empty() {
            self.take(file, shown, errors);
        }
    }

    fn token(&self, source: &Value, path: &Path, errors: &mut ErrorList) {
        let at = path.child("expirationSeconds");
        match source["expirationSeconds"].as_i64() {
            None => errors.push(FieldError::required(&at, "")),
            Some(seconds) if seconds < SHORTEST_TOKEN => {
                errors.push(FieldError::invalid(&at, seconds, "may not specify a duration less than 10 minutes"));
            }
            Some(seconds) if seconds > LONGEST_TOKEN => {
                errors.push(FieldError::invalid(&at, seconds, "may not specify a duration larger than 2^32 seconds"));
            }
            Some(_) => {}
        }
        // Upstream names the path as the volume's own.
        let (file, at) = (text(source, "path"), self.path.child("path"));
        if file.is_empty() {
            errors.push(FieldError::required(&at, ""));
        }
        not_reserved(file, &at, errors);
    }

    fn bundle(&mut self, source: &'a Value, path: &Path, errors: &mut ErrorList) {
        let selector = &source["labelSelector"];
        match (source["name"].as_str(), source["signerName"].as_str()) {
            (Some(_), Some(_)) => {
                let shown = crate::registry::kinds::internal::text("core.v1.ClusterTrustBundleProjection", source);
                let why = "only one of name and signerName may be used";
                errors.push(FieldError::invalid(path, "", why).showing(shown));
            }
            (Some(name), None) => {
                if name.is_empty() {
                    errors.push(FieldError::required(&path.child("name"), "must be a valid object name"));
                }
                // What stands before the last colon names the signer, whatever it is.
                let own = name.rsplit(':').next().unwrap_or(name);
                let found = subdomain(own).into_iter();
                let found = found.map(|why| format!("not a valid clustertrustbundlename: {why}")).collect();
                wrong(&path.child("name"), name, found, errors);
                if selector.is_object() {
                    let why = "labelSelector must be unset if name is specified";
                    errors.push(FieldError::invalid(&path.child("labelSelector"), selector.clone(), why));
                }
            }
            (None, Some(signer)) => {
                let at = path.child("signerName");
                if signer.is_empty() {
                    errors.push(FieldError::required(&at, "must be a valid signer name"));
                }
                errors.extend(signer_name(&at, signer));
                label_selector(selector, &path.child("labelSelector"), errors);
            }
            (None, None) => errors.push(FieldError::required(path, "either name or signerName must be specified")),
        }
        let file = text(source, "path");
        if file.is_empty() {
            errors.push(FieldError::required(&path.child("path"), ""));
        }
        not_reserved(file, &path.child("path"), errors);
        self.take(file, file, errors);
    }

    fn certificate(&mut self, source: &'a Value, path: &Path, errors: &mut ErrorList) {
        const KEYS: [&str; 6] = ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
        const SHORTEST: i64 = 3600;
        const LONGEST: i64 = 91 * 86400;
        const LONGEST_OF_KUBERNETES: i64 = 86400;
        let signer = text(source, "signerName");
        errors.extend(signer_name(&path.child("signerName"), signer));
        if let Some(annotations) = source["userAnnotations"].as_object() {
            let holder = serde_json::Map::from_iter([("annotations".to_owned(), annotations.clone().into())]);
            errors.extend(validate_annotations(&holder, path));
        }
        user(&source["user"], &path.child("user"), errors);
        let key = text(source, "keyType");
        if !KEYS.contains(&key) {
            errors.push(FieldError::not_supported(&path.child("keyType"), key, &KEYS));
        }
        if let Some(seconds) = source["maxExpirationSeconds"].as_i64() {
            let at = path.child("maxExpirationSeconds");
            let own = signer.split('/').next() == Some("kubernetes.io");
            let longest = if own { LONGEST_OF_KUBERNETES } else { LONGEST };
            if seconds < SHORTEST {
                let why = format!("if provided, maxExpirationSeconds must be >= {SHORTEST}");
                errors.push(FieldError::invalid(&at, seconds, why));
            }
            if seconds > longest {
                let why = format!("if provided, maxExpirationSeconds must be <= {longest}");
                errors.push(FieldError::invalid(&at, seconds, why));
            }
        }
        let mut files = 0;
        for field in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
            let file = text(source, field);
            if !file.is_empty() {
                files += 1;
                not_reserved(file, &path.child(field), errors);
                self.take(file, file, errors);
            }
        }
        if files == 0 {
            let why = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
            errors.push(FieldError::required(path, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::read::told;
    use serde_json::json;

    #[test]
    fn sources_share_one_volume() {
        let texts = |sources: Value| told(|errors| check(sources.as_array().unwrap(), &Path::new("p"), errors));
        let item = || json!({"name": "c", "items": [{"key": "k", "path": "f"}]});
        let token = json!({"serviceAccountToken": {"path": "t", "expirationSeconds": 10}});
        assert!(texts(json!([{"configMap": item()}])).is_empty());
        assert_eq!(
            texts(json!([{"configMap": item()}, {"secret": item()}])),
            ["p: Invalid value: \"c\": conflicting duplicate paths"]
        );
        assert_eq!(
            texts(json!([token])),
            [
                "p.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes"
            ]
        );
    }
}
