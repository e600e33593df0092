//! Tells the operator how the parts are: one ConfigMap, written when something changed.

use super::Shared;
use super::host::Host;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::Api;
use kube::api::{Patch, PatchParams};
use operator::api::TENANT_LABEL;
use operator::report::{COMPONENTS, Component, KEY, Report};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often the flags of the parts are looked at: while starting, and once all is well. It costs a few atomic loads.
const STARTING: Duration = Duration::from_millis(20);
const STEADY: Duration = Duration::from_secs(2);

/// The flags that the parts raise.
#[derive(Clone, Default)]
pub(super) struct Parts {
    pub controllers: controllers::Health,
    pub scheduler: Arc<AtomicBool>,
    pub dns: Arc<AtomicBool>,
    pub syncer: Arc<AtomicBool>,
}

pub(super) async fn run(shared: Shared, host: Host, parts: Parts) {
    let maps: Api<ConfigMap> = Api::namespaced(host.client.clone(), &host.namespace);
    let nodes = shared.informers.store::<Node>();
    let mut told = Report::default();
    loop {
        let now = current(&shared, &parts, nodes.len());
        if now != told {
            match write(&shared, &maps, &now).await {
                Ok(()) => told = now,
                Err(error) => tracing::warn!(%error, "the report was not written"),
            }
        }
        let well = told.components.values().all(|c| c.healthy) && !told.components.is_empty();
        tokio::select! {
            () = tokio::time::sleep(if well { STEADY } else { STARTING }) => {}
            () = shared.stop.cancelled() => return,
        }
    }
}

fn current(shared: &Shared, parts: &Parts, nodes: usize) -> Report {
    let starting: Vec<_> = parts.controllers.report().into_iter().filter(|(_, report)| !report.running).collect();
    let named: Vec<&str> = starting.iter().take(3).map(|(name, _)| &**name).collect();
    let starting = format!("{} still read their caches, such as {}", starting.len(), named.join(", "));
    let syncing = parts.syncer.load(Ordering::Acquire);
    let unsynced = if syncing {
        "no host node is mirrored: is there one that matches spec.nodes.selector?"
    } else {
        "the syncer is still reading the host"
    };
    let healthy = [
        (true, ""),
        (shared.server.health().is_ready(), "a check of /readyz fails"),
        (parts.controllers.all_running(), starting.as_str()),
        (parts.scheduler.load(Ordering::Acquire), "the scheduler is still reading its caches"),
        (parts.dns.load(Ordering::Acquire), "DNS is not answering yet"),
        (syncing && nodes > 0, unsynced),
    ];
    let components = COMPONENTS.iter().zip(healthy).map(|(name, (healthy, message))| {
        let message = if healthy { String::new() } else { message.to_owned() };
        ((*name).to_owned(), Component { healthy, message })
    });
    Report {
        pod_uid: shared.args.pod_uid.clone(),
        version: vcluster_apiserver::server::fixed::VERSION.to_owned(),
        nodes: i64::try_from(nodes).unwrap_or(i64::MAX),
        components: components.collect(),
    }
}

async fn write(shared: &Shared, maps: &Api<ConfigMap>, report: &Report) -> anyhow::Result<()> {
    let tenant = &shared.args.name;
    let name = Report::name(tenant);
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {
            TENANT_LABEL: tenant,
            "app.kubernetes.io/name": "coracle",
            "coracle.dev/report": "true",
        }},
        "data": {KEY: serde_json::to_string(report)?},
    });
    maps.patch(&name, &PatchParams::apply("coracle-tenant").force(), &Patch::Apply(&map)).await?;
    Ok(())
}
