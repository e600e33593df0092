//! A watcher of kube-runtime, with its own way to begin and to come back.

use crate::record::Record;
use anyhow::Result;
use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Error, Event, watcher};

#[derive(clap::Args)]
pub struct Options {
    /// Begin with a streaming list instead of pages
    #[arg(long)]
    streaming: bool,
}

/// Runs for ever.
pub async fn run(api: Api<ConfigMap>, record: &Record, options: &Options) -> Result<()> {
    let config = watcher::Config::default();
    let config = if options.streaming { config.streaming_lists() } else { config };
    let events = watcher(api, config).default_backoff();
    pin_mut!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => record.line("list")?,
            Ok(Event::InitApply(object)) => record.object("item", &object)?,
            Ok(Event::InitDone) => record.line("listed")?,
            Ok(Event::Apply(object)) => record.object("applied", &object)?,
            Ok(Event::Delete(object)) => record.object("deleted", &object)?,
            Err(Error::WatchError(status)) if status.code == 410 => record.line("refused 410")?,
            // The server is away; the watcher comes back by itself.
            Err(_) => {}
        }
    }
    anyhow::bail!("the watcher ended")
}
