//! Times of many requests, and what is said of them.

use serde_json::{Value, json};
use std::time::Duration;

#[derive(Default)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub fn join(parts: impl IntoIterator<Item = Latencies>) -> Self {
        Self(parts.into_iter().flat_map(|part| part.0).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The figures of all, made within `whole`.
    pub fn figures(mut self, whole: Duration) -> Value {
        self.0.sort_unstable();
        let count = self.0.len();
        // The nearest rank: of a hundred times the 99th.
        let at = |share: usize| {
            let rank = (count * share).div_ceil(100).saturating_sub(1);
            self.0.get(rank).map_or(0.0, Duration::as_secs_f64)
        };
        let mean = self.0.iter().map(Duration::as_secs_f64).sum::<f64>() / count.max(1) as f64;
        json!({"count": count, "mean": mean, "p50": at(50), "p99": at(99), "whole": whole.as_secs_f64(),
            "rate": count as f64 / whole.as_secs_f64()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_taken_by_rank() {
        let mut times = Latencies::default();
        for milliseconds in (1..=100).rev() {
            times.add(Duration::from_millis(milliseconds));
        }
        let figures = Latencies::join([times, Latencies::default()]).figures(Duration::from_secs(10));
        let expected = json!({"count": 100, "mean": 0.0505, "p50": 0.05, "p99": 0.099, "whole": 10.0, "rate": 10.0});
        for (name, expected) in expected.as_object().unwrap() {
            let difference = figures[name].as_f64().unwrap() - expected.as_f64().unwrap();
            assert!(difference.abs() < 1e-9, "{name}: {figures}");
        }
        assert_eq!(Latencies::default().figures(Duration::from_secs(1))["p99"], 0.0);
    }
}
