//! The parts of a control plane, each either upstream's or ours, and how each is started.

use crate::api::{Api, until};
use crate::keys::Keys;
use crate::process::{Process, free_port};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Whose program a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Upstream,
    Ours,
}

/// Which program plays which part.
#[derive(Clone, Copy, Debug)]
pub struct Mixture {
    pub apiserver: Side,
    pub controllers: Side,
    pub scheduler: Side,
}

/// A running control plane, without nodes.
pub struct ControlPlane {
    pub api: Api,
    /// An administrator's.
    pub kubeconfig: PathBuf,
    folder: PathBuf,
    processes: Vec<Process>,
}

const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
const SCHEDULER: &str = "system:kube-scheduler";
/// Upstream's clients hold themselves back by default; the scenario is not about that.
const RATES: [&str; 2] = ["--kube-api-qps=200", "--kube-api-burst=400"];

impl ControlPlane {
    /// Starts a mixture with all its files in `folder`, which it empties first.
    pub async fn start(mixture: Mixture, folder: &Path) -> Result<ControlPlane> {
        fs::remove_dir_all(folder).ok();
        fs::create_dir_all(folder)?;
        let mut processes = Vec::new();
        let (keys, server) = match mixture.apiserver {
            Side::Upstream => upstream_apiserver(folder, &mut processes)?,
            Side::Ours => our_apiserver(folder, &mut processes).await?,
        };
        let admin = keys.kubeconfig("admin", Some("system:masters"), &server)?;
        let api = Api::connect(&admin).await?;
        let ready = until("the API server is ready", 60, async || api.text("/readyz").await).await;
        if let Err(error) = ready {
            processes.iter_mut().try_for_each(Process::runs)?;
            return Err(error);
        }
        let controllers = keys.kubeconfig(CONTROLLER_MANAGER, None, &server)?;
        processes.push(match mixture.controllers {
            Side::Upstream => {
                let mut arguments = upstream_client(&controllers, folder)?;
                arguments.extend(flags(&[
                    ("use-service-account-credentials", "true"),
                    ("service-account-private-key-file", &path(&keys.file("sa.key"))),
                    ("root-ca-file", &path(&keys.file("ca.crt"))),
                    ("cluster-signing-cert-file", &path(&keys.file("ca.crt"))),
                    ("cluster-signing-key-file", &path(&keys.file("ca.key"))),
                    ("controllers", "*,bootstrapsigner,tokencleaner"),
                ]));
                upstream("kube-controller-manager", folder, &arguments)?
            }
            Side::Ours => ours("controllers", folder, &flags(&[("kubeconfig", &path(&controllers))]))?,
        });
        let scheduler = keys.kubeconfig(SCHEDULER, None, &server)?;
        processes.push(match mixture.scheduler {
            Side::Upstream => upstream("kube-scheduler", folder, &upstream_client(&scheduler, folder)?)?,
            Side::Ours => ours("scheduler", folder, &flags(&[("kubeconfig", &path(&scheduler))]))?,
        });
        Ok(ControlPlane { api, kubeconfig: admin, folder: folder.to_path_buf(), processes })
    }

    /// Starts one more part of ours against this control plane, as its administrator.
    pub fn add(&mut self, part: &str, more: &[(&str, &str)]) -> Result<()> {
        let mut arguments = flags(&[("kubeconfig", &path(&self.kubeconfig))]);
        arguments.extend(flags(more));
        self.processes.push(ours(part, &self.folder, &arguments)?);
        Ok(())
    }

    /// Fails when a component has ended.
    pub fn all_run(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::runs)
    }

    /// Ends everything, clients before their server.
    pub async fn end(self) -> Result<()> {
        for process in self.processes.into_iter().rev() {
            process.end().await?;
        }
        Ok(())
    }
}

