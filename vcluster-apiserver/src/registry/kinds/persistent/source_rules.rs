//! Which source a persistent volume has, and what sources of volumes must hold, in pods too
//! (k8s.io/kubernetes `pkg/apis/core/validation`).

use crate::registry::kinds::read::{list, quantity, subdomain, text, wrong};
use crate::registry::kinds::rules::{self, Check, Rule};
use apimachinery::field::{ErrorList, FieldError, Path};
use serde_json::{Value, json};

/// The sources of a persistent volume, in the order in which upstream looks at them.
const PERSISTENT_SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

/// What a source must hold; names are those of the source's own fields.
const SOURCE_RULES: &[(&str, &[Rule])] = &[
    (
        "hostPath",
        &[("path", Check::Needed("")), ("path", Check::By(no_backsteps)), ("type", Check::By(host_path_type))],
    ),
    ("nfs", &[("server", Check::Needed("")), ("path", Check::Needed("")), ("path", Check::By(absolute))]),
    ("persistentVolumeClaim", &[("claimName", Check::Needed(""))]),
    ("gcePersistentDisk", &[("pdName", Check::Needed("")), ("partition", Check::By(partition))]),
    ("awsElasticBlockStore", &[("volumeID", Check::Needed("")), ("partition", Check::By(partition))]),
    ("glusterfs", &[("endpoints", Check::Needed("")), ("path", Check::Needed(""))]),
    ("cinder", &[("volumeID", Check::Needed(""))]),
    (
        "quobyte",
        &[
            ("registry", Check::Needed("must be a host:port pair or multiple pairs separated by commas")),
            ("volume", Check::Needed("")),
        ],
    ),
    ("vsphereVolume", &[("volumePath", Check::Needed(""))]),
    ("photonPersistentDisk", &[("pdID", Check::Needed(""))]),
    ("portworxVolume", &[("volumeID", Check::Needed(""))]),
    ("local", &[("path", Check::Needed(""))]),
    ("rbd", &[("monitors", Check::Needed("")), ("image", Check::Needed(""))]),
    ("cephfs", &[("monitors", Check::Needed(""))]),
    ("azureFile", &[("secretName", Check::Needed("")), ("shareName", Check::Needed(""))]),
    ("scaleIO", &[("gateway", Check::Needed("")), ("system", Check::Needed("")), ("volumeName", Check::Needed(""))]),
    ("flexVolume", &[("driver", Check::Needed(""))]),
];

/// What a source of that name must hold.
pub fn rules_of(source: &str) -> &'static [Rule] {
    SOURCE_RULES.iter().find(|(known, _)| *known == source).map_or(&[], |(_, rules)| *rules)
}

fn no_backsteps(value: &Value, path: &Path, errors: &mut ErrorList) {
    crate::registry::kinds::pod::path_rules::no_backsteps(value.as_str().unwrap_or_default(), path, errors);
}

fn host_path_type(value: &Value, path: &Path, errors: &mut ErrorList) {
    const TYPES: [&str; 8] =
        ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    crate::registry::kinds::read::one_of(path, value, &TYPES, errors);
}

fn partition(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(number) = value.as_i64().filter(|number| !(0..=255).contains(number)) {
        errors.push(FieldError::invalid(path, number, "must be between 1 and 255, inclusive"));
    }
}

fn absolute(value: &Value, path: &Path, errors: &mut ErrorList) {
    let text = value.as_str().unwrap_or_default();
    if !text.starts_with('/') {
        errors.push(FieldError::invalid(path, text, "must be an absolute path"));
    }
}

/// Exactly one source, and that it says what it must.
fn source(volume: &Value, sources: &[&'static str], path: &Path, errors: &mut ErrorList) -> bool {
    let mut found = false;
    for name in sources.iter().filter(|name| volume[**name].is_object()) {
        // Upstream misspells one, and lets another stand beside any.
        let at = path.child(if found && *name == "cephfs" { "cephFS" } else { name });
        if found && *name != "flexVolume" {
            errors.push(FieldError::forbidden(&at, "may not specify more than 1 volume type"));
            continue;
        }
        found = true;
        errors.extend(rules::check(&volume[*name], &at, rules_of(name)));
    }
    found
}

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// The first source of a persistent volume.
pub fn persistent_source(spec: &Value) -> Option<&'static str> {
    PERSISTENT_SOURCES.iter().find(|name| spec[**name].is_object()).copied()
}

/// The spec of a persistent volume.
pub fn persistent(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let modes = path.child("accessModes");
    if list(spec, "accessModes").is_empty() {
        errors.push(FieldError::required(&modes, ""));
    }
    access_modes(list(spec, "accessModes"), &modes, errors);
    let (capacity, at) = (&spec["capacity"], path.child("capacity"));
    let count = capacity.as_object().map_or(0, serde_json::Map::len);
    if count == 0 {
        errors.push(FieldError::required(&at, ""));
    }
    if capacity["storage"].is_null() || count > 1 {
        let shown = if count == 0 && capacity.is_null() { Value::Null } else { capacity.clone() };
        errors.push(FieldError::not_supported(&at, shown, &["storage"]));
    }
    for (name, value) in capacity.as_object().into_iter().flatten() {
        let zero = quantity(&json!("0"));
        if quantity(value).is_some_and(|q| zero.is_some_and(|zero| q <= zero)) {
            errors.push(FieldError::invalid(&at.key(name), value.clone(), "must be greater than zero"));
        }
    }
    let policy = text(spec, "persistentVolumeReclaimPolicy");
    if !policy.is_empty() && !["Delete", "Recycle", "Retain"].contains(&policy) {
        let at = path.child("persistentVolumeReclaimPolicy");
        errors.push(FieldError::not_supported(&at, policy, &["Delete", "Recycle", "Retain"]));
    }
    if !source(spec, &PERSISTENT_SOURCES, path, errors) {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    let class = text(spec, "storageClassName");
    if !class.is_empty() {
        wrong(&path.child("storageClassName"), class, subdomain(class), errors);
    }
    if let Some(mode) = spec["volumeMode"].as_str().filter(|mode| !["Block", "Filesystem"].contains(mode)) {
        errors.push(FieldError::not_supported(&path.child("volumeMode"), mode, &["Block", "Filesystem"]));
    }
}

/// Known modes, of which the one for a single pod stands alone.
pub fn access_modes(modes: &[Value], path: &Path, errors: &mut ErrorList) {
    let given: Vec<&str> = modes.iter().filter_map(Value::as_str).collect();
    for mode in given.iter().filter(|mode| !ACCESS_MODES.contains(mode)) {
        errors.push(FieldError::not_supported(path, *mode, &ACCESS_MODES));
    }
    let single = given.contains(&"ReadWriteOncePod");
    if single && given.iter().any(|mode| *mode != "ReadWriteOncePod" && ACCESS_MODES.contains(mode)) {
        errors.push(FieldError::forbidden(path, "may not use ReadWriteOncePod with other access modes"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persistent_volume_says_how_much_it_holds() {
        let mut errors = ErrorList::new();
        persistent(&json!({"hostPath": {"path": "/x"}, "accessModes": ["Some"]}), &Path::new("spec"), &mut errors);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "spec.accessModes: Unsupported value: \"Some\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
                "spec.capacity: Required value",
                "spec.capacity: Unsupported value: null: supported values: \"storage\"",
            ]
        );
    }
}
