//! `load`: many clients of one API server, at little cost to the machine that both share.
//!
//! `cargo xtask bench api` runs it against ours and upstream's in turn. Each command is one kind of work; it prints one JSON object
//! of figures: seconds (`mean`, `p50`, `p99`, `median`, `whole`), requests per second (`rate`).

mod collection;
mod connection;
mod create;
mod fanout;
mod get;
mod latency;
mod list;
mod objects;

use anyhow::Result;
use clap::Parser;
use connection::{Client, Keys};

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    keys: Keys,
    #[command(subcommand)]
    work: Work,
}

#[derive(clap::Subcommand)]
enum Work {
    /// One object is read again and again.
    Get(get::Options),
    /// ConfigMaps are created, as fast as so many clients can or at a fixed rate.
    Create(create::Options),
    /// All Secrets are listed several times.
    List(list::Options),
    /// One object is updated under many watchers.
    Fanout(fanout::Options),
    /// Objects are made in one namespace, until there are so many.
    Fill(objects::Options),
    /// All ConfigMaps of one namespace are deleted with one request.
    Collection(collection::Options),
}

fn main() -> Result<()> {
    let options = Options::parse();
    // One thread: the server shall have the rest of the machine.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let figures = runtime.block_on(async {
        let client = Client::new(&options.keys)?;
        match &options.work {
            Work::Get(options) => get::run(&client, options).await,
            Work::Create(options) => create::run(&client, options).await,
            Work::List(options) => list::run(&client, options).await,
            Work::Fanout(options) => fanout::run(&client, options).await,
            Work::Fill(options) => objects::run(&client, options).await,
            Work::Collection(options) => collection::run(&client, options).await,
        }
    })?;
    println!("{figures}");
    Ok(())
}