/// etcd and kube-apiserver. The store is thrown away with the row: it does not wait for the disk.
fn upstream_apiserver(folder: &Path, processes: &mut Vec<Process>) -> Result<(Keys, String)> {
    let keys = Keys::generate(folder)?;
    keys.issue("kube-apiserver", None, &["localhost", "127.0.0.1", "10.96.0.1"])?;
    let (clients, peers) = (local("http", free_port()?), local("http", free_port()?));
    let etcd = flags(&[
        ("name", "etcd"),
        ("data-dir", &path(&folder.join("etcd"))),
        ("listen-client-urls", &clients),
        ("advertise-client-urls", &clients),
        ("listen-peer-urls", &peers),
        ("initial-advertise-peer-urls", &peers),
        ("initial-cluster", &format!("etcd={peers}")),
        ("unsafe-no-fsync", "true"),
        ("log-level", "warn"),
    ]);
    processes.push(upstream("etcd", folder, &etcd)?);
    let port = free_port()?;
    let apiserver = flags(&[
        ("etcd-servers", &clients),
        ("bind-address", "127.0.0.1"),
        ("advertise-address", "10.0.0.1"),
        ("secure-port", &port.to_string()),
        ("service-cluster-ip-range", "10.96.0.0/16"),
        ("authorization-mode", "Node,RBAC"),
        ("client-ca-file", &path(&keys.file("ca.crt"))),
        ("tls-cert-file", &path(&keys.file("kube-apiserver.crt"))),
        ("tls-private-key-file", &path(&keys.file("kube-apiserver.key"))),
        ("service-account-issuer", "https://kubernetes.default.svc.cluster.local"),
        ("service-account-key-file", &path(&keys.file("sa.pub"))),
        ("service-account-signing-key-file", &path(&keys.file("sa.key"))),
    ]);
    processes.push(upstream("kube-apiserver", folder, &apiserver)?);
    Ok((keys, local("https", port)))
}

/// Ours makes its own authority, whose key then signs the row's clients.
async fn our_apiserver(folder: &Path, processes: &mut Vec<Process>) -> Result<(Keys, String)> {
    let port = free_port()?;
    let arguments = flags(&[("data-dir", &path(folder)), ("listen", &format!("127.0.0.1:{port}"))]);
    let mut process = ours("apiserver", folder, &arguments)?;
    let written = until("the API server has made its keys", 30, async || {
        process.runs()?;
        fs::metadata(folder.join("admin.kubeconfig")).context("no kubeconfig yet")
    });
    written.await?;
    processes.push(process);
    Ok((Keys::load(folder)?, local("https", port)))
}

/// How an upstream component reaches the API server and serves its own health.
fn upstream_client(kubeconfig: &Path, folder: &Path) -> Result<Vec<String>> {
    let kubeconfig = path(kubeconfig);
    let mut arguments = flags(&[
        ("kubeconfig", &kubeconfig),
        ("authentication-kubeconfig", &kubeconfig),
        ("authorization-kubeconfig", &kubeconfig),
        ("bind-address", "127.0.0.1"),
        ("secure-port", &free_port()?.to_string()),
        ("cert-dir", &path(&folder.join("certificates"))),
    ]);
    arguments.extend(RATES.map(str::to_owned));
    Ok(arguments)
}

fn upstream(program: &str, folder: &Path, arguments: &[String]) -> Result<Process> {
    Process::start(program, folder, Path::new(program), arguments)
}

fn ours(part: &str, folder: &Path, arguments: &[String]) -> Result<Process> {
    let program = std::env::var_os("CORACLE").map(PathBuf::from);
    let program = program.context("CORACLE names the program: run `cargo xtask test`")?;
    let arguments: Vec<String> = std::iter::once(part.to_owned()).chain(arguments.iter().cloned()).collect();
    Process::start(&format!("coracle-{part}"), folder, &program, &arguments)
}

fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

fn local(scheme: &str, port: u16) -> String {
    format!("{scheme}://127.0.0.1:{port}")
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
