//! One node: a holder process for its namespaces, and in them containerd, kubelet and kube-proxy.
//!
//! A node ends by pid: what lives in its mount namespace or its cgroups. Containers outlive their kubelet otherwise.

use super::network::{DNS_ADDRESS, PODS, enter, node_address, node_pods};
use super::process::Prefix;
use super::{Host, NODES, fill, images, packages};
use crate::shell::{cmd, find, quiet, read, succeeds};
use crate::workspace;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// The node's own folders and the places on which they are laid.
const BINDS: [(&str, &str); 8] = [
    ("kubelet", "/var/lib/kubelet"),
    ("containerd", "/var/lib/containerd"),
    ("run-containerd", "/run/containerd"),
    ("log-pods", "/var/log/pods"),
    ("log-containers", "/var/log/containers"),
    ("cni-net.d", "/etc/cni/net.d"),
    ("var-cni", "/var/lib/cni"),
    ("run-netns", "/run/netns"),
];

const CGROUPS: &str = "/sys/fs/cgroup";
/// The cgroup above the nodes'.
const CGROUP: &str = "coracle";
/// Kubelets set these for the whole machine.
const SYSCTLS: [&str; 3] = ["vm.overcommit_memory", "kernel.panic", "kernel.panic_on_oops"];

impl Host {
    pub(super) fn start_node(&self, node: &str) -> Result<()> {
        self.start_holder(node)?;
        self.configure(node)?;
        let inside = self.inside(node)?;
        let folder = self.node_dir(node).join("conf");
        let file = |name: &str| folder.join(name).display().to_string();

        let containerd = format!("{node}-containerd");
        let program = find("containerd").context("containerd is not installed")?.display().to_string();
        self.start(&containerd, &inside, &[&program, "-c", &file("containerd.toml"), "-l", "warn"])?;
        self.wait(&containerd, "serving", 60, || succeeds(&mut in_node(&inside, "ctr", &["version"])))?;

        let kubelet = [
            Host::program("kubelet"),
            format!("--config={}", file("kubelet.yaml")),
            format!("--kubeconfig={}", self.kubeconfig(node).display()),
            format!("--hostname-override={node}"),
            format!("--node-ip={}", node_address(node)),
        ];
        self.start(&format!("{node}-kubelet"), &inside, &kubelet)?;
        let proxy = [Host::program("kube-proxy"), format!("--config={}", file("kube-proxy.yaml"))];
        self.start(&format!("{node}-kube-proxy"), &inside, &proxy)
    }

    /// Waits until both nodes are Ready.
    pub(super) fn wait_for_nodes(&self) -> Result<()> {
        let cluster = self.cluster();
        let path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
        for node in NODES {
            self.wait(&format!("{node}-kubelet"), "a Ready node", 120, || {
                read(&mut cluster.kubectl(["get", "node", node, "-o", path])).is_ok_and(|status| status == "True")
            })?;
        }
        Ok(())
    }

    /// Imports an archive into a node unless the node has had these very bytes.
    pub(super) fn import(&self, node: &str, archive: &Path) -> Result<()> {
        let name = archive.file_name().context("an archive has a file name")?.to_string_lossy().into_owned();
        let mark = self.node_dir(node).join("conf").join(format!("imported-{name}"));
        let version = images::version(archive)?;
        if fs::read_to_string(&mark).is_ok_and(|old| old == version) {
            return Ok(());
        }
        let inside = self.inside(node)?;
        let archive = archive.display().to_string();
        let arguments = ["-n", "k8s.io", "images", "import", "--all-platforms", &archive];
        quiet(&mut in_node(&inside, "ctr", &arguments)).with_context(|| format!("importing images into {node}"))?;
        fs::write(mark, version)?;
        Ok(())
    }

