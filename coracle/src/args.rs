//! The command line: every command, and the runtime it runs on.

use crate::{apiserver, operator, tenant, user};
use anyhow::Context as _;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Kubernetes clusters for teams, hosted inside one.
#[derive(Debug, Parser)]
#[command(name = "coracle", version, about, propagate_version = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a tenant cluster and wait until it is ready
    Create(user::create::Args),
    /// List tenant clusters
    #[command(visible_alias = "ls")]
    List(user::list::Args),
    /// Use a tenant cluster: write a kubeconfig context, or run one command in it
    Connect(user::connect::Args),
    /// Show a tenant cluster, its conditions and events
    Describe(user::describe::Args),
    /// Delete a tenant cluster and everything in it
    Delete(user::delete::Args),
    /// Run the operator (in the host cluster)
    Operator(operator::Args),
    /// Run a whole tenant cluster (in its pod)
    Tenant(tenant::Args),
    /// Run only an API server, for other components to work against
    Apiserver(apiserver::Args),
}

impl Args {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        // One provider for every TLS connection of the process.
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            anyhow::bail!("a TLS provider was installed twice");
        }
        log()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4))
            .enable_all()
            .build()
            .context("cannot start the async runtime")?;
        runtime.block_on(async {
            match self.command {
                Command::Create(args) => args.run().await,
                Command::List(args) => args.run().await,
                Command::Connect(args) => args.run().await,
                Command::Describe(args) => args.run().await,
                Command::Delete(args) => args.run().await,
                Command::Operator(args) => args.run().await,
                Command::Tenant(args) => args.run().await,
                Command::Apiserver(args) => args.run().await,
            }
        })
    }
}

/// Logs go to stderr, filtered by `RUST_LOG` (warnings by default), as JSON lines when `CORACLE_LOG=json`.
fn log() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if std::env::var("CORACLE_LOG").is_ok_and(|format| format == "json") {
        builder.json().try_init()
    } else {
        builder.with_ansi(false).try_init()
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}
