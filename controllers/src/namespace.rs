//! Empties namespaces that are being deleted and then lets them go. Upstream's `pkg/controller/namespace`.
//!
//! Pods go first, so that nothing they need (tokens, configuration, network policies) goes before them (KEP-5080); then all
//! other resources that discovery names. Owns the conditions of terminating namespaces and the finalizer `kubernetes`.
//! Woken by namespaces and by each object that goes from a terminating one.

use crate::api::{Api, ApiError};
use crate::conditions::{self, Condition};
use crate::controller::{Descriptor, Reconcile, Watch};
use crate::discovery::{Served, ServedResource, discover};
use crate::meta::Meta;
use crate::monitors::{Monitors, Seen};
use crate::plan::Target;
use crate::queue::Key;
use apimachinery::clock::Clock;
use apimachinery::{GroupResource, GroupVersionResource};
use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use http::Method;
use informer::{Informers, Store};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

const FINALIZER: &str = "kubernetes";
/// Contents with finalizers of others are looked at again after this long, should nothing be heard of them.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Condition types in upstream's order, each with the reason and words that it has when all is well.
const CONDITIONS: [(&str, &str, &str); 5] = [
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
];

pub(crate) struct Namespaces {
    informers: Informers,
    own: Store<Namespace>,
    clock: Arc<dyn Clock>,
    seen: Mutex<Option<mpsc::UnboundedReceiver<Seen>>>,
}

impl Namespaces {
    pub(crate) fn new(informers: &Informers, monitors: &Monitors, clock: Arc<dyn Clock>) -> Self {
        let seen = Mutex::new(Some(monitors.listen()));
        Self { informers: informers.clone(), own: informers.store(), clock, seen }
    }
}

/// What is left of a namespace after a round of deletions.
#[derive(Debug, Default, PartialEq)]
struct Left {
    objects: BTreeMap<GroupResource, usize>,
    finalizers: BTreeMap<String, usize>,
    discovery: Vec<String>,
    failures: Vec<String>,
}

#[async_trait]
impl Reconcile for Namespaces {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            name: "namespace-controller",
            account: "namespace-controller",
            component: "namespace-controller",
            workers: 10,
        }
    }

    fn watches(&self) -> Vec<Watch> {
        let mut watches = vec![Watch::own(&self.informers, &self.own)];
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(seen) = seen {
            let namespaces = self.own.clone();
            let keys = stream::unfold(seen, |mut seen| async { Some((seen.recv().await?, seen)) });
            let wake = move |seen: Seen| {
                let gone = seen.event.old.filter(|_| seen.event.new.is_none());
                let of = gone.map(|object| object.namespace().to_owned()).filter(|name| !name.is_empty());
                let terminating = |name: &String| namespaces.get("", name).is_some_and(|own| own.terminating());
                of.filter(terminating).map(|name| Key::new("", &name)).into_iter().collect()
            };
            watches.push(Watch::of(std::future::ready(()), keys.map(wake).boxed()));
        }
        watches
    }

    async fn reconcile(&self, key: &Key, api: &Api) -> Result<Option<Duration>, ApiError> {
        if self.own.get("", &key.name).is_none_or(|namespace| !namespace.terminating()) {
            return Ok(None);
        }
        let target = Target {
            resource: GroupVersionResource::new("", "v1", "namespaces"),
            namespace: String::new(),
            name: key.name.to_string(),
            subresource: "",
        };
        let Some(mut namespace) = api.get(&target).await? else { return Ok(None) };
        if namespace["metadata"]["deletionTimestamp"].is_null() {
            return Ok(None);
        }
        if namespace["status"]["phase"] != "Terminating" {
            namespace["status"]["phase"] = json!("Terminating");
            namespace = put(&target, "status", &namespace, api).await?;
        }
        if !holds(&namespace) {
            return Ok(None);
        }
        let left = empty(&key.name, api).await?;
        let before = conditions::read(&namespace["status"]);
        let mut after = before.clone();
        left.conditions(&mut after, self.clock.now());
        if after != before {
            namespace["status"]["conditions"] = json!(after);
            namespace = put(&target, "status", &namespace, api).await?;
        }
        if !left.is_nothing() {
            return Ok(Some(LOOK_AGAIN));
        }
        if let Some(finalizers) = namespace["spec"]["finalizers"].as_array_mut() {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        match put(&target, "finalize", &namespace, api).await {
            Err(error) if error.code() == 404 => Ok(None),
            outcome => outcome.map(|_| None),
        }
    }
}

fn holds(namespace: &Value) -> bool {
    namespace["spec"]["finalizers"].as_array().is_some_and(|all| all.iter().any(|name| name == FINALIZER))
}

async fn put(target: &Target, subresource: &'static str, object: &Value, api: &Api) -> Result<Value, ApiError> {
    let target = Target { subresource, ..target.clone() };
    api.call("update", Method::PUT, &target, "application/json", Some(object)).await
}