    /// Ends everything that lives in the node, then its cgroups.
    pub(super) fn stop_node(&self, node: &str) {
        let holder = self.pid(node);
        let namespace = holder.and_then(mount_namespace);
        for component in ["kube-proxy", "kubelet", "containerd"] {
            self.stop(&format!("{node}-{component}"));
        }
        for _ in 0..20 {
            let mut pids = processes_in_cgroups(node);
            if namespace.is_some() {
                pids.extend(all_pids().filter(|pid| Some(*pid) != holder && mount_namespace(*pid) == namespace));
            }
            if pids.is_empty() {
                break;
            }
            succeeds(cmd("kill", ["-KILL"]).args(pids.iter().map(u32::to_string)));
            sleep(Duration::from_millis(200));
        }
        // The holder sleeps and ignores nothing, but it is the last: its end takes the mounts along.
        self.stop(node);
        for root in cgroup_roots() {
            let above = root.join(CGROUP);
            for _ in 0..20 {
                remove_cgroup(&above.join(node));
                if !above.join(node).exists() {
                    break;
                }
                sleep(Duration::from_millis(100));
            }
            fs::remove_dir(above).ok();
        }
    }

    /// The prefix that runs a program in a node.
    pub(super) fn inside(&self, node: &str) -> Result<Prefix> {
        let pid = self.pid(node).with_context(|| format!("node {node} does not run"))?.to_string();
        Ok(["nsenter", "-t", &pid, "-m", "-u", "-n"].map(str::to_owned).to_vec())
    }

    fn start_holder(&self, node: &str) -> Result<()> {
        let folder = self.node_dir(node);
        for (name, _) in BINDS {
            fs::create_dir_all(folder.join(name))?;
        }
        fs::create_dir_all(folder.join("conf/manifests"))?;
        if self.alive(node) {
            return Ok(());
        }
        let ready = folder.join("conf/ready");
        fs::remove_file(&ready).ok();
        let script = workspace::root().join("tests/host/namespaces.sh").display().to_string();
        let mut prefix = enter(node);
        prefix.extend(["unshare", "--mount", "--uts", "--propagation", "unchanged"].map(str::to_owned));
        let mut program = vec!["bash".to_owned(), script, node.to_owned(), folder.display().to_string()];
        program.extend(BINDS.map(|(name, place)| format!("{name}:{place}")));
        self.start(node, &prefix, &program)?;
        self.wait(node, "its namespaces", 20, || ready.exists())
    }

    fn configure(&self, node: &str) -> Result<()> {
        let folder = self.node_dir(node);
        let registry = images::registry_address();
        let certs = self.conf().join("certs.d");
        fs::create_dir_all(certs.join("registry.k8s.io"))?;
        let hosts = fill(include_str!("../../../tests/host/registry-hosts.toml"), &[("REGISTRY", &registry)])?;
        fs::write(certs.join("registry.k8s.io/hosts.toml"), hosts)?;
        let certs = certs.display().to_string();
        let values = [("PAUSE", images::PAUSE), ("CERTS", &certs), ("CNI", packages::cni()?)];
        let text = fill(include_str!("../../../tests/host/containerd.toml"), &values)?;
        fs::write(folder.join("conf/containerd.toml"), text)?;
        let text = fill(include_str!("../../../tests/host/pods.conflist"), &[("PODS", &node_pods(node))])?;
        fs::write(folder.join("cni-net.d/10-pods.conflist"), text)?;
        fs::write(folder.join("conf/resolv.conf"), "# no name server above the cluster\n")?;
        for root in cgroup_roots() {
            for below in [CGROUP.to_owned(), format!("{CGROUP}/{node}")] {
                make_cgroup(&root, &below).with_context(|| format!("making the cgroup {below}"))?;
            }
        }
        let cgroup = format!("{CGROUP}/{node}");
        let (pki, path) = (self.pki().display().to_string(), folder.display().to_string());
        let values = [("PKI", &*pki), ("NODE", node), ("CGROUP", &cgroup), ("DNS", DNS_ADDRESS), ("FOLDER", &path)];
        let text = fill(include_str!("../../../tests/host/kubelet.yaml"), &values)?;
        fs::write(folder.join("conf/kubelet.yaml"), text)?;
        let (address, kubeconfig) = (node_address(node), self.kubeconfig("kube-proxy").display().to_string());
        let values = [("PODS", PODS), ("NODE", node), ("ADDRESS", &address), ("KUBECONFIG", &kubeconfig)];
        let text = fill(include_str!("../../../tests/host/kube-proxy.yaml"), &values)?;
        fs::write(folder.join("conf/kube-proxy.yaml"), text)?;
        Ok(())
    }

