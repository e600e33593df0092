//! Runs one controller: feeds its queue from its watches, works on keys side by side, retries what fails.
//!
//! A panic in one key's work is that key's failure and nobody else's. Retries, and their back-off, live here alone.

use crate::api::{Api, ApiError};
use crate::controller::Reconcile;
use crate::health::Entry;
use crate::queue::{Key, Queue};
use futures::future::{FutureExt, join_all};
use futures::stream::{StreamExt, select_all};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Runs until `stop`. Work that has begun is finished.
pub(crate) async fn run(controller: Arc<dyn Reconcile>, api: Api, health: Arc<Entry>, stop: CancellationToken) {
    let descriptor = controller.descriptor();
    let queue = Arc::new(Queue::new());
    let (ready, streams): (Vec<_>, Vec<_>) =
        controller.watches().into_iter().map(crate::controller::Watch::into_parts).unzip();
    let feed = {
        let queue = queue.clone();
        select_all(streams).for_each(move |keys| {
            for key in keys {
                queue.add(key);
            }
            futures::future::ready(())
        })
    };
    let work = async {
        join_all(ready).await;
        health.set_running(true);
        tracing::debug!(controller = descriptor.name, "caches are complete, working");
        let mut working = JoinSet::new();
        loop {
            tokio::select! {
                key = queue.next(), if working.len() < descriptor.workers => {
                    let (controller, api, health, queue) = (controller.clone(), api.clone(), health.clone(), queue.clone());
                    let span = tracing::debug_span!("reconcile", controller = descriptor.name, %key);
                    working.spawn(async move { turn(&*controller, &api, &health, &queue, key).await }.instrument(span));
                }
                Some(_) = working.join_next() => {}
                () = stop.cancelled() => break,
            }
        }
        while working.join_next().await.is_some() {}
    };
    tokio::select! {
        () = work => {}
        // Ends only when every source is gone, which is a stop too.
        () = async { feed.await; stop.cancelled().await; std::future::pending::<()>().await } => {}
    }
    health.set_running(false);
}

async fn turn(controller: &dyn Reconcile, api: &Api, health: &Entry, queue: &Queue, key: Key) {
    let outcome = AssertUnwindSafe(controller.reconcile(&key, api)).catch_unwind().await;
    health.count(matches!(outcome, Ok(Ok(_))), queue.depth());
    match outcome {
        Ok(Ok(requeue)) => {
            queue.succeeded(&key);
            if let Some(delay) = requeue {
                queue.add_after(key.clone(), delay);
            }
        }
        Ok(Err(error)) => {
            let retry_in = queue.retry(key.clone());
            log_failure(&error, retry_in);
        }
        Err(_) => {
            let retry_in = queue.retry(key.clone());
            tracing::error!(%key, ?retry_in, "a controller panicked on this key");
        }
    }
    queue.done(&key);
}

/// A conflict is how optimistic concurrency works and no news.
fn log_failure(error: &ApiError, retry_in: std::time::Duration) {
    if error.code() == 409 {
        tracing::debug!(%error, ?retry_in, "conflict");
    } else {
        tracing::warn!(%error, ?retry_in, "reconcile failed");
    }
}
