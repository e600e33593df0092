//! `coracle connect NAME [-- COMMAND]`.
//!
//! With an endpoint that this machine can dial, a context is written and that is all. Without one, connections are
//! forwarded through the host's API server for as long as the command (or this program) runs.

use super::tenant::{Host, Selected, explain};
use super::{kubeconfig, print, wait};
use crate::cluster;
use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Api, ResourceExt as _};
use operator::TenantCluster;
use operator::api::ExposeType;
use operator::desired::secrets::kubeconfig_name;
use operator::desired::service::API_PORT;
use schema::yaml::to_yaml;
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    tenant: Selected,
    /// The kubeconfig file to write the context into
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// The name of the context
    #[arg(long)]
    context: Option<String>,
    /// Print the kubeconfig instead of writing it
    #[arg(long)]
    print: bool,
    /// Forward through the host's API server even when there is an endpoint outside
    #[arg(long)]
    port_forward: bool,
    /// The local port of the forward (any free one by default)
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Seconds to wait until the tenant is ready
    #[arg(long, default_value_t = 60)]
    timeout: u64,
    /// A command to run in the tenant, with KUBECONFIG set; its exit code becomes ours
    #[arg(last = true)]
    command: Vec<String>,
}

/// How to use a tenant, as a line to copy.
pub fn hint(tenant: &TenantCluster, namespace: &str) -> String {
    let command = print::command(&format!("connect -n {namespace} {} -- kubectl get nodes", tenant.name_any()));
    format!("use it with: {command}")
}

impl Args {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let host = Host::connect(self.tenant.namespace.clone()).await?;
        let name = &self.tenant.name;
        let tenant = wait::ready(&host, name, Duration::from_secs(self.timeout)).await?;
        let secret: Api<Secret> = Api::namespaced(host.client.clone(), &host.namespace);
        let secret = secret.get(&kubeconfig_name(name)).await.map_err(explain)?;
        let text = secret.data.and_then(|mut d| d.remove("value")).context("the kubeconfig Secret has no key value")?;
        let mut config = kubeconfig::parse(std::str::from_utf8(&text.0)?)?;
        if let Some(context) = &host.context {
            cluster::remember_host(&mut config, context);
        }
        let context = self.context.clone().unwrap_or_else(|| format!("coracle_{}_{name}", host.namespace));
        if self.port_forward || inside_only(&tenant) {
            self.forwarded(&host, name, &context, config).await
        } else {
            self.use_config(&kubeconfig::renamed(config, &context, None)).await?.map_or(Ok(ExitCode::SUCCESS), Ok)
        }
    }

    /// Listens on a local port, and every connection becomes one to the control plane pod.
    async fn forwarded(&self, host: &Host, name: &str, context: &str, config: Value) -> anyhow::Result<ExitCode> {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.context("cannot listen on the local port")?;
        let server = format!("https://{}", listener.local_addr()?);
        let config = kubeconfig::renamed(config, context, Some(&server));
        let pods: Api<Pod> = Api::namespaced(host.client.clone(), &host.namespace);
        let forward = tokio::spawn(forward(listener, pods, format!("{name}-0")));
        if let Some(code) = self.use_config(&config).await? {
            forward.abort();
            return Ok(code);
        }
        print::progress(&format!("forwarding {server} until interrupted"));
        tokio::select! {
            () = crate::operator::terminated() => Ok(ExitCode::SUCCESS),
            _ = forward => anyhow::bail!("the forward ended"),
        }
    }

    /// Runs the command, or prints or writes the kubeconfig. The command's exit code, when there was one.
    async fn use_config(&self, config: &Value) -> anyhow::Result<Option<ExitCode>> {
        if let Some((program, arguments)) = self.command.split_first() {
            return Ok(Some(run(program, arguments, config).await?));
        }
        if self.print {
            print::line(&to_yaml(config)?);
            return Ok(None);
        }
        let path = self.kubeconfig.clone().map_or_else(kubeconfig::default_path, Ok)?;
        let mut all = kubeconfig::read(&path)?;
        kubeconfig::merge(&mut all, config);
        kubeconfig::write(&path, &all)?;
        let context = config["current-context"].as_str().unwrap_or_default();
        print::line(&format!("context {context} is current in {}", path.display()));
        Ok(None)
    }
}

/// Whether the endpoint is one that only pods of the host can dial.
fn inside_only(tenant: &TenantCluster) -> bool {
    let expose = &tenant.spec.expose;
    expose.type_ == ExposeType::ClusterIP && expose.extra_names.is_empty()
}

async fn run(program: &str, arguments: &[String], config: &Value) -> anyhow::Result<ExitCode> {
    let folder = std::env::temp_dir().join(format!("coracle-{}", std::process::id()));
    let path = folder.join("kubeconfig");
    kubeconfig::write(&path, config)?;
    let status = tokio::process::Command::new(program).args(arguments).env("KUBECONFIG", &path).status().await;
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        tracing::warn!(%error, "the temporary kubeconfig was not removed");
    }
    let status = status.with_context(|| format!("cannot run {program}"))?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

async fn forward(listener: TcpListener, pods: Api<Pod>, pod: String) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (pods, pod) = (pods.clone(), pod.clone());
        tokio::spawn(async move {
            if let Err(error) = forward_one(stream, &pods, &pod).await {
                tracing::debug!(error = format!("{error:#}"), "a forwarded connection ended");
            }
        });
    }
}

async fn forward_one(mut local: TcpStream, pods: &Api<Pod>, pod: &str) -> anyhow::Result<()> {
    let mut forwarder = pods.portforward(pod, &[API_PORT]).await?;
    let mut remote = forwarder.take_stream(API_PORT).context("the host gave no stream")?;
    tokio::io::copy_bidirectional(&mut local, &mut remote).await?;
    drop(remote);
    forwarder.join().await.context("the forward was cut")
}
