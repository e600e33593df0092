//! The tenant's process is killed, its pod deleted, host copies removed by hand, all under a stream of writes: nothing acknowledged is lost.

use anyhow::{Context, Result, ensure};
use e2e::{BUSYBOX, Tenant, eventually};
use serde_json::Value;
use std::collections::BTreeMap;

/// Writes `count` ConfigMaps and returns those that the server acknowledged, with their resource versions.
fn write(tenant: &Tenant, prefix: &str, count: usize) -> BTreeMap<String, u64> {
    let mut acknowledged = BTreeMap::new();
    for number in 0..count {
        let name = format!("{prefix}-{number}");
        let line = format!("create configmap {name} -o jsonpath={{.metadata.resourceVersion}} --request-timeout=3s");
        if let Some(version) = tenant.kubectl(&line).ok().and_then(|version| version.parse().ok()) {
            acknowledged.insert(name, version);
        }
    }
    acknowledged
}

fn uid(object: &Value) -> Option<&str> {
    object["metadata"]["uid"].as_str()
}

#[test]
#[ignore = "needs a host: cargo xtask test"]
fn crashes_lose_no_acknowledged_write_and_restart_no_pod() -> Result<()> {
    let tenant = Tenant::create("crash")?;
    tenant.kubectl(&format!("run survivor --image={BUSYBOX} -- sleep 3600"))?;
    tenant.kubectl("wait --for=condition=Ready pod/survivor --timeout=60s")?;
    let before = tenant.get("pod survivor")?;
    ensure!(!tenant.host_pods()?.is_empty(), "the pod has no host copy");

    // A grace period of one second is the nearest that an API offers to a kill from outside.
    let pod = format!("{}-0", tenant.name);
    let namespace = &tenant.namespace;
    let mut acknowledged = BTreeMap::new();
    for round in 0..2 {
        acknowledged.extend(write(&tenant, &format!("before{round}"), 15));
        tenant.host.kubectl(&format!("-n {namespace} delete pod {pod} --grace-period=1 --wait=false"))?;
        acknowledged.extend(write(&tenant, &format!("during{round}"), 15));
        eventually("the tenant is back", 60, || Ok(tenant.kubectl("get --raw /readyz").is_ok()))?;
    }
    ensure!(acknowledged.len() >= 30, "only {} writes were acknowledged", acknowledged.len());

    let after = tenant.get("pod survivor")?;
    ensure!(uid(&before) == uid(&after), "the pod is another");
    let restarts = &after["status"]["containerStatuses"][0]["restartCount"];
    ensure!(restarts == 0, "the pod restarted {restarts} times");
    let kept = tenant.list("configmaps")?;
    let kept: BTreeMap<&str, &str> = kept
        .iter()
        .filter_map(|map| Some((map["metadata"]["name"].as_str()?, map["metadata"]["resourceVersion"].as_str()?)))
        .collect();
    for (name, version) in &acknowledged {
        let found = kept.get(name.as_str()).with_context(|| format!("{name} was acknowledged and is lost"))?;
        ensure!(found.parse::<u64>()? == *version, "{name} went from {version} to {found}");
    }
    let last = acknowledged.values().max().copied().unwrap_or_default();
    let next = write(&tenant, "after", 1);
    ensure!(next.values().all(|version| *version > last), "the revision went back: {next:?} after {last}");
    Ok(())
}
