//! A tenant for one test: made by `coracle create`, used through `coracle connect`, gone when dropped.

use crate::cluster::Cluster;
use anyhow::{Context, Result, bail};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A Ready tenant and the forward that reaches it. Dereferences to its API.
pub struct Tenant {
    pub host: Cluster,
    /// The host namespace that it has to itself.
    pub namespace: String,
    pub name: String,
    api: Cluster,
    forward: Child,
    _folder: tempfile::TempDir,
}

/// The program under test.
pub fn coracle() -> Result<PathBuf> {
    std::env::var_os("CORACLE").map(PathBuf::from).context("CORACLE names the program: run `cargo xtask test`")
}

impl Tenant {
    /// Makes a tenant in a new host namespace and waits until it is Ready.
    pub fn create(name: &str) -> Result<Tenant> {
        let host = Cluster::host()?;
        let namespace = format!("e2e-{name}-{}", std::process::id());
        host.kubectl(&format!("create namespace {namespace}"))?;
        let program = coracle()?.display().to_string();
        host.run(&program, &["create", name, "-n", &namespace, "--timeout", "180"])?;
        Tenant::connect(host, namespace, name)
    }

    /// Reaches a tenant that exists.
    pub fn connect(host: Cluster, namespace: String, name: &str) -> Result<Tenant> {
        let folder = tempfile::tempdir()?;
        let kubeconfig = folder.path().join("kubeconfig");
        let mut connect: Command = host.command(&coracle()?.display().to_string(), &["connect", name]);
        connect.args(["-n", &namespace, "--port-forward", "--kubeconfig"]).arg(&kubeconfig);
        let mut forward = connect.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let api = Cluster::new(&kubeconfig);
        let ready = crate::eventually("the tenant's API answers", 90, || {
            if let Some(status) = forward.try_wait()? {
                bail!("coracle connect ended: {status}");
            }
            Ok(kubeconfig.is_file() && api.kubectl("get --raw /readyz").is_ok())
        });
        if let Err(error) = ready {
            forward.kill().ok();
            forward.wait().ok();
            return Err(error);
        }
        Ok(Tenant { host, namespace, name: name.to_owned(), api, forward, _folder: folder })
    }

    /// The host's copies of the tenant's pods.
    pub fn host_pods(&self) -> Result<Vec<serde_json::Value>> {
        self.host.list(&format!("pods -n {} -l coracle.dev/tenant={}", self.namespace, self.name))
    }

    /// Deletes the tenant and its host namespace, and waits for both.
    pub fn delete(self) -> Result<()> {
        let program = coracle()?.display().to_string();
        self.host.run(&program, &["delete", &self.name, "-n", &self.namespace])?;
        self.host.kubectl(&format!("delete namespace {} --timeout=120s", self.namespace))?;
        Ok(())
    }
}

impl Deref for Tenant {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.api
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        self.forward.kill().ok();
        self.forward.wait().ok();
        // Without the finalizer's wait, so that a failing test ends at once; the operator removes the rest.
        self.host.kubectl(&format!("delete namespace {} --ignore-not-found --wait=false", self.namespace)).ok();
    }
}
