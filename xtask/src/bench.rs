//! `cargo xtask bench`: ours beside upstream, on the same machine in the same run.
//!
//! Every bench ends with one line, `PASS NAME: ...` or `MISS NAME: ...`, that says each bar and the figure held against it; a
//! miss is exit code 1. A bench is what it measures; how figures are printed and judged is in [`figure`], how
//! processes are started, watched and ended in [`process`], and upstream's control plane in [`upstream`].
//! What a bench starts it takes away again, also when it fails.

mod figure;
mod poll;
mod process;
mod tenant;
mod timeline;
pub mod upstream;

use anyhow::Result;
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub enum Command {
    /// How soon a tenant and its first pod are there, and what an idle tenant costs.
    Tenant(tenant::Options),
}

/// Success when every bar holds, failure when one is missed; an error when nothing could be measured.
pub fn run(command: &Command) -> Result<ExitCode> {
    let report = match command {
        Command::Tenant(options) => tenant::run(options)?,
    };
    print!("{report}");
    Ok(if report.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
