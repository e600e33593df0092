//! One part of a control plane alone, against any conforming API server over HTTPS: `coracle controllers`, `scheduler`,
//! `dns` and `syncer`. Flags have upstream's names where upstream's component has them.
//!
//! It refuses to know which API server it is: what works against ours must work against upstream's, and is tested so.

pub mod controllers;
pub mod dns;
pub mod leader;
pub mod scheduler;
pub mod service_account;
pub mod syncer;

use crate::cluster;
use anyhow::Context as _;
use apimachinery::clock::{Clock, Rng, SeededRng, SystemClock};
use informer::{HttpSource, Informers};
use leader::{Election, Record};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Which API server a part works against.
#[derive(Clone, Debug, clap::Args)]
pub struct Target {
    /// The kubeconfig of the API server to work against; by default what kubectl would use, or the pod's own account
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
}

/// Whether replicas take turns.
#[derive(Clone, Debug, clap::Args)]
pub struct TakingTurns {
    /// Work only while holding the Lease of upstream's component, so that its replicas and ours never work at once
    #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        action = clap::ArgAction::Set)]
    leader_elect: bool,
    /// The namespace of that Lease
    #[arg(long, default_value = "kube-system")]
    leader_elect_resource_namespace: String,
}

/// What a part is made from.
pub struct Deps {
    pub config: kube::Config,
    pub client: kube::Client,
    pub informers: Informers,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    /// Cancelled when the process is asked to end.
    pub stop: CancellationToken,
}

impl Target {
    pub async fn connect(&self) -> anyhow::Result<Deps> {
        let config = cluster::config(self.kubeconfig.as_deref()).await;
        let config = config.context("no API server: name one with --kubeconfig")?;
        let client = kube::Client::try_from(config.clone()).context("cannot use the kubeconfig")?;
        let stop = CancellationToken::new();
        tokio::spawn({
            let stop = stop.clone();
            async move {
                crate::operator::terminated().await;
                stop.cancel();
            }
        });
        Ok(Deps {
            config,
            informers: Informers::new(Arc::new(HttpSource::new(client.clone()))),
            client,
            clock: Arc::new(SystemClock),
            rng: Arc::new(SeededRng::from_entropy()),
            stop,
        })
    }
}

impl TakingTurns {
    /// Does `work` under the Lease of this name, until it ends by itself or the lease is lost.
    async fn run(&self, lease: &str, deps: &Deps, work: impl Future<Output = ()>) -> anyhow::Result<ExitCode> {
        if !self.leader_elect {
            work.await;
            return Ok(ExitCode::SUCCESS);
        }
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "coracle".to_owned());
        let record = Record::new(&format!("{host}_{}", deps.rng.uuid()), deps.clock.clone());
        let election = Election::new(deps.client.clone(), &self.leader_elect_resource_namespace, lease, record);
        election.lead(&deps.stop, work).await?;
        Ok(ExitCode::SUCCESS)
    }
}
