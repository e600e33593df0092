//! The engine: hears of changes on both sides, looks at both, and performs what the translators' plans say.
//!
//! Level, not edge: a change only names what to look at. Every decision is made from the caches of that moment, and a
//! write is waited for until the caches show it. Nothing is kept that the objects themselves do not say, except which
//! pods use what (rebuilt at start) and the last state of host pods that have just gone.

mod events;
#[cfg(test)]
mod fake;
mod feed;
mod heartbeat;
mod observe;
mod perform;
mod queue;
pub(crate) mod remote;
mod stores;
#[cfg(test)]
mod tests;

use crate::kind::Kind;
use crate::references::{ObjectKey, References};
use crate::reservation::Releases;
use crate::{Config, marks};
use apimachinery::clock::Clock;
use informer::Informers;
use k8s_openapi::api::core::v1::Pod;
use observe::Observer;
use perform::Performer;
use queue::Queue;
use remote::Remote;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use stores::Stores;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the syncer works with.
pub struct Deps {
    /// Writes to the tenant; must be allowed everything there.
    pub virt: kube::Client,
    pub virt_informers: Informers,
    /// Writes to the host namespace.
    pub host: kube::Client,
    /// Reads the host: namespaced kinds in the host namespace only, cluster-scoped kinds whole.
    pub host_informers: Informers,
    pub clock: Arc<dyn Clock>,
    /// What [`crate::HostServices`] gives back when a Service was not committed after all.
    pub releases: Option<Releases>,
    /// Raised once both sides are in view: from then on the host follows the tenant.
    pub health: Arc<AtomicBool>,
    pub cancel: CancellationToken,
}

/// What a worker can be asked to look at. Names are the tenant's; for cluster-scoped kinds both sides have the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Task {
    Object(Kind, ObjectKey),
    /// The service variables of the pods of a namespace.
    ServiceEnv(String),
}

impl Task {
    pub(crate) fn object(kind: Kind, namespace: &str, name: &str) -> Self {
        Self::Object(kind, (namespace.to_owned(), name.to_owned()))
    }
}

struct Engine {
    config: Config,
    stores: Arc<Stores>,
    performer: Performer,
    queue: Queue<Task>,
    references: Mutex<References>,
    gone: Mutex<HashMap<ObjectKey, Arc<Pod>>>,
    clock: Arc<dyn Clock>,
}

/// Keeps the tenant and the host in step until cancelled, or until a part of it ends, which none should: the caller then
/// starts the process again rather than go on with less.
pub async fn run(config: Config, deps: Deps) {
    let stores = Arc::new(Stores::new(&config, &deps.virt_informers, &deps.host_informers));
    let performer = Performer {
        virt: Remote::new(deps.virt),
        host: Remote::new(deps.host),
        stores: stores.clone(),
        clock: deps.clock.clone(),
    };
    let engine = Arc::new(Engine {
        config,
        stores,
        performer,
        queue: Queue::new(),
        references: Mutex::default(),
        gone: Mutex::default(),
        clock: deps.clock,
    });
    let cancel = deps.cancel;
    tokio::select! {
        () = engine.stores.synced() => {}
        () = cancel.cancelled() => return,
    }
    tracing::info!(tenant = %engine.config.tenant, "both sides are in view");
    feed::learn(&engine);
    deps.health.store(true, Ordering::Release);
    let mut tasks = JoinSet::new();
    feed::start(&engine, &mut tasks, deps.releases);
    tasks.spawn(heartbeat::beat(engine.clone()));
    for _ in 0..engine.config.limits.workers.max(1) {
        tasks.spawn(work(engine.clone()));
    }
    tokio::select! {
        () = cancel.cancelled() => {}
        Some(ended) = tasks.join_next() => tracing::error!(?ended, "a part of the syncer ended"),
    }
    tasks.shutdown().await;
}

async fn work(engine: Arc<Engine>) {
    loop {
        let task = engine.queue.next().await;
        engine.look(&task).await;
    }
}

impl Engine {
    /// Looks at one key and does what is to be done. The plan is made and the caches are read without waiting.
    async fn look(&self, task: &Task) {
        let last = self.last_of(task);
        let plan = {
            let observer = Observer {
                config: &self.config,
                stores: &self.stores,
                references: &self.references,
                gone: &self.gone,
                now: self.clock.now(),
            };
            observer.plan(task)
        };
        if let (Some(warning), Task::Object(kind, key)) = (&plan.warning, task) {
            self.warn(*kind, key, warning).await;
        }
        match self.performer.perform(plan.steps).await {
            Ok(()) => {
                self.forget_last(task, last.as_ref());
                self.queue.done(task);
                if let Some(again) = plan.again {
                    self.queue.add_after(task.clone(), again);
                }
            }
            Err(error) => {
                let code = error.code();
                if code == 409 {
                    tracing::debug!(?task, error = %error.message(), "a write met a newer state");
                } else {
                    tracing::warn!(?task, code, error = %error.message(), "a write failed");
                }
                // What the host refuses for good the tenant should know; the rest will pass.
                if let (400 | 403 | 422, Task::Object(kind, key)) = (code, task) {
                    self.warn(*kind, key, &error.message()).await;
                }
                self.queue.failed(task);
            }
        }
    }

    /// The last state of the task's host pod, if that has just gone.
    fn last_of(&self, task: &Task) -> Option<Arc<Pod>> {
        let Task::Object(Kind::Pod, key) = task else { return None };
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Forgets a last state that has been told. One that came while the telling was under way stays for the next look.
    fn forget_last(&self, task: &Task, told: Option<&Arc<Pod>>) {
        let (Task::Object(Kind::Pod, key), Some(told)) = (task, told) else { return };
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if gone.get(key).is_some_and(|last| Arc::ptr_eq(last, told)) {
            gone.remove(key);
        }
    }

    /// The tenant object that a host object's record names.
    fn origin_key(&self, meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Option<ObjectKey> {
        marks::origin(&self.config, meta).map(|origin| (origin.namespace, origin.name))
    }
}
