//! Events in batches, behind a queue with an end (k8s.io/apiserver `plugin/pkg/audit/buffered`).
//!
//! It sleeps while there are no events. When the queue is full, events are dropped and counted in the log.

use super::Sink;
use super::event::Event;
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Takes a batch, and its time. Trying again is its business.
#[async_trait]
pub trait Deliver: Send + Sync + 'static {
    async fn deliver(&self, events: Vec<Arc<Event>>);
}

/// Upstream's defaults for webhooks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batching {
    /// Events that wait at most.
    pub buffer: usize,
    pub batch: usize,
    /// How long a batch waits to become full.
    pub wait: Duration,
    /// Batches a second, and how many at once after a rest.
    pub rate: f64,
    pub burst: f64,
}

impl Default for Batching {
    fn default() -> Self {
        Self { buffer: 10_000, batch: 400, wait: Duration::from_secs(30), rate: 10.0, burst: 15.0 }
    }
}

/// See the module.
pub struct Batches {
    queue: mpsc::Sender<Arc<Event>>,
    dropped: AtomicU64,
}

impl Batches {
    /// Starts delivering on the current runtime; it ends, with what is left, when the sink is dropped.
    pub fn start(deliver: Arc<dyn Deliver>, batching: Batching) -> Self {
        let (queue, events) = mpsc::channel(batching.buffer);
        tokio::spawn(run(events, deliver, batching));
        Self { queue, dropped: AtomicU64::new(0) }
    }
}

impl Sink for Batches {
    fn write(&self, event: &Arc<Event>) {
        if self.queue.try_send(event.clone()).is_err() {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if dropped.is_power_of_two() {
                tracing::error!(dropped, "audit events are lost: the queue is full");
            }
        }
    }
}

async fn run(mut events: mpsc::Receiver<Arc<Event>>, deliver: Arc<dyn Deliver>, batching: Batching) {
    let (mut tokens, mut filled) = (batching.burst, Instant::now());
    while let Some(first) = events.recv().await {
        let mut batch = vec![first];
        let end = Instant::now() + batching.wait;
        while batch.len() < batching.batch {
            match tokio::time::timeout_at(end, events.recv()).await {
                Ok(Some(event)) => batch.push(event),
                Ok(None) | Err(_) => break,
            }
        }
        let now = Instant::now();
        tokens = (tokens + (now - filled).as_secs_f64() * batching.rate).min(batching.burst);
        filled = now;
        if tokens < 1.0 {
            let short = Duration::try_from_secs_f64((1.0 - tokens) / batching.rate).unwrap_or(batching.wait);
            tokio::time::sleep(short).await;
        }
        tokens -= 1.0;
        // The next batch is collected while this one is on its way.
        let deliver = deliver.clone();
        tokio::spawn(async move { deliver.deliver(batch).await });
    }
}
