//! `cargo xtask bench api`: `coracle apiserver` beside kube-apiserver and etcd, one after the other, under the same load.
//!
//! Both write durably, serve TLS and know the same keys; the load comes from `tests/load`, a program of one thread. Each side
//! has the machine for itself. The bars are ratios to what upstream did in the same run (docs/bench.md).

use super::Build;
use super::figure::{Bar, Figure, Report, Unit};
use super::idle;
use super::process::{Memory, Process, Ticks};
use super::server::ApiServer;
use super::upstream::{self, keys::Keys};
use crate::shell::{cmd, read, run as check};
use crate::upstream::{Set, build};
use crate::{image, workspace};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// After a start and after pods were made, before memory is looked at.
const SETTLE: Duration = Duration::from_secs(10);
/// How long processor time is taken of a server that nobody asks anything.
const IDLE: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    build: Build,
    /// Leave out what takes minutes: the list of 50,000 and the collection of 10,000 become a tenth.
    #[arg(long)]
    short: bool,
}

/// One kind of work: arguments of `load`, and what of its answer counts.
struct Work {
    arguments: Vec<String>,
    figures: Vec<Wanted>,
}

/// A figure of one work: its name in the table, the field of the answer, and how many times better ours must be.
struct Wanted {
    name: &'static str,
    field: &'static str,
    bar: Option<f64>,
}

const fn wanted(name: &'static str, field: &'static str, bar: f64) -> Wanted {
    Wanted { name, field, bar: Some(bar) }
}

/// A figure that is shown and not judged.
const fn shown(name: &'static str, field: &'static str) -> Wanted {
    Wanted { name, field, bar: None }
}

fn works(short: bool) -> Vec<Work> {
    let work = |line: &str, figures| Work { arguments: line.split(' ').map(str::to_owned).collect(), figures };
    let share = |count: usize| if short { count / 10 } else { count };
    vec![
        work("get --clients 1", vec![wanted("get, 1 client", "mean", 4.0)]),
        work(
            "get --clients 64",
            vec![wanted("get, 64 clients", "rate", 4.0), wanted("get, 64 clients, p99", "p99", 4.0)],
        ),
        work("create --clients 64 --rate 200 --namespace paced", vec![wanted("create, 200/s", "mean", 4.0)]),
        work("create --clients 1 --namespace alone", vec![wanted("create, 1 client", "rate", 4.0)]),
        work(
            "create --clients 64 --namespace many",
            vec![wanted("create, 64 clients", "rate", 4.0), wanted("create, 64 clients, p99", "p99", 4.0)],
        ),
        work(
            "create --clients 512 --namespace crowd",
            vec![wanted("create, 512 clients", "rate", 4.0), wanted("create, 512 clients, p99", "p99", 4.0)],
        ),
        work("fill secrets 5000 --namespace small", vec![]),
        work("list --namespace small", vec![wanted("list of 5,000, JSON", "p50", 4.0)]),
        work(
            "list --namespace small --protobuf",
            vec![wanted("list of 5,000, protobuf", "p50", 4.0), shown("list of 5,000, protobuf, first", "first")],
        ),
        work(&format!("fill secrets {} --namespace large", share(50_000)), vec![]),
        work("list --namespace large --times 3", vec![wanted("list of 50,000, JSON", "p50", 4.0)]),
        work(
            "list --namespace large --times 3 --protobuf",
            vec![wanted("list of 50,000, protobuf", "p50", 4.0), shown("list of 50,000, protobuf, first", "first")],
        ),
        work(
            "fanout",
            vec![wanted("update to 1,000 watchers", "p50", 4.0), wanted("update to 1,000 watchers, p99", "p99", 4.0)],
        ),
        work(&format!("fill configmaps {} --namespace doomed", share(10_000)), vec![]),
        work("collection --namespace doomed", vec![wanted("deletecollection of 10,000", "whole", 10.0)]),
    ]
}

/// What one side did.
struct Measured {
    name: &'static str,
    unit: Unit,
    bar: Option<f64>,
    value: f64,
}

