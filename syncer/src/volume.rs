//! PersistentVolumes: those that the host bound to a copy of the tenant's claim show up in the tenant, under the
//! host's name and bound to the tenant's claim. A volume without our record is the tenant's own and never touched.

use crate::kind::Kind;
use crate::marks::{self, Origin};
use crate::step::{Plan, Step};
use crate::{Config, difference};
use k8s_openapi::api::core::v1::{CSIPersistentVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

/// Whether a volume of the tenant is a mirror of the host's.
pub(crate) fn is_mirror(virt: &PersistentVolume) -> bool {
    !marks::annotation(&virt.metadata, marks::HOST_STATE).is_empty()
}

/// Name of the claim in the host namespace that a host volume is bound to.
pub(crate) fn claim_name<'a>(config: &Config, host: &'a PersistentVolume) -> Option<&'a str> {
    let claim = host.spec.as_ref()?.claim_ref.as_ref()?;
    (claim.namespace.as_deref() == Some(config.host_namespace.as_str())).then_some(claim.name.as_deref()?)
}

/// `claim` is the tenant's claim that the host volume is bound to; a mirror outlives its claim as the host's volume does.
pub(crate) fn plan(virt: Option<&PersistentVolume>, host: Option<&PersistentVolume>, claim: Option<&Origin>) -> Plan {
    match (virt, host) {
        (None, Some(host)) => {
            let wanted = claim.map(|claim| to_virtual(host, reference(claim)));
            let create = |object| Step::VirtCreate {
                kind: Kind::PersistentVolume,
                namespace: String::new(),
                object: json!(object),
            };
            Plan::of(wanted.map(create).into_iter().collect())
        }
        (Some(virt), None) if is_mirror(virt) => Plan::of(vec![Step::VirtDelete {
            kind: Kind::PersistentVolume,
            namespace: String::new(),
            name: virt.metadata.name.clone().unwrap_or_default(),
            uid: virt.metadata.uid.clone().unwrap_or_default(),
            grace: None,
        }]),
        (Some(virt), Some(host)) if is_mirror(virt) => Plan::of(update(virt, host)),
        (Some(_) | None, _) => Plan::nothing(),
    }
}

fn update(virt: &PersistentVolume, host: &PersistentVolume) -> Vec<Step> {
    let step = |subresource, patch| Step::VirtPatch {
        kind: Kind::PersistentVolume,
        namespace: String::new(),
        name: virt.metadata.name.clone().unwrap_or_default(),
        subresource,
        patch,
    };
    let capacity = |volume: &PersistentVolume| volume.spec.as_ref().and_then(|spec| spec.capacity.clone());
    let spec = difference::merge_patch(&json!({"capacity": capacity(virt)}), &json!({"capacity": capacity(host)}));
    let status = difference::merge_patch(&json!(virt.status), &json!(host.status));
    let uid = json!({"uid": virt.metadata.uid});
    spec.map(|spec| step("", json!({"metadata": uid, "spec": spec})))
        .into_iter()
        .chain(status.map(|status| step("status", json!({"metadata": uid, "status": status}))))
        .collect()
}

fn reference(claim: &Origin) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("PersistentVolumeClaim".into()),
        namespace: Some(claim.namespace.clone()),
        name: Some(claim.name.clone()),
        uid: Some(claim.uid.clone()),
        ..ObjectReference::default()
    }
}

/// The mirror of a host volume. What the host's drivers need to mount it (secrets, attributes) stays on the host.
fn to_virtual(host: &PersistentVolume, claim: ObjectReference) -> PersistentVolume {
    let spec = host.spec.clone().unwrap_or_default();
    let csi = spec.csi.map(|csi| CSIPersistentVolumeSource {
        driver: csi.driver,
        volume_handle: csi.volume_handle,
        fs_type: csi.fs_type,
        read_only: csi.read_only,
        ..CSIPersistentVolumeSource::default()
    });
    let annotations = [(marks::HOST_STATE.to_owned(), host.metadata.uid.clone().unwrap_or_default())];
    PersistentVolume {
        metadata: ObjectMeta {
            name: host.metadata.name.clone(),
            labels: Some(marks::visible_labels(&host.metadata)),
            annotations: Some(annotations.into()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec { claim_ref: Some(claim), csi, ..spec }),
        status: host.status.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> PersistentVolume {
        serde_json::from_value(json!({
            "metadata": {"name": "pvc-1", "uid": "h", "labels": {"zone": "a"}},
            "spec": {
                "capacity": {"storage": "1Gi"}, "claimRef": {"namespace": "hosted", "name": "data-x-ns-x-t", "uid": "x"},
                "csi": {"driver": "d", "volumeHandle": "v", "nodeStageSecretRef": {"name": "s"}, "volumeAttributes": {"a": "b"}},
                "storageClassName": "fast",
            },
            "status": {"phase": "Bound"},
        }))
        .unwrap()
    }

    #[test]
    fn a_bound_volume_shows_up_bound_to_the_tenants_claim() {
        let config = Config { host_namespace: "hosted".into(), ..Config::default() };
        assert_eq!(claim_name(&config, &host()), Some("data-x-ns-x-t"));
        assert_eq!(claim_name(&Config::default(), &host()), None);
        let claim = Origin { namespace: "ns".into(), name: "data".into(), uid: "u".into() };
        let plan = plan(None, Some(&host()), Some(&claim));
        let [Step::VirtCreate { object, .. }] = plan.steps.as_slice() else { panic!("{plan:?}") };
        let spec = json!({
            "capacity": {"storage": "1Gi"}, "csi": {"driver": "d", "volumeHandle": "v"}, "storageClassName": "fast",
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "ns", "name": "data", "uid": "u"},
        });
        assert_eq!(object["spec"], spec);
    }

    #[test]
    fn only_mirrors_are_touched() {
        let own = PersistentVolume::default();
        assert_eq!(plan(Some(&own), None, None), Plan::nothing());
        assert_eq!(plan(Some(&own), Some(&host()), None), Plan::nothing());
        assert_eq!(plan(None, Some(&host()), None), Plan::nothing());
        let mirror = to_virtual(&host(), ObjectReference::default());
        assert_eq!(plan(Some(&mirror), Some(&host()), None), Plan::nothing());
        assert!(matches!(plan(Some(&mirror), None, None).steps.as_slice(), [Step::VirtDelete { .. }]));
    }
}
