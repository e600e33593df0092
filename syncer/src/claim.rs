//! PersistentVolumeClaims: the tenant's wish goes down, the host's binding comes up.
//!
//! The selected node goes down with the annotations, so a class that waits for its first consumer is provisioned as
//! soon as the tenant's scheduler has chosen. Claims on the tenant's own volumes and classes stay in the tenant.

use crate::kind::Kind;
use crate::step::{Plan, Step};
use crate::{Config, Decision, difference, marks};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimStatus, TypedLocalObjectReference,
};
use serde_json::json;

/// Annotations by which the tenant's own binder and the host's talk to themselves.
const BINDERS: [&str; 3] =
    ["pv.kubernetes.io/", "volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"];

const LOST: &str = "Lost";

/// What a claim's translation depends on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inputs {
    /// Whether the claim's class is one of the host's.
    pub host_class: bool,
    /// Whether the claim names a volume of the tenant's own.
    pub own_volume: bool,
}

/// The host copy of a claim.
pub fn to_host(config: &Config, virt: &PersistentVolumeClaim, inputs: Inputs) -> Decision<PersistentVolumeClaim> {
    if inputs.own_volume {
        return Decision::Skip("it is bound to a volume of the tenant");
    }
    if !inputs.host_class {
        return Decision::Skip("its class is none of the host's");
    }
    let spec = virt.spec.clone().unwrap_or_default();
    let namespace = virt.metadata.namespace.as_deref().unwrap_or_default();
    let data_source = spec.data_source.map(|source| renamed(config, namespace, source));
    let mut metadata = marks::host_meta(config, &virt.metadata);
    metadata.annotations.get_or_insert_default().retain(|key, _| !BINDERS.iter().any(|prefix| key.starts_with(prefix)));
    let spec = PersistentVolumeClaimSpec {
        data_source,
        // The API derives the reference from the source, and volumes are chosen by the host.
        data_source_ref: None,
        volume_name: None,
        selector: None,
        ..spec
    };
    Decision::Sync(PersistentVolumeClaim { metadata, spec: Some(spec), status: None })
}

fn renamed(config: &Config, namespace: &str, source: TypedLocalObjectReference) -> TypedLocalObjectReference {
    let is_claim = source.kind == "PersistentVolumeClaim" && source.api_group.is_none();
    let name = if is_claim { crate::names::host_name(&source.name, namespace, &config.tenant) } else { source.name };
    TypedLocalObjectReference { name, ..source }
}

/// Whether the host has given the claim a volume at some time.
pub(crate) fn was_bound(virt: &PersistentVolumeClaim) -> bool {
    matches!(phase(virt), "Bound" | LOST)
}

