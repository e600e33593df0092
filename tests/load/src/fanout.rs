//! One object updated under many watchers: how long until each has seen each update.

use crate::connection::{Ask, Client};
use crate::latency::Latencies;
use crate::objects::{Kind, namespace};
use anyhow::{Context, Result, ensure};
use futures::future::{try_join, try_join_all};
use http_body_util::BodyExt as _;
use memchr::memmem::Finder;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// So many watchers read what they are sent, the others take it off their connections and leave it sealed: opening everything
/// would cost the one thread here more than sending it costs the server.
const MEASURED: usize = 50;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long, default_value_t = 1000)]
    watchers: usize,
    #[arg(long, default_value_t = 500)]
    updates: usize,
    /// Updates per second
    #[arg(long, default_value_t = 20)]
    rate: u32,
}

pub async fn run(client: &Client, options: &Options) -> Result<Value> {
    namespace(client, "load-fanout").await?;
    let collection = Kind::Configmaps.path("load-fanout");
    let mut writer = client.http1().await?;
    let begun = Instant::now();
    let body = |sent: Duration| {
        let data = json!({"sent": sent.as_nanos().to_string(), "payload": "x".repeat(200)});
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": data}).to_string()
    };
    let made: Value = serde_json::from_slice(&writer.ask(Ask::post(&collection, body(Duration::ZERO))).await?)?;
    let revision = made["metadata"]["resourceVersion"].as_str().context("an object has a resourceVersion")?;
    let path = format!("{collection}?watch=1&resourceVersion={revision}");

    let measured = options.watchers.min(MEASURED);
    // The measured ones lie evenly among the others: servers that go through their watchers in order are not judged by
    // their first or their last.
    let apart = options.watchers / measured.max(1);
    let (mut draining, mut streams) = (Vec::new(), Vec::new());
    for number in 0..options.watchers {
        if number % apart == 0 && streams.len() < measured {
            let mut connection = client.http1().await?;
            let stream = connection.open(Ask::get(&path)).await?;
            streams.push((connection, stream));
        } else {
            draining.push(tokio::spawn(drain(client.sealed(&path).await?)));
        }
    }
    let watchers = try_join_all(streams.into_iter().map(async |(connection, stream)| {
        let seen = tokio::spawn(watch(stream.into_body(), options.updates, begun)).await?;
        drop(connection);
        seen
    }));
    let writing = async {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / options.rate);
        let object = format!("{collection}/one");
        for _ in 0..options.updates {
            ticks.tick().await;
            writer.ask(Ask::put(&object, body(begun.elapsed()))).await?;
        }
        anyhow::Ok(())
    };
    let ((), latencies) = try_join(writing, watchers).await?;
    let latencies = Latencies::join(latencies);
    ensure!(latencies.len() == options.updates * measured, "{} events were seen", latencies.len());
    for task in draining {
        ensure!(!task.is_finished(), "a watch ended");
        task.abort();
    }
    Ok(latencies.figures(begun.elapsed()))
}

/// Takes everything off a connection until it ends.
async fn drain(mut stream: TcpStream) -> Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}

/// Reads until all updates were seen. Events come in lines; a line may come in parts.
async fn watch(mut body: hyper::body::Incoming, updates: usize, begun: Instant) -> Result<Latencies> {
    let mark = Finder::new(br#""sent":""#);
    let mut latencies = Latencies::default();
    let mut rest: Vec<u8> = Vec::new();
    while latencies.len() < updates {
        let frame = body.frame().await.context("the watch ended")??;
        let Some(data) = frame.data_ref() else { continue };
        rest.extend_from_slice(data);
        let mut read = 0;
        while let Some(length) = memchr::memchr(b'\n', &rest[read..]) {
            let line = &rest[read..read + length];
            read += length + 1;
            let Some(at) = mark.find(line) else { continue };
            let digits = line[at + mark.needle().len()..].iter().take_while(|byte| byte.is_ascii_digit());
            let sent = digits.fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
            latencies.add(begun.elapsed().saturating_sub(Duration::from_nanos(sent)));
        }
        rest.drain(..read);
    }
    Ok(latencies)
}
