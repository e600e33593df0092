//! Jobs as text; cases of upstream's `job_controller_test.go`.

use super::*;
use crate::pods::testing::{merge, pod};
use serde_json::Value;

const NOW: &str = "2024-01-01T01:00:00Z";

fn job(spec: Value, status: Value) -> Arc<Job> {
    let mut tree = json!({
        "metadata": {"name": "j", "namespace": "ns", "uid": "j", "resourceVersion": "1"},
        "spec": {"parallelism": 2, "completions": 2, "backoffLimit": 6, "selector": {"matchLabels": {"job": "j"}},
            "template": {"metadata": {"labels": {"job": "j"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}},
        "status": {"startTime": "2024-01-01T00:00:00Z"},
    });
    merge(&mut tree["spec"], spec);
    merge(&mut tree["status"], status);
    Arc::new(serde_json::from_value(tree).unwrap())
}

fn member(name: &str, phase: &str, more: Value) -> Arc<Pod> {
    let mut tree = json!({"metadata": {"labels": {"job": "j"}, "finalizers": [FINALIZER], "creationTimestamp": "2024-01-01T00:00:00Z",
        "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j", "controller": true}]}, "status": {"phase": phase}});
    merge(&mut tree, more);
    pod(name, tree)
}

fn indexed(name: &str, phase: &str, index: i32) -> Arc<Pod> {
    member(name, phase, json!({"metadata": {"annotations": {INDEX: index.to_string()}}}))
}

/// The plan without statuses, then the status.
fn run(job: Arc<Job>, candidates: Vec<Arc<Pod>>) -> (Vec<String>, Value) {
    let plan = plan(&Observed::There { job, candidates }, NOW.parse().unwrap());
    let mut status = Value::Null;
    let mut lines: Vec<String> = Vec::new();
    for write in &plan.writes {
        match write {
            crate::plan::Write::Update { body, .. } => status = body["status"].clone(),
            other => lines.push(other.to_string().split(" {").next().unwrap_or_default().to_owned()),
        }
    }
    lines.extend(plan.requeue.map(|delay| format!("again in {delay:?}")));
    (lines, status)
}

fn kinds(status: &Value) -> Vec<String> {
    crate::conditions::read(status).iter().map(|own| format!("{} {}", own.kind, own.reason)).collect()
}

#[test]
fn missing_pods_are_made_with_a_finalizer() {
    let job = job(json!({}), json!({}));
    let (lines, status) = run(job.clone(), vec![]);
    assert_eq!(lines, ["create pods ns/j-", "create pods ns/j-"]);
    assert_eq!(status["active"], 2);
    let told = plan(&Observed::There { job, candidates: vec![] }, NOW.parse().unwrap());
    let crate::plan::Write::Create { body, .. } = &told.writes[0] else { panic!("no creation") };
    assert_eq!(body["metadata"]["finalizers"], json!([FINALIZER]));
}

#[test]
fn a_pod_is_noted_then_released_then_counted() {
    let (lines, status) = run(
        job(json!({}), json!({"active": 2})),
        vec![member("a", "Succeeded", json!({})), member("b", "Running", json!({}))],
    );
    assert_eq!(lines, ["patch pods ns/a"]);
    assert_eq!(
        (status["uncountedTerminatedPods"]["succeeded"].clone(), status["succeeded"].clone()),
        (json!(["uid-a"]), json!(0))
    );
    let released = member("a", "Succeeded", json!({"metadata": {"finalizers": []}}));
    let before = json!({"active": 1, "uncountedTerminatedPods": {"succeeded": ["uid-a"]}});
    let (lines, status) = run(job(json!({}), before), vec![released, member("b", "Running", json!({}))]);
    assert_eq!((lines.len(), status["succeeded"].clone()), (0, json!(1)));
}

