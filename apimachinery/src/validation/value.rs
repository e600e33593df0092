//! Label keys and values, port names, configuration keys, environment variables and other small strings.

use super::name::{SUBDOMAIN_MAX_LENGTH, bounded, is_dns1123_label, is_dns1123_subdomain};
use super::{EMPTY_ERROR, inclusive_range_error, max_len_error, regex_error};
use crate::field::{ErrorList, FieldError, Path};

const KEY_PATTERN: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const KEY_MESSAGE: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const KEY_EXAMPLES: &[&str] = &["MyName", "my.name", "123-abc"];

fn key_matches(text: &str) -> bool {
    bounded(text, |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Label keys, finalizers, resource names: `[prefix/]name` (upstream's `IsLabelKey`, formerly `IsQualifiedName`).
pub fn is_qualified_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let parts: Vec<&str> = value.split('/').collect();
    let name = match parts[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push(format!("prefix part {EMPTY_ERROR}"));
            } else {
                errors.extend(is_dns1123_subdomain(prefix).into_iter().map(|e| format!("prefix part {e}")));
            }
            name
        }
        _ => {
            let pattern = regex_error(KEY_MESSAGE, KEY_PATTERN, KEY_EXAMPLES);
            errors.push(format!(
                "a valid label key {pattern} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            ));
            return errors;
        }
    };
    if name.is_empty() {
        errors.push(format!("name part {EMPTY_ERROR}"));
    } else if name.len() > 63 {
        errors.push("name part must be no more than 63 bytes".into());
    }
    if !key_matches(name) {
        errors.push(format!("name part {}", regex_error(KEY_MESSAGE, KEY_PATTERN, KEY_EXAMPLES)));
    }
    errors
}

pub fn is_label_value(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > 63 {
        errors.push("must be no more than 63 bytes".into());
    }
    if !value.is_empty() && !key_matches(value) {
        errors.push(regex_error(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
            &["MyValue", "my_value", "12345"],
        ));
    }
    errors
}

/// A domain of two labels or more, with or without the root's dot.
pub fn is_fully_qualified_domain_name(path: &Path, name: &str) -> ErrorList {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let wrong = is_dns1123_subdomain(name);
    if !wrong.is_empty() {
        return vec![FieldError::invalid(path, name, wrong.join(","))];
    }
    if !name.contains('.') {
        let why = "should be a domain with at least two segments separated by dots";
        return vec![FieldError::invalid(path, name, why)];
    }
    let labels = name.split('.').map(|label| (label, is_dns1123_label(label)));
    let wrong = labels.filter(|(_, wrong)| !wrong.is_empty()).take(1);
    wrong.map(|(label, wrong)| FieldError::invalid(path, label, wrong.join(","))).collect()
}

/// A domain of three segments or more, such as the signer part of a CSR's signer name.
pub fn is_fully_qualified_name(path: &Path, name: &str) -> ErrorList {
    if name.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let errors = is_dns1123_subdomain(name);
    if !errors.is_empty() {
        return vec![FieldError::invalid(path, name, errors.join(","))];
    }
    if name.split('.').count() < 3 {
        return vec![FieldError::invalid(
            path,
            name,
            "should be a domain with at least three segments separated by dots",
        )];
    }
    Vec::new()
}

const HTTP_PATH_PATTERN: &str = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";

/// Whether every character may stand in an HTTP path; empty paths are refused.
pub fn is_http_path(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b))
}

/// `acme.io/foo`: a subdomain, a slash and an HTTP path.
pub fn is_domain_prefixed_path(path: &Path, value: &str) -> ErrorList {
    if value.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let Some((host, rest)) = value.split_once('/').filter(|(h, r)| !h.is_empty() && !r.is_empty()) else {
        return vec![FieldError::invalid(path, value, "must be a domain-prefixed path (such as \"acme.io/foo\")")];
    };
    let mut errors: ErrorList =
        is_dns1123_subdomain(host).into_iter().map(|e| FieldError::invalid(path, host, e)).collect();
    if !is_http_path(rest) {
        errors.push(FieldError::invalid(path, rest, regex_error("Invalid path", HTTP_PATH_PATTERN, &[])));
    }
    errors
}

pub fn is_c_identifier(value: &str) -> Vec<String> {
    let start = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if start && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Vec::new();
    }
    vec![regex_error(
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
        "[A-Za-z_][A-Za-z0-9_]*",
        &["my_name", "MY_NAME", "MyName"],
    )]
}

pub fn is_port_number(port: i64) -> Vec<String> {
    is_in_range(port, 1, 65535)
}

pub fn is_in_range(value: i64, low: i64, high: i64) -> Vec<String> {
    if (low..=high).contains(&value) { Vec::new() } else { vec![inclusive_range_error(low, high)] }
}

/// IANA service names: 15 characters of `a-z0-9-` with at least one letter.
pub fn is_port_name(port: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if port.len() > 15 {
        errors.push(max_len_error(15));
    }
    if port.is_empty() || !port.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !port.bytes().any(|b| b.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".into());
    }
    if port.contains("--") {
        errors.push("must not contain consecutive hyphens".into());
    }
    if port.starts_with('-') || port.ends_with('-') {
        errors.push("must not begin or end with a hyphen".into());
    }
    errors
}

pub fn is_percent(value: &str) -> Vec<String> {
    let digits = value.strip_suffix('%').unwrap_or_default();
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Vec::new();
    }
    vec![regex_error(
        "a valid percent string must be a numeric string followed by an ending '%'",
        "[0-9]+%",
        &["1%", "93%"],
    )]
}

