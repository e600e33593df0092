//! What a subscriber hears: first everything that is there, then every change, none skipped.

use crate::Raw;
use crate::entry::Delivery;
use futures::stream::{self, Stream};
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::sync::Arc;
use tokio::sync::mpsc;

/// One change of one object: `old` is absent for an addition, `new` for a deletion.
#[derive(Clone, Debug)]
pub struct Event<K> {
    pub old: Option<Arc<K>>,
    pub new: Option<Arc<K>>,
}

impl<K> Event<K> {
    /// The states that this event speaks of, the newer first.
    pub fn states(&self) -> impl Iterator<Item = &Arc<K>> {
        self.new.iter().chain(self.old.iter())
    }

    /// The newest state that is known.
    pub fn latest(&self) -> Option<&Arc<K>> {
        self.states().next()
    }
}

/// An unbounded queue of changes; dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription<K> {
    receiver: mpsc::UnboundedReceiver<Arc<Delivery>>,
    kind: PhantomData<fn() -> K>,
}

impl<K: DeserializeOwned + Send + Sync + 'static> Subscription<K> {
    pub(crate) fn new(receiver: mpsc::UnboundedReceiver<Arc<Delivery>>) -> Self {
        Self { receiver, kind: PhantomData }
    }

    /// The next change, decoded. `None` only after the store's resource was forgotten. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event<K>> {
        loop {
            let delivery = self.receiver.recv().await?;
            let event =
                Event { old: delivery.decode(delivery.old.as_ref()), new: delivery.decode(delivery.new.as_ref()) };
            if event.latest().is_some() {
                return Some(event);
            }
        }
    }

    /// The next change without decoding anything: the bytes before and after. Cancel-safe.
    pub async fn next_raw(&mut self) -> Option<(Option<Raw>, Option<Raw>)> {
        let delivery = self.receiver.recv().await?;
        let raw = |entry: &Option<Arc<crate::entry::Entry>>| entry.as_ref().map(|entry| entry.raw.clone());
        Some((raw(&delivery.old), raw(&delivery.new)))
    }

    pub fn into_stream(self) -> impl Stream<Item = Event<K>> + Send {
        stream::unfold(self, |mut subscription| async {
            let event = subscription.next().await?;
            Some((event, subscription))
        })
    }
}
