//! A tenant for one test: made by `coracle create`, used through `coracle connect`, gone when dropped.

use crate::cluster::Cluster;
use anyhow::{Context, Result, bail};
use serde_json::Value;
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

/// Makes a tenant and waits until it is Ready.
fn make(host: &Cluster, namespace: &str, name: &str) -> Result<()> {
    if let Ok(image) = std::env::var("CORACLE_IMAGE") {
        let kind = r#""apiVersion": "coracle.dev/v1alpha1", "kind": "TenantCluster""#;
        let object = format!(r#"{{{kind}, "metadata": {{"name": "{name}"}}, "spec": {{"image": "{image}"}}}}"#);
        host.feed(&format!("create -n {namespace} -f -"), &object)?;
        host.kubectl(&format!("wait -n {namespace} tc/{name} --for=condition=Ready --timeout=180s"))?;
    } else {
        let program = coracle()?.display().to_string();
        host.run(&program, &["create", name, "-n", namespace, "--timeout", "180"])?;
    }
    Ok(())
}

impl Tenant {
    /// Makes a tenant in a new host namespace and waits until it is Ready.
    pub fn create(name: &str) -> Result<Tenant> {
        let host = Cluster::host()?;
        let namespace = format!("e2e-{name}-{}", std::process::id());
        host.kubectl(&format!("create namespace {namespace}"))?;
        if let Err(error) = make(&host, &namespace, name) {
            host.kubectl(&format!("delete namespace {namespace} --wait=false")).ok();
            return Err(error);
        }
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
    pub fn host_pods(&self) -> Result<Vec<Value>> {
        self.host_copies("pods")
    }

    /// What the tenant has on the host of one kind. The control plane's own objects carry the tenant's label too, and
    /// what the host derives from a copy inherits the copy's; the record in the annotations is on copies alone.
    pub fn host_copies(&self, kind: &str) -> Result<Vec<Value>> {
        let selector = format!("coracle.dev/tenant={},coracle.dev/namespace", self.name);
        let mut found = self.host.list(&format!("{kind} -n {} -l {selector}", self.namespace))?;
        found.retain(|object| object["metadata"]["annotations"]["coracle.dev/tenant"] == self.name.as_str());
        Ok(found)
    }

    /// The host's copy of one object.
    pub fn host_copy(&self, kind: &str, namespace: &str, name: &str) -> Result<Value> {
        let is_wanted = |copy: &Value| {
            let record = &copy["metadata"]["annotations"];
            record["coracle.dev/namespace"] == namespace && record["coracle.dev/name"] == name
        };
        let found = self.host_copies(kind)?.into_iter().find(is_wanted);
        found.with_context(|| format!("{kind} {namespace}/{name} has no copy on the host"))
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
