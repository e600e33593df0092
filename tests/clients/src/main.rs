//! `clients`: the Rust side of `cargo xtask clients`, over kube-rs. One command follows the ConfigMaps of a namespace, the other
//! changes them and keeps a journal of what it changed.
//!
//! Both end at SIGTERM and write a line for everything; `xtask/src/clients/record.rs` says what the words mean.

mod record;
mod watch;
mod write;

use anyhow::Result;
use clap::Parser;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use record::Record;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
struct Options {
    /// The server and who asks
    #[arg(long)]
    kubeconfig: PathBuf,
    #[arg(long)]
    namespace: String,
    /// Where the lines are written
    #[arg(long)]
    record: PathBuf,
    #[command(subcommand)]
    work: Work,
}

#[derive(clap::Subcommand)]
enum Work {
    /// Follow with a watcher of kube-runtime
    Watch(watch::Options),
    /// Change objects until told to end, then make one that is called `end`
    Write(write::Options),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        anyhow::bail!("a TLS provider was installed twice");
    }
    let kubeconfig = Kubeconfig::read_from(&options.kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let api: Api<ConfigMap> = Api::namespaced(Client::try_from(config)?, &options.namespace);
    let record = Record::create(&options.record)?;
    let mut told = signal(SignalKind::terminate())?;
    match options.work {
        Work::Watch(options) => tokio::select! {
            done = watch::run(api, &record, &options) => done,
            _ = told.recv() => Ok(()),
        },
        Work::Write(options) => write::run(&api, &record, &options, told).await,
    }
}
