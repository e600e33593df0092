//! How many seats a priority level has wanted of late: what lending and borrowing go by
//! (k8s.io/apiserver `pkg/util/flowcontrol/fairqueuing/integrator.go` and `seatDemandStats`). Pure.

use tokio::time::Instant;

/// The part of an old estimate that survives an adjustment; its half-life is five minutes.
const SMOOTHING: f64 = 0.977;

/// Integrates a number over time.
#[derive(Clone, Copy, Debug)]
pub struct Integrator {
    since: Instant,
    value: f64,
    elapsed: f64,
    sum: f64,
    squares: f64,
    highest: f64,
}

/// What was integrated since the last reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    pub elapsed: f64,
    pub average: f64,
    pub deviation: f64,
    pub highest: f64,
}

impl Integrator {
    pub fn new(now: Instant) -> Self {
        Self { since: now, value: 0.0, elapsed: 0.0, sum: 0.0, squares: 0.0, highest: 0.0 }
    }

    pub fn set(&mut self, now: Instant, value: f64) {
        self.advance(now);
        self.value = value;
        self.highest = self.highest.max(value);
    }

    fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.since = now;
        self.elapsed += passed;
        self.sum += self.value * passed;
        self.squares += self.value * self.value * passed;
    }

    /// Answers and begins anew.
    pub fn read(&mut self, now: Instant) -> Reading {
        self.advance(now);
        let reading = if self.elapsed > 0.0 {
            let average = self.sum / self.elapsed;
            let deviation = (self.squares / self.elapsed - average * average).max(0.0).sqrt();
            Reading { elapsed: self.elapsed, average, deviation, highest: self.highest }
        } else {
            Reading { highest: self.highest, ..Reading::default() }
        };
        *self = Self { value: self.value, highest: self.value, ..Self::new(now) };
        reading
    }
}

/// The demand as adjustments see it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    /// The most seats wanted at once in the last period.
    pub highest: usize,
    /// Jumps up with a rising demand and comes down slowly.
    pub smoothed: f64,
}

impl Demand {
    pub fn update(&mut self, reading: &Reading) {
        self.highest = reading.highest.round() as usize;
        if reading.elapsed > 0.0 {
            let envelope = reading.average + reading.deviation;
            self.smoothed = envelope.max(SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * envelope);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn averages_and_deviations_are_over_time() {
        let start = Instant::now();
        let mut integrator = Integrator::new(start);
        integrator.set(start, 2.0);
        integrator.set(start + Duration::from_secs(1), 6.0);
        let reading = integrator.read(start + Duration::from_secs(2));
        assert_eq!(reading, Reading { elapsed: 2.0, average: 4.0, deviation: 2.0, highest: 6.0 });
        let next = integrator.read(start + Duration::from_secs(3));
        assert_eq!(next, Reading { elapsed: 1.0, average: 6.0, deviation: 0.0, highest: 6.0 });
    }

    #[test]
    fn demand_rises_at_once_and_falls_slowly() {
        let mut demand = Demand::default();
        demand.update(&Reading { elapsed: 10.0, average: 8.0, deviation: 2.0, highest: 12.0 });
        assert_eq!(demand, Demand { highest: 12, smoothed: 10.0 });
        demand.update(&Reading { elapsed: 10.0, ..Reading::default() });
        assert_eq!(demand, Demand { highest: 0, smoothed: 9.77 });
    }
}
