//! Which class claims and volumes are of, which class is the default, and who provisions for a class.

use crate::meta::Meta;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use std::sync::Arc;

const CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

/// The drivers that took over from in-tree plugins (`k8s.io/csi-translation-lib`).
const MIGRATED: [(&str, &str); 7] = [
    ("kubernetes.io/aws-ebs", "ebs.csi.aws.com"),
    ("kubernetes.io/azure-disk", "disk.csi.azure.com"),
    ("kubernetes.io/azure-file", "file.csi.azure.com"),
    ("kubernetes.io/cinder", "cinder.csi.openstack.org"),
    ("kubernetes.io/gce-pd", "pd.csi.storage.gke.io"),
    ("kubernetes.io/portworx-volume", "pxd.portworx.com"),
    ("kubernetes.io/vsphere-volume", "csi.vsphere.vmware.com"),
];

/// The claim's class, `""` for none (`GetPersistentVolumeClaimClass`).
pub(crate) fn class_of_claim(claim: &PersistentVolumeClaim) -> &str {
    let given = || claim.spec.as_ref()?.storage_class_name.as_deref();
    claim.annotation(CLASS).or_else(given).unwrap_or_default()
}

/// Whether the user said anything about the class, be it that there is none.
pub(super) fn has_class(claim: &PersistentVolumeClaim) -> bool {
    claim.annotation(CLASS).is_some() || claim.spec.as_ref().is_some_and(|spec| spec.storage_class_name.is_some())
}

pub(super) fn class_of_volume(volume: &PersistentVolume) -> &str {
    let given = || volume.spec.as_ref()?.storage_class_name.as_deref();
    volume.annotation(CLASS).or_else(given).unwrap_or_default()
}

pub(super) fn is_default(class: &StorageClass) -> bool {
    DEFAULT.iter().any(|key| class.annotation(key) == Some("true"))
}

/// The youngest of the default classes, of equally young ones the first by name.
pub(super) fn default_of(classes: Vec<Arc<StorageClass>>) -> Option<Arc<StorageClass>> {
    let defaults = classes.into_iter().filter(|class| is_default(class));
    defaults.min_by(|a, b| b.created().cmp(&a.created()).then_with(|| a.name().cmp(b.name())))
}

pub(super) fn waits_for_consumer(class: Option<&StorageClass>) -> bool {
    class.is_some_and(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"))
}

/// The name of the external provisioner of a class, or why it has none.
pub(super) fn provisioner(class: &StorageClass) -> Result<&str, String> {
    let name = class.provisioner.as_str();
    match MIGRATED.iter().find(|(plugin, _)| *plugin == name) {
        Some((_, driver)) => Ok(driver),
        None if name.starts_with("kubernetes.io/") => Err(format!("no volume plugin matched name: {name}")),
        None => Ok(name),
    }
}
