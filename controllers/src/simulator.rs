//! All controllers together against a small API in memory, on a paused clock: what plans alone cannot show.
//!
//! The API knows no kinds: it stores JSON, numbers revisions, honours finalizers and propagation policies, and refuses
//! stale updates. It is a test's stand-in and nothing more.

use crate::{Config, Deps, Health, run};
use apimachinery::GroupVersionResource;
use apimachinery::clock::{Clock, SeededRng};
use futures::StreamExt;
use futures::stream::BoxStream;
use informer::{Change, Informers, Raw, Source};
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Group, version, resource, kind, namespaced.
const SERVED: [(&str, &str, &str, &str, bool); 12] = [
    ("", "v1", "events", "Event", true),
    ("", "v1", "namespaces", "Namespace", false),
    ("", "v1", "pods", "Pod", true),
    ("", "v1", "services", "Service", true),
    ("", "v1", "endpoints", "Endpoints", true),
    ("", "v1", "configmaps", "ConfigMap", true),
    ("", "v1", "serviceaccounts", "ServiceAccount", true),
    ("", "v1", "nodes", "Node", false),
    ("apps", "v1", "deployments", "Deployment", true),
    ("apps", "v1", "replicasets", "ReplicaSet", true),
    ("batch", "v1", "jobs", "Job", true),
    ("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true),
];

#[derive(Default)]
struct State {
    revision: u64,
    objects: BTreeMap<(String, String, String), Value>,
    followers: Vec<(String, mpsc::UnboundedSender<Change>)>,
}

#[derive(Clone)]
struct Sim {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<u64>>,
}

/// Wall-clock time that moves with tokio's.
struct Virtual(tokio::time::Instant);

impl Clock for Virtual {
    fn now(&self) -> jiff::Timestamp {
        let start: jiff::Timestamp = "2024-01-01T00:00:00Z".parse().unwrap();
        start.checked_add(jiff::SignedDuration::try_from(self.0.elapsed()).unwrap()).unwrap()
    }
}

fn raw((_, namespace, name): &(String, String, String), object: &Value) -> Raw {
    let revision = object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    Raw { namespace: (&**namespace).into(), name: (&**name).into(), revision, bytes: object.to_string().into() }
}

impl Source for Sim {
    fn follow(&self, resource: &GroupVersionResource) -> BoxStream<'static, Change> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.state.lock().unwrap();
        let of = resource.group_resource().to_string();
        let all = state.objects.iter().filter(|(key, _)| key.0 == of).map(|(key, object)| raw(key, object)).collect();
        sender.send(Change::Replaced(all)).unwrap();
        state.followers.push((of, sender));
        futures::stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) }).boxed()
    }
}

impl State {
    /// Stores an object, or removes it when it waits for nothing more.
    fn put(&mut self, key: &(String, String, String), mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let meta = &object["metadata"];
        let empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
        let gone =
            !meta["deletionTimestamp"].is_null() && empty(&meta["finalizers"]) && empty(&object["spec"]["finalizers"]);
        let change = if gone { Change::Deleted(raw(key, &object)) } else { Change::Applied(raw(key, &object)) };
        if gone {
            self.objects.remove(key);
        } else {
            self.objects.insert(key.clone(), object.clone());
        }
        self.followers.retain(|(of, follower)| *of != key.0 || follower.send(change.clone()).is_ok());
        object
    }

