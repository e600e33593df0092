//! The engine between two API servers in memory: what a restart, a crash and hands on the host may do and must not.

use super::fake::Fake;
use super::{Deps, run};
use crate::{Config, host_name};
use apimachinery::clock::FixedClock;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Both sides, which outlive the engine between them.
struct World {
    virt: Fake,
    host: Fake,
}

/// One life of the engine.
struct Life {
    cancel: CancellationToken,
    task: JoinHandle<()>,
    healthy: Arc<AtomicBool>,
}

impl Life {
    async fn end(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }
}

/// Waits for something that must come, on the paused clock.
async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("not within a minute: {what}");
}

/// Gives what must not come the time to come.
async fn a_while() {
    sleep(Duration::from_secs(15)).await;
}

fn copy_of(name: &str) -> String {
    host_name(name, "ns", "t")
}

impl World {
    fn new() -> Self {
        let world = Self { virt: Fake::default(), host: Fake::default() };
        let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        world.host.put("nodes", json!({"metadata": {"name": "n1"}, "status": ready}));
        world
    }

    async fn live(&self) -> Life {
        let config = Config { tenant: "t".into(), host_namespace: "hosted".into(), ..Config::default() };
        let (cancel, healthy) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
        let deps = Deps {
            virt: self.virt.client(),
            virt_informers: self.virt.informers(),
            host: self.host.client(),
            host_informers: self.host.informers(),
            clock: Arc::new(FixedClock::new(1_000)),
            releases: None,
            health: healthy.clone(),
            cancel: cancel.clone(),
        };
        let life = Life { cancel, task: tokio::spawn(run(config, deps)), healthy };
        until("the engine sees both sides", || life.healthy.load(Ordering::Acquire)).await;
        life
    }

    /// A pod on the host's node, and on the host once the engine has seen it.
    fn pod(&self, name: &str, spec: Value) {
        let mut full = json!({
            "nodeName": "n1", "containers": [{"name": "c", "image": "i"}], "serviceAccountName": "default",
        });
        full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        self.virt.put("pods", json!({"metadata": {"name": name, "namespace": "ns"}, "spec": full}));
    }

    /// The host's kubelet reports on a pod's copy; returns when the tenant shows it.
    async fn report(&self, name: &str, phase: &str) {
        let mut copy = self.host.get("pods", "hosted", &copy_of(name));
        copy["status"] = json!({"phase": phase, "hostIP": "1.2.3.4", "startTime": "2026-01-01T00:00:00Z"});
        self.host.put("pods", copy);
        until("the tenant shows the phase", || self.phase(name) == phase).await;
    }

    fn phase(&self, name: &str) -> String {
        self.virt.get("pods", "ns", name)["status"]["phase"].as_str().unwrap_or_default().to_owned()
    }

    async fn running(&self, name: &str, spec: Value) {
        self.pod(name, spec);
        self.copied("pods", &copy_of(name)).await;
        self.report(name, "Running").await;
    }

    async fn copied(&self, resource: &str, name: &str) {
        until(name, || !self.host.get(resource, "hosted", name).is_null()).await;
    }
}

