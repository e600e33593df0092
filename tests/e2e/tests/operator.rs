//! The TenantCluster resource: what is refused, what the examples give, what a user sees.

use anyhow::{Result, ensure};
use e2e::Cluster;
use std::fs;

#[test]
#[ignore = "needs a host: cargo xtask test"]
fn what_cannot_work_is_refused_with_a_sentence() -> Result<()> {
    let host = Cluster::host()?;
    let tenant = |name: &str, spec: &str| {
        format!("apiVersion: coracle.dev/v1alpha1\nkind: TenantCluster\nmetadata: {{name: {name}}}\nspec: {spec}\n")
    };
    let long = "a".repeat(41);
    for (name, spec, sentence) in [
        ("bad", "{version: \"1.2\"}", "version"),
        (&long, "{}", "name"),
        ("bad", "{expose: {type: ClusterIP, nodePort: 30000}}", "expose.nodePort needs"),
        ("bad", "{expose: {type: NodePort, nodePort: 70000}}", "port"),
    ] {
        let refused = host.feed("apply --dry-run=server -f -", &tenant(name, spec));
        let said = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(said.contains(sentence), "{name} {spec} was not refused with {sentence:?}: {said}");
    }
    Ok(())
}

#[test]
#[ignore = "needs a host: cargo xtask test"]
fn every_example_becomes_ready_and_goes() -> Result<()> {
    let host = Cluster::host()?;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    for entry in fs::read_dir(folder)? {
        let file = entry?.path().display().to_string();
        let namespace = format!("e2e-example-{}", std::process::id());
        host.kubectl(&format!("create namespace {namespace}"))?;
        let ready = (|| {
            host.kubectl(&format!("apply -n {namespace} -f {file}"))?;
            host.kubectl(&format!("wait -n {namespace} tenantclusters --all --for=condition=Ready --timeout=120s"))
        })();
        host.kubectl(&format!("delete namespace {namespace} --timeout=120s"))?;
        ready?;
    }
    Ok(())
}
