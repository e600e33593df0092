//! `kubectl coracle`: the program under the name by which kubectl finds plugins.

use anyhow::{Context, Result, ensure};
use e2e::Cluster;
use e2e::tenant::coracle;
use std::os::unix::fs::symlink;

#[test]
#[ignore = "needs a host: cargo xtask test"]
fn the_program_works_as_a_kubectl_plugin() -> Result<()> {
    let host = Cluster::host()?;
    let folder = tempfile::tempdir()?;
    symlink(std::path::absolute(coracle()?)?, folder.path().join("kubectl-coracle"))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(folder.path().to_path_buf()).chain(std::env::split_paths(&path)))?;
    let kubectl = |line: &str| {
        let arguments: Vec<&str> = line.split(' ').collect();
        host.command("kubectl", &arguments).env("PATH", &path).output().context("cannot run kubectl")
    };

    let found = kubectl("plugin list")?;
    ensure!(String::from_utf8_lossy(&found.stdout).contains("kubectl-coracle"), "{found:?}");
    let none = kubectl("coracle list -n kube-node-lease")?;
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    ensure!(none.status.success() && said.contains("kubectl coracle create NAME"), "{said}");
    let missing = kubectl("coracle describe nobody -n kube-node-lease")?;
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    ensure!(missing.status.code() == Some(1) && said.contains("\"nobody\" not found"), "{said}");
    let usage = kubectl("coracle create")?;
    let said = String::from_utf8_lossy(&usage.stderr).into_owned();
    ensure!(usage.status.code() == Some(2) && said.contains("Usage: kubectl coracle create"), "{said}");
    Ok(())
}
