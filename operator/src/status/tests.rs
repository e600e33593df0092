//! Observations and the conditions they lead to.

use super::*;
use crate::api::{TenantCluster, TenantClusterSpec};
use crate::report::{Component, Report};
use serde_json::json;

fn time(second: i64) -> Time {
    Time(k8s_openapi::jiff::Timestamp::from_second(second).unwrap())
}

fn observed(spec: serde_json::Value) -> Observed {
    let spec: TenantClusterSpec = serde_json::from_value(spec).unwrap();
    let mut tenant = TenantCluster::new("demo", spec);
    tenant.metadata.namespace = Some("team".into());
    tenant.metadata.generation = Some(3);
    let service = json!({"spec": {"clusterIP": "10.0.0.9", "ports": [{"port": 443, "nodePort": 31443}]}});
    Observed { tenant, service: serde_json::from_value(service).unwrap(), ..Observed::default() }
}

fn running(observed: &mut Observed, healthy: bool) {
    observed.pod = serde_json::from_value(json!({"metadata": {"uid": "p"}})).unwrap();
    let component = Component { healthy, message: if healthy { String::new() } else { "no leader".into() } };
    let components = COMPONENTS.iter().map(|c| ((*c).to_owned(), component.clone())).collect();
    observed.report = Some(Report { pod_uid: "p".into(), version: "v1.37.2".into(), nodes: 2, components });
}

fn condition(status: &TenantClusterStatus, type_: &str) -> String {
    let condition = status.conditions.iter().find(|c| c.type_ == type_).unwrap();
    format!("{} {} {}", condition.status, condition.reason, condition.message)
}

#[test]
fn ready_when_every_part_says_so() {
    let mut observed = observed(json!({}));
    running(&mut observed, true);
    let status = status(&observed, &time(5));
    assert_eq!(condition(&status, "Ready"), "True AllHealthy ");
    assert_eq!(status.endpoint.as_deref(), Some("https://demo.team.svc:443"));
    assert_eq!((status.nodes, status.observed_generation), (Some(2), Some(3)));
}

#[test]
fn a_report_of_an_earlier_pod_counts_as_none() {
    let mut observed = observed(json!({}));
    running(&mut observed, true);
    observed.pod = serde_json::from_value(json!({"metadata": {"uid": "other"}})).unwrap();
    let status = status(&observed, &time(5));
    assert_eq!(condition(&status, "Ready"), "False Starting DatastoreReady: the control plane is starting");
}

#[test]
fn what_is_wrong_is_said_with_its_cure() {
    let mut missing = observed(json!({}));
    missing.storage_class_missing = Some("fast".into());
    let text = condition(&status(&missing, &time(5)), "DatastoreReady");
    assert!(text.starts_with("False StorageClassNotFound StorageClass \"fast\" does not exist"), "{text}");
    let mut taken = observed(json!({}));
    taken.foreign.push("Service demo".into());
    let text = condition(&status(&taken, &time(5)), "Ready");
    assert!(text.starts_with("False NameTaken Service demo exists already"), "{text}");
}

#[test]
fn transition_times_move_with_the_status_only() {
    let mut observed = observed(json!({}));
    running(&mut observed, true);
    observed.tenant.status = Some(status(&observed, &time(5)));
    let again = status(&observed, &time(9));
    assert!(again.conditions.iter().all(|c| c.last_transition_time == time(5)));
    running(&mut observed, false);
    let worse = status(&observed, &time(9));
    let moved: Vec<&str> =
        worse.conditions.iter().filter(|c| c.last_transition_time == time(9)).map(|c| c.type_.as_str()).collect();
    assert_eq!(moved.len(), 7, "all but Exposed: {moved:?}");
}

#[test]
fn endpoints_by_kind_of_exposure() {
    let mut node = observed(json!({"expose": {"type": "NodePort"}}));
    assert_eq!(endpoint(&node), None);
    node.node_address = Some("192.0.2.4".into());
    assert_eq!(endpoint(&node).as_deref(), Some("https://192.0.2.4:31443"));
    let balanced = observed(json!({"expose": {"type": "LoadBalancer"}}));
    assert_eq!(endpoint(&balanced), None);
    assert_eq!(exposed(&balanced).reason, "WaitingForLoadBalancer");
}
