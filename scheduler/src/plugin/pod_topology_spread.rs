//! Pods of one kind spread over zones, nodes and other topologies.

mod constraint;
mod hint;
mod score;

use crate::change::{Actions, Change};
use crate::config::args::{Defaulting, PodTopologySpreadArgs};
use crate::framework::{Filter, Plugin, PreFilter, PreScore, Prepared, Verdict};
use crate::pod::PodInfo;
use crate::selection::Selector;
use crate::snapshot::{NodeInfo, Snapshot};
use constraint::{Constraint, has_all_keys};
use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) struct PodTopologySpread {
    /// For pods that say nothing themselves.
    defaults: Vec<TopologySpreadConstraint>,
    /// The defaults are upstream's, and lenient towards nodes without a zone.
    system: bool,
}

const REASON: &str = "node(s) didn't match pod topology spread constraints";
const MISSING_LABEL: &str = "node(s) didn't match pod topology spread constraints (missing required label)";
const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";
const HARD: &str = "DoNotSchedule";
const SOFT: &str = "ScheduleAnyway";

impl PodTopologySpread {
    pub(crate) fn new(args: &PodTopologySpreadArgs) -> Self {
        let spread = |key: &str, max_skew| TopologySpreadConstraint {
            topology_key: key.to_owned(),
            max_skew,
            when_unsatisfiable: SOFT.to_owned(),
            ..TopologySpreadConstraint::default()
        };
        let system = args.defaulting_type == Defaulting::System;
        let defaults =
            if system { vec![spread(HOSTNAME, 3), spread(ZONE, 5)] } else { args.default_constraints.clone() };
        Self { defaults, system }
    }

    /// Those of the pod, or else the defaults with what its services and controller select.
    fn constraints(
        &self,
        pod: &PodInfo,
        action: &str,
        peers: impl Fn() -> Option<Selector>,
    ) -> Result<Vec<Constraint>, String> {
        let own = pod.spec().topology_spread_constraints.as_deref().unwrap_or_default();
        if !own.is_empty() {
            return own.iter().filter(|c| c.when_unsatisfiable == action).map(|c| Constraint::new(c, pod)).collect();
        }
        let defaults = self.defaults.iter().filter(|c| c.when_unsatisfiable == action);
        let mut constraints: Vec<_> = defaults.map(|c| Constraint::new(c, pod)).collect::<Result<_, _>>()?;
        if constraints.is_empty() {
            return Ok(constraints);
        }
        let Some(selector) = peers() else { return Ok(Vec::new()) };
        for constraint in &mut constraints {
            constraint.selector = selector.clone();
        }
        Ok(constraints)
    }
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn woken_by(&self, pod: &PodInfo, change: &Change) -> bool {
        // Without knowing who selects the pod, everything is taken to concern it.
        let Ok(constraints) = self.constraints(pod, HARD, || Some(Selector::All(Vec::new()))) else { return true };
        let pods = Actions::ADD.or(Actions::POD_LABEL).or(Actions::DELETE);
        let nodes = Actions::ADD.or(Actions::DELETE).or(Actions::NODE_LABEL).or(Actions::NODE_TAINT);
        if let Some(pair) = change.assigned(pods) {
            return hint::pod_helps(pod, &constraints, pair);
        }
        if let Some(pair) = change.node(nodes) {
            return hint::node_helps(&constraints, pair);
        }
        let own = change.target(Actions::POD_TOLERATION.or(Actions::POD_LABEL));
        own.is_some_and(|pair| hint::own_change_helps(&constraints, pair))
    }

    fn pre_filter(&self) -> Option<&dyn PreFilter> {
        Some(self)
    }

    fn pre_score(&self) -> Option<&dyn PreScore> {
        Some(self)
    }
}

#[derive(Clone)]
struct Spread<'a> {
    pod: &'a PodInfo,
    constraints: Arc<Vec<Constraint>>,
    /// For each constraint: topology value -> selected pods.
    counts: Vec<HashMap<Arc<str>, i64>>,
    /// For each constraint: the least of its counts.
    least: Vec<i64>,
}

impl PreFilter for PodTopologySpread {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Prepared<'a> {
        let constraints = match self.constraints(pod, HARD, || snapshot.catalog.owners.peers(&pod.pod)) {
            Ok(constraints) if constraints.is_empty() => return Prepared::Skip,
            Ok(constraints) => constraints,
            Err(error) => return Prepared::Failed(error),
        };
        let mut counts: Vec<HashMap<Arc<str>, i64>> = vec![HashMap::new(); constraints.len()];
        for node in snapshot.nodes.iter().filter(|node| has_all_keys(node.labels(), &constraints)) {
            for (constraint, counts) in constraints.iter().zip(&mut counts) {
                if let Some(value) = node.label(&constraint.key).filter(|_| constraint.includes(node, pod)) {
                    let here = constraint.count(node, pod.namespace());
                    match counts.get_mut(value) {
                        Some(count) => *count += here,
                        None => {
                            counts.insert(value.into(), here);
                        }
                    }
                }
            }
        }
        let mut spread = Spread { pod, constraints: Arc::new(constraints), counts, least: Vec::new() };
        spread.find_least();
        Prepared::Filter(Box::new(spread))
    }
}

impl Spread<'_> {
    fn find_least(&mut self) {
        let least = |counts: &HashMap<_, i64>| counts.values().copied().min().unwrap_or(i64::from(i32::MAX));
        self.least = self.counts.iter().map(least).collect();
    }

    fn count(&mut self, other: &PodInfo, node: &NodeInfo, by: i64) {
        if other.namespace() != self.pod.namespace() || !has_all_keys(node.labels(), &self.constraints) {
            return;
        }
        for (constraint, counts) in self.constraints.iter().zip(&mut self.counts) {
            if !constraint.selector.matches(other.labels()) || !constraint.includes(node, self.pod) {
                continue;
            }
            let Some(value) = node.label(&constraint.key) else { continue };
            *counts.entry(value.into()).or_default() += by;
        }
        self.find_least();
    }
}

impl Filter for Spread<'_> {
    fn filter(&self, node: &NodeInfo) -> Verdict {
        for ((constraint, counts), least) in self.constraints.iter().zip(&self.counts).zip(&self.least) {
            let Some(value) = node.label(&constraint.key) else { return Verdict::unresolvable(MISSING_LABEL) };
            // With fewer domains than wanted, the emptiest one is a domain that is not there yet.
            let least = if counts.len() >= constraint.min_domains { *least } else { 0 };
            let itself = i64::from(constraint.selector.matches(self.pod.labels()));
            let here = counts.get(value).copied().unwrap_or(0);
            if here + itself - least > constraint.max_skew {
                return Verdict::unschedulable(REASON);
            }
        }
        Verdict::Fits
    }

    fn fork(&self) -> Option<Box<dyn Filter + '_>> {
        Some(Box::new(self.clone()))
    }

    fn add(&mut self, pod: &PodInfo, node: &NodeInfo) {
        self.count(pod, node, 1);
    }

    fn remove(&mut self, pod: &PodInfo, node: &NodeInfo) {
        self.count(pod, node, -1);
    }
}
