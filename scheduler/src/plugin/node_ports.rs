//! Two pods cannot have the same port of one node.

use crate::framework::{ClusterEvent, Plugin, PreFilter, Prepared, Verdict};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};

pub(crate) struct NodePorts;

const REASON: &str = "node(s) didn't have free ports for the requested pod ports";

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn woken_by(&self, event: ClusterEvent) -> bool {
        matches!(event, ClusterEvent::NodeAdded | ClusterEvent::PodFreed)
    }
}

impl PreFilter for NodePorts {
    fn pre_filter<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot) -> Prepared<'a> {
        if pod.ports.is_empty() {
            return Prepared::Skip;
        }
        Prepared::Filter(Box::new(|node: &NodeInfo| {
            let mut taken = node.pods.iter().flat_map(|pod| &pod.ports);
            let conflict = taken.any(|taken| pod.ports.iter().any(|wanted| wanted.conflicts(taken)));
            if conflict { Verdict::unschedulable(REASON) } else { Verdict::Fits }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cluster, node, pod};
    use serde_json::json;
    use std::sync::Arc;

    /// `PROTOCOL/IP/PORT`, as upstream's `node_ports_test.go` writes them.
    fn with_ports(name: &str, ports: &[&str]) -> Arc<PodInfo> {
        let port = |text: &&str| {
            let parts: Vec<_> = text.split('/').collect();
            json!({"protocol": parts[0], "hostIP": parts[1], "hostPort": parts[2].parse::<i32>().unwrap(), "containerPort": 1})
        };
        let ports: Vec<_> = ports.iter().map(port).collect();
        pod(name, json!({"containers": [{"name": "c", "ports": ports}]}))
    }

    #[test]
    fn ports_conflict() {
        let cases: [(&[&str], &[&str], bool); 9] = [
            (&["UDP/127.0.0.1/8080"], &["UDP/127.0.0.1/9090"], false),
            (&["UDP/127.0.0.1/8080"], &["UDP/127.0.0.1/8080"], true),
            (&["TCP/127.0.0.1/8080"], &["UDP/127.0.0.1/8080"], false),
            (&["UDP/127.0.0.1/8000", "UDP/127.0.0.1/8080"], &["UDP/127.0.0.1/8080"], true),
            (&["TCP/0.0.0.0/8001"], &["TCP/127.0.0.1/8001"], true),
            (&["TCP/127.0.0.1/8001"], &["TCP/0.0.0.0/8001"], true),
            (&["TCP/10.0.0.1/8001"], &["TCP/10.0.0.2/8001"], false),
            (&["TCP//8001"], &["TCP/10.0.0.2/8001"], true),
            (&["UDP//8001"], &["TCP//8001"], false),
        ];
        for (new, there, conflict) in cases {
            let snapshot = cluster(vec![(node("n", json!({})), vec![with_ports("there", there)])]);
            let pod = with_ports("new", new);
            let Prepared::Filter(filter) = NodePorts.pre_filter(&pod, &snapshot) else {
                panic!("{new:?} says nothing")
            };
            assert_eq!(!filter.filter(&snapshot.nodes[0]).fits(), conflict, "{new:?} beside {there:?}");
        }
    }
}
