//! Environment variables of a container, and fields of the pod that variables and files show
//! (k8s.io/kubernetes `pkg/apis/core/validation`, `ValidateEnv`).

use super::path_rules::no_backsteps;
use crate::registry::kinds::read::{list, needed, needed_label, quantity, subdomain, text, wrong};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validation::{is_config_map_key, is_qualified_name, is_relaxed_env_var_name};
use serde_json::Value;

/// Fields that a variable may show.
const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields that a file may show.
pub const FILE_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// Every field that has a name here at all (`ConvertDownwardAPIFieldLabel`).
const NAMED: [&str; 13] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
];

const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// The variables of a container.
pub fn variables(container: &Value, path: &Path, errors: &mut ErrorList) {
    for (index, variable) in list(container, "env").iter().enumerate() {
        let at = path.child("env").index(index);
        needed(&at.child("name"), text(variable, "name"), is_relaxed_env_var_name, errors);
        if variable["valueFrom"].is_object() {
            source(variable, &at.child("valueFrom"), errors);
        }
    }
    let at = path.child("envFrom");
    for (index, from) in list(container, "envFrom").iter().enumerate() {
        let prefix = text(from, "prefix");
        if !prefix.is_empty() {
            wrong(&at.index(index).child("prefix"), prefix, is_relaxed_env_var_name(prefix), errors);
        }
        let sources = ["configMapRef", "secretRef"].into_iter().filter(|source| from[*source].is_object());
        let mut count = 0;
        for source in sources {
            count += 1;
            let name = at.index(index).child(source).child("name");
            let is_prefix = |text: &str| apimachinery::validation::name_is_dns_subdomain(text, true);
            needed(&name, text(&from[source], "name"), is_prefix, errors);
        }
        match count {
            0 => errors.push(FieldError::invalid(&at, "", "must specify one of: `configMapRef` or `secretRef`")),
            1 => {}
            _ => errors.push(FieldError::invalid(&at, "", "may not have more than one field specified at a time")),
        }
    }
}

fn source(variable: &Value, path: &Path, errors: &mut ErrorList) {
    let from = &variable["valueFrom"];
    let mut count = 0;
    for kind in ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"] {
        let (reference, at) = (&from[kind], path.child(kind));
        if !reference.is_object() {
            continue;
        }
        count += 1;
        match kind {
            "fieldRef" => field(reference, &FIELDS, &at, errors),
            "resourceFieldRef" => resource(reference, false, &at, errors),
            "fileKeyRef" => file(reference, &at, errors),
            _ => {
                let name = text(reference, "name");
                wrong(&at.child("name"), name, subdomain(name), errors);
                needed(&at.child("key"), text(reference, "key"), is_config_map_key, errors);
            }
        }
    }
    let why = if count == 0 {
        "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
    } else if !text(variable, "value").is_empty() {
        "may not be specified when `value` is not empty"
    } else if count > 1 {
        "may not have more than one field specified at a time"
    } else {
        return;
    };
    errors.push(FieldError::invalid(path, "", why));
}

fn file(reference: &Value, path: &Path, errors: &mut ErrorList) {
    needed(&path.child("key"), text(reference, "key"), is_relaxed_env_var_name, errors);
    needed_label(&path.child("volumeName"), text(reference, "volumeName"), errors);
    let (at, file) = (path.child("path"), text(reference, "path"));
    if file.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    no_backsteps(file, &at, errors);
}