pub fn is_http_header_name(value: &str) -> Vec<String> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Vec::new();
    }
    vec![regex_error(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )]
}

/// The strict rule, which update validation of old objects and some kinds still use.
pub fn is_env_var_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if value.is_empty() || value.as_bytes()[0].is_ascii_digit() || !value.bytes().all(allowed) {
        errors.push(regex_error(
            "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit",
            "[-._a-zA-Z][-._a-zA-Z0-9]*",
            &["my.env-name", "MY_ENV.NAME", "MyEnvName1"],
        ));
    }
    errors.extend(directory_prefix(value));
    errors
}

/// The rule for containers since 1.34: printable ASCII without `=`.
pub fn is_relaxed_env_var_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.is_empty() {
        errors.push(format!("environment variable name {EMPTY_ERROR}"));
    }
    if value.chars().any(|c| !(' '..='~').contains(&c) || c == '=') {
        errors.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='".into(),
        );
    }
    errors
}

pub fn is_config_map_key(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > SUBDOMAIN_MAX_LENGTH {
        errors.push(max_len_error(SUBDOMAIN_MAX_LENGTH));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if value.is_empty() || !value.bytes().all(allowed) {
        errors.push(regex_error(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    errors.extend(directory_prefix(value));
    errors
}

/// Keys become file names, so they must not lead out of their directory.
fn directory_prefix(value: &str) -> Option<String> {
    match value {
        "." => Some("must not be '.'".into()),
        ".." => Some("must not be '..'".into()),
        _ => value.starts_with("..").then(|| "must not start with '..'".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: fn(&str) -> Vec<String>, good: &[&str], bad: &[&str]) {
        for value in good {
            assert_eq!(rule(value), Vec::<String>::new(), "{value:?}");
        }
        for value in bad {
            assert!(!rule(value).is_empty(), "{value:?} should be refused");
        }
    }

    #[test]
    fn label_keys() {
        let max = format!("{}/{}", "a".repeat(253), "b".repeat(63));
        let (long, prefix) = ("a".repeat(64), format!("{}/abc", "a".repeat(254)));
        check(
            is_qualified_name,
            &[
                "simple",
                "now-with-dashes",
                "1-starts-with-num",
                "1234",
                "simple/simple",
                "now.with.dots/simple",
                "1-num.2-num/3-num",
                "1.2.3.4/5678",
                "Uppercase_Is_OK_123",
                "example.com/Uppercase_Is_OK_123",
                &max,
            ],
            &[
                "nospecialchars%^=@",
                "cantendwithadash-",
                "-cantstartwithadash-",
                "only/one/slash",
                "Example.com/abc",
                "example_com/abc",
                "example.com/",
                "/simple",
                "",
                &long,
                &prefix,
            ],
        );
        assert_eq!(
            is_qualified_name("/")[..2],
            ["prefix part must be non-empty".to_owned(), "name part must be non-empty".to_owned()]
        );
    }

    #[test]
    fn label_values() {
        let (max, over) = ("a".repeat(63), "a".repeat(64));
        check(
            is_label_value,
            &["simple", "now-with-dashes", "1-starts-with-num", "end-with-num-1", "1234", &max, ""],
            &["nospecialchars%^=@", "Tama-nui-te-rā.is.Māori.sun", "\\b", "-a", "a-", ".a", "a.", &over],
        );
    }

    #[test]
    fn ports_percents_headers_and_identifiers() {
        check(
            is_port_name,
            &["telnet", "re-mail-ck", "pop3", "a", "a-1", "1-a", "a-1-b-2-c", "1-a-2-b-3"],
            &["longerthan15characters", "", "1", "1-2", "a--b", "-a", "a-", "A", "a_b"],
        );
        check(is_percent, &["10%", "1%", "93%"], &["", "%", "10", "-1%", "1.5%", "1%%"]);
        check(is_http_header_name, &["X-A", "a1"], &["", "a_b", "a b"]);
        check(is_c_identifier, &["a", "_a", "A_1", "__123_ABC"], &["", "1", "1a", "-", "a.b", "a b", "#a#"]);
        assert_eq!(is_port_number(0), ["must be between 1 and 65535, inclusive"]);
    }

    #[test]
    fn configuration_keys_and_variables() {
        let over = "a".repeat(254);
        check(
            is_config_map_key,
            &[
                "a",
                "good",
                "good-good",
                "still.good",
                "this.is.also.good",
                ".so.is.this",
                "THIS_IS_GOOD",
                "so_is_this_17",
            ],
            &[".", "..", "..bad", "b*d", "bad!&bad", "", &over],
        );
        check(is_env_var_name, &["a", "_A.b-c", ".a"], &["", "1a", "a b", ".", "..", "..a", "a=b"]);
        check(is_relaxed_env_var_name, &["1a", "a b", "!#$", ".."], &["", "a=b", "é", "a\tb"]);
    }

    #[test]
    fn domains_with_paths() {
        let path = Path::new("f");
        assert!(is_domain_prefixed_path(&path, "a.io/b/c:d").is_empty());
        for bad in ["", "a.io", "/b", "a.io/", "A.io/b", "a.io/b c"] {
            assert!(!is_domain_prefixed_path(&path, bad).is_empty(), "{bad:?}");
        }
        assert!(is_fully_qualified_name(&path, "a.b.c").is_empty());
        assert_eq!(is_fully_qualified_name(&path, "a.b").len(), 1);
    }
}
