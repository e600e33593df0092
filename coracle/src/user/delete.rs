//! `coracle delete NAME`.

use super::print;
use super::tenant::{Host, Selected, explain};
use anyhow::Context as _;
use kube::api::DeleteParams;
use kube::runtime::conditions::is_deleted;
use kube::runtime::wait::await_condition;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    tenant: Selected,
    /// Do not wait until everything is gone
    #[arg(long)]
    no_wait: bool,
    /// Seconds to wait
    #[arg(long, default_value_t = 120)]
    timeout: u64,
}

impl Args {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let host = Host::connect(self.tenant.namespace.clone()).await?;
        let name = &self.tenant.name;
        let api = host.tenants();
        let uid = api.get_metadata(name).await.map_err(explain)?.metadata.uid.unwrap_or_default();
        api.delete(name, &DeleteParams::default()).await.map_err(explain)?;
        if !self.no_wait {
            let gone = await_condition(api, name, is_deleted(&uid));
            tokio::time::timeout(Duration::from_secs(self.timeout), gone)
                .await
                .with_context(|| format!("{name} is still there after {} s", self.timeout))?
                .context("cannot watch tenant clusters on the host")?;
        }
        print::line(&format!("tenantcluster {name} deleted"));
        Ok(ExitCode::SUCCESS)
    }
}
