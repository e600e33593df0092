//! Listing all Secrets of a namespace, as a client without a cache does.

use crate::connection::{Ask, Client};
use crate::latency::Latencies;
use crate::objects::Kind;
use anyhow::Result;
use hyper::Method;
use serde_json::Value;
use std::time::Instant;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long)]
    namespace: String,
    #[arg(long)]
    protobuf: bool,
    #[arg(long, default_value_t = 5)]
    times: usize,
}

pub async fn run(client: &Client, options: &Options) -> Result<Value> {
    let path = Kind::Secrets.path(&options.namespace);
    let accept = if options.protobuf { "application/vnd.kubernetes.protobuf" } else { "application/json" };
    let mut connection = client.http1().await?;
    let mut latencies = Latencies::default();
    let (mut bytes, mut first) = (0, None);
    let begun = Instant::now();
    for _ in 0..options.times {
        let asked = Instant::now();
        let ask = Ask { method: Method::GET, path: &path, accept, body: bytes::Bytes::new() };
        bytes = connection.ask(ask).await?.len();
        latencies.add(asked.elapsed());
        first.get_or_insert(asked.elapsed().as_secs_f64());
    }
    let mut figures = latencies.figures(begun.elapsed());
    figures["bytes"] = bytes.into();
    figures["first"] = first.into();
    Ok(figures)
}
