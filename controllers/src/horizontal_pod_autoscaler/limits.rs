//! From the replicas that metrics ask for to those that are set: stabilization over time, rates, and the bounds of the
//! specification. Pure over a [`History`]; the second half of upstream's `horizontal.go`.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::autoscaling::v2::{
    HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec,
};
use std::cmp::Ordering;

/// The default of `--horizontal-pod-autoscaler-downscale-stabilization`.
const DOWNSCALE_WINDOW: i32 = 300;

/// What an autoscaler remembers of its past. It is lost with the process, as upstream's is; the cost is one window of
/// stabilization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    recommendations: Vec<(Timestamp, i32)>,
    ups: Vec<(Timestamp, i32)>,
    downs: Vec<(Timestamp, i32)>,
}

/// A condition's status, reason and message.
pub(super) type Told = (bool, &'static str, &'static str);

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Limited {
    pub(super) replicas: i32,
    pub(super) able: Told,
    pub(super) bound: Told,
}

impl History {
    /// What is there at the first look counts as recommended.
    pub(super) fn begin(&mut self, current: i32, now: Timestamp) {
        if self.recommendations.is_empty() {
            self.recommendations.push((now, current));
        }
    }

    /// Remembers a change that was made, where rules of the specification will ask for it.
    pub(super) fn scaled(
        &mut self,
        behavior: Option<&HorizontalPodAutoscalerBehavior>,
        before: i32,
        after: i32,
        now: Timestamp,
    ) {
        let Some(behavior) = behavior else { return };
        let (rules, events) =
            if after > before { (up_rules(behavior), &mut self.ups) } else { (down_rules(behavior), &mut self.downs) };
        let longest = rules.policies.iter().flatten().map(|policy| policy.period_seconds).max().unwrap_or(0);
        forget_before(events, seconds_ago(now, longest));
        events.push((now, (after - before).abs()));
    }
}

fn seconds_ago(now: Timestamp, seconds: i32) -> Timestamp {
    now.checked_sub(SignedDuration::from_secs(seconds.into())).unwrap_or(Timestamp::MIN)
}

fn forget_before(list: &mut Vec<(Timestamp, i32)>, cutoff: Timestamp) {
    list.retain(|(time, _)| *time >= cutoff);
}

fn policy(kind: &str, value: i32) -> HPAScalingPolicy {
    HPAScalingPolicy { type_: kind.to_owned(), value, period_seconds: 15 }
}

/// The rules with upstream's defaults for what is left out (`pkg/apis/autoscaling/v2/defaults.go`).
fn up_rules(behavior: &HorizontalPodAutoscalerBehavior) -> HPAScalingRules {
    let mut rules = behavior.scale_up.clone().unwrap_or_default();
    rules.policies.get_or_insert_with(|| vec![policy("Pods", 4), policy("Percent", 100)]);
    rules.stabilization_window_seconds.get_or_insert(0);
    rules
}

fn down_rules(behavior: &HorizontalPodAutoscalerBehavior) -> HPAScalingRules {
    let mut rules = behavior.scale_down.clone().unwrap_or_default();
    rules.policies.get_or_insert_with(|| vec![policy("Percent", 100)]);
    rules.stabilization_window_seconds.get_or_insert(DOWNSCALE_WINDOW);
    rules
}

