//! `coracle`, the only binary: reads its arguments, joins the libraries, and runs what was asked for.

mod apiserver;
mod args;
mod health;
mod operator;
mod tenant;
mod user;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match args::Args::parse().run() {
        Ok(code) => code,
        Err(error) => {
            tracing::debug!(?error, "failed");
            user::print::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
