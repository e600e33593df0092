//! How long a refused client is told to stay away (k8s.io/apiserver `pkg/util/flowcontrol/dropped_requests_tracker.go`).
//!
//! As TCP does: doubled while a level keeps refusing, shortened by a second when it does no more. Pure; time is whole
//! seconds.

use std::collections::VecDeque;

/// Upstream's bound.
const LONGEST: u64 = 32;

/// One priority level's refusals.
#[derive(Clone, Debug)]
pub struct Dropped {
    history: VecDeque<(u64, u64)>,
    second: u64,
    count: u64,
    wait: u64,
    raised: u64,
}

impl Default for Dropped {
    fn default() -> Self {
        Self { history: VecDeque::new(), second: 0, count: 0, wait: 1, raised: 0 }
    }
}

impl Dropped {
    /// Notes a refusal and answers the `Retry-After` that goes with it.
    pub fn record(&mut self, second: u64) -> u64 {
        if second == self.second {
            self.count += 1;
            return self.wait;
        }
        let (last, count) = (self.second, self.count);
        self.history.push_back((last, count));
        let reach = (2 * self.wait).min(LONGEST);
        while self.history.front().is_some_and(|(at, _)| last.saturating_sub(*at) > reach) {
            self.history.pop_front();
        }
        (self.second, self.count) = (second, 1);
        self.adjust(second);
        self.wait
    }

    fn adjust(&mut self, second: u64) {
        let recent = self.history.iter().rev().take_while(|(at, _)| second.saturating_sub(*at) <= self.wait);
        let dropped: u64 = recent.filter(|(at, _)| *at < second).map(|(_, count)| count).sum();
        if second.saturating_sub(self.raised) >= self.wait && dropped >= 3 * self.wait {
            self.wait = (2 * self.wait).min(LONGEST);
            self.raised = second;
        } else if dropped < self.wait && self.wait > 1 {
            self.wait -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Upstream's scenario: dropped_requests_tracker_test.go, TestDroppedRequestsTracker.
    #[test]
    fn the_wait_follows_the_refusals() {
        let mut dropped = Dropped::default();
        for (second, refusals, expected) in [
            (0, 5, 1),
            (1, 11, 2),
            (2, 1, 2),
            (3, 11, 4),
            (4, 1, 4),
            (7, 1, 8),
            (11, 1, 8),
            (15, 1, 7),
            (17, 1, 6),
            (21, 14, 5),
            (22, 1, 10),
        ] {
            let wait = (0..refusals).map(|_| dropped.record(1_000_000 + second)).last().unwrap();
            assert_eq!(wait, expected, "second {second}");
        }
    }

    #[test]
    fn the_wait_is_bounded() {
        let mut dropped = Dropped::default();
        for second in 1..500 {
            for _ in 0..1000 {
                assert!(dropped.record(second) <= LONGEST);
            }
        }
        assert_eq!(dropped.record(500), LONGEST);
    }
}
