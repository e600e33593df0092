//! Kernel parameters of a pod: their names, and whose namespaces they belong to
//! (k8s.io/kubernetes `pkg/apis/core/validation`, `validateSysctls`).

use crate::registry::kinds::read::{list, text};
use apimachinery::field::{ErrorList, FieldError, Path};
use serde_json::Value;
use std::collections::BTreeSet;

const LONGEST: usize = 253;

/// Names that belong to a pod's own IPC namespace.
const IPC: [&str; 10] = [
    "kernel.sem",
    "kernel.shm",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.msg",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
];

pub fn check(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let mut seen = BTreeSet::new();
    for (index, sysctl) in list(&spec["securityContext"], "sysctls").iter().enumerate() {
        let (name, at) = (text(sysctl, "name"), path.index(index).child("name"));
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if name.len() > LONGEST || !name.split(['.', '/']).all(is_segment) {
            let why = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.push(FieldError::invalid(&at, name, why));
        } else if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at, name));
        }
        let dotted = dotted(name);
        if spec["hostNetwork"] == true && dotted.starts_with("net.") {
            errors.push(FieldError::invalid(&at, name, "may not be specified when 'hostNetwork' is true"));
        }
        if spec["hostIPC"] == true && (IPC.contains(&dotted.as_str()) || dotted.starts_with("fs.mqueue.")) {
            errors.push(FieldError::invalid(&at, name, "may not be specified when 'hostIPC' is true"));
        }
    }
}

fn is_segment(part: &str) -> bool {
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    !part.is_empty()
        && part.bytes().all(|b| edge(b) || b == b'-' || b == b'_')
        && part.bytes().next().is_some_and(edge)
        && part.bytes().last().is_some_and(edge)
}

/// A name with dots between its parts: written with slashes, dots are part of a name.
fn dotted(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name[at..].starts_with('/') => name
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_of_parameters() {
        let found = |name: &str| {
            let mut errors = ErrorList::new();
            let spec = json!({"hostNetwork": true, "securityContext": {"sysctls": [{"name": name}]}});
            check(&spec, &Path::new("s"), &mut errors);
            errors.len()
        };
        for (name, count) in [("kernel.sem", 0), ("", 1), ("A", 1), ("net.core", 1), ("net/ipv4/x", 1), ("kernel/x", 0)]
        {
            assert_eq!(found(name), count, "{name}");
        }
    }
}
