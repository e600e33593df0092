//! `cargo xtask host`: an upstream Kubernetes host with two nodes on one Linux machine, without systemd or Docker.
//!
//! The control plane and each node have a network namespace of their own on one bridge; a node also has its own mount
//! and host name namespaces, so that two kubelets and two containerds do not see each other. Nothing has a route
//! out of the machine. All state lies in one folder (`target/host`, or `$CORACLE_HOST_DIR`); `down` removes it and everything else that `up`
//! made. A machine holds one such host at a time: the namespaces and addresses are fixed. Where KUBECONFIG names a
//! reachable cluster, that one is used instead and none is started.

mod addons;
mod control_plane;
mod images;
mod network;
mod node;
mod packages;
mod pki;
mod process;
mod provisioner;

use crate::shell::{cmd, read, succeeds};
use crate::upstream::{self, Set};
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Names the state folder of the host that this machine holds, so that another checkout finds it.
const MARKER: &str = "/run/coracle-host";

/// The nodes; their order gives their addresses.
pub const NODES: [&str; 2] = ["n1", "n2"];

#[derive(clap::Subcommand)]
pub enum Command {
    /// Start the host, or complete one that runs already; with KUBECONFIG set, check that cluster instead.
    Up {
        /// `minimal` leaves out e2e.test and the images that only a few of its specs need.
        #[arg(value_enum, default_value_t = Set::Minimal)]
        set: Set,
    },
    /// Stop the host and remove everything that `up` made.
    Down,
    /// What runs, and how to reach it.
    Status,
    /// Runs in the background on the host: makes volumes for claims of the default storage class.
    #[command(hide = true)]
    Provisioner {
        /// Where the volumes' folders go.
        #[arg(long)]
        volumes: PathBuf,
        /// The kubectl to watch and write with.
        #[arg(long)]
        kubectl: PathBuf,
    },
}

pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Up { set } => up(*set).map(|cluster| println!("host ready: {}", cluster.environment())),
        Command::Down => down(),
        Command::Status => status(),
        Command::Provisioner { volumes, kubectl } => provisioner::run(volumes, kubectl),
    }
}

/// A reachable host cluster.
pub struct Cluster {
    pub kubeconfig: PathBuf,
    /// Ours, if this harness started it.
    pub host: Option<Host>,
}

impl Cluster {
    /// kubectl against this cluster.
    pub fn kubectl<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> std::process::Command {
        self.command("kubectl", arguments)
    }

    /// One of the upstream client programs against this cluster.
    pub fn command<'a>(&self, program: &str, arguments: impl IntoIterator<Item = &'a str>) -> std::process::Command {
        let mut command = cmd(client(program), arguments);
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// What a shell needs to use it.
    pub fn environment(&self) -> String {
        format!("export KUBECONFIG={} PATH={}:$PATH", self.kubeconfig.display(), workspace::upstream_bin().display())
    }

    /// Makes the images of an archive known to every node.
    pub fn load(&self, archive: &Path) -> Result<()> {
        match &self.host {
            Some(host) => NODES.iter().try_for_each(|node| host.import(node, archive)),
            None => images::load_into_foreign(self, archive),
        }
    }
}

/// The pinned client program if it is built, otherwise the one in PATH.
pub fn client(program: &str) -> PathBuf {
    let pinned = workspace::upstream_bin().join(program);
    if pinned.is_file() { pinned } else { PathBuf::from(program) }
}

/// The local host: a folder of state.
#[derive(Clone)]
pub struct Host {
    dir: PathBuf,
}

impl Host {
    /// The host of this checkout.
    pub fn here() -> Host {
        let dir = std::env::var_os("CORACLE_HOST_DIR").map_or_else(|| workspace::target().join("host"), PathBuf::from);
        Host::at(std::path::absolute(&dir).unwrap_or(dir))
    }

    /// The processes and folders below `dir`.
    pub fn at(dir: PathBuf) -> Host {
        Host { dir }
    }

    pub fn make_folders(&self) -> Result<()> {
        for folder in [self.conf(), self.pki(), self.logs(), self.run()] {
            fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        Ok(())
    }

    fn conf(&self) -> PathBuf {
        self.dir.join("conf")
    }
    fn pki(&self) -> PathBuf {
        self.dir.join("pki")
    }
    fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }
    fn run(&self) -> PathBuf {
        self.dir.join("run")
    }
    fn log(&self, component: &str) -> PathBuf {
        self.logs().join(format!("{component}.log"))
    }
    fn pid_file(&self, component: &str) -> PathBuf {
        self.run().join(format!("{component}.pid"))
    }
    fn node_dir(&self, node: &str) -> PathBuf {
        self.dir.join("nodes").join(node)
    }

    /// The kubeconfig of a component (`admin` for people).
    pub fn kubeconfig(&self, who: &str) -> PathBuf {
        self.conf().join(format!("{who}.kubeconfig"))
    }

    /// The full path of a built upstream program, as an argument.
    fn program(name: &str) -> String {
        workspace::upstream_bin().join(name).display().to_string()
    }

