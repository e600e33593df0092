//! `coracle`, the only binary: reads its arguments, joins the libraries, and runs what was asked for.

mod apiserver;
mod args;
mod cluster;
mod component;
mod health;
mod operator;
mod tenant;
mod user;

use mimalloc::MiMalloc;
use std::process::ExitCode;

/// Requests are trees of small pieces, made by one thread and often dropped by another: the C library's allocator spends
/// a quarter of the server's time on them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let args = match args::Args::read(std::env::args_os().collect()) {
        Ok(args) => args,
        Err(refused) => refused.exit(),
    };
    match args.run() {
        Ok(code) => code,
        Err(error) => {
            tracing::debug!(?error, "failed");
            user::print::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
