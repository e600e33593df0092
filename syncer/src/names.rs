//! The one mapping from a tenant's name to the host's: `name-x-namespace-x-tenant`.
//!
//! The mapping is injective: where the readable form would be too long, or could be read in two ways, a hash of the
//! triple stands in. It is never inverted; the way back is the record on the host object ([`crate::marks`]).

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Longest name that every kind accepts (a DNS label).
const LONGEST: usize = 63;
const SEPARATOR: &str = "-x-";

/// Name of the host copy of `namespace/name`.
pub fn host_name(name: &str, namespace: &str, tenant: &str) -> String {
    let readable = [name, namespace, tenant].join(SEPARATOR);
    if readable.len() <= LONGEST && occurrences(&readable) == 2 {
        return readable;
    }
    shorten(name, &hash(&["copy", name, namespace, tenant]))
}

/// Name of a host object that serves a tenant object without being its copy (`role` says what for). It never equals
/// the name of a copy: those end with the tenant's name or with the hash of another triple.
pub(crate) fn internal_name(role: &str, name: &str, namespace: &str, tenant: &str) -> String {
    let readable = [role, tenant].join("-");
    shorten(&readable, &hash(&[role, name, namespace, tenant]))
}

/// Sixteen hexadecimal digits over the parts; no part contains the separator `/`.
pub(crate) fn hash(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("/").as_bytes());
    digest.iter().take(8).fold(String::with_capacity(16), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn shorten(readable: &str, hash: &str) -> String {
    let room = LONGEST - hash.len() - 1;
    let cut: String = readable.chars().take(room).collect();
    format!("{}-{hash}", cut.trim_end_matches(['-', '.']))
}

/// Overlapping occurrences of the separator: two of them mean that the name splits in one way only.
fn occurrences(text: &str) -> usize {
    text.as_bytes().windows(SEPARATOR.len()).filter(|window| *window == SEPARATOR.as_bytes()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_names_stay_readable() {
        assert_eq!(host_name("web-0", "default", "blue"), "web-0-x-default-x-blue");
        assert_eq!(host_name("kube-root-ca.crt", "ns", "t"), "kube-root-ca.crt-x-ns-x-t");
    }

    #[test]
    fn long_names_are_cut_and_hashed() {
        let name = host_name(&"a".repeat(60), "default", "blue");
        assert_eq!(name.len(), 63);
        assert!(name.starts_with("aaaa"));
        assert_ne!(name, host_name(&"a".repeat(61), "default", "blue"));
    }

    #[test]
    fn a_cut_never_leaves_an_invalid_end() {
        let name = host_name(&format!("{}.{}", "a".repeat(45), "b".repeat(40)), "default", "blue");
        assert!(!name.contains(".-"), "{name}");
    }

    #[test]
    fn names_that_could_be_read_in_two_ways_are_hashed() {
        assert_ne!(host_name("a-x-b", "c", "t"), host_name("a", "b-x-c", "t"));
        assert_ne!(host_name("a-x", "b", "t"), host_name("a", "x-b", "t"));
        assert!(!host_name("a", "x", "t").contains("-x-x-"));
    }

    #[test]
    fn internal_names_differ_from_copies() {
        assert_ne!(internal_name("env", "env", "ns", "t"), host_name("env", "ns", "t"));
        assert!(internal_name("tokens", "pod", "ns", &"t".repeat(63)).len() <= 63);
    }

    proptest! {
        #[test]
        fn different_objects_have_different_names(
            a in "[a-z]([-a-z]{0,6}[a-z])?", b in "[a-z]([-x]{0,4}[a-z])?",
            c in "[a-z]([-x]{0,6}[a-z])?", d in "[a-z]([-a-z]{0,6}[a-z])?",
        ) {
            prop_assert_eq!(host_name(&a, &b, "t") == host_name(&c, &d, "t"), (&a, &b) == (&c, &d));
        }
    }
}
