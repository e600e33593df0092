//! What sources of persistent volumes hold beyond those of pods, and what never changes of a volume
//! (k8s.io/kubernetes `pkg/apis/core/validation`).

use crate::registry::kinds::internal;
use crate::registry::kinds::pod::affinity_rules::node_selector;
use crate::registry::kinds::read::{list, subdomain, text, wrong};
use crate::registry::kinds::rules::{self, Check, Rule};
use crate::registry::kinds::storage::driver_name;
use apimachinery::field::{ErrorList, FieldError, Path};
use serde_json::{Map, Value};

/// Members of the spec that are no source.
const BESIDES: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

const RULES: &[Rule] = &[
    ("csi.driver", Check::By(driver_name)),
    ("csi.volumeHandle", Check::Needed("")),
    ("csi.controllerPublishSecretRef", Check::By(strict_secret)),
    ("csi.controllerExpandSecretRef", Check::By(strict_secret)),
    ("csi.nodePublishSecretRef", Check::By(strict_secret)),
    ("csi.nodeExpandSecretRef", Check::By(strict_secret)),
    ("iscsi.targetPortal", Check::Needed("")),
    ("iscsi.iqn", Check::Needed("")),
    ("iscsi.secretRef.name", Check::Needed("")),
    ("cinder.secretRef.name", Check::Needed("")),
    ("cinder.secretRef.namespace", Check::Needed("")),
    ("azureDisk", Check::By(azure_disk)),
    ("fc", Check::By(fibre)),
    ("storageos.volumeName", Check::Needed("")),
    ("storageos.volumeName", Check::Text(label)),
    ("storageos.secretRef.name", Check::Needed("")),
    ("storageos.secretRef.namespace", Check::Needed("")),
    ("quobyte.registry", Check::By(registry)),
    ("glusterfs.endpointsNamespace", Check::By(endpoints)),
    ("nodeAffinity", Check::By(affinity)),
    ("volumeAttributesClassName", Check::By(attributes_class)),
];

fn label(name: &str) -> Vec<String> {
    apimachinery::validation::is_dns1123_label(name)
}

/// The spec of a volume, beside what its sources have in common with those of pods.
pub fn check(spec: &Value, path: &Path, errors: &mut ErrorList) {
    let source = super::source_rules::persistent_source(spec).unwrap_or_default();
    for rule in RULES {
        let first = rule.0.split('.').next().unwrap_or_default();
        // Of several sources only the first is looked into.
        if first == source || BESIDES.contains(&first) {
            errors.extend(rules::check(spec, path, std::slice::from_ref(rule)));
        }
    }
    if source == "local" && spec["local"].is_object() && !spec["nodeAffinity"].is_object() {
        let why = "Local volume requires node affinity";
        errors.push(FieldError::required(&path.child("nodeAffinity"), why));
    }
    if spec["volumeAttributesClassName"].is_string() && !spec["csi"].is_object() {
        let why = "has to be specified when using volumeAttributesClassName";
        errors.push(FieldError::required(&path.child("csi"), why));
    }
}

fn strict_secret(reference: &Value, path: &Path, errors: &mut ErrorList) {
    if !reference.is_object() {
        return;
    }
    for (field, rule) in [("name", subdomain as fn(&str) -> Vec<String>), ("namespace", label)] {
        crate::registry::kinds::read::needed(&path.child(field), text(reference, field), rule, errors);
    }
}

fn azure_disk(disk: &Value, path: &Path, errors: &mut ErrorList) {
    const KINDS: [&str; 3] = ["Dedicated", "Managed", "Shared"];
    const CACHING: [&str; 3] = ["None", "ReadOnly", "ReadWrite"];
    if !disk.is_object() {
        return;
    }
    for field in ["diskName", "diskURI"] {
        if text(disk, field).is_empty() {
            errors.push(FieldError::required(&path.child(field), ""));
        }
    }
    for (field, known) in [("cachingMode", CACHING), ("kind", KINDS)] {
        if let Some(value) = disk[field].as_str().filter(|value| !known.contains(value)) {
            errors.push(FieldError::not_supported(&path.child(field), value, &known));
        }
    }
    let (address, managed) = (text(disk, "diskURI"), text(disk, "kind") == "Managed");
    let expected = match managed {
        true if !address.starts_with("/subscriptions") => {
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
        }
        false if !address.starts_with("https://") && !address.starts_with("http://") => {
            "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
        }
        _ => return,
    };
    errors.push(FieldError::not_supported(&path.child("diskURI"), address, &[expected]));
}

fn fibre(channel: &Value, path: &Path, errors: &mut ErrorList) {
    if !channel.is_object() {
        return;
    }
    let [names, wide] = ["targetWWNs", "wwids"].map(|field| !list(channel, field).is_empty());
    let at = path.child("targetWWNs");
    match (names, wide) {
        (false, false) => {
            errors.push(FieldError::required(&at, "must specify either targetWWNs or wwids, but not both"));
        }
        (true, true) => {
            let why = "targetWWNs and wwids can not be specified simultaneously";
            errors.push(FieldError::invalid(&at, channel["targetWWNs"].clone(), why));
        }
        (true, false) if channel["lun"].is_null() => {
            errors.push(FieldError::required(&path.child("lun"), "lun is required if targetWWNs is specified"));
        }
        _ => {}
    }
}

