//! What a host has beyond bare nodes: DNS and a default storage class with its provisioner.

use super::network::DNS_ADDRESS;
use super::{Host, fill, images};
use crate::shell::{quiet, read, tail};
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::fs;

impl Host {
    pub(super) fn apply_addons(&self) -> Result<()> {
        let dns = include_str!("../../../tests/host/dns.yaml");
        let dns = fill(dns, &[("IMAGE", &images::coredns()), ("ADDRESS", DNS_ADDRESS)])?;
        for (name, text) in [("dns", &*dns), ("storage", include_str!("../../../tests/host/storage.yaml"))] {
            let file = self.conf().join(format!("{name}.yaml"));
            fs::write(&file, text)?;
            let path = file.display().to_string();
            quiet(&mut self.cluster().kubectl(["apply", "-f", &path])).with_context(|| format!("applying {name}"))?;
        }
        Ok(())
    }

    /// The provisioner is this program itself: a copy, since a build may replace the original while it runs.
    pub(super) fn start_provisioner(&self) -> Result<()> {
        if self.alive("provisioner") {
            return Ok(());
        }
        let program = self.conf().join("provisioner");
        fs::copy(std::env::current_exe()?, &program)?;
        let kubectl = workspace::upstream_bin().join("kubectl").display().to_string();
        let (program, volumes) = (program.display().to_string(), self.dir.join("volumes").display().to_string());
        let kubeconfig = format!("KUBECONFIG={}", self.kubeconfig("admin").display());
        let arguments = ["host", "provisioner", "--volumes", &volumes, "--kubectl", &kubectl];
        self.start("provisioner", &["env".to_owned(), kubeconfig, program], &arguments)
    }

    pub(super) fn wait_for_dns(&self) -> Result<()> {
        let cluster = self.cluster();
        let rollout = ["-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=180s"];
        let Err(error) = quiet(&mut cluster.kubectl(rollout)) else { return Ok(()) };
        let pods = read(&mut cluster.kubectl(["-n", "kube-system", "describe", "pods"])).unwrap_or_default();
        bail!("coredns does not run: {error}\nits pods:\n{}", tail(&pods, 25));
    }
}
