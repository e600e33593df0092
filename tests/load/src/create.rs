//! Creating objects, each client as fast as it is answered, or all together at a fixed rate.

use crate::connection::{Ask, Client, Http1};
use crate::latency::Latencies;
use crate::objects::{Kind, namespace};
use anyhow::Result;
use futures::future::try_join_all;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long)]
    clients: usize,
    /// Creations per second; as many as the clients can without it
    #[arg(long)]
    rate: Option<u32>,
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    #[arg(long)]
    namespace: String,
}

pub async fn run(client: &Client, options: &Options) -> Result<Value> {
    namespace(client, &options.namespace).await?;
    let path = Kind::Configmaps.path(&options.namespace);
    let connections = try_join_all((0..options.clients).map(|_| client.http1())).await?;
    // A tick of a fixed rate may be late, its requests wait no longer than for a free connection.
    let ticks = options.rate.map(|rate| {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        tokio::sync::Mutex::new(ticks)
    });
    let count = Cell::new(0_u64);
    let latencies = RefCell::new(Latencies::default());
    let begun = Instant::now();
    let end = begun + Duration::from_secs(options.seconds);
    let work = connections.into_iter().map(async |mut connection: Http1| {
        while Instant::now() < end {
            // From the moment at which it was due: a server that cannot keep up is not spared the queue.
            let due = match &ticks {
                Some(ticks) => ticks.lock().await.tick().await.into_std(),
                None => Instant::now(),
            };
            let number = count.replace(count.get() + 1);
            let body = Kind::Configmaps.body(&format!("created-{number:07}"));
            connection.ask(Ask::post(&path, body)).await?;
            latencies.borrow_mut().add(due.elapsed());
        }
        anyhow::Ok(())
    });
    try_join_all(work).await?;
    Ok(latencies.into_inner().figures(begun.elapsed()))
}
