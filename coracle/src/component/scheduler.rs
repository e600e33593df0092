//! `coracle scheduler`: only the scheduler, in the place of upstream's kube-scheduler.

use super::{TakingTurns, Target};
use std::process::ExitCode;
use std::sync::Arc;

/// The name of upstream's Lease.
const LEASE: &str = "kube-scheduler";

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    turns: TakingTurns,
}

impl Args {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let deps = self.target.connect().await?;
        let scheduler = ::scheduler::Deps {
            client: deps.client.clone(),
            informers: deps.informers.clone(),
            clock: deps.clock.clone(),
            rng: deps.rng.clone(),
            cancel: deps.stop.clone(),
            health: Arc::default(),
        };
        let work = Box::pin(::scheduler::run(::scheduler::Config::default(), scheduler));
        self.turns.run(LEASE, &deps, work).await
    }
}
