//! In which order nodes are looked at: one of each zone in turn, so that the first found ones spread over the zones
//! (`pkg/scheduler/backend/cache/node_tree.go`).

use crate::snapshot::NodeInfo;

/// Zones in the order in which they came, each with its nodes in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct NodeOrder {
    zones: Vec<(String, Vec<String>)>,
}

impl NodeOrder {
    pub(crate) fn add(&mut self, node: &NodeInfo) {
        let zone = zone(node);
        let at = self.zones.iter().position(|(name, _)| *name == zone);
        let at = at.unwrap_or_else(|| {
            self.zones.push((zone, Vec::new()));
            self.zones.len() - 1
        });
        let nodes = &mut self.zones[at].1;
        if nodes.iter().all(|name| name != node.name()) {
            nodes.push(node.name().to_owned());
        }
    }

    pub(crate) fn remove(&mut self, node: &NodeInfo) {
        let zone = zone(node);
        if let Some(at) = self.zones.iter().position(|(name, _)| *name == zone) {
            self.zones[at].1.retain(|name| name != node.name());
            if self.zones[at].1.is_empty() {
                self.zones.remove(at);
            }
        }
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        let longest = self.zones.iter().map(|(_, nodes)| nodes.len()).max().unwrap_or(0);
        let turn = |at: usize| self.zones.iter().filter_map(move |(_, nodes)| nodes.get(at).map(String::as_str));
        (0..longest).flat_map(turn).collect()
    }
}

/// Whether both stand in the same zone.
pub(crate) fn same_zone(a: &NodeInfo, b: &NodeInfo) -> bool {
    zone(a) == zone(b)
}

/// Region and zone; the labels of old clusters count where the others are not set.
fn zone(node: &NodeInfo) -> String {
    let label = |name: &str, old: &str| node.label(name).or_else(|| node.label(old)).unwrap_or_default();
    let region = label("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region");
    let zone = label("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone");
    format!("{region}:\0:{zone}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::node;
    use serde_json::json;

    /// The picture of `TestNodeTree_List`.
    #[test]
    fn zones_take_turns() {
        let zoned =
            |name: &str, zone: &str| node(name, json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}));
        let mut order = NodeOrder::default();
        let all = [("a0", "a"), ("b0", "b"), ("c0", "c"), ("c1", "c"), ("c2", "c"), ("d0", "d"), ("d1", "d")];
        for (name, zone) in all {
            order.add(&zoned(name, zone));
        }
        assert_eq!(order.names(), ["a0", "b0", "c0", "d0", "c1", "d1", "c2"]);
        order.remove(&zoned("b0", "b"));
        order.add(&zoned("d0", "d"));
        assert_eq!(order.names(), ["a0", "c0", "d0", "c1", "d1", "c2"]);
    }
}
