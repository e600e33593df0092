//! Rows as upstream prints them, case by case.

use super::*;
use serde_json::json;

const CREATED: &str = "2024-01-01T00:00:00Z";

fn row(group: &str, kind: &str, mut object: Value) -> Vec<Value> {
    object["metadata"]["name"] = "x".into();
    object["metadata"]["creationTimestamp"] = CREATED.into();
    let now: Timestamp = "2024-01-01T00:05:00Z".parse().expect("time");
    cells(group, kind, &object, now)
}

#[test]
fn every_row_is_as_long_as_its_header() {
    for printed in PRINTED {
        // Addresses show an age that no column is for, as upstream's do.
        let more = usize::from(printed.kind == "IPAddress");
        let want = columns(printed.group, printed.kind).len() + more;
        assert_eq!(row(printed.group, printed.kind, json!({})).len(), want, "{}", printed.kind);
    }
}

#[test]
fn every_listed_kind_is_served_or_known() {
    for printed in PRINTED {
        let known = crate::types::kinds().any(|(group, _, kind, _)| group == printed.group && kind == printed.kind);
        assert!(known, "{}/{}", printed.group, printed.kind);
    }
}

#[test]
fn headers_carry_types_formats_and_priorities() {
    let event = columns("", "Event");
    assert_eq!(event[0].name, "Last Seen");
    let description = "The number of times this event has occurred.";
    assert_eq!(event[8], Column { name: "Count", kind: "string", format: "", description, priority: 1 });
    let replica_set = columns("apps", "ReplicaSet");
    assert_eq!(replica_set[0].format, "name");
    assert_eq!(replica_set.last().map(|c| (c.name, c.priority)), Some(("Selector", 1)));
    let unlisted: Vec<_> = columns("", "LimitRange").iter().map(|c| (c.name, c.kind)).collect();
    assert_eq!(unlisted, [("Name", "string"), ("Created At", "date")]);
    assert_eq!(row("", "LimitRange", json!({})), [json!("x"), json!(CREATED)]);
}

