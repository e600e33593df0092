//! `cargo xtask up` and `down`: a host, Coracle installed in it by its chart, and one Ready tenant.

use crate::host::{self, Cluster};
use crate::image;
use crate::shell::{quiet, read, run, succeeds, tail};
use crate::upstream::Set;
use crate::workspace;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::time::Instant;

/// Where the operator lives.
const NAMESPACE: &str = "coracle-system";

#[derive(clap::Args)]
pub struct Up {
    /// Compile faster, for a larger and slower binary.
    #[arg(long)]
    pub quick: bool,
}

/// A TenantCluster by namespace and name.
pub struct Tenant {
    pub namespace: String,
    pub name: String,
}

pub fn up(options: &Up) -> Result<()> {
    let cluster = host::up(Set::Minimal)?;
    println!("host ready");
    let archive = image::build(&image::Options { quick: options.quick })?;
    cluster.load(&archive)?;
    println!("image {} imported", image::name());
    install(&cluster)?;
    let begun = Instant::now();
    let tenant = apply_tenant(&cluster)?;
    let Tenant { namespace, name } = &tenant;
    println!("tenant {name} Ready after {:.1} s\n", begun.elapsed().as_secs_f64());
    println!("# The host:\n{}", cluster.environment());
    println!("# The tenant, one command at a time:");
    println!("{} connect {name} -n {namespace} -- kubectl get namespaces", image::binary().display());
    println!("# The tenant's kubeconfig, for programs inside the host:");
    println!("kubectl -n {namespace} get secret {name}-kubeconfig -o jsonpath='{{.data.value}}' | base64 -d");
    Ok(())
}

/// With a host of ours everything ends with it; from a cluster in KUBECONFIG the tenant and the chart are removed.
pub fn down() -> Result<()> {
    if let Ok(cluster) = host::running()
        && cluster.host.is_none()
    {
        let example = example();
        quiet(&mut cluster.kubectl(["delete", "-f", &example, "--ignore-not-found", "--timeout=120s"]))?;
        return quiet(&mut cluster.command("helm", ["uninstall", "coracle", "-n", NAMESPACE, "--ignore-not-found"]));
    }
    host::down()
}

/// Builds, imports and installs unless the host has Coracle already, of whatever build.
pub fn ensure_installed(cluster: &Cluster) -> Result<()> {
    if succeeds(&mut cluster.kubectl(["get", "crd", "tenantclusters.coracle.dev"])) {
        return Ok(());
    }
    let archive = image::build(&image::Options { quick: false })?;
    cluster.load(&archive)?;
    install(cluster)
}

/// Installs or upgrades the chart and waits for the operator. Pods of an older build of the same version are replaced.
pub fn install(cluster: &Cluster) -> Result<()> {
    let chart = workspace::root().join("charts/coracle").display().to_string();
    let arguments = ["upgrade", "--install", "coracle", &chart, "-n", NAMESPACE, "--create-namespace"];
    run(&mut cluster.command("helm", arguments))?;
    quiet(&mut cluster.kubectl(["-n", NAMESPACE, "rollout", "restart", "deployment"]))?;
    let status = ["-n", NAMESPACE, "rollout", "status", "deployment", "--timeout=120s"];
    let Err(error) = quiet(&mut cluster.kubectl(status)) else { return Ok(()) };
    let pods = read(&mut cluster.kubectl(["-n", NAMESPACE, "describe", "pods"])).unwrap_or_default();
    let logs = ["-n", NAMESPACE, "logs", "deployment/coracle-operator", "--tail=20"];
    let logs = read(&mut cluster.kubectl(logs)).unwrap_or_default();
    bail!("the operator does not run: {error}\nits pods:\n{}\nits log:\n{}", tail(&pods, 15), tail(&logs, 20));
}

/// Applies the smallest example and waits until it is Ready.
pub fn apply_tenant(cluster: &Cluster) -> Result<Tenant> {
    let answer = read(&mut cluster.kubectl(["apply", "-f", &example(), "-o", "json"]))?;
    let answer: Value = serde_json::from_str(&answer)?;
    let objects = answer["items"].as_array().cloned().unwrap_or_else(|| vec![answer]);
    let tenant = objects.iter().find(|object| object["kind"] == "TenantCluster");
    let metadata = &tenant.context("examples/tenant.yaml has no TenantCluster")?["metadata"];
    let field = |name: &str| metadata[name].as_str().map(str::to_owned).with_context(|| format!("no metadata.{name}"));
    let tenant = Tenant { namespace: field("namespace")?, name: field("name")? };
    let (resource, namespace) = (format!("tenantcluster/{}", tenant.name), &*tenant.namespace);
    let wait = ["wait", "--for=condition=Ready", &resource, "-n", namespace, "--timeout=180s"];
    let Err(error) = quiet(&mut cluster.kubectl(wait)) else { return Ok(tenant) };
    let described = read(&mut cluster.kubectl(["describe", &resource, "-n", namespace])).unwrap_or_default();
    let pod = format!("{}-0", tenant.name);
    let logs = read(&mut cluster.kubectl(["-n", namespace, "logs", &pod, "--tail=20"])).unwrap_or_default();
    bail!("the tenant is not Ready: {error}\n{}\nits log:\n{}", tail(&described, 30), tail(&logs, 20));
}

fn example() -> String {
    workspace::root().join("examples/tenant.yaml").display().to_string()
}