/// Files of variables lie in empty directories of the pod.
pub fn file_volumes(spec: &Value, path: &Path, errors: &mut ErrorList) {
    for group in ["initContainers", "containers", "ephemeralContainers"] {
        for (index, container) in list(spec, group).iter().enumerate() {
            for (number, variable) in list(container, "env").iter().enumerate() {
                let reference = &variable["valueFrom"]["fileKeyRef"];
                if !reference.is_object() {
                    continue;
                }
                let at = path.child(group).index(index).child("env").index(number).child("valueFrom");
                let (at, name) = (at.child("fileKeyRef").child("volumeName"), text(reference, "volumeName"));
                match list(spec, "volumes").iter().rfind(|volume| text(volume, "name") == name) {
                    None => errors.push(FieldError::not_found(&at, name)),
                    Some(volume) if !volume["emptyDir"].is_object() => {
                        errors.push(FieldError::invalid(&at, name, "referenced volume must be of type emptyDir"));
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

/// A field of the pod, one of those that may be shown here.
pub fn field(reference: &Value, allowed: &[&str], path: &Path, errors: &mut ErrorList) {
    for needed in ["apiVersion", "fieldPath"] {
        if text(reference, needed).is_empty() {
            errors.push(FieldError::required(&path.child(needed), ""));
            return;
        }
    }
    let (version, shown, at) = (text(reference, "apiVersion"), text(reference, "fieldPath"), path.child("fieldPath"));
    let subscripted =
        shown.strip_suffix("']").and_then(|text| text.split_once("['")).filter(|(name, _)| !name.is_empty());
    let known = |name: &str| NAMED.contains(&name) || name == "status.podIPs" || name == "spec.host";
    let unknown = |why: String| FieldError::invalid(&at, shown, format!("error converting fieldPath: {why}"));
    if version != "v1" {
        errors.push(unknown(format!("unsupported pod version: {version}")));
        return;
    }
    if let Some((name, key)) = subscripted {
        match name {
            "metadata.annotations" => {
                let key = key.to_lowercase();
                wrong(path, &key, is_qualified_name(&key), errors);
            }
            "metadata.labels" => wrong(path, key, is_qualified_name(key), errors),
            _ => errors.push(unknown(format!("field label does not support subscript: {shown}"))),
        }
    } else if !known(shown) {
        errors.push(unknown(format!("field label not supported: {shown}")));
    } else {
        // An older name of the same field.
        let shown = if shown == "spec.host" { "spec.nodeName" } else { shown };
        if !allowed.contains(&shown) {
            errors.push(FieldError::not_supported(&at, shown, allowed));
        }
    }
}

/// A container's resource, divided by something that makes sense of it.
pub fn resource(reference: &Value, in_volume: bool, path: &Path, errors: &mut ErrorList) {
    let name = text(reference, "resource");
    let huge = ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| name.starts_with(prefix));
    if in_volume && text(reference, "containerName").is_empty() {
        errors.push(FieldError::required(&path.child("containerName"), ""));
    } else if name.is_empty() {
        errors.push(FieldError::required(&path.child("resource"), ""));
    } else if !RESOURCES.contains(&name) && !huge {
        errors.push(FieldError::not_supported(&path.child("resource"), name, &RESOURCES));
    }
    let divisor = &reference["divisor"];
    if quantity(divisor).is_none_or(|divisor| divisor.is_zero()) {
        return;
    }
    const SIZES: [&str; 13] = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let given = divisor.as_str().unwrap_or_default();
    let sized = |what: &str| {
        let sizes = SIZES.join(", ");
        (!SIZES.contains(&given))
            .then(|| format!("only divisor's values {sizes} are supported with the {what} resource"))
    };
    let why = match name {
        "limits.cpu" | "requests.cpu" => (!["1m", "1"].contains(&given))
            .then(|| "only divisor's values 1m and 1 are supported with the cpu resource".to_owned()),
        "limits.memory" | "requests.memory" => sized("memory"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => sized("local ephemeral storage"),
        _ if huge => sized("hugepages"),
        _ => None,
    };
    errors.extend(why.map(|why| FieldError::invalid(&path.child("divisor"), name, why)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sources_of_variables() {
        let cases: [(Value, &[&str]); 6] = [
            (json!({"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}), &[]),
            (json!({"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.labels['a/b']"}}), &[]),
            (
                json!({"fieldRef": {"apiVersion": "v1", "fieldPath": "x"}}),
                &[
                    "c.env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"x\": error converting fieldPath: field label not supported: x",
                ],
            ),
            (
                json!({}),
                &[
                    "c.env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
                ],
            ),
            (
                json!({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}),
                &[
                    "c.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource",
                ],
            ),
            (
                json!({"fileKeyRef": {"key": "A", "volumeName": "v", "path": "../x"}}),
                &["c.env[0].valueFrom.fileKeyRef.path: Invalid value: \"../x\": must not contain '..'"],
            ),
        ];
        for (from, expected) in cases {
            let mut errors = ErrorList::new();
            variables(&json!({"env": [{"name": "A", "valueFrom": from}]}), &Path::new("c"), &mut errors);
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
        }
    }
}