fn registry(value: &Value, path: &Path, errors: &mut ErrorList) {
    let hosts = value.as_str().unwrap_or_default();
    let pair = |host: &str| host.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && !port.is_empty());
    if !hosts.is_empty() && !hosts.split(',').all(pair) {
        let why = "must be a host:port pair or multiple pairs separated by commas";
        errors.push(FieldError::invalid(path, hosts, why));
    }
}

fn endpoints(value: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(namespace) = value.as_str().filter(|name| !label(name).is_empty()) {
        let why = "if the endpointnamespace is set, it must be a valid namespace name";
        errors.push(FieldError::invalid(path, namespace, why));
    }
}

fn affinity(affinity: &Value, path: &Path, errors: &mut ErrorList) {
    if !affinity.is_object() {
        return;
    }
    let at = path.child("required");
    if affinity["required"].is_object() {
        node_selector(&affinity["required"], &at, errors);
    } else {
        errors.push(FieldError::required(&at, "must specify required node constraints"));
    }
}

fn attributes_class(value: &Value, path: &Path, errors: &mut ErrorList) {
    match value.as_str() {
        Some("") => errors.push(FieldError::required(path, "an empty string is disallowed")),
        Some(name) => wrong(path, name, subdomain(name), errors),
        None => {}
    }
}

/// What an update must leave as it was.
pub fn unchanged(new: &Value, old: &Value, errors: &mut ErrorList) {
    if source(new, old) != source(old, old) {
        let path = Path::new("spec").child("persistentvolumesource");
        errors.push(FieldError::forbidden(&path, "spec.persistentvolumesource is immutable after creation"));
    }
    if new["volumeMode"] != old["volumeMode"] {
        let why = "field is immutable";
        errors.push(FieldError::invalid(&Path::new("volumeMode"), new["volumeMode"].clone(), why));
    }
    if old["nodeAffinity"].is_object() && new["nodeAffinity"] != renewed(&old["nodeAffinity"], &new["nodeAffinity"]) {
        let shown = internal::optional("core.v1.VolumeNodeAffinity", new.get("nodeAffinity"));
        let why = "field is immutable, except for updating from beta label to GA";
        errors.push(FieldError::invalid(&Path::new("nodeAffinity"), "", why).showing(shown));
    }
    if !old["volumeAttributesClassName"].is_null() && new["volumeAttributesClassName"].is_null() {
        let path = Path::new("spec").child("volumeAttributesClassName");
        errors.push(FieldError::forbidden(&path, "update from non-nil value to nil is forbidden"));
    }
}

/// Labels of nodes that have become generally available, and their names before.
const RENAMED: [(&str, &str); 5] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
];

/// The old affinity with the new names of labels where the new one has them. A label that was never renamed may lose its
/// name: upstream's table answers the empty text for it.
fn renewed(old: &Value, new: &Value) -> Value {
    let mut old = old.clone();
    let terms = |of: &Value| list(&of["required"], "nodeSelectorTerms").to_vec();
    for (index, term) in terms(new).iter().enumerate() {
        for field in ["matchExpressions", "matchFields"] {
            for (at, requirement) in list(term, field).iter().enumerate() {
                let place = format!("/required/nodeSelectorTerms/{index}/{field}/{at}/key");
                let Some(key) = old.pointer_mut(&place) else { continue };
                let to = RENAMED.iter().find(|(beta, _)| *key == *beta).map_or("", |(_, name)| name);
                if text(requirement, "key") == to {
                    *key = to.into();
                }
            }
        }
    }
    old
}

/// The source of a volume. The secret for its growth may be added where there was none.
fn source(spec: &Value, old: &Value) -> Map<String, Value> {
    const GROWTH: &str = "controllerExpandSecretRef";
    let members = spec.as_object().into_iter().flatten();
    let mut source: Map<String, Value> = members
        .filter(|(name, value)| !BESIDES.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if old["csi"].is_object() && old["csi"][GROWTH].is_null() {
        source.get_mut("csi").and_then(Value::as_object_mut).and_then(|csi| csi.remove(GROWTH));
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kinds::read::told;
    use serde_json::json;

    #[test]
    fn sources_say_what_they_must_and_stay() {
        let texts = |spec: Value| told(|errors| check(&spec, &Path::new("s"), errors));
        assert_eq!(
            texts(json!({"csi": {"nodePublishSecretRef": {"name": "n"}}})),
            [
                "s.csi.driver: Required value",
                "s.csi.volumeHandle: Required value",
                "s.csi.nodePublishSecretRef.namespace: Required value",
            ]
        );
        assert_eq!(
            texts(json!({"local": {}})),
            ["s.nodeAffinity: Required value: Local volume requires node affinity"]
        );
        let fields = |new: Value, old: Value| {
            let mut errors = ErrorList::new();
            unchanged(&new, &old, &mut errors);
            errors.iter().map(|error| error.field.to_string()).collect::<Vec<_>>()
        };
        let csi = json!({"csi": {"driver": "d"}, "volumeMode": "Block"});
        let more =
            json!({"csi": {"driver": "d", "controllerExpandSecretRef": {}}, "volumeMode": "Block", "capacity": {}});
        assert!(fields(more, csi.clone()).is_empty());
        assert_eq!(fields(json!({}), csi), ["spec.persistentvolumesource", "volumeMode"]);
    }
}
