//! Every object of a cluster by name, to compare before with after.

use crate::cluster::Cluster;
use anyhow::Result;
use std::collections::BTreeSet;

/// Kinds that come and go by themselves.
const RESTLESS: [&str; 4] = ["events", "events.events.k8s.io", "leases.coordination.k8s.io", "endpoints"];

/// The names (`kind namespace/name`) of all objects of all kinds that can be listed.
pub fn snapshot(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let kinds = cluster.kubectl("api-resources --verbs=list -o name")?;
    let mut objects = BTreeSet::new();
    for kind in kinds.lines().filter(|kind| !RESTLESS.contains(kind) && !kind.contains("metrics.k8s.io")) {
        let columns = "custom-columns=N:.metadata.namespace,M:.metadata.name";
        let listed = cluster.kubectl(&format!("get {kind} -A --ignore-not-found --no-headers -o {columns}"))?;
        objects.extend(listed.lines().map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{kind} {}", words.join("/"))
        }));
    }
    Ok(objects)
}