    fn delete(&mut self, key: &(String, String, String), policy: &str) -> Option<Value> {
        let mut object = self.objects.get(key)?.clone();
        if object["metadata"]["deletionTimestamp"].is_null() {
            object["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
            let finalizer = match policy {
                "Foreground" => Some("foregroundDeletion"),
                "Orphan" => Some("orphan"),
                _ => None,
            };
            if let Some(finalizer) = finalizer {
                let finalizers = &mut object["metadata"]["finalizers"];
                if !finalizers.is_array() {
                    *finalizers = json!([]);
                }
                finalizers.as_array_mut().unwrap().push(json!(finalizer));
            }
        }
        Some(self.put(key, object))
    }

    fn handle(&mut self, method: &str, path: &str, body: &Value) -> Result<Value, (u16, &'static str)> {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        if parts.len() == 1 {
            return Ok(discovery(parts[0]));
        }
        let (group, rest) = if parts[0] == "api" { ("", &parts[2..]) } else { (parts[1], &parts[3..]) };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, resource, ..] if !matches!(*resource, "status" | "finalize") => {
                (*namespace, &rest[2..])
            }
            _ => ("", rest),
        };
        let of = if group.is_empty() { rest[0].to_owned() } else { format!("{}.{group}", rest[0]) };
        let policy = body["propagationPolicy"].as_str().unwrap_or_default();
        let Some(name) = rest.get(1) else {
            let keys: Vec<_> = self.objects.keys().filter(|key| key.0 == of && key.1 == namespace).cloned().collect();
            return match method {
                "GET" => Ok(json!({"items": keys.iter().map(|key| &self.objects[key]).collect::<Vec<_>>()})),
                "DELETE" => {
                    for key in &keys {
                        self.delete(key, policy);
                    }
                    Ok(json!({"kind": "Status"}))
                }
                _ => self.create(of, namespace, body.clone()),
            };
        };
        let key = (of, namespace.to_owned(), (*name).to_owned());
        let live = self.objects.get(&key).cloned().ok_or((404, "NotFound"))?;
        match method {
            "GET" => Ok(live),
            "DELETE" => {
                let uid = &body["preconditions"]["uid"];
                if uid.is_null() || *uid == live["metadata"]["uid"] {
                    self.delete(&key, policy).ok_or((404, "NotFound"))
                } else {
                    Err((409, "Conflict"))
                }
            }
            "PUT" => {
                if body["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"] {
                    return Err((409, "Conflict"));
                }
                let mut new = body.clone();
                if rest.get(2).is_none() {
                    new["status"] = live["status"].clone();
                }
                Ok(self.put(&key, new))
            }
            _ => {
                let mut new = live;
                crate::pods::testing::merge(&mut new, body.clone());
                Ok(self.put(&key, new))
            }
        }
    }

    fn create(&mut self, of: String, namespace: &str, mut object: Value) -> Result<Value, (u16, &'static str)> {
        if of != "namespaces" && !namespace.is_empty() {
            let home = self.objects.get(&("namespaces".into(), String::new(), namespace.into()));
            if home.is_none_or(|home| !home["metadata"]["deletionTimestamp"].is_null()) {
                return Err((403, "Forbidden"));
            }
        }
        if let Some(prefix) = object["metadata"]["generateName"].as_str() {
            object["metadata"]["name"] = json!(format!("{prefix}{}", self.revision));
        }
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let key = (of, namespace.to_owned(), name);
        if self.objects.contains_key(&key) {
            return Err((409, "AlreadyExists"));
        }
        object["metadata"]["uid"] = json!(format!("uid-{}", self.revision));
        object["metadata"]["namespace"] = json!(namespace);
        object["metadata"]["generation"] = json!(1);
        object["metadata"]["creationTimestamp"] = json!("2024-01-01T00:00:00Z");
        Ok(self.put(&key, object))
    }
}

fn discovery(root: &str) -> Value {
    let groups: Vec<&str> = if root == "api" { vec![""] } else { vec!["apps", "batch", "discovery.k8s.io"] };
    let resource = |(_, version, resource, kind, namespaced): &(&str, &str, &str, &str, bool)| {
        json!({"resource": resource, "scope": if *namespaced { "Namespaced" } else { "Cluster" }, "responseKind": {"version": version, "kind": kind},
            "verbs": ["get", "list", "watch", "delete", "deletecollection"]})
    };
    let group = |name: &&str| {
        let resources: Vec<Value> = SERVED.iter().filter(|served| served.0 == *name).map(resource).collect();
        json!({"metadata": {"name": name}, "versions": [{"version": "v1", "resources": resources}]})
    };
    json!({"kind": "APIGroupDiscoveryList", "items": groups.iter().map(group).collect::<Vec<_>>()})
}