/// Reads a ConfigMap and a Secret and has a token.
fn reader() -> Value {
    json!({
        "volumes": [
            {"name": "m", "configMap": {"name": "settings"}},
            {"name": "s", "secret": {"secretName": "password"}},
            {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        ],
    })
}

/// Everything that has a copy, and a pod that reads it.
async fn furnished(world: &World) -> Life {
    let meta = |name: &str| json!({"name": name, "namespace": "ns"});
    world.virt.put("configmaps", json!({"metadata": meta("settings"), "data": {"a": "b"}}));
    world.virt.put("secrets", json!({"metadata": meta("password"), "data": {"a": "Yg=="}}));
    let spec = json!({"clusterIP": "10.0.0.1", "ports": [{"port": 80}]});
    world.virt.put("services", json!({"metadata": meta("outside"), "spec": spec}));
    let mut slice =
        json!({"metadata": meta("outside-1"), "addressType": "IPv4", "endpoints": [{"addresses": ["1.2.3.4"]}]});
    slice["metadata"]["labels"] = json!({"kubernetes.io/service-name": "outside"});
    world.virt.put("endpointslices", slice);
    world.host.put("storageclasses", json!({"metadata": {"name": "fast"}, "provisioner": "p"}));
    world.virt.put("persistentvolumeclaims", json!({"metadata": meta("data"), "spec": {"storageClassName": "fast"}}));
    let life = world.live().await;
    world.running("web", reader()).await;
    world.copied("services", &copy_of("outside")).await;
    world.copied("endpointslices", &copy_of("outside-1")).await;
    world.copied("persistentvolumeclaims", &copy_of("data")).await;
    life
}

/// All copies that are not pods, as `(resource, name)`.
fn copies(world: &World) -> Vec<(String, String)> {
    let kinds = ["configmaps", "secrets", "services", "endpointslices", "persistentvolumeclaims"];
    let names = kinds.iter().flat_map(|kind| world.host.names(kind));
    names.filter_map(|name| name.split_once('/').map(|(kind, name)| (kind.to_owned(), name.to_owned()))).collect()
}

#[tokio::test(start_paused = true)]
async fn copies_removed_by_hand_come_back() {
    let world = World::new();
    let life = furnished(&world).await;
    let copies = copies(&world);
    // The service variables and the pod's tokens are there beside the five.
    assert_eq!(copies.len(), 7, "{copies:?}");
    for (resource, name) in &copies {
        let before = world.host.get(resource, "hosted", name);
        world.host.remove(resource, "hosted", name);
        world.copied(resource, name).await;
        let after = world.host.get(resource, "hosted", name);
        let shown =
            |object: &Value| (object["data"].clone(), object["spec"].clone(), object["metadata"]["labels"].clone());
        assert_eq!(shown(&after), shown(&before), "{resource}/{name}");
    }
    assert_eq!(world.phase("web"), "Running");
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn copies_removed_while_nobody_looked_come_back() {
    let world = World::new();
    furnished(&world).await.end().await;
    let copies = copies(&world);
    for (resource, name) in &copies {
        world.host.remove(resource, "hosted", name);
    }
    let life = world.live().await;
    for (resource, name) in &copies {
        world.copied(resource, name).await;
    }
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_finds_everything_in_order_and_writes_nothing() {
    // More than a task reads of its queue at one go, and what the last pods use comes first.
    const PODS: usize = 150;
    let world = World::new();
    let life = world.live().await;
    for number in 0..PODS {
        let name = format!("own-{:03}", PODS - number);
        world.virt.put("configmaps", json!({"metadata": {"name": name, "namespace": "ns"}}));
        world.pod(&format!("p-{number:03}"), json!({"volumes": [{"name": "v", "configMap": {"name": name}}]}));
    }
    until("every pod has its copy", || world.host.names("pods").len() == PODS).await;
    let before = (world.host.names("pods"), world.host.names("configmaps"));
    life.end().await;
    for _ in 0..2 {
        world.host.take_log();
        let life = world.live().await;
        a_while().await;
        assert_eq!(world.host.take_log(), [""; 0]);
        assert_eq!((world.host.names("pods"), world.host.names("configmaps")), before);
        life.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_deleted_by_hand_ends_its_pod_after_any_number_of_lives() {
    let world = World::new();
    let mut life = world.live().await;
    for number in 0..3 {
        let name = format!("web-{number}");
        world.running(&name, json!({})).await;
        life.end().await;
        life = world.live().await;
        let request = http::Request::delete(format!("/api/v1/namespaces/hosted/pods/{}", copy_of(&name)));
        let request = request.header("content-type", "application/json").body(br#"{"gracePeriodSeconds":1}"#.to_vec());
        world.host.client().request::<Value>(request.unwrap()).await.unwrap();
        until("the pod is on its way out", || {
            world.virt.get("pods", "ns", &name)["metadata"]["deletionGracePeriodSeconds"] == 1
        })
        .await;
        world.host.end_pods();
        until("the pod is gone", || world.virt.get("pods", "ns", &name).is_null()).await;
    }
    a_while().await;
    assert_eq!(world.host.names("pods"), [""; 0]);
    assert_eq!(world.host.names("secrets"), [""; 0]);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_went_while_nobody_looked_ends_its_pod_unless_that_was_finished() {
    let world = World::new();
    let life = world.live().await;
    for name in ["worker", "job", "waiting"] {
        world.pod(name, reader());
        world.copied("pods", &copy_of(name)).await;
    }
    world.report("worker", "Running").await;
    world.report("job", "Succeeded").await;
    life.end().await;
    for name in ["worker", "job", "waiting"] {
        world.host.remove("pods", "hosted", &copy_of(name));
    }
    let life = world.live().await;
    until("the running pod is gone", || world.virt.get("pods", "ns", "worker").is_null()).await;
    world.copied("pods", &copy_of("waiting")).await;
    a_while().await;
    assert_eq!(world.phase("job"), "Succeeded");
    assert_eq!(world.host.names("pods"), [format!("pods/{}", copy_of("waiting"))], "what never ran is started again");
    assert_eq!(world.host.names("secrets").len(), 1, "tokens go with their pods");
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_finished_pod_outlives_its_copy() {
    let world = World::new();
    let life = world.live().await;
    world.running("job", json!({})).await;
    world.report("job", "Succeeded").await;
    let mut copy = world.host.get("pods", "hosted", &copy_of("job"));
    copy["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    world.host.put("pods", copy);
    a_while().await;
    world.host.end_pods();
    a_while().await;
    assert_eq!(world.phase("job"), "Succeeded");
    assert!(world.virt.get("pods", "ns", "job")["metadata"]["deletionTimestamp"].is_null());
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn copies_of_what_went_while_nobody_looked_go_too() {
    let world = World::new();
    furnished(&world).await.end().await;
    for (resource, name) in [
        ("pods", "web"),
        ("configmaps", "settings"),
        ("secrets", "password"),
        ("endpointslices", "outside-1"),
        ("services", "outside"),
        ("persistentvolumeclaims", "data"),
    ] {
        world.virt.remove(resource, "ns", name);
    }
    // Neither the host's own objects nor those of another tenant are ours to remove.
    let foreign = json!({"coracle.dev/tenant": "other"});
    world.host.put("configmaps", json!({"metadata": {"name": "own", "namespace": "hosted"}}));
    let record = json!({"coracle.dev/tenant": "other", "coracle.dev/namespace": "ns", "coracle.dev/name": "settings"});
    let metadata = json!({"name": "their", "namespace": "hosted", "labels": foreign, "annotations": record});
    world.host.put("configmaps", json!({"metadata": metadata}));
    let life = world.live().await;
    until("the pod's copy is told to go", || {
        world.host.get("pods", "hosted", &copy_of("web"))["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    world.host.end_pods();
    let left = [("configmaps", "own"), ("configmaps", "their")].map(|(kind, name)| (kind.to_owned(), name.to_owned()));
    until("nothing of ours is left", || copies(&world) == left).await;
    assert_eq!(world.host.names("pods"), [""; 0]);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_told_to_go_before_a_crash_goes_after_it() {
    let world = World::new();
    let life = world.live().await;
    world.running("web", json!({})).await;
    life.end().await;
    let mut pod = world.virt.get("pods", "ns", "web");
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    pod["metadata"]["deletionGracePeriodSeconds"] = 7.into();
    world.virt.put("pods", pod);
    let life = world.live().await;
    until("the copy is told to go", || {
        world.host.get("pods", "hosted", &copy_of("web"))["metadata"]["deletionGracePeriodSeconds"] == 7
    })
    .await;
    world.host.end_pods();
    until("the pod is gone", || world.virt.names("pods").is_empty()).await;
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_does_not_hold_its_key_for_ever() {
    let world = World::new();
    let life = world.live().await;
    world.host.ignore(Some("PATCH pods/"));
    world.pod("web", json!({}));
    until("the copy is asked for", || world.host.take_log().iter().any(|line| line.starts_with("PATCH pods/"))).await;
    world.host.ignore(None);
    world.copied("pods", &copy_of("web")).await;
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_hosts_events_are_told_unless_the_tenant_has_said_so_itself() {
    let world = World::new();
    let life = world.live().await;
    world.running("web", json!({})).await;
    for reason in ["Scheduled", "Pulled"] {
        let metadata = json!({"name": format!("{}.{reason}", copy_of("web")), "namespace": "hosted"});
        let involved = json!({"kind": "Pod", "namespace": "hosted", "name": copy_of("web")});
        let time = "2026-01-01T00:00:00Z";
        world.host.put(
            "events",
            json!({"metadata": metadata, "involvedObject": involved, "reason": reason, "lastTimestamp": time}),
        );
    }
    until("an event is told", || !world.virt.names("events").is_empty()).await;
    a_while().await;
    assert_eq!(world.virt.names("events"), ["events/web.Pulled"]);
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn trust_bundles_follow_the_tenants_and_go_with_their_pod() {
    let world = World::new();
    let bundle = |text: &str| {
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        json!({"metadata": {"name": "root"}, "spec": {"trustBundle": pem}})
    };
    world.virt.put("clustertrustbundles", bundle("AAAA"));
    let life = world.live().await;
    let source = json!({"clusterTrustBundle": {"name": "root", "path": "ca.pem"}});
    world.running("web", json!({"volumes": [{"name": "v", "projected": {"sources": [source]}}]})).await;
    let map = || {
        let names = world.host.names("configmaps").into_iter().find(|name| name.contains("/trust-"));
        let name = names.as_deref().and_then(|name| name.split_once('/')).map_or("", |(_, name)| name);
        world.host.get("configmaps", "hosted", name)
    };
    let shows = |text: &str| map()["data"]["v.0"].as_str().unwrap_or_default().contains(text);
    assert!(shows("AAAA"), "{}", map());
    world.virt.put("clustertrustbundles", bundle("BBBB"));
    until("the new anchors are there", || shows("BBBB")).await;
    world.host.remove("configmaps", "hosted", map()["metadata"]["name"].as_str().unwrap());
    until("the anchors are back", || shows("BBBB")).await;
    life.end().await;
    let life = world.live().await;
    a_while().await;
    assert!(shows("BBBB"), "a restart took them away");
    world.virt.remove("pods", "ns", "web");
    until("the copy is told to go", || {
        world.host.get("pods", "hosted", &copy_of("web"))["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    world.host.end_pods();
    until("the anchors are gone", || map().is_null()).await;
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_lost_its_volume_gets_no_empty_one() {
    let world = World::new();
    let life = furnished(&world).await;
    let name = copy_of("data");
    let mut bound = world.host.get("persistentvolumeclaims", "hosted", &name);
    bound["spec"]["volumeName"] = "pv-1".into();
    bound["status"] = json!({"phase": "Bound"});
    world.host.put("persistentvolumeclaims", bound);
    let phase = || world.virt.get("persistentvolumeclaims", "ns", "data")["status"]["phase"].clone();
    until("the claim is bound", || phase() == "Bound").await;
    world.host.remove("persistentvolumeclaims", "hosted", &name);
    until("the claim is lost", || phase() == "Lost").await;
    a_while().await;
    assert_eq!(world.host.names("persistentvolumeclaims"), [""; 0]);
    life.end().await;
}
