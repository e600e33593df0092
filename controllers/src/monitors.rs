//! Follows every resource that can be deleted, whichever there are at the moment: the garbage collector's view of the
//! cluster, and what tells the namespace controller that contents are gone.
//!
//! Discovery is asked again when a CustomResourceDefinition or an APIService changes, and never by a timer alone. Objects
//! are indexed by the uids of their owners, which makes the graph of ownership a question to the caches instead of a copy.

use crate::discovery::{Served, ServedResource, discover};
use apimachinery::GroupVersionResource;
use futures::stream::{BoxStream, StreamExt, select_all};
use informer::{Event, Informers, PartialObject, Store};
use kube::Client;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const BY_OWNER: &str = "owner";
/// Discovery follows a definition with a delay that the server does not tell.
const SETTLE: Duration = Duration::from_millis(500);
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// A change of any object.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) resource: GroupVersionResource,
    pub(crate) event: Event<PartialObject>,
}

/// Shared by the controllers that work on every resource.
#[derive(Clone)]
pub(crate) struct Monitors(Arc<Inner>);

struct Inner {
    informers: Informers,
    client: Client,
    state: Mutex<State>,
    ready: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    served: Arc<Served>,
    followed: BTreeMap<GroupVersionResource, Followed>,
    listeners: Vec<mpsc::UnboundedSender<Seen>>,
}

struct Followed {
    store: Store<PartialObject>,
    task: AbortHandle,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Events come and go by themselves; collecting them is not worth the watching (`DefaultIgnoredResources`).
fn is_ignored(resource: &GroupVersionResource) -> bool {
    resource.resource == "events" && (resource.group.is_empty() || resource.group == "events.k8s.io")
}

impl Monitors {
    pub(crate) fn new(informers: Informers, client: Client) -> Self {
        Self(Arc::new(Inner { informers, client, state: Mutex::default(), ready: watch::Sender::new(false) }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that happens from the start on. To be called before [`Self::run`].
    pub(crate) fn listen(&self) -> mpsc::UnboundedReceiver<Seen> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.lock().listeners.push(sender);
        receiver
    }

    /// Resolves once everything that was found at first is complete.
    pub(crate) async fn ready(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.ready.subscribe().wait_for(|ready| *ready).await;
    }

    pub(crate) fn served(&self) -> Arc<Served> {
        self.lock().served.clone()
    }

    pub(crate) fn store(&self, resource: &GroupVersionResource) -> Option<Store<PartialObject>> {
        self.lock().followed.get(resource).map(|followed| followed.store.clone())
    }

    /// Every object that names this uid as an owner.
    pub(crate) fn dependents(&self, owner: &str) -> Vec<(GroupVersionResource, Arc<PartialObject>)> {
        let stores: Vec<_> = self.lock().followed.values().map(|followed| followed.store.clone()).collect();
        let of = |store: &Store<PartialObject>| {
            let resource = store.resource().clone();
            store.by_index(BY_OWNER, owner).into_iter().map(move |object| (resource.clone(), object))
        };
        stores.iter().flat_map(of).collect()
    }

    /// Keeps the set of followed resources what discovery says, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.follow_discovery() => {}
            () = stop.cancelled() => {}
        }
        self.lock().followed.clear();
    }

    async fn follow_discovery(&self) {
        let definition = |group, resource| GroupVersionResource::new(group, "v1", resource);
        let sources: Vec<BoxStream<'static, ()>> = [
            definition("apiextensions.k8s.io", "customresourcedefinitions"),
            definition("apiregistration.k8s.io", "apiservices"),
        ]
        .iter()
        .map(|resource| self.0.informers.metadata(resource).subscribe().into_stream().map(|_| ()).boxed())
        .collect();
        let mut changes = select_all(sources);
        let mut delay = RETRY.0;
        loop {
            match discover(&self.0.client).await {
                Ok(served) => {
                    delay = RETRY.0;
                    let complete = served.stale.is_empty();
                    self.adopt(served).await;
                    self.0.ready.send_replace(true);
                    if !complete {
                        sleep(RETRY.1).await;
                        continue;
                    }
                    if changes.next().await.is_none() {
                        return;
                    }
                    sleep(SETTLE).await;
                    while let Some(Some(())) = futures::FutureExt::now_or_never(changes.next()) {}
                }
                Err(error) => {
                    tracing::debug!(%error, "discovery failed");
                    sleep(delay).await;
                    delay = (delay * 2).min(RETRY.1);
                }
            }
        }
    }

    async fn adopt(&self, served: Served) {
        let wanted: Vec<ServedResource> = served
            .resources
            .iter()
            .filter(|served| served.has(&["delete", "list", "watch"]) && !is_ignored(&served.resource))
            .cloned()
            .collect();
        let mut waiting = Vec::new();
        {
            let mut state = self.lock();
            if served.stale.is_empty() {
                let gone: Vec<_> = state
                    .followed
                    .keys()
                    .filter(|resource| !wanted.iter().any(|served| served.resource == **resource))
                    .cloned()
                    .collect();
                for resource in gone {
                    state.followed.remove(&resource);
                    self.0.informers.forget(&resource);
                }
            }
            for served in wanted {
                if let Entry::Vacant(entry) = state.followed.entry(served.resource) {
                    let followed = self.follow(entry.key());
                    waiting.push(followed.store.clone());
                    entry.insert(followed);
                }
            }
            state.served = Arc::new(served);
        }
        // A resource that cannot be listed must not stop the rest.
        let all = futures::future::join_all(waiting.iter().map(Store::synced));
        if tokio::time::timeout(RETRY.1, all).await.is_err() {
            tracing::warn!("some resources cannot be listed; going on without them");
        }
    }

    fn follow(&self, resource: &GroupVersionResource) -> Followed {
        let store = self.0.informers.metadata(resource);
        store.add_index(BY_OWNER, |object| object.owners().iter().map(|owner| owner.uid.clone()).collect());
        let mut events = store.subscribe();
        let (monitors, resource) = (self.clone(), resource.clone());
        let task = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let seen = Seen { resource: resource.clone(), event };
                monitors.lock().listeners.retain(|listener| listener.send(seen.clone()).is_ok());
            }
        });
        Followed { store, task: task.abort_handle() }
    }
}
