//! Reading one object.

use crate::connection::{Ask, Client};
use crate::latency::Latencies;
use crate::objects::{Kind, namespace};
use anyhow::Result;
use futures::future::try_join_all;
use serde_json::Value;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub struct Options {
    #[arg(long)]
    clients: usize,
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

pub async fn run(client: &Client, options: &Options) -> Result<Value> {
    namespace(client, "load-get").await?;
    let collection = Kind::Secrets.path("load-get");
    let path = format!("{collection}/one");
    let mut connection = client.http1().await?;
    if connection.ask(Ask::get(&path)).await.is_err() {
        connection.ask(Ask::post(&collection, Kind::Secrets.body("one"))).await?;
    }
    let connections = try_join_all((0..options.clients).map(|_| client.http1())).await?;
    let begun = Instant::now();
    let end = begun + Duration::from_secs(options.seconds);
    let work = connections.into_iter().map(async |mut connection| {
        let mut latencies = Latencies::default();
        while Instant::now() < end {
            let asked = Instant::now();
            connection.ask(Ask::get(&path)).await?;
            latencies.add(asked.elapsed());
        }
        anyhow::Ok(latencies)
    });
    let latencies = Latencies::join(try_join_all(work).await?);
    Ok(latencies.figures(begun.elapsed()))
}
