//! `cargo xtask bench`: ours beside upstream, on the same machine in the same run.
//!
//! Every bench ends with one line, `PASS NAME: ...` or `MISS NAME: ...`, that says each bar and the figure held against it; a
//! miss is exit code 1. A bench is what it measures; how figures are printed and judged is in [`figure`], how
//! processes are started, watched and ended in [`process`], and upstream's control plane in [`upstream`].
//! What a bench starts it takes away again, also when it fails.

mod api;
mod figure;
mod idle;
mod poll;
pub mod process;
pub mod server;
mod tenant;
mod timeline;
pub mod upstream;

use crate::shell::{cmd, read};
use anyhow::Result;
use std::process::ExitCode;

/// Which build of ours is measured.
#[derive(clap::Args)]
struct Build {
    /// Measure a build of the profile `quick`: compiled sooner, larger and slower.
    #[arg(long)]
    quick: bool,
    /// Measure what is in target/image (and, for a tenant, in the host), and build nothing of ours.
    #[arg(long, conflicts_with = "quick")]
    built: bool,
}

#[derive(clap::Subcommand)]
pub enum Command {
    /// How soon a tenant and its first pod are there, and what an idle tenant costs.
    Tenant(tenant::Options),
    /// What an API server does per second, how long it takes, and what it holds.
    Api(api::Options),
}

/// Success when every bar holds, failure when one is missed; an error when nothing could be measured.
pub fn run(command: &Command) -> Result<ExitCode> {
    let report = match command {
        Command::Tenant(options) => tenant::run(options)?,
        Command::Api(options) => api::run(options)?,
    };
    print!("{report}");
    Ok(if report.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the figures depend on besides the programs.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let kernel = read(&mut cmd("uname", ["-sr"])).unwrap_or_default();
    format!("machine: {cores} cores, {}, load {load} at the end", kernel.trim())
}
