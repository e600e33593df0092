//! Deleting a whole collection with one request.

use crate::connection::{Ask, Client};
use crate::objects::Kind;
use anyhow::{Result, ensure};
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use std::time::Instant;

#[derive(clap::Args)]
pub struct Options {
    #[arg(long)]
    namespace: String,
}

pub async fn run(client: &Client, options: &Options) -> Result<Value> {
    let path = Kind::Configmaps.path(&options.namespace);
    let mut connection = client.http1().await?;
    let begun = Instant::now();
    let ask = Ask { method: Method::DELETE, path: &path, accept: "application/json", body: Bytes::new() };
    connection.ask(ask).await?;
    let whole = begun.elapsed();
    let left: Value = serde_json::from_slice(&connection.ask(Ask::get(&path)).await?)?;
    let left = left["items"].as_array().map_or(0, Vec::len);
    ensure!(left == 0, "{left} objects are left");
    Ok(json!({"whole": whole.as_secs_f64()}))
}
