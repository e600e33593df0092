//! DNS names: the rules for names of objects.

use super::{max_len_error, regex_error};

/// Longest DNS label.
pub const LABEL_MAX_LENGTH: usize = 63;
/// Longest DNS subdomain.
pub const SUBDOMAIN_MAX_LENGTH: usize = 253;

const LABEL_PATTERN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_PATTERN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const UNDERSCORE_PATTERN: &str = r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
const WILDCARD_PATTERN: &str = r"\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1035_PATTERN: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";

fn lower_or_digit(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

/// Starts and ends as `ends` says, with `inner` in between: the shape of all label patterns.
pub(crate) fn bounded(text: &str, ends: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    match bytes {
        [] => false,
        [only] => ends(*only),
        [first, middle @ .., last] => ends(*first) && ends(*last) && middle.iter().all(|b| inner(*b)),
    }
}

fn label_matches(text: &str) -> bool {
    bounded(text, lower_or_digit, |b| lower_or_digit(b) || b == b'-')
}

fn subdomain_matches(text: &str) -> bool {
    text.split('.').all(label_matches)
}

pub fn is_dns1123_label(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > LABEL_MAX_LENGTH {
        errors.push(max_len_error(LABEL_MAX_LENGTH));
    }
    if !label_matches(value) {
        if subdomain_matches(value) {
            errors.push("must not contain dots".into());
        } else {
            errors.push(regex_error(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                LABEL_PATTERN,
                &["my-name", "123-abc"],
            ));
        }
    }
    errors
}

pub fn is_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > SUBDOMAIN_MAX_LENGTH {
        errors.push(max_len_error(SUBDOMAIN_MAX_LENGTH));
    }
    if !subdomain_matches(value) {
        errors.push(regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
            SUBDOMAIN_PATTERN,
            &["example.com"],
        ));
    }
    errors
}

/// Subdomains whose labels may hold `_`, also as their first character.
pub fn is_dns1123_subdomain_with_underscore(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > SUBDOMAIN_MAX_LENGTH {
        errors.push(max_len_error(SUBDOMAIN_MAX_LENGTH));
    }
    let label = |l: &str| {
        bounded(l.strip_prefix('_').unwrap_or(l), lower_or_digit, |b| lower_or_digit(b) || b == b'-' || b == b'_')
    };
    if !value.split('.').all(label) {
        errors.push(regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
            UNDERSCORE_PATTERN,
            &["example.com"],
        ));
    }
    errors
}

/// `*.example.com`.
pub fn is_wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > SUBDOMAIN_MAX_LENGTH {
        errors.push(max_len_error(SUBDOMAIN_MAX_LENGTH));
    }
    if !value.strip_prefix("*.").is_some_and(subdomain_matches) {
        errors.push(regex_error(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            WILDCARD_PATTERN,
            &["*.example.com"],
        ));
    }
    errors
}

pub fn is_dns1035_label(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > LABEL_MAX_LENGTH {
        errors.push(max_len_error(LABEL_MAX_LENGTH));
    }
    if !(label_matches(value) && value.starts_with(|c: char| c.is_ascii_lowercase())) {
        errors.push(regex_error(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            DNS1035_PATTERN,
            &["my-name", "abc-123"],
        ));
    }
    errors
}

/// A prefix may end in a dash: something will be put after it. Upstream drops the last two characters for one `a`,
/// which keeps the length rules one character lenient; so does this.
fn mask_trailing_dash(name: &str, prefix: bool) -> String {
    if prefix && name.len() > 1 && name.ends_with('-') {
        let mut masked = name.to_owned();
        masked.pop();
        masked.pop();
        masked.push('a');
        return masked;
    }
    name.to_owned()
}

/// Upstream's `NameIsDNSSubdomain`; `prefix` is true for a `generateName`.
pub fn name_is_dns_subdomain(name: &str, prefix: bool) -> Vec<String> {
    is_dns1123_subdomain(&mask_trailing_dash(name, prefix))
}

/// Upstream's `NameIsDNSLabel`.
pub fn name_is_dns_label(name: &str, prefix: bool) -> Vec<String> {
    is_dns1123_label(&mask_trailing_dash(name, prefix))
}

/// Names that only have to fit into a URL path (RBAC objects, events of some kinds): `path.ValidatePathSegmentName`.
pub fn name_is_path_segment(name: &str, prefix: bool) -> Vec<String> {
    if !prefix && (name == "." || name == "..") {
        return vec![format!("may not be '{name}'")];
    }
    ["/", "%"].iter().filter(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
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
    fn labels() {
        let (max, over) = ("a".repeat(63), "a".repeat(64));
        check(
            is_dns1123_label,
            &["a", "ab", "abc", "a1", "a-1", "a--1--2--b", "0", "01", "012", "1a", "1-a", "1--a--b--2", &max],
            &[
                "", "A", "ABC", "aBc", "A1", "1-A", "-", "a-", "-a", "1-", "_", "a_b", ".", "a.", ".a", "a.b", " ",
                "a ", &over,
            ],
        );
        assert_eq!(is_dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(
            is_dns1123_label("A"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
    }

    #[test]
    fn subdomains() {
        let (max, over) = ("a".repeat(253), "a".repeat(254));
        check(
            is_dns1123_subdomain,
            &["a", "a.a", "ab.a", "a1.a", "a-1.a", "0.a", "0.0.a", "1--a.b-2.c", "a.1--1.c", &max],
            &[
                "", "A", "aBc", "-", "a-", "-1", "_", "a_b", ".", "a.", ".a", "a..b", "1.-a", "a.b-", " ", "A.a",
                "a.B.c", &over,
            ],
        );
        check(is_dns1123_subdomain_with_underscore, &["a", "_a.b", "a_b.c"], &["__a", "a_", "A_b"]);
        check(is_wildcard_dns1123_subdomain, &["*.example.com", "*.a"], &["*", "example.com", "*.*.a", "*a.b"]);
    }

    #[test]
    fn dns1035_labels() {
        check(
            is_dns1035_label,
            &["a", "ab", "a1", "a-1", "a--1--2--b"],
            &["0", "1a", "1-2", "", "A", "-a", "a-", "a.b"],
        );
    }

    #[test]
    fn prefixes_may_end_in_a_dash() {
        assert!(name_is_dns_subdomain("web-", true).is_empty());
        assert!(!name_is_dns_subdomain("web-", false).is_empty());
        assert_eq!(name_is_path_segment("..", false), ["may not be '..'"]);
        assert!(name_is_path_segment("..", true).is_empty());
        assert_eq!(name_is_path_segment("a/b%c", false), ["may not contain '/'", "may not contain '%'"]);
    }
}
