//! What may change in a running pod, and how a change is told from a copy that is up to date.
//!
//! Upstream lets a pod's spec change in few places: images, deadline, added tolerations through the pod itself,
//! resources through `resize`, ephemeral containers through their own subresource. Everything else on the host stays as
//! it was created, also where the tenant's environment has moved on since.

use crate::kind::Kind;
use crate::step::Step;
use crate::{Config, difference, marks, names};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

/// Records on the host metadata which state of the tenant pod it shows.
pub(crate) fn stamp(metadata: &mut ObjectMeta, virt: &Pod, host_spec: &PodSpec) {
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(marks::GENERATION.into(), virt.metadata.generation.unwrap_or_default().to_string());
    annotations.insert(marks::RESOURCES.into(), resources_fingerprint(host_spec));
    let fingerprint = fingerprint(metadata, host_spec);
    metadata.annotations.get_or_insert_default().insert(marks::APPLIED.into(), fingerprint);
}

fn fingerprint(metadata: &ObjectMeta, spec: &PodSpec) -> String {
    let images = |containers: &[Container]| containers.iter().map(|c| c.image.clone()).collect::<Vec<_>>();
    let changeable = json!([
        metadata.labels,
        metadata.annotations,
        images(&spec.containers),
        images(spec.init_containers.as_deref().unwrap_or_default()),
        spec.active_deadline_seconds,
        spec.tolerations,
    ]);
    names::hash(&[&changeable.to_string()])
}

fn resources_fingerprint(spec: &PodSpec) -> String {
    names::hash(&[&resources(spec).to_string()])
}

/// The resources of a pod in the form of a patch of its `resize` subresource.
fn resources(spec: &PodSpec) -> Value {
    let containers = |containers: &[Container]| {
        containers.iter().map(|c| json!({"name": c.name, "resources": c.resources})).collect::<Vec<_>>()
    };
    let mut resources = json!({"containers": containers(&spec.containers)});
    if let Some(init) = &spec.init_containers {
        resources["initContainers"] = json!(containers(init));
    }
    if let Some(pod) = &spec.resources {
        resources["resources"] = json!(pod);
    }
    resources
}

/// The writes that bring the host copy to what the tenant wants. `wanted` is the fresh translation of the tenant pod.
pub(crate) fn steps(host: &Pod, wanted: &Pod, ephemeral: &[Value]) -> Vec<Step> {
    let (Some(host_spec), Some(wanted_spec)) = (&host.spec, &wanted.spec) else { return Vec::new() };
    let mut steps = Vec::new();
    let name = host.metadata.name.clone().unwrap_or_default();
    let known = host_spec.ephemeral_containers.as_deref().unwrap_or_default();
    let is_new = |container: &&Value| !known.iter().any(|known| container["name"] == known.name.as_str());
    let added: Vec<&Value> = ephemeral.iter().filter(is_new).collect();
    if !added.is_empty() {
        let patch = json!({"spec": {"ephemeralContainers": added}});
        steps.push(Step::HostPatch { kind: Kind::Pod, name: name.clone(), subresource: "ephemeralcontainers", patch });
    }
    let recorded = |key| marks::annotation(&host.metadata, key);
    let wants = |key| marks::annotation(&wanted.metadata, key);
    let resized = recorded(marks::RESOURCES) != wants(marks::RESOURCES);
    if resized {
        let patch = json!({"spec": resources(wanted_spec)});
        steps.push(Step::HostPatch { kind: Kind::Pod, name, subresource: "resize", patch });
    }
    let labels = (json!(host.metadata.labels), json!(wanted.metadata.labels));
    if recorded(marks::APPLIED) != wants(marks::APPLIED) || !difference::shows(&labels.0, &labels.1) {
        let object = Pod {
            metadata: ObjectMeta { uid: host.metadata.uid.clone(), ..wanted.metadata.clone() },
            spec: Some(changed(host_spec, wanted_spec, resized)),
            status: None,
        };
        steps.push(Step::HostApply { kind: Kind::Pod, object: json!(object) });
    }
    steps
}

/// The host's spec with the changeable parts of the wanted one.
fn changed(host: &PodSpec, wanted: &PodSpec, resized: bool) -> PodSpec {
    let mut spec = host.clone();
    spec.ephemeral_containers = None;
    spec.active_deadline_seconds = wanted.active_deadline_seconds;
    for toleration in wanted.tolerations.iter().flatten() {
        let tolerations = spec.tolerations.get_or_insert_default();
        if !tolerations.contains(toleration) {
            tolerations.push(toleration.clone());
        }
    }
    let adopt = |containers: &mut [Container], wanted: &[Container]| {
        for container in containers {
            if let Some(wanted) = wanted.iter().find(|wanted| wanted.name == container.name) {
                container.image.clone_from(&wanted.image);
                if resized {
                    container.resources.clone_from(&wanted.resources);
                }
            }
        }
    };
    adopt(&mut spec.containers, &wanted.containers);
    adopt(
        spec.init_containers.as_deref_mut().unwrap_or_default(),
        wanted.init_containers.as_deref().unwrap_or_default(),
    );
    if resized {
        spec.resources.clone_from(&wanted.resources);
    }
    spec
}

/// Ephemeral containers as a strategic merge patch takes them.
pub(crate) fn ephemeral(config: &Config, virt: &Pod, inputs: &super::Inputs) -> Vec<Value> {
    super::ephemeral_containers(config, virt, inputs).iter().map(|container| json!(container)).collect()
}
