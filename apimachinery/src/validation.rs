//! The rules for names, keys and values that every kind shares, with upstream's message texts
//! (k8s.io/apimachinery `pkg/util/validation`, `pkg/api/validate/content`, `pkg/api/validation`).
//!
//! The rules return what is wrong as sentences (empty means valid); the caller puts them on a path. Rules of one kind
//! only do not belong here.

pub mod ip;
pub mod name;
pub mod object_meta;
pub mod value;

pub use ip::{
    parse_cidr_sloppy, parse_ip_sloppy, validate_cidr, validate_cidr_legacy, validate_ip, validate_ip_legacy,
};
pub use name::{
    is_dns1035_label, is_dns1123_label, is_dns1123_subdomain, is_dns1123_subdomain_with_underscore,
    is_wildcard_dns1123_subdomain, name_is_dns_label, name_is_dns_subdomain, name_is_path_segment,
};
pub use object_meta::{
    NameFn, validate_annotations, validate_field_manager, validate_labels, validate_object_meta,
    validate_object_meta_update,
};
pub use value::{
    is_c_identifier, is_config_map_key, is_domain_prefixed_path, is_env_var_name, is_fully_qualified_domain_name,
    is_fully_qualified_name, is_http_header_name, is_http_path, is_in_range, is_label_value, is_percent, is_port_name,
    is_port_number, is_qualified_name, is_relaxed_env_var_name,
};

/// `must be no more than N characters`.
pub fn max_len_error(length: usize) -> String {
    format!("must be no more than {length} characters")
}

/// The sentence of a rule that has a pattern, with examples that obey it.
pub fn regex_error(message: &str, pattern: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{pattern}')");
    }
    let listed: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{pattern}')", listed.join(" or "))
}

/// `must be between LOW and HIGH, inclusive`.
pub fn inclusive_range_error(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// What a required string that is empty must be.
pub const EMPTY_ERROR: &str = "must be non-empty";
