//! Pods: the tenant's scheduler decides where, the host's kubelet runs them, the host's scheduler has the last word.
//!
//! Translation to the host ([`to_host`]) is everything that the tenant's own kubelet and admission would have done to
//! the pod, written out; [`plan`] decides what to write on either side. What does not go down: the service account,
//! affinity, spread, selectors and priority (decided in the tenant already), overhead (the host's admission sets it from
//! its RuntimeClass), owner references. Refused: resource claims and projected pod certificates, which need objects
//! that are not synced.

mod container;
mod dns;
mod downward;
mod hostname;
mod namer;
pub(crate) mod plan;
pub(crate) mod projection;
mod status;
pub(crate) mod trust;
mod update;
mod volumes;

use crate::references::Reference;
use crate::{Config, Decision, marks, service_env};
use k8s_openapi::api::core::v1::{
    Affinity, EphemeralContainer, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec,
};
use namer::Namer;
use std::collections::BTreeSet;

pub(crate) use container::extended;
pub(crate) use status::scrubber;

/// What the host knows and a pod's translation depends on.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Extended resources that the pod's node offers on the host.
    pub offered: BTreeSet<String>,
    /// Whether the host has the pod's RuntimeClass.
    pub runtime_class: bool,
}

/// The host copy of a pod that is bound to a mirrored node.
pub fn to_host(config: &Config, virt: &Pod, inputs: &Inputs) -> Decision<Pod> {
    match translate(config, virt, inputs) {
        Ok((host, _)) => Decision::Sync(host),
        Err(why) => Decision::Skip(why),
    }
}

/// What a pod reads of its namespace: ConfigMaps, Secrets and claims.
pub(crate) fn uses(config: &Config, virt: &Pod) -> BTreeSet<Reference> {
    translate(config, virt, &Inputs::default()).map(|(_, uses)| uses).unwrap_or_default()
}

/// The ephemeral containers of a pod on the host.
pub(crate) fn ephemeral_containers(config: &Config, virt: &Pod, inputs: &Inputs) -> Vec<EphemeralContainer> {
    let namespace = virt.metadata.namespace.as_deref().unwrap_or_default();
    let Some(spec) = &virt.spec else { return Vec::new() };
    let service_env = service_env::host_name(config, service_env::scope(namespace, spec.enable_service_links));
    let mut namer = Namer::new(config, namespace);
    let mut context = container::Context { namer: &mut namer, service_env: &service_env, offered: &inputs.offered };
    let mut containers = spec.ephemeral_containers.clone().unwrap_or_default();
    for container in &mut containers {
        context.ephemeral(container);
    }
    containers
}

fn translate(config: &Config, virt: &Pod, inputs: &Inputs) -> Result<(Pod, BTreeSet<Reference>), &'static str> {
    let name = virt.metadata.name.as_deref().unwrap_or_default();
    let namespace = virt.metadata.namespace.as_deref().unwrap_or_default();
    let mut spec = virt.spec.clone().unwrap_or_default();
    if let Some(why) = refusal(&spec) {
        return Err(why);
    }
    let mut namer = Namer::new(config, namespace);
    let service_env = service_env::host_name(config, service_env::scope(namespace, spec.enable_service_links));
    let mut context = container::Context { namer: &mut namer, service_env: &service_env, offered: &inputs.offered };
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        context.container(container);
    }
    context.resources(&mut spec.resources);
    let mut ephemeral = spec.ephemeral_containers.take().unwrap_or_default();
    for container in &mut ephemeral {
        context.ephemeral(container);
    }
    let volumes::Translated { volumes, maps } = volumes::translate(config, virt, &mut namer);
    spec.volumes = (!volumes.is_empty()).then_some(volumes);
    for secret in spec.image_pull_secrets.iter_mut().flatten() {
        namer.rename(crate::kind::Kind::Secret, &mut secret.name);
    }

    dns::translate(config, namespace, &mut spec);
    hostname::translate(config, namespace, name, &mut spec);
    place(config, is_scheduled(virt), &mut spec);
    spec.enable_service_links = Some(false);
    spec.automount_service_account_token = Some(false);
    let service_account = spec.service_account_name.take().unwrap_or_default();
    spec.service_account = None;
    spec.overhead = None;
    if !inputs.runtime_class {
        spec.runtime_class_name = None;
    }

    let mut metadata = marks::host_meta(config, &virt.metadata);
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(marks::SERVICE_ACCOUNT.into(), service_account);
    for key in maps {
        annotations.insert(key.into(), downward::map_text(&virt.metadata, key));
    }
    update::stamp(&mut metadata, virt, &spec);
    Ok((Pod { metadata, spec: Some(spec), status: None }, namer.into_uses()))
}

/// What cannot run on the host, in words for the tenant.
fn refusal(spec: &PodSpec) -> Option<&'static str> {
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        return Some("resource claims are not available on shared nodes");
    }
    let sources =
        spec.volumes.iter().flatten().filter_map(|volume| volume.projected.as_ref()?.sources.as_ref()).flatten();
    for source in sources {
        if source.pod_certificate.is_some() {
            return Some("projected pod certificates are not available on shared nodes");
        }
    }
    None
}

/// Whether a scheduler of the tenant bound the pod: the binding says so in a condition. Without it the pod was created
/// with its node.
fn is_scheduled(virt: &Pod) -> bool {
    let conditions = virt.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "PodScheduled" && condition.status == "True")
}

/// Pins the pod to the node that the tenant's scheduler chose, by a required affinity and not by `nodeName`: the
/// host's scheduler still checks that it fits. A pod that no scheduler saw goes straight to its kubelet here too, which
/// runs it or fails it.
fn place(config: &Config, scheduled: bool, spec: &mut PodSpec) {
    if scheduled {
        pin(spec);
    } else {
        spec.affinity = None;
    }
    let tolerations = spec.tolerations.get_or_insert_default();
    tolerations.extend(config.tolerations.iter().filter(|t| !tolerations.contains(t)).cloned().collect::<Vec<_>>());
    spec.node_selector = None;
    spec.topology_spread_constraints = None;
    spec.priority = None;
    spec.priority_class_name = None;
    spec.preemption_policy = None;
    spec.scheduler_name = None;
    spec.scheduling_gates = None;
    spec.scheduling_group = None;
    spec.eviction_responders = None;
}

fn pin(spec: &mut PodSpec) {
    let node = spec.node_name.take().unwrap_or_default();
    let is_node =
        NodeSelectorRequirement { key: "metadata.name".into(), operator: "In".into(), values: Some(vec![node]) };
    let term = NodeSelectorTerm { match_fields: Some(vec![is_node]), match_expressions: None };
    spec.affinity = Some(Affinity {
        node_affinity: Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector { node_selector_terms: vec![term] }),
            ..NodeAffinity::default()
        }),
        ..Affinity::default()
    });
}

#[cfg(test)]
#[path = "pod/tests.rs"]
mod tests;
