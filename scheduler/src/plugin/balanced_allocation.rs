//! Nodes whose resources would be used to the same degree are better.

use super::resource_allocation::{Share, balance, shares};
use crate::change::Change;
use crate::config::args::{BalancedAllocationArgs, ResourceSpec};
use crate::framework::{Plugin, PreScore, Score};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};
use std::sync::Arc;

pub(crate) struct BalancedAllocation {
    resources: Vec<ResourceSpec>,
}

impl BalancedAllocation {
    pub(crate) fn new(args: &BalancedAllocationArgs) -> Self {
        Self { resources: args.resources.clone() }
    }
}

impl Plugin for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn woken_by(&self, _: &PodInfo, _: &Change) -> bool {
        false
    }

    fn pre_score(&self) -> Option<&dyn PreScore> {
        Some(self)
    }
}

struct Balance<'a>(&'a [ResourceSpec], &'a PodInfo);

impl PreScore for BalancedAllocation {
    /// Pods that ask for nothing do not change the balance.
    fn scorer<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot, _: &[Arc<NodeInfo>]) -> Option<Box<dyn Score + 'a>> {
        let asks = self.resources.iter().any(|spec| pod.requests.of(&spec.name) != 0);
        asks.then(|| Box::new(Balance(&self.resources, pod)) as Box<dyn Score>)
    }
}

impl Score for Balance<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        let shares: Vec<Share> = shares(self.0, &self.1.requests, node, true).collect();
        balance(&shares)
    }
}