fn phase(virt: &PersistentVolumeClaim) -> &str {
    virt.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// A claim whose copy went together with its volume. A new copy would get a new volume, and pods would find it empty
/// without a word; upstream's binder calls such a claim lost (`syncBoundClaim`) and leaves it to its owner.
pub(crate) fn lost(virt: &PersistentVolumeClaim) -> Plan {
    let step = Step::VirtPatch {
        kind: Kind::PersistentVolumeClaim,
        namespace: virt.metadata.namespace.clone().unwrap_or_default(),
        name: virt.metadata.name.clone().unwrap_or_default(),
        subresource: "status",
        patch: json!({"metadata": {"uid": virt.metadata.uid}, "status": {"phase": LOST}}),
    };
    let steps = if phase(virt) == LOST { Vec::new() } else { vec![step] };
    let warning = "The bound claim has lost its volume. Any data on the volume is lost!";
    Plan { steps, ..Plan::warn(warning) }
}

/// The writes that show the tenant what the host decided: the volume first, then the status.
pub(crate) fn up(virt: &PersistentVolumeClaim, host: &PersistentVolumeClaim) -> Vec<Step> {
    let mut steps = Vec::new();
    let meta = &virt.metadata;
    let step = |subresource, patch| Step::VirtPatch {
        kind: Kind::PersistentVolumeClaim,
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        subresource,
        patch,
    };
    let volume = |claim: &PersistentVolumeClaim| claim.spec.as_ref().and_then(|spec| spec.volume_name.clone());
    let unbound = volume(virt).is_none_or(|name| name.is_empty());
    if let Some(name) = volume(host).filter(|name| unbound && !name.is_empty()) {
        let bound = json!({"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"});
        steps
            .push(step("", json!({"metadata": {"uid": meta.uid, "annotations": bound}, "spec": {"volumeName": name}})));
    }
    let shown = virt.status.clone().unwrap_or_default();
    let wanted = host.status.clone().unwrap_or_default();
    // A claim that the host lost stays lost; one that it has not looked at yet says nothing.
    let wanted = PersistentVolumeClaimStatus { phase: wanted.phase.or_else(|| shown.phase.clone()), ..wanted };
    if let Some(status) = difference::merge_patch(&json!(shown), &json!(wanted)) {
        steps.push(step("status", json!({"metadata": {"uid": meta.uid}, "status": status})));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const HOST: Inputs = Inputs { host_class: true, own_volume: false };

    fn claim(value: Value) -> PersistentVolumeClaim {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn wishes_go_down_without_the_tenants_binding() {
        let config = Config { tenant: "t".into(), host_namespace: "hosted".into(), ..Config::default() };
        let virt = claim(json!({
            "metadata": {"name": "data", "namespace": "ns", "uid": "u", "annotations": {
                "pv.kubernetes.io/bind-completed": "yes", "volume.kubernetes.io/selected-node": "n1",
                "volume.kubernetes.io/storage-provisioner": "p",
            }},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "volumeName": "pv-1", "volumeMode": "Filesystem",
                "resources": {"requests": {"storage": "1Gi"}},
                "dataSource": {"kind": "PersistentVolumeClaim", "name": "old"},
            },
        }));
        let Decision::Sync(host) = to_host(&config, &virt, HOST) else { panic!("not synced") };
        let spec = json!({
            "accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "volumeMode": "Filesystem",
            "resources": {"requests": {"storage": "1Gi"}},
            "dataSource": {"kind": "PersistentVolumeClaim", "name": "old-x-ns-x-t"},
        });
        assert_eq!(json!(host.spec), spec);
        let annotations = host.metadata.annotations.unwrap();
        assert_eq!(annotations["volume.kubernetes.io/selected-node"], "n1");
        assert!(!annotations.keys().any(|key| key.starts_with("pv.") || key.ends_with("provisioner")));
        assert!(matches!(to_host(&config, &virt, Inputs { own_volume: true, ..HOST }), Decision::Skip(_)));
        assert!(matches!(to_host(&config, &virt, Inputs::default()), Decision::Skip(_)));
    }

    #[test]
    fn a_claim_without_its_volume_is_lost_once() {
        let cases = [("Pending", false, 0), ("Bound", true, 1), ("Lost", true, 0)];
        for (phase, bound, steps) in cases {
            let virt = claim(json!({"metadata": {"name": "d", "namespace": "ns"}, "status": {"phase": phase}}));
            assert_eq!(was_bound(&virt), bound, "{phase}");
            if bound {
                assert_eq!(lost(&virt).steps.len(), steps, "{phase}");
            }
        }
        assert!(!was_bound(&claim(json!({"metadata": {"name": "d"}}))));
    }

    #[test]
    fn the_binding_comes_up_volume_first() {
        let virt =
            claim(json!({"metadata": {"name": "d", "namespace": "ns", "uid": "u"}, "status": {"phase": "Pending"}}));
        let host = claim(json!({
            "metadata": {"name": "h"}, "spec": {"volumeName": "pv-1"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
        }));
        let patches: Vec<(&str, Value)> = up(&virt, &host)
            .into_iter()
            .filter_map(|step| match step {
                Step::VirtPatch { subresource, patch, .. } => Some((subresource, patch)),
                _ => None,
            })
            .collect();
        assert_eq!(patches[0].1["spec"], json!({"volumeName": "pv-1"}));
        assert_eq!(patches[1].0, "status");
        assert_eq!(patches[1].1["status"], json!({"phase": "Bound", "capacity": {"storage": "1Gi"}}));
        let settled = claim(json!({
            "metadata": {"name": "d", "namespace": "ns", "uid": "u"}, "spec": {"volumeName": "pv-1"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
        }));
        assert_eq!(up(&settled, &host), []);
    }
}