#[test]
fn pods_show_the_state_of_their_containers() {
    let running = json!({"running": {"startedAt": CREATED}});
    let cases = [
        (json!({"status": {"phase": "Pending"}}), "0/2", "Pending", "0"),
        (
            json!({"status": {"phase": "Running", "containerStatuses": [
                {"ready": true, "restartCount": 3, "state": running, "lastState": {"terminated": {"finishedAt": "2024-01-01T00:03:00Z"}}},
                {"ready": false, "state": running}]}}),
            "1/2",
            "Running",
            "3 (2m ago)",
        ),
        (
            json!({"status": {"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}, {"ready": true, "state": running}]}}),
            "1/2",
            "CrashLoopBackOff",
            "0",
        ),
        (
            json!({"status": {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]}}),
            "0/2",
            "ExitCode:3",
            "0",
        ),
        (
            json!({"status": {"phase": "Running", "containerStatuses": [
                {"ready": true, "state": running}, {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}}),
            "1/2",
            "NotReady",
            "0",
        ),
        (
            json!({"spec": {"initContainers": [{"name": "a"}, {"name": "b"}]}, "status": {"phase": "Pending",
                "initContainerStatuses": [{"name": "a", "state": {"terminated": {"exitCode": 0}}}, {"name": "b", "state": {"waiting": {"reason": "PodInitializing"}}}]}}),
            "0/2",
            "Init:1/2",
            "0",
        ),
        (
            json!({"spec": {"initContainers": [{"name": "a", "restartPolicy": "Always"}]}, "status": {"phase": "Running",
                "initContainerStatuses": [{"name": "a", "started": true, "ready": true, "restartCount": 1, "state": running}],
                "containerStatuses": [{"ready": true, "state": running}, {"ready": true, "state": running}]}}),
            "3/3",
            "Running",
            "1",
        ),
        (
            json!({"metadata": {"deletionTimestamp": CREATED}, "status": {"phase": "Running"}}),
            "0/2",
            "Terminating",
            "0",
        ),
        (
            json!({"metadata": {"deletionTimestamp": CREATED}, "status": {"phase": "Running", "reason": "NodeLost"}}),
            "0/2",
            "Unknown",
            "0",
        ),
        (
            json!({"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]}}),
            "0/2",
            "SchedulingGated",
            "0",
        ),
    ];
    for (mut pod, ready, status, restarts) in cases {
        pod["spec"]["containers"] = json!([{}, {}]);
        let got = row("", "Pod", pod.clone());
        assert_eq!(got[1..5], [ready, status, restarts, "5m"].map(Value::from), "{pod}");
    }
}

#[test]
fn workloads_show_counts_and_selectors() {
    let template = json!({"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j"}]}});
    let selector = json!({"matchLabels": {"app": "x"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["2", "1"]}]});
    let deployment = json!({"spec": {"replicas": 3, "template": template, "selector": selector}, "status": {"readyReplicas": 1, "updatedReplicas": 2}});
    let want = json!(["x", "1/3", 2, 0, "5m", "a,b", "i:1,j", "a in (1,2),app=x"]);
    assert_eq!(Value::from(row("apps", "Deployment", deployment)), want);
    let job = json!({"spec": {"completions": 2}, "status": {"succeeded": 1, "startTime": "2024-01-01T00:01:00Z", "conditions": [{"type": "Suspended", "status": "True"}]}});
    assert_eq!(Value::from(row("batch", "Job", job)[..5].to_vec()), json!(["x", "Suspended", "1/2", "4m", "5m"]));
    let quota = json!({"status": {"hard": {"pods": "4", "limits.cpu": "2"}, "used": {"pods": "1"}}});
    assert_eq!(Value::from(row("", "ResourceQuota", quota)), json!(["x", "pods: 1/4", "limits.cpu: 0/2", "5m"]));
}

#[test]
fn services_nodes_and_volumes_show_their_addresses_and_states() {
    let service = json!({"spec": {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"], "externalIPs": ["1.2.3.4"],
        "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "9.9.9.9"}, {"hostname": "h"}]}}});
    let want = json!(["x", "LoadBalancer", "10.0.0.1", "9.9.9.9,h,1.2.3.4", "80:30080/TCP,53/UDP", "5m", "<none>"]);
    assert_eq!(Value::from(row("", "Service", service)), want);
    let endpoints =
        json!({"subsets": [{"addresses": [{"ip": "a"}, {"ip": "b"}], "ports": [{"port": 1}, {"port": 2}]}]});
    assert_eq!(row("", "Endpoints", endpoints)[1], "a:1,b:1,a:2 + 1 more...");
    let node = json!({"metadata": {"labels": {"node-role.kubernetes.io/worker": ""}}, "spec": {"unschedulable": true},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown"}], "nodeInfo": {"kubeletVersion": "v1.37.2", "kernelVersion": "6", "architecture": "amd64"}}});
    let want = json!([
        "x",
        "NotReady,SchedulingDisabled",
        "worker",
        "5m",
        "v1.37.2",
        "<none>",
        "<none>",
        "<unknown>",
        "6 (amd64)",
        "<unknown>"
    ]);
    assert_eq!(Value::from(row("", "Node", node)), want);
    let claim = json!({"spec": {"volumeName": "v", "storageClassName": "s"}, "status": {"phase": "Bound", "accessModes": ["ReadWriteMany", "ReadWriteOnce"], "capacity": {"storage": "1Gi"}}});
    assert_eq!(
        Value::from(row("", "PersistentVolumeClaim", claim)),
        json!(["x", "Bound", "v", "1Gi", "RWO,RWX", "s", "<unset>", "5m", "<unset>"])
    );
}

#[test]
fn events_of_both_groups_look_alike() {
    let old = json!({"involvedObject": {"kind": "Pod", "name": "p"}, "type": "Normal", "reason": "R", "message": " m\n",
        "firstTimestamp": CREATED, "lastTimestamp": "2024-01-01T00:04:00Z", "count": 2, "source": {"component": "c", "host": "h"}});
    let want = json!(["60s", "Normal", "R", "pod/p", "", "c, h", "m", "5m", 2, "x"]);
    assert_eq!(Value::from(row("", "Event", old)), want);
    let new = json!({"regarding": {"kind": "Pod", "name": "p"}, "note": "m", "eventTime": "2024-01-01T00:03:00.000000Z", "reportingController": "c"});
    assert_eq!(
        Value::from(row("events.k8s.io", "Event", new)),
        json!(["2m", "", "", "pod/p", "", "c", "m", "2m", 1, "x"])
    );
}
