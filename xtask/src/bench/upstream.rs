//! A fresh control plane of upstream's programs with its own DNS on this machine: what ours is measured against.
//!
//! It has no nodes and listens on the loopback device only, at ports that were free a moment before; flags are those of the
//! host's control plane (`host/control_plane.rs`), with a store that waits for the disk as upstream's does by default.
//! The keys are made once, outside of what is timed.

pub mod keys;

use super::poll::first_ok;
use super::process::Process;
use super::server::{ApiServer, empty};
use crate::workspace;
use anyhow::{Context, Result};
use keys::Keys;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The programs, as files in the folder of pinned programs; all are measured, and their sizes added.
pub const PROGRAMS: [&str; 5] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "coredns"];

/// Only published in `default/kubernetes`; nobody dials it (RFC 5737). A loopback address would be refused.
const ADVERTISED: &str = "192.0.2.1";

/// Starts kube-apiserver over its own store, in a folder that it empties first.
pub fn api_server(folder: &Path, keys: &Keys) -> Result<ApiServer> {
    empty(folder)?;
    let [store, peer, port] = free_ports()?;
    let start = |name, arguments: Vec<String>| Process::start(name, &program(name), &arguments, folder);
    let mut etcd = start("etcd", etcd_flags(folder, store, peer))?;
    accepting(&mut etcd, store)?;
    let apiserver = start("kube-apiserver", apiserver_flags(keys, store, port))?;
    ApiServer::ready(vec![etcd, apiserver], port, Some(keys))
}

pub struct ControlPlane {
    /// In the order of [`PROGRAMS`].
    pub processes: Vec<Process>,
    /// From the start of kube-apiserver to its first /readyz 200; the store ran before.
    pub readyz: Duration,
    /// From the start of the first process until the `default` service account is there.
    pub usable: Duration,
}

impl ControlPlane {
    /// Starts everything in a folder that it empties first. The controller manager and the scheduler start when the API server is
    /// ready, which is when they are of use; DNS starts last and is not timed.
    pub fn start(folder: &Path, keys: &Keys) -> Result<ControlPlane> {
        let ApiServer { mut processes, port, readyz } = api_server(folder, keys)?;
        let begun = processes[0].begun;
        let [controllers, scheduler, dns] = free_ports()?;
        let server = format!("https://127.0.0.1:{port}");
        let start = |name, arguments: Vec<String>| Process::start(name, &program(name), &arguments, folder);

        let mut manager = client_flags(&keys.kubeconfig("kube-controller-manager", &server)?, controllers);
        manager.extend(manager_flags(keys));
        let manager = start("kube-controller-manager", manager)?;
        let scheduler = client_flags(&keys.kubeconfig("kube-scheduler", &server)?, scheduler);
        let scheduler = start("kube-scheduler", scheduler)?;
        let account = format!("{server}/api/v1/namespaces/default/serviceaccounts/default");
        let usable = first_ok(&mut processes[1], &account, Some(&keys.admin()), Duration::from_millis(50));
        let usable = usable.with_context(|| format!("{}:\n{}", manager.name, manager.last_lines()))?;

        let corefile = folder.join("Corefile");
        fs::write(&corefile, corefile_text(&keys.kubeconfig("admin", &server)?, dns))?;
        let coredns = start("coredns", vec!["-conf".to_owned(), corefile.display().to_string()])?;
        processes.extend([manager, scheduler, coredns]);
        Ok(ControlPlane { processes, readyz, usable: usable.duration_since(begun) })
    }

    /// An error when one of the processes has ended meanwhile.
    pub fn check(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::check)
    }
}

/// Where a pinned program is.
pub fn program(name: &str) -> PathBuf {
    workspace::upstream_bin().join(name)
}

/// Ports that nobody listens on. All are held until all are found, so that they differ.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let listeners: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    let ports: Vec<u16> = listeners.iter().map(|l| Ok(l.local_addr()?.port())).collect::<Result<_>>()?;
    ports.try_into().ok().context("as many ports as listeners")
}

/// Waits until a process listens.
fn accepting(process: &mut Process, port: u16) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        process.check()?;
        anyhow::ensure!(Instant::now() < end, "{} does not listen\n{}", process.name, process.last_lines());
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn etcd_flags(folder: &Path, client: u16, peer: u16) -> Vec<String> {
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    flags(&[
        ("name", "etcd"),
        ("data-dir", &folder.join("etcd").display().to_string()),
        ("listen-client-urls", &client),
        ("advertise-client-urls", &client),
        ("listen-peer-urls", &peer),
        ("initial-advertise-peer-urls", &peer),
        ("initial-cluster", &format!("etcd={peer}")),
        ("log-level", "warn"),
    ])
}

fn apiserver_flags(keys: &Keys, store: u16, port: u16) -> Vec<String> {
    let file = |name: &str| keys.file(name).display().to_string();
    flags(&[
        ("etcd-servers", &format!("http://127.0.0.1:{store}")),
        ("bind-address", "127.0.0.1"),
        ("advertise-address", ADVERTISED),
        ("secure-port", &port.to_string()),
        ("service-cluster-ip-range", "10.96.0.0/16"),
        ("allow-privileged", "true"),
        ("authorization-mode", "Node,RBAC"),
        ("enable-admission-plugins", "NodeRestriction"),
        ("client-ca-file", &file("ca.crt")),
        ("tls-cert-file", &file("kube-apiserver.crt")),
        ("tls-private-key-file", &file("kube-apiserver.key")),
        ("service-account-issuer", "https://kubernetes.default.svc.cluster.local"),
        ("service-account-key-file", &file("sa.pub")),
        ("service-account-signing-key-file", &file("sa.key")),
    ])
}

fn manager_flags(keys: &Keys) -> Vec<String> {
    let file = |name: &str| keys.file(name).display().to_string();
    flags(&[
        ("use-service-account-credentials", "true"),
        ("service-account-private-key-file", &file("sa.key")),
        ("root-ca-file", &file("ca.crt")),
        ("cluster-signing-cert-file", &file("ca.crt")),
        ("cluster-signing-key-file", &file("ca.key")),
        ("controllers", "*,bootstrapsigner,tokencleaner"),
    ])
}

/// How a component reaches the API server and serves its own health.
fn client_flags(kubeconfig: &Path, port: u16) -> Vec<String> {
    let kubeconfig = kubeconfig.display().to_string();
    flags(&[
        ("kubeconfig", &kubeconfig),
        ("authentication-kubeconfig", &kubeconfig),
        ("authorization-kubeconfig", &kubeconfig),
        ("bind-address", "127.0.0.1"),
        ("secure-port", &port.to_string()),
    ])
}

/// DNS as the host has it (tests/host/dns.yaml), without health servers.
fn corefile_text(kubeconfig: &Path, port: u16) -> String {
    let kubeconfig = kubeconfig.display();
    format!(
        ".:{port} {{\n    bind 127.0.0.1\n    errors\n    kubernetes cluster.local in-addr.arpa ip6.arpa {{\n        \
         kubeconfig {kubeconfig}\n        pods insecure\n        ttl 30\n    }}\n    cache 30\n    loadbalance\n}}\n"
    )
}

fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}
