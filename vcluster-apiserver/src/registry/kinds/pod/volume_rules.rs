//! Volumes of a pod: one source each, which says what it must (k8s.io/kubernetes `pkg/apis/core/validation`,
//! `ValidateVolumes`).

use super::path_rules::not_reserved;
use super::{env_rules, projected_rules};
use crate::registry::kinds::persistent::source_rules as volume_rules;
use crate::registry::kinds::read::{list, needed_label, one_of, quantity, subdomain, text, wrong};
use crate::registry::kinds::rules::{self, Check, Rule};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::is_dns1123_subdomain;
use serde_json::Value;
use std::collections::BTreeSet;

/// The sources in the order in which upstream looks at them, and how it writes them when there is one already.
const SOURCES: [(&str, &str); 30] = [
    ("emptyDir", "emptyDir"),
    ("hostPath", "hostPath"),
    ("gitRepo", "gitRepo"),
    ("gcePersistentDisk", "gcePersistentDisk"),
    ("awsElasticBlockStore", "awsElasticBlockStore"),
    ("secret", "secret"),
    ("nfs", "nfs"),
    ("iscsi", "iscsi"),
    ("glusterfs", "glusterfs"),
    ("flocker", "flocker"),
    ("persistentVolumeClaim", "persistentVolumeClaim"),
    ("rbd", "rbd"),
    ("cinder", "cinder"),
    ("cephfs", "cephFS"),
    ("quobyte", "quobyte"),
    ("downwardAPI", "downwarAPI"),
    ("fc", "fc"),
    ("flexVolume", "flexVolume"),
    ("configMap", "configMap"),
    ("azureFile", "azureFile"),
    ("vsphereVolume", "vsphereVolume"),
    ("photonPersistentDisk", "photonPersistentDisk"),
    ("portworxVolume", "portworxVolume"),
    ("azureDisk", "azureDisk"),
    ("storageos", "storageos"),
    ("projected", "projected"),
    ("scaleIO", "scaleIO"),
    ("csi", "csi"),
    ("ephemeral", "ephemeral"),
    ("image", "image"),
];

const SECRET: &[Rule] = &[
    ("secretName", Check::Needed("")),
    ("defaultMode", Check::By(mode)),
    ("defaultUser", Check::By(user)),
    ("items[]", Check::By(key_to_path)),
];

const CONFIG_MAP: &[Rule] = &[
    ("name", Check::Needed("")),
    ("defaultMode", Check::By(mode)),
    ("defaultUser", Check::By(user)),
    ("items[]", Check::By(key_to_path)),
];

const IMAGE: &[Rule] =
    &[("reference", Check::Needed("")), ("pullPolicy", Check::NeededOneOf(&["Always", "IfNotPresent", "Never"]))];

/// The volumes of a pod; `pod` is the name of a real one.
pub fn check(volumes: &[Value], pod: Option<&str>, path: &Path, errors: &mut ErrorList) {
    valid(volumes, pod, path, errors);
}

/// The volumes without mistakes, which are the only ones that containers are taken to have.
pub fn usable<'a>(volumes: &'a [Value], pod: Option<&str>) -> Vec<&'a Value> {
    valid(volumes, pod, &Path::root(), &mut ErrorList::new())
}

fn valid<'a>(volumes: &'a [Value], pod: Option<&str>, path: &Path, errors: &mut ErrorList) -> Vec<&'a Value> {
    let made = |volume: &Value| pod.map(|pod| format!("{pod}-{}", text(volume, "name")));
    let created: BTreeSet<String> =
        volumes.iter().filter(|volume| volume["ephemeral"].is_object()).filter_map(made).collect();
    let (mut names, mut usable) = (BTreeSet::new(), Vec::new());
    for (index, volume) in volumes.iter().enumerate() {
        let (at, name, before) = (path.index(index), text(volume, "name"), errors.len());
        source(volume, pod, &at, errors);
        needed_label(&at.child("name"), name, errors);
        if names.contains(name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        if errors.len() == before {
            names.insert(name);
            usable.push(volume);
        }
        let claim = text(&volume["persistentVolumeClaim"], "claimName");
        if created.contains(claim) {
            let why = "must not reference a PVC that gets created for an ephemeral volume";
            errors.push(FieldError::invalid(&at.child("persistentVolumeClaim").child("claimName"), claim, why));
        }
    }
    usable
}

