//! Two pods cannot have the same port of one node.

use crate::change::{Actions, Change};
use crate::framework::{Plugin, PreFilter, Prepared, Verdict};
use crate::pod::{HostPort, PodInfo, has_node, host_ports, spec_of};
use crate::snapshot::{NodeInfo, Snapshot};

pub(crate) struct NodePorts;

const REASON: &str = "node(s) didn't have free ports for the requested pod ports";

fn conflict<'a>(wanted: &[HostPort], mut taken: impl Iterator<Item = &'a HostPort>) -> bool {
    taken.any(|taken| wanted.iter().any(|wanted| wanted.conflicts(taken)))
}

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn woken_by(&self, pod: &PodInfo, change: &Change) -> bool {
        if let Some(gone) = change.assigned(Actions::DELETE).and_then(|pair| pair.before()) {
            return has_node(gone) && conflict(&pod.ports, host_ports(spec_of(gone)).iter());
        }
        change.node(Actions::ADD).is_some()
    }

    fn pre_filter(&self) -> Option<&dyn PreFilter> {
        Some(self)
    }
}

impl PreFilter for NodePorts {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot) -> Prepared<'a> {
        if pod.ports.is_empty() {
            return Prepared::Skip;
        }
        Prepared::Filter(Box::new(|node: &NodeInfo| {
            let taken = node.pods.iter().flat_map(|pod| &pod.ports);
            if conflict(&pod.ports, taken) { Verdict::unschedulable(REASON) } else { Verdict::Fits }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod, world};
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
            let mut cache = world(vec![(node("n", json!({})), vec![with_ports("there", there)])]);
            let snapshot = cache.snapshot();
            let pod = with_ports("new", new);
            let Prepared::Filter(filter) = NodePorts.prepare(&pod, snapshot) else { panic!("{new:?} says nothing") };
            assert_eq!(!filter.filter(&snapshot.nodes[0]).fits(), conflict, "{new:?} beside {there:?}");
        }
    }
}
