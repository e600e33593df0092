//! `coracle syncer`: only the syncer, between a tenant's API server and its host.
//!
//! Addresses of Services are given by the tenant's own API server then: the host's reservation needs a seat inside it.

use super::Target;
use crate::cluster;
use anyhow::Context as _;
use apimachinery::GroupVersionResource;
use informer::{HttpSource, Informers, Scope};
use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use vcluster_apiserver::pki::pem;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    tenant: Target,
    /// The name of the tenant
    #[arg(long)]
    name: String,
    /// The host namespace in which its copies live
    #[arg(long)]
    namespace: String,
    /// The kubeconfig of the host; by default what kubectl would use, or the pod's own account
    #[arg(long)]
    host_kubeconfig: Option<PathBuf>,
    /// The domain of the tenant's services
    #[arg(long, default_value = "cluster.local")]
    cluster_domain: String,
    /// A label that a host node must have to be seen by the tenant, KEY=VALUE
    #[arg(long = "node-selector")]
    node_selector: Vec<String>,
}

impl Args {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let deps = self.tenant.connect().await?;
        let host = cluster::config(self.host_kubeconfig.as_deref()).await.context("no host cluster")?;
        let host = Client::try_from(host).context("the host cluster cannot be used")?;
        let syncer = ::syncer::Config {
            tenant: self.name.clone(),
            host_namespace: self.namespace.clone(),
            api_addresses: address(&deps.client, "default", "kubernetes").await?,
            dns_addresses: address(&deps.client, "kube-system", "kube-dns").await?,
            cluster_domain: self.cluster_domain.clone(),
            ca_pem: deps.config.root_cert.iter().flatten().map(|der| pem::encode("CERTIFICATE", der)).collect(),
            ..::syncer::Config::default()
        };
        let both = ::syncer::Deps {
            virt: deps.client,
            virt_informers: deps.informers,
            host_informers: self.host_informers(host.clone()),
            host,
            clock: deps.clock,
            releases: None,
            health: std::sync::Arc::default(),
            cancel: deps.stop,
        };
        ::syncer::run(syncer, both).await;
        Ok(ExitCode::SUCCESS)
    }

    /// Of namespaced kinds only the tenant's namespace; of the others all, and of the nodes those that it may see.
    fn host_informers(&self, host: Client) -> Informers {
        let mut source =
            HttpSource::new(host).scoped(Scope { namespace: Some(self.namespace.clone()), ..Scope::default() });
        for (group, resource) in
            [("", "persistentvolumes"), ("storage.k8s.io", "storageclasses"), ("node.k8s.io", "runtimeclasses")]
        {
            source = source.scope_for(GroupVersionResource::new(group, "v1", resource), Scope::default());
        }
        let labels = (!self.node_selector.is_empty()).then(|| self.node_selector.join(","));
        let nodes = Scope { label_selector: labels, ..Scope::default() };
        Informers::new(Arc::new(source.scope_for(GroupVersionResource::new("", "v1", "nodes"), nodes)))
    }
}

/// The addresses of a Service of the tenant; none while there is no such Service.
async fn address(tenant: &Client, namespace: &str, name: &str) -> anyhow::Result<Vec<String>> {
    let services: Api<Service> = Api::namespaced(tenant.clone(), namespace);
    let service = services.get_opt(name).await.with_context(|| format!("cannot read service {namespace}/{name}"))?;
    Ok(service.and_then(|service| service.spec?.cluster_ip).into_iter().collect())
}
