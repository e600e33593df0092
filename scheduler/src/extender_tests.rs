//! An extender over a scripted service.

use super::*;
use crate::testing::{node, object, world};
use http::Response;
use std::sync::Mutex;

/// The path and the body of each call.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// Answers every call with `answer`, and keeps what was asked.
fn extender(config: Value, answer: Value) -> (Extender, Asked) {
    let asked: Asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (log, answer) = (log.clone(), answer.clone());
        async move {
            let path = request.uri().path().to_owned();
            let bytes = request.into_body().collect_bytes().await?;
            log.lock().unwrap().push((path, serde_json::from_slice(&bytes).unwrap()));
            Ok::<_, kube::Error>(Response::new(Body::from(answer.to_string().into_bytes())))
        }
    });
    let config: ExtenderConfig = serde_json::from_value(config).unwrap();
    (Extender::with_client(&config, Client::new(service, "default")), asked)
}

fn nodes() -> Vec<Arc<NodeInfo>> {
    ["a", "b", "c"].map(|name| Arc::new(node(name, json!({})))).into()
}

#[tokio::test]
async fn nodes_are_filtered() {
    let config = json!({"urlPrefix": "http://e/", "filterVerb": "filter", "nodeCacheCapable": true});
    let answer = json!({
        "NodeNames": ["b"], "FailedNodes": {"a": "full", "c": "odd"}, "FailedAndUnresolvableNodes": {"c": "gone"},
    });
    let (extender, asked) = extender(config, answer);
    let left = extender.filter(&object(json!({"metadata": {"name": "p"}, "spec": {}})).pod, &nodes()).await.unwrap();
    assert_eq!(left.nodes.iter().map(|node| node.name()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(left.failed, BTreeMap::from([("a".to_owned(), "full".to_owned())]));
    assert_eq!(left.unresolvable, BTreeMap::from([("c".to_owned(), "gone".to_owned())]));
    let (path, body) = asked.lock().unwrap().remove(0);
    assert_eq!((path.as_str(), &body["NodeNames"], &body["Nodes"]), ("/filter", &json!(["a", "b", "c"]), &Value::Null));
}

#[tokio::test]
async fn nodes_are_sent_whole_to_those_who_do_not_know_them() {
    let config = json!({"urlPrefix": "http://e", "filterVerb": "filter"});
    let answer = json!({"Nodes": {"items": [{"metadata": {"name": "c"}}, {"metadata": {"name": "a"}}]}});
    let (extender, asked) = extender(config, answer);
    let pod = object(json!({"metadata": {"name": "p"}, "spec": {}}));
    let left = extender.filter(&pod.pod, &nodes()).await.unwrap();
    assert_eq!(left.nodes.iter().map(|node| node.name()).collect::<Vec<_>>(), ["c", "a"]);
    assert_eq!(asked.lock().unwrap()[0].1["Nodes"]["items"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn what_it_says_itself_and_nodes_that_nobody_asked_about_are_errors() {
    let config = json!({"urlPrefix": "http://e", "filterVerb": "f", "nodeCacheCapable": true});
    let cases = [
        (json!({"Error": "no"}), "no"),
        (
            json!({"NodeNames": ["z"]}),
            "extender \"http://e\" claims a filtered node \"z\" which is not found in the input node list",
        ),
    ];
    for (answer, expected) in cases {
        let (extender, _) = extender(config.clone(), answer);
        let pod = object(json!({"metadata": {"name": "p"}, "spec": {}}));
        let error = extender.filter(&pod.pod, &nodes()).await.map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test]
async fn it_scores_binds_and_chooses_victims() {
    let pod = object(json!({"metadata": {"name": "p"}, "spec": {"priority": 9}}));
    let config = json!({"urlPrefix": "http://e", "prioritizeVerb": "p", "weight": 2});
    let (scorer, _) = extender(config, json!([{"Host": "a", "Score": 7}]));
    assert_eq!(scorer.prioritize(&pod.pod, &nodes()).await.unwrap(), [("a".to_owned(), 7)]);
    let (binder, asked) = extender(json!({"urlPrefix": "http://e", "bindVerb": "b"}), json!({}));
    binder.bind(&pod.pod, "a").await.unwrap();
    let expected = json!({"PodName": "p", "PodNamespace": "default", "PodUID": "p", "Node": "a"});
    assert_eq!(asked.lock().unwrap()[0], ("/b".to_owned(), expected));
    let victim = object(json!({"metadata": {"name": "v"}, "spec": {}}));
    let mut cache = world(vec![(node("a", json!({})), vec![victim.clone()])]);
    let config = json!({"urlPrefix": "http://e", "preemptVerb": "v", "nodeCacheCapable": true});
    let answer = json!({"NodeNameToMetaVictims": {"a": {"Pods": [{"UID": "v"}], "NumPDBViolations": 1}}});
    let (chooser, asked) = extender(config, answer);
    let candidate = Candidate { node: "a".to_owned(), victims: vec![victim], violations: 0 };
    let chosen = chooser.preempt(&pod.pod, &[candidate], cache.snapshot()).await.unwrap();
    assert_eq!((chosen[0].victims[0].name(), chosen[0].violations), ("v", 1));
    assert_eq!(asked.lock().unwrap()[0].1["NodeNameToMetaVictims"]["a"]["Pods"], json!([{"UID": "v"}]));
}

#[test]
fn pods_that_ask_for_nothing_of_its_are_none_of_its_business() {
    let config = json!({"urlPrefix": "http://e", "managedResources": [{"name": "example.com/a"}]});
    let config: ExtenderConfig = serde_json::from_value(config).unwrap();
    let service = tower::service_fn(|_: Request<Body>| async { Ok::<_, kube::Error>(Response::new(Body::empty())) });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _guard = runtime.enter();
    let extender = Extender::with_client(&config, Client::new(service, "default"));
    let asks = |name: &str| json!({"containers": [{"name": "c", "resources": {"limits": {name: "1"}}}]});
    for (resource, interested) in [("example.com/a", true), ("cpu", false)] {
        let pod = object(json!({"metadata": {"name": "p"}, "spec": asks(resource)}));
        assert_eq!(extender.is_interested(&pod.pod), interested, "{resource}");
    }
}

#[test]
fn durations_are_read_as_go_writes_them() {
    let cases = [
        ("5s", Some(5000)),
        ("1m30s", Some(90_000)),
        ("100ms", Some(100)),
        ("1.5h", Some(5_400_000)),
        ("5", None),
        ("x", None),
    ];
    for (text, millis) in cases {
        assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
    }
}