impl Sim {
    fn start() -> (Self, Health, CancellationToken) {
        let sim = Self { state: Arc::default(), changed: Arc::new(watch::Sender::new(0)) };
        let serving = sim.clone();
        let clients: crate::Clients = Arc::new(move |_| {
            let sim = serving.clone();
            let service = tower::service_fn(move |request: http::Request<Body>| {
                let sim = sim.clone();
                async move { Ok::<_, std::convert::Infallible>(sim.serve(request).await) }
            });
            kube::Client::new(service, "default")
        });
        let (health, stop) = (Health::default(), CancellationToken::new());
        let deps = Deps {
            informers: Informers::new(Arc::new(sim.clone())),
            clients,
            clock: Arc::new(Virtual(tokio::time::Instant::now())),
            rng: Arc::new(SeededRng::new(1)),
            stop: stop.clone(),
            ca_bundle: "CA".into(),
            health: health.clone(),
            credentials: None,
            cloud: None,
        };
        tokio::spawn(run(Config::default(), deps));
        (sim, health, stop)
    }

    async fn serve(&self, request: http::Request<Body>) -> http::Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap_or_default();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let answer = self.state.lock().unwrap().handle(head.method.as_str(), head.uri.path(), &body);
        self.changed.send_modify(|count| *count += 1);
        let (code, body) = match answer {
            Ok(body) => (200, body),
            Err((code, reason)) => {
                let message = format!("{} {}: {reason}", head.method, head.uri.path());
                (
                    code,
                    json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}),
                )
            }
        };
        http::Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap()
    }

    fn say(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.state.lock().unwrap().handle(method, path, &body).expect("the test's own requests succeed");
        self.changed.send_modify(|count| *count += 1);
        answer
    }

    fn all(&self, resource: &str, namespace: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap();
        let of = state.objects.iter().filter(|(key, _)| key.0 == resource && key.1 == namespace);
        of.map(|(_, object)| object.clone()).collect()
    }

    /// Waits in virtual time until `holds`.
    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let mut changed = self.changed.subscribe();
        let wait = async {
            while !holds(self) {
                let _ = tokio::time::timeout(Duration::from_secs(1), changed.changed()).await;
            }
        };
        if tokio::time::timeout(Duration::from_mins(2), wait).await.is_err() {
            let names: Vec<_> = self.state.lock().unwrap().objects.keys().cloned().collect();
            panic!("it did not come to this: {what}; there are {names:?}");
        }
    }

    fn make_namespace(&self) {
        self.say(
            "POST",
            "/api/v1/namespaces",
            json!({"metadata": {"name": "ns"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}),
        );
    }

    fn make_deployment(&self) {
        let template =
            json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        self.say(
            "POST",
            "/apis/apps/v1/namespaces/ns/deployments",
            json!({"metadata": {"name": "web"}, "spec": {"replicas": 2,
            "selector": {"matchLabels": {"app": "web"}}, "progressDeadlineSeconds": 600, "template": template,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}}),
        );
    }

    /// What kubelets would do.
    fn make_pods_ready(&self) {
        self.say_once(
            "nodes",
            "/api/v1/nodes",
            json!({"metadata": {"name": "n"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
        );
        for (index, pod) in self.all("pods", "ns").into_iter().enumerate() {
            let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
            let ready = json!([{"type": "Ready", "status": "True", "lastTransitionTime": "2024-01-01T00:00:00Z"}]);
            self.say("PATCH", &format!("/api/v1/namespaces/ns/pods/{name}"), json!({"spec": {"nodeName": "n"},
                "status": {"phase": "Running", "podIPs": [{"ip": format!("10.0.0.{}", index + 1)}], "conditions": ready}}));
        }
    }

    fn say_once(&self, resource: &str, path: &str, body: Value) {
        if self.all(resource, "").is_empty() {
            self.say("POST", path, body);
        }
    }
}

fn condition(object: &Value, kind: &str) -> bool {
    let all = object["status"]["conditions"].as_array();
    all.is_some_and(|all| all.iter().any(|own| own["type"] == kind && own["status"] == "True"))
}

#[tokio::test(start_paused = true)]
async fn a_deployment_comes_up_rolls_and_is_served() {
    let (sim, health, stop) = Sim::start();
    sim.make_namespace();
    sim.make_deployment();
    sim.say(
        "POST",
        "/api/v1/namespaces/ns/services",
        json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "clusterIP": "10.1.0.1",
        "ipFamilies": ["IPv4"], "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}]}}),
    );
    sim.until("the namespace is furnished", |sim| {
        !sim.all("serviceaccounts", "ns").is_empty() && !sim.all("configmaps", "ns").is_empty()
    })
    .await;
    sim.until("two pods", |sim| sim.all("pods", "ns").len() == 2).await;
    sim.make_pods_ready();
    sim.until("available", |sim| condition(&sim.all("deployments.apps", "ns")[0], "Available")).await;
    let served = |sim: &Sim| {
        sim.all("endpointslices.discovery.k8s.io", "ns")
            .iter()
            .map(|own| own["endpoints"].as_array().map_or(0, Vec::len))
            .sum::<usize>()
    };
    sim.until("two endpoints", |sim| {
        served(sim) == 2 && sim.all("endpoints", "ns")[0]["subsets"][0]["addresses"].as_array().map(Vec::len) == Some(2)
    })
    .await;
    assert!(health.all_running(), "{:?}", health.report());

    let mut new = sim.all("deployments.apps", "ns").remove(0);
    new["spec"]["template"]["spec"]["containers"][0]["image"] = json!("j");
    new["metadata"]["generation"] = json!(2);
    sim.say("PUT", "/apis/apps/v1/namespaces/ns/deployments/web", new);
    sim.until("the new revision alone", |sim| {
        sim.make_pods_ready();
        let images: Vec<Value> =
            sim.all("pods", "ns").iter().map(|pod| pod["spec"]["containers"][0]["image"].clone()).collect();
        images == [json!("j"), json!("j")]
    })
    .await;
    let revision = |sim: &Sim| {
        sim.all("deployments.apps", "ns")[0]["metadata"]["annotations"]["deployment.kubernetes.io/revision"].clone()
    };
    sim.until("revision two", |sim| revision(sim) == "2").await;
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn deletion_reaches_dependents_by_each_policy() {
    for (policy, left) in [("Background", [0, 0]), ("Foreground", [0, 0]), ("Orphan", [1, 2])] {
        let (sim, _, stop) = Sim::start();
        sim.make_namespace();
        sim.make_deployment();
        sim.until("two pods", |sim| sim.all("pods", "ns").len() == 2).await;
        sim.say("DELETE", "/apis/apps/v1/namespaces/ns/deployments/web", json!({"propagationPolicy": policy}));
        sim.until(policy, |sim| {
            let now = [sim.all("replicasets.apps", "ns").len(), sim.all("pods", "ns").len()];
            sim.all("deployments.apps", "ns").is_empty() && now == left
        })
        .await;
        stop.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_namespace_empties_and_goes() {
    let (sim, _, stop) = Sim::start();
    sim.make_namespace();
    sim.make_deployment();
    sim.until("two pods", |sim| sim.all("pods", "ns").len() == 2).await;
    sim.say("DELETE", "/api/v1/namespaces/ns", json!({}));
    let gone = |sim: &Sim| sim.state.lock().unwrap().objects.keys().all(|key| key.1 != "ns" && key.2 != "ns");
    sim.until("nothing is left", gone).await;
    stop.cancel();
}

/// Everything at rest writes nothing: a controller that argues with itself or another shows here.
#[tokio::test(start_paused = true)]
async fn at_rest_nothing_is_written() {
    let (sim, _, stop) = Sim::start();
    sim.make_namespace();
    sim.make_deployment();
    sim.until("two pods", |sim| sim.all("pods", "ns").len() == 2).await;
    sim.make_pods_ready();
    sim.until("available", |sim| condition(&sim.all("deployments.apps", "ns")[0], "Available")).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let before = sim.state.lock().unwrap().revision;
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(sim.state.lock().unwrap().revision, before);
    stop.cancel();
}