fn source(volume: &Value, pod: Option<&str>, path: &Path, errors: &mut ErrorList) {
    let mut found = false;
    for (name, shown) in SOURCES.iter().filter(|(name, _)| volume[*name].is_object()) {
        let source = &volume[*name];
        if found {
            errors.push(FieldError::forbidden(&path.child(shown), "may not specify more than 1 volume type"));
        } else {
            found = true;
            one(name, source, &path.child(name), errors);
            if *name == "ephemeral" {
                ephemeral_name(text(volume, "name"), pod, path, errors);
            }
        }
        if *name == "iscsi" && source["initiatorName"].is_string() {
            const LONGEST: usize = 64;
            let name = text(volume, "name");
            if name.len() + 1 + text(source, "targetPortal").len() > LONGEST {
                let why = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
                errors.push(FieldError::invalid(&path.child("name"), name, why));
            }
        }
    }
    if !found {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

fn one(name: &str, source: &Value, path: &Path, errors: &mut ErrorList) {
    let rules = match name {
        "secret" => SECRET,
        "configMap" => CONFIG_MAP,
        "image" => IMAGE,
        other => volume_rules::rules_of(other),
    };
    match name {
        // Upstream names this place by its older name.
        "gcePersistentDisk" => {
            let at = Path::new(&path.as_str().replace("gcePersistentDisk", "persistentDisk"));
            errors.extend(rules::check(source, &at, rules));
            return;
        }
        "emptyDir" if quantity(&source["sizeLimit"]).is_some_and(|limit| limit.sign() < 0) => {
            let why = "SizeLimit field must be a valid resource quantity";
            errors.push(FieldError::forbidden(&path.child("sizeLimit"), why));
        }
        "gitRepo" => {
            if text(source, "repository").is_empty() {
                errors.push(FieldError::required(&path.child("repository"), ""));
            }
            super::path_rules::descending(text(source, "directory"), &path.child("directory"), errors);
        }
        "iscsi" => iscsi(source, path, errors),
        "fc" => fibre_channel(source, path, errors),
        "flocker" => flocker(source, path, errors),
        "azureDisk" => azure_disk(source, path, errors),
        "storageos" => {
            needed_label(&path.child("volumeName"), text(source, "volumeName"), errors);
            let space = text(source, "volumeNamespace");
            if !space.is_empty() {
                needed_label(&path.child("volumeNamespace"), space, errors);
            }
        }
        "downwardAPI" => {
            mode(&source["defaultMode"], &path.child("defaultMode"), errors);
            for file in list(source, "items") {
                downward_file(file, path, errors);
            }
        }
        "projected" => {
            mode(&source["defaultMode"], &path.child("defaultMode"), errors);
            projected_rules::check(list(source, "sources"), path, errors);
        }
        "csi" => {
            driver_name(text(source, "driver"), &path.child("driver"), errors);
            secret_name(&source["nodePublishSecretRef"], "nodePublishSecretRef", path, errors);
        }
        "ephemeral" => {
            if source["volumeClaimTemplate"].is_object() {
                let at = path.child("volumeClaimTemplate").child("spec");
                claim(&source["volumeClaimTemplate"]["spec"], &at, errors);
            } else {
                errors.push(FieldError::required(&path.child("volumeClaimTemplate"), ""));
            }
        }
        _ => {}
    }
    if matches!(name, "cinder" | "storageos")
        && source["secretRef"].is_object()
        && text(&source["secretRef"], "name").is_empty()
    {
        errors.push(FieldError::required(&path.child("secretRef").child("name"), ""));
    }
    errors.extend(rules::check(source, path, rules));
}

fn secret_name(reference: &Value, field: &str, path: &Path, errors: &mut ErrorList) {
    let name = text(reference, "name");
    if reference.is_object() && name.is_empty() {
        errors.push(FieldError::required(&path.child(field).child("name"), ""));
    } else if reference.is_object() {
        wrong(&path.child("name"), name, subdomain(name), errors);
    }
}

fn driver_name(name: &str, path: &Path, errors: &mut ErrorList) {
    const LONGEST: usize = 63;
    if name.is_empty() {
        return errors.push(FieldError::required(path, ""));
    }
    if name.len() > LONGEST {
        errors.push(FieldError::too_long(path, LONGEST));
    }
    wrong(path, name, is_dns1123_subdomain(&name.to_lowercase()), errors);
}

/// The claim that is made for the volume bears both names.
fn ephemeral_name(name: &str, pod: Option<&str>, path: &Path, errors: &mut ErrorList) {
    if let Some(pod) = pod.filter(|pod| !pod.is_empty() && !name.is_empty()) {
        let claim = format!("{pod}-{name}");
        let found = subdomain(&claim).into_iter().map(|why| format!("PVC name {claim:?}: {why}"));
        errors.extend(found.map(|why| FieldError::invalid(&path.child("name"), name, why)));
    }
}

/// What a claim within another object must be.
pub fn claim(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let modes = path.child("accessModes");
    if list(spec, "accessModes").is_empty() {
        errors.push(FieldError::required(&modes, "at least 1 access mode is required"));
    }
    rules::label_selector(&spec["selector"], &path.child("selector"), errors);
    volume_rules::access_modes(list(spec, "accessModes"), &modes, errors);
    let (storage, at) = (&spec["resources"]["requests"]["storage"], path.child("resources").key("storage"));
    match quantity(storage) {
        None => errors.push(FieldError::required(&at, "")),
        Some(amount) if amount.sign() <= 0 => {
            errors.push(FieldError::invalid(&at, storage.clone(), "must be greater than zero"));
        }
        Some(_) => {}
    }
    for field in ["storageClassName", "volumeAttributesClassName"] {
        let class = text(spec, field);
        if !class.is_empty() {
            wrong(&path.child(field), class, subdomain(class), errors);
        }
    }
    one_of(&path.child("volumeMode"), &spec["volumeMode"], &["Block", "Filesystem"], errors);
}

/// The permissions of a file.
pub fn mode(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(mode) = value.as_i64().filter(|mode| !(0..=0o777).contains(mode)) {
        let why = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(path, mode, why));
    }
}

/// The owner of a file.
pub fn user(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(user) = value.as_i64().filter(|user| !(0..=i64::from(i32::MAX)).contains(user)) {
        errors.push(FieldError::invalid(path, user, "must be between 0 and 2147483647, inclusive"));
    }
}

/// An entry that becomes a file.
pub fn key_to_path(item: &Value, path: &Path, errors: &mut ErrorList) {
    for field in ["key", "path"] {
        if text(item, field).is_empty() {
            errors.push(FieldError::required(&path.child(field), ""));
        }
    }
    not_reserved(text(item, "path"), &path.child("path"), errors);
    mode(&item["mode"], &path.child("mode"), errors);
    user(&item["user"], &path.child("user"), errors);
}

/// A file that shows a field of the pod or a resource of a container.
pub fn downward_file(file: &Value, path: &Path, errors: &mut ErrorList) {
    if text(file, "path").is_empty() {
        errors.push(FieldError::required(&path.child("path"), ""));
    }
    not_reserved(text(file, "path"), &path.child("path"), errors);
    if file["fieldRef"].is_object() {
        env_rules::field(&file["fieldRef"], &env_rules::FILE_FIELDS, &path.child("fieldRef"), errors);
        if file["resourceFieldRef"].is_object() {
            let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
            errors.push(FieldError::invalid(path, "resource", why));
        }
    } else if file["resourceFieldRef"].is_object() {
        env_rules::resource(&file["resourceFieldRef"], true, &path.child("resourceFieldRef"), errors);
    } else {
        errors.push(FieldError::required(path, "one of fieldRef and resourceFieldRef is required"));
    }
    mode(&file["mode"], &path.child("mode"), errors);
}

/// The name of a node of iSCSI: what begins it says its format.
fn qualified_node(name: &str) -> bool {
    let alphanumeric = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
    match name.get(..3) {
        Some("iqn") => {
            let Some((head, tail)) = name.get(4..).and_then(|rest| rest.split_once(':')) else { return false };
            let date = head.get(..8).is_some_and(|date| {
                let bytes = date.as_bytes();
                bytes[4] == b'-' && bytes[7] == b'.' && bytes.iter().filter(|b| b.is_ascii_digit()).count() == 6
            });
            let owner = head.get(8..).unwrap_or_default();
            let odd = |c: char| [',', ';', '*', '&', '$', '|'].contains(&c) || c.is_whitespace();
            let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
            date && !owner.is_empty() && owner.bytes().all(fits) && !tail.is_empty() && !tail.contains(odd)
        }
        Some("eui") => name.len() == 20 && name.get(4..).is_some_and(alphanumeric),
        Some("naa") => name.len() == 36 && name.get(4..).is_some_and(alphanumeric),
        _ => false,
    }
}

fn iscsi(source: &Value, path: &Path, errors: &mut ErrorList) {
    for field in ["targetPortal", "iqn"] {
        if text(source, field).is_empty() {
            errors.push(FieldError::required(&path.child(field), ""));
        }
    }
    for (field, shown) in [("iqn", "iqn"), ("initiatorName", "initiatorname")] {
        let Some(name) = source[field].as_str().filter(|name| field != "iqn" || !name.is_empty()) else { continue };
        let known = ["iqn", "eui", "naa"].iter().any(|start| name.starts_with(start));
        let why = if known { "must be valid format" } else { "must be valid format starting with iqn, eui, or naa" };
        if !known || !qualified_node(name) {
            errors.push(FieldError::invalid(&path.child(shown), name, why));
        }
    }
    unit(&source["lun"], &path.child("lun"), errors);
    let asked = source["chapAuthDiscovery"] == true || source["chapAuthSession"] == true;
    if asked && !source["secretRef"].is_object() {
        errors.push(FieldError::required(&path.child("secretRef"), ""));
    }
}

fn unit(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(unit) = value.as_i64().filter(|unit| !(0..=255).contains(unit)) {
        errors.push(FieldError::invalid(path, unit, "must be between 0 and 255, inclusive"));
    }
}

fn fibre_channel(source: &Value, path: &Path, errors: &mut ErrorList) {
    let (names, ids) = (list(source, "targetWWNs"), list(source, "wwids"));
    let at = path.child("targetWWNs");
    if names.is_empty() && ids.is_empty() {
        errors.push(FieldError::required(&at, "must specify either targetWWNs or wwids, but not both"));
    }
    if names.is_empty() {
        return;
    }
    if !ids.is_empty() {
        let why = "targetWWNs and wwids can not be specified simultaneously";
        errors.push(FieldError::invalid(&at, names.to_vec(), why));
    }
    if source["lun"].is_null() {
        errors.push(FieldError::required(&path.child("lun"), "lun is required if targetWWNs is specified"));
    }
    unit(&source["lun"], &path.child("lun"), errors);
}

fn flocker(source: &Value, path: &Path, errors: &mut ErrorList) {
    let (name, id) = (text(source, "datasetName"), text(source, "datasetUUID"));
    match (name.is_empty(), id.is_empty()) {
        (true, true) => errors.push(FieldError::required(path, "one of datasetName and datasetUUID is required")),
        (false, false) => {
            let why = "datasetName and datasetUUID can not be specified simultaneously";
            errors.push(FieldError::invalid(path, "resource", why));
        }
        _ => {}
    }
    if name.contains('/') {
        errors.push(FieldError::invalid(&path.child("datasetName"), name, "must not contain '/'"));
    }
}

fn azure_disk(source: &Value, path: &Path, errors: &mut ErrorList) {
    const MANAGED: &str =
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
    const BLOB: &str = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
    for field in ["diskName", "diskURI"] {
        if text(source, field).is_empty() {
            errors.push(FieldError::required(&path.child(field), ""));
        }
    }
    one_of(&path.child("cachingMode"), &source["cachingMode"], &["None", "ReadOnly", "ReadWrite"], errors);
    one_of(&path.child("kind"), &source["kind"], &["Dedicated", "Managed", "Shared"], errors);
    let (at, place) = (path.child("diskURI"), text(source, "diskURI"));
    match source["kind"].as_str() {
        Some("Managed") if !place.starts_with("/subscriptions/") => {
            errors.push(FieldError::not_supported(&at, place, &[MANAGED]));
        }
        Some(kind) if kind != "Managed" && !place.starts_with("https://") => {
            errors.push(FieldError::not_supported(&at, place, &[BLOB]));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::read::told;
    use serde_json::json;

    #[test]
    fn a_volume_has_one_source() {
        let texts = |mut volume: Value| {
            volume["name"] = json!("v");
            told(|errors| check(&[volume], Some("p"), &Path::new("v"), errors))
        };
        let cases: [(Value, &[&str]); 7] = [
            (json!({"emptyDir": {}}), &[]),
            (json!({}), &["v[0]: Required value: must specify a volume type"]),
            (
                json!({"emptyDir": {}, "downwardAPI": {}}),
                &["v[0].downwarAPI: Forbidden: may not specify more than 1 volume type"],
            ),
            (json!({"secret": {}}), &["v[0].secret.secretName: Required value"]),
            (
                json!({"configMap": {"name": "c", "items": [{"key": "k", "path": "..x"}]}}),
                &["v[0].configMap.items[0].path: Invalid value: \"..x\": must not start with '..'"],
            ),
            (json!({"iscsi": {"targetPortal": "p", "iqn": "iqn.2001-04.com.example:disk"}}), &[]),
            (
                json!({"iscsi": {"targetPortal": "p", "iqn": "x"}}),
                &["v[0].iscsi.iqn: Invalid value: \"x\": must be valid format starting with iqn, eui, or naa"],
            ),
        ];
        for (volume, expected) in cases {
            assert_eq!(texts(volume), expected);
        }
    }

    #[test]
    fn volumes_with_mistakes_are_not_there() {
        let volumes = [json!({"name": "a", "emptyDir": {}}), json!({"name": "b"})];
        assert_eq!(usable(&volumes, None), [&volumes[0]]);
    }
}