const READY: Told = (true, "ReadyForNewScale", "recommended size matches current size");
const DOWN_STABILIZED: Told = (
    true,
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);
const UP_STABILIZED: Told = (
    true,
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
const WITHIN: Told = (false, "DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_FEW: Told = (true, "TooFewReplicas", "the desired replica count is less than the minimum replica count");
const TOO_MANY: Told = (true, "TooManyReplicas", "the desired replica count is more than the maximum replica count");
const UP_LIMIT: Told =
    (true, "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const DOWN_LIMIT: Told =
    (true, "ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");

/// `normalizeDesiredReplicas` and `normalizeDesiredReplicasWithBehaviors`.
pub(super) fn limit(
    spec: &HorizontalPodAutoscalerSpec,
    history: &mut History,
    current: i32,
    desired: i32,
    minimum: i32,
    now: Timestamp,
) -> Limited {
    let maximum = spec.max_replicas;
    let Some(behavior) = &spec.behavior else {
        let stable = stabilize(history, desired, now);
        let able = if stable == desired { READY } else { DOWN_STABILIZED };
        let rate = current.saturating_mul(2).max(4);
        let (upper, why) = if maximum > rate { (rate, UP_LIMIT) } else { (maximum, TOO_MANY) };
        let (replicas, bound) = match stable {
            few if few < minimum => (minimum, TOO_FEW),
            many if many > upper => (upper, why),
            fine => (fine, WITHIN),
        };
        return Limited { replicas, able, bound };
    };
    let (up, down) = (up_rules(behavior), down_rules(behavior));
    let stable = stabilize_by_rules(history, &up, &down, current, desired, now);
    let able = match stable {
        stable if stable == desired => READY,
        _ if desired >= current => UP_STABILIZED,
        _ => DOWN_STABILIZED,
    };
    let (replicas, bound) = match stable.cmp(&current) {
        Ordering::Greater => {
            let rate = rate_limit(&up, history, current, now, true).max(current);
            let (upper, why) = if maximum > rate { (rate, UP_LIMIT) } else { (maximum, TOO_MANY) };
            if stable > upper { (upper, why) } else { (stable, WITHIN) }
        }
        Ordering::Less => {
            let rate = rate_limit(&down, history, current, now, false).min(current);
            let (lower, why) = if minimum < rate { (rate, DOWN_LIMIT) } else { (minimum, TOO_FEW) };
            if stable < lower { (lower, why) } else { (stable, WITHIN) }
        }
        Ordering::Equal => (stable, WITHIN),
    };
    Limited { replicas, able, bound }
}

/// The highest recommendation of the window.
fn stabilize(history: &mut History, desired: i32, now: Timestamp) -> i32 {
    forget_before(&mut history.recommendations, seconds_ago(now, DOWNSCALE_WINDOW));
    let highest = history.recommendations.iter().map(|(_, recommended)| *recommended).max();
    history.recommendations.push((now, desired));
    highest.map_or(desired, |highest| highest.max(desired))
}

/// Within the lowest recommendation of one window and the highest of the other.
fn stabilize_by_rules(
    history: &mut History,
    up: &HPAScalingRules,
    down: &HPAScalingRules,
    current: i32,
    desired: i32,
    now: Timestamp,
) -> i32 {
    let cutoff = |rules: &HPAScalingRules| seconds_ago(now, rules.stabilization_window_seconds.unwrap_or(0));
    let (up_cutoff, down_cutoff) = (cutoff(up), cutoff(down));
    let since = |cutoff: Timestamp| {
        history.recommendations.iter().filter(move |(time, _)| *time > cutoff).map(|(_, recommended)| *recommended)
    };
    let lowest = since(up_cutoff).min().map_or(desired, |lowest| lowest.min(desired));
    let highest = since(down_cutoff).max().map_or(desired, |highest| highest.max(desired));
    forget_before(&mut history.recommendations, up_cutoff.min(down_cutoff));
    history.recommendations.push((now, desired));
    current.max(lowest).min(highest)
}

/// How far the policies let the replicas go from where each one's period began.
fn rate_limit(rules: &HPAScalingRules, history: &History, current: i32, now: Timestamp, up: bool) -> i32 {
    let select = rules.select_policy.as_deref().unwrap_or("Max");
    if select == "Disabled" {
        return current;
    }
    let proposals = rules.policies.iter().flatten().map(|policy| {
        let cutoff = seconds_ago(now, policy.period_seconds);
        let changed = |events: &[(Timestamp, i32)]| {
            events.iter().filter(|(time, _)| *time > cutoff).map(|(_, change)| *change).sum::<i32>()
        };
        let start = current - changed(&history.ups) + changed(&history.downs);
        let (sign, share) = if up { (1, 1.0) } else { (-1, -1.0) };
        if policy.type_ == "Pods" {
            return start.saturating_add(sign * policy.value);
        }
        let exact = f64::from(start) * (1.0 + share * f64::from(policy.value) / 100.0);
        // Rounded up on the way up, for a small percentage must be able to add something.
        if up { exact.ceil() as i32 } else { exact as i32 }
    });
    // The largest change is the highest number on the way up and the lowest on the way down.
    let chosen = if up == (select == "Min") { proposals.min() } else { proposals.max() };
    chosen.unwrap_or(current)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn spec(maximum: i32, behavior: Option<Value>) -> HorizontalPodAutoscalerSpec {
        serde_json::from_value(json!({"maxReplicas": maximum, "scaleTargetRef": {"kind": "Deployment", "name": "d"}, "behavior": behavior})).unwrap()
    }

    fn run(
        spec: &HorizontalPodAutoscalerSpec,
        history: &mut History,
        current: i32,
        desired: i32,
        now: i64,
    ) -> (i32, &'static str, &'static str) {
        let told = limit(spec, history, current, desired, 1, at(now));
        (told.replicas, told.able.1, told.bound.1)
    }

    /// Cases of upstream's `TestNormalizeDesiredReplicas` and `TestConvertDesiredReplicasWithRules`.
    #[test]
    fn without_rules_down_waits_and_up_doubles() {
        let spec = spec(1000, None);
        let mut history = History::default();
        history.begin(5, at(0));
        assert_eq!(run(&spec, &mut history, 5, 3, 10), (5, "ScaleDownStabilized", "DesiredWithinRange"));
        assert_eq!(run(&spec, &mut history, 5, 3, 290), (5, "ScaleDownStabilized", "DesiredWithinRange"));
        assert_eq!(run(&spec, &mut history, 5, 2, 305), (3, "ScaleDownStabilized", "DesiredWithinRange"));
        assert_eq!(run(&spec, &mut history, 3, 0, 900), (1, "ReadyForNewScale", "TooFewReplicas"));
        assert_eq!(run(&spec, &mut history, 3, 100, 910), (6, "ReadyForNewScale", "ScaleUpLimit"));
        assert_eq!(run(&spec, &mut History::default(), 1, 100, 0), (4, "ReadyForNewScale", "ScaleUpLimit"));
        let small = super::tests::spec(5, None);
        assert_eq!(run(&small, &mut History::default(), 4, 9, 0), (5, "ReadyForNewScale", "TooManyReplicas"));
    }

    /// Cases of upstream's `TestScalingWithRules` and `TestNormalizeDesiredReplicasWithBehavior`.
    #[test]
    fn rules_limit_the_rate() {
        let up = |policies: Value, select: &str| json!({"scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": select, "policies": policies}});
        let pods = |value: i32, seconds: i32| json!({"type": "Pods", "value": value, "periodSeconds": seconds});
        let percent = |value: i32, seconds: i32| json!({"type": "Percent", "value": value, "periodSeconds": seconds});
        let fresh = |behavior: Value, current: i32, desired: i32| {
            let (replicas, _, limited) =
                run(&spec(1000, Some(behavior)), &mut History::default(), current, desired, 1000);
            (replicas, limited)
        };
        assert_eq!(fresh(up(json!([pods(30, 60), percent(900, 60)]), "Max"), 10, 500), (100, "ScaleUpLimit"));
        assert_eq!(fresh(up(json!([pods(30, 60), percent(900, 60)]), "Min"), 10, 500), (40, "ScaleUpLimit"));
        assert_eq!(fresh(up(json!([pods(30, 60)]), "Disabled"), 10, 500), (10, "ScaleUpLimit"));
        assert_eq!(fresh(up(json!([percent(5, 60)]), "Max"), 2, 10), (3, "ScaleUpLimit"), "rounded up");
        assert_eq!(fresh(json!({}), 10, 500), (20, "ScaleUpLimit"), "the defaults");
        let down = |policies: Value, select: &str| json!({"scaleDown": {"stabilizationWindowSeconds": 0, "selectPolicy": select, "policies": policies}});
        assert_eq!(fresh(down(json!([pods(30, 60), percent(10, 60)]), "Max"), 100, 0), (70, "ScaleDownLimit"));
        assert_eq!(fresh(down(json!([pods(30, 60), percent(10, 60)]), "Min"), 100, 0), (90, "ScaleDownLimit"));
        assert_eq!(fresh(down(json!([percent(100, 60)]), "Max"), 100, 0), (1, "TooFewReplicas"));
        assert_eq!(fresh(down(json!([pods(1, 60)]), "Disabled"), 100, 0), (100, "ScaleDownLimit"));
    }

    #[test]
    fn what_was_done_in_the_period_counts() {
        let behavior = json!({"scaleUp": {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]}});
        let spec = spec(100, Some(behavior));
        let mut history = History::default();
        assert_eq!(run(&spec, &mut history, 10, 50, 0).0, 14);
        history.scaled(spec.behavior.as_ref(), 10, 14, at(0));
        assert_eq!(run(&spec, &mut history, 14, 50, 30), (14, "ReadyForNewScale", "ScaleUpLimit"));
        assert_eq!(run(&spec, &mut history, 14, 50, 61).0, 18);
    }

    #[test]
    fn rules_stabilize_in_both_directions() {
        let behavior =
            json!({"scaleUp": {"stabilizationWindowSeconds": 60}, "scaleDown": {"stabilizationWindowSeconds": 120}});
        let spec = spec(100, Some(behavior));
        let mut history = History::default();
        history.begin(10, at(0));
        assert_eq!(run(&spec, &mut history, 10, 20, 30), (10, "ScaleUpStabilized", "DesiredWithinRange"));
        assert_eq!(run(&spec, &mut history, 10, 20, 95), (20, "ReadyForNewScale", "DesiredWithinRange"));
        assert_eq!(run(&spec, &mut history, 20, 5, 100), (20, "ScaleDownStabilized", "DesiredWithinRange"));
        assert_eq!(run(&spec, &mut history, 20, 5, 230), (5, "ReadyForNewScale", "DesiredWithinRange"));
    }
}
