//! `coracle operator`: the host side of every tenant.

use crate::health;
use ::operator::controller::{Context, run};
use ::operator::desired::Settings;
use anyhow::Context as _;
use apimachinery::clock::SystemClock;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image that new control planes run
    #[arg(long, env = "CORACLE_IMAGE")]
    image: String,
    /// The pull policy of that image
    #[arg(long)]
    image_pull_policy: Option<String>,
    /// The ClusterRole that a tenant gets in its host namespace
    #[arg(long, default_value = "coracle-tenant-namespace")]
    namespace_role: String,
    /// The ClusterRole that a tenant gets on the whole host
    #[arg(long, default_value = "coracle-tenant")]
    cluster_role: String,
    /// Where probes are answered
    #[arg(long, default_value = "0.0.0.0:8080")]
    health_address: SocketAddr,
}

impl Args {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let client = kube::Client::try_from(crate::cluster::config(None).await.context("no host cluster")?)
            .context("the host cluster cannot be used")?;
        let ready = health::Ready::default();
        let probes = tokio::spawn(health::serve(self.health_address, ready.clone()));
        let settings = Settings {
            image: self.image,
            image_pull_policy: self.image_pull_policy,
            namespace_role: self.namespace_role,
            cluster_role: self.cluster_role,
        };
        let context = Context::new(client, settings, Arc::new(SystemClock), std::env::var("POD_NAME").ok());
        ready.set();
        tokio::select! {
            () = run(Arc::new(context), terminated()) => Ok(ExitCode::SUCCESS),
            ended = probes => ended.context("the probe listener panicked")?.map(|()| ExitCode::FAILURE),
        }
    }
}

/// Resolves on SIGTERM or SIGINT.
pub async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => {
            tracing::error!(%error, "cannot listen for a signal");
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::interrupt()) => {}
    }
}
