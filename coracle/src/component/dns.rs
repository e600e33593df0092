//! `coracle dns`: only cluster DNS, in the place of CoreDNS.

use super::Target;
use anyhow::Context as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    /// Where DNS is served, over UDP and TCP
    #[arg(long, default_value = "0.0.0.0:1053")]
    listen: SocketAddr,
    /// The domain of services
    #[arg(long, default_value = "cluster.local")]
    cluster_domain: String,
    /// The name servers for everything outside the cluster domain
    #[arg(long, default_value = "/etc/resolv.conf")]
    resolv_conf: PathBuf,
}

impl Args {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let deps = self.target.connect().await?;
        // Without one there is nobody to ask outside: names of the cluster are answered all the same.
        let above = tokio::fs::read_to_string(&self.resolv_conf).await.unwrap_or_default();
        let config = ::dns::Config {
            listen: self.listen,
            domain: self.cluster_domain,
            upstream: ::dns::forward::Upstream::from_resolv_conf(&above),
        };
        let server = ::dns::Server::bind(config, &deps.informers);
        let Some(server) = deps.stop.run_until_cancelled(server).await else { return Ok(ExitCode::SUCCESS) };
        let server = server.context("DNS cannot be served")?;
        tracing::info!(address = %server.address(), "serving DNS");
        deps.stop.run_until_cancelled(server.run()).await.map_or(Ok(ExitCode::SUCCESS), |()| Ok(ExitCode::FAILURE))
    }
}
