//! Files of one volume that hide each other (k8s.io/kubernetes `pkg/api/pod/warnings.go`, `warningsForOverlappingVirtualPaths`).

use crate::registry::kinds::read::{list, text};
use serde_json::Value;
use std::fmt;

/// A file, and what brings it.
#[derive(Clone, PartialEq, Eq)]
struct File {
    path: String,
    source: String,
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.path)?;
        if self.source.is_empty() { Ok(()) } else { write!(f, " ({})", self.source) }
    }
}

fn file(path: &str, source: &str) -> File {
    File { path: path.trim_end_matches('/').to_owned(), source: source.to_owned() }
}

fn items(of: &Value, source: &str) -> Vec<File> {
    list(of, "items").iter().map(|item| file(text(item, "path"), source)).collect()
}

/// Says which files of a volume cannot both be there.
pub fn of(volume: &Value, found: &mut Vec<String>) {
    let name = text(volume, "name");
    let named = |field: &str, member: &str, kind: &str| {
        let source = &volume[field];
        (items(source, ""), format!("{kind} {:?}", text(source, member)))
    };
    let mut all = vec![
        named("configMap", "name", "ConfigMap"),
        named("secret", "secretName", "Secret"),
        (items(&volume["downwardAPI"], ""), "DownwardAPI".to_owned()),
    ];
    let mut files = Vec::new();
    for source in list(&volume["projected"], "sources") {
        if source.as_object().is_none_or(serde_json::Map::is_empty) {
            found.push(format!("volume {name:?} (Projected) has no sources provided"));
            continue;
        }
        files.extend(projected(source));
    }
    all.push((files, "Projected".to_owned()));
    for (files, kind) in all {
        for (index, file) in files.iter().enumerate() {
            for other in files.iter().take(index).filter(|other| overlap(file, other)) {
                found.push(format!("volume {name:?} ({kind}): overlapping paths: {file} with {other}"));
            }
        }
    }
}

fn projected(source: &Value) -> Vec<File> {
    let of = |field: &str| &source[field];
    if !of("configMap").is_null() {
        return items(of("configMap"), &format!("ConfigMap {:?}", text(of("configMap"), "name")));
    }
    if !of("secret").is_null() {
        return items(of("secret"), &format!("Secret {:?}", text(of("secret"), "name")));
    }
    if !of("downwardAPI").is_null() {
        return items(of("downwardAPI"), "DownwardAPI");
    }
    if !of("serviceAccountToken").is_null() {
        return vec![file(text(of("serviceAccountToken"), "path"), "ServiceAccountToken")];
    }
    let bundle = of("clusterTrustBundle");
    if !bundle.is_null() {
        let name = bundle["name"].as_str().unwrap_or_else(|| text(bundle, "signerName"));
        return vec![file(text(bundle, "path"), &format!("ClusterTrustBundle {name:?}"))];
    }
    let certificate = of("podCertificate");
    let parts = [
        ("certificateChainPath", "PodCertificate chain"),
        ("keyPath", "PodCertificate key"),
        ("credentialBundlePath", "PodCertificate credential bundle"),
    ];
    let present = parts.into_iter().filter(|(field, _)| !text(certificate, field).is_empty());
    present.map(|(field, source)| file(text(certificate, field), source)).collect()
}

fn overlap(one: &File, other: &File) -> bool {
    let within = |inner: &str, outer: &str| format!("{inner}/").starts_with(&format!("{outer}/"));
    !one.path.is_empty() && !other.path.is_empty() && (within(&one.path, &other.path) || within(&other.path, &one.path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn files_within_files() {
        let volume =
            json!({"name": "v", "configMap": {"name": "m", "items": [{"path": "a"}, {"path": "ab"}, {"path": "a/b"}]}});
        let mut found = Vec::new();
        of(&volume, &mut found);
        assert_eq!(found, ["volume \"v\" (ConfigMap \"m\"): overlapping paths: \"a/b\" with \"a\""]);
    }
}