    fn cluster(&self) -> Cluster {
        Cluster { kubeconfig: self.kubeconfig("admin"), host: Some(self.clone()) }
    }
}

/// A reachable host with at least the images of `set`: the cluster of KUBECONFIG, or ours, started if need be.
pub fn up(set: Set) -> Result<Cluster> {
    let host = Host::here();
    if let Some(cluster) = foreign(&host)? {
        return Ok(cluster);
    }
    if !is_root() {
        bail!("a local host needs root (namespaces, mounts, cgroups); run as root, or set KUBECONFIG to a cluster");
    }
    packages::install()?;
    upstream::build(set)?;
    if let Some(other) = other_host(&host) {
        println!("ending the host of {}: a machine holds one at a time", other.dir.display());
        end(&other)?;
    }
    host.make_folders()?;
    fs::write(MARKER, host.dir.display().to_string())?;
    let archives = images::build(set)?;
    host.remember_sysctls()?;
    host.create_places()?;
    host.make_certificates()?;
    network::up()?;
    host.start_control_plane()?;
    for node in NODES {
        host.start_node(node)?;
    }
    for archive in &archives {
        for node in NODES {
            host.import(node, archive)?;
        }
    }
    host.start_provisioner()?;
    host.apply_addons()?;
    host.wait_for_nodes()?;
    host.wait_for_dns()?;
    if set == Set::All {
        host.start_registry(&archives)?;
    }
    Ok(host.cluster())
}

/// Stops the host of this checkout. With a foreign cluster in KUBECONFIG nothing of it is touched.
pub fn down() -> Result<()> {
    let host = Host::here();
    end(&other_host(&host).unwrap_or(host))
}

/// The cluster of `up`, without starting anything.
pub fn running() -> Result<Cluster> {
    let host = Host::here();
    if let Some(cluster) = foreign(&host)? {
        return Ok(cluster);
    }
    let host = other_host(&host).unwrap_or(host);
    let cluster = host.cluster();
    if !succeeds(&mut cluster.kubectl(["get", "--raw", "/readyz"])) {
        bail!("no host runs: cargo xtask host up");
    }
    Ok(cluster)
}

fn status() -> Result<()> {
    let cluster = running();
    if let Ok(Cluster { host: Some(host), .. }) = &cluster {
        for (component, alive) in host.components() {
            println!("{component:<26} {}", if alive { "running" } else { "ENDED" });
        }
    }
    let cluster = cluster?;
    print!("{}", read(&mut cluster.kubectl(["get", "nodes", "-o", "wide"]))?);
    println!("{}", cluster.environment());
    Ok(())
}

/// The cluster that KUBECONFIG names, unless it is our own. Unset or unreachable: none, with a word about the latter.
fn foreign(host: &Host) -> Result<Option<Cluster>> {
    let Some(value) = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty()) else { return Ok(None) };
    let kubeconfig = std::path::absolute(PathBuf::from(value))?;
    let ours = other_host(host).map(|other| other.kubeconfig("admin"));
    if kubeconfig == host.kubeconfig("admin") || Some(&kubeconfig) == ours.as_ref() {
        return Ok(None);
    }
    let cluster = Cluster { kubeconfig, host: None };
    if succeeds(&mut cluster.kubectl(["get", "--raw", "/readyz", "--request-timeout=10s"])) {
        return Ok(Some(cluster));
    }
    println!("the cluster of KUBECONFIG ({}) does not answer; using the local host", cluster.kubeconfig.display());
    Ok(None)
}

/// A host that another checkout (or another state folder) started on this machine.
fn other_host(host: &Host) -> Option<Host> {
    let dir = PathBuf::from(fs::read_to_string(MARKER).ok()?.trim());
    (dir != host.dir).then(|| Host::at(dir))
}

fn end(host: &Host) -> Result<()> {
    for component in ["provisioner", "registry"] {
        host.stop(component);
    }
    for node in NODES {
        host.stop_node(node);
    }
    host.stop_control_plane();
    network::down();
    host.restore_sysctls();
    host.remove_created_folders();
    if host.dir.exists() {
        fs::remove_dir_all(&host.dir).with_context(|| format!("removing {}", host.dir.display()))?;
    }
    fs::remove_file(MARKER).ok();
    Ok(())
}

fn is_root() -> bool {
    read(&mut cmd("id", ["-u"])).is_ok_and(|uid| uid.trim() == "0")
}

/// Fills `@NAME@` in a configuration file of tests/host. A name left over is a mistake in the file or in the call.
fn fill(template: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    if let Some(line) = text.lines().find(|line| line.contains("=@") || line.contains(" @") || line.contains("\"@")) {
        bail!("no value for the name in `{}`", line.trim());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn templates_are_filled_completely_or_refused() {
        assert_eq!(fill("a: @A@/@B@", &[("A", "1"), ("B", "2")]).unwrap(), "a: 1/2");
        assert!(fill("a: @A@", &[("B", "2")]).unwrap_err().to_string().contains("a: @A@"));
    }
}
