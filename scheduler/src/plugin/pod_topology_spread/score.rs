//! How evenly the pod's kind would be spread: soft constraints.

use super::constraint::{Constraint, has_all_keys};
use super::{HOSTNAME, PodTopologySpread, SOFT};
use crate::framework::{MAX_NODE_SCORE, PreScore, Score};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Marks nodes that are left out of the comparison.
const IGNORED: i64 = -1;

struct Evenness<'a> {
    pod: &'a PodInfo,
    constraints: Vec<Constraint>,
    counts: Vec<HashMap<String, i64>>,
    /// Keeps small topologies from being drowned by large ones.
    weights: Vec<f64>,
    ignored: HashSet<String>,
}

impl PreScore for PodTopologySpread {
    fn scorer<'a>(
        &'a self,
        pod: &'a PodInfo,
        snapshot: &'a Snapshot,
        feasible: &[Arc<NodeInfo>],
    ) -> Option<Box<dyn Score + 'a>> {
        let own = pod.spec().topology_spread_constraints.as_ref().is_some_and(|own| !own.is_empty());
        let constraints = self.constraints(pod, SOFT, || snapshot.catalog.owners.peers(&pod.pod)).ok()?;
        if constraints.is_empty() {
            return None;
        }
        // Nodes without a zone still spread over hostnames by upstream's defaults.
        let strict = own || !self.system;
        let usable = |node: &NodeInfo| !strict || has_all_keys(node.labels(), &constraints);
        let mut counts: Vec<HashMap<String, i64>> = vec![HashMap::new(); constraints.len()];
        let mut ignored = HashSet::new();
        for node in feasible {
            if !usable(node) {
                ignored.insert(node.name().to_owned());
                continue;
            }
            for (constraint, counts) in constraints.iter().zip(&mut counts).filter(|(c, _)| c.key != HOSTNAME) {
                let value = node.label(&constraint.key).unwrap_or_default();
                if !counts.contains_key(value) {
                    counts.insert(value.to_owned(), 0);
                }
            }
        }
        let weight = |(constraint, counts): (&Constraint, &HashMap<String, i64>)| {
            let hosts = feasible.len() - ignored.len();
            let size = if constraint.key == HOSTNAME { hosts } else { counts.len() };
            (size as f64 + 2.0).ln()
        };
        let weights = constraints.iter().zip(&counts).map(weight).collect();
        // Counts by hostname are taken from the scored nodes alone.
        if counts.iter().any(|counts| !counts.is_empty()) {
            for node in snapshot.nodes.iter().filter(|node| usable(node)) {
                for (constraint, counts) in constraints.iter().zip(&mut counts) {
                    let value = node.label(&constraint.key).unwrap_or_default();
                    let Some(sum) = counts.get_mut(value).filter(|_| constraint.includes(node, pod)) else { continue };
                    *sum += constraint.count(node, pod.namespace());
                }
            }
        }
        Some(Box::new(Evenness { pod, constraints, counts, weights, ignored }))
    }
}

impl Score for Evenness<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        if self.ignored.contains(node.name()) {
            return IGNORED;
        }
        let each = self.constraints.iter().zip(&self.counts).zip(&self.weights);
        let score: f64 = each
            .filter_map(|((constraint, counts), weight)| {
                let value = node.label(&constraint.key)?;
                let count = if constraint.key == HOSTNAME {
                    constraint.count(node, self.pod.namespace())
                } else {
                    counts.get(value).copied().unwrap_or(0)
                };
                Some(count as f64 * weight + (constraint.max_skew - 1) as f64)
            })
            .sum();
        score.round() as i64
    }

    fn normalize(&self, scores: &mut [i64]) {
        let compared = || scores.iter().copied().filter(|score| *score != IGNORED);
        let (min, max) = (compared().min().unwrap_or(i64::MAX), compared().max().unwrap_or(0));
        for score in scores {
            *score = match (*score, max) {
                (IGNORED, _) => 0,
                (_, 0) => MAX_NODE_SCORE,
                (score, max) => MAX_NODE_SCORE * (max + min - score) / max,
            };
        }
    }
}
