//! `coracle create NAME`.

use super::tenant::{Host, Selected, explain};
use super::{connect, print, wait};
use clap::ValueEnum;
use kube::api::PostParams;
use operator::TenantCluster;
use operator::api::{ExposeType, PersistenceType, TenantClusterSpec};
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    tenant: Selected,
    /// How the API server is reached
    #[arg(long, value_enum, default_value = "cluster-ip")]
    expose: Exposure,
    /// Keep nothing: the tenant's objects go with its pod
    #[arg(long)]
    ephemeral: bool,
    /// Size of the store's volume
    #[arg(long, default_value = "1Gi")]
    size: String,
    /// StorageClass of the store's volume (the host's default otherwise)
    #[arg(long)]
    storage_class: Option<String>,
    /// Another name or address of the API server, for its certificate
    #[arg(long = "extra-name")]
    extra_names: Vec<String>,
    /// Do not wait until the tenant is ready
    #[arg(long)]
    no_wait: bool,
    /// Seconds to wait
    #[arg(long, default_value_t = 120)]
    timeout: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Exposure {
    ClusterIp,
    NodePort,
    LoadBalancer,
}

impl Args {
    fn object(&self) -> anyhow::Result<TenantCluster> {
        let mut spec: TenantClusterSpec = serde_json::from_str("{}")?;
        spec.expose.type_ = match self.expose {
            Exposure::ClusterIp => ExposeType::ClusterIP,
            Exposure::NodePort => ExposeType::NodePort,
            Exposure::LoadBalancer => ExposeType::LoadBalancer,
        };
        spec.expose.extra_names.clone_from(&self.extra_names);
        let persistence = &mut spec.store.persistence;
        persistence.size.clone_from(&self.size);
        persistence.storage_class_name.clone_from(&self.storage_class);
        if self.ephemeral {
            persistence.type_ = PersistenceType::Ephemeral;
        }
        Ok(TenantCluster::new(&self.tenant.name, spec))
    }

    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let host = Host::connect(self.tenant.namespace.clone()).await?;
        let name = &self.tenant.name;
        let started = Instant::now();
        host.tenants().create(&PostParams::default(), &self.object()?).await.map_err(explain)?;
        print::progress(&format!("tenantcluster {name} created in namespace {}", host.namespace));
        if self.no_wait {
            return Ok(ExitCode::SUCCESS);
        }
        let tenant = wait::ready(&host, name, Duration::from_secs(self.timeout)).await?;
        print::line(&format!("{name} is ready after {:.1} s", started.elapsed().as_secs_f64()));
        print::line(&connect::hint(&tenant, &host.namespace));
        Ok(ExitCode::SUCCESS)
    }
}