pub fn run(options: &Options) -> Result<Report> {
    build(Set::Minimal)?;
    if !options.build.built {
        image::build(&image::Options { quick: options.build.quick })?;
    }
    let load = build_load()?;
    let folder = workspace::target().join("bench");
    let keys = Keys::make(&folder.join("keys"))?;
    let works = works(options.short);
    let begin_ours = || ApiServer::ours(&folder.join("apiserver"), Some(&keys));
    let begin_theirs = || upstream::api_server(&folder.join("upstream"), &keys);
    println!("coracle apiserver");
    let ours = measure(&begin_ours, &load, &keys, &works)?;
    println!("kube-apiserver and etcd");
    let theirs = measure(&begin_theirs, &load, &keys, &works)?;
    Ok(report(ours, theirs, options.short))
}

/// The load is not what is measured, but it takes its share of the machine: it is compiled for speed.
fn build_load() -> Result<PathBuf> {
    check(
        cmd("cargo", ["build", "--quiet", "--package", "load", "--profile", "quick"]).current_dir(workspace::root()),
    )?;
    Ok(workspace::target().join("quick/load"))
}

impl ApiServer {
    fn resident(&self) -> Result<f64> {
        let sizes = self.processes.iter().map(|process| Ok(Memory::of(process.pid())?.resident as f64 / 1024.0));
        sizes.sum()
    }

    fn load(&mut self, load: &Path, keys: &Keys, arguments: &[String]) -> Result<Value> {
        let answer = read(super::server::load(load, self.port, keys).args(arguments));
        self.processes.iter_mut().try_for_each(Process::check)?;
        serde_json::from_str(answer?.trim()).context("load prints JSON")
    }
}

fn measure(start: &dyn Fn() -> Result<ApiServer>, load: &Path, keys: &Keys, works: &[Work]) -> Result<Vec<Measured>> {
    let mut done = Vec::new();
    let mut add = |name, unit, bar, value| done.push(Measured { name, unit, bar, value });
    // A server of its own, so that what it holds is the pods and not what was done before.
    let mut side = start()?;
    add("start to /readyz", Unit::Seconds, Some(10.0), side.readyz.as_secs_f64());
    sleep(SETTLE);
    let ticks = Ticks::of_this_machine()?;
    let processes: Vec<_> = side.processes.iter().map(|process| (process.name, process.pid())).collect();
    let usages = idle::measure(&processes, ticks, IDLE)?;
    add("idle RSS", Unit::MiB, Some(8.0), usages.iter().map(idle::Usage::resident).sum());
    add("idle CPU", Unit::Millicores, None, usages.iter().map(|usage| usage.millicores).sum());
    side.load(load, keys, &["fill", "pods", "10000", "--namespace", "pods"].map(str::to_owned))?;
    sleep(SETTLE);
    add("RSS with 10,000 pods", Unit::MiB, Some(8.0), side.resident()?);
    drop(side);

    let mut side = start()?;
    for work in works {
        let answer = side.load(load, keys, &work.arguments).with_context(|| work.arguments.join(" "))?;
        println!("  {}: {answer}", work.arguments.join(" "));
        for Wanted { name, field, bar } in &work.figures {
            let unit = if *field == "rate" { Unit::PerSecond } else { Unit::Seconds };
            let value = answer[*field].as_f64().with_context(|| format!("{answer} has no {field}"))?;
            add(name, unit, *bar, value);
        }
    }
    add("RSS at the end", Unit::MiB, None, side.resident()?);
    Ok(done)
}

fn report(ours: Vec<Measured>, theirs: Vec<Measured>, short: bool) -> Report {
    let figures = ours.into_iter().zip(theirs).map(|(ours, theirs)| {
        let Measured { name, unit, bar, value } = ours;
        Figure { name, unit, ours: value, theirs: theirs.value, bar: bar.map(Bar::Times) }
    });
    let mut notes =
        vec!["upstream is kube-apiserver and etcd, added where memory and processor time are meant".to_owned()];
    if short {
        notes.push("short: the list of 50,000 and the collection of 10,000 were a tenth of that".to_owned());
    }
    notes.push(super::machine());
    Report { bench: "api", figures: figures.collect(), notes }
}
