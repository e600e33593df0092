//! Cases of upstream's `replica_calculator_test.go`.

use super::*;
use crate::pods::testing::{merge, pod};
use serde_json::{Value, json};

const NOW: &str = "2024-01-01T01:00:00Z";

fn pods(count: usize, unready: &[usize], more: &[(usize, Value)]) -> Vec<Arc<Pod>> {
    let make = |index: usize| {
        let ready = if unready.contains(&index) { "False" } else { "True" };
        let mut tree = json!({
            "spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "1", "memory": "100"}}}]},
            "status": {"phase": "Running", "startTime": "2024-01-01T00:00:00Z",
                "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2024-01-01T00:00:00Z"}]}});
        for (_, more) in more.iter().filter(|(own, _)| *own == index) {
            merge(&mut tree, more.clone());
        }
        pod(&format!("p{index}"), tree)
    };
    (0..count).map(make).collect()
}

fn samples(values: &[i64]) -> Samples {
    let sample =
        |value: &i64| Sample { time: NOW.parse().unwrap(), window: SignedDuration::from_secs(60), value: *value };
    values.iter().enumerate().map(|(index, value)| (format!("p{index}"), sample(value))).collect()
}

fn context(pods: &[Arc<Pod>]) -> Context<'_> {
    Context { pods, tolerances: Tolerances { down: 0.1, up: 0.1 }, now: NOW.parse().unwrap() }
}

fn cpu(pods: &[Arc<Pod>], current: i32, target: i32, values: &[i64]) -> Result<(i32, i32), String> {
    utilization(context(pods), current, samples(values), target, "cpu", None).map(|told| (told.replicas, told.percent))
}

#[test]
fn utilization_moves_replicas() {
    assert_eq!(cpu(&pods(3, &[], &[]), 3, 30, &[300, 500, 700]), Ok((5, 50)), "up");
    assert_eq!(cpu(&pods(5, &[], &[]), 5, 50, &[100, 300, 500, 250, 250]), Ok((3, 28)), "down");
    assert_eq!(cpu(&pods(3, &[], &[]), 3, 100, &[1010, 1030, 1020]), Ok((3, 102)), "within the tolerance");
    assert_eq!(cpu(&pods(3, &[2], &[]), 3, 30, &[300, 500, 700]), Ok((3, 40)), "an unready pod takes nothing");
    assert_eq!(cpu(&pods(3, &[0], &[]), 3, 50, &[100, 500, 700]), Ok((3, 60)), "an unready pod turns nothing");
    let pending = [(2, json!({"status": {"phase": "Pending"}}))];
    assert_eq!(cpu(&pods(3, &[], &pending), 3, 30, &[300, 500]), Ok((3, 40)));
    let failed = [(0, json!({"status": {"phase": "Failed"}})), (1, json!({"metadata": {"deletionTimestamp": NOW}}))];
    assert_eq!(
        cpu(&pods(4, &[], &failed), 2, 30, &[1, 1, 300, 900]),
        Ok((4, 60)),
        "the failed and the going are no pods"
    );
}

#[test]
fn pods_without_metrics_hold_back() {
    assert_eq!(cpu(&pods(4, &[], &[]), 4, 40, &[300, 500, 700]), Ok((4, 50)), "no usage when scaling up");
    assert_eq!(cpu(&pods(4, &[], &[]), 4, 50, &[100, 100, 100]), Ok((3, 10)), "full usage when scaling down");
    assert_eq!(cpu(&pods(2, &[], &[]), 2, 100, &[1000]), Ok((2, 100)), "missing pods on target");
    assert_eq!(cpu(&pods(6, &[], &[]), 6, 50, &[800]), Ok((6, 80)), "never turned around");
}

#[test]
fn starting_pods_do_not_count_for_cpu() {
    let starting = [(
        2,
        json!({"status": {"startTime": "2024-01-01T00:59:30Z", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2024-01-01T00:59:40Z"}]}}),
    )];
    assert_eq!(
        cpu(&pods(3, &[], &starting), 3, 30, &[300, 500, 900]),
        Ok((3, 40)),
        "less than a window after it got ready"
    );
    let later = [(
        0,
        json!({"status": {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2024-01-01T00:30:00Z"}]}}),
    )];
    assert_eq!(cpu(&pods(3, &[0], &later), 3, 30, &[300, 500, 700]), Ok((5, 50)), "was ready once");
    let memory = average(context(&pods(3, &[0, 1, 2], &[])), 3, samples(&[300, 500, 700]), 300, Some("memory"));
    assert_eq!(memory, Ok((5, 500)), "readiness is for CPU only");
}

#[test]
fn what_cannot_be_calculated_is_said() {
    assert_eq!(cpu(&[], 1, 50, &[100]), Err("no pods returned by selector while calculating replica count".into()));
    assert_eq!(
        cpu(&pods(1, &[0], &[]), 1, 50, &[100]),
        Err("did not receive metrics for targeted pods (pods might be unready)".into())
    );
    let bare = [(0, json!({"spec": {"containers": [{"name": "a"}]}}))];
    assert_eq!(
        cpu(&pods(1, &[], &bare), 1, 50, &[100]),
        Err("missing request for cpu in container a of Pod p0".into())
    );
    let none = utilization(context(&pods(1, &[], &[])), 1, samples(&[100]), 50, "cpu", Some("b"));
    assert_eq!(none, Err("container b not found in Pod p0".into()));
    let whole = [(0, json!({"spec": {"resources": {"requests": {"cpu": "2"}}, "containers": [{"name": "a"}]}}))];
    assert_eq!(cpu(&pods(1, &[], &whole), 1, 50, &[2000]), Ok((2, 100)), "requests of the pod as a whole");
}

#[test]
fn plain_values_are_averaged() {
    let plain = |count: usize, current: i32, target: i64, values: &[i64]| {
        average(context(&pods(count, &[], &[])), current, samples(values), target, None)
    };
    assert_eq!(plain(3, 3, 15_000, &[20_000, 10_000, 30_000]), Ok((4, 20_000)));
    assert_eq!(plain(5, 5, 20_000, &[12_000, 12_000, 12_000, 12_000, 12_000]), Ok((3, 12_000)));
    assert_eq!(plain(3, 3, 20_666, &[20_000, 21_000, 21_000]), Ok((3, 20_666)));
    assert_eq!(plain(4, 4, 10_000, &[20_000, 20_000, 20_000]), Ok((6, 20_000)), "missing pods take nothing");
}

#[test]
fn one_value_is_for_all() {
    let three = pods(3, &[], &[]);
    assert_eq!(total(context(&three), 3, 20_000, 15_000), Ok(4));
    assert_eq!(total(context(&three), 3, 15_000, 15_000), Ok(3));
    assert_eq!(total(context(&pods(3, &[0], &[])), 3, 50_000, 15_000), Ok(7), "of the ready ones");
    assert_eq!(total(context(&[]), 0, 20_000, 15_000), Ok(2), "from zero");
    assert_eq!(total(context(&[]), 0, 0, 15_000), Ok(0));
    let tolerances = Tolerances { down: 0.1, up: 0.1 };
    assert_eq!(per_pod(tolerances, 3, 8_600, 2_150), (4, 2_867));
    assert_eq!(per_pod(tolerances, 4, 8_600, 2_150), (4, 2_150));
}
