//! The whole loop over a scripted source and a client that records what is written.

use super::*;
use crate::config::ProfileConfig;
use apimachinery::GroupVersionResource;
use apimachinery::clock::{FixedClock, SeededRng};
use futures::StreamExt;
use futures::stream::BoxStream;
use http::{Request, Response, StatusCode};
use informer::{Change, Raw, Source};
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

/// Says what the test tells it to say; every resource starts empty.
#[derive(Default)]
struct Script {
    senders: Mutex<HashMap<String, mpsc::UnboundedSender<Change>>>,
    revision: AtomicU64,
}

impl Source for Script {
    fn follow(&self, resource: &GroupVersionResource) -> BoxStream<'static, Change> {
        let (sender, receiver) = mpsc::unbounded_channel();
        sender.send(Change::Replaced(Vec::new())).unwrap();
        self.senders.lock().unwrap().insert(resource.resource.clone(), sender);
        futures::stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) }).boxed()
    }
}

impl Script {
    fn raw(&self, object: &Value) -> Raw {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().into();
        let revision = self.revision.fetch_add(1, Ordering::Relaxed) + 1;
        Raw { namespace: text("namespace"), name: text("name"), revision, bytes: object.to_string().into() }
    }

    fn send(&self, resource: &str, change: Change) {
        self.senders.lock().unwrap()[resource].send(change).unwrap();
    }

    fn apply(&self, resource: &str, object: &Value) {
        self.send(resource, Change::Applied(self.raw(object)));
    }

    fn delete(&self, resource: &str, object: &Value) {
        self.send(resource, Change::Deleted(self.raw(object)));
    }
}

struct World {
    script: Arc<Script>,
    writes: mpsc::UnboundedReceiver<(String, Value)>,
    cancel: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl World {
    /// The client's answers are `status`; every write is `METHOD PATH` and its body.
    async fn start(status: StatusCode) -> Self {
        Self::configured(status, Config::default()).await
    }

    async fn configured(status: StatusCode, config: Config) -> Self {
        let script = Arc::new(Script::default());
        let (record, writes) = mpsc::unbounded_channel();
        let service = tower::service_fn(move |request: Request<Body>| {
            let record = record.clone();
            async move {
                let line = format!("{} {}", request.method(), request.uri().path());
                let bytes = request.into_body().collect_bytes().await?;
                record.send((line, serde_json::from_slice(&bytes).unwrap_or_default())).unwrap();
                let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status.as_u16(), "message": "no"});
                Ok::<_, kube::Error>(
                    Response::builder().status(status).body(Body::from(body.to_string().into_bytes())).unwrap(),
                )
            }
        });
        let cancel = CancellationToken::new();
        let health = Arc::new(AtomicBool::new(false));
        let deps = Deps {
            client: Client::new(service, "default"),
            informers: Informers::new(script.clone()),
            clock: Arc::new(FixedClock::new(1_700_000_000)),
            rng: Arc::new(SeededRng::new(1)),
            cancel: cancel.clone(),
            health: health.clone(),
        };
        let running = tokio::spawn(run(config, deps));
        while !health.load(Ordering::Relaxed) {
            assert!(!running.is_finished(), "it ended before it began");
            tokio::task::yield_now().await;
        }
        Self { script, writes, cancel, running }
    }

    /// The next writes but events, in order.
    async fn written(&mut self) -> (String, Value) {
        loop {
            let (line, body) = self.writes.recv().await.unwrap();
            if !line.contains("/events") {
                return (line, body);
            }
        }
    }

    async fn event(&mut self) -> String {
        loop {
            let (line, body) = self.writes.recv().await.unwrap();
            if line.contains("/events") {
                return format!("{}: {}", body["reason"].as_str().unwrap(), body["message"].as_str().unwrap());
            }
        }
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.running.await.unwrap();
    }
}

fn node(name: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "memory": "4Gi", "pods": "110"}}})
}