/// One round: deletes everything, pods first, and counts what is still there.
async fn empty(namespace: &str, api: &Api) -> Result<Left, ApiError> {
    let served: Served = discover(api.client()).await?;
    let mut left = Left { discovery: served.stale.clone(), ..Left::default() };
    let deletable = |served: &&ServedResource| served.namespaced && served.has(&["delete", "list"]);
    let is_pods = |served: &&ServedResource| served.resource.group.is_empty() && served.resource.resource == "pods";
    let (pods, others): (Vec<_>, Vec<_>) =
        served.resources.iter().filter(deletable).partition(|served| is_pods(served));
    for resource in pods {
        empty_of(resource, namespace, api, &mut left).await;
    }
    if left.is_nothing() || left.objects.is_empty() && left.failures.is_empty() {
        for resource in others {
            empty_of(resource, namespace, api, &mut left).await;
        }
    }
    Ok(left)
}

async fn empty_of(served: &ServedResource, namespace: &str, api: &Api, left: &mut Left) {
    if let Err(error) = try_empty(served, namespace, api, left).await {
        // A resource that is gone holds nothing; one that does not support the verb cannot be emptied by it.
        if !matches!(error.code(), 404 | 405) {
            left.failures.push(error.message());
        }
    }
}

async fn try_empty(served: &ServedResource, namespace: &str, api: &Api, left: &mut Left) -> Result<(), ApiError> {
    const JSON: &str = "application/json";
    let all = Target {
        resource: served.resource.clone(),
        namespace: namespace.to_owned(),
        name: String::new(),
        subresource: "",
    };
    let list = || api.call("list", Method::GET, &all, JSON, None);
    let first = list().await?;
    let items = |list: &Value| list["items"].as_array().cloned().unwrap_or_default();
    if items(&first).is_empty() {
        return Ok(());
    }
    let options = json!({"propagationPolicy": "Background"});
    if served.has(&["deletecollection"]) {
        api.call("delete", Method::DELETE, &all, JSON, Some(&options)).await?;
    } else {
        for item in items(&first) {
            let name = item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let one = Target { name, ..all.clone() };
            match api.call("delete", Method::DELETE, &one, JSON, Some(&options)).await {
                Err(error) if error.code() != 404 => return Err(error),
                _ => {}
            }
        }
    }
    let remaining = items(&list().await?);
    if !remaining.is_empty() {
        left.objects.insert(served.resource.group_resource(), remaining.len());
    }
    for item in &remaining {
        for finalizer in item["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            *left.finalizers.entry(finalizer.to_owned()).or_default() += 1;
        }
    }
    Ok(())
}

impl Left {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// The conditions of a terminating namespace.
    fn conditions(&self, all: &mut Vec<Condition>, now: Timestamp) {
        let count =
            |each: Vec<String>, before: &str| (!each.is_empty()).then(|| format!("{before}: {}", each.join(", ")));
        let objects = self.objects.iter().map(|(resource, number)| {
            format!("{}.{} has {number} resource instances", resource.resource, resource.group)
        });
        let finalizers = self.finalizers.iter().map(|(name, number)| format!("{name} in {number} resource instances"));
        let mut failures = self.failures.clone();
        failures.sort();
        let bad = [
            (
                "DiscoveryFailed",
                count(
                    self.discovery.clone(),
                    &format!("Discovery failed for some groups, {} failing", self.discovery.len()),
                ),
            ),
            ("GroupVersionParsingFailed", None),
            (
                "ContentDeletionFailed",
                count(failures, &format!("Failed to delete all resource types, {} remaining", self.failures.len())),
            ),
            ("SomeResourcesRemain", count(objects.collect(), "Some resources are remaining")),
            (
                "SomeFinalizersRemain",
                count(finalizers.collect(), "Some content in the namespace has finalizers remaining"),
            ),
        ];
        for ((kind, good_reason, good_words), (bad_reason, bad_words)) in CONDITIONS.into_iter().zip(bad) {
            let condition = match bad_words {
                Some(words) => Condition::new(kind, true, bad_reason, words, now),
                None => Condition::new(kind, false, good_reason, good_words, now),
            };
            let same = |old: &Condition| {
                old.status == condition.status && old.message == condition.message && old.reason == condition.reason
            };
            if !conditions::find(all, kind).is_some_and(same) {
                conditions::replace(all, condition);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_say_what_is_left() {
        let now = Timestamp::from_second(0).unwrap();
        let mut all = Vec::new();
        let left = Left {
            objects: BTreeMap::from([
                (GroupResource::new("", "pods"), 2),
                (GroupResource::new("apps", "deployments"), 1),
            ]),
            finalizers: BTreeMap::from([("example.com/f".to_owned(), 1)]),
            ..Left::default()
        };
        left.conditions(&mut all, now);
        let told: Vec<_> = all.iter().map(|c| format!("{} {} {}", c.status, c.reason, c.message)).collect();
        assert_eq!(
            told,
            [
                "False ResourcesDiscovered All resources successfully discovered",
                "False ParsedGroupVersions All legacy kube types successfully parsed",
                "False ContentDeleted All content successfully deleted, may be waiting on finalization",
                "True SomeResourcesRemain Some resources are remaining: pods. has 2 resource instances, deployments.apps has 1 resource instances",
                "True SomeFinalizersRemain Some content in the namespace has finalizers remaining: example.com/f in 1 resource instances",
            ]
        );
        let before = all.clone();
        left.conditions(&mut all, Timestamp::from_second(9).unwrap());
        assert_eq!(all, before, "nothing new is no change");
    }
}
