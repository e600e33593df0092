//! `cargo xtask`: everything a person types to work on Coracle, from building upstream's programs to a running tenant.
//!
//! Each command is a file; this one only parses the command line. Nothing here is part of the product, and no product
//! crate may depend on it. It runs programs (cargo, go, kubectl, ip, ...) rather than linking their libraries, so that it
//! compiles in seconds.

mod archive;
mod bench;
mod check;
mod clients;
mod conformance;
mod diff;
mod fuzz;
mod host;
mod image;
mod launch;
mod shell;
mod tables;
mod tidy;
mod upstream;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Work on Coracle: build, check, run.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a host (or use the one in KUBECONFIG), install Coracle and bring up a tenant.
    Up(launch::Up),
    /// Take away what `up` made.
    Down,
    /// Every check: format, lints, tidy, licences, tests, and the tests on a real host.
    Test(check::Test),
    /// Build the pinned upstream programs into target/upstream/bin.
    Upstream {
        /// `minimal` leaves out e2e.test and what only a few of its specs need.
        #[arg(value_enum, default_value_t = upstream::Set::All)]
        set: upstream::Set,
    },
    /// The two-node upstream host on this machine.
    #[command(subcommand)]
    Host(host::Command),
    /// Build the static binary and the image around it: target/image/coracle.tar.
    Image(image::Options),
    /// Run upstream's e2e.test against a tenant and compare with the checked-in list.
    Conformance(conformance::Options),
    /// Measure ours beside upstream and hold it against the bars.
    #[command(subcommand)]
    Bench(bench::Command),
    /// The same requests to upstream's API server and to ours, and every difference between the answers.
    Diff(diff::Options),
    /// Feed everything that reads a client's bytes with mutations of upstream's fixtures.
    Fuzz(fuzz::Options),
    /// Client libraries under a server that is killed again and again: nothing lost, nothing twice.
    Clients(clients::Options),
    /// Write the type tables anew from upstream and fail when they change.
    Tables,
    /// Crate edges, file lengths, module docs, lint tables.
    Tidy,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Up(options) => launch::up(&options),
        Command::Down => launch::down(),
        Command::Test(options) => check::run(&options),
        Command::Upstream { set } => upstream::build(set),
        Command::Host(command) => host::run(&command),
        Command::Image(options) => image::build(&options).map(|archive| println!("{}", archive.display())),
        Command::Conformance(options) => conformance::run(&options),
        Command::Bench(command) => match bench::run(&command) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Diff(options) => diff::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Clients(options) => clients::run(&options),
        Command::Tables => tables::rebuild(),
        Command::Tidy => tidy::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
