//! Unmodified helm in a tenant: install, upgrade, roll back, uninstall.

use anyhow::{Result, ensure};
use e2e::Tenant;

#[test]
#[ignore = "needs a host: cargo xtask test"]
fn helm_installs_upgrades_rolls_back_and_uninstalls() -> Result<()> {
    let tenant = Tenant::create("helm")?;
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/chart");
    let greeting = || tenant.kubectl("get configmap shop -o jsonpath={.data.greeting}");

    tenant.run("helm", &["install", "shop", chart, "--wait", "--timeout", "120s"])?;
    ensure!(greeting()? == "hello", "installed: {}", greeting()?);
    let job = tenant.get("job shop-check")?;
    ensure!(job["status"]["succeeded"] == 1, "the hook's job: {}", job["status"]);

    let upgrade = ["upgrade", "shop", chart, "--wait", "--timeout", "120s", "--set", "greeting=bye,replicas=2"];
    tenant.run("helm", &upgrade)?;
    ensure!(greeting()? == "bye", "upgraded: {}", greeting()?);
    ensure!(tenant.get("deployment shop")?["status"]["readyReplicas"] == 2, "the upgrade did not scale");

    tenant.run("helm", &["rollback", "shop", "1", "--wait", "--timeout", "120s"])?;
    ensure!(greeting()? == "hello", "rolled back: {}", greeting()?);

    tenant.run("helm", &["uninstall", "shop", "--wait", "--timeout", "120s"])?;
    let left = tenant.kubectl("get deployments,services,configmaps,persistentvolumeclaims -o name")?;
    ensure!(!left.contains("/shop"), "left behind: {left}");
    Ok(())
}
