//! A pod as the checks see it, and the words in which they report.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A pod, or the template of one.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'a> {
    pub annotations: Option<&'a Map<String, Value>>,
    pub spec: &'a Value,
}

/// Why a check refuses: in few words, and with the names of what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub reason: String,
    pub detail: String,
}

impl Violation {
    pub fn new(reason: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { reason: reason.into(), detail: detail.into() }
    }
}

impl<'a> Pod<'a> {
    /// Every container, in upstream's order.
    pub fn containers(&self) -> impl Iterator<Item = &'a Value> {
        let spec = self.spec;
        ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(move |list| items(spec, list))
    }

    /// Names of the containers for which `is_bad` holds.
    pub fn bad_containers(&self, is_bad: impl Fn(&'a Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|c| is_bad(c)).map(name).collect()
    }

    /// The field of the pod's security context.
    pub fn security(&self, path: &str) -> Option<&'a Value> {
        security(self.spec, path)
    }

    pub fn is_windows(&self) -> bool {
        self.spec.pointer("/os/name").and_then(Value::as_str) == Some("windows")
    }

    /// In a user namespace of its own, root is nobody outside.
    pub fn has_user_namespace(&self) -> bool {
        self.spec.get("hostUsers") == Some(&Value::Bool(false))
    }
}

/// A set field of a security context: of the pod's specification or of a container.
pub fn security<'a>(of: &'a Value, path: &str) -> Option<&'a Value> {
    of.get("securityContext")?.pointer(path).filter(|v| !v.is_null())
}

pub fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub fn name(value: &Value) -> &str {
    value.get("name").and_then(Value::as_str).unwrap_or_default()
}

pub fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

pub fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// `"a", "b"`
pub fn quoted<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    let names: Vec<String> = names.into_iter().map(|n| format!("\"{}\"", n.as_ref())).collect();
    names.join(", ")
}

/// `container "a"` or `containers "a", "b"`
pub fn containers_named(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

/// `pod and container "a"`, or none when neither is wrong.
pub fn setters(pod: bool, containers: &[&str]) -> Option<String> {
    match (pod, containers.is_empty()) {
        (false, true) => None,
        (true, true) => Some("pod".into()),
        (false, false) => Some(containers_named(containers)),
        (true, false) => Some(format!("pod and {}", containers_named(containers))),
    }
}

/// The distinct values, sorted.
pub fn set<S: Into<String>>(values: impl IntoIterator<Item = S>) -> BTreeSet<String> {
    values.into_iter().map(Into::into).collect()
}
