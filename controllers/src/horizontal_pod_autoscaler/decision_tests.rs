//! Whole looks at an autoscaler as text; cases of upstream's `horizontal_test.go`.

use super::*;
use crate::horizontal_pod_autoscaler::calculator::Sample;
use crate::pods::testing::{merge, pod};
use jiff::SignedDuration;

const NOW: &str = "2024-01-01T01:00:00Z";

fn hpa(more: Value) -> HorizontalPodAutoscaler {
    let target = json!({"type": "Utilization", "averageUtilization": 50});
    let mut tree = json!({
        "metadata": {"name": "a", "namespace": "ns", "generation": 2},
        "spec": {"minReplicas": 2, "maxReplicas": 6, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]}});
    merge(&mut tree, more);
    serde_json::from_value(tree).unwrap()
}

fn scale(replicas: i32) -> Scale {
    Scale { replicas, observed: replicas }
}

fn pods(count: usize) -> Vec<Arc<Pod>> {
    let ready = json!({
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
        "status": {"phase": "Running", "startTime": "2024-01-01T00:00:00Z",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"}]}});
    (0..count).map(|index| pod(&format!("p{index}"), ready.clone())).collect()
}

fn cpu(values: &[i64]) -> Result<Measured, String> {
    let sample =
        |value: &i64| Sample { time: NOW.parse().unwrap(), window: SignedDuration::from_secs(60), value: *value };
    Ok(Measured::Pods(values.iter().enumerate().map(|(index, value)| (format!("p{index}"), sample(value))).collect()))
}

/// The status as `TYPE=STATUS REASON` for each condition and its numbers, then the events.
fn look(
    hpa: &HorizontalPodAutoscaler,
    current: i32,
    measured: Vec<Result<Measured, String>>,
    taken: Result<(), String>,
) -> Vec<String> {
    let mut decision = Decision::new(hpa, NOW.parse().unwrap());
    if decision.need(scale(current)) == Need::Metrics {
        let count = usize::try_from(current).unwrap();
        decision.by_metrics(scale(current), &metrics(hpa), measured, &pods(count), &mut History::default());
    }
    if decision.rescales().is_some() {
        decision.rescaled(scale(current), taken);
    }
    told(decision.plan())
}

fn told(plan: Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for write in &plan.writes {
        let crate::plan::Write::Update { body, .. } = write else {
            lines.push(write.to_string());
            continue;
        };
        let status = &body["status"];
        lines.push(format!("{} -> {}", status["currentReplicas"], status["desiredReplicas"]));
        let all: Vec<Condition> = conditions::read(status);
        let mut all: Vec<String> =
            all.iter().map(|own| format!("{}={} {}", own.kind, own.status, own.reason)).collect();
        all.sort();
        lines.extend(all);
    }
    lines
}

#[test]
fn load_scales_up_and_says_so() {
    assert_eq!(
        look(&hpa(json!({})), 3, vec![cpu(&[800, 800, 800])], Ok(())),
        [
            "3 -> 5",
            "AbleToScale=True SucceededRescale",
            "ScaledToZero=False NotScaledToZero",
            "ScalingActive=True ValidMetricFound",
            "ScalingLimited=False DesiredWithinRange",
            "event SuccessfulRescale New size: 5; reason: cpu resource utilization (percentage of request) above target",
        ]
    );
    assert_eq!(
        look(&hpa(json!({})), 3, vec![cpu(&[500, 500, 500])], Ok(()))[..2],
        ["3 -> 3", "AbleToScale=True ReadyForNewScale"]
    );
    let down = look(&hpa(json!({})), 5, vec![cpu(&[100, 100, 100, 100, 100])], Ok(()));
    assert_eq!(down.last().unwrap(), "event SuccessfulRescale New size: 2; reason: All metrics below target");
    assert!(down.contains(&"ScalingLimited=True TooFewReplicas".to_owned()));
}

#[test]
fn bounds_need_no_metrics() {
    let above = look(&hpa(json!({})), 9, vec![], Ok(()));
    assert_eq!(
        (above[0].as_str(), above.last().unwrap().as_str()),
        ("9 -> 6", "event SuccessfulRescale New size: 6; reason: Current number of replicas above Spec.MaxReplicas")
    );
    let below = look(&hpa(json!({})), 1, vec![], Ok(()));
    assert_eq!(
        below.last().unwrap(),
        "event SuccessfulRescale New size: 2; reason: Current number of replicas below Spec.MinReplicas"
    );
    assert_eq!(
        look(&hpa(json!({})), 0, vec![], Ok(())),
        ["0 -> 0", "AbleToScale=True SucceededGetScale", "ScalingActive=False ScalingDisabled"]
    );
}

#[test]
fn missing_metrics_are_told_and_change_nothing() {
    let missing = || {
        Err("unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)".to_owned())
    };
    let error = "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)";
    let summary = format!(
        "warn FailedComputeMetricsReplicas invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: {error}"
    );
    assert_eq!(
        look(&hpa(json!({})), 3, vec![missing()], Ok(())),
        [
            "3 -> 0",
            "AbleToScale=True SucceededGetScale",
            "ScalingActive=False FailedGetResourceMetric",
            &format!("warn FailedGetResourceMetric {error}"),
            &summary,
        ]
    );
    let target = json!({"type": "Value", "value": "10"});
    let two = hpa(json!({"spec": {"metrics": [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}},
        {"type": "External", "external": {"metric": {"name": "q"}, "target": target}}]}}));
    let up = look(&two, 3, vec![missing(), Ok(Measured::Value(20_000))], Ok(()));
    assert!(
        up[0] == "3 -> 6" && up.contains(&"ScalingActive=True ValidMetricFound".to_owned()),
        "one metric can ask for more: {up:?}"
    );
    let down = look(&two, 3, vec![missing(), Ok(Measured::Value(1_000))], Ok(()));
    assert!(
        down[0] == "3 -> 0" && down.contains(&"ScalingActive=False FailedGetResourceMetric".to_owned()),
        "not for less: {down:?}"
    );
}

#[test]
fn failures_of_the_target_are_told() {
    let failed = look(
        &hpa(json!({"status": {"currentReplicas": 3, "desiredReplicas": 3}})),
        3,
        vec![cpu(&[800, 800, 800])],
        Err("no".into()),
    );
    assert_eq!(failed[..2], ["3 -> 3", "AbleToScale=False FailedUpdateScale"]);
    assert_eq!(
        failed.last().unwrap(),
        "warn FailedRescale New size: 5; reason: cpu resource utilization (percentage of request) above target; error: no"
    );
    let own = hpa(json!({}));
    let mut decision = Decision::new(&own, NOW.parse().unwrap());
    decision.no_scale("no matches for kind \"X\"");
    assert_eq!(
        told(decision.plan()),
        ["0 -> 0", "AbleToScale=False FailedGetScale", "warn FailedGetScale no matches for kind \"X\""]
    );
}

#[test]
fn an_equal_status_is_not_written() {
    let own = hpa(json!({}));
    let mut decision = Decision::new(&own, NOW.parse().unwrap());
    decision.need(scale(3));
    decision.by_metrics(scale(3), &metrics(&own), vec![cpu(&[500, 500, 500])], &pods(3), &mut History::default());
    let plan = decision.plan();
    let crate::plan::Write::Update { body, .. } = &plan.writes[0] else { panic!("{plan}") };
    assert_eq!(body["status"]["observedGeneration"], 2);
    assert_eq!(
        body["status"]["currentMetrics"][0]["resource"]["current"],
        json!({"averageUtilization": 50, "averageValue": "500m"})
    );
    let settled = hpa(json!({"status": body["status"]}));
    assert_eq!(look(&settled, 3, vec![cpu(&[500, 500, 500])], Ok(())), [""; 0]);
}

#[test]
fn zero_is_left_again_by_whoever_went_there() {
    let external = json!([{"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "10"}}}]);
    let at = |condition: &str| {
        hpa(
            json!({"spec": {"minReplicas": 0, "metrics": external}, "status": {"conditions": [{"type": "ScaledToZero", "status": condition}], "desiredReplicas": 0}}),
        )
    };
    let to = look(&at("False"), 2, vec![Ok(Measured::Value(0))], Ok(()));
    assert!(to[0] == "2 -> 0" && to.contains(&"ScaledToZero=True ScaledToZero".to_owned()), "{to:?}");
    let from = look(&at("True"), 0, vec![Ok(Measured::Value(20_000))], Ok(()));
    assert!(from[0] == "0 -> 2" && from.contains(&"ScaledToZero=False NotScaledToZero".to_owned()), "{from:?}");
    assert!(look(&at("False"), 0, vec![], Ok(())).contains(&"ScalingActive=False ScalingDisabled".to_owned()));
}
