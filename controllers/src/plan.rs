//! What a controller decided: writes in their order, events, and when to look again. Plans do nothing; they are applied
//! by [`crate::api::Api::apply`], and printed as text in tests.

use crate::meta::{Meta, object_reference};
use crate::queue::Key;
use apimachinery::GroupVersionResource;
use informer::resource_of;
use k8s_openapi::Resource;
use k8s_openapi::api::core::v1::ObjectReference;
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// Writes, applied in order up to the first failure. Neighbouring creations, and neighbouring deletions, of one
/// resource run side by side.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    pub writes: Vec<Write>,
    /// Look again after this long even if nothing changes.
    pub requeue: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub resource: GroupVersionResource,
    pub namespace: String,
    /// Empty in a creation: the body carries the name.
    pub name: String,
    /// `""`, `status`, `scale`, `finalize`, `eviction`, `approval`.
    pub subresource: &'static str,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    Create {
        target: Target,
        body: Value,
        announce: Option<Announce>,
        existing_is_fine: bool,
    },
    Update {
        target: Target,
        body: Value,
    },
    Patch {
        target: Target,
        kind: PatchKind,
        body: Value,
    },
    Delete {
        target: Target,
        options: Value,
        shown: u64,
        announce: Option<Announce>,
    },
    /// The object must exist, live, with this uid and not be terminating, or the plan ends here as failed.
    Expect {
        target: Target,
        uid: String,
    },
    /// The object must not exist with this uid, live and past all caches, or the plan ends here as failed.
    ExpectGone {
        target: Target,
        uid: String,
    },
    Event(Event),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub about: ObjectReference,
    pub warning: bool,
    pub reason: &'static str,
    pub message: String,
}

