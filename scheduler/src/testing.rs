//! Objects for tests, from the JSON that matters.

use crate::cache::Cache;
use crate::config::Config;
use crate::cycle::{Decision, Setting, decide};
use crate::pod::PodInfo;
use crate::profile::Profile;
use crate::snapshot::{NodeInfo, Snapshot};
use apimachinery::clock::Rng;
use serde_json::{Value, json};
use std::sync::Arc;

/// A node with this name; `fields` may carry `metadata.labels`, `spec` and `status`.
pub(crate) fn node(name: &str, mut fields: Value) -> NodeInfo {
    fields["metadata"]["name"] = name.into();
    NodeInfo::new(Arc::new(serde_json::from_value(fields).unwrap()))
}

/// A pod in `default` whose uid is its name.
pub(crate) fn pod(name: &str, spec: Value) -> Arc<PodInfo> {
    labelled(name, json!({}), spec)
}

pub(crate) fn labelled(name: &str, labels: Value, spec: Value) -> Arc<PodInfo> {
    object(json!({"metadata": {"name": name, "labels": labels}, "spec": spec}))
}

/// Any pod; namespace, uid and containers are filled in.
pub(crate) fn object(mut pod: Value) -> Arc<PodInfo> {
    let name = pod["metadata"]["name"].clone();
    let meta = pod["metadata"].as_object_mut().unwrap();
    meta.entry("namespace").or_insert("default".into());
    meta.entry("uid").or_insert(name);
    pod["spec"].as_object_mut().unwrap().entry("containers").or_insert(json!([]));
    Arc::new(PodInfo::new(Arc::new(serde_json::from_value(pod).unwrap())))
}

/// Nodes with the pods that are on them.
pub(crate) fn world(nodes: Vec<(NodeInfo, Vec<Arc<PodInfo>>)>) -> Cache {
    let mut cache = Cache::default();
    for (node, pods) in nodes {
        cache.set_node(node.node.clone());
        for pod in pods {
            cache.set_pod((*pod).clone(), node.name());
        }
    }
    cache
}

/// The profile that nobody has configured.
pub(crate) fn default_profile() -> Profile {
    Profile::all(&Config::default()).unwrap().remove(0)
}

pub(crate) fn decided(
    profile: &Profile,
    pod: &PodInfo,
    snapshot: &Snapshot,
    rng: &dyn Rng,
    threads: usize,
) -> Decision {
    let setting = Setting { profile, snapshot, rng, threads, start: 0, extended: false };
    decide(&setting, pod)
}
