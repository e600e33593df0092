//! Slices of Services; cases of upstream's `reconciler_test.go`.

use super::*;
use crate::plan::Write;
use crate::pods::testing::{merge, pod, ready};
use serde_json::json;

fn service(more: Value) -> Arc<Service> {
    let mut tree = json!({"metadata": {"name": "s", "namespace": "ns", "uid": "s", "labels": {"l": "1"}},
        "spec": {"selector": {"app": "a"}, "clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"], "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}});
    merge(&mut tree, more);
    Arc::new(serde_json::from_value(tree).unwrap())
}

fn backend(index: usize, more: Value) -> Arc<Pod> {
    let mut tree = json!({"metadata": {"labels": {"app": "a"}}, "status": {"podIPs": [{"ip": format!("10.1.{}.{}", index / 200, index % 200)}]}, "spec": {"nodeName": "n"}});
    merge(&mut tree, ready("2024-01-01T00:00:00Z"));
    merge(&mut tree, more);
    pod(&format!("p{index:03}"), tree)
}

fn observe(service: Arc<Service>, pods: Vec<Arc<Pod>>, slices: Vec<Arc<EndpointSlice>>) -> Observed {
    let node = json!({"metadata": {"name": "n", "labels": {ZONE_LABEL: "z"}}});
    let nodes = HashMap::from([("n".to_owned(), Arc::new(serde_json::from_value(node).unwrap()))]);
    Observed { service, pods, slices, nodes }
}

/// The slices after a plan, named in the order of their making.
fn run(
    service: &Arc<Service>,
    pods: &[Arc<Pod>],
    slices: Vec<Arc<EndpointSlice>>,
) -> (Vec<String>, Vec<Arc<EndpointSlice>>) {
    let mut state: BTreeMap<String, Arc<EndpointSlice>> =
        slices.into_iter().map(|slice| (slice.name().to_owned(), slice)).collect();
    let plan = plan(&observe(service.clone(), pods.to_vec(), state.values().cloned().collect()));
    for write in &plan.writes {
        match write {
            Write::Create { body, .. } => {
                let mut slice: EndpointSlice = serde_json::from_value(body.clone()).unwrap();
                let name = format!("s-{}", state.len());
                slice.metadata.name = Some(name.clone());
                state.insert(name, Arc::new(slice));
            }
            Write::Update { target, body } => {
                state.insert(target.name.clone(), Arc::new(serde_json::from_value(body.clone()).unwrap()));
            }
            Write::Delete { target, .. } => {
                state.remove(&target.name);
            }
            _ => panic!("unexpected {write}"),
        }
    }
    (plan.writes.iter().map(ToString::to_string).collect(), state.into_values().collect())
}

fn sizes(slices: &[Arc<EndpointSlice>]) -> Vec<usize> {
    slices.iter().map(|slice| slice.endpoints.as_ref().map_or(0, Vec::len)).collect()
}

#[test]
fn a_service_without_pods_has_a_placeholder_that_is_reused() {
    let service = service(json!({}));
    let (writes, slices) = run(&service, &[], vec![]);
    assert_eq!(writes, ["create endpointslices.discovery.k8s.io ns/s-"]);
    assert_eq!(run(&service, &[], slices.clone()).0, [""; 0]);
    let (writes, slices) = run(&service, &[backend(1, json!({}))], slices);
    assert_eq!((writes, sizes(&slices)), (vec!["update endpointslices.discovery.k8s.io ns/s-0".to_owned()], vec![1]));
    let labels = slices[0].metadata.labels.clone().unwrap();
    assert_eq!(json!(labels), json!({"l": "1", SERVICE_LABEL: "s", MANAGER_LABEL: MANAGER}));
    let endpoint = &slices[0].endpoints.as_ref().unwrap()[0];
    assert_eq!(endpoint.zone.as_deref(), Some("z"));
}

#[test]
fn slices_hold_a_hundred_and_endpoints_keep_their_place() {
    let service = service(json!({}));
    let pods: Vec<_> = (0..250).map(|index| backend(index, json!({}))).collect();
    let (writes, slices) = run(&service, &pods, vec![]);
    assert_eq!((writes.len(), sizes(&slices)), (3, vec![100, 100, 50]));
    let (writes, slices) = run(&service, &pods[..249], slices);
    assert_eq!((writes.len(), sizes(&slices)), (1, vec![100, 100, 49]));
    assert_eq!(run(&service, &pods[..249], slices).0, [""; 0]);
}

#[test]
fn conditions_tell_ready_serving_and_terminating() {
    let gone = json!({"metadata": {"deletionTimestamp": "2024-01-01T00:00:00Z"}});
    let cases = [
        (json!({}), json!({}), (true, true, false)),
        (json!({}), gone.clone(), (false, true, true)),
        (json!({"spec": {"publishNotReadyAddresses": true}}), gone, (true, true, true)),
        (json!({}), json!({"status": {"conditions": []}}), (false, false, false)),
    ];
    for (spec, state, (ready, serving, terminating)) in cases {
        let (_, slices) = run(&service(spec), &[backend(1, state.clone())], vec![]);
        let conditions = slices[0].endpoints.as_ref().unwrap()[0].conditions.clone().unwrap();
        let expected =
            EndpointConditions { ready: Some(ready), serving: Some(serving), terminating: Some(terminating) };
        assert_eq!(conditions, expected, "{state}");
    }
}

#[test]
fn traffic_distribution_becomes_hints() {
    let (_, slices) =
        run(&service(json!({"spec": {"trafficDistribution": "PreferClose"}})), &[backend(1, json!({}))], vec![]);
    let hints = slices[0].endpoints.as_ref().unwrap()[0].hints.clone();
    assert_eq!(json!(hints), json!({"forZones": [{"name": "z"}]}));
}
