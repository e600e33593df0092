//! `cargo xtask bench tenant`: how soon a tenant and its first pod are there, and what an idle tenant costs.
//!
//! Upstream's side is a fresh control plane of its own programs on this machine, without nodes, and for pods the host itself.
//! Starts are measured several times and their medians reported; idle costs are measured over one minute, both sides in the
//! same minute. The bars are the first ones of the project; the aim is below them (docs/bench.md).

mod creation;

use super::Build;
use super::figure::{Bar, Figure, Report, Unit, median};
use super::idle::{self, Usage};
use super::process::Ticks;
use super::server::ApiServer;
use super::upstream::{ControlPlane, PROGRAMS, keys::Keys, program};
use crate::host::{self, Cluster};
use crate::upstream::{self, Set};
use crate::{image, launch, workspace};
use anyhow::{Context, Result};
use creation::{Creation, Tenants, process_of};
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// After the last change, before idle costs are taken.
const SETTLE: Duration = Duration::from_secs(30);
/// How long idle costs are taken.
const IDLE: Duration = Duration::from_mins(1);

/// Seen on a host of the same kind (two cores), not in this run.
const ELSEWHERE: &str = "measured elsewhere, not in this run: vCluster's default tenant on such a host is Ready after 19 s, \
                         its first pod runs after another 18 s, and it idles at 606 MiB RSS and 43 m";

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    build: Build,
    /// How many starts of each kind are measured; their medians count.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    times: u8,
}

pub fn run(options: &Options) -> Result<Report> {
    let cluster = prepare(options)?;
    let folder = workspace::target().join("bench");
    fs::create_dir_all(&folder)?;
    let ticks = Ticks::of_this_machine()?;
    let keys = Keys::make(&folder.join("keys"))?;

    let mut served = Vec::new();
    for number in 1..=options.times {
        let time = ApiServer::ours(&folder.join("apiserver"), None)?.readyz;
        println!("coracle apiserver {number}: /readyz after {:.3} s", time.as_secs_f64());
        served.push(time);
    }
    let mut planes = Vec::new();
    let mut plane = None;
    for number in 1..=options.times {
        // The one before goes first: two at once would slow each other down.
        drop(plane.take());
        let started = ControlPlane::start(&folder.join("upstream"), &keys)?;
        let (readyz, usable) = (started.readyz.as_secs_f64(), started.usable.as_secs_f64());
        println!("upstream {number}: /readyz after {readyz:.2} s, default service account after {usable:.2} s");
        planes.push((started.readyz, started.usable));
        plane = Some(started);
    }
    drop(plane);
    let mut tenants = Tenants::new(&cluster, &folder, ticks)?;
    let mut creations = Vec::new();
    for number in 1..=options.times {
        let name = format!("bench-{number}");
        let creation = tenants.create(&name)?;
        println!("tenant {number}: {creation}");
        creations.push(creation);
        if number < options.times {
            tenants.delete(&name)?;
        } else {
            tenants.delete_pod(&name)?;
        }
    }
    let mut plane = ControlPlane::start(&folder.join("upstream"), &keys)?;
    let name = format!("bench-{}", options.times);
    let (ours, theirs) = idle_costs(&name, &mut plane, ticks)?;
    report(&Starts { served, planes, creations }, &ours, &theirs)
}

/// A host with Coracle installed.
fn prepare(options: &Options) -> Result<Cluster> {
    upstream::build(Set::Minimal)?;
    if options.build.built {
        return host::running();
    }
    let cluster = host::up(Set::Minimal)?;
    let archive = image::build(&image::Options { quick: options.build.quick })?;
    cluster.load(&archive)?;
    launch::install(&cluster)?;
    Ok(cluster)
}

fn idle_costs(tenant: &str, plane: &mut ControlPlane, ticks: Ticks) -> Result<(Usage, Vec<Usage>)> {
    let pid = process_of(tenant)?;
    let (settle, idle) = (SETTLE.as_secs(), IDLE.as_secs());
    println!("idle: {settle} s to settle, then {idle} s");
    sleep(SETTLE);
    let processes = plane.processes.iter().map(|process| (process.name, process.pid()));
    let processes: Vec<_> = std::iter::once(("coracle tenant", pid)).chain(processes).collect();
    let mut usages = idle::measure(&processes, ticks, IDLE)?;
    plane.check()?;
    let ours = usages.remove(0);
    Ok((ours, usages))
}

/// Every start that was timed.
struct Starts {
    /// `coracle apiserver` to /readyz.
    served: Vec<Duration>,
    /// kube-apiserver to /readyz, and etcd to the default service account.
    planes: Vec<(Duration, Duration)>,
    creations: Vec<Creation>,
}

fn report(starts: &Starts, ours: &Usage, theirs: &[Usage]) -> Result<Report> {
    let of = |pick: fn(&Creation) -> Duration| median(starts.creations.iter().map(pick));
    let usable = median(starts.planes.iter().map(|plane| plane.1));
    let host_pod = of(|creation| creation.host_pod);
    let sum = |pick: fn(&Usage) -> f64| theirs.iter().map(pick).sum::<f64>();
    let (resident, proportional) = (|usage: &Usage| usage.resident(), |usage: &Usage| usage.proportional());
    let programs = PROGRAMS.iter().map(|name| megabytes(&program(name))).sum::<Result<f64>>()?;
    let figure = |name, unit, ours, theirs, bar| Figure { name, unit, ours, theirs, bar };
    let readyz = median(starts.planes.iter().map(|plane| plane.0));
    let image = workspace::target().join("image/coracle.tar");
    let figures = vec![
        figure("create to Ready", Unit::Seconds, of(|creation| creation.ready), usable, Some(Bar::Below(4.0))),
        figure(
            "create to first pod",
            Unit::Seconds,
            of(|creation| creation.first_pod),
            usable + host_pod,
            Some(Bar::Below(8.0)),
        ),
        figure("pod to Running", Unit::Seconds, of(|creation| creation.pod), host_pod, None),
        figure(
            "process to /readyz",
            Unit::Seconds,
            median(starts.served.iter().copied()),
            readyz,
            Some(Bar::Below(0.3)),
        ),
        figure("idle RSS", Unit::MiB, resident(ours), sum(resident), Some(Bar::Below(35.0))),
        figure("idle PSS", Unit::MiB, proportional(ours), sum(proportional), None),
        figure("idle CPU", Unit::Millicores, ours.millicores, sum(|usage| usage.millicores), Some(Bar::Below(10.0))),
        figure("binary", Unit::MB, megabytes(&image::binary())?, programs, Some(Bar::Below(25.0))),
        figure("image", Unit::MB, megabytes(&image)?, programs, None),
    ];
    let mut notes = vec![
        "upstream: create to Ready is etcd's start to the default service account; the first pod is that and a pod on the host;".to_owned(),
        format!("  /readyz is kube-apiserver alone (ours: coracle apiserver, as a tenant's process needs a host); the rest is {}",
            PROGRAMS.join(" + ")),
    ];
    notes.push(idle::table(std::iter::once(ours).chain(theirs)).trim_end().to_owned());
    notes.push(creation::steps(&starts.creations));
    notes.push(super::machine());
    notes.push(ELSEWHERE.to_owned());
    Ok(Report { bench: "tenant", figures, notes })
}

/// The size of a file, in 10^6 bytes.
fn megabytes(file: &Path) -> Result<f64> {
    let metadata = file.metadata().with_context(|| format!("no {}", file.display()))?;
    Ok(metadata.len() as f64 / 1e6)
}
