//! What a controller is, in two forms.
//!
//! - [`Controller`]: observe a key in the caches, plan purely. Nearly all are this.
//! - [`Reconcile`]: what the driver runs. Every `Controller` becomes one through [`Planned`]; a controller whose next step
//!   depends on what the API answers (namespace contents, garbage) is one directly.

use crate::api::{Api, ApiError};
use crate::plan::Plan;
use crate::queue::Key;
use apimachinery::clock::Clock;
use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{BoxStream, StreamExt};
use informer::{Event, Store};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// Who a controller is to the API and how much it does at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Upstream's name of the controller (`cmd/kube-controller-manager/names`).
    pub name: &'static str,
    /// Its service account in `kube-system`.
    pub account: &'static str,
    /// The source of its events.
    pub component: &'static str,
    pub workers: usize,
}

/// One resource whose changes wake keys.
pub struct Watch {
    ready: BoxFuture<'static, ()>,
    keys: BoxStream<'static, Vec<Key>>,
}

impl Watch {
    /// Wakes the keys that `wake` names for each change of `store`, and for everything that is there at the start.
    pub(crate) fn on<K>(
        informers: &informer::Informers,
        store: &Store<K>,
        mut wake: impl FnMut(&Event<K>) -> Vec<Key> + Send + 'static,
    ) -> Self
    where
        K: DeserializeOwned + Send + Sync + 'static,
    {
        let keys = store.subscribe().into_stream().map(move |event| wake(&event)).boxed();
        let store = informers.metadata(store.resource());
        Self { ready: async move { store.synced().await }.boxed(), keys }
    }

    /// Wakes what `keys` says; work begins when `ready` is.
    pub(crate) fn of(ready: impl Future<Output = ()> + Send + 'static, keys: BoxStream<'static, Vec<Key>>) -> Self {
        Self { ready: ready.boxed(), keys }
    }

    /// Wakes the changed object itself.
    pub(crate) fn own<K>(informers: &informer::Informers, store: &Store<K>) -> Self
    where
        K: DeserializeOwned + Send + Sync + crate::meta::Meta + 'static,
    {
        Self::on(informers, store, |event| event.latest().map(|object| key_of(&**object)).into_iter().collect())
    }

    pub(crate) fn into_parts(self) -> (BoxFuture<'static, ()>, BoxStream<'static, Vec<Key>>) {
        (self.ready, self.keys)
    }
}

pub(crate) fn key_of<K: crate::meta::Meta>(object: &K) -> Key {
    Key::new(object.namespace(), object.name())
}

pub trait Controller: Send + Sync + 'static {
    /// Everything that a decision about one key rests on.
    type Observed: Send + Sync;

    fn descriptor(&self) -> Descriptor;

    fn watches(&self) -> Vec<Watch>;

    /// Reads the caches and nothing else. `None` when there is nothing to decide.
    fn observe(&self, key: &Key) -> Option<Self::Observed>;

    /// Pure: no I/O, clock or randomness.
    fn plan(&self, observed: &Self::Observed, now: Timestamp) -> Plan;

    /// What else to write when the plan failed, such as a condition that says so.
    fn after_failure(&self, _observed: &Self::Observed, _failure: &ApiError, _now: Timestamp) -> Plan {
        Plan::default()
    }
}

#[async_trait]
pub trait Reconcile: Send + Sync + 'static {
    fn descriptor(&self) -> Descriptor;

    fn watches(&self) -> Vec<Watch>;

    /// Brings one key closer to what it should be. Returns when to look again even if nothing changes.
    async fn reconcile(&self, key: &Key, api: &Api) -> Result<Option<Duration>, ApiError>;
}

/// A [`Controller`] as the driver runs it.
pub(crate) struct Planned<C> {
    pub(crate) controller: C,
    pub(crate) clock: Arc<dyn Clock>,
}

#[async_trait]
impl<C: Controller> Reconcile for Planned<C> {
    fn descriptor(&self) -> Descriptor {
        self.controller.descriptor()
    }

    fn watches(&self) -> Vec<Watch> {
        self.controller.watches()
    }

    async fn reconcile(&self, key: &Key, api: &Api) -> Result<Option<Duration>, ApiError> {
        let Some(observed) = self.controller.observe(key) else { return Ok(None) };
        let plan = self.controller.plan(&observed, self.clock.now());
        let Err(failure) = api.apply(&plan).await else { return Ok(plan.requeue) };
        let amends = self.controller.after_failure(&observed, &failure, self.clock.now());
        if let Err(error) = api.apply(&amends).await {
            tracing::debug!(%key, %error, "the failure could not be written down");
        }
        Err(failure)
    }
}
