//! The programs that the host needs from the distribution, installed where they are missing (Debian and its kin).

use crate::shell::{cmd, exists, quiet, succeeds};
use anyhow::{Context, Result, bail};

/// A program that must be in PATH and the Debian package that has it.
const PROGRAMS: [(&str, &str); 15] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("ipset", "ipset"),
    ("ethtool", "ethtool"),
    ("socat", "socat"),
    ("debootstrap", "debootstrap"),
    ("docker-registry", "docker-registry"),
    ("gcc", "gcc"),
    ("openssl", "openssl"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("sysctl", "procps"),
    ("mount", "mount"),
];

/// Where distributions put the CNI plugins.
const CNI: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// The folder of the CNI plugins.
pub fn cni() -> Result<&'static str> {
    let has_bridge = |folder: &&str| std::path::Path::new(folder).join("bridge").is_file();
    CNI.into_iter().find(has_bridge).context("no CNI plugins in /usr/lib/cni or /opt/cni/bin")
}

/// Installs what is missing; refuses with the list where there is no apt-get.
pub fn install() -> Result<()> {
    let mut missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !exists(program)).map(|(_, name)| *name).collect();
    if cni().is_err() {
        missing.push("containernetworking-plugins");
    }
    if missing.is_empty() {
        return Ok(());
    }
    if !exists("apt-get") {
        bail!("install these first (names of Debian's packages): {}", missing.join(" "));
    }
    println!("installing {}", missing.join(" "));
    let apt = |arguments: &[&str]| {
        let mut command = cmd("apt-get", arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    if !succeeds(&mut apt(&["update", "-qq"])) {
        println!("apt-get update failed; trying with the package lists that are there");
    }
    quiet(apt(&["install", "-y", "-qq", "--no-install-recommends"]).args(&missing))
}
