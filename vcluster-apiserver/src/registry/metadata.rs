//! The checks that every object's metadata passes, by the rule for names that its kind has.

use super::strategy::NameRule;
use apimachinery::Object;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{
    name_is_dns_label, name_is_dns_subdomain, name_is_path_segment, validate_ip, validate_object_meta,
    validate_object_meta_update,
};
use serde_json::Map;

/// The garbage collector's finalizers.
pub const ORPHAN: &str = "orphan";
pub const FOREGROUND: &str = "foregroundDeletion";

/// What a name must look like; the flag says that it is a `generateName`.
pub fn name_check(rule: NameRule) -> fn(&str, bool) -> Vec<String> {
    match rule {
        NameRule::DnsSubdomain => name_is_dns_subdomain,
        // What was generated is looked at as any name is, and nothing else.
        NameRule::LongName => |name, more| {
            if more {
                return Vec::new();
            }
            let wrong = name_is_dns_subdomain(name, false).into_iter();
            wrong.map(|why| why.replace("no more than 253 characters", "no more than 253 bytes")).collect()
        },
        NameRule::DnsLabel => name_is_dns_label,
        NameRule::PathSegment => name_is_path_segment,
        NameRule::Address => {
            |name, _| validate_ip(&Path::new(""), name).into_iter().map(|error| error.detail).collect()
        }
    }
}

/// Metadata of an object that is about to be created; its name was generated before.
pub fn validate(object: &Object, namespaced: bool, rule: NameRule) -> ErrorList {
    let none = Map::new();
    validate_object_meta(object.metadata().unwrap_or(&none), namespaced, name_check(rule), &Path::new("metadata"))
}

/// Metadata of an object that is about to replace `old`.
pub fn validate_update(new: &Object, old: &Object) -> ErrorList {
    let none = Map::new();
    validate_object_meta_update(
        new.metadata().unwrap_or(&none),
        old.metadata().unwrap_or(&none),
        &Path::new("metadata"),
    )
}

/// Groups whose kinds take finalizers of any form; all others share the core kinds' rule.
const ANY_FINALIZER: [&str; 7] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "coordination.k8s.io",
    "internal.apiserver.k8s.io",
    "node.k8s.io",
    "policy",
];

/// Finalizers without a slash are upstream's own or mistakes (`validateKubeFinalizerName`).
pub fn validate_finalizer_names(object: &Object, group: &str) -> ErrorList {
    const STANDARD: [&str; 3] = ["kubernetes", ORPHAN, FOREGROUND];
    let event = group.is_empty() && object.text_at(&["kind"]) == "Event";
    let custom = group.contains('.') && !group.ends_with(".k8s.io");
    if event || custom || ANY_FINALIZER.contains(&group) {
        return ErrorList::new();
    }
    let path = Path::new("metadata").child("finalizers");
    let odd = object.finalizers().into_iter().enumerate();
    odd.filter(|(_, name)| !name.contains('/') && !STANDARD.contains(name))
        .map(|(index, name)| {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            FieldError::invalid(&path.index(index), name, why)
        })
        .collect()
}

/// Leaves each error once, at its first place: rules that overlap say the same.
pub fn once(errors: &mut ErrorList) {
    let mut seen = std::collections::HashSet::new();
    errors.retain(|error| seen.insert(error.to_string()));
}