/// Events about a write that tell how it went; `{}` in `success` becomes the name of the written object.
#[derive(Clone, Debug, PartialEq)]
pub struct Announce {
    pub about: ObjectReference,
    pub success: (&'static str, String),
    pub failure: (&'static str, String),
}

/// `object` with its type, as the API takes it.
pub(crate) fn body_of<K: Serialize>(object: &K) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

fn target_of<K: Resource + Meta>(object: &K, subresource: &'static str) -> Target {
    let (namespace, name) = (object.namespace().to_owned(), object.name().to_owned());
    Target { resource: resource_of::<K>(), namespace, name, subresource }
}

impl Plan {
    pub(crate) fn create<K: Resource + Meta + Serialize>(&mut self, object: &K) {
        self.push_create(object, None, false);
    }

    /// Creates and takes an object of that name that is there already for the one wanted.
    pub(crate) fn ensure<K: Resource + Meta + Serialize>(&mut self, object: &K) {
        self.push_create(object, None, true);
    }

    pub(crate) fn create_announced<K: Resource + Meta + Serialize>(&mut self, object: &K, announce: Announce) {
        self.push_create(object, Some(announce), false);
    }

    fn push_create<K: Resource + Meta + Serialize>(&mut self, object: &K, announce: Option<Announce>, fine: bool) {
        let mut target = target_of(object, "");
        target.name = String::new();
        self.writes.push(Write::Create { target, body: body_of(object), announce, existing_is_fine: fine });
    }

    /// A full update on condition that the object is still at its resource version.
    pub(crate) fn update<K: Resource + Meta + Serialize>(&mut self, object: &K) {
        self.writes.push(Write::Update { target: target_of(object, ""), body: body_of(object) });
    }

    pub(crate) fn update_status<K: Resource + Meta + Serialize>(&mut self, object: &K) {
        self.writes.push(Write::Update { target: target_of(object, "status"), body: body_of(object) });
    }

    /// Updates `object` to `body` through a subresource that is not its status.
    pub(crate) fn update_subresource<K: Resource + Meta>(
        &mut self,
        object: &K,
        subresource: &'static str,
        body: Value,
    ) {
        self.writes.push(Write::Update { target: target_of(object, subresource), body });
    }

    /// Updates the status of `object` to `status` unless it is that already. Returns whether a write was planned.
    pub(crate) fn set_status<K: Resource + Meta + Serialize>(&mut self, object: &K, status: Value) -> bool {
        let mut body = body_of(object);
        if crate::semantic::same_status(&body["status"], &status) {
            return false;
        }
        body["status"] = status;
        self.writes.push(Write::Update { target: target_of(object, "status"), body });
        true
    }

    pub(crate) fn patch<K: Resource + Meta>(
        &mut self,
        object: &K,
        subresource: &'static str,
        kind: PatchKind,
        body: Value,
    ) {
        self.writes.push(Write::Patch { target: target_of(object, subresource), kind, body });
    }

    /// Deletes this very object: another one of its name stays.
    pub(crate) fn delete<K: Resource + Meta>(&mut self, object: &K) {
        self.delete_with(object, json!({}), None);
    }

    /// Deletes the object only as it is known now.
    pub(crate) fn delete_unchanged<K: Resource + Meta>(&mut self, object: &K) {
        let options =
            json!({"preconditions": {"uid": object.uid(), "resourceVersion": object.meta().resource_version}});
        let target = target_of(object, "");
        self.writes.push(Write::Delete { target, options, shown: object.revision(), announce: None });
    }

    pub(crate) fn delete_with<K: Resource + Meta>(
        &mut self,
        object: &K,
        mut options: Value,
        announce: Option<Announce>,
    ) {
        options["preconditions"] = json!({"uid": object.uid()});
        let shown = object.revision();
        self.writes.push(Write::Delete { target: target_of(object, ""), options, shown, announce });
    }

    pub(crate) fn expect_live<K: Resource + Meta>(&mut self, object: &K) {
        self.writes.push(Write::Expect { target: target_of(object, ""), uid: object.uid().to_owned() });
    }

    pub(crate) fn expect_gone<K: Resource>(&mut self, key: &Key, uid: &str) {
        let (namespace, name) = (key.namespace.to_string(), key.name.to_string());
        let target = Target { resource: resource_of::<K>(), namespace, name, subresource: "" };
        self.writes.push(Write::ExpectGone { target, uid: uid.to_owned() });
    }

    pub(crate) fn event<K: Resource + Meta>(&mut self, object: &K, reason: &'static str, message: impl Into<String>) {
        let about = object_reference(object);
        self.writes.push(Write::Event(Event { about, warning: false, reason, message: message.into() }));
    }

    pub(crate) fn warning<K: Resource + Meta>(&mut self, object: &K, reason: &'static str, message: impl Into<String>) {
        let about = object_reference(object);
        self.writes.push(Write::Event(Event { about, warning: true, reason, message: message.into() }));
    }

    /// Looks again after `delay`, or earlier if that was planned before.
    pub(crate) fn again_after(&mut self, delay: Duration) {
        self.requeue = Some(self.requeue.map_or(delay, |planned| planned.min(delay)));
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        write!(f, "{}{slash}{}", self.resource.group_resource(), self.subresource)?;
        match (&*self.namespace, &*self.name) {
            ("", "") => Ok(()),
            ("", name) => write!(f, " {name}"),
            (namespace, name) => write!(f, " {namespace}/{name}"),
        }
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { target, body, .. } => {
                let meta = &body["metadata"];
                let name = meta["name"].as_str().or(meta["generateName"].as_str()).unwrap_or_default();
                write!(f, "create {target}{name}")
            }
            Self::Update { target, body } if target.subresource == "status" => {
                write!(f, "update {target} {}", body["status"])
            }
            Self::Update { target, .. } => write!(f, "update {target}"),
            Self::Patch { target, body, .. } => write!(f, "patch {target} {body}"),
            Self::Delete { target, .. } => write!(f, "delete {target}"),
            Self::Expect { target, .. } => write!(f, "expect {target}"),
            Self::ExpectGone { target, .. } => write!(f, "expect no {target}"),
            Self::Event(event) => {
                write!(f, "{} {} {}", if event.warning { "warn" } else { "event" }, event.reason, event.message)
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<String> = self.writes.iter().map(ToString::to_string).collect();
        lines.extend(self.requeue.map(|delay| format!("again in {delay:?}")));
        f.write_str(&lines.join("\n"))
    }
}
