//! The checks that every object's metadata passes, by the rule for names that its kind has.

use super::strategy::NameRule;
use apimachinery::Object;
use apimachinery::field::{ErrorList, Path};
use apimachinery::validation::{
    name_is_dns_label, name_is_dns_subdomain, name_is_dns1035_label, name_is_path_segment, validate_object_meta,
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
        NameRule::DnsLabel => name_is_dns_label,
        NameRule::Dns1035Label => name_is_dns1035_label,
        NameRule::PathSegment => name_is_path_segment,
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
