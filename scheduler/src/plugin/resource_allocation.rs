//! How nodes are scored by what is taken of their resources (`plugins/noderesources`): the least allocated ones, the
//! most allocated ones, or along a line that the configuration draws.

use crate::config::args::{ResourceSpec, ScoringStrategy, StrategyType, UtilizationShapePoint};
use crate::framework::MAX_NODE_SCORE;
use crate::resources::{Resources, is_scalar};
use crate::snapshot::NodeInfo;

/// The best score that a configured shape can give.
const MAX_CUSTOM_PRIORITY_SCORE: i64 = 10;
const MAX_UTILIZATION: i64 = 100;

/// One resource of a node as a strategy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) weight: i64,
    /// Without the pod in question.
    pub(crate) allocated: i64,
    /// With it.
    pub(crate) requested: i64,
    pub(crate) allocatable: i64,
}

/// The resources that the node has and that the pod makes matter. `real` leaves defaults for pods that ask for nothing
/// out of account.
pub(crate) fn shares<'a>(
    specs: &'a [ResourceSpec],
    asked: &'a Resources,
    node: &'a NodeInfo,
    real: bool,
) -> impl Iterator<Item = Share> + 'a {
    specs.iter().filter_map(move |spec| {
        let name = spec.name.as_str();
        let (asked, allocatable) = (asked.of(name), node.allocatable.of(name));
        if allocatable == 0 || (asked == 0 && is_scalar(name)) {
            return None;
        }
        let sums = if !real && matches!(name, "cpu" | "memory") { &node.non_zero_requested } else { &node.requested };
        let allocated = sums.of(name);
        Some(Share { weight: spec.weight, allocated, requested: allocated + asked, allocatable })
    })
}

/// A function of straight lines between points; level before the first and after the last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape(Vec<(i64, i64)>);

impl Shape {
    /// The points' scores are of 0..=10 and are stretched to those of nodes.
    pub(crate) fn new(points: &[UtilizationShapePoint]) -> Self {
        let scale = MAX_NODE_SCORE / MAX_CUSTOM_PRIORITY_SCORE;
        Self(points.iter().map(|point| (i64::from(point.utilization), i64::from(point.score) * scale)).collect())
    }

    /// From points whose scores are those of nodes already.
    #[cfg(test)]
    pub(crate) fn of_points(points: Vec<(i64, i64)>) -> Self {
        Self(points)
    }

    pub(crate) fn at(&self, utilization: i64) -> i64 {
        let mut before: Option<(i64, i64)> = None;
        for &(x, y) in &self.0 {
            if utilization <= x {
                return before.map_or(y, |(x0, y0)| y0 + (y - y0) * (utilization - x0) / (x - x0));
            }
            before = Some((x, y));
        }
        before.map_or(0, |(_, y)| y)
    }

    /// At the share of `capacity` that is requested.
    pub(crate) fn of(&self, requested: i64, capacity: i64) -> i64 {
        let full = capacity == 0 || requested > capacity;
        self.at(if full { MAX_UTILIZATION } else { requested * MAX_UTILIZATION / capacity })
    }
}

/// How `NodeResourcesFit` scores.
#[derive(Clone, Debug)]
pub(crate) enum Strategy {
    LeastAllocated,
    MostAllocated,
    RequestedToCapacityRatio(Shape),
}

impl Strategy {
    pub(crate) fn new(strategy: &ScoringStrategy) -> Self {
        match strategy.kind {
            StrategyType::LeastAllocated => Self::LeastAllocated,
            StrategyType::MostAllocated => Self::MostAllocated,
            StrategyType::RequestedToCapacityRatio => {
                let ratio = strategy.requested_to_capacity_ratio.as_ref();
                Self::RequestedToCapacityRatio(Shape::new(ratio.map_or(&[], |ratio| &ratio.shape)))
            }
        }
    }

    /// The weighted mean over the resources.
    pub(crate) fn score(&self, shares: impl Iterator<Item = Share>) -> i64 {
        let (mut sum, mut weights) = (0, 0);
        for share in shares {
            let score = self.of(share);
            // The drawn line leaves resources out that it gives nothing for.
            if score > 0 || !matches!(self, Self::RequestedToCapacityRatio(_)) {
                sum += score * share.weight;
                weights += share.weight;
            }
        }
        match self {
            _ if weights == 0 => 0,
            Self::LeastAllocated | Self::MostAllocated => sum / weights,
            Self::RequestedToCapacityRatio(_) => (sum as f64 / weights as f64).round() as i64,
        }
    }

    fn of(&self, Share { requested, allocatable, .. }: Share) -> i64 {
        match self {
            Self::LeastAllocated if requested > allocatable => 0,
            Self::LeastAllocated => (allocatable - requested) * MAX_NODE_SCORE / allocatable,
            // Pods without requests have defaults, so more than everything may be taken.
            Self::MostAllocated => requested.min(allocatable) * MAX_NODE_SCORE / allocatable,
            Self::RequestedToCapacityRatio(shape) => shape.of(requested, allocatable),
        }
    }
}

/// 50..=100: about 75 when the pod changes nothing, more when it evens out how much of each resource is taken, less
/// when it does the contrary.
pub(crate) fn balance(shares: &[Share]) -> i64 {
    let with = evenness(shares, |share| share.requested);
    let without = evenness(shares, |share| share.allocated);
    MAX_NODE_SCORE / 2 + (MAX_NODE_SCORE / 2 + with - without) / 2
}

/// 100 less the standard deviation of the shares taken.
fn evenness(shares: &[Share], taken: impl Fn(&Share) -> i64) -> i64 {
    let fractions: Vec<f64> =
        shares.iter().map(|share| (taken(share) as f64 / share.allocatable as f64).min(1.0)).collect();
    let deviation = match fractions[..] {
        [] | [_] => 0.0,
        [a, b] => ((a - b) / 2.0).abs(),
        _ => {
            let count = fractions.len() as f64;
            let mean = fractions.iter().sum::<f64>() / count;
            let sum: f64 = fractions.iter().map(|fraction| (fraction - mean) * (fraction - mean)).sum();
            (sum / count).sqrt()
        }
    };
    ((1.0 - deviation) * MAX_NODE_SCORE as f64) as i64
}
