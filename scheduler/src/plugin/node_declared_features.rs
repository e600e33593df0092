//! Features that a pod's spec needs of the kubelet: a node must declare them
//! (`k8s.io/component-helpers/nodedeclaredfeatures`).

use crate::change::{Actions, Change};
use crate::framework::{Plugin, PreFilter, Prepared, Verdict};
use crate::pod::{PodInfo, spec_of};
use crate::snapshot::{NodeInfo, Snapshot};
use k8s_openapi::api::core::v1::{Node, Pod};

pub(crate) struct NodeDeclaredFeatures;

const REASON: &str = "node(s) didn't match Pod's required features";

/// The features that the pod needs, by upstream's names.
fn needed(pod: &Pod) -> Vec<&'static str> {
    let spec = spec_of(pod);
    let containers = || spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let restarts_all = containers()
        .flat_map(|container| container.restart_policy_rules.iter().flatten())
        .any(|rule| rule.action == "RestartAllContainers");
    let host_network_users = spec.host_network == Some(true) && spec.host_users == Some(false);
    let mounts_with_options = containers()
        .flat_map(|container| container.volume_mounts.iter().flatten())
        .any(|mount| mount.bind_mount_options.as_ref().is_some_and(|options| !options.is_empty()));
    let mut needed = Vec::new();
    if restarts_all {
        needed.push("RestartAllContainersOnContainerExits");
    }
    if host_network_users {
        needed.push("UserNamespacesHostNetworkSupport");
    }
    if mounts_with_options {
        needed.push("VolumeBindMountOptions");
    }
    needed
}

fn declared(node: &Node) -> &[String] {
    node.status.as_ref().and_then(|status| status.declared_features.as_deref()).unwrap_or_default()
}

impl Plugin for NodeDeclaredFeatures {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatures"
    }

    fn woken_by(&self, _: &PodInfo, change: &Change) -> bool {
        if let Some(pair) = change.node(Actions::ADD.or(Actions::NODE_DECLARED_FEATURE)) {
            let (old, new) = (pair.before().map(declared), pair.after().map(declared));
            return old.is_none() || old != new;
        }
        let Some(pair) = change.target(Actions::UPDATE) else { return false };
        pair.before().map(needed) != pair.after().map(needed)
    }

    fn pre_filter(&self) -> Option<&dyn PreFilter> {
        Some(self)
    }
}

impl PreFilter for NodeDeclaredFeatures {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, _: &'a Snapshot) -> Prepared<'a> {
        let needed = needed(&pod.pod);
        if needed.is_empty() {
            return Prepared::Skip;
        }
        Prepared::Filter(Box::new(move |node: &NodeInfo| {
            let declared = declared(&node.node);
            let has_all = needed.iter().all(|feature| declared.iter().any(|declared| declared == feature));
            if has_all { Verdict::Fits } else { Verdict::unresolvable(REASON) }
        }))
    }
}
