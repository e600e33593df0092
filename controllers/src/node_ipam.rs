//! Gives every node its blocks of pod addresses. Upstream's `pkg/controller/nodeipam` with the range allocator.
//!
//! Owns `spec.podCIDR` and `spec.podCIDRs` of nodes that have none. Started only where [`crate::Config::pod_cidrs`] names
//! ranges, as upstream's is with `--allocate-node-cidrs`. It keeps no record: what is taken is read from the nodes. Woken by
//! nodes; one that goes frees its blocks, so those that wait are looked at again.

use crate::cidr::Cidr;
use crate::controller::{Controller, Descriptor, Watch, key_of};
use crate::meta::Meta;
use crate::plan::{PatchKind, Plan};
use crate::queue::Key;
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use serde_json::json;
use std::sync::Arc;

/// The defaults of `--node-cidr-mask-size-ipv4` and `-ipv6`.
const LENGTHS: (u8, u8) = (24, 64);

pub(crate) struct NodeIpam {
    informers: Informers,
    nodes: Store<Node>,
    ranges: Vec<Cidr>,
    service_ranges: Vec<Cidr>,
}

pub struct Observed {
    node: Arc<Node>,
    /// Blocks of other nodes and of Services.
    taken: Vec<Cidr>,
}

impl NodeIpam {
    /// One range for each family; blocks that Services use are left out.
    pub(crate) fn new(informers: &Informers, ranges: &[String], service_ranges: &[String]) -> Self {
        let read = |ranges: &[String]| ranges.iter().filter_map(|text| Cidr::parse(text)).collect();
        let (ranges, service_ranges) = (read(ranges), read(service_ranges));
        Self { informers: informers.clone(), nodes: informers.store(), ranges, service_ranges }
    }
}

fn blocks(node: &Node) -> Vec<Cidr> {
    let Some(spec) = &node.spec else { return Vec::new() };
    let all = spec.pod_cidrs.iter().flatten().chain(spec.pod_cidr.iter());
    all.filter_map(|text| Cidr::parse(text)).collect()
}

impl Controller for NodeIpam {
    type Observed = Observed;

    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "node-ipam-controller",
            account: "node-controller",
            component: "cidrAllocator",
            // Two nodes must not get the same block.
            workers: 1,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let nodes = self.nodes.clone();
        let changed = move |event: &informer::Event<Node>| match &event.new {
            Some(node) if blocks(node).is_empty() => vec![key_of(&**node)],
            Some(_) => Vec::new(),
            None => nodes.list().iter().filter(|node| blocks(node).is_empty()).map(|node| key_of(&**node)).collect(),
        };
        vec![Watch::on(&self.informers, &self.nodes, changed)]
    }

    fn observe(&self, key: &Key) -> Option<Observed> {
        let node = self.nodes.get("", &key.name).filter(|node| blocks(node).is_empty() && !node.terminating())?;
        let mut taken: Vec<Cidr> = self.nodes.list().iter().flat_map(|node| blocks(node)).collect();
        taken.extend(&self.service_ranges);
        Some(Observed { node, taken })
    }

    fn plan(&self, observed: &Observed, _now: Timestamp) -> Plan {
        plan(observed, &self.ranges)
    }
}

fn plan(Observed { node, taken }: &Observed, ranges: &[Cidr]) -> Plan {
    let mut plan = Plan::default();
    let free = |range: &Cidr| {
        let length = if range.is_ipv6() { LENGTHS.1 } else { LENGTHS.0 };
        range.blocks(length).find(|block| !taken.iter().any(|own| own.covers(block) || block.covers(own)))
    };
    if let Some(found) = ranges.iter().map(free).collect::<Option<Vec<Cidr>>>() {
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let body = json!({"spec": {"podCIDR": found.first(), "podCIDRs": found}});
        plan.patch(&**node, "", PatchKind::Strategic, body);
    } else {
        let message = format!("Node {} status is now: CIDRNotAvailable", node.name());
        plan.event(&**node, "CIDRNotAvailable", message);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ranges: &[&str], taken: &[&str]) -> String {
        let read = |all: &[&str]| all.iter().map(|text| Cidr::parse(text).unwrap()).collect::<Vec<_>>();
        let node = Arc::new(serde_json::from_value(json!({"metadata": {"name": "n"}})).unwrap());
        plan(&Observed { node, taken: read(taken) }, &read(ranges)).to_string()
    }

    fn given(blocks: &[&str]) -> String {
        format!("patch nodes n {}", json!({"spec": {"podCIDR": blocks[0], "podCIDRs": blocks}}))
    }

    /// Cases of upstream's `TestAllocateOrOccupyCIDRSuccess` and its failures.
    #[test]
    fn the_first_free_block_of_each_family_is_taken() {
        assert_eq!(run(&["127.123.234.0/22"], &[]), given(&["127.123.234.0/24"]).replace("234", "232"));
        assert_eq!(run(&["10.10.0.0/16"], &["10.10.0.0/24"]), given(&["10.10.1.0/24"]));
        assert_eq!(run(&["10.10.0.0/16"], &["10.10.0.0/23"]), given(&["10.10.2.0/24"]), "services have a larger block");
        assert_eq!(
            run(&["10.10.0.0/16", "ace:cab:deca::/48"], &["10.10.0.0/24"]),
            given(&["10.10.1.0/24", "ace:cab:deca::/64"])
        );
        assert_eq!(
            run(&["10.10.0.0/24"], &["10.10.0.0/24"]),
            "event CIDRNotAvailable Node n status is now: CIDRNotAvailable"
        );
        assert_eq!(run(&["10.10.0.0/28"], &[]), "event CIDRNotAvailable Node n status is now: CIDRNotAvailable");
    }
}
