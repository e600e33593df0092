//! The caches over a scripted source.

use super::*;
use crate::{Barrier, Change, Raw};
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use tokio::sync::mpsc;

/// Says what the test tells it to say, for whichever resource asked last.
#[derive(Default)]
struct Script(Mutex<Vec<mpsc::UnboundedSender<Change>>>);

impl Source for Script {
    fn follow(&self, _resource: &GroupVersionResource) -> BoxStream<'static, Change> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.lock().unwrap().push(sender);
        futures::stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) }).boxed()
    }
}

impl Script {
    fn say(&self, change: Change) {
        self.0.lock().unwrap().last().unwrap().send(change).unwrap();
    }
}

fn pod(name: &str, revision: u64, node: &str) -> Raw {
    let json = serde_json::json!({"metadata": {"name": name, "namespace": "ns", "resourceVersion": revision.to_string()}, "spec": {"nodeName": node, "containers": []}});
    Raw { namespace: "ns".into(), name: name.into(), revision, bytes: json.to_string().into() }
}

fn start() -> (Arc<Script>, Informers, Store<Pod>) {
    let script = Arc::new(Script::default());
    let informers = Informers::new(script.clone());
    let pods = informers.store::<Pod>();
    pods.add_index("node", |pod| pod.spec.iter().filter_map(|spec| spec.node_name.clone()).collect());
    (script, informers, pods)
}

fn names(pods: &[Arc<Pod>]) -> Vec<String> {
    pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_store_shows_what_its_source_says() {
    let (script, _informers, pods) = start();
    assert!(!pods.is_synced());
    script.say(Change::Replaced(vec![pod("b", 2, "n1"), pod("a", 1, "n2")]));
    pods.synced().await;
    assert_eq!(names(&pods.list()), ["a", "b"]);
    assert_eq!(names(&pods.by_index("node", "n1")), ["b"]);

    script.say(Change::Applied(pod("b", 3, "n2")));
    pods.reached(&Barrier::Written { namespace: "ns".into(), name: "b".into(), revision: 3 }).await;
    assert_eq!(names(&pods.by_index("node", "n1")), [""; 0]);
    assert_eq!(names(&pods.by_index("node", "n2")), ["a", "b"]);

    script.say(Change::Deleted(pod("a", 4, "n2")));
    pods.reached(&Barrier::Deleted { namespace: "ns".into(), name: "a".into(), shown: 1 }).await;
    assert_eq!(names(&pods.list_in("ns")), ["b"]);
    assert!(pods.get("ns", "a").is_none() && pods.get("ns", "b").is_some());
    assert_eq!(names(&pods.by_index("node", "n2")), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_starts_with_what_is_there_and_turns_a_new_list_into_differences() {
    let (script, _informers, pods) = start();
    script.say(Change::Replaced(vec![pod("a", 1, "n"), pod("b", 2, "n"), pod("c", 3, "n")]));
    pods.synced().await;
    let mut events = pods.subscribe();
    script.say(Change::Replaced(vec![pod("a", 1, "n"), pod("b", 5, "m"), pod("d", 4, "n")]));
    let mut told = Vec::new();
    for _ in 0..6 {
        let event = events.next().await.unwrap();
        let revision = |pod: &Option<Arc<Pod>>| {
            pod.as_ref().map_or("-".into(), |p| p.metadata.resource_version.clone().unwrap_or_default())
        };
        let name = event.latest().and_then(|pod| pod.metadata.name.clone()).unwrap_or_default();
        told.push(format!("{name} {}>{}", revision(&event.old), revision(&event.new)));
    }
    assert_eq!(told, ["a ->1", "b ->2", "c ->3", "c 3>-", "b 2>5", "d ->4"]);
}

#[tokio::test(start_paused = true)]
async fn types_over_one_resource_share_one_cache() {
    let (script, informers, pods) = start();
    let seen_twice = informers.metadata(pods.resource());
    script.say(Change::Replaced(vec![pod("a", 1, "n")]));
    seen_twice.synced().await;
    assert_eq!(seen_twice.get("ns", "a").and_then(|o| o.metadata.name.clone()).as_deref(), Some("a"));
    assert_eq!(script.0.lock().unwrap().len(), 1, "one resource is followed once");
    assert_eq!(pods.raw("ns", "a").map(|raw| raw.bytes), seen_twice.raw("ns", "a").map(|raw| raw.bytes));
    let _other = informers.store::<ConfigMap>();
    assert_eq!(script.0.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_resource_is_followed_no_more() {
    let (script, informers, pods) = start();
    informers.forget(&resource_of::<Pod>());
    tokio::task::yield_now().await;
    assert!(script.0.lock().unwrap()[0].is_closed());
    assert!(pods.is_empty());
}