    /// Makes the places of [`BINDS`] on the machine. Before the network: `ip netns` makes one of them too.
    pub(super) fn create_places(&self) -> Result<()> {
        BINDS.iter().try_for_each(|(_, place)| self.create_folder(Path::new(place)))
    }

    /// Makes a folder of the machine and its parents, and remembers those that were not there.
    fn create_folder(&self, folder: &Path) -> Result<()> {
        let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.exists()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let list = self.conf().join("created-folders");
        let known = fs::read_to_string(&list).unwrap_or_default();
        let lines: Vec<String> = missing.iter().map(|path| path.display().to_string()).collect();
        fs::write(list, format!("{}\n{known}", lines.join("\n")))?;
        fs::create_dir_all(folder)?;
        Ok(())
    }

    /// Removes the folders of [`Host::create_folder`] where they are still empty, the deepest first.
    pub(super) fn remove_created_folders(&self) {
        let list = fs::read_to_string(self.conf().join("created-folders")).unwrap_or_default();
        for folder in list.lines().filter(|line| !line.is_empty()) {
            if folder == "/run/netns" {
                // `ip netns` mounts the folder on itself.
                succeeds(&mut cmd("umount", [folder]));
            }
            fs::remove_dir(folder).ok();
        }
    }

    pub(super) fn remember_sysctls(&self) -> Result<()> {
        let file = self.conf().join("sysctl");
        if !file.exists() {
            fs::write(file, read(&mut cmd("sysctl", SYSCTLS))?)?;
        }
        Ok(())
    }

    pub(super) fn restore_sysctls(&self) {
        let file = self.conf().join("sysctl");
        if file.exists() {
            succeeds(cmd("sysctl", ["-qp"]).arg(file));
        }
    }
}

/// A program in a node, behind the prefix of [`Host::inside`].
pub(super) fn in_node(inside: &Prefix, program: &str, arguments: &[&str]) -> std::process::Command {
    let mut command = cmd(&inside[0], &inside[1..]);
    command.arg(program).args(arguments);
    command
}

/// The mounted cgroup hierarchies: one on cgroup v2, one per controller on v1.
fn cgroup_roots() -> Vec<PathBuf> {
    let root = PathBuf::from(CGROUPS);
    if root.join("cgroup.controllers").exists() {
        return vec![root];
    }
    let controllers =
        ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd", "hugetlb", "unified"];
    controllers.iter().map(|name| root.join(name)).filter(|path| path.is_dir()).collect()
}

/// Makes a cgroup that a kubelet accepts as its root. On v1 a new cpuset is empty until it is told its processors and
/// memory; on v2 the controllers must be passed down.
fn make_cgroup(root: &Path, below: &str) -> Result<()> {
    let folder = root.join(below);
    fs::create_dir_all(&folder)?;
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if root.ends_with("cpuset") {
            fs::write(folder.join(file), fs::read_to_string(root.join(file))?)?;
        }
    }
    if root.join("cgroup.controllers").exists() {
        let above = folder.parent().unwrap_or(root);
        for controller in ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"] {
            // Absent controllers are refused one by one, which is why they are not written together.
            fs::write(above.join("cgroup.subtree_control"), format!("+{controller}")).ok();
        }
    }
    Ok(())
}

fn remove_cgroup(folder: &Path) {
    for child in fs::read_dir(folder).into_iter().flatten().flatten() {
        if child.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&child.path());
        }
    }
    fs::remove_dir(folder).ok();
}

fn processes_in_cgroups(node: &str) -> BTreeSet<u32> {
    fn collect(folder: &Path, pids: &mut BTreeSet<u32>) {
        let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        for child in fs::read_dir(folder).into_iter().flatten().flatten() {
            if child.file_type().is_ok_and(|kind| kind.is_dir()) {
                collect(&child.path(), pids);
            }
        }
    }
    let mut pids = BTreeSet::new();
    for root in cgroup_roots() {
        collect(&root.join(CGROUP).join(node), &mut pids);
    }
    pids
}

fn all_pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn mount_namespace(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}