#[test]
fn the_last_success_completes_the_job() {
    let released = |name: &str| member(name, "Succeeded", json!({"metadata": {"finalizers": []}}));
    let before = json!({"succeeded": 1, "uncountedTerminatedPods": {"succeeded": ["uid-a"]}});
    let (lines, status) = run(job(json!({}), before), vec![released("a"), released("b")]);
    assert_eq!(lines, ["event Completed Job completed"]);
    assert_eq!(kinds(&status), ["SuccessCriteriaMet CompletionsReached", "Complete CompletionsReached"]);
    assert_eq!(status["completionTime"], NOW);
}

#[test]
fn failures_back_off_and_end_the_job_at_the_limit() {
    let failed = |name: &str| {
        member(
            name,
            "Failed",
            json!({"status": {"containerStatuses": [
        {"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 1, "finishedAt": "2024-01-01T00:59:55Z"}}}]}}),
        )
    };
    let (lines, _) = run(job(json!({"completions": 1}), json!({})), vec![failed("a")]);
    assert_eq!(lines, ["patch pods ns/a", "again in 5s"]);
    let (lines, status) =
        run(job(json!({"backoffLimit": 0}), json!({})), vec![failed("a"), member("b", "Running", json!({}))]);
    assert_eq!(lines, ["delete pods ns/b", "patch pods ns/a", "patch pods ns/b"]);
    assert_eq!(kinds(&status), ["FailureTarget BackoffLimitExceeded"]);
}

#[test]
fn a_deadline_ends_the_job() {
    let (lines, status) = run(job(json!({"activeDeadlineSeconds": 60}), json!({})), vec![]);
    assert_eq!(lines, ["warn DeadlineExceeded Job was active longer than specified deadline"]);
    assert_eq!(kinds(&status), ["FailureTarget DeadlineExceeded", "Failed DeadlineExceeded"]);
}

#[test]
fn suspension_deletes_and_is_noted() {
    let (lines, status) = run(job(json!({"suspend": true}), json!({})), vec![member("a", "Running", json!({}))]);
    assert_eq!(lines[0], "delete pods ns/a");
    assert_eq!((kinds(&status), status["startTime"].clone()), (vec!["Suspended JobSuspended".to_owned()], Value::Null));
}

#[test]
fn indexes_are_filled_once_each() {
    let spec = json!({"completionMode": "Indexed", "completions": 4, "parallelism": 3});
    let pods = vec![indexed("a", "Succeeded", 0), indexed("b", "Running", 2), indexed("c", "Running", 2)];
    let (lines, _) = run(job(spec.clone(), json!({})), pods);
    assert!(lines[0].starts_with("delete pods ns/"), "a repeated index goes first: {lines:?}");
    let (lines, status) = run(job(spec, json!({})), vec![indexed("a", "Succeeded", 0), indexed("b", "Running", 2)]);
    assert_eq!(lines, ["create pods ns/j-1-", "create pods ns/j-3-", "patch pods ns/a"]);
    assert_eq!((status["completedIndexes"].clone(), status["succeeded"].clone()), (json!("0"), json!(1)));
}

#[test]
fn policies_decide_about_failures_and_success() {
    let policy = json!({"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}});
    let failed = member(
        "a",
        "Failed",
        json!({"status": {"containerStatuses": [
        {"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 42}}}]}}),
    );
    let (_, status) = run(job(policy, json!({})), vec![failed]);
    assert_eq!(
        status["conditions"][0]["message"],
        "Container c for pod ns/a failed with exit code 42 matching FailJob rule at index 0"
    );
    let policy =
        json!({"completionMode": "Indexed", "completions": 3, "successPolicy": {"rules": [{"succeededIndexes": "0"}]}});
    let (_, status) = run(job(policy, json!({})), vec![indexed("a", "Succeeded", 0), indexed("b", "Running", 1)]);
    assert_eq!(kinds(&status), ["SuccessCriteriaMet SuccessPolicy"]);
}

#[test]
fn pods_of_a_job_that_is_gone_are_released() {
    let told = plan(&Observed::Gone(vec![member("a", "Running", json!({}))]), NOW.parse().unwrap());
    assert_eq!(told.writes.len(), 1);
}
