//! `coracle describe NAME`.

use super::print;
use super::tenant::{Host, Selected, explain};
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use operator::TenantCluster;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    tenant: Selected,
}

impl Args {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let host = Host::connect(self.tenant.namespace.clone()).await?;
        let tenant = host.tenants().get(&self.tenant.name).await.map_err(explain)?;
        print::line(&text(&tenant));
        let about = format!("involvedObject.kind=TenantCluster,involvedObject.name={}", self.tenant.name);
        let events: Api<Event> = Api::namespaced(host.client.clone(), &host.namespace);
        let events = events.list(&ListParams::default().fields(&about)).await.map_err(explain)?;
        let rows: Vec<Vec<String>> = events
            .items
            .iter()
            .map(|e| {
                let text = |field: &Option<String>| field.clone().unwrap_or_default();
                vec![text(&e.type_), text(&e.reason), text(&e.message)]
            })
            .collect();
        if !rows.is_empty() {
            print::line("\nEvents:");
            print::line(&print::table(&["TYPE", "REASON", "MESSAGE"], &rows));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn text(tenant: &TenantCluster) -> String {
    let status = tenant.status.clone().unwrap_or_default();
    let none = || "<none>".to_owned();
    let mut lines = vec![
        format!("Name:        {}", tenant.name_any()),
        format!("Namespace:   {}", tenant.namespace().unwrap_or_default()),
        format!("Version:     {}", status.version.unwrap_or_else(none)),
        format!("Endpoint:    {}", status.endpoint.unwrap_or_else(none)),
        format!("Store:       {}", status.store.unwrap_or_else(none)),
        format!("Nodes:       {}", status.nodes.map_or_else(none, |n| n.to_string())),
        format!("Kubeconfig:  {} (key value)", status.kubeconfig_secret.unwrap_or_else(none)),
        "Conditions:".to_owned(),
    ];
    let rows: Vec<Vec<String>> = status
        .conditions
        .iter()
        .map(|c| vec![c.type_.clone(), c.status.clone(), c.reason.clone(), c.message.clone()])
        .collect();
    lines.push(print::table(&["TYPE", "STATUS", "REASON", "MESSAGE"], &rows));
    lines.join("\n")
}
