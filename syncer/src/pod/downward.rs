//! Downward API field paths on the host: what would name the host pod names the tenant's instead.
//!
//! Name, namespace, uid and service account are read from the record in the host pod's annotations. Single labels and
//! annotations are copied under their own keys, so their paths stay. Whole maps would show our marks too, so the text
//! that the kubelet would write is kept in an annotation of its own. Addresses and resources are the host pod's.

use crate::marks;
use k8s_openapi::api::core::v1::ObjectFieldSelector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The annotation that stands for a field path, where one does.
fn record(field_path: &str) -> Option<&'static str> {
    match field_path {
        "metadata.name" => Some(marks::NAME),
        "metadata.namespace" => Some(marks::NAMESPACE),
        "metadata.uid" => Some(marks::UID),
        "metadata.labels" => Some(marks::LABELS),
        "metadata.annotations" => Some(marks::ANNOTATIONS),
        "spec.serviceAccountName" => Some(marks::SERVICE_ACCOUNT),
        _ => None,
    }
}

/// Rewrites a selector in place and returns the whole map it reads, if it reads one.
pub(crate) fn rewrite(selector: &mut ObjectFieldSelector) -> Option<&'static str> {
    let key = record(&selector.field_path)?;
    selector.field_path = format!("metadata.annotations['{key}']");
    [marks::LABELS, marks::ANNOTATIONS].contains(&key).then_some(key)
}

/// The text that the kubelet writes for a whole map of the tenant pod.
pub(crate) fn map_text(virt_meta: &ObjectMeta, key: &str) -> String {
    let map = if key == marks::LABELS { &virt_meta.labels } else { &virt_meta.annotations };
    format_map(map.as_ref())
}

/// `FormatMap` of upstream's `pkg/fieldpath`: sorted lines of `key="quoted value"`.
fn format_map(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map.into_iter().flatten().map(|(key, value)| format!("{key}={}", quote(value))).collect();
    lines.join("\n")
}

/// Go's `strconv.Quote`, whose notion of printable is Rust's `escape_debug` to within unassigned characters.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0b' => quoted.push_str("\\v"),
            '\x0c' => quoted.push_str("\\f"),
            c if c.is_ascii_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(path: &str) -> String {
        let mut selector = ObjectFieldSelector { api_version: None, field_path: path.into() };
        rewrite(&mut selector);
        selector.field_path
    }

    #[test]
    fn the_tenants_identity_comes_from_the_record() {
        assert_eq!(rewritten("metadata.name"), "metadata.annotations['coracle.dev/name']");
        assert_eq!(rewritten("metadata.namespace"), "metadata.annotations['coracle.dev/namespace']");
        assert_eq!(rewritten("metadata.uid"), "metadata.annotations['coracle.dev/uid']");
        assert_eq!(rewritten("spec.serviceAccountName"), "metadata.annotations['coracle.dev/service-account']");
        assert_eq!(rewritten("metadata.labels"), "metadata.annotations['coracle.dev/labels']");
    }

    #[test]
    fn what_is_the_same_on_both_sides_stays() {
        for path in
            ["metadata.labels['app']", "metadata.annotations['x']", "status.podIP", "status.hostIPs", "spec.nodeName"]
        {
            assert_eq!(rewritten(path), path);
        }
    }

    #[test]
    fn maps_are_written_as_the_kubelet_writes_them() {
        let map = BTreeMap::from([("b".to_owned(), "two \"quoted\"\n".to_owned()), ("a".to_owned(), "ü".to_owned())]);
        assert_eq!(format_map(Some(&map)), "a=\"ü\"\nb=\"two \\\"quoted\\\"\\n\"");
        assert_eq!(format_map(None), "");
    }
}
