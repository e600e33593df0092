//! The host's network: a bridge on this machine, and a network namespace each for the control plane and the nodes.
//!
//! There is no default route, so nothing leaves the machine. Every namespace, and the machine itself, has a route to each node's
//! pods and, through the first node's kube-proxy, to the service range: a kubeconfig with a ClusterIP works from here.

use super::NODES;
use crate::shell::{cmd, quiet, read, succeeds};
use anyhow::{Result, bail};
use std::path::Path;

const BRIDGE: &str = "coracle-br";
const BRIDGE_ADDRESS: &str = "172.30.0.1";
/// The control plane's namespace and address.
pub const CONTROL_PLANE: &str = "cp";
pub const CONTROL_PLANE_ADDRESS: &str = "172.30.0.10";
pub const PODS: &str = "10.244.0.0/16";
pub const SERVICES: &str = "10.96.0.0/16";
/// The first address of the service range: Service default/kubernetes.
pub const KUBERNETES_ADDRESS: &str = "10.96.0.1";
pub const DNS_ADDRESS: &str = "10.96.0.10";

/// The network namespace of the control plane or of a node.
pub fn namespace(name: &str) -> String {
    format!("coracle-{name}")
}

/// The prefix that runs a program in a network namespace. Unlike `ip netns exec` it leaves /sys as it is.
pub fn enter(name: &str) -> Vec<String> {
    vec!["nsenter".to_owned(), format!("--net=/run/netns/{}", namespace(name))]
}

/// A node's number: its place in [`NODES`], from one.
fn number(node: &str) -> usize {
    NODES.iter().position(|name| *name == node).map_or(0, |index| index + 1)
}

pub fn node_address(node: &str) -> String {
    format!("172.30.0.{}", 10 + number(node))
}

pub fn node_pods(node: &str) -> String {
    format!("10.244.{}.0/24", number(node))
}

/// Makes what is missing.
pub fn up() -> Result<()> {
    if !Path::new("/proc/sys/net/bridge").exists() && !succeeds(&mut cmd("modprobe", ["br_netfilter"])) {
        bail!("the kernel has no br_netfilter: Services would not work between pods of one node");
    }
    if !succeeds(&mut ip("link show coracle-br")) {
        quiet(&mut ip(&format!("link add {BRIDGE} type bridge")))?;
        quiet(&mut ip(&format!("addr add {BRIDGE_ADDRESS}/24 dev {BRIDGE}")))?;
        quiet(&mut ip(&format!("link set {BRIDGE} up")))?;
    }
    join(CONTROL_PLANE, CONTROL_PLANE_ADDRESS)?;
    for node in NODES {
        join(node, &node_address(node))?;
    }
    for node in NODES {
        let route = format!("route replace {} via {}", node_pods(node), node_address(node));
        quiet(&mut ip(&route))?;
        for other in std::iter::once(CONTROL_PLANE).chain(NODES).filter(|other| *other != node) {
            quiet(&mut ip(&format!("-n {} {route}", namespace(other))))?;
        }
    }
    let services = format!("route replace {SERVICES} via {}", node_address(NODES[0]));
    quiet(&mut ip(&services))?;
    quiet(&mut ip(&format!("-n {} {services}", namespace(CONTROL_PLANE))))
}

/// Removes everything; what is not there is no error. The veth goes first: it outlives its namespace for a moment.
pub fn down() {
    for name in std::iter::once(CONTROL_PLANE).chain(NODES) {
        succeeds(&mut ip(&format!("link del {}", veth(name))));
        succeeds(&mut ip(&format!("netns del {}", namespace(name))));
    }
    succeeds(&mut ip(&format!("link del {BRIDGE}")));
}

fn veth(name: &str) -> String {
    format!("coracle-v-{name}")
}

/// A namespace on the bridge, with the settings that kube-proxy relies on.
fn join(name: &str, address: &str) -> Result<()> {
    let namespace = namespace(name);
    let existing = read(&mut ip("netns list"))?;
    if existing.lines().any(|line| line.split(' ').next() == Some(namespace.as_str())) {
        return Ok(());
    }
    let veth = veth(name);
    quiet(&mut ip(&format!("netns add {namespace}")))?;
    quiet(&mut ip(&format!("link add {veth} type veth peer name eth0 netns {namespace}")))?;
    quiet(&mut ip(&format!("link set {veth} master {BRIDGE} up")))?;
    quiet(&mut ip(&format!("-n {namespace} link set lo up")))?;
    quiet(&mut ip(&format!("-n {namespace} addr add {address}/24 dev eth0")))?;
    quiet(&mut ip(&format!("-n {namespace} link set eth0 up")))?;
    let settings = ["ip_forward=1", "conf.all.rp_filter=0", "conf.default.rp_filter=0"];
    let settings = settings.iter().map(|setting| format!("net.ipv4.{setting}"));
    let mut sysctl = cmd("nsenter", [format!("--net=/run/netns/{namespace}"), "sysctl".to_owned(), "-qw".to_owned()]);
    quiet(sysctl.args(settings).arg("net.bridge.bridge-nf-call-iptables=1"))
}

fn ip(arguments: &str) -> std::process::Command {
    cmd("ip", arguments.split(' '))
}
