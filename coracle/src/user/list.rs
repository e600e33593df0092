//! `coracle list`.

use super::print;
use super::tenant::{Host, condition, explain};
use apimachinery::clock::{Clock as _, SystemClock};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use operator::TenantCluster;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The host namespace (that of the current context by default)
    #[arg(short, long)]
    namespace: Option<String>,
    /// In every namespace
    #[arg(short = 'A', long)]
    all_namespaces: bool,
}

impl Args {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let host = Host::connect(self.namespace).await?;
        let api: Api<TenantCluster> = if self.all_namespaces { Api::all(host.client.clone()) } else { host.tenants() };
        let tenants = api.list(&ListParams::default()).await.map_err(explain)?;
        if tenants.items.is_empty() {
            print::progress(&format!("no tenant clusters here; make one with: {}", print::command("create NAME")));
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<Vec<String>> = tenants.items.iter().map(row).collect();
        print::line(&print::table(&["NAMESPACE", "NAME", "READY", "VERSION", "ENDPOINT", "NODES", "AGE"], &rows));
        Ok(ExitCode::SUCCESS)
    }
}

fn row(tenant: &TenantCluster) -> Vec<String> {
    let status = tenant.status.clone().unwrap_or_default();
    let age = tenant.creation_timestamp().map(|made| SystemClock.now().duration_since(made.0));
    vec![
        tenant.namespace().unwrap_or_default(),
        tenant.name_any(),
        condition(tenant, "Ready").to_owned(),
        status.version.unwrap_or_default(),
        status.endpoint.unwrap_or_default(),
        status.nodes.map(|n| n.to_string()).unwrap_or_default(),
        age.map(apimachinery::time::human_duration).unwrap_or_default(),
    ]
}
