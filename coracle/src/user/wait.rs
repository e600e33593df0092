//! Waiting for a tenant, with its conditions as progress.

use super::print;
use super::tenant::Host;
use anyhow::Context as _;
use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use operator::TenantCluster;
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

/// Follows one tenant until it is ready. Each condition is told once when it becomes true, and each sentence that
/// stands against readiness when it changes; of a tenant that is ready already nothing is told.
pub async fn ready(host: &Host, name: &str, timeout: Duration) -> anyhow::Result<TenantCluster> {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut tenants = pin!(watcher(host.tenants(), config).default_backoff().applied_objects());
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    let follow = async {
        while let Some(tenant) = tenants.next().await {
            let tenant = tenant.context("cannot watch tenant clusters on the host")?;
            let conditions = tenant.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
            let current = conditions.iter().all(|c| c.observed_generation == tenant.metadata.generation);
            let is_ready = current && super::tenant::condition(&tenant, "Ready") == "True";
            if is_ready && told.is_empty() {
                return Ok(tenant);
            }
            for condition in conditions.iter().filter(|c| c.type_ != "Ready") {
                let text = if condition.status == "True" { "ok".to_owned() } else { condition.message.clone() };
                if told.insert(condition.type_.clone(), text.clone()).as_ref() != Some(&text)
                    && condition.status != "Unknown"
                {
                    print::progress(&format!("  {:<20} {text}", condition.type_));
                }
            }
            if is_ready {
                return Ok(tenant);
            }
        }
        anyhow::bail!("the watch of the host ended")
    };
    if let Ok(result) = tokio::time::timeout(timeout, follow).await {
        return result;
    }
    let open: Vec<String> =
        told.iter().filter(|(_, text)| *text != "ok").map(|(type_, text)| format!("{type_}: {text}")).collect();
    anyhow::bail!("{name} is not ready after {} s: {}", timeout.as_secs(), open.join("; "))
}