fn pod(name: &str, cpu: &str, more: Value) -> Value {
    let mut spec = json!({
        "schedulerName": "default-scheduler", "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}],
    });
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    json!({"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": spec})
}

const BINDING: &str = "POST /api/v1/namespaces/default/pods/p/binding";
const STATUS: &str = "PATCH /api/v1/namespaces/default/pods/p/status";

#[tokio::test(start_paused = true)]
async fn a_pod_is_bound_and_told() {
    let mut world = World::start(StatusCode::OK).await;
    world.script.apply("nodes", &node("n", "1"));
    world.script.apply("pods", &pod("p", "500m", json!({})));
    let (line, body) = world.written().await;
    assert_eq!((line.as_str(), &body["target"]), (BINDING, &json!({"kind": "Node", "name": "n"})));
    assert_eq!(body["metadata"]["uid"], "p");
    assert_eq!(world.event().await, "Scheduled: Successfully assigned default/p to n");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fits_nowhere_is_told_and_woken() {
    let mut world = World::start(StatusCode::OK).await;
    world.script.apply("nodes", &node("n", "1"));
    world.script.apply("pods", &pod("there", "800m", json!({"nodeName": "n"})));
    world.script.apply("pods", &pod("p", "500m", json!({})));
    let (line, body) = world.written().await;
    let condition = &body["status"]["conditions"][0];
    assert_eq!((line.as_str(), &condition["reason"]), (STATUS, &json!("Unschedulable")));
    let message = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
    assert_eq!(condition["message"], message);
    world.script.delete("pods", &pod("there", "800m", json!({"nodeName": "n"})));
    assert_eq!(world.written().await.0, BINDING);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_decided_counts_before_it_is_shown() {
    let mut world = World::start(StatusCode::OK).await;
    world.script.apply("nodes", &node("n", "1"));
    world.script.apply("pods", &pod("p", "800m", json!({"priority": 1})));
    world.script.apply("pods", &pod("q", "800m", json!({"priority": 1})));
    let mut lines = [world.written().await.0, world.written().await.0];
    lines.sort();
    assert_eq!(lines, ["PATCH /api/v1/namespaces/default/pods/q/status", BINDING]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_binding_is_tried_again() {
    let mut world = World::start(StatusCode::INTERNAL_SERVER_ERROR).await;
    world.script.apply("nodes", &node("n", "1"));
    world.script.apply("pods", &pod("p", "500m", json!({})));
    assert_eq!(world.written().await.0, BINDING);
    let (line, body) = world.written().await;
    assert_eq!((line.as_str(), &body["status"]["conditions"][0]["reason"]), (STATUS, &json!("SchedulerError")));
    assert_eq!(world.written().await.0, BINDING);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn lesser_pods_make_room() {
    let mut world = World::start(StatusCode::OK).await;
    world.script.apply("nodes", &node("n", "1"));
    let low = pod("low", "800m", json!({"nodeName": "n", "priority": 0}));
    world.script.apply("pods", &low);
    world.script.apply("pods", &pod("p", "500m", json!({"priority": 100})));
    let (line, body) = world.written().await;
    assert_eq!(line, "PATCH /api/v1/namespaces/default/pods/low/status");
    assert_eq!(body["status"]["conditions"][0]["type"], "DisruptionTarget");
    let (line, body) = world.written().await;
    assert_eq!(
        (line.as_str(), &body["preconditions"]["uid"]),
        ("DELETE /api/v1/namespaces/default/pods/low", &json!("low"))
    );
    let (line, body) = world.written().await;
    assert_eq!((line.as_str(), &body["status"]["nominatedNodeName"]), (STATUS, &json!("n")));
    world.script.delete("pods", &low);
    assert_eq!(world.written().await.0, BINDING);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn gated_pods_wait_and_others_pods_are_left_alone() {
    let mut world = World::start(StatusCode::OK).await;
    world.script.apply("nodes", &node("n", "1"));
    world.script.apply("pods", &pod("other", "1m", json!({"schedulerName": "other"})));
    world.script.apply("pods", &pod("p", "500m", json!({"schedulingGates": [{"name": "g"}]})));
    world.script.apply("pods", &pod("q", "100m", json!({})));
    assert_eq!(world.written().await.0, "POST /api/v1/namespaces/default/pods/q/binding");
    world.script.apply("pods", &pod("p", "500m", json!({})));
    assert_eq!(world.written().await.0, BINDING);
    world.stop().await;
}

/// A change of a pod that is being bound must not have it bound again, nor its users told twice.
#[tokio::test(start_paused = true)]
async fn a_pod_is_bound_once_whatever_happens_meanwhile() {
    let mut world = World::start(StatusCode::OK).await;
    world.script.apply("nodes", &node("n", "4"));
    let mut changing = pod("p", "500m", json!({}));
    world.script.apply("pods", &changing);
    assert_eq!(world.written().await.0, BINDING);
    for revision in 0..3 {
        changing["metadata"]["annotations"] = json!({"revision": revision.to_string()});
        world.script.apply("pods", &changing);
    }
    assert_eq!(world.event().await, "Scheduled: Successfully assigned default/p to n");
    changing["spec"]["nodeName"] = "n".into();
    world.script.apply("pods", &changing);
    world.script.apply("pods", &pod("q", "1m", json!({})));
    let (line, _) = world.writes.recv().await.unwrap();
    assert_eq!(line, "POST /api/v1/namespaces/default/pods/q/binding", "nothing more is said about p");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_profile_has_its_pods() {
    let mut config = Config::default();
    let other = ProfileConfig { scheduler_name: "other".to_owned(), ..config.profiles[0].clone() };
    config.profiles.push(other);
    let mut world = World::configured(StatusCode::OK, config).await;
    world.script.apply("nodes", &node("n", "1"));
    world.script.apply("pods", &pod("nobodys", "1m", json!({"schedulerName": "third"})));
    world.script.apply("pods", &pod("p", "1m", json!({"schedulerName": "other"})));
    assert_eq!(world.written().await.0, BINDING);
    let (_, body) = world.writes.recv().await.unwrap();
    assert_eq!((&body["reason"], &body["reportingComponent"]), (&json!("Scheduled"), &json!("other")));
    world.stop().await;
}

/// With volumes of this cluster the pod is bound when its claims are.
#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_its_volumes() {
    let config = Config { hosted_volumes: false, ..Config::default() };
    let mut world = World::configured(StatusCode::OK, config).await;
    world.script.apply("nodes", &node("n", "1"));
    let class = json!({"metadata": {"name": "c"}, "provisioner": "p", "volumeBindingMode": "WaitForFirstConsumer"});
    world.script.apply("storageclasses", &class);
    let mut claim = json!({
        "metadata": {"name": "data", "namespace": "default", "uid": "u"}, "spec": {"storageClassName": "c"},
    });
    world.script.apply("persistentvolumeclaims", &claim);
    let volumes = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]});
    world.script.apply("pods", &pod("p", "1m", volumes));
    let (line, body) = world.written().await;
    assert_eq!((line.as_str(), &body["status"]["nominatedNodeName"]), (STATUS, &json!("n")));
    let (line, body) = world.written().await;
    assert_eq!(line, "PATCH /api/v1/namespaces/default/persistentvolumeclaims/data");
    let selected = &body["metadata"]["annotations"]["volume.kubernetes.io/selected-node"];
    assert_eq!(selected, &json!("n"));
    claim["metadata"]["annotations"] =
        json!({"volume.kubernetes.io/selected-node": "n", "pv.kubernetes.io/bind-completed": "yes"});
    claim["spec"]["volumeName"] = "v".into();
    world.script.apply("persistentvolumes", &json!({"metadata": {"name": "v"}, "spec": {}}));
    world.script.apply("persistentvolumeclaims", &claim);
    assert_eq!(world.written().await.0, BINDING);
    world.stop().await;
}
