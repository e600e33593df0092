//! Flow control and audit around a whole server, seen from its answers and its events.

use apimachinery::clock::{Clock, SeededRng};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use vcluster_apiserver::audit::event::Event;
use vcluster_apiserver::audit::policy::Policy;
use vcluster_apiserver::audit::{Audit, Sink};
use vcluster_apiserver::backend::Backend;
use vcluster_apiserver::flowcontrol::{FlowControl, SEATS, bootstrap};
use vcluster_apiserver::registry::builtin;
use vcluster_apiserver::registry::special::Specials;
use vcluster_apiserver::server::guards::Guards;
use vcluster_apiserver::testing::TestServer;

#[derive(Default)]
struct Kept(Mutex<Vec<Value>>);

impl Sink for Kept {
    fn write(&self, event: &Arc<Event>) {
        let event = serde_json::to_value(&**event).expect("events are JSON");
        self.0.lock().expect("no test panics while it writes").push(event);
    }
}

impl Kept {
    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.0.lock().expect("no test panics while it writes"))
    }
}

async fn world(policy: &str) -> (TestServer, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let policy = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: {policy}\n");
    let policy = Policy::parse(&policy).expect("tests write policies that can be read");
    let sink = kept.clone();
    let server = TestServer::guarded(builtin::snapshot(), Vec::new(), Specials::default(), async |cache, clock| {
        let rng = Arc::new(SeededRng::new(7));
        let backend = Backend { storage: cache.clone() };
        bootstrap::ensure(&backend, clock.now(), &*rng).await.expect("memory takes every write");
        let loaded = FlowControl::load(cache, clock.clone(), rng, SEATS).await.expect("memory is read");
        let audit = Audit::new(policy, vec![sink], clock);
        Guards { flow: Some(loaded.0), audit: Some(Arc::new(audit)), ..Guards::default() }
    });
    (server.await.expect("a server over memory starts"), kept)
}

#[tokio::test]
async fn every_answer_says_how_its_request_was_classified() {
    let (server, _) = world("[{level: None}]").await;
    for (uri, code) in
        [("/api/v1/pods", 200), ("/api/v1/namespaces/a/pods/none", 404), ("/version", 200), ("/nowhere", 404)]
    {
        let answer = server.get(uri).await;
        assert_eq!(answer.code, code, "{uri}");
        for header in ["x-kubernetes-pf-flowschema-uid", "x-kubernetes-pf-prioritylevel-uid"] {
            assert_eq!(answer.headers[header].len(), 36, "{uri}");
        }
    }
    let schema = server.get("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/exempt").await;
    let answer = server.get("/version").await;
    assert_eq!(answer.headers["x-kubernetes-pf-flowschema-uid"], schema.text("/metadata/uid"));
    assert_eq!(schema.text("/status/conditions/0/type"), "Dangling");
    let metrics = server.get("/metrics").await;
    let text = String::from_utf8_lossy(&metrics.body);
    assert!(text.contains("apiserver_flowcontrol_nominal_limit_seats{priority_level=\"workload-low\"} 245\n"));
}

#[tokio::test]
async fn events_tell_as_much_as_the_policy_asks_for() {
    let (server, kept) = world(
        "[{level: RequestResponse, resources: [{resources: [configmaps]}]}, {level: None, verbs: [list]}, {level: Request}]",
    )
    .await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "b"}});
    let answer = server.post("/api/v1/namespaces/default/configmaps", &map).await;
    let events = kept.take();
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!((&event["stage"], &event["level"]), (&json!("ResponseComplete"), &json!("RequestResponse")));
    assert_eq!(event["auditID"], answer.headers["audit-id"].to_str().expect("ids are text"));
    assert_eq!(
        event["objectRef"],
        json!({"resource": "configmaps", "namespace": "default", "name": "m", "apiVersion": "v1"})
    );
    assert_eq!((&event["responseStatus"]["code"], &event["user"]["username"]), (&json!(201), &json!("admin")));
    assert_eq!((&event["requestObject"], &event["responseObject"]), (&map, &answer.json()));
    assert_eq!(event["annotations"]["authorization.k8s.io/decision"], "allow");
    assert_eq!(event["requestReceivedTimestamp"], "2026-01-01T00:00:00.000000Z");

    // A Secret's body is not told by a rule that does not name it.
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "hidden"}});
    server.post("/api/v1/namespaces/default/secrets", &secret).await;
    let events = kept.take();
    assert_eq!((&events[0]["level"], &events[0]["objectRef"]["name"]), (&json!("Metadata"), &json!("s")));
    assert!(!events[0].to_string().contains("hidden"));

    // A refusal tells why; what the policy leaves out is not told at all.
    server.get("/api/v1/namespaces/default/pods/none").await;
    let events = kept.take();
    assert_eq!(events[0]["responseStatus"]["reason"], "NotFound");
    assert_eq!((events[0].get("requestObject"), events[0].get("responseObject")), (None, None));
    server.get("/api/v1/pods").await;
    assert_eq!(kept.take(), Vec::<Value>::new());
}

#[tokio::test]
async fn a_watch_is_told_when_it_begins_and_when_it_ends() {
    let (server, kept) = world("[{level: Metadata, verbs: [watch]}]").await;
    let response = server.open("GET", "/api/v1/configmaps?watch=true", &[], "").await;
    let stages = |events: Vec<Value>| {
        events.iter().map(|e| e["stage"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(stages(kept.take()), ["ResponseStarted"]);
    drop(response);
    assert_eq!(stages(kept.take()), ["ResponseComplete"]);
}
