//! The command line: every command, and the runtime it runs on.

use crate::{apiserver, component, operator, tenant, user};
use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

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
    /// Run only the controllers, against any API server
    Controllers(component::controllers::Args),
    /// Run only the scheduler, against any API server
    Scheduler(component::scheduler::Args),
    /// Run only cluster DNS, against any API server
    Dns(component::dns::Args),
    /// Run only the syncer, between any API server and its host
    Syncer(component::syncer::Args),
}

/// What people type to get here: kubectl runs a program `kubectl-coracle` in PATH as `kubectl coracle`.
pub fn called_as(program: Option<&OsString>) -> &'static str {
    let name = program.and_then(|path| Path::new(path).file_stem());
    if name.is_some_and(|name| name == "kubectl-coracle") { "kubectl coracle" } else { "coracle" }
}

impl Args {
    /// Reads a command line, whose first word is the program. Usage and errors name the program as it was called.
    pub fn read(line: Vec<OsString>) -> Result<Self, clap::Error> {
        let command = Self::command().bin_name(called_as(line.first()));
        Self::from_arg_matches(&command.try_get_matches_from(line)?)
    }

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
                Command::Controllers(args) => args.run().await,
                Command::Scheduler(args) => args.run().await,
                Command::Dns(args) => args.run().await,
                Command::Syncer(args) => args.run().await,
            }
        })
    }
}

/// Logs go to stderr, filtered by `RUST_LOG` (warnings by default), as JSON lines when `CORACLE_LOG=json`.
fn log() -> anyhow::Result<()> {
    let filter = std::env::var("RUST_LOG").ok().filter(|directives| !directives.is_empty());
    let filter: Targets = filter.as_deref().unwrap_or("warn").parse().context("RUST_LOG cannot be read")?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if std::env::var("CORACLE_LOG").is_ok_and(|format| format == "json") {
        lines.json().boxed()
    } else {
        lines.with_ansi(false).boxed()
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().context("cannot start logging")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Args, clap::Error> {
        Args::read(line.split(' ').map(OsString::from).collect())
    }

    #[test]
    fn a_plugin_takes_the_same_commands_and_names_itself_as_kubectl_does() {
        for (program, name) in [
            ("coracle", "coracle"),
            ("/usr/local/bin/coracle", "coracle"),
            ("kubectl-coracle", "kubectl coracle"),
            ("/usr/local/bin/kubectl-coracle", "kubectl coracle"),
        ] {
            assert!(matches!(read(&format!("{program} list -A")).unwrap().command, Command::List(_)));
            let connect = format!("{program} connect demo -n team -- kubectl get pods -n default");
            assert!(matches!(read(&connect).unwrap().command, Command::Connect(_)));
            let refused = read(&format!("{program} create")).unwrap_err().to_string();
            assert!(refused.contains(&format!("Usage: {name} create <NAME>")), "{refused}");
        }
    }

    #[test]
    fn every_command_line_is_well_formed() {
        Args::command().debug_assert();
    }
}
