//! Objects for tests, from the JSON that matters.

use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};
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
pub(crate) fn cluster(nodes: Vec<(NodeInfo, Vec<Arc<PodInfo>>)>) -> Snapshot {
    let place = |(mut node, pods): (NodeInfo, Vec<Arc<PodInfo>>)| {
        for pod in pods {
            node.add(pod);
        }
        Arc::new(node)
    };
    Snapshot { nodes: nodes.into_iter().map(place).collect(), ..Snapshot::default() }
}
