//! Which tenant a command is about.

use anyhow::Context as _;
use kube::{Api, Client};
use operator::TenantCluster;

/// A tenant by name, in a namespace of the host.
#[derive(Clone, Debug, clap::Args)]
pub struct Selected {
    /// The name of the tenant cluster
    pub name: String,
    /// The host namespace of the tenant cluster (that of the current context by default)
    #[arg(short, long)]
    pub namespace: Option<String>,
}

/// A client of the host cluster and the namespace that commands work in.
pub struct Host {
    pub client: Client,
    pub namespace: String,
    /// The context of the kubeconfig that names the host; none in a pod.
    pub context: Option<String>,
}

impl Host {
    pub async fn connect(namespace: Option<String>) -> anyhow::Result<Self> {
        let found = crate::cluster::host().await;
        let (config, context) = found.context("no host cluster: set KUBECONFIG to that of the host")?;
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("cannot use the kubeconfig of the host cluster")?;
        Ok(Self { client, namespace, context })
    }

    pub fn tenants(&self) -> Api<TenantCluster> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// The status of a condition, `Unknown` when it is not there.
pub fn condition<'a>(tenant: &'a TenantCluster, type_: &str) -> &'a str {
    let conditions = tenant.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    conditions.iter().find(|c| c.type_ == type_).map_or("Unknown", |c| c.status.as_str())
}

/// The host's own sentence about a failure, instead of the client's wrapping of it.
pub fn explain(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) => anyhow::anyhow!("{}", status.message),
        other => other.into(),
    }
}
